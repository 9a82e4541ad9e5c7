import math
import warnings

import numpy as np
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from note_checks import check, formula, stated

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


def responsibilities(X, weights, means, covariances):
    joint = np.stack([w * multivariate_normal(m, c).pdf(X).reshape(len(X)) for w, m, c in zip(weights, means, covariances)], 1)
    return joint / joint.sum(1, keepdims=True), np.log(joint.sum(1)).mean()


def em_step(X, weights, means, covariances, ridge):
    r, _ = responsibilities(X, weights, means, covariances)
    N = r.sum(0)
    means = (r.T @ X) / N[:, None]
    covariances = [sum(r[n, k] * np.outer(X[n] - means[k], X[n] - means[k]) for n in range(len(X))) / N[k] + ridge * np.eye(X.shape[1]) for k in range(len(N))]
    return N / len(X), means, np.array(covariances)


@formula(E_STEP, M_STEP)
def check_steps_against_scikit_learn():
    for n, d, K, steps, ridge in [(30, 2, 2, 1, 1e-6), (50, 3, 3, 4, 0.1), (20, 1, 2, 3, 1e-6), (25, 2, 1, 1, 0.5)]:
        X = np.random.randn(n, d) * 2 + np.random.randint(0, 2, (n, 1)) * 3
        weights, means = np.random.dirichlet(np.ones(K) * 5), X[np.random.choice(n, K, replace=False)]
        covariances = np.array([np.eye(d) * (1 + k) for k in range(K)])
        model = GaussianMixture(K, reg_covar=ridge, tol=0.0, max_iter=steps, weights_init=weights, means_init=means, precisions_init=np.linalg.inv(covariances))
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
        assert all(elbo((1 - s) * best + s * np.random.dirichlet(np.ones(shape[0]))) < elbo(best) for s in (0.1, 0.01) for _ in range(50))
    grid = np.linspace(-6, 6, 4001)
    rho = 0.9
    log_joint = lambda a, b: -(a * a - 2 * rho * a * b + b * b) / (2 * (1 - rho**2))
    q2 = np.exp(-(grid**2) / (2 * 0.19))
    q2 /= q2.sum()
    q1 = np.exp([(q2 * log_joint(a, grid)).sum() for a in grid])
    q1 /= q1.sum()
    stated("0.19", (q1 * grid**2).sum())


@check
def check_by_hand():
    X = np.array([[0.0], [2.0], [5.0]])
    r, _ = responsibilities(X, [0.5, 0.5], [[1.0], [4.0]], [np.eye(1)] * 2)
    stated("0.8176", r[1, 0])
    stated("0.9994", r[0, 0])
    stated("0.0006", r[2, 0])
    stated("1.8176", r[:, 0].sum())
    _, means, _ = em_step(X, [0.5, 0.5], [[1.0], [4.0]], [np.eye(1)] * 2, 0.0)
    stated("0.9012", means[0, 0])
    stated("4.5348", means[1, 0])
    stated("17", 2 + 3 * 2 + 3 * 3)


@check
def check_defaults_and_positive_likelihood():
    model = GaussianMixture()
    assert (model.n_components, model.n_init, model.max_iter, model.tol, model.reg_covar, model.init_params) == (1, 1, 100, 1e-3, 1e-6, "kmeans")
    X = np.random.randn(50, 2) * 0.01
    assert GaussianMixture().fit(X).score(X) > 0
    scores = []
    for ridge in (1e-3, 1e-6, 1e-9):
        Y = np.r_[np.random.RandomState(0).randn(30, 1), [[40.0]]]
        scores.append(GaussianMixture(2, reg_covar=ridge, random_state=0).fit(Y).score(Y))
    assert scores[0] < scores[1] < scores[2]
    tied = [GaussianMixture(2, covariance_type="tied", reg_covar=ridge, random_state=0).fit(Y).score(Y) for ridge in (1e-6, 1e-9)]
    assert abs(tied[0] - tied[1]) < 1e-3 < 0.05 < scores[2] - scores[1]


@check
def check_bayesian_mixture_keeps_too_many_with_few_points():
    centres, noise = np.random.RandomState(1).randn(3, 1, 10) * 4, np.random.RandomState(2).randn(3, 1000, 10)
    used = lambda X: (BayesianGaussianMixture(n_components=8, weight_concentration_prior=0.01, max_iter=1000, random_state=0).fit(X).weights_ > 0.02).sum()
    few, many = ((centres + noise[:, :n]).reshape(-1, 10) for n in (100, 1000))
    assert used(few) > 3 and used(many) == 3


@check
def check_k_means_limit():
    X = np.r_[np.random.randn(20, 2), np.random.randn(20, 2) + 4]
    centres = KMeans(2, n_init=3, random_state=0).fit(X)
    distance = ((X[:, None] - centres.cluster_centers_) ** 2).sum(2)
    soft = np.exp(-(distance - distance.min(1, keepdims=True)) / (2 * 1e-4))
    assert (soft.argmax(1) == centres.labels_).all() and (soft / soft.sum(1, keepdims=True)).max(1).min() > 0.99
    assert BayesianGaussianMixture().weight_concentration_prior_type == "dirichlet_process"
