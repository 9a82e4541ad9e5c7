import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

WEIGHTS = r"w_c = \frac{n}{C \, n_c}"
MINIMUM = r"q(c \mid x) = \frac{w_c \, p(c \mid x)}{\sum_{k} w_k \, p(k \mid x)}"
THRESHOLD = r"t = \frac{c_{FP}}{c_{FP} + c_{FN}}"


by_definition("Cost", "Undersampling", "Focal loss")
sourced(
    "Menon et al. 2021, Long-tail learning via logit adjustment: consistent for the balanced error",
    "Logit adjustment",
)


def shifted(p, w):
    return w * p / (w * p).sum()


@formula(WEIGHTS)
@holds("Class weights")
def check_weights():
    for counts in ([90, 10], [1, 1], [500, 30, 7]):
        y = np.repeat(np.arange(len(counts)), counts)
        ours = len(y) / (len(counts) * np.array(counts))
        np.testing.assert_allclose(ours, compute_class_weight("balanced", classes=np.unique(y), y=y))
        np.testing.assert_allclose(ours * counts, len(y) / len(counts))
        assert ours.shape == (len(counts),) and ours.dtype == float
        z, whole = torch.zeros(1, len(counts)), torch.ones(len(counts)).long()
        raises(RuntimeError, lambda: F.cross_entropy(z, torch.tensor([0]), weight=whole))
        raises(RuntimeError, lambda: F.cross_entropy(z, torch.tensor([0]), weight=whole.double()))
        F.cross_entropy(z, torch.tensor([0]), weight=whole.to(z.dtype))


@formula(MINIMUM)
@holds("Effect")
def check_minimum():
    for counts, w in [([4, 1], [5 / 9, 5.0]), ([6, 3, 1], [0.2, 1.0, 4.0])]:
        y = torch.tensor(np.repeat(np.arange(len(counts)), counts))
        p = np.array(counts) / sum(counts)
        wanted = torch.tensor(shifted(p, np.array(w)))
        assert math.isclose(math.log(wanted[1] / wanted[0]) - math.log(p[1] / p[0]), math.log(w[1] / w[0]))
        assert abs(wanted[1] - p[1]) > 0.05
        logits = wanted.log().requires_grad_()
        loss = F.cross_entropy(logits.expand(len(y), -1), y, weight=torch.tensor(w, dtype=torch.float64))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient.abs().max() < 1e-12
        plain = torch.tensor(counts, dtype=torch.float64).log().requires_grad_()
        loss = F.cross_entropy(plain.expand(len(y), -1), y, weight=torch.tensor(w, dtype=torch.float64))
        assert torch.autograd.grad(loss, plain)[0].abs().max() > 0.05


@formula(THRESHOLD)
@holds("Threshold")
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
@holds("Sampler")
def check_sampler():
    y = torch.tensor([0] * 900 + [1] * 100)
    weights = torch.tensor([5 / 9, 5.0])
    drawn = torch.tensor(list(WeightedRandomSampler(weights[y], num_samples=20000)))
    assert abs(y[drawn].float().mean() - 0.5) < 0.02
    assert set(WeightedRandomSampler(weights, num_samples=2000)) == {0, 1}
    assert drawn.dtype == torch.int64 and drawn.shape == (20000,)


def overlapping():
    generator = np.random.default_rng(0)
    return np.r_[generator.normal(0, 1, (19000, 2)), generator.normal(1, 1, (1000, 2))], np.repeat(
        [0, 1], [19000, 1000]
    )


