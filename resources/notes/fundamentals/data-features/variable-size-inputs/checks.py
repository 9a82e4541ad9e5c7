import math

import numpy as np
import torch
import torchvision
from torch import nn

from note_checks import check, formula, raises, stated

ADAPTIVE = r"""
y_j = \frac{1}{e_j - s_j} \sum_{i = s_j}^{e_j - 1} x_i, \qquad s_j = \left\lfloor \frac{j H}{O} \right\rfloor, \qquad e_j = \left\lceil \frac{(j + 1) H}{O} \right\rceil
"""
PYRAMID = r"D = C \sum_{l} l^2"
MASKED = r"\bar{h} = \frac{\sum_t m_t\,h_t}{\sum_t m_t}"


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
        np.testing.assert_allclose(np.apply_along_axis(pooled, 2, rows, O), nn.AdaptiveAvgPool2d(O)(y).numpy(), atol=1e-12)


@formula(PYRAMID)
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


@check
def check_contract():
    assert nn.AdaptiveAvgPool2d(4)(torch.randn(3, 5, 5)).shape == (3, 4, 4)
    assert nn.AdaptiveAvgPool2d((None, 1))(torch.randn(2, 3, 5, 7)).shape == (2, 3, 5, 1)
    assert nn.AdaptiveAvgPool2d(4)(torch.randn(1, 2, 1, 1)).shape == (1, 2, 4, 4)


@check
def check_errors():
    raises(RuntimeError, lambda: next(iter(torch.utils.data.DataLoader([torch.zeros(3), torch.zeros(4)], batch_size=2))), "stack expects each tensor to be equal size")
    vit = torchvision.models.vit_b_16(weights=None)
    raises(AssertionError, lambda: vit(torch.randn(1, 3, 256, 256)), "Wrong image height! Expected 224 but got 256!")


@check
def check_padding_halves_the_mean():
    x = torch.randn(1, 3, 8, 8)
    wide = nn.functional.pad(x, (0, 8))
    assert torch.allclose(nn.AdaptiveAvgPool2d(1)(wide), nn.AdaptiveAvgPool2d(1)(x) / 2, atol=1e-6)


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


@check
def check_resnet_and_vgg():
    resnet = torchvision.models.resnet18(weights=None).eval()
    seen = []
    resnet.layer4.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[-2:])))
    with torch.no_grad():
        assert all(resnet(torch.randn(1, 3, size, size)).shape == (1, 1000) for size in (32, 160))
    assert seen[0] == (1, 1)
    assert isinstance(torchvision.models.vgg11(weights=None).avgpool, nn.AdaptiveAvgPool2d)
