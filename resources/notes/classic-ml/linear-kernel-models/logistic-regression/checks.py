import math
import warnings

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    make_circles,
    make_classification,
)
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.naive_bayes import BernoulliNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, quietly, sourced, stated

SIGMOID = r"p(y = 1 \mid x) = \sigma(z) = \frac{1}{1 + e^{-z}}"
OBJECTIVE = r"J(w, b) = C \sum_{i=1}^{n} \left( \ln\left(1 + e^{z_i}\right) - y_i z_i \right) + \tfrac{1}{2} \lVert w \rVert_2^2"
GRADIENT = r"\nabla_w J = C \sum_{i=1}^{n} (\sigma(z_i) - y_i)\, x_i + w"
SOFTMAX = r"p(y = k \mid x) = \frac{e^{w_k^\top x + b_k}}{\sum_{j=1}^{K} e^{w_j^\top x + b_j}}"

sourced("Ng and Jordan, NIPS 2001, propositions 1 and 2, corollary 6", "How does it differ from naive Bayes?")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def problems():
    for n, d in [(40, 2), (150, 5)]:
        X = np.random.randn(n, d) * np.random.uniform(0.5, 2, d) + 1
        yield X, (np.random.rand(n) < sigmoid(X @ np.random.randn(d) - 0.5)).astype(int)


def fitted(X, y, C):
    return LogisticRegression(C=C, tol=1e-10, max_iter=20000).fit(X, y)


@formula(SIGMOID)
@holds("Logistic regression")
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
        np.testing.assert_allclose(
            odds(model.predict_proba(moved)) / odds(model.predict_proba(X)), math.exp(model.coef_[0, 1]), rtol=1e-7
        )


@formula(OBJECTIVE)
def check_objective():
    for X, y in problems():
        for C in (0.05, 1.0):
            objective = lambda v: (
                C * (np.logaddexp(0, X @ v[:-1] + v[-1]) - y * (X @ v[:-1] + v[-1])).sum() + (v[:-1] ** 2).sum() / 2
            )
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
        (
            C * F.binary_cross_entropy_with_logits(z, torch.tensor(y, dtype=torch.float64), reduction="sum")
            + (w**2).sum() / 2
        ).backward()
        ours = C * ((sigmoid(z.detach().numpy()) - y)[:, None] * X).sum(0) + w.detach().numpy()
        np.testing.assert_allclose(ours, w.grad.numpy(), rtol=1e-9)


@formula(SOFTMAX)
@holds("Are the softmax weights unique?", "`coef_`, `intercept_`", "How can it draw a curved boundary?")
def check_softmax():
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=2000).fit(X, y)
    assert model.coef_.shape == (3, 4) and model.intercept_.shape == (3,)
    e = np.exp(X @ model.coef_.T + model.intercept_)
    np.testing.assert_allclose(e / e.sum(1, keepdims=True), model.predict_proba(X), rtol=1e-8)
    layer = torch.nn.Linear(4, 3).double()  # a last linear layer under cross-entropy: the same model
    layer.weight.data, layer.bias.data = torch.tensor(model.coef_), torch.tensor(model.intercept_)
    loss = F.cross_entropy(layer(torch.tensor(X)), torch.tensor(y)).item()
    assert math.isclose(loss, -np.log(model.predict_proba(X)[np.arange(150), y]).mean())
    v = np.random.randn(4)  # the penalty grows with any common shift, of either sign
    assert min(((model.coef_ + s * v) ** 2).sum() for s in (-0.1, 0.1)) > (model.coef_**2).sum()
    shifted = np.exp(X @ model.coef_.T + model.intercept_ + 5.0)
    np.testing.assert_allclose(shifted / shifted.sum(1, keepdims=True), model.predict_proba(X), rtol=1e-8)
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


