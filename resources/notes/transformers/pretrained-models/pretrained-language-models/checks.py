import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, sourced, stated

F0 = r"""
\mathcal{L} = -\frac{1}{L - 1} \sum_{t=2}^{L} \ln p(x_t \mid x_1, \dots, x_{t-1}), \qquad \mathrm{PPL} = e^{\mathcal{L}}
"""
F1 = r"""
e_t = \gamma \sum_{j=0}^{n} s_j \, h_{t,j}
"""
F2 = r"""
P = (V + T)\,d + n\,(12 d^2 + 13 d) + 2d
"""

by_definition("Feature extraction or fine-tuning?")
sourced("Efficient Estimation of Word Representations in Vector Space, arXiv 1301.3781", "word2vec")
sourced("ELMo, arXiv 1802.05365, section 3", "ELMo")
sourced("GPT, GPT-2 and GPT-3 (arXiv 2005.14165): abstracts and models", "GPT", "GPT-2 small")
sourced("BERT, arXiv 1810.04805: fine-tuning, and the feature-based approach of section 5.3", "BERT")
sourced("T5, arXiv 1910.10683, abstract and unsupervised objective", "T5")


class GPT2(nn.Module):
    """The model of the article."""

    def __init__(self, vocab, positions, d, heads, layers):
        super().__init__()
        self.token, self.position = nn.Embedding(vocab, d), nn.Embedding(positions, d)
        layer = nn.TransformerEncoderLayer(d, heads, 4 * d, 0.1, nn.GELU("tanh"), batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(d), enable_nested_tensor=False)

    def forward(self, ids, padding=None, itself=False):
        """`padding` is True at tokens to ignore; positions then count the real tokens only."""
        places = torch.arange(ids.shape[1]) if padding is None else ((~padding).cumsum(1) - 1).clamp(min=0)
        h = self.token(ids) + self.position(places)
        future = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1)
        if itself:  # one mask, in which each position sees itself
            future = (future | padding[:, None]) & ~torch.eye(ids.shape[1], dtype=torch.bool)
            future, padding = future.repeat_interleave(self.blocks.layers[0].self_attn.num_heads, 0), None
        return self.blocks(h, mask=future, src_key_padding_mask=padding) @ self.token.weight.T


def parameters(*sizes):
    with torch.device("meta"):
        return sum(p.numel() for p in GPT2(*sizes).parameters())


@holds("What does the causal mask give besides the loss?")
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
        # the added token changes nothing before it
        assert torch.allclose(model(ids)[:, : L - 1], model(ids[:, : L - 1]), atol=1e-12)
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
    for V, T, d, heads, n in [
        (50257, 1024, 768, 12, 12),
        (50257, 1024, 1024, 16, 24),
        (11, 7, 6, 3, 2),
        (3, 2, 2, 1, 1),
    ]:
        assert (V + T) * d + n * (12 * d * d + 13 * d) + 2 * d == parameters(V, T, d, heads, n)


@holds("Parameters", "GPT-2 small")
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


@holds("Input → output", "Same in train and eval?", "How does a contextual vector differ from a word vector?")
def check_contract():
    model, ids = GPT2(11, 8, 16, 2, 2), torch.tensor([[1, 4, 2], [3, 4, 2]])
    assert model(ids).shape == model(ids.int()).shape == (2, 3, 11)
    raises(RuntimeError, lambda: F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids.int()[:, 1:].flatten()), "Long")
    assert not torch.allclose(model(ids), model(ids)) and torch.equal(model.eval()(ids), model(ids))
    assert torch.equal(model.token(ids)[0, 1], model.token(ids)[1, 1])  # token 4 in the table
    assert not torch.allclose(model(ids)[0, 1], model(ids)[1, 1], atol=1e-3)  # token 4 after 1 and after 3


@check
def check_words_that_four_texts_do_not_hold():
    figure = figure_of(__file__)
    unseen = [(~torch.isin(figure.texts(200)[0], figure.texts(4)[0])).float().mean().item() for _ in range(20)]
    assert min(unseen) > 0.6


@pitfall("GPT-2 small: 117M, 124M or 163M parameters?")
def check_shared_tensors_are_listed_once():
    layer = nn.Linear(4, 9, bias=False)
    table = nn.Embedding(9, 4)
    pair = nn.ModuleList([table, layer])
    assert sum(p.numel() for p in pair.parameters()) == 72
    layer.weight = table.weight
    assert sum(p.numel() for p in pair.parameters()) == 36
    with torch.device("meta"):
        model = GPT2(50257, 1024, 768, 12, 12)
        model.output = nn.Linear(768, 50257, bias=False)
    model.output.weight = model.token.weight
    stated("163,037,184", sum(t.numel() for t in model.state_dict().values()))  # lists the shared tensor twice
    stated("124,439,808", sum(p.numel() for p in model.parameters()))


def counting(shifts):
    """A small model that learnt to count: token t is followed by t + 1, in a circle from 1 to 10; 0 is padding."""
    model = GPT2(11, 12, 16, 2, 1)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(100):
        ids = (torch.randint(0, 10, (64, 1)) + torch.arange(12)) % 10 + 1
        logits, labels = model(ids), ids
        for _ in range(shifts):
            logits, labels = logits[:, :-1], labels[:, 1:]
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()
        optimizer.step()
    return model.eval()


