import math
import time
import warnings

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, make_classification, make_moons
from sklearn.ensemble import RandomForestClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel, sigmoid_kernel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from note_checks import by_definition, check, formula, holds, pitfall, quietly, sourced, stated

PRIMAL = r"\min_{w, b} \; \tfrac{1}{2} \lVert w \rVert_2^2 + C \sum_{i=1}^{n} \max\left( 0,\; 1 - y_i f(x_i) \right)"
DUAL = r"""
f(x) = \sum_{i=1}^{n} \alpha_i y_i K(x_i, x) + b, \qquad 0 \le \alpha_i \le C, \quad \sum_{i=1}^{n} \alpha_i y_i = 0
"""
RBF = r"K(x, z) = \exp\left( -\gamma \lVert x - z \rVert_2^2 \right)"

by_definition("Neural network")
sourced("scikit-learn user guide 1.4.4 (complexity) and the page of SVC", "Cost", "SVC, RBF", "LinearSVC")


def problems():
    for n, d in [(30, 2), (60, 4)]:
        X = np.random.randn(n, d) + 0.5
        yield X, np.where(X @ np.random.randn(d) + 0.7 * np.random.randn(n) > 0.3, 1, -1)


@formula(PRIMAL)
def check_primal():
    for X, y in problems():
        for C in (0.1, 2.0):
            objective = lambda v: (v[:-1] ** 2).sum() / 2 + C * np.maximum(0, 1 - y * (X @ v[:-1] + v[-1])).sum()
            svm = SVC(kernel="linear", C=C, tol=1e-9).fit(X, y)
            ours = np.append(svm.coef_[0], svm.intercept_)
            best = objective(ours)
            found = minimize(
                objective, ours + 0.05, method="Powell", options={"xtol": 1e-10, "ftol": 1e-14, "maxiter": 50000}
            )
            assert best <= found.fun + 1e-6
            for step in np.random.randn(300, len(ours)) * 0.05:
                assert objective(ours + step) >= best - 1e-7


@formula(DUAL)
@holds("Why does only a part of the data matter?")
def check_dual():
    for X, y in problems():
        for C in (0.5, 5.0):
            svm = SVC(C=C, gamma=0.7, tol=1e-9).fit(X, y)
            signed = np.zeros(len(X))
            signed[svm.support_] = svm.dual_coef_[0]
            alpha = signed * y
            assert (alpha >= 0).all() and (alpha <= C + 1e-9).all() and abs(signed.sum()) < 1e-6
            new = np.random.randn(7, X.shape[1])
            np.testing.assert_allclose(
                signed @ rbf_kernel(X, new, gamma=0.7) + svm.intercept_, svm.decision_function(new), atol=1e-9
            )
            assert (svm.predict(new) == np.sign(svm.decision_function(new))).all()
            outside = y * svm.decision_function(X) > 1 + 1e-4
            assert (alpha[outside] == 0).all() and outside.any()
            again = SVC(C=C, gamma=0.7, tol=1e-9).fit(X[svm.support_], y[svm.support_])
            np.testing.assert_allclose(again.decision_function(new), svm.decision_function(new), atol=1e-4)
            scaled = SVC(C=C).fit(X, y)
            assert not math.isclose(
                SVC(C=C).fit(X[scaled.support_], y[scaled.support_])._gamma, scaled._gamma, rel_tol=1e-6
            )


@formula(RBF)
@holds("What must a kernel satisfy?")
def check_kernel():
    for shape in [(4, 1), (5, 3)]:
        X, Z = np.random.randn(*shape), np.random.randn(*shape)
        ours = np.exp(-0.3 * ((X[:, None] - Z[None]) ** 2).sum(-1))
        np.testing.assert_allclose(ours, rbf_kernel(X, Z, gamma=0.3), rtol=1e-9)
        assert np.linalg.eigvalsh(rbf_kernel(X)).min() > -1e-12
        signs = np.where(np.random.rand(len(X)) < 0.5, 1, -1)
        assert np.linalg.eigvalsh(rbf_kernel(X) * np.outer(signs, signs)).min() > -1e-12  # the dual's matrix
    X = np.random.randn(20, 2)
    assert np.linalg.eigvalsh(sigmoid_kernel(X, gamma=1)).min() < -0.1 and len(
        SVC(kernel="sigmoid", gamma=1).fit(X, X[:, 0] > 0).support_
    )


@check
def check_by_hand():
    svm = SVC(kernel="linear", C=1e6).fit([[0, 0], [1, 1], [3, 1], [4, 0]], [-1, -1, 1, 1])
    np.testing.assert_allclose(svm.coef_, [[1, 0]], atol=1e-6)
    assert abs(svm.intercept_[0] + 2) < 1e-6 and sorted(svm.support_.tolist()) == [1, 2]
    stated("0.5", abs(svm.dual_coef_[0, 0]))
    stated("0.5", abs(svm.dual_coef_[0, 1]))


