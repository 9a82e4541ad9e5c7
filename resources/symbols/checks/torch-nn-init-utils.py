"""Executed claims of the cards of initialisation, gradient clipping, fusion, pruning, parametrizations and padded sequences."""

import copy
import inspect
import math
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn import init, utils
from torch.nn.utils import parametrizations, parametrize, prune, rnn

from note_checks import card, check


def fails(work, *errors):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            work()
    except errors or (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return True
    return False


def names(module):
    return sorted(name for name, _ in module.named_parameters())


def close(value, expected, relative=0.01):
    value = value.item() if isinstance(value, torch.Tensor) else value
    return abs(value - expected) <= relative * abs(expected)


SHAPES = [(300, 400), (64, 32, 5, 5), (50, 40, 30)]


def fans(shape):
    area = int(np.prod(shape[2:]))
    return shape[1] * area, shape[0] * area


@card("torch.nn.init.calculate_gain", formula=r"\mathrm{gain}=\sqrt{\frac{2}{1+a^2}}")
def gain():
    for a in (0.0, 0.01, 0.2, 1.0):
        assert math.isclose(init.calculate_gain("leaky_relu", a), math.sqrt(2 / (1 + a * a)))
    assert init.calculate_gain("leaky_relu") == init.calculate_gain("leaky_relu", 0.01)
    expected = {"relu": math.sqrt(2), "tanh": 5 / 3, "selu": 3 / 4, "linear": 1, "conv2d": 1, "sigmoid": 1}
    assert all(math.isclose(init.calculate_gain(name), value) for name, value in expected.items())
    assert fails(lambda: init.calculate_gain("gelu")) and fails(lambda: init.calculate_gain("silu"))
    assert inspect.signature(init.kaiming_normal_).parameters["a"].default == 0


@card("torch.nn.init.uniform_", formula=r"w\sim U(a,b),\quad \mathrm{std}=\frac{b-a}{\sqrt{12}}")
def uniform():
    for a, b in ((0.0, 1.0), (-0.1, 0.1), (2.0, 5.0)):
        w = init.uniform_(torch.empty(400, 500), a, b)
        assert w.min() >= a and w.max() <= b and close(w.std(), (b - a) / math.sqrt(12))
        assert abs(w.mean() - (a + b) / 2) < 0.01 * (b - a)
    w = init.uniform_(torch.empty(400, 500))
    assert w.min() >= 0 and close(w.mean(), 0.5)


@card("torch.nn.init.normal_", formula=r"w\sim\mathcal{N}(\mu,\sigma^2)")
def normal():
    for mean, std in ((0.0, 1.0), (2.0, 0.02)):
        w = init.normal_(torch.empty(400, 500), mean, std)
        assert abs(w.mean() - mean) < 0.01 * std and close(w.std(), std)
    layer = nn.Linear(400, 300, bias=False)
    init.normal_(layer.weight)
    assert close(layer(torch.randn(1000, 400)).var(), 400, 0.05), "the variance grows by fan_in"
    first, second = (init.normal_(torch.empty(3), generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)


@card("torch.nn.init.constant_")
def constant():
    assert (init.constant_(torch.empty(2, 3), 7.0) == 7).all()
    assert (init.ones_(torch.empty(2)) == 1).all() and (init.zeros_(torch.empty(2)) == 0).all()
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))
    for p in model.parameters():
        init.constant_(p, 0.3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.mse_loss(model(torch.randn(8, 5)), torch.randn(8, 1)).backward()
        optimizer.step()
    rows = model[0].weight
    assert not torch.allclose(rows, torch.full_like(rows, 0.3)) and torch.allclose(
        rows, rows[:1].expand(4, 5), atol=1e-6
    )


@card("torch.nn.init.eye_", formula=r"w_{ij}=[\,i=j\,]")
def eye():
    for shape in ((3, 3), (2, 4), (4, 2)):
        np.testing.assert_array_equal(init.eye_(torch.empty(shape)).numpy(), np.eye(*shape))
    assert fails(lambda: init.eye_(torch.empty(2, 2, 2)))


@card("torch.nn.init.dirac_", formula=r"w_{oik}=[\,o=i,\ k=\text{centre}\,]")
def dirac():
    for dimensions in (1, 2, 3):
        shape = (5, 3) + (3,) * dimensions
        expected = np.zeros(shape)
        for c in range(3):
            expected[(c, c) + (1,) * dimensions] = 1
        np.testing.assert_array_equal(init.dirac_(torch.empty(shape)).numpy(), expected)
    x = torch.randn(1, 2, 6, 6)
    y = F.conv2d(x, init.dirac_(torch.empty(4, 2, 3, 3)), padding=1)
    assert torch.equal(y[:, :2], x) and (y[:, 2:] == 0).all()
    y = F.conv2d(x, init.dirac_(torch.empty(4, 2, 3, 3), groups=2), padding=1)
    assert torch.equal(y, torch.cat([x, x], 1)), "repeated in each group"
    assert fails(lambda: init.dirac_(torch.empty(3, 3)))


@card(
    "torch.nn.init.xavier_uniform_", formula=r"w\sim U(-b,b),\quad b=g\sqrt{\frac{6}{n_{\mathrm{in}}+n_{\mathrm{out}}}}"
)
def xavier_uniform():
    for shape in SHAPES:
        for g in (1.0, 5 / 3):
            w = init.xavier_uniform_(torch.empty(shape), g)
            b = g * math.sqrt(6 / sum(fans(shape)))
            assert w.abs().max() <= b and close(w.abs().max(), b) and close(w.std(), b / math.sqrt(3))
    assert fails(lambda: init.xavier_uniform_(torch.empty(3)))
    assert math.isclose(init.calculate_gain("tanh"), 5 / 3)


@card(
    "torch.nn.init.xavier_normal_",
    formula=r"w\sim\mathcal{N}(0,s^2),\quad s=g\sqrt{\frac{2}{n_{\mathrm{in}}+n_{\mathrm{out}}}}",
)
def xavier_normal():
    for shape in SHAPES:
        for g in (1.0, 5 / 3):
            w = init.xavier_normal_(torch.empty(shape), g)
            s = g * math.sqrt(2 / sum(fans(shape)))
            assert close(w.std(), s, 0.02) and w.abs().max() > 3 * s, "not truncated"
    assert fails(lambda: init.xavier_normal_(torch.empty(3)))


@card("torch.nn.init.kaiming_uniform_", formula=r"w\sim U(-b,b),\quad b=g\sqrt{\frac{3}{n}}")
def kaiming_uniform():
    for shape in SHAPES:
        for mode, fan in zip(("fan_in", "fan_out"), fans(shape)):
            for a in (0.0, 0.5):
                w = init.kaiming_uniform_(torch.empty(shape), a, mode)
                b = math.sqrt(2 / (1 + a * a)) * math.sqrt(3 / fan)
                assert w.abs().max() <= b and close(w.abs().max(), b) and close(w.std(), b / math.sqrt(3), 0.02)
    for layer, fan in ((nn.Linear(400, 300), 400), (nn.Conv2d(40, 50, 3), 360)):
        assert close(layer.weight.abs().max(), 1 / math.sqrt(fan))
        relu = init.kaiming_uniform_(torch.empty_like(layer.weight), nonlinearity="relu")
        assert close(relu.var() / layer.weight.var(), 6, 0.05)


@card("torch.nn.init.kaiming_normal_", formula=r"w\sim\mathcal{N}(0,s^2),\quad s=\frac{g}{\sqrt{n}}")
def kaiming_normal():
    for shape in SHAPES:
        for mode, fan in zip(("fan_in", "fan_out"), fans(shape)):
            for a in (0.0, 0.5):
                w = init.kaiming_normal_(torch.empty(shape), a, mode)
                assert close(w.std(), math.sqrt(2 / (1 + a * a)) / math.sqrt(fan), 0.02)
    transposed = nn.ConvTranspose2d(64, 16, 5)
    init.kaiming_normal_(transposed.weight)
    assert close(transposed.weight.std(), math.sqrt(2 / (16 * 25)), 0.03), "reads 16 outputs as inputs"
    grouped = nn.Conv2d(64, 64, 5, groups=4)
    init.kaiming_normal_(grouped.weight, mode="fan_out")
    assert close(grouped.weight.std(), math.sqrt(2 / (64 * 25)), 0.03), "each input reaches 16 outputs only"


@card("torch.nn.init.trunc_normal_", formula=r"w\sim\mathcal{N}(\mu,\sigma^2)\ \text{given}\ a\le w\le b")
def trunc_normal():
    from scipy.stats import truncnorm

    for mean, std, a, b in ((0, 1, -2, 2), (0.5, 2, -1, 3), (0, 0.02, -0.04, 0.04)):
        w = init.trunc_normal_(torch.empty(400, 500), mean, std, a, b).double().numpy()
        assert w.min() >= a - 1e-7 and w.max() <= b + 1e-7
        expected = truncnorm((a - mean) / std, (b - mean) / std, loc=mean, scale=std)
        np.testing.assert_allclose(np.quantile(w, (0.1, 0.5, 0.9)), expected.ppf((0.1, 0.5, 0.9)), atol=0.01 * std)
        assert close(w.std(), expected.std())
    assert close(w.std() / 0.02, 0.88, 0.01)
    w = init.trunc_normal_(torch.empty(400, 500), std=0.02)
    assert w.abs().max() > 0.08 and close(w.std(), 0.02), "the default bounds cut nothing"


@card("torch.nn.init.orthogonal_", formula=r"WW^{\top}=g^2I\ \ \text{or}\ \ W^{\top}W=g^2I")
def orthogonal_init():
    for shape in ((3, 5), (5, 3), (4, 4), (8, 3, 5, 5), (9, 2, 2)):
        for g in (1.0, 1.5):
            w = init.orthogonal_(torch.empty(shape, dtype=torch.float64), g).flatten(1).numpy()
            product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
            np.testing.assert_allclose(product, g * g * np.eye(len(product)), atol=1e-10)
    assert fails(lambda: init.orthogonal_(torch.empty(3)))


@card("torch.nn.init.sparse_", formula=r"w\sim\mathcal{N}(0,s^2),\quad \lceil p\,n\rceil\ \text{zeros per column}")
def sparse():
    for n, p in ((10, 0.25), (400, 0.1), (7, 0.5)):
        w = init.sparse_(torch.empty(n, 300), p, 0.02)
        assert ((w == 0).sum(0) == math.ceil(p * n)).all() and close(w[w != 0].std(), 0.02, 0.05)
    assert fails(lambda: init.sparse_(torch.empty(2, 2, 2), 0.1))


def with_gradients(*gradients):
    parameters = [nn.Parameter(torch.zeros(len(g), dtype=torch.float64)) for g in gradients]
    for p, g in zip(parameters, gradients):
        p.grad = torch.tensor(g, dtype=torch.float64)
    return parameters


CLIP = r"g\leftarrow g\cdot\min\left(1,\ \frac{c}{\lVert g\rVert_p+10^{-6}}\right)"


@card("torch.nn.utils.clip_grad_norm_", "torch.nn.utils.clip_grad_norm", formula=CLIP)
def clip_grad_norm():
    for function in (utils.clip_grad_norm_, utils.clip_grad_norm):
        for p in (1.0, 2.0, math.inf):
            for limit in (0.5, 4.0, 100.0):
                given = ([3.0, 4.0], [-1.0, 0.5, 2.0])
                parameters = with_gradients(*given)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    before = function(parameters, limit, norm_type=p)
                total = np.linalg.norm(np.concatenate(given), p)
                np.testing.assert_allclose(before.item(), total)
                for one, g in zip(parameters, given):
                    np.testing.assert_allclose(one.grad.numpy(), np.array(g) * min(1, limit / (total + 1e-6)))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        utils.clip_grad_norm(with_gradients([1.0]), 1.0)
    assert "clip_grad_norm_" in str(seen[0].message)
    parameters = with_gradients([math.nan, 1.0])
    assert fails(lambda: utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True))
    utils.clip_grad_norm_(parameters, 1.0)
    assert parameters[0].grad.isnan().all()
    parameters = with_gradients([math.inf, 1.0])
    utils.clip_grad_norm_(parameters, 1.0)
    assert parameters[0].grad[0].isnan() and parameters[0].grad[1] == 0


