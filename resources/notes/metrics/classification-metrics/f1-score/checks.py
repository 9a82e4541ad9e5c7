import inspect
import math
import warnings

import numpy as np
import torch
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    fbeta_score,
    jaccard_score,
    matthews_corrcoef,
    precision_recall_curve,
    precision_score,
    recall_score,
)

from note_checks import check, formula, holds, pitfall, raises, stated

F1 = r"F_1 = \frac{2 P R}{P + R} = \frac{2 \, TP}{2 \, TP + FP + FN}"
F_BETA = r"F_\beta = \frac{(1 + \beta^2) P R}{\beta^2 P + R} = \frac{(1 + \beta^2) \, TP}{(1 + \beta^2) \, TP + \beta^2 FN + FP}"
BASELINE = r"F_1^{\mathrm{all}} = \frac{2 \pi}{1 + \pi}"
DERIVATIVES = r"""
\frac{\partial F_1}{\partial P} = \frac{2 R^2}{(P + R)^2}, \qquad \frac{\partial F_1}{\partial R} = \frac{2 P^2}{(P + R)^2}
"""
EXAMPLE = np.repeat([1, 0], [8, 92]), np.repeat([1, 0, 1, 0], [6, 2, 3, 89])


def cases():
    """Labels and predictions with a true positive, of several sizes, class ratios and unequal errors."""
    for n, rate, flip in [(5, 0.5, 0.3), (40, 0.5, 0.1), (300, 0.1, 0.4), (301, 0.9, 0.2)]:
        y = (np.random.rand(n) < rate).astype(int)
        p = np.where((y == 1) & (np.random.rand(n) < flip), 0, y)
        p[(y == 0) & (np.random.rand(n) < 0.2)] = 1
        y[0], p[0] = 1, 1
        yield y, p


def counts(y, p):
    return tuple(int(((y == a) & (p == b)).sum()) for a, b in [(1, 1), (0, 1), (1, 0)])


@formula(F1)
def check_f1():
    for y, p in cases():
        tp, fp, fn = counts(y, p)
        precision, recall = precision_score(y, p), recall_score(y, p)
        assert math.isclose(2 * precision * recall / (precision + recall), f1_score(y, p))
        assert math.isclose(2 * tp / (2 * tp + fp + fn), f1_score(y, p))
        assert f1_score(y, p) < 2 * min(precision, recall) and f1_score(y, p) == f1_score(p, y)
        assert math.isclose(jaccard_score(y, p), f1_score(y, p) / (2 - f1_score(y, p)))


@formula(F_BETA)
def check_f_beta():
    for y, p in cases():
        tp, fp, fn = counts(y, p)
        precision, recall = precision_score(y, p), recall_score(y, p)
        for beta in (0.5, 1, 2, 3.7):
            square = beta**2
            wanted = fbeta_score(y, p, beta=beta)
            assert math.isclose((1 + square) * precision * recall / (square * precision + recall), wanted)
            assert math.isclose((1 + square) * tp / ((1 + square) * tp + square * fn + fp), wanted)
        assert math.isclose(fbeta_score(y, p, beta=0), precision)
        assert math.isclose(fbeta_score(y, p, beta=1e6), recall, rel_tol=1e-6)


@formula(BASELINE)
def check_baseline():
    for y, _ in cases():
        assert math.isclose(2 * y.mean() / (1 + y.mean()), f1_score(y, np.ones(len(y), int)))


@pitfall("A poor model has F1 0.67")
def check_everything_positive():
    y = np.repeat([0, 1], 500)
    stated("0.6667", f1_score(y, 0 * y + 1))
    stated("0.67", f1_score(y, 0 * y + 1))
    assert matthews_corrcoef(y, 0 * y + 1) == matthews_corrcoef(y, 0 * y) == 0
    poor = np.where(np.random.rand(1000) < 0.97, 1, y)
    good = np.where(np.random.rand(1000) < 0.1, 1 - y, y)
    assert f1_score(y, poor) < 0.69 and matthews_corrcoef(y, poor) < 0.2 < 0.7 < matthews_corrcoef(y, good)


@holds("What does $\\beta$ mean exactly?")
@formula(DERIVATIVES)
def check_derivatives():
    for _ in range(5):
        p, r, beta = (torch.rand((), dtype=torch.float64, requires_grad=True) for _ in range(3))
        ours = 2 * r**2 / (p + r) ** 2, 2 * p**2 / (p + r) ** 2
        for a, b in zip(ours, torch.autograd.grad(2 * p * r / (p + r), (p, r))):
            assert math.isclose(a.item(), b.item())
        at = (beta * p).detach().requires_grad_()
        one, other = torch.autograd.grad((1 + beta**2) * p * at / (beta**2 * p + at), (p, at))
        assert math.isclose(one.item(), other.item())


