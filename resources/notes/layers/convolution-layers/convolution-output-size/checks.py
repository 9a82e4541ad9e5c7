import math
from collections import Counter

import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, quietly, raises, stated

FORWARD = r"n_{\mathrm{out}} = \left\lfloor \frac{n + 2p - d(k-1) - 1}{s} \right\rfloor + 1"
TRANSPOSED = r"n_{\mathrm{out}} = (n-1)\,s - 2p + d(k-1) + q + 1"
KEEP = r"p = \frac{d(k-1)}{2}"


def size(n, k, s=1, p=0, d=1):
    return math.floor((n + 2 * p - d * (k - 1) - 1) / s) + 1


@formula(FORWARD)
@holds("Valid for")
def check_forward():
    checked = 0
    for n in range(1, 14):
        for k in range(1, 6):
            for s in range(1, 5):
                for p in range(4):
                    for d in range(1, 4):
                        x, w = torch.zeros(1, 1, n), torch.zeros(1, 1, k)
                        if n + 2 * p < d * (k - 1) + 1:
                            try:
                                F.conv1d(x, w, stride=s, padding=p, dilation=d)
                            except RuntimeError as error:
                                assert "Kernel size can't be greater than actual input size" in str(error)
                                continue
                            raise AssertionError("expected an error")
                        assert F.conv1d(x, w, stride=s, padding=p, dilation=d).shape[-1] == size(n, k, s, p, d)
                        if p <= (d * (k - 1) + 1) // 2 and p <= k // 2:
                            assert F.max_pool1d(x, k, s, p, d).shape[-1] == size(n, k, s, p, d)
                            if d == 1:
                                assert F.avg_pool1d(x, k, s, p).shape[-1] == size(n, k, s, p)
                        windows = F.unfold(x.view(1, 1, 1, n), (1, k), (1, d), (0, p), (1, s)).shape[-1]
                        assert windows == size(n, k, s, p, d)
                        checked += 1
    assert checked > 1000
    for axes, family in enumerate(
        (
            (nn.Conv1d, nn.MaxPool1d, nn.AvgPool1d),
            (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d),
            (nn.Conv3d, nn.MaxPool3d, nn.AvgPool3d),
        ),
        1,
    ):
        x = torch.zeros(1, 2, *[9, 12, 7][:axes])
        expected = [size(n, 3, 2, 1) for n in x.shape[2:]]
        for layer in (family[0](2, 2, 3, 2, 1), family[1](3, 2, 1), family[2](3, 2, 1)):
            assert list(layer(x).shape[2:]) == expected
            assert layer.double()(x.double()).shape[2:] == layer(x.double()).shape[2:]
    windows = nn.Unfold(3, dilation=2, padding=1, stride=2)(torch.zeros(1, 2, 9, 12)).shape[-1]
    assert windows == size(9, 3, 2, 1, 2) * size(12, 3, 2, 1, 2)


@formula(TRANSPOSED)
def check_transposed():
    for n in (1, 4, 7):
        for k in (1, 2, 3, 4):
            for s in (1, 2, 3):
                for p in (0, 1):
                    for d in (1, 2):
                        for q in range(max(s, d)):
                            expected = (n - 1) * s - 2 * p + d * (k - 1) + q + 1
                            if expected < 1:
                                continue
                            y = F.conv_transpose1d(
                                torch.zeros(1, 1, n),
                                torch.zeros(1, 1, k),
                                stride=s,
                                padding=p,
                                dilation=d,
                                output_padding=q,
                            )
                            assert y.shape[-1] == expected
                            if q < s:
                                assert size(expected, k, s, p, d) == n


@formula(KEEP)
def check_keep():
    for k in (1, 3, 5, 7):
        for d in (1, 2, 3):
            p = d * (k - 1) // 2
            x, w = torch.randn(1, 1, 30), torch.randn(1, 1, k)
            assert F.conv1d(x, w, padding=p, dilation=d).shape[-1] == 30
            assert torch.equal(F.conv1d(x, w, padding=p, dilation=d), F.conv1d(x, w, padding="same", dilation=d))
            assert F.conv1d(x, w, padding=p + 1, dilation=d).shape[-1] == 32


