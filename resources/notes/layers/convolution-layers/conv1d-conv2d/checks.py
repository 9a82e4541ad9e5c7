import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated

ONE = r"y_{n,o,t} = b_o + \sum_{c} \sum_{k} w_{o,c,k}\; x_{n,\,c,\;st + dk - p}"
TWO = r"""
y_{n,o,u,v} = b_o + \sum_{c} \sum_{k,l} w_{o,c,k,l}\; x_{n,\,c,\;s_h u + d_h k - p_h,\;s_w v + d_w l - p_w}
"""
PARAMETERS = r"P = C_{\mathrm{out}} \left( \frac{C_{\mathrm{in}}}{g}\, K_h K_w + 1 \right)"

by_definition("Cost")


def number(layer):
    return sum(p.numel() for p in layer.parameters())


def at(x, *index):
    """x at an index of its trailing axes, zero outside."""
    inside = all(0 <= i < size for i, size in zip(index, x.shape[-len(index) :]))
    return x[(..., *index)] if inside else np.zeros(x.shape[: -len(index)])


@formula(ONE)
def check_one_dimension():
    for s, d, p, K in [(1, 1, 0, 3), (2, 1, 1, 3), (1, 2, 3, 2), (3, 2, 0, 4)]:
        layer = nn.Conv1d(3, 4, K, stride=s, dilation=d, padding=p, dtype=torch.float64)
        x = torch.randn(2, 3, 11, dtype=torch.float64)
        library = layer(x).detach().numpy()
        w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        for t in range(library.shape[2]):
            ours = b + sum(at(x.numpy(), s * t + d * k - p) @ w[:, :, k].T for k in range(K))
            np.testing.assert_allclose(ours, library[:, :, t], atol=1e-12)


@formula(TWO)
def check_two_dimensions():
    for s, d, p, K in [
        ((1, 1), (1, 1), (0, 0), (3, 3)),
        ((2, 1), (1, 2), (1, 2), (3, 2)),
        ((1, 3), (2, 1), (0, 1), (2, 4)),
    ]:
        layer = nn.Conv2d(3, 2, K, stride=s, dilation=d, padding=p, dtype=torch.float64)
        x = torch.randn(2, 3, 7, 8, dtype=torch.float64)
        library = layer(x).detach().numpy()
        w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        for u, v in np.ndindex(library.shape[2:]):
            ours = b + sum(
                at(x.numpy(), s[0] * u + d[0] * k - p[0], s[1] * v + d[1] * m - p[1]) @ w[:, :, k, m].T
                for k, m in np.ndindex(*K)
            )
            np.testing.assert_allclose(ours, library[:, :, u, v], atol=1e-12)


