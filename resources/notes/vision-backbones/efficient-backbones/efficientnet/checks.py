import importlib
import inspect
import math
import warnings

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from counting import multiply_adds
from note_checks import formula, holds, pitfall, raises, sourced, stated

source = importlib.import_module("torchvision.models.efficientnet")

COMPOUND = (
    r"d = \alpha^{\phi}, \quad w = \beta^{\phi}, \quad r = \gamma^{\phi}, \qquad \alpha\,\beta^2\,\gamma^2 \approx 2"
)
COST = r"\frac{\mathrm{cost}}{\mathrm{cost}_{\mathrm{B0}}} \approx d\,w^2\,r^2"
ROUNDING = r"n' = \lceil d\,n \rceil, \qquad C' = \max\left( 8, 8 \left\lfloor \frac{w\,C + 4}{8} \right\rfloor \right)"
FACTORS = {
    0: (1.0, 1.0),
    1: (1.0, 1.1),
    2: (1.1, 1.2),
    3: (1.2, 1.4),
    4: (1.4, 1.8),
    5: (1.6, 2.2),
    6: (1.8, 2.6),
    7: (2.0, 3.1),
}


sourced(
    "EfficientNet, arXiv 1905.11946, section 3.3; EfficientNetV2, arXiv 2104.00298",
    "Are the three constants optimal for every network?",
)


def model(name, **options):
    with torch.device("meta"):
        return getattr(models, name)(**options)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def scaled(d=1.0, w=1.0):
    blocks, last = source._efficientnet_conf("efficientnet_b0", width_mult=w, depth_mult=d)
    with torch.device("meta"):
        return source.EfficientNet(blocks, 0.2, last_channel=last)


@formula(COMPOUND, COST)
def check_compound_scaling():
    alpha, beta, gamma = 1.2, 1.1, 1.15
    stated("1.9203", alpha * beta**2 * gamma**2)
    base = multiply_adds(scaled())
    for phi in (2, 3, 4):
        d, w, r = alpha**phi, beta**phi, gamma**phi
        size = round(224 * r)
        measured = multiply_adds(scaled(d, w), 3, size, size) / base
        assert 0.9 < measured / (d * w**2 * r**2) < 1.3, (phi, measured, d * w**2 * r**2)
        assert abs(d * w**2 * r**2 / 2**phi - 1) < 0.16
    for one, power in [({"d": 2.0}, 1), ({"w": 2.0}, 2)]:
        assert abs(math.log2(multiply_adds(scaled(**one)) / base) - power) < 0.15
    assert abs(math.log2(multiply_adds(scaled(), 3, 448, 448) / base) - 2) < 0.05


@formula(ROUNDING)
def check_rounding():
    layers, channels = (1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)
    for index, (w, d) in FACTORS.items():
        stages = list(model(f"efficientnet_b{index}").features)[1:-1]
        for n, C, stage in zip(layers, channels, stages):
            width = max(8, 8 * math.floor((w * C + 4) / 8))
            width += 8 if width < 0.9 * w * C else 0
            assert len(stage) == math.ceil(d * n) and stage[-1].block[-1][0].out_channels == width
    stated("26", sum(len(stage) for stage in list(model("efficientnet_b3").features)[1:-1]))
    stated("23", sum(len(stage) for stage in list(model("efficientnet_b1").features)[1:-1]))
    assert sum(layers) == 16


