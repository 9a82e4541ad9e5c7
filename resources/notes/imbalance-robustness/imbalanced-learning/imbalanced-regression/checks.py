import inspect
import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import convolve1d
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

SMOOTHED = r"""
\tilde{p}(b) = \sum_{b'} k(b - b') \, p(b'), \qquad w_i = \frac{1 / \tilde{p}(b_i)}{\frac{1}{n} \sum_{j=1}^{n} 1 / \tilde{p}(b_j)}
"""
LOSS = r"L = \frac{1}{n} \sum_{i=1}^{n} w_i \left( f(x_i) - y_i \right)^2"
OPTIMUM = r"f^*(x) = \frac{\mathrm{E}[\, w(Y) \, Y \mid x \,]}{\mathrm{E}[\, w(Y) \mid x \,]}"
KERNEL = np.array([0.25, 0.5, 0.25])

by_definition("Same in train and eval?", "Cost")
sourced("imbalanced-regression, agedb-dir/datasets.py, _prepare_weights", "Weights", "Parameters")
sourced(
    "Delving into Deep Imbalanced Regression, arXiv 2102.09554, section 4",
    "Parameters",
    "Metric",
    "How is it evaluated?",
)
sourced(
    "Delving into Deep Imbalanced Regression, arXiv 2102.09554, section 3.2, and agedb-dir/resnet.py",
    "FDS",
    "What does FDS do at test time?",
)
sourced("Balanced MSE, arXiv 2203.16427, abstract and section 3", "Balanced MSE")


def smooth(p, kernel):
    """The sum as written, with zeros outside."""
    half = len(kernel) // 2
    return np.array(
        [sum(kernel[b - c + half] * p[c] for c in range(len(p)) if abs(b - c) <= half) for b in range(len(p))]
    )


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
@holds("Input", "Weights")
def check_loss():
    for n in (1, 30, 500):
        f, y, w = (torch.rand(n, dtype=torch.float64) + 0.1 for _ in range(3))
        ours = (w.numpy() * (f.numpy() - y.numpy()) ** 2).sum() / n
        assert math.isclose(ours, (w * F.mse_loss(f, y, reduction="none")).mean().item())
        scaled = weights(np.random.randint(0, 5, n), KERNEL)
        assert scaled.shape == (n,) and math.isclose(scaled.mean(), 1)
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


@pitfall("Labels at the ends get too much weight")
def check_ends():
    flat = np.ones(6)
    stated("0.75", convolve1d(flat, KERNEL, mode="constant")[0])
    stated("1.33", 1 / convolve1d(flat, KERNEL, mode="constant")[0])
    np.testing.assert_allclose(convolve1d(flat, KERNEL, mode="reflect"), 1)
    np.testing.assert_allclose(smooth(flat, KERNEL) / smooth(np.ones(6), KERNEL), 1)


@holds("LDS", "Does weighting help a model that fits everything?")
def check_flexible_model_is_hardly_moved():
    x = np.sort(np.random.rand(2000))
    y = 20 * x**2 + np.random.normal(0, 0.05, 2000)
    features = np.stack([x, x**2, x**3], 1)
    w = weights(np.floor(y - y.min()).astype(int), KERNEL)
    moved = LinearRegression().fit(features, y, w).predict(features) - LinearRegression().fit(features, y).predict(
        features
    )
    line = LinearRegression().fit(x[:, None], y, w).predict(x[:, None]) - LinearRegression().fit(x[:, None], y).predict(
        x[:, None]
    )
    assert np.abs(moved).max() < 0.05 < 0.1 < np.abs(line).max()
    rare = y > 14  # what the line gains there is the reason to weight
    errors = [np.abs(LinearRegression().fit(x[:, None], y, u).predict(x[:, None]) - y)[rare].mean() for u in (None, w)]
    assert errors[1] < errors[0]


@holds("Log target", "Smooth L1")
def check_siblings():
    y = torch.tensor([1.0, 10, 1000])
    losses = F.mse_loss((1.1 * y).log(), y.log(), reduction="none")
    assert torch.allclose(losses, losses[0].expand(3), rtol=1e-3) and not torch.allclose(*((1.1 * y - y) ** 2)[:2])
    errors = torch.tensor([3.0, 50, 4000], requires_grad=True)
    losses = [loss(errors, torch.zeros(3), reduction="sum") for loss in (F.smooth_l1_loss, F.mse_loss)]
    pulls = [torch.autograd.grad(loss, errors)[0] for loss in losses]
    assert pulls[0].tolist() == [1, 1, 1] and pulls[1].tolist() == [6, 100, 8000]


