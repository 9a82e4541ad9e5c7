"""The cards of tensors, their functions and methods, and autograd, held against the installed library."""

import contextlib
import io
import math
import operator
import pickle
import warnings

import numpy as np
import scipy.integrate
import torch
from torch import nn

from note_checks import card, quietly, raises, subject

inf, nan = float("inf"), float("nan")


def warns(work, *words: str):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    assert any(all(word in str(one.message) for word in words) for one in caught), f"no warning with {words}"
    return result


def close(actual, expected, tolerance=1e-9):
    actual = actual.detach().numpy() if isinstance(actual, torch.Tensor) else np.asarray(actual)
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def random(*shape: int, positive: bool = False) -> torch.Tensor:
    x = torch.randn(*shape, dtype=torch.float64)
    return x.abs() + 0.1 if positive else x


def gradient(function, *values: float) -> list[float]:
    x = torch.tensor(values, requires_grad=True, dtype=torch.float64)
    function(x).sum().backward()
    return x.grad.tolist()


# Creating


@card("torch.Tensor", "torch.tensor", "torch.as_tensor", "torch.from_numpy")
def tensors_from_data():
    assert torch.Tensor(3).shape == (3,) and torch.Tensor([1, 2]).dtype == torch.float32
    assert torch.tensor(3).shape == ()
    assert torch.tensor([1, 2]).dtype == torch.int64 and torch.tensor([1.0, 2]).dtype == torch.float32
    array = np.ones(2)
    assert torch.tensor(array).dtype == torch.float64
    copied, shared, wrapped = torch.tensor(array), torch.as_tensor(array), torch.from_numpy(array)
    array[0] = 7
    assert copied[0] == 1 and shared[0] == wrapped[0] == 7
    x = torch.ones(2, requires_grad=True)
    assert not warns(lambda: torch.tensor(x), "clone()").requires_grad
    raises(RuntimeError, lambda: wrapped @ torch.ones(2, 2))


@card("torch.zeros", "torch.zeros_like", "torch.full", "torch.empty", "torch.eye")
def constant_tensors():
    assert torch.zeros(2, 3).dtype == torch.float32 and torch.zeros(1).device.type == "cpu"
    assert torch.ones(2, dtype=torch.float64).new_zeros(3).dtype == torch.float64
    labels = torch.tensor([0, 2])
    assert torch.zeros_like(labels).dtype == torch.int64
    assert (
        torch.full((2,), 1).dtype == torch.int64
        and torch.full((2,), True).dtype == torch.bool
        and torch.full((2,), 1.0).dtype == torch.float32
    )
    assert math.isnan(torch.tensor(nan) * 0)
    assert torch.empty(2, 3).shape == (2, 3)
    assert torch.equal(torch.eye(3)[labels], nn.functional.one_hot(labels, 3).float())


@card("torch.rand", formula=r"x\sim U[0,1),\qquad a+(b-a)\,x\sim U[a,b)")
def uniform():
    x = 2 + 3 * torch.rand(100000)
    assert 2 <= x.min() and x.max() < 5 and abs(x.mean() - 3.5) < 0.02 and abs(x.var() - 9 / 12) < 0.02
    assert abs(torch.rand(100000).mean() - 0.5) < 0.01 and torch.rand(1000).min() >= 0


@card("torch.randn", formula=r"x\sim\mathcal N(0,1),\qquad \mu+\sigma x\sim\mathcal N(\mu,\sigma^2)")
@card("torch.normal", formula=r"x=\mu+\sigma z,\qquad z\sim\mathcal N(0,1)")
def normal():
    for x in (5 + 0.02 * torch.randn(200000), torch.normal(5.0, 0.02, (200000,)), torch.empty(200000).normal_(5, 0.02)):
        assert (
            abs(x.mean() - 5) < 1e-3
            and abs(x.std() - 0.02) < 1e-3
            and abs(((x - 5).abs() < 0.02).double().mean() - 0.6827) < 0.01
        )
    std = torch.ones(3, requires_grad=True)
    # The result belongs to the graph, but no gradient arrives.
    torch.normal(torch.zeros(3), std).sum().backward()
    assert torch.equal(std.grad, torch.zeros(3))
    (std * torch.randn(3)).sum().backward()
    assert not torch.equal(std.grad, torch.zeros(3))


@card("torch.randint", formula=r"x\in\{a,\,a+1,\,\dots,\,b-1\}")
def random_integers():
    x = torch.randint(2, 5, (1000,))
    assert set(x.tolist()) == {2, 3, 4} and x.dtype == torch.int64
    assert set(torch.randint(3, (1000,)).tolist()) == {0, 1, 2}


@card("torch.randperm")
def permutation():
    assert sorted(torch.randperm(50).tolist()) == list(range(50)) and torch.randperm(50).tolist() != list(range(50))


@card("torch.Tensor.uniform_")
def uniform_in_place():
    weight = torch.ones(3, requires_grad=True)
    raises(RuntimeError, lambda: weight.uniform_(2, 3))
    with torch.no_grad():
        weight.uniform_(2, 3)
    assert weight.min() >= 2 and weight.max() < 3
    nn.init.uniform_(weight)


@card("torch.multinomial", formula=r"P(i)=\frac{w_i}{\sum_j w_j}")
def multinomial():
    weights = np.array([1.0, 2, 5, 0])
    drawn = torch.multinomial(torch.tensor(weights), 60000, replacement=True)
    close(np.bincount(drawn, minlength=4) / 60000, weights / 8, 1e-2)
    assert torch.multinomial(torch.ones(3, 4), 2).shape == (3, 2)
    raises(RuntimeError, lambda: torch.multinomial(torch.tensor([-1.0, 2]), 1))
    raises(RuntimeError, lambda: torch.multinomial(torch.ones(2), 3), "without replacement")


@card("torch.bernoulli", formula="P(x_i=1)=p_i")
def bernoulli():
    p = torch.tensor([0.1, 0.5, 0.9])
    assert torch.allclose(torch.bernoulli(p.expand(60000, 3)).mean(0), p, atol=1e-2)
    raises(RuntimeError, lambda: torch.bernoulli(torch.tensor([1.5])))
    q = p.clone().requires_grad_()
    torch.bernoulli(q).sum().backward()
    assert torch.equal(q.grad, torch.zeros(3))


@card("torch.arange", formula=r"x_i=a+i\,s,\qquad n=\left\lceil\frac{b-a}{s}\right\rceil")
@card("torch.linspace", formula=r"x_i=a+i\,\frac{b-a}{n-1},\qquad i=0,\dots,n-1")
def sequences():
    for a, b, s in ((0, 10, 3), (2, 3, 0.3), (5, -5, -2)):
        n = math.ceil((b - a) / s)
        close(torch.arange(a, b, s).double(), a + np.arange(n) * s, 1e-6)
    assert len(torch.arange(1, 1.3, 0.1)) == 4 and torch.arange(1, 1.3, 0.1)[-1].isclose(torch.tensor(1.3))
    assert torch.arange(3).dtype == torch.int64
    close(torch.linspace(2, 5, 7, dtype=torch.float64), 2 + np.arange(7) * 3 / 6)
    close(torch.linspace(0, 1, 11).diff(), np.full(10, 0.1), 1e-6)


