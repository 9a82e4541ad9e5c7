import numpy as np
import torch
from matplotlib.figure import Figure
from torch.optim import lr_scheduler

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt

STEPS = 400


def losses(lr: float, cosine: bool) -> np.ndarray:
    """The mean loss w^2 / 2 of 500 weights that start at 10, trained by SGD on gradients with noise of size 1."""
    torch.manual_seed(0)
    w = torch.full((500,), 10.0, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=lr)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS) if cosine else None
    values = []
    for _ in range(STEPS):
        values.append((w.detach() ** 2 / 2).mean().item())
        w.grad = w.detach() + torch.randn(500)
        optimizer.step()
        if scheduler:
            scheduler.step()
    return np.array(values)


@figure("figure-noise.svg")
def large_rates_travel_small_rates_settle() -> Figure:
    """A constant large rate stays at its noise floor, a constant small one is slow, the schedule does both."""
    large, small, scheduled = losses(0.3, False), losses(0.01, False), losses(0.3, True)
    assert large[50] < 0.15 and small[50] > 10 and scheduled[50] < 0.15
    assert scheduled[-20:].mean() < 0.15 * large[-20:].mean() and scheduled[-20:].mean() < small[-20:].mean()

    drawn, axes = plt.subplots()
    steps = np.arange(0, STEPS, 4)
    axes.plot(steps, large[::4], color=ORANGE, label="constant 0.3")
    axes.plot(steps, small[::4], color=GREEN, linestyle=(0, (4, 2)), label="constant 0.01")
    axes.plot(steps, scheduled[::4], color=BLUE, label="cosine 0.3 to 0")
    axes.set_yscale("log")
    axes.set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    axes.minorticks_off()
    axes.set_xlabel("step")
    axes.set_ylabel("mean loss")
    axes.legend(loc="upper right")
    return drawn


def trace(make, total: int, start: float = 1.0) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=start, momentum=0.9)
    scheduler, used = make(optimizer), []
    for _ in range(total):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used


def warmup_cosine(optimizer, warmup: int = 10, total: int = 100):
    up = lr_scheduler.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    down = lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - warmup)
    return lr_scheduler.SequentialLR(optimizer, [up, down], milestones=[warmup])


@figure("figure-shapes.svg")
def shapes_over_one_run() -> Figure:
    """Four schedules over their whole run of 100 steps, with a peak of 1."""
    step = trace(lambda o: lr_scheduler.StepLR(o, 30), 100)
    warm = trace(warmup_cosine, 100)
    cycle = trace(lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=100), 100)
    restarts = trace(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=50), 100)
    assert max(cycle) == cycle[29] == 1.0 and cycle[-1] < 1e-4 and abs(cycle[0] - 0.04) < 1e-9
    assert warm[0] == 0.1 and abs(max(warm) - 1) < 1e-9 and warm[-1] < 1e-3
    assert restarts[49] < 0.01 and restarts[50] == 1.0 and abs(step[99] - 1e-3) < 1e-9

    drawn, panels = plt.subplots(1, 2, sharey=True)
    panels[0].plot(warm, color=BLUE, label="warm-up + cosine")
    panels[0].plot(step, color=ORANGE, linestyle=(0, (4, 2)), label="StepLR")
    panels[1].plot(cycle, color=GREEN, label="OneCycleLR")
    panels[1].plot(restarts, color=PINK, linestyle=(0, (4, 2)), label="WarmRestarts")
    for panel in panels:
        panel.set_xlabel("step")
        panel.set_ylim(-0.03, 1.45)
        panel.set_yticks([0, 0.25, 0.5, 0.75, 1])
        panel.legend(loc="upper right")
    panels[0].set_ylabel("learning rate")
    return drawn
