import math
import subprocess
import sys

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

NETWORK = r"""
f(x) = b + \sum_{j=1}^{m} w_j \, \varphi_j(x), \qquad \varphi_j(x) = \exp\left( -\frac{\lVert x - c_j \rVert_2^2}{2 s^2} \right)
"""
WEIGHTS = r"\hat{w} = \left( \Phi^\top \Phi + \alpha I \right)^{-1} \Phi^\top y"
EXACT = r"w = K^{-1} y \quad \Rightarrow \quad f(x_i) = y_i"

by_definition("Parameters", "MLP")
sourced("Golub and Van Loan, Matrix Computations, sections 3.2 and 5.3 (LU and least squares)", "Cost")


def units(X, C, s):
    return np.array([[math.exp(-((x - c) ** 2).sum() / (2 * s**2)) for c in C] for x in X])


@formula(NETWORK)
@holds("Input → output", "`rbf_kernel(X, C, gamma)`")
def check_network():
    for n, d, m, s in [(20, 1, 4, 0.5), (30, 3, 6, 1.7)]:
        X, C, y = np.random.randn(n, d), np.random.randn(m, d), np.random.randn(n)
        np.testing.assert_allclose(units(X, C, s), rbf_kernel(X, C, gamma=1 / (2 * s**2)), rtol=1e-9)
        output = Ridge(alpha=0.1).fit(units(X, C, s), y)
        new = np.random.randn(5, d)
        ours = output.intercept_ + sum(output.coef_[j] * units(new, C, s)[:, j] for j in range(m))
        np.testing.assert_allclose(ours, output.predict(rbf_kernel(new, C, gamma=1 / (2 * s**2))), rtol=1e-9)
        two = Ridge(alpha=0.1).fit(units(X, C, s), np.stack([y, -y], 1)).predict(units(new, C, s))
        assert ours.shape == (5,) and two.shape == (5, 2) and rbf_kernel(X, C).shape == (n, m)
    np.testing.assert_allclose(rbf_kernel(X, C), rbf_kernel(X, C, gamma=1 / 3))


@formula(WEIGHTS)
@holds("Why can the weights be found without gradient descent?")
def check_weights():
    for n, m, alpha in [(30, 5, 0.01), (50, 8, 2.0)]:
        X, C, y = np.random.randn(n, 2), np.random.randn(m, 2), np.random.randn(n)
        Phi = units(X, C, 1.0)
        ours = np.linalg.inv(Phi.T @ Phi + alpha * np.eye(m)) @ Phi.T @ y
        np.testing.assert_allclose(
            ours, Ridge(alpha=alpha, fit_intercept=False).fit(Phi, y).coef_, rtol=1e-6, atol=1e-9
        )


@formula(EXACT)
@holds("`RBFInterpolator(X, y)`", "RBF interpolation")
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
        with_constant = RBFInterpolator(
            X, y + 1000, kernel="gaussian", epsilon=1 / (0.5 * math.sqrt(2))
        )  # default degree
        far = np.full((1, d), 1e3)
        assert with_constant(far)[0] > 100 and library(far)[0] == 0
        np.testing.assert_allclose(with_constant(X), y + 1000, atol=1e-4)
        ridge = KernelRidge(alpha=0.1, kernel="rbf", gamma=2.0).fit(X, y)
        np.testing.assert_allclose(
            units(new, X, 0.5) @ np.linalg.solve(K + 0.1 * np.eye(n), y), ridge.predict(new), atol=1e-9
        )


