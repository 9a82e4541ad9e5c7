import math
import warnings

import numpy as np
import scipy.special
import scipy.stats
import torch
from scipy.spatial.distance import jensenshannon
from torch import nn
from torch.distributions import Categorical, Normal, kl_divergence
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, sourced, stated

KL = r"\mathrm{KL}(p \,\|\, q) = \sum_i p_i \log \frac{p_i}{q_i} = H(p, q) - H(p)"
F_DIVERGENCE = r"D_f(p \,\|\, q) = \sum_i q_i \, f\!\left(\frac{p_i}{q_i}\right)"
GAUSSIANS = r"""
\mathrm{KL}\left(\mathcal{N}(\mu_1, \sigma_1^2) \,\|\, \mathcal{N}(\mu_2, \sigma_2^2)\right) =
\log\frac{\sigma_2}{\sigma_1} + \frac{\sigma_1^2 + (\mu_1 - \mu_2)^2}{2\sigma_2^2} - \frac{1}{2}
"""

sourced(
    "InstructGPT, arXiv 2203.02155, section 3.5: log(policy / SFT model), averaged over the policy's answers",
    "Reverse KL",
)
sourced("Generative Adversarial Nets, arXiv 1406.2661, theorem 1", "Jensen-Shannon")
sourced(
    "Hinton et al., Distilling the Knowledge, arXiv 1503.02531, section 2",
    "KL",
    "Why multiply the distillation loss by $T^2$?",
)


def pair(n):
    return torch.randn(n, dtype=torch.float64).softmax(0), torch.randn(n, dtype=torch.float64).softmax(0)


def kl(p, q):
    return (p * np.log(p / q)).sum()


@holds("`F.kl_div(input, target)`", "Input", "Target", "Range")
@formula(KL)
def check_kl():
    for n in (2, 3, 10, 100):
        p, q = pair(n)
        a, b = p.numpy(), q.numpy()
        library = F.kl_div(q.log(), p, reduction="sum").item()
        np.testing.assert_allclose(kl(a, b), library, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(-(a * np.log(b)).sum() + (a * np.log(a)).sum(), library, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(scipy.special.rel_entr(a, b).sum(), library, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(scipy.stats.entropy(3 * a, 5 * b), library, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(kl_divergence(Categorical(p), Categorical(q)).item(), library, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(
            F.kl_div(q.log(), p.log(), reduction="sum", log_target=True).item(), library, rtol=1e-9, atol=1e-12
        )
        assert library > 0 and abs(kl(a, a)) < 1e-12 and abs(kl(a, b) - kl(b, a)) > 1e-9
    zero = F.kl_div(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.0, 1.0]), reduction="sum")
    assert abs(zero.item() - math.log(2)) < 1e-6


@holds("KL", "Reverse KL", "Jensen-Shannon", "Total variation", "Pearson χ²", "Why is no $f$-divergence negative?")
@formula(F_DIVERGENCE)
def check_f_divergences():
    for n in (2, 5, 20):
        p, q = (t.numpy() for t in pair(n))
        d = lambda f: (q * f(p / q)).sum()
        m = (p + q) / 2
        js = jensenshannon(p, q) ** 2
        np.testing.assert_allclose(d(lambda t: t * np.log(t)), scipy.stats.entropy(p, q), rtol=1e-9)
        np.testing.assert_allclose(d(lambda t: -np.log(t)), scipy.stats.entropy(q, p), rtol=1e-9)
        np.testing.assert_allclose(d(lambda t: 0.5 * t * np.log(t) - (t + 1) / 2 * np.log((t + 1) / 2)), js, rtol=1e-8)
        np.testing.assert_allclose((kl(p, m) + kl(q, m)) / 2, js, rtol=1e-8)
        np.testing.assert_allclose(d(lambda t: 0.5 * np.abs(t - 1)), 0.5 * np.abs(p - q).sum(), rtol=1e-9)
        weights = p / q
        np.testing.assert_allclose(d(lambda t: (t - 1) ** 2), (q * weights**2).sum() - 1, rtol=1e-8)
        assert 0 < js < math.log(2) and 0.5 * np.abs(p - q).sum() < 1
        back = lambda f: (p * f(q / p)).sum()
        kinds = {
            "kl": lambda t: t * np.log(t),
            "reverse": lambda t: -np.log(t),
            "chi": lambda t: (t - 1) ** 2,
            "js": lambda t: 0.5 * t * np.log(t) - (t + 1) / 2 * np.log((t + 1) / 2),
            "tv": lambda t: 0.5 * np.abs(t - 1),
        }
        for name, f in kinds.items():
            assert d(f) > 0 and math.isclose(d(f), back(f), rel_tol=1e-6) == (name in ("js", "tv"))
        told = 0.5 * (p[p > q].sum() + q[p <= q].sum())  # the best guess which of the two a sample comes from
        assert math.isclose(told, 0.5 + 0.5 * d(kinds["tv"]), rel_tol=1e-9)
    apart = jensenshannon([1.0, 0.0], [0.0, 1.0]) ** 2
    assert abs(apart - math.log(2)) < 1e-12


@formula(GAUSSIANS)
def check_gaussians():
    for m1, s1, m2, s2 in ((0.0, 1.0, 1.0, 2.0), (1.0, 2.0, 0.0, 1.0), (-3.0, 0.1, 2.0, 5.0), (0.3, 0.7, 0.3, 0.7)):
        ours = math.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5
        library = kl_divergence(Normal(torch.tensor(m1).double(), s1), Normal(torch.tensor(m2).double(), s2))
        np.testing.assert_allclose(ours, library.item(), rtol=1e-6, atol=1e-7)


@check
def check_by_hand():
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25])
    forward = F.kl_div(q.log(), p, reduction="sum")
    stated("0.1438", forward)
    stated("0.2075", forward / math.log(2))
    stated("0.1308", F.kl_div(p.log(), q, reduction="sum"))
    stated("0.25", 0.5 * (p - q).abs().sum())


@holds("Output", "Input")
@pitfall("The KL loss is negative or NaN")
def check_wrong_use_is_negative():
    student, teacher = torch.randn(8, 5), torch.randn(8, 5)
    q, p = student.softmax(-1), teacher.softmax(-1)
    for one_q, one_p in zip(q, p):
        assert F.kl_div(one_q, one_p, reduction="sum") < 0 and F.kl_div(one_p, one_q.log(), reduction="sum").isnan()
    loss = F.kl_div(F.log_softmax(student, -1), F.softmax(teacher, -1), reduction="batchmean")
    assert loss > 0 and torch.allclose(loss, kl_divergence(Categorical(p), Categorical(q)).mean())
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.75, 0.25]])
    for reduction, shape in (("batchmean", ()), ("none", (1, 2))):
        assert F.kl_div(q.log(), p, reduction=reduction).shape == shape
    assert F.kl_div(q, p, reduction="batchmean") < 0
    assert F.kl_div(p, q.log(), reduction="batchmean").isnan()
    terms = F.kl_div(q.log(), p, reduction="none")
    assert terms.min() < 0 < terms.sum()


