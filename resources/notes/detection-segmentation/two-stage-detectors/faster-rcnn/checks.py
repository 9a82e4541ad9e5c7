import inspect
import math
import sys

import numpy as np
import torch
from torchvision.models import ResNet50_Weights
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, fasterrcnn_resnet50_fpn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import boxes as box_operators
from torchvision.ops import box_convert, box_iou

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated

SMOOTH = r"\ell(d) = \begin{cases} 4.5\, d^2 & |d| < \frac{1}{9} \\ |d| - \frac{1}{18} & \text{otherwise} \end{cases}"
FIRST = r"""
L_1 = \frac{1}{|S|} \sum_{i \in S} -\ln \sigma\big( (2 y_i - 1)\, z_i \big)
+ \frac{1}{|S|} \sum_{i \in S,\, y_i = 1}\, \sum_{m=1}^{4} \ell(t_{im} - t_{im}^*)
"""
SECOND = r"""
L_2 = \frac{1}{|R|} \sum_{i \in R} -\ln p_i(c_i)
+ \frac{1}{|R|} \sum_{i \in R,\, c_i \ge 1}\, \sum_{m=1}^{4} \ell\big( u_{im}^{(c_i)} - u_{im}^* \big)
"""

by_definition("R-CNN, Fast R-CNN", "Faster R-CNN", "Mask R-CNN", "Cascade R-CNN", "SSD, YOLO, FCOS", "DETR")


def small_model(**settings):
    return fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=3, min_size=96, max_size=96, **settings
    )


def without_compiled_operators():
    """Plain versions of the two compiled operators, so that the whole model runs here (this process only)."""

    def nms(boxes, scores, threshold):
        iou, kept = box_iou(boxes, boxes), []
        for i in scores.argsort(descending=True).tolist():
            if not kept or iou[i, kept].max() <= threshold:
                kept.append(i)
        return torch.tensor(kept, dtype=torch.int64)

    box_operators.nms = nms
    module = sys.modules["torchvision.ops.roi_align"]
    module._roi_align = module._roi_align.__wrapped__


def ell(d):
    d = np.abs(d)
    return np.where(d < 1 / 9, 4.5 * d**2, d - 1 / 18)


@formula(SMOOTH, FIRST)
def check_first_stage_loss():
    rpn = small_model().rpn
    for n in (40, 3000):
        z, t, target = torch.randn(n) * 3, torch.randn(n, 4) * 0.3, torch.randn(n, 4) * 0.3
        labels = (torch.rand(n) < 0.4).float() - (torch.rand(n) < 0.2).float() * 2
        labels[labels < 0] = -1
        state = torch.get_rng_state()
        library = rpn.compute_loss(z, t, [labels], [target])
        torch.set_rng_state(state)
        positive, negative = rpn.fg_bg_sampler([labels])
        S = torch.where(positive[0] | negative[0])[0].numpy()
        y, zs = labels.numpy(), z.numpy().astype(float)
        score = sum(math.log1p(math.exp(-(2 * y[i] - 1) * zs[i])) for i in S) / len(S)
        box = sum(ell(t[i].numpy() - target[i].numpy()).sum() for i in S if y[i] == 1) / len(S)
        assert abs(score - float(library[0])) < 1e-5 and abs(box - float(library[1])) < 1e-5
        assert len(S) == min(256, int((labels >= 0).sum())) and int(positive[0].sum()) <= 128


@formula(SECOND)
def check_second_stage_loss():
    for n, classes in ((5, 3), (64, 7)):
        logits, u = torch.randn(n, classes), torch.randn(n, 4 * classes)
        c, target = torch.randint(0, classes, (n,)), torch.randn(n, 4)
        library = fastrcnn_loss(logits, u, [c], [target])
        p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
        score = -np.mean(np.log(p[np.arange(n), c]))
        box = (
            sum(
                ell(u[i, 4 * k : 4 * k + 4].numpy() - target[i].numpy()).sum()
                for i, k in enumerate(c.tolist())
                if k >= 1
            )
            / n
        )
        assert abs(score - float(library[0])) < 1e-5 and abs(box - float(library[1])) < 1e-4


@check
def check_by_hand():
    anchor, target = torch.tensor([[0.0, 0.0, 128.0, 128.0]]), torch.tensor([[-10.0, -4.0, 150.0, 124.0]])
    t = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(target, anchor)[0].double()
    for text, value in zip(("0.0469", "−0.0313", "0.2231"), t.tolist()):
        stated(text, value)
    for text, value in zip(("0.0099", "0.0044", "0.1676"), ell(t.numpy())):
        stated(text, value)
    stated("0.1819", ell(t.numpy()).sum())
    stated("0.05556", 1 / 18)


