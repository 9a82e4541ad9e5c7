"""Executed claims of the cards of activations, attention, transformer and recurrent layers."""

import math
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import erf
from torch import nn

from note_checks import card, check

SHAPES = [(1,), (7,), (3, 4), (2, 3, 5), (2, 3, 4, 5)]


def inputs(*extra):
    """Random inputs of several shapes in float64, with zeros, large values and the given edge values."""
    for shape in SHAPES:
        yield torch.randn(shape, dtype=torch.float64) * 4
    yield torch.tensor([0.0, 1.0, -1.0, 30.0, -30.0, *extra], dtype=torch.float64)


def same(formula, *functions, edges=()):
    """Compares a NumPy formula with library functions and modules, elementwise."""
    for x in inputs(*edges):
        for function in functions:
            y = function(x.clone())
            assert y.shape == x.shape
            np.testing.assert_allclose(y.numpy(), formula(x.numpy()), rtol=1e-9, atol=1e-12)


def gradient(function, *points):
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    function(x).sum().backward()
    return x.grad.tolist()


def fails(work, *errors):
    try:
        work()
    except errors or (RuntimeError, ValueError, TypeError, IndexError):
        return True
    return False


def sigma(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@card("torch.nn.ReLU", formula=r"y=\max(0,x)")
def relu():
    same(lambda x: np.maximum(0, x), nn.ReLU(), nn.ReLU(inplace=True), F.relu, F.relu_, torch.relu, torch.relu_)
    assert gradient(F.relu, -1.0, 0.0, 2.0) == [0, 0, 1]
    leaf = torch.randn(3, requires_grad=True)
    assert fails(lambda: F.relu_(leaf)) and fails(lambda: nn.ReLU(inplace=True)(leaf))


@card("torch.nn.ReLU6", formula=r"y=\min(\max(0,x),\,6)")
def relu6():
    same(lambda x: np.minimum(np.maximum(0, x), 6), nn.ReLU6(), F.relu6, nn.Hardtanh(0, 6), edges=(6, 7))
    assert gradient(F.relu6, -1.0, 3.0, 7.0) == [0, 1, 0]


@card("torch.nn.LeakyReLU", formula=r"y=\max(0,x)+a\min(0,x)")
def leaky_relu():
    for a in (0.0, 0.01, 0.2, 1.0):
        same(
            lambda x: np.maximum(0, x) + a * np.minimum(0, x),
            nn.LeakyReLU(a),
            lambda x: F.leaky_relu(x, a),
            lambda x: F.leaky_relu_(x, a),
        )
    weight = torch.empty(400, 500)
    for a in (0.0, 0.5):
        nn.init.kaiming_normal_(weight, a=a)
        assert abs(weight.std().item() * math.sqrt(500) / math.sqrt(2 / (1 + a * a)) - 1) < 0.01
    nn.init.kaiming_normal_(weight)
    assert abs(weight.std().item() * math.sqrt(500) / math.sqrt(2) - 1) < 0.01


@card("torch.nn.PReLU", formula=r"y=\max(0,x)+a\min(0,x)")
def prelu():
    x = torch.randn(2, 3, 4)
    for a in (torch.tensor([0.25]), torch.tensor([0.1, 0.2, 0.3])):
        slopes = a.numpy().reshape(-1, 1)
        expected = np.maximum(0, x.numpy()) + slopes * np.minimum(0, x.numpy())
        np.testing.assert_allclose(F.prelu(x, a).numpy(), expected, rtol=1e-6)
        layer = nn.PReLU(a.numel())
        layer.weight.data = a
        np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-6)
    assert nn.PReLU(3).weight.tolist() == [0.25] * 3 and nn.PReLU().weight.requires_grad
    assert fails(lambda: nn.PReLU(4)(x)), "slopes do not belong to the last dimension"
    layer = nn.PReLU()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=1.0)
    layer(torch.ones(1)).backward(torch.zeros(1))
    optimizer.step()
    assert 0 < layer.weight.item() < 0.25, "weight decay pulls the slope to 0"


@card("torch.nn.RReLU", formula=r"y=\max(0,x)+a\min(0,x),\quad a\sim U(l,u)")
def rrelu():
    x = -torch.ones(100_000, dtype=torch.float64)
    slopes = -nn.RReLU(0.1, 0.3)(x)
    assert slopes.min() >= 0.1 and slopes.max() <= 0.3 and slopes.std() > 0.05
    assert abs(slopes.mean() - 0.2) < 1e-3
    assert torch.equal(F.relu(x.neg()), nn.RReLU()(x.neg())), "positive values stay"
    for function in (nn.RReLU(0.1, 0.3).eval(), lambda x: F.rrelu(x, 0.1, 0.3), lambda x: F.rrelu_(x, 0.1, 0.3)):
        same(lambda x: np.maximum(0, x) + 0.2 * np.minimum(0, x), function)
    assert (-F.rrelu(x, 0.1, 0.3, training=True)).std() > 0.05


