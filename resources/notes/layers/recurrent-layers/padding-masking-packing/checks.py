import inspect

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence

from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated

MASK = r"""
m_{n,t} = \begin{cases} 1 & t < \ell_n \\ 0 & \text{otherwise} \end{cases}
\qquad
b_t = \sum_{n=1}^{N} m_{n,t}, \qquad \sum_{t} b_t = \sum_{n} \ell_n
"""
WASTE = r"w = 1 - \frac{\sum_n \ell_n}{N\,T}"
MEANS = r"""
\bar h_n = \frac{\sum_t m_{n,t}\, h_{n,t}}{\sum_t m_{n,t}}, \qquad
L = \frac{\sum_{n,t} m_{n,t}\, L_{n,t}}{\sum_{n,t} m_{n,t}}
"""
by_definition("Same in train and eval?")
LENGTHS = [[2, 5, 3], [1], [4, 4], [7, 1, 6, 2, 2]]


def mask_of(lengths):
    return np.array([[1 if t < length else 0 for t in range(max(lengths))] for length in lengths])


@formula(MASK, WASTE)
def check_packed_sizes():
    for lengths in LENGTHS:
        sequences = [torch.randn(n, 3) + 5 for n in lengths]
        padded = pad_sequence(sequences, batch_first=True)
        packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
        mask = mask_of(lengths)
        assert mask.sum(0).tolist() == packed.batch_sizes.tolist()
        assert mask.sum() == len(packed.data) == sum(lengths)
        np.testing.assert_array_equal(mask, (padded.numpy() != 0).all(-1))
        assert torch.equal(pack_sequence(sequences, enforce_sorted=False).data, packed.data)
        back, found = pad_packed_sequence(packed, batch_first=True)
        assert torch.equal(back, padded) and found.tolist() == lengths
        w = 1 - sum(lengths) / (len(lengths) * max(lengths))
        np.testing.assert_allclose(w, 1 - len(packed.data) / (padded.numel() / 3))


@formula(MEANS)
def check_masked_means():
    for lengths in LENGTHS:
        mask = mask_of(lengths)
        sequences = [torch.randn(n, 3, dtype=torch.float64) for n in lengths]
        padded = pad_sequence(sequences, batch_first=True, padding_value=9.0).numpy()
        ours = (mask[..., None] * padded).sum(1) / mask.sum(1, keepdims=True)
        np.testing.assert_allclose(ours, torch.stack([s.mean(0) for s in sequences]).numpy(), rtol=1e-12)
        logits = torch.randn(*mask.shape, 5, dtype=torch.float64)
        target = torch.randint(0, 5, mask.shape)
        each = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").numpy().reshape(mask.shape)
        ignored = target.masked_fill(torch.tensor(mask) == 0, -100)
        library = F.cross_entropy(logits.flatten(0, 1), ignored.flatten(), ignore_index=-100)
        np.testing.assert_allclose((mask * each).sum() / mask.sum(), float(library), rtol=1e-12)


@check
def check_worked_example():
    lengths = [2, 5, 3]
    mask = mask_of(lengths)
    stated("15", mask.size)
    stated("10", mask.sum())
    assert abs((1 - mask.sum() / mask.size) - 1 / 3) < 1e-12
    assert mask.sum(0).tolist() == [3, 3, 2, 1, 1]
    values = np.array([4.0, 2.0, 0.0, 0.0, 0.0])
    stated("1.2", values.mean())
    assert (mask[0] * values).sum() / mask[0].sum() == 3


