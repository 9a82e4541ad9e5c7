import inspect
import math

import numpy as np
import torch
from sklearn.metrics import jaccard_score
from torch.nn import functional as F
from torchvision import ops

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

OVERLAP = r"""
\mathrm{IoU} = \frac{|A \cap B|}{|A \cup B|}, \qquad
\mathrm{GIoU} = \mathrm{IoU} - \frac{|C| - |A \cup B|}{|C|}
"""
CENTRES = r"""
\mathrm{DIoU} = \mathrm{IoU} - \frac{\rho^2}{c^2}, \qquad
\mathrm{CIoU} = \mathrm{DIoU} - \alpha v
"""
ASPECT = r"""
v = \frac{4}{\pi^2} \left( \arctan\frac{w_B}{h_B} - \arctan\frac{w_A}{h_A} \right)^2, \qquad
\alpha = \frac{v}{1 - \mathrm{IoU} + v}
"""

by_definition("Same in train and eval?")
sourced("torchvision documentation of ops.nms: boxes with an IoU above the threshold are removed", "IoU")
sourced("DETR, arXiv 2005.12872, section on the bounding box loss", "GIoU", "Why combine GIoU with L1?")
sourced("Distance-IoU Loss, arXiv 1911.08287, abstract: DIoU as a loss and as the criterion of NMS", "DIoU")
sourced("Ultralytics sources of YOLOv5 and YOLOv8: bbox_iou(..., CIoU=True) in the box loss", "CIoU")
sourced("Fast R-CNN, arXiv 1504.08083, and SSD, arXiv 1512.02325: smooth L1 on box offsets", "Smooth L1")
sourced("Pascal VOC challenge paper and the COCO detection evaluation page", "Which IoU counts as a hit?")


def boxes(n):
    corner, size = torch.rand(n, 2, dtype=torch.float64) * 4, torch.rand(n, 2, dtype=torch.float64) * 3 + 0.1
    return torch.cat([corner, corner + size], 1)


