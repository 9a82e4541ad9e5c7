import itertools
import math

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

PAIR = r"p(r \mid i, j) = \mathrm{softmax} \left( W \left[ h_i \,;\, h_j \right] + b \right)_r"
F1 = r"F_1 = \frac{2 \lvert G \cap S \rvert}{\lvert G \rvert + \lvert S \rvert}"
RECALL = r"\mathbb{E}[\mathrm{recall}] = \rho^2"
GOLD = {("Ada", "PER", "works for", "Acme", "ORG"), ("Acme", "ORG", "based in", "Oslo", "LOC")}
FOUND = {
    ("Ada", "PER", "works for", "Acme", "ORG"),
    ("Acme", "PER", "based in", "Oslo", "LOC"),
    ("Ada", "PER", "based in", "Oslo", "LOC"),
}

by_definition("Two designs", "prompted language model", "How does it differ from text classification?")
sourced(
    "Mintz et al., Distant supervision for relation extraction without labeled data, ACL 2009; "
    "Riedel et al., Modeling Relations and Their Mentions without Labeled Text, 2010",
    "distant supervision",
    "What is distant supervision?",
)


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
@holds("Score")
def check_f1_without_the_negative_class():
    """Pairs as items, relations as classes: scikit-learn's micro F1 over the classes 1 … R."""
    for pairs, R in [(30, 3), (12, 1), (90, 5)]:
        truth, guess = (np.random.randint(0, R + 1, pairs) * (np.random.rand(pairs) < 0.6) for _ in range(2))
        truth[0] = guess[0] = 1
        G, S = ({(i, r) for i, r in enumerate(labels) if r > 0} for labels in (truth, guess))
        library = f1_score(truth, guess, labels=list(range(1, R + 1)), average="micro")
        assert math.isclose(2 * len(G & S) / (len(G) + len(S)), library)
    truth, guess = [0] * 88 + [1, 1], [0] * 90
    assert (
        f1_score(truth, guess, average="micro") > 0.97
        and f1_score(truth, guess, labels=[1], average="micro", zero_division=0) == 0
    )


@formula(RECALL)
@holds("pipeline, marked entities, BERT")
def check_recall_by_simulation():
    rng = np.random.default_rng(0)
    for rho in (0.9, 0.5, 0.97):
        found = rng.random((40_000, 4)) < rho
        both = [(found[:, i] & found[:, j]).mean() for i, j in ((0, 1), (1, 2), (0, 3))]
        np.testing.assert_allclose(both, rho**2, atol=0.01)
    stated("0.81", 0.9**2)
    found = rng.random((40_000, 4)) < [1, 1, 0.8, 0.8]  # not equally often: the relation of 0 and 1 is never lost
    assert abs(found.mean() - 0.9) < 0.01 and (found[:, 0] & found[:, 1]).mean() == 1 > 0.81


@holds("Input → output", "Labels")
def check_shapes_and_labels():
    n, d, R = 4, 6, 3
    head, tail = torch.nn.Linear(d, R + 1), torch.nn.Linear(d, R + 1, bias=False)
    h = torch.randn(2, n, d)
    logits = head(h)[:, :, None] + tail(h)[:, None]
    assert logits.shape == (2, n, n, R + 1) and (head(h[0])[:, None] + tail(h[0])[None]).shape == (n, n, R + 1)
    assert torch.allclose(logits[0], head(h[0])[:, None] + tail(h[0])[None], atol=1e-6)
    assert torch.equal(head(h).unsqueeze(-2) + tail(h).unsqueeze(-3), logits)
    pairs = torch.tensor(list(itertools.permutations(range(n), 2)))
    labels = torch.randint(0, R + 1, (len(pairs),))
    loss = torch.nn.functional.cross_entropy(logits[0][pairs[:, 0], pairs[:, 1]], labels)
    assert len(pairs) == n * (n - 1) and loss > 0


@holds("Pairs to classify")
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