@holds("`fit(X, y)`", "`predict_proba(X)`", "`coef_`, `intercept_`", "Defaults", "In PyTorch")
def check_contract():
    model = LogisticRegression()
    assert model.C == 1.0 and model.solver == "lbfgs" and model.max_iter == 100
    decays = [
        optimizer([torch.zeros(1, requires_grad=True)]).defaults["weight_decay"]
        for optimizer in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    ]
    assert decays == [0, 0, 0.01]
    X, y = next(problems())
    plain = [LogisticRegression(tol=1e-10, max_iter=5000).fit(Z, np.where(y, "b", "a")) for Z in (X, csr_array(X))]
    np.testing.assert_allclose(plain[0].coef_, plain[1].coef_, atol=1e-5)
    z, size = plain[0].decision_function(X), (plain[0].coef_ ** 2).sum() / 2
    assert plain[0].classes_.tolist() == ["a", "b"] and ((plain[0].predict_proba(X)[:, 1] > 0.5) == (z > 0)).all()
    loss = torch.nn.BCEWithLogitsLoss(reduction="sum")(torch.tensor(z), torch.tensor(y, dtype=torch.float64)).item()
    assert (
        math.isclose(loss, np.logaddexp(0, np.where(y, -z, z)).sum()) and size > 0
    )  # the loss has no term in the weights
    model.fit(X, y)
    assert model.coef_.shape == (1, 2) and model.intercept_.shape == (1,) and model.predict_proba(X).shape == (40, 2)
    assert np.allclose(model.predict_proba(X).sum(1), 1)
    counts = np.random.poisson(3, (40, 2))  # integers run too
    assert (model.fit(counts, y).coef_ == model.fit(counts.astype(float), y).coef_).all()


@pitfall("The coefficients differ from R or statsmodels")
def check_plain_maximum_likelihood():
    X = np.random.randn(150, 3)
    y = (np.random.rand(150) < sigmoid(X @ [1, -2, 0.5] - 0.5)).astype(int)
    likelihood = lambda v: (np.logaddexp(0, X @ v[:-1] + v[-1]) - y * (X @ v[:-1] + v[-1])).sum()
    found = minimize(likelihood, np.zeros(4), tol=1e-12).x
    fit = lambda C: LogisticRegression(C=C).fit(X, y).coef_[0]
    assert np.abs(fit(1.0) - found[:-1]).max() > 0.05 and np.linalg.norm(fit(10.0)) > np.linalg.norm(fit(1.0))
    np.testing.assert_allclose(fit(np.inf), found[:-1], atol=5e-3)
    X, y = load_diabetes(return_X_y=True)  # columns of norm 1: entries near 0.05
    plain = lambda X, y, **options: LogisticRegression(C=np.inf, **options).fit(X, y).coef_
    tight = {"solver": "newton-cholesky", "tol": 1e-8}
    for classes in (y > np.median(y), np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))):
        scaled = plain(StandardScaler().fit_transform(X), classes, tol=1e-10, max_iter=10000) / X.std(0)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            loose = plain(X, classes)
        rows = lambda w: w if len(w) == 1 else w[1:] - w[0]
        size = np.abs(rows(scaled)).max()
        assert np.abs(rows(loose) - rows(scaled)).max() > 0.25 * size
        assert np.abs(rows(plain(X, classes, **tight)) - rows(scaled)).max() < 1e-3 * size
    check_several_classes_have_no_reference_class()


@check
def check_liblinear_penalises_the_intercept():
    X, y = next(problems())
    options = {"C": 0.01, "tol": 1e-9, "max_iter": 20000}
    free, penalised = (
        LogisticRegression(solver=s, **options).fit(X + 5, y).intercept_[0] for s in ("lbfgs", "liblinear")
    )
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
    assert loss(2, -20) < loss(1, -10) < loss(2, -10)  # the bias must grow with the weight

    def descended(steps, decay=0.0, rate=1.0, kind=torch.optim.SGD):
        torch.manual_seed(0)
        layer = torch.nn.Linear(1, 1).double()
        optimizer = kind(layer.parameters(), rate, weight_decay=decay)
        for _ in range(steps):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(
                layer(torch.tensor(x))[:, 0], torch.tensor(y, dtype=torch.float64)
            ).backward()
            optimizer.step()
        return layer.weight.item()

    assert descended(20) + 1.5 < descended(200) and descended(200) + 1.5 < descended(2000)
    assert abs(descended(200, decay=0.1) - descended(1000, decay=0.1)) < 1e-6
    grown = [
        descended(800, 0.1, 0.1, kind) - descended(300, 0.1, 0.1, kind)
        for kind in (torch.optim.Adam, torch.optim.AdamW)
    ]
    assert abs(grown[0]) < 0.01 < 0.2 < grown[1]


