import torch
import torchvision
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt


def pyramid(name: str) -> dict[int, int]:
    """Channels of the deepest feature map at each stride of a torchvision backbone."""
    with torch.device("meta"):
        net = getattr(torchvision.models, name)().eval()
        x = torch.empty(1, 3, 224, 224)
        stages = net.features if hasattr(net, "features") else nn.Sequential(*list(net.children())[:-2])
        found = {}
        for stage in stages:
            x = stage(x)
            shape = x.permute(0, 3, 1, 2).shape if name.startswith("swin") else x.shape
            found[224 // shape[3]] = shape[1]
    return found


@figure("figure-pyramid.svg")
def channels_by_stride() -> Figure:
    """Equal strides, different channels."""
    drawn, panel = plt.subplots()
    pyramids = {}
    for name, label, colour, style in (
        ("resnet50", "ResNet-50", BLUE, "o-"),
        ("resnet18", "ResNet-18", GREEN, "D:"),
        ("swin_t", "Swin-T", ORANGE, "^--"),
        ("efficientnet_b0", "EfficientNet-B0", PINK, "s-."),
    ):
        pyramids[name] = pyramid(name)
        panel.plot(list(pyramids[name]), list(pyramids[name].values()), style, color=colour, markersize=5, label=label)
    assert pyramids["resnet50"] == {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048}
    assert all(set(found) <= {2, 4, 8, 16, 32} and 32 in found for found in pyramids.values())
    assert len({found[8] for found in pyramids.values()}) == 4
    assert 12 <= pyramids["resnet50"][8] / pyramids["efficientnet_b0"][8] < 13
    panel.set_xscale("log", base=2)
    panel.set_yscale("log", base=2)
    panel.set_xticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
    panel.set_yticks([16, 64, 256, 1024], ["16", "64", "256", "1024"])
    panel.minorticks_off()
    panel.set_xlabel("stride of the feature map")
    panel.set_ylabel("channels")
    drawn.legend(loc="outside right upper")
    return drawn
