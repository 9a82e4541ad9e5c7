import inspect
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import DeformConv2d, deform_conv2d

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

TAPS = r"y(p) = \sum_{k=1}^{K} w_k \, m_k(p) \, x\left( p + p_k + \Delta p_k(p) \right)"
BILINEAR = r"x(q) = \sum_{r} \max(0, 1 - |q_y - r_y|) \, \max(0, 1 - |q_x - r_x|) \, x(r)"
SLOPE = r"\frac{\partial x(q)}{\partial q_x} = (1 - a) \left( x_{i,j+1} - x_{i,j} \right) + a \left( x_{i+1,j+1} - x_{i+1,j} \right)"

by_definition("Deformable", "RoIAlign")
sourced("documentation of torchvision.ops.deform_conv2d, shapes of input, offset and mask", "Input")
sourced("Deformable DETR, arXiv 2010.04159, section 4.1", "Deformable attention")


def read(x, qy, qx):
    """The value of one channel at a fractional place: the formula as written, over all pixels."""
    h, w = x.shape
    return (
        np.maximum(0, 1 - abs(qy - np.arange(h)))[:, None] * np.maximum(0, 1 - abs(qx - np.arange(w)))[None, :] * x
    ).sum()


def deform(x, offset, weight, mask, stride=1, padding=0):
    """The sum over taps for one image, in NumPy."""
    out, channels, kh, kw = weight.shape
    oh, ow = offset.shape[1:]
    y = np.zeros((out, oh, ow))
    for i in range(oh):
        for j in range(ow):
            for k in range(kh * kw):
                place = (
                    i * stride - padding + k // kw + offset[2 * k, i, j],
                    j * stride - padding + k % kw + offset[2 * k + 1, i, j],
                )
                for c in range(channels):
                    y[:, i, j] += weight[:, c, k // kw, k % kw] * mask[k, i, j] * read(x[c], *place)
    return y


def sampled(x, qy, qx):
    h, w = x.shape[-2:]
    grid = torch.stack([2 * qx / (w - 1) - 1, 2 * qy / (h - 1) - 1], -1)
    return F.grid_sample(x[None, None], grid[None, None], align_corners=True)[0, 0, 0]


# verified: formula-only for the compiled operator; with zero and whole offsets it is compared with F.conv2d
@formula(TAPS)
@holds("Input", "Output", "Ordinary", "Deformable", "Are the kernel weights deformed, too?")
def check_taps():
    for shape, stride, padding in [((2, 5, 6), 1, 1), ((1, 7, 7), 2, 1), ((3, 4, 4), 1, 0)]:
        x = torch.randn(shape, dtype=torch.float64)
        weight = torch.randn(4, shape[0], 3, 3, dtype=torch.float64)
        wanted = F.conv2d(x[None], weight, stride=stride, padding=padding)[0].numpy()
        oh, ow = wanted.shape[1:]
        zero, ones = np.zeros((18, oh, ow)), np.ones((9, oh, ow))
        np.testing.assert_allclose(deform(x.numpy(), zero, weight.numpy(), ones, stride, padding), wanted, atol=1e-10)
        np.testing.assert_allclose(
            deform(x.numpy(), zero, weight.numpy(), 0.5 * ones, stride, padding), wanted / 2, atol=1e-10
        )
    x, weight = torch.randn(1, 5, 6, dtype=torch.float64), torch.randn(2, 1, 3, 3, dtype=torch.float64)
    down = np.zeros((18, 5, 6))
    down[0::2] = 1
    shifted = F.conv2d(F.pad(x[None, ..., 1:, :], (0, 0, 0, 1)), weight, padding=1)[0].numpy()
    ours = deform(x.numpy(), down, weight.numpy(), np.ones((9, 5, 6)), padding=1)
    np.testing.assert_allclose(ours[:, 1:], shifted[:, 1:], atol=1e-10)
    one_tap, right = np.zeros((18, 5, 6)), F.pad(x[0], (1, 1, 1, 1))
    one_tap[2 * 5 + 1] = 1  # tap 5: second row, third column
    changed = deform(x.numpy(), one_tap, weight.numpy(), np.ones((9, 5, 6)), padding=1)
    plain = F.conv2d(x[None], weight, padding=1)[0].numpy()
    moved = F.pad(right, (0, 1))[1:6, 3:9] - right[1:6, 2:8]
    np.testing.assert_allclose(changed - plain, weight[:, 0, 1, 2].numpy()[:, None, None] * moved.numpy(), atol=1e-10)


@formula(BILINEAR)
@holds("Cost")
def check_bilinear():
    x = torch.randn(5, 7, dtype=torch.float64)
    qy, qx = torch.rand(300, dtype=torch.float64) * 8 - 2, torch.rand(300, dtype=torch.float64) * 10 - 2
    ours = [read(x.numpy(), a, b) for a, b in zip(qy.tolist(), qx.tolist())]
    np.testing.assert_allclose(ours, sampled(x, qy, qx).numpy(), atol=1e-10)
    x.requires_grad_()
    for qy, qx, reads in ((1.25, 3.5, 4), (1.0, 3.0, 1)):
        value = sampled(x, torch.tensor([qy], dtype=torch.float64), torch.tensor([qx], dtype=torch.float64))
        (gradient,) = torch.autograd.grad(value.sum(), x)
        assert (gradient.abs() > 1e-9).sum() == reads


@formula(SLOPE)
def check_slope():
    x = torch.randn(5, 7, dtype=torch.float64)
    for _ in range(20):
        i, j = int(torch.randint(4, ())), int(torch.randint(6, ()))
        a, b = torch.rand(2, dtype=torch.float64) * 0.98 + 0.01
        qy, qx = (i + a)[None], (j + b)[None].requires_grad_()
        (library,) = torch.autograd.grad(sampled(x, qy, qx).sum(), qx)
        ours = (1 - a) * (x[i, j + 1] - x[i, j]) + a * (x[i + 1, j + 1] - x[i + 1, j])
        assert math.isclose(ours.item(), library.item(), rel_tol=1e-8, abs_tol=1e-10)


@check
def check_by_hand():
    x = np.arange(1.0, 10).reshape(1, 3, 3)

    def centre(dy, dx, mask=1.0):
        offset = np.zeros((2, 3, 3))
        offset[:, 1, 1] = dy, dx
        return deform(x, offset, np.full((1, 1, 1, 1), 2.0), np.full((1, 3, 3), mask))[0, 1, 1]

    assert centre(0, 0) == 10 and centre(-0.5, -0.5) == 6 and centre(-1.5, -1) == 1
    stated("10.5", centre(0, 0.25))
    stated("5.25", centre(0, 0.25, 0.5))
    stated("5.25", read(x[0], 1, 1.25))


@holds("Parameters", "Defaults", "Same in train and eval?", "How many offset channels?")
def check_parameters_and_contract():
    count = lambda channels: sum(p.numel() for p in nn.Conv2d(256, channels, 3, padding=1).parameters())
    stated("41,490", count(18))
    stated("62,235", count(27))
    stated("18", 2 * 1 * 3 * 3)
    plain = DeformConv2d(256, 256, 3)
    assert (plain.stride, plain.padding, plain.dilation, plain.groups) == ((1, 1), (0, 0), (1, 1), 1)
    assert plain.bias is not None
    source = inspect.getsource(DeformConv2d) + inspect.getsource(deform_conv2d)
    assert not list(plain.buffers()) and "training" not in source
    # The number of offset groups is read from the channels of the offset: two numbers per tap and group.
    assert "offset.shape[1] // (2 * weights_h * weights_w)" in inspect.getsource(deform_conv2d)
    layer = DeformConv2d(256, 256, 3, padding=1)
    assert sum(p.numel() for p in layer.parameters()) == sum(p.numel() for p in nn.Conv2d(256, 256, 3).parameters())
    assert (layer.stride, layer.padding, layer.dilation, layer.groups) == (
        (1, 1),
        (1, 1),
        (1, 1),
        1,
    ) and layer.bias is not None
    assert inspect.signature(layer.forward).parameters["mask"].default is None


def deform_torch(x, offset, weight, mask=None, padding=1):
    """The same sum with grid_sample, for a batch and for gradients; stride 1."""
    h, w = x.shape[-2:]
    oh, ow = offset.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(oh) - padding, torch.arange(ow) - padding, indexing="ij")
    total = 0
    for k in range(9):
        qy, qx = rows + k // 3 + offset[:, 2 * k], columns + k % 3 + offset[:, 2 * k + 1]
        value = F.grid_sample(x, torch.stack([2 * qx / (w - 1) - 1, 2 * qy / (h - 1) - 1], -1), align_corners=True)
        value = value if mask is None else value * mask[:, k : k + 1]
        total = total + torch.einsum("oc,nchw->nohw", weight[:, :, k // 3, k % 3], value)
    return total


@pitfall("\"missing 1 required positional argument: 'offset'\"")
def check_the_layer_wants_its_offsets():
    """The compiled operator does not load here, so the sum itself runs in deform_torch."""
    layer, x = DeformConv2d(4, 4, 3, padding=1), torch.randn(2, 4, 6, 7)
    raises(TypeError, lambda: layer(x), "missing 1 required positional argument: 'offset'")
    assert not any(name.startswith("offset") for name, _ in layer.named_parameters())
    offset = nn.Conv2d(4, 2 * 9, 3, padding=1)(x)
    inspect.signature(layer.forward).bind(x, offset)
    both = nn.Conv2d(4, 27, 3, padding=1)(x)
    mask = both[:, -9:].sigmoid()
    inspect.signature(layer.forward).bind(x, both[:, :18], mask)
    assert (
        deform_torch(x, offset, layer.weight).shape
        == deform_torch(x, both[:, :18], layer.weight, mask).shape
        == (2, 4, 6, 7)
    )
    ours = deform(
        x[0].numpy(), both[0, :18].detach().numpy(), layer.weight.detach().numpy(), mask[0].detach().numpy(), padding=1
    )
    np.testing.assert_allclose(ours, deform_torch(x, both[:, :18], layer.weight, mask)[0].detach().numpy(), atol=1e-4)


@pitfall("The points move along the wrong axis")
def check_order_of_the_offset_channels():
    """All taps one pixel down: right in pairs with y first, wrong in every other order. The compiled operator is not run."""
    x, weight = torch.randn(1, 6, 7, dtype=torch.float64), torch.randn(1, 1, 3, 3, dtype=torch.float64)
    plain = F.conv2d(x[None], weight, padding=1)[0].numpy()
    down, right = np.ones((9, 6, 7)), np.zeros((9, 6, 7))
    run = lambda offset: deform(x.numpy(), offset, weight.numpy(), np.ones((9, 6, 7)), padding=1)
    pairs = np.empty((18, 6, 7))
    pairs[0::2], pairs[1::2] = down, right
    np.testing.assert_allclose(run(pairs)[:, :-1], plain[:, 1:], atol=1e-10)
    for wrong in (np.concatenate([right, down]), np.concatenate([down, right]), pairs[::-1]):
        assert not np.allclose(run(wrong)[:, :-1], plain[:, 1:])
    np.testing.assert_allclose(run(pairs[::-1])[..., :-1], plain[..., 1:], atol=1e-10)


@pitfall('"invalid batch size of offset", or offsets of the wrong size')
def check_geometry_of_the_offset_layer():
    """With equal geometry the offsets fit the output; the check inside the compiled operator is not run."""
    x = torch.randn(3, 4, 20, 17)
    for kernel, stride, padding, dilation in ((3, 2, 1, 1), (3, 1, 0, 1), (5, 2, 4, 2)):
        output = nn.Conv2d(4, 4, kernel, stride, padding, dilation)(x).shape
        copied = nn.Conv2d(4, 2 * kernel**2, kernel, stride, padding, dilation)(x).shape
        careless = nn.Conv2d(4, 2 * kernel**2, 3, padding=1)(x).shape
        assert (copied[0], copied[2:]) == (output[0], output[2:]) and careless[2:] != output[2:]
    raises(RuntimeError, lambda: deform_torch(x, torch.zeros(5, 18, 20, 17), torch.randn(4, 4, 3, 3)))


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.offset, self.classes = None, nn.Linear(8 * 64, 10)

    def forward(self, x):
        x = F.relu(self.first(x))
        y = self.second(x) if self.offset is None else deform_torch(x, self.offset(x), self.second.weight)
        return self.classes(F.relu(y).flatten(1))


@pitfall("Put into a trained network, it spoils the features")
def check_offsets_that_start_at_zero():
    pixels, classes = handwritten_digits()
    images = pixels.view(-1, 1, 8, 8)
    net = Digits()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for _ in range(80):
        rows = torch.randint(0, 1200, (64,))
        optimizer.zero_grad()
        F.cross_entropy(net(images[rows]), classes[rows]).backward()
        optimizer.step()

    def accuracy(init):
        net.offset = init and nn.Conv2d(8, 18, 3, padding=1)
        if init:
            init(net.offset.weight)
            nn.init.zeros_(net.offset.bias)
        return float((net(images[1200:]).argmax(1) == classes[1200:]).float().mean())

    trained, random, zero = accuracy(None), accuracy(nn.init.normal_), accuracy(nn.init.zeros_)
    assert trained > 0.8 and random < 0.4 and abs(zero - trained) < 0.005
    nn.init.kaiming_uniform_(net.second.weight, 5**0.5)  # a new kernel, as nn.Conv2d starts it
    assert accuracy(nn.init.zeros_) < 0.6
    x, weight = torch.randn(2, 4, 6, 7), torch.randn(5, 4, 3, 3)
    doubled = deform_torch(x, torch.zeros(2, 18, 6, 7), 2 * weight, torch.sigmoid(torch.zeros(2, 9, 6, 7)))
    assert torch.allclose(doubled, F.conv2d(x, weight, padding=1), atol=1e-4)
    bare = nn.Conv2d(4, 4, 3, padding=1, bias=False)  # as in ResNets; the new layer would add a random bias
    assert DeformConv2d(4, 4, 3, padding=1).bias.abs().max() > 0
    raises(RuntimeError, lambda: DeformConv2d(4, 4, 3, padding=1).load_state_dict(bare.state_dict()), '"bias"')
    DeformConv2d(4, 4, 3, padding=1, bias=False).load_state_dict(bare.state_dict())
    layer = DeformConv2d(4, 4, 3, padding=1)
    raises(RuntimeError, lambda: layer.weight.mul_(2), "leaf")
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.mul_(2)
    assert torch.equal(layer.weight, 2 * before)
    bias = torch.arange(1.0, 6)  # the mask does not touch the bias, so it is not doubled
    kept, twice = (doubled + factor * bias[:, None, None] for factor in (1, 2))
    old = F.conv2d(x, weight, bias, padding=1)
    assert torch.allclose(kept, old, atol=1e-4) and not torch.allclose(twice, old, atol=0.5)


@pitfall('"Couldn\'t load custom C++ ops"')
def check_torchvision_of_another_build():
    """The torchvision of this environment was built for another torch; installing a matching pair is not run."""
    layer = DeformConv2d(1, 1, 3, padding=1)
    raises(
        RuntimeError,
        lambda: layer(torch.zeros(1, 1, 4, 4), torch.zeros(1, 18, 4, 4)),
        "Couldn't load custom C++ ops",
        "incompatible",
    )


@holds("Dilated")
def check_wide_grid_of_a_dilated_kernel():
    """Dilation 2 is the constant offset that moves each tap once more away from the centre, with the same weights."""
    x, weight = torch.randn(1, 9, 8, dtype=torch.float64), torch.randn(2, 1, 3, 3, dtype=torch.float64)
    offset = np.zeros((18, 9, 8))
    for k in range(9):
        offset[2 * k], offset[2 * k + 1] = k // 3 - 1, k % 3 - 1
    ours = deform(x.numpy(), offset, weight.numpy(), np.ones((9, 9, 8)), padding=1)
    np.testing.assert_allclose(ours, F.conv2d(x[None], weight, padding=2, dilation=2)[0].numpy(), atol=1e-10)


@holds("What is the receptive field?")
def check_a_tap_reads_any_place():
    x, one = torch.randn(1, 1, 9, 8), torch.ones(1, 1, 3, 3)
    for row, column in ((0, 0), (8, 7), (2, 6)):
        offset, mask = torch.zeros(1, 18, 9, 8), torch.zeros(1, 9, 9, 8)
        mask[:, 4] = 1  # the middle tap alone, at output (4, 3)
        offset[0, 8, 4, 3], offset[0, 9, 4, 3] = row - 4, column - 3
        assert torch.allclose(deform_torch(x, offset, one, mask)[0, 0, 4, 3], x[0, 0, row, column], atol=1e-5)


@holds("Why interpolate and not round to pixels?")
def check_rounding_gives_no_gradient():
    x, offset = torch.randn(1, 1, 6, 7), (0.3 * torch.randn(1, 5, 5, 2)).requires_grad_()
    for mode, learns in (("nearest", False), ("bilinear", True)):
        (gradient,) = torch.autograd.grad(F.grid_sample(x, offset, mode=mode, align_corners=True).sum(), offset)
        assert bool((gradient != 0).any()) is learns
