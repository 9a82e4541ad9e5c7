import itertools
import warnings

import numpy as np
from scipy.optimize import minimize
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDRegressor
from sklearn.metrics import adjusted_rand_score, log_loss, mean_squared_error, precision_score, recall_score
from sklearn.model_selection import (
    KFold,
    LeaveOneOut,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, quietly, sourced, stated

by_definition("Learned", "Chosen", "Judged", "When is machine learning not needed?")
sourced(
    "Wolpert 1996, The Lack of A Priori Distinctions Between Learning Algorithms, abstract", "Which algorithm is best?"
)
sourced("Wu et al. 2008, Top 10 algorithms in data mining, abstract", 'Which are the "ten algorithms"?')
sourced("scikit-learn 1.9, documentation of SVC: fit time", "SVM")

F0 = r"""
\hat{\theta} = \arg\min_{\theta} \; \frac{1}{n} \sum_{i=1}^{n} \ell(f_{\theta}(x_i), y_i) + \lambda \, \Omega(\theta)
"""
F1 = r"""
\mathrm{CV} = \frac{1}{n} \sum_{k=1}^{K} \sum_{i \in I_k} \ell(f^{(-k)}(x_i), y_i)
"""


@formula(F0)
def check_penalized_risk():
    """Minimized numerically as written; scikit-learn's penalties are n·λ (ridge) and C = 1 / (2nλ) (logistic regression)."""
    for n, d, strength in [(20, 3, 0.3), (9, 5, 1.5), (12, 1, 0.01)]:
        X, y = np.random.randn(n, d), np.random.randn(n)
        squared = lambda w: np.mean((X @ w - y) ** 2) + strength * (w**2).sum()
        found = minimize(squared, np.zeros(d), tol=1e-12).x
        np.testing.assert_allclose(found, Ridge(alpha=n * strength, fit_intercept=False).fit(X, y).coef_, atol=1e-5)
        labels = np.arange(n) % 2
        log_loss = lambda w: np.mean(np.log1p(np.exp(-(2 * labels - 1) * (X @ w)))) + strength * (w**2).sum()
        found = minimize(log_loss, np.zeros(d), tol=1e-12).x
        library = LogisticRegression(C=1 / (2 * n * strength), fit_intercept=False, tol=1e-12, max_iter=10_000).fit(
            X, labels
        )
        np.testing.assert_allclose(found, library.coef_[0], atol=1e-4)


@formula(F1)
def check_cross_validation():
    for n, d, K in [(20, 2, 4), (13, 3, 5), (7, 1, 7)]:
        X, y, total = np.random.randn(n, d), np.random.randn(n), 0.0
        for fold in np.array_split(np.arange(n), K):
            rest = np.setdiff1d(np.arange(n), fold)
            design = lambda rows: np.c_[np.ones(len(rows)), X[rows]]
            w = np.linalg.lstsq(design(rest), y[rest], rcond=None)[0]
            total += ((design(fold) @ w - y[fold]) ** 2).sum()
        predicted = cross_val_predict(LinearRegression(), X, y, cv=KFold(K))
        np.testing.assert_allclose(total / n, np.mean((predicted - y) ** 2))
        by_fold = -cross_val_score(LinearRegression(), X, y, cv=KFold(K), scoring="neg_mean_squared_error").mean()
        assert np.isclose(by_fold, total / n) == (n % K == 0)


@check
def check_by_hand():
    X, y = np.zeros((3, 1)), np.array([1.0, 2.0, 6.0])
    stated("4.67", np.mean((DummyRegressor().fit(X, y).predict(X) - y) ** 2))
    left_out = cross_val_predict(DummyRegressor(), X, y, cv=LeaveOneOut())
    np.testing.assert_allclose(left_out, [4, 3.5, 1.5])
    stated("10.5", np.mean((left_out - y) ** 2))


@check
def check_map():
    X, y = load_digits(return_X_y=True)
    A, B, a, b = train_test_split(X / 16, y, test_size=0.5, random_state=0)
    assert A.shape[1] == 64
    stated("0.64", adjusted_rand_score(b, KMeans(10, n_init=10, random_state=0).fit(A).predict(B)))
    for *_, score in figure_of(__file__).branches()[:3]:
        assert 0.955 < score < 0.985


@pitfall("Cross-validation says 0.93, new data say 0.5")
def check_selection_before_the_split():
    outside, inside, new = [], [], []
    for seed in range(10):
        X, y, select = np.random.default_rng(seed).standard_normal((60, 2000)), np.arange(60) % 2, SelectKBest(k=20)
        outside.append(cross_val_score(LogisticRegression(), select.fit_transform(X, y), y, cv=5).mean())
        inside.append(cross_val_score(make_pipeline(select, LogisticRegression()), X, y, cv=5).mean())
        fresh = np.random.default_rng(100 + seed).standard_normal((60, 2000))
        new.append(make_pipeline(select, LogisticRegression()).fit(X, y).score(fresh, y))
    stated("0.93", np.mean(outside))
    stated("0.52", np.mean(inside))
    assert abs(np.mean(new) - 0.5) < 0.05


@pitfall("All folds score 0")
def check_sorted_rows():
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000)
    assert KFold().shuffle is False and (cross_val_score(model, X, y, cv=KFold(3)) == 0).all()
    for train, test in KFold(3).split(X):
        assert len(set(y[test])) == 1 and not set(y[test]) & set(y[train])
    assert (
        cross_val_score(model, X, y, cv=StratifiedKFold(3)).min() > 0.9
        and cross_val_score(model, X, y, cv=3).min() > 0.9
    )
    assert cross_val_score(model, X, y, cv=KFold(3, shuffle=True, random_state=0)).min() > 0.9


