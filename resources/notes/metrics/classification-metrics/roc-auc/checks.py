import inspect
import math
import warnings

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    auc,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)
from sklearn.model_selection import KFold, StratifiedKFold

from note_checks import check, formula, holds, pitfall, raises, stated

RATES = r"\mathrm{TPR}(t) = \frac{\mathrm{TP}(t)}{P}, \qquad \mathrm{FPR}(t) = \frac{\mathrm{FP}(t)}{N}"
PAIRS = r"""
\mathrm{AUC} = \frac{1}{P N} \sum_{i:\, y_i = 1} \; \sum_{j:\, y_j = 0} \left( [s_i > s_j] + \tfrac{1}{2} [s_i = s_j] \right)
"""
RANKS = r"\mathrm{AUC} = \frac{R_+ - P(P + 1)/2}{P N}"
EXAMPLE = np.array([1, 1, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.2])


def cases():
    """Random labels and scores: continuous, with many ties, constant, of several sizes and class ratios."""
    for n, rate in [(2, 0.5), (10, 0.5), (200, 0.1), (501, 0.9)]:
        y = (np.random.rand(n) < rate).astype(int)
        y[:2] = 0, 1
        yield y, np.random.randn(n) + y
        yield y, np.random.randint(4, size=n).astype(float) + y
        yield y, np.zeros(n)


@formula(RATES)
def check_rates():
    for y, s in cases():
        fpr, tpr, thresholds = roc_curve(y, s, drop_intermediate=False)
        for f, t, threshold in zip(fpr, tpr, thresholds):
            positive = s >= threshold
            assert math.isclose(t, (positive & (y == 1)).sum() / (y == 1).sum())
            assert math.isclose(f, (positive & (y == 0)).sum() / (y == 0).sum())
        assert np.isinf(thresholds[0]) and math.isclose(auc(fpr, tpr), roc_auc_score(y, s), abs_tol=1e-12)


@formula(PAIRS)
def check_pairs():
    for y, s in cases():
        positives, negatives = s[y == 1][:, None], s[y == 0]
        ours = ((positives > negatives) + 0.5 * (positives == negatives)).sum() / (len(positives) * len(negatives))
        assert math.isclose(ours, roc_auc_score(y, s), abs_tol=1e-12)


@formula(RANKS)
def check_ranks():
    for y, s in cases():
        p, n = int((y == 1).sum()), int((y == 0).sum())
        ours = (rankdata(s)[y == 1].sum() - p * (p + 1) / 2) / (p * n)
        assert math.isclose(ours, roc_auc_score(y, s), abs_tol=1e-12)


@holds("Output", "Invariant to", "ROC AUC")
def check_range_and_invariance():
    for y, s in cases():
        value = roc_auc_score(y, s)
        assert 0 <= value <= 1 and math.isclose(roc_auc_score(y, -s), 1 - value, abs_tol=1e-12)
        for transformed in (1 / (1 + np.exp(-s)), s / 7, s**3):
            assert math.isclose(roc_auc_score(y, transformed), value, abs_tol=1e-12)
        assert roc_auc_score(y, np.zeros(len(y))) == 0.5 and roc_auc_score(y, y) == 1
        copied = np.concatenate([y, np.repeat(y[y == 0], 9)]), np.concatenate([s, np.repeat(s[y == 0], 9)])
        assert math.isclose(roc_auc_score(*copied), value, abs_tol=1e-12)
    y = np.random.randint(3, size=600)
    logits = np.random.randn(600, 3) + 2 * np.eye(3)[y] + 3 * np.random.randn(600, 1) * [1, -1, 0]

    def chances(temperature, columns):
        z = np.exp(logits[:, :columns] / temperature)
        return z / z.sum(1, keepdims=True)

    three = [roc_auc_score(y, chances(t, 3), multi_class="ovr") for t in (0.3, 3)]
    assert abs(three[0] - three[1]) > 1e-3  # with three classes softmax and temperature change the order in a column
    two = [roc_auc_score(y[y < 2], chances(t, 2)[y < 2, 1]) for t in (1, 3)]
    assert math.isclose(*two, abs_tol=1e-6)


@check
def check_by_hand():
    y, s = EXAMPLE
    stated("0.8889", roc_auc_score(y, s))
    assert rankdata(s)[y == 1].tolist() == [6, 5, 3]


@pitfall("The ROC curve is a triangle and the AUC usually too low")
def check_labels_instead_of_scores():
    y, s = EXAMPLE
    stated("0.8333", roc_auc_score(y, s > 0.5))
    x = np.random.randn(600, 2)
    y = (x[:, 0] + np.random.randn(600) > 0.5).astype(int)
    model = LogisticRegression().fit(x, y)
    assert len(roc_curve(y, model.predict(x))[0]) == 3  # both ends and one corner
    low = roc_auc_score(y, model.predict(x))
    for scores in (model.predict_proba(x)[:, 1], model.decision_function(x)):
        assert len(roc_curve(y, scores)[0]) > 50 and roc_auc_score(y, scores) > low + 0.05
    raises(ValueError, lambda: roc_auc_score(y, model.predict_proba(x)))
    for y, s in cases():
        labels = s > np.median(s)
        assert math.isclose(roc_auc_score(y, labels), balanced_accuracy_score(y, labels), abs_tol=1e-12)
    raises(
        ValueError,
        lambda: roc_auc_score([0, 1, 0, 1], np.array([[0.7, 0.3], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9]])),
        "1d array",
    )


