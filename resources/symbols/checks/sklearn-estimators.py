"""Executed claims of the cards of scikit-learn's estimators and model selection."""

import itertools
import math
import warnings

import numpy as np
import scipy.cluster.hierarchy
import scipy.optimize
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
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.image import PatchExtractor
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
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
        lambda w: ((yc - xc @ w) ** 2).sum() / (2 * n) + a * r * np.abs(w).sum() + a * (1 - r) / 2 * (w**2).sum(),
        model.coef_,
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
    assert preprocessing.PolynomialFeatures(2, interaction_only=True, include_bias=False).fit_transform(
        [[2.0, 3.0]]
    ).tolist() == [[2, 3, 6]]


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
    assert preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(x).transform(
        [["new"]]
    ).tolist() == [[0, 0, 0]]
    assert preprocessing.OneHotEncoder(drop="first").fit_transform(x).shape == (3, 2)
    assert preprocessing.OneHotEncoder(drop="if_binary").fit_transform(x).shape == (3, 3)
    ordinal = preprocessing.OrdinalEncoder().fit(x)
    assert ordinal.transform([["high"], ["low"], ["medium"]]).ravel().tolist() == [0, 1, 2] and fails(
        lambda: ordinal.transform([["new"]])
    )
    given = preprocessing.OrdinalEncoder(
        categories=[["low", "medium", "high"]], handle_unknown="use_encoded_value", unknown_value=-1
    )
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
    assert (
        set(chosen) == set(np.argsort(f)[-3:])
        and feature_selection.SelectKBest().score_func is feature_selection.f_classif
    )
    assert feature_selection.SelectPercentile(percentile=30).fit_transform(x, y).shape == (80, 3)
    assert feature_selection.SelectPercentile(percentile=0.1).fit(x, y).get_support(indices=True).tolist() == [
        f.argmax()
    ]
    assert feature_selection.GenericUnivariateSelect().fit(x, y).get_support(indices=True).tolist() == [f.argmax()]
    assert fails(lambda: feature_selection.GenericUnivariateSelect(mode="k_best").fit_transform(x, y))
    rfe = feature_selection.RFE(linear_model.LogisticRegression(), n_features_to_select=4).fit(x, y)
    assert (
        rfe.support_.sum() == 4
        and feature_selection.RFE(linear_model.LogisticRegression()).fit(x, y).support_.sum() == 5
    )
    assert fails(lambda: feature_selection.RFE(svm.SVC()).fit(x, y)) and feature_selection.RFE(
        svm.SVC(kernel="linear")
    ).fit(x, y)
    assert (
        feature_selection.SequentialFeatureSelector(naive_bayes.GaussianNB(), cv=2).fit(x, y).get_support().sum() == 5
    )
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
    close(
        preprocessing.StandardScaler().fit_transform(x),
        (x - x.mean(axis=0)) / np.sqrt(((x - x.mean(axis=0)) ** 2).mean(axis=0)),
    )


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
    z, p = (
        decomposition.TruncatedSVD(3, algorithm="arpack").fit_transform(centred(x)),
        decomposition.PCA(3).fit_transform(x),
    )
    close(np.abs(z), np.abs(p))


@card(
    "sklearn.linear_model.SGDClassifier",
    "sklearn.linear_model.SGDRegressor",
    formula=r"\min_{w,b}\ \tfrac1n\sum_i L(y_i,\,w\cdot x_i+b)+\alpha R(w)",
)
def sgd():
    x, y = regression(400)
    x, y = centred(x), centred(y)
    model = linear_model.SGDRegressor(alpha=0.1, tol=None, max_iter=3000, eta0=1e-2, random_state=0, average=True).fit(
        x, y
    )

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
    assert fails(lambda: compute_class_weight("balanced", classes=[0, 1, 2], y=y))


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
    model = quiet(
        lambda: neural_network.MLPRegressor(
            hidden_layer_sizes=(7,), activation="tanh", max_iter=30, random_state=0
        ).fit(x, y)
    )
    (w1, w2), (b1, b2) = model.coefs_, model.intercepts_
    close(model.predict(x), (np.tanh(x @ w1 + b1) @ w2 + b2).ravel())
    a, c = classification(60, classes=3)
    net = quiet(lambda: neural_network.MLPClassifier((7,), max_iter=30, random_state=0).fit(a, c))
    (w1, w2), (b1, b2) = net.coefs_, net.intercepts_
    close(net.predict_proba(a), scipy.special.softmax(np.maximum(a @ w1 + b1, 0) @ w2 + b2, axis=1))
    assert "Maximum iterations (5)" in warned(lambda: neural_network.MLPClassifier((7,), max_iter=5).fit(a, c))[1]
    # The penalty is (alpha/2)·Σw², divided by the number of samples; the squared error is halved.
    small = neural_network.MLPRegressor(
        hidden_layer_sizes=(3,),
        alpha=0.5,
        solver="lbfgs",
        activation="identity",
        max_iter=20000,
        tol=1e-12,
        random_state=0,
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
        is_minimum(
            lambda p: 0.5 * (p[:3] ** 2).sum() + c * np.logaddexp(0, -sign * (x @ p[:3] + p[3])).sum(),
            point,
            tolerance=1e-8,
        )
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
        lambda: linear_model.LogisticRegressionCV(
            Cs=3, l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False
        ).fit(x, y)
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
            lambda p: 0.5 * (p[:3] ** 2).sum() + c * np.maximum(0, 1 - sign * (x @ p[:3] + p[3])).sum(),
            point,
            tolerance=1e-5,
        )
    gamma = 1 / (3 * x.var())
    curved = svm.SVC().fit(x, y)
    close(
        curved.decision_function(x), gram(x, curved.support_vectors_, gamma) @ curved.dual_coef_[0] + curved.intercept_
    )
    assert "1.9" in warned(lambda: svm.SVC(probability=True).fit(x, y))[1] and fails(
        lambda: svm.SVC().fit(x, y).predict_proba(x)
    )
    z = np.arange(60) % 4
    assert svm.SVC().fit(x, z).decision_function(x).shape == (60, 4)
    assert svm.SVC(decision_function_shape="ovo").fit(x, z).decision_function(x).shape == (60, 6)


@card(
    "sklearn.svm.LinearSVC", formula=r"\min_{w,b}\ \tfrac12\lVert w\rVert^2+\tfrac12b^2+C\sum_i\max(0,\,1-y_if(x_i))^2"
)
def linear_svc():
    x, y = classification(60)
    sign = np.where(y == 1, 1, -1)
    model = svm.LinearSVC(C=0.7, tol=1e-10, max_iter=100000).fit(x, y)
    point = np.r_[model.coef_[0], model.intercept_]
    is_minimum(
        lambda p: 0.5 * (p**2).sum() + 0.7 * (np.maximum(0, 1 - sign * (x @ p[:3] + p[3])) ** 2).sum(),
        point,
        tolerance=1e-6,
    )
    assert fails(lambda: model.predict_proba(x))
    assert np.abs(model.coef_ - svm.SVC(C=0.7, kernel="linear").fit(x, y).coef_).max() > 1e-3


