import sys

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate
from torchvision.models.detection import (
    FasterRCNN_ResNet50_FPN_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
    maskrcnn_resnet50_fpn,
)
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import keypointrcnn_loss, maskrcnn_inference, maskrcnn_loss
from torchvision.ops import boxes as box_operators
from torchvision.ops import box_iou, masks_to_boxes

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

PAPER = "Mask R-CNN, arXiv 1703.06870, "
by_definition("Mask R-CNN")
sourced("FCN, arXiv 1411.4038; DeepLabv3, arXiv 1706.05587", "FCN, DeepLab")
sourced("YOLACT, arXiv 1904.02689, abstract; SOLOv2, arXiv 2003.10152, abstract", "YOLACT, SOLOv2")
sourced("Mask2Former, arXiv 2112.01527, abstract and section 1", "Mask2Former")
sourced("Panoptic Segmentation, arXiv 1801.00868, section 1", "Panoptic segmentation")
sourced(PAPER + "table 2b: softmax 24.8, sigmoid 30.3", "Why sigmoid and not softmax over classes?")
sourced(
    PAPER + "section 3.1, Inference: fewer, more accurate RoIs",
    "Why are masks predicted from final boxes at test time, not from proposals?",
)
sourced(
    PAPER + "section 4.3: due solely to the benefits of multi-task training", "Does the mask branch help the boxes?"
)
sourced("V-Net, arXiv 1606.04797, section 3", "Which loss suits tiny foregrounds?")
sourced(
    PAPER + "section 5: one-hot m x m masks, an m^2-way softmax, 56 x 56", "How does the same design predict keypoints?"
)

LOSS = r"""
L_{\text{mask}} = \frac{1}{28^2 N} \sum_{i=1}^{N} \sum_{p} \left( -y_{ip} \ln \sigma\big(z_{ip}^{(c_i)}\big) - (1 - y_{ip}) \ln\left(1 - \sigma\big(z_{ip}^{(c_i)}\big)\right) \right)
"""
PARAMETERS = r"4\,(9 \cdot 256^2 + 256) + (4 \cdot 256^2 + 256) + (256 K + K)"


def without_compiled_operators():
    """Plain versions of the two compiled operators (this process only)."""

    def nms(boxes, scores, threshold):
        iou, kept = box_iou(boxes, boxes), []
        for i in scores.argsort(descending=True).tolist():
            if not kept or iou[i, kept].max() <= threshold:
                kept.append(i)
        return torch.tensor(kept, dtype=torch.int64)

    box_operators.nms = nms
    module = sys.modules["torchvision.ops.roi_align"]
    module._roi_align = getattr(module._roi_align, "__wrapped__", module._roi_align)


@formula(LOSS)
def check_loss():
    without_compiled_operators()
    for n, classes in ((1, 2), (6, 4)):
        logits, labels = torch.randn(n, classes, 28, 28), torch.randint(1, classes, (n,))
        side = 28  # a box of 28 pixels: the crop is the mask itself
        masks, boxes = torch.zeros(n, 64, 64), torch.zeros(n, 4)
        y = torch.randint(0, 2, (n, 30, 30)).float()
        for i in range(n):
            masks[i, 4:34, 6:36] = y[i]
            boxes[i] = torch.tensor([6.0, 4.0, 6.0 + side, 4.0 + side])
        library = maskrcnn_loss(logits, [boxes], [masks], [labels], [torch.arange(n)])
        # torchvision reads the crop with aligned=False: half a pixel lower right, the mean of four neighbours
        crop = (y[:, :28, :28] + y[:, 1:29, :28] + y[:, :28, 1:29] + y[:, 1:29, 1:29]).numpy() / 4
        z = logits[torch.arange(n), labels].double().numpy()
        s = 1 / (1 + np.exp(-z))
        ours = (-crop * np.log(s) - (1 - crop) * np.log(1 - s)).sum() / (28**2 * n)
        assert abs(ours - float(library)) < 1e-4
    z = logits.requires_grad_()
    grad = torch.autograd.grad(maskrcnn_loss(z, [boxes], [masks], [labels], [torch.arange(n)]), z)[0]
    own = torch.zeros(n, classes, dtype=torch.bool)
    own[torch.arange(n), labels] = True
    assert grad[~own].abs().max() == 0 and grad[own].abs().max() > 0