@pitfall('"lbfgs failed to converge"')
def check_convergence_warning():
    X, y = load_breast_cancer(return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LogisticRegression().fit(X, y)
    assert any(
        issubclass(w.category, ConvergenceWarning) and "lbfgs failed to converge" in str(w.message) for w in caught
    )
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
    assert (
        found(plain.predict(X) == 1) < 0.3
        and abs(found(plain.predict_proba(X)[:, 1] > rate) - found(balanced.predict(X) == 1)) < 0.1
    )
    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    equal, three = (
        LogisticRegression().fit(X[rows], y[rows])
        for rows in (np.r_[positive, negative[: m * len(positive)]] for m in (1, 3))
    )
    assert abs(equal.predict_proba(X)[:, 1].mean() - rate) > 0.3
    assert 0.7 * rate < sigmoid(equal.decision_function(X) + correction).mean() < 1.4 * rate
    assert (
        abs(equal.intercept_[0] + correction - plain.intercept_[0])
        < 0.6
        < abs(three.intercept_[0] + correction - plain.intercept_[0])
    )
    X, y = load_digits(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), y == 8
    tight = LogisticRegression(C=1e-3, class_weight="balanced").fit(X, y)
    shifted = tight.decision_function(X) + math.log(y.mean() / (1 - y.mean()))
    assert sigmoid(shifted).mean() < 0.85 * y.mean()
    X = np.random.randn(4000, 100)
    y = (np.random.rand(4000) < sigmoid(X[:, 0] + X[:, 1] - 4)).astype(int)
    positive, negative = np.flatnonzero(y[:2000] == 1), np.flatnonzero(y[:2000] == 0)
    rows, correction = np.r_[positive, negative[: len(positive)]], math.log(len(positive) / len(negative))
    few = LogisticRegression().fit(X[rows], y[rows])
    assert sigmoid(few.decision_function(X[2000:]) + correction).mean() > 2 * y[2000:].mean()


@pitfall("Probabilities are off for rare classes")
def check_three_classes_need_the_log_of_the_share():
    for seed in range(3):
        X, y = make_classification(
            6000, 6, n_informative=4, n_classes=3, weights=[0.9, 0.07, 0.03], flip_y=0, random_state=seed
        )
        share = np.bincount(y) / len(y)
        model = LogisticRegression(class_weight="balanced").fit(X, y)
        assert model.predict_proba(X).mean(0)[1:].min() > 3 * share[1:].min()
        shifted = lambda by: np.exp(model.predict_log_proba(X) + by)
        mean = lambda by: (shifted(by) / shifted(by).sum(1, keepdims=True)).mean(0)
        assert np.abs(mean(np.log(share)) / share - 1).max() < 0.45, mean(np.log(share)) / share
        assert (mean(np.log(share / (1 - share))) / share)[1:].max() < 0.5


@check
def check_several_classes_have_no_reference_class():
    X = np.random.randn(300, 2)
    y = (X[:, 0] + 2 * np.random.randn(300) > 0).astype(int) + (X[:, 1] + 2 * np.random.randn(300) > 0)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10000).fit(X, y)
    assert np.abs(model.coef_.sum(0)).max() < 1e-6 < np.abs(model.coef_[0]).max()
    odds = np.log(model.predict_proba(X)[:, 1:] / model.predict_proba(X)[:, :1])
    rows, shift = model.coef_ - model.coef_[0], model.intercept_ - model.intercept_[0]
    np.testing.assert_allclose(X @ rows[1:].T + shift[1:], odds, atol=1e-9)


