import inspect

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import ResNet50_Weights, detection, resnet18, segmentation
from torchvision.ops import box_iou

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated
from trainings import descend

IOU = r"\mathrm{IoU}(A, B) = \frac{|A \cap B|}{|A \cup B|}"
MEAN_IOU = r"\mathrm{mIoU} = \frac{1}{K} \sum_{k=1}^{K} \frac{TP_k}{TP_k + FP_k + FN_k}"
PIXEL_LOSS = r"L = -\frac{1}{HW} \sum_{p} \log \frac{e^{z_{p, y_p}}}{\sum_k e^{z_{p, k}}}"

by_definition("classification", "detection", "semantic segmentation", "instance segmentation")
sourced("torchvision documentation of Faster R-CNN and Mask R-CNN", "Detection", "Instance segmentation")
sourced("torchvision documentation of its detectors", "Same in train and eval?", "dtype")
sourced("ILSVRC localization task: one class and one box", "Localization")
sourced("COCO detection evaluation: mAP on boxes and on masks", "Detection", "Instance segmentation")
sourced("Panoptic Segmentation, arXiv 1801.00868; Mask2Former, arXiv 2112.01527", "panoptic segmentation")
sourced("Faster R-CNN, arXiv 1506.01497; DETR, arXiv 2005.12872", "How do localization and detection differ?")


@holds("Classification", "Localization", "dtype")
def check_classes_and_one_box():
    images, labels = torch.randn(2, 3, 32, 32), torch.tensor([1, 4])
    net = resnet18(num_classes=5 + 4)
    logits, box = net(images).split([5, 4], dim=1)
    assert net.eval()(images[0].unsqueeze(0)).shape == (1, 9)
    assert logits.shape == (2, 5) and box.shape == (2, 4)
    (F.cross_entropy(logits, labels) + F.smooth_l1_loss(box, torch.rand(2, 4))).backward()
    raises(RuntimeError, lambda: F.cross_entropy(logits, labels.int()), "Long")


@holds("Can the tasks share a backbone?")
def check_default_weights_of_the_backbones():
    builders = (segmentation.fcn_resnet50, detection.fasterrcnn_resnet50_fpn, detection.maskrcnn_resnet50_fpn)
    default = lambda builder: inspect.signature(inspect.unwrap(builder)).parameters["weights_backbone"].default
    assert all(default(builder) == ResNet50_Weights.IMAGENET1K_V1 for builder in builders)
    assert default(detection.fasterrcnn_resnet50_fpn_v2) is default(detection.maskrcnn_resnet50_fpn_v2) is None


@holds("Semantic or instance segmentation for counting?")
def check_touching_objects_are_one_region():
    from scipy.ndimage import label

    masks = np.zeros((2, 6, 8), bool)
    masks[0, 1:5, 1:4], masks[1, 1:5, 4:7] = True, True
    assert label(masks.any(0))[1] == 1 and len(masks) == 2


@holds("Which losses give few object pixels more weight?")
def check_share_of_few_object_pixels():
    """4 of 100 pixels are object, all pixels are scored 0.1: the share of the gradient that comes from the object."""
    truth = torch.zeros(100)
    truth[:4] = 1
    right = lambda p: torch.where(truth == 1, p, 1 - p)
    plain = lambda p: -right(p).log().sum()
    focal = lambda p: -((1 - right(p)) ** 2 * right(p).log()).sum()
    weighted = lambda p: -((1 + 23 * truth) * right(p).log()).sum()

    def share(loss):
        z = torch.full((100,), -2.2, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(z.sigmoid()), z)
        return float(gradient[:4].abs().sum() / gradient.abs().sum())

    assert share(plain) < 0.4 and share(focal) > 0.9 and share(weighted) > 0.9
    dice = lambda guess: 1 - 2 * (guess * truth).sum() / (guess.sum() + truth.sum())
    assert dice(torch.zeros(100)) == 1 and dice(truth) == 0


