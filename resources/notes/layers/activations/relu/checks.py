import inspect
import math

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F
from torchvision import models

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

FORWARD = r"\mathrm{ReLU}(x) = \max(0, x), \qquad \mathrm{ReLU6}(x) = \min(\max(0, x), 6)"
DERIVATIVE = r"""
\mathrm{ReLU}'(x) = \begin{cases} 1 & x > 0 \\ 0 & x \le 0 \end{cases} \qquad
\mathrm{ReLU6}'(x) = \begin{cases} 1 & 0 < x < 6 \\ 0 & \text{otherwise} \end{cases}
"""
UNIT_GRADIENT = r"""
\frac{\partial L}{\partial w} = \sum_{n:\, z_n > 0} \frac{\partial L}{\partial y_n}\, x_n, \qquad
\frac{\partial L}{\partial b} = \sum_{n:\, z_n > 0} \frac{\partial L}{\partial y_n}
"""

sourced("MobileNetV2, arXiv 1801.04381", "ReLU6")
sourced("DCGAN, arXiv 1511.06434, section 3", "LeakyReLU, PReLU")


def slope_at(function, value):
    x = torch.tensor(value, requires_grad=True)
    return torch.autograd.grad(function(x), x)[0].item()


@formula(FORWARD)
def check_values():
    for shape in [(), (1,), (7,), (3, 4), (2, 3, 4, 5)]:
        x = torch.randn(shape, dtype=torch.float64) * 5
        np.testing.assert_array_equal(np.maximum(0, x.numpy()), F.relu(x).numpy())
        np.testing.assert_array_equal(np.minimum(np.maximum(0, x.numpy()), 6), F.relu6(x).numpy())
    edges = torch.tensor([-math.inf, -1e-45, 0.0, 1e-45, 6.0, math.inf])
    np.testing.assert_array_equal(np.maximum(0, edges.numpy()), nn.ReLU()(edges).numpy())
    np.testing.assert_array_equal(np.minimum(np.maximum(0, edges.numpy()), 6), nn.ReLU6()(edges).numpy())
    assert F.relu(torch.tensor(math.nan)).isnan()


@formula(DERIVATIVE)
@holds("ReLU has no derivative at 0. Why can it be trained?")
def check_derivatives():
    values = torch.cat(
        [torch.randn(200, dtype=torch.float64) * 6, torch.tensor([0.0, -0.0, 6.0, -6.0], dtype=torch.float64)]
    )
    x = values.clone().requires_grad_()
    (relu,) = torch.autograd.grad(F.relu(x).sum(), x)
    np.testing.assert_array_equal(relu.numpy(), np.where(values > 0, 1.0, 0.0))
    one_sided = [F.relu(torch.tensor(h)).item() / h for h in (-0.01, 0.01)]
    np.testing.assert_allclose(one_sided, [0, 1])
    (relu6,) = torch.autograd.grad(F.relu6(x).sum(), x)
    np.testing.assert_array_equal(relu6.numpy(), np.where((values > 0) & (values < 6), 1.0, 0.0))


