import numpy as np
import torch
import torchvision
from scipy.signal import correlate2d
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

LAYER = r"a^{(l)}_{o} = f\left( b_o + \sum_{c} w_{o,c} \star a^{(l-1)}_{c} \right)"
SHIFT = r"(T_t x)_i = x_{i-t}, \qquad w \star (T_t x) = T_t (w \star x)"
RATIO = r"""
\frac{C_{\mathrm{in}} H W \cdot C_{\mathrm{out}} H W}{C_{\mathrm{in}} C_{\mathrm{out}} K^2} = \left( \frac{HW}{K} \right)^2
"""

by_definition("dense network")
sourced("ViT, arXiv 2010.11929, section 3.1 (inductive bias) and 4.3 (pre-training data)", "vision Transformer")


def number(net):
    return sum(p.numel() for p in net.parameters())


def example():
    features = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
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
@holds("CNN", "dense network", "Why do CNNs do well on images?")
def check_ratio():
    for c_in, c_out, H, W, K in [(1, 16, 28, 28, 3), (3, 2, 4, 5, 2)]:
        with torch.device("meta"):
            dense, conv = nn.Linear(c_in * H * W, c_out * H * W), nn.Conv2d(c_in, c_out, K)
        assert abs(dense.weight.numel() / conv.weight.numel() / (H * W / K) ** 2 - 1) < 1e-12
    pixels = handwritten_digits()[0]

    def related(images):
        """The correlation of horizontal neighbours."""
        left, right = images.view(-1, 8, 8)[..., :-1], images.view(-1, 8, 8)[..., 1:]
        return float((left * right).sum() / (left.norm() * right.norm()))

    centred = pixels - pixels.mean(0)
    mixed = [related(centred[:, torch.randperm(64)]) for _ in range(10)]
    assert related(centred) > 0.2 and max(map(abs, mixed)) < 0.13
    photo = torch.tensor(load_sample_image("china.jpg")[..., 1] / 255.0)  # in photos all pixels of a patch are related
    patches = photo.unfold(0, 8, 8).unfold(1, 8, 8).reshape(-1, 64)
    patches = patches - patches.mean(0)
    mixed = [related(patches[:, torch.randperm(64)]) for _ in range(10)]
    assert min(mixed) > 0.5 and max(mixed) < related(patches)
    # One window: an output reads 3×3 pixels.
    x = torch.zeros(1, 1, 9, 9, requires_grad=True)
    layer = nn.Conv2d(1, 1, 3, padding=1)
    (seen,) = torch.autograd.grad(layer(x)[0, 0, 4, 4], x)
    assert (seen != 0).sum() == 9
    order = torch.randperm(64)  # a dense layer has no order of its inputs
    dense = nn.Linear(64, 5)
    permuted = F.linear(pixels[:9, order], dense.weight[:, order], dense.bias)
    assert torch.allclose(permuted, dense(pixels[:9]), atol=1e-4)


@holds("Input → output", "dtype", "Parameters", "Defaults", "Same in train and eval?")
def check_worked_example():
    net = example()
    stated("5,130", number(net))
    assert [number(net[0][0]), number(net[0][3]), number(net[3])] == [160, 4640, 330]
    stated("4,640", number(net[0][3]))
    with torch.device("meta"):
        stated("9,847,040", number(nn.Linear(784, 16 * 784)))
    assert net(torch.randn(2, 1, 64, 48)).shape == (2, 10)
    raises(RuntimeError, lambda: net(torch.randn(1, 28, 28)), "cannot be multiplied")
    bytes_ = torch.randint(256, (2, 1, 28, 28), dtype=torch.uint8)
    raises(RuntimeError, lambda: net(bytes_))
    assert net(bytes_ / 255).shape == (2, 10)
    assert nn.MaxPool2d(2).stride == 2 and (nn.Conv2d(1, 1, 3).stride, nn.Conv2d(1, 1, 3).padding) == ((1, 1), (0, 0))
    x = torch.randn(4, 1, 28, 28)
    assert torch.equal(net.train()(x), net.eval()(x))
    for layer in (nn.BatchNorm2d(1), nn.Dropout(0.5)):
        assert not torch.allclose(layer.train()(3 * x + 2), layer.eval()(3 * x + 2), atol=0.1)


