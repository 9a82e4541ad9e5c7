import math

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

MEAN_AND_VARIANCE = r"""
\mu = \frac{1}{H}\sum_{i=1}^{H} x_i, \qquad
\sigma^2 = \frac{1}{H}\sum_{i=1}^{H} (x_i - \mu)^2
"""
NORMALISED = r"y_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}} \cdot \gamma_i + \beta_i"
JACOBIAN = r"""
\frac{\partial \hat{x}_i}{\partial x_j} =
\frac{1}{\sqrt{\sigma^2 + \varepsilon}} \left( \delta_{ij} - \frac{1}{H} - \frac{\hat{x}_i \hat{x}_j}{H} \right)
"""

sourced("Layer Normalization, arXiv 1607.06450, abstract (recurrent networks)", "LayerNorm")
sourced("Group Normalization, arXiv 1803.08494, table 2: error 23.7 % at 16 images per GPU, 24.8 at 8", "BatchNorm")
sourced(
    "Group Normalization, arXiv 1803.08494, abstract; Instance Normalization, 1607.08022", "GroupNorm, InstanceNorm"
)
sourced("LLaMA, arXiv 2302.13971, section 2.2 (pre-normalization with RMSNorm)", "RMSNorm")


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
    stated("1.87083", x.std(unbiased=False))


@pitfall("The result differs from a hand-written version")
def check_variance_is_biased():
    x = torch.tensor([1.0, 0.0, 0.0, 0.0])
    stated("1.7320", nn.functional.layer_norm(x, (4,))[0])
    stated("1.5", (x - x.mean())[0] / x.std())
    assert torch.equal(x.std(), x.var().sqrt())
    small = torch.randn(5, 64) * 1e-3
    library, centred = nn.functional.layer_norm(small, (64,)), small - small.mean(-1, keepdim=True)
    assert not torch.allclose(centred / (small.std(-1, unbiased=False, keepdim=True) + 1e-5), library, atol=0.1)
    for values in (x[None], small):
        variance = values.var(-1, unbiased=False, keepdim=True)
        cured = (values - values.mean(-1, keepdim=True)) / torch.sqrt(variance + 1e-5)
        assert torch.allclose(cured, nn.functional.layer_norm(values, values.shape[-1:]), atol=1e-5)


@holds("Parameters")
def check_parameters():
    stated("1,536", sum(p.numel() for p in nn.LayerNorm(768).parameters()))
    assert sum(p.numel() for p in nn.LayerNorm(768, elementwise_affine=False).parameters()) == 0
    assert nn.LayerNorm(768, bias=False).bias is None
    assert nn.LayerNorm([3, 4]).weight.shape == nn.LayerNorm([3, 4]).bias.shape == (3, 4)
    assert nn.LayerNorm(3).eps == 1e-5


@holds("Same in train and eval?", "Does `model.eval()` change LayerNorm?")
def check_train_and_eval_agree_and_batch_does_not_matter():
    layer = nn.LayerNorm(8)
    assert not list(layer.buffers())
    x = torch.randn(5, 8)
    assert torch.equal(layer(x), layer(x))
    for other in (nn.BatchNorm1d(8), nn.Dropout(0.5)):
        assert not torch.allclose(other.train()(x), other.eval()(x), atol=0.1)
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
        assert (
            torch.allclose(with_eps(scale * x).var(unbiased=False), variance / (variance + 1e-5))
            and with_eps(scale * x).var(unbiased=False) < 1
        )


