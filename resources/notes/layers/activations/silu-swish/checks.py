import math

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

SILU = r"""
\mathrm{SiLU}(x) = x\,\sigma(x) = \frac{x}{1 + e^{-x}}, \qquad
\mathrm{SiLU}'(x) = \sigma(x)\,\bigl(1 + x\,(1 - \sigma(x))\bigr)
"""
SWISH = r"\mathrm{Swish}_\beta(x) = x\,\sigma(\beta x) = \frac{1}{\beta}\,\mathrm{SiLU}(\beta x)"
HARD = r"\mathrm{Hardswish}(x) = x \cdot \frac{\min(\max(x + 3,\, 0),\, 6)}{6}"
SWIGLU = r"\mathrm{SwiGLU}(x) = W_2 \left( \mathrm{SiLU}(W_1 x) \odot W_3 x \right)"

sourced("YOLOv5 models/common.py and YOLOv8 nn/modules/conv.py: default_act = nn.SiLU()", "SiLU")
sourced("BERT, arXiv 1810.04805, appendix A.2 (gelu)", "GELU")
sourced("Swish, arXiv 1710.05941, abstract; GELUs, arXiv 1606.08415, section 2", "Is it better than ReLU?")

sigma = lambda x: 1 / (1 + np.exp(-x))


def curve(f):
    """A fine grid, the values and the slopes of f on it."""
    x = torch.linspace(-12, 12, 240001, dtype=torch.float64, requires_grad=True)
    y = f(x)
    return x.detach(), y.detach(), torch.autograd.grad(y.sum(), x)[0]