@holds("Parameters", "Cost", "B0", "B4", "V2-S", "MobileNetV3-large", "ResNet-50")
def check_numbers():
    for name, text in [
        ("efficientnet_b0", "5,288,548"),
        ("efficientnet_b1", "7,794,184"),
        ("efficientnet_b4", "19,341,616"),
        ("efficientnet_b7", "66,347,960"),
        ("efficientnet_v2_s", "21,458,488"),
    ]:
        stated(text, parameters(model(name)))
    b0, b1, b7 = (multiply_adds(model(f"efficientnet_b{i}"), 3, s, s) for i, s in [(0, 224), (1, 240), (7, 600)])
    stated("385,814,752", b0)
    stated("37,745,884,192", b7)
    stated("97.8", b7 / b0)
    stated("1.780", b1 / b0)
    stated("1.263", 1.1 * (240 / 224) ** 2)
    for text, name, size in [
        ("0.39", "efficientnet_b0", 224),
        ("4.39", "efficientnet_b4", 380),
        ("8.37", "efficientnet_v2_s", 384),
        ("0.22", "mobilenet_v3_large", 224),
        ("4.09", "resnet50", 224),
    ]:
        stated(text, multiply_adds(model(name), 3, size, size) / 1e9)
    for text, name in [
        ("5.3", "efficientnet_b0"),
        ("19.3", "efficientnet_b4"),
        ("21.5", "efficientnet_v2_s"),
        ("5.5", "mobilenet_v3_large"),
        ("25.6", "resnet50"),
    ]:
        stated(text, parameters(model(name)) / 1e6)
    accuracy = {
        "efficientnet_b0": "77.7 %",
        "efficientnet_b4": "83.4 %",
        "efficientnet_v2_s": "84.2 %",
        "mobilenet_v3_large": "75.3 %",
        "resnet50": "80.9 %",
    }
    for name, text in accuracy.items():
        weights = models.get_model_weights(name).DEFAULT
        stated(text, weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
        assert weights.transforms().crop_size[0] == {"efficientnet_b4": 380, "efficientnet_v2_s": 384}.get(name, 224)


@holds("Why is width squared in the cost?")
def check_cost_of_wider_layers():
    def work(conv):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            conv.to("meta")(torch.zeros(1, conv.in_channels, 14, 14))
        return counter.get_total_flops()

    assert work(nn.Conv2d(96, 48, 1)) == 4 * work(nn.Conv2d(48, 24, 1))
    assert work(nn.Conv2d(96, 96, 3, padding=1, groups=96)) == 2 * work(nn.Conv2d(48, 48, 3, padding=1, groups=48))


@holds("What does stochastic depth do here?", "Same in train and eval?")
def check_stochastic_depth():
    net = models.efficientnet_b0(num_classes=3)
    block = net.features[6][1]  # has a shortcut
    assert block.use_res_connect and block.stochastic_depth.mode == "row"
    block.stochastic_depth.p = 0.5
    x = torch.randn(64, 192, 4, 4)
    with torch.no_grad():
        passed = (block.train()(x) == x).flatten(1).all(1)
        assert 8 < int(passed.sum()) < 56  # some samples skip the whole branch, others do not
        assert not (block.eval()(x) == x).flatten(1).all(1).any()
        x = torch.randn(4, 3, 64, 64)
        assert torch.equal(net.eval()(x), net(x)) and not torch.allclose(net.train()(x), net.eval()(x), atol=1e-4)
    kinds = {type(m).__name__ for m in net.modules()}
    assert {"BatchNorm2d", "Dropout", "StochasticDepth", "SiLU"} <= kinds


def touched(net, size=224):
    """Numbers read and written by all convolutions for one image, and the convolutions' count."""
    amounts = []
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            m.register_forward_hook(lambda m, i, out: amounts.append(i[0].numel() + out.numel() + m.weight.numel()))
    net.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return sum(amounts), len(amounts)


@pitfall("On single images B0 is slower than ResNet-50 on a GPU")
def check_memory_traffic():
    """The time needs a GPU; here what it is spent on: numbers moved per multiply-add, and the count of layers."""
    (traffic, layers), (ordinary, fewer) = touched(model("efficientnet_b0")), touched(model("resnet50"))
    work = multiply_adds(model("efficientnet_b0")) / multiply_adds(model("resnet50"))
    assert 0.09 < work < 0.1 and traffic / ordinary > 4 * work and layers > 1.4 * fewer
    fused = model("efficientnet_v2_s").features[2][0].block
    assert [(m[0].kernel_size, m[0].groups) for m in fused] == [((3, 3), 1), ((1, 1), 1)]


def kept_bytes(net, size, batch=2, autocast=False, pieces=0):
    """Bytes that one forward pass keeps for backward, weights left out."""
    own, kept = {p.data_ptr() for p in net.parameters()}, {}

    def pack(tensor):
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor
        return tensor

    x = torch.randn(batch, 3, size, size, requires_grad=True)
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=autocast)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), mixed:
        checkpoint_sequential(net.features, pieces, x, use_reentrant=False) if pieces else net.features(x)
    return sum(t.numel() * t.element_size() for t in kept.values())


