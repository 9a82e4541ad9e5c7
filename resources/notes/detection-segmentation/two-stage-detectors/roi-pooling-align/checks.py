import inspect
import math
import sys
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import torch
from torch.nn.functional import adaptive_max_pool2d, grid_sample
from torchvision.models import resnet18
from torchvision.ops import MultiScaleRoIAlign, RoIAlign, RoIPool, roi_align, roi_pool

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

POOL = r"""
a = \mathrm{round}(s\, x_1), \qquad m = \max\big(\mathrm{round}(s\, x_2) - a + 1,\ 1\big), \qquad
a + \left\lfloor \frac{j\, m}{P} \right\rfloor \le q < a + \left\lceil \frac{(j + 1)\, m}{P} \right\rceil
"""
POINTS = r"x_{jk} = s\, x_1 - \delta + \left( j + \frac{k + \frac12}{n} \right) \frac{s\,(x_2 - x_1)}{P}"
MEAN = r"""
\mathrm{out}_{ij} = \frac{1}{n^2} \sum_{k, l} \sum_{p, q} F_{pq}\, \max(0,\, 1 - |y_{ik} - p|)\, \max(0,\, 1 - |x_{jl} - q|)
"""

by_definition("Same in train and eval?", "Cost", "RoI pooling", "RoI Align", 'Why is "RoI wraping" in some notes?')
sourced("Fast R-CNN, arXiv 1504.08083, section 2.1", "RoI pooling")
sourced("Mask R-CNN, arXiv 1703.06870, section 3 (RoIWarp quantizes) and table 2c", "RoI warping", "RoI Align")
sourced("Mask R-CNN, arXiv 1703.06870, section 3: pixel-accurate masks", "Why does RoI Align matter more for masks?")


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
                    weight = np.maximum(0, 1 - abs(y - np.arange(H)))[:, None] * np.maximum(
                        0, 1 - abs(x - np.arange(W))
                    )
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
    np.testing.assert_allclose(
        library_align(F, [box], 4, 1.0, -1, True).numpy(), library_align(F, [box], 4, 1.0, n, True).numpy()
    )
    assert not torch.allclose(
        library_align(F, [box], 4, 1.0, -1, True), library_align(F, [box], 4, 1.0, 1, True), atol=0.05
    )
    tiny = torch.tensor([[2.0, 3.0, 2.5, 3.5]], dtype=torch.float64)
    grown = torch.tensor([[2.0, 3.0, 3.0, 4.0]], dtype=torch.float64)
    assert torch.allclose(library_align(F, [tiny], 2, 1.0, 2, False), library_align(F, [grown], 2, 1.0, 2, False))
    assert not torch.allclose(
        library_align(F, [tiny], 2, 1.0, 2, True), library_align(F, [grown], 2, 1.0, 2, True), atol=1e-3
    )


# verified: formula-only for torchvision's compiled roi_pool; its bins are those of adaptive_max_pool2d on the rounded crop.
@formula(POOL)
def check_pool_bins():
    for W, x1, x2, s, P in (
        (20, 33.0, 150.0, 0.1, 4),
        (20, 18.0, 61.0, 0.25, 3),
        (9, 1.4, 6.6, 1.0, 7),
        (9, 2.2, 2.4, 1.0, 2),
    ):
        row = torch.randn(1, 1, 1, W)
        a, b = math.floor(s * x1 + 0.5), math.floor(s * x2 + 0.5)  # halves away from zero, as C's round
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


