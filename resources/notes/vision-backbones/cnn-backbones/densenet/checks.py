import importlib
import inspect

import torch
import torchvision
from torch import nn

from counting import multiply_adds
from note_checks import check, formula, holds, pitfall, processor_seconds, raises, sourced, stated

densenet = importlib.import_module("torchvision.models.densenet")

LAYER = r"x_l = H_l\left( [x_0;\, x_1;\, \dots;\, x_{l-1}] \right), \qquad C_{\mathrm{in}}(l) = C_0 + (l - 1)\,k"
BLOCK = r"\sum_{l=1}^{n} \left( 4k\,C_{\mathrm{in}}(l) + 36k^2 + 2\,C_{\mathrm{in}}(l) + 8k \right)"
DEPTH = r"D = 2 \sum_{b=1}^{4} n_b + 5"

sourced("Densely Connected Convolutional Networks, arXiv 1608.06993", "Can it be seen as deep supervision?")


def model(name):
    with torch.device("meta"):
        return getattr(torchvision.models, name)()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@formula(LAYER, BLOCK)
def check_block():
    for n, C_0, k in [(3, 8, 4), (5, 6, 2), (1, 3, 5)]:
        block = densenet._DenseBlock(n, C_0, 4, k, 0.0).double().eval()
        x = torch.randn(2, C_0, 5, 5, dtype=torch.float64)
        features = [x]
        for index, layer in enumerate(block.values(), start=1):
            joined = torch.cat(features, 1)
            assert joined.shape[1] == C_0 + (index - 1) * k == layer.conv1.in_channels
            h = layer.conv1(layer.norm1(joined).relu())
            features.append(layer.conv2(layer.norm2(h).relu()))
        torch.testing.assert_close(torch.cat(features, 1), block(x))
        assert block(x).shape[1] == C_0 + n * k
        inputs = [C_0 + (l - 1) * k for l in range(1, n + 1)]
        assert parameters(block) == sum(4 * k * c + 36 * k**2 + 2 * c + 8 * k for c in inputs)


@formula(DEPTH)
def check_depth():
    for name, layers in [
        ("densenet121", (6, 12, 24, 16)),
        ("densenet169", (6, 12, 32, 32)),
        ("densenet201", (6, 12, 48, 32)),
    ]:
        net = model(name)
        assert tuple(len(getattr(net.features, f"denseblock{b}")) for b in range(1, 5)) == layers
        counted = sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in net.modules())
        assert 2 * sum(layers) + 5 == counted == int(name[8:])


@holds("Parameters", "Cost", "DenseNet-121", "DenseNet-201", "ResNet-50")
def check_numbers():
    for name, text in [("densenet121", "7,978,856"), ("densenet169", "14,149,480"), ("densenet201", "20,013,928")]:
        stated(text, parameters(model(name)))
    net = model("densenet121")
    stated("2,834,161,664", multiply_adds(net))
    stated("2.83", multiply_adds(net) / 1e9)
    stated("4.29", multiply_adds(model("densenet201")) / 1e9)
    stated("4.09", multiply_adds(model("resnet50")) / 1e9)
    stated("8.0", 7.978856)
    stated("20.0", 20.013928)
    stated("25.6", parameters(model("resnet50")) / 1e6)
    for name, text in [("densenet121", "74.4 %"), ("densenet201", "76.9 %"), ("resnet50", "76.1 %")]:
        meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
        stated(text, meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    stated("45,440", parameters(net.features.denseblock1.denselayer1))
    stated("335,040", parameters(net.features.denseblock1))
    stated("992", net.features.denseblock3.denselayer24.conv1.in_channels)
    widest = max(m.in_channels for m in net.features.modules() if isinstance(m, nn.Conv2d) and m.out_channels == 128)
    assert widest == 1024 - 32
    stated("300", sum(range(1, 25)))
    assert [getattr(net.features, f"transition{b}").conv.out_channels for b in (1, 2, 3)] == [128, 256, 512]


@holds("Input → output", "dtype", "Defaults", "Same in train and eval?")
def check_contract():
    defaults = {name: p.default for name, p in inspect.signature(torchvision.models.DenseNet).parameters.items()}
    wanted = {"growth_rate": 32, "bn_size": 4, "drop_rate": 0, "memory_efficient": False}
    assert {name: defaults[name] for name in wanted} == wanted
    assert inspect.signature(inspect.unwrap(torchvision.models.densenet121)).parameters["weights"].default is None
    x = torch.randn(2, 3, 64, 64)
    for rate in (0, 0.5):
        net = torchvision.models.DenseNet(8, (2, 2, 2, 2), 16, drop_rate=rate)
        assert not torch.equal(net.train()(x), net.eval()(x)) and net(x[0].unsqueeze(0)).shape == (1, 1000)
        for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.train(False)
        net.training = net.features.denseblock1.denselayer1.training = True  # dropout alone
        assert torch.equal(net(x), net(x)) is (rate == 0)
    raises(RuntimeError, lambda: net.eval()(x.double()))
    raises((RuntimeError, ValueError), lambda: net.eval()(x[0]))


@holds("What is the difference to ResNet in one sentence?", "Why transitions?", "Why the 1×1 in front of each 3×3?")
def check_concatenation_against_sum():
    x = torch.randn(2, 8, 6, 6)
    block = densenet._DenseBlock(3, 8, 4, 5, 0.0).eval()
    residual = torchvision.models.resnet.BasicBlock(8, 8).eval()
    assert block(x).shape[1] == 8 + 3 * 5 and torch.equal(block(x)[:, :8], x)
    assert residual(x).shape == x.shape and not torch.equal(residual(x), x)
    raises(RuntimeError, lambda: torch.cat([x, x[:, :, ::2, ::2]], 1), "must match")
    transition = densenet._Transition(8, 4).eval()
    assert transition(x).shape == (2, 4, 3, 3)
    stated("285,696", nn.Conv2d(992, 32, 3, bias=False).weight.numel())
    stated("126,976", nn.Conv2d(992, 128, 1, bias=False).weight.numel())
    layers = [layer for b in range(1, 5) for layer in getattr(model("densenet121").features, f"denseblock{b}").values()]
    assert {layer.conv2.weight.numel() for layer in layers} == {36_864}


@holds("Can it be seen as deep supervision?")
def check_three_transitions():
    assert sum(name.startswith("transition") for name, _ in model("densenet121").features.named_children()) == 3


@check
def check_defaults_and_last_relu():
    net = torchvision.models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=3).eval()
    assert (
        net.features.denseblock1.denselayer1.drop_rate == 0
        and not net.features.denseblock1.denselayer1.memory_efficient
    )
    x = torch.randn(2, 3, 64, 64)
    features = net.features(x)
    assert (features < 0).any()
    torch.testing.assert_close(net(x), net.classifier(features.relu().mean((2, 3))))
    default = model("densenet121").features.denseblock1.denselayer1
    assert default.conv2.out_channels == 32 and default.conv1.out_channels == 128


