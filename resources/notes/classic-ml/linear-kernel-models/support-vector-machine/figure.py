import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_moons
from sklearn.svm import SVC

from figure_style import BLUE, INK, ORANGE, SKY, figure, plt


def street(panel) -> None:
    generator = np.random.default_rng(4)
    X = np.concatenate([generator.normal((-1.7, -0.6), 0.75, (20, 2)), generator.normal((1.6, 0.9), 0.75, (20, 2))])
    y = np.repeat([-1, 1], 20)
    svm = SVC(kernel="linear", C=1e6).fit(X, y)
    (a, b), c = svm.coef_[0], svm.intercept_[0]
    assert svm.score(X, y) == 1 and len(svm.support_) == 3
    x1 = np.array([-5.0, 5.0])
    line = lambda level: (level - c - a * x1) / b
    panel.fill_between(x1, line(-1), line(1), color=SKY, alpha=0.25, linewidth=0)
    panel.plot(x1, line(0), color=INK, linewidth=1.3)
    for label, colour, marker in ((-1, ORANGE, "o"), (1, BLUE, "^")):
        panel.scatter(*X[y == label].T, s=14, color=colour, marker=marker, linewidths=0)
    panel.scatter(*svm.support_vectors_.T, s=90, facecolors="none", edgecolors=INK, linewidths=1.2)
    panel.set_xlim(-4, 4)
    panel.set_ylim(-3.2, 3.4)
    panel.set_title("widest margin")


def gammas(panel) -> None:
    X, y = make_moons(400, noise=0.3, random_state=0)
    values = np.geomspace(0.01, 10000, 25)
    models = [SVC(gamma=gamma).fit(X[:200], y[:200]) for gamma in values]
    train, test = (np.array([m.score(X[part], y[part]) for m in models]) for part in (slice(200), slice(200, None)))
    assert train[-1] == 1 and test[-1] < 0.6 and 0 < test.argmax() < len(values) - 5
    panel.semilogx(values, train, color=BLUE)
    panel.semilogx(values, test, color=ORANGE)
    panel.text(30, 1.015, "training", color=BLUE, ha="right")
    panel.text(700, 0.66, "test", color=ORANGE)
    panel.set_ylim(0.5, 1.06)
    panel.set_xlabel("gamma")
    panel.set_ylabel("accuracy")


@figure("figure-margin.svg")
def street_and_gamma() -> Figure:
    """The widest street with its support vectors, and accuracy against gamma of the RBF kernel."""
    drawn, (left, right) = plt.subplots(1, 2)
    street(left)
    gammas(right)
    return drawn
