import copy
import inspect
import math

import numpy as np
import torch
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits, weights_after_a_step

UPDATE = r"""
m_t = a\,m_{t-1} + b\,g_t, \qquad V_t = c\,V_{t-1} + d\,g_t^2, \qquad
\theta_t = \theta_{t-1} - \eta\,\frac{m_t}{\sqrt{V_t} + \varepsilon}
"""
CORRECTION = r"\hat m_t = \frac{m_t}{1-\beta_1^t}, \qquad \hat V_t = \frac{V_t}{1-\beta_2^t}"

by_definition("LAMB", "What is the difference between optimizer, gradient and scheduler?")
sourced(
    "Wilson et al., arXiv 1705.08292, abstract; Decoupled Weight Decay Regularization, arXiv 1711.05101, abstract",
    "Do adaptive methods generalise worse than SGD?",
)


def by_formula(theta, gradients, lr, a, b, c, d, v0=0.0, eps=0.0, corrected=False):
    m, v, path = np.zeros_like(theta), np.full_like(theta, v0), []
    for t, g in enumerate(gradients, start=1):
        m, v = a * m + b * g, c * v + d * g**2
        m_hat, v_hat = (m / (1 - a**t), v / (1 - c**t)) if corrected else (m, v)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + eps)
        path.append(theta)
    return np.array(path)


def by_library(kind, theta, gradients, **options):
    w = torch.tensor(theta, requires_grad=True)
    optimizer, path = kind([w], **options), []
    for g in gradients:
        w.grad = torch.tensor(g)
        optimizer.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


METHODS = {
    "SGD": (dict(a=0, b=1, c=1, d=0, v0=1.0), torch.optim.SGD, {}),
    "momentum": (dict(a=0.9, b=1, c=1, d=0, v0=1.0), torch.optim.SGD, {"momentum": 0.9}),
    "AdaGrad": (dict(a=0, b=1, c=1, d=1, eps=1e-10), torch.optim.Adagrad, {}),
    "RMSprop": (dict(a=0, b=1, c=0.99, d=0.01, eps=1e-8), torch.optim.RMSprop, {}),
    "Adam": (dict(a=0.9, b=0.1, c=0.999, d=0.001, eps=1e-8, corrected=True), torch.optim.Adam, {}),
}


@formula(UPDATE, CORRECTION)
@holds("SGD with momentum", "Adam", "AdaGrad, RMSProp")
def check_one_update_covers_five_optimizers():
    for shape in [(1,), (3, 4)]:
        gradients = np.random.randn(20, *shape) * 10.0 ** np.random.uniform(-2, 2, (20, *shape))
        for coefficients, kind, options in METHODS.values():
            for lr in (0.01, 0.3):
                theta = np.random.randn(*shape)
                ours = by_formula(theta, gradients, lr, **coefficients)
                np.testing.assert_allclose(
                    ours, by_library(kind, theta, gradients, lr=lr, **options), rtol=1e-7, atol=1e-10
                )


@holds("SGD with momentum", "Adam", "AdaGrad, RMSProp")
def check_worked_example():
    wanted = {
        "SGD": ("0.4", "0.4"),
        "momentum": ("0.4", "0.76"),
        "AdaGrad": ("0.1", "0.0707"),
        "RMSprop": ("1", "0.7089"),
        "Adam": ("0.1", "0.1"),
    }
    for name, (_, kind, options) in METHODS.items():
        moved = {}
        for g in (4.0, 8.0):
            path = by_library(kind, np.zeros(1), [np.array([g])] * 2, lr=0.1, **options)[:, 0]
            moved[g] = -np.diff([0.0, *path])
        for text, value in zip(wanted[name], moved[4.0]):
            stated(text, round(float(value), 6))
        np.testing.assert_allclose(moved[8.0] / moved[4.0], 2 if name in ("SGD", "momentum") else 1, rtol=1e-6)


@holds("Input", "Interface", "Skipped", "State per weight", "Default `lr`")
def check_defaults_and_state():
    for kind, lr in (
        (torch.optim.SGD, 1e-3),
        (torch.optim.Adam, 1e-3),
        (torch.optim.AdamW, 1e-3),
        (torch.optim.Adagrad, 1e-2),
        (torch.optim.RMSprop, 1e-2),
        (torch.optim.LBFGS, 1),
        (torch.optim.Adadelta, 1),
    ):
        assert inspect.signature(kind).parameters["lr"].default == lr
    assert inspect.signature(torch.optim.Optimizer.zero_grad).parameters["set_to_none"].default is True
    for kind, options, states in (
        (torch.optim.SGD, {}, 0),
        (torch.optim.SGD, {"momentum": 0.9}, 1),
        (torch.optim.Adagrad, {}, 1),
        (torch.optim.RMSprop, {}, 1),
        (torch.optim.Adam, {}, 2),
        (torch.optim.AdamW, {}, 2),
        (torch.optim.RMSprop, {"centered": True}, 2),
        (torch.optim.Adam, {"amsgrad": True}, 3),
    ):
        w, skipped = torch.ones(7, requires_grad=True), torch.ones(7, requires_grad=True)
        optimizer = kind([w, skipped], lr=0.1, **options)
        w.grad = torch.ones(7)
        optimizer.step()
        assert sum(torch.is_tensor(s) and s.numel() == 7 for s in optimizer.state[w].values()) == states
        assert torch.equal(skipped.detach(), torch.ones(7))
        for name in ("zero_grad", "step", "state_dict", "add_param_group"):
            assert callable(getattr(optimizer, name))
        assert len(optimizer.param_groups) == 1
    for kind in (torch.optim.SGD, torch.optim.AdamW):
        w = torch.ones(1, requires_grad=True)
        optimizer = kind([{"params": [w], "lr": 0.1}], weight_decay=0.5)
        optimizer.step()
        assert w.item() == 1
        w.grad = torch.zeros(1)  # a gradient of zeros: the decay acts
        optimizer.step()
        assert w.item() < 1
        optimizer.zero_grad()
        assert w.grad is None
    torch.optim.SGD(nn.Linear(2, 2).named_parameters(), lr=0.1)
    two = [{"params": [torch.zeros(1, requires_grad=True)]} for _ in range(2)]
    raises(ValueError, lambda: torch.optim.LBFGS(two), "parameter groups")


