import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, INK, ORANGE, figure, plt


def weights(*layers: nn.Module) -> int:
    return sum(layer.weight.numel() for layer in layers)


@figure("figure-bottleneck.svg")
def bottleneck() -> Figure:
    """Weights of 1x1, 3x3, 1x1 for each middle width, against one 3x3 layer of 256 channels."""
    with torch.device("meta"):
        widths = range(8, 257, 8)
        stack = [weights(nn.Conv2d(256, r, 1), nn.Conv2d(r, r, 3), nn.Conv2d(r, 256, 1)) for r in widths]
        plain = weights(nn.Conv2d(256, 256, 3))
    crossing = [r for r, count in zip(widths, stack) if count > plain][0]
    assert crossing == 232 and stack[list(widths).index(64)] == 69632

    drawn, panel = plt.subplots()
    panel.plot(widths, stack, color=BLUE)
    panel.axhline(plain, color=ORANGE, linestyle="--")
    panel.plot([64], [69632], "o", color=INK)
    panel.annotate("69,632", (64, 69632), (60, 150000), ha="center")
    panel.text(10, plain + 14000, "plain 3×3, 256 → 256", color=ORANGE)
    panel.text(150, 200000, "1×1, 3×3, 1×1", color=BLUE)
    panel.set_xlabel("width r of the middle")
    panel.set_ylabel("weights")
    panel.set_ylim(0, 760000)
    panel.set_yticks([0, 200000, 400000, 600000], ["0", "200,000", "400,000", "600,000"])
    return drawn
