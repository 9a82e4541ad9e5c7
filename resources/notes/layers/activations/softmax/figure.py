import numpy as np
import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, QUIET, figure, plt

SCORES = torch.tensor([2.0, 1.0, 0.0])


@figure("figure-temperature.svg")
def shares_by_temperature() -> Figure:
    """Left: the three shares at three temperatures. Right: the shares as the temperature rises."""
    temperatures = torch.logspace(-1, 1.3, 120)
    shares = torch.softmax(SCORES / temperatures[:, None], dim=-1)
    assert (shares[:, 0] >= shares[:, 1]).all() and (shares[:, 1] >= shares[:, 2]).all()
    assert shares[0, 0] > 0.99 and (shares[-1] - 1 / 3).abs().max() < 0.04

    drawn, (left, right) = plt.subplots(1, 2, sharey=True)
    width = 0.26
    for index, (colour, temperature) in enumerate(zip((ORANGE, BLUE, GREEN), (0.5, 1.0, 2.0))):
        p = torch.softmax(SCORES / temperature, dim=-1)
        left.bar(np.arange(3) + (index - 1) * width, p, width * 0.92, color=colour, label=f"T = {temperature:g}")
    left.set_xticks(range(3), ["2", "1", "0"])
    left.set_xlabel("score")
    left.set_title("share")
    left.legend(fontsize=9, handlelength=1.0)

    for index, style in enumerate(("-", "--", ":")):
        right.semilogx(temperatures, shares[:, index], color=BLUE, linestyle=style)
    right.axhline(1 / 3, color=QUIET, linewidth=0.9)
    right.text(0.12, 0.36, "1/3", color=QUIET)
    right.text(1.3, 0.72, "score 2", color=BLUE)
    right.text(0.62, 0.235, "score 1", color=BLUE, ha="right")
    right.text(1.1, 0.03, "score 0", color=BLUE, ha="left")
    right.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    right.minorticks_off()
    right.set_xlabel("temperature T")
    right.set_title("share by temperature")
    return drawn
