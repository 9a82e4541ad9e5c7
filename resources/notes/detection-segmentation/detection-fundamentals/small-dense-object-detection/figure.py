import torch
from matplotlib.figure import Figure
from torchvision.ops import box_iou

from figure_style import BLUE, GREEN, ORANGE, figure, plt


def whole(object_size: float, overlap: int, tile: int = 640, length: int = 3840) -> float:
    """Share of random places at which an object lies wholly in one tile, along one axis."""
    n = -(-(length - overlap) // (tile - overlap))
    left = torch.linspace(0, length - object_size, 4000)
    inside = torch.zeros(4000, dtype=torch.bool)
    for i in range(n):
        start = i * (tile - overlap)
        inside |= (left >= start) & (left + object_size <= start + tile)
    return float(inside.float().mean())


@figure("figure-size.svg")
def shift_and_tiles() -> Figure:
    """IoU after a shift against the object's size, and the share of objects that no tile border cuts."""
    drawn, (left, right) = plt.subplots(1, 2)
    sizes = torch.logspace(2, 8, 61, base=2)
    for d, colour, line in ((1, GREEN, "-."), (2, BLUE, "-"), (4, ORANGE, "--")):
        values = torch.stack(
            [
                box_iou(b := torch.tensor([[0.0, 0.0, s, s]]), b + torch.tensor([d, 0.0, d, 0.0]))[0, 0]
                for s in sizes.tolist()
            ]
        )
        assert (values.diff() > 0).all() and values[-1] > 0.95
        left.plot(sizes, values, line, color=colour, label=f"shift {d}")
    left.set_xscale("log", base=2)
    left.set_xticks([4, 8, 16, 32, 64, 128, 256], ["4", "8", "16", "32", "64", "128", "256"])
    left.set_xlabel("side of the box in pixels")
    left.set_title("IoU after a shift")
    left.legend(loc="lower right", fontsize=9)

    overlaps = list(range(0, 200, 8))
    for size, colour, line in ((32, BLUE, "-"), (96, ORANGE, "--")):
        share = [whole(size, o) for o in overlaps]
        assert share[0] < 0.97 and all(v == 1 for v, o in zip(share, overlaps) if o >= size)
        right.plot(overlaps, share, line, color=colour, label=f"object {size}")
    right.set_ylim(0.84, 1.01)
    right.set_xlabel("overlap of the tiles in pixels")
    right.set_title("objects left whole")
    right.legend(loc="lower right", fontsize=9)
    return drawn