@holds("LayerNorm", "BatchNorm", "GroupNorm, InstanceNorm", "RMSNorm")
def check_what_reaches_one_output():
    """The gradient of one output shows which inputs its statistics are taken over."""

    def reached(layer, channels_last=False):
        x = torch.randn(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
        layer = layer.double()
        y = layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if channels_last else layer(x)
        y[0, 0, 0, 0].sin().backward()
        return x.grad.abs() > 1e-12

    def block(*index):
        mask = torch.zeros(3, 4, 2, 2, dtype=torch.bool)
        mask[index] = True
        return mask

    assert torch.equal(reached(nn.LayerNorm(4), True), block(0, slice(None), 0, 0))
    assert torch.equal(reached(nn.RMSNorm(4), True), block(0, slice(None), 0, 0))
    assert torch.equal(reached(nn.BatchNorm2d(4)), block(slice(None), 0))
    assert torch.equal(reached(nn.BatchNorm2d(4).eval()), block(0, 0, 0, 0))
    assert torch.equal(reached(nn.GroupNorm(2, 4)), block(0, slice(0, 2)))
    assert torch.equal(reached(nn.InstanceNorm2d(4)), block(0, 0))
    x = torch.randn(5, 4)
    assert torch.allclose(nn.RMSNorm(4)(x), x / (x**2).mean(-1, keepdim=True).sqrt(), atol=1e-4)
    assert isinstance(nn.TransformerEncoderLayer(8, 2).norm1, nn.LayerNorm) and nn.LayerNorm(4)(x[:1]).shape == (1, 4)


@holds("Why does a Transformer use LayerNorm and not BatchNorm?")
def check_batch_norm_mixes_sequences_and_padding():
    tokens, longer = torch.randn(2, 6, 8), torch.randn(2, 6, 8)
    tokens[1, 2:] = 0  # the second sequence: two tokens, then padding
    longer[0], longer[1, :2] = tokens[0], tokens[1, :2]  # the same tokens, other values in place of the padding
    batch, layer = nn.BatchNorm1d(8), nn.LayerNorm(8)
    apply = lambda x: batch(x.transpose(1, 2)).transpose(1, 2)
    assert (apply(tokens)[0] - apply(longer)[0]).abs().max() > 0.05
    assert torch.allclose(layer(tokens)[0], layer(longer)[0], atol=1e-6)
    trained = apply(tokens)
    batch.eval()
    assert (apply(tokens) - trained).abs().max() > 0.05
    assert torch.allclose(layer(tokens)[0, 3], layer(tokens[0, 3]), atol=1e-6)


@holds("What can $\\gamma$ and $\\beta$ undo?")
def check_what_the_parameters_can_restore():
    x = torch.randn(64, 5, dtype=torch.float64)
    layer, wanted, offset = nn.LayerNorm(5).double(), torch.rand(5).double() + 1, torch.randn(5).double()
    with torch.no_grad():
        plain = layer(x)
        layer.weight.copy_(wanted / plain.std(0))
        layer.bias.copy_(offset - plain.mean(0) * layer.weight)
        assert torch.allclose(layer(x).std(0), wanted) and torch.allclose(layer(x).mean(0), offset)
        assert torch.allclose(layer(2.5 * x + 4), layer(x), atol=1e-2)


@holds("Input → output", "Defaults")
def check_contract():
    layer = nn.LayerNorm(8)
    assert layer(torch.randn(2, 3, 5, 8)).shape == (2, 3, 5, 8) and layer(torch.randn(8)).shape == (8,)
    over_two = nn.LayerNorm([5, 8])(torch.randn(2, 3, 5, 8))
    assert over_two.mean((2, 3)).abs().max() < 1e-5 and over_two.mean(3).abs().max() > 0.01
    assert layer.eps == 1e-5 and layer.elementwise_affine and layer.bias is not None
    assert (layer.weight == 1).all() and (layer.bias == 0).all()
    raises(RuntimeError, lambda: nn.functional.layer_norm(torch.arange(4), (4,)), "not implemented")
    for H in (4, 64, 4096):
        x = torch.randn(H, dtype=torch.float64)
        gap = nn.functional.layer_norm(x, (H,), eps=0.0)[0] / ((x - x.mean()) / x.std())[0]
        assert abs(float(gap) - math.sqrt(H / (H - 1))) < 1e-9


@pitfall('"Given normalized_shape=[C], expected input with shape [*, C]" on images')
def check_channels_first_input_is_not_normalised_per_channel():
    x = torch.randn(2, 3, 4, 4) * 5
    raises(RuntimeError, lambda: nn.LayerNorm(3)(x), "Given normalized_shape=[3], expected input with shape [*, 3]")
    assert nn.LayerNorm([3, 4, 4])(x).shape == x.shape
    back = nn.LayerNorm(3)(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert back.shape == x.shape and back.mean(1).abs().max() < 1e-5
    raises(RuntimeError, lambda: nn.LayerNorm([3, 4, 4])(torch.randn(2, 3, 5, 5)), "Given normalized_shape=[3, 4, 4]")
    assert nn.GroupNorm(1, 3)(torch.randn(2, 3, 5, 5)).shape == (2, 3, 5, 5)
    for layer, gains in ((nn.LayerNorm([3, 4, 4]), 3 * 4 * 4), (nn.GroupNorm(1, 3), 3)):
        assert layer.weight.numel() == gains and layer(x).mean((1, 2, 3)).abs().max() < 1e-5


@pitfall("NaN or noise from a fast variance")
def check_naive_variance_in_float32_loses_everything():
    x = torch.randn(512) * 0.01 + 100
    naive = (x * x).mean() - x.mean() ** 2
    assert abs(float(naive) - 1e-4) > 5e-5, float(naive)
    assert abs(float(x.double().var(unbiased=False)) - 1e-4) < 3e-5
    rows = torch.randn(200, 512) * 0.01 + 100
    assert ((rows * rows).mean(1) - rows.mean(1) ** 2 < 0).any()
    library, exact = (nn.functional.layer_norm(values, (512,)) for values in (rows, rows.double()))
    assert (library - exact).abs().max() < 0.01

    def fast(values):
        mu = values.mean(1, keepdim=True)
        return (values - mu) / torch.sqrt((values * values).mean(1, keepdim=True) - mu**2 + 1e-5)

    broken = fast(rows)
    noise = (broken - exact).abs().amax(1)
    assert torch.isnan(broken).any() and (noise > 0.5).any()
    raises(RuntimeError, lambda: nn.Linear(512, 4)(fast(rows.double())), "same dtype")
    for cured in (fast(rows - rows.mean(1, keepdim=True)), fast(rows.double()).float()):
        assert (cured - exact).abs().max() < 0.01 and nn.Linear(512, 4)(cured).shape == (200, 4)
    mu = m2 = torch.zeros(200)
    for count, column in enumerate(rows.T, 1):
        step = column - mu
        mu = mu + step / count
        m2 = m2 + step * (column - mu)
    welford = (rows - mu[:, None]) / torch.sqrt(m2[:, None] / 512 + 1e-5)
    assert (welford - exact).abs().max() < 0.03


def trained_transformer(norm_first, warm_up, rate=7e-3, layers=8, width=16, steps=70):
    """The last losses of a classifier of digits, read row by row, and the gradient of its last layer in the first step."""
    torch.manual_seed(2)
    pixels, classes = handwritten_digits()
    images = pixels.view(-1, 8, 8)
    layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True, norm_first=norm_first)
    final = nn.LayerNorm(width) if norm_first else None
    encoder = nn.TransformerEncoder(layer, layers, norm=final, enable_nested_tensor=False)
    for parameter in encoder.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    enter, leave = nn.Linear(8, width), nn.Linear(width, 10)
    optimizer = torch.optim.Adam([*enter.parameters(), *encoder.parameters(), *leave.parameters()], rate)
    losses, first = [], 0.0
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / warm_up)
        batch = torch.randint(0, len(images), (48,))
        loss = nn.functional.cross_entropy(leave(encoder(enter(images[batch])).mean(1)), classes[batch])
        optimizer.zero_grad()
        loss.backward()
        first = first or float(encoder.layers[-1].linear2.weight.grad.norm())
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-10:]) / 10, first


@pitfall("A deep post-norm Transformer does not learn")
def check_post_norm_needs_warm_up():
    (stuck, large), (cured, small), (warmed, _) = (
        trained_transformer(*setting) for setting in ((False, 1), (True, 1), (False, 40))
    )
    assert stuck > 2.1 and cured < 1.7 and warmed < 1.9, (stuck, cured, warmed)
    assert large > 1.5 * small


@holds("Why is the output of a constant vector equal to $\\beta$?")
def check_constant_row_gives_the_bias():
    layer = nn.LayerNorm(4)
    nn.init.constant_(layer.bias, 0.25)
    assert torch.allclose(layer(torch.full((1, 4), 7.0)), torch.full((1, 4), 0.25))
    assert torch.isnan(nn.functional.layer_norm(torch.full((4,), 7.0), (4,), eps=0.0)).all()


@check
def check_variance_equal_to_epsilon_halves_the_output_variance():
    x = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64) * math.sqrt(1e-5)
    assert abs(nn.functional.layer_norm(x, (4,)).var(unbiased=False) - 0.5) < 1e-9
