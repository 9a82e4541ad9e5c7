import math

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.ops import SqueezeExcitation

from note_checks import check, formula, raises, stated

BLOCK = r"""
z_c = \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} x_{cij}, \qquad
s = \sigma\left( W_2 \max(0,\, W_1 z + b_1) + b_2 \right), \qquad y_{cij} = s_c \, x_{cij}
"""
GRADIENT = r"""
\frac{\partial L}{\partial x_{cij}} = s_c \, g_{cij} + \frac{1}{HW} \left[ W_1^\top \left( [W_1 z + b_1 > 0] \odot W_2^\top (u \odot q) \right) \right]_c, \qquad
q_c = \sum_{i,j} g_{cij} \, x_{cij}
"""


def weights(block):
    return [p.detach().numpy() for p in (block.fc1.weight.flatten(1), block.fc1.bias, block.fc2.weight.flatten(1), block.fc2.bias)]


def gates(x, block):
    w1, b1, w2, b2 = weights(block)
    before = x.mean((-2, -1)) @ w1.T + b1
    return before, 1 / (1 + np.exp(-(np.maximum(0, before) @ w2.T + b2)))


@formula(BLOCK)
def check_block():
    for n, c, s, h, w in [(1, 2, 1, 1, 1), (3, 8, 2, 5, 4), (2, 64, 4, 7, 7)]:
        block = SqueezeExcitation(c, s).double()
        x = torch.randn(n, c, h, w, dtype=torch.float64) * 3 + 1
        _, gate = gates(x.numpy(), block)
        np.testing.assert_allclose(gate[:, :, None, None] * x.numpy(), block(x).detach().numpy(), atol=1e-12)
        assert torch.allclose(block(x[0]), block(x)[0]) and block(x).shape == x.shape
        assert torch.equal(block.train()(x), block.eval()(x))
        assert sum(p.numel() for p in block.parameters()) == 2 * c * s + s + c


@formula(GRADIENT)
def check_gradient():
    for c, s, h, w in [(3, 2, 2, 5), (8, 4, 4, 4)]:
        block = SqueezeExcitation(c, s).double()
        nn.init.normal_(block.fc1.weight), nn.init.normal_(block.fc2.weight)
        x = (torch.randn(1, c, h, w, dtype=torch.float64) + 1).requires_grad_()
        g = torch.randn(1, c, h, w, dtype=torch.float64)
        (library,) = torch.autograd.grad(block(x), x, g)
        w1, _, w2, _ = weights(block)
        before, gate = gates(x.detach().numpy(), block)
        gn, xn, before, gate = g.numpy()[0], x.detach().numpy()[0], before[0], gate[0]
        through = w1.T @ ((before > 0) * (w2.T @ (gate * (1 - gate) * (gn * xn).sum((1, 2))))) / (h * w)
        np.testing.assert_allclose(gate[:, None, None] * gn + through[:, None, None], library[0].numpy(), atol=1e-12)
        assert np.abs(through).max() > 1e-4


@check
def check_by_hand():
    block = SqueezeExcitation(2, 1)
    with torch.no_grad():
        block.fc1.weight.copy_(torch.tensor([[1.0, -1.0]])[..., None, None])
        block.fc2.weight.copy_(torch.tensor([[1.0], [-1.0]])[..., None, None])
        block.fc1.bias.zero_(), block.fc2.bias.zero_()
        y = block(torch.tensor([[1.0, 2, 1, 4], [-1, 1, -2, 2]]).view(1, 2, 2, 2))
    stated("3.5232", y[0, 0, 1, 1])
    stated("0.8808", y[0, 0, 1, 1] / 4)
    stated("0.1192", y[0, 1, 1, 1] / 2)
    stated("0.2384", y[0, 1, 1, 1])


