import inspect

import numpy as np
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import ResNet50_Weights

from counting import multiply_adds
from note_checks import formula, holds, pitfall, raises, stated

BLOCK = r"y = \mathrm{ReLU}\left( F(x) + S(x) \right)"
DEPTH = r"D = 2 + k \sum_{s=1}^{4} n_s"
STAGE = r"P = 5CM + 13M^2 + 17(n-1)M^2 + (12n + 8)M"


def model(name, **options):
    """A torchvision model without memory for its weights: enough to count parameters and multiply-adds."""
    with torch.device("meta"):
        return getattr(torchvision.models, name)(**options)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def move_stride(net):
    """Torchvision's stride in the 3x3 moved to the first 1x1, where the paper has it."""
    for stage in (net.layer2, net.layer3, net.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)


@formula(BLOCK)
def check_block():
    net = torchvision.models.resnet50().double().eval()
    for block, channels in [(net.layer1[0], 64), (net.layer2[0], 256), (net.layer2[1], 512)]:
        x = torch.randn(1, channels, 6, 6, dtype=torch.float64)
        branch = block.bn3(block.conv3(block.relu(block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x))))))))
        shortcut = x if block.downsample is None else block.downsample(x)
        ours = np.maximum(branch.detach().numpy() + shortcut.detach().numpy(), 0)
        np.testing.assert_allclose(ours, block(x).detach().numpy(), atol=1e-10)


@formula(DEPTH)
def check_depth():
    for depth, k in [(18, 2), (34, 2), (50, 3), (101, 3), (152, 3)]:
        net = model(f"resnet{depth}")
        stages = [net.layer1, net.layer2, net.layer3, net.layer4]
        assert 2 + k * sum(len(stage) for stage in stages) == depth
        main = [
            name
            for name, m in net.named_modules()
            if isinstance(m, (nn.Conv2d, nn.Linear)) and "downsample" not in name
        ]
        assert len(main) == depth
    assert [len(s) for s in (net.layer1, net.layer2, net.layer3, net.layer4)] == [3, 8, 36, 3]
    net = model("resnet50")
    assert [len(s) for s in (net.layer1, net.layer2, net.layer3, net.layer4)] == [3, 4, 6, 3]
    stated("54", sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in net.modules()))
    stated("23", len(model("resnet101").layer3))
    assert [len(model("resnet34").get_submodule(f"layer{s}")) for s in (1, 2, 3, 4)] == [
        3,
        4,
        6,
        3,
    ]  # as deep in blocks as ResNet-50


@formula(STAGE)
def check_stage_parameters():
    for name in ("resnet50", "resnet101"):
        net = model(name)
        C = 64
        for M, stage in zip((64, 128, 256, 512), (net.layer1, net.layer2, net.layer3, net.layer4)):
            n = len(stage)
            assert 5 * C * M + 13 * M**2 + 17 * (n - 1) * M**2 + (12 * n + 8) * M == parameters(stage)
            C = 4 * M


