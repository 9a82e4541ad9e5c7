import math

import torch
from torchvision.ops import box_iou

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

# verified: formula-only (no keypoint detector of this kind in torchvision); overlaps are compared with box_iou.
TARGET = r"""
Y_q = \max_{\text{objects}} \exp\left( -\frac{\| q - \lfloor c \rfloor \|^2}{2 \sigma^2} \right), \qquad \sigma = \frac{2 \rho + 1}{6}
"""
RADIUS = r"r = \frac{(w + h) - \sqrt{(w + h)^2 - 4\,(1 - \tau)\, w h}}{4}"
LOSS = r"""
L = -\frac{1}{N} \sum_{q} \begin{cases} (1 - \hat{Y}_q)^{\alpha} \ln \hat{Y}_q & Y_q = 1 \\ (1 - Y_q)^{\beta}\, \hat{Y}_q^{\alpha} \ln(1 - \hat{Y}_q) & \text{otherwise} \end{cases}
"""

by_definition("Parameters of CenterNet")
sourced(
    "Objects as Points, arXiv 1904.07850, sections 3 to 5",
    "Input",
    "Output of CenterNet",
    "Target",
    "Defaults (paper)",
    "Same in train and eval?",
)
sourced(
    "Objects as Points, arXiv 1904.07850, sections 4 and 6",
    "CenterNet (objects as points)",
    "Why does CenterNet need no NMS?",
)
sourced(
    "CornerNet, arXiv 1808.01244, sections 3.2 to 3.4 and 4.2",
    "CornerNet",
    "What do embeddings do in CornerNet?",
    "What does $\\beta$ do?",
)
sourced("CenterNet: Keypoint Triplets, arXiv 1904.08189, sections 3 and 4", "CenterNet (keypoint triplets)")
sourced("RepPoints, arXiv 1904.11490, sections 3 and 4", "RepPoints", "How do RepPoints get supervised?")
sourced("FCOS, arXiv 1904.01355, sections 3.1 to 3.3", "FCOS")


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
@holds("Target")
def check_target():
    size = 24
    centres, radii = torch.rand(3, 2, dtype=torch.float64) * size, torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    sigma = (2 * radii + 1) / 6
    grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy"), -1).double()
    library = torch.exp(
        -((grid[None] - centres.floor()[:, None, None]) ** 2).sum(-1) / (2 * sigma[:, None, None] ** 2)
    ).amax(0)
    for y in range(size):
        for x in range(size):
            ours = max(
                math.exp(-((x - math.floor(c[0])) ** 2 + (y - math.floor(c[1])) ** 2) / (2 * s * s))
                for c, s in zip(centres.tolist(), sigma.tolist())
            )
            assert abs(ours - float(library[y, x])) < 1e-12
    assert (library == 1).sum() == 3
    off = torch.exp(-((grid - torch.tensor([8.4, 6.7])) ** 2).sum(-1) / 2)
    assert not (off == 1).any()
    stated("0.8333", 5 / 6)
    stated("0.72", 1 / (2 * (5 / 6) ** 2))
    stated("0.4868", math.exp(-1 / (2 * (5 / 6) ** 2)))


@formula(LOSS)
@holds("Cost")
def check_loss():
    for n in (1, 3):
        Y, guess = (
            torch.rand(12, 12, dtype=torch.float64) * 0.98,
            torch.rand(12, 12, dtype=torch.float64).clamp(0.01, 0.99),
        )
        Y.view(-1)[torch.randperm(144)[:n]] = 1
        positive = (Y == 1).double()
        library = (
            -(
                positive * (1 - guess) ** 2 * guess.log()
                + (1 - positive) * (1 - Y) ** 4 * guess**2 * torch.log1p(-guess)
            ).sum()
            / n
        )
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


