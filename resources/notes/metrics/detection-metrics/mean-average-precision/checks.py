import math
import warnings

import numpy as np
import torch
from sklearn.metrics import auc, average_precision_score, precision_recall_curve
from torchvision.ops import box_convert, box_iou

from note_checks import check, formula, stated

STEPS = r"\mathrm{AP} = \sum_{k} (R_k - R_{k-1}) \, P_k"
INTERPOLATED = r"""
P_{\mathrm{interp}}(r) = \max_{k:\, R_k \ge r} P_k, \qquad
\mathrm{AP}_{101} = \frac{1}{101} \sum_{i=0}^{100} P_{\mathrm{interp}}\!\left(\tfrac{i}{100}\right)
"""
MEAN = r"\mathrm{mAP} = \frac{1}{C \, |T|} \sum_{c=1}^{C} \sum_{t \in T} \mathrm{AP}_{c,t}"


def curve(hits, boxes):
    tp = np.cumsum(hits)
    return tp / np.arange(1, len(hits) + 1), tp / boxes


def steps(hits, boxes):
    precision, recall = curve(hits, boxes)
    return float((np.diff(recall, prepend=0) * precision).sum())


def sampled(hits, boxes, points=101):
    precision, recall = curve(hits, boxes)
    return np.mean([max((p for p, r in zip(precision, recall) if r >= i / (points - 1)), default=0) for i in range(points)])


def area(hits, boxes):
    """The exact area of the interpolated curve, as in VOC since 2010."""
    precision, recall = curve(hits, boxes)
    return sum((r - before) * precision[recall >= r].max() for before, r in zip(np.r_[0, recall], recall))


@formula(STEPS)
def check_steps_equal_scikit_learn():
    for n in (1, 2, 10, 300):
        hits = np.r_[1, np.random.randint(2, size=n - 1)][np.random.permutation(n)]
        assert math.isclose(steps(hits, hits.sum()), average_precision_score(hits, -np.arange(n)))
        assert math.isclose(steps(hits, hits.sum() + 5), average_precision_score(hits, -np.arange(n)) * hits.sum() / (hits.sum() + 5))


@formula(INTERPOLATED)
def check_sampled_against_scikit_learn_points():
    for n in (3, 40, 300):
        hits = np.r_[1, np.random.randint(2, size=n - 1)]
        precision, recall, _ = precision_recall_curve(hits, -np.arange(n))
        ours = sampled(hits, hits.sum())
        theirs = np.mean([precision[:-1][recall[:-1] >= i / 100].max() for i in range(101)])
        assert math.isclose(ours, theirs) and area(hits, hits.sum()) >= steps(hits, hits.sum()) - 1e-12
        assert abs(ours - area(hits, hits.sum())) < 0.011
        assert all(sampled(hits[:k], hits.sum()) <= ours for k in range(1, n))  # cutting the tail does not help


# verified: formula-only (the COCO tools are not among the libraries)
@formula(MEAN)
def check_mean():
    table = np.random.rand(3, 10)
    assert math.isclose(sum(table[c, t] for c in range(3) for t in range(10)) / (3 * 10), table.mean(1).mean())
    assert np.allclose(np.arange(0.5, 0.96, 0.05), np.linspace(0.5, 0.95, 10))


@check
def check_by_hand():
    hits = [1, 0, 1, 1]
    stated("0.6042", steps(hits, 4))
    stated("0.6250", area(hits, 4))
    stated("0.6287", sampled(hits, 4))
    stated("0.6136", sampled(hits, 4, points=11))
    stated("0.8056", average_precision_score(hits, [4, 3, 2, 1]))
    assert math.isclose(average_precision_score(hits, [4, 3, 2, 1]) * 3 / 4, steps(hits, 4))
    assert average_precision_score([1, 0], [0.5, 0.5]) == average_precision_score([0, 1], [0.5, 0.5]) == 0.5  # one step for tied scores
    stated("0.2574", sampled([1], 4))


@check
def check_box_format():
    wrong = torch.tensor([[10.0, 20, 30, 40]])
    right = box_convert(wrong, "xywh", "xyxy")
    assert right.tolist() == [[10, 20, 40, 60]]
    stated("0.3333", box_iou(wrong, right))


@check
def check_ranking_properties():
    hits, scores = np.random.randint(2, size=200), np.random.randn(200)
    assert math.isclose(average_precision_score(hits, scores), average_precision_score(hits, 1 / (1 + np.exp(-3 * scores))))
    positive = (np.arange(20000) < 4000).astype(int)
    assert abs(average_precision_score(positive, np.random.rand(20000)) - 0.2) < 0.02
    precision, recall, _ = precision_recall_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    assert abs(auc(recall, precision) - average_precision_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])) > 0.02
    positive = (np.arange(10) < 1).astype(int)  # one score for all: 0.55 against 0.1
    precision, recall, _ = precision_recall_curve(positive, np.full(10, 0.5))
    assert auc(recall, precision) > 5 * average_precision_score(positive, np.full(10, 0.5))
    for _ in range(50):
        labels, values = np.r_[1, np.random.randint(2, size=40)], np.random.rand(41)
        precision, recall, _ = precision_recall_curve(labels, values)
        assert auc(recall, precision) <= average_precision_score(labels, values) + 1e-12
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert average_precision_score([0, 0], [0.1, 0.2]) == 0
    assert caught
