import math
import warnings

import numpy as np
from scipy.stats import multivariate_normal, norm
from sklearn.cluster import KMeans
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from note_checks import by_definition, check, formula, holds, pitfall, quietly, stated

ELBO = r"""
\log p(x \mid \theta) = \underbrace{\mathbb{E}_{q(z)} \left[ \log \frac{p(x, z \mid \theta)}{q(z)} \right]}_{\mathrm{ELBO}(q, \theta)} + \mathrm{KL} \left( q(z) \,\|\, p(z \mid x, \theta) \right)
"""
E_STEP = r"""
r_{nk} = \frac{\pi_k \, \mathcal{N}(x_n \mid \mu_k, \Sigma_k)}{\sum_{j=1}^{K} \pi_j \, \mathcal{N}(x_n \mid \mu_j, \Sigma_j)}, \qquad N_k = \sum_{n=1}^{N} r_{nk}, \qquad \pi_k = \frac{N_k}{N}
"""
M_STEP = r"""
\mu_k = \frac{1}{N_k} \sum_{n=1}^{N} r_{nk} x_n, \qquad \Sigma_k = \frac{1}{N_k} \sum_{n=1}^{N} r_{nk} (x_n - \mu_k)(x_n - \mu_k)^\top + \lambda I
"""
MEAN_FIELD = r"q_j^*(z_j) \propto \exp \left( \mathbb{E}_{q_{-j}} \left[ \log p(x, z) \right] \right)"


by_definition("Cost")


def responsibilities(X, weights, means, covariances):
    joint = np.stack(
        [w * multivariate_normal(m, c).pdf(X).reshape(len(X)) for w, m, c in zip(weights, means, covariances)], 1
    )
    return joint / joint.sum(1, keepdims=True), np.log(joint.sum(1)).mean()


def em_step(X, weights, means, covariances, ridge):
    r, _ = responsibilities(X, weights, means, covariances)
    N = r.sum(0)
    means = (r.T @ X) / N[:, None]
    covariances = [
        sum(r[n, k] * np.outer(X[n] - means[k], X[n] - means[k]) for n in range(len(X))) / N[k]
        + ridge * np.eye(X.shape[1])
        for k in range(len(N))
    ]
    return N / len(X), means, np.array(covariances)


