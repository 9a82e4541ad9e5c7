import inspect
import math
import sys
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import torch
from torch.nn.functional import adaptive_max_pool2d
from torchvision.ops import MultiScaleRoIAlign, roi_align, roi_pool

from note_checks import check, formula, stated

POOL = r"""
a = \mathrm{round}(s\, x_1), \qquad m = \max\big(\mathrm{round}(s\, x_2) - a + 1,\ 1\big), \qquad
a + \left\lfloor \frac{j\, m}{P} \right\rfloor \le q < a + \left\lceil \frac{(j + 1)\, m}{P} \right\rceil
"""
POINTS = r"x_{jk} = s\, x_1 - \delta + \left( j + \frac{k + \frac12}{n} \right) \frac{s\,(x_2 - x_1)}{P}"
MEAN = r"""
y_{ij} = \frac{1}{n^2} \sum_{k, l} \sum_{p, q} F_{pq}\, \max(0,\, 1 - |y_{ik} - p|)\, \max(0,\, 1 - |x_{jl} - q|)
"""


def library_align(*arguments, **settings):
    """torchvision's roi_align through its Python implementation, without compiling it."""
    module = sys.modules["torchvision.ops.roi_align"]
    module._roi_align = getattr(module._roi_align, "__wrapped__", module._roi_align)
    return roi_align(*arguments, **settings)


def by_formula(F, box, P, s, n, delta):
    x1, y1, x2, y2 = box

    def point(low, high, j, k):
        return s * low - delta + (j + (k + 0.5) / n) * s * (high - low) / P

    out = np.zeros((P, P))
    H, W = F.shape
    for i in range(P):
        for j in range(P):
            for k in range(n):
                for m in range(n):
                    y, x = point(y1, y2, i, k), point(x1, x2, j, m)
                    weight = np.maximum(0, 1 - abs(y - np.arange(H)))[:, None] * np.maximum(0, 1 - abs(x - np.arange(W)))
                    out[i, j] += (F * weight).sum() / n**2
    return out


def holds_for(align):
    """Asserts that an implementation of RoI Align computes the article's formulas."""
    F = torch.randn(1, 1, 14, 11, dtype=torch.float64)
    for box in ([8.0, 10.0, 40.0, 60.0], [9.3, 11.7, 30.1, 35.9], [5.0, 6.0, 12.0, 50.0]):
        for P, n in ((2, 1), (3, 2), (4, 3)):
            for aligned, delta in ((True, 0.5), (False, 0.0)):
                ours = by_formula(F[0, 0].numpy(), box, P, 0.2, n, delta)
                rois = [torch.tensor([box], dtype=torch.float64)]
                np.testing.assert_allclose(ours, align(F, rois, P, 0.2, n, aligned)[0, 0].numpy(), atol=1e-6)


@formula(POINTS, MEAN)
def check_align():
    holds_for(library_align)


@check
def check_adaptive_number_of_points_and_minimum():
    F = torch.randn(1, 1, 30, 30, dtype=torch.float64)
    box = torch.tensor([[2.0, 3.0, 21.0, 22.0]], dtype=torch.float64)
    n = math.ceil(19 / 4)
    np.testing.assert_allclose(library_align(F, [box], 4, 1.0, -1, True).numpy(), library_align(F, [box], 4, 1.0, n, True).numpy())
    assert not torch.allclose(library_align(F, [box], 4, 1.0, -1, True), library_align(F, [box], 4, 1.0, 1, True), atol=0.05)
    tiny = torch.tensor([[2.0, 3.0, 2.5, 3.5]], dtype=torch.float64)
    grown = torch.tensor([[2.0, 3.0, 3.0, 4.0]], dtype=torch.float64)
    assert torch.allclose(library_align(F, [tiny], 2, 1.0, 2, False), library_align(F, [grown], 2, 1.0, 2, False))
    assert not torch.allclose(library_align(F, [tiny], 2, 1.0, 2, True), library_align(F, [grown], 2, 1.0, 2, True), atol=1e-3)


