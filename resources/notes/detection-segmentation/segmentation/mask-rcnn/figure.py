import torch
from matplotlib.figure import Figure
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


def shapes(side: int = 448):
    """A disc and a star with thin tips, as masks that fill a box."""
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    radius, angle = (x**2 + y**2).sqrt(), torch.atan2(y, x)
    return {"disc": radius < 0.95, "star": radius < 0.16 + 0.8 * torch.cos(3.5 * angle).abs() ** 6}


def restored(mask, size: int):
    """What is left after a mask head of this size: averaged down, stretched back, cut at 0.5."""
    small = adaptive_avg_pool2d(mask[None, None].float(), size)
    return interpolate(small, size=mask.shape, mode="bilinear")[0, 0] > 0.5


@figure("figure-resolution.svg")
def resolution() -> Figure:
    """Outline of a star and of its 28 x 28 version, and mask IoU against the resolution of the head."""
    masks, sizes = shapes(), (7, 14, 28, 56, 112)
    iou = {
        name: [float((mask & restored(mask, n)).sum() / (mask | restored(mask, n)).sum()) for n in sizes]
        for name, mask in masks.items()
    }
    assert iou["disc"][2] > 0.98 and iou["star"][2] < 0.93 and iou["star"][4] > iou["star"][2] + 0.03
    drawn, (left, right) = plt.subplots(1, 2)
    left.contour(masks["star"][::4, ::4].float(), levels=[0.5], colors=INK, linewidths=1)
    left.contour(restored(masks["star"], 28)[::4, ::4].float(), levels=[0.5], colors=ORANGE, linewidths=1.6)
    left.set_aspect("equal")
    left.set_xticks([])
    left.set_yticks([])
    left.set_title("star, and after 28×28")
    for name, colour, line in (("disc", BLUE, "-"), ("star", ORANGE, "--")):
        right.plot(sizes, iou[name], line, color=colour, marker="o", markersize=4, label=name)
    right.axvline(28, color=QUIET, linewidth=1, linestyle=":")
    right.set_xscale("log", base=2)
    right.set_xticks(sizes, [str(n) for n in sizes])
    right.set_xlabel("mask resolution")
    right.set_title("mask IoU")
    right.legend(loc="lower right")
    return drawn
