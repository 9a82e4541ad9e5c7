import math
import warnings

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB

from sklearn.preprocessing import StandardScaler

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, sourced, stated

BAYES = r"P(c \mid x) = \frac{P(c) \prod_{i=1}^{d} p(x_i \mid c)}{\sum_{c'} P(c') \prod_{i=1}^{d} p(x_i \mid c')}"
COUNTS = r"""
p(x \mid c) \propto \prod_{i=1}^{d} \theta_{ci}^{x_i}, \qquad \theta_{ci} = \frac{N_{ci} + \alpha}{N_c + \alpha d}, \qquad \theta^{\text{Bernoulli}}_{ci} = \frac{n_{ci} + \alpha}{n_c + 2 \alpha}
"""
GAUSSIAN = r"""
p(x_i \mid c) = \frac{1}{\sqrt{2 \pi s_{ci}}} \exp \left( -\frac{(x_i - \mu_{ci})^2}{2 s_{ci}} \right), \qquad s_{ci} = \sigma_{ci}^2 + \texttt{var\_smoothing} \cdot v
"""


by_definition("Bayesian network")
sourced(
    "Ng and Jordan 2001, abstract: the generative model approaches its higher limiting error with fewer examples",
    "Naive Bayes",
)
sourced("scikit-learn user guide, Bernoulli naive Bayes: shorter documents", "Multinomial or Bernoulli for text?")


def bayes(priors, likelihoods):
    joint = np.asarray(priors) * np.asarray(likelihoods)
    return joint / joint.sum()


def labels(n, C):
    return np.concatenate([np.arange(C), np.random.randint(0, C, n - C)])


@formula(BAYES, COUNTS)
def check_discrete_models():
    for n, d, C, alpha in [(20, 4, 2, 1.0), (30, 7, 3, 0.3), (9, 1, 2, 2.0), (12, 5, 4, 0.01)]:
        X, y = np.random.poisson(1.5, (n, d)), labels(n, C)
        query = np.random.poisson(1.5, d)
        priors = [np.mean(y == c) for c in range(C)]
        multinomial, bernoulli = [], []
        for c in range(C):
            counts = X[y == c].sum(0)
            theta = (counts + alpha) / (counts.sum() + alpha * d)
            multinomial.append(np.prod(theta**query))
            seen = (X[y == c] > 0).sum(0)
            theta = (seen + alpha) / ((y == c).sum() + 2 * alpha)
            bernoulli.append(np.prod(np.where(query > 0, theta, 1 - theta)))
        for model, ours in ((MultinomialNB(alpha=alpha), multinomial), (BernoulliNB(alpha=alpha), bernoulli)):
            np.testing.assert_allclose(bayes(priors, ours), model.fit(X, y).predict_proba([query])[0], rtol=1e-9)


@formula(GAUSSIAN)
def check_gaussian():
    for n, d, C, smoothing in [(20, 3, 2, 1e-9), (30, 5, 3, 0.2), (8, 1, 2, 1e-3)]:
        X, y = np.random.randn(n, d) * np.arange(1, d + 1) + 2, labels(n, C)
        query = np.random.randn(d)
        v = max(((X[:, i] - X[:, i].mean()) ** 2).mean() for i in range(d))
        ours = []
        for c in range(C):
            part = X[y == c]
            s = ((part - part.mean(0)) ** 2).mean(0) + smoothing * v
            ours.append(np.prod(np.exp(-((query - part.mean(0)) ** 2) / (2 * s)) / np.sqrt(2 * math.pi * s)))
        model = GaussianNB(var_smoothing=smoothing).fit(X, y)
        np.testing.assert_allclose(
            bayes([np.mean(y == c) for c in range(C)], ours), model.predict_proba([query])[0], rtol=1e-7, atol=1e-12
        )
        assert math.isclose(model.epsilon_, smoothing * v)  # of the data given to fit


