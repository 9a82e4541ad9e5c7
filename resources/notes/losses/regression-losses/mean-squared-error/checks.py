import inspect
import math
import warnings

import numpy as np
import sklearn.metrics
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

LOSS = r"""
L = \frac{1}{n}\sum_{i=1}^{n} (x_i - y_i)^2, \qquad
\frac{\partial L}{\partial x_i} = \frac{2}{n}\,(x_i - y_i)
"""
SPLIT = r"\frac{1}{n}\sum_{i=1}^{n} (c - y_i)^2 = (c - \bar{y})^2 + \frac{1}{n}\sum_{i=1}^{n} (y_i - \bar{y})^2"

by_definition("Range", "Same in train and eval?")
sourced("Fast R-CNN, arXiv 1504.08083 (boxes); Nature DQN paper, clipped error (values)", "Smooth L1, Huber")
sourced("Hui and Belkin, arXiv 2006.07322, abstract", "What does a sigmoid do to the gradient of MSE?")


@formula(LOSS)
def check_loss_and_gradient():
    for shape in [(1,), (7,), (3, 4), (2, 3, 5, 5), ()]:
        x, y = torch.randn(shape, dtype=torch.float64, requires_grad=True), torch.randn(shape, dtype=torch.float64)
        loss = F.mse_loss(x, y)
        loss.backward()
        a, b = x.detach().numpy(), y.numpy()
        n = x.numel()
        np.testing.assert_allclose(((a - b) ** 2).sum() / n, loss.item(), rtol=1e-12)
        np.testing.assert_allclose(2 / n * (a - b), x.grad.numpy(), rtol=1e-12)
        assert torch.equal(torch.nn.MSELoss()(x, y), loss)
        if shape:
            np.testing.assert_allclose(
                sklearn.metrics.mean_squared_error(b.reshape(-1), a.reshape(-1)), loss.item(), rtol=1e-12
            )


@formula(SPLIT)
def check_split():
    y = torch.randn(50, dtype=torch.float64) * 3 + 2
    for c in (-4.0, 0.0, y.mean().item(), 9.5):
        library = F.mse_loss(torch.full_like(y, c), y).item()
        np.testing.assert_allclose((c - y.mean().item()) ** 2 + y.numpy().var(), library, rtol=1e-12)


@holds("Input, target", "Output", "Defaults")
def check_contract():
    x, y = torch.randn(2, 3), torch.randn(2, 3)
    assert F.mse_loss(x, y, reduction="none").shape == x.shape and F.mse_loss(x, y).shape == ()
    assert F.mse_loss(torch.tensor([1.0, 2.0]), torch.tensor([1, 3])).item() == 0.5
    raises(RuntimeError, lambda: F.mse_loss(torch.tensor([1, 2]), torch.tensor([1, 3])), "Long")
    w = torch.rand(2, 3) + 0.1
    assert torch.allclose(F.mse_loss(x, y, weight=w), (w * (x - y) ** 2).sum() / w.sum())
    assert inspect.signature(F.mse_loss).parameters["weight"].default is None
    assert "weight" not in inspect.signature(torch.nn.MSELoss).parameters
    assert inspect.signature(F.mse_loss).parameters["reduction"].default == "mean"
    assert not list(nn.MSELoss().parameters())


