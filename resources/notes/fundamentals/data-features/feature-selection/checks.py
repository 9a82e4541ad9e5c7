import math
from unittest.mock import patch

import numpy as np
from scipy.stats import chi2_contingency
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import (
    RFE,
    SelectFromModel,
    SelectKBest,
    SequentialFeatureSelector,
    chi2,
    f_classif,
    mutual_info_classif,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from note_checks import check, formula, holds, pitfall, raises, stated

GAIN = r"I(X; Y) = \sum_{x, y} p(x, y) \ln \frac{p(x, y)}{p(x)\,p(y)}"
CHI = r"""
\chi^2_j = \sum_{c} \frac{(O_{cj} - E_{cj})^2}{E_{cj}}, \qquad O_{cj} = \sum_{i:\, y_i = c} x_{ij}, \qquad E_{cj} = \frac{n_c}{N} \sum_{i} x_{ij}
"""
ANOVA = r"""
F_j = \frac{\sum_c n_c\,(\bar{x}_{cj} - \bar{x}_j)^2 / (C - 1)}{\sum_c \sum_{i:\, y_i = c} (x_{ij} - \bar{x}_{cj})^2 / (N - C)}
"""


def gain(x, y):
    total = 0.0
    for a in np.unique(x):
        for b in np.unique(y):
            p = np.mean((x == a) & (y == b))
            total += p * math.log(p / (np.mean(x == a) * np.mean(y == b))) if p else 0.0
    return total


def chi(x, y):
    observed = np.array([x[y == c].sum() for c in np.unique(y)])
    expected = np.array([np.mean(y == c) for c in np.unique(y)]) * x.sum()
    return ((observed - expected) ** 2 / expected).sum()


def variance_ratio(x, y):
    classes = np.unique(y)
    between = sum((y == c).sum() * (x[y == c].mean() - x.mean()) ** 2 for c in classes) / (len(classes) - 1)
    within = sum(((x[y == c] - x[y == c].mean()) ** 2).sum() for c in classes) / (len(x) - len(classes))
    return between / within


def data(C, N=90):
    y = np.concatenate([np.arange(C), np.random.choice(C, N - C, p=np.arange(1, C + 1) / (C * (C + 1) / 2))])
    return np.random.poisson(1.0 + y[:, None] * np.array([0.0, 0.5, 2.0])), y


@formula(GAIN)
def check_information_gain():
    for C in (2, 3, 5):
        X, y = data(C)
        library = mutual_info_classif(X, y, discrete_features=True)
        for j in range(3):
            assert math.isclose(gain(X[:, j], y), library[j], abs_tol=1e-9)


@formula(CHI)
def check_chi2():
    for C in (2, 3, 5):
        X, y = data(C)
        for j in range(3):
            assert math.isclose(chi(X[:, j], y), chi2(X, y)[0][j], rel_tol=1e-9)
            assert math.isclose(chi2(10 * X, y)[0][j], 10 * chi2(X, y)[0][j], rel_tol=1e-9)


@formula(ANOVA)
def check_f_classif():
    for C in (2, 3, 5):
        X, y = data(C)
        X = X + np.random.randn(*X.shape) * 3 - 5
        for j in range(3):
            assert math.isclose(variance_ratio(X[:, j], y), f_classif(X, y)[0][j], rel_tol=1e-8)


@check
def check_by_hand():
    X, y = np.array([[1, 0], [1, 1], [0, 1], [0, 1]]), np.array([1, 1, 0, 0])
    scores, gains = chi2(X, y)[0], mutual_info_classif(X, y, discrete_features=True)
    stated("2", scores[0])
    stated("0.3333", scores[1])
    stated("0.6931", gains[0])
    stated("0.2158", gains[1])
    stated("4", chi2_contingency([[2, 0], [0, 2]], correction=False).statistic)


@pitfall("Excellent cross-validation, useless model")
@holds("Same in train and test?")
def check_selection_outside_and_inside():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 5000)), rng.integers(0, 2, 100)
    chosen = SelectKBest(f_classif, k=20).fit_transform(X, y)
    stated("85%", cross_val_score(LogisticRegression(), chosen, y, cv=5).mean())
    model = make_pipeline(SelectKBest(f_classif, k=20), LogisticRegression())
    stated("48%", cross_val_score(model, X, y, cv=5).mean())
    assert (
        abs(model.fit(X, y).score(rng.normal(size=(1000, 5000)), rng.integers(0, 2, 1000)) - 0.5) < 0.05
    )  # it is useless
    search = GridSearchCV(model, {"selectkbest__k": [5, 20, 80]}, cv=5)
    assert abs(cross_val_score(search, X, y, cv=5).mean() - 0.5) < 0.12


