import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


def contours(panel) -> None:
    grid = np.linspace(0.005, 1, 200)
    p, r = np.meshgrid(grid, grid)
    f1 = 2 * p * r / (p + r)
    assert f1[-1, 0] < 0.01 and (p + r)[-1, 0] / 2 > 0.5
    panel.contour(p, r, f1, levels=[0.2, 0.4, 0.6, 0.8], colors=BLUE, linewidths=1.6)
    for level in (0.2, 0.4, 0.6, 0.8):
        panel.text(level + 0.02, level + 0.02, f"{level}", color=BLUE)
    panel.plot([0.2, 1], [1, 0.2], color=ORANGE, linestyle="--", linewidth=1.6)
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    panel.set_title("lines of equal F1")
    panel.set_xlabel("precision")
    panel.set_ylabel("recall")


def threshold(panel) -> None:
    """F1 of probabilities that are calibrated by construction, for rare and for frequent positives."""
    rng = np.random.default_rng(0)
    panel.plot([0, 0.5], [0, 1], color=QUIET, linestyle=":")
    panel.text(0.36, 0.93, "F1 = 2t", color=INK, ha="right")
    for (a, b), colour, line in [((1, 4), BLUE, "-"), ((2, 2), ORANGE, "--")]:
        probability = rng.beta(a, b, 100000)
        label = rng.random(100000) < probability
        precision, recall, thresholds = precision_recall_curve(label, probability)
        f1 = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], 1e-9)
        best = thresholds[f1.argmax()]
        assert abs(best - f1.max() / 2) < 0.02 and best < 0.5
        shown = np.linspace(0.005, 0.97, 90)
        panel.plot(shown, np.interp(shown, thresholds, f1), color=colour, linestyle=line)
        panel.plot([best], [f1.max()], marker="o", color=colour)
    panel.set_ylim(0, 1.02)
    panel.set_xlim(0, 1)
    panel.set_title("calibrated scores")
    panel.set_xlabel("threshold")
    panel.set_ylabel("F1")


@figure("figure-mean.svg")
def mean_and_threshold() -> Figure:
    """Contours of F1 over precision and recall, and F1 against the threshold for calibrated scores."""
    drawn, (left, right) = plt.subplots(1, 2)
    contours(left)
    threshold(right)
    return drawn