@holds("MSE", "L1", "Smooth L1, Huber", "Gaussian NLL", "Cross-entropy")
def check_best_constants_and_pulls():
    y = torch.tensor([1.0, 2.0, 3.0, 4.0, 20.0]).double()
    grid = torch.linspace(0, 20, 2001).double()
    best = lambda loss: grid[torch.stack([loss(c.expand(5), y) for c in grid]).argmin()].item()
    variance = torch.tensor([1.0, 1.0, 4.0, 2.0, 9.0]).double()
    for loss, constant in (
        (F.mse_loss, 6.0),
        (F.l1_loss, 3.0),
        (lambda c, t: F.huber_loss(c, t, delta=0.01), 3.0),
        (lambda c, t: F.huber_loss(c, t, delta=50.0), 6.0),
        (lambda c, t: F.smooth_l1_loss(c, t, beta=50.0), 6.0),
        (lambda c, t: F.gaussian_nll_loss(c, t, torch.full_like(c, 7.0)), 6.0),
        (lambda c, t: F.gaussian_nll_loss(c, t, variance), ((y / variance).sum() / (1 / variance).sum()).item()),
    ):
        assert abs(best(loss) - constant) < 0.02
    e = torch.tensor([10.0, 100.0], requires_grad=True)
    pull = lambda loss: torch.autograd.grad(loss(e, torch.zeros(2)).sum(), e)[0].tolist()
    none = {"reduction": "none"}
    assert pull(lambda c, t: F.mse_loss(c, t, **none)) == [20, 200]
    assert pull(lambda c, t: F.l1_loss(c, t, **none)) == [1, 1]
    assert pull(lambda c, t: F.huber_loss(c, t, **none)) == pull(lambda c, t: F.smooth_l1_loss(c, t, **none)) == [1, 1]
    nll = pull(lambda c, t: F.gaussian_nll_loss(c, t, torch.full_like(c, 50.0), **none))
    assert np.allclose(nll, [10 / 50, 100 / 50])
    classes = torch.tensor([0, 0, 0, 1, 1, 2])
    frequencies = torch.tensor([3.0, 2.0, 1.0]) / 6
    for start, flat in ((frequencies.log(), True), (torch.zeros(3), False)):
        logits = start.clone().requires_grad_()
        gradient = torch.autograd.grad(F.cross_entropy(logits.expand(6, 3), classes), logits)[0]
        assert bool(gradient.abs().max() < 1e-6) is flat
    # The mean varies less under Gaussian noise, the median under heavy tails and wrong labels.
    gaussian, laplace = torch.randn(4000, 25), torch.distributions.Laplace(0.0, 1.0).sample((4000, 25))
    wrong = torch.where(torch.rand(4000, 25) < 0.1, 20 * torch.randn(4000, 25), gaussian)
    for noise, mean_wins in ((gaussian, True), (laplace, False), (wrong, False)):
        assert bool((noise.mean(1) ** 2).mean() < 0.85 * (noise.median(1).values ** 2).mean()) is mean_wins
    assert (wrong.median(1).values ** 2).mean() < 0.3 * (wrong.mean(1) ** 2).mean()
    assert (laplace.median(1).values ** 2).mean() < 0.85 * (laplace.mean(1) ** 2).mean()
    cauchy = torch.distributions.Cauchy(0.0, 1.0).sample((4000, 25))
    assert (cauchy.median(1).values ** 2).mean() < 0.1 * (cauchy.mean(1) ** 2).mean()
    # Noise that differs between inputs: weighting by the true variance gives the better location.
    spread = torch.tensor([0.1, 3.0]).repeat(10)
    y = spread * torch.randn(2000, 20)
    weighted = (y / spread**2).sum(1) / (1 / spread**2).sum()
    assert (weighted**2).mean() < 0.1 * (y.mean(1) ** 2).mean()


@check
def check_by_hand():
    x, y = torch.tensor([2.0, 3.0, 5.0], requires_grad=True), torch.tensor([1.0, 5.0, 5.0])
    loss = F.mse_loss(x, y)
    loss.backward()
    loss = loss.detach()
    stated("1.6667", loss)
    stated("1.2910", loss.sqrt())
    stated("2.2361", torch.linalg.vector_norm((x - y).detach()))
    stated("0.6667", x.grad[0])
    stated("−1.3333", x.grad[1])
    assert F.mse_loss(x, y, reduction="sum").item() == 5


@check
def check_outlier_pulls_as_much_as_the_others():
    y = torch.tensor([1.0, 2.0, 3.0, 4.0, 20.0])
    c = torch.full_like(y, 6.0).requires_grad_()
    F.mse_loss(c, y).backward()
    assert y.mean() == 6 and y.median() == 3
    assert math.isclose(-c.grad[4].item(), c.grad[:4].sum().item(), rel_tol=1e-6)
    grid = torch.linspace(0, 10, 1001)
    squared = [F.mse_loss(torch.full_like(y, float(v)), y).item() for v in grid]
    absolute = [F.l1_loss(torch.full_like(y, float(v)), y).item() for v in grid]
    assert abs(grid[int(np.argmin(squared))] - 6) < 1e-3 and abs(grid[int(np.argmin(absolute))] - 3) < 1e-3


