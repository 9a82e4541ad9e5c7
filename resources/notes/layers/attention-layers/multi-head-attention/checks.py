import inspect
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

PROJECTIONS = r"Q_h = X W_h^Q + b_h^Q, \quad K_h = Y W_h^K + b_h^K, \quad V_h = Y W_h^V + b_h^V"
HEAD = r"\operatorname{head}_h = \operatorname{softmax}\left(\frac{Q_h K_h^\top}{\sqrt{d_h}} + M\right) V_h"
JOINED = r"\operatorname{MultiHead}(X, Y) = [\operatorname{head}_1, \dots, \operatorname{head}_H] \, W^O + b^O"
PARAMETERS = r"P = 3(d^2 + d) + (d^2 + d) = 4d^2 + 4d"

by_definition("one head")
sourced("Attention Is All You Need, arXiv 1706.03762, section 3.2.2", "multi-head")
sourced("GQA, arXiv 2305.13245, abstract (quality close to multi-head after uptraining)", "grouped-query (GQA)")


def count(module):
    return sum(p.numel() for p in module.parameters())


def multi_head(X, Y, mask, in_weight, in_bias, W_O, b_O, H):
    """The formulas of the article for one sample; rows of `in_weight` are taken in the order Q, K, V, head after head."""
    d = X.shape[-1]
    d_h = d // H
    results, all_weights = [], []
    for h in range(H):
        block = slice(h * d_h, (h + 1) * d_h)
        (W_Q, W_K, W_V), (b_Q, b_K, b_V) = (
            [part[block] for part in np.split(stacked, 3)] for stacked in (in_weight, in_bias)
        )
        Q, K, V = X @ W_Q.T + b_Q, Y @ W_K.T + b_K, Y @ W_V.T + b_V
        scores = np.exp(Q @ K.T / math.sqrt(d_h) + mask)
        weights = scores / scores.sum(-1, keepdims=True)
        results.append(weights @ V)
        all_weights.append(weights)
    return np.concatenate(results, -1) @ W_O.T + b_O, np.stack(all_weights)


def random_layer(d, H, **options):
    layer = nn.MultiheadAttention(d, H, dtype=torch.float64, **options)
    nn.init.normal_(layer.in_proj_bias)
    nn.init.normal_(layer.out_proj.bias)
    return layer


def arrays(layer):
    return [
        p.detach().numpy()
        for p in (layer.in_proj_weight, layer.in_proj_bias, layer.out_proj.weight, layer.out_proj.bias)
    ]


@formula(PROJECTIONS, HEAD, JOINED)
def check_equals_the_library():
    for L, S, N, d, H in [(3, 5, 2, 8, 2), (1, 1, 1, 4, 1), (4, 2, 3, 6, 6), (2, 7, 1, 12, 3)]:
        layer = random_layer(d, H)
        x, y = torch.randn(L, N, d, dtype=torch.float64), torch.randn(S, N, d, dtype=torch.float64)
        mask = torch.randn(L, S, dtype=torch.float64)
        mask[:, 1:][torch.rand(L, S - 1) < 0.3] = -math.inf
        out, weights = layer(x, y, y, attn_mask=mask, average_attn_weights=False)
        for n in range(N):
            ours, our_weights = multi_head(x[:, n].numpy(), y[:, n].numpy(), mask.numpy(), *arrays(layer), H)
            np.testing.assert_allclose(ours, out[:, n].detach().numpy(), atol=1e-12)
            np.testing.assert_allclose(our_weights, weights[n].detach().numpy(), atol=1e-12)


