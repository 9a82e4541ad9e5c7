import inspect
import io
import math
import zlib

import numpy as np
import torch
import torchvision
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torchvision.models.squeezenet import Fire

from counting import multiply_adds
from note_checks import check, formula, holds, pitfall, raises, stated

FIRE = r"z = \mathrm{ReLU}(W_s * x + b_s), \qquad y = \left[ \mathrm{ReLU}(W_1 * z + b_1);\; \mathrm{ReLU}(W_3 * z + b_3) \right]"
PARAMETERS = r"P = (C + 1)\,s + (s + 1)\,e_1 + (9s + 1)\,e_3"
LOGIT = r"\mathrm{logit}_k = \frac{1}{HW} \sum_{p} \mathrm{ReLU}\left( w_k^\top h_p + b_k \right)"


def model(name):
    with torch.device("meta"):
        return getattr(torchvision.models, name)()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def pointwise(conv, x):
    return (
        np.einsum("oc,nchw->nohw", conv.weight.detach().numpy()[:, :, 0, 0], x)
        + conv.bias.detach().numpy()[:, None, None]
    )


@formula(FIRE, PARAMETERS)
def check_fire():
    for C, s, e1, e3, size in [(6, 2, 3, 4, 5), (96, 16, 64, 64, 4), (1, 1, 1, 2, 3)]:
        fire = Fire(C, s, e1, e3).double()
        x = torch.randn(2, C, size, size, dtype=torch.float64)
        z = np.maximum(pointwise(fire.squeeze, x.numpy()), 0)
        padded = np.pad(z, ((0, 0), (0, 0), (1, 1), (1, 1)))
        w3 = fire.expand3x3.weight.detach().numpy()
        wide = sum(
            np.einsum("oc,nchw->nohw", w3[:, :, i, j], padded[:, :, i : i + size, j : j + size])
            for i in range(3)
            for j in range(3)
        )
        wide = wide + fire.expand3x3.bias.detach().numpy()[:, None, None]
        ours = np.maximum(np.concatenate([pointwise(fire.expand1x1, z), wide], 1), 0)
        np.testing.assert_allclose(ours, fire(x).detach().numpy(), atol=1e-10)
        assert parameters(fire) == (C + 1) * s + (s + 1) * e1 + (9 * s + 1) * e3


@formula(LOGIT)
@holds("Why does it need no dense layer?")
def check_logit():
    net = torchvision.models.squeezenet1_1(num_classes=7).double().eval()
    nn.init.normal_(net.classifier[1].bias)
    for size in (64, 97):
        x = torch.randn(2, 3, size, size, dtype=torch.float64)
        h = net.features(x)
        ours = np.maximum(pointwise(net.classifier[1], h.detach().numpy()), 0).mean((2, 3))
        np.testing.assert_allclose(ours, net(x).detach().numpy(), atol=1e-10)
        assert (net(x) >= 0).all()


