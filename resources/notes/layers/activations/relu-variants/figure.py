import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, GREEN, INK, ORANGE, figure, plt


@figure("figure-negative.svg")
def negative_side() -> Figure:
    """ReLU, Leaky ReLU with slope 0.1, ELU and Softplus: values, and slopes from autograd."""
    x = torch.linspace(-4, 2, 241, dtype=torch.float64, requires_grad=True)
    curves = [
        ("ReLU", F.relu, INK, ":"),
        ("LeakyReLU(0.1)", lambda v: F.leaky_relu(v, 0.1), ORANGE, "-"),
        ("ELU", F.elu, BLUE, "-"),
        ("Softplus", F.softplus, GREEN, "--"),
    ]
    drawn, (left, right) = plt.subplots(1, 2)
    far = {}
    for name, f, colour, style in curves:
        y = f(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        far[name] = slope[0].item(), slope[80].item()
        left.plot(x.detach(), y.detach(), color=colour, linestyle=style, label=name)
        for part in (x.detach() <= 0, x.detach() > 0) if name != "Softplus" else (x.detach() < 9,):
            right.plot(x.detach()[part], slope[part], color=colour, linestyle=style)
    assert far["ReLU"] == (0, 0) and far["LeakyReLU(0.1)"] == (0.1, 0.1)
    assert all(0 < far[name][0] < 0.02 < 0.1 < far[name][1] for name in ("ELU", "Softplus"))
    left.set_title("value")
    left.legend(loc="upper left", fontsize=9, handlelength=1.6)
    right.set_title("slope")
    for panel in (left, right):
        panel.set_xlabel("x")
    return drawn
