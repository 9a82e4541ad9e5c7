import inspect

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.ops import SqueezeExcitation

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

BLOCK = r"""
z_c = \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} x_{cij}, \qquad
s = \sigma\left( W_2 \max(0,\, W_1 z + b_1) + b_2 \right), \qquad y_{cij} = s_c \, x_{cij}
"""
GRADIENT = r"""
\frac{\partial L}{\partial x_{cij}} = s_c \, g_{cij} + \frac{1}{HW} \left[ W_1^\top \left( [W_1 z + b_1 > 0] \odot W_2^\top (u \odot q) \right) \right]_c, \qquad
q_c = \sum_{i,j} g_{cij} \, x_{cij}
"""

by_definition("Cost", "Self-attention")
sourced("ECA-Net, arXiv 1910.03151, section 3.2; CBAM, arXiv 1807.06521, section 3", "ECA", "CBAM")
sourced("SENet, arXiv 1709.01507, section 3.3 and figure 3", "Where does it go in a residual block?")


def weights(block):
    return [
        p.detach().numpy()
        for p in (block.fc1.weight.flatten(1), block.fc1.bias, block.fc2.weight.flatten(1), block.fc2.bias)
    ]


def gates(x, block):
    w1, b1, w2, b2 = weights(block)
    before = x.mean((-2, -1)) @ w1.T + b1
    return before, 1 / (1 + np.exp(-(np.maximum(0, before) @ w2.T + b2)))


@formula(BLOCK)
@holds("Input → output", "Parameters", "Same in train and eval?")
def check_block():
    for n, c, s, h, w in [(1, 2, 1, 1, 1), (3, 8, 2, 5, 4), (2, 64, 4, 7, 7)]:
        block = SqueezeExcitation(c, s).double()
        x = torch.randn(n, c, h, w, dtype=torch.float64) * 3 + 1
        _, gate = gates(x.numpy(), block)
        np.testing.assert_allclose(gate[:, :, None, None] * x.numpy(), block(x).detach().numpy(), atol=1e-12)
        assert torch.allclose(block(x[0]), block(x)[0]) and block(x).shape == x.shape
        assert torch.equal(block.train()(x), block.eval()(x))
        assert sum(p.numel() for p in block.parameters()) == 2 * c * s + s + c


@formula(GRADIENT)
def check_gradient():
    for c, s, h, w in [(3, 2, 2, 5), (8, 4, 4, 4)]:
        block = SqueezeExcitation(c, s).double()
        nn.init.normal_(block.fc1.weight), nn.init.normal_(block.fc2.weight), nn.init.constant_(block.fc1.bias, 3.0)
        x = (torch.randn(1, c, h, w, dtype=torch.float64) + 1).requires_grad_()
        g = torch.randn(1, c, h, w, dtype=torch.float64)
        (library,) = torch.autograd.grad(block(x), x, g)
        w1, _, w2, _ = weights(block)
        before, gate = gates(x.detach().numpy(), block)
        gn, xn, before, gate = g.numpy()[0], x.detach().numpy()[0], before[0], gate[0]
        through = w1.T @ ((before > 0) * (w2.T @ (gate * (1 - gate) * (gn * xn).sum((1, 2))))) / (h * w)
        np.testing.assert_allclose(gate[:, None, None] * gn + through[:, None, None], library[0].numpy(), atol=1e-12)
        assert c == 3 or np.abs(through).max() > 1e-4


@check
def check_by_hand():
    block = SqueezeExcitation(2, 1)
    with torch.no_grad():
        block.fc1.weight.copy_(torch.tensor([[1.0, -1.0]])[..., None, None])
        block.fc2.weight.copy_(torch.tensor([[1.0], [-1.0]])[..., None, None])
        block.fc1.bias.zero_(), block.fc2.bias.zero_()
        y = block(torch.tensor([[1.0, 2, 1, 4], [-1, 1, -2, 2]]).view(1, 2, 2, 2))
    stated("3.5232", y[0, 0, 1, 1])
    stated("0.8808", y[0, 0, 1, 1] / 4)
    stated("0.1192", y[0, 1, 1, 1] / 2)
    stated("0.2384", y[0, 1, 1, 1])


