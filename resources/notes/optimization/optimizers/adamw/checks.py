import inspect
import math

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, holds, pitfall, sourced, stated
from trainings import descend, weights_after_a_step

MOMENTS = r"""
\hat m_t = \frac{\beta_1 m_{t-1} + (1-\beta_1)\,g_t}{1-\beta_1^t}, \qquad
\hat v_t = \frac{\beta_2 v_{t-1} + (1-\beta_2)\,g_t^2}{1-\beta_2^t}
"""
UPDATE = r"\theta_t = (1 - \eta\lambda)\,\theta_{t-1} - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon}"

sourced("Large Batch Optimization for Deep Learning, arXiv 1904.00962, Algorithm 2: r + lambda x per layer", "LAMB")


def by_formula(theta, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
    """The two formulas of the article, in NumPy."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        theta = (1 - lr * weight_decay) * theta - lr * m_hat / (np.sqrt(v_hat) + eps)
    return theta


def by_library(theta, gradients, kind=torch.optim.AdamW, **options):
    w = torch.tensor(np.asarray(theta, dtype=float), requires_grad=True)
    optimizer = kind([w], **options)
    for gradient in gradients:
        w.grad = torch.as_tensor(np.asarray(gradient, dtype=float)).reshape(w.shape).clone()
        optimizer.step()
    return w.detach().numpy()


@formula(MOMENTS, UPDATE)
def check_equals_the_library():
    for shape in [(1,), (4,), (3, 5), (2, 3, 4)]:
        for options in ({}, {"lr": 0.3, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.5}, {"weight_decay": 0.0}):
            theta = np.random.randn(*shape) * 3
            gradients = [np.random.randn(*shape) * 10.0 ** np.random.uniform(-3, 3) for _ in range(20)]
            gradients[0] = np.zeros(shape)
            np.testing.assert_allclose(
                by_formula(theta, gradients, **options), by_library(theta, gradients, **options), rtol=1e-9, atol=1e-12
            )


@holds("AdamW", "Adam with `weight_decay`", "SGD with `weight_decay`", "State")
def check_decay_is_in_neither_moment():
    states = []
    for decay in (0.0, 0.7):
        w = torch.full((3,), 5.0, requires_grad=True)
        optimizer = torch.optim.AdamW([w], weight_decay=decay)
        for _ in range(5):
            w.grad = torch.tensor([1.0, 2.0, -3.0])
            optimizer.step()
        states.append(optimizer.state[w])
    assert all(torch.equal(states[0][key], states[1][key]) for key in ("exp_avg", "exp_avg_sq"))
    assert sorted(states[0]) == ["exp_avg", "exp_avg_sq", "step"]

    def after_one_step(kind, decay, **options):
        w = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
        optimizer = kind([w], lr=0.1, weight_decay=decay, **options)
        w.grad = torch.tensor([2.0], dtype=torch.float64)
        optimizer.step()
        kept = {key: value.item() for key, value in optimizer.state[w].items() if value is not None and key != "step"}
        return w.item(), kept

    (plain, bare), (decayed, kept) = (after_one_step(torch.optim.AdamW, decay) for decay in (0.0, 0.7))
    assert math.isclose(plain - decayed, 0.1 * 0.7 * 5) and kept == bare
    (plain, bare), (decayed, kept) = (after_one_step(torch.optim.Adam, decay) for decay in (0.0, 0.7))
    assert math.isclose(plain, decayed, rel_tol=1e-6)  # the quotient takes the size out, the decay included
    assert math.isclose(kept["exp_avg"], 0.1 * (2 + 0.7 * 5))
    assert math.isclose(kept["exp_avg_sq"], 0.001 * (2 + 0.7 * 5) ** 2)
    (plain, _), (decayed, kept) = (after_one_step(torch.optim.SGD, decay) for decay in (0.0, 0.7))
    assert math.isclose(plain - decayed, 0.1 * 0.7 * 5) and not kept
    _, kept = after_one_step(torch.optim.SGD, 0.7, momentum=0.9)
    assert math.isclose(kept["momentum_buffer"], 2 + 0.7 * 5)


@holds("Same in train and eval?")
def check_step_does_not_look_at_the_mode():
    found = [weights_after_a_step(torch.optim.AdamW, training) for training in (True, False)]
    assert torch.equal(*found) and (found[0] < 1).all()


@holds("Input", "Defaults", "Decay per step")
def check_defaults():
    defaults = {name: p.default for name, p in inspect.signature(torch.optim.AdamW).parameters.items()}
    assert (defaults["lr"], defaults["betas"], defaults["eps"]) == (1e-3, (0.9, 0.999), 1e-8)
    stated("0.01", defaults["weight_decay"])
    assert inspect.signature(torch.optim.Adam).parameters["weight_decay"].default == 0
    stated("0.99999", by_library([1.0], [0.0])[0])
    skipped = torch.ones(3, requires_grad=True)
    torch.optim.AdamW([{"params": [skipped]}], weight_decay=1.0).step()
    assert torch.equal(skipped.detach(), torch.ones(3))


@check
def check_worked_example():
    options = {"lr": 0.1, "weight_decay": 0.1}
    stated("0.9", by_library([1.0], [2.0], torch.optim.Adam, **options)[0])
    stated("0.89", by_library([1.0], [2.0], **options)[0])
    stated("0.89", by_library([1.0], [2.0], torch.optim.Adam, decoupled_weight_decay=True, **options)[0])
    stated("0.9", by_library([1.0], [-0.02], torch.optim.Adam, **options)[0])
    stated("1.09", by_library([1.0], [-0.02], **options)[0])
    stated("2.1", 2 + 0.1 * 1)
    stated("0.08", -0.02 + 0.1 * 1)
    stated("0.99", 1 - 0.1 * 0.1)


@pitfall('"An L2 term has no effect in Adam"')
def check_numbers_of_the_figure():
    def final_means(kind):
        torch.manual_seed(0)
        w = torch.ones(2, 300, dtype=torch.float64, requires_grad=True)
        optimizer = kind([w], lr=0.01, weight_decay=0.1)
        for _ in range(2000):
            w.grad = torch.randn(2, 300, dtype=torch.float64) * torch.tensor([[10.0], [0.1]], dtype=torch.float64)
            optimizer.step()
        return w.detach().mean(1).tolist()

    large, small = final_means(torch.optim.Adam)
    stated("0.83", large)
    assert abs(small) < 0.03
    large, small = final_means(torch.optim.AdamW)
    assert abs(large - 0.14) < 0.02 and abs(small - 0.14) < 0.02, (large, small)
    stated("0.14", (1 - 0.01 * 0.1) ** 2000)


@pitfall("The decay seems to do nothing")
def check_decay_fitted_to_the_length_of_the_run():
    steps = 1000
    assert by_library([1.0], [0.0] * steps)[0] > 0.98
    fitted = by_library([1.0], [0.0] * steps, weight_decay=1 / (1e-3 * steps))[0]
    assert math.isclose(fitted, math.exp(-1), rel_tol=0.01)
    for decay, kept in ((1e-4, 1.0), (1e-2, 0.999)):  # in float32, at a rate of 1e-4
        w = torch.ones(1, requires_grad=True)
        optimizer = torch.optim.AdamW([w], lr=1e-4, weight_decay=decay)
        w.grad = torch.zeros(1)
        for _ in range(steps):
            optimizer.step()
        assert (w == 1).item() if kept == 1 else math.isclose(w.item(), kept, rel_tol=1e-4)


@pitfall("Norm gains, biases and rare embedding rows shrink")
def check_groups_without_decay():
    def after(grouped):
        torch.manual_seed(0)
        table, norm = nn.Embedding(4, 3), nn.LayerNorm(3)
        nn.init.ones_(norm.bias)
        before = [table.weight[2:].detach().clone(), norm.weight.detach().clone(), norm.bias.detach().clone()]
        kept = [*table.parameters(), *norm.parameters()]
        optimizer = torch.optim.AdamW([{"params": kept, "weight_decay": 0.0}] if grouped else kept)
        descend(optimizer, lambda: (0 * norm(table(torch.tensor([0, 1])))).sum(), 1000)
        return [float((now / then).mean()) for now, then in zip((table.weight[2:], norm.weight, norm.bias), before)]

    assert all(abs(share - 0.99) < 1e-3 for share in after(False)) and after(True) == [1, 1, 1]
    assert nn.LayerNorm([2, 3]).weight.ndim == nn.LayerNorm([2, 3]).bias.ndim == 2
    assert nn.LayerNorm(6).weight.ndim == nn.BatchNorm2d(6).weight.ndim == 1


@pitfall("Norm gains, biases and rare embedding rows shrink")
def check_half_life_and_rare_rows():
    per_step = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.AdamW([per_step])
    per_step.grad = torch.zeros(1)
    optimizer.step()
    for factor in (per_step.item(), 1 - 1e-3 * 1e-2):  # of one step in float32, and exact
        stated("69,000", 1000 * round(math.log(0.5) / math.log(factor) / 1000))
        stated("0.37", factor**100_000)
    table = nn.Embedding(4, 3)
    before = table.weight.detach().clone()
    optimizer = torch.optim.AdamW(table.parameters(), lr=0.1, weight_decay=0.1)
    descend(optimizer, lambda: table(torch.tensor([0, 1])).sum(), 10)
    assert torch.allclose(table.weight[2:], before[2:] * (1 - 0.01) ** 10, rtol=1e-5)


@check
def check_schedule_lowers_the_decay():
    w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([w], lr=0.1, weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step == 0 else 0.0)
    values = []
    for _ in range(3):
        w.grad = torch.zeros_like(w)
        optimizer.step()
        scheduler.step()
        values.append(w.item())
    assert math.isclose(values[0], 0.99) and values[0] == values[1] == values[2]


@pitfall("Replacing `Adam` by `AdamW` changes the result")
def check_without_decay_the_two_are_identical():
    gradients = np.random.randn(10, 5)
    theta = np.random.randn(5)
    assert (by_library(theta, gradients, weight_decay=0) == by_library(theta, gradients, torch.optim.Adam)).all()
    assert not np.allclose(
        by_library(theta, gradients), by_library(theta, gradients, torch.optim.Adam), rtol=1e-9, atol=0
    )
    same = [by_library(theta, gradients, kind, weight_decay=0.1) for kind in (torch.optim.Adam, torch.optim.AdamW)]
    assert not np.allclose(*same, rtol=1e-6)


@holds("When are L2 and weight decay the same?")
def check_l2_equals_decay_for_sgd_without_momentum_only():
    lr, decay = 0.1, 0.3
    gradients = np.random.randn(6, 4)
    expected = theta = np.random.randn(4)
    for g in gradients:
        expected = (1 - lr * decay) * expected - lr * g
    plain = by_library(theta, gradients, torch.optim.SGD, lr=lr, weight_decay=decay)
    np.testing.assert_allclose(plain, expected, rtol=1e-10)
    decoupled, buffer = theta, np.zeros(4)
    for g in gradients:
        buffer = 0.9 * buffer + g
        decoupled = (1 - lr * decay) * decoupled - lr * buffer
    with_momentum = by_library(theta, gradients, torch.optim.SGD, lr=lr, weight_decay=decay, momentum=0.9)
    assert np.abs(with_momentum - decoupled).max() > 0.01


@holds("Does it matter that PyTorch decays before the step?")
def check_order_of_decay_and_step():
    lr, decay, gradient, start = 0.1, 0.5, 2.0, 3.0
    step = by_library([start], [[gradient]], lr=lr, weight_decay=0.0)[0] - start
    found = by_library([start], [[gradient]], lr=lr, weight_decay=decay)[0]
    assert math.isclose(found, start * (1 - lr * decay) + step, rel_tol=1e-12)
    assert math.isclose(found - (start + step) * (1 - lr * decay), lr * decay * step, rel_tol=1e-9)


@holds("At what size of a weight do decay and step balance?")
def check_balance_at_one_over_lambda():
    for lr in (0.1, 0.02):
        stated("10", -by_library([0.0], [[1.0]] * 5000, lr=lr, weight_decay=0.1)[0].round(3))
    stated("100", -by_library([-95.0], [[1.0]] * 4000, lr=0.1, weight_decay=0.01)[0].round(0))