@holds("Parameters", "Cost", "SqueezeNet 1.1", "SqueezeNet 1.0", "MobileNetV2", "ShuffleNetV2 ×0.5", "AlexNet")
def check_numbers():
    stated("1,248,424", parameters(model("squeezenet1_0")))
    stated("1,235,496", parameters(model("squeezenet1_1")))
    work = {
        name: multiply_adds(model(name))
        for name in ("squeezenet1_0", "squeezenet1_1", "alexnet", "mobilenet_v2", "shufflenet_v2_x0_5")
    }
    for text, name in [("818,924,576", "squeezenet1_0"), ("349,151,936", "squeezenet1_1"), ("714,188,480", "alexnet")]:
        stated(text, work[name])
    stated("1.15", work["squeezenet1_0"] / work["alexnet"])
    stated("2.35", work["squeezenet1_0"] / work["squeezenet1_1"])
    for text, name in [
        ("349", "squeezenet1_1"),
        ("819", "squeezenet1_0"),
        ("301", "mobilenet_v2"),
        ("40", "shufflenet_v2_x0_5"),
        ("714", "alexnet"),
    ]:
        stated(text, work[name] / 1e6)
    for text, name in [
        ("1.24", "squeezenet1_1"),
        ("1.25", "squeezenet1_0"),
        ("3.50", "mobilenet_v2"),
        ("1.37", "shufflenet_v2_x0_5"),
        ("61.1", "alexnet"),
    ]:
        stated(text, parameters(model(name)) / 1e6)
    accuracy = {
        "squeezenet1_1": "58.2 %",
        "squeezenet1_0": "58.1 %",
        "mobilenet_v2": "72.2 %",
        "shufflenet_v2_x0_5": "60.6 %",
        "alexnet": "56.5 %",
    }
    for name, text in accuracy.items():
        stated(text, torchvision.models.get_model_weights(name).DEFAULT.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    assert 48 < parameters(model("alexnet")) / parameters(model("squeezenet1_0")) < 50
    assert parameters(model("alexnet").classifier) > 0.9 * parameters(model("alexnet"))


@holds("Why two expand branches instead of one 3×3?")
def check_by_hand():
    fire = Fire(96, 16, 64, 64)
    for text, part in [("1,552", fire.squeeze), ("1,088", fire.expand1x1), ("9,280", fire.expand3x3), ("11,920", fire)]:
        stated(text, parameters(part))
    assert (
        9 * fire.expand1x1.weight[0].numel() == fire.expand3x3.weight[0].numel() and fire.expand1x1.out_channels == 64
    )
    stated("10,368", parameters(fire.expand1x1) + parameters(fire.expand3x3))
    stated("18,560", parameters(nn.Conv2d(16, 128, 3)))
    plain = parameters(nn.Conv2d(96, 128, 3))
    stated("110,720", plain)
    stated("9.29", plain / parameters(fire))
    stated("4.76", 4 * 1_248_424 / 2**20)


@holds("Input → output", "dtype", "Defaults", "Same in train and eval?")
def check_inputs_and_modes():
    options = inspect.signature(torchvision.models.SqueezeNet).parameters
    assert options["num_classes"].default == 1000 and options["dropout"].default == 0.5
    assert inspect.signature(torchvision.models.squeezenet1_0).parameters["weights"].default is None
    for net in (torchvision.models.squeezenet1_0().eval(), torchvision.models.squeezenet1_1().eval()):
        x = torch.randn(2, 3, 64, 70)
        with torch.no_grad():
            assert net(x).shape == (2, 1000) and (net(x) >= 0).all()
            assert torch.equal(net(x), net(x)) and not torch.allclose(net.train()(x), net.eval()(x), atol=1e-3)
        raises(RuntimeError, lambda: net(x[0]))
        for dtype in (torch.int64, torch.float64):
            raises(RuntimeError, lambda: net(x.to(dtype)))


@holds("How does a Fire module differ from a bottleneck?")
def check_no_shortcut():
    fire, block = Fire(128, 16, 64, 64), torchvision.models.resnet50().layer1[1]
    for p in fire.parameters():
        nn.init.zeros_(p)
    assert fire(torch.rand(1, 128, 4, 4)).abs().max() == 0 and block.conv3.out_channels == 4 * block.conv1.out_channels
    assert (64 + 64) == 8 * fire.squeeze.out_channels


@holds("What does version 1.1 change?", "Parameters")
def check_contract_and_versions():
    old, new = model("squeezenet1_0"), model("squeezenet1_1")
    for net in (old, new):
        assert net.classifier[0].p == 0.5 and not hasattr(net, "fc")
        assert not any(isinstance(m, (nn.BatchNorm2d, nn.Linear)) for m in net.modules())
    assert (old.features[0].kernel_size, old.features[0].out_channels) == ((7, 7), 96)
    assert (new.features[0].kernel_size, new.features[0].out_channels) == ((3, 3), 64)
    pools = lambda net: [i for i, m in enumerate(net.features) if isinstance(m, nn.MaxPool2d)]
    assert pools(new)[1] < pools(old)[1] and pools(new)[2] < pools(old)[2]
    sides = {}
    for net in (old, new):
        h, sides[net] = torch.zeros(1, 3, 224, 224, device="meta"), []
        for layer in net.eval().features:
            h = layer(h)
            if isinstance(layer, Fire):
                sides[net].append(h.shape[-1])
                assert h.shape[1] == 8 * layer.squeeze.out_channels
    assert len(sides[old]) == 8 and sum(b < 0.6 * a for a, b in zip(sides[old], sides[new])) == 4


@check
def check_dead_outputs_give_ln_c_and_no_gradient():
    net = torchvision.models.squeezenet1_1(num_classes=10).eval()
    nn.init.constant_(net.classifier[1].bias, -1e3)
    loss = F.cross_entropy(net(torch.randn(4, 3, 64, 64)), torch.arange(4))
    assert abs(float(loss.detach()) - math.log(10)) < 1e-6
    loss.backward()
    assert all(float(p.grad.abs().max()) == 0 for p in net.parameters())


def loss_on_ten_digits(rate, batch_norm, steps, adam=False):
    """SqueezeNet 1.1 (with Adam: without its last ReLU) trained on one small batch.

    Returns the mean loss of the last steps and the last one's largest gradient.
    """
    digits, net = load_digits(), torchvision.models.squeezenet1_1(num_classes=10, dropout=0.1)
    x = F.interpolate(torch.tensor(digits.images[:10], dtype=torch.float32)[:, None] / 16, size=24).expand(
        -1, 3, -1, -1
    )
    if adam:
        net.classifier[2] = nn.Identity()
    for fire in net.features if batch_norm else ():
        for part in ("squeeze", "expand1x1", "expand3x3") if isinstance(fire, Fire) else ():
            conv = getattr(fire, part)
            setattr(fire, part, nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels)))
    sgd = torch.optim.SGD(net.parameters(), rate, momentum=0.9)
    optimizer, losses = torch.optim.Adam(net.parameters(), rate) if adam else sgd, []
    for _ in range(steps):
        loss = F.cross_entropy(net(x), torch.tensor(digits.target[:10]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-5:]) / 5, max(float(p.grad.abs().max()) for p in net.parameters())