@card("torch.nn.utils.clip_grad_value_", formula=r"g\leftarrow\min(\max(g,-c),\,c)")
def clip_grad_value():
    given = [3.0, 4.0, -5.0, 0.1]
    parameters = with_gradients(given)
    utils.clip_grad_value_(parameters, 3.5)
    after = parameters[0].grad.numpy()
    np.testing.assert_array_equal(after, np.minimum(np.maximum(given, -3.5), 3.5))
    cosine = after @ given / np.linalg.norm(after) / np.linalg.norm(given)
    assert cosine < 0.999, "the direction changes"
    parameters = with_gradients([math.nan])
    utils.clip_grad_value_(parameters, 1.0)
    assert parameters[0].grad.isnan().all()


@card("torch.nn.utils.get_total_norm", formula=r"\left(\sum_i\lVert t_i\rVert_p^p\right)^{1/p}")
def total_norm():
    tensors = [torch.randn(3, 4, dtype=torch.float64), torch.randn(5, dtype=torch.float64)]
    for p in (1.0, 2.0, 3.0):
        expected = sum(np.linalg.norm(t.numpy().ravel(), p) ** p for t in tensors) ** (1 / p)
        np.testing.assert_allclose(utils.get_total_norm(tensors, p).item(), expected)
    assert utils.get_total_norm(tensors, math.inf) == max(t.abs().max() for t in tensors)
    parameters = with_gradients([3.0, 4.0])
    assert utils.get_total_norm(parameters) == 0 and utils.get_total_norm([p.grad for p in parameters]) == 5


