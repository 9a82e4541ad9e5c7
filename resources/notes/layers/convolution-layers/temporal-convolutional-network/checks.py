import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

CAUSAL = r"y_t = b + \sum_{k=0}^{K-1} w_k \, x_{t - (K - 1 - k) d}"
FIELD = r"R = 1 + \sum_{l} (K_l - 1) \, d_l, \qquad R_{\mathrm{TCN}} = 1 + 2 (K - 1)(2^L - 1)"

by_definition("Transformer, causal")
sourced("Bai, Kolter, Koltun, arXiv 1803.01271, abstract and table 1", "How did the TCN fare against RNNs?")
sourced("Bai, Kolter, Koltun, arXiv 1803.01271, section 3.4 (residual connections)", "Why residual connections?")


def causal(conv, x):
    return conv(F.pad(x, ((conv.kernel_size[0] - 1) * conv.dilation[0], 0)))


def stack(layers, seed=0):
    """A linear stack of causal convolutions with positive weights, so that no path cancels."""
    torch.manual_seed(seed)
    convs = [nn.Conv1d(1, 1, k, dilation=d).double() for k, d in layers]
    for conv in convs:
        nn.init.uniform_(conv.weight, 0.5, 1.5)

    def run(x):
        for conv in convs:
            x = causal(conv, x)
        return x

    return run


def seen(run, t, length):
    x = torch.randn(1, 1, length, dtype=torch.float64, requires_grad=True)
    run(x)[0, 0, t].backward()
    return x.grad[0, 0].nonzero().flatten().tolist()


@formula(CAUSAL)
@holds("Input → output", "Padding", "Parameters per layer")
def check_causal_convolution():
    for c_in, c_out, K, d, T in [(1, 1, 2, 1, 5), (3, 4, 3, 2, 11), (2, 2, 4, 5, 7), (2, 3, 1, 1, 4)]:
        conv = nn.Conv1d(c_in, c_out, K, dilation=d).double()
        x = torch.randn(2, c_in, T, dtype=torch.float64)
        w, b, xn = conv.weight.detach().numpy(), conv.bias.detach().numpy(), x.numpy()
        ours = np.zeros((2, c_out, T))
        for t in range(T):
            ours[:, :, t] = b
            for k in range(K):
                s = t - (K - 1 - k) * d
                if s >= 0:
                    ours[:, :, t] += xn[:, :, s] @ w[:, :, k].T
        np.testing.assert_allclose(ours, causal(conv, x).detach().numpy(), atol=1e-12)
        assert torch.allclose(causal(conv, x[0]), causal(conv, x)[0])
        both = nn.functional.conv1d(x, conv.weight, conv.bias, padding=(K - 1) * d, dilation=d)
        assert both.shape[-1] == T + (K - 1) * d and torch.allclose(both[..., :T], causal(conv, x))
        assert sum(p.numel() for p in conv.parameters()) == c_in * c_out * K + c_out


@formula(FIELD)
@holds("Receptive field", "TCN")
def check_receptive_field():
    for layers in ([(2, 1), (2, 2), (2, 4)], [(3, 1), (3, 1), (3, 2), (3, 2)], [(5, 3)]):
        R = 1 + sum((k - 1) * d for k, d in layers)
        found = seen(stack(layers), 60, 70)
        assert max(found) == 60 and min(found) == 60 - R + 1
        if layers[0][0] < 5:
            assert found == list(range(60 - R + 1, 61))
    for K, L in [(2, 3), (3, 4), (3, 8)]:
        layers = [(K, 2**i) for i in range(L) for _ in range(2)]
        assert 1 + 2 * (K - 1) * (2**L - 1) == 1 + sum((k - 1) * d for k, d in layers)
    found = seen(stack([(3, 2**i) for i in range(8) for _ in range(2)]), 1499, 1500)
    stated("1,021", 1499 - min(found) + 1)
    stated("1,024", 1 + sum(2**i for i in range(10)))
    for K in (2, 3, 5):
        reach = [1 + (K - 1) * sum(2**i for i in range(L)) for L in range(1, 9)]
        assert all(after == 2 * before + K - 2 for before, after in zip(reach, reach[1:]))
    run, x = stack([(2, 1), (2, 2), (2, 4)]), torch.randn(1, 1, 30, dtype=torch.float64)
    assert torch.allclose(run(x)[..., -1], run(x[..., -8:])[..., -1])  # the last R inputs are enough
    changed = x.clone()
    changed[..., 22] += 1
    assert not torch.allclose(run(x)[..., -1], run(changed)[..., -1])  # R - 1 of them are not


