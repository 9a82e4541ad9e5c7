import math

import numpy as np
import torch
from torch.nn import functional as F

from note_checks import check, formula, stated

LOSS = r"""
\ell = -\log \frac{e^{s (c_y - m)}}{e^{s (c_y - m)} + \sum_{j \ne y} e^{s c_j}}, \qquad
c_j = \frac{w_j^\top x}{\lVert w_j \rVert_2 \, \lVert x \rVert_2}
"""
GRADIENT = r"\frac{\partial \ell}{\partial c_j} = s \left( p_j - \delta_{jy} \right)"


def library(cosine, y, s, m, reduction="none"):
    one_hot = F.one_hot(y, cosine.shape[1]).to(cosine.dtype)
    return F.cross_entropy(s * (cosine - m * one_hot), y, reduction=reduction)


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
            assert (values <= ceiling + 1e-9).all() and (values >= floor - 1e-9).all() and (s > 10 or (values > 0).all())


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


@check
def check_start_and_margin():
    equal, y = torch.zeros(1, 1000).double(), torch.tensor([0])
    stated("17.4068", library(equal, y, 30, 0.35))
    stated("6.9078", library(equal, y, 30, 0.0))
    assert math.isclose(library(equal, y, 30, 0.35).item(), math.log(1 + 999 * math.exp(30 * 0.35)))
    c = torch.rand(5, 7).double() * 2 - 1
    y = torch.randint(7, (5,))
    losses = [library(c, y, 10, m, "mean").item() for m in (-0.35, 0.0, 0.2, 0.35)]
    assert losses == sorted(losses) and len(set(losses)) == 4
    assert torch.allclose(F.cross_entropy(10 * (c - 0.35), y), F.cross_entropy(10 * c, y))


@check
def check_first_gradient_hardly_depends_on_the_margin():
    c, y = F.normalize(torch.randn(64, 512)) @ F.normalize(torch.randn(1000, 512)).T, torch.randint(1000, (64,))
    for s in (10, 30, 64):
        for m in (0.0, 0.35):
            cosine = c.clone().requires_grad_()
            library(cosine, y, s, m, "sum").backward()
            assert abs(cosine.grad[range(64), y].mean().item() / -s - 1) < 0.02


@check
def check_circle():
    angles = torch.arange(10).double() * 2 * math.pi / 10
    w = torch.stack([angles.cos(), angles.sin()], 1)
    cosine = (w @ w.T).fill_diagonal_(-2)
    stated("0.1910", 1 - cosine.max())
    assert math.isclose(math.degrees(angles[1]), 36)
    around = torch.linspace(0, 2 * math.pi, 3601).double()
    scores = (torch.stack([around.cos(), around.sin()], 1) @ w.T).sort(1, descending=True).values
    assert abs((scores[:, 0] - scores[:, 1]).max().item() - (1 - cosine.max().item())) < 1e-6


@check
def check_relu_and_length():
    x = F.normalize(torch.relu(torch.randn(50, 8)) + 1e-9)
    assert (x @ x.T).min() >= 0
    w, y = torch.randn(4, 3).double(), torch.tensor([2])
    x = w[2:3] * 0.5
    if (x @ w.T).argmax() == 2:
        assert F.cross_entropy(3 * x @ w.T, y) < F.cross_entropy(x @ w.T, y)
    assert torch.allclose(F.normalize(3 * x), F.normalize(x))


@check
def check_margins_in_angle():
    stated("28.6", round(math.degrees(0.5), 1))
    shift = lambda degrees: math.degrees(math.acos(math.cos(math.radians(degrees)) - 0.35)) - degrees
    assert shift(1) > shift(45) > shift(80) and shift(1) > math.degrees(0.5) > shift(80)


@check
def check_scale_and_calibration():
    c, y = torch.tensor([[0.6, 0.2, 0.1]]).double(), torch.tensor([0])
    assert library(c, y, 40, 0.35) < library(c, y, 20, 0.35)
    behind = torch.tensor([[0.5, 0.3, 0.1]]).double()
    assert library(behind, y, 40, 0.35) > library(behind, y, 20, 0.35) and library(behind, y, 40, 0.0) < library(behind, y, 20, 0.0)
    with_margin = (10 * (c - 0.35 * F.one_hot(y, 3))).softmax(1)[0, 0]
    assert with_margin < (10 * c).softmax(1)[0, 0]
