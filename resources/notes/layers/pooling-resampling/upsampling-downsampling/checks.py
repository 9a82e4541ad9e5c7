import inspect
import math

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

TRANSPOSED = r"y_{c,o} = b_c + \sum_{c'} \sum_{\substack{i,\,j \\ s i + d j - p = o}} x_{c',i}\, w_{c',c,j}"
LENGTH = r"L_{\text{out}} = (L_{\text{in}} - 1)\,s - 2p + d\,(k - 1) + q + 1"
LINEAR = r"""
u = \max\left(0,\ \left(o + \tfrac12\right)\frac{L_{\text{in}}}{L_{\text{out}}} - \tfrac12\right), \qquad
y_o = (1-\lambda)\,x_{\lfloor u \rfloor} + \lambda\,x_{\min(\lfloor u \rfloor + 1,\; L_{\text{in}} - 1)}
"""

sourced("DCGAN, arXiv 1511.06434, section 3; FCN, arXiv 1411.4038, section 3.3", "`ConvTranspose2d`")
sourced("Shi et al., arXiv 1609.05158 (ESPCN)", "convolution + `PixelShuffle`")


def length(L, k, s, p, d, q):
    return (L - 1) * s - 2 * p + d * (k - 1) + q + 1


def transposed(x, w, b, s, p, d, q):
    """The first two formulas of the article for one sample, in NumPy."""
    L, k = x.shape[1], w.shape[2]
    y = np.repeat(b[:, None], length(L, k, s, p, d, q), axis=1)
    for i in range(L):
        for j in range(k):
            o = s * i + d * j - p
            if 0 <= o < y.shape[1]:
                y[:, o] += x[:, i] @ w[:, :, j]
    return y


def linear(x, outputs, corners=False):
    """The third formula of the article, or its variant for align_corners=True."""
    L, y = len(x), []
    for o in range(outputs):
        u = o * (L - 1) / (outputs - 1) if corners else max(0.0, (o + 0.5) * L / outputs - 0.5)
        below = min(math.floor(u + 1e-12), L - 1)
        rest = max(0.0, u - below)
        y.append((1 - rest) * x[below] + rest * x[min(below + 1, L - 1)])
    return np.array(y)


@formula(TRANSPOSED, LENGTH)
def check_transposed_convolution():
    tried = 0
    for L in (1, 4, 7):
        for k in (1, 2, 3, 4):
            for s in (1, 2, 3):
                for p in (0, 1):
                    for d in (1, 2):
                        for q in (0, 1):
                            if q >= max(s, d) or length(L, k, s, p, d, q) < 1:
                                continue
                            layer = nn.ConvTranspose1d(3, 2, k, s, p, q, dilation=d).double()
                            x = torch.randn(1, 3, L, dtype=torch.float64)
                            library = layer(x)[0].detach().numpy()
                            ours = transposed(
                                x[0].numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy(), s, p, d, q
                            )
                            assert library.shape == ours.shape
                            np.testing.assert_allclose(ours, library, atol=1e-12)
                            if d == 1 and k - 2 * p + q == s:
                                assert ours.shape[1] == s * L
                            tried += 1
    assert tried > 150


@formula(LINEAR)
def check_linear_interpolation():
    for L in (1, 2, 5, 8):
        for outputs in (2, 3, 5, 8, 16, 21):
            x = torch.randn(L, dtype=torch.float64)
            for corners in (False, True):
                library = F.interpolate(x[None, None], size=outputs, mode="linear", align_corners=corners)[0, 0]
                np.testing.assert_allclose(linear(x.numpy(), outputs, corners), library.numpy(), atol=1e-9)
    # A scale factor that does not give a whole length: 1 / r takes the place of L_in / L_out.
    x = torch.randn(5, dtype=torch.float64)
    scaled = F.interpolate(x[None, None], scale_factor=1.5, mode="linear")[0, 0]
    sized = F.interpolate(x[None, None], size=7, mode="linear")[0, 0]
    assert len(scaled) == 7 and not torch.allclose(scaled, sized)
    positions = np.clip((np.arange(7) + 0.5) / 1.5 - 0.5, 0, 4)
    np.testing.assert_allclose(np.interp(positions, np.arange(5), x.numpy()), scaled.numpy(), atol=1e-9)
    assert F.interpolate(x[None, None], size=1, mode="linear", align_corners=True).item() == x[0]
    assert torch.allclose(
        F.interpolate(x[None, None], scale_factor=1.5, mode="linear", recompute_scale_factor=True)[0, 0], sized
    )
    image = torch.randn(4, 5, dtype=torch.float64)
    library = F.interpolate(image[None, None], size=(7, 3), mode="bilinear")[0, 0].numpy()
    rows = np.stack([linear(column, 7) for column in image.numpy().T], axis=1)
    np.testing.assert_allclose(np.stack([linear(row, 3) for row in rows]), library, atol=1e-9)


