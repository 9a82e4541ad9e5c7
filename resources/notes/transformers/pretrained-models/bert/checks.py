import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, raises, stated

EMBEDDING = r"h_t = \operatorname{LN}\left( E_{x_t} + P_t + S_{s_t} \right)"
MASKED_LOSS = r"\mathcal{L}_{\text{MLM}} = -\frac{1}{|M|} \sum_{t \in M} \log \operatorname{softmax}(z_t)_{x_t}"
PARAMETERS = r"N = (V + T + 2)\,d + 2d + n\,(4d^2 + 2df + 9d + f) + d^2 + d"


class Bert(nn.Module):
    """The encoder of the article, with every size open."""

    def __init__(self, V, T, d, heads, f, n):
        super().__init__()
        self.token, self.position, self.segment = nn.Embedding(V, d), nn.Embedding(T, d), nn.Embedding(2, d)
        self.norm, self.pooler = nn.LayerNorm(d, eps=1e-12), nn.Linear(d, d)
        layer = nn.TransformerEncoderLayer(d, heads, f, 0.1, "gelu", 1e-12, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, n, enable_nested_tensor=False)

    def embed(self, ids, segments):
        return self.norm(self.token(ids) + self.position(torch.arange(ids.shape[1])) + self.segment(segments))

    def forward(self, ids, segments, padding=None):
        h = self.encoder(self.embed(ids, segments), src_key_padding_mask=padding)
        return h, self.pooler(h[:, 0]).tanh()


def parameters(*sizes):
    with torch.device("meta"):
        return sum(p.numel() for p in Bert(*sizes).parameters())


@formula(EMBEDDING)
def check_embedding():
    for V, T, d, L in [(50, 12, 8, 12), (7, 5, 4, 1), (30, 9, 16, 5)]:
        model = Bert(V, T, d, 2, 2 * d, 1).double()
        nn.init.normal_(model.norm.weight)
        nn.init.normal_(model.norm.bias)
        ids, segments = torch.randint(0, V, (3, L)), torch.randint(0, 2, (3, L))
        E, P, S = (table.weight.detach().numpy() for table in (model.token, model.position, model.segment))
        total = E[ids.numpy()] + P[np.arange(L)] + S[segments.numpy()]
        centred = total - total.mean(-1, keepdims=True)
        ours = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        ours = ours * model.norm.weight.detach().numpy() + model.norm.bias.detach().numpy()
        np.testing.assert_allclose(ours, model.embed(ids, segments).detach().numpy(), atol=1e-9)


@formula(MASKED_LOSS)
def check_masked_loss():
    for N, L, V in [(2, 9, 11), (1, 1, 3), (4, 6, 50)]:
        z, x = torch.randn(N, L, V, dtype=torch.float64) * 3, torch.randint(0, V, (N, L))
        chosen = torch.rand(N, L) < 0.3
        chosen[0, 0] = True
        library = F.cross_entropy(z.flatten(0, 1), torch.where(chosen, x, -100).flatten())
        scores = z.numpy()
        log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        terms = [log_p[i, t, x[i, t]] for i in range(N) for t in range(L) if chosen[i, t]]
        np.testing.assert_allclose(-sum(terms) / len(terms), library.item(), rtol=1e-10)


@formula(PARAMETERS)
def check_parameters():
    for V, T, d, heads, f, n in [(30522, 512, 768, 12, 3072, 12), (30522, 512, 1024, 16, 4096, 24), (100, 20, 12, 3, 31, 2), (5, 3, 4, 1, 7, 1)]:
        ours = (V + T + 2) * d + 2 * d + n * (4 * d * d + 2 * d * f + 9 * d + f) + d * d + d
        assert ours == parameters(V, T, d, heads, f, n)
    assert parameters(100, 20, 12, 1, 31, 2) == parameters(100, 20, 12, 3, 31, 2)


@check
def check_numbers():
    stated("109,482,240", parameters(30522, 512, 768, 12, 3072, 12))
    stated("335,141,888", parameters(30522, 512, 1024, 16, 4096, 24))
    with torch.device("meta"):
        model = Bert(30522, 512, 768, 12, 3072, 12)
    count = lambda *modules: sum(p.numel() for m in modules for p in m.parameters())
    stated("23,837,184", count(model.token, model.position, model.segment, model.norm))
    stated("31,036", 30522 + 512 + 2)
    stated("7,087,872", count(model.encoder.layers[0]))
    stated("85,054,464", count(model.encoder))
    stated("590,592", count(model.pooler))
    stated("30", 0.15 * 200)
    stated("24", 0.8 * 30)
    assert round(0.1 * 30) == 3
    stated("12%", 0.15 * 0.8)
    stated("510", 512 - 2)


@check
def check_positions_end_at_512():
    model = Bert(20, 512, 8, 2, 16, 1)
    ids = torch.zeros(1, 513, dtype=torch.long)
    assert model(ids[:, :512], ids[:, :512])[0].shape == (1, 512, 8)
    raises(IndexError, lambda: model(ids, ids), "index out of range in self")


@check
def check_mask_polarity():
    model = Bert(20, 16, 8, 2, 16, 2).eval()
    ids, attention_mask = torch.randint(0, 20, (1, 6)), torch.tensor([[1, 1, 1, 1, 0, 0]])
    other = ids.clone()
    other[:, 4:] = (other[:, 4:] + 7) % 20
    segments = torch.zeros_like(ids)
    real = lambda tokens, padding: model(tokens, segments, padding)[0][:, :4]
    right, wrong = attention_mask == 0, attention_mask == 1
    assert torch.allclose(real(ids, right), real(other, right), atol=1e-6)
    assert not torch.allclose(real(ids, wrong), real(other, wrong), atol=1e-3)
    alone = model(ids[:, :4], segments[:, :4])[0]
    assert torch.allclose(real(ids, right), alone, atol=1e-5)


@check
def check_contract():
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, "gelu", 1e-12, batch_first=True)
    always = nn.TransformerEncoderLayer(8, 2, 16, 0.1, "gelu", 1e-12, batch_first=True)
    always.dropout.p = 1.0                                          # dropout of everything after the GELU: no feed-forward part left
    always.linear2.bias.data.fill_(0)
    assert torch.equal(always._ff_block(torch.randn(1, 3, 8)), torch.zeros(1, 3, 8))
    assert not layer.norm_first and layer.norm1.eps == 1e-12 and layer.dropout.p == 0.1 and layer.activation is F.gelu
    model = Bert(20, 16, 8, 2, 16, 2)
    ids = torch.randint(0, 20, (2, 6))
    assert not torch.equal(model(ids, ids * 0)[0], model(ids, ids * 0)[0])
    model.eval()
    assert torch.equal(model(ids, ids * 0)[0], model(ids, ids * 0)[0])
