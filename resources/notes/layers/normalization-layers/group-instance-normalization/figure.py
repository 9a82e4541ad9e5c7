import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


@figure("figure-levels.svg")
def channel_levels() -> Figure:
    """The mean of each of eight channels of one image: before, after InstanceNorm and after GroupNorm with two groups."""
    torch.manual_seed(0)
    level = torch.tensor([1.0, 4.0, 2.0, 5.0, 9.0, 6.0, 8.0, 11.0]).view(1, 8, 1, 1)
    x = torch.randn(1, 8, 16, 16) * 1.5 + level
    instance, group = nn.InstanceNorm2d(8)(x), nn.GroupNorm(2, 8)(x).detach()
    means = [values.mean((0, 2, 3)) for values in (x, instance, group)]
    assert means[1].abs().max() < 1e-5 and means[2].abs().max() > 0.8
    assert means[2][:4].mean().abs() < 1e-5 and means[2][4:].mean().abs() < 1e-5
    assert torch.equal(means[2][:4].argsort(), means[0][:4].argsort())

    drawn, (left, right) = plt.subplots(1, 2)
    channels = torch.arange(8)
    left.bar(channels, means[0], 0.6, color=QUIET)
    left.set_title("input")
    left.set_ylabel("channel mean")
    right.bar(channels, means[2], 0.6, color=BLUE, label="GroupNorm(2, 8)")
    right.plot(channels, means[1], "o", color=ORANGE, markersize=5, label="InstanceNorm2d(8)")
    right.axhline(0, color=INK, linewidth=0.8)
    right.set_title("after normalization")
    right.set_ylim(-1.5, 2.4)
    right.legend(loc="upper center", fontsize=9)
    for panel in (left, right):
        panel.axvline(3.5, color=QUIET, linewidth=1, linestyle=":")
        panel.set_xticks(range(8))
        panel.set_xlabel("channel")
    return drawn
