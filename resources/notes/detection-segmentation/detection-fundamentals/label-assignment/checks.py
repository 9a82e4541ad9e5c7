import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torchvision.models.detection import fasterrcnn_resnet50_fpn, retinanet_resnet50_fpn, ssd300_vgg16
from torch.nn import functional as F
from torchvision.models.detection._utils import Matcher, SSDMatcher
from torchvision.ops import box_iou, sigmoid_focal_loss

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

MATCH = r"""
m(a) = \begin{cases}
\arg\max_g q_{ga} & \text{if } \max_g q_{ga} \ge t_1 \text{ or } q_{ga} = \max_{a'} q_{ga'} \text{ for some } g \\
-2 \text{ (ignored)} & \text{else if } \max_g q_{ga} \ge t_0 \\
-1 \text{ (background)} & \text{otherwise}
\end{cases}
"""
ATSS = r"t_g = \operatorname{mean}_{a \in C_g} q_{ga} + \operatorname{std}_{a \in C_g} q_{ga}"
SIMOTA = r"k_g = \max\left(1, \left\lfloor \sum_{a \in \text{top } 10} q_{ga} \right\rfloor \right)"

by_definition("Parameters", "Same in train and eval?", "Cost", "ATSS")
sourced(
    "YOLOv3, arXiv 1804.02767, section 2.1; YOLO9000, arXiv 1612.08242, section 2",
    "Cell of the centre, best-fitting anchor",
)
sourced(
    "FCOS, arXiv 1904.01355, sections 3.1 and 3.2; centre sampling: arXiv 2006.09214",
    "Inside the box (later versions: centre region) and size range",
)
sourced(
    "YOLOX, arXiv 2107.08430, section 2; TOOD, arXiv 2108.07755; Ultralytics' TaskAlignedAssigner",
    "SimOTA, task-aligned",
)
sourced("DETR, arXiv 2005.12872, section 3.1", "Hungarian, one to one")
sourced("ATSS, arXiv 1912.02424, abstract and section 3", "What did ATSS show?")
sourced(
    "Cascade R-CNN, arXiv 1712.00726, section 4: stages at 0.5, 0.6, 0.7",
    "Why is an object's best anchor positive even below the threshold?",
)

Q = np.array([[0.75, 0.5, 0.2, 0.1, 0.0], [0.1, 0.35, 0.45, 0.2, 0.05]])


def matched(q, t1, t0, forced):
    result = []
    for a in range(q.shape[1]):
        best = q[:, a].max()
        own = forced and any(q[g, a] == q[g].max() for g in range(q.shape[0]))
        result.append(int(q[:, a].argmax()) if best >= t1 or own else -2 if best >= t0 else -1)
    return result


@formula(MATCH)
def check_matcher():
    for objects, anchors in ((1, 1), (3, 12), (8, 200)):
        for t1, t0 in ((0.7, 0.3), (0.5, 0.5), (0.5, 0.4)):
            q = torch.rand(objects, anchors, dtype=torch.float64) ** 3
            q[:, -1] = q[:, 0]  # ties for the best anchor
            for forced in (True, False):
                assert Matcher(t1, t0, forced)(q).tolist() == matched(q.numpy(), t1, t0, forced)
    q = torch.tensor(Q)
    assert matched(Q, 0.7, 0.3, True) == Matcher(0.7, 0.3, True)(q).tolist() == [0, -2, 1, -1, -1]


# verified: formula-only (neither rule is in torchvision)
@formula(ATSS, SIMOTA)
def check_adaptive_rules():
    q = Q[1]
    mean, std = q.sum() / 5, math.sqrt(((q - q.sum() / 5) ** 2).sum() / 4)
    stated("0.23", mean)
    stated("0.1681", std)
    stated("0.3981", mean + std)
    assert abs(mean + std - float(torch.tensor(q).mean() + torch.tensor(q).std())) < 1e-12
    assert [i for i, v in enumerate(q) if v >= mean + std] == [2]
    stated("1.15", np.sort(q)[-10:].sum())
    assert max(1, math.floor(q.sum())) == 1 == max(1, math.floor(0.3)) and max(1, math.floor(3.7)) == 3
    nothing = torch.tensor([0.1, 0.5, 0.5, 0.5])
    threshold = nothing.mean() + nothing.std()
    stated("0.6", threshold)
    assert not (nothing >= threshold).any() and nothing.mean() + nothing.std(unbiased=False) > 0.5


def anchors_of(side, stride):
    y, x = torch.meshgrid(*[torch.arange(-64.0, 129.0, stride)] * 2, indexing="ij")
    corner = torch.stack([x, y], -1).view(-1, 2)
    return torch.cat([corner, corner + side], 1)


