import inspect
import math
import warnings

import numpy as np
import torch
from torch.optim import lr_scheduler

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

STEP = r"\eta_t = \eta_0\,\gamma^{\lfloor t/s \rfloor}"
WARMUP_COSINE = r"""
\eta_t = \begin{cases}
\eta_{\max}\,\dfrac{t+1}{W} & 0 \le t < W \\[2ex]
\eta_{\min} + \dfrac{\eta_{\max}-\eta_{\min}}{2}\left(1 + \cos\dfrac{\pi\,(t-W)}{T-W}\right) & W \le t \le T
\end{cases}
"""

by_definition("Unit of time")
sourced(
    "Goyal et al., arXiv 1706.02677, on warmup; abstracts of Xiong et al., arXiv 2002.04745, and Liu et al., arXiv 1908.03265",
    "Why warm up?",
)


def optimizer_with(lr, **options):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, **options)


def trace(make, steps, lr=1.0, **options):
    """The rate that each of `steps` updates uses."""
    optimizer = optimizer_with(lr, **options)
    scheduler, used = make(optimizer), []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used


def warmup_cosine(t, peak, low, W, T):
    """The second formula of the article."""
    if t < W:
        return peak * (t + 1) / W
    return low + (peak - low) / 2 * (1 + math.cos(math.pi * (t - W) / (T - W)))


@formula(STEP)
@holds("`StepLR`, `MultiStepLR`, `ExponentialLR`")
def check_step_and_exponential():
    for start in (0.1, 3.0):
        for gamma in (0.1, 0.97, 1.0):
            for s in (1, 7, 30):
                ours = [start * gamma ** (t // s) for t in range(100)]
                np.testing.assert_allclose(
                    trace(lambda o: lr_scheduler.StepLR(o, s, gamma), 100, start), ours, rtol=1e-9
                )
            ours = [start * gamma**t for t in range(100)]
            np.testing.assert_allclose(
                trace(lambda o: lr_scheduler.ExponentialLR(o, gamma), 100, start), ours, rtol=1e-9
            )
            ours = [start * gamma ** ((t >= 20) + (t >= 50)) for t in range(100)]
            library = trace(lambda o: lr_scheduler.MultiStepLR(o, [20, 50], gamma), 100, start)
            np.testing.assert_allclose(library, ours, rtol=1e-9)


@formula(WARMUP_COSINE)
@holds("Warm-up + linear or cosine", "`CosineAnnealingLR`")
def check_warmup_and_cosine():
    def library(W, T, low):
        def make(optimizer):
            up = lr_scheduler.LinearLR(optimizer, start_factor=1 / W, total_iters=W - 1)
            down = lr_scheduler.CosineAnnealingLR(optimizer, T_max=T - W, eta_min=low)
            return lr_scheduler.SequentialLR(optimizer, [up, down], milestones=[W])

        return make

    for peak, low in ((0.1, 0.0), (2.0, 0.3)):
        for W, T in ((2, 5), (10, 100), (37, 90)):
            ours = [warmup_cosine(t, peak, low, W, T) for t in range(T + 1)]
            np.testing.assert_allclose(trace(library(W, T, low), T + 1, peak), ours, rtol=1e-9, atol=1e-12)
        for T in (1, 8, 100):
            ours = [warmup_cosine(t, peak, low, 0, T) for t in range(T + 1)]
            np.testing.assert_allclose(
                trace(lambda o: lr_scheduler.CosineAnnealingLR(o, T, low), T + 1, peak), ours, rtol=1e-9, atol=1e-12
            )


@holds("Warm-up + linear or cosine")
def check_lambda_is_a_factor_and_hugging_face_starts_at_zero():
    assert trace(lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)), 4, 0.5) == [0.5, 0.25, 0.5 / 3, 0.125]
    assert trace(lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.5), 2, 0.5) == [0.25, 0.25]
    # The factor that get_linear_schedule_with_warmup gives to LambdaLR: t / W, then linear to 0 at T.
    linear = lambda t: t / 10 if t < 10 else max(0.0, (100 - t) / (100 - 10))
    used = trace(lambda o: lr_scheduler.LambdaLR(o, linear), 101)
    assert used[0] == used[100] == 0.0 and used.index(max(used)) == 10
    assert used == sorted(used[:11]) + sorted(used[11:], reverse=True)


@check
def check_worked_example():
    cosine = trace(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=100), 201, 0.1)
    for text, t in (("0.0854", 25), ("0.05", 50), ("0.0146", 75), ("0", 100)):
        stated(text, cosine[t])
    step = trace(lambda o: lr_scheduler.StepLR(o, 30, 0.1), 100, 0.1)
    for text, t in (("0.1", 29), ("0.01", 30), ("0.001", 65)):
        stated(text, step[t])


