"""The cards of torch.optim, its schedulers and weight averaging, held against the installed library."""

import math
import warnings

import numpy as np
import torch
from torch import nn, optim
from torch.optim import lr_scheduler, swa_utils

from note_checks import card, raises, subject

STEPS = 12


def warns(work, word: str):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    assert any(word in str(one.message) for one in caught), f"no warning with {word!r}"
    return result


def parameter(*values: float) -> torch.Tensor:
    return torch.tensor(values or (1.0, -2.0, 0.3), dtype=torch.float64, requires_grad=True)


def gradients(shape=(3,), steps: int = STEPS) -> list[np.ndarray]:
    return [np.random.randn(*shape) for _ in range(steps)]


def path(make, start: np.ndarray, grads: list[np.ndarray]) -> np.ndarray:
    """The parameters after each step of an optimizer that is fed with given gradients."""
    weight = torch.tensor(start, requires_grad=True)
    optimizer = make([weight])
    seen = []
    for grad in grads:
        weight.grad = torch.tensor(grad)
        optimizer.step()
        seen.append(weight.detach().numpy().copy())
    return np.array(seen)


def follows(make, rule, shape=(3,), tolerance=1e-10):
    """Holds an optimizer against `rule(θ, g, t, memory) -> θ` over several steps; t counts from 1."""
    start, grads, memory = np.random.randn(*shape), gradients(shape), {}
    theta, expected = start, []
    for t, grad in enumerate(grads, 1):
        theta = rule(theta, grad, t, memory)
        expected.append(theta)
    np.testing.assert_allclose(path(make, start, grads), expected, rtol=tolerance, atol=tolerance)


def mean(memory: dict, name: str, value, keep: float):
    memory[name] = keep * memory.get(name, 0.0) + (1 - keep) * value
    return memory[name]


def adam_step(g, t, memory, betas, eps):
    m = mean(memory, "m", g, betas[0]) / (1 - betas[0] ** t)
    v = mean(memory, "v", g * g, betas[1]) / (1 - betas[1] ** t)
    return m / (np.sqrt(v) + eps)


# The base class


@card("torch.optim.Optimizer")
def optimizer_base():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model[1] = nn.Linear(2, 2)
    before = model[1].weight.detach().clone()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(model[1].weight, before)
    used = model.parameters()
    list(used)
    raises(ValueError, lambda: optim.SGD(used), "empty parameter list")
    raises(ValueError, lambda: optim.SGD([parameter() * 2]), "non-leaf")
    assert optim.SGD([{"params": [parameter()], "lr": 5.0}], lr=1.0).param_groups[0]["lr"] == 5.0


@card("torch.optim.Optimizer.step")
def step_with_zero_gradient_still_moves():
    for make in (
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.1),
        lambda p: optim.AdamW(p, lr=0.1),
    ):
        weight = parameter()
        optimizer = make([weight])
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        assert torch.equal(weight.grad, torch.ones_like(weight))
        weight.grad = None
        before = weight.detach().clone()
        optimizer.step()
        assert torch.equal(weight, before)
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        assert not torch.equal(weight, before)


@card("torch.optim.Optimizer.zero_grad")
def zero_grad():
    inside, outside = parameter(), parameter()
    (inside * outside).sum().backward()
    optimizer = optim.SGD([inside])
    optimizer.zero_grad(set_to_none=False)
    assert torch.equal(inside.grad, torch.zeros(3).double()) and outside.grad is not None
    optimizer.zero_grad()
    assert inside.grad is None


@card("torch.optim.Optimizer.state_dict", "torch.optim.Optimizer.load_state_dict")
def state_of_an_optimizer():
    weight, bias = parameter(), parameter(5.0)
    optimizer = optim.SGD([weight, bias], lr=0.1, momentum=0.9, weight_decay=0.5)
    weight.grad, bias.grad = torch.ones(3).double(), torch.full((1,), 7.0).double()
    optimizer.step()
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["params"] == [0, 1]
    buffer = saved["state"][0]["momentum_buffer"]
    before = buffer.clone()
    optimizer.step()
    assert not torch.equal(buffer, before), "the dict holds references"
    other = optim.SGD([parameter(), parameter(5.0)], lr=9.0, weight_decay=0.0)
    other.load_state_dict(saved)
    assert other.param_groups[0]["lr"] == 0.1 and other.param_groups[0]["weight_decay"] == 0.5
    swapped = optim.SGD([parameter(5.0), parameter()], lr=9.0)
    swapped.load_state_dict(saved)
    first = swapped.param_groups[0]["params"][0]
    assert swapped.state[first]["momentum_buffer"].shape == (3,) and first.shape == (1,)
    raises(ValueError, lambda: optim.SGD([parameter()]).load_state_dict(saved))


@card("torch.optim.Optimizer.add_param_group")
def add_param_group():
    optimizer = optim.SGD([parameter()], lr=1.0)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda t: 0.5)
    raises(ValueError, lambda: optimizer.add_param_group({"params": optimizer.param_groups[0]["params"]}))
    optimizer.add_param_group({"params": [parameter()], "lr": 0.25})
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25]
    raises(ValueError, schedule.step)