@holds("`SVC().fit(X, y)`", "`decision_function(X)`", "Defaults")
def check_defaults():
    svm, linear = SVC(), LinearSVC()
    assert (svm.C, svm.kernel, svm.gamma, linear.loss) == (1.0, "rbf", "scale", "squared_hinge")
    X = np.random.randn(40, 3) * [1, 2, 5] + 1
    y = np.arange(40) % 3
    svm.fit(X, y)
    assert math.isclose(svm._gamma, 1 / (3 * X.var())) and svm.decision_function(X).shape == (40, 3)
    assert SVC().fit(X, y > 0).decision_function(X).shape == (40,)
    four, in_pairs = np.arange(40) % 4, SVC(decision_function_shape="ovo")
    assert in_pairs.fit(X, four).decision_function(X).shape == (40, 6) and SVC().fit(X, four).decision_function(
        X
    ).shape == (40, 4)
    np.testing.assert_allclose(
        SVC(gamma=0.2).fit(csr_array(X), y).decision_function(X),
        SVC(gamma=0.2).fit(X, y).decision_function(X),
        atol=1e-2,
    )
    assert SVC().fit([[0, 0], [1, 1], [3, 1], [4, 0]], [0, 0, 1, 1]).predict([[4, 1]]) == 1  # integers, too
    scores = svm.decision_function(X)  # signed and not summing to 1: no probabilities
    assert scores.min() < 0 < 1 < scores.max() and np.abs(scores.sum(1) - 1).max() > 0.1
    assert SVC(kernel="linear").fit(X, np.arange(40) % 4).coef_.shape[0] == 6


@pitfall("`predict_proba` contradicts `predict`")
def check_probability_is_deprecated_and_inconsistent():
    disagreements = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in range(10):
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(40, 2))
            y = (X[:, 0] + rng.normal(size=40) > 0.8).astype(int)
            svm = SVC(probability=True, random_state=0).fit(X, y)
            disagreements += (svm.predict_proba(X).argmax(1) != svm.predict(X)).sum()
            calibrated = CalibratedClassifierCV(SVC()).fit(X, y)
            assert (calibrated.predict_proba(X).argmax(1) == calibrated.predict(X)).all()
    assert disagreements > 0 and any(
        "probability" in str(w.message) and issubclass(w.category, FutureWarning) for w in caught
    )


@pitfall("Poor accuracy with default settings")
@holds("SVC, RBF")
def check_scaling_matters():
    X, y = load_breast_cancer(return_X_y=True)
    raw, scaled = (cross_val_score(m, X, y).mean() for m in (SVC(), make_pipeline(StandardScaler(), SVC())))
    assert scaled > raw + 0.03
    largest = np.argsort(X.std(0))[-4:]
    kernel = lambda Z: rbf_kernel(Z, gamma=1 / (X.shape[1] * X.var()))
    assert np.abs(kernel(X) - kernel(X[:, largest])).max() < 0.1
    grid = {"svc__C": [0.1, 1, 10], "svc__gamma": [0.003, 0.03, 0.3]}
    search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, cv=3).fit(X[::2], y[::2])
    assert search.score(X[1::2], y[1::2]) > 0.95


@pitfall("`LinearSVC` and `SVC(kernel='linear')` disagree")
@holds("`LinearSVC`")
def check_linear_svc_differs():
    X, y = next(problems())
    X = X + 3
    exact = SVC(kernel="linear", tol=1e-9).fit(X, y)
    default = LinearSVC(max_iter=100000).fit(X, y)
    close = LinearSVC(loss="hinge", intercept_scaling=100, max_iter=1_000_000).fit(X, y)
    Z, labels = load_breast_cancer(return_X_y=True)
    Z = StandardScaler().fit_transform(Z)
    same = LinearSVC(loss="hinge", intercept_scaling=100, max_iter=1_000_000).fit(Z, labels)
    assert np.abs(same.coef_ - SVC(kernel="linear", tol=1e-6).fit(Z, labels).coef_).max() < 0.01
    assert np.abs(default.coef_ - exact.coef_).max() > 0.02 and LinearSVC().max_iter == 1000
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LinearSVC(loss="hinge", intercept_scaling=100).fit(X, y)
    assert any("failed to converge" in str(w.message) for w in caught)
    four = np.arange(len(X)) % 4
    assert (
        len(quietly(lambda: LinearSVC().fit(X, four)).coef_) == 4 and len(SVC(kernel="linear").fit(X, four).coef_) == 6
    )
    assert np.abs(close.coef_ - exact.coef_).max() < 0.01 and abs(close.intercept_ - exact.intercept_).max() < 0.01


@pitfall("Perfect on training data, chance on test data")
def check_large_gamma():
    X, y = make_moons(400, noise=0.3, random_state=0)
    svm = SVC(gamma=10000).fit(X[:200], y[:200])
    assert svm.score(X[:200], y[:200]) == 1.0 and len(svm.support_) > 0.95 * 200
    stated("52%", svm.score(X[200:], y[200:]))
    identity = rbf_kernel(X[:200], gamma=10000)
    assert np.abs(identity - np.eye(200)).mean() < 1e-3
    usual, flat = SVC().fit(X[:200], y[:200]), SVC(gamma=1e-4).fit(X[:200], y[:200])
    assert usual.score(X[200:], y[200:]) > 0.9 and len(usual.support_) < 0.5 * 200 and len(flat.support_) > 0.95 * 200


