import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

TAPS = r"y_i = b + \sum_{k=0}^{K-1} w_k\, x_{s i + d k - p}"
SIZE = r"""
K_\text{eff} = d\,(K - 1) + 1, \qquad
n_\text{out} = \left\lfloor \frac{n + 2p - K_\text{eff}}{s} \right\rfloor + 1
"""
VIEW = r"""
r = 1 + \sum_{l=1}^{L} (K_l - 1)\, d_l, \qquad
d_l = 2^{l-1},\; K_l = K: \quad r = 1 + (K - 1)(2^L - 1)
"""

by_definition("deformable")
sourced("DeepLabv3, arXiv 1706.05587, section 3.3", "What does DeepLabv3's ASPP add?")


@formula(TAPS, SIZE)
def check_equals_the_library():
    for n, K, s, d, p in [
        (16, 3, 1, 2, 0),
        (16, 3, 1, 2, 2),
        (17, 2, 2, 3, 1),
        (9, 4, 3, 2, 5),
        (7, 3, 1, 3, 0),
        (12, 1, 2, 4, 0),
        (11, 5, 1, 1, 2),
    ]:
        layer = nn.Conv1d(1, 1, K, s, p, d, dtype=torch.float64)
        x = torch.randn(1, 1, n, dtype=torch.float64)
        library = layer(x)[0, 0].detach().numpy()
        extent = d * (K - 1) + 1
        assert len(library) == (n + 2 * p - extent) // s + 1
        xn, w, b = x[0, 0].numpy(), layer.weight[0, 0].detach().numpy(), float(layer.bias.detach())
        at = lambda i: xn[i] if 0 <= i < n else 0.0
        ours = [b + sum(w[k] * at(s * i + d * k - p) for k in range(K)) for i in range(len(library))]
        np.testing.assert_allclose(ours, library, atol=1e-12)


