import math
import warnings

import numpy as np
import torch
from sklearn.metrics import auc, average_precision_score, f1_score, precision_recall_curve
from torchvision.ops import box_convert, box_iou

from note_checks import check, formula, holds, pitfall, sourced, stated

STEPS = r"\mathrm{AP} = \sum_{k} (R_k - R_{k-1}) \, P_k"
INTERPOLATED = r"""
P_{\mathrm{interp}}(r) = \max_{k:\, R_k \ge r} P_k, \qquad
\mathrm{AP}_{101} = \frac{1}{101} \sum_{i=0}^{100} P_{\mathrm{interp}}\!\left(\tfrac{i}{100}\right)
"""
MEAN = r"\mathrm{mAP} = \frac{1}{C \, |T|} \sum_{c=1}^{C} \sum_{t \in T} \mathrm{AP}_{c,t}"

sourced("torchmetrics documentation of MeanAveragePrecision: boxes, scores, labels", "Detection input (torchmetrics)")
sourced("COCO detection evaluation page and pycocotools COCOeval: -1 without true boxes", "Undefined")
sourced("pycocotools COCOeval, class Params: recThrs has 101 points, maxDets 1, 10, 100", "Defaults")
sourced(
    "COCO detection evaluation page: AP, AP50, AP75, and AR as used for proposals", "COCO AP", "AR (average recall)"
)


def curve(hits, boxes):
    tp = np.cumsum(hits)
    return tp / np.arange(1, len(hits) + 1), tp / boxes


def steps(hits, boxes):
    precision, recall = curve(hits, boxes)
    return float((np.diff(recall, prepend=0) * precision).sum())


def sampled(hits, boxes, points=101):
    precision, recall = curve(hits, boxes)
    return np.mean(
        [max((p for p, r in zip(precision, recall) if r >= i / (points - 1)), default=0) for i in range(points)]
    )


def area(hits, boxes):
    """The exact area of the interpolated curve, as in VOC since 2010."""
    precision, recall = curve(hits, boxes)
    return sum((r - before) * precision[recall >= r].max() for before, r in zip(np.r_[0, recall], recall))


def matched(detections, truth, threshold):
    """Hits, best score first, of detections (score, image, box) against a dict of the true boxes of each image."""
    free, hits = {image: list(range(len(boxes))) for image, boxes in truth.items()}, []
    for _, image, box in sorted(detections, key=lambda d: -d[0]):
        overlap = box_iou(box[None], truth[image])[0]
        best = max(free[image], key=lambda g: overlap[g], default=None)
        hits.append(int(best is not None and overlap[best] >= threshold))
        if hits[-1]:
            free[image].remove(best)
    return hits


def scene():
    """Forty images with three true boxes each: two found closely, with random scores, and two false alarms."""
    corner = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    truth, found = {}, []
    for image in range(40):
        start = corner + 20 + 10 * torch.rand(3, 2)
        truth[image] = torch.cat([start, start + 30 + 30 * torch.rand(3, 2)], 1)
        far = torch.tensor([200.0, 200.0, 230.0, 230.0])
        found += [(0.3 + 0.7 * np.random.rand(), image, box + torch.rand(4)) for box in truth[image][:2]]
        found += [(0.8 * np.random.rand(), image, far + i) for i in range(2)]
    return found, truth


def ap_per_class(found, truth, classes):
    """AP at IoU 0.5 of each class, for `found` and `truth` by class; −1 for a class without true boxes, as COCO prints it."""
    table = {}
    for c in classes:
        boxes = sum(len(b) for b in truth.get(c, {}).values())
        table[c] = sampled(matched(found.get(c, []), truth[c], 0.5), boxes) if boxes else -1
    return table


@formula(STEPS)
def check_steps_equal_scikit_learn():
    for n in (1, 2, 10, 300):
        hits = np.r_[1, np.random.randint(2, size=n - 1)][np.random.permutation(n)]
        assert math.isclose(steps(hits, hits.sum()), average_precision_score(hits, -np.arange(n)))
        assert math.isclose(
            steps(hits, hits.sum() + 5), average_precision_score(hits, -np.arange(n)) * hits.sum() / (hits.sum() + 5)
        )


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
    assert (
        average_precision_score([1, 0], [0.5, 0.5]) == average_precision_score([0, 1], [0.5, 0.5]) == 0.5
    )  # one step for tied scores


