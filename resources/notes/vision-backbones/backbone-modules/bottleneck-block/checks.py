import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from counting import multiply_adds
from note_checks import check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

BOTTLENECK = r"4M \cdot M + 9\,M^2 + M \cdot 4M = 17\,M^2"
OTHERS = r"2 \cdot 9\,(4M)^2 = 288\,M^2, \qquad tC \cdot C + 9\,tC + C \cdot tC = 2tC^2 + 9tC"
BLOCK = r"y = \phi\left( x + W_3 * \phi\left( W_2 * \phi\left( W_1 * x \right) \right) \right)"

sourced("Deep Residual Learning for Image Recognition, arXiv 1512.03385", "Why do the deeper ResNets use it?")


def weights(block):
    return sum(m.weight.numel() for m in block.modules() if isinstance(m, nn.Conv2d))


@formula(BOTTLENECK, OTHERS)
@holds("How are the weights divided?")
def check_weights_equal_the_library():
    for M in (3, 16, 64, 128):
        block = Bottleneck(4 * M, M)
        assert 4 * M * M + 9 * M**2 + M * 4 * M == 17 * M**2 == weights(block)
        assert block.conv1.weight.numel() + block.conv3.weight.numel() == 8 * M**2
        assert block.conv2.weight.numel() == 9 * M**2
        assert 2 * 9 * (4 * M) ** 2 == 288 * M**2 == weights(BasicBlock(4 * M, 4 * M))
    for C, t in [(24, 6), (16, 2), (5, 3)]:
        block = InvertedResidual(C, C, 1, t)
        assert t * C * C + 9 * t * C + C * t * C == 2 * t * C**2 + 9 * t * C == weights(block)
        assert sum(m.weight.numel() for m in block.modules() if getattr(m, "kernel_size", None) == (3, 3)) == 9 * t * C


@formula(BLOCK)
def check_block_equals_the_library():
    for M, size in [(2, 5), (4, 8)]:
        block = Bottleneck(4 * M, M).double().eval()
        for norm in (block.bn1, block.bn2, block.bn3):
            norm.running_var.fill_(1 - norm.eps)
        x = torch.randn(2, 4 * M, size, size, dtype=torch.float64)
        phi = lambda v: np.maximum(v, 0)
        w1, w2, w3 = (c.weight.detach().numpy() for c in (block.conv1, block.conv2, block.conv3))
        pointwise = lambda w, v: np.einsum("oc,nchw->nohw", w[:, :, 0, 0], v)
        h = phi(pointwise(w1, x.numpy()))
        padded = np.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1)))
        filtered = sum(
            np.einsum("oc,nchw->nohw", w2[:, :, i, j], padded[:, :, i : i + size, j : j + size])
            for i in range(3)
            for j in range(3)
        )
        np.testing.assert_allclose(phi(x.numpy() + pointwise(w3, phi(filtered))), block(x).detach().numpy(), atol=1e-10)


@holds("Parameters", "Why do the deeper ResNets use it?")
def check_numbers():
    block = Bottleneck(256, 64)
    stated("69,632", weights(block))
    assert sum(p.numel() for p in block.parameters()) - weights(block) == 768
    assert [m.weight.numel() for m in (block.conv1, block.conv2, block.conv3)] == [16384, 36864, 16384]
    stated("768", 768)
    stated("1,179,648", weights(BasicBlock(256, 256)))
    stated("16.9", weights(BasicBlock(256, 256)) / weights(block))
    stated("73,728", weights(BasicBlock(64, 64)))
    inverted = InvertedResidual(24, 24, 1, 6)
    stated("8,208", weights(inverted))
    assert [m.weight.numel() for m in inverted.modules() if isinstance(m, nn.Conv2d)] == [3456, 1296, 3456]


