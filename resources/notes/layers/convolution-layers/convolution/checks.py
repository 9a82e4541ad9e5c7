import inspect
import itertools
import warnings

import numpy as np
import scipy.signal
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import DeformConv2d

from note_checks import by_definition, check, formula, holds, pitfall, stated

ONE_DIMENSION = r"""
(x \star w)_i = \sum_{k=0}^{K-1} w_k\, x_{i+k}, \qquad
(x * w)_i = \sum_{k=0}^{K-1} w_k\, x_{i-k}
"""
LAYER = r"""
y_{o,\mathbf{i}} = b_o + \sum_{c} \sum_{\mathbf{k}} w_{o,c,\mathbf{k}}\; x_{c,\, s\mathbf{i} + d\mathbf{k} - p}
"""
MATRIX = r"Y_{o,\ell} = b_o + \sum_{r} W_{o,r}\, X_{r,\ell}"

by_definition("deformable")


def at(x, i):
    return x[i] if 0 <= i < len(x) else 0.0


def cross_correlation(x, w, places):
    return np.array([sum(w[k] * at(x, i + k) for k in range(len(w))) for i in places])


def convolution(x, w, places):
    return np.array([sum(w[k] * at(x, i - k) for k in range(len(w))) for i in places])


@formula(ONE_DIMENSION)
def check_one_dimension():
    for n, K in [(4, 3), (9, 1), (7, 2), (5, 5)]:
        x, w = np.random.randn(n), np.random.randn(K)
        valid, full = range(n - K + 1), range(n + K - 1)
        one = lambda v: torch.tensor(v)[None, None]
        np.testing.assert_allclose(cross_correlation(x, w, valid), F.conv1d(one(x), one(w))[0, 0].numpy(), atol=1e-12)
        np.testing.assert_allclose(
            cross_correlation(x, w, valid), scipy.signal.correlate(x, w, mode="valid"), atol=1e-12
        )
        np.testing.assert_allclose(convolution(x, w, full), np.convolve(x, w), atol=1e-12)
        np.testing.assert_allclose(convolution(x, w, full), scipy.signal.convolve(x, w), atol=1e-12)
        np.testing.assert_allclose(convolution(x, w, range(K - 1, n)), np.convolve(x, w, mode="valid"), atol=1e-12)
        assert len(np.convolve(x, w)) == n + K - 1 and len(np.convolve(x, w, mode="valid")) == n - K + 1
        np.testing.assert_allclose(np.convolve(x, w), np.convolve(w, x), atol=1e-12)
    assert not np.allclose(
        scipy.signal.correlate([1.0, 2.0, 3.0], [1.0, 5.0]), scipy.signal.correlate([1.0, 5.0], [1.0, 2.0, 3.0])
    )


@formula(LAYER)
def check_layer():
    cases = [
        ((2, 7), 3, 3, 1, 1, 0),
        ((2, 9), 4, 2, 2, 3, 2),
        ((3, 5, 6), 2, 3, 1, 1, 1),
        ((1, 8, 7), 2, 2, 2, 2, 1),
        ((2, 4, 5, 4), 2, 2, 2, 1, 1),
    ]
    for shape, outputs, K, s, d, p in cases:
        axes = len(shape) - 1
        layer = [nn.Conv1d, nn.Conv2d, nn.Conv3d][axes - 1](shape[0], outputs, K, s, p, d, dtype=torch.float64)
        x = torch.randn(shape, dtype=torch.float64)
        library = layer(x[None])[0].detach().numpy()
        x, w, b = x.numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy()
        ours = np.empty_like(library)
        for o, *i in itertools.product(*map(range, library.shape)):
            total = b[o]
            for c, *k in itertools.product(range(shape[0]), *[range(K)] * axes):
                place = [s * i_ + d * k_ - p for i_, k_ in zip(i, k)]
                if all(0 <= q < size for q, size in zip(place, shape[1:])):
                    total += w[(o, c, *k)] * x[(c, *place)]
            ours[(o, *i)] = total
        np.testing.assert_allclose(ours, library, atol=1e-10)


@formula(MATRIX)
def check_matrix_product():
    for C, outputs, K, s, d, p in [(3, 5, 3, 1, 1, 0), (2, 4, 2, 2, 1, 1), (1, 2, 3, 2, 2, 2)]:
        layer = nn.Conv2d(C, outputs, K, s, p, d, dtype=torch.float64)
        x = torch.randn(2, C, 9, 8, dtype=torch.float64)
        X = nn.Unfold(K, dilation=d, padding=p, stride=s)(x).numpy()
        W = layer.weight.detach().numpy().reshape(outputs, -1)
        library = layer(x).detach().numpy()
        for n in range(2):
            np.testing.assert_allclose(
                layer.bias.detach().numpy()[:, None] + W @ X[n], library[n].reshape(outputs, -1), atol=1e-10
            )