@pitfall("`average_precision_score` gives more than the COCO tools")
def check_missed_objects():
    """The COCO tools are not installed: their value is the sampled interpolated curve."""
    hits = [1, 0, 1, 1]
    stated("0.8056", average_precision_score(hits, [4, 3, 2, 1]))
    stated("0.6042", average_precision_score(hits, [4, 3, 2, 1]) * 3 / 4)
    stated("0.6287", sampled(hits, 4))
    assert average_precision_score(hits, [4, 3, 2, 1]) > sampled(hits, 4)


@pitfall("mAP falls after raising the score threshold")
def check_cut_tail():
    stated("0.2574", sampled([1], 4))
    found, truth = scene()
    kept = [[d for d in found if d[0] >= threshold] for threshold in (0.0, 0.3, 0.6, 0.9)]
    values = [sampled(matched(some, truth, 0.5), 120) for some in kept]
    assert values == sorted(values, reverse=True) and values[0] > values[-1] + 0.2


@pitfall("AP is −1")
def check_minus_one():
    """The COCO tools are not installed: the −1 is written by `ap_per_class`, in place of 0/0."""
    found, truth = scene()
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert np.isnan(np.array([0.0]) / 0).all()  # a recall without true boxes
    table = ap_per_class({1: found, 2: found}, {1: truth}, (1, 2))
    assert table[2] == -1 and table[1] > 0.5
    values = np.array(list(table.values()))
    assert values.mean() < 0 and values[values > -1].mean() == table[1]
    shifted = ap_per_class({1: found}, {0: truth}, (1,))
    assert shifted[1] == -1 and ap_per_class({1: found}, {1: truth}, (1,))[1] == table[1]
    boxes = torch.cat(list(truth.values()))
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    assert (areas >= 32**2).any() and not (
        torch.zeros_like(areas) >= 32**2
    ).any()  # areas left at 0: nothing is medium or large


@pitfall("False alarms of an absent class cost nothing")
def check_absent_class():
    found, truth = scene()
    alarms = [(0.99, image, torch.tensor([5.0, 5.0, 15.0, 15.0])) for image in truth]

    def mean_ap(table):
        return np.mean([v for v in table.values() if v > -1])

    without = mean_ap(ap_per_class({1: found}, {1: truth}, (1, 2)))
    assert mean_ap(ap_per_class({1: found, 2: alarms}, {1: truth}, (1, 2))) == without
    present = {1: truth, 2: {image: torch.tensor([[60.0, 60.0, 90.0, 90.0]]) for image in truth}}
    right = [(0.5, image, torch.tensor([60.0, 60.0, 90.0, 90.0])) for image in truth]
    clean, noisy = (
        ap_per_class({1: found, 2: right}, present, (1, 2)),
        ap_per_class({1: found, 2: right + alarms}, present, (1, 2)),
    )
    assert clean[2] == 1 and noisy[2] < 0.6 and noisy[1] == clean[1] and mean_ap(noisy) < mean_ap(clean) - 0.1


@pitfall("Good boxes, mAP near 0")
def check_box_format():
    found, truth = scene()
    thresholds = np.linspace(0.5, 0.95, 10)
    in_coco_format = {image: box_convert(boxes, "xyxy", "xywh") for image, boxes in truth.items()}
    lists = {image: boxes.tolist() for image, boxes in in_coco_format.items()}  # as json.load gives them
    converted = {
        image: box_convert(torch.tensor(boxes).reshape(-1, 4), "xywh", "xyxy") for image, boxes in lists.items()
    }
    assert box_convert(torch.tensor([]).reshape(-1, 4), "xywh", "xyxy").shape == (0, 4)
    misread, good = (
        np.mean([sampled(matched(found, boxes, t), 120) for t in thresholds]) for boxes in (in_coco_format, converted)
    )
    assert misread < 0.05 and good > 0.45
    wrong = torch.tensor([[10.0, 20, 30, 40]])
    right = box_convert(wrong, "xywh", "xyxy")
    assert right.tolist() == [[10, 20, 40, 60]]
    stated("0.3333", box_iou(wrong, right))


