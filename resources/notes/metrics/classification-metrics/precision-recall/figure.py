import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.metrics import confusion_matrix, precision_recall_curve

from figure_style import BLUE, INK, ORANGE, figure, plt


def matrix(panel) -> None:
    counts = confusion_matrix(np.repeat([1, 0], [8, 92]), np.repeat([1, 0, 1, 0], [6, 2, 3, 89]))
    names = [["TN", "FP"], ["FN", "TP"]]
    for row in range(2):
        for column in range(2):
            panel.text(column, row, f"{names[row][column]} = {counts[row, column]}", ha="center", va="center")
            panel.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=0.6))
    panel.add_patch(Rectangle((0.56, -0.44), 0.88, 1.88, fill=False, edgecolor=BLUE, linewidth=2, linestyle="--"))
    panel.add_patch(Rectangle((-0.44, 0.56), 1.88, 0.88, fill=False, edgecolor=ORANGE, linewidth=2))
    panel.text(1, -0.62, "precision", color=BLUE, ha="center", va="bottom")
    panel.text(0, 1.6, "recall", color=ORANGE, ha="center", va="top")
    panel.set_xlim(-0.55, 1.55)
    panel.set_ylim(1.9, -0.95)
    panel.set_xticks([0, 1], ["predicted −", "predicted +"])
    panel.set_yticks([0, 1], ["truly −", "truly +"])
    panel.grid(False)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)


def threshold(panel) -> None:
    generator = np.random.default_rng(3)
    y = np.repeat([1, 0], [20, 40])
    scores = np.concatenate([generator.normal(0.64, 0.17, 20), generator.normal(0.36, 0.17, 40)])
    precision, recall, thresholds = precision_recall_curve(y, scores)
    assert (np.diff(recall) <= 0).all() and (np.diff(precision) < 0).any() and precision[-2] - precision[0] > 0.5
    assert (np.diff(precision) > 0).sum() > 2 * (np.diff(precision) < 0).sum()
    panel.step(thresholds, precision[:-1], color=BLUE, linestyle="--", where="pre")
    panel.step(thresholds, recall[:-1], color=ORANGE, where="pre")
    panel.text(0.02, 0.62, "precision", color=BLUE)
    panel.text(0.72, 0.5, "recall", color=ORANGE)
    panel.set_ylim(0, 1.05)
    panel.set_title("moving the threshold")
    panel.set_xlabel("threshold")


@figure("figure-matrix.svg")
def matrix_and_threshold() -> Figure:
    """The confusion matrix of the worked example, and precision and recall of 60 scores at every threshold."""
    drawn, (left, right) = plt.subplots(1, 2)
    matrix(left)
    threshold(right)
    return drawn
