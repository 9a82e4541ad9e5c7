import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt


def dice_loss(p, g, smooth):
    return 1 - (2 * (p * g).sum() + smooth) / (p.sum() + g.sum() + smooth)


@figure("figure-imbalance.svg")
def missed_and_empty() -> Figure:
    """Losses when every pixel gets probability 0.01, against the size of the mask; and false pixels on an empty mask."""
    pixels = 100_000
    counts = torch.logspace(2, 4.6, 40).round().int()
    bce, dice = [], []
    for count in counts.tolist():
        g = torch.zeros(pixels)
        g[:count] = 1
        p = torch.full((pixels,), 0.01)
        bce.append(F.binary_cross_entropy(p, g).item())
        dice.append(dice_loss(p, g, 1e-5).item())
    assert bce[0] < 0.02 and bce[-1] > 1 and min(dice) > 0.97

    drawn, (left, right) = plt.subplots(1, 2)
    left.semilogx(counts / pixels, bce, color=ORANGE, label="mean BCE")
    left.semilogx(counts / pixels, dice, color=BLUE, label="Dice loss")
    left.set_ylim(0, 2)
    left.set_title("mask missed entirely")
    left.set_xlabel("share of foreground pixels")
    left.legend(loc="upper left")

    false_pixels = list(range(0, 21))
    for smooth, colour, name in ((1e-5, PINK, "smooth 1e-5"), (1.0, BLUE, "smooth 1"), (10.0, GREEN, "smooth 10")):
        losses = [dice_loss(torch.ones(k), torch.zeros(k), smooth).item() for k in false_pixels]
        assert losses[0] == 0 and abs(losses[1] - 1 / (1 + smooth)) < 1e-4
        right.plot(false_pixels, losses, "o-", markersize=3, color=colour, label=name)
    assert abs(dice_loss(torch.ones(1), torch.zeros(1), 1.0).item() - 0.5) < 1e-6
    right.set_title("empty mask")
    right.set_xlabel("false foreground pixels")
    right.legend(loc="lower right")
    return drawn