@check
def check_worked_example():
    x = torch.zeros(1, 1, 224, 224)
    stem = F.conv2d(x, torch.zeros(1, 1, 7, 7), stride=2, padding=3)
    stated("112", stem.shape[-1])
    stated("56", F.max_pool2d(stem, 3, 2, 1).shape[-1])
    stated("14", F.conv_transpose1d(torch.zeros(1, 1, 7), torch.zeros(1, 1, 4), stride=2, padding=1).shape[-1])
    assert (size(7, 3, 1), size(7, 3, 2), size(8, 3, 2)) == (5, 3, 3)


@pitfall("The formula gives 112.5")
def check_the_form_without_floor_and_dilation():
    widespread = lambda n, k, s, p: (n + 2 * p - k) / s + 1
    stated("112.5", widespread(224, 7, 2, 3))
    stem = nn.Conv2d(1, 1, 7, stride=2, padding=3)(torch.zeros(1, 1, 224, 224))
    assert stem.shape[-1] == math.floor((224 + 6 - 7) / 2) + 1 == 112
    dilated = nn.Conv2d(1, 1, 3, dilation=2)(torch.zeros(1, 1, 224, 224)).shape[-1]
    assert widespread(224, 3, 1, 0) - dilated == 2 and widespread(224, 2 * (3 - 1) + 1, 1, 0) == dilated


@holds("Input → output", "Defaults", "Not involved", "Same in train and eval?")
def check_contract():
    assert nn.Conv2d(1, 1, 3).stride == (1, 1) and nn.MaxPool2d(3).stride == 3 and nn.AvgPool2d(3).stride == 3
    assert nn.Conv2d(1, 2, 3)(torch.randn(1, 9, 7)).shape == (2, 7, 5)
    assert not hasattr(nn.AvgPool2d(3), "dilation")
    assert nn.MaxPool2d(2)(torch.zeros(1, 9, 4, 4)).shape[1] == 9
    for layer in (nn.Conv2d(1, 1, 3), nn.MaxPool2d(3)):
        assert layer.padding in (0, (0, 0)) and layer.dilation in (1, (1, 1))
    assert nn.AvgPool2d(3).padding == 0
    for layer, channels in ((nn.Conv2d(3, 5, 3, 2), 5), (nn.MaxPool2d(2), 3), (nn.AvgPool2d(2), 3)):
        for batch in (1, 4):
            x = torch.randn(batch, 3, 9, 7)
            before = layer.train()(x)
            assert torch.equal(layer.eval()(x), before) and before.shape[:2] == (batch, channels)
            for parameter in layer.parameters():
                nn.init.normal_(parameter, std=9.0)
            assert layer(x).shape == before.shape
    for axes, kind in ((1, nn.Conv1d), (3, nn.Conv3d)):
        assert kind(1, 2, 3)(torch.zeros(4, 1, *[9, 7, 8][:axes])).shape == (4, 2, *[7, 5, 6][:axes])


@holds("keep the size", "halve", "no padding", "patches, as in ViT-B/16", "double, transposed")
def check_recipes():
    for text, arguments in [
        ("224", (3, 1, 1, 1)),
        ("224", (3, 1, 2, 2)),
        ("112", (3, 2, 1, 1)),
        ("112", (2, 2, 0, 1)),
        ("222", (3, 1, 0, 1)),
        ("14", (16, 16, 0, 1)),
    ]:
        k, s, p, d = arguments
        stated(text, F.conv1d(torch.zeros(1, 1, 224), torch.zeros(1, 1, k), stride=s, padding=p, dilation=d).shape[-1])
    stated("448", F.conv_transpose1d(torch.zeros(1, 1, 224), torch.zeros(1, 1, 4), stride=2, padding=1).shape[-1])


