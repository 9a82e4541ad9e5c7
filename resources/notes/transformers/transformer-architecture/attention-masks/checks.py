import inspect
import math
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention.bias import causal_lower_right
from torch.utils.flop_counter import FlopCounterMode

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

WEIGHTS = r"""
a_{ij} = \frac{A_{ij} \exp(e_{ij})}{\sum_{l=1}^{S} A_{il} \exp(e_{il})} = \operatorname{softmax}_j (e_{ij} + m_{ij}), \qquad
m_{ij} = \begin{cases} 0 & A_{ij} = 1 \\ -\infty & A_{ij} = 0 \end{cases}
"""
MASKS = r"""
A_{ij}^{\mathrm{pad}} = [j \le n], \quad A_{ij}^{\mathrm{causal}} = [j \le i + S - L], \quad
A_{ij}^{\mathrm{prefix}} = [j \le \max(i, p)], \quad A_{ij}^{\mathrm{window}} = [0 \le i - j < w]
"""
PAIRS = r"\frac{L(L + 1)}{2}, \qquad w L - \frac{w(w - 1)}{2}"

sourced(
    "BERT, arXiv 1810.04805, section 3.1, masked LM",
    "MLM mask",
    "Is BERT's masked language modelling an attention mask?",
)
sourced("UniLM, arXiv 1905.03197, sequence-to-sequence LM", "Prefix")
sourced("Mistral 7B, arXiv 2310.06825, section 2, sliding window attention", "Window")
sourced("FlashAttention-2, arXiv 2307.08691, on causal masking", "Does a causal mask halve the work?")


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
            np.testing.assert_allclose(
                ours, F.scaled_dot_product_attention(q, k, v, attn_mask=mask).numpy(), atol=1e-12
            )
        np.testing.assert_allclose(
            top / top.sum(-1, keepdims=True), (torch.tensor(scores) + bias).softmax(-1).numpy(), atol=1e-12
        )


@holds(
    "Padding",
    "Causal",
    "Prefix",
    "Window",
    "Storage",
    "Why does a single new token with a cache need no causal mask?",
)
@formula(MASKS)
def check_masks():
    for L, S in [(4, 4), (1, 5), (2, 5)]:
        i, j = positions(L, S)
        q, k = torch.randn(1, L, 8, dtype=torch.float64), torch.randn(1, S, 8, dtype=torch.float64)
        ours = F.scaled_dot_product_attention(q, k, k, attn_mask=torch.tensor(j <= i + S - L))
        assert torch.allclose(
            ours, F.scaled_dot_product_attention(q, k, k, attn_mask=causal_lower_right(L, S)), atol=1e-12
        )
    q, k = torch.randn(1, 1, 8, dtype=torch.float64), torch.randn(1, 5, 8, dtype=torch.float64)
    # upper left: the first key only
    assert torch.allclose(F.scaled_dot_product_attention(q, k, k, is_causal=True), k[:, :1])
    i, j = positions(1, 5)
    # the formula: every cached key
    assert (j <= i + 5 - 1).all()
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
        assert window[-1].sum() == w and window[-1, -1]
        for k in (1, 2, 3, 5):
            reach = (np.linalg.matrix_power(window.astype(int), k) > 0).sum(1)
            assert reach[-1] == min(k * (w - 1) + 1, 6) and (reach <= k * (w - 1) + 1).all()
    assert torch.ones(4, 7, dtype=torch.bool).numel() == 4 * 7


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


