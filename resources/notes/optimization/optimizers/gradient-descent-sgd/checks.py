import inspect
import math

import numpy as np
import torch
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated
from trainings import handwritten_digits, weights_after_a_step

GRADIENT = r"g_t = \frac{1}{B}\sum_{i=1}^{B} \nabla \ell_i(\theta_{t-1}) + \lambda\,\theta_{t-1}"
BUFFER = r"b_1 = g_1, \qquad b_t = \mu\,b_{t-1} + (1-\tau)\,g_t \quad (t > 1)"
UPDATE = r"""
\theta_t = \theta_{t-1} - \eta\,b_t, \qquad
\text{Nesterov:}\quad \theta_t = \theta_{t-1} - \eta\,(g_t + \mu\,b_t)
"""
STABLE = r"0 < \eta < \frac{2(1+\mu)}{h}"

by_definition("full-batch gradient descent")


def by_formula(theta, batches, lr, mu=0.0, tau=0.0, decay=0.0, nesterov=False):
    """Least squares: sample i of a batch has the loss (x_i . theta - y_i)^2 and the gradient 2 (x_i . theta - y_i) x_i."""
    b, path = None, []
    for x, y in batches:
        g = sum(2 * (xi @ theta - yi) * xi for xi, yi in zip(x, y)) / len(x) + decay * theta
        b = g if b is None else mu * b + (1 - tau) * g
        theta = theta - lr * (g + mu * b if nesterov else b)
        path.append(theta)
    return np.array(path)


def by_library(theta, batches, lr, mu=0.0, tau=0.0, decay=0.0, nesterov=False):
    w = torch.tensor(theta, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=lr, momentum=mu, dampening=tau, weight_decay=decay, nesterov=nesterov)
    path = []
    for x, y in batches:
        optimizer.zero_grad()
        nn.functional.mse_loss(torch.tensor(x) @ w, torch.tensor(y)).backward()
        optimizer.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


@formula(GRADIENT, BUFFER, UPDATE)
def check_equals_the_library():
    for size, count in ((1, 1), (3, 5), (8, 4)):
        batches = [(np.random.randn(count, size), np.random.randn(count)) for _ in range(15)]
        for options in (
            {"lr": 0.05},
            {"lr": 0.02, "mu": 0.9},
            {"lr": 0.02, "mu": 0.9, "tau": 0.3},
            {"lr": 0.03, "mu": 0.5, "decay": 0.7},
            {"lr": 0.02, "mu": 0.8, "nesterov": True, "decay": 0.1},
        ):
            theta = np.random.randn(size)
            np.testing.assert_allclose(
                by_formula(theta, batches, **options), by_library(theta, batches, **options), rtol=1e-9, atol=1e-12
            )


def on_a_quadratic(lr, mu, h, steps, nesterov=False):
    w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer, path = torch.optim.SGD([w], lr=lr, momentum=mu, nesterov=nesterov), []
    for _ in range(steps):
        w.grad = h * w.detach()
        optimizer.step()
        path.append(w.item())
    return path


@formula(STABLE)
@holds("How does Nesterov differ?")
def check_stability_bound():
    for h in (0.3, 1.0, 25.0):
        for mu in (0.0, 0.5, 0.9):
            bound = 2 * (1 + mu) / h
            assert abs(on_a_quadratic(0.97 * bound, mu, h, 3000)[-1]) < 1e-6
            assert abs(on_a_quadratic(1.03 * bound, mu, h, 400)[-1]) > 1e6
            assert abs(on_a_quadratic(bound, mu, h, 3000)[-1]) > 0.5
            assert abs(on_a_quadratic(0.003 * bound, mu, h, 4000)[-1]) < 1e-6
            assert abs(on_a_quadratic(0.5 * bound, mu, -h, 400)[-1]) > 1e6  # no minimum, no convergence
            if mu:
                limit = bound / (1 + 2 * mu)
                assert abs(on_a_quadratic(0.97 * limit, mu, h, 3000, nesterov=True)[-1]) < 1e-6
                assert abs(on_a_quadratic(1.03 * limit, mu, h, 400, nesterov=True)[-1]) > 1e6