@card("torch.optim.Optimizer.register_step_pre_hook", "torch.optim.optimizer.register_optimizer_step_pre_hook")
def step_hooks():
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    calls: list[str] = []
    handle = register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: calls.append("global"))
    later, other = optim.SGD([parameter()]), optim.Adam([parameter()])
    later.register_step_post_hook(lambda optimizer, args, kwargs: calls.append("own"))
    later.step()
    other.step()
    assert calls == ["global", "own", "global"]
    handle.remove()
    other.step()
    assert len(calls) == 3


@card("torch.optim.swap_in_optimizer_params_and_state")
def swapping():
    live, stand_in = parameter(), parameter(9.0, 9.0, 9.0)
    optimizer = optim.SGD([live], lr=1.0, momentum=0.9)
    live.grad = torch.ones(3).double()
    optimizer.step()
    before = live.detach().clone()
    with optim.swap_in_optimizer_params_and_state(optimizer, {"w": stand_in}, optimizer.state_dict()):
        assert optimizer.param_groups[0]["params"][0] is stand_in
        stand_in.grad = torch.zeros(3).double()
        optimizer.step()
    np.testing.assert_allclose(stand_in.detach(), 9 - 0.9)
    assert torch.equal(live, before) and optimizer.param_groups[0]["params"][0] is live


# The optimizers


@card("torch.optim.SGD", formula=r"b_t=\mu\,b_{t-1}+(1-\tau)\,g_t,\qquad \theta_t=\theta_{t-1}-\eta\,b_t")
def sgd():
    def rule(mu, tau, eta, decay, nesterov):
        def update(theta, g, t, memory):
            g = g + decay * theta
            memory["b"] = g if t == 1 else mu * memory["b"] + (1 - tau) * g
            return theta - eta * (g + mu * memory["b"] if nesterov else memory["b"])

        return update

    for mu, tau, decay, nesterov in ((0.9, 0, 0, False), (0.9, 0.3, 0.1, False), (0.8, 0, 0.1, True), (0, 0, 0, False)):
        follows(
            lambda p: optim.SGD(p, lr=0.05, momentum=mu, dampening=tau, weight_decay=decay, nesterov=nesterov),
            rule(mu, tau, 0.05, decay, nesterov),
        )
    steady = path(lambda p: optim.SGD(p, lr=0.01, momentum=0.9), np.zeros(1), [np.ones(1)] * 200)
    assert math.isclose((steady[-2] - steady[-1]).item(), 0.1, rel_tol=1e-6), "10 times lr"
    raises(ValueError, lambda: optim.SGD([parameter()], nesterov=True))
    weight = parameter(0.0)
    optimizer = optim.SGD([weight], lr=1.0, momentum=0.9)
    weight.grad = torch.ones(1).double()
    optimizer.step()
    optimizer.param_groups[0]["lr"], weight.grad = 0.1, torch.zeros(1).double()
    optimizer.step()
    assert math.isclose(weight.item(), -1.0 - 0.1 * 0.9), "the momentum part shrinks with lr at once"


@card(
    "torch.optim.Adam",
    formula=r"\hat m_t=\frac{m_t}{1-\beta_1^t},\quad \hat v_t=\frac{v_t}{1-\beta_2^t},\quad \theta_t=\theta_{t-1}-\eta\,\frac{\hat m_t}{\sqrt{\hat v_t}+\varepsilon}",
)
def adam():
    betas, eps, eta = (0.8, 0.95), 1e-3, 0.03
    for decay in (0.0, 0.2):
        follows(
            lambda p: optim.Adam(p, lr=eta, betas=betas, eps=eps, weight_decay=decay),
            lambda theta, g, t, memory: theta - eta * adam_step(g + decay * theta, t, memory, betas, eps),
        )
    first = path(lambda p: optim.Adam(p, lr=0.5), np.zeros(3), [np.array([1e-3, -5.0, 80.0])])
    np.testing.assert_allclose(first[0], [-0.5, 0.5, -0.5], rtol=1e-4)
    start, grads = np.full(1, 1.0), gradients((1,), 200)
    plain, decayed = (
        path(lambda p: optim.Adam(p, lr=1e-3, weight_decay=w), start, [100 * g for g in grads])[-1] for w in (0.0, 0.1)
    )
    assert abs(plain - decayed) < 0.1 * (1 - (1 - 1e-4) ** 200), "with large gradients L2 hardly decays"
    both = [
        path(make, start, grads)
        for make in (
            lambda p: optim.Adam(p, weight_decay=0.1, decoupled_weight_decay=True),
            lambda p: optim.AdamW(p, weight_decay=0.1),
        )
    ]
    np.testing.assert_array_equal(*both)


@card(
    "torch.optim.AdamW",
    formula=r"\theta_t=(1-\eta\lambda)\,\theta_{t-1}-\eta\,\frac{\hat m_t}{\sqrt{\hat v_t}+\varepsilon}",
)
def adamw():
    betas, eps, eta, decay = (0.9, 0.99), 1e-6, 0.05, 0.3
    follows(
        lambda p: optim.AdamW(p, lr=eta, betas=betas, eps=eps, weight_decay=decay),
        lambda theta, g, t, memory: (1 - eta * decay) * theta - eta * adam_step(g, t, memory, betas, eps),
    )
    group = optim.AdamW(nn.Linear(2, 2).parameters()).param_groups[0]
    assert group["weight_decay"] == 0.01 and len(group["params"]) == 2, "biases decay by default"


