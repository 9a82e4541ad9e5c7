import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


@figure("figure-spread.svg")
def masks_and_spread() -> Figure:
    """Left: the masks of eight calls. Right: the sum of 100 activations under dropout, for two rates."""
    torch.manual_seed(2)
    masks = F.dropout(torch.ones(8, 12), p=0.5)
    activations = torch.rand(100)
    evaluation = float(activations.sum())
    sums = {p: F.dropout(activations.expand(20_000, 100), p).sum(1) for p in (0.1, 0.5)}
    for p, values in sums.items():
        assert abs(float(values.mean()) - evaluation) < 0.1
        expected = (p / (1 - p) * activations.square().sum()).sqrt()
        assert abs(float(values.std() / expected) - 1) < 0.02
    assert sums[0.5].std() > 2.5 * sums[0.1].std()

    drawn, (left, right) = plt.subplots(1, 2)
    rows, columns = torch.where(masks > 0)
    left.scatter(columns, rows, marker="s", s=52, color=BLUE, linewidths=0)
    rows, columns = torch.where(masks == 0)
    left.scatter(columns, rows, marker="s", s=46, facecolors="none", edgecolors=QUIET, linewidths=0.8)
    left.grid(False)
    left.set_xticks([])
    left.set_yticks(range(8), [str(call + 1) for call in range(8)])
    left.invert_yaxis()
    left.set_xlabel("unit")
    left.set_ylabel("call")
    left.set_title("kept and dropped, p = 0.5")

    for p, colour in ((0.1, BLUE), (0.5, ORANGE)):
        right.hist(sums[p], bins=50, density=True, histtype="step", linewidth=1.8, color=colour)
    top = right.get_ylim()[1] * 1.2
    right.set_ylim(0, top)
    right.plot([evaluation] * 2, [0, top * 0.9], color=INK, linewidth=1.2, linestyle="--")
    right.text(evaluation, top * 0.93, "evaluation", ha="center", color=INK)
    right.text(evaluation + 3.6, top * 0.62, "p = 0.1", color=BLUE)
    right.text(evaluation + 7.0, top * 0.2, "p = 0.5", color=ORANGE)
    right.set_yticks([])
    right.set_xlabel("sum of 100 units")
    right.set_title("spread")
    return drawn
