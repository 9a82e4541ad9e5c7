"""Executed claims of the cards of the losses."""

import itertools
import math
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from note_checks import card, check

SHAPES = [(1,), (5,), (3, 4), (2, 3, 4)]


def fails(work, *errors):
    try:
        work()
    except errors or (RuntimeError, ValueError, TypeError, IndexError):
        return True
    return False


def sigma(x):
    return 1 / (1 + np.exp(-x))


def log_softmax(x, axis=1):
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def signs(*shape):
    return (torch.rand(*shape) > 0.5).double() * 2 - 1


def same(module, function, arguments, elements, **options):
    """Compares module and function for the three reductions with NumPy values per element (or per sample)."""
    for reduction, expected in (("none", elements), ("mean", elements.mean()), ("sum", elements.sum())):
        for loss in (
            module(reduction=reduction, **options),
            lambda *given: function(*given, reduction=reduction, **options),
        ):
            result = loss(*arguments).numpy()
            assert result.shape == np.shape(expected), (reduction, result.shape)
            np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


@card("torch.nn.L1Loss", formula=r"\ell=|x-y|")
def l1():
    for shape in SHAPES:
        x, y = random(*shape), random(*shape)
        same(nn.L1Loss, F.l1_loss, (x, y), np.abs(x.numpy() - y.numpy()))
    x = torch.tensor([1e-6, 5.0, 0.0], dtype=torch.float64, requires_grad=True)
    F.l1_loss(x, torch.zeros_like(x), reduction="sum").backward()
    assert x.grad.tolist() == [1, 1, 0]


