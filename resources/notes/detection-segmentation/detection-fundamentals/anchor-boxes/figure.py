import torch
from matplotlib.figure import Figure
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import box_iou

from figure_style import BLUE, ORANGE, QUIET, figure, plt


@figure("figure-coverage.svg")
def best_overlap() -> Figure:
    """Mean best IoU of objects of one size with the anchors of an FPN, at random places of a large image."""
    generator = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
    maps = [torch.zeros(1, 1, n, n) for n in (256, 128, 64, 32, 16)]
    levels = generator.grid_anchors(
        [m.shape[-2:] for m in maps], [[torch.tensor(1024 // m.shape[-1])] * 2 for m in maps]
    )
    centres = 448 + 64 * torch.rand(24, 2)
    sizes = torch.logspace(0.9, 3.05, 44)
    drawn, axes = plt.subplots()
    curves = {}
    for ratio, name, colour, line in ((1.0, "square", BLUE, "-"), (6.0, "6 : 1", ORANGE, "--")):
        means = []
        for s in sizes:
            half = torch.stack([s / ratio**0.5, s * ratio**0.5]) / 2
            objects = torch.cat([centres - half, centres + half], 1)
            best = torch.zeros(len(centres))
            for anchors in levels:
                near = ((anchors[:, :2] + anchors[:, 2:]) / 2 - 480).abs().max(1)[0] < 120
                best = torch.maximum(best, box_iou(objects, anchors[near]).max(1)[0])
            means.append(float(best.mean()))
        curves[name] = torch.tensor(means)
        axes.plot(sizes, means, line, color=colour, label=name)
    inside = (sizes >= 32) & (sizes <= 512)
    assert 0.5 < curves["square"][inside].min() < 0.55 and curves["square"][sizes < 14].max() < 0.21
    assert curves["6 : 1"][inside].max() < 0.45 and curves["square"][-1] < 0.3
    for threshold in (0.3, 0.7):
        axes.axhline(threshold, color=QUIET, linewidth=1, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks([8, 16, 32, 64, 128, 256, 512, 1024], ["8", "16", "32", "64", "128", "256", "512", "1024"])
    axes.set_ylim(0, 1)
    axes.set_xlabel("object size in pixels (root of the area)")
    axes.set_ylabel("best IoU with an anchor")
    axes.legend(loc="upper left", ncols=2)
    return drawn