@card("torch.nn.utils.clip_grads_with_norm_", formula=r"g\leftarrow g\cdot\min\left(1,\ \frac{c}{T+10^{-6}}\right)")
def clip_with_norm():
    for limit in (0.5, 100.0):
        parameters = with_gradients([3.0, 4.0])
        utils.clip_grads_with_norm_(parameters, limit, torch.tensor(13.0, dtype=torch.float64))
        np.testing.assert_allclose(parameters[0].grad.numpy(), np.array([3.0, 4.0]) * min(1, limit / (13 + 1e-6)))


@card("torch.nn.utils.parameters_to_vector", "torch.nn.utils.vector_to_parameters")
def vectors():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (6 + 3 + 3 + 3,) and torch.equal(vector[:6], model[0].weight.flatten())
    with torch.no_grad():
        vector += 1
    assert not torch.allclose(vector[:6], model[0].weight.flatten()), "a copy"
    values = torch.zeros(40)
    utils.vector_to_parameters(values, model.parameters())
    values[0] = 5
    assert model[0].weight[0, 0] == 5, "views"
    assert fails(lambda: utils.vector_to_parameters(torch.zeros(4), model.parameters()))


def batch_norm(kind, features):
    norm = kind(features).double().eval()
    for tensor in (norm.running_mean, norm.weight.data, norm.bias.data):
        tensor.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