@holds("Output", "Defaults", "Does a causal mask halve the work?")
def check_defaults_and_work():
    assert inspect.signature(nn.MultiheadAttention.forward).parameters["attn_mask"].default is None
    assert inspect.signature(nn.MultiheadAttention.forward).parameters["is_causal"].default is False
    x = torch.randn(2, 6, 8)
    future = torch.ones(6, 6, dtype=torch.bool).triu(1)
    plain = F.scaled_dot_product_attention(x, x, x)
    assert torch.allclose(plain, F.scaled_dot_product_attention(x, x, x, attn_mask=None, is_causal=False))
    assert torch.allclose(plain, (x @ x.mT / 8**0.5).softmax(-1) @ x, atol=1e-6)
    mha, pad = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.arange(6)[None].repeat(2, 1) > 3
    out = mha(x, x, x, key_padding_mask=pad)[0]
    assert out.shape == mha(x, x, x)[0].shape == x.shape and (out[:, 4:].abs().sum(-1) > 0).all()
    work = []
    for mask in (None, future):
        with FlopCounterMode(display=False) as counter:
            mha(x, x, x, attn_mask=mask)
        work.append(counter.get_total_flops())
    assert work[0] == work[1] > 0


@holds("`nn.MultiheadAttention`", "`scaled_dot_product_attention`")
@pitfall("The mask works the wrong way round")
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
    moved = q.clone()
    moved[:, 3] += 1
    for mask, shows in ((ignore, True), (~ignore, False)):  # the same mask, read as keep: the future shows
        out, other = (F.scaled_dot_product_attention(v, v, v, attn_mask=mask)[0] for v in (q, moved))
        assert all(torch.allclose(out[i], other[i]) is not shows for i in range(3))
    layer = nn.Transformer(8, 2, 1, 1, 16, batch_first=True).eval()
    out, other = (layer(q, v, tgt_mask=ignore) for v in (q, moved))
    assert torch.allclose(out[:, :3], other[:, :3], atol=1e-6) and not torch.allclose(out[:, 3], other[:, 3], atol=1e-3)
    out, other = (layer(q, v, tgt_mask=~ignore) for v in (q, moved))
    assert not torch.allclose(out[:, 0], other[:, 0], atol=1e-3)
    assert mha(q[0], q[0], q[0], key_padding_mask=ignore[0])[0].shape == (4, 8)
    long, window = torch.randn(1, 8, 8), ~torch.ones(8, 8, dtype=torch.bool).tril().triu(-2)
    changed = long.clone()
    changed[:, 2] += 1
    for depth, still in ((1, True), (3, False)):  # three layers reach from query 5 back to key 2
        stack = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), depth, enable_nested_tensor=False
        ).eval()
        out, other = (stack(v, mask=window)[0, 5] for v in (long, changed))
        assert torch.allclose(out, other, atol=1e-6) is still
    heads = nn.MultiheadAttention(8, 2, batch_first=True)
    assert heads(q.repeat(3, 1, 1), q.repeat(3, 1, 1), q.repeat(3, 1, 1), attn_mask=ignore.repeat(6, 1, 1))[
        0
    ].shape == (3, 4, 8)
    hidden = torch.tensor([[False] * 4, [False, True, True, True], [False, False, True, True]])
    weights = heads(q.repeat(3, 1, 1), q.repeat(3, 1, 1), q.repeat(3, 1, 1), key_padding_mask=hidden)[1]
    assert torch.equal(weights == 0, hidden[:, None].expand(3, 4, 4))
    four = torch.randn(3, 2, 4, 8)
    for shape in ((1, 4), (4, 4), (3, 1, 1, 4), (3, 2, 4, 4)):
        keep = torch.rand(shape) < 0.5
        keep[..., 0] = True
        full = F.scaled_dot_product_attention(four, four, four, attn_mask=keep.expand(3, 2, 4, 4))
        assert torch.allclose(F.scaled_dot_product_attention(four, four, four, attn_mask=keep), full, atol=1e-6)