@card(
    "torch.optim.SparseAdam",
    formula=r"\theta_i\leftarrow\theta_i-\eta\,\frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\cdot\frac{m_i}{\sqrt{v_i}+\varepsilon}",
)
def sparse_adam():
    layer = nn.Embedding(4, 2, sparse=True)
    optimizer = optim.SparseAdam(layer.parameters(), lr=0.1, betas=(0.8, 0.9), eps=1e-2)
    theta, m, v = layer.weight.detach().double().numpy().copy(), np.zeros((4, 2)), np.zeros((4, 2))
    for t, rows in enumerate(([0, 1], [1, 2], [0]), 1):
        optimizer.zero_grad()
        (layer(torch.tensor(rows)) ** 2).sum().backward()
        g = 2 * theta[rows]
        m[rows], v[rows] = 0.8 * m[rows] + 0.2 * g, 0.9 * v[rows] + 0.1 * g * g
        theta[rows] -= 0.1 * math.sqrt(1 - 0.9**t) / (1 - 0.8**t) * m[rows] / (np.sqrt(v[rows]) + 1e-2)
        optimizer.step()
        np.testing.assert_allclose(layer.weight.detach(), theta, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(m[3], 0)
    weight = parameter()
    dense = optim.SparseAdam([weight])
    weight.grad = torch.ones(3).double()
    raises(RuntimeError, dense.step, "dense gradients")


@card(
    "torch.optim.Adamax",
    formula=r"u_t=\max(\beta_2u_{t-1},\,|g_t|+\varepsilon),\qquad \theta_t=\theta_{t-1}-\frac{\eta}{1-\beta_1^t}\cdot\frac{m_t}{u_t}",
)
def adamax():
    def rule(theta, g, t, memory):
        g = g + 0.1 * theta
        memory["u"] = np.maximum(0.95 * memory.get("u", 0.0), np.abs(g) + 1e-2)
        return theta - 0.05 / (1 - 0.8**t) * mean(memory, "m", g, 0.8) / memory["u"]

    follows(lambda p: optim.Adamax(p, lr=0.05, betas=(0.8, 0.95), eps=1e-2, weight_decay=0.1), rule)
    quiet = path(lambda p: optim.Adamax(p, lr=0.1), np.zeros(1), [np.full(1, 1000.0)] + [np.ones(1)] * 500)
    assert abs(quiet[-1] - quiet[-2]).item() < 0.1 * 0.01, "a step stays far below lr long after one large gradient"


@card(
    "torch.optim.NAdam",
    formula=r"\theta_t=\theta_{t-1}-\frac{\eta}{\sqrt{\hat v_t}+\varepsilon}\left(\frac{(1-\mu_t)\,g_t}{1-\prod_{i\le t}\mu_i}+\frac{\mu_{t+1}\,m_t}{1-\prod_{i\le t+1}\mu_i}\right)",
)
def nadam():
    beta1, beta2, psi = 0.9, 0.98, 0.02

    def mu(t):
        return beta1 * (1 - 0.5 * 0.96 ** (t * psi))

    def rule(theta, g, t, memory):
        m = mean(memory, "m", g, beta1)
        v = mean(memory, "v", g * g, beta2) / (1 - beta2**t)
        product = math.prod(mu(i) for i in range(1, t + 1))
        step = (1 - mu(t)) * g / (1 - product) + mu(t + 1) * m / (1 - product * mu(t + 1))
        return theta - 0.03 * step / (np.sqrt(v) + 1e-4)

    follows(lambda p: optim.NAdam(p, lr=0.03, betas=(beta1, beta2), eps=1e-4, momentum_decay=psi), rule, tolerance=1e-8)
    assert optim.NAdam([parameter()]).defaults["lr"] == 2 * optim.Adam([parameter()]).defaults["lr"]


@card(
    "torch.optim.RAdam",
    formula=r"\theta_t=\theta_{t-1}-\eta\,r_t\,\hat m_t\,\frac{\sqrt{1-\beta_2^t}}{\sqrt{v_t}+\varepsilon}",
)
def radam():
    for beta2 in (0.99, 0.999):
        longest = 2 / (1 - beta2) - 1

        def rule(theta, g, t, memory):
            m = mean(memory, "m", g, 0.9) / (1 - 0.9**t)
            v = mean(memory, "v", g * g, beta2)
            rho = longest - 2 * t * beta2**t / (1 - beta2**t)
            assert (rho <= 5) == (t <= 5)
            if t <= 5:
                return theta - 0.02 * m
            r = math.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
            return theta - 0.02 * r * m * math.sqrt(1 - beta2**t) / (np.sqrt(v) + 1e-4)

        follows(lambda p: optim.RAdam(p, lr=0.02, betas=(0.9, beta2), eps=1e-4), rule)


@card(
    "torch.optim.Adagrad",
    formula=r"s_t=s_{t-1}+g_t^2,\qquad \theta_t=\theta_{t-1}-\frac{\eta}{1+(t-1)\kappa}\cdot\frac{g_t}{\sqrt{s_t}+\varepsilon}",
)
def adagrad():
    def rule(theta, g, t, memory):
        memory["s"] = memory.get("s", 0.2) + g * g
        return theta - 0.3 / (1 + (t - 1) * 0.1) * g / (np.sqrt(memory["s"]) + 1e-2)

    follows(lambda p: optim.Adagrad(p, lr=0.3, lr_decay=0.1, initial_accumulator_value=0.2, eps=1e-2), rule)
    steps = -np.diff(path(lambda p: optim.Adagrad(p, lr=0.5), np.zeros(1), [np.full(1, 3.0)] * 100)[:, 0], prepend=0.0)
    np.testing.assert_allclose(steps, 0.5 / np.sqrt(np.arange(1, 101)), rtol=1e-6)


@card(
    "torch.optim.Adadelta",
    formula=r"\Delta_t=\frac{\sqrt{u_{t-1}+\varepsilon}}{\sqrt{v_t+\varepsilon}}\,g_t,\quad u_t=\rho u_{t-1}+(1-\rho)\Delta_t^2,\quad \theta_t=\theta_{t-1}-\eta\Delta_t",
)
def adadelta():
    def rule(theta, g, t, memory):
        v = mean(memory, "v", g * g, 0.8)
        delta = np.sqrt(memory.get("u", 0.0) + 1e-3) / np.sqrt(v + 1e-3) * g
        mean(memory, "u", delta**2, 0.8)
        return theta - 0.7 * delta

    follows(lambda p: optim.Adadelta(p, lr=0.7, rho=0.8, eps=1e-3), rule)
    first = path(optim.Adadelta, np.zeros(2), [np.array([1.0, -300.0])])[0]
    np.testing.assert_allclose(first, [-math.sqrt(1e-5), math.sqrt(1e-5)], rtol=1e-4)
    assert round(math.sqrt(1e-6 / (1 - 0.9)), 3) == 0.003
    slow = path(lambda p: optim.Adadelta(p, lr=1e-3), np.zeros(1), [np.ones(1)] * 100)
    assert abs(slow[-1].item()) < 1e-2


@card(
    "torch.optim.RMSprop",
    formula=r"v_t=\alpha v_{t-1}+(1-\alpha)\,g_t^2,\qquad \theta_t=\theta_{t-1}-\eta\,\frac{g_t}{\sqrt{v_t}+\varepsilon}",
)
def rmsprop():
    def rule(momentum, centered):
        def update(theta, g, t, memory):
            v = mean(memory, "v", g * g, 0.9)
            average = mean(memory, "g", g, 0.9)
            scaled = g / (np.sqrt(v - average**2 if centered else v) + 1e-2)
            memory["b"] = momentum * memory.get("b", 0.0) + scaled
            return theta - 0.05 * memory["b"]

        return update

    for momentum, centered in ((0.0, False), (0.7, False), (0.5, True)):
        follows(
            lambda p: optim.RMSprop(p, lr=0.05, alpha=0.9, eps=1e-2, momentum=momentum, centered=centered),
            rule(momentum, centered),
        )
    first = path(lambda p: optim.RMSprop(p, lr=0.01), np.zeros(2), [np.array([2.0, -50.0])])[0]
    np.testing.assert_allclose(first, [-0.1, 0.1], rtol=1e-6)


@card(
    "torch.optim.Rprop",
    formula=r"\Delta\leftarrow\eta^{\pm}\Delta,\qquad \theta\leftarrow\theta-\Delta\cdot\mathrm{sign}(g)",
)
def rprop():
    def rule(theta, g, t, memory):
        product = g * memory.get("g", 0.0 * g)
        factor = np.where(product > 0, 1.3, np.where(product < 0, 0.4, 1.0))
        memory["step"] = np.clip(memory.get("step", np.full_like(g, 0.1)) * factor, 1e-3, 0.5)
        g = np.where(product < 0, 0.0, g)
        memory["g"] = g
        return theta - memory["step"] * np.sign(g)

    make = lambda p: optim.Rprop(p, lr=0.1, etas=(0.4, 1.3), step_sizes=(1e-3, 0.5))  # noqa: E731
    follows(make, rule)
    grads = gradients()
    np.testing.assert_array_equal(path(make, np.zeros(3), grads), path(make, np.zeros(3), [1000 * g for g in grads]))


@card(
    "torch.optim.ASGD",
    formula=r"\theta_t=(1-\lambda\eta_t)\,\theta_{t-1}-\eta_t\,g_t,\qquad \eta_{t+1}=\frac{\eta}{(1+\lambda\eta t)^{\alpha}}",
)
def asgd():
    def rule(theta, g, t, memory):
        rate = 0.1 / (1 + 0.3 * 0.1 * (t - 1)) ** 0.75 if t > 1 else 0.1
        return (1 - 0.3 * rate) * theta - rate * g

    follows(lambda p: optim.ASGD(p, lr=0.1, lambd=0.3, alpha=0.75), rule, tolerance=1e-6)
    for t0, averaged in ((1e6, False), (2, True)):
        weight = parameter()
        optimizer = optim.ASGD([weight], t0=t0)
        for grad in gradients():
            weight.grad = torch.tensor(grad)
            optimizer.step()
        assert torch.equal(optimizer.state[weight]["ax"], weight) is not averaged
    assert optim.ASGD([parameter()]).defaults["t0"] == 1e6


@card("torch.optim.LBFGS.step")
@card("torch.optim.LBFGS", formula=r"\theta_{k+1}=\theta_k-t_k\,H_k\,g_k")
def lbfgs():
    matrix = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    weight = parameter(4.0, -3.0)
    # 1.25 times max_iter closures are allowed by default.
    optimizer = optim.LBFGS([weight], lr=1, max_iter=3, max_eval=100, tolerance_change=0)
    points, losses = [], []

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * weight @ matrix @ weight
        loss.backward()
        points.append((weight.detach().numpy().copy(), weight.grad.numpy().copy()))
        losses.append(loss.item())
        return loss

    returned = optimizer.step(closure)
    assert returned.item() == losses[0], "the loss before the step"
    points.append((weight.detach().numpy().copy(), matrix.numpy() @ weight.detach().numpy()))
    (x0, g0), (x1, g1), (x2, _) = points[:3]
    # The first direction is the gradient with a cautious length, the second H·g with H from the BFGS formula.
    np.testing.assert_allclose(x1, x0 - min(1.0, 1 / np.abs(g0).sum()) * g0)
    s, y = x1 - x0, g1 - g0
    rho = 1 / (y @ s)
    left = np.eye(2) - rho * np.outer(s, y)
    inverse = left @ (np.eye(2) * (y @ s) / (y @ y)) @ left.T + rho * np.outer(s, s)
    np.testing.assert_allclose(x2, x1 - inverse @ g1)
    defaults = optim.LBFGS([parameter()]).param_groups[0]
    assert defaults["max_eval"] == 25 and defaults["max_iter"] == 20
    raises(ValueError, lambda: optim.LBFGS([{"params": [parameter()]}, {"params": [parameter()]}]))
    raises(TypeError, optimizer.step)


@card(
    "torch.optim.Muon",
    formula=r"\theta_t=(1-\eta\lambda)\,\theta_{t-1}-\eta\,\sqrt{\max\!\left(1,\tfrac{A}{B}\right)}\;\mathrm{NS}_5\!\left(g_t+\mu B_t\right)",
)
def muon():
    def orthogonalised(g):
        x = g.T if g.shape[0] > g.shape[1] else g
        x = x / np.linalg.norm(x)
        for _ in range(5):
            gram = x @ x.T
            x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
        return x.T if g.shape[0] > g.shape[1] else x

    for shape in ((8, 4), (4, 8)):
        factor = math.sqrt(max(1, shape[0] / shape[1]))

        def rule(theta, g, t, memory):
            memory["B"] = 0.9 * memory.get("B", 0.0) + g
            step = orthogonalised(g + 0.9 * memory["B"])
            assert np.abs(np.linalg.svd(step, compute_uv=False) - 1).max() < 0.6
            return (1 - 0.02 * 0.5) * theta - 0.02 * factor * step

        # The library iterates in bfloat16.
        follows(lambda p: optim.Muon(p, lr=0.02, weight_decay=0.5, momentum=0.9), rule, shape, tolerance=1e-2)
    for wrong in (torch.zeros(3), torch.zeros(4, 3, 3, 3)):
        raises(ValueError, lambda wrong=wrong: optim.Muon([wrong.requires_grad_()]), "2D")


@card(
    "torch.optim.Adafactor",
    formula=r"U=\frac{G}{\sqrt{\hat V}},\quad \hat V_{ij}=\frac{R_i\,C_j}{\mathrm{mean}(R)},\quad \theta\leftarrow\theta-\alpha_t\,\frac{U}{\max(1,\mathrm{RMS}(U)/d)}",
)
def adafactor():
    def root_mean_square(x):
        return math.sqrt((x * x).mean())

    def rule(theta, g, t, memory):
        keep = 1 - t**-0.8
        rows = mean(memory, "R", (g * g).mean(1), keep)
        columns = mean(memory, "C", (g * g).mean(0), keep)
        update = g / np.sqrt(np.outer(rows, columns) / rows.mean())
        alpha = max(1e-3, root_mean_square(theta)) * min(0.05, 1 / math.sqrt(t))
        theta = (1 - 0.05 * 0.1) * theta
        clipped.append(root_mean_square(update) > 1)
        return theta - alpha * update / max(1, root_mean_square(update))

    clipped: list[bool] = []
    follows(lambda p: optim.Adafactor(p, lr=0.05, weight_decay=0.1), rule, (4, 5), tolerance=1e-6)
    assert any(clipped) and not all(clipped)
    weight = torch.ones(4, 5, requires_grad=True)
    optimizer = optim.Adafactor([weight])
    weight.grad = torch.ones(4, 5)
    optimizer.step()
    state = optimizer.state[weight]
    assert state["row_var"].numel() == 4 and state["col_var"].numel() == 5


# Schedules


def rates(make, steps: int = 20, lr: float = 0.5) -> np.ndarray:
    """The learning rate before the first step and after each, with 1.0 as the value of a watched metric."""
    optimizer = optim.SGD([parameter()], lr=lr, momentum=0.9)
    schedule = make(optimizer)
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        seen.append(optimizer.param_groups[0]["lr"])
    return np.array(seen)


def shows(make, closed_form, steps: int = 20):
    expected = [closed_form(t) for t in range(steps + 1)]
    np.testing.assert_allclose(rates(make, steps), expected, rtol=1e-9, atol=1e-12)


@card(
    "torch.optim.lr_scheduler.LRScheduler",
    "torch.optim.lr_scheduler.LRScheduler.step",
    "torch.optim.lr_scheduler.LRScheduler.get_last_lr",
)
def schedulers():
    optimizer = optim.SGD([parameter()], lr=1.0)
    schedule = lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    warns(schedule.step, "before `optimizer.step()`")
    assert math.isclose(schedule.get_last_lr()[0], 0.1) and isinstance(schedule.get_last_lr(), list)
    wrong = warns(schedule.get_lr, "get_last_lr()")
    assert math.isclose(wrong[0], 0.01), "get_lr gives the next rate, not the one in use"
    warmed = optim.SGD([parameter()], lr=1.0)
    lr_scheduler.LambdaLR(warmed, lambda t: 0.25)
    assert warmed.param_groups[0]["lr"] == 0.25


@card("torch.optim.lr_scheduler.LRScheduler.state_dict", "torch.optim.lr_scheduler.LRScheduler.load_state_dict")
def state_of_a_scheduler():
    optimizer = optim.SGD([parameter()], lr=1.0)
    saved = lr_scheduler.StepLR(optimizer, 3, gamma=0.5).state_dict()
    assert "optimizer" not in saved and saved["gamma"] == 0.5
    other = lr_scheduler.StepLR(optimizer, 3, gamma=0.9)
    other.load_state_dict(saved)
    assert other.gamma == 0.5
    assert lr_scheduler.LambdaLR(optimizer, lambda t: 1.0).state_dict()["lr_lambdas"] == [None]


@card("torch.optim.lr_scheduler.LambdaLR", formula=r"\eta_t=\eta_0\,\lambda(t)")
def lambda_lr():
    shows(lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)), lambda t: 0.5 / (1 + t))
    assert rates(lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.01), 1, lr=0.1)[0] == 0.001
    assert rates(lambda o: lr_scheduler.LambdaLR(o, lambda t: t / 10), 1)[0] == 0


