import inspect
import math
import warnings

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
)
from sklearn.model_selection import KFold, StratifiedKFold

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated

BOTH = r"P = \frac{TP}{TP + FP}, \qquad R = \frac{TP}{TP + FN}"
NEGATIVES = r"\mathrm{TNR} = \frac{TN}{TN + FP}, \qquad \mathrm{FPR} = 1 - \mathrm{TNR}"
BAYES = r"P = \frac{\pi R}{\pi R + (1 - \pi) \, \mathrm{FPR}}"
by_definition("Other names")
EXAMPLE = np.repeat([1, 0], [8, 92]), np.repeat([1, 0, 1, 0], [6, 2, 3, 89])


def cases():
    """Labels and predictions with all four counts positive, of several sizes and class ratios."""
    for n, rate in [(5, 0.5), (40, 0.5), (300, 0.1), (301, 0.9)]:
        y = (np.random.rand(n) < rate).astype(int)
        p = np.where(np.random.rand(n) < 0.7, y, 1 - y)
        y[:4], p[:4] = (0, 0, 1, 1), (0, 1, 0, 1)
        yield y, p


def counts(y, p):
    return tuple(int(((y == a) & (p == b)).sum()) for a, b in [(0, 0), (0, 1), (1, 0), (1, 1)])


@formula(BOTH)
def check_both():
    for y, p in cases():
        tn, fp, fn, tp = counts(y, p)
        assert confusion_matrix(y, p).tolist() == [[tn, fp], [fn, tp]]
        assert confusion_matrix(y, p, labels=[1, 0]).tolist() == [[tp, fn], [fp, tn]]
        assert math.isclose(tp / (tp + fp), precision_score(y, p)) and math.isclose(tp / (tp + fn), recall_score(y, p))


@formula(NEGATIVES)
def check_negatives():
    for y, p in cases():
        tn, fp, _, _ = counts(y, p)
        assert math.isclose(tn / (tn + fp), recall_score(y, p, pos_label=0))
        assert math.isclose(1 - tn / (tn + fp), p[y == 0].mean(), abs_tol=1e-12)


@formula(BAYES)
def check_bayes():
    def bayes(share, r, fpr):
        return share * r / (share * r + (1 - share) * fpr)

    for y, p in cases():
        assert math.isclose(bayes(y.mean(), recall_score(y, p), p[y == 0].mean()), precision_score(y, p))
    stated("0.9474", bayes(0.5, 0.9, 0.05))
    stated("0.1538", bayes(0.01, 0.9, 0.05))


@pitfall("Precision collapses in production")
def check_share_of_positives():
    def sample(share, n=200_000):
        y = np.random.rand(n) < share
        return y, np.random.rand(n) < np.where(y, 0.9, 0.05)

    balanced, real = sample(0.5), sample(0.01)
    assert abs(precision_score(*balanced) - 0.9474) < 0.005 and abs(precision_score(*real) - 0.1538) < 0.01
    y, p = balanced
    recall, fpr = recall_score(y, p), p[~y].mean()
    assert abs(0.01 * recall / (0.01 * recall + 0.99 * fpr) - precision_score(*real)) < 0.01


@pitfall("FP and FN come out exchanged")
def check_layout_of_the_matrix():
    y, p = EXAMPLE
    tn, fp, fn, tp = 89, 3, 2, 6
    book = np.array([[tp, fp], [fn, tn]])  # predictions in rows, the positive class first
    for matrix in (confusion_matrix(y, p), confusion_matrix(y, p, labels=[1, 0])):
        assert matrix[0, 1] in (fp, fn) and not np.array_equal(matrix, book)
    assert np.array_equal(confusion_matrix(y, p, labels=[1, 0]).T, book)
    assert confusion_matrix(y, p).ravel().tolist() == [tn, fp, fn, tp]
    assert confusion_matrix(y, p, labels=[1, 0])[0, 1] == fn  # the order of labels alone leaves the exchange
    words = [np.where(labels == 1, "cancer", "healthy") for labels in (y, p)]
    assert confusion_matrix(*words).ravel().tolist() == [tp, fn, fp, tn]
    assert confusion_matrix(*words, labels=["healthy", "cancer"]).ravel().tolist() == [tn, fp, fn, tp]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for only in ("healthy", "cancer"):
            assert confusion_matrix([only] * 3, [only] * 3).shape == (1, 1)
            assert confusion_matrix([only] * 3, [only] * 3, labels=["healthy", "cancer"]).shape == (2, 2)
        for only in (0, 1):
            assert confusion_matrix([only] * 3, [only] * 3).shape == (1, 1)
            assert confusion_matrix([only] * 3, [only] * 3, labels=[0, 1])[only, only] == 3
            assert confusion_matrix([only] * 3, [only] * 3, labels=[1, 0]).T.shape == (2, 2)


