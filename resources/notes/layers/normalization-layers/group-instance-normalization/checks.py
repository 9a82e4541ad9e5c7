import warnings

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

STATISTICS = r"""
\mu_{ng} = \frac{1}{m} \sum_{c:\, g(c) = g} \sum_{h,w} x_{nchw}, \qquad
\sigma_{ng}^2 = \frac{1}{m} \sum_{c:\, g(c) = g} \sum_{h,w} (x_{nchw} - \mu_{ng})^2
"""
OUTPUT = r"y_{nchw} = \frac{x_{nchw} - \mu_{n\,g(c)}}{\sqrt{\sigma_{n\,g(c)}^2 + \varepsilon}} \cdot \gamma_c + \beta_c"

sourced(
    "Wu and He, arXiv 1803.08494, sections 3 and 4 (G = 32; COCO); Ho et al., arXiv 2006.11239, appendix B",
    "GroupNorm",
    "How many groups?",
)
sourced("Ulyanov et al., arXiv 1607.08022 (style); Zhu et al., arXiv 1703.10593, section 4 (CycleGAN)", "InstanceNorm")
sourced("Ba et al., arXiv 1607.06450 (RNNs); Vaswani et al., arXiv 1706.03762, section 3.1 (Transformers)", "LayerNorm")
sourced(
    "Wu and He, arXiv 1803.08494, table 2: ResNet-50, BN against GN at 32, 16, 8, 4 and 2 images per GPU",
    "BatchNorm",
)
sourced(
    "Ulyanov et al., arXiv 1607.08022; Huang and Belongie, arXiv 1703.06868, section 5",
    "Why does InstanceNorm suit style transfer?",
)