@check
def check_by_hand():
    y, p = EXAMPLE
    assert counts(y, p) == (6, 3, 2)
    stated("0.6667", precision_score(y, p))
    stated("0.75", recall_score(y, p))
    stated("0.7059", f1_score(y, p))
    stated("0.7083", (precision_score(y, p) + recall_score(y, p)) / 2)
    stated("0.7317", fbeta_score(y, p, beta=2))
    stated("0.6818", fbeta_score(y, p, beta=0.5))
    stated("0.71", f1_score(y, p))
    stated("0.97", f1_score(y, p, pos_label=0))
    rare = np.repeat([1, 0], [1, 99])
    stated("0.0198", f1_score(rare, np.ones(100, int)))
    stated("0.505", (precision_score(rare, np.ones(100, int)) + 1) / 2)


@check
def check_best_threshold_is_half_of_the_best_f1():
    rng = np.random.default_rng(0)
    for a, b in [(1, 4), (2, 2), (3, 1)]:
        probability = rng.beta(a, b, 200000)
        label = rng.random(200000) < probability
        precision, recall, thresholds = precision_recall_curve(label, probability)
        f1 = 2 * precision[:-1] * recall[:-1] / (precision[:-1] + recall[:-1])
        assert abs(thresholds[f1.argmax()] - f1.max() / 2) < 0.015
    rng = np.random.default_rng(0)
    probability = rng.beta(1, 4, 20000)
    label = rng.random(20000) < probability
    stated("0.30", f1_score(label, probability > 0.5))
    precision, recall, _ = precision_recall_curve(
        [1, 0], [0.1, 0.9]
    )  # the best score is a negative: 0/0 without the maximum
    assert precision[-2] + recall[-2] == 0
    stated("0.49", max(f1_score(label, probability > t) for t in np.linspace(0.2, 0.3, 41)))


@pitfall("F1 is low although the ranking is good")
def check_threshold_from_validation_data():
    rng = np.random.default_rng(1)
    probability = rng.beta(1, 4, 40000)
    label = rng.random(40000) < probability
    validation, test = slice(0, 20000), slice(20000, 40000)
    precision, recall, thresholds = precision_recall_curve(label[validation], probability[validation])
    f1 = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], 1e-12)
    cut_at_half, chosen = (f1_score(label[test], probability[test] >= t) for t in (0.5, thresholds[f1.argmax()]))
    assert abs(cut_at_half - 0.30) < 0.03 and abs(chosen - 0.49) < 0.02 and cut_at_half < chosen * 2 / 3


@pitfall("The same model has F1 0.71 and 0.97")
def check_which_class_is_positive():
    y, p = EXAMPLE
    stated("0.71", f1_score(y, p))
    stated("0.97", f1_score(1 - y, 1 - p))
    names, found = np.where(y == 1, "spam", "ham"), np.where(p == 1, "spam", "ham")
    for labels in ((y, p), (1 - y, 1 - p)):
        rare = min(set(labels[0]), key=lambda c: (labels[0] == c).sum())
        assert math.isclose(f1_score(*labels, pos_label=rare), 12 / 17)
        assert math.isclose(f1_score(*labels, average="macro"), (f1_score(y, p) + f1_score(1 - y, 1 - p)) / 2)
    assert math.isclose(f1_score(names, found, pos_label="spam"), 12 / 17)


@pitfall("F1 logged during training is lower than F1 of the whole set")
def check_batches():
    one, other = ([1, 1, 1, 1], [1, 1, 1, 1]), ([0, 0, 0, 1], [0, 0, 0, 0])
    stated("1.0", f1_score(*one))
    assert f1_score(*other) == 0
    stated("0.8889", f1_score(one[0] + other[0], one[1] + other[1]))
    y = (np.random.rand(640) < 0.1).astype(int)
    p = np.where(np.random.rand(640) < 0.05, 1 - y, y)
    batches = np.split(np.arange(640), 80)
    logged = np.mean([f1_score(y[b], p[b], zero_division=0) for b in batches])
    tp, fp, fn = np.sum([counts(y[b], p[b]) for b in batches], 0)
    assert logged < f1_score(y, p) - 0.2 and math.isclose(2 * tp / (2 * tp + fp + fn), f1_score(y, p))