@check
def check_by_hand():
    f = lambda x: rbf_kernel([[x]], [[0.0], [2.0]], gamma=0.5)[0] @ [1, -1]
    stated("0.1353", rbf_kernel([[0.0]], [[2.0]], gamma=0.5)[0, 0])
    stated("0.8647", f(0.0))
    stated("0.6065", rbf_kernel([[1.0]], [[0.0]], gamma=0.5)[0, 0])
    assert f(1.0) == 0 and abs(f(10.0)) < 1e-13
    assert math.isclose(rbf_kernel([[10.0]], [[0.0]], gamma=0.5)[0, 0], math.exp(-50)) and math.isclose(
        rbf_kernel([[10.0]], [[2.0]], gamma=0.5)[0, 0], math.exp(-32)
    )


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
@holds("`RBFInterpolator(X, y)`")
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
    np.testing.assert_allclose(RBFInterpolator(x, np.sin(9 * x[:, 0]))(x), np.sin(9 * x[:, 0]), atol=1e-6)
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
    assert largest(1 / 11) < 10 and largest(1.5) > 1e8  # at the centres' distance; half of 3 is not enough
    for d, m in ((1, 12), (2, 30), (5, 40)):
        centres = KMeans(m, n_init=2).fit(np.random.rand(400, d)).cluster_centers_
        distance = np.sort(np.linalg.norm(centres[:, None] - centres, axis=-1), 1)[:, 1].mean()
        assert np.linalg.cond(units(centres, centres, distance)) < 3e3
    for seed in range(
        3
    ):  # scattered points, all of them centres: at their distance the weights are small, but holes open
        rng = np.random.default_rng(seed)
        scattered, new = rng.uniform(0, 6, (100, 2)), rng.uniform(0.3, 5.7, (300, 2))
        near = np.sort(np.linalg.norm(scattered[:, None] - scattered, axis=-1), 1)[:, 1].mean()
        off, weights = {}, {}
        for s in (2 * near, near):
            w = np.linalg.solve(units(scattered, scattered, s), np.sin(scattered).sum(1))
            off[s], weights[s] = abs(units(new, scattered, s) @ w - np.sin(new).sum(1)).mean(), abs(w).max()
        assert off[near] > 3 * off[2 * near] and weights[near] < weights[2 * near]
    missed = lambda s, alpha: alpha * largest(s, alpha)  # what the fit lacks at the training points
    assert missed(3.0, 1e-3) > 0.3 > 0.01 > missed(0.05, 1e-3)
    assert missed(3.0, 1e-7) < 0.25 and largest(3.0) > 100 * largest(3.0, alpha=1e-7)
    Phi = units(twice, twice, 0.05)
    assert abs(Phi @ np.linalg.solve(Phi + 1e-3 * np.eye(13), np.append(y, y[0])) - np.append(y, y[0])).max() < 0.01
    of_twice = lambda **options: RBFInterpolator(twice, np.append(y, y[0]), kernel="gaussian", epsilon=10, **options)
    raises(np.linalg.LinAlgError, of_twice, "Singular")
    assert abs(of_twice(smoothing=1e-3)(X) - y).max() < 0.05
    once, first = np.unique(twice, axis=0, return_index=True)
    assert abs(RBFInterpolator(once, np.append(y, y[0])[first], kernel="gaussian", epsilon=10)(X) - y).max() < 1e-6
    targets = np.append(y, y[0] + 1)  # the point given twice has two targets: keep their mean
    merged = [targets[(twice == x).all(1)].mean() for x in once]
    fitted = RBFInterpolator(once, merged, kernel="gaussian", epsilon=10)(X)
    np.testing.assert_allclose(fitted, np.append(y[0] + 0.5, y[1:]), atol=1e-6)


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
    wave = Ridge(alpha=1e-3).fit(both(X), np.sin(X[:, 0])).predict(both(far))
    assert wave[1] > 3  # no trend goes on here: a sine never exceeds 1
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


def waves(n=200):
    X = np.random.rand(n, 1) * 6
    return X, np.sin(X[:, 0]) + 0.1 * np.random.randn(n)


@holds("How do you choose the width?", "RBF network")
def check_width():
    """From the mean distance of neighbouring centres cross-validation has not far to go; narrow bumps leave the bias between them."""
    for _ in range(3):
        X, y = waves()
        centres = np.sort(KMeans(8, n_init=3, random_state=0).fit(X).cluster_centers_, axis=0)
        distance = np.diff(centres[:, 0]).mean()
        Phi = lambda x, s: rbf_kernel(x, centres, gamma=1 / (2 * s**2))
        score = lambda s: cross_val_score(Ridge(alpha=1e-3), Phi(X, s), y).mean()
        scores = {factor: score(factor * distance) for factor in (0.05, 0.5, 1, 2, 100)}
        assert (
            scores[1] > max(scores.values()) - 0.02
            and scores[1] > 0.95
            and max(scores[0.05], scores[100]) < scores[1] - 0.2
        )
        narrow, middles = Ridge(alpha=1e-3).fit(Phi(X, 0.05 * distance), y), (centres[1:] + centres[:-1]) / 2
        np.testing.assert_allclose(narrow.predict(Phi(middles, 0.05 * distance)), narrow.intercept_, atol=1e-6)