@card("torch.optim.lr_scheduler.MultiplicativeLR", formula=r"\eta_t=\eta_{t-1}\,\lambda(t)")
def multiplicative_lr():
    asked = []

    def factor(t):
        asked.append(t)
        return 0.9 + 0.01 * t

    shows(
        lambda o: lr_scheduler.MultiplicativeLR(o, factor),
        lambda t: 0.5 * math.prod(0.9 + 0.01 * i for i in range(1, t + 1)),
        8,
    )
    assert asked[0] == 1
    shows(lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: 0.95), lambda t: 0.5 * 0.95**t)


@card("torch.optim.lr_scheduler.StepLR", formula=r"\eta_t=\eta_0\,\gamma^{\lfloor t/s\rfloor}")
def step_lr():
    shows(lambda o: lr_scheduler.StepLR(o, 3, gamma=0.4), lambda t: 0.5 * 0.4 ** (t // 3))


@card("torch.optim.lr_scheduler.MultiStepLR", formula=r"\eta_t=\eta_0\,\gamma^{\,|\{i:\,m_i\le t\}|}")
def multi_step_lr():
    milestones = [2, 5, 5, 11]
    shows(
        lambda o: lr_scheduler.MultiStepLR(o, milestones, gamma=0.4),
        lambda t: 0.5 * 0.4 ** sum(m <= t for m in milestones),
    )


@card("torch.optim.lr_scheduler.ConstantLR", formula=r"\eta_t=c\,\eta_0\ \ (t<T),\qquad \eta_t=\eta_0\ \ (t\ge T)")
def constant_lr():
    shows(lambda o: lr_scheduler.ConstantLR(o, 0.2, 4), lambda t: 0.5 * (0.2 if t < 4 else 1))
    seen = rates(lr_scheduler.ConstantLR)
    assert math.isclose(seen[5] / seen[4], 3)


@card("torch.optim.lr_scheduler.LinearLR", formula=r"\eta_t=\eta_0\left(a+(b-a)\,\frac{\min(t,T)}{T}\right)")
def linear_lr():
    shows(lambda o: lr_scheduler.LinearLR(o, 0.1, 0.8, 6), lambda t: 0.5 * (0.1 + 0.7 * min(t, 6) / 6))
    raises(ValueError, lambda: rates(lambda o: lr_scheduler.LinearLR(o, 0.0)))
    seen = rates(lr_scheduler.LinearLR)
    assert seen[4] < 0.49 and math.isclose(seen[5], 0.5)


@card("torch.optim.lr_scheduler.ExponentialLR", formula=r"\eta_t=\eta_0\,\gamma^{t}")
def exponential_lr():
    shows(lambda o: lr_scheduler.ExponentialLR(o, 0.9), lambda t: 0.5 * 0.9**t)
    assert f"{0.9**100:.3%}" == "0.003%"


@card("torch.optim.lr_scheduler.PolynomialLR", formula=r"\eta_t=\eta_0\left(1-\frac{\min(t,T)}{T}\right)^{p}")
def polynomial_lr():
    for power in (1.0, 0.9, 2.0):
        shows(lambda o: lr_scheduler.PolynomialLR(o, 8, power), lambda t: 0.5 * (1 - min(t, 8) / 8) ** power)
    assert rates(lr_scheduler.PolynomialLR)[5] == 0


def half_cosine(t: float, length: float, low: float = 0.0, high: float = 0.5) -> float:
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * t / length))