@pitfall("The loss stays at ln C from the start")
def check_batch_norm_starts_the_training():
    """At 0.3 runs die, with BatchNorm too."""
    assert loss_on_ten_digits(0.02, False, steps=10)[0] > 2.15 and loss_on_ten_digits(0.02, True, steps=12)[0] < 2.1
    assert loss_on_ten_digits(3e-4, False, steps=24, adam=True)[0] < 2.2
    assert any(loss_on_ten_digits(0.3, batch_norm, steps=8)[1] == 0 for batch_norm in (True, False) * 4)


@pitfall('"50 times smaller, so 50 times faster"')
def check_smaller_is_not_less_work():
    weights = torchvision.models.SqueezeNet1_0_Weights, torchvision.models.SqueezeNet1_1_Weights
    accuracy = [w.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"]["acc@1"] for w in weights]
    assert (
        multiply_adds(model("squeezenet1_0"))
        > multiply_adds(model("alexnet"))
        > 2 * multiply_adds(model("squeezenet1_1"))
    )
    assert abs(accuracy[0] - accuracy[1]) < 0.2


@pitfall("The file is 5 MB, not 0.5 MB")
def check_compressed_size():
    """Two thirds of the weights pruned, 5 bits for the rest, entropy coding; the accuracy is not run."""
    net, file, codes = torchvision.models.squeezenet1_0(), io.BytesIO(), []
    torch.save(net.state_dict(), file)
    assert 4.9e6 < len(file.getvalue()) < 5.3e6
    for weight in net.state_dict().values():
        kept = weight.abs() >= weight.abs().flatten().quantile(0.67)
        codes.append(
            ((weight / weight.abs().max().clamp(min=1e-9) * 15).round() * kept).to(torch.int8).numpy().tobytes()
        )
    assert len(zlib.compress(b"".join(codes))) < 0.5e6


@pitfall("`net.fc` does not exist")
def check_classifier_is_a_convolution():
    net = torchvision.models.squeezenet1_1().eval()
    raises(AttributeError, lambda: net.fc, "fc")
    net.classifier[1] = nn.Conv2d(512, 10, kernel_size=1)
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 10)


@holds("Does the ReLU behind the classifier limit what softmax can express?")
def check_a_dead_class_gets_no_gradient_but_softmax_loses_nothing():
    net = torchvision.models.squeezenet1_1(num_classes=4).eval()
    with torch.no_grad():
        net.classifier[1].bias[2] = -1e3
    F.cross_entropy(net(torch.randn(2, 3, 64, 64)), torch.tensor([2, 2])).backward()
    gradient = net.classifier[1].weight.grad.flatten(1).abs().sum(1)
    assert float(gradient[2]) == 0 and float(gradient[[0, 1, 3]].max()) > 0
    logits = torch.randn(5, 4)
    torch.testing.assert_close((logits - logits.min()).softmax(1), logits.softmax(1))
