import math

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, stated

RECURRENCE = r"r_l = r_{l-1} + (k_l - 1)\, d_l\, j_{l-1}, \qquad j_l = j_{l-1}\, s_l, \qquad r_0 = j_0 = 1"
CLOSED = r"r_L = 1 + \sum_{l=1}^{L} (k_l - 1)\, d_l \prod_{i<l} s_i"
CENTRE = r"t_l = t_{l-1} + \left( \frac{(k_l - 1)\, d_l}{2} - p_l \right) j_{l-1}, \qquad t_0 = 0"
SPREAD = r"\sigma_L = \sqrt{\frac{L\,(k^2 - 1)}{12}}"

by_definition("Cost")

# Each layer: kernel, stride, padding, dilation.
STACKS = [
    [(3, 1, 1, 1)],
    [(3, 1, 0, 1), (3, 1, 0, 1), (2, 2, 0, 1), (3, 1, 0, 1)],
    [(7, 2, 3, 1), (3, 2, 1, 1), (3, 1, 1, 1)],
    [(3, 2, 1, 2), (4, 3, 1, 1), (5, 1, 6, 3)],
    [(3, 1, 1, 2)],
    [(2, 1, 0, 1), (2, 1, 0, 2), (2, 1, 0, 4)],
    [(3, 2, 1, 1), (1, 2, 0, 1), (3, 1, 1, 1)],
]


def fields(layers):
    """r, j and t by the recurrences of the article."""
    r = j = 1
    t = 0.0
    for k, s, p, d in layers:
        r, t = r + (k - 1) * d * j, t + ((k - 1) * d / 2 - p) * j
        j *= s
    return r, j, t


def probed(layers, size=1500, index=None):
    """First and last input with a gradient from one output of positive kernels, and that output's number."""
    x = torch.ones(1, 1, size, dtype=torch.float64, requires_grad=True)
    y = x
    for k, s, p, d in layers:
        y = F.conv1d(y, torch.full((1, 1, k), 1 / k, dtype=torch.float64), stride=s, padding=p, dilation=d)
    index = y.shape[-1] // 2 if index is None else index
    y[0, 0, index].backward()
    places = x.grad[0, 0].nonzero()
    return int(places.min()), int(places.max()), index