@card("torch.nn.ELU", formula=r"y=\max(0,x)+\min(0,\alpha(e^{x}-1))")
def elu():
    for a in (0.5, 1.0, 2.0):
        same(
            lambda x: np.maximum(0, x) + np.minimum(0, a * (np.exp(x) - 1)),
            nn.ELU(a),
            lambda x: F.elu(x, a),
            lambda x: F.elu_(x, a),
        )
    left, right = gradient(nn.ELU(2.0), -1e-9, 1e-9)
    assert abs(left - 2) < 1e-6 and right == 1
    left, right = gradient(nn.CELU(2.0), -1e-9, 1e-9)
    assert abs(left - 1) < 1e-6 and right == 1


@card("torch.nn.CELU", formula=r"y=\max(0,x)+\min(0,\alpha(e^{x/\alpha}-1))")
def celu():
    for a in (0.5, 1.0, 2.0):
        same(
            lambda x: np.maximum(0, x) + np.minimum(0, a * (np.exp(x / a) - 1)),
            nn.CELU(a),
            lambda x: F.celu(x, a),
            lambda x: F.celu_(x, a),
        )
    x = torch.linspace(-5, 5, 101)
    assert torch.allclose(F.celu(x, 1.0), F.elu(x, 1.0)) and not torch.allclose(F.celu(x, 2.0), F.elu(x, 2.0))
    assert fails(lambda: F.celu(x, 0.0))


@card("torch.nn.SELU", formula=r"y=\lambda\left(\max(0,x)+\min(0,\alpha(e^{x}-1))\right)")
def selu():
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    assert round(alpha, 4) == 1.6733 and round(scale, 4) == 1.0507
    same(lambda x: scale * (np.maximum(0, x) + np.minimum(0, alpha * (np.exp(x) - 1))), nn.SELU(), F.selu, F.selu_)
    with torch.no_grad():
        good = fading = torch.randn(1000, 256)
        for _ in range(20):
            weight = nn.init.kaiming_normal_(torch.empty(256, 256), nonlinearity="linear")
            good, fading = F.selu(good @ weight.T), F.selu(nn.Linear(256, 256)(fading))
    assert abs(good.mean()) < 0.1 and abs(good.std() - 1) < 0.15 and fading.std() < 0.2


@card("torch.nn.Softplus", formula=r"y=\tfrac{1}{\beta}\ln(1+e^{\beta x})")
def softplus():
    for beta in (0.5, 1.0, 3.0):
        same(lambda x: np.log1p(np.exp(beta * x)) / beta, nn.Softplus(beta), lambda x: F.softplus(x, beta))
    assert abs(F.softplus(torch.zeros(())) - math.log(2)) < 1e-7 and round(math.log(2), 3) == 0.693
    start = 0.05
    assert abs(F.softplus(torch.tensor(math.log(math.exp(start) - 1))) - start) < 1e-6
    x = torch.tensor([2.1], dtype=torch.float64)
    assert torch.equal(F.softplus(x, beta=1, threshold=2), x) and F.softplus(x) > x
    assert np.allclose(gradient(F.softplus, 0.7), sigma(0.7))


