"""The cards of torchvision, held against the parts of the installed library that are written in Python.

Its compiled operators cannot be called here (see torchvision_operators): RoI Align runs by the library's own Python fallback,
non-maximum suppression is replaced by the greedy algorithm in NumPy where a model needs it, and deformable convolution
is held against the ordinary convolution it becomes.
"""

import math
import pickle
import re
import warnings

import numpy as np
import torch
import torch._dynamo  # noqa: F401 - what RoI Align's fallback asks for, loaded once before the checks fork
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision import models, ops, tv_tensors
from torchvision import transforms as v1
from torchvision.models import detection, segmentation
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import boxes as box_ops
from torchvision.ops.poolers import LevelMapper
from torchvision.transforms import functional as f1
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as f2

from note_checks import card, quietly, raises, subject

CARDS = dict(subject.cards)


def warns(work, *words: str):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    assert any(all(word in str(one.message) for word in words) for one in caught), f"no warning with {words}"
    return result


def close(actual, expected, tolerance=1e-9):
    actual = actual.detach().numpy() if isinstance(actual, torch.Tensor) else np.asarray(actual)
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def random_boxes(n: int) -> torch.Tensor:
    corner = torch.rand(n, 2, dtype=torch.float64) * 5
    return torch.cat([corner, corner + 0.2 + torch.rand(n, 2, dtype=torch.float64) * 5], 1)


def photo(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape or (3, 12, 16), dtype=torch.uint8)


# Boxes


