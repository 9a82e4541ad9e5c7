import itertools
import math

import numpy as np

from note_checks import check, formula, stated

JOINT = r"p(x_{1:T}, z_{1:T}) = \pi_{z_1} b_{z_1}(x_1) \prod_{t=2}^{T} a_{z_{t-1} z_t} b_{z_t}(x_t)"
FORWARD = r"""
\alpha_1(j) = \pi_j b_j(x_1), \qquad \alpha_t(j) = b_j(x_t) \sum_{i=1}^{K} \alpha_{t-1}(i)\, a_{ij}, \qquad p(x_{1:T}) = \sum_{j=1}^{K} \alpha_T(j)
"""
BACKWARD = r"""
\beta_T(i) = 1, \qquad \beta_t(i) = \sum_{j=1}^{K} a_{ij}\, b_j(x_{t+1})\, \beta_{t+1}(j), \qquad \gamma_t(i) = \frac{\alpha_t(i)\, \beta_t(i)}{p(x_{1:T})}
"""
PI, A, B = np.array([0.8, 0.2]), np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.8, 0.2], [0.3, 0.7]])


def joint(pi, a, b, x, z):
    value = pi[z[0]] * b[z[0], x[0]]
    for t in range(1, len(x)):
        value *= a[z[t - 1], z[t]] * b[z[t], x[t]]
    return value


def forward_backward(pi, a, b, x):
    """The recursions of the article, with plain loops over the indices."""
    K, T = len(pi), len(x)
    alpha, beta = np.zeros((T, K)), np.ones((T, K))
    for j in range(K):
        alpha[0, j] = pi[j] * b[j, x[0]]
    for t in range(1, T):
        for j in range(K):
            alpha[t, j] = b[j, x[t]] * sum(alpha[t - 1, i] * a[i, j] for i in range(K))
    for t in range(T - 2, -1, -1):
        for i in range(K):
            beta[t, i] = sum(a[i, j] * b[j, x[t + 1]] * beta[t + 1, j] for j in range(K))
    return alpha, beta


def models():
    for K, M, T in [(2, 2, 2), (3, 4, 5), (4, 2, 4), (1, 3, 3), (3, 2, 1)]:
        pi = np.random.dirichlet(np.ones(K))
        yield pi, np.random.dirichlet(np.ones(K), K), np.random.dirichlet(np.ones(M), K), np.random.randint(0, M, T)
    yield np.array([1.0, 0.0]), np.array([[0.5, 0.5], [0.0, 1.0]]), B, np.array([1, 0, 1, 1])


@formula(JOINT)
def check_joint_is_a_distribution_that_sampling_reproduces():
    """Sums to 1 over all sequences, and equals the frequencies of simulated sequences."""
    for pi, a, b, x in models():
        K, M, T = *b.shape, min(len(x), 3)
        total = sum(joint(pi, a, b, xs, zs) for xs in itertools.product(range(M), repeat=T) for zs in itertools.product(range(K), repeat=T))
        assert math.isclose(total, 1.0, rel_tol=1e-10)
    generator, n = np.random.default_rng(0), 200_000
    z1 = (generator.random(n) < PI[1]).astype(int)
    z2 = (generator.random(n) < A[z1, 1]).astype(int)
    x1, x2 = ((generator.random(n) < B[z, 1]).astype(int) for z in (z1, z2))
    for values in itertools.product((0, 1), repeat=4):
        share = np.mean((x1 == values[0]) & (x2 == values[1]) & (z1 == values[2]) & (z2 == values[3]))
        assert abs(share - joint(PI, A, B, values[:2], values[2:])) < 0.004


@formula(FORWARD, BACKWARD)
def check_recursions_against_all_paths():
    for pi, a, b, x in models():
        K, T = len(pi), len(x)
        alpha, beta = forward_backward(pi, a, b, x)
        paths = list(itertools.product(range(K), repeat=T))
        weights = np.array([joint(pi, a, b, x, z) for z in paths])
        likelihood = alpha[-1].sum()
        assert math.isclose(likelihood, weights.sum(), rel_tol=1e-10)
        for t in range(T):
            for i in range(K):
                ending = sum(joint(pi, a, b, x[: t + 1], z) for z in itertools.product(range(K), repeat=t + 1) if z[-1] == i)
                assert math.isclose(alpha[t, i], ending, rel_tol=1e-10, abs_tol=1e-15)
                share = sum(w for z, w in zip(paths, weights) if z[t] == i) / weights.sum()
                assert math.isclose(alpha[t, i] * beta[t, i] / likelihood, share, rel_tol=1e-9, abs_tol=1e-12)


@check
def check_by_hand():
    alpha, beta = forward_backward(PI, A, B, [1, 1])
    for text, value in zip(["0.16", "0.14", "0.0344", "0.0896"], alpha.ravel()):
        stated(text, value)
    stated("0.4667", alpha[0, 1] / alpha[0].sum())
    stated("0.124", alpha[1].sum())
    stated("0.6", beta[0, 1])
    stated("0.6774", alpha[0, 1] * beta[0, 1] / alpha[1].sum())


@check
def check_long_sequences_underflow():
    x = [1, 0] * 1000
    for kind in (np.float32, np.float64):
        alpha = (PI * B[:, x[0]]).astype(kind)
        scaled, loglik = alpha / alpha.sum(), math.log(alpha.sum())
        for s in x[1:]:
            alpha = (B[:, s] * (alpha @ A)).astype(kind)
            step = B[:, s] * (scaled @ A)
            scaled, loglik = step / step.sum(), loglik + math.log(step.sum())
        assert alpha.sum() == 0.0
        stated("−1663.3", round(loglik, 1))
    assert loglik < math.log(np.finfo(np.float64).smallest_subnormal)


@check
def check_best_path_is_below_the_sum_and_missing_observations_sum_out():
    for pi, a, b, x in models():
        weights = [joint(pi, a, b, x, z) for z in itertools.product(range(len(pi)), repeat=len(x))]
        assert max(weights) <= sum(weights)
        hidden = np.concatenate([b, np.ones((len(pi), 1))], 1)
        gap = np.array(x)
        gap[len(x) // 2] = b.shape[1]
        summed = 0.0
        for symbol in range(b.shape[1]):
            filled = np.array(x)
            filled[len(x) // 2] = symbol
            summed += forward_backward(pi, a, b, filled)[0][-1].sum()
        assert math.isclose(forward_backward(pi, a, hidden, gap)[0][-1].sum(), summed, rel_tol=1e-10)


@check
def check_zero_transition_stays_zero_in_baum_welch():
    x = np.random.randint(0, 2, 30)
    a = np.array([[0.5, 0.5], [0.0, 1.0]])
    alpha, beta = forward_backward(PI, a, B, x)
    counts = sum(alpha[t][:, None] * a * (B[:, x[t + 1]] * beta[t + 1])[None] for t in range(29))
    assert counts[1, 0] == 0 and counts[0, 1] > 0


@check
def check_observations_are_no_markov_chain():
    probability = lambda x: forward_backward(PI, A, B, x)[0][-1].sum()
    given = [probability([first, 1, 1]) / probability([first, 1]) for first in (0, 1)]
    assert given[1] - given[0] > 0.05
