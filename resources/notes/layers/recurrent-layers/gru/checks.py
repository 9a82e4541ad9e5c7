import math

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

GATES = r"""
\begin{aligned}
r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn}))
\end{aligned}
"""
BLEND = r"h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}"
JACOBIAN_AND_COUNT = r"""
\left. \frac{\partial h_t}{\partial h_{t-1}} \right|_{z_t,\, n_t} = \operatorname{diag}(z_t), \qquad
P = 3DH(I + H + 2) + (L - 1)\, 3DH(DH + H + 2)
"""

by_definition("Transformer")
sourced("Weiss, Goldberg, Yahav, arXiv 1805.04908, abstract (an LSTM can count, a GRU cannot)", "LSTM")


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def step(gru, x, h, reset_first=False):
    """One step of the article's formulas in NumPy; returns r, z, n and the new state."""
    W_i, W_h, b_i, b_h = (
        getattr(gru, f"{name}_l0").detach().numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    (ir, iz, i_n), (hr, hz, hn) = np.split(x @ W_i.T + b_i, 3, axis=-1), np.split(h @ W_h.T + b_h, 3, axis=-1)
    r, z = sigmoid(ir + hr), sigmoid(iz + hz)
    size = h.shape[-1]
    inner = (r * h) @ W_h[2 * size :].T + b_h[2 * size :] if reset_first else r * hn
    n = np.tanh(i_n + inner)
    return r, z, n, (1 - z) * n + z * h


def random_gru(I, H, **options):
    gru = nn.GRU(I, H, dtype=torch.float64, **options)
    for p in gru.parameters():
        nn.init.normal_(p, std=0.8)
    return gru


@formula(GATES, BLEND)
def check_equals_the_library():
    for T, N, I, H in ((1, 1, 1, 1), (6, 3, 5, 4), (4, 2, 3, 7)):
        gru = random_gru(I, H)
        x, h0 = torch.randn(T, N, I, dtype=torch.float64), torch.randn(1, N, H, dtype=torch.float64)
        output, h_n = gru(x, h0)
        h = h0[0].numpy()
        for t in range(T):
            h = step(gru, x[t].numpy(), h)[3]
            np.testing.assert_allclose(h, output[t].detach().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(h, h_n[0].detach().numpy(), rtol=1e-9, atol=1e-12)


@holds("GRU", "plain RNN", "Parameters")
@formula(JACOBIAN_AND_COUNT)
def check_state_path_and_parameter_count():
    gru = random_gru(3, 5)
    x, h = torch.randn(1, 1, 3, dtype=torch.float64), torch.randn(1, 1, 5, dtype=torch.float64)
    with torch.no_grad():
        # Gates and candidate that do not see the state: what is left of the library's Jacobian is the direct path.
        gru.weight_hh_l0.zero_()
    library = torch.autograd.functional.jacobian(lambda start: gru(x, start)[1], h).reshape(5, 5).numpy()
    _, z, _, _ = step(gru, x[0].numpy(), h[0].numpy())
    np.testing.assert_allclose(library, np.diag(z[0]), rtol=1e-9, atol=1e-12)
    for I, H, L, both in ((10, 20, 1, False), (10, 20, 2, False), (3, 5, 3, True), (7, 2, 1, True)):
        D = 2 if both else 1
        counted = sum(p.numel() for p in nn.GRU(I, H, L, bidirectional=both).parameters())
        assert counted == 3 * D * H * (I + H + 2) + (L - 1) * 3 * D * H * (D * H + H + 2)
    assert sum(p.numel() for p in nn.GRU(10, 20, 2).parameters()) == 4440
    assert 1920 / 2560 == 0.75 and len([*nn.GRU(10, 20, 2, bidirectional=True).parameters()]) == 4 * (2 + 2)
    for kind, text in ((nn.RNN, "640"), (nn.GRU, "1,920"), (nn.LSTM, "2,560")):
        stated(text, sum(p.numel() for p in kind(10, 20).parameters()))


@check
def check_worked_example():
    gru = nn.GRU(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for p in gru.parameters():
            p.zero_()
        gru.bias_ih_l0[1] = math.log(3)
        gru.bias_hh_l0[2] = 2 * math.log(2)
    h = gru(torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64))[1]
    stated("0.9", h)
    r, z, n, _ = step(gru, np.zeros((1, 1)), np.ones((1, 1)))
    assert r[0, 0] == 0.5
    stated("0.75", z[0, 0])
    stated("0.6", n[0, 0])


@holds("GRU", "LSTM", "plain RNN")
def check_states_of_the_table():
    """A GRU and an RNN return one state, of a size that the length does not change; an LSTM's c counts the steps."""
    for T in (5, 500):
        for kind in (nn.GRU, nn.RNN):
            assert kind(3, 4)(torch.randn(T, 1, 3))[1].shape == (1, 1, 4)
    lstm, gru = nn.LSTM(1, 1), random_gru(1, 1)
    with torch.no_grad():
        for p in lstm.parameters():
            p.fill_(0.0)
        lstm.bias_ih_l0.fill_(20.0)
    assert abs(float(lstm(torch.zeros(50, 1, 1))[1][1].detach()) - 50) < 1e-3
    assert float(gru(torch.randn(500, 1, 1, dtype=torch.float64))[0].detach().abs().max()) < 1
    plain, x = nn.RNN(4, 32), torch.randn(40, 1, 4)
    assert torch.autograd.functional.jacobian(lambda h: plain(x, h)[1], torch.zeros(1, 1, 32)).norm() < 1e-4


@holds("Cost")
def check_multiply_adds():
    for I, H, L, D, T, N in ((10, 20, 1, 1, 7, 1), (5, 4, 3, 2, 6, 3)):
        gru = nn.GRU(I, H, L, bidirectional=D == 2)
        with FlopCounterMode(display=False) as counter:
            gru(torch.randn(T, N, I))
        assert counter.get_total_flops() == 2 * T * N * D * (3 * H * (I + H) + (L - 1) * 3 * H * (D * H + H))


@holds("How do two gates replace the three of an LSTM?")
def check_keeping_and_writing_are_tied():
    gru, x, h = random_gru(3, 4), np.random.randn(2, 3), np.random.randn(2, 4)
    for kept in (True, False):
        with torch.no_grad():
            gru.bias_ih_l0[4:8] = 40.0 if kept else -40.0
        _, _, n, new = step(gru, x, h)
        assert np.abs(new - (h if kept else n)).max() < 1e-6
    output, h_n = gru(torch.tensor(x)[None], torch.tensor(h)[None])
    assert torch.equal(output[-1], h_n[0])  # what the layer shows is the state itself


@holds("Which matrix product does `r` save?")
def check_three_products_in_one():
    gru, h = random_gru(3, 4), torch.randn(5, 4, dtype=torch.float64)
    W, one = gru.weight_hh_l0.detach(), (h @ gru.weight_hh_l0.T).detach()
    assert torch.allclose(one, torch.cat([h @ part.T for part in W.chunk(3)], 1))
    with torch.no_grad():
        gru.bias_ih_l0[:4] = -60.0  # r = 0, and still the library counts three products
    with FlopCounterMode(display=False) as counter:
        gru(torch.randn(1, 5, 3, dtype=torch.float64), h[None])
    assert counter.get_total_flops() == 2 * 5 * (3 * 4 * 3 + 3 * 4 * 4)


@holds("Can gradients still vanish?")
def check_gradients_vanish_or_grow():
    def size(gru, steps=40, inputs=1.0):
        x = inputs * torch.randn(steps, 1, 8)
        jacobian = torch.autograd.functional.jacobian(lambda h: gru(x, h)[1].flatten(), torch.zeros(1, 1, 32))
        return float(torch.linalg.matrix_norm(jacobian.flatten(1))) / 32**0.5

    wide = nn.GRU(8, 32)
    assert size(wide) < 1e-6
    with torch.no_grad():
        wide.weight_hh_l0 *= 10
        wide.bias_ih_l0.zero_()
        wide.bias_hh_l0.zero_()
    assert size(wide, inputs=0.0) > 100
    constant = nn.GRU(8, 32)
    with torch.no_grad():
        for p in constant.parameters():
            p.zero_()
        constant.bias_ih_l0[32:64] = 2.0
    assert abs(size(constant) / float(torch.sigmoid(torch.tensor(2.0))) ** 40 - 1) < 0.01


@holds("Input", "Output", "Defaults", "Same in train and eval?")
def check_shapes_defaults_and_range():
    batch, single = nn.GRU(10, 20, 2, batch_first=True), torch.randn(3, 5, 10)
    assert [tuple(t.shape) for t in batch(single)] == [(3, 5, 20), (2, 3, 20)]
    assert torch.equal(batch(single)[0], batch(single, torch.zeros(2, 3, 20))[0])
    stacked = nn.GRU(10, 20, 2, dropout=0.5)
    assert not torch.allclose(stacked.train()(single)[0], stacked.eval()(single)[0], atol=1e-3)
    assert [tuple(t.shape) for t in nn.GRU(10, 20)(torch.randn(5, 10))] == [(5, 20), (1, 20)]
    assert [tuple(t.shape) for t in nn.GRU(10, 20, 2, bidirectional=True)(torch.randn(5, 3, 10))] == [
        (5, 3, 40),
        (4, 3, 20),
    ]
    gru = nn.GRU(10, 20)
    assert (
        gru(torch.randn(5, 10), torch.zeros(1, 20))[1].shape
        == gru(torch.randn(5, 3, 10), torch.zeros(1, 3, 20))[1][:, 0].shape
    )
    assert (gru.num_layers, gru.bias, gru.batch_first, gru.dropout, gru.bidirectional) == (1, True, False, 0.0, False)
    assert gru.weight_ih_l0.shape == (60, 10)
    x = torch.randn(30, 4, 10)
    assert torch.equal(gru.train()(x)[0], gru.eval()(x)[0])
    assert float(random_gru(3, 6)(torch.randn(50, 2, 3, dtype=torch.float64) * 3)[0].detach().abs().max()) < 1
    bound = 1 / math.sqrt(20)
    for p in gru.parameters():
        assert 0.8 * bound < float(p.detach().abs().max()) <= bound


@pitfall('"The documentation has $z$ the wrong way round"')
def check_the_other_convention_of_z():
    gru, x, h = random_gru(3, 4), np.random.randn(2, 3), np.random.randn(2, 4)
    other = nn.GRU(3, 4, dtype=torch.float64)
    other.load_state_dict(gru.state_dict())
    with torch.no_grad():
        for p in other.parameters():
            p[4:8] *= -1
    _, z, n, _ = step(gru, x, h)
    library = other(torch.tensor(x)[None], torch.tensor(h)[None])[1][0].detach().numpy()
    np.testing.assert_allclose((1 - z) * h + z * n, library, rtol=1e-9)
    as_it_is = gru(torch.tensor(x)[None], torch.tensor(h)[None])[1][0].detach().numpy()
    assert np.abs((1 - z) * h + z * n - as_it_is).max() > 0.1


@pitfall("Ported weights give different outputs although all shapes fit")
def check_the_reset_gate_does_not_commute():
    """Keras is not run; its order of the gates is put right by hand."""
    gru, x, h = random_gru(3, 4), np.random.randn(2, 3), np.random.randn(2, 4)
    run = lambda layer: layer(torch.tensor(x)[None], torch.tensor(h)[None])[1][0].detach().numpy()
    other = step(gru, x, h, reset_first=True)[3]
    assert np.abs(run(gru) - other).max() > 0.01
    with torch.no_grad():
        r, z, n = ([p[4 * k : 4 * k + 4].clone() for p in gru.parameters()] for k in range(3))
        W_i, W_h, b_i, b_h = zip(r, z, n)
        X, state = torch.tensor(x), torch.tensor(h)
        reset, update = (torch.sigmoid(X @ W_i[k].T + b_i[k] + state @ W_h[k].T + b_h[k]) for k in (0, 1))
        candidate = torch.tanh(X @ W_i[2].T + b_i[2] + (reset * state) @ W_h[2].T + b_h[2])
        np.testing.assert_allclose(((1 - update) * candidate + update * state).numpy(), other, rtol=1e-9)
        ported = nn.GRU(3, 4, dtype=torch.float64)
        for blocks, wrong in (((z, r, n), True), ((r, z, n), False)):
            for parameter, parts in zip(ported.parameters(), zip(*blocks)):
                parameter.copy_(torch.cat(parts))
            assert bool(np.abs(run(ported) - run(gru)).max() > 0.01) is wrong
    single, x, h = random_gru(3, 1), np.random.randn(2, 3), np.random.randn(2, 1)
    assert np.abs(step(single, x, h)[3] - step(single, x, h, reset_first=True)[3]).max() > 1e-3
    with torch.no_grad():
        single.bias_hh_l0[2] = 0
    np.testing.assert_allclose(step(single, x, h)[3], step(single, x, h, reset_first=True)[3], rtol=1e-12)


def kept_after_ten_steps(gru, layer, reverse=False):
    """The size of the gradient of a state with respect to the same layer's state ten steps earlier, that of the identity being 1."""
    H, place = gru.hidden_size, 2 * layer + reverse if gru.bidirectional else layer
    x, h = torch.randn(10, 1, gru.input_size), torch.zeros(gru.num_layers * (2 if gru.bidirectional else 1), 1, H)

    def last(start):
        return gru(x, torch.cat([h[:place], start[None, None], h[place + 1 :]]))[1][place, 0]

    jacobian = torch.autograd.functional.jacobian(last, torch.zeros(H))
    return float(torch.linalg.matrix_norm(jacobian)) / H**0.5


@pitfall("It forgets within ten steps")
def check_how_fast_it_forgets():
    fresh, kept, h = nn.GRU(8, 64), np.ones((200, 64)), np.zeros((200, 64))
    for x in np.random.randn(10, 200, 8):
        _, z, _, h = step(fresh, x, h)
        kept *= z
    assert 3e-4 < np.median(kept) < 3e-3  # the direct path
    for I, H, low, high in ((8, 64, 0.55, 0.65), (300, 20, 0.0, 0.3)):  # larger sums in the gate keep less
        opened, kept, h = nn.GRU(I, H), np.ones((200, H)), np.zeros((200, H))
        opened.bias_ih_l0.data[H : 2 * H] = 3
        for x in np.random.randn(10, 200, I):
            _, z, _, h = step(opened, x, h)
            kept *= z
        assert low < np.median(kept) < high
    deep = nn.GRU(8, 32, 2, bidirectional=True)
    places = [(layer, reverse) for layer in (0, 1) for reverse in (False, True)]
    assert all(kept_after_ten_steps(deep, *place) < 0.05 for place in places)
    deep.bias_ih_l0.data[32:64] = 3
    assert [kept_after_ten_steps(deep, *place) > 0.4 for place in places] == [True, False, False, False]
    for suffix in ("l0_reverse", "l1", "l1_reverse"):
        getattr(deep, f"bias_ih_{suffix}").data[32:64] = 3
    assert all(0.4 < kept_after_ten_steps(deep, *place) < 0.8 for place in places)
    stated("0.001", 0.5**10)
    z = float(torch.sigmoid(torch.tensor(3.0, dtype=torch.float64)))
    stated("0.95", z)
    stated("0.9526", z)
    stated("0.615", z**10)
    z = step(nn.GRU(16, 64), np.random.randn(200, 16), np.zeros((200, 64)))[1]
    assert abs(z.mean() - 0.5) < 0.03


@pitfall("The final state of short sequences is wrong")
def check_padding_changes_the_final_state():
    gru, x = nn.GRU(10, 20), torch.randn(4, 1, 10)
    padded, true = torch.cat([x, torch.zeros(12, 1, 10)]), gru(x)[1]
    output, last = gru(padded)
    assert float((true - last).abs().max().detach()) > 0.05
    assert torch.allclose(gru(pack_padded_sequence(padded, [4]))[1], true, atol=1e-6)
    assert torch.allclose(output[3], true[0], atol=1e-6)
    lengths = torch.tensor([3, 6, 2, 6])
    for first in (False, True):
        layer = nn.GRU(10, 20, num_layers=2, batch_first=first)
        x = torch.randn((4, 6, 10) if first else (6, 4, 10))
        raises(RuntimeError, lambda: pack_padded_sequence(x, lengths, batch_first=first), "sorted")
        state = layer(pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False))[1]
        output = layer(x)[0] if first else layer(x)[0].transpose(0, 1)
        assert torch.allclose(state[-1], output[torch.arange(4), lengths - 1], atol=1e-6)
