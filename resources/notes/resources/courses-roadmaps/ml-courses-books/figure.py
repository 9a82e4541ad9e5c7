import torch
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, QUIET, figure, plt


@figure("figure-conventions.svg")
def two_conventions_of_the_variance() -> Figure:
    """Both variances, averaged over many samples of a standard normal, by sample size."""
    generator = torch.Generator().manual_seed(0)
    sizes = list(range(2, 21))
    samples = [torch.randn(40_000, n, generator=generator) for n in sizes]
    biased = [float(x.var(1, unbiased=False).mean()) for x in samples]
    unbiased = [float(x.var(1).mean()) for x in samples]
    assert max(abs(v - 1) for v in unbiased) < 0.03 and abs(biased[0] - 0.5) < 0.02 and biased[-1] > 0.93

    drawn, axes = plt.subplots()
    axes.axhline(1, color=QUIET, linestyle=":", label="true variance")
    axes.plot(sizes, unbiased, color=BLUE, marker="o", markersize=4, label="divide by n - 1")
    axes.plot(sizes, biased, color=ORANGE, marker="s", markersize=4, linestyle=(0, (4, 2)), label="divide by n")
    axes.set_xlabel("samples n")
    axes.set_ylabel("variance")
    axes.set_xticks([2, 5, 10, 15, 20])
    axes.set_ylim(0.4, 1.15)
    axes.legend(loc="lower right")
    return drawn