@pitfall("Training does not finish")
@holds("LinearSVC", "SVC, RBF")
def check_cost_on_overlapping_classes():
    """Each iteration of the solver updates the gradient of up to n points, and the number of iterations grows with n too."""

    def spent(model, n):
        X, y = make_classification(n, 10, flip_y=0.3, class_sep=0.5, random_state=0)
        start = time.process_time()
        model.fit(X, y)
        return time.process_time() - start

    small, large = SVC(), SVC()
    assert spent(small, 1000) * 4 < (slow := spent(large, 4000)) and spent(LinearSVC(), 4000) < slow / 10
    assert spent(SVC(kernel="linear"), 4000) > slow / 4
    assert large.n_iter_[0] > 3 * small.n_iter_[0] and len(large.support_) > 3 * len(small.support_)
    X, y = load_breast_cancer(return_X_y=True)
    raw, scaled = (SVC(kernel="linear").fit(Z, y).n_iter_[0] for Z in (X, StandardScaler().fit_transform(X)))
    assert raw > 100 * scaled
    X, y = make_moons(2000, noise=0.3, random_state=0)
    models = SVC(), LinearSVC(), make_pipeline(Nystroem(random_state=0), LinearSVC())
    kernel, linear, mapped = (model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) for model in models)
    assert mapped > linear + 0.03 and mapped > kernel - 0.02


@holds("What does C do?")
def check_margin_is_weighed_against_violations():
    X, y = np.array([[0.0], [0], [0], [1.8], [3], [4], [4], [4]]), np.repeat([0, 1], 4)
    width = {C: 2 / abs(SVC(kernel="linear", C=C).fit(X, y).coef_[0, 0]) for C in (0.1, 1e6)}
    assert width[0.1] > 3 > 1.3 > width[1e6] > 1.15  # the gap, 1.2 wide, is the street for a large C only


@holds("`LinearSVC`", "LinearSVC", "Logistic regression", "Random forest", "SVC, RBF")
def check_objectives_and_outputs():
    """LinearSVC minimises squared hinge losses and a penalty on weights and intercept; only two of the models have probabilities."""
    X, y = next(problems())
    model = LinearSVC(tol=1e-9, max_iter=200_000).fit(X, y)
    objective = lambda v: (v**2).sum() / 2 + (np.maximum(0, 1 - y * (X @ v[:-1] + v[-1])) ** 2).sum()
    best = np.append(model.coef_[0], model.intercept_)
    assert all(objective(best + step) > objective(best) - 1e-7 for step in np.random.randn(200, len(best)) * 0.05)
    X, y = make_moons(400, noise=0.2, random_state=0)
    models = SVC(), LinearSVC(), LogisticRegression(), RandomForestClassifier(20, random_state=0)
    scores = [model.fit(X, y).score(X, y) for model in models]
    assert [hasattr(model, "predict_proba") for model in models] == [False, False, True, True]
    assert scores[0] > max(scores[1:3]) + 0.05  # curved against linear
    for model in models[1:3]:
        np.testing.assert_allclose(model.decision_function(X), X @ model.coef_[0] + model.intercept_)
    forest = models[3]
    shares = np.mean([tree.predict_proba(X) for tree in forest.estimators_], 0)
    np.testing.assert_allclose(shares, forest.predict_proba(X))
    near = X[:1] + np.array([[1e-9, 0], [0, 1e-9]])
    assert (forest.predict_proba(near) == forest.predict_proba(X[:1])).all() and len(
        np.unique(forest.predict_proba(X)[:, 0])
    ) < 30  # steps
    assert (
        RandomForestClassifier(20, random_state=0).fit(X * [1, 1024], y).predict_proba(X * [1, 1024]) == shares
    ).all()


@holds("How does it differ from logistic regression?")
def check_sparse_and_not_sparse():
    X, y = next(problems())
    svm, logistic = SVC(kernel="linear", C=1.0).fit(X, y), LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(X, y)
    z = y * svm.decision_function(X)
    assert (np.maximum(0, 1 - z)[z > 1] == 0).all() and (np.log1p(np.exp(-z)) > 0).all() and len(svm.support_) < len(X)
    p = logistic.predict_proba(X)[:, 1]
    shares = (y > 0) - p  # every sample has its share in w
    np.testing.assert_allclose(shares @ X, logistic.coef_[0], atol=1e-4)
    assert (np.abs(shares) > 1e-6).all()
    np.testing.assert_allclose(np.log(p / (1 - p)), logistic.decision_function(X))


@holds("What does C do?")
def check_c_multiplies_a_sum():
    X, y = next(problems())
    once, twice = (
        SVC(kernel="linear", C=2.0, tol=1e-9).fit(X, y),
        SVC(kernel="linear", C=1.0, tol=1e-9).fit(np.tile(X, (2, 1)), np.tile(y, 2)),
    )
    np.testing.assert_allclose(once.coef_, twice.coef_, atol=1e-3)
