import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

EMBEDDING = r"h_t = \operatorname{LN}\left( E_{x_t} + P_t + S_{s_t} \right)"
MASKED_LOSS = r"\mathcal{L}_{\text{MLM}} = -\frac{1}{|M|} \sum_{t \in M} \log \operatorname{softmax}(z_t)_{x_t}"
PARAMETERS = r"N = (V + T + 2)\,d + 2d + n\,(4d^2 + 2df + 9d + f) + d^2 + d"

by_definition("Why two segment vectors?")
sourced(
    "BERT, arXiv 1810.04805, section 3 and appendix A",
    "Defaults",
    "BERT",
    "Why two segment vectors?",
    "Why are some chosen tokens left unmasked?",
)
sourced("google-research/bert: bert_config.json of the uncased models", "Defaults")
sourced(
    "GPT-2, T5 (arXiv 1910.10683), BART (arXiv 1910.13461): training objectives",
    "GPT",
    "encoder-decoder (T5, BART)",
)
sourced("Efficient Estimation of Word Representations in Vector Space, arXiv 1301.3781", "word2vec")
sourced("BERT has a Mouth, and It Must Speak, arXiv 1902.04094", "Can BERT write text?")


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
    for V, T, d, heads, f, n in [
        (30522, 512, 768, 12, 3072, 12),
        (30522, 512, 1024, 16, 4096, 24),
        (100, 20, 12, 3, 31, 2),
        (5, 3, 4, 1, 7, 1),
    ]:
        ours = (V + T + 2) * d + 2 * d + n * (4 * d * d + 2 * d * f + 9 * d + f) + d * d + d
        assert ours == parameters(V, T, d, heads, f, n)
    assert parameters(100, 20, 12, 1, 31, 2) == parameters(100, 20, 12, 3, 31, 2)


@holds("Parameters")
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


@holds("Input")
@pitfall('"index out of range in self" on long texts (CPU)')
def check_positions_end_at_512():
    model = Bert(20, 512, 8, 2, 16, 1)
    ids = torch.zeros(1, 513, dtype=torch.long)
    assert model(ids[:, :512], ids[:, :512])[0].shape == (1, 512, 8)
    raises(IndexError, lambda: model(ids, ids), "index out of range in self")
    start, end = torch.tensor([1]), torch.tensor([2])  # stand for [CLS] and [SEP]
    text = torch.randint(3, 20, (1200,))
    raises(IndexError, lambda: model(text[None], text[None] * 0))
    windows = [torch.cat([start, text[i : i + 510], end])[None] for i in range(0, 1200 - 255, 255)]
    covered = torch.cat([torch.arange(1200)[i : i + 510] for i in range(0, 1200 - 255, 255)]).unique()
    assert len(covered) == 1200 and max(w.shape[1] for w in windows) == 512
    pooled = torch.stack([model(w, w * 0)[1] for w in windows]).mean(0)
    assert pooled.shape == (1, 8) and model(text[None, :512], text[None, :512] * 0)[1].shape == (1, 8)


@pitfall("Padding changes the result")
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
    assert torch.allclose(real(ids, right), alone, atol=1e-5) and not torch.allclose(real(ids, wrong), alone, atol=1e-3)


@holds("Output", "Defaults", "Same in train and eval?")
def check_contract():
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, "gelu", 1e-12, batch_first=True)
    always = nn.TransformerEncoderLayer(8, 2, 16, 0.1, "gelu", 1e-12, batch_first=True)
    always.dropout.p = 1.0  # dropout of everything after the GELU: no feed-forward part left
    always.linear2.bias.data.fill_(0)
    assert torch.equal(always._ff_block(torch.randn(1, 3, 8)), torch.zeros(1, 3, 8))
    assert not layer.norm_first and layer.norm1.eps == 1e-12 and layer.dropout.p == 0.1 and layer.activation is F.gelu
    model = Bert(20, 16, 8, 2, 16, 2)
    ids = torch.randint(0, 20, (2, 6))
    assert not torch.equal(model(ids, ids * 0)[0], model(ids, ids * 0)[0])
    model.eval()
    assert torch.equal(model(ids, ids * 0)[0], model(ids, ids * 0)[0])
    with torch.device("meta"):
        ids = torch.zeros(2, 6, dtype=torch.long)
        assert [tuple(t.shape) for t in Bert(30522, 512, 768, 12, 3072, 1)(ids, ids)] == [(2, 6, 768), (2, 768)]


@holds("Operations in $L$")
def check_operations_by_length():
    """From L to 2L: what more than doubles is exactly that of the two products with the weights of attention."""
    d, layer = 16, nn.TransformerEncoderLayer(16, 2, 64, batch_first=True)

    def operations(part, L):
        x = torch.randn(1, L, d)
        with FlopCounterMode(display=False) as counter:
            layer.self_attn(x, x, x) if part == "attention" else layer.linear2(layer.linear1(x))
        return counter.get_total_flops()

    for L in (8, 32):
        assert operations("attention", 2 * L) - 2 * operations("attention", L) == 8 * L * L * d
        assert operations("rest", 2 * L) == 2 * operations("rest", L)