@card("torch.meshgrid")
def meshgrid():
    a, b = torch.arange(2), torch.arange(3)
    rows, columns = warns(lambda: torch.meshgrid(a, b), "indexing")
    assert rows.shape == (2, 3) and rows[1, 2] == 1 and columns[1, 2] == 2
    assert torch.meshgrid(a, b, indexing="xy")[0].shape == (3, 2) == np.meshgrid(a, b)[0].shape


@card("torch.tril", "torch.diag")
def triangles():
    assert torch.triu(torch.ones(3, 3), diagonal=1).tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    x = random(2, 3, 4)
    close(x.tril(-1), np.tril(x.numpy(), -1))
    raises(RuntimeError, lambda: torch.diag(torch.ones(2, 3, 3)))
    batch = random(2, 3, 3)
    close(batch.diagonal(dim1=-2, dim2=-1), np.diagonal(batch.numpy(), axis1=1, axis2=2))
    close(torch.diag_embed(batch.diagonal(dim1=-2, dim2=-1))[1], np.diag(np.diag(batch[1].numpy())))


@card("torch.Size", "torch.Generator", "torch.device", "torch.dtype")
def small_classes():
    shape = torch.ones(2, 3).shape
    assert shape == (2, 3) and shape != [2, 3]
    assert torch.Generator().initial_seed() == torch.Generator().initial_seed()
    close(torch.rand(3, generator=torch.Generator()), torch.rand(3, generator=torch.Generator()))
    assert torch.device("cuda") != torch.device("cuda:0") and torch.device("cuda").type == torch.device("cuda:0").type
    assert (torch.ones(1, dtype=torch.int64) + torch.ones(1)).dtype == torch.float32
    raises(RuntimeError, lambda: torch.ones(2, 2) @ torch.ones(2, 2, dtype=torch.float64))
    with torch.device("meta"):
        assert torch.ones(1).device.type == "meta"


@card(
    "torch.float32",
    "torch.float16",
    "torch.bfloat16",
    "torch.float64",
    "torch.int64",
    "torch.uint8",
    "torch.bool",
    "torch.finfo",
)
def types():
    assert torch.tensor(2.0**24) + 1 == 2**24
    assert torch.finfo(torch.float16).max == 65504 and torch.finfo(torch.float16).eps == 2**-10
    assert torch.tensor(2.9e-8).half() == 0 and torch.tensor(3.1e-8).half() > 0
    assert torch.tensor(256.0, dtype=torch.bfloat16) + 1 == 256 and torch.finfo(torch.bfloat16).eps == 2**-7
    assert 3.3e38 < torch.finfo(torch.bfloat16).max < 3.41e38
    raises(RuntimeError, lambda: torch.ones(2, dtype=torch.int64).requires_grad_())
    raises(RuntimeError, lambda: torch.ones(2, dtype=torch.int64).mean())
    assert torch.tensor(250, dtype=torch.uint8) + 10 == 4
    mask = torch.tensor([True, False])
    raises(RuntimeError, lambda: mask and mask)
    raises(RuntimeError, lambda: not mask)
    assert (mask & ~mask).tolist() == [False, False]
    limits = torch.finfo(torch.float32)
    assert limits.min < -1e38 and 0 < limits.tiny < 1e-37 and 1 + limits.eps > 1


# Reductions


@card("torch.sum", formula=r"y=\sum_i x_i")
@card("torch.mean", formula=r"y=\frac1N\sum_i x_i")
@card("torch.prod", formula=r"y=\prod_i x_i")
def sums():
    x = random(3, 4, 2)
    close(x.sum((0, 2)), x.numpy().sum((0, 2)))
    close(x.mean(1, keepdim=True), x.numpy().sum(1, keepdims=True) / 4)
    close(x.prod(1), np.multiply.reduce(x.numpy(), axis=1))
    square = random(3, 3, positive=True)
    close((square / square.sum(1, keepdim=True)).sum(1), np.ones(3))
    assert not torch.allclose((square / square.sum(1)).sum(1), torch.ones(3).double())
    raises(RuntimeError, lambda: torch.arange(3).mean())
    assert torch.full((50,), 1e-7).prod() == 0


@card(
    "torch.std",
    "torch.var",
    formula=r"\mathrm{var}(x)=\frac{1}{N-c}\sum_i(x_i-\bar x)^2,\qquad \mathrm{std}=\sqrt{\mathrm{var}}",
)
def spread():
    x = random(3, 5)
    centred = x.numpy() - x.numpy().mean(1, keepdims=True)
    for correction in (0, 1):
        variance = (centred**2).sum(1) / (5 - correction)
        close(x.var(1, correction=correction), variance)
        close(torch.std(x, 1, correction=correction), np.sqrt(variance))
    close(x.var(1), (centred**2).sum(1) / 4)
    close(x.var(1, correction=0), x.numpy().var(1))
    assert math.isnan(quietly(lambda: torch.ones(1).std()))


@card(
    "torch.max",
    "torch.amax",
    "torch.median",
    "torch.sort",
    "torch.topk",
    "torch.any",
    "torch.count_nonzero",
    "torch.unique",
)
def order():
    x = random(3, 5)
    values, indices = x.max(dim=1)
    close(values, x.numpy().max(1))
    assert torch.equal(x.gather(1, indices[:, None])[:, 0], values)
    raises(TypeError, lambda: x.max(dim=(0, 1)))
    close(x.amax((0, 1)), x.numpy().max())
    assert gradient(lambda t: t.amax(0), 2, 2, 1) == [0.5, 0.5, 0] and sorted(
        gradient(lambda t: t.max(0).values, 2, 2, 1)
    ) == [0, 0, 1]
    assert torch.tensor([1.0, 2, 3, 4]).median() == 2 and torch.tensor([1.0, 2, 3, 4]).quantile(0.5) == 2.5
    assert isinstance(x.sort(), tuple) and torch.equal(x.argsort(), x.sort().indices)
    top = x.topk(2)
    assert top.values.shape == (3, 2) and (top.values[:, 0] >= top.values[:, 1]).all()
    logits, y = random(50, 10), torch.randint(10, (50,))
    expected = [y[i].item() in np.argsort(-logits[i].numpy())[:5] for i in range(50)]
    assert (logits.topk(5, dim=1).indices == y[:, None]).any(1).tolist() == expected
    assert torch.tensor([]).all() and not torch.tensor([]).any()
    assert torch.tensor([0, nan, 2]).count_nonzero() == 2
    assert torch.tensor([3, 1, 3]).unique().tolist() == [1, 3] and torch.tensor(
        [1, 1, 2, 1]
    ).unique_consecutive().tolist() == [1, 2, 1]


@card("torch.argmax", formula=r"i^{*}=\arg\max_i x_i")
def argmax():
    x = random(4, 6)
    assert x.argmax(1).tolist() == x.numpy().argmax(1).tolist() and x.argmax() == x.numpy().reshape(-1).argmax()
    assert not x.requires_grad_().argmax(1).is_floating_point()


@card("torch.quantile", formula=r"y=x_{(k)}+(t-k)\left(x_{(k+1)}-x_{(k)}\right),\quad t=q\,(n-1),\ k=\lfloor t\rfloor")
def quantile():
    x = random(7)
    ordered = np.sort(x.numpy())
    for q in (0.1, 0.33, 0.5, 0.9):
        t = q * 6
        k = math.floor(t)
        close(x.quantile(q), ordered[k] + (t - k) * (ordered[k + 1] - ordered[k]))
    raises(RuntimeError, lambda: x.quantile(50))
    raises(RuntimeError, lambda: torch.zeros(2**24 + 1).quantile(0.5), "too large")


