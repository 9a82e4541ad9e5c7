import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt

WIDTH, STEPS = 32, 40


def gradient_sizes(scale: float | None) -> list[float]:
    """Frobenius norm of dh_k/dh_0, divided by that of the identity; small inputs, recurrent matrix scale * orthogonal."""
    torch.manual_seed(0)
    rnn = nn.RNN(4, WIDTH, dtype=torch.float64)
    if scale is not None:
        nn.init.orthogonal_(rnn.weight_hh_l0)
        with torch.no_grad():
            rnn.weight_hh_l0.mul_(scale)
            rnn.bias_ih_l0.zero_()
            rnn.bias_hh_l0.zero_()
    x = torch.randn(STEPS, 4, dtype=torch.float64) * 0.02
    start = torch.zeros(1, WIDTH, dtype=torch.float64)
    sizes = [1.0]
    for k in range(1, STEPS + 1):
        jacobian = torch.autograd.functional.jacobian(lambda h: rnn(x[:k], h)[1][0], start)[:, 0]
        sizes.append(float(torch.linalg.matrix_norm(jacobian)) / WIDTH**0.5)
    return sizes


@figure("figure-gradient.svg")
def the_recurrent_matrix_decides() -> Figure:
    """How much gradient arrives after k steps for four recurrent matrices."""
    curves = [
        ("1.2 × orthogonal", gradient_sizes(1.2), PINK, "-."),
        ("orthogonal", gradient_sizes(1.0), BLUE, "-"),
        ("0.8 × orthogonal", gradient_sizes(0.8), GREEN, (0, (5, 2))),
        ("default", gradient_sizes(None), ORANGE, (0, (1, 1))),
    ]
    large, kept, small, default = (sizes[-1] for _, sizes, _, _ in curves)
    assert large > 20 and 0.9 < kept <= 1 and small < 1e-3 and default < 1e-8

    drawn, panel = plt.subplots()
    for name, sizes, colour, dashes in curves:
        panel.plot(sizes, color=colour, linestyle=dashes, label=name)
    panel.set_yscale("log")
    panel.set_xlabel("steps back")
    panel.set_ylabel("size of the gradient")
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return drawn
