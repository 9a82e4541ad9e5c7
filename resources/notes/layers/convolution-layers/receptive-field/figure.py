import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, figure, plt


def gradient(depth):
    """The gradient of one output of `depth` equal-weight layers of kernel 3, over one axis of the input."""
    x = torch.ones(1, 1, 2 * depth + 1, dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(depth):
        y = F.conv1d(y, torch.full((1, 1, 3), 1 / 3, dtype=torch.float64))
    y.sum().backward()
    return x.grad[0, 0]


def middle(share):
    """How many pixels in the middle hold 95% of the gradient."""
    centre = len(share) // 2
    return next(2 * w + 1 for w in range(centre + 1) if share[centre - w : centre + w + 1].sum() >= 0.95)


@figure("figure-effective.svg")
def effective_field() -> Figure:
    """Left: the gradient over the receptive field of 20 layers. Right: both widths as the stack grows."""
    share = gradient(20)
    width = middle(share)
    assert len(share) == 41 and width == 15 and round(float(share[13:28].sum()), 2) == 0.96
    depths = range(1, 41)
    effective = [middle(gradient(depth)) for depth in depths]
    assert effective[-1] < 81 / 3

    drawn, (left, right) = plt.subplots(1, 2)
    offsets = range(-20, 21)
    colours = [BLUE if abs(offset) <= width // 2 else ORANGE for offset in offsets]
    left.bar(offsets, share, color=colours, width=0.85)
    left.hlines(0, -20.5, 20.5, color=ORANGE, linewidth=4)
    left.text(8, 0.085, "middle 15:\n96%", color=BLUE, va="center", fontsize=9)
    left.text(20.5, 0.012, "41 pixels", color=ORANGE, ha="right", va="center", fontsize=9)
    left.set(title="20 layers of 3×3", xlabel="distance from the centre", ylabel="share of the gradient")
    right.plot(depths, [2 * depth + 1 for depth in depths], color=ORANGE)
    right.plot(depths, effective, color=BLUE, drawstyle="steps-mid")
    right.text(19, 62, "receptive field", color=ORANGE, ha="right", va="center", fontsize=9)
    right.text(40, 8, "95% of the gradient", color=BLUE, ha="right", va="center", fontsize=9)
    right.set(title="width in pixels", xlabel="layers")
    return drawn
