import math
import warnings

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_curve, precision_score, recall_score

from note_checks import check, formula, raises, stated

BOTH = r"P = \frac{TP}{TP + FP}, \qquad R = \frac{TP}{TP + FN}"
NEGATIVES = r"\mathrm{TNR} = \frac{TN}{TN + FP}, \qquad \mathrm{FPR} = 1 - \mathrm{TNR}"
BAYES = r"P = \frac{\pi R}{\pi R + (1 - \pi) \, \mathrm{FPR}}"
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


@check
def check_by_hand():
    y, p = EXAMPLE
    assert counts(y, p) == (89, 3, 2, 6)
    stated("0.6667", precision_score(y, p))
    stated("0.75", recall_score(y, p))
    stated("0.95", accuracy_score(y, p))
    stated("0.0326", p[y == 0].mean())


@check
def check_undefined():
    for f, y, p in [(precision_score, [0, 1], [0, 0]), (recall_score, [0, 0], [0, 1]), (precision_score, [0, 0], [0, 0])]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert f(y, p) == 0
        assert caught[0].category is UndefinedMetricWarning
        assert f(y, p, zero_division=1) == 1 and math.isnan(f(y, p, zero_division=np.nan))


@check
def check_one_class_only():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert precision_recall_curve([0, 0, 0], [0.1, 0.2, 0.3])[1].tolist() == [1, 1, 1, 0]
        assert confusion_matrix([0, 0], [0, 0]).shape == (1, 1)
    assert confusion_matrix([0, 0], [0, 0], labels=[0, 1]).shape == (2, 2)


@check
def check_errors():
    for y, text in [([0, 1, 2], "Target is multiclass but average='binary'"), (["a", "b"], "pos_label=1 is not a valid label"), ([0, 2], "pos_label=1 is not a valid label")]:
        raises(ValueError, lambda: precision_score(y, y), text)


@check
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


@check
def check_copied_negatives_and_accuracy_bound():
    for y, p in cases():
        more = np.r_[y, np.repeat(y[y == 0], 9)], np.r_[p, np.repeat(p[y == 0], 9)]
        assert math.isclose(recall_score(*more), recall_score(y, p)) and precision_score(*more) < precision_score(y, p)
    y, p = np.repeat([1, 1, 0], [9, 1, 1]), np.repeat([1, 0, 1], [9, 1, 1])
    assert math.isclose(precision_score(y, p), 0.9) and math.isclose(recall_score(y, p), 0.9)
    stated("0.8182", accuracy_score(y, p))
    assert accuracy_score(np.r_[y, 0], np.r_[p, 0]) > accuracy_score(y, p)
