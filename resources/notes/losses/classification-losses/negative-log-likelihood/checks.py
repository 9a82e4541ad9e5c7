import inspect
import math

import numpy as np
import torch
from sklearn.metrics import log_loss
from torch import nn
from torch.distributions import Bernoulli, Categorical, Normal
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, raises, stated

LIKELIHOOD = r"""
L(\theta) = -\frac{1}{N}\sum_{n=1}^{N} \log p_\theta(y_n \mid x_n) = -\frac{1}{N} \log \prod_{n=1}^{N} p_\theta(y_n \mid x_n)
"""
PICK = r"L = \frac{-\sum_{n} w_{y_n} a_{n, y_n}}{\sum_{n} w_{y_n}}"
GAUSSIAN = r"\ell = \frac{1}{2}\left( \log v' + \frac{(y - \mu)^2}{v'} \right)"


@formula(LIKELIHOOD)
def check_likelihood():
    for n, classes in ((1, 2), (7, 3), (30, 5)):
        logits, y = torch.randn(n, classes, dtype=torch.float64), torch.randint(classes, (n,))
        p = logits.softmax(1).numpy()[np.arange(n), y.numpy()]
        library = F.nll_loss(F.log_softmax(logits, 1), y).item()
        np.testing.assert_allclose(-np.log(p).sum() / n, library, rtol=1e-10)
        np.testing.assert_allclose(-np.log(np.prod(p)) / n, library, rtol=1e-10)
        np.testing.assert_allclose(-Categorical(logits=logits).log_prob(y).mean().item(), library, rtol=1e-10)
        np.testing.assert_allclose(log_loss(y, logits.softmax(1), labels=list(range(classes))), library, rtol=1e-6)


@holds("`NLLLoss`", "`NLLLoss` input")
@formula(PICK)
def check_pick():
    for shape in ((6, 3), (2, 4, 5), (2, 3, 4, 4)):
        a = F.log_softmax(torch.randn(shape, dtype=torch.float64), 1)
        y = torch.randint(shape[1], (shape[0], *shape[2:]))
        y.view(-1)[0] = -100
        w = torch.rand(shape[1], dtype=torch.float64) + 0.1
        flat, labels = a.movedim(1, -1).reshape(-1, shape[1]).numpy(), y.reshape(-1).numpy()
        kept = np.flatnonzero(labels != -100)
        weights = w.numpy()[labels[kept]]
        ours = -(weights * flat[kept, labels[kept]]).sum() / weights.sum()
        np.testing.assert_allclose(ours, nn.NLLLoss(weight=w)(a, y).item(), rtol=1e-12)
        np.testing.assert_allclose(-flat[kept, labels[kept]].mean(), nn.NLLLoss()(a, y).item(), rtol=1e-12)
    assert F.nll_loss(torch.tensor([-0.5, -1.0]), torch.tensor(1)).item() == 1.0


@holds("`GaussianNLLLoss`", "`GaussianNLLLoss` input")
@formula(GAUSSIAN)
def check_gaussian():
    for shape in ((5,), (3, 4), (2, 3, 4)):
        mu, y = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
        for eps in (1e-6, 0.5):
            v = torch.rand(shape, dtype=torch.float64)
            floor = np.maximum(v.numpy(), eps)
            ours = 0.5 * (np.log(floor) + (y - mu).numpy() ** 2 / floor)
            np.testing.assert_allclose(
                ours, F.gaussian_nll_loss(mu, y, v, eps=eps, reduction="none").numpy(), rtol=1e-10
            )
            full = F.gaussian_nll_loss(mu, y, v, eps=eps, full=True, reduction="none").numpy()
            np.testing.assert_allclose(ours + 0.5 * math.log(2 * math.pi), full, rtol=1e-10)
            if eps == 1e-6:
                np.testing.assert_allclose(-Normal(mu, v.sqrt()).log_prob(y).numpy(), full, rtol=1e-8)
    zero = torch.zeros(1)
    np.testing.assert_allclose(F.gaussian_nll_loss(zero, zero, zero).item(), 0.5 * math.log(1e-6), rtol=1e-6)
    stated("0.9189", 0.5 * math.log(2 * math.pi))


