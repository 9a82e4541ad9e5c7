import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, figure, plt

SIDES = range(1, 11)


@figure("figure-averaging.svg")
def neighbours_undo_ordinary_dropout() -> Figure:
    """Standard deviation of the window mean of a constant map of ones after dropout with p = 0.5."""
    torch.manual_seed(0)
    noise = {}
    for name, layer in (("Dropout2d", nn.Dropout2d(0.5)), ("Dropout", nn.Dropout(0.5))):
        noise[name] = [float(F.avg_pool2d(layer(torch.ones(50, 200, side, side)), side).std()) for side in SIDES]
    assert all(abs(value - 1) < 0.03 for value in noise["Dropout2d"])
    assert all(abs(value * side - 1) < 0.05 for side, value in zip(SIDES, noise["Dropout"], strict=True))

    drawn, panel = plt.subplots()
    panel.plot(SIDES, noise["Dropout2d"], color=ORANGE, marker="s", markersize=4, label="Dropout2d")
    panel.plot(SIDES, noise["Dropout"], color=BLUE, marker="o", markersize=4, linestyle=(0, (5, 2)), label="Dropout")
    panel.set_ylim(0, 1.15)
    panel.set_xlabel("side of the averaged window")
    panel.set_ylabel("remaining noise")
    panel.legend(loc="center right")
    return drawn
