import math

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, QUIET, figure, plt


@figure("figure-double-softmax.svg")
def softmax_twice() -> Figure:
    """Loss and gradient for three classes, the two wrong logits at 0, as the logit of the true class grows."""
    z = torch.linspace(-6, 10, 161, dtype=torch.float64)
    drawn, panels = plt.subplots(1, 2)
    ends = []
    for name, twice, colour, dashes in (
        ("from logits", False, BLUE, "-"),
        ("softmax twice", True, ORANGE, (0, (5, 2))),
    ):
        logits = torch.stack([z, torch.zeros_like(z), torch.zeros_like(z)], dim=1).requires_grad_()
        scores = logits.softmax(-1) if twice else logits
        loss = F.cross_entropy(scores, torch.zeros(len(z), dtype=torch.long), reduction="none")
        loss.sum().backward()
        slope = logits.grad[:, 0].abs()
        ends.append((float(loss[-1].detach()), slope))
        panels[0].plot(z, loss.detach(), color=colour, linestyle=dashes, label=name)
        panels[1].plot(z, slope, color=colour, linestyle=dashes)
    floor = math.log(1 + 2 / math.e)
    assert ends[0][0] < 1e-3 and abs(ends[1][0] - floor) < 1e-3
    assert (ends[1][1] < ends[0][1]).all()
    panels[0].axhline(floor, color=QUIET, linewidth=1)
    panels[0].text(-5.8, floor - 0.08, "0.55", va="top")
    panels[0].set_title("loss")
    panels[1].set_title("gradient")
    panels[0].legend(loc="upper right")
    for panel in panels:
        panel.set_xlabel("logit of the true class")
    return drawn
