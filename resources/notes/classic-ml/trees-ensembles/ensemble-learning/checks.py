import math

import numpy as np
import torch
from scipy.stats import binom
from sklearn.datasets import make_classification, make_moons
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

MAJORITY = r"P_M = \sum_{m = (M+1)/2}^{M} \binom{M}{m} p^m (1 - p)^{M - m}"
ADABOOST = r"""
\epsilon_t = \sum_{i:\, h_t(x_i) \ne y_i} w_i, \qquad \alpha_t = \nu \ln \frac{1 - \epsilon_t}{\epsilon_t}, \qquad
w_i \leftarrow w_i \, e^{\alpha_t [h_t(x_i) \ne y_i]}
"""
GRADIENT = r"""
F_m(x) = F_{m-1}(x) + \nu\, h_m(x), \qquad h_m \approx -\frac{\partial \ell(y, F)}{\partial F}\bigg|_{F = F_{m-1}} = y - F_{m-1}(x)
"""

sourced("Friedman 2001, section 5 (shrinkage)", "What do learning rate and number of rounds do together?")
sourced(
    "Hinton et al., arXiv 1503.02531; Izmailov et al., arXiv 1803.05407, abstract",
    "How do you ensemble without paying at prediction time?",
)
sourced("Srivastava et al. 2014, section 1: thinned networks that share weights, test by the full one", "Dropout")