@holds("packing", "reading the output at $\\ell_n - 1$", "When is packing not needed?")
def check_rnn_stops_at_the_true_end():
    for both in (False, True):
        sequences = [torch.randn(n, 3, dtype=torch.float64) for n in (2, 5, 3)]
        gru = nn.GRU(3, 4, num_layers=2, bidirectional=both, batch_first=True, dtype=torch.float64)
        padded = pad_sequence(sequences, batch_first=True)
        output, h_n = gru(pack_padded_sequence(padded, [2, 5, 3], batch_first=True, enforce_sorted=False))
        output, _ = pad_packed_sequence(output, batch_first=True)
        plain, plain_h = gru(padded)
        for n, sequence in enumerate(sequences):
            alone, alone_h = gru(sequence)
            assert torch.allclose(h_n[:, n], alone_h) and torch.allclose(output[n, : len(sequence)], alone)
            assert (output[n, len(sequence) :] == 0).all()
            if len(sequence) < 5:
                assert not torch.allclose(plain_h[:, n], alone_h, atol=1e-3)
                # one direction: outputs at real positions are right anyway
                assert torch.allclose(plain[n, : len(sequence)], alone) is not both
                assert both or torch.allclose(plain[n, len(sequence) - 1], alone_h[-1])  # the last layer's state
                assert not torch.allclose(plain[n].sum(0), alone.sum(0), atol=1e-3)
    last, (h, c) = nn.LSTM(3, 4, batch_first=True)(torch.randn(1, 5, 3))  # the hidden state, not the cell state
    assert torch.allclose(last[:, -1], h[0]) and not torch.allclose(last[:, -1], c[0], atol=1e-3)


@holds("packing", "Steps")
def check_steps_that_are_computed():
    for kind, gates in ((nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)):
        layer, x, lengths = kind(3, 4, batch_first=True).double(), torch.randn(3, 5, 3).double(), [5, 3, 2]
        for given, steps in ((x, 3 * 5), (pack_padded_sequence(x, lengths, batch_first=True), sum(lengths))):
            with FlopCounterMode(display=False) as counter:
                layer(given)
            assert counter.get_total_flops() == 2 * steps * gates * 4 * (3 + 4)


@holds("mask", "Why left padding for generation with a decoder?")
def check_masked_attention_does_not_see_the_padding():
    layer, tokens = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), torch.randn(3, 8)
    alone = layer(tokens[None])[0]
    for side in ("right", "left"):
        both = pad_sequence([tokens, torch.randn(6, 8)], batch_first=True, padding_side=side)
        both = torch.where((both == 0).all(-1, keepdim=True), torch.randn_like(both), both)  # any padding
        here = torch.arange(6) < 3 if side == "right" else torch.arange(6) >= 3
        ignored = torch.stack([~here, torch.zeros(6, dtype=torch.bool)])
        assert torch.allclose(layer(both, src_key_padding_mask=ignored)[0, here], alone, atol=1e-5)
        assert not torch.allclose(layer(both)[0, here], alone, atol=1e-2)
        assert torch.equal(both[0, -1], tokens[-1]) is (side == "left")  # the last position is a real token
    position = torch.randn(6, 8)  # padding on the left, as the loop ends: where absolute positions begin
    wanted, row = layer((tokens + position[:3])[None])[0], both[:1].clone()
    for places, right in ((position, False), (torch.cat([position[3:], position[:3]]), True)):
        found = layer(row + places, src_key_padding_mask=ignored[:1])[0, 3:]
        assert torch.allclose(found, wanted, atol=1e-5) is right


@holds("buckets of similar length")
def check_buckets_waste_less():
    lengths = np.random.randint(1, 101, 1024)
    waste = lambda order: 1 - lengths.sum() / sum(32 * batch.max() for batch in lengths[order].reshape(-1, 32))
    assert waste(np.random.permutation(1024)) > 0.4 and 0 < waste(np.argsort(lengths)) < 0.1


@holds("nested tensors")
def check_nested_storage():
    sequences = [torch.randn(n, 3) for n in (2, 5, 3)]
    nested = torch.nested.nested_tensor(sequences, layout=torch.jagged)
    assert nested.values().shape == (10, 3) and nn.Linear(3, 4)(nested).values().shape == (10, 4)
    raises(Exception, lambda: nn.GRU(3, 4, batch_first=True)(nested))


@holds("dtype")
def check_dtypes():
    for dtype in (torch.bool, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64):
        padded = pad_sequence([torch.ones(2, 3, dtype=dtype), torch.ones(4, 3, dtype=dtype)], batch_first=True)
        packed = pack_padded_sequence(padded, [2, 4], batch_first=True, enforce_sorted=False)
        assert padded.dtype == packed.data.dtype == pad_packed_sequence(packed)[0].dtype == dtype
    raises(Exception, lambda: nn.GRU(3, 4)(torch.ones(5, 1, 3, dtype=torch.int64)))
    embedding = nn.Embedding(9, 2)
    assert all(embedding(torch.ones(3, dtype=dtype)).shape == (3, 2) for dtype in (torch.int32, torch.int64))
    for dtype in (torch.int16, torch.float32):
        raises(RuntimeError, lambda: embedding(torch.ones(3, dtype=dtype)))


