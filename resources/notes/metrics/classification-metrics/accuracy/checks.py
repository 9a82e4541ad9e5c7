import inspect
import math
import warnings

import numpy as np
import torch
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

ACCURACY = r"""
\mathrm{ACC} = \frac{1}{n} \sum_{i=1}^{n} [\hat{y}_i = y_i] = \sum_{c=1}^{C} \frac{n_c}{n} R_c, \qquad
R_c = \frac{1}{n_c} \sum_{i:\, y_i = c} [\hat{y}_i = c]
"""
BALANCED = r"""
\mathrm{BA} = \frac{1}{C} \sum_{c=1}^{C} R_c, \qquad
\mathrm{BA}_{\mathrm{adjusted}} = \frac{\mathrm{BA} - 1/C}{1 - 1/C}
"""
TOP_K = (
    r"\mathrm{ACC}_k = \frac{1}{n} \sum_{i=1}^{n} \left[ \, \left| \{ c : s_{ic} > s_{i y_i} \} \right| < k \, \right]"
)
DEVIATION = r"\mathrm{SD} = \sqrt{\frac{p (1 - p)}{n}}"
sourced("ImageNet challenge paper, arXiv 1409.0575: five guesses, as an image with one label may hold more", "Top-k")
EXAMPLE = np.repeat([1, 0], [10, 90]), np.repeat([1, 0, 1, 0], [4, 6, 2, 88])


def cases():
    """Labels and predictions of several sizes, skewed, with classes that are never predicted."""
    for n, classes in [(2, 2), (30, 3), (500, 7), (501, 2)]:
        y = np.minimum(np.random.geometric(0.4, n) - 1, classes - 1)
        y[:2] = 0, 1
        yield y, np.where(np.random.rand(n) < 0.6, y, np.random.choice(np.unique(y), n))
        yield y, np.zeros(n, int)
        yield y, y


def recalls(y, p):
    return np.array([(p[y == c] == c).mean() for c in np.unique(y)])


@formula(ACCURACY)
def check_accuracy():
    for y, p in cases():
        weights = np.array([(y == c).mean() for c in np.unique(y)])
        assert math.isclose((y == p).mean(), accuracy_score(y, p))
        assert math.isclose((weights * recalls(y, p)).sum(), accuracy_score(y, p), abs_tol=1e-12)
        assert np.allclose(recalls(y, p), recall_score(y, p, labels=np.unique(y), average=None))
        names = np.array(list("abcdefg"))
        assert accuracy_score(names[y], names[p]) == accuracy_score(y, p)


@formula(BALANCED)
def check_balanced():
    for y, p in cases():
        c = len(np.unique(y))
        mean = recalls(y, p).sum() / c
        assert math.isclose(mean, balanced_accuracy_score(y, p))
        assert math.isclose((mean - 1 / c) / (1 - 1 / c), balanced_accuracy_score(y, p, adjusted=True), abs_tol=1e-12)
        wrong = np.unique(y)[(np.searchsorted(np.unique(y), y) + 1) % c]
        assert math.isclose(balanced_accuracy_score(y, wrong, adjusted=True), 1 / (1 - c))  # the lowest value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert balanced_accuracy_score([0, 0, 1, 1], [0, 2, 1, 1]) == 0.75  # C counts the classes of y only


@formula(TOP_K)
def check_top_k():
    for n, classes in [(6, 3), (200, 10)]:
        y = np.r_[np.arange(classes), np.random.randint(classes, size=n - classes)]
        s = np.random.randn(n, classes)
        for k in range(1, classes):
            ours = ((s > s[np.arange(n), y][:, None]).sum(1) < k).mean()
            assert math.isclose(ours, top_k_accuracy_score(y, s, k=k))
        assert top_k_accuracy_score(y, s, k=1) == accuracy_score(y, s.argmax(1))


@formula(DEVIATION)
def check_deviation():
    for n, p in [(1, 0.5), (100, 0.92), (5000, 0.1)]:
        assert math.isclose(math.sqrt(p * (1 - p) / n), binom(n, p).std() / n)
    stated("0.0271", binom(100, 0.92).std() / 100)
    stated("3,457", 1.96**2 * 0.09 / 0.01**2)
    assert 1.96 * binom(3458, 0.9).std() / 3458 < 0.01 < 1.96 * binom(3456, 0.9).std() / 3456