@holds("Parameters", "Defaults", "Same in train and eval?", "Cost")
def check_settings():
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    meta = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta
    norms = sum(p.numel() for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters())
    stated("41,755,286", sum(p.numel() for p in model.parameters()) - norms)
    stated("41,755,286", meta["num_params"])
    stated("91", len(meta["categories"]))
    stated("134", meta["_ops"])
    sides, places = (200, 100, 50, 25), 159882 // 3
    laterals = sum(256 * 256 * 2**k * side**2 for k, side in enumerate(sides))
    convolutions = 9 * 256**2 * (sum(side**2 for side in sides) + places) + 256 * 15 * places
    boxes = 1000 * 1024 * (12544 + 1024 + 5 * 91)  # the head, for 1,000 proposals
    resnet = ResNet50_Weights.IMAGENET1K_V1.meta["_ops"] * (800 / 224) ** 2
    assert abs(resnet + (laterals + convolutions + boxes) / 1e9 - meta["_ops"]) < 1
    defaults = inspect.signature(fasterrcnn_resnet50_fpn).parameters
    assert defaults["weights"].default is None and defaults["weights_backbone"].default.name == "IMAGENET1K_V1"
    rpn, heads = model.rpn, model.roi_heads
    assert model.transform.min_size == (800,) and model.transform.max_size == 1333
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.05, 0.5, 100)
    assert (rpn.proposal_matcher.high_threshold, rpn.proposal_matcher.low_threshold) == (0.7, 0.3)
    assert rpn.proposal_matcher.allow_low_quality_matches and not heads.proposal_matcher.allow_low_quality_matches
    assert heads.proposal_matcher.high_threshold == heads.proposal_matcher.low_threshold == 0.5
    assert (rpn.fg_bg_sampler.batch_size_per_image, rpn.fg_bg_sampler.positive_fraction) == (256, 0.5)
    assert (heads.fg_bg_sampler.batch_size_per_image, heads.fg_bg_sampler.positive_fraction) == (512, 0.25)
    assert heads.box_coder.weights == (10.0, 10.0, 5.0, 5.0) and rpn.box_coder.weights == (1.0, 1.0, 1.0, 1.0)
    assert rpn._post_nms_top_n == {"training": 2000, "testing": 1000} and heads.box_roi_pool.output_size == (7, 7)
    boxes = torch.tensor([[0.0, 0.0, 5.0, 5.0]])
    assert len(heads.add_gt_proposals([torch.rand(3, 4)], [boxes])[0]) == 4


BOX = torch.tensor([[10.0, 10.0, 40.0, 50.0]])


def quick_model():
    without_compiled_operators()
    return small_model(rpn_pre_nms_top_n_test=20, rpn_pre_nms_top_n_train=20, box_batch_size_per_image=16).train()


