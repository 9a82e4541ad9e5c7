import math

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

NON_LOCAL = r"""
z_i = x_i + W_z \sum_{j=1}^{P} \frac{\exp\left( (W_\theta x_i)^\top W_\phi x_j \right)}{\sum_{l=1}^{P} \exp\left( (W_\theta x_i)^\top W_\phi x_l \right)} \, W_g x_j
"""
GLOBAL_CONTEXT = r"""
\alpha_j = \frac{\exp(w_k^\top x_j)}{\sum_{l=1}^{P} \exp(w_k^\top x_l)}, \qquad
z_i = x_i + W_2 \max\left( 0,\, \mathrm{LN}\left( W_1 \sum_{j=1}^{P} \alpha_j x_j \right) \right)
"""

by_definition("How does a non-local block differ from a Transformer layer?")
sourced("Non-local Neural Networks, arXiv 1711.07971, sections 3.3 and 4", "Non-local")
sourced("GCNet, arXiv 1904.11492, sections 3 and 4 (r = 16, blocks in c3, c4 and c5)", "Global context")
sourced("arXiv 1711.07971, section 3.3; arXiv 1904.11492, section 4.1", "Defaults in papers or their code")
sourced("Non-local, arXiv 1711.07971, section 4.1; GCNet, arXiv 1904.11492, section 4.1", "Where should the blocks go?")


def softmax(e):
    e = np.exp(e - e.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def non_local(x, theta, phi, g, out):
    """The formula for one image, x of shape (P, C)."""
    return x + softmax((x @ theta.T) @ (x @ phi.T).T) @ (x @ g.T) @ out.T


def global_context(x, key, first, second, eps=1e-5):
    hidden = first @ (softmax(x @ key) @ x)
    hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + eps)
    return x + second @ np.maximum(0, hidden)


def random_weights(c, inner):
    return [torch.randn(*shape, dtype=torch.float64) / 2 for shape in [(inner, c), (inner, c), (inner, c), (c, inner)]]