@card(
    "torch.optim.lr_scheduler.CosineAnnealingLR",
    formula=r"\eta_t=\eta_{\min}+\tfrac12(\eta_0-\eta_{\min})\left(1+\cos\frac{\pi t}{T_{\max}}\right)",
)
def cosine_annealing_lr():
    shows(lambda o: lr_scheduler.CosineAnnealingLR(o, 7, 0.02), lambda t: half_cosine(t, 7, 0.02), 25)
    seen = rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 7))
    assert seen[7] < seen[8] < seen[9] and math.isclose(seen[14], 0.5), "it climbs back"


@card(
    "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
    formula=r"\eta_t=\eta_{\min}+\tfrac12(\eta_0-\eta_{\min})\left(1+\cos\frac{\pi\,T_{cur}}{T_i}\right)",
)
def cosine_annealing_warm_restarts():
    def closed_form(t):
        length = 10
        while t >= length:
            t, length = t - length, 2 * length
        return half_cosine(t, length, 0.01)

    shows(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10, 2, 0.01), closed_form, 75)
    seen = rates(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10, 2, 0.01), 75)
    assert [t for t in range(1, 76) if seen[t] == 0.5] == [10, 30, 70]


@card("torch.optim.lr_scheduler.ChainedScheduler")
def chained_scheduler():
    def make(o):
        return lr_scheduler.ChainedScheduler([lr_scheduler.ConstantLR(o, 0.1, 3), lr_scheduler.ExponentialLR(o, 0.9)])

    shows(make, lambda t: 0.5 * (0.1 if t < 3 else 1) * 0.9**t)
    raises(ValueError, lambda: rates(lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(o)])))


