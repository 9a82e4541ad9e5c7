import math

import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve, precision_score, recall_score

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


@figure("figure-shift.svg")
def shift() -> Figure:
    """Logistic regression with and without balanced weights on data with 19 negatives per positive."""
    generator = np.random.default_rng(0)
    x = np.r_[generator.normal(0, 1, 38000), generator.normal(2, 1, 2000)][:, None]
    y = np.repeat([0, 1], [38000, 2000])
    plain, balanced = (LogisticRegression(C=1e6, class_weight=w).fit(x, y) for w in (None, "balanced"))
    assert abs((balanced.intercept_ - plain.intercept_)[0] - math.log(19)) < 0.3
    assert abs(balanced.coef_[0, 0] - plain.coef_[0, 0]) < 0.1

    drawn, (left, right) = plt.subplots(1, 2)
    grid = np.linspace(-2.5, 5, 200)[:, None]
    precision, recall, _ = precision_recall_curve(y, x[:, 0])
    right.plot(recall[::40], precision[::40], color=QUIET)
    for model, colour, line, mark in [(plain, BLUE, "-", "o"), (balanced, ORANGE, "--", "^")]:
        left.plot(grid, model.predict_proba(grid)[:, 1], color=colour, linestyle=line)
        at = recall_score(y, model.predict(x)), precision_score(y, model.predict(x))
        assert np.abs(np.c_[recall, precision] - at).sum(1).min() < 1e-3
        right.plot(*at, color=colour, marker=mark, markersize=8, linestyle="none")
    assert recall_score(y, balanced.predict(x)) > recall_score(y, plain.predict(x)) + 0.3
    left.axhline(0.5, color=INK, linestyle=":", linewidth=1)
    left.text(2.95, 0.28, "plain", color=BLUE)
    left.text(-2.5, 0.93, "balanced weights", color=ORANGE)
    left.set_title("probability of the rare class")
    left.set_xlabel("feature")
    right.set_ylim(0, 1.05)
    right.set_title("same curve")
    right.set_xlabel("recall")
    right.set_ylabel("precision")
    return drawn