@pitfall("Out of memory in training although the weights are few")
def check_activation_memory():
    net = models.efficientnet_b0().train()
    full = kept_bytes(net, 128, batch=4)
    assert full > 3 * 4 * parameters(net)
    assert kept_bytes(net, 64, batch=4) < 0.4 * full and kept_bytes(net, 128) < 0.6 * full
    assert kept_bytes(net, 128, batch=4, autocast=True) < 0.85 * full
    assert kept_bytes(net, 128, batch=4, pieces=3) < 0.85 * full
    for reentrant in (False, True):
        layers = nn.Sequential(*net.features[:2])
        layers.zero_grad()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            h = checkpoint_sequential(layers, 2, torch.randn(2, 3, 32, 32), use_reentrant=reentrant)
        h.sum().backward()
        assert [all(p.grad is None for p in layer.parameters()) for layer in layers] == [reentrant, False]


@pitfall("Lower accuracy than published")
def check_preprocessing():
    """The accuracies need the download; here the size that a B4 is given."""
    preset = models.EfficientNet_B4_Weights.IMAGENET1K_V1.transforms()
    picture = torch.randint(0, 256, (3, 400, 500), dtype=torch.uint8)
    assert preset(picture).shape == (3, 380, 380)
    assert models.EfficientNet_B0_Weights.IMAGENET1K_V1.transforms()(picture).shape == (3, 224, 224)


@pitfall("Ported B5 weights give slightly different outputs")
def check_other_epsilon():
    source_net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=1e-3), nn.SiLU()).eval()
    nn.init.uniform_(source_net[1].running_var, 0.01, 0.1)
    port = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU()).eval()
    port.load_state_dict(source_net.state_dict())
    assert not any("eps" in name for name in source_net.state_dict())
    x = torch.randn(2, 3, 8, 8)
    gap = (port(x) - source_net(x)).abs().max()
    port[1].eps = 1e-3
    assert 1e-4 < gap < 0.5 and torch.equal(port(x), source_net(x))


@holds("Input → output", "dtype", "Defaults", "Where does SE sit, and how wide is it?")
def check_contract():
    net = models.efficientnet_b0().eval()
    assert net(torch.zeros(2, 3, 64, 70)).shape == (2, 1000)
    raises((ValueError, RuntimeError), lambda: net(torch.zeros(3, 64, 64)))
    for dtype in (torch.int64, torch.float64):
        raises(RuntimeError, lambda: net(torch.zeros(1, 3, 64, 64, dtype=dtype)))
    assert inspect.signature(models.efficientnet_b0).parameters["weights"].default is None
    assert inspect.signature(source.EfficientNet).parameters["stochastic_depth_prob"].default == 0.2
    for index in range(8):
        for block in (block for stage in list(model(f"efficientnet_b{index}").features)[1:-1] for block in stage):
            parts = [type(part).__name__ for part in block.block]
            se = parts.index("SqueezeExcitation")
            assert block.block[se - 1][0].groups == block.block[se - 1][0].in_channels and se == len(parts) - 2
            assert block.block[se].fc1.out_channels == block.block[0][0].in_channels // 4
    dropouts = [model(f"efficientnet_b{i}").classifier[0].p for i in range(8)]
    assert dropouts == sorted(dropouts) and (dropouts[0], dropouts[-1]) == (0.2, 0.5)
    sizes = [models.get_model_weights(f"efficientnet_b{i}").IMAGENET1K_V1.transforms() for i in range(8)]
    assert [s.crop_size[0] for s in sizes] == [224, 240, 288, 300, 380, 456, 528, 600]
    assert sum("bicubic" in str(s.interpolation).lower() for s in sizes) > 4
    norm = lambda net: {(m.eps, m.momentum) for m in net.modules() if isinstance(m, nn.BatchNorm2d)}
    for i in range(8):
        assert norm(model(f"efficientnet_b{i}")) == ({(1e-5, 0.1)} if i < 5 else {(1e-3, 0.01)})
    assert {eps for eps, _ in norm(model("efficientnet_v2_s"))} == {1e-3}
    net = model("efficientnet_b0")
    assert net.classifier[0].p == 0.2 and model("efficientnet_b7").classifier[0].p == 0.5
    drops = [block.stochastic_depth.p for stage in list(net.features)[1:-1] for block in stage]
    assert drops == sorted(drops) and drops[0] == 0 and 0.18 < drops[-1] < 0.2
    assert net.features[2][0].block[2].fc1.out_channels == 16 // 4
    first = model("efficientnet_v2_s").features[1][0].block[0][0]
    assert first.kernel_size == (3, 3) and first.groups == 1
