import itertools
import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn.functional import cross_entropy, l1_loss
from torchvision.models import resnet50
from torchvision.ops import box_convert, generalized_box_iou, generalized_box_iou_loss

from note_checks import check, figure_of, formula, holds, pitfall, raises, sourced, stated
from trainings import descend

MATCHING = r"""
\hat{\pi} = \arg\min_{\pi} \sum_{i:\, c_i \neq \varnothing} \Big( -\hat{p}_{\pi(i)}(c_i) + 5\, \big\| b_i - \hat{b}_{\pi(i)} \big\|_1 - 2\, \mathrm{GIoU}\big( b_i, \hat{b}_{\pi(i)} \big) \Big)
"""
LOSS = r"""
L = \frac{\sum_{i} w_{c_i} \left( -\ln \hat{p}_{\hat{\pi}(i)}(c_i) \right)}{\sum_i w_{c_i}} + \frac{1}{M} \sum_{i:\, c_i \neq \varnothing} \Big( 5\, \big\| b_i - \hat{b}_{\hat{\pi}(i)} \big\|_1 + 2 \big( 1 - \mathrm{GIoU} \big) \Big)
"""

CODE = "facebookresearch/detr: main.py, models/detr.py, models/matcher.py, datasets/transforms.py"
sourced(CODE, "Input", "Output", "Defaults", "Same in train and eval?")
sourced("DETR, arXiv 2005.12872, sections 3.2 and 4 (300 and 500 epochs)", "DETR", "What are object queries?")
sourced("Deformable DETR, arXiv 2010.04159, section 5; DINO, arXiv 2203.03605, section 4", "Deformable DETR, DINO")
sourced("torchvision references/detection/README.md: --epochs 26 for both", "Faster R-CNN", "FCOS")


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
            box += 5 * float((targets[i] - boxes[q]).abs().sum()) + 2 * (
                1 - giou(targets[i].tolist(), boxes[q].tolist())
            )
        ours = top / bottom + box / objects
        wanted = torch.full((queries,), classes)
        wanted[query] = labels[item]
        weight = torch.ones(classes + 1, dtype=torch.float64)
        weight[-1] = 0.1
        pair = [box_convert(b, "cxcywh", "xyxy") for b in (boxes[query], targets[item])]
        library = (
            cross_entropy(logits, wanted, weight)
            + (5 * l1_loss(boxes[query], targets[item], reduction="sum") + 2 * generalized_box_iou_loss(*pair).sum())
            / objects
        )
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


@holds("Parameters", "Cost", "Why is small-object AP low?")
def check_size():
    layers = nn.Transformer(256, 8, 6, 6, 2048, batch_first=True)
    backbone = resnet50()
    body = sum(
        p.numel()
        for n, p in backbone.named_parameters()
        if not n.startswith("fc") and "bn" not in n and "downsample.1" not in n
    )
    head = 256 * 92 + 92 + 2 * (256 * 256 + 256) + 256 * 4 + 4
    total = body + 2048 * 256 + 256 + sum(p.numel() for p in layers.parameters()) + 100 * 256 + head
    assert 41.0e6 < total < 41.7e6, total
    stated("850", math.ceil(800 / 32) * math.ceil(1066 / 32))
    weights = {}
    for stride in (32, 16):
        tokens = torch.randn(1, math.ceil(800 / stride) * math.ceil(1066 / stride), 32)
        weights[stride] = nn.MultiheadAttention(32, 1, batch_first=True)(tokens, tokens, tokens)[1].numel()
    assert weights[32] == 850**2 and 15 < weights[16] / weights[32] < 16.5


@holds("Why must the matching be one to one?")
def check_many_to_one_keeps_duplicates():
    figure = figure_of(__file__)
    for one_to_one, kept in ((False, 6), (True, 2)):
        position, score = figure.trained(one_to_one)
        distance = (position[:, None] - figure.OBJECTS).abs().amin(1)
        confident = score > 0.5
        assert int(confident.sum()) == kept and distance[confident].max() < 0.05
        if not one_to_one:  # several queries on each object, and a low loss
            nearest = (position[:, None] - figure.OBJECTS).abs().argmin(1)
            assert nearest.bincount().min() > 1 and -score.log().mean() + 5 * distance.mean() < 0.2


@holds("Why L1 and GIoU together?")
def check_loss_against_size():
    wrong = torch.tensor([0.1, -0.05, 1.2, 0.9])  # the same relative error at both sizes
    l1, overlap = [], []
    for size in (0.05, 0.5):
        box = torch.tensor([[0.4, 0.4, size, size]])
        guess = torch.cat([box[:, :2] + wrong[:2] * size, box[:, 2:] * wrong[2:]], 1)
        l1.append(l1_loss(guess, box).item())
        overlap.append(generalized_box_iou(*(box_convert(b, "cxcywh", "xyxy") for b in (guess, box))).item())
    assert abs(l1[1] / l1[0] - 10) < 1e-3 and abs(overlap[0] - overlap[1]) < 1e-4 and overlap[0] < 0.9


@holds("Is the decoder autoregressive, as in translation?")
def check_queries_have_no_order():
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 4, 64, batch_first=True), 2).eval()
    queries, image, order = torch.randn(1, 7, 32), torch.randn(1, 20, 32), torch.randperm(7)
    with torch.no_grad():
        assert torch.allclose(decoder(queries, image)[:, order], decoder(queries[:, order], image), atol=1e-5)


def class_loss(logits, wanted, no_object):
    weight = torch.ones(logits.shape[1])
    weight[-1] = no_object
    return cross_entropy(logits, wanted, weight)