@holds("Input → output", "dtype", "Defaults", "Same in train and eval?")
def check_contract():
    block = Bottleneck(16, 4).eval()
    assert Bottleneck.expansion == 4 and block.stride == 1 and block.downsample is None and block.conv2.groups == 1
    assert block(torch.randn(2, 16, 9, 7)).shape == (2, 16, 9, 7)
    down = nn.Sequential(nn.Conv2d(16, 32, 1, stride=2, bias=False), nn.BatchNorm2d(32))
    halved = Bottleneck(16, 8, stride=2, downsample=down)
    assert halved(torch.randn(2, 16, 9, 7)).shape == (2, 32, 5, 4)
    assert halved.conv1.stride == (1, 1) and halved.conv2.stride == (2, 2)
    raises(RuntimeError, lambda: Bottleneck(16, 4, stride=2)(torch.randn(2, 16, 9, 7)), "must match")
    unprojected = Bottleneck(16, 4, stride=2, downsample=nn.AvgPool2d(1, 2))
    assert unprojected(torch.randn(2, 16, 9, 7)).shape == (2, 16, 5, 4)
    raises(ValueError, lambda: block(torch.randn(16, 9, 7)), "4D")
    raises(RuntimeError, lambda: block(torch.randn(2, 16, 9, 7).double()))
    x = torch.randn(2, 16, 9, 7)
    assert torch.equal(block.train().conv1(x), block.eval().conv1(x))
    assert not torch.equal(block.train()(x), block.eval()(x))


def on_meta(name):
    with torch.device("meta"):
        return getattr(torchvision.models, name)()


@holds("basic block", "bottleneck", "ResNeXt", "inverted residual, $t > 1$", "Fire module, first one")
@holds("Why is it called a bottleneck?")
def check_widths_of_the_models():
    convolutions = lambda block: [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    for names, kind in ((("resnet18", "resnet34"), BasicBlock), (("resnet50", "resnet101", "resnet152"), Bottleneck)):
        for name in names:
            blocks = [m for m in on_meta(name).modules() if isinstance(m, (BasicBlock, Bottleneck))]
            assert {type(block) for block in blocks} == {kind}
            for block in (b for b in blocks if b.downsample is None):
                layers, wide = convolutions(block), block.conv1.in_channels
                inside = wide if kind is BasicBlock else wide // 4
                assert {m.out_channels for m in layers[:-1]} == {inside} and layers[-1].out_channels == wide
                assert block.conv2.kernel_size == (3, 3) and block.conv2.groups == 1
    first = on_meta("resnet50").layer1[0]
    assert (first.conv1.in_channels, first.conv1.out_channels, first.conv3.out_channels) == (64, 64, 256)
    assert first.stride == 1 and on_meta("resnext50_32x4d").layer1[0].conv1.in_channels == 64
    block = on_meta("resnext50_32x4d").layer1[1]
    assert (block.conv1.in_channels, block.conv1.out_channels, block.conv3.out_channels) == (256, 128, 256)
    assert block.conv2.groups == 32
    squeezed = list(on_meta("efficientnet_b0").modules())
    assert any(isinstance(m, torchvision.ops.SqueezeExcitation) for m in squeezed)
    depthwise = [m for m in squeezed if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert {m.kernel_size for m in depthwise} == {(3, 3), (5, 5)}
    for block in (m for m in on_meta("mobilenet_v2").modules() if isinstance(m, InvertedResidual)):
        layers = convolutions(block)
        assert layers[-2].groups == layers[-2].in_channels
        if len(layers) == 3:
            assert layers[0].in_channels < layers[1].in_channels > layers[2].out_channels
    fire = on_meta("squeezenet1_0").features[3]
    assert (fire.squeeze.in_channels, fire.squeeze.out_channels) == (96, 16) and fire.expand3x3.groups == 1
    assert fire.expand1x1.out_channels + fire.expand3x3.out_channels == 128


@pitfall('"The size of tensor a (256) must match the size of tensor b (64)"')
def check_planes_are_the_inner_width():
    message = "The size of tensor a (256) must match the size of tensor b (64)"
    raises(RuntimeError, lambda: Bottleneck(64, 64)(torch.randn(2, 64, 8, 8)), message)
    assert Bottleneck(64, 16)(torch.randn(2, 64, 8, 8)).shape == (2, 64, 8, 8)
    assert Bottleneck(64, 16).conv1.out_channels == 16 < Bottleneck(64, 16, base_width=128).conv1.out_channels
    project = nn.Sequential(nn.Conv2d(64, 256, 1, bias=False), nn.BatchNorm2d(256))
    assert Bottleneck(64, 64, downsample=project)(torch.randn(2, 64, 8, 8)).shape == (2, 256, 8, 8)


@holds("Cost")
def check_multiply_adds_per_position():
    from torch.utils.flop_counter import FlopCounterMode

    for block, channels, expected in [(Bottleneck(64, 16), 64, 17 * 16**2), (InvertedResidual(24, 24, 1, 6), 24, 8208)]:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            block.eval()(torch.randn(1, channels, 7, 5))
        assert counter.get_total_flops() == 2 * expected * 35


@check
def check_inverted_residual():
    block = InvertedResidual(8, 8, 1, 6)
    kinds = [type(m).__name__ for m in block.modules() if not list(m.children())]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU6", "Conv2d", "BatchNorm2d", "ReLU6", "Conv2d", "BatchNorm2d"]
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(block.eval()(x), x + block.conv(x))
    assert block.use_res_connect and (block(x) < 0).any()
    assert not InvertedResidual(8, 12, 1, 6).use_res_connect and not InvertedResidual(8, 8, 2, 6).use_res_connect


@pitfall("A block has no shortcut")
def check_when_an_inverted_residual_adds_its_input():
    for block, size, added in [
        (InvertedResidual(8, 8, 1, 6), 5, True),
        (InvertedResidual(8, 8, 2, 6), 3, False),
        (InvertedResidual(8, 12, 1, 6), 5, False),
    ]:
        x = torch.randn(2, 8, 5, 5)
        y = block.eval()(x)
        torch.testing.assert_close(y, block.conv(x) + x if added else block.conv(x))
        assert block.use_res_connect is added and y.shape[-1] == size


def trained_on_digits(*blocks, steps=60):
    """A small network with these blocks, and its loss on the digits."""
    pixels, target = handwritten_digits()
    images = pixels.view(-1, 1, 8, 8)
    width = next(m.in_channels for m in blocks[0].modules() if isinstance(m, nn.Conv2d))
    net = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1), *blocks, nn.Flatten(), nn.LazyLinear(10))
    net(images[:2])
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(steps):
        rows = torch.randint(len(images), (64,))
        optimizer.zero_grad()
        F.cross_entropy(net(images[rows]), target[rows]).backward()
        optimizer.step()
    net.eval()

    def measured():
        with torch.no_grad():
            logits = net(images)
        return float(F.cross_entropy(logits, target)), float((logits.argmax(1) == target).float().mean())

    return measured


