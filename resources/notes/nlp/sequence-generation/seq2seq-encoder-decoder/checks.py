import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

F0 = r"""
\log p(y \mid x) = \sum_{t=1}^{T} \log p(y_t \mid y_{<t}, x)
"""
F1 = r"""
h_i = f(E_{x_i}, h_{i-1}), \quad s_0 = h_S, \qquad s_t = g(E_{y_{t-1}}, s_{t-1}), \quad z_t = W s_t + b
"""

by_definition(
    "Same in training and generation?",
    "RNN, one vector",
    "RNN with attention",
    "Transformer encoder-decoder",
    "CRF tagger",
)
sourced(
    "Sutskever, Vinyals, Le, Sequence to Sequence Learning with Neural Networks, arXiv 1409.3215, section 3.3",
    "Why did Sutskever et al. reverse the source?",
)


class Seq2Seq(nn.Module):
    def __init__(self, vocab, d):
        super().__init__()
        self.embed, self.head = nn.Embedding(vocab, d), nn.Linear(d, vocab)
        self.encoder, self.decoder = nn.GRU(d, d, batch_first=True), nn.GRU(d, d, batch_first=True)

    def forward(self, source, given):
        return self.head(self.decoder(self.embed(given), self.encoder(self.embed(source))[1])[0])


def cell(gru, x, h):
    """One step of a GRU in NumPy."""
    w_x, w_h, b_x, b_h = (
        p.detach().numpy() for p in (gru.weight_ih_l0, gru.weight_hh_l0, gru.bias_ih_l0, gru.bias_hh_l0)
    )
    r_x, z_x, n_x = np.split(w_x @ x + b_x, 3)
    r_h, z_h, n_h = np.split(w_h @ h + b_h, 3)
    r, z = 1 / (1 + np.exp(-r_x - r_h)), 1 / (1 + np.exp(-z_x - z_h))
    return (1 - z) * np.tanh(n_x + r * n_h) + z * h


@formula(F1)
def check_steps():
    for vocab, d, S, T in [(7, 5, 4, 3), (4, 3, 1, 6), (9, 8, 6, 1)]:
        model = Seq2Seq(vocab, d).double()
        source, given = torch.randint(0, vocab, (1, S)), torch.randint(0, vocab, (1, T))
        E, W, b = (p.detach().numpy() for p in (model.embed.weight, model.head.weight, model.head.bias))
        state = np.zeros(d)
        for token in source[0]:
            state = cell(model.encoder, E[token], state)
        logits = []
        for token in given[0]:
            state = cell(model.decoder, E[token], state)
            logits.append(W @ state + b)
        np.testing.assert_allclose(np.array(logits), model(source, given)[0].detach().numpy(), atol=1e-10)


@formula(F0)
def check_chain_rule():
    """The factors define a distribution: over all targets of a fixed length they sum to 1, and equal the library's loss."""
    vocab, T = 4, 3
    model = Seq2Seq(vocab, 6).double()
    source, total = torch.randint(0, vocab, (1, 5)), 0.0
    for y in itertools.product(range(vocab), repeat=T):
        log_p = 0.0
        for t in range(T):
            prefix = torch.tensor([[1, *y[:t]]])
            log_p += float(model(source, prefix)[0, -1].log_softmax(-1)[y[t]].detach())
        given = torch.tensor([[1, *y[:-1]]])
        library = -F.cross_entropy(model(source, given)[0], torch.tensor(y), reduction="sum")
        assert abs(log_p - library.item()) < 1e-9
        total += np.exp(log_p)
    assert abs(total - 1) < 1e-9


@holds("Input", "Output", "Decoder steps")
def check_shapes():
    model = Seq2Seq(9, 4)
    source, target = torch.randint(0, 9, (2, 5)), torch.randint(0, 9, (2, 3))
    assert model(source, target).shape == (2, 3, 9)
    state, steps = model.encoder(model.embed(source))[1], []
    for t in range(3):  # a call per token gives what one call gave
        hidden, state = model.decoder(model.embed(target[:, t : t + 1]), state)
        steps.append(model.head(hidden))
    assert torch.allclose(torch.cat(steps, 1), model(source, target), atol=1e-6)


