import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom

from figure_style import INK, SERIES, figure, plt


def expected_best(p: float, n: int, k: int) -> float:
    """Mean of the largest of k independent accuracies on n samples."""
    return (1 - binom.cdf(np.arange(n), n, p) ** k).sum() / n


@figure("figure-luck.svg")
def luck() -> Figure:
    """The half-width of the 95% interval over the test size, and the expected best of k equally good models."""
    n = np.logspace(2, 5, 40).round()
    width = {p: 1.96 * binom(n, p).std() / n * 100 for p in (0.8, 0.95)}
    k = np.arange(1, 51)
    best = {size: np.array([expected_best(0.9, size, int(j)) for j in k]) * 100 for size in (1000, 10_000)}
    np.testing.assert_allclose(width[0.8][0] / width[0.8][-1], np.sqrt(1000))
    for curve in best.values():
        assert abs(curve[0] - 90) < 1e-6 and (np.diff(curve) > 0).all()
    assert (best[1000][1:] > best[10_000][1:]).all()

    drawn, (left, right) = plt.subplots(1, 2, figsize=(5.6, 2.5))
    for (p, curve), colour, style in zip(width.items(), SERIES, ("-", "--")):
        left.plot(n, curve, style, color=colour, label=f"accuracy {p:.0%}")
    left.set(xscale="log", ylim=(0, None), xlabel="test samples", ylabel="± points (95%)")
    left.legend(fontsize=8)
    for (size, curve), colour, style in zip(best.items(), SERIES, ("-", "--")):
        right.plot(k, curve, style, color=colour)
        right.text(50, curve[-1] + 0.09, f"{size:,} samples", ha="right", fontsize=8)
    right.axhline(90, color=INK, linewidth=0.9)
    right.text(50, 89.93, "true accuracy", ha="right", va="top", fontsize=8)
    right.set(ylim=(89.6, 92.7), xlabel="equally good models tried", ylabel="expected best (%)")
    return drawn