@formula(RECURRENCE, CLOSED, CENTRE)
@holds("Depends on", "Does not depend on", "Which pixels does output $i$ see?")
def check_against_gradients():
    for layers in STACKS:
        r, j, t = fields(layers)
        first, last, index = probed(layers)
        assert last - first + 1 == r, (layers, last - first + 1, r)
        assert (first + last) / 2 == t + index * j
        assert probed(layers, index=index + 1)[0] - first == j
        assert first == t + index * j - (r - 1) / 2 and last == t + index * j + (r - 1) / 2
        moved = [(k, s, p + 1, d) for k, s, p, d in layers]
        assert fields(moved)[:2] == (r, j) and fields(moved)[2] < t
        for size in (1100, 1900):  # other image sizes
            low, high, _ = probed(layers, size)
            assert high - low + 1 == r
    for channels, activation in ((1, nn.Tanh()), (5, nn.Tanh()), (5, nn.Sigmoid())):
        net = nn.Sequential(nn.Conv1d(1, channels, 3), activation, nn.Conv1d(channels, 1, 5)).double()
        x = torch.randn(1, 1, 30, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(net(x)[0, 0, 10], x)
        assert (gradient != 0).sum() == 7
        strides = [s for _, s, _, _ in layers]
        assert r == 1 + sum((k - 1) * d * math.prod(strides[:l]) for l, (k, _, _, d) in enumerate(layers))


@formula(SPREAD)
def check_spread():
    for L, k in [(1, 3), (5, 3), (20, 3), (4, 5), (6, 2), (3, 1)]:
        x = torch.ones(1, 1, L * (k - 1) + 1, dtype=torch.float64, requires_grad=True)
        y = x
        for _ in range(L):
            y = F.conv1d(y, torch.full((1, 1, k), 1 / k, dtype=torch.float64))
        y.sum().backward()
        share = x.grad[0, 0].numpy()
        place = np.arange(len(share))
        mean = (share * place).sum()
        assert math.isclose(
            math.sqrt((share * (place - mean) ** 2).sum()), math.sqrt(L * (k * k - 1) / 12), abs_tol=1e-9
        )


@check
def check_random_weights_have_the_same_profile():
    L, tries = 6, 40000
    g = torch.zeros(tries, 1)
    g[:] = 1.0
    for _ in range(L):
        w = torch.randn(tries, 3)
        wide = F.pad(g, (2, 2))
        g = sum(w[:, [2 - i]] * wide[:, i : i + g.shape[1] + 2] for i in range(3))
    squared = (g**2).mean(0)
    squared /= squared.sum()
    place = torch.arange(2 * L + 1) - L
    assert abs(float((squared * place**2).sum()) - L * 8 / 12) < 0.4
    w = torch.randn(1, 1, 3)
    x = torch.zeros(1, 1, 3, requires_grad=True)
    F.conv1d(x, w).sum().backward()
    assert torch.equal(x.grad, w), "the gradient of a layer is its kernel"


@check
def check_worked_example():
    layers = STACKS[1]
    seen = [fields(layers[: n + 1])[:2] for n in range(4)]
    assert seen == [(3, 1), (5, 1), (6, 2), (10, 2)]
    for text, (r, _) in zip(("3", "5", "6", "10"), seen):
        stated(text, r)


def layers_of(model):
    """The convolutions and poolings on the longest path of a torchvision network; shortcuts are shorter."""
    one = lambda value: value[0] if isinstance(value, tuple) else value
    return [
        (one(m.kernel_size), one(m.stride), one(m.padding), one(m.dilation))
        for name, m in model.named_modules()
        if isinstance(m, (nn.Conv2d, nn.MaxPool2d)) and "downsample" not in name
    ]


@holds("Known values")
def check_known_networks():
    with torch.device("meta"):
        networks = [
            ("212", torchvision.models.vgg16().features),
            ("435", torchvision.models.resnet18()),
            ("427", torchvision.models.resnet50()),
        ]
    for text, network in networks:
        layers = layers_of(network)
        r, j, _ = fields(layers)
        stated(text, r)
        stated("32", j)
        first, last, _ = probed(layers)
        assert last - first + 1 == r


@pitfall("ResNet-50: 483 or 427?")
def check_both_values_of_resnet50():
    with torch.device("meta"):
        network = torchvision.models.resnet50()
    stated("427", fields(layers_of(network))[0])
    for module in network.modules():
        if isinstance(module, torchvision.models.resnet.Bottleneck) and module.conv2.stride == (2, 2):
            module.conv1.stride, module.conv2.stride = (2, 2), (1, 1)
    stated("483", fields(layers_of(network))[0])
    first, last, _ = probed(layers_of(network))
    assert last - first + 1 == 483


@pitfall("The field comes out too large after a strided layer")
def check_own_stride_comes_after():
    layers = [(3, 2, 1, 1), (3, 1, 1, 1)]
    first, last, _ = probed(layers)
    stated("7", last - first + 1)
    assert fields(layers)[0] == 7
    r = j = 1
    for k, s, _, d in layers:
        j *= s
        r += (k - 1) * d * j
    stated("9", r)


@pitfall('"Dilation does not move the centre"')
def check_dilation_moves_the_centre():
    for d, wanted in ((1, 0), (2, 1)):
        first, last, index = probed([(3, 1, 1, d)])
        assert (first + last) / 2 - index == wanted == fields([(3, 1, 1, d)])[2]
        first, last, index = probed([(3, 1, d, d)])
        assert (first + last) / 2 - index == 0 == fields([(3, 1, d, d)])[2]


@pitfall("The gradient probe marks the whole image")
@holds("Same in train and eval?")
def check_batch_norm_in_the_probe():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 3, padding=1)).double()
    for training, text in ((True, "225"), (False, "25")):
        net.train(training)
        x = torch.randn(1, 1, 15, 15, dtype=torch.float64, requires_grad=True)
        net(x)[0, 0, 7, 7].backward()
        stated(text, (x.grad != 0).sum())
    batch = torch.randn(3, 1, 15, 15, dtype=torch.float64, requires_grad=True)
    net.train()(batch)[0, 0, 7, 7].backward()
    assert all((image != 0).all() for image in batch.grad)  # the other images of the batch, too
    layer, x = nn.Conv2d(1, 4, 3), torch.randn(1, 1, 15, 15)
    assert torch.equal(layer.train()(x), layer.eval()(x))
    for size, smooth in ((5, nn.Identity()), (8, nn.AvgPool2d(2))):
        net = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False), smooth, nn.Conv2d(1, 1, 3))
        x = torch.randn(1, 1, 24, 24, requires_grad=True)
        assert (torch.autograd.grad(net(x)[0, 0, 3, 3], x)[0] != 0).sum() == size**2
    for hiding in (nn.ReLU(), nn.MaxPool2d(2)):
        net = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False), hiding, nn.Conv2d(1, 1, 3))
        seen = []
        for _ in range(200):
            x = torch.randn(1, 1, 24, 24, requires_grad=True)
            seen.append(torch.autograd.grad(net(x)[0, 0, 3, 3], x)[0].abs())
        full = 5 if isinstance(hiding, nn.ReLU) else 8
        seen = torch.stack(seen)
        assert (seen > 0).sum() < 0.95 * len(seen) * full**2 and (seen.mean(0) > 0).sum() == full**2
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
    )  # ends in a ReLU: one channel is off
    net.requires_grad_(False)[2].bias[0] = -100
    for read, full in ((lambda y: y[0, 0, 3, 3], 0), (lambda y: y[0, :, 3, 3].sum(), 5)):
        seen = 0
        for _ in range(50):
            x = torch.randn(1, 1, 24, 24, requires_grad=True)
            seen = seen + torch.autograd.grad(read(net(x)), x)[0].abs()
        assert (seen > 0).sum() == full**2


