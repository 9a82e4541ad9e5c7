import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

EMISSIONS = r"""
\overrightarrow{h}_t = \mathrm{LSTM}_{\rightarrow}(x_t, \overrightarrow{h}_{t-1}), \qquad \overleftarrow{h}_t = \mathrm{LSTM}_{\leftarrow}(x_t, \overleftarrow{h}_{t+1}), \qquad E_t = W \left[ \overrightarrow{h}_t \,;\, \overleftarrow{h}_t \right] + b
"""
LOSS = r"""
\mathcal{L} = \log \sum_{y'} e^{s(y')} - s(y), \qquad s(y) = a_{y_1} + \sum_{t=1}^{T} E_t(y_t) + \sum_{t=2}^{T} A_{y_{t-1} y_t} + e_{y_T}
"""
PARAMETERS = r"P = 8h(d + h + 2) + K(2h + 1) + K^2 + 2K"

by_definition("BiLSTM-CRF", "BiLSTM, softmax", "CRF with features", "BERT, linear", "Same in train and eval?")
by_definition("Why forward algorithm in training but Viterbi in decoding?")
sourced("Lample et al., arXiv 1603.01360, and Ma and Hovy, arXiv 1603.01354, abstracts", "Where do characters come in?")


def cell(x, state, weights):
    """One LSTM step in NumPy, gates in the order i, f, g, o; the state is (h, c)."""
    w_ih, w_hh, b_ih, b_hh = weights
    i, f, g, o = np.split(w_ih @ x + w_hh @ state[0] + b_ih + b_hh, 4)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


@formula(EMISSIONS)
def check_emissions():
    for T, d, h, K in [(5, 3, 4, 2), (1, 2, 3, 5), (7, 4, 1, 3)]:
        lstm, head = nn.LSTM(d, h, bidirectional=True).double(), nn.Linear(2 * h, K).double()
        x = torch.randn(T, d, dtype=torch.float64)
        library = head(lstm(x)[0]).detach().numpy()
        outputs = []
        for suffix, order in (("", range(T)), ("_reverse", range(T - 1, -1, -1))):
            weights = [
                getattr(lstm, name + suffix).detach().numpy()
                for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            ]
            state, result = (np.zeros(h), np.zeros(h)), np.zeros((T, h))
            for t in order:
                state = cell(x[t].numpy(), state, weights)
                result[t] = state[0]
            outputs.append(result)
        ours = np.concatenate(outputs, 1) @ head.weight.detach().numpy().T + head.bias.detach().numpy()
        np.testing.assert_allclose(ours, library, atol=1e-10)


def score(E, A, a, e, y):
    return (
        a[y[0]] + sum(E[t, y[t]] for t in range(len(y))) + sum(A[y[t - 1], y[t]] for t in range(1, len(y))) + e[y[-1]]
    )


@formula(LOSS)
@holds("Loss")
def check_loss_against_the_recursion_and_cross_entropy_over_all_sequences():
    for T, K in [(1, 3), (3, 2), (4, 3), (5, 2)]:
        E, A, a, e = np.random.randn(T, K), np.random.randn(K, K), np.random.randn(K), np.random.randn(K)
        every = list(itertools.product(range(K), repeat=T))
        target = np.random.randint(len(every))
        ours = math.log(sum(math.exp(score(E, A, a, e, y)) for y in every)) - score(E, A, a, e, every[target])
        alpha = torch.tensor(a + E[0])
        for t in range(1, T):
            alpha = torch.tensor(E[t]) + torch.logsumexp(alpha[:, None] + torch.tensor(A), 0)
        recursion = (alpha + torch.tensor(e)).logsumexp(0).item() - score(E, A, a, e, every[target])
        classes = torch.tensor([score(E, A, a, e, y) for y in every])
        assert math.isclose(ours, recursion, rel_tol=1e-9) and ours >= 0
        assert math.isclose(ours, nn.functional.cross_entropy(classes, torch.tensor(target)).item(), rel_tol=1e-9)


@formula(PARAMETERS)
@holds("Parameters")
def check_parameters():
    for d, h, K in [(100, 100, 9), (3, 5, 2), (50, 16, 17)]:
        parts = [nn.LSTM(d, h, bidirectional=True), nn.Linear(2 * h, K)]
        counted = sum(p.numel() for part in parts for p in part.parameters()) + sum(
            torch.zeros(s).numel() for s in ((K, K), (K,), (K,))
        )
        assert counted == 8 * h * (d + h + 2) + K * (2 * h + 1) + K**2 + 2 * K
    lstm, head = (
        sum(p.numel() for p in part.parameters()) for part in (nn.LSTM(100, 100, bidirectional=True), nn.Linear(200, 9))
    )
    stated("161,600", lstm)
    stated("1,809", head)
    stated("99", 81 + 18)
    stated("163,508", lstm + head + 99)
    stated("0.06%", 99 / (lstm + head + 99))


