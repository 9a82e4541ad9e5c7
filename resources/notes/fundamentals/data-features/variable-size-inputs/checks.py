import io
import math

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

ADAPTIVE = r"""
y_j = \frac{1}{e_j - s_j} \sum_{i = s_j}^{e_j - 1} x_i, \qquad s_j = \left\lfloor \frac{j H}{O} \right\rfloor, \qquad e_j = \left\lceil \frac{(j + 1) H}{O} \right\rceil
"""
PYRAMID = r"D = C \sum_{l} l^2"
MASKED = r"\bar{h} = \frac{\sum_t m_t\,h_t}{\sum_t m_t}"

by_definition("Batches")
sourced("torchvision.transforms._presets.ImageClassification (Resize, CenterCrop)", "Resize or crop")
sourced("He et al., SPP-net, arXiv 1406.4729, sections 2.2 and 4", "Pyramid pooling")
sourced("Long et al., arXiv 1411.4038, section 3.1", "Fully convolutional")


def pooled(x, O):
    H = len(x)
    return [x[j * H // O : math.ceil((j + 1) * H / O)].mean() for j in range(O)]


@formula(ADAPTIVE)
def check_adaptive_pooling():
    for H, O in ((7, 3), (8, 4), (5, 7), (10, 1), (13, 6)):
        x = torch.randn(H, dtype=torch.float64)
        np.testing.assert_allclose(pooled(x.numpy(), O), nn.AdaptiveAvgPool1d(O)(x[None])[0].numpy(), atol=1e-12)
        y = torch.randn(2, H, H + 3, dtype=torch.float64)
        rows = np.apply_along_axis(pooled, 1, y.numpy(), O)
        np.testing.assert_allclose(
            np.apply_along_axis(pooled, 2, rows, O), nn.AdaptiveAvgPool2d(O)(y).numpy(), atol=1e-12
        )


@formula(PYRAMID)
@holds("Pyramid pooling")
def check_pyramid():
    for C, levels in ((256, (1, 2, 4)), (3, (1, 3)), (8, (2,))):
        for size in ((9, 14), (30, 7)):
            parts = [nn.AdaptiveMaxPool2d(level)(torch.randn(1, C, *size)).flatten(1) for level in levels]
            assert torch.cat(parts, 1).shape[1] == C * sum(level**2 for level in levels)
    stated("5,376", 256 * (1 + 4 + 16))


@formula(MASKED)
def check_masked_mean():
    parts = [torch.randn(n, 3, dtype=torch.float64) for n in (2, 5, 1)]
    h = nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=7.0).numpy()
    m = (np.arange(5) < np.array([[2], [5], [1]])).astype(float)
    ours = (m[..., None] * h).sum(1) / m.sum(1, keepdims=True)
    np.testing.assert_allclose(ours, torch.stack([part.mean(0) for part in parts]).numpy(), atol=1e-12)


@check
def check_by_hand():
    for text, value in zip(("1", "3", "5"), nn.AdaptiveAvgPool1d(3)(torch.arange(7.0)[None])[0]):
        stated(text, value)
    lengths = [3, 5, 8, 40]
    one = nn.utils.rnn.pad_sequence([torch.ones(n) for n in lengths])
    two = [nn.utils.rnn.pad_sequence([torch.ones(n) for n in part]) for part in (lengths[:2], lengths[2:])]
    stated("160", one.numel())
    stated("56", one.sum())
    stated("65%", 1 - one.sum() / one.numel())
    stated("90", sum(part.numel() for part in two))
    stated("38%", 1 - one.sum() / sum(part.numel() for part in two))


@holds("Cost of padding")
def check_work_on_padding():
    from torch.utils.flop_counter import FlopCounterMode

    layer, counted = nn.Conv1d(2, 3, 3, padding=1), []
    for x in (torch.randn(1, 2, 20), F.pad(torch.randn(1, 2, 5), (0, 15)), torch.randn(1, 2, 5)):
        with FlopCounterMode(display=False) as counter:
            layer(x)
        counted.append(counter.get_total_flops())
    assert counted[0] == counted[1] == 4 * counted[2]


@holds("Resize or crop", "Adaptive or global pooling", "Fully convolutional")
def check_what_each_way_keeps():
    from torchvision.transforms.functional import center_crop, resize

    image = torch.randn(1, 3, 9, 14)
    assert resize(image, (6, 6)).shape == center_crop(image, (6, 6)).shape == (1, 3, 6, 6)  # 14:9 becomes 1:1
    assert torch.equal(center_crop(image, (6, 6)), image[..., 2:8, 4:10])
    x = torch.randn(1, 1, 6, 6, requires_grad=True)
    nn.AdaptiveAvgPool2d(2)(x).sum().backward()
    moved = x.detach().clone()
    moved[..., :3, :3] = moved[..., :3, :3].flip(-1)
    assert (x.grad > 0).all() and torch.allclose(nn.AdaptiveAvgPool2d(2)(moved), nn.AdaptiveAvgPool2d(2)(x), atol=1e-6)
    layer = nn.Conv2d(3, 2, 3, padding=1)
    assert layer(image).shape == (1, 2, 9, 14) and layer(image[..., :7]).shape == (1, 2, 9, 7)


@holds("How does a Transformer handle lengths?")
def check_attention_over_lengths():
    attention, positions = nn.MultiheadAttention(8, 2, batch_first=True), nn.Embedding(10, 8)
    for length in (3, 10):
        x = torch.randn(1, length, 8) + positions(torch.arange(length))
        assert attention(x, x, x)[1].numel() == length**2
    raises(IndexError, lambda: positions(torch.arange(11)))


@holds("`nn.AdaptiveAvgPool2d(O)`", "Parameters", "Global pooling", "Same in train and eval?")
def check_contract():
    x, pool = torch.randn(2, 3, 5, 7), nn.AdaptiveAvgPool2d(2)
    assert not list(pool.parameters()) and torch.equal(pool.train()(x), pool.eval()(x))
    assert torch.allclose(nn.AdaptiveAvgPool2d(1)(x)[..., 0, 0], x.mean((2, 3)), atol=1e-6)
    assert nn.AdaptiveAvgPool2d(4)(torch.randn(3, 5, 5)).shape == (3, 4, 4)
    assert nn.AdaptiveAvgPool2d((None, 1))(torch.randn(2, 3, 5, 7)).shape == (2, 3, 5, 1)
    assert nn.AdaptiveAvgPool2d(4)(torch.randn(1, 2, 1, 1)).shape == (1, 2, 4, 4)


@pitfall('"mat1 and mat2 shapes cannot be multiplied"')
def check_flattening():
    body, small, large = nn.Conv2d(3, 8, 3, padding=1), torch.randn(1, 3, 10, 10), torch.randn(1, 3, 12, 17)
    fixed = nn.Sequential(body, nn.Flatten(), nn.Linear(800, 2))
    assert fixed(small).shape == (1, 2)
    raises(RuntimeError, lambda: fixed(large), "mat1 and mat2 shapes cannot be multiplied")
    for head in (
        [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 2)],
        [nn.Conv2d(8, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()],
    ):
        assert nn.Sequential(body, *head)(small).shape == nn.Sequential(body, *head)(large).shape == (1, 2)
    unchanged = nn.Sequential(body, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(800, 2))
    raises(RuntimeError, lambda: unchanged(large), "mat1 and mat2 shapes cannot be multiplied")
    maps = nn.Sequential(body, nn.Conv2d(8, 2, 1), nn.AdaptiveAvgPool2d(1))(large)  # no Flatten: (1, 2, 1, 1)
    raises(RuntimeError, lambda: F.cross_entropy(maps, torch.tensor([1])), "spatial targets")


@pitfall('"stack expects each tensor to be equal size"')
def check_collation():
    from torchvision.transforms import CenterCrop, RandomCrop, Resize

    images = [torch.randn(3, 6, 8), torch.randn(3, 9, 5)]
    loaded = lambda data, **how: next(iter(torch.utils.data.DataLoader(data, batch_size=2, **how)))
    raises(RuntimeError, lambda: loaded(images), "stack expects each tensor to be equal size")
    raises(
        RuntimeError,
        lambda: loaded([Resize(6)(image) for image in images]),
        "stack expects each tensor to be equal size",
    )
    raises(ValueError, lambda: RandomCrop(7)(images[0]), "larger than input image size")
    for same in (Resize((6, 6)), CenterCrop(5), RandomCrop(7, pad_if_needed=True)):
        assert len(loaded([same(image) for image in images])) == 2

    def padded(rows):
        length = torch.tensor([len(row) for row in rows])
        return nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.arange(max(length)) < length[:, None]

    listed = [[image] for image in images]  # lists in the dataset are not enough
    raises(RuntimeError, lambda: loaded(listed), "stack expects each tensor to be equal size")
    batch, mask = loaded([torch.ones(2), torch.ones(4)], collate_fn=padded)
    assert batch.shape == (2, 4) and torch.equal(batch.bool(), mask)
    detector = torchvision.models.detection.retinanet_resnet50_fpn(
        weights=None, weights_backbone=None, min_size=32, max_size=64
    ).eval()
    with torch.no_grad():
        assert len(detector(loaded(images, collate_fn=list))) == 2


@check
def check_vision_transformer():
    vit = torchvision.models.vit_b_16(weights=None)
    raises(AssertionError, lambda: vit(torch.randn(1, 3, 256, 256)), "Wrong image height! Expected 224 but got 256!")


@pitfall("Padding changes the result")
@holds("Padding and mask")
def check_padding_and_masks():
    x = torch.randn(8, 3, 8, 8)
    wide, mask = nn.functional.pad(x, (0, 8)), (torch.arange(16) < 8).float()
    assert torch.allclose(nn.AdaptiveAvgPool2d(1)(wide), nn.AdaptiveAvgPool2d(1)(x) / 2, atol=1e-6)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
    network = nn.Sequential(*layers)
    network(torch.randn(20, 3, 8, 8) + 1), network.eval()  # statistics that are not 0 and 1
    alone = network(x).mean((2, 3))
    masked_mean = lambda h: (h * mask).sum((2, 3)) / (mask.sum() * h.shape[2])
    assert (masked_mean(network(wide)) - alone).abs().max() > 1e-3  # the mean alone does not suffice
    h = wide
    for layer in layers:
        h = layer(h * mask) if isinstance(layer, nn.Conv2d) else layer(h)
    torch.testing.assert_close(masked_mean(h), alone)
    pooling = [*layers[:3], nn.MaxPool2d(3, 2, 1), *layers[3:]]  # its last window on 7 columns reaches the padding
    odd = torch.randn(32, 3, 8, 7) - 1
    alone, results = nn.Sequential(*pooling)(odd), []
    for masked in (nn.Conv2d, (nn.Conv2d, nn.MaxPool2d)):
        h, length = nn.functional.pad(odd, (0, 9)), 7
        for layer in pooling:
            shown = torch.arange(h.shape[-1]) < length
            h = layer(h * shown) if isinstance(layer, masked) else layer(h)
            length = 4 if isinstance(layer, nn.MaxPool2d) else length
        results.append(h[..., :4])
    assert (results[0] - alone).abs().max() > 1e-4
    torch.testing.assert_close(results[1], alone)
    shown = torch.arange(16) < 7
    for pool, fine in ((nn.MaxPool2d(3, 2, 1), False), (nn.AvgPool2d(3, 2, 1), True), (nn.MaxPool2d(2), True)):
        h = layers[0](odd)  # not passed through ReLU: a masked 0 exceeds negative values
        wanted, padded = pool(h), pool(layers[0](nn.functional.pad(odd, (0, 9))) * shown)
        gap = (padded[..., : wanted.shape[-1]] - wanted).abs().max()
        assert gap < 1e-5 if fine else gap > 0.1
    for normal, fine in (
        (nn.BatchNorm2d(4).eval(), True),
        (nn.BatchNorm2d(4), False),
        (nn.GroupNorm(2, 4).eval(), False),
        (nn.InstanceNorm2d(4).eval(), False),
    ):
        first, whole = layers[0](x), layers[0](wide * mask) * mask
        assert ((normal(whole)[..., :8] - normal(first)).abs().max() < 1e-5) == fine
    attention, words = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.randn(1, 5, 8)
    longer, hidden = nn.functional.pad(words, (0, 0, 0, 3)), torch.arange(8)[None] >= 5
    result = lambda t, **how: attention(t, t, t, need_weights=False, **how)[0][:, :5]
    assert (result(longer) - result(words)).abs().max() > 0.01
    torch.testing.assert_close(result(longer, key_padding_mask=hidden), result(words))


@pitfall("The ONNX export refuses adaptive pooling")
def check_onnx_export():
    """The package onnx is missing here, so the cure is that the translation passes and only the writing of the file fails."""
    x = torch.randn(1, 2, 9, 6)
    exported = lambda O, **how: torch.onnx.export(nn.AdaptiveAvgPool2d(O), (x,), io.BytesIO(), dynamo=False, **how)
    raises(
        torch.onnx.errors.SymbolicValueError,
        lambda: exported(2),
        "adaptive_avg_pool2d, output size that are not factor of input size",
    )
    unknown = dict(input_names=["x"], dynamic_axes={"x": {2: "H", 3: "W"}})
    raises(torch.onnx.errors.SymbolicValueError, lambda: exported(3, **unknown), "adaptive_avg_pool2d")
    for O, how in ((1, {}), (1, unknown), (3, {})):
        try:
            exported(O, **how)
        except torch.onnx.OnnxExporterError as error:
            assert "onnx is not installed" in str(error)


def sized_digits():
    pixels, classes = handwritten_digits()
    x = pixels.view(-1, 1, 8, 8)
    return {8: x, 20: F.interpolate(x, size=20, mode="bilinear")}, classes


def train(network, images, classes, sizes, steps):
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for step in range(steps):
        batch = torch.randperm(1200)[:64]
        optimizer.zero_grad()
        F.cross_entropy(network(images[sizes[step % len(sizes)]][batch]), classes[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        return {size: (network(x[1200:]).argmax(1) == classes[1200:]).float().mean() for size, x in images.items()}


@pitfall("It runs, but accuracy falls")
def check_sizes_of_training():
    images, classes = sized_digits()

    def convolutional():
        torch.manual_seed(0)
        layers = (
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
        )
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10))

    network = convolutional()
    one = train(network, images, classes, (8,), 120)
    tuned = train(network, images, classes, (20,), 60)
    both = train(convolutional(), images, classes, (8, 20), 240)
    assert one[8] > 0.85 and one[20] < one[8] - 0.2, one
    assert tuned[20] > one[20] + 0.2 and tuned[8] < one[8] and min(both.values()) > 0.85, (tuned, both)


@holds("Can one batch hold different sizes?")
def check_batches_without_padding():
    raises(ValueError, lambda: torch.tensor([[1.0, 2.0], [3.0]]))
    parts = [torch.randn(2, 3), torch.randn(4, 3)]
    linear = nn.Linear(3, 2)
    nested = linear(torch.nested.nested_tensor(parts, layout=torch.jagged))
    for ours, part in zip(nested.unbind(), parts):
        torch.testing.assert_close(ours, linear(part))
    assert nn.utils.rnn.pack_sequence(parts, enforce_sorted=False).data.shape == (6, 3)


@check
def check_padded_zeros_leak_from_the_second_layer():
    first, second = nn.Conv1d(1, 1, 3, padding=1), nn.Conv1d(1, 1, 3, padding=1)
    x = torch.randn(1, 1, 8)
    wide = nn.functional.pad(x, (0, 8))
    nn.init.constant_(first.bias, 1.0)
    nn.init.constant_(first.weight, 0.05)
    nn.init.constant_(second.weight, 0.5)
    torch.testing.assert_close(first(wide)[..., :8], first(x))
    changed = (second(first(wide))[..., :8] - second(first(x))).abs()
    assert changed[..., :7].max() < 1e-6 and changed[..., 7] > 0.1
    torch.testing.assert_close(second(first(wide) * (torch.arange(16) < 8))[..., :8], second(first(x)))


@check
def check_batch_norm_counts_the_padding_in_training():
    norm, x = nn.BatchNorm1d(1), torch.randn(2, 1, 8) + 2
    wide = nn.functional.pad(x, (0, 8))
    assert (norm(wide)[..., :8] - norm(x)).abs().max() > 0.1
    torch.testing.assert_close(norm.eval()(wide)[..., :8], norm(x))


@check
def check_repeated_values():
    x = torch.arange(5.0).view(1, 1, 5)
    assert torch.equal(nn.AdaptiveAvgPool1d(15)(x), x.repeat_interleave(3, 2))
    assert len(set(nn.AdaptiveAvgPool1d(7)(x).flatten().tolist())) == 7


@holds("Does global average pooling need a minimum size?")
def check_resnet_and_vgg():
    resnet = torchvision.models.resnet18(weights=None).eval()
    seen = []
    resnet.layer4.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[-2:])))
    with torch.no_grad():
        assert all(resnet(torch.randn(1, 3, size, size)).shape == (1, 1000) for size in (32, 160, 1))
    assert seen[0] == seen[2] == (1, 1)
    raises(ValueError, lambda: resnet.train()(torch.randn(1, 3, 32, 32)), "more than 1 value per channel")
    features = torchvision.models.vgg11(weights=None).features
    with torch.no_grad():
        assert features(torch.randn(1, 3, 32, 32)).shape == (1, 512, 1, 1)
        raises(RuntimeError, lambda: features(torch.randn(1, 3, 31, 31)), "Output size is too small")
    assert isinstance(torchvision.models.vgg11(weights=None).avgpool, nn.AdaptiveAvgPool2d)
