import inspect

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, stated

CLASSICAL = r"""
\ell = \frac{y}{2} \, d^2 + \frac{1 - y}{2} \max(0, m - d)^2, \qquad d = \lVert x_1 - x_2 \rVert_2
"""
COSINE = r"""
\ell = \begin{cases} 1 - \cos(x_1, x_2) & t = 1 \\ \max\left(0, \; \cos(x_1, x_2) - m\right) & t = -1 \end{cases}, \qquad
\cos(x_1, x_2) = \frac{x_1^\top x_2}{\lVert x_1 \rVert_2 \, \lVert x_2 \rVert_2}
"""


@formula(CLASSICAL)
def check_classical_form():
    for n, size in ((1, 2), (9, 4), (40, 3)):
        x1, x2 = torch.randn(n, size, dtype=torch.float64), torch.randn(n, size, dtype=torch.float64)
        y = torch.randint(2, (n,))
        for margin in (0.5, 1.0, 3.0):
            d = np.sqrt(((x1 - x2).numpy() ** 2).sum(1))
            ours = y.numpy() / 2 * d**2 + (1 - y.numpy()) / 2 * np.maximum(0, margin - d) ** 2
            distance = F.pairwise_distance(x1, x2, eps=0.0)
            library = 0.5 * F.hinge_embedding_loss(distance, 2 * y - 1, margin=margin, reduction="none") ** 2
            np.testing.assert_allclose(ours, library.numpy(), rtol=1e-10, atol=1e-14)


@formula(COSINE)
def check_cosine_form():
    for n, size in ((1, 2), (9, 4), (40, 3)):
        x1, x2 = torch.randn(n, size, dtype=torch.float64), torch.randn(n, size, dtype=torch.float64)
        t = torch.randint(2, (n,)) * 2 - 1
        a, b = x1.numpy(), x2.numpy()
        cos = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        for margin in (-1.0, 0.0, 0.5, 1.0):
            ours = np.where(t.numpy() == 1, 1 - cos, np.maximum(0, cos - margin))
            library = F.cosine_embedding_loss(x1, x2, t, margin=margin, reduction="none").numpy()
            np.testing.assert_allclose(ours, library, rtol=1e-8, atol=1e-9)
            np.testing.assert_allclose(ours.mean(), nn.CosineEmbeddingLoss(margin=margin)(x1, x2, t).item(), rtol=1e-8, atol=1e-9)
            assert -1e-9 <= ours.min() and ours.max() <= 2
    assert F.cosine_embedding_loss(torch.ones(3), torch.ones(3), torch.tensor(1)).abs() < 1e-6
    assert F.cosine_embedding_loss(torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([1])) == 1


@check
def check_contract():
    assert nn.CosineEmbeddingLoss().margin == 0.0 and nn.HingeEmbeddingLoss().margin == 1.0
    assert inspect.signature(nn.CosineEmbeddingLoss).parameters["reduction"].default == "mean"
    x = torch.randn(4, 3, requires_grad=True)
    loss = F.cosine_embedding_loss(x, torch.randn(4, 3), torch.zeros(4))
    loss.backward()
    assert loss == 0 and torch.equal(x.grad, torch.zeros(4, 3))


@check
def check_by_hand():
    d = torch.tensor([0.4, 0.4, 1.2])
    half = 0.5 * F.hinge_embedding_loss(d, torch.tensor([1, -1, -1]), reduction="none") ** 2
    stated("0.08", half[0])
    stated("0.18", half[1])
    assert half[2] == 0
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    stated("0.7071", F.cosine_similarity(a, b))
    stated("0.2929", F.cosine_embedding_loss(a, b, torch.tensor([1])))
    stated("0.7071", F.cosine_embedding_loss(a, b, torch.tensor([-1])))
    stated("0.2071", F.cosine_embedding_loss(a, b, torch.tensor([-1]), margin=0.5))


@check
def check_margins_work_in_opposite_directions():
    a, b, no = torch.randn(50, 4), torch.randn(50, 4), -torch.ones(50)
    cosine = [F.cosine_embedding_loss(a, b, no, margin=m).item() for m in (0.0, 0.25, 0.5)]
    distance = [F.hinge_embedding_loss(F.pairwise_distance(a, b), no, margin=m).item() for m in (1.0, 2.0, 3.0)]
    assert cosine[0] > cosine[1] > cosine[2] and distance[0] < distance[1] < distance[2]
    right_angle = F.cosine_embedding_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([-1]))
    assert right_angle == 0


@check
def check_random_pairs():
    labels = torch.arange(10).repeat_interleave(500)
    different = (labels[torch.randint(5000, (100_000,))] != labels[torch.randint(5000, (100_000,))]).float().mean()
    stated("90%", round(different.item(), 2))


@check
def check_zero_vector_gradient():
    z = torch.zeros(1, 2, requires_grad=True)
    F.cosine_embedding_loss(z, torch.ones(1, 2), torch.tensor([1])).backward()
    stated("−707,107", round(z.grad[0, 0].item()))
    assert F.cosine_embedding_loss(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([1])) == 1
    assert F.cosine_embedding_loss(torch.zeros(1, 2).half(), torch.ones(1, 2).half(), torch.tensor([1])).isnan()


@check
def check_shared_weights_add_their_gradients():
    layer = nn.Linear(3, 2)
    x1, x2 = torch.randn(4, 3), torch.randn(4, 3)
    t = torch.ones(4)
    F.cosine_embedding_loss(layer(x1), layer(x2), t).backward()
    both = layer.weight.grad.clone()
    parts = []
    for first, second in ((layer(x1), layer(x2).detach()), (layer(x1).detach(), layer(x2))):
        layer.zero_grad()
        F.cosine_embedding_loss(first, second, t).backward()
        parts.append(layer.weight.grad.clone())
    assert torch.allclose(both, parts[0] + parts[1], atol=1e-6)