@holds("Why not simply cut the labels into classes?")
def check_classes_have_no_order():
    near, far = torch.eye(100)[71] * 5, torch.eye(100)[20] * 5  # most of the probability on class 71, on class 20
    truth = torch.tensor([70])
    assert torch.equal(F.cross_entropy(near[None], truth), F.cross_entropy(far[None], truth))
    assert F.mse_loss(torch.tensor([71.0]), truth.float()) < F.mse_loss(torch.tensor([20.0]), truth.float())
    assert np.floor([69.99, 70.01]).tolist() == [69, 70]


@pitfall("Predictions are shifted towards the rare labels")
def check_shift():
    x, y = np.zeros((1000, 1)), np.repeat([0.0, 10.0], [900, 100])
    predicted = [LinearRegression().fit(x, y, sample_weight=np.where(y > 0, w, 1)).predict(x)[0] for w in (1, 9, 3)]
    np.testing.assert_allclose(predicted, [1, 5, 2.5])
    p = np.array([0.9, 0.1])
    np.testing.assert_allclose([(p[0] / p[1]), (p[0] / p[1]) ** 0.5], [9, 3])


@pitfall("The labels themselves were smoothed")
def check_targets_stay():
    y = np.sort(np.minimum(np.random.exponential(3, 2000), 19))
    x = y[:, None]
    smoothed_targets = convolve1d(y[np.random.permutation(2000)], np.ones(5) / 5)
    kept = LinearRegression().fit(x, y, sample_weight=weights(np.floor(y).astype(int), KERNEL)).predict(x)
    assert (
        np.abs(kept - y).max()
        < 1e-6
        < 1
        < np.abs(LinearRegression().fit(x, smoothed_targets).predict(x) - y)[y > 10].mean()
    )


@pitfall("The reference code does not fit my labels")
def check_bins_of_whole_years():
    y = np.concatenate([np.random.uniform(3, 3.2, 1000), np.random.uniform(3.8, 4, 10), np.random.uniform(0, 5, 20)])
    years = weights(y.astype(int), KERNEL)
    assert len(np.unique(y.astype(int))) == 5 and len(np.unique(years[(y >= 3) & (y < 4)])) == 1
    own = weights(np.floor((y - y.min()) / 0.1).astype(int), KERNEL)
    assert own[1000:1010].min() > 10 * own[:1000].mean()


@pitfall("Training becomes unstable")
def check_extreme_label():
    """SGD on batches of 8 with one label far out: the largest slope met on the way, where 2 is right."""
    x = np.random.choice([-1.0, 1.0], 1000)
    y = 2 * x
    x[0], y[0] = 1.0, 40.0
    w = weights(np.floor(y - y.min()).astype(int), KERNEL)
    rare = 1 / smooth(np.bincount(np.floor(y - y.min()).astype(int)) / 1000, KERNEL)[np.floor(y - y.min()).astype(int)]
    largest = []
    for weight in (w, np.minimum(w, np.quantile(w, 0.99)), np.sqrt(rare) / np.sqrt(rare).mean()):
        slope, met = 0.0, []
        for batch in np.random.default_rng(0).permutation(1000).reshape(-1, 8):
            slope -= 0.1 * (weight[batch] * 2 * (slope * x[batch] - y[batch]) * x[batch]).mean()
            met.append(abs(slope))
        largest.append(max(met))
    slope, before, jumps = torch.zeros(1, dtype=torch.float64, requires_grad=True), 0.0, []  # under Adam: no huge step
    adam = torch.optim.Adam([slope], 0.1)
    for batch in np.random.default_rng(0).permutation(1000).reshape(-1, 8):
        inputs, targets, share = (torch.tensor(values[batch]) for values in (x, y, w))
        adam.zero_grad()
        (share * (slope * inputs - targets) ** 2).mean().backward()
        adam.step()
        jumps.append(abs(slope.item() - before))
        before = slope.item()
    assert max(jumps) < 0.5
    for extreme, caught in ((5, True), (15, False)):  # of 1,000 labels
        many = np.r_[40.0 + 10 * np.arange(extreme), y[extreme:]]
        u = weights(np.floor(many - many.min()).astype(int), KERNEL)
        assert (np.quantile(u, 0.99) < 1) == caught and (np.quantile(u, 0.99) < u.max() / 100) == caught
    cap, steps = np.quantile(w, 0.99), 2 * (0 * x - y) * x  # the gradients of single samples at slope 0
    assert (np.abs(np.minimum(w, cap) * steps) <= cap * np.abs(steps) + 1e-12).all() and cap < 2
    roots = []
    for n in (100, 10_000):  # one extreme label among n: the milder weight grows with n
        root = np.sqrt(weights(np.r_[np.repeat([0, 1], n // 2), 40], KERNEL))
        roots.append(root[-1] / root.mean())
    assert roots[1] > 5 * roots[0]
    assert w[0] > 300 and largest[0] > 200 and largest[1] < 5 and 10 < largest[2] < 40
