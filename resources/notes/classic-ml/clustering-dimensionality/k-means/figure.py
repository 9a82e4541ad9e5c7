import numpy as np
from matplotlib.figure import Figure
from sklearn.cluster import KMeans

from figure_style import BLUE, GREEN, INK, ORANGE, figure, plt


@figure("figure-starts.svg")
def two_starts() -> Figure:
    """The same points clustered from an unlucky start and from k-means++."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(m, 0.5, (60, 2)) for m in ((0, 0), (6, 0), (6, 4))])
    bad = np.array([[-0.5, 0], [0.5, 0], [6, 2]])
    models = [KMeans(3, init=bad, n_init=1).fit(X), KMeans(3, n_init=10, random_state=0).fit(X)]
    assert models[0].inertia_ > 5.5 * models[1].inertia_
    drawn, panels = plt.subplots(1, 2, sharex=True, sharey=True)
    for panel, model, title in zip(panels, models, ("unlucky start", "k-means++ start")):
        order = np.argsort(model.cluster_centers_ @ [1, 0.5])
        for cluster, colour, marker in zip(order, (ORANGE, BLUE, GREEN), "o^s"):
            points = X[model.labels_ == cluster]
            panel.scatter(*points[::2].T, s=9, color=colour, marker=marker, linewidths=0, alpha=0.7)
        panel.scatter(*model.cluster_centers_.T, s=90, color=INK, marker="x", linewidths=2, zorder=3)
        panel.set_title(title)
        panel.set_xlabel(f"J = {model.inertia_:.0f}")
    panels[0].set_xlim(-2, 8)
    panels[0].set_ylim(-2.4, 6.4)
    return drawn
