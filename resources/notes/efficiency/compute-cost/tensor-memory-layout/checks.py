import math

import numpy as np
import torch
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

OFFSET = r"\text{offset} = n\,s_N + c\,s_C + h\,s_H + w\,s_W"
STRIDES = r"\text{NCHW: } (s_N, s_C, s_H, s_W) = (CHW,\; HW,\; W,\; 1), \qquad \text{NHWC: } (CHW,\; 1,\; WC,\; C)"
BLOCKED = r"\text{offset}_4 = 4 \left( \Big( \big( n \lceil C/4 \rceil + \lfloor c/4 \rfloor \big) H + h \Big) W + w \right) + (c \bmod 4)"
LAST = torch.channels_last
SHAPES = ((2, 3, 4, 5), (3, 8, 2, 7), (2, 5, 3, 2))

by_definition("Same in train and eval?", "NCHW", "NHWC", "NC4HW4", "HWC, `uint8`")
sourced("Keras, image_data_format (channels_last unless changed); tf.nn.conv2d, data_format=NHWC", "NHWC")
sourced("MNN, arXiv 2002.12418: NC4HW4; MNN's guide to custom operators: C4NHW4 on Metal and CPU", "NC4HW4")
sourced("Pillow and OpenCV documentation: arrays of rows, columns, channels in uint8", "HWC, `uint8`")


def memory(x):
    """The elements of x in the order in which they lie in memory."""
    return torch.as_strided(x, (x.numel(),), (1,)).numpy()


@holds("`x.to(memory_format=torch.channels_last)`", "`x.permute(0, 2, 3, 1)`", "`x.contiguous()`")
@holds("Default of new tensors", "Cost")
def check_conversions():
    for dtype in (torch.float32, torch.int64, torch.uint8, torch.bool):
        x = torch.randn(2, 3, 4, 5).to(dtype)
        last, view = x.to(memory_format=LAST), x.permute(0, 2, 3, 1)
        assert x.is_contiguous() and x.stride(-1) == 1 and x.stride() == (60, 20, 5, 1)
        assert torch.equal(last, x) and last.stride() == (60, 1, 15, 3) and last.data_ptr() != x.data_ptr()
        assert last.to(memory_format=LAST).data_ptr() == last.data_ptr() and x.contiguous().data_ptr() == x.data_ptr()
        assert view.shape == (2, 4, 5, 3) and view.data_ptr() == x.data_ptr()
        back = last.contiguous()
        assert back.stride() == x.stride() and back.data_ptr() != last.data_ptr()
        assert last.clone().stride() == torch.zeros_like(last).stride() == last.stride()
        assert last.untyped_storage().nbytes() == x.numel() * x.element_size()


@holds("Does channels last change results?")
def check_results_in_both_layouts():
    conv, x = nn.Conv2d(64, 32, 3), torch.randn(4, 64, 20, 20)
    with torch.no_grad():
        first, last = conv(x), conv.to(memory_format=LAST)(x.to(memory_format=LAST))
    assert last.is_contiguous(memory_format=LAST) and torch.allclose(first, last, atol=1e-4)
    numbers = torch.randn(10_000)  # the order of adding changes the last digits
    sums = {numbers[torch.randperm(10_000)].sum().item() for _ in range(30)}
    assert len(sums) > 1 and max(sums) - min(sums) < 0.05


@holds("When does `view` fail and `reshape` work?")
def check_view_and_reshape():
    x = torch.arange(24.0).view(2, 3, 4)
    moved = x.permute(0, 2, 1)
    raises(RuntimeError, lambda: moved.view(-1), "view size is not compatible")
    copied = moved.reshape(-1)
    copied.zero_()
    assert x.sum() == 276
    x.reshape(-1)[:] = 0  # where strides suffice, reshape is a view
    assert x.sum() == 0


@holds("Why is `permute` free?")
def check_permute_moves_nothing():
    x = torch.randn(2, 3, 4, 5)
    view = x.permute(0, 2, 3, 1)
    order = (0, 2, 3, 1)
    assert view.shape == tuple(x.shape[k] for k in order) and view.stride() == tuple(x.stride()[k] for k in order)
    assert view.data_ptr() == x.data_ptr() != view.contiguous().data_ptr()


@formula(OFFSET, STRIDES)
def check_strides_and_offsets():
    for N, C, H, W in SHAPES:
        x = torch.randn(N, C, H, W)
        for tensor, strides in ((x, (C * H * W, H * W, W, 1)), (x.to(memory_format=LAST), (C * H * W, 1, W * C, C))):
            assert tensor.stride() == strides and tensor.shape == x.shape
            line = memory(tensor)
            for index in np.ndindex(N, C, H, W):
                assert line[sum(i * s for i, s in zip(index, strides))] == x[index]


# verified: formula-only (PyTorch has no NC4HW4; the reference pads, splits and permutes)
def blocked(x):
    N, C, H, W = x.shape
    padded = torch.cat([x, x.new_zeros(N, -C % 4, H, W)], 1)
    return padded.view(N, -1, 4, H, W).permute(0, 1, 3, 4, 2).contiguous()