@check
def check_worked_example():
    for text, value in zip(("0.9", "0.81", "0.729"), on_a_quadratic(0.1, 0.0, 1.0, 3)):
        stated(text, value)
    path = on_a_quadratic(0.1, 0.9, 1.0, 3)
    stated("0.72", path[1])
    stated("0.486", path[2])
    stated("1.8", 0.9 * 1 + path[0])
    stated("1.62", 0.9 * 1.8)
    stated("2.34", 0.9 * 1.8 + path[1])


@holds("Input", "State", "Defaults", "Memory in float32", "SGD with momentum", "plain SGD", "Adam")
def check_defaults_memory_and_skipped_parameters():
    defaults = {name: p.default for name, p in inspect.signature(torch.optim.SGD).parameters.items()}
    assert (defaults["lr"], defaults["momentum"], defaults["dampening"], defaults["weight_decay"]) == (1e-3, 0, 0, 0)
    assert defaults["nesterov"] is False
    for wrong in ({}, {"momentum": 0.9, "dampening": 0.1}):
        raises(ValueError, lambda: torch.optim.SGD([torch.zeros(1)], nesterov=True, **wrong), "Nesterov")
    for momentum, text in ((0.0, "8"), (0.9, "12")):
        w = torch.ones(1000, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1e-3, momentum=momentum)
        w.grad = torch.ones(1000)
        optimizer.step()
        tensors = [w, w.grad, *(s for s in optimizer.state[w].values() if torch.is_tensor(s))]
        stated(text, sum(t.numel() * t.element_size() for t in tensors) / 1000)
    for kind, options, kept in (
        (torch.optim.SGD, {"momentum": 0.9}, 1),
        (torch.optim.SGD, {}, 0),
        (torch.optim.Adam, {}, 2),
    ):
        moved = []
        for factor in (1.0, 100.0):
            w = torch.zeros(2, 1, 3, dtype=torch.float64, requires_grad=True)
            optimizer = kind([{"params": [w]}], lr=0.1, **options)
            for g in (1.0, 2.0):
                w.grad = torch.full_like(w, factor * g)
                optimizer.step()
            moved.append(-w.detach()[0, 0, 0].item())
        tensors = [value for name, value in optimizer.state[w].items() if torch.is_tensor(value) and name != "step"]
        assert len(tensors) == kept and all(t.shape == w.shape and t.dtype == w.dtype for t in tensors)
        assert math.isclose(moved[1] / moved[0], 1 if kind is torch.optim.Adam else 100, rel_tol=1e-6)
        if kind is torch.optim.SGD:
            assert math.isclose(moved[0], 0.1 * (1 + 2 + (0.9 if kept else 0)))
    skipped = torch.ones(3, requires_grad=True)
    torch.optim.SGD([skipped], lr=0.1, momentum=0.9, weight_decay=1.0).step()
    assert torch.equal(skipped.detach(), torch.ones(3))


@holds("Same in train and eval?")
def check_step_does_not_look_at_the_mode():
    found = [weights_after_a_step(torch.optim.SGD, training, momentum=0.9) for training in (True, False)]
    assert torch.equal(*found) and (found[0] < 1).all()


@holds("What is stochastic in `torch.optim.SGD`?")
def check_full_batch_runs_are_alike():
    x, y, found = np.random.randn(12, 3), np.random.randn(12), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(by_library(np.zeros(3), [(x, y)] * 10, lr=0.05)[-1])
    w = np.zeros(3)
    for _ in range(10):
        w = w - 0.05 * 2 * x.T @ (x @ w - y) / 12
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], w, rtol=1e-9)


