import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from figure_style import BLUE, INK, ORANGE, SKY, figure, plt


def imbalanced(negatives: int) -> tuple[np.ndarray, np.ndarray]:
    """1,000 positives around 2 and `negatives` times as many negatives around 0, both with spread 1."""
    generator = np.random.default_rng(0)
    scores = np.concatenate([generator.normal(2, 1, 1000), generator.normal(0, 1, 1000 * negatives)])
    return np.arange(len(scores)) < 1000, scores


def pairs(panel) -> None:
    y = np.array([1, 1, 0, 1, 0, 0])
    s = np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.2])
    fpr, tpr, thresholds = roc_curve(y, s, drop_intermediate=False)
    assert round(9 * roc_auc_score(y, s)) == 8 and len(thresholds) == 7
    panel.fill_between(fpr, tpr, color=SKY, alpha=0.3, linewidth=0)
    panel.plot(fpr, tpr, color=BLUE, marker="o", markersize=4)
    panel.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
    for f, t, threshold in list(zip(fpr, tpr, thresholds))[1:]:
        panel.annotate(f"{threshold:g}", (f, t), xytext=(4, -12), textcoords="offset points")
    panel.set_xticks([0, 1 / 3, 2 / 3, 1], ["0", "1/3", "2/3", "1"])
    panel.set_yticks([0, 1 / 3, 2 / 3, 1], ["0", "1/3", "2/3", "1"])
    panel.set_xlim(-0.05, 1.14)
    panel.set_title("AUC = 8/9")
    panel.set_xlabel("false positive rate")
    panel.set_ylabel("true positive rate")


def precision(panel) -> None:
    for negatives, colour, line, at in [(1, BLUE, "-", (0.24, 0.74)), (100, ORANGE, "--", (0.34, 0.4))]:
        y, s = imbalanced(negatives)
        area = roc_auc_score(y, s)
        average = average_precision_score(y, s)
        assert f"{area:.2f}" == "0.92" and (average > 0.9 if negatives == 1 else average < 0.3)
        curve, recall, _ = precision_recall_curve(y, s)
        wanted = np.linspace(0.01, 1, 100)
        panel.plot(wanted, np.interp(wanted, recall[::-1], curve[::-1]), color=colour, linestyle=line)
        panel.text(*at, f"1 : {negatives}, AUC {area:.2f}", color=colour)
    panel.set_ylim(-0.02, 1.05)
    panel.set_title("precision")
    panel.set_xlabel("recall")


@figure("figure-pairs.svg")
def roc_and_imbalance() -> Figure:
    """The ROC staircase of six scores, and precision against recall of one model at two class ratios."""
    drawn, (left, right) = plt.subplots(1, 2)
    pairs(left)
    precision(right)
    return drawn
