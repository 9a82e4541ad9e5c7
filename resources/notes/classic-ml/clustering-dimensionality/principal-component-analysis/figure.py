import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


def example(panel) -> None:
    X = np.array([[0.0, 0], [1, 1], [2, 3], [3, 2], [4, 4]])
    pca = PCA().fit(X)
    assert abs(pca.explained_variance_ratio_[0] - 0.95) < 1e-9
    one = PCA(1).fit(X)
    flat = one.inverse_transform(one.transform(X))
    for point, foot in zip(X, flat):
        panel.plot(*zip(point, foot), color=QUIET, linewidth=1)
    panel.scatter(*X.T, s=22, color=INK, zorder=3)
    for vector, length, colour, name in zip(
        pca.components_, np.sqrt(pca.explained_variance_), (ORANGE, BLUE), ("95%", "5%")
    ):
        vector = vector * np.sign(vector[1])
        tip = pca.mean_ + vector * length
        panel.annotate(
            "",
            tip,
            pca.mean_,
            arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 2, "shrinkA": 0, "shrinkB": 0},
        )
        panel.annotate(name, tip, xytext=(-32, 2), textcoords="offset points", color=colour)
    panel.set_aspect("equal")
    panel.set_xlim(-0.6, 4.6)
    panel.set_ylim(-0.6, 4.6)


def ratios(panel) -> None:
    wine = load_wine().data
    k = np.arange(1, 14)
    for name, X, colour, at in (
        ("raw", wine, ORANGE, (2.1, 0.9)),
        ("standardised", StandardScaler().fit_transform(wine), BLUE, (5, 0.6)),
    ):
        shares = np.cumsum(PCA().fit(X).explained_variance_ratio_)
        assert (shares[0] > 0.99) == (name == "raw") and (name == "raw" or 0.3 < shares[0] < 0.4)
        panel.plot(k, shares, color=colour, marker="o", markersize=3.5)
        panel.text(*at, name, color=colour)
    panel.set_ylim(0, 1.06)
    panel.set_xticks([1, 4, 7, 10, 13])
    panel.set_xlabel("number of components")
    panel.set_ylabel("explained variance")
    panel.set_title("wine, 13 features")


@figure("figure-components.svg")
def example_and_wine() -> Figure:
    """The components of five points with their projection errors, and explained variance with and without scaling."""
    drawn, (left, right) = plt.subplots(1, 2)
    example(left)
    ratios(right)
    return drawn
