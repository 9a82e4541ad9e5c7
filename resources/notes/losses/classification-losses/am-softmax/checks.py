import math

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

LOSS = r"""
\ell = -\log \frac{e^{s (c_y - m)}}{e^{s (c_y - m)} + \sum_{j \ne y} e^{s c_j}}, \qquad
c_j = \frac{w_j^\top x}{\lVert w_j \rVert_2 \, \lVert x \rVert_2}
"""
GRADIENT = r"\frac{\partial \ell}{\partial c_j} = s \left( p_j - \delta_{jy} \right)"

by_definition(
    "Softmax with cross-entropy",
    "NormFace",
    "AM-Softmax, CosFace",
    "ArcFace",
    "SphereFace",
    "Triplet",
    "In training and in use",
)
sourced("AM-Softmax, arXiv 1801.05599 (s = 30); CosFace, arXiv 1801.09414 (s = 64, m = 0.35)", "Parameters")
sourced("SphereFace, arXiv 1704.08063, section 3.2 (the angle function beyond pi/m)", "SphereFace")


def library(cosine, y, s, m, reduction="none"):
    one_hot = F.one_hot(y, cosine.shape[1]).to(cosine.dtype)
    return F.cross_entropy(s * (cosine - m * one_hot), y, reduction=reduction)


@holds("Range")
@formula(LOSS)
def check_loss():
    for n, d, classes in ((1, 2, 2), (7, 5, 3), (20, 16, 40)):
        x, w = torch.randn(n, d, dtype=torch.float64) * 3, torch.randn(classes, d, dtype=torch.float64)
        y = torch.randint(classes, (n,))
        a, b = x.numpy(), w.numpy()
        c = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
        cosine = F.linear(F.normalize(x), F.normalize(w))
        np.testing.assert_allclose(c, cosine.numpy(), rtol=1e-9)
        for s, m in ((1.0, 0.0), (10.0, 0.35), (30.0, 0.35), (64.0, 0.1)):
            own = np.exp(s * (c[range(n), y] - m))
            others = np.exp(s * c).sum(1) - np.exp(s * c[range(n), y])
            values = library(cosine, y, s, m)
            np.testing.assert_allclose(-np.log(own / (own + others)), values.numpy(), rtol=1e-7, atol=1e-9)
            floor = math.log(1 + (classes - 1) * math.exp(s * (m - 2)))
            ceiling = math.log(1 + (classes - 1) * math.exp(s * (2 + m)))
            opposite = torch.ones(1, classes, dtype=torch.float64).index_fill(1, torch.tensor([0]), -1)
            assert math.isclose(library(opposite, torch.tensor([0]), s, m).item(), ceiling)
            assert math.isclose(library(-opposite, torch.tensor([0]), s, m).item(), floor, rel_tol=1e-6, abs_tol=1e-12)
            assert (
                (values <= ceiling + 1e-9).all() and (values >= floor - 1e-9).all() and (s > 10 or (values > 0).all())
            )


