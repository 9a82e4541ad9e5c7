import math
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

GATES = r"""
\begin{aligned}
i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) \\
f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) \\
g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho})
\end{aligned}
"""
STATES = r"c_t = f_t \odot c_{t-1} + i_t \odot g_t, \qquad h_t = o_t \odot \tanh(c_t)"
CELL_PATH = r"\left. \frac{\partial c_t}{\partial c_{t-1}} \right|_{h_{t-1}} = \operatorname{diag}(f_t)"
PARAMETERS = r"P = 4DH(I + H + 2) + (L - 1) \cdot 4DH(DH + H + 2)"

by_definition("TCN", "Transformer")
sourced("Weiss, Goldberg, Yahav, arXiv 1805.04908, abstract (an LSTM can count)", "LSTM")
sourced("Gers, Schmidhuber, Cummins 2000, abstract", "Which gate was missing in 1997?")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    """One step as the article writes it, for a batch of rows; the stacked blocks are taken in the order i, f, g, o."""
    w_i, w_h = np.split(weight_ih, 4), np.split(weight_hh, 4)
    b_i, b_h = np.split(bias_ih, 4), np.split(bias_hh, 4)
    sums = [x @ w_i[k].T + b_i[k] + h @ w_h[k].T + b_h[k] for k in range(4)]
    i, f, g, o = sigmoid(sums[0]), sigmoid(sums[1]), np.tanh(sums[2]), sigmoid(sums[3])
    c = f * c + i * g
    return o * np.tanh(c), c, f


def count(module):
    return sum(p.numel() for p in module.parameters())


def arrays(layer, suffix):
    return [
        getattr(layer, f"{name}_{suffix}").detach().numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]


def run(x, weights, h, c):
    outputs = []
    for x_t in x:
        h, c, _ = step(x_t, h, c, *weights)
        outputs.append(h)
    return np.stack(outputs), h, c


@holds("What do `output`, `h_n` and `c_n` hold?")
@formula(GATES, STATES)
def check_equals_the_library():
    for T, N, I, H in [(5, 3, 4, 6), (1, 1, 1, 1), (12, 2, 7, 3), (3, 4, 2, 5)]:
        layer = nn.LSTM(I, H, num_layers=2, bidirectional=True, dtype=torch.float64)
        x = torch.randn(T, N, I, dtype=torch.float64) * 2
        h_0, c_0 = torch.randn(4, N, H, dtype=torch.float64), torch.randn(4, N, H, dtype=torch.float64)
        output, (h_n, c_n) = layer(x, (h_0, c_0))
        values, ends = x.numpy(), []
        for level in range(2):
            first = 2 * level
            ahead, h_a, c_a = run(values, arrays(layer, f"l{level}"), h_0[first].numpy(), c_0[first].numpy())
            back, h_b, c_b = run(
                values[::-1], arrays(layer, f"l{level}_reverse"), h_0[first + 1].numpy(), c_0[first + 1].numpy()
            )
            values = np.concatenate([ahead, back[::-1]], axis=-1)
            ends += [(h_a, c_a), (h_b, c_b)]
        np.testing.assert_allclose(values, output.detach().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.stack([h for h, _ in ends]), h_n.detach().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.stack([c for _, c in ends]), c_n.detach().numpy(), rtol=1e-9, atol=1e-12)


@holds("Input")
def check_states_default_to_zero():
    layer, x = nn.LSTM(4, 6), torch.randn(5, 3, 4)
    zeros = torch.zeros(1, 3, 6)
    assert torch.equal(layer(x)[0], layer(x, (zeros, zeros))[0])
    raises((ValueError, RuntimeError), lambda: layer(torch.ones(5, 3, 4, dtype=torch.int64)))


@formula(CELL_PATH)
def check_cell_path():
    for I, H in [(4, 6), (1, 1), (3, 9)]:
        cell = nn.LSTMCell(I, H, dtype=torch.float64)
        x, h, c = (torch.randn(1, n, dtype=torch.float64) for n in (I, H, H))
        jacobian = torch.autograd.functional.jacobian(lambda c: cell(x, (h, c))[1][0], c)[:, 0]
        weights = [p.detach().numpy() for p in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)]
        f = step(x.numpy(), h.numpy(), c.numpy(), *weights)[2][0]
        np.testing.assert_allclose(np.diag(f), jacobian.numpy(), atol=1e-12)