@card(
    "sklearn.svm.SVR",
    formula=r"\min_{w,b}\ \tfrac12\lVert w\rVert^2+C\sum_i\max(0,\,\lvert y_i-f(x_i)\rvert-\varepsilon)",
)
def svr():
    x, y = regression()
    model = svm.SVR(kernel="linear", C=0.6, epsilon=0.2, tol=1e-8).fit(x, y)
    point = np.r_[model.coef_[0], model.intercept_]
    is_minimum(
        lambda p: 0.5 * (p[:3] ** 2).sum() + 0.6 * np.maximum(0, np.abs(y - x @ p[:3] - p[3]) - 0.2).sum(),
        point,
        tolerance=1e-5,
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
    assert (
        "no effect"
        in warned(lambda: ensemble.GradientBoostingRegressor(n_estimators=1, criterion="squared_error").fit(x, y))[1]
    )
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
    out = np.column_stack(
        [model_selection.cross_val_predict(m, x, y, cv=3, method="predict_proba")[:, 1] for _, m in models]
    )
    close(stack.final_estimator_.coef_, linear_model.LogisticRegression().fit(out, y).coef_)
    close(stack.estimators_[1].coef_, linear_model.LogisticRegression().fit(x, y).coef_)
    assert isinstance(stack.final_estimator_, linear_model.LogisticRegression)
    a, b = regression()
    assert isinstance(
        ensemble.StackingRegressor([("r", linear_model.Ridge())]).fit(a, b).final_estimator_, linear_model.RidgeCV
    )
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
    vote = ensemble.VotingRegressor(
        [("r", linear_model.Ridge()), ("t", tree.DecisionTreeRegressor())], weights=[1, 3]
    ).fit(a, b)
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
        [
            np.mean(y == c)
            * scipy.stats.norm.pdf(x, x[y == c].mean(axis=0), np.sqrt(x[y == c].var(axis=0) + extra)).prod(axis=1)
            for c in range(3)
        ]
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
        w * scipy.stats.multivariate_normal(m, c).pdf(x)
        for w, m, c in zip(model.weights_, model.means_, model.covariances_)
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
    model = mixture.BayesianGaussianMixture(
        n_components=6, random_state=0, max_iter=1000, weight_concentration_prior=1e-3
    ).fit(x)
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
    assert fails(lambda: CountVectorizer().fit("one string")) and list(
        CountVectorizer().fit(["今天天气"]).vocabulary_
    ) == ["今天天气"]
    assert CountVectorizer(ngram_range=(1, 2)).fit(["red fish"]).get_feature_names_out().tolist() == [
        "fish",
        "red",
        "red fish",
    ]
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
    similarity = -(cdist(x, x) ** 2)
    model = cluster.AffinityPropagation(random_state=0).fit(x)
    off = ~np.eye(40, dtype=bool)
    close(model.affinity_matrix_[off], similarity[off])
    same = cluster.AffinityPropagation(affinity="precomputed", preference=np.median(similarity), random_state=0).fit(
        similarity
    )
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


@card(
    "sklearn.cluster.Birch",
    formula=r"r=\sqrt{\tfrac{\sum\lVert x\rVert^2}{n}-\left\lVert\tfrac{\sum x}{n}\right\rVert^2}",
)
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
    close(
        model.inertia_,
        sum(((x[model.labels_ == k] - x[model.labels_ == k].mean(axis=0)) ** 2).sum() for k in range(7)),
        rtol=1e-3,
    )
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


@card(
    "sklearn.compose.TransformedTargetRegressor",
    formula=r"\hat y=g^{-1}\left(f(x)\right),\quad f\ \text{fitted to}\ g(y)",
)
def transformed_target():
    x, _ = regression(300, 2)
    y = np.exp(x[:, 0] + rng.normal(size=300))
    model = compose.TransformedTargetRegressor(linear_model.LinearRegression(), func=np.log, inverse_func=np.exp).fit(
        x, y
    )
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


@card(
    "sklearn.covariance.MinCovDet",
    "sklearn.covariance.EllipticEnvelope",
    formula=r"d^2(x)=(x-\mu)^{\top}\Sigma^{-1}(x-\mu)",
)
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
    model = quiet(
        lambda: decomposition.DictionaryLearning(4, alpha=0.4, transform_algorithm="lasso_lars", random_state=0).fit(x)
    )
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
    dense = quiet(
        lambda: decomposition.SparsePCA(2, alpha=1e-6, ridge_alpha=1e-9, random_state=0, max_iter=5000, tol=1e-12).fit(
            x
        )
    )
    best = (
        (
            centred(x)
            - decomposition.PCA(2).fit(x).inverse_transform(decomposition.PCA(2).fit_transform(x))
            + x.mean(axis=0)
        )
        ** 2
    ).sum()
    close(dense.error_[-1], best / 2, rtol=1e-3)


@card("sklearn.decomposition.FactorAnalysis", formula=r"\Sigma=W^{\top}W+\Psi")
def factor_analysis():
    x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=(300, 5)) * [0.2, 0.5, 1, 2, 3]
    model = decomposition.FactorAnalysis(2, random_state=0, max_iter=5000).fit(x)
    w = model.components_
    close(model.get_covariance(), w.T @ w + np.diag(model.noise_variance_))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    close((turn @ w).T @ (turn @ w), w.T @ w)
    exact = decomposition.FactorAnalysis(2, svd_method="lapack", tol=1e-6, max_iter=20000)
    scaled, plain = (quiet(lambda: clone(exact).fit(data)) for data in (x * [1, 1, 1, 1, 100], x))
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
    assert (
        fails(lambda: decomposition.IncrementalPCA(3).partial_fit(x[:2]))
        and decomposition.IncrementalPCA().fit(x).batch_size_ == 25
    )


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
    assert (
        fails(lambda: decomposition.NMF(2).fit(x - 1)) and quiet(lambda: decomposition.NMF().fit(x)).n_components_ == 6
    )


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
    assert fails(
        lambda: discriminant_analysis.LinearDiscriminantAnalysis(shrinkage="auto").fit(x, y), NotImplementedError
    )
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
        delta.append(
            -0.5 * np.linalg.slogdet(cov)[1]
            - 0.5 * np.einsum("ij,jk,ik->i", off, np.linalg.inv(cov), off)
            + math.log(np.mean(y == k))
        )
    close(model.predict_proba(x), scipy.special.softmax(np.array(delta).T, axis=1))
    few = rng.normal(size=(10, 20))
    assert fails(
        lambda: discriminant_analysis.QuadraticDiscriminantAnalysis().fit(few, np.arange(10) % 2), np.linalg.LinAlgError
    )
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
        return np.where(
            m <= 1,
            0.0,
            np.where(m == 2, 1.0, 2 * (np.log(np.maximum(m - 1, 1)) + np.euler_gamma) - 2 * (m - 1) / np.maximum(m, 1)),
        )

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
    assert vectorizer.fit_transform([{"town": "Ulm", "code": 7}, {"town": "Bonn", "code": 9}]).tolist() == [
        [7, 0, 1],
        [9, 1, 0],
    ]
    assert vectorizer.transform([{"new": 3}]).tolist() == [[0, 0, 0]]
    hashed = feature_extraction.FeatureHasher(n_features=16, input_type="string").transform(
        [[f"w{i}" for i in range(40)]]
    )
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
    passed = (
        feature_selection.SelectFpr(alpha=0.05)
        .fit(rng.normal(size=(100, 1000)), np.arange(100) % 2)
        .get_support()
        .sum()
    )
    assert 30 < passed < 70


@card("sklearn.feature_selection.SelectFdr", formula=r"p_{(k)}\le\frac{k}{d}\,\alpha")
def select_fdr():
    x, y, p = p_values()
    order = np.sort(p)
    passing = [k for k in range(1, 11) if order[k - 1] <= k * 0.05 / 10]
    kept = p <= order[max(passing) - 1]
    assert np.array_equal(feature_selection.SelectFdr(alpha=0.05).fit(x, y).get_support(), kept)
    z, text = warned(
        lambda: feature_selection.SelectFdr(alpha=1e-9).fit_transform(rng.normal(size=(20, 3)), np.arange(20) % 2)
    )
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
    top = feature_selection.SelectFromModel(linear_model.LogisticRegression(), threshold=-np.inf, max_features=2).fit(
        x, y
    )
    assert set(top.get_support(indices=True)) == set(np.argsort(w)[-2:])


@card("sklearn.feature_selection.VarianceThreshold", formula=r"\operatorname{Var}(x_j)>\tau")
def variance_threshold():
    x = rng.normal(size=(30, 4)) * [0, 0.1, 1, 2]
    assert np.array_equal(feature_selection.VarianceThreshold(0.5).fit(x).get_support(), x.var(axis=0) > 0.5)
    assert feature_selection.VarianceThreshold().fit(x).get_support().tolist() == [False, True, True, True]


@card("sklearn.frozen.FrozenEstimator")
def frozen_estimator():
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
    assert fails(
        lambda: gaussian_process.GaussianProcessClassifier(multi_class="one_vs_one").fit(x, y).predict_proba(x)
    )


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
    assert marks.transform(x[:, 1:]).tolist() == [[False], [True], [False]] and fails(
        lambda: marks.transform([[1.0, n]])
    )


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
        kernel_approximation.PolynomialCountSketch(
            degree=2, gamma=0.7, coef0=0.5, n_components=500, random_state=s
        ).fit_transform(x)
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


@card(
    "sklearn.kernel_approximation.SkewedChi2Sampler",
    formula=r"k(x,y)=\prod_j\frac{2\sqrt{x_j+c}\,\sqrt{y_j+c}}{x_j+y_j+2c}",
)
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


@card("sklearn.linear_model.LinearRegression", formula=r"\min_{w,b}\ \lVert y-Xw-b\rVert_2^2")
def linear_regression():
    x, y = regression()
    model = linear_model.LinearRegression().fit(x, y)
    solution = np.linalg.lstsq(np.c_[x, np.ones(40)], y)[0]
    close(np.r_[model.coef_, model.intercept_], solution)
    twins = np.c_[x[:, 0], x[:, 0] + 1e-4 * rng.normal(size=40)]
    assert (
        np.abs(linear_model.LinearRegression().fit(twins, y).coef_).max()
        > 100
        > np.abs(linear_model.Ridge().fit(twins, y).coef_).max()
    )


@card("sklearn.linear_model.RidgeClassifier", formula=r"\hat y=\operatorname{sign}(w\cdot x+b)")
def ridge_classifier():
    x, y = classification()
    model = linear_model.RidgeClassifier(alpha=2.0).fit(x, y)
    close(model.coef_.ravel(), linear_model.Ridge(alpha=2.0).fit(x, np.where(y == 1, 1, -1)).coef_)
    assert np.array_equal(model.predict(x) == 1, x @ model.coef_.ravel() + model.intercept_ > 0)
    assert not hasattr(model, "predict_proba")


@card(
    "sklearn.linear_model.RidgeCV",
    "sklearn.linear_model.RidgeClassifierCV",
    formula=r"e_i^{\mathrm{LOO}}=\frac{y_i-\hat y_i}{1-h_{ii}}",
)
def ridge_cv():
    x, y = regression()
    model = linear_model.RidgeCV(alphas=[0.5, 5.0], store_cv_results=True).fit(x, y)
    for k, alpha in enumerate((0.5, 5.0)):
        xc = centred(x)
        h = np.diag(xc @ np.linalg.solve(xc.T @ xc + alpha * np.eye(3), xc.T)) + 1 / 40
        fit = linear_model.Ridge(alpha=alpha).fit(x, y)
        errors = (y - fit.predict(x)) / (1 - h)
        close(model.cv_results_[:, k], errors**2)
        rest = np.arange(40) != 7
        close(errors[7], y[7] - linear_model.Ridge(alpha=alpha).fit(x[rest], y[rest]).predict(x[7:8])[0])
    assert linear_model.RidgeCV().alphas == (0.1, 1.0, 10.0) == linear_model.RidgeClassifierCV().alphas


@card(
    "sklearn.linear_model.LassoCV",
    "sklearn.linear_model.ElasticNetCV",
    formula=r"\alpha_{\max}=\max_j\frac{\lvert x_j^{\top}y\rvert}{n\rho}",
)
def lasso_cv():
    x, y = regression()
    top = np.abs(centred(x).T @ centred(y)).max() / 40
    lasso, net = linear_model.LassoCV(cv=40).fit(x, y), linear_model.ElasticNetCV(l1_ratio=0.3, eps=0.01).fit(x, y)
    close((lasso.alphas_[0], lasso.alphas_[-1]), (top, top * 1e-3))
    close((net.alphas_[0], net.alphas_[-1]), (top / 0.3, top / 0.3 * 0.01))
    close(lasso.alpha_, lasso.alphas_[lasso.mse_path_.mean(axis=1).argmin()])
    assert not np.any(linear_model.Lasso(alpha=top * 1.0001).fit(x, y).coef_) and np.any(
        linear_model.Lasso(alpha=top * 0.99, tol=1e-10).fit(x, y).coef_
    )


@card(
    "sklearn.linear_model.Lars",
    "sklearn.linear_model.LarsCV",
    formula=r"\lvert x_j^{\top}r\rvert=\max_k\lvert x_k^{\top}r\rvert,\quad j\ \text{active}",
)
def lars():
    x, y = regression(40, 5)
    model = linear_model.Lars().fit(x, y)
    xc, yc = centred(x), centred(y)
    for step in range(1, 5):
        correlation = np.abs(xc.T @ (yc - xc @ model.coef_path_[:, step]))
        close(correlation[model.active_[: step + 1]], correlation.max())
    close(model.coef_, linear_model.LinearRegression().fit(x, y).coef_)
    assert np.sum(linear_model.Lars(n_nonzero_coefs=2).fit(x, y).coef_ != 0) == 2
    assert linear_model.LarsCV(cv=3).fit(x, y).coef_.shape == (5,)