@pitfall('"Sizes of tensors must match except in dimension 1"')
def check_odd_sizes():
    x = torch.zeros(1, 1, 222, 222)
    down = [x]
    for _ in range(2):
        down.append(F.max_pool2d(down[-1], 2))
    assert [level.shape[-1] for level in down] == [222, 111, 55] and size(111, 3, 2, 1) == 56
    up = F.conv_transpose2d(down[-1], torch.zeros(1, 1, 2, 2), stride=2)
    assert up.shape[-1] == 110
    raises(RuntimeError, lambda: torch.cat([up, down[1]], 1), "Sizes of tensors must match except in dimension 1")
    assert torch.cat([F.interpolate(up, size=down[1].shape[-2:]), down[1]], 1).shape == (1, 2, 111, 111)
    skip = F.max_pool2d(F.pad(x, (0, 2, 0, 2)), 2)
    up = F.conv_transpose2d(F.max_pool2d(skip, 2), torch.zeros(1, 1, 2, 2), stride=2)
    assert torch.cat([up, skip], 1).shape == (1, 2, 112, 112)
    logits = F.interpolate(torch.cat([up, skip], 1), scale_factor=2)  # the padded output no longer fits the target
    target = torch.zeros(1, 222, 222, dtype=torch.int64)
    raises(RuntimeError, lambda: F.cross_entropy(logits, target), "size mismatch")
    assert F.cross_entropy(logits[..., :222, :222], target) > 0
    for padding, fits in ((1, True), (0, False)):  # 3×3 convolutions in a U-Net with two halvings, 224 = 56 · 4
        shrink = 0 if padding else 4  # two convolutions a level
        skips = [224 - shrink, (224 - shrink) // 2 - shrink]
        bottom = F.max_pool2d(torch.zeros(1, 1, skips[1], skips[1]), 2)
        for _ in range(2):
            bottom = F.conv2d(bottom, torch.zeros(1, 1, 3, 3), padding=padding)
        up, skip = F.interpolate(bottom, scale_factor=2), torch.zeros(1, 1, skips[1], skips[1])
        assert (up.shape == skip.shape) is fits
        assert torch.cat([F.interpolate(up, size=skip.shape[-2:]), skip], 1).shape[1] == 2


@pitfall("\"padding='same' is not supported for strided convolutions\"")
def check_same_and_stride():
    try:
        nn.Conv2d(3, 4, 3, stride=2, padding="same")
    except ValueError as error:
        assert str(error) == "padding='same' is not supported for strided convolutions"
    else:
        raise AssertionError("expected an error")
    for n in range(7, 30):
        for k in (1, 3, 5, 7):
            for s in (1, 2, 3):
                assert size(n, k, s, k // 2) == math.ceil(n / s)
                # TensorFlow's documented rule: the least total that gives ceil(n/s), the odd cell at the end.
                total = max((math.ceil(n / s) - 1) * s + k - n, 0)
                padded = F.pad(torch.zeros(1, 1, n), (total // 2, total - total // 2))
                assert F.conv1d(padded, torch.zeros(1, 1, k), stride=s).shape[-1] == math.ceil(n / s)
    x, w = torch.randn(1, 1, 8), torch.randn(1, 1, 3)
    tensorflow = F.conv1d(F.pad(x, (0, 1)), w, stride=2)
    assert tensorflow.shape[-1] == 4 and not torch.allclose(tensorflow, F.conv1d(x, w, stride=2, padding=1), atol=1e-3)
    even = F.conv1d(x, torch.ones(1, 1, 4), padding="same")
    assert even.shape[-1] == 8 and torch.allclose(even, F.conv1d(F.pad(x, (1, 2)), torch.ones(1, 1, 4)), atol=1e-6)


@pitfall('"Kernel size can\'t be greater than actual input size"')
def check_adaptive_pooling_in_front_of_the_kernel():
    x, large = torch.zeros(1, 1, 4, 4), nn.Conv2d(1, 1, 7)
    raises(
        RuntimeError,
        lambda: nn.Sequential(large, nn.AdaptiveAvgPool2d(1))(x),
        "Kernel size can't be greater than actual input size",
    )
    for n in (1, 4, 6, 7, 12):
        assert nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Conv2d(3, 5, 7))(torch.zeros(2, 3, n, n)).shape == (2, 5, 1, 1)
    net = lambda stride, last=nn.Conv2d(1, 1, 3): nn.Sequential(
        nn.Conv2d(1, 1, 3, stride, 1), nn.Conv2d(1, 1, 3, stride, 1), last
    )
    small, large = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 12, 12)
    raises(RuntimeError, lambda: net(2)(small), "Kernel size can't be greater than actual input size")
    raises(
        RuntimeError,
        lambda: net(1)(F.interpolate(large, size=2)),
        "Kernel size can't be greater than actual input size",
    )
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Conv2d(1, 1, 3))
    for cured in (lambda: net(2)(large), lambda: net(1)(small), lambda: net(2, pooled)(small)):
        assert cured().numel() > 0
    not_last = nn.Sequential(pooled, nn.Conv2d(1, 1, 3))  # one cell is left for the next kernel
    raises(RuntimeError, lambda: net(2, not_last)(small), "Kernel size can't be greater than actual input size")


@check
def check_ceil_mode():
    dropped = 0
    for n in range(2, 14):
        for k in (2, 3, 4):
            for s in (1, 2, 3, 4):
                for p in range(k // 2 + 1):
                    if n + 2 * p < k:
                        continue
                    up = math.ceil((n + 2 * p - k) / s) + 1
                    if (up - 1) * s >= n + p:
                        up, dropped = up - 1, dropped + 1
                    assert F.max_pool1d(torch.zeros(1, 1, n), k, s, p, ceil_mode=True).shape[-1] == up
    assert dropped > 0


@holds("How many input sizes give the same output?")
def check_sizes_with_the_same_output():
    for k, s, p in [(7, 2, 3), (3, 3, 1), (5, 4, 0)]:
        found = [n for n in range(20, 400) if size(n, k, s, p) == size(223, k, s, p)]
        assert len(found) == s
    for k in range(1, 6):
        for s in range(1, 5):
            for p in range(4):
                count = Counter(size(n, k, s, p) for n in range(max(1, k - 2 * p), 60))
                assert all(count[out] == s for out in sorted(count)[1:-1]) and count[min(count)] <= s
    for n, q in ((223, 0), (224, 1)):
        x, w = torch.zeros(1, 1, 112, 112), torch.zeros(1, 1, 7, 7)
        y = F.conv_transpose2d(x, w, stride=2, padding=3, output_padding=q)
        assert y.shape[-1] == n
    assert size(223, 7, 2, 3) == size(224, 7, 2, 3) == 112 and size(225, 7, 2, 3) == 113 and size(222, 7, 2, 3) == 111


@holds("Which padding gives a wanted size?")
def check_padding_for_a_wanted_size():
    assert size(13, 3, 2, 1) == 7
    odd = 0
    for n in range(6, 20):
        for k in (2, 3, 5):
            for d in (1, 2):
                for s in (1, 2, 3):
                    for wanted in range(3, 20):
                        total = (wanted - 1) * s + d * (k - 1) + 1 - n
                        if total <= -s:
                            assert size(n, k, s, 0, d) > wanted if n >= d * (k - 1) + 1 else True
                            continue
                        found = size(n, k, s, max(0, math.ceil(total / 2)), d)
                        odd += total % 2
                        assert found == wanted + (1 if s == 1 and total % 2 else 0)
    assert odd > 50


@holds("Can an even kernel keep the size?")
def check_even_kernels():
    x = torch.randn(1, 1, 12)
    for k in (2, 4, 6):
        w = torch.randn(1, 1, k)
        assert all(F.conv1d(x, w, padding=p).shape[-1] != 12 for p in range(k + 1))
        left, right = (k - 1) // 2, k // 2
        same = quietly(lambda: F.conv1d(x, w, padding="same"))
        assert same.shape[-1] == 12 and torch.allclose(same, F.conv1d(F.pad(x, (left, right)), w), atol=1e-5)


@holds("Does the formula hold for a whole network?")
def check_layer_by_layer():
    stack = [(7, 2, 3), (3, 2, 1), (3, 1, 0), (5, 3, 2)]
    n = 224
    with torch.device("meta"):
        y = nn.Sequential(*(nn.Conv2d(1, 1, k, s, p) for k, s, p in stack))(torch.empty(1, 1, 224, 224))
    for k, s, p in stack:
        n = size(n, k, s, p)
    assert y.shape[2:] == (n, n)
