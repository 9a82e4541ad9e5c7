import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, QUIET, SKY, figure, plt


@figure("figure-dip.svg")
def swish_and_hardswish() -> Figure:
    """Left: x times sigmoid(beta x) for growing beta. Right: SiLU and Hardswish."""
    x = torch.linspace(-5, 3, 321, dtype=torch.float64)
    family = {beta: x * torch.sigmoid(beta * x) for beta in (0.0, 1.0, 5.0)}
    assert torch.allclose(family[0.0], x / 2) and torch.equal(family[1.0], x * torch.sigmoid(x))
    assert (family[5.0] - F.relu(x)).abs().max() < 0.06 < (family[1.0] - F.relu(x)).abs().max()
    silu, hard = F.silu(x), F.hardswish(x)
    assert 0.14 < (silu - hard).abs().max() < 0.15 and abs(silu.min() + 0.2785) < 1e-3

    drawn, (left, right) = plt.subplots(1, 2, sharey=True)
    for (beta, y), colour in zip(family.items(), (SKY, BLUE, INK)):
        left.plot(x, y, color=colour, label=f"β = {beta:g}")
    left.set_title("Swish, growing β")
    left.legend(loc="upper left", fontsize=9, handlelength=1.4)
    right.plot(x, silu, color=BLUE, label="SiLU")
    right.plot(x, hard, color=ORANGE, linestyle="--", label="Hardswish")
    right.plot([x[silu.argmin()]], [silu.min()], "o", color=BLUE, markersize=5)
    right.annotate("−0.2785", (float(x[silu.argmin()]), float(silu.min())), (-2.4, -1.2), color=BLUE)
    right.set_title("SiLU and Hardswish")
    right.legend(loc="upper left", fontsize=9, handlelength=1.4)
    left.set_ylim(-1.6, 3.1)
    for panel in (left, right):
        panel.axhline(0, color=QUIET, linewidth=0.8)
        panel.set_xlabel("x")
    return drawn
