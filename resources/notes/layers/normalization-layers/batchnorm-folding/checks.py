import copy
import inspect

import numpy as np
import torch
import torchvision
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, sourced, stated

BEHIND = r"""
s_o = \frac{\gamma_o}{\sqrt{\hat\sigma_o^2 + \varepsilon}}, \qquad
W'_o = s_o\, W_o, \qquad
b'_o = s_o\,(b_o - \hat\mu_o) + \beta_o
"""
BEFORE = r"""
W'_{oi} = W_{oi}\, s_i, \qquad
b'_o = b_o + \sum_i W_{oi}\, (\beta_i - s_i\, \hat\mu_i)
"""

by_definition("Can the activation be folded as well?")
sourced("ONNX Runtime documentation, Graph Optimizations, basic: Conv BatchNorm Fusion", "ONNX Runtime")
sourced(
    "Jacob et al., arXiv 1712.05877, section 3.2: batch normalization folding in the training graph",
    "quantization-aware training",
)
sourced("Ding et al., arXiv 2101.03697, section 3.3: from 3x3, 1x1 and identity branches to one 3x3 layer", "RepVGG")


def trained(kind, channels, affine=True, eps=1e-5):
    """A batch norm in eval mode with statistics and parameters that hide nothing."""
    bn = kind(channels, affine=affine, eps=eps).double().eval()
    bn.running_mean.normal_()
    bn.running_var.uniform_(0.3, 3)
    for parameter in bn.parameters():
        nn.init.normal_(parameter)
    return bn


def scale(bn):
    return (bn.weight / torch.sqrt(bn.running_var + bn.eps)).detach()


@torch.no_grad()
def folded_by_hand(conv, bn):
    """Batch norm folded into the convolution before it, whatever mode they are in."""
    result, s = copy.deepcopy(conv), scale(bn)
    result.weight.mul_(s.view(-1, 1, 1, 1))
    old = conv.bias if conv.bias is not None else 0
    result.bias = nn.Parameter(s * (old - bn.running_mean) + bn.bias)
    return result


@torch.no_grad()
def folded_forwards(bn, conv):
    """Batch norm folded into the convolution behind it."""
    result, s = copy.deepcopy(conv), scale(bn)
    result.weight.mul_(s.view(1, -1, 1, 1))
    result.bias.add_((conv.weight.sum((2, 3)) * (bn.bias - s * bn.running_mean)).sum(1))
    return result


@holds("Call → result", "Input → output of the result", "`fuse_conv_bn_eval`, `fuse_linear_bn_eval`")
@formula(BEHIND)
def check_behind():
    for bias in (True, False):
        for affine in (True, False):
            for eps in (1e-5, 0.5):
                for conv, kind, shape in [
                    (nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=bias), nn.BatchNorm2d, (2, 4, 5, 6)),
                    (nn.Conv1d(3, 5, 2, bias=bias), nn.BatchNorm1d, (2, 3, 7)),
                ]:
                    conv = conv.double().eval()
                    bn = trained(kind, conv.out_channels, affine, eps)
                    x = torch.randn(shape, dtype=torch.float64)
                    expected = bn(conv(x)).detach().numpy()
                    gamma = bn.weight.detach().numpy() if affine else np.ones(conv.out_channels)
                    beta = bn.bias.detach().numpy() if affine else np.zeros(conv.out_channels)
                    b = conv.bias.detach().numpy() if bias else np.zeros(conv.out_channels)
                    s = gamma / np.sqrt(bn.running_var.numpy() + eps)
                    w = conv.weight.detach().numpy() * s.reshape(-1, *[1] * (conv.weight.ndim - 1))
                    merged = s * (b - bn.running_mean.numpy()) + beta
                    kept = copy.deepcopy(nn.Sequential(conv, bn).state_dict())
                    fused = fuse_conv_bn_eval(conv, bn)
                    now = nn.Sequential(conv, bn).state_dict()
                    assert fused is not conv and fused.bias is not None
                    assert all(torch.equal(kept[name], now[name]) for name in kept)
                    np.testing.assert_allclose(w, fused.weight.detach().numpy(), atol=1e-12)
                    np.testing.assert_allclose(merged, fused.bias.detach().numpy(), atol=1e-12)
                    np.testing.assert_allclose(fused(x).detach().numpy(), expected, atol=1e-10)
                    assert fused(x[0]).shape == expected.shape[1:] and (conv.bias is None) == (not bias)
    linear, bn = nn.Linear(4, 3).double().eval(), trained(nn.BatchNorm1d, 3)
    x = torch.randn(5, 4, dtype=torch.float64)
    assert torch.allclose(fuse_linear_bn_eval(linear, bn)(x), bn(linear(x)))
    square, x = (
        nn.Linear(3, 3).double().eval(),
        torch.randn(2, 3, 3, dtype=torch.float64),
    )  # three axes: the channels are axis 1
    assert not torch.allclose(fuse_linear_bn_eval(square, bn)(x), bn(square(x)), atol=1e-3)
    norm, after, x = nn.LayerNorm(4).double(), nn.Linear(4, 2).double(), torch.randn(5, 4, dtype=torch.float64)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    merged = F.linear(F.layer_norm(x, (4,)), after.weight * norm.weight, after.bias + after.weight @ norm.bias)
    assert torch.allclose(merged, after(norm(x)))


