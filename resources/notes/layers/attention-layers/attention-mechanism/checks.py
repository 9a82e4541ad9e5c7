import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention.bias import causal_lower_right

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

SUM = r"""
o_i = \sum_{j=1}^{S} a_{ij} v_j, \qquad
a_{ij} = \frac{\exp(e_{ij})}{\sum_{l=1}^{S} \exp(e_{il})}, \qquad
e_{ij} = \frac{q_i^\top k_j}{\sqrt{d}} + m_{ij}
"""
MATRIX = r"\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d}} + M\right) V"
GRADIENT = r"\frac{\partial o_i}{\partial e_{ij}} = a_{ij} (v_j - o_i)"
ADDITIVE = r"e_{ij} = w^\top \tanh(W_q q_i + W_k k_j)"

by_definition("Parameters", "Cost")
sourced("Bahdanau et al., arXiv 1409.0473, section 3.1", "additive (Bahdanau)")
sourced("Attention Is All You Need, arXiv 1706.03762, section 3.2.2", "multi-head")
sourced("Show, Attend and Tell, arXiv 1502.03044, section 4.1", "Soft and hard attention?")
sourced("FlashAttention, arXiv 2205.14135, abstract and theorem 1", "What does FlashAttention change?")

sdpa = F.scaled_dot_product_attention


def weights_of(scores):
    """The softmax of each row, by its definition."""
    return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)


def attended(q, k, v, mask):
    """The sums of the article, one query and one key at a time."""
    L, S, d = len(q), len(k), q.shape[-1]
    out = np.zeros((L, v.shape[-1]))
    for i in range(L):
        e = [sum(q[i] * k[j]) / math.sqrt(d) + mask[i, j] for j in range(S)]
        total = sum(math.exp(score) for score in e)
        for j in range(S):
            out[i] += math.exp(e[j]) / total * v[j]
    return out


def random_case(L, S, d, dv):
    q, k, v = (torch.randn(shape, dtype=torch.float64) for shape in ((L, d), (S, d), (S, dv)))
    mask = torch.randn(L, S, dtype=torch.float64).masked_fill(torch.rand(L, S) < 0.3, -math.inf)
    mask[:, 0] = 0.5
    return q, k, v, mask


@formula(SUM, MATRIX)
@holds("Input", "Output", "scaled dot product", "Cost")
def check_equals_the_library():
    for L, S, d, dv in [(3, 5, 4, 6), (1, 1, 1, 1), (7, 2, 16, 3), (2, 9, 3, 5)]:
        q, k, v, mask = random_case(L, S, d, dv)
        library = sdpa(q, k, v, attn_mask=mask).numpy()
        np.testing.assert_allclose(attended(q.numpy(), k.numpy(), v.numpy(), mask.numpy()), library, atol=1e-12)
        matrix = weights_of(q.numpy() @ k.numpy().T / math.sqrt(d) + mask.numpy())
        np.testing.assert_allclose(matrix @ v.numpy(), library, atol=1e-12)
        np.testing.assert_allclose(matrix.sum(-1), np.ones(L))


@formula(GRADIENT)
def check_gradient():
    for L, S, d, dv in [(3, 5, 4, 6), (1, 2, 8, 1), (2, 1, 3, 4)]:
        q, k, v, mask = random_case(L, S, d, dv)
        jacobian = torch.autograd.functional.jacobian(lambda m: sdpa(q, k, v, attn_mask=m), mask).numpy()
        a = weights_of(q.numpy() @ k.numpy().T / math.sqrt(d) + mask.numpy())
        o = a @ v.numpy()
        for i in range(L):
            for j in range(S):
                np.testing.assert_allclose(jacobian[i, :, i, j], a[i, j] * (v.numpy()[j] - o[i]), atol=1e-12)


