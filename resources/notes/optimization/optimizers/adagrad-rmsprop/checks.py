import inspect
import math

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, stated
from trainings import handwritten_digits, weights_after_a_step

ADAGRAD = r"s_t = s_{t-1} + g_t^2, \qquad \theta_t = \theta_{t-1} - \eta\,\frac{g_t}{\sqrt{s_t} + \varepsilon}"
RMSPROP = r"v_t = \alpha v_{t-1} + (1-\alpha)\,g_t^2, \qquad \theta_t = \theta_{t-1} - \eta\,\frac{g_t}{\sqrt{v_t} + \varepsilon}"
ADADELTA = r"""
v_t = \rho v_{t-1} + (1-\rho)\,g_t^2, \qquad
\Delta_t = \frac{\sqrt{u_{t-1} + \varepsilon}}{\sqrt{v_t + \varepsilon}}\,g_t, \qquad
u_t = \rho u_{t-1} + (1-\rho)\,\Delta_t^2, \qquad \theta_t = \theta_{t-1} - \eta\,\Delta_t
"""


def by_library(kind, theta, gradients, **options):
    w = torch.tensor(theta, requires_grad=True)
    optimizer, path = kind([w], **options), []
    for g in gradients:
        w.grad = torch.tensor(g)
        optimizer.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


def cases():
    for shape in [(1,), (3, 2), (2, 2, 2)]:
        gradients = np.random.randn(25, *shape) * 10.0 ** np.random.uniform(-3, 2, (25, *shape))
        gradients[4] = 0
        yield np.random.randn(*shape), gradients


@formula(ADAGRAD)
def check_adagrad():
    for theta, gradients in cases():
        for lr, eps, decay in ((0.01, 1e-10, 0.0), (0.3, 0.05, 0.2)):
            s, now, ours = 0.0, theta, []
            for gradient in gradients:
                g = gradient + decay * now
                s = s + g**2
                now = now - lr * g / (np.sqrt(s) + eps)
                ours.append(now)
            np.testing.assert_allclose(
                ours,
                by_library(torch.optim.Adagrad, theta, gradients, lr=lr, eps=eps, weight_decay=decay),
                rtol=1e-9,
                atol=1e-12,
            )


@formula(RMSPROP)
def check_rmsprop():
    for theta, gradients in cases():
        for lr, alpha, eps, centered in ((0.01, 0.99, 1e-8, False), (0.2, 0.7, 0.1, False), (0.05, 0.9, 1e-3, True)):
            v = mean = 0.0
            now, ours = theta, []
            for g in gradients:
                v = alpha * v + (1 - alpha) * g**2
                mean = alpha * mean + (1 - alpha) * g
                now = now - lr * g / (np.sqrt(v - mean**2 if centered else v) + eps)
                ours.append(now)
            library = by_library(torch.optim.RMSprop, theta, gradients, lr=lr, alpha=alpha, eps=eps, centered=centered)
            np.testing.assert_allclose(ours, library, rtol=1e-8, atol=1e-12)


@formula(ADADELTA)
def check_adadelta():
    for theta, gradients in cases():
        for lr, rho, eps in ((1.0, 0.9, 1e-6), (0.5, 0.6, 0.01)):
            v = u = 0.0
            now, ours = theta, []
            for g in gradients:
                v = rho * v + (1 - rho) * g**2
                delta = np.sqrt(u + eps) / np.sqrt(v + eps) * g
                u = rho * u + (1 - rho) * delta**2
                now = now - lr * delta
                ours.append(now)
            np.testing.assert_allclose(
                ours, by_library(torch.optim.Adadelta, theta, gradients, lr=lr, rho=rho, eps=eps), rtol=1e-9, atol=1e-12
            )


def moved(kind, gradients, **options):
    path = by_library(kind, np.zeros(1), [np.array([g]) for g in gradients], **options)
    return -np.diff(np.concatenate([[0.0], path[:, 0]]))


@check
def check_worked_example():
    ada = moved(torch.optim.Adagrad, [2.0, 2.0], lr=0.1)
    stated("0.1", ada[0])
    stated("0.0707", ada[1])
    rms = moved(torch.optim.RMSprop, [2.0, 2.0], lr=0.1)
    assert abs(rms[0] - 1) < 1e-6
    stated("0.04", 0.01 * 4)
    stated("0.0796", 0.99 * 0.04 + 0.04)
    stated("0.28213", math.sqrt(0.0796))
    assert round(0.2 / 0.28213, 4) == 0.7089
    stated("0.7089", rms[1])
    stated("0.6325", math.sqrt(0.4))
    stated("0.0032", moved(torch.optim.Adadelta, [2.0])[0])


