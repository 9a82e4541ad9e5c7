import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import formula, holds, pitfall, raises, sourced, stated

POINT = r"y_{n,o,u,v} = b_o + \sum_{c=1}^{C} w_{o,c}\; x_{n,c,u,v}"
MATRIX = r"Y = W X + b\,\mathbf{1}"
MLPCONV = r"y = \mathrm{ReLU}\left( W_2\, \mathrm{ReLU}(W_1\, \mathrm{ReLU}(x) + b_1) + b_2 \right)"
BOTTLENECK = r"P = C r + 9 r^2 + r C"

sourced("Network In Network, arXiv 1312.4400, section 3.2", "What is NIN's other idea?")


def number(layer):
    return sum(p.numel() for p in layer.parameters())


def bottleneck(C, r):
    return nn.Sequential(
        nn.Conv2d(C, r, 1, bias=False), nn.Conv2d(r, r, 3, padding=1, bias=False), nn.Conv2d(r, C, 1, bias=False)
    )


@formula(POINT, MATRIX)
def check_equals_the_library():
    for N, C, C_out, H, W in [(2, 3, 5, 4, 6), (1, 1, 1, 1, 1), (3, 8, 2, 1, 7)]:
        layer = nn.Conv2d(C, C_out, 1, dtype=torch.float64)
        x = torch.randn(N, C, H, W, dtype=torch.float64)
        library = layer(x).detach().numpy()
        w, b = layer.weight.detach().numpy()[:, :, 0, 0], layer.bias.detach().numpy()
        for n, o, u, v in np.ndindex(library.shape):
            assert abs(b[o] + sum(w[o, c] * x[n, c, u, v].item() for c in range(C)) - library[n, o, u, v]) < 1e-10
        for n in range(N):
            product = w @ x[n].numpy().reshape(C, H * W) + b[:, None] @ np.ones((1, H * W))
            np.testing.assert_allclose(product.reshape(C_out, H, W), library[n], atol=1e-10)


@formula(MLPCONV)
def check_mlpconv():
    stage = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 6, 1), nn.ReLU(), nn.Conv2d(6, 3, 1), nn.ReLU()).double()
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    library = stage(x).detach().numpy()
    w1, b1, w2, b2 = (p.detach().numpy() for p in stage.parameters())
    relu = lambda v: np.maximum(v, 0)
    for n, u, v in np.ndindex(2, 3, 5):
        ours = relu(w2[:, :, 0, 0] @ relu(w1[:, :, 0, 0] @ relu(x[n, :, u, v].numpy()) + b1) + b2)
        np.testing.assert_allclose(ours, library[n, :, u, v], atol=1e-12)


@formula(BOTTLENECK)
def check_bottleneck():
    for C, r in [(256, 64), (8, 3), (5, 9)]:
        assert number(bottleneck(C, r)) == C * r + 9 * r**2 + r * C
    stated("69,632", number(bottleneck(256, 64)))
    stated("589,824", number(nn.Conv2d(256, 256, 3, bias=False)))
    stated("8.5", number(nn.Conv2d(256, 256, 3, bias=False)) / number(bottleneck(256, 64)))
    assert number(bottleneck(256, 229)) < 589824 < number(bottleneck(256, 230))
    stated("36,864", nn.Conv2d(64, 64, 3).weight.numel())


