import inspect

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.swin_transformer import PatchMerging, ShiftedWindowAttention

from counting import multiply_adds
from note_checks import check, formula, holds, pitfall, raises, sourced, stated

ATTENTION = r"\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\left( \frac{Q K^\top}{\sqrt{d}} + B \right) V"
BIAS = r"B_{(i, j), (i', j')} = T_{(i - i' + M - 1),\; (j - j' + M - 1)}"
COST = r"""
\Omega(\mathrm{MSA}) = 4hwC^2 + 2(hw)^2 C, \qquad \Omega(\mathrm{W\text{-}MSA}) = 4hwC^2 + 2M^2 hwC
"""


sourced("Swin, arXiv 2103.14030, introduction", "Why shifted windows instead of sliding ones?")
sourced("Swin, arXiv 2103.14030, abstract; ConvNeXt, arXiv 2201.03545, section 4", "Does it win against CNNs?")
sourced("PVT, arXiv 2102.12122, section 3.3", "PVT")


def model(name, **options):
    with torch.device("meta"):
        return getattr(torchvision.models, name)(**options)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@formula(ATTENTION, BIAS)
def check_window_attention():
    for M, heads, C, h, w in [(2, 1, 4, 4, 6), (3, 2, 6, 6, 3), (4, 3, 6, 4, 4)]:
        layer = ShiftedWindowAttention(C, [M, M], [0, 0], heads).double()
        nn.init.normal_(layer.relative_position_bias_table)
        x = torch.randn(1, h, w, C, dtype=torch.float64)
        table = layer.relative_position_bias_table.detach().numpy().reshape(2 * M - 1, 2 * M - 1, heads)
        places = [(i, j) for i in range(M) for j in range(M)]
        bias = np.array([[table[i - a + M - 1, j - b + M - 1] for a, b in places] for i, j in places])
        weight, offset = layer.qkv.weight.detach().numpy(), layer.qkv.bias.detach().numpy()
        out = np.zeros((h, w, C))
        d = C // heads
        for top in range(0, h, M):
            for left in range(0, w, M):
                window = x[0, top : top + M, left : left + M].reshape(M * M, C).numpy()
                q, k, v = np.split(window @ weight.T + offset, 3, -1)
                for head in range(heads):
                    part = slice(head * d, head * d + d)
                    score = q[:, part] @ k[:, part].T / np.sqrt(d) + bias[:, :, head]
                    share = np.exp(score - score.max(1, keepdims=True))
                    mixed = share / share.sum(1, keepdims=True) @ v[:, part]
                    out[top : top + M, left : left + M, part] = mixed.reshape(M, M, d)
        out = out @ layer.proj.weight.detach().numpy().T + layer.proj.bias.detach().numpy()
        np.testing.assert_allclose(out, layer(x)[0].detach().numpy(), atol=1e-10)