FUSED = (
    r"W'=\frac{\gamma}{\sqrt{\sigma^2+\varepsilon}}W,\quad b'=\frac{\gamma\,(b-\mu)}{\sqrt{\sigma^2+\varepsilon}}+\beta"
)


def fused(w, b, norm, axis=0):
    scale = norm.weight.detach().numpy() / np.sqrt(norm.running_var.numpy() + norm.eps)
    shape = [1] * w.ndim
    shape[axis] = -1
    return w * scale.reshape(shape), (b - norm.running_mean.numpy()) * scale + norm.bias.detach().numpy()


@card(
    "torch.nn.utils.fuse_conv_bn_eval",
    "torch.nn.utils.fusion.fuse_conv_bn_eval",
    "torch.nn.utils.fuse_conv_bn_weights",
    formula=FUSED,
)
def fuse_conv():
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    norm = batch_norm(nn.BatchNorm2d, 4)
    for bias, transposed in ((True, False), (False, False), (True, True)):
        conv = (nn.ConvTranspose2d if transposed else nn.Conv2d)(3, 4, 3, bias=bias).double().eval()
        result = utils.fuse_conv_bn_eval(conv, norm, transpose=transposed)
        old = conv.bias.detach().numpy() if bias else 0
        w, b = fused(conv.weight.detach().numpy(), old, norm, axis=1 if transposed else 0)
        np.testing.assert_allclose(result.weight.detach().numpy(), w)
        np.testing.assert_allclose(result.bias.detach().numpy(), b)
        assert torch.allclose(result(x), norm(conv(x))) and result is not conv
        arguments = (conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
        assert torch.equal(utils.fuse_conv_bn_weights(*arguments, transpose=transposed)[0], result.weight)
    assert fails(lambda: utils.fuse_conv_bn_eval(conv.train(), norm))
    conv.eval(), norm.train()
    assert fails(lambda: utils.fuse_conv_bn_eval(conv, norm))
    assert not torch.allclose(result(x), norm(conv(x))), "training uses batch statistics"


@card("torch.nn.utils.fuse_linear_bn_eval", "torch.nn.utils.fuse_linear_bn_weights", formula=FUSED)
def fuse_linear():
    x, norm = torch.randn(7, 5, dtype=torch.float64), batch_norm(nn.BatchNorm1d, 4)
    for bias in (True, False):
        layer = nn.Linear(5, 4, bias=bias).double().eval()
        result = utils.fuse_linear_bn_eval(layer, norm)
        w, b = fused(layer.weight.detach().numpy(), layer.bias.detach().numpy() if bias else 0, norm)
        np.testing.assert_allclose(result.weight.detach().numpy(), w)
        np.testing.assert_allclose(result.bias.detach().numpy(), b)
        assert torch.allclose(result(x), norm(layer(x)))
        arguments = (layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps)
        assert torch.equal(utils.fuse_linear_bn_weights(*arguments, norm.weight, norm.bias)[1], result.bias)
        assert fails(lambda: utils.fuse_linear_bn_weights(*arguments, None, None))
    assert fails(lambda: utils.fuse_linear_bn_eval(layer, batch_norm(nn.BatchNorm1d, 3)))
    assert fails(lambda: utils.fuse_linear_bn_eval(layer.train(), norm))


@card("torch.nn.utils.convert_conv2d_weight_memory_format")
def memory_format():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3))
    x = torch.randn(1, 3, 5, 5)
    before = model[0](x)
    utils.convert_conv2d_weight_memory_format(model, torch.channels_last)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last) and model[0].weight.shape == (4, 3, 3, 3)
    assert model[1].weight.is_contiguous() and torch.allclose(model[0](x), before, atol=1e-6)
    utils.convert_conv3d_weight_memory_format(model, torch.channels_last_3d)
    assert model[1].weight.is_contiguous(memory_format=torch.channels_last_3d)


def old_weight_norm(module):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        utils.weight_norm(module)
    assert any("parametrizations.weight_norm" in str(one.message) for one in seen)
    return module


