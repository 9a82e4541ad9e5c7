import numpy as np
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, QUIET, figure, plt


def paths(rates):
    """How many paths lead from each input to the middle output of 3×3 layers with these rates."""
    size = 1 + 2 * sum(rates)
    x = torch.ones(1, 1, size, size, requires_grad=True)
    y = x
    for rate in rates:
        y = F.conv2d(y, torch.ones(1, 1, 3, 3), dilation=rate)
    y.sum().backward()
    return x.grad[0, 0].numpy()


@figure("figure-gridding.svg")
def gridding() -> Figure:
    """Which inputs three layers read: a lattice with equal rates, everything with rates 1, 2, 3."""
    drawn, panels = plt.subplots(1, 2, figsize=(5.6, 3.5))
    for panel, rates, colour, seen in zip(panels, ((2, 2, 2), (1, 2, 3)), (ORANGE, BLUE), (49, 169)):
        counts = paths(rates)
        assert counts.shape == (13, 13) and (counts > 0).sum() == seen
        for count in np.unique(counts[counts > 0]):
            share = 0.25 + 0.75 * count / counts.max()
            cells = [Rectangle((column, row), 1, 1) for row, column in np.argwhere(counts == count)]
            # One compound path per shade keeps the file small.
            outline = Path.make_compound_path(
                *[cell.get_patch_transform().transform_path(cell.get_path()) for cell in cells]
            )
            panel.add_patch(PathPatch(outline, facecolor=to_rgba(colour, round(share, 2)), edgecolor="none"))
        panel.hlines(range(14), 0, 13, color=QUIET, linewidth=0.4)
        panel.vlines(range(14), 0, 13, color=QUIET, linewidth=0.4)
        panel.set(xlim=(-0.1, 13.1), ylim=(13.1, -0.1), aspect="equal", xticks=[], yticks=[])
        panel.set_title(f"dilation {', '.join(map(str, rates))}")
        panel.set_xlabel(f"{seen} / 169")
        panel.grid(False)
        for spine in panel.spines.values():
            spine.set_visible(False)
    return drawn