@formula(UNIT_GRADIENT)
def check_gradient_of_a_unit():
    for samples, features, bias in [(50, 3, 0.0), (8, 1, 0.5), (20, 5, -100.0)]:
        x = torch.randn(samples, features, dtype=torch.float64)
        w = torch.randn(features, dtype=torch.float64, requires_grad=True)
        b = torch.tensor(bias, dtype=torch.float64, requires_grad=True)
        z = x @ w + b
        y = F.relu(z)
        y.retain_grad()
        loss = ((y - torch.randn(samples, dtype=torch.float64)) ** 3).sum() + y.sum()
        loss.backward()
        open_ = z.detach().numpy() > 0
        upstream = y.grad.numpy()
        np.testing.assert_allclose((upstream[open_, None] * x.numpy()[open_]).sum(0), w.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(upstream[open_].sum(), b.grad.item(), atol=1e-12)
        if bias == -100.0:
            assert not open_.any() and not w.grad.any() and not b.grad.any()


@holds("Input → output", "Parameters", "Defaults", "Same in train and eval?", "Cost")
def check_facts():
    assert list(nn.ReLU().parameters()) == [] and nn.ReLU().inplace is False
    assert inspect.signature(F.relu).parameters["inplace"].default is False
    for dtype in (torch.int8, torch.int32, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64):
        assert F.relu(torch.ones(2, dtype=dtype)).dtype == dtype
    for dtype in (torch.bool, torch.complex64, torch.uint16, torch.float8_e4m3fn):
        try:
            F.relu(torch.ones(2).to(dtype))
        except RuntimeError:
            continue
        raise AssertionError(f"expected an error for {dtype}")
    x = torch.randn(4, 3, requires_grad=True)
    y = F.relu(x)
    assert torch.equal(y.grad_fn._saved_result, y)
    assert [name for name in dir(y.grad_fn) if name.startswith("_saved")] == ["_saved_result"] and y.shape == x.shape
    layer = nn.ReLU()
    assert torch.equal(layer.train()(x), layer.eval()(x)) and nn.ReLU6()(torch.tensor([7.0, -1])).tolist() == [6, 0]


@check
def check_worked_example():
    w, b = (
        torch.tensor(1.0, dtype=torch.float64, requires_grad=True),
        torch.tensor(0.0, dtype=torch.float64, requires_grad=True),
    )
    optimizer = torch.optim.SGD([w, b], lr=0.05)
    loss = (F.relu(w * 10 + b) - 1) ** 2 / 2
    loss.backward()
    assert loss.item() == 40.5 and w.grad.item() == 90 and b.grad.item() == 9
    optimizer.step()
    stated("3.5", -w.detach())
    stated("0.45", -b.detach())
    for text, x in zip(["−2.20", "−3.95", "−7.45"], [0.5, 1, 2]):
        stated(text, (w * x + b).detach())
    optimizer.zero_grad()
    later = sum((F.relu(w * x + b) - 1) ** 2 / 2 for x in (0.5, 1, 2))
    later.backward()
    stated("0.5", later.detach() / 3)
    assert w.grad.item() == 0 and b.grad.item() == 0


@pitfall('"modified by an inplace operation" in backward')
def check_inplace_errors():
    def fails(work):
        try:
            work()
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error), error
            return True
        return False

    def after(first):
        return lambda: F.relu(first(torch.randn(2, 3, 4, 4, requires_grad=True)), inplace=True).sum().backward()

    for first in (torch.sigmoid, torch.exp, lambda x: x.softmax(-1), torch.relu):
        assert fails(after(first))
    for first in (nn.Linear(4, 4), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)):
        assert not fails(after(first))
    for first in (torch.sigmoid, torch.exp, lambda x: x.softmax(-1), torch.relu):
        assert not fails(lambda: F.relu(first(torch.randn(2, 3, 4, 4, requires_grad=True))).sum().backward())

    def added(in_place):
        x = torch.randn(2, 4, requires_grad=True)
        skip = torch.randn(2, 4)
        out = F.relu(x * 2)
        if in_place:
            out += skip
        else:
            out = out + skip
        out.sum().backward()

    assert fails(lambda: added(True)) and not fails(lambda: added(False))


@pitfall("A pre-activation residual block silently loses its skip path")
def check_inplace_changes_the_skip_path():
    x = torch.randn(2, 4)
    branch = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4))
    rectified = F.relu(x)
    y = branch(x) + x
    assert torch.equal(x, rectified)
    assert torch.allclose(y, branch[1](rectified) + rectified)
    raises(RuntimeError, lambda: branch(torch.randn(2, 4, requires_grad=True)), "a leaf Variable that requires grad")
    hidden = nn.Linear(4, 4)(torch.randn(2, 4))
    (branch(hidden) + hidden).sum().backward()
    earlier = torch.sigmoid(torch.randn(2, 4, requires_grad=True))
    raises(RuntimeError, lambda: (branch(earlier) + earlier).sum().backward(), "modified by an inplace operation")
    x = torch.randn(2, 4)
    kept, branch = x.clone(), nn.Sequential(nn.ReLU(inplace=False), branch[1])
    assert torch.equal(branch(x) + x, branch(kept) + kept) and torch.equal(x, kept)


@pitfall("A hand-written ReLU gives other gradients at exactly zero")
def check_slopes_at_zero():
    assert slope_at(F.relu, 0.0) == 0
    stated("0.5", slope_at(lambda x: torch.maximum(x, torch.zeros(())), 0.0))
    assert slope_at(lambda x: x.clamp(min=0), 0.0) == 1
    assert torch.__version__.startswith("2.13")
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.bias)
    for function, share in (
        (F.relu, 0),
        (lambda z: torch.maximum(z, torch.zeros(2)), 0.5),
        (lambda z: z.clamp(min=0), 1),
    ):
        layer.zero_grad()
        function(layer(torch.zeros(1, 3))).sum().backward()
        assert layer.bias.grad.tolist() == [share, share]


