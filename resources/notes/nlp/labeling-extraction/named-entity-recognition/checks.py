import math

import numpy as np
import torch
from sklearn.metrics import classification_report, f1_score, precision_score, recall_score

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from spans import span_f1, spans_of

MICRO = r"""
P = \frac{\lvert G \cap S \rvert}{\lvert S \rvert}, \qquad R = \frac{\lvert G \cap S \rvert}{\lvert G \rvert}, \qquad F_1 = \frac{2PR}{P + R} = \frac{2 \lvert G \cap S \rvert}{\lvert G \rvert + \lvert S \rvert}
"""
MACRO = r"F_1^{\text{macro}} = \frac{1}{K} \sum_{k=1}^{K} \frac{2 \lvert G_k \cap S_k \rvert}{\lvert G_k \rvert + \lvert S_k \rvert}"

by_definition(
    "Same in train and eval?",
    "CRF, BiLSTM-CRF",
    "fine-tuned BERT, linear layer",
    "prompted language model",
    "What follows after NER?",
)
sourced("CoNLL-2003 shared task, arXiv cs/0306050, data and evaluation", "Classic data", "Micro or macro?")
sourced("transformers, modeling_bert.py, class BertForTokenClassification; Huang et al., arXiv 1508.01991", "Models")


def draw(count, K):
    """Random entities (sentence, type, start, end)."""
    return {
        (int(s), int(k), int(a), int(a + b))
        for s, k, a, b in zip(*(np.random.randint(0, n, count) for n in (3, K, 3)), np.random.randint(1, 3, count))
    }


@formula(MICRO, MACRO)
@holds("Score")
def check_against_scikit_learn():
    """Each possible entity is one yes/no label for scikit-learn, of the class of its type."""
    for count, K in [(10, 2), (25, 3), (12, 1), (40, 4)]:
        G, S = draw(count, K), draw(count + 5, K)
        G |= {(9, k, 0, 1) for k in range(K)}
        S |= {(9, 0, 0, 1)}
        every = sorted(G | S)
        truth, guess = ([e in chosen for e in every] for chosen in (G, S))
        P, R = len(G & S) / len(S), len(G & S) / len(G)
        assert math.isclose(P, precision_score(truth, guess)) and math.isclose(R, recall_score(truth, guess))
        for value in (2 * P * R / (P + R), 2 * len(G & S) / (len(G) + len(S))):
            assert math.isclose(value, f1_score(truth, guess))
        of = lambda chosen, k: {e for e in chosen if e[1] == k}
        macro = sum(2 * len(of(G, k) & of(S, k)) / (len(of(G, k)) + len(of(S, k))) for k in range(K)) / K
        library = np.mean(
            [
                f1_score([t for t, e in zip(truth, every) if e[1] == k], [g for g, e in zip(guess, every) if e[1] == k])
                for k in range(K)
            ]
        )
        assert math.isclose(macro, library)


@check
def check_by_hand():
    gold = {("E", 0, 2), ("C", 4, 7)}
    systems = [{("E", 0, 2), ("C", 5, 7)}, {("E", 0, 2)}]
    f1 = [2 * len(gold & s) / (len(gold) + len(s)) for s in systems]
    stated("0.5", f1[0])
    stated("0.6667", f1[1])
    stated("0.67", f1[1])
    types = lambda spans: [next((k for k, a, b in spans if a <= i < b), "O") for i in range(8)]
    agree = [sum(g == p for g, p in zip(types(gold), types(s))) for s in systems]
    assert agree == [7, 5] and f1[0] < f1[1]
    stated("9", 2 * 4 + 1)


@holds("Input → output")
def check_shapes_and_tags():
    """A head over states of any encoder; each of K types brings B and I, and there is one O."""
    for kinds in (["PER"], ["PER", "LOC", "ORG", "MISC"]):
        tags = ["O"] + [p + k for k in kinds for p in ("B-", "I-")]
        embed, head = torch.nn.Embedding(30, 8), torch.nn.Linear(8, len(tags))
        for N in (1, 3):
            logits = head(embed(torch.randint(30, (N, 6))))
            assert logits.shape == (N, 6, 2 * len(kinds) + 1) and logits.dtype == torch.float32
        logits = torch.nn.functional.one_hot(torch.tensor([1, 2, 0]), len(tags)).float()
        assert spans_of([tags[i] for i in logits.argmax(-1).tolist()]) == {("PER", 0, 2)}


@holds("CRF, BiLSTM-CRF", "fine-tuned BERT, linear layer", "span classification", "word lists, rules")
def check_nested_entities():
    """ "Bank of England": the whole is an ORG, its last word a LOC."""
    words, inner, outer = ["Bank", "of", "England"], ("LOC", 2, 3), ("ORG", 0, 3)
    for tag in ("O", "B-ORG", "I-ORG", "B-LOC", "I-LOC"):  # whatever the last word gets, one is lost
        assert not {inner, outer} <= spans_of(["B-ORG", "I-ORG", tag])
    candidates = [(a, b) for a in range(3) for b in range(a + 1, 4)]
    assert len(candidates) == 3 * 4 // 2 and {inner[1:], outer[1:]} <= set(candidates)
    lists = {"England": "LOC", "Bank of England": "ORG"}
    name = lambda a, b: " ".join(words[a:b])
    assert {(lists[name(a, b)], a, b) for a, b in candidates if name(a, b) in lists} == {inner, outer}


@holds("Why is NER not a dictionary lookup?")
def check_a_dictionary_gives_one_type_for_all_contexts():
    gold = [{("PER", 0, 1)}, {("LOC", 2, 3)}]  # "Washington said", "born in Washington"
    for kind in ("PER", "LOC"):
        assert sum({(kind, *span[1:]) for span in spans} == spans for spans in gold) == 1


