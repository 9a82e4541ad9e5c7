import inspect
import math
import warnings

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    classification_report,
    f1_score,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
)

from note_checks import check, formula, holds, pitfall, raises, stated

MEANS = r"m_{\mathrm{macro}} = \frac{1}{C} \sum_{c=1}^{C} m_c, \qquad m_{\mathrm{weighted}} = \sum_{c=1}^{C} \frac{n_c}{n} m_c"
POOLED = r"""
P_{\mathrm{micro}} = \frac{\sum_c TP_c}{\sum_c (TP_c + FP_c)}, \qquad R_{\mathrm{micro}} = \frac{\sum_c TP_c}{\sum_c (TP_c + FN_c)}
"""
EQUAL = r"P_{\mathrm{micro}} = R_{\mathrm{micro}} = F_{1,\mathrm{micro}} = R_{\mathrm{weighted}} = \mathrm{accuracy}"
TWO_F1 = r"""
\frac{1}{C} \sum_{c=1}^{C} \frac{2 P_c R_c}{P_c + R_c} \;\le\; \frac{2 \bar{P} \bar{R}}{\bar{P} + \bar{R}}, \qquad
\bar{P} = P_{\mathrm{macro}}, \; \bar{R} = R_{\mathrm{macro}}
"""
MATRIX = np.array([[88, 10, 2], [3, 6, 1], [1, 1, 8]])
EXAMPLE = np.repeat([0, 1, 2], MATRIX.sum(1)), np.concatenate([np.repeat([0, 1, 2], row) for row in MATRIX])


def cases():
    """Multiclass labels, skewed, every class once right; and multilabel matrices."""
    for n, classes in [(12, 3), (300, 4), (1000, 9)]:
        y = np.minimum(np.random.geometric(0.4, n) - 1, classes - 1)
        p = np.where(np.random.rand(n) < 0.5, y, np.random.randint(classes, size=n))
        y[:classes] = p[:classes] = np.arange(classes)
        yield y, p


def counts(y, p):
    """TP, FP, FN of each class."""
    return np.array(
        [[((y == a) & (p == a)).sum(), ((y != a) & (p == a)).sum(), ((y == a) & (p != a)).sum()] for a in np.unique(y)]
    ).T


@formula(MEANS)
def check_means():
    for y, p in cases():
        support = np.bincount(y)
        tp, fp, fn = counts(y, p)
        for library, each in [
            (precision_score, tp / (tp + fp)),
            (recall_score, tp / (tp + fn)),
            (f1_score, 2 * tp / (2 * tp + fp + fn)),
        ]:
            assert np.allclose(each, library(y, p, average=None))
            assert math.isclose(each.sum() / len(each), library(y, p, average="macro"))
            assert math.isclose((support / support.sum() * each).sum(), library(y, p, average="weighted"))
        assert math.isclose(recall_score(y, p, average="macro"), balanced_accuracy_score(y, p))


@formula(POOLED)
def check_pooled():
    for y, p in cases():
        tp, fp, fn = counts(y, p)
        for chosen in (np.unique(y), np.unique(y)[1:]):
            of = lambda c: c[chosen].sum()
            assert math.isclose(of(tp) / (of(tp) + of(fp)), precision_score(y, p, average="micro", labels=chosen))
            assert math.isclose(of(tp) / (of(tp) + of(fn)), recall_score(y, p, average="micro", labels=chosen))
    y, p = np.random.randint(2, size=(2, 50, 4))
    assert math.isclose((y & p).sum() / p.sum(), precision_score(y, p, average="micro"))
    assert math.isclose((y & p).sum() / y.sum(), recall_score(y, p, average="micro")) and y.sum() != p.sum()


@formula(EQUAL)
def check_equal():
    for y, p in cases():
        all_of_them = [f(y, p, average="micro") for f in (precision_score, recall_score, f1_score)] + [
            recall_score(y, p, average="weighted")
        ]
        assert np.allclose(all_of_them, (y == p).mean()) and math.isclose(accuracy_score(y, p), (y == p).mean())
        _, fp, fn = counts(y, p)
        assert fp.sum() == fn.sum() == (y != p).sum()


@formula(TWO_F1)
def check_two_f1():
    gaps = []
    for y, p in [*cases(), EXAMPLE]:
        precision, recall, each, _ = precision_recall_fscore_support(y, p)
        mean = (2 * precision * recall / (precision + recall)).mean()
        assert math.isclose(mean, f1_score(y, p, average="macro"))
        gaps.append(2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean()) - mean)
    assert min(gaps) > -1e-12 and max(gaps) > 0.005
    y, p = [0, 0, 0, 1, 2, 2], [0, 0, 1, 2, 2, 2]  # class 1 has no hit: 0/0 counts as 0
    precision, recall, each, _ = precision_recall_fscore_support(y, p)
    assert precision[1] == recall[1] == each[1] == 0
    assert each.mean() <= 2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean())
    p, r = np.random.rand(2, 1000, 3)
    assert ((2 * p * r / (p + r)).mean(1) <= 2 * p.mean(1) * r.mean(1) / (p.mean(1) + r.mean(1)) + 1e-12).all()


