import numpy as np
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import ResNet50_Weights

from note_checks import check, formula, raises, stated

BLOCK = r"y = \mathrm{ReLU}\left( F(x) + S(x) \right)"
DEPTH = r"D = 2 + k \sum_{s=1}^{4} n_s"
STAGE = r"P = 5CM + 13M^2 + 17(n-1)M^2 + (12n + 8)M"


def model(name, **options):
    """A torchvision model without memory for its weights: enough to count parameters and multiply-adds."""
    with torch.device("meta"):
        return getattr(torchvision.models, name)(**options)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def multiply_adds(net, size=224):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return counter.get_total_flops() / 2


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
        main = [name for name, m in net.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear)) and "downsample" not in name]
        assert len(main) == depth
    assert [len(s) for s in (net.layer1, net.layer2, net.layer3, net.layer4)] == [3, 8, 36, 3]
    net = model("resnet50")
    assert [len(s) for s in (net.layer1, net.layer2, net.layer3, net.layer4)] == [3, 4, 6, 3]
    stated("54", sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in net.modules()))
    stated("23", len(model("resnet101").layer3))
    assert [len(model("resnet34").get_submodule(f"layer{s}")) for s in (1, 2, 3, 4)] == [3, 4, 6, 3]  # as deep in blocks as ResNet-50


@formula(STAGE)
def check_stage_parameters():
    for name in ("resnet50", "resnet101"):
        net = model(name)
        C = 64
        for M, stage in zip((64, 128, 256, 512), (net.layer1, net.layer2, net.layer3, net.layer4)):
            n = len(stage)
            assert 5 * C * M + 13 * M**2 + 17 * (n - 1) * M**2 + (12 * n + 8) * M == parameters(stage)
            C = 4 * M


@check
def check_numbers():
    for depth, text in [(18, "11,689,512"), (34, "21,797,672"), (50, "25,557,032"), (101, "44,549,160"), (152, "60,192,808")]:
        stated(text, parameters(model(f"resnet{depth}")))
    net = model("resnet50")
    stated("9,536", parameters(net.conv1) + parameters(net.bn1))
    for stage, text in [(net.layer1, "215,808"), (net.layer2, "1,219,584"), (net.layer3, "7,098,368"), (net.layer4, "14,964,736")]:
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
    attention = 12 * 2 * 197 * 197 * 768 + 12 * 197 * 4 * 768 * 768
    rest = 196 * 768 * 768 + 12 * 197 * 2 * 768 * 3072 + 768 * 1000
    stated("17.6", (attention + rest) / 1e9)


@check
def check_contract():
    net = torchvision.models.resnet50()
    assert net.fc.out_features == 1000 and float(net.layer1[0].bn3.weight.detach()[0]) == 1.0
    zero = torchvision.models.resnet18(zero_init_residual=True).eval()
    x = torch.rand(1, 64, 4, 4)
    assert torch.equal(zero.layer1[0](x), x)
    assert net.eval()(torch.zeros(1, 3, 96, 64)).shape == (1, 1000)
    raises((ValueError, RuntimeError), lambda: net(torch.zeros(3, 224, 224)))
    h = torch.zeros(1, 3, 32, 32)
    for layer in (net.conv1, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4):
        h = layer(h)
    assert h.shape == (1, 2048, 1, 1)


@check
def check_stride_variants():
    """The 1x1-strided variant: the same parameters, less work, receptive field 483 instead of 427."""
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
    for stage in (v1.layer2, v1.layer3, v1.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    assert parameters(v1) == parameters(net) and multiply_adds(v1) < multiply_adds(net)


@check
def check_frozen_batchnorm_drifts():
    net = torchvision.models.resnet18().requires_grad_(False)
    before = net.bn1.running_mean.clone()
    net.train()(torch.randn(4, 3, 32, 32))
    assert not torch.equal(net.bn1.running_mean, before)
    frozen = net.bn1.running_mean.clone()
    net.eval()(torch.randn(4, 3, 32, 32))
    assert torch.equal(net.bn1.running_mean, frozen)


@check
def check_preprocessing_of_the_weights():
    stated("256", ResNet50_Weights.IMAGENET1K_V1.transforms().resize_size[0])
    stated("232", ResNet50_Weights.IMAGENET1K_V2.transforms().resize_size[0])
    assert ResNet50_Weights.IMAGENET1K_V2.transforms().crop_size == [224] == ResNet50_Weights.IMAGENET1K_V1.transforms().crop_size
