import math

import numpy as np
import torch
from torchvision.models.detection import (
    SSD300_VGG16_Weights,
    SSDLite320_MobileNet_V3_Large_Weights,
    fasterrcnn_resnet50_fpn,
    retinanet_resnet50_fpn,
    ssd300_vgg16,
    ssdlite320_mobilenet_v3_large,
)
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSDClassificationHead
from torchvision.ops import box_convert, box_iou
from torchvision.ops import boxes as box_operators
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, Image

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

sourced(
    "YOLO, arXiv 1506.02640, section 2; YOLO9000, arXiv 1612.08242, section 2; YOLOv3, arXiv 1804.02767, section 2",
    "YOLO v1–v3",
)
sourced("Focal loss, arXiv 1708.02002, sections 3 and 4", "RetinaNet")
sourced("Faster R-CNN, arXiv 1506.01497, section 3; Fast R-CNN, arXiv 1504.08083, section 2.3", "Faster R-CNN")
sourced("FCOS, arXiv 1904.01355, section 3", "FCOS")
sourced("YOLO, arXiv 1506.02640, section 2; SSD, arXiv 1512.02325, section 2", "How does SSD differ from YOLO v1?")
sourced(
    "SSD, arXiv 1512.02325, section 3.1: conv4_3 has a different feature scale", "What is the scaling of conv4_3 for?"
)

BOXES = r"""
c = \left( \frac{j + \frac12}{f},\; \frac{i + \frac12}{f} \right), \qquad
(w, h) \in \left\{ (s_k, s_k),\; \left(\sqrt{s_k s_{k+1}}, \sqrt{s_k s_{k+1}}\right),\; \left( s_k \sqrt{a}, \frac{s_k}{\sqrt{a}} \right),\; \left( \frac{s_k}{\sqrt{a}}, s_k \sqrt{a} \right) \right\}
"""
LOSS = r"""
L = \frac{1}{\max(1, |P|)} \left( \sum_{i \in P \cup H} -\ln p_i(c_i) + \sum_{i \in P} \sum_{m=1}^{4} \mathrm{SmoothL1}(t_{im} - t_{im}^*) \right)
"""


def model(classes=3):
    return ssd300_vgg16(weights=None, weights_backbone=None, num_classes=classes)


@formula(BOXES)
def check_default_boxes():
    ratios, scales, sizes = [[2], [2, 3]], [0.2, 0.4, 0.7], (5, 3)
    generator = DefaultBoxGenerator(ratios, scales=scales, clip=False)
    library = generator(ImageList(torch.zeros(1, 3, 60, 60), [(60, 60)]), [torch.zeros(1, 1, f, f) for f in sizes])[0]
    ours = []
    for k, f in enumerate(sizes):
        s, root = scales[k], math.sqrt(scales[k] * scales[k + 1])
        shapes = [(s, s), (root, root)]
        for a in ratios[k]:
            shapes += [(s * math.sqrt(a), s / math.sqrt(a)), (s / math.sqrt(a), s * math.sqrt(a))]
        for i in range(f):
            for j in range(f):
                ours += [[60 * (j + 0.5) / f, 60 * (i + 0.5) / f, 60 * w, 60 * h] for w, h in shapes]
    np.testing.assert_allclose(np.array(ours), box_convert(library, "xyxy", "cxcywh").numpy(), rtol=1e-4, atol=1e-3)


