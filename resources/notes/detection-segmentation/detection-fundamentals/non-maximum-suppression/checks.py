import math

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.models.detection import (
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_resnet50_fpn,
    retinanet_resnet50_fpn,
)
from torchvision.ops import boxes as library
from torchvision.ops import box_convert, box_iou, clip_boxes_to_image

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

NMS_CALL = "`nms(boxes, scores, iou_threshold)`"
BATCHED_CALL = "`batched_nms(boxes, scores, idxs, iou_threshold)`"
sourced(
    "torchvision.ops.nms, documentation; csrc/ops/cpu/nms_kernel.cpp: float and double, boxes and scores of one type",
    NMS_CALL,
    "Output",
)
sourced("Soft-NMS, arXiv 1704.04503, sections 1 and 3", "Soft-NMS")
sourced("DIoU loss, arXiv 1911.08287, section 3.3", "DIoU-NMS")
sourced("DETR, arXiv 2005.12872, section 3.1", "Set prediction (DETR)", "Why does DETR not need it?")
by_definition("NMS")

# verified: formula-only. torchvision.ops.nms is a compiled operator; it is re-implemented here twice, independently.
KEPT = r"""
i \in K \iff \mathrm{IoU}(b_i, b_j) \le N_t \quad \text{for all } j \in K,\ j < i
"""
LINEAR = r"""
s_i \leftarrow \begin{cases} s_i & \mathrm{IoU}(M, b_i) < N_t \\ s_i \left(1 - \mathrm{IoU}(M, b_i)\right) & \text{otherwise} \end{cases}
"""
GAUSSIAN = r"""
s_i \leftarrow s_i \, e^{-\mathrm{IoU}(M, b_i)^2 / \sigma}
"""
HAND = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [6.0, 0.0, 16.0, 10.0]])
SCORES = torch.tensor([0.9, 0.8, 0.7])