@card("torch.nn.GELU", formula=r"y=x\,\Phi(x)=\tfrac{x}{2}\left(1+\mathrm{erf}\tfrac{x}{\sqrt{2}}\right)")
def gelu():
    same(lambda x: x / 2 * (1 + erf(x / math.sqrt(2))), nn.GELU(), F.gelu)
    approximate = lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    same(approximate, nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh"))
    x = torch.linspace(-10, 10, 200_001, dtype=torch.float64)
    assert round((F.gelu(x) - F.gelu(x, approximate="tanh")).abs().max().item(), 4) == 0.0005


def lowest(function):
    x = torch.linspace(-6, 2, 800_001, dtype=torch.float64)
    y = function(x)
    return y.min().item(), x[y.argmin()].item()


@card("torch.nn.SiLU", formula=r"y=x\,\sigma(x)=\frac{x}{1+e^{-x}}")
def silu():
    same(lambda x: x / (1 + np.exp(-x)), nn.SiLU(), F.silu)
    value, place = lowest(F.silu)
    assert round(value, 3) == -0.278 and round(place, 3) == -1.278


@card("torch.nn.Hardswish", formula=r"y=\tfrac{x}{6}\,\min(\max(0,x+3),6)")
def hardswish():
    same(lambda x: x / 6 * np.minimum(np.maximum(0, x + 3), 6), nn.Hardswish(), F.hardswish, edges=(3, -3))
    assert gradient(F.hardswish, -4.0, -3.0) == [0, 0] and (F.hardswish(torch.tensor([-4.0, -3.0])) == 0).all()
    assert F.silu(torch.tensor(-4.0)) < -0.07


@card("torch.nn.Mish", formula=r"y=x\tanh(\ln(1+e^{x}))")
def mish():
    same(lambda x: x * np.tanh(np.log1p(np.exp(x))), nn.Mish(), F.mish)
    value, place = lowest(F.mish)
    assert round(value, 3) == -0.309 and round(place, 2) == -1.19
    value, place = lowest(F.silu)
    assert round(value, 3) == -0.278 and round(place, 2) == -1.28


@card("torch.nn.Sigmoid", formula=r"y=\sigma(x)=\frac{1}{1+e^{-x}}")
def sigmoid():
    same(sigma, nn.Sigmoid(), F.sigmoid, torch.sigmoid)
    whole = torch.arange(0, 30, dtype=torch.float32)
    assert (torch.sigmoid(whole) == 1).nonzero()[0].item() == 17
    assert torch.log(1 - torch.sigmoid(torch.tensor(17.0))) == -math.inf
    logit, target = torch.randn(5), torch.rand(5)
    inside = F.binary_cross_entropy(torch.sigmoid(logit), target)
    assert torch.allclose(F.binary_cross_entropy_with_logits(logit, target), inside)


@card("torch.nn.LogSigmoid", formula=r"y=\ln\sigma(x)=-\ln(1+e^{-x})")
def logsigmoid():
    same(lambda x: -np.log1p(np.exp(-x)), nn.LogSigmoid(), F.logsigmoid)
    x = torch.tensor(-104.0)
    assert torch.log(torch.sigmoid(x)) == -math.inf and F.logsigmoid(x) == -104
    x = torch.randn(9, dtype=torch.float64)
    assert torch.allclose(F.logsigmoid(-x), torch.log(1 - torch.sigmoid(x)))


@card("torch.nn.Hardsigmoid", formula=r"y=\tfrac{1}{6}\min(\max(0,x+3),6)")
def hardsigmoid():
    same(lambda x: np.minimum(np.maximum(0, x + 3), 6) / 6, nn.Hardsigmoid(), F.hardsigmoid, edges=(3, -3))
    assert np.allclose(gradient(F.hardsigmoid, -3.0, 0.0, 2.9, 3.0), [0, 1 / 6, 1 / 6, 0])


@card("torch.nn.Tanh", formula=r"y=\tanh x=2\,\sigma(2x)-1")
def tanh():
    same(lambda x: 2 * sigma(2 * x) - 1, nn.Tanh(), F.tanh, torch.tanh)
    zero, two, four = gradient(torch.tanh, 0.0, 2.0, 4.0)
    assert zero == 1 and round(two, 2) == 0.07 and round(four, 4) == 0.0013


@card("torch.nn.Tanhshrink", formula=r"y=x-\tanh x")
def tanhshrink():
    same(lambda x: x - np.tanh(x), nn.Tanhshrink(), F.tanhshrink)
    assert np.allclose(gradient(F.tanhshrink, 0.0, 0.7), [0, np.tanh(0.7) ** 2])


@card("torch.nn.Softsign", formula=r"y=\frac{x}{1+|x|}")
def softsign():
    same(lambda x: x / (1 + np.abs(x)), nn.Softsign(), F.softsign)
    assert abs(F.softsign(torch.tensor(4.0)) - 0.8) < 1e-6 and round(math.tanh(4), 4) == 0.9993


@card("torch.nn.Softshrink", formula=r"y=\mathrm{sign}(x)\max(|x|-\lambda,\,0)")
def softshrink():
    for k in (0.0, 0.5, 2.0):
        same(
            lambda x: np.sign(x) * np.maximum(np.abs(x) - k, 0),
            nn.Softshrink(k),
            lambda x: F.softshrink(x, k),
            edges=(0.5, -0.5),
        )
    assert fails(lambda: F.softshrink(torch.zeros(1), -0.1))
    grid = np.linspace(-5, 5, 100_001)
    for x in (-2.0, 0.3, 1.4):
        best = grid[np.argmin(0.5 * (grid - x) ** 2 + 0.5 * np.abs(grid))]
        assert abs(best - F.softshrink(torch.tensor(x), 0.5).item()) < 1e-3


@card("torch.nn.Hardshrink", formula=r"y=x\cdot[\,|x|>\lambda\,]")
def hardshrink():
    for k in (0.0, 0.5, 2.0):
        same(
            lambda x: x * (np.abs(x) > k),
            nn.Hardshrink(k),
            lambda x: F.hardshrink(x, k),
            edges=(0.5, -0.5, 0.6),
        )
    assert not list(nn.Hardshrink().parameters())


@card("torch.nn.Hardtanh", formula=r"y=\min(\max(x,a),\,b)")
def hardtanh():
    for a, b in ((-1, 1), (-0.5, 2), (0, 6)):
        same(
            lambda x: np.minimum(np.maximum(x, a), b),
            nn.Hardtanh(a, b),
            lambda x: F.hardtanh(x, a, b),
            lambda x: F.hardtanh_(x, a, b),
        )
    assert gradient(F.hardtanh, -2.0, -1.0, 0.0, 1.0, 2.0) == [0, 0, 1, 0, 0]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert nn.Hardtanh(min_value=-2.0, max_value=3.0).min_val == -2
    assert len(seen) == 2 and all("deprecated" in str(one.message) for one in seen)
    assert fails(lambda: nn.Hardtanh(1.0, 1.0), AssertionError, ValueError)


@card("torch.nn.Threshold", formula=r"y=x\ \text{if}\ x>t,\ \text{else}\ v")
def threshold():
    for t, v in ((0.5, -2.0), (1.0, 0.0), (-1.0, 7.0)):
        same(
            lambda x: np.where(x > t, x, v),
            nn.Threshold(t, v),
            lambda x: F.threshold(x, t, v),
            lambda x: F.threshold_(x, t, v),
        )
    assert F.threshold(torch.tensor([0.5, 1.0, 2.0]), 1.0, 0.0).tolist() == [0, 0, 2]
    assert not (torch.zeros(1, requires_grad=True) > 0).float().requires_grad


@card("torch.nn.GLU", formula=r"y=a\odot\sigma(b),\quad [a;b]=x")
def glu():
    for shape, dim in (((6,), -1), ((3, 4), 1), ((2, 6, 5), 1), ((4, 3), 0)):
        x = torch.randn(shape, dtype=torch.float64)
        a, b = np.split(x.numpy(), 2, axis=dim)
        for y in (F.glu(x, dim), nn.GLU(dim)(x)):
            np.testing.assert_allclose(y.numpy(), a * sigma(b))
            assert y.shape[dim] * 2 == shape[dim]
    assert fails(lambda: F.glu(torch.zeros(3)))


@card("torch.nn.Softmax", formula=r"p_i=\frac{e^{x_i}}{\sum_j e^{x_j}}")
def softmax_card():
    for shape, dim in (((5,), 0), ((3, 4), 1), ((2, 3, 4), 1), ((2, 3, 4, 5), -1)):
        x = torch.randn(shape, dtype=torch.float64) * 5
        e = np.exp(x.numpy())
        for y in (F.softmax(x, dim), nn.Softmax(dim)(x), torch.softmax(x, dim)):
            np.testing.assert_allclose(y.numpy(), e / e.sum(axis=dim, keepdims=True))
    assert torch.softmax(torch.full((3,), -math.inf), 0).isnan().all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = torch.randn(2, 3, 4)
        assert torch.equal(F.softmax(x), F.softmax(x, 0)), "3-D input without dim takes dimension 0"
    assert F.softmax(torch.ones(2, dtype=torch.float16), 0, dtype=torch.float32).dtype == torch.float32
    logits, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    assert torch.allclose(F.cross_entropy(logits, target), F.nll_loss(F.log_softmax(logits, 1), target))


@card("torch.nn.LogSoftmax", formula=r"y_i=x_i-\ln\sum_j e^{x_j}")
def log_softmax_card():
    for shape, dim in (((5,), 0), ((3, 4), 1), ((2, 3, 4), 1)):
        x = torch.randn(shape, dtype=torch.float64) * 5
        expected = x.numpy() - np.log(np.exp(x.numpy()).sum(axis=dim, keepdims=True))
        for y in (F.log_softmax(x, dim), nn.LogSoftmax(dim)(x), torch.log_softmax(x, dim)):
            np.testing.assert_allclose(y.numpy(), expected, rtol=1e-9, atol=1e-12)
    x = torch.tensor([0.0, 200.0])
    assert torch.log(torch.softmax(x, 0))[0] == -math.inf and F.log_softmax(x, 0)[0] == -200
    logits, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    assert torch.allclose(F.cross_entropy(F.log_softmax(logits, 1), target), F.cross_entropy(logits, target))


@card("torch.nn.Softmax2d", formula=r"p_{chw}=\frac{e^{x_{chw}}}{\sum_k e^{x_{khw}}}")
def softmax2d():
    for shape in ((3, 4, 5), (2, 3, 4, 5)):
        x = torch.randn(shape, dtype=torch.float64)
        e = np.exp(x.numpy())
        np.testing.assert_allclose(nn.Softmax2d()(x).numpy(), e / e.sum(axis=-3, keepdims=True))
        assert torch.equal(nn.Softmax2d()(x), nn.Softmax(dim=-3)(x))
    assert fails(lambda: nn.Softmax2d()(torch.zeros(2, 3)))


@card("torch.nn.Softmin", formula=r"p_i=\frac{e^{-x_i}}{\sum_j e^{-x_j}}")
def softmin():
    x = torch.randn(3, 4, dtype=torch.float64)
    e = np.exp(-x.numpy())
    for y in (F.softmin(x, 1), nn.Softmin(1)(x)):
        np.testing.assert_allclose(y.numpy(), e / e.sum(axis=1, keepdims=True))
    assert not torch.allclose(F.softmin(x, 1), 1 - F.softmax(x, 1))


@card(
    "torch.nn.functional.gumbel_softmax",
    formula=r"y=\mathrm{softmax}\left(\frac{x+g}{\tau}\right),\quad g_i=-\ln(-\ln u_i)",
)
def gumbel_softmax():
    x = torch.tensor([[1.0, 0.0, -1.0]]).repeat(200_000, 1)
    y = F.gumbel_softmax(x, tau=0.5)
    assert torch.allclose(y.sum(-1), torch.ones(200_000))
    u = np.random.rand(200_000, 3)
    mine = softmax((x.numpy() - np.log(-np.log(u))) / 0.5)
    np.testing.assert_allclose(y.numpy().mean(0), mine.mean(0), atol=5e-3)
    np.testing.assert_allclose(
        np.quantile(y.numpy(), (0.1, 0.5, 0.9), axis=0), np.quantile(mine, (0.1, 0.5, 0.9), axis=0), atol=1e-2
    )
    hard = F.gumbel_softmax(x, hard=True)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(hard.mean(0).numpy(), softmax(x.numpy()[0]), atol=5e-3)
    logits = torch.randn(3, requires_grad=True)
    (F.gumbel_softmax(logits, hard=True) * torch.arange(3.0)).sum().backward()
    assert logits.grad.abs().sum() > 0, "straight-through"
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        F.gumbel_softmax(x[:1], eps=1e-9)
    assert "no effect" in str(seen[0].message)


@card(
    "torch.nn.MultiheadAttention",
    formula=r"y=[H_1;\ldots;H_h]W^{O},\quad H_i=\mathrm{softmax}\left(\tfrac{Q_iK_i^{\top}}{\sqrt{E/h}}\right)V_i",
)
def multihead_attention():
    width, heads, length, source, batch = 12, 3, 4, 5, 2
    layer = nn.MultiheadAttention(width, heads).double()
    nn.init.normal_(layer.in_proj_bias)
    nn.init.normal_(layer.out_proj.bias)
    q, k, v = (torch.randn(n, batch, width, dtype=torch.float64) for n in (length, source, source))
    y, weights = layer(q, k, v)
    assert y.shape == (length, batch, width) and weights.shape == (batch, length, source)
    w, b = layer.in_proj_weight.detach().numpy(), layer.in_proj_bias.detach().numpy()
    projected = [
        x.numpy() @ w[i * width : (i + 1) * width].T + b[i * width : (i + 1) * width] for i, x in enumerate((q, k, v))
    ]
    for n in range(batch):
        outputs, maps = [], []
        for head in range(heads):
            columns = slice(head * width // heads, (head + 1) * width // heads)
            Q, K, V = (one[:, n, columns] for one in projected)
            maps.append(softmax(Q @ K.T / math.sqrt(width / heads)))
            outputs.append(maps[-1] @ V)
        expected = (
            np.concatenate(outputs, -1) @ layer.out_proj.weight.detach().numpy().T
            + layer.out_proj.bias.detach().numpy()
        )
        np.testing.assert_allclose(y[:, n].detach().numpy(), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(weights[n].detach().numpy(), np.mean(maps, 0), rtol=1e-9, atol=1e-12)
    count = lambda h: sum(p.numel() for p in nn.MultiheadAttention(width, h).parameters())
    assert count(1) == count(3) == 4 * width * width + 4 * width
    assert sum(p.numel() for p in nn.MultiheadAttention(512, 8).parameters()) == 1_050_624
    assert nn.MultiheadAttention(12, 3, kdim=7, vdim=9)(q.float(), torch.randn(5, 2, 7), torch.randn(5, 2, 9))[
        0
    ].shape == (4, 2, 12)
    assert fails(lambda: nn.MultiheadAttention(12, 5), AssertionError, ValueError)
    assert nn.MultiheadAttention(12, 3, batch_first=True).double()(q, q, q)[1].shape == (length, batch, batch)


@card("torch.nn.MultiheadAttention", "torch.nn.functional.scaled_dot_product_attention")
def mask_polarity():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(1, 3, 8)
    hide_last = torch.tensor([[False, False, True]])
    weights = layer(x, x, x, key_padding_mask=hide_last)[1]
    assert (weights[..., 2] == 0).all() and (weights[..., :2] > 0).all()
    weights = layer(x, x, x, attn_mask=hide_last.expand(3, 3))[1]
    assert (weights[..., 2] == 0).all()
    value = torch.eye(3)[None]
    kept = F.scaled_dot_product_attention(x, x, value, attn_mask=hide_last)
    assert (kept[..., 2] == 1).all(), "True takes part"
    assert layer(x, x, x, attn_mask=torch.ones(3, 3, dtype=torch.bool))[0].isnan().all()


@card(
    "torch.nn.functional.scaled_dot_product_attention",
    formula=r"y=\mathrm{softmax}\left(\frac{QK^{\top}}{\sqrt{E}}+M\right)V",
)
def scaled_dot_product_attention():
    for shape in ((2, 3), (), (4,)):
        q, k, v = (torch.randn(*shape, n, e, dtype=torch.float64) for n, e in ((4, 8), (5, 8), (5, 6)))
        m = torch.randn(4, 5, dtype=torch.float64)
        scores = q.numpy() @ k.mT.numpy() / math.sqrt(8)
        if not shape:
            assert F.scaled_dot_product_attention(q, k, v).shape == (4, 6)
            continue
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=m)
        assert y.shape == (*shape, 4, 6)
        np.testing.assert_allclose(y.numpy(), softmax(scores + m.numpy()) @ v.numpy())
        keep = torch.tensor([True, False, True, True, False])
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=keep.expand(4, 5))
        np.testing.assert_allclose(y.numpy(), softmax(np.where(keep.numpy(), scores, -np.inf)) @ v.numpy())
        y = F.scaled_dot_product_attention(q, k, v, scale=0.5)
        np.testing.assert_allclose(y.numpy(), softmax(scores * math.sqrt(8) * 0.5) @ v.numpy())
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        top_left = np.where(np.tri(4, 5, dtype=bool), scores, -np.inf)
        np.testing.assert_allclose(y.numpy(), softmax(top_left) @ v.numpy())
        assert fails(lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=m, is_causal=True))
    q, k = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 3, 8)
    y = F.scaled_dot_product_attention(q, k, k, enable_gqa=True)
    doubled = k.repeat_interleave(2, 1)
    assert torch.allclose(y, F.scaled_dot_product_attention(q, doubled, doubled), atol=1e-6)
    first, second = (F.scaled_dot_product_attention(q, q, q, dropout_p=0.5) for _ in range(2))
    assert not torch.equal(first, second), "there is no evaluation mode"


