import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import formula, holds, pitfall, processor_seconds, raises, sourced, stated

GROUPED = r"""
y_{o,u,v} = b_o + \sum_{c=0}^{C_{\mathrm{in}}/g - 1} \sum_{k,l} w_{o,c,k,l}\; x_{\gamma(o)\,C_{\mathrm{in}}/g + c,\;u + k,\;v + l}
"""
RATIO = r"""
\frac{K^2 C_{\mathrm{in}} + C_{\mathrm{in}} C_{\mathrm{out}}}{K^2 C_{\mathrm{in}} C_{\mathrm{out}}} = \frac{1}{C_{\mathrm{out}}} + \frac{1}{K^2}
"""
SHUFFLE = r"y_{jg + i} = x_{i\,C/g + j}, \qquad 0 \le i < g, \quad 0 \le j < C/g"

sourced(
    "AlexNet (Krizhevsky et al. 2012), section 3.5; ShuffleNet, arXiv 1707.01083, section 3.1",
    "What do AlexNet's groups have to do with it?",
)
sourced("Xception, arXiv 1610.02357, and MobileNets, arXiv 1704.04861, section 3.1", "depthwise separable")


def number(layer):
    return sum(p.numel() for p in layer.parameters())


def separable(c_in, c_out, K):
    return nn.Sequential(nn.Conv2d(c_in, c_in, K, groups=c_in, bias=False), nn.Conv2d(c_in, c_out, 1, bias=False))