@formula(IOU)
def check_iou_of_integer_boxes_by_counting_cells():
    for _ in range(60):
        boxes = []
        for _ in range(2):
            x1, y1 = np.random.randint(0, 8, 2)
            w, h = np.random.randint(1, 8, 2)
            boxes.append((x1, y1, x1 + w, y1 + h))
        cells = [{(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])} for b in boxes]
        ours = len(cells[0] & cells[1]) / len(cells[0] | cells[1])
        library = box_iou(torch.tensor([boxes[0]]).float(), torch.tensor([boxes[1]]).float()).item()
        assert abs(ours - library) < 1e-6
    stated("0.1111", box_iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 1, 3, 4]])))


def mean_iou(truth, guess, classes):
    total = 0.0
    for k in range(classes):
        tp = int(((truth == k) & (guess == k)).sum())
        fp, fn = int(((truth != k) & (guess == k)).sum()), int(((truth == k) & (guess != k)).sum())
        total += tp / (tp + fp + fn)
    return total / classes


@formula(MEAN_IOU)
def check_mean_iou_equals_jaccard_of_scikit_learn():
    from sklearn.metrics import jaccard_score

    for shape, classes in [((6, 7), 3), ((10, 10), 2), ((30,), 5)]:
        truth, guess = np.random.randint(0, classes, shape), np.random.randint(0, classes, shape)
        np.testing.assert_allclose(
            mean_iou(truth, guess, classes), jaccard_score(truth.ravel(), guess.ravel(), average="macro")
        )
    truth, guess = np.zeros((10, 10), int), np.zeros((10, 10), int)
    truth[0, :4] = 1
    guess[0, 1:5] = 1
    stated("0.790", mean_iou(truth, guess, 2))
    stated("0.979", jaccard_score(truth.ravel(), guess.ravel(), pos_label=0))
    stated("0.6", jaccard_score(truth.ravel(), guess.ravel()))


@pitfall("96 % pixel accuracy and not one object found")
def check_pixel_accuracy_hides_a_missing_class():
    from sklearn.metrics import accuracy_score, jaccard_score

    truth, guess = np.zeros((10, 10), int), np.zeros((10, 10), int)
    truth[0, :4] = 1
    stated("0.96", accuracy_score(truth.ravel(), guess.ravel()))
    stated("0.48", mean_iou(truth, guess, 2))
    assert jaccard_score(truth.ravel(), guess.ravel(), zero_division=0) == 0
    assert mean_iou(truth, truth, 2) == 1


@formula(PIXEL_LOSS)
@holds("Semantic segmentation")
def check_pixel_loss():
    for K, H, W in [(3, 4, 5), (2, 1, 7)]:
        z, y = torch.randn(1, K, H, W, dtype=torch.float64), torch.randint(0, K, (1, H, W))
        total = 0.0
        for i in range(H):
            for j in range(W):
                logits = z[0, :, i, j].numpy()
                total -= np.log(np.exp(logits[y[0, i, j]]) / np.exp(logits).sum())
        np.testing.assert_allclose(total / (H * W), float(F.cross_entropy(z, y)))


@pitfall("A detector fine-tuned on one class finds nothing")
def check_background_counts_as_a_class():
    """The box head scores num_classes classes and drops the first, so one class leaves none."""
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor

    for classes in (1, 2, 4):
        scores, _ = FastRCNNPredictor(8, classes)(torch.randn(3, 8))
        assert scores.softmax(-1)[:, 1:].shape[1] == classes - 1
    alone, _ = FastRCNNPredictor(8, 1)(torch.randn(3, 8))
    assert F.cross_entropy(alone, torch.zeros(3, dtype=torch.long)).item() == 0  # nothing to learn: all is background
    raises(IndexError, lambda: F.cross_entropy(alone, torch.ones(3, dtype=torch.long)), "out of bounds")
    build = detection.fasterrcnn_resnet50_fpn
    raises(ValueError, lambda: build(weights="DEFAULT", num_classes=2), "num_classes")
    with torch.device("meta"):
        net = build(weights=None, weights_backbone=None)
        net.roi_heads.box_predictor = detection.faster_rcnn.FastRCNNPredictor(1024, 2)
        scores, _ = net.roi_heads.box_predictor(net.roi_heads.box_head(torch.zeros(3, 256, 7, 7)))
    assert scores.shape == (3, 2)
    features, head = torch.randn(200, 8), FastRCNNPredictor(8, 2)
    labels = (features[:, 0] > 0).long()
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    descend(optimizer, lambda: F.cross_entropy(head(features)[0], labels), 100)
    found = head(features)[0].softmax(-1)[:, 1] > 0.5
    assert (found == labels.bool()).float().mean() > 0.95


