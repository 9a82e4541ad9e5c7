import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, QUIET, figure, plt


@figure("figure-slopes.svg")
def losses_and_slopes() -> Figure:
    """Four losses of one error and their gradients, threshold 2."""
    e = torch.linspace(-5, 5, 401, requires_grad=True)
    zero = torch.zeros_like(e)
    losses = {
        "half squared": (0.5 * F.mse_loss(e, zero, reduction="none"), QUIET, "--"),
        "Huber": (F.huber_loss(e, zero, delta=2, reduction="none"), GREEN, "-"),
        "L1": (F.l1_loss(e, zero, reduction="none"), ORANGE, "-"),
        "smooth L1": (F.smooth_l1_loss(e, zero, beta=2, reduction="none"), BLUE, "-"),
    }
    drawn, panels = plt.subplots(1, 2)
    for name, (loss, colour, line) in losses.items():
        slope = torch.autograd.grad(loss.sum(), e)[0]
        largest = {"half squared": 5.0, "Huber": 2.0, "L1": 1.0, "smooth L1": 1.0}[name]
        assert abs(slope.max().item() - largest) < 1e-5
        panels[0].plot(e.detach(), loss.detach(), line, color=colour, label=name)
        panels[1].plot(e.detach(), slope, line, color=colour)
    panels[0].set_title("loss")
    panels[1].set_title("gradient")
    panels[0].set_ylim(0, 9)
    panels[1].set_ylim(-4, 4)
    for panel in panels:
        panel.set_xlabel("error")
    drawn.legend(loc="outside lower center", ncols=4)
    return drawn