@card(
    "sklearn.linear_model.LassoLars",
    "sklearn.linear_model.LassoLarsCV",
    formula=r"\min_{w}\ \tfrac1{2n}\lVert y-Xw\rVert_2^2+\alpha\lVert w\rVert_1",
)
def lasso_lars():
    x, y = regression(40, 5)
    model = linear_model.LassoLars(alpha=0.1).fit(x, y)
    lasso_conditions(centred(x), y - model.predict(x), model.coef_, 0.1, 40)
    close(model.coef_, linear_model.Lasso(alpha=0.1, tol=1e-10).fit(x, y).coef_, rtol=1e-5, atol=1e-7)
    assert linear_model.LassoLarsCV(cv=3).fit(x, y).coef_.shape == (5,)


@card("sklearn.linear_model.LassoLarsIC", formula=r"n\ln(2\pi\sigma^2)+\frac{\mathrm{RSS}}{\sigma^2}+c\,k")
def lasso_lars_ic():
    x, y = regression(60, 5)
    x[:, 3:] = rng.normal(size=(60, 2))
    rest = centred(y) - centred(x) @ np.linalg.lstsq(centred(x), centred(y))[0]
    sigma2 = (rest**2).sum() / (60 - 5 - 1)
    for name, c in (("aic", 2), ("bic", math.log(60))):
        model = linear_model.LassoLarsIC(name).fit(x, y)
        close(model.noise_variance_, sigma2)
        values = []
        for alpha in model.alphas_:
            w = (
                linear_model.LassoLars(alpha=alpha).fit(x, y).coef_
                if alpha > 1e-12
                else linear_model.LinearRegression().fit(x, y).coef_
            )
            rss = ((centred(y) - centred(x) @ w) ** 2).sum()
            values.append(60 * math.log(2 * math.pi * sigma2) + rss / sigma2 + c * np.sum(np.abs(w) > 1e-10))
        close(model.criterion_, values, rtol=1e-5)
        close(model.alpha_, model.alphas_[np.argmin(values)])
    assert fails(lambda: linear_model.LassoLarsIC().fit(x[:4], y[:4]))


@card(
    "sklearn.linear_model.OrthogonalMatchingPursuit",
    "sklearn.linear_model.OrthogonalMatchingPursuitCV",
    formula=r"\min_w\ \lVert y-Xw\rVert_2^2\quad\text{s.t.}\ \lVert w\rVert_0\le k",
)
def omp():
    x, y = regression(40, 8)
    model = linear_model.OrthogonalMatchingPursuit(n_nonzero_coefs=3).fit(x, y)
    xc, yc = centred(x), centred(y)
    chosen, r = [], yc
    for _ in range(3):
        chosen.append(int(np.argmax(np.abs(xc.T @ r))))
        w = np.linalg.lstsq(xc[:, chosen], yc)[0]
        r = yc - xc[:, chosen] @ w
    close(model.coef_[chosen], w)
    assert np.sum(model.coef_ != 0) == 3
    wide = linear_model.OrthogonalMatchingPursuit().fit(rng.normal(size=(40, 30)), y)
    assert np.sum(wide.coef_ != 0) == 3
    assert linear_model.OrthogonalMatchingPursuitCV(cv=3).fit(x, y).n_nonzero_coefs_ >= 1


@card(
    "sklearn.linear_model.BayesianRidge", formula=r"\bar w=\left(X^{\top}X+\tfrac\lambda\alpha I\right)^{-1}X^{\top}y"
)
def bayesian_ridge():
    x, y = regression()
    model = linear_model.BayesianRidge().fit(x, y)
    xc = centred(x)
    close(
        model.coef_, np.linalg.solve(xc.T @ xc + model.lambda_ / model.alpha_ * np.eye(3), xc.T @ centred(y)), rtol=1e-4
    )
    assert abs(1 / math.sqrt(model.alpha_) - 0.5) < 0.2, "alpha_ is the precision of the noise"
    assert model.predict(x, return_std=True)[1].shape == (40,)


@card(
    "sklearn.linear_model.ARDRegression",
    formula=r"\bar w=\left(X^{\top}X+\tfrac1\alpha\operatorname{diag}(\lambda)\right)^{-1}X^{\top}y",
)
def ard():
    x, y = regression(60, 5)
    y = x[:, 0] * 2 + 0.3 * rng.normal(size=60)
    model = linear_model.ARDRegression().fit(x, y)
    kept = model.coef_ != 0
    xc = centred(x)[:, kept]
    close(
        model.coef_[kept],
        np.linalg.solve(xc.T @ xc + np.diag(model.lambda_[kept]) / model.alpha_, xc.T @ centred(y)),
        rtol=1e-3,
    )
    assert 0 < kept.sum() < 5


@card(
    "sklearn.linear_model.MultiTaskLasso",
    "sklearn.linear_model.MultiTaskElasticNet",
    "sklearn.linear_model.MultiTaskLassoCV",
    "sklearn.linear_model.MultiTaskElasticNetCV",
    formula=r"\min_W\tfrac1{2n}\lVert Y-XW\rVert_F^2+\alpha\rho\lVert W\rVert_{21}+\tfrac{\alpha(1-\rho)}2\lVert W\rVert_F^2",
)
def multi_task():
    x = rng.normal(size=(40, 5))
    y = x[:, :2] @ rng.normal(size=(2, 3)) + 0.5 * rng.normal(size=(40, 3))
    xc, yc = centred(x), centred(y)
    for model, rho in (
        (linear_model.MultiTaskLasso(0.3, tol=1e-10), 1),
        (linear_model.MultiTaskElasticNet(0.3, l1_ratio=0.4, tol=1e-10), 0.4),
    ):
        w = model.fit(x, y).coef_.T

        def objective(v):
            rows = np.linalg.norm(v, axis=1).sum()
            return ((yc - xc @ v) ** 2).sum() / 80 + 0.3 * rho * rows + 0.3 * (1 - rho) / 2 * (v**2).sum()

        is_minimum(objective, w, tolerance=1e-9)
    together = linear_model.MultiTaskLasso(0.5).fit(x, y).coef_ != 0
    assert np.all(together == together[0]) and fails(lambda: linear_model.MultiTaskLasso().fit(x, y[:, 0]))
    assert (
        linear_model.MultiTaskLassoCV(cv=3, alphas=5).fit(x, y).coef_.shape
        == (3, 5)
        == linear_model.MultiTaskElasticNetCV(cv=3, alphas=5).fit(x, y).coef_.shape
    )


@card(
    "sklearn.linear_model.HuberRegressor",
    formula=r"\min_{w,\sigma}\ \sum_i\left(\sigma+H_\varepsilon\!\left(\tfrac{y_i-w\cdot x_i}{\sigma}\right)\sigma\right)+\alpha\lVert w\rVert^2",
)
def huber():
    x, y = regression()
    y[:4] += 30
    model = linear_model.HuberRegressor(epsilon=1.5, alpha=0.1, tol=1e-10, max_iter=10000).fit(x, y)

    def objective(p):
        z = np.abs(y - x @ p[:3] - p[3]) / p[4]
        h = np.where(z < 1.5, z**2, 2 * 1.5 * z - 1.5**2)
        return np.sum(p[4] + h * p[4]) + 0.1 * (p[:3] ** 2).sum()

    is_minimum(objective, np.r_[model.coef_, model.intercept_, model.scale_], scale=1e-2, tolerance=1e-5)
    assert model.outliers_[:4].all()
    plain = linear_model.LinearRegression().fit(x, y)
    assert abs(model.intercept_ - 1.5) < 0.5 < abs(plain.intercept_ - 1.5)
    lever = np.r_[x[:, :1], [[1000.0]]]
    target = np.r_[x[:, 0] * 2, -5.0]
    assert abs(linear_model.HuberRegressor(max_iter=10000).fit(lever, target).coef_[0]) < 0.2, (
        "one far-off feature value turns the line"
    )


@card(
    "sklearn.linear_model.QuantileRegressor",
    formula=r"\min_{w,b}\ \tfrac1n\sum_i\rho_q(y_i-w\cdot x_i-b)+\alpha\lVert w\rVert_1",
)
def quantile_regression():
    x, y = regression()
    model = linear_model.QuantileRegressor(quantile=0.8, alpha=0.05).fit(x, y)

    def objective(p):
        e = y - x @ p[:3] - p[3]
        return np.maximum(0.8 * e, -0.2 * e).mean() + 0.05 * np.abs(p[:3]).sum()

    is_minimum(objective, np.r_[model.coef_, model.intercept_], tolerance=1e-9)
    assert np.mean(y <= linear_model.QuantileRegressor(quantile=0.8, alpha=0).fit(x, y).predict(x) + 1e-9) >= 0.75
    assert not np.any(linear_model.QuantileRegressor().fit(x, y).coef_), "alpha=1 sets everything to 0 on these data"


@card("sklearn.linear_model.RANSACRegressor", "sklearn.linear_model.TheilSenRegressor")
def robust_regression():
    x = rng.normal(size=(60, 1))
    y = 2 * x[:, 0] + 0.1 * rng.normal(size=60)
    y[:12] += 20
    ransac = linear_model.RANSACRegressor(residual_threshold=0.5, random_state=0).fit(x, y)
    assert not ransac.inlier_mask_[:12].any() and abs(ransac.estimator_.coef_[0] - 2) < 0.1
    free = linear_model.RANSACRegressor(random_state=0).fit(x, y)
    threshold = np.median(np.abs(y - np.median(y)))
    assert np.array_equal(free.inlier_mask_, np.abs(y - free.predict(x)) <= threshold)
    theil = linear_model.TheilSenRegressor(random_state=0).fit(x, y)
    assert abs(theil.coef_[0] - 2) < 0.3 and 0.28 < theil.breakdown_ < 0.32
    wide = linear_model.TheilSenRegressor(random_state=0, max_subpopulation=50).fit(rng.normal(size=(60, 10)), y)
    assert wide.breakdown_ < 0.07
    close(
        linear_model.TheilSenRegressor(n_subsamples=60).fit(x, y).coef_, linear_model.LinearRegression().fit(x, y).coef_
    )