@check
def check_nearest():
    for L in (1, 5, 7, 8):
        for outputs in (1, 3, 8, 11, 16):
            library = F.interpolate(torch.arange(float(L))[None, None], size=outputs)[0, 0]
            assert library.tolist() == [o * L // outputs for o in range(outputs)]
    rounded = F.interpolate(torch.arange(2.0).expand(1, 1, 2, 2), size=(2, 82))[0, 0, 0]
    assert [o for o in range(82) if rounded[o] != o * 2 // 82] == [41] and rounded[41] == 0


@holds("Is a transposed convolution the inverse of a convolution?")
@holds("Why does its weight have the input channels first?")
def check_it_is_the_adjoint_and_not_the_inverse():
    layer, transpose = nn.Conv2d(3, 5, 3), nn.ConvTranspose2d(5, 3, 3)
    assert layer.weight.shape == transpose.weight.shape == (layer.out_channels, layer.in_channels, 3, 3)
    assert transpose.in_channels == layer.out_channels
    w = torch.randn(5, 3, 3, 3, dtype=torch.float64)
    x = torch.randn(1, 3, 7, 7, dtype=torch.float64, requires_grad=True)
    forward = F.conv2d(x, w, stride=2, padding=1)
    y = torch.randn_like(forward)
    back = F.conv_transpose2d(y, w, stride=2, padding=1)
    assert torch.isclose((forward * y).sum(), (x * back).sum())
    (gradient,) = torch.autograd.grad(forward, x, y)
    assert torch.allclose(gradient, back)
    assert not torch.allclose(F.conv_transpose2d(forward, w, stride=2, padding=1), x, atol=0.1)


@holds("`interpolate` + convolution", "`ConvTranspose2d`", "convolution + `PixelShuffle`")
@holds("strided convolution", "pooling")
def check_what_is_learned_and_where_it_stands():
    numbers = lambda module: sum(p.numel() for p in module.parameters())
    up, learned = nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1)
    assert numbers(up) == numbers(nn.PixelShuffle(2)) == numbers(nn.MaxPool2d(2)) == numbers(nn.AvgPool2d(2)) == 0
    assert min(numbers(m) for m in (learned, nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.Conv2d(4, 4, 3, 2))) > 0
    x = torch.randn(1, 4, 6, 6)
    shuffled = nn.PixelShuffle(2)(nn.Conv2d(4, 16, 3, padding=1)(x))
    for raised in (learned(up(x)), nn.ConvTranspose2d(4, 4, 4, 2, 1)(x), shuffled):
        assert raised.shape == (1, 4, 12, 12)
    for lowered in (nn.Conv2d(4, 4, 3, 2, 1)(x), nn.MaxPool2d(2)(x), nn.AvgPool2d(2)(x)):
        assert lowered.shape == (1, 4, 3, 3)
    # Where every input position counts alike: 3x3 windows of one resized copy, however the position.
    overlap = F.conv2d(F.interpolate(torch.ones(1, 1, 6, 6), scale_factor=2), torch.ones(1, 1, 3, 3))
    assert overlap.unique().tolist() == [9.0]
    assert "F.interpolate(" in inspect.getsource(torchvision.ops.FeaturePyramidNetwork.forward)
    with torch.device("meta"):
        assert torchvision.models.resnet50().layer3[0].conv2.stride == (2, 2)


@holds("Input → output", "Same in train and eval?")
def check_shapes():
    for dims, kind in ((1, nn.ConvTranspose1d), (2, nn.ConvTranspose2d), (3, nn.ConvTranspose3d)):
        x, layer = torch.randn(2, 3, *[4] * dims), kind(3, 5, 2, stride=2)
        assert layer(x).shape == (2, 5, *[8] * dims) and torch.equal(layer.train()(x), layer.eval()(x))
        assert F.interpolate(x, scale_factor=2).shape == (2, 3, *[8] * dims)
    resize = nn.Upsample(scale_factor=2, mode="bilinear")
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(resize.train()(x), resize.eval()(x))


@holds("Weight of `ConvTranspose2d`", "Defaults")
def check_facts_table():
    for mode in ("bilinear", "bicubic"):
        x = torch.randn(1, 1, 4, 5)
        default, off = (F.interpolate(x, size=9, mode=mode, align_corners=a) for a in (None, False))
        assert torch.equal(default, off)
    layer = nn.ConvTranspose2d(8, 16, 3)
    assert layer.weight.shape == (8, 16, 3, 3) and nn.ConvTranspose2d(8, 16, 3, groups=4).weight.shape == (8, 4, 3, 3)
    assert nn.Conv2d(8, 16, 3).weight.shape == (16, 8, 3, 3)
    stated("1,168", sum(p.numel() for p in layer.parameters()))
    assert (layer.stride, layer.padding, layer.output_padding) == ((1, 1), (0, 0), (0, 0))
    parameters = inspect.signature(F.interpolate).parameters
    assert parameters["mode"].default == "nearest" and parameters["align_corners"].default is None
    x = torch.randn(1, 1, 4)
    assert torch.equal(
        F.interpolate(x, size=9, mode="linear"), F.interpolate(x, size=9, mode="linear", align_corners=False)
    )
    assert nn.ConvTranspose1d(2, 3, 2)(torch.zeros(1, 2, 4)).shape == (1, 3, 5)
    assert nn.ConvTranspose3d(2, 3, 2)(torch.zeros(1, 2, 4, 4, 4)).shape == (1, 3, 5, 5, 5)


@holds("`nn.PixelShuffle(r)`")
def check_pixel_shuffle():
    shuffle, x = nn.PixelShuffle(3), torch.randn(2, 18, 4, 5)
    y = shuffle(x)
    assert y.shape == (2, 2, 12, 15) and not list(shuffle.parameters())
    for c, h, v, a, b in ((0, 0, 0, 0, 0), (1, 3, 4, 2, 1), (1, 2, 0, 0, 2)):
        assert torch.equal(y[:, c, 3 * h + a, 3 * v + b], x[:, c * 9 + a * 3 + b, h, v])


@check
def check_worked_example():
    x, w = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[1.0, 2.0, 1.0]]])
    assert F.conv_transpose1d(x, w, stride=2).flatten().tolist() == [1, 2, 3, 4, 5, 6, 3]
    assert F.conv_transpose1d(x, w, stride=2, padding=1).flatten().tolist() == [2, 3, 4, 5, 6]
    stated("7", length(3, 3, 2, 0, 1, 0))