def owners(objects, *anchors):
    return set(Matcher(0.7, 0.3, True)(box_iou(torch.tensor(objects), torch.cat(anchors))).tolist())


@pitfall("An object has no positive although low-quality matches are allowed")
def check_shared_anchor():
    shared = torch.tensor([[0.1, 0.9], [0.05, 0.4]])
    result = Matcher(0.7, 0.3, True)(shared).tolist()
    assert result == [-1, 0] and 1 not in result
    beside = [[0.0, 0.0, 64.0, 64.0], [20.0, 0.0, 84.0, 64.0]]
    inside = [[0.0, 0.0, 64.0, 64.0], [4.0, 4.0, 28.0, 28.0]]
    for objects in (beside, inside):
        assert 0 in owners(objects, anchors_of(64, 64)) and 1 not in owners(objects, anchors_of(64, 64))
    assert {0, 1} < owners(beside, anchors_of(64, 16))
    assert 1 not in owners(inside, anchors_of(64, 16))
    assert {0, 1} < owners(inside, anchors_of(64, 64), anchors_of(32, 32))
    left_out = []  # objects at random, of random shapes: fewer without a positive, but some remain
    for stride in (64, 16):
        corner = 10 + 40 * torch.rand(150, 8, 2, generator=torch.Generator().manual_seed(1))
        side = 24 + 56 * torch.rand(150, 8, 2, generator=torch.Generator().manual_seed(2))
        scenes = torch.cat([corner, corner + side], 2).tolist()
        left_out.append(sum(8 - len(owners(scene, anchors_of(64, stride)) & set(range(8))) for scene in scenes))
    assert 0 < left_out[1] < 0.7 * left_out[0]


@pitfall("ATSS selects nothing")
def check_atss_selects_nothing():
    def positive(q, fall_back):
        chosen = q >= q.mean() + q.std()
        if fall_back and not chosen.any():
            chosen[q.argmax()] = True
        return chosen.tolist()

    nothing = torch.tensor([0.1, 0.5, 0.5, 0.5])
    assert positive(nothing, False) == [False] * 4 and positive(nothing, True) == [False, True, False, False]
    assert positive(torch.tensor(Q[1]), True) == positive(torch.tensor(Q[1]), False)


@pitfall("Ignored anchors trained as background")
def check_ignored_anchors():
    y, x = torch.meshgrid(torch.arange(0.0, 257.0, 4), torch.arange(0.0, 257.0, 4), indexing="ij")
    anchors = torch.stack([x - 32, y - 32, x + 32, y + 32], -1).view(-1, 4)
    q = box_iou(torch.tensor([[96.0, 96.0, 160.0, 160.0]]), anchors)
    matched = Matcher(0.7, 0.3, True)(q)
    between = matched == Matcher.BETWEEN_THRESHOLDS
    assert between.sum() > 50 and q[0][between].min() >= 0.3 and q[0][between].max() < 0.7

    def scores(used):
        inputs = torch.stack([q[0] ** power for power in range(4)], 1)
        weights = torch.zeros(4, requires_grad=True)
        optimizer = torch.optim.Adam([weights], 0.1)
        for _ in range(300):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits((inputs @ weights)[used], (matched >= 0).float()[used]).backward()
            optimizer.step()
        return (inputs @ weights).detach().sigmoid()[between & (q[0] >= 0.5)]

    alike, left_out = scores(torch.ones_like(between)), scores(~between)
    assert (alike < left_out).all() and alike.mean() < 0.1 and left_out.mean() > 0.25


@pitfall("The loss grows with the number of objects, or is infinite without any")
def check_normalisation():
    def loss(positives, divide_by):
        targets = (torch.arange(100_000) < positives).float()
        return float(sigmoid_focal_loss(torch.full((100_000,), -4.6), targets, reduction="sum")) / divide_by

    assert loss(2, 100_000) < 1e-3 and not np.isfinite(loss(0, torch.tensor(0.0)))
    assert loss(500, 1) > 100 * loss(500, 500)
    assert loss(0, max(1, 0)) < 1 and all(1 < loss(count, max(1, count)) < 1.3 for count in (2, 500))
    # Gradients are averaged over processes; with the mean count as divisor that is the sum over all positives, per positive.
    sums, counts = [3.0, 40.0], [2, 50]
    assert math.isclose(np.mean([s / np.mean(counts) for s in sums]), sum(sums) / sum(counts))


def boxes_kept(boxes):
    """Greedy suppression at 0.5 of boxes given by falling score."""
    kept = []
    for i in range(len(boxes)):
        if not kept or box_iou(boxes[i : i + 1], boxes[kept]).max() <= 0.5:
            kept.append(i)
    return kept


