import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


@figure("figure-dead.svg")
def relu_and_a_dying_unit() -> Figure:
    """Left: ReLU and its slope. Right: one SGD step on an outlier shuts a unit for all ordinary inputs."""
    torch.manual_seed(0)
    grid = torch.linspace(-2, 2, 401, requires_grad=True)
    value = F.relu(grid)
    (slope,) = torch.autograd.grad(value.sum(), grid)

    ordinary = torch.rand(300) * 2
    w, b = torch.tensor(1.0, requires_grad=True), torch.tensor(-0.5, requires_grad=True)
    before = (w * ordinary + b).detach()
    optimizer = torch.optim.SGD([w, b], lr=0.05)
    ((F.relu(w * 10 + b) - 1) ** 2 / 2).backward()
    optimizer.step()
    after = (w * ordinary + b).detach()
    assert (before > 0).any() and (before < 0).any() and (after < 0).all()

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(grid.detach(), value.detach(), color=BLUE)
    negative = grid.detach() <= 0
    for part in (negative, ~negative):
        left.plot(grid.detach()[part], slope[part], color=ORANGE, linestyle="--")
    left.text(1.2, 1.55, "value", color=BLUE, ha="right")
    left.text(0.95, 1.1, "slope", color=ORANGE, ha="right")
    left.set_xlabel("x")
    left.set_title("ReLU")

    bins = np.arange(-8, 2.01, 0.25)
    right.hist(before, bins, color=BLUE, alpha=0.85, label="before")
    right.hist(after, bins, color=ORANGE, alpha=0.85, label="after")
    right.axvline(0, color=INK, linewidth=1.2)
    top = right.get_ylim()[1] * 1.25
    right.set_ylim(0, top)
    right.text(-0.35, top * 0.9, "shut", ha="right", color=QUIET)
    right.text(0.35, top * 0.9, "open", ha="left", color=QUIET)
    right.legend(loc="center left", fontsize=9, handlelength=1.0)
    right.set_yticks([])
    right.set_xlabel("pre-activation")
    right.set_title("one step on an outlier")
    return drawn
