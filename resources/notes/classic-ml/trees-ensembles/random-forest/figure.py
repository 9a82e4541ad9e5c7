import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer, make_moons
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.tree import DecisionTreeClassifier

from figure_style import BLUE, INK, ORANGE, figure, plt


def errors(panel) -> None:
    X, y = make_moons(900, noise=0.35, random_state=0)
    X = np.column_stack([X, np.random.default_rng(0).normal(size=(900, 4))])
    train, test = slice(300), slice(300, None)
    tree = np.mean(
        [1 - DecisionTreeClassifier(random_state=s).fit(X[train], y[train]).score(X[test], y[test]) for s in range(10)]
    )
    forest = RandomForestClassifier(300, random_state=0).fit(X[train], y[train])
    per_tree = np.stack([t.predict_proba(X) for t in forest.estimators_])
    unseen = np.ones((300, 300), bool)
    for row, rows in enumerate(forest.estimators_samples_):
        unseen[row, rows] = False
    counts = [1, 2, 3, 5, 10, 20, 50, 100, 200, 300]
    on_test = [(per_tree[:b, test].mean(0).argmax(1) != y[test]).mean() for b in counts]
    oob = []
    for b in counts:
        weights = unseen[:b, :, None]
        known = weights.sum(0)[:, 0] > 0
        vote = (per_tree[:b, train] * weights).sum(0)
        oob.append((vote[known].argmax(1) != y[train][known]).mean())
    assert on_test[-1] < tree - 0.03 and oob[-1] < tree - 0.02 and max(on_test[-3:]) - min(on_test[-3:]) < 0.02
    panel.semilogx(counts, on_test, color=ORANGE, marker="o", markersize=3)
    panel.semilogx(counts, oob, color=BLUE, marker="o", markersize=3)
    panel.axhline(tree, color=INK, linestyle=":", linewidth=1)
    panel.text(300, tree + 0.006, "one tree", ha="right")
    panel.text(1.0, on_test[3] - 0.035, "test", color=ORANGE)
    panel.text(6, oob[2] + 0.01, "out of bag", color=BLUE)
    panel.set_xlabel("number of trees")
    panel.set_ylabel("error")


def importances(panel) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = np.column_stack([X[:, [1, 4, 8, 9, 11]], np.random.default_rng(0).normal(size=len(X))])
    forest = RandomForestClassifier(300, random_state=0).fit(X[::2], y[::2])
    impurity = forest.feature_importances_
    shuffled = permutation_importance(forest, X[1::2], y[1::2], n_repeats=20, random_state=0).importances_mean
    shuffled = np.clip(shuffled, 0, None) / np.clip(shuffled, 0, None).sum()
    assert impurity[-1] > 0.05 and shuffled[-1] < 0.03
    at = np.arange(6)
    panel.barh(-at + 0.2, impurity, 0.38, color=BLUE)
    panel.barh(-at - 0.2, shuffled, 0.38, color=ORANGE)
    panel.set_yticks(-at, [f"x{i}" for i in range(1, 6)] + ["random"])
    panel.text(0.25, -3.6, "impurity", color=BLUE)
    panel.text(0.25, -4.3, "permutation", color=ORANGE)
    panel.grid(False)
    panel.set_title("importance")


@figure("figure-trees.svg")
def trees_and_importances() -> Figure:
    """Errors against the number of trees, and two importances of five real features and a random one."""
    drawn, (left, right) = plt.subplots(1, 2)
    errors(left)
    importances(right)
    return drawn