@card("torch.norm", formula=r"\|x\|_p=\left(\sum_i|x_i|^p\right)^{1/p}")
@card(
    "torch.linalg.norm",
    "torch.linalg.vector_norm",
    formula=r"\|x\|_2=\sqrt{\sum_i x_i^2},\qquad \|A\|_F=\sqrt{\sum_{ij}a_{ij}^2}",
)
def norms():
    x = random(3, 4)
    for p in (1, 2, 3):
        close(torch.norm(x, p, dim=1), (np.abs(x.numpy()) ** p).sum(1) ** (1 / p))
    assert torch.norm(x).shape == ()
    root = np.sqrt((x.numpy() ** 2).sum())
    for value in (torch.norm(x, 2), torch.linalg.norm(x), torch.linalg.vector_norm(x), torch.linalg.matrix_norm(x)):
        close(value, root)
    close(torch.linalg.norm(x, 2), np.linalg.svd(x.numpy(), compute_uv=False)[0])
    assert "deprecated" in torch.norm.__doc__


@card("torch.logsumexp", formula=r"y=m+\ln\sum_i e^{x_i-m},\qquad m=\max_i x_i")
def log_sum_exp():
    x = torch.cat([random(3, 4), random(3, 4) + 1000])
    m = x.numpy().max(1)
    close(x.logsumexp(1), m + np.log(np.exp(x.numpy() - m[:, None]).sum(1)))
    raises(TypeError, lambda: x.logsumexp())
    assert torch.tensor([89.0]).exp().sum().log() == inf and torch.tensor([88.0]).exp().sum().log() < 89


@card("torch.cumsum", "torch.cumprod", formula=r"y_i=\sum_{j\le i}x_j,\qquad y_i=\prod_{j\le i}x_j")
def running():
    x = random(3, 5)
    close(x.cumsum(1), np.stack([x.numpy()[:, : i + 1].sum(1) for i in range(5)], 1))
    close(x.cumprod(1), np.stack([x.numpy()[:, : i + 1].prod(1) for i in range(5)], 1))


@card("torch.bincount", formula=r"y_k=\sum_{i:\,x_i=k}w_i")
def bincount():
    x, w = torch.tensor([0, 3, 3, 1]), random(4)
    close(x.bincount(w), [w[x.numpy() == k].sum() for k in range(4)])
    assert x.bincount().tolist() == [1, 1, 0, 2] and x.bincount(minlength=6).tolist() == [1, 1, 0, 2, 0, 0]
    raises(RuntimeError, lambda: torch.tensor([-1]).bincount())
    raises(RuntimeError, lambda: torch.tensor([[1]]).bincount())


# Elementwise


@card("torch.exp", formula="y=e^{x}")
@card("torch.log", formula=r"y=\ln x")
@card("torch.log1p", formula=r"\mathrm{log1p}(x)=\ln(1+x),\qquad \mathrm{expm1}(x)=e^{x}-1")
def exponentials():
    x = random(10, positive=True)
    close(x.exp(), math.e ** x.numpy())
    close(x.log(), np.log(x.numpy()))
    close(x.log2(), np.log(x.numpy()) / np.log(2))
    close(x.log10(), np.log(x.numpy()) / np.log(10))
    close(x.log1p(), np.log(1 + x.numpy()))
    close(x.expm1(), np.exp(x.numpy()) - 1)
    assert torch.tensor(88.8).exp() == inf and torch.tensor(88.7).exp() < inf
    assert torch.tensor(11.1).half().exp() == inf and torch.tensor(11.0).half().exp() < inf
    assert (
        torch.tensor(0.0).log() == -inf and gradient(torch.log, 0.0) == [inf] and math.isnan(torch.tensor(-1.0).log())
    )
    assert (torch.tensor(1.0) + 1e-8).log() == 0 and torch.tensor(1e-8).log1p().isclose(torch.tensor(1e-8))
    assert (
        torch.tensor([0.0, 200.0]).softmax(0).log()[0] == -inf and torch.tensor([0.0, 200.0]).log_softmax(0)[0] == -200
    )


@card("torch.sqrt", formula=r"y=\sqrt{x},\qquad \frac{dy}{dx}=\frac{1}{2\sqrt{x}}")
@card("torch.abs", formula=r"y=|x|,\qquad \frac{dy}{dx}=\mathrm{sign}(x)")
@card("torch.pow", formula="y=x^{p}")
@card("torch.sign")
def powers():
    x = random(6, positive=True)
    close(x.sqrt() * x.sqrt(), x)
    close(x.rsqrt(), 1 / np.sqrt(x.numpy()))
    close(gradient(torch.sqrt, *x.tolist()), 1 / (2 * np.sqrt(x.numpy())))
    assert (
        gradient(torch.sqrt, 0.0) == [inf]
        and math.isnan(gradient(lambda t: (t**2).sqrt(), 0.0)[0])
        and gradient(lambda t: t**0.5, 0.0) == [inf]
    )
    assert torch.tensor([-2.0, 0, 3]).abs().tolist() == [2, 0, 3] and gradient(torch.abs, -2, 0, 3) == [-1, 0, 1]
    close(x.pow(2.5), np.exp(2.5 * np.log(x.numpy())))
    close(x.square(), x.numpy() * x.numpy())
    raises(RuntimeError, lambda: torch.tensor([1, 2]) ** -1)
    assert torch.tensor([-2.0, 0, 3]).sign().tolist() == [-1, 0, 1] and gradient(torch.sign, -2, 0.5) == [0, 0]


@card("torch.clamp", formula=r"y=\min(\max(x,\,a),\,b)")
def clamp():
    x = random(20)
    close(x.clamp(-0.5, 0.7), np.minimum(np.maximum(x.numpy(), -0.5), 0.7))
    assert gradient(lambda t: t.clamp(0, 1), -1, 0.5, 2) == [0, 1, 0]
    assert math.isnan(torch.tensor(nan).clamp(0, 1)) and torch.tensor([1.0, 9.0]).clamp(5, 2).tolist() == [2, 2]


@card("torch.round", "torch.maximum")
def rounding():
    assert torch.tensor([2.5, 3.5, -2.5]).round().tolist() == [2, 4, -2]
    assert [f(torch.tensor([-1.5])).item() for f in (torch.floor, torch.ceil, torch.trunc)] == [-2, -1, -1]
    for function in (torch.round, torch.floor, torch.ceil, torch.trunc):
        assert gradient(function, 1.3) == [0]
    raises(TypeError, lambda: torch.maximum(torch.ones(2), 0))
    assert (
        math.isnan(torch.maximum(torch.tensor(nan), torch.tensor(1.0)))
        and torch.fmax(torch.tensor(nan), torch.tensor(1.0)) == 1
    )