@holds("`NLLLoss` input", "`NLLLoss` target", "Output", "Defaults", "Same in train and eval?", "`PoissonNLLLoss`")
def check_contract():
    assert nn.NLLLoss().ignore_index == -100 and nn.NLLLoss().weight is None
    assert nn.NLLLoss().reduction == nn.GaussianNLLLoss().reduction == "mean"
    for shape, target_shape in (((4, 3), (4,)), ((3,), ()), ((2, 3, 5), (2, 5))):
        a, y = torch.randn(shape).log_softmax(-1 if len(shape) < 3 else 1), torch.randint(3, target_shape)
        assert nn.NLLLoss()(a, y).shape == () and nn.NLLLoss(reduction="none")(a, y).shape == target_shape
        assert torch.equal(nn.NLLLoss().train()(a, y), nn.NLLLoss().eval()(a, y))
    m, v = torch.randn(4, 2), torch.rand(4, 2) + 0.1
    gaussian = nn.GaussianNLLLoss()
    assert gaussian(m, m + 1, v).shape == () and nn.GaussianNLLLoss(reduction="none")(m, m + 1, v).shape == (4, 2)
    assert torch.equal(gaussian.train()(m, m + 1, v), gaussian.eval()(m, m + 1, v))
    rate, counts = torch.rand(50) * 3, torch.randint(6, (50,)).float()
    poisson = -torch.distributions.Poisson(rate.exp()).log_prob(counts) - torch.lgamma(counts + 1)
    assert torch.allclose(F.poisson_nll_loss(rate, counts, reduction="none"), poisson, atol=1e-4)
    signature = inspect.signature(nn.GaussianNLLLoss).parameters
    assert signature["full"].default is False and signature["eps"].default == 1e-6
    byte = torch.tensor([0, 1], dtype=torch.uint8)
    F.nll_loss(torch.zeros(2, 2), byte), F.nll_loss(torch.zeros(2), byte[0])
    for a, target in ((torch.zeros(2, 2), torch.tensor([0.0, 1.0])), (torch.zeros(1, 2, 2), byte[None])):
        raises(RuntimeError, lambda: F.nll_loss(a, target))
    assert inspect.signature(nn.PoissonNLLLoss).parameters["log_input"].default is True


@holds("Why take the log at all?")
def check_by_hand():
    tosses = torch.tensor([1.0, 1.0, 1.0, 0.0])
    stated("0.5623", -Bernoulli(0.75).log_prob(tosses).mean())
    stated("0.6931", -Bernoulli(0.5).log_prob(tosses).mean())
    grid = torch.linspace(0.01, 0.99, 99)
    nll = -Bernoulli(grid[:, None]).log_prob(tosses).mean(1)
    stated("0.75", grid[nll.argmin()])
    assert torch.equal(nll.argmin(), (grid**3 * (1 - grid)).argmax())
    logp = torch.tensor([[0.7, 0.2, 0.1]]).log()
    stated("1.6094", F.nll_loss(logp, torch.tensor([1])))
    one = torch.zeros(1)
    stated("−0.1931", F.gaussian_nll_loss(one, one + 0.5, torch.tensor([0.25])))


@check
def check_each_error_asks_for_its_own_spread():
    sigma = torch.linspace(0.1, 4, 3901)
    for error in (0.5, 1.0, 2.0):
        nll = F.gaussian_nll_loss(torch.zeros_like(sigma), torch.full_like(sigma, error), sigma**2, reduction="none")
        assert abs(sigma[nll.argmin()] - error) < 2e-3


@pitfall("The classification loss is negative, between −1 and 0")
def check_probabilities_give_negative_losses():
    stated("−0.9", F.nll_loss(torch.tensor([[0.9, 0.1]]), torch.tensor([0])))
    logits, y = torch.randn(50, 4), torch.randint(4, (50,))
    assert -1 <= F.nll_loss(logits.softmax(1), y) <= 0
    assert F.nll_loss(F.log_softmax(logits, 1), y) > 0 and F.cross_entropy(logits, y) > 0
    sure = 100.0 * F.one_hot(y, 4)
    assert F.nll_loss(F.log_softmax(sure, 1), y) < 1e-6 and F.cross_entropy(sure, y) < 1e-6
    assert F.nll_loss(F.log_softmax(sure.softmax(1), 1), y) > 0.7  # on top of the softmax it never gets near 0