@check
def check_projections():
    # The softmax hides the bias of the keys, so that the projections are compared with the library on their own as well.
    layer = random_layer(12, 3)
    x, y = torch.randn(4, 12, dtype=torch.float64), torch.randn(7, 12, dtype=torch.float64)
    projected = F._in_projection_packed(x, y, y, layer.in_proj_weight, layer.in_proj_bias)
    for source, weight, bias, library in zip(
        (x, y, y), np.split(arrays(layer)[0], 3), np.split(arrays(layer)[1], 3), projected
    ):
        for h in range(3):
            block = slice(4 * h, 4 * h + 4)
            np.testing.assert_allclose(
                source.numpy() @ weight[block].T + bias[block], library[:, block].detach().numpy(), atol=1e-12
            )
    before = layer(x[:, None], y[:, None], y[:, None])[0]
    with torch.no_grad():
        layer.in_proj_bias[12:24] += 5
    assert torch.allclose(before, layer(x[:, None], y[:, None], y[:, None])[0])


@formula(PARAMETERS)
@holds("Parameters", "Do more heads cost more parameters?")
def check_parameter_count():
    for d in (2, 8, 512):
        for H in (1, 2, d):
            assert count(nn.MultiheadAttention(d, H)) == 3 * (d * d + d) + (d * d + d) == 4 * d * d + 4 * d
    stated("1,050,624", count(nn.MultiheadAttention(512, 8)))


@check
def check_worked_example():
    x = torch.eye(2, dtype=torch.float64)[None]

    def output(heads):
        layer = nn.MultiheadAttention(2, heads, batch_first=True, bias=False, dtype=torch.float64)
        with torch.no_grad():
            layer.in_proj_weight.copy_(torch.eye(2).repeat(3, 1))
            layer.out_proj.weight.copy_(torch.eye(2))
            return layer(x, x, x, average_attn_weights=False)

    joined, weights = output(2)
    stated("0.7311", joined[0, 0, 0])
    stated("0.7311", weights[0, 0, 0, 0])
    stated("0.2689", weights[0, 0, 0, 1])
    stated("0.5", joined[0, 0, 1])
    assert weights[0, 1, 0].tolist() == [0.5, 0.5]
    single = output(1)[0][0, 0]
    stated("0.6698", single[0])
    stated("0.3302", single[1])


@holds("Input", "Output", "Defaults")
def check_defaults_and_shapes():
    layer = nn.MultiheadAttention(8, 2)
    call = inspect.signature(layer.forward).parameters
    assert call["need_weights"].default is True and call["average_attn_weights"].default is True
    assert (layer.dropout, layer.batch_first, layer.in_proj_bias is not None) == (0.0, False, True)
    x, y = torch.randn(3, 4, 8), torch.randn(5, 4, 8)
    for dtype in (torch.int64, torch.float64):
        raises(RuntimeError, lambda: layer(*[x.to(dtype)] * 3), "dtype")
    out, weights = layer(x, y, y)
    assert out.shape == (3, 4, 8) and weights.shape == (4, 3, 5) and layer.in_proj_weight.shape == (24, 8)
    per_head = layer(x, y, y, average_attn_weights=False)[1]
    assert torch.allclose(per_head.mean(1), weights, atol=1e-6)
    out, weights = nn.MultiheadAttention(8, 2, batch_first=True)(x, torch.randn(3, 6, 8), torch.randn(3, 6, 8))
    assert out.shape == (3, 4, 8) and weights.shape == (3, 4, 6)


@holds("Same in train and eval?")
def check_train_and_eval():
    x = torch.randn(2, 5, 8)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    trained = layer(x, x, x)[0]
    with torch.no_grad():
        assert torch.allclose(trained, layer.eval()(x, x, x)[0], atol=1e-6)
    layer = nn.MultiheadAttention(8, 2, batch_first=True, dropout=0.5)
    assert not torch.allclose(layer.train()(x, x, x)[0], layer.eval()(x, x, x)[0])


@pitfall("Samples of a batch influence each other")
def check_default_layout_attends_across_the_batch():
    x = torch.randn(2, 5, 8)
    other = torch.cat([x[:1], torch.randn(1, 5, 8)])
    layer = nn.MultiheadAttention(8, 2)
    assert not torch.allclose(layer(x, x, x)[0][0], layer(other, other, other)[0][0])
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    assert torch.allclose(layer(x, x, x)[0][0], layer(other, other, other)[0][0])
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    nn.MultiheadAttention(8, 2)(x.transpose(0, 1), x.transpose(0, 1), x.transpose(0, 1), key_padding_mask=padding)
    layer(x, x, x, key_padding_mask=padding)


