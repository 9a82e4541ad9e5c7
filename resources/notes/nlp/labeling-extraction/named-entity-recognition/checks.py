import math

import numpy as np
from sklearn.metrics import f1_score, precision_score, recall_score

from note_checks import check, formula, stated

MICRO = r"""
P = \frac{\lvert G \cap S \rvert}{\lvert S \rvert}, \qquad R = \frac{\lvert G \cap S \rvert}{\lvert G \rvert}, \qquad F_1 = \frac{2PR}{P + R} = \frac{2 \lvert G \cap S \rvert}{\lvert G \rvert + \lvert S \rvert}
"""
MACRO = r"F_1^{\text{macro}} = \frac{1}{K} \sum_{k=1}^{K} \frac{2 \lvert G_k \cap S_k \rvert}{\lvert G_k \rvert + \lvert S_k \rvert}"


def draw(count, K):
    """Random entities (sentence, type, start, end)."""
    return {(int(s), int(k), int(a), int(a + b)) for s, k, a, b in zip(*(np.random.randint(0, n, count) for n in (3, K, 3)), np.random.randint(1, 3, count))}


@formula(MICRO, MACRO)
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
        library = np.mean([f1_score([t for t, e in zip(truth, every) if e[1] == k], [g for g, e in zip(guess, every) if e[1] == k]) for k in range(K)])
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


@check
def check_iob1_read_as_bio():
    """IOB1 writes B- only between adjacent entities of one type."""
    spans, tags = [("PER", 0, 2), ("LOC", 3, 4), ("LOC", 4, 5)], ["O"] * 6
    for n, (kind, start, end) in enumerate(spans):
        adjacent = n > 0 and spans[n - 1][0] == kind and spans[n - 1][2] == start
        for i in range(start, end):
            tags[i] = ("B-" if adjacent and i == start else "I-") + kind
    assert tags == ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "O"]
    assert sum(tags[start].startswith("I-") for _, start, _ in spans) == 2


@check
def check_token_scores_flatter():
    truth, guess = [0] * 90 + [1] * 10, [0] * 100
    assert np.mean(np.array(truth) == guess) == 0.9 and f1_score(truth, guess, zero_division=0) == 0
    assert f1_score([0, 1, 1, 1, 0], [0, 0, 1, 1, 0]) == 0.8


@check
def check_i_after_o():
    """The block's example: an I- after O opens a span (seqeval's default, 1.0) or none (strict IOB2, 0.8)."""
    gold = {("PER", 0, 0, 2), ("LOC", 0, 3, 4), ("LOC", 1, 1, 3)}
    for found, text in ((gold, "1.0"), (gold - {("LOC", 1, 1, 3)}, "0.8")):
        stated(text, 2 * len(gold & found) / (len(gold) + len(found)))
