import math

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import fcos_resnet50_fpn, retinanet_resnet50_fpn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import boxes as box_operators

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

SIDES = r"l = x - x_1, \qquad t = y - y_1, \qquad r = x_2 - x, \qquad b = y_2 - y"
POSITIVE = r"""
4 s < \max(l, t, r, b) < 8 s, \qquad \max\big( |x - c_x|,\, |y - c_y| \big) < 1.5\, s
"""
CENTERNESS = r"""
\text{center-ness} = \sqrt{ \frac{\min(l, r)}{\max(l, r)} \cdot \frac{\min(t, b)}{\max(t, b)} }, \qquad
\text{score} = \sqrt{ p \cdot \text{center-ness} }
"""

by_definition("FCOS", "CenterNet")
sourced("Focal Loss, arXiv 1708.02002, section 4: anchors, IoU threshold of 0.5", "RetinaNet")
sourced("ATSS, arXiv 1912.02424, algorithm 1", "ATSS")
sourced("Objects as Points, arXiv 1904.07850, sections 3 and 4", "CenterNet")
sourced("DETR, arXiv 2005.12872, sections 1 and 3.1", "DETR")
sourced("FCOS, arXiv 1904.01355, section 3.3", "What does center-ness do that the class score does not?")
sourced("Generalized Focal Loss, arXiv 2006.04388, section 3", "Could one predict IoU instead?")


def model():
    return fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4)


def anchors_and_counts(fcos, side=512):
    maps = [torch.zeros(1, 1, side // s, side // s) for s in (8, 16, 32, 64, 128)]
    return fcos.anchor_generator(ImageList(torch.zeros(1, 3, side, side), [(side, side)]), maps), [
        m.shape[-1] ** 2 for m in maps
    ]


def objects(n, side=512):
    corner = torch.rand(n, 2) * side * 0.7
    size = torch.exp(torch.rand(n, 2) * 3.2 + 2.3)
    return torch.cat([corner, corner + size], 1)


def centerness(l, t, r, b):
    return math.sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))


@formula(SIDES, POSITIVE)
@holds("FCOS")
def check_assignment():
    fcos = model()
    anchors, counts = anchors_and_counts(fcos)
    fcos.head.compute_loss = lambda targets, out, boxes, matched: matched[0]
    found = 0
    for n in (1, 6, 15):
        boxes = objects(n)
        library = fcos.compute_loss([{"boxes": boxes, "labels": torch.ones(n, dtype=torch.int64)}], {}, anchors, counts)
        index = 0
        for level, count in enumerate(counts):
            s = 8 * 2**level
            for k in range(count):
                x, y = s * (k % int(math.sqrt(count))), s * (k // int(math.sqrt(count)))
                fits = []
                for g, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
                    sides = (x - x1, y - y1, x2 - x, y2 - y)
                    low, high = (0 if level == 0 else 4 * s), (math.inf if level == 4 else 8 * s)
                    near = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) < 1.5 * s
                    if min(sides) > 0 and low < max(sides) < high and near:
                        fits.append(((x2 - x1) * (y2 - y1), g))
                assert int(library[index]) == (min(fits)[1] if fits else -1)
                found += bool(fits)
                index += 1
    assert found > 20