@formula(PARAMETERS)
@holds("Parameters", "Conv1d", "Conv2d", "Conv3d", "kernel size 1", "Which has more parameters?")
def check_parameters():
    for c_in, c_out, g, kernel in [(4, 6, 1, (3, 5)), (4, 6, 2, (2, 2)), (4, 8, 4, (1, 3))]:
        assert number(nn.Conv2d(c_in, c_out, kernel, groups=g)) == c_out * (c_in // g * kernel[0] * kernel[1] + 1)
        assert number(nn.Conv1d(c_in, c_out, kernel[1], groups=g)) == c_out * (c_in // g * kernel[1] + 1)
    for kind, axes in ((nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3)):  # along how many axes the places lie
        assert kind(4, 2, 3)(torch.randn(1, 4, 8, 8, 8)[(..., *[0] * (3 - axes))]).shape == (1, 2, *[6] * axes)
        one = kind(4, 2, 1)
        x = torch.randn(1, 4, *[5] * axes)
        mixed = one.weight.flatten(1) @ x.flatten(2)[0, :, 3] + one.bias
        assert torch.allclose(one(x).flatten(2)[0, :, 3], mixed, atol=1e-5)
        assert one.weight.numel() == 4 * 2
    for K in (3, 5):
        assert nn.Conv2d(7, 5, K).weight.numel() == K * nn.Conv1d(7, 5, K).weight.numel()
    stated("90,100", number(nn.Conv1d(300, 100, 3)))
    stated("90,100", number(nn.Conv2d(1, 100, (3, 300))))
    for text, layer in [
        ("90,000", nn.Conv1d(300, 100, 3)),
        ("270,000", nn.Conv2d(300, 100, 3)),
        ("810,000", nn.Conv3d(300, 100, 3)),
        ("30,000", nn.Conv1d(300, 100, 1)),
    ]:
        stated(text, layer.weight.numel())


@check
def check_worked_example():
    words = torch.tensor([[1.0, 0.0], [2.0, 1.0], [3.0, -1.0]])
    one = F.conv1d(words.T, torch.tensor([[[1.0, 1.0], [2.0, 0.0]]]))
    two = F.conv2d(words.view(1, 3, 2), torch.tensor([[[[1.0, 2.0], [1.0, 0.0]]]]))
    assert one.flatten().tolist() == two.flatten().tolist() == [3.0, 7.0]


@holds("Input → output, 1d", "Input → output, 2d", "dtype", "Parameters", "Defaults", "Same in train and eval?")
def check_contract():
    layer = nn.Conv1d(8, 4, 3)
    assert (layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode) == (
        (1,),
        (0,),
        (1,),
        1,
        "zeros",
    )
    assert layer.bias.shape == (4,) and layer(torch.randn(8, 10)).shape == (4, 8)
    assert nn.Conv2d(3, 4, 3)(torch.randn(3, 9, 8)).shape == (4, 7, 6)
    assert layer(torch.randn(2, 8, 10)).shape == (2, 4, 8)
    assert nn.Conv2d(3, 4, 3)(torch.randn(2, 3, 9, 8)).shape == (2, 4, 7, 6)
    plane = nn.Conv2d(6, 4, (3, 2), groups=2)
    assert plane.weight.shape == (4, 3, 3, 2) and plane.bias.shape == (4,)
    assert nn.Conv1d(6, 4, 3, groups=2).weight.shape == (4, 3, 3)
    two = nn.Conv2d(6, 4, 3)
    assert (two.stride, two.padding, two.dilation, two.groups, two.padding_mode) == ((1, 1), (0, 0), (1, 1), 1, "zeros")
    x, z = torch.randn(2, 8, 10), torch.randn(1, 6, 5, 5)
    assert torch.equal(layer.train()(x), layer.eval()(x)) and torch.equal(plane.train()(z), plane.eval()(z))
    assert layer.weight.dtype == plane.weight.dtype == layer(x).dtype == torch.float32
    assert layer.double()(x.double()).dtype == torch.float64
    signal = torch.randn(2, 8, 10, dtype=torch.complex64)
    assert nn.Conv1d(8, 4, 3, dtype=torch.complex64)(signal).is_complex()
    layer.float()
    for wrong in (torch.ones(2, 8, 5, dtype=torch.long), torch.randn(2, 8, 5, dtype=torch.float64)):
        raises(RuntimeError, lambda: layer(wrong))


@pitfall('"expected input[1, 81, 40] to have 40 channels, but got 81 channels instead"')
def check_axes_swapped():
    raises(
        RuntimeError,
        lambda: nn.Conv1d(40, 64, 3)(torch.randn(1, 81, 40)),
        "expected input[1, 81, 40] to have 40 channels, but got 81 channels instead",
    )
    assert nn.Conv1d(40, 64, 3)(torch.randn(1, 81, 40).transpose(1, 2)).transpose(1, 2).shape == (1, 79, 64)
    assert nn.Embedding(9, 5)(torch.zeros(3, 11, dtype=torch.long)).shape == (3, 11, 5)
    rnn = nn.GRU(5, 7)(torch.randn(11, 3, 5))[0]
    assert rnn.shape == (11, 3, 7) and nn.Conv1d(7, 2, 3)(rnn.permute(1, 2, 0)).shape == (3, 2, 9)
    conv = nn.Conv1d(7, 2, 3)
    back = conv(rnn.permute(1, 2, 0)).permute(2, 0, 1)
    assert back.shape == (9, 3, 2) and torch.allclose(back[:, 1], conv(rnn[:, 1].T).T, atol=1e-5)
    assert nn.GRU(5, 7, batch_first=True)(torch.randn(3, 11, 5))[0].shape == (3, 11, 7)
    x, layer = torch.randn(2, 8, 8), nn.Conv1d(8, 4, 3, padding=1)
    assert layer(x).shape == layer(x.transpose(1, 2)).shape and not torch.allclose(
        layer(x), layer(x.transpose(1, 2)), atol=0.1
    )


@pitfall("A whole batch is taken for one sample")
def check_batch_taken_for_channels():
    images = torch.randn(64, 28, 28)
    raises(RuntimeError, lambda: nn.Conv2d(1, 4, 3)(images), "expected input[1, 64, 28, 28] to have 1 channels")
    assert nn.Conv2d(64, 4, 3)(images).shape == (4, 26, 26)
    assert nn.Conv2d(1, 4, 3)(images.unsqueeze(1)).shape == (64, 4, 26, 26)


@pitfall('"TextCNN needs Conv2d"')
def check_text_needs_no_conv2d():
    words, other, one, two = (
        torch.randn(4, 12, 30),
        torch.randn(4, 12, 30),
        nn.Conv1d(30, 10, 3),
        nn.Conv2d(1, 10, (3, 30)),
    )
    two.load_state_dict({"weight": one.weight.mT.unsqueeze(1), "bias": one.bias})
    assert torch.allclose(one(words.mT), two(words.unsqueeze(1)).squeeze(3), atol=1e-5) and number(one) == number(two)
    one, two = nn.Conv1d(60, 10, 3), nn.Conv2d(2, 10, (3, 30))
    two.load_state_dict({"weight": one.weight.unflatten(1, (2, 30)).mT, "bias": one.bias})
    tables = two(torch.stack([words, other], 1)).squeeze(3)
    assert torch.allclose(one(torch.cat([words, other], 2).mT), tables, atol=1e-5)


@pitfall('"Conv1d sees one channel at a time"')
def check_channels_that_an_output_reads():
    x = torch.randn(1, 6, 9, requires_grad=True)
    for groups, seen in ((1, 6), (2, 3), (6, 1)):
        layer = nn.Conv1d(6, 6, 3, groups=groups)
        (gradient,) = torch.autograd.grad(layer(x)[0, 0, 4], x)
        assert layer.weight.shape[1] == seen == gradient.any(2).sum() and gradient.any(1).sum() == 3


@holds("Spectrogram: Conv1d or Conv2d?")
def check_pattern_that_is_transposed_in_pitch():
    """A pattern of 4 frequencies, then the same 5 frequencies higher."""
    low, high = torch.zeros(1, 20, 9), torch.zeros(1, 20, 9)
    low[:, 3:7, 2:6] = pattern = torch.randn(1, 4, 4)
    high[:, 8:12, 2:6] = pattern
    assert torch.allclose(F.conv2d(low, kernel := pattern[None]).amax(), F.conv2d(high, kernel).amax())
    separate = low[:, :, 2:6]  # a Conv1d that has learned the low one
    assert F.conv1d(high, separate).amax() < 0.7 * F.conv1d(low, separate).amax()
    assert nn.Conv1d(20, 1, 4).weight.numel() == 20 * 4 and nn.Conv2d(1, 1, 4).weight.numel() == 16


@holds("How do you write Conv1d with Conv2d?")
def check_conv1d_as_conv2d():
    w = torch.randn(5, 3, 4)
    for x, d in ((torch.randn(2, 3, 12), 1), (torch.randn(2, 3, 12), 2), (torch.randn(3, 12), 2)):
        one = F.conv1d(x, w, stride=2, padding=3, dilation=d)
        two = F.conv2d(x.unsqueeze(-2), w.unsqueeze(-2), stride=(1, 2), padding=(0, 3), dilation=(1, d)).squeeze(-2)
        assert torch.allclose(one, two, atol=1e-5)


@holds("Which has more parameters?", "Does the order of the channels matter?")
def check_work_and_channel_order():
    layer = nn.Conv1d(300, 100, 3)
    stated("1,620,000", layer.weight.numel() * layer(torch.randn(300, 20)).shape[1])
    x, w, order, places = torch.randn(2, 6, 9), torch.randn(4, 6, 3), torch.randperm(6), torch.randperm(9)
    assert torch.allclose(F.conv1d(x[:, order], w[:, order]), F.conv1d(x, w), atol=1e-5)
    assert not torch.allclose(F.conv1d(x[:, :, places], w), F.conv1d(x, w)[:, :, places[places < 7]], atol=0.1)
