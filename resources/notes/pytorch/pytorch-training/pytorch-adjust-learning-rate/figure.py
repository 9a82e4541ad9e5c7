import torch
from matplotlib.figure import Figure
from torch.optim import lr_scheduler

from figure_style import BLUE, ORANGE, figure, plt

CHANGE, STEPS = 40, 80


def lengths(fresh: bool) -> list[float]:
    """Length of each step at a constant gradient of 1; the rate falls from 0.1 to 0.05 at step 40."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer, values = torch.optim.SGD([w], lr=0.1, momentum=0.9), []
    for step in range(STEPS):
        if step == CHANGE and fresh:
            optimizer = torch.optim.SGD([w], lr=0.05, momentum=0.9)
        elif step == CHANGE:
            optimizer.param_groups[0]["lr"] = 0.05
        before = w.item()
        w.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
        values.append(before - w.item())
    return values


def rates() -> list[list[float]]:
    """The rates of two groups under one StepLR."""
    groups = [{"params": [torch.ones(1, requires_grad=True)], "lr": lr} for lr in (0.1, 0.01)]
    optimizer = torch.optim.SGD(groups)
    scheduler, seen = lr_scheduler.StepLR(optimizer, 25, 0.3), []
    for _ in range(STEPS):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen


@figure("figure-groups.svg")
def groups_and_memory() -> Figure:
    """Left: momentum survives a change in place. Right: a schedule keeps the ratio of the groups."""
    kept, fresh = lengths(False), lengths(True)
    assert abs(kept[CHANGE] / fresh[CHANGE] - 10) < 0.2 and abs(kept[CHANGE] / kept[CHANGE - 1] - 0.5) < 0.01
    assert fresh[CHANGE + 20] > 0.85 * kept[CHANGE + 20]
    seen = rates()
    assert all(abs(head / body - 10) < 1e-9 for head, body in seen) and seen[-1][0] < 0.03 * seen[0][0]

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(kept, color=BLUE, label="rate changed in place")
    left.plot(range(CHANGE, STEPS), fresh[CHANGE:], color=ORANGE, linestyle=(0, (4, 2)), label="new optimizer")
    left.set_xlabel("step")
    left.set_ylabel("step length")
    left.set_ylim(0, 1.45)
    left.legend(loc="upper left")
    right.semilogy([head for head, _ in seen], color=BLUE, drawstyle="steps-post", label="head")
    right.semilogy(
        [body for _, body in seen], color=ORANGE, linestyle=(0, (4, 2)), drawstyle="steps-post", label="body"
    )
    right.set_xlabel("step")
    right.set_ylabel("rate of the group")
    right.legend(loc="upper right")
    return drawn
