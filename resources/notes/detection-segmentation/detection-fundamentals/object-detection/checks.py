import tempfile
from pathlib import Path

import torch
import torchvision
from PIL import Image as Picture
from torchvision.datasets import CocoDetection, VOCDetection, wrap_dataset_for_transforms_v2
from torchvision.models.detection import (
    FasterRCNN_ResNet50_FPN_Weights,
    RetinaNet_ResNet50_FPN_Weights,
    retinanet_resnet50_fpn,
)
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import box_convert, box_iou
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, Image
from torchvision.utils import draw_bounding_boxes

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

by_definition("Detection, localisation, segmentation: what differs?", "Why no plain accuracy?", "One stage or two?")
sourced("COCO, cocodataset.org/#format-data and #detection-eval", "`xywh` (COCO)", "Measure")
sourced("Pascal VOC development kit, annotation format (xmin, ymin, xmax, ymax)", "Corners `xyxy` (VOC, torchvision)")
sourced(
    "Ultralytics documentation, detection data sets: class x_center y_center width height, normalised", "YOLO text file"
)
sourced("Faster R-CNN, arXiv 1506.01497; Cascade R-CNN, arXiv 1712.00726, section 4", "Faster R-CNN, Cascade")
sourced(
    "SSD, arXiv 1512.02325; YOLO, arXiv 1506.02640; YOLOX, arXiv 2107.08430; YOLOv10, arXiv 2405.14458; EfficientDet, arXiv 1911.09070",
    "SSD, YOLO, EfficientDet",
)
sourced("FCOS, arXiv 1904.01355; Objects as Points, arXiv 1904.07850, section 3", "FCOS, CenterNet")
sourced("DETR, arXiv 2005.12872, abstract", "DETR and variants")
sourced("Mask R-CNN, arXiv 1703.06870, section 3", "Mask R-CNN")

CENTRE = r"""
c_x = \frac{x_1 + x_2}{2}, \qquad c_y = \frac{y_1 + y_2}{2}, \qquad w = x_2 - x_1, \qquad h = y_2 - y_1
"""
LETTERBOX = r"""
r = \min\left( \frac{S}{W}, \frac{S}{H} \right), \qquad
x' = r\, x + \frac{S - r W}{2}, \qquad y' = r\, y + \frac{S - r H}{2}
"""


def random_boxes(n, W, H):
    a, b = torch.rand(n, 2, dtype=torch.float64), torch.rand(n, 2, dtype=torch.float64)
    return torch.cat([torch.minimum(a, b), torch.maximum(a, b)], 1) * torch.tensor([W, H, W, H])