@holds("Parameters", "SE", "CBAM", "Why a bottleneck?")
def check_parameters():
    stated("8,464", sum(p.numel() for p in SqueezeExcitation(256, 16).parameters()))
    resnet = torchvision.models.resnet50()
    widths = [
        block.conv3.out_channels
        for block in resnet.modules()
        if isinstance(block, torchvision.models.resnet.Bottleneck)
    ]
    assert len(widths) == 16
    total = sum(SqueezeExcitation(c, c // 16).fc1.weight.numel() * 2 for c in widths)
    stated("2,514,944", total)
    assert 0.09 < total / sum(p.numel() for p in resnet.parameters()) < 0.11
    assert 2 * 256 * (256 // 16) == 256**2 // 8 == SqueezeExcitation(256, 16).fc1.weight.numel() * 2
    assert nn.Conv2d(2, 1, 7, bias=False).weight.numel() == 98  # the spatial gate of CBAM


@holds("Defaults")
def check_defaults():
    parameters = inspect.signature(SqueezeExcitation).parameters
    assert parameters["squeeze_channels"].default is inspect.Parameter.empty
    assert parameters["activation"].default is nn.ReLU and parameters["scale_activation"].default is nn.Sigmoid


@holds("ECA", "GC block", "Self-attention")
def check_other_rows():
    eca = nn.Conv1d(1, 1, 3, padding=1, bias=False)  # over the channels, on their averages
    assert eca(torch.randn(2, 1, 64)).shape == (2, 1, 64) and eca.weight.numel() == 3
    c, r = 64, 16
    context = nn.Conv2d(c, 1, 1), nn.Conv2d(c, c // r, 1), nn.Conv2d(c // r, c, 1)
    assert sum(m.weight.numel() for m in context) == 2 * c * c // r + c
    heads = nn.MultiheadAttention(c, 4, bias=False)
    assert sum(p.numel() for p in heads.parameters()) == 4 * c * c


@holds(
    "SE",
    "Is SE attention?",
    "Why a sigmoid and not a softmax?",
    "Why a bottleneck?",
    "Can it be folded into the convolution like [BatchNorm](topic:batchnorm-folding)?",
)
def check_gates():
    block, x = SqueezeExcitation(64, 4).double(), 3 * torch.randn(2, 64, 5, 5, dtype=torch.float64)
    gate = (block(x) / x)[..., 0, 0]
    assert (gate.sum(1) - 1).abs().min() > 10
    assert not torch.allclose(gate[0], gate[1], atol=1e-3)  # another image, other gates
    logits = torch.tensor([3.0, 3.0, 3.0, -3.0])
    more = logits + torch.tensor([2.0, 0, 0, 0])
    assert torch.equal(torch.sigmoid(logits)[1:], torch.sigmoid(more)[1:]) and (torch.sigmoid(logits)[:3] > 0.9).all()
    assert (torch.softmax(more, 0)[1:] < torch.softmax(logits, 0)[1:]).all() and torch.softmax(logits, 0).max() < 0.34
    averages = torch.randn(64, 1, 1, dtype=torch.float64) + 9
    with torch.no_grad():
        block.fc1.bias.fill_(2.0)
    reaches = torch.autograd.functional.jacobian(lambda z: (block(z) / z).flatten(), averages)
    assert (reaches != 0).all()  # every channel's average moves every gate
    norm = nn.BatchNorm2d(64).eval()
    a, b = torch.randn(2, 64, 3, 3), torch.randn(2, 64, 3, 3)
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()  # of BatchNorm: the same for every image
    assert torch.allclose(norm(a) - norm(b), (a - b) * factor[:, None, None], atol=1e-6)


@check
def check_start_and_activations():
    block = SqueezeExcitation(256, 16)
    x = torch.randn(8, 256, 7, 7)
    gate = block(x) / x
    assert (gate - 0.5).abs().max() < 0.12
    nn.init.zeros_(block.fc2.weight), nn.init.constant_(block.fc2.bias, 3.0)
    stated("0.9526", (block(x) / x).detach().mean())
    stated("0.95", nn.Hardsigmoid()(torch.tensor(2.7)))
    for bias, learns in ((3.0, False), (2.7, True)):
        hard = SqueezeExcitation(64, 4, scale_activation=nn.Hardsigmoid)
        nn.init.zeros_(hard.fc2.weight), nn.init.constant_(hard.fc2.bias, bias)
        hard(torch.randn(2, 64, 5, 5)).sum().backward()
        assert bool(hard.fc2.weight.grad.any()) == learns
    stated("0.8333", nn.Hardsigmoid()(torch.tensor(2.0)))
    stated("0.8808", torch.sigmoid(torch.tensor(2.0)))


@check
def check_what_a_pixel_and_the_average_tell_in_the_figure():
    for seed in range(3):
        x, _, level = figure_of(__file__).batch(4000, torch.Generator().manual_seed(seed))
        right = lambda guess: ((guess > 0) == (level > 0)).double().mean().item()
        assert 0.55 < right(x[:, 2, 0, 0]) < 0.7 < 0.88 < right(x[:, 2].mean((1, 2))) < 0.97


@pitfall("The block is far too small or far too large")
def check_width_and_ratio():
    number = lambda c, s: sum(p.numel() for p in SqueezeExcitation(c, s).parameters())
    for c, wrong in ((2048, lambda w, right: w < right / 7), (32, lambda w, right: w > 6 * right)):
        assert wrong(number(c, 16), number(c, max(1, c // 16)))  # the ratio 16, passed as a width
        assert SqueezeExcitation(c, max(1, c // 16)).fc1.out_channels == c // 16
    assert SqueezeExcitation(8, max(1, 8 // 16))(torch.randn(1, 8, 4, 4)).shape == (1, 8, 4, 4)
    raises(RuntimeError, lambda: SqueezeExcitation(8, 8 // 16)(torch.randn(1, 8, 4, 4)))


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        convolution = lambda: nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.branch = nn.Sequential(convolution(), nn.BatchNorm2d(c), nn.ReLU(), convolution(), nn.BatchNorm2d(c))
        self.gate = nn.Identity()

    def forward(self, x):
        return torch.relu(x + self.gate(self.branch(x)))


@pitfall("A pretrained network collapses after SE was inserted")
def check_insertion_into_a_trained_network():
    pixels, classes = handwritten_digits()
    images = pixels.view(-1, 1, 8, 8)
    blocks = [Residual(16) for _ in range(8)]
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)
    )
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(40):
        batch = torch.randperm(len(images))[:64]
        optimizer.zero_grad()
        F.cross_entropy(network(images[batch]), classes[batch]).backward()
        optimizer.step()
    network.eval()
    accuracy = lambda: (network(images[:300]).argmax(1) == classes[:300]).float().mean().item()
    before = accuracy()
    for activation, bias in ((nn.Sigmoid, 3.0), (nn.Hardsigmoid, 2.7)):
        for block in blocks:
            block.gate = SqueezeExcitation(16, 4, scale_activation=activation)
        assert before > 0.6 and accuracy() < before - 0.2
        for block in blocks:
            nn.init.zeros_(block.gate.fc2.weight), nn.init.constant_(block.gate.fc2.bias, bias)
        F.cross_entropy(network(images[:64]), classes[:64]).backward()
        assert all(block.gate.fc2.weight.grad.any() for block in blocks)
        assert accuracy() > before - 0.15


@pitfall("Ported weights do not fit, or give other numbers")
def check_ported_weights():
    source, x = SqueezeExcitation(72, 24, scale_activation=nn.Hardsigmoid), torch.randn(2, 72, 5, 5)
    same, soft, inside = (
        SqueezeExcitation(72, 24, **options)
        for options in (
            {"scale_activation": nn.Hardsigmoid},
            {},
            {"activation": nn.SiLU, "scale_activation": nn.Hardsigmoid},
        )
    )
    for block in (same, soft, inside):
        block.load_state_dict(source.state_dict())
    assert torch.equal(same(x), source(x)) and all(
        (block(x) - source(x)).abs().max() > 1e-3 for block in (soft, inside)
    )
    raises(RuntimeError, lambda: SqueezeExcitation(72, 72 // 4).load_state_dict(source.state_dict()), "size mismatch")


@holds("Where does it go in a residual block?")
def check_models():
    mobile = [m for m in torchvision.models.mobilenet_v3_large().modules() if isinstance(m, SqueezeExcitation)]
    assert (mobile[0].fc1.in_channels, mobile[0].fc1.out_channels) == (72, 24)
    assert all(isinstance(m.scale_activation, nn.Hardsigmoid) and m.fc1.out_channels % 8 == 0 for m in mobile)
    for parts in (m.block for m in torchvision.models.mobilenet_v3_large().features if hasattr(m, "block")):
        places = [i for i, part in enumerate(parts) if isinstance(part, SqueezeExcitation)]
        assert all(parts[i - 1][0].groups == parts[i - 1][0].in_channels > 1 for i in places)
    efficient = torchvision.models.efficientnet_b0()
    blocks = [m for m in efficient.modules() if isinstance(m, SqueezeExcitation)]
    assert all(isinstance(m.activation, nn.SiLU) and isinstance(m.scale_activation, nn.Sigmoid) for m in blocks)
    assert [(m.fc1.in_channels, m.fc1.out_channels) for m in blocks[:2]] == [(32, 8), (96, 4)]
    first = efficient.features[2][0].block
    assert first[1][0].groups > 1 and isinstance(first[2], SqueezeExcitation)  # after the depthwise convolution


@pitfall("Tiles give another result than the whole image")
def check_positions_do_not_matter_but_tiles_do():
    block = SqueezeExcitation(16, 4).double()
    x = torch.randn(1, 16, 6, 6, dtype=torch.float64) + torch.linspace(-2, 2, 6, dtype=torch.float64)
    order = torch.randperm(36)
    shuffled = x.flatten(2)[..., order].view_as(x)
    assert torch.allclose(block(shuffled), block(x).flatten(2)[..., order].view_as(x))
    tiles = torch.cat([block(x[..., :3]), block(x[..., 3:])], -1)
    assert (tiles - block(x)).abs().max() > 0.01
    conv, gate = nn.Conv2d(16, 2, 3, padding=1).double(), (block(x) / x).detach()[..., :1, :1]
    assert torch.allclose(torch.cat([x[..., :3] * gate, x[..., 3:] * gate], -1), block(x))
    whole = conv(x * gate)
    disjoint = torch.cat([conv(x[..., :3] * gate), conv(x[..., 3:] * gate)], -1)
    overlapping = torch.cat([conv(x[..., :4] * gate)[..., :3], conv(x[..., 2:] * gate)[..., 1:]], -1)
    assert torch.allclose(overlapping, whole) and not torch.allclose(disjoint, whole, atol=1e-3)
    layers = [nn.Conv2d(3 if i == 0 else 8, 8, 3, stride, 1).double() for i, stride in enumerate((2, 1, 2, 1))]
    image, factors = torch.randn(1, 3, 64, 64, dtype=torch.float64), []
    y = image
    for layer in layers:
        y, gate = layer(y), SqueezeExcitation(8, 2).double()
        factors.append(gate._scale(y))
        y = torch.relu(y * factors[-1])

    def lower_half(start):
        z = image[:, :, start:]
        for layer, factor in zip(layers, factors):
            z = torch.relu(layer(z) * factor)
        return z[:, :, (32 - start) // 4 :]

    assert torch.allclose(lower_half(20), y[:, :, 8:])  # the reach is 9 pixels; the total stride is 4
    for start in (32, 23, 22):  # no overlap, and starts off the stride
        assert lower_half(start).shape != y[:, :, 8:].shape or not torch.allclose(lower_half(start), y[:, :, 8:])
