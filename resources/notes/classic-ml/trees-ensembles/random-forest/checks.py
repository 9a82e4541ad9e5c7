import math
import pickle

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, make_classification, make_moons
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, recall_score
from sklearn.model_selection import GroupKFold, KFold, TimeSeriesSplit, cross_val_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, export_text

from note_checks import check, formula, holds, pitfall, quietly, sourced, stated

MEAN = r"\hat{f}(x) = \frac{1}{B} \sum_{b=1}^{B} f_b(x)"
VARIANCE = r"\mathrm{Var}(\hat{f}) = \rho v + \frac{1 - \rho}{B} v"
LEFT_OUT = r"\left( 1 - \frac{1}{n} \right)^{n} \longrightarrow e^{-1} \approx 0.368"
OOB = r"""
\hat{f}_{\mathrm{oob}}(x_i) = \frac{1}{|\{ b : i \notin D_b \}|} \sum_{b :\, i \notin D_b} f_b(x_i)
"""

sourced("scikit-learn, What's New 1.4: missing values in random forests", "`RandomForestClassifier().fit(X, y)`")
sourced(
    "scikit-learn user guide, Extremely Randomized Trees: variance a bit more, slightly greater bias", "Extra trees"
)


def problem(n=120, d=5):
    X = np.random.randn(n, d)
    return X, (X[:, 0] + X[:, 1] ** 2 + 0.5 * np.random.randn(n) > 0.8).astype(int)


@formula(MEAN)
@holds("`predict_proba(X)`")
def check_mean():
    X, y = problem()
    for forest, of in [
        (RandomForestClassifier(15, max_depth=4, random_state=0), "predict_proba"),
        (ExtraTreesClassifier(15, max_depth=4, random_state=0), "predict_proba"),
        (RandomForestRegressor(15, random_state=0), "predict"),
    ]:
        forest.fit(X, y)
        new = np.random.randn(9, 5).astype(np.float32)
        ours = sum(getattr(tree, of)(new) for tree in forest.estimators_) / 15
        np.testing.assert_allclose(ours, getattr(forest, of)(new), atol=1e-12)


@formula(VARIANCE)
def check_variance():
    """Drawn values, and real trees: the variance of a forest's prediction follows from one tree's variance and correlation."""
    for B, rho, v in [(2, 0.0, 1.0), (10, 0.3, 2.0)]:
        covariance = v * (rho * np.ones((B, B)) + (1 - rho) * np.eye(B))
        drawn = np.random.multivariate_normal(np.zeros(B), covariance, 200_000).mean(1).var()
        assert abs(drawn / (rho * v + (1 - rho) / B * v) - 1) < 0.03
    at, outputs = np.array([[0.3, -0.2]], dtype=np.float32), []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(40, 2))
        forest = RandomForestRegressor(12, random_state=seed).fit(X, X[:, 0] + 0.5 * rng.normal(size=40))
        outputs.append([tree.predict(at)[0] for tree in forest.estimators_])
    outputs = np.array(outputs)
    covariance = np.cov(outputs.T, bias=True)
    v = np.diag(covariance).mean()
    rho = (covariance.sum() - np.trace(covariance)) / (12 * 11) / v
    assert 0.05 < rho < 0.95 and math.isclose(outputs.mean(1).var(), rho * v + (1 - rho) / 12 * v, rel_tol=1e-9)


@formula(LEFT_OUT)
def check_left_out():
    stated("0.368", math.exp(-1))
    assert abs((1 - 1e-6) ** 1e6 - math.exp(-1)) < 1e-5
    for n in (10, 120):
        X, y = problem(n)
        forest = RandomForestClassifier(400, max_depth=1, random_state=0).fit(X, y)
        share = 1 - np.mean([len(np.unique(rows)) / n for rows in forest.estimators_samples_])
        assert abs(share - (1 - 1 / n) ** n) < 0.01
    stated("0.3487", 0.9**10)
    X, y = make_classification(1000, 10, weights=[0.9], random_state=0)  # the condition: these weights change the draws
    share = [
        np.mean([y[rows].mean() for rows in RandomForestClassifier(20, class_weight=w).fit(X, y).estimators_samples_])
        for w in (None, "balanced")
    ]
    assert abs(share[0] - y.mean()) < 0.02 and abs(share[1] - 0.5) < 0.03