@check
def check_by_hand():
    y, p = EXAMPLE
    assert counts(y, p) == (89, 3, 2, 6)
    stated("0.6667", precision_score(y, p))
    stated("0.75", recall_score(y, p))
    stated("0.95", accuracy_score(y, p))
    stated("0.0326", p[y == 0].mean())


@holds("Input", "Output", "Defaults")
def check_contract():
    y, p = EXAMPLE
    names = np.array(["ham", "spam"])
    for f in (precision_score, recall_score):
        assert f(y, p) == f(y == 1, p == 1) == f(names[y], names[p], pos_label="spam") and isinstance(f(y, p), float)
        parameters = inspect.signature(f).parameters
        assert [parameters[k].default for k in ("pos_label", "average", "zero_division")] == [1, "binary", "warn"]
        assert f(np.eye(3, dtype=int), np.eye(3, dtype=int), average="macro") == 1
        raises(ValueError, lambda: f(np.eye(3, dtype=int), np.eye(3, dtype=int)), "average='binary'")
    raises(ValueError, lambda: confusion_matrix(np.eye(3, dtype=int), np.eye(3, dtype=int)), "not supported")
    assert inspect.signature(precision_recall_curve).parameters["drop_intermediate"].default is False
    assert confusion_matrix([0, 0, 1, 2], [1, 1, 1, 2]).tolist() == [[0, 2, 0], [0, 1, 0], [0, 0, 1]]  # row = truth


@holds("Precision", "Recall", "Specificity", "F1", "Average precision", "Accuracy")
def check_what_is_ignored():
    """Each score with one of TN, FP, FN, TP raised by 5: which of them leave it alone."""
    base = np.array([89, 3, 2, 6])
    specificity = lambda y, p: recall_score(y, p, pos_label=0)
    for score, ignored in (
        (precision_score, {"FN", "TN"}),
        (recall_score, {"FP", "TN"}),
        (specificity, {"TP", "FN"}),
        (f1_score, {"TN"}),
        (accuracy_score, set()),
    ):
        of = lambda c: score(np.repeat([0, 0, 1, 1], c), np.repeat([0, 1, 0, 1], c))
        raised = zip(("TN", "FP", "FN", "TP"), 5 * np.eye(4, dtype=int))
        same = {name for name, more in raised if math.isclose(of(base + more), of(base))}
        assert same == ignored
    y, s = np.repeat([1, 0], [20, 80]), np.random.randn(100)
    s[:20] += 1
    easy = np.r_[y, np.zeros(300, int)], np.r_[s, s.min() - 1 - np.random.rand(300)]  # below all others
    assert math.isclose(average_precision_score(*easy), average_precision_score(y, s))
    # The costlier error decides: with dear false alarms the more precise filter wins, with dear misses the other.
    careful, eager = np.repeat([1, 0, 0], [5, 3, 92]), np.repeat([1, 1, 0], [8, 6, 86])
    y = EXAMPLE[0]
    cost = lambda p, miss, alarm: miss * ((y == 1) & (p == 0)).sum() + alarm * ((y == 0) & (p == 1)).sum()
    assert precision_score(y, careful) > precision_score(y, eager) and recall_score(y, careful) < recall_score(y, eager)
    assert cost(careful, 1, 10) < cost(eager, 1, 10) and cost(careful, 10, 1) > cost(eager, 10, 1)
    assert cost(careful, 1, 1) == round(100 * (1 - accuracy_score(y, careful)))  # equal costs: accuracy


@holds("Undefined")
def check_undefined():
    for f, y, p in [
        (precision_score, [0, 1], [0, 0]),
        (recall_score, [0, 0], [0, 1]),
        (precision_score, [0, 0], [0, 0]),
    ]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert f(y, p) == 0
        assert caught[0].category is UndefinedMetricWarning
        assert f(y, p, zero_division=1) == 1 and math.isnan(f(y, p, zero_division=np.nan))


