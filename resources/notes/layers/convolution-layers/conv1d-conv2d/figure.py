import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, QUIET, figure, plt


def touched(layer: nn.Module, x: torch.Tensor, place: tuple[int, ...]) -> torch.Tensor:
    """True where the input changes the output at `place`, found with autograd."""
    x.requires_grad_(True)
    layer(x)[place].backward()
    return (x.grad != 0).reshape(6, 12)


@figure("figure-window.svg")
def windows() -> Figure:
    """The inputs of one output: Conv1d on 6 channels of 12 positions, Conv2d on one 6 by 12 image."""
    torch.manual_seed(0)
    one, two = nn.Conv1d(6, 1, 3), nn.Conv2d(1, 1, 3)
    places = one(torch.randn(6, 12)).numel(), two(torch.randn(1, 6, 12)).numel()
    assert places == (10, 40)
    left, right = touched(one, torch.randn(6, 12), (0, 4)), touched(two, torch.randn(1, 6, 12), (0, 2, 4))
    assert left[:, 4:7].all() and left.sum() == 18 and right[2:5, 4:7].all() and right.sum() == 9

    drawn, panels = plt.subplots(1, 2, figsize=(5.6, 2.5))
    rows = [("Conv1d(6, 1, 3)", left, "channel", "position"), ("Conv2d(1, 1, 3)", right, "row", "column")]
    for panel, (title, grid, vertical, horizontal) in zip(panels, rows):
        for mask, size, colour in ((grid, 120, BLUE), (~grid, 12, QUIET)):
            y, x = mask.nonzero(as_tuple=True)
            panel.scatter(x, y, s=size, marker="s", color=colour, linewidths=0)
        panel.set_title(title)
        panel.set_xlabel(horizontal)
        panel.set_ylabel(vertical)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.set_xlim(-0.7, 11.7)
        panel.set_ylim(6.2, -0.9)
        panel.grid(False)
    arrow = {"arrowstyle": "-|>", "color": ORANGE, "linewidth": 2}
    panels[0].annotate("", (9.3, 2.5), (6.6, 2.5), arrowprops=arrow)
    panels[1].annotate("", (9.3, 3), (6.6, 3), arrowprops=arrow)
    panels[1].annotate("", (5, 6.1), (5, 4.5), arrowprops=arrow)
    return drawn