@holds(
    "Parameters",
    "Cost",
    "ResNet-18",
    "ResNet-50",
    "ResNet-152",
    "VGG16",
    "MobileNetV2",
    "ViT-B/16",
    "Which layers have the most weights?",
)
def check_numbers():
    for depth, text in [
        (18, "11,689,512"),
        (34, "21,797,672"),
        (50, "25,557,032"),
        (101, "44,549,160"),
        (152, "60,192,808"),
    ]:
        stated(text, parameters(model(f"resnet{depth}")))
    net = model("resnet50")
    stated("9,536", parameters(net.conv1) + parameters(net.bn1))
    for stage, text in [
        (net.layer1, "215,808"),
        (net.layer2, "1,219,584"),
        (net.layer3, "7,098,368"),
        (net.layer4, "14,964,736"),
    ]:
        stated(text, parameters(stage))
    stated("2,049,000", parameters(net.fc))
    assert 20480 + 53248 + 139264 + 2816 == 215808
    assert all(m.bias is None for m in net.modules() if isinstance(m, nn.Conv2d))
    stated("4,089,184,256", multiply_adds(net))
    stated("4.09", multiply_adds(net) / 1e9)
    stated("1.81", multiply_adds(model("resnet18")) / 1e9)
    stated("11.5", multiply_adds(model("resnet152")) / 1e9)
    stated("15.5", multiply_adds(model("vgg16")) / 1e9)
    stated("0.30", multiply_adds(model("mobilenet_v2")) / 1e9)
    stated("11.7", 11.689512)
    stated("25.6", 25.557032)
    stated("60.2", 60.192808)
    stated("138.4", parameters(model("vgg16")) / 1e6)
    stated("3.5", parameters(model("mobilenet_v2")) / 1e6)
    stated("86.6", parameters(model("vit_b_16")) / 1e6)
    stated("17.6", multiply_adds(model("vit_b_16")) / 1e9)
    accuracy = {
        "resnet18": "69.8 %",
        "resnet50": "80.9 %",
        "resnet152": "82.3 %",
        "vgg16": "71.6 %",
        "mobilenet_v2": "72.2 %",
        "vit_b_16": "81.1 %",
    }
    for name, text in accuracy.items():
        stated(text, torchvision.models.get_model_weights(name).DEFAULT.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
        each = {part: parameters(layer) for part, layer in model(name).named_children()}
        assert max(each, key=each.get) == ("layer3" if name in ("resnet101", "resnet152") else "layer4")


@holds("Why does ResNet-50 cost less than VGG16 although it is deeper?")
def check_work_of_parts():
    def work(part, *shape):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            part.eval()(torch.zeros(1, *shape))
        return counter.get_total_flops() / 2e9

    net, vgg, size = model("resnet50"), model("vgg16"), (3, 224, 224)
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    assert (
        stem(torch.zeros(1, *size, device="meta")).shape[-1]
        == 56
        == vgg.features[:10](torch.zeros(1, *size, device="meta")).shape[-1]
    )
    stated("0.118", work(stem, *size))
    stated("4.71", work(vgg.features[:10], *size))
    stated("0.218", work(net.layer1[1], 256, 56, 56))
    stated("1.85", work(nn.Conv2d(256, 256, 3, padding=1, device="meta"), 256, 56, 56))
    stated("2.0", parameters(net.fc) / 1e6)
    stated("123.6", parameters(vgg.classifier) / 1e6)
    for name in ("resnet18", "resnet50"):  # a block with an identity shortcut costs the same in each stage
        stages = [model(name).get_submodule(f"layer{s}") for s in (1, 2, 3, 4)]
        shapes = [(stages[0][1].conv1.in_channels * 2**s, 56 // 2**s, 56 // 2**s) for s in range(4)]
        assert len({work(stage[1], *shape) for stage, shape in zip(stages, shapes)}) == 1


@holds(
    "Input → output",
    "dtype",
    "Defaults",
    "Same in train and eval?",
    "Does it accept other image sizes?",
    "What does `zero_init_residual=True` do?",
)
def check_contract():
    options = inspect.signature(torchvision.models.resnet50).parameters
    assert options["weights"].default is None
    options = inspect.signature(torchvision.models.ResNet).parameters
    assert options["num_classes"].default == 1000 and options["zero_init_residual"].default is False
    for weights in ResNet50_Weights:
        preset = weights.transforms()
        assert preset.mean == [0.485, 0.456, 0.406] and preset.std == [0.229, 0.224, 0.225]
    white = preset(torch.full((3, 300, 300), 255, dtype=torch.uint8))
    assert abs(float(white[0].mean()) - (1 - 0.485) / 0.229) < 1e-3  # 255 counts as 1
    net = torchvision.models.resnet50()
    assert net.fc.out_features == 1000 and float(net.layer1[0].bn3.weight.detach()[0]) == 1.0
    zero = torchvision.models.resnet18(zero_init_residual=True).eval()
    x = torch.rand(1, 64, 4, 4)
    assert torch.equal(zero.layer1[0](x), x) and torch.equal(zero.train().layer1[0](x), x)
    x = torch.rand(1, 256, 4, 4)
    assert torch.equal(torchvision.models.resnet50(zero_init_residual=True).layer1[1](x), x)
    assert net.eval()(torch.zeros(1, 3, 96, 64)).shape == (1, 1000)
    assert net(torch.zeros(2, 3, 224, 224)[:, :, :70, :33]).shape == (2, 1000)
    raises((ValueError, RuntimeError), lambda: net(torch.zeros(3, 224, 224)))
    for dtype in (torch.int64, torch.float64):
        raises(RuntimeError, lambda: net(torch.zeros(1, 3, 64, 64, dtype=dtype)))
    noise = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(noise), net(noise)) and not torch.allclose(
            net.train()(noise), net.eval()(noise), atol=1e-3
        )
    h = torch.zeros(1, 3, 32, 32)
    for layer in (net.conv1, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4):
        h = layer(h)
    assert h.shape == (1, 2048, 1, 1)


@pitfall('Numbers of "ResNet-50" disagree between papers and libraries')
def check_stride_variants():
    """The 1x1-strided variant: the same parameters, less work, receptive field 483 instead of 427. Accuracy is not run."""
    net = model("resnet50")
    for stage in (net.layer2, net.layer3, net.layer4):
        assert stage[0].conv1.stride == (1, 1) and stage[0].conv2.stride == (2, 2)

    def receptive_field(first_stride):
        field, jump = 7, 2
        field, jump = field + 2 * jump, jump * 2
        for index, blocks in enumerate((3, 4, 6, 3)):
            for block in range(blocks):
                down = index > 0 and block == 0
                if down and first_stride:
                    jump *= 2
                field += 2 * jump
                if down and not first_stride:
                    jump *= 2
        return field

    stated("427", receptive_field(False))
    stated("483", receptive_field(True))
    v1 = model("resnet50")
    move_stride(v1)
    assert parameters(v1) == parameters(net) and multiply_adds(v1) < 0.95 * multiply_adds(net)
    paper, library = torchvision.models.resnet50().eval(), torchvision.models.resnet50().eval()
    library.load_state_dict(paper.state_dict())
    move_stride(paper)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(library(x), paper(x), atol=1e-3)
        move_stride(library)
        assert torch.equal(library(x), paper(x))


@pitfall("Poor results on CIFAR")
def check_small_images():
    """The cause and its removal; the accuracy on CIFAR would take hours of training."""
    for cured in (False, True):
        net = torchvision.models.resnet18(num_classes=10)
        if cured:
            net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
        stem, last = net.maxpool(net.conv1(torch.zeros(1, 3, 32, 32))).shape[-1], []
        net.layer4.register_forward_hook(lambda module, inputs, output: last.append(output.shape[-1]))
        net(torch.randn(2, 3, 32, 32)).square().sum().backward()
        used = int((net.layer4[1].conv2.weight.grad.abs().sum((0, 1)) > 0).sum())  # the other weights meet padding only
        assert (stem, last, used) == ((32, [4], 9) if cured else (8, [1], 1))


@pitfall('"Frozen" backbone, but the features drift')
def check_frozen_batchnorm_drifts():
    backbone = torchvision.models.resnet18().requires_grad_(False)
    backbone.fc = nn.Identity()
    net = nn.Sequential(backbone, nn.Linear(512, 3))
    x = torch.randn(4, 3, 32, 32)

    def drift(freeze):
        before = backbone.eval()(x)
        net.train()
        if freeze:
            backbone.eval()
        net(torch.randn(8, 3, 32, 32)).sum().backward()
        return float((backbone.eval()(x) - before).abs().max())

    assert drift(False) > 0.01 and drift(True) == 0


@pitfall("Accuracy below the published one with pretrained weights")
def check_preprocessing_of_the_weights():
    """The published accuracies need the download and ImageNet; here the inputs and outputs that differ."""
    presets = [w.transforms() for w in (ResNet50_Weights.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2)]
    picture = torch.randint(0, 256, (3, 300, 280), dtype=torch.uint8)
    first, second = (preset(picture)[None] for preset in presets)
    assert first.shape == second.shape and (first - second).abs().mean() > 0.1
    net = torchvision.models.resnet18().eval()
    with torch.no_grad():
        assert not torch.allclose(net(first), net(second), atol=1e-3)
        assert torch.equal(net(second), net(ResNet50_Weights.IMAGENET1K_V2.transforms()(picture)[None]))
        assert not torch.allclose(net.train()(second), net.eval()(second), atol=1e-3)
    stated("256", ResNet50_Weights.IMAGENET1K_V1.transforms().resize_size[0])
    stated("232", ResNet50_Weights.IMAGENET1K_V2.transforms().resize_size[0])
    assert (
        ResNet50_Weights.IMAGENET1K_V2.transforms().crop_size
        == [224]
        == ResNet50_Weights.IMAGENET1K_V1.transforms().crop_size
    )
