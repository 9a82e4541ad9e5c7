import math

import numpy as np
from scipy.special import expit
from scipy.stats import norm
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import learning_curve, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import shuffle

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

BAYES = r"p(y \mid x) = \frac{p(x \mid y)\,p(y)}{\sum_{y'} p(x \mid y')\,p(y')}"
OBJECTIVES = r"\sum_{i} \ln p(x_i, y_i) = \sum_{i} \ln p(y_i \mid x_i) + \sum_{i} \ln p(x_i)"
LOGISTIC = r"""
w = \Sigma^{-1}(\mu_1 - \mu_0), \qquad b = \tfrac{1}{2}\,\mu_0^\top \Sigma^{-1} \mu_0 - \tfrac{1}{2}\,\mu_1^\top \Sigma^{-1} \mu_1 + \ln \frac{\pi_1}{\pi_0}
"""

by_definition("Examples, generative", "Examples, discriminative", "Same in train and test?")
by_definition(
    "HMM, Bayesian network",
    "MRF",
    "CRF",
    "Why is an HMM generative and a CRF discriminative?",
    "Is a language model generative although trained like a classifier?",
)
sourced("Nigam et al., Text Classification from Labeled and Unlabeled Documents using EM, 2000", "Input")


def joint(model, X):
    """p(x, y) of a fitted Gaussian naive Bayes, (samples, classes), from its parameters."""
    density = norm.pdf(X[:, None, :], model.theta_[None], np.sqrt(model.var_[None])).prod(-1)
    return density * model.class_prior_


@holds("Output for one sample", "Same in train and test?")
@formula(BAYES, OBJECTIVES)
def check_bayes_rule():
    for D, C in ((1, 2), (3, 4), (5, 3)):
        y = np.concatenate([np.arange(C)] * 5 + [np.random.randint(0, C, 60)])
        X = np.random.randn(len(y), D) * (1 + y[:, None]) + y[:, None]
        model = GaussianNB().fit(X, y)
        p = joint(model, X)
        np.testing.assert_allclose(p / p.sum(1, keepdims=True), model.predict_proba(X), atol=1e-9)
        assert (model.classes_[p.argmax(1)] == model.predict(X)).all()
        left = np.log(p[np.arange(len(y)), y]).sum()
        right = model.predict_log_proba(X)[np.arange(len(y)), y].sum() + np.log(p.sum(1)).sum()
        assert math.isclose(left, right, rel_tol=1e-9)


@formula(LOGISTIC)
def check_linear_discriminant_is_logistic():
    for D in (1, 2, 4):
        A, y = np.random.randn(D, D) + 2 * np.eye(D), (np.random.rand(300) < 0.3).astype(int)
        X = np.random.randn(300, D) @ A + y[:, None] * np.arange(1, D + 1) - 1
        model = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(X, y)
        (m0, m1), S, (p0, p1) = model.means_, np.linalg.inv(model.covariance_), model.priors_
        w, b = S @ (m1 - m0), m0 @ S @ m0 / 2 - m1 @ S @ m1 / 2 + math.log(p1 / p0)
        np.testing.assert_allclose(expit(X @ w + b), model.predict_proba(X)[:, 1], atol=1e-8)


@check
def check_by_hand():
    def posterior(x, prior):
        a, b = prior * norm.pdf(x, 2), (1 - prior) * norm.pdf(x, 0)
        return a / (a + b)

    stated("0.8808", posterior(2, 0.5))
    stated("0.5", posterior(1, 0.5))
    stated("−4.1972", -2 + math.log(1 / 9))
    stated("0.4509", posterior(2, 0.1))
    assert math.isclose(expit(2 * 2 - 2), posterior(2, 0.5)) and math.isclose(
        expit(4 - 2 + math.log(1 / 9)), posterior(2, 0.1)
    )


def classes(count, covariance, shift):
    """Two Gaussian classes with the same covariance and means 0 and `shift`."""
    y = np.arange(count) % 2
    return np.random.multivariate_normal(np.zeros(len(shift)), covariance, count) + y[:, None] * np.array(shift), y


