import math

import numpy as np
from sklearn.datasets import load_digits, make_moons
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, export_text

from note_checks import by_definition, check, formula, holds, pitfall, stated

SPLIT = r"(j^*, t^*) = \arg\min_{j, t} \left( \frac{n_L}{n} Q(L) + \frac{n_R}{n} Q(R) \right)"
VARIANCE = r"Q(S) = \frac{1}{|S|} \sum_{i \in S} (y_i - \bar{y}_S)^2"
PRUNING = (
    r"R_\alpha(T) = \sum_{\ell \in \mathrm{leaves}(T)} \frac{n_\ell}{N}\, Q(\ell) + \alpha \, |\mathrm{leaves}(T)|"
)


by_definition("Cost")  # each level sorts every feature of its samples


def variance(y):
    return ((y - y.mean()) ** 2).sum() / len(y)


def gini(y):
    return 1 - ((np.unique(y, return_counts=True)[1] / len(y)) ** 2).sum()


def best_split(X, y, impurity):
    found = []
    for j in range(X.shape[1]):
        values = np.unique(X[:, j])
        for t in (values[1:] + values[:-1]) / 2:
            left = X[:, j] <= t
            found.append(((left.mean() * impurity(y[left]) + (~left).mean() * impurity(y[~left])), j, t))
    return min(found)


@formula(SPLIT, VARIANCE)
def check_first_split():
    for n, d in [(12, 1), (40, 3), (80, 5)]:
        X = np.random.randn(n, d).astype(np.float32).astype(np.float64)
        for y, impurity, model in [
            (np.random.randn(n) + X[:, 0], variance, DecisionTreeRegressor(max_depth=1)),
            ((X[:, -1] + np.random.randn(n) > 0).astype(int), gini, DecisionTreeClassifier(max_depth=1)),
        ]:
            tree = model.fit(X, y).tree_
            score, j, t = best_split(X, y, impurity)
            of_library = (tree.weighted_n_node_samples[1:] * tree.impurity[1:]).sum() / n
            assert math.isclose(score, of_library, abs_tol=1e-6) and math.isclose(
                tree.impurity[0], impurity(y), rel_tol=1e-6
            )
            if impurity is variance:
                assert tree.feature[0] == j and math.isclose(tree.threshold[0], t, abs_tol=1e-6)


