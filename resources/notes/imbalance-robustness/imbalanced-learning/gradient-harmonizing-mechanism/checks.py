import math

import numpy as np
import torch
import torch.nn.functional as F

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, sourced, stated

NORM = r"g = |\sigma(z) - y| = \left| \frac{\partial \ell}{\partial z} \right|"
LOSS = r"\beta_i = \frac{N}{n \, R_{j(i)}}, \qquad L_{\mathrm{GHM\text{-}C}} = \frac{1}{N} \sum_{i=1}^{N} \beta_i \, \ell_i"
REGRESSION = r"""
\mathrm{ASL}_1(d) = \sqrt{d^2 + \mu^2} - \mu, \qquad g_r = \left| \frac{\partial \, \mathrm{ASL}_1}{\partial d} \right| = \frac{|d|}{\sqrt{d^2 + \mu^2}}
"""
EXAMPLE = np.array([0.05] * 80 + [0.35, 0.45, 0.55, 0.65] + [0.97] * 16)


by_definition("Cost", "Cross-entropy")
sourced(
    "Li, Liu, Wang 2019, Gradient harmonized single-stage detector, section 4; mmdetection's GHM configuration",
    "Parameters",
)
sourced("Shrivastava et al. 2016, Training region-based object detectors with OHEM, abstract (Fast R-CNN)", "OHEM")


