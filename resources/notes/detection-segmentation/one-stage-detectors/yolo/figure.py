import torch
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, QUIET, figure, plt


@figure("figure-decoding.svg")
def decoding() -> Figure:
    """What a raw output becomes: the centre within the cell, and the size relative to the anchor."""
    t = torch.linspace(-5, 5, 201)
    v3, v5 = t.sigmoid(), 2 * t.sigmoid() - 0.5
    size3, size5 = t.exp(), (2 * t.sigmoid()) ** 2
    assert 0 < v3.min() and v3.max() < 1 and v5.min() < -0.4 and v5.max() > 1.4
    assert size3.max() > 100 and size5.max() < 4 and abs(float(size5[100]) - 1) < 1e-6
    drawn, (left, right) = plt.subplots(1, 2)
    left.axhspan(0, 1, color=QUIET, alpha=0.15, linewidth=0)
    for values, colour, line, name in ((v3, ORANGE, "--", "v2, v3"), (v5, BLUE, "-", "v5, v7")):
        left.plot(t, values, line, color=colour, label=name)
    left.text(-4.8, 0.85, "the cell", fontsize=9)
    left.set_title("centre, in cells")
    left.set_xlabel("raw output t")
    left.legend(loc="lower right")
    right.plot(t, size3, "--", color=ORANGE)
    right.plot(t, size5, color=BLUE)
    right.set_ylim(0, 8)
    right.set_title("size, in anchors")
    right.set_xlabel("raw output t")
    return drawn
