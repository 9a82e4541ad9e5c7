import numpy as np
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel

from figure_style import BLUE, INK, SKY, figure, plt


@figure("figure-bumps.svg")
def bumps_and_widths() -> Figure:
    """Weighted Gaussian units that add up to a sine, and the test error against their width."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 6, (200, 1))
    y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=200)
    centres = np.sort(KMeans(8, n_init=10, random_state=0).fit(X).cluster_centers_, axis=0)
    grid = np.linspace(0, 6, 121)[:, None]

    def fitted(s: float) -> tuple[np.ndarray, Ridge]:
        phi = lambda x: rbf_kernel(x, centres, gamma=1 / (2 * s**2))
        return phi(grid), Ridge(alpha=1e-3).fit(phi(X), y)

    drawn, (left, right) = plt.subplots(1, 2)
    phi, model = fitted(0.45)
    assert np.abs(model.predict(phi) - np.sin(grid[:, 0])).max() < 0.2
    for column, weight in zip(phi.T, model.coef_):
        left.plot(grid, weight * column, color=SKY, linewidth=1)
    left.plot(grid, model.predict(phi), color=BLUE)
    left.scatter(X[::4], y[::4], s=7, color=INK, linewidths=0)
    left.set_title("weighted bumps and their sum")
    left.set_xlabel("x")
    widths, errors = np.geomspace(0.03, 30, 25), []
    for s in widths:
        phi, model = fitted(s)
        errors.append(np.sqrt(((model.predict(phi) - np.sin(grid[:, 0])) ** 2).mean()))
    best = int(np.argmin(errors))
    assert 3 < best < 20 and errors[0] > 5 * errors[best] and errors[-1] > 5 * errors[best]
    right.loglog(widths, errors, color=BLUE)
    right.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
    right.minorticks_off()
    right.set_xlabel("width of the bumps")
    right.set_title("test error")
    return drawn