@holds("ReLU", "ReLU6", "LeakyReLU, PReLU", "GELU", "SiLU")
def check_siblings():
    x = torch.linspace(-6, 0, 600_001, dtype=torch.float64)
    stated("−0.17", F.gelu(x).min())
    stated("−0.28", F.silu(x).min())
    stated("0.01", nn.LeakyReLU().negative_slope)
    assert nn.PReLU().weight.requires_grad and not list(nn.LeakyReLU().parameters())
    s = torch.sigmoid(x)
    stated("0.25", (s * (1 - s)).max())
    assert nn.ReLU6()(torch.tensor(100.0)) == 6
    x = x[:-1].clone().requires_grad_()
    slopes = {f: torch.autograd.grad(f(x).sum(), x)[0] for f in (F.gelu, F.silu, F.relu, F.relu6, F.leaky_relu)}
    for f, low in ((F.gelu, "−0.13"), (F.silu, "−0.10")):
        stated(low, slopes[f].min())
        stated("0.5", slopes[f].max())
        assert abs(slopes[f][0]) < 0.02
    assert not slopes[F.relu].any() and not slopes[F.relu6].any() and (slopes[F.leaky_relu] == 0.01).all()
    with torch.device("meta"):
        nets = [getattr(models, n)() for n in ("resnet18", "mobilenet_v2", "vit_b_16", "efficientnet_b0")]
    for net, kind in zip(nets, (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU)):
        assert any(type(m) is kind for m in net.modules())
    assert MLPClassifier().activation == "relu"


@holds("Why does ReLU help against vanishing gradients, and where does it not?")
def check_gradient_through_thirty_layers():
    def first_gradient(f, gain, shift=0.0):
        a = torch.randn(200, 128, dtype=torch.float64)
        kept = []
        for _ in range(30):
            a = f(a @ (torch.randn(128, 128, dtype=torch.float64) * gain / 128**0.5).requires_grad_() + shift)
            a.retain_grad()
            kept.append(a)
        (a * torch.randn_like(a)).sum().backward()
        return kept[0].grad.norm() / kept[-1].grad.norm().clamp(min=1e-300)

    assert first_gradient(torch.sigmoid, 2**0.5) < 1e-12 and 0.05 < first_gradient(F.relu, 2**0.5) < 20
    assert first_gradient(F.relu, 0.7) < 1e-6 and first_gradient(F.relu, 3.0) > 1e6
    assert first_gradient(F.relu, 1.4, -50.0) == 0


@holds("Why does Kaiming initialization contain a factor 2?")
def check_second_moment_and_gain():
    for z in (torch.randn(2_000_000, dtype=torch.float64) * 3, torch.rand(2_000_000, dtype=torch.float64) - 0.5):
        assert abs(float(F.relu(z).square().mean() / z.square().mean()) - 0.5) < 0.005
    stated("1.4142", nn.init.calculate_gain("relu"))
    a = torch.relu(torch.randn(4000, 256))
    kept = (a @ torch.randn(256, 256) * (2 / 256) ** 0.5).square().mean() / (2 * a.square().mean())
    assert abs(kept - 1) < 0.1  # twice the second moment, which ReLU halves again


