import math

import numpy as np
import torch
from torch.nn import functional as F

from note_checks import check, formula, stated

LOSS = r"L = -\frac{s_+}{\tau} + \ln\left( e^{s_+/\tau} + \sum_{k} e^{s_k/\tau} \right)"
GRADIENT = r"\frac{\partial L}{\partial z} = -\frac{1}{\tau} \left( (1 - p_+)\, z_+ - \sum_{k} p_k\, z_k \right)"
MEASURES = r"""
A = \frac{1}{N} \sum_{i=1}^{N} \lVert z_i - z_i^+ \rVert^2, \qquad
U = \ln \frac{1}{N(N-1)} \sum_{i \ne j} e^{-2 \lVert z_i - z_j \rVert^2}
"""


@formula(LOSS, GRADIENT)
def check_loss_and_gradient():
    for negatives, d in ((1, 2), (3, 5), (40, 16)):
        for tau in (0.07, 0.5, 2.0):
            z = F.normalize(torch.randn(d, dtype=torch.float64), dim=0).requires_grad_()
            others = F.normalize(torch.randn(1 + negatives, d, dtype=torch.float64), dim=1)
            loss = F.cross_entropy((others @ z / tau)[None], torch.tensor([0]))
            loss.backward()
            s = others.numpy() @ z.detach().numpy()
            ours = -s[0] / tau + math.log(math.exp(s[0] / tau) + sum(math.exp(v / tau) for v in s[1:]))
            np.testing.assert_allclose(ours, loss.item(), rtol=1e-9, atol=1e-12)
            p = np.exp(s / tau) / np.exp(s / tau).sum()
            o = others.numpy()
            np.testing.assert_allclose(-((1 - p[0]) * o[0] - p[1:] @ o[1:]) / tau, z.grad.numpy(), rtol=1e-8, atol=1e-10)


@formula(MEASURES)
def check_alignment_and_uniformity():
    for n, d in ((2, 2), (5, 3), (30, 8)):
        a, b = (F.normalize(torch.randn(n, d, dtype=torch.float64), dim=1) for _ in range(2))
        x, y = a.numpy(), b.numpy()
        alignment = sum(np.sum((x[i] - y[i]) ** 2) for i in range(n)) / n
        np.testing.assert_allclose(alignment, 2 - 2 * F.cosine_similarity(a, b).mean().item(), rtol=1e-9)
        total = sum(math.exp(-2 * np.sum((x[i] - x[j]) ** 2)) for i in range(n) for j in range(n) if i != j)
        np.testing.assert_allclose(math.log(total / (n * (n - 1))), torch.pdist(a).pow(2).mul(-2).exp().mean().log().item(), rtol=1e-9)
    same = torch.ones(4, 2) / math.sqrt(2)
    assert torch.pdist(same).pow(2).mul(-2).exp().mean().log().item() == 0.0


@check
def check_by_hand():
    logits = torch.tensor([[0.8, 0.5, 0.1]]) / 0.5
    stated("0.5852", F.cross_entropy(logits, torch.tensor([0])))
    p = logits.softmax(1)[0]
    for text, value in zip(("0.5570", "0.3057", "0.1373"), p):
        stated(text, value)
    assert p[1] > 2 * p[2]
    square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    stated("−4.3963", torch.pdist(square).pow(2).mul(-2).exp().mean().log())


@check
def check_pitfall_numbers():
    z = F.normalize(torch.ones(256, 4), dim=1)
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    per_view = F.cross_entropy(logits, torch.arange(256).roll(128))
    stated("5.5413", per_view)
    stated("11.0825", 2 * per_view)
    torch.manual_seed(0)
    labels = torch.randint(0, 10, (400, 256))
    found = (labels[:, 1:] == labels[:, :1]).sum(1).double().mean().item()
    stated("25.5", 255 / 10)
    assert 24.5 < found < 26.5


@check
def check_unnormalized_lengths_lower_the_loss():
    torch.manual_seed(0)
    directions = F.normalize(torch.randn(16, 64), dim=1)
    losses = [F.cross_entropy((c * directions) @ (c * directions).T, torch.arange(16)).item() for c in (1, 2, 4)]
    assert losses[0] > losses[1] > losses[2]


@check
def check_single_sample_has_no_loss():
    z = F.normalize(torch.randn(1, 4), dim=1)
    assert F.cross_entropy(z @ z.T / 0.1, torch.arange(1)).item() == 0.0