@card("torch.optim.lr_scheduler.SequentialLR")
def sequential_lr():
    def make(o):
        return lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.CosineAnnealingLR(o, 15)], [5]
        )

    shows(make, lambda t: 0.5 * (0.1 + 0.9 * t / 5) if t < 5 else half_cosine(t - 5, 15), 20)
    raises(ValueError, lambda: rates(lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ConstantLR(o)], [5])))


@card("torch.optim.lr_scheduler.ReduceLROnPlateau.step")
@card(
    "torch.optim.lr_scheduler.ReduceLROnPlateau", formula=r"\eta\leftarrow\max(\eta\cdot\mathrm{factor},\,\eta_{\min})"
)
def reduce_on_plateau():
    def watched(values, **options):
        optimizer = optim.SGD([parameter()], lr=1.0)
        schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2, **options)
        seen = []
        for value in values:
            schedule.step(value)
            seen.append(optimizer.param_groups[0]["lr"])
        return seen

    np.testing.assert_allclose(watched([5.0] * 5), [1, 1, 1, 0.1, 0.1])
    np.testing.assert_allclose(watched([5.0] * 7, min_lr=0.05), [1, 1, 1, 0.1, 0.1, 0.1, 0.05])
    rising = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97]
    assert watched(rising)[-1] < 0.02 and watched(rising, mode="max")[-1] == 1
    optimizer = optim.SGD([parameter()], lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer)
    for call in range(1, 13):
        schedule.step(1.0)
        if optimizer.param_groups[0]["lr"] < 1:
            break
    assert call == 12, "the first call sets the best value, the 11th bad one reduces"
    raises(TypeError, schedule.step)


