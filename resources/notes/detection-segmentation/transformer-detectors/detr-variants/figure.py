import math

import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, SERIES, figure, plt


@figure("figure-reads.svg")
def reads_and_points() -> Figure:
    """Places read per query against image size, and the points of a query at the start of training."""
    sides = torch.arange(256, 1600, 64)
    one = torch.tensor([math.ceil(s / 32) ** 2 for s in sides.tolist()])
    four = torch.tensor([sum(math.ceil(s / d) ** 2 for d in (8, 16, 32, 64)) for s in sides.tolist()])
    points = torch.full_like(one, 8 * 4 * 4)
    assert sum(math.ceil(800 / d) * math.ceil(1066 / d) for d in (8, 16, 32, 64)) == 17821
    assert points.unique().numel() == 1 and four[-1] > 100 * points[-1] and (four > one).all()
    drawn, (left, right) = plt.subplots(1, 2)
    for values, colour, line, name in (
        (four, ORANGE, "--", "dense, 4 maps"),
        (one, GREEN, "-.", "dense, stride 32"),
        (points, BLUE, "-", "deformable"),
    ):
        left.plot(sides, values, line, color=colour, label=name)
    left.set_yscale("log")
    left.set_ylim(30, 2e6)
    left.set_xlabel("side of the image in pixels")
    left.set_title("places read per query")
    left.legend(loc="upper left", fontsize=8)

    angle = torch.arange(8) * 2 * math.pi / 8
    direction = torch.stack([angle.cos(), angle.sin()], 1)
    direction = direction / direction.abs().max(1, keepdim=True)[0]
    for head in range(8):
        spot = direction[head] * torch.arange(1, 5)[:, None]
        right.scatter(spot[:, 0], spot[:, 1], s=18, color=SERIES[head % 6], linewidths=0)
    right.scatter([0], [0], s=40, color=ORANGE, marker="+")
    right.set_aspect("equal")
    right.set_title("start: 8 heads, 4 points")
    right.set_xlabel("offset in cells")
    return drawn
