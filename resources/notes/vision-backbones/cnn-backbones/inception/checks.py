import importlib
import inspect
from unittest import mock

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from counting import multiply_adds
from note_checks import check, formula, holds, pitfall, raises, sourced, stated

MODULE = r"y = \left[ f_1(x);\; f_2(x);\; f_3(x);\; f_4(x) \right], \qquad C_{\mathrm{out}} = C_1 + C_2 + C_3 + C_4"
REDUCTION = r"K^2 C B \quad \longrightarrow \quad C R + K^2 R B"
FACTORS = r"n^2 C^2 \quad \longrightarrow \quad 2 n C^2"

V1 = "Going Deeper with Convolutions, arXiv 1409.4842"
V3 = "Rethinking the Inception Architecture, arXiv 1512.00567"
V4 = "arXiv 1602.07261"
sourced(f"{V1}; {V3}", "What do the auxiliary heads do?", "What came with V2 and V3?")
sourced(V1, "Why pool inside a module?")
sourced(f"Inception-v4, Inception-ResNet, {V4}", "Does V4 need shortcuts?")
sourced("Xception: Deep Learning with Depthwise Separable Convolutions, arXiv 1610.02357", "Xception")


def model(name, **options):
    with torch.device("meta"):
        return getattr(torchvision.models, name)(init_weights=False, **options)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def weights(module):
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))


@formula(MODULE)
def check_module():
    module_type = importlib.import_module("torchvision.models.googlenet").Inception
    for widths, size in [((8, 3, 2, 4, 5, 3, 6), 7), ((4, 1, 1, 1, 1, 1, 1), 3)]:
        module = module_type(*widths).eval()
        x = torch.randn(2, widths[0], size, size)
        y = module(x)
        offset = 0
        for branch, channels in zip(
            (module.branch1, module.branch2, module.branch3, module.branch4),
            (widths[1], widths[3], widths[5], widths[6]),
        ):
            torch.testing.assert_close(y[:, offset : offset + channels], branch(x))
            offset += channels
        assert y.shape == (2, offset, size, size)


@formula(REDUCTION, FACTORS)
def check_weights():
    for K, C, B, R in [(5, 192, 32, 16), (3, 192, 128, 96), (7, 6, 4, 3)]:
        direct = nn.Conv2d(C, B, K, bias=False)
        reduced = nn.Sequential(nn.Conv2d(C, R, 1, bias=False), nn.Conv2d(R, B, K, bias=False))
        assert weights(direct) == K**2 * C * B and weights(reduced) == C * R + K**2 * R * B
    for n, C in [(7, 128), (3, 5)]:
        pair = nn.Sequential(nn.Conv2d(C, C, (1, n), bias=False), nn.Conv2d(C, C, (n, 1), bias=False))
        assert weights(nn.Conv2d(C, C, n, bias=False)) == n**2 * C**2 and weights(pair) == 2 * n * C**2
    stated("802,816", 49 * 128**2)
    stated("229,376", 14 * 128**2)
    v3 = model("inception_v3").Mixed_6b
    assert v3.branch7x7_2.conv.kernel_size == (1, 7) and v3.branch7x7_3.conv.kernel_size == (7, 1)


@check
def check_by_hand():
    stated("12,288", 192 * 64)
    stated("129,024", 192 * 96 + 9 * 96 * 128)
    stated("15,872", 192 * 16 + 25 * 16 * 32)
    stated("153,600", 25 * 192 * 32)
    stated("9.7", 153_600 / 15_872)
    stated("6,144", 192 * 32)
    stated("163,328", 12_288 + 129_024 + 15_872 + 6_144)
    module = model("googlenet").inception3a
    assert [
        m.conv.out_channels
        for m in (
            module.branch1,
            module.branch2[0],
            module.branch2[1],
            module.branch3[0],
            module.branch3[1],
            module.branch4[1],
        )
    ] == [64, 96, 128, 16, 32, 32]