@formula(PRUNING)
def check_pruning():
    """Among all prunings of a grown tree, the library's choice has the lowest R_alpha; enumerated for small trees."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] * X[:, 1] + 0.5 * rng.normal(size=40) > 0).astype(int)
    options = {"max_depth": 3, "random_state": 0}
    full = DecisionTreeClassifier(**options).fit(X, y).tree_
    weight = full.weighted_n_node_samples / full.weighted_n_node_samples[0]

    def prunings(node):
        yield [node]
        left, right = full.children_left[node], full.children_right[node]
        if left >= 0:
            for a in prunings(left):
                for b in prunings(right):
                    yield a + b

    for alpha in (0.0, 0.01, 0.03, 0.08, 0.3):
        cost = lambda leaves: sum(weight[leaf] * full.impurity[leaf] for leaf in leaves) + alpha * len(leaves)
        best = min(cost(leaves) for leaves in prunings(0))
        pruned = DecisionTreeClassifier(ccp_alpha=alpha, **options).fit(X, y).tree_
        leaves = pruned.children_left < 0
        ours = (pruned.weighted_n_node_samples[leaves] / 40 * pruned.impurity[leaves]).sum() + alpha * leaves.sum()
        assert math.isclose(ours, best, abs_tol=1e-9), alpha


@check
def check_by_hand():
    x, y = np.arange(1.0, 6.0)[:, None], np.array([1.0, 1, 5, 6, 7])
    tree = DecisionTreeRegressor(max_depth=1).fit(x, y)
    assert tree.tree_.threshold[0] == 2.5 and y.mean() == 4 and tree.predict([[1.0], [100.0]]).tolist() == [1, 6]
    stated("6.4", tree.tree_.impurity[0])
    stated("0.4", 0.4 * variance(y[:2]) + 0.6 * variance(y[2:]))
    stated("3.5556", variance(y[:3]))
    stated("0.25", variance(y[3:]))
    stated("2.2333", 0.6 * variance(y[:3]) + 0.4 * variance(y[3:]))
    for k in (1, 4):
        stated("4.15", k / 5 * variance(y[:k]) + (5 - k) / 5 * variance(y[k:]))


@holds("Defaults", "`predict_proba(X)`", "`DecisionTreeClassifier().fit(X, y)`", "Scaling", "Cost")
def check_defaults():
    classifier, regressor = DecisionTreeClassifier(), DecisionTreeRegressor()
    assert (classifier.criterion, regressor.criterion, classifier.max_depth) == ("gini", "squared_error", None)
    assert (classifier.min_samples_leaf, classifier.ccp_alpha, classifier.max_features) == (1, 0.0, None)
    X, y = np.random.randn(30, 2), np.random.randint(3, size=30)
    assert classifier.fit(X, y).predict_proba(X).shape == (30, 3) and classifier.score(X, y) == 1.0
    assert [p.shape for p in DecisionTreeClassifier().fit(X, np.stack([y, y], 1)).predict_proba(X)] == [(30, 3)] * 2
    assert DecisionTreeClassifier().fit([[1], [1], [2]], [0, 1, 1]).score([[1], [1], [2]], [0, 1, 1]) < 1
    leaf = DecisionTreeClassifier(max_depth=1).fit(X, y)
    node = leaf.apply(X)
    np.testing.assert_allclose(leaf.predict_proba(X[:1])[0], [(y[node == node[0]] == k).mean() for k in range(3)])
    assert DecisionTreeRegressor().fit(X, np.stack([y, y], 1)).predict(X).shape == (30, 2)
    grown = lambda Z: DecisionTreeClassifier(random_state=0).fit(Z, y).apply(Z)  # the training samples
    np.testing.assert_array_equal(grown(X), grown(np.exp(X)))
    deep = DecisionTreeClassifier().fit(X, y)
    assert deep.decision_path(X).sum(1).max() == deep.get_depth() + 1  # one node per level


@pitfall("The same data give different trees")
def check_random_ties():
    x = np.random.randn(40)
    X, y = np.stack([x, x], 1), (x > 0).astype(int)
    assert {int(DecisionTreeClassifier(random_state=seed).fit(X, y).tree_.feature[0]) for seed in range(20)} == {0, 1}
    same = [DecisionTreeClassifier(random_state=3).fit(X, y).tree_.feature[0] for _ in range(3)]
    assert len(set(same)) == 1


@pitfall("Two different values cannot be separated")
@holds("Scaling", "`DecisionTreeClassifier().fit(X, y)`")
def check_float32():
    X = np.array([[16_777_216.0], [16_777_217.0]] * 5)
    y = np.array([0, 1] * 5)
    assert DecisionTreeClassifier().fit(X, y).score(X, y) == 0.5
    assert DecisionTreeClassifier().fit(X - 16_777_216, y).score(X - 16_777_216, y) == 1.0
    X = np.array([[0.0], [1.0]] * 5)
    for gap, score in ((2e-7, 1.0), (0.9e-7, 0.5), (0.9e-7 * 1e6, 1.0)):
        assert DecisionTreeClassifier().fit(gap * X, y).score(gap * X, y) == score


@pitfall("Category codes are treated as numbers")
def check_codes_have_an_order():
    codes, y = np.array([[0.0], [1], [2]] * 5), np.array([1, 0, 1] * 5)
    assert DecisionTreeClassifier(max_depth=1).fit(codes, y).score(codes, y) < 1
    one_hot = np.eye(3)[codes[:, 0].astype(int)]
    assert DecisionTreeClassifier(max_depth=1).fit(one_hot, y).score(one_hot, y) == 1
    codes, y = np.tile(codes, (8, 1)), np.tile(y, 8)
    boosted = lambda **kinds: (
        HistGradientBoostingClassifier(max_iter=10, max_leaf_nodes=2, **kinds).fit(codes, y).score(codes, y)
    )
    assert boosted() < boosted(categorical_features=[0]) == 1
    many, good = np.arange(6000) % 100, np.random.rand(100) < 0.5
    boost = lambda kinds: HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=4, categorical_features=kinds)
    wrong, right = (boost(kinds).fit(many[:, None], good[many]) for kinds in (None, [0]))
    assert wrong.score(many[:, None], good[many]) < 0.9 < 0.99 < right.score(many[:, None], good[many])
    assert (
        DecisionTreeClassifier(max_depth=3).fit(np.eye(100)[many], good[many]).score(np.eye(100)[many], good[many])
        < 0.75
    )


@pitfall("Training accuracy 100%, test accuracy mediocre")
def check_what_restrains_a_tree():
    scores = []
    for seed in range(3):
        X, y = make_moons(1000, noise=0.35, random_state=seed)
        tree = DecisionTreeClassifier(random_state=0)
        grids = (
            {"min_samples_leaf": [1, 3, 10, 20, 40]},
            {"max_depth": [2, 3, 5, 8, None]},
            {"ccp_alpha": [0, 0.002, 0.005, 0.01, 0.02]},
        )
        models = [tree, *(GridSearchCV(tree, grid) for grid in grids), RandomForestClassifier(30, random_state=0)]
        scores.append([model.fit(X[:300], y[:300]).score(X[300:], y[300:]) for model in models])
        assert tree.score(X[:300], y[:300]) == 1
    unlimited, *cures = np.mean(scores, 0)
    assert min(cures) > unlimited + 0.01
    X, clean = load_digits(return_X_y=True)
    parts = np.random.permutation(len(X)).reshape(3, -1)
    noisy = np.where(np.random.rand(len(X)) < 0.2, np.random.randint(10, size=len(X)), clean)
    for labels, gains in ((clean, False), (noisy, True)):
        fitted = lambda model, k: model.fit(X[parts[k]], labels[parts[k]]).score(X[parts[k - 1]], clean[parts[k - 1]])
        score = lambda model: np.mean([fitted(model, k) for k in range(3)])
        plain = score(DecisionTreeClassifier(random_state=0))
        for limit in ({"min_samples_leaf": 5}, {"max_depth": 7}, {"ccp_alpha": 0.006}):
            assert (score(DecisionTreeClassifier(random_state=0, **limit)) > plain + 0.015) == gains, (limit, gains)
        assert score(RandomForestClassifier(20, random_state=0)) > plain + 0.08


@pitfall("Predictions stay flat outside the training range")
def check_trend():
    x = np.arange(100.0)[:, None]
    y = 2 * x[:, 0] + np.sin(x[:, 0])
    far = np.array([[150.0], [200.0]])
    assert len(set(DecisionTreeRegressor().fit(x, y).predict(far))) == 1
    line = LinearRegression().fit(x, y)
    rest = DecisionTreeRegressor().fit(x, y - line.predict(x))
    assert np.abs(line.predict(far) + rest.predict(far) - 2 * far[:, 0]).max() < 3
    season = np.arange(99)[:, None] % 6
    steps = DecisionTreeRegressor(max_depth=3).fit(season, np.diff(y))
    ahead = y[-1] + steps.predict(np.arange(99, 150)[:, None] % 6).sum()
    assert abs(ahead - 2 * 150) < 10


@holds("Why can a greedy tree fail on XOR?", "Post-pruning or early stopping of growth?")
def check_xor():
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5, dtype=float), np.array([0, 1, 1, 0] * 5)
    assert math.isclose(best_split(X, y, gini)[0], gini(y))
    assert DecisionTreeClassifier(max_depth=2).fit(X, y).score(X, y) == 1
    assert DecisionTreeClassifier(min_impurity_decrease=1e-6).fit(X, y).get_n_leaves() == 1
    assert DecisionTreeClassifier(ccp_alpha=0.1).fit(X, y).score(X, y) == 1
    assert DecisionTreeClassifier().fit(X[:4], y[:4]).tree_.impurity[:2].tolist() == [0.5, 0.5]  # split at gain 0


@holds("Do correlated features hurt?")
def check_a_copied_feature():
    X = np.random.randn(600, 3)
    y = (X[:, 0] + 0.5 * X[:, 1] + 0.5 * np.random.randn(600) > 0).astype(int)
    both, first = np.column_stack([X, X[:, 0]]), []
    for seed in range(10):
        alone, twice = (DecisionTreeClassifier(max_depth=4, random_state=seed).fit(Z[:300], y[:300]) for Z in (X, both))
        assert abs(alone.score(X[300:], y[300:]) - twice.score(both[300:], y[300:])) < 0.03
        pair = twice.feature_importances_[[0, 3]]
        assert math.isclose(pair.sum(), alone.feature_importances_[0], abs_tol=0.05) and twice.tree_.feature[0] in (
            0,
            3,
        )
        first.append(pair[0] / pair.sum())
    assert min(first) < 0.4 and max(first) > 0.6
    stump = DecisionTreeClassifier(max_depth=1, random_state=0).fit(both, y)
    assert sorted(stump.feature_importances_[[0, 3]]) == [0, 1]


@holds("Single tree", "Random forest", "Gradient boosting", "Logistic regression")
def check_what_the_siblings_are():
    errors, spread = [], []
    for seed in range(3):
        X, y = make_moons(1000, noise=0.3, random_state=seed)
        shallow = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X[:300], y[:300])
        forest = RandomForestClassifier(30, random_state=0).fit(X[:300], y[:300])
        boosted = GradientBoostingClassifier(random_state=0).fit(X[:300], y[:300])
        np.testing.assert_allclose(
            np.mean([one.predict_proba(X) for one in forest.estimators_], 0), forest.predict_proba(X)
        )
        total = sum(one.predict(X.astype(np.float32)) for (one,) in boosted.estimators_) * 0.1 + math.log(
            y[:300].mean() / (1 - y[:300].mean())
        )
        np.testing.assert_allclose(total, boosted.decision_function(X), atol=1e-6)
        assert boosted.estimators_[
            0, 0
        ].max_depth == 3 and boosted.feature_importances_.shape == forest.feature_importances_.shape == (2,)
        errors.append([1 - model.score(X[:300], y[:300]) for model in (shallow, boosted)])
        votes = lambda model: [
            model.fit(X[part], y[part]).predict_proba(X[:200])[:, 1] for part in np.split(np.arange(200, 1000), 4)
        ]
        spread.append(
            [np.var(votes(model), 0).mean() for model in (DecisionTreeClassifier(), RandomForestClassifier(30))]
        )
        assert len(
            np.unique(shallow.predict_proba(X)[:, 1])
        ) <= shallow.get_n_leaves() and "feature_0 <=" in export_text(shallow)
        line = LogisticRegression().fit(X, y)
        np.testing.assert_allclose(1 / (1 + np.exp(-X @ line.coef_[0] - line.intercept_)), line.predict_proba(X)[:, 1])
    assert np.mean(errors, 0)[1] < np.mean(errors, 0)[0] - 0.02 and np.mean(spread, 0)[1] < 0.6 * np.mean(spread, 0)[0]


@holds("How are missing values treated?", "`DecisionTreeClassifier().fit(X, y)`")
def check_missing_values():
    X, y = np.array([[1.0], [2.0], [np.nan], [np.nan], [9.0], [8.0]]), np.array([0, 0, 1, 1, 1, 1])
    assert DecisionTreeClassifier(max_depth=1).fit(X, y).predict([[np.nan]]).tolist() == [1]
    y = np.array([0, 0, 0, 0, 1, 1])
    assert DecisionTreeClassifier(max_depth=1).fit(X, y).predict([[np.nan]]).tolist() == [0]
    for few in (2, 4):
        x, y = np.arange(6.0)[:, None], (np.arange(6) >= few).astype(int)
        assert DecisionTreeClassifier(max_depth=1).fit(x, y).predict([[np.nan]])[0] == int(few == 2)


@pitfall("Two different values cannot be separated")
def check_offset_helps_only_within_float32():
    def score(x):
        x, y = x.reshape(-1, 1), np.arange(len(x)) % 2
        return DecisionTreeClassifier().fit(x, y).score(x, y)

    for step, separable in ((1, True), (2**24, False)):
        x = 1_700_000_000 + step + np.array([0, 1])
        assert score(x) == 0.5 and (score(x - 1_700_000_000) == 1) == separable


@check
def check_categorical_limit():
    for categories, fits in ((255, True), (256, False)):
        x = np.arange(categories)[:, None]
        try:
            HistGradientBoostingClassifier(max_iter=1, categorical_features=[0]).fit(x, x[:, 0] % 2)
        except ValueError as error:
            assert not fits and "cardinality <= 255" in str(error)
        else:
            assert fits
