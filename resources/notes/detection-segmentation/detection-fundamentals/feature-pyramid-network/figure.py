import torch
from matplotlib.figure import Figure
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.poolers import LevelMapper

from figure_style import BLUE, ORANGE, figure, plt


def profile(output, image):
    """Which columns of the image the middle cell of a map depends on."""
    row, column = (n // 2 for n in output.shape[-2:])
    gradient = torch.autograd.grad(output[0, :, row, column].square().sum(), image, retain_graph=True)[0]
    columns = gradient[0].abs().sum((0, 1))
    return columns / columns.max()


@figure("figure-topdown.svg")
def context_and_level() -> Figure:
    """Input gradient of one cell of C2 and of P2, and the level a box is pooled from."""
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5).eval()
    image = torch.randn(1, 3, 512, 512, requires_grad=True)
    c2, p2 = profile(backbone.body(image)["0"], image), profile(backbone(image)["0"], image)
    seen = [int((p > 0).sum()) for p in (c2, p2)]
    assert 39 <= seen[0] <= 43 and seen[1] > 300

    drawn, (left, right) = plt.subplots(1, 2)
    x = torch.arange(512) - 256
    left.plot(x, p2.clamp(min=1e-6), color=BLUE, linewidth=1, label="P2")
    left.plot(x[c2 > 0], c2[c2 > 0], color=ORANGE, linewidth=1.4, label="C2")
    left.set_yscale("log")
    left.set_ylim(1e-5, 6)
    left.set_title("influence on one cell")
    left.set_xlabel("input column")
    left.legend(loc="upper left", ncols=1)

    side = torch.logspace(5, 10, 800, base=2)
    levels = LevelMapper(2, 5)([torch.stack([side * 0, side * 0, side, side], 1)]) + 2
    assert levels[0] == 2 and levels[-1] == 5 and (levels.diff() >= 0).all()
    right.plot(side, levels, color=BLUE)
    right.set_xscale("log", base=2)
    right.set_xticks([56, 112, 224, 448, 896], ["56", "112", "224", "448", "896"])
    right.set_yticks([2, 3, 4, 5], ["P2", "P3", "P4", "P5"])
    right.set_title("level of a box")
    right.set_xlabel("side of the box in pixels")
    return drawn