@holds("Naive Bayes, LDA", "Logistic regression, networks")
@pitfall('"Generative for small data, discriminative for large data"')
def check_learning_curves():
    """Held-out scores of 35 and 3,000 rows: the rule holds in one case; a right model keeps up, a badly wrong one always loses."""
    D, sizes = 30, [35, 3000]
    shift = np.full(D, 0.4)
    right = np.eye(D), shift
    wrong = np.array([[1.0, 0.95], [0.95, 1.0]]), np.array([1.0, 0.0])
    slightly = 0.93 * np.eye(D) + 0.07 * np.ones((D, D)), np.where(np.arange(D) < 15, 0.6, 0.0)
    scores = {}
    for name, case in (("right", right), ("wrong", wrong), ("slightly", slightly)):
        X, y = classes(4000, *case)
        for model in (GaussianNB(), LogisticRegression(C=1e6, max_iter=2000)):
            _, _, held_out = learning_curve(model, X, y, train_sizes=sizes, cv=4, shuffle=True, random_state=0)
            scores[name, type(model).__name__] = held_out.mean(1)
    gain = {
        name: scores[name, "GaussianNB"] - scores[name, "LogisticRegression"] for name in ("right", "wrong", "slightly")
    }
    assert gain["slightly"][0] > 0.02 and gain["slightly"][1] < -0.02
    assert gain["right"][1] > -0.01 and (gain["wrong"] < -0.1).all(), gain
    X, y = load_iris(return_X_y=True)  # sorted by class: the first rows of each fold are all setosa
    for rows, works in (((X, y), False), (shuffle(X, y), True)):
        score = learning_curve(GaussianNB(), *rows, train_sizes=[30, 120])[2].mean(1)
        assert (score[0] > 0.8) == works and score[1] > 0.9


@pitfall('"Only generative models need i.i.d. data"')
def check_both_need_independent_samples():
    """Rows sorted by time, the classes drifting: both models fail on the later half, both work once the rows are drawn at random."""
    time = np.linspace(0, 4, 2000)
    y = np.random.randint(0, 2, 2000)
    X = (6 * y + 2 * time + np.random.randn(2000))[:, None]
    X = np.concatenate([X, np.random.randn(2000, 1)], 1)
    for model in (GaussianNB(), LogisticRegression()):
        later = model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:])
        train, test, labels, wanted = train_test_split(X, y, random_state=0)
        drawn = model.fit(train, labels).score(test, wanted)
        assert later < 0.75 and drawn > 0.82, (later, drawn)
    both = 3 * y[:, None] + np.random.randn(
        2000, 2
    )  # what naive Bayes assumes of features: independent given the class only
    assert np.corrcoef(both.T)[0, 1] > 0.5 and all(abs(np.corrcoef(both[y == c].T)[0, 1]) < 0.1 for c in (0, 1))


@pitfall('"An HMM fills in missing data by itself, so it wins with few samples"')
def check_nothing_is_filled_in():
    """A two-state HMM: a gap is summed over and tells nothing; assumptions help with few samples where they fit only."""
    start, move, emit = (
        np.array([0.6, 0.4]),
        np.array([[0.9, 0.1], [0.2, 0.8]]),
        np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]),
    )

    def probability(symbols, gap=None):
        forward = start * emit[:, symbols[0]]
        for at, symbol in enumerate(symbols[1:], 1):
            forward = (forward @ move) * (1 if at == gap else emit[:, symbol])
        return forward.sum()

    assert math.isclose(probability([0, 2, 1], gap=1), sum(probability([0, symbol, 1]) for symbol in range(3)))
    held_out = {}
    for name, correlation in (("fits", 0.0), ("violated", 0.9)):
        D = 6
        covariance = np.full((D, D), correlation) + (1 - correlation) * np.eye(D)
        shift = np.where(np.arange(D) < 3, 0.8, 0.0)
        test = classes(4000, covariance, shift)
        for model in (GaussianNB(), QuadraticDiscriminantAnalysis()):
            held_out[name, type(model).__name__] = np.mean(
                [model.fit(*classes(30, covariance, shift)).score(*test) for _ in range(20)]
            )
    naive, free = "GaussianNB", "QuadraticDiscriminantAnalysis"
    assert held_out["fits", naive] > held_out["fits", free] + 0.05
    assert held_out["violated", naive] < held_out["violated", free] - 0.06


