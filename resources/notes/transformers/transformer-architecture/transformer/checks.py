import math
import warnings

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

warnings.simplefilter("ignore")

POST_NORM = (
    r"y = \operatorname{LN}_1(x + \operatorname{MHA}(x)), \qquad z = \operatorname{LN}_2(y + \operatorname{FFN}(y))"
)
PRE_NORM = (
    r"y = x + \operatorname{MHA}(\operatorname{LN}_1(x)), \qquad z = y + \operatorname{FFN}(\operatorname{LN}_2(y))"
)
FFN = r"\operatorname{FFN}(y) = \max(0, \, y W_1 + b_1) \, W_2 + b_2"
POSITIONS = r"""
\operatorname{PE}_{p,2i} = \sin\left(\frac{p}{10000^{2i/d}}\right), \qquad \operatorname{PE}_{p,2i+1} = \cos\left(\frac{p}{10000^{2i/d}}\right)
"""
PARAMETERS = r"P_{\text{enc}} = 4d^2 + 2df + 9d + f, \qquad P_{\text{dec}} = 8d^2 + 2df + 15d + f"


sourced("BERT, arXiv 1810.04805; An Image is Worth 16x16 Words, arXiv 2010.11929", "encoder only")
sourced("Language Models are Unsupervised Multitask Learners (GPT-2)", "decoder only")
sourced("Attention Is All You Need, arXiv 1706.03762", "encoder-decoder")
sourced("On Layer Normalization in the Transformer Architecture, arXiv 2002.04745", "What does pre-norm change?")


def count(module):
    return sum(p.numel() for p in module.parameters())


def numbers(parameter):
    return parameter.detach().numpy()


def layer_norm(x, norm):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + norm.eps) * numbers(norm.weight) + numbers(norm.bias)