@pitfall("NaN in the first rows after left padding")
def check_left_padding_gives_nan():
    mha = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(1, 4, 8)
    future = torch.ones(4, 4, dtype=torch.bool).triu(1)
    left, right = torch.tensor([[True, False, False, False]]), torch.tensor([[False, False, False, True]])
    out = mha(x, x, x, attn_mask=future, key_padding_mask=left)[0]
    assert out[0, 0].isnan().all() and not out[0, 1:].isnan().any()
    without = lambda: mha(x, x, x, attn_mask=future, key_padding_mask=left, need_weights=False)[0][0, 0]
    assert without().isfinite().all()
    with torch.no_grad():
        assert without().isnan().all()
        as_float = lambda mask: torch.zeros(mask.shape).masked_fill(mask, -math.inf)
        masks = dict(attn_mask=as_float(future), key_padding_mask=as_float(left))
        assert mha(x, x, x, **masks)[0][0, 0].isnan().all()
        assert mha(x, x, x, **masks, need_weights=False)[0].isfinite().all()
        odd, first = nn.MultiheadAttention(8, 1, batch_first=True).eval(), nn.MultiheadAttention(8, 2).eval()
        for other, v in ((odd, x), (first, x.transpose(0, 1))):  # an odd number of heads; the default axis order
            masks = dict(attn_mask=future, key_padding_mask=left)
            assert other(v, v, v, **masks)[0].flatten(0, 1)[0].isnan().all()
            assert other(v, v, v, **masks, need_weights=False)[0].isfinite().all()
    itself = (future | left[:, None, :]) & ~torch.eye(4, dtype=torch.bool)
    cured = mha(x, x, x, attn_mask=itself.repeat_interleave(2, 0))[0]
    assert not cured.isnan().any() and torch.allclose(cured[0, 1:], out[0, 1:], atol=1e-6)
    many, pads = torch.randn(3, 4, 8), torch.tensor([[True] * k + [False] * (4 - k) for k in (0, 1, 2)])
    mask = (future | pads[:, None, :]) & ~torch.eye(4, dtype=torch.bool)
    raises(RuntimeError, lambda: mha(many, many, many, attn_mask=mask), "shape of the 3D attn_mask")
    apart, mixed = (mha(many, many, many, attn_mask=m)[0] for m in (mask.repeat_interleave(2, 0), mask.repeat(2, 1, 1)))
    alone = [mha(*[many[k : k + 1, k:]] * 3, attn_mask=future[k:, k:])[0][0] for k in range(3)]
    assert all(torch.allclose(apart[k, k:], alone[k], atol=1e-6) for k in range(3))
    assert not torch.allclose(mixed[2, 2:], alone[2], atol=1e-3)
    keep = ~future & ~left[:, None, :]
    assert (F.scaled_dot_product_attention(x, x, x, attn_mask=keep)[0, 0] == 0).all()
    assert not mha(x, x, x, attn_mask=future, key_padding_mask=right)[0].isnan().any()  # padded queries have outputs
    moved = x + right[..., None]  # a hidden token still moves its own query
    before, after = (mha(v, v, v, key_padding_mask=right)[0] for v in (x, moved))
    assert torch.allclose(before[:, :3], after[:, :3]) and not torch.allclose(before[:, 3], after[:, 3])


