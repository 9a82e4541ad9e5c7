import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import convolve1d
from sklearn.linear_model import LinearRegression

from figure_style import BLUE, ORANGE, QUIET, figure, plt


@figure("figure-regions.svg")
def regions() -> Figure:
    """A skewed label histogram with its smoothed version, and the error of a line by label region with and without LDS."""
    generator = np.random.default_rng(9)
    few = generator.beta(1, 3, 200)
    labels = np.floor(20 * few**2).astype(int)
    counts = np.bincount(labels, minlength=20).astype(float)
    kernel = np.exp(-0.5 * (np.arange(-2, 3) / 2.0) ** 2)
    smoothed = convolve1d(counts, kernel / kernel.sum(), mode="reflect")
    assert (counts[: np.nonzero(counts)[0].max()] == 0).any() and (
        smoothed[: np.nonzero(counts)[0].max() + 1] > 0
    ).all()

    x = generator.beta(1, 3, 20000)
    y = 20 * x**2 + generator.normal(0, 0.5, len(x))
    bins = np.floor(y - y.min()).astype(int)
    density = convolve1d(np.bincount(bins).astype(float), kernel / kernel.sum(), mode="reflect")
    weight = 1 / density[bins]
    edges = np.arange(0, 20, 2)
    errors = []
    for w in (None, weight):
        error = np.abs(LinearRegression().fit(x[:, None], y, sample_weight=w).predict(x[:, None]) - y)
        errors.append([error[(y >= low) & (y < low + 2)].mean() for low in edges])
    assert errors[1][0] > errors[0][0] and all(errors[1][k] < errors[0][k] for k in range(4, 9))

    drawn, (left, right) = plt.subplots(1, 2)
    left.bar(np.arange(20) + 0.5, counts, width=0.85, color=QUIET, alpha=0.6)
    left.plot(np.arange(20) + 0.5, smoothed, color=BLUE)
    left.text(1.8, 70, "counts")
    left.text(5.5, 16, "smoothed", color=BLUE)
    left.set_yscale("symlog", linthresh=1)
    left.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    left.set_title("label density")
    left.set_xlabel("label y")
    right.plot(edges + 1, errors[0], color=ORANGE, linestyle="--", marker="o", markersize=4)
    right.plot(edges + 1, errors[1], color=BLUE, marker="o", markersize=4)
    right.text(7.5, errors[0][4] + 1.2, "plain", color=ORANGE)
    right.text(0.7, 1.95, "LDS weights", color=BLUE)
    right.set_ylim(0, None)
    right.set_title("mean absolute error")
    right.set_xlabel("label y")
    return drawn