@formula(PARAMETERS)
def check_parameter_count():
    for I, H, L, D in [(10, 20, 1, 1), (10, 20, 2, 1), (10, 20, 2, 2), (3, 5, 4, 2), (1, 1, 1, 1)]:
        assert count(nn.LSTM(I, H, L, bidirectional=D == 2)) == 4 * D * H * (I + H + 2) + (L - 1) * 4 * D * H * (
            D * H + H + 2
        )
    stated("5,920", count(nn.LSTM(10, 20, num_layers=2)))
    stated("15040", count(nn.LSTM(10, 20, num_layers=2, bidirectional=True)))
    assert 80 * 32 + 80 * 42 == count(nn.LSTM(10, 20, 2))


@holds("Cost")
def check_multiply_adds():
    for I, H, L, D, T, N in ((10, 20, 1, 1, 7, 1), (5, 4, 3, 2, 6, 3)):
        lstm = nn.LSTM(I, H, L, bidirectional=D == 2, dtype=torch.float64)
        with FlopCounterMode(display=False) as counter:
            lstm(torch.randn(T, N, I, dtype=torch.float64))
        assert counter.get_total_flops() == 2 * T * N * D * (4 * H * (I + H) + (L - 1) * 4 * H * (D * H + H))


@holds("LSTM", "GRU", "plain RNN")
def check_states_of_the_table():
    """No state grows with the length; c counts the steps; an RNN passes little gradient over forty."""
    for T in (5, 500):
        x = torch.randn(T, 1, 3)
        assert [s.shape for s in nn.LSTM(3, 4)(x)[1]] == [(1, 1, 4)] * 2
        assert nn.GRU(3, 4)(x)[1].shape == nn.RNN(3, 4)(x)[1].shape == (1, 1, 4)
    lstm = nn.LSTM(1, 1)
    with torch.no_grad():
        for p in lstm.parameters():
            p.fill_(0.0)
        lstm.bias_ih_l0.fill_(20.0)
    assert abs(float(lstm(torch.zeros(50, 1, 1))[1][1].detach()) - 50) < 1e-3
    plain, x = nn.RNN(4, 32), torch.randn(40, 1, 4)
    assert torch.autograd.functional.jacobian(lambda h: plain(x, h)[1], torch.zeros(1, 1, 32)).norm() < 1e-4


@holds("Does an LSTM solve vanishing gradients?")
def check_what_the_cell_path_does():
    def size(layer, steps=40, inputs=1.0):
        H, x = layer.hidden_size, inputs * torch.randn(steps, 1, 8)
        work = lambda c: layer(x, (torch.zeros(1, 1, H), c))[1][1].flatten()
        return float(torch.autograd.functional.jacobian(work, torch.zeros(1, 1, H)).norm()) / H**0.5

    opened, constant, wide = nn.LSTM(8, 32), nn.LSTM(8, 32), nn.LSTM(8, 32)
    with torch.no_grad():
        opened.bias_ih_l0[32:64] = 3.0
        for p in constant.parameters():
            p.zero_()
        constant.bias_ih_l0[32:64] = 2.0
        wide.weight_hh_l0 *= 10
        wide.bias_ih_l0.zero_()
        wide.bias_hh_l0.zero_()
    assert size(nn.LSTM(8, 32)) < 1e-5 < 0.05 < size(opened)
    assert abs(size(constant) / float(torch.sigmoid(torch.tensor(2.0))) ** 40 - 1) < 0.01
    assert size(wide, inputs=0.0) > 100


@holds("Why a sigmoid for gates and tanh for the candidate?")
def check_signs_of_gates_and_candidate():
    lstm = nn.LSTM(4, 16)
    weights, h, c = arrays(lstm, "l0"), np.zeros((50, 16)), np.full((50, 16), 0.5)
    _, new, f = step(np.random.randn(50, 4), h, c, *weights)
    added = new - f * c  # i times g
    assert (f > 0).all() and (f < 1).all() and (added > 0.01).any() and (added < -0.01).any()