@formula(LOSS)
@holds("SSD")
def check_loss():
    ssd = model()
    n, classes = 120, 3
    corner, size = torch.rand(n, 2) * 200, 20 + torch.rand(n, 2) * 60
    anchors = torch.cat([corner, corner + size], 1)
    for objects in (1, 4):
        truth = anchors[:objects] + 3
        labels = torch.randint(1, classes, (objects,))
        matched = torch.full((n,), -1)
        matched[: 2 * objects] = torch.arange(objects).repeat(2)
        out = {"bbox_regression": torch.randn(1, n, 4), "cls_logits": torch.randn(1, n, classes)}
        library = ssd.compute_loss([{"boxes": truth, "labels": labels}], out, [anchors], [matched])
        logits = out["cls_logits"][0].double().numpy()
        logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        P = [i for i in range(n) if matched[i] >= 0]
        negatives = sorted((i for i in range(n) if matched[i] < 0), key=lambda i: logp[i, 0])[: 3 * len(P)]
        score = -sum(logp[i, labels[matched[i]]] for i in P) - sum(logp[i, 0] for i in negatives)
        a, g = box_convert(anchors, "xyxy", "cxcywh").double(), box_convert(truth, "xyxy", "cxcywh").double()
        box = 0.0
        for i in P:
            target = torch.cat(
                [10 * (g[matched[i], :2] - a[i, :2]) / a[i, 2:], 5 * torch.log(g[matched[i], 2:] / a[i, 2:])]
            )
            d = (out["bbox_regression"][0, i].double() - target).abs()
            box += float(torch.where(d < 1, 0.5 * d**2, d - 0.5).sum())
        assert abs(score / len(P) - float(library["classification"])) < 1e-4
        assert abs(box / len(P) - float(library["bbox_regression"])) < 1e-3


@holds("Input", "Parameters", "Defaults", "Cost", "What is the scaling of conv4_3 for?")
def check_settings():
    ssd = model(91)
    stated("35,641,826", sum(p.numel() for p in ssd.parameters()))
    stated(
        "3,440,060",
        sum(p.numel() for p in ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).parameters()),
    )
    stated("34.9", SSD300_VGG16_Weights.COCO_V1.meta["_ops"])
    stated("0.58", SSDLite320_MobileNet_V3_Large_Weights.COCO_V1.meta["_ops"])
    assert (ssd.score_thresh, ssd.nms_thresh, ssd.topk_candidates, ssd.detections_per_img) == (0.01, 0.45, 400, 200)
    lite = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    assert (lite.score_thresh, lite.nms_thresh, lite.topk_candidates, lite.detections_per_img) == (
        0.001,
        0.55,
        300,
        300,
    )
    assert lite.transform.fixed_size == (320, 320)
    stated("0.2", lite.anchor_generator.scales[0])
    stated("0.95", lite.anchor_generator.scales[-2])
    assert (
        ssd.neg_to_pos_ratio == 3
        and ssd.box_coder.weights == (10.0, 10.0, 5.0, 5.0)
        and ssd.transform.fixed_size == (300, 300)
    )
    generator = ssd.anchor_generator
    assert generator.scales == [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05] and generator.clip
    assert generator.steps == [8, 16, 32, 64, 100, 300] and generator.aspect_ratios == [
        [2],
        [2, 3],
        [2, 3],
        [2, 3],
        [2],
        [2],
    ]
    assert (ssd.backbone.scale_weight == 20).all()
    resized, _ = ssd.transform([torch.rand(3, 100, 400)])
    assert resized.tensors.shape[-2:] == (300, 300)


@holds("Output", "Same in train and eval?")
def check_modes():
    box_operators.nms = nms
    lite = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    images = [torch.rand(3, 90, 60), torch.rand(3, 64, 64)]
    targets = [{"boxes": torch.tensor([[5.0, 5.0, 50.0, 40.0]]), "labels": torch.tensor([1])} for _ in images]
    with torch.no_grad():
        losses = lite.train()(images, targets)
        found = lite.eval()(images)
    assert set(losses) == {"bbox_regression", "classification"} and len(found) == 2
    for one in found:
        n = len(one["boxes"])
        assert (
            one["boxes"].shape == (n, 4)
            and one["labels"].shape == one["scores"].shape == (n,)
            and one["labels"].dtype == torch.int64
        )