@card(
    "sklearn.linear_model.PoissonRegressor",
    "sklearn.linear_model.GammaRegressor",
    "sklearn.linear_model.TweedieRegressor",
    formula=r"\min_{w,b}\ \tfrac1{2n}\sum_id(y_i,\hat y_i)+\tfrac\alpha2\lVert w\rVert^2,\quad\hat y=e^{w\cdot x+b}",
)
def generalised_linear():
    x = rng.normal(size=(60, 3)) / 2
    y = rng.poisson(np.exp(x[:, 0])) + 0.0
    positive = y + 0.1 + rng.random(60)
    for model, target, power in (
        (linear_model.PoissonRegressor(alpha=0.2, tol=1e-9, max_iter=10000), y, 1),
        (linear_model.GammaRegressor(alpha=0.2, tol=1e-9, max_iter=10000), positive, 2),
        (linear_model.TweedieRegressor(power=1.5, alpha=0.2, tol=1e-9, max_iter=10000), y, 1.5),
    ):
        model.fit(x, target)
        point = np.r_[model.coef_, model.intercept_]
        close(model.predict(x), np.exp(x @ point[:3] + point[3]))
        is_minimum(
            lambda p: (
                metrics.mean_tweedie_deviance(target, np.exp(x @ p[:3] + p[3]), power=power) / 2
                + 0.1 * (p[:3] ** 2).sum()
            ),
            point,
            tolerance=1e-9,
        )
    assert fails(lambda: linear_model.GammaRegressor().fit(x, y * 0)) and fails(
        lambda: linear_model.PoissonRegressor().fit(x, y - 5)
    )


@card(
    "sklearn.linear_model.PassiveAggressiveClassifier",
    "sklearn.linear_model.PassiveAggressiveRegressor",
    formula=r"w\leftarrow w+\tau\,y\,x,\quad\tau=\min\left(C,\ \frac{\max(0,\,1-y\,w\cdot x)}{\lVert x\rVert^2}\right)",
)
def passive_aggressive():
    x, y = classification(30)
    made, text = warned(
        lambda: linear_model.PassiveAggressiveClassifier(
            C=0.4, max_iter=1, tol=None, shuffle=False, fit_intercept=False
        ).fit(x, y)
    )
    assert "1.8" in text and "1.10" in text
    w = np.zeros(3)
    for one, sign in zip(x, np.where(y == 1, 1, -1)):
        w = w + min(0.4, max(0, 1 - sign * (w @ one)) / (one @ one)) * sign * one
    close(made.coef_[0], w)
    new = quiet(
        lambda: linear_model.SGDClassifier(
            loss="hinge",
            penalty=None,
            learning_rate="pa1",
            eta0=0.4,
            max_iter=1,
            tol=None,
            shuffle=False,
            fit_intercept=False,
        ).fit(x, y)
    )
    close(new.coef_[0], w)


@card("sklearn.linear_model.SGDOneClassSVM", "sklearn.svm.OneClassSVM", "sklearn.svm.NuSVC", "sklearn.svm.NuSVR")
def nu_machines():
    x, y = classification(100)
    for nu in (0.1, 0.3):
        one = svm.OneClassSVM(nu=nu, tol=1e-6).fit(x)
        assert np.mean(one.predict(x) == -1) <= nu + 0.03 and len(one.support_) / 100 >= nu - 1e-9
        made = svm.NuSVC(nu=nu, tol=1e-6).fit(x, y)
        assert len(made.support_) / 100 >= nu - 1e-9
        a, b = regression(100)
        tube = svm.NuSVR(nu=nu, tol=1e-6).fit(a, b)
        assert len(tube.support_) / 100 >= nu - 1e-9
    assert 0.4 < np.mean(svm.OneClassSVM().fit(x).predict(x) == -1) < 0.55
    rare = np.r_[np.ones(10), np.zeros(90)]
    assert fails(lambda: svm.NuSVC().fit(x, rare)) and svm.NuSVC(nu=0.19).fit(x, rare)
    flat = linear_model.SGDOneClassSVM(nu=0.2, random_state=0).fit(x)
    assert set(flat.predict(x)) == {1, -1} and flat.coef_.shape == (3,)


@card("sklearn.svm.NuSVC", formula=r"f(x)=\sum_i\alpha_iy_iK(x_i,x)+b")
def nu_svc():
    x, y = classification(50)
    model = svm.NuSVC(gamma=0.3).fit(x, y)
    close(model.decision_function(x), gram(x, model.support_vectors_, 0.3) @ model.dual_coef_[0] + model.intercept_)
    assert np.array_equal(np.sign(model.dual_coef_[0]), np.where(y[model.support_] == 1, 1, -1))


@card("sklearn.svm.NuSVR", formula=r"f(x)=\sum_i(\alpha_i-\alpha_i^*)K(x_i,x)+b")
def nu_svr():
    x, y = regression()
    model = svm.NuSVR(gamma=0.3).fit(x, y)
    close(model.predict(x), gram(x, model.support_vectors_, 0.3) @ model.dual_coef_[0] + model.intercept_)


@card("sklearn.svm.OneClassSVM", formula=r"f(x)=\sum_i\alpha_iK(x_i,x)-\rho")
def one_class_svm():
    x = rng.normal(size=(40, 2))
    model = svm.OneClassSVM(gamma=0.3, nu=0.1).fit(x)
    f = gram(x, model.support_vectors_, 0.3) @ model.dual_coef_[0] + model.intercept_
    close(model.decision_function(x), f)
    assert np.array_equal(model.predict(x), np.where(f < 0, -1, 1)) and np.all(model.dual_coef_ > 0)


@card(
    "sklearn.svm.LinearSVR",
    formula=r"\min_{w,b}\ \tfrac12\lVert w\rVert^2+\tfrac12b^2+C\sum_i\max(0,\,\lvert y_i-f(x_i)\rvert-\varepsilon)",
)
def linear_svr():
    x, y = regression()
    model = svm.LinearSVR(C=0.5, epsilon=0.2, tol=1e-10, max_iter=1000000, random_state=0).fit(x, y)
    point = np.r_[model.coef_, model.intercept_]
    is_minimum(
        lambda p: 0.5 * (p**2).sum() + 0.5 * np.maximum(0, np.abs(y - x @ p[:3] - p[3]) - 0.2).sum(),
        point,
        tolerance=1e-6,
    )
    assert svm.LinearSVR().epsilon == 0 and svm.SVR().epsilon == 0.1


@card(
    "sklearn.manifold.TSNE",
    formula=r"C=\sum_{i\ne j}p_{ij}\ln\frac{p_{ij}}{q_{ij}},\quad q_{ij}\propto\left(1+\lVert y_i-y_j\rVert^2\right)^{-1}",
)
def tsne():
    x = rng.normal(size=(40, 4))
    model = manifold.TSNE(perplexity=8, method="exact", init="random", random_state=0, max_iter=2000).fit(x)
    squares = cdist(x, x) ** 2
    p = np.zeros((40, 40))
    for i in range(40):
        others = np.arange(40) != i

        def perplexity(beta):
            q = np.exp(-beta * (squares[i, others] - squares[i, others].min()))
            q /= q.sum()
            return np.exp(-(q * np.log(np.maximum(q, 1e-300))).sum()) - 8

        beta = scipy.optimize.brentq(perplexity, 1e-4, 1e3)
        q = np.exp(-beta * (squares[i, others] - squares[i, others].min()))
        p[i, others] = q / q.sum()
    p = (p + p.T) / 80
    q = 1 / (1 + cdist(model.embedding_, model.embedding_) ** 2)
    np.fill_diagonal(q, 0)
    q /= q.sum()
    off = ~np.eye(40, dtype=bool)
    close((p[off] * np.log(p[off] / q[off])).sum(), model.kl_divergence_, rtol=1e-2)
    assert not hasattr(model, "transform") and fails(lambda: manifold.TSNE(perplexity=40).fit(x))


@card("sklearn.manifold.Isomap")
def isomap():
    x = np.c_[np.linspace(0, 3 * np.pi / 2, 50)]
    curve = np.c_[np.cos(x[:, 0]), np.sin(x[:, 0])]
    z = manifold.Isomap(n_neighbors=4, n_components=1).fit_transform(curve)[:, 0]
    assert abs(np.corrcoef(z, x[:, 0])[0, 1]) > 0.999


@card(
    "sklearn.manifold.LocallyLinearEmbedding",
    formula=r"\min_{w}\ \Bigl\lVert x_i-\sum_jw_{ij}x_j\Bigr\rVert^2,\quad\sum_jw_{ij}=1",
)
def lle():
    x = datasets.make_swiss_roll(80, random_state=0)[0]
    model = manifold.LocallyLinearEmbedding(n_neighbors=8, n_components=2, eigen_solver="dense", reg=1e-3).fit(x)
    indices = model.nbrs_.kneighbors(n_neighbors=8, return_distance=False)
    weights = np.zeros((80, 80))
    for i, near in enumerate(indices):
        z = x[near] - x[i]
        g = z @ z.T
        w = np.linalg.solve(g + 1e-3 * np.trace(g) * np.eye(8), np.ones(8))
        weights[i, near] = w / w.sum()
        if i < 3:
            # With the penalty this is the constrained minimum.
            best = ((x[i] - weights[i] @ x) ** 2).sum() + 1e-3 * np.trace(g) * (weights[i] ** 2).sum()
            for _ in range(20):
                step = rng.normal(size=8) * 1e-3
                v = weights[i, near] + step - step.mean()
                assert ((x[i] - v @ x[near]) ** 2).sum() + 1e-3 * np.trace(g) * (v**2).sum() >= best - 1e-12
    m = (np.eye(80) - weights).T @ (np.eye(80) - weights)
    values = np.linalg.eigvalsh(m)
    close((model.embedding_ * (m @ model.embedding_)).sum(axis=0), values[1:3], rtol=1e-3, atol=1e-9)


@card("sklearn.manifold.MDS", formula=r"\sigma=\sum_{i<j}\left(d_{ij}-\delta_{ij}\right)^2")
def mds():
    x = rng.normal(size=(12, 4))
    model = manifold.MDS(2, init="classical_mds", random_state=0, max_iter=3000, eps=1e-10).fit(x)
    delta, d = cdist(x, x), cdist(model.embedding_, model.embedding_)
    close(model.stress_, np.triu((d - delta) ** 2, 1).sum(), rtol=1e-3)
    same = manifold.MDS(2, init="classical_mds", metric="precomputed", max_iter=3000, eps=1e-10).fit(delta)
    close(same.stress_, model.stress_, rtol=1e-3)
    assert "1.10" in warned(lambda: manifold.MDS(2).fit(x))[1] and not hasattr(model, "transform")


