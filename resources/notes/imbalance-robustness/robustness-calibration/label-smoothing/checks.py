import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

TARGET = r"q_c = (1 - \varepsilon) \, [c = y] + \frac{\varepsilon}{C}"
LOSS = r"""
\ell = -\sum_{c=1}^{C} q_c \log p_c = -(1 - \varepsilon) \log p_y - \frac{\varepsilon}{C} \sum_{c=1}^{C} \log p_c
"""
GAP = r"z_y - z_c = \log\left( 1 + \frac{C (1 - \varepsilon)}{\varepsilon} \right)"

by_definition("Cost", "Knowledge distillation")
sourced(
    "Inception-v3, arXiv 1512.00567, section 7; Attention is all you need, arXiv 1706.03762, section 5.4",
    "Parameter",
    "Label smoothing",
)
sourced("Focal Loss for Dense Object Detection, arXiv 1708.02002, abstract", "Focal loss")
sourced(
    "Regularizing Neural Networks by Penalizing Confident Output Distributions, arXiv 1701.06548, section 3",
    "Confidence penalty",
)
sourced(
    "Müller et al., arXiv 1906.02629, section 4; Shen et al., arXiv 2104.00676, abstract",
    "Why can a smoothed teacher distil badly?",
)
sourced(
    "Krothapalli and Abbott, Adaptive Label Smoothing, arXiv 2009.06432, abstract",
    "What is adaptive label smoothing?",
)


def smoothed(y, classes, eps):
    return (1 - eps) * (np.arange(classes) == np.asarray(y)[:, None]) + eps / classes


def log_softmax(z):
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def random_case(n, c):
    return torch.randn(n, c, dtype=torch.float64) * 3, torch.randint(c, (n,))