@card(
    "torch.optim.lr_scheduler.CyclicLR",
    formula=r"\eta_t=\eta_b+(\eta_m-\eta_b)\left(1-\left|\tfrac{t}{s}-2c+1\right|\right),\qquad c=\left\lfloor 1+\tfrac{t}{2s}\right\rfloor",
)
def cyclic_lr():
    def closed_form(t):
        c = math.floor(1 + t / 8)
        return 0.1 + 0.4 * (1 - abs(t / 4 - 2 * c + 1))

    shows(lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.5, step_size_up=4), closed_form, 30)
    raises(ValueError, lambda: lr_scheduler.CyclicLR(optim.Adagrad([parameter()]), 0.1, 0.5), "cycle_momentum")
    lr_scheduler.CyclicLR(optim.Adagrad([parameter()]), 0.1, 0.5, cycle_momentum=False)
    adam_ = optim.Adam([parameter()])
    lr_scheduler.CyclicLR(adam_, 0.1, 0.5)
    assert adam_.param_groups[0]["betas"][0] == 0.9 and adam_.param_groups[0]["lr"] == 0.1
    for mode, height in (
        ("triangular2", lambda t: 0.5 ** (math.floor(1 + t / 8) - 1)),
        ("exp_range", lambda t: 0.9**t),
    ):
        shows(
            lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.5, 4, mode=mode, gamma=0.9),
            lambda t: 0.1 + (closed_form(t) - 0.1) * height(t),
            30,
        )