@card("torch.nn.Transformer")
def transformer():
    warnings.simplefilter("ignore")
    model = nn.Transformer(8, 2, 1, 1, 16).eval()
    source, target = torch.randn(5, 3, 8), torch.randn(4, 3, 8)
    y = model(source, target)
    assert y.shape == (4, 3, 8)
    changed = target.clone()
    changed[-1] += 1
    assert not torch.allclose(model(source, changed)[0], y[0]), "without tgt_mask the future is seen"
    mask = torch.ones(4, 4, dtype=torch.bool).triu(1)
    assert torch.allclose(model(source, changed, tgt_mask=mask)[0], model(source, target, tgt_mask=mask)[0])
    assert not any(isinstance(one, nn.Embedding) for one in model.modules())
    shuffled = source[torch.tensor([3, 1, 4, 0, 2])]
    assert torch.allclose(model(shuffled, target), y, atol=1e-5), "no positional encoding"
    assert sum(p.numel() for p in nn.Transformer().parameters()) == 44_140_544


@card("torch.nn.TransformerEncoder")
def transformer_encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    stack = nn.TransformerEncoder(layer, 3)
    first, last = stack.layers[0].state_dict(), stack.layers[2].state_dict()
    assert all(torch.equal(first[name], last[name]) for name in first)
    assert all(one is not layer for one in stack.layers)
    x = torch.randn(2, 5, 8)
    assert stack(x).shape == x.shape
    padding = torch.tensor([[False] * 5, [False, False, True, True, True]])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (stack.eval()(x, src_key_padding_mask=padding)[1, 2:] == 0).all()
        other = x.clone()
        other[1, 2:] = 9
        plain = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
        seen = [plain(one, src_key_padding_mask=padding) for one in (x, other)]
    assert torch.allclose(seen[0][1, :2], seen[1][1, :2], atol=1e-6), "True is ignored"