@holds("COCO AP", r"$\mathrm{AP}_{50}$", r"$\mathrm{AP}_{75}$", "AR (average recall)", "F1")
def check_what_each_threshold_asks():
    """Three detectors of one object per image: tight boxes, boxes a little off, boxes far off."""
    truth = {image: torch.tensor([[0.0, 0.0, 40.0, 40.0]]) for image in range(30)}
    table = {}
    for name, shift in (("tight", 1.0), ("rough", 8.0), ("off", 20.0)):
        right = torch.tensor([shift, 0, shift, 0])
        found = [(float(np.random.rand()), image, truth[image][0] + right) for image in truth]
        hits = {t: matched(found, truth, t) for t in (0.5, 0.75, *np.linspace(0.5, 0.95, 10))}
        ap = {t: sampled(h, 30) for t, h in hits.items()}
        recall = np.mean([sum(hits[t]) / 30 for t in np.linspace(0.5, 0.95, 10)])
        table[name] = ap[0.5], ap[0.75], np.mean([ap[t] for t in np.linspace(0.5, 0.95, 10)]), recall
    assert table["tight"][0] == table["rough"][0] == 1 > table["off"][0] == 0  # 0.5 does not tell tight from rough
    assert table["tight"][1] == 1 > table["rough"][1] == 0  # 0.75 does
    assert table["tight"][2] > table["rough"][2] + 0.4 and table["rough"][2] > table["off"][2]
    assert table["tight"][3] > table["rough"][3] + 0.4  # average recall: no ranking needed
    labels, scores = np.array([1, 0, 1, 1, 0]), np.array([0.9, 0.8, 0.7, 0.4, 0.1])
    assert f1_score(labels, scores > 0.6) != f1_score(labels, scores > 0.3)  # F1 belongs to one threshold


@holds("Ranking input", "Output", "Undefined", "Depends on")
def check_scikit_learn_contract():
    y, s = np.r_[0, 1, np.random.randint(2, size=48)], np.random.randn(50)
    value = average_precision_score(y, s)
    assert 0 <= value <= 1
    assert average_precision_score(y, 5 * s - 3) == value == average_precision_score(y, np.argsort(np.argsort(s)))
    many = np.c_[y, 1 - y, y], np.c_[s, -s, 2 * s]
    assert np.allclose(average_precision_score(*many, average=None)[[0, 2]], value)
    classes, scores = np.arange(50) % 3, np.random.rand(50, 3)
    each = [average_precision_score(classes == c, scores[:, c]) for c in range(3)]
    assert math.isclose(average_precision_score(classes, scores), np.mean(each))
    found, truth = scene()
    rescaled = [(score**5, image, box) for score, image, box in found]
    assert sampled(matched(rescaled, truth, 0.5), 120) == sampled(matched(found, truth, 0.5), 120)


@holds("Why does NMS matter for mAP?")
def check_duplicates():
    found, truth = scene()
    once = sampled(matched(found, truth, 0.5), 120)
    twice = found + [(score - 1e-3, image, box + 0.2) for score, image, box in found]
    assert sum(matched(twice, truth, 0.5)) == sum(matched(found, truth, 0.5))  # no duplicate is a hit
    assert sampled(matched(twice, truth, 0.5), 120) < once - 0.05
    overlapping = {0: torch.tensor([[0.0, 0.0, 40.0, 40.0], [4.0, 0.0, 44.0, 40.0]])}
    pair = [(0.9, 0, torch.tensor([0.0, 0.0, 40.0, 40.0])), (0.8, 0, torch.tensor([0.5, 0.0, 40.5, 40.0]))]
    assert matched(pair, overlapping, 0.5) == [1, 1]  # the duplicate claims the neighbour
    assert sampled([1, 0, 1], 2) < sampled([1, 1, 0], 2) == sampled([1, 1], 2)  # below the last hit it costs nothing


@holds(
    "Is AP the area under the precision-recall curve?",
    "Does calibrating the scores change AP?",
    "Can a random ranker have AP above 0?",
    "Undefined",
)
def check_ranking_properties():
    hits, scores = np.random.randint(2, size=200), np.random.randn(200)
    assert math.isclose(
        average_precision_score(hits, scores), average_precision_score(hits, 1 / (1 + np.exp(-3 * scores)))
    )
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
