import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import Perceptron
from sklearn.neural_network import MLPClassifier

from figure_style import BLUE, INK, ORANGE, SKY, figure, plt


def mistakes_of(X: np.ndarray, y: np.ndarray) -> int:
    """Mistakes until a whole pass is right; the result is checked with the library."""
    w, b, mistakes, clean = np.zeros(X.shape[1]), 0.0, 0, False
    while not clean:
        clean = True
        for x, label in zip(X, y):
            if label * (w @ x + b) <= 0:
                w, b, mistakes, clean = w + label * x, b + label, mistakes + 1, False
    assert Perceptron(shuffle=False, tol=None, max_iter=3000).fit(X, y).score(X, y) == 1
    return mistakes


def margins(panel) -> None:
    generator = np.random.default_rng(0)
    u = np.array([0.8, -0.6, 0.0])
    values, counts, bounds = [0.05, 0.1, 0.2, 0.4, 0.8], [], []
    for gamma in values:
        one = []
        for _ in range(12):
            X = np.column_stack([generator.normal(size=(150, 2)), np.ones(150)])
            y = np.where(X @ u > 0, 1, -1)
            X = X + (y * gamma)[:, None] * u
            one.append(mistakes_of(X[:, :2], y))
        counts.append(np.mean(one))
        bounds.append((np.linalg.norm(X, axis=1).max() / (y * (X @ u)).min()) ** 2)
    assert (np.diff(counts) < 0).all() and all(c < b for c, b in zip(counts, bounds))
    panel.loglog(values, bounds, color=INK, linestyle=":", marker="o", markersize=3)
    panel.loglog(values, counts, color=BLUE, marker="o", markersize=4)
    panel.text(0.13, 2200, "bound")
    panel.text(0.055, counts[0] * 0.25, "perceptron", color=BLUE)
    panel.set_xticks(values, [f"{value:g}" for value in values])
    panel.minorticks_off()
    panel.set_xlabel("margin")
    panel.set_title("mistakes")


def xor(panel) -> None:
    points, labels = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    net = MLPClassifier((2,), activation="tanh", solver="lbfgs", random_state=1).fit(points, labels)
    assert net.score(points, labels) == 1
    x, y = np.meshgrid(np.linspace(-0.5, 1.5, 80), np.linspace(-0.5, 1.5, 80))
    p = net.predict_proba(np.column_stack([x.ravel(), y.ravel()]))[:, 1].reshape(x.shape)
    panel.contourf(x, y, p, levels=[0.5, 1.01], colors=[SKY], alpha=0.35)
    panel.contour(x, y, p, levels=[0.5], colors=[INK], linewidths=1.2)
    for label, colour, marker in ((0, ORANGE, "o"), (1, BLUE, "^")):
        panel.scatter(*points[labels == label].T, s=70, color=colour, marker=marker, zorder=3)
    panel.set_xticks([0, 1])
    panel.set_yticks([0, 1])
    panel.set_title("XOR, two hidden units")


@figure("figure-xor.svg")
def mistakes_and_xor() -> Figure:
    """Mistakes of a perceptron against the margin with Novikoff's bound, and XOR solved by two hidden units."""
    drawn, (left, right) = plt.subplots(1, 2)
    margins(left)
    xor(right)
    return drawn
