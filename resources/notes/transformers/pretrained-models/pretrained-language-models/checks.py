import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, stated

F0 = r"""
\mathcal{L} = -\frac{1}{L - 1} \sum_{t=2}^{L} \ln p(x_t \mid x_1, \dots, x_{t-1}), \qquad \mathrm{PPL} = e^{\mathcal{L}}
"""
F1 = r"""
e_t = \gamma \sum_{j=0}^{n} s_j \, h_{t,j}
"""
F2 = r"""
N = (V + T)\,d + n\,(12 d^2 + 13 d) + 2d
"""


class GPT2(nn.Module):
    """The model of the article."""

    def __init__(self, vocab, positions, d, heads, layers):
        super().__init__()
        self.token, self.position = nn.Embedding(vocab, d), nn.Embedding(positions, d)
        layer = nn.TransformerEncoderLayer(d, heads, 4 * d, 0.1, nn.GELU("tanh"), batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(d), enable_nested_tensor=False)

    def forward(self, ids):
        h = self.token(ids) + self.position(torch.arange(ids.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1], dtype=h.dtype)
        return self.blocks(h, mask=mask, is_causal=True) @ self.token.weight.T


def parameters(*sizes):
    with torch.device("meta"):
        return sum(p.numel() for p in GPT2(*sizes).parameters())


@formula(F0)
def check_causal_loss():
    """Each factor from a pass over the prefix alone equals the shifted loss of one pass over the whole text."""
    for vocab, L in [(9, 6), (5, 2), (20, 11)]:
        model = GPT2(vocab, 16, 8, 2, 2).double().eval()
        ids = torch.randint(0, vocab, (1, L))
        library = F.cross_entropy(model(ids)[0, :-1], ids[0, 1:]).item()
        terms = []
        for t in range(1, L):
            scores = model(ids[:, :t])[0, -1].detach().numpy()
            terms.append(scores[ids[0, t]] - np.log(np.exp(scores).sum()))
        ours = -sum(terms) / (L - 1)
        assert math.isclose(ours, library, rel_tol=1e-9)
        assert math.isclose(math.exp(ours), np.prod(np.exp(terms)) ** (-1 / (L - 1)), rel_tol=1e-9)


# verified: formula-only
@formula(F1)
def check_mixture():
    for n, L, d in [(2, 5, 4), (1, 1, 3)]:
        h, w, gamma = torch.randn(n + 1, L, d).double(), torch.randn(n + 1).double(), 1.7
        library = gamma * torch.einsum("j,jld->ld", w.softmax(0), h)
        s = np.exp(w.numpy()) / np.exp(w.numpy()).sum()
        ours = np.array([gamma * sum(s[j] * h[j, t].numpy() for j in range(n + 1)) for t in range(L)])
        np.testing.assert_allclose(ours, library.numpy(), atol=1e-12)


@formula(F2)
def check_parameters():
    for V, T, d, heads, n in [(50257, 1024, 768, 12, 12), (50257, 1024, 1024, 16, 24), (11, 7, 6, 3, 2), (3, 2, 2, 1, 1)]:
        assert (V + T) * d + n * (12 * d * d + 13 * d) + 2 * d == parameters(V, T, d, heads, n)


@check
def check_numbers():
    small = parameters(50257, 1024, 768, 12, 12)
    stated("124,439,808", small)
    stated("163,037,184", small + 50257 * 768)
    stated("39,383,808", 51281 * 768)
    stated("51,281", 50257 + 1024)
    with torch.device("meta"):
        model = GPT2(50257, 1024, 768, 12, 12)
    stated("7,087,872", sum(p.numel() for p in model.blocks.layers[0].parameters()))
    stated("85,054,464", sum(p.numel() for p in model.blocks.layers.parameters()))
    stated("1,536", sum(p.numel() for p in model.blocks.norm.parameters()))
    stated("109,482,240", (30522 + 514) * 768 + 2 * 768 + 85054464 + 768 * 768 + 768)
    loss = -np.mean(np.log([1 / 2, 1 / 4, 1 / 8]))
    stated("1.3863", loss)
    assert math.isclose(math.exp(loss), 4)


@check
def check_shared_tensors_are_listed_once():
    layer = nn.Linear(4, 9, bias=False)
    table = nn.Embedding(9, 4)
    pair = nn.ModuleList([table, layer])
    assert sum(p.numel() for p in pair.parameters()) == 72
    layer.weight = table.weight
    assert sum(p.numel() for p in pair.parameters()) == 36


@check
def check_right_padding_moves_the_last_position():
    model = GPT2(20, 16, 8, 2, 2).double().eval()
    prompt = torch.randint(1, 20, (1, 5))
    padded = F.pad(prompt, (0, 3))
    assert not torch.allclose(model(padded)[:, -1], model(prompt)[:, -1])
    assert torch.allclose(model(padded)[:, 4], model(prompt)[:, -1])