@holds("Why take the log at all?")
@pitfall("The loss is `inf`, then everything is NaN")
def check_underflow():
    z = torch.tensor([[0.0, 200.0]])
    assert torch.isinf(F.nll_loss(z.softmax(1).log(), torch.tensor([0])))
    x = z.clone().requires_grad_()
    F.nll_loss(x.softmax(1).log(), torch.tensor([0])).backward()
    assert torch.isnan(x.grad).any()
    assert torch.isfinite(torch.autograd.grad(F.nll_loss(F.log_softmax(x, dim=1), torch.tensor([0])), x)[0]).all()
    w = nn.Parameter(z.clone())
    for stable in (True, False):
        optimizer = torch.optim.SGD([w], 0.1)
        optimizer.zero_grad()
        F.nll_loss(F.log_softmax(w, dim=1) if stable else w.softmax(1).log(), torch.tensor([0])).backward()
        optimizer.step()
        assert bool(torch.isfinite(w).all()) is stable
    F.nll_loss(F.log_softmax(w, dim=1), torch.tensor([0])).backward()
    optimizer.step()
    assert w.isnan().any()  # too late for weights that are NaN
    for renewed in (False, True):  # and for the state of Adam, when only the weights are put back
        w = nn.Parameter(z.clone())
        optimizer = torch.optim.Adam([w], 0.1)
        F.nll_loss(w.softmax(1).log(), torch.tensor([0])).backward()
        optimizer.step()
        w.data = z.clone()
        optimizer = torch.optim.Adam([w], 0.1) if renewed else optimizer
        optimizer.zero_grad()
        F.nll_loss(F.log_softmax(w, dim=1), torch.tensor([0])).backward()
        optimizer.step()
        assert bool(w.isfinite().all()) is renewed
    stated("−200", F.log_softmax(z, 1)[0, 0])
    assert torch.full((200,), 0.5).prod() == 0
    stated("138.63", -torch.full((200,), 0.5).log().sum())


@pitfall("A Gaussian NLL below zero looks like a bug")
def check_density_and_unit():
    metres = torch.randn(1000) * 0.1

    def loss(unit, full=False):
        variance = torch.full((1000,), (0.1 * unit) ** 2)
        return F.gaussian_nll_loss(torch.zeros(1000), metres * unit, variance, full=full).item()

    assert Normal(0.0, 0.1).log_prob(torch.tensor(0.0)).exp() > 1
    half = torch.tensor([0.5])  # below zero at a density below 1: the constant is left out
    assert F.gaussian_nll_loss(0 * half, half, half**2) < 0 and Normal(0.0, 0.5).log_prob(half).exp() < 1
    assert loss(1) < 0 and loss(1, full=True) < 0 < loss(1000)
    assert math.isclose(loss(1000) - loss(1), math.log(1000), rel_tol=1e-4)
    assert math.isclose(loss(1, full=True) - loss(1), 0.5 * math.log(2 * math.pi), rel_tol=1e-4)


@pitfall('"var has negative entry/entries", or a spread that makes no sense')
def check_variance_argument():
    mean, target = torch.zeros(2), torch.ones(2)
    log_var = torch.tensor([-1.0, 0.5])
    raises(ValueError, lambda: F.gaussian_nll_loss(mean, target, log_var), "var has negative entry/entries")
    assert torch.isfinite(F.gaussian_nll_loss(mean, target, log_var.exp()))
    errors = torch.randn(2000) * 3
    std = torch.linspace(1, 20, 1901)
    for argument, learned in ((std, 9), (std**2, 3)):
        losses = torch.stack([F.gaussian_nll_loss(torch.zeros(2000), errors, v.expand(2000)) for v in argument[::10]])
        assert abs(std[::10][losses.argmin()] - learned) < 0.06 * learned