@check
def check_by_hand():
    y, p = EXAMPLE
    assert ((y == 1) & (p == 1)).sum() == 4 and ((y == 0) & (p == 1)).sum() == 2 and (y == p).sum() == 92
    stated("0.92", accuracy_score(y, p))
    stated("0.90", accuracy_score(y, 0 * y))
    stated("0.9778", recall_score(y, p, pos_label=0))
    stated("0.6889", balanced_accuracy_score(y, p))
    stated("0.3778", balanced_accuracy_score(y, p, adjusted=True))
    stated("0.5", balanced_accuracy_score(y, 0 * y))


@holds("Input", "Output", "Top-k input", "Defaults", "Undefined")
def check_contract():
    assert accuracy_score([0, 1, 1], [0, 1, 0], normalize=False) == 2
    for f in (accuracy_score, balanced_accuracy_score):
        numbers, flags = ([0, 1, 1], [0, 1, 0]), ([False, True, True], [False, True, False])
        same = [f(*pair) for pair in (numbers, flags, (["a", "b", "b"], ["a", "b", "a"]))]
        assert len(set(same)) == 1 and isinstance(same[0], float) and 0 <= same[0] <= 1
    for f, name, value in (
        (accuracy_score, "normalize", True),
        (balanced_accuracy_score, "adjusted", False),
        (top_k_accuracy_score, "normalize", True),
        (top_k_accuracy_score, "k", 2),
    ):
        assert inspect.signature(f).parameters[name].default == value
    names, scores = ["b", "c", "a"], np.array([[0.1, 0.7, 0.2], [0.1, 0.2, 0.7], [0.7, 0.2, 0.1]])  # columns a, b, c
    assert top_k_accuracy_score(names, scores, k=1) == 1 > top_k_accuracy_score(names, scores[:, ::-1], k=1)
    assert accuracy_score(np.eye(3), [[1, 0, 0], [0, 1, 1], [0, 0, 1]]) == 2 / 3
    for f in (accuracy_score, balanced_accuracy_score):
        try:
            f([], [])
        except ValueError:
            continue
        raise AssertionError("expected an error")
    raises(ValueError, lambda: balanced_accuracy_score(np.eye(2, dtype=int), np.eye(2, dtype=int)), "multilabel")
    assert top_k_accuracy_score([0, 1, 1], [0.2, 0.9, 0.3], k=1) == 2 / 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for y, p in [([1, 1], [1, 1]), ([1, 1], [0, 1])]:
            assert not math.isfinite(balanced_accuracy_score(y, p, adjusted=True))


@check
def check_always_negative_and_scaling():
    for share in (0.01, 0.05, 0.3):
        y = (np.arange(1000) < 1000 * share).astype(int)
        assert math.isclose(accuracy_score(y, 0 * y), 1 - share) and balanced_accuracy_score(y, 0 * y) == 0.5
    z, y = np.random.randn(400, 3), np.random.randint(3, size=400)
    softmax = lambda v: np.exp(v - v.max(1, keepdims=True)) / np.exp(v - v.max(1, keepdims=True)).sum(1, keepdims=True)
    assert accuracy_score(y, z.argmax(1)) == accuracy_score(y, (10 * z).argmax(1))
    assert log_loss(y, softmax(10 * z)) > 3 * log_loss(y, softmax(z))


@pitfall("99% accuracy, and not one positive is found")
def check_majority_score_beside_it():
    x = np.random.randn(5000, 2)
    y = (x[:, 0] + 2 * np.random.randn(5000) > 5.2).astype(int)
    assert 0.005 < y.mean() < 0.015
    p = LogisticRegression().fit(x, y).predict(x)
    assert accuracy_score(y, p) > 0.985 and recall_score(y, p) == 0
    assert accuracy_score(y, p) <= max(y.mean(), 1 - y.mean()) and balanced_accuracy_score(y, p) <= 0.5
    assert precision_score(y, p, zero_division=0) == 0