@card("sklearn.model_selection.GridSearchCV", "sklearn.pipeline.Pipeline")
def names_of_parameters():
    x, y = classification(60)
    steps = pipeline.Pipeline([("scale", preprocessing.StandardScaler()), ("svc", svm.SVC())])
    assert model_selection.GridSearchCV(steps, {"svc__C": [1, 2]}, cv=2).fit(x, y).best_params_["svc__C"] in (1, 2)
    assert fails(lambda: model_selection.GridSearchCV(steps, {"C": [1, 2]}, cv=2).fit(x, y))


class Counting(naive_bayes.GaussianNB):
    fits = 0

    def fit(self, x, y):
        Counting.fits += 1
        return super().fit(x, y)


@card("sklearn.model_selection.GridSearchCV", formula=r"\text{fits}=k\prod_jn_j+1")
def grid_search():
    x, y = classification(60)
    Counting.fits = 0
    grid = {"var_smoothing": [1e-9, 1e-3, 1e-1], "priors": [None, [0.3, 0.7]]}
    found = model_selection.GridSearchCV(Counting(), grid, cv=4).fit(x, y)
    assert Counting.fits == 4 * 3 * 2 + 1 and len(found.cv_results_["params"]) == 6
    close(found.best_score_, found.cv_results_["mean_test_score"].max())


@card("sklearn.model_selection.RandomizedSearchCV", formula=r"\text{fits}=k\cdot\text{n\_iter}+1")
def randomized_search():
    x, y = classification(60)
    Counting.fits = 0
    model_selection.RandomizedSearchCV(
        Counting(), {"var_smoothing": scipy.stats.loguniform(1e-9, 1)}, n_iter=7, cv=3, random_state=0
    ).fit(x, y)
    assert Counting.fits == 7 * 3 + 1
    draws = scipy.stats.uniform(2, 10).rvs(1000, random_state=0)
    assert 2 <= draws.min() < 3 and 11 < draws.max() <= 12
    assert np.mean(scipy.stats.uniform(0, 10).rvs(10000, random_state=0) < 0.1) < 0.02
    assert 0.4 < np.mean(scipy.stats.loguniform(1e-3, 10).rvs(10000, random_state=0) < 0.1) < 0.6


@card(
    "sklearn.model_selection.HalvingGridSearchCV",
    "sklearn.model_selection.HalvingRandomSearchCV",
    formula=r"n_{i+1}=\lceil n_i/\text{factor}\rceil,\quad r_{i+1}=r_i\cdot\text{factor}",
)
def halving():
    x, y = classification(400)
    found = model_selection.HalvingGridSearchCV(
        naive_bayes.GaussianNB(),
        {"var_smoothing": np.logspace(-9, 0, 10)},
        factor=2,
        cv=2,
        min_resources=20,
        random_state=0,
    ).fit(x, y)
    n, r = found.n_candidates_, found.n_resources_
    assert (
        len(n) > 2
        and all(b == math.ceil(a / 2) for a, b in itertools.pairwise(n))
        and all(b == 2 * a for a, b in itertools.pairwise(r))
    )


@card("sklearn.model_selection.FixedThresholdClassifier", formula=r"\hat y=[\,s(x)\ge t\,]")
def fixed_threshold():
    x, y = classification(60)
    model = model_selection.FixedThresholdClassifier(linear_model.LogisticRegression(), threshold=0.2).fit(x, y)
    assert np.array_equal(model.predict(x) == 1, model.predict_proba(x)[:, 1] >= 0.2)
    plain = linear_model.LogisticRegression().fit(x, y)
    close(model.predict_proba(x), plain.predict_proba(x))
    assert model.predict(x).sum() > plain.predict(x).sum()
    assert fails(
        lambda: model_selection.FixedThresholdClassifier(linear_model.LogisticRegression()).fit(x, np.arange(60) % 3)
    )


@card("sklearn.model_selection.TunedThresholdClassifierCV")
def tuned_threshold():
    x, y = classification(300)
    kept = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:20]]
    model = model_selection.TunedThresholdClassifierCV(
        linear_model.LogisticRegression(), scoring="balanced_accuracy"
    ).fit(x[kept], y[kept])
    assert model.best_threshold_ < 0.4
    assert fails(
        lambda: model_selection.TunedThresholdClassifierCV(linear_model.LogisticRegression()).fit(x, np.arange(300) % 3)
    )


@card("sklearn.multiclass.OneVsOneClassifier", formula=r"\text{models}=\frac{K(K-1)}2")
def one_vs_one():
    x, y = classification(60, classes=4)
    model = multiclass.OneVsOneClassifier(svm.LinearSVC()).fit(x, y)
    assert (
        len(model.estimators_) == 4 * 3 / 2
        and model.decision_function(x).shape == (60, 4)
        and not hasattr(model, "predict_proba")
    )


@card("sklearn.multiclass.OneVsRestClassifier", formula=r"\hat y=\arg\max_kf_k(x)")
def one_vs_rest():
    x, y = classification(60, classes=4)
    model = multiclass.OneVsRestClassifier(svm.LinearSVC(random_state=0)).fit(x, y)
    f = np.column_stack([svm.LinearSVC(random_state=0).fit(x, y == k).decision_function(x) for k in range(4)])
    assert np.array_equal(model.predict(x), f.argmax(axis=1))
    many = multiclass.OneVsRestClassifier(linear_model.LogisticRegression()).fit(x, np.eye(4, dtype=int)[y])
    assert many.multilabel_ and many.predict(x).shape == (60, 4)


@card("sklearn.multiclass.OutputCodeClassifier", formula=r"\text{models}=\lfloor K\cdot\text{code\_size}\rfloor")
def output_code():
    x, y = classification(60, classes=5)
    for size in (0.5, 1.5, 2):
        made = multiclass.OutputCodeClassifier(naive_bayes.GaussianNB(), code_size=size, random_state=0).fit(x, y)
        assert len(made.estimators_) == math.floor(5 * size)
    assert not hasattr(made, "predict_proba")


@card(
    "sklearn.multioutput.ClassifierChain",
    "sklearn.multioutput.RegressorChain",
    formula=r"\hat y_j=f_j(x,\hat y_1,\dots,\hat y_{j-1})",
)
def chains():
    x = rng.normal(size=(50, 3))
    y = np.c_[x[:, 0], x[:, 0] ** 2 + x[:, 1]] + 0.1 * rng.normal(size=(50, 2))
    model = multioutput.RegressorChain(linear_model.LinearRegression()).fit(x, y)
    first = linear_model.LinearRegression().fit(x, y[:, 0])
    second = linear_model.LinearRegression().fit(np.c_[x, y[:, 0]], y[:, 1])
    close(model.predict(x), np.c_[first.predict(x), second.predict(np.c_[x, first.predict(x)])])
    labels = (y > 0.3).astype(int)
    chain = multioutput.ClassifierChain(linear_model.LogisticRegression()).fit(x, labels)
    one = linear_model.LogisticRegression().fit(x, labels[:, 0])
    two = linear_model.LogisticRegression().fit(np.c_[x, labels[:, 0]], labels[:, 1])
    close(chain.predict(x), np.c_[one.predict(x), two.predict(np.c_[x, one.predict(x)])])


@card("sklearn.multioutput.MultiOutputClassifier", "sklearn.multioutput.MultiOutputRegressor")
def multi_output():
    x, y = classification(40)
    both = np.c_[y, 1 - y]
    model = multioutput.MultiOutputClassifier(linear_model.LogisticRegression()).fit(x, both)
    answer = model.predict_proba(x)
    assert (
        isinstance(answer, list)
        and len(answer) == 2
        and answer[0].shape == (40, 2)
        and model.predict(x).shape == (40, 2)
    )
    assert multioutput.MultiOutputRegressor(svm.SVR()).fit(x, both).predict(x).shape == (40, 2)


@card("sklearn.naive_bayes.CategoricalNB", formula=r"P(x_j=t\mid c)=\frac{N_{tjc}+\alpha}{N_c+\alpha\,n_j}")
def categorical_nb():
    x, y = rng.integers(0, 4, (50, 3)), np.arange(50) % 2
    x[0] = 3
    model = naive_bayes.CategoricalNB(alpha=0.7).fit(x, y)
    for j, c, t in itertools.product(range(3), range(2), range(4)):
        close(
            np.exp(model.feature_log_prob_[j][c, t]),
            (np.sum((y == c) & (x[:, j] == t)) + 0.7) / (np.sum(y == c) + 0.7 * 4),
        )
    assert fails(lambda: model.predict([[9, 0, 0]]), IndexError)
    assert naive_bayes.CategoricalNB(min_categories=10).fit(x, y).predict([[9, 0, 0]]).shape == (1,)


@card(
    "sklearn.naive_bayes.ComplementNB",
    formula=r"\theta_{cj}=\frac{\alpha+\sum_{i:\,y_i\ne c}x_{ij}}{\alpha d+\sum_{i:\,y_i\ne c}\sum_kx_{ik}}",
)
def complement_nb():
    x, y = rng.integers(0, 5, (40, 6)), np.arange(40) % 3
    model = naive_bayes.ComplementNB(alpha=0.7).fit(x, y)
    theta = np.array([(0.7 + x[y != c].sum(axis=0)) / (0.7 * 6 + x[y != c].sum()) for c in range(3)])
    close(model.feature_log_prob_, -np.log(theta))
    assert np.array_equal(model.predict(x), (x @ -np.log(theta).T).argmax(axis=1))
    assert fails(lambda: naive_bayes.ComplementNB().fit(-x, y))


