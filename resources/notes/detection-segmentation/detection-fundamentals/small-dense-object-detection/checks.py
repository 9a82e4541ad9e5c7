import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection import retinanet_resnet50_fpn
from torchvision.ops import box_iou

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated
from trainings import descend

by_definition("Parameters", "Same in train and eval?")
sourced(
    "COCO, arXiv 1405.0312, and cocodataset.org/#detection-eval: area, measured as pixels of the segmentation mask",
    "Small, medium, large (COCO)",
)
sourced("Deformable DETR, arXiv 2010.04159, table 1", "Deformable DETR")
sourced("Augmentation for small object detection, arXiv 1902.07296, sections 4 and 5", "Copy-paste, oversampling")
sourced(
    "A Normalized Gaussian Wasserstein Distance for Tiny Object Detection, arXiv 2110.13389, section 3.2 (the constant C)",
    "Normalized Wasserstein distance in place of IoU",
)
sourced(
    "CrowdHuman, arXiv 1805.00123, section 3: full-body boxes, occluded parts included",
    "Why can crowds be hard without NMS, too?",
)

SHIFTED = r"""
\mathrm{IoU}_1 = \frac{s - d}{s + d}, \qquad \mathrm{IoU}_2 = \frac{(s - d)^2}{2 s^2 - (s - d)^2}
"""
TILES = r"n = \left\lceil \frac{W - o}{T - o} \right\rceil"
SURVIVE = r"\mathrm{IoU}(A, B) \le N_t"


@formula(SHIFTED)
def check_shift():
    for s in (4.0, 8.0, 50.0):
        for d in (0.5, 2.0, 3.5):
            box = torch.tensor([[0.0, 0.0, s, s]], dtype=torch.float64)
            one, two = (
                box_iou(box, box + d * torch.tensor(v, dtype=torch.float64))
                for v in ([1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0])
            )
            assert abs((s - d) / (s + d) - float(one)) < 1e-9
            assert abs((s - d) ** 2 / (2 * s**2 - (s - d) ** 2) - float(two)) < 1e-9
    for s, text in ((8, "0.6"), (32, "0.8824"), (96, "0.9592")):
        stated(text, (s - 2) / (s + 2))