@formula(OOB)
@holds("`oob_score=True`")
def check_oob():
    X, y = problem()
    forest = RandomForestClassifier(60, oob_score=True, random_state=0).fit(X, y)
    total, count = np.zeros((120, 2)), np.zeros(120)
    for tree, rows in zip(forest.estimators_, forest.estimators_samples_):
        outside = np.setdiff1d(np.arange(120), rows)
        total[outside] += tree.predict_proba(X[outside].astype(np.float32))
        count[outside] += 1
    np.testing.assert_allclose(total / count[:, None], forest.oob_decision_function_, atol=1e-12)
    assert math.isclose((total.argmax(1) == y).mean(), forest.oob_score_)
    forest = RandomForestRegressor(60, oob_score=True, random_state=0).fit(X, X[:, 0])
    assert math.isclose(r2_score(X[:, 0], forest.oob_prediction_), forest.oob_score_)


@check
def check_by_hand():
    variance = lambda B: 0.3 + 0.7 / B
    stated("0.37", variance(10))
    stated("0.307", variance(100))
    X, y = load_breast_cancer(return_X_y=True)
    assert RandomForestClassifier(2).fit(X, y).estimators_[0].max_features_ == 5 == int(math.sqrt(30))
    constant = np.zeros((40, 10))
    constant[:, 3] = np.arange(40)
    parity = np.arange(40) % 2
    assert RandomForestClassifier(5, max_features=1, bootstrap=False).fit(constant, parity).score(constant, parity) == 1
    mostly_constant = np.c_[np.random.randn(200, 5), np.zeros((200, 25))]
    stumps = (
        RandomForestClassifier(200, max_depth=1, random_state=0)
        .fit(mostly_constant, mostly_constant[:, 0] > 0)
        .estimators_
    )
    assert 0.1 < np.mean([stump.tree_.feature[0] == 0 for stump in stumps]) < 0.4


@holds("`RandomForestClassifier().fit(X, y)`", "Defaults", "Regressor")
def check_defaults():
    forest, regressor, extra = RandomForestClassifier(), RandomForestRegressor(), ExtraTreesClassifier()
    assert (forest.n_estimators, forest.max_features, forest.bootstrap, forest.max_depth) == (100, "sqrt", True, None)
    assert regressor.max_features == 1.0 and extra.bootstrap is False and forest.oob_score is False
    X, y = problem()
    X[0, 0] = np.nan
    assert RandomForestClassifier(5).fit(X, y).predict_proba(X).shape == (120, 2)
    assert [p.shape for p in RandomForestClassifier(5).fit(X, np.c_[y, y]).predict_proba(X)] == [(120, 2)] * 2


@holds("`RandomForestClassifier().fit(X, y)`")
def check_cast_to_float32():
    forest = RandomForestClassifier(5, random_state=0)
    X, y = 1 + 1e-9 * np.arange(40.0)[:, None], np.arange(40) > 19  # apart in float64, one value in float32
    assert forest.fit(X, y).predict_proba(X).std() < 0.5 and len(np.unique(forest.predict_proba(X)[:, 0])) == 1


@holds("Do features need scaling?")
def check_scaling_changes_nothing():
    X, y = problem(400)
    fit = lambda scale: (
        RandomForestClassifier(30, random_state=0).fit(X[:200] * scale, y[:200]).predict_proba(X[200:] * scale)
    )
    assert np.array_equal(fit(1), fit(2.0 ** np.array([-3, 0, 4, 9, 13])))  # powers of two: no rounding


@holds("Do features need scaling?")
def check_close_values_are_equal():
    X, y = np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20)
    for gap, score in ((2e-7, 1.0), (0.9e-7, 0.5)):
        assert RandomForestClassifier(20, random_state=0).fit(gap * X, y).score(gap * X, y) == score
    for seed in range(3):  # Unix times one second apart: neighbours in float32 are 128 seconds apart
        time, y = 1.7e9 + np.arange(600.0)[:, None], np.arange(600) // 30 % 2
        raw, since = (
            RandomForestClassifier(20, random_state=seed).fit(t, y).score(t, y) for t in (time, time - time.min())
        )
        assert raw < 0.8 < 0.95 < since, (raw, since)


@holds("`predict_proba(X)`")
def check_probabilities_are_not_votes():
    X, y = problem()
    forest = RandomForestClassifier(25, max_depth=2, random_state=0).fit(X, y)
    votes = np.mean([tree.predict(X) for tree in forest.estimators_], axis=0)
    assert np.abs(votes - forest.predict_proba(X)[:, 1]).max() > 0.1