@pitfall("Everything is predicted right, and precision is 0")
def check_nothing_to_find():
    y = np.repeat([1, 0], [5, 45])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plain = [precision_score(y[test], y[test]) for _, test in KFold(5).split(y)]
    assert plain == [1, 0, 0, 0, 0] and {warning.category for warning in caught} == {UndefinedMetricWarning}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (0, 1):
            assert precision_score([0, 0], [0, 0], zero_division=value) == value
        assert math.isnan(precision_score([0, 0], [0, 0], zero_division=np.nan))
        assert [precision_score(y[test], y[test]) for _, test in StratifiedKFold(5).split(y, y)] == [1] * 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = np.repeat([1, 0], [3, 47])
        assert [precision_score(y[test], y[test]) for _, test in StratifiedKFold(5).split(y, y)] == [1, 1, 1, 0, 0]


@holds("Undefined")
def check_curve_without_positives():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert precision_recall_curve([0, 0, 0], [0.1, 0.2, 0.3])[1].tolist() == [1, 1, 1, 0]


@pitfall("Looking up a threshold gives an index error")
def check_lookup_of_a_threshold():
    y, s = np.array([0, 1, 0, 1, 1, 0]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.9])
    precision, recall, thresholds = precision_recall_curve(y, s)
    raises(IndexError, lambda: thresholds[precision >= 0.6])
    raises(IndexError, lambda: thresholds[precision.argmax()])
    assert recall[-1] == 0 and precision[-1] == 1
    for chosen in (thresholds[precision[:-1] >= 0.6], thresholds[recall[:-1] >= 0.6]):
        assert len(chosen) > 0
    best = precision[:-1].argmax()
    assert math.isclose(precision_score(y, s >= thresholds[best]), precision[best])


@pitfall('"Target is multiclass but average=\'binary\'", or "pos_label=1 is not a valid label"')
def check_errors():
    spam = np.array(["spam", "ham", "spam"]), np.array(["spam", "spam", "ham"])
    raises(ValueError, lambda: precision_score(*spam), "pos_label=1 is not a valid label")
    assert precision_score(*spam, pos_label="spam") == recall_score(*spam, pos_label="spam") == 0.5
    assert precision_score([0, 1, 2], [0, 1, 2], average="macro") == 1
    for y, text in [
        ([0, 1, 2], "Target is multiclass but average='binary'"),
        (["a", "b"], "pos_label=1 is not a valid label"),
        ([0, 2], "pos_label=1 is not a valid label"),
    ]:
        raises(ValueError, lambda: precision_score(y, y), text)


@holds("How do you make recall 1?", "Does precision always rise with the threshold?")
def check_curve():
    falls = 0
    for _ in range(20):
        y = np.r_[0, 1, np.random.randint(2, size=40)]
        s = np.random.randint(15, size=42) + 4.0 * y
        precision, recall, thresholds = precision_recall_curve(y, s)
        assert len(thresholds) == len(precision) - 1 and (precision[-1], recall[-1]) == (1, 0)
        for a, b, t in zip(precision, recall, thresholds):
            assert math.isclose(a, precision_score(y, s >= t)) and math.isclose(b, recall_score(y, s >= t))
        assert (np.diff(recall) <= 0).all() and math.isclose(precision[0], y.mean()) and recall[0] == 1
        falls += (np.diff(precision) < 0).sum()
    assert falls > 0
    for y, _ in cases():
        everything = np.ones(len(y), int)
        assert recall_score(y, everything) == 1 and math.isclose(precision_score(y, everything), y.mean())
    for tp, fp in ((1, 1), (7, 2), (30, 400)):
        assert (tp - 1) / (tp - 1 + fp) < tp / (tp + fp) < tp / (tp + fp - 1)


@holds("Which of the two changes if every negative appears ten times?")
@holds("Precision 0.9 and recall 0.9: can accuracy be low?")
def check_copied_negatives_and_accuracy_bound():
    for y, p in cases():
        more = np.r_[y, np.repeat(y[y == 0], 9)], np.r_[p, np.repeat(p[y == 0], 9)]
        assert math.isclose(recall_score(*more), recall_score(y, p)) and precision_score(*more) < precision_score(y, p)
    y, p = np.repeat([1, 1, 0], [9, 1, 1]), np.repeat([1, 0, 1], [9, 1, 1])
    assert math.isclose(precision_score(y, p), 0.9) and math.isclose(recall_score(y, p), 0.9)
    stated("0.8182", accuracy_score(y, p))
    assert accuracy_score(np.r_[y, 0], np.r_[p, 0]) > accuracy_score(y, p)