@holds("Input", "Output", "Parameters", "Defaults", "`MultiScaleRoIAlign`", "Adaptive pooling")
def check_contract():
    parameters = inspect.signature(roi_align).parameters
    assert (
        parameters["spatial_scale"].default == 1.0
        and parameters["sampling_ratio"].default == -1
        and parameters["aligned"].default is False
    )
    F = torch.randn(2, 3, 10, 10, dtype=torch.float64)
    boxes = [
        torch.tensor([[1.0, 1.0, 5.0, 6.0]], dtype=torch.float64),
        torch.tensor([[0.0, 2.0, 8.0, 9.0], [1.0, 1.0, 5.0, 6.0]], dtype=torch.float64),
    ]
    out = library_align(F, boxes, 4)
    assert out.shape == (3, 3, 4, 4) and out.dtype == torch.float64
    numbered = torch.cat([torch.tensor([[0.0], [1.0], [1.0]], dtype=torch.float64), torch.cat(boxes)], 1)
    assert torch.equal(library_align(F, numbered, 4), out)
    assert not list(RoIAlign(4, 1.0, 2).parameters()) + list(RoIPool(4, 1.0).parameters())
    assert inspect.signature(roi_pool).parameters["spatial_scale"].default == 1.0
    for layer in (RoIAlign, RoIPool):  # the classes ask for it
        assert inspect.signature(layer).parameters["spatial_scale"].default is inspect.Parameter.empty
    assert "sampling_ratio" not in inspect.signature(roi_pool).parameters
    assert isinstance(resnet18().avgpool, torch.nn.AdaptiveAvgPool2d)
    five = torch.nn.functional.adaptive_avg_pool2d(torch.arange(5.0).view(1, 1, 1, 5), (1, 2)).flatten()
    assert five.tolist() == [1.0, 3.0]  # bins of whole cells: 0 to 2 and 2 to 4
    stated("8", 16 / 2)
    from torchvision.models.detection import fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn

    for build in (fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn):
        pool = build(weights=None, weights_backbone=None).roi_heads.box_roi_pool
        assert isinstance(pool, MultiScaleRoIAlign) and pool.sampling_ratio == 2
    levels = {f"{k}": torch.full((1, 1, 256 // 2**k, 256 // 2**k), float(k)) for k in range(4)}
    sides = torch.tensor([[8.0, 8.0, 40.0, 40.0], [0.0, 0.0, 1000.0, 1000.0]])
    read = MultiScaleRoIAlign(list(levels), 1, 2)(levels, [sides], [(1024, 1024)]).flatten()
    assert read.tolist() == [0.0, 3.0]  # a small box reads the fine map


@pitfall("Values are half a cell off")
def check_half_a_cell():
    """On a ramp over cells that are measured from their edges, the value at (x, y) is 6 (y - 1/2) + x - 1/2."""
    F = torch.arange(36.0).view(1, 1, 6, 6)
    for x1, y1, x2, y2 in ((0.0, 2.0, 2.0, 4.0), (1.5, 1.0, 4.5, 5.0)):

        def at_centre(shift):
            x, y = x1 + (x2 - x1) / 4 + shift, y1 + (y2 - y1) / 4 + shift
            return 6 * (y - 0.5) + x - 0.5

        for aligned, shift in ((True, 0.0), (False, 0.5)):
            out = library_align(F, [torch.tensor([[x1, y1, x2, y2]])], 2, aligned=aligned).flatten()
            assert abs(float(out[0]) - at_centre(shift)) < 1e-4
    F, box = torch.randn(1, 2, 16, 16), torch.tensor([[4.0, 4.0, 40.0, 44.0]])
    pooled = MultiScaleRoIAlign(["0"], 4, 2)({"0": F}, [box], [(64, 64)])
    assert torch.allclose(pooled, library_align(F, [box], 4, 0.25, 2, False))
    assert not torch.allclose(pooled, library_align(F, [box], 4, 0.25, 2, True), atol=1e-2)


@pitfall("Pooling reads the wrong image or a box of no size")
def check_number_of_the_image_comes_first():
    """Swapped columns; the compiled operator is not run."""
    F = torch.stack([torch.full((1, 8, 8), 10.0), torch.arange(64.0).view(1, 8, 8)])
    last = torch.tensor([[1.0, 2.0, 5.0, 6.0, 0.0]])  # meant for image 0: corners (1, 2) and (5, 6)
    wrong = library_align(F, last, 1)
    assert wrong.item() != 10.0  # reads image 1
    assert torch.equal(
        wrong, library_align(F[1:], [torch.tensor([[2.0, 5.0, 6.0, 6.0]])], 1)
    )  # height 0 - 5, raised to 1
    right = library_align(F, [torch.tensor([[1.0, 2.0, 5.0, 6.0]]), torch.zeros(0, 4)], 1)
    assert right.item() == 10.0
    box = torch.tensor([[1.0, 2.0, 5.0, 6.0]])  # of image 1: alone in the list it reads image 0, without an error
    assert library_align(F, [box], 1).item() == 10.0 != library_align(F, [torch.zeros(0, 4), box], 1).item()


@pitfall("A box loss through RoI Align does not move the boxes")
def check_gradient_of_the_box():
    """RoI pooling shows the symptom, its borders being rounded; the compiled RoI Align cannot run here. The cures are run."""
    columns = torch.arange(20.0)
    F = torch.exp(-((columns - 12) ** 2) / 30).expand(1, 1, 20, 20).contiguous()
    for by_sampling in (False, True):
        left = torch.tensor(4.0, requires_grad=True)
        optimizer = torch.optim.Adam([left], 0.1)
        for _ in range(200):
            if by_sampling:
                x = left + 0.5 * torch.arange(6)
                grid = torch.stack([2 * x / 19 - 1, torch.zeros(6)], -1)[None, None]
                value = grid_sample(F, grid, align_corners=True).mean()
            else:
                value = adaptive_max_pool2d(F[..., int(left.round()) : int(left.round()) + 3], 1).mean()
            if value.requires_grad:
                optimizer.zero_grad()
                (1 - value).backward()
                optimizer.step()
        assert (abs(left.item() - 10.75) < 0.5) is by_sampling and (left.item() == 4.0) is not by_sampling
    regressed = torch.tensor([4.0, 0.0, 7.0, 9.0], requires_grad=True)
    torch.nn.functional.smooth_l1_loss(regressed, torch.tensor([10.0, 0.0, 13.0, 9.0])).backward()
    assert regressed.grad[0] < 0


@pitfall("Outputs are zero, or come from the wrong place")
def check_scale_is_cells_per_pixel():
    F = 1 + torch.arange(100.0).view(1, 1, 10, 10)  # stride 16: an image of 160 x 160 pixels
    for box, place in (([64.0, 64.0, 128.0, 128.0], None), ([2.0, 2.0, 8.0, 8.0], 5), ([4.0, 4.0, 6.0, 6.0], 5)):
        pixels = torch.tensor([box])
        wrong = library_align(F, [pixels], 1, sampling_ratio=2, aligned=True).flatten()
        right = library_align(F, [pixels], 1, spatial_scale=1 / 16, sampling_ratio=2, aligned=True).flatten()
        assert torch.allclose(right, library_align(F, [pixels / 16], 1, sampling_ratio=2, aligned=True).flatten())
        if place is None:
            assert wrong.item() in (0, 100) and right.item() == 1 + 11 * 5.5  # compiled: 0; in Python: the corner cell
        else:
            assert abs(wrong.item() - (1 + 11 * (place - 0.5))) < 1e-4 and right.item() == 1


@check
def check_continuous_with_a_fixed_number_of_points():
    """By default rounding may take a third point in bins of two cells: the output jumps. With two points it does not."""
    shift = torch.arange(0, 5, 0.05)
    boxes = torch.stack([2 + shift, 2 + 0 * shift, 16 + shift, 16 + 0 * shift], 1)
    F = torch.sin(2.5 * torch.arange(24.0)).expand(1, 1, 24, 24).contiguous()
    steps = {
        n: torch.cat([library_align(F, [box[None]], 7, 1.0, n, True) for box in boxes]).diff(dim=0) for n in (2, -1)
    }
    assert steps[2].abs().max() < 0.1 and steps[-1].abs().max() > 2 * steps[2].abs().max()


@check
def check_box_moved_by_a_fraction():
    F4 = torch.arange(36.0).view(1, 1, 6, 6)
    shifted = library_align(F4, [torch.tensor([[0.3, 2.3, 2.3, 4.3]])], 2, 1.0, 1, True).flatten()[0]
    assert abs(float(shifted) - 14.1) < 1e-5


@holds("Does RoI Align lose detail in large boxes?")
def check_cells_that_are_skipped():
    box = torch.tensor([[0.0, 0.0, 28.0, 28.0]])
    for points, everything in ((1, False), (2, True), (-1, True)):
        for factor in (1, 2):
            F = torch.zeros(1, 1, 28 * factor, 28 * factor, requires_grad=True)
            library_align(F, [factor * box], 7, 1.0, points, True).sum().backward()
            read = float((F.grad != 0).float().mean())
            assert (read == 1) is (everything and (factor == 1 or points == -1))
            assert points == -1 or read == min(1, (2 * points / 4 / factor) ** 2)
    for side in (32, 64, 128, 224, 447, 800):  # cells per bin on the level that is chosen
        stride = 4 * 2 ** min(3, max(0, math.floor(4 + math.log2(side / 224) + 1e-6) - 2))
        assert side / stride / 7 < 4.1


@holds("How do gradients flow?")
def check_gradients():
    F = torch.randn(1, 1, 8, 8, requires_grad=True)
    grad = torch.autograd.grad(library_align(F, [torch.tensor([[1.3, 1.3, 2.3, 2.3]])], 1, 1.0, 1, True).sum(), F)[0]
    assert (grad > 0).sum() == 4 and abs(float(grad.sum()) - 1) < 1e-6
    assert (torch.autograd.grad(adaptive_max_pool2d(F[..., 1:4, 1:4], 1).sum(), F)[0] != 0).sum() == 1
    boxes = [torch.tensor([[1.3, 1.3, 2.3, 2.3], [1.3, 1.3, 2.3, 2.3]])]
    assert torch.allclose(torch.autograd.grad(library_align(F, boxes, 1, 1.0, 1, True).sum(), F)[0], 2 * grad)
