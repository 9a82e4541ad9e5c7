import itertools
import math

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.special import gammaln, psi
from scipy.stats import dirichlet
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF, LatentDirichletAllocation
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

by_definition("Cost", "clusters of embeddings")
sourced("Blei, Ng, Jordan 2003, section 4.3; Hofmann 1999", "How does LDA differ from pLSA?")
sourced("Blei, Ng, Jordan 2003, section 5; Griffiths and Steyvers 2004", "LDA")

MIXTURE = r"p(w_{dn} = v \mid \theta_d, \beta) = \sum_{k=1}^{K} \theta_{dk} \, \beta_{kv}"
UPDATES = r"""
r_{dvk} \propto \exp \left( \Psi(\gamma_{dk}) + \Psi(\lambda_{kv}) - \Psi \left( \sum_{u=1}^{V} \lambda_{ku} \right) \right), \qquad \gamma_{dk} = \alpha + \sum_{v=1}^{V} n_{dv} r_{dvk}, \qquad \lambda_{kv} = \eta + \sum_{d=1}^{D} n_{dv} r_{dvk}
"""
GIBBS = r"""
P(z_{dn} = k \mid z_{-dn}, w) \propto (n_{dk} + \alpha) \, \frac{m_{k v} + \eta}{\sum_{u=1}^{V} m_{ku} + V \eta}, \qquad v = w_{dn}
"""


def responsibilities(gamma, lam):
    """r[d, v, k] of the article."""
    score = psi(gamma)[:, None, :] + (psi(lam) - psi(lam.sum(1, keepdims=True))).T[None]
    r = np.exp(score - score.max(2, keepdims=True))
    return r / r.sum(2, keepdims=True)