def decoded(E, A, a, e):
    """The best of all tag sequences."""
    T, K = E.shape
    return max(itertools.product(range(K), repeat=T), key=lambda y: score(E, A, a, e, y))


@holds("Input → output")
def check_shapes_and_kinds():
    embed, lstm, head = nn.Embedding(20, 3), nn.LSTM(3, 4, batch_first=True, bidirectional=True), nn.Linear(8, 5)
    for words, shape in ((torch.randint(20, (2, 4)), (2, 4, 5)), (torch.randint(20, (4,)), (4, 5))):
        emissions = head(lstm(embed(words))[0])
        assert emissions.shape == shape and emissions.dtype == torch.float32
    assert embed(torch.zeros(4, dtype=torch.int32)).shape == (4, 3)
    raises(RuntimeError, lambda: embed(torch.zeros(4, dtype=torch.int16)))
    path = torch.tensor(decoded(emissions.detach().numpy(), np.zeros((5, 5)), np.zeros(5), np.zeros(5)))
    assert path.shape == (4,) and path.dtype == torch.int64


@holds("Cost")
def check_operations_grow_as_stated():
    """Multiplications by weights in the LSTM and terms in the recursion, counted one by one."""
    for T, d, h, K in [(5, 3, 4, 2), (10, 3, 4, 2), (5, 8, 2, 6)]:
        lstm = nn.LSTM(d, h, bidirectional=True)
        weights = sum(p.numel() for name, p in lstm.named_parameters() if name.startswith("weight"))
        assert T * weights == T * 8 * h * (d + h)
        terms = sum((torch.zeros(K)[:, None] + torch.zeros(K, K)).numel() for _ in range(T - 1))
        assert terms == (T - 1) * K**2


@holds("The BiLSTM sees the whole sentence; why a CRF?")
def check_tags_chosen_alone_do_not_match():
    """B-A, I-A, B-B, I-B; an entity of two words that could be of either type."""
    E, none = np.array([[1.1, 0, 1, 0], [0, 1, 0, 1.1]]), np.zeros(4)
    assert decoded(E, np.zeros((4, 4)), none, none) == tuple(E.argmax(1)) == (0, 3)  # B-A, I-B
    probability = lambda y, A: (
        math.exp(score(E, A, none, none, y))
        / sum(math.exp(score(E, A, none, none, other)) for other in itertools.product(range(4), repeat=2))
    )
    alone = np.exp(E) / np.exp(E).sum(1, keepdims=True)
    for y in itertools.product(range(4), repeat=2):
        assert math.isclose(probability(y, np.zeros((4, 4))), alone[0, y[0]] * alone[1, y[1]])  # independent
    low = np.zeros((4, 4))
    low[0, 3] = low[2, 1] = -3
    assert probability((0, 3), low) < probability((0, 3), np.zeros((4, 4))) / 5
    assert decoded(E, low, none, none) in {(0, 1), (2, 3)}
    assert decoded(10 * E, low / 6, none, none) == (0, 3)  # outvoted
    assert decoded(10 * E, low * 10_000 / 3, none, none) in {(0, 1), (2, 3)}