@holds("BERT", "GPT", "encoder-decoder (T5, BART)", "word2vec")
def check_what_each_sees():
    """Which input tokens change an output at place 3 of 7, by gradients."""
    x, target = torch.randn(1, 7, 8, requires_grad=True), torch.randn(1, 7, 8, requires_grad=True)
    reach = lambda out, source: (
        torch.autograd.grad(out[0, 3].pow(3).sum(), source, retain_graph=True)[0][0].abs().sum(1) > 0
    ).tolist()
    left = nn.Transformer.generate_square_subsequent_mask(7)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    both = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    assert all(reach(encoder(x), x)) and reach(encoder(x, src_mask=left), x) == [True] * 4 + [False] * 3
    out = both(x, target, tgt_mask=left)
    assert all(reach(out, x)) and reach(out, target) == [True] * 4 + [False] * 3
    table, ids = nn.Embedding(9, 8), torch.tensor([[1, 4, 2], [3, 4, 5]])
    assert torch.equal(table(ids)[0, 1], table(ids)[1, 1])  # the same vector in any neighbourhood


@holds("How many positions give a loss in one pass?")
@pitfall('"15% of the tokens are replaced by [MASK]"')
def check_shares_of_masked_tokens():
    """The short form masks 15% of all tokens; the rule within the chosen ones masks 12% and keeps 15% in the loss."""
    ids = torch.randint(1000, 30522, (400, 512))
    chosen, dice = torch.rand(ids.shape) < 0.15, torch.rand(ids.shape)
    short = torch.where(chosen, 103, ids)
    masked = torch.where(chosen & (dice < 0.8), 103, ids)
    masked = torch.where(chosen & (dice > 0.9), torch.randint(1000, 30522, ids.shape), masked)
    share = lambda where: where.float().mean().item()
    assert abs(share(short == 103) - 0.15) < 0.005 and abs(share(masked == 103) - 0.12) < 0.005
    assert abs(share(masked[chosen] == ids[chosen]) - 0.1) < 0.01 and torch.equal(masked[~chosen], ids[~chosen])
    padded = ids[:, :8].clone()
    padded[:, 0], padded[:, 5], padded[:, 6:] = 101, 102, 0  # [CLS], [SEP], [PAD]
    ignored = (padded == 101) | (padded == 102) | (padded == 0)
    kept = [
        set(torch.where(rows, padded, -100)[ignored].tolist()) for rows in (chosen[:, :8], chosen[:, :8] & ~ignored)
    ]
    assert kept == [{-100, 0, 101, 102}, {-100}]
    raises(RuntimeError, lambda: torch.where(chosen[:, :8] & ~ignored.long(), padded, -100), "boolean")
    labels, z = torch.where(chosen, ids, -100)[:1, :64], torch.randn(1, 64, 30522)
    terms = F.cross_entropy(z.transpose(1, 2), labels, reduction="none")
    assert torch.equal(terms != 0, chosen[:1, :64])
    assert F.cross_entropy(z[:, :-1].transpose(1, 2), ids[:1, 1:64], reduction="none").count_nonzero() == 64 - 1


def marked_texts(n):
    """Texts after [CLS] (0) in two halves: words 1 to 32 of four topics, each half opened by a mark (33 or 34)."""
    topic = torch.randint(0, 4, (n, 1))
    own, foreign = 1 + topic * 8 + torch.randint(0, 8, (n, 8)), torch.randint(1, 33, (n, 8))
    words = torch.where(torch.rand(n, 8) < 0.3, foreign, own)
    a, b = torch.randint(0, 2, (2, n, 1))
    return torch.cat([torch.zeros_like(a), 33 + a, words[:, :4], 33 + b, words[:, 4:]], 1), (a == b).long(), topic


@pitfall("Raw `[CLS]` vectors compare sentences badly")
def check_raw_first_vectors():
    """A tiny encoder whose [CLS] learnt one question on two halves, as in NSP; the published weights are not run."""
    token, position, head = nn.Embedding(35, 32), nn.Embedding(11, 32), nn.Linear(32, 2)
    layer = nn.TransformerEncoderLayer(32, 2, 64, 0.0, batch_first=True, norm_first=True)
    weights = [p for part in (token, position, head, layer) for p in part.parameters()]
    states = lambda ids: layer(token(ids) + position.weight)
    first, mean = lambda ids: states(ids)[:, 0], lambda ids: states(ids).mean(1)

    def same_topic(vectors):
        """The share of texts whose nearest text by cosine has the same topic."""
        ids, _, topic = marked_texts(600)
        z = F.normalize(vectors(ids).detach(), dim=1)
        return (topic[(z @ z.T).fill_diagonal_(-2).argmax(1)] == topic).float().mean().item()

    optimizer, loss = torch.optim.Adam(weights, 3e-3), torch.tensor(1.0)
    while loss > 0.1:
        ids, answer, _ = marked_texts(64)
        optimizer.zero_grad()
        loss = F.cross_entropy(head(first(ids)), answer.flatten())
        loss.backward()
        optimizer.step()
    assert same_topic(first) < 0.75 and same_topic(lambda ids: token(ids).mean(1)) > 0.88
    optimizer = torch.optim.Adam(weights, 1e-2)
    for _ in range(100):
        ids, _, topic = marked_texts(64)
        z, itself = F.normalize(mean(ids), dim=1), torch.eye(64, dtype=torch.bool)
        alike = ((topic == topic.T) & ~itself).float()
        scores = (z @ z.T / 0.2).masked_fill(itself, -1e9).log_softmax(1)
        optimizer.zero_grad()
        (-(scores * alike).sum(1) / alike.sum(1).clamp(min=1)).mean().backward()
        optimizer.step()
    assert same_topic(mean) > 0.95  # fine-tuned for similarity, as in Sentence-BERT