@formula(CENTERNESS)
def check_centerness_loss_and_score():
    fcos = model()
    anchors, counts = anchors_and_counts(fcos)
    total = sum(counts)
    boxes, labels = objects(8), torch.randint(0, 4, (8,))
    out = {
        "cls_logits": torch.randn(1, total, 4),
        "bbox_regression": torch.rand(1, total, 4) * 5,
        "bbox_ctrness": torch.randn(1, total, 1),
    }
    losses = fcos.compute_loss([{"boxes": boxes, "labels": labels}], out, anchors, counts)
    head = fcos.head.compute_loss
    fcos.head.compute_loss = lambda targets, o, a, matched: matched[0]
    matched = fcos.compute_loss([{"boxes": boxes, "labels": labels}], out, anchors, counts)
    fcos.head.compute_loss = head
    positives = [i for i in range(total) if matched[i] >= 0]
    loss = 0.0
    for i in positives:
        x, y = ((anchors[0][i, :2] + anchors[0][i, 2:]) / 2).tolist()
        x1, y1, x2, y2 = boxes[matched[i]].tolist()
        c, z = centerness(x - x1, y - y1, x2 - x, y2 - y), float(out["bbox_ctrness"][0, i, 0])
        q = 1 / (1 + math.exp(-z))
        loss -= c * math.log(q) + (1 - c) * math.log(1 - q)
    assert len(positives) > 5 and abs(loss / len(positives) - float(losses["bbox_ctrness"])) < 1e-4
    assert set(losses) == {"classification", "bbox_regression", "bbox_ctrness"}
    stated("0.5715", math.sqrt(0.8 * centerness(60, 28, 140, 72)))


@holds("What does center-ness do that the class score does not?")
def check_score_of_the_library():
    box_operators.nms = lambda boxes, scores, threshold: scores.argsort(
        descending=True
    )  # this process only: keeps every box
    fcos = model()
    fcos.score_thresh = 0.0
    corner = torch.arange(6.0)[:, None] * 32 + 40
    anchors = torch.cat([corner, corner, corner + 32, corner + 32], 1)
    raw = {
        "cls_logits": [torch.randn(1, 6, 4)],
        "bbox_regression": [torch.rand(1, 6, 4) + 0.1],
        "bbox_ctrness": [torch.randn(1, 6, 1)],
    }
    found = fcos.postprocess_detections(raw, [[anchors]], [(512, 512)])[0]
    ours = [
        math.sqrt(1 / (1 + math.exp(-float(z))) * 1 / (1 + math.exp(-float(raw["bbox_ctrness"][0][0, i, 0]))))
        for i in range(6)
        for z in raw["cls_logits"][0][0, i]
    ]
    np.testing.assert_allclose(sorted(ours), sorted(found["scores"].tolist()), rtol=1e-5)


@holds("Parameters", "Defaults")
def check_by_hand_and_settings():
    stated("0.4082", centerness(60, 28, 140, 72))
    stated("0.1429", centerness(4, 50, 196, 50))
    fcos = fcos_resnet50_fpn(weights=None, weights_backbone=None)
    norms = sum(p.numel() for m in fcos.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters())
    assert norms > 0
    stated("32,269,600", sum(p.numel() for p in fcos.parameters()) - norms)
    assert (
        fcos.center_sampling_radius,
        fcos.score_thresh,
        fcos.nms_thresh,
        fcos.topk_candidates,
        fcos.detections_per_img,
    ) == (1.5, 0.2, 0.6, 1000, 100)
    assert fcos.anchor_generator.sizes == ((8,), (16,), (32,), (64,), (128,))
    anchors, _ = anchors_and_counts(fcos, 128)
    assert ((anchors[0][0, :2] + anchors[0][0, 2:]) == 0).all()
    p6 = fcos.anchor_generator(
        ImageList(torch.zeros(1, 3, 800, 800), [(800, 800)]), [torch.zeros(1, 1, n, n) for n in (100, 50, 25, 13, 7)]
    )[0][-13 * 13 - 49 : -49]
    stated("61", p6[1, 0] - p6[0, 0])
    stated("64", p6[0, 2] - p6[0, 0])


@holds("Cost")
def check_cost():
    with torch.device("meta"):
        fcos, x = fcos_resnet50_fpn(weights=None, weights_backbone=None).eval(), torch.zeros(1, 3, 800, 800)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        fcos.head(list(fcos.backbone(x).values()))
    stated("128", counter.get_total_flops() / 2e9)