@check
def check_by_hand():
    x = torch.arange(1.0, 9).view(1, 1, 8)
    rows = []
    for d in (1, 2, 4):
        x = F.conv1d(F.pad(x, (d, 0)), torch.ones(1, 1, 2), dilation=d)
        rows.append(x.flatten().tolist())
    assert rows[0] == [1, 3, 5, 7, 9, 11, 13, 15] and rows[1] == [1, 3, 6, 10, 14, 18, 22, 26]
    stated("36", rows[2][-1])
    assert rows[2] == np.cumsum(range(1, 9)).tolist()


def forecaster(left, right, steps=300):
    """A small network that learns the next step of random walks: its error on all steps of new walks, and on the last."""
    torch.manual_seed(0)
    first, second = nn.Conv1d(1, 8, 3), nn.Conv1d(8, 1, 3, dilation=2)
    run = lambda x: second(F.pad(torch.relu(first(F.pad(x, (left, right)))), (2 * left, 2 * right)))
    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], 0.01)
    for _ in range(steps):
        walk = torch.randn(32, 1, 33).cumsum(-1)
        optimizer.zero_grad()
        F.mse_loss(run(walk[..., :-1])[..., 6:-6], walk[..., 7:-6]).backward()
        optimizer.step()
    walk = torch.randn(500, 1, 33).cumsum(-1)
    squared = ((run(walk[..., :-1]) - walk[..., 1:]) ** 2).detach().mean((0, 1))
    return float(squared[6:-6].mean()), float(squared[-1])


@pitfall("Brilliant validation, useless forecasts")
def check_same_padding_leaks():
    same = nn.Conv1d(1, 1, 3, padding="same").double()
    assert seen(same, 5, 12) == [4, 5, 6]
    assert seen(nn.Conv1d(1, 1, 3, padding="same", dilation=3).double(), 6, 14) == [3, 6, 9]
    wide = nn.Conv1d(1, 1, 3, padding="same", dilation=6).double()
    assert max(seen(wide, 10, 16)) == 10 and max(seen(wide, 10, 17)) == 16  # a leak needs room to be seen
    assert max(seen(lambda x: causal(nn.Conv1d(1, 1, 3, dilation=3).double(), x), 6, 14)) == 6
    for seed in range(5):  # the function of the article also finds the leak behind a softmax or a layer norm
        torch.manual_seed(seed)
        for head in (nn.Softmax(1), nn.GroupNorm(1, 4), nn.Identity()):
            x = torch.randn(1, 3, 16, requires_grad=True)
            y = head(nn.Conv1d(3, 4, 3, padding="same")(x).transpose(1, 2)[0].unsqueeze(-1))[10].flatten()
            (y @ torch.randn(len(y))).backward()
            assert x.grad[0].abs().sum(0).nonzero().flatten().tolist() == [9, 10, 11]
    validation, forecast = forecaster(1, 1)
    assert validation < 0.1 and forecast > 3
    validation, forecast = forecaster(2, 0)
    assert 0.8 < validation < 2 and 0.8 < forecast < 2


@pitfall("The output is longer than the input")
def check_padding_on_both_sides():
    x, K, d = torch.randn(2, 3, 20), 3, 4
    conv = nn.Conv1d(3, 5, K, dilation=d, padding=(K - 1) * d)
    y = conv(x)
    assert y.shape[-1] == 20 + (K - 1) * d
    by_hand = F.conv1d(F.pad(x, ((K - 1) * d, 0)), conv.weight, conv.bias, dilation=d)
    assert torch.allclose(y[..., : -(K - 1) * d], by_hand, atol=1e-6) and by_hand.shape[-1] == 20


