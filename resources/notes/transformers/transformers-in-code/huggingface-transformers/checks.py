import math

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LinearLR, SequentialLR

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated, unexecuted
from trainings import handwritten_digits

F0 = r"""
s = \frac{\sum_{t=1}^{L} m_t \, h_t}{\sum_{t=1}^{L} m_t}
"""
F1 = r"""
\eta_t = \eta_{\max} \cdot \begin{cases} \dfrac{t}{T_w} & t < T_w \\[1ex] \dfrac{T - t}{T - T_w} & t \ge T_w \end{cases}
"""

DOCS = "Hugging Face Transformers documentation, and version 5.23.0 run with a small BertConfig:"
sourced(f"{DOCS} tokenizer call", "Tokenizer")
sourced(f"{DOCS} AutoModelForSequenceClassification", "Model, here BERT")
sourced(f"{DOCS} AutoModel", "`AutoModel` or `AutoModelForSequenceClassification`?")
sourced(f"{DOCS} TrainingArguments", "Defaults of `Trainer` (4.x, 5.x)")
sourced(f"{DOCS} PreTrainedModel.from_pretrained", "Same in train and eval?")
sourced(f"{DOCS} PreTrainedModel.save_pretrained", "How are a model and its tokenizer stored?")
sourced(f"{DOCS} GPT2Tokenizer", "Can the mask be computed from the ids?")
sourced(f"{DOCS} PreTrainedModel.base_model", "How do I train only the head of a BERT classifier?")
sourced(f"{DOCS} pipeline", '`pipeline("task")`')
sourced(f"{DOCS} Trainer", "`AutoModelFor…` + own loop", "`AutoModelFor…` + `Trainer`")
by_definition("timm")


@formula(F0)
def check_masked_mean():
    for N, L, d in [(2, 7, 5), (1, 1, 3), (4, 12, 2)]:
        h, mask = torch.randn(N, L, d).double(), (torch.rand(N, L) < 0.6).long()
        mask[:, 0] = 1
        library = torch.masked.mean(h, 1, mask=mask[..., None].bool().expand_as(h)).numpy()
        hn, m = h.numpy(), mask.numpy()
        ours = [sum(m[n, t] * hn[n, t] for t in range(L)) / m[n].sum() for n in range(N)]
        np.testing.assert_allclose(ours, library, atol=1e-12)


@formula(F1)
def check_schedule():
    """PyTorch's own linear ramps, one after the other, give the same rates."""
    for T, T_w, top in [(20, 5, 5e-5), (9, 1, 0.1), (50, 30, 1.0)]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], top)
        start = 1e-12
        up = LinearLR(optimizer, start, 1.0, T_w)
        down = LinearLR(optimizer, 1.0, 0.0, T - T_w)
        scheduler = SequentialLR(optimizer, [up, down], [T_w])
        for t in range(T + 1):
            ours = top * (t / T_w if t < T_w else (T - t) / (T - T_w))
            assert math.isclose(ours, optimizer.param_groups[0]["lr"], rel_tol=1e-6, abs_tol=top * 1e-9), (t, T, T_w)
            optimizer.step()
            scheduler.step()


@holds("Parameters")
def check_numbers():
    h, mask = torch.tensor([[1.0, 0], [3, 4], [8, 8]]), torch.tensor([1.0, 1, 0])
    assert ((mask[:, None] * h).sum(0) / mask.sum()).tolist() == [2, 2] and h.mean(0).tolist() == [4, 4]
    loader = torch.utils.data.DataLoader(range(10_000), batch_size=8)
    stated("1,250", len(loader))
    stated("3,750", 3 * len(loader))
    assert math.isclose(5e-5 * (3750 - 1875) / 3750, 2.5e-5)
    stated("1,538", sum(p.numel() for p in nn.Linear(768, 2).parameters()))
    with torch.device("meta"):
        parts = [
            nn.Embedding(30_522 + 512 + 2, 768),
            nn.LayerNorm(768),
            *(nn.TransformerEncoderLayer(768, 12, 3072) for _ in range(12)),
            nn.Linear(768, 768),
        ]
    bert = sum(p.numel() for part in parts for p in part.parameters())
    stated("109,482,240", bert)
    stated("109,483,778", bert + 1538)


@pitfall("Sentence vectors depend on their neighbors in the batch")
def check_mask_in_both_places():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(1, 4, 16)
    padded, mask = torch.cat([x, torch.randn(1, 3, 16)], 1), torch.tensor([[1, 1, 1, 1, 0, 0, 0]])
    h = encoder(padded, src_key_padding_mask=mask == 0)
    alone = encoder(x).mean(1)
    assert torch.allclose((h * mask[..., None]).sum(1) / mask.sum(), alone, atol=1e-5)
    assert not torch.allclose(h.mean(1), alone, atol=1e-2)
    assert not torch.allclose((encoder(padded) * mask[..., None]).sum(1) / mask.sum(), alone, atol=1e-3)