def attention(x, y, layer, mask=0.0):
    """Multi-head attention of one sample, in NumPy."""
    d, H = layer.embed_dim, layer.num_heads
    weight, bias = np.split(numbers(layer.in_proj_weight), 3), np.split(numbers(layer.in_proj_bias), 3)
    q, k, v = (source @ w.T + b for source, w, b in zip((x, y, y), weight, bias))
    heads = []
    for part in np.split(np.arange(d), H):
        scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(d // H) + mask)
        heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
    return np.concatenate(heads, -1) @ numbers(layer.out_proj.weight).T + numbers(layer.out_proj.bias)


def feed_forward(y, layer):
    hidden = np.maximum(0, y @ numbers(layer.linear1.weight).T + numbers(layer.linear1.bias))
    return hidden @ numbers(layer.linear2.weight).T + numbers(layer.linear2.bias)


def randomised(layer):
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer.double()


@formula(POST_NORM, FFN)
def check_post_norm_encoder_layer():
    for L, d, H, f in [(5, 8, 2, 16), (1, 4, 1, 3), (7, 12, 3, 20)]:
        layer = randomised(nn.TransformerEncoderLayer(d, H, f, dropout=0.0))
        x = torch.randn(L, 1, d, dtype=torch.float64)
        xn = x[:, 0].numpy()
        y = layer_norm(xn + attention(xn, xn, layer.self_attn), layer.norm1)
        z = layer_norm(y + feed_forward(y, layer), layer.norm2)
        np.testing.assert_allclose(z, layer(x)[:, 0].detach().numpy(), atol=1e-10)


@formula(PRE_NORM)
def check_pre_norm_encoder_layer():
    for L, d, H, f in [(5, 8, 2, 16), (1, 4, 1, 3), (7, 12, 3, 20)]:
        layer = randomised(nn.TransformerEncoderLayer(d, H, f, dropout=0.0, norm_first=True))
        x = torch.randn(L, 1, d, dtype=torch.float64)
        xn = x[:, 0].numpy()
        normed = layer_norm(xn, layer.norm1)
        y = xn + attention(normed, normed, layer.self_attn)
        z = y + feed_forward(layer_norm(y, layer.norm2), layer)
        np.testing.assert_allclose(z, layer(x)[:, 0].detach().numpy(), atol=1e-10)


@check
def check_decoder_layer_has_three_parts():
    T, S, d = 4, 6, 8
    layer = randomised(nn.TransformerDecoderLayer(d, 2, 16, dropout=0.0))
    tgt, memory = torch.randn(T, 1, d, dtype=torch.float64), torch.randn(S, 1, d, dtype=torch.float64)
    causal = nn.Transformer.generate_square_subsequent_mask(T, dtype=torch.float64)
    x, m = tgt[:, 0].numpy(), memory[:, 0].numpy()
    x = layer_norm(x + attention(x, x, layer.self_attn, causal.numpy()), layer.norm1)
    x = layer_norm(x + attention(x, m, layer.multihead_attn), layer.norm2)
    x = layer_norm(x + feed_forward(x, layer), layer.norm3)
    np.testing.assert_allclose(x, layer(tgt, memory, tgt_mask=causal)[:, 0].detach().numpy(), atol=1e-10)


@formula(POSITIONS)
def check_position_encoding():
    for d in (4, 16, 512):
        p, i = np.arange(50)[:, None], np.arange(d // 2)[None]
        ours = np.zeros((50, d))
        ours[:, 0::2], ours[:, 1::2] = np.sin(p / 10000 ** (2 * i / d)), np.cos(p / 10000 ** (2 * i / d))
        rates = torch.exp(torch.arange(0, d, 2, dtype=torch.float64) * (-math.log(10000.0) / d))
        turned = torch.polar(torch.ones(50, d // 2, dtype=torch.float64), torch.arange(50)[:, None] * rates)
        np.testing.assert_allclose(ours, torch.stack([turned.imag, turned.real], -1).flatten(1).numpy(), atol=1e-12)
    for text, value in zip(
        ["0.8415", "0.5403", "0.0100", "1.0000"], [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)]
    ):
        stated(text, value)
    small = [
        math.sin(1 / 10000**0),
        math.cos(1 / 10000**0),
        math.sin(1 / 10000 ** (2 / 4)),
        math.cos(1 / 10000 ** (2 / 4)),
    ]
    np.testing.assert_allclose(small, [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)])


@formula(PARAMETERS)
@holds("Where do most parameters of an encoder layer sit?")
def check_parameters():
    for d, H, f in [(512, 8, 2048), (8, 2, 5), (4, 1, 16)]:
        assert count(nn.TransformerEncoderLayer(d, H, f)) == 4 * d * d + 2 * d * f + 9 * d + f
        assert count(nn.TransformerDecoderLayer(d, H, f)) == 8 * d * d + 2 * d * f + 15 * d + f
    layer = nn.TransformerEncoderLayer(512, 8)
    stated("1,050,624", count(layer.self_attn))
    stated("2,099,712", count(layer.linear1) + count(layer.linear2))
    stated("2,048", count(layer.norm1) + count(layer.norm2))
    stated("3,152,384", count(layer))
    stated("4,204,032", count(nn.TransformerDecoderLayer(512, 8)))
    share = (count(layer.linear1) + count(layer.linear2)) / count(layer)
    assert abs(share - 2 / 3) < 0.001 and layer.linear1.out_features == 4 * 512


@holds("Parameters", "Defaults")
def check_whole_model():
    model = nn.Transformer()
    stated("44,140,544", count(model))
    stated("2,048", count(model.encoder.norm) + count(model.decoder.norm))
    assert 6 * 3152384 + 6 * 4204032 + 2048 == count(model)
    layer = model.encoder.layers[0]
    assert (model.d_model, model.nhead, model.batch_first, len(model.encoder.layers), len(model.decoder.layers)) == (
        512,
        8,
        False,
        6,
        6,
    )
    assert (layer.linear1.out_features, layer.dropout.p, layer.norm_first, layer.activation) == (
        2048,
        0.1,
        False,
        nn.functional.relu,
    )
    assert not any(isinstance(part, nn.Embedding) for part in model.modules())
    assert [name for name, _ in model.named_children()] == ["encoder", "decoder"]


@holds("Input", "Output")
def check_shapes():
    model = nn.Transformer(8, 2, 1, 1, 16)
    assert model(torch.randn(5, 3, 8), torch.randn(4, 3, 8)).shape == (4, 3, 8)
    assert model(torch.randn(5, 8), torch.randn(4, 8)).shape == (4, 8)
    raises(RuntimeError, lambda: model(torch.randint(8, (5, 3)), torch.randint(8, (4, 3))))


@holds("Cost")
def check_cost_of_an_encoder_layer():
    for L, d, H, f in [(7, 8, 2, 16), (20, 4, 1, 5)]:
        layer = nn.TransformerEncoderLayer(d, H, f)
        with FlopCounterMode(display=False) as counter:
            layer(torch.randn(L, 1, d))
        assert counter.get_total_flops() == 2 * (2 * L * L * d + 4 * L * d * d + 2 * L * d * f)


def changed(work, x, place):
    """Which positions of the output differ when the input at one place does."""
    other = x.clone()
    other[:, place] += torch.randn(x.shape[-1])
    return ((work(x) - work(other)).abs() > 1e-6).any(-1)[0].tolist()


@holds("encoder only", "decoder only", "encoder-decoder", "LSTM, one direction")
def check_what_a_token_reads():
    x, memory = torch.randn(1, 5, 8), torch.randn(1, 4, 8)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    decoder = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    lstm, causal = nn.LSTM(8, 6, batch_first=True), nn.Transformer.generate_square_subsequent_mask(5)
    later = [False, False, True, True, True]
    assert changed(encoder, x, 2) == [True] * 5 and encoder(x).shape == x.shape
    assert changed(lambda v: encoder(v, src_mask=causal), x, 2) == later
    assert changed(lambda v: decoder(v, memory, tgt_mask=causal), x, 2) == later
    for place in range(4):
        assert changed(lambda m: decoder(x, m, tgt_mask=causal), memory, place) == [True] * 5
    assert changed(lambda v: lstm(v)[0], x, 2) == later
    assert lstm(x)[0].shape == (1, 5, 6)


@holds("Why is training parallel but generation sequential?")
def check_one_masked_pass_equals_one_pass_per_prefix():
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    src, tgt = torch.randn(1, 4, 8), torch.randn(1, 6, 8)
    causal = nn.Transformer.generate_square_subsequent_mask
    together = model(src, tgt, tgt_mask=causal(6))
    for seen in range(1, 7):
        alone = model(src, tgt[:, :seen], tgt_mask=causal(seen))[:, -1]
        assert torch.allclose(together[:, seen - 1], alone, atol=1e-5)


@holds("What does pre-norm change?")
def check_the_residual_path_of_pre_norm_is_a_sum():
    for norm_first in (True, False):
        stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, norm_first=norm_first), 3)
        for layer in stack.layers:
            for last in (layer.self_attn.out_proj, layer.linear2):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
        x = torch.randn(5, 2, 8) * 4
        assert torch.equal(stack(x), x) is norm_first