@card("torch.nn.TransformerDecoder")
def transformer_decoder():
    stack = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2).eval()
    first, last = (one.state_dict() for one in stack.layers)
    assert all(torch.equal(first[name], last[name]) for name in first)
    target, memory = torch.randn(4, 3, 8), torch.randn(5, 3, 8)
    y = stack(target, memory)
    assert y.shape == (4, 3, 8)
    changed = target.clone()
    changed[-1] += 1
    assert not torch.allclose(stack(changed, memory)[0], y[0])


@card(
    "torch.nn.TransformerEncoderLayer",
    formula=r"h=\mathrm{LN}(x+\mathrm{MHA}(x)),\quad y=\mathrm{LN}(h+\mathrm{FFN}(h))",
)
def transformer_encoder_layer():
    for activation in ("relu", "gelu"):
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation=activation).double().eval()
        x = torch.randn(5, 3, 8, dtype=torch.float64)
        act = F.relu if activation == "relu" else F.gelu
        feed = lambda h: layer.linear2(act(layer.linear1(h)))
        h = layer.norm1(x + layer.self_attn(x, x, x)[0])
        y = layer.norm2(h + feed(h))
        assert layer(x).shape == x.shape and torch.allclose(layer(x), y)
    first = nn.TransformerEncoderLayer(8, 2, 16, norm_first=True).double().eval()
    n = first.norm1(x)
    h = x + first.self_attn(n, n, n)[0]
    expected = h + first.linear2(F.relu(first.linear1(first.norm2(h))))
    assert torch.allclose(first(x), expected)
    assert sum(p.numel() for p in nn.TransformerEncoderLayer(512, 8).parameters()) == 3_152_384
    assert not any("bias" in name for name, _ in nn.TransformerEncoderLayer(8, 2, bias=False).named_parameters())