@holds("How does Nesterov differ?")
def check_nesterov_looks_ahead_and_damps():
    mu, h = 0.9, 1.0
    for lr in (0.05, 0.3, 0.8):
        plain, nesterov = (np.abs(on_a_quadratic(lr, mu, h, 60, nesterov)) for nesterov in (False, True))
        assert nesterov[30:].max() < 0.7 * plain[30:].max()
    # The textbook form: the gradient is taken one momentum step ahead; torch's weights are the points looked at.
    lr, v, theta, ahead = 0.3, 0.0, 1.0, []
    for _ in range(20):
        v = mu * v - lr * h * (theta + mu * v)
        theta += v
        ahead.append(theta + mu * v)
    np.testing.assert_allclose(on_a_quadratic(lr, mu, h, 20, nesterov=True), ahead, rtol=1e-9)


@pitfall("Results differ from a paper's momentum once the learning rate changes")
def check_two_forms_of_momentum():
    def paper_form(lrs, gradients, mu=0.9):
        velocity = theta = 0.0
        path = []
        for lr, g in zip(lrs, gradients):
            velocity = mu * velocity - lr * g
            theta += velocity
            path.append(theta)
        return np.array(path)

    def library_form(lrs, gradients, mu=0.9, rescaled=False):
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer, path = torch.optim.SGD([w], lr=1.0, momentum=mu), []
        for lr, g in zip(lrs, gradients):
            if rescaled and path:
                optimizer.state[w]["momentum_buffer"] *= optimizer.param_groups[0]["lr"] / lr
            optimizer.param_groups[0]["lr"] = lr
            w.grad = torch.tensor([g], dtype=torch.float64)
            optimizer.step()
            path.append(w.item())
        return np.array(path)

    gradients = [1.0] * 200
    np.testing.assert_allclose(paper_form([0.1] * 200, gradients), library_form([0.1] * 200, gradients))
    changed = [0.1] * 100 + [0.01] * 100
    steps = [np.diff(form(changed, gradients)) for form in (paper_form, library_form)]
    assert steps[0][99] / steps[1][99] > 5
    noisy = np.random.randn(200).tolist()
    np.testing.assert_allclose(paper_form(changed, noisy), library_form(changed, noisy, rescaled=True), rtol=1e-9)
    assert abs(steps[0][150] / steps[1][150] - 1) < 0.05
    slow = [np.diff(form([0.1] * 100 + [0.01] * 900, [1.0] * 1000, 0.99)) for form in (paper_form, library_form)]
    assert slow[0][250] / slow[1][250] > 2 and abs(slow[0][900] / slow[1][900] - 1) < 0.05


@pitfall("Training falters after the learning rate was changed with a new optimizer")
def check_steady_gradients_and_a_new_optimizer():
    for mu, factor in ((0.9, 10), (0.99, 100)):
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0, momentum=mu)
        for _ in range(3000):
            before = w.item()
            w.grad = torch.ones(1, dtype=torch.float64)
            optimizer.step()
        stated(str(factor), round(before - w.item(), 6))
        fresh = torch.optim.SGD([w], lr=1.0, momentum=mu)
        assert not fresh.state
        last = w.item()
        fresh.step()
        assert math.isclose(last - w.item(), 1.0)
        last = w.item()
        for group in optimizer.param_groups:
            group["lr"] *= 0.1
        optimizer.step()
        assert math.isclose(last - w.item(), 0.1 * factor, rel_tol=1e-6)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        optimizer.step()
        scheduler.step()
        last = w.item()
        optimizer.step()
        assert math.isclose(last - w.item(), 0.05 * factor, rel_tol=1e-6)


def by_library_step(x, y, decay, reduction, lr):
    w = torch.ones(3, 1, requires_grad=True)
    nn.functional.mse_loss(x @ w, y, reduction=reduction).backward()
    torch.optim.SGD([w], lr=lr, weight_decay=decay).step()
    return w.detach()


