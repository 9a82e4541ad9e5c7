import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.utils.class_weight import compute_class_weight
from torch.utils.data import WeightedRandomSampler

from note_checks import check, formula, pitfall, stated

WEIGHTS = r"w_c = \frac{n}{C \, n_c}"
MINIMUM = r"q(c \mid x) = \frac{w_c \, p(c \mid x)}{\sum_{k} w_k \, p(k \mid x)}"
THRESHOLD = r"t = \frac{c_{FP}}{c_{FP} + c_{FN}}"


def shifted(p, w):
    return w * p / (w * p).sum()


@formula(WEIGHTS)
def check_weights():
    for counts in ([90, 10], [1, 1], [500, 30, 7]):
        y = np.repeat(np.arange(len(counts)), counts)
        ours = len(y) / (len(counts) * np.array(counts))
        np.testing.assert_allclose(ours, compute_class_weight("balanced", classes=np.unique(y), y=y))
        np.testing.assert_allclose(ours * counts, len(y) / len(counts))


@formula(MINIMUM)
def check_minimum():
    for counts, w in [([4, 1], [5 / 9, 5.0]), ([6, 3, 1], [0.2, 1.0, 4.0])]:
        y = torch.tensor(np.repeat(np.arange(len(counts)), counts))
        wanted = torch.tensor(shifted(np.array(counts) / sum(counts), np.array(w)))
        logits = wanted.log().requires_grad_()
        loss = F.cross_entropy(logits.expand(len(y), -1), y, weight=torch.tensor(w, dtype=torch.float64))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient.abs().max() < 1e-12
        plain = torch.tensor(counts, dtype=torch.float64).log().requires_grad_()
        loss = F.cross_entropy(plain.expand(len(y), -1), y, weight=torch.tensor(w, dtype=torch.float64))
        assert torch.autograd.grad(loss, plain)[0].abs().max() > 0.05


@formula(THRESHOLD)
def check_threshold():
    for false_alarm, miss in [(1, 1), (1, 9), (5, 2)]:
        t = false_alarm / (false_alarm + miss)
        for p in np.linspace(0.01, 0.99, 99):
            cost_of_yes, cost_of_no = (1 - p) * false_alarm, p * miss
            assert abs(p - t) < 1e-9 or (cost_of_yes < cost_of_no) == (p > t)
    assert 1 / (1 + 9) == 0.1


@check
def check_by_hand():
    w = compute_class_weight("balanced", classes=np.array([0, 1]), y=np.repeat([0, 1], [90, 10]))
    stated("0.5556", w[0])
    stated("5.0", w[1])
    stated("0.4444", w[0] * 0.8)
    stated("0.6923", shifted(np.array([0.8, 0.2]), w)[1])
    stated("2.1972", math.log(w[1] / w[0]))
    assert math.isclose(shifted(np.array([0.9, 0.1]), w)[1], 0.5)
    stated("0.9529", shifted(shifted(np.array([0.8, 0.2]), w), w)[1])
    q = shifted(np.array([0.8, 0.2]), w)
    assert math.isclose((q / w)[1] / (q / w).sum(), 0.2)


@pitfall("The model sees the same few samples again and again")
def check_sampler():
    y = torch.tensor([0] * 900 + [1] * 100)
    weights = torch.tensor([5 / 9, 5.0])
    drawn = torch.tensor(list(WeightedRandomSampler(weights[y], num_samples=20000)))
    assert abs(y[drawn].float().mean() - 0.5) < 0.02
    assert set(WeightedRandomSampler(weights, num_samples=2000)) == {0, 1}
    assert WeightedRandomSampler([1.0], 1).replacement


def overlapping():
    generator = np.random.default_rng(0)
    return np.r_[generator.normal(0, 1, (19000, 2)), generator.normal(1, 1, (1000, 2))], np.repeat([0, 1], [19000, 1000])


@pitfall("Far too many false alarms")
def check_sampling_and_weights_together():
    x, y = overlapping()
    drawn = np.r_[np.arange(19000), np.random.choice(np.arange(19000, 20000), 19000)]
    power = dict(enumerate(np.bincount(y) ** -0.5 * 100))
    w = dict(enumerate(compute_class_weight("balanced", classes=np.unique(y), y=y)))
    settings = {"plain": (x, y, None), "both": (x[drawn], y[drawn], w), "sampling": (x[drawn], y[drawn], None), "weights": (x, y, w), "root": (x, y, power)}
    models = {name: LogisticRegression(C=1e6, class_weight=c).fit(a, b) for name, (a, b, c) in settings.items()}
    alarms = {name: m.predict(x[y == 0]).mean() for name, m in models.items()}
    assert alarms["both"] > 0.6 and abs(alarms["sampling"] - alarms["weights"]) < 0.02
    assert alarms["plain"] < 0.01 < alarms["root"] < alarms["weights"] - 0.1 < 0.2, alarms