@holds("Why can the weights be found without gradient descent?")
def check_centres_make_it_nonconvex():
    x, y = torch.tensor([-2.0, 2.0]), torch.tensor([1.0, 0.0])
    loss = lambda c: ((torch.exp(-((x - c) ** 2) / 2) - y) ** 2).sum()
    assert loss(torch.tensor(2.0)) > (loss(torch.tensor(-2.0)) + loss(torch.tensor(6.0))) / 2 + 0.1  # above its chord
    X, y = (torch.tensor(part, dtype=torch.float32) for part in waves())
    centres = torch.tensor(KMeans(4, n_init=3, random_state=0).fit(X).cluster_centers_[:, 0])
    Phi = torch.exp(-((X - centres) ** 2) / (2 * 0.5**2))
    fitted = Ridge(alpha=1e-3).fit(Phi.numpy(), y.numpy())
    w, b, s = torch.tensor(fitted.coef_), torch.tensor(fitted.intercept_), torch.tensor(0.5)
    learned = [part.clone().float().requires_grad_() for part in (centres, w, b, s)]
    error = lambda c, w, b, s: ((torch.exp(-((X - c) ** 2) / (2 * s**2)) @ w + b - y) ** 2).mean()
    before, optimizer = error(*learned).item(), torch.optim.Adam(learned, 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        error(*learned).backward()
        optimizer.step()
    assert error(*learned).item() < 0.5 * before


@holds("SVM, RBF kernel", "Gaussian process")
def check_neighbours():
    X = np.random.randn(60, 2)
    y, new = (X[:, 0] * X[:, 1] + 0.3 * np.random.randn(60) > 0).astype(int), np.random.randn(5, 2)
    svm = SVC(gamma=0.7).fit(X, y)
    np.testing.assert_allclose(
        rbf_kernel(new, svm.support_vectors_, gamma=0.7) @ svm.dual_coef_[0] + svm.intercept_,
        svm.decision_function(new),
    )
    margins = np.where(y, 1, -1) * svm.decision_function(X)
    assert not set(np.flatnonzero(margins > 1.01)) & set(svm.support_) and len(svm.support_) < 60
    process = GaussianProcessRegressor(RBF(0.5), alpha=1e-6, optimizer=None).fit(X, X[:, 0])
    K, k = units(X, X, 0.5) + 1e-6 * np.eye(60), units(new, X, 0.5)
    mean, deviation = process.predict(new, return_std=True)
    np.testing.assert_allclose(k @ np.linalg.solve(K, X[:, 0]), mean, atol=1e-5)
    np.testing.assert_allclose(1 - (k * np.linalg.solve(K, k.T).T).sum(1), deviation**2, atol=1e-5)


@holds("Is a radial basis function always Gaussian?")
def check_functions_that_grow():
    X, y, new = np.random.randn(12, 2), np.random.randn(12), np.random.randn(4, 2)
    r = lambda A: np.linalg.norm(A[:, None] - X, axis=-1)
    multi = lambda A: np.sqrt(1 + r(A) ** 2)
    library = RBFInterpolator(X, y, kernel="multiquadric", epsilon=1, degree=-1)
    np.testing.assert_allclose(multi(new) @ np.linalg.solve(multi(X), y), library(new), atol=1e-6)
    plate = lambda A: np.where(r(A) > 0, r(A) ** 2 * np.log(np.maximum(r(A), 1e-300)), 0)
    P = lambda A: np.column_stack([np.ones(len(A)), A])
    system = np.block([[plate(X), P(X)], [P(X).T, np.zeros((3, 3))]])
    solved = np.linalg.solve(system, np.append(y, np.zeros(3)))
    np.testing.assert_allclose(plate(new) @ solved[:12] + P(new) @ solved[12:], RBFInterpolator(X, y)(new), atol=1e-6)
    far = np.array([[1e3, 0], [1e6, 0]])
    assert all(f(far)[0].min() > 900 and f(far)[1].min() > 9e5 for f in (multi, plate))


@pitfall(r"$\gamma$ and width are mixed up")
def check_one_value_tells_the_conventions_apart():
    for s in (0.3, 4.0):
        at_width = lambda gamma: rbf_kernel([[0.0]], [[s]], gamma=gamma)[0, 0]
        stated("0.6065", at_width(1 / (2 * s**2)))
        assert abs(at_width(s) - 0.6065) > 0.1 and abs(at_width(1 / s**2) - 0.6065) > 0.1
        assert rbf_kernel([[0.0]], [[1.0]], gamma=2 * s)[0, 0] < rbf_kernel([[0.0]], [[1.0]], gamma=s)[0, 0]
