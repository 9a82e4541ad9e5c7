import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_circles
from sklearn.linear_model import LogisticRegression

from figure_style import BLUE, INK, ORANGE, figure, plt


@figure("figure-features.svg")
def before_and_after_squaring() -> Figure:
    """Two rings in raw and in squared coordinates, with the line that logistic regression finds there."""
    X, y = make_circles(160, noise=0.06, factor=0.5, random_state=0)
    squared = X**2
    model = LogisticRegression(C=1000).fit(squared, y)
    assert model.score(squared, y) > 0.99 and LogisticRegression(C=1000).fit(X, y).score(X, y) < 0.65

    drawn, panels = plt.subplots(1, 2, figsize=(5.8, 2.9))
    for panel, points, title in zip(panels, (X, squared), ("raw features", "squared features")):
        for label, colour, marker in ((0, ORANGE, "o"), (1, BLUE, "^")):
            panel.scatter(*points[y == label].T, s=13, color=colour, marker=marker, linewidths=0)
        panel.set_title(title)
    (a, b), c = model.coef_[0], model.intercept_[0]
    x = np.linspace(0, -c / a, 50)
    panels[1].plot(x, -(a * x + c) / b, color=INK)
    panels[0].set_xlabel("x1")
    panels[0].set_ylabel("x2")
    panels[1].set_xlabel("x1²")
    panels[1].set_ylabel("x2²")
    return drawn