@holds("Input", "`Adagrad` defaults", "`RMSprop` defaults", "`Adadelta` defaults", "State per weight")
def check_defaults_and_state():
    for kind, wanted in (
        (torch.optim.Adagrad, {"lr": 0.01, "lr_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10}),
        (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0, "centered": False}),
        (torch.optim.Adadelta, {"lr": 1.0, "rho": 0.9, "eps": 1e-6}),
    ):
        parameters = inspect.signature(kind).parameters
        assert {name: parameters[name].default for name in wanted} == wanted
    for kind, options, states in (
        (torch.optim.Adagrad, {}, 1),
        (torch.optim.RMSprop, {}, 1),
        (torch.optim.RMSprop, {"momentum": 0.9, "centered": True}, 3),
        (torch.optim.Adadelta, {}, 2),
    ):
        w, skipped = torch.ones(7, requires_grad=True), torch.ones(7, requires_grad=True)
        optimizer = kind([w, skipped], **options)
        w.grad = torch.ones(7)
        optimizer.step()
        assert sum(torch.is_tensor(s) and s.numel() == 7 for s in optimizer.state[w].values()) == states
        assert torch.equal(skipped.detach(), torch.ones(7))
        for dtype in (torch.float32, torch.float64):
            w = torch.ones(2, 1, 3, dtype=dtype, requires_grad=True)
            optimizer = kind([{"params": [w]}], **options)
            w.grad = torch.ones_like(w)
            optimizer.step()
            kept = [s for name, s in optimizer.state[w].items() if name != "step"]
            assert len(kept) == states and all(s.shape == w.shape and s.dtype == dtype for s in kept)


@holds("Same in train and eval?")
def check_step_does_not_look_at_the_mode():
    for kind in (torch.optim.Adagrad, torch.optim.RMSprop, torch.optim.Adadelta):
        found = [weights_after_a_step(kind, training) for training in (True, False)]
        assert torch.equal(*found) and (found[0] < 1).all()


@holds("AdaGrad", "RMSProp", "AdaDelta", "Adam", "SGD")
def check_table_of_steps():
    sizes = {
        kind: moved(kind, [3.0] * 2000, lr=0.1) / 0.1
        for kind in (torch.optim.Adagrad, torch.optim.RMSprop, torch.optim.Adadelta, torch.optim.Adam, torch.optim.SGD)
    }
    t = np.arange(1, 2001)
    np.testing.assert_allclose(sizes[torch.optim.Adagrad], 1 / np.sqrt(t), rtol=1e-6)
    assert abs(sizes[torch.optim.RMSprop][-1] - 1) < 1e-6
    delta = sizes[torch.optim.Adadelta]
    stated("0.0032", delta[0])
    assert delta[-1] > 3 * delta[0] and (np.diff(delta)[3:] > 0).all()
    np.testing.assert_allclose(sizes[torch.optim.Adam], 1, rtol=1e-6)
    np.testing.assert_allclose(sizes[torch.optim.SGD], 3, rtol=1e-6)
    # A large gradient fades from all memories but AdaGrad's.
    for kind, fades in ((torch.optim.Adagrad, False), (torch.optim.RMSprop, True), (torch.optim.Adam, True)):
        late = moved(kind, [30.0] + [3.0] * 2500, lr=0.1)[-1]
        assert bool(abs(late / moved(kind, [3.0] * 2501, lr=0.1)[-1] - 1) < 0.01) is fades
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adadelta([w])
    for gradient in [300.0] + [3.0] * 500:
        w.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    assert math.isclose(optimizer.state[w]["square_avg"].item(), 9, rel_tol=1e-6)
    for kind in (torch.optim.Adagrad, torch.optim.Adadelta):
        assert not {"momentum", "betas"} & set(inspect.signature(kind).parameters)
    for kind in (torch.optim.RMSprop, torch.optim.SGD):
        assert inspect.signature(kind).parameters["momentum"].default == 0
    assert inspect.signature(torch.optim.Adam).parameters["betas"].default[0] == 0.9


@holds("Why divide by a root and not by the squares themselves?")
def check_scaling_the_loss_cancels():
    gradients = np.random.randn(30) + 3
    for kind in (torch.optim.Adagrad, torch.optim.RMSprop):
        np.testing.assert_allclose(moved(kind, gradients), moved(kind, 1000 * gradients), rtol=1e-6)
    assert 0.01 / 0.01**2 > 1 / 1**2 > 100 / 100**2


@holds("What turns RMSProp into Adam?")
def check_rmsprop_with_two_additions_is_adam():
    gradients = np.random.randn(20, 3)
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer, mean, now, ours = torch.optim.RMSprop([w], alpha=0.999), np.zeros(3), np.zeros(3), []
    for t, g in enumerate(gradients, start=1):
        w.grad = torch.tensor(g)
        optimizer.step()
        mean = 0.9 * mean + 0.1 * g
        root = np.sqrt(optimizer.state[w]["square_avg"].numpy() / (1 - 0.999**t))
        now = now - 0.01 * mean / (1 - 0.9**t) / (root + 1e-8)
        ours.append(now)
    np.testing.assert_allclose(ours, by_library(torch.optim.Adam, np.zeros(3), gradients, lr=0.01), rtol=1e-9)
    other = by_library(torch.optim.RMSprop, np.zeros(3), gradients, lr=0.01, alpha=0.999, momentum=0.9)
    assert not np.allclose(ours, other, rtol=0.1)


@check
def check_claims_about_step_sizes():
    stated("0.01", moved(torch.optim.Adagrad, [3.0] * 10000, lr=1.0)[-1])
    assert abs(moved(torch.optim.RMSprop, [3.0] * 3000, lr=1.0)[-1] - 1) < 1e-3
    for gradients in ([5.0], [0.0] * 5000 + [5.0]):
        assert abs(moved(torch.optim.RMSprop, gradients, lr=1.0)[-1] - 10) < 1e-4
    silence = [0.0] * 5000 + [5.0] * 30
    stated("3.2", max(moved(torch.optim.RMSprop, silence, lr=1.0, alpha=0.9)))
    assert 6 < max(moved(torch.optim.Adam, [5.0] * 100 + silence, lr=1.0)) < 7
    assert 5 < max(moved(torch.optim.Adam, [0.0] * 1000 + [5.0] * 30, lr=1.0)) < 6  # shorter: not so far
    assert abs(max(moved(torch.optim.Adam, [5.0] * 30, lr=1.0)) - 1) < 1e-6
    stated("0.0032", math.sqrt(1e-6 / 0.1))
    stated("0.0014", moved(torch.optim.Adadelta, [1.0], rho=0.95, eps=1e-7)[0])  # the defaults of Keras
    for g in (0.1, 100.0):
        stated("0.0032", moved(torch.optim.Adadelta, [g])[0])
    assert moved(torch.optim.Adadelta, [1.0] * 5, lr=1e-3).max() < 1e-5
    faster = moved(torch.optim.Adadelta, [1.0], eps=1e-4)[0]
    assert faster > 0.03
    stated("0.002", math.sqrt(1e-6) + 0.001)
    stated("0.0316", math.sqrt(1e-6 + 0.001))
    for v in (1e-4, 1.0, 1e4):
        eps = 1e-2 * min(v, math.sqrt(v))
        assert abs((math.sqrt(v) + eps) / math.sqrt(v + eps) - 1) < 0.01
    assert abs((math.sqrt(1e-6) + 1) / math.sqrt(1e-6 + 1) - 1) < 0.002  # a wide gap does not follow from a large eps


@pitfall("`weight_decay` acts unevenly")
def check_weight_decay_is_uneven():
    # Two weights at 1 with gradients of mean zero, one a hundred times larger: the small one is decayed more.
    noise = np.random.choice([-1.0, 1.0], size=(3000, 1)) * np.array([[1.0, 0.01]])

    def shrunk(kind, *decays):
        without, decayed = (by_library(kind, np.ones(2), noise, lr=1e-3, weight_decay=d)[-1] for d in decays)
        return without - decayed

    for kind in (torch.optim.Adagrad, torch.optim.RMSprop, torch.optim.Adadelta):
        large, small = shrunk(kind, 0.0, 0.001)
        assert large > 0 and small > 5 * large
    large, small = shrunk(torch.optim.AdamW, 0.0, 0.1)
    assert large > 0.2 and 0.9 < small / large < 1.1


@holds("What turns RMSProp into Adam?")
def check_rmsprop_momentum_adds_divided_gradients():
    gradients = np.random.randn(20, 3)
    v = b = 0.0
    now, ours = np.zeros(3), []
    for g in gradients:
        v = 0.99 * v + 0.01 * g**2
        b = 0.9 * b + g / (np.sqrt(v) + 1e-8)
        now = now - 0.01 * b
        ours.append(now)
    np.testing.assert_allclose(ours, by_library(torch.optim.RMSprop, np.zeros(3), gradients, momentum=0.9), rtol=1e-9)


@holds("Does AdaGrad work with sparse gradients?")
def check_sparse_adagrad_leaves_other_rows():
    table = nn.Embedding(6, 3, sparse=True)
    optimizer = torch.optim.Adagrad(table.parameters(), lr=0.1)
    before = table.weight.detach().clone()
    table(torch.tensor([1, 4])).sum().backward()
    optimizer.step()
    changed = ((table.weight.detach() - before).abs().sum(1) > 0).tolist()
    assert changed == [False, True, False, False, True, False]
    assert (optimizer.state[table.weight]["sum"].sum(1) > 0).tolist() == changed
    for refused in ({"weight_decay": 0.1}, {"fused": True}):
        raises(RuntimeError, lambda: torch.optim.Adagrad(table.parameters(), **refused).step(), "sparse grad")


def trained_on_digits(kind, steps, warmup=0, **options):
    """The loss of a small network before each step and after the last."""
    torch.manual_seed(0)
    pixels, classes = handwritten_digits()
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer, losses = kind(network.parameters(), **options), []
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup + 1)
    for _ in range(steps + 1):
        optimizer.zero_grad()
        losses.append(nn.functional.cross_entropy(network(pixels), classes))
        losses[-1].backward()
        optimizer.step()
        scheduler.step()
    return torch.stack(losses).detach()


