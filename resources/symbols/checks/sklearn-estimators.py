"""Executed claims of the cards of scikit-learn's estimators and model selection."""

import itertools
import math
import warnings

import numpy as np
import scipy.cluster.hierarchy
import scipy.special
import scipy.stats
from scipy.spatial.distance import cdist
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    cross_decomposition,
    datasets,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_extraction,
    feature_selection,
    frozen,
    gaussian_process,
    isotonic,
    kernel_approximation,
    kernel_ridge,
    linear_model,
    manifold,
    metrics,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    random_projection,
    semi_supervised,
    svm,
    tree,
)
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.image import PatchExtractor
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.metrics import pairwise
from sklearn.utils.class_weight import compute_class_weight

from note_checks import card, check

rng = np.random.default_rng(0)


def fails(work, *errors):
    try:
        quiet(work)
    except errors or (ValueError, TypeError, AttributeError):
        return True
    return False


def warned(work):
    """The result of `work` and the warnings it gives, as one text."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        return work(), " ".join(str(one.message) for one in seen)


def quiet(work):
    return warned(work)[0]


def close(first, second, rtol=1e-7, atol=1e-9):
    np.testing.assert_allclose(first, second, rtol=rtol, atol=atol)


def regression(n=40, d=3):
    x = rng.normal(size=(n, d))
    return x, x @ rng.normal(size=d) + 1.5 + 0.5 * rng.normal(size=n)


def classification(n=60, d=3, classes=2):
    y = np.arange(n) % classes
    return rng.normal(size=(n, d)) + 1.2 * rng.normal(size=(classes, d))[y], y


def centred(x):
    return x - x.mean(axis=0)


def is_minimum(objective, point, scale=1e-3, tries=60, tolerance=0.0):
    """Asserts that no random step away from `point` lowers the objective."""
    best = objective(point)
    for _ in range(tries):
        assert objective(point + scale * rng.normal(size=point.shape)) >= best - tolerance
    return best


def lasso_conditions(x, residual, w, alpha, n):
    """The optimality conditions of the lasso with loss/(2n): the gradient is alpha·sign(w), or smaller where w is 0."""
    gradient = x.T @ residual / n
    assert np.all(np.abs(gradient) <= alpha * (1 + 1e-4) + 1e-7)
    close(gradient[w != 0], alpha * np.sign(w[w != 0]), rtol=1e-3, atol=1e-6)


@card("sklearn.linear_model.Lasso", formula=r"\min_{w}\ \tfrac1{2n}\lVert y-Xw\rVert_2^2+\alpha\lVert w\rVert_1")
def lasso():
    x, y = regression(50, 6)
    model = linear_model.Lasso(alpha=0.3, tol=1e-10).fit(x, y)
    r = y - model.predict(x)
    lasso_conditions(centred(x), r, model.coef_, 0.3, len(y))
    is_minimum(lambda w: ((centred(y) - centred(x) @ w) ** 2).sum() / (2 * len(y)) + 0.3 * np.abs(w).sum(), model.coef_)
    assert np.any(linear_model.Lasso(alpha=0.5).fit(x, y).coef_ == 0)


@card("sklearn.linear_model.Ridge", formula=r"\min_{w}\ \lVert y-Xw\rVert_2^2+\alpha\lVert w\rVert_2^2")
def ridge():
    x, y = regression()
    model = linear_model.Ridge(alpha=2.0).fit(x, y)
    xc, yc = centred(x), centred(y)
    close(model.coef_, np.linalg.solve(xc.T @ xc + 2 * np.eye(3), xc.T @ yc))
    is_minimum(lambda w: ((yc - xc @ w) ** 2).sum() + 2 * (w**2).sum(), model.coef_)
    close(linear_model.Ridge(alpha=4.0).fit(np.r_[x, x], np.r_[y, y]).coef_, model.coef_)
    close(linear_model.Ridge(alpha=2.0).fit(x, y + 100).coef_, model.coef_)


@card(
    "sklearn.linear_model.ElasticNet",
    formula=r"\min_w\tfrac1{2n}\lVert y-Xw\rVert_2^2+\alpha\rho\lVert w\rVert_1+\tfrac{\alpha(1-\rho)}2\lVert w\rVert_2^2",
)
def elastic_net():
    x, y = regression()
    n, xc, yc = len(y), centred(x), centred(y)
    a, r = 0.2, 0.4
    model = linear_model.ElasticNet(alpha=a, l1_ratio=r, tol=1e-10).fit(x, y)
    is_minimum(
        lambda w: ((yc - xc @ w) ** 2).sum() / (2 * n) + a * r * np.abs(w).sum() + a * (1 - r) / 2 * (w**2).sum(), model.coef_
    )
    pure = quiet(lambda: linear_model.ElasticNet(alpha=0.1, l1_ratio=0, tol=1e-10, max_iter=100000).fit(x, y))
    close(pure.coef_, linear_model.Ridge(alpha=n * 0.1).fit(x, y).coef_, rtol=1e-4)
    close(linear_model.ElasticNet(alpha=a, l1_ratio=1).fit(x, y).coef_, linear_model.Lasso(alpha=a).fit(x, y).coef_)


@card("sklearn.preprocessing.PolynomialFeatures", formula=r"d'=\binom{d+k}{k}")
def polynomial_features():
    for d, k in ((3, 2), (4, 3), (2, 5)):
        made = preprocessing.PolynomialFeatures(k).fit(np.zeros((1, d)))
        assert made.n_output_features_ == math.comb(d + k, k)
    assert math.comb(103, 3) == 176851
    assert preprocessing.PolynomialFeatures(2).fit_transform([[2.0, 3.0]]).tolist() == [[1, 2, 3, 4, 6, 9]]
    assert preprocessing.PolynomialFeatures(2, interaction_only=True, include_bias=False).fit_transform([[2.0, 3.0]]).tolist() == [[2, 3, 6]]


@card(
    "sklearn.preprocessing.OneHotEncoder",
    "sklearn.preprocessing.OrdinalEncoder",
    "sklearn.preprocessing.LabelEncoder",
    "sklearn.preprocessing.LabelBinarizer",
)
def encoders():
    x = np.array([["low"], ["high"], ["medium"]])
    hot = preprocessing.OneHotEncoder().fit(x)
    assert hot.transform(x).shape == (3, 3) and not isinstance(hot.transform(x), np.ndarray)
    assert fails(lambda: hot.transform([["new"]]))
    assert preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(x).transform([["new"]]).tolist() == [[0, 0, 0]]
    assert preprocessing.OneHotEncoder(drop="first").fit_transform(x).shape == (3, 2)
    assert preprocessing.OneHotEncoder(drop="if_binary").fit_transform(x).shape == (3, 3)
    ordinal = preprocessing.OrdinalEncoder().fit(x)
    assert ordinal.transform([["high"], ["low"], ["medium"]]).ravel().tolist() == [0, 1, 2] and fails(lambda: ordinal.transform([["new"]]))
    given = preprocessing.OrdinalEncoder(categories=[["low", "medium", "high"]], handle_unknown="use_encoded_value", unknown_value=-1)
    assert given.fit(x).transform([["low"], ["high"], ["new"]]).ravel().tolist() == [0, 2, -1]
    label = preprocessing.LabelEncoder().fit(["b", "a"])
    assert label.transform(["a", "b"]).tolist() == [0, 1] and fails(lambda: label.transform(["c"]))
    assert preprocessing.LabelBinarizer().fit_transform(["a", "b", "a"]).shape == (3, 1)
    assert preprocessing.LabelBinarizer().fit(["a", "b", "c"]).transform(["d"]).tolist() == [[0, 0, 0]]


@card("sklearn.compose.ColumnTransformer", "sklearn.pipeline.FeatureUnion")
def column_transformer():
    x = np.arange(12.0).reshape(4, 3)
    double = preprocessing.FunctionTransformer(lambda v: v * 2)
    part = compose.ColumnTransformer([("last", double, [2]), ("first", double, [0])])
    close(part.fit_transform(x), np.c_[x[:, 2] * 2, x[:, 0] * 2])
    kept = compose.ColumnTransformer([("last", double, [2])], remainder="passthrough")
    close(kept.fit_transform(x), np.c_[x[:, 2] * 2, x[:, :2]])
    assert pipeline.FeatureUnion([("a", double), ("b", "passthrough")]).fit_transform(x).shape == (4, 6)


def selection_data():
    x, y = classification(80, 6)
    return np.c_[x, rng.normal(size=(80, 4))], y


@card(
    "sklearn.feature_selection.SelectKBest",
    "sklearn.feature_selection.RFE",
    "sklearn.feature_selection.GenericUnivariateSelect",
    "sklearn.feature_selection.SelectPercentile",
    "sklearn.feature_selection.RFECV",
    "sklearn.feature_selection.SequentialFeatureSelector",
)
def selectors():
    x, y = selection_data()
    f = feature_selection.f_classif(x, y)[0]
    chosen = feature_selection.SelectKBest(k=3).fit(x, y).get_support(indices=True)
    assert set(chosen) == set(np.argsort(f)[-3:]) and feature_selection.SelectKBest().score_func is feature_selection.f_classif
    assert feature_selection.SelectPercentile(percentile=30).fit_transform(x, y).shape == (80, 3)
    assert feature_selection.SelectPercentile(percentile=0.1).fit(x, y).get_support(indices=True).tolist() == [f.argmax()]
    assert feature_selection.GenericUnivariateSelect().fit(x, y).get_support(indices=True).tolist() == [f.argmax()]
    assert fails(lambda: feature_selection.GenericUnivariateSelect(mode="k_best").fit_transform(x, y))
    rfe = feature_selection.RFE(linear_model.LogisticRegression(), n_features_to_select=4).fit(x, y)
    assert rfe.support_.sum() == 4 and feature_selection.RFE(linear_model.LogisticRegression()).fit(x, y).support_.sum() == 5
    assert fails(lambda: feature_selection.RFE(svm.SVC()).fit(x, y)) and feature_selection.RFE(svm.SVC(kernel="linear")).fit(x, y)
    assert feature_selection.SequentialFeatureSelector(naive_bayes.GaussianNB(), cv=2).fit(x, y).get_support().sum() == 5
    assert feature_selection.RFECV(linear_model.LogisticRegression(), cv=2).fit(x, y).n_features_ >= 1


@card("sklearn.feature_selection.mutual_info_classif", formula=r"I(x;y)=H(x)+H(y)-H(x,y)")
def mutual_information_of_classes():
    x, y = rng.integers(0, 3, (300, 2)), rng.integers(0, 2, 300)
    y[x[:, 0] == 2] = 1

    def h(*columns):
        return scipy.stats.entropy(np.unique(np.column_stack(columns), axis=0, return_counts=True)[1])

    found = feature_selection.mutual_info_classif(x, y, discrete_features=True)
    close(found, [max(0, h(x[:, j]) + h(y) - h(x[:, j], y)) for j in range(2)])
    noisy = feature_selection.mutual_info_classif(x, y, random_state=0)
    assert np.any(np.abs(noisy - found) > 1e-3), "dense features count as continuous"


@card("sklearn.feature_selection.mutual_info_regression", formula=r"I(x;y)=H(x)+H(y)-H(x,y)")
def mutual_information_of_a_number():
    x = rng.normal(size=(4000, 1))
    y = 0.7 * x[:, 0] + rng.normal(size=4000)
    r = np.corrcoef(x[:, 0], y)[0, 1]

    def normal_entropy(variance):
        return 0.5 * math.log(2 * math.pi * math.e * variance)

    joint = math.log(2 * math.pi * math.e) + 0.5 * math.log(np.var(x) * np.var(y) * (1 - r**2))
    true = normal_entropy(np.var(x)) + normal_entropy(np.var(y)) - joint
    assert abs(feature_selection.mutual_info_regression(x, y, random_state=0)[0] - true) < 0.03


@card("sklearn.feature_selection.chi2", formula=r"\chi^2=\sum_c\frac{(O_c-E_c)^2}{E_c}")
def chi_squared():
    x, y = rng.integers(0, 5, (60, 3)), np.arange(60) % 3
    observed = np.array([x[y == c].sum(axis=0) for c in range(3)])
    expected = np.outer(np.bincount(y) / 60, x.sum(axis=0))
    scores, p = feature_selection.chi2(x, y)
    close(scores, ((observed - expected) ** 2 / expected).sum(axis=0))
    close(p, scipy.stats.chi2.sf(scores, 2))
    close(feature_selection.chi2(x * 10, y)[0], scores * 10)
    assert fails(lambda: feature_selection.chi2(-x, y))


@card("sklearn.preprocessing.StandardScaler", formula=r"z=\frac{x-\mu}{\sigma}")
def standard_scaler():
    x = rng.normal(3, 2, size=(20, 4))
    close(preprocessing.StandardScaler().fit_transform(x), (x - x.mean(axis=0)) / np.sqrt(((x - x.mean(axis=0)) ** 2).mean(axis=0)))


@card("sklearn.preprocessing.MinMaxScaler", formula=r"x'=a+(b-a)\,\frac{x-x_{\min}}{x_{\max}-x_{\min}}")
def min_max_scaler():
    x = rng.normal(size=(20, 4))
    low, high = x.min(axis=0), x.max(axis=0)
    close(preprocessing.MinMaxScaler((-1, 3)).fit_transform(x), -1 + 4 * (x - low) / (high - low))
    scaler = preprocessing.MinMaxScaler().fit(x)
    assert scaler.transform(high[None] + 1).min() > 1
    assert preprocessing.MinMaxScaler(clip=True).fit(x).transform(high[None] + 1).max() == 1


@card("sklearn.preprocessing.RobustScaler", formula=r"x'=\frac{x-\operatorname{median}(x)}{Q_3-Q_1}")
def robust_scaler():
    x = rng.normal(size=(21, 3))
    q1, median, q3 = np.percentile(x, [25, 50, 75], axis=0)
    close(preprocessing.RobustScaler().fit_transform(x), (x - median) / (q3 - q1))
    normal = rng.normal(5, 3, size=(100000, 1))
    assert abs(preprocessing.RobustScaler(unit_variance=True).fit_transform(normal).std() - 1) < 0.02


@card("sklearn.preprocessing.Normalizer", formula=r"x'=\frac{x}{\lVert x\rVert}")
def normalizer():
    x = rng.normal(size=(5, 3))
    for name, p in (("l2", 2), ("l1", 1), ("max", np.inf)):
        close(preprocessing.Normalizer(name).fit_transform(x), x / np.linalg.norm(x, p, axis=1, keepdims=True))
    assert preprocessing.Normalizer().fit_transform([[0.0, 0.0]]).tolist() == [[0, 0]]


@card("sklearn.decomposition.TruncatedSVD", formula=r"Z=XV_k=U_k\Sigma_k")
def truncated_svd():
    x = rng.random((12, 6)) + 5
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    z = decomposition.TruncatedSVD(3, algorithm="arpack").fit_transform(x)
    close(np.abs(z), np.abs(x @ vh[:3].T))
    close(np.abs(z), np.abs(u[:, :3] * s[:3]))
    assert np.abs(vh[0] @ x.mean(axis=0)) / np.linalg.norm(x.mean(axis=0)) > 0.999
    variances = decomposition.TruncatedSVD(3, algorithm="arpack").fit(x).explained_variance_
    assert variances[0] < variances[1]
    z, p = decomposition.TruncatedSVD(3, algorithm="arpack").fit_transform(centred(x)), decomposition.PCA(3).fit_transform(x)
    close(np.abs(z), np.abs(p))


@card(
    "sklearn.linear_model.SGDClassifier",
    "sklearn.linear_model.SGDRegressor",
    formula=r"\min_{w,b}\ \tfrac1n\sum_i L(y_i,\,w\cdot x_i+b)+\alpha R(w)",
)
def sgd():
    x, y = regression(400)
    x, y = centred(x), centred(y)
    model = linear_model.SGDRegressor(alpha=0.1, tol=None, max_iter=3000, eta0=1e-2, random_state=0, average=True).fit(x, y)

    def objective(w):
        return np.mean(0.5 * (y - x @ w - model.intercept_) ** 2) + 0.1 * 0.5 * (w**2).sum()

    exact = np.linalg.solve(x.T @ x / 400 + 0.1 * np.eye(3), x.T @ y / 400)
    assert objective(model.coef_) < objective(exact) * 1.001
    a, b = classification(100)
    assert fails(lambda: linear_model.SGDClassifier().fit(a, b).predict_proba(a))
    assert linear_model.SGDClassifier(loss="log_loss").fit(a, b).predict_proba(a).shape == (100, 2)
    assert fails(lambda: linear_model.SGDRegressor(random_state=0).fit(x * 1e6, y)) or quiet(
        lambda: np.abs(linear_model.SGDRegressor(random_state=0).fit(x * 1e6, y).coef_).max() > 1e6
    )


@card("sklearn.utils.class_weight.compute_class_weight", formula=r"w_c=\frac{n}{C\,n_c}")
def class_weight():
    y = np.r_[np.zeros(30), np.ones(8), np.full(2, 2)].astype(int)
    w = compute_class_weight("balanced", classes=np.unique(y), y=y)
    close(w, 40 / (3 * np.bincount(y)))
    close(np.bincount(y) * w, 40 / 3)
    assert compute_class_weight(None, classes=np.unique(y), y=y).tolist() == [1, 1, 1]


@card("sklearn.linear_model.Perceptron", formula=r"w\leftarrow w+\eta\,y_i x_i\quad\text{if}\ \ y_i(w\cdot x_i+b)\le0")
def perceptron():
    x, y = classification(40)
    model = quiet(lambda: linear_model.Perceptron(max_iter=1, tol=None, shuffle=False, eta0=0.5).fit(x, y))
    w, b = np.zeros(3), 0.0
    for one, sign in zip(x, np.where(y == 1, 1, -1)):
        if sign * (w @ one + b) <= 0:
            w, b = w + 0.5 * sign * one, b + 0.5 * sign
    close(model.coef_[0], w)
    close(model.intercept_[0], b)
    same = linear_model.SGDClassifier(loss="perceptron", learning_rate="constant", eta0=1, penalty=None, random_state=0)
    close(linear_model.Perceptron(random_state=0).fit(x, y).coef_, same.fit(x, y).coef_)
    assert fails(lambda: linear_model.Perceptron().fit(x, y).predict_proba(x))


@card(
    "sklearn.neural_network.MLPClassifier",
    "sklearn.neural_network.MLPRegressor",
    formula=r"h=\phi(xW_1+b_1),\quad z=hW_2+b_2",
)
def mlp():
    x, y = regression(60)
    model = quiet(lambda: neural_network.MLPRegressor(hidden_layer_sizes=(7,), activation="tanh", max_iter=30, random_state=0).fit(x, y))
    (w1, w2), (b1, b2) = model.coefs_, model.intercepts_
    close(model.predict(x), (np.tanh(x @ w1 + b1) @ w2 + b2).ravel())
    a, c = classification(60, classes=3)
    net = quiet(lambda: neural_network.MLPClassifier((7,), max_iter=30, random_state=0).fit(a, c))
    (w1, w2), (b1, b2) = net.coefs_, net.intercepts_
    close(net.predict_proba(a), scipy.special.softmax(np.maximum(a @ w1 + b1, 0) @ w2 + b2, axis=1))
    assert "Maximum iterations (5)" in warned(lambda: neural_network.MLPClassifier((7,), max_iter=5).fit(a, c))[1]
    # The penalty is (alpha/2)·Σw², divided by the number of samples; the squared error is halved.
    small = neural_network.MLPRegressor(
        hidden_layer_sizes=(3,), alpha=0.5, solver="lbfgs", activation="identity", max_iter=20000, tol=1e-12, random_state=0
    ).fit(x, y)
    loss = np.mean((y - small.predict(x)) ** 2) / 2 + 0.5 / 2 * sum((w**2).sum() for w in small.coefs_) / 60
    close(small.loss_, loss, rtol=1e-5)


@card(
    "sklearn.linear_model.LogisticRegression",
    formula=r"\min_{w,b}\ \tfrac12\lVert w\rVert^2+C\sum_i\ln\left(1+e^{-y_i(w\cdot x_i+b)}\right)",
)
def logistic_regression():
    x, y = classification(80)
    sign = np.where(y == 1, 1, -1)
    for c in (0.1, 1, 10):
        model = linear_model.LogisticRegression(C=c, tol=1e-10, max_iter=10000).fit(x, y)
        point = np.r_[model.coef_[0], model.intercept_]
        is_minimum(lambda p: 0.5 * (p[:3] ** 2).sum() + c * np.logaddexp(0, -sign * (x @ p[:3] + p[3])).sum(), point, tolerance=1e-8)
    assert "1.8" in warned(lambda: linear_model.LogisticRegression(penalty="l1", solver="saga").fit(x, y))[1]
    assert quiet(lambda: linear_model.LogisticRegression(l1_ratio=1, solver="saga", C=0.02).fit(x, y)).coef_.size == 3
    assert fails(lambda: linear_model.LogisticRegression(l1_ratio=1, solver="lbfgs").fit(x, y))
    free = linear_model.LogisticRegression(C=np.inf, max_iter=10000).fit(x, y)
    strong = linear_model.LogisticRegression(C=1e-3).fit(x, y)
    assert np.abs(free.coef_).max() > 5 * np.abs(strong.coef_).max()
    assert fails(lambda: linear_model.LogisticRegression(solver="liblinear").fit(x, np.arange(80) % 3))


@card("sklearn.linear_model.LogisticRegressionCV")
def logistic_regression_cv():
    x, y = classification(60)
    model, text = warned(lambda: linear_model.LogisticRegressionCV(Cs=5).fit(x, y))
    assert "accuracy" in text and "neg_log_loss" in text and "l1_ratios" in text
    close(model.Cs_, np.logspace(-4, 4, 5))
    fine, text = warned(
        lambda: linear_model.LogisticRegressionCV(Cs=3, l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False).fit(x, y)
    )
    assert not text and isinstance(fine.C_, float)


def gram(x, z, gamma):
    return np.exp(-gamma * cdist(x, z) ** 2)


@card("sklearn.svm.SVC", formula=r"\min_{w,b}\ \tfrac12\lVert w\rVert^2+C\sum_i\max(0,\,1-y_if(x_i))")
def svc():
    x, y = classification(60)
    sign = np.where(y == 1, 1, -1)
    for c in (0.3, 3):
        model = svm.SVC(C=c, kernel="linear", tol=1e-8).fit(x, y)
        point = np.r_[model.coef_[0], model.intercept_]
        is_minimum(
            lambda p: 0.5 * (p[:3] ** 2).sum() + c * np.maximum(0, 1 - sign * (x @ p[:3] + p[3])).sum(), point, tolerance=1e-5
        )
    gamma = 1 / (3 * x.var())
    curved = svm.SVC().fit(x, y)
    close(curved.decision_function(x), gram(x, curved.support_vectors_, gamma) @ curved.dual_coef_[0] + curved.intercept_)
    assert "1.9" in warned(lambda: svm.SVC(probability=True).fit(x, y))[1] and fails(lambda: svm.SVC().fit(x, y).predict_proba(x))
    z = np.arange(60) % 4
    assert svm.SVC().fit(x, z).decision_function(x).shape == (60, 4)
    assert svm.SVC(decision_function_shape="ovo").fit(x, z).decision_function(x).shape == (60, 6)


@card("sklearn.svm.LinearSVC", formula=r"\min_{w,b}\ \tfrac12\lVert w\rVert^2+\tfrac12b^2+C\sum_i\max(0,\,1-y_if(x_i))^2")
def linear_svc():
    x, y = classification(60)
    sign = np.where(y == 1, 1, -1)
    model = svm.LinearSVC(C=0.7, tol=1e-10, max_iter=100000).fit(x, y)
    point = np.r_[model.coef_[0], model.intercept_]
    is_minimum(lambda p: 0.5 * (p**2).sum() + 0.7 * (np.maximum(0, 1 - sign * (x @ p[:3] + p[3])) ** 2).sum(), point, tolerance=1e-6)
    assert fails(lambda: model.predict_proba(x))
    assert np.abs(model.coef_ - svm.SVC(C=0.7, kernel="linear").fit(x, y).coef_).max() > 1e-3


@card("sklearn.svm.SVR", formula=r"\min_{w,b}\ \tfrac12\lVert w\rVert^2+C\sum_i\max(0,\,\lvert y_i-f(x_i)\rvert-\varepsilon)")
def svr():
    x, y = regression()
    model = svm.SVR(kernel="linear", C=0.6, epsilon=0.2, tol=1e-8).fit(x, y)
    point = np.r_[model.coef_[0], model.intercept_]
    is_minimum(
        lambda p: 0.5 * (p[:3] ** 2).sum() + 0.6 * np.maximum(0, np.abs(y - x @ p[:3] - p[3]) - 0.2).sum(), point, tolerance=1e-5
    )
    far = svm.SVR().fit(x, y * 1e6).predict(x)
    assert far.std() < 0.001 * (y * 1e6).std(), "with targets in the millions the defaults predict almost a constant"


def gini(labels):
    return 1 - ((np.bincount(labels) / len(labels)) ** 2).sum() if len(labels) else 0.0


@card(
    "sklearn.tree.DecisionTreeClassifier",
    "sklearn.tree.DecisionTreeRegressor",
    formula=r"\Delta=H-\tfrac{n_L}{n}H_L-\tfrac{n_R}{n}H_R,\quad H=1-\sum_kp_k^2",
)
def decision_tree():
    x, y = classification(60, 3, 3)
    stump = tree.DecisionTreeClassifier(max_depth=1, random_state=0).fit(x, y)
    feature, threshold = stump.tree_.feature[0], stump.tree_.threshold[0]

    def gain(j, t):
        left = x[:, j] <= t
        return gini(y) - left.mean() * gini(y[left]) - (1 - left.mean()) * gini(y[~left])

    values = [gain(j, t) for j in range(3) for t in x[:, j]]
    close(gain(feature, threshold), max(values))
    impurity, count = stump.tree_.impurity, stump.tree_.n_node_samples
    close(gain(feature, threshold), impurity[0] - count[1] / 60 * impurity[1] - count[2] / 60 * impurity[2])
    full = tree.DecisionTreeClassifier(random_state=0).fit(x, rng.integers(0, 2, 60))
    assert full.tree_.impurity[full.tree_.children_left == -1].max() == 0
    a, b = regression()
    line = tree.DecisionTreeRegressor().fit(a, b)
    assert line.predict(a * 1e3).max() <= b.max() and line.predict(a * 1e3).min() >= b.min()
    assert line.score(a, b) == 1


@card("sklearn.tree.plot_tree")
def plot_tree():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    x, y = classification(40)
    forest = ensemble.RandomForestClassifier(2).fit(x, y)
    assert fails(lambda: tree.plot_tree(forest)) and tree.plot_tree(forest.estimators_[0], max_depth=1)
    pyplot.close("all")
    one = tree.DecisionTreeClassifier(max_depth=1).fit(x, y)
    left = x[:, one.tree_.feature[0]].astype(np.float32) <= one.tree_.threshold[0]
    assert set(one.apply(x)[left]) == {one.tree_.children_left[0]}


@card(
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.RandomForestRegressor",
    formula=r"\hat y(x)=\frac1B\sum_{b=1}^{B}T_b(x)",
)
def random_forest():
    x, y = classification(60, 4, 3)
    forest = ensemble.RandomForestClassifier(9, max_depth=3, random_state=0).fit(x, y)
    close(forest.predict_proba(x), np.mean([one.predict_proba(x) for one in forest.estimators_], axis=0))
    a, b = regression()
    grown = ensemble.RandomForestRegressor(9, random_state=0).fit(a, b)
    close(grown.predict(a), np.mean([one.predict(a) for one in grown.estimators_], axis=0))
    assert grown.max_features == 1.0 and forest.max_features == "sqrt"
    many = np.c_[x[:, 0] > 0, rng.normal(size=(60, 1))]
    noise = rng.integers(0, 2, 60)
    importances = ensemble.RandomForestClassifier(50, random_state=0).fit(many, noise).feature_importances_
    assert importances[1] > importances[0], "noise with many values beats noise with two"


@card(
    "sklearn.ensemble.ExtraTreesClassifier",
    "sklearn.ensemble.ExtraTreesRegressor",
    formula=r"\hat y(x)=\frac1B\sum_{b=1}^{B}T_b(x)",
)
def extra_trees():
    x, y = classification(60, 4, 3)
    forest = ensemble.ExtraTreesClassifier(9, max_depth=3, random_state=0).fit(x, y)
    close(forest.predict_proba(x), np.mean([one.predict_proba(x) for one in forest.estimators_], axis=0))
    a, b = regression()
    grown = ensemble.ExtraTreesRegressor(9, random_state=0).fit(a, b)
    close(grown.predict(a), np.mean([one.predict(a) for one in grown.estimators_], axis=0))
    assert fails(lambda: ensemble.ExtraTreesClassifier(9, oob_score=True).fit(x, y))
    assert quiet(lambda: ensemble.ExtraTreesClassifier(30, oob_score=True, bootstrap=True).fit(x, y)).oob_score_ > 0
    assert grown.score(a, b) == 1, "every tree has seen every sample"


@card(
    "sklearn.ensemble.BaggingClassifier",
    "sklearn.ensemble.BaggingRegressor",
    formula=r"\hat y(x)=\frac1B\sum_{b=1}^{B}f_b(x)",
)
def bagging():
    x, y = regression()
    bag = ensemble.BaggingRegressor(n_estimators=7, random_state=0).fit(x, y)
    close(bag.predict(x), np.mean([one.predict(x) for one in bag.estimators_], axis=0))
    a, b = classification()
    votes = ensemble.BaggingClassifier(n_estimators=7, random_state=0).fit(a, b)
    close(votes.predict_proba(a), np.mean([one.predict_proba(a) for one in votes.estimators_], axis=0))
    half = ensemble.BaggingRegressor(max_features=2, random_state=0).fit(x, y)
    assert {len(columns) for columns in half.estimators_features_} == {2}


@card(
    "sklearn.ensemble.AdaBoostClassifier",
    formula=r"\alpha_m=\eta\left(\ln\frac{1-\varepsilon_m}{\varepsilon_m}+\ln(K-1)\right)",
)
def adaboost():
    x, y = classification(90, 3, 3)
    model = ensemble.AdaBoostClassifier(n_estimators=5, learning_rate=0.5, random_state=0).fit(x, y)
    e = model.estimator_errors_[: len(model.estimators_)]
    close(model.estimator_weights_[: len(e)], 0.5 * (np.log((1 - e) / e) + math.log(3 - 1)))
    w = np.full(90, 1 / 90)
    for one, error, alpha in zip(model.estimators_, e, model.estimator_weights_):
        assert one.max_depth == 1
        wrong = one.predict(x) != y
        close(error, w[wrong].sum())
        w = w * np.exp(alpha * wrong)
        w /= w.sum()
    assert np.all(e < 1 - 1 / 3)


@card(
    "sklearn.ensemble.AdaBoostRegressor",
    formula=r"w_i\leftarrow w_i\,\beta^{\,\eta(1-L_i)},\quad\beta=\frac{\bar L}{1-\bar L}",
)
def adaboost_regression():
    x, y = regression(60)
    model = ensemble.AdaBoostRegressor(n_estimators=2, random_state=0)
    w = rng.random(60)
    w /= w.sum()
    new, weight, error = model.fit(x, y)._boost(0, x, y, w.copy(), np.random.RandomState(0))
    off = np.abs(model.estimators_[-1].predict(x) - y)
    loss = off / off.max()
    mean = (w * loss).sum()
    beta = mean / (1 - mean)
    close(new, w * beta ** (1 - loss))
    close((weight, error), (math.log(1 / beta), mean))
    made = ensemble.AdaBoostRegressor(n_estimators=5, random_state=0).fit(x, y)
    assert made.estimators_[0].max_depth == 3
    predictions = np.array([one.predict(x) for one in made.estimators_]).T
    for row, got in zip(predictions, made.predict(x)):
        order = np.argsort(row)
        total = np.cumsum(made.estimator_weights_[: len(made.estimators_)][order])
        close(got, row[order[np.argmax(total >= total[-1] / 2)]])


@card(
    "sklearn.ensemble.GradientBoostingClassifier",
    "sklearn.ensemble.GradientBoostingRegressor",
    formula=r"F_m(x)=F_{m-1}(x)+\nu\,h_m(x)",
)
def gradient_boosting():
    x, y = regression(60)
    model = ensemble.GradientBoostingRegressor(n_estimators=5, learning_rate=0.3, max_depth=2, random_state=0).fit(x, y)
    f = np.full(60, y.mean())
    for stage, got in zip(model.estimators_[:, 0], model.staged_predict(x)):
        h = stage.predict(x)
        leaves = stage.apply(x)
        close(h, [(y - f)[leaves == leaf].mean() for leaf in leaves])
        f = f + 0.3 * h
        close(got, f)
    assert "no effect" in warned(lambda: ensemble.GradientBoostingRegressor(n_estimators=1, criterion="squared_error").fit(x, y))[1]
    assert ensemble.GradientBoostingRegressor(n_estimators=500, n_iter_no_change=3).fit(x, y).n_estimators_ < 500


@card(
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.ensemble.HistGradientBoostingRegressor",
    formula=r"v=-\nu\,\frac{\sum_i g_i}{\sum_i h_i+\lambda}",
)
def hist_gradient_boosting():
    x, y = regression(100, 2)
    model = ensemble.HistGradientBoostingRegressor(
        max_iter=1, learning_rate=0.5, max_leaf_nodes=2, l2_regularization=3.0, min_samples_leaf=5, early_stopping=False
    ).fit(x, y)
    values = model.predict(x) - y.mean()
    gradient = y.mean() - y
    for leaf in np.unique(values):
        inside = values == leaf
        close(leaf, -0.5 * gradient[inside].sum() / (inside.sum() + 3.0), rtol=1e-4)
    z = x.copy()
    z[::3, 0] = np.nan
    assert np.isfinite(ensemble.HistGradientBoostingRegressor(max_iter=3).fit(z, y).predict(z)).all()
    assert not ensemble.HistGradientBoostingRegressor(max_iter=3).fit(x, y).do_early_stopping_
    big = rng.normal(size=(10001, 1))
    assert ensemble.HistGradientBoostingRegressor(max_iter=3).fit(big, big[:, 0]).do_early_stopping_
    assert fails(lambda: ensemble.HistGradientBoostingRegressor(max_bins=256).fit(x, y))
    c, k = classification(60, 2, 3)
    three = ensemble.HistGradientBoostingClassifier(max_iter=2).fit(c, k)
    assert len(three._predictors[0]) == 3


@card("sklearn.ensemble.StackingClassifier", "sklearn.ensemble.StackingRegressor", "sklearn.ensemble.VotingClassifier")
def stacking():
    x, y = classification()
    models = [("a", naive_bayes.GaussianNB()), ("b", linear_model.LogisticRegression())]
    stack = ensemble.StackingClassifier(models, cv=3).fit(x, y)
    out = np.column_stack([model_selection.cross_val_predict(m, x, y, cv=3, method="predict_proba")[:, 1] for _, m in models])
    close(stack.final_estimator_.coef_, linear_model.LogisticRegression().fit(out, y).coef_)
    close(stack.estimators_[1].coef_, linear_model.LogisticRegression().fit(x, y).coef_)
    assert isinstance(stack.final_estimator_, linear_model.LogisticRegression)
    a, b = regression()
    assert isinstance(ensemble.StackingRegressor([("r", linear_model.Ridge())]).fit(a, b).final_estimator_, linear_model.RidgeCV)
    assert fails(lambda: ensemble.VotingClassifier(models).fit(x, y).predict_proba(x))
    constant = [(f"c{c}", dummy.DummyClassifier(strategy="constant", constant=c)) for c in (1, 0)]
    assert ensemble.VotingClassifier(constant).fit(x, y).predict(x[:1]).tolist() == [0]


@card(
    "sklearn.ensemble.VotingClassifier",
    "sklearn.ensemble.VotingRegressor",
    formula=r"\hat y(x)=\frac{\sum_jw_jf_j(x)}{\sum_jw_j}",
)
def voting():
    x, y = classification()
    models = [("a", naive_bayes.GaussianNB()), ("b", linear_model.LogisticRegression())]
    soft = ensemble.VotingClassifier(models, voting="soft", weights=[1, 3]).fit(x, y)
    p = [m.predict_proba(x) for m in soft.estimators_]
    close(soft.predict_proba(x), (p[0] + 3 * p[1]) / 4)
    a, b = regression()
    vote = ensemble.VotingRegressor([("r", linear_model.Ridge()), ("t", tree.DecisionTreeRegressor())], weights=[1, 3]).fit(a, b)
    close(vote.predict(a), (vote.estimators_[0].predict(a) + 3 * vote.estimators_[1].predict(a)) / 4)


@card("sklearn.cluster.KMeans", "sklearn.cluster.MiniBatchKMeans", formula=r"J=\sum_i\min_k\lVert x_i-\mu_k\rVert^2")
def k_means():
    x = datasets.make_blobs(90, centers=3, random_state=0)[0]
    model = cluster.KMeans(3, random_state=0, tol=0).fit(x)
    distances = cdist(x, model.cluster_centers_)
    close(model.inertia_, (distances.min(axis=1) ** 2).sum())
    assert np.array_equal(model.labels_, distances.argmin(axis=1))
    close(model.cluster_centers_, [x[model.labels_ == k].mean(axis=0) for k in range(3)])
    assert cluster.KMeans(2).fit(x)._n_init == 1 and cluster.KMeans(2, init="random").fit(x)._n_init == 10
    inertias = [cluster.KMeans(k, n_init=5, random_state=0).fit(x).inertia_ for k in range(1, 7)]
    assert np.all(np.diff(inertias) < 0)
    close(cluster.KMeans(3, algorithm="elkan", random_state=0, tol=0).fit(x).inertia_, model.inertia_)


@card("sklearn.decomposition.PCA", formula=r"Z=(X-\mu)V_k,\quad\lambda_j=\frac{\sigma_j^2}{n-1}")
def pca():
    x = rng.normal(size=(30, 5)) @ rng.normal(size=(5, 5))
    model = decomposition.PCA(3, svd_solver="full").fit(x)
    u, s, vh = np.linalg.svd(centred(x), full_matrices=False)
    close(np.abs(model.transform(x)), np.abs(centred(x) @ vh[:3].T))
    close(model.explained_variance_, s[:3] ** 2 / 29)
    close(model.explained_variance_, model.transform(x).var(axis=0, ddof=1))
    close(decomposition.PCA(3, whiten=True).fit_transform(x).var(axis=0, ddof=1), 1)
    scaled = x * [1, 1, 1, 1, 1000]
    assert decomposition.PCA(1).fit(scaled).explained_variance_ratio_[0] > 0.99
    assert decomposition.PCA(0.95, svd_solver="full").fit(x).explained_variance_ratio_.sum() >= 0.95


@card("sklearn.decomposition.KernelPCA", formula=r"Z=U_k\Lambda_k^{1/2},\quad\tilde K=U\Lambda U^{\top}")
def kernel_pca():
    x = rng.normal(size=(20, 3))
    model = decomposition.KernelPCA(4, kernel="rbf", gamma=0.4, eigen_solver="dense").fit(x)
    k = gram(x, x, 0.4)
    j = np.eye(20) - 1 / 20
    values, vectors = np.linalg.eigh(j @ k @ j)
    close(np.abs(model.transform(x)), np.abs(vectors[:, ::-1][:, :4] * np.sqrt(values[::-1][:4])), rtol=1e-5)
    close(np.abs(decomposition.KernelPCA(2).fit_transform(x)), np.abs(decomposition.PCA(2).fit_transform(x)), rtol=1e-5)
    assert fails(lambda: decomposition.KernelPCA(2).fit(x).inverse_transform(x[:, :2]))


@card("sklearn.naive_bayes.GaussianNB", formula=r"P(c\mid x)\propto P(c)\prod_j\mathcal N(x_j;\mu_{cj},\sigma_{cj}^2)")
def gaussian_nb():
    x, y = classification(60, 3, 3)
    model = naive_bayes.GaussianNB().fit(x, y)
    extra = 1e-9 * x.var(axis=0).max()
    joint = np.array(
        [np.mean(y == c) * scipy.stats.norm.pdf(x, x[y == c].mean(axis=0), np.sqrt(x[y == c].var(axis=0) + extra)).prod(axis=1) for c in range(3)]
    ).T
    close(model.predict_proba(x), joint / joint.sum(axis=1, keepdims=True))
    twice = naive_bayes.GaussianNB().fit(np.c_[x, x, x, x], y).predict_proba(np.c_[x, x, x, x]).max(axis=1).mean()
    assert twice > model.predict_proba(x).max(axis=1).mean() + 0.02


@card("sklearn.naive_bayes.MultinomialNB", formula=r"\theta_{cj}=\frac{N_{cj}+\alpha}{N_c+\alpha d}")
def multinomial_nb():
    x, y = rng.integers(0, 5, (40, 6)), np.arange(40) % 2
    model = naive_bayes.MultinomialNB(alpha=0.7).fit(x, y)
    counts = np.array([x[y == c].sum(axis=0) for c in (0, 1)])
    theta = (counts + 0.7) / (counts.sum(axis=1, keepdims=True) + 0.7 * 6)
    close(np.exp(model.feature_log_prob_), theta)
    joint = x @ np.log(theta).T + np.log(0.5)
    close(model.predict_proba(x), scipy.special.softmax(joint, axis=1))
    assert fails(lambda: naive_bayes.MultinomialNB().fit(preprocessing.StandardScaler().fit_transform(x), y))


@card("sklearn.naive_bayes.BernoulliNB", formula=r"P(c\mid x)\propto P(c)\prod_jp_{cj}^{x_j}(1-p_{cj})^{1-x_j}")
def bernoulli_nb():
    x, y = (rng.random((40, 5)) > 0.6).astype(int), np.arange(40) % 2
    model = naive_bayes.BernoulliNB(alpha=0.7).fit(x, y)
    p = np.array([(x[y == c].sum(axis=0) + 0.7) / (np.sum(y == c) + 2 * 0.7) for c in (0, 1)])
    joint = np.array([0.5 * (p[c] ** x * (1 - p[c]) ** (1 - x)).prod(axis=1) for c in (0, 1)]).T
    close(model.predict_proba(x), joint / joint.sum(axis=1, keepdims=True))
    close(naive_bayes.BernoulliNB(alpha=0.7).fit(x * 9, y).predict_proba(x * 3), model.predict_proba(x))


@card("sklearn.decomposition.LatentDirichletAllocation", formula=r"p(w\mid d)=\sum_k\theta_{dk}\,\beta_{kw}")
def lda():
    x = rng.integers(0, 4, (12, 9))
    model = decomposition.LatentDirichletAllocation(3, max_iter=20, random_state=0).fit(x)
    theta = model.transform(x)
    beta = model.components_ / model.components_.sum(axis=1, keepdims=True)
    close(theta.sum(axis=1), 1)
    close((theta @ beta).sum(axis=1), 1)
    assert np.abs(model.components_.sum(axis=1) - 1).min() > 1
    # The mixture explains the words of each document better than one topic for all.
    one = np.tile(x.sum(axis=0) / x.sum(), (12, 1))
    assert (x * np.log(theta @ beta)).sum() > (x * np.log(one)).sum()


def mixture_density(x, model):
    return sum(
        w * scipy.stats.multivariate_normal(m, c).pdf(x) for w, m, c in zip(model.weights_, model.means_, model.covariances_)
    )


@card("sklearn.mixture.GaussianMixture", formula=r"p(x)=\sum_k\pi_k\,\mathcal N(x;\mu_k,\Sigma_k)")
def gaussian_mixture():
    x = datasets.make_blobs(120, centers=3, random_state=1)[0]
    model = mixture.GaussianMixture(3, random_state=0).fit(x)
    close(model.score_samples(x), np.log(mixture_density(x, model)), rtol=1e-6)
    parameters = 2 + 3 * 2 + 3 * 3
    close(model.bic(x), -2 * model.score_samples(x).sum() + parameters * math.log(120))


@card(
    "sklearn.mixture.BayesianGaussianMixture",
    formula=r"p(x)=\sum_k\pi_k\,\mathcal N(x;\mu_k,\Sigma_k),\quad\pi\sim\mathrm{DP}(\alpha)",
)
def bayesian_mixture():
    x = datasets.make_blobs(200, centers=[[0, 0], [8, 8]], random_state=1)[0]
    model = mixture.BayesianGaussianMixture(n_components=6, random_state=0, max_iter=1000, weight_concentration_prior=1e-3).fit(x)
    assert len(model.weights_) == 6 and np.all(model.weights_ > 0) and np.sum(model.weights_ > 0.05) == 2
    assert np.sum(np.unique(model.predict(x), return_counts=True)[1] > 0) == 2
    # The predicted density is close to that of the mixture with the mean parameters.
    assert np.corrcoef(np.log(mixture_density(x, model)), model.score_samples(x))[0, 1] > 0.99
    assert model.weight_concentration_prior_type == "dirichlet_process"


@card(
    "sklearn.feature_extraction.text.TfidfVectorizer",
    "sklearn.feature_extraction.text.TfidfTransformer",
    formula=r"\mathrm{idf}(t)=\ln\frac{1+n}{1+\mathrm{df}(t)}+1",
)
def tf_idf():
    texts = ["red red fish", "blue fish", "one fish two fish"]
    counts = CountVectorizer().fit_transform(texts).toarray()
    df = (counts > 0).sum(axis=0)
    idf = np.log((1 + 3) / (1 + df)) + 1
    model = TfidfVectorizer().fit(texts)
    close(model.idf_, idf)
    raw = counts * idf
    close(model.transform(texts).toarray(), raw / np.linalg.norm(raw, axis=1, keepdims=True))
    close(TfidfTransformer().fit_transform(counts).toarray(), model.transform(texts).toarray())
    close(TfidfTransformer(smooth_idf=False).fit(counts).idf_, np.log(3 / df) + 1)
    assert model.idf_[model.vocabulary_["fish"]] == 1
    tf = TfidfTransformer(norm=None, use_idf=False, sublinear_tf=True).fit_transform(counts).toarray()
    close(tf[counts > 0], 1 + np.log(counts[counts > 0]))
    assert list(TfidfVectorizer().fit(["今天天气很好"]).vocabulary_) == ["今天天气很好"]


@card("sklearn.feature_extraction.text.CountVectorizer", "sklearn.feature_extraction.text.HashingVectorizer")
def bag_of_words():
    model = CountVectorizer().fit(["a cat I saw"])
    assert sorted(model.vocabulary_) == ["cat", "saw"] and model.transform(["dog"]).nnz == 0
    assert fails(lambda: CountVectorizer().fit("one string")) and list(CountVectorizer().fit(["今天天气"]).vocabulary_) == ["今天天气"]
    assert CountVectorizer(ngram_range=(1, 2)).fit(["red fish"]).get_feature_names_out().tolist() == ["fish", "red", "red fish"]
    hashed = HashingVectorizer(n_features=32).transform(["red fish blue fish swim"])
    assert hashed.min() < 0 and fails(lambda: naive_bayes.MultinomialNB().fit(hashed, [0]))
    close(np.linalg.norm(hashed.toarray()), 1)
    assert not hasattr(HashingVectorizer(), "get_feature_names_out")


@card("sklearn.calibration.CalibratedClassifierCV", formula=r"p=\frac1{1+e^{Af+B}}")
def calibrated():
    x, y = classification(200)
    model = svm.LinearSVC().fit(x[:100], y[:100])
    made = calibration.CalibratedClassifierCV(frozen.FrozenEstimator(model)).fit(x[100:], y[100:])
    one = made.calibrated_classifiers_[0]
    a, b = one.calibrators[0].a_, one.calibrators[0].b_
    close(made.predict_proba(x)[:, 1], 1 / (1 + np.exp(a * model.decision_function(x) + b)))
    assert len(calibration.CalibratedClassifierCV(model, cv=3).fit(x, y).calibrated_classifiers_) == 3
    assert len(calibration.CalibratedClassifierCV(model, cv=3, ensemble=False).fit(x, y).calibrated_classifiers_) == 1


@card("sklearn.cluster.AffinityPropagation", formula=r"s(i,k)=-\lVert x_i-x_k\rVert^2")
def affinity_propagation():
    x = datasets.make_blobs(40, centers=3, random_state=0)[0]
    similarity = -cdist(x, x) ** 2
    model = cluster.AffinityPropagation(random_state=0).fit(x)
    off = ~np.eye(40, dtype=bool)
    close(model.affinity_matrix_[off], similarity[off])
    same = cluster.AffinityPropagation(affinity="precomputed", preference=np.median(similarity), random_state=0).fit(similarity)
    assert np.array_equal(model.labels_, same.labels_)
    more = cluster.AffinityPropagation(preference=-1, random_state=0).fit(x)
    assert len(more.cluster_centers_indices_) > len(model.cluster_centers_indices_)
    assert set(quiet(lambda: cluster.AffinityPropagation(max_iter=2, random_state=0).fit(x)).labels_) == {-1}


@card(
    "sklearn.cluster.AgglomerativeClustering",
    formula=r"d(A,B)=\sqrt{\tfrac{2\lvert A\rvert\lvert B\rvert}{\lvert A\rvert+\lvert B\rvert}}\ \lVert\mu_A-\mu_B\rVert",
)
def agglomerative():
    x = rng.normal(size=(15, 2))
    model = cluster.AgglomerativeClustering(3, compute_distances=True).fit(x)
    members = {i: [i] for i in range(15)}
    for step, (a, b) in enumerate(model.children_):
        p, q = x[members[a]], x[members[b]]
        ward = math.sqrt(2 * len(p) * len(q) / (len(p) + len(q))) * np.linalg.norm(p.mean(axis=0) - q.mean(axis=0))
        close(model.distances_[step], ward)
        members[15 + step] = members[a] + members[b]
    close(model.distances_, scipy.cluster.hierarchy.ward(x)[:, 2])
    assert not hasattr(model, "predict") and not hasattr(cluster.AgglomerativeClustering().fit(x), "distances_")
    assert fails(lambda: cluster.AgglomerativeClustering(metric="manhattan").fit(x))


@card("sklearn.cluster.FeatureAgglomeration")
def feature_agglomeration():
    x = rng.normal(size=(10, 6))
    model = cluster.FeatureAgglomeration(3).fit(x)
    close(model.transform(x), np.column_stack([x[:, model.labels_ == k].mean(axis=1) for k in range(3)]))


@card("sklearn.cluster.Birch", formula=r"r=\sqrt{\tfrac{\sum\lVert x\rVert^2}{n}-\left\lVert\tfrac{\sum x}{n}\right\rVert^2}")
def birch():
    x = rng.normal(size=(80, 2))
    model = cluster.Birch(threshold=0.3, n_clusters=None).fit(x)
    leaf, count = model.dummy_leaf_.next_leaf_, 0
    while leaf is not None:
        for sub in leaf.subclusters_:
            n, total, squares = sub.n_samples_, sub.linear_sum_, sub.squared_sum_
            radius = math.sqrt(max(0, squares / n - np.linalg.norm(total / n) ** 2))
            close(sub.radius, radius, atol=1e-6)
            assert radius <= 0.3 + 1e-9
            count += 1
        leaf = leaf.next_leaf_
    assert count == len(model.subcluster_centers_) > 10
    assert len(cluster.Birch(threshold=50.0, n_clusters=None).fit(x).subcluster_centers_) == 1
    assert len(cluster.Birch(threshold=0.1, n_clusters=None).fit(x).subcluster_centers_) > count


@card("sklearn.cluster.BisectingKMeans", formula=r"J=\sum_i\lVert x_i-\mu_{c_i}\rVert^2")
def bisecting():
    x = datasets.make_blobs(200, centers=7, random_state=3)[0]
    model = cluster.BisectingKMeans(7, random_state=0).fit(x)
    close(model.inertia_, sum(((x[model.labels_ == k] - x[model.labels_ == k].mean(axis=0)) ** 2).sum() for k in range(7)), rtol=1e-3)
    assert model.inertia_ > cluster.KMeans(7, n_init=10, random_state=0).fit(x).inertia_


@card("sklearn.cluster.DBSCAN", formula=r"\lvert\{y:d(x,y)\le\varepsilon\}\rvert\ge\text{min\_samples}")
def dbscan():
    x = np.r_[rng.normal(size=(30, 2)), [[50.0, 50.0]]]
    model = cluster.DBSCAN(eps=0.6, min_samples=4).fit(x)
    assert np.array_equal(model.core_sample_indices_, np.flatnonzero((cdist(x, x) <= 0.6).sum(axis=1) >= 4))
    assert model.labels_[-1] == -1 and not hasattr(model, "predict")


@card("sklearn.cluster.HDBSCAN")
def hdbscan():
    x = np.r_[rng.normal(size=(60, 2)) * 0.3, rng.normal(size=(60, 2)) + 6, [[np.nan, 0.0], [np.inf, 0.0]]]
    labels = cluster.HDBSCAN(min_cluster_size=20, copy=True).fit(x).labels_
    assert set(labels[:120]) - {-1} == {0, 1} and labels[120] == -3 and labels[121] == -2
    one = rng.normal(size=(60, 2)) * 0.1
    single = cluster.HDBSCAN(min_cluster_size=30, allow_single_cluster=True, copy=True).fit(one).labels_
    assert set(single) - {-1} == {0} and set(cluster.HDBSCAN(min_cluster_size=30, copy=True).fit(one).labels_) == {-1}
    assert not hasattr(cluster.HDBSCAN(), "predict")


@card("sklearn.cluster.MeanShift", formula=r"m(x)=\frac1{\lvert N(x)\rvert}\sum_{x_i\in N(x)}x_i")
def mean_shift():
    x = datasets.make_blobs(60, centers=3, cluster_std=0.5, random_state=0)[0]
    model = cluster.MeanShift(bandwidth=2.0).fit(x)
    for centre in model.cluster_centers_:
        near = x[np.linalg.norm(x - centre, axis=1) <= 2.0]
        close(near.mean(axis=0), centre, atol=5e-3)
    assert len(cluster.MeanShift(bandwidth=50.0).fit(x).cluster_centers_) == 1


@card("sklearn.cluster.OPTICS", formula=r"r(o\mid p)=\max(\operatorname{core}(p),\,d(p,o))")
def optics():
    x = rng.normal(size=(30, 2))
    model = cluster.OPTICS(min_samples=4).fit(x)
    d = cdist(x, x)
    core = np.sort(d, axis=1)[:, 3]
    close(model.core_distances_, core)
    for position, o in enumerate(model.ordering_[1:], 1):
        before = model.ordering_[:position]
        close(model.reachability_[o], np.maximum(core[before], d[before, o]).min())
    assert not hasattr(model, "predict")


@card("sklearn.cluster.SpectralClustering", "sklearn.manifold.SpectralEmbedding", formula=r"L=I-D^{-1/2}SD^{-1/2}")
def spectral():
    x = datasets.make_circles(80, factor=0.3, noise=0.02, random_state=0)[0]
    model = cluster.SpectralClustering(2, gamma=10.0, random_state=0, assign_labels="cluster_qr").fit(x)
    s = gram(x, x, 10.0)
    close(model.affinity_matrix_, s)
    half = np.diag(s.sum(axis=1) ** -0.5)
    values, vectors = np.linalg.eigh(np.eye(80) - half @ s @ half)
    second = half @ vectors[:, 1]
    assert metrics.adjusted_rand_score(second > np.median(second), model.labels_) > 0.9
    z = manifold.SpectralEmbedding(2, affinity="precomputed", random_state=0).fit_transform(s)
    for k in (0, 1):
        assert abs(np.corrcoef(z[:, k], half @ vectors[:, k + 1])[0, 1]) > 0.999
    assert not hasattr(manifold.SpectralEmbedding(), "transform") and not hasattr(model, "predict")


@card("sklearn.cluster.SpectralBiclustering", "sklearn.cluster.SpectralCoclustering")
def biclustering():
    data, rows, columns = datasets.make_biclusters((30, 20), 3, noise=0.5, minval=10, random_state=0)
    model = cluster.SpectralCoclustering(3, random_state=0).fit(data)
    assert metrics.consensus_score(model.biclusters_, (rows, columns)) == 1
    assert model.row_labels_.shape == (30,) and model.column_labels_.shape == (20,) and model.rows_.shape[0] == 3
    checker = cluster.SpectralBiclustering((3, 2), random_state=0).fit(np.abs(data) + 1)
    assert checker.rows_.shape[0] == 6


@card("sklearn.compose.TransformedTargetRegressor", formula=r"\hat y=g^{-1}\left(f(x)\right),\quad f\ \text{fitted to}\ g(y)")
def transformed_target():
    x, _ = regression(300, 2)
    y = np.exp(x[:, 0] + rng.normal(size=300))
    model = compose.TransformedTargetRegressor(linear_model.LinearRegression(), func=np.log, inverse_func=np.exp).fit(x, y)
    f = linear_model.LinearRegression().fit(x, np.log(y))
    close(model.predict(x), np.exp(f.predict(x)))
    assert model.predict(x).mean() < 0.8 * y.mean() and abs(np.mean(model.predict(x) > y) - 0.5) < 0.08


@card("sklearn.covariance.EmpiricalCovariance", formula=r"\Sigma=\frac1n\sum_i(x_i-\mu)(x_i-\mu)^{\top}")
def empirical_covariance():
    x = rng.normal(size=(20, 3))
    close(covariance.EmpiricalCovariance().fit(x).covariance_, centred(x).T @ centred(x) / 20)
    close(covariance.EmpiricalCovariance().fit(x).covariance_ * 20 / 19, np.cov(x.T))


@card(
    "sklearn.covariance.ShrunkCovariance",
    "sklearn.covariance.LedoitWolf",
    "sklearn.covariance.OAS",
    formula=r"(1-\delta)\,S+\delta\,\tfrac{\operatorname{tr}S}{d}\,I",
)
def shrunk():
    x = rng.normal(size=(20, 4)) * [1, 2, 3, 4]
    s = np.cov(x.T, bias=True)
    for model in (covariance.ShrunkCovariance(shrinkage=0.3), covariance.LedoitWolf(), covariance.OAS()):
        model.fit(x)
        delta = getattr(model, "shrinkage_", 0.3)
        assert 0 < delta < 1
        close(model.covariance_, (1 - delta) * s + delta * np.trace(s) / 4 * np.eye(4))


@card(
    "sklearn.covariance.GraphicalLasso",
    "sklearn.covariance.GraphicalLassoCV",
    formula=r"\min_{\Theta}\ -\ln\det\Theta+\operatorname{tr}(S\Theta)+\alpha\sum_{i\ne j}\lvert\Theta_{ij}\rvert",
)
def graphical_lasso():
    x = rng.normal(size=(200, 4)) @ np.array([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.3], [0, 0, 0, 1]])
    s = np.cov(x.T, bias=True)
    model = covariance.GraphicalLasso(0.1, tol=1e-8, max_iter=1000).fit(x)
    theta = model.precision_

    def objective(t):
        t = (t + t.T) / 2
        off = np.abs(t).sum() - np.abs(np.diag(t)).sum()
        return -np.linalg.slogdet(t)[1] + np.trace(s @ t) + 0.1 * off

    is_minimum(objective, theta, scale=1e-3, tolerance=1e-7)
    close(np.diag(np.linalg.inv(theta)), np.diag(s), rtol=1e-4)
    assert np.any(theta == 0)
    assert quiet(lambda: covariance.GraphicalLassoCV(alphas=3, n_refinements=1).fit(x)).precision_.shape == (4, 4)


@card("sklearn.covariance.MinCovDet", "sklearn.covariance.EllipticEnvelope", formula=r"d^2(x)=(x-\mu)^{\top}\Sigma^{-1}(x-\mu)")
def robust_covariance():
    x = np.r_[rng.normal(size=(90, 2)), rng.normal(8, 1, size=(10, 2))]
    model = covariance.MinCovDet(random_state=0).fit(x)
    off = x - model.location_
    close(model.mahalanobis(x), np.einsum("ij,jk,ik->i", off, np.linalg.inv(model.covariance_), off))
    assert np.abs(model.location_).max() < 0.5 < np.abs(x.mean(axis=0)).min()
    labels = covariance.EllipticEnvelope(contamination=0.2, random_state=0).fit_predict(x)
    assert set(labels) == {1, -1} and np.sum(labels == -1) == 20


@card("sklearn.cross_decomposition.CCA", formula=r"\max_{a,b}\ \operatorname{corr}(Xa,\,Yb)")
def cca():
    x = rng.normal(size=(100, 3))
    y = x[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(100, 2))
    a, b = cross_decomposition.CCA(1, tol=1e-12, max_iter=5000).fit_transform(x, y)
    ux = np.linalg.svd(centred(x), full_matrices=False)[0]
    uy = np.linalg.svd(centred(y), full_matrices=False)[0]
    close(np.corrcoef(a[:, 0], b[:, 0])[0, 1], np.linalg.svd(ux.T @ uy)[1][0], rtol=1e-5)
    few = cross_decomposition.CCA(1, max_iter=5000).fit_transform(rng.normal(size=(10, 20)), rng.normal(size=(10, 20)))
    assert np.corrcoef(few[0][:, 0], few[1][:, 0])[0, 1] > 0.999


@card(
    "sklearn.cross_decomposition.PLSRegression",
    "sklearn.cross_decomposition.PLSCanonical",
    formula=r"\max_{\lVert a\rVert=\lVert b\rVert=1}\ \operatorname{cov}(Xa,\,Yb)",
)
def pls():
    x = rng.normal(size=(60, 4))
    y = x[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(60, 2))
    xs, ys = centred(x) / x.std(axis=0, ddof=1), centred(y) / y.std(axis=0, ddof=1)
    u, s, vh = np.linalg.svd(xs.T @ ys)
    for kind in (cross_decomposition.PLSRegression, cross_decomposition.PLSCanonical):
        model = kind(1, tol=1e-14, max_iter=5000).fit(x, y)
        close(np.abs(model.x_weights_[:, 0]), np.abs(u[:, 0]), rtol=1e-5)
        a, b = xs @ model.x_weights_[:, 0], ys @ vh[0] * np.sign(model.x_weights_[0, 0] * u[0, 0])
        close(a @ b / 59, s[0] / 59, rtol=1e-5)
    assert cross_decomposition.PLSRegression(2).fit(x, y).predict(x).shape == (60, 2)


@card("sklearn.cross_decomposition.PLSSVD", formula=r"X^{\top}Y=U\Sigma V^{\top}")
def pls_svd():
    x, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 3))
    xs, ys = centred(x) / x.std(axis=0, ddof=1), centred(y) / y.std(axis=0, ddof=1)
    u, _, vh = np.linalg.svd(xs.T @ ys)
    a, b = cross_decomposition.PLSSVD(2).fit(x, y).transform(x, y)
    close(np.abs(a), np.abs(xs @ u[:, :2]))
    close(np.abs(b), np.abs(ys @ vh[:2].T))
    assert not hasattr(cross_decomposition.PLSSVD(), "predict") and abs(np.corrcoef(a.T)[0, 1]) > 1e-6


@card(
    "sklearn.decomposition.DictionaryLearning",
    "sklearn.decomposition.MiniBatchDictionaryLearning",
    formula=r"\min_{C,D}\ \tfrac12\lVert X-CD\rVert_F^2+\alpha\lVert C\rVert_1,\quad\lVert D_k\rVert\le1",
)
def dictionary_learning():
    x = rng.normal(size=(20, 6))
    model = quiet(lambda: decomposition.DictionaryLearning(4, alpha=0.4, transform_algorithm="lasso_lars", random_state=0).fit(x))
    d = model.components_
    assert np.all(np.linalg.norm(d, axis=1) <= 1 + 1e-9)
    c = model.transform(x)
    for one, code in zip(x, c):
        lasso_conditions(d.T, one - code @ d, code, 0.4, 1)
    close(model.error_[-1], 0.5 * ((x - c @ d) ** 2).sum() + 0.4 * np.abs(c).sum(), rtol=1e-2)
    assert decomposition.DictionaryLearning().transform_algorithm == "omp"


@card("sklearn.decomposition.SparseCoder", formula=r"\min_c\ \tfrac12\lVert x-cD\rVert_2^2+\alpha\lVert c\rVert_1")
def sparse_coder():
    d = rng.normal(size=(5, 8))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    x = rng.normal(size=(6, 8))
    codes = decomposition.SparseCoder(d, transform_algorithm="lasso_lars", transform_alpha=0.3).transform(x)
    for one, code in zip(x, codes):
        lasso_conditions(d.T, one - code @ d, code, 0.3, 1)
    assert np.all((decomposition.SparseCoder(d, transform_n_nonzero_coefs=2).transform(x) != 0).sum(axis=1) == 2)


@card(
    "sklearn.decomposition.SparsePCA",
    "sklearn.decomposition.MiniBatchSparsePCA",
    formula=r"\min_{U,V}\ \tfrac12\lVert X-UV\rVert_F^2+\alpha\lVert V\rVert_1,\quad\lVert U_k\rVert\le1",
)
def sparse_pca():
    x = rng.normal(size=(40, 6)) @ np.diag([3, 3, 2, 1, 1, 1])
    model = quiet(lambda: decomposition.SparsePCA(2, alpha=2.0, random_state=0, max_iter=5000, tol=1e-10).fit(x))
    v = model.components_
    norms = np.linalg.norm(v, axis=1, keepdims=True)
    assert np.any(v == 0) and np.all((np.abs(norms - 1) < 1e-6) | (norms == 0)), "components_ are scaled to length 1"
    # error_ is the objective of the card: at V, U solves the constrained least squares.
    assert np.all(np.diff(model.error_) <= 1e-6)
    assert quiet(lambda: decomposition.SparsePCA(2, alpha=1000.0, random_state=0).fit(x)).components_.any() == False  # noqa: E712
    dense = quiet(lambda: decomposition.SparsePCA(2, alpha=1e-6, ridge_alpha=1e-9, random_state=0, max_iter=5000, tol=1e-12).fit(x))
    best = ((centred(x) - decomposition.PCA(2).fit(x).inverse_transform(decomposition.PCA(2).fit_transform(x)) + x.mean(axis=0)) ** 2).sum()
    close(dense.error_[-1], best / 2, rtol=1e-3)


@card("sklearn.decomposition.FactorAnalysis", formula=r"\Sigma=W^{\top}W+\Psi")
def factor_analysis():
    x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=(300, 5)) * [0.2, 0.5, 1, 2, 3]
    model = decomposition.FactorAnalysis(2, random_state=0, max_iter=5000).fit(x)
    w = model.components_
    close(model.get_covariance(), w.T @ w + np.diag(model.noise_variance_))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    close((turn @ w).T @ (turn @ w), w.T @ w)
    scaled = decomposition.FactorAnalysis(2, random_state=0, svd_method="lapack", tol=1e-8, max_iter=5000).fit(x * [1, 1, 1, 1, 100])
    plain = decomposition.FactorAnalysis(2, random_state=0, svd_method="lapack", tol=1e-8, max_iter=5000).fit(x)
    close(scaled.get_covariance()[:4, :4], plain.get_covariance()[:4, :4], rtol=1e-2, atol=1e-2)


@card("sklearn.decomposition.FastICA", formula=r"s=W(x-\mu)")
def fast_ica():
    s = np.c_[np.sign(np.sin(np.linspace(0, 40, 800))), rng.laplace(size=800)]
    x = s @ rng.normal(size=(2, 2)) + 3
    model = decomposition.FastICA(2, random_state=0).fit(x)
    close(model.transform(x), (x - x.mean(axis=0)) @ model.components_.T)
    found = np.abs(np.corrcoef(model.transform(x).T, s.T)[:2, 2:])
    assert found.max(axis=1).min() > 0.98
    close(model.transform(x).var(axis=0), 1, rtol=1e-2)


@card("sklearn.decomposition.IncrementalPCA", formula=r"Z=(X-\mu)V_k")
def incremental_pca():
    x = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)) + 4
    model = decomposition.IncrementalPCA(2, batch_size=20).fit(x)
    close(model.transform(x), (x - x.mean(axis=0)) @ model.components_.T)
    exact = decomposition.PCA(2).fit(x)
    assert np.all(np.abs((model.components_ * exact.components_).sum(axis=1)) > 0.9)
    assert fails(lambda: decomposition.IncrementalPCA(3).partial_fit(x[:2])) and decomposition.IncrementalPCA().fit(x).batch_size_ == 25


@card(
    "sklearn.decomposition.NMF",
    "sklearn.decomposition.MiniBatchNMF",
    formula=r"X\approx WH,\quad\min_{W,H\ge0}\ \tfrac12\lVert X-WH\rVert_F^2",
)
def nmf():
    x = rng.random((12, 6))
    model = quiet(lambda: decomposition.NMF(3, random_state=0, max_iter=5000, tol=1e-10).fit(x))
    w, h = model.transform(x), model.components_
    assert w.min() >= 0 and h.min() >= 0
    close(model.reconstruction_err_, np.linalg.norm(x - w @ h), rtol=1e-3)
    best = 0.5 * ((x - w @ h) ** 2).sum()
    for _ in range(40):
        a, b = np.maximum(0, w + 1e-2 * rng.normal(size=w.shape)), np.maximum(0, h + 1e-2 * rng.normal(size=h.shape))
        assert 0.5 * ((x - a @ b) ** 2).sum() >= best - 1e-4
    assert fails(lambda: decomposition.NMF(2).fit(x - 1)) and quiet(lambda: decomposition.NMF().fit(x)).n_components_ == 6


@card(
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis",
    formula=r"\delta_k(x)=x^{\top}\Sigma^{-1}\mu_k-\tfrac12\mu_k^{\top}\Sigma^{-1}\mu_k+\ln\pi_k",
)
def linear_discriminant():
    x, y = classification(60, 4, 3)
    y[:10] = 0
    model = discriminant_analysis.LinearDiscriminantAnalysis().fit(x, y)
    means = np.array([x[y == k].mean(axis=0) for k in range(3)])
    within = sum((x[y == k] - means[k]).T @ (x[y == k] - means[k]) for k in range(3))
    prior = np.bincount(y) / 60
    inverse = np.linalg.inv(within / 60)
    delta = x @ inverse @ means.T - 0.5 * np.einsum("ki,ij,kj->k", means, inverse, means) + np.log(prior)
    close(model.predict_proba(x), scipy.special.softmax(delta, axis=1))
    assert model.transform(x).shape == (60, 2)
    assert fails(lambda: discriminant_analysis.LinearDiscriminantAnalysis(shrinkage="auto").fit(x, y), NotImplementedError)
    fit = discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x, y)
    assert fails(lambda: fit.transform(x), NotImplementedError)


@card(
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis",
    formula=r"\delta_k(x)=-\tfrac12\ln\lvert\Sigma_k\rvert-\tfrac12(x-\mu_k)^{\top}\Sigma_k^{-1}(x-\mu_k)+\ln\pi_k",
)
def quadratic_discriminant():
    x, y = classification(60, 3, 2)
    model = discriminant_analysis.QuadraticDiscriminantAnalysis().fit(x, y)
    delta = []
    for k in (0, 1):
        mean, cov = x[y == k].mean(axis=0), np.cov(x[y == k].T, bias=True)
        off = x - mean
        delta.append(-0.5 * np.linalg.slogdet(cov)[1] - 0.5 * np.einsum("ij,jk,ik->i", off, np.linalg.inv(cov), off) + math.log(np.mean(y == k)))
    close(model.predict_proba(x), scipy.special.softmax(np.array(delta).T, axis=1))
    few = rng.normal(size=(10, 20))
    assert fails(lambda: discriminant_analysis.QuadraticDiscriminantAnalysis().fit(few, np.arange(10) % 2), np.linalg.LinAlgError)
    shrunk = discriminant_analysis.QuadraticDiscriminantAnalysis(solver="eigen", shrinkage="auto")
    assert quiet(lambda: shrunk.fit(few, np.arange(10) % 2)).predict(few).shape == (10,)


@card("sklearn.dummy.DummyClassifier", "sklearn.dummy.DummyRegressor")
def dummies():
    y = np.r_[np.zeros(9), 1]
    x = np.zeros((10, 1))
    model = dummy.DummyClassifier().fit(x, y)
    assert model.score(x, y) == 0.9 and model.predict_proba(x)[0].tolist() == [0.9, 0.1]
    assert dummy.DummyClassifier(strategy="most_frequent").fit(x, y).predict_proba(x)[0].tolist() == [1, 0]
    close(dummy.DummyRegressor().fit(x, y).predict(x), 0.1)


@card("sklearn.ensemble.IsolationForest", formula=r"s(x)=2^{-E[h(x)]/c(m)}")
def isolation_forest():
    x = np.r_[rng.normal(size=(99, 2)), [[9.0, 9.0]]]
    model = ensemble.IsolationForest(n_estimators=20, max_samples=64, random_state=0).fit(x)

    def c(m):
        return np.where(m <= 1, 0.0, np.where(m == 2, 1.0, 2 * (np.log(np.maximum(m - 1, 1)) + np.euler_gamma) - 2 * (m - 1) / np.maximum(m, 1)))

    depth = np.zeros(100)
    for one in model.estimators_:
        path = np.asarray(one.decision_path(x).sum(axis=1)).ravel() - 1
        depth += path + c(one.tree_.n_node_samples[one.apply(x)])
    score = 2 ** (-depth / 20 / c(np.array(64)))
    close(model.score_samples(x), -score, rtol=1e-5)
    assert np.array_equal(model.predict(x), np.where(score > 0.5, -1, 1)) and model.predict(x)[-1] == -1
    assert model.score_samples(x).argmin() == 99


@card("sklearn.ensemble.RandomTreesEmbedding")
def random_trees_embedding():
    x = rng.normal(size=(50, 3))
    made = ensemble.RandomTreesEmbedding(7, max_depth=3, random_state=0)
    z = made.fit_transform(x, rng.normal(size=50))
    assert np.all(np.asarray(z.sum(axis=1)).ravel() == 7) and z.shape[1] <= 7 * 8
    assert (z != ensemble.RandomTreesEmbedding(7, max_depth=3, random_state=0).fit_transform(x)).nnz == 0


@card(
    "sklearn.feature_extraction.DictVectorizer",
    "sklearn.feature_extraction.FeatureHasher",
    "sklearn.feature_extraction.image.PatchExtractor",
)
def extraction():
    vectorizer = feature_extraction.DictVectorizer(sparse=False)
    assert vectorizer.fit_transform([{"town": "Ulm", "code": 7}, {"town": "Bonn", "code": 9}]).tolist() == [[7, 0, 1], [9, 1, 0]]
    assert vectorizer.transform([{"new": 3}]).tolist() == [[0, 0, 0]]
    hashed = feature_extraction.FeatureHasher(n_features=16, input_type="string").transform([[f"w{i}" for i in range(40)]])
    assert hashed.shape == (1, 16) and hashed.toarray().min() < 0
    images = rng.random((2, 6, 5))
    assert PatchExtractor(patch_size=(3, 2)).transform(images).shape == (2 * 4 * 4, 3, 2)


@card("sklearn.feature_extraction.image.PatchExtractor", formula=r"N_{\text{patches}}=N(H-h+1)(W-w+1)")
def patches():
    for n, h, w, p, q in ((1, 5, 7, 2, 3), (3, 6, 4, 4, 4)):
        assert len(PatchExtractor(patch_size=(p, q)).transform(rng.random((n, h, w)))) == n * (h - p + 1) * (w - q + 1)


def p_values(seed=0):
    x, y = selection_data()
    return x, y, feature_selection.f_classif(x, y)[1]


@card("sklearn.feature_selection.SelectFpr", formula=r"p_j<\alpha")
def select_fpr():
    x, y, p = p_values()
    assert np.array_equal(feature_selection.SelectFpr(alpha=0.05).fit(x, y).get_support(), p < 0.05)
    passed = feature_selection.SelectFpr(alpha=0.05).fit(rng.normal(size=(100, 1000)), np.arange(100) % 2).get_support().sum()
    assert 30 < passed < 70


@card("sklearn.feature_selection.SelectFdr", formula=r"p_{(k)}\le\frac{k}{d}\,\alpha")
def select_fdr():
    x, y, p = p_values()
    order = np.sort(p)
    passing = [k for k in range(1, 11) if order[k - 1] <= k * 0.05 / 10]
    kept = p <= order[max(passing) - 1]
    assert np.array_equal(feature_selection.SelectFdr(alpha=0.05).fit(x, y).get_support(), kept)
    z, text = warned(lambda: feature_selection.SelectFdr(alpha=1e-9).fit_transform(rng.normal(size=(20, 3)), np.arange(20) % 2))
    assert z.shape == (20, 0) and text


@card("sklearn.feature_selection.SelectFwe", formula=r"p_j<\frac{\alpha}{d}")
def select_fwe():
    x, y, p = p_values()
    assert np.array_equal(feature_selection.SelectFwe(alpha=0.05).fit(x, y).get_support(), p < 0.05 / 10)


@card("sklearn.feature_selection.SelectFromModel", formula=r"\lvert w_j\rvert\ge\tau")
def select_from_model():
    x, y = selection_data()
    model = feature_selection.SelectFromModel(linear_model.LogisticRegression()).fit(x, y)
    w = np.abs(model.estimator_.coef_[0])
    assert np.array_equal(model.get_support(), w >= w.mean())
    sparse = feature_selection.SelectFromModel(linear_model.Lasso(0.05)).fit(x, y)
    assert sparse.threshold_ == 1e-5 and np.array_equal(sparse.get_support(), np.abs(sparse.estimator_.coef_) >= 1e-5)
    top = feature_selection.SelectFromModel(linear_model.LogisticRegression(), threshold=-np.inf, max_features=2).fit(x, y)
    assert set(top.get_support(indices=True)) == set(np.argsort(w)[-2:])


@card("sklearn.feature_selection.VarianceThreshold", formula=r"\operatorname{Var}(x_j)>\tau")
def variance_threshold():
    x = rng.normal(size=(30, 4)) * [0, 0.1, 1, 2]
    assert np.array_equal(feature_selection.VarianceThreshold(0.5).fit(x).get_support(), x.var(axis=0) > 0.5)
    assert feature_selection.VarianceThreshold().fit(x).get_support().tolist() == [False, True, True, True]


@card("sklearn.frozen.FrozenEstimator")
def frozen_estimator():
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError

    x, y = regression()
    model = linear_model.Ridge().fit(x, y)
    kept = frozen.FrozenEstimator(model).fit(x, -y)
    close(kept.predict(x), model.predict(x))
    close(clone(kept).predict(x), model.predict(x))
    assert fails(lambda: frozen.FrozenEstimator(linear_model.Ridge()).fit(x, y).predict(x), NotFittedError)


@card("sklearn.gaussian_process.GaussianProcessRegressor", formula=r"\mu_*=k_*^{\top}(K+\alpha I)^{-1}y")
def gaussian_process_regression():
    from sklearn.gaussian_process.kernels import RBF

    x, y = regression(20)
    model = gaussian_process.GaussianProcessRegressor(RBF(1.3), alpha=0.2, optimizer=None).fit(x, y)
    new = rng.normal(size=(5, 3))
    k = gram(x, x, 1 / (2 * 1.3**2))
    close(model.predict(new), gram(new, x, 1 / (2 * 1.3**2)) @ np.linalg.solve(k + 0.2 * np.eye(20), y))
    exact = gaussian_process.GaussianProcessRegressor(RBF(1.0), optimizer=None).fit(x, y)
    close(exact.predict(x), y, rtol=1e-4)
    assert exact.predict(x, return_std=True)[1].max() < 1e-3


@card("sklearn.gaussian_process.GaussianProcessClassifier")
def gaussian_process_classification():
    x, y = classification(30, 2, 3)
    model = gaussian_process.GaussianProcessClassifier().fit(x, y)
    assert model.predict_proba(x).shape == (30, 3)
    assert fails(lambda: gaussian_process.GaussianProcessClassifier(multi_class="one_vs_one").fit(x, y).predict_proba(x))


@card("sklearn.impute.SimpleImputer", "sklearn.impute.IterativeImputer", "sklearn.impute.MissingIndicator")
def imputers():
    n = np.nan
    x = np.array([[n, 1.0, 3], [n, n, 5], [n, 4, 10]])
    assert SimpleImputer(strategy="median").fit(x[:, 1:]).statistics_.tolist() == [2.5, 5]
    assert quiet(lambda: SimpleImputer().fit_transform(x)).shape == (3, 2)
    assert SimpleImputer(keep_empty_features=True).fit_transform(x).shape == (3, 3)
    assert SimpleImputer(add_indicator=True).fit_transform(x[:, 1:]).shape == (3, 3)
    a = rng.normal(size=60)
    z = np.c_[a, 2 * a + 0.01 * rng.normal(size=60)]
    z[::5, 1] = n
    filled = quiet(lambda: IterativeImputer(random_state=0).fit_transform(z))
    assert np.abs(filled[:, 1] - 2 * a).max() < 0.1
    marks = MissingIndicator().fit(x[:, 1:])
    assert marks.transform(x[:, 1:]).tolist() == [[False], [True], [False]] and fails(lambda: marks.transform([[1.0, n]]))


@card("sklearn.impute.KNNImputer", formula=r"\hat x_{ij}=\frac1k\sum_{m\in N_j(i)}x_{mj}")
def knn_imputer():
    x = rng.normal(size=(12, 3))
    truth = x.copy()
    x[0, 2] = np.nan
    d = np.linalg.norm(x[1:, :2] - x[0, :2], axis=1)
    close(KNNImputer(n_neighbors=3).fit_transform(x)[0, 2], truth[1:][np.argsort(d)[:3], 2].mean())


@card(
    "sklearn.isotonic.IsotonicRegression",
    formula=r"\min_{f}\ \sum_iw_i\left(y_i-f(x_i)\right)^2,\quad x_i\le x_j\Rightarrow f(x_i)\le f(x_j)",
)
def isotonic_regression():
    x = np.arange(20.0)
    y = x / 5 + rng.normal(size=20)
    w = rng.random(20) + 0.1
    model = isotonic.IsotonicRegression(out_of_bounds="clip").fit(x, y, sample_weight=w)
    f = model.predict(x)
    assert np.all(np.diff(f) >= 0)
    close(f, scipy.optimize.isotonic_regression(y, weights=w).x)
    assert np.isnan(isotonic.IsotonicRegression().fit([1, 2, 3], [1, 2, 3]).predict([0, 4])).all()
    assert isotonic.IsotonicRegression().fit([1, 3], [1, 2]).predict([2]).tolist() == [1.5]


@card(
    "sklearn.kernel_approximation.RBFSampler",
    formula=r"z_k(x)=\sqrt{\tfrac2D}\cos(w_k\cdot x+b_k),\quad w_k\sim N(0,2\gamma I)",
)
def rbf_sampler():
    x = rng.normal(size=(30, 3))
    model = kernel_approximation.RBFSampler(gamma=0.4, n_components=4000, random_state=0).fit(x)
    w, b = model.random_weights_, model.random_offset_
    z = model.transform(x)
    close(z, np.sqrt(2 / 4000) * np.cos(x @ w + b))
    assert abs(w.var() - 2 * 0.4) < 0.05 and b.min() >= 0 and b.max() <= 2 * np.pi
    assert np.abs(z @ z.T - gram(x, x, 0.4)).max() < 0.1


@card("sklearn.kernel_approximation.Nystroem", formula=r"K\approx K_{nm}\,K_{mm}^{-1}\,K_{nm}^{\top}")
def nystroem():
    x = rng.normal(size=(30, 3))
    model = kernel_approximation.Nystroem(gamma=0.3, n_components=10, random_state=0).fit(x)
    z = model.transform(x)
    some = x[model.component_indices_]
    close(z @ z.T, gram(x, some, 0.3) @ np.linalg.inv(gram(some, some, 0.3)) @ gram(some, x, 0.3), rtol=1e-4, atol=1e-6)


@card("sklearn.kernel_approximation.PolynomialCountSketch", formula=r"z(x)\cdot z(y)\approx(\gamma\,x\cdot y+c_0)^p")
def count_sketch():
    x = rng.normal(size=(20, 4)) / 2
    made = [
        kernel_approximation.PolynomialCountSketch(degree=2, gamma=0.7, coef0=0.5, n_components=500, random_state=s).fit_transform(x)
        for s in range(30)
    ]
    assert np.abs(np.mean([z @ z.T for z in made], axis=0) - (0.7 * x @ x.T + 0.5) ** 2).max() < 0.1


@card("sklearn.kernel_approximation.AdditiveChi2Sampler", formula=r"k(x,y)=\sum_j\frac{2x_jy_j}{x_j+y_j}")
def additive_chi2_sampler():
    x = rng.random((15, 4))
    z = kernel_approximation.AdditiveChi2Sampler(sample_steps=3).fit_transform(x)
    kernel = (2 * x[:, None] * x / (x[:, None] + x)).sum(axis=2)
    assert z.shape == (15, 4 * 5) and np.abs(z @ z.T - kernel).max() < 0.06 * kernel.max()
    assert fails(lambda: kernel_approximation.AdditiveChi2Sampler().fit_transform(-x))


@card("sklearn.kernel_approximation.SkewedChi2Sampler", formula=r"k(x,y)=\prod_j\frac{2\sqrt{x_j+c}\,\sqrt{y_j+c}}{x_j+y_j+2c}")
def skewed_chi2_sampler():
    x = rng.random((15, 3))
    c = 0.5
    z = kernel_approximation.SkewedChi2Sampler(skewedness=c, n_components=20000, random_state=0).fit_transform(x)
    kernel = (2 * np.sqrt(x[:, None] + c) * np.sqrt(x + c) / (x[:, None] + x + 2 * c)).prod(axis=2)
    assert np.abs(z @ z.T - kernel).max() < 0.05
    assert fails(lambda: kernel_approximation.SkewedChi2Sampler(skewedness=0.1).fit_transform(x - 1))


@card("sklearn.kernel_ridge.KernelRidge", formula=r"\hat f(x)=\sum_ia_ik(x_i,x),\quad a=(K+\alpha I)^{-1}y")
def kernel_ridge_regression():
    x, y = regression(20)
    model = kernel_ridge.KernelRidge(alpha=0.3, kernel="rbf", gamma=0.2).fit(x, y)
    a = np.linalg.solve(gram(x, x, 0.2) + 0.3 * np.eye(20), y)
    new = rng.normal(size=(4, 3))
    close(model.predict(new), gram(new, x, 0.2) @ a)
    assert kernel_ridge.KernelRidge().kernel == "linear"
    assert abs(np.mean(kernel_ridge.KernelRidge().fit(x, y + 100).predict(x) - y - 100)) > 10, "no intercept"