@holds("LDA")
@formula(UPDATES)
def check_updates_against_scikit_learn():
    """The shares of transform() are the fixed point for gamma; components_ of a converged fit is the one for lambda."""
    for D, V, K, alpha, eta in [(12, 5, 2, 0.5, 0.3), (20, 8, 3, 0.2, 0.1), (6, 4, 2, 1.0, 1.0)]:
        X = np.random.poisson(2.0, (D, V)) * (np.random.rand(D, V) < 0.7) + np.eye(D, V, dtype=int)
        X[:, 0] += X.sum(1) == 0
        model = LatentDirichletAllocation(
            K,
            doc_topic_prior=alpha,
            topic_word_prior=eta,
            max_iter=400,
            max_doc_update_iter=1500,
            mean_change_tol=1e-9,
            random_state=0,
        ).fit(X)
        lam, gamma = model.components_, np.ones((D, K))
        for _ in range(1500):
            gamma = alpha + (X[:, :, None] * responsibilities(gamma, lam)).sum(1)
        np.testing.assert_allclose(gamma / gamma.sum(1, keepdims=True), model.transform(X), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(
            eta + np.einsum("dv,dvk->kv", X, responsibilities(gamma, lam)), lam, rtol=2e-2, atol=2e-2
        )


@formula(MIXTURE)
def check_mixture_against_simulation():
    rng = np.random.default_rng(0)
    for K, V in [(2, 3), (4, 6), (1, 2)]:
        theta, beta = rng.dirichlet(np.ones(K)), rng.dirichlet(np.ones(V), K)
        z = rng.choice(K, 100_000, p=theta)
        words = (rng.random(100_000)[:, None] > beta.cumsum(1)[z][:, :-1]).sum(1)
        np.testing.assert_allclose(
            np.bincount(words, minlength=V) / 100_000,
            [sum(theta[k] * beta[k, v] for k in range(K)) for v in range(V)],
            atol=0.008,
        )


def collapsed(z, docs, words, K, V, alpha, eta):
    """log p(z, w) with theta and beta integrated out: a product of Dirichlet-multinomials."""
    n, m = np.zeros((max(docs) + 1, K)), np.zeros((K, V))
    for d, v, k in zip(docs, words, z):
        n[d, k] += 1
        m[k, v] += 1
    total = lambda counts, prior: (
        gammaln(counts + prior).sum(1) - gammaln(counts.sum(1) + prior * counts.shape[1])
    ).sum()
    return total(n, alpha) + total(m, eta), n, m


@holds("LDA")
@formula(GIBBS)
def check_gibbs_conditional_against_the_integrated_joint():
    for K, V, docs, words in [(2, 3, [0, 0, 1, 1, 1], [0, 1, 1, 2, 2]), (3, 4, [0, 0, 0, 1, 2], [3, 3, 1, 0, 2])]:
        alpha, eta = 0.4, 0.7
        for z in itertools.islice(itertools.product(range(K), repeat=5), 0, None, 7):
            for i in range(5):
                exact = np.exp(
                    [collapsed(z[:i] + (k,) + z[i + 1 :], docs, words, K, V, alpha, eta)[0] for k in range(K)]
                )
                _, n, m = collapsed(
                    z[:i] + z[i + 1 :],
                    docs[:i] + docs[i + 1 :] + [max(docs)],
                    words[:i] + words[i + 1 :],
                    K,
                    V,
                    alpha,
                    eta,
                )
                ours = np.array(
                    [(n[docs[i], k] + alpha) * (m[k, words[i]] + eta) / (m[k].sum() + V * eta) for k in range(K)]
                )
                np.testing.assert_allclose(ours / ours.sum(), exact / exact.sum(), rtol=1e-9)


@holds("Parameters")
def check_by_hand():
    theta, beta = np.array([0.7, 0.3]), np.array([[0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])
    p = theta @ beta
    stated("0.31", p[2])
    stated("0.7742", theta[1] * beta[1, 2] / p[2])
    stated("0.38", p[0])
    stated("0.9211", theta[0] * beta[0, 0] / p[0])
    stated("99,990", 10 * (10_000 - 1))


@holds("Input", "Output", "Defaults")
@pitfall("Rows of `components_` do not sum to 1")
def check_defaults_and_pseudo_counts():
    model = LatentDirichletAllocation()
    assert (
        model.n_components,
        model.learning_method,
        model.max_iter,
        model.doc_topic_prior,
        model.topic_word_prior,
    ) == (10, "batch", 10, None, None)
    X = np.random.poisson(1.0, (15, 6)) + 1
    model = LatentDirichletAllocation(3, random_state=0).fit(X)
    assert model.doc_topic_prior_ == model.topic_word_prior_ == 1 / 3
    assert math.isclose(model.components_.sum(), X.sum() + 3 * 6 / 3, rel_tol=1e-6)
    np.testing.assert_allclose(model.transform(X).sum(1), 1.0)
    lam = model.components_
    mean = np.random.default_rng(0).dirichlet(lam[0], 20_000).mean(0)
    assert not np.isclose(lam.sum(1), 1).any() and np.allclose((lam / lam.sum(1, keepdims=True))[0], mean, atol=0.005)
    assert model.transform(X[:1]).shape == (1, 3) and np.allclose(model.transform(csr_array(X)), model.transform(X))
    assert LatentDirichletAllocation(3, random_state=0).fit(X.astype(np.float32)).components_.dtype == np.float32
    assert LatentDirichletAllocation(2, max_iter=2).fit(X * 0.37).components_.shape == (2, 6)
    raises(ValueError, lambda: LatentDirichletAllocation(2).fit(-X), "Negative values")


def corpus(documents, topics, words, seed):
    """Counts of documents drawn from the model, and the topics behind them."""
    rng = np.random.default_rng(seed)
    shares, planted = rng.dirichlet(np.full(topics, 0.3), documents), rng.dirichlet(np.full(words, 0.1), topics)
    return np.array([rng.multinomial(60, row @ planted) for row in shares]), planted


def normalised(model):
    return model.components_ / model.components_.sum(1, keepdims=True)


@pitfall("Perplexity gets worse with more topics")
def check_perplexity():
    """Five topics behind the words: on ten held-out documents perplexity prefers one topic, words held out of them do not."""
    X, _ = corpus(150, 5, 40, 2)
    fits = {k: LatentDirichletAllocation(k, max_iter=20, random_state=0).fit(X[:120]) for k in (1, 5, 30)}
    assert fits[30].perplexity(X[:120]) > fits[5].perplexity(X[:120]) + 1
    few = X[120:130]
    assert fits[5].perplexity(few) > fits[1].perplexity(few) and fits[1].perplexity(X[120:]) > fits[5].perplexity(
        X[120:]
    )
    assert fits[5].perplexity(few) / fits[5].perplexity(X[120:]) > 1.2
    seen = np.random.default_rng(0).binomial(few, 0.5)
    per_word = {
        k: ((few - seen) * np.log(fit.transform(seen) @ normalised(fit))).sum() / (few - seen).sum()
        for k, fit in fits.items()
    }
    assert per_word[5] > per_word[1] + 0.2 and per_word[5] > per_word[30]
    main = np.random.default_rng(2).dirichlet(np.full(5, 0.3), 150).argmax(1)  # the downstream task: main topics
    shares = {k: fits[k].transform(X) for k in (1, 5)}
    task = {k: LogisticRegression().fit(s[:120], main[:120]).score(s[120:], main[120:]) for k, s in shares.items()}
    assert task[5] > task[1] + 0.2, task
    X = np.random.RandomState(1).poisson(1.0, (60, 30))
    steps = [LatentDirichletAllocation(5, random_state=1, max_iter=n).fit(X).perplexity(X) for n in range(1, 15)]
    assert (np.diff(steps) > 0).any()


@pitfall("Topics change with the seed")
def check_seeds():
    X, planted = corpus(100, 3, 15, 1)
    gap = lambda model: np.abs(normalised(model)[:, None] - planted).sum(2)
    matched = lambda model: gap(model)[linear_sum_assignment(gap(model))].max()
    early, fits = (
        [LatentDirichletAllocation(3, max_iter=n, random_state=seed).fit(X) for seed in range(3)] for n in (10, 50)
    )
    assert len({round(fit.score(X)) for fit in early}) == 3
    assert matched(early[1]) > 0.5 > 0.1 > matched(fits[1])  # more iterations
    assert matched(fits[2]) > 1 > 0.1 > matched(max(fits, key=lambda fit: fit.score(X)))  # a better start
    assert gap(fits[0]).diagonal().max() > 1 > 0.1 > matched(fits[0])  # other numbers, the same topics
    X = load_digits().data[:40]  # pixels as words: the better of two fits, twice
    fits = [LatentDirichletAllocation(6, max_iter=15, random_state=seed).fit(X) for seed in range(4)]
    pair = [normalised(max(two, key=lambda fit: fit.score(X))) for two in (fits[:2], fits[2:])]
    apart = np.abs(pair[0][:, None] - pair[1]).sum(2)
    assert apart[linear_sum_assignment(apart)].max() > 0.2


@check
def check_small_priors_sparsify():
    rng = np.random.default_rng(0)
    top = lambda a: rng.dirichlet(np.full(8, a), 4000).max(1).mean()
    assert top(0.1) > top(1.0) > top(10.0)


@pitfall('Every topic shows "the, of, and"')
def check_frequent_words():
    rng = np.random.default_rng(0)
    subjects, frequent = ("ball team goal match".split(), "vote law party state".split()), "the of and".split()
    texts = [" ".join([*rng.choice(subjects[i % 2], 8), *rng.choice(frequent, 12)]) for i in range(60)]

    def top(**options):
        words = CountVectorizer(**options)
        model = LatentDirichletAllocation(2, max_iter=50, random_state=0).fit(words.fit_transform(texts))
        return model, [set(words.get_feature_names_out()[row.argsort()[-3:]]) for row in model.components_]

    model, first = top()
    assert first == [set(frequent)] * 2
    specific = model.components_ / model.components_.sum(1, keepdims=True)
    specific = (specific / specific.sum(0)).argsort(1)[:, -3:]
    names = np.array(sorted({*subjects[0], *subjects[1], *frequent}))
    for found in (top(max_df=0.9)[1], top(stop_words="english")[1], [set(names[row]) for row in specific]):
        assert sorted(sum(word in subjects[0] for word in topic) for topic in found) == [0, 3] and not any(
            topic & set(frequent) for topic in found
        )


@pitfall("`LDA` asks for labels")
def check_wrong_class():
    X = np.random.poisson(1.0, (15, 6)) + 1
    raises(TypeError, lambda: LinearDiscriminantAnalysis().fit(X), "y")
    assert LatentDirichletAllocation(2).fit(X).transform(X).shape == (15, 2)


@holds("mixture of multinomials")
def check_mixture_by_em():
    """One topic per document: EM raises the likelihood and ends with clusters."""
    rng = np.random.default_rng(0)
    beta, group = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]), np.arange(60) % 2
    X = np.array([rng.multinomial(30, beta[k]) for k in group])
    shares, topics, values = np.full(2, 0.5), rng.dirichlet(np.ones(3), 2), []
    for _ in range(30):
        joint = X @ np.log(topics).T + np.log(shares)
        peak = joint.max(1, keepdims=True)
        values.append((np.log(np.exp(joint - peak).sum(1)) + peak[:, 0]).sum())
        r = np.exp(joint - peak)
        r /= r.sum(1, keepdims=True)
        shares, topics = r.mean(0), (r.T @ X) / (r.T @ X).sum(1, keepdims=True)
    found = r.argmax(1)
    assert (np.diff(values) > -1e-8).all() and max((found == group).mean(), (found != group).mean()) > 0.95


