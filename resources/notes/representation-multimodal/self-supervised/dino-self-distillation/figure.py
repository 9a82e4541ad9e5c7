import copy
import math

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, QUIET, figure, plt


def trained(
    centring: bool, teacher_temperature: float, steps: int = 400, units: int = 64
) -> list[tuple[float, float, int]]:
    """Trains a small DINO on ten overlapping clusters: after every step its loss, the teacher's mean entropy and how many units win."""
    torch.manual_seed(0)
    means, centre = torch.randn(10, 16) * 1.5, torch.zeros(units)
    student = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, units))
    teacher = copy.deepcopy(student).requires_grad_(False)
    optimizer = torch.optim.AdamW(student.parameters(), 3e-3)
    found = []
    for _ in range(steps):
        x = means[torch.randint(0, 10, (128,))] + 0.7 * torch.randn(128, 16)
        views = [x + 2 * torch.randn_like(x) for _ in range(2)]
        scores = [teacher(v) for v in views]
        target = [F.softmax((g - centre) / teacher_temperature, 1) for g in scores]
        guess = [F.log_softmax(student(v) / 0.1, 1) for v in views]
        loss = -(target[0] * guess[1] + target[1] * guess[0]).sum(1).mean() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for t, s in zip(teacher.parameters(), student.parameters()):
            t.lerp_(s.detach(), 0.05)
        centre = 0.9 * centre + 0.1 * torch.cat(scores).mean(0) if centring else centre
        target = torch.cat(target)
        found.append((loss.item(), torch.special.entr(target).sum(1).mean().item(), len(target.argmax(1).unique())))
    return found


@figure("figure-collapse.svg")
def two_ways_to_collapse() -> Figure:
    """Teacher entropy with both remedies and with one of them missing."""
    drawn, panel = plt.subplots()
    curves = {}
    for name, options, colour, style in (
        ("no sharpening", (True, 0.1), ORANGE, "--"),
        ("centring and sharpening", (True, 0.04), BLUE, "-"),
        ("no centring", (False, 0.04), GREEN, ":"),
    ):
        curves[name] = [entropy for _, entropy, _ in trained(*options)]
        panel.plot(curves[name], style, color=colour, label=name)
    assert curves["no centring"][-1] < 0.02 and curves["no sharpening"][-1] > math.log(64) - 0.05
    assert 0.5 < min(curves["centring and sharpening"][100:]) and max(curves["centring and sharpening"][100:]) < 2.5
    panel.axhline(math.log(64), color=QUIET, linewidth=1)
    panel.text(400, math.log(64) + 0.06, "ln 64", ha="right", va="bottom")
    panel.set_ylim(-0.1, 4.8)
    panel.set_xlabel("training step")
    panel.set_ylabel("teacher entropy")
    drawn.legend(loc="outside upper center", ncols=3)
    return drawn