@pitfall('"Explicit attn_mask should not be set when is_causal=True"', "A warning about mismatched masks")
def check_errors_and_warning():
    x = torch.randn(1, 3, 4)
    mha = nn.MultiheadAttention(4, 2, batch_first=True)
    causal = nn.Transformer.generate_square_subsequent_mask(3)
    for call, text in [
        (
            lambda: F.scaled_dot_product_attention(x, x, x, attn_mask=causal, is_causal=True),
            "Explicit attn_mask should not be set when is_causal=True",
        ),
        (lambda: mha(x, x, x, is_causal=True), "Need attn_mask if specifying the is_causal hint"),
    ]:
        raises(RuntimeError, lambda: call(), text)
    for axes in ((3, 5, 8), (3, 2, 5, 8)):  # with a heads axis and without dropout both act
        v, seen, past = torch.randn(axes), torch.rand(5, 5) < 0.5, torch.ones(5, 5, dtype=torch.bool).tril()
        seen[:, 0] = True
        given = lambda p: F.scaled_dot_product_attention(v, v, v, attn_mask=seen, is_causal=True, dropout_p=p)
        raises(RuntimeError, lambda: given(0.1), "Explicit attn_mask")
        if len(axes) == 3:
            raises(RuntimeError, lambda: given(0.0), "Explicit attn_mask")
        else:
            assert torch.allclose(given(0.0), F.scaled_dot_product_attention(v, v, v, attn_mask=seen & past), atol=1e-6)
    number = torch.ones(3, 5, dtype=torch.int64)[:, None, None] & past  # keep has to be boolean
    raises(RuntimeError, lambda: F.scaled_dot_product_attention(v, v, v, attn_mask=number), "attn_mask dtype")
    keep, causal_keep = torch.tensor([True, True, False]), torch.ones(3, 3, dtype=torch.bool).tril()
    both = F.scaled_dot_product_attention(x, x, x, attn_mask=keep & causal_keep)
    ours = (x[0] @ x[0].T / 2).masked_fill(~(keep & causal_keep), -math.inf).softmax(-1) @ x[0]
    assert torch.allclose(both[0], ours, atol=1e-6)
    four, real = torch.randn(3, 2, 3, 4), torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    batch = F.scaled_dot_product_attention(four, four, four, attn_mask=real[:, None, None] & causal_keep)
    for n, heads in enumerate(four):
        alone = F.scaled_dot_product_attention(heads, heads, heads, attn_mask=real[n] & causal_keep)
        assert torch.allclose(batch[n], alone, atol=1e-6)
    three = torch.randn(3, 3, 4)  # without heads: one axis
    batch3 = F.scaled_dot_product_attention(three, three, three, attn_mask=real[:, None] & causal_keep)
    for n, row in enumerate(three):
        alone = F.scaled_dot_product_attention(row, row, row, attn_mask=real[n] & causal_keep)
        assert torch.allclose(batch3[n], alone, atol=1e-6)
    silent = F.scaled_dot_product_attention(three, three, three, attn_mask=real & causal_keep)
    assert not torch.allclose(silent, batch3, atol=1e-3)
    assert torch.equal(real[1:2] & causal_keep, (real[1:2, None, None] & causal_keep)[0, 0])  # N = 1
    silent = F.scaled_dot_product_attention(four, four, four, attn_mask=real & causal_keep)  # N = L
    assert not torch.allclose(silent, batch, atol=1e-3)
    raises(RuntimeError, lambda: real[:2] & causal_keep, "must match the size")
    torch.set_warn_always(True)
    for mask, expected in ((causal, True), (causal != 0, False)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mha(x, x, x, attn_mask=mask, key_padding_mask=~keep[None])
        assert any("mismatched" in str(w.message) for w in caught) is expected
    assert causal.is_floating_point()


@holds("Float masks")
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


@holds("Why $-\\infty$ and not −10,000?")
def check_finite_masks_leak():
    scores = torch.tensor([-10000.0, 2.0, 3.0])
    leaking = (scores + torch.tensor([0.0, -10000, -10000])).softmax(0)
    assert leaking[1:].sum() > 0.9
    assert torch.allclose((torch.tensor([0.5, 0.5]) - 10000).softmax(0), torch.tensor([0.5, 0.5]))
    # all masked: padding shares the weight
    assert torch.isclose((torch.randn(4) - 10000).softmax(0).sum(), torch.tensor(1.0))


@pitfall("Padding still changes the loss")
def check_padded_queries_enter_losses():
    layer, head = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), nn.Linear(8, 5)
    x, pad, labels = torch.randn(1, 4, 8), torch.tensor([[False, False, True, True]]), torch.tensor([[1, 3, 0, 0]])
    out, other = (layer(v, src_key_padding_mask=pad) for v in (x, x + 3 * torch.randn_like(x) * pad[..., None]))
    loss = lambda h, y: F.cross_entropy(head(h).flatten(0, 1), y.flatten())
    assert not torch.isclose(loss(out, labels), loss(other, labels), atol=1e-3)
    assert not torch.allclose(out.mean(1), other.mean(1), atol=1e-3)
    ignored = labels.masked_fill(pad, -100)
    assert torch.isclose(loss(out, ignored), loss(other, ignored), atol=1e-6)
    pooled = lambda h: (h * ~pad[..., None]).sum(1) / (~pad).sum(1, keepdim=True)
    assert torch.allclose(pooled(out), pooled(other), atol=1e-6)