@pitfall("AdaGrad makes progress, then slows to a crawl")
def check_adagrad_slows_down():
    fading = trained_on_digits(torch.optim.Adagrad, 200, lr=0.001)
    assert fading[0] - fading[20] > 1.5 * (fading[180] - fading[200]) and fading[200] > 1.9
    for kind in (torch.optim.RMSprop, torch.optim.Adam):
        assert trained_on_digits(kind, 200, lr=0.001)[200] < 0.8
    assert trained_on_digits(torch.optim.Adagrad, 200, lr=0.1)[200] < 0.3
    # One feature, present in every tenth step, with the same gradient each time: how far its weight gets.
    sparse = [float(t % 10 == 0) for t in range(2_000)]
    small, large = (moved(torch.optim.Adagrad, sparse, lr=lr).sum() for lr in (0.01, 0.1))
    assert small < 0.3 and large > 2.5


@pitfall("The loss jumps up in RMSProp's first steps")
def check_first_steps_of_rmsprop():
    jumping = trained_on_digits(torch.optim.RMSprop, 5)
    assert jumping.max() > 1.5 * jumping[0]
    assert (trained_on_digits(torch.optim.RMSprop, 10, warmup=2).diff() > 0.5).any()  # too short
    for calm in (
        trained_on_digits(torch.optim.RMSprop, 5, lr=0.001),
        trained_on_digits(torch.optim.RMSprop, 5, warmup=20),
        trained_on_digits(torch.optim.Adam, 5, lr=0.01),
        trained_on_digits(torch.optim.Adam, 5),
    ):
        assert calm.max() == calm[0] and calm[5] < calm[0]