@holds("Parameters", "LSTM", "GRU", "plain RNN")
def check_parameters_of_the_table():
    lstm = nn.LSTM(10, 20)
    stated("2,560", count(lstm))
    stated("1,920", count(nn.GRU(10, 20)))
    stated("640", count(nn.RNN(10, 20)))
    assert count(nn.GRU(10, 20)) * 4 == count(lstm) * 3
    assert lstm.weight_ih_l0.shape == (80, 10) and sorted(dict(lstm.named_parameters())) == [
        "bias_hh_l0",
        "bias_ih_l0",
        "weight_hh_l0",
        "weight_ih_l0",
    ]


@check
def check_worked_example():
    cell = nn.LSTMCell(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih.copy_(torch.tensor([0.0, math.log(3), math.log(2), 0.0]))
    h, c = cell(torch.zeros(1, 1).double(), (torch.zeros(1, 1).double(), torch.full((1, 1), 2.0).double()))
    stated("0.5", torch.sigmoid(torch.tensor(0.0)))
    stated("0.75", torch.sigmoid(torch.tensor(math.log(3))))
    stated("0.6", torch.tanh(torch.tensor(math.log(2))))
    stated("1.8", c.detach())
    stated("0.4734", h.detach())


@check
def check_bounds():
    layer = nn.LSTM(1, 1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0.fill_(6.0)
    output, (_, c_n) = layer(torch.zeros(50, 1, 1))
    assert c_n.item() > 40 and output.abs().max() < 1


@holds("Input", "Output", "Defaults", "Same in train and eval?")
def check_shapes_and_defaults():
    x, stacked = torch.randn(5, 2, 4), nn.LSTM(4, 6, 2)
    assert torch.equal(stacked.train()(x)[0], stacked.eval()(x)[0])
    stacked = nn.LSTM(4, 6, 2, dropout=0.5)
    assert not torch.allclose(stacked.train()(x)[0], stacked.eval()(x)[0], atol=1e-3)
    layer = nn.LSTM(4, 6)
    assert (layer.num_layers, layer.bias, layer.batch_first, layer.dropout, layer.bidirectional, layer.proj_size) == (
        1,
        True,
        False,
        0.0,
        False,
        0,
    )
    output, (h_n, c_n) = nn.LSTM(4, 6, 3, bidirectional=True)(torch.randn(5, 2, 4))
    assert output.shape == (5, 2, 12) and h_n.shape == c_n.shape == (6, 2, 6)
    output, (h_n, _) = nn.LSTM(4, 6, batch_first=True)(torch.randn(2, 5, 4))
    assert output.shape == (2, 5, 6) and h_n.shape == (1, 2, 6)


def accuracy_at(ends, steps=80):
    """Right answers of a bidirectional LSTM that must tell the sign of a number in the first token of 16."""
    torch.manual_seed(0)
    lstm, head = nn.LSTM(4, 16, batch_first=True, bidirectional=True), nn.Linear(32, 2)
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], 0.02)
    for _ in range(steps):
        x = torch.randn(128, 16, 4)
        positive = (x[:, 0, 0] > 0).long()
        output, (h_n, _) = lstm(x)
        scores = head(torch.cat([h_n[-2], h_n[-1]], dim=-1) if ends else output[:, -1])
        optimizer.zero_grad()
        nn.functional.cross_entropy(scores, positive).backward()
        optimizer.step()
    return (scores.argmax(1) == positive).float().mean().item()