@holds("Input", "Raw output", "Same in train and eval?")
def check_modes():
    box_operators.nms = lambda boxes, scores, threshold: scores.argsort(descending=True)
    fcos = fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=96)
    images, target = (
        [torch.rand(3, 64, 80), torch.rand(3, 64, 64)],
        {"boxes": torch.tensor([[5.0, 6.0, 40.0, 50.0]]), "labels": torch.tensor([1])},
    )
    losses = fcos(images, [target, target])
    assert set(losses) == {"classification", "bbox_regression", "bbox_ctrness"}
    found = fcos.eval()(images)
    assert len(found) == 2 and set(found[0]) == {"boxes", "scores", "labels"}
    out = fcos.head([torch.randn(1, 256, 4, 4)])
    assert [out[key].shape for key in ("cls_logits", "bbox_regression", "bbox_ctrness")] == [
        (1, 16, 3),
        (1, 16, 4),
        (1, 16, 1),
    ]
    assert out["bbox_regression"].min() >= 0 > out["cls_logits"].min()


def levels_of(boxes):
    """Which object each location is positive for (-1: none), level by level."""
    fcos = model()
    anchors, counts = anchors_and_counts(fcos)
    fcos.head.compute_loss = lambda targets, out, boxes, matched: matched[0]
    matched = fcos.compute_loss(
        [{"boxes": boxes, "labels": torch.ones(len(boxes), dtype=torch.int64)}], {}, anchors, counts
    )
    return matched.split(counts)


@holds("When do two objects still collide?", "Why is the regression range tied to the level?")
def check_nested_objects():
    large, similar, small = torch.tensor(
        [[56.0, 56.0, 456.0, 456.0], [60.0, 70.0, 440.0, 450.0], [232.0, 232.0, 280.0, 280.0]]
    )
    alone, both = levels_of(large[None]), levels_of(torch.stack([large, similar]))
    claimed = [(a >= 0) & (b >= 0) for a, b in zip(alone, levels_of(similar[None]))]
    assert sum(c.sum() for c in claimed) > 0 and all((b[c] == 1).all() for b, c in zip(both, claimed))
    outer, inner = torch.tensor([[206.0, 206.0, 306.0, 306.0], [244.0, 244.0, 268.0, 268.0]])  # 100 and 24 pixels
    claimed = (levels_of(outer[None])[0] >= 0) & (levels_of(inner[None])[0] >= 0)
    assert claimed.sum() > 0 and (levels_of(torch.stack([outer, inner]))[0][claimed] == 1).all()
    nested = levels_of(torch.stack([large, small]))
    found = [{level for level, matched in enumerate(nested) if (matched == which).any()} for which in (0, 1)]
    assert found[0] and found[1] and not found[0] & found[1]


@holds("RetinaNet")
def check_retinanet():
    with torch.device("meta"):
        retina = retinanet_resnet50_fpn(weights=None, weights_backbone=None)
    assert (
        set(retina.anchor_generator.num_anchors_per_location()) == {9} and retina.proposal_matcher.high_threshold == 0.5
    )
    assert retina.proposal_matcher.allow_low_quality_matches


@check
def check_distances_are_relu_times_stride():
    fcos = model()
    anchors, _ = anchors_and_counts(fcos, 128)
    raw = torch.rand(len(anchors[0]), 4)
    decoded = fcos.head.box_coder.decode(raw, anchors[0])
    side = anchors[0][:, 2] - anchors[0][:, 0]
    centre = (anchors[0][:, :2] + anchors[0][:, 2:]) / 2
    assert torch.allclose(decoded[:, 0], centre[:, 0] - raw[:, 0] * side) and torch.allclose(
        decoded[:, 3], centre[:, 1] + raw[:, 3] * side
    )
    centred = torch.cat([centre - side[:, None], centre + side[:, None]], 1)  # the same centres, sides doubled
    twice = fcos.head.box_coder.decode(raw, centred)
    assert torch.allclose(centre[:, 0] - twice[:, 0], 2 * (centre[:, 0] - decoded[:, 0]), atol=1e-4)
    features = [torch.randn(1, 256, 8, 8)]
    assert fcos.head.regression_head(features)[0].min() >= 0


@check
def check_entropy_of_a_half():
    target = torch.tensor([0.5], dtype=torch.float64)
    logits = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    losses = torch.stack([torch.nn.functional.binary_cross_entropy_with_logits(z[None], target) for z in logits])
    stated("0.6931", losses.min())