@holds("Input → output", "dtype", "Parameters", "Defaults", "Same in train and eval?", "Cost")
@holds("What is NIN's other idea?")
def check_worked_example_and_counts():
    w = torch.tensor([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]]).view(2, 3, 1, 1)
    assert F.conv2d(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1), w, torch.tensor([0.0, 1.0])).flatten().tolist() == [
        -2.0,
        5.0,
    ]
    layer = nn.Conv2d(256, 64, 1)
    stated("16,448", number(layer))
    stated("16,384", layer.weight.numel())
    stated("147,456", nn.Conv2d(256, 64, 3).weight.numel())
    stated("2,304", nn.Conv2d(256, 256, 3, groups=256).weight.numel())
    for axes, kind in ((1, nn.Conv1d), (2, nn.Conv2d), (3, nn.Conv3d)):
        point, x = kind(6, 3, 1), torch.randn(2, 6, *(4, 5, 3)[:axes])
        assert point(x).shape == (2, 3, *x.shape[2:]) and torch.equal(point.train()(x), point.eval()(x))
        raises(RuntimeError, lambda: point(x.double()))
        raises(RuntimeError, lambda: point(x.long()))
        assert point.weight.dtype == torch.float32
    assert layer.weight.shape == (64, 256, 1, 1) and layer.bias.shape == (64,)
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(2, 256, 5, 7))
    assert counter.get_total_flops() == 2 * 2 * (5 * 7 * 256 * 64)
    assert (layer.stride, layer.padding, layer.groups) == ((1, 1), (0, 0), 1) and layer(
        torch.randn(256, 4, 5)
    ).shape == (64, 4, 5)
    with torch.device("meta"):
        classifier = [m for m in torchvision.models.squeezenet1_1().classifier if isinstance(m, nn.Conv2d)][0]
    assert classifier.kernel_size == (1, 1) and classifier.out_channels == 1000
    assert [type(m) for m in torchvision.models.squeezenet1_1().classifier][2:] == [nn.ReLU, nn.AdaptiveAvgPool2d]
    stated("513,000", number(classifier))


@pitfall("Stride 2 throws away three quarters of the pixels")
def check_stride():
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    nn.Conv2d(3, 4, 1, stride=2)(x).sum().backward()
    read = x.grad[0].abs().sum(0) != 0
    assert int(read.sum()) == 16 and read[::2, ::2].all()
    for side in (7, 8):
        assert (
            nn.AvgPool2d(2, ceil_mode=True)(torch.randn(1, 3, side, side)).shape
            == nn.Conv2d(3, 3, 1, stride=2)(torch.randn(1, 3, side, side)).shape
        )
        averaged = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(3, 4, 1))
        for cured in (averaged, nn.Conv2d(3, 4, 3, stride=2, padding=1)):
            x = torch.randn(1, 3, side, side, requires_grad=True)
            cured(x).sum().backward()
            assert (x.grad[0].abs().sum(0) != 0).all()
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    nn.Conv2d(3, 4, 3, stride=2)(x).sum().backward()
    assert (x.grad[0, :, -1] == 0).all() and (x.grad[0, :, :, -1] == 0).all()  # without padding these are lost
    with torch.device("meta"):
        shortcut = torchvision.models.resnet18().layer2[0].downsample[0]
    assert shortcut.kernel_size == (1, 1) and shortcut.stride == (2, 2)


@pitfall("A frame of constant values appears")
def check_padding():
    layer, x = nn.Conv2d(3, 4, 1, padding=1), torch.randn(1, 3, 5, 5)
    y = layer(x)
    assert y.shape[-1] == 7
    for edge in (y[0, :, 0], y[0, :, -1], y[0, ..., 0], y[0, ..., -1]):
        assert torch.equal(edge, layer.bias[:, None].expand(4, 7))
    layer.padding = (0, 0)
    assert layer(x).shape == (1, 4, 5, 5) and torch.allclose(layer(x), y[..., 1:-1, 1:-1], atol=1e-6)


def fitted(*between):
    """The error of a stack that should learn, pixel by pixel, whether two channels have the same sign."""
    net = nn.Sequential(nn.Conv2d(2, 16, 1), *between, nn.Conv2d(16, 1, 1))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(300):
        x = torch.randn(1, 2, 16, 16)
        loss = F.mse_loss(net(x), x.prod(1, keepdim=True).sign())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


@pitfall("Two stacked 1×1 layers gain nothing")
def check_two_layers_are_one_matrix():
    first, second = nn.Conv2d(6, 2, 1, bias=False), nn.Conv2d(2, 5, 1, bias=False)
    product = second.weight[:, :, 0, 0] @ first.weight[:, :, 0, 0]
    x = torch.randn(2, 6, 3, 3)
    assert torch.allclose(F.conv2d(x, product[:, :, None, None]), second(first(x)), atol=1e-5)
    assert torch.linalg.matrix_rank(product) == 2
    first, second = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 5, 1)
    product, shift = (
        second.weight[:, :, 0, 0] @ first.weight[:, :, 0, 0],
        second.weight[:, :, 0, 0] @ first.bias + second.bias,
    )
    assert torch.allclose(F.conv2d(x, product[:, :, None, None], shift), second(first(x)), atol=1e-5)
    assert fitted() > 0.8 and fitted(nn.BatchNorm2d(16), nn.ReLU()) < 0.5