def reached(rates, kernels, axes=1, size=None):
    """Which inputs one output of a stack of stride-1 layers of ones reads: the gradient of the library."""
    size = size or 2 * sum((k - 1) * d for k, d in zip(kernels, rates)) + 3
    x = torch.ones(1, 1, *[size] * axes, dtype=torch.float64, requires_grad=True)
    y = x
    for k, d in zip(kernels, rates):
        y = (F.conv1d if axes == 1 else F.conv2d)(y, torch.ones(1, 1, *[k] * axes, dtype=torch.float64), dilation=d)
    y.flatten()[y.numel() // 2].backward()
    return x.grad[0, 0]


def extent(gradient):
    places = gradient.nonzero()[:, 0]
    return int(places.max() - places.min() + 1)


@formula(VIEW)
@holds("dilated", "stride or pooling", "larger kernel")
def check_receptive_field():
    for rates, kernels in [((1,), (3,)), ((2, 2, 2), (3, 3, 3)), ((1, 2, 3), (3, 3, 3)), ((3, 1, 4), (2, 5, 3))]:
        assert extent(reached(rates, kernels)) == 1 + sum((k - 1) * d for k, d in zip(kernels, rates))
    for K in (2, 3, 5):
        for L in (1, 2, 3, 4):
            assert extent(reached([2**l for l in range(L)], [K] * L)) == 1 + (K - 1) * (2**L - 1)
    x = torch.ones(1, 1, 41, requires_grad=True)
    w, view = torch.ones(1, 1, 3), {}
    for name, first, later in (
        ("plain", lambda v: F.conv1d(v, w, padding=1), lambda v: F.conv1d(v, w, padding=1)),
        ("stride", lambda v: F.conv1d(v, w, padding=1, stride=2), lambda v: F.conv1d(v, w, padding=1)),
        ("dilated", lambda v: F.conv1d(v, w, padding=1), lambda v: F.conv1d(v, w, padding=2, dilation=2)),
        ("larger", lambda v: F.conv1d(v, w, padding=1), lambda v: F.conv1d(v, torch.ones(1, 1, 5), padding=2)),
    ):
        y = later(first(x))
        (gradient,) = torch.autograd.grad(y[0, 0, y.shape[-1] // 2], x)
        view[name] = (extent(gradient[0, 0]), int((gradient != 0).sum()), y.shape[-1])
    assert view == {"plain": (5, 5, 41), "stride": (7, 7, 21), "dilated": (7, 7, 41), "larger": (7, 7, 41)}
    assert (reached((2,), (3,)) != 0).sum() == 3
    assert (reached((1,), (5,)) != 0).sum() == extent(reached((1,), (5,))) == 5
    for K in (3, 5, 7):
        assert nn.Conv2d(1, 1, K, bias=False).weight.numel() == K**2


@check
def check_worked_example():
    x = torch.tensor([[[1.0, 2.0, 4.0, 7.0, 11.0, 16.0, 22.0]]])
    y = F.conv1d(x, torch.tensor([[[1.0, -1.0, 2.0]]]), dilation=2)[0, 0]
    assert len(y) == 3
    for text, value in zip(["19", "27", "37"], y):
        stated(text, value)


@holds("Input → output", "Parameters", "Defaults", "Same in train and eval?")
def check_parameters():
    for d in (1, 2, 5):
        stated("36,928", sum(p.numel() for p in nn.Conv2d(64, 64, 3, dilation=d).parameters()))
    assert nn.Conv2d(1, 1, 3).dilation == (1, 1)
    for axes, kind in ((1, nn.Conv1d), (2, nn.Conv2d), (3, nn.Conv3d)):
        layer, x = kind(2, 3, 3, dilation=2), torch.randn(4, 2, *[9] * axes)
        assert layer.dilation == (2,) * axes and layer(x).shape == (4, 3, *[5] * axes)
        assert torch.equal(layer.train()(x), layer.eval()(x))


def multiply_adds(net, *shape):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        y = net(torch.empty(shape))
    return counter.get_total_flops() / 2, y.shape[-1]


@holds("Cost")
def check_multiply_adds():
    for d in (1, 2, 5):
        with torch.device("meta"):
            layer = nn.Conv2d(4, 6, 3, dilation=d, bias=False)
        work, side = multiply_adds(layer, 1, 4, 32, 32)
        assert work == 9 * 4 * 6 * side**2
    with torch.device("meta"):
        build = torchvision.models.resnet50
        strided, dilated = (build(replace_stride_with_dilation=[False, r, r]) for r in (False, True))
    assert multiply_adds(dilated, 1, 3, 224, 224)[0] > 2 * multiply_adds(strided, 1, 3, 224, 224)[0]


@check
def check_zeros_between_the_taps():
    for d, K in [(2, 3), (3, 2), (4, 3)]:
        x, w = torch.randn(1, 2, 17, 17), torch.randn(3, 2, K, K)
        spread = torch.zeros(3, 2, d * (K - 1) + 1, d * (K - 1) + 1)
        spread[..., ::d, ::d] = w
        assert torch.allclose(F.conv2d(x, w, dilation=d), F.conv2d(x, spread), atol=1e-4)


@pitfall("The output shrinks, or shapes no longer match")
def check_padding():
    x = torch.randn(1, 1, 32, 32)
    shrunk = nn.Conv2d(1, 1, 3, padding=1, dilation=2)(x)
    stated("30", shrunk.shape[-1])
    raises(RuntimeError, lambda: x + shrunk, "must match")
    for d in (1, 2, 5):
        assert nn.Conv2d(1, 1, 3, padding=d, dilation=d)(x).shape == x.shape
        assert nn.Conv2d(1, 1, 3, padding="same", dilation=d)(x).shape == x.shape


@pitfall("Checkerboard patterns in a segmentation (gridding)")
def check_gridding():
    for rates, seen, window in [((2, 2, 2), "49", "169"), ((1, 2, 3), "169", "169"), ((1, 2, 9), "441", "625")]:
        gradient = reached(rates, (3, 3, 3), axes=2)
        stated(seen, (gradient > 0).sum())
        stated(window, extent(gradient) ** 2)
    full = reached((1, 2, 5), (3, 3, 3), axes=2)
    assert int((full > 0).sum()) == extent(full) ** 2
    for rates, pattern in (((2, 2, 2), True), ((1, 2, 3), False), ((1, 2, 5), False)):
        speck = torch.zeros(1, 1, 33, 33)
        speck[..., 16, 16] = 1
        for d in rates:
            speck = F.conv2d(speck, torch.ones(1, 1, 3, 3), padding=d, dilation=d)
        inner = speck[0, 0, 13:20, 13:20] > 0
        assert bool(inner.all()) is not pattern and (not pattern or not (inner[:, :-1] & inner[:, 1:]).any())
    lattice = reached((2,) * 8, (3,) * 8, axes=2)
    assert int((lattice > 0).sum()) == ((extent(lattice) + 1) // 2) ** 2, "depth does not close the gaps"


@check
def check_neighbours_read_disjoint_lattices():
    x = torch.ones(1, 1, 15, requires_grad=True)
    y = x
    for _ in range(3):
        y = F.conv1d(y, torch.ones(1, 1, 3), dilation=2)
    first, second = (torch.autograd.grad(y[0, 0, i], x, retain_graph=True)[0] for i in (0, 1))
    assert not ((first > 0) & (second > 0)).any()


@holds("What does DeepLabv3's ASPP add?")
def check_deeplab_v3():
    with torch.device("meta"):
        kinds = torchvision.models.segmentation
        mobile = kinds.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
        assert mobile.backbone(torch.empty(1, 3, 64, 64))["out"].shape[-1] == 64 // 16
        model = kinds.deeplabv3_resnet50(weights=None, weights_backbone=None).eval()
        aspp = model.classifier[0]
        assert len(aspp.convs) == 5, "a 1×1 branch, three rates, global average pooling"
        for text, branch in zip(("12", "24", "36"), aspp.convs[1:4]):
            stated(text, branch[0].dilation[0])
        assert model.backbone(torch.empty(1, 3, 64, 64))["out"].shape[-1] == 64 // 8


@pitfall("A large rate does nothing")
def check_a_rate_as_large_as_the_map():
    x, w = torch.randn(1, 1, 7, 7), torch.randn(1, 1, 3, 3)
    assert torch.allclose(F.conv2d(x, w, padding=7, dilation=7), x * w[0, 0, 1, 1])
    assert not torch.allclose(F.conv2d(x, w, padding=6, dilation=6), x * w[0, 0, 1, 1])
    x.requires_grad_()
    for d, whole, taps in ((7, 0.0, 1), (2, 0.0, 9), (7, 1.0, 49)):
        y = F.conv2d(x, w, padding=d, dilation=d) + whole * F.adaptive_avg_pool2d(x, 1)
        (seen,) = torch.autograd.grad(y[0, 0, 3, 3], x)
        assert (seen != 0).sum() == taps
    branch = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
    assert branch(torch.randn(2, 8, 7, 7)).shape == (2, 8, 1, 1)
    raises(ValueError, lambda: branch(torch.randn(1, 8, 7, 7)), "Expected more than 1 value per channel")
    assert branch.eval()(torch.randn(1, 8, 7, 7)).shape == (1, 8, 1, 1)


@pitfall("`NotImplementedError: Dilation > 1 not supported in BasicBlock`")
def check_torchvision_needs_bottlenecks():
    for build in (torchvision.models.resnet18, torchvision.models.resnet34):
        try:
            with torch.device("meta"):
                build(replace_stride_with_dilation=[False, True, True])
        except NotImplementedError as error:
            assert str(error) == "Dilation > 1 not supported in BasicBlock"
        else:
            raise AssertionError("expected an error")
    with torch.device("meta"):
        torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])
    model, by_hand = torchvision.models.resnet18().eval(), torchvision.models.resnet18().eval()
    by_hand.load_state_dict(model.state_dict())
    rate = 1
    for layer in (by_hand.layer3, by_hand.layer4):
        for convolution in (module for module in layer.modules() if isinstance(module, nn.Conv2d)):
            if convolution.kernel_size == (3, 3):
                convolution.dilation = convolution.padding = (rate, rate)
            if convolution.stride == (2, 2) and convolution.kernel_size == (3, 3):
                rate *= 2
            convolution.stride = (1, 1)
    trunk = lambda m: nn.Sequential(*list(m.children())[:-2]).requires_grad_(False)
    x = torch.randn(1, 3, 64, 64)
    old, new = trunk(model)(x), trunk(by_hand)(x)
    assert (old.shape[-1], new.shape[-1]) == (2, 8)
    assert torch.allclose(new[..., ::4, ::4], old, rtol=1e-3, atol=1e-4 * float(old.abs().max()))


@holds("Why may a pretrained network trade stride for dilation?")
def check_resnet50_keeps_its_weights():
    sizes, counts = [], []
    for replaced in ([False, False, False], [False, True, True]):
        with torch.device("meta"):
            model = torchvision.models.resnet50(replace_stride_with_dilation=replaced).eval()
            features = nn.Sequential(*list(model.children())[:-2])
            sizes.append(features(torch.empty(1, 3, 224, 224)).shape[-1])
            counts.append({name: tuple(p.shape) for name, p in model.named_parameters()})
    stated("7", sizes[0])
    stated("28", sizes[1])
    assert counts[0] == counts[1]


@holds("Why may a pretrained network trade stride for dilation?")
def check_trading_stride_for_dilation_is_exact():
    model = torchvision.models.resnet50(replace_stride_with_dilation=[False, False, False]).eval()
    dilated = torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True]).eval()
    for buffers in (model, dilated):
        buffers.requires_grad_(False)
    dilated.load_state_dict(model.state_dict())
    trunk = lambda m: nn.Sequential(*list(m.children())[:-2])
    x = torch.randn(1, 3, 64, 64)
    old, new = trunk(model)(x), trunk(dilated)(x)
    assert new.shape[-1] == 4 * old.shape[-1]
    assert torch.allclose(new[..., ::4, ::4], old, rtol=1e-3, atol=1e-4 * float(old.abs().max()))


