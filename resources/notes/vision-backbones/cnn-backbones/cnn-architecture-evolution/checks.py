import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from note_checks import by_definition, formula, holds, pitfall, processor_seconds, raises, sourced, stated

COST = r"\frac{K^2\, C_{\mathrm{in}}\, C_{\mathrm{out}}\, H_{\mathrm{out}} W_{\mathrm{out}}}{g}"
LRN = r"""
y_c = x_c \left( k + \frac{\alpha}{n} \sum_{j = \max(0,\, c - \lfloor n/2 \rfloor)}^{\min(C - 1,\, c + \lfloor n/2 \rfloor)} x_j^2 \right)^{-\beta}
"""

by_definition("Backbone")
sourced("Gradient-Based Learning Applied to Document Recognition, 1998", "LeNet-5")
sourced("ImageNet Classification with Deep Convolutional Neural Networks, 2012", "AlexNet")
sourced("arXiv 1409.1556, 1409.4842, 1512.03385, 1608.06993", "VGG16", "GoogLeNet", "ResNet-50", "DenseNet-121")
sourced("arXiv 1801.04381, 1905.11946, 2201.03545: years and ideas", "MobileNetV2", "EfficientNet-B0", "ConvNeXt-T")
sourced("torchvision references/classification, both recipes", "How does ConvNeXt compare with Swin?")


def model(name):
    with torch.device("meta"):
        return getattr(models, name)()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@formula(COST)
