import numpy as np
from scipy.optimize import minimize
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score, mean_squared_error, precision_score, recall_score
from sklearn.model_selection import KFold, LeaveOneOut, StratifiedKFold, cross_val_predict, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from note_checks import check, formula, pitfall, stated

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
        library = LogisticRegression(C=1 / (2 * n * strength), fit_intercept=False, tol=1e-12, max_iter=10_000).fit(X, labels)
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
    assert 0.955 < LogisticRegression(max_iter=2000).fit(A, a).score(B, b) < 0.98


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
    assert cross_val_score(model, X, y, cv=StratifiedKFold(3)).min() > 0.9 and cross_val_score(model, X, y, cv=3).min() > 0.9
    assert cross_val_score(model, X, y, cv=KFold(3, shuffle=True, random_state=0)).min() > 0.9


@pitfall("A squared error is negative")
def check_sign():
    X, y = load_breast_cancer(return_X_y=True)
    scores = cross_val_score(Ridge(), X, y, scoring="neg_mean_squared_error", cv=KFold(5))
    train, test = next(KFold(5).split(X))
    assert (scores < 0).all() and np.isclose(-scores[0], mean_squared_error(y[test], Ridge().fit(X[train], y[train]).predict(X[test])))


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


@check
def check_contract():
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(X, np.array(["a", "b", "c"])[y])
    assert model.predict(X).shape == (150,) and model.predict_proba(X).shape == (150, 3) and model.predict(X[:1]) == ["a"]
    assert LinearRegression().fit(X[:, :2], X[:, 2:]).predict(X[:, :2]).shape == (150, 2)
    try:
        model.predict(X[0])
    except ValueError:
        return
    raise AssertionError("a single sample without batch axis is accepted")