@formula(TARGET, LOSS)
@holds("Label smoothing", "Focal loss", "Temperature scaling")
def check_loss():
    for n, c in [(1, 2), (6, 5), (32, 10), (3, 1000)]:
        for eps in (0.0, 0.1, 0.5, 1.0):
            z, y = random_case(n, c)
            q, log_p = smoothed(y.numpy(), c, eps), log_softmax(z.numpy())
            first = -(q * log_p).sum(1)
            second = -(1 - eps) * log_p[np.arange(n), y.numpy()] - eps / c * log_p.sum(1)
            library = F.cross_entropy(z, y, label_smoothing=eps, reduction="none").numpy()
            np.testing.assert_allclose(first, library, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(second, library, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(F.cross_entropy(z, torch.from_numpy(q)).item(), library.mean(), rtol=1e-9)
            assert all(torch.equal((z / t).argmax(1), z.argmax(1)) for t in (0.5, 2.0, 9.0))  # temperature scaling
    assert [round((1 - p) ** 2, 4) for p in (0.99, 0.1)] == [0.0001, 0.81]  # focal loss


@formula(GAP)
def check_gap():
    for c in (2, 5, 10, 1000):
        for eps in (0.05, 0.1, 0.3):
            gap = math.log(1 + c * (1 - eps) / eps)
            z = torch.zeros(1, c, dtype=torch.float64)
            z[0, 1] = gap
            z.requires_grad_()
            F.cross_entropy(z, torch.tensor([1]), label_smoothing=eps).backward()
            assert z.grad.abs().max() < 1e-9
            q = smoothed([1], c, eps)
            np.testing.assert_allclose(z.softmax(1).detach().numpy(), q, rtol=1e-9)
    z, y = random_case(4, 6)
    z.requires_grad_()
    F.cross_entropy(z, y, label_smoothing=0.2, reduction="sum").backward()
    np.testing.assert_allclose(z.grad.numpy(), z.softmax(1).detach().numpy() - smoothed(y.numpy(), 6, 0.2), atol=1e-9)


def entropy(classes, eps):
    q = smoothed([0], classes, eps)[0]
    return -(q * np.log(q)).sum()


@holds("In PyTorch", "Parameter", "Target for 10 classes, $\\varepsilon = 0.1$")
@holds("Lowest possible loss", "Same in train and eval?")
def check_facts():
    loss = nn.CrossEntropyLoss()
    stated("0.0", loss.label_smoothing)
    stated("0.91", smoothed([0], 10, 0.1)[0, 0])
    stated("0.01", smoothed([0], 10, 0.1)[0, 1])
    stated("4.5109", math.log(91))
    z = torch.tensor([[math.log(91)] + [0.0] * 9], dtype=torch.float64)
    stated("0.5003", F.cross_entropy(z, torch.tensor([0]), label_smoothing=0.1))
    for text, classes in [("0.3897", 5), ("0.5003", 10), ("1.0148", 1000)]:
        stated(text, entropy(classes, 0.1))
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)
    logits, y = random_case(4, 3)
    assert torch.equal(smooth.train()(logits, y), smooth.eval()(logits, y)) and smooth(logits, y) != loss(logits, y)
    q = torch.rand(4, 3, dtype=torch.float64).softmax(1)
    assert torch.allclose(smooth(logits, q), loss(logits, 0.9 * q + 0.1 / 3))
    raises(RuntimeError, lambda: F.cross_entropy(logits, y, label_smoothing=1.1), "between 0.0 and 1.0")


@check
def check_by_hand():
    p = torch.tensor([[0.6, 0.1, 0.1, 0.1, 0.1]], dtype=torch.float64)
    stated("0.92", smoothed([0], 5, 0.1)[0, 0])
    stated("0.02", smoothed([0], 5, 0.1)[0, 1])
    stated("0.51083", -math.log(0.6))
    stated("2.3026", -math.log(0.1))
    stated("1.9442", -p.log().mean())
    assert f"{0.9 * 0.51083 + 0.1 * 1.94423:.4f}" == "0.6542"
    stated("0.6542", F.cross_entropy(p.log(), torch.tensor([0]), label_smoothing=0.1))


@pitfall("With class weights the model answers the heavy class on samples of the light one")
def check_class_weights_scale_the_smoothed_target():
    z, y = random_case(5, 3)
    w = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    each = F.cross_entropy(z, y, weight=w, label_smoothing=0.1, reduction="none").numpy()
    np.testing.assert_allclose(
        each, -(w.numpy() * smoothed(y.numpy(), 3, 0.1) * log_softmax(z.numpy())).sum(1), rtol=1e-9
    )
    p = torch.linspace(0.001, 0.999, 9981, dtype=torch.float64)
    two = torch.stack([p, 1 - p], 1).log()
    zeros = torch.zeros(len(p), dtype=torch.long)
    heavy = torch.tensor([1.0, 100.0], dtype=torch.float64)
    loss = F.cross_entropy(two, zeros, weight=heavy, label_smoothing=0.1, reduction="none")
    stated("0.16", p[loss.argmin()])
    for ratio, right in ((18.0, True), (20.0, False)):  # the article's turning point: 19
        weight = heavy.new_tensor([1.0, ratio])
        lighter = F.cross_entropy(two, zeros, weight=weight, label_smoothing=0.1, reduction="none")
        assert (p[lighter.argmin()] > 0.5) == right
    fixed = F.cross_entropy(two, zeros, label_smoothing=0.1, reduction="none") * heavy[zeros]
    assert abs(p[fixed.argmin()].item() - 0.95) < 1e-3
    for shape, ignored in (((30,), -100), ((2, 4, 4), -100), ((2, 4, 4), 255)):
        z, y = torch.randn(shape[0], 3, *shape[1:], dtype=torch.float64), torch.randint(0, 3, shape)
        y.view(-1)[:3], y.view(-1)[3:6] = ignored, torch.arange(3)
        k = y != ignored
        v = w[y * k] * k
        for eps in (0.0, 0.1):
            losses = F.cross_entropy(z, y, label_smoothing=eps, reduction="none", ignore_index=ignored)
            kept = F.cross_entropy(z.movedim(1, -1)[k], y[k], label_smoothing=eps, reduction="none") * w[y[k]]
            mean = (losses * v).sum() / v.sum()
            assert torch.isclose(mean, kept.sum() / w[y[k]].sum())
            assert eps or torch.isclose(mean, F.cross_entropy(z, y, weight=w, ignore_index=ignored))


@pitfall("The loss is `inf` with masked classes")
def check_masked_classes():
    z, y = random_case(2, 4)
    y[:] = 0
    z[:, 3] = -math.inf
    assert torch.isinf(F.cross_entropy(z, y, label_smoothing=0.1)) and torch.isfinite(F.cross_entropy(z, y))
    z[:, 3] = -1e9
    assert F.cross_entropy(z, y, label_smoothing=0.1) > 1e6
    allowed = torch.tensor([True, True, True, False])
    z[:, 3] = -math.inf
    z.requires_grad_()
    target = 0.9 * F.one_hot(y, 4) + 0.1 * allowed / allowed.sum()
    ours = -(target * z.log_softmax(1)).masked_fill(~allowed, 0).sum(1).mean()
    assert torch.isclose(ours, F.cross_entropy(z[:, :3], y, label_smoothing=0.1))
    ours.backward()
    assert torch.isfinite(z.grad).all()


@pitfall("A reimplementation gives 0.9 and 0.025 instead of 0.92 and 0.02")
def check_other_convention():
    eps, c = 0.1, 5
    other = np.full(c, eps / (c - 1))
    other[0] = 1 - eps
    stated("0.9", other[0])
    stated("0.025", other[1])
    stated("0.125", eps * c / (c - 1))
    np.testing.assert_allclose(other, smoothed([0], c, eps * c / (c - 1))[0])
    z, y = random_case(6, c)
    q = eps / (c - 1) + (1 - eps - eps / (c - 1)) * F.one_hot(y, c)
    assert torch.isclose(F.cross_entropy(z, y, label_smoothing=0.125), F.cross_entropy(z, q))
    assert not torch.isclose(F.cross_entropy(z, y, label_smoothing=0.1), F.cross_entropy(z, q))


@holds("Is it the same as adding a KL term?")
def check_kl_and_binary():
    eps, c = 0.1, 7
    z, y = random_case(8, c)
    log_p = z.log_softmax(1)
    uniform = torch.full_like(z, 1 / c)
    divergence = (uniform * (uniform.log() - log_p)).sum(1)
    ours = (1 - eps) * F.cross_entropy(z, y, reduction="none") + eps * divergence + eps * math.log(c)
    assert torch.allclose(ours, F.cross_entropy(z, y, label_smoothing=eps, reduction="none"))
    two, label = random_case(9, 2)
    soft = label.double() * (1 - eps) + eps / 2
    assert torch.allclose(
        F.cross_entropy(two, label, label_smoothing=eps),
        F.binary_cross_entropy_with_logits(two[:, 1] - two[:, 0], soft),
    )
    p = z.softmax(1)
    negative_entropy = (p * log_p).sum(1)
    assert torch.allclose((p * (log_p - uniform.log())).sum(1), negative_entropy + math.log(c))


@holds("When can it hurt?")
def check_optimum_mixes_the_true_probability_with_uniform():
    truth, eps = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64), 0.1
    labels = torch.arange(3)

    def gradient(p):
        z = p.log().expand(3, 3).clone().requires_grad_()
        (truth * F.cross_entropy(z, labels, label_smoothing=eps, reduction="none")).sum().backward()
        return z.grad.sum(0)

    assert gradient((1 - eps) * truth + eps / 3).abs().max() < 1e-9 and gradient(truth).abs().max() > 0.01
    assert ((((1 - eps) * truth + eps / 3) < truth) == (truth > 1 / 3)).all()