def starts(length, tile, overlap):
    n = math.ceil((length - overlap) / (tile - overlap))
    return [i * (length - tile) // (n - 1) for i in range(n)]


@formula(TILES)
@holds("Cost", "Defaults", "How large should the overlap of tiles be?")
def check_tiles():
    for W, T, o in ((3840, 640, 128), (2160, 640, 128), (1000, 300, 77), (801, 400, 0), (641, 640, 128)):
        n = math.ceil((W - o) / (T - o))
        covered = [count * T - (count - 1) * o for count in (n, n - 1)]
        assert covered[0] >= W > covered[1]  # enough, and one fewer is not
        places = starts(W, T, o)
        assert places[0] == 0 and places[-1] + T == W
        assert all(b - a <= T - o for a, b in zip(places, places[1:]))
        for left in np.random.uniform(0, W - o, 200):
            assert any(p <= left and left + o <= p + T for p in places)
    stated("32", len(starts(3840, 640, 128)) * len(starts(2160, 640, 128)))


def kept(boxes, scores, threshold):
    keep = []
    for i in np.argsort(-np.array(scores)):
        if not keep or box_iou(boxes[i][None], boxes[keep]).max() <= threshold:
            keep.append(int(i))
    return keep


@formula(SURVIVE)
def check_survival():
    for _ in range(60):
        a = torch.cat([torch.zeros(2), 20 + 30 * torch.rand(2)])
        b = a + torch.cat([10 * torch.rand(2)] * 2)
        boxes = torch.stack([a, b])
        for threshold in (0.3, 0.5, 0.7):
            both = len(kept(boxes, [0.9, 0.8], threshold)) == 2
            assert both == (float(box_iou(a[None], b[None])) <= threshold)
    people = torch.tensor([[0.0, 0.0, 40.0, 100.0], [10.0, 0.0, 50.0, 100.0]])
    assert abs(float(box_iou(people, people)[0, 1]) - 0.6) < 1e-6
    assert [len(kept(people, [0.9, 0.8], threshold)) for threshold in (0.3, 0.5, 0.7)] == [1, 1, 2]


@pitfall("Lower NMS threshold in crowds")
@holds("Soft-NMS, DIoU-NMS")
def check_thresholds_in_a_crowd():
    left = 25.0 * torch.arange(8)
    crowd = torch.stack([left, torch.zeros(8), left + 40, torch.full((8,), 100.0)], 1)  # neighbours overlap by 15/65
    scores = np.linspace(0.9, 0.8, 8)
    assert len(kept(crowd, scores, 0.1)) < len(kept(crowd, scores, 0.5)) == 8
    closer = torch.stack([0.4 * left, torch.zeros(8), 0.4 * left + 40, torch.full((8,), 100.0)], 1)  # by 30/50
    assert [len(kept(closer, scores, threshold)) for threshold in (0.3, 0.5, 0.7)] == [3, 4, 8]
    soft, iou, remaining = torch.tensor(scores), box_iou(closer, closer), list(range(8))
    while remaining:
        best = max(remaining, key=lambda i: soft[i])
        remaining.remove(best)
        soft[remaining] *= torch.exp(-(iou[best, remaining] ** 2) / 0.5)
    assert soft.min() > 0.1
    twice = torch.tensor([[0.0, 0.0, 40.0, 100.0], [6.0, 0.0, 46.0, 100.0]])  # one person, found twice
    iou = float(box_iou(twice, twice)[0, 1])
    assert (
        len(kept(twice, [0.9, 0.8], 0.72)) == 1
        and 0.8 * math.exp(-(iou**2) / 0.5) > 0.05
        and iou - 36 / (46**2 + 100**2) < 0.739 < iou
    )
    double = torch.cat([closer, closer + 2.0])
    assert len(kept(double, np.linspace(0.9, 0.8, 16), 0.5)) < 8 < len(kept(double, np.linspace(0.9, 0.8, 16), 0.95))


def pictures(count):
    """Patterns of 4×4 pixels in pictures of 32: rows or columns, equally bright, at a random multiple of 4."""
    x, y = torch.zeros(count, 1, 32, 32), torch.arange(count) % 2
    for i in range(count):
        r, c = 4 * np.random.randint(0, 8, 2)
        if y[i]:
            x[i, 0, r : r + 4 : 2, c : c + 4] = 1
        else:
            x[i, 0, r : r + 4, c : c + 4 : 2] = 1
    return x, y


def accuracy(width, prepare):
    network = nn.Sequential(
        nn.Conv2d(1, width, 3, 1, 1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, 1, 1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 2),
    )
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    (x, y), (new, truth) = pictures(64), pictures(64)
    descend(optimizer, lambda: F.cross_entropy(prepare(network, x), y), 30)
    return float((prepare(network, new).argmax(1) == truth).float().mean())


@pitfall("A bigger model does not find them either")
def check_pixels_after_the_resize():
    def shrunk(network, x):
        return network(F.interpolate(x, scale_factor=0.25, mode="area"))

    def tiled(network, x):
        return torch.stack([network(x[..., r : r + 16, c : c + 16]) for r in (0, 16) for c in (0, 16)]).sum(0)

    assert accuracy(8, shrunk) < 0.7 and accuracy(64, shrunk) < 0.7
    assert accuracy(8, lambda network, x: network(x)) > 0.95 and accuracy(8, tiled) > 0.95


@pitfall("Objects on tile borders are double or halved")
@holds("Tiles (slicing)", "Input of the tiling below")
def check_merging():
    """A detector that finds in each tile what is visible there, along one axis; the second axis is 100 long."""

    def found(left, size, overlap, suppress, drop, T=640, W=1152, cut=0, near=0):
        boxes = []
        for p in starts(W, T, overlap):
            a, b = max(left, p), min(left + size, p + T)
            a, b = a + cut * (a == p > 0), b - cut * (b == p + T < W)  # the detector's box ends a little short
            inner = (p > 0 and a - p <= near) or (p + T < W and p + T - b <= near)
            if a < b and not (drop and inner):
                boxes.append([a, 0.0, b, 100.0])
        boxes = torch.tensor(boxes)
        return boxes[kept(boxes, [0.9, 0.8][: len(boxes)], 0.5)] if suppress else boxes

    whole = lambda boxes, left, size: [box[0] == left and box[2] == left + size for box in boxes.tolist()]
    assert starts(1152, 640, 128) == [0, 512]
    assert whole(found(590, 100, 0, True, False, W=1280), 590, 100) == [False, False]  # halves
    assert whole(found(530, 100, 128, False, True), 530, 100) == [True, True]  # double
    assert whole(found(480, 100, 128, True, False), 480, 100) == [True]
    assert whole(found(440, 100, 128, True, False), 440, 100) == [True, False]  # a sliver that NMS leaves
    for left in range(0, 1152 - 100, 7):
        assert whole(found(left, 100, 128, True, True), left, 100) == [True]
        assert whole(found(left, 100, 128, True, True, cut=2, near=4), left, 100) == [True]
    assert [len(found(440, 100, 128, True, True, cut=2, near=near)) for near in (0, 4)] == [2, 1]
    for more in (5, 8):  # pixels of overlap beyond the object: boxes closer than half of them to a border may go
        size, near = 128 - more, (more - 1) // 2  # closer than half: at most `near` whole pixels
        for left in range(380, 660, 2):
            assert whole(found(left, size, 128, True, True, cut=2, near=near), left, size) == [True]
        assert not all(len(found(left, size, 128, True, True, near=more)) for left in range(500, 530))  # all of them
    assert len(found(500, 300, 128, False, True)) == 0  # longer than the overlap
    for side, boxes in ((8.0, 2), (32.0, 1)):  # two tiles' boxes of one object, 2 pixels off in opposite directions
        pair = torch.tensor([[98.0, 100.0, 98 + side, 100 + side], [102.0, 100.0, 102 + side, 100 + side]])
        assert len(kept(pair, [0.9, 0.8], 0.5)) == boxes
    part, complete = [530.0, 0.0, 620.0, 100.0], [530.0, 0.0, 640.0, 100.0]  # NMS first: the part, if scored higher,
    assert kept(torch.tensor([part, complete]), [0.9, 0.8], 0.5) == [0]  # takes the whole with it, then is dropped
    assert kept(torch.tensor([complete]), [0.8], 0.5) == [0]


@holds("Defaults", "How large should the overlap of tiles be?")
def check_boxes_at_inner_borders():
    def vanishes(left, size, W, T, o):
        places = [p for p in starts(W, T, o) if p < left + size and left < p + T]
        return all((p > 0 and left <= p) or (p + T < W and left + size >= p + T) for p in places)

    for W in (1152, 3840):
        for size in (64, 127):
            assert not any(vanishes(left, size, W, 640, 128) for left in range(W - size + 1))
        assert all(any(vanishes(left, size, W, 640, 128) for left in range(W - size + 1)) for size in (300, 700))
    assert vanishes(512, 128, 1152, 640, 128)


@pitfall("Good loss, AP for small objects near zero")
def check_positives_by_size():
    def level(stride, side):
        y, x = torch.meshgrid(*[stride * (torch.arange(256.0 / stride) + 0.5)] * 2, indexing="ij")
        centre = torch.stack([x, y], -1).view(-1, 2)
        return centre, torch.cat([centre - side / 2, centre + side / 2], 1)

    def inside(box, centre):
        return ((centre > box[0, :2]) & (centre < box[0, 2:])).all(1)

    small, large = torch.tensor([[101.0, 77.0, 117.0, 93.0]]), torch.tensor([[61.0, 57.0, 189.0, 185.0]])
    pyramid = [level(stride, 8 * stride) for stride in (4, 8, 16, 32)]
    assert (box_iou(small, torch.cat([anchors for _, anchors in pyramid])) >= 0.5).sum() == 0
    assert (box_iou(large, torch.cat([anchors for _, anchors in pyramid])) >= 0.5).sum() > 10
    finer = [level(4, 16)] + pyramid
    assert (box_iou(small, torch.cat([anchors for _, anchors in finer])) >= 0.5).sum() >= 3
    centre, overlap = [], []
    for points, anchors in pyramid:
        near = (points - small[0].view(2, 2).mean(0)).norm(dim=1).topk(9, largest=False)[1]
        centre.append(points[near])
        overlap.append(box_iou(small, anchors[near])[0])
    overlap = torch.cat(overlap)
    assert ((overlap >= overlap.mean() + overlap.std()) & inside(small, torch.cat(centre))).sum() >= 4
    assert inside(small, pyramid[0][0]).sum() >= 9

    def positives(side, stride, maps=4, places=60):
        """The fewest positives over random places: own anchors at IoU 0.5, ATSS, centres inside."""
        levels, counts = [level(stride * 2**k, 8 * stride * 2**k) for k in range(maps)], []
        for corner in (40 + 150 * torch.rand(places, 2)).tolist():
            box = torch.tensor([[corner[0], corner[1], corner[0] + side, corner[1] + side]])
            near = [(c - box.view(2, 2).mean(0)).norm(dim=1).topk(9, largest=False)[1] for c, _ in levels]
            centre = torch.cat([c[n] for (c, _), n in zip(levels, near)])
            iou = torch.cat([box_iou(box, a[n])[0] for (_, a), n in zip(levels, near)])
            own = box_iou(box, level(stride, side)[1]) >= 0.5
            atss = (iou >= iou.mean() + iou.std()) & inside(box, centre)
            counts.append([own.sum(), atss.sum(), inside(box, levels[0][0]).sum()])
        return torch.tensor(counts).min(0).values.tolist()

    assert positives(6.0, 4)[0] == 0 and min(positives(6.0, 4)[1:]) >= 1 and min(positives(11.0, 4)) >= 1
    assert positives(24.0, 4, 4, 10)[1] >= 1 and positives(24.0, 4, 1, 10)[1] == 0  # ATSS: not P2 alone
    assert positives(6.0, 8) == [0, 0, 0]  # a map of stride 8 is too coarse for them
    assert [9**2 / (2 * 11**2 - 9**2) > 0.5, 8**2 / (2 * 10**2 - 8**2) > 0.5] == [True, False]  # at worst 2 aside


@pitfall('"Small" means different things')
def check_size_at_the_input():
    transform = retinanet_resnet50_fpn(weights=None, weights_backbone=None).transform
    box = torch.tensor([[10.0, 10.0, 30.0, 30.0]])
    _, target = transform([torch.zeros(3, 400, 500)], [{"boxes": box, "labels": torch.tensor([1])}])
    sides = target[0]["boxes"][0, 2:] - target[0]["boxes"][0, :2]
    assert 20**2 < 32**2 < float(sides.prod()) == 40**2 < 96**2


@check
def check_positives_need_smaller_anchors():
    y, x = torch.meshgrid(torch.arange(64.0) * 4, torch.arange(64.0) * 4, indexing="ij")
    centres, small = torch.stack([x, y, x, y], -1).view(-1, 4), torch.tensor([[101.0, 77.0, 117.0, 93.0]])
    best = [float(box_iou(small, centres + side / 2 * torch.tensor([-1.0, -1.0, 1.0, 1.0])).max()) for side in (32, 16)]
    assert best[0] < 0.3 and best[1] > 0.7  # torchvision's finest FPN map, stride 4, has anchors of 32


@holds("Why are coarse maps hard for small objects?", "Larger input", "FPN with P2")
def check_cells():
    assert (16 / 32) ** 2 == 0.25 and 32**2 == 1024
    assert 36 // 32 == 56 // 32 and 50 // 32 != 70 // 32  # 20 pixels apart: one cell, or two
    fine, coarse = (nn.MaxPool2d(stride)(torch.zeros(1, 1, 256, 256)).numel() for stride in (4, 8))
    twice = nn.MaxPool2d(8)(torch.zeros(1, 1, 512, 512)).numel()
    assert fine == twice == 4 * coarse


@holds("Is upscaling a blurred image useful?")
def check_upscaling():
    picture = F.avg_pool2d(torch.rand(1, 1, 32, 32), 3, 1, 1)
    larger = F.interpolate(picture, scale_factor=2, mode="nearest")
    assert torch.equal(larger[..., ::2, ::2], picture)  # nothing in it that was not in the small one
    anchor, small = torch.tensor([[0.0, 0.0, 32.0, 32.0]]), torch.tensor([[8.0, 8.0, 24.0, 24.0]])
    assert box_iou(anchor, small) == 0.25 and box_iou(anchor, 2 * small - 16) == 1
    transform = retinanet_resnet50_fpn(weights=None, weights_backbone=None).transform  # resizes to 800 again
    shapes = [transform([torch.zeros(3, *size)])[0].tensors.shape for size in ((400, 500), (800, 1000))]
    assert shapes[0] == shapes[1]