@card(
    "torch.nn.TransformerDecoderLayer",
    formula=r"h=\mathrm{LN}(x+\mathrm{SA}(x)),\ g=\mathrm{LN}(h+\mathrm{CA}(h,m)),\ y=\mathrm{LN}(g+\mathrm{FFN}(g))",
)
def transformer_decoder_layer():
    layer = nn.TransformerDecoderLayer(8, 2, 16).double().eval()
    x, m = torch.randn(4, 3, 8, dtype=torch.float64), torch.randn(5, 3, 8, dtype=torch.float64)
    h = layer.norm1(x + layer.self_attn(x, x, x)[0])
    g = layer.norm2(h + layer.multihead_attn(h, m, m)[0])
    y = layer.norm3(g + layer.linear2(F.relu(layer.linear1(g))))
    assert layer(x, m).shape == x.shape and torch.allclose(layer(x, m), y)
    mask = torch.ones(4, 4, dtype=torch.bool).triu(1)
    changed = x.clone()
    changed[-1] += 1
    assert torch.allclose(layer(changed, m, tgt_mask=mask)[:-1], layer(x, m, tgt_mask=mask)[:-1])
    assert not torch.allclose(layer(changed, m)[:-1], layer(x, m)[:-1])
    assert fails(lambda: layer(x)), "memory is required"