@pitfall("`output[:, -1]` of a bidirectional LSTM can make a weak classifier")
def check_bidirectional_last_step():
    assert accuracy_at(ends=False) < 0.7 and accuracy_at(ends=True) > 0.85
    layer = nn.LSTM(4, 6, bidirectional=True, batch_first=True)
    x = torch.randn(3, 7, 4)
    changed = torch.cat([torch.randn(3, 6, 4), x[:, -1:]], 1)
    output, (h_n, _) = layer(x)
    assert torch.allclose(output[:, -1, 6:], layer(changed)[0][:, -1, 6:])
    assert torch.allclose(torch.cat([h_n[-2], h_n[-1]], -1), torch.cat([output[:, -1, :6], output[:, 0, 6:]], -1))
    padded = torch.cat([x, torch.zeros(3, 5, 4)], 1)
    packed = pack_padded_sequence(padded, [7, 7, 7], batch_first=True)
    lengths = torch.tensor([3, 7, 5])
    raises(RuntimeError, lambda: pack_padded_sequence(x, lengths, batch_first=True), "sorted")
    mixed = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[1][0]
    for n, length in enumerate(lengths.tolist()):
        assert torch.allclose(mixed[:, n], layer(x[n, :length])[1][0], atol=1e-6)
    assert torch.allclose(layer(packed)[1][0], h_n, atol=1e-6) and not torch.allclose(
        layer(padded)[1][0], h_n, atol=0.01
    )


@pitfall("`h_n` is not batch-first")
def check_reshaping_h_n_mixes_samples():
    layer = nn.LSTM(4, 6, num_layers=2, batch_first=True)
    output, (h_n, c_n) = layer(torch.randn(3, 5, 4))
    assert output.shape == (3, 5, 6) and h_n.shape == c_n.shape == (2, 3, 6)
    assert torch.allclose(h_n[-1], output[:, -1])
    assert not torch.allclose(h_n.reshape(3, -1), h_n.transpose(0, 1).reshape(3, -1))
    _, (h_n, _) = nn.LSTM(4, 6, batch_first=True)(torch.randn(3, 5, 4))
    assert torch.equal(h_n.reshape(3, -1), h_n[-1])


@pitfall("The parameter count differs from Keras")
def check_the_two_biases_are_only_added():
    """Keras is not run; a layer with one bias is the formula with that bias."""
    lstm = nn.LSTM(10, 20)
    stated("2,560", count(lstm))
    stated("2,480", count(lstm) - lstm.bias_hh_l0.numel())
    layer, x = nn.LSTM(4, 6), torch.randn(5, 3, 4)
    before = layer(x)[0]
    with torch.no_grad():
        layer.bias_ih_l0 += layer.bias_hh_l0
        layer.bias_hh_l0.zero_()
    assert torch.allclose(before, layer(x)[0], atol=1e-6)


def kept_after_ten_steps(layer, place):
    """The size of dc_10/dc_0 of one layer and direction, by autograd through the library; that of the identity is 1."""
    H, x = layer.hidden_size, torch.randn(10, 1, layer.input_size)
    rest = torch.zeros(layer.num_layers * (2 if layer.bidirectional else 1), 1, H)

    def last(start):
        return layer(x, (rest, torch.cat([rest[:place], start[None, None], rest[place + 1 :]])))[1][1][place, 0]

    return float(torch.linalg.matrix_norm(torch.autograd.functional.jacobian(last, torch.zeros(H)))) / H**0.5


def bias_open(layer, suffix):
    H = layer.hidden_size
    getattr(layer, f"bias_ih_{suffix}").data[H : 2 * H] = 3
    getattr(layer, f"bias_hh_{suffix}").data[H : 2 * H] = 0


@pitfall("It forgets within ten steps")
def check_forget_bias_keeps_the_cell():
    deep = nn.LSTM(8, 32, 2, bidirectional=True)
    assert all(kept_after_ten_steps(deep, place) < 0.05 for place in range(4))
    bias_open(deep, "l0")
    assert [kept_after_ten_steps(deep, place) > 0.4 for place in range(4)] == [True, False, False, False]
    for suffix in ("l0_reverse", "l1", "l1_reverse"):
        bias_open(deep, suffix)
    assert all(kept_after_ten_steps(deep, place) > 0.4 for place in range(4))