def iou_terms(a, b):
    """IoU, the enclosing box's empty share, ρ²/c² and v of two boxes."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    union = sum(areas) - width * height
    hull = [max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])]
    centre = [(a[i] + a[i + 2] - b[i] - b[i + 2]) / 2 for i in (0, 1)]
    ratios = [math.atan((x[2] - x[0]) / (x[3] - x[1])) for x in (a, b)]
    enclosing = hull[0] * hull[1]
    return (
        width * height / union,
        (enclosing - union) / enclosing,
        (centre[0] ** 2 + centre[1] ** 2) / (hull[0] ** 2 + hull[1] ** 2),
        4 / math.pi**2 * (ratios[0] - ratios[1]) ** 2,
    )


def box_measures(a, b):
    iou, empty, distance, v = iou_terms(a, b)
    alpha = v / (1 - iou + v)
    return {"iou": iou, "giou": iou - empty, "diou": iou - distance, "ciou": iou - distance - alpha * v}


@card("torchvision.ops.box_iou", formula=r"\mathrm{IoU}=\frac{|A\cap B|}{|A\cup B|}")
@card("torchvision.ops.generalized_box_iou", formula=r"\mathrm{GIoU}=\mathrm{IoU}-\frac{|C|-|A\cup B|}{|C|}")
@card("torchvision.ops.distance_box_iou", formula=r"\mathrm{DIoU}=\mathrm{IoU}-\frac{\rho^2(a,b)}{c^2}")
@card(
    "torchvision.ops.complete_box_iou",
    formula=r"\mathrm{CIoU}=\mathrm{DIoU}-\alpha v,\quad v=\tfrac{4}{\pi^2}\left(\arctan\tfrac{w_1}{h_1}-\arctan\tfrac{w_2}{h_2}\right)^2,\quad \alpha=\tfrac{v}{1-\mathrm{IoU}+v}",
)
def pairwise_measures():
    a, b = random_boxes(6), random_boxes(5)
    functions = {
        "iou": ops.box_iou,
        "giou": ops.generalized_box_iou,
        "diou": ops.distance_box_iou,
        "ciou": ops.complete_box_iou,
    }
    for name, function in functions.items():
        expected = [[box_measures(x, y)[name] for y in b.tolist()] for x in a.tolist()]
        close(function(a, b), expected, 1e-6)
    far = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[100.0, 100, 101, 101]])
    assert -1 < ops.generalized_box_iou(*far) < -0.99
    corner_and_size = torch.tensor([[1.0, 1, 2, 3]])
    assert ops.box_iou(corner_and_size, corner_and_size, fmt="xywh") == 1
    assert ops.box_iou(torch.tensor([[5.0, 5, 2, 2]]), torch.tensor([[5.0, 5, 2, 2]])) != 1
    point = torch.ones(1, 4)
    assert ops.complete_box_iou(point, torch.tensor([[0.0, 0, 2, 2]])).isnan()


@card("torchvision.ops.generalized_box_iou_loss", formula=r"\ell=1-\mathrm{IoU}+\frac{|C|-|A\cup B|}{|C|}")
@card("torchvision.ops.distance_box_iou_loss", formula=r"\ell=1-\mathrm{IoU}+\frac{\rho^2}{c^2}")
@card("torchvision.ops.complete_box_iou_loss", formula=r"\ell=1-\mathrm{IoU}+\frac{\rho^2}{c^2}+\alpha v")
def matched_losses():
    a, b = random_boxes(6), random_boxes(6)
    losses = {
        "giou": ops.generalized_box_iou_loss,
        "diou": ops.distance_box_iou_loss,
        "ciou": ops.complete_box_iou_loss,
    }
    for name, function in losses.items():
        expected = np.array([1 - box_measures(x, y)[name] for x, y in zip(a.tolist(), b.tolist(), strict=True)])
        close(function(a, b), expected, 1e-5)
        close(function(a, b, reduction="mean"), expected.mean(), 1e-5)
    flat = torch.tensor([[0.0, 0, 2, 0]], requires_grad=True)
    ops.complete_box_iou_loss(flat, torch.tensor([[0.0, 0, 2, 2]])).sum().backward()
    assert flat.grad.isnan().any()


@card("torchvision.ops.box_area", formula="A=(x_2-x_1)(y_2-y_1)")
@card("torchvision.ops.box_convert", formula=r"c_x=\frac{x_1+x_2}{2},\quad w=x_2-x_1")
@card(
    "torchvision.ops.clip_boxes_to_image", formula=r"x\leftarrow\min(\max(x,0),W),\qquad y\leftarrow\min(\max(y,0),H)"
)
@card("torchvision.ops.masks_to_boxes", formula=r"(x_1,y_1,x_2,y_2)=(\min x,\ \min y,\ \max x,\ \max y)")
@card("torchvision.ops.remove_small_boxes")
def box_tools():
    b = random_boxes(7)
    x1, y1, x2, y2 = b.numpy().T
    close(ops.box_area(b), (x2 - x1) * (y2 - y1))
    assert ops.box_area(torch.tensor([[2.0, 2, 0, 3]])) == -2
    close(ops.box_convert(b, "xyxy", "cxcywh"), np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1))
    close(ops.box_convert(b, "xyxy", "xywh"), np.stack([x1, y1, x2 - x1, y2 - y1], 1))
    moved = b - 2
    x1, y1, x2, y2 = moved.numpy().T
    clipped = ops.clip_boxes_to_image(moved, (3, 4))
    close(clipped, np.stack([np.clip(x1, 0, 4), np.clip(y1, 0, 3), np.clip(x2, 0, 4), np.clip(y2, 0, 3)], 1))
    assert ops.box_area(ops.clip_boxes_to_image(torch.tensor([[-3.0, -3, -1, -1]]), (3, 4))) == 0
    assert ops.remove_small_boxes(torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 4], [0, 0, 9, 1]]), 2).tolist() == [0, 1]
    masks = torch.rand(5, 6, 7) > 0.8
    masks[:, 2, 3] = True
    expected = [[x.min(), y.min(), x.max(), y.max()] for y, x in (mask.numpy().nonzero() for mask in masks)]
    close(ops.masks_to_boxes(masks).double(), np.array(expected, dtype=float))
    single = torch.zeros(1, 3, 3, dtype=torch.bool)
    single[0, 1, 2] = True
    assert ops.box_area(ops.masks_to_boxes(single)) == 0


def greedy_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    kept: list[int] = []
    overlaps = ops.box_iou(boxes, boxes).detach().numpy()
    for i in scores.detach().numpy().argsort(kind="stable")[::-1]:
        if all(overlaps[i, k] <= threshold for k in kept):
            kept.append(int(i))
    return torch.tensor(kept, dtype=torch.int64)


@card("torchvision.ops.nms", "torchvision.ops.batched_nms")
def suppression():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [50, 50, 60, 60]])
    scores = torch.tensor([0.8, 0.9, 0.7])
    assert greedy_nms(boxes, scores, 0.5).tolist() == [1, 2]
    box_ops.nms = greedy_nms
    assert ops.batched_nms(boxes, scores, torch.tensor([0, 0, 0]), 0.5).tolist() == [1, 2]
    assert ops.batched_nms(boxes, scores, torch.tensor([0, 1, 0]), 0.5).tolist() == [1, 0, 2]


# Regions of interest


def without_compiling():
    """The Python fallback of RoI Align would be compiled on its first call; each check has a process of its own."""
    torch._dynamo.config.disable = True


def bilinear(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """The value of (C, H, W) at a point; zero outside by more than a pixel."""
    _, height, width = image.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(image.shape[0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    return (1 - dy) * ((1 - dx) * image[:, top, left] + dx * image[:, top, right]) + dy * (
        (1 - dx) * image[:, bottom, left] + dx * image[:, bottom, right]
    )


@card(
    "torchvision.ops.roi_align",
    "torchvision.ops.RoIAlign",
    formula=r"y_{ij}=\frac1n\sum_{k=1}^{n}\mathrm{bilinear}(x,\,p_{ijk})",
)
def roi_align():
    without_compiling()
    image = random(1, 2, 8, 9)
    for aligned in (True, False):
        box, scale, samples = np.array([2.0, 4.0, 13.0, 15.0]), 0.5, 2
        x1, y1, x2, y2 = box * scale - (0.5 if aligned else 0.0)
        expected = np.zeros((2, 3, 3))
        for i in range(3):
            for j in range(3):
                points = [
                    (y1 + (y2 - y1) / 3 * (i + (a + 0.5) / samples), x1 + (x2 - x1) / 3 * (j + (b + 0.5) / samples))
                    for a in range(samples)
                    for b in range(samples)
                ]
                expected[:, i, j] = np.mean([bilinear(image[0].numpy(), *point) for point in points], axis=0)
        rois = torch.tensor([[0.0, *box]], dtype=torch.float64)
        close(ops.roi_align(image, rois, 3, scale, samples, aligned)[0], expected)
        close(ops.RoIAlign(3, scale, samples, aligned)(image, [rois[:, 1:]])[0], expected)
    ramp = torch.arange(20.0).expand(1, 1, 20, 20)
    middle = [
        ops.roi_align(ramp, torch.tensor([[0.0, 4, 4, 12, 12]]), 1, 1.0, 4, aligned).item() for aligned in (True, False)
    ]
    assert math.isclose(middle[0], 7.5, rel_tol=1e-5) and math.isclose(middle[1], 8.0, rel_tol=1e-5), (
        "half a pixel apart"
    )


@card("torchvision.ops.ps_roi_align", "torchvision.ops.roi_pool")
def other_pooling():
    assert 21 * 7 * 7 == 1029
    coordinates = np.random.rand(1000) * 500
    assert 7 < np.abs(np.round(coordinates / 16) * 16 - coordinates).max() <= 8


@card("torchvision.ops.MultiScaleRoIAlign", formula=r"k=\left\lfloor k_0+\log_2\frac{\sqrt{wh}}{224}\right\rfloor")
def multi_scale_roi_align():
    without_compiling()
    sides = torch.tensor([20.0, 60, 111, 113, 223, 225, 300, 449, 2000])
    boxes = torch.stack([torch.zeros(9), torch.zeros(9), sides, sides * 1.3], 1)
    expected = np.clip(np.floor(4 + np.log2(np.sqrt(sides.numpy() ** 2 * 1.3) / 224)), 2, 5) - 2
    assert LevelMapper(2, 5)([boxes]).tolist() == expected.tolist()
    pooler = ops.MultiScaleRoIAlign(["a", "b"], 3, 2)
    features = {
        "a": torch.ones(1, 4, 64, 64),
        "b": torch.ones(1, 4, 32, 32),
        "other": torch.full((1, 4, 16, 16), float("nan")),
    }
    out = pooler(features, [torch.tensor([[0.0, 0, 200, 200], [5, 5, 30, 30]])], [(256, 256)])
    assert out.shape == (2, 4, 3, 3) and (out == 1).all()


@card(
    "torchvision.ops.FeaturePyramidNetwork",
    formula=r"M_l=W_l\,C_l+\mathrm{up}(M_{l+1}),\qquad P_l=\mathrm{conv}_{3\times3}(M_l)",
)
def feature_pyramid():
    network = ops.FeaturePyramidNetwork([2, 3, 4], 5).double()
    maps = [random(1, channels, size, size) for channels, size in zip((2, 3, 4), (8, 4, 2), strict=True)]
    out = network(dict(zip("abc", maps, strict=True)))
    merged = None
    for name, inner, layer, feature in reversed(
        list(zip("abc", network.inner_blocks, network.layer_blocks, maps, strict=True))
    ):
        weight, bias = inner[0].weight.detach().numpy()[:, :, 0, 0], inner[0].bias.detach().numpy()
        lateral = np.einsum("oc,nchw->nohw", weight, feature.numpy()) + bias[:, None, None]
        merged = lateral if merged is None else lateral + merged.repeat(2, 2).repeat(2, 3)
        close(out[name], F.conv2d(torch.tensor(merged), layer[0].weight, layer[0].bias, padding=1))


@card(
    "torchvision.ops.deform_conv2d",
    "torchvision.ops.DeformConv2d",
    formula=r"y(p)=\sum_k w_k\,m_k\,x(p+p_k+\Delta p_k)",
)
def deformable_convolution():
    image, weight = random(2, 6, 7), random(3, 2, 3, 3)

    def convolved(offset, mask):
        out = np.zeros((3, 4, 5))
        for i in range(4):
            for j in range(5):
                for k in range(9):
                    dy, dx = offset(k)
                    value = bilinear(image.numpy(), i + k // 3 + dy, j + k % 3 + dx)
                    out[:, i, j] += mask(k) * weight.numpy()[:, :, k // 3, k % 3] @ value
        return out

    close(convolved(lambda k: (0, 0), lambda k: 1), F.conv2d(image[None], weight)[0])
    kept = weight.clone()
    kept[:, :, 1, 1] = 0
    close(convolved(lambda k: (0, 0), lambda k: float(k != 4)), F.conv2d(image[None], kept)[0])
    half = (image[:, :-1] + image[:, 1:]) / 2
    inner = convolved(lambda k: (0.5, 0), lambda k: 1)
    close(inner[:, :3], F.conv2d(half[None], weight)[0])
    assert [name for name, _ in ops.DeformConv2d(4, 8, 3).named_parameters()] == ["weight", "bias"], (
        "no offsets are predicted"
    )


# Losses and layers


@card("torchvision.ops.sigmoid_focal_loss", formula=r"\ell=-\alpha_t\,(1-p_t)^{\gamma}\,\ln p_t")
def focal_loss():
    x, y = random(4, 5), (random(4, 5) > 0).double()
    p = 1 / (1 + np.exp(-x.numpy()))
    p_t = np.where(y.numpy() == 1, p, 1 - p)
    for alpha, gamma in ((0.25, 2), (0.6, 0), (-1, 3)):
        alpha_t = np.where(y.numpy() == 1, alpha, 1 - alpha) if alpha >= 0 else 1
        expected = -alpha_t * (1 - p_t) ** gamma * np.log(p_t)
        close(ops.sigmoid_focal_loss(x, y, alpha, gamma), expected, 1e-7)
        close(ops.sigmoid_focal_loss(x, y, alpha, gamma, "mean"), expected.mean(), 1e-7)


@card("torchvision.ops.stochastic_depth", formula=r"y=\frac{b}{1-p}\,x,\qquad b\sim\mathrm{Bernoulli}(1-p)")
def stochastic_depth():
    x = torch.ones(20000, 2)
    y = ops.stochastic_depth(x, 0.3, "row")
    assert torch.equal(y[:, 0], y[:, 1]) and set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
    assert abs((y[:, 0] == 0).double().mean() - 0.3) < 0.02
    whole = ops.stochastic_depth(x, 0.3, "batch")
    assert len(whole.unique()) == 1
    assert ops.StochasticDepth(0.3, "row").eval()(x) is x


def captured_probability(work) -> float:
    seen, original = [], torch.Tensor.bernoulli_

    def spy(self, p):
        seen.append(p)
        return original(self, p)

    torch.Tensor.bernoulli_ = spy
    try:
        work()
    finally:
        torch.Tensor.bernoulli_ = original
    return seen[0]


@card("torchvision.ops.drop_block2d", formula=r"\gamma=\frac{p}{k^2}\cdot\frac{H\,W}{(H-k+1)(W-k+1)}")
@card("torchvision.ops.drop_block3d", formula=r"\gamma=\frac{p}{k^3}\cdot\frac{D\,H\,W}{(D-k+1)(H-k+1)(W-k+1)}")
def drop_block():
    gamma = captured_probability(lambda: ops.drop_block2d(torch.ones(1, 1, 9, 8), 0.2, 3))
    close(gamma, 0.2 / 9 * 72 / (7 * 6))
    gamma = captured_probability(lambda: ops.drop_block3d(torch.ones(1, 1, 5, 9, 8), 0.2, 3))
    close(gamma, 0.2 / 27 * 360 / (3 * 7 * 6))
    y = ops.drop_block2d(torch.ones(8, 16, 32, 32), 0.1, 5)
    assert 0.07 < (y == 0).double().mean() < 0.11 and math.isclose(y.sum(), y.numel(), rel_tol=1e-4)
    assert not math.isclose(y[0].sum(), y[0].numel(), rel_tol=1e-4)


@card("torchvision.ops.FrozenBatchNorm2d", formula=r"y=\gamma\,\frac{x-\mu}{\sqrt{\sigma^2+\varepsilon}}+\beta")
def frozen_batch_norm():
    layer, x = ops.FrozenBatchNorm2d(3).double(), random(2, 3, 4, 5)
    close(layer(x), x, 1e-4)
    assert not list(layer.parameters()) and len(layer.state_dict()) == 4
    for buffer in layer.buffers():
        buffer.copy_(torch.rand(3) + 0.5)
    g, b, mu, var = (
        getattr(layer, name).numpy()[:, None, None] for name in ("weight", "bias", "running_mean", "running_var")
    )
    close(layer.train()(x), g * (x.numpy() - mu) / np.sqrt(var + 1e-5) + b)


@card("torchvision.ops.Conv2dNormActivation", formula=r"p=\frac{k-1}{2}\,d")
@card("torchvision.ops.MLP", "torchvision.ops.Permute")
def blocks():
    for k, d in ((3, 1), (5, 1), (3, 2), (7, 3)):
        block = ops.Conv2dNormActivation(2, 4, k, dilation=d)
        assert block[0].padding == ((k - 1) // 2 * d,) * 2 and block(torch.ones(2, 2, 20, 20)).shape == (2, 4, 20, 20)
        assert block[0].bias is None
    assert ops.Conv2dNormActivation(2, 4, norm_layer=None)[0].bias is not None
    assert ops.Conv2dNormActivation(2, 4, 4)(torch.ones(2, 2, 20, 20)).shape[2] == 19
    assert ops.Conv3dNormActivation(2, 4)(torch.ones(2, 2, 6, 6, 6)).shape == (2, 4, 6, 6, 6)
    network = ops.MLP(4, [8, 2], dropout=0.5)
    assert [type(layer).__name__ for layer in network] == ["Linear", "ReLU", "Dropout", "Linear", "Dropout"]
    assert ops.Permute([0, 3, 1, 2])(torch.ones(2, 5, 6, 3)).shape == (2, 3, 5, 6)


@card("torchvision.ops.SqueezeExcitation", formula=r"y_c=x_c\cdot\sigma\!\left(W_2\,\delta(W_1\bar x)\right)_c")
def squeeze_excitation():
    layer, x = ops.SqueezeExcitation(8, 2).double(), random(3, 8, 4, 5)
    first, second = (getattr(layer, name).weight.detach().numpy()[:, :, 0, 0] for name in ("fc1", "fc2"))
    means = x.numpy().mean((2, 3))
    inner = np.maximum(0, means @ first.T + layer.fc1.bias.detach().numpy())
    scale = 1 / (1 + np.exp(-(inner @ second.T + layer.fc2.bias.detach().numpy())))
    close(layer(x), x.numpy() * scale[:, :, None, None])
    assert layer.fc1.out_channels == 2


# Transforms: conversion


PIL = Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3))


@card("torchvision.transforms.ToTensor", "torchvision.transforms.v2.ToTensor", formula=r"y=\frac{x}{255}")
@card("torchvision.transforms.v2.ToDtype", formula=r"y=\frac{x}{255}\qquad(\text{uint8}\to\text{float32, scale})")
@card(
    "torchvision.transforms.ConvertImageDtype",
    "torchvision.transforms.v2.ConvertImageDtype",
    formula=r"y=\frac{x}{255}\qquad(\text{uint8}\to\text{float})",
)
@card(
    "torchvision.transforms.PILToTensor", "torchvision.transforms.v2.ToImage", "torchvision.transforms.v2.ToPureTensor"
)
def conversion():
    array = np.asarray(PIL).transpose(2, 0, 1)
    to_tensor_v2 = warns(v2.ToTensor, "deprecated", "ToDtype(torch.float32, scale=True)")
    for y in (
        v1.ToTensor()(PIL),
        quietly(lambda: to_tensor_v2(PIL)),
        v2.ToDtype(torch.float32, scale=True)(v2.ToImage()(PIL)),
        v1.ConvertImageDtype(torch.float32)(v1.PILToTensor()(PIL)),
    ):
        assert y.dtype == torch.float32
        close(y.as_subclass(torch.Tensor), array.astype(np.float32) / 255, 1e-6)
    kept = v1.ToTensor()(np.full((4, 5, 3), 200.0))
    assert kept.dtype == torch.float64 and kept.max() == 200
    raises(TypeError, lambda: v1.ToTensor()(torch.ones(3, 4, 4)))
    for y in (v1.PILToTensor()(PIL), v2.ToImage()(PIL)):
        assert y.dtype == torch.uint8 and y.shape == (3, 4, 5)
    unscaled = v2.ToDtype(torch.float32)(photo())
    assert unscaled.max() > 1
    sample = {"image": tv_tensors.Image(photo()), "mask": tv_tensors.Mask(photo(1, 12, 16))}
    converted = v2.ToDtype(torch.float32, scale=True)(sample)
    assert converted["mask"].dtype == torch.uint8 and converted["image"].max() <= 1
    assert type(v2.ToPureTensor()(sample["image"])) is torch.Tensor
    close(v2.ConvertImageDtype(torch.float32)(v1.PILToTensor()(PIL)), array.astype(np.float32) / 255, 1e-6)
    raises((TypeError, AttributeError), lambda: v1.ConvertImageDtype(torch.float32)(PIL))
    close(v1.ConvertImageDtype(torch.uint8)(torch.tensor([[[0.0, 1.0]]])), np.array([[[0, 255]]], dtype=np.uint8))


@card("torchvision.transforms.ToPILImage", "torchvision.transforms.v2.RGB")
def images():
    assert np.array_equal(np.asarray(v1.ToPILImage()(v1.ToTensor()(PIL))), np.asarray(PIL))
    assert f1.to_pil_image(torch.full((1, 2, 2), 1.5)).getpixel((0, 0)) == 126
    raises(ValueError, lambda: v1.ToPILImage()(torch.ones(2, 3, 4, 4)))
    assert v2.RGB()(torch.ones(1, 4, 4)).shape == (3, 4, 4) and v2.RGB()(torch.ones(4, 4, 4)).shape == (4, 4, 4)


@card(
    "torchvision.transforms.Normalize", "torchvision.transforms.v2.Normalize", formula=r"y_c=\frac{x_c-\mu_c}{\sigma_c}"
)
@card("torchvision.transforms.LinearTransformation", formula=r"y=(x-\mu)\,A")
def normalization():
    x, mean, std = random(3, 4, 5), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    expected = (x.numpy() - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    close(v1.Normalize(mean, std)(x), expected, 1e-7)
    close(v2.functional.normalize(x, mean, std), expected, 1e-7)
    raises(TypeError, lambda: v1.Normalize(mean, std)(photo()))
    raises(TypeError, lambda: v1.Normalize(mean, std)(PIL))
    matrix, mu = random(12, 12), random(12)
    small = random(3, 2, 2)
    close(
        v1.LinearTransformation(matrix, mu)(small),
        ((small.numpy().reshape(-1) - mu.numpy()) @ matrix.numpy()).reshape(3, 2, 2),
    )
    assert 3 * 224 * 224 == 150528


# Transforms: geometry


@card(
    "torchvision.transforms.Resize",
    "torchvision.transforms.CenterCrop",
    "torchvision.transforms.RandomCrop",
    "torchvision.transforms.FiveCrop",
    "torchvision.transforms.Pad",
)
def sizes():
    x = torch.rand(3, 32, 48)
    assert v1.Resize(16)(x).shape == v2.Resize(16)(x).shape == (3, 16, 24) and v1.Resize((16, 16))(x).shape == (
        3,
        16,
        16,
    )
    assert v1.Resize(16, max_size=20)(x).shape == (3, 13, 20)
    padded = v1.CenterCrop(40)(x)
    assert padded.shape == (3, 40, 40) and (padded[:, 0] == 0).all()
    raises(ValueError, lambda: v1.RandomCrop(40)(x))
    raises(ValueError, lambda: v2.RandomCrop(40)(x))
    assert v1.RandomCrop(40, pad_if_needed=True)(x).shape == (3, 40, 40)
    close(f1.crop(x, 3, 5, 7, 9), x[:, 3:10, 5:14])
    assert len(v1.FiveCrop(16)(x)) == 5 and len(v2.TenCrop(16)(x)) == 10 and isinstance(v1.FiveCrop(16)(x), tuple)
    assert v1.Pad((1, 2))(x).shape == (3, 36, 50) and v1.Pad((1, 2, 3, 4))(x).shape == (3, 38, 52)
    marked = v1.Pad((1, 2, 3, 4))(torch.ones(1, 1, 1))
    assert marked[0, 2, 1] == 1 and marked.sum() == 1


@card(
    "torchvision.transforms.RandomResizedCrop",
    formula=r"wh=a\,WH,\quad a\sim U(s_1,s_2),\quad \ln\frac{w}{h}\sim U(\ln r_1,\ln r_2)",
)
def random_resized_crop():
    image = torch.rand(1, 1000, 1000)
    drawn = np.array([v1.RandomResizedCrop.get_params(image, (0.1, 0.5), (0.5, 2.0)) for _ in range(3000)], dtype=float)
    height, width = drawn[:, 2], drawn[:, 3]
    area, log_ratio = height * width / 1e6, np.log(width / height)
    assert (
        area.min() > 0.099
        and area.max() < 0.501
        and abs(area.mean() - 0.3) < 0.01
        and abs(area.var() - 0.4**2 / 12) < 0.002
    )
    assert (
        abs(log_ratio).max() < 0.7
        and abs(log_ratio.mean()) < 0.03
        and abs(log_ratio.var() - (2 * math.log(2)) ** 2 / 12) < 0.01
    )
    assert v1.RandomResizedCrop(16)(image).shape == (1, 16, 16) and v1.RandomResizedCrop(16).scale == (0.08, 1.0)


@card("torchvision.transforms.functional.hflip", formula=r"y_{h,w}=x_{h,\,W-1-w}")
@card(
    "torchvision.transforms.RandomHorizontalFlip",
    "torchvision.transforms.RandomRotation",
    "torchvision.transforms.RandomAffine",
    "torchvision.transforms.v2.Transform",
)
def flips_and_turns():
    x = torch.rand(3, 8, 9)
    for y in (f1.hflip(x), f2.horizontal_flip(x), v1.RandomHorizontalFlip(1.0)(x)):
        close(y, x.numpy()[:, :, ::-1])
    close(f1.vflip(x), x.numpy()[:, ::-1])
    boxes = tv_tensors.BoundingBoxes([[0, 0, 3, 5]], format="XYXY", canvas_size=(8, 9))
    assert v2.RandomHorizontalFlip(1.0)(tv_tensors.Image(x), boxes)[1].tolist() == [[6, 0, 9, 5]]
    first, second = v2.RandomHorizontalFlip(1.0)(x, x)
    assert torch.equal(second, x) and not torch.equal(first, x)
    first, second = v2.RandomHorizontalFlip(1.0)(x, tv_tensors.Image(x))
    assert torch.equal(first, x) and not torch.equal(second, tv_tensors.Image(x))
    dot = torch.zeros(1, 9, 9)
    dot[0, 4, 7] = 1
    assert f1.rotate(dot, 90)[0, 1, 4] == 1, "counter-clockwise"
    assert f1.affine(dot, 90, [0, 0], 1.0, [0.0])[0, 7, 4] == 1, "clockwise"
    assert f1.affine(dot, 0, [1, 0], 1.0, [0.0])[0, 4, 8] == 1, "pixels"
    raises(ValueError, lambda: v1.RandomAffine(0, translate=(2, 2)))
    assert v1.RandomRotation(30).interpolation == v1.RandomAffine(0).interpolation == v1.InterpolationMode.NEAREST
    assert (
        v1.RandomRotation(90, expand=True)(torch.rand(3, 32, 48)).shape[1] > 32
        and v1.RandomRotation(90)(x).shape == x.shape
    )


@card(
    "torchvision.transforms.RandomPerspective",
    "torchvision.transforms.ElasticTransform",
    "torchvision.transforms.RandomErasing",
    "torchvision.transforms.InterpolationMode",
)
def distortions():
    moved = [v1.RandomPerspective.get_params(200, 100, 0.5)[1] for _ in range(300)]
    corners = np.array(moved, dtype=float)
    assert 40 < corners[:, 0, 0].max() <= 50 and 20 < corners[:, 0, 1].max() <= 25
    x = torch.rand(3, 21, 30)
    for elastic in (v1.ElasticTransform(), v2.ElasticTransform()):
        assert elastic(x).shape == x.shape
        raises(RuntimeError, lambda elastic=elastic: elastic(x[:, :20]), "Padding size")
    assert v1.RandomPerspective(p=1.0)(x).shape == x.shape
    assert (v1.RandomErasing(1.0)(x) == 0).any()
    raises((AttributeError, TypeError), lambda: v1.RandomErasing(1.0)(PIL))
    labels = torch.tensor([[[0.0, 8.0]]])
    smooth = f1.resize(labels, [1, 8])
    assert ((smooth > 1) & (smooth < 7)).any()
    assert set(f1.resize(labels, [1, 8], v1.InterpolationMode.NEAREST).unique().tolist()) == {0, 8}


@card(
    "torchvision.transforms.v2.RandomIoUCrop",
    "torchvision.transforms.v2.RandomZoomOut",
    "torchvision.transforms.v2.ScaleJitter",
    "torchvision.transforms.v2.SanitizeBoundingBoxes",
    "torchvision.transforms.v2.ClampBoundingBoxes",
    "torchvision.transforms.v2.UniformTemporalSubsample",
)
def detection_transforms():
    x = tv_tensors.Image(torch.rand(3, 32, 48))
    raises(TypeError, lambda: v2.RandomIoUCrop()(x))
    larger = v2.RandomZoomOut(p=1.0, side_range=(2.0, 3.0))(x)
    assert larger.shape[1] >= 64
    assert {v2.ScaleJitter((20, 20))(x).shape for _ in range(5)} != {(3, 20, 20)} and v2.RandomShortestSize([20])(
        x
    ).shape == (3, 20, 30)

    def boxes(*rows):
        return tv_tensors.BoundingBoxes(list(rows), format="XYXY", canvas_size=(32, 48))

    kept = v2.SanitizeBoundingBoxes()({"boxes": boxes([0, 0, 0, 5], [1, 1, 5, 5]), "labels": torch.tensor([1, 2])})
    assert kept["boxes"].tolist() == [[1, 1, 5, 5]] and kept["labels"].tolist() == [2]
    raises(ValueError, lambda: v2.SanitizeBoundingBoxes()({"boxes": boxes([0, 0, 0, 5])}))
    assert len(v2.SanitizeBoundingBoxes(labels_getter=None)({"boxes": boxes([0, 0, 0, 5])})["boxes"]) == 0
    assert v2.ClampBoundingBoxes()(boxes([-1, 1, 100, 5])).tolist() == [[0, 1, 48, 5]]
    plain = torch.tensor([[-1.0, 1, 100, 5]])
    assert torch.equal(v2.ClampBoundingBoxes()(plain), plain)
    assert v2.ConvertBoundingBoxFormat("XYWH")(boxes([1, 1, 10, 5])).tolist() == [[1, 1, 9, 4]]
    video = torch.arange(10.0).reshape(10, 1, 1, 1)
    assert (
        v2.UniformTemporalSubsample(3)(video).flatten().tolist() == [0, 4, 9]
        and len(v2.UniformTemporalSubsample(20)(video)) == 20
    )


# Transforms: colour


@card("torchvision.transforms.ColorJitter", formula=r"f\sim U\big(\max(0,1-b),\,1+b\big)")
@card("torchvision.transforms.functional.adjust_brightness", formula=r"y=\mathrm{clamp}\big(f\,x+(1-f)\,z\big)")
@card("torchvision.transforms.functional.adjust_gamma", formula=r"y=\mathrm{clamp}\big(g\,x^{\gamma}\big)")
@card("torchvision.transforms.Grayscale", formula=r"L=0.2989\,R+0.587\,G+0.114\,B")
def colours():
    x = torch.rand(3, 6, 7, dtype=torch.float64)
    grey = (0.2989 * x[0] + 0.587 * x[1] + 0.114 * x[2]).numpy()
    close(v1.Grayscale()(x)[0], grey, 1e-6)
    assert v1.Grayscale(3)(x).shape == v2.RandomGrayscale(1.0)(x).shape == (3, 6, 7) and v2.Grayscale()(x).shape == (
        1,
        6,
        7,
    )
    blends = {f1.adjust_brightness: 0.0, f1.adjust_contrast: grey.mean(), f1.adjust_saturation: grey}
    for function, z in blends.items():
        for f in (0.0, 0.4, 1.0, 1.8):
            close(function(x, f), np.clip(f * x.numpy() + (1 - f) * z, 0, 1), 1e-6)
    close(f1.adjust_gamma(x, 2.2, 1.5), np.clip(1.5 * x.numpy() ** 2.2, 0, 1), 1e-6)
    close(f1.adjust_hue(torch.tensor([1.0, 0, 0])[:, None, None], 0.5).flatten(), np.array([0, 1, 1]), 1e-5)
    jitter = v1.ColorJitter(brightness=0.4, contrast=1.5)
    assert tuple(jitter.brightness) == (0.6, 1.4) and tuple(jitter.contrast) == (0.0, 2.5)
    drawn = [v1.ColorJitter.get_params((0.6, 1.4), None, None, None)[1] for _ in range(2000)]
    assert min(drawn) > 0.6 and max(drawn) < 1.4 and abs(np.mean(drawn) - 1) < 0.02
    close(v1.ColorJitter()(x), x)
    raises(ValueError, lambda: v1.ColorJitter(hue=0.6))


@card("torchvision.transforms.GaussianBlur", formula=r"w_i\propto e^{-i^2/(2\sigma^2)},\qquad \sum_i w_i=1")
@card(
    "torchvision.transforms.RandomAdjustSharpness", formula=r"y=\mathrm{clamp}\big(f\,x+(1-f)\,\mathrm{smooth}(x)\big)"
)
def blurring():
    dot = torch.zeros(1, 11, 11, dtype=torch.float64)
    dot[0, 5, 5] = 1
    kernel = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 1.3**2))
    kernel /= kernel.sum()
    close(f1.gaussian_blur(dot, 7, 1.3)[0, 2:9, 2:9], np.outer(kernel, kernel), 1e-7)
    raises(ValueError, lambda: v1.GaussianBlur(4))
    x = torch.rand(1, 6, 7, dtype=torch.float64)
    weights = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]], dtype=torch.float64) / 13
    smooth = x.clone()
    smooth[:, 1:-1, 1:-1] = F.conv2d(x[None], weights[None, None])[0]
    for f in (0.0, 0.5, 1.0, 2.0):
        close(f1.adjust_sharpness(x, f), np.clip(f * x.numpy() + (1 - f) * smooth.numpy(), 0, 1), 1e-6)


@card("torchvision.transforms.RandomInvert", formula="y=255-x")
@card("torchvision.transforms.RandomSolarize", formula=r"y=\begin{cases}255-x & x\ge t\\ x & x<t\end{cases}")
@card("torchvision.transforms.RandomPosterize", formula=r"y=\left\lfloor\frac{x}{2^{8-b}}\right\rfloor 2^{8-b}")
@card("torchvision.transforms.RandomAutocontrast", formula=r"y_c=\frac{x_c-\min x_c}{\max x_c-\min x_c}")
@card("torchvision.transforms.RandomEqualize", "torchvision.transforms.v2.RandomChannelPermutation")
def values():
    x, floats = photo(), torch.rand(3, 6, 7, dtype=torch.float64)
    n = x.numpy().astype(int)
    for module in (f1, f2):
        close(module.invert(x).long(), 255 - n)
        close(module.invert(floats), 1 - floats.numpy())
        close(module.solarize(x, 128).long(), np.where(n >= 128, 255 - n, n))
        close(module.posterize(x, 3).long(), n // 32 * 32)
        low, high = (getattr(floats.numpy(), name)((1, 2), keepdims=True) for name in ("min", "max"))
        close(module.autocontrast(floats), (floats.numpy() - low) / (high - low), 1e-6)
    raises(TypeError, lambda: f1.posterize(floats, 3))
    raises(TypeError, lambda: f1.equalize(floats))
    for transform in (v1.RandomSolarize(128, 1.0), v2.RandomSolarize(128, 1.0)):
        raises(TypeError, lambda transform=transform: transform(floats))
    assert sorted(v2.RandomChannelPermutation()(floats)[:, 0, 0].tolist()) == sorted(floats[:, 0, 0].tolist())
    dark = (photo(1, 64, 64) // 4).clone()
    assert f1.equalize(dark).max() > 200


# Transforms: policies, mixing, composition


@card(
    "torchvision.transforms.AutoAugment",
    "torchvision.transforms.RandAugment",
    "torchvision.transforms.TrivialAugmentWide",
    "torchvision.transforms.AugMix",
)
def policies():
    for policy in v1.AutoAugmentPolicy:
        assert len(v1.AutoAugment(policy).policies) == 25
    x, floats = photo(), torch.rand(3, 12, 16)
    for transform in (v1.AutoAugment(), v1.RandAugment(), v1.TrivialAugmentWide(), v1.AugMix()):
        assert transform(x).shape == x.shape

    def many(transform, image):
        for _ in range(60):
            transform(image)

    raises(TypeError, lambda: many(v1.RandAugment(), floats))
    raises(TypeError, lambda: many(v1.TrivialAugmentWide(), floats))
    raises(TypeError, lambda: many(v1.AutoAugment(), floats))
    many(v2.RandAugment(), floats)
    assert max(v1.TrivialAugmentWide()._augmentation_space(31)["TranslateX"][0]) == 32


def mixed(transform, n: int = 6):
    images, labels = torch.rand(n, 3, 20, 24, dtype=torch.float64), torch.arange(n)
    torch.manual_seed(1)
    return images, labels, *transform(images, labels)


@card(
    "torchvision.transforms.v2.MixUp",
    formula=r"\tilde x=\lambda x_i+(1-\lambda)x_j,\quad \tilde y=\lambda y_i+(1-\lambda)y_j,\quad \lambda\sim\mathrm{Beta}(\alpha,\alpha)",
)
@card("torchvision.transforms.v2.CutMix", formula=r"\tilde y=\lambda y_i+(1-\lambda)y_j,\qquad 1-\lambda=\frac{wh}{WH}")
def mixing():
    images, labels, out, targets = mixed(v2.MixUp(num_classes=6))
    share = targets[0, 0].item()
    partner = [int(t.clone().index_fill(0, torch.tensor([i]), -1).argmax()) for i, t in enumerate(targets)]
    assert 0 < share < 1 and targets.shape == (6, 6)
    for i, j in enumerate(partner):
        close(out[i], share * images[i].numpy() + (1 - share) * images[j].numpy(), 1e-6)
        close(targets[i, j], np.float32(1 - share), 1e-6)
    images, labels, out, targets = mixed(v2.CutMix(num_classes=6))
    for i in range(6):
        changed = (out[i] != images[i]).any(0).double().mean().item()
        close(targets[i, i].double(), 1 - changed, 1e-6)
        close(targets[i].sum().double(), 1.0, 1e-6)
    assert 0 < targets[0, 0] < 1
    raises(ValueError, lambda: v2.CutMix(num_classes=6)(images[0], labels[0]))


@card("torchvision.transforms.Compose", "torchvision.transforms.RandomApply", "torchvision.transforms.Lambda")
def composition():
    raises(TypeError, lambda: v1.Compose([v1.CenterCrop(4)])(PIL, PIL))
    both = [v1.Lambda(lambda t: t + 1), v1.Lambda(lambda t: t * 10)]
    assert v1.Compose(both)(1) == 20
    assert {v1.RandomApply(both)(1) for _ in range(50)} == {1, 20}
    assert {v1.RandomChoice(both)(1) for _ in range(50)} == {2, 10} and {
        v1.RandomOrder(both)(1) for _ in range(50)
    } == {20, 11}
    raises((pickle.PicklingError, AttributeError), lambda: pickle.dumps(v1.Lambda(lambda t: t)))


# Models


def built(symbol: str) -> nn.Module:
    """A model without memory for its weights."""
    make = getattr(models, symbol.rpartition(".")[2])
    with torch.device("meta"):
        try:
            return make(weights=None, init_weights=False)
        except TypeError:
            return make(weights=None)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


FAMILIES = (
    "alexnet",
    "vgg16",
    "resnet50",
    "densenet121",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "efficientnet_b0",
    "swin_t",
    "convnext_tiny",
)


@card(*(f"torchvision.models.{name}" for name in FAMILIES))
def stated_parameters():
    counted = 0
    for symbol, entry in CARDS.items():
        shapes = entry.get("shapes")
        stated = shapes.get(symbol) if isinstance(shapes, dict) else None
        if isinstance(stated, dict) and symbol.startswith("torchvision.models."):
            numbers = {re.search(r"(\d+(?:,\d{3})+)", text)[1] for text in stated.values()}
            model = built(symbol)
            if symbol.endswith("googlenet"):
                model.aux1 = model.aux2 = None
            assert numbers == {f"{parameters(model):,}"}, f"{symbol} has {parameters(model):,} parameters"
            counted += 1
    assert counted > 50


@card("torchvision.models.alexnet", "torchvision.models.vgg16")
def first_networks():
    alexnet, vgg = built("alexnet"), built("vgg16")
    assert round(100 * parameters(alexnet.classifier) / parameters(alexnet)) == 96
    assert alexnet.classifier[6].out_features == 1000
    assert round(parameters(vgg.classifier) / 1e6) == 124 and round(parameters(vgg) / 1e6) == 138
    small = models.alexnet().eval()
    assert small(torch.rand(1, 3, 63, 63)).shape == (1, 1000)
    raises(RuntimeError, lambda: small(torch.rand(1, 3, 62, 62)))


@card(*(f"torchvision.models.{name}" for name in FAMILIES[2:]))
def heads():
    resnet = built("resnet50")
    assert (
        resnet.layer2[0].conv1.stride == (1, 1)
        and resnet.layer2[0].conv2.stride == (2, 2)
        and resnet.fc.out_features == 1000
    )
    assert (
        built("mobilenet_v2").classifier[1].out_features == built("efficientnet_b0").classifier[1].out_features == 1000
    )
    small = built("mobilenet_v3_small")
    assert small.classifier[3].out_features == 1000 and parameters(small.classifier) > parameters(small) / 2
    assert (
        built("shufflenet_v2_x1_0").fc.out_features
        == built("swin_t").head.out_features
        == built("convnext_tiny").classifier[2].out_features
        == 1000
    )
    assert isinstance(built("squeezenet1_0").classifier[1], nn.Conv2d)
    assert models.EfficientNet_B0_Weights.DEFAULT.transforms().crop_size == [
        224
    ] and models.EfficientNet_B7_Weights.DEFAULT.transforms().crop_size == [600]
    assert built("swin_t").features(torch.rand(1, 3, 64, 64, device="meta")).shape == (1, 2, 2, 768)
    assert models.densenet121(memory_efficient=True).features.denseblock1.denselayer1.memory_efficient
    same_seed = [models.shufflenet_v2_x0_5().eval()]
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(same_seed[0](x), same_seed[0](x))


@card("torchvision.models.googlenet", "torchvision.models.inception_v3")
def inceptions():
    google = models.googlenet(weights=None, init_weights=False).train()
    out = google(torch.rand(2, 3, 96, 96))
    assert out._fields == ("logits", "aux_logits2", "aux_logits1")
    inception = models.inception_v3(weights=None, init_weights=False)
    assert inception.eval()(torch.rand(1, 3, 75, 75)).shape == (1, 1000)
    raises(RuntimeError, lambda: inception(torch.rand(1, 3, 74, 74)))
    assert inception.train()(torch.rand(2, 3, 299, 299))._fields == ("logits", "aux_logits")


@card("torchvision.models.vit_b_16", formula=r"L=\left(\frac{S}{P}\right)^2+1")
def vision_transformer():
    for name, patch in (("vit_b_16", 16), ("vit_b_32", 32), ("vit_h_14", 14)):
        assert built(name).encoder.pos_embedding.shape[1] == (224 // patch) ** 2 + 1
    small = models.VisionTransformer(image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    assert small.encoder.pos_embedding.shape[1] == 17 and small(torch.rand(1, 3, 32, 32)).shape == (1, 1000)
    raises(AssertionError, lambda: small(torch.rand(1, 3, 40, 40)), "Wrong image height")
    assert small.heads.head.out_features == 1000


# Detection and segmentation


@card("torchvision.models.detection.anchor_utils.AnchorGenerator", formula=r"h=s\sqrt r,\qquad w=\frac{s}{\sqrt r}")
def anchors():
    sizes, ratios = ((32, 60), (128, 250)), ((0.5, 1.0, 2.0),) * 2
    made = AnchorGenerator(sizes, ratios)(
        ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)]), [torch.zeros(1, 1, 8, 12), torch.zeros(1, 1, 4, 6)]
    )
    assert made[0].shape == ((8 * 12 + 4 * 6) * 6, 4)
    expected = [[s / math.sqrt(r), s * math.sqrt(r)] for r in ratios[0] for s in sizes[0]]
    first = made[0][:6].numpy()
    np.testing.assert_allclose(first[:, 2:] - first[:, :2], expected, atol=1.01)
    raises(
        AssertionError,
        lambda: AnchorGenerator(((32, 64),))(
            ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)]), [torch.zeros(1, 1, 8, 12)] * 2
        ),
    )


def with_nms(model: nn.Module) -> nn.Module:
    box_ops.nms = greedy_nms
    return model


TARGET = {
    "boxes": torch.tensor([[5.0, 5, 40, 40]]),
    "labels": torch.tensor([1]),
    "masks": torch.ones(1, 64, 64, dtype=torch.uint8),
}


@card(
    "torchvision.models.detection.fasterrcnn_resnet50_fpn",
    "torchvision.models.detection.maskrcnn_resnet50_fpn",
    "torchvision.models.detection.rpn.RegionProposalNetwork",
)
def two_stage_detectors():
    without_compiling()
    options = {
        "weights": None,
        "weights_backbone": None,
        "num_classes": 2,
        "min_size": 64,
        "max_size": 64,
        "rpn_post_nms_top_n_train": 20,
        "rpn_pre_nms_top_n_train": 40,
    }
    model = with_nms(detection.maskrcnn_resnet50_fpn(**options))
    assert (model.rpn.proposal_matcher.high_threshold, model.rpn.proposal_matcher.low_threshold) == (0.7, 0.3)
    with torch.device("meta"):
        assert detection.fasterrcnn_resnet50_fpn(**options).roi_heads.box_predictor.cls_score.out_features == 2
    losses = model([torch.rand(3, 64, 64)], [TARGET])
    box_losses = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert set(losses) == box_losses | {"loss_mask"}
    raises(AssertionError, lambda: model([torch.rand(3, 64, 64)]))
    model.eval()
    model.roi_heads.score_thresh, model.roi_heads.detections_per_img = 0.0, 5
    model.rpn._pre_nms_top_n["testing"], model.rpn._post_nms_top_n["testing"] = 40, 10
    with torch.no_grad():
        found = model([torch.rand(3, 50, 64)])[0]
    assert set(found) == {"boxes", "labels", "scores", "masks"} and found["masks"].shape[1:] == (1, 50, 64)
    assert (found["labels"] >= 1).all() and 0 <= found["masks"].min() and found["masks"].max() <= 1
    assert model.transform.image_mean == [0.485, 0.456, 0.406]


@card("torchvision.models.detection.ssd300_vgg16", "torchvision.models.detection.ssdlite320_mobilenet_v3_large")
def ssd():
    model = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=2)
    assert tuple(model.transform.fixed_size) == (320, 320)
    losses = model([torch.rand(3, 40, 64), torch.rand(3, 64, 64)], [TARGET, TARGET])
    assert set(losses) == {"bbox_regression", "classification"}
    assert model.transform([torch.rand(3, 40, 64)])[0].tensors.shape == (1, 3, 320, 320)
    assert tuple(detection.ssd300_vgg16(weights=None, weights_backbone=None).transform.fixed_size) == (300, 300)


@card(
    "torchvision.models.detection.fcos_resnet50_fpn",
    formula=r"\mathrm{centerness}=\sqrt{\frac{\min(l,r)}{\max(l,r)}\cdot\frac{\min(t,b)}{\max(t,b)}}",
)
def fcos():
    head = FCOSHead(32, 1, 2)
    anchors = torch.tensor([[8.0, 10, 16, 18]])
    box = torch.tensor([[3.0, 4.0, 31.0, 20.0]])
    left, top, right, bottom = 12 - 3, 14 - 4, 31 - 12, 20 - 14
    expected = math.sqrt(min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom))
    logit = torch.tensor([[[2.0]]])
    outputs = {"cls_logits": torch.zeros(1, 1, 2), "bbox_regression": torch.ones(1, 1, 4), "bbox_ctrness": logit}
    loss = head.compute_loss([{"boxes": box, "labels": torch.tensor([1])}], outputs, [anchors], [torch.tensor([0])])[
        "bbox_ctrness"
    ]
    close((F.softplus(logit.squeeze()) - loss) / 2.0, np.float32(expected), 1e-5)


@card("torchvision.models.segmentation.fcn_resnet50", "torchvision.models.segmentation.deeplabv3_resnet50")
def segmenters():
    model = segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True).eval()
    with torch.no_grad():
        out = model(torch.rand(1, 3, 48, 64))
    assert set(out) == {"out", "aux"} and out["out"].shape == (1, 21, 48, 64)
    deep = segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=4).train()
    raises(ValueError, lambda: deep(torch.rand(1, 3, 33, 33)), "Expected more than 1 value per channel")
    with torch.no_grad():
        assert list(deep.eval()(torch.rand(1, 3, 33, 33))) == ["out"]


# A function that claims several cards runs once.
subject.checks[:] = dict((check, (name, check)) for name, check in subject.checks).values()
