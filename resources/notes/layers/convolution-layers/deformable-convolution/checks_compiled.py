"""The article's sum over taps against torchvision's compiled operator, with offsets between the pixels."""

import numpy as np
import torch
from checks import deform
from note_checks import check
from torch import nn
from torchvision.ops import DeformConv2d, deform_conv2d


@check
def check_taps():
    for shape, stride, padding in (((2, 5, 6), 1, 1), ((1, 7, 7), 2, 1), ((3, 4, 4), 1, 0)):
        x = torch.randn(shape, dtype=torch.float64)
        weight = torch.randn(4, shape[0], 3, 3, dtype=torch.float64)
        height, width = ((size + 2 * padding - 3) // stride + 1 for size in shape[1:])
        offset = 1.5 * torch.randn(18, height, width, dtype=torch.float64)
        mask = torch.rand(9, height, width, dtype=torch.float64)
        wanted = deform_conv2d(x[None], offset[None], weight, stride=stride, padding=padding, mask=mask[None])
        np.testing.assert_allclose(
            deform(x.numpy(), offset.numpy(), weight.numpy(), mask.numpy(), stride, padding),
            wanted[0].numpy(),
            atol=1e-10,
        )


@check
def check_offset_layer_needs_the_same_padding():
    x, layer = torch.randn(2, 4, 6, 6), nn.Conv2d(4, 18, 3, padding=1)
    assert DeformConv2d(4, 4, 3, padding=1)(x, layer(x)).shape == x.shape
    for padding, offsets in ((0, layer(x)), (1, layer(x)[:1])):
        try:
            DeformConv2d(4, 4, 3, padding=padding)(x, offsets)
        except RuntimeError:
            continue
        raise AssertionError("expected an error")