def normalised(x, G, gamma, beta, eps):
    """The two formulas, channel by channel, in NumPy."""
    N, C = x.shape[:2]
    group = np.array([c * G // C for c in range(C)])
    m = x[0, 0].size * C // G
    y = np.empty_like(x)
    for n in range(N):
        for c in range(C):
            members = x[n, group == group[c]]
            mu = members.sum() / m
            variance = ((members - mu) ** 2).sum() / m
            y[n, c] = (x[n, c] - mu) / np.sqrt(variance + eps) * gamma[c] + beta[c]
    return y


@holds("Input → output", "GroupNorm", "InstanceNorm")
@formula(STATISTICS, OUTPUT)
def check_equals_the_library():
    for shape, G in [((2, 6, 3, 4), 3), ((1, 4, 2, 5), 1), ((3, 8, 7), 4), ((2, 6), 2), ((2, 4, 2, 3, 2), 4)]:
        for eps in (1e-5, 0.3):
            layer = nn.GroupNorm(G, shape[1], eps=eps, dtype=torch.float64)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
            x = torch.randn(shape, dtype=torch.float64) * 2 + 5
            ours = normalised(x.numpy(), G, layer.weight.detach().numpy(), layer.bias.detach().numpy(), eps)
            np.testing.assert_allclose(ours, layer(x).detach().numpy(), rtol=1e-9, atol=1e-9)
    for layer, shape in [
        (nn.InstanceNorm1d, (2, 3, 6)),
        (nn.InstanceNorm2d, (2, 3, 4, 5)),
        (nn.InstanceNorm3d, (2, 3, 2, 3, 2)),
    ]:
        made = layer(3, affine=True, dtype=torch.float64)
        nn.init.normal_(made.weight)
        nn.init.normal_(made.bias)
        x = torch.randn(shape, dtype=torch.float64) * 2 + 5
        ours = normalised(x.numpy(), 3, made.weight.detach().numpy(), made.bias.detach().numpy(), 1e-5)
        np.testing.assert_allclose(ours, made(x).detach().numpy(), rtol=1e-9, atol=1e-9)
        assert torch.allclose(made(x[0]), made(x)[0])
    image = torch.randn(4, 6, 6)  # without a batch GroupNorm takes the channels for samples and rows for channels
    assert not torch.allclose(nn.GroupNorm(2, 6)(image), nn.GroupNorm(2, 4)(image[None])[0], atol=0.1)


@check
def check_worked_example():
    x = torch.tensor([[[1.0, 3.0], [5.0, 7.0], [0.0, 0.0], [4.0, 4.0]]])
    y = nn.GroupNorm(2, 4)(x)[0].detach()
    for text, value in zip(["−1.3416", "−0.4472", "0.4472", "1.3416"], y[:2].flatten()):
        stated(text, value)
    assert torch.allclose(y[2:], torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), atol=1e-4)
    instance = nn.InstanceNorm1d(4)(x)[0]
    assert torch.allclose(instance, torch.tensor([[-1.0, 1.0], [-1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), atol=1e-4)


@holds("dtype", "Parameters", "Defaults", "Same in train and eval?", "Input → output")
def check_contract():
    stated("128", sum(p.numel() for p in nn.GroupNorm(32, 64).parameters()))
    group, instance = nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)
    assert group.affine and group.eps == instance.eps == 1e-5 and group.weight.shape == (4,)
    assert not instance.affine and not instance.track_running_stats and not list(instance.parameters())
    x = torch.randn(3, 4, 5, 5)
    for layer in (group, instance):
        assert torch.equal(layer.train()(x), layer.eval()(x))
        assert torch.allclose(layer(x)[:1], layer(x[:1]), atol=1e-6)
    tracked = nn.InstanceNorm2d(4, track_running_stats=True)
    assert not torch.allclose(tracked.train()(x), tracked.eval()(x), atol=1e-2)
    assert len(list(nn.InstanceNorm2d(4, affine=True).parameters())) == 2
    for layer, shape in [(nn.GroupNorm(2, 4), (2, 4, 3)), (nn.InstanceNorm1d(4), (2, 4, 3))]:
        raises((RuntimeError, NotImplementedError), lambda: layer(torch.arange(24).view(shape)))
    for layer in (nn.GroupNorm(2, 4), nn.InstanceNorm1d(4, affine=True)):
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            assert layer(torch.randn(2, 4, 3).to(dtype)).dtype == dtype
        raises(RuntimeError, lambda: layer(torch.randn(2, 4, 3).double()), "share same datatype")
        raises((RuntimeError, NotImplementedError), lambda: layer(torch.ones(2, 4, 3).to(torch.float8_e4m3fn)))
        assert layer.double()(torch.randn(2, 4, 3).double()).dtype == torch.float64
    raises(RuntimeError, lambda: nn.GroupNorm(2, 4)(torch.randn(4, 5, 5)), "divisible by num_groups")
    raises(ValueError, lambda: nn.GroupNorm(3, 4))


@pitfall('"Expected more than 1 spatial element when training", even in eval')
def check_one_by_one_maps():
    for layer in (nn.InstanceNorm2d(3), nn.InstanceNorm2d(3).eval()):
        raises(ValueError, lambda: layer(torch.rand(2, 3, 1, 1)), "Expected more than 1 spatial element when training")
    layer = nn.GroupNorm(3, 3)
    nn.init.normal_(layer.bias)
    assert torch.allclose(layer(torch.rand(2, 3, 1, 1)), layer.bias.view(1, 3, 1, 1).expand(2, 3, 1, 1), atol=1e-3)
    raises(ValueError, lambda: layer(torch.rand(1, 3, 1, 1)))
    raises(ValueError, lambda: nn.InstanceNorm2d(3)(torch.rand(1, 3, 1, 1)), "Expected more than 1 spatial element")
    x = torch.randn(8, 64, 1, 1)
    assert nn.GroupNorm(64, 64)(x).abs().max() < 1e-3 and (nn.GroupNorm(32, 64)(x).abs() > 0.99).float().mean() > 0.95
    fewer = nn.GroupNorm(4, 64)(x)
    assert nn.GroupNorm(4, 64)(x[:1]).shape == (1, 64, 1, 1)
    assert torch.corrcoef(torch.stack([fewer.flatten(), x.flatten()]))[0, 1] > 0.9  # sizes are kept
    strided = nn.Sequential(nn.Conv2d(3, 3, 4, 2, 1), nn.InstanceNorm2d(3))  # no pooling: 2×2 becomes 1×1
    raises(ValueError, lambda: strided(torch.randn(4, 3, 2, 2)), "Expected more than 1 spatial element")
    assert strided[:1](torch.randn(4, 3, 2, 2)).shape == (4, 3, 1, 1)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    raises(ValueError, lambda: head(torch.randn(4, 3, 5, 5)), "Expected more than 1 spatial element")
    assert nn.Sequential(head[0], *head[2:])(torch.randn(4, 3, 5, 5)).shape == (4, 2)


@pitfall("InstanceNorm suddenly acts like BatchNorm")
def check_tracked_instance_norm_is_batch_norm_in_eval():
    x = torch.randn(3, 2, 4, 5)
    instance, batch = nn.InstanceNorm2d(2, affine=True, track_running_stats=True), nn.BatchNorm2d(2)
    for layer in (instance, batch):
        layer.running_mean.copy_(torch.tensor([0.5, -1.0]))
        layer.running_var.copy_(torch.tensor([2.0, 0.3]))
    assert torch.equal(instance.eval()(x), batch.eval()(x))
    assert not torch.allclose(instance(x), nn.InstanceNorm2d(2).eval()(x), atol=0.1)
    instance.track_running_stats = False
    assert torch.allclose(instance(x), nn.InstanceNorm2d(2)(x), atol=1e-5)


@pitfall("`GroupNorm(1, C)` is not the LayerNorm of a ConvNeXt or Transformer")
def check_one_group_is_not_layer_norm_over_channels():
    x = torch.randn(2, 4, 3, 3) + torch.arange(9.0).view(3, 3)
    over_channels = nn.LayerNorm(4)(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert not torch.allclose(nn.GroupNorm(1, 4)(x), over_channels, atol=0.1)
    assert torch.allclose(nn.GroupNorm(1, 4)(x), nn.LayerNorm([4, 3, 3])(x), atol=1e-5)
    for y, per_position in ((over_channels, True), (nn.GroupNorm(1, 4)(x), False)):
        assert (y.mean(1).abs().max() < 1e-5) == per_position and y.mean((1, 2, 3)).abs().max() < 1e-5


@pitfall("A wrong channel count only warns")
def check_wrong_channel_count_warns():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert nn.InstanceNorm1d(64)(torch.randn(2, 80, 30)).shape == (2, 80, 30)
        x = torch.randn(10, 3)
        rows = nn.InstanceNorm1d(3)(x)
    assert len(caught) == 2 and all("num_features" in str(warning.message) for warning in caught)
    assert torch.allclose(rows, nn.functional.layer_norm(x, (3,)), atol=1e-5)
    raises(ValueError, lambda: nn.InstanceNorm1d(64, affine=True)(torch.randn(2, 80, 30)))
    with warnings.catch_warnings(action="ignore"):
        raises(
            RuntimeError,
            lambda: nn.InstanceNorm1d(64, track_running_stats=True)(torch.randn(2, 80, 30)),
            "running_mean",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            nn.InstanceNorm1d(64)(torch.randn(2, 80, 30))
        except UserWarning:
            assert nn.InstanceNorm1d(80)(torch.randn(2, 80, 30)).shape == (2, 80, 30)
        else:
            raise AssertionError("no error")
        raises(ValueError, lambda: nn.InstanceNorm1d(3)(x[..., None]), "more than 1 spatial element")  # L = 1
        # Rows as samples of C = 3 channels and L = 10 positions.
        one = nn.InstanceNorm1d(3)(x.T[None])
    assert torch.allclose(one[0], nn.functional.layer_norm(x.T, (10,)), atol=1e-5)


@holds("Why does InstanceNorm suit style transfer?")
def check_instance_norm_removes_level_and_contrast():
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    shift, factor = torch.tensor([3.0, -1.0, 7.0]).view(1, 3, 1, 1), torch.tensor([2.0, 0.5, 5.0]).view(1, 3, 1, 1)
    layer = nn.InstanceNorm2d(3)
    assert torch.allclose(layer(x + shift), layer(x)) and torch.allclose(layer(x * factor), layer(x), atol=1e-3)
    assert not torch.allclose(layer(x * 1e-3), layer(x), atol=0.1)
    style = torch.randn(2, 3, 8, 8, dtype=torch.float64) * factor + shift
    mean, spread = style.mean((2, 3), keepdim=True), style.std((2, 3), correction=0, keepdim=True)
    y = layer(x) * spread + mean  # AdaIN
    assert torch.allclose(y.mean((2, 3), keepdim=True), mean)
    assert torch.allclose(y.std((2, 3), correction=0, keepdim=True), spread, rtol=1e-3)


@check
def check_what_cancels():
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    channel, group = torch.zeros(1, 4, 1, 1, dtype=torch.float64), torch.zeros(1, 4, 1, 1, dtype=torch.float64)
    channel[0, 0], group[0, :2] = 3.0, 3.0
    by_group, by_channel = nn.GroupNorm(2, 4).double(), nn.InstanceNorm2d(4)
    assert torch.allclose(by_group(x + group), by_group(x)) and torch.allclose(by_channel(x + channel), by_channel(x))
    moved = (by_group(x + channel) - by_group(x)).abs().amax((0, 2, 3))
    assert (moved[:2] > 0.1).all() and (moved[2:] < 1e-9).all()


@holds("How many groups?")
def check_two_values_per_group():
    y = nn.GroupNorm(4, 8)(torch.randn(50, 8)).detach().abs()
    assert (abs(y - 1) < 0.01).float().mean() > 0.95
    for G in (1, 2, 3, 4, 6, 12):
        assert nn.GroupNorm(G, 12)(torch.randn(2, 12, 3)).shape == (2, 12, 3)
    raises(ValueError, lambda: nn.GroupNorm(5, 12))


@holds("Cost")
def check_the_first_output_depends_on_the_last_value():
    x = torch.randn(1, 4, 3, 3)
    last = x.clone()
    last[0, :, -1, -1] += 3
    for layer in (nn.GroupNorm(2, 4).eval(), nn.InstanceNorm2d(4).eval()):
        assert ((layer(x) - layer(last))[0, :, 0, 0].abs() > 1e-3).all()


@holds("Does GroupNorm need synchronizing across GPUs?")
def check_parts_of_a_batch():
    x = torch.randn(8, 6, 5, 5)
    layer = nn.GroupNorm(3, 6)
    assert torch.allclose(torch.cat([layer(part) for part in x.split(2)]), layer(x), atol=1e-6)
    in_parts = torch.cat([nn.BatchNorm2d(6)(part) for part in x.split(2)])
    assert not torch.allclose(in_parts, nn.BatchNorm2d(6)(x), atol=0.01)


@holds("LayerNorm", "BatchNorm")
def check_siblings():
    x = torch.randn(6, 5, 4) * 2 + 1
    other = torch.cat([x[:1], torch.randn(5, 5, 4)])
    layer, batch = nn.LayerNorm(4), nn.BatchNorm1d(5)
    assert torch.equal(layer(x)[0], layer(other)[0]) and layer(x).mean(-1).abs().max() < 1e-5
    assert not torch.allclose(batch(x)[0], batch(other)[0], atol=0.01) and batch(x).mean((0, 2)).abs().max() < 1e-5
    assert torch.allclose(batch.eval()(x)[0], batch(other)[0])


@holds("Can they be folded into the convolution at inference?")
def check_only_tracked_instance_norm_is_affine_in_eval():
    x = torch.randn(2, 4, 3, 3)
    for layer, folds in (
        (nn.InstanceNorm2d(4, track_running_stats=True), True),
        (nn.InstanceNorm2d(4), False),
        (nn.GroupNorm(2, 4), False),
    ):
        layer.train()(x * 2 + 1)
        layer.eval()
        offset = layer(torch.zeros_like(x))
        assert torch.allclose(layer(3 * x) - offset, 3 * (layer(x) - offset), atol=1e-4) is folds
