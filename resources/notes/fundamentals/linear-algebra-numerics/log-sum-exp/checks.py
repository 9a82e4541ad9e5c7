import math

import numpy as np
import torch
from scipy.special import logsumexp
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, raises, stated

SHIFT = r"\mathrm{LSE}(x) = \log \sum_{i=1}^{n} e^{x_i} = c + \log \sum_{i=1}^{n} e^{x_i - c}"
SOFTMAX = r"""
\log \mathrm{softmax}(x)_j = x_j - \mathrm{LSE}(x), \qquad \frac{\partial\, \mathrm{LSE}}{\partial x_j} = \mathrm{softmax}(x)_j
"""
TWO = r"\log\left(e^{a} + e^{b}\right) = \max(a, b) + \mathrm{log1p}\left(e^{-|a - b|}\right)"


def vectors():
    for n in (1, 2, 7, 100):
        for scale in (0.1, 1.0, 30.0):
            yield np.random.randn(n) * scale


@holds("Range")
@formula(SHIFT)
def check_shift():
    for x in vectors():
        library = torch.logsumexp(torch.tensor(x), 0).item()
        for c in (0.0, x.max(), -3.0):
            assert math.isclose(c + math.log(np.exp(x - c).sum()), library, abs_tol=1e-10)
        assert math.isclose(library, logsumexp(x), abs_tol=1e-12)
        assert x.max() - 1e-12 <= library <= x.max() + math.log(len(x)) + 1e-12


@formula(SOFTMAX)
def check_softmax():
    for x in vectors():
        t = torch.tensor(x, requires_grad=True)
        lse = torch.logsumexp(t, 0)
        lse.backward()
        ours = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        np.testing.assert_allclose(t.grad.numpy(), ours, atol=1e-12)
        np.testing.assert_allclose(x - lse.item(), F.log_softmax(torch.tensor(x), 0).numpy(), atol=1e-10)


@holds("`logaddexp(a, b)`")
@formula(TWO)
def check_two_terms():
    for a, b in [*np.random.randn(50, 2) * 20, (1000.0, 999.0), (-800.0, -900.0), (3.0, 3.0)]:
        ours = max(a, b) + math.log1p(math.exp(-abs(a - b)))
        assert math.isclose(ours, torch.logaddexp(*torch.tensor([a, b], dtype=torch.float64)).item(), rel_tol=1e-12)
        assert math.isclose(ours, np.logaddexp(a, b), rel_tol=1e-12)


@check
def check_by_hand():
    x = torch.tensor([1000.0, 1001.0, 1002.0], dtype=torch.float64)
    stated("1002.4076", torch.logsumexp(x, 0))
    stated("0.1353", math.exp(-2))
    stated("0.3679", math.exp(-1))
    stated("1.5032", math.exp(-2) + math.exp(-1) + 1)
    assert torch.isinf(x.exp()).all()


@check
def check_limits_of_float32():
    stated("88.7", math.log(torch.finfo(torch.float32).max))
    assert torch.isinf(torch.tensor(88.8).exp()) and torch.isfinite(torch.tensor(88.7).exp())
    assert torch.tensor(-104.0).exp() == 0 and torch.tensor(-103.0).exp() > 0


@holds("`torch.logsumexp(x, dim)`", "Input", "`scipy.special.logsumexp(a)`")
def check_contract():
    x = torch.randn(2, 3, 4)
    assert torch.logsumexp(x, 1).shape == (2, 4) and torch.logsumexp(x, (0, 2)).shape == (3,)
    assert torch.logsumexp(x, -1, keepdim=True).shape == (2, 3, 1) and torch.logsumexp(x[0, 0], 0).shape == ()
    assert torch.logsumexp(torch.tensor([1, 2]), 0).dtype == torch.float32
    raises(TypeError, lambda: torch.logsumexp(x))
    assert np.ndim(logsumexp(x.numpy())) == 0 and logsumexp(x.numpy(), axis=-1).shape == (2, 3)
    assert math.isclose(logsumexp([1.0, 2.0], b=[-1.0, 3.0]), math.log(3 * math.e**2 - math.e))
    assert np.isnan(logsumexp([1.0, 2.0], b=[1.0, -1.0]))
    value, sign = logsumexp([1.0, 2.0], b=[1.0, -1.0], return_sign=True)
    assert sign == -1 and math.isclose(value, math.log(math.e**2 - math.e))


