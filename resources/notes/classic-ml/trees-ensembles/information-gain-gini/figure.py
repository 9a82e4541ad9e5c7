import numpy as np
from matplotlib.figure import Figure
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score
from sklearn.tree import DecisionTreeClassifier

from figure_style import BLUE, GREEN, ORANGE, figure, plt


def impurities(panel) -> None:
    ones = np.arange(0, 101, 2)
    impurity = {name: [] for name in ("entropy", "gini")}
    for count in ones:
        y = np.repeat([0, 1], [100 - count, count])
        for name, values in impurity.items():
            values.append(
                DecisionTreeClassifier(criterion=name, max_depth=1).fit(np.zeros((100, 1)), y).tree_.impurity[0]
            )
    half, gini = np.array(impurity["entropy"]) / 2, np.array(impurity["gini"])
    assert np.abs(half - gini).max() < 0.07 and gini.max() == 0.5
    p = ones / 100
    panel.plot(p, half, color=BLUE)
    panel.plot(p, gini, color=ORANGE, linestyle="--")
    panel.plot(p, np.minimum(p, 1 - p), color=GREEN, linestyle=":")
    panel.text(-0.02, 0.53, "entropy / 2", color=BLUE)
    panel.text(0.41, 0.53, "Gini", color=ORANGE)
    panel.text(0.4, 0.26, "error", color=GREEN)
    panel.set_ylim(0, 0.6)
    panel.set_xlabel("share of class 1")
    panel.set_title("impurity of two classes")


def useless(panel) -> None:
    generator = np.random.default_rng(0)
    values, gains, ratios = [2, 5, 10, 20, 40, 60, 80], [], []
    for m in values:
        gain, ratio = [], []
        for _ in range(150):
            feature, y = generator.integers(0, m, 100), generator.integers(0, 2, 100)
            gain.append(mutual_info_score(feature, y) / np.log(2))
            ratio.append(gain[-1] / entropy(np.unique(feature, return_counts=True)[1], base=2))
        gains.append(np.mean(gain))
        ratios.append(np.mean(ratio))
    assert (np.diff(gains) > 0).all() and gains[-1] > 0.5 and ratios[-1] < 0.15
    panel.plot(values, gains, color=BLUE, marker="o", markersize=3.5)
    panel.plot(values, ratios, color=ORANGE, marker="o", markersize=3.5)
    panel.text(20, gains[4] + 0.1, "gain", color=BLUE)
    panel.text(45, ratios[5] + 0.04, "gain ratio", color=ORANGE)
    panel.set_ylim(0, 0.8)
    panel.set_xlabel("number of its values")
    panel.set_title("score of a useless feature")


@figure("figure-impurity.svg")
def impurities_and_useless_feature() -> Figure:
    """Impurities of two classes, and scores of a random feature against its number of values."""
    drawn, (left, right) = plt.subplots(1, 2)
    impurities(left)
    useless(right)
    return drawn