@pitfall("The center-ness loss stops near 0.55")
def check_entropy_floor():
    """Every location of its own logit, fitted to the library's targets: the loss stops high although the gradient vanishes."""
    fcos = model()
    anchors, counts = anchors_and_counts(fcos)
    targets = [{"boxes": objects(40), "labels": torch.zeros(40, dtype=torch.int64)}]
    logits = torch.zeros(1, sum(counts), 1, requires_grad=True)
    out = {
        "cls_logits": torch.zeros(1, sum(counts), 4),
        "bbox_regression": torch.ones(1, sum(counts), 4),
        "bbox_ctrness": logits,
    }
    optimizer = torch.optim.Adam([logits], 0.1)
    for _ in range(120):
        optimizer.zero_grad()
        loss = fcos.compute_loss(targets, out, anchors, counts)["bbox_ctrness"]
        loss.backward()
        optimizer.step()
    assert 0.45 < loss < 0.65 and logits.grad.abs().max() < 1e-4


@pitfall("Low scores after multiplying by center-ness")
def check_thresholds():
    """nms keeps every box here, as the compiled operator is not at hand: the threshold stands before it."""
    box_operators.nms = lambda boxes, scores, threshold: scores.argsort(descending=True)
    p, c = 0.5, 0.3
    raw = {
        "cls_logits": [torch.tensor([[[p]]]).logit()],
        "bbox_regression": [torch.ones(1, 1, 4)],
        "bbox_ctrness": [torch.tensor([[[c]]]).logit()],
    }
    box = torch.tensor([[40.0, 40.0, 72.0, 72.0]])
    found = model().postprocess_detections(raw, [[box]], [(512, 512)])[0]["scores"]
    assert abs(found.item() - math.sqrt(p * c)) < 1e-5 and p * c < min(p, c)
    assert p * c < model().score_thresh < found.item()
    products = torch.linspace(0, 1, 1000, dtype=torch.float64)  # the squared threshold keeps what the root keeps
    assert torch.equal(products > 0.04, products.sqrt() > 0.2) and abs(model().score_thresh ** 2 - 0.04) < 1e-12


@pitfall("Boxes shifted by half a stride after porting")
def check_location_conventions():
    fcos = model()
    anchors, counts = anchors_and_counts(fcos)
    here = anchors[0][: counts[0]]
    box, s = torch.tensor([100.0, 100.0, 160.0, 150.0]), 8
    paper = here + s / 2  # locations in the middle of the cells
    middle = (paper[:, :2] + paper[:, 2:]) / 2
    distances = torch.cat([middle - box[:2], box[2:] - middle], 1) / s
    inside = distances.min(1).values > 0
    decode = fcos.head.box_coder.decode
    assert inside.sum() > 20 and torch.allclose(decode(distances, here)[inside], box - s / 2)
    assert torch.allclose(decode(distances, paper)[inside], box)


@pitfall("The last class is out of range")
def check_labels():
    def losses(num_classes, label):
        fcos = fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=num_classes)
        anchors, counts = anchors_and_counts(fcos)
        total, box = sum(counts), torch.tensor([[40.0, 40.0, 140.0, 130.0]])
        out = {
            "cls_logits": torch.zeros(1, total, num_classes),
            "bbox_regression": torch.rand(1, total, 4),
            "bbox_ctrness": torch.zeros(1, total, 1),
        }
        out["cls_logits"].requires_grad_()
        found = fcos.compute_loss([{"boxes": box, "labels": torch.tensor([label])}], out, anchors, counts)
        found["classification"].backward()
        return found["bbox_regression"].item(), (out["cls_logits"].grad[0] < 0).any(0).nonzero().flatten().tolist()

    raises(IndexError, lambda: losses(3, 3), "out of bounds")
    for num_classes, label in ((3, 2), (4, 3), (3, 0)):  # labels from 0; one class more; 0 is a real class
        regression, rising = losses(num_classes, label)
        assert regression > 0 and rising == [label]