@check
def check_by_hand():
    y, p = EXAMPLE
    for text, value in zip(["0.9167", "0.4444", "0.7619"], f1_score(y, p, average=None)):
        stated(text, value)
    stated("0.7077", f1_score(y, p, average="macro"))
    stated("0.71", f1_score(y, p, average="macro"))
    stated("0.8644", f1_score(y, p, average="weighted"))
    stated("0.85", f1_score(y, p, average="micro"))
    precision, recall = precision_score(y, p, average="macro"), recall_score(y, p, average="macro")
    stated("0.6789", precision)
    stated("0.7600", recall)
    stated("0.7172", 2 * precision * recall / (precision + recall))
    stated("0.5833", f1_score(y, p, average="micro", labels=[1, 2]))


@check
def check_copies_of_a_class():
    y, p = EXAMPLE
    before = recall_score(y, p, average="micro")
    for times in (1, 10, 100):
        more = np.r_[y, np.repeat(y[y == 0], times)], np.r_[p, np.repeat(p[y == 0], times)]
        assert math.isclose(recall_score(*more, average="macro"), recall_score(y, p, average="macro"))
        after = recall_score(*more, average="micro")
        assert before < after < 0.88
        before = after
    of_ten = lambda found: recall_score([1] * 10, [1] * found + [0] * (10 - found))
    assert all(math.isclose(of_ten(found) - of_ten(found - 1), 0.1) for found in range(1, 11))


@pitfall("Micro F1 is exactly the accuracy: a bug?")
def check_micro_is_accuracy():
    for y, p in [*cases(), EXAMPLE]:
        assert math.isclose(f1_score(y, p, average="micro"), accuracy_score(y, p))
        assert abs(f1_score(y, p, average="macro") - accuracy_score(y, p)) > 1e-3


@pitfall("Two programs give different macro F1")
def check_f1_of_averages():
    # Classes 0 and 2 are precise but hardly found, class 1 is found but drowned in false alarms.
    y, p = np.repeat([0, 0, 1, 2, 2], [10, 90, 10, 10, 90]), np.repeat([0, 1, 1, 2, 1], [10, 90, 10, 10, 90])
    precision, recall, each, _ = precision_recall_fscore_support(y, p)
    of_averages = 2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean())
    assert of_averages > 1.5 * each.mean() and math.isclose(each.mean(), f1_score(y, p, average="macro"))


@pitfall('"micro avg" is missing from the report')
def check_report():
    full = classification_report(*EXAMPLE, output_dict=True)
    assert (
        "accuracy" in full
        and "micro avg" not in full
        and "micro avg" in classification_report(*EXAMPLE, labels=[1, 2], output_dict=True)
    )
    assert "micro avg" in classification_report(np.eye(3, dtype=int), np.eye(3, dtype=int), output_dict=True)
    assert math.isclose(f1_score(*EXAMPLE, average="micro"), full["accuracy"])


@pitfall("The score is excellent because of the background class")
def check_background_class():
    y = np.repeat([0, 1, 2], [950, 25, 25])
    p = np.repeat([0, 0, 1, 0, 2], [950, 20, 5, 20, 5])  # class 0 is O: most entities are missed
    assert f1_score(y, p, average="micro") > 0.95 and f1_score(y, p, average="micro", labels=[1, 2]) < 0.4
    stated("0.85", f1_score(*EXAMPLE, average="micro"))
    stated("0.5833", f1_score(*EXAMPLE, average="micro", labels=[1, 2]))


@pitfall("A class that does not exist lowers the score")
def check_phantom_class():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stated("0.5556", f1_score([0, 0, 1, 1], [0, 2, 1, 1], average="macro"))
        stated("0.8333", f1_score([0, 0, 1, 1], [0, 2, 1, 1], average="macro", labels=[0, 1]))
        perfect = lambda **options: f1_score([0, 0, 1, 1], [0, 0, 1, 1], average="macro", labels=[0, 1, 2], **options)
        assert math.isclose(perfect(), 2 / 3) and perfect(zero_division=np.nan) == 1