@holds("Why an extra square of scale $\\sqrt{s_k s_{k+1}}$?")
def check_extra_square():
    side = 300 * math.sqrt(0.07 * 0.15)
    square = lambda length: torch.tensor([[0.0, 0.0, length, length]]) - length / 2
    for other in (21.0, 45.0):
        stated("0.467", float(box_iou(square(side), square(other))))
        moved = torch.cat([square(other) + shift for shift in torch.randn(50, 2).repeat(1, 2) * 9])
        assert box_iou(square(side), moved).max() < 0.467
    assert box_iou(square(side), square(side)) == 1


@holds("Why are hard negatives chosen per step?")
def check_changing_negatives():
    losses = torch.rand(2, 500)  # of the same background boxes, under two states of the model
    first, second = (set(loss.topk(30).indices.tolist()) for loss in losses)
    ssd, chosen = model(), []
    anchors = torch.tensor([[0.0, 0.0, 9.0, 9.0]]).expand(200, 4)
    for _ in range(2):
        logits = torch.randn(1, 200, 3, requires_grad=True)
        out = {"bbox_regression": torch.zeros(1, 200, 4), "cls_logits": logits}
        matched = torch.full((200,), -1)
        matched[0] = 0
        target = [{"boxes": anchors[:1], "labels": torch.tensor([1])}]
        ssd.compute_loss(target, out, [anchors], [matched])["classification"].backward()
        chosen.append(set(logits.grad[0, 1:].abs().sum(1).nonzero().flatten().tolist()))
    assert first != second and len(chosen[0]) == len(chosen[1]) == 3 and chosen[0] != chosen[1]


@check
def check_by_hand():
    maps = [38, 19, 10, 5, 3, 1]
    per_cell = model().anchor_generator.num_anchors_per_location()
    stated("8,732", sum(f * f * k for f, k in zip(maps, per_cell)))
    stated("30.74", 300 * math.sqrt(0.07 * 0.15))
    stated("29.70", 21 * math.sqrt(2))
    stated("14.85", 21 / math.sqrt(2))
    boxes = model().anchor_generator(
        ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]), [torch.zeros(1, 1, f, f) for f in maps]
    )[0]
    stated("−6.5", boxes[0, 0])
    sizes = box_convert(boxes[:4], "xyxy", "cxcywh")[:, 2].tolist()
    assert all(abs(a - b) < 0.01 for a, b in zip(sizes, (21, 30.74, 29.70, 14.85)))
    assert 0.65 < 5776 / len(boxes) < 0.67


@pitfall('Fine-tuning fails: shape mismatch, or "expected value 91 but got 3"')
def check_wrong_number_of_classes():
    raises(
        ValueError,
        lambda: ssd300_vgg16(weights=SSD300_VGG16_Weights.COCO_V1, num_classes=3),
        "expected value 91 but got 3",
    )
    tuned = model(91)
    with torch.device("meta"):
        other = model(3)
    raises(RuntimeError, lambda: other.load_state_dict(tuned.state_dict()), "size mismatch", "classification_head")
    channels, per_cell = (512, 1024, 512, 256, 256, 256), tuned.anchor_generator.num_anchors_per_location()
    tuned.head.classification_head = SSDClassificationHead(list(channels), per_cell, 3)
    maps = [torch.randn(1, c, f, f) for c, f in zip(channels, (38, 19, 10, 5, 3, 1))]
    boxes = tuned.anchor_generator(ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]), maps)
    out = tuned.head(maps)
    assert out["cls_logits"].shape == (1, 8732, 3)
    target = [{"boxes": torch.tensor([[10.0, 10.0, 90.0, 90.0]]), "labels": torch.tensor([2])}]
    matched = [tuned.proposal_matcher(box_iou(target[0]["boxes"], boxes[0]))]
    assert all(part.isfinite() for part in tuned.compute_loss(target, out, boxes, matched).values())


