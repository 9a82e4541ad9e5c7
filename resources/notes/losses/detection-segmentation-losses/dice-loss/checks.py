import numpy as np
import torch
from scipy.spatial import distance
from sklearn.metrics import f1_score, jaccard_score
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend

DICE = r"D = \frac{2 \sum_i p_i g_i + s}{\sum_i p_i + \sum_i g_i + s}, \qquad L = 1 - D"
IOU = r"D = \frac{2J}{1 + J}, \qquad J = \frac{D}{2 - D}"
GRADIENT = r"""
\frac{\partial L}{\partial p_j} = -\frac{2 g_j}{\sum_i p_i + \sum_i g_i} + \frac{2 \sum_i p_i g_i}{\left(\sum_i p_i + \sum_i g_i\right)^2}
"""

by_definition("Dice", "Same in train and eval?")
sourced("Lin et al. 2017, arXiv 1708.02002, abstract and section 3", "Focal loss")


def dice(p, g, s=0.0):
    return (2 * (p * g).sum() + s) / (p.sum() + g.sum() + s)


def squared(p, g):
    return 2 * (p * g).sum() / ((p**2).sum() + (g**2).sum())


def masks(n=60):
    while True:
        p, g = np.random.rand(n) > 0.5, np.random.rand(n) > 0.6
        if (p & g).any():
            return p, g


@holds("Range", "Dice")
@formula(DICE)
def check_equals_the_library_on_hard_masks():
    for n in (5, 60, 400):
        p, g = masks(n)
        a, b = p.astype(float), g.astype(float)
        np.testing.assert_allclose(1 - dice(a, b), distance.dice(p, g), rtol=1e-12)
        np.testing.assert_allclose(dice(a, b), f1_score(g, p), rtol=1e-12)
        np.testing.assert_allclose(squared(a, b), f1_score(g, p), rtol=1e-12)
        tp, fp, fn = (p & g).sum(), (p & ~g).sum(), (~p & g).sum()
        np.testing.assert_allclose(2 * tp / (2 * tp + fp + fn), f1_score(g, p), rtol=1e-12)
    for s in (0.0, 1e-5, 1.0):
        soft, g = np.random.rand(50), (np.random.rand(50) > 0.7).astype(float)
        assert 0 <= dice(soft, g, s) <= 1
    assert dice(np.zeros(4), np.zeros(4), 1e-5) == 1.0


@formula(IOU)
def check_iou():
    for n in (5, 60, 400):
        p, g = masks(n)
        d, j = f1_score(g, p), jaccard_score(g, p)
        np.testing.assert_allclose(d, 2 * j / (1 + j), rtol=1e-12)
        np.testing.assert_allclose(j, d / (2 - d), rtol=1e-12)


@formula(GRADIENT)
def check_gradient():
    for n in (1, 4, 30):
        p = torch.rand(n, dtype=torch.float64, requires_grad=True)
        g = (torch.rand(n) > 0.5).double()
        (1 - dice(p, g)).backward()
        a, b = p.detach().numpy(), g.numpy()
        total = a.sum() + b.sum()
        np.testing.assert_allclose(
            -2 * b / total + 2 * (a * b).sum() / total**2, p.grad.numpy(), rtol=1e-10, atol=1e-14
        )


@holds("Input", "Target", "Output", "In PyTorch")
def check_contract():
    p, g = torch.rand(3, 2, 5, 5), (torch.rand(3, 2, 5, 5) > 0.5).float()
    each = [[1 - dice(p[n, c], g[n, c], 1e-5) for c in range(2)] for n in range(3)]
    assert dice_loss(p, g).shape == () and torch.isclose(dice_loss(p, g), torch.tensor(each).mean())
    for dtype in (torch.bool, torch.uint8, torch.int64):
        assert torch.isclose(dice_loss(p, g.to(dtype)), dice_loss(p, g))
    classes = torch.randint(4, (2, 5, 5))
    target = F.one_hot(classes, 4).movedim(-1, 1).float()
    assert 0 <= dice_loss(torch.randn(2, 4, 5, 5).softmax(1), target) <= 1 and dice_loss(target, target) < 1e-6
    assert not [name for name in (*dir(torch.nn), *dir(F)) if "dice" in name.lower().replace("indices", "")]
    for pixels in (1, 50, 2500):  # missed objects cost alike, whatever their size
        mask = (torch.arange(10_000) < pixels).float()
        assert 1 - dice(torch.zeros(10_000), mask, 1e-5) > 0.9999