@card(
    "torch.nn.utils.weight_norm",
    "torch.nn.utils.parametrizations.weight_norm",
    formula=r"w=g\,\frac{v}{\lVert v\rVert}",
)
def weight_norm():
    for shape, dim in (((4, 3), 0), ((4, 3), 1), ((4, 3), None)):
        layer = nn.Linear(shape[1], shape[0]).double()
        start = layer.weight.detach().clone()
        parametrizations.weight_norm(layer, dim=dim)
        assert torch.allclose(layer.weight, start)
        g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
        with torch.no_grad():
            g.uniform_(0.5, 2), v.normal_()
        n = v.detach().numpy()
        length = np.linalg.norm(n) if dim is None else np.linalg.norm(n, axis=1 - dim, keepdims=True)
        np.testing.assert_allclose(layer.weight.detach().numpy(), g.detach().numpy() * n / length)
        assert g.numel() == (1 if dim is None else shape[dim])
    layer = old_weight_norm(nn.Linear(3, 4))
    assert names(layer) == ["bias", "weight_g", "weight_v"]
    with torch.no_grad():
        layer.weight_g.mul_(2)
    stale = layer.weight.clone()
    layer(torch.ones(3))
    assert torch.allclose(layer.weight, 2 * stale), "recomputed in the next forward"
    assert fails(lambda: copy.deepcopy(layer))
    utils.remove_weight_norm(layer)
    assert names(layer) == ["bias", "weight"]
    fresh = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(fresh.parameters(), lr=0.1)
    parametrizations.weight_norm(fresh)
    known = {id(p) for p in optimizer.param_groups[0]["params"]}
    assert not any(id(p) in known for p in fresh.parametrizations.parameters()), "not in the earlier optimizer"


@card("torch.nn.utils.remove_weight_norm", "torch.nn.utils.remove_spectral_norm")
def removals():
    assert fails(lambda: utils.remove_weight_norm(parametrizations.weight_norm(nn.Linear(3, 4))))
    assert fails(lambda: utils.remove_spectral_norm(parametrizations.spectral_norm(nn.Linear(3, 4))))
    layer = utils.spectral_norm(nn.Linear(3, 4))
    for _ in range(30):
        layer(torch.ones(3))
    utils.remove_spectral_norm(layer)
    assert names(layer) == ["bias", "weight"] and close(torch.linalg.matrix_norm(layer.weight, 2), 1)


@card("torch.nn.utils.spectral_norm", "torch.nn.utils.parametrizations.spectral_norm", formula=r"w=\frac{W}{\sigma(W)}")
def spectral_norm():
    for build, axis in (
        (lambda: nn.Linear(20, 30), 0),
        (lambda: nn.Conv2d(6, 8, 3), 0),
        (lambda: nn.ConvTranspose2d(6, 8, 3), 1),
    ):
        for norm in (utils.spectral_norm, parametrizations.spectral_norm):
            module = build()
            start = module.weight.detach().clone()
            norm(module, n_power_iterations=200)
            if norm is utils.spectral_norm:
                module(torch.randn(1, 20) if isinstance(module, nn.Linear) else torch.randn(1, 6, 5, 5))
            sigma = np.linalg.svd(start.transpose(0, axis).flatten(1).numpy(), compute_uv=False)[0]
            np.testing.assert_allclose(module.weight.detach().numpy(), start.numpy() / sigma, rtol=1e-3, atol=1e-6)
    tiny = nn.Linear(20, 30)
    with torch.no_grad():
        tiny.weight.mul_(1e-3)
    parametrizations.spectral_norm(tiny)
    assert close(torch.linalg.matrix_norm(tiny.weight, 2), 1, 0.05), "scaled up"
    vector = lambda: tiny.parametrizations.weight[0]._u.clone()
    before = vector()
    tiny.weight
    assert not torch.equal(vector(), before), "each access iterates in training"
    before = vector()
    with parametrize.cached():
        tiny.weight, tiny.weight
    once = vector()
    tiny.eval()
    tiny.weight
    assert torch.equal(vector(), once) and not torch.equal(once, before)
    hook = utils.spectral_norm(nn.Linear(200, 300))
    hook(torch.ones(200))
    assert torch.linalg.matrix_norm(hook.weight, 2) > 1.2, "one step is not enough at first"
    hook.eval()
    before = hook.weight_u.clone()
    hook(torch.ones(200))
    assert torch.equal(hook.weight_u, before)


@card("torch.nn.utils.skip_init")
def skip_init():
    layer = utils.skip_init(nn.Linear, 3, 2)
    assert layer.weight.shape == (2, 3) and layer.weight.device.type == "cpu"
    assert fails(lambda: utils.skip_init(nn.ReLU))


MASKED = r"w=m\odot w_{\mathrm{orig}}"