@pitfall("A mask has the opposite effect, or hits the wrong sample")
def check_masks():
    layer, x = nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(2, 4, 8)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[1, :, 2:] = True
    hidden = layer(x, x, x, attn_mask=mask.repeat_interleave(2, dim=0), average_attn_weights=False)[1] == 0
    assert torch.equal(hidden, mask[:, None].expand(2, 2, 4, 4))
    wrong = layer(x, x, x, attn_mask=mask.repeat(2, 1, 1), average_attn_weights=False)[1] == 0
    assert wrong[0, 1, :, 2:].all() and not wrong[1, 0].any()
    keep = ~mask[1]
    q, k, v = (
        part.unflatten(-1, (2, 4)).transpose(1, 2)
        for part in F.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, -1)
    )
    ours = layer.out_proj(F.scaled_dot_product_attention(q, k, v, attn_mask=keep).transpose(1, 2).flatten(2))
    assert torch.allclose(ours, layer(x, x, x, attn_mask=~keep)[0], atol=1e-6)
    opposite = layer(x, x, x, attn_mask=keep, average_attn_weights=False)[1] == 0
    assert torch.equal(opposite, keep.expand(2, 2, 4, 4)) and not torch.allclose(
        ours, layer(x, x, x, attn_mask=keep)[0], atol=1e-3
    )


@pitfall("NaN as soon as one sample is all padding")
def check_fully_masked_rows():
    layer, x = nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(2, 4, 8)
    padding = torch.tensor([[False] * 4, [True] * 4])
    out = layer(x, x, x, key_padding_mask=padding)[0]
    assert out[1].isnan().all() and not out[0].isnan().any()
    out[0].sum().backward()
    assert layer.in_proj_weight.grad.isnan().any() and layer.out_proj.weight.grad.isnan().any()
    assert not layer(x, x, x, key_padding_mask=padding, need_weights=False)[0].isnan().any()
    assert not layer.eval()(x, x, x, key_padding_mask=padding, need_weights=False)[0].isnan().any()
    with torch.no_grad():
        assert layer(x, x, x, key_padding_mask=padding, need_weights=False)[0][1].isnan().any()
        padding[1, 0] = False
        for weights in (True, False):
            assert layer(x, x, x, key_padding_mask=padding, need_weights=weights)[0].isfinite().all()
    layer.train().zero_grad()
    out = layer(x, x, x, key_padding_mask=padding)[0]
    out[0].sum().backward()
    assert out.isfinite().all() and all(p.grad.isfinite().all() for p in layer.parameters())


@pitfall("Returned weights do not sum to 1")
def check_weights_are_returned_after_dropout():
    layer, x = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True), torch.randn(2, 6, 8)
    assert not torch.allclose(layer(x, x, x)[1].sum(-1), torch.ones(2, 6), atol=0.05)
    assert torch.allclose(layer.eval()(x, x, x)[1].sum(-1), torch.ones(2, 6))
    assert torch.allclose(layer(x, x, x, average_attn_weights=False)[1].sum(-1), torch.ones(2, 2, 6))
    assert torch.allclose(nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)[1].sum(-1), torch.ones(2, 6))
    assert layer(x, x, x, need_weights=False)[1] is None


@holds("multi-head", "grouped-query (GQA)", "multi-query (MQA)", "one head")
def check_cache_sizes():
    d, H = 512, 8
    for text, groups in [("1,024", H), ("256", 2), ("128", 1)]:
        keys = torch.empty(1, groups, 1, d // H)
        stated(text, 2 * keys.numel())
    assert 2 * torch.empty(1, 1, 1, d).numel() == 1024 > 256 > 128  # one head of size d
    q, k, v = torch.randn(1, 8, 3, 4), torch.randn(1, 2, 5, 4), torch.randn(1, 2, 5, 4)
    grouped = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    full = F.scaled_dot_product_attention(q, k.repeat_interleave(4, 1), v.repeat_interleave(4, 1))
    assert torch.allclose(grouped, full, atol=1e-6)
    single = F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True)
    shared = (part[:, :1].expand(1, 8, 5, 4) for part in (k, v))
    assert torch.allclose(single, F.scaled_dot_product_attention(q, *shared), atol=1e-6)