@holds("Input", "Output", "Defaults")
def check_contract():
    y, p = EXAMPLE
    names = np.array(["a", "b", "c"])
    assert f1_score(names[y], names[p], average="macro") == f1_score(y, p, average="macro")
    one_hot = np.eye(3, dtype=int)
    assert f1_score(one_hot[y], one_hot[p], average="micro") == f1_score(y, p, average="micro")
    assert isinstance(f1_score(y, p, average="macro"), float) and f1_score(y, p, average=None).shape == (3,)
    assert isinstance(classification_report(y, p), str)
    assert isinstance(classification_report(y, p, output_dict=True), dict)
    for function in (precision_score, recall_score, f1_score, classification_report):
        parameters = inspect.signature(function).parameters
        assert parameters["labels"].default is None and parameters["zero_division"].default == "warn"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(recall_score([0, 0, 1], [0, 2, 1], average=None)) == 3  # 2 occurs in the prediction only


@holds("Macro", "Micro", "Weighted", "Samples", "Balanced accuracy", "Which average for imbalanced data?")
def check_what_votes():
    y, p = np.repeat([0, 1, 2], [980, 10, 10]), np.repeat([0, 0, 2], [980, 10, 10])  # class 1 is never found
    each = f1_score(y, p, average=None, zero_division=0)
    values = {a: f1_score(y, p, average=a, zero_division=0) for a in ("macro", "micro", "weighted")}
    assert each[1] == 0 and values["macro"] < 0.7 < 0.97 < min(values["micro"], values["weighted"])
    assert math.isclose(values["micro"], (y == p).mean())  # one vote for each decision: the hit rate
    assert math.isclose(values["weighted"], each @ [0.98, 0.01, 0.01])
    truth, found = (np.random.rand(2, 60, 5) < 0.4).astype(int)
    truth[:, 0] = found[:, 0] = 1
    with_empty = [np.c_[m, np.zeros((60, 5), int)] for m in (truth, found)]  # five labels that no row carries
    pairs = (truth, found), with_empty
    scores = {a: [f1_score(*m, average=a, zero_division=0) for m in pairs] for a in ("macro", "micro")}
    assert math.isclose(*scores["micro"]) and math.isclose(scores["macro"][1], scores["macro"][0] / 2)
    rows = [f1_score(a, b) for a, b in zip(truth, found)]
    assert math.isclose(np.mean(rows), f1_score(truth, found, average="samples"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert balanced_accuracy_score([0, 0, 1, 1], [0, 2, 1, 1]) == 0.75  # class 2 is not in the truth
        assert recall_score([0, 0, 1, 1], [0, 2, 1, 1], average="macro") == 0.5
        assert recall_score([0, 0, 1, 1], [0, 2, 1, 1], average="macro", labels=[0, 1]) == 0.75


@holds("When do micro precision and micro recall differ?")
def check_micro_precision_and_recall():
    for y, p in cases():
        for chosen in (np.unique(y), np.unique(y)[1:]):
            _, fp, fn = counts(y, p)[:, chosen].sum(1)
            precision, recall = (f(y, p, average="micro", labels=chosen) for f in (precision_score, recall_score))
            assert math.isclose(precision, recall) is bool(fp == fn)
    subset = {"average": "micro", "labels": [1, 2]}
    assert precision_score(*EXAMPLE, **subset) != recall_score(*EXAMPLE, **subset)
    y, p = np.array([[1, 1], [0, 1]]), np.array([[1, 1], [1, 1]])  # multilabel: one false alarm, no miss
    assert precision_score(y, p, average="micro") == 0.75 and recall_score(y, p, average="micro") == 1


@holds("Why can macro F1 jump between test sets?")
def check_noise_of_a_small_class():
    macro, micro = [], []
    for _ in range(200):
        y = np.repeat([0, 1, 2], [500, 500, 6])
        p = np.where(np.random.rand(len(y)) < 0.8, y, np.random.randint(2, size=len(y)))
        macro.append(f1_score(y, p, average="macro"))
        micro.append(f1_score(y, p, average="micro"))
    assert np.std(macro) > 2 * np.std(micro)


@holds("Choices", "Is macro F1 with two classes the ordinary F1?")
def check_choices_of_average():
    for function in (precision_score, recall_score, f1_score):
        assert inspect.signature(function).parameters["average"].default == "binary"
    raises(ValueError, lambda: f1_score(*EXAMPLE), "average='binary'")
    raises(ValueError, lambda: f1_score(*EXAMPLE, average="samples"), "Samplewise metrics are not available")
    y, p = np.random.randint(2, size=(2, 40))
    assert math.isclose(f1_score(y, p, average="macro"), (f1_score(y, p) + f1_score(y, p, pos_label=0)) / 2)
