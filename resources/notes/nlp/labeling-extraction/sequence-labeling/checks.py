import itertools
import math

import numpy as np
import torch
from torch.nn import functional as F

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, sourced, stated
from spans import span_f1, spans_of

LOSS = r"\mathcal{L} = -\frac{\sum_{n,t} m_{nt} \log \mathrm{softmax}(z_{nt})_{y_{nt}}}{\sum_{n,t} m_{nt}}"
DECODE = r"y^* = \arg\max_{y \,:\, (y_{t-1}, y_t) \in \mathcal{A}} \; \sum_{t=1}^{T} z_t(y_t)"

by_definition("Same in train and eval?", "part-of-speech tagging", "word segmentation (Chinese)", "text classification")
sourced("CoNLL-2000 and CoNLL-2003 shared tasks: BIO-like tags, F1 of exact chunks", "chunking, NER, slot filling")
sourced("Papineni et al., BLEU: a Method for Automatic Evaluation of Machine Translation, 2002", "seq2seq")


@formula(LOSS)
def check_masked_mean_is_cross_entropy():
    for N, T, C in [(2, 4, 3), (1, 1, 2), (3, 7, 9), (2, 5, 1)]:
        z, y = np.random.randn(N, T, C), np.random.randint(0, C, (N, T))
        m = np.random.rand(N, T) < 0.6
        m[0, 0] = True
        total = sum(
            math.log(np.exp(z[n, t, y[n, t]]) / np.exp(z[n, t]).sum()) for n in range(N) for t in range(T) if m[n, t]
        )
        labels = torch.tensor(np.where(m, y, -100))
        library = F.cross_entropy(torch.tensor(z).transpose(1, 2), labels)
        assert math.isclose(-total / m.sum(), library.item(), rel_tol=1e-9, abs_tol=1e-12)


def allowed(before, after):
    """BIO: I-X only behind B-X or I-X; `before` is None at the start."""
    return not after.startswith("I-") or (before is not None and before != "O" and before[2:] == after[2:])


def constrained(z, tags):
    """Viterbi with minus infinity for forbidden pairs."""
    delta = [z[0, k] if allowed(None, tags[k]) else -np.inf for k in range(len(tags))]
    pointers = []
    for t in range(1, len(z)):
        reach = [
            [delta[j] if allowed(tags[j], tags[k]) else -np.inf for j in range(len(tags))] for k in range(len(tags))
        ]
        pointers.append([int(np.argmax(row)) for row in reach])
        delta = [max(reach[k]) + z[t, k] for k in range(len(tags))]
    path = [int(np.argmax(delta))]
    for row in reversed(pointers):
        path.insert(0, row[path[0]])
    return tuple(path), max(delta)


@formula(DECODE)
def check_constrained_decoding_against_all_legal_sequences():
    for tags, T in [(["O", "B-A", "I-A"], 5), (["O", "B-A", "I-A", "B-B", "I-B"], 4), (["O", "B-A", "I-A"], 1)]:
        for _ in range(15):
            z = np.random.randn(T, len(tags)) * 2
            legal = [
                y
                for y in itertools.product(range(len(tags)), repeat=T)
                if all(allowed(tags[a] if a is not None else None, tags[b]) for a, b in zip((None, *y), y))
            ]
            best = max(legal, key=lambda y: sum(z[t, k] for t, k in enumerate(y)))
            path, score = constrained(z, tags)
            assert path == best and math.isclose(score, sum(z[t, k] for t, k in enumerate(best)))


@check
def check_by_hand():
    z, tags = np.array([[2.0, 1, 0], [1.5, 0, 3]]), ["O", "B-X", "I-X"]
    assert tuple(z.argmax(1)) == (0, 2) and z.max(1).sum() == 5
    assert constrained(z, tags) == ((1, 2), 4.0) and z[0, 0] + z[1, 0] == 3.5
    assert max(z[0, 0] + z[1, 1], z[0, 1] + z[1, 1], z[0, 1] + z[1, 0]) < 3.5
    stated("9", 2 * 4 + 1)
    stated("17", 4 * 4 + 1)


@holds("Input → output", "Output layer", "Labels")
def check_shapes_and_ignored_labels():
    embed, lstm, head = torch.nn.Embedding(9, 4), torch.nn.LSTM(4, 5, batch_first=True), torch.nn.Linear(5, 3)
    for ids, shape in ((torch.randint(9, (2, 4)), (2, 4, 3)), (torch.randint(9, (1, 4)), (1, 4, 3))):
        logits = head(lstm(embed(ids))[0])
        assert logits.shape == shape and logits.dtype == torch.float32
    labels = torch.tensor([2, -100, 0, -100])
    assert torch.allclose(F.cross_entropy(logits[0], labels), F.cross_entropy(logits[0, [0, 2]], labels[[0, 2]]))
    assert torch.nn.CrossEntropyLoss().ignore_index == -100
    assert embed(torch.zeros(2, 4, dtype=torch.int32)).shape == (2, 4, 4)
    raises(RuntimeError, lambda: F.cross_entropy(logits[0], labels.int()), "target dtype")
    raises(RuntimeError, lambda: embed(torch.zeros(2, 4, dtype=torch.int16)))


@holds("BIO or BIOES?")
def check_both_schemes_recover_flat_spans():
    figure = figure_of(__file__)
    for scheme in ("BIO", "BIOES"):
        assert sorted(figure.decoded(figure.encoded(scheme))) == sorted(figure.SPANS)
    tags = figure.encoded("BIOES")
    assert all(tags[end - 1][0] == ("S" if end - start == 1 else "E") for _, start, end in figure.SPANS)


