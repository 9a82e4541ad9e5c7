import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import DataLoader

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

STATISTICS = r"""
\mu_c = \frac{1}{m}\sum_{n,h,w} x_{nchw}, \qquad
\sigma_c^2 = \frac{1}{m}\sum_{n,h,w} (x_{nchw} - \mu_c)^2
"""
TRAINING = r"y_{nchw} = \frac{x_{nchw} - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} \cdot \gamma_c + \beta_c"
RUNNING = r"""
\hat{\mu}_c \leftarrow (1-\alpha)\,\hat{\mu}_c + \alpha\,\mu_c, \qquad
\hat{\sigma}_c^2 \leftarrow (1-\alpha)\,\hat{\sigma}_c^2 + \alpha\,\frac{m}{m-1}\,\sigma_c^2
"""
EVALUATION = r"y_{nchw} = \frac{x_{nchw} - \hat{\mu}_c}{\sqrt{\hat{\sigma}_c^2 + \varepsilon}} \cdot \gamma_c + \beta_c"

by_definition("SyncBatchNorm")
sourced(
    "Wu and He, arXiv 1803.08494, table 2: ResNet-50, BN against GN at 32, 16, 8, 4 and 2 images per GPU",
    "BatchNorm",
)
sourced(
    "Wu and He, arXiv 1803.08494, table 2; Ulyanov et al., arXiv 1607.08022 (style transfer)",
    "GroupNorm, InstanceNorm",
)
sourced("Ba et al., arXiv 1607.06450 (RNNs); Vaswani et al., arXiv 1706.03762, section 3.1 (Transformers)", "LayerNorm")
sourced(
    "Ioffe and Szegedy, arXiv 1502.03167, section 3.4: batch noise regularizes",
    "Does batch norm cure overfitting and vanishing gradients?",
)

LAYERS = [
    (nn.BatchNorm1d, (5, 3)),
    (nn.BatchNorm1d, (2, 4, 6)),
    (nn.BatchNorm2d, (4, 3, 5, 7)),
    (nn.BatchNorm2d, (1, 2, 3, 1)),
    (nn.BatchNorm3d, (2, 3, 2, 4, 3)),
]


def per_channel(values, dimensions):
    """A vector of one number per channel, shaped to broadcast over `dimensions` axes."""
    return np.asarray(values).reshape(1, -1, *[1] * (dimensions - 2))


def statistics(x):
    """The mean and the biased variance of each channel, and how many values each is taken over."""
    axes = (0, *range(2, x.ndim))
    m = x.size // x.shape[1]
    mu = x.sum(axes) / m
    variance = ((x - per_channel(mu, x.ndim)) ** 2).sum(axes) / m
    return mu, variance, m


def affine(x, mu, variance, layer):
    weight, bias = (per_channel(p.detach().numpy(), x.ndim) for p in (layer.weight, layer.bias))
    return (x - per_channel(mu, x.ndim)) / np.sqrt(per_channel(variance, x.ndim) + layer.eps) * weight + bias


def random_layer(kind, shape, **options):
    layer = kind(shape[1], dtype=torch.float64, **options)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


@holds("Input → output", "BatchNorm")
@formula(STATISTICS, TRAINING, RUNNING, EVALUATION)
def check_equals_the_library():
    for kind, shape in LAYERS:
        for options in ({}, {"eps": 0.1, "momentum": 0.3}, {"momentum": 1.0}):
            layer = random_layer(kind, shape, **options)
            mu_hat, variance_hat = np.zeros(shape[1]), np.ones(shape[1])
            for _ in range(3):
                x = torch.randn(shape, dtype=torch.float64) * 3 + 7
                mu, variance, m = statistics(x.numpy())
                np.testing.assert_allclose(
                    affine(x.numpy(), mu, variance, layer), layer(x).detach().numpy(), rtol=1e-9, atol=1e-9
                )
                alpha = layer.momentum
                mu_hat = (1 - alpha) * mu_hat + alpha * mu
                variance_hat = (1 - alpha) * variance_hat + alpha * m / (m - 1) * variance
                np.testing.assert_allclose(mu_hat, layer.running_mean.numpy(), rtol=1e-9)
                np.testing.assert_allclose(variance_hat, layer.running_var.numpy(), rtol=1e-9)
            layer.eval()
            x = torch.randn(shape, dtype=torch.float64)
            np.testing.assert_allclose(
                affine(x.numpy(), mu_hat, variance_hat, layer), layer(x).detach().numpy(), rtol=1e-9, atol=1e-9
            )