@holds("Undefined")
@pitfall('"Only one class is present in y_true", or nan')
def check_single_class_and_batches():
    sorted_labels, scores = np.repeat([1, 0], [10, 40]), np.random.randn(50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = [roc_auc_score(sorted_labels[test], scores[test]) for _, test in KFold(5).split(scores)]
    stratified = [
        roc_auc_score(sorted_labels[test], scores[test]) for _, test in StratifiedKFold(5).split(scores, sorted_labels)
    ]
    assert np.isnan(plain).all() and np.isfinite(stratified).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        too_many = [
            roc_auc_score(sorted_labels[test], scores[test])
            for _, test in StratifiedKFold(12).split(scores, sorted_labels)
        ]
    assert np.isnan(too_many).sum() == 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert math.isnan(roc_auc_score([1, 1], [0.2, 0.3]))
    assert caught[0].category is UndefinedMetricWarning and "Only one class is present in y_true" in str(
        caught[0].message
    )
    assert roc_auc_score([1, 0], [0.9, 0.8]) == roc_auc_score([1, 0], [0.3, 0.2]) == 1.0
    stated("0.75", roc_auc_score([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.2]))


def imbalanced(negatives):
    """The scores of the figure: 1,000 positives around 2, `negatives` times as many negatives around 0, both with spread 1."""
    generator = np.random.default_rng(0)
    scores = np.concatenate([generator.normal(2, 1, 1000), generator.normal(0, 1, 1000 * negatives)])
    return np.arange(len(scores)) < 1000, scores


@pitfall("An excellent AUC, yet most alarms are false")
def check_imbalance():
    for negatives, text in [(1, "0.92"), (100, "0.24")]:
        y, s = imbalanced(negatives)
        stated("0.92", roc_auc_score(y, s))
        stated(text, average_precision_score(y, s))
        precision, recall = precision_score(y, s > 1.5), recall_score(y, s > 1.5)  # what shows the difference
        assert 0.65 < recall < 0.73 and (precision > 0.9 if negatives == 1 else precision < 0.15)
        assert abs((s[~y] > 1.5).mean() - 0.07) < 0.01
        assert precision_score(y, s > 3) > precision + 0.05 and recall_score(y, s > 3) < recall - 0.4


@pitfall("The AUC is far below 0.5")
def check_larger_label_is_positive():
    y, s = EXAMPLE
    names = np.where(y == 1, "cancer", "healthy")
    assert math.isclose(roc_auc_score(names, s), 1 - roc_auc_score(y, s)) and roc_auc_score(names, s) < 0.5
    assert math.isclose(roc_auc_score(names == "cancer", s), roc_auc_score(y, s))
    assert math.isclose(roc_auc_score(np.array(names.tolist()) == "cancer", s), 8 / 9)
    assert math.isclose(roc_auc_score(names == "cancer", 1 - s), 1 - 8 / 9)


@pitfall("Multi-class data raise \"multi_class must be in ('ovo', 'ovr')\"")
def check_multi_class():
    y = np.array([0, 1, 2, 2])
    p = np.array([[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6], [0.4, 0.35, 0.25]])
    for options, text in [
        ({}, "multi_class must be in ('ovo', 'ovr')"),
        ({"multi_class": "ovo", "average": None}, "average=None"),
    ]:
        raises((ValueError, NotImplementedError), lambda: roc_auc_score(y, p, **options), text)
    logits = np.random.randn(4, 3)
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for choice in ("ovr", "ovo"):
        raises(ValueError, lambda: roc_auc_score(y, logits, multi_class=choice), "sum up to 1.0")
        assert 0 <= roc_auc_score(y, softmax, multi_class=choice) <= 1
    each = roc_auc_score(y, p, multi_class="ovr", average=None)
    assert np.allclose(each, [roc_auc_score(y == c, p[:, c]) for c in range(3)])
    assert math.isclose(roc_auc_score(y, p, multi_class="ovr"), each.mean())


@holds("Average precision", "F1", "Accuracy", "Log loss")
def check_what_each_looks_at():
    y = (np.random.rand(3000) < 0.1).astype(int)
    x = np.random.randn(3000) + 2 * y
    p = 1 / (1 + np.exp(-(2 * x - 2 + math.log(0.1 / 0.9))))  # the true probability of a positive, so calibrated
    for score in (roc_auc_score, average_precision_score):
        assert math.isclose(score(y, p), score(y, p**3), abs_tol=1e-12)  # the order only
    assert log_loss(y, p) < log_loss(y, p**3) - 0.05  # the size of the probabilities
    for score in (f1_score, accuracy_score):
        assert len({round(score(y, p > t), 6) for t in (0.1, 0.5, 0.9)}) == 3  # needs a threshold
        assert score(y, p > 0.3) == score(y, p**3 > 0.3**3)  # the labels only
    easy = np.r_[y, np.zeros(9000, int)], np.r_[p, np.zeros(9000)]
    assert math.isclose(f1_score(easy[0], easy[1] > 0.3), f1_score(y, p > 0.3))
    assert math.isclose(average_precision_score(*easy), average_precision_score(y, p), rel_tol=1e-9)
    assert accuracy_score(easy[0], easy[1] > 0.3) > accuracy_score(y, p > 0.3) + 0.02
    assert roc_auc_score(*easy) > roc_auc_score(y, p) + 0.01  # easier negatives, not the same kind


@holds("Does AUC 0.9 mean that 90% are classified correctly?", "How do you pick a threshold from the curve?")
def check_accuracy_and_threshold():
    y = np.repeat([1, 0], [10, 10])
    s = np.r_[np.arange(11, 21), np.arange(1, 11)].astype(float)
    s[9] = 0.5  # one positive below all negatives: 90 of 100 pairs are right
    assert math.isclose(roc_auc_score(y, s), 0.9)
    assert [accuracy_score(y, s > t) for t in (0, 10.5, 30)] == [0.5, 0.95, 0.5]
    y, s = imbalanced(10)
    fpr, tpr, thresholds = roc_curve(y, s)
    best = thresholds[(tpr - fpr).argmax()]
    grid = np.linspace(-2, 4, 121)
    assert balanced_accuracy_score(y, s >= best) >= max(balanced_accuracy_score(y, s >= t) for t in grid) - 1e-12
    cheapest = lambda miss, share: thresholds[(miss * share * (1 - tpr) + (1 - share) * fpr).argmin()]
    assert cheapest(1, 0.01) > cheapest(1, 0.5) + 1 and cheapest(100, 0.01) < cheapest(1, 0.01) - 1
    assert abs(cheapest(1, 0.5) - best) < 1e-12


@holds("What if the curves of two models cross?")
def check_crossing_curves():
    y = np.repeat([1, 0], 5000)
    early = np.r_[np.full(2500, 3.0), np.random.rand(2500) - 0.2, np.random.rand(5000)]  # half of the positives on top
    late = np.random.randn(10_000) + 1.7 * y
    rates = {name: np.interp([0.02, 0.5], *roc_curve(y, s)[:2]) for name, s in (("early", early), ("late", late))}
    assert rates["early"][0] > rates["late"][0] + 0.1 and rates["early"][1] < rates["late"][1] - 0.1
    assert roc_auc_score(y, early) < roc_auc_score(y, late) - 0.05
    assert roc_auc_score(y, early, max_fpr=0.05) > roc_auc_score(y, late, max_fpr=0.05) + 0.05


@holds("Why not train on AUC directly?")
def check_piecewise_constant_in_the_scores():
    y = torch.tensor([1, 0, 1, 0, 0])
    s = torch.tensor([0.3, 0.7, 1.2, -0.4, 0.1]).double().requires_grad_()
    value = roc_auc_score(y, s.detach())
    for _ in range(20):
        assert roc_auc_score(y, s.detach() + 1e-3 * torch.randn(5)) == value
    difference = s[y == 1][:, None] - s[y == 0]
    gradient = torch.autograd.grad(torch.nn.functional.softplus(-difference).mean(), s)[0]
    assert (gradient[y == 1] < 0).all() and (gradient[y == 0] > 0).all()


@holds("Input (binary)", "Defaults")
def check_partial_area_and_infinite_scores():
    parameters = inspect.signature(roc_auc_score).parameters
    assert [parameters[k].default for k in ("average", "max_fpr", "multi_class")] == ["macro", None, "raise"]
    assert roc_auc_score([0, 1, 1], [-7.0, 2.0, 90.0]) == 1
    y = np.arange(20_000) % 2
    assert abs(roc_auc_score(y, np.random.rand(20_000), max_fpr=0.1) - 0.5) < 0.02
    assert (
        roc_auc_score(y, y, max_fpr=0.2) == 1 and roc_auc_score(y, -y, max_fpr=0.2) > 0.4 and roc_auc_score(y, -y) == 0
    )
    raises(ValueError, lambda: roc_auc_score([0, 1, 0, 1], [-np.inf, 0.3, 0.4, 0.5]), "infinity")


@check
def check_labels_can_also_score_higher_and_folds_need_both_classes():
    y, s = np.array([1, 1, 0, 0]), np.array([0.51, 0.52, 0.99, 0.1])
    assert roc_auc_score(y, s) == 0.5 and roc_auc_score(y, s > 0.5) == 0.75
    y = np.array([1] * 3 + [0] * 47)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        enough, short = ([y[test].sum() for _, test in StratifiedKFold(k).split(y, y)] for k in (3, 5))
    assert min(enough) == 1 and min(short) == 0
