import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import DeformConv2d

from note_checks import check, formula, raises, stated

TAPS = r"y(p) = \sum_{k=1}^{K} w_k \, m_k(p) \, x\left( p + p_k + \Delta p_k(p) \right)"
BILINEAR = r"x(q) = \sum_{r} \max(0, 1 - |q_y - r_y|) \, \max(0, 1 - |q_x - r_x|) \, x(r)"
SLOPE = r"\frac{\partial x(q)}{\partial q_x} = (1 - a) \left( x_{i,j+1} - x_{i,j} \right) + a \left( x_{i+1,j+1} - x_{i+1,j} \right)"


def read(x, qy, qx):
    """The value of one channel at a fractional place: the formula as written, over all pixels."""
    h, w = x.shape
    return (np.maximum(0, 1 - abs(qy - np.arange(h)))[:, None] * np.maximum(0, 1 - abs(qx - np.arange(w)))[None, :] * x).sum()


def deform(x, offset, weight, mask, stride=1, padding=0):
    """The sum over taps for one image, in NumPy."""
    out, channels, kh, kw = weight.shape
    oh, ow = offset.shape[1:]
    y = np.zeros((out, oh, ow))
    for i in range(oh):
        for j in range(ow):
            for k in range(kh * kw):
                place = i * stride - padding + k // kw + offset[2 * k, i, j], j * stride - padding + k % kw + offset[2 * k + 1, i, j]
                for c in range(channels):
                    y[:, i, j] += weight[:, c, k // kw, k % kw] * mask[k, i, j] * read(x[c], *place)
    return y


def sampled(x, qy, qx):
    h, w = x.shape[-2:]
    grid = torch.stack([2 * qx / (w - 1) - 1, 2 * qy / (h - 1) - 1], -1)
    return F.grid_sample(x[None, None], grid[None, None], align_corners=True)[0, 0, 0]


# verified: formula-only for the compiled operator; with zero and whole offsets it is compared with F.conv2d
@formula(TAPS)
def check_taps():
    for shape, stride, padding in [((2, 5, 6), 1, 1), ((1, 7, 7), 2, 1), ((3, 4, 4), 1, 0)]:
        x = torch.randn(shape, dtype=torch.float64)
        weight = torch.randn(4, shape[0], 3, 3, dtype=torch.float64)
        wanted = F.conv2d(x[None], weight, stride=stride, padding=padding)[0].numpy()
        oh, ow = wanted.shape[1:]
        zero, ones = np.zeros((18, oh, ow)), np.ones((9, oh, ow))
        np.testing.assert_allclose(deform(x.numpy(), zero, weight.numpy(), ones, stride, padding), wanted, atol=1e-10)
        np.testing.assert_allclose(deform(x.numpy(), zero, weight.numpy(), 0.5 * ones, stride, padding), wanted / 2, atol=1e-10)
    x, weight = torch.randn(1, 5, 6, dtype=torch.float64), torch.randn(2, 1, 3, 3, dtype=torch.float64)
    down = np.zeros((18, 5, 6))
    down[0::2] = 1
    shifted = F.conv2d(F.pad(x[None, ..., 1:, :], (0, 0, 0, 1)), weight, padding=1)[0].numpy()
    ours = deform(x.numpy(), down, weight.numpy(), np.ones((9, 5, 6)), padding=1)
    np.testing.assert_allclose(ours[:, 1:], shifted[:, 1:], atol=1e-10)
    one_tap, right = np.zeros((18, 5, 6)), F.pad(x[0], (1, 1, 1, 1))
    one_tap[2 * 5 + 1] = 1  # tap 5: second row, third column
    changed = deform(x.numpy(), one_tap, weight.numpy(), np.ones((9, 5, 6)), padding=1)
    plain = F.conv2d(x[None], weight, padding=1)[0].numpy()
    moved = F.pad(right, (0, 1))[1:6, 3:9] - right[1:6, 2:8]
    np.testing.assert_allclose(changed - plain, weight[:, 0, 1, 2].numpy()[:, None, None] * moved.numpy(), atol=1e-10)


@formula(BILINEAR)
def check_bilinear():
    x = torch.randn(5, 7, dtype=torch.float64)
    qy, qx = torch.rand(300, dtype=torch.float64) * 8 - 2, torch.rand(300, dtype=torch.float64) * 10 - 2
    ours = [read(x.numpy(), a, b) for a, b in zip(qy.tolist(), qx.tolist())]
    np.testing.assert_allclose(ours, sampled(x, qy, qx).numpy(), atol=1e-10)


@formula(SLOPE)
def check_slope():
    x = torch.randn(5, 7, dtype=torch.float64)
    for _ in range(20):
        i, j = int(torch.randint(4, ())), int(torch.randint(6, ()))
        a, b = torch.rand(2, dtype=torch.float64) * 0.98 + 0.01
        qy, qx = (i + a)[None], (j + b)[None].requires_grad_()
        (library,) = torch.autograd.grad(sampled(x, qy, qx).sum(), qx)
        ours = (1 - a) * (x[i, j + 1] - x[i, j]) + a * (x[i + 1, j + 1] - x[i + 1, j])
        assert math.isclose(ours.item(), library.item(), rel_tol=1e-8, abs_tol=1e-10)


@check
def check_by_hand():
    x = np.arange(1.0, 10).reshape(1, 3, 3)

    def centre(dy, dx, mask=1.0):
        offset = np.zeros((2, 3, 3))
        offset[:, 1, 1] = dy, dx
        return deform(x, offset, np.full((1, 1, 1, 1), 2.0), np.full((1, 3, 3), mask))[0, 1, 1]

    assert centre(0, 0) == 10 and centre(-0.5, -0.5) == 6 and centre(-1.5, -1) == 1
    stated("10.5", centre(0, 0.25))
    stated("5.25", centre(0, 0.25, 0.5))
    stated("5.25", read(x[0], 1, 1.25))


@check
def check_parameters_and_contract():
    count = lambda channels: sum(p.numel() for p in nn.Conv2d(256, channels, 3, padding=1).parameters())
    stated("41,490", count(18))
    stated("62,235", count(27))
    layer = DeformConv2d(256, 256, 3, padding=1)
    assert sum(p.numel() for p in layer.parameters()) == sum(p.numel() for p in nn.Conv2d(256, 256, 3).parameters())
    assert (layer.stride, layer.padding, layer.dilation, layer.groups) == ((1, 1), (1, 1), (1, 1), 1) and layer.bias is not None
    raises(TypeError, lambda: layer(torch.zeros(1, 256, 4, 4)), "missing 1 required positional argument: 'offset'")
    assert torch.sigmoid(torch.zeros(())) == 0.5
