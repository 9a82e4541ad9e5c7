import math
import subprocess
import sys

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler

from note_checks import check, formula, pitfall, raises, stated

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
        with_constant = RBFInterpolator(X, y + 1000, kernel="gaussian", epsilon=1 / (0.5 * math.sqrt(2)))  # default degree
        far = np.full((1, d), 1e3)
        assert with_constant(far)[0] > 100 and library(far)[0] == 0
        np.testing.assert_allclose(with_constant(X), y + 1000, atol=1e-4)
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


LIMITED = """
import resource
import numpy as np
from scipy.interpolate import RBFInterpolator
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
X = np.random.default_rng(0).uniform(size=(40_000, 2))
try:
    RBFInterpolator(X, X[:, 0])
except MemoryError as error:
    print("out of memory")
print(round(float(RBFInterpolator(X, X[:, 0], neighbors=50)([[0.5, 0.5]])[0]), 4))
"""


@pitfall("Memory runs out")
def check_memory():
    """With 8 GB the exact solve of 40,000 points fails, the one with neighbours does not; few centres need little."""
    run = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True)
    assert run.stdout.split("\n")[:2] == ["out of memory", "0.5"], run.stderr
    X = np.random.rand(40_000, 2)
    centres = KMeans(20, n_init=1, max_iter=10, random_state=0).fit(X[::20]).cluster_centers_
    Phi = rbf_kernel(X, centres, gamma=10)
    assert Phi.nbytes < 1e7 and Ridge(alpha=1e-6).fit(Phi, X[:, 0]).score(Phi, X[:, 0]) > 0.99
    stated("12.8", 40_000**2 * 8 / 1e9)
    x = np.random.rand(300, 2)
    near = RBFInterpolator(x, x.sum(1), neighbors=50)
    np.testing.assert_allclose(near(np.full((1, 2), 0.5)), [1.0], atol=1e-6)
    whole = RBFInterpolator(x, x.sum(1))
    raises(ValueError, lambda: RBFInterpolator(x, x.sum(1), kernel="gaussian"), "epsilon")
    assert (whole.kernel, whole.neighbors) == ("thin_plate_spline", None) and np.all(whole.smoothing == 0)


@pitfall("The matrix is singular or the weights are huge")
def check_conditioning():
    X = np.linspace(0, 1, 12)[:, None]
    assert np.linalg.cond(units(X, X, 3.0)) > 1e12 > 1e3 > np.linalg.cond(units(X, X, 0.05))
    twice = np.concatenate([X, X[:1]])
    assert np.linalg.matrix_rank(units(twice, twice, 0.05)) == 12
    y = np.sin(6 * X[:, 0]) + 0.01 * np.random.randn(12)
    largest = lambda s, alpha=0.0: abs(np.linalg.solve(units(X, X, s) + alpha * np.eye(12), y)).max()
    assert largest(3.0) > 1e8 and largest(3.0, alpha=1e-3) < 1e4 and largest(0.05) < 10
    of_twice = lambda **options: RBFInterpolator(twice, np.append(y, y[0]), kernel="gaussian", epsilon=10, **options)
    raises(np.linalg.LinAlgError, of_twice, "Singular")
    assert abs(of_twice(smoothing=1e-3)(X) - y).max() < 0.05
    once, first = np.unique(twice, axis=0, return_index=True)
    assert abs(RBFInterpolator(once, np.append(y, y[0])[first], kernel="gaussian", epsilon=10)(X) - y).max() < 1e-6


@pitfall("Predictions fall back to a constant")
def check_far_away():
    X = np.random.rand(200, 1) * 6
    y = 2 * X[:, 0] + np.sin(X[:, 0])
    centres = np.linspace(0, 6, 8)[:, None]
    Phi = lambda x: rbf_kernel(x, centres, gamma=1 / (2 * 0.8**2))
    plain = Ridge(alpha=1e-3).fit(Phi(X), y)
    far = np.array([[20.0], [40.0]])
    np.testing.assert_allclose(plain.predict(Phi(far)), plain.intercept_)
    both = lambda x: np.hstack([Phi(x), x])
    linear = Ridge(alpha=1e-3).fit(both(X), y).predict(both(far))
    assert abs(linear / (2 * far[:, 0]) - 1).max() < 0.15 < 0.4 < abs(plain.intercept_ / (2 * far[:, 0]) - 1).min()
    assert Phi(far).sum(1).max() < 1e-6 and Phi(X).sum(1).min() > 0.5


@pitfall("One feature dominates")
def check_scales():
    X = np.random.rand(300, 2) * [6, 6000]
    y = np.sin(X[:, 0])

    def score(Z):
        centres = KMeans(25, n_init=3, random_state=0).fit(Z[:200]).cluster_centers_
        width = np.sort(np.linalg.norm(centres[:, None] - centres, axis=-1), 1)[:, 1].mean()
        Phi = rbf_kernel(Z, centres, gamma=1 / (2 * width**2))
        return Ridge(alpha=1e-3).fit(Phi[:200], y[:200]).score(Phi[200:], y[200:])

    assert score(X) < 0.3 and score(StandardScaler().fit_transform(X)) > 0.95
    spread = [pdist(np.random.randn(50, d)).max() / pdist(np.random.randn(50, d)).min() for d in (2, 500)]
    assert spread[0] > 10 and spread[1] < 1.5


@pitfall(r"$\gamma$ and width are mixed up")
def check_one_value_tells_the_conventions_apart():
    for s in (0.3, 4.0):
        at_width = lambda gamma: rbf_kernel([[0.0]], [[s]], gamma=gamma)[0, 0]
        stated("0.6065", at_width(1 / (2 * s**2)))
        assert abs(at_width(s) - 0.6065) > 0.1 and abs(at_width(1 / s**2) - 0.6065) > 0.1
        assert rbf_kernel([[0.0]], [[1.0]], gamma=2 * s)[0, 0] < rbf_kernel([[0.0]], [[1.0]], gamma=s)[0, 0]