@holds("All inputs −∞")
@pitfall("NaN gradients where everything is masked")
def check_empty_sums():
    masked = torch.full((3,), -torch.inf, requires_grad=True)
    value = torch.logsumexp(masked, 0)
    (value * 0).backward()
    assert value == -torch.inf and torch.isnan(masked.grad).all()
    for stand_in in (-1e30, torch.finfo(torch.float32).min):
        x = torch.full((3,), stand_in, requires_grad=True)
        torch.logsumexp(x, 0).backward()
        assert torch.isfinite(x.grad).all()
    for dtype in (torch.float16, torch.bfloat16, torch.float32):  # filled in or added, at logits of -40
        low, x = torch.finfo(dtype).min, torch.full((3,), -40.0, dtype=dtype)
        y = torch.zeros(3, dtype=dtype, requires_grad=True)
        torch.logsumexp((x + y).masked_fill(torch.ones(3, dtype=torch.bool), low), 0).backward()
        assert torch.isfinite(y.grad).all() and torch.isinf(torch.logsumexp(x + low, 0)) == (dtype == torch.float16)
        assert torch.isinf(torch.logsumexp(x + low + low, 0))
    scores, keep = torch.randn(2, 3), torch.tensor([[True, False, True], [False, False, False]])
    added = torch.zeros(2, 3).masked_fill(~keep, -torch.inf)
    for hide, finite in (
        (lambda x: x + added, False),
        (lambda x: x.masked_fill(~keep, -torch.inf), True),
        (lambda x: torch.where(keep.any(1, keepdim=True), x + added, 0.0), True),
        (lambda x: x + added.clamp(min=-1e30), True),
    ):
        x = scores.clone().requires_grad_()
        (torch.logsumexp(hide(x), 1) * keep.any(1)).sum().backward()
        assert finite == bool(torch.isfinite(x.grad).all())


@pitfall("NaN gradients where everything is masked")
def check_stand_ins_in_a_recursion():
    """The forward pass of a left-to-right HMM whose first symbol the first state cannot emit."""
    for seed in range(3):
        torch.manual_seed(seed)
        for low, finite in ((-torch.inf, False), (torch.finfo(torch.float32).min, False), (-1e30, True)):
            scores = torch.randn(3, 3, requires_grad=True)
            step = scores.masked_fill(~torch.eye(3, dtype=torch.bool).roll(1, 1), low)
            emit = torch.randn(3, 4).masked_fill(torch.eye(3, 4, dtype=torch.bool), low)
            alpha = torch.tensor([0.0, low, low]) + emit[:, 0]
            for symbol in torch.randint(0, 4, (100,)):
                alpha = torch.logsumexp(alpha[:, None] + step, 0) + emit[:, symbol]
            torch.logsumexp(alpha, 0).backward()
            assert finite == bool(torch.isfinite(scores.grad).all())


@pitfall("A stand-in of −1e9 is itself −inf, or raises an error")
def check_half_precision():
    stated("65,504", torch.finfo(torch.float16).max)
    assert torch.tensor(-1e9).half() == -torch.inf
    raises(
        RuntimeError,
        lambda: torch.zeros(2, dtype=torch.float16).masked_fill(torch.tensor([True, False]), -1e9),
        "overflow",
    )
    x = (
        torch.zeros(2, dtype=torch.float16)
        .masked_fill(torch.tensor([True, False]), torch.finfo(torch.float16).min)
        .requires_grad_()
    )
    value = torch.logsumexp(x, 0)
    value.backward()
    assert value == 0 and x.grad.tolist() == [0, 1]
    assert torch.logsumexp(torch.zeros(2).masked_fill(torch.tensor([True, False]), -1e9), 0) == 0
    step = sum((torch.tensor(1.0, dtype=torch.float16) for _ in range(3000)), torch.tensor(0.0, dtype=torch.float16))
    assert step == 2048  # adding 1 no longer changes it
    assert 5e-4 < torch.finfo(torch.float16).eps < 2e-3  # about three digits


@holds("How do hidden Markov models use it?")
def check_forward_pass():
    a, b, start = (np.random.dirichlet(np.ones(3), size=n) for n in (3, 3, 1))
    alpha, log_alpha = start[0] * b[:, 0], np.log(start[0] * b[:, 0])
    for symbol in [2, 1, 0, 0, 2]:
        alpha = (alpha @ a) * b[:, symbol]
        log_alpha = logsumexp(log_alpha[:, None] + np.log(a), axis=0) + np.log(b[:, symbol])
    np.testing.assert_allclose(np.log(alpha), log_alpha)
    for _ in range(3000):
        alpha = (alpha @ a) * b[:, 0]
        log_alpha = logsumexp(log_alpha[:, None] + np.log(a), axis=0) + np.log(b[:, 0])
    assert (alpha == 0).all() and np.isfinite(log_alpha).all()


@pitfall("The loss is inf or nan although the logits look normal")
def check_softmax_then_log():
    logits, target = torch.tensor([0.0, 200.0]), torch.tensor(0)
    log_p = logits.softmax(0).log()
    assert -log_p[target] == torch.inf and torch.isnan((torch.tensor([0.0, 1.0]) * log_p).sum())
    for loss in (
        -logits.log_softmax(0)[target],
        F.cross_entropy(logits, target),
        torch.logsumexp(logits, 0) - logits[target],
    ):
        assert loss == 200


