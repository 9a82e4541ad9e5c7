import inspect
import math
from unittest import mock

import numpy as np
import torch
from sklearn.metrics import confusion_matrix, jaccard_score
from torch import nn
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models.segmentation import (
    DeepLabV3_ResNet50_Weights,
    FCN_ResNet50_Weights,
    deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50,
    fcn_resnet50,
)

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

by_definition("Mask R-CNN")
sourced("FCN, arXiv 1411.4038, section 4.2", "FCN-8s")
sourced("U-Net, arXiv 1505.04597, abstract and section 2", "U-Net")
sourced(
    "SegFormer, arXiv 2105.15203, section 3.2; Mask2Former, arXiv 2112.01527, section 3.1", "SegFormer, Mask2Former"
)

LOSS = r"L = \frac{1}{|V|} \sum_{p \in V} -\ln \frac{e^{z_{p, y_p}}}{\sum_{k} e^{z_{p k}}}"
MIOU = r"""
\mathrm{mIoU} = \frac{1}{K} \sum_{k=1}^{K} \frac{n_{kk}}{\sum_{j} n_{kj} + \sum_{j} n_{jk} - n_{kk}}
"""
KERNEL = r"w_i = 1 - \frac{\left| i - f + \frac12 \right|}{f}, \qquad i = 0, \dots, 2f - 1"


@formula(LOSS)
@holds("Target")
def check_loss():
    for n, k, h, w in ((1, 2, 3, 4), (3, 5, 6, 7)):
        z, y = torch.randn(n, k, h, w, dtype=torch.float64), torch.randint(0, k, (n, h, w))
        y[torch.rand(n, h, w) < 0.3] = 255
        ours, valid = 0.0, 0
        for i in range(n):
            for r in range(h):
                for c in range(w):
                    if y[i, r, c] != 255:
                        e = np.exp(z[i, :, r, c].numpy())
                        ours -= math.log(e[y[i, r, c]] / e.sum())
                        valid += 1
        assert abs(ours / valid - float(cross_entropy(z, y, ignore_index=255))) < 1e-9
    assert torch.isnan(cross_entropy(z, torch.full_like(y, 255), ignore_index=255))


@formula(MIOU)
@holds("Why is pixel accuracy misleading?")
def check_miou():
    for k in (2, 6):
        truth, guess = np.random.randint(0, k, 500), np.random.randint(0, k, 500)
        guess[:300] = truth[:300]
        n = confusion_matrix(truth, guess)
        ours = sum(n[i, i] / (n[i].sum() + n[:, i].sum() - n[i, i]) for i in range(k)) / k
        assert abs(ours - jaccard_score(truth, guess, average="macro")) < 1e-12
    stated("0.625", 5 / (6 + 7 - 5))
    stated("0.4", 2 / (4 + 3 - 2))
    stated("0.5125", (5 / 8 + 2 / 5) / 2)
    stated("0.7", 7 / 10)
    background = np.zeros(100, dtype=int)
    truth = (np.arange(100) >= 95).astype(int)
    stated("0.475", jaccard_score(truth, background, average="macro", zero_division=0))
    assert (truth == background).mean() == 0.95


