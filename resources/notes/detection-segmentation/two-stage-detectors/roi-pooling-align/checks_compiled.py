"""The article's formulas against torchvision's compiled operators."""

import math

import numpy as np
import torch
from checks import holds_for
from note_checks import check, raises
from torchvision.ops import roi_align, roi_pool


@check
def check_align():
    holds_for(roi_align)


@check
def check_pool():
    for W, x1, x2, s, P in ((20, 33.0, 150.0, 0.1, 4), (20, 18.0, 61.0, 0.25, 3), (9, 1.4, 6.6, 1.0, 7)):
        image = torch.randn(1, 1, W, W)
        a = math.floor(s * x1 + 0.5)
        m = max(math.floor(s * x2 + 0.5) - a + 1, 1)
        edges = [(a + math.floor(j * m / P), min(a + math.ceil((j + 1) * m / P), W)) for j in range(P)]
        ours = [[image[0, 0, top:bottom, left:right].max().item() for left, right in edges] for top, bottom in edges]
        pooled = roi_pool(image, [torch.tensor([[x1, x1, x2, x2]])], P, s)
        np.testing.assert_allclose(pooled[0, 0].numpy(), ours)


@check
def check_boxes_have_the_dtype_of_the_features():
    image, box = torch.randn(1, 1, 9, 9), torch.tensor([[1.0, 1.0, 5.0, 5.0]])
    for operator in (roi_align, roi_pool):
        for dtype in (torch.float64, torch.int32):
            raises(RuntimeError, lambda: operator(image, [box.to(dtype)], 2), "same type")