@formula(CENTRE)
def check_centre():
    for n in (1, 50):
        boxes = random_boxes(n, 300, 200)
        ours = [[(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1] for x1, y1, x2, y2 in boxes.tolist()]
        assert torch.allclose(torch.tensor(ours, dtype=torch.float64), box_convert(boxes, "xyxy", "cxcywh"))


@formula(LETTERBOX)
def check_letterbox():
    for W, H, S in ((1280, 720, 640), (300, 600, 400), (500, 500, 250), (200, 100, 800)):
        r = min(S / W, S / H)
        px, py = (S - r * W) / 2, (S - r * H) / 2
        boxes = random_boxes(20, W, H)
        ours = torch.stack([boxes[:, 0] * r + px, boxes[:, 1] * r + py, boxes[:, 2] * r + px, boxes[:, 3] * r + py], 1)
        wrapped = BoundingBoxes(boxes, format="XYXY", canvas_size=(H, W))
        image = Image(torch.zeros(3, H, W))
        resized = v2.Compose([v2.Resize((int(r * H), int(r * W))), v2.Pad([int(px), int(py)])])(image, wrapped)
        assert resized[0].shape[-2:] == (S, S) and torch.allclose(ours, resized[1].as_subclass(torch.Tensor), atol=1e-3)
        back = (resized[1].as_subclass(torch.Tensor)[:, 0] - px) / r
        assert torch.allclose(back, boxes[:, 0], atol=1e-3)


@holds("Why letterbox and not stretch?")
def check_stretching():
    square = torch.tensor([[100.0, 100.0, 200.0, 200.0]])
    stretched, boxed = [], []
    for W, H in ((1280, 720), (720, 1280)):
        wrapped = BoundingBoxes(square, format="XYXY", canvas_size=(H, W))
        stretched.append(v2.functional.resize(wrapped, [640, 640])[0].tolist())
        r = min(640 / W, 640 / H)
        boxed.append(v2.functional.resize(wrapped, [round(r * H), round(r * W)])[0].tolist())
    ratios = [[(x2 - x1) / (y2 - y1) for x1, y1, x2, y2 in group] for group in (stretched, boxed)]
    assert ratios[0][0] < 0.6 and ratios[0][1] > 1.7 and ratios[1] == [1, 1]
    assert 640 * 360 < 640 * 640  # the padded part is computed for nothing


@check
def check_odd_padding():
    assert round(0.64 * 667) == 427 and (640 - 427) % 2 == 1  # 1000×667 in 640: 106 above, 107 below
    box = BoundingBoxes([[0.0, 0.0, 1000.0, 667.0]], format="XYXY", canvas_size=(667, 1000))
    padded = v2.functional.pad(v2.functional.resize(box, [427, 640]), [0, 106, 0, 107])
    assert padded.canvas_size == (640, 640) and padded.tolist() == [[0, 106, 640, 533]]


@holds("Corners `xyxy` (VOC, torchvision)", "`xywh` (COCO)", "YOLO text file")
def check_by_hand():
    box = torch.tensor([[100.0, 200.0, 300.0, 400.0]])
    assert box_convert(box, "xyxy", "xywh").tolist() == [[100, 200, 200, 200]]
    yolo = (box_convert(box, "xyxy", "cxcywh") / torch.tensor([1280, 720, 1280, 720]))[0].double()
    for text, value in zip(("0.15625", "0.41667", "0.15625", "0.27778"), yolo.tolist()):
        stated(text, value)
    wrapped = BoundingBoxes(box, format="XYXY", canvas_size=(720, 1280))
    small = v2.functional.pad(v2.functional.resize(wrapped, [360, 640]), [0, 140])
    assert small.tolist() == [[50, 240, 150, 340]] and small.canvas_size == (640, 640)
    assert v2.functional.horizontal_flip(wrapped).tolist() == [[980, 200, 1180, 400]]
    stated("140", (640 - 360) / 2)


def within(image, box):
    """Mean brightness inside a box."""
    x1, y1, x2, y2 = (int(value) for value in box)
    return float(image[..., y1:y2, x1:x2].float().mean())


@pitfall("Augmentation makes the detector worse")
def check_augmentation():
    image, box = Image(torch.zeros(3, 40, 50)), torch.tensor([[4.0, 2.0, 12.0, 8.0]])
    image[:, 2:8, 4:12] = 1
    wrapped = BoundingBoxes(box, format="XYXY", canvas_size=(40, 50))
    for transform in (v2.RandomHorizontalFlip(1.0), v2.Resize((80, 100)), v2.CenterCrop((40, 44))):
        moved, target = transform(image, {"boxes": box})
        assert torch.equal(target["boxes"], box) and within(moved, box[0]) < 0.7
        moved, target = transform(image, {"boxes": wrapped})
        assert within(moved, target["boxes"][0]) > 0.9
    wrong = BoundingBoxes(box, format="XYXY", canvas_size=(50, 40))
    assert (
        within(
            *(lambda moved, target: (moved, target["boxes"][0]))(*v2.RandomHorizontalFlip(1.0)(image, {"boxes": wrong}))
        )
        < 0.1
    )


@pitfall("Augmentation makes the detector worse")
def check_argument_of_a_data_set():
    flip = v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(1.0)])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "VOCdevkit", "VOC2012")
        for part in ("ImageSets/Main", "JPEGImages", "Annotations"):
            (root / part).mkdir(parents=True)
        (root / "ImageSets/Main/train.txt").write_text("a\n")
        picture = Picture.new("RGB", (64, 48))
        picture.paste((255, 255, 255), (8, 8, 24, 24))
        picture.save(root / "JPEGImages/a.jpg", quality=95)
        sides = "<xmin>8</xmin><ymin>8</ymin><xmax>24</xmax><ymax>24</ymax>"
        size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
        (root / "Annotations/a.xml").write_text(
            f"<annotation>{size}<object><name>dog</name><bndbox>{sides}</bndbox></object></annotation>"
        )
        for argument, found in (("transform", False), ("transforms", True)):
            data = wrap_dataset_for_transforms_v2(VOCDetection(folder, image_set="train", **{argument: flip}))
            image, target = data[0]
            assert (within(image, target["boxes"][0]) > 200) == found

    class Tiny(CocoDetection):
        def __init__(self, ids):
            self.ids, self.transforms, self.transform, self.target_transform = ids, None, None, None

        def _load_image(self, number):
            return Picture.new("RGB", (64, 48))

        def _load_target(self, number):
            return [{"bbox": [8, 8, 16, 16], "category_id": 3, "image_id": number, "id": 1}][: number % 2]

    assert list(wrap_dataset_for_transforms_v2(Tiny([2]))[0][1]) == ["image_id"]
    kept = wrap_dataset_for_transforms_v2(Tiny([i for i in range(4) if Tiny([i])[0][1]]))
    assert [kept[i][1]["boxes"].tolist() for i in range(len(kept))] == 2 * [[[8, 8, 24, 24]]]