@holds("What does a Transformer gain over an RNN, and what does it pay?")
def check_scores_and_state():
    for L in (3, 9):
        x, lstm = torch.randn(1, L, 8), nn.LSTM(8, 6, batch_first=True)
        attention = nn.MultiheadAttention(8, 2, batch_first=True)
        assert attention(x, x, x, average_attn_weights=False)[1].shape == (1, 2, L, L)
        assert [s.shape for s in lstm(x)[1]] == [(1, 1, 6), (1, 1, 6)]
        encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        assert changed(encoder, x, 0)[-1] and changed(encoder, x, L - 1)[0]


@holds("Same in train and eval?")
def check_dropout_differs_between_modes():
    layer, x = nn.TransformerEncoderLayer(8, 2, 16), torch.randn(5, 2, 8)
    assert not torch.allclose(layer.train()(x), layer.eval()(x))
    places = {name: part.p for name, part in layer.named_modules() if isinstance(part, nn.Dropout)}
    assert places == {"dropout": 0.1, "dropout1": 0.1, "dropout2": 0.1} and layer.self_attn.dropout == 0.1


@pitfall("Shuffling the source changes nothing")
def check_order_is_invisible_without_positions():
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    src, tgt, order = torch.randn(1, 6, 8), torch.randn(1, 3, 8), torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.allclose(model(src, tgt), model(src[:, order], tgt), atol=1e-5)
    angles = torch.arange(6)[:, None] / 10000 ** (torch.arange(0, 8, 2) / 8)
    positions = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
    assert not torch.allclose(model(src + positions, tgt), model(src[:, order] + positions, tgt), atol=1e-3)
    assert model(src[0], tgt[0]).shape == (3, 8)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2)
    assert torch.allclose(encoder(src).mean(1), encoder(src[:, order]).mean(1), atol=1e-5)


@check
def check_decoder_sees_the_future_without_a_mask():
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    src, tgt = torch.randn(1, 4, 8), torch.randn(1, 5, 8)
    other = tgt.clone()
    other[:, 3:] += 1
    assert not torch.allclose(model(src, tgt)[:, :3], model(src, other)[:, :3], atol=1e-4)
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    assert torch.allclose(model(src, tgt, tgt_mask=causal)[:, :3], model(src, other, tgt_mask=causal)[:, :3], atol=1e-5)
    boolean = torch.ones(5, 5).triu(1).bool()
    assert torch.allclose(model(src, tgt, tgt_mask=causal), model(src, tgt, tgt_mask=boolean), atol=1e-5)