@pitfall("The loss stalls near the variance of the targets, with a warning about sizes")
def check_broadcast():
    inputs = torch.randn(64, 3)
    targets = inputs @ torch.tensor([1.0, -2.0, 3.0])
    for squeezed in (False, True):
        layer = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(layer.parameters(), 0.1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(100):
                pred = layer(inputs).squeeze(1) if squeezed else layer(inputs)
                loss = F.mse_loss(pred, targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        assert (pred.shape == targets.shape) is squeezed and bool(caught) is not squeezed
        if squeezed:
            assert loss < 1e-3
        else:
            assert math.isclose(loss.item(), targets.var(unbiased=False).item(), rel_tol=0.01)
            assert (pred - targets.mean()).abs().max() < 0.1
    y = torch.tensor([1.0, 2.0, 3.0])
    raises(IndexError, lambda: y.squeeze(1), "Dimension out of range")  # the shapes the other way round
    assert F.mse_loss(y, y[:, None].squeeze(1)) == 0
    x = y.clone()[:, None].requires_grad_()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stated("1.3333", F.mse_loss(x, y).detach())
        assert "broadcasting" in str(caught[0].message)
        mean = torch.full((3, 1), 2.0, requires_grad=True)
        best = F.mse_loss(mean, y)
        best.backward()
        assert mean.grad.abs().max() < 1e-6 and best < F.mse_loss(x, y)
        assert math.isclose(best.item(), y.var(unbiased=False).item(), rel_tol=1e-6)


@pitfall("NaN gradients after taking the root")
def check_root_is_nan_at_zero():
    for epsilon, finite in ((0.0, False), (1e-8, True)):
        x = torch.ones(3, requires_grad=True)
        (F.mse_loss(x, torch.ones(3)) + epsilon).sqrt().backward()
        assert bool(torch.isfinite(x.grad).all()) is finite and (finite or bool(torch.isnan(x.grad).all()))
    x = torch.ones(3, requires_grad=True)
    loss = F.mse_loss(x, torch.ones(3))
    loss.backward()
    assert torch.isfinite(x.grad).all() and loss.sqrt().item() == 0


def reconstructed(reconstruction, white=4.0, weight=1.0):
    """Error of a small variational autoencoder on digits, and its KL term, after training with one reconstruction term."""
    torch.manual_seed(0)
    pixels = torch.tensor(load_digits().data, dtype=torch.float32) / 16 * white
    encoder = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 8))
    decoder = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 0.02)
    for _ in range(150):
        batch = pixels[torch.randint(len(pixels), (64,))]
        mean, log_variance = encoder(batch).chunk(2, 1)
        decoded = decoder(mean + torch.randn_like(mean) * (log_variance / 2).exp())
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        optimizer.zero_grad()
        (reconstruction(decoded, batch) + weight * kl).backward()
        optimizer.step()
    error = F.mse_loss(decoder(encoder(pixels)[:, :4]), pixels)
    return (error / pixels.var(0, unbiased=False).mean()).item(), kl.item()


@pitfall("One term of a combined loss has no effect")
def check_reconstruction_term_is_drowned():
    """Share of the pixels' variance left: all of it (each image becomes the mean image), or clearly less."""
    left, kl = reconstructed(F.mse_loss)
    assert left > 0.97 and kl < 0.02
    summed = lambda x, y: F.mse_loss(x, y, reduction="sum") / len(x)
    left, kl = reconstructed(summed)
    assert left < 0.8 and kl > 2
    assert reconstructed(summed, white=1.0)[0] > 0.85  # pixels in [0, 1]: equal weights are not enough
    assert reconstructed(summed, white=1.0, weight=0.1)[0] < 0.65