@holds("Defaults", "Input")
@pitfall("The loss is far too small")
def check_reductions():
    p, q = torch.randn(4, 1000).softmax(1), torch.randn(4, 1000).softmax(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mean = nn.KLDivLoss()(q.log(), p)
        assert "batchmean" in str(caught[0].message)
    batchmean = F.kl_div(q.log(), p, reduction="batchmean")
    stated("1,000", round((batchmean / mean).item()))
    assert torch.allclose(batchmean, kl_divergence(Categorical(p), Categorical(q)).mean(), rtol=1e-4)
    for reduction, ratio in ("batchmean", 1000), ("sum", 1):
        assert torch.allclose(
            ratio * F.kl_div(q[0].log(), p[0], reduction=reduction),
            kl_divergence(Categorical(p[0]), Categorical(q[0])),
            rtol=1e-3,
        )
    p3, q3 = p.view(2, 2, 1000), q.view(2, 2, 1000)
    assert torch.allclose(F.kl_div(q3.log(), p3, reduction="batchmean"), 2 * batchmean)
    flat = F.kl_div(q3.log().flatten(0, 1), p3.flatten(0, 1), reduction="batchmean")
    assert torch.allclose(flat, kl_divergence(Categorical(p3), Categorical(q3)).mean(), rtol=1e-4)


@holds("Range")
@pitfall("`inf` or NaN from zeros")
def check_zeros():
    assert scipy.special.rel_entr(0.0, 0.0) == 0 and scipy.special.rel_entr(0.5, 0.0) == math.inf
    log_q = torch.tensor([0.0, 1.0]).log()
    assert torch.isinf(F.kl_div(log_q, torch.tensor([0.5, 0.5]), reduction="sum"))
    assert torch.isnan(F.kl_div(log_q, torch.tensor([0.0, 1.0]), reduction="sum"))
    logits = torch.tensor([0.0, 200.0])
    assert logits.softmax(0)[0] == 0
    for p, expected in ((torch.tensor([0.5, 0.5]), 100 - math.log(2)), (torch.tensor([0.0, 1.0]), 0.0)):
        assert not F.kl_div(logits.softmax(0).log(), p, reduction="sum").isfinite()
        assert abs(F.kl_div(logits.log_softmax(0), p, reduction="sum") - expected) < 1e-3
    a, b = np.array([0, 3, 5, 2]), np.array([0, 4, 4, 2])  # counts: the sum of the terms is n times the divergence
    assert math.isclose(scipy.special.rel_entr(a / 10, b / 10).sum(), scipy.stats.entropy(a, b), rel_tol=1e-9)
    assert math.isclose(scipy.special.rel_entr(a, b).sum(), 10 * scipy.stats.entropy(a, b), rel_tol=1e-9)


@pitfall("SciPy's terms differ from the textbook")
def check_scipy_terms():
    p, q = (t.numpy() for t in pair(6))
    np.testing.assert_allclose(scipy.special.kl_div(p, q), scipy.special.rel_entr(p, q) - p + q, rtol=1e-9)
    assert scipy.special.kl_div(p, q).min() >= 0
    np.testing.assert_allclose(scipy.special.rel_entr(2 * p, q), 2 * p * np.log(2 * p / q), rtol=1e-9)
    assert not np.allclose(scipy.special.kl_div(p, q), p * np.log(p / q), atol=1e-3)
    assert math.isclose(scipy.special.kl_div(p, q).sum(), kl(p, q), rel_tol=1e-9)
    assert abs(scipy.special.kl_div(2 * p, q).sum() - scipy.special.rel_entr(2 * p, q).sum()) > 0.5


@holds("Is KL a distance?")
def check_triangle_inequality_fails_and_js_root_is_a_metric():
    p, q, r = np.array([0.5, 0.5]), np.array([0.9, 0.1]), np.array([0.99, 0.01])
    assert kl(p, r) > kl(p, q) + kl(q, r)
    for _ in range(200):
        a, b, c = (np.random.dirichlet(np.ones(4)) for _ in range(3))
        assert jensenshannon(a, c) <= jensenshannon(a, b) + jensenshannon(b, c) + 1e-12


@holds("KL", "KL or cross-entropy as a loss?", "Why multiply the distillation loss by $T^2$?")
def check_gradient_equals_cross_entropy_and_temperature():
    z, t = torch.randn(3, 5, dtype=torch.float64, requires_grad=True), torch.randn(3, 5, dtype=torch.float64)
    p = t.softmax(1)
    a = torch.autograd.grad(F.kl_div(z.log_softmax(1), p, reduction="batchmean"), z)[0]
    b = torch.autograd.grad(F.cross_entropy(z, p), z)[0]
    assert torch.allclose(a, b) and torch.allclose(F.cross_entropy(p.log(), p), -(p * p.log()).sum(1).mean())
    assert F.kl_div(p.log(), p, reduction="batchmean").abs() < 1e-12

    def size(temperature):
        loss = F.kl_div((z / temperature).log_softmax(1), (t / temperature).softmax(1), reduction="batchmean")
        return torch.autograd.grad(loss, z)[0].norm().item()

    assert abs(size(40) / size(80) - 4) < 0.1


@pitfall("A KL estimated from samples is negative")
def check_estimate_from_samples():
    p, q = Normal(torch.tensor(0.0).double(), 1.0), Normal(torch.tensor(0.3).double(), 1.1)
    x = p.sample((400_000,))
    log_r = q.log_prob(x) - p.log_prob(x)
    plain, safe = -log_r, log_r.exp() - 1 - log_r
    exact = kl_divergence(p, q)
    assert plain.min() < 0 and safe.min() >= -1e-12
    assert abs(plain.mean() - exact) < 2e-3 and abs(safe.mean() - exact) < 2e-3
    assert (plain.view(-1, 20).mean(1) < 0).any() and (safe.view(-1, 20).mean(1) >= 0).all()
    r = torch.full((10,), 0.5)  # p uniform on [0, 1], q on [0, 2], where p is zero on half: not ln 2
    assert abs((r - 1 - r.log()).mean() - math.log(2)) > 0.4


@holds("What happens if the supports do not overlap?")
def check_disjoint_supports():
    near, far = np.array([0.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0])
    p = np.array([1.0, 0.0, 0.0, 0.0])
    for q in (near, far):
        assert np.isinf(scipy.stats.entropy(p, q)) and np.isinf(scipy.stats.entropy(q, p))
        assert abs(jensenshannon(p, q) ** 2 - math.log(2)) < 1e-12 and 0.5 * np.abs(p - q).sum() == 1
    positions = np.arange(4)
    assert scipy.stats.wasserstein_distance(positions, positions, p, far) > scipy.stats.wasserstein_distance(
        positions, positions, p, near
    )