@pitfall("A random column looks important")
def check_importance_of_noise():
    X, y = load_breast_cancer(return_X_y=True)
    X = np.column_stack([X[:, :5], np.random.default_rng(0).normal(size=len(X))])
    forest = RandomForestClassifier(200, random_state=0).fit(X[::2], y[::2])
    assert forest.feature_importances_[-1] > 0.02
    assert (
        abs(permutation_importance(forest, X[1::2], y[1::2], n_repeats=10, random_state=0).importances_mean[-1]) < 0.01
    )
    y = np.random.randint(2, size=400)
    X = np.c_[
        y ^ (np.random.rand(400) < 0.2), np.random.randint(2, size=400), np.random.randn(400)
    ]  # two values, two, many
    forest = RandomForestClassifier(100, random_state=0).fit(X[:200], y[:200])
    assert forest.feature_importances_[2] > 0.4 > 0.1 > forest.feature_importances_[1]
    shuffled = permutation_importance(forest, X[200:], y[200:], random_state=0).importances_mean
    assert abs(shuffled[1:]).max() < 0.05 < 0.15 < shuffled[0]


@check
def check_correlated_features_hide_each_other():
    signal = np.random.randn(1200)
    X, y = np.c_[signal[:, None] + 0.02 * np.random.randn(1200, 6), np.random.randn(1200)], (signal > 0).astype(int)
    forest = RandomForestClassifier(100, random_state=0).fit(X[:600], y[:600])
    alone = permutation_importance(forest, X[600:], y[600:], random_state=0).importances_mean
    together = X[600:].copy()
    together[:, :6] = np.random.permutation(together[:, :6])
    assert alone.max() < 0.1 and forest.score(X[600:], y[600:]) - forest.score(together, y[600:]) > 0.4


@pitfall("The regressor behaves like bagging")
@holds("Regressor", "Why random features and not only bootstrap?")
def check_regressor_and_bagging():
    X, new = np.random.randn(300, 9), np.random.randn(300, 9)
    y = 3 * X[:, 0] + X[:, 1] + np.random.randn(300)

    def first_and_correlation(ensemble):
        trees = ensemble.fit(X, y).estimators_
        errors = np.array([tree.predict(new) for tree in trees]) - 3 * new[:, 0] - new[:, 1]
        return np.mean([tree.tree_.feature[0] == 0 for tree in trees]), np.corrcoef(errors)[
            np.triu_indices(60, 1)
        ].mean()

    bagging, default = (
        first_and_correlation(BaggingRegressor(n_estimators=60)),
        first_and_correlation(RandomForestRegressor(60)),
    )
    assert bagging[0] == default[0] == 1 and abs(bagging[1] - default[1]) < 0.03
    for features in (1 / 3, "sqrt"):
        assert first_and_correlation(RandomForestRegressor(60, max_features=features))[0] < 0.6

    def rho(features, runs=40, trees=6):
        """The correlation of two trees' predictions over fresh training sets."""
        outputs = []
        for _ in range(runs):
            X = np.random.randn(100, 9)
            forest = RandomForestRegressor(trees, max_features=features).fit(
                X, 3 * X[:, 0] + X[:, 1] + np.random.randn(100)
            )
            outputs.append([tree.predict(new[:40]) for tree in forest.estimators_])
        apart = np.array(outputs) - np.mean(outputs, (0, 1))
        both = (apart.sum(1) ** 2 - (apart**2).sum(1)).mean() / (trees * (trees - 1))
        return both / (apart**2).mean()

    assert rho("sqrt") < 0.65 * rho(1.0)


@check
def check_importances_of_the_figure():
    X, y = load_breast_cancer(return_X_y=True)
    X = np.column_stack([X[:, [1, 4, 8, 9, 11]], np.random.default_rng(0).normal(size=len(X))])
    forest = RandomForestClassifier(300, random_state=0).fit(X[::2], y[::2])
    stated("8%", forest.feature_importances_[-1])
    assert permutation_importance(forest, X[1::2], y[1::2], n_repeats=20, random_state=0).importances_mean[-1] < 0.005


@pitfall("Rare classes are never predicted")
def check_rare_class():
    X = np.random.randn(6000, 2)
    y = (np.random.rand(6000) < 1 / (1 + np.exp(4 - X[:, 0]))).astype(int)

    def forest(**options):
        return RandomForestClassifier(60, random_state=0, **options).fit(X[:3000], y[:3000])

    def recall(found):
        return recall_score(y[3000:], found)

    broken = forest()
    chance = broken.predict_proba(X[3000:])[y[3000:] == 1, 1]
    assert (
        np.mean(chance < 0.5) > 0.95
        and recall(broken.predict(X[3000:])) < 0.02
        and recall(broken.predict_proba(X[3000:])[:, 1] > 0.05) > 0.2
    )
    assert (broken.predict_proba(X[3000:])[y[3000:] == 1].argmax(1) == 0).mean() > 0.95  # another class has more
    weights_only = forest(class_weight="balanced_subsample")
    assert all(tree.tree_.impurity[tree.tree_.children_left < 0].max() < 1e-9 for tree in weights_only.estimators_)
    assert recall(weights_only.predict(X[3000:])) < 0.05
    assert recall(forest(class_weight="balanced_subsample", min_samples_leaf=50).predict(X[3000:])) > 0.35


