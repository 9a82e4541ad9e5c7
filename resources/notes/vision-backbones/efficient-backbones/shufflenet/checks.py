import inspect
import math

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.shufflenetv2 import InvertedResidual, channel_shuffle

from counting import multiply_adds
from note_checks import formula, holds, pitfall, raises, sourced, stated

SHUFFLE = r"y_{jg + i} = x_{i\,C/g + j}, \qquad 0 \le i < g, \quad 0 \le j < C/g"
UNIT = r"y = \mathrm{shuffle}_2\left( [x_1;\, B(x_2)] \right), \qquad P = 2h^2 + 9h + 6h"
TRAFFIC = r"A = HW\,(c_1 + c_2) + c_1 c_2 \;\ge\; 2\sqrt{HW\,F} + \frac{F}{HW}"


sourced("ShuffleNet V2, arXiv 1807.11164", "Which guidelines does V2 follow?", "How does V2 resemble DenseNet?")


def model(name):
    with torch.device("meta"):
        return getattr(torchvision.models, name)()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def shuffled(x, g):
    C = x.shape[1]
    y = np.empty_like(x)
    for i in range(g):
        for j in range(C // g):
            y[:, j * g + i] = x[:, i * C // g + j]
    return y


@formula(SHUFFLE)
def check_shuffle():
    for C, g in [(6, 2), (12, 3), (12, 4), (8, 1), (8, 8)]:
        x = torch.randn(2, C, 3, 2)
        for library in (channel_shuffle(x, g), nn.ChannelShuffle(g)(x)):
            np.testing.assert_array_equal(shuffled(x.numpy(), g), library.numpy())
    assert shuffled(np.arange(6).reshape(1, 6), 2).ravel().tolist() == [0, 3, 1, 4, 2, 5]
    for C in (6, 8, 116):
        x = torch.arange(C).view(1, C, 1, 1)
        assert not torch.equal(channel_shuffle(x, 2), channel_shuffle(x, C // 2))
        assert torch.equal(nn.ChannelShuffle(C // 2)(x), x.view(1, C // 2, 2, 1, 1).transpose(1, 2).reshape(1, C, 1, 1))
    for C, g in [(240, 3), (272, 4), (480, 8)]:
        dealt = channel_shuffle(torch.arange(C).view(1, C, 1, 1), g).view(g, C // g) // (C // g)
        assert all(set(group.tolist()) == set(range(g)) for group in dealt)  # some of every group in each
    x = torch.arange(4).view(1, 4, 1, 1)
    assert torch.equal(channel_shuffle(x, 2), channel_shuffle(x, 4 // 2))


@formula(UNIT)
def check_unit():
    for C in (4, 10, 116):
        unit = InvertedResidual(C, C, 1).eval()
        x = torch.randn(2, C, 5, 5)
        x1, x2 = x.chunk(2, 1)
        ours = shuffled(torch.cat([x1, unit.branch2(x2)], 1).detach().numpy(), 2)
        np.testing.assert_allclose(ours, unit(x).detach().numpy(), atol=1e-6)
        h = C // 2
        assert parameters(unit) == 2 * h**2 + 9 * h + 6 * h
    kinds = [type(m).__name__ for m in unit.branch2]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d", "ReLU"]


@formula(TRAFFIC)
def check_memory_traffic():
    """Formula-only bound; the touched numbers are counted from real tensors."""
    for c1, c2, H, W in [(64, 64, 28, 28), (16, 256, 28, 28), (3, 5, 4, 6), (8, 8, 1, 1)]:
        conv, x = nn.Conv2d(c1, c2, 1, bias=False), torch.zeros(1, c1, H, W)
        touched = x.numel() + conv(x).numel() + conv.weight.numel()
        F = multiply_adds(nn.Conv2d(c1, c2, 1, bias=False), c1, H, W)
        assert touched == H * W * (c1 + c2) + c1 * c2 and F == H * W * c1 * c2
        bound = 2 * math.sqrt(H * W * F) + F / (H * W)
        assert touched >= bound - 1e-6 and (abs(touched - bound) < 1e-6) == (c1 == c2)
    stated("104,448", 784 * 128 + 64 * 64)
    stated("217,344", 784 * 272 + 16 * 256)


@holds("Parameters", "Cost", "ShuffleNetV2 ×1", "MobileNetV2", "MobileNetV3-small", "SqueezeNet 1.1")
def check_numbers():
    for name, text in [("x0_5", "1,366,792"), ("x1_0", "2,278,604"), ("x1_5", "3,503,624"), ("x2_0", "7,393,996")]:
        stated(text, parameters(model(f"shufflenet_v2_{name}")))
    stated("40,476,448", multiply_adds(model("shufflenet_v2_x0_5")))
    stated("144,907,992", multiply_adds(model("shufflenet_v2_x1_0")))
    for text, name in [
        ("145", "shufflenet_v2_x1_0"),
        ("301", "mobilenet_v2"),
        ("57", "mobilenet_v3_small"),
        ("349", "squeezenet1_1"),
    ]:
        stated(text, multiply_adds(model(name)) / 1e6)
    for text, name in [
        ("69.4 %", "shufflenet_v2_x1_0"),
        ("72.2 %", "mobilenet_v2"),
        ("67.7 %", "mobilenet_v3_small"),
        ("58.2 %", "squeezenet1_1"),
    ]:
        stated(text, torchvision.models.get_model_weights(name).DEFAULT.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    kinds = lambda name: {
        (m.kernel_size[0], m.groups > 1) for m in model(name).features[1:].modules() if isinstance(m, nn.Conv2d)
    }
    assert kinds("squeezenet1_1") == {(1, False), (3, False)} and kinds("mobilenet_v2") == {(1, False), (3, True)}
    small = model("mobilenet_v3_small")
    assert any(type(m).__name__ == "SqueezeExcitation" for m in small.modules())
    assert small.features[2].block[0][0].out_channels > small.features[2].block[0][0].in_channels
    unit = model("shufflenet_v2_x1_0").stage2[1]
    stated("7,598", parameters(unit))
    stated("5,684,000", multiply_adds(unit, 116, 28, 28))
    stated("121,104", nn.Conv2d(116, 116, 3, bias=False).weight.numel())


@pitfall('"Where is the random shuffling?"')
def check_shuffle_is_fixed():
    unit, x = InvertedResidual(8, 8, 1), torch.randn(2, 8, 5, 5)
    for mode in (True, False):
        shuffle = nn.ChannelShuffle(2).train(mode)
        assert torch.equal(shuffle(x), shuffle(x)) and torch.equal(shuffle(x), channel_shuffle(x, 2))
    assert torch.equal(unit.eval()(x), unit(x))
    after = nn.Conv2d(8, 4, 1)
    assert not torch.allclose(after(x[:, torch.randperm(8)]), after(x[:, torch.randperm(8)]), atol=1e-3)


@pitfall("A ported model gives nonsense")
def check_two_conventions():
    """The source reshapes to (C/g, g): torchvision's shuffle gives other numbers, ChannelShuffle(C // g) the same."""
    x, C, g = torch.randn(2, 12, 4, 4), 12, 3
    after = nn.Conv2d(C, 5, 1)
    source = after(x.view(2, C // g, g, 4, 4).transpose(1, 2).reshape(2, C, 4, 4))
    assert not torch.allclose(after(channel_shuffle(x, g)), source, atol=0.01)
    assert torch.equal(after(nn.ChannelShuffle(C // g)(x)), source)


@pitfall("Six times slower than AlexNet")
def check_numbers_moved_per_multiply_add():
    """That time was taken on an early PyTorch release; here the numbers moved per multiply-add of two layers."""
    ratios = []
    for conv in (nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False), nn.Conv2d(64, 64, 3, padding=1, bias=False)):
        touched = 2 * 64 * 28 * 28 + conv.weight.numel()
        ratios.append(touched / multiply_adds(conv, 64, 28, 28))
    assert ratios[0] > 30 * ratios[1]


@pitfall('"Invalid combination of stride 1 …"')
def check_width_changes_at_stride_two():
    raises(ValueError, lambda: InvertedResidual(116, 232, 1), "Invalid combination of stride 1")
    x = torch.randn(2, 116, 8, 8)
    assert InvertedResidual(116, 116, 1)(x).shape == x.shape and InvertedResidual(116, 232, 2)(x).shape == (
        2,
        232,
        4,
        4,
    )


@holds("How does V2 resemble DenseNet?")
def check_reuse_by_distance():
    x = torch.arange(1.0, 117).view(1, 116, 1, 1)
    units = [InvertedResidual(116, 116, 1).eval() for _ in range(2)]
    with torch.no_grad():
        for unit, left in zip(units, (58, 29)):
            x = unit(x)
            values = set(x.flatten().tolist())
            assert sum(float(c) in values for c in range(1, 117)) == left


@holds("Does the shuffle cost anything?")
def check_cost_of_the_shuffle():
    shuffle, x = nn.ChannelShuffle(2), torch.randn(1, 8, 3, 3)
    assert not list(shuffle.parameters()) and multiply_adds(shuffle, 8, 3, 3) == 0
    assert channel_shuffle(x, 2).data_ptr() != x.data_ptr() != shuffle(x).data_ptr()
    assert inspect.getsource(InvertedResidual.forward).count("channel_shuffle(") == 1


@holds("Input → output", "dtype", "Defaults", "Same in train and eval?", "How can a stride-2 unit widen the network?")
def check_contract():
    assert inspect.signature(torchvision.models.shufflenet_v2_x1_0).parameters["weights"].default is None
    whole, y = torchvision.models.shufflenet_v2_x0_5().eval(), torch.randn(2, 3, 64, 50)
    with torch.no_grad():
        assert (
            whole(y).shape == (2, 1000)
            and torch.equal(whole(y), whole(y))
            and not torch.allclose(whole.train()(y), whole.eval()(y), atol=1e-3)
        )
    raises((ValueError, RuntimeError), lambda: whole(y[0]))
    for dtype in (torch.int64, torch.float64):
        raises(RuntimeError, lambda: whole(y.to(dtype)))
    wide = InvertedResidual(8, 20, 2).eval()
    assert wide.branch1(torch.zeros(1, 8, 6, 6)).shape == (1, 10, 3, 3) == wide.branch2(torch.zeros(1, 8, 6, 6)).shape
    for branch in (wide.branch1, wide.branch2):
        assert [m.groups > 1 for m in branch if isinstance(m, nn.Conv2d) and m.stride == (2, 2)] == [True]
    net = model("shufflenet_v2_x1_0")
    assert net.fc.out_features == 1000 and not any(isinstance(m, nn.Dropout) for m in net.modules())
    assert not [n for n in torchvision.models.list_models() if n.startswith("shufflenet") and "v2" not in n]
    raises(ValueError, lambda: InvertedResidual(116, 232, 1), "Invalid combination of stride 1")
    assert InvertedResidual(4, 5, 1).branch2[0].in_channels == 2  # oup // 2 counts
    down = InvertedResidual(8, 20, 2).eval()
    assert down(torch.randn(2, 8, 7, 7)).shape == (2, 20, 4, 4)
    assert down.branch1[0].in_channels == 8 == down.branch2[0].in_channels