@check
def check_by_hand():
    p, g = np.array([0.9, 0.8, 0.3, 0.1]), np.array([1.0, 1.0, 0.0, 0.0])
    stated("0.8293", dice(p, g))
    stated("0.1707", 1 - dice(p, g))
    stated("0.9577", squared(p, g))
    assert dice((p > 0.5).astype(float), g) == 1
    perfect = np.repeat([1.0, 0.0], [100, 99_900])
    assert dice(perfect, perfect) == 1
    stated("0.167", dice(np.maximum(perfect, 0.01), perfect))
    stated("−9", 1 - dice(np.array([5.0, 5.0, -5.0, -5.0]), g))


def dice_loss(p, g, smooth=1e-5):
    """The function of the article."""
    axes = tuple(range(2, p.ndim))
    overlap = (p * g).sum(axes)
    total = p.sum(axes) + g.sum(axes)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


@pitfall("The loss is negative or above 1")
def check_logits():
    g = torch.tensor([1.0, 1.0, 0.0, 0.0])
    below, above = torch.tensor([5.0, 5.0, -5.0, -5.0]), torch.tensor([-1.0, -1.0, 5.0, 5.0])
    assert 1 - dice(below, g) == -9 and 1 - dice(above, g) > 1
    for z in (below, above, *torch.randn(20, 4) * 9):
        assert 0 <= 1 - dice(z.sigmoid(), g) <= 1
        exclusive = torch.stack([z, -z, 0 * z])
        assert 0 <= 1 - dice(exclusive.softmax(0)[0], g) <= 1


@pitfall("NaN, or a jumpy loss, from images without the object")
def check_empty_masks():
    images = torch.zeros(2, 1, 4, 4)
    images[0, 0, :2] = 1
    for smooth, finite in ((0, False), (1e-5, True), (1.0, True)):
        p = images.clone().requires_grad_()
        loss = dice_loss(p, images, smooth)
        loss.backward()
        assert bool(torch.isfinite(loss)) is finite and bool(torch.isfinite(p.grad).all()) is finite
    on_empty = lambda p, smooth: dice_loss(torch.full((1, 1, 4, 4), p), torch.zeros(1, 1, 4, 4), smooth).item()
    assert on_empty(0.0, 1e-5) == 0 and on_empty(1e-3, 1e-5) > 0.99
    assert on_empty(0.0, 1.0) == 0 and on_empty(1e-3, 1.0) < 0.02 and on_empty(1e-2, 1.0) < 0.2

    def with_bce(p, g):
        kept = g.flatten(2).any(2)
        term = dice_loss(p[kept][None], g[kept][None]) if kept.any() else 0
        return term + F.binary_cross_entropy(p, g)

    for g in (images, images[1:]):
        p = torch.full_like(g, 0.01, requires_grad=True)
        assert torch.isfinite(torch.autograd.grad(with_bce(p, g), p)[0]).all()
    assert with_bce(torch.zeros(1, 1, 4, 4), images[1:]) == 0 and dice_loss(p[:0], g[:0]).isnan()
    for shape in ((4, 1, 5, 6), (3, 3, 5, 6), (2, 3, 4, 5, 6)):  # several classes, volumes
        p, g = torch.rand(shape), torch.rand(shape) > 0.5
        g[-1] = False
        g[0, -1] = shape[1] == 1
        kept = g.flatten(2).any(2)
        each = torch.stack([1 - dice(p[n, c], g[n, c], 1e-5) for n, c in kept.nonzero().tolist()])
        assert len(each) < shape[0] * shape[1]
        for target in (g, g.long(), g.float()):
            assert torch.isclose(dice_loss(p[kept][None], target[kept][None]), each.mean())
            assert torch.equal(target.flatten(2).any(2), kept)
    zero, one = np.zeros(4), np.array([1.0, 0.0, 0.0, 0.0])
    stated("0.5", 1 - dice(one, zero, 1.0))
    stated("0.6774", 1 - dice(np.array([0.9, 0.8, 0.3, 0.1]), zero, 1.0))
    assert 1 - dice(np.full(4, 0.1), zero, 1e-5) > 0.99
    with np.errstate(invalid="ignore"):
        assert np.isnan(dice(zero, zero))


