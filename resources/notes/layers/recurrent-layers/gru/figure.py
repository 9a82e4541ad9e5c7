import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, QUIET, figure, plt

WIDTH, STEPS = 32, 40


def gradient_sizes(kind: type[nn.RNNBase], update_bias: float = 0.0) -> list[float]:
    """Frobenius norm of dh_k/dh_0 on random inputs, divided by that of the identity."""
    torch.manual_seed(0)
    layer = kind(4, WIDTH, dtype=torch.float64)
    if update_bias:
        with torch.no_grad():
            layer.bias_ih_l0[WIDTH : 2 * WIDTH] = update_bias
    x = torch.randn(STEPS, 4, dtype=torch.float64)
    start = torch.zeros(1, WIDTH, dtype=torch.float64)
    sizes = [1.0]
    for k in range(1, STEPS + 1):
        jacobian = torch.autograd.functional.jacobian(lambda h: layer(x[:k], h)[1][0], start)[:, 0]
        sizes.append(float(torch.linalg.matrix_norm(jacobian)) / WIDTH**0.5)
    return sizes


@figure("figure-memory.svg")
def an_open_update_gate_keeps_the_gradient() -> Figure:
    """How much gradient of the last state arrives k steps earlier."""
    curves = [
        ("GRU, update bias 3", gradient_sizes(nn.GRU, 3.0), BLUE, "-"),
        ("GRU, update bias 1", gradient_sizes(nn.GRU, 1.0), GREEN, (0, (5, 2))),
        ("GRU default", gradient_sizes(nn.GRU), ORANGE, "-."),
        ("plain RNN", gradient_sizes(nn.RNN), QUIET, (0, (1, 1))),
    ]
    open_gate, middle, default, plain = (sizes[-1] for _, sizes, _, _ in curves)
    assert abs(open_gate - 0.16) < 0.01 and default < middle < 1e-3 and default < 1e-7 and plain < 1e-7

    drawn, panel = plt.subplots()
    for name, sizes, colour, dashes in curves:
        panel.plot(sizes, color=colour, linestyle=dashes, label=name)
    panel.set_yscale("log")
    panel.set_xlabel("steps back")
    panel.set_ylabel("size of the gradient")
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return drawn