@pitfall("Scores are far above the observed frequencies")
def check_scores_divided_by_the_weights():
    x, y = overlapping()
    w = compute_class_weight("balanced", classes=np.unique(y), y=y)
    plain, balanced = (LogisticRegression(C=1e6, class_weight=c).fit(x, y).predict_proba(x) for c in (None, "balanced"))
    back = balanced / w / (balanced / w).sum(1, keepdims=True)
    assert y.mean() == 0.05 and balanced[:, 1].mean() > 0.25
    for cured in (back, plain):
        middle = (cured[:, 1] > 0.2) & (cured[:, 1] < 0.4)
        assert abs(cured[:, 1].mean() - 0.05) < 0.005 and abs(y[middle].mean() - cured[middle, 1].mean()) < 0.05
    moved, weighted = plain[:, 1] > w[0] / (w[0] + w[1]), balanced[:, 1] > 0.5
    assert (moved == weighted).mean() > 0.98


@check
def check_linear_model_keeps_its_order():
    x, y = overlapping()
    plain, balanced = (LogisticRegression(C=1e6, class_weight=w).fit(x, y) for w in (None, "balanced"))
    assert abs((balanced.intercept_ - plain.intercept_)[0] - math.log(19)) < 0.25
    scores = [roc_auc_score(y, m.decision_function(x)) for m in (plain, balanced)]
    assert abs(scores[0] - scores[1]) < 0.002
    assert balanced.predict_proba(x)[:, 1].mean() > 4 * plain.predict_proba(x)[:, 1].mean()


@pitfall("Excellent validation, poor test")
def check_leak():
    """The features are pure noise: only a leak can find the rare class again."""
    x, y = np.random.randn(1000, 10), (np.arange(1000) < 100).astype(int)
    new_x, new_y = np.random.randn(1000, 10), y

    def copies(x, y):
        return np.r_[x, np.repeat(x[y == 1], 8, axis=0)], np.r_[y, np.ones(8 * (y == 1).sum(), int)]

    def smote(x, y):
        rare = x[y == 1]
        near = NearestNeighbors(n_neighbors=6).fit(rare).kneighbors(rare)[1][:, 1:]
        made = [row + np.random.rand() * (rare[np.random.choice(near[i])] - row) for i, row in enumerate(rare) for _ in range(8)]
        return np.r_[x, made], np.r_[y, np.ones(len(made), int)]

    for resample in (copies, smote):
        a, b, c, d = train_test_split(*resample(x, y), random_state=0, stratify=resample(x, y)[1])
        leaky = KNeighborsClassifier(1).fit(a, c)
        a, b2, c, d2 = train_test_split(x, y, random_state=0, stratify=y)
        honest = KNeighborsClassifier(1).fit(*resample(a, c))
        validated, tested = recall_score(d, leaky.predict(b)), recall_score(new_y, leaky.predict(new_x))
        assert validated > 0.9 and tested < validated - 0.25, (resample, validated, tested)
        assert abs(recall_score(d2, honest.predict(b2)) - recall_score(new_y, honest.predict(new_x))) < 0.2


@pitfall("The same sample counts more in one batch than in another")
def check_weighted_mean():
    z, w = torch.randn(1, 2), torch.tensor([5 / 9, 5.0])
    assert torch.allclose(F.cross_entropy(z, torch.tensor([1]), weight=w), F.cross_entropy(z, torch.tensor([1])))
    same, answers = torch.tensor([[1.0, 0.0]]), (torch.tensor([1, 0, 0, 0]), torch.tensor([1, 1, 1, 0]))
    share = [F.cross_entropy(same, y[:1], weight=w, reduction="sum") / w[y].sum() for y in answers]
    assert share[0] > 2 * share[1]                                     # the same sample, other company
    loss = lambda y, how: F.cross_entropy(torch.zeros(4, 2), y, weight=w, reduction=how).item()    # every sample alike
    mean, total = ([loss(y, how) for y in answers] for how in ("mean", "sum"))
    assert math.isclose(*mean, rel_tol=1e-6) and total[1] > 2 * total[0]
    logits, labels = torch.randn(64, 2), torch.randint(2, (64,))
    full = F.cross_entropy(logits, labels, weight=w)
    batches = [F.cross_entropy(a, b, weight=w) for a, b in zip(logits.split(8), labels.split(8))]
    fixed = [F.cross_entropy(a, b, weight=w, reduction="sum") / 8 for a, b in zip(logits.split(8), labels.split(8))]
    assert abs(sum(batches) / 8 - full) > 1e-3
    assert torch.allclose(sum(fixed) / 8, F.cross_entropy(logits, labels, weight=w, reduction="sum") / 64)


@check
def check_direction_needs_a_fixed_divisor():
    # The rare class (5 %, weight 19) holds half of the weighted sum, but less than that after `mean` over batches of 32.
    rare = np.random.default_rng(0).binomial(32, 0.05, 100_000)
    ours, fixed = (19 * rare / (18 * rare + 32)).mean(), 19 * rare.mean() / (18 * rare.mean() + 32)
    assert abs(fixed - 0.5) < 0.01 and ours < 0.45
    w = np.array([0.5556, 5.0])
    assert shifted(shifted(np.array([0.8, 0.2]), w), w**0.5)[1] > 0.85  # weaker weights on top of balanced sampling
    assert shifted(np.array([0.8, 0.2]), w**0.5)[1] < shifted(np.array([0.8, 0.2]), w)[1]