@holds("Why can greedy decoding miss the most probable output?")
def check_beam_search_can_miss_too():
    """Width 2 keeps A and B; the most probable output starts with C."""
    tree = {"A": (0.36, [0.4, 0.3, 0.3]), "B": (0.34, [0.5, 0.5]), "C": (0.3, [1.0])}
    kept = sorted(tree, key=lambda token: -tree[token][0])[:2]
    best = lambda tokens: max(tree[token][0] * max(tree[token][1]) for token in tokens)
    assert kept == ["A", "B"] and best(kept[:1]) < best(kept) < best(tree)


@holds("Is teacher forcing parallel?", "decoder-only Transformer")
def check_causal_mask_gives_all_positions_in_one_call():
    """Also with a source as prefix: no memory is used, only the earlier positions of one sequence."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).double().eval()
    x = torch.randn(1, 6, 8, dtype=torch.float64)
    mask = nn.Transformer.generate_square_subsequent_mask(6).double()
    whole = layer(x, src_mask=mask)
    for t in range(1, 7):
        assert torch.allclose(layer(x[:, :t], src_mask=mask[:t, :t])[:, -1], whole[:, t - 1])
    other = x.clone()
    other[:, 0] += 1  # the prefix reaches the last position
    assert not torch.allclose(layer(other, src_mask=mask)[:, -1], whole[:, -1])


@holds("Parameters", "Defaults", "Why can greedy decoding miss the most probable output?")
def check_by_hand():
    tree = {"A": (0.6, [0.4, 0.3, 0.3]), "B": (0.4, [0.9, 0.1])}
    greedy = max(tree.values())
    stated("0.24", greedy[0] * max(greedy[1]))
    stated("0.36", max(p * q for p, rest in tree.values() for q in rest))
    count = lambda *modules: sum(p.numel() for m in modules for p in m.parameters())
    with torch.device("meta"):
        encoder, decoder = nn.GRU(256, 512), nn.GRU(256, 512)
        rest = [nn.Embedding(10_000, 256), nn.Embedding(10_000, 256), nn.Linear(512, 10_000)]
        transformer = nn.Transformer()
    stated("1,182,720", count(encoder))
    stated("12,615,440", count(encoder, decoder, *rest))
    stated("44,140,544", count(transformer))
    assert not any("seq2seq" in name.lower() for name in dir(nn))
    assert not nn.GRU(2, 3).batch_first and nn.GRU(3, 5)(torch.randn(7, 3))[0].shape == (7, 5)


def reversal(shifted, steps=200):
    """Last loss of a model that learns to reverse three symbols, and the share it then writes correctly by itself."""
    model = Seq2Seq(13, 32)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        source = torch.randint(3, 13, (64, 3))
        target = torch.cat([torch.full((64, 1), 1), source.flip(1), torch.full((64, 1), 2)], 1)
        logits = model(source, target[:, :-1] if shifted else target[:, 1:])
        loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    written = torch.full((64, 1), 1)
    for _ in range(3):
        written = torch.cat([written, model(source, written)[:, -1:].argmax(-1)], 1)
    return loss.item(), (written[:, 1:] == source.flip(1)).all(1).float().mean().item()


@pitfall("The loss drops to almost zero, the output is nonsense")
def check_targets_that_are_not_shifted():
    loss, right = reversal(shifted=False)
    assert loss < 0.02 and right < 0.1, (loss, right)
    loss, right = reversal(shifted=True)
    assert loss < 0.3 and right > 0.7, (loss, right)


@pitfall("Good loss, poor generation")
def check_one_wrong_token_changes_all_later_inputs():
    """Next-token tables (row: the token before, 0 is the begin symbol); the right text is 1 1 1 1 1."""
    lower_loss = np.array([[0, 0.45, 0.55], [0, 0.99, 0.01], [0, 0.01, 0.99]])
    higher_loss = np.array([[0, 0.55, 0.45], [0, 0.7, 0.3], [0, 0.7, 0.3]])
    losses, matches = [], []
    for table in (lower_loss, higher_loss):
        losses.append(-np.log([table[0, 1], *[table[1, 1]] * 4]).mean())
        text = [0]
        for _ in range(5):
            text.append(int(table[text[-1]].argmax()))
        matches.append(text[1:].count(1))
    assert losses[0] < losses[1] and matches == [0, 5]  # the loss picks the first, the text the second


@pitfall("Beam search prefers short outputs")
def check_sums_of_logarithms_prefer_short_outputs():
    """A model that ends with probability 0.3 at each of four steps, and surely at the fifth."""
    outputs = [(length + 1, length * math.log(0.35) + math.log(0.3 if length < 4 else 1)) for length in range(5)]
    best = lambda power: max(outputs, key=lambda output: output[1] / output[0] ** power)[0]
    assert best(0) == best(0.5) == 1 and best(1) == 5 and best(0.9) == 5
    assert all(longer < shorter for (_, shorter), (_, longer) in zip(outputs[:-1], outputs[1:-1]))


@pitfall("Results depend on the padding")
def check_padding_changes_the_state():
    gru = nn.GRU(4, 6, batch_first=True)
    short = torch.randn(1, 3, 4)
    padded = torch.cat([short, torch.zeros(1, 2, 4)], 1)
    assert not torch.allclose(gru(short)[1], gru(padded)[1], atol=1e-3)
    packed = nn.utils.rnn.pack_padded_sequence(padded, torch.tensor([3]), batch_first=True)
    assert torch.allclose(gru(short)[1], gru(packed)[1], atol=1e-6)
    batch, lengths = torch.randn(3, 5, 4), [2, 5, 3]
    pack = nn.utils.rnn.pack_padded_sequence
    raises(RuntimeError, lambda: pack(batch, lengths, batch_first=True), "sorted")
    together = gru(pack(batch, lengths, batch_first=True, enforce_sorted=False))[1][0]
    alone = torch.stack([gru(row[None, :n])[1][0, 0] for row, n in zip(batch, lengths)])
    assert torch.allclose(together, alone, atol=1e-6)
    logits, target = torch.randn(5, 9), torch.tensor([4, 2, 7, 0, 0])
    real = F.cross_entropy(logits[:3], target[:3])
    assert torch.allclose(F.cross_entropy(logits, target, ignore_index=0), real)
    assert not torch.allclose(F.cross_entropy(logits, target), real, atol=1e-3)
    query, states = torch.randn(6), torch.cat([gru(short)[0][0], torch.zeros(2, 6)])
    attend = lambda memory, scores: torch.softmax(scores, -1) @ memory
    alone, padded = attend(states[:3], states[:3] @ query), attend(states, states @ query)
    masked = attend(states, (states @ query).masked_fill(torch.arange(5) >= 3, -torch.inf))
    assert torch.allclose(masked, alone, atol=1e-6) and not torch.allclose(padded, alone, atol=1e-3)


@pitfall("A bidirectional encoder does not fit the decoder")
def check_bidirectional_state():
    encoder, decoder = nn.GRU(4, 6, batch_first=True, bidirectional=True), nn.GRU(4, 6, batch_first=True)
    state = encoder(torch.randn(3, 5, 4))[1]
    assert state.shape == (2, 3, 6)
    raises(RuntimeError, lambda: decoder(torch.randn(3, 2, 4), state), "hidden size")
    raises(RuntimeError, lambda: nn.Linear(12, 6)(torch.cat([state[0], state[1]])), "cannot be multiplied")  # axis 0
    flat = nn.Linear(12, 6)(torch.cat([state[0], state[1]], -1))
    raises(RuntimeError, lambda: decoder(torch.randn(3, 2, 4), flat), "hx should also be 3-D")
    joined = flat.unsqueeze(0)
    assert decoder(torch.randn(3, 2, 4), joined)[0].shape == (3, 2, 6)
    both = nn.LSTM(4, 6, batch_first=True, bidirectional=True)(torch.randn(3, 5, 4))[1]
    single = nn.LSTM(4, 6, batch_first=True)
    raises(RuntimeError, lambda: single(torch.randn(3, 2, 4), both), "hidden[0]")
    mapped = tuple(nn.Linear(12, 6)(torch.cat([state[0], state[1]], -1))[None] for state in both)
    assert single(torch.randn(3, 2, 4), mapped)[0].shape == (3, 2, 6)


@check
def check_attention_weighs_padding_unless_masked():
    states = torch.randn(1, 5, 4)
    states[:, 3:] = 0  # what unpacking leaves behind the end
    scores = (states @ torch.randn(4, 1))[..., 0]
    assert torch.softmax(scores, -1)[0, 3:].min() > 0
    assert (torch.softmax(scores.masked_fill(torch.arange(5) >= 3, -torch.inf), -1)[0, 3:] == 0).all()