@formula(ADDITIVE)
@holds("additive (Bahdanau)")
def check_additive_score():
    for L, S, dq, dk, hidden in [(3, 5, 4, 6, 8), (1, 1, 2, 2, 1)]:
        project_q, project_k = nn.Linear(dq, hidden, bias=False).double(), nn.Linear(dk, hidden, bias=False).double()
        score = nn.Linear(hidden, 1, bias=False).double()
        q, k = torch.randn(L, dq, dtype=torch.float64), torch.randn(S, dk, dtype=torch.float64)
        library = score(torch.tanh(project_q(q)[:, None] + project_k(k)[None])).squeeze(-1).detach().numpy()
        W_q, W_k, w = (layer.weight.detach().numpy() for layer in (project_q, project_k, score))
        for i in range(L):
            for j in range(S):
                np.testing.assert_allclose(
                    w[0] @ np.tanh(W_q @ q.numpy()[i] + W_k @ k.numpy()[j]), library[i, j], atol=1e-12
                )


@check
def check_worked_example():
    q = torch.tensor([[2.0, 0, 0, 0]], dtype=torch.float64)
    k = torch.tensor([[2.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.float64)
    assert (q @ k.T).tolist() == [[4, 2, 0]]
    for text, weight in zip(["0.6652", "0.2447", "0.0900"], sdpa(q, k, torch.eye(3).double())[0]):
        stated(text, weight)
    stated("15.148", sdpa(q, k, torch.tensor([[10.0], [20], [40]]).double()))


@check
def check_variance_of_the_dot_product_is_d():
    for d in (4, 64):
        products = (torch.randn(200_000, d) * torch.randn(200_000, d)).sum(-1)
        assert abs(float(products.var()) / d - 1) < 0.02


@holds("Defaults", "Input", "Output")
def check_scale_decides_the_softness():
    q, k, v = torch.randn(2, 8), torch.randn(5, 8), torch.randn(5, 3)
    assert torch.allclose(sdpa(q, k, v, scale=0.0), v.mean(0).expand(2, 3), atol=1e-6)
    assert torch.allclose(sdpa(q, k, v, scale=1e4), v[(q @ k.T).argmax(-1)], atol=1e-5)
    spelled = sdpa(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=8**-0.5, enable_gqa=False)
    assert torch.allclose(sdpa(q, k, v), spelled) and torch.is_tensor(spelled)
    raises(RuntimeError, lambda: sdpa(q.long(), k.long(), v.long()))
    raises(RuntimeError, lambda: sdpa(q, k.double(), v), "same dtype")
    raises(RuntimeError, lambda: sdpa(torch.randn(1, 4, 2, 8), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)))
    assert sdpa(torch.randn(6, 4, 2, 8), torch.randn(6, 4, 5, 8), torch.randn(6, 4, 5, 3)).shape == (6, 4, 2, 3)


@holds("dot product (Luong)")
def check_largest_weight_of_random_vectors():
    q, k, unit = torch.randn(20_000, 1, 64), torch.randn(20_000, 16, 64), torch.eye(16).expand(20_000, 16, 16)
    for text, mean, scale in (("0.84", 0.844, 1.0), ("0.25", 0.246, None)):  # of 1.5 million samples: 0.8440, 0.2458
        assert abs(float(sdpa(q, k, unit, scale=scale).amax(-1).mean()) - mean) < 0.006
        stated(text, mean)
    small = sdpa(q[..., :4], k[..., :4], unit, scale=1.0).amax(-1).mean()  # no scaling: soft at d = 4, hard at 64
    assert small < 0.55


@pitfall("The model attends exactly to the padding")
def check_mask_polarity():
    q, k, v = torch.randn(1, 3, 4), torch.randn(1, 5, 4), torch.randn(1, 5, 4)
    keep = torch.tensor([True, True, True, False, False])
    assert torch.allclose(sdpa(q, k, v, attn_mask=keep), sdpa(q, k[:, :3], v[:, :3]), atol=1e-6)
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    ignored = attention(q, k, v, key_padding_mask=~keep[None])[0]
    assert torch.allclose(ignored, attention(q, k[:, :3], v[:, :3])[0], atol=1e-6)
    many, padding = torch.randn(2, 3, 5, 4), torch.tensor([[False] * 3 + [True] * 2, [False] * 5])
    wrong = sdpa(many[:1], many[:1], many[:1], attn_mask=padding[:1, None, None, :])
    assert torch.allclose(wrong[0], sdpa(many[0], many[0, :, 3:], many[0, :, 3:]), atol=1e-6)
    wrong = attention(q, k, v, attn_mask=keep.expand(3, 5))[0]
    assert torch.allclose(wrong, attention(q, k[:, 3:], v[:, 3:])[0], atol=1e-6)
    heads = sdpa(many, many, many, attn_mask=~padding[:, None, None, :])
    assert torch.allclose(heads[0], sdpa(many[0], many[0, :, :3], many[0, :, :3]), atol=1e-6)
    assert torch.allclose(heads[1], sdpa(many[1], many[1], many[1]), atol=1e-6)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    padded = layer(k, src_key_padding_mask=~keep[None])[:, :3]
    assert torch.allclose(padded, layer(k[:, :3]), atol=1e-5)


@pitfall("A 0/1 float mask hides nothing")
def check_float_masks_are_added():
    q, k = torch.randn(3, 4).double(), torch.randn(5, 4).double()
    mask = torch.tensor([1.0, 1, 1, 0, 0]).double()
    weights, plain = sdpa(q, k, torch.eye(5).double(), attn_mask=mask), sdpa(q, k, torch.eye(5).double())
    assert (weights > 0).all()
    ratio = (weights[:, 0] / weights[:, 4]) / (plain[:, 0] / plain[:, 4])
    assert torch.allclose(ratio, torch.full((3,), math.e).double())
    for hiding in (mask.bool(), torch.zeros(5).double().masked_fill(mask == 0, -math.inf)):
        weights = sdpa(q, k, torch.eye(5).double(), attn_mask=hiding)
        assert torch.equal(weights[:, 3:], torch.zeros(3, 2).double()) and torch.allclose(
            weights.sum(1), torch.ones(3).double()
        )
    attention = nn.MultiheadAttention(4, 2).double()
    assert (attention(q, k, k, attn_mask=mask.expand(3, 5))[1] > 0).all()
    for hiding in (~mask.bool(), torch.zeros(5).double().masked_fill(mask == 0, -math.inf)):
        weights = attention(q, k, k, attn_mask=hiding.expand(3, 5))[1]
        assert (weights[:, 3:] == 0).all() and (weights[:, :3] > 0).all()


@holds("Same in train and eval?")
@pitfall("Predictions stay random after `model.eval()`")
def check_dropout_ignores_the_mode():
    class Block(nn.Module):
        p = 0.5

        def forward(self, x, aware):
            return sdpa(x, x, x, dropout_p=(self.p if self.training else 0.0) if aware else self.p)

    block, x = Block().eval(), torch.randn(1, 16, 8)
    assert not torch.allclose(block(x, False), block(x, False))
    assert torch.equal(block(x, True), block(x, True)) and torch.equal(block(x, True), sdpa(x, x, x))
    assert not torch.allclose(block.train()(x, True), block(x, True))


@pitfall("With a KV cache every new token sees only the first key")
def check_causal_alignment():
    q, k, v = torch.randn(1, 1, 1, 4), torch.randn(1, 1, 6, 4), torch.randn(1, 1, 6, 4)
    assert torch.allclose(sdpa(q, k, v, is_causal=True), v[:, :, :1], atol=1e-6)
    q = torch.randn(1, 1, 3, 4)
    lower_right = torch.ones(3, 6, dtype=torch.bool).tril(3)
    assert torch.allclose(
        sdpa(q, k, v, attn_mask=causal_lower_right(3, 6)), sdpa(q, k, v, attn_mask=lower_right), atol=1e-6
    )
    raises(ValueError, lambda: sdpa(q, k, v, attn_mask=causal_lower_right(3, 6), is_causal=True))
    assert torch.allclose(sdpa(q[:, :, -1:], k, v), sdpa(q, k, v, attn_mask=lower_right)[:, :, -1:], atol=1e-6)


@pitfall("NaN in rows whose keys are all masked")
def check_fully_masked_row():
    q, k, v = torch.randn(1, 3, 4), torch.randn(1, 5, 4), torch.randn(1, 5, 4)
    keep = torch.ones(3, 5, dtype=torch.bool)
    keep[1] = False
    assert torch.equal(sdpa(q, k, v, attn_mask=keep)[0, 1], torch.zeros(4))
    added = torch.zeros(3, 5).masked_fill(~keep, -math.inf)
    assert torch.equal(sdpa(q[None], k[None], v[None], attn_mask=added)[0, 0, 1], torch.zeros(4))
    assert (q @ k.transpose(-2, -1)).masked_fill(~keep, -math.inf).softmax(-1)[0, 1].isnan().all()
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    out = attention(q, k, v, attn_mask=~keep)[0]
    assert out[0, 1].isnan().all() and not out[0, [0, 2]].isnan().any()
    assert not attention(q, k, v, attn_mask=~keep, need_weights=False)[0].isnan().any()
    attention.eval()
    forbidden = torch.zeros(5, 5, dtype=torch.bool)
    forbidden[1] = True
    with torch.no_grad():
        assert attention(k, k, k, attn_mask=forbidden, need_weights=False)[0][0, 1].isnan().all()
    assert not attention(k, k, k, attn_mask=forbidden, need_weights=False)[0].isnan().any()
    keep[1, 0], allowed = True, forbidden.clone()
    allowed[1, 0] = False
    assert (q @ k.transpose(-2, -1)).masked_fill(~keep, -math.inf).softmax(-1).isfinite().all()
    with torch.no_grad():
        for weights in (True, False):
            assert attention(q, k, v, attn_mask=~keep, need_weights=weights)[0].isfinite().all()
            assert attention(k, k, k, attn_mask=allowed, need_weights=weights)[0].isfinite().all()
    for other in (nn.MultiheadAttention(4, 2).eval(), nn.MultiheadAttention(4, 1, batch_first=True).eval()):
        with torch.no_grad():
            square = k.repeat(5, 1, 1)
            assert not other(square, square, square, attn_mask=forbidden, need_weights=False)[0].isnan().any()


@holds("multi-head", "Self-attention or cross-attention?")
def check_heads_are_attention_between_projections():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    queries, memory = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    for x, y in ((queries, queries), (queries, memory)):  # within one sequence, and between two
        parts = zip((x, y, y), layer.in_proj_weight.chunk(3))
        q, k, v = (F.linear(z, w).unflatten(-1, (2, 4)).transpose(1, 2) for z, w in parts)
        assert torch.allclose(layer.out_proj(sdpa(q, k, v).transpose(1, 2).flatten(2)), layer(x, y, y)[0], atol=1e-6)


@holds("Soft and hard attention?")
def check_hard_attention_has_no_gradient():
    q, k, v = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4), torch.randn(5, 2)
    assert torch.autograd.grad(sdpa(q, k, v).square().sum(), q)[0].abs().sum() > 0
    assert not v[(q @ k.T).argmax(-1)].requires_grad