@check
def check_rare_class_of_real_data():
    X, y = load_digits(return_X_y=True)
    y = (y == 8).astype(int)
    fit = lambda **options: RandomForestClassifier(60, random_state=0, **options).fit(X[::2], y[::2])
    broken, larger = fit(), fit(class_weight="balanced_subsample", min_samples_leaf=50)
    lower = broken.predict_proba(X[1::2])[:, 1] > 0.1
    found = [recall_score(y[1::2], one) for one in (broken.predict(X[1::2]), larger.predict(X[1::2]), lower)]
    assert found[0] < 0.75 and min(found[1:]) > found[0] + 0.05


@check
def check_class_weight_needs_larger_leaves():
    X, y = make_classification(4000, 10, n_informative=4, weights=[0.95], flip_y=0.05, class_sep=0.6, random_state=0)
    recall = lambda **options: recall_score(
        y[2000:], RandomForestClassifier(60, random_state=0, **options).fit(X[:2000], y[:2000]).predict(X[2000:])
    )
    weighted = recall(class_weight="balanced_subsample")
    assert (
        weighted < recall() + 0.02
        and recall(class_weight="balanced_subsample", min_samples_leaf=10) > max(weighted, recall()) + 0.05
    )


@pitfall("OOB or cross-validation scores are far too good")
def check_duplicates_deceive():
    X, y = np.random.randn(60, 4), np.random.randint(2, size=60)
    copies = RandomForestClassifier(100, oob_score=True, random_state=0).fit(np.tile(X, (4, 1)), np.tile(y, 4))
    alone = RandomForestClassifier(100, oob_score=True, random_state=0).fit(X, y)
    assert copies.oob_score_ > 0.95 and alone.oob_score_ < 0.75
    of, forest = np.tile(np.arange(60), 4), RandomForestClassifier(30, oob_score=True, random_state=0)
    near = np.tile(X, (4, 1)) + 0.01 * np.random.randn(240, 4)  # repeated measurements, labels by chance
    assert forest.fit(near, y[of]).oob_score_ > 0.95
    assert cross_val_score(forest, near, y[of], cv=KFold(5, shuffle=True, random_state=0)).mean() > 0.95
    assert cross_val_score(forest, near, y[of], groups=of, cv=GroupKFold(5)).mean() < 0.7
    time, walk = np.arange(600)[:, None], np.random.randn(600).cumsum()
    forest = RandomForestRegressor(30, oob_score=True, random_state=0)
    assert forest.fit(time, walk).oob_score_ > 0.9
    assert cross_val_score(forest, time, walk, cv=KFold(5, shuffle=True, random_state=0)).mean() > 0.9
    assert cross_val_score(forest, time, walk, cv=TimeSeriesSplit()).mean() < 0


@pitfall("Predictions never leave the training range")
def check_no_extrapolation():
    x = np.linspace(0, 1, 50)[:, None]
    assert RandomForestRegressor(20).fit(x, x[:, 0]).predict([[9.0]])[0] <= 1
    time = np.arange(200.0)[:, None]
    y, phase = 2 * time[:, 0] + 5 * np.sin(np.pi * time[:, 0] / 10), time % 20
    broken = RandomForestRegressor(50).fit(np.c_[time, phase][:150], y[:150]).predict(np.c_[time, phase][150:])
    assert broken.max() <= y[:150].max() and abs(broken - y[150:]).max() > 90
    trend = LinearRegression().fit(time[:150], y[:150])
    rest = RandomForestRegressor(50).fit(phase[:150], y[:150] - trend.predict(time[:150]))
    assert abs(trend.predict(time[150:]) + rest.predict(phase[150:]) - y[150:]).max() < 1
    assert abs(trend.predict(time[150:]) - y[150:]).max() < 8  # another model that extrapolates


@holds("Cost")
def check_cost():
    X, y = problem()
    size = lambda **options: len(pickle.dumps(RandomForestClassifier(random_state=0, **options).fit(X, y)))
    leaves = [
        np.mean(
            [t.get_n_leaves() for t in RandomForestClassifier(40, max_depth=d, random_state=0).fit(X, y).estimators_]
        )
        for d in (2, None)
    ]
    assert 3.5 < size(n_estimators=200) / size(n_estimators=50) < 4.5 and leaves[1] > 3 * leaves[0]
    assert size(n_estimators=40) > 1.5 * size(n_estimators=40, max_depth=2)
    one, two = (RandomForestClassifier(10, random_state=0, n_jobs=jobs).fit(X, y).predict_proba(X) for jobs in (1, 2))
    assert np.array_equal(one, two)


