import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, QUIET, SKY, figure, plt


@figure("figure-forms.svg")
def gelu_and_its_forms() -> Figure:
    """Left: GELU against ReLU with its minimum. Right: how far the two approximations are from it."""
    x = torch.linspace(-4, 4, 321, dtype=torch.float64)
    exact = F.gelu(x)
    lowest = exact.argmin()
    assert -0.1705 < exact[lowest] < -0.1695 and abs(float(x[lowest]) + 0.75) < 0.02
    tanh = (F.gelu(x, approximate="tanh") - exact).abs()
    quick = (x * torch.sigmoid(1.702 * x) - exact).abs()
    assert tanh.max() < 0.0005 < 0.02 < quick.max()

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(x, F.relu(x), color=QUIET, linestyle="--", linewidth=1.4)
    left.plot(x, exact, color=BLUE)
    left.plot([x[lowest]], [exact[lowest]], "o", color=INK, markersize=4)
    left.annotate("−0.17", (x[lowest], exact[lowest]), (-0.75, -0.62), ha="center", color=INK)
    left.text(1.55, 0.75, "GELU", color=BLUE)
    left.text(0.9, 1.75, "ReLU", color=QUIET, ha="right")
    left.set_xlim(-4, 3)
    left.set_ylim(-0.8, 3)
    left.set_xlabel("x")
    left.set_title("value")

    right.semilogy(x, quick.clamp(min=1e-7), color=ORANGE)
    right.semilogy(x, tanh.clamp(min=1e-7), color=SKY)
    right.set_ylim(1e-6, 0.3)
    right.text(0, 0.06, "QuickGELU", color=ORANGE, ha="center")
    right.text(2.7, 1.1e-3, "tanh", color=SKY, ha="center")
    right.set_xlabel("x")
    right.set_title("distance from GELU")
    return drawn