@formula(PARAMETERS)
@holds("Parameters", "Defaults", "Cost", "Does the mask branch help the boxes?")
def check_parameters():
    for K in (2, 91):
        heads = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=K).roi_heads
        ours = 4 * (9 * 256**2 + 256) + (4 * 256**2 + 256) + (256 * K + K)
        assert ours == sum(p.numel() for m in (heads.mask_head, heads.mask_predictor) for p in m.parameters())
    stated("2,646,107", ours)
    stated("590,080", 9 * 256**2 + 256)
    stated("262,400", 4 * 256**2 + 256)
    stated("23,387", 256 * 91 + 91)
    meta = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta
    stated("44,401,393", meta["num_params"])
    with torch.device("meta"):
        plain = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    norms = sum(
        p.numel() for m in plain.backbone.body.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters()
    )
    assert sum(p.numel() for p in plain.parameters()) - norms == meta["num_params"]
    stated("134", meta["_ops"])
    assert meta["_ops"] == FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["_ops"]  # the listing counts no mask
    stated("37.9", meta["_metrics"]["COCO-val2017"]["box_map"])
    stated("37.0", FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["_metrics"]["COCO-val2017"]["box_map"])
    assert heads.mask_roi_pool.output_size == (14, 14)
    assert MaskRCNNPredictor(256, 256, 5)(torch.zeros(1, 256, 14, 14)).shape == (1, 5, 28, 28)


@check
def check_by_hand():
    z, y = torch.tensor([2.0, -1.0, 0.0, 1.0]).double(), torch.tensor([1.0, 0.0, 0.0, 1.0]).double()
    terms = binary_cross_entropy_with_logits(z, y, reduction="none")
    for text, value in zip(("0.1269", "0.3133", "0.6931", "0.3133"), terms):
        stated(text, value)
    stated("0.3616", terms.mean())
    assert 280 / 28 == 10


def small_model():
    without_compiled_operators()
    return maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=3,
        min_size=64,
        max_size=96,
        rpn_pre_nms_top_n_test=12,
        rpn_pre_nms_top_n_train=12,
    )


@pitfall("Masks have an extra axis and are not binary")
@holds("Input", "Output")
def check_whole_model():
    model = small_model()
    out = model.eval()([torch.rand(3, 40, 50)])[0]
    assert out["masks"].shape[1:] == (1, 40, 50) and out["masks"].dtype == torch.float32
    assert len(out["masks"]) == len(out["boxes"]) and out["masks"].min() >= 0 and out["masks"].max() <= 1
    assert len(out["masks"]) > 0 and ((out["masks"] > 0) & (out["masks"] < 1)).any()
    binary = out["masks"][:, 0] > 0.5
    assert binary.shape == (len(out["boxes"]), 40, 50) and binary.dtype == torch.bool
    masks = torch.zeros(1, 40, 50, dtype=torch.uint8)
    masks[0, 5:30, 5:40] = 1
    losses = model.train()(
        [torch.rand(3, 40, 50)],
        [{"boxes": torch.tensor([[5.0, 5.0, 40.0, 30.0]]), "labels": torch.tensor([1]), "masks": masks}],
    )
    assert len(losses) == 5 and losses["loss_mask"] > 0
    chosen = maskrcnn_inference(torch.randn(3, 4, 28, 28), [torch.tensor([1, 3, 2])])[0]
    assert chosen.shape == (3, 1, 28, 28)


@holds("Same in train and eval?", "Why are masks predicted from final boxes at test time, not from proposals?")
def check_boxes_of_the_mask_branch():
    model, seen = small_model(), []
    assert model.roi_heads.detections_per_img == 100
    model.transform.postprocess = lambda result, shapes, sizes: result
    model.roi_heads.mask_roi_pool.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[1][0].detach())
    )
    found = model.eval()([torch.rand(3, 64, 64)])[0]
    assert torch.equal(seen[-1], found["boxes"])
    masks = torch.zeros(1, 64, 64, dtype=torch.uint8)
    masks[0, 5:30, 5:40] = 1
    truth = torch.tensor([[5.0, 5.0, 40.0, 30.0]])
    model.train()([torch.rand(3, 64, 64)], [{"boxes": truth, "labels": torch.tensor([1]), "masks": masks}])
    assert len(seen) == 2 and box_iou(seen[-1], truth).min() >= 0.5  # positive proposals, no detections


@holds("Why sigmoid and not softmax over classes?", "Which loss suits tiny foregrounds?")
def check_competition():
    logits = torch.zeros(1, 3, 28, 28)
    higher = logits.clone()
    higher[:, 2] = 5  # another class grows sure of the pixels
    assert (
        torch.equal(logits.sigmoid()[:, 1], higher.sigmoid()[:, 1])
        and (higher.softmax(1)[:, 1] < logits.softmax(1)[:, 1]).all()
    )
    mask = torch.zeros(1, 40, 50)
    mask[0, 10:14, 20:23] = 1
    x1, y1, x2, y2 = (int(v) for v in masks_to_boxes(mask)[0])
    assert mask[0, y1 : y2 + 1, x1 : x2 + 1].mean() > mask.mean()
    tiny, nothing = mask.flatten(), torch.full((2000,), 1e-3)
    dice = 1 - 2 * (tiny * nothing).sum() / (tiny.sum() + nothing.sum())
    assert dice > 0.99 and -torch.where(tiny > 0, nothing, 1 - nothing).log().mean() < 0.05