@pitfall("Gaussians far too wide")
def check_early_radius():
    box = torch.tensor([[0.0, 0.0, 40.0, 20.0]])
    overlap = lambda r: float(box_iou(box, box + r * torch.tensor([1.0, 1.0, -1.0, -1.0])))
    cured = min(f(40, 20, 0.7) for f in (inward, shifted, outward))
    assert overlap(early(40, 20, 0.7)) < 0.2 and abs(overlap(cured) - 0.7) < 1e-6 and early(40, 20, 0.7) > 3 * cured
    # The smaller positive root, divided by 2a, of each of the three quadratic equations.
    equations = ((1, -60, 800 * 0.3 / 1.7), (4, -120, 800 * 0.3), (2.8, 84, -800 * 0.3))
    for (a, b, c), f in zip(equations, (shifted, inward, outward)):
        roots = [(-b + sign * math.sqrt(b * b - 4 * a * c)) / (2 * a) for sign in (1, -1)]
        assert abs(min(r for r in roots if r > 0) - f(40, 20, 0.7)) < 1e-9


def heat_of(centres, size=24, sigma=5 / 6):
    grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy"), -1).float()
    return torch.exp(-((grid[None] - centres[:, None, None]) ** 2).sum(-1) / (2 * sigma**2)).amax(0)


@holds("Input", "Output of CenterNet", "Parameters of CenterNet", "Same in train and eval?", "Cost")
def check_network():
    nn = torch.nn
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()
    )
    heads = nn.ModuleList(
        nn.Sequential(nn.Conv2d(8, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, channels, 1)) for channels in (5, 2, 2)
    )
    x = 3 * torch.randn(2, 3, 64, 96) + 1
    heat, size, offset = (head(backbone(x)) for head in heads)
    assert (
        heat.shape == (2, 5, 16, 24)
        and size.shape == offset.shape == (2, 2, 16, 24)
        and 0 <= heat.sigmoid().min()
        and heat.sigmoid().max() <= 1
    )
    assert not torch.allclose(heat, heads[0](backbone.eval()(x)), atol=1e-3)
    raises(ValueError, lambda: backbone(x[0]), "expected 4D input")
    assert backbone(torch.zeros(1, 3, 512, 512)).shape[-2:].numel() == 16_384


@holds("Why does CenterNet need no NMS?")
def check_peaks():
    """Neighbours of a peak are dropped; a second peak further away stays."""
    heat = torch.zeros(12, 12)
    heat[4, 4], heat[4, 5], heat[5, 4], heat[9, 9] = 0.9, 0.8, 0.7, 0.6
    peaks = heat * (heat == torch.nn.functional.max_pool2d(heat[None], 3, 1, 1)[0])
    assert peaks.nonzero().tolist() == [[4, 4], [9, 9]]


@holds("What do embeddings do in CornerNet?")
def check_pull_and_push():
    """The two losses of CornerNet on four corners of two objects: pairs come together, the means stay apart by 1."""
    corners = torch.randn(2, 2, requires_grad=True)  # object, corner
    optimizer = torch.optim.SGD([corners], 0.1)
    for _ in range(300):
        means = corners.mean(1)
        loss = ((corners - means[:, None]) ** 2).sum() + torch.relu(1 - (means[0] - means[1]).abs())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (corners[:, 0] - corners[:, 1]).abs().max() < 0.05 and (means[0] - means[1]).abs() > 0.85


@holds("How do RepPoints get supervised?")
def check_box_of_points():
    box, points = torch.tensor([10.0, 20.0, 50.0, 40.0]), (30 + 4 * torch.randn(9, 2)).requires_grad_()
    optimizer = torch.optim.Adam([points], 0.5)
    for _ in range(300):
        loss = (torch.cat([points.amin(0), points.amax(0)]) - box).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(box_iou(torch.cat([points.amin(0), points.amax(0)])[None].detach(), box[None])) > 0.9


@holds("What does $\\beta$ do?")
def check_beta():
    penalty = lambda y, beta: (1 - y) ** beta * 0.25 * math.log(2)
    assert (
        penalty(0.4868, 4) < penalty(0.4868, 2) / 3 < penalty(0.4868, 0) / 3
        and abs(penalty(1e-6, 4) / penalty(1e-6, 0) - 1) < 1e-5
    )