@pitfall("Errors after cropping")
def check_cropping():
    image, box = Image(torch.zeros(3, 40, 50)), torch.tensor([[1.0, 2.0, 9.0, 8.0]])
    wrapped = BoundingBoxes(box, format="XYXY", canvas_size=(40, 50))
    cut = v2.functional.crop(wrapped, 0, 20, 10, 10)
    assert len(cut) == 1 and float((cut[0, 2] - cut[0, 0])) == 0
    small = v2.functional.crop(image, 0, 20, 10, 10)
    target = {"boxes": cut, "labels": torch.tensor([3])}
    model = retinanet_resnet50_fpn(weights=None, weights_backbone=None, min_size=64, max_size=64).train()
    raises(AssertionError, lambda: model([small], [target]), "positive height and width")
    clean = v2.SanitizeBoundingBoxes()(small, target)[1]
    assert len(clean["boxes"]) == len(clean["labels"]) == 0
    with torch.no_grad():
        assert all(loss.isfinite() for loss in model([small], [clean]).values())
    more = v2.SanitizeBoundingBoxes()(
        image, {"boxes": cut, "labels": torch.tensor([3]), "area": torch.ones(1), "iscrowd": torch.zeros(1)}
    )[1]
    assert len(more["labels"]) == 0 and len(more["area"]) == len(more["iscrowd"]) == 1
    crop, clean, bare = v2.RandomCrop(10), v2.SanitizeBoundingBoxes(), v2.ToPureTensor()
    corner = {"boxes": wrapped, "labels": torch.tensor([3])}
    for _ in range(20):
        left = v2.Compose([crop, v2.Resize(20), clean, bare])(image, dict(corner))[1]
        assert len(left["boxes"]) == len(left["labels"]) and (left["boxes"][:, 2:] > left["boxes"][:, :2]).all()
    raises(ValueError, lambda: v2.Compose([crop, bare, clean])(image, dict(corner)), "No bounding boxes")


@pitfall("Off by one against old tools")
def check_inclusive_pixels():
    def inclusive(a, b):
        sides = lambda box: (box[2:] - box[:2] + 1).clamp(min=0)
        common = sides(torch.cat([torch.maximum(a[:2], b[:2]), torch.minimum(a[2:], b[2:])])).prod()
        return float(common / (sides(a).prod() + sides(b).prod() - common))

    voc = torch.tensor([[11.0, 21.0, 20.0, 24.0], [13.0, 21.0, 22.0, 25.0]])
    coco = torch.cat([voc[:, :2] - 1, voc[:, 2:] - voc[:, :2] + 1], 1)
    mask = torch.zeros(40, 40)
    mask[20:24, 10:20] = 1  # pixels 11 to 20 and 21 to 24, counted from 1
    x, y, w, h = (int(value) for value in coco[0])
    assert mask[y : y + h, x : x + w].sum() == mask.sum() == w * h
    corners = box_convert(coco, "xywh", "xyxy")
    old = inclusive(voc[0], voc[1])
    assert abs(float(box_iou(corners, corners)[0, 1]) - old) < 1e-6 and abs(float(box_iou(voc, voc)[0, 1]) - old) > 0.02


@check
def check_classes_of_the_weights():
    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    stated("91", len(names))
    stated("10", names.count("N/A"))
    stated("80", len([n for n in names if n not in ("N/A", "__background__")]))
    stated("90", names.index("toothbrush"))


