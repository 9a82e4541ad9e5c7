import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, stated

EMBEDDING = r"""
t_j = E_{w_j} + P_j + s_{\mathrm{text}}, \qquad v_r = W_f f_r + W_b b_r + s_{\mathrm{image}}
"""
STREAMS = r"""
Z = \left[ t_1; \dots; t_L; v_1; \dots; v_R \right], \qquad
C_t = \mathrm{softmax}\left( \frac{Q_t K_v^\top}{\sqrt{d}} \right) V_v
"""
PAIRS = r"(L + R)^2 = L^2 + R^2 + 2LR"
LOSS = r"""
\mathcal{L} = -\frac{1}{|M|} \sum_{j \in M} \ln p\left( w_j \mid w_{\setminus M}, v \right) - \left( y \ln p + (1 - y) \ln(1 - p) \right)
"""


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@formula(EMBEDDING)
def check_embeddings():
    word, position, kind = nn.Embedding(20, 8), nn.Embedding(12, 8), nn.Embedding(2, 8)
    region, box = nn.Linear(5, 8, bias=False), nn.Linear(4, 8, bias=False)
    ids, f, b = torch.randint(0, 20, (7,)), torch.randn(3, 5), torch.rand(3, 4)
    text = (word(ids) + position(torch.arange(7)) + kind(torch.zeros(7, dtype=torch.long))).detach().numpy()
    image = (region(f) + box(b) + kind(torch.ones(3, dtype=torch.long))).detach().numpy()
    E, P, s = (m.weight.detach().numpy() for m in (word, position, kind))
    for j in range(7):
        np.testing.assert_allclose(E[ids[j]] + P[j] + s[0], text[j], rtol=1e-5, atol=1e-6)
    for r in range(3):
        ours = region.weight.detach().numpy() @ f[r].numpy() + box.weight.detach().numpy() @ b[r].numpy() + s[1]
        np.testing.assert_allclose(ours, image[r], rtol=1e-4, atol=1e-5)


@formula(STREAMS)
def check_cross_attention_and_concatenation():
    for L, R, d in ((3, 5, 4), (6, 1, 8)):
        t, v = torch.randn(1, L, d, dtype=torch.float64), torch.randn(1, R, d, dtype=torch.float64)
        attention = nn.MultiheadAttention(d, 1, bias=False, batch_first=True, dtype=torch.float64)
        Wq, Wk, Wv = np.split(attention.in_proj_weight.detach().numpy(), 3)
        q, k, value = t[0].numpy() @ Wq.T, v[0].numpy() @ Wk.T, v[0].numpy() @ Wv.T
        ours = softmax(q @ k.T / math.sqrt(d)) @ value @ attention.out_proj.weight.detach().numpy().T
        np.testing.assert_allclose(ours, attention(t, v, v)[0][0].detach().numpy(), rtol=1e-8, atol=1e-10)
        Z = torch.cat([t, v], dim=1)
        assert Z.shape == (1, L + R, d) and torch.equal(Z[:, L:], v)


@formula(PAIRS)
def check_pairs():
    for L, R in ((40, 241), (7, 36)):
        one = nn.MultiheadAttention(4, 1, batch_first=True)
        size = lambda a, b: one(torch.randn(1, a, 4), torch.randn(1, b, 4), torch.randn(1, b, 4))[1].numel()
        assert size(L + R, L + R) == size(L, L) + size(R, R) + size(L, R) + size(R, L) == L**2 + R**2 + 2 * L * R
    stated("78,961", 281**2)
    stated("59,681", 40**2 + 241**2)
    stated("19,280", 2 * 40 * 241)


@formula(LOSS)
def check_pretraining_loss():
    for y in (0.0, 1.0):
        logits, ids = torch.randn(9, 30, dtype=torch.float64), torch.randint(0, 30, (9,))
        hidden = torch.tensor([1, 0, 0, 1, 0, 1, 0, 0, 0], dtype=torch.bool)
        match = torch.randn((), dtype=torch.float64)
        library = F.cross_entropy(logits, ids.masked_fill(~hidden, -100)) + F.binary_cross_entropy_with_logits(match, torch.tensor(y, dtype=torch.float64))
        q = softmax(logits.numpy())
        places = np.flatnonzero(hidden.numpy())
        p = 1 / (1 + math.exp(-match.item()))
        ours = -sum(math.log(q[j, ids[j]]) for j in places) / len(places) - (y * math.log(p) + (1 - y) * math.log(1 - p))
        np.testing.assert_allclose(ours, library.item(), rtol=1e-9)


@check
def check_by_hand():
    projection = nn.Conv2d(3, 768, 32, 32)
    stated("2,360,064", sum(p.numel() for p in projection.parameters()))
    patches = nn.Conv2d(3, 1, 32, 32)(torch.zeros(1, 3, 384, 640))
    stated("240", patches.numel())
    stated("281", patches.numel() + 1 + 40)
    corners = torch.tensor([160.0, 120, 480, 360]) / torch.tensor([640.0, 480, 640, 480])
    assert corners.tolist() == [0.25, 0.25, 0.75, 0.75]
    stated("5,000,000", 1000 * 5000)


@check
def check_mask_polarity():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    x = torch.randn(1, 4, 8)
    changed = x.clone()
    changed[:, 3] += 5
    keep = torch.tensor([[1, 1, 1, 0]])
    assert torch.allclose(layer(x, src_key_padding_mask=keep == 0)[:, :3], layer(changed, src_key_padding_mask=keep == 0)[:, :3], atol=1e-6)
    wrong = keep == 1
    assert not torch.allclose(layer(x, src_key_padding_mask=wrong)[:, 0], layer(changed, src_key_padding_mask=wrong)[:, 0], atol=1e-3)
