import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB

from figure_style import BLUE, ORANGE, QUIET, figure, plt


@figure("figure-copies.svg")
def copies() -> Figure:
    """P(class 1) when all copies of one 80% feature say 1."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 4000)
    feature = np.where(rng.random(4000) < 0.8, y, 1 - y)[:, None]
    counts = range(1, 9)
    curves = [
        [m.fit(np.repeat(feature, k, 1), y).predict_proba(np.ones((1, k)))[0, 1] for k in counts]
        for m in (BernoulliNB(), LogisticRegression())
    ]
    assert abs(curves[0][0] - 0.8) < 0.02 and curves[0][3] > 0.99 and max(abs(v - 0.8) for v in curves[1]) < 0.02
    drawn, panel = plt.subplots(figsize=(5.6, 2.6))
    panel.axhline(0.8, color=QUIET, linewidth=1)
    panel.plot(counts, curves[0], "o-", color=ORANGE)
    panel.plot(counts, curves[1], "s--", color=BLUE)
    panel.text(8, 0.97, "naive Bayes", color=ORANGE, ha="right", va="top")
    panel.text(8, 0.815, "logistic regression", color=BLUE, ha="right", va="bottom")
    panel.text(8, 0.785, "truth", color=QUIET, ha="right", va="top")
    panel.set_ylim(0.74, 1.02)
    panel.set_xlabel("copies of the same feature")
    panel.set_ylabel("P(class 1)")
    return drawn
