from matplotlib.figure import Figure
from torchvision.models.detection import ssd300_vgg16

from figure_style import SERIES, figure, plt


@figure("figure-boxes.svg")
def boxes_per_map() -> Figure:
    """Sizes of the default boxes of each map of SSD300, and how many boxes each map carries."""
    generator = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=3).anchor_generator
    maps = (38, 19, 10, 5, 3, 1)
    counts = [f * f * k for f, k in zip(maps, generator.num_anchors_per_location())]
    assert sum(counts) == 8732 and counts[0] / 8732 > 0.65
    drawn, (left, right) = plt.subplots(1, 2)
    for row, pairs in enumerate(generator._wh_pairs):
        pairs = pairs.clamp(max=1) * 300
        left.scatter(
            pairs[:, 0],
            pairs[:, 1],
            s=16,
            color=SERIES[row],
            marker="osD^vP"[row],
            linewidths=0,
            label=f"{maps[row]}×{maps[row]}",
        )
    squares = [float(pair[0]) * 300 for pairs in generator._wh_pairs for pair in pairs[:2]]
    assert round(min(squares)) == 21 and round(max(squares)) == 287
    left.set_ylim(0, 450)
    left.legend(loc="upper center", ncols=3, fontsize=8, columnspacing=0.6, handletextpad=0.1)
    left.set_xlabel("width in pixels")
    left.set_ylabel("height in pixels")
    left.set_title("default boxes by map")
    right.bar([f"{f}" for f in maps], counts, color=SERIES)
    for i, value in enumerate(counts):
        right.text(i, value * 1.15, f"{value:,}", ha="center", fontsize=8)
    right.set_yscale("log")
    right.set_ylim(1, 20000)
    right.set_xlabel("side of the map")
    right.set_title("number of boxes")
    return drawn