@pitfall("The decoder is one pixel smaller than the skip connection")
def check_one_pixel_short():
    down = nn.Conv2d(1, 1, 3, stride=2, padding=1)
    up = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    for size in (7, 8):
        stated("4", down(torch.zeros(1, 1, size, size)).shape[-1])
    y = torch.zeros(1, 1, 4, 4)
    stated("7", up(y).shape[-1])
    for skip in (torch.zeros(1, 1, 7, 7), torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 7, 8)):
        assert up(y, output_size=skip.shape[-2:]).shape == skip.shape
    assert nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)(y).shape[-2:] == (8, 8)


@pitfall("`padding` shrinks the output, `output_padding` lengthens it")
def check_padding_cuts_and_output_padding_computes():
    x, w = torch.randn(1, 1, 5), torch.randn(1, 1, 5)
    whole = F.conv_transpose1d(x, w, stride=3)
    assert torch.allclose(F.conv_transpose1d(x, w, stride=3, padding=2), whole[..., 2:-2])
    more = F.conv_transpose1d(x, w, stride=3, padding=2, output_padding=2)
    assert torch.allclose(more, whole[..., 2:]) and (more[..., -2:] != 0).all()
    assert (F.conv_transpose1d(x, w, torch.tensor([0.5]), stride=3, output_padding=2)[..., -2:] == 0.5).all()
    for p in (0, 1, 2):
        for q in (0, 1, 2):
            assert F.conv_transpose1d(x, w, stride=3, padding=p, output_padding=q).shape[-1] == length(5, 5, 3, p, 1, q)
    assert F.conv_transpose1d(x, w, dilation=2, output_padding=1).shape[-1] == length(5, 5, 1, 0, 2, 1)
    raises(
        RuntimeError,
        lambda: F.conv_transpose1d(x, w, output_padding=1),
        "output padding must be smaller than either stride or dilation",
    )