@holds("`pad_sequence`", "`pack_padded_sequence`", "`pad_packed_sequence`")
def check_defaults():
    time_first = torch.randn(5, 2, 3)
    packed = pack_padded_sequence(time_first, torch.tensor([5, 2]))
    assert type(packed).__name__ == "PackedSequence"
    assert torch.equal(packed.data, pack_padded_sequence(time_first, [5, 2]).data)
    back, lengths = pad_packed_sequence(packed)
    assert torch.equal(back[:, 0], time_first[:, 0]) and (back[2:, 1] == 0).all() and lengths.tolist() == [5, 2]
    for dtype in (torch.int32, torch.int64):
        for is_sorted, given in ((True, [5, 2]), (False, [2, 5])):
            short = pack_padded_sequence(time_first, torch.tensor(given, dtype=dtype), enforce_sorted=is_sorted)
            assert len(short.data) == 7
    raises(RuntimeError, lambda: pack_padded_sequence(time_first, [5, 0]), "greater than 0")
    right = pad_sequence([torch.ones(2), torch.ones(3)], batch_first=True, padding_side="right")
    assert right.tolist() == [[1, 1, 0], [1, 1, 1]]
    for function, wanted in (
        (pad_sequence, {"batch_first": False, "padding_value": 0.0, "padding_side": "right"}),
        (pack_padded_sequence, {"batch_first": False, "enforce_sorted": True}),
        (pad_packed_sequence, {"batch_first": False, "total_length": None}),
    ):
        parameters = inspect.signature(function).parameters
        assert {name: parameters[name].default for name in wanted} == wanted
    assert pad_sequence([torch.ones(2, 3), torch.ones(4, 3)]).shape == (4, 2, 3)
    assert pad_sequence([torch.ones(2, dtype=torch.int64), torch.ones(4, dtype=torch.int64)]).dtype == torch.int64


@pitfall("\"'lengths' argument should be a 1D CPU int64 tensor, but got 1D cuda:0 Long tensor\"")
def check_lengths_stay_on_the_cpu():
    """The meta device stands for the GPU: lengths that are not on the CPU."""
    x, lengths = torch.randn(3, 6, 2), torch.tensor([5, 3, 2])
    text = "'lengths' argument should be a 1D CPU int64 tensor, but got 1D meta Long tensor"
    raises(RuntimeError, lambda: pack_padded_sequence(x, lengths.to("meta"), batch_first=True), text)
    assert len(pack_padded_sequence(x, lengths.cpu(), batch_first=True).data) == 10
    x = x.to("meta")
    steps, moved = torch.arange(x.size(1), device=x.device), lengths.to(x.device)
    raises(RuntimeError, lambda: x * (torch.arange(6) < lengths[:, None])[..., None])
    mean = (x * (steps < moved[:, None])[..., None]).sum(1) / moved[:, None]
    assert mean.shape == (3, 2) and mean.device == x.device