def digits_network(x, y, rate, clip=math.inf, activation=None):
    """The loss and the number of dead hidden units after 60 steps."""
    net = nn.Sequential(nn.Linear(x.shape[1], 32), activation or nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(net.parameters(), rate)
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
    return loss.item(), int((net[:2](x) == 0).all(dim=0).sum())


def opened_by_layer(x, y, clip):
    """For each of two hidden layers, whether a unit shut on all of x at the start is open after 200 clipped steps."""
    net = nn.Sequential(nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(net.parameters(), 0.5)
    shut = lambda: [(net[:end](x) == 0).all(dim=0) for end in (2, 4)]
    start = shut()
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
    return [bool((before & ~after).any()) for before, after in zip(start, shut())]


def open_after_an_outlier(slope, clip=math.inf, rate=0.05):
    """Whether the unit of the worked example is open on ordinary samples, one outlier and many rounds later."""
    w, b = torch.tensor(1.0, requires_grad=True), torch.tensor(0.0, requires_grad=True)
    optimizer = torch.optim.SGD([w, b], rate)
    ordinary = torch.tensor([0.5, 1.0, 2.0])
    for x in [torch.tensor([10.0])] + 200 * [ordinary]:
        optimizer.zero_grad()
        ((F.leaky_relu(w * x + b, slope) - 1) ** 2 / 2).sum().backward()
        nn.utils.clip_grad_norm_([w, b], clip)
        optimizer.step()
    return bool((w * ordinary + b > 0).all())


@pitfall("The loss stalls and many activations are always zero")
def check_counting_dead_units():
    layer = nn.Linear(3, 5)
    with torch.no_grad():
        layer.bias[2] = -1000
    y = F.relu(layer(torch.randn(4096, 3)))
    assert (y == 0).all(dim=0)[2]
    maps = F.relu(torch.randn(64, 3, 8, 8)) * torch.tensor([1.0, 0.0, 1.0])[:, None, None]
    assert (maps == 0).all(dim=(0, 2, 3)).tolist() == [False, True, False]
    pixels, y = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    pixels = pixels.float()
    loss, dead = digits_network(pixels, y, 0.5)
    assert loss > 2.29 and dead > 28
    normalized = (pixels - pixels.mean()) / pixels.std()
    for cured in (
        digits_network(normalized, y, 0.5),
        digits_network(pixels, y, 0.01),
        digits_network(pixels, y, 0.5, clip=0.1),
    ):
        assert cured[0] < 0.8 and cured[1] < 5
    leaky = digits_network(pixels, y, 0.5, activation=nn.LeakyReLU())[0]
    assert not leaky < 2.3
    assert not open_after_an_outlier(0.0) and open_after_an_outlier(0.1) and open_after_an_outlier(0.0, clip=1.0)
    assert open_after_an_outlier(0.0, rate=0.005)
    digits_labels = y
    raw, y = (torch.as_tensor(a) for a in load_wine(return_X_y=True))
    standardized = lambda x: (x - x.mean(0)) / x.std(0)
    raw = raw.float()
    outlier = 1000 * torch.randn(1, 13)
    assert digits_network(raw, y, 0.01)[1] > 28  # a rate that is enough for the digits
    standardized_digits = torch.as_tensor(StandardScaler().fit_transform(pixels)).float()
    loss, dead = digits_network(standardized_digits, digits_labels, 0.5)
    assert loss < 0.5 and dead < 5 and standardized(pixels).isnan().any()
    assert StandardScaler().fit_transform(pixels).dtype == np.float64
    images = 255 - pixels.view(-1, 1, 8, 8) * torch.tensor([12.0, 8.0, 12.0])[:, None, None]  # all above zero
    raises(ValueError, lambda: StandardScaler().fit_transform(images.numpy()), "dim 4")
    by_channel = (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True)
    layer = nn.Conv2d(3, 64, 3)
    shut = [int((F.relu(layer(x)) == 0).all(dim=(0, 2, 3)).sum()) for x in (images, by_channel)]
    assert shut[1] == 0 < shut[0]
    assert digits_network(raw, y, 0.0)[1] > 5 and digits_network(raw, y, 0.5)[1] > 28
    for rate, clip in ((0.001, math.inf), (0.5, 0.1)):
        assert digits_network(raw, y, rate, clip)[1] > 5
    cells, tumours = (torch.as_tensor(a) for a in load_breast_cancer(return_X_y=True))
    assert opened_by_layer(cells.float(), tumours, 0.1) == [False, True]
    loss, dead = digits_network(standardized(raw), y, 0.5)
    assert loss < 0.1 and dead < 3
    assert digits_network(standardized(torch.cat([standardized(raw), outlier]))[:-1], y, 0.5)[0] > 0.3


def opens(w: float, b: float, x: torch.Tensor, method, steps: int) -> bool:
    """Whether a unit of one input is ever positive on x while it learns the target 1."""
    w, b = (torch.tensor(v, dtype=x.dtype, requires_grad=True) for v in (w, b))
    optimizer = method(w, b)
    opened = False
    for _ in range(steps):
        optimizer.zero_grad()
        y = F.relu(w * x + b)
        opened = opened or bool((y > 0).any())
        (y - 1).square().sum().backward()
        optimizer.step()
    return opened


@holds("Can a dead unit recover?")
def check_weight_decay_and_a_dead_unit():
    w, b = torch.tensor(-3.5, requires_grad=True), torch.tensor(-0.45, requires_grad=True)
    assert not F.relu(w * torch.tensor([0.5, 1, 2]) + b).any()
    assert F.relu(w * torch.tensor(-1.0) + b) > 0  # other data
    optimizer = torch.optim.SGD([w, b], 0.05, momentum=0.9)
    w.grad, b.grad = torch.tensor(-20.0), torch.tensor(-20.0)
    optimizer.step()  # a gradient from before it was shut
    assert w * 0.5 + b < 0
    for _ in range(20):
        optimizer.zero_grad(set_to_none=False)
        optimizer.step()
    assert w * 0.5 + b > 0  # momentum alone
    x = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    for decay_of_b, recovers in ((0.1, False), (0.0, True)):
        sgd = lambda w, b: torch.optim.SGD(
            [{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": decay_of_b}], lr=0.05
        )
        assert opens(-3.5, 0.45, x, sgd, 500) is recovers
    x = torch.tensor([2.0, 3.0])
    for method, recovers in ((torch.optim.SGD, False), (torch.optim.AdamW, False), (torch.optim.Adam, True)):
        assert opens(-1.0, 1.5, x, lambda w, b: method([w, b], lr=0.01, weight_decay=0.1), 300) is recovers
    overshoots = lambda w, b: torch.optim.SGD([w, b], 0.05, momentum=0.9, weight_decay=0.1)
    assert opens(-1.0, 1.5, x, overshoots, 300)  # hence plain SGD
