import inspect
import math

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

STEP = r"h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})"
JACOBIAN = r"""
\frac{\partial h_t}{\partial h_{t-1}} = \operatorname{diag}(1 - h_t^2)\, W_{hh}, \qquad
\frac{\partial h_t}{\partial h_{t-k}} = \prod_{j=0}^{k-1} \operatorname{diag}(1 - h_{t-j}^2)\, W_{hh}
"""
PARAMETERS = r"P = DH(I + H + 2) + (L - 1)\, DH(DH + H + 2)"

by_definition("TCN", "Transformer")
sourced("PyTorch issue #36905 (the layout of cuDNN)", "Why two bias vectors?")


def weights(rnn):
    return [getattr(rnn, f"{name}_l0").detach().numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def states(rnn, x, h):
    """All states of a one-layer RNN, in NumPy; x is (T, N, I)."""
    W_ih, W_hh, b_ih, b_hh = weights(rnn)
    found = []
    for x_t in x:
        h = np.tanh(x_t @ W_ih.T + b_ih + h @ W_hh.T + b_hh)
        found.append(h)
    return np.array(found)


@formula(STEP)
def check_equals_the_library():
    for T, N, I, H in ((1, 1, 1, 1), (7, 3, 5, 4), (4, 2, 3, 6)):
        rnn = nn.RNN(I, H, dtype=torch.float64)
        for p in rnn.parameters():
            nn.init.normal_(p, std=0.7)
        x, h0 = torch.randn(T, N, I, dtype=torch.float64), torch.randn(1, N, H, dtype=torch.float64)
        output, h_n = rnn(x, h0)
        ours = states(rnn, x.numpy(), h0[0].numpy())
        np.testing.assert_allclose(ours, output.detach().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours[-1], h_n[0].detach().numpy(), rtol=1e-9, atol=1e-12)
        zeros, _ = rnn(x)
        np.testing.assert_allclose(
            states(rnn, x.numpy(), np.zeros((N, H))), zeros.detach().numpy(), rtol=1e-9, atol=1e-12
        )


@formula(JACOBIAN)
def check_jacobian():
    rnn = nn.RNN(3, 4, dtype=torch.float64)
    W = rnn.weight_hh_l0.detach().numpy()
    for k in (1, 2, 5):
        x, h = torch.randn(k, 3, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
        library = torch.autograd.functional.jacobian(lambda start: rnn(x, start)[1][0], h)[:, 0].numpy()
        path = rnn(x, h)[0].detach().numpy()
        ours = np.eye(4)
        for j in range(k):
            ours = ours @ (np.diag(1 - path[k - 1 - j] ** 2) @ W)
        np.testing.assert_allclose(ours, library, rtol=1e-8, atol=1e-12)


@holds("Cost")
def check_multiply_adds():
    for I, H, L, D, T, N in ((10, 20, 1, 1, 7, 1), (5, 4, 3, 2, 6, 3)):
        rnn = nn.RNN(I, H, L, bidirectional=D == 2)
        with FlopCounterMode(display=False) as counter:
            rnn(torch.randn(T, N, I))
        assert counter.get_total_flops() == 2 * T * N * D * (H * (I + H) + (L - 1) * H * (D * H + H))


@holds("Why two bias vectors?")
def check_the_two_biases_are_only_added():
    rnn, x = nn.RNN(4, 6), torch.randn(5, 3, 4)
    before = rnn(x)[0]
    with torch.no_grad():
        rnn.bias_ih_l0 += rnn.bias_hh_l0
        rnn.bias_hh_l0.zero_()
    assert torch.allclose(before, rnn(x)[0], atol=1e-6)


@holds("plain RNN", "GRU", "LSTM")
def check_memory_of_the_three():
    """What the state of forty steps ago still does: little in an RNN; the gate bias decides in the others."""

    def kept(layer, bias):
        zeros, x, lstm = torch.zeros(1, 1, 32), torch.randn(40, 1, 4), isinstance(layer, nn.LSTM)
        with torch.no_grad():
            layer.bias_ih_l0[32:64] += bias  # the update gate of a GRU, the forget gate of an LSTM
        last = lambda start: layer(x, (zeros, start))[1][1] if lstm else layer(x, start)[1]
        return float(torch.autograd.functional.jacobian(last, zeros).norm()) / 32**0.5

    assert kept(nn.RNN(4, 32), 0.0) < 1e-5 and min(kept(kind(4, 32), 3.0) for kind in (nn.GRU, nn.LSTM)) > 0.02
    assert max(kept(kind(4, 32), 0.0) for kind in (nn.GRU, nn.LSTM)) < 1e-5
    x = torch.randn(2, 1, 4)
    assert isinstance(nn.GRU(4, 32)(x)[1], torch.Tensor) and len(nn.LSTM(4, 32)(x)[1]) == 2


@holds("Why do the steps run one after another, in training too?")
def check_what_can_be_computed_at_once():
    rnn, x = nn.RNN(3, 4), torch.randn(6, 1, 3)
    at_once, h = x @ rnn.weight_ih_l0.T + rnn.bias_ih_l0, torch.zeros(1, 4)
    for t in range(6):
        h = torch.tanh(at_once[t] + h @ rnn.weight_hh_l0.T + rnn.bias_hh_l0)
    assert torch.allclose(h, rnn(x)[1][0], atol=1e-6)
    a, b = torch.randn(2, 1, 1, 4)  # not linear in the state before: sums do not map to sums
    after = lambda state: rnn(x[:1], state)[1]
    assert (after(a + b) - after(a) - after(b) + after(torch.zeros(1, 1, 4))).abs().max() > 1e-3


@holds("Parameters", "plain RNN", "GRU", "LSTM", "Why two bias vectors?")
@formula(PARAMETERS)
def check_parameters():
    for I, H, L, both in ((10, 20, 1, False), (10, 20, 2, False), (3, 5, 3, True), (7, 2, 1, True)):
        D = 2 if both else 1
        rnn = nn.RNN(I, H, L, bidirectional=both)
        assert sum(p.numel() for p in rnn.parameters()) == D * H * (I + H + 2) + (L - 1) * D * H * (D * H + H + 2)
    for kind, text in ((nn.RNN, "640"), (nn.GRU, "1,920"), (nn.LSTM, "2,560")):
        stated(text, sum(p.numel() for p in kind(10, 20).parameters()))
    rnn = nn.RNN(10, 20)
    stated("620", sum(p.numel() for p in rnn.parameters()) - rnn.bias_hh_l0.numel())


@check
def check_worked_example():
    h1 = math.tanh(1)
    stated("0.7616", h1)
    stated("1.3808", 1 + 0.5 * h1)
    h2 = math.tanh(1 + 0.5 * h1)
    stated("0.8811", h2)
    stated("0.1118", (1 - h2**2) * 0.5)
    rnn = nn.RNN(1, 1, bias=False)
    with torch.no_grad():
        rnn.weight_ih_l0.fill_(1.0)
        rnn.weight_hh_l0.fill_(0.5)
    np.testing.assert_allclose(rnn(torch.ones(2, 1))[0][:, 0].tolist(), [h1, h2], rtol=1e-5)
    assert 8.5 < 1 / ((1 - h2**2) * 0.5) < 9.5


@holds("Input", "Output", "Defaults", "Same in train and eval?")
def check_shapes_and_defaults():
    stacked, steps = nn.RNN(10, 20, 2, dropout=0.5), torch.randn(5, 3, 10)
    assert not torch.allclose(stacked.train()(steps)[0], stacked.eval()(steps)[0], atol=1e-3)
    assert torch.equal(stacked(steps)[0], stacked(steps, torch.zeros(2, 3, 20))[0])
    assert len([*nn.RNN(10, 20, 2, bidirectional=True).parameters()]) == 4 * (2 + 2)
    raises(Exception, lambda: nn.RNN(10, 20)(torch.ones(5, 3, 10, dtype=torch.int64)))
    assert [tuple(t.shape) for t in nn.RNN(10, 20)(torch.randn(5, 10))] == [(5, 20), (1, 20)]
    assert [tuple(t.shape) for t in nn.RNN(10, 20, 2, bidirectional=True)(torch.randn(5, 3, 10))] == [
        (5, 3, 40),
        (4, 3, 20),
    ]
    first = nn.RNN(10, 20, batch_first=True)
    output, h_n = first(torch.randn(3, 5, 10))
    assert output.shape == (3, 5, 20) and h_n.shape == (1, 3, 20)
    rnn = nn.RNN(10, 20)
    assert (rnn.num_layers, rnn.bias, rnn.batch_first, rnn.dropout, rnn.bidirectional) == (1, True, False, 0.0, False)
    assert rnn.nonlinearity == "tanh" and inspect.isclass(nn.RNNCell)
    x = torch.randn(5, 3, 10)
    assert torch.equal(rnn.train()(x)[0], rnn.eval()(x)[0])
    relu = nn.RNN(10, 20, nonlinearity="relu")
    assert float(relu(x * 9)[0].detach().max()) > 1 and float(relu(x)[0].detach().min()) >= 0


@pitfall("`output` and `h_n` are confused")
def check_output_and_last_states():
    x = torch.randn(3, 7, 10)
    for both in (False, True):
        rnn = nn.RNN(10, 20, num_layers=2, bidirectional=both, batch_first=True)
        output, h_n = rnn(x)
        chosen = torch.cat([h_n[-2], h_n[-1]], dim=-1) if both else h_n[-1]
        assert not torch.allclose(h_n[0], chosen[:, :20], atol=0.05)
        ends = torch.cat([output[:, -1, :20], output[:, 0, 20:]], dim=-1)
        assert torch.equal(chosen, ends) and torch.allclose(output[:, -1], chosen, atol=0.01) is not both
        # What was chosen has read every token; the backward half of the last step only the last one.
        changed = torch.cat([torch.randn(3, 6, 10), x[:, -1:]], 1)
        assert not torch.allclose(rnn(changed)[1][-1], h_n[-1], atol=1e-4)
    lone = nn.RNN(10, 20, bidirectional=True, batch_first=True)
    assert torch.allclose(lone(x)[0][:, -1, 20:], lone(changed)[0][:, -1, 20:], atol=1e-6)


@pitfall("Samples influence each other, no error appears")
def check_wrong_layout_mixes_samples():
    x = torch.randn(6, 4, 10)
    other = x.clone()
    other[0] += 1.0
    for first, mixed in ((False, True), (True, False)):
        rnn = nn.RNN(10, 20, batch_first=first)
        assert (not torch.allclose(rnn(x)[0][3], rnn(other)[0][3], atol=1e-4)) is mixed
    cured = nn.RNN(10, 20, batch_first=True)
    assert cured(x)[1].shape == cured(x, torch.zeros(1, 6, 20))[1].shape == (1, 6, 20)
    raises(RuntimeError, lambda: nn.RNN(10, 20)(x, torch.zeros(1, 6, 20)), "hidden size")


@pitfall("Short sequences give poor final states")
def check_padding_overwrites_the_state():
    rnn = nn.RNN(10, 20)
    x, other = torch.randn(4, 1, 10), torch.randn(4, 1, 10)
    padded = torch.cat([x, torch.zeros(30, 1, 10)])
    true, (output, last) = rnn(x)[1], rnn(padded)
    assert float((true - last).abs().max().detach()) > 0.05
    # Overwritten: another sequence ends in the same state.
    assert torch.allclose(rnn(torch.cat([other, padded[4:]]))[1], last, atol=1e-4) and not torch.allclose(
        rnn(other)[1], true, atol=0.05
    )
    assert torch.allclose(rnn(pack_padded_sequence(padded, [4]))[1], true, atol=1e-6)
    assert torch.allclose(output[3], true[0], atol=1e-6)
    both = torch.cat([padded, torch.randn(34, 1, 10)], 1)
    raises(RuntimeError, lambda: pack_padded_sequence(both, [4, 34]), "enforce_sorted")
    assert torch.allclose(rnn(pack_padded_sequence(both, [4, 34], enforce_sorted=False))[1][:, :1], true, atol=1e-6)
    layer, batch = nn.RNN(10, 20, batch_first=True), torch.randn(6, 9, 10)  # no error, but other numbers
    for same in (False, True):
        packed = pack_padded_sequence(batch, [4] * 6, batch_first=same, enforce_sorted=False)
        assert torch.allclose(layer(packed)[1], layer(batch[:, :4])[1], atol=1e-5) is same


@pitfall('"Trying to backward through the graph a second time"')
def check_reused_state_needs_detach():
    rnn = nn.RNN(3, 4)
    _, h = rnn(torch.randn(5, 1, 3))
    h.sum().backward()
    raises(
        RuntimeError,
        lambda: rnn(torch.randn(5, 1, 3), h)[1].sum().backward(),
        "Trying to backward through the graph a second time",
    )
    rnn(torch.randn(5, 1, 3), h.detach())[1].sum().backward()
    raises(RuntimeError, lambda: rnn(torch.randn(5, 2, 3), h.detach()), "Expected hidden size")
    h = None
    for batch in (torch.randn(5, 8, 3), torch.randn(5, 8, 3), torch.randn(5, 3, 3)):
        rnn(batch)[1].sum().backward()


@pitfall("The loss turns into NaN, or far tokens are ignored")
def check_clipping_against_explosion():
    """The first half of the pitfall; the second is the next check."""
    for clipped in (False, True):
        torch.manual_seed(0)
        rnn, head = nn.RNN(4, 32, batch_first=True), nn.Linear(32, 1)
        with torch.no_grad():
            rnn.weight_hh_l0.copy_(1.3 * nn.init.orthogonal_(torch.empty(32, 32)))
        parameters = [*rnn.parameters(), *head.parameters()]
        optimizer, losses = torch.optim.SGD(parameters, 0.1), []
        for _ in range(80):
            x = 0.1 * torch.randn(16, 60, 4)
            loss = nn.functional.mse_loss(head(rnn(x)[0][:, -1]), x[:, -1, :1])
            optimizer.zero_grad()
            loss.backward()
            if clipped:
                nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(loss.item())
        assert math.isfinite(losses[-1]) is clipped
    for kind in ("tanh", "relu"):  # where ReLU's states overflow there is nothing to clip
        rnn, head = nn.RNN(4, 32, nonlinearity=kind), nn.Linear(32, 1)
        with torch.no_grad():
            rnn.weight_hh_l0.copy_(3 * nn.init.orthogonal_(torch.empty(32, 32)))
        head(rnn(torch.randn(200, 16, 4))[0][-1]).pow(2).mean().backward()
        finite = bool(nn.utils.clip_grad_norm_(head.parameters(), 1.0).isfinite())
        assert finite is all(bool(p.grad.isfinite().all()) for p in head.parameters()) is (kind == "tanh")


@pitfall("The loss turns into NaN, or far tokens are ignored")
def check_gates_need_a_bias_against_vanishing():
    def kept(cell, bias, orthogonal=False, inputs=2, size=0.3):
        layer = cell(inputs, 32)
        if orthogonal:
            nn.init.orthogonal_(layer.weight_hh_l0)
        with torch.no_grad():
            layer.bias_ih_l0[32:64] += bias
        x = (size * torch.randn(40, 1, inputs)).requires_grad_()
        layer(x)[0][-1].sum().backward()
        sizes = x.grad.norm(dim=-1)
        return float(sizes[0] / sizes[-1])

    for cell in (nn.LSTM, nn.GRU):
        assert kept(cell, 0.0) < 1e-5 and kept(cell, 3.0) > 0.02
    assert kept(nn.RNN, 0.0) < 1e-5 and kept(nn.RNN, 0.0, orthogonal=True) > 1e-3
    assert kept(nn.RNN, 0.0, orthogonal=True, inputs=32, size=2.0) < 1e-4


@holds("Does a small enough spectral radius rule out exploding gradients?")
def check_norm_and_spectral_radius():
    W = np.array([[0.5, 10.0], [0.0, 0.5]])
    assert max(abs(np.linalg.eigvals(W))) < 1 and np.linalg.norm(W @ W, 2) > 9
    rnn = nn.RNN(3, 8, dtype=torch.float64)
    nn.init.orthogonal_(rnn.weight_hh_l0)
    x = torch.randn(20, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda h: rnn(x, h)[1][0], torch.zeros(1, 8, dtype=torch.float64))[
        :, 0
    ]
    assert float(torch.linalg.matrix_norm(jacobian, 2)) <= 1
