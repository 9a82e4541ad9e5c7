import math

import numpy as np
from scipy.stats import entropy
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.metrics import mutual_info_score, roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

IMPURITIES = r"""
H(S) = -\sum_{k=1}^{K} p_k \log_2 p_k, \qquad G(S) = \sum_{k=1}^{K} p_k (1 - p_k) = 1 - \sum_{k=1}^{K} p_k^2
"""
GAIN = r"\mathrm{Gain}(S, A) = H(S) - \sum_{v} \frac{|S_v|}{|S|} H(S_v)"
RATIO = r"""
\mathrm{GainRatio}(S, A) = \frac{\mathrm{Gain}(S, A)}{\mathrm{SplitInfo}(S, A)}, \qquad
\mathrm{SplitInfo}(S, A) = -\sum_{v} \frac{|S_v|}{|S|} \log_2 \frac{|S_v|}{|S|}
"""
sourced(
    "Quinlan 1986, sections 4 and 7 (ID3, gain ratio), and C4.5 (1993), section 2.2",
    "Algorithms",
    "Information gain",
    "Gain ratio",
)
sourced("Yang and Pedersen, ICML 1997, section 2.2 (gain of words)", "Information gain")
sourced(
    "Breiman et al. 1984, sections 3.2 to 3.4, 4.1 to 4.3, 8.3", "Algorithms", "Gini", "Error rate", "Squared error"
)
OUTLOOK = np.repeat([0, 1, 2], [5, 4, 5])
PLAY = np.array([1] * 2 + [0] * 3 + [1] * 4 + [1] * 3 + [0] * 2)


def shares(y):
    return np.unique(y, return_counts=True)[1] / len(y)


def bits(y):
    return -sum(p * math.log2(p) for p in shares(y))


def gini(y):
    return 1 - (shares(y) ** 2).sum()


def gain(y, a, impurity=bits):
    return impurity(y) - sum((a == v).mean() * impurity(y[a == v]) for v in np.unique(a))


def samples():
    for n, K, m in [(10, 2, 2), (60, 3, 5), (200, 5, 3), (8, 1, 2)]:
        yield np.random.randint(K, size=n), np.random.randint(m, size=n)


@formula(IMPURITIES)
@holds("Input", "Entropy", "Gini impurity", "Algorithms")
def check_impurities():
    X, names = np.random.randn(90, 1), np.array(["a", "b", "c"])[np.random.randint(3, size=90)]
    tree = DecisionTreeClassifier().fit(X, names)
    assert math.isclose(tree.tree_.impurity[0], gini(names)) and tree.criterion == "gini"
    assert ((tree.tree_.children_left < 0) == (tree.tree_.children_right < 0)).all()  # two branches or none
    for K in (2, 5):  # the ends of the ranges
        assert bits(np.zeros(9)) == gini(np.zeros(9)) == 0
        assert math.isclose(bits(np.arange(K)), math.log2(K)) and math.isclose(gini(np.arange(K)), 1 - 1 / K)
    for y, _ in samples():
        X = np.random.randn(len(y), 1)
        for criterion, ours in (("entropy", bits(y)), ("log_loss", bits(y)), ("gini", gini(y))):
            assert math.isclose(
                DecisionTreeClassifier(criterion=criterion).fit(X, y).tree_.impurity[0], ours, abs_tol=1e-10
            )
        p = shares(y)
        assert math.isclose((p * (1 - p)).sum(), gini(y), abs_tol=1e-12)
        assert 0 <= bits(y) <= math.log2(len(p)) + 1e-12 and 0 <= gini(y) <= 1 - 1 / len(p) + 1e-12


@formula(GAIN)
@holds("Can the gain be negative?")
def check_gain():
    for y, a in samples():
        assert math.isclose(gain(y, a), mutual_info_score(a, y) / math.log(2), abs_tol=1e-10)
        assert gain(y, a) > -1e-12 and gain(y, a, gini) > -1e-12
        x = np.random.randn(len(y))
        tree = DecisionTreeClassifier(criterion="entropy", max_depth=1).fit(x[:, None], y).tree_
        if tree.node_count == 3:
            weights = tree.weighted_n_node_samples
            of_library = tree.impurity[0] - (weights[1:] * tree.impurity[1:]).sum() / weights[0]
            best = max(gain(y, (x <= t).astype(int)) for t in (np.sort(x)[1:] + np.sort(x)[:-1]) / 2)
            assert math.isclose(of_library, best, abs_tol=1e-9)