@formula(GROUPED)
def check_grouped():
    for c_in, c_out, g, K in [(6, 4, 2, 3), (4, 8, 4, 2), (4, 4, 4, 3), (6, 9, 3, 1), (5, 3, 1, 2)]:
        layer = nn.Conv2d(c_in, c_out, K, groups=g, dtype=torch.float64)
        x = torch.randn(c_in, 6, 5, dtype=torch.float64)
        library = layer(x).detach().numpy()
        w, b, xn = layer.weight.detach().numpy(), layer.bias.detach().numpy(), x.numpy()
        for o, u, v in np.ndindex(library.shape):
            first = (o * g // c_out) * (c_in // g)
            ours = b[o] + sum(
                w[o, c, k, m] * xn[first + c, u + k, v + m]
                for c in range(c_in // g)
                for k in range(K)
                for m in range(K)
            )
            assert abs(ours - library[o, u, v]) < 1e-10


@formula(RATIO)
def check_ratio():
    for c_in, c_out, K in [(128, 64, 3), (8, 32, 5), (3, 7, 1)]:
        ratio = number(separable(c_in, c_out, K)) / number(nn.Conv2d(c_in, c_out, K, bias=False))
        assert abs(ratio - (K * K * c_in + c_in * c_out) / (K * K * c_in * c_out)) < 1e-12
        assert abs(ratio - (1 / c_out + 1 / K**2)) < 1e-12


@formula(SHUFFLE)
def check_shuffle():
    for C, g in [(6, 2), (6, 3), (12, 4), (5, 1), (4, 4)]:
        x = torch.randn(2, C, 3, 2)
        y = nn.ChannelShuffle(g)(x)
        for i in range(g):
            for j in range(C // g):
                assert torch.equal(y[:, j * g + i], x[:, i * (C // g) + j])
        assert torch.equal(nn.ChannelShuffle(C // g)(y), x)
        assert torch.equal(y, x.view(2, g, C // g, 3, 2).transpose(1, 2).reshape(2, C, 3, 2))


@holds("ordinary", "grouped, $g = 4$", "depthwise (128 → 128)", "depthwise separable", "1×1")
def check_worked_example():
    ordinary, pair = nn.Conv2d(128, 64, 3, bias=False), separable(128, 64, 3)
    stated("73,728", number(ordinary))
    stated("9,344", number(pair))
    stated("1,152", number(pair[0]))
    stated("8,192", number(pair[1]))
    stated("3,136", 56 * 56)
    stated("231,211,008", number(ordinary) * 56 * 56)
    stated("29,302,784", number(pair) * 56 * 56)
    stated("0.1267", number(pair) / number(ordinary))
    stated("18,432", number(nn.Conv2d(128, 64, 3, groups=4, bias=False)))
    assert nn.ChannelShuffle(2)(torch.arange(6).view(1, 6, 1)).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert number(pair[1]) > number(pair) / 2
    mixing = {
        "ordinary": (nn.Conv2d(8, 8, 3, padding=1), 64),
        "grouped": (nn.Conv2d(8, 8, 3, padding=1, groups=4), 16),
        "depthwise": (nn.Conv2d(8, 8, 3, padding=1, groups=8), 8),
        "1×1": (nn.Conv2d(8, 8, 1), 64),
    }
    mixing["separable"] = nn.Sequential(mixing["depthwise"][0], mixing["1×1"][0]), 64
    for layer, pairs in mixing.values():
        assert reach(layer, 8).sum() == pairs
    with torch.device("meta"):
        resnext = torchvision.models.resnext50_32x4d()
    layers = [layer for layer in resnext.modules() if isinstance(layer, nn.Conv2d)]
    assert {layer.groups for layer in layers if layer.kernel_size == (3, 3)} == {32}


@holds("Input → output", "dtype", "Parameters", "Defaults", "Same in train and eval?", "Cost")
def check_contract():
    stated("320", number(nn.Conv2d(32, 32, 3, groups=32)))
    assert nn.Conv2d(4, 6, 3).groups == 1
    layer = nn.Conv2d(4, 6, 3, groups=2)
    assert layer.weight.shape == (6, 2, 3, 3) and layer(torch.randn(4, 5, 5)).shape == (6, 3, 3)
    for arguments, text in [
        ((4, 6, 3), "out_channels must be divisible by groups"),
        ((6, 8, 3), "in_channels must be divisible by groups"),
    ]:
        try:
            nn.Conv2d(*arguments, groups=4)
        except ValueError as error:
            assert str(error) == text
        else:
            raise AssertionError("expected an error")
    raises(RuntimeError, lambda: nn.ChannelShuffle(2)(torch.zeros(2, 4)), "> 2 dims")
    raises(RuntimeError, lambda: nn.ChannelShuffle(3)(torch.zeros(2, 4, 5)), "divisible by groups")
    assert not list(nn.ChannelShuffle(2).parameters())
    assert nn.ChannelShuffle(2)(torch.zeros(2, 4, 3, 5, 2)).shape == (2, 4, 3, 5, 2)
    raises(RuntimeError, lambda: layer(torch.ones(1, 4, 5, 5, dtype=torch.int64)))
    raises(RuntimeError, lambda: layer(torch.ones(1, 4, 5, 5, dtype=torch.float64)))
    assert layer.weight.dtype == torch.float32
    sample = torch.randn(2, 4, 9, 9)
    for module in (layer, nn.ChannelShuffle(2)):
        assert torch.equal(module.train()(sample), module.eval()(sample))
    work = []
    for groups in (1, 2, 4):
        with FlopCounterMode(display=False) as counter:
            nn.Conv2d(4, 8, 3, groups=groups)(sample)
        work.append(counter.get_total_flops())
    assert work[0] == 2 * work[1] == 4 * work[2]
    x = torch.arange(12.0).view(3, 4, 1)
    assert torch.equal(nn.ChannelShuffle(2)(x), x[:, [0, 2, 1, 3]])
    for dtype in (torch.bool, torch.int64, torch.float16, torch.float32):
        assert nn.ChannelShuffle(2)(torch.ones(1, 4, 2, dtype=dtype)).dtype == dtype


def reach(net, channels):
    """Which input channels influence which output channels."""
    jacobian = torch.autograd.functional.jacobian(
        lambda v: net(v.view(1, channels, 1, 1)).flatten(), torch.randn(channels)
    )
    return jacobian != 0


@pitfall("An eighth of the arithmetic, but hardly faster")
def check_time_per_multiply_add():
    """The GPUs of the issue are not here; on one CPU thread, too, a depthwise multiply-add takes longer than an ordinary one."""
    x = torch.randn(2, 32, 128, 128)
    ordinary, depthwise = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1, groups=32)
    assert depthwise.weight.numel() * 32 == ordinary.weight.numel()
    for layer, per_value in ((ordinary, 9 * 32), (depthwise, 9)):
        assert layer.weight.numel() * 128 * 128 / x[0].numel() == per_value

    strided = nn.Conv2d(32, 32, 3, stride=2, padding=1, groups=32)(x)
    assert 9 * strided.numel() / x.numel() == 9 / 4  # at stride 1 it is 9
    with torch.no_grad():
        slow, quick = processor_seconds(lambda: depthwise(x), lambda: ordinary(x))
    assert slow > 1.3 * quick / 32


@pitfall('"out_channels must be divisible by groups"')
def check_a_number_of_outputs_that_is_no_multiple():
    raises(ValueError, lambda: nn.Conv2d(32, 48, 3, groups=32), "out_channels must be divisible by groups")
    for m in (1, 2):
        pair = nn.Sequential(nn.Conv2d(32, m * 32, 3, groups=32), nn.Conv2d(m * 32, 48, 1))
        assert pair(torch.randn(1, 32, 5, 5)).shape == (1, 48, 3, 3)


@pitfall("The network learns little across channels")
def check_mixing():
    grouped = [nn.Conv2d(8, 8, 1, groups=4, bias=False) for _ in range(3)]
    assert torch.equal(reach(nn.Sequential(*grouped), 8), reach(grouped[0], 8))
    assert reach(grouped[0], 8).sum() == 16
    assert reach(nn.Sequential(grouped[0], nn.ChannelShuffle(4), grouped[1]), 8).sum() > 16
    two = [nn.Conv2d(8, 8, 1, groups=2, bias=False) for _ in range(2)]
    assert reach(nn.Sequential(two[0], nn.ChannelShuffle(2), two[1]), 8).all()
    for C, g in ((36, 6), (24, 3), (24, 6), (32, 16)):
        pair = [nn.Conv2d(C, C, 1, groups=g, bias=False) for _ in range(2)]
        connected = reach(nn.Sequential(pair[0], nn.ChannelShuffle(g), pair[1]), C)
        assert bool(connected.all()) is (C // g >= g) and connected.sum() > reach(pair[0], C).sum()
    depthwise = [nn.Conv2d(8, 8, 1, groups=8, bias=False) for _ in range(2)]
    assert reach(depthwise[0], 8).sum() == 8
    for g in (2, 4, 8):
        assert reach(nn.Sequential(depthwise[0], nn.ChannelShuffle(g), depthwise[1]), 8).sum() == 8
    assert reach(nn.Sequential(*depthwise, nn.Conv2d(8, 8, 1, bias=False)), 8).all()
    assert reach(nn.Sequential(*grouped[:2], nn.ChannelShuffle(4)), 8).sum() == 16
    assert (
        trained_sum(None) > 0.5 and trained_sum(nn.ChannelShuffle(2)) < 0.05 and trained_sum(nn.Conv2d(4, 4, 1)) < 0.05
    )


def trained_sum(between):
    """The error of four channels in two groups that should each become the sum of all inputs."""
    grouped = [nn.Conv2d(4, 4, 1, groups=2) for _ in range(2)]
    net = nn.Sequential(grouped[0], between or nn.Identity(), grouped[1])
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(200):
        x = torch.randn(64, 4, 1, 1)
        loss = F.mse_loss(net(x), x.sum(1, keepdim=True).expand(-1, 4, -1, -1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


@pitfall("A shuffled model does not match its port")
def check_the_two_orders_of_a_shuffle():
    for C, g in ((12, 3), (8, 2), (8, 4)):
        x = torch.randn(2, C, 3, 2)
        first = x.view(2, g, C // g, 3, 2).transpose(1, 2).reshape(x.shape)
        second = x.view(2, C // g, g, 3, 2).transpose(1, 2).reshape(x.shape)
        assert torch.equal(nn.ChannelShuffle(g)(x), first) and torch.equal(nn.ChannelShuffle(C // g)(x), second)
        one, two = (nn.Conv2d(C, C, 1, groups=g, bias=False) for _ in range(2))
        model = lambda shuffle: nn.Sequential(one, nn.ChannelShuffle(shuffle), two)
        assert not torch.allclose(model(g)(x), model(C // g)(x), atol=1e-2)
        assert torch.allclose(
            model(C // g)(x), two(one(x).view(2, C // g, g, 3, 2).transpose(1, 2).reshape(x.shape)), atol=1e-6
        )
        for shuffle in (g, C // g):
            assert reach(model(shuffle), C).sum() > reach(one, C).sum()
    x = torch.randn(1, 16, 2)  # C = g²: one and the same permutation
    assert torch.equal(nn.ChannelShuffle(4)(x), x.view(1, 16 // 4, 4, 2).transpose(1, 2).reshape(x.shape))
    assert torch.equal(nn.ChannelShuffle(4)(nn.ChannelShuffle(4)(x)), x)


@pitfall("Depthwise weights start too small")
def check_fan_out_ignores_groups():
    layer = nn.Conv2d(32, 32, 3, groups=32)
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(layer.weight)
    stated("288", fan_out)
    assert fan_in == 9
    wide = nn.Conv2d(4096, 4096, 3, groups=4096).weight
    for mode, fan in (("fan_out", 4096 * 9), ("fan_in", 9)):
        nn.init.kaiming_normal_(wide, mode=mode)
        assert abs(float(wide.detach().std()) / (2 / fan) ** 0.5 - 1) < 0.05
    x, small, right = torch.randn(8, 256, 9, 9), nn.Conv2d(256, 256, 3, groups=256), nn.Conv2d(256, 256, 3, groups=256)
    nn.init.kaiming_normal_(small.weight, mode="fan_out")
    nn.init.kaiming_normal_(right.weight, mode="fan_in")
    assert small(x).std() < 0.3 and 1 < right(x).std() < 2 and 0.9 < nn.BatchNorm2d(256)(small(x)).std() < 1.1


@holds("Where are the parameters of a MobileNetV2?", "Is a separable convolution as expressive as an ordinary one?")
def check_mobilenet():
    with torch.device("meta"):
        net, resnext = torchvision.models.mobilenet_v2(), torchvision.models.resnext50_32x4d()
    assert {layer.groups for layer in resnext.modules() if isinstance(layer, nn.Conv2d)} == {1, 32}
    assert [type(layer) for layer in net.features[1].conv[0]] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6]
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    stated("3,504,872", number(net))
    stated("2,124,672", sum(layer.weight.numel() for layer in layers if layer.kernel_size == (1, 1)))
    stated("1,281,000", number(net.classifier))
    stated("64,224", sum(layer.weight.numel() for layer in layers if layer.groups > 1))


@holds("Is a separable convolution as expressive as an ordinary one?")
def check_separable_kernel_has_one_pattern_per_input():
    depthwise, pointwise = separable(5, 7, 3)
    w = pointwise.weight[:, :, 0, 0].detach()
    kernel = w[:, :, None, None] * depthwise.weight.detach()[:, 0]
    x = torch.randn(1, 5, 9, 9)
    assert torch.allclose(F.conv2d(x, kernel), pointwise(depthwise(x)), atol=1e-5)
    ordinary = nn.Conv2d(5, 7, 3).weight.detach()
    for c in range(5):
        assert torch.linalg.matrix_rank(kernel[:, c].flatten(1), rtol=1e-4) == 1
        assert torch.linalg.matrix_rank(ordinary[:, c].flatten(1), rtol=1e-4) == 7
