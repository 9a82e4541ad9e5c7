import math

import torch
from matplotlib.figure import Figure
from torchvision.ops import box_iou

from figure_style import BLUE, ORANGE, QUIET, figure, plt


def radius(w: float, h: float, tau: float = 0.7) -> float:
    return ((w + h) - math.sqrt((w + h) ** 2 - 4 * (1 - tau) * w * h)) / 4


def early(w: float, h: float, tau: float = 0.7) -> float:
    """The smallest of the three roots as the early code computed them."""
    s = w + h
    r1 = (s + math.sqrt(s**2 - 4 * w * h * (1 - tau) / (1 + tau))) / 2
    r2 = (2 * s + math.sqrt(4 * s**2 - 16 * (1 - tau) * w * h)) / 2
    r3 = (-2 * tau * s + math.sqrt(4 * tau**2 * s**2 + 16 * tau * (1 - tau) * w * h)) / 2
    return min(r1, r2, r3)


@figure("figure-radius.svg")
def radius_and_target() -> Figure:
    """IoU after both corners move inwards by the radius, and the target along a row through two centres."""
    ratios = torch.linspace(1, 5, 41)
    curves = {"formula": [], "early code": []}
    for ratio in ratios.tolist():
        w, h = 28 * math.sqrt(ratio), 28 / math.sqrt(ratio)
        for name, rule in (("formula", radius), ("early code", early)):
            r = min(rule(w, h), h / 2)
            box, moved = torch.tensor([[0.0, 0.0, w, h]]), torch.tensor([[r, r, w - r, h - r]])
            curves[name].append(float(box_iou(box, moved)))
    assert max(abs(v - 0.7) for v in curves["formula"]) < 1e-4 and max(curves["early code"]) < 0.25
    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(ratios, curves["formula"], color=BLUE, label="formula")
    left.plot(ratios, curves["early code"], "--", color=ORANGE, label="early code")
    left.set_ylim(0, 1)
    left.set_xlabel("width / height")
    left.set_title("IoU, corners moved inwards")
    left.legend(loc="upper right", fontsize=9)

    cells = torch.arange(32.0)
    target = torch.zeros(32)
    for centre, rho in ((9, 2), (22, 4)):
        sigma = (2 * rho + 1) / 6
        target = torch.maximum(target, torch.exp(-((cells - centre) ** 2) / (2 * sigma**2)))
    assert (target == 1).sum() == 2
    right.bar(cells, target, width=0.8, color=[ORANGE if v == 1 else BLUE for v in target.tolist()])
    right.axhline(0, color=QUIET, linewidth=0.8)
    right.set_xlabel("cell of the row")
    right.set_title("target, radius 2 and 4")
    return drawn
