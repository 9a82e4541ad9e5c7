import math

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, stated

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


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def step(gru, x, h, reset_first=False):
    """One step of the article's formulas in NumPy; returns r, z, n and the new state."""
    W_i, W_h, b_i, b_h = (getattr(gru, f"{name}_l0").detach().numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
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


@check
def check_shapes_defaults_and_range():
    assert [tuple(t.shape) for t in nn.GRU(10, 20)(torch.randn(5, 10))] == [(5, 20), (1, 20)]
    assert [tuple(t.shape) for t in nn.GRU(10, 20, 2, bidirectional=True)(torch.randn(5, 3, 10))] == [(5, 3, 40), (4, 3, 20)]
    gru = nn.GRU(10, 20)
    assert gru(torch.randn(5, 10), torch.zeros(1, 20))[1].shape == gru(torch.randn(5, 3, 10), torch.zeros(1, 3, 20))[1][:, 0].shape
    assert (gru.num_layers, gru.bias, gru.batch_first, gru.dropout, gru.bidirectional) == (1, True, False, 0.0, False)
    assert gru.weight_ih_l0.shape == (60, 10)
    x = torch.randn(30, 4, 10)
    assert torch.equal(gru.train()(x)[0], gru.eval()(x)[0])
    assert float(random_gru(3, 6)(torch.randn(50, 2, 3, dtype=torch.float64) * 3)[0].detach().abs().max()) < 1
    bound = 1 / math.sqrt(20)
    for p in gru.parameters():
        assert 0.8 * bound < float(p.detach().abs().max()) <= bound


@check
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


@check
def check_the_reset_gate_does_not_commute():
    gru, x, h = random_gru(3, 4), np.random.randn(2, 3), np.random.randn(2, 4)
    assert np.abs(step(gru, x, h)[3] - step(gru, x, h, reset_first=True)[3]).max() > 0.01


@check
def check_how_fast_it_forgets():
    stated("0.001", 0.5**10)
    z = float(torch.sigmoid(torch.tensor(3.0, dtype=torch.float64)))
    stated("0.95", z)
    stated("0.9526", z)
    stated("0.615", z**10)
    z = step(nn.GRU(16, 64), np.random.randn(200, 16), np.zeros((200, 64)))[1]
    assert abs(z.mean() - 0.5) < 0.03


@check
def check_padding_changes_the_final_state():
    gru, x = nn.GRU(10, 20), torch.randn(4, 1, 10)
    padded = torch.cat([x, torch.zeros(12, 1, 10)])
    assert float((gru(x)[1] - gru(padded)[1]).abs().max().detach()) > 0.05