def trained_on_a_chain(mask, shift=1, steps=130, vocabulary=12, length=6, width=32):
    """Half of the tokens follow from the one before, the rest is noise: the loss, and the share of right successors."""
    embedding, positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
    head = nn.Linear(width, vocabulary)
    model = nn.Transformer(width, 2, 1, 1, 64, dropout=0.0, batch_first=True)
    optimizer = torch.optim.Adam(nn.ModuleList([embedding, positions, head, model]).parameters(), 5e-3)

    def logits(tokens):
        seen = tokens.shape[1]
        cut = None if mask is None else mask[:seen, :seen]
        source, target = torch.zeros(len(tokens), 1, width), embedding(tokens) + positions.weight[:seen]
        return head(model(source, target, tgt_mask=cut))

    for _ in range(steps):
        tokens = torch.randint(vocabulary, (48, length + 1))
        for t in range(1, length + 1):
            tokens[:, t] = torch.where(torch.rand(48) < 0.5, (tokens[:, t - 1] + 5) % vocabulary, tokens[:, t])
        loss = nn.functional.cross_entropy(
            logits(tokens[:, :-1]).flatten(0, 1), tokens[:, shift : shift + length].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    start = torch.arange(vocabulary)[:, None]
    written = start
    with torch.no_grad():
        for _ in range(length - 1):
            written = torch.cat([written, logits(written)[:, -1:].argmax(-1)], 1)
    return loss.item(), (written == (start + 5 * torch.arange(length)) % vocabulary)[:, 1:].float().mean().item()


@pitfall("Tiny training loss, useless generation")
def check_a_decoder_without_a_mask_learns_to_copy():
    """The noise alone costs over 1.5: a loss below that was read from the future. Without the shift no mask helps."""
    leaking, nonsense = trained_on_a_chain(None)
    honest, good = trained_on_a_chain(nn.Transformer.generate_square_subsequent_mask(6))
    assert leaking < 0.8 and nonsense < 0.4 and 1.4 < honest < 2.3 and good > 0.9, (leaking, nonsense, honest, good)
    copying, same = trained_on_a_chain(nn.Transformer.generate_square_subsequent_mask(6), shift=0, steps=30)
    assert copying < 0.5 and same < 0.2
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    assert (mask.diagonal() == 0).all() and mask[0, 1] == -math.inf
    tgt = torch.empty(1, 4, 8, device="meta")
    made = nn.Transformer.generate_square_subsequent_mask(4, device=tgt.device)
    assert made.device == tgt.device != mask.device


@pitfall("All layers start identical")
def check_layers_are_copies():
    def first_two(stack):
        return stack.layers[0].linear1.weight, stack.layers[1].linear1.weight

    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 6)
    assert torch.equal(*first_two(encoder))
    assert not torch.equal(*first_two(nn.Transformer(8, 2, 2, 2, 16).encoder))
    for p in encoder.parameters():
        if p.dim() > 1:
            nn.init.xavier_uniform_(p)
    assert not torch.equal(*first_two(encoder))


@pitfall("Mean pooling gives other results in evaluation")
def check_fast_path_returns_zeros():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x, padding = torch.randn(2, 5, 8), torch.tensor([[False] * 3 + [True] * 2, [False] * 2 + [True] * 3])
    encoder = nn.TransformerEncoder(layer, 2).eval()
    slow = encoder.train()(x, src_key_padding_mask=padding)
    with torch.no_grad():
        fast = encoder.eval()(x, src_key_padding_mask=padding)
        off = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()(x, src_key_padding_mask=padding)
        last = nn.LayerNorm(8)
        nn.init.ones_(last.bias)
        normed = nn.TransformerEncoder(layer, 2, norm=last).eval()(x, src_key_padding_mask=padding)
    assert (normed[padding] == 1).all()
    assert (fast[padding] == 0).all() and not (slow[padding] == 0).any() and fast.shape == slow.shape
    assert torch.allclose(fast[~padding], slow[~padding], atol=1e-5) and torch.allclose(off, slow, atol=1e-5)
    assert not torch.allclose(fast.mean(1), slow.mean(1), atol=1e-2)
    real = (~padding)[..., None].float()
    means = [(h * real).sum(1) / real.sum(1) for h in (fast, slow)]
    assert torch.allclose(*means, atol=1e-5) and not torch.allclose(off.mean(1), means[0], atol=1e-2)


@pitfall("A pre-norm encoder ends without a norm")
def check_final_norms():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, norm_first=True), 4)
    assert encoder.norm is None
    x = torch.randn(10, 3, 64) * 5
    assert encoder(x).var(-1).mean() > 5
    closed = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, norm_first=True), 4, norm=nn.LayerNorm(64))
    assert torch.allclose(closed(x).var(-1, correction=0), torch.ones(10, 3), atol=1e-3)
    for norm_first in (False, True):
        model = nn.Transformer(8, 2, 1, 1, 16, norm_first=norm_first)
        assert isinstance(model.encoder.norm, nn.LayerNorm) and isinstance(model.decoder.norm, nn.LayerNorm)