@holds("One stage or two?")
def check_accuracy_of_the_stages():
    def ap(name):
        (weights,) = torchvision.models.get_model_weights(name)
        return weights.meta["_metrics"]["COCO-val2017"]["box_map"]

    stated("39.2", ap("fcos_resnet50_fpn"))
    stated("37.0", ap("fasterrcnn_resnet50_fpn"))
    stated("46.7", ap("fasterrcnn_resnet50_fpn_v2"))


@check
def check_figure_numbers():
    metas = [
        weights.meta
        for name in torchvision.models.list_models(module=torchvision.models.detection)
        if not name.startswith("keypoint")
        for weights in torchvision.models.get_model_weights(name)
    ]
    aps = [m["_metrics"]["COCO-val2017"]["box_map"] for m in metas]
    operations = [m["_ops"] for m in metas]
    stated("21", min(aps))
    stated("47", max(aps))
    assert 300 < max(operations) / min(operations) < 900


@pitfall("Boxes with negative width, or reaching out of the image")
def check_confused_formats():
    corners = random_boxes(1000, 640, 480)
    coco = box_convert(corners, "xyxy", "xywh")
    assert (coco[:, 2] < coco[:, 0]).any() and (coco[:, 2:] <= torch.tensor([640, 480])).all()
    assert (box_convert(corners, "xywh", "xyxy")[:, 2] > 640).any()
    assert torch.allclose(box_convert(coco, "xywh", "xyxy"), corners)
    image = torch.zeros(3, 480, 640, dtype=torch.uint8)
    raises(ValueError, lambda: draw_bounding_boxes(image, coco[coco[:, 2] < coco[:, 0]]))
    assert draw_bounding_boxes(image, corners[:5]).any()


@pitfall('"Target … is out of bounds", or 91 classes for 80')
def check_targets():
    def loss(box, label, **options):
        model = retinanet_resnet50_fpn(weights=None, weights_backbone=None, min_size=64, max_size=64, **options).train()
        with torch.no_grad():
            return model([torch.rand(3, 64, 64)], [{"boxes": torch.tensor([box]), "labels": torch.tensor([label])}])

    def predicted(label, num_classes):
        return fastrcnn_loss(
            torch.randn(2, num_classes),
            torch.randn(2, num_classes * 4),
            [torch.tensor([0, label])],
            [torch.randn(2, 4)],
        )

    for wrong, error, text in (
        (lambda: predicted(90, 81), IndexError, "Target 90 is out of bounds"),
        (lambda: predicted(80, 80), IndexError, "Target 80 is out of bounds"),
        (lambda: loss([5.0, 5.0, 30.0, 40.0], 90, num_classes=81), IndexError, "index 90 is out of bounds"),
        (lambda: loss([5.0, 5.0, 5.0, 40.0], 1), AssertionError, "positive height and width"),
    ):
        raises(error, lambda: wrong(), text)
    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    ids = [number for number, name in enumerate(names) if name not in ("N/A", "__background__")]
    number_of = {one: place for place, one in enumerate(ids, 1)}
    assert len(names) == 91 and max(ids) == 90 and len(ids) == 80 and set(number_of.values()) == set(range(1, 81))
    for one in ids:
        assert all(part.isfinite() for part in predicted(number_of[one], len(ids) + 1))
    loss([5.0, 5.0, 30.0, 40.0], 3, num_classes=4)
    weights = RetinaNet_ResNet50_FPN_Weights.COCO_V1
    raises(ValueError, lambda: retinanet_resnet50_fpn(weights=weights, num_classes=4), "expected value 91")


@holds("Input", "Output", "Same in train and eval?")
def check_modes():
    # RetinaNet needs no compiled NMS in training, nor in evaluation when no score passes the threshold.
    model = retinanet_resnet50_fpn(weights=None, weights_backbone=None, min_size=64, max_size=64, score_thresh=1.1)
    images = [torch.rand(3, 64, 48), torch.rand(3, 40, 60)]
    targets = [{"boxes": torch.tensor([[5.0, 5.0, 30.0, 40.0]]), "labels": torch.tensor([1])} for _ in images]
    with torch.no_grad():
        losses = model.train()(images, targets)
        found = model.eval()(images)
    assert set(losses) == {"classification", "bbox_regression"} and all(value.ndim == 0 for value in losses.values())
    assert [f["boxes"].shape for f in found] == [(0, 4)] * 2 and [f["scores"].shape for f in found] == [(0,)] * 2
    assert all(f["labels"].dtype == torch.int64 for f in found)
