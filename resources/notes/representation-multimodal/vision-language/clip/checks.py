import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, stated

LOGITS = r"\ell_{ij} = e^{t}\, \frac{u_i^\top v_j}{\lVert u_i \rVert\, \lVert v_j \rVert}"
LOSS = r"""
L = -\frac{1}{2N} \sum_{i=1}^{N} \left( \ln \frac{e^{\ell_{ii}}}{\sum_{j} e^{\ell_{ij}}} + \ln \frac{e^{\ell_{ii}}}{\sum_{j} e^{\ell_{ji}}} \right)
"""
ENSEMBLE = r"""
w_c = \frac{m_c}{\lVert m_c \rVert}, \qquad m_c = \frac{1}{K} \sum_{k=1}^{K} \frac{v_{ck}}{\lVert v_{ck} \rVert}
"""


def scaled(u, v, t):
    """The first formula, entry by entry, in NumPy."""
    return np.array([[math.exp(t) * float(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) for b in v] for a in u])


@formula(LOGITS, LOSS)
def check_logits_and_loss():
    for n, d in ((1, 4), (2, 3), (9, 16)):
        for t in (0.0, math.log(1 / 0.07), math.log(100)):
            u, v = torch.randn(n, d, dtype=torch.float64), torch.randn(n, d, dtype=torch.float64)
            logits = math.exp(t) * F.cosine_similarity(u[:, None], v[None], dim=2)
            ours = scaled(u.numpy(), v.numpy(), t)
            np.testing.assert_allclose(ours, logits.numpy(), rtol=1e-9, atol=1e-9)
            e = np.exp(ours - ours.max())
            total = sum(math.log(e[i, i] / e[i].sum()) + math.log(e[i, i] / e[:, i].sum()) for i in range(n))
            target = torch.arange(n)
            library = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
            np.testing.assert_allclose(-total / (2 * n), library.item(), rtol=1e-8, atol=1e-9)


@formula(ENSEMBLE)
def check_ensemble():
    v = torch.randn(4, 7, 5, dtype=torch.float64) * 3
    library = F.normalize(F.normalize(v, dim=2).mean(1), dim=1).numpy()
    for c in range(4):
        m = sum(v[c, k].numpy() / np.linalg.norm(v[c, k].numpy()) for k in range(7)) / 7
        np.testing.assert_allclose(m, F.normalize(v[c], dim=1).mean(0).numpy(), rtol=1e-9)
        np.testing.assert_allclose(m / np.linalg.norm(m), library[c], rtol=1e-9)
    u = torch.randn(50, 5, dtype=torch.float64)
    assert torch.equal((u @ torch.tensor(library).T).argmax(1), (100 * F.normalize(u, dim=1) @ torch.tensor(library).T).softmax(1).argmax(1))


@check
def check_by_hand():
    cosines = torch.tensor([0.28, 0.25, 0.20], dtype=torch.float64)
    for text, value in zip(("0.9523", "0.0474", "0.0003"), (100 * cosines).softmax(0)):
        stated(text, value)
    stated("14.2857", 1 / 0.07)
    stated("2.6593", math.log(1 / 0.07))
    stated("0.5075", (cosines / 0.07).softmax(0)[0])
    stated("0.3456", cosines.softmax(0)[0])
    logits = 10 * torch.tensor([[0.3, 0.1], [0.25, 0.2]], dtype=torch.float64)
    rows = F.cross_entropy(logits, torch.arange(2), reduction="none")
    columns = F.cross_entropy(logits.T, torch.arange(2), reduction="none")
    for text, value in zip(("0.1269", "0.9741", "0.4741", "0.3133"), (*rows, *columns)):
        stated(text, value)
    stated("1.8883", rows.sum() + columns.sum())
    stated("0.4721", (rows.mean() + columns.mean()) / 2)


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@check
def check_parameters_of_vit_b_32():
    layer = lambda width: nn.TransformerEncoderLayer(width, 8, 4 * width)
    conv, norm = nn.Conv2d(3, 768, 32, 32, bias=False), nn.LayerNorm(768)
    image = count(conv, norm, norm, nn.Linear(768, 512, bias=False)) + 768 + 50 * 768 + 12 * count(layer(768))
    text = count(nn.Embedding(49408, 512), nn.LayerNorm(512), nn.Linear(512, 512, bias=False)) + 77 * 512 + 12 * count(layer(512))
    stated("87,849,216", image)
    stated("63,428,096", text)
    stated("151,277,313", image + text + 1)


@check
def check_rows_alone_do_not_punish_an_attractive_image():
    logits = torch.zeros(3, 3)
    logits[0] += 20.0  # image 0 is near every text
    target = torch.arange(3)
    rows, columns = F.cross_entropy(logits, target), F.cross_entropy(logits.T, target)
    assert math.isclose(rows.item(), math.log(3), rel_tol=1e-6) and columns.item() > 10