@check
def check_weight_per_sample():
    z, y, w = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 1]), torch.tensor([1.0, 100.0, 5.0])
    mean = lambda eps: (F.cross_entropy(z, y, reduction="none", label_smoothing=eps) * w[y]).sum() / w[y].sum()
    torch.testing.assert_close(mean(0.0), F.cross_entropy(z, y, weight=w))
    assert not torch.isclose(mean(0.1), F.cross_entropy(z, y, weight=w, label_smoothing=0.1))
    expected, padded, more = mean(0.1), torch.cat([y, torch.tensor([-100])]), torch.cat([z, torch.randn(1, 3)])
    raises(IndexError, lambda: w[padded])
    z, y = more[padded != -100], padded[padded != -100]
    torch.testing.assert_close(mean(0.1), expected)


@pitfall("The training loss stops at 0.5 and is higher than the validation loss of an older run")
def check_floor_of_the_training_loss():
    x, y = handwritten_digits()
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    plain, accuracy, smoothed_loss = [], [], []
    for eps in (0.0, 0.1):
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        loss = descend(optimizer, lambda: F.cross_entropy(model(x[:1200]), y[:1200], label_smoothing=eps), 150)
        z = model(x[1200:]).detach()
        smoothed_loss.append(loss.item())
        plain.append(F.cross_entropy(z, y[1200:]).item())
        accuracy.append((z.argmax(1) == y[1200:]).float().mean().item())
    assert entropy(10, 0.1) <= smoothed_loss[1] < 0.6 and smoothed_loss[1] > 2 * plain[0]
    assert plain[0] < plain[1] < 0.4 and abs(accuracy[0] - accuracy[1]) < 0.03


@check
def check_binary_loss_has_no_argument():
    raises(TypeError, lambda: nn.BCEWithLogitsLoss(label_smoothing=0.1), "label_smoothing")
