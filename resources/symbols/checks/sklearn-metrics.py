"""Executed claims of the cards of sklearn.metrics."""

import itertools
import math
import warnings

import numpy as np
import scipy.spatial.distance
import scipy.stats
import sklearn.metrics as metrics
from sklearn.metrics import cluster, pairwise

from note_checks import card, check

rng = np.random.default_rng(0)


def fails(work, *errors):
    try:
        work()
    except errors or (ValueError, TypeError):
        return True
    return False


def warned(work):
    """The result of `work` and the warnings it gives, as one text."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        return work(), " ".join(str(one.message) for one in seen)


def quiet(work):
    return warned(work)[0]


def close(first, second):
    np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-11)


def binary(n=60):
    """True labels, scores that correlate with them (with ties), and thresholded predictions."""
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    s = np.round(y * 0.4 + rng.random(n), 1)
    return y, s, (s > 0.7).astype(int)


def cells(y, p, positive=1):
    tp = np.sum((y == positive) & (p == positive))
    fp = np.sum((y != positive) & (p == positive))
    fn = np.sum((y == positive) & (p != positive))
    tn = np.sum((y != positive) & (p != positive))
    return tp, fp, fn, tn


def classes(n=80, c=4):
    y = np.concatenate([np.arange(c), rng.integers(0, c, n - c)])
    p = np.where(rng.random(n) < 0.5, y, rng.integers(0, c, n))
    return y, p


def probabilities(n, c):
    p = rng.random((n, c)) + 0.05
    return p / p.sum(axis=1, keepdims=True)


def entropy(labels):
    _, counts = np.unique(labels, return_counts=True)
    q = counts / counts.sum()
    return -(q * np.log(q)).sum()


def conditional(first, given):
    """H(first | given)."""
    return entropy(np.asarray(first) * 1000 + given) - entropy(given)


def pairs_of(u, v):
    """Unordered pairs together in both, only in v, only in u, in neither."""
    n = len(u)
    both = only_v = only_u = none = 0
    for i, j in itertools.combinations(range(n), 2):
        a, b = u[i] == u[j], v[i] == v[j]
        both, only_v, only_u, none = (
            both + (a and b),
            only_v + (b and not a),
            only_u + (a and not b),
            none + (not a and not b),
        )
    return both, only_v, only_u, none


@card("sklearn.metrics.mutual_info_score", formula=r"I(U;V)=\sum_{u,v}\frac{n_{uv}}{n}\ln\frac{n\,n_{uv}}{n_u\,n_v}")
def mutual_information():
    u, v = classes()
    n, total = len(u), 0.0
    for a, b in itertools.product(np.unique(u), np.unique(v)):
        joint = np.sum((u == a) & (v == b))
        if joint:
            total += joint / n * math.log(n * joint / (np.sum(u == a) * np.sum(v == b)))
    close(metrics.mutual_info_score(u, v), total)
    close(metrics.mutual_info_score(None, None, contingency=cluster.contingency_matrix(u, v)), total)
    x = rng.random(40)
    close(quiet(lambda: metrics.mutual_info_score(x, rng.random(40))), math.log(40))
    few, many = rng.integers(0, 3, 200), rng.integers(0, 60, 200)
    assert metrics.mutual_info_score(few, many) > metrics.mutual_info_score(few, rng.integers(0, 3, 200))


@card(
    "sklearn.metrics.normalized_mutual_info_score",
    formula=r"\mathrm{NMI}=\frac{I(U;V)}{\tfrac12\left(H(U)+H(V)\right)}",
)
def normalised_mutual_information():
    u, v = classes()
    close(metrics.normalized_mutual_info_score(u, v), metrics.mutual_info_score(u, v) / ((entropy(u) + entropy(v)) / 2))
    a, b = rng.integers(0, 50, 200), rng.integers(0, 50, 200)
    assert metrics.normalized_mutual_info_score(a, b) > 0.5 > abs(metrics.adjusted_mutual_info_score(a, b))


@card(
    "sklearn.metrics.pairwise.cosine_similarity",
    formula=r"s_{ij}=\frac{x_i\cdot y_j}{\lVert x_i\rVert\,\lVert y_j\rVert}",
)
def cosine_similarity():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    close(pairwise.cosine_similarity(x, y), [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in y] for a in x])
    assert pairwise.cosine_similarity([[0.0, 0.0]]).tolist() == [[0.0]]
    close(pairwise.cosine_similarity([[1.0, 2.0]], [[2.0, 4.0]]), 1)


@card(
    "sklearn.metrics.pairwise.euclidean_distances", formula=r"d_{ij}=\sqrt{x_i\cdot x_i-2\,x_i\cdot y_j+y_j\cdot y_j}"
)
def euclidean():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    close(pairwise.euclidean_distances(x, y), [[math.sqrt(a @ a - 2 * a @ b + b @ b) for b in y] for a in x])
    close(pairwise.euclidean_distances(x, y), scipy.spatial.distance.cdist(x, y))
    close(pairwise.euclidean_distances(x, y, squared=True), scipy.spatial.distance.cdist(x, y) ** 2)
    far = np.array([[1e8, 1e8]])
    near = far + [[1e-3, 0]]
    true = near[0, 0] - far[0, 0]
    assert abs(scipy.spatial.distance.cdist(far, near)[0, 0] - true) < 1e-12
    assert abs(pairwise.euclidean_distances(far, near)[0, 0] - true) > 1e-4


@card("sklearn.metrics.log_loss", formula=r"L=-\frac1n\sum_{i=1}^{n}\ln p_{i,y_i}")
def log_loss():
    y = np.array([0, 1, 2, 2, 1])
    p = probabilities(5, 3)
    each = -np.log(p[np.arange(5), y])
    close(metrics.log_loss(y, p), each.mean())
    close(metrics.log_loss(y, p, normalize=False), each.sum())
    q = rng.random(5)
    close(metrics.log_loss([0, 1, 1, 0, 1], q), metrics.log_loss([0, 1, 1, 0, 1], np.c_[1 - q, q]))
    assert round(metrics.log_loss([0, 1], [0.0, 0.0]) * 2) == 36
    assert fails(lambda: metrics.log_loss([1, 1], [0.3, 0.4]))
    assert fails(lambda: metrics.log_loss([0, 1], p[:2])) and metrics.log_loss([0, 1], p[:2], labels=[0, 1, 2]) > 0
    assert "1.9" in warned(lambda: metrics.log_loss([0, 1], y_pred=[0.2, 0.7]))[1]


@card("sklearn.metrics.mean_squared_error", formula=r"\mathrm{MSE}=\frac1n\sum_i(y_i-\hat y_i)^2")
def mean_squared_error():
    y, p = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    close(metrics.mean_squared_error(y[:, 0], p[:, 0]), np.mean((y[:, 0] - p[:, 0]) ** 2))
    close(metrics.mean_squared_error(y, p), np.mean((y - p) ** 2))
    assert fails(lambda: metrics.mean_squared_error(y, p, squared=False), TypeError)
    assert (
        "neg_mean_squared_error" in metrics.get_scorer_names()
        and "mean_squared_error" not in metrics.get_scorer_names()
    )


@card("sklearn.metrics.mean_absolute_error", formula=r"\mathrm{MAE}=\frac1n\sum_i\lvert y_i-\hat y_i\rvert")
def mean_absolute_error():
    y, p = rng.normal(size=7), rng.normal(size=7)
    close(metrics.mean_absolute_error(y, p), np.mean(np.abs(y - p)))
    skewed = rng.exponential(size=51)
    at = {c: metrics.mean_absolute_error(skewed, np.full(51, c)) for c in (np.median(skewed), np.mean(skewed))}
    assert at[np.median(skewed)] < at[np.mean(skewed)]
    assert "neg_mean_absolute_error" in metrics.get_scorer_names()


@card("sklearn.metrics.jaccard_score", formula=r"J=\frac{TP}{TP+FP+FN}")
def jaccard():
    y, _, p = binary()
    tp, fp, fn, _ = cells(y, p)
    close(metrics.jaccard_score(y, p), tp / (tp + fp + fn))
    u, v = classes()
    assert fails(lambda: metrics.jaccard_score(u, v))
    each = [cells(u, v, c)[0] / sum(cells(u, v, c)[:3]) for c in np.unique(u)]
    close(metrics.jaccard_score(u, v, average="macro"), np.mean(each))
    close(metrics.jaccard_score(np.r_[y, np.zeros(50)], np.r_[p, np.zeros(50)]), metrics.jaccard_score(y, p))


@card("sklearn.metrics.accuracy_score", formula=r"\mathrm{acc}=\frac1n\sum_i[\hat y_i=y_i]")
def accuracy():
    y, p = classes()
    close(metrics.accuracy_score(y, p), np.mean(y == p))
    assert metrics.accuracy_score(y, p, normalize=False) == np.sum(y == p)
    rare = np.r_[np.ones(1), np.zeros(99)]
    close(metrics.accuracy_score(rare, np.zeros(100)), 0.99)
    assert metrics.accuracy_score(np.array([[1, 0], [1, 1]]), np.array([[1, 0], [0, 1]])) == 0.5


@card("sklearn.metrics.balanced_accuracy_score", formula=r"\mathrm{BA}=\frac1C\sum_{c=1}^{C}\frac{TP_c}{TP_c+FN_c}")
def balanced_accuracy():
    y, p = classes()
    recalls = [np.mean(p[y == c] == c) for c in np.unique(y)]
    close(metrics.balanced_accuracy_score(y, p), np.mean(recalls))
    close(metrics.recall_score(y, p, average="macro"), np.mean(recalls))
    close(metrics.balanced_accuracy_score(y, p, adjusted=True), (np.mean(recalls) - 0.25) / (1 - 0.25))
    value, text = warned(lambda: metrics.balanced_accuracy_score([0, 0, 1], [0, 2, 1]))
    assert value == 0.75 and "not in y_true" in text
    close(metrics.balanced_accuracy_score(y, np.zeros_like(y)), 0.25)


@card(
    "sklearn.metrics.top_k_accuracy_score", formula=r"\mathrm{acc}_k=\frac1n\sum_i[\operatorname{rank}(s_{i,y_i})\le k]"
)
def top_k():
    y, s = np.r_[np.arange(5), rng.integers(0, 5, 35)], rng.random((40, 5))
    for k in (1, 2, 3):
        rank = (s > s[np.arange(40), y][:, None]).sum(axis=1) + 1
        close(metrics.top_k_accuracy_score(y, s, k=k), np.mean(rank <= k))
    assert fails(lambda: metrics.top_k_accuracy_score(y[:3] % 2, s[:3]))
    assert metrics.top_k_accuracy_score([0, 1], s[:2], labels=range(5), k=5 - 1) >= 0
    assert quiet(lambda: metrics.top_k_accuracy_score([0, 1, 0], [0.9, 0.1, 0.5], k=2)) == 1


@card("sklearn.metrics.precision_score", formula=r"P=\frac{TP}{TP+FP}")
def precision():
    y, _, p = binary()
    tp, fp, _, _ = cells(y, p)
    close(metrics.precision_score(y, p), tp / (tp + fp))
    u, v = classes()
    assert fails(lambda: metrics.precision_score(u, v))
    close(metrics.precision_score(u, v, average="micro"), metrics.accuracy_score(u, v))
    value, text = warned(lambda: metrics.precision_score([0, 1], [0, 0]))
    assert value == 0 and "zero_division" in text and metrics.precision_score([0, 1], [0, 0], zero_division=1) == 1
    assert fails(lambda: metrics.precision_score(["a", "b"], ["a", "b"]))
    assert metrics.precision_score(["a", "b"], ["a", "b"], pos_label="b") == 1
    each = metrics.precision_score(u, v, average=None)
    close(metrics.precision_score(u, v, average="macro"), each.mean())
    close(metrics.precision_score(u, v, average="weighted"), np.average(each, weights=np.bincount(u)))
    close(metrics.precision_score(u, v, average="macro", labels=[1, 2]), each[1:3].mean())


@card("sklearn.metrics.recall_score", formula=r"R=\frac{TP}{TP+FN}")
def recall():
    y, _, p = binary()
    tp, fp, fn, tn = cells(y, p)
    close(metrics.recall_score(y, p), tp / (tp + fn))
    close(metrics.recall_score(y, p, pos_label=0), tn / (tn + fp))
    u, v = classes()
    close(metrics.recall_score(u, v, average="weighted"), metrics.accuracy_score(u, v))
    close(metrics.recall_score(u, v, average="macro"), metrics.balanced_accuracy_score(u, v))
    assert metrics.recall_score(y, np.ones_like(y)) == 1


@card("sklearn.metrics.precision_recall_curve", "sklearn.metrics.roc_curve")
def curves():
    y, s, _ = binary()
    p, r, t = metrics.precision_recall_curve(y, s)
    assert len(p) == len(r) == len(t) + 1 and (p[-1], r[-1]) == (1, 0)
    assert np.all(np.diff(t) > 0) and np.all(np.diff(r) <= 0) and np.all(np.diff(metrics.roc_curve(y, s)[2]) < 0)
    for i, one in enumerate(t):
        close((p[i], r[i]), (metrics.precision_score(y, s >= one), metrics.recall_score(y, s >= one)))
    assert fails(lambda: metrics.precision_recall_curve(["a", "b"], [0.1, 0.2]))
    fewer = metrics.precision_recall_curve(y, s, drop_intermediate=True)
    assert set(zip(fewer[0], fewer[1])) <= set(zip(p, r))


@card("sklearn.metrics.precision_recall_fscore_support", formula=r"F_\beta=\frac{(1+\beta^2)PR}{\beta^2P+R}")
def all_scores():
    u, v = classes()
    for beta in (0.5, 1, 2):
        p, r, f, n = metrics.precision_recall_fscore_support(u, v, beta=beta)
        assert p.shape == r.shape == f.shape == n.shape == (4,)
        close(f, (1 + beta**2) * p * r / (beta**2 * p + r))
        assert n.tolist() == np.bincount(u).tolist()
    p, r, f, n = metrics.precision_recall_fscore_support(u, v, average="macro")
    assert n is None and abs(f - 2 * p * r / (p + r)) > 1e-6


@card("sklearn.metrics.confusion_matrix", formula=r"C_{ij}=\sum_k[y_k=i]\,[\hat y_k=j]")
def confusion():
    y, p = classes()
    c = metrics.confusion_matrix(y, p)
    assert all(c[i, j] == np.sum((y == i) & (p == j)) for i in range(4) for j in range(4))
    a, _, b = binary()
    tp, fp, fn, tn = cells(a, b)
    assert metrics.confusion_matrix(a, b).ravel().tolist() == [tn, fp, fn, tp]
    close(np.diag(metrics.confusion_matrix(y, p, normalize="true")), metrics.recall_score(y, p, average=None))
    close(np.diag(metrics.confusion_matrix(y, p, normalize="pred")), metrics.precision_score(y, p, average=None))
    assert metrics.confusion_matrix(y, p, labels=[2, 0]).tolist() == [[c[2, 2], c[2, 0]], [c[0, 2], c[0, 0]]]


@card(
    "sklearn.metrics.ConfusionMatrixDisplay",
    "sklearn.metrics.RocCurveDisplay",
    "sklearn.metrics.DetCurveDisplay",
    "sklearn.metrics.PrecisionRecallDisplay",
    "sklearn.metrics.PredictionErrorDisplay",
)
def displays():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    y, s, p = binary()
    made = metrics.ConfusionMatrixDisplay(metrics.confusion_matrix(y, p))
    assert not hasattr(made, "figure_") and made.plot().ax_.get_ylabel() == "True label"
    assert hasattr(metrics.ConfusionMatrixDisplay.from_predictions(y, p), "figure_")
    fpr, tpr, _ = metrics.roc_curve(y, s)
    assert not hasattr(metrics.RocCurveDisplay(fpr=fpr, tpr=tpr), "figure_")
    assert metrics.RocCurveDisplay.from_predictions(y, s).chance_level_ is None
    assert metrics.RocCurveDisplay.from_predictions(y, s, plot_chance_level=True).chance_level_ is not None
    det = metrics.DetCurveDisplay.from_predictions(y, s)
    x, z = det.line_.get_data()
    close(x, scipy.stats.norm.ppf(det.fpr))
    assert np.isinf(scipy.stats.norm.ppf([0, 1])).all()
    pr = metrics.PrecisionRecallDisplay.from_predictions(y, s, plot_chance_level=True)
    assert pr.line_.get_drawstyle() == "steps-post"
    close(pr.chance_level_.get_ydata(), y.mean())
    error = metrics.PredictionErrorDisplay(y_true=np.arange(4.0), y_pred=np.arange(4.0) * 2)
    close(error.plot().scatter_.get_offsets().data, np.c_[np.arange(4.0) * 2, -np.arange(4.0)])
    close(error.plot(kind="actual_vs_predicted").scatter_.get_offsets().data, np.c_[np.arange(4.0) * 2, np.arange(4.0)])
    pyplot.close("all")


@card("sklearn.metrics.f1_score", formula=r"F_1=\frac{2PR}{P+R}=\frac{2TP}{2TP+FP+FN}")
def f1():
    y, _, p = binary()
    tp, fp, fn, _ = cells(y, p)
    a, b = tp / (tp + fp), tp / (tp + fn)
    close(metrics.f1_score(y, p), 2 * a * b / (a + b))
    close(metrics.f1_score(y, p), 2 * tp / (2 * tp + fp + fn))
    u, v = classes()
    each = metrics.f1_score(u, v, average=None)
    p, r = metrics.precision_score(u, v, average="macro"), metrics.recall_score(u, v, average="macro")
    close(metrics.f1_score(u, v, average="macro"), each.mean())
    assert abs(each.mean() - 2 * p * r / (p + r)) > 1e-6 and fails(lambda: metrics.f1_score(u, v))
    close(metrics.f1_score(u, v, average="micro"), metrics.accuracy_score(u, v))
    assert metrics.f1_score([1, 1, 0], [1, 0, 0]) == metrics.f1_score([1, 1, 0], [1, 0, 0], pos_label=0)
    assert metrics.f1_score([1, 1, 1, 0], [1, 1, 0, 0]) != metrics.f1_score([1, 1, 1, 0], [1, 1, 0, 0], pos_label=0)


@card("sklearn.metrics.fbeta_score", formula=r"F_\beta=\frac{(1+\beta^2)PR}{\beta^2P+R}")
def f_beta():
    y, _, p = binary()
    a, b = metrics.precision_score(y, p), metrics.recall_score(y, p)
    for beta in (0.5, 1, 2):
        close(metrics.fbeta_score(y, p, beta=beta), (1 + beta**2) * a * b / (beta**2 * a + b))
        close(1 / metrics.fbeta_score(y, p, beta=beta), (1 / a + beta**2 / b) / (1 + beta**2))
    close(metrics.fbeta_score(y, p, beta=0), a)
    assert fails(lambda: metrics.fbeta_score(y, p), TypeError) and fails(
        lambda: metrics.fbeta_score(y, p, 2), TypeError
    )


@card("sklearn.metrics.roc_auc_score", formula=r"\mathrm{AUC}=P(s^+>s^-)+\tfrac12P(s^+=s^-)")
def roc_auc():
    for _ in range(5):
        y, s, p = binary()
        difference = s[y == 1][:, None] - s[y == 0]
        close(metrics.roc_auc_score(y, s), np.mean(difference > 0) + 0.5 * np.mean(difference == 0))
        close(metrics.roc_auc_score(y, p), metrics.balanced_accuracy_score(y, p))
        close(metrics.roc_auc_score(y, np.exp(s)), metrics.roc_auc_score(y, s))
    z, q = np.arange(20) % 3, probabilities(20, 3)
    assert fails(lambda: metrics.roc_auc_score(z, q)) and fails(
        lambda: metrics.roc_auc_score(z, q * 2, multi_class="ovr")
    )
    rest = [metrics.roc_auc_score(z == c, q[:, c]) for c in range(3)]
    close(metrics.roc_auc_score(z, q, multi_class="ovr"), np.mean(rest))
    pairs = []
    for a, b in itertools.combinations(range(3), 2):
        kept = (z == a) | (z == b)
        pairs.append(
            (metrics.roc_auc_score(z[kept] == a, q[kept, a]) + metrics.roc_auc_score(z[kept] == b, q[kept, b])) / 2
        )
    close(metrics.roc_auc_score(z, q, multi_class="ovo"), np.mean(pairs))
    assert fails(lambda: metrics.roc_auc_score(z, q, multi_class="ovo", average=None), ValueError, NotImplementedError)


@card("sklearn.metrics.roc_curve", formula=r"\mathrm{TPR}=\frac{TP}{TP+FN},\quad\mathrm{FPR}=\frac{FP}{FP+TN}")
def roc():
    y, s, p = binary()
    fpr, tpr, t = metrics.roc_curve(y, s, drop_intermediate=False)
    assert np.isinf(t[0]) and (fpr[0], tpr[0]) == (0, 0) and (fpr[-1], tpr[-1]) == (1, 1)
    for i, one in enumerate(t):
        tp, fp, fn, tn = cells(y, (s >= one).astype(int))
        close((tpr[i], fpr[i]), (tp / (tp + fn), fp / (fp + tn)))
    assert len(metrics.roc_curve(y, p)[0]) == 3
    close(metrics.auc(fpr, tpr), metrics.auc(*metrics.roc_curve(y, s)[:2]))


@card("sklearn.metrics.auc", formula=r"A=\sum_k(x_{k+1}-x_k)\,\frac{y_k+y_{k+1}}2")
def area():
    x, y = np.sort(rng.random(8)), rng.random(8)
    close(metrics.auc(x, y), sum((x[k + 1] - x[k]) * (y[k] + y[k + 1]) / 2 for k in range(7)))
    close(metrics.auc(x[::-1], y[::-1]), metrics.auc(x, y))
    assert fails(lambda: metrics.auc([0, 1, 0.5], [0, 1, 0.7]))
    a, s, _ = binary()
    p, r, _ = metrics.precision_recall_curve(a, s)
    assert abs(metrics.auc(r, p) - metrics.average_precision_score(a, s)) > 1e-6


@card("sklearn.metrics.classification_report")
def report():
    u, v = classes()
    table = metrics.classification_report(u, v, output_dict=True)
    assert isinstance(metrics.classification_report(u, v), str)
    close(table["accuracy"], metrics.f1_score(u, v, average="micro"))
    assert "micro avg" not in metrics.classification_report(u, v)
    some = metrics.classification_report(u, v, labels=[0, 1])
    assert "micro avg" in some and "accuracy" not in some
    assert "accuracy" in metrics.classification_report(u, v, labels=[3, 2, 1, 0])
    close(table["macro avg"]["f1-score"], metrics.f1_score(u, v, average="macro"))


@card("sklearn.metrics.average_precision_score", formula=r"\mathrm{AP}=\sum_k(R_k-R_{k-1})\,P_k")
def average_precision():
    for _ in range(5):
        y, s, _ = binary()
        p, r, _ = metrics.precision_recall_curve(y, s)
        p, r = p[::-1], r[::-1]
        close(metrics.average_precision_score(y, s), sum((r[k] - r[k - 1]) * p[k] for k in range(1, len(p))))
    close(metrics.average_precision_score(y, np.zeros(len(y))), y.mean())
    multi, scores = rng.integers(0, 2, (30, 3)), rng.random((30, 3))
    each = [metrics.average_precision_score(multi[:, j], scores[:, j]) for j in range(3)]
    close(metrics.average_precision_score(multi, scores), np.mean(each))


@card("sklearn.metrics.pairwise.rbf_kernel", formula=r"K_{ij}=\exp\left(-\gamma\lVert x_i-y_j\rVert^2\right)")
def rbf():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    squares = ((x[:, None] - y) ** 2).sum(axis=2)
    close(pairwise.rbf_kernel(x, y, gamma=0.7), np.exp(-0.7 * squares))
    close(pairwise.rbf_kernel(x, y), np.exp(-squares / 3))
    sigma = 1.7
    close(pairwise.rbf_kernel(x, y, gamma=1 / (2 * sigma**2)), np.exp(-squares / (2 * sigma**2)))


@card(
    "sklearn.metrics.check_scoring",
    "sklearn.metrics.get_scorer",
    "sklearn.metrics.get_scorer_names",
    "sklearn.metrics.make_scorer",
)
def scorers():
    from sklearn.linear_model import LinearRegression, LogisticRegression

    x = rng.normal(size=(60, 2))
    y = (x[:, 0] + rng.normal(size=60) > 0).astype(int)
    model = LogisticRegression().fit(x, y)
    close(metrics.check_scoring(model)(model, x, y), metrics.accuracy_score(y, model.predict(x)))
    linear = LinearRegression().fit(x, x[:, 0] + rng.normal(size=60))
    target = rng.normal(size=60)
    close(metrics.check_scoring(linear)(linear, x, target), metrics.r2_score(target, linear.predict(x)))
    assert set(metrics.check_scoring(model, ["accuracy", "roc_auc"])(model, x, y)) == {"accuracy", "roc_auc"}
    close(
        metrics.get_scorer("neg_mean_squared_error")(linear, x, target),
        -metrics.mean_squared_error(target, linear.predict(x)),
    )
    assert fails(lambda: metrics.get_scorer("mse")) and "f1_macro" in metrics.get_scorer_names()
    hard = metrics.make_scorer(metrics.roc_auc_score)(model, x, y)
    soft = metrics.make_scorer(metrics.roc_auc_score, response_method="predict_proba")(model, x, y)
    close(hard, metrics.roc_auc_score(y, model.predict(x)))
    close(soft, metrics.roc_auc_score(y, model.predict_proba(x)[:, 1]))
    loss = metrics.make_scorer(metrics.mean_absolute_error, greater_is_better=False)
    close(loss(linear, x, target), -metrics.mean_absolute_error(target, linear.predict(x)))
    assert metrics.check_scoring(object_without_score(), allow_none=True) is None
    assert fails(lambda: metrics.check_scoring(object_without_score()), TypeError)


def object_without_score():
    class Model:
        def fit(self, x, y=None):
            return self

    return Model()


@card("sklearn.metrics.brier_score_loss", formula=r"\mathrm{BS}=\frac1n\sum_i(p_i-y_i)^2")
def brier():
    y, p = rng.integers(0, 2, 30), rng.random(30)
    close(metrics.brier_score_loss(y, p), np.mean((p - y) ** 2))
    z, q = np.arange(30) % 3, probabilities(30, 3)
    close(metrics.brier_score_loss(z, q), np.mean(((q - np.eye(3)[z]) ** 2).sum(axis=1)))
    close(metrics.brier_score_loss(z, q, scale_by_half=True), metrics.brier_score_loss(z, q) / 2)
    close(metrics.brier_score_loss([0, 1, 2], np.roll(np.eye(3), 1, axis=0)), 2)
    assert fails(lambda: metrics.brier_score_loss(["n", "y"], [0.1, 0.2]))


@card(
    "sklearn.metrics.class_likelihood_ratios",
    formula=r"\mathrm{LR}_+=\frac{\mathrm{TPR}}{\mathrm{FPR}},\quad\mathrm{LR}_-=\frac{\mathrm{FNR}}{\mathrm{TNR}}",
)
def likelihood_ratios():
    y, _, p = binary()
    tp, fp, fn, tn = cells(y, p)
    plus, minus = metrics.class_likelihood_ratios(y, p)
    close(plus, (tp / (tp + fn)) / (fp / (fp + tn)))
    close(minus, (fn / (tp + fn)) / (tn / (fp + tn)))
    value, text = warned(lambda: metrics.class_likelihood_ratios([0, 1], [0, 1]))
    assert np.isnan(value[0]) and text
    more = np.tile(np.flatnonzero(y == 0), 3)
    close(metrics.class_likelihood_ratios(np.r_[y, y[more]], np.r_[p, p[more]]), (plus, minus))
    odds = (tp + fn) / (fp + tn)
    close(tp / fp, odds * plus)
    close(fn / tn, odds * minus)


@card("sklearn.metrics.cohen_kappa_score", formula=r"\kappa=\frac{p_o-p_e}{1-p_e}")
def kappa():
    a, b = classes()
    observed = np.mean(a == b)
    expected = sum(np.mean(a == c) * np.mean(b == c) for c in range(4))
    close(metrics.cohen_kappa_score(a, b), (observed - expected) / (1 - expected))
    first, second = np.r_[np.zeros(98), 1, 0], np.r_[np.zeros(98), 0, 1]
    assert np.mean(first == second) == 0.98 and metrics.cohen_kappa_score(first, second) < 0.05
    o = metrics.confusion_matrix(a, b)
    e = np.outer(o.sum(axis=1), o.sum(axis=0)) / o.sum()
    i, j = np.indices(o.shape)
    close(metrics.cohen_kappa_score(a, b, weights="quadratic"), 1 - ((i - j) ** 2 * o).sum() / ((i - j) ** 2 * e).sum())


@card("sklearn.metrics.d2_log_loss_score", formula=r"D^2=1-\frac{\mathrm{LL}(y,p)}{\mathrm{LL}(y,\bar p)}")
def d2_log_loss():
    y, p = np.arange(30) % 3, probabilities(30, 3)
    y[:10] = 0
    null = np.tile(np.bincount(y) / 30, (30, 1))
    close(metrics.d2_log_loss_score(y, p), 1 - metrics.log_loss(y, p) / metrics.log_loss(y, null))
    close(metrics.d2_log_loss_score(y, null), 0)
    assert metrics.d2_log_loss_score([0, 1], [0.999, 0.001]) < -8
    assert "1.9" in warned(lambda: metrics.d2_log_loss_score([0, 1], y_pred=[0.5, 0.5]))[1]


@card("sklearn.metrics.dcg_score", formula=r"\mathrm{DCG}=\sum_{r=1}^{k}\frac{y_{(r)}}{\log_2(r+1)}")
def dcg():
    y, s = rng.integers(0, 4, (3, 6)), rng.random((3, 6))
    for k in (3, 6):
        ranked = np.take_along_axis(y, np.argsort(-s, axis=1), axis=1)[:, :k]
        close(metrics.dcg_score(y, s, k=k), np.mean((ranked / np.log2(np.arange(k) + 2)).sum(axis=1)))
    assert metrics.dcg_score([[3, 0]], [[1, 0]]) == 3
    assert fails(lambda: metrics.dcg_score([1, 0], [1, 0]))


@card("sklearn.metrics.ndcg_score", formula=r"\mathrm{NDCG}=\frac{\mathrm{DCG}(y,s)}{\mathrm{DCG}(y,y)}")
def ndcg():
    y, s = rng.integers(0, 4, (1, 6)) + 1, rng.random((1, 6))
    close(metrics.ndcg_score(y, s, k=3), metrics.dcg_score(y, s, k=3) / metrics.dcg_score(y, y, k=3))
    assert metrics.ndcg_score([[3, 2, 1]], [[9, 5, 1]]) == 1
    assert fails(lambda: metrics.ndcg_score([[1]], [[0.1]])) and fails(
        lambda: metrics.ndcg_score([[-1, 1]], [[0.1, 0.2]])
    )


@card("sklearn.metrics.det_curve", formula=r"\mathrm{FPR}=\frac{FP}{FP+TN},\quad\mathrm{FNR}=\frac{FN}{FN+TP}")
def det():
    y, s, _ = binary()
    fpr, fnr, t = metrics.det_curve(y, s)
    assert np.all(np.diff(t) > 0)
    for i, one in enumerate(t):
        tp, fp, fn, tn = cells(y, (s >= one).astype(int))
        if np.isfinite(one):
            close((fpr[i], fnr[i]), (fp / (fp + tn), fn / (fn + tp)))


@card("sklearn.metrics.hamming_loss", formula=r"L=\frac1{nL_0}\sum_{i,j}[\hat y_{ij}\ne y_{ij}]")
def hamming():
    y, p = rng.integers(0, 2, (8, 3)), rng.integers(0, 2, (8, 3))
    close(metrics.hamming_loss(y, p), np.mean(y != p))
    a, b = classes()
    close(metrics.hamming_loss(a, b), 1 - metrics.accuracy_score(a, b))
    sparse = np.zeros((50, 20), int)
    sparse[np.arange(50), np.arange(50) % 20] = 1
    close(metrics.hamming_loss(sparse, np.zeros_like(sparse)), 0.05)


@card("sklearn.metrics.hinge_loss", formula=r"L=\frac1n\sum_i\max(0,\,1-y_if_i)")
def hinge():
    y, f = np.where(rng.random(20) > 0.5, 1, -1), rng.normal(size=20)
    y[:2] = 1, -1
    close(metrics.hinge_loss(y, f), np.mean(np.maximum(0, 1 - y * f)))
    z, g = np.arange(12) % 3, rng.normal(size=(12, 3))
    own = g[np.arange(12), z]
    other = np.where(np.eye(3, dtype=bool)[z], -np.inf, g).max(axis=1)
    close(metrics.hinge_loss(z, g), np.mean(np.maximum(0, 1 - (own - other))))


@card(
    "sklearn.metrics.matthews_corrcoef",
    formula=r"\mathrm{MCC}=\frac{TP\,TN-FP\,FN}{\sqrt{(TP+FP)(TP+FN)(TN+FP)(TN+FN)}}",
)
def mcc():
    y, _, p = binary()
    tp, fp, fn, tn = map(float, cells(y, p))
    close(
        metrics.matthews_corrcoef(y, p), (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    )
    close(metrics.matthews_corrcoef(y, p), np.corrcoef(y, p)[0, 1])
    close(metrics.matthews_corrcoef(1 - y, 1 - p), metrics.matthews_corrcoef(y, p))
    assert metrics.matthews_corrcoef(y, np.ones_like(y)) == 0


@card("sklearn.metrics.multilabel_confusion_matrix")
def tables():
    y, p = classes()
    t = metrics.multilabel_confusion_matrix(y, p)
    assert t.shape == (4, 2, 2)
    for c in range(4):
        tp, fp, fn, tn = cells(y, p, c)
        assert t[c].tolist() == [[tn, fp], [fn, tp]]


@card("sklearn.metrics.zero_one_loss", formula=r"L=\frac1n\sum_i[\hat y_i\ne y_i]")
def zero_one():
    y, p = classes()
    close(metrics.zero_one_loss(y, p), np.mean(y != p))
    assert metrics.zero_one_loss(y, p, normalize=False) == np.sum(y != p)
    assert metrics.zero_one_loss(np.array([[1, 1, 1]]), np.array([[1, 1, 0]])) == 1


@card(
    "sklearn.metrics.d2_absolute_error_score",
    formula=r"D^2=1-\frac{\sum_i\lvert y_i-\hat y_i\rvert}{\sum_i\lvert y_i-\operatorname{median}(y)\rvert}",
)
def d2_absolute():
    y, p = rng.exponential(size=21), rng.exponential(size=21)
    close(metrics.d2_absolute_error_score(y, p), 1 - np.abs(y - p).sum() / np.abs(y - np.median(y)).sum())
    assert np.isnan(quiet(lambda: metrics.d2_absolute_error_score([1.0], [1.0])))


@card(
    "sklearn.metrics.d2_pinball_score",
    formula=r"D^2=1-\frac{\mathrm{pinball}(y,\hat y)}{\mathrm{pinball}(y,\,Q_\alpha(y))}",
)
def d2_pinball():
    y, p = rng.exponential(size=21), rng.exponential(size=21)
    for a in (0.1, 0.5, 0.9):
        base = np.full(21, np.quantile(y, a))
        ratio = metrics.mean_pinball_loss(y, p, alpha=a) / metrics.mean_pinball_loss(y, base, alpha=a)
        close(metrics.d2_pinball_score(y, p, alpha=a), 1 - ratio)
    close(metrics.d2_pinball_score(y, p), metrics.d2_absolute_error_score(y, p))


@card("sklearn.metrics.d2_tweedie_score", formula=r"D^2=1-\frac{\sum_id(y_i,\hat y_i)}{\sum_id(y_i,\bar y)}")
def d2_tweedie():
    y, p = rng.exponential(size=21) + 0.1, rng.exponential(size=21) + 0.1
    for power in (0, 1, 1.5, 2, 3):
        ratio = metrics.mean_tweedie_deviance(y, p, power=power) / metrics.mean_tweedie_deviance(
            y, np.full(21, y.mean()), power=power
        )
        close(metrics.d2_tweedie_score(y, p, power=power), 1 - ratio)
    close(metrics.d2_tweedie_score(y, p), metrics.r2_score(y, p))
    assert fails(lambda: metrics.d2_tweedie_score([1.0, 2.0], [0.0, 1.0], power=1))


@card(
    "sklearn.metrics.explained_variance_score",
    formula=r"\mathrm{EV}=1-\frac{\operatorname{Var}(y-\hat y)}{\operatorname{Var}(y)}",
)
def explained_variance():
    y, p = rng.normal(size=15), rng.normal(size=15)
    close(metrics.explained_variance_score(y, p), 1 - np.var(y - p) / np.var(y))
    close(metrics.explained_variance_score(y, y + 100), 1)
    assert metrics.r2_score(y, y + 100) < 0
    q = p + np.mean(y - p)
    close(metrics.explained_variance_score(y, q), metrics.r2_score(y, q))


@card("sklearn.metrics.max_error", formula=r"E=\max_i\lvert y_i-\hat y_i\rvert")
def max_error():
    y, p = rng.normal(size=15), rng.normal(size=15)
    close(metrics.max_error(y, p), np.abs(y - p).max())
    assert fails(lambda: metrics.max_error(np.ones((3, 2)), np.ones((3, 2))))


@card(
    "sklearn.metrics.mean_absolute_percentage_error",
    formula=r"\mathrm{MAPE}=\frac1n\sum_i\frac{\lvert y_i-\hat y_i\rvert}{\max(\epsilon,\lvert y_i\rvert)}",
)
def mape():
    y, p = rng.normal(size=15), rng.normal(size=15)
    close(metrics.mean_absolute_percentage_error(y, p), np.mean(np.abs(y - p) / np.abs(y)))
    close(metrics.mean_absolute_percentage_error([4.0], [5.0]), 0.25)
    epsilon = np.finfo(float).eps
    close(metrics.mean_absolute_percentage_error([0.0], [1.0]), 1 / epsilon)
    assert 1e15 < 1 / epsilon < 1e16
    # A forecast of 0 costs at most 1, one that is too high costs without limit.
    assert (
        metrics.mean_absolute_percentage_error([10.0], [0.0])
        == 1
        < metrics.mean_absolute_percentage_error([10.0], [30.0])
    )


@card(
    "sklearn.metrics.mean_poisson_deviance",
    formula=r"D=\frac2n\sum_i\left(y_i\ln\frac{y_i}{\hat y_i}-y_i+\hat y_i\right)",
)
def poisson():
    y, p = rng.integers(1, 9, 15), rng.exponential(size=15) + 0.1
    close(metrics.mean_poisson_deviance(y, p), 2 * np.mean(y * np.log(y / p) - y + p))
    close(metrics.mean_poisson_deviance([0], [0.5]), 2 * 0.5)
    assert fails(lambda: metrics.mean_poisson_deviance([0, 1], [0, 1])) and fails(
        lambda: metrics.mean_poisson_deviance([-1], [1])
    )


@card(
    "sklearn.metrics.mean_gamma_deviance",
    formula=r"D=\frac2n\sum_i\left(\ln\frac{\hat y_i}{y_i}+\frac{y_i}{\hat y_i}-1\right)",
)
def gamma():
    y, p = rng.exponential(size=15) + 0.1, rng.exponential(size=15) + 0.1
    close(metrics.mean_gamma_deviance(y, p), 2 * np.mean(np.log(p / y) + y / p - 1))
    close(metrics.mean_gamma_deviance(y * 5, p * 5), metrics.mean_gamma_deviance(y, p))
    assert fails(lambda: metrics.mean_gamma_deviance([0, 1], [1, 1]))


@card(
    "sklearn.metrics.mean_tweedie_deviance",
    formula=r"d=2\left(\tfrac{y^{2-p}}{(1-p)(2-p)}-\tfrac{y\,\hat y^{1-p}}{1-p}+\tfrac{\hat y^{2-p}}{2-p}\right)",
)
def tweedie():
    y, m = rng.exponential(size=15) + 0.1, rng.exponential(size=15) + 0.1
    for p in (0, 1.5, 2.5, 3):
        each = 2 * (y ** (2 - p) / ((1 - p) * (2 - p)) - y * m ** (1 - p) / (1 - p) + m ** (2 - p) / (2 - p))
        close(metrics.mean_tweedie_deviance(y, m, power=p), each.mean())
    close(metrics.mean_tweedie_deviance(y, m), metrics.mean_squared_error(y, m))
    close(metrics.mean_tweedie_deviance(y, m, power=1), metrics.mean_poisson_deviance(y, m))
    close(metrics.mean_tweedie_deviance(y, m, power=2), metrics.mean_gamma_deviance(y, m))
    assert fails(lambda: metrics.mean_tweedie_deviance(y, m, power=0.5))


@card(
    "sklearn.metrics.mean_pinball_loss",
    formula=r"L=\frac1n\sum_i\max\left(\alpha e_i,\,(\alpha-1)e_i\right),\quad e_i=y_i-\hat y_i",
)
def pinball():
    y, p = rng.normal(size=15), rng.normal(size=15)
    e = y - p
    for a in (0.1, 0.5, 0.9):
        close(metrics.mean_pinball_loss(y, p, alpha=a), np.mean(np.maximum(a * e, (a - 1) * e)))
    close(metrics.mean_pinball_loss(y, p), metrics.mean_absolute_error(y, p) / 2)
    close(metrics.mean_pinball_loss([1.0], [0.0], alpha=0.9), 9 * metrics.mean_pinball_loss([0.0], [1.0], alpha=0.9))


@card(
    "sklearn.metrics.mean_squared_log_error",
    formula=r"\mathrm{MSLE}=\frac1n\sum_i\left(\ln(1+y_i)-\ln(1+\hat y_i)\right)^2",
)
def msle():
    y, p = rng.exponential(size=15), rng.exponential(size=15)
    close(metrics.mean_squared_log_error(y, p), np.mean((np.log(1 + y) - np.log(1 + p)) ** 2))
    assert metrics.mean_squared_log_error([10.0], [5.0]) > metrics.mean_squared_log_error([10.0], [15.0])
    assert fails(lambda: metrics.mean_squared_log_error([-1.0], [1.0]))


@card(
    "sklearn.metrics.root_mean_squared_log_error",
    formula=r"\mathrm{RMSLE}=\sqrt{\tfrac1n\sum_i\left(\ln(1+y_i)-\ln(1+\hat y_i)\right)^2}",
)
def rmsle():
    y, p = rng.exponential(size=15), rng.exponential(size=15)
    close(metrics.root_mean_squared_log_error(y, p), np.sqrt(np.mean((np.log(1 + y) - np.log(1 + p)) ** 2)))
    assert abs(metrics.root_mean_squared_log_error([1e4], [1.1e4]) - 0.1) < 0.01


@card("sklearn.metrics.median_absolute_error", formula=r"E=\operatorname{median}_i\lvert y_i-\hat y_i\rvert")
def median_error():
    y, p = rng.normal(size=15), rng.normal(size=15)
    close(metrics.median_absolute_error(y, p), np.median(np.abs(y - p)))
    worse = p.copy()
    worst = np.argsort(np.abs(y - p))[-7:]
    worse[worst] += 1e6
    close(metrics.median_absolute_error(y, worse), metrics.median_absolute_error(y, p))


@card("sklearn.metrics.r2_score", formula=r"R^2=1-\frac{\sum_i(y_i-\hat y_i)^2}{\sum_i(y_i-\bar y)^2}")
def r2():
    y, p = rng.normal(size=15), rng.normal(size=15)
    close(metrics.r2_score(y, p), 1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    assert metrics.r2_score(y, -y) < 0 and metrics.r2_score(y, p) != metrics.r2_score(p, y)
    assert np.isnan(quiet(lambda: metrics.r2_score([1], [1])))
    assert metrics.r2_score([1, 1], [1, 1]) == 1 and metrics.r2_score([1, 1], [1, 2]) == 0


@card("sklearn.metrics.root_mean_squared_error", formula=r"\mathrm{RMSE}=\sqrt{\tfrac1n\sum_i(y_i-\hat y_i)^2}")
def rmse():
    y, p = rng.normal(size=(15, 2)), rng.normal(size=(15, 2)) * [1, 5]
    close(metrics.root_mean_squared_error(y[:, 0], p[:, 0]), np.sqrt(np.mean((y[:, 0] - p[:, 0]) ** 2)))
    close(metrics.root_mean_squared_error(y, p), np.sqrt(np.mean((y - p) ** 2, axis=0)).mean())
    assert abs(metrics.root_mean_squared_error(y, p) - np.sqrt(metrics.mean_squared_error(y, p))) > 1e-3


def multilabel(n=12, labels=5):
    y = rng.integers(0, 2, (n, labels))
    y[:, 0], y[:, 1] = 1, 0
    return y, np.round(rng.random((n, labels)), 1)


def ranks(scores):
    """Rank 1 is the highest score; equal scores share the largest rank."""
    return scipy.stats.rankdata(-scores, method="max", axis=1)


@card("sklearn.metrics.coverage_error", formula=r"\frac1n\sum_i\max_{j:\,y_{ij}=1}\operatorname{rank}_{ij}")
def coverage():
    y, s = multilabel()
    close(metrics.coverage_error(y, s), np.mean([r[t == 1].max() for r, t in zip(ranks(s), y)]))
    close(metrics.coverage_error(y, y), y.sum(axis=1).mean())


@card(
    "sklearn.metrics.label_ranking_average_precision_score",
    formula=r"\frac1n\sum_i\frac1{\lvert Y_i\rvert}\sum_{j\in Y_i}\frac{\lvert\{k\in Y_i:s_{ik}\ge s_{ij}\}\rvert}{\operatorname{rank}_{ij}}",
)
def lrap():
    y, s = multilabel()
    each = []
    for truth, score, rank in zip(y, s, ranks(s)):
        true = np.flatnonzero(truth)
        each.append(np.mean([np.sum(score[true] >= score[j]) / rank[j] for j in true]))
    close(metrics.label_ranking_average_precision_score(y, s), np.mean(each))
    assert metrics.label_ranking_average_precision_score(np.array([[0, 0], [1, 1]]), rng.random((2, 2))) == 1


@card(
    "sklearn.metrics.label_ranking_loss",
    formula=r"\frac1n\sum_i\frac{\lvert\{(k,l):s_{ik}\le s_{il},\,y_{ik}=1,\,y_{il}=0\}\rvert}{\lvert Y_i\rvert(L-\lvert Y_i\rvert)}",
)
def ranking_loss():
    y, s = multilabel()
    each = []
    for truth, score in zip(y, s):
        yes, no = score[truth == 1], score[truth == 0]
        each.append(np.sum(yes[:, None] <= no) / (len(yes) * len(no)))
    close(metrics.label_ranking_loss(y, s), np.mean(each))
    assert metrics.label_ranking_loss(np.array([[0, 0], [1, 1]]), rng.random((2, 2))) == 0


@card(
    "sklearn.metrics.adjusted_mutual_info_score",
    formula=r"\mathrm{AMI}=\frac{I-E[I]}{\operatorname{mean}(H(U),H(V))-E[I]}",
)
def ami():
    u, v = classes(40, 3)
    expected = cluster.expected_mutual_information(cluster.contingency_matrix(u, v).astype(np.int64), len(u))
    shuffled = [metrics.mutual_info_score(u, rng.permutation(v)) for _ in range(800)]
    assert abs(np.mean(shuffled) - expected) < 0.01
    information = metrics.mutual_info_score(u, v)
    close(
        metrics.adjusted_mutual_info_score(u, v), (information - expected) / ((entropy(u) + entropy(v)) / 2 - expected)
    )
    assert any(metrics.adjusted_mutual_info_score(u, rng.permutation(v)) < 0 for _ in range(20))
    a, b = rng.integers(0, 3, 5000), rng.integers(0, 3, 5000)
    assert abs(metrics.adjusted_mutual_info_score(a, b) - metrics.normalized_mutual_info_score(a, b)) < 1e-3


@card(
    "sklearn.metrics.adjusted_rand_score", formula=r"\mathrm{ARI}=\frac{\mathrm{RI}-E[\mathrm{RI}]}{1-E[\mathrm{RI}]}"
)
def ari():
    u, v = classes(30, 3)
    both, only_v, only_u, none = pairs_of(u, v)
    total = both + only_v + only_u + none
    together = (both + only_u) * (both + only_v) / total
    apart = (none + only_v) * (none + only_u) / total
    expected = (together + apart) / total
    close(metrics.adjusted_rand_score(u, v), (metrics.rand_score(u, v) - expected) / (1 - expected))
    assert metrics.adjusted_rand_score([0, 0, 1, 1], [5, 5, 2, 2]) == 1
    assert metrics.adjusted_rand_score([0, 0, 1, 1], [0, 1, 0, 1]) == -0.5


def blobs(n=40, k=3):
    labels = np.arange(n) % k
    return rng.normal(size=(n, 2)) + 3 * rng.normal(size=(k, 2))[labels], labels


@card("sklearn.metrics.calinski_harabasz_score", formula=r"s=\frac{B/(k-1)}{W/(n-k)}")
def calinski_harabasz():
    x, labels = blobs()
    centres = np.array([x[labels == c].mean(axis=0) for c in range(3)])
    between = sum(np.sum(labels == c) * ((centres[c] - x.mean(axis=0)) ** 2).sum() for c in range(3))
    within = ((x - centres[labels]) ** 2).sum()
    close(metrics.calinski_harabasz_score(x, labels), (between / 2) / (within / (40 - 3)))
    assert fails(lambda: metrics.calinski_harabasz_score(x, np.zeros(40))) and fails(
        lambda: metrics.calinski_harabasz_score(x, np.arange(40))
    )


@card("sklearn.metrics.cluster.contingency_matrix", formula=r"C_{ij}=\lvert\{s:u_s=i,\,v_s=j\}\rvert")
def contingency():
    u, v = np.arange(30) % 3, np.arange(30) % 5
    c = cluster.contingency_matrix(u, v)
    assert c.shape == (3, 5) and all(c[i, j] == np.sum((u == i) & (v == j)) for i in range(3) for j in range(5))
    assert cluster.contingency_matrix(u, v, eps=0.5).dtype == float and fails(
        lambda: cluster.contingency_matrix(u, v, eps=0.5, sparse=True)
    )


@card("sklearn.metrics.cluster.pair_confusion_matrix")
def pair_confusion():
    u, v = classes(20, 3)
    both, only_v, only_u, none = pairs_of(u, v)
    assert cluster.pair_confusion_matrix(u, v).tolist() == [[2 * none, 2 * only_v], [2 * only_u, 2 * both]]
    assert cluster.pair_confusion_matrix(u, v).sum() == 20 * 19


@card("sklearn.metrics.completeness_score", formula=r"c=1-\frac{H(K\mid C)}{H(K)}")
def completeness():
    c, k = classes()
    close(metrics.completeness_score(c, k), 1 - conditional(k, c) / entropy(k))
    assert metrics.completeness_score(c, np.zeros_like(k)) == 1 and metrics.completeness_score(
        c, k
    ) != metrics.completeness_score(k, c)


@card("sklearn.metrics.homogeneity_score", formula=r"h=1-\frac{H(C\mid K)}{H(C)}")
def homogeneity():
    c, k = classes()
    close(metrics.homogeneity_score(c, k), 1 - conditional(c, k) / entropy(c))
    close(metrics.homogeneity_score(c, np.arange(len(c))), 1)
    close(metrics.homogeneity_score(c, k), metrics.completeness_score(k, c))


@card(
    "sklearn.metrics.v_measure_score",
    "sklearn.metrics.homogeneity_completeness_v_measure",
    formula=r"V=\frac{(1+\beta)hc}{\beta h+c}",
)
def v_measure():
    c, k = classes()
    for beta in (0.5, 1, 2):
        h, m, v = metrics.homogeneity_completeness_v_measure(c, k, beta=beta)
        close((h, m), (metrics.homogeneity_score(c, k), metrics.completeness_score(c, k)))
        close(v, (1 + beta) * h * m / (beta * h + m))
        close(v, metrics.v_measure_score(c, k, beta=beta))
    close(metrics.v_measure_score(c, k), metrics.normalized_mutual_info_score(c, k))


@card("sklearn.metrics.davies_bouldin_score", formula=r"\mathrm{DB}=\frac1k\sum_i\max_{j\ne i}\frac{s_i+s_j}{d_{ij}}")
def davies_bouldin():
    x, labels = blobs()
    centres = np.array([x[labels == c].mean(axis=0) for c in range(3)])
    s = [np.linalg.norm(x[labels == c] - centres[c], axis=1).mean() for c in range(3)]
    worst = [max((s[i] + s[j]) / np.linalg.norm(centres[i] - centres[j]) for j in range(3) if j != i) for i in range(3)]
    close(metrics.davies_bouldin_score(x, labels), np.mean(worst))


@card("sklearn.metrics.fowlkes_mallows_score", formula=r"\mathrm{FMI}=\frac{TP}{\sqrt{(TP+FP)(TP+FN)}}")
def fowlkes_mallows():
    u, v = classes(25, 3)
    tp, fp, fn, _ = pairs_of(u, v)
    close(metrics.fowlkes_mallows_score(u, v), tp / math.sqrt((tp + fp) * (tp + fn)))
    a, b = rng.integers(0, 2, 500), rng.integers(0, 2, 500)
    assert metrics.fowlkes_mallows_score(a, b) > 0.4 > 0.05 > abs(metrics.adjusted_rand_score(a, b))


@card("sklearn.metrics.rand_score", formula=r"\mathrm{RI}=\frac{\text{agreeing pairs}}{\binom n2}")
def rand():
    u, v = classes(25, 3)
    both, _, _, none = pairs_of(u, v)
    close(metrics.rand_score(u, v), (both + none) / math.comb(25, 2))
    a, b = rng.integers(0, 40, 400), rng.integers(0, 40, 400)
    assert metrics.rand_score(a, b) > 0.94


@card("sklearn.metrics.silhouette_samples", "sklearn.metrics.silhouette_score", formula=r"s=\frac{b-a}{\max(a,b)}")
def silhouette():
    x, labels = blobs(20)
    d = scipy.spatial.distance.cdist(x, x)
    each = []
    for i in range(20):
        own = (labels == labels[i]) & (np.arange(20) != i)
        a = d[i, own].mean()
        b = min(d[i, labels == c].mean() for c in range(3) if c != labels[i])
        each.append((b - a) / max(a, b))
    close(metrics.silhouette_samples(x, labels), each)
    close(metrics.silhouette_score(x, labels), np.mean(each))
    close(metrics.silhouette_score(d, labels, metric="precomputed"), np.mean(each))
    assert fails(lambda: metrics.silhouette_score(x, np.zeros(20))) and fails(
        lambda: metrics.silhouette_score(x, np.arange(20))
    )
    noise = np.where(np.arange(20) < 4, -1, labels)
    close(metrics.silhouette_score(x, noise), metrics.silhouette_score(x, np.where(noise == -1, 9, noise)))


@card("sklearn.metrics.consensus_score", formula=r"s=\frac1{\max(\lvert A\rvert,\lvert B\rvert)}\sum_{(a,b)}J(a,b)")
def consensus():
    def biclusters(k):
        return rng.random((k, 6)) > 0.5, rng.random((k, 5)) > 0.5

    a, b = biclusters(3), biclusters(3)

    def jaccard_of(i, j):
        first, second = np.outer(a[0][i], a[1][i]), np.outer(b[0][j], b[1][j])
        return (first & second).sum() / (first | second).sum()

    best = max(sum(jaccard_of(i, p[i]) for i in range(3)) for p in itertools.permutations(range(3)))
    close(metrics.consensus_score(a, b), best / 3)


@card(
    "sklearn.metrics.DistanceMetric",
    "sklearn.metrics.pairwise.distance_metrics",
    "sklearn.metrics.pairwise.kernel_metrics",
    "sklearn.metrics.pairwise.pairwise_kernels",
    "sklearn.metrics.pairwise_distances_chunked",
)
def by_name():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    close(metrics.DistanceMetric.get_metric("euclidean").pairwise(x, y), scipy.spatial.distance.cdist(x, y))
    where = np.radians([[52.5, 13.4], [48.9, 2.35]])
    close(metrics.DistanceMetric.get_metric("haversine").pairwise(where), pairwise.haversine_distances(where))
    assert "chebyshev" not in pairwise.distance_metrics()
    close(metrics.pairwise_distances(x, y, metric="chebyshev"), np.abs(x[:, None] - y).max(axis=2))
    assert {"polynomial", "poly", "rbf", "laplacian"} <= set(
        pairwise.kernel_metrics()
    ) and "precomputed" not in pairwise.kernel_metrics()
    close(pairwise.pairwise_kernels(x, y), x @ y.T)
    close(pairwise.pairwise_kernels(x, y, "rbf", gamma=0.1), pairwise.rbf_kernel(x, y, gamma=0.1))
    assert fails(lambda: pairwise.pairwise_kernels(x, y, "rbf", gama=0.1), TypeError)
    close(pairwise.pairwise_kernels(x, y, "rbf", filter_params=True, gama=0.1), pairwise.rbf_kernel(x, y))
    blocks = metrics.pairwise_distances_chunked(x, y)
    assert iter(blocks) is blocks
    close(np.vstack(list(blocks)), metrics.pairwise_distances(x, y))


def histograms():
    return rng.random((4, 3)), rng.random((5, 3))


@card("sklearn.metrics.pairwise.additive_chi2_kernel", formula=r"K_{ij}=-\sum_k\frac{(x_{ik}-y_{jk})^2}{x_{ik}+y_{jk}}")
def additive_chi2():
    x, y = histograms()
    k = pairwise.additive_chi2_kernel(x, y)
    close(k, -(((x[:, None] - y) ** 2) / (x[:, None] + y)).sum(axis=2))
    assert k.max() <= 0 and fails(lambda: pairwise.additive_chi2_kernel(-x, y))
    assert pairwise.additive_chi2_kernel([[0.0, 1.0]], [[0.0, 1.0]]).tolist() == [[0.0]]


@card(
    "sklearn.metrics.pairwise.chi2_kernel",
    formula=r"K_{ij}=\exp\left(-\gamma\sum_k\frac{(x_{ik}-y_{jk})^2}{x_{ik}+y_{jk}}\right)",
)
def chi2_kernel():
    x, y = histograms()
    close(
        pairwise.chi2_kernel(x, y, gamma=0.3), np.exp(-0.3 * (((x[:, None] - y) ** 2) / (x[:, None] + y)).sum(axis=2))
    )
    assert fails(lambda: pairwise.chi2_kernel(-x, y))


@card(
    "sklearn.metrics.pairwise.cosine_distances",
    formula=r"d_{ij}=1-\frac{x_i\cdot y_j}{\lVert x_i\rVert\,\lVert y_j\rVert}",
)
def cosine_distances():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    close(
        pairwise.cosine_distances(x, y),
        1 - np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in y] for a in x]),
    )
    close(pairwise.cosine_distances([[1.0]], [[-1.0]]), 2)
    assert pairwise.cosine_distances([[0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]).tolist()[0][0] == 1
    assert pairwise.cosine_distances([[0.0, 0.0], [1.0, 0.0]]).tolist()[0] == [0, 1]
    a, b, c = ([math.cos(t), math.sin(t)] for t in (0, math.pi / 4, math.pi / 2))
    d = pairwise.cosine_distances([a, b, c])
    assert d[0, 1] + d[1, 2] < d[0, 2]


@card(
    "sklearn.metrics.pairwise.haversine_distances",
    formula=r"d=2\arcsin\sqrt{\sin^2\tfrac{\Delta\varphi}2+\cos\varphi_1\cos\varphi_2\sin^2\tfrac{\Delta\lambda}2}",
)
def haversine():
    p, q = np.radians([[52.52, 13.4]]), np.radians([[48.86, 2.35]])
    (lat1, lon1), (lat2, lon2) = p[0], q[0]
    root = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    close(pairwise.haversine_distances(p, q)[0, 0], 2 * math.asin(math.sqrt(root)))
    assert 870 < 6371 * pairwise.haversine_distances(p, q)[0, 0] < 885


@card("sklearn.metrics.pairwise.laplacian_kernel", formula=r"K_{ij}=\exp\left(-\gamma\lVert x_i-y_j\rVert_1\right)")
def laplacian():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    absolute = np.abs(x[:, None] - y).sum(axis=2)
    close(pairwise.laplacian_kernel(x, y, gamma=0.4), np.exp(-0.4 * absolute))
    close(pairwise.laplacian_kernel(x, y), np.exp(-absolute / 3))


@card("sklearn.metrics.pairwise.linear_kernel", formula=r"K_{ij}=x_i\cdot y_j")
def linear_kernel():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    close(pairwise.linear_kernel(x, y), [[a @ b for b in y] for a in x])
    u, v = x / np.linalg.norm(x, axis=1, keepdims=True), y / np.linalg.norm(y, axis=1, keepdims=True)
    close(pairwise.linear_kernel(u, v), pairwise.cosine_similarity(x, y))


@card("sklearn.metrics.pairwise.manhattan_distances", formula=r"d_{ij}=\sum_k\lvert x_{ik}-y_{jk}\rvert")
def manhattan():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    close(pairwise.manhattan_distances(x, y), np.abs(x[:, None] - y).sum(axis=2))


@card(
    "sklearn.metrics.pairwise.nan_euclidean_distances",
    formula=r"d=\sqrt{\tfrac{D}{\lvert P\rvert}\sum_{k\in P}(x_k-y_k)^2}",
)
def nan_euclidean():
    x = np.array([[1, np.nan, 3, 4.0], [2, 5, np.nan, 1]])
    present = [0, 3]
    close(pairwise.nan_euclidean_distances(x)[0, 1], math.sqrt(4 / 2 * ((x[0, present] - x[1, present]) ** 2).sum()))
    assert np.isnan(pairwise.nan_euclidean_distances([[1.0, np.nan]], [[np.nan, 1.0]])[0, 0])
    n = np.nan
    d = pairwise.nan_euclidean_distances([[0.0, n], [0.0, 0.0], [n, 0.0], [5.0, 0.0]])
    assert d[0, 3] > d[0, 1] + d[1, 2] + d[2, 3]


@card(
    "sklearn.metrics.pairwise.paired_distances",
    "sklearn.metrics.pairwise.paired_cosine_distances",
    "sklearn.metrics.pairwise.paired_euclidean_distances",
    "sklearn.metrics.pairwise.paired_manhattan_distances",
    formula=r"d_i=d(x_i,\,y_i)",
)
def paired():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    for name in ("cosine", "euclidean", "manhattan"):
        every = np.diag(metrics.pairwise_distances(x, y, metric=name))
        close(getattr(pairwise, f"paired_{name}_distances")(x, y), every)
        close(pairwise.paired_distances(x, y, metric=name), every)
    assert fails(lambda: pairwise.paired_distances(x, y[:4]))
    close(pairwise.paired_cosine_distances([[0.0, 0.0]], [[1.0, 0.0]]), 0.5)


@card("sklearn.metrics.pairwise.polynomial_kernel", formula=r"K_{ij}=(\gamma\,x_i\cdot y_j+c_0)^p")
def polynomial():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    close(pairwise.polynomial_kernel(x, y, degree=2, gamma=0.3, coef0=0.5), (0.3 * x @ y.T + 0.5) ** 2)
    close(pairwise.polynomial_kernel(x, y), (x @ y.T / 3 + 1) ** 3)


@card("sklearn.metrics.pairwise.sigmoid_kernel", formula=r"K_{ij}=\tanh(\gamma\,x_i\cdot y_j+c_0)")
def sigmoid():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    close(pairwise.sigmoid_kernel(x, y, gamma=0.3, coef0=0.5), np.tanh(0.3 * x @ y.T + 0.5))
    k = pairwise.sigmoid_kernel(x, gamma=1, coef0=-2)
    assert np.linalg.eigvalsh(k).min() < -0.1


@card("sklearn.metrics.pairwise_distances", formula=r"D_{ij}=d(x_i,\,y_j)")
def distances():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    for name in ("euclidean", "cityblock", "cosine"):
        close(metrics.pairwise_distances(x, y, metric=name), scipy.spatial.distance.cdist(x, y, name))
    close(
        metrics.pairwise_distances(x, y, metric=lambda a, b: (a - b) @ (a - b)), scipy.spatial.distance.cdist(x, y) ** 2
    )


@card(
    "sklearn.metrics.pairwise_distances_argmin",
    "sklearn.metrics.pairwise_distances_argmin_min",
    formula=r"a_i=\arg\min_jd(x_i,y_j)",
)
def nearest():
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    d = scipy.spatial.distance.cdist(x, y)
    assert metrics.pairwise_distances_argmin(x, y).tolist() == d.argmin(axis=1).tolist()
    indices, least = metrics.pairwise_distances_argmin_min(x, y)
    assert indices.tolist() == d.argmin(axis=1).tolist()
    close(least, d.min(axis=1))
    assert metrics.pairwise_distances_argmin(x, y, axis=0).tolist() == d.argmin(axis=0).tolist()
    assert metrics.pairwise_distances_argmin(x, x).tolist() == list(range(5))


@check
def a_weight_of_two_counts_like_two_samples():
    """What arguments.yaml says of sample_weight, for metrics of every kind."""
    y, s, p = binary(20)
    real, guess = rng.exponential(size=20) + 0.1, rng.exponential(size=20) + 0.1
    weights = np.r_[np.full(5, 2), np.ones(15)].astype(int)
    again = np.repeat(np.arange(20), weights)
    for score, first, second in [
        (metrics.accuracy_score, y, p),
        (metrics.balanced_accuracy_score, y, p),
        (metrics.f1_score, y, p),
        (metrics.matthews_corrcoef, y, p),
        (metrics.cohen_kappa_score, y, p),
        (metrics.confusion_matrix, y, p),
        (metrics.roc_auc_score, y, s),
        (metrics.average_precision_score, y, s),
        (metrics.brier_score_loss, y, np.clip(s, 0, 1)),
        (metrics.log_loss, y, np.clip(s, 0.01, 0.99)),
        (metrics.mean_squared_error, real, guess),
        (metrics.mean_absolute_percentage_error, real, guess),
        (metrics.r2_score, real, guess),
        (metrics.explained_variance_score, real, guess),
        (metrics.d2_tweedie_score, real, guess),
        (metrics.mean_pinball_loss, real, guess),
    ]:
        close(score(first, second, sample_weight=weights), score(first[again], second[again]))
