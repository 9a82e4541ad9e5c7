import math
import pickle
import sys
import types
import warnings

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler, TargetEncoder
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from note_checks import by_definition, check, formula, holds, pitfall, quietly, raises, sourced, stated

COUNT = r"D = \binom{n + d}{d}"
CIRCLE = r"""
\phi(t) = \left( \sin \frac{2\pi t}{P},\; \cos \frac{2\pi t}{P} \right), \qquad \lVert \phi(t) - \phi(t') \rVert = 2 \left| \sin \frac{\pi (t - t')}{P} \right|
"""
TARGET = r"e_c = \frac{\sum_{i:\, x_i = c} y_i + m\,\bar{y}}{n_c + m}"

by_definition("Engineered features", "Embeddings", "Feature selection")
sourced("Bengio et al., Representation learning, arXiv 1206.5538, section 2", "Learned representations")
sourced(
    "scikit-learn user guide, preprocessing data, and its example 'Importance of Feature Scaling'", "Feature scaling"
)


@formula(COUNT)
@holds("Size")
def check_number_of_monomials():
    for n, d in ((2, 2), (10, 3), (1, 5), (4, 1)):
        assert PolynomialFeatures(d).fit_transform(np.ones((1, n))).shape[1] == math.comb(n + d, d)
    stated("176,851", math.comb(103, 3))
    stated("166,751", PolynomialFeatures(3, interaction_only=True).fit(np.ones((1, 100))).n_output_features_)
    assert PolynomialFeatures(2).fit_transform([[2, 3]]).tolist() == [[1, 2, 3, 4, 6, 9]]


@formula(CIRCLE)
def check_distance_on_the_circle():
    for P in (24.0, 7.0, 365.25):
        phi = lambda t: np.array([np.sin(2 * np.pi * t / P), np.cos(2 * np.pi * t / P)])
        for t, other in np.random.uniform(-500, 500, (50, 2)):
            assert math.isclose(
                np.linalg.norm(phi(t) - phi(other)), 2 * abs(math.sin(math.pi * (t - other) / P)), abs_tol=1e-9
            )
    phi = lambda t: np.array([np.sin(2 * np.pi * t / 24), np.cos(2 * np.pi * t / 24)])
    stated("0.2611", np.linalg.norm(phi(23) - phi(0)))


def encoded(x, y, c, m):
    return (y[x == c].sum() + m * y.mean()) / ((x == c).sum() + m)


@formula(TARGET)
def check_target_encoding():
    for m in (0.5, 2.0, 20.0):
        for kind in ("binary", "continuous"):
            x = np.random.choice(list("abcd"), 60, p=[0.5, 0.3, 0.15, 0.05])
            y = np.random.randint(0, 2, 60) if kind == "binary" else np.random.randn(60)
            encoder = TargetEncoder(smooth=m, target_type=kind).fit(x[:, None], y)
            for c, value in zip(encoder.categories_[0], encoder.encodings_[0]):
                assert math.isclose(encoded(x, y, c, m), value, rel_tol=1e-9, abs_tol=1e-12)


@check
def check_automatic_smoothing():
    x = np.random.choice(list("abcd"), 60, p=[0.5, 0.3, 0.1, 0.1])
    for y in (np.random.randn(60), np.random.randint(0, 2, 60).astype(float)):
        encoder = TargetEncoder(target_type="continuous").fit(x[:, None], y)
        for c, value in zip(encoder.categories_[0], encoder.encodings_[0]):
            assert math.isclose(encoded(x, y, c, y[x == c].var() / y.var()), value, rel_tol=1e-9, abs_tol=1e-12)