def majority(M, p):
    return sum(math.comb(M, m) * p**m * (1 - p) ** (M - m) for m in range((M + 1) // 2, M + 1))


@formula(MAJORITY)
def check_majority():
    for M, p in [(1, 0.7), (3, 0.4), (11, 0.7), (51, 0.55)]:
        assert math.isclose(majority(M, p), binom.sf(M // 2, M, p))
        drawn = (np.random.rand(100_000, M) < p).mean(1) > 0.5
        assert abs(drawn.mean() - majority(M, p)) < 0.01
    stated("0.784", majority(3, 0.7))
    stated("0.922", majority(11, 0.7))
    stated("0.92", majority(11, 0.7))
    stated("0.352", majority(3, 0.4))


@formula(ADABOOST)
def check_adaboost():
    for nu in (1.0, 0.5):
        X, y = make_moons(200, noise=0.4, random_state=1)
        model = AdaBoostClassifier(
            DecisionTreeClassifier(max_depth=1), n_estimators=6, learning_rate=nu, random_state=0
        ).fit(X, y)
        w = np.full(200, 1 / 200)
        for member, weight, error in zip(model.estimators_, model.estimator_weights_, model.estimator_errors_):
            wrong = member.predict(X) != y
            epsilon = w[wrong].sum()
            alpha = nu * math.log((1 - epsilon) / epsilon)
            assert math.isclose(epsilon, error, rel_tol=1e-7) and math.isclose(alpha, weight, rel_tol=1e-7)
            w = w * np.exp(alpha * wrong)
            w /= w.sum()
            if nu == 1:
                assert math.isclose(w[wrong].sum(), 0.5)


@formula(GRADIENT)
def check_gradient_boosting():
    X = np.random.randn(80, 3)
    y = X[:, 0] ** 2 + 0.3 * np.random.randn(80)
    for nu in (0.1, 0.7):
        model = GradientBoostingRegressor(n_estimators=5, learning_rate=nu, max_depth=2, random_state=0).fit(X, y)
        F = np.full(80, y.mean())
        for (tree,), staged in zip(model.estimators_, model.staged_predict(X)):
            residual, leaf = y - F, tree.apply(X.astype(np.float32))
            h = np.array([residual[leaf == own].mean() for own in leaf])
            np.testing.assert_allclose(h, tree.predict(X.astype(np.float32)), atol=1e-9)
            F = F + nu * h
            np.testing.assert_allclose(F, staged, atol=1e-9)


@check
def check_log_loss_leaves_are_newton_steps():
    X, y = make_moons(200, noise=0.4, random_state=0)
    tree = GradientBoostingClassifier(n_estimators=1, init="zero").fit(X, y).estimators_[0, 0]
    leaf, residual = tree.apply(X.astype(np.float32)), y - 0.5
    newton = np.array([residual[leaf == own].mean() / 0.25 for own in leaf])
    np.testing.assert_allclose(tree.predict(X.astype(np.float32)), newton)


@holds("Why are trees the usual members?")
def check_trees_need_no_scaling():
    X, y = make_moons(200, noise=0.4, random_state=0)
    plain, scaled = (
        DecisionTreeClassifier(max_depth=4, random_state=0).fit(Z, y).predict(Z) for Z in (X, X * [1024, 1])
    )
    assert (plain == scaled).all()
    X, y = make_moons(1000, noise=0.3, random_state=0)

    def changes(model):
        """How much predictions differ from one sample of 100 rows to the next."""
        return np.var([model.fit(X[part], y[part]).predict(X) for part in np.split(np.arange(1000), 10)], 0).mean()

    assert changes(DecisionTreeClassifier(random_state=0)) > 1.5 * changes(LogisticRegression())
    deep, stump = (DecisionTreeClassifier(max_depth=depth).fit(X, y).score(X, y) for depth in (None, 1))
    assert deep == 1 and 0.6 < stump < 0.85


@holds("Bagging, forest", "Boosting", "Voting", "Stacking", "Dropout")
def check_how_members_are_trained_and_combined():
    rows = []

    class Seen(DecisionTreeClassifier):
        def fit(self, X, y):  # without sample_weight bagging hands over the drawn rows
            rows.append(np.sort(X[:, 0]))
            return super().fit(X, y)

    X, y = np.random.randn(80, 2), np.arange(80) % 2
    all_rows = np.sort(X[:, 0])
    bagged = BaggingClassifier(Seen(max_depth=2), random_state=0).fit(X, y)
    assert len(rows) == 10 and all(len(np.unique(one)) < 80 for one in rows) and not np.array_equal(rows[0], rows[1])
    for model in (bagged, RandomForestClassifier(10, random_state=0).fit(X, y)):
        np.testing.assert_allclose(np.mean([m.predict_proba(X) for m in model.estimators_], 0), model.predict_proba(X))
    assert BaggingClassifier().fit(X, y).estimators_[0].max_depth is RandomForestClassifier().max_depth is None
    members = [("a", Seen(max_depth=2)), ("b", GaussianNB())]
    rows.clear()
    soft = VotingClassifier(members, voting="soft").fit(X, y)
    assert len(rows) == 1 and np.array_equal(rows[0], all_rows)
    np.testing.assert_allclose(np.mean([m.predict_proba(X) for m in soft.estimators_], 0), soft.predict_proba(X))
    three = [*members, ("c", LogisticRegression())]
    hard = VotingClassifier(three).fit(X, y)
    assert (hard.predict(X) == (np.sum([m.predict(X) for m in hard.estimators_], 0) >= 2)).all()
    rows.clear()
    stacked = StackingClassifier(members).fit(X, y)
    assert [len(one) for one in rows] == [80] + [64] * 5 and isinstance(stacked.final_estimator_, LogisticRegression)
    boosted = GradientBoostingClassifier(n_estimators=5, init="zero").fit(X, y)
    total = 0.1 * sum(tree.predict(X.astype(np.float32)) for (tree,) in boosted.estimators_)
    np.testing.assert_allclose(total, boosted.decision_function(X), atol=1e-9)
    ada = AdaBoostClassifier(n_estimators=5).fit(X, y)
    votes = sum(a * (2 * m.predict(X) - 1) for m, a in zip(ada.estimators_, ada.estimator_weights_))
    np.testing.assert_allclose(2 * votes / ada.estimator_weights_.sum(), ada.decision_function(X), atol=1e-9)
    x, drop, layer = torch.randn(1, 6), torch.nn.Dropout(0.5), torch.nn.Linear(6, 1)
    thinned = torch.stack([layer(drop(x)) for _ in range(4000)])  # every call is another sub-network
    assert thinned.std() > 0.01 and abs(thinned.mean() - layer(x)) < 0.1 and (drop.eval()(x) == x).all()


@check
def check_by_hand():
    stated("0.8473", math.log(7 / 3))
    w = np.full(10, 0.1)
    w[:3] *= 7 / 3
    assert math.isclose(w[:3].sum() / w.sum(), 0.5)
    assert math.isclose(0.7**3, 0.343) and math.isclose(3 * 0.49 * 0.3, 0.441)


@holds(
    "Input",
    "`BaggingClassifier`",
    "`AdaBoostClassifier`",
    "`GradientBoostingClassifier`",
    "`HistGradientBoostingClassifier`",
    "Boosting",
)
def check_defaults():
    bagging, boosting, hist = BaggingClassifier(), GradientBoostingClassifier(), HistGradientBoostingClassifier()
    assert (
        bagging.n_estimators == 10 and bagging.bootstrap and "n_jobs" in bagging.get_params() and hist.max_bins == 255
    )
    assert not any("n_jobs" in model.get_params() for model in (AdaBoostClassifier(), boosting, hist))
    assert (boosting.n_estimators, boosting.learning_rate, boosting.max_depth) == (100, 0.1, 3)
    assert (hist.max_iter, hist.learning_rate, hist.max_leaf_nodes) == (100, 0.1, 31)
    assert (
        VotingClassifier([]).voting == "hard"
        and StackingClassifier([]).cv is None
        and AdaBoostClassifier().learning_rate == 1.0
    )
    X, y = np.random.randn(60, 2), np.random.randint(2, size=60)
    ada = AdaBoostClassifier().fit(X, y)
    assert ada.n_estimators == 50 and ada.estimators_[0].max_depth == 1
    drawn = bagging.fit(X, y).estimators_samples_[0]
    assert (
        len(drawn) == 60 > len(set(drawn))
        and bagging.predict(X).shape == (60,)
        and ada.predict_proba(X).shape == (60, 2)
    )
    X[0, 0] = np.nan
    assert hist.fit(X, y).predict_proba(X).shape == (60, 2)


@holds("Cost", "Input", "`VotingClassifier`, `StackingClassifier`")
def check_cost_and_probabilities():
    fits = []

    class Counted(DecisionTreeClassifier):
        def fit(self, X, y):
            fits.append(len(y))
            return super().fit(X, y)

    X, y = np.random.randn(60, 2), np.arange(60) % 2
    StackingClassifier([("tree", Counted())]).fit(X, y)
    stated("6", len(fits))
    members = [("tree", DecisionTreeClassifier())]
    assert not hasattr(VotingClassifier(members).fit(X, y), "predict_proba")
    assert VotingClassifier(members, voting="soft").fit(X, y).predict_proba(X).shape == (60, 2)


@pitfall("The stacked model is perfect in training and poor afterwards")
def check_stacking_leak():
    """Members that memorize get all the trust when the second level sees their training predictions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 5))
    y = (X[:, 0] + rng.normal(size=800) > 0).astype(int)
    tree, linear = (
        DecisionTreeClassifier(random_state=0).fit(X[:200], y[:200]),
        LogisticRegression().fit(X[:200], y[:200]),
    )
    members = [("tree", tree), ("linear", linear)]
    leaking = StackingClassifier(members, LogisticRegression(), cv="prefit").fit(X[:200], y[:200])
    sound = StackingClassifier(members, LogisticRegression()).fit(X[:200], y[:200])
    fresh = StackingClassifier(members, LogisticRegression(), cv="prefit").fit(X[200:400], y[200:400])
    of_tree, of_linear = leaking.final_estimator_.coef_[0]
    assert leaking.score(X[:200], y[:200]) == 1.0 and of_tree > 2 * of_linear
    for cure in (sound, fresh):
        assert cure.score(X[400:], y[400:]) > leaking.score(X[400:], y[400:]) + 0.03


@pitfall("`VotingClassifier` trains my fitted models again")
def check_voting_refits():
    X, y = np.random.randn(50, 2), np.random.randint(2, size=50)
    fitted = LogisticRegression().fit(X[:25], y[:25])
    again = VotingClassifier([("a", fitted)]).fit(X, y)
    assert again.estimators_[0] is not fitted and not np.allclose(again.estimators_[0].coef_, fitted.coef_)
    frozen = VotingClassifier([("a", FrozenEstimator(fitted))]).fit(X, y)
    assert np.allclose(frozen.estimators_[0].coef_, fitted.coef_) and (frozen.predict(X) == fitted.predict(X)).all()
    both = [fitted, GaussianNB().fit(X[:25], y[:25])]
    soft = VotingClassifier([(str(i), FrozenEstimator(model)) for i, model in enumerate(both)], voting="soft").fit(X, y)
    np.testing.assert_allclose(np.mean([model.predict_proba(X) for model in both], 0), soft.predict_proba(X))
    names = np.where(y == 1, "b", "a")  # hard voting counts encoded classes, a frozen member answers with its own
    member = [("a", FrozenEstimator(LogisticRegression().fit(X, names)))]
    assert set(VotingClassifier(member, voting="soft").fit(X, names).predict(X)) <= {"a", "b"}
    raises(TypeError, lambda: VotingClassifier(member).fit(X, names).predict(X))


@pitfall("More boosting rounds make it worse")
def check_boosting_overfits():
    X, y = make_moons(600, noise=0.4, random_state=0)
    model = GradientBoostingClassifier(n_estimators=200, learning_rate=1.0, random_state=0).fit(X[:200], y[:200])
    test = [log_loss(y[200:], p) for p in model.staged_predict_proba(X[200:])]
    train = [log_loss(y[:200], p) for p in model.staged_predict_proba(X[:200])]
    assert test[-1] > 2 * min(test) and train[-1] < train[0]
    stopped = GradientBoostingClassifier(n_estimators=200, n_iter_no_change=5, random_state=0).fit(X[:200], y[:200])
    assert stopped.n_estimators_ < 200 and log_loss(y[200:], stopped.predict_proba(X[200:])) < test[-1]
    default, asked = (
        HistGradientBoostingClassifier(max_iter=300, early_stopping=stop, random_state=0).fit(X, y)
        for stop in ("auto", True)
    )
    assert default.n_iter_ == 300 and asked.n_iter_ < 100
    hist = [
        HistGradientBoostingClassifier(max_iter=300, early_stopping=stop, random_state=0).fit(X[:200], y[:200])
        for stop in ("auto", True)
    ]
    late, early = (log_loss(y[200:], model.predict_proba(X[200:])) for model in hist)
    assert late > 1.5 * early


@holds("What do learning rate and number of rounds do together?")
def check_a_tenth_of_the_rate_needs_ten_times_the_rounds():
    X, y = make_moons(400, noise=0.3, random_state=0)
    loss = lambda rate, rounds: (
        GradientBoostingClassifier(learning_rate=rate, n_estimators=rounds, random_state=0).fit(X, y).train_score_[-1]
    )
    assert abs(loss(0.1, 30) / loss(0.01, 300) - 1) < 0.05


@pitfall("AdaBoost gets worse with noisy labels")
def check_adaboost_raises_noise():
    X, y = make_moons(300, noise=0.1, random_state=0)
    flipped = np.random.default_rng(0).permutation(300)[:30]
    noisy = y.copy()
    noisy[flipped] = 1 - noisy[flipped]
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=30, random_state=0).fit(X, noisy)
    w = np.full(300, 1 / 300)
    for member, alpha in zip(model.estimators_, model.estimator_weights_):
        w = w * np.exp(alpha * (member.predict(X) != noisy))
        w /= w.sum()
    assert w[flipped].sum() > 3 * 0.1


@check
def check_weight_of_mislabelled_rows_rises_soon_and_is_fitted_later():
    for seed in range(3):
        X, y = make_classification(300, 10, n_informative=5, random_state=seed)
        flipped = np.random.default_rng(seed).permutation(300)[:30]
        y[flipped] ^= 1
        model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=100, random_state=0).fit(X, y)
        w, share, right = np.full(300, 1 / 300), [], []
        for member, alpha in zip(model.estimators_, model.estimator_weights_):
            wrong = member.predict(X) != y
            w = w * np.exp(alpha * wrong) / (w * np.exp(alpha * wrong)).sum()
            share.append(w[flipped].sum())
            right.append(1 - wrong[flipped].mean())
        assert 0.18 < share[4] < 0.4 and share[-1] < 0.4 and right[0] < 0.4 < 0.45 < np.mean(right[50:])


@pitfall("AdaBoost gets worse with noisy labels")
def check_remedies_for_noisy_labels():
    moons = lambda seed: make_moons(800, noise=0.2, random_state=seed)
    clouds = lambda seed: make_classification(800, 10, n_informative=5, random_state=seed)
    for make in (moons, clouds):
        scores, clean = [], []
        for seed in range(3):
            X, y = make(seed)
            noisy = y[:400].copy()
            noisy[np.random.default_rng(seed).permutation(400)[:80]] ^= 1
            models = [
                AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=100, random_state=0),
                GradientBoostingClassifier(n_iter_no_change=5, random_state=0),
                BaggingClassifier(DecisionTreeClassifier(min_samples_leaf=10), 30, random_state=0),
            ]
            scores.append([model.fit(X[:400], noisy).score(X[400:], y[400:]) for model in models])
            clean.append(models[0].fit(X[:400], y[:400]).score(X[400:], y[400:]))
        adaboost, *others = np.mean(scores, 0)
        assert adaboost + 0.01 < min(others) and adaboost < np.mean(clean) - 0.05, (adaboost, others, clean)


@pitfall("The ensemble is no better than its best member")
def check_weak_members_outvote_a_better_one():
    scores = []
    for seed in range(3):
        X, y = make_classification(1200, 15, n_informative=6, n_clusters_per_class=3, random_state=seed)
        members = [
            ("tree", DecisionTreeClassifier(max_depth=6, random_state=0)),
            ("bayes", GaussianNB()),
            ("linear", LogisticRegression()),
            ("near", KNeighborsClassifier()),
        ]
        models = [members[-1][1], VotingClassifier(members), StackingClassifier(members, LogisticRegression())]
        scores.append([model.fit(X[:500], y[:500]).score(X[500:], y[500:]) for model in models])
    best, vote, stack = np.mean(scores, 0)
    assert vote < best - 0.02 and stack > vote + 0.02, (best, vote, stack)


@pitfall("The ensemble is no better than its best member")
def check_members_that_agree_and_hard_votes():
    """Each view shows the class through its own noise, clearly in some rows and hardly in others."""
    y = np.random.randint(2, size=4000)
    clarity = np.random.uniform(0, 2, (4000, 3))
    views = clarity * ((2 * y - 1)[:, None] * clarity + np.random.randn(4000, 3))
    member = lambda view, C=1.0: make_pipeline(FunctionTransformer(lambda X: X[:, [view]]), LogisticRegression(C=C))
    alike = [(str(C), member(0, C)) for C in (0.3, 1.0, 3.0)]
    different = [(str(view), member(view)) for view in range(3)]
    score = lambda model: model.fit(views[:1000], y[:1000]).score(views[1000:], y[1000:])
    best = max(score(model) for _, model in alike + different)
    assert max(score(VotingClassifier(alike, voting=kind)) for kind in ("hard", "soft")) < best + 0.01
    hard, soft, stacked = (
        score(m)
        for m in (
            VotingClassifier(different),
            VotingClassifier(different, voting="soft"),
            StackingClassifier(different),
        )
    )
    assert hard > best + 0.02 and min(soft, stacked) > hard + 0.02


@holds("Does bagging help linear regression?")
def check_bagging_a_stable_model():
    X = np.random.randn(300, 3)
    y = X @ [1.0, 2.0, 3.0] + 0.1 * np.random.randn(300)
    bagged = BaggingRegressor(LinearRegression(), 50, random_state=0).fit(X, y)
    assert np.abs(bagged.predict(X) - LinearRegression().fit(X, y).predict(X)).max() < 0.02