@formula(BEFORE)
def check_before():
    linear, bn = nn.Linear(5, 3).double(), trained(nn.BatchNorm1d, 5)
    x = torch.randn(6, 5, dtype=torch.float64)
    w, b, s, beta, mu = (v.detach().numpy() for v in (linear.weight, linear.bias, scale(bn), bn.bias, bn.running_mean))
    merged = np.array([b[o] + sum(w[o, i] * (beta[i] - s[i] * mu[i]) for i in range(5)) for o in range(3)])
    np.testing.assert_allclose(x.numpy() @ (w * s).T + merged, linear(bn(x)).detach().numpy(), atol=1e-12)


@check
def check_worked_example():
    conv, bn = nn.Conv1d(1, 1, 1).double().eval(), nn.BatchNorm1d(1, eps=0.5).double().eval()
    for parameter, value in (
        (conv.weight, 3),
        (conv.bias, 1),
        (bn.running_mean, 4),
        (bn.running_var, 3.5),
        (bn.weight, 6),
        (bn.bias, -1),
    ):
        nn.init.constant_(parameter, value)
    fused = fuse_conv_bn_eval(conv, bn)
    assert (fused.weight.item(), fused.bias.item()) == (9, -10)
    x = torch.full((1, 1, 1), 5.0, dtype=torch.float64)
    assert conv(x).item() == 16 and bn(conv(x)).item() == fused(x).item() == 35


@holds("dtype", "Defaults", "Same in train and eval?", "Input → output of the result")
def check_contract():
    for conv, bn, text in [
        (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), "Fusion only for eval!"),
        (nn.Conv2d(3, 4, 3).eval(), nn.BatchNorm2d(4, track_running_stats=False).eval(), "must not be None"),
    ]:
        raises(AssertionError, lambda: fuse_conv_bn_eval(conv, bn), text)
    half = fuse_conv_bn_eval(nn.Conv2d(3, 4, 3).bfloat16().eval(), nn.BatchNorm2d(4).eval())
    assert half.weight.dtype == torch.bfloat16
    raises(ValueError, lambda: nn.BatchNorm2d(3)(torch.randn(3, 4, 4)))
    assert inspect.signature(fuse_conv_bn_eval).parameters["transpose"].default is False
    fused = fuse_conv_bn_eval(nn.Conv2d(3, 4, 3).eval(), nn.BatchNorm2d(4).eval())
    assert fused(torch.randn(3, 6, 6)).shape == (4, 4, 4)


@holds("Saves", "`torch.fx.experimental.optimization.fuse`")
def check_resnet():
    model = torchvision.models.resnet18().eval()
    folded = fuse(model)
    count = lambda net: sum(p.numel() for p in net.parameters())
    stated("11,689,512", count(model))
    stated("4,800", count(model) - count(folded))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    pairs = [
        (nn.Linear(3, 4), nn.BatchNorm1d(4), True),
        (nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4), True),
        (nn.ConvTranspose2d(3, 4, 2), nn.BatchNorm2d(4), False),
    ]
    for layer, bn, gone in pairs:
        assert (len(list(fuse(nn.Sequential(layer, bn).eval()).children())) == 1) == gone
    x = torch.randn(2, 3, 64, 64)
    assert torch.allclose(folded(x), model(x), atol=1e-3)


@pitfall('"Fusion only for eval!"')
def check_train_mode():
    net, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double(), torch.randn(8, 3, 6, 6, dtype=torch.float64)
    raises(AssertionError, lambda: fuse_conv_bn_eval(*net), "Fusion only for eval!")
    net(x)
    by_hand = folded_by_hand(*net)
    net(x)  # the statistics move on
    net.eval()
    assert torch.allclose(fuse_conv_bn_eval(*net)(x), net(x))
    assert not torch.allclose(by_hand(x), net(x), atol=1e-2) and torch.allclose(folded_by_hand(*net)(x), net(x))
    net.train()
    net(x)  # goes on from the parts that were kept


@pitfall("Right without bias, wrong with one")
def check_unscaled_bias():
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    for bias in (False, True):
        conv, bn = nn.Conv2d(3, 4, 3, bias=bias).double().eval(), trained(nn.BatchNorm2d, 4)
        s, b = scale(bn), conv.bias if bias else 0
        wrong = F.conv2d(x, conv.weight * s.view(-1, 1, 1, 1), b + bn.bias - s * bn.running_mean)
        assert torch.allclose(wrong, bn(conv(x))) is not bias
        fresh = nn.BatchNorm2d(4).double().eval()  # a new one has a scale of nearly 1 and hides the mistake
        wrong = F.conv2d(x, conv.weight * scale(fresh).view(-1, 1, 1, 1), conv.bias)
        assert torch.allclose(wrong, fresh(conv(x)), atol=1e-4)
        assert torch.allclose(folded_by_hand(conv, bn)(x), bn(conv(x)))