@card(
    "sklearn.neighbors.KNeighborsClassifier",
    "sklearn.neighbors.KNeighborsRegressor",
    formula=r"\hat y(x)=\frac{\sum_{i\in N_k(x)}w_iy_i}{\sum_{i\in N_k(x)}w_i}",
)
def k_neighbors():
    x, y = regression()
    new = rng.normal(size=(5, 3))
    d = cdist(new, x)
    near = np.argsort(d, axis=1)[:, :4]
    w = 1 / np.take_along_axis(d, near, axis=1)
    close(neighbors.KNeighborsRegressor(4).fit(x, y).predict(new), y[near].mean(axis=1))
    model = neighbors.KNeighborsRegressor(4, weights="distance").fit(x, y)
    close(model.predict(new), (w * y[near]).sum(axis=1) / w.sum(axis=1))
    close(model.predict(x), y)
    labels = (y > 1.5).astype(int)
    close(neighbors.KNeighborsClassifier(4).fit(x, labels).predict_proba(new)[:, 1], labels[near].mean(axis=1))


@card(
    "sklearn.neighbors.RadiusNeighborsClassifier",
    "sklearn.neighbors.RadiusNeighborsRegressor",
    formula=r"\hat y(x)=\frac{\sum_{d(x,x_i)\le r}w_iy_i}{\sum_{d(x,x_i)\le r}w_i}",
)
def radius_neighbors():
    x, y = regression()
    new = x[:5] + 0.1
    inside = cdist(new, x) <= 1.2
    close(neighbors.RadiusNeighborsRegressor(1.2).fit(x, y).predict(new), [y[row].mean() for row in inside])
    labels = (y > 1.5).astype(int)
    close(
        neighbors.RadiusNeighborsClassifier(1.2).fit(x, labels).predict_proba(new)[:, 1],
        [labels[row].mean() for row in inside],
    )
    far = x[:1] + 100
    assert np.isnan(quiet(lambda: neighbors.RadiusNeighborsRegressor(1.2).fit(x, y).predict(far)))[0]
    assert fails(lambda: neighbors.RadiusNeighborsClassifier(1.2).fit(x, labels).predict(far))
    assert neighbors.RadiusNeighborsClassifier(1.2, outlier_label="most_frequent").fit(x, labels).predict(
        far
    ).shape == (1,)


@card(
    "sklearn.neighbors.NearestNeighbors",
    "sklearn.neighbors.KNeighborsTransformer",
    "sklearn.neighbors.RadiusNeighborsTransformer",
)
def nearest_neighbors():
    x = rng.normal(size=(20, 3))
    model = neighbors.NearestNeighbors(n_neighbors=3).fit(x)
    assert model.kneighbors(x)[1][:, 0].tolist() == list(range(20)) and not np.any(
        model.kneighbors()[1] == np.arange(20)[:, None]
    )
    graph = neighbors.KNeighborsTransformer(n_neighbors=3).fit_transform(x)
    assert graph.shape == (20, 20) and graph.nnz == 20 * 4
    assert neighbors.KNeighborsTransformer(n_neighbors=3, mode="connectivity").fit_transform(x).nnz == 20 * 3


@card(
    "sklearn.neighbors.KernelDensity",
    formula=r"p(x)=\frac1{n\,(2\pi h^2)^{d/2}}\sum_i\exp\left(-\frac{\lVert x-x_i\rVert^2}{2h^2}\right)",
)
def kernel_density():
    x = rng.normal(size=(30, 2))
    model = neighbors.KernelDensity(bandwidth=0.4).fit(x)
    new = rng.normal(size=(5, 2))
    p = np.exp(-(cdist(new, x) ** 2) / (2 * 0.4**2)).sum(axis=1) / (30 * (2 * math.pi * 0.4**2) ** (2 / 2))
    close(model.score_samples(new), np.log(p))
    assert neighbors.KernelDensity(bandwidth=0.01).fit(x).score_samples(x).max() > 0


@card(
    "sklearn.neighbors.LocalOutlierFactor",
    formula=r"\mathrm{LOF}(x)=\frac1k\sum_{o\in N_k(x)}\frac{\mathrm{lrd}(o)}{\mathrm{lrd}(x)}",
)
def local_outlier_factor():
    x = np.r_[rng.normal(size=(40, 2)), [[7.0, 7.0]]]
    model = neighbors.LocalOutlierFactor(n_neighbors=5)
    labels = model.fit_predict(x)
    d = cdist(x, x)
    np.fill_diagonal(d, np.inf)
    near = np.argsort(d, axis=1)[:, :5]
    k_distance = np.sort(d, axis=1)[:, 4]
    lrd = 1 / np.mean(np.maximum(k_distance[near], np.take_along_axis(d, near, axis=1)), axis=1)
    lof = (lrd[near] / lrd[:, None]).mean(axis=1)
    close(model.negative_outlier_factor_, -lof, rtol=1e-6)
    assert np.array_equal(labels == -1, lof > 1.5) and labels[-1] == -1
    assert not hasattr(neighbors.LocalOutlierFactor().fit(x), "predict") and neighbors.LocalOutlierFactor(
        novelty=True
    ).fit(x).predict(x[:2]).shape == (2,)


@card("sklearn.neighbors.NearestCentroid", formula=r"\hat y=\arg\min_c\lVert x-\mu_c\rVert")
def nearest_centroid():
    x, y = classification(60, 3, 3)
    model = neighbors.NearestCentroid().fit(x, y)
    assert np.array_equal(model.predict(x), cdist(x, [x[y == c].mean(axis=0) for c in range(3)]).argmin(axis=1))
    assert fails(lambda: neighbors.NearestCentroid(metric="cosine").fit(x, y))


@card(
    "sklearn.neighbors.NeighborhoodComponentsAnalysis",
    formula=r"p_{ij}=\frac{\exp\left(-\lVert Lx_i-Lx_j\rVert^2\right)}{\sum_{k\ne i}\exp\left(-\lVert Lx_i-Lx_k\rVert^2\right)}",
)
def nca():
    x, y = classification(40, 3, 2)
    model = neighbors.NeighborhoodComponentsAnalysis(2, random_state=0, max_iter=200).fit(x, y)

    def correct(components):
        z = x @ components.T
        p = -(cdist(z, z) ** 2)
        np.fill_diagonal(p, -np.inf)
        return (scipy.special.softmax(p, axis=1) * (y[:, None] == y)).sum()

    best = correct(model.components_)
    assert best > correct(decomposition.PCA(2).fit(x).components_)
    for _ in range(30):
        assert correct(model.components_ + 1e-3 * rng.normal(size=(2, 3))) <= best + 1e-2


@card("sklearn.neural_network.BernoulliRBM", formula=r"P(h_k=1\mid v)=\sigma(w_k\cdot v+c_k)")
def rbm():
    v = (rng.random((30, 6)) > 0.5).astype(float)
    model = neural_network.BernoulliRBM(4, random_state=0).fit(v)
    close(model.transform(v), scipy.special.expit(v @ model.components_.T + model.intercept_hidden_))


@card("sklearn.pipeline.Pipeline", formula=r"\hat y=f\left(t_m(\cdots t_1(x))\right)")
def pipelines():
    x, y = regression()
    model = pipeline.Pipeline(
        [("scale", preprocessing.StandardScaler()), ("pca", decomposition.PCA(2)), ("fit", linear_model.Ridge())]
    ).fit(x, y)
    scaler, pca, ridge_model = (model[k] for k in range(3))
    close(model.predict(x), ridge_model.predict(pca.transform(scaler.transform(x))))
    model.set_params(fit__alpha=3)
    assert model["fit"].alpha == 3
    # Selecting features before cross-validation finds a relation in noise.
    noise, labels = rng.normal(size=(50, 2000)), np.arange(50) % 2
    chosen = feature_selection.SelectKBest(k=10).fit_transform(noise, labels)
    inside = pipeline.make_pipeline(feature_selection.SelectKBest(k=10), linear_model.LogisticRegression())
    leaky = model_selection.cross_val_score(linear_model.LogisticRegression(), chosen, labels).mean()
    assert leaky > 0.8 > 0.7 > model_selection.cross_val_score(inside, noise, labels).mean()


@card("sklearn.preprocessing.Binarizer", formula=r"x'=[\,x>t\,]")
def binarizer():
    x = rng.normal(size=(6, 2))
    close(preprocessing.Binarizer(threshold=0.2).fit_transform(x), x > 0.2)
    assert preprocessing.Binarizer(threshold=1.0).fit_transform([[1.0]]).tolist() == [[0]]


@card("sklearn.preprocessing.FunctionTransformer", formula=r"x'=f(x)")
def function_transformer():
    import pickle

    x = rng.random((6, 2))
    close(preprocessing.FunctionTransformer(np.log1p, inverse_func=np.expm1).fit_transform(x), np.log1p(x))
    assert fails(
        lambda: pickle.dumps(preprocessing.FunctionTransformer(lambda v: v)), AttributeError, pickle.PicklingError
    )


@card("sklearn.preprocessing.KBinsDiscretizer", "sklearn.preprocessing.MultiLabelBinarizer")
def discretizer():
    x = rng.normal(size=(100, 2))
    bins = preprocessing.KBinsDiscretizer(4, encode="ordinal").fit(x)
    assert preprocessing.KBinsDiscretizer(4).fit_transform(x).shape == (100, 8)
    assert np.all(np.bincount(bins.transform(x)[:, 0].astype(int)) == 25) and bins.transform(
        [[99.0, -99.0]]
    ).tolist() == [[3, 0]]
    many_zeros = np.r_[np.zeros(80), np.arange(20.0)][:, None]
    made, text = warned(lambda: preprocessing.KBinsDiscretizer(4).fit(many_zeros))
    assert text and made.n_bins_[0] < 4
    labels = preprocessing.MultiLabelBinarizer()
    assert labels.fit_transform([{"a", "c"}, {"b"}]).tolist() == [[1, 0, 1], [0, 1, 0]]
    value, text = warned(lambda: labels.transform([{"z"}]))
    assert value.tolist() == [[0, 0, 0]] and text
    assert preprocessing.MultiLabelBinarizer().fit(["cat", "dog"]).classes_.tolist() == ["a", "c", "d", "g", "o", "t"]


@card("sklearn.preprocessing.KernelCenterer", formula=r"\tilde K=K-1_nK-K1_n+1_nK1_n")
def kernel_centerer():
    x = rng.normal(size=(10, 3))
    k, ones = gram(x, x, 0.5), np.full((10, 10), 1 / 10)
    close(preprocessing.KernelCenterer().fit_transform(k), k - ones @ k - k @ ones + ones @ k @ ones)
    close(preprocessing.KernelCenterer().fit_transform(x @ x.T), centred(x) @ centred(x).T)