@card("torch.add", formula=r"y=x\pm\alpha\,z")
@card("torch.mul", formula="y_i=x_i\\,z_i")
@card("torch.div", formula=r"y=\frac{x}{z}")
@card("torch.remainder", formula=r"\mathrm{remainder}(x,z)=x-z\left\lfloor\frac{x}{z}\right\rfloor")
@card("torch.lerp", formula="y=a+w\\,(b-a)")
def arithmetic():
    x, z = random(5), random(5, positive=True)
    close(torch.add(x, z, alpha=3), x.numpy() + 3 * z.numpy())
    close(x.sub(z, alpha=3), x.numpy() - 3 * z.numpy())
    close(x.mul(z), [a * b for a, b in zip(x.tolist(), z.tolist(), strict=True)])
    close(x.div(z), x.numpy() / z.numpy())
    close(x.remainder(z), x.numpy() - z.numpy() * np.floor(x.numpy() / z.numpy()))
    close(x.fmod(z), x.numpy() - z.numpy() * np.trunc(x.numpy() / z.numpy()))
    close(x.lerp(z, 0.3), x.numpy() + 0.3 * (z.numpy() - x.numpy()))
    assert (torch.ones(3, 1) + torch.ones(3)).shape == (3, 3)
    weight = torch.ones(2, requires_grad=True)
    raises(RuntimeError, lambda: weight.add_(1), "leaf")
    assert (
        (torch.arange(3) / 2).is_floating_point()
        and torch.tensor(-3) // 2 == -2
        and torch.div(torch.tensor(-3), 2, rounding_mode="trunc") == -1
    )
    assert torch.tensor(1.0) / 0 == inf and math.isnan(torch.tensor(0.0) / 0)
    assert torch.remainder(torch.tensor(-3), 2) == 1 and torch.fmod(torch.tensor(-3), 2) == -1
    ema = torch.tensor(1.0)
    assert ema.lerp_(torch.tensor(0.0), 1 - 0.9).isclose(torch.tensor(0.9))


@card(
    "torch.erf",
    formula=r"\mathrm{erf}(x)=\frac{2}{\sqrt\pi}\int_0^x e^{-t^2}dt,\qquad \Phi(x)=\tfrac12\left(1+\mathrm{erf}\tfrac{x}{\sqrt2}\right)",
)
@card("torch.logit", formula=r"y=\ln\frac{p}{1-p}")
@card("torch.sin")
def special():
    for x in (-1.3, 0.0, 0.4, 2.0):
        integral = scipy.integrate.quad(lambda t: math.exp(-t * t), 0, x)[0]
        close(torch.tensor(x, dtype=torch.float64).erf(), 2 / math.sqrt(math.pi) * integral)
        close(0.5 * (1 + math.erf(x / math.sqrt(2))), torch.special.ndtr(torch.tensor(x, dtype=torch.float64)))
    p = torch.rand(9, dtype=torch.float64)
    close(p.logit(), np.log(p.numpy() / (1 - p.numpy())))
    close(p.logit().sigmoid(), p)
    edges = torch.tensor([0.0, 1.0, 2.0]).logit()
    assert edges[0] == -inf and edges[1] == inf and math.isnan(edges[2])
    close(torch.tensor(0.0).logit(eps=0.1), math.log(0.1 / 0.9), 1e-6)
    assert abs(torch.tensor(1002.3).bfloat16().sin() - math.sin(1002.3)) > 0.8


@card("torch.isnan", "torch.nan_to_num")
def not_a_number():
    x = torch.tensor([nan, inf, -inf, 1.0])
    assert (
        not (x == nan).any()
        and x.isnan().tolist() == [True, False, False, False]
        and x.isfinite().tolist() == [False, False, False, True]
    )
    repaired = x.nan_to_num()
    assert repaired[0] == 0 and repaired[1] == torch.finfo(torch.float32).max
    assert math.isnan(gradient(lambda t: t.sqrt().nan_to_num(), -1.0)[0])


@card("torch.equal")
@card("torch.allclose", formula=r"|a-b|\le\mathrm{atol}+\mathrm{rtol}\cdot|b|")
def comparisons():
    assert not torch.equal(torch.tensor(0.1, dtype=torch.float64) + 0.2, torch.tensor(0.3, dtype=torch.float64))
    assert not torch.equal(torch.tensor([nan]), torch.tensor([nan])) and torch.equal(torch.ones(2), torch.ones(2))
    a, b = random(200), None
    b = a + 10 ** torch.empty_like(a).uniform_(-10, -1)
    for rtol, atol in ((1e-5, 1e-8), (1e-2, 0.0), (0.0, 1e-3)):
        expected = np.abs(a.numpy() - b.numpy()) <= atol + rtol * np.abs(b.numpy())
        assert (
            torch.isclose(a, b, rtol, atol).tolist() == expected.tolist()
            and torch.allclose(a, b, rtol, atol) == expected.all()
        )
    assert not torch.allclose(torch.tensor(1e-7), torch.tensor(0.0))
    raises(RuntimeError, lambda: torch.allclose(torch.ones(1), torch.ones(1).double()))
    assert torch.allclose(torch.ones(2, 1), torch.ones(3)) and not torch.allclose(torch.tensor(nan), torch.tensor(nan))


@card("torch.where", formula=r"y_i=\begin{cases}a_i & c_i\\ b_i & \text{otherwise}\end{cases}")
def where():
    c, a, b = random(6) > 0, random(6), random(6)
    close(torch.where(c, a, b), [x if t else y for t, x, y in zip(c, a, b, strict=True)])
    assert math.isnan(gradient(lambda t: torch.where(t > 0, t.sqrt(), torch.zeros_like(t)), 0.0)[0])
    assert gradient(
        lambda t: torch.where(t > 0, torch.where(t > 0, t, torch.ones_like(t)).sqrt(), torch.zeros_like(t)), 0.0
    ) == [0]


# Shape


@card("torch.cat", "torch.hstack", "torch.stack", "torch.split", "torch.unbind", "torch.narrow")
def joining():
    parts = [random(3, 4) for _ in range(10)]
    assert (
        torch.cat(parts).shape == (30, 4)
        and torch.stack(parts).shape == (10, 3, 4)
        and torch.cat(parts, 1).shape == (3, 40)
    )
    assert torch.hstack(parts).shape == (3, 40) and torch.vstack(parts).shape == (30, 4)
    vectors = [torch.ones(3), torch.zeros(3)]
    assert torch.hstack(vectors).shape == (6,) and torch.vstack(vectors).shape == (2, 3)
    raises(RuntimeError, lambda: torch.stack([torch.ones(2), torch.ones(3)]))
    raises(RuntimeError, lambda: torch.cat([torch.ones(2, 3), torch.ones(2, 4)]))
    five = torch.arange(5)
    assert [len(p) for p in five.split(2)] == [2, 2, 1] and len(torch.arange(6).chunk(2)) == 2
    assert len(five.chunk(4)) == 3 and len(five.tensor_split(4)) == 4
    five.split(2)[0][0] = 9
    assert five[0] == 9
    assert len(random(3, 2).unbind()) == 3 and random(3, 2).unbind()[0].shape == (2,)
    x = random(3, 4)
    close(x.narrow(1, 1, 2), x[:, 1:3])
    close(x.select(1, 2), x[:, 2])


