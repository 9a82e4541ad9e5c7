import itertools
import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn.functional import cross_entropy, l1_loss
from torchvision.models import resnet50
from torchvision.ops import box_convert, generalized_box_iou, generalized_box_iou_loss

from note_checks import check, formula, stated

MATCHING = r"""
\hat{\pi} = \arg\min_{\pi} \sum_{i:\, c_i \neq \varnothing} \Big( -\hat{p}_{\pi(i)}(c_i) + 5\, \big\| b_i - \hat{b}_{\pi(i)} \big\|_1 - 2\, \mathrm{GIoU}\big( b_i, \hat{b}_{\pi(i)} \big) \Big)
"""
LOSS = r"""
L = \frac{\sum_{i} w_{c_i} \left( -\ln \hat{p}_{\hat{\pi}(i)}(c_i) \right)}{\sum_i w_{c_i}} + \frac{1}{M} \sum_{i:\, c_i \neq \varnothing} \Big( 5\, \big\| b_i - \hat{b}_{\hat{\pi}(i)} \big\|_1 + 2 \big( 1 - \mathrm{GIoU} \big) \Big)
"""


def corners(box):
    cx, cy, w, h = box
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def giou(a, b):
    a, b = corners(a), corners(b)
    inter = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return inter / union - (hull - union) / hull


def case(queries, classes, objects):
    boxes, targets = (0.1 + 0.5 * torch.rand(n, 4, dtype=torch.float64) for n in (queries, objects))
    return torch.randn(queries, classes + 1, dtype=torch.float64), boxes, torch.randint(0, classes, (objects,)), targets


def library_match(logits, boxes, labels, targets):
    pair = [box_convert(b, "cxcywh", "xyxy") for b in (boxes, targets)]
    cost = -logits.softmax(-1)[:, labels] + 5 * torch.cdist(boxes, targets, p=1) - 2 * generalized_box_iou(*pair)
    return linear_sum_assignment(cost)


def formula_match(logits, boxes, labels, targets):
    """The article's argmin over all assignments, by enumeration."""
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    best, choice = math.inf, None
    for chosen in itertools.permutations(range(len(logits)), len(labels)):
        total = 0.0
        for i, q in enumerate(chosen):
            b, guess = targets[i].tolist(), boxes[q].tolist()
            total += -p[q, labels[i]] + 5 * sum(abs(u - v) for u, v in zip(b, guess)) - 2 * giou(b, guess)
        if total < best:
            best, choice = total, chosen
    return choice, p


@formula(MATCHING, LOSS)
def check_matching_and_loss():
    for queries, classes, objects in ((3, 2, 1), (5, 3, 3), (6, 4, 4)):
        logits, boxes, labels, targets = case(queries, classes, objects)
        choice, p = formula_match(logits, boxes, labels, targets)
        query, item = library_match(logits, boxes, labels, targets)
        assert {int(i): int(q) for q, i in zip(query, item)} == dict(enumerate(choice))
        top = bottom = 0.0
        for q in range(queries):
            c = int(labels[choice.index(q)]) if q in choice else classes
            w = 0.1 if c == classes else 1.0
            top, bottom = top - w * math.log(p[q, c]), bottom + w
        box = 0.0
        for i, q in enumerate(choice):
            box += 5 * float((targets[i] - boxes[q]).abs().sum()) + 2 * (1 - giou(targets[i].tolist(), boxes[q].tolist()))
        ours = top / bottom + box / objects
        wanted = torch.full((queries,), classes)
        wanted[query] = labels[item]
        weight = torch.ones(classes + 1, dtype=torch.float64)
        weight[-1] = 0.1
        pair = [box_convert(b, "cxcywh", "xyxy") for b in (boxes[query], targets[item])]
        library = cross_entropy(logits, wanted, weight) + (5 * l1_loss(boxes[query], targets[item], reduction="sum") + 2 * generalized_box_iou_loss(*pair).sum()) / objects
        assert abs(ours - float(library)) < 1e-5


@check
def check_by_hand():
    cost = np.array([[1.0, 0.2, 0.9], [0.3, 0.1, 0.8]])
    rows, columns = linear_sum_assignment(cost)
    assert columns.tolist() == [1, 0]
    stated("0.5", cost[rows, columns].sum())
    left, total = cost.copy(), 0.0
    for _ in range(2):
        r, c = np.unravel_index(left.argmin(), left.shape)
        total += left[r, c]
        left[r], left[:, c] = np.inf, np.inf
    stated("1.0", total)
    stated("1.3863", math.log(4))


@check
def check_size():
    layers = nn.Transformer(256, 8, 6, 6, 2048, batch_first=True)
    backbone = resnet50()
    body = sum(p.numel() for n, p in backbone.named_parameters() if not n.startswith("fc") and "bn" not in n and "downsample.1" not in n)
    head = 256 * 92 + 92 + 2 * (256 * 256 + 256) + 256 * 4 + 4
    total = body + 2048 * 256 + 256 + sum(p.numel() for p in layers.parameters()) + 100 * 256 + head
    assert 41.0e6 < total < 41.7e6, total
    stated("850", math.ceil(800 / 32) * math.ceil(1066 / 32))


@check
def check_more_objects_than_queries():
    rows, _ = linear_sum_assignment(np.random.rand(5, 3))
    assert len(rows) == 3