@pitfall("Gaussian NLL explodes where the variance collapses")
def check_collapsed_variance():
    def gradient(v, error=1.0):
        v = torch.tensor([v], requires_grad=True)
        return torch.autograd.grad(F.gaussian_nll_loss(torch.zeros(1), torch.tensor([error]), v), v)[0].item()

    assert abs(gradient(1e-6) / -5e11 - 1) < 1e-3 and abs(gradient(1e-3) / -5e5 - 1) < 0.01
    stated("−45", round(gradient(0.1)))
    assert gradient(1e-6, 100.0) < 9_000 * gradient(1e-6) and gradient(1e-3, 100.0) < 9_000 * gradient(1e-3)
    for larger_floor in (False, True):
        variance = lambda raw: F.softplus(raw) + 1e-3 if larger_floor else F.softplus(raw)
        raw = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.Adam([raw], 0.2)
        for _ in range(300):  # the targets are hit, so the variance falls
            optimizer.zero_grad()
            F.gaussian_nll_loss(torch.zeros(1), torch.zeros(1), variance(raw)).backward()
            optimizer.step()
        loss = F.gaussian_nll_loss(torch.zeros(1), torch.ones(1), variance(raw))
        assert 300 < loss < 600 if larger_floor else loss > 400_000
    y = 500 + 100 * torch.randn(2000)
    m, s = y.mean(), y.std()
    t, mu, v = (y - m) / s, torch.randn(2000), torch.rand(2000) + 0.1
    mapped = -Normal(s * mu + m, (s**2 * v).sqrt()).log_prob(y)  # the same densities, in the unit of the target
    assert torch.allclose(mapped, -Normal(mu, v.sqrt()).log_prob(t) + s.log(), atol=1e-2, rtol=1e-3)


@holds("What is the smallest possible NLL?", "How does it relate to perplexity?")
def check_entropy_and_perplexity():
    q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    for _ in range(5):
        p = torch.randn(3, dtype=torch.float64).softmax(0)
        expected = -(q * p.log()).sum()
        kl = torch.distributions.kl_divergence(Categorical(q), Categorical(p))
        assert torch.allclose(expected, Categorical(q).entropy() + kl) and kl >= 0
    uniform = torch.full((1, 50), 1 / 50).log()
    assert abs(F.nll_loss(uniform, torch.tensor([3])).exp().item() - 50) < 1e-3


@holds("Cross-entropy", "BCE with logits", "MSE", "NLLLoss or CrossEntropyLoss?")
def check_cross_entropy_is_the_composition():
    z, y = torch.randn(9, 4), torch.randint(4, (9,))
    assert torch.allclose(F.cross_entropy(z, y), F.nll_loss(F.log_softmax(z, 1), y))
    q = z.detach().softmax(1)
    assert torch.allclose(F.cross_entropy(z, q), -(q * z.log_softmax(1)).sum(1).mean())
    assert F.cross_entropy(z, y, label_smoothing=0.1) != F.cross_entropy(z, y)
    yes = (y == 0).float()
    bernoulli = -Bernoulli(logits=z[:, 0]).log_prob(yes).mean()
    assert torch.allclose(F.binary_cross_entropy_with_logits(z[:, 0], yes), bernoulli)
    mean, target = torch.randn(9), torch.randn(9)
    for spread in (0.5, 3.0):  # a constant variance scales and shifts the squared error
        nll = -Normal(mean, spread).log_prob(target).mean()
        constant = 0.5 * math.log(2 * math.pi * spread**2)
        assert torch.allclose(nll, F.mse_loss(mean, target) / (2 * spread**2) + constant)
    unit = F.gaussian_nll_loss(mean, target, torch.ones(9))
    assert torch.allclose(unit, F.mse_loss(mean, target) / 2)


@holds("Where does weight decay come in?")
def check_gaussian_prior_is_an_l2_penalty():
    theta, other = torch.randn(6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    prior = lambda t: -Normal(0.0, 0.7).log_prob(t).sum()
    penalty = lambda t: (t**2).sum() / (2 * 0.7**2)
    assert torch.allclose(prior(theta) - prior(other), penalty(theta) - penalty(other))
