import torch
import torchvision
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt


def weights(module):
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))


@figure("figure-reduction.svg")
def weights_with_and_without_reduction() -> Figure:
    """Weights of the nine modules of torchvision's GoogLeNet, and what they would be if the 3x3 layers saw all input channels."""
    with torch.device("meta"):
        net = torchvision.models.googlenet(init_weights=False)
    modules = {name[9:]: m for name, m in net.named_children() if name.startswith("inception")}
    built = [weights(m) for m in modules.values()]
    naive = []
    for m in modules.values():
        channels = m.branch1.conv.in_channels
        spatial = (m.branch2[1].conv, m.branch3[1].conv)
        naive.append(
            weights(m.branch1) + weights(m.branch4) + sum(c.weight.numel() // c.in_channels * channels for c in spatial)
        )
    ratios = [n / b for n, b in zip(naive, built)]
    assert len(modules) == 9 and round(min(ratios), 1) == 1.9 and round(max(ratios), 1) == 3.8

    drawn, panel = plt.subplots()
    places = range(9)
    panel.bar(
        [p - 0.2 for p in places],
        [n / 1e6 for n in naive],
        width=0.38,
        color=ORANGE,
        label="3x3 branches without 1x1 before them",
    )
    panel.bar([p + 0.2 for p in places], [b / 1e6 for b in built], width=0.38, color=BLUE, label="as built")
    panel.set_xticks(places, list(modules))
    panel.set_yticks([0, 1, 2, 3, 4], ["0", "1 M", "2 M", "3 M", "4 M"])
    panel.grid(axis="x", visible=False)
    panel.set_xlabel("Inception module of GoogLeNet")
    panel.set_ylabel("weights")
    panel.legend(loc="upper left", fontsize=9)
    return drawn
