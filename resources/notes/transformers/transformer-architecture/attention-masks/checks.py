import math
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention.bias import causal_lower_right

from note_checks import check, formula, raises, stated

WEIGHTS = r"""
a_{ij} = \frac{A_{ij} \exp(e_{ij})}{\sum_{l=1}^{S} A_{il} \exp(e_{il})} = \operatorname{softmax}_j (e_{ij} + m_{ij}), \qquad
m_{ij} = \begin{cases} 0 & A_{ij} = 1 \\ -\infty & A_{ij} = 0 \end{cases}
"""
MASKS = r"""
A_{ij}^{\mathrm{pad}} = [j \le n], \quad A_{ij}^{\mathrm{causal}} = [j \le i + S - L], \quad
A_{ij}^{\mathrm{prefix}} = [j \le \max(i, p)], \quad A_{ij}^{\mathrm{window}} = [0 \le i - j < w]
"""
PAIRS = r"\frac{L(L + 1)}{2}, \qquad w L - \frac{w(w - 1)}{2}"


def positions(L, S):
    """Queries and keys counted from 1, as in the article."""
    return np.arange(1, L + 1)[:, None], np.arange(1, S + 1)[None, :]


@formula(WEIGHTS)
def check_weights():
    for L, S, d in [(1, 1, 2), (3, 5, 4), (7, 7, 16)]:
        q, k, v = (torch.randn(2, n, d, dtype=torch.float64) for n in (L, S, S))
        allowed = torch.rand(2, L, S) < 0.5
        allowed[..., 0] = True
        scores = (q @ k.transpose(-2, -1) / math.sqrt(d)).numpy()
        top = allowed.numpy() * np.exp(scores)
        ours = top / top.sum(-1, keepdims=True) @ v.numpy()
        bias = torch.zeros(allowed.shape, dtype=torch.float64).masked_fill(~allowed, -math.inf)
        for mask in (allowed, bias):
            np.testing.assert_allclose(ours, F.scaled_dot_product_attention(q, k, v, attn_mask=mask).numpy(), atol=1e-12)
        np.testing.assert_allclose(top / top.sum(-1, keepdims=True), (torch.tensor(scores) + bias).softmax(-1).numpy(), atol=1e-12)


@formula(MASKS)
def check_masks():
    for L, S in [(4, 4), (1, 5), (2, 5)]:
        i, j = positions(L, S)
        q, k = torch.randn(1, L, 8, dtype=torch.float64), torch.randn(1, S, 8, dtype=torch.float64)
        ours = F.scaled_dot_product_attention(q, k, k, attn_mask=torch.tensor(j <= i + S - L))
        assert torch.allclose(ours, F.scaled_dot_product_attention(q, k, k, attn_mask=causal_lower_right(L, S)), atol=1e-12)
    q, k = torch.randn(1, 1, 8, dtype=torch.float64), torch.randn(1, 5, 8, dtype=torch.float64)
    assert torch.allclose(F.scaled_dot_product_attention(q, k, k, is_causal=True), k[:, :1])    # upper left: the first key only
    i, j = positions(6, 6)
    assert torch.equal(torch.tensor(j <= i), nn.Transformer.generate_square_subsequent_mask(6) == 0)
    for n in (1, 4, 6):
        x = torch.randn(1, 6, 8, dtype=torch.float64)
        mha = nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
        short = mha(x, x[:, :n], x[:, :n])[0]
        assert torch.allclose(mha(x, x, x, key_padding_mask=~torch.tensor(j <= n))[0], short)
    for p in (0, 3, 6):
        prefix = j <= np.maximum(i, p)
        assert prefix[:p, :p].all() and not prefix[:p, p:].any() and (prefix[p:] == (j <= i)[p:]).all()
        assert prefix.sum() == p * p + (6 * 7 - p * (p + 1)) // 2
    for w in (1, 3, 6):
        window = (0 <= i - j) & (i - j < w)
        assert (window == (np.tril(np.ones((6, 6))) - np.tril(np.ones((6, 6)), -w)).astype(bool)).all()
        reach = np.linalg.matrix_power(window.astype(int), 2)[-1] > 0
        assert reach.sum() == min(2 * (w - 1) + 1, 6)


@formula(PAIRS)
def check_pairs():
    for L in (1, 6, 40):
        assert L * (L + 1) / 2 == torch.ones(L, L).tril().sum()
        i, j = positions(L, L)
        for w in range(1, L + 1):
            assert w * L - w * (w - 1) / 2 == ((0 <= i - j) & (i - j < w)).sum()
    stated("36", 6 * 6)
    stated("21", (nn.Transformer.generate_square_subsequent_mask(6) == 0).sum())
    i, j = positions(6, 6)
    stated("15", ((0 <= i - j) & (i - j < 3)).sum())