@formula(COST)
@holds("Swin", "ViT", "PVT")
def check_cost():
    for M, C, h, w in [(7, 12, 14, 21), (2, 4, 4, 6)]:
        assert (
            multiply_adds(ShiftedWindowAttention(C, [M, M], [0, 0], 2), h, w, C)
            == 4 * h * w * C**2 + 2 * M**2 * h * w * C
        )
        shifted = ShiftedWindowAttention(C, [M, M], [M // 2, M // 2], 2)
        assert multiply_adds(shifted, h, w, C) == 4 * h * w * C**2 + 2 * M**2 * h * w * C
        everything = ShiftedWindowAttention(C, [h, w], [0, 0], 2)
        assert multiply_adds(everything, h, w, C) == 4 * h * w * C**2 + 2 * (h * w) ** 2 * C


@holds("Why shifted windows instead of sliding ones?")
def check_shift_costs_no_multiply_adds():
    plain, shifted = (ShiftedWindowAttention(8, [7, 7], [s, s], 2) for s in (0, 3))
    assert multiply_adds(plain, 28, 21, 8) == multiply_adds(shifted, 28, 21, 8)


@holds("Swin", "ViT", "ConvNeXt")
def check_sizes_of_the_maps():
    x = torch.zeros(1, 3, 224, 224, device="meta")
    for name, last in (("swin_t", False), ("convnext_tiny", True)):
        sides, h = [], x
        for stage in model(name).eval().features:
            h = stage(h)
            sides.append(h.shape[-1] if last else h.shape[1])
        assert sorted(set(sides), reverse=True) == [56, 28, 14, 7]
    kernels = {
        (m.kernel_size, m.groups > 1) for m in model("convnext_tiny").features.modules() if isinstance(m, nn.Conv2d)
    }
    assert kernels == {((7, 7), True), ((4, 4), False), ((2, 2), False)}
    vit, tokens = model("vit_b_16").eval(), set()
    for layer in vit.encoder.layers:
        layer.register_forward_hook(lambda m, i, out: tokens.add(out.shape[1]))
    vit(x)
    assert tokens == {197}


@holds("Why a relative bias?")
def check_one_table_for_all_windows():
    layer = ShiftedWindowAttention(4, [3, 3], [0, 0], 2)
    nn.init.normal_(layer.relative_position_bias_table)
    bias = layer.get_relative_position_bias()[0]
    for shift in ((0, 1, 3, 4), (1, 2, 4, 5), (4, 5, 7, 8)):  # pairs of tokens with the same offsets
        assert torch.equal(bias[:, 0, torch.tensor([1, 3, 4])], bias[:, shift[0], torch.tensor(shift[1:])])
    for size in (3, 6, 12):
        assert layer(torch.randn(1, size, size, 4)).shape == (1, size, size, 4)


@holds("Parameters", "Cost", "Defaults")
def check_numbers():
    for name, text in [("swin_t", "28,288,354"), ("swin_s", "49,606,258"), ("swin_b", "87,768,224")]:
        stated(text, parameters(model(name)))
    net = model("swin_t")
    stated("4,490,566,656", multiply_adds(net, 3, 224, 224))
    assert inspect.signature(torchvision.models.swin_t).parameters["weights"].default is None
    stated("115,605,504", 4 * 3136 * 96**2)
    stated("1,888,223,232", 2 * 3136**2 * 96)
    stated("29,503,488", 2 * 49 * 3136 * 96)
    stated("64", (2 * 3136**2 * 96) / (2 * 49 * 3136 * 96))
    assert (56 // 7) ** 2 == 64
    attention = net.features[1][0].attn
    stated("507", attention.relative_position_bias_table.numel())
    assert attention.relative_position_bias_table.shape == (169, 3) and attention.window_size == [7, 7]
    assert attention.shift_size == [0, 0] and net.features[1][1].attn.shift_size == [3, 3]
    assert net.features[0][0].kernel_size == (4, 4) and net.features[1][0].mlp[0].out_features == 4 * 96
    assert net.features[-1][-1].stochastic_depth.p == 0.2
    assert [stage[0].norm1.normalized_shape[0] for stage in list(net.features)[1::2]] == [96, 192, 384, 768]


@holds("Input → output")
@pitfall('"x size (7*7) are not even" at another image size')
def check_patch_merging_and_sizes():
    """Microsoft's assert is not installed: here the odd map that it meets, the sizes without one, and torchvision's padding."""
    layer = PatchMerging(6)
    assert layer(torch.randn(2, 8, 10, 6)).shape == (2, 4, 5, 12) and layer(torch.randn(2, 7, 9, 6)).shape == (
        2,
        4,
        5,
        12,
    )
    net = model("swin_t")
    assert net.eval()(torch.zeros(2, 3, 200, 301, device="meta")).shape == (2, 1000)
    assert 112 // 4 // 2 // 2 == 7 and net(torch.zeros(1, 3, 112, 112, device="meta")).shape == (1, 1000)
    raises(RuntimeError, lambda: torch.cat([torch.zeros(7, 7)[0::2], torch.zeros(7, 7)[1::2]], 1))
    for size in range(32, 1400, 32):
        maps = [size // stride for stride in (4, 8, 16, 32)]
        assert all(side % 2 == 0 for side in maps[:3])
        assert all(side % 7 == 0 or side < 7 for side in maps) == (size % 224 == 0)
    x = torch.randn(1, 3, 32, 35, requires_grad=True)
    (gradient,) = torch.autograd.grad(torchvision.models.swin_t(num_classes=2).eval()(x).sum(), x)
    assert (gradient.abs().sum((0, 1, 2)) == 0).nonzero().flatten().tolist() == [32, 33, 34]  # beyond a multiple of 4
    four_by_four = torch.zeros(1, 3, 224, 224, device="meta")
    assert net.features(four_by_four).shape == (1, 7, 7, 768)


@pitfall("Feature maps have the wrong axis order")
def check_channels_last():
    net, neck = model("swin_t"), nn.Conv2d(768, 256, 1, device="meta")
    h = net.features(torch.zeros(2, 3, 224, 192, device="meta"))
    assert h.shape == (2, 7, 6, 768)
    raises(RuntimeError, lambda: neck(h), "channel")
    assert neck(h.permute(0, 3, 1, 2)).shape == (2, 256, 7, 6)


@pitfall("Pretrained weights do not load after changing the window size")
def check_window_size_is_fixed_by_the_table():
    small, large = ShiftedWindowAttention(4, [3, 3], [0, 0], 2), ShiftedWindowAttention(4, [4, 4], [0, 0], 2)
    assert small.relative_position_bias_table.shape[0] == 25 and large.relative_position_bias_table.shape[0] == 49
    raises(RuntimeError, lambda: large.load_state_dict(small.state_dict()), "size mismatch")
    weights = small.state_dict()
    grid = weights["relative_position_bias_table"].T.view(1, 2, 5, 5)
    resized = torch.nn.functional.interpolate(grid, size=(7, 7), mode="bicubic", align_corners=True)
    weights["relative_position_bias_table"] = resized.view(2, 49).T
    raises(RuntimeError, lambda: large.load_state_dict(weights), "relative_position_index")
    del weights["relative_position_index"]
    raises(RuntimeError, lambda: large.load_state_dict(weights), "Missing key(s)")
    assert large.load_state_dict(weights, strict=False).missing_keys == ["relative_position_index"]
    assert large(torch.randn(1, 8, 8, 4)).shape == (1, 8, 8, 4) and small(torch.randn(1, 12, 9, 4)).shape == (
        1,
        12,
        9,
        4,
    )
    ShiftedWindowAttention(4, [3, 3], [0, 0], 2).load_state_dict(small.state_dict())


@pitfall('Writing it without the mask "also trains"')
def check_mask_separates_opposite_borders():
    layer = ShiftedWindowAttention(4, [4, 4], [2, 2], 2).double()
    x = torch.randn(1, 8, 8, 4, dtype=torch.float64, requires_grad=True)
    plain = ShiftedWindowAttention(4, [4, 4], [0, 0], 2).double()
    plain.load_state_dict(layer.state_dict())
    unmasked = plain(x.roll((-2, -2), (1, 2))).roll((2, 2), (1, 2))
    (gradient,) = torch.autograd.grad(unmasked[0, 0, 0].sum(), x)
    assert gradient[0].abs().sum(-1)[6:, 6:].min() > 1e-6
    torch.testing.assert_close(unmasked[0, 2:6, 2:6], layer(x)[0, 2:6, 2:6])
    (gradient,) = torch.autograd.grad(layer(x)[0, 0, 0].sum(), x)
    influence = gradient[0].abs().sum(-1)
    assert (influence[:2, :2] > 1e-6).all() and influence[6:].max() < 1e-30 and influence[:, 6:].max() < 1e-30


@holds("How many blocks until all see all?")
def check_blocks_until_all_see_all():
    for size, shifts, everywhere in ((14, [0, 3], False), (14, [3, 0], False), (14, [0, 3, 0], True), (7, [0], True)):
        x = h = torch.randn(1, size, size, 4, requires_grad=True)
        for shift in shifts:
            h = h + ShiftedWindowAttention(4, [7, 7], [shift, shift], 2)(h)
        reach = [
            (torch.autograd.grad(h[0, i, j].sum(), x, retain_graph=True)[0].abs().sum(-1) > 0).sum()
            for i in range(size)
            for j in range(size)
        ]
        assert (int(min(reach)) == size * size) == everywhere


@check
def check_one_window_is_not_shifted():
    plain, shifted = ShiftedWindowAttention(4, [7, 7], [0, 0], 2), ShiftedWindowAttention(4, [7, 7], [3, 3], 2)
    shifted.load_state_dict(plain.state_dict())
    for size, same in ((7, True), (14, False)):
        x = torch.randn(1, size, size, 4)
        assert torch.allclose(plain(x), shifted(x), atol=1e-6) == same


@holds("Same in train and eval?", "dtype", "Input → output")
def check_stochastic_depth_differs_in_train_mode():
    net = torchvision.models.swin_t(num_classes=3)
    x = torch.randn(2, 3, 32, 32)
    raises(RuntimeError, lambda: net(x[0]))
    for dtype in (torch.int64, torch.float64):
        raises(RuntimeError, lambda: net(x.to(dtype)))
    with torch.no_grad():
        assert torch.equal(net.eval()(x), net(x)) and not torch.equal(net.train()(x), net(x))
