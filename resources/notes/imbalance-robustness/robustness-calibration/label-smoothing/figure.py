import math

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, figure, plt

CLASSES, STEPS = 10, 1000
STYLES = [(0.0, INK, "-"), (0.1, BLUE, "-"), (0.3, ORANGE, "--")]


def loss_at(gaps: torch.Tensor, eps: float) -> torch.Tensor:
    z = torch.zeros(len(gaps), CLASSES, dtype=torch.float64)
    z[:, 0] = gaps
    return F.cross_entropy(z, torch.zeros(len(gaps), dtype=torch.long), label_smoothing=eps, reduction="none")


def descent(eps: float) -> list[float]:
    """The gap between the correct and the other logits during gradient descent on the logits themselves."""
    z = torch.zeros(1, CLASSES, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([z], lr=1.0)
    trace = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(z, torch.tensor([0]), label_smoothing=eps).backward()
        optimizer.step()
        trace.append((z[0, 0] - z[0, 1]).item())
    return trace


@figure("figure-gap.svg")
def gap() -> Figure:
    """Loss against the logit gap, and the gap during gradient descent, for three smoothing strengths."""
    gaps = torch.linspace(0, 10, 101, dtype=torch.float64)
    shown = sorted({round(10 ** (k / 20)) for k in range(61)})
    drawn, (left, right) = plt.subplots(1, 2)
    for eps, colour, line in STYLES:
        loss, trace = loss_at(gaps, eps), descent(eps)
        left.plot(gaps, loss, color=colour, linestyle=line)
        right.semilogx(shown, [trace[step - 1] for step in shown], color=colour, linestyle=line, label=f"ε = {eps:g}")
        if eps:
            best = math.log(1 + CLASSES * (1 - eps) / eps)
            left.plot([best], loss_at(torch.tensor([best]), eps), "o", color=colour, markersize=5)
            assert abs(trace[-1] - best) < 1e-3 and abs(gaps[loss.argmin()].item() - best) < 0.1
        else:
            assert torch.all(loss.diff() < 0) and trace[-1] > trace[99] + 2
    left.set_title("loss")
    left.set_xlabel("gap between the logits")
    right.set_title("gap between the logits")
    right.set_xlabel("step of gradient descent")
    right.legend(loc="upper left")
    return drawn