@pitfall("Probabilities close to 0 and 1")
def check_copies_make_naive_bayes_sure():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    X = rng.normal(size=(4000, 1)) + 2 * y[:, None]
    one = GaussianNB().fit(X, y).predict_proba([[2.0]])[0, 1]
    stated("0.9", one)
    assert GaussianNB().fit(np.repeat(X, 10, 1), y).predict_proba(np.full((1, 10), 2.0))[0, 1] > 0.999
    rows = np.repeat([[2.0], [3.0]], 10, 1)
    isotonic, sigmoid = (
        CalibratedClassifierCV(GaussianNB(), method=m).fit(np.repeat(X, 10, 1), y).predict_proba(rows)[:, 1]
        for m in ("isotonic", "sigmoid")
    )
    assert abs(isotonic[0] - one) < 0.03 and isotonic[1] > 0.97 and np.ptp(sigmoid) < 1e-3 and sigmoid[1] < 0.9
    tied = (
        CalibratedClassifierCV(GaussianNB(), method="isotonic")
        .fit(np.repeat(X, 100, 1), y)
        .predict_proba(np.repeat(rows, 10, 1))[:, 1]
    )
    assert (
        tied[0] == tied[1]
        and (GaussianNB().fit(np.repeat(X, 100, 1), y).predict_proba(np.repeat(rows, 10, 1))[:, 1] == 1).all()
    )
    direct = LogisticRegression(C=1e6).fit(np.repeat(X, 100, 1), y).predict_proba(np.repeat(rows, 10, 1))[:, 1]
    assert abs(direct[0] - one) < 0.03 and direct[1] > 0.97
    assert (
        abs(LogisticRegression(C=1e6).fit(np.repeat(X, 10, 1), y).predict_proba(np.full((1, 10), 2.0))[0, 1] - one)
        < 0.03
    )


@holds("Output for one sample", "SVM")
@pitfall("Probabilities close to 0 and 1")
def check_tiny_prior_and_svm_without_probabilities():
    X, y = load_iris(return_X_y=True)
    priors = [1e-12, 1 - 1e-11, 9e-12]
    stated("1e−12", priors[0])
    for model in (GaussianNB(), GaussianNB(priors=priors), LinearDiscriminantAnalysis(priors=priors)):
        assert model.fit(X, y).predict([[5.2, 3.6, 1.5, 0.3]])[0] == 0
    for kind in (GaussianNB, LinearDiscriminantAnalysis):
        for c in range(3):
            tiny = (
                kind(priors=np.where(np.arange(3) == c, 1e-12, (1 - 1e-12) / 2))
                .fit(X, y)
                .predict(X[kind().fit(X, y).predict(X) == c])
            )
            assert (tiny == c).mean() > 0.9 if c == 0 else (tiny == c).mean() < 0.1
    sure = LogisticRegression(max_iter=1000).fit(X, y)
    assert (sure.predict_proba(X[y == 0])[:, 0] > 0.9).all() and (
        sure.predict(X[y == 0]) == 0
    ).all()  # clear, and right
    assert not hasattr(SVC().fit(X, y), "predict_proba") and SVC().fit(X, y).decision_function(X).shape == (150, 3)


@holds("Naive Bayes, LDA")
def check_few_labels_need_shrinkage():
    scores = {"svd": [], "lsqr": []}
    for _ in range(30):
        (X, y), test = classes(40, np.eye(20), np.full(20, 0.5)), classes(2000, np.eye(20), np.full(20, 0.5))
        for solver, shrinkage in (("svd", None), ("lsqr", "auto")):
            scores[solver].append(LinearDiscriminantAnalysis(solver=solver, shrinkage=shrinkage).fit(X, y).score(*test))
    assert np.mean(scores["lsqr"]) > np.mean(scores["svd"]) + 0.03


@holds("Naive Bayes, LDA")
def check_missing_values_are_refused():
    X, y = load_iris(return_X_y=True)
    X[0, 0] = np.nan
    for model in (GaussianNB(), LinearDiscriminantAnalysis()):
        raises(ValueError, lambda: model.fit(X, y), "Input X contains NaN")


@holds("What if class frequencies change after training?", "Naive Bayes, LDA")
def check_changed_priors_shift_the_intercept():
    for old, new in ((0.5, 0.1), (0.3, 0.8)):
        shift = math.log(new / (1 - new)) - math.log(old / (1 - old))
        for x in (-1.0, 0.5, 3.0):
            logit = lambda prior: math.log(prior * norm.pdf(x, 2) / ((1 - prior) * norm.pdf(x, 0)))
            assert math.isclose(logit(new), logit(old) + shift, abs_tol=1e-9)
    draw = lambda count, share: classes_of((np.random.rand(count) < share).astype(int))
    (X, y), (fresh, wanted) = draw(4000, 0.5), draw(4000, 0.1)
    direct, bayes = LogisticRegression(C=1e6).fit(X, y), GaussianNB().fit(X, y)
    before = direct.score(fresh, wanted)
    direct.intercept_ += math.log(0.1 / 0.9)
    replaced = GaussianNB(priors=[0.9, 0.1]).fit(X, y)
    assert direct.score(fresh, wanted) > before + 0.03
    assert replaced.score(fresh, wanted) > bayes.score(fresh, wanted) + 0.03
    old, new, means = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6]), np.array([[0, 0], [2, 0], [0, 2]])
    y, wanted = np.random.choice(3, 6000, p=old), np.random.choice(3, 6000, p=new)
    X, fresh = means[y] + np.random.randn(6000, 2), means[wanted] + np.random.randn(6000, 2)
    losses = []
    for shift in (0, np.log(new / (1 - new)) - np.log(old / (1 - old)), np.log(new / old)):
        model = LogisticRegression().fit(X, y)
        model.intercept_ += shift
        losses.append(log_loss(wanted, model.predict_proba(fresh)))
    assert losses[0] > losses[1] + 0.1 > losses[2] + 0.11  # the log odds of three classes shift too far
    (X, y), (fresh, wanted) = classes(2000, np.eye(20), np.full(20, 0.4)), classes(4000, np.eye(20), np.full(20, 0.4))
    recall = []
    for model in (LogisticRegression(C=1e6), LinearSVC()):  # the margin's score is no log odds
        model.fit(X, y).intercept_ += math.log(0.05 / 0.95)
        recall.append(model.predict(fresh[wanted == 1]).mean())
    assert recall[0] > 0.12 and recall[1] < 0.04, recall