@formula(E_STEP, M_STEP)
@holds("EM")
def check_steps_against_scikit_learn():
    for n, d, K, steps, ridge in [(30, 2, 2, 1, 1e-6), (50, 3, 3, 4, 0.1), (20, 1, 2, 3, 1e-6), (25, 2, 1, 1, 0.5)]:
        X = np.random.randn(n, d) * 2 + np.random.randint(0, 2, (n, 1)) * 3
        weights, means = np.random.dirichlet(np.ones(K) * 5), X[np.random.choice(n, K, replace=False)]
        covariances = np.array([np.eye(d) * (1 + k) for k in range(K)])
        model = GaussianMixture(
            K,
            reg_covar=ridge,
            tol=0.0,
            max_iter=steps,
            weights_init=weights,
            means_init=means,
            precisions_init=np.linalg.inv(covariances),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X)
        before = -np.inf
        for _ in range(steps):
            _, likelihood = responsibilities(X, weights, means, covariances)
            assert ridge > 1e-3 or likelihood >= before - 1e-6
            before = likelihood
            weights, means, covariances = em_step(X, weights, means, covariances, ridge)
        np.testing.assert_allclose(weights, model.weights_, rtol=1e-6)
        np.testing.assert_allclose(means, model.means_, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(covariances, model.covariances_, rtol=1e-6, atol=1e-8)
        r, likelihood = responsibilities(X, weights, means, covariances)
        np.testing.assert_allclose(r, model.predict_proba(X), rtol=1e-5, atol=1e-9)
        assert math.isclose(likelihood, model.score(X), rel_tol=1e-6)


@formula(ELBO)
def check_decomposition():
    for K in (2, 5):
        joint, q = np.random.rand(K) * 0.1, np.random.dirichlet(np.ones(K))
        evidence, posterior = joint.sum(), joint / joint.sum()
        elbo, kl = (q * np.log(joint / q)).sum(), (q * np.log(q / posterior)).sum()
        assert math.isclose(math.log(evidence), elbo + kl, rel_tol=1e-10) and kl > 0
        assert math.isclose((posterior * np.log(joint / posterior)).sum(), math.log(evidence), rel_tol=1e-10)


@formula(MEAN_FIELD)
def check_mean_field_factor_is_the_best_one():
    """For a table p(z1, z2): the formula's factor maximises the ELBO against random others; for Gaussians its variance is 1 - rho^2."""
    for shape in [(2, 3), (4, 2), (3, 3)]:
        p, q2 = np.random.rand(*shape), np.random.dirichlet(np.ones(shape[1]))
        best = np.exp(np.log(p) @ q2)
        best /= best.sum()
        elbo = lambda q1: (np.outer(q1, q2) * (np.log(p) - np.log(np.outer(q1, q2)))).sum()
        assert all(elbo(np.random.dirichlet(np.ones(shape[0]))) < elbo(best) for _ in range(300))
        assert all(
            elbo((1 - s) * best + s * np.random.dirichlet(np.ones(shape[0]))) < elbo(best)
            for s in (0.1, 0.01)
            for _ in range(50)
        )
    grid = np.linspace(-6, 6, 4001)
    rho = 0.9
    log_joint = lambda a, b: -(a * a - 2 * rho * a * b + b * b) / (2 * (1 - rho**2))
    q2 = np.exp(-(grid**2) / (2 * 0.19))
    q2 /= q2.sum()
    q1 = np.exp([(q2 * log_joint(a, grid)).sum() for a in grid])
    q1 /= q1.sum()
    stated("0.19", (q1 * grid**2).sum())


@holds("Why is $\\mathrm{KL}(q \\,\\|\\, p)$ mode-seeking?")
def check_missing_a_mode_costs_little():
    x = np.linspace(-20, 20, 40_001)
    p, width = 0.5 * (norm.pdf(x, -6) + norm.pdf(x, 6)), x[1] - x[0]
    cost = lambda q: (q * np.log(q / p)).sum() * width
    assert math.isclose(cost(norm.pdf(x, 6)), math.log(2), rel_tol=1e-6) and cost(norm.pdf(x)) > 10 * math.log(2)


@holds("Parameters")
def check_by_hand():
    X = np.array([[0.0], [2.0], [5.0]])
    r, _ = responsibilities(X, [0.5, 0.5], [[1.0], [4.0]], [np.eye(1)] * 2)
    stated("0.8176", r[1, 0])
    stated("0.9994", r[0, 0])
    stated("0.0006", r[2, 0])
    stated("1.8176", r[:, 0].sum())
    _, means, _ = em_step(X, [0.5, 0.5], [[1.0], [4.0]], [np.eye(1)] * 2, 0.0)
    stated("0.901", means[0, 0])
    stated("4.5348", means[1, 0])
    stated("17", 2 + 3 * 2 + 3 * 3)
    Y = np.random.randn(60, 2)
    assert quietly(lambda: GaussianMixture(3).fit(Y))._n_parameters() == 17


@pitfall("The log-likelihood is positive or grows without end")
@holds("Defaults")
def check_defaults_and_positive_likelihood():
    model = GaussianMixture()
    assert (model.n_components, model.n_init, model.max_iter, model.tol, model.reg_covar, model.init_params) == (
        1,
        1,
        100,
        1e-3,
        1e-6,
        "kmeans",
    )
    X = np.random.randn(50, 2) * 0.01
    assert GaussianMixture().fit(X).score(X) > 0
    scores = []
    for ridge in (1e-3, 1e-6, 1e-9):
        Y = np.r_[np.random.RandomState(0).randn(30, 1), [[40.0]]]
        scores.append(GaussianMixture(2, reg_covar=ridge, random_state=0).fit(Y).score(Y))
    assert scores[0] < scores[1] < scores[2]
    tied = [
        GaussianMixture(2, covariance_type="tied", reg_covar=ridge, random_state=0).fit(Y).score(Y)
        for ridge in (1e-6, 1e-9)
    ]
    assert abs(tied[0] - tied[1]) < 1e-3 < 0.05 < scores[2] - scores[1]
    Z = np.r_[np.random.RandomState(1).randn(60, 2), [[30.0, 30.0]]]
    for K in (4, 3, 2):  # fewer components are no cure: one is left for the point
        kinds = {
            kind: [
                GaussianMixture(K, covariance_type=kind, reg_covar=r, random_state=0).fit(Z).score(Z)
                for r in (1e-2, 1e-6, 1e-9)
            ]
            for kind in ("full", "tied")
        }
        assert np.diff(kinds["full"]).min() > 0.08 and abs(kinds["tied"][1] - kinds["tied"][2]) < 1e-3, kinds
    constant = np.c_[Z, np.ones(len(Z))]  # one covariance for all degenerates too
    tied = [
        GaussianMixture(2, covariance_type="tied", reg_covar=r, random_state=0).fit(constant).score(constant)
        for r in (1e-6, 1e-9)
    ]
    assert tied[1] - tied[0] > 3
    few = np.random.randn(12, 15)  # fewer points than features
    for data in (np.c_[Z, Z.sum(1)], few):
        tied = [
            GaussianMixture(2, covariance_type="tied", reg_covar=r, random_state=0).fit(data).score(data)
            for r in (1e-6, 1e-9)
        ]
        assert tied[1] - tied[0] > 3, tied
    large, score = 1000 * Z, lambda X, ridge: GaussianMixture(2, reg_covar=ridge, random_state=0).fit(X).score(X)
    assert math.isclose(score(large, 1e4) + 2 * math.log(1000), score(Z, 1e-2), abs_tol=1e-3)  # in proportion
    assert score(large, 1e-2) > score(large, 1e4) + 0.1
    density = lambda width: np.logaddexp(norm.logpdf(Y), norm.logpdf(Y, 40.0, width)).mean()
    assert density(1e-9) < density(1e-49) - 2 < density(1e-99) - 5  # one component on one point, no ridge


@pitfall("Another seed, another result")
def check_starts_differ():
    rng = np.random.RandomState(0)
    X = np.concatenate([m + rng.randn(40, 2) * 0.6 for m in np.random.RandomState(1).rand(5, 2) * 6])
    bound = lambda seed, starts: quietly(
        lambda: GaussianMixture(5, n_init=starts, random_state=seed).fit(X).lower_bound_
    )
    single, best = [bound(s, 1) for s in range(8)], [bound(s, 10) for s in range(8)]
    assert np.ptp(single) > 0.01 and np.mean(best) > np.mean(single) + 0.005 and bound(3, 1) == single[3]
    first, second = (
        quietly(lambda: GaussianMixture(3, random_state=s).fit([[0.0], [0.1], [5.0], [5.1], [9.0], [9.1]]))
        for s in (0, 5)
    )
    assert not np.allclose(first.means_, second.means_) and np.allclose(
        np.sort(first.means_, 0), np.sort(second.means_, 0)
    )


@pitfall("More components always look better")
def check_more_components():
    rng = np.random.default_rng(0)
    X, held_out = (np.concatenate([rng.normal(m, 0.6, (30, 2)) for m in ([1, 1], [5, 1], [3, 4])]) for _ in range(2))
    models = [quietly(lambda: GaussianMixture(k, n_init=5, random_state=0).fit(X)) for k in (1, 2, 3, 5, 8, 12)]
    train, outside, bic = (
        [f(m) for m in models] for f in (lambda m: m.score(X), lambda m: m.score(held_out), lambda m: m.bic(X))
    )
    assert (np.diff(train) > 0).all() and np.argmax(outside) == np.argmin(bic) == 2
    few, new = np.random.randn(40, 10), np.random.randn(400, 10)  # five points a component in ten dimensions
    one, eight = (quietly(lambda: GaussianMixture(k, random_state=0).fit(few)) for k in (1, 8))
    assert eight.bic(few) < one.bic(few) and eight.score(new) < one.score(new) - 10


@pitfall("Variational uncertainty is too small")
@holds("variational inference", "MCMC")
def check_correlations_restore_the_variance():
    """The best independent factors have variance 1/precision; a full Gaussian q reaches KL 0, Gibbs sampling the variance 1."""
    S = np.array([[1.0, 0.9], [0.9, 1.0]])
    kl = lambda Q: 0.5 * (np.trace(np.linalg.solve(S, Q)) - 2 + np.log(np.linalg.det(S) / np.linalg.det(Q)))
    narrow = 0.19 * np.eye(2)
    assert (
        all(kl(narrow) < kl(np.diag(np.random.rand(2) + 0.02)) for _ in range(300))
        and kl(narrow) > 0.5
        and abs(kl(S)) < 1e-12
    )
    z = np.zeros((20_000, 2))
    for _ in range(60):
        for j in (0, 1):
            z[:, j] = 0.9 * z[:, 1 - j] + math.sqrt(0.19) * np.random.randn(len(z))
    assert np.abs(z.var(0) - 1).max() < 0.05
    x = np.linspace(-40, 40, 8001)  # two modes, variance 37: the best single Gaussian q sits on one of them
    p = 0.5 * (norm.pdf(x, -6) + norm.pdf(x, 6))
    cost = lambda q: (q * np.log((q + 1e-300) / (p + 1e-300))).sum() * 0.01
    chains, kept = np.random.randn(64) * 10, []
    height = lambda z: np.logaddexp(norm.logpdf(z, -6), norm.logpdf(z, 6))
    for _ in range(800):  # Metropolis: each chain stays in one mode, all together find both
        new = chains + np.random.randn(64)
        chains = np.where(np.log(np.random.rand(64)) < height(new) - height(chains), new, chains)
        kept.append(chains)
    kept = np.array(kept[300:])
    assert np.median(kept.var(0)) < 2 and kept.var() > 20
    assert (p * x**2).sum() * 0.01 > 36.9 and cost(norm.pdf(x, 6)) < cost(norm.pdf(x, 0, math.sqrt(37))) - 0.05


@pitfall("The ELBO is read as the log-likelihood")
def check_elbo_and_evidence_disagree():
    """Bayesian regression on one feature, or on two nearly equal ones, whose correlated posterior mean field pays for."""
    rng = np.random.RandomState(0)  # one data set on which the two disagree
    n, weights = 200, np.array([1.0, 0.55])
    x = rng.randn(6000, 1)
    x = np.c_[x, 0.99 * x + math.sqrt(1 - 0.99**2) * rng.randn(6000, 1)]
    y = x @ weights + rng.randn(6000)
    found = []
    for columns in ([0], [0, 1]):
        X, new = x[:n, columns], x[n:, columns]
        precision = X.T @ X + np.eye(len(columns)) / 4
        evidence = multivariate_normal(np.zeros(n), np.eye(n) + 4 * X @ X.T).logpdf(y[:n])
        gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
        mean, exact, factors = (
            np.linalg.solve(precision, X.T @ y[:n]),
            np.linalg.inv(precision),
            np.diag(1 / np.diag(precision)),
        )
        outside = [
            norm.logpdf(y[n:], new @ mean, np.sqrt(1 + ((new @ V) * new).sum(1))).mean() for V in (exact, factors)
        ]
        found.append((evidence, evidence - gap, *outside))
    evidence, elbo, exact, mean_field = np.diff(found, axis=0)[0]
    assert evidence > 0.2 and elbo < -0.2 and min(exact, mean_field) > 0.003, (evidence, elbo, exact, mean_field)


@check
def check_bayesian_mixture_keeps_too_many_with_few_points():
    centres, noise = np.random.RandomState(1).randn(3, 1, 10) * 4, np.random.RandomState(2).randn(3, 1000, 10)
    used = lambda X: (
        BayesianGaussianMixture(n_components=8, weight_concentration_prior=0.01, max_iter=1000, random_state=0)
        .fit(X)
        .weights_
        > 0.02
    ).sum()
    few, many = ((centres + noise[:, :n]).reshape(-1, 10) for n in (100, 1000))
    assert used(few) > 3 and used(many) == 3


@holds("k-means")
def check_k_means_limit():
    X = np.r_[np.random.randn(20, 2), np.random.randn(20, 2) + 4]
    centres = KMeans(2, n_init=3, random_state=0).fit(X)
    distance = ((X[:, None] - centres.cluster_centers_) ** 2).sum(2)
    soft = np.exp(-(distance - distance.min(1, keepdims=True)) / (2 * 1e-4))
    assert (soft.argmax(1) == centres.labels_).all() and (soft / soft.sum(1, keepdims=True)).max(1).min() > 0.99
    assert BayesianGaussianMixture().weight_concentration_prior_type == "dirichlet_process"


@holds("Input", "Output")
def check_shapes():
    X = np.random.randn(60, 2)
    model = quietly(lambda: GaussianMixture(3).fit(X))
    rows, log_density = model.predict_proba(X), model.score_samples(X)
    assert rows.shape == (60, 3) and rows.dtype == float and np.allclose(rows.sum(1), 1) and log_density.shape == (60,)
    assert model.predict_proba(X[:1]).shape == (1, 3)
    parts = zip(model.weights_, model.means_, model.covariances_)
    mixture = sum(w * multivariate_normal(m, c).pdf(X) for w, m, c in parts)
    np.testing.assert_allclose(log_density, np.log(mixture), rtol=1e-6, atol=1e-9)


@holds("gradient ascent on $\\log p(x \\mid \\theta)$")
def check_gradient_holds_the_responsibilities():
    """d log p / d mu_k by differences is the sum of r (x - mu_k); a step for the weights leaves the simplex."""
    X, w, mu = np.random.randn(20, 1) * 2, np.array([0.3, 0.7]), np.array([[-1.0], [1.5]])
    value = lambda w, mu: len(X) * responsibilities(X, w, mu, [np.eye(1)] * 2)[1]
    r, _ = responsibilities(X, w, mu, [np.eye(1)] * 2)
    for k in (0, 1):
        step = np.zeros((2, 1))
        step[k] = 1e-5
        slope = (value(w, mu + step) - value(w, mu - step)) / 2e-5
        assert math.isclose(slope, (r[:, [k]] * (X - mu[k])).sum(), rel_tol=1e-4, abs_tol=1e-4)
    slopes = np.array([(value(w + e, mu) - value(w - e, mu)) / 2e-5 for e in 1e-5 * np.eye(2)])
    assert abs((w + 0.01 * slopes).sum() - 1) > 0.1


@holds("Why does EM not lower the likelihood?")
def check_likelihood_rises_without_a_ridge_and_may_fall_with_one():
    X = np.random.RandomState(3).randn(40, 2) * 2 + np.random.RandomState(4).randint(0, 2, (40, 1)) * 3
    state = [0.5, 0.5], X[:2], np.array([np.eye(2)] * 2)
    values = []
    for _ in range(40):
        r, likelihood = responsibilities(X, *state)
        values.append(likelihood)
        log_joint = lambda w, m, c: np.stack(
            [np.log(w[k]) + multivariate_normal(m[k], c[k]).logpdf(X) for k in (0, 1)], 1
        )
        bound = lambda *theta: (r * (log_joint(*theta) - np.log(r + 1e-300))).sum() / len(X)
        assert math.isclose(bound(*state), likelihood, abs_tol=1e-9)  # equal after the E-step
        after = em_step(X, *state, 0.0)
        assert bound(*after) >= likelihood - 1e-9 and responsibilities(X, *after)[1] >= bound(*after) - 1e-9
        state = after
    assert values[-1] > values[0] + 0.1
    assert responsibilities(X, *em_step(X, *state, 0.5))[1] < values[-1] - 1e-3


@holds("What is variational EM?")
def check_the_likelihood_may_fall():
    """theta picks a table p(x, z1, z2): a correlated one, or one that is a product and a little less likely."""
    correlated = 0.1 * np.array([[0.45, 0.05], [0.05, 0.45]])
    elbo = lambda q, p: (q * np.log(p / q)).sum()
    a, b = np.array([0.6, 0.4]), np.array([0.5, 0.5])
    for _ in range(500):  # the E-step, factor by factor
        a = np.exp(np.log(correlated) @ b)
        a /= a.sum()
        b = np.exp(np.log(correlated).T @ a)
        b /= b.sum()
    q = np.outer(a, b)
    product = 0.9 * correlated.sum() * q
    assert elbo(q, correlated) < elbo(q, product) - 0.05 and product.sum() < 0.95 * correlated.sum()
