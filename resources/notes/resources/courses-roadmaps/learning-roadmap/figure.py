import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom

from figure_style import BLUE, ORANGE, figure, plt

N, P, MOST = 1000, 0.8, 20


@figure("figure-leaderboard.svg")
def the_best_of_many_looks_better() -> Figure:
    """Mean of the best of k scores of equally good models, exactly, and what the chosen one scores on new data."""
    counts = np.arange(1, MOST + 1)
    below = binom.cdf(np.arange(N + 1), N, P)
    best = np.array([np.sum(1 - below[:-1] ** k) / N for k in counts])
    assert abs(best[0] - P) < 1e-9 and best[-1] > P + 0.02 and (np.diff(best) > 0).all()
    scores = np.random.default_rng(0).binomial(N, P, size=(20_000, 5)).max(1) / N
    assert abs(scores.mean() - best[4]) < 5e-4

    drawn, axes = plt.subplots()
    axes.plot(counts, best, color=ORANGE, marker="o", markersize=4, label="best on the public board")
    axes.plot(counts, np.full(MOST, P), color=BLUE, linestyle=(0, (4, 2)), label="the same model on new data")
    axes.set_xlabel("submissions")
    axes.set_ylabel("accuracy")
    axes.set_xticks([1, 5, 10, 15, 20])
    axes.set_ylim(0.79, 0.84)
    axes.legend(loc="upper left")
    return drawn