@pitfall("Far too many false alarms")
def check_sampling_and_weights_together():
    x, y = overlapping()
    drawn = np.r_[np.arange(19000), np.random.choice(np.arange(19000, 20000), 19000)]
    power = dict(enumerate(np.bincount(y) ** -0.5 * 100))
    w = dict(enumerate(compute_class_weight("balanced", classes=np.unique(y), y=y)))
    settings = {
        "plain": (x, y, None),
        "both": (x[drawn], y[drawn], w),
        "sampling": (x[drawn], y[drawn], None),
        "weights": (x, y, w),
        "root": (x, y, power),
    }
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
    drawn = np.r_[np.arange(19000), np.random.choice(np.arange(19000, 20000), 19000)]  # balanced data, the same cure
    sampled = LogisticRegression(C=1e6).fit(x[drawn], y[drawn]).predict_proba(x)
    undone = sampled / w / (sampled / w).sum(1, keepdims=True)
    assert sampled[:, 1].mean() > 0.25
    for cured in (back, plain, undone):
        middle = (cured[:, 1] > 0.2) & (cured[:, 1] < 0.4)
        assert abs(cured[:, 1].mean() - 0.05) < 0.005 and abs(y[middle].mean() - cured[middle, 1].mean()) < 0.05
    moved, weighted = plain[:, 1] > w[0] / (w[0] + w[1]), balanced[:, 1] > 0.5
    assert (moved == weighted).mean() > 0.98
    images, digit = load_digits(return_X_y=True)
    a, b, c, d = train_test_split(images, digit == 8, test_size=0.5, random_state=0, stratify=digit == 8)
    w = compute_class_weight("balanced", classes=np.array([False, True]), y=c)
    for model in (
        make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced")),
        RandomForestClassifier(30, class_weight="balanced", random_state=0),
    ):
        p = model.fit(a, c).predict_proba(b)
        undone = p / w / (p / w).sum(1, keepdims=True)
        assert undone[:, 1].mean() < 0.85 * d.mean() < p[:, 1].mean()  # divided by the weights: too low


@holds("Does reweighting improve ROC AUC?")
def check_linear_model_keeps_its_order():
    x, y = overlapping()
    plain, balanced = (LogisticRegression(C=1e6, class_weight=w).fit(x, y) for w in (None, "balanced"))
    assert abs((balanced.intercept_ - plain.intercept_)[0] - math.log(19)) < 0.25
    scores = [roc_auc_score(y, m.decision_function(x)) for m in (plain, balanced)]
    assert abs(scores[0] - scores[1]) < 0.002
    rng = np.random.default_rng(0)  # misspecified: classes of unlike shape
    z = np.r_[rng.normal(0, 1, (9500, 2)), rng.normal(0, 1, (500, 2)) * [3, 0.3] + [1.5, 1]]
    kinds = np.repeat([0, 1], [9500, 500])
    found = [LogisticRegression(class_weight=w).fit(z, kinds).coef_[0] for w in (None, "balanced")]
    turned = [math.degrees(math.atan2(b, a)) for a, b in found]
    assert abs(turned[0] - turned[1]) > 5, turned
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
        made = [
            row + np.random.rand() * (rare[np.random.choice(near[i])] - row)
            for i, row in enumerate(rare)
            for _ in range(8)
        ]
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
@holds("Class weights")
def check_weighted_mean():
    z, w = torch.randn(1, 2), torch.tensor([5 / 9, 5.0])
    assert torch.allclose(F.cross_entropy(z, torch.tensor([1]), weight=w), F.cross_entropy(z, torch.tensor([1])))
    same, answers = torch.tensor([[1.0, 0.0]]), (torch.tensor([1, 0, 0, 0]), torch.tensor([1, 1, 1, 0]))
    share = [F.cross_entropy(same, y[:1], weight=w, reduction="sum") / w[y].sum() for y in answers]
    assert share[0] > 2 * share[1]  # the same sample, other company
    loss = lambda y, how: F.cross_entropy(torch.zeros(4, 2), y, weight=w, reduction=how).item()  # every sample alike
    mean, total = ([loss(y, how) for y in answers] for how in ("mean", "sum"))
    assert math.isclose(*mean, rel_tol=1e-6) and total[1] > 2 * total[0]
    logits, labels = torch.randn(64, 2), torch.randint(2, (64,))
    full = F.cross_entropy(logits, labels, weight=w)
    batches = [F.cross_entropy(a, b, weight=w) for a, b in zip(logits.split(8), labels.split(8))]
    fixed = [F.cross_entropy(a, b, weight=w, reduction="sum") / 8 for a, b in zip(logits.split(8), labels.split(8))]
    assert abs(sum(batches) / 8 - full) > 1e-3
    assert torch.allclose(sum(fixed) / 8, F.cross_entropy(logits, labels, weight=w, reduction="sum") / 64)