@holds("How does the same design predict keypoints?")
def check_keypoints():
    logits, cell = torch.randn(1, 17, 56, 56), torch.randint(0, 56 * 56, (17,))
    truth = torch.stack([cell % 56 + 0.5, cell // 56 + 0.5, torch.ones(17)], 1)[None]
    found = keypointrcnn_loss(
        logits, [torch.tensor([[0.0, 0.0, 56.0, 56.0]])], [truth], [torch.zeros(1, dtype=torch.int64)]
    )
    assert torch.isclose(found, -logits[0].flatten(1).log_softmax(1)[torch.arange(17), cell].mean())


@pitfall("All objects of a class become one blob")
def check_one_mask_per_object():
    objects = torch.zeros(20, 30, dtype=torch.int64)
    objects[4:16, 3:13], objects[4:16, 13:27] = 1, 2
    semantic = (objects > 0)[None]
    each = objects == torch.arange(1, 3)[:, None, None]
    assert masks_to_boxes(semantic).tolist() == [[3, 4, 26, 15]] and len(masks_to_boxes(each)) == 2
    without_compiled_operators()
    box = torch.tensor([[0.0, 2.0, 24.0, 18.0]])  # a proposal for the first object that reaches into the second
    beside = torch.full((1, 2, 28, 28), -9.0)
    beside[:, :, :, :14] = 9.0  # a mask that keeps the two apart
    loss = [
        float(
            maskrcnn_loss(
                beside, [box], [masks], [torch.ones(1, dtype=torch.int64)], [torch.zeros(1, dtype=torch.int64)]
            )
        )
        for masks in (semantic.float(), each.float())
    ]
    assert loss[0] > loss[1] + 1


@pitfall("Large objects get coarse outlines")
def check_outlines():
    """Even a perfect mask loses fine parts on 28 by 28 values; what no longer training could mend."""
    side, x = 560, torch.arange(560)
    comb = ((x // 8) % 2 == 0).float()[None].expand(side, side).clone()
    comb[280:] = 1

    def error(values):
        coarse = interpolate(comb[None, None], size=(values, values), mode="area")
        stretched = interpolate(coarse, size=(side, side), mode="bilinear")[0, 0] > 0.5
        return float((stretched != (comb > 0.5))[:260].float().mean())

    assert error(28) > 0.4 and error(140) < 0.1


@pitfall("After fine-tuning masks have the wrong number of classes")
def check_both_predictors():
    heads = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).roi_heads
    heads.box_predictor = FastRCNNPredictor(1024, 3)
    pooled = torch.randn(2, 256, 14, 14)
    assert heads.mask_predictor(heads.mask_head(pooled)).shape[1] == 91
    heads.mask_predictor = MaskRCNNPredictor(256, 256, 3)
    assert (
        heads.mask_predictor(heads.mask_head(pooled)).shape[1]
        == 3
        == heads.box_predictor(torch.zeros(1, 1024))[0].shape[1]
    )


@pitfall("Boxes from masks lose a pixel")
def check_boxes_of_masks():
    thin = torch.zeros(1, 40, 50, dtype=torch.uint8)
    thin[0, 10:30, 20] = 1
    boxes = masks_to_boxes(thin)
    x1, y1, x2, y2 = boxes[0].tolist()
    assert x2 - x1 == 0 and y2 - y1 == 19
    model, image = small_model().train(), torch.rand(3, 40, 50)
    target = {"labels": torch.tensor([1]), "masks": thin}
    raises(AssertionError, lambda: model([image], [{"boxes": boxes, **target}]), "positive height and width")
    both, labels = torch.cat([0 * thin, thin]), torch.tensor([2, 1])
    kept = both.flatten(1).any(1)  # the same rows of masks and labels
    assert torch.equal(both[kept], thin) and torch.equal(labels[kept], target["labels"])
    assert torch.equal(masks_to_boxes(both[kept]), boxes)
    boxes[:, 2:] += 1
    assert boxes.tolist() == [[20, 10, 21, 30]] and masks_to_boxes(0 * thin).tolist() == [[0, 0, 0, 0]]
    losses = model([image], [{"boxes": boxes, **target}])
    assert all(loss.isfinite() for loss in losses.values())