@pitfall('"Input X must be non-negative", or `chi2` follows the unit')
def check_negative_input_and_units():
    raises(ValueError, lambda: chi2([[-1.0], [1.0]], [0, 1]), "Input X must be non-negative")
    y = np.arange(300) % 2
    metres, noise = 1.7 + 0.1 * y + 0.05 * np.random.randn(300), np.random.exponential(50, 300)
    in_metres, in_millimetres = np.c_[metres, noise], np.c_[1000 * metres, noise]
    assert chi2(in_metres, y)[0].argmax() == 1 and chi2(in_millimetres, y)[0].argmax() == 0
    for X in (in_metres, in_millimetres, in_metres - 100):
        np.testing.assert_allclose(f_classif(X, y)[0], f_classif(in_metres, y)[0], rtol=1e-6)
        assert f_classif(X, y)[0].argmax() == mutual_info_classif(X, y, random_state=0).argmax() == 0


@pitfall("Useful columns get a score of 0")
@holds("Filter (per column, as above)", "Wrapper")
def check_columns_that_act_together_or_differ_in_spread():
    bits, noise = np.random.randint(0, 2, (200, 2)), np.random.randint(0, 2, (200, 4))
    bits[:] = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 50)
    X, y = np.c_[bits, noise], bits[:, 0] ^ bits[:, 1]
    assert max(f_classif(X, y)[0][:2]) < 1e-12 and max(mutual_info_classif(X, y, discrete_features=True)[:2]) < 1e-12
    assert not {0, 1} & set(SelectKBest(k=2).fit(X, y).get_support(indices=True))
    joined = np.c_[X, bits[:, 0] ^ bits[:, 1]]
    assert mutual_info_classif(joined, y, discrete_features=True).argmax() == 6
    for model in (SVC(), KNeighborsClassifier()):
        backward = SequentialFeatureSelector(model, n_features_to_select=2, direction="backward").fit(X, y)
        assert backward.get_support(indices=True).tolist() == [0, 1]
    assert cross_val_score(DecisionTreeClassifier(max_depth=2, random_state=0), X, y).mean() < 0.7
    singly = [cross_val_score(SVC(), X[:, [j]], y).mean() for j in range(6)]  # what forward search sees first
    assert max(singly[:2]) < 0.6 and max(singly[:2]) < max(singly[2:]) + 0.1
    deaf = SequentialFeatureSelector(LogisticRegression(), n_features_to_select=2, direction="backward").fit(X, y)
    assert cross_val_score(LogisticRegression(), X[:, deaf.get_support()], y).mean() < 0.65
    assert f_classif(np.random.randn(50, 5000), np.arange(50) % 2)[0].shape == (5000,)  # one score per column
    for rows, ratio, least in ((400, 5, 0.2), (200, 3, 0.08)):
        spread, y = np.random.randn(rows, 2), np.arange(rows) % 2
        spread[:, 0] *= 1 + (ratio - 1) * y
        assert f_classif(spread, y)[0][0] < 8 and mutual_info_classif(spread, y, random_state=0)[0] > least


@pitfall("The ten best columns say the same")
def check_copies():
    y = np.arange(400) % 2
    good, other = y + 0.6 * np.random.randn(400), y + 0.9 * np.random.randn(400)
    X = np.c_[good[:, None] + 0.01 * np.random.randn(400, 10), other, np.random.randn(400, 5)]
    assert SelectKBest(f_classif, k=10).fit(X, y).get_support(indices=True).tolist() == list(range(10))
    near = np.triu(abs(np.corrcoef(X.T)) > 0.95, 1).any(0)
    left = np.flatnonzero(~near)
    assert left[SelectKBest(f_classif, k=2).fit(X[:, left], y).get_support()].tolist() == [0, 10]
    forward = SequentialFeatureSelector(LogisticRegression(), n_features_to_select=2).fit(X, y)
    assert 10 in forward.get_support(indices=True)
    assert (
        SequentialFeatureSelector(LogisticRegression()).fit(X[:, 5:11], y).get_support()[:5].sum() >= 2
    )  # the default: 3 of 6


@holds("Input → output", "Filters")
def check_defaults_and_copies():
    selector = SelectKBest()
    assert selector.k == 10 and selector.score_func is f_classif
    table, y = np.random.randn(300, 30), np.arange(300) % 2
    kept = selector.fit_transform(table, y)
    assert kept.shape == (300, 10) and np.array_equal(kept, table[:, selector.get_support()])
    table[:, 0] = np.where(y, 1, 3) * np.random.randn(300)  # the classes have the same mean
    assert mutual_info_classif(table, y, random_state=0).argmax() == 0
    X, y = data(2)
    doubled = np.c_[X[:, 2], X[:, 2], X[:, :2]]
    assert SelectKBest(f_classif, k=2).fit(doubled, y).get_support().nonzero()[0].tolist() == [0, 1]


