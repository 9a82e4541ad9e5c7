import math

import numpy as np
import torch
import torch.nn.functional as F

from note_checks import check, formula, stated

NORM = r"g = |\sigma(z) - y| = \left| \frac{\partial \ell}{\partial z} \right|"
LOSS = r"\beta_i = \frac{N}{n \, R_{j(i)}}, \qquad L_{\mathrm{GHM\text{-}C}} = \frac{1}{N} \sum_{i=1}^{N} \beta_i \, \ell_i"
REGRESSION = r"""
\mathrm{ASL}_1(d) = \sqrt{d^2 + \mu^2} - \mu, \qquad g_r = \left| \frac{\partial \, \mathrm{ASL}_1}{\partial d} \right| = \frac{|d|}{\sqrt{d^2 + \mu^2}}
"""
EXAMPLE = np.array([0.05] * 80 + [0.35, 0.45, 0.55, 0.65] + [0.97] * 16)


def weights(g, bins):
    index = np.minimum((g * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    return len(g) / ((counts > 0).sum() * counts[index])


@formula(NORM)
def check_norm():
    z, y = torch.randn(200, dtype=torch.float64) * 4, torch.randint(2, (200,)).double()
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(z, y, reduction="sum"), z)
    np.testing.assert_allclose(np.abs(1 / (1 + np.exp(-z.detach().numpy())) - y.numpy()), gradient.abs().numpy(), atol=1e-12)


@formula(LOSS)
def check_loss():
    for n, bins in [(1, 10), (50, 10), (3000, 30)]:
        z, y = torch.randn(n, dtype=torch.float64) * 3, torch.randint(2, (n,)).double()
        g = (z.sigmoid() - y).abs().numpy()
        w = weights(g, bins)
        edges = np.linspace(0, 1, bins + 1)
        counted = np.histogram(g, edges)[0]
        np.testing.assert_allclose(w, n / ((counted > 0).sum() * counted[np.digitize(g, edges) - 1]))
        assert math.isclose(w.mean(), 1)
        per_bin = np.bincount((g * bins).astype(int), w, bins)
        assert np.ptp(per_bin[per_bin > 0]) < 1e-9
        ours = (w * (np.logaddexp(0, z.numpy()) - z.numpy() * y.numpy())).mean()
        assert math.isclose(ours, F.binary_cross_entropy_with_logits(z, y, weight=torch.tensor(w)).item())


@formula(REGRESSION)
def check_regression():
    for mu in (0.02, 1.0):
        d = (torch.randn(100, dtype=torch.float64) * 2).requires_grad_()
        value = (d**2 + mu**2).sqrt() - mu
        (gradient,) = torch.autograd.grad(value.sum(), d)
        dn = d.detach().numpy()
        np.testing.assert_allclose(np.abs(dn) / np.sqrt(dn**2 + mu**2), gradient.abs().numpy(), atol=1e-12)
        assert (gradient.abs() < 1).all()
    far = torch.tensor([2.0, 5.0, 50.0], requires_grad=True)
    F.smooth_l1_loss(far, torch.zeros(3), reduction="sum").backward()
    assert far.grad.tolist() == [1, 1, 1]


@check
def check_by_hand():
    w = weights(EXAMPLE, 10)
    stated("0.2083", w[0])
    stated("16.67", w[80])
    stated("1.0417", w[99])
    stated("15.52", EXAMPLE[84:].sum())
    stated("72.1%", EXAMPLE[84:].sum() / EXAMPLE.sum())
    pushed = w * EXAMPLE
    stated("0.83", pushed[:80].sum())
    stated("33.3", pushed[80:84].sum())
    stated("16.2", pushed[84:].sum())
    stated("32.1%", pushed[84:].sum() / pushed.sum())
    stated("66.2%", pushed[80:84].sum() / pushed.sum())


@check
def check_edges_and_momentum():
    assert torch.tensor(16.5).sigmoid() < 1
    g = torch.tensor(17.0).sigmoid()
    assert g == 1 and not (0.9 <= g < 1.0)
    assert weights(np.array([1.0, 0.05]), 10).tolist() == [1, 1]
    counts, momentum = 40.0, 0.75
    running = momentum * 0 + (1 - momentum) * counts
    assert counts / running == 4 and running / (1 - momentum**1) == counts
    assert 30 / 6 == 5
    for bins in (5, 10, 30, 100):
        index = np.minimum((EXAMPLE * bins).astype(int), bins - 1)
        counts = np.bincount(index, minlength=bins)
        w = weights(EXAMPLE, bins)
        assert math.isclose(w.mean(), 1) and ((w < 1) == (counts[index] > 100 / (counts > 0).sum())).all()
    lonely = np.array([0.05] * 99 + [0.55])
    assert weights(lonely, 10)[-1] == 100 / 2 and weights(lonely, 10)[-1] > weights(lonely, 10)[0]
