import torch
import torchvision
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, retinanet_resnet50_fpn
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import box_convert
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, Image

from note_checks import check, formula, raises, stated

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


@check
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


@check
def check_pitfalls():
    image, box = Image(torch.zeros(3, 40, 50)), torch.tensor([[1.0, 2.0, 9.0, 8.0]])
    assert torch.equal(v2.RandomHorizontalFlip(1.0)(image, {"boxes": box})[1]["boxes"], box)
    wrapped = BoundingBoxes(box, format="XYXY", canvas_size=(40, 50))
    assert not torch.equal(v2.RandomHorizontalFlip(1.0)(image, {"boxes": wrapped})[1]["boxes"], wrapped)
    cut = v2.functional.crop(wrapped, 0, 20, 10, 10)
    assert len(cut) == 1 and float((cut[0, 2] - cut[0, 0])) == 0
    clean = v2.SanitizeBoundingBoxes()(image, {"boxes": cut, "labels": torch.tensor([3])})[1]
    assert len(clean["boxes"]) == len(clean["labels"]) == 0
    more = v2.SanitizeBoundingBoxes()(image, {"boxes": cut, "labels": torch.tensor([3]), "area": torch.ones(1), "iscrowd": torch.zeros(1)})[1]
    assert len(more["labels"]) == 0 and len(more["area"]) == len(more["iscrowd"]) == 1
    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    stated("91", len(names))
    stated("10", names.count("N/A"))
    stated("80", len([n for n in names if n not in ("N/A", "__background__")]))
    stated("90", names.index("toothbrush"))


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


@check
def check_confused_formats():
    corners = random_boxes(1000, 640, 480)
    coco = box_convert(corners, "xyxy", "xywh")
    assert (coco[:, 2] < coco[:, 0]).any() and (coco[:, 2:] <= torch.tensor([640, 480])).all()
    assert (box_convert(corners, "xywh", "xyxy")[:, 2] > 640).any()


@check
def check_targets():
    def loss(box, label, **options):
        model = retinanet_resnet50_fpn(weights=None, weights_backbone=None, min_size=64, max_size=64, **options).train()
        with torch.no_grad():
            return model([torch.rand(3, 64, 64)], [{"boxes": torch.tensor([box]), "labels": torch.tensor([label])}])

    def predicted(label, num_classes):
        return fastrcnn_loss(torch.randn(2, num_classes), torch.randn(2, num_classes * 4), [torch.tensor([0, label])], [torch.randn(2, 4)])

    for wrong, error, text in (
        (lambda: predicted(90, 81), IndexError, "Target 90 is out of bounds"),
        (lambda: predicted(80, 80), IndexError, "Target 80 is out of bounds"),
        (lambda: loss([5.0, 5.0, 5.0, 40.0], 1), AssertionError, "positive height and width"),
    ):
        raises(error, lambda: wrong(), text)
    predicted(80, 81)
    loss([5.0, 5.0, 30.0, 40.0], 3, num_classes=4)


@check
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