@check
def check_a_right_picture_needs_a_boundary_of_its_form():
    """Equal means, different spreads: naive Bayes is right, logistic regression cannot express the boundary."""
    y = np.arange(4000) % 2
    X = np.random.randn(4000, 1) * (1 + 3 * y[:, None])
    assert GaussianNB().fit(X, y).score(X, y) > LogisticRegression().fit(X, y).score(X, y) + 0.1


@check
def check_log_loss_of_the_cures():
    """Breast cancer, every feature ten times: calibration or logistic regression lowers the loss on held-out data."""
    X, y = load_breast_cancer(return_X_y=True)
    X = np.repeat((X - X.mean(0)) / X.std(0), 10, 1)
    train, test, labels, wanted = train_test_split(X, y, test_size=0.4, random_state=np.random.randint(1000))
    models = (
        GaussianNB(),
        CalibratedClassifierCV(GaussianNB(), method="isotonic"),
        LogisticRegression(max_iter=1000),
    )
    plain, *cured = (log_loss(wanted, model.fit(train, labels).predict_proba(test)) for model in models)
    assert max(cured) < 0.7 * plain, (plain, cured)


def classes_of(y):
    """One feature with means 0 and 2 and variance 1."""
    return np.random.randn(len(y), 1) + 2 * y[:, None], y


@holds("Input", "Cost")
def check_unlabelled_rows_and_one_pass():
    """EM with 6 labelled and 600 unlabelled rows; naive Bayes meets each row once, logistic regression iterates."""
    before, after = [], []
    for _ in range(20):
        (X, y), (more, _), test = (classes(count, np.eye(4), np.full(4, 1.5)) for count in (6, 600, 2000))
        before.append(GaussianNB(var_smoothing=0.1).fit(X, y).score(*test))
        model = GaussianNB(var_smoothing=0.1).fit(X, y)
        both, labels = np.concatenate([X, more, more]), np.r_[y, np.zeros(600), np.ones(600)]
        for _ in range(15):
            share = model.predict_proba(more)
            weights = np.r_[np.ones(6), share[:, 0], share[:, 1]]
            model = GaussianNB(var_smoothing=0.1).fit(both, labels, sample_weight=weights)
        after.append(model.score(*test))
    assert np.mean(after) > np.mean(before) + 0.03, (np.mean(before), np.mean(after))
    X, y = classes_of(np.arange(1000) % 2)
    parts, whole = GaussianNB(), GaussianNB().fit(X, y)
    for rows in np.split(np.arange(1000), 10):
        parts.partial_fit(X[rows], y[rows], classes=[0, 1])
    assert np.allclose(parts.theta_, whole.theta_) and np.allclose(parts.var_, whole.var_)
    assert LogisticRegression().fit(X, y).n_iter_[0] > 1


@holds("Naive Bayes, LDA")
def check_a_missing_feature_left_out():
    """Naive Bayes without the term of a missing feature is naive Bayes without the feature; LDA alike."""
    X, y = load_iris(return_X_y=True)
    whole, part = GaussianNB(var_smoothing=0).fit(X, y), GaussianNB(var_smoothing=0).fit(X[:, 1:], y)
    density = norm.pdf(X[:, None, 1:], whole.theta_[None, :, 1:], np.sqrt(whole.var_[None, :, 1:])).prod(-1)
    terms = density * whole.class_prior_
    np.testing.assert_allclose(terms / terms.sum(1, keepdims=True), part.predict_proba(X[:, 1:]), atol=1e-9)
    models = [LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(data, y) for data in (X, X[:, 1:])]
    assert np.allclose(models[0].means_[:, 1:], models[1].means_)
    assert np.allclose(models[0].covariance_[1:, 1:], models[1].covariance_)