@card("torch.nn.MSELoss", formula=r"\ell=(x-y)^2")
def mse():
    for shape in SHAPES:
        x, y = random(*shape), random(*shape)
        same(nn.MSELoss, F.mse_loss, (x, y), (x.numpy() - y.numpy()) ** 2)
    x, y = random(4, 1).requires_grad_(), random(4)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        loss = F.mse_loss(x, y)
        assert F.mse_loss(x, y, reduction="none").shape == (4, 4)
    assert "broadcasting" in str(seen[0].message)
    loss.backward()
    best = torch.full((4, 1), y.mean().item(), dtype=torch.float64, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        F.mse_loss(best, y).backward()
    assert torch.allclose(best.grad, torch.zeros_like(best)), "the mean of the targets is the optimum"


@card("torch.nn.L1Loss", "torch.nn.MSELoss", "torch.nn.HuberLoss")
def weights_of_regression_losses():
    x, y, w = random(3, 4), random(3, 4), torch.rand(3, 4, dtype=torch.float64)
    for loss in (F.l1_loss, F.mse_loss):
        each = loss(x, y, reduction="none") * w
        assert torch.allclose(loss(x, y, weight=w), each.sum() / w.sum())
    each = F.huber_loss(x, y, reduction="none") * w
    assert torch.allclose(F.huber_loss(x, y, weight=w), each.mean())
    assert fails(lambda: F.l1_loss(x, y, weight=w[0]))


@card("torch.nn.CrossEntropyLoss", formula=r"\ell=-w_y\left(x_y-\ln\sum_j e^{x_j}\right)")
def cross_entropy():
    for shape in ((6, 3), (4, 5, 7), (2, 3, 4, 5)):
        x = random(*shape) * 3
        y = torch.randint(shape[1], (shape[0], *shape[2:]))
        w = torch.rand(shape[1], dtype=torch.float64) + 0.1
        lse = np.log(np.exp(x.numpy()).sum(axis=1))
        picked = np.take_along_axis(x.numpy(), y.numpy()[:, None], 1)[:, 0]
        wy = w.numpy()[y.numpy()]
        each = -wy * (picked - lse)
        for reduction, expected in (("none", each), ("sum", each.sum()), ("mean", each.sum() / wy.sum())):
            for loss in (
                F.cross_entropy(x, y, w, reduction=reduction),
                nn.CrossEntropyLoss(w, reduction=reduction)(x, y),
            ):
                np.testing.assert_allclose(loss.numpy(), expected)
    assert abs(F.cross_entropy(torch.zeros(4, 10), torch.arange(4)) - math.log(10)) < 1e-6


@card("torch.nn.CrossEntropyLoss")
def cross_entropy_traps():
    certain = torch.eye(10, dtype=torch.float64)
    floor = F.cross_entropy(certain, torch.arange(10)).item()
    assert round(floor, 2) == 1.46 and abs(floor - (math.log(math.e + 9) - 1)) < 1e-12
    for _ in range(20):
        assert F.cross_entropy(torch.softmax(random(10, 10) * 9, 1), torch.arange(10)) > floor
    assert fails(lambda: F.cross_entropy(random(2, 6, 5), torch.zeros(2, 6, dtype=torch.long)))
    F.cross_entropy(random(2, 6, 5).permute(0, 2, 1), torch.zeros(2, 6, dtype=torch.long))
    assert F.cross_entropy(random(4, 3), torch.full((4,), -100)).isnan()
    x, y = random(4, 3), torch.tensor([0, 1, 2, 2])
    kept = torch.tensor([0, -100, 2, 2])
    assert torch.allclose(F.cross_entropy(x, kept), F.cross_entropy(x[[0, 2, 3]], y[[0, 2, 3]]))
    smooth = F.one_hot(y, 3) * 0.9 + 0.1 / 3
    assert torch.allclose(F.cross_entropy(x, y, label_smoothing=0.1), F.cross_entropy(x, smooth))
    assert fails(lambda: F.cross_entropy(x, y.int())) and fails(lambda: F.cross_entropy(x, F.one_hot(y, 3)))


@card(
    "torch.nn.LinearCrossEntropyLoss",
    "torch.nn.functional.linear_cross_entropy",
    formula=r"\ell=\mathrm{CE}(xW^{\top}+b,\,y)",
)
def linear_cross_entropy():
    x, w, b, y = random(6, 5), random(9, 5), random(9), torch.randint(9, (6,))
    logits = log_softmax(x.numpy() @ w.numpy().T + b.numpy())
    expected = -logits[np.arange(6), y.numpy()].mean()
    np.testing.assert_allclose(F.linear_cross_entropy(x, w, y, linear_bias=b).numpy(), expected)
    layer = nn.LinearCrossEntropyLoss(5, 9, bias=True, dtype=torch.float64)
    layer.linear.weight.data, layer.linear.bias.data = w, b
    np.testing.assert_allclose(layer(x, y).item(), expected)
    assert [name for name, _ in nn.LinearCrossEntropyLoss(5, 9).named_parameters()] == ["linear.weight"]
    assert nn.LinearCrossEntropyLoss(5, 9, out_features=(4, 3))(x.float(), torch.randint(9, (6, 4, 3))).shape == ()
    factor = torch.rand(9, dtype=torch.float64)
    options = dict(weight=factor, label_smoothing=0.1)
    assert torch.allclose(F.linear_cross_entropy(x, w, y, **options), F.cross_entropy(x @ w.T, y, **options))
    ignored = torch.cat([y[:4], torch.tensor([-100, -100])])
    assert torch.allclose(F.linear_cross_entropy(x, w, ignored), F.cross_entropy(x[:4] @ w.T, y[:4]))


@card("torch.nn.LinearCrossEntropyLoss", "torch.nn.LinearCrossEntropyOptions")
def linear_cross_entropy_options():
    x, w, y = torch.randn(8, 5, requires_grad=True), torch.randn(9, 5, requires_grad=True), torch.randint(9, (8,))
    loss = F.linear_cross_entropy(x, w, y, options=nn.LinearCrossEntropyOptions())
    assert torch.allclose(loss, F.cross_entropy(x @ w.T, y))
    loss.backward(retain_graph=True)
    assert fails(lambda: loss.backward())
    x.grad = None
    loss = F.linear_cross_entropy(x, w, y, options=nn.LinearCrossEntropyOptions(allow_retain_graph=True))
    loss.backward(retain_graph=True)
    once = x.grad.clone()
    loss.backward()
    assert torch.allclose(x.grad, 2 * once)
    for options in (
        dict(batch_chunk_size=2, chunking_method=None),
        dict(chunking_method="aspect_ratio:4"),
        dict(acc_policy="balanced"),
    ):
        chunked = F.linear_cross_entropy(x, w, y, options=nn.LinearCrossEntropyOptions(**options))
        assert torch.allclose(chunked, F.cross_entropy(x @ w.T, y))
    assert fails(lambda: nn.LinearCrossEntropyOptions(acc_policy="fast"))
    assert fails(lambda: nn.LinearCrossEntropyOptions(chunking_method="half"))
    loss = F.linear_cross_entropy(x, w, y, options=nn.LinearCrossEntropyOptions())
    assert fails(lambda: torch.autograd.grad(torch.autograd.grad(loss, x, create_graph=True)[0].sum(), x))


@card("torch.nn.AdaptiveLogSoftmaxWithLoss", formula=r"\ln p(y)=\ln p_{\mathrm{head}}(k)+\ln p_k(y)")
def adaptive_log_softmax():
    cutoffs, classes = [3, 7], 12
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, classes, cutoffs, div_value=2.0).double()
    x, y = random(40, 16), torch.arange(40) % classes
    head = log_softmax(x.numpy() @ layer.head.weight.detach().numpy().T)
    assert head.shape[1] == 3 + 2 and layer.head.bias is None
    expected = []
    for n, label in enumerate(y.tolist()):
        if label < 3:
            expected.append(head[n, label])
            continue
        cluster = 0 if label < 7 else 1
        first, second = (one.weight.detach().numpy() for one in layer.tail[cluster])
        assert first.shape[0] == int(16 // 2.0 ** (cluster + 1))
        inner = log_softmax((x.numpy()[n : n + 1] @ first.T) @ second.T)
        expected.append(head[n, 3 + cluster] + inner[0, label - [3, 7][cluster]])
    result = layer(x, y)
    np.testing.assert_allclose(result.output.detach().numpy(), expected)
    np.testing.assert_allclose(result.loss.item(), -np.mean(expected))
    everything = layer.log_prob(x)
    assert everything.shape == (40, classes)
    assert torch.allclose(everything.exp().sum(1), torch.ones(40, dtype=torch.float64))
    assert nn.AdaptiveLogSoftmaxWithLoss(16, classes, cutoffs, head_bias=True).head.bias is not None


@card("torch.nn.NLLLoss", formula=r"\ell=-w_y\,x_y")
def nll():
    x, y, w = F.log_softmax(random(6, 3), 1), torch.tensor([0, 1, 2, 2, 1, 0]), torch.tensor([1.0, 2.0, 3.0]).double()
    wy = w.numpy()[y.numpy()]
    each = -wy * x.numpy()[np.arange(6), y.numpy()]
    for reduction, expected in (("none", each), ("sum", each.sum()), ("mean", each.sum() / wy.sum())):
        for loss in (F.nll_loss(x, y, w, reduction=reduction), nn.NLLLoss(w, reduction=reduction)(x, y)):
            np.testing.assert_allclose(loss.numpy(), expected)
    assert -1 <= F.nll_loss(x.exp(), y) <= 0
    assert torch.allclose(F.nll_loss(x, y), F.cross_entropy(x, y))
    assert torch.allclose(F.nll_loss(x, y, ignore_index=2), F.nll_loss(x[[0, 1, 4, 5]], y[[0, 1, 4, 5]]))
    assert F.nll_loss(random(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.long), reduction="none").shape == (2, 4, 5)


def collapsed(path, blank):
    merged = [label for label, _ in itertools.groupby(path)]
    return tuple(label for label in merged if label != blank)


@card("torch.nn.CTCLoss", formula=r"\ell=-\ln\sum_{\pi\to y}\prod_t p_t(\pi_t)")
def ctc():
    steps, classes = 4, 3
    for blank in (0, 2):
        labels = [label for label in range(classes) if label != blank]
        for target in ((labels[0],), (labels[0], labels[1]), (labels[0], labels[0])):
            x = F.log_softmax(random(steps, 1, classes), 2)
            p = x.exp().numpy()[:, 0]
            total = sum(
                np.prod([p[t, label] for t, label in enumerate(path)])
                for path in itertools.product(range(classes), repeat=steps)
                if collapsed(path, blank) == target
            )
            sizes = (torch.tensor([steps]), torch.tensor([len(target)]))
            for loss in (nn.CTCLoss(blank, "none"), lambda *given: F.ctc_loss(*given, blank=blank, reduction="none")):
                np.testing.assert_allclose(loss(x, torch.tensor([target]), *sizes).numpy(), [-math.log(total)])
    x = F.log_softmax(random(5, 2, 4), 2).requires_grad_()
    given = (x, torch.tensor([[1, 1, 1], [1, 2, 3]]), torch.tensor([4, 5]), torch.tensor([3, 3]))
    infinite = F.ctc_loss(*given, reduction="none")
    assert infinite[0] == math.inf and infinite[1] < math.inf, "three equal labels need five steps"
    finite = F.ctc_loss(*given, reduction="none", zero_infinity=True)
    assert finite[0] == 0
    finite.sum().backward()
    assert (x.grad[:, 0] == 0).all()
    given = (x, torch.tensor([[1, 2, 0], [1, 2, 3]]), torch.tensor([5, 5]), torch.tensor([2, 3]))
    each = F.ctc_loss(*given, reduction="none")
    assert torch.allclose(F.ctc_loss(*given), (each / torch.tensor([2, 3])).mean())
    assert torch.allclose(F.ctc_loss(*given, reduction="sum"), each.sum())


@card("torch.nn.PoissonNLLLoss", formula=r"\ell=e^{x}-y\,x")
def poisson_nll():
    for shape in SHAPES:
        x, y = random(*shape), torch.poisson(torch.full(shape, 3.0, dtype=torch.float64))
        same(nn.PoissonNLLLoss, F.poisson_nll_loss, (x, y), np.exp(x.numpy()) - y.numpy() * x.numpy())
        rate = x.abs()
        plain = rate.numpy() - y.numpy() * np.log(rate.numpy() + 1e-8)
        same(nn.PoissonNLLLoss, F.poisson_nll_loss, (rate, y), plain, log_input=False)
        n = np.maximum(y.numpy(), 1.0)
        stirling = np.where(y.numpy() > 1, n * np.log(n) - n + 0.5 * np.log(2 * np.pi * n), 0)
        same(
            nn.PoissonNLLLoss,
            F.poisson_nll_loss,
            (x, y),
            np.exp(x.numpy()) - y.numpy() * x.numpy() + stirling,
            full=True,
        )
    assert F.poisson_nll_loss(torch.tensor(2.0), torch.tensor(9.0)) < 0
    x = torch.tensor(3.0, dtype=torch.float64).log()
    exact = -torch.distributions.Poisson(3.0).log_prob(torch.tensor(4.0))
    assert abs(F.poisson_nll_loss(x, torch.tensor(4.0)) + math.lgamma(5) - exact) < 1e-6


@card(
    "torch.nn.GaussianNLLLoss",
    formula=r"\ell=\tfrac12\left(\ln v+\frac{(x-y)^2}{v}\right),\quad v=\max(\mathrm{var},\varepsilon)",
)
def gaussian_nll():
    for shape in ((5,), (3, 4), (2, 3, 4)):
        x, y, var = random(*shape), random(*shape), torch.rand(shape, dtype=torch.float64) * 2
        var.view(-1)[0] = 0
        v = np.maximum(var.numpy(), 1e-6)
        each = 0.5 * (np.log(v) + (x.numpy() - y.numpy()) ** 2 / v)
        same(nn.GaussianNLLLoss, F.gaussian_nll_loss, (x, y, var), each)
        same(nn.GaussianNLLLoss, F.gaussian_nll_loss, (x, y, var), each + 0.5 * math.log(2 * math.pi), full=True)
    exact = -torch.distributions.Normal(1.0, math.sqrt(0.3)).log_prob(torch.tensor(2.0))
    assert (
        abs(F.gaussian_nll_loss(torch.ones(1), torch.full((1,), 2.0), torch.full((1,), 0.3), full=True) - exact) < 1e-6
    )
    x, y = random(3, 4), random(3, 4)
    assert F.gaussian_nll_loss(x, y, torch.ones(3, 1)).shape == () and F.gaussian_nll_loss(x, y, 0.5).shape == ()
    assert fails(lambda: F.gaussian_nll_loss(x, y, -torch.ones(3, 4)))


@card("torch.nn.KLDivLoss", formula=r"\ell=y\,(\ln y-x),\quad x=\ln q")
def kl_div():
    q, p = torch.softmax(random(4, 5), 1), torch.softmax(random(4, 5), 1)
    each = p.numpy() * (np.log(p.numpy()) - np.log(q.numpy()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(nn.KLDivLoss, F.kl_div, (q.log(), p), each)
        same(nn.KLDivLoss, F.kl_div, (q.log(), p.log()), each, log_target=True)
        assert torch.allclose(F.kl_div(q.log(), p), F.kl_div(q.log(), p, reduction="sum") / 20)
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Categorical(p), torch.distributions.Categorical(q)
    )
    assert torch.allclose(F.kl_div(q.log(), p, reduction="batchmean"), divergence.mean()), "KL(target || input)"
    swapped = torch.distributions.kl_divergence(torch.distributions.Categorical(q), torch.distributions.Categorical(p))
    assert not torch.allclose(F.kl_div(q.log(), p, reduction="batchmean"), swapped.mean())


@card("torch.nn.BCELoss", formula=r"\ell=-w\left(y\ln x+(1-y)\ln(1-x)\right)")
def bce():
    for shape in SHAPES:
        x, y = torch.rand(shape, dtype=torch.float64), torch.rand(shape, dtype=torch.float64)
        w = torch.rand(shape, dtype=torch.float64)
        each = -(y.numpy() * np.log(x.numpy()) + (1 - y.numpy()) * np.log(1 - x.numpy()))
        same(nn.BCELoss, F.binary_cross_entropy, (x, y), each)
        same(nn.BCELoss, F.binary_cross_entropy, (x, y), w.numpy() * each, weight=w)
    assert fails(lambda: F.binary_cross_entropy(torch.tensor([2.0]), torch.ones(1)))
    assert F.binary_cross_entropy(torch.tensor([0.7]), torch.ones(1)) > 0, "a logit within 0 and 1 passes"
    saturated = torch.sigmoid(torch.tensor([17.0, 40.0]))
    assert F.binary_cross_entropy(saturated, torch.zeros(2), reduction="none").tolist() == [100, 100]
    assert F.binary_cross_entropy_with_logits(torch.tensor([40.0]), torch.zeros(1)) == 40


@card("torch.nn.BCEWithLogitsLoss", formula=r"\ell=-w\left(p\,y\ln\sigma(x)+(1-y)\ln(1-\sigma(x))\right)")
def bce_with_logits():
    for shape in ((5,), (3, 4), (2, 3, 4)):
        x, y = random(*shape), torch.rand(shape, dtype=torch.float64)
        w, p = torch.rand(shape, dtype=torch.float64), torch.rand(shape[-1], dtype=torch.float64) * 4
        s, t = sigma(x.numpy()), y.numpy()
        each = -w.numpy() * (p.numpy() * t * np.log(s) + (1 - t) * np.log(1 - s))
        same(nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, (x, y), each, weight=w, pos_weight=p)
    x, y = random(2, 3, 4, 5), torch.ones(2, 3, 4, 5, dtype=torch.float64)
    assert fails(lambda: F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.ones(3)))
    p = torch.tensor([1.0, 2.0, 3.0]).double()
    loss = F.binary_cross_entropy_with_logits(x, y, pos_weight=p.view(3, 1, 1), reduction="none")
    assert torch.allclose(loss, -F.logsigmoid(x) * p.view(1, 3, 1, 1))
    assert fails(lambda: F.binary_cross_entropy_with_logits(random(4, 1), torch.ones(4, dtype=torch.float64)))
    assert fails(lambda: F.binary_cross_entropy_with_logits(torch.rand(4), torch.ones(4, dtype=torch.long)))


@card("torch.nn.MarginRankingLoss", formula=r"\ell=\max(0,\,-y(x_1-x_2)+m)")
def margin_ranking():
    a, b, y = random(50), random(50), signs(50)
    for margin in (0.0, 0.7):
        each = np.maximum(0, -y.numpy() * (a.numpy() - b.numpy()) + margin)
        same(nn.MarginRankingLoss, F.margin_ranking_loss, (a, b, y), each, margin=margin)
    assert F.margin_ranking_loss(a, a, y) == 0
    assert F.margin_ranking_loss(torch.ones(1), torch.zeros(1), torch.ones(1)) == 0


@card("torch.nn.HingeEmbeddingLoss", formula=r"\ell=x\ (y=1),\quad \ell=\max(0,\,m-x)\ (y=-1)")
def hinge_embedding():
    for shape in ((50,), (5, 8)):
        x, y = random(*shape).abs(), signs(*shape)
        for margin in (1.0, 0.5):
            each = np.where(y.numpy() == 1, x.numpy(), np.maximum(0, margin - x.numpy()))
            same(nn.HingeEmbeddingLoss, F.hinge_embedding_loss, (x, y), each, margin=margin)
        zero = F.hinge_embedding_loss(x, torch.zeros_like(x), reduction="none")
        np.testing.assert_allclose(zero.numpy(), x.numpy() + np.maximum(0, 1 - x.numpy()))


def listed(row):
    return row[: row.index(-1)] if -1 in row else row


@card("torch.nn.MultiLabelMarginLoss", formula=r"\ell=\frac1C\sum_{j\in Y}\sum_{i\notin Y}\max(0,\,1-x_j+x_i)")
def multilabel_margin():
    x = random(3, 4)
    y = torch.tensor([[3, 0, -1, 1], [2, -1, 0, 0], [0, 1, 2, 3]])
    each = []
    for row, target in zip(x.numpy(), y.tolist()):
        chosen = listed(target)
        each.append(sum(max(0, 1 - row[j] + row[i]) for j in chosen for i in range(4) if i not in chosen) / 4)
    same(nn.MultiLabelMarginLoss, F.multilabel_margin_loss, (x, y), np.array(each))
    other = torch.tensor([[0, 3, -1, -1]])
    assert torch.allclose(F.multilabel_margin_loss(x[:1], y[:1]), F.multilabel_margin_loss(x[:1], other))
    multi_hot = torch.tensor([[1, 0, 0, 1]])
    assert not torch.allclose(F.multilabel_margin_loss(x[:1], multi_hot), F.multilabel_margin_loss(x[:1], other))


@card(
    "torch.nn.HuberLoss",
    formula=r"\ell=\tfrac12 d^2\ (|d|\le\delta),\quad \ell=\delta\left(|d|-\tfrac{\delta}{2}\right)\ (|d|>\delta)",
)
def huber():
    for shape in SHAPES:
        x, y = random(*shape) * 3, random(*shape)
        d = np.abs(x.numpy() - y.numpy())
        for delta in (0.3, 1.0, 2.5):
            each = np.where(d <= delta, d**2 / 2, delta * (d - delta / 2))
            same(nn.HuberLoss, F.huber_loss, (x, y), each, delta=delta)
            assert torch.allclose(F.huber_loss(x, y, delta=delta), delta * F.smooth_l1_loss(x, y, beta=delta))
    x = torch.tensor(9.0, requires_grad=True)
    F.huber_loss(x, torch.tensor(0.0), delta=0.25).backward()
    assert x.grad == 0.25


@card(
    "torch.nn.SmoothL1Loss",
    formula=r"\ell=\frac{d^2}{2\beta}\ (|d|<\beta),\quad \ell=|d|-\tfrac{\beta}{2}\ (|d|\ge\beta)",
)
def smooth_l1():
    for shape in SHAPES:
        x, y = random(*shape) * 3, random(*shape)
        d = np.abs(x.numpy() - y.numpy())
        for beta in (0.3, 1.0, 2.5):
            same(
                nn.SmoothL1Loss,
                F.smooth_l1_loss,
                (x, y),
                np.where(d < beta, d**2 / (2 * beta), d - beta / 2),
                beta=beta,
            )
        assert torch.allclose(F.smooth_l1_loss(x, y, beta=0.0), F.l1_loss(x, y))
    x = torch.tensor(9.0, requires_grad=True)
    F.smooth_l1_loss(x, torch.tensor(0.0), beta=0.25).backward()
    assert x.grad == 1


@card("torch.nn.SoftMarginLoss", formula=r"\ell=\ln(1+e^{-yx})")
def soft_margin():
    for shape in SHAPES:
        x, y = random(*shape), signs(*shape)
        same(nn.SoftMarginLoss, F.soft_margin_loss, (x, y), np.log(1 + np.exp(-y.numpy() * x.numpy())))
        assert torch.allclose(F.soft_margin_loss(x, y), F.binary_cross_entropy_with_logits(x, (y + 1) / 2))
    x = random(4).requires_grad_()
    loss = F.soft_margin_loss(x, torch.zeros(4, dtype=torch.float64))
    loss.backward()
    assert abs(loss.item() - math.log(2)) < 1e-12 and (x.grad == 0).all()


@card(
    "torch.nn.MultiLabelSoftMarginLoss",
    formula=r"\ell=-\frac1C\sum_c w_c\left(y_c\ln\sigma(x_c)+(1-y_c)\ln\sigma(-x_c)\right)",
)
def multilabel_soft_margin():
    x, y, w = random(6, 4), (torch.rand(6, 4) > 0.5).double(), torch.rand(4, dtype=torch.float64)
    s = sigma(x.numpy())
    terms = y.numpy() * np.log(s) + (1 - y.numpy()) * np.log(sigma(-x.numpy()))
    same(nn.MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss, (x, y), -terms.mean(1))
    same(nn.MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss, (x, y), -(w.numpy() * terms).mean(1), weight=w)
    bce_sum = F.binary_cross_entropy_with_logits(x, y, reduction="sum")
    assert torch.allclose(F.multilabel_soft_margin_loss(x, y), F.binary_cross_entropy_with_logits(x, y))
    assert torch.allclose(4 * F.multilabel_soft_margin_loss(x, y, reduction="sum"), bce_sum)


@card("torch.nn.CosineEmbeddingLoss", formula=r"\ell=1-\cos\ (y=1),\quad \ell=\max(0,\,\cos-m)\ (y=-1)")
def cosine_embedding():
    a, b, y = random(40, 5), random(40, 5), signs(40)
    cos = (a.numpy() * b.numpy()).sum(1) / np.linalg.norm(a.numpy(), axis=1) / np.linalg.norm(b.numpy(), axis=1)
    for margin in (-0.5, 0.0, 0.5):
        each = np.where(y.numpy() == 1, 1 - cos, np.maximum(0, cos - margin))
        same(nn.CosineEmbeddingLoss, F.cosine_embedding_loss, (a, b, y), each, margin=margin)
    assert F.cosine_embedding_loss(a, b, torch.zeros(40)) == 0
    assert torch.allclose(F.cosine_embedding_loss(7 * a, b, y), F.cosine_embedding_loss(a, b, y))


@card("torch.nn.MultiMarginLoss", formula=r"\ell=\frac1C\sum_{i\ne y}w_y\max(0,\,m-x_y+x_i)^p")
def multi_margin():
    x, y, w = random(6, 4), torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([1.0, 2.0, 3.0, 5.0]).double()
    for p, margin in itertools.product((1, 2), (0.5, 1.0)):
        each = np.array(
            [
                sum(w[t] * max(0, margin - row[t] + row[i]) ** p for i in range(4) if i != t) / 4
                for row, t in zip(x.numpy(), y.tolist())
            ]
        )
        same(nn.MultiMarginLoss, F.multi_margin_loss, (x, y), each, p=p, margin=margin, weight=w)
    assert fails(lambda: F.multi_margin_loss(x, y, p=3))


@card(
    "torch.nn.TripletMarginLoss",
    formula=r"\ell=\max(0,\,d(a,p)-d(a,n)+m),\quad d(u,v)=\lVert u-v+\varepsilon\rVert_p",
)
def triplet_margin():
    a, b, c = random(3, 20, 5)
    for order, eps in ((2.0, 1e-6), (1.0, 0.1), (3.0, 0.05)):
        d = lambda u, v: (np.abs(u.numpy() - v.numpy() + eps) ** order).sum(1) ** (1 / order)
        each = np.maximum(0, d(a, b) - d(a, c) + 0.7)
        same(nn.TripletMarginLoss, F.triplet_margin_loss, (a, b, c), each, p=order, eps=eps, margin=0.7)
        each = np.maximum(0, d(a, b) - np.minimum(d(a, c), d(b, c)) + 0.7)
        same(nn.TripletMarginLoss, F.triplet_margin_loss, (a, b, c), each, p=order, eps=eps, margin=0.7, swap=True)
    assert F.triplet_margin_loss(a, a, a, margin=0.7).item() == 0.7
    assert not torch.allclose(F.triplet_margin_loss(3 * a, 3 * b, 3 * c), F.triplet_margin_loss(a, b, c))


@card("torch.nn.TripletMarginWithDistanceLoss", formula=r"\ell=\max(0,\,d(a,p)-d(a,n)+m)")
def triplet_margin_with_distance():
    a, b, c = random(3, 20, 5)
    distance = lambda u, v: 1 - F.cosine_similarity(u, v)
    near, far, across = (distance(*pair).numpy() for pair in ((a, b), (a, c), (b, c)))
    options = dict(distance_function=distance, margin=0.3)
    module, function = nn.TripletMarginWithDistanceLoss, F.triplet_margin_with_distance_loss
    same(module, function, (a, b, c), np.maximum(0, near - far + 0.3), **options)
    same(module, function, (a, b, c), np.maximum(0, near - np.minimum(far, across) + 0.3), swap=True, **options)
    assert torch.allclose(function(a, b, c), F.triplet_margin_loss(a, b, c))
    reversed_order = F.triplet_margin_with_distance_loss(a, a, c, distance_function=F.cosine_similarity)
    assert reversed_order > F.triplet_margin_with_distance_loss(a, a, c, distance_function=distance)


@check
def old_reduction_arguments_still_warn():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        nn.MSELoss(size_average=False)
    assert "reduction" in str(seen[0].message)