@holds("Does it matter which tokenizer I load?")
def check_other_ids_fail_late_or_not_at_all():
    table = nn.Embedding(100, 4)
    ours, theirs = {"cat": 0, "sat": 1, "mat": 2}, {"mat": 0, "cat": 1, "sat": 2}
    assert torch.equal(table(torch.tensor(theirs["cat"])), table(torch.tensor(ours["sat"])))
    assert table(torch.tensor([99])).shape == (1, 4)
    raises(IndexError, lambda: table(torch.tensor([100])))


@holds("Can the mask be computed from the ids?")
def check_an_end_that_is_also_the_padding():
    end, lengths = 9, torch.tensor([[3], [5]])
    ids = torch.tensor([[4, 7, end, end, end], [6, 2, 8, 5, end]])  # each text ends with its own end token
    real = torch.arange(5) < lengths
    assert not torch.equal(ids != end, real) and ((ids != end).sum(1) < real.sum(1)).all()


@holds("How do I train only the head of a BERT classifier?")
def check_training_only_the_head():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    body, head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(16, 3)
    model, x, y = nn.Sequential(body, head), torch.randn(8, 4, 16), torch.randint(3, (8,))
    body.requires_grad_(False)
    assert not torch.allclose(body.train()(x), body(x), atol=1e-2)
    model.train()  # undoes the eval mode of the body
    assert not torch.allclose(body(x), body(x), atol=1e-2)
    assert torch.equal(body.eval()(x), body(x))
    before = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 0.1)
    nn.functional.cross_entropy(head(body(x).mean(1)), y).backward()
    optimizer.step()
    kept = [torch.equal(p, q) for p, q in zip(model.parameters(), before)]
    assert kept == [True] * (len(kept) - 2) + [False] * 2


@holds("`nn.Transformer`")
def check_transformer_starts_with_random_weights():
    first, second = (nn.Transformer(8, 2, 1, 1, 16) for _ in range(2))
    assert not torch.equal(first.encoder.layers[0].linear1.weight, second.encoder.layers[0].linear1.weight)
    assert not any(isinstance(m, nn.Embedding) for m in first.modules())


@holds("Same in train and eval?")
@pitfall("The same text gives another vector at each call")
def check_dropout_stays_on_without_eval():
    """A PyTorch encoder in place of BERT; built from its settings, it starts in train mode as well."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    x = torch.randn(1, 4, 16)
    assert encoder.training
    with torch.no_grad():
        assert not torch.allclose(encoder(x), encoder(x), atol=1e-2)
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))


def trained(features, pixels, labels, steps):
    """The features with a new head for ten classes, all of it trained."""
    model = nn.Sequential(features, nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        rows = torch.randint(len(pixels), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pixels[rows]), labels[rows]).backward()
        optimizer.step()
    return model


@pitfall("Fine-tuning stays poor: the weights were never loaded")
def check_fine_tuning_from_loaded_and_from_random_weights():
    """Digits in place of texts, a state dict in place of `from_pretrained`; then other class numbers, and 30 images."""
    pixels, digit = handwritten_digits()
    build = lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
    loaded, never = build(), build()
    loaded.load_state_dict(trained(build(), pixels[:1000], digit[:1000], 400)[0].state_dict())
    shares = []
    for features in (loaded, never):
        model = trained(features, pixels[1000:1030], (digit[1000:1030] + 3) % 10, 40)
        shares.append(float((model(pixels[1030:]).argmax(1) == (digit[1030:] + 3) % 10).float().mean()))
    assert shares[0] > shares[1] + 0.05, shares


@pitfall("Long texts crash or are cut silently")
def check_long_texts():
    """A table of 8 positions: 12 tokens fail; cut to 8 they hide a different end; in windows nothing is lost."""
    words, positions = nn.Embedding(50, 4), nn.Embedding(8, 4)
    encode = lambda ids: (words(ids) + positions(torch.arange(len(ids)))).mean(0)
    text = torch.arange(12)
    other = text.clone()
    other[10] = 40
    raises(IndexError, lambda: encode(text), "out of range")
    assert torch.equal(encode(text[:8]), encode(other[:8]))
    windows = lambda ids: torch.stack([encode(window) for window in ids.split(8)]).mean(0)
    assert not torch.allclose(windows(text), windows(other), atol=1e-3)


unexecuted("Old tutorials fail at the import", "the library is not installed")
