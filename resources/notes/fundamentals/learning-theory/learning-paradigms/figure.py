import numpy as np
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading

from figure_style import BLUE, INK, ORANGE, figure, plt


@figure("figure-moons.svg")
def three_signals() -> Figure:
    """The same points learned from four labels, from no labels, and from four labels with the unlabelled points."""
    X, y = make_moons(160, noise=0.06, random_state=0)
    known = np.concatenate([np.flatnonzero(y == c)[:2] for c in (0, 1)])
    supervised = KNeighborsClassifier(1).fit(X[known], y[known]).predict(X)
    groups = KMeans(2, n_init=10, random_state=0).fit_predict(X)
    groups = groups if (groups == y).mean() > 0.5 else 1 - groups
    partial = np.full(160, -1)
    partial[known] = y[known]
    semi = LabelSpreading(gamma=30, alpha=0.99, max_iter=2000).fit(X, partial).transduction_
    right = [(found == y).mean() for found in (supervised, groups, semi)]
    assert right[0] < 0.92 and right[1] < 0.92 and right[2] == 1, right

    drawn, panels = plt.subplots(1, 3, figsize=(5.6, 2.1), sharey=True)
    for panel, found, title, labelled in zip(
        panels, (supervised, groups, semi), ("4 labels", "no labels", "4 labels + 156 points"), (True, False, True)
    ):
        for c, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "s")):
            panel.plot(*X[found == c].T, marker, markersize=2.4, color=colour, markeredgewidth=0)
        if labelled:
            panel.scatter(*X[known].T, s=45, facecolors="none", edgecolors=INK, linewidths=1.2)
        panel.set_title(title)
        panel.set_xlabel(f"{(found == y).mean():.0%}")
        panel.set_xticks([])
        panel.set_yticks([])
        panel.grid(False)
    return drawn