@holds("NMF")
def check_nmf():
    X = np.random.default_rng(0).poisson(1.0, (30, 12)) + 0.0
    for counts in (X, TfidfTransformer().fit_transform(X)):
        for options in ({}, {"solver": "mu", "beta_loss": "kullback-leibler"}):
            model = NMF(3, max_iter=2000, random_state=0, **options)
            weights = model.fit_transform(counts)
            assert weights.shape == (30, 3) and weights.min() >= 0 <= model.components_.min()
            assert np.abs(weights.sum(1) - 1).max() > 0.05


@holds("Why a Dirichlet prior?")
def check_conjugate():
    """Prior times likelihood of the drawn topics, against the Dirichlet with the counts added: a constant ratio."""
    alpha, z = np.array([0.4, 0.7, 1.2]), np.array([0, 2, 2, 1, 2])
    counts, rng = np.bincount(z, minlength=3), np.random.default_rng(0)
    ratio = []
    for theta in rng.dirichlet(np.ones(3), 20):
        ratio.append(dirichlet.logpdf(theta, alpha) + np.log(theta[z]).sum() - dirichlet.logpdf(theta, alpha + counts))
    assert np.ptp(ratio) < 1e-9


@holds("Is LDA a Bayesian network?")
def check_seen_words_make_shares_and_topics_dependent():
    """Shares and topics drawn from the prior, weighted by the probability of a seen word."""
    rng = np.random.default_rng(0)
    theta, beta = rng.dirichlet(np.ones(2), 200_000), rng.dirichlet(np.ones(3), (200_000, 2))
    seen = (theta * beta[:, :, 0]).sum(1)
    correlation = lambda weights: (
        np.cov(theta[:, 0], beta[:, 0, 0], aweights=weights)[0, 1] / (theta[:, 0].std() * beta[:, 0, 0].std())
    )
    assert abs(correlation(np.ones(200_000))) < 0.01 < 0.1 < correlation(seen)