@holds("AdamW")
def check_weight_decay():
    theta, gradients = np.random.randn(5), np.random.randn(10, 5)
    for name, (coefficients, kind, options) in METHODS.items():
        now, extended = theta, []
        w = torch.tensor(theta, requires_grad=True)
        optimizer = kind([w], lr=0.1, weight_decay=0.2, **options)
        for g in gradients:
            extended.append(g + 0.2 * now)
            w.grad = torch.tensor(g)
            optimizer.step()
            now = w.detach().numpy().copy()
        np.testing.assert_allclose(by_formula(theta, extended, 0.1, **coefficients)[-1], now, rtol=1e-7, atol=1e-10)
    zero = by_library(torch.optim.AdamW, theta, [np.zeros(5)], lr=0.1, weight_decay=0.2)[-1]
    np.testing.assert_allclose(zero, theta * (1 - 0.1 * 0.2), rtol=1e-12)
    for scale in (1.0, 100.0):  # AdamW: what the decay takes away does not depend on the size of the gradients
        step = lambda decay: by_library(torch.optim.AdamW, theta, [scale * gradients[0]], weight_decay=decay)[-1]
        np.testing.assert_allclose(step(0.0) - step(0.2), 1e-3 * 0.2 * theta, rtol=1e-6)


@holds("Same in train and eval?")
def check_step_does_not_look_at_the_mode():
    for kind in (torch.optim.SGD, torch.optim.Adagrad, torch.optim.RMSprop, torch.optim.Adam, torch.optim.AdamW):
        found = [weights_after_a_step(kind, training) for training in (True, False)]
        assert torch.equal(*found) and (found[0] < 1).all()


@holds("What stands in the way of Newton's method?")
def check_hessian_of_a_network():
    x, y = torch.randn(200, 3), torch.randn(200)

    def hessian(rows):
        loss = lambda w: ((x[rows].tanh() @ w).tanh() - y[rows]).square().mean()
        return torch.autograd.functional.hessian(loss, torch.ones(3))

    whole = hessian(torch.arange(200))
    assert whole.numel() == 3**2 and (10**6) ** 2 * torch.float32.itemsize == 4 * 10**12
    parts = torch.stack([hessian(torch.arange(k * 10, k * 10 + 10)) for k in range(20)])
    assert torch.allclose(parts.mean(0), whole, atol=1e-4) and (parts - whole).abs().amax((1, 2)).mean() > 0.05


@check
def check_weak_weights_keep_up_and_rare_ones_lag_less():
    gradients = [np.array([1.0, 0.01, float(t % 20 == 0)]) for t in range(1000)]
    for kind in (torch.optim.Adagrad, torch.optim.RMSprop, torch.optim.Adam):
        moved = by_library(kind, np.zeros(3), gradients, lr=0.01)[-1]
        assert 0.99 < moved[1] / moved[0] < 1.01 and 2 / 20 < moved[2] / moved[0] < 0.25


def on_digits(kind, steps, restart=None, batch=1797, **options):
    """A small network's loss before each step; `restart` = (step, whether the new optimizer gets the old state)."""
    torch.manual_seed(0)
    pixels, classes = handwritten_digits()
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer, losses = kind(network.parameters(), **options), []
    for step in range(steps):
        with torch.no_grad():
            losses.append(nn.functional.cross_entropy(network(pixels), classes).item())
        if restart and step == restart[0]:
            state, optimizer = optimizer.state_dict(), kind(network.parameters(), **options)
            if restart[1]:
                optimizer.load_state_dict(state)
        rows = torch.randperm(len(pixels))[:batch]
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(pixels[rows]), classes[rows]).backward()
        optimizer.step()
    return losses