@holds("Undefined")
@pitfall("Different values for 0/0")
def check_undefined():
    """What 1.3.0 did is computed with its formula; the installed version has the fix."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert f1_score([0, 0], [0, 0]) == 0
    assert caught[0].category is UndefinedMetricWarning
    old = lambda p, r: (
        1 if p + r == 0 else 2 * p * r / (p + r)
    )  # 1.3.0: an undefined p or r is already zero_division = 1
    assert old(0, 0) == 1 and old(1, 0) == old(0, 1) == 0
    for y, p in [([1, 0], [0, 1]), ([1, 0], [0, 0]), ([0, 0], [0, 1])]:
        assert f1_score(y, p, zero_division=1) == 0 and f1_score(y, p, zero_division=np.nan) == 0
    assert f1_score([0, 0], [0, 0], zero_division=1) == 1 and math.isnan(f1_score([0, 0], [0, 0], zero_division=np.nan))
    raises(ValueError, lambda: f1_score([0, 1], [0.2, 0.7]), "continuous")


@holds("F1", "$F_2$, $F_{0.5}$", "Balanced accuracy", "Matthews correlation", "Average precision", "Ignores")
def check_true_negatives_and_errors():
    y, p = EXAMPLE
    more = np.r_[y, np.zeros(900, int)], np.r_[p, np.zeros(900, int)]
    for beta in (0.5, 1, 2):
        assert fbeta_score(*more, beta=beta) == fbeta_score(y, p, beta=beta)
    for score in (balanced_accuracy_score, matthews_corrcoef):
        assert score(*more) > score(y, p) + 0.001
    s = np.random.randn(100) + y
    lower = np.r_[s, s.min() - 1 - np.random.rand(900)]  # easy negatives below all others
    assert math.isclose(average_precision_score(more[0], lower), average_precision_score(y, s))
    truth = np.repeat([1, 0], [10, 90])
    miss = np.repeat([1, 0, 0], [6, 4, 90])
    alarm = np.repeat([1, 1, 0], [10, 4, 86])
    missed, raised = (lambda b: fbeta_score(truth, miss, beta=b)), (lambda b: fbeta_score(truth, alarm, beta=b))
    assert missed(2) < raised(2) - 0.1 and missed(0.5) > raised(0.5) + 0.05
    swapped = np.repeat([1, 0, 1, 0], [6, 3, 2, 89])  # 3 misses and 2 false alarms in place of 2 and 3
    assert math.isclose(f1_score(np.repeat([1, 0], [9, 91]), swapped), f1_score(y, p))
    assert f1_score(truth, 0 * truth, zero_division=0) == 0  # 0.9 of all labels are right here
    assert balanced_accuracy_score(1 - y, 1 - p) == balanced_accuracy_score(y, p)  # both classes alike
    base = np.array([6, 3, 2, 89])
    values = []
    for i in range(4):
        a, b, c, d = base + 5 * (np.arange(4) == i)
        values.append(matthews_corrcoef(np.repeat([1, 0, 1, 0], [a, b, c, d]), np.repeat([1, 1, 0, 0], [a, b, c, d])))
    assert all(abs(value - matthews_corrcoef(y, p)) > 1e-4 for value in values)  # each of the four counts enters


@holds("Why the harmonic mean?", "F1, Dice, Jaccard?")
def check_harmonic_mean_and_jaccard():
    for y, p in cases():
        tp, fp, fn = counts(y, p)
        precision, recall = precision_score(y, p), recall_score(y, p)
        assert math.isclose(1 / f1_score(y, p), (1 / precision + 1 / recall) / 2)
        assert math.isclose(2 * tp / (2 * tp + fp + fn), f1_score(y, p))
        dice = 2 * (y & p).sum() / (y.sum() + p.sum())
        assert math.isclose(dice, f1_score(y, p)) and math.isclose(jaccard_score(y, p), dice / (2 - dice))
    f = np.linspace(0, 1, 101)
    assert (np.diff(f / (2 - f)) > 0).all()  # increasing: the same order of models on one data set
    one, other = np.array([1.0, 0.0]), np.array([0.55, 0.55])  # F1 of two images
    assert other.mean() > one.mean() and (other / (2 - other)).mean() < (one / (2 - one)).mean()


@holds("Can F1 be a loss?")
def check_counts_are_constant():
    y = torch.tensor([1.0, 0.0, 1.0, 0.0])
    logits = torch.tensor([0.3, 0.8, -0.5, -2.0], requires_grad=True)
    f1 = lambda p: 2 * (p * y).sum() / (p.sum() + y.sum())
    hard = lambda z: f1((z > 0).float())
    assert not hard(logits).requires_grad and hard(logits.detach() + 1e-3) == hard(logits.detach())
    gradient = torch.autograd.grad(1 - f1(logits.sigmoid()), logits)[0]  # the Dice loss
    assert (gradient[y == 1] < 0).all() and (gradient[y == 0] > 0).all()


@holds("Input", "Output", "Defaults")
def check_kinds_of_labels():
    parameters = inspect.signature(f1_score).parameters
    assert [parameters[k].default for k in ("average", "pos_label", "zero_division")] == ["binary", 1, "warn"]
    assert inspect.signature(fbeta_score).parameters["beta"].default is inspect.Parameter.empty
    assert f1_score([0, 1, 2], [0, 1, 1], average=None).shape == (3,) and isinstance(f1_score([0, 1], [0, 1]), float)
    raises(ValueError, lambda: f1_score([0, 1], [0.2, 0.7]), "continuous")
    assert (
        f1_score([True, False], [True, True])
        == f1_score([1, 0], [1, 1])
        == f1_score(["b", "a"], ["b", "b"], pos_label="b")
    )
    assert (
        f1_score([0, 1, 2], [0, 1, 2], average="macro")
        == f1_score(np.eye(2, dtype=int), np.eye(2, dtype=int), average="macro")
        == 1
    )
    assert f1_score(["a", "b", "c"], ["a", "b", "c"], average="macro") == 1  # strings without pos_label
    for labels in (["a", "b"], [0, 1, 2], np.eye(2, dtype=int)):
        try:
            f1_score(labels, labels)
        except ValueError as error:
            assert "pos_label=1 is not a valid label" in str(error) or "average='binary'" in str(error)
        else:
            raise AssertionError("expected an error")