@pitfall("A pretrained detector suffers from images normalized beforehand")
def check_detectors_normalize_inside():
    """A classifier of four shades of grey stands in for the detector: normalized twice, shades change their class."""
    from torchvision.models import ResNet18_Weights, resnet18
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    transform = GeneralizedRCNNTransform(32, 64, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    image = torch.full((3, 32, 32), 0.5)
    expected = (0.5 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(transform.normalize(image)[:, 0, 0], expected)
    levels = torch.arange(1000) % 4
    images = ((levels / 4)[:, None, None, None] + 0.25 * torch.rand(1000, 3, 8, 8)).clamp(0, 1)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    network = lambda batch: layers(torch.stack([transform.normalize(one) for one in batch]))
    optimizer = torch.optim.Adam(layers.parameters(), 0.005)
    for _ in range(60):
        rows = torch.randint(800, (64,))
        optimizer.zero_grad()
        F.cross_entropy(network(images[rows]), levels[rows]).backward()
        optimizer.step()
    normalized = torch.stack([transform.normalize(one) for one in images[800:]])
    right = lambda batch: float((network(batch).argmax(1) == levels[800:]).float().mean())
    assert right(images[800:]) > 0.95 and right(normalized) < 0.85, (right(images[800:]), right(normalized))
    prepared = ResNet18_Weights.IMAGENET1K_V1.transforms()(torch.full((3, 256, 256), 0.5))
    torch.testing.assert_close(prepared[:, 0, 0], expected)
    with torch.device("meta"):
        assert type(next(resnet18().children())) is nn.Conv2d  # a classifier begins with its weights


@pitfall("New classes appear after resizing the label maps")
def check_bilinear_invents_classes():
    labels = torch.tensor([[0.0, 0, 2, 2]]).view(1, 1, 1, 4)
    smooth = F.interpolate(labels, size=(1, 7), mode="bilinear").round().unique().tolist()
    kept = F.interpolate(labels, size=(1, 7), mode="nearest-exact").unique().tolist()
    assert 1.0 in smooth and kept == [0.0, 2.0]
    resized = F.interpolate(labels, size=(1, 7), mode="nearest-exact")[:, 0]
    assert F.cross_entropy(torch.zeros(1, 3, 1, 7), resized.long()) > 0
    raises(RuntimeError, lambda: F.cross_entropy(torch.zeros(1, 3, 1, 7), resized), "target dtype")
    raises(NotImplementedError, lambda: F.interpolate(labels.long(), size=(1, 7), mode="nearest-exact"))
    maps = torch.randint(3, (2, 4, 4))
    raises(ValueError, lambda: F.interpolate(maps.float(), size=(8, 8), mode="nearest-exact"), "same number of spatial")
    larger = F.interpolate(maps[:, None].float(), size=(8, 8), mode="nearest-exact")[:, 0].long()
    assert torch.equal(larger[:, ::2, ::2], maps)
    ramp = torch.arange(16.0).view(1, 1, 1, 16)
    at = {mode: F.interpolate(ramp, size=(1, 4), mode=mode).mean() for mode in ("nearest", "nearest-exact", "bilinear")}
    assert at["bilinear"] - at["nearest"] == 1.5 and abs(at["bilinear"] - at["nearest-exact"]) == 0.5