@pitfall("Wrong number of classes")
def check_no_object_is_the_last_logit():
    for classes, correct in ((3, False), (4, True)):  # ids 0 to 3: 3 counts the highest id only
        logits = torch.zeros(2, classes + 1, requires_grad=True)
        optimizer = torch.optim.SGD([logits], 10.0)
        for _ in range(50):  # query 0 found an object of id 3, query 1 nothing
            loss = class_loss(logits, torch.tensor([3, classes]), 0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found = bool(logits[0].argmax() < classes)
        assert logits.shape[1] == classes + 1 and found is correct and logits[1].argmax() == classes


def small_detector(steps, network=None):
    """Trains six queries on lines with one or two objects; the last loss, and the share of objects that changed queries at each step."""
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(64, 2, generator=generator)
    count = torch.randint(1, 3, (64,), generator=generator)
    x = sum(
        torch.exp(-((torch.linspace(0, 1, 24) - places[:, i : i + 1]) ** 2) / 0.005) * (count > i)[:, None]
        for i in range(2)
    )
    network = network or nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 12))
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    before, changed = None, []
    for _ in range(steps):
        position, logit = network(x).view(64, 6, 2).unbind(-1)
        distance = (position.sigmoid()[:, :, None] - places[:, None]).abs()
        cost = (5 * distance - logit.sigmoid()[:, :, None]).detach().numpy()
        wanted, box, now = torch.zeros(64, 6), 0.0, []
        for image, n in enumerate(count.tolist()):
            query, item = linear_sum_assignment(cost[image, :, :n])
            wanted[image, query] = 1
            box = box + distance[image, query, item].sum()
            now += query[np.argsort(item)].tolist()
        loss = nn.functional.binary_cross_entropy_with_logits(logit, wanted) + 5 * box / len(now)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if before:
            changed.append(np.mean([a != b for a, b in zip(now, before)]))
        before = now
    return network, loss.item(), changed


@pitfall("After 50 epochs AP is still low")
def check_matching_settles_late_and_trained_weights_help():
    """The variants are their own topic; the run shows both causes and the start from trained weights."""
    attention, tokens = nn.MultiheadAttention(256, 8, batch_first=True), torch.randn(1, 850, 256)
    with torch.no_grad():
        weights = attention(tokens[:, :100], tokens, tokens, average_attn_weights=False)[1]
    entropy = -(weights * weights.log()).sum(-1).mean()
    assert entropy > 0.95 * math.log(850)
    trained, early, changed = small_detector(100)
    assert np.mean(changed[:15]) > 3 * np.mean(changed[-15:]) and np.mean(changed[:15]) > 0.03
    assert small_detector(25)[1] > 1.5 * small_detector(25, trained)[1]
    names = ("body", "class_embed")
    other, own = (nn.ModuleDict({n: nn.Linear(8, 8 if n == "body" else k + 1) for n in names}) for k in (91, 4))
    for strict in (True, False):
        raises(RuntimeError, lambda: own.load_state_dict(other.state_dict(), strict=strict), "size mismatch")
    rest = {name: value for name, value in other.state_dict().items() if not name.startswith("class_embed")}
    own.load_state_dict(rest, strict=False)
    assert torch.equal(own["body"].weight, other["body"].weight)


@pitfall("Boxes are nonsense")
def check_relative_centre_and_size():
    predicted, real = torch.tensor([[0.25, 0.5, 0.1, 0.2]]), torch.tensor([[160.0, 192.0, 240.0, 288.0]])
    size = torch.tensor([800.0, 480.0, 800.0, 480.0])  # W, H, W, H
    for wrong in (predicted, predicted * size):
        assert (wrong[:, 2:] < wrong[:, :2]).all() or wrong.max() < 1
    assert torch.allclose(box_convert(predicted, "cxcywh", "xyxy") * size, real)


@pitfall('All predictions are "no object"')
def check_weight_of_no_object():
    features, labels = torch.randn(2000, 8), torch.full((2000,), 3)
    labels[:140] = torch.arange(140) % 3  # 7 of 100 queries have an object
    features[torch.arange(140), labels[:140]] += 1.5  # weak evidence, as early in training
    found, named = {}, {}
    for weight in (1.0, 0.1):
        layer = nn.Linear(8, 4)
        optimizer = torch.optim.Adam(layer.parameters(), 0.05)
        descend(optimizer, lambda: class_loss(layer(features), labels, weight), 150)
        p = layer(features).softmax(-1)
        found[weight], named[weight] = (p[:140].argmax(-1) < 3).float().mean(), p[:, :-1].argmax(-1)
    assert labels.bincount().argmax() == 3 and found[1.0] < 0.1 and found[0.1] > 0.45
    shown = p[:, :-1].amax(-1) > 0.4  # every query has a best class, few pass a threshold
    assert len(named[0.1]) == 2000 and shown.float().mean() < 0.3 and shown[:140].float().mean() > 0.3
    assert named[0.1].max() < 3 and (named[0.1][:140] == labels[:140]).float().mean() > 0.6
    logits = torch.randn(200, 2)  # one class: without the softmax over both every score is 1
    logits[:100, 0], logits[100:, 1] = logits[:100, 0] + 6, logits[100:, 1] + 6
    after, before = logits.softmax(-1)[:, :-1].amax(-1), logits[:, :-1].softmax(-1).amax(-1)
    assert ((after > 0.5).float().mean() - 0.5).abs() < 0.02 and (before == 1).all()


@pitfall("Crowded images lose objects")
def check_more_objects_than_queries():
    """Which objects are matched; that the larger set of queries needs training is not run."""
    assert len(linear_sum_assignment(np.random.rand(3, 5))[1]) == 3
    assert sorted(linear_sum_assignment(np.random.rand(8, 5))[1]) == list(range(5))