@check
def check_worked_example():
    x, w = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.0, -1.0])
    assert scipy.signal.correlate(x, w, mode="valid").tolist() == [-2, -2]
    assert np.convolve(x, w, mode="valid").tolist() == [2, 2]
    assert np.convolve(x, w).tolist() == [1, 2, 2, 2, -3, -4]


@holds("Input → output", "Parameters", "Defaults", "Same in train and eval?", "Cost")
def check_parameters_and_defaults():
    layer = nn.Conv3d(3, 16, 3)
    stated("1,312", sum(p.numel() for p in layer.parameters()))
    assert layer.weight.shape == (16, 3, 3, 3, 3) and layer.bias.shape == (16,)
    assert nn.Conv3d(6, 4, 3, groups=2).weight.shape == (4, 3, 3, 3, 3)
    assert (layer.stride[0], layer.padding[0], layer.dilation[0], layer.groups, layer.padding_mode) == (
        1,
        0,
        1,
        1,
        "zeros",
    )
    x = torch.randn(2, 3, 5, 5, 5)
    assert torch.equal(layer.train()(x), layer.eval()(x))
    shapes = []
    for axes, kind in ((1, nn.Conv1d), (2, nn.Conv2d), (3, nn.Conv3d)):
        plain = kind(4, 6, 3, groups=2)
        assert (plain.stride[0], plain.padding[0], plain.dilation[0], kind(4, 6, 3).groups) == (1, 0, 1, 1)
        with FlopCounterMode(display=False) as counter:  # counts a multiply-add as two
            y = plain(torch.randn(2, 4, *[7] * axes))
        assert counter.get_total_flops() == 2 * plain.weight.numel() * 2 * 5**axes
        shapes.append(y.shape)
    assert shapes == [(2, 6, 5), (2, 6, 5, 5), (2, 6, 5, 5, 5)]
    assert inspect.signature(scipy.signal.convolve).parameters["mode"].default == "full"
    assert inspect.signature(np.convolve).parameters["mode"].default == "full"