@pitfall("A squared error is negative")
def check_sign():
    X, y = load_breast_cancer(return_X_y=True)
    scores = cross_val_score(Ridge(), X, y, scoring="neg_mean_squared_error", cv=KFold(5))
    train, test = next(KFold(5).split(X))
    assert (scores < 0).all() and np.isclose(
        -scores[0], mean_squared_error(y[test], Ridge().fit(X[train], y[train]).predict(X[test]))
    )


@pitfall("63% correct, nothing learned")
def check_dummy():
    X, y = load_breast_cancer(return_X_y=True)
    assert X.shape == (569, 30)
    dummy = DummyClassifier().fit(X, y)
    stated("63%", dummy.score(X, y))
    assert np.isclose(dummy.score(X, y), np.bincount(y).max() / len(y))
    assert recall_score(y, dummy.predict(X), average=None).tolist() == [0, 1]
    # For the larger class alone, the dummy would look fine.
    assert precision_score(y, dummy.predict(X)) > 0.6 and recall_score(y, dummy.predict(X)) == 1


@holds("Input", "Target", "Output of `predict`")
def check_contract():
    X, y = load_iris(return_X_y=True)
    assert not hasattr(SVC(), "predict_proba") and KMeans(3, n_init=1).fit(X).predict(X).shape == (150,)
    assert KNeighborsClassifier().fit(X, np.c_[y, y]).predict(X).shape == (150, 2)
    whole = (10 * X).astype(int)
    assert LogisticRegression(max_iter=5000).fit(whole, y).predict(whole[:1]).shape == (1,)
    model = LogisticRegression(max_iter=1000).fit(X, np.array(["a", "b", "c"])[y])
    assert (
        model.predict(X).shape == (150,) and model.predict_proba(X).shape == (150, 3) and model.predict(X[:1]) == ["a"]
    )
    assert LinearRegression().fit(X, y).predict(X).shape == (150,)  # integer targets
    assert LinearRegression().fit(X[:, :2], X[:, 2:]).predict(X[:, :2]).shape == (150, 2)
    try:
        model.predict(X[0])
    except ValueError:
        return
    raise AssertionError("a single sample without batch axis is accepted")


