import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, QUIET, figure, plt

C = 8


def reach(net: nn.Module) -> torch.Tensor:
    """Entry (o, c) is True where input channel c influences output channel o, found with autograd."""
    return torch.autograd.functional.jacobian(lambda v: net(v.view(1, C, 1, 1)).flatten(), torch.randn(C)) != 0


def one_by_one(groups: int) -> nn.Conv2d:
    return nn.Conv2d(C, C, 1, groups=groups, bias=False)


@figure("figure-mixing.svg")
def mixing() -> Figure:
    """How channels reach each other in four layers of eight channels."""
    torch.manual_seed(0)
    nets = [
        ("ordinary", one_by_one(1), 64, BLUE),
        ("4 groups", one_by_one(4), 16, BLUE),
        ("depthwise", one_by_one(8), 8, BLUE),
        ("4 groups, shuffle, 4 groups", nn.Sequential(one_by_one(4), nn.ChannelShuffle(4), one_by_one(4)), 32, ORANGE),
    ]
    drawn, panels = plt.subplots(1, 4, figsize=(6.4, 2.1), sharey=True)
    for panel, (title, net, count, colour) in zip(panels, nets):
        grid = reach(net)
        assert int(grid.sum()) == count
        for mask, size, shade in ((grid, 46, colour), (~grid, 6, QUIET)):
            y, x = mask.nonzero(as_tuple=True)
            panel.scatter(x, y, s=size, marker="s", color=shade, linewidths=0)
        panel.set_title(title, fontsize=8)
        panel.set_xlabel("input channel", fontsize=8)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.set_xlim(-0.7, C - 0.3)
        panel.set_ylim(C - 0.3, -0.7)
        panel.set_aspect("equal")
        panel.grid(False)
    panels[0].set_ylabel("output channel", fontsize=8)
    return drawn