@pitfall("F1 values of two papers are not comparable")
def check_settings_reverse_the_order_of_two_systems():
    f1 = lambda G, S: 2 * len(G & S) / (len(G) + len(S))
    borders = lambda triples: {(a, r, b) for a, _, r, b, _ in triples}
    last_tokens = lambda triples: {(a.split()[-1], r, b.split()[-1]) for a, r, b in borders(triples)}
    other = {("Ada", "PER", "works for", "Acme", "ORG")}
    assert f1(borders(GOLD), borders(FOUND)) > f1(GOLD, other)  # as published: borders here, strict there
    assert f1(GOLD, FOUND) < f1(GOLD, other)  # both strict: the other way round
    long = {("Ada Byron", "PER", "works for", "Acme", "ORG")}
    short = {("Byron", "PER", "works for", "Acme", "ORG")}
    assert f1(borders(long), borders(short)) == 0 and f1(last_tokens(long), last_tokens(short)) == 1


@pitfall("The score is high although no relation is found")
def check_no_relation_in_the_average():
    truth, nothing = [0] * 88 + [1, 3], [0] * 90
    assert f1_score(truth, nothing, average="micro") > 0.97
    assert f1_score(truth, nothing, labels=list(range(1, 4)), average="micro") == 0
    table, different = torch.zeros(4, 4, dtype=torch.long), ~torch.eye(4, dtype=torch.bool)
    table[0, 1], table[2, 3] = 1, 3
    raises(ValueError, lambda: f1_score(table, table, labels=[1, 2, 3], average="micro"))
    assert f1_score(table[different], table[different], labels=[1, 2, 3], average="micro") == 1
    assert table[different].shape == (4 * 3,)
    pairs = {("Ada", "works for", "Acme")}  # Oslo was missed, and its pairs with it
    gold = pairs | {("Acme", "based in", "Oslo")}
    of_pairs = f1_score([1, 0], [1, 0], labels=[1, 2], average="micro")
    of_triples = 2 * len(gold & pairs) / (len(gold) + len(pairs))
    assert of_pairs == 1 > of_triples


@pitfall('Everything is predicted as "no relation"')
def check_few_positive_pairs():
    """Two overlapping classes, 2 positives in 90; each of the three fixes alone finds some."""
    truth = (np.arange(9000) % 45 == 0).astype(int)
    features = np.random.randn(9000, 5) + 0.5 * truth[:, None]
    train, test = slice(0, 4500), slice(4500, 9000)
    score = lambda guess: f1_score(truth[test], guess, labels=[1], average="micro", zero_division=0)
    plain = LogisticRegression().fit(features[train], truth[train])
    assert plain.predict(features[test]).sum() < 5
    halved = LogisticRegression().fit(features[train], truth[train], np.where(truth[train] == 0, 0.5, 1))
    assert halved.predict(features[test]).sum() < 15  # of 100
    weights = np.where(truth[train] == 0, 0.1, 1)
    weighted = LogisticRegression().fit(features[train], truth[train], weights).predict(features[test])
    kept = (truth[train] == 1) | (np.random.rand(4500) < 0.1)
    subsampled = LogisticRegression().fit(features[train][kept], truth[train][kept]).predict(features[test])
    lowered = (plain.predict_proba(features[test])[:, 1] > 0.1).astype(int)
    assert min(score(weighted), score(subsampled), score(lowered)) > 0.1
    several = truth * np.random.randint(1, 4, 9000)  # three relations
    features = np.random.randn(9000, 6) + 1.2 * np.repeat(np.eye(4)[:, 1:], 2, 1)[several]
    p = LogisticRegression().fit(features[train], several[train]).predict_proba(features[test])
    best = np.where(p[:, 1:].max(1) > 0.1, p[:, 1:].argmax(1) + 1, 0)
    f1 = [f1_score(several[test], g, labels=[1, 2, 3], average="micro") for g in (p.argmax(1), best)]
    assert f1[1] > f1[0] + 0.05, f1