@formula(RATIO)
def check_ratio():
    """scikit-learn has no gain ratio: its two parts are compared with mutual information and SciPy's entropy."""
    for y, a in samples():
        sizes = np.unique(a, return_counts=True)[1]
        ours = gain(y, a) / -sum(s / len(a) * math.log2(s / len(a)) for s in sizes)
        assert math.isclose(ours, (mutual_info_score(a, y) / math.log(2)) / entropy(sizes, base=2), abs_tol=1e-10)


@check
def check_by_hand():
    sunny = PLAY[OUTLOOK == 0]
    stated("0.9403", bits(PLAY))
    stated("0.97095", bits(sunny))
    stated("0.69354", 10 / 14 * bits(sunny))
    stated("0.24675", gain(PLAY, OUTLOOK))
    stated("1.5774", bits(OUTLOOK))
    stated("0.1564", gain(PLAY, OUTLOOK) / bits(OUTLOOK))
    stated("0.4592", gini(PLAY))
    stated("0.48", gini(sunny))
    stated("0.3429", 10 / 14 * gini(sunny))
    stated("0.1163", gain(PLAY, OUTLOOK, gini))
    assert bits(PLAY[OUTLOOK == 1]) == entropy([4, 0], base=2) == 0  # 0 log 0 = 0


@pitfall("An identifier is the best feature", "scikit-learn has no `criterion='gain_ratio'`")
@holds("Gain ratio")
def check_identifier():
    stated("0.9403", gain(PLAY, np.arange(14)))
    stated("0.2470", gain(PLAY, np.arange(14)) / bits(np.arange(14)))
    raises(ValueError, lambda: DecisionTreeClassifier(criterion="gain_ratio").fit(OUTLOOK[:, None], PLAY), "criterion")
    assert DecisionTreeClassifier().criterion == "gini"
    y = np.random.randint(2, size=400)
    useful, key = np.where(np.random.rand(400) < 0.85, y, 1 - y), np.random.permutation(400)
    assert gain(y, key) > 2 * gain(y, useful)
    X = np.stack([useful, key], 1)
    ordered = np.stack([useful, np.argsort(np.argsort(y, kind="stable"))], 1)  # rows numbered class by class
    assert DecisionTreeClassifier(min_samples_leaf=20, random_state=0).fit(ordered, y).tree_.feature[0] == 1
    for criterion in ("entropy", "gini"):
        tree = lambda **options: DecisionTreeClassifier(criterion=criterion, random_state=0, **options).fit(
            X[:200], y[:200]
        )
        free, cures = tree(), (tree(min_samples_leaf=20), tree(ccp_alpha=0.02))
        assert free.score(X[:200], y[:200]) == 1
        for cure in cures:
            assert cure.tree_.feature[0] == 0 and cure.score(X[200:], y[200:]) > max(0.75, free.score(X[200:], y[200:]))


@pitfall("Gain ratio picks a lopsided split")
def check_lopsided():
    y = np.array([0] * 50 + [1] * 50)
    balanced, lopsided = np.array([0] * 35 + [1] * 15 + [0] * 15 + [1] * 35), np.array([1] + [0] * 99)
    ratio = lambda a: gain(y, a) / bits(a)
    assert gain(y, balanced) > 8 * gain(y, lopsided) and ratio(lopsided) > ratio(balanced)
    features = [balanced, lopsided]
    average = np.mean([gain(y, a) for a in features])
    assert max((a for a in features if gain(y, a) >= average), key=ratio) is balanced


@pitfall("Different things called Gini")
def check_three_ginis():
    y, scores = np.repeat([0, 1], 50), np.concatenate([np.linspace(0, 0.6, 50), np.linspace(0.4, 1, 50)])
    incomes = np.sort(np.random.gamma(1, 1, 500))
    coefficient = np.abs(incomes[:, None] - incomes).mean() / (2 * incomes.mean())
    credit = 2 * roc_auc_score(y, scores) - 1
    assert gini(y) == 0.5 < 0.7 < credit
    stepwise = np.append(np.zeros(99), 1.0)
    assert (
        math.isclose(np.abs(stepwise[:, None] - stepwise).mean() / (2 * stepwise.mean()), 0.99)
        and 0.4 < coefficient < 0.6
    )
    assert 2 * roc_auc_score(y, y) - 1 == 1 and gini(np.arange(4)) == 1 - 1 / 4