@card(
    "torch.Tensor.view",
    "torch.reshape",
    "torch.flatten",
    "torch.unflatten",
    "torch.squeeze",
    "torch.unsqueeze",
    "torch.t",
    "torch.permute",
)
def reshaping():
    x = random(2, 3, 4)
    close(x.view(2, 12), x.numpy().reshape(2, 12))
    assert not torch.equal(x.view(2, 4, 3), x.permute(0, 2, 1)) and x.view(-1).data_ptr() == x.data_ptr()
    turned = x.transpose(1, 2)
    raises(RuntimeError, lambda: turned.view(-1), "view size is not compatible")
    assert turned.reshape(-1).data_ptr() != x.data_ptr() and x.reshape(-1).data_ptr() == x.data_ptr()
    assert torch.flatten(x).shape == (24,) and x.flatten(1).shape == (2, 12) == nn.Flatten()(x).shape
    assert random(2, 12).unflatten(1, (3, 4)).shape == (2, 3, 4)
    assert (
        torch.ones(1, 3, 1).squeeze().shape == (3,)
        and torch.ones(1, 3, 1).squeeze(2).shape == (1, 3)
        and torch.ones(2, 3).squeeze(0).shape == (2, 3)
    )
    assert torch.ones(2, 3).unsqueeze(1).shape == torch.ones(2, 3)[:, None].shape == (2, 1, 3)
    assert warns(lambda: x.T, "deprecated").shape == (4, 3, 2) and x.mT.shape == (2, 4, 3)
    picture = random(2, 5, 6, 3)
    assert picture.permute(0, 3, 1, 2).shape == (2, 3, 5, 6) and not picture.permute(0, 3, 1, 2).is_contiguous()
    close(picture.movedim(3, 1), picture.permute(0, 3, 1, 2))


@card("torch.transpose", formula=r"y_{\dots j\dots i\dots}=x_{\dots i\dots j\dots}")
def transpose():
    x = random(2, 3, 4)
    y = x.transpose(1, 2)
    assert all(y[n, j, i] == x[n, i, j] for n in range(2) for i in range(3) for j in range(4)) and not y.is_contiguous()


@card("torch.Tensor.expand", "torch.broadcast_tensors", "torch.tile", "torch.repeat_interleave", "torch.flip")
def repeating():
    x = torch.ones(3, 1).expand(3, 4)
    assert x.shape == (3, 4) and x.stride() == (1, 0)
    raises(RuntimeError, lambda: x.add_(1), "clone()")
    raises(RuntimeError, lambda: torch.ones(3, 2).expand(3, 4))
    assert torch.ones(3, 1).expand(-1, 4).shape == (3, 4)
    raises(RuntimeError, lambda: torch.broadcast_tensors(torch.ones(3), torch.ones(3, 2)))
    assert [t.shape for t in torch.broadcast_tensors(torch.ones(3, 1), torch.ones(4))] == [(3, 4)] * 2
    pair = torch.tensor([1, 2])
    assert pair.repeat(2).tolist() == pair.tile(2).tolist() == [1, 2, 1, 2] and torch.ones(4, 5).repeat(2, 3).shape == (
        8,
        15,
    )
    assert pair.repeat_interleave(2).tolist() == [1, 1, 2, 2] == np.repeat(pair.numpy(), 2).tolist()
    assert torch.ones(2, 3).repeat_interleave(2).shape == (12,) and torch.ones(2, 3).repeat_interleave(
        2, dim=0
    ).shape == (4, 3)
    flipped = pair.flip(-1)
    assert flipped.tolist() == [2, 1] and flipped.data_ptr() != pair.data_ptr()
    raises(ValueError, lambda: pair[::-1])


@card("torch.roll", formula=r"y_{(i+s)\bmod n}=x_i")
@card("torch.Tensor.unfold", formula=r"n=\left\lfloor\frac{L-\mathrm{size}}{\mathrm{step}}\right\rfloor+1")
def shifting():
    x = random(7)
    for s in (2, -3):
        y = x.roll(s)
        assert all(y[(i + s) % 7] == x[i] for i in range(7))
    grid = torch.arange(4).reshape(2, 2)
    assert grid.roll(1).tolist() == [[3, 0], [1, 2]] and grid.roll(1, 1).tolist() == [[1, 0], [3, 2]]
    for size, step in ((3, 2), (2, 1), (7, 5)):
        windows = x.unfold(0, size, step)
        n = (7 - size) // step + 1
        assert windows.shape == (n, size)
        close(windows, [x[i * step : i * step + size].numpy() for i in range(n)])


@card("torch.gather", formula=r"y_{ij}=x_{i,\,\mathrm{index}_{ij}}\qquad(\mathrm{dim}=1)")
def gather():
    x, index = random(3, 5), torch.randint(5, (3, 2))
    close(x.gather(1, index), [[x[i, index[i, j]] for j in range(2)] for i in range(3)])
    y = torch.tensor([0, 4, 2])
    close(x.gather(1, y.unsqueeze(1)).squeeze(1), x.numpy()[np.arange(3), y])
    raises(RuntimeError, lambda: x.gather(1, y), "same number of dimensions")
    close(torch.take_along_dim(x, torch.tensor([[1]]), 1), x[:, 1:2])


@card("torch.Tensor.scatter_", formula=r"y_{i,\,\mathrm{index}_{ij}}=\mathrm{src}_{ij}\qquad(\mathrm{dim}=1)")
def scatter():
    index, src = torch.stack([torch.randperm(5)[:2] for _ in range(3)]), random(3, 2)
    expected = np.zeros((3, 5))
    for i in range(3):
        for j in range(2):
            expected[i, index[i, j]] = src[i, j]
    close(torch.zeros(3, 5).double().scatter_(1, index, src), expected)
    labels = torch.tensor([2, 0])
    assert torch.equal(torch.zeros(2, 3).scatter_(1, labels[:, None], 1), nn.functional.one_hot(labels, 3).float())


@card(
    "torch.Tensor.scatter_add_",
    formula=r"y_{\mathrm{index}_{ij},\,j}\mathrel{+}=\mathrm{src}_{ij}\qquad(\mathrm{dim}=0)",
)
@card("torch.index_add", formula=r"y_{\mathrm{index}_i}\mathrel{+}=\alpha\,s_i")
@card("torch.scatter_reduce")
def accumulating():
    index, src = torch.tensor([0, 2, 0, 2, 2]), random(5, 3)
    expected = np.zeros((3, 3))
    np.add.at(expected, index.numpy(), src.numpy())
    close(torch.zeros(3, 3).double().scatter_add_(0, index[:, None].expand_as(src), src), expected)
    close(torch.zeros(3, 3).double().index_add_(0, index, src, alpha=2), 2 * expected)
    assert not np.allclose(torch.zeros(3, 3).double().scatter_add_(0, index[:, None], src), expected)
    once = torch.zeros(3)
    once[torch.tensor([0, 0])] += torch.ones(2)
    assert once[0] == 1
    old = torch.tensor([10.0, 10.0])
    values, where_to = torch.tensor([1.0, 3.0]), torch.tensor([0, 0])
    assert old.scatter_reduce(0, where_to, values, "amax").tolist() == [10, 10]
    assert old.scatter_reduce(0, where_to, values, "mean", include_self=False).tolist() == [2, 10]


@card("torch.index_select", formula=r"y_{ij}=x_{i,\,\mathrm{index}_j}\qquad(\mathrm{dim}=1)")
def index_select():
    x, index = random(3, 5), torch.tensor([4, 0, 4])
    close(x.index_select(1, index), [[x[i, k] for k in index] for i in range(3)])
    raises((IndexError, RuntimeError), lambda: x.index_select(1, torch.tensor([-1])))