@pitfall("Validation loss rises while accuracy stays or even improves")
def check_growing_confidence():
    """A linear model that can separate its few training samples; the two snapshots are 20 and 2,000 steps old."""
    direction = np.random.randn(30)
    x = np.random.randn(2060, 30)
    y = (x @ direction + 4 * np.random.randn(2060) > 0).astype(int)
    training, validation, fresh = slice(0, 60), slice(60, 1060), slice(1060, 2060)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    weights, seen = np.zeros(30), []
    for step in range(1, 2001):
        weights = weights - 0.5 * x[training].T @ (sigmoid(x[training] @ weights) - y[training]) / 60
        if step in (20, 2000):
            logits = x @ weights
            seen.append(
                (
                    log_loss(y[validation], sigmoid(logits[validation])),
                    accuracy_score(y[validation], logits[validation] > 0),
                    logits,
                )
            )
    (loss, accuracy, _), (later_loss, later_accuracy, logits) = seen
    assert later_loss > 2 * loss and later_accuracy > accuracy - 0.02
    confidence = np.abs(sigmoid(logits[fresh]) - 0.5).mean() + 0.5
    assert confidence > later_accuracy + 0.05
    temperatures = np.linspace(1, 20, 50)
    best = min(temperatures, key=lambda t: log_loss(y[validation], sigmoid(logits[validation] / t)))
    assert log_loss(y[fresh], sigmoid(logits[fresh] / best)) < 0.8 * log_loss(y[fresh], sigmoid(logits[fresh]))


@pitfall("The test accuracy was better than anything later")
def check_best_of_many_guessers():
    hits = np.arange(101)
    at_most = binom.cdf(hits, 100, 0.5) ** 100
    stated("0.62", (hits * np.diff(np.r_[0, at_most])).sum() / 100)
    y = np.repeat([0, 1], 50)
    chosen_on_test, later, chosen_on_validation = [], [], []
    for _ in range(300):
        test, validation, new = ((np.random.randint(2, size=(100, 100)) == y).mean(1) for _ in range(3))
        chosen_on_test.append(test.max())
        later.append(new[test.argmax()])
        chosen_on_validation.append(test[validation.argmax()])
    assert abs(np.mean(chosen_on_test) - 0.62) < 0.01
    assert abs(np.mean(later) - 0.5) < 0.01 and abs(np.mean(chosen_on_validation) - 0.5) < 0.01


@pitfall('"`y_true` is binary while y_score is 2d"')
def check_top_k_error():
    scores = [[0.5, 0.2, 0.2], [0.3, 0.4, 0.2]]
    raises(ValueError, lambda: top_k_accuracy_score([0, 1], scores, k=1), "`y_true` is binary while y_score is 2d")
    assert top_k_accuracy_score([0, 1], scores, k=1, labels=[0, 1, 2]) == 1
    names = ["cat", "dog"]
    assert top_k_accuracy_score(names, scores, k=1, labels=["cat", "dog", "owl"]) == 1
    raises(ValueError, lambda: top_k_accuracy_score(names, scores, labels=["dog", "cat", "owl"]), "must be ordered")
    two = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert top_k_accuracy_score([0, 1], two[:, 1], k=1, labels=[0, 1]) == 1
    raises(ValueError, lambda: top_k_accuracy_score([1, 1], two[:, 1], k=1), "Number of classes in 'y_true'")
    assert top_k_accuracy_score([1, 1], two[:, 1], k=1, labels=[0, 1]) == 0.5  # a fold with one of the two classes
    assert top_k_accuracy_score([0, 0], scores, k=1, labels=[0, 1, 2]) == 0.5
    raises(
        ValueError,
        lambda: top_k_accuracy_score([0, 1], two, k=1, labels=[0, 1]),
        "`y_true` is binary while y_score is 2d",
    )
    raises(ValueError, lambda: top_k_accuracy_score([0, 0], scores, k=1), "`y_true` is binary while y_score is 2d")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert top_k_accuracy_score([0, 1], 1 - two[:, 1]) == 1 > top_k_accuracy_score([0, 1], 1 - two[:, 1], k=1)
    logits = np.array(
        [[3.0, 1.0], [2.0, 1.0], [0.0, 4.0]]
    )  # the second column is judged by a threshold: probabilities only
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert top_k_accuracy_score([0, 0, 1], chances[:, 1], k=1) == 1 > top_k_accuracy_score([0, 0, 1], logits[:, 1], k=1)