@check
def check_parameters():
    stated("8,464", sum(p.numel() for p in SqueezeExcitation(256, 16).parameters()))
    resnet = torchvision.models.resnet50()
    widths = [block.conv3.out_channels for block in resnet.modules() if isinstance(block, torchvision.models.resnet.Bottleneck)]
    assert len(widths) == 16
    total = sum(SqueezeExcitation(c, c // 16).fc1.weight.numel() * 2 for c in widths)
    stated("2,514,944", total)
    assert 0.09 < total / sum(p.numel() for p in resnet.parameters()) < 0.11
    assert nn.Conv2d(2, 1, 7, bias=False).weight.numel() == 98  # the spatial gate of CBAM


@check
def check_start_and_activations():
    block = SqueezeExcitation(256, 16)
    x = torch.randn(8, 256, 7, 7)
    gate = block(x) / x
    assert (gate - 0.5).abs().max() < 0.12
    nn.init.zeros_(block.fc2.weight), nn.init.constant_(block.fc2.bias, 3.0)
    stated("0.9526", (block(x) / x).detach().mean())
    for bias, learns in ((3.0, False), (2.0, True)):
        hard = SqueezeExcitation(64, 4, scale_activation=nn.Hardsigmoid)
        nn.init.zeros_(hard.fc2.weight), nn.init.constant_(hard.fc2.bias, bias)
        hard(torch.randn(2, 64, 5, 5)).sum().backward()
        assert bool(hard.fc2.weight.grad.any()) == learns
    assert 8 // 16 == 0 and SqueezeExcitation(8, max(1, 8 // 16))(torch.randn(1, 8, 4, 4)).shape == (1, 8, 4, 4)
    raises(RuntimeError, lambda: SqueezeExcitation(8, 8 // 16)(torch.randn(1, 8, 4, 4)))
    stated("0.8333", nn.Hardsigmoid()(torch.tensor(2.0)))
    stated("0.8808", torch.sigmoid(torch.tensor(2.0)))


@check
def check_models():
    mobile = [m for m in torchvision.models.mobilenet_v3_large().modules() if isinstance(m, SqueezeExcitation)]
    assert (mobile[0].fc1.in_channels, mobile[0].fc1.out_channels) == (72, 24)
    assert all(isinstance(m.scale_activation, nn.Hardsigmoid) and m.fc1.out_channels % 8 == 0 for m in mobile)
    efficient = torchvision.models.efficientnet_b0()
    blocks = [m for m in efficient.modules() if isinstance(m, SqueezeExcitation)]
    assert all(isinstance(m.activation, nn.SiLU) and isinstance(m.scale_activation, nn.Sigmoid) for m in blocks)
    assert [(m.fc1.in_channels, m.fc1.out_channels) for m in blocks[:2]] == [(32, 8), (96, 4)]
    first = efficient.features[2][0].block
    assert first[1][0].groups > 1 and isinstance(first[2], SqueezeExcitation)  # after the depthwise convolution


@check
def check_positions_do_not_matter_but_tiles_do():
    block = SqueezeExcitation(16, 4).double()
    x = torch.randn(1, 16, 6, 6, dtype=torch.float64) + torch.linspace(-2, 2, 6, dtype=torch.float64)
    order = torch.randperm(36)
    shuffled = x.flatten(2)[..., order].view_as(x)
    assert torch.allclose(block(shuffled), block(x).flatten(2)[..., order].view_as(x))
    tiles = torch.cat([block(x[..., :3]), block(x[..., 3:])], -1)
    assert (tiles - block(x)).abs().max() > 0.01
    conv, gate = nn.Conv2d(16, 2, 3, padding=1).double(), (block(x) / x).detach()[..., :1, :1]
    whole = conv(x * gate)
    disjoint = torch.cat([conv(x[..., :3] * gate), conv(x[..., 3:] * gate)], -1)
    overlapping = torch.cat([conv(x[..., :4] * gate)[..., :3], conv(x[..., 2:] * gate)[..., 1:]], -1)
    assert torch.allclose(overlapping, whole) and not torch.allclose(disjoint, whole, atol=1e-3)
