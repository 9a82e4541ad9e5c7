import math

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, raises, stated

MEAN_AND_VARIANCE = r"""
\mu = \frac{1}{H}\sum_{i=1}^{H} x_i, \qquad
\sigma^2 = \frac{1}{H}\sum_{i=1}^{H} (x_i - \mu)^2
"""
NORMALISED = r"y_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}} \cdot \gamma_i + \beta_i"
JACOBIAN = r"""
\frac{\partial \hat{x}_i}{\partial x_j} =
\frac{1}{\sqrt{\sigma^2 + \varepsilon}} \left( \delta_{ij} - \frac{1}{H} - \frac{\hat{x}_i \hat{x}_j}{H} \right)
"""


def normalised(x, gamma, beta, eps):
    """The two formulas of the article over the last axis, in NumPy."""
    mu = x.mean(-1, keepdims=True)
    variance = ((x - mu) ** 2).mean(-1, keepdims=True)
    return (x - mu) / np.sqrt(variance + eps) * gamma + beta


@formula(MEAN_AND_VARIANCE, NORMALISED)
def check_equals_the_library():
    for shape in [(2, 5), (3, 4, 8), (2, 3, 4, 6), (1, 1, 2), (4, 1)]:
        for eps in (1e-5, 1e-12, 0.1):
            layer = nn.LayerNorm(shape[-1], eps=eps, dtype=torch.float64)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
            x = torch.randn(shape, dtype=torch.float64) * 3 + 7
            ours = normalised(x.numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy(), eps)
            np.testing.assert_allclose(ours, layer(x).detach().numpy(), rtol=1e-9, atol=1e-9)


@formula(JACOBIAN)
def check_jacobian():
    H, eps = 6, 1e-5
    x = torch.randn(H, dtype=torch.float64)
    library = torch.autograd.functional.jacobian(lambda v: nn.functional.layer_norm(v, (H,), eps=eps), x)
    xn = x.numpy()
    variance = xn.var()
    x_hat = (xn - xn.mean()) / math.sqrt(variance + eps)
    ours = (np.eye(H) - 1 / H - np.outer(x_hat, x_hat) / H) / math.sqrt(variance + eps)
    np.testing.assert_allclose(ours, library.numpy(), atol=1e-9)


@check
def check_worked_example():
    y = nn.functional.layer_norm(torch.tensor([1.0, 2.0, 3.0, 6.0]), (4,))
    for text, value in zip(["−1.0690", "−0.5345", "0.0000", "1.6036"], y):
        stated(text, value)
    x = torch.tensor([1.0, 2.0, 3.0, 6.0])
    stated("3.5", x.var(unbiased=False))
    stated("1.8708", x.std(unbiased=False))


@check
def check_variance_is_biased():
    x = torch.tensor([1.0, 0.0, 0.0, 0.0])
    stated("1.7320", nn.functional.layer_norm(x, (4,))[0])
    stated("1.5", (x - x.mean())[0] / x.std(unbiased=True))


@check
def check_parameters():
    stated("1,536", sum(p.numel() for p in nn.LayerNorm(768).parameters()))
    assert sum(p.numel() for p in nn.LayerNorm(768, elementwise_affine=False).parameters()) == 0
    assert nn.LayerNorm(768, bias=False).bias is None
    assert nn.LayerNorm(3).eps == 1e-5


@check
def check_train_and_eval_agree_and_batch_does_not_matter():
    layer = nn.LayerNorm(8)
    x = torch.randn(5, 8)
    assert torch.equal(layer.train()(x), layer.eval()(x))
    assert torch.allclose(layer(x)[2:3], layer(x[2:3]), atol=1e-6)


@check
def check_negative_scale_flips_the_sign():
    x = torch.randn(8, dtype=torch.float64)
    f = lambda v: nn.functional.layer_norm(v, (8,), eps=0.0)
    assert torch.allclose(f(2 * x), f(x)) and torch.allclose(f(x + 3), f(x)) and torch.allclose(f(-2 * x), -f(x))
    with_eps = lambda v: nn.functional.layer_norm(v, (8,))
    assert torch.allclose(with_eps(x + 3), with_eps(x)) and torch.allclose(with_eps(2 * x), with_eps(x), atol=1e-4)
    assert not torch.allclose(with_eps(1e-3 * x), with_eps(x), atol=0.1)
    for scale in (1e-3, 1.0, 50.0):
        variance = (scale * x).var(unbiased=False)
        assert torch.allclose(with_eps(scale * x).var(unbiased=False), variance / (variance + 1e-5)) and with_eps(scale * x).var(unbiased=False) < 1


@check
def check_contract():
    layer = nn.LayerNorm(8)
    assert layer.eps == 1e-5 and layer.elementwise_affine and layer.bias is not None
    assert (layer.weight == 1).all() and (layer.bias == 0).all()
    raises(RuntimeError, lambda: nn.functional.layer_norm(torch.arange(4), (4,)), "not implemented")
    for H in (4, 64, 4096):
        x = torch.randn(H, dtype=torch.float64)
        gap = nn.functional.layer_norm(x, (H,), eps=0.0)[0] / ((x - x.mean()) / x.std())[0]
        assert abs(float(gap) - math.sqrt(H / (H - 1))) < 1e-9


@check
def check_channels_first_input_is_not_normalised_per_channel():
    x = torch.randn(2, 3, 4, 4) * 5
    raises(RuntimeError, lambda: nn.LayerNorm(3)(x), "Given normalized_shape=[3], expected input with shape [*, 3]")
    assert nn.LayerNorm([3, 4, 4])(x).shape == x.shape
    assert nn.LayerNorm(3)(x.permute(0, 2, 3, 1)).shape == (2, 4, 4, 3)


@check
def check_naive_variance_in_float32_loses_everything():
    x = torch.randn(512) * 0.01 + 100
    naive = (x * x).mean() - x.mean() ** 2
    assert abs(float(naive) - 1e-4) > 5e-5, float(naive)
    assert abs(float(x.double().var(unbiased=False)) - 1e-4) < 3e-5
    rows = torch.randn(200, 512) * 0.01 + 100
    assert ((rows * rows).mean(1) - rows.mean(1) ** 2 < 0).any()
    library, exact = (nn.functional.layer_norm(values, (512,)) for values in (rows, rows.double()))
    assert (library - exact).abs().max() < 0.01


@check
def check_constant_row_gives_the_bias():
    layer = nn.LayerNorm(4)
    nn.init.constant_(layer.bias, 0.25)
    assert torch.allclose(layer(torch.full((1, 4), 7.0)), torch.full((1, 4), 0.25))


@check
def check_variance_equal_to_epsilon_halves_the_output_variance():
    x = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64) * math.sqrt(1e-5)
    assert abs(nn.functional.layer_norm(x, (4,)).var(unbiased=False) - 0.5) < 1e-9