@formula(KERNEL)
def check_bilinear_kernel():
    for f in (2, 4, 8):
        w = torch.tensor([1 - abs(i - f + 0.5) / f for i in range(2 * f)], dtype=torch.float64)
        layer = nn.ConvTranspose2d(1, 1, 2 * f, f, f // 2, bias=False).double()
        layer.weight.data[0, 0] = w[:, None] * w[None]
        x = torch.randn(1, 1, 7, 9, dtype=torch.float64)
        ours, library = layer(x), interpolate(x, scale_factor=f, mode="bilinear")
        assert ours.shape == library.shape
        assert torch.allclose(ours[..., f:-f, f:-f], library[..., f:-f, f:-f], atol=1e-12)
    w = [1 - abs(i - 2 + 0.5) / 2 for i in range(4)]
    for text, value in zip(("0.25", "0.75", "0.75", "0.25"), w):
        stated(text, value)


def multiply_adds(build, side):
    total = 0

    def count(module, _, output):
        nonlocal total
        total += module.weight.numel() * output[0, 0].numel()

    with torch.device("meta"):
        model = build(weights=None, weights_backbone=None, aux_loss=True).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        model(torch.zeros(1, 3, side, side))
    return total


@holds("Why does an FCN accept any size?", "Input", "Same in train and eval?")
def check_sizes():
    linear, conv = nn.Linear(8 * 7 * 7, 4), nn.Conv2d(8, 4, 7)
    for side in (7, 10, 13):
        pooled = nn.functional.max_pool2d(torch.randn(1, 8, 2 * side, 2 * side), 2)
        assert conv(pooled).shape == (1, 4, side - 6, side - 6)
        if side > 7:
            raises(RuntimeError, lambda: linear(pooled.flatten(1)), "shapes cannot be multiplied")
    model = fcn_resnet50(weights=None, weights_backbone=None, num_classes=2, aux_loss=True)
    raises(Exception, lambda: model.train()(torch.randn(3, 40, 48)))
    for side in (33, 48):
        x = torch.randn(2, 3, side, 40)
        with torch.no_grad():
            train, evaluated = model.train()(x)["out"], model.eval()(x)["out"]
        assert train.shape == evaluated.shape == (2, 2, side, 40) and not torch.allclose(train, evaluated)


@holds("Skip connections or dilation?", "torchvision FCN, DeepLabv3")
def check_dilation():
    with torch.no_grad():
        x = torch.zeros(1, 3, 64, 64)
        coarse, fine = (
            nn.Sequential(*list(resnet50(replace_stride_with_dilation=d).eval().children())[:-2])(x)
            for d in ([False] * 3, [False, True, True])
        )
    assert coarse.shape[-1] == 64 // 32 and fine.shape[-1] == 64 // 8 and fine.numel() == 16 * coarse.numel()
    with torch.device("meta"):
        fcn, deeplab = (build(weights=None, weights_backbone=None) for build in (fcn_resnet50, deeplabv3_resnet50))
    rates = lambda part: (
        {m.dilation[0] for m in part.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)} - {1}
    )
    assert (
        rates(fcn.backbone) == rates(deeplab.backbone) == {2, 4}
        and not rates(fcn.classifier)
        and len(rates(deeplab.classifier)) == 3
    )
    assert all(
        len(kind.DEFAULT.meta["categories"]) == 21 for kind in (FCN_ResNet50_Weights, DeepLabV3_ResNet50_Weights)
    )


@holds("What is the auxiliary head?")
def check_auxiliary_head():
    model = fcn_resnet50(weights=None, weights_backbone=None, num_classes=2, aux_loss=True).eval()
    x = torch.randn(1, 3, 32, 32)
    before = model(x)["out"]
    assert model.aux_classifier[0].in_channels == 1024 < model.classifier[0].in_channels == 2048  # layer3, layer4
    with torch.no_grad():
        for parameter in model.aux_classifier.parameters():
            parameter.zero_()
    assert torch.equal(model(x)["out"], before)


@holds("Output", "Parameters", "Defaults", "Cost")
def check_models():
    for build in (fcn_resnet50, deeplabv3_resnet50):
        defaults = inspect.signature(build).parameters
        assert (
            defaults["weights"].default is None
            and defaults["weights_backbone"].default is ResNet50_Weights.IMAGENET1K_V1
        )

    def count(build, **settings):
        return sum(p.numel() for p in build(weights=None, weights_backbone=None, **settings).parameters())

    stated("32,957,013", count(fcn_resnet50))
    stated("35,322,218", count(fcn_resnet50, aux_loss=True))
    stated("39,638,869", count(deeplabv3_resnet50))
    stated("152.7", FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["_ops"])
    stated("178.7", DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["_ops"])
    for text, build in (("152.7", fcn_resnet50), ("178.7", deeplabv3_resnet50)):
        stated(text, multiply_adds(build, 520) / 1e9)
    model = fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True).eval()
    out = model(torch.zeros(1, 3, 64, 80))
    assert set(out) == {"out", "aux"} and out["out"].shape == (1, 21, 64, 80)
    assert model.backbone(torch.zeros(1, 3, 64, 80))["out"].shape[-2:] == (8, 10)
    for build, side in ((deeplabv3_resnet50, 8), (deeplabv3_mobilenet_v3_large, 4)):
        backbone = build(weights=None, weights_backbone=None).eval().backbone
        assert backbone(torch.zeros(1, 3, 64, 64))["out"].shape[-1] == side
    with mock.patch.object(FCN_ResNet50_Weights, "get_state_dict", lambda *_, **__: model.state_dict()):
        pretrained = fcn_resnet50(weights=FCN_ResNet50_Weights.DEFAULT)  # the head comes with the weights
    assert pretrained.aux_classifier is not None
    assert any(isinstance(m, nn.Dropout) for m in model.modules())
    raises(Exception, lambda: model(torch.zeros(3, 64, 80)))