@holds("Why may one object have many positives?")
def check_many_positives():
    target, anchors = torch.tensor([[0.0, 0.0, 64.0, 64.0]]), anchors_of(64, 4)
    q = box_iou(target, anchors)
    positive = Matcher(0.7, 0.3, True)(q) == 0
    assert positive.sum() > 10  # each learns this object's box: duplicates
    assert boxes_kept(target.expand(int(positive.sum()), 4)) == [0]
    assert len(linear_sum_assignment(-q.numpy())[1]) == 1  # one to one: a single positive


@holds("Why dynamic assignment?")
def check_dynamic_assignment():
    target = torch.tensor([[0.0, 0.0, 30.0, 60.0]])
    anchors = torch.tensor([[0.0, 0.0, 40.0, 60.0], [-20.0, -10.0, 44.0, 54.0]])
    predicted = torch.tensor([[-9.0, 0.0, 40.0, 60.0], [0.0, 1.0, 30.0, 60.0]])  # the second place already fits
    of_anchors, of_predictions = box_iou(target, anchors)[0], box_iou(target, predicted)[0]
    cost = F.binary_cross_entropy(torch.tensor([0.5, 0.5]), torch.ones(2), reduction="none") - 3 * of_predictions.log()
    assert of_anchors.argmax() == 0 and cost.argmin() == 1


@holds("Why is an object's best anchor positive even below the threshold?")
def check_best_anchor():
    q = torch.tensor(Q)
    stated("0.45", q[1].max())
    assert 1 in Matcher(0.7, 0.3, True)(q).tolist() and 1 not in Matcher(0.7, 0.3, False)(q).tolist()
    assert not fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None
    ).roi_heads.proposal_matcher.allow_low_quality_matches


@holds("IoU ≥ 0.5 + best anchor, 3 negatives a positive")
def check_ssd():
    model = ssd300_vgg16(weights=None, weights_backbone=None)
    assert type(model.proposal_matcher) is SSDMatcher and model.neg_to_pos_ratio == 3
    assert model.proposal_matcher(torch.tensor([[0.6, 0.5, 0.1, 0.0], [0.1, 0.0, 0.3, 0.2]])).tolist() == [0, 0, 1, -1]
    classes = torch.full((100,), -1)
    classes[:2] = 0
    labels = torch.where(classes >= 0, 1, 0)
    scores = torch.randn(1, 100, 91)
    each = F.cross_entropy(scores[0], labels, reduction="none")
    wanted = (each[:2].sum() + each[2:].topk(6).values.sum()) / 2
    target = [{"boxes": torch.tensor([[0.0, 0.0, 9.0, 9.0]]), "labels": torch.tensor([1])}]
    head = {"bbox_regression": torch.zeros(1, 100, 4), "cls_logits": scores}
    found = model.compute_loss(target, head, [torch.tensor([[0.0, 0.0, 9.0, 9.0]]).expand(100, 4)], [classes])
    assert torch.allclose(found["classification"], wanted)


@holds("Input of torchvision's `Matcher`", "Output", "Defaults", "IoU thresholds + best anchor")
def check_thresholds():
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    rpn, head = model.rpn.proposal_matcher, model.roi_heads.proposal_matcher
    assert (rpn.high_threshold, rpn.low_threshold, rpn.allow_low_quality_matches) == (0.7, 0.3, True)
    assert (head.high_threshold, head.low_threshold, head.allow_low_quality_matches) == (0.5, 0.5, False)
    retina = retinanet_resnet50_fpn(weights=None, weights_backbone=None).proposal_matcher
    assert (retina.high_threshold, retina.low_threshold, retina.allow_low_quality_matches) == (0.5, 0.4, True)
    raises(TypeError, Matcher, "high_threshold", "low_threshold")
    assert Matcher(0.7, 0.3)(torch.tensor([[0.1, 0.4, 0.9]])).tolist() == [-1, -2, 0]
    ssd = ssd300_vgg16(weights=None, weights_backbone=None)
    assert ssd.proposal_matcher.high_threshold == 0.5 and ssd.neg_to_pos_ratio == 3
    assert Matcher.BELOW_LOW_THRESHOLD == -1 and Matcher.BETWEEN_THRESHOLDS == -2
    assert Matcher(0.5, 0.5)(torch.rand(2, 7)).dtype == torch.int64
    for empty in (torch.rand(0, 7), torch.rand(2, 0)):
        raises(ValueError, lambda: Matcher(0.5, 0.5)(empty), "available for one of the images")