@formula(TRAINING)
def check_equals_the_functional_form():
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    mu, variance, _ = statistics(x.numpy())
    ours = (x.numpy() - per_channel(mu, 3)) / np.sqrt(per_channel(variance, 3) + 1e-5)
    np.testing.assert_allclose(
        ours, nn.functional.batch_norm(x, None, None, training=True).numpy(), rtol=1e-9, atol=1e-9
    )


@check
def check_worked_example():
    x = torch.tensor([[2.0], [4.0], [6.0], [8.0]])
    layer = nn.BatchNorm1d(1)
    for text, value in zip(["−1.3416", "−0.4472", "0.4472", "1.3416"], layer(x).detach()):
        stated(text, value)
    stated("6.6667", x.var(unbiased=True))
    stated("0.5", layer.running_mean)
    stated("1.5667", layer.running_var)
    stated("1.1984", layer.eval()(x)[0].detach())


@holds("Parameters", "Buffers", "Defaults")
def check_parameters_buffers_and_defaults():
    layer = nn.BatchNorm2d(64)
    stated("128", sum(p.numel() for p in layer.parameters()))
    assert layer.weight.shape == layer.bias.shape == (64,)
    assert {name: tuple(b.shape) for name, b in layer.named_buffers()} == {
        "running_mean": (64,),
        "running_var": (64,),
        "num_batches_tracked": (),
    }
    assert set(layer.state_dict()) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert not any(b.requires_grad for b in layer.buffers())
    assert (layer.eps, layer.momentum, layer.affine, layer.track_running_stats) == (1e-5, 0.1, True, True)
    assert (
        layer.running_mean.eq(0).all()
        and layer.running_var.eq(1).all()
        and layer.weight.eq(1).all()
        and layer.bias.eq(0).all()
    )
    try:
        layer(torch.ones(2, 64, 2, 2, dtype=torch.int64))
    except (RuntimeError, NotImplementedError):
        return
    raise AssertionError("integer input was accepted")


@check
def check_two_samples_give_plus_or_minus_one():
    y = nn.BatchNorm1d(500)(torch.randn(2, 500))
    assert ((y.abs() - 1).abs() < 0.01).float().mean() > 0.95


@holds("Same in train and eval?")
@pitfall('"`eval()` switches batch norm off"')
def check_evaluation_is_not_the_identity_and_dropout_is():
    layer, drop = nn.BatchNorm1d(4).eval(), nn.Dropout(0.5).eval()
    layer.running_mean.fill_(2.0)
    x = torch.randn(3, 4)
    assert torch.equal(drop(x), x) and not torch.allclose(layer(x), x)
    assert torch.allclose(layer(x[:1]), layer(x)[:1]), "in evaluation a sample does not depend on its companions"
    assert not torch.allclose(layer.train()(x[:2]), layer(x)[:2], atol=1e-3), "in training it does"
    untracked = nn.BatchNorm1d(4, track_running_stats=False)
    assert torch.equal(untracked.train()(x), untracked.eval()(x))


@check
def check_how_long_the_initial_values_last():
    layer = nn.BatchNorm1d(1)
    layer.running_mean.fill_(1.0)
    for _ in range(22):
        layer(torch.randn(8, 1) * 0)
    stated("9.8%", layer.running_mean)