@holds("Random forest", "Extra trees", "Gradient boosting", "Single tree")
def check_four_kinds_of_trees():
    X, y = problem(200)
    forest, extra = RandomForestClassifier(20).fit(X, y), ExtraTreesClassifier(20).fit(X, y)
    assert all(len(np.unique(rows)) < 200 for rows in forest.estimators_samples_)
    assert all(len(np.unique(rows)) == 200 for rows in extra.estimators_samples_)
    assert {t.splitter for t in forest.estimators_} == {"best"} and {t.splitter for t in extra.estimators_} == {
        "random"
    }
    assert {t.max_features for t in [*forest.estimators_, *extra.estimators_]} == {"sqrt"}
    tree = DecisionTreeClassifier().fit(X, y)
    for one in (*forest.estimators_, *extra.estimators_, tree):
        assert one.max_depth is None and one.get_depth() > 3
    assert tree.max_features is None and "feature_0" in export_text(tree)
    two = GradientBoostingRegressor(n_estimators=2, learning_rate=1.0).fit(X, X[:, 0] ** 2)
    left = X[:, 0] ** 2 - two.init_.predict(X).ravel() - two.estimators_[0, 0].predict(X)
    second = DecisionTreeRegressor(max_depth=3).fit(X, left)
    assert two.max_depth == 3 and np.allclose(second.predict(X), two.estimators_[1, 0].predict(X))


@holds("Random forest", "Extra trees", "Gradient boosting")
def check_bias_and_variance():
    """Over fresh training sets, against one tree of the same depth."""
    grid = np.random.default_rng(1).uniform(-2, 2, (200, 2))
    truth = lambda X: np.sin(2 * X[:, 0]) + X[:, 1]

    def bias_and_variance(model, runs=25):
        outputs = []
        for seed in range(runs):
            rng = np.random.default_rng(seed)
            X = rng.uniform(-2, 2, (150, 2))
            outputs.append(model.fit(X, truth(X) + 0.5 * rng.normal(size=150)).predict(grid))
        return ((np.mean(outputs, 0) - truth(grid)) ** 2).mean(), np.var(outputs, axis=0).mean()

    deep, shallow = bias_and_variance(DecisionTreeRegressor()), bias_and_variance(DecisionTreeRegressor(max_depth=3))
    for averaged in (RandomForestRegressor(30, max_features=1), ExtraTreesRegressor(30)):
        assert bias_and_variance(averaged)[1] < 0.6 * deep[1]
    assert bias_and_variance(GradientBoostingRegressor())[0] < 0.4 * shallow[0]


@holds("How does OOB relate to cross-validation?")
def check_oob_and_cross_validation():
    X, y = make_moons(300, noise=0.35, random_state=0)
    forest = lambda trees, seed: RandomForestClassifier(trees, oob_score=True, random_state=seed)
    outside = np.mean(
        [len(np.setdiff1d(np.arange(300), rows)) / 300 for rows in forest(60, 0).fit(X, y).estimators_samples_]
    )
    stated("37%", outside)
    scores = [
        np.mean([quietly(lambda: forest(trees, seed).fit(X, y).oob_score_) for seed in range(6)]) for trees in (8, 150)
    ]
    crossed = cross_val_score(RandomForestClassifier(150, random_state=0), X, y, cv=5).mean()
    assert abs(scores[1] - crossed) < 0.03 and scores[0] < scores[1] - 0.015


@holds("Can more trees overfit?")
def check_deep_trees_fit_noise():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3400, 5))
    truth = (X[:, 0] > 0).astype(int)
    noisy = truth ^ (rng.random(3400) < 0.3)
    deep, larger = (
        RandomForestClassifier(60, min_samples_leaf=n, random_state=0).fit(X[:400], noisy[:400]) for n in (1, 20)
    )
    assert (
        deep.score(X[:400], noisy[:400]) > 0.98
        and larger.score(X[400:], noisy[400:]) > deep.score(X[400:], noisy[400:]) + 0.02
    )


@holds("Can more trees overfit?")
def check_convergence_of_trees():
    X, y = problem(400)
    scores = [
        RandomForestClassifier(B, random_state=0).fit(X[:200], y[:200]).score(X[200:], y[200:]) for B in (1, 100, 300)
    ]
    assert scores[1] > scores[0] and abs(scores[2] - scores[1]) < 0.03