@pitfall("torchvision's GoogLeNet has no 5×5 kernels")
def check_the_branch_that_is_called_5x5():
    net = model("googlenet")
    assert not any(m.kernel_size == (5, 5) for m in net.modules() if isinstance(m, nn.Conv2d))
    module = net.inception3a
    assert module.branch3[1].conv.kernel_size == (3, 3) and isinstance(module.branch3[1].bn, nn.BatchNorm2d)
    stated("155,136", weights(module))
    module.branch3[1].conv = nn.Conv2d(16, 32, 5, padding=2, bias=False)
    stated("163,328", weights(module))


@holds("Parameters", "Cost", "GoogLeNet", "Inception V3", "ResNet-50")
def check_numbers_and_defaults():
    for name, with_heads, without in [
        ("googlenet", "13,004,888", "6,624,904"),
        ("inception_v3", "27,161,264", "23,834,568"),
    ]:
        stated(with_heads, parameters(model(name)))
        stated(without, parameters(model(name, aux_logits=False)))
    stated("1,498,376,192", multiply_adds(model("googlenet")))
    stated("5,713,216,096", multiply_adds(model("inception_v3"), 3, 299, 299))
    stated("6.6", parameters(model("googlenet", aux_logits=False)) / 1e6)
    stated("23.8", parameters(model("inception_v3", aux_logits=False)) / 1e6)
    for name, text in [("googlenet", "69.8 %"), ("inception_v3", "77.3 %"), ("resnet50", "76.1 %")]:
        meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
        stated(text, meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
    with torch.device("meta"):
        stated("25.6", parameters(torchvision.models.resnet50()) / 1e6)
    for name in ("googlenet", "inception_v3"):
        net = model(name)
        assert net.aux_logits and not net.transform_input
        assert {m.eps for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}


@holds("Input → output", "dtype", "Defaults", "Same in train and eval?")
def check_contract():
    weights_class = torchvision.models.get_model_weights("googlenet").__mro__[1]
    for name, size, heads in (("googlenet", 224, False), ("inception_v3", 299, True)):
        net = model(name).train()
        out = net(torch.zeros(2, 3, size, size, device="meta"))
        assert isinstance(out, tuple) and out.logits.shape == (2, 1000)
        assert len(out) == (3 if name == "googlenet" else 2)
        assert isinstance(net.eval()(torch.zeros(2, 3, size, size, device="meta")), torch.Tensor)
        plain = model(name, aux_logits=False).train()
        assert isinstance(plain(torch.zeros(2, 3, size, size, device="meta")), torch.Tensor)
        assert any(isinstance(m, nn.Dropout) for m in net.modules())
        builder = getattr(torchvision.models, name)
        assert inspect.signature(inspect.unwrap(builder)).parameters["weights"].default is None
        trained = torchvision.models.get_model_weights(name).IMAGENET1K_V1
        with mock.patch.object(weights_class, "get_state_dict", lambda *a, **k: net.state_dict()), torch.device("meta"):
            pretrained = builder(weights=trained)  # nothing is downloaded
        assert pretrained.transform_input and pretrained.aux_logits is heads
    module = importlib.import_module("torchvision.models.googlenet").Inception(4, 1, 1, 1, 1, 1, 1)
    raises(RuntimeError, lambda: module(torch.zeros(1, 4, 5, 5).double()))


@holds("Why pool inside a module?", "What came with V2 and V3?")
def check_pooling_branch_and_parts_of_v3():
    pool, reduce = model("googlenet").inception3a.branch4
    assert pool.stride == 1 and pool(torch.zeros(1, 192, 28, 28)).shape == (1, 192, 28, 28)
    assert reduce.conv.kernel_size == (1, 1) and reduce.conv.out_channels == 32
    net = model("inception_v3")
    assert isinstance(net.Mixed_5b.branch1x1.bn, nn.BatchNorm2d)
    assert net.Mixed_5b.branch3x3dbl_2.conv.kernel_size == net.Mixed_5b.branch3x3dbl_3.conv.kernel_size == (3, 3)
    assert net.Mixed_6a(torch.zeros(1, 288, 35, 35, device="meta")).shape == (1, 768, 17, 17)
    assert net.Mixed_6a.branch3x3.conv.stride == (2, 2)


def fails(net, size):
    try:
        net(torch.randn(2, 3, size, size, device="meta"))
    except RuntimeError as error:
        assert "Kernel size can't be greater than actual input size" in str(error)
        return True
    return False


@pitfall('"Kernel size can\'t be greater than actual input size"')
def check_smallest_images():
    net, plain = model("inception_v3"), model("inception_v3", aux_logits=False)
    assert fails(net.train(), 224) and fails(net, 298) and not fails(net, 299)
    assert fails(net.eval(), 74) and not fails(net, 75) and fails(plain.train(), 74) and not fails(plain, 75)
    for text in ("224", "299", "75"):
        stated(text, int(text))
    assert net.train()(torch.zeros(2, 3, 299, 299, device="meta")).aux_logits.shape == (2, 1000)
    assert isinstance(plain(torch.zeros(2, 3, 299, 299, device="meta")), torch.Tensor)
    for trained, size in ((net, 299), (plain, 75)):
        raises(
            ValueError, lambda: trained(torch.zeros(1, 3, size, size, device="meta")), "more than 1 value per channel"
        )


@check
def check_auxiliary_head_sees_17_by_17():
    net, seen = model("inception_v3").train(), []
    net.AuxLogits.register_forward_hook(lambda m, i, out: seen.append(i[0].shape[-1]))
    net(torch.zeros(2, 3, 299, 299, device="meta"))
    assert seen == [17]


@pitfall("Fine-tuning Inception V3 fails inside the loss")
def check_train_mode_returns_a_tuple():
    images, labels = torch.zeros(2, 3, 299, 299, device="meta"), torch.zeros(2, dtype=torch.long, device="meta")
    net, plain = model("inception_v3").train(), model("inception_v3", aux_logits=False).train()
    out = net(images)
    raises(TypeError, lambda: F.cross_entropy(out, labels), "InceptionOutputs")
    (F.cross_entropy(out.logits, labels) + 0.4 * F.cross_entropy(out.aux_logits, labels)).backward()
    assert net.Mixed_7c.branch1x1.conv.weight.grad is not None and net.AuxLogits.fc.weight.grad is not None
    F.cross_entropy(plain(images), labels).backward()
    assert plain.Mixed_7c.branch1x1.conv.weight.grad is not None
    raises(ValueError, lambda: torchvision.models.inception_v3(weights="DEFAULT", aux_logits=False), "aux_logits")
    net.aux_logits, net.AuxLogits = False, None
    F.cross_entropy(net(images), labels).backward()
    assert fails(net, 74) and not fails(net, 75)
    ten = model("inception_v3").train()
    for part in (ten, ten.AuxLogits):
        part.fc = nn.Linear(part.fc.in_features, 10, device="meta")
    assert [part.shape for part in ten(images)] == [(2, 10), (2, 10)]


@pitfall('Accuracy falls after "correct" Inception preprocessing')
def check_transform_input_maps_to_minus_one_to_one():
    """What reaches the first layer; the accuracy itself would need the trained weights."""
    net = model("inception_v3", transform_input=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    image = torch.rand(2, 3, 4, 4)
    x = (image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    torch.testing.assert_close(net._transform_input(x), image * 2 - 1, atol=1e-5, rtol=0)
    assert (net._transform_input(image * 2 - 1) - (image * 2 - 1)).abs().max() > 0.5
    prepared = torchvision.models.Inception_V3_Weights.IMAGENET1K_V1.transforms()(torch.full((1, 3, 320, 320), 0.8))
    torch.testing.assert_close(net._transform_input(prepared), torch.full((1, 3, 299, 299), 0.6), atol=1e-5, rtol=0)
    untrained = model("inception_v3")
    assert not untrained.transform_input and torch.equal(untrained._transform_input(x), x)
    untrained.transform_input = True
    assert torch.equal(untrained._transform_input(x), net._transform_input(x))