@pitfall("Targets without any 1")
def check_floored_centre():
    centres = torch.tensor([[8.4, 6.7], [15.2, 16.9]])
    assert not (heat_of(centres) == 1).any() and (heat_of(torch.tensor([[8.0, 6.0]])) == 1).sum() == 1
    floored = heat_of(centres.floor())
    y, x = (floored == 1).nonzero().T
    offset = centres - centres.floor()
    assert len(x) == 2 and torch.allclose(torch.stack([x, y], 1) + offset, centres)


@pitfall("Two objects, one peak")
def check_shared_cell():
    pixels = torch.tensor([[33.0, 41.0], [38.0, 47.0], [35.0, 42.0]])  # centres in an image; the output has stride 4
    ones = lambda scale, which: int((heat_of((pixels[which] * scale / 4).floor(), 60) == 1).sum())

    def peaks(scale, which):
        """What decoding finds if the network scores one of the two objects lower."""
        centres = (pixels[which] * scale / 4).floor()
        heat = torch.maximum(0.9 * heat_of(centres[:1], 60), 0.6 * heat_of(centres[1:], 60))
        return int((heat * (heat == torch.nn.functional.max_pool2d(heat[None], 3, 1, 1)[0]) > 0.3).sum())

    assert ones(1, [0, 1]) == 2 and ones(1, [0, 2]) == 1 and ones(2, [0, 2]) == 2
    assert peaks(1, [0, 1]) == peaks(1, [0, 2]) == 1  # neighbouring cells; one cell
    assert peaks(2, [0, 1]) == 2 and peaks(2, [0, 2]) == 1 and peaks(4, [0, 2]) == 2


@pitfall("The loss is infinite or NaN at the start")
def check_saturated_sigmoid_gives_infinity_or_nan():
    p = torch.sigmoid(torch.tensor([-110.0, 20.0]))
    assert p.tolist() == [0, 1]
    assert p.log()[0] == -torch.inf == (1 - p).log()[1] and (p.log() * torch.zeros(2))[0].isnan()
    kept = p.clamp(1e-4, 1 - 1e-4)
    assert torch.isfinite(kept.log()).all() and torch.isfinite((1 - kept).log()).all()
    Y, last = torch.zeros(1, 1, 8, 8), torch.nn.Conv2d(4, 1, 1)
    Y.view(-1)[torch.randperm(64)[:2]] = 1
    loss = lambda guess: -(Y * (1 - guess) ** 2 * guess.log() + (1 - Y) * guess**2 * (1 - guess).log()).sum() / Y.sum()
    wrong = torch.tensor([20.0, -20.0], requires_grad=True)  # a negative and a positive cell
    kept = wrong.sigmoid().clamp(1e-4, 1 - 1e-4)
    clamped = -((1 - kept[0]).log() * kept[0] ** 2 + (1 - kept[1]) ** 2 * kept[1].log())
    p, logsigmoid = wrong.sigmoid(), torch.nn.functional.logsigmoid
    exact = -(logsigmoid(-wrong[0]) * p[0] ** 2 + (1 - p[1]) ** 2 * logsigmoid(wrong[1]))
    gradients = [torch.autograd.grad(value, wrong)[0].tolist() for value in (clamped, exact)]
    assert gradients[0] == [0, 0] and gradients[1][0] > 0.99 and gradients[1][1] < -0.99 and exact.isfinite()
    features = 400 * torch.randn(1, 4, 8, 8)
    assert not torch.isfinite(loss(last(features).sigmoid()))
    assert torch.isfinite(loss(last(features).sigmoid().clamp(1e-4, 1 - 1e-4)))
    torch.nn.init.constant_(last.bias, -2.19)
    assert not torch.isfinite(loss(last(features).sigmoid()))  # the bias alone is no cure
    assert loss(last(0 * features).sigmoid()) < loss(0 * Y + 0.5)
    assert abs(last(0 * features).sigmoid() - 0.1).max() < 1e-3
