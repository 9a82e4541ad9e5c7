import math

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from note_checks import check, formula, stated

DECOMPOSITION = r"""
\mathrm{E}\left[ (y - \hat{f}_D(x))^2 \right] =
\left( \mathrm{E}[\hat{f}_D(x)] - f(x) \right)^2 + \mathrm{E}\left[ \left( \hat{f}_D(x) - \mathrm{E}[\hat{f}_D(x)] \right)^2 \right] + \sigma^2
"""
AVERAGE = r"\mathrm{Var}\left( \frac{1}{M} \sum_{m=1}^{M} \hat{f}_m \right) = \rho v + \frac{1 - \rho}{M} v"


@formula(DECOMPOSITION)
def check_decomposition():
    """Refits real models on many samples; the error on fresh noisy targets equals the three parts within sampling error."""
    generator = np.random.default_rng(0)
    sigma, runs = 0.5, 20000
    for model in (LinearRegression(), KNeighborsRegressor(1), make_pipeline(PolynomialFeatures(3), LinearRegression())):
        x = np.linspace(-1, 1, 12)[:, None]
        targets = np.sin(3 * x) + sigma * generator.normal(size=(12, runs))
        predictions = model.fit(x, targets).predict(np.array([[0.7]]))[0]
        truth = math.sin(2.1)
        error = (truth + sigma * generator.normal(size=(40, len(predictions))) - predictions) ** 2
        parts = (predictions.mean() - truth) ** 2 + predictions.var() + sigma**2
        assert abs(error.mean() / parts - 1) < 0.03, (error.mean(), parts)
        for missing in ((predictions.mean() - truth) ** 2, predictions.var(), sigma**2):
            assert missing < 0.03 * parts or abs(error.mean() / (parts - missing) - 1) > 0.03


@formula(AVERAGE)
def check_average():
    for M, rho, v in [(2, 0.0, 1.0), (5, 0.3, 2.0), (10, 0.9, 0.5), (1, 0.4, 3.0)]:
        covariance = v * (rho * np.ones((M, M)) + (1 - rho) * np.eye(M))
        assert math.isclose(np.ones(M) @ covariance @ np.ones(M) / M**2, rho * v + (1 - rho) / M * v)
        drawn = np.random.multivariate_normal(np.zeros(M), covariance, 200_000).mean(1).var()
        assert abs(drawn / (rho * v + (1 - rho) / M * v) - 1) < 0.03


@check
def check_by_hand():
    mu, n, variance = 2, 4, 4
    values = {c: (1 - c) ** 2 * mu**2 + c**2 * variance / n for c in (1, 0.8, 0.5)}
    assert values[1] == 1 and math.isclose((1 - 0.8) ** 2 * 4, 0.16) and math.isclose(0.8**2, 0.64)
    stated("0.80", values[0.8])
    stated("1.25", values[0.5])
    means = np.random.normal(mu, 2, (400_000, n)).mean(1)
    for c, value in values.items():
        assert abs(((c * means - mu) ** 2).mean() - value) < 0.01


@check
def check_larger_families_fit_better():
    x = np.random.uniform(-1, 1, (20, 1))
    y = np.sin(3 * x[:, 0]) + 0.3 * np.random.randn(20)
    errors = [
        ((make_pipeline(PolynomialFeatures(d), LinearRegression()).fit(x, y).predict(x) - y) ** 2).mean() for d in range(1, 11)
    ]
    assert all(later <= earlier + 1e-9 for earlier, later in zip(errors, errors[1:]))


@check
def check_selecting_on_the_test_set():
    right = np.random.default_rng(0).binomial(100, 0.5, (20000, 100))
    stated("62.5%", round(right.max(1).mean() / 100, 3))


@check
def check_double_descent():
    generator = np.random.default_rng(0)
    errors = {}
    for features in (5, 20, 200):
        scores = []
        for _ in range(200):
            w = generator.normal(size=400) / 20
            X, test = generator.normal(size=(20, 400)), generator.normal(size=(100, 400))
            solution = np.linalg.pinv(X[:, :features]) @ (X @ w + 0.1 * generator.normal(size=20))
            scores.append(((test[:, :features] @ solution - test @ w) ** 2).mean())
        errors[features] = np.median(scores)
    assert errors[20] > 3 * errors[200] and errors[20] > 3 * errors[5]


@check
def check_batchnorm_memorises():
    import torch
    from torch import nn

    x, y = torch.randn(64, 20), torch.randint(2, (64,))
    net = nn.Sequential(nn.Linear(20, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert (net.eval()(x).argmax(1) == y).all()


@check
def check_neighbours():
    x, y = np.random.rand(30, 1), np.random.rand(30)
    assert np.allclose(KNeighborsRegressor(30).fit(x, y).predict([[0.1], [0.9]]), y.mean())