@pitfall("Loss in the millions, unstable steps, or `inf` in float16")
def check_units_of_the_targets():
    inputs = torch.randn(64, 3)
    metres = inputs @ torch.tensor([1.0, -2.0, 3.0]) + 5
    millimetres = 1000 * metres
    standardized = (millimetres - millimetres.mean()) / millimetres.std()

    def trained(targets):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
        optimizer = torch.optim.SGD(network.parameters(), 0.05)
        losses = []
        for _ in range(100):
            losses.append(F.mse_loss(network(inputs).squeeze(1), targets))
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
        return losses[0].item(), losses[-1].item(), network(inputs).squeeze(1).detach()

    first, last, _ = trained(millimetres)
    assert first > 1e6 and not last < 1e12
    first, last, predicted = trained(standardized)
    assert first < 2 and last < 0.05
    back = predicted * millimetres.std() + millimetres.mean()
    assert F.mse_loss(back, millimetres) < 0.05 * millimetres.var() < 0.5 * F.mse_loss(predicted, millimetres)
    half, zero = torch.tensor([300.0]).half(), torch.zeros(1).half()
    assert torch.isinf(F.mse_loss(half, zero)) and F.mse_loss(half.float(), zero.float()) == 90000


@check
def check_scale():
    x, y = torch.rand(4, 1, 28, 28), torch.rand(4, 1, 28, 28)
    per_image = F.mse_loss(x, y, reduction="sum") / len(x)
    stated("784", round((per_image / F.mse_loss(x, y)).item()))
    a, b = torch.randn(9), torch.randn(9)
    assert math.isclose((F.mse_loss(1000 * a, 1000 * b) / F.mse_loss(a, b)).item(), 1e6, rel_tol=1e-5)
    stated("90,000", 300**2)
    stated("65,504", torch.finfo(torch.float16).max)


@holds("What does a sigmoid do to the gradient of MSE?")
def check_sigmoid_saturates():
    z = torch.tensor(math.log(0.01 / 0.99), dtype=torch.float64, requires_grad=True)
    F.mse_loss(z.sigmoid(), torch.ones((), dtype=torch.float64)).backward()
    stated("−0.0196", z.grad)
    z.grad = None
    F.binary_cross_entropy_with_logits(z, torch.ones((), dtype=torch.float64)).backward()
    stated("−0.99", z.grad)
    for p in (0.001, 0.2, 0.999):
        z = torch.tensor(math.log(p / (1 - p)), dtype=torch.float64, requires_grad=True)
        for label in (0.0, 1.0):
            gradient = torch.autograd.grad((z.sigmoid() - label) ** 2, z)[0].item()
            assert math.isclose(gradient, 2 * (p - label) * p * (1 - p), rel_tol=1e-9)


@holds("Is MSE convex?")
def check_convexity():
    inputs, y = torch.randn(30, 4).double(), torch.randn(30).double()
    for _ in range(50):
        a, b = torch.randn(2, 30).double()
        v, w = torch.randn(2, 4).double()
        for middle, ends in (
            (F.mse_loss((a + b) / 2, y), (F.mse_loss(a, y) + F.mse_loss(b, y)) / 2),
            (F.mse_loss(inputs @ (v + w) / 2, y), (F.mse_loss(inputs @ v, y) + F.mse_loss(inputs @ w, y)) / 2),
        ):
            assert middle < ends
    two_layers = lambda first, second: F.mse_loss(second * torch.tanh(first * torch.ones(1)), torch.tanh(torch.ones(1)))
    assert two_layers(1.0, 1.0) == two_layers(-1.0, -1.0) == 0 < two_layers(0.0, 0.0)  # higher between two minima


@holds("Which assumption stands behind MSE?", "What value is good?")
def check_gaussian_likelihood_and_scikit_learn():
    x, y = torch.randn(20, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    nll = -torch.distributions.Normal(x, 0.7).log_prob(y).mean()
    expected = F.mse_loss(x, y) / (2 * 0.7**2) + math.log(0.7) + 0.5 * math.log(2 * math.pi)
    assert torch.allclose(nll, expected)
    skewed = torch.distributions.Exponential(1.0).sample((20000,)).double() + 2  # far from Gaussian: the mean is 3
    grid = torch.linspace(2, 4, 201).double()
    assert abs(grid[torch.stack([F.mse_loss(c.expand(20000), skewed) for c in grid]).argmin()] - 3) < 0.05
    assert "squared" not in inspect.signature(sklearn.metrics.mean_squared_error).parameters
    assert math.isclose(sklearn.metrics.root_mean_squared_error(y, x), F.mse_loss(x, y).sqrt().item())
    assert math.isclose(sklearn.metrics.r2_score(y, x), (1 - F.mse_loss(x, y) / y.var(unbiased=False)).item())
