import inspect
import math

import numpy as np
import torch

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import weights_after_a_step

GRADIENT = r"g_t = \nabla f(\theta_{t-1}) + \lambda\,\theta_{t-1}"
MOMENTS = r"""
m_t = \beta_1 m_{t-1} + (1-\beta_1)\,g_t, \qquad
v_t = \beta_2 v_{t-1} + (1-\beta_2)\,g_t^2
"""
UPDATE = r"""
\hat m_t = \frac{m_t}{1-\beta_1^t}, \qquad \hat v_t = \frac{v_t}{1-\beta_2^t}, \qquad
\theta_t = \theta_{t-1} - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon}
"""

by_definition("Do both moments set each weight's learning rate?")
sourced("Decoupled Weight Decay Regularization, arXiv 1711.05101, abstract", "Does Adam overfit?")


def by_formula(theta, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """The three formulas of the article, in NumPy; returns the weights after each step and the last moments."""
    m, v, path = np.zeros_like(theta), np.zeros_like(theta), []
    for t, gradient in enumerate(gradients, start=1):
        g = gradient + weight_decay * theta
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + eps)
        path.append(theta)
    return path, m, v


def by_library(theta, gradients, kind=torch.optim.Adam, **options):
    w = torch.tensor(theta, requires_grad=True)
    optimizer, path = kind([w], **options), []
    for gradient in gradients:
        w.grad = torch.as_tensor(gradient, dtype=w.dtype).reshape(w.shape)
        optimizer.step()
        path.append(w.detach().numpy().copy())
    return path, optimizer.state[w]


def moved(gradients, **options):
    """By how much each step moves one float64 weight that starts at 0."""
    path, _ = by_library(np.zeros(1), gradients, **{"lr": 1.0, **options})
    return np.diff([0.0, *(float(value[0]) for value in path)])


