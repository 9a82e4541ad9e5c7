import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, INK, ORANGE, figure, plt

SIZES = (2, 4, 8, 16, 32, 64)


def bins(H: int, O: int) -> list[np.ndarray]:
    """Which input positions influence each output, read from the gradient of the library's pooling."""
    x = torch.zeros(1, H, requires_grad=True)
    y = nn.AdaptiveAvgPool1d(O)(x)[0]
    return [torch.autograd.grad(value, x, retain_graph=True)[0][0].nonzero()[:, 0].numpy() for value in y]


def padding_share(lengths: np.ndarray, size: int) -> float:
    padded = sum(batch.max() * len(batch) for batch in np.split(lengths, len(lengths) // size))
    return float(1 - lengths.sum() / padded)


@figure("figure-sizes.svg")
def bins_and_padding() -> Figure:
    """The bins of adaptive pooling from 7 to 3, and the share of padding for two ways to form batches."""
    found = bins(7, 3)
    assert [part.tolist() for part in found] == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    lengths = np.random.default_rng(0).lognormal(4, 0.8, 4096).round().astype(int) + 1
    mixed, sorted_ = ([padding_share(order, size) for size in SIZES] for order in (lengths, np.sort(lengths)))
    assert mixed[4] > 0.5 and max(sorted_) < 0.1

    drawn, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.8))
    for row, (part, colour) in enumerate(zip(found, (ORANGE, GREEN, BLUE))):
        left.barh(-row, len(part), left=part[0] - 0.5, height=0.6, color=colour, alpha=0.7, linewidth=0)
        left.text(part.mean(), -row, "1/3", ha="center", va="center", color=INK)
    left.set_yticks([0, -1, -2], ["0", "1", "2"])
    left.set_xticks(range(7))
    left.set_xlabel("input position")
    left.set_ylabel("output")
    left.set_title("adaptive pooling, 7 to 3")
    right.plot(SIZES, mixed, "o-", color=ORANGE, markersize=4, label="random batches")
    right.plot(SIZES, sorted_, "o-", color=BLUE, markersize=4, label="sorted by length")
    right.set_xscale("log", base=2)
    right.set_xticks(SIZES, [str(size) for size in SIZES])
    right.set_ylim(-0.03, 1)
    right.set_xlabel("batch size")
    right.set_title("share of padding")
    right.legend(loc="upper left")
    return drawn