@formula(BLOCKED)
def check_blocked_layout():
    for N, C, H, W in SHAPES:
        x = torch.randn(N, C, H, W)
        line = blocked(x).flatten().numpy()
        for n, c, h, w in np.ndindex(N, C, H, W):
            assert line[4 * (((n * math.ceil(C / 4) + c // 4) * H + h) * W + w) + c % 4] == x[n, c, h, w]
        same = [torch.equal(blocked(b).flatten(), blocked(b).movedim(1, 0).flatten()) for b in (x[:1], x)]
        assert same == [True, C <= 4 or N == 1]  # the block axis before N: C4NHW4


@check
def check_when_four_strides_suffice():
    """Four channels or one pixel: plain strides; otherwise the steps along the channel axis differ."""
    for N, C, H, W in ((2, 3, 4, 5), (2, 6, 1, 1), (2, 6, 3, 2)):
        x = torch.arange(1.0, 1 + N * C * H * W).view(N, C, H, W)
        line = blocked(x).flatten().tolist()
        steps = np.diff([line.index(x[0, c, 0, 0].item()) for c in range(C)])
        assert (len(set(steps.tolist())) == 1) == (C <= 4 or H * W == 1)


@check
def check_by_hand():
    x = torch.arange(120.0).view(2, 3, 4, 5)
    for text, line in (
        ("103", memory(x)),
        ("71", memory(x.to(memory_format=LAST))),
        ("94", blocked(x + 1).flatten().numpy() - 1),
    ):
        stated(text, int(np.flatnonzero(line == float(x[1, 2, 0, 3]))[0]))
    stated("160", blocked(x).numel())
    stated("120", x.numel())


@pitfall("The image becomes coloured noise")
def check_permute_and_reshape():
    a = np.full((4, 6, 3), (200, 20, 90), dtype=np.uint8)  # one colour everywhere, as PIL and OpenCV give it
    for wrong in (torch.from_numpy(a).reshape(3, 4, 6), torch.from_numpy(a).view(3, 4, 6)):
        assert len(torch.unique(wrong.flatten(1).T, dim=0)) > 1
    right = torch.from_numpy(a).permute(2, 0, 1)
    assert torch.unique(right.flatten(1).T, dim=0).tolist() == [[200, 20, 90]]
    x = torch.randn(1, 3, 4, 5)
    view, copy = x.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1).reshape(-1)
    assert view.data_ptr() == x.data_ptr() and copy.data_ptr() != x.data_ptr()


@pitfall('"expected input[1, 224, 224, 3] to have 3 channels, but got 224 channels instead"')
def check_wrong_shape():
    x, conv = torch.randn(1, 224, 224, 3), nn.Conv2d(3, 8, 3)
    message = "expected input[1, 224, 224, 3] to have 3 channels, but got 224 channels instead"
    for shaped in (conv, nn.Conv2d(3, 8, 3).to(memory_format=LAST)):
        raises(RuntimeError, lambda: shaped(x), message)
    mended = x.permute(0, 3, 1, 2)
    assert mended.is_contiguous(memory_format=LAST) and mended.data_ptr() == x.data_ptr()
    assert torch.allclose(conv(mended), conv(mended.contiguous()), atol=1e-5)
    view = torch.randn(1, 3, 8, 8).permute(0, 2, 3, 1)  # not contiguous: NCHW strides come back
    assert not view.permute(0, 3, 1, 2).is_contiguous(memory_format=LAST)


@pitfall("Channels last disappears on the way")
def check_contiguous_and_first_operand():
    x = torch.randn(2, 3, 4, 5)
    c = x.to(memory_format=LAST)
    assert c.contiguous().stride() == x.stride() and c.contiguous(memory_format=LAST).data_ptr() == c.data_ptr()
    assert (c * x).is_contiguous(memory_format=LAST) and (x * c).is_contiguous()
    assert c.clone().stride() == torch.zeros_like(c).stride() == c.stride() and torch.zeros(c.shape).is_contiguous()
    a, b = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
    b.load_state_dict(a.state_dict())
    assert torch.allclose(a(x), b.to(memory_format=LAST)(c), atol=1e-5)
    for model, given, kept in ((a, x, False), (b, c, True)):
        blocks = nn.Sequential(model, nn.BatchNorm2d(8), nn.ReLU())
        assert all(blocks[:k](given).is_contiguous(memory_format=LAST) is kept for k in (1, 2, 3))


@check
def check_other_ranks():
    volume = torch.randn(2, 3, 4, 5, 6)
    assert volume.to(memory_format=torch.channels_last_3d).stride() == (360, 1, 90, 18, 3)
    for other in (volume, volume[0, 0]):
        raises(RuntimeError, lambda: other.to(memory_format=LAST), "rank 4")


@pitfall("Strides look wrong for a batch of one")
def check_size_one_axes():
    t = torch.rand(1, 3, 32, 32).to(memory_format=LAST)
    stated("3", t[0].unsqueeze(0).stride(0))
    stated("3,072", t.stride(0))
    odd, conv = t[0].unsqueeze(0), nn.Conv2d(3, 8, 3)
    assert odd.is_contiguous(memory_format=LAST) and conv(odd).is_contiguous()
    for mended in (t[:1], odd.to(memory_format=LAST)):
        assert conv(mended).is_contiguous(memory_format=LAST) and not conv(mended).is_contiguous()
    for shape in ((4, 1, 5, 5), (4, 6, 1, 1)):
        y = torch.randn(shape)
        assert y.is_contiguous() and y.is_contiguous(memory_format=LAST)
    assert not torch.randn(4, 6, 5, 5).is_contiguous(memory_format=LAST)


@pitfall("A ported dense layer gives wrong results")
def check_flatten_order():
    x, dense = torch.randn(2, 3, 4, 5), torch.randn(7, 60)
    from_nhwc = x.permute(0, 2, 3, 1).flatten(1) @ dense.T
    assert not torch.allclose(nn.Flatten()(x) @ dense.T, from_nhwc, atol=0.1)
    columns = dense.view(7, 4, 5, 3).permute(0, 3, 1, 2).reshape(7, 60)
    assert torch.allclose(nn.Flatten()(x) @ columns.T, from_nhwc, atol=1e-4)
