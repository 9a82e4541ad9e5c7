import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import f1_score, recall_score

from figure_style import BLUE, GREEN, ORANGE, SKY, figure, plt

MATRIX = np.array([[88, 10, 2], [3, 6, 1], [1, 1, 8]])


def sample(first: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of the worked example with the samples of class 0 repeated `first` times."""
    matrix = MATRIX * np.array([[first], [1], [1]])
    return np.repeat([0, 1, 2], matrix.sum(1)), np.concatenate([np.repeat([0, 1, 2], row) for row in matrix])


def bars(panel) -> None:
    y, p = sample(1)
    panel.bar([0, 1, 2], f1_score(y, p, average=None), color=SKY, width=0.55)
    for average, colour, line, at in [
        ("macro", BLUE, "-", -0.075),
        ("micro", ORANGE, "--", -0.07),
        ("weighted", GREEN, ":", 0.02),
    ]:
        value = f1_score(y, p, average=average)
        panel.axhline(value, color=colour, linestyle=line)
        panel.text(2.42, value + at, average, color=colour)
    assert round(f1_score(y, p, average="macro"), 2) == 0.71 and round(f1_score(y, p, average="micro"), 2) == 0.85
    panel.set_xticks([0, 1, 2], ["0\n(100)", "1\n(10)", "2\n(10)"])
    panel.set_xlim(-0.5, 3.7)
    panel.set_ylim(0, 1)
    panel.set_title("F1 of each class")


def copies(panel) -> None:
    times = [1, 2, 3, 5, 10, 20, 30]
    macro = [recall_score(*sample(k), average="macro") for k in times]
    micro = [recall_score(*sample(k), average="micro") for k in times]
    assert np.ptp(macro) < 1e-9 and (np.diff(micro) > 0).all() and micro[-1] < 0.88
    panel.plot([100 * k for k in times], micro, color=ORANGE, linestyle="--", marker="o", markersize=3)
    panel.plot([100 * k for k in times], macro, color=BLUE, marker="o", markersize=3)
    panel.text(1400, 0.845, "micro", color=ORANGE)
    panel.text(1400, 0.735, "macro", color=BLUE)
    panel.set_ylim(0.7, 0.92)
    panel.set_title("recall")
    panel.set_xlabel("samples of class 0")


@figure("figure-averages.svg")
def averages() -> Figure:
    """F1 of three classes with their averages, and macro and micro recall while class 0 grows."""
    drawn, (left, right) = plt.subplots(1, 2)
    bars(left)
    copies(right)
    return drawn