@pitfall("One of two relations of an entity pair gets lost")
@holds("joint, with a table per relation", "tagging with relation tags")
def check_two_relations_of_a_pair():
    pairs, R = torch.eye(3), 2
    truth = torch.tensor([[1.0, 0], [0, 1], [1, 1]])  # the third pair has both
    single, several = torch.nn.Linear(3, R + 1), torch.nn.Linear(3, R)
    optimizer = torch.optim.Adam([*single.parameters(), *several.parameters()], 0.1)
    targets = torch.cat([torch.zeros(3, 1), truth / truth.sum(1, keepdim=True)], 1)
    for _ in range(200):
        loss = torch.nn.functional.cross_entropy(single(pairs), targets)
        loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(several(pairs), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.nn.functional.one_hot(single(pairs).argmax(1), R + 1)[2].sum() == 1
    assert torch.equal((several(pairs) > 0).float(), truth)
    loss = torch.nn.BCEWithLogitsLoss()
    raises(ValueError, lambda: loss(single(pairs), truth), "must be the same")  # R + 1 outputs
    raises(RuntimeError, lambda: loss(several(pairs), truth.long()))
    labels, found = truth.long(), (several(pairs) > 0).long()
    assert f1_score(labels, found, average="micro") == 1
    raises(ValueError, lambda: f1_score(labels, found, labels=[1, 2], average="micro"))
    batch = [table.reshape(1, *table.shape) for table in (labels, found)]  # not one row per pair
    raises(ValueError, lambda: f1_score(*batch, average="micro"))
    names = ("born in", "lives in")
    tags, spans, table = ["O"] * 4, {name: set() for name in names}, torch.zeros(R, 4, 4, dtype=torch.bool)
    for r, name in enumerate(names):  # both relations hold between the words 0 and 3
        tags[0], tags[3] = f"{name}: head", f"{name}: tail"
        spans[name].add(((0, 1), (3, 4)))
        table[r, 0, 3] = True
    assert {tag.split(":")[0] for tag in tags} == {"O", "lives in"}
    assert all(spans[name] == {((0, 1), (3, 4))} for name in names) and table[:, 0, 3].all()


@pitfall("Head and tail swapped")
@holds("Why mark entities with special tokens?")
def check_symmetric_score_cannot_tell_the_order():
    h = torch.randn(2, 8)
    layer, pair = torch.nn.Linear(8, 3), torch.nn.Linear(16, 3)
    assert torch.equal(layer(h[0] + h[1]), layer(h[1] + h[0]))
    assert not torch.allclose(pair(torch.cat([h[0], h[1]])), pair(torch.cat([h[1], h[0]])))
    head, tail = torch.randn(2, 400, 8)
    larger = (head[:, 0] > tail[:, 0]).long()  # a relation that only one order has
    vectors = {"sum": head + tail, "concatenated": torch.cat([head, tail], 1)}
    accuracy = lambda x: LogisticRegression().fit(x[:200], larger[:200]).score(x[200:], larger[200:])
    right = {name: accuracy(x) for name, x in vectors.items()}
    assert right["sum"] < 0.6 and right["concatenated"] > 0.9, right
    embed, encoder = torch.nn.Embedding(6, 8), torch.nn.GRU(8, 8, batch_first=True, bidirectional=True)
    HEAD, TAIL = 4, 5  # markers before the words 1 and 3 of 0 1 2 3
    marked = torch.tensor([[0, HEAD, 1, 2, TAIL, 3], [0, TAIL, 1, 2, HEAD, 3]])
    states = encoder(embed(marked))[0]
    assert not torch.allclose(states[0, 0], states[1, 0], atol=1e-4)  # a word outside the pair
    both = states[:, 2] + states[:, 5]  # even a sum now differs between the orders
    assert not torch.allclose(both[0], both[1], atol=1e-3)
