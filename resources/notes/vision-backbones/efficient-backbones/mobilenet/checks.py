import inspect

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models._utils import _make_divisible
from torchvision.models.mobilenetv2 import InvertedResidual

from counting import multiply_adds
from note_checks import check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

RATIO = r"""
\frac{H W \left( K^2 C_{\mathrm{in}} + C_{\mathrm{in}} C_{\mathrm{out}} \right)}{H W K^2 C_{\mathrm{in}} C_{\mathrm{out}}} = \frac{1}{C_{\mathrm{out}}} + \frac{1}{K^2}
"""
BLOCK = r"HW\, t\, C_{\mathrm{in}}^2 + \frac{HW}{s^2}\, t\, C_{\mathrm{in}} \left( 9 + C_{\mathrm{out}} \right)"
WIDTH = r"""
C' = \max\left( 8, 8 \left\lfloor \frac{\alpha C + 4}{8} \right\rfloor \right), \qquad C' \leftarrow C' + 8 \ \text{ if } \ C' < 0.9\,\alpha C
"""


sourced("MobileNetV2, arXiv 1801.04381, section 3.2 and figure 1", 'Why "linear" bottleneck?')
sourced("MobileNetV2, arXiv 1801.04381", "Why ReLU6?")
sourced("Searching for MobileNetV3, arXiv 1905.02244, section 5", "What did V3 change?")


def model(name, **options):
    with torch.device("meta"):
        return getattr(torchvision.models, name)(**options)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@formula(RATIO)
