import numpy as np
import torch
import torchvision
from scipy.signal import correlate2d
from torch import nn

from note_checks import check, formula, raises, stated

LAYER = r"a^{(l)}_{o} = f\left( b_o + \sum_{c} w_{o,c} \star a^{(l-1)}_{c} \right)"
SHIFT = r"(T_t x)_i = x_{i-t}, \qquad w \star (T_t x) = T_t (w \star x)"
RATIO = r"""
\frac{C_{\mathrm{in}} H W \cdot C_{\mathrm{out}} H W}{C_{\mathrm{in}} C_{\mathrm{out}} K^2} = \left( \frac{HW}{K} \right)^2
"""


def number(net):
    return sum(p.numel() for p in net.parameters())


def example():
    features = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
    )
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


@formula(LAYER)
def check_layer():
    for c_in, c_out, K in [(3, 4, 3), (1, 2, 2), (2, 1, 1)]:
        conv = nn.Conv2d(c_in, c_out, K).double()
        x = torch.randn(c_in, 7, 6, dtype=torch.float64)
        library = torch.relu(conv(x)).detach().numpy()
        w, b = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        for o in range(c_out):
            ours = b[o] + sum(correlate2d(x[c].numpy(), w[o, c], mode="valid") for c in range(c_in))
            np.testing.assert_allclose(np.maximum(ours, 0), library[o], atol=1e-10)


@formula(SHIFT)
def check_shift():
    for t in (-3, 1, 2, 5):
        x = torch.randn(1, 2, 20, 20, dtype=torch.float64)
        shifted = torch.zeros_like(x)
        for i in range(20):
            shifted[..., i] = x[..., (i - t) % 20]
        circular = nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular").double()
        assert torch.allclose(circular(shifted), circular(x).roll(t, -1))
        for pooled in (lambda v: v.mean((2, 3)), lambda v: v.amax((2, 3))):
            assert torch.allclose(pooled(circular(shifted)), pooled(circular(x)))
        zeros = nn.Conv2d(2, 3, 3, padding=1).double()
        difference = (zeros(shifted) - zeros(x).roll(t, -1)).abs()[..., 1:-1, :]
        assert difference[..., 6:-6].max() < 1e-10 and difference.max() > 1e-3
        strided = nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular", stride=2).double()
        assert torch.allclose(strided(shifted), strided(x).roll(t // 2, -1)) == (t % 2 == 0)


@formula(RATIO)
def check_ratio():
    for c_in, c_out, H, W, K in [(1, 16, 28, 28, 3), (3, 2, 4, 5, 2)]:
        with torch.device("meta"):
            dense, conv = nn.Linear(c_in * H * W, c_out * H * W), nn.Conv2d(c_in, c_out, K)
        assert abs(dense.weight.numel() / conv.weight.numel() / (H * W / K) ** 2 - 1) < 1e-12


@check
def check_worked_example():
    net = example()
    stated("5,130", number(net))
    assert [number(net[0][0]), number(net[0][3]), number(net[3])] == [160, 4640, 330]
    stated("4,640", number(net[0][3]))
    with torch.device("meta"):
        stated("9,847,040", number(nn.Linear(784, 16 * 784)))
    assert net(torch.randn(2, 1, 64, 48)).shape == (2, 10)


@check
def check_known_models():
    with torch.device("meta"):
        vgg, resnet = torchvision.models.vgg16(), torchvision.models.resnet50()
    stated("138,357,544", number(vgg))
    stated("123,642,856", number(vgg.classifier))
    stated("25,557,032", number(resnet))
    stated("2,049,000", number(resnet.fc))


@check
def check_flatten_fixes_the_size():
    body = example()[0]
    assert body(torch.randn(1, 1, 28, 28)).flatten(1).shape[1] == 1568 and body(torch.randn(1, 1, 32, 32)).flatten(1).shape[1] == 2048
    raises(
        RuntimeError,
        lambda: nn.Sequential(body, nn.Flatten(), nn.Linear(1568, 10))(torch.randn(2, 1, 32, 32)),
        "mat1 and mat2 shapes cannot be multiplied",
    )
    lazy = nn.Sequential(body, nn.Flatten(), nn.LazyLinear(10))
    assert lazy(torch.randn(2, 1, 32, 32)).shape == (2, 10)
    pooled = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for size in (28, 32):
        assert nn.Linear(32, 10)(pooled(torch.randn(2, 1, size, size))).shape == (2, 10)
    raises(RuntimeError, lambda: lazy(torch.randn(2, 1, 28, 28)), "mat1 and mat2 shapes cannot be multiplied")


@check
def check_single_image():
    net, image = example(), torch.randn(1, 28, 28)
    raises(RuntimeError, lambda: net(image), "(32x1 and 32x10)")
    assert net(image.unsqueeze(0)).shape == (1, 10)


@check
def check_pooling_and_odd_shifts():
    x, pool = torch.randn(1, 1, 16, 16), nn.MaxPool2d(2)
    assert torch.equal(pool(x.roll(2, -1)), pool(x).roll(1, -1))
    assert not any(torch.equal(pool(x.roll(1, -1)), pool(x).roll(s, -1)) for s in range(8))
    assert nn.MaxPool2d(2).stride == 2 and nn.Conv2d(1, 1, 3).padding == (0, 0)


@check
def check_doubling_keeps_the_work():
    macs = lambda c, size: nn.Conv2d(c, c, 3).weight.numel() * size * size
    assert macs(64, 56) == macs(128, 28)
