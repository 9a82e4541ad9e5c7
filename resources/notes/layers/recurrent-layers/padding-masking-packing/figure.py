import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from figure_style import BLUE, ORANGE, figure, plt

PADDING = range(0, 31)


@figure("figure-padding.svg")
def padding_drowns_the_state() -> Figure:
    """Relative error of the final GRU state of a five-step sequence against the number of zero steps after it."""
    torch.manual_seed(0)
    gru = nn.GRU(8, 32, batch_first=True)
    x = torch.randn(100, 5, 8)
    with torch.no_grad():
        true = gru(x)[1]
        read, packed = [], []
        for steps in PADDING:
            padded = torch.cat([x, torch.zeros(100, steps, 8)], dim=1)
            for errors, given in ((read, padded), (packed, pack_padded_sequence(padded, [5] * 100, batch_first=True))):
                errors.append(float((gru(given)[1] - true).norm() / true.norm()))
    assert max(packed) < 1e-6 and read[0] < 1e-6 and read[5] > 0.5 and read[30] > 0.8

    drawn, panel = plt.subplots()
    panel.plot(PADDING, read, color=ORANGE, marker="o", markersize=3, label="read to the end")
    panel.plot(PADDING, packed, color=BLUE, linestyle=(0, (5, 2)), label="packed")
    panel.set_xlabel("padding steps")
    panel.set_ylabel("error of the final state")
    panel.legend(loc="center right")
    return drawn