def measures(a, b):
    """IoU, GIoU, DIoU and CIoU of one pair, as the article writes them."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    intersection = width * height
    union = areas[0] + areas[1] - intersection
    iou = intersection / union
    cw, ch = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    giou = iou - (cw * ch - union) / (cw * ch)
    rho2 = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    diou = iou - rho2 / (cw**2 + ch**2)
    ratio = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    v = 4 / math.pi**2 * (ratio[1] - ratio[0]) ** 2
    alpha = v / (1 - iou + v) if v else 0.0
    return iou, giou, diou, diou - alpha * v, v, alpha


@formula(OVERLAP, CENTRES, ASPECT)
def check_measures_and_losses():
    for n, m in ((1, 1), (7, 4), (30, 30)):
        a, b = boxes(n), boxes(m)
        ours = np.array([[measures(x, y)[:4] for y in b.tolist()] for x in a.tolist()])
        for k, function in enumerate(
            (ops.box_iou, ops.generalized_box_iou, ops.distance_box_iou, ops.complete_box_iou)
        ):
            library = function(a, b)
            assert library.shape == (n, m)
            np.testing.assert_allclose(ours[..., k], library.numpy(), rtol=1e-5, atol=1e-6)
        if n == m:
            for k, loss in (
                (1, ops.generalized_box_iou_loss),
                (2, ops.distance_box_iou_loss),
                (3, ops.complete_box_iou_loss),
            ):
                values = loss(a, b)
                assert values.shape == (n,) and (values >= -1e-6).all() and (values < (2.5 if k == 3 else 2)).all()
                np.testing.assert_allclose(1 - ours[range(n), range(n), k], values.numpy(), rtol=1e-5, atol=1e-5)


@holds("Input", "`box_iou(a, b)` and relatives", "`…_box_iou_loss(a, b)`", "Defaults")
def check_contract():
    for loss in (ops.generalized_box_iou_loss, ops.distance_box_iou_loss, ops.complete_box_iou_loss):
        parameters = inspect.signature(loss).parameters
        assert parameters["reduction"].default == "none" and parameters["eps"].default == 1e-7
    assert "fmt" in inspect.signature(ops.box_iou).parameters
    for other in (ops.generalized_box_iou, ops.distance_box_iou, ops.complete_box_iou):
        assert "fmt" not in inspect.signature(other).parameters and other(boxes(3), boxes(5)).shape == (3, 5)
        rows = getattr(ops, f"{other.__name__}_loss")(boxes(4), boxes(4))
        assert rows.shape == (4,)
    x, y = boxes(6), boxes(6)
    assert torch.allclose(ops.generalized_box_iou_loss(x, y), 1 - ops.generalized_box_iou(x, y).diagonal(), atol=1e-5)
    whole = torch.tensor([[0, 0, 2, 2]]), torch.tensor([[1, 1, 3, 4]])
    for function in (ops.box_iou, ops.complete_box_iou, ops.generalized_box_iou_loss, ops.complete_box_iou_loss):
        assert torch.allclose(function(*whole), function(*(box.float() for box in whole)))
    small = [box.to(torch.uint8) for box in (torch.tensor([[10, 10, 200, 250]]), whole[1])]
    assert ops.box_iou(*small).item() < 0 == ops.box_iou(*(box.int() for box in small)).item()
    a = boxes(5)
    centre = ops.box_convert(a, "xyxy", "cxcywh")
    assert torch.allclose(ops.box_iou(centre, centre, fmt="cxcywh"), ops.box_iou(a, a))
    assert torch.allclose(ops.box_iou(a * 7, a.flip(0) * 7), ops.box_iou(a, a.flip(0)))


@holds("Range")
def check_ciou_range():
    tall, wide = (
        torch.tensor([[0.0, 0.0, 1e-3, 1000.0]]).double(),
        torch.tensor([[1e6, 1e6, 1e6 + 1000, 1e6 + 1e-3]]).double(),
    )
    worst = ops.complete_box_iou_loss(tall, wide).item()
    assert 2.4 < worst < 2.5
    small, far = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).double(), torch.tensor([[1e4, 1e4, 1e4 + 1, 1e4 + 1]]).double()
    for loss in (ops.generalized_box_iou_loss, ops.distance_box_iou_loss):
        assert 1.99 < loss(small, far).item() < 2 and abs(loss(small, small).item()) < 1e-6
    x, y = boxes(300), boxes(300)
    assert 0 <= ops.box_iou(x, y).min() and ops.box_iou(x, x).max() <= 1 + 1e-12


@check
def check_by_hand():
    a, b = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 1.0, 3.0, 4.0]])
    stated("0.1111", ops.box_iou(a, b))
    stated("−0.1389", ops.generalized_box_iou(a, b))
    stated("−0.0189", ops.distance_box_iou(a, b))
    stated("−0.0192", ops.complete_box_iou(a, b))
    *_, v, alpha = measures(a[0].tolist(), b[0].tolist())
    stated("0.0158", v)
    stated("0.0175", alpha)
    assert (1.5**2 + 1) == 3.25


@holds("IoU", "GIoU", "DIoU", "CIoU", "Smooth L1")
def check_gradients_of_disjoint_boxes():
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    far = torch.tensor([[5.0, 0.0, 6.0, 1.0]], requires_grad=True)
    assert torch.equal(torch.autograd.grad(ops.box_iou(far, a).sum(), far)[0], torch.zeros(1, 4))
    for loss in (ops.generalized_box_iou_loss, ops.distance_box_iou_loss, ops.complete_box_iou_loss, F.smooth_l1_loss):
        assert torch.autograd.grad(loss(far, a).sum(), far)[0].abs().max() > 0.01


@holds("Dice")
def check_gradient_of_disjoint_masks():
    p, g = torch.tensor([0.0, 0.0, 1.0, 1.0], requires_grad=True), torch.tensor([1.0, 1.0, 0.0, 0.0])
    (1 - 2 * (p * g).sum() / (p.sum() + g.sum())).backward()
    assert (p.grad[:2] < -0.1).all()


@check
def check_alpha_is_a_constant_in_the_gradient():
    a, b = boxes(1).requires_grad_(), boxes(1)
    library = torch.autograd.grad(ops.complete_box_iou_loss(a, b).sum(), a)[0]
    iou, _, _, _, _, alpha = measures(a[0].tolist(), b[0].tolist())
    ratio = torch.atan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1])) - torch.atan(
        (a[:, 2] - a[:, 0]) / (a[:, 3] - a[:, 1])
    )
    v = 4 / math.pi**2 * ratio**2
    ours = torch.autograd.grad((ops.distance_box_iou_loss(a, b) + alpha * v).sum(), a)[0]
    assert torch.allclose(ours, library, rtol=1e-4, atol=1e-6)


@pitfall("Overlaps make no sense, the loss is even negative")
def check_boxes_in_another_format():
    read_as_corners, unit = torch.tensor([[3.0, 3.0, 1.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    stated("−3", ops.generalized_box_iou_loss(read_as_corners, unit))
    corners = boxes(200)
    centre, swapped = ops.box_convert(corners, "xyxy", "cxcywh"), corners[:, [2, 3, 0, 1]]
    for wrong in (centre, swapped):
        assert ops.generalized_box_iou_loss(wrong, corners.flip(0)).min() < 0
        assert ops.box_iou(wrong, corners).diagonal().min() == 0
    converted = ops.box_convert(centre, "cxcywh", "xyxy")
    ordered = torch.stack([swapped[:, 0::2].sort(1).values, swapped[:, 1::2].sort(1).values], 2).flatten(1)
    for cured in (converted, ordered):
        assert ops.generalized_box_iou_loss(cured, corners).abs().max() < 1e-5
        others = ops.generalized_box_iou_loss(cured, corners.flip(0))
        assert 0 <= others.min() and others.max() < 2


@pitfall("Disjoint boxes are never learned")
def check_descent_from_a_disjoint_start():
    target = torch.tensor([[0.0, 0.0, 2.0, 2.0]])

    def descended(loss):
        box = torch.tensor([[3.0, 1.5, 4.0, 3.5]], requires_grad=True)
        for step in range(400):
            gradient = torch.autograd.grad(loss(box).sum(), box)[0]
            box = (box - 0.15 * (1 - step / 400) * gradient).detach().requires_grad_()
        return ops.box_iou(box, target).item()

    def plain(box):
        return 1 - ops.box_iou(box, target)

    assert descended(plain) == 0
    for loss in (ops.generalized_box_iou_loss, ops.distance_box_iou_loss, ops.complete_box_iou_loss):
        assert descended(lambda box: loss(box, target)) > 0.9
    assert descended(lambda box: plain(box) + F.l1_loss(box, target)) > 0.9

    corner = torch.rand(2, 20, 2) * 2
    first, goal = torch.cat([corner, corner + 0.5 + 2 * torch.rand(2, 20, 2)], 2)  # twenty pairs, each far apart

    def reached(loss, l1):
        box = (first + 4.5).requires_grad_()
        for step in range(200):
            total = loss(box, goal).sum() + l1 * F.l1_loss(box, goal, reduction="sum")
            gradient = torch.autograd.grad(total, box)[0]
            box = (box - 0.15 * (1 - step / 200) * gradient).detach().requires_grad_()
        share = (ops.box_iou(box, goal).diagonal() > 0.9).float().mean()
        return share.item(), ((box[:, 2:] - box[:, :2]).mean() / (first[:, 2:] - first[:, :2]).mean()).item()

    for loss in (ops.generalized_box_iou_loss, ops.distance_box_iou_loss, ops.complete_box_iou_loss):
        share, swollen = reached(loss, 0.0)
        assert share < 0.3 and swollen > 1.3
        assert reached(loss, 1.0)[0] > 0.9


@pitfall("Perfect predictions still have a large loss")
def check_matrix_against_rows():
    two = torch.tensor([[0.0, 0.0, 1.0, 1.0], [5.0, 5.0, 6.0, 6.0]])
    stated("0.9722", (1 - ops.generalized_box_iou(two, two)).mean())
    assert ops.generalized_box_iou_loss(two, two, reduction="mean") < 1e-5
    assert (1 - ops.generalized_box_iou(two, two)).diagonal().mean() < 1e-5


@pitfall("NaN from boxes without area")
def check_boxes_without_area():
    point, box = torch.tensor([[1.0, 1.0, 1.0, 1.0]]), torch.tensor([[0.0, 0.0, 2.0, 3.0]])
    assert torch.isnan(ops.box_iou(point, point)).all() and torch.isnan(ops.box_iou(point, point + 2)).all()
    assert torch.isnan(ops.complete_box_iou_loss(point, point)).all()
    for pair in ((point, box), (box, point)):
        assert torch.isnan(ops.complete_box_iou_loss(*pair)).all() and torch.isfinite(ops.box_iou(*pair)).all()
    targets = torch.cat([box, point])
    full = (targets[:, 2] > targets[:, 0]) & (targets[:, 3] > targets[:, 1])
    kept = targets[full]
    guesses = targets + torch.tensor([0.1, 0.1, 0.6, 0.6])
    for loss in (ops.generalized_box_iou_loss, ops.distance_box_iou_loss, ops.complete_box_iou_loss):
        assert loss(guesses[full], kept).shape == (1,) and torch.isfinite(loss(guesses[full], kept)).all()
        assert loss(guesses, kept).shape == (2,)  # the predictions left as they are: paired by broadcasting
        empty = guesses[:0].clone().requires_grad_()
        assert loss(empty, targets[:0]).mean().isnan() and loss(empty, targets[:0], reduction="mean") == 0
        loss(empty, targets[:0], reduction="mean").backward()
        assert (1 - ops.box_iou(empty, targets[:0]).diagonal()).mean().isnan()
    for positive in (torch.exp, F.softplus):
        for logit, minimum, finite in ((-3.0, 0.001, True), (-40.0, 0.001, True), (-40.0, 0.0, False)):
            raw = torch.tensor([[1.0, 1.0, logit, logit]], requires_grad=True)
            predicted = torch.cat([raw[:, :2], raw[:, :2] + positive(raw[:, 2:]) + minimum], 1)
            loss = ops.complete_box_iou_loss(predicted, kept)
            loss.sum().backward()
            assert bool(torch.isfinite(loss).all() and torch.isfinite(raw.grad).all()) is finite
            assert torch.isfinite(ops.box_iou(predicted, kept)).all()


@pitfall("IoU differs slightly from an older evaluation")
def check_inclusive_corners():
    a, b = torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([[5.0, 0.0, 14.0, 9.0]])

    def inclusive(x, y):
        size = [(box[:, 2:] - box[:, :2] + 1).prod(1) for box in (x, y)]
        shared = (torch.min(x[:, 2:], y[:, 2:]) - torch.max(x[:, :2], y[:, :2]) + 1).clamp(min=0).prod(1)
        return shared / (size[0] + size[1] - shared)

    one = torch.tensor([0.0, 0.0, 1.0, 1.0])
    stated("0.2857", ops.box_iou(a, b))
    stated("0.3333", inclusive(a, b))
    assert torch.allclose(ops.box_iou(a + one, b + one)[0], inclusive(a, b))


@check
def check_measures_with_epsilon():
    for measure, has in (
        (ops.distance_box_iou, True),
        (ops.complete_box_iou, True),
        (ops.generalized_box_iou, False),
        (ops.box_iou, False),
    ):
        assert ("eps" in inspect.signature(measure).parameters) is has


@holds("Why is GIoU sometimes equal to IoU?", "Does CIoU help when the aspect ratio is already right?")
def check_questions():
    left, right = torch.tensor([[0.0, 0.0, 1.0, 2.0]]), torch.tensor([[1.0, 0.0, 4.0, 2.0]])
    assert torch.allclose(ops.generalized_box_iou(left, right), ops.box_iou(left, right), atol=1e-6)
    assert ops.distance_box_iou(left, right) < ops.box_iou(left, right)
    lower = right + torch.tensor([0.0, 1.0, 0.0, 1.0])  # equal height alone is not enough
    assert ops.generalized_box_iou(left, lower) < ops.box_iou(left, lower)
    gap = torch.tensor([1.0, 0.0, 1.0, 0.0])
    assert ops.generalized_box_iou(left, right + gap) < ops.box_iou(left, right + gap)
    assert torch.allclose(ops.generalized_box_iou(left, right - gap / 2), ops.box_iou(left, right - gap / 2))
    small, large = torch.tensor([[0.0, 0.0, 1.0, 2.0]]), torch.tensor([[0.5, 0.5, 2.5, 4.5]])
    assert torch.allclose(ops.complete_box_iou(small, large), ops.distance_box_iou(small, large))
    small.requires_grad_()
    of = lambda loss: torch.autograd.grad(loss(small, large).sum(), small)[0]
    assert torch.allclose(of(ops.complete_box_iou_loss), of(ops.distance_box_iou_loss), atol=1e-6)
    inner = torch.tensor([[-1.0, -2.0, 1.0, 2.0]], requires_grad=True)  # same centre and ratio, half the size
    ops.complete_box_iou_loss(inner, torch.tensor([[-2.0, -4.0, 2.0, 4.0]])).sum().backward()
    assert (inner.grad[0, :2] > 0.01).all() and (inner.grad[0, 2:] < -0.01).all()  # a step down enlarges the box
    p, g = np.random.rand(50) > 0.5, np.random.rand(50) > 0.5
    assert math.isclose(jaccard_score(g, p), (p & g).sum() / (p | g).sum())


@holds("Why combine GIoU with L1?", "Which IoU counts as a hit?")
def check_scale_and_thresholds():
    x, y = boxes(50), boxes(50)
    assert torch.allclose(ops.generalized_box_iou_loss(10 * x, 10 * y), ops.generalized_box_iou_loss(x, y), atol=1e-5)
    assert torch.allclose(F.l1_loss(10 * x, 10 * y), 10 * F.l1_loss(x, y))
    target = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    loose, tight = (ops.box_iou(target + torch.tensor([s, 0.0, s, 0.0]), target).item() for s in (3.0, 0.5))
    passed = [sum(iou >= t for t in np.linspace(0.5, 0.95, 10)) for iou in (loose, tight)]
    assert 0.5 < loose < tight and 0 < passed[0] < passed[1]


@holds("Why is IoU harsh on small objects?")
def check_small_boxes_and_metric():
    for size, text in ((4.0, "0.6"), (100.0, "0.9802")):
        box = torch.tensor([[0.0, 0.0, size, size]])
        stated(text, ops.box_iou(box, box + torch.tensor([1.0, 0.0, 1.0, 0.0])))
    d = 1 - ops.box_iou(*(2 * [boxes(40)]))
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-9).all()


@check
def check_where_epsilon_stands():
    (x, y), eps = (torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 1.0, 3.0, 4.0]])), 0.5
    giou_loss = 1 - (1 / (9 + eps) - (12 - 9) / (12 + eps))
    assert abs(ops.generalized_box_iou_loss(x, y, eps=eps).item() - giou_loss) < 1e-6
    assert abs(ops.distance_box_iou_loss(x, y, eps=eps).item() - (1 - 1 / (9 + eps) + 3.25 / (25 + eps))) < 1e-6
    assert abs(ops.distance_box_iou(x, y, eps=eps).item() - (1 / 9 - 3.25 / (25 + eps))) < 1e-6
    v = measures(x[0].tolist(), y[0].tolist())[4]
    ciou = 1 / 9 - 3.25 / (25 + eps) - v * v / (1 - 1 / 9 + v + eps)
    assert abs(ops.complete_box_iou(x, y, eps=eps).item() - ciou) < 1e-6
    ciou_loss = 1 - 1 / 9 + 3.25 / 25 + v * v / (1 - 1 / 9 + v + eps)
    assert abs(ops.complete_box_iou_loss(x, y, eps=eps).item() - ciou_loss) < 1e-6