def reestimate(model, batches):
    """New running statistics: the plain average over the batches, every other module in evaluation."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    with torch.no_grad():
        for batch in batches:
            model(batch)
    model.eval()


@pitfall("Good in training, bad after `eval()`")
def check_lagging_statistics():
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32), torch.tensor(digits.target)
    hidden = lambda: [nn.Linear(64, 64), nn.BatchNorm1d(64, momentum=0.01), nn.ReLU()]
    model = nn.Sequential(*hidden(), *hidden(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    right = lambda: (model(x).argmax(1) == y).float().mean().item()

    def train(steps):
        model.train()
        for _ in range(steps):
            batch = torch.randperm(len(x))[:256]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()

    train(22)
    with torch.no_grad():
        before = {name: value.clone() for name, value in model.state_dict().items()}
        in_training = right()
        model.load_state_dict(before)
        model.eval()
        assert in_training > 0.96 and right() < 0.9
        reestimate(model, x.split(256))
        assert right() > 0.96
    model.load_state_dict(before)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 0.01
    train(400)
    model.eval()
    assert right() > 0.99


@pitfall("Good in training, bad after `eval()`")
def check_statistics_of_tiny_batches():
    def error(size, steps):
        layer = nn.BatchNorm1d(300)
        for _ in range(steps):
            layer(torch.randn(size, 300) + 3)
        return layer, (layer.running_mean - 3).pow(2).mean().sqrt()

    layer, tiny = error(2, 100)
    assert tiny > 0.1 and error(2, 1000)[1] > 0.1  # training longer does not help against this
    assert error(128, 100)[1] < 0.04
    reestimate(layer, torch.randn(1000, 2, 300) + 3)
    assert (layer.running_mean - 3).pow(2).mean().sqrt() < 0.04


@pitfall("Good in training, bad after `eval()`")
def check_plain_average_reestimates():
    layer = nn.BatchNorm1d(3)
    layer(torch.randn(16, 3) + 50)
    layer.reset_running_stats()
    layer.momentum = None
    batches = torch.randn(5, 16, 3) * 2 + 4
    with torch.no_grad():
        for batch in batches:
            layer(batch)
    assert torch.allclose(layer.running_mean, batches.mean((0, 1)), atol=1e-5)
    assert torch.allclose(layer.running_var, batches.var(1).mean(0), atol=1e-4)
    shifted = batches.flatten(0, 1) + 10
    assert layer.eval()(shifted).mean() > 3, "a pass over training data does not help shifted data"
    layer.reset_running_stats()
    layer.train()(shifted)
    assert layer.eval()(shifted).mean().abs() < 1e-4, "a pass over the shifted data does"


@pitfall("`running_var` is not the batch variance")
def check_running_variance_is_unbiased():
    x = torch.randn(16, 3, 2, 2)
    layer = nn.BatchNorm2d(3, momentum=1.0)
    y = layer(x)
    for unbiased, same in ((False, True), (True, False)):
        mu, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=unbiased)
        assert torch.allclose(y, (x - mu) / torch.sqrt(variance + 1e-5), atol=1e-5) is same
    assert torch.allclose(layer.running_var, x.var((0, 2, 3), unbiased=True))
    assert not torch.allclose(layer.running_var, x.var((0, 2, 3), unbiased=False))


@pitfall("Frozen layers still change")
def check_frozen_parameters_do_not_freeze_the_buffers():
    layer = nn.BatchNorm1d(2).requires_grad_(False)
    x = torch.randn(8, 2) + 3
    layer(x)
    first = layer.running_mean.clone()
    assert first.abs().min() > 0
    with torch.no_grad():
        layer(x)
    assert not torch.equal(first, layer.running_mean)
    second = layer.running_mean.clone()
    model = nn.Sequential(layer).train()
    layer.eval()
    model(x)
    assert torch.equal(second, layer.running_mean)


@pitfall('"Expected more than 1 value per channel when training"')
def check_one_value_per_channel_is_refused():
    for layer, shape in ((nn.BatchNorm1d(3), (1, 3)), (nn.BatchNorm2d(3), (1, 3, 1, 1))):
        raises(ValueError, lambda: layer(torch.randn(shape)), "Expected more than 1 value per channel when training")
        assert layer.eval()(torch.randn(shape)).shape == shape
        assert nn.GroupNorm(1, 3)(torch.randn(shape)).abs().max() > 0.1
    layer, rows = nn.BatchNorm1d(3), torch.randn(9, 3)
    raises(
        ValueError, lambda: [layer(batch) for batch in DataLoader(rows, 4)], "Expected more than 1 value per channel"
    )
    assert len([layer(batch) for batch in DataLoader(rows, 4, drop_last=True)]) == 2
    raises(
        ValueError,
        lambda: nn.InstanceNorm2d(3)(torch.randn(1, 3, 1, 1)),
        "Expected more than 1 spatial element when training",
    )


@holds("Why use `bias=False` in the convolution before it?")
def check_a_bias_before_it_has_no_effect():
    convolution, layer, x = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), torch.randn(4, 2, 8, 8)
    before = layer(convolution(x))
    with torch.no_grad():
        convolution.bias += 5
    assert torch.allclose(before, layer(convolution(x)), atol=1e-5)
    with torch.no_grad():
        layer.bias += 5  # beta does shift the output
    assert torch.allclose(before + 5, layer(convolution(x)), atol=1e-5)


def gradient_ratio(depth, batch_norm, residual=False, width=256):
    """How much larger the gradient of the first weight is than that of the last, in a He-initialized ReLU network."""
    x = torch.randn(128, width)
    weights = [nn.init.kaiming_normal_(torch.empty(width, width)).requires_grad_() for _ in range(depth)]
    for weight in weights:
        y = x @ weight.T
        if batch_norm:
            y = nn.functional.batch_norm(y, None, None, training=True)
        x = x + torch.relu(y) if residual else torch.relu(y)
    (x * torch.randn_like(x)).sum().backward()
    return float(weights[0].grad.norm() / weights[-1].grad.norm())


@holds("Does batch norm cure overfitting and vanishing gradients?")
def check_batch_norm_explodes_gradients_of_a_deep_plain_network():
    stated("50", 50)
    assert gradient_ratio(50, batch_norm=True) > 1000
    large = 5 * torch.randn(500, 20)  # what comes into the activation
    normed = nn.BatchNorm1d(20)(large)
    assert (torch.tanh(large).abs() > 0.99).float().mean() > 0.5 > 10 * (torch.tanh(normed).abs() > 0.99).float().mean()
    assert 0.2 < gradient_ratio(50, batch_norm=False) < 5
    assert gradient_ratio(50, batch_norm=True, residual=True) < 30


@holds("Does gradient accumulation enlarge the batch for BatchNorm?")
def check_accumulation_does_not_change_the_statistics():
    x = torch.randn(8, 2) * torch.linspace(1, 4, 8)[:, None]
    layer = nn.BatchNorm1d(2)
    halves = torch.cat([layer(x[:4]), layer(x[4:])])
    assert not torch.allclose(halves, layer(x), atol=1e-2)
    parts = torch.cat([nn.functional.batch_norm(part, None, None, training=True) for part in (x[:4], x[4:])])
    assert torch.allclose(halves, parts, atol=1e-5)


@holds("Cost", "What remains at inference?")
def check_evaluation_is_a_per_channel_affine_map():
    layer = nn.BatchNorm2d(3)
    for _ in range(5):
        layer(torch.randn(4, 3, 6, 6) * 2 + 1)
    layer.eval()
    scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
    shift = layer.bias - layer.running_mean * scale
    x = torch.randn(2, 3, 4, 4)
    assert torch.allclose(layer(x), x * scale.view(1, 3, 1, 1) + shift.view(1, 3, 1, 1), atol=1e-5)
    convolution = nn.Conv2d(2, 3, 3).eval()
    images = torch.randn(2, 2, 6, 6)
    assert torch.allclose(fuse_conv_bn_eval(convolution, layer)(images), layer(convolution(images)), atol=1e-5)
    last = x.clone()
    last[-1] += 3  # in training even the first output waits for the last sample
    assert not torch.allclose(layer.train()(x)[0], layer(last)[0], atol=1e-3)


@holds("GroupNorm, InstanceNorm", "LayerNorm")
def check_norms_of_one_sample():
    x = torch.randn(6, 4, 3, 3) * 2 + 1
    other = torch.cat([x[:1], torch.randn(5, 4, 3, 3)])
    for norm in (nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)):
        assert torch.allclose(norm(x)[0], norm(other)[0]) and not torch.allclose(norm(x), x, atol=0.1)
        assert torch.allclose(norm(x), nn.GroupNorm(2 if isinstance(norm, nn.GroupNorm) else 4, 4)(x), atol=1e-5)
    words = torch.randn(2, 5, 8)
    y = nn.LayerNorm(8)(words)
    assert torch.allclose(y[0, 0], nn.LayerNorm(8)(words[0, 0]), atol=1e-6) and y.mean(-1).abs().max() < 1e-5


@check
def check_batch_noise_shrinks_with_the_batch():
    def spread(size):
        companions = torch.randn(300, size - 1, 1)
        outputs = [
            nn.functional.batch_norm(torch.cat([torch.ones(1, 1), c]), None, None, training=True)[0] for c in companions
        ]
        return float(torch.stack(outputs).std())

    assert spread(4) > 2 * spread(32) > 4 * spread(256)