def check_cost():
    for K, C_in, C_out, g, stride, size in [
        (3, 8, 16, 1, 1, 9),
        (11, 3, 64, 1, 4, 55),
        (5, 12, 6, 3, 2, 14),
        (7, 10, 10, 10, 1, 8),
    ]:
        conv, x = nn.Conv2d(C_in, C_out, K, stride=stride, padding=K // 2, groups=g), torch.zeros(1, C_in, size, size)
        with FlopCounterMode(display=False) as counter:
            y = conv(x)
        assert counter.get_total_flops() == 2 * K**2 * C_in * C_out * y.shape[2] * y.shape[3] // g
    cost = lambda K, padding, g=1: (
        K**2 * 16 // g * nn.Conv2d(4, 4, K, padding=padding, groups=g)(torch.zeros(1, 4, 8, 8))[0, 0].numel()
    )
    assert cost(3, 1, g=4) < cost(3, 1) < cost(7, 3) and cost(3, 0) > cost(7, 0)  # unpadded, the output shrinks


def response_norm(x, n, alpha, beta, k):
    C, out = x.shape[1], np.empty_like(x)
    for c in range(C):
        low, high = max(0, c - n // 2), min(C - 1, c + n // 2)
        out[:, c] = x[:, c] * (k + alpha / n * (x[:, low : high + 1] ** 2).sum(1)) ** -beta
    return out


@formula(LRN)
def check_local_response_norm():
    default = nn.LocalResponseNorm(5)
    assert (default.alpha, default.beta, default.k) == (1e-4, 0.75, 1.0)
    for n, alpha, beta, k, shape in [
        (5, 1e-4, 0.75, 1.0, (2, 8, 3, 3)),
        (3, 0.5, 0.9, 2.0, (1, 4, 5, 2)),
        (5, 2.0, 0.5, 1.0, (2, 2, 3, 3)),
    ]:
        x = torch.randn(shape, dtype=torch.float64) * 3
        library = nn.LocalResponseNorm(n, alpha=alpha, beta=beta, k=k)(x)
        np.testing.assert_allclose(response_norm(x.numpy(), n, alpha, beta, k), library.numpy(), rtol=1e-9)
    x = torch.randn(1, 9, 2, 2, dtype=torch.float64) * 50


@pitfall("LRN gives other numbers than the paper's")
def check_local_response_norm_of_the_paper():
    x = torch.randn(1, 9, 2, 2, dtype=torch.float64) * 50
    squares = torch.stack([(x[:, max(0, c - 2) : c + 3] ** 2).sum(1) for c in range(9)], 1)
    paper = x / (2 + 1e-4 * squares) ** 0.75
    for naive in (nn.LocalResponseNorm(5), nn.LocalResponseNorm(5, alpha=1e-4, k=2.0)):
        assert (naive(x) / paper).mean() > 1.1
    torch.testing.assert_close(nn.LocalResponseNorm(size=5, alpha=5e-4, k=2.0)(x), paper)


@holds("Parameters", "Why has AlexNet so many parameters with so few layers?")
def check_lenet_and_alexnet():
    layers = [nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)]
    for layer, text in zip(layers, ("156", "2,416", "48,120", "10,164", "850")):
        stated(text, parameters(layer))
    stated("61,706", sum(map(parameters, layers)))
    net = model("alexnet")
    stated("23,296", parameters(net.features[0]))
    assert net.features[0](torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 64, 55, 55)
    stated("58,631,144", parameters(net.classifier))
    stated("37,752,832", parameters(net.classifier[1]))
    assert net.classifier[1].in_features == 6 * 6 * 256 and 37_752_832 > 25_557_032
    stated("1,052,672", parameters(nn.Linear(256, 4096)))
    stated("61,100,840", parameters(net))
    assert not any(isinstance(m, nn.LocalResponseNorm) for m in net.modules())
    assert [m.out_channels for m in net.features if isinstance(m, nn.Conv2d)] == [64, 192, 384, 256, 256]
    assert all(m.groups == 1 for m in net.modules() if isinstance(m, nn.Conv2d))
    stated("138,357,544", parameters(model("vgg16")))
    stated("25,557,032", parameters(model("resnet50")))


@pitfall("torchvision's AlexNet is not the paper's")
def check_alexnet_of_the_paper():
    """The paper's two towers are two groups in its second, fourth and fifth convolution."""
    net = model("alexnet")
    shapes = [(3, 96, 11, 1), (96, 256, 5, 2), (256, 384, 3, 1), (384, 384, 3, 2), (384, 256, 3, 2)]
    paper = [nn.Conv2d(C_in, C_out, K, groups=g) for C_in, C_out, K, g in shapes]
    here = [m for m in net.features if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in here] != [m.out_channels for m in paper]
    assert parameters(net) - sum(map(parameters, here)) + sum(map(parameters, paper)) == 60_965_224 != parameters(net)


def recorded(name, weights="IMAGENET1K_V1"):
    meta = models.get_model_weights(name)[weights].meta
    return meta["_metrics"]["ImageNet-1K"]["acc@1"], meta["_ops"]


@pitfall('"The newer network is better by 5 points"')
def check_recipes():
    """ResNeXt-50 with the second recipe beats ResNet-50 with the first by 5; under either one recipe little is left."""
    recipes = ("IMAGENET1K_V1", "IMAGENET1K_V2")
    old, new = ([recorded(name, recipe)[0] for recipe in recipes] for name in ("resnet50", "resnext50_32x4d"))
    assert new[1] - old[0] > 5 and old[1] - old[0] > 4.5
    assert new[0] - old[0] < 2 and new[1] - old[1] < 1


@pitfall("Fewer multiply-adds, but slower")
def check_fewer_multiply_adds_can_take_longer():
    """A layer that reads many weights for one row, and 2000 tiny layers, against products of matrices."""
    large, square, tiny = torch.randn(512, 512), torch.randn(256, 256), torch.randn(8, 8)
    row, wide = torch.randn(1, 2048), torch.randn(2048, 16384)

    assert 2048 * 16384 < 512**3 / 3 and 2000 * 8**3 < 256**3 / 16
    reading, product = processor_seconds(lambda: row @ wide, lambda: large @ large)
    assert reading > product
    many, one = processor_seconds(lambda: [tiny @ tiny for _ in range(2000)], lambda: square @ square)
    assert many > 2 * one


NAMES = "VGG16", "GoogLeNet", "ResNet-50", "DenseNet-121", "MobileNetV2", "EfficientNet-B0", "ConvNeXt-T"


@holds("AlexNet", *NAMES, "Cost", "How does ConvNeXt compare with Swin?")
def check_recorded_accuracy_and_work():
    table = {
        "alexnet": "56.5",
        "vgg16": "71.6",
        "googlenet": "69.8",
        "resnet50": "76.1",
        "densenet121": "74.4",
        "mobilenet_v2": "71.9",
        "efficientnet_b0": "77.7",
        "convnext_tiny": "82.5",
    }
    for name, text in table.items():
        stated(text, recorded(name)[0])
    stated("81.5", recorded("swin_t")[0])
    assert all(round(recorded(name)[1], 1) == 4.5 for name in ("convnext_tiny", "swin_t"))
    stated("4.1", recorded("resnet50")[1])
    stated("57 %", recorded("alexnet")[0] / 100)
    stated("83 %", recorded("convnext_tiny")[0] / 100)
    stated("80.9 %", recorded("resnet50", "IMAGENET1K_V2")[0] / 100)
    stated("0.7", recorded("alexnet")[1])
    stated("15.5", recorded("vgg16")[1])
    for name in ("alexnet", "vgg16", "resnet50", "efficientnet_b0"):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            model(name).eval()(torch.zeros(1, 3, 224, 224))
        assert abs(counter.get_total_flops() / 2e9 - recorded(name)[1]) < 0.006


@holds("Same in train and eval?", "ConvNeXt-T", "What do ConvNeXt's 7×7 kernels cost?")
def check_modes_and_convnext():
    kinds = lambda name: {type(m) for m in model(name).modules()}
    assert nn.Dropout in kinds("alexnet") and nn.Dropout in kinds("vgg16") and nn.BatchNorm2d not in kinds("vgg16")
    assert nn.BatchNorm2d in kinds("resnet50")
    assert any("StochasticDepth" == kind.__name__ for kind in kinds("convnext_tiny"))
    block = model("convnext_tiny").features[1][0].block
    assert (
        block[0].kernel_size == (7, 7)
        and block[0].groups == 96
        and isinstance(block[2], nn.LayerNorm)
        and isinstance(block[4], nn.GELU)
    )
    stated("4,704", block[0].weight.numel())
    stated("82,944", nn.Conv2d(96, 96, 3).weight.numel())


@holds("Form of ResNet", "dtype", "Which parts of a network make a backbone?")
def check_stages_of_resnet():
    net, sizes = models.resnet18(num_classes=7).eval(), []
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        stage.register_forward_hook(lambda m, i, out: sizes.append((out.shape[1], out.shape[2])))
    assert net(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
    assert sizes == [(64, 16), (128, 8), (256, 4), (512, 2)]  # strides 4, 8, 16, 32
    assert net.avgpool.output_size == (1, 1)
    raises(RuntimeError, lambda: net(torch.zeros(2, 3, 64, 64).double()))


@holds("What do AlexNet and LeNet share?", "VGG16", "GoogLeNet", "MobileNetV2", "EfficientNet-B0")
def check_parts_of_the_models():
    net = model("alexnet")
    kinds = [type(m) for m in net.features if not isinstance(m, nn.ReLU)]
    assert kinds[:4] == [nn.Conv2d, nn.MaxPool2d] * 2 and kinds[4:] == [nn.Conv2d] * 3 + [nn.MaxPool2d]
    assert {type(m) for m in net.classifier} == {nn.Dropout, nn.Linear, nn.ReLU} and parameters(net) > 900 * 61_706
    kernels = lambda name: {m.kernel_size for m in model(name).modules() if isinstance(m, nn.Conv2d)}
    assert kernels("vgg16") == {(3, 3)} and (1, 1) in kernels("googlenet")
    for name in ("mobilenet_v2", "efficientnet_b0"):
        assert any(m.groups == m.in_channels > 1 for m in model(name).modules() if isinstance(m, nn.Conv2d))