class Checkerboard(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


@card("torch.nn.utils.prune.BasePruningMethod", formula=MASKED)
def base_pruning():
    layer = nn.Linear(4, 4)
    start = layer.weight.detach().clone()
    Checkerboard.apply(layer, "weight")
    np.testing.assert_array_equal(layer.weight.detach().numpy(), layer.weight_mask.numpy() * start.numpy())
    with torch.no_grad():
        layer.weight_orig.add_(1)
    layer(torch.ones(4))
    assert torch.equal(layer.weight, layer.weight_mask * layer.weight_orig) and (layer.weight == 0).sum() == 8
    assert fails(lambda: prune.BasePruningMethod())


@card("torch.nn.utils.prune.RandomUnstructured", formula=MASKED)
def random_unstructured():
    layer = nn.Linear(10, 10)
    start = layer.weight.detach().clone()
    assert prune.random_unstructured(layer, "weight", amount=7) is layer
    np.testing.assert_array_equal(layer.weight.detach().numpy(), layer.weight_mask.numpy() * start.numpy())
    assert (layer.weight_mask == 0).sum() == 7 and not layer.weight.is_sparse


@card("torch.nn.utils.prune.L1Unstructured", formula=MASKED)
def l1_unstructured():
    layer = nn.Linear(10, 10)
    start = layer.weight.detach().clone()
    prune.l1_unstructured(layer, "weight", amount=0.3)
    smallest = np.argsort(np.abs(start.numpy()).ravel())[:30]
    mask = np.ones(100)
    mask[smallest] = 0
    np.testing.assert_array_equal(layer.weight_mask.numpy().ravel(), mask)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), mask.reshape(10, 10) * start.numpy())
    assert names(layer) == ["bias", "weight_orig"] and [name for name, _ in layer.named_buffers()] == ["weight_mask"]
    zeros = lambda amount: int((prune.l1_unstructured(nn.Linear(4, 4), "weight", amount).weight == 0).sum())
    assert zeros(1) == 1 and zeros(1.0) == 16 and fails(lambda: zeros(1.5))
    scored = nn.Linear(4, 4)
    prune.l1_unstructured(scored, "weight", 0.5, importance_scores=torch.arange(16.0).view(4, 4))
    assert (scored.weight_mask.sum(1) == torch.tensor([0, 0, 4, 4])).all()
    np.testing.assert_array_equal(
        prune.L1Unstructured(0.5).prune(torch.tensor([1.0, -3.0, 2.0, 0.5])).numpy(), [0, -3, 2, 0]
    )


@card("torch.nn.utils.prune.PruningContainer")
def pruning_container():
    layer = nn.Linear(100, 100)
    for _ in range(2):
        prune.l1_unstructured(layer, "weight", amount=0.3)
    assert (layer.weight == 0).sum() == 5100
    assert isinstance(next(iter(layer._forward_pre_hooks.values())), prune.PruningContainer)


@card("torch.nn.utils.prune.Identity")
def identity_pruning():
    layer = nn.Linear(3, 2)
    start = layer.weight.detach().clone()
    prune.identity(layer, "weight")
    assert (
        torch.equal(layer.weight, start) and (layer.weight_mask == 1).all() and names(layer) == ["bias", "weight_orig"]
    )
    assert fails(lambda: nn.Linear(3, 2).load_state_dict(layer.state_dict()))


@card("torch.nn.utils.prune.RandomStructured", "torch.nn.utils.prune.LnStructured")
def structured_pruning():
    layer = nn.Linear(10, 6)
    start = layer.weight.detach().clone()
    prune.ln_structured(layer, "weight", amount=2, n=2, dim=0)
    lowest = start.norm(dim=1).argsort()[:2]
    assert (layer.weight[lowest] == 0).all() and (layer.weight == 0).sum() == 20 and layer.weight.shape == (6, 10)
    assert (layer.bias != 0).all()
    layer = nn.Linear(10, 6)
    prune.random_structured(layer, "weight", amount=2, dim=1)
    assert (layer.weight == 0).all(0).sum() == 2 and layer.weight.shape == (6, 10)
    for kind in (prune.RandomStructured, prune.LnStructured):
        assert inspect.signature(kind).parameters["dim"].default == -1
    assert fails(lambda: prune.ln_structured(layer, "bias", 1, 2, 0))


@card("torch.nn.utils.prune.CustomFromMask", formula=MASKED)
def custom_mask():
    layer = nn.Linear(3, 2)
    start = layer.weight.detach().clone()
    mask = torch.tensor([[1, 0, 1], [0, 1, 1]])
    prune.custom_from_mask(layer, "weight", mask)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), mask.numpy() * start.numpy())
    prune.custom_from_mask(layer, "weight", torch.tensor([[0, 1, 1], [1, 1, 1]]))
    assert layer.weight_mask.tolist() == [[0, 0, 1], [0, 1, 1]], "masks are combined"
    assert fails(lambda: prune.custom_from_mask(nn.Linear(3, 2), "weight", torch.ones(3)))


@card("torch.nn.utils.prune.global_unstructured")
def global_pruning():
    large, small = nn.Linear(10, 6), nn.Linear(6, 10)
    with torch.no_grad():
        small.weight.mul_(1e-6)
        large.weight.copy_(large.weight.sign() * (large.weight.abs() + 0.01))
    prune.global_unstructured([(large, "weight"), (small, "weight")], prune.L1Unstructured, amount=0.5)
    assert (small.weight == 0).all() and (large.weight != 0).all()
    assert fails(lambda: prune.global_unstructured([(nn.Linear(2, 2), "weight")], prune.LnStructured, amount=0.5, n=2))


