import torch
from matplotlib.figure import Figure
from torch.nn.functional import avg_pool2d, interpolate

from figure_style import BLUE, GREEN, ORANGE, figure, plt


@figure("figure-stride.svg")
def best_iou_by_stride() -> Figure:
    """IoU of discs whose perfect scores were averaged on a grid of a stride and enlarged bilinearly."""
    strides, axis = (1, 2, 4, 8, 16, 32), torch.arange(256.0)
    drawn, axes = plt.subplots()
    curves = {}
    for radius, colour, line in ((64, BLUE, "-"), (16, GREEN, "-."), (4, ORANGE, "--")):
        curve = []
        for stride in strides:
            total = 0.0
            for centre in 96 + 64 * torch.rand(12, 2):
                disc = ((axis[:, None] - centre[0]) ** 2 + (axis[None] - centre[1]) ** 2 < radius**2)[None, None]
                back = interpolate(avg_pool2d(disc.float(), stride), size=(256, 256), mode="bilinear") > 0.5
                total += float((disc & back).sum() / (disc | back).sum())
            curve.append(total / 12)
        curves[radius] = curve
        axes.plot(strides, curve, line, color=colour, marker="o", markersize=4, label=f"radius {radius}")
    assert curves[64][-1] > 0.9 and curves[4][-1] < 0.02 and curves[16][-1] < curves[16][3] < 1
    axes.set_xscale("log", base=2)
    axes.set_xticks(strides, [str(s) for s in strides])
    axes.set_xlabel("output stride in pixels")
    axes.set_ylabel("IoU after enlarging")
    axes.legend(loc="lower left")
    return drawn