def agreement(model, scale):
    """Share of equal predictions on new rows after some columns were multiplied, by powers of two."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    factor = np.where(np.arange(X.shape[1]) % 3 == 0, scale, 1.0)
    return (
        model.fit(X[::2], y[::2]).predict(X[1::2]) == model.fit(X[::2] * factor, y[::2]).predict(X[1::2] * factor)
    ).mean()


@holds("naive Bayes", "k-nearest neighbors", "SVM", "decision tree", "random forest", "boosting", "neural network")
def check_which_methods_need_scaling():
    """Where a third of the columns counts 1,024 times as much."""
    boosting = GradientBoostingClassifier(n_estimators=20, random_state=0)
    for model in (
        GaussianNB(),
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(20, random_state=0),
        boosting,
    ):
        assert agreement(model, 1024.0) > 0.99
    assert agreement(GaussianNB(), 2.0**20) < 0.97  # var_smoothing follows the largest variance
    for load, differs in ((load_digits, True), (load_wine, False)):
        X, y = load(return_X_y=True)
        for seed in range(3):
            A, B, a, _ = train_test_split(X, y, test_size=0.5, random_state=seed)
            scaler = StandardScaler().fit(A)
            raw, scaled = GaussianNB().fit(A, a).predict(B), GaussianNB().fit(scaler.transform(A), a)
            assert ((raw == scaled.predict(scaler.transform(B))).mean() < 0.97) == differs
    for model in (KNeighborsClassifier(), SVC()):  # wine has units, the pixels of digits have one
        for load, gains in ((load_wine, True), (load_digits, False)):
            X, y = load(return_X_y=True)
            for seed in range(3):
                folds = StratifiedKFold(5, shuffle=True, random_state=seed)
                raw, scaled = (
                    cross_val_score(one, X, y, cv=folds).mean()
                    for one in (model, make_pipeline(StandardScaler(), model))
                )
                assert scaled > raw + 0.15 if gains else scaled < raw
    for model in (KNeighborsClassifier(), SVC(), MLPClassifier((16,), max_iter=100, random_state=0)):
        assert quietly(lambda: agreement(model, 1024.0)) < 0.985


@holds("logistic, linear regression")
def check_linear_models_and_scaling():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)[:, :5]
    factor = np.array([64.0, 1, 1, 1 / 64, 1])
    fitted = lambda model, rows: model.fit(rows, y).predict(rows)
    np.testing.assert_allclose(fitted(LinearRegression(), X), fitted(LinearRegression(), X * factor), atol=1e-8)
    assert np.abs(fitted(Ridge(5.0), X) - fitted(Ridge(5.0), X * factor)).max() > 0.01
    strong = LogisticRegression(C=0.01)
    assert np.abs(strong.fit(X, y).predict_proba(X) - strong.fit(X * factor, y).predict_proba(X * factor)).max() > 0.01
    steps = SGDRegressor(penalty=None, random_state=0)
    assert quietly(lambda: np.abs(fitted(steps, X * factor)).max()) > 100 * np.abs(fitted(steps, X)).max()
    assert LogisticRegression().fit(X, y).coef_.shape == (1, 5)
    assert LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True)).coef_.shape == (3, 4)


@holds("naive Bayes")
def check_repeated_features():
    rng = np.random.default_rng(0)
    y = np.arange(2000) % 2
    X = (rng.standard_normal(2000) + y)[:, None]
    once, often = (
        GaussianNB().fit(rows[:1000], y[:1000]).predict_proba(rows[1000:]) for rows in (X, np.repeat(X, 10, 1))
    )
    assert log_loss(y[1000:], often) > 1.5 * log_loss(y[1000:], once) and np.median(often.max(1)) > 0.95 > np.median(
        once.max(1)
    )


@holds("k-nearest neighbors")
def check_near_points():
    X, y = load_iris(return_X_y=True)
    model = KNeighborsClassifier(1).fit(X, y)
    assert model.n_samples_fit_ == 150 and model.kneighbors(X[:1])[1][0, 0] == 0


@holds("SVM")
def check_wide_margin():
    """The line between two points stands in the middle; a ring needs another kernel than the linear one."""
    model = SVC(kernel="linear", C=1e6).fit([[0.0, 0.0], [0.0, 2.0]], [0, 1])
    np.testing.assert_allclose([*model.coef_[0], model.intercept_[0]], [0, 1, -1], atol=1e-3)
    X = np.random.default_rng(0).standard_normal((200, 2))
    ring = (X**2).sum(1) > 1.4
    assert SVC(kernel="linear").fit(X, ring).score(X, ring) < 0.8 < 0.95 < SVC().fit(X, ring).score(X, ring)


@holds("decision tree", "random forest")
def check_trees_change_with_the_sample():
    X, y = load_breast_cancer(return_X_y=True)
    disagree = {}
    for name, model in (
        ("tree", DecisionTreeClassifier(random_state=0)),
        ("forest", RandomForestClassifier(40, random_state=0)),
    ):
        found = [
            model.fit(X[rows], y[rows]).predict(X[400:]) for rows in np.random.default_rng(0).integers(0, 400, (5, 400))
        ]
        disagree[name] = np.mean([(a != b).mean() for a, b in itertools.combinations(found, 2)])
    assert disagree["tree"] > 1.4 * disagree["forest"]
    assert DecisionTreeClassifier().fit(X, y).tree_.feature.ndim == 1  # one feature per cut
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    np.testing.assert_allclose(
        forest.predict_proba(X), np.mean([tree.predict_proba(X) for tree in forest.estimators_], 0)
    )


@holds("boosting")
def check_each_tree_fits_what_is_left():
    X = np.random.default_rng(0).standard_normal((200, 3))
    y = np.sin(X[:, 0]) + X[:, 1]
    model = GradientBoostingRegressor(n_estimators=2, learning_rate=0.5, max_depth=2, random_state=0).fit(X, y)
    sums = np.full(200, y.mean())
    for _ in range(2):
        sums = sums + 0.5 * DecisionTreeRegressor(max_depth=2, random_state=0).fit(X, y - sums).predict(X)
    np.testing.assert_allclose(model.predict(X), sums, atol=1e-8)
    left = lambda rate, trees: (
        GradientBoostingRegressor(learning_rate=rate, n_estimators=trees, random_state=0).fit(X, y).train_score_[-1]
    )
    assert left(0.01, 50) > 3 * left(0.1, 50) and left(0.01, 500) < 1.3 * left(0.1, 50)


@holds("neural network")
def check_layers():
    X, y = load_iris(return_X_y=True)
    network = quietly(lambda: MLPClassifier((8, 4), max_iter=50).fit(X, y))
    assert [layer.shape for layer in network.coefs_] == [(4, 8), (8, 4), (4, 3)]
    fitted = lambda seed: MLPClassifier((8,), max_iter=50, random_state=seed).fit(X, y)
    starts = [quietly(lambda: fitted(seed).predict_proba(X)) for seed in (0, 1)]
    assert np.abs(starts[0] - starts[1]).max() > 0.01


@holds("k-means, PCA")
def check_units():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    X = np.c_[rng.standard_normal(200) + 6 * y, rng.standard_normal(200)]
    groups = lambda rows: KMeans(2, n_init=5, random_state=0).fit_predict(rows)
    assert adjusted_rand_score(y, groups(X)) > 0.9 and adjusted_rand_score(y, groups(X * [1, 1000])) < 0.1
    assert abs(PCA(1).fit(X).components_[0, 0]) > 0.9 > 0.1 > abs(PCA(1).fit(X * [1, 1000]).components_[0, 0])
    long = np.c_[rng.standard_normal(200) * 20, rng.standard_normal(200) + 6 * y]  # two long groups are no round ones
    assert adjusted_rand_score(y, groups(long)) < 0.1


@holds("Which algorithm is best?")
def check_no_free_lunch():
    """All 256 targets on the corners of a cube, five corners seen: three algorithms err equally on the other three; on linear ones not."""
    X = np.array(list(itertools.product((0, 1), repeat=3)))
    errors, linear = {}, {}
    for y in itertools.product((0, 1), repeat=8):
        y = np.array(y)
        for model in (KNeighborsClassifier(1), DecisionTreeClassifier(random_state=0), DummyClassifier()):
            wrong = (model.fit(X[:5], y[:5]).predict(X[5:]) != y[5:]).mean()
            errors.setdefault(type(model), []).append(wrong)
            if (y == X[:, 2]).all():
                linear[type(model)] = wrong
    assert len(errors[DummyClassifier]) == 256 and all(np.isclose(np.mean(wrong), 0.5) for wrong in errors.values())
    assert linear[DecisionTreeClassifier] == 0 < linear[DummyClassifier]


@holds("Are scenario, task and method the same kind of thing?")
def check_one_network_in_two_scenarios():
    X, y = load_iris(return_X_y=True)
    X, network = StandardScaler().fit_transform(X), MLPClassifier((16,), solver="lbfgs", random_state=0)
    partial = np.where(np.arange(150) % 10 == 0, y, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model, labels in ((network, y), (SelfTrainingClassifier(network), partial)):
            assert model.fit(X, labels).score(X, y) > 0.85