@card("sklearn.preprocessing.MaxAbsScaler", formula=r"x'=\frac{x}{\max_i\lvert x_i\rvert}")
def max_abs_scaler():
    x = rng.normal(size=(10, 3))
    scaler = preprocessing.MaxAbsScaler().fit(x)
    close(scaler.transform(x), x / np.abs(x).max(axis=0))
    assert (
        scaler.transform(x * 2).max() > 1 and preprocessing.MaxAbsScaler(clip=True).fit(x).transform(x * 2).max() == 1
    )


@card("sklearn.preprocessing.PowerTransformer", formula=r"x'=\frac{(x+1)^\lambda-1}{\lambda}\quad(x\ge0,\ \lambda\ne0)")
def power_transformer():
    x = rng.exponential(size=(200, 1))
    model = preprocessing.PowerTransformer(standardize=False).fit(x)
    close(model.transform(x), ((x + 1) ** model.lambdas_[0] - 1) / model.lambdas_[0])
    close(model.lambdas_[0], scipy.stats.yeojohnson(x[:, 0])[1], rtol=1e-3)
    assert fails(lambda: preprocessing.PowerTransformer("box-cox").fit(x - 1))
    assert abs(scipy.stats.skew(model.transform(x))[0]) < 0.3 < scipy.stats.skew(x)[0]


@card("sklearn.preprocessing.QuantileTransformer", formula=r"x'=F(x)\quad\text{or}\quad\Phi^{-1}(F(x))")
def quantile_transformer():
    x = np.sort(rng.normal(size=(101, 1)), axis=0)
    model = preprocessing.QuantileTransformer(n_quantiles=101).fit(x)
    close(model.transform(x)[:, 0], np.arange(101) / 100, atol=1e-6)
    normal = preprocessing.QuantileTransformer(n_quantiles=101, output_distribution="normal").fit(x)
    close(normal.transform(x)[1:-1, 0], scipy.stats.norm.ppf(np.arange(101) / 100)[1:-1], atol=1e-6)
    assert model.transform([[99.0], [-99.0]]).ravel().tolist() == [1, 0]
    assert np.round(normal.transform([[99.0], [-99.0]]).ravel(), 1).tolist() == [5.2, -5.2]


@card("sklearn.preprocessing.SplineTransformer", formula=r"d'=d\,(\text{n\_knots}+\text{degree}-1)")
def spline_transformer():
    x = rng.random((30, 2))
    for knots, degree in ((5, 3), (7, 2)):
        z = preprocessing.SplineTransformer(knots, degree).fit_transform(x)
        assert z.shape[1] == 2 * (knots + degree - 1)
        close(z[:, : knots + degree - 1].sum(axis=1), 1)
    model = preprocessing.SplineTransformer().fit(x)
    close(model.transform([[5.0, 5.0]]), model.transform([[9.0, 9.0]]))
    close(model.transform([[5.0, 5.0]]), model.transform(x.max(axis=0, keepdims=True)))
    assert preprocessing.SplineTransformer(include_bias=False).fit_transform(x).shape[1] == 2 * 6


@card("sklearn.preprocessing.TargetEncoder", formula=r"e_c=\frac{n_c\,\bar y_c+m\,\bar y}{n_c+m}")
def target_encoder():
    x, y = rng.integers(0, 3, (60, 1)), rng.normal(size=60)
    model = preprocessing.TargetEncoder(smooth=5.0).fit(x, y)
    codes = [(np.sum(x == c) * y[x[:, 0] == c].mean() + 5 * y.mean()) / (np.sum(x == c) + 5) for c in range(3)]
    close(model.encodings_[0], codes)
    assert np.abs(preprocessing.TargetEncoder(smooth=5.0).fit_transform(x, y) - model.transform(x)).max() > 1e-3
    close(model.transform([[9]]), y.mean())
    assert "1.9" in warned(lambda: preprocessing.TargetEncoder(shuffle=True).fit_transform(x, y))[1]
    assert preprocessing.TargetEncoder().fit(x, np.arange(60)).target_type_ == "multiclass"


@card(
    "sklearn.random_projection.GaussianRandomProjection",
    "sklearn.random_projection.SparseRandomProjection",
    formula=r"k\ge\frac{4\ln n}{\varepsilon^2/2-\varepsilon^3/3}",
)
def random_projections():
    x = rng.normal(size=(60, 3000))
    eps = 0.5
    k = int(4 * math.log(60) / (eps**2 / 2 - eps**3 / 3))
    for kind in (random_projection.GaussianRandomProjection, random_projection.SparseRandomProjection):
        model = kind(eps=eps, random_state=0).fit(x)
        assert model.n_components_ == k
        z = model.transform(x)
        ratio = (cdist(z, z) ** 2 / np.maximum(cdist(x, x) ** 2, 1e-12))[~np.eye(60, dtype=bool)]
        assert 1 - eps < ratio.min() and ratio.max() < 1 + eps
        assert fails(lambda: kind().fit(x[:, :50]))


@card("sklearn.semi_supervised.LabelPropagation", formula=r"Y\leftarrow D^{-1}WY,\quad Y_{\text{known}}\ \text{fixed}")
def label_propagation():
    x = datasets.make_blobs(40, centers=2, cluster_std=1.5, random_state=0)[0]
    y = np.full(40, -1)
    truth = cluster.KMeans(2, random_state=0).fit_predict(x)
    for c in (0, 1):
        y[np.flatnonzero(truth == c)[:3]] = c
    model = semi_supervised.LabelPropagation(gamma=0.5, tol=1e-12, max_iter=100000).fit(x, y)
    w = gram(x, x, 0.5)
    p = w / w.sum(axis=1, keepdims=True)
    known = y != -1
    f = np.linalg.solve(
        np.eye((~known).sum()) - p[np.ix_(~known, ~known)], p[np.ix_(~known, known)] @ np.eye(2)[y[known]]
    )
    close(model.label_distributions_[~known], f, rtol=1e-4)
    assert np.array_equal(model.transduction_[known], y[known])


@card("sklearn.semi_supervised.LabelSpreading", formula=r"F\leftarrow\alpha SF+(1-\alpha)Y,\quad S=D^{-1/2}WD^{-1/2}")
def label_spreading():
    x = datasets.make_blobs(40, centers=2, cluster_std=1.5, random_state=0)[0]
    y = np.full(40, -1)
    y[:6] = cluster.KMeans(2, random_state=0).fit_predict(x)[:6]
    model = semi_supervised.LabelSpreading(gamma=0.5, alpha=0.3, tol=1e-12, max_iter=100000).fit(x, y)
    w = gram(x, x, 0.5)
    np.fill_diagonal(w, 0)
    half = np.diag(w.sum(axis=1) ** -0.5)
    start = np.zeros((40, 2))
    start[np.arange(6), y[:6]] = 1
    f = np.linalg.solve(np.eye(40) - 0.3 * half @ w @ half, 0.7 * start)
    close(model.label_distributions_, f / f.sum(axis=1, keepdims=True), rtol=1e-5)


@card("sklearn.semi_supervised.SelfTrainingClassifier")
def self_training():
    x, truth = classification(100)
    y = np.where(np.arange(100) < 20, truth, -1)
    model = semi_supervised.SelfTrainingClassifier(naive_bayes.GaussianNB(), threshold=0.9).fit(x, y)
    first = naive_bayes.GaussianNB().fit(x[:20], truth[:20]).predict_proba(x)
    assert np.array_equal(model.labeled_iter_ == 1, (first.max(axis=1) > 0.9) & (y == -1))
    assert (
        "no unlabeled"
        in warned(lambda: semi_supervised.SelfTrainingClassifier(naive_bayes.GaussianNB()).fit(x, truth))[1]
    )


@card("sklearn.tree.ExtraTreeClassifier", "sklearn.tree.ExtraTreeRegressor")
def extra_tree():
    x, y = classification()
    made = [tree.ExtraTreeClassifier(max_depth=1, random_state=s).fit(x, y).tree_.threshold[0] for s in range(5)]
    assert len(set(made)) == 5 and isinstance(
        ensemble.ExtraTreesClassifier(2).fit(x, y).estimators_[0], tree.ExtraTreeClassifier
    )
    assert tree.ExtraTreeRegressor().fit(x, y).predict(x).shape == (60,)


def splits(splitter, *given, **more):
    return list(splitter.split(*given, **more))