@check
def check_by_hand():
    scores = torch.tensor([1.0, 0.0, 2.0])
    for text, value in zip(["0.2447", "0.0900", "0.6652"], scores.softmax(0)):
        stated(text, value)
    for text, value in zip(["0.7311", "0.2689"], (scores + torch.tensor([0, 0, -math.inf])).softmax(0)):
        stated(text, value)
    stated("0.4223", (scores + torch.tensor([1.0, 1, 0])).softmax(0)[2])


@check
def check_polarity():
    q = torch.randn(1, 4, 8)
    mha = nn.MultiheadAttention(8, 1, batch_first=True)
    with torch.no_grad():
        mha.in_proj_weight.copy_(torch.eye(8).repeat(3, 1))
        mha.out_proj.weight.copy_(torch.eye(8))
    ignore = torch.ones(4, 4, dtype=torch.bool).triu(1)
    ours = mha(q, q, q, attn_mask=ignore)[0]
    assert torch.allclose(ours, F.scaled_dot_product_attention(q, q, q, attn_mask=~ignore), atol=1e-6)
    assert torch.allclose(ours, F.scaled_dot_product_attention(q, q, q, is_causal=True), atol=1e-6)
    assert mha(q[0], q[0], q[0], key_padding_mask=ignore[0])[0].shape == (4, 8)
    heads = nn.MultiheadAttention(8, 2, batch_first=True)
    assert heads(q.repeat(3, 1, 1), q.repeat(3, 1, 1), q.repeat(3, 1, 1), attn_mask=ignore.repeat(6, 1, 1))[0].shape == (3, 4, 8)


@check
def check_left_padding_gives_nan():
    mha = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(1, 4, 8)
    future = torch.ones(4, 4, dtype=torch.bool).triu(1)
    left, right = torch.tensor([[True, False, False, False]]), torch.tensor([[False, False, False, True]])
    out = mha(x, x, x, attn_mask=future, key_padding_mask=left)[0]
    assert out[0, 0].isnan().all() and not out[0, 1:].isnan().any()
    keep = ~future & ~left[:, None, :]
    assert (F.scaled_dot_product_attention(x, x, x, attn_mask=keep)[0, 0] == 0).all()
    assert not mha(x, x, x, attn_mask=future, key_padding_mask=right)[0].isnan().any()  # padded queries have outputs
    moved = x + right[..., None]  # a hidden token still moves its own query
    before, after = (mha(v, v, v, key_padding_mask=right)[0] for v in (x, moved))
    assert torch.allclose(before[:, :3], after[:, :3]) and not torch.allclose(before[:, 3], after[:, 3])


@check
def check_errors_and_warning():
    x = torch.randn(1, 3, 4)
    mha = nn.MultiheadAttention(4, 2, batch_first=True)
    causal = nn.Transformer.generate_square_subsequent_mask(3)
    for call, text in [
        (lambda: F.scaled_dot_product_attention(x, x, x, attn_mask=causal, is_causal=True), "Explicit attn_mask should not be set when is_causal=True"),
        (lambda: mha(x, x, x, is_causal=True), "Need attn_mask if specifying the is_causal hint"),
    ]:
        raises(RuntimeError, lambda: call(), text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mha(x, x, x, attn_mask=causal, key_padding_mask=torch.tensor([[False, False, True]]))
    assert any("mismatched" in str(w.message) for w in caught) and causal.is_floating_point()


@check
def check_fast_path_reads_float_masks_as_boolean():
    layer, x = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), torch.randn(2, 4, 8)
    soft = -(torch.arange(4.0)[:, None] - torch.arange(4.0)).abs()
    with torch.no_grad():
        fast = layer(x, src_mask=soft)
        assert torch.allclose(fast, layer(x, src_mask=soft != 0), atol=1e-6)
    assert not torch.allclose(fast, layer(x, src_mask=soft), atol=1e-3)
    odd = nn.TransformerEncoderLayer(8, 1, 16, batch_first=True).eval()
    with torch.no_grad():
        slow = odd(x, src_mask=soft)
    assert torch.allclose(slow, odd(x, src_mask=soft), atol=1e-6)
    mha = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    with torch.no_grad():
        fast = mha(x, x, x, attn_mask=soft)[0]
    assert torch.allclose(fast, mha(x, x, x, attn_mask=soft)[0], atol=1e-6)


@check
def check_finite_masks_leak():
    scores = torch.tensor([-10000.0, 2.0, 3.0])
    leaking = (scores + torch.tensor([0.0, -10000, -10000])).softmax(0)
    assert leaking[1:].sum() > 0.9
    assert torch.allclose((torch.tensor([0.5, 0.5]) - 10000).softmax(0), torch.tensor([0.5, 0.5]))