@pitfall('"`lengths` array must be sorted in decreasing order"')
def check_order_of_the_lengths():
    x, lengths = torch.randn(3, 6, 2), [2, 5, 3]
    raises(
        RuntimeError,
        lambda: pack_padded_sequence(x, lengths, batch_first=True),
        "`lengths` array must be sorted in decreasing order",
    )
    raises(RuntimeError, lambda: pack_padded_sequence(x, [3, 2, 0], batch_first=True), "greater than 0")
    gru = nn.GRU(2, 4, batch_first=True)
    output, h_n = gru(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    output, found = pad_packed_sequence(output, batch_first=True)
    assert found.tolist() == lengths
    for n, length in enumerate(lengths):
        alone, last = gru(x[n, :length])
        assert torch.allclose(output[n, :length], alone, atol=1e-6) and torch.allclose(h_n[:, n], last, atol=1e-6)


@pitfall("After unpacking the time axis is shorter than the mask")
def check_total_length():
    x = torch.randn(3, 6, 2)
    packed = pack_padded_sequence(x, [5, 3, 2], batch_first=True)
    assert pad_packed_sequence(packed, batch_first=True)[0].shape == (3, 5, 2)
    assert pad_packed_sequence(packed, batch_first=True, total_length=6)[0].shape == (3, 6, 2)
    time_first = pack_padded_sequence(x.transpose(0, 1), [5, 3, 2])
    assert pad_packed_sequence(time_first, total_length=x.transpose(0, 1).size(0))[0].shape == (6, 3, 2)


@holds("mask")
@pitfall("Accuracy and loss look too good, or the mean depends on the batch")
def check_padding_counted_as_a_success():
    """A tagger that knows nothing of the words (their tags are random) but recognizes padding."""
    shown, words = [], []
    for longest in (10, 40):
        lengths = torch.full((200,), 8)
        lengths[0] = longest
        mask = torch.arange(longest) < lengths[:, None]
        tags = torch.randint(1, 5, mask.shape) * mask
        logits = torch.randn(*mask.shape, 5)
        logits[..., 0] = torch.where(mask, -9.0, 9.0)
        right = logits.argmax(-1) == tags
        loss = F.cross_entropy(logits.flatten(0, 1), tags.flatten())
        each = F.cross_entropy(logits.flatten(0, 1), tags.flatten(), reduction="none").reshape(mask.shape)
        cured = (mask * each).sum() / mask.sum()
        ignoring = F.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=0)
        assert torch.allclose(cured, ignoring)
        shown.append((right.float().mean().item(), loss.item()))
        words.append((right[mask].float().mean().item(), cured.item()))
    assert shown[1][0] > shown[0][0] + 0.3 and shown[1][1] < shown[0][1] / 2
    assert all(abs(accuracy - 0.25) < 0.05 and loss > 1.4 for accuracy, loss in words)

    rnn, x = nn.GRU(2, 4, batch_first=True), torch.randn(1, 3, 2)
    means, masked = [], []
    for longest in (3, 12):
        batch = torch.cat([F.pad(x, (0, 0, 0, longest - 3)), torch.randn(1, longest, 2)])
        packed = pack_padded_sequence(batch, [3, longest], batch_first=True, enforce_sorted=False)
        output, lengths = pad_packed_sequence(rnn(packed)[0], batch_first=True)
        assert (output[0, 3:] == 0).all()
        keep = (torch.arange(longest) < lengths[:, None])[..., None]
        means.append(output[0].mean(0))
        masked.append(((output * keep).sum(1) / keep.sum(1))[0])
    assert not torch.allclose(means[0], means[1], rtol=0.5) and torch.allclose(masked[0], masked[1], atol=1e-6)


@pitfall("Attention looks only at padding")
def check_mask_polarity():
    q = torch.randn(1, 4, 8)
    keep = torch.tensor([[True, True, True, False]])
    attention = nn.MultiheadAttention(8, 1, batch_first=True)
    weights = attention(q, q, q, key_padding_mask=~keep)[1]
    assert (weights[..., 3] == 0).all() and (weights[..., :3] > 0).all()
    swapped = attention(q, q, q, key_padding_mask=keep)[1]
    assert (swapped[..., :3] == 0).all() and (swapped[..., 3] == 1).all()
    full = torch.ones(1, 4, dtype=torch.bool)
    assert attention(q, q, q, key_padding_mask=full)[0].isnan().all()
    assert not attention(q, q, q, key_padding_mask=~full)[0].isnan().any()
    value = torch.eye(4)[None]
    weights = F.scaled_dot_product_attention(q, q, value, attn_mask=keep[:, None])
    assert (weights[..., 3] == 0).all() and (weights[..., :3] > 0).all()
    q, value = torch.randn(2, 3, 4, 8), torch.eye(4).expand(2, 3, 4, 4)
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    weights = F.scaled_dot_product_attention(q, q, value, attn_mask=mask[:, None, None])
    assert torch.equal(weights > 0, mask[:, None, None].expand(2, 3, 4, 4))
    weights = F.scaled_dot_product_attention(q, q, value, attn_mask=~mask[:, None, None])
    assert (weights[0, ..., 3] == 1).all()


@holds("Is it enough that padding vectors are zero?")
def check_zero_input_still_changes_the_state():
    rnn = nn.RNN(2, 3)
    h = torch.randn(1, 1, 3)
    assert not torch.allclose(rnn(torch.zeros(1, 1, 2), h)[1], h, atol=1e-3)
