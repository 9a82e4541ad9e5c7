import math
import warnings

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from note_checks import check, formula, pitfall, stated

SIGMOID = r"p(y = 1 \mid x) = \sigma(z) = \frac{1}{1 + e^{-z}}"
OBJECTIVE = r"J(w, b) = C \sum_{i=1}^{n} \left( \ln\left(1 + e^{z_i}\right) - y_i z_i \right) + \tfrac{1}{2} \lVert w \rVert_2^2"
GRADIENT = r"\nabla_w J = C \sum_{i=1}^{n} (\sigma(z_i) - y_i)\, x_i + w"
SOFTMAX = r"p(y = k \mid x) = \frac{e^{w_k^\top x + b_k}}{\sum_{j=1}^{K} e^{w_j^\top x + b_j}}"


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def problems():
    for n, d in [(40, 2), (150, 5)]:
        X = np.random.randn(n, d) * np.random.uniform(0.5, 2, d) + 1
        yield X, (np.random.rand(n) < sigmoid(X @ np.random.randn(d) - 0.5)).astype(int)


def fitted(X, y, C):
    return LogisticRegression(C=C, tol=1e-10, max_iter=20000).fit(X, y)


@formula(SIGMOID)
def check_probability():
    for X, y in problems():
        model = fitted(X, y, 1.0)
        z = X @ model.coef_[0] + model.intercept_[0]
        np.testing.assert_allclose(sigmoid(z), model.predict_proba(X)[:, 1], rtol=1e-9)
        np.testing.assert_allclose(sigmoid(z), torch.sigmoid(torch.tensor(z)).numpy(), rtol=1e-9)
        assert ((z > 0) == (model.predict(X) == 1)).all()
        moved = X.copy()
        moved[:, 1] += 1
        odds = lambda p: p[:, 1] / p[:, 0]
        np.testing.assert_allclose(odds(model.predict_proba(moved)) / odds(model.predict_proba(X)), math.exp(model.coef_[0, 1]), rtol=1e-7)


@formula(OBJECTIVE)
def check_objective():
    for X, y in problems():
        for C in (0.05, 1.0):
            objective = lambda v: C * (np.logaddexp(0, X @ v[:-1] + v[-1]) - y * (X @ v[:-1] + v[-1])).sum() + (v[:-1] ** 2).sum() / 2
            found = minimize(objective, np.zeros(X.shape[1] + 1), tol=1e-12)
            model = fitted(X, y, C)
            np.testing.assert_allclose(found.x, np.append(model.coef_[0], model.intercept_), atol=2e-4)
            z = torch.tensor(X @ found.x[:-1] + found.x[-1])
            loss = F.binary_cross_entropy_with_logits(z, torch.tensor(y, dtype=torch.float64), reduction="sum").item()
            assert math.isclose(objective(found.x), C * loss + (found.x[:-1] ** 2).sum() / 2, rel_tol=1e-9)


@formula(GRADIENT)
def check_gradient():
    for X, y in problems():
        w, b, C = torch.randn(X.shape[1], dtype=torch.float64, requires_grad=True), 0.3, 0.7
        z = torch.tensor(X) @ w + b
        (C * F.binary_cross_entropy_with_logits(z, torch.tensor(y, dtype=torch.float64), reduction="sum") + (w**2).sum() / 2).backward()
        ours = C * ((sigmoid(z.detach().numpy()) - y)[:, None] * X).sum(0) + w.detach().numpy()
        np.testing.assert_allclose(ours, w.grad.numpy(), rtol=1e-9)


@formula(SOFTMAX)
def check_softmax():
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=2000).fit(X, y)
    assert model.coef_.shape == (3, 4) and model.intercept_.shape == (3,)
    e = np.exp(X @ model.coef_.T + model.intercept_)
    np.testing.assert_allclose(e / e.sum(1, keepdims=True), model.predict_proba(X), rtol=1e-8)
    shifted = np.exp(X @ (model.coef_ + np.random.randn(4)).T + model.intercept_)
    np.testing.assert_allclose(shifted / shifted.sum(1, keepdims=True), model.predict_proba(X), rtol=1e-8)


@check
def check_by_hand():
    w, x = np.array([1.0, -2.0]), np.array([2.0, 1.0])
    z = torch.tensor(w @ x + 0.5, requires_grad=True)
    assert z.item() == 0.5
    loss = F.binary_cross_entropy_with_logits(z, torch.ones_like(z))
    loss.backward()
    stated("0.62246", torch.sigmoid(z.detach()))
    stated("0.4741", loss.detach())
    stated("−0.7551", z.grad.item() * 2)
    stated("−0.3775", z.grad.item() * 1)
    stated("2.7183", math.e)
    stated("0.6931", F.binary_cross_entropy_with_logits(torch.zeros(3), torch.tensor([0.0, 1.0, 1.0])))


@check
def check_contract():
    model = LogisticRegression()
    assert model.C == 1.0 and model.solver == "lbfgs" and model.max_iter == 100
    decays = [optimizer([torch.zeros(1, requires_grad=True)]).defaults["weight_decay"] for optimizer in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)]
    assert decays == [0, 0, 0.01]
    X, y = next(problems())
    model.fit(X, y)
    assert model.coef_.shape == (1, 2) and model.intercept_.shape == (1,) and model.predict_proba(X).shape == (40, 2)
    assert np.allclose(model.predict_proba(X).sum(1), 1)