@holds("Do more heads cost more parameters?")
def check_heads_must_divide_the_width():
    raises(AssertionError, lambda: nn.MultiheadAttention(10, 3), "divisible")


@holds("Then why not $H = d$?")
def check_rank_of_the_scores():
    layer, x = random_layer(12, 6), torch.randn(9, 12, dtype=torch.float64)
    q, k, _ = F.linear(x, layer.in_proj_weight, layer.in_proj_bias).detach().chunk(3, -1)
    assert int(torch.linalg.matrix_rank(q[:, :2] @ k[:, :2].T)) == 2


@holds("What is $W^O$ for?")
def check_heads_write_into_their_own_coordinates():
    layer, x = random_layer(12, 3), torch.randn(7, 12, dtype=torch.float64)
    joined = lambda: F.linear(layer(x, x, x)[0] - layer.out_proj.bias, torch.linalg.inv(layer.out_proj.weight)).detach()
    apart, mixed = joined(), layer(x, x, x)[0].detach()
    with torch.no_grad():
        layer.in_proj_weight[24:28] += 1  # the values of head 1
    apart_after, mixed_after = joined(), layer(x, x, x)[0].detach()
    changed = lambda a, b: ((a - b).abs() > 1e-6).any(0)
    assert torch.equal(changed(apart, apart_after), torch.arange(12) < 4) and changed(mixed, mixed_after).all()


@holds("Then why not $H = d$?")
def check_one_dimensional_heads_prefer_extreme_keys():
    k = torch.tensor([[-1.0], [0.2], [2.0]])
    for q in (-3.0, -0.1, 0.5, 4.0):
        assert int((torch.tensor([[q]]) @ k.T).argmax()) in (0, 2)
    layer, x = random_layer(6, 6), torch.randn(40, 6, dtype=torch.float64)
    weights = layer(x, x, x, average_attn_weights=False)[1]
    keys = F.linear(x, *(p.chunk(3)[1] for p in (layer.in_proj_weight, layer.in_proj_bias)))
    for head in range(6):
        assert set(weights[head].argmax(-1).tolist()) <= {int(keys[:, head].argmin()), int(keys[:, head].argmax())}


@holds("Does self-attention know the order of the tokens?")
def check_permutation_equivariance():
    layer, x, order = random_layer(8, 2, batch_first=True), torch.randn(1, 5, 8, dtype=torch.float64), torch.randperm(5)
    shuffled = x[:, order]
    assert torch.allclose(layer(shuffled, shuffled, shuffled)[0], layer(x, x, x)[0][:, order])
    causal, turned = torch.ones(5, 5, dtype=torch.bool).triu(1), x.flip(1)
    assert not torch.allclose(
        layer(turned, turned, turned, attn_mask=causal)[0], layer(x, x, x, attn_mask=causal)[0].flip(1)
    )


@holds("Cost", "When does the quadratic part dominate?")
def check_multiply_adds():
    for L, d in [(10, 4), (8, 4), (100, 512)]:
        projections = sum(L * d * d for _ in "QKVO")
        attention = L * L * d + L * L * d
        assert projections + attention == 4 * L * d * d + 2 * L * L * d
        assert (attention > projections) == (L > 2 * d)


@holds("Input", "Output")
def check_unbatched_input():
    layer = nn.MultiheadAttention(8, 2)
    query, memory = torch.randn(5, 8), torch.randn(7, 8)
    (alone, weights), (together, _) = (
        layer(query, memory, memory),
        layer(query[:, None], memory[:, None], memory[:, None]),
    )
    assert weights.shape == (5, 7) and torch.allclose(alone, together[:, 0], atol=1e-6)