@card(
    "sklearn.model_selection.KFold", formula=r"n_{\text{test}}\in\left\{\lfloor n/k\rfloor,\ \lceil n/k\rceil\right\}"
)
def k_fold():
    for n, k in ((10, 3), (12, 4), (7, 5)):
        sizes = [len(test) for _, test in splits(model_selection.KFold(k), np.zeros(n))]
        assert set(sizes) <= {n // k, math.ceil(n / k)} and sum(sizes) == n
    y = np.repeat([0, 1, 2], 4)
    assert all(len(set(y[test])) == 1 for _, test in splits(model_selection.KFold(3), y))
    assert fails(lambda: model_selection.KFold(random_state=0))


@card(
    "sklearn.model_selection.StratifiedKFold",
    "sklearn.model_selection.GroupKFold",
    "sklearn.model_selection.StratifiedGroupKFold",
    "sklearn.model_selection.ShuffleSplit",
    "sklearn.model_selection.StratifiedShuffleSplit",
    "sklearn.model_selection.GroupShuffleSplit",
    "sklearn.model_selection.PredefinedSplit",
)
def splitters():
    y = np.r_[np.zeros(30), np.ones(10)].astype(int)
    groups = np.arange(40) // 4
    x = np.zeros((40, 1))
    for _, test in splits(model_selection.StratifiedKFold(5), x, y):
        assert np.bincount(y[test]).tolist() == [6, 2]
    assert fails(lambda: splits(model_selection.StratifiedKFold(2), x, rng.normal(size=40)))
    assert (
        "least populated"
        in warned(lambda: splits(model_selection.StratifiedKFold(5), np.zeros(12), [0, 0] + [1] * 10))[1]
    )
    for kind in (
        model_selection.GroupKFold(5),
        model_selection.StratifiedGroupKFold(5),
        model_selection.GroupShuffleSplit(3),
    ):
        for train, test in splits(kind, x, y, groups):
            assert not set(groups[train]) & set(groups[test])
    assert fails(lambda: splits(model_selection.GroupKFold(5), x, y)) and fails(
        lambda: splits(model_selection.GroupKFold(11), x, y, groups)
    )
    tests = [set(test) for _, test in splits(model_selection.ShuffleSplit(5, test_size=0.3, random_state=0), x)]
    assert all(len(one) == 12 for one in tests) and tests[0] & tests[1]
    uneven = np.r_[np.zeros(31), np.arange(1, 10)]
    sizes = {
        len(test)
        for _, test in splits(model_selection.GroupShuffleSplit(20, test_size=0.2, random_state=0), x, y, uneven)
    }
    assert sizes == {2, 32}
    for _, test in splits(model_selection.StratifiedShuffleSplit(2, test_size=8), x, y):
        assert np.bincount(y[test]).tolist() == [6, 2]
    ((train, test),) = splits(model_selection.PredefinedSplit([-1, 0, -1, 0]))
    assert train.tolist() == [0, 2] and test.tolist() == [1, 3]


@card("sklearn.model_selection.LeaveOneOut", "sklearn.model_selection.LeavePOut", formula=r"\text{splits}=\binom np")
def leave_out():
    x = np.zeros((6, 1))
    assert len(splits(model_selection.LeaveOneOut(), x)) == 6 and len(
        splits(model_selection.LeavePOut(3), x)
    ) == math.comb(6, 3)
    a, b = regression(8)
    assert np.isnan(
        quiet(lambda: model_selection.cross_val_score(linear_model.Ridge(), a, b, cv=model_selection.LeaveOneOut()))
    ).all()


@card(
    "sklearn.model_selection.LeaveOneGroupOut",
    "sklearn.model_selection.LeavePGroupsOut",
    formula=r"\text{splits}=\binom Gp",
)
def leave_groups_out():
    x, groups = np.zeros((10, 1)), np.arange(10) // 2
    assert len(splits(model_selection.LeaveOneGroupOut(), x, groups=groups)) == 5
    assert len(splits(model_selection.LeavePGroupsOut(2), x, groups=groups)) == math.comb(5, 2)


@card(
    "sklearn.model_selection.RepeatedKFold",
    "sklearn.model_selection.RepeatedStratifiedKFold",
    formula=r"\text{splits}=k\cdot r",
)
def repeated():
    x, y = np.zeros((20, 1)), np.arange(20) % 2
    for kind in (model_selection.RepeatedKFold, model_selection.RepeatedStratifiedKFold):
        made = splits(kind(n_splits=4, n_repeats=3, random_state=0), x, y)
        assert len(made) == 12 and set(made[0][1]) != set(made[4][1])


@card("sklearn.model_selection.TimeSeriesSplit", formula=r"n_{\text{test}}=\left\lfloor\frac n{k+1}\right\rfloor")
def time_series():
    for n, k in ((20, 3), (23, 5)):
        made = splits(model_selection.TimeSeriesSplit(k), np.zeros(n))
        assert all(len(test) == n // (k + 1) and train.max() + 1 == test.min() for train, test in made)
        assert all(len(a) < len(b) for (a, _), (b, _) in itertools.pairwise(made))
    assert all(
        test.min() - train.max() == 3 for train, test in splits(model_selection.TimeSeriesSplit(3, gap=2), np.zeros(20))
    )
    assert all(
        len(train) <= 6 for train, _ in splits(model_selection.TimeSeriesSplit(3, max_train_size=6), np.zeros(20))
    )


@card(
    "sklearn.model_selection.check_cv",
    "sklearn.model_selection.train_test_split",
    "sklearn.model_selection.ParameterSampler",
)
def helpers_of_selection():
    y = np.arange(20) % 2
    assert isinstance(model_selection.check_cv(3, y, classifier=True), model_selection.StratifiedKFold)
    assert type(model_selection.check_cv(3, y)) is model_selection.KFold and not model_selection.check_cv(3, y).shuffle
    x = np.arange(20)[:, None]
    a, b, c, d = model_selection.train_test_split(x, y, stratify=y, random_state=0)
    assert len(a) == len(c) == 15 and len(b) == len(d) == 5 and np.array_equal(y[a[:, 0]], c)
    assert model_selection.train_test_split(x, shuffle=False)[1].ravel().tolist() == [15, 16, 17, 18, 19]
    lists = list(model_selection.ParameterSampler({"a": [1, 2, 3], "b": [1, 2]}, 6, random_state=0))
    assert len({tuple(one.items()) for one in lists}) == 6
    mixed = list(model_selection.ParameterSampler({"a": [1, 2], "b": scipy.stats.randint(0, 2)}, 20, random_state=0))
    assert len({tuple(one.items()) for one in mixed}) < 20


@card("sklearn.model_selection.ParameterGrid", formula=r"\lvert\text{grid}\rvert=\prod_jn_j")
def parameter_grid():
    assert len(model_selection.ParameterGrid({"a": [1, 2, 3], "b": [1, 2]})) == 3 * 2
    assert len(model_selection.ParameterGrid([{"a": [1, 2, 3]}, {"b": [1, 2]}])) == 3 + 2


@card(
    "sklearn.model_selection.cross_val_score",
    "sklearn.model_selection.cross_validate",
    "sklearn.model_selection.cross_val_predict",
)
def cross_validation():
    x, y = regression()
    model = linear_model.Ridge()
    scores = model_selection.cross_val_score(model, x, y, scoring="neg_mean_squared_error")
    assert scores.shape == (5,) and np.all(scores < 0) and not hasattr(model, "coef_")
    both = model_selection.cross_validate(model, x, y, scoring=["r2", "neg_max_error"], return_train_score=True)
    assert {"test_r2", "test_neg_max_error", "train_r2", "fit_time"} <= set(
        both
    ) and "test_score" in model_selection.cross_validate(model, x, y)
    by_hand = [linear_model.Ridge().fit(x[a], y[a]).score(x[b], y[b]) for a, b in splits(model_selection.KFold(5), x)]
    close(model_selection.cross_val_score(model, x, y), by_hand)
    labels = np.repeat([0, 1, 2], [14, 13, 13])
    values, text = warned(
        lambda: model_selection.cross_val_score(
            svm.SVC(), x, labels, cv=[(np.arange(10), np.arange(10, 40)), (np.arange(40), np.arange(40))]
        )
    )
    assert np.isnan(values[0]) and np.isfinite(values[1]) and text
    out = model_selection.cross_val_predict(model, x, y)
    assert abs(metrics.r2_score(y, out) - np.mean(by_hand)) > 1e-4
    for kind in (model_selection.TimeSeriesSplit(), model_selection.ShuffleSplit(5)):
        assert fails(lambda: model_selection.cross_val_predict(model, x, y, cv=kind))


@card(
    "sklearn.model_selection.learning_curve",
    "sklearn.model_selection.validation_curve",
    "sklearn.model_selection.LearningCurveDisplay",
    "sklearn.model_selection.ValidationCurveDisplay",
)
def curves():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    x, y = classification(100)
    model = linear_model.LogisticRegression()
    sizes, train, test = model_selection.learning_curve(model, x, y, cv=4, train_sizes=[0.5, 1.0])
    assert sizes.tolist() == [37, 75] and train.shape == test.shape == (2, 4)
    train, test = model_selection.validation_curve(model, x, y, param_name="C", param_range=[0.1, 1, 10], cv=4)
    assert train.shape == test.shape == (3, 4)
    made = model_selection.LearningCurveDisplay(
        train_sizes=sizes, train_scores=train[:2], test_scores=test[:2], score_name="s"
    )
    assert not hasattr(made, "figure_")
    shown = model_selection.LearningCurveDisplay.from_estimator(
        model, x, y, cv=4, train_sizes=[0.5, 1.0], score_type="test", std_display_style="fill_between"
    )
    band = shown.fill_between_[0].get_paths()[0].vertices[:, 1]
    scores = shown.test_scores[0]
    close(
        (band.min() <= scores.mean() - scores.std() + 1e-9, np.any(np.isclose(band, scores.mean() - scores.std()))),
        (True, True),
    )
    for values, scale in (([0.1, 1, 10, 100], "log"), ([1, 2, 3, 4], "linear")):
        drawn = model_selection.ValidationCurveDisplay.from_estimator(
            model, x, y, param_name="C", param_range=values, cv=2
        )
        assert drawn.ax_.get_xscale() == scale
    pyplot.close("all")
    ordered = np.argsort(y, kind="stable")
    assert fails(
        lambda: model_selection.learning_curve(
            model, x[ordered], y[ordered], cv=[(np.arange(100), np.arange(100))], train_sizes=[0.1], error_score="raise"
        )
    )


@card("sklearn.model_selection.permutation_test_score", formula=r"p=\frac{C+1}{B+1}")
def permutation_test():
    x, y = classification(40)
    score, permuted, p = model_selection.permutation_test_score(
        naive_bayes.GaussianNB(), x, rng.permutation(y), n_permutations=30, cv=2
    )
    close(p, (np.sum(permuted >= score) + 1) / (30 + 1))
    assert round(1 / 101, 4) == 0.0099


@check
def what_shared_arguments_say():
    """arguments.yaml: class weights, folds, starts and trees."""
    x, y = classification(80)
    y[:60] = 0
    weights = compute_class_weight("balanced", classes=np.array([0, 1]), y=y)
    balanced = linear_model.LogisticRegression(class_weight="balanced").fit(x, y)
    close(balanced.coef_, linear_model.LogisticRegression().fit(x, y, sample_weight=weights[y]).coef_, rtol=1e-4)
    doubled = linear_model.Ridge().fit(np.r_[x, x[:5]], np.r_[y, y[:5]])
    close(doubled.coef_, linear_model.Ridge().fit(x, y, sample_weight=np.r_[np.full(5, 2), np.ones(75)]).coef_)
    assert (
        len(
            ensemble.RandomForestClassifier(3, warm_start=True)
            .fit(x, y)
            .set_params(n_estimators=5)
            .fit(x, y)
            .estimators_
        )
        == 5
    )
    assert linear_model.Ridge(fit_intercept=False).fit(x, y).intercept_ == 0
    leaves = tree.DecisionTreeClassifier(max_leaf_nodes=3, min_samples_leaf=4).fit(x, y)
    assert leaves.get_n_leaves() == 3 and leaves.tree_.n_node_samples.min() >= 4
    small = [
        tree.DecisionTreeClassifier(ccp_alpha=a, random_state=0).fit(x, y).tree_.node_count for a in (0, 0.01, 0.05)
    ]
    assert small[0] >= small[1] >= small[2]