@holds("L1 penalty", "Tree importances", "Embedded")
def check_embedded_selection():
    X = np.random.randn(600, 6)
    additive, together = (X[:, 1] - X[:, 4] > 0).astype(int), (X[:, 1] * X[:, 4] > 0).astype(int)
    lasso = LogisticRegression(l1_ratio=1.0, solver="liblinear", C=0.05)
    forest = RandomForestClassifier(50, max_features=None)
    with patch.object(LogisticRegression, "fit", autospec=True, side_effect=LogisticRegression.fit) as fit:
        assert SelectFromModel(lasso).fit(X, additive).get_support(indices=True).tolist() == [1, 4]
    assert fit.call_count == 1
    assert SelectFromModel(lasso).fit(X, together).estimator_.score(X, together) < 0.65
    assert set(np.argsort(forest.fit(X, together).feature_importances_)[-2:]) == {1, 4}
    bits = np.random.randint(0, 2, (600, 20))
    pure = bits[:, 1] ^ bits[:, 4]
    deep, shallow = (RandomForestClassifier(50, max_depth=depth).fit(bits[:300], pure[:300]) for depth in (None, 2))
    assert set(np.argsort(deep.feature_importances_)[-2:]) == {1, 4}
    assert deep.score(bits[300:], pure[300:]) > 0.65
    assert deep.feature_importances_[[1, 4]].sum() > shallow.feature_importances_[[1, 4]].sum()


@holds("PCA")
def check_pca_mixes():
    base = np.random.randn(200, 2)
    X = base @ np.random.randn(2, 6) + 0.01 * np.random.randn(200, 6)
    found = PCA(2).fit(X)  # no labels
    assert (abs(found.components_) > 1e-3).sum() > 6 and found.explained_variance_ratio_.sum() > 0.99


@holds("Does selection raise accuracy?")
def check_selection_can_raise_and_lower():
    y = np.arange(300) % 2
    few, many = np.random.randn(300, 300), np.random.randn(300, 300)
    few[:, :2] += 1.5 * y[:, None]
    many += 0.25 * y[:, None]
    for X, model, better in ((few, KNeighborsClassifier(), True), (many, LogisticRegression(C=0.01), False)):
        every, chosen = (cross_val_score(one, X, y).mean() for one in (model, make_pipeline(SelectKBest(k=5), model)))
        assert chosen > every + 0.05 if better else chosen < every - 0.05, (every, chosen)


@holds("Why can selected sets differ between folds?")
def check_sets_differ_between_folds():
    y = np.arange(200) % 2
    X = (y + 0.7 * np.random.randn(200))[:, None] + 0.3 * np.random.randn(200, 20)
    chosen, scores = set(), []
    for fold in range(5):
        rows = np.arange(200) % 5 != fold
        best = SelectKBest(k=3).fit(X[rows], y[rows]).get_support()
        chosen.add(tuple(np.flatnonzero(best)))
        for columns in (best, np.random.permutation(20)[:3]):
            scores.append(cross_val_score(LogisticRegression(), X[:, columns], y).mean())
    assert len(chosen) > 1 and np.ptp(scores) < 0.1, (chosen, scores)


@holds("Wrappers", "Cost")
def check_rfe_fits_once_per_step_and_a_last_time():
    X, y = np.random.randn(60, 10), np.arange(60) % 2
    with patch.object(LogisticRegression, "fit", autospec=True, side_effect=LogisticRegression.fit) as fit:
        RFE(LogisticRegression(), n_features_to_select=3).fit(X, y)
    assert fit.call_count == (10 - 3) + 1
    with patch.object(LogisticRegression, "fit", autospec=True, side_effect=LogisticRegression.fit) as fit:
        SequentialFeatureSelector(LogisticRegression(), n_features_to_select=4, cv=3).fit(X, y)
    assert fit.call_count == 3 * (4 * 10 - 4 * 3 // 2)
    called = []
    SelectKBest(lambda X, y: called.append(X.shape) or f_classif(X, y), k=2).fit(X, y)
    assert called == [(60, 10)]


@holds("Is information gain the same as mutual information?")
def check_exclusive_or():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 25)
    y = X[:, 0] ^ X[:, 1]
    assert max(mutual_info_classif(X, y, discrete_features=True)) < 1e-12 and max(f_classif(X, y)[0]) < 1e-12
    assert math.isclose(gain(2 * X[:, 0] + X[:, 1], y), math.log(2))
    H = lambda labels: -sum(p * math.log(p) for p in np.bincount(labels) / len(labels) if p)
    x, y = np.random.randint(0, 3, 200), np.random.randint(0, 2, 200)
    assert math.isclose(gain(x, y), H(y) - sum(np.mean(x == a) * H(y[x == a]) for a in range(3)), abs_tol=1e-12)