@formula(NON_LOCAL)
@holds("Non-local", "Does it know where things are?")
def check_non_local():
    for c, h, w in [(2, 1, 1), (6, 3, 4), (16, 5, 5)]:
        theta, phi, g, out = random_weights(c, c // 2)
        x = torch.randn(1, c, h, w, dtype=torch.float64)
        q, k, v = (F.conv2d(x, m[..., None, None]).flatten(2).mT for m in (theta, phi, g))
        y = F.scaled_dot_product_attention(q, k, v, scale=1.0).mT.unflatten(2, (h, w))
        library = (x + F.conv2d(y, out[..., None, None]))[0].flatten(1).T
        positions = x[0].flatten(1).T.numpy()
        ours = non_local(positions, *(m.numpy() for m in (theta, phi, g, out)))
        np.testing.assert_allclose(ours, library.numpy(), atol=1e-10)
        order = np.random.permutation(h * w)
        np.testing.assert_allclose(
            non_local(positions[order], *(m.numpy() for m in (theta, phi, g, out))), ours[order], atol=1e-10
        )
        if min(h, w) > 1:  # keys and values pooled
            pooled = lambda z: F.scaled_dot_product_attention(z.flatten(2).mT, *[F.max_pool2d(z, 2).flatten(2).mT] * 2)
            turned = x.flatten(2).roll(1, -1).unflatten(2, (h, w))
            assert not torch.allclose(pooled(turned), pooled(x).roll(1, 1), atol=1e-3)
        if c > 2:
            scaled = F.scaled_dot_product_attention(q, k, v)
            assert not torch.allclose(scaled, F.scaled_dot_product_attention(q, k, v, scale=1.0), atol=1e-3)


@formula(GLOBAL_CONTEXT)
@holds("Global context")
def check_global_context():
    for c, r, h, w in [(8, 2, 1, 1), (8, 2, 4, 3), (32, 4, 5, 5)]:
        key = nn.Conv2d(c, 1, 1).double()
        mix = nn.Sequential(
            nn.Conv2d(c, c // r, 1, bias=False),
            nn.LayerNorm([c // r, 1, 1]),
            nn.ReLU(),
            nn.Conv2d(c // r, c, 1, bias=False),
        ).double()
        x = torch.randn(1, c, h, w, dtype=torch.float64) * 2
        alpha = key(x).flatten(2).softmax(-1)
        library = (x + mix((x.flatten(2) @ alpha.mT)[..., None]))[0].flatten(1).T.detach().numpy()
        matrices = [m.weight.detach().flatten(1).numpy() for m in (key, mix[0], mix[3])]
        ours = global_context(x[0].flatten(1).T.numpy(), matrices[0][0], *matrices[1:])
        np.testing.assert_allclose(ours, library, atol=1e-9)
        added = ours - x[0].flatten(1).T.numpy()
        np.testing.assert_allclose(added, np.broadcast_to(added[0], added.shape), atol=1e-9)


@check
def check_by_hand():
    x = np.array([[0.0], [1.0], [2.0]])
    one = np.eye(1)
    added = (non_local(x, math.log(2) * one, one, one, one) - x)[:, 0]
    assert math.isclose(added[0], 1)
    stated("1.4286", added[1])
    stated("1.7143", added[2])
    stated("1.4286", softmax(x[:, 0] * math.log(2)) @ x[:, 0])


@holds("Parameters, convolution weights only", "Cost", "Memory")
def check_counts():
    stated("16,777,216", (64 * 64) ** 2)
    c, r = 256, 16
    inner = [nn.Conv2d(c, c // 2, 1, bias=False) for _ in range(3)] + [nn.Conv2d(c // 2, c, 1, bias=False)]
    assert sum(m.weight.numel() for m in inner) == 2 * c * c
    assert (
        sum(m.weight.numel() for m in (nn.Conv2d(c, 1, 1), nn.Conv2d(c, c // r, 1), nn.Conv2d(c // r, c, 1)))
        == 2 * c * c // r + c
    )
    assert nn.LayerNorm([c // r, 1, 1]).weight.numel() == c // r  # a further weight, no convolution's
    p = 100  # positions: projections, then scores and weighted sums over C/2 channels
    assert 4 * c * (c // 2) * p + 2 * p * p * (c // 2) == 2 * c * c * p + c * p * p
    assert c * p + p * c + 2 * c * (c // r) == 2 * c * p + 2 * c * c // r  # GC: scores, average, bottleneck
    assert (2 * 8 * 2 * 8) ** 2 == 16 * (8 * 8) ** 2 and (8 * 8) * (4 * 4) * 4 == (8 * 8) ** 2


@pitfall('"Given normalized_shape=[16], expected input with shape [*, 16]"')
def check_layer_norm_axes():
    hidden = torch.randn(2, 16, 1, 1)
    raises(
        RuntimeError, lambda: nn.LayerNorm(16)(hidden), "Given normalized_shape=[16], expected input with shape [*, 16]"
    )
    assert torch.allclose(nn.LayerNorm([16, 1, 1])(hidden)[..., 0, 0], nn.LayerNorm(16)(hidden[..., 0, 0]), atol=1e-6)


@holds("Memory")
@pitfall("Out of memory on large maps")
def check_numbers_kept_for_the_backward_pass():
    """Counts the elements that autograd keeps; that a GPU runs out of memory is not run."""

    def kept(attend, side):
        x, sizes = torch.randn(1, 4, side, side, requires_grad=True), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            attend(x)
        return max(sizes)

    def naive(x, pool=1):
        q, k = x.flatten(2).mT, F.max_pool2d(x, pool).flatten(2).mT
        return (q @ k.mT).softmax(-1) @ k

    def fused(x, heads):
        q = x.flatten(2).mT.unsqueeze(1).contiguous() if heads else x.flatten(2).mT
        return F.scaled_dot_product_attention(q, q, q, scale=1.0)

    assert (kept(naive, 8), kept(naive, 16), kept(naive, 32)) == (64**2, 256**2, 1024**2)
    assert kept(lambda x: naive(x, 2), 32) == 1024**2 / 4
    assert kept(lambda x: x[:, :1].flatten(2).softmax(-1) @ x.flatten(2).mT, 32) == 4 * 1024
    assert kept(lambda x: fused(x, False), 32) == 1024**2 and kept(lambda x: fused(x, True), 32) == 4 * 1024
    tokens = lambda x: x.flatten(2).mT.unsqueeze(1).contiguous()
    narrow = lambda x: F.scaled_dot_product_attention(*[tokens(x[:, :2])] * 2, tokens(x), scale=1.0)
    assert kept(narrow, 32) == 1024**2
    x = torch.randn(1, 4, 6, 6)
    assert torch.allclose(fused(x, True)[:, 0], fused(x, False), atol=1e-5) and torch.allclose(
        fused(x, False), naive(x), atol=1e-5
    )


@pitfall("A pretrained network gets worse when the block is inserted")
def check_insertion_into_a_trained_network():
    pixels, classes = handwritten_digits()
    images = pixels.view(-1, 1, 8, 8)
    first = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam([*first.parameters(), *head.parameters()], 1e-2)
    for _ in range(60):
        batch = torch.randperm(len(images))[:128]
        optimizer.zero_grad()
        F.cross_entropy(head(first(images[batch])), classes[batch]).backward()
        optimizer.step()
    inner, norm = [nn.Conv2d(16, 8, 1) for _ in range(3)] + [nn.Conv2d(8, 16, 1)], nn.BatchNorm2d(16)
    key, mix = (
        nn.Conv2d(16, 1, 1),
        nn.Sequential(nn.Conv2d(16, 4, 1), nn.LayerNorm([4, 1, 1]), nn.ReLU(), nn.Conv2d(4, 16, 1)),
    )

    def gathered(x):
        q, k, v = (f(x).flatten(2).mT for f in inner[:3])
        return inner[3](F.scaled_dot_product_attention(q, k, v, scale=1.0).mT.unflatten(2, x.shape[2:]))

    def context(x):
        return mix((x.flatten(2) @ key(x).flatten(2).softmax(-1).mT)[..., None])

    features = first(images).detach()
    loss = lambda x: F.cross_entropy(head(x), classes)
    for added, last in ((gathered, inner[3]), (context, mix[3]), (lambda x: norm(gathered(x)), norm)):
        nn.init.kaiming_normal_((mix if last is mix[3] else inner)[3].weight)
        assert last is norm or loss(features + added(features)) > loss(features) + 0.05
        nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)
        assert torch.equal(features + added(features), features)
        loss(features + added(features)).backward()
        assert last.weight.grad.any()


class Context(nn.Module):
    """A global context block, its last layer followed by `last`."""

    def __init__(self, c, r, last):
        super().__init__()
        self.key = nn.Conv2d(c, 1, 1)
        first, norm = nn.Conv2d(c, c // r, 1), nn.LayerNorm([c // r, 1, 1])
        self.mix = nn.Sequential(first, norm, nn.ReLU(), nn.Conv2d(c // r, c, 1), last)

    def forward(self, x):
        return x + self.mix((x.flatten(2) @ self.key(x).flatten(2).softmax(-1).mT)[..., None])


@holds("Input → output", "Same in train and eval?")
def check_shapes_and_modes():
    kinds = {(3, 8, 5, 6): nn.Conv2d, (3, 8, 2, 5, 6): nn.Conv3d}
    for shape, kind in kinds.items():
        x, parts = torch.randn(shape), [kind(8, 4, 1) for _ in range(3)] + [kind(4, 8, 1)]
        q, k, v = (f(x).flatten(2).mT for f in parts[:3])
        y = F.scaled_dot_product_attention(q, k, v, scale=1.0).mT.unflatten(2, shape[2:])
        norm = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm3d)(8)
        assert (x + parts[3](y)).shape == shape
        assert not torch.allclose(norm.train()(parts[3](y)), norm.eval()(parts[3](y)), atol=1e-2)
        assert all(torch.equal(part.train()(x), part.eval()(x)) for part in parts[:3])
    for last, alike in ((nn.Identity(), True), (nn.BatchNorm2d(8), False)):
        block, x = Context(8, 2, last), torch.randn(3, 8, 5, 6)
        assert block(x).shape == x.shape and torch.allclose(block.train()(x), block.eval()(x), atol=1e-3) is alike


@holds("Non-local", "Global context", "SE", "Multi-head attention", "Dilated convolution")
@holds("GC and SE: what is the difference?")
def check_table():
    """What is added or multiplied, and whether its weights depend on the query and on the content."""
    x = torch.randn(1, 8, 5, 6)
    added = (Context(8, 2, nn.Identity())(x) - x).flatten(2)
    assert torch.allclose(added, added[..., :1].expand_as(added), atol=1e-5)
    ratio = torchvision.ops.SqueezeExcitation(8, 2)(x) / x
    assert torch.allclose(ratio, ratio[..., :1, :1].expand_as(ratio), atol=1e-4)
    for pooled, plain in ((Context(8, 2, nn.Identity()), False), (torchvision.ops.SqueezeExcitation(8, 2), True)):
        same_mean = x + torch.cat([x[..., :3], -x[..., :3]], -1) / 2  # moves no channel's average
        change = [pooled(z) / z if plain else pooled(z) - z for z in (same_mean, x)]
        assert torch.allclose(*change, atol=1e-4) is plain
    q = torch.randn(1, 30, 8)
    weights = nn.MultiheadAttention(8, 2, batch_first=True)(q, q, q, average_attn_weights=False)[1]
    assert weights.shape == (1, 2, 30, 30)
    assert weights.std(2).max() > 0.001 and (weights[:, 0] - weights[:, 1]).abs().max() > 0.001
    dilated, z = nn.Conv1d(1, 1, 3, dilation=4, bias=False), torch.randn(2, 1, 20, requires_grad=True)
    (reached,) = torch.autograd.grad(dilated(z)[:, 0, 5].sum(), z)
    assert reached[0].nonzero()[:, 1].tolist() == [5, 9, 13] and torch.equal(reached[0], reached[1])
    with torch.device("meta"):
        mobile = torchvision.models.mobilenet_v3_large()
    assert any(isinstance(m, torchvision.ops.SqueezeExcitation) for m in mobile.modules())


@pitfall("A rewrite with `nn.MultiheadAttention` differs")
def check_multi_head_attention_scales():
    layer, x = (
        nn.MultiheadAttention(8, 1, bias=False, batch_first=True, dtype=torch.float64),
        torch.randn(1, 6, 8, dtype=torch.float64),
    )
    theta, phi, g = (m.detach() for m in layer.in_proj_weight.chunk(3))
    ours = non_local(x[0].numpy(), *(m.numpy() for m in (theta, phi, g, layer.out_proj.weight.detach())))
    assert not np.allclose(ours, (x + layer(x, x, x)[0])[0].detach().numpy(), atol=1e-3)
    scaled, unscaled = (F.scaled_dot_product_attention(x @ theta.T, x @ phi.T, x @ g.T, scale=s) for s in (None, 1.0))
    assert torch.allclose(layer.out_proj(scaled), layer(x, x, x)[0])
    np.testing.assert_allclose(ours, (x + layer.out_proj(unscaled))[0].detach().numpy(), atol=1e-12)


@holds("When does a non-local block give one context for all positions?")
def check_constant_query_is_global():
    x = np.random.randn(9, 4)
    phi, g, out = (np.random.randn(*shape) for shape in [(2, 4), (2, 4), (4, 2)])
    constant = np.ones((9, 2)) * 0.7
    added = softmax(constant @ (x @ phi.T).T) @ (x @ g.T) @ out.T
    np.testing.assert_allclose(added, np.broadcast_to(added[0], added.shape), atol=1e-12)
    attended = softmax(x @ (phi.T @ np.full(2, 0.7))) @ x  # the average of GC, then linear
    np.testing.assert_allclose(added[0], out @ g @ attended, atol=1e-12)