@pitfall("The first layers of pretrained weights seem missing")
def check_names_of_the_parts():
    net = torchvision.models.DenseNet(8, (2, 2, 2, 2), 16)
    raises(AttributeError, lambda: net.layer1, "layer1")
    names = [name for name, _ in model("densenet121").features.named_children()]
    assert names[:5] == ["conv0", "norm0", "relu0", "pool0", "denseblock1"] and names[-1] == "norm5"
    net.fc = nn.Linear(net.classifier.in_features, 10)  # no error, and never called
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 1000)
    net.classifier = nn.Linear(net.classifier.in_features, 10)
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 10)


@pitfall("A third of ResNet-50's parameters, but not a third of its time")
def check_time_against_resnet():
    nets = [getattr(torchvision.models, name)().eval() for name in ("densenet121", "resnet50")]
    images = torch.randn(1, 3, 128, 128)
    few, many = map(parameters, nets)
    assert few < many / 3
    stated("69 %", multiply_adds(model("densenet121")) / multiply_adds(model("resnet50")))
    with torch.inference_mode():
        dense, residual = processor_seconds(*(lambda net=net: net(images) for net in nets), rounds=4)
    assert dense > 0.5 * residual, (dense, residual)


def kept_for_backward(efficient, batch=2, layers=16):
    """How many numbers autograd keeps, the parameters aside."""
    net = torchvision.models.DenseNet(8, (layers, 2, 2, 2), 16, num_classes=3, memory_efficient=efficient).eval()
    total = 0

    def pack(tensor):
        nonlocal total
        total += 0 if isinstance(tensor, nn.Parameter) else tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        net(torch.randn(batch, 3, 64, 64))
    return total


@pitfall("`memory_efficient=True` saves nothing at inference")
def check_inference_keeps_nothing():
    assert 0 < kept_for_backward(True) < kept_for_backward(False)
    with torch.inference_mode():
        assert kept_for_backward(True) == kept_for_backward(False) == 0


@pitfall("Out of memory although the model is small")
def check_memory_efficient_gives_the_same_and_saves_in_training():
    assert kept_for_backward(False, layers=64) > 3 * kept_for_backward(False, layers=32)
    assert kept_for_backward(False, batch=1) < 0.6 * kept_for_backward(False)

    def saved(efficient):
        torch.manual_seed(0)
        net = torchvision.models.DenseNet(8, (16, 12, 4, 4), 16, num_classes=3, memory_efficient=efficient).train()
        total = 0

        def pack(tensor):
            nonlocal total
            total += 0 if isinstance(tensor, nn.Parameter) else tensor.numel()
            return tensor

        x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            y = net(x)
        y.sum().backward()
        return y.detach(), net.features.conv0.weight.grad, total

    plain, efficient = saved(False), saved(True)
    torch.testing.assert_close(plain[0], efficient[0])
    torch.testing.assert_close(plain[1], efficient[1], atol=1e-4, rtol=1e-3)
    assert efficient[2] < 0.75 * plain[2], (efficient[2], plain[2])


@check
def check_memory_efficient_updates_norm1_twice():
    net = torchvision.models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=3, memory_efficient=True).train()
    net(torch.randn(2, 3, 64, 64)).sum().backward()
    layer = net.features.denseblock1.denselayer1
    assert layer.norm1.num_batches_tracked == 2 and layer.norm2.num_batches_tracked == 1