@pitfall("Most parameters sit in the classifier")
def check_known_models():
    with torch.device("meta"):
        vgg, resnet = torchvision.models.vgg16(), torchvision.models.resnet50()
    stated("138,357,544", number(vgg))
    stated("123,642,856", number(vgg.classifier))
    stated("25,557,032", number(resnet))
    stated("2,049,000", number(resnet.fc))
    assert number(vgg.classifier) > number(vgg) / 2
    with torch.device("meta"):
        pooled = nn.Sequential(vgg.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
        assert pooled(torch.empty(1, 3, 224, 224)).shape == (1, 1000)
        kept = nn.Sequential(nn.Linear(512, 4096), *vgg.classifier[1:])  # pooling alone: still the larger part
    assert number(pooled[3]) < number(pooled) / 20 and number(resnet.fc) < number(resnet) / 10
    assert number(kept) > number(vgg.features)


@holds("Cost")
def check_where_the_arithmetic_and_the_weights_sit():
    for name, late in (("vgg16", ("classifier",)), ("resnet50", ("layer4", "fc"))):
        work = {}
        with torch.device("meta"):
            net = torchvision.models.get_model(name)
            for path, layer in net.named_modules():
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    places = lambda y: y[0, 0].numel() if y.ndim == 4 else 1
                    layer.register_forward_hook(
                        lambda m, _, y, path=path: work.update({path: m.weight.numel() * places(y)})
                    )
            net(torch.empty(1, 3, 224, 224))
        dense = sum(macs for path, macs in work.items() if path.startswith(("classifier", "fc")))
        assert dense < 0.01 * sum(work.values()) and max(work.values()) < 0.15 * sum(work.values())
        assert sum(number(getattr(net, part)) for part in late) > number(net) / 2


@pitfall('"mat1 and mat2 shapes cannot be multiplied"')
def check_flatten_fixes_the_size():
    body = example()[0]
    assert (
        body(torch.randn(1, 1, 28, 28)).flatten(1).shape[1] == 1568
        and body(torch.randn(1, 1, 32, 32)).flatten(1).shape[1] == 2048
    )
    raises(
        RuntimeError,
        lambda: nn.Sequential(body, nn.Flatten(), nn.Linear(1568, 10))(torch.randn(2, 1, 32, 32)),
        "mat1 and mat2 shapes cannot be multiplied",
    )
    lazy = nn.Sequential(body, nn.Flatten(), nn.LazyLinear(10))
    raises(ValueError, lambda: sum(p.numel() for p in lazy.parameters()), "uninitialized parameter")
    raises(ValueError, lambda: nn.init.zeros_(lazy[-1].bias), "uninitialized parameter")
    optimizer = torch.optim.SGD(lazy.parameters(), 0.1)  # made before the first batch: it trains the layer
    assert lazy(torch.randn(2, 1, 32, 32)).shape == (2, 10)
    before = nn.init.zeros_(lazy[-1].bias).clone()
    F.cross_entropy(lazy(torch.randn(2, 1, 32, 32)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert sum(p.numel() for p in lazy[-1].parameters()) == 20490 and not torch.equal(lazy[-1].bias, before)
    pooled = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for size in (28, 32):
        assert nn.Linear(32, 10)(pooled(torch.randn(2, 1, size, size))).shape == (2, 10)
    raises(RuntimeError, lambda: lazy(torch.randn(2, 1, 28, 28)), "mat1 and mat2 shapes cannot be multiplied")


@pitfall("One image gives a shape error")
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


class BlurredPool(nn.Module):
    """Maximum at stride 1, then a fixed blur at stride 2, as in Zhang 2019."""

    def forward(self, x):
        taps = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype)
        kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1), kernel, stride=2, padding=1, groups=x.shape[1])


def convolutions(pool):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), pool(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), pool()
    )


def digits():
    pixels, classes = handwritten_digits()
    return pixels.view(-1, 1, 8, 8), classes


def moved_by(x):
    return x.roll((int(torch.randint(-2, 3, ())), int(torch.randint(-2, 3, ()))), (-2, -1))


def trained(augment):
    """The share of unseen digits that a small CNN with a flattened map still knows one and two pixels away."""
    torch.manual_seed(0)
    images, classes = digits()
    canvas = F.pad(images, (2, 2, 2, 2))
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 36, 10))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(150):
        rows = torch.randint(0, 1200, (64,))
        batch = moved_by(canvas[rows]) if augment else canvas[rows]
        optimizer.zero_grad()
        F.cross_entropy(net(batch), classes[rows]).backward()
        optimizer.step()
    right = lambda s: float((net(canvas[1200:].roll(s, -1)).argmax(1) == classes[1200:]).float().mean())
    return right(0), min(right(s) for s in (-2, -1, 1, 2))