@check
def check_by_hand():
    X, y = [[2, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], [1, 1, 0, 0]
    model = MultinomialNB().fit(X, y)
    theta = np.exp(model.feature_log_prob_)
    stated("0.5", theta[1, 0])
    stated("0.25", theta[1, 1])
    assert math.isclose(theta[0, 0], 1 / 8) and math.isclose(theta[0, 1], 2 / 8)
    stated("0.125", theta[1, 0] * theta[1, 1])
    stated("0.03125", theta[0, 0] * theta[0, 1])
    stated("0.8", model.predict_proba([[1, 1, 0, 0]])[0, 1])


@pitfall("Probabilities are nearly all 0 or 1")
@holds("Why does it work although the assumption is false?")
def check_copies_are_counted_as_evidence():
    stated("0.9961", 4**4 / (4**4 + 1))
    y = np.random.randint(0, 2, 4000)
    feature = np.where(np.random.rand(4000) < 0.8, y, 1 - y)[:, None]
    X = np.repeat(feature, 8, 1)
    plain, single = BernoulliNB().fit(X, y), BernoulliNB().fit(feature, y)
    long = MultinomialNB().fit([[3, 1], [1, 3]], [0, 1])
    assert (long.predict_proba([[0, 60], [0, 90]])[:, 1] == 1).all()
    assert np.diff(long.predict_joint_log_proba([[0, 60], [0, 90]]) @ [-1, 1])[0] > 1
    calibrated = CalibratedClassifierCV(BernoulliNB(), method="isotonic").fit(X, y).predict_proba(X).max(1)
    groups = np.stack([np.where(np.random.rand(4000) < share, y, 1 - y) for share in (0.8, 0.7, 0.6)], 1)
    wanted, copied = BernoulliNB().fit(groups, y).predict_proba(groups)[:, 1], groups.repeat(8, 1)
    isotonic, sigmoid, raw = (
        np.abs(model.fit(copied, y).predict_proba(copied)[:, 1] - wanted).mean()
        for model in (
            *(CalibratedClassifierCV(BernoulliNB(), method=m) for m in ("isotonic", "sigmoid")),
            BernoulliNB(),
        )
    )
    assert isotonic < 0.045 < sigmoid < raw, (isotonic, sigmoid, raw)
    assert (plain.predict(X) == single.predict(feature)).all()  # values wrong, the largest in the right place
    assert plain.predict_proba(X).max(1).min() > 0.9999 and abs(plain.score(X, y) - 0.8) < 0.02
    assert abs(calibrated - 0.8).max() < 0.03 and abs(single.predict_proba(feature).max(1) - 0.8).max() < 0.03


@pitfall("NaN for a word never seen in a class")
def check_zero_alpha():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MultinomialNB(alpha=0).fit([[3, 1, 0, 0], [0, 1, 2, 1]], [1, 0])
        assert np.isnan(model.predict_proba([[1, 0, 1, 0]])).all()
        assert (
            np.isnan(model.predict_proba([[1, 1, 0, 0]])).any()
            and model.predict_proba(csr_matrix([[1, 1, 0, 0]]))[0, 1] == 1.0
        )
        sparse = model.predict_proba(csr_matrix([[1, 1, 0, 0], [1, 0, 1, 0]]))
        assert np.isfinite(sparse[0]).all() and np.isnan(sparse[1]).all()
        in_every_sample = BernoulliNB(alpha=0).fit(csr_matrix([[3, 1, 0, 0], [0, 1, 2, 1]]), [1, 0])
        assert np.isnan(in_every_sample.predict_proba(csr_matrix([[1, 1, 0, 0]]))).all()
        digits, classes = load_digits(return_X_y=True)
        assert MultinomialNB(alpha=0).fit(digits, classes).score(digits, classes) < 0.2  # issue 5814
    assert MultinomialNB().fit(digits, classes).score(digits, classes) > 0.85
    for alpha in (1.0, 0.1):
        model = MultinomialNB(alpha=alpha).fit([[3, 1, 0, 0], [0, 1, 2, 1]], [1, 0])
        assert np.isfinite(model.predict_proba([[1, 0, 1, 0], [1, 1, 0, 0]])).all()


@pitfall('"Negative values in data passed to MultinomialNB"')
def check_negative_values():
    X, y = load_digits(return_X_y=True)
    for real in (StandardScaler().fit_transform(X), PCA(20).fit_transform(X)):
        raises(ValueError, lambda: MultinomialNB().fit(real, y), "Negative values in data passed to MultinomialNB")
        assert GaussianNB().fit(real, y).score(real, y) > 0.7
    for counts in (X, TfidfTransformer().fit_transform(X)):
        assert MultinomialNB().fit(counts, y).score(counts, y) > 0.85


@pitfall("`GaussianNB` can guess at random on unscaled data")
def check_unscaled_feature_drowns_the_rest():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    X = np.c_[rng.normal(0, 1e6, 2000), y + rng.normal(0, 0.3, 2000)]
    score = lambda Z, **options: GaussianNB(**options).fit(Z[:1000], y[:1000]).score(Z[1000:], y[1000:])
    assert score(X) < 0.56 and score(StandardScaler().fit_transform(X)) > 0.93 and score(X, var_smoothing=1e-15) > 0.93
    assert abs(GaussianNB().fit(X, y).epsilon_ - 1000) < 20
    assert score(X, var_smoothing=1e-10) < 0.75  # still adds about 100


@holds("Defaults")
def check_defaults_and_priors():
    assert MultinomialNB().fit_prior and BernoulliNB().fit_prior
    raises(TypeError, lambda: GaussianNB().fit(csr_matrix(np.eye(2)), [0, 1]), "Sparse")
    assert (
        MultinomialNB().alpha == BernoulliNB().alpha == 1.0
        and GaussianNB().var_smoothing == 1e-9
        and BernoulliNB().binarize == 0.0
    )
    model = MultinomialNB(class_prior=[0.9, 0.1]).partial_fit([[1, 0], [0, 1]], [0, 1], classes=[0, 1])
    np.testing.assert_allclose(np.exp(model.class_log_prior_), [0.9, 0.1])
    np.testing.assert_allclose(
        GaussianNB(priors=[0.9, 0.1]).fit(np.random.randn(6, 2), [0, 1] * 3).class_prior_, [0.9, 0.1]
    )


@pitfall("The class prior seems to be ignored")
def check_prior_order_and_moment():
    model = MultinomialNB(class_prior=[0.9, 0.1]).fit([[2, 0], [0, 2]], ["spam", "ham"])
    assert list(model.classes_) == ["ham", "spam"] and np.allclose(np.exp(model.class_log_prior_), [0.9, 0.1])
    one, many = model.predict_proba([[1, 0], [20, 0]])[:, 1]
    assert one < 0.5 and many > 0.999  # the features outweigh the prior
    model.class_prior = [0.1, 0.9]
    assert np.allclose(np.exp(model.class_log_prior_), [0.9, 0.1])
    assert np.allclose(np.exp(model.fit([[2, 0], [0, 2]], ["spam", "ham"]).class_log_prior_), [0.1, 0.9])
    other = MultinomialNB(class_prior=[0.1, 0.9]).fit([[2, 0], [0, 2]], ["spam", "ham"])
    assert (
        np.allclose(np.exp(other.class_log_prior_), [0.1, 0.9])
        and other.predict_proba([[1, 0]])[0, 1] > 0.9 > 0.5 > one
    )
    unused = [
        ComplementNB(class_prior=p).fit([[2, 1], [1, 2]], [0, 1]).predict_proba([[1, 2]]) for p in (None, [0.9, 0.1])
    ]
    assert np.allclose(*unused)
    for wrong in (lambda: GaussianNB(class_prior=[0.9, 0.1]), lambda: MultinomialNB(priors=[0.9, 0.1])):
        try:
            wrong()
        except TypeError:
            continue
        raise AssertionError("the other name is refused")


@holds("Is the boundary of `GaussianNB` linear?")
def check_linear_and_quadratic_log_odds():
    X, y = np.random.poisson(2, (40, 3)), labels(40, 2)
    odds = lambda model, rows: model.predict_log_proba(rows) @ [-1, 1]
    a, b = np.array([[1.0, 4, 0]]), np.array([[3.0, 0, 2]])
    counts, real = MultinomialNB().fit(X, y), GaussianNB().fit(np.random.randn(40, 3) * (1 + y[:, None]), y)
    bend = lambda model: float((odds(model, (a + b) / 2) - (odds(model, a) + odds(model, b)) / 2)[0])
    assert abs(bend(counts)) < 1e-9 and abs(bend(real)) > 1e-2
    bits = BernoulliNB().fit(X > 1, y)  # linear along one feature and additive over features: affine
    corners = [odds(bits, np.array([row]))[0] for row in ([0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0])]
    assert abs(corners[3] - corners[1] - corners[2] + corners[0]) < 1e-9
    real.var_[:] = 1.7
    assert abs(bend(real)) < 1e-9


@holds("Input", "Output", "Parameters")
def check_shapes():
    X, y = np.random.poisson(1.5, (30, 4)), labels(30, 3)
    for model, data in ((MultinomialNB(), X), (BernoulliNB(), X > 1), (GaussianNB(), np.random.randn(30, 4))):
        rows = model.fit(data, y).predict_proba(data)
        assert rows.shape == (30, 3) and rows.dtype == float and np.allclose(rows.sum(1), 1)
        assert model.predict(data).shape == (30,)
        assert model.predict(data[:1]).shape == (1,)
        raises(ValueError, lambda: model.predict(data[0]), "2D")
        if not isinstance(model, GaussianNB):
            assert (model.fit(csr_matrix(data), y).predict(csr_matrix(data)) == model.fit(data, y).predict(data)).all()
            assert model.feature_log_prob_.shape == (3, 4) and math.isclose(np.exp(model.class_log_prior_).sum(), 1)
    sums = [np.exp(m.fit(X, y).feature_log_prob_).sum(1) for m in (MultinomialNB(), BernoulliNB())]
    assert np.allclose(sums[0], 1) and np.abs(sums[1] - 1).min() > 0.1  # one number per class is not free, or all are
    gauss = GaussianNB().fit(np.random.randn(30, 4), y)
    assert gauss.theta_.shape == gauss.var_.shape == (3, 4)


@holds("Cost", "Naive Bayes")
def check_counts_in_one_pass_and_in_chunks():
    X, y = np.random.poisson(1.5, (300, 4)), labels(300, 3)
    counts = np.zeros((3, 4))
    for row, c in zip(X, y):
        counts[c] += row
    for kind in (MultinomialNB, BernoulliNB, GaussianNB):
        whole, parts = kind().fit(X, y), kind()
        for part in np.array_split(np.arange(300), 5):
            parts.partial_fit(X[part], y[part], classes=[0, 1, 2])
        np.testing.assert_allclose(whole.predict_proba(X), parts.predict_proba(X), rtol=1e-5)
        assert kind is not MultinomialNB or np.array_equal(whole.feature_count_, counts)
    ours = [math.log((y == c).mean()) + X[0] @ np.log((counts[c] + 1) / (counts[c].sum() + 4)) for c in range(3)]
    np.testing.assert_allclose(MultinomialNB().fit(X, y).predict_joint_log_proba(X[:1])[0], ours)  # C * d products


@holds("Logistic regression")
def check_copies_and_logistic_regression():
    figure_of(__file__).copies()  # asserts 0.8 within 0.02 for 1 to 8 copies
    moved = []
    for rows in (20, 4000):  # the default penalty weighs less with many rows
        for seed in range(5):
            rng = np.random.default_rng(seed)
            y = rng.integers(0, 2, rows)
            f = np.where(rng.random(rows) < 0.8, y, 1 - y)[:, None]
            p = [LogisticRegression().fit(f.repeat(k, 1), y).predict_proba(np.ones((1, k)))[0, 1] for k in (1, 8)]
            moved.append(p[1] - p[0])
    assert np.mean(moved[:5]) > 0.04 > 0.01 > np.abs(moved[5:]).max(), moved
    X, y = np.random.randn(200, 3), labels(200, 2)
    at = lambda row: LogisticRegression().fit(X, y).decision_function([row])[0]
    assert math.isclose(at([1, 2, 3]) + at([0, 0, 0]), at([1, 0, 0]) + at([0, 2, 3]), abs_tol=1e-9)


@holds("Multinomial or Bernoulli for text?")
def check_absence_and_repetition():
    X, y = np.array([[3, 1, 0], [2, 0, 1], [0, 1, 2], [1, 2, 4]]), [0, 0, 1, 1]
    bits, counts = BernoulliNB().fit(X, y), MultinomialNB().fit(X, y)
    once, thrice, empty = [[1, 0, 0]], [[3, 0, 0]], [[0, 0, 0]]
    assert np.allclose(bits.predict_proba(once), bits.predict_proba(thrice))
    assert not np.allclose(counts.predict_proba(once), counts.predict_proba(thrice))
    assert np.allclose(counts.predict_proba(empty), 0.5) and not np.allclose(bits.predict_proba(empty), 0.5)