@pitfall("The value changes with the batch size")
def check_pooling():
    p, g = torch.rand(12, 1, 6, 6), (torch.rand(12, 1, 6, 6) > torch.linspace(0.1, 0.95, 12).view(12, 1, 1, 1)).float()
    pooled = lambda size: (
        torch.stack([1 - dice(a, b, 1e-5) for a, b in zip(p.split(size), g.split(size))]).mean().item()
    )
    assert abs(pooled(1) - pooled(12)) > 0.02 and abs(pooled(4) - pooled(12)) > 0.002
    for size in (1, 4, 5):
        each = [len(a) * dice_loss(a, b) for a, b in zip(p.split(size), g.split(size))]
        assert abs(sum(each) / 12 - dice_loss(p, g)) < 1e-5
    big_p = big_g = np.ones(100)
    small_p, small_g = np.zeros(1), np.ones(1)
    stated("0.005", round(1 - dice(np.concatenate([big_p, small_p]), np.concatenate([big_g, small_g])), 3))
    stated("0.5", ((1 - dice(big_p, big_g)) + (1 - dice(small_p, small_g))) / 2)


@check
def check_saturation():
    z = torch.full((4,), -10.0, dtype=torch.float64, requires_grad=True)
    g = torch.ones(4, dtype=torch.float64)
    p = z.sigmoid()
    stated("0.000045", (p * (1 - p))[0].detach())
    dice_gradient = torch.autograd.grad(1 - dice(z.sigmoid(), g), z)[0]
    bce_gradient = torch.autograd.grad(F.binary_cross_entropy_with_logits(z, g, reduction="sum"), z)[0]
    assert dice_gradient.abs().max() < 1e-4 and bce_gradient.abs().min() > 0.99


@holds("BCE", "Does it lead to calibrated probabilities?")
def check_calibration():
    g = np.array([1.0] * 40 + [0.0] * 60)
    grid = np.linspace(0.01, 1, 100)
    values = [dice(np.full(100, p), g) for p in grid]
    np.testing.assert_allclose(values, 0.8 * grid / (grid + 0.4))
    assert grid[int(np.argmax(values))] == 1
    bce = [
        F.binary_cross_entropy(torch.full((100,), float(p)), torch.tensor(g, dtype=torch.float32)).item() for p in grid
    ]
    stated("0.4", grid[int(np.argmin(bce))])


@holds("Tversky", "Soft IoU", "What does one wrong pixel cost?")
def check_tversky_and_small_objects():
    p, g = masks()
    tp, fp, fn = (p & g).sum(), (p & ~g).sum(), (~p & g).sum()
    np.testing.assert_allclose(tp / (tp + 0.5 * fp + 0.5 * fn), f1_score(g, p))
    assert jaccard_score(g, p) < f1_score(g, p)
    tversky = lambda alpha, beta: tp / (tp + alpha * fp + beta * fn)
    assert tversky(0.3, 0.7) < tversky(0.3, 0.3) and tversky(0.7, 0.3) < tversky(0.3, 0.3)
    for _ in range(50):  # soft masks too
        q, h = np.random.rand(30), (np.random.rand(30) > 0.6).astype(float)
        both = (q * h).sum()
        assert both / (q.sum() + h.sum() - both) <= dice(q, h) + 1e-12
    large = np.array([1.0] * 400 + [0.0] * 600)
    for wrong in (0, 999):
        flipped = large.copy()
        flipped[wrong] = 1 - flipped[wrong]
        assert abs(1 - dice(flipped, large) - 0.001) < 0.0003
    small = np.array([1.0] * 4 + [0.0] * 12)
    missed, extra = small.copy(), small.copy()
    missed[0], extra[9] = 0, 1
    assert 1 - dice(missed, small) > 0.1 and 1 - dice(extra, small) > 0.1