@holds("What does FlashAttention change?")
def check_blocks_with_a_running_softmax():
    q, k, v = torch.randn(6, 8).double(), torch.randn(40, 8).double(), torch.randn(40, 3).double()
    top, total, out = torch.full((6, 1), -math.inf).double(), torch.zeros(6, 1).double(), torch.zeros(6, 3).double()
    for keys, values in zip(k.split(7), v.split(7)):
        scores = q @ keys.T / math.sqrt(8)
        higher = torch.maximum(top, scores.amax(1, keepdim=True))
        shares, shrink = (scores - higher).exp(), (top - higher).exp()
        top, total, out = higher, total * shrink + shares.sum(1, keepdim=True), out * shrink + shares @ values
    assert torch.allclose(out / total, sdpa(q, k, v))


@holds("Does attention know the order of the keys?")
def check_order_of_keys_does_not_matter():
    q, k, v = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5, 6)
    order = torch.randperm(5)
    assert torch.allclose(sdpa(q, k[order], v[order]), sdpa(q, k, v), atol=1e-6)
    turned, mask = torch.arange(5).flip(0), torch.ones(3, 5, dtype=torch.bool).tril()
    assert not torch.allclose(sdpa(q, k[turned], v[turned], attn_mask=mask), sdpa(q, k, v, attn_mask=mask), atol=1e-3)
    position = torch.randn(5, 4)  # stays where it is when the keys move
    assert not torch.allclose(sdpa(q, k[turned] + position, v[turned]), sdpa(q, k + position, v), atol=1e-4)