@pitfall("The receptive field is off by one")
def check_wavenet():
    stated("1,024", extent(reached([2**l for l in range(10)], [2] * 10)))
    stated("1,025", extent(reached([1] + [2**l for l in range(10)], [2] * 11)))
    stated("512", 2**9)
    layers = lambda *extra: [(2, d) for d in extra] + [(2, 2**l) for l in range(10)]
    total = lambda stack: 1 + sum((k - 1) * d for k, d in stack)
    assert total(layers()) == 1024 and total(layers(1)) == 1025


@holds("How does it differ from transposed convolution?")
def check_transposed_convolution_puts_zeros_between_inputs():
    x, w = torch.randn(1, 1, 5, dtype=torch.float64), torch.randn(1, 1, 3, dtype=torch.float64)
    spread = torch.zeros(1, 1, 9, dtype=torch.float64)
    spread[..., ::2] = x
    y = F.conv_transpose1d(x, w, stride=2)
    assert torch.allclose(y, F.conv1d(F.pad(spread, (2, 2)), w.flip(-1))) and y.shape[-1] > x.shape[-1]


@holds("Is it cheaper than a 5×5 kernel?")
def check_weights_against_five_by_five():
    stated("9", nn.Conv2d(1, 1, 3, dilation=2, bias=False).weight.numel())
    stated("25", nn.Conv2d(1, 1, 5, bias=False).weight.numel())
    seen = reached((2,), (3,), axes=2)
    assert (seen != 0).sum() == 9 and extent(seen) == 5