def weights(layer, suffix=""):
    names = [f"{kind}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    return [getattr(layer, name).detach().numpy() for name in names]


def rnn_step(parameters, x, h, activation=np.tanh):
    wi, wh, bi, bh = parameters
    return activation(x @ wi.T + bi + h @ wh.T + bh)


def lstm_step(parameters, x, h, c):
    wi, wh, bi, bh = parameters
    i, f, g, o = np.split(x @ wi.T + bi + h @ wh.T + bh, 4, axis=-1)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


def gru_step(parameters, x, h):
    wi, wh, bi, bh = parameters
    (xr, xz, xn), (hr, hz, hn) = np.split(x @ wi.T + bi, 3, axis=-1), np.split(h @ wh.T + bh, 3, axis=-1)
    r, z = sigma(xr + hr), sigma(xz + hz)
    return (1 - z) * np.tanh(xn + r * hn) + z * h


STEPS, BATCH, IN, HIDDEN = 6, 2, 3, 4


@card("torch.nn.RNN", formula=r"h_t=\tanh(W_{ih}x_t+b_{ih}+W_{hh}h_{t-1}+b_{hh})")
def rnn():
    x = torch.randn(STEPS, BATCH, IN, dtype=torch.float64)
    for kind, activation in (("tanh", np.tanh), ("relu", lambda a: np.maximum(0, a))):
        layer = nn.RNN(IN, HIDDEN, nonlinearity=kind).double()
        output, last = layer(x)
        h = np.zeros((BATCH, HIDDEN))
        for t in range(STEPS):
            h = rnn_step(weights(layer, "_l0"), x[t].numpy(), h, activation)
            np.testing.assert_allclose(output[t].detach().numpy(), h)
        np.testing.assert_allclose(last[0].detach().numpy(), h)


@card("torch.nn.RNN", "torch.nn.LSTM", "torch.nn.GRU")
def what_recurrent_layers_return():
    x = torch.randn(STEPS, BATCH, IN)
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        layer = kind(IN, HIDDEN, num_layers=2, bidirectional=True)
        output, state = layer(x)
        last = state[0] if kind is nn.LSTM else state
        assert output.shape == (STEPS, BATCH, 2 * HIDDEN) and last.shape == (4, BATCH, HIDDEN)
        assert torch.equal(output[-1, :, :HIDDEN], last[2]) and torch.equal(output[0, :, HIDDEN:], last[3])
        assert not torch.allclose(output[-1, :, HIDDEN:], last[3])
        batched = kind(IN, HIDDEN, batch_first=True)(x)
        final = batched[1][0] if kind is nn.LSTM else batched[1]
        assert batched[0].shape == (STEPS, BATCH, HIDDEN) and final.shape == (1, STEPS, HIDDEN), (
            "states are never batch first"
        )
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            alone = kind(IN, HIDDEN, dropout=0.5)
        assert len(seen) == 1 and torch.equal(alone(x)[0], alone(x)[0]), "dropout does nothing with one layer"


@card("torch.nn.LSTM", formula=r"c_t=f\odot c_{t-1}+i\odot g,\quad h_t=o\odot\tanh c_t")
def lstm():
    x = torch.randn(STEPS, BATCH, IN, dtype=torch.float64)
    layer = nn.LSTM(IN, HIDDEN).double()
    output, (last_h, last_c) = layer(x)
    h = c = np.zeros((BATCH, HIDDEN))
    for t in range(STEPS):
        h, c = lstm_step(weights(layer, "_l0"), x[t].numpy(), h, c)
        np.testing.assert_allclose(output[t].detach().numpy(), h)
    np.testing.assert_allclose(last_h[0].detach().numpy(), h)
    np.testing.assert_allclose(last_c[0].detach().numpy(), c)
    assert sum(p.numel() for p in nn.LSTM(10, 20, 2).parameters()) == 5_920
    warnings.simplefilter("ignore")
    small = nn.LSTM(IN, HIDDEN, proj_size=2)(x.float())
    assert small[0].shape == (STEPS, BATCH, 2) and small[1][1].shape == (1, BATCH, HIDDEN)
    assert fails(lambda: nn.LSTM(IN, HIDDEN, proj_size=HIDDEN))


GRU = r"h'=(1-z)\odot n+z\odot h,\ n=\tanh(W_{in}x+b_{in}+r\odot(W_{hn}h+b_{hn}))"


@card("torch.nn.GRU", formula=GRU)
def gru():
    x = torch.randn(STEPS, BATCH, IN, dtype=torch.float64)
    layer = nn.GRU(IN, HIDDEN).double()
    output, last = layer(x)
    h = np.zeros((BATCH, HIDDEN))
    for t in range(STEPS):
        h = gru_step(weights(layer, "_l0"), x[t].numpy(), h)
        np.testing.assert_allclose(output[t].detach().numpy(), h)
    np.testing.assert_allclose(last[0].detach().numpy(), h)
    with torch.no_grad():
        layer.bias_ih_l0[HIDDEN : 2 * HIDDEN] = 100.0
    state = torch.randn(1, BATCH, HIDDEN, dtype=torch.float64)
    assert torch.allclose(layer(x, state)[1], state), "z = 1 keeps the old state"
    assert sum(p.numel() for p in nn.GRU(10, 20, 2).parameters()) == 4_440


@card("torch.nn.RNNBase")
def recurrent_base():
    for mode, gates in (("RNN_TANH", 1), ("RNN_RELU", 1), ("LSTM", 4), ("GRU", 3)):
        base = nn.RNNBase(mode, IN, HIDDEN)
        assert base.weight_ih_l0.shape == (gates * HIDDEN, IN) and base.weight_hh_l0.shape == (gates * HIDDEN, HIDDEN)
    assert callable(nn.LSTM(IN, HIDDEN).flatten_parameters)


@card("torch.nn.RNNCell", formula=r"h'=\tanh(W_{ih}x+b_{ih}+W_{hh}h+b_{hh})")
def rnn_cell():
    x, h = torch.randn(BATCH, IN, dtype=torch.float64), torch.randn(BATCH, HIDDEN, dtype=torch.float64)
    for kind, activation in (("tanh", np.tanh), ("relu", lambda a: np.maximum(0, a))):
        cell = nn.RNNCell(IN, HIDDEN, nonlinearity=kind).double()
        np.testing.assert_allclose(
            cell(x, h).detach().numpy(), rnn_step(weights(cell), x.numpy(), h.numpy(), activation)
        )
        assert torch.equal(cell(x), cell(x, torch.zeros_like(h))), "no state means zeros"


@card("torch.nn.LSTMCell", formula=r"c'=f\odot c+i\odot g,\quad h'=o\odot\tanh c'")
def lstm_cell():
    x = torch.randn(BATCH, IN, dtype=torch.float64)
    h, c = torch.randn(2, BATCH, HIDDEN, dtype=torch.float64)
    cell = nn.LSTMCell(IN, HIDDEN).double()
    result = cell(x, (h, c))
    assert isinstance(result, tuple) and [one.shape for one in result] == [(BATCH, HIDDEN)] * 2
    for mine, its in zip(lstm_step(weights(cell), x.numpy(), h.numpy(), c.numpy()), result):
        np.testing.assert_allclose(its.detach().numpy(), mine)


@card("torch.nn.GRUCell", formula=GRU)
def gru_cell():
    x, h = torch.randn(BATCH, IN, dtype=torch.float64), torch.randn(BATCH, HIDDEN, dtype=torch.float64)
    cell = nn.GRUCell(IN, HIDDEN).double()
    y = cell(x, h)
    np.testing.assert_allclose(y.detach().numpy(), gru_step(weights(cell), x.numpy(), h.numpy()))
    cell.bias_ih.data, cell.bias_hh.data = cell.bias_hh.data, cell.bias_ih.data
    assert not torch.allclose(cell(x, h), y), "the two biases are not interchangeable"


@check
def two_biases_act_as_one():
    x = torch.randn(STEPS, BATCH, IN)
    for kind in (nn.RNN, nn.LSTM):
        layer = kind(IN, HIDDEN)
        before = layer(x)[0]
        with torch.no_grad():
            layer.bias_ih_l0 += layer.bias_hh_l0
            layer.bias_hh_l0.zero_()
        assert torch.allclose(before, layer(x)[0], atol=1e-6)