@pitfall("Conv → ReLU → BatchNorm gives wrong results")
def check_relu_between():
    conv, bn, after = nn.Conv2d(3, 4, 3).double().eval(), trained(nn.BatchNorm2d, 4), nn.Conv2d(4, 2, 3).double()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    assert not torch.allclose(F.relu(fuse_conv_bn_eval(conv, bn)(x)), bn(F.relu(conv(x))), atol=0.1)
    assert torch.allclose(folded_forwards(bn, after)(F.relu(conv(x))), after(bn(F.relu(conv(x)))))
    padded = nn.Conv2d(4, 2, 3, padding=1).double()  # zeros are padded: only the inside is right
    assert not torch.allclose(folded_forwards(bn, padded)(F.relu(conv(x))), padded(bn(F.relu(conv(x)))), atol=1e-3)
    assert torch.allclose(F.relu(fuse_conv_bn_eval(conv, bn)(x)), F.relu(bn(conv(x))))  # direct neighbours
    up, s, h = nn.ConvTranspose2d(4, 2, 3).double(), scale(bn), F.relu(conv(x))  # its border sums fewer taps
    shift = torch.einsum("iokl,i->o", up.weight, bn.bias - s * bn.running_mean)
    difference = (F.conv_transpose2d(h, up.weight * s.view(-1, 1, 1, 1), up.bias + shift) - up(bn(h))).abs()
    assert difference[..., 2:-2, 2:-2].max() < 1e-10 < 1e-2 < difference.max()


@pitfall("Only the border of the image is wrong")
def check_border():
    for padding, mode in ((0, "zeros"), (1, "zeros"), (1, "reflect"), (1, "replicate"), (1, "circular")):
        bn, conv = trained(nn.BatchNorm2d, 4), nn.Conv2d(4, 3, 3, padding=padding, padding_mode=mode).double()
        x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
        difference = (folded_forwards(bn, conv)(x) - conv(bn(x))).abs()
        assert difference[..., 1:-1, 1:-1].max() < 1e-10
        zeros_padded = padding > 0 and mode == "zeros"
        assert difference.max() > 0.1 if zeros_padded else difference.max() < 1e-10


@holds("Defaults")
@pitfall("A transposed convolution is silently wrong")
def check_transposed():
    conv, bn = nn.ConvTranspose2d(4, 4, 3).double().eval(), trained(nn.BatchNorm2d, 4)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    assert torch.allclose(fuse_conv_bn_eval(conv, bn, transpose=True)(x), bn(conv(x)))
    assert not torch.allclose(fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), atol=0.1)
    depthwise = nn.ConvTranspose2d(4, 4, 3, groups=4).double().eval()
    assert torch.allclose(fuse_conv_bn_eval(depthwise, bn)(x), bn(depthwise(x)))
    raises(RuntimeError, lambda: fuse_conv_bn_eval(depthwise, bn, transpose=True)(x), "expected bias")
    grouped, bn = nn.ConvTranspose2d(4, 8, 3, groups=2).double().eval(), trained(nn.BatchNorm2d, 8)
    raises(RuntimeError, lambda: fuse_conv_bn_eval(grouped, bn, transpose=True), "must match the size")
    expected, s = bn(grouped(x)), scale(bn)
    with torch.no_grad():
        for g in range(2):  # inputs 2g and 2g + 1 belong to the outputs 4g to 4g + 3
            grouped.weight[2 * g : 2 * g + 2] *= s[4 * g : 4 * g + 4].view(1, 4, 1, 1)
        grouped.bias.copy_(s * (grouped.bias - bn.running_mean) + bn.bias)
    assert torch.allclose(grouped(x), expected)
    uneven = nn.ConvTranspose2d(4, 8, 3).double().eval()
    raises(RuntimeError, lambda: fuse_conv_bn_eval(uneven, bn), "must match the size")


@holds("Is the result bitwise equal?", "What happens to a channel with almost no variance?")
def check_rounding_and_tiny_variance():
    conv, bn = nn.Conv2d(16, 16, 3).eval(), trained(nn.BatchNorm2d, 16).float()
    x = torch.randn(4, 16, 12, 12)
    difference = (fuse_conv_bn_eval(conv, bn)(x) - bn(conv(x))).abs().max().item()
    assert 1e-8 < difference < 1e-5
    figure_of(__file__).errors()  # asserts the bounds of its own example
    flat = nn.BatchNorm2d(1).eval()
    flat.running_var.zero_()
    one = nn.Conv2d(1, 1, 1).eval()
    stated("316", (fuse_conv_bn_eval(one, flat).weight / one.weight).item())

    def lost(flat_channel):
        """Relative error of channels 1 and up when all folded weights share one 8-bit scale."""
        layer, norm = nn.Conv2d(8, 8, 3).eval(), nn.BatchNorm2d(8).eval()
        if flat_channel:
            norm.running_var[0] = 0
        w = fuse_conv_bn_eval(layer, norm).weight.detach()
        step = w.abs().max() / 127
        return ((w / step).round() * step - w)[1:].norm() / w[1:].norm()

    assert lost(True) > 10 * lost(False)
