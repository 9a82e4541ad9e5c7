import itertools
import math

import numpy as np
import torch
from sklearn.metrics import f1_score

from note_checks import check, formula, stated

PAIR = r"p(r \mid i, j) = \mathrm{softmax} \left( W \left[ h_i \,;\, h_j \right] + b \right)_r"
F1 = r"F_1 = \frac{2 \lvert G \cap S \rvert}{\lvert G \rvert + \lvert S \rvert}"
RECALL = r"\mathbb{E}[R] = \rho^2"
GOLD = {("Ada", "PER", "works for", "Acme", "ORG"), ("Acme", "ORG", "based in", "Oslo", "LOC")}
FOUND = {("Ada", "PER", "works for", "Acme", "ORG"), ("Acme", "PER", "based in", "Oslo", "LOC"), ("Ada", "PER", "based in", "Oslo", "LOC")}


@formula(PAIR)
def check_pair_layer():
    for n, d, R in [(3, 4, 2), (5, 2, 6), (2, 7, 1)]:
        h, layer = torch.randn(n, d, dtype=torch.float64), torch.nn.Linear(2 * d, R + 1).double()
        W, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        for i, j in itertools.permutations(range(n), 2):
            z = W @ np.concatenate([h[i].numpy(), h[j].numpy()]) + b
            library = layer(torch.cat([h[i], h[j]])).softmax(0).detach().numpy()
            np.testing.assert_allclose(np.exp(z) / np.exp(z).sum(), library, rtol=1e-9)


@formula(F1)
def check_f1_without_the_negative_class():
    """Pairs as items, relations as classes: scikit-learn's micro F1 over the classes 1 … R."""
    for pairs, R in [(30, 3), (12, 1), (90, 5)]:
        truth, guess = (np.random.randint(0, R + 1, pairs) * (np.random.rand(pairs) < 0.6) for _ in range(2))
        truth[0] = guess[0] = 1
        G, S = ({(i, r) for i, r in enumerate(labels) if r > 0} for labels in (truth, guess))
        library = f1_score(truth, guess, labels=list(range(1, R + 1)), average="micro")
        assert math.isclose(2 * len(G & S) / (len(G) + len(S)), library)
    truth, guess = [0] * 88 + [1, 1], [0] * 90
    assert f1_score(truth, guess, average="micro") > 0.97 and f1_score(truth, guess, labels=[1], average="micro", zero_division=0) == 0


@formula(RECALL)
def check_recall_by_simulation():
    rng = np.random.default_rng(0)
    for rho in (0.9, 0.5, 0.97):
        found = rng.random((40_000, 4)) < rho
        both = [(found[:, i] & found[:, j]).mean() for i, j in ((0, 1), (1, 2), (0, 3))]
        np.testing.assert_allclose(both, rho**2, atol=0.01)
    stated("0.81", 0.9**2)


@check
def check_by_hand():
    borders = lambda triples: {(a, r, b) for a, _, r, b, _ in triples}
    f1 = lambda G, S: 2 * len(G & S) / (len(G) + len(S))
    stated("0.4", f1(GOLD, FOUND))
    stated("0.8", f1(borders(GOLD), borders(FOUND)))
    pairs = list(itertools.permutations(["Ada", "Acme", "Oslo"], 2))
    assert len(pairs) == 6 and sum(not any((a, b) == (g[0], g[3]) for g in GOLD) for a, b in pairs) == 4
    stated("12", len(list(itertools.permutations(range(4), 2))))
    stated("90", len(list(itertools.permutations(range(10), 2))))
    none = {(a, "none", b) for a, b in pairs}
    free = lambda triples: {t for t in none if not any((t[0], t[2]) == (g[0], g[3]) for g in triples)}
    assert f1(GOLD | free(GOLD), FOUND | free(FOUND)) > 0.4


@check
def check_symmetric_score_cannot_tell_the_order():
    h = torch.randn(2, 8)
    layer, pair = torch.nn.Linear(8, 3), torch.nn.Linear(16, 3)
    assert torch.equal(layer(h[0] + h[1]), layer(h[1] + h[0]))
    assert not torch.allclose(pair(torch.cat([h[0], h[1]])), pair(torch.cat([h[1], h[0]])))