@pitfall("`F.conv2d` and `scipy.signal.convolve` disagree")
def check_flipping_all_spatial_axes_gives_scipy():
    x, w = torch.randn(7, 8, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    wanted = scipy.signal.convolve(x.numpy(), w.numpy(), mode="valid")
    np.testing.assert_allclose(F.conv2d(x[None, None], w.flip(-2, -1)[None, None])[0, 0].numpy(), wanted, atol=1e-10)
    assert not np.allclose(F.conv2d(x[None, None], w[None, None])[0, 0].numpy(), wanted)
    np.testing.assert_allclose(
        F.conv2d(x[None, None], w[None, None])[0, 0].numpy(),
        scipy.signal.correlate(x.numpy(), w.numpy(), mode="valid"),
        atol=1e-10,
    )
    np.testing.assert_allclose(np.convolve(x[0], w[0]), scipy.signal.convolve(x[0], w[0]))
    x3, w3 = torch.randn(3, 7, 8, dtype=torch.float64), torch.randn(3, 3, 2, dtype=torch.float64)  # three channels
    spatial, whole = (F.conv2d(x3[None], w3.flip(*axes)[None])[0].numpy() for axes in ((-2, -1), (0, -2, -1)))
    wanted3 = scipy.signal.convolve(x3.numpy(), w3.numpy(), mode="valid")
    assert not np.allclose(spatial, wanted3) and np.allclose(whole, wanted3)
    correlated = scipy.signal.correlate(x3.numpy(), w3.numpy(), mode="valid")
    np.testing.assert_allclose(F.conv2d(x3[None], w3[None])[0].numpy(), correlated, atol=1e-10)
    for images, kernels in ((8, 5), (1, 5)):  # several images or kernels: SciPy runs along those axes as well
        xs, ws = torch.randn(images, 1, 7, 8), torch.randn(kernels, 1, 3, 2)
        try:
            other = scipy.signal.correlate(xs.numpy(), ws.numpy(), mode="valid").shape
        except ValueError:
            other = None
        assert other != tuple(F.conv2d(xs, ws).shape)
    reported = torch.arange(10.0).reshape(5, 2), torch.tensor([[1.0], [2.0]])
    assert F.conv2d(reported[0][None, None], reported[1][None, None])[0, 0, 0, 0] == 4
    assert scipy.signal.convolve(*(t.numpy() for t in reported), mode="valid")[0, 0] == 2
    assert (
        scipy.signal.correlate(x.numpy(), w.numpy()).shape
        == scipy.signal.convolve(x.numpy(), w.numpy()).shape
        == (9, 9)
        != wanted.shape
    )


@check
def check_symmetric_and_complex_kernels():
    x, w = np.random.randn(9), np.array([1.0, 2.0, 1.0])
    np.testing.assert_allclose(scipy.signal.convolve(x, w), scipy.signal.correlate(x, w), atol=1e-12)
    x, w = np.array([1 + 1j, 2.0, 3j]), np.array([1 + 2j, 3 - 1j])
    ours = F.conv1d(torch.tensor(x)[None, None], torch.tensor(w)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(ours, scipy.signal.correlate(x, w.conj(), mode="valid"), atol=1e-12)
    assert not np.allclose(ours, scipy.signal.correlate(x, w, mode="valid"))


@pitfall('With an even kernel, "same" results are shifted by one')
def check_same_with_an_even_kernel_is_shifted():
    x, w = np.arange(1.0, 8.0), np.array([1.0, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = F.conv1d(torch.tensor(x)[None, None], torch.tensor(w)[None, None], padding="same")[0, 0].numpy()
    stated("5", ours[0])
    for function in (np.correlate, scipy.signal.correlate):
        theirs = function(x, w, mode="same")
        stated("2", theirs[0])
        np.testing.assert_allclose(ours[:-1], theirs[1:])
        padded = F.conv1d(F.pad(torch.tensor(x)[None, None], (1, 0)), torch.tensor(w)[None, None])[0, 0].numpy()
        np.testing.assert_allclose(padded, theirs)
    np.testing.assert_allclose(scipy.signal.correlate2d(x[None], w[None], mode="same")[0], ours)  # at the end too
    np.testing.assert_allclose(ours[:-1], scipy.signal.convolve(x, w[::-1], mode="same")[1:])
    flipped = np.convolve(x, w[::-1], mode="same")
    np.testing.assert_allclose(ours[:-1], flipped[1:])
    longer = np.array([1.0, 2.0, 4.0, 8.0])  # one more zero, at the end or at the start
    for padding, theirs in (((1, 2), None), ((2, 1), np.correlate(x, longer, mode="same"))):
        padded = F.conv1d(F.pad(torch.tensor(x), padding)[None, None], torch.tensor(longer)[None, None])[0, 0]
        same = F.conv1d(torch.tensor(x)[None, None], torch.tensor(longer)[None, None], padding="same")[0, 0]
        np.testing.assert_allclose(padded.numpy(), same.numpy() if theirs is None else theirs)
    odd = np.array([1.0, 2.0, 4.0])
    ours = F.conv1d(torch.tensor(x)[None, None], torch.tensor(odd)[None, None], padding="same")[0, 0].numpy()
    np.testing.assert_allclose(ours, np.correlate(x, odd, mode="same"))


@pitfall("`F.fold` does not undo `F.unfold`")
def check_fold_sums_overlaps():
    ones = torch.ones(1, 1, 4, 4)
    folded = F.fold(F.unfold(ones, 3), (4, 4), 3)
    stated("4", folded[0, 0, 1, 1])
    x = torch.randn(1, 1, 4, 4)
    assert not torch.allclose(F.fold(F.unfold(x, 3), (4, 4), 3), x, atol=0.1)
    assert torch.allclose(F.fold(F.unfold(x, 3), (4, 4), 3) / folded, x, atol=1e-6)
    assert F.fold(F.unfold(torch.ones(1, 1, 5, 5), 2, stride=2), (5, 5), 2, stride=2)[0, 0, 4, 4] == 0


@pitfall("One NaN spoils the whole SciPy result")
def check_nan_with_the_fft():
    x, w = np.random.randn(300, 300), np.random.randn(30, 30)
    x[150, 150] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spoilt = np.isnan(scipy.signal.convolve(x, w))
    stated("108,241", spoilt.sum())
    assert (
        spoilt.all()
        and scipy.signal.choose_conv_method(x, w) == "fft"
        and scipy.signal.choose_conv_method(x[:20, :20], w[:3, :3]) == "direct"
    )
    stated("900", np.isnan(scipy.signal.convolve(x, w, method="direct")).sum())
    assert np.isfinite(scipy.signal.convolve(np.nan_to_num(x), w)).all()


@holds("ordinary", "1×1, pointwise", "depthwise", "dilated", "causal")
def check_weights_of_the_variants():
    count = lambda layer: layer.weight.numel()
    stated("36,864", count(nn.Conv2d(64, 64, 3)))
    stated("36,864", count(nn.Conv2d(64, 64, 3, dilation=2)))
    stated("36,864", count(nn.ConvTranspose2d(64, 64, 3)))
    stated("12,288", count(nn.Conv1d(64, 64, 3)))
    stated("4,096", count(nn.Conv2d(64, 64, 1)))
    stated("576", count(nn.Conv2d(64, 64, 3, groups=64)))

    def read(layer, size, place):
        """The channels, rows and columns that the first output channel reads at a place in the middle."""
        x = torch.zeros(1, 64, *size, requires_grad=True)
        layer(x)[(0, 0, *place)].backward()
        return [sorted(set(axis.tolist())) for axis in x.grad[0].nonzero().T]

    everything = list(range(64))
    for layer, channels, cells in (
        (nn.Conv2d(64, 64, 3, padding=1), everything, [3, 4, 5]),
        (nn.Conv2d(64, 32, 1), everything, [4]),
        (nn.Conv2d(64, 64, 3, padding=1, groups=64), [0], [3, 4, 5]),
        (nn.Conv2d(64, 64, 3, padding=2, dilation=2), everything, [2, 4, 6]),
    ):
        assert read(layer, (9, 9), (4, 4)) == [channels, cells, cells]
    causal = nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(64, 64, 3))
    assert read(causal, (9,), (4,)) == [everything, [2, 3, 4]]


@holds("transposed")
def check_transposed_convolution_is_the_adjoint():
    x, g = torch.randn(1, 2, 9, dtype=torch.float64), torch.randn(1, 3, 4, dtype=torch.float64)
    w = torch.randn(3, 2, 3, dtype=torch.float64)
    forward = F.conv1d(x, w, stride=2)
    back = F.conv_transpose1d(g, w, stride=2)
    assert torch.allclose((forward * g).sum(), (x * back).sum()) and back.shape[-1] > 2 * g.shape[-1]
    stated("36,864", nn.ConvTranspose2d(64, 64, 3).weight.numel())


@holds("deformable")
def check_deformable_keeps_the_weights():
    layer, x = DeformConv2d(64, 64, 3, padding=1, bias=False), torch.randn(1, 64, 9, 9)
    stated("36,864", sum(p.numel() for p in layer.parameters()))
    offset = nn.Conv2d(64, 2 * 9, 3, padding=1)(x)  # two numbers per tap, from the input
    assert offset.shape == (1, 18, 9, 9) and inspect.signature(layer.forward).bind(x, offset)


@holds("Why may deep learning drop the flip?")
def check_training_with_the_flip_learns_the_mirrored_kernel():
    x, target = torch.randn(8, 1, 9, 9, dtype=torch.float64), torch.randn(8, 2, 7, 7, dtype=torch.float64)
    start = torch.randn(2, 1, 3, 3, dtype=torch.float64)
    plain, flipped = start.clone().requires_grad_(), start.flip(-2, -1).requires_grad_()
    for w, turn in ((plain, lambda v: v), (flipped, lambda v: v.flip(-2, -1))):
        optimizer = torch.optim.Adam([w], 0.05)
        for _ in range(30):
            optimizer.zero_grad()
            (F.conv2d(x, turn(w)) - target).square().mean().backward()
            optimizer.step()
    assert torch.allclose(flipped, plain.flip(-2, -1)) and (plain - start).abs().max() > 0.1


@holds("Where does the flip come back?")
def check_backward_is_a_full_convolution():
    x = torch.randn(1, 1, 8, 7, dtype=torch.float64, requires_grad=True)
    w = torch.randn(1, 1, 3, 2, dtype=torch.float64)
    y = F.conv2d(x, w)
    g = torch.randn_like(y)
    y.backward(g)
    np.testing.assert_allclose(
        x.grad[0, 0].numpy(), scipy.signal.convolve(g[0, 0].numpy(), w[0, 0].numpy(), mode="full"), atol=1e-10
    )
    assert torch.allclose(x.grad, F.conv_transpose2d(g, w))


@holds("Is convolution invariant to shifts?")
def check_equivariance_inside_and_for_multiples_of_the_stride():
    layer = nn.Conv2d(2, 3, 3, padding=1, dtype=torch.float64)
    x = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    moved = x.roll(1, -1)
    assert torch.allclose(layer(moved)[..., 2:-2], layer(x).roll(1, -1)[..., 2:-2])
    assert not torch.allclose(layer(moved)[..., :2], layer(x).roll(1, -1)[..., :2])
    layer.stride = (2, 2)
    assert not torch.allclose(layer(moved)[..., 2:-2], layer(x).roll(1, -1)[..., 2:-2])
    assert torch.allclose(layer(x.roll(2, -1))[..., 2:-2], layer(x).roll(1, -1)[..., 2:-2])
    circular = nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular", dtype=torch.float64)
    assert torch.allclose(circular(moved).amax((2, 3)), circular(x).amax((2, 3)))
    assert not torch.allclose(circular(moved), circular(x))


@holds("What is saved against a fully connected layer?")
def check_against_a_dense_layer():
    stated("448", sum(p.numel() for p in nn.Conv2d(3, 16, 3, padding=1).parameters()))
    with torch.device("meta"):
        stated("50,348,032", sum(p.numel() for p in nn.Linear(3 * 32 * 32, 16 * 32 * 32).parameters()))
