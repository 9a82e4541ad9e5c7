import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, figure, plt


@figure("figure-outlier.svg")
def best_constants() -> Figure:
    """Loss of a constant prediction for five targets, one of them far off: the mean wins for MSE, the median for L1."""
    targets = torch.tensor([1.0, 2.0, 3.0, 4.0, 20.0])
    grid = torch.linspace(-1, 21, 221)
    drawn, panels = plt.subplots(1, 2)
    for panel, loss, colour, title, best, name in (
        (panels[0], F.mse_loss, BLUE, "mean squared error", 6.0, "mean 6"),
        (panels[1], F.l1_loss, ORANGE, "mean absolute error", 3.0, "median 3"),
    ):
        values = torch.stack([loss(torch.full_like(targets, float(c)), targets) for c in grid])
        assert abs(grid[values.argmin()].item() - best) < 1e-4
        panel.plot(grid, values, color=colour)
        panel.plot([best], [values.min()], "o", color=colour)
        top = values.max().item()
        panel.plot([best, best], [0, values.min()], color=colour, linestyle=":")
        panel.text(best + 0.7, 0.12 * top, name, color=colour)
        panel.plot(targets, torch.zeros(5), "|", color=INK, markersize=12, markeredgewidth=2, clip_on=False)
        panel.text(15, 0.03 * top, "data", ha="center")
        panel.set_ylim(0, top * 1.02)
        panel.set_title(title)
        panel.set_xlabel("constant prediction")
    return drawn
