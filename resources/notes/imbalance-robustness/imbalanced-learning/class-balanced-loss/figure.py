import numpy as np
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, figure, plt

STYLES = [(0.9, GREEN, ":"), (0.99, ORANGE, "--"), (0.999, BLUE, "-")]


def effective(n, beta):
    return (1 - beta**n) / (1 - beta)


@figure("figure-effective.svg")
def effective_number() -> Figure:
    """Effective number against samples, with counts of distinct draws, and the weights of ten classes of a long tail."""
    generator = np.random.default_rng(0)
    drawn, (left, right) = plt.subplots(1, 2)
    n = np.unique(np.logspace(0, 4, 60).astype(int))
    counts = np.round(5000 * 0.01 ** (np.arange(10) / 9))
    spread = []
    for beta, colour, line in STYLES:
        left.plot(n, effective(n, beta), color=colour, linestyle=line)
        prototypes = round(1 / (1 - beta))
        sizes = [3, 30, 300, 3000]
        seen = [
            np.mean([len(np.unique(generator.integers(prototypes, size=size))) for _ in range(50)]) for size in sizes
        ]
        np.testing.assert_allclose(seen, effective(np.array(sizes), beta), rtol=0.05)
        left.plot(sizes, seen, color=colour, marker="o", markersize=4, linestyle="none")
        left.text(1.5e4, prototypes * 0.42, f"β = {beta}", color=colour, ha="right", va="top")
        inverse = 1 / effective(counts, beta)
        weight = 10 * inverse / inverse.sum()
        spread.append(weight.max() / weight.min())
        right.plot(range(1, 11), weight, color=colour, linestyle=line, marker="o", markersize=3)
    assert spread[0] < 1.1 and spread[0] < spread[1] < spread[2] and spread[2] > 15
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_title("effective number")
    left.set_xlabel("samples")
    right.set_xticks([1, 4, 7, 10])
    right.set_title("weight of ten classes")
    right.set_xlabel("class")
    return drawn