@pitfall("Gains are compared across nodes or data sets")
def check_gain_depends_on_node_and_sample():
    by_chance = [
        np.mean([gain(np.random.randint(2, size=n), np.random.randint(2, size=n)) for _ in range(100)])
        for n in (20, 500)
    ]
    assert by_chance[0] > 10 * by_chance[1]
    uneven, even = np.repeat([0, 1], [95, 5]), np.repeat([0, 1], 50)
    assert gain(uneven, uneven) < 0.3 < 1 == gain(even, even)
    X = np.random.randn(300, 3)
    model = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, X[:, 0] + X[:, 1] ** 2 > 0.5)
    tree, share = model.tree_, model.tree_.weighted_n_node_samples / 300
    weighted = np.zeros(3)
    for node in np.flatnonzero(tree.children_left >= 0):
        left, right = tree.children_left[node], tree.children_right[node]
        weighted[tree.feature[node]] += (
            share[node] * tree.impurity[node] - share[left] * tree.impurity[left] - share[right] * tree.impurity[right]
        )
    np.testing.assert_allclose(weighted / weighted.sum(), model.feature_importances_)


@holds("Why not grow a tree with the error rate?", "Error rate")
def check_error_rate():
    node = lambda *counts: np.repeat(np.arange(len(counts)), counts)
    error = lambda y: 1 - shares(y).max()
    weighted = lambda parts, f: sum(len(part) * f(part) for part in parts) / 800
    first, second = (node(300, 100), node(100, 300)), (node(200, 400), node(200, 0))
    assert weighted(first, error) == 0.25
    raises(ValueError, lambda: DecisionTreeClassifier(criterion="error").fit([[0], [1]], [0, 1]), "criterion")
    assert DecisionTreeRegressor().criterion == "squared_error"
    stated("0.25", weighted(second, error))
    stated("0.375", weighted(first, gini))
    stated("0.3333", weighted(second, gini))


@holds("Gini", "Error rate", "Squared error")
def check_more_thresholds_more_chance_gain():
    """A useless feature with two values against one with many: the best binary split of the latter gains more by chance."""
    rng, gains, error = np.random.default_rng(0), [], lambda y: 1 - shares(y).max()
    for _ in range(40):
        y, target = rng.integers(2, size=60), rng.normal(size=60)
        best = []
        for values in (2, 30):
            x = rng.integers(values, size=60)
            splits = [(x <= t).astype(int) for t in np.unique(x)[:-1]]
            scored = ((y, gini), (y, error), (target, np.var))
            best.append([max(gain(labels, s, f) for s in splits) for labels, f in scored])
        gains.append(best)
    few, many = np.mean(gains, axis=0)
    assert (many > [2 * few[0], 1.3 * few[1], 1.4 * few[2]]).all(), (few, many)


@holds("Information gain", "Gain ratio", "Gini", "Error rate", "Squared error")
def check_many_values_are_favoured():
    """A useless feature with one branch per value: all five scores rise with the number of values, the ratio far less."""
    error = lambda y: 1 - shares(y).max()
    scores = {2: [], 30: []}
    for _ in range(100):
        y, target = np.random.randint(2, size=100), np.random.randn(100)
        for values, rows in scores.items():
            a = np.random.randint(values, size=100)
            rows.append(
                [gain(y, a), gain(y, a) / bits(a), gain(y, a, gini), gain(y, a, error), gain(target, a, np.var)]
            )
    few, many = np.mean(scores[2], 0), np.mean(scores[30], 0)
    assert (many > 2 * few).all() and many[1] / few[1] < 0.5 * many[0] / few[0], (few, many)


@holds("Gini or entropy?")
def check_splits_differ_more_than_accuracy():
    X, y = load_wine(return_X_y=True)
    trees = [DecisionTreeClassifier(criterion=criterion, random_state=0) for criterion in ("gini", "entropy")]
    assert len({int(tree.fit(X, y).tree_.feature[0]) for tree in trees}) == 2
    stated("0.08", 0.08)
    for X, y in (load_iris(return_X_y=True), load_breast_cancer(return_X_y=True), (X, y)):
        first, second = (cross_val_score(tree, X, y).mean() for tree in trees)
        assert abs(first - second) < 0.08


@holds("What does Gini mean as a probability?")
def check_gini_as_probability():
    y = np.repeat([0, 1, 2], [5, 3, 2])
    assert math.isclose((y[:, None] != y[None]).mean(), gini(y))


@check
def check_figure_claims():
    p = np.linspace(0.001, 0.999, 999)
    gap = entropy(np.stack([p, 1 - p]), base=2) / 2 - 2 * p * (1 - p)
    assert gap.min() > -1e-12
    stated("0.055", gap.max())
