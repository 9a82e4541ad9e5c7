import torch
from matplotlib.figure import Figure
from torch.nn.functional import binary_cross_entropy_with_logits

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


@figure("figure-centerness.svg")
def centerness_and_floor() -> Figure:
    """Lines of equal center-ness in a box, and the smallest cross entropy for each target."""
    x, y = torch.linspace(0.01, 1.99, 100), torch.linspace(0.01, 0.99, 60)
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    ratio = lambda a, b: torch.minimum(a, b) / torch.maximum(a, b)
    values = (ratio(columns, 2 - columns) * ratio(rows, 1 - rows)).sqrt()
    assert values.max() > 0.97 and values[0].max() < 0.11 and values[:, 0].max() < 0.08
    drawn, (left, right) = plt.subplots(1, 2)
    lines = left.contour(x, y, values, levels=[0.2, 0.4, 0.6, 0.8, 0.95], colors=BLUE, linewidths=1.4)
    left.clabel(lines, fmt="%.2g", fontsize=8)
    left.plot([0, 2, 2, 0, 0], [0, 0, 1, 1, 0], color=INK, linewidth=1.6)
    left.set_aspect("equal")
    left.set_title("center-ness in a 2:1 box")
    left.set_xticks([0, 1, 2])
    left.set_yticks([0, 1])

    targets = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    floor = binary_cross_entropy_with_logits(targets.logit(), targets, reduction="none")
    assert abs(float(floor.max()) - 0.6931) < 1e-3 and floor.min() > 0.05
    right.plot(targets, floor, color=ORANGE)
    right.axhline(float(floor.max()), color=QUIET, linewidth=1, linestyle=":")
    right.set_ylim(0, 0.8)
    right.set_title("smallest cross entropy")
    right.set_xlabel("target center-ness")
    return drawn