@pitfall("Conv and Linear with equal weights differ in the last digits")
def check_tolerance():
    conv, x = nn.Conv2d(256, 64, 1), torch.randn(2, 256, 14, 14)
    rows = lambda w, b, v: F.linear(v.permute(0, 2, 3, 1), w[:, :, 0, 0], b).permute(0, 3, 1, 2)
    assert torch.allclose(conv(x), rows(conv.weight, conv.bias, x), atol=1e-5)
    assert not (conv(x) == rows(conv.weight, conv.bias, x)).all() and not torch.allclose(
        conv(x), rows(conv.weight, conv.bias, x)
    )
    assert not torch.allclose(torch.tensor(0.0), torch.tensor(2e-7))  # the usual difference, on an output near 0
    conv, x = conv.double(), x.double()
    assert torch.allclose(conv(x), rows(conv.weight, conv.bias, x))
    assert torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32  # only convolutions


@holds("Can a dense layer be turned into a convolution?")
def check_dense_as_convolution():
    dense = nn.Linear(3 * 4 * 5, 7)
    x = torch.randn(2, 3, 4, 5)
    y = F.conv2d(x, dense.weight.view(7, 3, 4, 5), dense.bias)
    assert torch.allclose(y[:, :, 0, 0], dense(x.flatten(1)), atol=1e-5)
    after = nn.Linear(7, 2)
    z = F.conv2d(torch.relu(y), after.weight.view(2, 7, 1, 1), after.bias)
    assert torch.allclose(z[:, :, 0, 0], after(torch.relu(dense(x.flatten(1)))), atol=1e-5)
    assert F.conv2d(torch.randn(1, 3, 8, 9), dense.weight.view(7, 3, 4, 5)).shape == (1, 7, 5, 5)
    pooled = F.adaptive_avg_pool2d(torch.randn(1, 3, 8, 9), (4, 5))  # as in torchvision's VGG: no map
    assert F.conv2d(pooled, dense.weight.view(7, 3, 4, 5)).shape == (1, 7, 1, 1)


@holds("1×1 convolution", "3×3 convolution", "`nn.Linear`", "depthwise 3×3 (256 → 256)")
@holds("Does a 1×1 convolution enlarge the receptive field?")
def check_weights_and_what_each_sees():
    def seen(run):
        x = torch.randn(1, 256, 5, 5, requires_grad=True)
        (gradient,) = torch.autograd.grad(run(x)[0, 0, 2, 2], x)
        channels, rows, columns = (gradient[0].abs() > 0).nonzero().T
        return len(channels.unique()), len(rows.unique()), len(columns.unique())

    point, wide = nn.Conv2d(256, 64, 1), nn.Conv2d(256, 64, 3, padding=1)
    alone, linear = nn.Conv2d(256, 256, 3, padding=1, groups=256), nn.Linear(256, 64)
    for layer, text in ((point, "16,384"), (wide, "147,456"), (linear, "16,384"), (alone, "2,304")):
        stated(text, layer.weight.numel())
    assert seen(point) == seen(lambda x: linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)) == (256, 1, 1)
    assert seen(wide) == (256, 3, 3) and seen(alone) == (1, 3, 3)
    assert seen(lambda x: nn.Conv2d(64, 64, 1)(wide(x))) == (256, 3, 3)  # 1×1 behind it adds nothing
    assert linear(torch.randn(2, 9, 256)).shape == (2, 9, 64)


@holds("How can a detector end in 1×1 convolutions?")
def check_region_proposals_end_in_1x1():
    from torchvision.models.detection.rpn import RPNHead

    head = RPNHead(8, 3)
    assert head.cls_logits.kernel_size == head.bbox_pred.kernel_size == (1, 1)
    for size in ((4, 6), (7, 5)):
        scores, boxes = head([torch.randn(1, 8, *size)])
        assert scores[0].shape == (1, 3, *size) and boxes[0].shape == (1, 12, *size)