@card(
    "torch.optim.lr_scheduler.OneCycleLR",
    formula=r"\frac{\eta_{\max}}{d}\;\xrightarrow{\ 30\,\%\ }\;\eta_{\max}\;\xrightarrow{\ 70\,\%\ }\;\frac{\eta_{\max}}{d\,f}",
)
def one_cycle_lr():
    total = 100
    seen = rates(lambda o: lr_scheduler.OneCycleLR(o, 0.8, total), total - 1)
    peak, last = 0.3 * total - 1, total - 1

    def between(a, b, share):
        return b + (a - b) / 2 * (1 + math.cos(math.pi * share))

    for t in range(total):
        expected = (
            between(0.8 / 25, 0.8, t / peak) if t <= peak else between(0.8, 0.8 / 25e4, (t - peak) / (last - peak))
        )
        assert math.isclose(seen[t], expected, rel_tol=1e-9)
    assert seen.argmax() == 29
    raises(
        ValueError,
        lambda: rates(lambda o: lr_scheduler.OneCycleLR(o, 0.8, total), total + 1),
        "specified number of total steps",
    )
    adam_ = optim.Adam([parameter()], lr=123.0)
    lr_scheduler.OneCycleLR(adam_, 0.8, epochs=2, steps_per_epoch=50)
    assert math.isclose(adam_.param_groups[0]["lr"], 0.8 / 25) and adam_.param_groups[0]["betas"][0] == 0.95


# Averaging


@card("torch.optim.swa_utils.AveragedModel.update_parameters")
@card("torch.optim.swa_utils.AveragedModel", formula=r"\bar\theta_{n+1}=\bar\theta_n+\frac{\theta-\bar\theta_n}{n+1}")
def averaged_model():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    averaged = swa_utils.AveragedModel(model)
    seen, theta = [], 0.0
    for n in range(5):
        with torch.no_grad():
            model[0].weight.copy_(torch.randn(3, 2))
            model[1].running_mean.copy_(torch.randn(3))
        averaged.update_parameters(model)
        seen.append(model[0].weight.detach().numpy().copy())
        theta = theta + (seen[-1] - theta) / (n + 1)
        np.testing.assert_allclose(averaged.module[0].weight.detach(), theta)
    np.testing.assert_allclose(averaged.module[0].weight.detach(), np.mean(seen, axis=0))
    assert torch.equal(averaged.module[1].running_mean, model[1].running_mean)


@card(
    "torch.optim.swa_utils.get_ema_multi_avg_fn",
    "torch.optim.swa_utils.get_ema_avg_fn",
    formula=r"\bar\theta\leftarrow d\,\bar\theta+(1-d)\,\theta",
)
def exponential_average():
    for options in ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.7)}, {"avg_fn": swa_utils.get_ema_avg_fn(0.7)}):
        model = nn.Linear(2, 1).double()
        averaged = swa_utils.AveragedModel(model, **options)
        expected = None
        for _ in range(5):
            with torch.no_grad():
                model.weight.copy_(torch.randn(1, 2))
            averaged.update_parameters(model)
            current = model.weight.detach().numpy().copy()
            expected = current if expected is None else 0.7 * expected + 0.3 * current
            np.testing.assert_allclose(averaged.module.weight.detach(), expected)


@card(
    "torch.optim.swa_utils.get_swa_multi_avg_fn",
    "torch.optim.swa_utils.get_swa_avg_fn",
    formula=r"\bar\theta\leftarrow\bar\theta+\frac{\theta-\bar\theta}{n+1}",
)
def equal_average():
    old, new = torch.randn(3).double(), torch.randn(3).double()
    expected = old.numpy() + (new.numpy() - old.numpy()) / 5
    np.testing.assert_allclose(swa_utils.get_swa_avg_fn()(old, new, 4), expected)
    swa_utils.get_swa_multi_avg_fn()([old], [new], 4)
    np.testing.assert_allclose(old, expected)


@card(
    "torch.optim.swa_utils.SWALR",
    formula=r"\eta_t=(1-\alpha_t)\,\eta_0+\alpha_t\,\eta_{swa},\qquad \alpha_t=\tfrac12\left(1-\cos\frac{\pi t}{T}\right)",
)
def swa_lr():
    def closed_form(t):
        alpha = 0.5 * (1 - math.cos(math.pi * min(t, 6) / 6))
        return (1 - alpha) * 0.5 + alpha * 0.05

    shows(lambda o: swa_utils.SWALR(o, 0.05, 6), closed_form)
    shows(lambda o: swa_utils.SWALR(o, 0.05, 6, "linear"), lambda t: 0.5 + (0.05 - 0.5) * min(t, 6) / 6)


@card("torch.optim.swa_utils.update_bn")
def update_bn():
    model = nn.Sequential(nn.BatchNorm1d(2, momentum=0.3)).double().eval()
    batches = [torch.randn(8, 2).double() + i for i in range(4)]
    swa_utils.update_bn([(batch, "label") for batch in batches], model)
    np.testing.assert_allclose(model[0].running_mean, np.mean([b.numpy().mean(0) for b in batches], axis=0))
    np.testing.assert_allclose(model[0].running_var, np.mean([b.numpy().var(0, ddof=1) for b in batches], axis=0))
    assert model[0].momentum == 0.3 and not model.training
    raises((TypeError, AttributeError), lambda: swa_utils.update_bn([{"x": batches[0]}], model))


# A function that claims several cards runs once.
subject.checks[:] = dict((check, (name, check)) for name, check in subject.checks).values()