def overlap(a, b):
    inter = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def by_rule(boxes, scores, threshold):
    """The article's rule: one pass, only kept boxes suppress."""
    kept = []
    for i in np.argsort(-np.asarray(scores), kind="stable"):
        if all(overlap(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(int(i))
    return kept


def by_deletion(boxes, scores, threshold):
    """The prose: take the best, delete what overlaps it, repeat."""
    left, kept = torch.arange(len(boxes)), []
    while len(left):
        best = left[scores[left].argmax()]
        kept.append(int(best))
        iou = box_iou(boxes[best][None], boxes[left])[0]
        left = left[~(iou > threshold) & (left != best)]  # as torchvision compares: NaN suppresses nothing
    return kept


def reference_nms(boxes, scores, threshold):
    return torch.tensor(by_deletion(boxes, scores, threshold), dtype=torch.int64)


def soft(boxes, scores, decay):
    scores, left = list(map(float, scores)), list(range(len(boxes)))
    while left:
        best = max(left, key=lambda i: scores[i])
        left.remove(best)
        for i in left:
            scores[i] *= decay(overlap(boxes[best], boxes[i]))
    return scores


def random_boxes(n):
    corner = torch.rand(n, 2, dtype=torch.float64) * 60
    return torch.cat([corner, corner + 10 + torch.rand(n, 2, dtype=torch.float64) * 30], 1)


@formula(KEPT)
@holds("Output", "NMS")
def check_rule_equals_deletion():
    for n in (1, 2, 17, 80):
        boxes, scores = random_boxes(n), torch.rand(n, dtype=torch.float64)
        for threshold in (0.0, 0.3, 0.5, 0.7):
            kept = by_rule(boxes.tolist(), scores, threshold)
            assert kept == by_deletion(boxes, scores, threshold)
            iou = box_iou(boxes[kept], boxes[kept]) - torch.eye(len(kept))
            assert iou.max() <= threshold + 1e-9
            assert n < 80 or threshold > 0.5 or len(kept) < n
    half = [[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 1.0]]  # IoU exactly 0.5
    assert by_rule(half, [0.9, 0.8], 0.5) == [0, 1] and by_rule(half, [0.9, 0.8], 0.49) == [0]
    assert "IoU > iou_threshold" in library.nms.__doc__ and "int64" in library.nms.__doc__
    assert (
        float(box_iou(torch.tensor([[1.0, 1.0, 2.0, 3.0]]), torch.tensor([[0.0, 0.0, 2.0, 2.0]]))) > 0.2
    )  # 1/5, rounded up


@formula(LINEAR, GAUSSIAN)
@holds("Soft-NMS")
def check_soft_nms():
    linear = soft(HAND.tolist(), SCORES, lambda v: 1 - v if v >= 0.5 else 1.0)
    stated("0.1455", linear[1])
    assert abs(linear[2] - 0.7) < 1e-6
    gauss = soft(HAND.tolist(), SCORES, lambda v: math.exp(-(v**2) / 0.5))
    stated("0.6177", gauss[2])
    stated("0.1679", gauss[1])
    # an independent step by step computation of the same two numbers
    iou = box_iou(HAND, HAND)
    assert abs(0.8 * float(torch.exp(-(iou[0, 1] ** 2 + iou[2, 1] ** 2) / 0.5)) - gauss[1]) < 1e-6
    boxes, scores = random_boxes(30), torch.rand(30)
    assert all(
        after <= before + 1e-6
        for after, before in zip(soft(boxes.tolist(), scores, lambda v: math.exp(-v * v / 0.5)), scores.tolist())
    )


@check
def check_by_hand():
    iou = box_iou(HAND, HAND)
    for text, i, j in (("0.8182", 0, 1), ("0.25", 0, 2), ("0.3333", 1, 2)):
        stated(text, iou[i, j])
    for threshold in (0.5, 0.3):
        assert by_rule(HAND.tolist(), SCORES, threshold) == [0, 2]
    assert math.isclose(1 - iou[0, 1].item(), 20 / 110, rel_tol=1e-6)


@holds("Defaults")
def check_thresholds_of_faster_rcnn():
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    stated("0.7", model.rpn.nms_thresh)
    stated("0.5", model.roi_heads.nms_thresh)


@pitfall("In float16 nothing is suppressed")
def check_half_precision():
    stated("65,504", torch.finfo(torch.float16).max)
    box = torch.tensor([[0.0, 0.0, 300.0, 300.0], [10.0, 0.0, 310.0, 300.0]])
    stated("90,000", 300 * 300)
    half = box.half()
    area = (half[:, 2] - half[:, 0]) * (half[:, 3] - half[:, 1])
    assert torch.isinf(area).all() and box_iou(box, box)[0, 1] > 0.9
    assert box_iou(half, half)[0, 1] > 0.9  # the library computes areas in float32
    offset = 80 * (1333 + 1)
    stated("106,720", offset)
    assert torch.isinf(torch.tensor(80.0).half() * torch.tensor(1334.0).half())
    assert torch.isnan(torch.tensor([offset, offset]).half().diff()).all()  # widths after the shift are lost
    inter = (half[:1, 2:].minimum(half[1:, 2:]) - half[:1, :2].maximum(half[1:, :2])).prod(1)
    assert not inter / (area[0] + area[1] - inter) > 0.5  # as it was: areas in float16
    library.nms = reference_nms  # this process only: the operator is not compiled here
    many = torch.cat([box, box + torch.tensor([1000.0, 400.0, 1023.0, 423.0])])
    scores, classes = torch.rand(4), torch.full((4,), 80)
    assert many.max() == 1333 and len(library._batched_nms_coordinate_trick(many.half(), scores, classes, 0.5)) == 4
    assert len(library._batched_nms_coordinate_trick(many.half().float(), scores, classes, 0.5)) == 2


@pitfall("A bicycle deletes its rider")
@holds(BATCHED_CALL, "When are two kept boxes still above the threshold?")
def check_classes():
    library.nms = reference_nms
    boxes, scores, labels = (
        torch.tensor([[0.0, 0.0, 40.0, 90.0], [2.0, 0.0, 42.0, 90.0]]),
        torch.tensor([0.9, 0.8]),
        torch.tensor([1, 0]),
    )
    assert reference_nms(boxes, scores, 0.5).tolist() == [0]
    for batched in (library._batched_nms_coordinate_trick, library._batched_nms_vanilla):
        assert batched(boxes, scores, labels, 0.5).tolist() == [0, 1]
        twice, images = torch.cat([boxes, boxes]), torch.tensor([0, 0, 1, 1])
        both = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([1, 0, 1, 0])
        assert (
            len(batched(twice, both[0], both[1], 0.5)) == 2
            and len(batched(twice, both[0], images * 2 + both[1], 0.5)) == 4
        )
        ids, numbers = torch.tensor([85, 5]), torch.tensor([0, 1])  # COCO's ids reach 90, though it has 80 classes
        assert len(batched(boxes, scores, numbers * 80 + ids, 0.5)) == 1
        assert len(batched(boxes, scores, numbers * 91 + ids, 0.5)) == 2


@pitfall("`batched_nms` mixes classes all the same")
def check_batched():
    library.nms = reference_nms
    boxes, scores, classes = random_boxes(60), torch.rand(60), torch.randint(0, 3, (60,))
    trick = library._batched_nms_coordinate_trick(boxes, scores, classes, 0.3).tolist()
    each = library._batched_nms_vanilla(boxes, scores, classes, 0.3).tolist()
    assert trick == each and trick != reference_nms(boxes, scores, 0.3).tolist()
    idxs, order = torch.tensor([0, 1]), torch.tensor([0.9, 0.8])
    both = torch.tensor([[-20.0, -20.0, 5.0, 5.0], [-24.0, -24.0, 1.0, 1.0]])
    assert library._batched_nms_vanilla(both, order, idxs, 0.5).tolist() == [0, 1]
    assert library._batched_nms_coordinate_trick(both, order, idxs, 0.5).tolist() == [0]
    slightly = random_boxes(60) - 0.9  # not below -1: still apart
    trick, each = (
        one(slightly, scores, classes, 0.0).tolist()
        for one in (library._batched_nms_coordinate_trick, library._batched_nms_vanilla)
    )
    assert trick == each
    clipped = clip_boxes_to_image(both, (50, 50))
    assert (clipped >= 0).all() and library._batched_nms_coordinate_trick(clipped, order, idxs, 0.5).tolist() == [0, 1]


@pitfall("Duplicates stay, and no error appears")
def check_wrong_format():
    boxes, scores = torch.tensor([[100.0, 200.0, 180.0, 280.0], [102.0, 200.0, 182.0, 280.0]]), torch.tensor([0.9, 0.8])
    centre = box_convert(boxes, "xyxy", "cxcywh")
    assert by_rule(centre.tolist(), scores, 0.1) == reference_nms(centre, scores, 0.1).tolist() == [0, 1]
    assert by_rule(box_convert(centre, "cxcywh", "xyxy").tolist(), scores, 0.5) == [0]


@pitfall("In crowds people are missing")
def check_crowd():
    people = torch.tensor([[0.0, 0.0, 40.0, 100.0], [10.0, 0.0, 50.0, 100.0]])
    assert abs(float(box_iou(people, people)[0, 1]) - 0.6) < 1e-6
    assert by_rule(people.tolist(), [0.99, 0.98], 0.5) == [0] and by_rule(people.tolist(), [0.99, 0.98], 0.7) == [0, 1]
    for decay in (lambda v: math.exp(-v * v / 0.5), lambda v: 1 - v if v >= 0.5 else 1.0):
        assert min(soft(people.tolist(), [0.99, 0.98], decay)) > 0.3
    assert by_rule(people.tolist(), [0.99, 0.98], 0.55) == [0]  # higher, but below their IoU
    assert min(soft(people.tolist(), [0.99, 0.98], lambda v: 1 - v)) < 0.5  # a score cut of 0.5 loses one
    # What to watch: the same higher threshold leaves a duplicate of 0.6 in.
    assert len(by_rule(people.tolist(), [0.99, 0.5], 0.7)) == 2


@holds("Same in train and eval?", "Cost")
def check_when_it_is_called():
    library.nms, calls, whole = reference_nms, [], library.batched_nms
    library.batched_nms = lambda boxes, scores, idxs, threshold: (
        calls.append(len(boxes)) or whole(boxes, scores, idxs, threshold)
    )
    try:
        images = [torch.rand(3, 64, 64)]
        targets = [{"boxes": torch.tensor([[5.0, 5.0, 30.0, 40.0]]), "labels": torch.tensor([1])}]
        sizes = dict(weights=None, weights_backbone=None, min_size=64, max_size=64)
        two = fasterrcnn_mobilenet_v3_large_320_fpn(
            **sizes, rpn_pre_nms_top_n_train=20, rpn_pre_nms_top_n_test=20, box_score_thresh=0
        )
        one = retinanet_resnet50_fpn(**sizes, score_thresh=0, topk_candidates=9)
        counts = []
        with torch.no_grad():
            for model in (two, one):
                for training in (True, False):
                    calls.clear()
                    model.train(training)(images, targets)
                    counts.append(list(calls))
    finally:
        library.batched_nms = whole
    assert [len(count) for count in counts] == [1, 2, 0, 1]
    assert counts[0][0] <= 3 * 20 and counts[3][0] <= 5 * 9  # at most so many of each level
    assert counts[1][0] <= 3 * 20 and counts[1][1] > 1000  # every class of every proposal: no such limit
    comparisons = 0

    def counted(a, b):
        nonlocal comparisons
        comparisons += 1
        return overlap(a, b)

    apart = [[20.0 * i, 0.0, 20.0 * i + 10, 10.0] for i in range(30)]
    kept = []
    for box in apart:
        if all([counted(box, other) <= 0.5 for other in kept]):
            kept.append(box)
    assert comparisons == 30 * 29 / 2


@holds("Parameters, gradient", "Why is NMS not part of the loss?")
def check_no_gradient():
    boxes, scores = random_boxes(40), torch.rand(40, dtype=torch.float64)
    kept = reference_nms(boxes.requires_grad_(), scores.requires_grad_(), 0.4)
    assert kept.dtype == torch.int64 and not kept.requires_grad
    near = boxes.detach() + 1e-9 * torch.randn(40, 4), scores.detach() + 1e-9 * torch.randn(40)
    assert torch.equal(reference_nms(*near, 0.4), kept)


@holds("DIoU-NMS")
def check_distance():
    people = [[0.0, 0.0, 40.0, 100.0], [16.0, 0.0, 56.0, 100.0]]
    iou, penalty = overlap(*people), 16**2 / (56**2 + 100**2)
    assert iou - penalty < 0.42 < iou and by_rule(people, [0.9, 0.8], 0.42) == [0]  # NMS deletes, DIoU-NMS does not
    nested = [[0.0, 0.0, 40.0, 100.0], [5.0, 12.5, 35.0, 87.5]]
    assert overlap(*nested) > 0.5  # same centre: no penalty, deleted


@holds("Peaks of a heat map (keypoints)")
def check_peaks():
    heat = torch.tensor([[0.1, 0.2, 0.1, 0.0, 0.0], [0.3, 0.9, 0.8, 0.1, 0.2], [0.1, 0.2, 0.1, 0.3, 0.7]])
    peaks = heat == F.max_pool2d(heat[None], 3, 1, 1)[0]
    best = torch.where(peaks, heat, 0).flatten().topk(2)
    assert best.indices.tolist() == [6, 14] and torch.allclose(best.values, torch.tensor([0.9, 0.7]))


def average_precision(found, objects):
    hits = np.cumsum(found)
    precision = hits / np.arange(1, len(found) + 1)
    return float((np.maximum.accumulate(precision[::-1])[::-1] * found).sum() / objects)


@holds("Does NMS hurt average precision?")
def check_average_precision():
    assert average_precision([1, 0, 1], 2) < average_precision([1, 1], 2) == 1  # a duplicate between two objects
    people = [[0.0, 0.0, 40.0, 100.0], [10.0, 0.0, 50.0, 100.0]]
    kept = by_rule(people, [0.9, 0.8], 0.5)
    assert kept == [0] and average_precision([1] * len(kept), 2) == 0.5


@holds("Why does DETR not need it?")
def check_one_query_per_object():
    from scipy.optimize import linear_sum_assignment  # the environment of the compiled operators has no SciPy

    cost = np.random.default_rng(0).random((3, 100))
    assert len(set(linear_sum_assignment(cost)[1].tolist())) == 3  # the other 97 learn "no object"