@holds("Input", "Target", "Output", "Range")
def check_contract():
    x, w, y = torch.randn(6, 5), torch.randn(3, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    cosine = F.normalize(x) @ F.normalize(w).T
    assert library(cosine, y, 30, 0.35, "mean").shape == () and cosine.shape == (6, 3)
    raises(RuntimeError, lambda: library(cosine, y.int(), 30, 0.35), "LongTensor")
    assert library(torch.tensor([[1.0, -1.0]]), torch.tensor([0]), 30, 0.35) == 0
    equal = library(torch.full((1, 10), 0.3).double(), torch.tensor([0]), 30, 0.35)
    assert math.isclose(equal.item(), math.log(1 + 9 * math.exp(30 * 0.35)))
    edge = torch.tensor([[0.5, 0.5, -1.0]])  # on the boundary of the loss without margin
    assert library(edge, torch.tensor([0]), 30, 0.35) > 10 > 1 > library(edge, torch.tensor([0]), 30, 0.0)


@formula(GRADIENT)
def check_gradient():
    for s, m in ((1.0, 0.0), (30.0, 0.35)):
        c = (torch.rand(6, 4, dtype=torch.float64) * 2 - 1).requires_grad_()
        y = torch.randint(4, (6,))
        library(c, y, s, m, "sum").backward()
        one_hot = F.one_hot(y, 4).numpy()
        p = (s * (c.detach() - m * F.one_hot(y, 4).double())).softmax(1).numpy()
        np.testing.assert_allclose(s * (p - one_hot), c.grad.numpy(), rtol=1e-9, atol=1e-12)


@check
def check_by_hand():
    c, y = torch.tensor([[0.8, 0.3, 0.1]]).double(), torch.tensor([0])
    stated("0.7434", library(c, y, 1, 0.0))
    stated("0.0111", library(c, y, 30, 0.35))
    assert abs(library(c, y, 30, 0.0).item() / 3.06e-7 - 1) < 0.01


def trained_on_digits(s, m, rate=0.03, end=(), then=None):
    """A small network after 150 steps, and 150 more with scale and rate `then`.

    Loss, accuracy of the cosines without and with margin, embeddings, classes."""
    torch.manual_seed(0)
    pixels, classes = handwritten_digits()
    hidden = [layer for _ in range(3) for layer in (nn.Linear(64, 64), nn.ReLU())]
    network = nn.Sequential(*hidden, nn.Linear(64, 16), *end)
    centres = nn.Parameter(torch.randn(10, 16))
    optimizer = torch.optim.SGD([*network.parameters(), centres], rate, momentum=0.9)
    last = 300 if then else 150
    for step in range(last + 1):
        if then and step == 150:
            s, optimizer.param_groups[0]["lr"] = then
        batch = torch.randperm(len(pixels))[:128] if step < last else torch.arange(len(pixels))
        x, y = F.normalize(network(pixels[batch])), classes[batch]
        cosine = x @ F.normalize(centres).T
        loss = library(cosine, y, s, m, "mean")
        optimizer.zero_grad()
        loss.backward()
        if step < last:
            optimizer.step()
    right = lambda scores: (scores.argmax(1) == y).double().mean().item()
    return loss.item(), right(cosine), right(cosine - m * F.one_hot(y, 10)), x.detach(), y


@pitfall("Training does not start")
def check_large_scale():
    for m in (0.0, 0.35):
        _, stuck, *_ = trained_on_digits(30, m, rate=0.1)
        _, small_scale, *_ = trained_on_digits(10, m, rate=0.01)
        _, small_rate, *_ = trained_on_digits(30, m, rate=0.003)
        assert stuck < 0.2 and small_scale > 0.85 and small_rate > 0.85, (stuck, small_scale, small_rate)
        assert trained_on_digits(5, m, rate=0.1)[1] > 0.7  # a smaller scale alone
    for then in ((10, 0.01), (30, 0.003)):  # too late for the network that is stuck
        assert trained_on_digits(30, 0.35, rate=0.1, then=then)[1] < 0.2
    assert trained_on_digits(30, 0.35)[1] < 0.4 and trained_on_digits(10, 0.35)[1] > 0.7
    c = F.normalize(torch.randn(64, 512)) @ F.normalize(torch.randn(1000, 512)).T
    y = torch.randint(1000, (64,))
    for s in (10, 30, 64):
        for m in (0.0, 0.35):
            cosine = c.clone().requires_grad_()
            library(cosine, y, s, m, "sum").backward()
            assert abs(cosine.grad[range(64), y].mean().item() / -s - 1) < 0.02


@holds("Can it be used for ordinary classification?")
@pitfall("The loss starts at 17 or more and ends far from 0")
def check_loss_and_accuracy():
    loss, accuracy, with_margin, x, y = trained_on_digits(30, 0.35, rate=0.003)
    assert loss > 2 and accuracy > 0.9 and with_margin < 0.7
    upper = torch.triu_indices(600, 600, 1)
    assert roc_auc_score(y[upper[0]] == y[upper[1]], (x[upper[0]] * x[upper[1]]).sum(1)) > 0.9
    start, y = F.normalize(torch.randn(64, 512)) @ F.normalize(torch.randn(1000, 512)).T, torch.randint(1000, (64,))
    assert library(start, y, 30, 0.35, "mean") > 17
    assert (library(start, y, 30, 0.35) - library(start, y, 30, 0.0) <= 30 * 0.35 + 1e-4).all()
    equal, y = torch.zeros(1, 1000).double(), torch.tensor([0])
    stated("17.4068", library(equal, y, 30, 0.35))
    stated("6.9078", library(equal, y, 30, 0.0))
    assert math.isclose(library(equal, y, 30, 0.35).item(), math.log(1 + 999 * math.exp(30 * 0.35)))


@pitfall("The margin is applied with the wrong sign or in all columns")
def check_margin():
    c = torch.rand(5, 7).double() * 2 - 1
    y = torch.randint(7, (5,))
    losses = [library(c, y, 10, m, "mean").item() for m in (-0.35, 0.0, 0.2, 0.35)]
    assert losses == sorted(losses) and len(set(losses)) == 4
    assert torch.allclose(F.cross_entropy(10 * (c - 0.35), y), F.cross_entropy(10 * c, y))


def best_toy_loss(dimensions, m):
    """The loss with s = 30 when ten embeddings and their centres are all free to move."""
    torch.manual_seed(0)
    x, w = (nn.Parameter(torch.randn(10, dimensions)) for _ in range(2))
    optimizer = torch.optim.Adam([x, w], 0.02)
    for _ in range(400):
        loss = library(F.normalize(x) @ F.normalize(w).T, torch.arange(10), 30, m, "mean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@pitfall("The loss of two-dimensional toy plots stays high with $m = 0.35$")
def check_circle():
    assert best_toy_loss(2, 0.35) > 4 and best_toy_loss(2, 0.1) < 0.3
    assert best_toy_loss(3, 0.35) < 0.1 and best_toy_loss(16, 0.35) < 0.1
    angles = torch.arange(10).double() * 2 * math.pi / 10
    w = torch.stack([angles.cos(), angles.sin()], 1)
    cosine = (w @ w.T).fill_diagonal_(-2)
    stated("0.1910", 1 - cosine.max())
    assert math.isclose(math.degrees(angles[1]), 36)
    around = torch.linspace(0, 2 * math.pi, 3601).double()
    scores = (torch.stack([around.cos(), around.sin()], 1) @ w.T).sort(1, descending=True).values
    assert abs((scores[:, 0] - scores[:, 1]).max().item() - (1 - cosine.max().item())) < 1e-6


@pitfall("Embeddings use only a corner of the sphere")
def check_relu():
    for end, corner in ((nn.ReLU(),), True), ((), False), ((nn.BatchNorm1d(16),), False):
        *_, x, _ = trained_on_digits(10, 0.35, rate=0.01, end=end)
        lowest = (x @ x.T).min().item()
        assert lowest >= 0 if corner else lowest < -0.2, (end, lowest)


@holds("Why normalize the embedding too?")
def check_length():
    w = torch.randn(4, 3).double()
    x = torch.randn(40, 3).double()
    y = (x @ w.T).argmax(1)
    longer, loss = F.cross_entropy(3 * x @ w.T, y, reduction="none"), F.cross_entropy(x @ w.T, y, reduction="none")
    assert (longer < loss).all() and torch.allclose(F.normalize(3 * x), F.normalize(x))
    by_cosine = [library(F.normalize(k * x) @ F.normalize(w).T, y, 30, 0.0) for k in (1, 3)]
    assert torch.allclose(*by_cosine)


@holds("How do the margins of CosFace and ArcFace differ?")
def check_margins_in_angle():
    stated("28.6", round(math.degrees(0.5), 1))
    shift = lambda degrees: math.degrees(math.acos(math.cos(math.radians(degrees)) - 0.35)) - degrees
    assert shift(1) > shift(45) > shift(80) and shift(1) > math.degrees(0.5) > shift(80)


@holds("What is the scale?", "Can it be used for ordinary classification?")
def check_scale_and_calibration():
    c, y = torch.tensor([[0.6, 0.2, 0.1]]).double(), torch.tensor([0])
    assert library(c, y, 40, 0.35) < library(c, y, 20, 0.35)
    for _ in range(50):  # a sample that leads by more than m raises a learned s
        cosines, s = torch.rand(1, 5).double() * 0.5, torch.tensor(20.0, requires_grad=True)
        cosines[0, 0] = cosines[0, 1:].max() + 0.36
        library(cosines, y, s, 0.35, "sum").backward()
        assert s.grad < 0
    assert torch.allclose((30 * c).softmax(1), (c / (1 / 30)).softmax(1))
    behind = torch.tensor([[0.5, 0.3, 0.1]]).double()
    assert library(behind, y, 40, 0.35) > library(behind, y, 20, 0.35) and library(behind, y, 40, 0.0) < library(
        behind, y, 20, 0.0
    )
    # two classes, the gap of the cosines at which the expected loss for a probability of 0.75 is lowest
    gap = torch.linspace(-2, 2, 40001).double()
    pair, zero = torch.stack([gap / 2, -gap / 2], 1), torch.zeros(40001, dtype=torch.long)
    expected = 0.75 * library(pair, zero, 30, 0.35) + 0.25 * library(pair, zero + 1, 30, 0.35)
    assert (30 * pair[expected.argmin()]).softmax(0)[0] > 0.9999
    plain = 0.75 * library(pair, zero, 30, 0.0) + 0.25 * library(pair, zero + 1, 30, 0.0)
    assert abs((30 * pair[plain.argmin()]).softmax(0)[0] - 0.75) < 1e-3