@holds("Defaults")
def check_defaults():
    def default(kind, name):
        return inspect.signature(kind).parameters[name].default

    stated("0.1", default(lr_scheduler.StepLR, "gamma"))
    stated("0.1", default(lr_scheduler.ReduceLROnPlateau, "factor"))
    stated("30%", default(lr_scheduler.OneCycleLR, "pct_start"))
    assert default(lr_scheduler.CosineAnnealingLR, "eta_min") == 0
    assert default(lr_scheduler.OneCycleLR, "cycle_momentum") is True
    stated("10", default(lr_scheduler.ReduceLROnPlateau, "patience"))
    assert default(lr_scheduler.ReduceLROnPlateau, "mode") == "min"


@check
def check_noise_floor():
    def loss(rate, steps):
        w = torch.full((20000,), 10.0)
        for _ in range(steps):
            w = w - rate * (w + torch.randn_like(w))
        return float((w**2 / 2).mean())

    stated("0.088", 0.3 / (2 - 0.3) / 2)
    assert abs(loss(0.3, 20) - 0.088) < 0.003 and abs(loss(0.3, 300) - 0.088) < 0.003
    assert loss(0.01, 300) > 0.088 > loss(0.01, 1000)


@pitfall("The rate hardly changes, or only rises")
def check_one_cycle_stepped_per_epoch_stays_where_it_starts():
    cycle = trace(
        lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, epochs=5, steps_per_epoch=1000), 5000, 0.1, momentum=0.9
    )
    stated("5,000", len(cycle))
    stated("0.04", cycle[0])
    stated("0.04", cycle[5])
    assert all(before < after for before, after in zip(cycle[:5], cycle[1:6]))
    assert max(cycle) == 1.0 and cycle[-1] < 1e-5 and abs(cycle.index(1.0) - 0.3 * 5000) < 2
    cosine = trace(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=5000), 5)
    assert min(cosine) > 0.99999
    in_epochs = trace(lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=10), 10, 0.1, momentum=0.9)
    assert max(in_epochs) == 1.0 and in_epochs[-1] < 1e-5


@pitfall("The rate climbs again at the end")
def check_beyond_the_end():
    cosine = trace(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=20), 61)
    assert abs(cosine[20]) < 1e-12 and abs(cosine[30] - 0.5) < 1e-9 and abs(cosine[40] - 1) < 1e-9
    whole = trace(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=61), 61)
    assert all(before > after for before, after in zip(whole, whole[1:]))
    for T_max, low, high in ((90, 0.0, 0.001), (100, 0.02, 0.04)):  # after 10 steps of warm-up, in a run of 100
        parts = lambda o: [lr_scheduler.LinearLR(o, 0.1, total_iters=9), lr_scheduler.CosineAnnealingLR(o, T_max)]
        assert low <= trace(lambda o: lr_scheduler.SequentialLR(o, parts(o), milestones=[10]), 100)[-1] <= high
        chained = trace(lambda o: lr_scheduler.ChainedScheduler(parts(o)), 100)  # stepped together: nothing to subtract
        assert (chained[-1] < chained[-2]) is (T_max == 100)
    optimizer = optimizer_with(0.1, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    for _ in range(10):
        optimizer.step()
        scheduler.step()
    raises(ValueError, lambda: scheduler.step(), "total steps is 10")


WARNING = '"Detected call of `lr_scheduler.step()` before `optimizer.step()`"'


@pitfall(WARNING)
def check_order_of_the_two_steps():
    optimizer, used = optimizer_with(1.0), []
    scheduler = lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            scheduler.step()
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
    assert used == [0.5, 0.25] and WARNING.strip('"') in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trace(lambda o: lr_scheduler.StepLR(o, 1, 0.5), 2) == [1.0, 0.5]


@pitfall(WARNING)
def check_scaler_that_skips_the_first_update():
    for careful in (False, True):
        w = torch.ones(1, requires_grad=True)
        optimizer, scaler = torch.optim.SGD([w], lr=1.0), torch.amp.GradScaler("cpu")
        scheduler = lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for factor in (math.inf, 1.0):
                optimizer.zero_grad()
                scaler.scale(factor * w.sum()).backward()
                scaler.step(optimizer)
                before = scaler.get_scale()
                scaler.update()
                if not careful or scaler.get_scale() >= before:
                    scheduler.step()
        assert any("before `optimizer.step()`" in str(warning.message) for warning in caught) is not careful
        assert scheduler.get_last_lr() == [0.5 if careful else 0.25]


@pitfall("Momentum is lost when the rate is changed")
def check_change_in_place():
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
    w.grad = torch.ones(3)
    optimizer.step()
    assert not torch.optim.SGD([w], lr=0.01, momentum=0.9).state
    for group in optimizer.param_groups:
        group["lr"] *= 0.1
    assert optimizer.state[w]["momentum_buffer"].tolist() == [1.0] * 3 and math.isclose(
        optimizer.param_groups[0]["lr"], 0.01
    )
    for make, overwrites in (
        (lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t), True),
        (lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=100), True),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=50), True),
        (lambda o: lr_scheduler.StepLR(o, 30), False),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 100), False),
    ):
        untouched = trace(make, 3, momentum=0.9)
        optimizer = optimizer_with(1.0, momentum=0.9)
        scheduler = make(optimizer)
        optimizer.step()
        scheduler.step()
        optimizer.param_groups[0]["lr"] *= 0.1
        optimizer.step()
        scheduler.step()
        assert math.isclose(optimizer.param_groups[0]["lr"], untouched[2]) is overwrites