@holds("What does generalized Dice add?")
def check_generalized():
    g = np.stack([np.arange(100) >= 4, np.arange(100) < 4]).astype(float)
    p = np.stack([np.ones(100), np.zeros(100)])  # the class of 4 pixels is missed
    weighted = lambda w: 2 * (w * (p * g).sum(1)).sum() / (w * (p + g).sum(1)).sum()
    stated("0.96", weighted(np.ones(2)))
    stated("0.077", weighted(1 / g.sum(1) ** 2))


@holds("Dice or IoU?")
def check_averages_can_rank_differently():
    pairs = [masks(40) for _ in range(60)]
    f, j = (np.array([score(g, p) for p, g in pairs]) for score in (f1_score, jaccard_score))
    assert ((f[:, None] > f + 1e-9) == (j[:, None] > j + 1e-9)).all()
    steady, mixed = np.array([0.6, 0.6]), np.array([1.0, 0.2])
    d = lambda j: (2 * j / (1 + j)).mean()
    assert steady.mean() == mixed.mean() and d(steady) > d(mixed)


@pitfall("Everything runs, the loss makes no sense")
def check_missing_channel_axis():
    g = (torch.rand(3, 4, 4) > 0.5).float()
    p = g[:, None].clone()
    assert 1 - dice(p, g) < -0.5 and 1 - dice(p, g.unsqueeze(1)) == 0 and dice_loss(p, g.unsqueeze(1)) < 1e-6
    raises(IndexError, lambda: dice_loss(p, g))
    assert p.shape != g.shape and p.shape == g.unsqueeze(1).shape
    assert (p * g).shape == (3, 3, 4, 4) and torch.isfinite((p * g).sum() / (p.sum() + g.sum()))
    raises(IndexError, lambda: g.sum((2, 3)))


@pitfall("With SGD, a confidently missed object is hardly learned")
def check_missed_object_stays_missed_with_sgd():
    def after(kind):
        z, g = torch.full((4,), -10.0, requires_grad=True), torch.ones(4)
        optimizer = kind([z], lr=0.1)
        descend(optimizer, lambda: 1 - dice(z.sigmoid(), g), 300)
        return z.detach().max().item()

    assert after(torch.optim.SGD) < -9.9 and after(torch.optim.Adam) > 0

    def learned(object_pixels, bce, pos_weight=1.0):
        """Mean probability of the object after SGD, in an image of 10,000 pixels where one feature marks the object."""
        g = (torch.arange(10_000) < object_pixels).float()
        w = torch.zeros((), requires_grad=True)
        optimizer = torch.optim.SGD([w], 0.5)
        for _ in range(300):
            optimizer.zero_grad()
            z = w * g - 10
            weighted = F.binary_cross_entropy_with_logits(z, g, pos_weight=torch.tensor(pos_weight))
            (1 - dice(z.sigmoid(), g, 1e-5) + bce * weighted).backward()
            optimizer.step()
        return (w.detach() - 10).sigmoid().item()

    assert learned(2000, bce=0) < 0.01 and learned(2000, bce=1) > 0.9
    assert learned(4, bce=0) < 0.01 and learned(4, bce=1) < 0.01 and learned(4, bce=1, pos_weight=2499.0) > 0.9

    def of_three_classes(object_pixels, cross_entropy, weight=1.0):
        """The same with softmax, two kinds of objects and their mean Dice; the smaller of their two probabilities."""
        y = (torch.arange(1000) < object_pixels).long() + (torch.arange(1000) < 2 * object_pixels)
        g, w = F.one_hot(y, 3).float(), torch.zeros(3, requires_grad=True)
        start, weights = torch.tensor([0.0, -10.0, -10.0]), torch.tensor([1.0, weight, weight])

        def loss():
            z = w * g * (start < 0) + start
            p = z.softmax(1)
            return (
                1
                - sum(dice(p[:, c], g[:, c]) for c in range(3)) / 3
                + cross_entropy * F.cross_entropy(z, y, weight=weights)
            )

        descend(torch.optim.SGD([w], 0.5), loss, 300)
        return min((w.detach() * (start < 0) * torch.eye(3)[c] + start).softmax(0)[c].item() for c in (1, 2))

    assert of_three_classes(200, 0) < 0.01 and of_three_classes(200, 1) > 0.9
    assert of_three_classes(1, 1) < 0.01 and of_three_classes(1, 1, weight=500.0) > 0.9
