import math

import numpy as np
import torch
from torch.nn import functional as F

from note_checks import check, formula, stated

STEP = r"""
P(x \mid v, t) = \frac{\alpha_{tx}\, w_{vx}}{\sum_{y \in \mathcal{N}(v)} \alpha_{ty}\, w_{vy}}, \qquad
\alpha_{tx} = \begin{cases} 1/p & d_{tx} = 0 \\ 1 & d_{tx} = 1 \\ 1/q & d_{tx} = 2 \end{cases}
"""
SKIP_GRAM = r"\ell = -\ln \sigma\left( z_u^\top c_v \right) - \sum_{j=1}^{b} \ln \sigma\left( -z_u^\top c_{n_j} \right)"
OPTIMUM = r"""
z_u^\top c_v = \ln \left( \frac{\mathrm{vol}}{b\, T} \sum_{r=1}^{T} \left( D^{-1} A \right)^r_{uv} \frac{1}{d_v} \right), \qquad \mathrm{vol} = \sum_w d_w
"""
KITE = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]], dtype=float)


def next_step(A, t, v, p, q):
    """Probabilities of the next node after t → v, as the article writes them."""
    alpha = [1 / p if x == t else 1.0 if A[t, x] else 1 / q for x in range(len(A))]
    weights = np.array(alpha) * A[v]
    return weights / weights.sum()


# verified: formula-only (node2vec's walk is in no installed library); sampled by rejection, the way fast implementations draw it
@formula(STEP)
def check_node2vec_step():
    torch.manual_seed(0)
    A = np.array([[0, 2, 1, 0, 0], [2, 0, 1, 3, 0], [1, 1, 0, 1, 2], [0, 3, 1, 0, 1], [0, 0, 2, 1, 0]], dtype=float)
    for p, q in ((4.0, 0.5), (0.25, 2.0), (1.0, 1.0)):
        t, v, n = 1, 2, 200_000
        candidates = torch.multinomial(torch.tensor(A[v]), n, replacement=True)
        bound = max(1 / p, 1.0, 1 / q)
        near = torch.tensor(A[t] > 0)[candidates]
        accept = torch.where(candidates == t, 1 / p, torch.where(near, 1.0, 1 / q)) / bound
        kept = candidates[torch.rand(n) < accept]
        found = torch.bincount(kept, minlength=5) / len(kept)
        np.testing.assert_allclose(next_step(A, t, v, p, q), found.numpy(), atol=0.008)


@formula(SKIP_GRAM)
def check_skip_gram_loss():
    for b, d in ((1, 3), (5, 8)):
        z, c, noise = torch.randn(d, dtype=torch.float64), torch.randn(d, dtype=torch.float64), torch.randn(b, d, dtype=torch.float64)
        sigma = lambda a: 1 / (1 + math.exp(-a))
        ours = -math.log(sigma(float(z.numpy() @ c.numpy()))) - sum(math.log(sigma(-float(z.numpy() @ row.numpy()))) for row in noise)
        logits = torch.cat([(z @ c)[None], noise @ z])
        labels = torch.tensor([1.0] + [0.0] * b, dtype=torch.float64)
        np.testing.assert_allclose(ours, F.binary_cross_entropy_with_logits(logits, labels, reduction="sum").item(), rtol=1e-9)


def target(A, T, b):
    d = A.sum(1)
    P = A / d[:, None]
    total = sum(np.linalg.matrix_power(P, r) for r in range(1, T + 1))
    with np.errstate(divide="ignore"):
        return np.log(d.sum() / (b * T) * total / d[None])


@formula(OPTIMUM)
def check_optimum():
    """The expected loss over all pairs of a stationary walk has gradient zero at the stated matrix."""
    torch.manual_seed(0)
    for A, T, b in ((KITE, 3, 1), (KITE, 2, 5), (np.ones((5, 5)) - np.eye(5) + np.diag([1.0, 0, 0, 0], 1) + np.diag([1.0, 0, 0, 0], -1), 2, 3)):
        d = A.sum(1)
        visits = d / d.sum()
        joint = sum(visits[:, None] * np.linalg.matrix_power(A / d[:, None], r) for r in range(1, T + 1)) / T
        assert (joint > 0).all()
        x = torch.tensor(target(A, T, b), requires_grad=True)
        loss = -(torch.tensor(joint) * F.logsigmoid(x)).sum() - b * (torch.tensor(np.outer(visits, visits)) * F.logsigmoid(-x)).sum()
        gradient = torch.autograd.grad(loss, x)[0]
        assert gradient.abs().max() < 1e-12


@check
def check_by_hand():
    for text, value in zip(("0.3077", "0.0769", "0.6154"), next_step(KITE, 1, 2, 4.0, 0.5)[[0, 1, 3]]):
        stated(text, value)
    np.testing.assert_allclose(next_step(KITE, 1, 2, 1.0, 1.0), [1 / 3, 1 / 3, 0, 1 / 3])
    P = KITE / KITE.sum(1, keepdims=True)
    visits = np.linalg.matrix_power(P, 1000)[0]
    for text, value in zip(("0.25", "0.25", "0.375", "0.125"), visits):
        stated(text, value)
    stated("0.9808", target(KITE, 1, 1)[2, 3])
    stated("0.6931", target(KITE, 1, 1)[0, 1])
    stated("128,000,000", 1_000_000 * 128)


@check
def check_rotation_and_no_negatives():
    z, c = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
    assert torch.allclose(z @ c.T, (z @ rotation) @ (c @ rotation).T) and not torch.allclose(z, z @ rotation, atol=0.1)
    losses = [-F.logsigmoid(torch.tensor(length**2)).item() for length in (1.0, 2.0, 3.0)]
    assert losses[0] > losses[1] > losses[2]