@pitfall("The loss jumps up after raising momentum from 0.9 to 0.99")
def check_more_momentum_needs_a_smaller_rate():
    pixels, classes = handwritten_digits()

    def losses(rate, momentum):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer, found = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum), []
        for _ in range(200):
            batch = torch.randperm(len(pixels))[:128]
            optimizer.zero_grad()
            found.append(nn.functional.cross_entropy(network(pixels[batch]), classes[batch]))
            found[-1].backward()
            optimizer.step()
        return torch.stack(found).detach()

    before, raised, kept = losses(0.3, 0.9), losses(0.3, 0.99), losses(0.03, 0.99)
    assert before[-50:].mean() < 0.1 and raised[40:].max() > 3 and raised[-50:].mean() > 1.5
    assert kept[40:].max() < 1 and kept[-50:].mean() < 0.4


@pitfall("The step grows when the batch does")
def check_sum_reduction_scales_the_step():
    x, y = torch.randn(40, 3), torch.randn(40, 1)
    moves = []
    for rows in (10, 40):
        torch.manual_seed(1)
        layer = nn.Linear(3, 1)
        before = layer.weight.detach().clone()
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.001)
        nn.functional.mse_loss(
            layer(x[:10].repeat(rows // 10, 1)), y[:10].repeat(rows // 10, 1), reduction="sum"
        ).backward()
        optimizer.step()
        moves.append(layer.weight.detach() - before)
    assert torch.allclose(4 * moves[0], moves[1], rtol=1e-3)
    same_rows = [by_library_step(x[:10].repeat(n, 1), y[:10].repeat(n, 1), 0.0, "mean", 0.1) for n in (1, 4)]
    assert torch.allclose(*same_rows, atol=1e-6)
    for kind, grows in ((torch.optim.SGD, True), (torch.optim.Adam, False)):
        small, large = (torch.zeros(1, requires_grad=True) for _ in range(2))
        small.grad, large.grad = torch.ones(1), 4 * torch.ones(1)
        kind([small, large], lr=0.1).step()
        assert abs(large.item() / small.item() - (4 if grows else 1)) < 1e-5
    one_step = lambda decay, reduction, lr: by_library_step(x, y, decay, reduction, lr)
    assert torch.allclose(one_step(0.0, "sum", 0.1 / 40), one_step(0.0, "mean", 0.1), atol=1e-5)
    assert not torch.allclose(one_step(0.5, "sum", 0.1 / 40), one_step(0.5, "mean", 0.1), atol=1e-3)

    def epochs(size, mu, reduction):
        w = torch.ones(3, 1, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.05, momentum=mu)
        for rows in torch.arange(40).split(size) * 2:
            optimizer.param_groups[0]["lr"] = 0.05 / len(rows) if reduction == "sum" else 0.05
            optimizer.zero_grad()
            nn.functional.mse_loss(x[rows] @ w, y[rows], reduction=reduction).backward()
            optimizer.step()
        return w.detach()

    for size, mu, same in ((10, 0.0, True), (36, 0.0, True), (10, 0.9, True), (36, 0.9, False)):
        assert torch.allclose(epochs(size, mu, "sum"), epochs(size, mu, "mean"), atol=1e-4) is same


@holds("Does SGD at a constant learning rate reach the minimum?")
def check_noise_keeps_the_weight_moving():
    stated("0.0526", 0.1 / (2 - 0.1))
    w = torch.zeros(20000, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(300):
        w.grad = w.detach() + torch.randn(20000, dtype=torch.float64)
        optimizer.step()
    assert abs(float(w.detach().var()) - 0.0526) < 0.002
    mean, constant = torch.zeros_like(w), w.detach().square().mean()
    for step in range(1, 201):  # on from here: averaging the weights, then a falling rate
        w.grad = w.detach() + torch.randn(20000, dtype=torch.float64)
        optimizer.step()
        mean = mean + (w.detach() - mean) / step
    for step in range(1, 201):
        optimizer.param_groups[0]["lr"] = 1 / (10 + step)
        w.grad = w.detach() + torch.randn(20000, dtype=torch.float64)
        optimizer.step()
    assert mean.square().mean() < 0.5 * constant and w.detach().square().mean() < 0.5 * constant


@check
def check_scikit_learn_defaults():
    from sklearn.linear_model import SGDClassifier

    assert SGDClassifier().loss == "hinge"