@card("torch.masked_fill", "torch.masked_select", "torch.nonzero")
def masks():
    x, mask = random(2, 3), torch.tensor([[True, False, True], [False, False, True]])
    assert (x.masked_fill(mask, 7)[mask] == 7).all() and torch.equal(x.masked_fill(mask, 7)[~mask], x[~mask])
    assert torch.full((1, 3), -inf).softmax(1).isnan().all()
    picked = x.masked_select(mask)
    assert picked.shape == (3,)
    before = x.clone()
    picked.fill_(9)
    assert torch.equal(x, before)
    assert mask.nonzero().tolist() == [[0, 0], [0, 2], [1, 2]]
    assert all(
        a.tolist() == b.tolist() for a, b in zip(mask.nonzero(as_tuple=True), mask.numpy().nonzero(), strict=True)
    )


# Linear algebra


@card("torch.matmul", formula=r"y_{ij}=\sum_k a_{ik}\,b_{kj}")
@card("torch.mm", "torch.bmm", "torch.dot")
def products():
    a, b = random(5, 1, 2, 3), random(4, 3, 6)
    expected = (a.numpy()[..., :, :, None] * b.numpy()[..., None, :, :]).sum(-2)
    close(a @ b, expected)
    assert (random(2, 3) @ random(3)).shape == (2,) and (random(3) @ random(3)).shape == ()
    close(random(2, 3).mm(torch.eye(3).double()).shape, (2, 3))
    raises(RuntimeError, lambda: torch.bmm(torch.ones(2, 3, 4), torch.ones(1, 4, 5)))
    raises(RuntimeError, lambda: torch.dot(torch.ones(2, 2), torch.ones(2)))
    raises(RuntimeError, lambda: torch.ones(2, 2) @ torch.ones(2, 2).double())


@card("torch.addmm", formula=r"y=\beta\,x+\alpha\,(A\,B)")
@card("torch.outer", formula=r"y_{ij}=a_i\,b_j")
@card("torch.einsum", formula=r"\texttt{bik,bkj->bij}:\quad y_{bij}=\sum_k a_{bik}\,b_{bkj}")
@card("torch.tensordot")
def more_products():
    x, a, b = random(2, 4), random(2, 3), random(3, 4)
    close(torch.addmm(x, a, b, beta=0.5, alpha=2), 0.5 * x.numpy() + 2 * (a.numpy() @ b.numpy()))
    close(torch.addmm(torch.full((2, 4), nan).double(), a, b, beta=0), a.numpy() @ b.numpy())
    close(torch.outer(a[0], b[0]), [[p * q for q in b[0].tolist()] for p in a[0].tolist()])
    raises(RuntimeError, lambda: torch.outer(a, b))
    c, d = random(5, 2, 3), random(5, 3, 4)
    close(torch.einsum("bik,bkj->bij", c, d), (c.numpy()[..., None] * d.numpy()[:, None]).sum(2))
    close(torch.einsum("ba", a), a.T)
    close(torch.tensordot(c, random(2, 3, 6) * 0 + 1, dims=2), c.numpy().sum((1, 2))[:, None] * np.ones(6))


@card("torch.cdist", formula=r"d_{ij}=\Big(\sum_k|x_{ik}-y_{jk}|^{p}\Big)^{1/p}")
def cdist():
    x, y = random(3, 5), random(4, 5)
    for p in (1.0, 2.0, 3.0):
        close(torch.cdist(x, y, p), (np.abs(x.numpy()[:, None] - y.numpy()[None]) ** p).sum(-1) ** (1 / p))
    far = torch.randn(40, 5) + 100
    assert torch.cdist(far, far).diagonal().max() > 1e-3
    assert torch.cdist(far, far, compute_mode="donot_use_mm_for_euclid_dist").diagonal().max() == 0
    assert torch.cdist(far[:25], far[:25]).diagonal().max() == 0


@card("torch.linalg.svd", "torch.svd", formula=r"A=U\,\mathrm{diag}(S)\,V^{\top}")
@card("torch.linalg.inv", formula=r"A\,A^{-1}=I")
@card("torch.linalg.solve", formula=r"A\,X=B,\qquad \min_X\|A\,X-B\|_F")
@card("torch.linalg.eigh", formula=r"A=Q\,\mathrm{diag}(\lambda)\,Q^{\top}")
@card("torch.linalg.qr", "torch.linalg.cholesky", formula=r"A=Q\,R,\qquad A=L\,L^{\top}")
@card("torch.linalg.det")
def decompositions():
    a, square, b = random(5, 3), random(4, 4), random(4, 2)
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    close(u.numpy() @ np.diag(s.numpy()) @ vh.numpy(), a)
    assert u.shape == (5, 3) and torch.linalg.svd(a)[0].shape == (5, 5) and (s.diff() <= 0).all()
    u, s, v = torch.svd(a)
    close(u.numpy() @ np.diag(s.numpy()) @ v.numpy().T, a)
    assert "deprecated" in torch.svd.__doc__ and torch.svd(a, some=False)[0].shape == (5, 5)
    close(square.numpy() @ torch.linalg.inv(square).numpy(), np.eye(4), 1e-8)
    raises(torch.linalg.LinAlgError, lambda: torch.linalg.inv(torch.ones(2, 2)), "singular")
    close(square.numpy() @ torch.linalg.solve(square, b).numpy(), b, 1e-8)
    solution = torch.linalg.lstsq(a, random(5, 2) * 0 + 1).solution
    close(solution, np.linalg.lstsq(a.numpy(), np.ones((5, 2)), rcond=None)[0], 1e-8)
    symmetric = square + square.T
    values, vectors = torch.linalg.eigh(symmetric)
    close(vectors.numpy() @ np.diag(values.numpy()) @ vectors.numpy().T, symmetric, 1e-8)
    assert (values.diff() >= 0).all()
    close(torch.linalg.eigvalsh(symmetric.tril()), values, 1e-8)
    q, r = torch.linalg.qr(a)
    close(q.numpy() @ r.numpy(), a)
    close(q.numpy().T @ q.numpy(), np.eye(3))
    assert np.allclose(r, np.triu(r))
    positive = square @ square.T
    lower = torch.linalg.cholesky(positive)
    close(lower.numpy() @ lower.numpy().T, positive)
    close(lower, np.tril(lower))
    raises(torch.linalg.LinAlgError, lambda: torch.linalg.cholesky(-positive))
    sign, log = torch.linalg.slogdet(square)
    close(sign * log.exp(), np.linalg.det(square.numpy()), 1e-8)
    assert (
        torch.linalg.det(torch.eye(400) * 0.1) == 0 and torch.linalg.slogdet(torch.eye(400) * 0.1).logabsdet.isfinite()
    )


@card("torch.pca_lowrank", formula=r"A-\bar A\approx U\,\mathrm{diag}(S)\,V^{\top},\qquad \lambda_i=\frac{S_i^2}{m-1}")
def pca():
    a = random(30, 4) * torch.tensor([5.0, 3, 1, 0.5]) + 10
    u, s, v = torch.pca_lowrank(a, q=4, niter=4)
    centred = a.numpy() - a.numpy().mean(0)
    close(u.numpy() @ np.diag(s.numpy()) @ v.numpy().T, centred, 1e-8)
    close(np.sort(s.numpy() ** 2 / 29)[::-1], np.linalg.eigvalsh(np.cov(a.numpy().T))[::-1], 1e-8)
    close(((a - a.mean(0)) @ v).abs(), np.abs(u.numpy() * s.numpy()), 1e-8)