@pitfall('"Expected more than 1 value per channel when training"')
def check_batch_of_one():
    deeplab = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=2).train()
    images = torch.rand(3, 3, 32, 32)

    def epoch(**options):
        return [deeplab(batch)["out"].shape[0] for batch in DataLoader(images, batch_size=2, **options)]

    with torch.no_grad():
        raises(ValueError, lambda: deeplab(images[:1]), "Expected more than 1 value per channel when training")
        raises(ValueError, epoch, "Expected more than 1 value per channel when training")
        assert epoch(drop_last=True) == [2]
        assert deeplab.eval()(images[:1])["out"].shape == (1, 2, 32, 32)


@pitfall('"Target 255 is out of bounds"')
def check_unlabelled_pixels():
    scores, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    target[:, 0] = 255
    raises(IndexError, lambda: cross_entropy(scores, target), "Target 255 is out of bounds")
    assert torch.isclose(
        cross_entropy(scores, target, ignore_index=255), cross_entropy(scores[:, :, 1:], target[:, 1:])
    )
    assert cross_entropy(scores, torch.full_like(target, 255), ignore_index=255).isnan()


@pitfall("Classes appear that nobody labelled")
def check_resized_masks():
    mask = 2 * (torch.rand(1, 1, 8, 8) > 0.5).float()
    assert set(interpolate(mask, size=(21, 21), mode="bilinear").round().unique().tolist()) == {0, 1, 2}
    assert set(interpolate(mask, size=(21, 21), mode="nearest").unique().tolist()) == {0, 2}


@pitfall("`'collections.OrderedDict' object has no attribute …`")
def check_dict():
    model = fcn_resnet50(weights=None, weights_backbone=None, num_classes=3, aux_loss=True).train()
    x, y = torch.rand(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32))
    raises(AttributeError, lambda: model(x).argmax(1), "'collections.OrderedDict' object has no attribute")
    out = model(x)
    (cross_entropy(out["out"], y) + 0.5 * cross_entropy(out["aux"], y)).backward()
    assert all(part.weight.grad.abs().max() > 0 for part in (model.classifier[4], model.aux_classifier[4]))
    assert list(fcn_resnet50(weights=None, weights_backbone=None, num_classes=3).train()(x)) == ["out"]


@pitfall("mIoU differs between programs")
def check_two_ways_to_average():
    def matrix(pairs, k=3):
        return sum(
            np.array([[(np.logical_and(truth == j, guess == i)).sum() for i in range(k)] for j in range(k)])
            for truth, guess in pairs
        )

    def mean_iou(n, absent):
        union = n.sum(0) + n.sum(1) - np.diag(n)
        iou = np.diag(n) / np.maximum(union, 1)
        return iou[union > 0].mean() if absent == "left out" else iou.mean()

    first = np.array([0] * 90 + [1] * 10), np.array([0] * 100)
    second = np.array([0] * 10 + [1] * 90), np.array([0] * 10 + [1] * 90)
    per_image = np.mean([mean_iou(matrix([pair]), "left out") for pair in (first, second)])
    together = matrix([first, second])
    assert abs(per_image - mean_iou(together, "left out")) > 0.15
    assert abs(mean_iou(together, "left out") - mean_iou(together, "zero")) > 0.2  # no pixel has the third class
    truth, guess = (np.concatenate(part) for part in zip(first, second))
    assert math.isclose(mean_iou(together, "left out"), jaccard_score(truth, guess, average="macro"))
    assert (together == confusion_matrix(truth, guess, labels=range(3))).all()


@holds("How do IoU and Dice relate?")
def check_dice_and_iou():
    one, two = np.array([1.0, 0.0]), np.array([0.55, 0.5])  # Dice of two models on two images
    assert one.mean() < two.mean() and (one / (2 - one)).mean() > (two / (2 - two)).mean()
    stated("0.6667", 0.8 / (2 - 0.8))
    a, b = np.random.rand(300) > 0.5, np.random.rand(300) > 0.4
    dice = 2 * (a & b).sum() / (a.sum() + b.sum())
    assert abs(dice / (2 - dice) - jaccard_score(a, b)) < 1e-12
