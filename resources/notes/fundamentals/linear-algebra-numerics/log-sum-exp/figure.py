import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, figure, plt


def errors(panel) -> None:
    x = torch.linspace(-25, 100, 251)
    exact = F.softplus(x.double(), threshold=1e9)
    naive, shifted = (1 + x.exp()).log(), torch.logaddexp(x, torch.zeros_like(x))
    floor = 1e-9
    wrong, right = (((values.double() - exact).abs() / exact).clamp(min=floor) for values in (naive, shifted))
    assert torch.isinf(naive[x > 88.8]).all() and wrong[x < -17].min() > 0.99 and right.max() < 1e-6
    finite = torch.isfinite(naive)
    panel.semilogy(x[finite], wrong[finite], color=ORANGE)
    panel.semilogy(x, right, color=BLUE)
    panel.axvspan(88.72, 100, color=ORANGE, alpha=0.25, linewidth=0)
    panel.text(94.4, 1e-3, "inf", color=ORANGE, ha="center")
    panel.text(8, 1e-3, "naive", color=ORANGE)
    panel.text(8, 2e-6, "shifted", color=BLUE)
    panel.set_ylim(5e-10, 5)
    panel.set_xlabel("x")
    panel.set_title("error of log(1 + exp(x))")


def smooth(panel) -> None:
    x = torch.linspace(-4, 4, 81)
    lse = torch.logaddexp(x, torch.zeros_like(x))
    assert (lse > x.clamp(min=0)).all() and abs(lse[40].item() - np.log(2)) < 1e-6
    panel.plot(x, x.clamp(min=0), color=INK, linestyle=":")
    panel.plot(x, lse, color=BLUE)
    panel.plot([0], [np.log(2)], "o", color=BLUE, markersize=4)
    panel.annotate("ln 2", (0, np.log(2)), xytext=(-26, 6), textcoords="offset points")
    panel.set_xlabel("x")
    panel.set_title("max and LSE of (x, 0)")


@figure("figure-overflow.svg")
def overflow_and_smooth_maximum() -> Figure:
    """Relative error of a two-term log-sum-exp in float32, and LSE as a smooth maximum."""
    drawn, (left, right) = plt.subplots(1, 2)
    errors(left)
    smooth(right)
    return drawn