@check
def check_overlap():
    for k, s, even in ((3, 2, False), (4, 2, True), (2, 2, True), (5, 3, False), (6, 3, True)):
        counts = F.conv_transpose1d(torch.ones(1, 1, 20), torch.ones(1, 1, k), stride=s).flatten()[k:-k]
        assert (len(counts.unique()) == 1) is even


@pitfall("A checkerboard pattern")
def check_checkerboard():
    """The spread of the outputs over many random kernels, position by position: it shows the overlap, not one kernel's taste."""
    flat = torch.ones(1, 1, 12, 12)

    def spread(k):
        return torch.cat([F.conv_transpose2d(flat, torch.randn(1, 1, k, k), stride=2) for _ in range(1500)]).std(0)[
            0, 4:-4, 4:-4
        ]

    uneven, even = spread(3), spread(4)
    assert uneven.max() > 1.7 * uneven.min() and even.max() < 1.2 * even.min()
    for size in (7, 8, 13):
        assert nn.ConvTranspose2d(2, 3, 4, 2, 1)(torch.randn(1, 2, size, size)).shape[-1] == 2 * size
        longer = nn.ConvTranspose2d(2, 3, 4, 2, 1, output_padding=1)(torch.randn(1, 2, size, size))
        assert longer.shape[-1] == 2 * size + 1
    resized = F.conv2d(F.interpolate(flat, scale_factor=2), torch.randn(1, 1, 3, 3))
    assert resized.max() - resized.min() < 1e-5
    single = F.conv_transpose2d(flat, torch.randn(1, 1, 4, 4), stride=2)[..., 4:-4, 4:-4]
    assert single.max() - single.min() > 0.5


@pitfall("Results differ from another framework or an old checkpoint")
def check_coordinate_rules_differ():
    """The options of TensorFlow are not run; its third rule is computed by hand."""
    line = torch.tensor([[[0.0, 10.0, 20.0, 30.0]]])
    stated("2.5", F.interpolate(line, size=8, mode="linear")[0, 0, 1])
    stated("4.29", F.interpolate(line, size=8, mode="linear", align_corners=True)[0, 0, 1])
    stated("5", np.interp(1 * 4 / 8, np.arange(4), line[0, 0].numpy()))
    for corners in (None, False, True):  # no option gives the third rule
        for how in ({"size": 8}, {"scale_factor": 2}, {"scale_factor": 2, "recompute_scale_factor": True}):
            assert abs(F.interpolate(line, **how, mode="linear", align_corners=corners)[0, 0, 1] - 5) > 0.5
    for dims, mode in ((1, "linear"), (2, "bilinear"), (2, "bicubic"), (3, "trilinear")):
        x = torch.randn(1, 1, *[4] * dims)
        default, half_pixels, old = (
            F.interpolate(x, size=[8] * dims, mode=mode, align_corners=a) for a in (None, False, True)
        )
        assert torch.equal(default, half_pixels) and not torch.allclose(default, old, atol=1e-2)
    impulse = torch.zeros(1, 1, 8, 8)
    impulse[..., 4] = 1  # three quarters from its centre: (a + 2) t^3 - (a + 3) t^2 + 1 with a = -0.75
    cubic = F.interpolate(impulse, size=(8, 16), mode="bicubic")[0, 0, 4, 7].item()
    stated("−0.75", (cubic - 2 * 0.75**3 + 3 * 0.75**2 - 1) / (0.75**3 - 0.75**2))
    for given in (False, True):
        try:
            F.interpolate(line, size=8, mode="nearest", align_corners=given)
        except ValueError:
            continue
        raise AssertionError("expected an error")


