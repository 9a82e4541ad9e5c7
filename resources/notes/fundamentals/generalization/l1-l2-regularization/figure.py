import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import Lasso, Ridge, lasso_path

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


def shrinkage(panel) -> None:
    n, wanted = 4, np.linspace(-3, 3, 61)
    X = np.linalg.qr(np.random.default_rng(0).normal(size=(n, 1)))[0] * np.sqrt(n)
    lasso = np.array([Lasso(alpha=1, fit_intercept=False).fit(X, X[:, 0] * w).coef_[0] for w in wanted])
    ridge = np.array([Ridge(alpha=n, fit_intercept=False).fit(X, X[:, 0] * w).coef_[0] for w in wanted])
    assert (
        (lasso[np.abs(wanted) < 0.99] == 0).all()
        and (lasso[np.abs(wanted) > 1.01] != 0).all()
        and np.allclose(ridge, wanted / 2)
    )
    panel.plot(wanted, wanted, color=INK, linestyle=":", linewidth=1)
    panel.plot(wanted, lasso, color=ORANGE)
    panel.plot(wanted, ridge, color=BLUE, linestyle="--")
    panel.text(-2.9, 2.4, "L1 (Lasso)", color=ORANGE)
    panel.text(-2.9, 1.7, "L2 (Ridge)", color=BLUE)
    panel.text(1.0, 2.5, "none")
    panel.set_xlabel("weight without penalty")
    panel.set_ylabel("fitted weight")


def path(panel) -> None:
    generator = np.random.default_rng(1)
    X = generator.normal(size=(60, 10))
    w = np.zeros(10)
    w[:3] = 2, -1.5, 1
    y = X @ w + generator.normal(size=60)
    alphas, coefs, _ = lasso_path(X, y, alphas=np.geomspace(0.01, 3, 40))
    useless = np.abs(coefs[3:]).max(0)
    gone = alphas[(useless == 0)].min()
    assert (np.abs(coefs[:3, alphas == gone]) > 0).all() and (coefs[:, 0] == 0).all()
    for row, coef in enumerate(coefs):
        panel.plot(alphas, coef, color=ORANGE if row < 3 else QUIET, linewidth=1.8 if row < 3 else 1)
    panel.set_xscale("log")
    panel.set_xlabel("alpha")
    panel.set_title("ten weights, seven useless")


@figure("figure-shrinkage.svg")
def shrinkage_and_path() -> Figure:
    """What L1 and L2 do to one weight, and the lasso path of ten weights of which three matter."""
    drawn, (left, right) = plt.subplots(1, 2)
    shrinkage(left)
    path(right)
    return drawn