@holds("Logistic regression", "Naive Bayes", "Linear SVM", "Perceptron", "Trees, forests")
def check_boundaries_and_outputs():
    counts = np.random.poisson(2, (300, 4))
    y = (counts[:, 0] + np.random.poisson(1, 300) > counts[:, 1] + 1).astype(int)
    for model, X in ((MultinomialNB(), counts), (BernoulliNB(), (counts > 1).astype(int))):
        log = model.fit(X, y).predict_log_proba(X)
        odds, design = log[:, 1] - log[:, 0], np.column_stack([X, np.ones(300)])
        np.testing.assert_allclose(design @ np.linalg.lstsq(design, odds, rcond=None)[0], odds, atol=1e-8)
    once, tenfold = counts[:, :2] > 1, np.repeat(counts[:, :2] > 1, 10, axis=1)  # copies count as new evidence
    sure = lambda model, X: np.abs(model.fit(X, y).predict_proba(X)[:, 1] - 0.5).mean()
    truth = np.abs(LogisticRegression(C=np.inf).fit(once, y).predict_proba(once)[:, 1] - 0.5).mean()
    assert sure(BernoulliNB(), tenfold) > truth + 0.05 and abs(sure(LogisticRegression(), tenfold) - truth) < 0.03
    X = np.random.randn(200, 2)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)  # an interaction
    for model in (LinearSVC(), Perceptron()):
        quietly(lambda: model.fit(X, y))
        np.testing.assert_allclose(model.decision_function(X), X @ model.coef_[0] + model.intercept_)
        assert not hasattr(model, "predict_proba")
    assert Perceptron().partial_fit(X[:1], y[:1], classes=[0, 1]).coef_.shape == (1, 2)
    assert LogisticRegression().fit(X, y).score(X, y) < 0.7
    for model in (
        DecisionTreeClassifier(min_samples_leaf=10, random_state=0),
        RandomForestClassifier(20, random_state=0),
    ):
        shares = model.fit(X, y).predict_proba(X)
        assert model.score(X, y) > 0.8 and (model.fit(X * [1, 1024], y).predict_proba(X * [1, 1024]) == shares).all()
    tree = DecisionTreeClassifier(min_samples_leaf=10, random_state=0).fit(X, y)
    leaf = tree.apply(X) == tree.apply(X[:1])
    assert math.isclose(tree.predict_proba(X[:1])[0, 1], y[leaf].mean()) and len(np.unique(X[leaf], axis=0)) > 5


@holds("How can it draw a curved boundary?")
def check_features_bend_the_boundary():
    X, y = make_circles(200, noise=0.05, factor=0.4, random_state=0)
    assert LogisticRegression().fit(X, y).score(X, y) < 0.7
    assert make_pipeline(PolynomialFeatures(2), LogisticRegression()).fit(X, y).score(X, y) == 1
    activations = np.tanh(X @ np.random.randn(2, 50) * 2 + np.random.randn(50))
    assert LogisticRegression(max_iter=1000).fit(activations, y).score(activations, y) > 0.98


@holds("Why cross-entropy and not squared error?")
def check_squared_error_is_flat_and_not_convex():
    z = torch.linspace(-8, 8, 81, dtype=torch.float64, requires_grad=True)
    squared = (torch.sigmoid(z) - 1) ** 2
    (slope,) = torch.autograd.grad(squared.sum(), z, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), z)
    assert curvature.min() < -0.01 and slope[0].abs() < 1e-3
    (slope,) = torch.autograd.grad(F.softplus(-z).sum(), z, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), z)
    assert torch.allclose(slope, torch.sigmoid(z) - 1)
    likelihood = torch.distributions.Bernoulli(logits=z).log_prob(torch.ones_like(z))
    assert torch.allclose(-likelihood, F.softplus(-z))
    assert curvature.min() >= 0 and slope[0] < -0.99
