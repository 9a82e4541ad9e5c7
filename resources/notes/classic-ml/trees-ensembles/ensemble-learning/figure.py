import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom, norm
from sklearn.datasets import make_moons
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import log_loss

from figure_style import BLUE, ORANGE, figure, plt


def votes(panel) -> None:
    voters = np.arange(1, 32, 2)
    independent = binom.sf(voters // 2, voters, 0.7)
    generator = np.random.default_rng(0)
    shared, own = generator.normal(size=(40000, 1)), generator.normal(size=(40000, 31))
    right = np.sqrt(0.8) * shared + np.sqrt(0.2) * own < norm.ppf(0.7)
    correlated = [(right[:, :count].mean(1) > 0.5).mean() for count in voters]
    assert abs(independent[5] - 0.922) < 1e-3 and correlated[-1] < 0.75 < independent[1]
    panel.plot(voters, independent, color=BLUE, marker="o", markersize=3.5)
    panel.plot(voters, correlated, color=ORANGE, marker="o", markersize=3.5)
    panel.text(12, 0.87, "independent", color=BLUE)
    panel.text(12, 0.735, "correlated", color=ORANGE)
    panel.set_ylim(0.65, 1.02)
    panel.set_xlabel("number of voters")
    panel.set_title("accuracy of the majority")


def rounds(panel) -> None:
    X, y = make_moons(1200, noise=0.4, random_state=0)
    losses = {}
    for rate, colour, style in ((1.0, ORANGE, "--"), (0.1, BLUE, "-")):
        model = GradientBoostingClassifier(n_estimators=150, learning_rate=rate, max_depth=2, random_state=0).fit(
            X[:300], y[:300]
        )
        losses[rate] = [log_loss(y[300:], p) for p in model.staged_predict_proba(X[300:])]
        panel.plot(range(1, 151), losses[rate], color=colour, linestyle=style)
    assert losses[1.0][-1] > 1.5 * min(losses[1.0]) and min(losses[0.1]) < min(losses[1.0])
    panel.text(60, 0.86, "ν = 1", color=ORANGE)
    panel.text(90, 0.43, "ν = 0.1", color=BLUE)
    panel.set_ylim(0.3, 1.1)
    panel.set_xlabel("boosting rounds")
    panel.set_title("test loss")


@figure("figure-votes.svg")
def votes_and_rounds() -> Figure:
    """Majority votes of independent and correlated voters, and test loss against boosting rounds."""
    drawn, (left, right) = plt.subplots(1, 2)
    votes(left)
    rounds(right)
    return drawn
