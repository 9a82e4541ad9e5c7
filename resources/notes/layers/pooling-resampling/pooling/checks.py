import math

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated
from trainings import handwritten_digits

WINDOWS = r"""
m_{i,j} = \max_{0 \le u, v < K} x_{s i + d u - p,\; s j + d v - p}, \qquad
a_{i,j} = \frac{1}{K^2} \sum_{0 \le u, v < K} x_{s i + u - p,\; s j + v - p}
"""
GRADIENTS = r"""
\frac{\partial L}{\partial x_{q}} = \frac{\partial L}{\partial m_{i,j}}\, [\,q = \operatorname{argmax}\,], \qquad
\frac{\partial L}{\partial x_{q}} = \frac{1}{K^2}\, \frac{\partial L}{\partial a_{i,j}}
"""
ADAPTIVE = r"a_i = \frac{1}{e_i - b_i} \sum_{k=b_i}^{e_i - 1} x_k"
EXAMPLE = torch.tensor([[1.0, 3, 2, 5], [6, 4, 1, 0], [1, 2, 9, 8], [0, 1, 7, 4]]).view(1, 1, 4, 4)

by_definition("RoI pooling, RoIAlign")


def pooled(x, size, K, s, p, d, outside, summarize):
    """Every window of a 2-d array, positions outside it read as `outside`."""
    at = lambda i, j: x[i, j] if 0 <= i < x.shape[0] and 0 <= j < x.shape[1] else outside
    return np.array(
        [
            [
                summarize([at(s * i + d * u - p, s * j + d * v - p) for u in range(K) for v in range(K)])
                for j in range(size[1])
            ]
            for i in range(size[0])
        ]
    )


@formula(WINDOWS)
def check_windows():
    for shape, K, s, p, d in [
        ((6, 8), 2, 2, 0, 1),
        ((7, 5), 3, 2, 1, 1),
        ((5, 5), 3, 1, 1, 1),
        ((9, 11), 3, 2, 1, 2),
        ((4, 4), 4, 4, 2, 1),
        ((3, 3), 1, 2, 0, 1),
    ]:
        for shift in (0.0, -5.0):
            x = torch.randn(shape, dtype=torch.float64) + shift
            library = nn.MaxPool2d(K, s, p, d)(x[None, None])[0, 0].numpy()
            np.testing.assert_allclose(pooled(x.numpy(), library.shape, K, s, p, d, -math.inf, max), library)
            if d == 1:
                library = nn.AvgPool2d(K, s, p)(x[None, None])[0, 0].numpy()
                np.testing.assert_allclose(
                    pooled(x.numpy(), library.shape, K, s, p, 1, 0.0, lambda w: sum(w) / K**2), library
                )


@formula(GRADIENTS)
def check_gradients():
    for K, blocks in [(2, 3), (3, 2), (1, 4)]:
        x = torch.randn(1, 1, K * blocks, K * blocks, dtype=torch.float64, requires_grad=True)
        incoming = torch.randn(1, 1, blocks, blocks, dtype=torch.float64)
        for pool in (F.max_pool2d, F.avg_pool2d):
            (library,) = torch.autograd.grad(pool(x, K), x, incoming)
            ours = np.zeros((K * blocks, K * blocks))
            for i in range(blocks):
                for j in range(blocks):
                    window = x[0, 0, K * i : K * i + K, K * j : K * j + K].detach().numpy()
                    g = float(incoming[0, 0, i, j])
                    winner = np.unravel_index(window.argmax(), window.shape)
                    for q in np.ndindex(K, K):
                        ours[K * i + q[0], K * j + q[1]] = g * (q == winner) if pool is F.max_pool2d else g / K**2
            np.testing.assert_allclose(ours, library[0, 0].numpy(), atol=1e-12)