def target(boxes, *labels):
    return [{"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64)}]


@pitfall("One class is never found")
def check_labels_start_at_one():
    model, images = quick_model(), [torch.rand(3, 60, 80)]
    assert model.roi_heads.box_predictor.cls_score.out_features == 3  # 2 classes and background
    assert model(images, target(BOX, 0))["loss_box_reg"] == 0  # no error, but the object is background
    _, _, classes, _ = model.roi_heads.select_training_samples([BOX], target(BOX, 0))
    assert classes[0].max() == 0
    for label in (1, 2):
        assert model(images, target(BOX, label))["loss_box_reg"] > 0
        assert model.roi_heads.select_training_samples([BOX], target(BOX, label))[2][0].max() == label
    raises(IndexError, lambda: model(images, target(BOX, 3)), "Target 3 is out of bounds")
    raises(ValueError, lambda: fasterrcnn_resnet50_fpn(weights="COCO_V1", num_classes=3), "expected value 91")
    model.roi_heads.box_predictor = FastRCNNPredictor(1024, 4)
    assert model(images, target(BOX, 3))["loss_box_reg"] > 0


@pitfall('"All bounding boxes should have positive height and width"')
def check_boxes_of_no_size():
    model, images, words = (
        quick_model(),
        [torch.rand(3, 60, 80)],
        "All bounding boxes should have positive height and width",
    )
    flat, sizes = torch.tensor([[10.0, 10.0, 10.0, 50.0]]), torch.tensor([[50.0, 30.0, 20.0, 20.0]])
    for boxes in (flat, sizes, torch.zeros(1, 4)):
        raises(AssertionError, lambda: model(images, target(boxes, 1)), words)
    corners = torch.cat([box_convert(sizes, "xywh", "xyxy"), flat])
    kept = (corners[:, 2:] > corners[:, :2]).all(1)
    for boxes, labels in ((corners[kept], (1,)), (torch.zeros(0, 4), ())):
        assert all(torch.isfinite(loss) for loss in model(images, target(boxes, *labels)).values())

    def loss_with(*labels):
        torch.manual_seed(0)
        return model(images, target(corners[:1], *labels))["loss_classifier"].item()

    assert loss_with(2, 1) == loss_with(2) != loss_with(1)  # the label of an empty box that stood first was left over
    assert loss_with(1, 2) == loss_with(1)  # one that stood last shifts nothing


@pitfall("Good weights, poor detections")
def check_model_normalises_by_itself():
    """The weights cannot be loaded here; shown is what the backbone is given, against what they were trained on."""
    model, image = small_model(), torch.rand(3, 96, 96)
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    trained_on = (image - mean) / std
    for given, right in ((image, True), (trained_on, False), (255 * image, False)):
        seen = model.transform([given])[0].tensors[0]
        assert torch.allclose(seen, trained_on, atol=1e-4) is right
        assert ((seen - trained_on).abs().mean() > 1).item() is not right


@holds("Input", "Output", "Same in train and eval?")
@pitfall("The model returns losses, or demands targets")
def check_modes():
    model, images = quick_model(), [torch.rand(3, 60, 80)]
    names = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert set(model(images, target(BOX, 1))) == names
    raises(AssertionError, lambda: model(images), "target")
    detections = model.eval()(images)[0]
    assert set(detections) == {"boxes", "labels", "scores"} and detections["labels"].dtype == torch.int64
    norm = model.train().backbone.body.bn1
    for updates in (True, False):
        before = norm.running_mean.clone()
        with torch.no_grad():
            losses = model(images, target(BOX, 1))
        assert set(losses) == names and not losses["loss_objectness"].requires_grad
        assert torch.equal(before, norm.running_mean) is not updates
        for module in model.modules():  # the cure
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()


@holds("Input")
def check_sizes_may_differ():
    model, images = quick_model(), [torch.rand(3, 60, 80), torch.rand(3, 90, 70)]
    assert len(model(images, target(BOX, 1) + target(BOX, 2))) == 4
    found = model.eval()(images)
    assert len(found) == 2
    for one in found:
        assert one["boxes"].shape == (len(one["labels"]), 4) and len(one["scores"]) == len(one["labels"])


@holds("Why sample anchors?")
def check_share_of_background():
    model = small_model()
    grids = (200, 100, 50, 25, 13)
    strides = [[torch.tensor(800 // n)] * 2 for n in grids]
    anchors = torch.cat(model.rpn.anchor_generator.grid_anchors([(n, n) for n in grids], strides))
    corner, size = torch.rand(7, 2) * 500, 30 + torch.rand(7, 2) * 250
    objects = [{"boxes": torch.cat([corner, corner + size], 1)}]
    labels = model.rpn.assign_targets_to_anchors([anchors], objects)[0][0]
    counted = labels >= 0
    criterion = torch.nn.BCEWithLogitsLoss(reduction="none")
    loss = criterion(0.01 * torch.randn(len(labels)), labels.clamp(min=0))
    assert loss[labels == 0].sum() > 0.98 * loss[counted].sum()
    positive, negative = model.rpn.fg_bg_sampler([labels])
    assert int(positive[0].sum() + negative[0].sum()) == 256 and 10 < int(positive[0].sum()) <= 128


@holds("Why separate offsets for each class?")
def check_regressor_of_a_class():
    head = small_model().roi_heads.box_predictor
    scores, offsets = head(torch.randn(8, 1024))
    classes = torch.tensor([0, 0, 1, 1, 1, 1, 0, 1])  # objects of class 1 and background only
    fastrcnn_loss(scores, offsets, [classes], [torch.randn(8, 4)])[1].backward()
    trained = head.bbox_pred.weight.grad.abs().amax(1) > 0
    assert offsets.shape == (8, 4 * 3) and trained.tolist() == [False] * 4 + [True] * 4 + [False] * 4


@holds("Why are the targets multiplied by 10 and 5?")
def check_spread_of_the_targets():
    size = 30 + 100 * torch.rand(20000, 2)
    real = torch.cat([torch.zeros_like(size), size], 1)
    guess = real + 0.15 * size.repeat(1, 2) * torch.randn(20000, 4)
    iou = torch.cat([box_iou(*(b[k : k + 500] for b in (real, guess))).diagonal() for k in range(0, 20000, 500)])
    real, guess = real[iou >= 0.5], guess[iou >= 0.5]
    plain, scaled = (BoxCoder(w).encode_single(real, guess) for w in ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)))
    assert plain.std(0).max() < 0.3 and 0.5 < scaled.std(0).min() and scaled.std(0).max() < 2
    assert ell(scaled.numpy()).sum() > 4 * ell(plain.numpy()).sum()


@holds("Is the RPN trained through the head?")
def check_stages_share_only_the_backbone():
    model = quick_model()
    losses = model([torch.rand(3, 60, 80)], target(BOX, 1))
    (losses["loss_classifier"] + losses["loss_box_reg"]).backward()
    assert all(p.grad is None for p in model.rpn.parameters())
    assert model.backbone.body.layer4[0].conv1.weight.grad.abs().max() > 0