@check
def check_forget_bias():
    stated("0.001", 0.5**10)
    stated("0.7311", torch.sigmoid(torch.tensor(1.0, dtype=torch.float64)))
    stated("0.0436", torch.sigmoid(torch.tensor(1.0, dtype=torch.float64)) ** 10)
    stated("0.9526", torch.sigmoid(torch.tensor(3.0, dtype=torch.float64)))
    stated("0.615", torch.sigmoid(torch.tensor(3.0, dtype=torch.float64)) ** 10)
    H = 512
    layer = nn.LSTM(8, H)
    assert layer.bias_ih_l0.abs().max() <= 1 / math.sqrt(H)
    for other in (layer, nn.LSTM(256, 256), nn.LSTM(10, 20)):
        gates = [
            step(np.random.randn(50, other.input_size), *np.zeros((2, 50, other.hidden_size)), *arrays(other, "l0"))[2]
            for _ in range(10)
        ]
        stated("0.5", np.round(np.mean(gates), 1))
    for I, size, low, high in ((8, 64, 0.55, 0.65), (300, 20, 0.0, 0.3)):  # larger sums in the gate keep less
        opened, kept, (h, c) = nn.LSTM(I, size), np.ones((200, size)), np.zeros((2, 200, size))
        bias_open(opened, "l0")
        for x in np.random.randn(10, 200, I):
            h, c, f = step(x, h, c, *arrays(opened, "l0"))
            kept *= f
        assert low < np.median(kept) < high
    layer.bias_ih_l0.data[H : 2 * H] = 3
    layer.bias_hh_l0.data[H : 2 * H] = 0
    f = step(np.zeros((1, 8)), np.zeros((1, H)), np.zeros((1, H)), *arrays(layer, "l0"))[2]
    np.testing.assert_allclose(f, 1 / (1 + math.exp(-3)), atol=1e-6)


@check
def check_gradient_forty_steps_back():
    def left(layer):
        x = torch.randn(100, 16, 32, requires_grad=True)
        (layer(x)[0][-1] * torch.randn(16, 64)).sum().backward()
        norms = x.grad.norm(dim=-1).mean(1).flip(0)
        return float(norms[40] / norms[0])

    open_gates = nn.LSTM(32, 64)
    open_gates.bias_ih_l0.data[64:128] += 3
    assert left(nn.RNN(32, 64)) < 1e-8 and left(nn.LSTM(32, 64)) < 1e-6
    assert 0.2 < left(open_gates) < 0.5


@pitfall("`dropout=0.5` changes nothing")
def check_dropout_needs_two_layers():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer = nn.LSTM(4, 6, dropout=0.5)
    assert any("num_layers greater than 1" in str(w.message) for w in caught)
    x = torch.randn(5, 3, 4)
    assert torch.equal(layer.train()(x)[0], layer.eval()(x)[0])
    stacked = nn.LSTM(4, 6, 2, dropout=0.5)
    assert not torch.allclose(stacked.train()(x)[0], stacked.eval()(x)[0])
    assert not (stacked.train()(x)[0] == 0).any()
    cured = nn.Dropout(0.5)
    assert (cured.train()(layer(x)[0]) == 0).any() and torch.equal(cured.eval()(layer(x)[0]), layer(x)[0])
    packed, (h_n, _) = layer(pack_padded_sequence(x, [5, 4, 2]))
    raises(TypeError, lambda: cured(packed))
    changed = packed._replace(data=cured.train()(packed.data))
    assert torch.equal(changed.batch_sizes, packed.batch_sizes) and (changed.data == 0).any()
    assert nn.LSTM(6, 2)(changed)[0].data.shape == (11, 2)
    read = (packed.data, pad_packed_sequence(packed)[0], h_n)
    assert all(((cured.train()(part) == 0) & (part != 0)).any() for part in read)


@holds("Input", "Output", "Parameters")
def check_projection_unbatched_input_and_saturation():
    assert sum(name.startswith("weight") for name, _ in nn.LSTM(3, 4, proj_size=2).named_parameters()) == 3
    output, (h_n, c_n) = nn.LSTM(3, 4, proj_size=2)(torch.randn(5, 6, 3))
    assert output.shape == (5, 6, 2) and h_n.shape == (1, 6, 2) and c_n.shape == (1, 6, 4)
    layer = nn.LSTM(3, 4)
    x = torch.randn(5, 3)
    alone, together = layer(x), layer(x[:, None])
    assert torch.allclose(alone[0], together[0][:, 0], atol=1e-6) and torch.allclose(
        alone[1][1], together[1][1][:, 0], atol=1e-6
    )
    wide = nn.LSTM(1, 1)
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.fill_(20.0)
        assert wide(torch.ones(30, 1, 1))[0].max() == 1