@formula(ADAPTIVE)
def check_adaptive():
    for n, M in [(7, 3), (5, 2), (10, 4), (3, 5), (6, 6), (8, 1), (12, 4)]:
        x = torch.randn(1, 1, n, dtype=torch.float64)
        bounds = [(i * n // M, -((-(i + 1) * n) // M)) for i in range(M)]
        ours = [x[0, 0, b:e].sum() / (e - b) for b, e in bounds]
        np.testing.assert_allclose(ours, F.adaptive_avg_pool1d(x, M)[0, 0].numpy())
    wide = torch.randn(1, 2, 7, 5, dtype=torch.float64)
    both = F.adaptive_avg_pool2d(wide, (3, 2))
    for i, (b, e) in enumerate(((0, 3), (2, 5), (4, 7))):
        for j, (c, f) in enumerate(((0, 3), (2, 5))):
            assert torch.allclose(both[..., i, j], wide[..., b:e, c:f].mean((2, 3)))


@check
def check_overlapping_windows_add_up_and_ties_go_to_the_first():
    x = torch.tensor([[[1.0, 5.0, 2.0, 0.0]]], requires_grad=True)
    F.max_pool1d(x, 2, 1).sum().backward()
    assert x.grad[0, 0].tolist() == [0, 2, 1, 0]
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


@check
def check_worked_example():
    assert F.max_pool2d(EXAMPLE, 2).flatten().tolist() == [6, 5, 2, 9]
    means = F.avg_pool2d(EXAMPLE, 2)
    assert means.flatten().tolist() == [3.5, 2, 1, 7]
    stated("3.5", means[0, 0, 0, 0])
    stated("3.375", F.adaptive_avg_pool2d(EXAMPLE, 1))


@holds("Parameters", "Defaults")
@pitfall("The stride is not 1")
def check_defaults_and_parameters():
    for layer in (nn.MaxPool1d(3), nn.MaxPool2d(3), nn.MaxPool3d(3), nn.AvgPool2d(3)):
        assert layer.stride == layer.kernel_size == 3 and layer.padding == 0 and layer.ceil_mode is False
        assert not list(layer.parameters()) and not list(layer.buffers())
    assert nn.AvgPool2d(2).count_include_pad is True
    assert nn.MaxPool2d(3)(torch.randn(1, 1, 9, 9)).shape[-1] == 3 and nn.Conv2d(1, 1, 3).stride == (1, 1)
    for size in (7, 8, 111, 112):
        x = torch.randn(1, 1, size, size)
        assert nn.MaxPool2d(3, stride=1, padding=1)(x).shape == x.shape
        assert nn.MaxPool2d(3, stride=2, padding=1)(x).shape[-1] == -(-size // 2)


@pitfall("Averages at the border are too small")
def check_border_of_the_average():
    ones = torch.ones(1, 1, 5, 5)
    stated("0.4444", F.avg_pool2d(ones, 3, 1, 1)[0, 0, 0, 0])
    assert torch.equal(F.avg_pool2d(ones, 3, 1, 1, count_include_pad=False), ones)


@pitfall("Max pooling after `F.pad` differs near the border")
def check_maximum_pads_with_minus_infinity():
    x = -torch.rand(1, 1, 6, 6) - 1
    assert F.max_pool2d(x, 3, 1, 1).max() < 0
    assert F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)[0, 0, 0, 0] == 0
    assert torch.equal(F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=float("-inf")), 3, 1), F.max_pool2d(x, 3, 1, 1))
    for layer, text in (
        (nn.MaxPool2d(3, padding=2), "at most half"),
        (nn.MaxPool2d(3, padding=2, dilation=2), "half of kernel size"),
    ):
        raises(RuntimeError, lambda: layer(x), text)