@card("torch.nn.utils.prune.remove", "torch.nn.utils.prune.is_pruned")
def removing_pruning():
    layer = prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)
    assert prune.is_pruned(layer) and prune.is_pruned(nn.Sequential(layer))
    pruned = layer.weight.detach().clone()
    prune.remove(layer, "weight")
    assert names(layer) == ["bias", "weight"] and torch.equal(layer.weight, pruned) and not prune.is_pruned(layer)
    layer(torch.ones(2, 4)).sum().backward()
    assert (layer.weight.grad[pruned == 0] != 0).all(), "further training changes the zeros"
    assert fails(lambda: prune.remove(layer, "weight"))


def orthonormal(weight):
    q = weight.detach().numpy()
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    return np.allclose(product, np.eye(len(product)), atol=1e-8)


@card("torch.nn.utils.parametrizations.orthogonal", formula=r"Q^{\top}Q=I\ \ \text{or}\ \ QQ^{\top}=I")
def orthogonal():
    for rows, columns in ((6, 4), (4, 6), (5, 5)):
        for kind in (None, "matrix_exp", "cayley", "householder"):
            for trivial in (True, False):
                layer = parametrizations.orthogonal(
                    nn.Linear(columns, rows).double(), orthogonal_map=kind, use_trivialization=trivial
                )
                optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
                for _ in range(3):
                    assert orthonormal(layer.weight)
                    layer(torch.randn(7, columns, dtype=torch.float64)).square().mean().backward()
                    optimizer.step()
    layer = parametrizations.orthogonal(nn.Linear(4, 6).double())
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=1e-3)
    layer(torch.randn(7, 4, dtype=torch.float64)).square().mean().backward()
    optimizer.step()
    assert not orthonormal(layer.weight) and (layer.weight == 0).all(0).any(), "weight decay zeroes columns"
    square = parametrizations.orthogonal(nn.Linear(5, 5))
    assert "matrix_exp" in str(square.parametrizations.weight[0].orthogonal_map)
    assert "householder" in str(layer.parametrizations.weight[0].orthogonal_map)
    layer = nn.Linear(4, 6)
    start = layer.weight.detach().clone()
    assert not torch.allclose(parametrizations.orthogonal(layer).weight, start)
    assert fails(lambda: parametrizations.orthogonal(nn.Linear(4, 6), "bias"))


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).mT


class Cut(nn.Module):
    def forward(self, x):
        return x[:2]


@card("torch.nn.utils.parametrize.register_parametrization", formula=r"w=f(w_{\mathrm{orig}})")
def register_parametrization():
    layer = nn.Linear(3, 3)
    start = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    upper = np.triu(start.numpy())
    np.testing.assert_array_equal(layer.weight.detach().numpy(), upper + np.triu(start.numpy(), 1).T)
    assert names(layer) == ["bias", "parametrizations.weight.original"]
    assert fails(lambda: setattr(layer, "weight", torch.zeros(3, 3)))
    assert fails(lambda: parametrize.register_parametrization(nn.Linear(3, 3), "weight", Cut()))
    assert parametrize.register_parametrization(nn.Linear(3, 3), "weight", Cut(), unsafe=True).weight.shape == (2, 3)


@card("torch.nn.utils.parametrize.remove_parametrizations")
def remove_parametrizations():
    for leave in (True, False):
        layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
        value, original = layer.weight.detach().clone(), layer.parametrizations.weight.original.detach().clone()
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=leave)
        assert torch.equal(layer.weight, value if leave else original) and type(layer) is nn.Linear
    normed = parametrizations.weight_norm(nn.Linear(3, 3))
    assert fails(lambda: parametrize.remove_parametrizations(normed, "weight", leave_parametrized=False))


@card(
    "torch.nn.utils.parametrize.cached",
    "torch.nn.utils.parametrize.is_parametrized",
    "torch.nn.utils.parametrize.type_before_parametrizations",
)
def parametrized_modules():
    layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    with parametrize.cached():
        first = layer.weight
        with torch.no_grad():
            layer.parametrizations.weight.original.add_(1)
        assert layer.weight is first, "does not follow the original"
    assert layer.weight is not layer.weight and not torch.equal(layer.weight, first)
    assert parametrize.is_parametrized(layer) and not parametrize.is_parametrized(layer, "bias")
    assert not parametrize.is_parametrized(nn.Sequential(layer))
    assert not parametrize.is_parametrized(old_weight_norm(nn.Linear(2, 2)))
    assert (
        isinstance(layer, nn.Linear) and type(layer) is not nn.Linear and type(layer).__name__ == "ParametrizedLinear"
    )
    assert parametrize.type_before_parametrizations(layer) is nn.Linear