@formula(GRADIENT, MOMENTS, UPDATE)
def check_equals_the_library():
    for shape in [(1,), (4,), (3, 5), (2, 3, 4)]:
        for options in (
            {},
            {"lr": 0.3, "betas": (0.5, 0.9), "eps": 0.1},
            {"lr": 0.01, "weight_decay": 0.2},
            {"betas": (0.0, 0.99), "eps": 1e-3, "weight_decay": 1.0},
        ):
            theta = np.random.randn(*shape)
            gradients = [np.random.randn(*shape) * 10.0 ** np.random.uniform(-3, 3) for _ in range(20)]
            gradients[3] = np.zeros(shape)
            ours, m, v = by_formula(theta, gradients, **options)
            library, state = by_library(theta, gradients, **options)
            np.testing.assert_allclose(np.array(ours), np.array(library), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(m, state["exp_avg"].numpy(), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(v, state["exp_avg_sq"].numpy(), rtol=1e-9, atol=1e-12)
            assert float(state["step"]) == 20


@check
def check_weight_decay_is_the_gradient_of_an_l2_term():
    theta = torch.randn(5, dtype=torch.float64)
    results = []
    for in_loss in (True, False):
        w = theta.clone().requires_grad_()
        optimizer = torch.optim.Adam([w], weight_decay=0.0 if in_loss else 0.3)
        for _ in range(10):
            optimizer.zero_grad()
            loss = torch.sin(w).sum() + (0.3 / 2 * (w**2).sum() if in_loss else 0.0)
            loss.backward()
            optimizer.step()
        results.append(w.detach())
    assert torch.allclose(*results, rtol=1e-10)


@holds("Input", "State", "Defaults", "Memory in float32")
def check_defaults_and_memory():
    defaults = {name: p.default for name, p in inspect.signature(torch.optim.Adam).parameters.items()}
    assert (defaults["lr"], defaults["betas"], defaults["eps"]) == (1e-3, (0.9, 0.999), 1e-8)
    assert defaults["weight_decay"] == 0 and defaults["amsgrad"] is False
    assert inspect.signature(torch.optim.Optimizer.zero_grad).parameters["set_to_none"].default is True
    for kind, text in ((torch.optim.Adam, "16"), (torch.optim.SGD, "8")):
        w = torch.ones(1000, requires_grad=True)
        optimizer = kind([w], lr=1e-3)
        w.grad = torch.ones(1000)
        optimizer.step()
        tensors = [w, w.grad, *(s for s in optimizer.state[w].values() if torch.is_tensor(s) and s.numel() == 1000)]
        stated(text, sum(t.numel() * t.element_size() for t in tensors) / 1000)
    for amsgrad, more in ((False, []), (True, ["max_exp_avg_sq"])):
        w = torch.ones(4, requires_grad=True)
        optimizer = torch.optim.Adam([{"params": [w]}], amsgrad=amsgrad)
        w.grad = torch.ones(4)
        optimizer.step()
        assert sorted(optimizer.state[w]) == ["exp_avg", "exp_avg_sq", *more, "step"]
    skipped = torch.ones(3, requires_grad=True)
    torch.optim.Adam([skipped], weight_decay=1.0).step()
    assert torch.equal(skipped.detach(), torch.ones(3))


@holds("Same in train and eval?")
def check_step_does_not_look_at_the_mode():
    found = [weights_after_a_step(torch.optim.Adam, training) for training in (True, False)]
    assert torch.equal(*found) and (found[0] < 1).all()


@check
def check_worked_example():
    _, m, v = by_formula(np.array([1.0]), [2.0], lr=0.1)
    stated("0.2", m[0])
    stated("0.004", v[0])
    path, m, v = by_formula(np.array([1.0]), [2.0, 1.0], lr=0.1)
    stated("0.28", m[0])
    stated("0.004996", v[0])
    stated("1.4737", m[0] / (1 - 0.9**2))
    stated("2.4992", v[0] / (1 - 0.999**2))
    library, _ = by_library(np.array([1.0]), [2.0, 1.0], lr=0.1)
    stated("0.9", library[0][0])
    stated("0.0932", library[0][0] - library[1][0])
    stated("0.8068", library[1][0])


@check
def check_first_step_is_lr_times_the_sign():
    for gradient in (1e4, 3.0, -1e-3, -7.0):
        assert math.isclose(moved([gradient], lr=0.1)[0], -0.1 * math.copysign(1, gradient), rel_tol=1e-4)
    assert abs(moved([1e-10], lr=0.1)[0]) < 0.002 and math.isclose(moved([1e-8], lr=0.1)[0], -0.05, rel_tol=1e-6)


@check
def check_scale_hardly_matters():
    gradients = np.random.randn(50)
    np.testing.assert_allclose(moved(gradients), moved(100 * gradients), rtol=1e-4, atol=1e-6)
    small, large = (by_library(np.zeros(1), scale * gradients)[1]["exp_avg_sq"].item() for scale in (1, 100))
    assert math.isclose(math.sqrt(large / small), 100, rel_tol=1e-9)  # the rate lr / sqrt(v) falls, the step stays


@holds("Does Adam still need a learning-rate schedule?")
def check_small_noise_moves_as_far_as_large_noise():
    noise = torch.randn(4000, dtype=torch.float64).numpy()
    far, near = (np.abs(moved(scale * noise))[1000:].mean() for scale in (1.0, 0.01))
    assert abs(near / far - 1) < 0.01 and far > 0.1
    falling = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([falling], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=1000)
    for gradient in noise[:1000]:
        before = falling.item()
        falling.grad = torch.tensor([gradient], dtype=torch.float32)
        optimizer.step()
        scheduler.step()
    assert abs(falling.item() - before) < 0.01


@check
def check_consistent_gradients_move_one_lr_and_noise_a_quarter():
    np.testing.assert_allclose(moved([5.0] * 100), -1.0, rtol=1e-6)
    noise = moved(torch.randn(20000, dtype=torch.float64).tolist())[5000:]
    stated("0.23", math.sqrt((noise**2).mean()))


@check
def check_second_moment_is_not_centred():
    _, state = by_library(np.zeros(1), [3.0] * 5000)
    assert math.isclose(float(state["exp_avg_sq"]) / (1 - 0.999**5000), 9.0, rel_tol=1e-6)


@check
def check_amsgrad_uses_the_largest_v():
    gradients = [50.0, *np.random.randn(30)]
    m = v = largest = theta = 0.0
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        largest = max(largest, v)
        theta -= 1e-3 * (m / (1 - 0.9**t)) / (math.sqrt(largest / (1 - 0.999**t)) + 1e-8)
    library, _ = by_library(np.zeros(1), gradients, amsgrad=True)
    assert math.isclose(theta, library[-1][0], rel_tol=1e-9)
    assert largest > v


UNEVEN = "`weight_decay` does not shrink weights in proportion to their size"


@pitfall(UNEVEN)
def check_l2_term_is_uneven_but_not_void():
    for decay in (0.01, 1.0):
        path, _ = by_library(np.array([1.0]), [0.0], weight_decay=decay)
        stated("0.999", path[0][0])
    # Two weights at 1, gradients of mean zero and very different size: the one with small gradients is decayed more.
    gradients = np.random.choice([-1.0, 1.0], size=(3000, 1)) * np.array([[1.0, 0.01]])
    with_decay, _ = by_library(np.array([1.0, 1.0]), gradients, weight_decay=0.01)
    without, _ = by_library(np.array([1.0, 1.0]), gradients)
    lost = without[-1] - with_decay[-1]
    assert lost[0] > 0.005 and lost[1] > 5 * lost[0], lost
    for start in (1.0, 0.1):
        l2, decoupled = (
            by_library(np.array([start]), [0.0], kind=kind, weight_decay=1.0)[0][0][0]
            for kind in (torch.optim.Adam, torch.optim.AdamW)
        )
        assert math.isclose(l2, start - 0.001, rel_tol=1e-6) and math.isclose(decoupled, start * 0.999)


@pitfall(UNEVEN)
def check_decoupled_adam_is_adamw():
    theta, gradients = np.random.randn(4), np.random.randn(10, 4)
    ours, _ = by_library(theta, gradients, weight_decay=0.1, decoupled_weight_decay=True)
    wanted, _ = by_library(theta, gradients, kind=torch.optim.AdamW, weight_decay=0.1)
    np.testing.assert_array_equal(ours, wanted)
    assert not np.allclose(by_library(theta, gradients, weight_decay=0.1)[0], wanted, rtol=1e-6)


@pitfall("A frozen weight keeps moving")
def check_a_frozen_weight():
    def moves(to_none, left_out=False):
        w, other = (torch.ones(1, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.Adam([w, other])
        for step in range(40):
            if step == 20:
                before = w.item()
                w.requires_grad_(False)
                if left_out:
                    optimizer = torch.optim.Adam([other])
            optimizer.zero_grad(set_to_none=to_none)
            (w + other).sum().backward()
            optimizer.step()
        return before - w.item()

    assert moves(to_none=False) > 0.005
    assert moves(to_none=True) == 0 and moves(to_none=False, left_out=True) == 0
    for write_back in (False, True):  # two entries of a tensor, their gradients masked
        w, frozen = torch.ones(4, requires_grad=True), torch.tensor([True, True, False, False])
        optimizer = torch.optim.Adam([w])
        for step in range(40):
            old = w.detach().clone()
            w.grad = torch.where(frozen & (step >= 20), 0.0, torch.ones(4))
            optimizer.step()
            if step == 20:
                before = old
            if write_back and step >= 20:
                with torch.no_grad():
                    w[frozen] = old[frozen]
                raises(RuntimeError, lambda: w.__setitem__(frozen, old[frozen]), "in-place operation")
        lost = before - w.detach()
        assert bool((lost[:2] == 0).all()) is write_back
        assert (lost > 0.005).tolist() == [not write_back] * 2 + [True] * 2


@pitfall("A frozen weight keeps moving")
def check_zero_gradients_still_move_a_weight():
    stated("9.05", -moved([1.0] * 2000 + [0.0] * 300)[2000:].sum())


@pitfall("One step far larger than `lr`")
def check_step_is_not_bounded_by_lr():
    stated("3.16", -moved([0.0] * 10000 + [1.0], eps=1e-30)[-1])
    stated("0.447", -moved([0.0] * 10000 + [1.0], betas=(0.9, 0.95), eps=1e-30)[-1])
    stated("0.0316", math.sqrt(1 - 0.999))
    spike = -moved([0.0] * 10000 + [1e-3], eps=1e-30)[-1]
    assert math.isclose(spike, -moved([0.0] * 10000 + [1.0], eps=1e-30)[-1], rel_tol=1e-9)
    w = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=1.0)
    for gradient in [0.0] * 500 + [50.0]:
        w.grad = torch.tensor([gradient])
        torch.nn.utils.clip_grad_norm_([w], 1.0)
        optimizer.step()
    assert w.grad == 1 and math.isclose(w.item(), moved([0.0] * 500 + [50.0])[-1], rel_tol=1e-4) and w.item() < -1.9
    # Cauchy-Schwarz gives the largest possible step after t gradients; gradients that grow by beta2/beta1 reach it.
    t = np.arange(1, 20001)
    series = np.cumsum((0.9**2 / 0.999) ** (t - 1.0))
    bound = 0.1 / math.sqrt(0.001) * np.sqrt(series) * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    stated("7.28", math.ceil(100 * bound.max()) / 100)
    growing = (0.999 / 0.9) ** (np.arange(2000) - 1999.0)
    worst = -moved([0.0] * 8000 + growing.tolist(), eps=1e-150)[-1]
    assert worst > 7.25 and worst <= bound.max()


@holds("What happens without bias correction?")
def check_without_bias_correction_the_first_step_is_larger():
    stated("3.16", 0.1 / math.sqrt(0.001))
    stated("0.1", 1 - 0.9)
    for g in (0.02, 30.0):
        state = by_library(np.zeros(1), [g])[1]
        m, root = state["exp_avg"].item(), math.sqrt(state["exp_avg_sq"].item())
        assert math.isclose(m, 0.1 * g) and math.isclose(root, math.sqrt(0.001) * g)
        assert math.isclose(m / root, 3.1623, rel_tol=1e-4)


@pitfall("NaN, `inf` or no progress with half-precision weights")
def check_half_precision():
    def first_step(dtype, gradient, **options):
        w = torch.ones(1, dtype=dtype, requires_grad=True)
        w.grad = torch.full((1,), gradient, dtype=dtype)
        torch.optim.Adam([w], **options).step()
        return w.item()

    assert (
        first_step(torch.float16, 0.0, fused=True) == 1
        and abs(first_step(torch.float16, 1e-3, fused=True) - 0.999) < 1e-3
    )
    w = torch.zeros(1, dtype=torch.float16, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=1.0, fused=True)
    for _ in range(1000):
        before = w.item()
        w.grad = torch.full((1,), 1e-3, dtype=torch.float16)
        optimizer.step()
    assert optimizer.state[w]["exp_avg_sq"] == 0 and before - w.item() > 10

    assert math.isnan(first_step(torch.float16, 0.0)) and math.isinf(first_step(torch.float16, 1e-3))
    assert float(torch.tensor(1e-8, dtype=torch.float16)) == 0.0
    assert first_step(torch.bfloat16, 1.0) == 1.0
    assert abs(first_step(torch.float32, 1e-3) - 0.999) < 1e-6 and first_step(torch.float32, 0.0) == 1.0
    for dtype, moves in ((torch.bfloat16, False), (torch.float32, True)):
        layer = torch.nn.Linear(4, 1, bias=False, dtype=dtype)
        torch.nn.init.ones_(layer.weight)
        optimizer = torch.optim.Adam(layer.parameters())
        for _ in range(100):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=moves):
                loss = layer(torch.ones(8, 4, dtype=dtype)).square().mean()
            loss.backward()
            optimizer.step()
        assert bool((layer.weight < 0.95).all()) is moves and bool((layer.weight == 1).all()) is not moves


@check
def check_sparse_tensors_are_refused():
    for kind in (torch.optim.SparseAdam, torch.optim.Adam):
        table = torch.nn.Embedding(3, 2, sparse=True)
        optimizer = kind(list(table.parameters()))
        table(torch.tensor([0])).sum().backward()
        try:
            optimizer.step()
        except RuntimeError as error:
            assert kind is torch.optim.Adam and "does not support sparse gradients" in str(error)
        else:
            assert kind is torch.optim.SparseAdam


@holds("Adam", "AdamW", "RMSprop, defaults", "SGD with momentum")
def check_siblings_hold_the_state_the_table_says():
    for kind, options, states in (
        (torch.optim.Adam, {}, 2),
        (torch.optim.AdamW, {}, 2),
        (torch.optim.RMSprop, {}, 1),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, 1),
    ):
        w = torch.ones(7, requires_grad=True)
        optimizer = kind([w], **options)
        w.grad = torch.ones(7)
        optimizer.step()
        assert sum(torch.is_tensor(s) and s.numel() == 7 for s in optimizer.state[w].values()) == states
    # RMSprop has no bias correction: its first step is lr / sqrt(1 - alpha), not lr.
    assert math.isclose(-moved([1.0], kind=torch.optim.RMSprop)[0], 10.0, rel_tol=1e-6)
    np.testing.assert_allclose(-moved([1.0, 1.0, 1.0], kind=torch.optim.SGD, momentum=0.9), [1, 1.9, 2.71])
    # One step from weight 2 with gradient 3: what a decay of 0.5 changes.
    start, g, decay = 2.0, 3.0, 0.5
    for kind, options, wanted in (
        (torch.optim.Adam, {}, start - 0.1),
        (torch.optim.AdamW, {}, start * (1 - 0.1 * decay) - 0.1),
        (torch.optim.RMSprop, {}, start - 0.1 * 10),
        (torch.optim.SGD, {"momentum": 0.9}, start - 0.1 * (g + decay * start)),
    ):
        path, state = by_library(np.array([start]), [g], kind=kind, lr=0.1, weight_decay=decay, **options)
        assert math.isclose(path[0][0], wanted, rel_tol=1e-6)
    assert math.isclose(state["momentum_buffer"].item(), g + decay * start)