@formula(SILU)
def check_silu():
    for shape in [(), (7,), (3, 4, 5)]:
        x = (torch.randn(shape, dtype=torch.float64) * 4).requires_grad_(True)
        y = F.silu(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        xn = x.detach().numpy()
        for ours in (xn * sigma(xn), xn / (1 + np.exp(-xn))):
            np.testing.assert_allclose(ours, y.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(sigma(xn) * (1 + xn * (1 - sigma(xn))), slope.numpy(), atol=1e-12)
        assert torch.equal(nn.SiLU()(x), y)


@formula(SWISH)
def check_swish():
    x = torch.randn(50, dtype=torch.float64) * 3
    for beta in (-0.7, 0.5, 1.0, 3.0):
        np.testing.assert_allclose(x.numpy() * sigma(beta * x.numpy()), (F.silu(beta * x) / beta).numpy(), atol=1e-12)
    assert torch.allclose(x * torch.sigmoid(0 * x), x / 2)
    assert torch.allclose(x * torch.sigmoid(1e6 * x), F.relu(x), atol=1e-5)


@formula(HARD)
def check_hardswish():
    x = torch.cat([torch.randn(200, dtype=torch.float64) * 4, torch.tensor([-3.0, 0.0, 3.0], dtype=torch.float64)])
    np.testing.assert_allclose(
        x.numpy() * np.minimum(np.maximum(x.numpy() + 3, 0), 6) / 6, nn.Hardswish()(x).numpy(), atol=1e-12
    )


@formula(SWIGLU)
@holds("Why does SwiGLU use a hidden width of 8/3?")
def check_swiglu():
    w1, w3, w2 = torch.randn(7, 4), torch.randn(7, 4), torch.randn(4, 7)
    x = torch.randn(5, 4)
    library = F.linear(F.silu(F.linear(x, w1)) * F.linear(x, w3), w2)
    for row, expected in zip(x.numpy(), library.numpy()):
        h = w1.numpy() @ row
        np.testing.assert_allclose(w2.numpy() @ (h * sigma(h) * (w3.numpy() @ row)), expected, rtol=1e-3, atol=1e-4)
    stated("1,376", 32 * math.ceil(8 * 512 / 3 / 32))
    d = 768
    assert 3 * d * (8 * d // 3) == 2 * d * 4 * d


@check
def check_worked_example():
    x = torch.tensor([1.0, -1.0], dtype=torch.float64, requires_grad=True)
    y = F.silu(x)
    stated("0.7311", y[0].detach())
    stated("−0.2689", y[1].detach())
    stated("0.9277", torch.autograd.grad(y.sum(), x)[0][0])
    stated("0.6667", F.hardswish(torch.tensor(1.0)))
    stated("−0.3333", F.hardswish(torch.tensor(-1.0)))
    z = torch.randn(100, dtype=torch.float64)
    assert torch.allclose(F.silu(z) - F.silu(-z), z)


@holds("SiLU", "Hardswish", "GELU", "ReLU", "Is SiLU monotonic?", "Can a SiLU unit die?")
def check_shape_of_the_curves():
    x, y, slope = curve(F.silu)
    stated("−0.2785", y.min())
    stated("−1.2785", x[y.argmin()])
    stated("−0.0998", slope.min())
    stated("1.0998", slope.max())
    stated("2.3994", x[slope.argmax()])
    assert abs(x[slope.argmin()].item() + 2.3994) < 1e-3
    assert (slope[x < -1.279] < 0).all() and (slope[x > -1.278] > 0).all()
    left = (x + 5).abs().argmin()
    right = torch.where(x > -1, (y - y[left]).abs(), torch.inf).argmin()  # the same output, slopes of opposite sign
    assert abs(y[left] - y[right]) < 1e-4 and slope[left] < 0 < slope[right]
    assert (F.relu(x)[x < 0] == 0).all() and (y == 0).sum() <= 1
    _, hard, _ = curve(F.hardswish)
    stated("−0.375", hard.min())
    stated("0.1423", (hard - y).abs().max())
    assert (
        abs(abs(x[(hard - y).abs().argmax()].item()) - 3) < 1e-3
        and abs((hard - y)[x.abs().sub(3).abs().argmin()].abs().item() - 0.1423) < 1e-3
    )
    stated("0.1930", (F.gelu(x) - y).abs().max())
    assert abs((F.relu(x) - y).abs().max().item() - 0.2785) < 5e-5
    stated("−0.17", F.gelu(x).min())
    stated("−0.0004", slope[(x + 10).abs().argmin()])


@holds("Input → output", "dtype", "Parameters", "Defaults", "Same in train and eval?", "Saved for the backward pass")
def check_contract():
    for f in (F.silu, F.hardswish):
        assert f(torch.ones(2, dtype=torch.float16)).dtype == torch.float16
        raises(RuntimeError, lambda: f(torch.tensor([1])))
    wave = (torch.ones(1) * 1j).requires_grad_()
    assert F.silu(wave.detach()).is_complex()
    raises(RuntimeError, lambda: F.silu(wave), "complex")
    raises(RuntimeError, lambda: F.hardswish(torch.ones(1) * 1j))
    assert not nn.SiLU().inplace and not nn.Hardswish().inplace
    for layer in (nn.SiLU(), nn.Hardswish()):
        for shape in ((), (4,), (2, 3, 5)):
            z, kept = torch.randn(shape, requires_grad=True), []
            with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
                y = layer(z)
            assert y.shape == shape and torch.equal(layer.eval()(z), layer.train()(z)) and not list(layer.parameters())
            assert len(kept) == 1 and torch.equal(kept[0], z)
    far = torch.tensor([-50.0, -200.0], requires_grad=True)
    assert [bool(s) for s in torch.autograd.grad(F.silu(far).sum(), far)[0]] == [True, False]


@pitfall("`nn.Swish` does not exist")
def check_name():
    raises(AttributeError, lambda: nn.Swish)
    raises(AttributeError, lambda: F.swish)
    x, beta = torch.randn(50), nn.Parameter(torch.tensor(1.0))
    trainable = x * torch.sigmoid(beta * x)
    assert torch.allclose(nn.SiLU()(x), trainable, atol=1e-6) and torch.autograd.grad(trainable.sum(), beta)[0] != 0


@pitfall('"Unsupported nonlinearity silu"')
def check_initialization():
    for work in (nn.init.calculate_gain, lambda name: nn.init.kaiming_normal_(torch.empty(2, 2), nonlinearity=name)):
        raises(ValueError, lambda: work("silu"), "Unsupported nonlinearity silu")
    x = torch.linspace(-14, 14, 2_800_001, dtype=torch.float64)
    square = (F.silu(x) ** 2 * torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * 1e-5).sum()
    stated("0.3558", square)
    stated("1.6765", square**-0.5)
    weak, exact, strong = torch.randn(100, 256), torch.randn(10_000, 1024), 1.2 * torch.randn(100, 512)
    normalized = weak
    for depth in range(20):
        weight = nn.init.kaiming_normal_(torch.empty(256, 256), nonlinearity="relu")
        weak, normalized = (
            F.silu(weak) @ weight.T,
            F.batch_norm(F.silu(normalized) @ weight.T, None, None, training=True),
        )
        assert depth > 1 or weak.std() > 0.4
        strong = F.silu(strong) @ torch.randn(512, 512) * 1.6765 / 512**0.5
    exact = F.silu(exact) @ torch.randn(1024, 1024) * 1.6765 / 32
    assert weak.std() < 0.01 and abs(normalized.std() - 1) < 0.01 and abs(exact.std() - 1) < 0.03 and strong.std() > 1.5


@pitfall("A hand-written Swish needs more memory")
def check_memory():
    saved = []
    for f in (F.silu, lambda v: v * torch.sigmoid(v)):
        kept = {}
        x = torch.randn(1000, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t):
            f(x)
        saved.append(len(kept))
    assert saved == [1, 2], saved


@pitfall("Ported MobileNetV3 or EfficientNet weights give other results")
def check_ported_weights():
    source = {}
    for activation in (nn.Hardswish, nn.SiLU):
        model = nn.Sequential(nn.Linear(8, 8), activation(), nn.Linear(8, 8), activation())
        for other in (nn.Hardswish, nn.SiLU):
            ported = nn.Sequential(nn.Linear(8, 8), other(), nn.Linear(8, 8), other())
            ported.load_state_dict(model.state_dict())
            x = 3 * torch.randn(20, 8)
            source[activation, other] = (model(x) - ported(x)).abs().max().item()
    assert all((gap == 0) if a is b else (gap > 0.05) for (a, b), gap in source.items())


@holds("SiLU", "Hardswish", "GELU")
def check_models():
    with torch.device("meta"):
        assert any(isinstance(m, nn.GELU) for m in torchvision.models.convnext_tiny().modules())
        mobile, efficient = torchvision.models.mobilenet_v3_large(), torchvision.models.efficientnet_b0()
    assert any(isinstance(m, nn.Hardswish) for m in mobile.modules()) and not any(
        isinstance(m, nn.SiLU) for m in mobile.modules()
    )
    assert any(isinstance(m, nn.SiLU) for m in efficient.modules()) and not any(
        isinstance(m, nn.Hardswish) for m in efficient.modules()
    )