@pitfall("`ReduceLROnPlateau` lowers the rate while accuracy rises")
@holds("`ReduceLROnPlateau`")
def check_plateau():
    def calls_until_cut(metric, **options):
        optimizer = optimizer_with(1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        for call in range(1, 100):
            scheduler.step(metric(call))
            if optimizer.param_groups[0]["lr"] < 1:
                return call
        return None

    # The first call sets the best value, ten are tolerated, the next one cuts.
    assert calls_until_cut(lambda call: call / 100) == 1 + 10 + 1
    assert calls_until_cut(lambda call: call / 100, mode="max") is None
    assert calls_until_cut(lambda call: 1 / call) is None
    assert calls_until_cut(lambda call: max(1 / call, 0.1)) == 10 + 10 + 1


@holds("`OneCycleLR`", "Does a schedule affect weight decay?")
def check_one_cycle_cycles_momentum_and_decay_follows_the_rate():
    optimizer = optimizer_with(0.1, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    assert optimizer.param_groups[0]["momentum"] == 0.95
    group, rates, momenta = optimizer.param_groups[0], [], []
    for _ in range(9):
        rates.append(group["lr"])
        momenta.append(group["momentum"])
        optimizer.step()
        scheduler.step()
    top = rates.index(max(rates))
    adam = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    lr_scheduler.OneCycleLR(adam, max_lr=1.0, total_steps=10)
    assert adam.param_groups[0]["betas"][0] == 0.95
    assert top == momenta.index(min(momenta)) == 2
    assert group["lr"] < rates[0] < rates[top] and group["momentum"] > momenta[top]
    for kind in (torch.optim.AdamW, torch.optim.SGD):
        for rate in (0.1, 0.01):
            w = torch.ones(1, dtype=torch.float64, requires_grad=True)
            w.grad = torch.zeros(1, dtype=torch.float64)
            kind([w], lr=rate, weight_decay=0.5).step()
            assert math.isclose(w.item(), 1 - rate * 0.5)


@holds("`CosineAnnealingWarmRestarts`")
def check_warm_restarts_return_to_the_peak():
    restarts = trace(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=50), 150)
    assert restarts[0] == restarts[50] == restarts[100] == 1.0 and restarts[49] < 0.01
    np.testing.assert_allclose(restarts[:50], [(1 + math.cos(math.pi * t / 50)) / 2 for t in range(50)], rtol=1e-9)


@holds("Input", "Acts on", "Checkpoint")
def check_what_a_scheduler_sets_and_saves():
    for make, built in (
        (lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=100), 0.04),
        (lambda o: lr_scheduler.LinearLR(o, start_factor=0.5), 0.15),
        (lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.5 / (1 + t)), 0.15),
        (lambda o: lr_scheduler.StepLR(o, 2), 0.3),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=7), 0.3),
    ):
        full, optimizer = trace(make, 12, 0.3, momentum=0.9), optimizer_with(0.3, momentum=0.9)
        scheduler, group = make(optimizer), optimizer.param_groups[0]
        assert math.isclose(group["lr"], built)
        for _ in range(5):
            optimizer.step()
            scheduler.step()
        again = optimizer_with(0.3, momentum=0.9)
        resumed = make(again)
        again.load_state_dict(optimizer.state_dict())
        resumed.load_state_dict(scheduler.state_dict())
        used = []
        for _ in range(7):
            used.append(again.param_groups[0]["lr"])
            again.step()
            resumed.step()
        np.testing.assert_allclose(used, full[5:], rtol=1e-12)


@holds("Per batch or per epoch?")
def check_per_batch_and_per_epoch():
    def in_epochs(make, per_batch, epochs, batches=10):
        optimizer = optimizer_with(1.0)
        scheduler, used = make(optimizer), []
        for step in range(epochs * batches):
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if per_batch or step % batches == batches - 1:
                scheduler.step()
        return used

    periods = ((30, False), (300, True))
    steps = [in_epochs(lambda o: lr_scheduler.StepLR(o, s), per_batch, 70) for s, per_batch in periods]
    assert steps[0] == steps[1]
    single = in_epochs(lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=1), False, 2)
    assert single == [0.1] * 10 + [1.0] * 10
    rising = in_epochs(lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=10), True, 2)
    assert all(a < b for a, b in zip(rising[:10], rising[1:11])) and math.isclose(rising[10], 1)


@holds("Does Adam need a schedule?")
def check_adam_settles_when_the_rate_falls():
    distances = {}
    for falling in (False, True):
        w = torch.full((500,), 3.0, requires_grad=True)
        optimizer = torch.optim.Adam([w], lr=0.1)
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=400)
        for _ in range(400):
            before = w.detach().clone()
            w.grad = w.detach() + torch.randn(500)
            optimizer.step()
            if falling:
                scheduler.step()
        distances[falling] = w.detach().norm().item(), (w.detach() - before).norm().item()
    assert distances[True][0] < 0.6 * distances[False][0] and distances[True][1] < 0.05 * distances[False][1]