@holds("Tags", "BIO or BIOES?")
def check_tag_counts_by_listing():
    types = ["PER", "LOC", "ORG", "MISC"]
    stated("9", len({"O"} | {p + t for p in ("B-", "I-") for t in types}))
    stated("17", len({"O"} | {p + t for p in ("B-", "I-", "E-", "S-") for t in types}))


@pitfall("Labels slip after subword tokenisation")
def check_labels_of_words_on_pieces():
    """The pieces and word_ids as a fast tokenizer returns them; the tokenizer itself is not installed.
    RoBERTa's option: huggingface/transformers issue #9607."""
    labels = ["B-ORG", "I-ORG", "O", "B-LOC"]  # Micro soft | Inc | in | Os lo
    word_ids = [None, 0, 0, 1, 2, 3, 3, None]
    gold = {("ORG", 1, 4), ("LOC", 5, 7)}
    assert len(labels) != len(word_ids) and spans_of(labels + ["O"] * 4) != gold
    copied = ["O" if w is None else labels[w] for w in word_ids]
    assert len(spans_of(copied)) == 4 and spans_of(copied) != gold
    first = [w is not None and w != before for before, w in zip([None, *word_ids], word_ids)]
    continued = [tag if new else tag.replace("B-", "I-") for tag, new in zip(copied, first)]
    assert spans_of(continued) == gold
    scored = [tag for tag, new in zip(copied, first) if new]  # the others hold -100 and are left out
    assert scored == labels


@pitfall("Two tools report different F1 for the same tags")
@holds("Why not only a softmax per token?")
def check_an_i_without_a_b():
    """The names of seqeval's schemes: run with seqeval 1.2.2, which refuses E- and S- under `IOB2`."""
    gold, found = spans_of(["B-A", "I-A", "O"]), ["I-A", "I-A", "O"]
    assert span_f1(gold, spans_of(found, lenient=True)) == 1 and span_f1(gold, spans_of(found)) == 0
    tags = ["O", "B-A", "I-A", "B-B", "I-B"]
    differ = {"argmax": 0, "legal": 0}  # sequences that the two readings take differently
    for _ in range(50):
        z = np.random.randn(6, 5)
        for name, path in (("argmax", z.argmax(1)), ("legal", constrained(z, tags)[0])):
            sequence = [tags[k] for k in path]
            differ[name] += spans_of(sequence) != spans_of(sequence, lenient=True)
    assert differ["argmax"] > 25 and differ["legal"] == 0


@pitfall("The end of long sentences gets no prediction")
def check_truncated_words_leave_the_evaluation():
    words = ["Ada", *["walks"] * 8, "Alan"]
    tagger = lambda part: ["B-PER" if word[0] == "A" else "O" for word in part]
    gold, cut = ["B-PER", *["O"] * 8, "B-PER"], tagger(words[:6])
    assert span_f1(spans_of(gold[: len(cut)]), spans_of(cut)) == 1  # as if nothing had been missed
    assert span_f1(spans_of(gold), spans_of(cut + ["O"] * 4)) < 0.7
    windows = {start: tagger(words[start : start + 6]) for start in (0, 4)}  # 6 words, 2 of them in both windows
    assert sum(map(len, windows.values())) == 12 > len(words)  # joined without a choice they are too many
    edge = lambda i, start: min(i - start, start + 5 - i)
    chosen = [max((start for start in windows if start <= i < start + 6), key=lambda s: edge(i, s)) for i in range(10)]
    merged = [windows[start][i - start] for i, start in enumerate(chosen)]
    assert span_f1(spans_of(gold), spans_of(merged)) == 1


@pitfall("95% accuracy, no entity found")
def check_all_o():
    gold = (["O"] * 19 + ["B-PER"]) * 5
    stated("95%", np.mean([tag == "O" for tag in gold]))
    assert (
        span_f1(spans_of(gold), spans_of(["O"] * len(gold)))
        == 0
        < span_f1(spans_of(gold), spans_of(gold[:40] + ["O"] * 60))
    )


@pitfall("`cross_entropy` complains about shapes, or silently computes another loss")
def check_wrong_axis_raises_or_runs_silently():
    for N, T, C in ((2, 4, 3), (2, 3, 7), (1, 1, 2)):
        raises(RuntimeError, lambda: F.cross_entropy(torch.randn(N, T, C), torch.zeros(N, T, dtype=torch.long)))
    labels = torch.tensor([[1, 2, 0, 0], [1, 0, 2, 1]])
    logits = torch.randn(2, 4, 3)
    flat = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert torch.allclose(F.cross_entropy(logits.transpose(1, 2), labels), flat)
    square, target = torch.randn(2, 3, 3), torch.tensor([[1, 2, 0], [0, 0, 1]])
    assert abs(float(F.cross_entropy(square, target) - F.cross_entropy(square.transpose(1, 2), target))) > 1e-3


@holds("Why does the choice of averaging matter in the loss?")
def check_averaging_differs_between_tokens_and_sentences():
    per_token = torch.tensor([[1.0, 1, 1, 1], [3.0, 0, 0, 0]])
    keep = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]])
    tokens = (per_token * keep).sum() / keep.sum()
    sentences = ((per_token * keep).sum(1) / keep.sum(1)).mean()
    assert math.isclose(tokens.item(), 1.4, rel_tol=1e-6) and sentences.item() == 2.0