def weights(g, bins):
    index = np.minimum((g * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    return len(g) / ((counts > 0).sum() * counts[index])


@formula(NORM)
def check_norm():
    z, y = torch.randn(200, dtype=torch.float64) * 4, torch.randint(2, (200,)).double()
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(z, y, reduction="sum"), z)
    np.testing.assert_allclose(
        np.abs(1 / (1 + np.exp(-z.detach().numpy())) - y.numpy()), gradient.abs().numpy(), atol=1e-12
    )


@formula(LOSS)
@holds("Weights")
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
@holds("Why can smooth L1 not be used?")
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
    for beta in (0.1, 1.0, 1.5):
        (gradient,) = torch.autograd.grad(F.smooth_l1_loss(far, torch.zeros(3), reduction="sum", beta=beta), far)
        assert gradient.tolist() == [1, 1, 1]


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


@pitfall("The hardest samples get weight 0")
def check_last_edge():
    assert torch.tensor(16.5).sigmoid() < 1
    g = torch.tensor([0.05, 0.97, 17.0]).where(torch.tensor([True, True, False]), torch.tensor(17.0).sigmoid())
    assert g[2] == 1
    for last, lost in ((1.0, True), (1.0 + 1e-8, True), (1.0 + 1e-6, False)):
        edges = torch.linspace(0, 1, 11)
        edges[-1] = last
        half_open = [(g >= low) & (g < high) for low, high in zip(edges, edges[1:])]
        w = sum(inside * (3 / inside.sum().clamp(min=1)) for inside in half_open)
        assert (w[2] == 0) == lost and (w[:2] > 0).all()
        for dtype in (torch.float16, torch.bfloat16):
            assert (g.to(dtype)[2] < edges[-1].to(dtype)).item() is False
            assert (torch.tensor(17.0, dtype=dtype).float().sigmoid() < edges[-1]).item() is not lost
    assert (weights(g.double().numpy(), 10) > 0).all()


def first_weights(start, steps=1, momentum=0.75):
    """Weights of the example (without 1/n) from running counts that begin at 0, at the first counts, or at 0 and corrected."""
    index = np.minimum((EXAMPLE * 10).astype(int), 9)
    running, updates = np.zeros(10), np.zeros(10)
    for _ in range(steps):
        counts = np.bincount(index, minlength=10)
        fresh = (updates == 0) & (start == "first")
        running = np.where(counts > 0, np.where(fresh, counts, momentum * running + (1 - momentum) * counts), running)
        updates += counts > 0
    divisor = 1 - momentum ** np.maximum(updates, 1) if start == "corrected" else 1
    return len(EXAMPLE) / (running / divisor)[index]


@pitfall("The first steps are too large when momentum is on")
def check_momentum_starts_at_zero():
    true = weights(EXAMPLE, 10) * 6
    pushed = []
    for start, factor in (("zero", 4), ("first", 1), ("corrected", 1)):
        np.testing.assert_allclose(first_weights(start), factor * true)
        np.testing.assert_allclose(first_weights(start, steps=30), true, rtol=1e-3)
        z = torch.logit(torch.tensor(EXAMPLE)).requires_grad_()
        F.binary_cross_entropy_with_logits(
            z, torch.zeros(100, dtype=torch.float64), weight=torch.tensor(first_weights(start))
        ).backward()
        pushed.append(z.grad.norm().item())
    assert math.isclose(pushed[0], 4 * pushed[1]) and math.isclose(pushed[1], pushed[2])


@pitfall("Weights differ from the paper by a constant")
def check_all_bins_or_the_filled_ones():
    index = (EXAMPLE * 30 + 1e-9).astype(int)
    counts = np.bincount(index, minlength=30)
    assert (counts > 0).sum() == 6
    np.testing.assert_allclose(weights(EXAMPLE + 1e-9, 30), 5 * len(EXAMPLE) / (30 * counts[index]))


@pitfall("A single odd sample gets a huge weight")
def check_alone_in_its_bin():
    batch = np.r_[np.full(60, 0.02), np.linspace(0.5, 0.6, 3), 0.71]
    narrow, wide = weights(batch, 30), weights(batch, 2)
    assert narrow[-1] == narrow.max() == 64 / len(np.unique((batch * 30).astype(int))) > 10 and wide[-1] == 8
    assert np.minimum(narrow, 5)[-1] == 5 and np.minimum(narrow, 5)[0] == narrow[0]


@pitfall("Combined with focal loss the easy samples vanish")
def check_two_mechanisms_multiply():
    p_t = 1 - EXAMPLE
    focal = (1 - p_t) ** 2 * np.abs(2 * p_t * np.log(p_t) + p_t - 1)
    shares = [
        pushed[:80].sum() / pushed.sum()
        for pushed in (weights(EXAMPLE, 10) * EXAMPLE, focal, weights(EXAMPLE, 10) * focal)
    ]
    for text, share in zip(("1.7%", "0.15%", "0.015%"), shares):
        stated(text, share)


@holds("Are outliers always turned down?")
def check_mean_weight_and_outliers():
    for bins in (5, 10, 30, 100):
        index = np.minimum((EXAMPLE * bins).astype(int), bins - 1)
        counts = np.bincount(index, minlength=bins)
        w = weights(EXAMPLE, bins)
        assert math.isclose(w.mean(), 1) and ((w < 1) == (counts[index] > 100 / (counts > 0).sum())).all()
    lonely = np.array([0.05] * 99 + [0.55])
    assert weights(lonely, 10)[-1] == 100 / 2 and weights(lonely, 10)[-1] > weights(lonely, 10)[0]


def ghm_c(logits, targets, bins=30):
    """As in the article."""
    g = (logits.sigmoid() - targets).abs().detach()
    index = (g * bins).long().clamp(max=bins - 1)
    counts = torch.bincount(index.flatten(), minlength=bins)
    w = g.numel() / (counts[index] * (counts > 0).sum())
    return F.binary_cross_entropy_with_logits(logits, targets, weight=w), w


@holds("Input (GHM-C)", "Output", "Same in train and eval?", "Is the weight differentiated?")
def check_shapes_and_gradient():
    for shape in ((40,), (8, 5), (2, 3, 4, 4)):
        z, y = torch.randn(shape, requires_grad=True), torch.randint(2, shape).float()
        loss, w = ghm_c(z, y)
        loss.backward()
        assert loss.shape == () and w.shape == shape and not w.requires_grad
        assert torch.allclose(z.grad, w * (z.sigmoid() - y).detach() / z.numel(), atol=1e-6)
    z = torch.tensor([0.0, -4.0, -4.0, -4.0])  # the same first sample in two batches
    other = torch.tensor([0.0, 0.0, 0.0, -4.0])
    assert ghm_c(z, torch.zeros(4))[1][0] == 3 * ghm_c(other, torch.zeros(4))[1][0]


@holds("GHM", "Focal loss", "OHEM", "How is it related to focal loss?")
def check_factors_of_the_two_heaps():
    p_t = 1 - EXAMPLE  # g = 1 - p_t: both weights are functions of p_t
    ghm, focal = weights(EXAMPLE, 10), (1 - p_t) ** 2
    assert ghm[0] < 0.25 and focal[0] < 0.01 and focal[-1] > 0.9
    crowded = np.r_[np.full(30, 0.05), 0.45, 0.55, np.full(68, 0.97)]
    assert weights(crowded, 10)[-1] < 0.5  # many outliers are turned down
    hardest = np.argsort(np.log(p_t))[:20]  # largest loss first
    assert (EXAMPLE[hardest] == 0.97).sum() == 16 and (EXAMPLE[hardest] > 0.05).all()
    wide = weights(EXAMPLE, 5)
    assert not np.allclose(wide, ghm)  # the bin width is a choice
    figure_of(__file__).density()  # asserts the shares of the outliers