class EpsilonInside(torch.optim.Optimizer):
    """RMSProp as Keras 3 writes it, and TensorFlow 1 with a start at 1."""

    def __init__(self, params, lr, alpha, eps, start):
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "start": start})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for w in group["params"]:
                v = self.state[w].setdefault("v", torch.full_like(w, group["start"]))
                v.mul_(group["alpha"]).addcmul_(w.grad, w.grad, value=1 - group["alpha"])
                w.sub_(group["lr"] * w.grad / (v + group["eps"]).sqrt())


@pitfall("Results of a TensorFlow model cannot be reproduced")
def check_epsilon_inside_the_root():
    options = {"lr": 0.1, "alpha": 0.9, "eps": 0.001}
    for start in (0.0, 1.0):
        v, expected = start, []
        for _ in range(200):
            v = 0.9 * v + 0.1 * 1e-6
            expected.append(0.1 * 0.001 / math.sqrt(v + 0.001))
        copied = moved(torch.optim.RMSprop, [0.001] * 200, **options)
        written = moved(EpsilonInside, [0.001] * 200, **options, start=start)
        assert copied[-1] / expected[-1] > 15  # the same eps in PyTorch: 0.0316 / 0.002
        np.testing.assert_allclose(written, expected, rtol=1e-9)
    keras, tensorflow = (moved(EpsilonInside, [0.5] * 5, **options, start=start) for start in (0.0, 1.0))
    assert keras[0] > 3 * tensorflow[0]  # the start matters where v is well above eps


@pitfall("AdaDelta learns almost nothing")
def check_adadelta_with_the_rate_of_keras():
    stuck = trained_on_digits(torch.optim.Adadelta, 150, lr=0.001)
    assert stuck[0] - stuck[150] < 0.02
    cured, faster = (trained_on_digits(torch.optim.Adadelta, 150, lr=1.0, eps=eps) for eps in (1e-6, 1e-4))
    assert cured[150] < 0.4 and faster[30] < cured[30] - 0.2