@card("torch.fft.fft", formula=r"X_k=\sum_{n=0}^{N-1}x_n\,e^{-2\pi i\,kn/N}")
@card("torch.fft.rfft", "torch.fft.fftshift")
def fourier():
    x = random(7)
    k = np.arange(7)
    matrix = np.exp(-2j * np.pi * np.outer(k, k) / 7)
    close(torch.fft.fft(x), matrix @ x.numpy())
    close(torch.fft.ifft(torch.fft.fft(x)), x.numpy().astype(complex))
    close(torch.fft.fft(x, norm="ortho"), matrix @ x.numpy() / math.sqrt(7))
    half = torch.fft.rfft(x)
    assert half.shape == (4,) and torch.fft.irfft(half).shape == (6,)
    close(torch.fft.irfft(half, n=7), x)
    shifted = torch.fft.fftshift(x)
    assert not torch.equal(torch.fft.fftshift(shifted), x) and torch.equal(torch.fft.ifftshift(shifted), x)


# Autograd


@card("torch.no_grad", "torch.inference_mode", "torch.enable_grad")
def gradient_modes():
    x = torch.ones(2, requires_grad=True)
    layer = nn.Dropout(0.5)
    with torch.no_grad():
        assert not (x * 2).requires_grad and layer.training and (layer(torch.ones(1000)) == 0).any()
        with torch.enable_grad():
            assert (x * 2).requires_grad
    with torch.inference_mode():
        y = x * 2
    raises(RuntimeError, lambda: (y * x).sum(), "Inference tensors cannot be saved for backward")
    (y.clone() * x).sum().backward()
    torch.set_grad_enabled(False)
    assert not (x * 2).requires_grad and not torch.is_grad_enabled()
    torch.set_grad_enabled(True)


@card(
    "torch.Tensor.backward",
    formula=r"\frac{\partial L}{\partial x}=\sum_k\frac{\partial L}{\partial y_k}\,\frac{\partial y_k}{\partial x}",
)
@card("torch.autograd.grad", formula=r"g=\sum_k v_k\,\frac{\partial y_k}{\partial x}")
@card("torch.Tensor.grad")
def backpropagation():
    matrix, v = random(4, 3), random(4)
    x = random(3).requires_grad_()

    def y():
        return (matrix @ x) ** 3

    jacobian = 3 * (matrix.numpy() @ x.detach().numpy())[:, None] ** 2 * matrix.numpy()
    expected = v.numpy() @ jacobian
    y().backward(v)
    close(x.grad, expected)
    y().backward(gradient=v)
    close(x.grad, 2 * expected)
    raises(RuntimeError, lambda: y().backward(), "scalar")
    result = torch.autograd.grad(y(), x, v)
    assert isinstance(result, tuple)
    close(result[0], expected)
    close(x.grad, 2 * expected)
    loss = y().sum()
    loss.backward(retain_graph=True)
    loss.backward()
    raises(RuntimeError, loss.backward, "second time")
    raises(RuntimeError, lambda: torch.autograd.grad(y().sum(), [x, random(2).requires_grad_()]))
    assert torch.autograd.grad(y().sum(), [random(2).requires_grad_()], allow_unused=True) == (None,)
    middle = x * 2
    middle.retain_grad()
    middle.sum().backward()
    close(middle.grad, np.ones(3))
    assert random(2).requires_grad_().grad is None


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return factor * x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * ctx.factor * x**2 * grad, None