@holds("Weights or oversampling?")
def check_direction_needs_a_fixed_divisor():
    # The rare class (5 %, weight 19) holds half of the weighted sum, but less than that after `mean` over batches of 32.
    rare = np.random.default_rng(0).binomial(32, 0.05, 100_000)
    ours, fixed = (19 * rare / (18 * rare + 32)).mean(), 19 * rare.mean() / (18 * rare.mean() + 32)
    assert abs(fixed - 0.5) < 0.01 and ours < 0.45
    y = torch.tensor([0] * 950 + [1] * 50)
    z, w = torch.randn(1000, 2, requires_grad=True), torch.tensor([1.0, 19.0])
    each = torch.autograd.grad(F.cross_entropy(z, y, reduction="sum"), z)[0]
    chance = w[y] / w[y].sum()  # of the sampler
    weighted = torch.autograd.grad(F.cross_entropy(z, y, weight=w, reduction="sum"), z)[0]
    assert torch.allclose(weighted / w[y].sum(), chance[:, None] * each, atol=1e-7)
    assert abs(chance[y == 1].sum() - 0.5) < 1e-5 and len(set(WeightedRandomSampler(chance, 1000))) < 700
    w = np.array([0.5556, 5.0])
    assert shifted(shifted(np.array([0.8, 0.2]), w), w**0.5)[1] > 0.85  # weaker weights on top of balanced sampling
    assert shifted(np.array([0.8, 0.2]), w**0.5)[1] < shifted(np.array([0.8, 0.2]), w)[1]


@holds("Defaults")
def check_defaults():
    assert WeightedRandomSampler([1.0], 1).replacement and LogisticRegression().class_weight is None


@holds("Only in training")
def check_precision_depends_on_the_class_shares():
    x, y = overlapping()
    said = LogisticRegression().fit(x, y).predict_proba(x)[:, 1] > 0.1
    precision = lambda rows: y[rows][said[rows]].mean()
    everyone = np.arange(len(y))
    assert precision(np.r_[everyone, np.repeat(everyone[y == 1], 18)]) > precision(everyone) + 0.3


@holds("Oversampling")
def check_batches_without_the_rare_class():
    y = torch.tensor([0] * 990 + [1] * 10)
    batches = lambda **options: DataLoader(TensorDataset(y), 32, **options)
    missed = lambda **options: np.mean([b.sum().item() == 0 for _ in range(5) for (b,) in batches(**options)])
    sampler = WeightedRandomSampler((1 / torch.bincount(y).float())[y], 1000)
    assert missed(shuffle=True) > 0.5 and missed(sampler=sampler) < 0.05


@holds("Class-balanced loss")
def check_milder_ratios():
    n = np.array([5000.0, 50.0])
    for beta in (0.9, 0.99, 0.999, 0.9999):
        effective = (1 - beta**n) / (1 - beta)
        assert 1 < effective[0] / effective[1] < n[0] / n[1]


@holds("Which metric?", "Is imbalance always a problem?")
def check_accuracy_and_separation():
    y, rng = np.repeat([0, 1], [950, 50]), np.random.default_rng(0)
    assert (y == 0).mean() == 0.95 and recall_score(y, np.zeros(1000, int)) == 0
    p = rng.uniform(0, 0.6, 4000)  # true probabilities, costs equal: expected errors
    errors = lambda t: np.where(p > t, 1 - p, p).mean()
    assert all(errors(0.5) < errors(t) for t in (0.05, 0.1, 0.3, 0.4, 0.55))
    x = rng.normal(0, 1, (1000, 2)) + 8 * y[:, None]
    assert recall_score(y, LogisticRegression().fit(x, y).predict(x)) == 1