@pitfall("Batched generation continues some prompts with nonsense")
def check_padding_side_in_generation():
    model, full = counting(1), (torch.arange(10)[:, None] + torch.arange(6)) % 10 + 1
    wanted = full[:, 5] % 10 + 1
    long, short = full, full[:, 3:]
    assert (model(long)[:, -1].argmax(-1) == wanted).all()
    right, left = F.pad(short, (0, 3)), F.pad(short, (3, 0))
    assert (model(right)[:, -1].argmax(-1) == wanted).float().mean() < 0.5  # read after padding
    assert (model(right)[:, 2].argmax(-1) == wanted).all()  # at the last real token
    assert (model(left, left == 0)[:, -1].argmax(-1) == wanted).all()  # mask and matching positions
    alone = model(short)[:, -1]
    assert torch.allclose(model(left, left == 0)[:, -1], alone, atol=1e-4)
    assert torch.allclose(model(right)[:, 2], alone, atol=1e-4)
    assert torch.allclose(model(left, left == 0, True)[:, -1], alone, atol=1e-4)
    with torch.no_grad():  # a padded query without a key
        assert model(left, left == 0)[:, 0].isnan().any() and not model(left, left == 0, True).isnan().any()
        assert torch.allclose(model(left, left == 0, True)[:, -1], model(short)[:, -1], atol=1e-4)
    rows, lengths = torch.arange(2), torch.tensor([3, 6])
    prompts = torch.stack([right[0], long[0]])
    new_tokens = model(prompts)[rows, lengths - 1].argmax(-1)
    raises(IndexError, lambda: prompts.index_put_((rows, lengths), new_tokens))  # the longest one has no padding
    roomy = F.pad(prompts, (0, 1)).index_put_((rows, lengths), new_tokens)
    assert roomy[rows, lengths].tolist() == wanted[:1].repeat(2).tolist()
    second, new = torch.cat([short, wanted[:, None]], 1), wanted[:, None]
    in_place, appended = torch.cat([short, new, right[:, 4:]], 1), torch.cat([right, new], 1)
    assert torch.allclose(model(in_place)[:, 3], model(second)[:, -1], atol=1e-4)
    assert not torch.allclose(model(appended)[:, -1], model(second)[:, -1], atol=1e-2)


@pitfall("The labels are shifted twice")
def check_double_shift():
    """The library's model is not run: the second shift is the one it would make on labels that were shifted before."""
    ids = (torch.arange(10)[:, None] + torch.arange(6)) % 10 + 1
    last = ids[:, -1]
    assert (counting(2)(ids)[:, -1].argmax(-1) == (last + 1) % 10 + 1).all()
    assert (counting(1)(ids)[:, -1].argmax(-1) == last % 10 + 1).all()
    input_ids = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 0]])
    attention_mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    z, y = torch.randn(2, 5, 11), input_ids.masked_fill(attention_mask == 0, -100)
    assert y.tolist() == [[1, 2, 3, -100, -100], [4, 5, 6, 7, -100]] and (input_ids >= 0).all()  # a copy: ids stay
    kept = y[:, 1:] != -100
    mean = F.cross_entropy(z[:, :-1][kept], y[:, 1:][kept])
    assert torch.isclose(F.cross_entropy(z[:, :-1].flatten(0, 1), y[:, 1:].flatten()), mean)


@pitfall("Perplexities of two models contradict their quality")
def check_perplexity_per_token():
    """Words are random pairs of four letters: the exact model of words against a worse model of letters."""
    letters = torch.randint(0, 4, (500, 2))
    words = letters[:, 0] * 4 + letters[:, 1]
    exact = F.cross_entropy(torch.zeros(500, 16), words)  # knows that all 16 words are equally likely
    worse = F.cross_entropy(torch.tensor([0.6, 0, 0, 0]).expand(1000, 4), letters.flatten())
    assert worse.exp() < exact.exp() / 3  # the worse model has the lower perplexity
    bits = lambda loss, tokens: loss.item() * tokens / math.log(2) / letters.numel()
    assert math.isclose(bits(exact, 500), 2, rel_tol=1e-6) and bits(worse, 1000) > 2.01
    same = F.cross_entropy(torch.zeros(1000, 4), letters.flatten())
    assert same.exp() < worse.exp()  # same tokens: perplexity ranks rightly


@pitfall('"ELMo is bidirectional like BERT"')
def check_which_inputs_reach_a_layer():
    x = torch.randn(1, 7, 8, requires_grad=True)
    reached = lambda h: torch.autograd.grad(h[0, 3].pow(3).sum(), x, retain_graph=True)[0][0].abs().sum(1) > 0
    forward, backward = nn.LSTM(8, 8, 2, batch_first=True), nn.LSTM(8, 8, 2, batch_first=True)
    past, future = forward(x)[0], backward(x.flip(1))[0].flip(1)
    assert reached(past).tolist() == [True] * 4 + [False] * 3 and reached(future).tolist() == [False] * 3 + [True] * 4
    assert reached(torch.cat([past, future], -1)).all()  # joined afterwards
    assert reached(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)(x)).all()