@pitfall("Ported weights load, but accuracy drops")
def check_strides_of_the_paper_and_of_torchvision():
    down = nn.Sequential(nn.Conv2d(16, 32, 1, stride=2, bias=False), nn.BatchNorm2d(32))
    block = Bottleneck(16, 8, stride=2, downsample=down)
    shapes = {name: value.shape for name, value in block.state_dict().items()}
    block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)  # as in the paper
    measured = trained_on_digits(block)
    right = measured()[1]
    block.conv1.stride, block.conv2.stride = (1, 1), (2, 2)  # as torchvision builds it
    ported = measured()[1]
    assert shapes == {name: value.shape for name, value in block.state_dict().items()}
    block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
    assert ported < right - 0.1 and measured()[1] == right, (right, ported)


@pitfall('An inverted residual trains worse after "adding the missing activation"')
def check_linear_end_trains_better():
    """Two channels, the sum over two runs each."""
    losses = [0.0, 0.0]
    for run in range(4):
        blocks = [InvertedResidual(2, 2, 1, 6) for _ in range(4)]
        for block in blocks:
            block.conv.append((nn.Identity, nn.ReLU6)[run % 2]())
        losses[run % 2] += trained_on_digits(*blocks)()[0]
    assert losses[1] > 1.1 * losses[0], losses


@check
def check_relu_in_few_channels_loses_information():
    """A random embedding of two dimensions, ReLU, and the best linear way back: bad with 3 channels, good with 40."""
    points = torch.randn(500, 2, dtype=torch.float64)
    errors = []
    for channels in (3, 40):
        seen = F.relu(points @ torch.randn(2, channels, dtype=torch.float64))
        back = torch.linalg.lstsq(seen, points).solution
        errors.append(float(((seen @ back - points) ** 2).mean()))
    assert errors[0] > 10 * errors[1]


@holds("What becomes of ResNet-34 with bottlenecks?")
def check_cost_against_resnet34():
    from torch.utils.flop_counter import FlopCounterMode

    cost = []
    for name, accuracy in (("resnet34", "73.3 %"), ("resnet50", "76.1 %")):
        net = on_meta(name)
        meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
        stated(accuracy, meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
        assert sum(isinstance(m, (BasicBlock, Bottleneck)) for m in net.modules()) == 16
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net.eval()(torch.zeros(1, 3, 224, 224, device="meta"))
        cost.append(counter.get_total_flops())
    stated("1.12", cost[1] / cost[0])
    for block in (m for m in net.modules() if isinstance(m, Bottleneck)):
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride  # as in the paper
    assert 2 * multiply_adds(net) < 1.06 * cost[0]