@pitfall("Predictions depend on how much padding a batch has")
def check_padding_changes_predictions_unless_packed_and_cut():
    """Packing alone is not enough: a CRF that runs on through the padding can still change the real tags."""
    lstm, head = nn.LSTM(3, 4, batch_first=True, bidirectional=True), nn.Linear(8, 3)
    A, a, e = (np.random.randn(*shape) for shape in ((3, 3), (3,), (3,)))
    head.weight.data *= 5
    changed = {"unpacked": 0, "packed, CRF not cut": 0, "packed, cut": 0}
    with torch.no_grad():
        for _ in range(200):
            x = 2 * torch.randn(1, 2, 3)
            padded = torch.cat([x, torch.zeros(1, 2, 3)], 1)
            packed = lstm(pack_padded_sequence(padded, [2], batch_first=True))[0]
            packed = head(pad_packed_sequence(packed, batch_first=True, total_length=4)[0])[0].numpy()
            plain, unpacked = (head(lstm(v)[0])[0].numpy() for v in (x, padded))
            alone = decoded(plain, A, a, e)
            changed["unpacked"] += decoded(unpacked[:2], A, a, e) != alone
            changed["packed, CRF not cut"] += decoded(packed, A, a, e)[:2] != alone
            changed["packed, cut"] += decoded(packed[:2], A, a, e) != alone
    assert changed["unpacked"] > 0 < changed["packed, CRF not cut"] and changed["packed, cut"] == 0, changed
    lstm, x = nn.LSTM(3, 4, batch_first=True, bidirectional=True), torch.randn(1, 5, 3)
    padded = torch.cat([x, torch.zeros(1, 4, 3)], 1)
    plain, longer = lstm(x)[0], lstm(padded)[0][:, :5]
    assert torch.allclose(plain[..., :4], longer[..., :4], atol=1e-6) and not torch.allclose(
        plain[..., 4:], longer[..., 4:], atol=1e-3
    )
    packed = pad_packed_sequence(lstm(pack_padded_sequence(padded, [5], batch_first=True))[0], batch_first=True)[0]
    assert torch.allclose(packed, plain, atol=1e-6)


@pitfall("The loss becomes negative")
def check_wrong_sign_and_counted_padding_make_the_loss_negative():
    E, A, zero = np.random.randn(4, 3), np.random.randn(3, 3), np.zeros(3)
    E[2:, 0] += 20  # two padded positions, tagged 0
    log_z = lambda n: math.log(
        sum(math.exp(score(E[:n], A, zero, zero, y)) for y in itertools.product(range(3), repeat=n))
    )
    assert log_z(2) - score(E, A, zero, zero, (1, 2, 0, 0)) < 0 <= log_z(2) - score(E[:2], A, zero, zero, (1, 2))
    for path in itertools.product(range(3), repeat=3):
        log_likelihood = score(E[:3], A, zero, zero, path) - log_z(3)
        assert log_likelihood < 0 < -log_likelihood


@pitfall("A one-word sentence is tagged START")
def check_start_as_an_ordinary_tag():
    """Tags B, O, START, STOP; one word that favours START."""
    E, none = np.array([[1.0, 0.5, 2.0, 0.0]]), np.zeros(4)
    free = np.random.randn(4, 4) * 0.1
    ends = lambda A: (A[2], A[:, 3])  # from START, to STOP
    assert decoded(E, free, *ends(free)) == (2,)
    forbidden = free.copy()
    forbidden[:, 2] = forbidden[3] = -10_000  # nothing goes to START, nothing leaves STOP
    assert decoded(E, forbidden, *ends(forbidden)) == (0,)
    assert decoded(E, free, none, none) == (2,)  # separate vectors, but START still among the tags
    assert decoded(E[:, :2], free[:2, :2], none[:2], none[:2]) == (0,)  # separate vectors: START is no tag
    learned = nn.Parameter(torch.zeros(4, 4))

    def forbid():
        learned[:, 2] = -10_000.0

    raises(RuntimeError, forbid, "leaf")
    with torch.no_grad():
        forbid()
    assert (learned[:, 2] == -10_000).all() and learned.requires_grad


@pitfall("Softmax before the CRF")
def check_softmax_emissions_are_bounded():
    E = torch.randn(100, 9).mul(50).softmax(-1)
    gaps = E.max(-1).values - E.min(-1).values
    assert gaps.max() <= 1 and gaps.max() > 0.99
    raw, A, zero = np.random.randn(4, 3) * 3, np.random.randn(3, 3), np.zeros(3)
    loss = lambda E: (
        math.log(sum(math.exp(score(E, A, zero, zero, y)) for y in itertools.product(range(3), repeat=4)))
        - score(E, A, zero, zero, (0, 2, 1, 1))
    )
    assert math.isclose(loss(raw), loss(torch.tensor(raw).log_softmax(-1).numpy()), rel_tol=1e-9)
    assert abs(loss(raw) - loss(torch.tensor(raw).softmax(-1).numpy())) > 1e-3
    sure, gap = np.array([[9.0, 0], [0, 9]]), np.array([[2.0, 0], [0, 0]])  # the second word wants tag 1, the gap is 2
    squashed = torch.tensor(sure).softmax(-1).numpy()
    assert decoded(squashed, gap, zero, zero) == (0, 0) and decoded(sure, gap, zero, zero) == (0, 1)
    gap[0, 1] = -1  # a learned score can be overruled
    assert decoded(sure, gap, zero, zero) == (0, 1)
    gap[0, 1] = -10_000
    assert decoded(sure, gap, zero, zero) == (0, 0)
