import math

import numpy as np
import torch
from torchvision.ops import box_iou

from note_checks import check, formula, stated

# verified: formula-only (no keypoint detector of this kind in torchvision); overlaps are compared with box_iou.
TARGET = r"""
Y_q = \max_{\text{objects}} \exp\left( -\frac{\| q - \lfloor c \rfloor \|^2}{2 \sigma^2} \right), \qquad \sigma = \frac{2 \rho + 1}{6}
"""
RADIUS = r"r = \frac{(w + h) - \sqrt{(w + h)^2 - 4\,(1 - \tau)\, w h}}{4}"
LOSS = r"""
L = -\frac{1}{N} \sum_{q} \begin{cases} (1 - \hat{Y}_q)^{\alpha} \ln \hat{Y}_q & Y_q = 1 \\ (1 - Y_q)^{\beta}\, \hat{Y}_q^{\alpha} \ln(1 - \hat{Y}_q) & \text{otherwise} \end{cases}
"""


def inward(w, h, tau):
    return ((w + h) - math.sqrt((w + h) ** 2 - 4 * (1 - tau) * w * h)) / 4


def shifted(w, h, tau):
    return ((w + h) - math.sqrt((w + h) ** 2 - 4 * w * h * (1 - tau) / (1 + tau))) / 2


def outward(w, h, tau):
    b = 2 * tau * (w + h)
    return (-b + math.sqrt(b * b + 16 * tau * (1 - tau) * w * h)) / (8 * tau)


def early(w, h, tau):
    """The radius of the early code, as reported."""
    s = w + h
    r1 = (s + math.sqrt(s**2 - 4 * w * h * (1 - tau) / (1 + tau))) / 2
    r2 = (2 * s + math.sqrt(4 * s**2 - 16 * (1 - tau) * w * h)) / 2
    r3 = (-2 * tau * s + math.sqrt(4 * tau**2 * s**2 + 16 * tau * (1 - tau) * w * h)) / 2
    return min(r1, r2, r3)


@formula(RADIUS)
def check_radius():
    for w, h in ((40, 20), (7, 7), (100, 13)):
        for tau in (0.3, 0.7):
            box = torch.tensor([[0.0, 0.0, w, h]], dtype=torch.float64)
            moves = (
                (inward(w, h, tau), (1, 1, -1, -1)),
                (shifted(w, h, tau), (1, 1, 1, 1)),
                (outward(w, h, tau), (-1, -1, 1, 1)),
            )
            for r, direction in moves:
                assert abs(float(box_iou(box, box + r * torch.tensor(direction, dtype=torch.float64))) - tau) < 1e-9
            assert inward(w, h, tau) <= min(m[0] for m in moves) + 1e-12
    stated("2.1548", inward(40, 20, 0.7))
    stated("4.3095", 2 * inward(40, 20, 0.7))
    stated("560", (40 - 4.3095) * (20 - 4.3095))
    stated("7.3559", early(40, 20, 0.7))


@formula(TARGET)
def check_target():
    size = 24
    centres, radii = torch.rand(3, 2, dtype=torch.float64) * size, torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    sigma = (2 * radii + 1) / 6
    grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy"), -1).double()
    library = torch.exp(-((grid[None] - centres.floor()[:, None, None]) ** 2).sum(-1) / (2 * sigma[:, None, None] ** 2)).amax(0)
    for y in range(size):
        for x in range(size):
            ours = max(math.exp(-((x - math.floor(c[0])) ** 2 + (y - math.floor(c[1])) ** 2) / (2 * s * s)) for c, s in zip(centres.tolist(), sigma.tolist()))
            assert abs(ours - float(library[y, x])) < 1e-12
    assert (library == 1).sum() == 3
    off = torch.exp(-((grid - torch.tensor([8.4, 6.7])) ** 2).sum(-1) / 2)
    assert not (off == 1).any()
    stated("0.8333", 5 / 6)
    stated("0.6944", (5 / 6) ** 2)
    stated("0.4868", math.exp(-1 / (2 * (5 / 6) ** 2)))


@formula(LOSS)
def check_loss():
    for n in (1, 3):
        Y, guess = torch.rand(12, 12, dtype=torch.float64) * 0.98, torch.rand(12, 12, dtype=torch.float64).clamp(0.01, 0.99)
        Y.view(-1)[torch.randperm(144)[:n]] = 1
        positive = (Y == 1).double()
        library = -(positive * (1 - guess) ** 2 * guess.log() + (1 - positive) * (1 - Y) ** 4 * guess**2 * torch.log1p(-guess)).sum() / n
        ours = 0.0
        for y, p in zip(Y.flatten().tolist(), guess.flatten().tolist()):
            ours -= (1 - p) ** 2 * math.log(p) if y == 1 else (1 - y) ** 4 * p**2 * math.log(1 - p)
        assert abs(ours / n - float(library)) < 1e-9
    near = 1 - math.exp(-1 / (2 * (5 / 6) ** 2))
    stated("0.5132", near)
    stated("0.0120", near**4 * 0.25 * math.log(2))
    stated("0.1733", 0.25 * math.log(2))
    stated("0.1", 1 / (1 + math.exp(2.19)))
    stated("16,384", (512 // 4) ** 2)


@check
def check_saturated_sigmoid_gives_infinity_or_nan():
    p = torch.sigmoid(torch.tensor([-110.0, 20.0]))
    assert p.tolist() == [0, 1]
    assert p.log()[0] == -torch.inf == (1 - p).log()[1] and (p.log() * torch.zeros(2))[0].isnan()
    kept = p.clamp(1e-4, 1 - 1e-4)
    assert torch.isfinite(kept.log()).all() and torch.isfinite((1 - kept).log()).all()