@pitfall("A PyTorch accuracy above 1, or stuck near chance")
def check_shapes_of_predictions():
    y = torch.tensor([0, 1, 1, 1])
    single = torch.tensor([[-2.0], [1.0], [3.0], [0.5]])
    assert ((single.flatten() > 0) == y).all() and not single.argmax(1).any()
    wrong = y[:, None] == y
    assert wrong.shape == (4, 4) and wrong.sum() / len(y) > 1 and wrong.float().mean() < 1
    y = torch.arange(1000) % 2
    one = (6.0 * y - 3)[:, None]  # every prediction is right
    two = torch.cat([0 * one, one], 1)
    for pred in ((one > 0).long(), two.argmax(1, keepdim=True)):
        assert (pred == y).float().mean() == 0.5 and (pred == y).sum() / len(y) > 1
    column = y[:, None]
    assert (two.argmax(1) == column).float().mean() == 0.5 and ((one.squeeze(1) > 0) == column).float().mean() == 0.5
    for labels in (y, column, column.float(), column.bool()):
        assert (two.argmax(1) == labels.flatten()).float().mean() == 1
        for logits in (one, one.squeeze(1)):
            assert ((logits.flatten() > 0).shape) == labels.flatten().shape == (1000,)
            assert ((logits.flatten() > 0) == labels.flatten()).float().mean() == 1


@holds("Accuracy", "Balanced accuracy", "Top-k", "F1", "ROC AUC")
def check_what_votes():
    for y, p in cases():
        one_each = np.ones(len(y)) / len(y)
        assert math.isclose((one_each * (y == p)).sum(), accuracy_score(y, p))
        per_class = 1 / np.bincount(y)[y] / len(np.unique(y))
        assert math.isclose((per_class * (y == p)).sum(), balanced_accuracy_score(y, p))
        costs = (y != p).sum()  # every error costs 1: accuracy is what is left
        assert math.isclose(1 - costs / len(y), accuracy_score(y, p))
    y, p = EXAMPLE
    more = np.r_[y, np.zeros(900, int)], np.r_[p, np.zeros(900, int)]
    assert f1_score(*more) == f1_score(y, p)  # F1 looks at positives
    assert accuracy_score(*more) > accuracy_score(y, p) + 0.05
    assert f1_score(y, 0 * y, zero_division=0) == 0 < 0.9 == accuracy_score(y, 0 * y)
    s = np.random.randn(100) + y
    assert math.isclose((s[y == 1][:, None] > s[y == 0]).mean(), roc_auc_score(y, s))  # pairs, no threshold
    # An image with two objects and one label: a model that names both is half wrong by top-1, right by top-2.
    labels = np.random.randint(2, size=2000)
    both = np.c_[0.45 + 0.01 * np.random.randn(2000), 0.45 + 0.01 * np.random.randn(2000), np.full(2000, 0.1)]
    one, two = (top_k_accuracy_score(labels, both, k=k, labels=[0, 1, 2]) for k in (1, 2))
    assert 0.4 < one < 0.6 and two == 1


@holds("Why not train on accuracy?")
def check_piecewise_constant():
    x, y, w = torch.randn(200, 3).double(), torch.randint(2, (200,)), torch.randn(3).double()
    accuracy = lambda weights: ((x @ weights > 0) == y).double().mean()
    assert all(accuracy(w + 1e-9 * torch.randn(3).double()) == accuracy(w) for _ in range(20))
    assert accuracy(w) != accuracy(-w)


@holds("How large must the test set be?")
def check_interval_at_that_size():
    inside = binom(3457, 0.9).cdf(3457 * 0.91) - binom(3457, 0.9).cdf(3457 * 0.89)
    assert abs(inside - 0.95) < 0.005 and abs(1.96**2 * 0.09 / 0.01**2 - 3457) < 1


@holds("May one average the accuracies of batches?")
def check_average_over_batches():
    y, p = np.random.randint(2, size=(2, 70))
    parts = np.split(np.arange(70), [10, 15, 50])
    each = [accuracy_score(y[b], p[b]) for b in parts]
    assert math.isclose(np.average(each, weights=[len(b) for b in parts]), accuracy_score(y, p))
    stated("0.75", accuracy_score([1] * 12, [1] * 9 + [0] * 3))
    stated("0.45", (0.9 + 0.0) / 2)


@holds("When do the two accuracies agree?")
def check_when_they_agree():
    y = np.repeat([0, 1, 2], 20)
    p = np.where(np.random.rand(60) < 0.5, y, 0)
    assert math.isclose(accuracy_score(y, p), balanced_accuracy_score(y, p))
    y, p = np.repeat([0, 0, 1, 1], [8, 2, 40, 10]), np.repeat([0, 1, 1, 0], [8, 2, 40, 10])
    assert math.isclose(accuracy_score(y, p), balanced_accuracy_score(y, p))
    assert abs(accuracy_score(*EXAMPLE) - balanced_accuracy_score(*EXAMPLE)) > 0.2