@pitfall("Downscaled images show false patterns")
def check_aliasing():
    stripes = torch.tensor([0.0, 1.0, 1.0, 0.0]).repeat(16).expand(1, 1, 64, 64)
    stated("0.5", stripes.mean())
    assert (F.interpolate(stripes, size=(16, 16), mode="bilinear") == 1).all()
    smooth = F.interpolate(stripes, size=(16, 16), mode="bilinear", antialias=True)
    assert (smooth - 0.5).abs().max() < 0.05 and F.interpolate(
        stripes, size=(16, 16), mode="area"
    ).unique().tolist() == [0.5]
    third = stripes[..., :48, :48]
    area = F.interpolate(third, size=(16, 16), mode="area")
    assert abs(area.min() - 1 / 3) < 1e-6 and abs(area.max() - 2 / 3) < 1e-6
    assert F.interpolate(third, size=(16, 16), mode="bilinear").unique().tolist() == [0, 1]
    ripple = F.interpolate(third, size=(16, 16), mode="bilinear", antialias=True)[..., 2:-2]
    assert abs(ripple.min() - 4 / 9) < 1e-5 and abs(ripple.max() - 5 / 9) < 1e-5
    for mode in ("bilinear", "bicubic"):
        cured = F.interpolate(stripes, size=(16, 16), mode=mode, antialias=True)
        assert (cured[..., 2:-2] - 0.5).abs().max() < 1e-5
    pixels = (255 * stripes).to(torch.uint8)
    raises(NotImplementedError, lambda: F.interpolate(pixels, size=(16, 16), mode="area"), "not implemented for 'Byte'")
    raises(ValueError, lambda: F.interpolate(stripes, size=(16, 16), mode="nearest", antialias=True))


@check
def check_masks_keep_their_classes():
    for mode in ("nearest", "nearest-exact"):
        assert F.interpolate(torch.ones(1, 1, 4, 4, dtype=torch.uint8), size=(8, 8), mode=mode).dtype == torch.uint8
        raises(
            NotImplementedError,
            lambda: F.interpolate(torch.ones(1, 1, 4, 4, dtype=torch.int64), size=(8, 8), mode=mode),
            "not implemented for 'Long'",
        )
    ignored = torch.full((1, 1, 4, 4), -100)  # in uint8 a negative label turns into another one, silently
    assert (F.interpolate(ignored.float(), size=(8, 8)).long() == -100).all()
    assert (F.interpolate(ignored.to(torch.uint8), size=(8, 8)).long() == 156).all()
    batch = torch.randint(0, 5, (2, 9, 9)).float()  # without the axis the rows count as channels
    assert F.interpolate(batch, scale_factor=2).shape == (2, 9, 18)
    larger = F.interpolate(batch[:, None], scale_factor=2)
    assert larger.shape == (2, 1, 18, 18) and torch.equal(larger[:, 0, ::2, ::2], batch)
    scores = torch.randn(2, 5, 18, 18)
    raises(RuntimeError, lambda: F.cross_entropy(scores, larger))
    assert F.cross_entropy(scores, larger[:, 0].long()).isfinite()
    raises(ValueError, lambda: F.interpolate(batch, size=(20, 20)), "same number of spatial dimensions")
    mask = torch.randint(0, 5, (1, 1, 9, 9)).float()
    assert set(F.interpolate(mask, size=(20, 20), mode="nearest").unique().tolist()) <= set(mask.unique().tolist())
    assert (F.interpolate(mask, size=(20, 20), mode="bilinear") % 1 != 0).any()


@holds("How can it start as bilinear upsampling?")
def check_bilinear_start():
    k = torch.tensor([0.25, 0.75, 0.75, 0.25])
    x = torch.randn(2, 1, 6, 7)
    ours = F.conv_transpose2d(x, torch.outer(k, k)[None, None], stride=2, padding=1)
    library = F.interpolate(x, scale_factor=2, mode="bilinear")
    assert torch.allclose(ours[..., 1:-1, 1:-1], library[..., 1:-1, 1:-1], atol=1e-6) and not torch.allclose(
        ours, library, atol=1e-2
    )
    assert torch.isclose(k.sum(), torch.tensor(2.0))
    layer = nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1)  # the default bias stays in the output
    layer.weight.data.copy_(torch.outer(k, k))
    assert layer.bias.item() != 0 and torch.allclose(layer(x) - ours, layer.bias, atol=1e-6)