@card("torch.autograd.Function", "torch.autograd.detect_anomaly", "torch.func.grad")
def custom_functions():
    close(gradient(lambda t: Cube.apply(t, 2.0), 1.0, 3.0), [6, 54])
    raises((TypeError, RuntimeError), lambda: Cube()(torch.ones(1), 2.0))

    def broken(x):
        return (x.sqrt() * 0).sum()

    x = torch.zeros(2, requires_grad=True)
    broken(x).backward()
    assert x.grad.isnan().all()

    def searched():
        with torch.autograd.detect_anomaly():
            broken(torch.zeros(2, requires_grad=True)).backward()

    raises(RuntimeError, searched, "nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly():
            torch.zeros(1, requires_grad=True).sqrt().sum().backward()
    close(torch.func.grad(lambda t: (t**3).sum())(torch.tensor([1.0, 2.0])), [3, 12])
    close(torch.func.vmap(torch.dot)(torch.ones(4, 3), torch.ones(4, 3)), np.full(4, 3.0))
    raises(RuntimeError, lambda: torch.func.vmap(lambda t: t + torch.rand(()))(torch.ones(3)), "random")
    torch.func.vmap(lambda t: t + torch.rand(()), randomness="different")(torch.ones(3))


@card(
    "torch.Tensor.retain_grad",
    "torch.Tensor.requires_grad_",
    "torch.Tensor.detach",
    "torch.Tensor.data",
    "torch.clone",
    "torch.Tensor.register_hook",
)
def leaves():
    moved = torch.randn(3, requires_grad=True).to(torch.float64)
    assert not moved.is_leaf and moved.grad_fn is not None
    moved.sum().backward()
    assert quietly(lambda: moved.grad) is None
    raises(RuntimeError, lambda: torch.arange(3).requires_grad_())
    layer = nn.Linear(2, 2)
    layer.requires_grad = False
    assert layer.weight.requires_grad
    raises(RuntimeError, lambda: moved.requires_grad_(False))
    x = random(3).requires_grad_()
    cut = x.detach()
    assert not cut.requires_grad and cut.data_ptr() == x.data_ptr()
    cut[0] = 42
    assert x[0] == 42
    copy = x.clone()
    assert copy.data_ptr() != x.data_ptr()
    copy.sum().backward()
    close(x.grad, np.ones(3))
    wrong = x**2
    loss = wrong.sum()
    x.data.mul_(0)
    x.grad = None
    loss.backward()
    close(x.grad, np.zeros(3))
    hooked = random(3).requires_grad_()
    handle = hooked.register_hook(lambda g: 5 * g)
    hooked.sum().backward()
    close(hooked.grad, np.full(3, 5.0))
    handle.remove()
    raises(RuntimeError, lambda: torch.ones(2).register_hook(print))


# Conversion and memory


@card(
    "torch.Tensor.item",
    "torch.Tensor.numpy",
    "torch.Tensor.tolist",
    "torch.Tensor.to",
    "torch.Tensor.float",
    "torch.Tensor.copy_",
)
def conversions():
    raises(RuntimeError, lambda: torch.ones(2).item())
    assert type(torch.tensor(1.5).item()) is float
    raises(RuntimeError, lambda: torch.ones(1, requires_grad=True).numpy(), "detach")
    raises(TypeError, lambda: torch.ones(1, dtype=torch.bfloat16).numpy())
    x = torch.ones(2)
    x.numpy()[0] = 7
    assert x[0] == 7 and torch.tensor(0.1).tolist() == 0.10000000149011612
    assert x.to("cpu") is x and x.to(torch.float64) is not x and x.dtype == torch.float32
    model = nn.Linear(2, 2)
    assert model.to(torch.float64) is model and model.weight.dtype == torch.float64
    assert torch.tensor([1.9, -1.9]).long().tolist() == [1, -1]
    assert torch.tensor(65520.0).half() == inf and torch.tensor(65519.0).half() == 65504
    weight = torch.ones(3, requires_grad=True)
    raises(RuntimeError, lambda: weight.zero_())
    target = torch.zeros(2, 3, dtype=torch.int64)
    target.copy_(torch.tensor([1.9, 2.9, 3.9]))
    assert target.tolist() == [[1, 2, 3]] * 2


@card("torch.Tensor.dim", formula=r"\mathrm{numel}=\prod_{i}n_i")
@card("torch.Tensor.stride", formula=r"\mathrm{offset}(i_1,\dots,i_d)=\sum_k i_k\,s_k")
@card("torch.Tensor.size", "torch.Tensor.device", "torch.Tensor.contiguous", "torch.channels_last")
def layout():
    x = random(2, 3, 4, 5)
    assert x.numel() == math.prod(x.shape) == 120 and x.dim() == 4 and len(x) == 2
    assert x.size(0) == x.shape[0] and x.numpy().size == x.numel()
    assert not hasattr(nn.Linear(1, 1), "device")
    assert x.stride() == (60, 20, 5, 1) and x.numpy().strides == (480, 160, 40, 8)
    for y in (x, x.permute(0, 2, 3, 1), x.contiguous(memory_format=torch.channels_last)):
        flat = torch.as_strided(y, (120,), (1,))
        for index in np.ndindex(*y.shape):
            assert flat[sum(map(operator.mul, index, y.stride()))] == y[index]
    last = x.contiguous(memory_format=torch.channels_last)
    n, c, h, w = x.shape
    assert last.shape == x.shape and last.stride() == (h * w * c, 1, w * c, c)
    assert x.contiguous() is x and not x.mT.is_contiguous() and torch.ones(3, 1).expand(3, 2).stride(1) == 0


@card("torch.sparse_coo_tensor", formula=r"A_{\mathrm{indices}_{0k},\,\mathrm{indices}_{1k}}\mathrel{+}=v_k")
@card("torch.sparse_csr_tensor", formula=r"\text{row }i:\ \mathrm{values}[\,\mathrm{crow}_i:\mathrm{crow}_{i+1}\,]")
def sparse():
    indices, values = torch.tensor([[0, 2, 0], [1, 0, 1]]), random(3)
    dense = np.zeros((4, 3))
    np.add.at(dense, tuple(indices.numpy()), values.numpy())
    coo = quietly(lambda: torch.sparse_coo_tensor(indices, values, (4, 3)))
    close(coo.to_dense(), dense)
    assert coo._nnz() == 3 and coo.coalesce()._nnz() == 2
    assert torch.sparse_coo_tensor(indices, values).shape == (3, 2)
    csr = quietly(lambda: coo.coalesce().to_sparse_csr())
    crow, col = csr.crow_indices(), csr.col_indices()
    assert len(crow) == 5 and crow[0] == 0 and crow[-1] == 2
    made = quietly(lambda: torch.sparse_csr_tensor(crow, col, csr.values(), (4, 3)))
    for i in range(4):
        row = np.zeros(3)
        row[col[crow[i] : crow[i + 1]]] = made.values()[crow[i] : crow[i + 1]]
        close(row, dense[i])
    assert quietly(lambda: torch.sparse_csr_tensor(crow, col, csr.values())).shape == (4, 2)


@card(
    "torch.quantize_per_tensor",
    formula=r"q=\mathrm{clamp}\!\left(\mathrm{round}\!\left(\frac{x}{s}+z\right),\,q_{\min},\,q_{\max}\right),\qquad \hat x=s\,(q-z)",
)
def quantize():
    x = torch.cat([torch.randn(50) * 20, torch.tensor([0.5, 1.5, -0.5, 500, -500])])
    warns(lambda: torch.quantize_per_tensor(x, 1.0, 0, torch.qint8), "deprecated")
    for dtype, low, high, z in ((torch.qint8, -128, 127, 3), (torch.quint8, 0, 255, 100)):
        quantized = torch.quantize_per_tensor(x, 1.0, z, dtype)
        q = np.clip(np.round(x.numpy() + z), low, high)
        close(quantized.int_repr().double(), q)
        close(quantized.dequantize(), (1.0 * (q - z)).astype(np.float32))


# Running


@card(
    "torch.manual_seed",
    "torch.use_deterministic_algorithms",
    "torch.set_default_dtype",
    "torch.set_default_device",
    "torch.cuda.is_available",
)
def settings():
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(torch.rand(4))
    assert torch.equal(*draws)
    np.random.seed(1)
    first = np.random.rand()
    torch.manual_seed(3)
    assert np.random.rand() != first
    raises(TypeError, lambda: torch.set_default_dtype(torch.int64))
    old = torch.ones(1)
    torch.set_default_dtype(torch.float64)
    assert torch.tensor(1.0).dtype == nn.Linear(1, 1).weight.dtype == torch.float64 and old.dtype == torch.float32
    torch.set_default_dtype(torch.float32)
    torch.set_default_device("meta")
    assert torch.ones(1).device.type == "meta" and torch.from_numpy(np.ones(1)).device.type == old.device.type == "cpu"
    torch.set_default_device("cpu")
    assert isinstance(torch.cuda.is_available(), bool)


class Plain(nn.Module):
    pass


@card("torch.save", "torch.load", "torch.compile")
def storing():
    def size(value) -> int:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        return len(buffer.getvalue())

    big = torch.zeros(100000)
    assert size(big[:2]) > 400000 and size(big[:2].clone()) < 10000
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 2), buffer)
    buffer.seek(0)
    raises(pickle.UnpicklingError, lambda: torch.load(buffer))
    buffer.seek(0)
    assert isinstance(torch.load(buffer, weights_only=False), nn.Linear)
    with contextlib.redirect_stderr(io.StringIO()):
        keys = list(quietly(lambda: torch.compile(nn.Linear(2, 2))).state_dict())
    assert keys == ["_orig_mod.weight", "_orig_mod.bias"]


# Activations as methods


@card("torch.Tensor.softmax", formula=r"p_i=\frac{e^{x_i}}{\sum_j e^{x_j}},\qquad \ln p_i=x_i-\ln\sum_j e^{x_j}")
@card("torch.Tensor.sigmoid", formula=r"\sigma(x)=\frac{1}{1+e^{-x}},\qquad \tanh x=2\,\sigma(2x)-1")
@card("torch.Tensor.relu", formula=r"y=\max(0,\,x)")
def activations():
    x = random(3, 4)
    e = np.exp(x.numpy())
    close(x.softmax(1), e / e.sum(1, keepdims=True))
    close(x.log_softmax(1), x.numpy() - np.log(e.sum(1, keepdims=True)))
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    close(x.sigmoid(), sigmoid(x.numpy()))
    close(x.tanh(), 2 * sigmoid(2 * x.numpy()) - 1)
    close(x.relu(), np.maximum(0, x.numpy()))
    assert (
        torch.tensor(17.0).sigmoid() == 1
        and (1 - torch.tensor(17.0).sigmoid()).log() == -inf
        and torch.tensor(16.0).sigmoid() < 1
    )
    y = x.clone()
    y.relu_()
    close(y, x.relu())


# A function that claims several cards runs once.
subject.checks[:] = dict((check, (name, check)) for name, check in subject.checks).values()