@card(
    "torch.nn.utils.parametrize.transfer_parametrizations_and_params", "torch.nn.utils.parametrize.ParametrizationList"
)
def transfer():
    source, target = parametrizations.orthogonal(nn.Linear(4, 3)), nn.Linear(4, 3)
    bias = target.bias.detach().clone()
    parametrize.transfer_parametrizations_and_params(source, target)
    assert parametrize.is_parametrized(target) and torch.equal(source.weight, target.weight)
    assert torch.equal(target.bias, bias)
    assert isinstance(source.parametrizations.weight, parametrize.ParametrizationList)
    assert hasattr(source.parametrizations.weight, "original")
    several = parametrizations.weight_norm(nn.Linear(4, 3)).parametrizations.weight
    assert hasattr(several, "original0") and hasattr(several, "original1")


@card("torch.nn.utils.stateless.functional_call")
def functional_call():
    layer = nn.Linear(2, 1)
    start = layer.weight.detach().clone()
    values = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert utils.stateless.functional_call(layer, values, torch.ones(2)).item() == 2
    assert "torch.func.functional_call" in str(seen[0].message)
    assert torch.equal(layer.weight, start) and torch.func.functional_call(layer, values, torch.ones(2)).item() == 2
    partial = {"weight": torch.ones(1, 2)}
    call = lambda strict: torch.func.functional_call(layer, partial, torch.ones(2), strict=strict)
    assert torch.isclose(call(False), 2 + layer.bias).all() and fails(lambda: call(True))


SEQUENCES = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0, 6.0]), torch.tensor([7.0])]


@card(
    "torch.nn.utils.rnn.PackedSequence", "torch.nn.utils.rnn.pack_padded_sequence", "torch.nn.utils.rnn.pack_sequence"
)
def packing():
    lengths = [2, 4, 1]
    packed = rnn.pack_padded_sequence(rnn.pad_sequence(SEQUENCES), lengths, enforce_sorted=False)
    assert packed.data.tolist() == [3, 1, 7, 4, 2, 5, 6] and packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert packed.batch_sizes.device.type == "cpu"
    assert packed.sorted_indices.tolist() == [1, 0, 2] and packed.unsorted_indices.tolist() == [1, 0, 2]
    assert torch.equal(rnn.pack_sequence(SEQUENCES, enforce_sorted=False).data, packed.data)
    assert fails(lambda: rnn.pack_padded_sequence(rnn.pad_sequence(SEQUENCES), lengths))
    assert fails(lambda: rnn.pack_padded_sequence(rnn.pad_sequence(SEQUENCES), [0, 4, 1], enforce_sorted=False))
    assert fails(lambda: rnn.pack_sequence(SEQUENCES))
    x, layer = torch.randn(4, 3, 5), nn.LSTM(5, 6)
    state = layer(rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))[1][0]
    for n, length in enumerate(lengths):
        assert torch.allclose(state[0, n], layer(x[:length, n])[0][-1], atol=1e-6)


@card("torch.nn.utils.rnn.pad_packed_sequence", "torch.nn.utils.rnn.unpack_sequence")
def unpacking():
    packed = rnn.pack_sequence(SEQUENCES[::2], enforce_sorted=False)
    batch, lengths = rnn.pad_packed_sequence(packed, padding_value=-1)
    assert batch.tolist() == [[1, 7], [2, -1]] and lengths.tolist() == [2, 1]
    assert rnn.pad_packed_sequence(packed, total_length=4)[0].shape == (4, 2)
    assert fails(lambda: rnn.pad_packed_sequence(packed, total_length=1))
    assert rnn.pad_packed_sequence(packed, batch_first=True)[0].tolist() == [[1, 2], [7, 0]]
    assert [one.tolist() for one in rnn.unpack_sequence(packed)] == [[1, 2], [7]]


@card("torch.nn.utils.rnn.pad_sequence", "torch.nn.utils.rnn.unpad_sequence")
def padding():
    assert rnn.pad_sequence(SEQUENCES).shape == (4, 3)
    assert rnn.pad_sequence(SEQUENCES, batch_first=True, padding_value=9)[0].tolist() == [1, 2, 9, 9]
    left = rnn.pad_sequence(SEQUENCES, batch_first=True, padding_side="left")
    assert left[0].tolist() == [0, 0, 1, 2]
    lengths = torch.tensor([2, 4, 1])
    assert [one.tolist() for one in rnn.unpad_sequence(rnn.pad_sequence(SEQUENCES), lengths)] == [
        s.tolist() for s in SEQUENCES
    ]
    assert rnn.unpad_sequence(left, lengths, batch_first=True)[0].tolist() == [0, 0]
    assert fails(lambda: rnn.pad_sequence([torch.ones(2, 3), torch.ones(2, 4)]))


@card("torch.nn.utils.rnn.invert_permutation", formula=r"q_{p_i}=i")
def invert_permutation():
    for n in (1, 5, 20):
        p = torch.randperm(n)
        q = rnn.invert_permutation(p)
        np.testing.assert_array_equal(q.numpy()[p.numpy()], np.arange(n))
        x = torch.randn(n)
        assert torch.equal(x[p][q], x)
    assert rnn.invert_permutation(None) is None


@check
def fusion_names_are_the_same_functions():
    for name in ("fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"):
        assert getattr(utils, name) is getattr(utils.fusion, name)
