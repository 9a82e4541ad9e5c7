import math

import numpy as np
from scipy.interpolate import RBFInterpolator
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel

from note_checks import check, formula, raises, stated

NETWORK = r"""
f(x) = b + \sum_{j=1}^{m} w_j \, \varphi_j(x), \qquad \varphi_j(x) = \exp\left( -\frac{\lVert x - c_j \rVert_2^2}{2 s^2} \right)
"""
WEIGHTS = r"\hat{w} = \left( \Phi^\top \Phi + \alpha I \right)^{-1} \Phi^\top y"
EXACT = r"w = K^{-1} y \quad \Rightarrow \quad f(x_i) = y_i"


def units(X, C, s):
    return np.array([[math.exp(-((x - c) ** 2).sum() / (2 * s**2)) for c in C] for x in X])


@formula(NETWORK)
def check_network():
    for n, d, m, s in [(20, 1, 4, 0.5), (30, 3, 6, 1.7)]:
        X, C, y = np.random.randn(n, d), np.random.randn(m, d), np.random.randn(n)
        np.testing.assert_allclose(units(X, C, s), rbf_kernel(X, C, gamma=1 / (2 * s**2)), rtol=1e-9)
        output = Ridge(alpha=0.1).fit(units(X, C, s), y)
        new = np.random.randn(5, d)
        ours = output.intercept_ + sum(output.coef_[j] * units(new, C, s)[:, j] for j in range(m))
        np.testing.assert_allclose(ours, output.predict(rbf_kernel(new, C, gamma=1 / (2 * s**2))), rtol=1e-9)
    np.testing.assert_allclose(rbf_kernel(X, C), rbf_kernel(X, C, gamma=1 / 3))


@formula(WEIGHTS)
def check_weights():
    for n, m, alpha in [(30, 5, 0.01), (50, 8, 2.0)]:
        X, C, y = np.random.randn(n, 2), np.random.randn(m, 2), np.random.randn(n)
        Phi = units(X, C, 1.0)
        ours = np.linalg.inv(Phi.T @ Phi + alpha * np.eye(m)) @ Phi.T @ y
        np.testing.assert_allclose(ours, Ridge(alpha=alpha, fit_intercept=False).fit(Phi, y).coef_, rtol=1e-6, atol=1e-9)


@formula(EXACT)
def check_exact():
    for n, d in [(6, 1), (15, 2)]:
        X, y = np.random.randn(n, d) * 3, np.random.randn(n)
        K = units(X, X, 0.5)
        w = np.linalg.inv(K) @ y
        np.testing.assert_allclose(K @ w, y, atol=1e-6)
        library = RBFInterpolator(X, y, kernel="gaussian", epsilon=1 / (0.5 * math.sqrt(2)), degree=-1)
        new = np.random.randn(4, d)
        np.testing.assert_allclose(units(new, X, 0.5) @ w, library(new), atol=1e-6)
        assert np.linalg.eigvalsh(K).min() > 0
        ridge = KernelRidge(alpha=0.1, kernel="rbf", gamma=2.0).fit(X, y)
        np.testing.assert_allclose(units(new, X, 0.5) @ np.linalg.solve(K + 0.1 * np.eye(n), y), ridge.predict(new), atol=1e-9)


@check
def check_by_hand():
    f = lambda x: rbf_kernel([[x]], [[0.0], [2.0]], gamma=0.5)[0] @ [1, -1]
    stated("0.1353", rbf_kernel([[0.0]], [[2.0]], gamma=0.5)[0, 0])
    stated("0.8647", f(0.0))
    stated("0.6065", rbf_kernel([[1.0]], [[0.0]], gamma=0.5)[0, 0])
    assert f(1.0) == 0 and abs(f(10.0)) < 1e-13
    assert math.isclose(rbf_kernel([[10.0]], [[0.0]], gamma=0.5)[0, 0], math.exp(-50)) and math.isclose(rbf_kernel([[10.0]], [[2.0]], gamma=0.5)[0, 0], math.exp(-32))


@check
def check_memory():
    stated("12.8", 40_000**2 * 8 / 1e9)
    x = np.random.rand(300, 2)
    near = RBFInterpolator(x, x.sum(1), neighbors=50)
    np.testing.assert_allclose(near(np.full((1, 2), 0.5)), [1.0], atol=1e-6)
    whole = RBFInterpolator(x, x.sum(1))
    raises(ValueError, lambda: RBFInterpolator(x, x.sum(1), kernel="gaussian"), "epsilon")
    assert (whole.kernel, whole.neighbors) == ("thin_plate_spline", None) and np.all(whole.smoothing == 0)


@check
def check_conditioning():
    X = np.linspace(0, 1, 12)[:, None]
    assert np.linalg.cond(units(X, X, 3.0)) > 1e12 > 1e3 > np.linalg.cond(units(X, X, 0.05))
    twice = np.concatenate([X, X[:1]])
    assert np.linalg.matrix_rank(units(twice, twice, 0.05)) == 12
