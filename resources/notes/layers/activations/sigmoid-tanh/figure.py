import torch
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-slopes.svg")
def values_and_slopes() -> Figure:
    """Sigmoid and tanh and their slopes from autograd."""
    x = torch.linspace(-6, 6, 241, requires_grad=True)
    drawn, (left, right) = plt.subplots(1, 2)
    for f, colour, top in ((torch.sigmoid, BLUE, 0.25), (torch.tanh, ORANGE, 1.0)):
        y = f(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        assert abs(float(slope.max()) - top) < 1e-3 and float(slope[0]) < 0.003 and float(slope[-1]) < 0.003
        left.plot(x.detach(), y.detach(), color=colour, label=f.__name__)
        right.plot(x.detach(), slope, color=colour)
    left.set_title("value")
    left.legend(loc="upper left", fontsize=9, handlelength=1.2)
    right.set_title("slope")
    right.set_yticks([0, 0.25, 0.5, 0.75, 1])
    right.text(1.2, 0.75, "tanh", color=ORANGE)
    right.text(2.1, 0.2, "sigmoid", color=BLUE)
    for panel in (left, right):
        panel.set_xlabel("x")
    return drawn