def nms(boxes, scores, threshold):
    left, kept = scores.argsort(descending=True), []
    while len(left):
        kept.append(int(left[0]))
        left = left[1:][box_iou(boxes[left[:1]], boxes[left[1:]])[0] <= threshold]
    return torch.tensor(kept, dtype=torch.int64)


@pitfall("Up to 200 boxes per image, most of them weak")
def check_weak_boxes():
    box_operators.nms = nms  # this process only: the operator is not compiled here
    ssd = model()
    boxes = ssd.anchor_generator(
        ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]), [torch.zeros(1, 1, f, f) for f in (38, 19, 10, 5, 3, 1)]
    )
    logits = torch.cat([torch.full((1, 8732, 1), 4.0), 0.5 * torch.randn(1, 8732, 2)], 2)
    logits[0, 1000, 1] = 9.0
    out = {"bbox_regression": torch.zeros(1, 8732, 4), "cls_logits": logits}
    found = ssd.postprocess_detections(out, boxes, [(300, 300)])[0]
    assert len(found["scores"]) == 200 and (found["scores"] > 0.5).sum() == 1 and found["scores"][1:].max() < 0.2


@pitfall("Small objects are missed")
def check_small_objects():
    """The size that is left of an object, and its best default box; no detector is trained here."""
    photo, target = (
        torch.zeros(3, 1200, 1200),
        {"boxes": torch.tensor([[600.0, 600.0, 620.0, 620.0]]), "labels": torch.tensor([1])},
    )
    ssd = model()
    with torch.device("meta"):
        fpn = retinanet_resnet50_fpn(weights=None, weights_backbone=None)

    def side(network, image, box):
        return network.transform([image], [{"boxes": box, "labels": torch.tensor([1])}])[1][0]["boxes"]

    boxes = ssd.anchor_generator(
        ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]), [torch.zeros(1, 1, f, f) for f in (38, 19, 10, 5, 3, 1)]
    )[0]
    whole = side(ssd, photo, target["boxes"])
    stated("5", whole[0, 2] - whole[0, 0])
    tile = side(ssd, photo[:, 450:750, 450:750], target["boxes"] - 450)
    assert box_iou(whole, boxes).max() < 0.1 and box_iou(tile, boxes).max() > 0.4
    larger = side(fpn, photo, target["boxes"])
    stated("13", larger[0, 2] - larger[0, 0])
    stated("8.5", 20 * 512 / 1200)
    assert fpn.anchor_generator.sizes[0][0] == 32


@pitfall("Wide images give squeezed objects")
def check_squeezed_objects():
    image, box = torch.rand(3, 100, 400), torch.tensor([[100.0, 40.0, 120.0, 60.0]])

    def shape(network, image, box):
        x1, y1, x2, y2 = network.transform([image], [{"boxes": box, "labels": torch.tensor([1])}])[1][0]["boxes"][
            0
        ].tolist()
        return (x2 - x1) / (y2 - y1)

    with torch.device("meta"):
        ssd, faster = model(), fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    assert abs(shape(ssd, image, box) - 0.25) < 1e-4 and abs(shape(faster, image, box) - 1) < 0.01
    padded, moved = v2.Pad([0, 150])(Image(image), BoundingBoxes(box, format="XYXY", canvas_size=(100, 400)))
    assert (
        padded.shape[-2:] == (400, 400)
        and abs(shape(ssd, padded.as_subclass(torch.Tensor), moved.as_subclass(torch.Tensor)) - 1) < 1e-4
    )
    for size, pad in (((100, 400), [0, 0, 0, 300]), ((400, 100), [0, 0, 300, 0])):
        other = BoundingBoxes([[30.0, 40.0, 50.0, 60.0]], format="XYXY", canvas_size=size)
        padded, same = v2.Pad(pad)(Image(torch.rand(3, *size)), other)
        assert padded.shape[-2:] == (400, 400) and torch.equal(same, other)
        assert abs(shape(ssd, padded.as_subclass(torch.Tensor), same.as_subclass(torch.Tensor)) - 1) < 1e-4