def check_ratio():
    for K, C_in, C_out, H, W in [(3, 8, 16, 6, 5), (5, 4, 12, 7, 7), (3, 64, 128, 9, 4)]:
        ordinary = nn.Conv2d(C_in, C_out, K, padding=K // 2, bias=False)
        pair = nn.Sequential(
            nn.Conv2d(C_in, C_in, K, padding=K // 2, groups=C_in, bias=False), nn.Conv2d(C_in, C_out, 1, bias=False)
        )
        measured = multiply_adds(pair, C_in, H, W) / multiply_adds(ordinary, C_in, H, W)
        fraction = H * W * (K**2 * C_in + C_in * C_out) / (H * W * K**2 * C_in * C_out)
        np.testing.assert_allclose([fraction, 1 / C_out + 1 / K**2], measured)


@formula(BLOCK)
def check_block():
    for C_in, C_out, t, s, H, W in [(24, 32, 6, 2, 56, 56), (8, 8, 3, 1, 7, 5), (16, 24, 2, 2, 10, 6)]:
        expected = H * W * t * C_in**2 + H * W // s**2 * t * C_in * (9 + C_out)
        assert expected == multiply_adds(InvertedResidual(C_in, C_out, s, t), C_in, H, W)


@formula(WIDTH)
def check_width_rounding():
    for alpha in (0.1, 0.35, 0.5, 0.75, 1.0, 1.4):
        for C in (16, 24, 32, 64, 96, 160, 320, 1280):
            ours = max(8, 8 * int(np.floor((alpha * C + 4) / 8)))
            ours += 8 if ours < 0.9 * alpha * C else 0
            assert ours == _make_divisible(alpha * C, 8)
    stated("16", _make_divisible(0.35 * 32, 8))
    assert int((0.35 * 32 + 4) / 8) * 8 == 8 and abs(0.9 * 0.35 * 32 - 10.08) < 1e-9


@holds(
    "Parameters",
    "Cost",
    "MobileNetV2",
    "V3-large",
    "V3-small",
    "ShuffleNetV2 ×1",
    "EfficientNet-B0",
    "ResNet-18",
    "Where are V2's parameters?",
)
def check_numbers():
    sizes = {
        "mobilenet_v2": ("3,504,872", "300,774,272"),
        "mobilenet_v3_large": ("5,483,032", "216,589,760"),
        "mobilenet_v3_small": ("2,542,856", "56,510,400"),
    }
    for name, (size, work) in sizes.items():
        stated(size, parameters(model(name)))
        stated(work, multiply_adds(model(name)))
    short = {
        "mobilenet_v2": ("3.5", "301"),
        "mobilenet_v3_large": ("5.5", "217"),
        "mobilenet_v3_small": ("2.5", "57"),
        "shufflenet_v2_x1_0": ("2.3", "145"),
        "efficientnet_b0": ("5.3", "386"),
        "resnet18": ("11.7", "1,814"),
    }
    for name, (size, work) in short.items():
        stated(size, parameters(model(name)) / 1e6)
        stated(work, multiply_adds(model(name)) / 1e6)
    accuracy = {
        "mobilenet_v2": "72.2 %",
        "mobilenet_v3_large": "75.3 %",
        "mobilenet_v3_small": "67.7 %",
        "shufflenet_v2_x1_0": "69.4 %",
        "efficientnet_b0": "77.7 %",
        "resnet18": "69.8 %",
    }
    for name, text in accuracy.items():
        stated(text, torchvision.models.get_model_weights(name).DEFAULT.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    net = model("mobilenet_v2")
    norms = sum(parameters(m) for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    assert parameters(net) == 2_124_672 + 64_224 + 1_281_000 + norms + parameters(net.features[0][0])
    assert [len(list(b.conv)) for b in list(net.features)[1:-1]] == [3] + 16 * [4]
    assert all(b.conv[0][0].out_channels == 6 * b.conv[0][0].in_channels for b in list(net.features)[2:-1])
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    stated("2,124,672", sum(m.weight.numel() for m in convs if m.kernel_size == (1, 1)))
    stated("64,224", sum(m.weight.numel() for m in convs if m.groups > 1))
    stated("1,281,000", parameters(net.classifier))
    half = model("mobilenet_v2", width_mult=0.5)
    stated("1,968,680", parameters(half))
    assert parameters(half) > 0.5 * parameters(net) and half.features[-1].out_channels == 1280
    assert multiply_adds(half) < 0.35 * multiply_adds(net)
    stated("0.20", multiply_adds(model("mobilenet_v2", width_mult=0.35)) / multiply_adds(net))
    stated("0.12", 0.35**2)
    assert parameters(model("mobilenet_v3_large", width_mult=0.5)) < 0.4 * parameters(model("mobilenet_v3_large"))


@holds('Why "linear" bottleneck?')
def check_what_relu_loses():
    """Points of the plane are recovered where at least two channels stay active."""
    for seed in range(3):
        torch.manual_seed(seed)
        lost = {
            n: float(((torch.randn(200, 2000, 2) @ torch.randn(200, 2, n) > 0).sum(-1) < 2).float().mean())
            for n in (3, 30)
        }
        assert lost[3] > 0.3 and lost[30] < 0.001
    block = model("mobilenet_v2").features[4].conv
    assert [type(m) for m in block][-2:] == [nn.Conv2d, nn.BatchNorm2d]


@holds("Why ReLU6?")
def check_range_of_relu6():
    x = torch.cat([torch.randn(1000), torch.tensor([500.0])])
    h = F.relu6(x)
    assert h.min() == 0 and h.max() == 6 and F.relu(x).max() == 500
    assert ((h / (6 / 255)).round() * (6 / 255) - h).abs().max() <= 3 / 255 + 1e-6 and (
        h / (6 / 255)
    ).round().max() == 255


@holds("What did V3 change?")
def check_v3():
    for name in ("mobilenet_v3_large", "mobilenet_v3_small"):
        net = model(name).eval()
        blocks = list(net.features)[1:-1]
        squeezed = [any(type(m).__name__ == "SqueezeExcitation" for m in b.modules()) for b in blocks]
        swish = [any(isinstance(m, nn.Hardswish) for m in b.modules()) for b in blocks]
        assert 0 < sum(squeezed) < len(blocks) and swish == sorted(swish) and not swish[0] and swish[-1]
        assert isinstance(net.features[0][2], nn.Hardswish)
        kernels = {m.kernel_size for b in blocks for m in b.modules() if isinstance(m, nn.Conv2d) and m.groups > 1}
        assert kernels == {(3, 3), (5, 5)}
        assert isinstance(net.classifier[0], nn.Linear) and net.avgpool(
            net.features(torch.zeros(1, 3, 224, 224, device="meta"))
        ).shape[2:] == (1, 1)


@check
def check_by_hand():
    stated("10,838,016", 3136 * 6 * 24**2)
    stated("4,628,736", 784 * 144 * (9 + 32))
    block = model("mobilenet_v2").features[4]
    stated("15,466,752", multiply_adds(block, 24, 56, 56))
    ordinary = multiply_adds(nn.Conv2d(144, 144, 3, stride=2, padding=1), 144, 56, 56)
    stated("146,313,216", ordinary)
    assert 9 < ordinary / 15_466_752 < 10
    assert 1 / 9 < 1 / 64 + 1 / 9 < 1 / 7.8


def touched(net):
    """Numbers that the convolutions read and write for one image."""
    amounts = []
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            m.register_forward_hook(lambda m, i, out: amounts.append(i[0].numel() + out.numel() + m.weight.numel()))
    net.eval()(torch.zeros(1, 3, 224, 224, device="meta"))
    return sum(amounts)


@pitfall("A sixth of ResNet-18's work, but not six times as fast")
def check_memory_traffic():
    """Times depend on the device; here the cause: a sixth of the work, but not a sixth of the memory traffic."""
    work = multiply_adds(model("mobilenet_v2")) / multiply_adds(model("resnet18"))
    assert abs(work - 1 / 6) < 0.01 and touched(model("mobilenet_v2")) > 3 * work * touched(model("resnet18"))


@pitfall("Validation is much worse than training after few steps")
def check_stale_statistics():
    pixels, y = handwritten_digits()
    x = F.interpolate(pixels.view(-1, 1, 8, 8), size=32).expand(-1, 3, -1, -1)
    net = torchvision.models.mobilenet_v3_small(num_classes=10)
    optimizer, seen = torch.optim.Adam(net.parameters(), 1e-3), []
    for _ in range(20):
        batch = torch.randint(0, 1400, (32,))
        logits = net(x[batch])
        optimizer.zero_grad()
        F.cross_entropy(logits, y[batch]).backward()
        optimizer.step()
        seen.append(float((logits.argmax(1) == y[batch]).float().mean()))
    with torch.no_grad():
        validation = lambda: float((net.eval()(x[1600:]).argmax(1) == y[1600:]).float().mean())
        stale = validation()
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.reset_running_stats()
                m.momentum = None
        for start in (0, 120, 240):
            net.train()(x[start : start + 120])
        assert sum(seen[-5:]) / 5 > 0.6 and stale < 0.3 and validation() > stale + 0.2


@pitfall("The half-width model has over half the parameters")
def check_head_of_the_narrow_model():
    half = model("mobilenet_v2", width_mult=0.5)
    assert parameters(half) > 0.5 * parameters(model("mobilenet_v2"))
    with torch.device("meta"):
        half.features[-1][0], half.features[-1][1] = nn.Conv2d(160, 640, 1, bias=False), nn.BatchNorm2d(640)
        half.classifier[1] = nn.Linear(640, 1000)
        assert half.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
    assert parameters(half) < 0.4 * parameters(model("mobilenet_v2"))


@pitfall("A ported model differs by a little")
def check_porting():
    """Two differences alone, each removed by the same values; TensorFlow's padding is written out."""
    conv, x = nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.randn(2, 3, 8, 8)
    same = lambda h: F.conv2d(F.pad(h, [0, 1, 0, 1]), conv.weight, conv.bias, stride=2)
    assert same(x).shape == conv(x).shape and not torch.allclose(same(x), conv(x), atol=1e-3)
    port = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, stride=2))
    port[1].load_state_dict(conv.state_dict())
    torch.testing.assert_close(port(x), same(x))
    norms = [nn.BatchNorm2d(8, eps=eps).eval() for eps in (1e-3, 1e-5)]
    for norm in norms:
        norm.running_var.fill_(0.05)
    h = conv(x)
    assert not torch.allclose(norms[0](h), norms[1](h), rtol=1e-3)
    norms[1].eps = 1e-3
    assert torch.equal(norms[0](h), norms[1](h))


@holds("Input → output", "dtype", "Defaults", "Same in train and eval?")
def check_contract():
    assert inspect.signature(torchvision.models.MobileNetV2).parameters["width_mult"].default == 1.0
    for builder in (torchvision.models.mobilenet_v2, torchvision.models.mobilenet_v3_small):
        assert inspect.signature(builder).parameters["weights"].default is None
        net, y = builder().eval(), torch.randn(2, 3, 64, 48)
        for kind in (torchvision.models.MobileNetV2, torchvision.models.MobileNetV3):
            assert inspect.signature(kind).parameters["dropout"].default == 0.2
        with torch.no_grad():
            assert net(y).shape == (2, 1000) and torch.equal(net(y), net(y)) and not torch.equal(net.train()(y), net(y))
        raises((ValueError, RuntimeError), lambda: net.eval()(y[0]))
        for dtype in (torch.int64, torch.float64):
            raises(RuntimeError, lambda: net(y.to(dtype)))
    v2, v3 = model("mobilenet_v2"), model("mobilenet_v3_large")
    assert v2.classifier[0].p == 0.2 == v3.classifier[2].p
    norm = lambda net: {(m.eps, m.momentum) for m in net.modules() if isinstance(m, nn.BatchNorm2d)}
    assert norm(v2) == {(1e-5, 0.1)} and norm(v3) == {(1e-3, 0.01)} == norm(model("mobilenet_v3_small"))
    kinds = lambda net: {type(m) for m in net.modules()}
    assert nn.ReLU6 in kinds(v2) and nn.Hardswish in kinds(v3) and nn.ReLU in kinds(v3) and nn.ReLU6 not in kinds(v3)
    blocks = list(v3.features)[1:-1]
    swish = [any(isinstance(m, nn.Hardswish) for m in b.modules()) for b in blocks]
    assert swish == sorted(swish) and sum(swish) == 9 and len(blocks) == 15
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    np.testing.assert_allclose(
        x.numpy() * np.minimum(np.maximum(x.numpy() + 3, 0), 6) / 6, nn.functional.hardswish(x).numpy(), atol=1e-12
    )
    assert sorted(n for n in torchvision.models.list_models() if n.startswith("mobilenet")) == [
        "mobilenet_v2",
        "mobilenet_v3_large",
        "mobilenet_v3_small",
    ]
    assert isinstance(v3.features[0][2], nn.Hardswish)
    with torch.no_grad():
        assert torchvision.models.mobilenet_v3_small(num_classes=4).eval()(torch.zeros(2, 3, 64, 48)).shape == (2, 4)