@pitfall("Worse after a change of optimizer")
def check_each_optimizer_needs_its_own_rate():
    sgd, adam = (on_digits(kind, 61, lr=0.5)[-1] for kind in (torch.optim.SGD, torch.optim.Adam))
    assert sgd < 0.5 and adam > 2
    searched = min(on_digits(torch.optim.Adam, 61, lr=0.5 / 3**k)[-1] for k in range(1, 5))
    assert searched < 0.1
    searched = min(on_digits(torch.optim.SGD, 61, lr=0.01 * 3**k)[-1] for k in range(1, 5))
    assert on_digits(torch.optim.SGD, 61, lr=0.01)[-1] > 2 and searched < 0.5


@pitfall("`weight_decay` does not mean the same everywhere")
def check_decay_of_adam_and_adamw():
    for weight in (1.0, 10.0):
        step = lambda kind: by_library(kind, np.array([weight]), [np.zeros(1)], lr=0.1, weight_decay=0.2)[0, 0]
        l2, decoupled = step(torch.optim.Adam), step(torch.optim.AdamW)
        assert math.isclose(l2, weight - 0.1, rel_tol=1e-6) and math.isclose(decoupled, weight * (1 - 0.1 * 0.2))
    layers = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    exempt = {"params": [layers[0].bias, *layers[1].parameters()], "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([{"params": [layers[0].weight]}, exempt], lr=0.1, weight_decay=0.2)
    before = [p.detach().clone() for p in layers.parameters()]
    for p in layers.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert [torch.equal(p, old) for p, old in zip(layers.parameters(), before)] == [False, True, True, True]


@pitfall("The loss jumps after resuming")
def check_adam_jumps_without_its_state():
    resumed = lambda saved: on_digits(torch.optim.Adam, 510, restart=(500, saved), batch=64, lr=0.01)
    without, restored = resumed(False), resumed(True)
    assert without[:501] == restored[:501]
    w = torch.ones(3, requires_grad=True)
    w.grad = torch.tensor([0.0, 0.001, -50.0])
    torch.optim.Adam([w], lr=0.01).step()
    assert torch.allclose(w.detach() - 1, torch.tensor([0.0, -0.01, 0.01]), atol=1e-6)
    assert max(without[501:]) > 1.4 * without[500] and max(restored[501:]) < 1.15 * restored[500]


@pitfall("The loss jumps after resuming")
def check_resuming_needs_the_state():
    def run(restore):
        w = torch.ones(1, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
        for _ in range(5):
            w.grad = torch.ones(1)
            optimizer.step()
        fresh = torch.optim.SGD([w], lr=0.1, momentum=0.9)
        if restore:
            fresh.load_state_dict(optimizer.state_dict())
        before = w.item()
        fresh.step()
        return before - w.item()

    assert math.isclose(run(False), 0.1, rel_tol=1e-5) and run(True) > 0.4
    rates = {}
    for way in ("not interrupted", "both built first", "scheduler built late", "no scheduler state"):
        optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
        built = lambda: torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=10)
        if way == "not interrupted":
            scheduler = built()
            for _ in range(6):
                optimizer.step()
                scheduler.step()
            states = copy.deepcopy([optimizer.state_dict(), scheduler.state_dict()])
        else:
            scheduler = None if way == "scheduler built late" else built()
            optimizer.load_state_dict(states[0])
            scheduler = scheduler or built()
            if way != "no scheduler state":
                scheduler.load_state_dict(states[1])
        optimizer.step()
        scheduler.step()
        rates[way] = optimizer.param_groups[0]["lr"]
    whole = rates.pop("not interrupted")
    assert math.isclose(rates.pop("both built first"), whole) and math.isclose(
        rates["scheduler built late"], 0.1 * whole
    )
    assert rates["no scheduler state"] > 1.5 * whole


@pitfall("Some layers never change")
def check_a_replaced_layer_shows_in_the_ids():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ids = lambda: [
        {id(p) for group in optimizer.param_groups for p in group["params"]},
        {id(p) for p in model.parameters()},
    ]
    assert ids()[0] == ids()[1]

    def changed():
        before = model[1].weight.detach().clone()
        model(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
        return not torch.equal(before, model[1].weight)

    assert changed()
    model[1] = torch.nn.Linear(3, 3)
    assert ids()[0] != ids()[1] and not changed()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    assert ids()[1] - ids()[0] == {id(p) for p in model[1].parameters()} and not changed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert ids()[0] == ids()[1] and changed()
    for hidden in (True, False):
        model = torch.nn.Sequential(torch.nn.Linear(3, 3))
        layers = [torch.nn.Linear(3, 3)]
        model.rest = layers if hidden else torch.nn.ModuleList(layers)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        assert ids()[0] == ids()[1] and (id(layers[0].weight) not in ids()[1]) is hidden


@pitfall("\"missing 1 required positional argument: 'closure'\"")
@holds("L-BFGS")
def check_lbfgs_needs_a_closure():
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([w])
    raises(TypeError, lambda: optimizer.step(), "missing 1 required positional argument: 'closure'")

    calls = []

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = ((w - 3) ** 2).sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    assert torch.allclose(w.detach(), torch.full((2,), 3.0), atol=1e-3) and len(calls) > 5
    state = optimizer.state[w]
    assert {"old_dirs", "old_stps"} <= set(state)  # the last changes of gradients and of weights