@pitfall("SciPy returns one number for a batch")
def check_axis():
    batch = np.random.randn(4, 3)
    assert np.ndim(logsumexp(batch)) == 0
    raises(TypeError, lambda: torch.logsumexp(torch.tensor(batch)), "dim")
    np.testing.assert_allclose(logsumexp(batch, axis=-1), torch.logsumexp(torch.tensor(batch), -1).numpy())


@pitfall("A mean of probabilities computed in the wrong order")
def check_mean_of_probabilities():
    log_p = torch.randn(5, 4, dtype=torch.float64).log_softmax(1)
    mean = torch.logsumexp(log_p, 0) - math.log(5)
    assert torch.allclose(mean, log_p.exp().mean(0).log()) and (log_p.mean(0) < mean).all()


@holds("Why the maximum as the shift, when every constant is exact on paper?")
def check_other_shifts():
    x = torch.tensor([1000.0, 1001.0, 1002.0])
    with_shift = lambda c: (c + (x - c).exp().sum().log()).item()
    assert (
        with_shift(0.0) == math.inf
        and with_shift(2000.0) == -math.inf
        and math.isclose(with_shift(x.max()), 1002.4076, rel_tol=1e-6)
    )
    assert (x - x.max()).exp().max() == 1


@holds("`logsumexp`", "`logaddexp(a, b)`", "`log_softmax`", "`F.softplus(x)`")
def check_uses():
    """A mixture density, a marginal, a recursion over two terms, cross-entropy, and binary cross-entropy from logits."""
    log_joint = torch.randn(4, 5, dtype=torch.float64).flatten().log_softmax(0).view(4, 5)
    assert torch.allclose(torch.logsumexp(log_joint, 1), log_joint.exp().sum(1).log())
    parts = torch.distributions.Normal(torch.randn(3), 0.5 + torch.rand(3))
    weights = torch.distributions.Categorical(logits=torch.randn(3))
    mixture = torch.distributions.MixtureSameFamily(weights, parts)
    at = torch.tensor(0.3)
    assert torch.allclose(torch.logsumexp(weights.logits + parts.log_prob(at), 0), mixture.log_prob(at))
    x = torch.randn(6, dtype=torch.float64)
    total = x[0]
    for value in x[1:]:
        total = torch.logaddexp(total, value)
    assert torch.allclose(total, torch.logsumexp(x, 0)) and torch.logaddexp(x, x).shape == (6,)
    assert torch.allclose(-(x - torch.logsumexp(x, 0))[2], F.cross_entropy(x, torch.tensor(2)))
    assert torch.allclose(x.log_softmax(0), x - torch.logsumexp(x, 0))
    y = torch.tensor([0.0, 1, 1, 0, 0, 1], dtype=torch.float64)
    assert torch.allclose(F.softplus(x) - x * y, F.binary_cross_entropy_with_logits(x, y, reduction="none"))


@holds("`logcumsumexp`", "`F.softplus(x)`", "Is LSE convex?", "What is the LSE of n equal inputs?")
def check_siblings_and_questions():
    x = torch.randn(6, dtype=torch.float64)
    assert torch.allclose(F.softplus(x), torch.logaddexp(x, torch.zeros_like(x)))
    edge = torch.tensor([19.9, 20.1], dtype=torch.float64)
    assert (F.softplus(edge) == edge).tolist() == [False, True]
    assert torch.allclose(torch.logcumsumexp(x, 0)[3], torch.logsumexp(x[:4], 0))
    assert torch.allclose(torch.logcumsumexp(x.log_softmax(0), 0).exp(), x.softmax(0).cumsum(0))
    large = torch.tensor([1000.0, 1001.0])
    for guarded in (
        torch.logsumexp(large, 0),
        torch.logaddexp(large, large),
        torch.logcumsumexp(large, 0),
        large.log_softmax(0),
        F.softplus(large),
    ):
        assert torch.isfinite(guarded).all()
    p = x.softmax(0)
    hessian = torch.autograd.functional.hessian(lambda v: torch.logsumexp(v, 0), x)
    assert torch.allclose(hessian, torch.diag(p) - torch.outer(p, p)) and torch.linalg.eigvalsh(hessian).min() > -1e-12
    assert math.isclose(torch.logsumexp(torch.full((7,), 2.5, dtype=torch.float64), 0).item(), 2.5 + math.log(7))
    equal = torch.full((7,), 2.5, dtype=torch.float64)
    assert math.isclose(0.1 * torch.logsumexp(equal / 0.1, 0).item(), 2.5 + 0.1 * math.log(7))
    drawn = torch.eye(6, dtype=torch.float64)  # the covariance of a one-hot draw from p
    assert torch.allclose(hessian, torch.cov(drawn.T, aweights=p, correction=0))
    for T in (1.0, 0.1, 0.01):
        gap = (T * torch.logsumexp(x / T, 0) - x.max()).item()
        assert -1e-12 <= gap <= T * math.log(6)