@pitfall('"CNNs are translation invariant"')
def check_invariance_needs_help_and_stays_approximate():
    canvas = F.pad(digits()[0][:50], (12, 12, 12, 12))
    change = {}
    for name, body, head in (
        ("flattened", convolutions(lambda: nn.MaxPool2d(2)), nn.Flatten()),
        ("pooled", convolutions(lambda: nn.MaxPool2d(2)), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())),
        ("blurred", convolutions(BlurredPool), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())),
        ("blurred alone", convolutions(BlurredPool), nn.Flatten()),
    ):
        net = nn.Sequential(body, head).double()
        x = canvas.double()
        net.requires_grad_(False)
        signal = net(x) - net(torch.zeros_like(x))
        change[name] = float((net(x.roll(1, -1)) - net(x)).norm() / signal.norm())
    assert (
        change["flattened"] > 0.3
        and change["pooled"] < 0.4 * change["flattened"]
        and change["blurred"] < 0.5 * change["pooled"]
    )
    assert change["blurred"] > 1e-6 and change["blurred alone"] < 0.7 * change["flattened"]
    (still, away), (still_augmented, away_augmented) = trained(False), trained(True)
    assert still > 0.6 and still_augmented > 0.6
    assert away < 0.35 and 0.45 < away_augmented < 1


@holds("Why do channels double where the size is halved?")
def check_doubling_keeps_the_work():
    macs = lambda c, size: nn.Conv2d(c, c, 3).weight.numel() * size * size
    assert macs(64, 56) == macs(128, 28) == 9 * 64**2 * 56**2 == 9 * (2 * 64) ** 2 * 56**2 // 4


@holds("LSTM", "1-D CNN", "CNN or LSTM for a sequence?")
def check_views_of_a_sequence():
    """The gradient of the last step: within the window for the CNN, back to the first step for the LSTM."""
    for length in (8, 40):
        x = torch.randn(1, length, 2, dtype=torch.float64, requires_grad=True)
        cnn = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Tanh(), nn.Conv1d(4, 1, 3)).double()
        lstm = nn.LSTM(2, 4, batch_first=True).double()
        (seen,) = torch.autograd.grad(cnn(x.mT)[0, 0, -1], x)
        assert (seen[0].abs().sum(1) > 0).nonzero().flatten().tolist() == list(range(length - 5, length))
        outputs, (h, c) = lstm(x)
        (seen,) = torch.autograd.grad(outputs[0, -1].sum(), x)
        assert (seen[0].abs().sum(1) > 0).all() and h.shape == c.shape == (1, 1, 4)
        first, state = lstm(x[:, :5])  # step by step, with the state carried along
        rest, _ = lstm(x[:, 5:], state)
        assert torch.allclose(torch.cat([first, rest], 1), outputs)
        windows = x.mT.unfold(2, 5, 1)[0].transpose(0, 1)  # all windows at once: no step waits for another
        assert torch.allclose(cnn(windows)[:, 0, 0], cnn(x.mT)[0, 0])


def accuracy_on_turned_digits(turned):
    """The share of turned digits that a small CNN classifies right, trained with or without quarter turns."""
    torch.manual_seed(0)
    images, classes = digits()
    conv = lambda a, b: (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    net = nn.Sequential(*conv(1, 16), nn.MaxPool2d(2), *conv(16, 32), *head)
    optimizer = torch.optim.Adam(net.parameters(), 0.005)
    for _ in range(250):
        rows = torch.randint(0, 1200, (64,))
        batch = images[rows].rot90(int(torch.randint(4, ())), (-2, -1)) if turned else images[rows]
        optimizer.zero_grad()
        F.cross_entropy(net(batch), classes[rows]).backward()
        optimizer.step()
    return float((net(images[1200:].rot90(1, (-2, -1))).argmax(1) == classes[1200:]).float().mean())


@holds("Is a CNN invariant to rotation and scale?")
def check_rotation_and_scale_change_the_features():
    net, x = nn.Sequential(convolutions(lambda: nn.MaxPool2d(2)), nn.AdaptiveAvgPool2d(1)), digits()[0][:50]
    x = F.interpolate(x, scale_factor=4)
    reference = net(x) - net(torch.zeros_like(x))
    shrunk = F.pad(F.interpolate(x, scale_factor=0.5), (8, 8, 8, 8))
    for changed in (x.rot90(1, (-2, -1)), shrunk):
        assert (net(changed) - net(x)).norm() > 0.05 * reference.norm()
    assert accuracy_on_turned_digits(False) < 0.2 and accuracy_on_turned_digits(True) > 0.35