@pitfall("The coefficients differ from R or statsmodels")
def check_plain_maximum_likelihood():
    X = np.random.randn(150, 3)
    y = (np.random.rand(150) < sigmoid(X @ [1, -2, 0.5] - 0.5)).astype(int)
    likelihood = lambda v: (np.logaddexp(0, X @ v[:-1] + v[-1]) - y * (X @ v[:-1] + v[-1])).sum()
    found = minimize(likelihood, np.zeros(4), tol=1e-12).x
    fit = lambda C: LogisticRegression(C=C).fit(X, y).coef_[0]
    assert np.abs(fit(1.0) - found[:-1]).max() > 0.05 and np.linalg.norm(fit(10.0)) > np.linalg.norm(fit(1.0))
    np.testing.assert_allclose(fit(np.inf), found[:-1], atol=5e-3)
    check_several_classes_have_no_reference_class()


@check
def check_liblinear_penalises_the_intercept():
    X, y = next(problems())
    options = {"C": 0.01, "tol": 1e-9, "max_iter": 20000}
    free, penalised = (LogisticRegression(solver=s, **options).fit(X + 5, y).intercept_[0] for s in ("lbfgs", "liblinear"))
    assert abs(penalised) < abs(free) / 2


@pitfall("The weights grow without end")
def check_separable():
    x, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), [0, 0, 1, 1]
    weights = [fitted(x, y, C).coef_[0, 0] for C in (1, 10, 100, 1000, 1e4)]
    assert all(later > earlier + 1 for earlier, later in zip(weights, weights[1:]))
    z = 2 * x[:, 0] * weights[-1]
    assert np.logaddexp(0, np.where(y, -z, z)).sum() < np.logaddexp(0, np.where(y, -z, z) / 2).sum()

    far, z = np.array([9.0, 9.5, 10.5, 11.0]), lambda w, b: np.where(y, -1, 1) * (w * far + b)
    loss = lambda w, b: np.logaddexp(0, z(w, b)).sum()
    assert loss(2, -20) < loss(1, -10) < loss(2, -10)    # the bias must grow with the weight

    def descended(steps, decay=0.0):
        layer = torch.nn.Linear(1, 1).double()
        optimizer = torch.optim.SGD(layer.parameters(), 1.0, weight_decay=decay)
        for _ in range(steps):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(layer(torch.tensor(x))[:, 0], torch.tensor(y, dtype=torch.float64)).backward()
            optimizer.step()
        return layer.weight.item()

    assert descended(20) + 1.5 < descended(200) and descended(200) + 1.5 < descended(2000)
    assert abs(descended(200, decay=0.1) - descended(1000, decay=0.1)) < 1e-6


@pitfall('"lbfgs failed to converge"')
def check_convergence_warning():
    X, y = load_breast_cancer(return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LogisticRegression().fit(X, y)
    assert any(issubclass(w.category, ConvergenceWarning) and "lbfgs failed to converge" in str(w.message) for w in caught)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)


@pitfall("Probabilities are off for rare classes")
def check_balanced_weights_shift_probabilities():
    X = np.random.randn(4000, 1)
    y = (np.random.rand(4000) < sigmoid(X[:, 0] - 3)).astype(int)
    plain, balanced = LogisticRegression().fit(X, y), LogisticRegression(class_weight="balanced").fit(X, y)
    rate = y.mean()
    assert abs(plain.predict_proba(X)[:, 1].mean() - rate) < 0.01 < 0.3 < balanced.predict_proba(X)[:, 1].mean()
    correction = math.log(rate / (1 - rate))
    assert abs(balanced.intercept_[0] + correction - plain.intercept_[0]) < 0.3
    corrected = sigmoid(balanced.decision_function(X) + correction)
    assert 0.8 * rate < corrected.mean() < 1.25 * rate
    found = lambda chosen: chosen[y == 1].mean()
    assert found(plain.predict(X) == 1) < 0.3 and abs(found(plain.predict_proba(X)[:, 1] > rate) - found(balanced.predict(X) == 1)) < 0.1
    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    equal, three = (LogisticRegression().fit(X[rows], y[rows]) for rows in (np.r_[positive, negative[: m * len(positive)]] for m in (1, 3)))
    assert abs(equal.predict_proba(X)[:, 1].mean() - rate) > 0.3
    assert 0.7 * rate < sigmoid(equal.decision_function(X) + correction).mean() < 1.4 * rate
    assert abs(equal.intercept_[0] + correction - plain.intercept_[0]) < 0.6 < abs(three.intercept_[0] + correction - plain.intercept_[0])


@check
def check_several_classes_have_no_reference_class():
    X = np.random.randn(300, 2)
    y = (X[:, 0] + 2 * np.random.randn(300) > 0).astype(int) + (X[:, 1] + 2 * np.random.randn(300) > 0)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10000).fit(X, y)
    assert np.abs(model.coef_.sum(0)).max() < 1e-6 < np.abs(model.coef_[0]).max()
    odds = np.log(model.predict_proba(X)[:, 1:] / model.predict_proba(X)[:, :1])
    rows, shift = model.coef_ - model.coef_[0], model.intercept_ - model.intercept_[0]
    np.testing.assert_allclose(X @ rows[1:].T + shift[1:], odds, atol=1e-9)


@check
def check_squared_error_is_flat_and_not_convex():
    z = torch.linspace(-8, 8, 81, dtype=torch.float64, requires_grad=True)
    squared = (torch.sigmoid(z) - 1) ** 2
    (slope,) = torch.autograd.grad(squared.sum(), z, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), z)
    assert curvature.min() < -0.01 and slope[0].abs() < 1e-3
    (slope,) = torch.autograd.grad(F.softplus(-z).sum(), z, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), z)
    assert curvature.min() >= 0 and slope[0] < -0.99