@pitfall("`ceil_mode=True` does not give the size I computed")
def check_ceil_mode():
    stated("3", nn.AvgPool2d(4, 4, padding=2, ceil_mode=True)(torch.ones(1, 1, 9, 9)).shape[-1])
    assert math.ceil((9 + 2 * 2 - 4) / 4) + 1 == 4
    for n in range(1, 14):
        for K in range(1, 6):
            for s in range(1, 6):
                for p in range(K // 2 + 1):
                    if n + 2 * p < K:
                        continue
                    size = math.ceil((n + 2 * p - K) / s) + 1
                    size -= (size - 1) * s >= n + p
                    assert F.max_pool1d(torch.zeros(1, 1, n), K, s, p, ceil_mode=True).shape[-1] == size
                    assert F.max_pool1d(torch.zeros(1, 1, n), K, s, p).shape[-1] == (n + 2 * p - K) // s + 1


def accuracy_on_shifted_digits(augment, steps=150):
    """Right answers of a small network with pooling on digits in place, and moved by up to two pixels."""
    torch.manual_seed(0)
    pixels, classes = handwritten_digits()
    images = F.pad(pixels.view(-1, 1, 8, 8), (2, 2, 2, 2))
    shifts = [(a, b) for a in (-2, 0, 2) for b in (-2, 0, 2)]
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 10))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        batch = torch.randint(0, 1200, (64,))
        shift = shifts[torch.randint(0, 9, ())] if augment else (0, 0)
        optimizer.zero_grad()
        F.cross_entropy(network(images[batch].roll(shift, (2, 3))), classes[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        right = [
            (network(images[1200:].roll(shift, (2, 3))).argmax(1) == classes[1200:]).float().mean().item()
            for shift in shifts
        ]
    return right[4], sum(right) / 9


@pitfall('"Pooling makes the network invariant to shifts"')
def check_shifts():
    x = torch.tensor([[[0.0, 0.0, 9.0, 0.0]]])
    assert F.max_pool1d(x, 2)[0, 0].tolist() == [0, 9]
    assert F.max_pool1d(x.roll(1, -1), 2)[0, 0].tolist() == [0, 9]
    assert F.max_pool1d(x.roll(-1, -1), 2)[0, 0].tolist() == [9, 0]
    (plain, moved), (_, cured) = accuracy_on_shifted_digits(False), accuracy_on_shifted_digits(True)
    assert plain > 0.85 and moved < plain - 0.2 and cured > moved + 0.15, (plain, moved, cured)

    def blurred(values):
        kernel = torch.tensor([[[1.0, 2.0, 1.0]]]) / 4
        return F.conv1d(F.max_pool1d(values, 2, 1), kernel, stride=2)

    signal = torch.randn(50, 1, 40)
    changes = [
        (pool(signal) - pool(signal.roll(-1, -1)))[..., 2:-2].norm().item()
        for pool in (lambda v: F.max_pool1d(v, 2), blurred)
    ]
    assert changes[0] > 1.3 * changes[1], changes


@holds("How does the gradient pass a maximum?")
def check_relu_commutes_with_the_maximum():
    x, incoming = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(2, 3, 4, 4)
    y, index = F.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(y.grad_fn._saved_result1, index)  # remembered
    (gradient,) = torch.autograd.grad(y, x, incoming)
    ours = torch.zeros(2, 3, 64).scatter(2, index.flatten(2), incoming.flatten(2))
    assert torch.equal(gradient, ours.view(2, 3, 8, 8))
    assert torch.equal(F.relu(F.max_pool2d(x, 2)), F.max_pool2d(F.relu(x), 2))
    assert not torch.allclose(F.relu(F.avg_pool2d(x, 2)), F.avg_pool2d(F.relu(x), 2))


@holds("Can a strided convolution replace pooling?")
def check_average_is_a_depthwise_convolution():
    a, b = torch.randn(2, 1, 3, 8, 8)
    assert (F.max_pool2d(a + b, 2) - F.max_pool2d(a, 2) - F.max_pool2d(b, 2)).abs().max() > 0.1  # not linear
    x = torch.randn(2, 3, 8, 8)
    weight = torch.full((3, 1, 2, 2), 1 / 4)
    assert torch.allclose(F.conv2d(x, weight, stride=2, groups=3), F.avg_pool2d(x, 2), atol=1e-6)
    assert nn.AvgPool2d(2)(torch.randn(1, 1, 7, 7)).shape[-1] == 3


@holds("max pooling", "average pooling", "strided convolution")
def check_where_they_stand():
    with torch.device("meta"):
        vgg, resnet, dense = (getattr(torchvision.models, name)() for name in ("vgg16", "resnet50", "densenet121"))
    down = [m for m in vgg.features if isinstance(m, nn.MaxPool2d)]
    assert len(down) == 5 and all(m.stride == 2 for m in down) and isinstance(resnet.maxpool, nn.MaxPool2d)
    assert isinstance(dense.features.transition1.pool, nn.AvgPool2d) and resnet.layer2[0].conv2.stride == (2, 2)
    assert nn.Conv2d(4, 6, 3, stride=2).weight.numel() == 3**2 * 4 * 6 and nn.Conv2d(4, 6, 3).bias.numel() == 6
    assert not any(isinstance(m, (nn.MaxPool2d, nn.AvgPool2d)) for m in resnet.layer2.modules())


@holds("Max or average before a classifier?", "global average")
def check_one_outlier_moves_the_maximum_more():
    x = torch.randn(1, 5, 7, 7, requires_grad=True)
    mean, largest = F.adaptive_avg_pool2d(x, 1).flatten(), F.adaptive_max_pool2d(x, 1).flatten()
    (of_mean,), (of_largest,) = torch.autograd.grad(mean.sum(), x), torch.autograd.grad(largest.sum(), x)
    assert torch.allclose(of_mean, torch.full_like(x, 1 / 49)) and ((of_largest != 0).sum((2, 3)) == 1).all()
    hit = x.detach().clone()
    hit[:, :, 3, 3] = 50.0
    both = ((F.adaptive_avg_pool2d, mean), (F.adaptive_max_pool2d, largest))
    changes = [(pool(hit, 1).flatten() - before).abs().min().item() for pool, before in both]
    assert changes[1] > 20 * changes[0]
    for size in (7, 10):  # one mean per channel, whatever the size
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
        assert head(torch.randn(3, 5, size, size + 1)).shape == (3, 2)


@holds("Input → output", "Same in train and eval?")
def check_shapes():
    for name in ("MaxPool1d", "MaxPool2d", "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d"):
        dims = int(name[-2])
        layer, x = getattr(nn, name)(2), torch.randn(2, 3, *[6] * dims)
        assert layer(x).shape == (2, 3, *[3] * dims) and torch.equal(layer(x[0]), layer(x)[0])
        assert torch.equal(layer.train()(x), layer.eval()(x))


@holds("What does global average pooling save in a classifier head?")
def check_heads():
    count = lambda module: sum(p.numel() for p in module.parameters())
    with torch.device("meta"):
        vgg, resnet = torchvision.models.vgg16(), torchvision.models.resnet50()
    stated("102,764,544", count(vgg.classifier[0]))
    stated("138,357,544", count(vgg))
    stated("2,049,000", count(resnet.fc))
    assert isinstance(resnet.avgpool, nn.AdaptiveAvgPool2d) and resnet.avgpool.output_size == (1, 1)


@check
def check_halving():
    for layer in (nn.MaxPool2d(2), nn.AvgPool2d(2)):
        assert layer(torch.randn(1, 3, 32, 48)).shape == (1, 3, 16, 24)


@holds("dtype")
def check_integers():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for pool in (F.max_pool2d, F.avg_pool2d):
            assert pool(torch.randn(1, 2, 4, 4).to(dtype), 2).dtype == dtype
    for pool, dims in ((F.max_pool2d, 2), (F.max_pool3d, 3)):
        assert pool(torch.arange(4**dims).view(1, 1, *[4] * dims), 2).dtype == torch.int64
    for pool, dims in ((F.avg_pool1d, 1), (F.avg_pool2d, 2), (F.avg_pool3d, 3)):
        x = torch.arange(4**dims).view(1, 1, *[4] * dims) - 5
        assert torch.equal(pool(x, 2), pool(x.double(), 2).trunc().long()) and not torch.equal(
            pool(x, 2), pool(x.double(), 2)
        )
    raises(NotImplementedError, lambda: F.max_pool1d(torch.arange(4).view(1, 1, 4), 2))
    for dtype in (torch.float16, torch.bfloat16):
        raises(NotImplementedError, lambda: F.avg_pool3d(torch.randn(1, 1, 4, 4, 4).to(dtype), 2))
