import numpy as np
from matplotlib.figure import Figure
from sklearn.feature_selection import SelectKBest, f_classif, mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt

KEPT = (5, 20, 100, 500)


@figure("figure-selection.svg")
def leak_and_interaction() -> Figure:
    """Cross-validated accuracy on noise for two places of the selection, and the information of an exclusive or."""
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(6):
        X, y = rng.normal(size=(100, 2000)), rng.permutation(np.arange(100) % 2)
        for k in KEPT:
            scores.append(
                cross_val_score(LogisticRegression(), SelectKBest(f_classif, k=k).fit_transform(X, y), y, cv=5).mean()
            )
            scores.append(
                cross_val_score(make_pipeline(SelectKBest(f_classif, k=k), LogisticRegression()), X, y, cv=5).mean()
            )
    before, inside = np.array(scores).reshape(6, len(KEPT), 2).mean(0).T
    assert before.min() > 0.7 and abs(inside - 0.5).max() < 0.1, (before, inside)
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 25)
    target = bits[:, 0] ^ bits[:, 1]
    information = mutual_info_classif(np.c_[bits, 2 * bits[:, 0] + bits[:, 1]], target, discrete_features=True)
    assert information[0] < 1e-9 and information[1] < 1e-9 and abs(information[2] - np.log(2)) < 1e-9

    drawn, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.8))
    left.plot(KEPT, before, "o-", color=ORANGE, markersize=4, label="selected before CV")
    left.plot(KEPT, inside, "o-", color=BLUE, markersize=4, label="inside each fold")
    left.axhline(0.5, color=QUIET, linestyle=":")
    left.set_xscale("log")
    left.set_xticks(KEPT, [str(k) for k in KEPT])
    left.minorticks_off()
    left.set_ylim(0, 1.05)
    left.set_xlabel("columns kept")
    left.set_title("accuracy on pure noise")
    left.legend(loc="lower left")
    right.bar(["x1", "x2", "x1 and x2"], information, color=[ORANGE, ORANGE, BLUE], width=0.6)
    for x, value in enumerate(information):
        right.text(x, value + 0.015, f"{abs(value):.2f}", ha="center", color=INK)
    right.set_ylim(0, 0.8)
    right.set_title("mutual information (nats)")
    return drawn