@holds("Micro or macro?")
def check_macro_shows_a_failed_rare_type():
    gold = {("PER", n) for n in range(95)} | {("MISC", n) for n in range(5)}
    found = {e for e in gold if e[0] == "PER"}
    of = lambda chosen, kind: {e for e in chosen if e[0] == kind}
    assert span_f1(gold, found) > 0.95 and np.mean([span_f1(of(gold, k), of(found, k)) for k in ("PER", "MISC")]) == 0.5


@pitfall("The score rises when an entity is missed")
def check_a_wrong_border_costs_more_than_a_miss():
    gold, border, missed = {("E", 0, 2), ("C", 4, 7)}, {("E", 0, 2), ("C", 5, 7)}, {("E", 0, 2)}
    assert (len(border - gold), len(gold - border)) == (1, 1) and (len(missed - gold), len(gold - missed)) == (0, 1)
    assert span_f1(gold, border) < span_f1(gold, missed)
    overlaps = lambda e, others: any(e[0] == k and e[1] < b and a < e[2] for k, a, b in others)
    partial = lambda found: 2 * sum(overlaps(e, found) for e in gold) / (len(gold) + len(found))
    assert partial(border) == 1 > partial(missed)


@pitfall("A type is missing from the report")
def check_prefixes_or_token_scores_keep_the_type():
    """The fixes only: seqeval, whose report drops the type, is not installed."""
    plain = ["ORGANIZATION", "O", "PERSON", "O"]
    assert plain[0][0] == "O"  # what seqeval takes for the position
    assert "ORGANIZATION" in classification_report(plain, plain)
    sentences, found = [plain, ["O", "PERSON"]], [["ORGANIZATION", "O", "O", "O"], ["O", "PERSON"]]
    raises(ValueError, lambda: f1_score(sentences, found, average="micro"))  # lists of lists
    joined = [sum(lists, []) for lists in (sentences, found)]
    assert math.isclose(
        f1_score(*joined, labels=["ORGANIZATION", "PERSON"], average="micro"), 0.8
    )  # 2 of 3, O left out
    assert f1_score(*joined, average="micro") > 0.8
    raises(ValueError, lambda: f1_score(*joined, labels=["ORGANIZATION", "PERSON"]), "average")
    report = classification_report(*joined, labels=["ORGANIZATION", "PERSON"], output_dict=True)
    assert set(report) >= {"ORGANIZATION", "PERSON"} and math.isclose(report["micro avg"]["f1-score"], 0.8)
    prefixed = [tag if tag == "O" else "B-" + tag for tag in plain]
    assert {kind for kind, _, _ in spans_of(prefixed)} == {"ORGANIZATION", "PERSON"}


@pitfall("A good score hides that new names are missed")
@holds("Why is NER not a dictionary lookup?")
def check_a_tagger_that_only_remembers():
    """40 documents with three names of their own, each named in five sentences."""
    sentences = [(document, f"{document}-{name}") for document in range(40) for name in range(3) for _ in range(5)]
    order = np.random.permutation(len(sentences))

    def recall(train, test):
        known = {sentences[i][1] for i in train}
        names = [sentences[i][1] for i in test]
        unseen = [name for name in names if name not in known]
        share = lambda those: np.mean([name in known for name in those]) if those else None
        return share(names), share(unseen)

    everything, unseen = recall(order[:300], order[300:])
    assert everything > 0.85 and unseen == 0, (everything, unseen)
    held_out, _ = recall(*(([i for i, s in enumerate(sentences) if (s[0] < 20) is first]) for first in (True, False)))
    assert held_out == 0


@pitfall("B- and I- disagree with a paper's data")
def check_iob1_read_as_bio():
    """IOB1 writes B- only between adjacent entities of one type."""
    spans, tags = [("PER", 0, 2), ("LOC", 3, 4), ("LOC", 4, 5)], ["O"] * 6
    for n, (kind, start, end) in enumerate(spans):
        adjacent = n > 0 and spans[n - 1][0] == kind and spans[n - 1][2] == start
        for i in range(start, end):
            tags[i] = ("B-" if adjacent and i == start else "I-") + kind
    assert tags == ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "O"]
    assert sum(tags[start].startswith("I-") for _, start, _ in spans) == 2 and spans_of(tags) != set(spans)
    before = lambda i: tags[i - 1] if i else "O"
    opens = lambda i: tags[i].startswith("I-") and before(i)[2:] != tags[i][2:]
    converted = ["B-" + tag[2:] if opens(i) else tag for i, tag in enumerate(tags)]
    assert spans_of(converted) == set(spans) and all(converted[start].startswith("B-") for _, start, _ in spans)


@pitfall("Token-level F1 looks much better")
def check_token_scores_flatter():
    truth, guess = [0] * 90 + [1] * 10, [0] * 100
    assert f1_score(truth, guess, average="micro") == 0.9 and f1_score(truth, guess, zero_division=0) == 0
    assert f1_score([0, 1, 1, 1, 0], [0, 0, 1, 1, 0]) == 0.8  # half a name, O left out
    assert span_f1(spans_of(["O", "B-A", "I-A", "I-A", "O"]), spans_of(["O", "O", "B-A", "I-A", "O"])) == 0


@check
def check_i_after_o():
    """The block's example: an I- after O opens a span (seqeval's default, 1.0) or none (strict IOB2, 0.8)."""
    gold = {("PER", 0, 0, 2), ("LOC", 0, 3, 4), ("LOC", 1, 1, 3)}
    for found, text in ((gold, "1.0"), (gold - {("LOC", 1, 1, 3)}, "0.8")):
        stated(text, 2 * len(gold & found) / (len(gold) + len(found)))
