import inspect
import math

import torch
import torchvision
from torch import nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import make_layers

from counting import multiply_adds
from note_checks import formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits, minibatch_losses

STACK = r"r = 2n + 1, \qquad 9nC^2 \le (2n + 1)^2 C^2"
CONV = r"P_{\mathrm{conv}} = \sum_{l=1}^{13} (9\,C_{l-1} + 1)\,C_l"
DENSE = r"P_{\mathrm{dense}} = (7 \cdot 7 \cdot 512 + 1) \cdot 4096 + (4096 + 1) \cdot 4096 + (4096 + 1) \cdot 1000"
WIDTHS = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6


sourced("VGG, arXiv 1409.1556, section 2 and its table of configurations", "Why only 3×3?")
sourced("ResNet, arXiv 1512.03385, section 4.1", "Why not simply go on to 50 layers?")
sourced(
    "Johnson et al., Perceptual Losses for Real-Time Style Transfer, arXiv 1603.08155",
    "Which maps does a style loss read?",
)


def model(name, **options):
    """A torchvision model without memory for its weights: enough to count parameters and multiply-adds."""
    with torch.device("meta"):
        return getattr(torchvision.models, name)(**options)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@formula(STACK)
@holds("Why only 3×3?")
def check_receptive_field_and_weights_of_a_stack():
    for n, C in [(1, 4), (2, 3), (3, 2), (5, 1)]:
        stack = nn.Sequential(*(nn.Conv2d(C, C, 3, bias=False) for _ in range(n))).double()
        for layer in stack:
            nn.init.uniform_(layer.weight, 0.1, 1)
        size = 4 * n + 5
        x = torch.zeros(1, C, size, size, dtype=torch.float64, requires_grad=True)
        y = stack(x)
        (gradient,) = torch.autograd.grad(y[0, 0, y.shape[2] // 2, y.shape[3] // 2], x)
        assert int((gradient[0, 0].abs().sum(0) > 0).sum()) == 2 * n + 1
        assert parameters(stack) == 9 * n * C**2
        single = nn.Conv2d(C, C, 2 * n + 1, bias=False)
        assert parameters(single) == (2 * n + 1) ** 2 * C**2 >= parameters(stack)
        assert (parameters(single) > parameters(stack)) == (n > 1)


@formula(CONV, DENSE)
@holds("Parameters")
def check_parameters():
    net = model("vgg16")
    assert [m.out_channels for m in net.features if isinstance(m, nn.Conv2d)] == WIDTHS
    total = sum((9 * a + 1) * b for a, b in zip([3, *WIDTHS], WIDTHS))
    assert total == parameters(net.features)
    stated("14,714,688", total)
    dense = (7 * 7 * 512 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert dense == parameters(net.classifier)
    stated("123,642,856", dense)
    stated("138,357,544", parameters(net))
    stated("89 %", dense / parameters(net))
    for layer, text in [(net.features[0], "1,792"), (net.features[2], "36,928")]:
        stated(text, parameters(layer))
    for layer, text in [(0, "102,764,544"), (3, "16,781,312"), (6, "4,097,000")]:
        stated(text, parameters(net.classifier[layer]))
    stated("143,667,240", parameters(model("vgg19")))
    stated("138,365,992", parameters(model("vgg16_bn")))


@holds("Cost", "VGG16", "VGG19", "ResNet-50", "AlexNet", "Where are parameters, where is work?")
def check_other_numbers():
    work = multiply_adds(model("vgg16"))
    stated("15,470,264,320", work)
    assert 3.7 < work / multiply_adds(model("resnet50")) < 4
    stated("15.5", work / 1e9)
    dense = 25088 * 4096 + 4096 * 4096 + 4096 * 1000
    assert dense < 0.01 * work
    stated("19.6", multiply_adds(model("vgg19")) / 1e9)
    stated("4.09", multiply_adds(model("resnet50")) / 1e9)
    stated("0.71", multiply_adds(model("alexnet")) / 1e9)
    for text, name in [("138.4", "vgg16"), ("143.7", "vgg19"), ("25.6", "resnet50"), ("61.1", "alexnet")]:
        stated(text, parameters(model(name)) / 1e6)
    for text, name in [("71.6 %", "vgg16"), ("72.4 %", "vgg19"), ("80.9 %", "resnet50"), ("56.5 %", "alexnet")]:
        stated(text, torchvision.models.get_model_weights(name).DEFAULT.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    three = nn.Sequential(*(nn.Conv2d(256, 256, 3, bias=False) for _ in range(3)))
    one = nn.Conv2d(256, 256, 7, bias=False)
    stated("1,769,472", parameters(three))
    stated("3,211,264", parameters(one))
    stated("1.81", parameters(one) / parameters(three))
    field, jump = 1, 1
    for layer in model("vgg16").features:
        if isinstance(layer, nn.Conv2d):
            field += 2 * jump
        elif isinstance(layer, nn.MaxPool2d):
            field, jump = field + jump, 2 * jump
    stated("212", field)


@holds("Input → output", "dtype", "Defaults", "Same in train and eval?")
def check_contract():
    options = inspect.signature(torchvision.models.VGG).parameters
    assert options["num_classes"].default == 1000 and options["dropout"].default == 0.5
    assert inspect.signature(torchvision.models.vgg16).parameters["weights"].default is None
    assert model("vgg16").eval()(torch.zeros(2, 3, 224, 224, device="meta")).shape == (2, 1000)
    for names, count in ((("vgg16", "vgg19"), 0), (("vgg16_bn", "vgg19_bn"), 1)):
        assert all(any(isinstance(m, nn.BatchNorm2d) for m in model(name).modules()) == count for name in names)
    net = torchvision.models.vgg16(num_classes=3).eval()
    assert net.classifier[2].p == 0.5 == net.classifier[5].p
    with torch.no_grad():
        assert net(torch.zeros(2, 3, 32, 40)).shape == (2, 3)
        for bad in (torch.zeros(1, 3, 31, 31), torch.zeros(3, 224, 224)):
            raises(RuntimeError, lambda: net(bad))
        for dtype in (torch.int64, torch.float64):
            raises(RuntimeError, lambda: net(torch.zeros(1, 3, 32, 32, dtype=dtype)))
        assert isinstance(torchvision.models.vgg11().features[2], nn.MaxPool2d)
        for layers in ("vgg11", "vgg13", "vgg16", "vgg19"):
            features = model(layers).features
            assert sum(isinstance(m, nn.MaxPool2d) for m in features) == 5
        x = torch.randn(4, 3, 32, 32)
        assert torch.equal(net(x), net(x)) and not torch.equal(net.train()(x), net(x))


@pitfall("CIFAR images work, but with a huge classifier")
def check_small_images():
    net, x = model("vgg11", num_classes=10).to_empty(device="cpu"), torch.randn(4, 3, 32, 32)
    assert parameters(net.classifier) > 10 * parameters(net.features) and net.classifier[0].in_features == 25_088
    net.features = torchvision.models.vgg11(num_classes=2).features
    with torch.no_grad():
        h = net.avgpool(net.features(x))
        assert h.shape == (4, 512, 7, 7) and torch.equal(h, h[:, :, :1, :1].expand_as(h))
        net.avgpool, net.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 10)
        assert net(x).shape == (4, 10) and parameters(net.classifier) == 5130


@pitfall("A saved feature map has no negative values")
def check_inplace_relu_overwrites_a_saved_map():
    features = make_layers([8, 8, "M"]).eval()
    assert all(m.inplace for m in model("vgg16").features if isinstance(m, nn.ReLU))
    kept = {}
    features[0].register_forward_hook(lambda m, i, out: kept.update(raw=out, clone=out.clone()))
    features[1].register_forward_hook(lambda m, i, out: kept.update(after=out))
    with torch.no_grad():
        features(torch.randn(1, 3, 32, 32))
    assert (kept["raw"] >= 0).all() and (kept["clone"] < 0).any()
    assert torch.equal(kept["after"], kept["clone"].relu())
    features, outputs = make_layers([8, 8, "M"], True).eval(), []
    for layer in features[:2]:  # with BatchNorm in between its output is overwritten, the convolution's is not
        layer.register_forward_hook(lambda m, i, out: outputs.append(out))
    with torch.no_grad():
        features(torch.randn(1, 3, 32, 32))
    assert [bool((out >= 0).all()) for out in outputs] == [False, True]


def loss_on_digits(batch_norm, steps=80):
    """Thirteen narrow 3x3 layers and three dense ones in training on digits: the mean loss of the last steps."""
    pixels, y = handwritten_digits()
    x = pixels.view(-1, 1, 8, 8)
    features = make_layers([16, 16, "M", 16, 16, "M", 16, 16, 16, "M", *[16] * 6], batch_norm)
    features[0] = nn.Conv2d(1, 16, 3, padding=1)
    dense = (nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    net = nn.Sequential(features, nn.Flatten(), *dense)
    optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
    return sum(minibatch_losses(net, optimizer, x, y, 48, steps)[-8:]) / 8


@pitfall("Training from scratch stays at the loss of guessing")
def check_deep_chain_does_not_start():
    """A narrow chain on digits; pretrained weights would need the download."""
    net = model("vgg16")
    net.classifier[6] = nn.Linear(4096, 7, device="meta")
    assert net.eval()(torch.zeros(2, 3, 32, 32, device="meta")).shape == (2, 7)
    assert abs(loss_on_digits(batch_norm=False) - math.log(10)) < 0.1 and loss_on_digits(batch_norm=True) < 1.9


@pitfall("NaN from `IMAGENET1K_FEATURES`")
def check_weights_metadata():
    """Without the download: what the library says of both sets of weights."""
    accuracy = lambda weights: weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert math.isnan(accuracy(VGG16_Weights.IMAGENET1K_FEATURES)) and accuracy(VGG16_Weights.IMAGENET1K_V1) > 70
    assert VGG16_Weights.IMAGENET1K_FEATURES.transforms().std != VGG16_Weights.IMAGENET1K_V1.transforms().std
    assert VGG16_Weights.IMAGENET1K_FEATURES.transforms().mean != VGG16_Weights.IMAGENET1K_V1.transforms().mean
    assert "missing values in the" in VGG16_Weights.IMAGENET1K_FEATURES.meta["_docs"]


@holds("Which maps does a style loss read?")
def check_relus_of_the_blocks():
    features = model("vgg16").features
    assert all(isinstance(features[i], nn.ReLU) for i in (3, 8, 15, 22))
    for i, block, relu in ((3, 1, 2), (8, 2, 2), (15, 3, 3), (22, 4, 3)):
        pools = [j for j, m in enumerate(features[:i]) if isinstance(m, nn.MaxPool2d)]
        start = pools[-1] if pools else 0
        assert len(pools) == block - 1 and sum(isinstance(m, nn.ReLU) for m in features[start : i + 1]) == relu


@holds("How much memory do its activations take in training?")
def check_activation_memory():
    net, sizes = model("vgg16").eval(), []
    for layer in net.features:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda m, i, out: sizes.append(out.numel()))
    with torch.no_grad():
        net.features(torch.zeros(1, 3, 224, 224, device="meta"))
    stated("13,547,520", sum(sizes))
    stated("51.7", sum(sizes) * 4 / 2**20)
    stated("9,192", sum(layer.out_features for layer in net.classifier if isinstance(layer, nn.Linear)))
    assert 0.45 < (sizes[0] + sizes[1]) / sum(sizes) < 0.5 and sum(sizes[:4]) > 0.7 * sum(sizes)
