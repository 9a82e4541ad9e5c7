import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch.nn import functional as F

from figure_style import BLUE, GREEN, INK, ORANGE, PINK, QUIET, figure, plt

WINDOW_COLOURS = ((BLUE, ORANGE), (GREEN, PINK))


def cells(panel, values, window, title):
    """A matrix as cells in the colour of their pooling window; zeros stay pale."""
    size = len(values)
    for row in range(size):
        for column in range(size):
            value = values[row][column]
            colour = WINDOW_COLOURS[row // window][column // window]
            face = to_rgba(colour, 0.35 if value else 0.06)
            panel.add_patch(Rectangle((column, row), 1, 1, facecolor=face, edgecolor=QUIET, linewidth=0.5))
            panel.text(
                column + 0.5,
                row + 0.53,
                f"{value:g}",
                ha="center",
                va="center",
                fontsize=9 if size == 2 else 8,
                color=INK,
            )
    panel.set(xlim=(-0.1, size + 0.1), ylim=(size + 0.1, -0.1), aspect="equal", xticks=[], yticks=[])
    panel.set_title(title, fontsize=9)
    panel.grid(False)
    for spine in panel.spines.values():
        spine.set_visible(False)


@figure("figure-windows.svg")
def maximum_and_mean() -> Figure:
    """A 4×4 map, its 2×2 maxima and means, and where a gradient of one goes back to."""
    x = torch.tensor([[1.0, 3, 2, 5], [6, 4, 1, 0], [1, 2, 9, 8], [0, 1, 7, 4]]).view(1, 1, 4, 4).requires_grad_()
    results = {}
    for name, pool in (("max", F.max_pool2d), ("mean", F.avg_pool2d)):
        y = pool(x, 2)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        results[name] = (y[0, 0].tolist(), gradient[0, 0].tolist())
    assert sum(value > 0 for row in results["max"][1] for value in row) == 4
    assert all(value == 0.25 for row in results["mean"][1] for value in row)

    drawn = plt.figure(figsize=(5.6, 3.9))
    layout = drawn.add_gridspec(2, 3, width_ratios=(4, 2.6, 4), height_ratios=(1, 1))
    cells(drawn.add_subplot(layout[:, 0]), x[0, 0].tolist(), 2, "input")
    for row, (name, label) in enumerate((("max", "maximum"), ("mean", "mean"))):
        y, gradient = results[name]
        cells(drawn.add_subplot(layout[row, 1]), y, 1, label)
        cells(drawn.add_subplot(layout[row, 2]), gradient, 2, f"gradient of the {label}")
    return drawn