@check
def check_relu_and_maximum_hide_pixels():
    x = torch.randn(1, 1, 24, 24, requires_grad=True)
    for layer in (nn.ReLU(), nn.MaxPool2d(2)):
        net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), layer, nn.Conv2d(1, 1, 3))
        y = net(x)
        reached = [int((torch.autograd.grad(y[0, 0, 3, i], x, retain_graph=True)[0] != 0).sum()) for i in range(9)]
        r = fields([(1, 1, 0, 1), (2, 2, 0, 1), (3, 1, 0, 1)] if isinstance(layer, nn.MaxPool2d) else [(3, 1, 0, 1)])[0]
        assert min(reached) < r * r
    for layer, wanted in ((nn.AvgPool2d(2), 8), (nn.Identity(), 5)):  # without the pooling r would be another
        y = nn.Sequential(nn.Conv2d(1, 1, 3), layer, nn.Conv2d(1, 1, 3))(x)
        (gradient,) = torch.autograd.grad(y[0, 0, 3, 3], x)
        assert int((gradient != 0).sum()) == wanted**2


def width_of_the_gradient(layers):
    """How many pixels in the middle hold 95% of the gradient of one output of equal-weight kernels."""
    x = torch.ones(1, 1, 3001, dtype=torch.float64, requires_grad=True)
    y = x
    for k, s, d in layers:
        y = F.conv1d(y, torch.full((1, 1, k), 1 / k, dtype=torch.float64), stride=s, dilation=d)
    y[0, 0, y.shape[-1] // 2].backward()
    share = x.grad[0, 0]
    centre = round(float((share * torch.arange(3001)).sum()))
    return next(2 * w + 1 for w in range(1500) if share[centre - w : centre + w + 1].sum() >= 0.95)


@pitfall("Large on paper, but context is missing")
def check_effective_field():
    for depth in (10, 20, 60, 150):
        four_sigma = 4 * math.sqrt(depth * 8 / 12)
        assert abs(width_of_the_gradient([(3, 1, 1)] * depth) - four_sigma) < 2
    assert width_of_the_gradient([(3, 1, 4)] * 20) > 12 * math.sqrt(20 * 8 / 12)  # 4 sigma holds for dilation 1
    plain = width_of_the_gradient([(3, 1, 1)] * 20)
    assert plain == 15
    for wider in (
        [(3, 1, 1)] * 60,
        [(3, 1, 1)] * 5 + [(2, 2, 1)] + [(3, 1, 1)] * 15,
        [(3, 1, 2)] * 20,
        [(7, 1, 1)] * 20,
    ):
        assert width_of_the_gradient(wider) > 1.5 * plain
    x = torch.randn(1, 1, 99, requires_grad=True)
    (F.conv1d(x, torch.ones(1, 1, 3), padding=1) + F.adaptive_avg_pool1d(x, 1))[0, 0, 49].backward()
    assert (x.grad != 0).all()
    L = 20
    stated("41", fields([(3, 1, 0, 1)] * L)[0])
    stated("3.65", math.sqrt(L * 8 / 12))
    x = torch.ones(1, 1, 41, dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(L):
        y = F.conv1d(y, torch.full((1, 1, 3), 1 / 3, dtype=torch.float64))
    y.sum().backward()
    share = x.grad[0, 0]
    stated("15", next(2 * w + 1 for w in range(21) if share[20 - w : 21 + w].sum() >= 0.95))
    stated("96%", share[13:28].sum())
    stated("92%", torch.outer(share, share)[13:28, 13:28].sum())


@holds("Why two 3×3 layers instead of one 5×5?")
def check_two_small_kernels_against_a_large_one():
    assert fields([(3, 1, 0, 1)] * 2)[0] == fields([(5, 1, 0, 1)])[0] == 5
    stated("18", 2 * nn.Conv2d(1, 1, 3, bias=False).weight.numel())
    stated("25", nn.Conv2d(1, 1, 5, bias=False).weight.numel())


@check
def check_padding_on_one_side():
    x = torch.ones(1, 1, 8, requires_grad=True)
    weight = torch.ones(1, 1, 3)
    for padding, wanted in (((0, 1), 1), ((1, 1), 0)):
        y = F.conv1d(F.pad(x, padding), weight, stride=2)
        assert y.shape[-1] == 4
        (gradient,) = torch.autograd.grad(y[0, 0, 1], x)
        places = gradient[0, 0].nonzero()
        assert int(places.min() + places.max()) / 2 - 2 == wanted


@holds("Which pixels does output $i$ see?", "Can it exceed the image?")
def check_larger_than_the_image():
    stated("224", 224)
    with torch.device("meta"):
        layers = layers_of(torchvision.models.resnet50())
    r, j, t = fields(layers)
    assert t == 0
    stated("96", t + 3 * j)
    stated("−117", t + 3 * j - (r - 1) / 2)
    stated("309", t + 3 * j + (r - 1) / 2)
    for index in range(7):
        centre = t + index * j
        assert centre - (r - 1) / 2 < 0 or centre + (r - 1) / 2 > 223


@holds("more 3×3 layers", "stride, pooling", "dilation", "larger kernel")
def check_what_one_more_layer_adds():
    for before in ([(3, 1, 0, 1)], [(3, 2, 0, 1), (3, 1, 0, 1)], [(2, 2, 0, 1), (3, 2, 0, 1)]):
        first, last, _ = probed(before)
        r, j = last - first + 1, math.prod(s for _, s, _, _ in before)
        for k, d in ((3, 1), (3, 2), (3, 4), (5, 1), (7, 1)):
            first, last, _ = probed([*before, (k, 1, 0, d)])
            assert last - first + 1 - r == (k - 1) * d * j
        after = [(3, 1, 0, 1), (5, 1, 0, 1)]
        added = [fields([*start, *after])[0] - fields(start)[0] for start in (before, [(3, 2, 0, 1), *before])]
        assert added[1] == 2 * added[0]  # an earlier stride of 2
    x = torch.ones(1, 1, 20, requires_grad=True)
    F.conv1d(x, torch.ones(1, 1, 3), dilation=4)[0, 0, 0].backward()
    assert x.grad[0, 0].nonzero().flatten().tolist() == [0, 4, 8]  # the gaps
    assert F.conv1d(x, torch.ones(1, 1, 2), stride=2).shape[-1] == 10  # the resolution
    for k in (3, 5, 7):
        assert nn.Conv2d(1, 1, k, bias=False).weight.numel() == k**2


@holds("attention, global pooling")
def check_layers_that_see_the_whole_map():
    attention = nn.MultiheadAttention(4, 1, batch_first=True)
    x = torch.randn(1, 12, 4, requires_grad=True)
    y, scores = attention(x, x, x)
    assert scores.shape == (1, 12, 12)
    (gradient,) = torch.autograd.grad(y[0, 3].sum(), x)
    assert (gradient[0].abs().sum(1) > 0).all()
    pooled = F.adaptive_avg_pool1d(x.mT, 1)
    (gradient,) = torch.autograd.grad(pooled.sum(), x)
    shuffled = F.adaptive_avg_pool1d(x.mT[..., torch.randperm(12)], 1)
    assert (gradient != 0).all() and torch.allclose(shuffled, pooled, atol=1e-6)


@holds("What do residual connections change?")
def check_shortcuts_move_gradient_to_the_middle():
    shares = []
    for shortcut in (0, 1):
        x = torch.ones(1, 1, 101, dtype=torch.float64, requires_grad=True)
        y = x
        for _ in range(10):
            y = shortcut * y + F.conv1d(y, torch.full((1, 1, 3), 1 / 3, dtype=torch.float64), padding=1)
        y[0, 0, 50].backward()
        share = x.grad[0, 0] / x.grad.sum()
        assert int(share.nonzero().max() - share.nonzero().min()) + 1 == 21
        shares.append(float(share[47:54].sum()))
    assert shares[1] > shares[0] + 0.1