# verified: formula-only for torchvision's compiled roi_pool; its bins are those of adaptive_max_pool2d on the rounded crop.
@formula(POOL)
def check_pool_bins():
    for W, x1, x2, s, P in ((20, 33.0, 150.0, 0.1, 4), (20, 18.0, 61.0, 0.25, 3), (9, 1.4, 6.6, 1.0, 7), (9, 2.2, 2.4, 1.0, 2)):
        row = torch.randn(1, 1, 1, W)
        a, b = math.floor(s * x1 + 0.5), math.floor(s * x2 + 0.5)    # halves away from zero, as C's round
        m = max(b - a + 1, 1)
        ours = []
        for j in range(P):
            columns = range(a + math.floor(j * m / P), a + math.ceil((j + 1) * m / P))
            ours.append(max(float(row[..., q]) for q in columns))
        first, last = (int(Decimal(repr(s * x)).quantize(Decimal(1), ROUND_HALF_UP)) for x in (x1, x2))
        library = adaptive_max_pool2d(row[..., first : last + 1], (1, P)).flatten()
        assert np.allclose(ours, library)
    assert list(inspect.signature(roi_pool).parameters) == ["input", "boxes", "output_size", "spatial_scale"]


@check
def check_by_hand():
    F, box = torch.arange(36.0).view(1, 1, 6, 6), torch.tensor([[0.0, 2.0, 2.0, 4.0]])
    for aligned, texts in ((True, ("12", "13", "18", "19")), (False, ("15.5", "16.5", "21.5", "22.5"))):
        for text, value in zip(texts, library_align(F, [box], 2, 1.0, -1, aligned).flatten()):
            stated(text, value)
    for text, value in zip(("19", "20", "25", "26"), adaptive_max_pool2d(F[..., 2:5, 0:3], 2).flatten()):
        stated(text, value)


@check
def check_contract():
    parameters = inspect.signature(roi_align).parameters
    assert parameters["spatial_scale"].default == 1.0 and parameters["sampling_ratio"].default == -1 and parameters["aligned"].default is False
    F = torch.randn(2, 3, 10, 10, dtype=torch.float64)
    boxes = [torch.tensor([[1.0, 1.0, 5.0, 6.0]], dtype=torch.float64), torch.tensor([[0.0, 2.0, 8.0, 9.0], [1.0, 1.0, 5.0, 6.0]], dtype=torch.float64)]
    out = library_align(F, boxes, 4)
    assert out.shape == (3, 3, 4, 4) and out.dtype == torch.float64
    numbered = torch.cat([torch.tensor([[0.0], [1.0], [1.0]], dtype=torch.float64), torch.cat(boxes)], 1)
    assert torch.equal(library_align(F, numbered, 4), out)
    stated("8", 16 / 2)
    from torchvision.models.detection import fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn

    for build in (fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn):
        assert build(weights=None, weights_backbone=None).roi_heads.box_roi_pool.sampling_ratio == 2


@check
def check_multiscale_is_not_aligned():
    F, box = torch.randn(1, 2, 16, 16), torch.tensor([[4.0, 4.0, 40.0, 44.0]])
    library_align(F, [box], 2)                                     # switches to the Python implementation
    pooled = MultiScaleRoIAlign(["0"], 4, 2)({"0": F}, [box], [(64, 64)])
    assert torch.allclose(pooled, library_align(F, [box], 4, 0.25, 2, False))
    assert not torch.allclose(pooled, library_align(F, [box], 4, 0.25, 2, True), atol=1e-2)


@check
def check_wrong_scale_reads_the_rim():
    F = torch.arange(100.0).view(1, 1, 10, 10)
    out = library_align(F, [torch.tensor([[64.0, 64.0, 128.0, 128.0]])], 2, 1.0, 2)
    assert (out == 99).all() or (out == 0).all()                   # clamped to the corner cell, or outside
    F4 = torch.arange(36.0).view(1, 1, 6, 6)
    shifted = library_align(F4, [torch.tensor([[0.3, 2.3, 2.3, 4.3]])], 2, 1.0, 1, True).flatten()[0]
    assert abs(float(shifted) - 14.1) < 1e-5


@check
def check_gradients():
    F = torch.randn(1, 1, 8, 8, requires_grad=True)
    grad = torch.autograd.grad(library_align(F, [torch.tensor([[1.3, 1.3, 2.3, 2.3]])], 1, 1.0, 1, True).sum(), F)[0]
    assert (grad > 0).sum() == 4 and abs(float(grad.sum()) - 1) < 1e-6
    assert (torch.autograd.grad(adaptive_max_pool2d(F[..., 1:4, 1:4], 1).sum(), F)[0] != 0).sum() == 1