@pitfall("Inputs from longer ago have no effect")
def check_reach_decides():
    def error(dilations):
        torch.manual_seed(0)
        convs = nn.ModuleList(
            [nn.Conv1d(1 if d == 1 else 4, 4 if d < dilations[-1] else 1, 2, dilation=d) for d in dilations]
        )
        optimizer = torch.optim.Adam(convs.parameters(), 0.05)
        for _ in range(300):
            x = torch.randn(8, 1, 40)
            y = x
            for conv in convs:
                y = causal(conv, y)
            loss = F.mse_loss(y[..., 16:], x[..., 4:-12])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    # The target is the input of twelve steps ago; R = 8 cannot see it, R = 16 can.
    assert error((1, 2, 4)) > 0.8 and error((1, 2, 4, 8)) < 0.4
    assert (
        seen(stack([(2, 1), (2, 2), (2, 4)]), 30, 40)[0] == 23
        and seen(stack([(2, 1), (2, 2), (2, 4), (2, 8)]), 30, 40)[0] == 15
    )


def first_and_later_errors(skipped):
    """Errors of a forecaster (R = 4) of a series around 2, trained with or without its first outputs."""
    torch.manual_seed(0)
    convs = nn.ModuleList([nn.Conv1d(1, 8, 2), nn.Conv1d(8, 1, 2, dilation=2)])
    run = lambda x: causal(convs[1], causal(convs[0], x).relu())

    def series(count):
        x = [torch.zeros(count), torch.zeros(count)]
        for _ in range(40):
            x.append(0.2 + 0.5 * x[-1] + 0.4 * x[-2] + 0.3 * torch.randn(count))
        return torch.stack(x[22:], 1)[:, None]

    optimizer = torch.optim.Adam(convs.parameters(), 0.02)
    for _ in range(200):
        x = series(32)
        optimizer.zero_grad()
        F.mse_loss(run(x[..., :-1])[..., skipped:], x[..., 1 + skipped :]).backward()
        optimizer.step()
    x = series(500)
    squared = ((run(x[..., :-1]) - x[..., 1:]) ** 2).detach().mean((0, 1))
    return float(squared[0]), float(squared[3:].mean())


@pitfall("The first steps are worse than the rest")
def check_start_differs_from_steady_state():
    run = stack([(2, 1), (2, 2), (2, 4)])
    ones = run(torch.ones(1, 1, 30, dtype=torch.float64))[0, 0]
    assert torch.allclose(ones[7:], ones[-1]) and (ones[:7] - ones[-1]).abs().min() > 1e-6
    constant = run(torch.zeros(1, 1, 30, dtype=torch.float64))[0, 0]
    assert torch.allclose(constant[6], constant[-1])
    assert torch.allclose(constant[7:], constant[-1]) and (constant[:6] - constant[-1]).abs().min() > 1e-6
    # Earlier steps before the ones that count: those agree with a run that started much earlier.
    x = torch.randn(1, 1, 60, dtype=torch.float64)
    long = run(x)[..., 30:]
    assert not torch.allclose(run(x[..., 30:])[..., :7], long[..., :7]) and torch.allclose(
        run(x[..., 30:])[..., 7:], long[..., 7:]
    )
    assert torch.allclose(run(x[..., 23:])[..., 7:], long)
    (first, later), (left_out, _) = first_and_later_errors(0), first_and_later_errors(3)
    assert later < first and left_out > 1.5 * first, (first, later, left_out)


@pitfall("Batch normalization lets the future in")
def check_batch_norm_leaks():
    x = torch.randn(4, 3, 10)
    later = x.clone()
    later[..., 6:] += 5
    norm, per_step = nn.BatchNorm1d(3).train(), nn.LayerNorm(3)
    assert not torch.allclose(norm(x)[..., :6], norm(later)[..., :6], atol=0.1)
    assert torch.equal(per_step(x.mT)[:, :6], per_step(later.mT)[:, :6])
    conv, long = nn.Conv1d(3, 3, 2), torch.randn(4, 3, 11)
    raises(RuntimeError, lambda: conv(per_step(long.mT)), "channels")
    assert causal(conv, per_step(long.mT).mT).shape == long.shape
    weighted = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 3, 2))
    assert torch.equal(causal(weighted, x)[..., :6], causal(weighted, later)[..., :6])
    over_time = nn.LayerNorm(10)
    assert not torch.allclose(over_time(x)[..., :6], over_time(later)[..., :6], atol=0.1)


