"""The article's formulas against torchvision's compiled operators."""

import math

import numpy as np
import torch
from checks import by_formula
from note_checks import check
from torchvision.ops import roi_align, roi_pool


@check
def check_align():
    F = torch.randn(1, 1, 14, 11, dtype=torch.float64)
    for box in ([8.0, 10.0, 40.0, 60.0], [9.3, 11.7, 30.1, 35.9], [5.0, 6.0, 12.0, 50.0]):
        for P, n in ((2, 1), (3, 2), (4, 3)):
            for aligned, delta in ((True, 0.5), (False, 0.0)):
                ours = by_formula(F[0, 0].numpy(), box, P, 0.2, n, delta)
                rois = [torch.tensor([box], dtype=torch.float64)]
                np.testing.assert_allclose(ours, roi_align(F, rois, P, 0.2, n, aligned)[0, 0].numpy(), atol=1e-6)


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