@check
def check_by_hand():
    x, y = np.array(["a", "a", "a", "b"] + ["b"] * 2), np.array([1.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    assert y.mean() == 0.5
    stated("0.6", TargetEncoder(smooth=2.0, target_type="continuous").fit(x[:, None], y).encodings_[0][0])
    stated("0.6667", y[:3].mean())


@pitfall("Great in training, poor in use: target encoding")
def check_leak():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 300, (600, 1)).astype(str), rng.integers(0, 2, 600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        leaking = TargetEncoder().fit(X, y).transform(X)[:, 0]
        correlations = []
        for seed in range(30):
            again = np.random.default_rng(seed)
            table, label = again.integers(0, 300, (600, 1)).astype(str), again.integers(0, 2, 600)
            column = TargetEncoder().fit(table, label).transform(table)[:, 0]
            correlations.append(np.corrcoef(column, label)[0, 1])
        crossed = [TargetEncoder(random_state=seed).fit_transform(X, y)[:, 0] for seed in range(5)]
    stated("0.66", np.mean(correlations))
    assert np.corrcoef(leaking, y)[0, 1] > 0.55
    assert max(abs(np.corrcoef(one, y)[0, 1]) for one in crossed) < 0.15
    hint, used = y ^ (rng.random(600) < 0.2), rng.integers(0, 2, 600)  # a column that is right four times in five
    table, new = np.c_[X.astype(int), hint], np.c_[X.astype(int), used ^ (rng.random(600) < 0.2)]
    encoder = lambda: ColumnTransformer([("category", TargetEncoder(random_state=0), [0])], remainder="passthrough")
    leaky = quietly(lambda: encoder().fit(table, y))
    wrong = LogisticRegression(C=100).fit(leaky.transform(table), y)
    fitted = quietly(lambda: make_pipeline(encoder(), LogisticRegression(C=100)).fit(table, y))
    assert wrong.score(leaky.transform(table), y) > 0.85 and wrong.score(leaky.transform(new), used) < 0.75
    assert fitted.score(new, used) > 0.75
    gaps = np.zeros(2)
    for seed in range(6):  # noise: the pipeline's own score on the training rows stays too good
        again = np.random.default_rng(seed)
        tables, labels = again.integers(0, 300, (2, 600, 1)).astype(str), again.integers(0, 2, (2, 600))
        model = make_pipeline(TargetEncoder(random_state=0), LogisticRegression(C=100))
        quietly(lambda: model.fit(tables[0], labels[0]))
        gaps += [abs(model.score(table, label) - 0.5) for table, label in zip(tables, labels)]
    assert gaps[0] > 0.48 > 0.3 > gaps[1], gaps


@pitfall("\"Found unknown categories ['c'] in column 0 during transform\"")
def check_unknown_category():
    raises(
        ValueError,
        lambda: OneHotEncoder().fit([["a"], ["b"]]).transform([["c"]]),
        "Found unknown categories ['c'] in column 0 during transform",
    )
    assert OneHotEncoder(handle_unknown="ignore").fit([["a"], ["b"]]).transform([["c"]]).toarray().tolist() == [
        [0.0, 0.0]
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = OneHotEncoder(handle_unknown="ignore", drop="first").fit([["a"], ["b"]]).transform([["c"], ["a"]])
    assert both.toarray().tolist() == [[0.0], [0.0]]


@pitfall("Integer codes for names")
def check_integer_codes():
    city, y = np.arange(60)[:, None] % 3, np.tile([0.0, 10.0, 0.0], 20)  # paris, rome, oslo
    coded = LinearRegression().fit(city, y).predict([[0], [1], [2]])
    assert math.isclose(coded[1], (coded[0] + coded[2]) / 2) and abs(coded[1] - 10) > 5
    indicated = make_pipeline(OneHotEncoder(), LinearRegression()).fit(city, y)
    np.testing.assert_allclose(indicated.predict([[0], [1], [2]]), [0, 10, 0], atol=1e-9)
    native = HistGradientBoostingRegressor(categorical_features=[0], min_samples_leaf=5).fit(city, y)
    np.testing.assert_allclose(native.predict([[0], [1], [2]]), [0, 10, 0], atol=0.1)


@pitfall("The polynomial explodes")
def check_growth_and_its_cures():
    assert abs(math.comb(103, 3) / (100**3 / 6) - 1) < 0.07 and abs(math.comb(1003, 3) / (1000**3 / 6) - 1) < 0.007
    X = np.random.randn(300, 100)
    y = X[:, 0] * X[:, 1] > 0
    with_product = np.c_[X, X[:, 0] * X[:, 1]]
    assert with_product.shape[1] == 101 and LogisticRegression().fit(with_product, y).score(with_product, y) > 0.95
    assert PolynomialFeatures(2).fit(X).n_output_features_ == 5151
    assert polynomial_kernel(X, degree=3).shape == (300, 300)  # 300 numbers a row in place of 176,851
    few = X[:, :2]
    assert LogisticRegression().fit(few, y).score(few, y) < 0.65
    for model in (SVC(kernel="poly", degree=2, coef0=1), DecisionTreeClassifier(max_depth=6)):
        assert model.fit(few, y).score(few, y) > 0.9
        assert model.fit(X[:200], y[:200]).score(X[200:], y[200:]) < 0.75


@pitfall("Features computed differently in production")
def check_shipped_pipeline_and_time_of_prediction():
    X, new = np.random.randn(300, 2) + 5, np.random.randn(200, 2) + [6.0, 4.0]
    y, truth = X[:, 0] > 5, new[:, 0] > 5
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    shipped = pickle.loads(pickle.dumps(fitted))
    rewritten = fitted[1].predict(StandardScaler().fit_transform(new))  # another program scales by the new batch
    assert (shipped.predict(new) == truth).mean() > 0.95 and (rewritten == truth).mean() < 0.8
    sales = np.random.randn(400)  # nothing predicts them
    mean_of_three = np.convolve(sales, np.ones(3) / 3)[: len(sales)]  # of this day and the two before
    later, known = mean_of_three[3:, None], mean_of_three[2:-1, None]  # `known` ends the day before
    assert LinearRegression().fit(later, sales[3:]).score(later, sales[3:]) > 0.2
    assert LinearRegression().fit(known, sales[3:]).score(known, sales[3:]) < 0.05
    notebook, module = types.ModuleType("notebook"), types.ModuleType("shared_features")
    for home in (notebook, module):
        exec("import numpy as np\ndef circle(t):\n    return np.hstack([np.sin(t), np.cos(t)])", home.__dict__)
    for home, found in ((notebook, False), (module, True)):
        sys.modules[home.__name__] = home
        own = make_pipeline(FunctionTransformer(home.circle), LogisticRegression()).fit(X, y)
        saved = pickle.dumps(own)
        if found:  # the serving program imports it as well
            assert (pickle.loads(saved).predict(new) == own.predict(new)).all()
        else:  # the serving program has no such function
            sys.modules[home.__name__] = types.ModuleType(home.__name__)
            raises(AttributeError, lambda data=saved: pickle.loads(data), "Can't get attribute 'circle'")
        del sys.modules[home.__name__]


@holds("Input → output", "In scikit-learn", "Learned from data?", "Same in train and test?")
def check_what_transformers_learn():
    names, targets = np.array([["a"], ["b"], ["a"], ["c"]] * 5), np.arange(20.0)
    numbers = np.random.randn(20, 2)
    for transformer, X in ((OneHotEncoder(), names), (PolynomialFeatures(2), numbers), (StandardScaler(), numbers)):
        both = transformer.fit_transform(X), transformer.transform(X)
        np.testing.assert_array_equal(*(part.toarray() if hasattr(part, "toarray") else part for part in both))
    assert hasattr(OneHotEncoder().fit_transform(names), "toarray")
    assert OneHotEncoder().fit(names).categories_[0].tolist() == ["a", "b", "c"]
    encoder = TargetEncoder(target_type="continuous", cv=3)
    assert not np.allclose(quietly(lambda: encoder.fit_transform(names, targets)), encoder.transform(names))
    assert len(quietly(lambda: encoder.fit(names, 2 * targets)).encodings_[0]) == 3
    X, other = np.random.randn(9, 2), 100 + np.random.randn(9, 2)
    np.testing.assert_array_equal(*(PolynomialFeatures(2).fit(seen).transform(X) for seen in (X, other)))
    table = np.concatenate([names.astype(object), targets[:, None].astype(object)], axis=1)
    columns = ColumnTransformer([("name", OneHotEncoder(), [0]), ("size", StandardScaler(), [1])])
    joined = make_pipeline(columns, LinearRegression())
    assert joined.fit(table, targets)[0].transform(table).shape == (20, 4)


@holds("Do deep networks make feature engineering obsolete?")
def check_a_network_does_not_continue_a_period():
    day, later = np.arange(28 * 4)[:, None] / 4, 28 + np.arange(7 * 4)[:, None] / 4
    wave = lambda t: np.sin(2 * np.pi * t[:, 0] / 7)
    options = dict(learning_rate_init=0.01, max_iter=600, tol=0, n_iter_no_change=600)
    network = MLPRegressor(hidden_layer_sizes=(64, 64), **options)
    scaled = lambda t: (t - 14) / 8
    quietly(lambda: network.fit(scaled(day), wave(day)))
    assert network.activation == "relu" and network.score(scaled(day), wave(day)) > 0.8
    assert network.score(scaled(later), wave(later)) < 0.2
    circle = lambda t: np.c_[np.sin(2 * np.pi * t / 7), np.cos(2 * np.pi * t / 7)]
    assert LinearRegression().fit(circle(day), wave(day)).score(circle(later), wave(later)) > 0.99


@holds("Do trees need scaling or monotone transforms?")
def check_trees_ignore_monotone_transforms():
    X, y = np.random.rand(200, 3), np.random.randint(0, 2, 200)
    plain = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)
    bent = DecisionTreeClassifier(max_depth=4, random_state=0).fit(np.exp(5 * X), y)
    np.testing.assert_array_equal(plain.apply(X), bent.apply(np.exp(5 * X)))
    drawn = [ExtraTreeClassifier(random_state=0).fit(unit, y).apply(unit) for unit in (X, np.exp(5 * X))]
    assert not np.array_equal(*drawn)  # thresholds drawn at random do not follow the transform
    for unseen in (1e-8 * X, X + 1e9):  # gaps below 1e-7; gaps that float32 rounds away
        assert DecisionTreeClassifier().fit(unseen, y).get_n_leaves() == 1 < plain.get_n_leaves()
        assert all(tree.get_n_leaves() == 1 for tree in RandomForestClassifier(5).fit(unseen, y).estimators_)
        half = X[:, 0] > 0.5
        assert HistGradientBoostingClassifier(max_iter=20).fit(unseen, half).score(unseen, half) > 0.9


@holds("Why drop one indicator per categorical column?")
def check_indicators_and_intercept():
    X = OneHotEncoder(sparse_output=False).fit_transform(np.random.choice(list("abc"), (50, 1)))
    assert np.linalg.matrix_rank(np.c_[np.ones(50), X]) == 3
    design = np.c_[np.ones(50), X]
    assert X.sum(1).tolist() == [1] * 50
    least = lambda penalty: np.linalg.eigvalsh(design.T @ design + penalty)[0]
    assert least(0) < 1e-9 < 0.1 < least(np.diag([0, 1, 1, 1]))
    dropped = OneHotEncoder(sparse_output=False, drop="first").fit_transform(np.random.choice(list("abc"), (50, 1)))
    assert np.linalg.matrix_rank(np.c_[np.ones(50), dropped]) == 3 == 1 + dropped.shape[1]