@holds("Defaults of `nn.Conv1d`", "Same in train and eval?", "Cost per layer", "Ordinary Conv1d")
def check_contract():
    conv = nn.Conv1d(3, 5, 3)
    assert (conv.stride, conv.padding, conv.dilation) == ((1,), (0,), (1,)) and conv.bias is not None
    raises(ValueError, lambda: nn.Conv1d(3, 5, 3, padding="causal"), "padding")
    x = torch.randn(2, 3, 40)
    assert torch.equal(causal(conv.train(), x), causal(conv.eval(), x))
    block = nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), conv, nn.ReLU(), nn.Dropout(0.5))
    assert not torch.allclose(block.train()(x), block.eval()(x), atol=0.1)
    with FlopCounterMode(display=False) as counter:
        causal(conv, x[:1])
    assert counter.get_total_flops() == 2 * 40 * 3 * 5 * 3
    steps = torch.stack([conv(F.pad(x, (2, 0))[..., t : t + 3])[..., 0] for t in torch.randperm(40)])
    assert steps.shape == (40, 2, 5)  # any order: no step needs another's output
    assert seen(nn.Conv1d(1, 1, 3, padding=1).double(), 5, 12) == [4, 5, 6]


@holds("LSTM", "Transformer, causal")
def check_what_a_new_step_needs():
    lstm = nn.LSTM(2, 4, batch_first=True).double()
    x = torch.randn(1, 50, 2, dtype=torch.float64, requires_grad=True)
    y, _ = lstm(x)
    (gradient,) = torch.autograd.grad(y[0, -1].sum(), x)
    assert (gradient[0].abs().sum(1) > 0).all()  # back to the first step
    _, state = lstm(x[:, :-1])
    assert torch.allclose(lstm(x[:, -1:], state)[0], y[:, -1:]) and state[0].shape == state[1].shape == (1, 1, 4)
    work = []
    for context in (10, 20):  # one query against cached keys and values
        q, kv = torch.randn(1, 1, 1, 8), torch.randn(1, 1, context, 8)
        with FlopCounterMode(display=False) as counter:
            (q @ kv.mT).softmax(-1) @ kv
        work.append(counter.get_total_flops())
    assert work[1] == 2 * work[0]


@holds("Why dilation and not larger kernels?")
def check_weights_for_the_same_reach():
    for L in (4, 8, 12):
        convs = [nn.Conv1d(1, 1, 2, dilation=2**i, bias=False) for i in range(L)]
        R = 1 + sum(conv.dilation[0] for conv in convs)
        assert R == 2**L and sum(conv.weight.numel() for conv in convs) == 2 * L == 2 * round(np.log2(R))
        assert nn.Conv1d(1, 1, R, bias=False).weight.numel() == R


@holds("Why double the dilation?")
def check_doubling_is_the_fastest_growth():
    def inputs(dilations):
        return {sum(chosen) for chosen in itertools.product(*[(0, d) for d in dilations])}

    for L, limit in ((2, 6), (3, 9), (4, 10)):
        tried = itertools.product(range(1, limit), repeat=L)
        reach = {d: 1 + sum(d) for d in tried if inputs(d) == set(range(1 + sum(d)))}
        best = max(reach.values())
        assert best == 2**L == reach[tuple(2**i for i in range(L))]
    assert seen(stack([(2, 1), (2, 3)]), 9, 10) == [5, 6, 8, 9]  # tripling leaves a gap


@holds("Why residual connections?")
def check_a_1x1_convolution_fits_the_channels():
    x, body = torch.randn(2, 3, 20), nn.Conv1d(3, 8, 2)
    raises(RuntimeError, lambda: causal(body, x) + x, "size")
    assert (causal(body, x) + nn.Conv1d(3, 8, 1)(x)).shape == (2, 8, 20)
