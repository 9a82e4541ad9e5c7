import math
import warnings

import numpy as np
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, TargetEncoder
from sklearn.tree import DecisionTreeClassifier

from note_checks import check, formula, raises, stated

COUNT = r"D = \binom{n + d}{d}"
CIRCLE = r"""
\phi(t) = \left( \sin \frac{2\pi t}{P},\; \cos \frac{2\pi t}{P} \right), \qquad \lVert \phi(t) - \phi(t') \rVert = 2 \left| \sin \frac{\pi (t - t')}{P} \right|
"""
TARGET = r"e_c = \frac{\sum_{i:\, x_i = c} y_i + m\,\bar{y}}{n_c + m}"


@formula(COUNT)
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
            assert math.isclose(np.linalg.norm(phi(t) - phi(other)), 2 * abs(math.sin(math.pi * (t - other) / P)), abs_tol=1e-9)
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


@check
def check_leak():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 300, (600, 1)).astype(str), rng.integers(0, 2, 600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        leaking = TargetEncoder().fit(X, y).transform(X)[:, 0]
        crossed = [TargetEncoder(random_state=seed).fit_transform(X, y)[:, 0] for seed in range(5)]
    stated("0.67", np.corrcoef(leaking, y)[0, 1])
    assert max(abs(np.corrcoef(one, y)[0, 1]) for one in crossed) < 0.15


@check
def check_unknown_category():
    raises(
        ValueError,
        lambda: OneHotEncoder().fit([["a"], ["b"]]).transform([["c"]]),
        "Found unknown categories ['c'] in column 0 during transform",
    )
    assert OneHotEncoder(handle_unknown="ignore").fit([["a"], ["b"]]).transform([["c"]]).toarray().tolist() == [[0.0, 0.0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = OneHotEncoder(handle_unknown="ignore", drop="first").fit([["a"], ["b"]]).transform([["c"], ["a"]])
    assert both.toarray().tolist() == [[0.0], [0.0]]


@check
def check_trees_ignore_monotone_transforms():
    X, y = np.random.rand(200, 3), np.random.randint(0, 2, 200)
    plain = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)
    bent = DecisionTreeClassifier(max_depth=4, random_state=0).fit(np.exp(5 * X), y)
    np.testing.assert_array_equal(plain.apply(X), bent.apply(np.exp(5 * X)))
    for unseen in (1e-8 * X, X + 1e9):                             # gaps below 1e-7; gaps that float32 rounds away
        assert DecisionTreeClassifier().fit(unseen, y).get_n_leaves() == 1 < plain.get_n_leaves()


@check
def check_indicators_and_intercept():
    X = OneHotEncoder(sparse_output=False).fit_transform(np.random.choice(list("abc"), (50, 1)))
    assert np.linalg.matrix_rank(np.c_[np.ones(50), X]) == 3
    dropped = OneHotEncoder(sparse_output=False, drop="first").fit_transform(np.random.choice(list("abc"), (50, 1)))
    assert np.linalg.matrix_rank(np.c_[np.ones(50), dropped]) == 3 == 1 + dropped.shape[1]
