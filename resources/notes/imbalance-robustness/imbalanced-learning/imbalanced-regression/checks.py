import inspect
import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import convolve1d
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from note_checks import check, formula, stated

SMOOTHED = r"""
\tilde{p}(b) = \sum_{b'} k(b - b') \, p(b'), \qquad w_i = \frac{1 / \tilde{p}(b_i)}{\frac{1}{n} \sum_{j=1}^{n} 1 / \tilde{p}(b_j)}
"""
LOSS = r"L = \frac{1}{n} \sum_{i=1}^{n} w_i \left( f(x_i) - y_i \right)^2"
OPTIMUM = r"f^*(x) = \frac{\mathrm{E}[\, w(Y) \, Y \mid x \,]}{\mathrm{E}[\, w(Y) \mid x \,]}"
KERNEL = np.array([0.25, 0.5, 0.25])


def smooth(p, kernel):
    """The sum as written, with zeros outside."""
    half = len(kernel) // 2
    return np.array([sum(kernel[b - c + half] * p[c] for c in range(len(p)) if abs(b - c) <= half) for b in range(len(p))])


def weights(bins, kernel):
    inverse = 1 / smooth(np.bincount(bins) / len(bins), kernel)[bins]
    return inverse / inverse.mean()


@formula(SMOOTHED)
def check_smoothing():
    for bins, size, sigma in [(5, 3, 1.0), (40, 5, 2.0), (40, 9, 3.0)]:
        kernel = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
        kernel /= kernel.sum()
        labels = np.minimum(np.random.geometric(0.15, 500) - 1, bins - 1)
        p = np.bincount(labels, minlength=bins) / 500
        np.testing.assert_allclose(smooth(p, kernel), convolve1d(p, kernel, mode="constant"), atol=1e-12)
        w = weights(labels, kernel)
        inverse = 1 / convolve1d(np.bincount(labels) / 500, kernel, mode="constant")[labels]
        np.testing.assert_allclose(w, inverse * 500 / inverse.sum())
        assert math.isclose(w.mean(), 1)


@formula(LOSS)
def check_loss():
    for n in (1, 30, 500):
        f, y, w = (torch.rand(n, dtype=torch.float64) + 0.1 for _ in range(3))
        ours = (w.numpy() * (f.numpy() - y.numpy()) ** 2).sum() / n
        assert math.isclose(ours, (w * F.mse_loss(f, y, reduction="none")).mean().item())
    x, y, w = np.random.randn(80, 2), np.random.randn(80), np.random.rand(80)
    model = LinearRegression().fit(x, y, sample_weight=w)
    loss = lambda shift: (w * (model.predict(x) + shift - y) ** 2).mean()
    assert all(loss(0) < loss(s) for s in (-0.01, 0.01))


@formula(OPTIMUM)
def check_optimum():
    for _ in range(5):
        values, p, w = np.random.randn(6) * 5, np.random.dirichlet(np.ones(6)), np.random.rand(6) * 3
        best = (p * w * values).sum() / (p * w).sum()
        f = torch.tensor(best, requires_grad=True)
        loss = (torch.tensor(p * w) * (f - torch.tensor(values)) ** 2).sum()
        assert abs(torch.autograd.grad(loss, f)[0].item()) < 1e-10
    two, p = np.array([0.0, 10.0]), np.array([0.9, 0.1])
    assert (p * two).sum() == 1 and math.isclose((p * [1, 9] * two).sum() / (p * [1, 9]).sum(), 5)


@check
def check_by_hand():
    labels = np.repeat([0, 2], [8, 2])
    assert smooth(np.array([8.0, 0, 2]), KERNEL).tolist() == [4, 2.5, 1]
    stated("2.5", smooth(np.array([8.0, 0, 2]), KERNEL)[1])
    stated("0.625", weights(labels, KERNEL)[0])
    stated("2.5", weights(labels, KERNEL)[-1])


@check
def check_regressors_with_weights():
    for regressor, takes in [(LinearRegression, True), (KNeighborsRegressor, False)]:
        assert ("sample_weight" in inspect.signature(regressor.fit).parameters) == takes


@check
def check_ends():
    flat = np.ones(6)
    stated("0.75", convolve1d(flat, KERNEL, mode="constant")[0])
    stated("1.33", 1 / convolve1d(flat, KERNEL, mode="constant")[0])
    np.testing.assert_allclose(convolve1d(flat, KERNEL, mode="reflect"), 1)
    np.testing.assert_allclose(smooth(flat, KERNEL) / smooth(np.ones(6), KERNEL), 1)


@check
def check_flexible_model_is_hardly_moved():
    x = np.sort(np.random.rand(2000))
    y = 20 * x**2 + np.random.normal(0, 0.05, 2000)
    features = np.stack([x, x**2, x**3], 1)
    w = weights(np.floor(y - y.min()).astype(int), KERNEL)
    moved = LinearRegression().fit(features, y, w).predict(features) - LinearRegression().fit(features, y).predict(features)
    line = LinearRegression().fit(x[:, None], y, w).predict(x[:, None]) - LinearRegression().fit(x[:, None], y).predict(x[:, None])
    assert np.abs(moved).max() < 0.05 < 0.1 < np.abs(line).max()
