import itertools
import math

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp
from scipy.stats import multinomial
from sklearn.linear_model import LogisticRegression

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

by_definition("Cost", "Bayesian network", "CRF", "MRF")
sourced("hmmlearn 0.3 documentation, tutorial: working with multiple sequences", "Input")
sourced("Geman and Geman 1984: Markov random fields for images", "MRF")
sourced("Lafferty, McCallum, Pereira 2001: conditional random fields, tagging with overlapping features", "CRF")

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


@holds("What are the two independence assumptions?")
@formula(JOINT)
def check_joint_is_a_distribution_that_sampling_reproduces():
    """Sums to 1 over all sequences, and equals the frequencies of simulated sequences."""
    for pi, a, b, x in models():
        K, M, T = *b.shape, min(len(x), 3)
        total = sum(
            joint(pi, a, b, xs, zs)
            for xs in itertools.product(range(M), repeat=T)
            for zs in itertools.product(range(K), repeat=T)
        )
        assert math.isclose(total, 1.0, rel_tol=1e-10)
    generator, n = np.random.default_rng(0), 200_000
    z1 = (generator.random(n) < PI[1]).astype(int)
    z2 = (generator.random(n) < A[z1, 1]).astype(int)
    x1, x2 = ((generator.random(n) < B[z, 1]).astype(int) for z in (z1, z2))
    for values in itertools.product((0, 1), repeat=4):
        share = np.mean((x1 == values[0]) & (x2 == values[1]) & (z1 == values[2]) & (z2 == values[3]))
        assert abs(share - joint(PI, A, B, values[:2], values[2:])) < 0.004


@holds("Output", "Why is the forward algorithm fast?")
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
                ending = sum(
                    joint(pi, a, b, x[: t + 1], z) for z in itertools.product(range(K), repeat=t + 1) if z[-1] == i
                )
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


@pitfall("The likelihood becomes 0 on long sequences")
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
    logs, dense = np.log(PI * B[:, x[0]]), PI * 50.0  # densities of 50, as narrow Gaussians have
    for s in x[1:]:
        logs = np.log(B[:, s]) + logsumexp(logs[:, None] + np.log(A), axis=0)
        with np.errstate(over="ignore"):
            dense = 50.0 * (dense @ A)
    assert math.isclose(logsumexp(logs), loglik) and np.isinf(dense).all()
    frames = np.random.randn(3, 1000)  # a thousand standard normal features, means 0 and 0.1
    one_step = -0.5 * ((frames[:, None] - np.array([[0.0], [0.1]])) ** 2 + math.log(2 * math.pi)).sum(2)
    assert (np.exp(one_step) == 0).all()  # nothing left to rescale
    kept = np.log(PI) + one_step[0]
    for row in one_step[1:]:
        kept = row + logsumexp(kept[:, None] + np.log(A), axis=0)
    assert np.isfinite(logsumexp(kept))


@pitfall("`decode` and `score` return different log-probabilities")
def check_best_path_is_below_the_sum():
    """What hmmlearn (not installed here) calls score and decode, by enumeration; the best path misjudges which model is better."""
    for pi, a, b, x in models():
        weights = [joint(pi, a, b, x, z) for z in itertools.product(range(len(pi)), repeat=len(x))]
        assert max(weights) <= sum(weights)
    x = [1, 1, 1, 1, 1, 1]
    better = np.full(2, 0.5), np.full((2, 2), 0.5), np.array([[0.1, 0.9], [0.1, 0.9]])
    worse = np.ones(1), np.ones((1, 1)), np.array([[0.4, 0.6]])
    score, decode = (
        [fold([joint(*m, x, z) for z in itertools.product(range(len(m[0])), repeat=6)]) for m in (better, worse)]
        for fold in (sum, max)
    )
    assert score[0] > score[1] and decode[0] < decode[1] and decode[0] < score[0]


def scaled(pi, a, likelihoods):
    """Posterior of the states, of neighbouring pairs summed over time, and log p(x)."""
    T, K = likelihoods.shape
    alpha, beta, sums = np.zeros((T, K)), np.ones((T, K)), np.zeros(T)
    for t in range(T):
        alpha[t] = likelihoods[t] * (pi if t == 0 else alpha[t - 1] @ a)
        sums[t] = alpha[t].sum()
        alpha[t] /= sums[t]
    for t in range(T - 2, -1, -1):
        beta[t] = a @ (likelihoods[t + 1] * beta[t + 1]) / sums[t + 1]
    ahead = likelihoods[1:] * beta[1:] / sums[1:, None]
    return alpha * beta, a * (alpha[:-1].T @ ahead), np.log(sums).sum()


@holds("HMM")
@pitfall('"An HMM fills in missing data and wins on few samples"')
def check_missing_observations_and_few_samples():
    """A gap is summed out; against a tagger that sees a window, the HMM wins with 20 steps and loses where its assumption is false."""
    for pi, a, b, x in models():
        hidden = np.concatenate([b, np.ones((len(pi), 1))], 1)
        gap = np.array(x)
        gap[len(x) // 2] = b.shape[1]
        summed = 0.0
        for symbol in range(b.shape[1]):
            filled = np.array(x)
            filled[len(x) // 2] = symbol
            summed += forward_backward(pi, a, b, filled)[0][-1].sum()
        assert math.isclose(forward_backward(pi, a, hidden, gap)[0][-1].sum(), summed, rel_tol=1e-10)

    sticky = np.array([[0.9, 0.1], [0.1, 0.9]])

    def sequence(rng, T, copied):
        """Eight bits per step: independent given the state, or one bit copied eight times."""
        z = np.zeros(T, int)
        for t in range(1, T):
            z[t] = rng.choice(2, p=sticky[z[t - 1]])
        return (rng.random((T, 1 if copied else 8)) < np.where(z, 0.67, 0.33)[:, None]) * np.ones((T, 8)), z

    def tagged_by_hmm(x, z, new):
        a = np.ones((2, 2))
        np.add.at(a, (z[:-1], z[1:]), 1)
        p = np.array([(x[z == k].sum(0) + 1) / ((z == k).sum() + 2) for k in (0, 1)])
        return scaled(
            np.full(2, 0.5), a / a.sum(1, keepdims=True), np.exp(new @ np.log(p).T + (1 - new) @ np.log(1 - p).T)
        )[0].argmax(1)

    window = lambda x: np.hstack([np.roll(x, shift, 0) for shift in range(-2, 3)])
    for copied, T, hmm_wins in ((False, 20, True), (True, 1000, False)):
        right = []
        for seed in range(6):
            rng = np.random.default_rng(seed)
            (x, z), (new, truth) = sequence(rng, T, copied), sequence(rng, 600, copied)
            tagger = LogisticRegression(max_iter=500).fit(window(x), z)
            right.append([(tagged_by_hmm(x, z, new) == truth).mean(), (tagger.predict(window(new)) == truth).mean()])
        hmm, discriminative = np.mean(right, 0)
        assert hmm > discriminative + 0.03 if hmm_wins else hmm < discriminative - 0.03


@pitfall("`MultinomialHMM` scores every sequence of symbols 0")
def check_a_column_of_symbols_read_as_counts():
    """The arithmetic behind it; hmmlearn itself is not installed here."""
    x = np.array([[0], [1], [2], [1]])
    counts_model = x.sum(0) / x.sum()  # one column: one symbol, of probability 1
    assert counts_model.tolist() == [1.0] and sum(multinomial.logpmf(row, row.sum(), counts_model) for row in x) == 0
    B3 = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert scaled(PI, A, B3[:, x[:, 0]].T)[2] < -3
    soft = np.array([[5.0, 3.0, 0.0], [2.0, 4.0, 0.0]])  # expected counts: the third symbol was never seen
    for prior, finite in ((1, False), (1.5, True), (2, True)):  # emissionprob_prior
        emissions = (soft + prior - 1) / (soft + prior - 1).sum(1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            assert np.isfinite(scaled(PI, A, emissions[:, [0, 2, 1]].T)[2]) == finite


def baum_welch(x, pi, a, b, steps=30):
    for _ in range(steps):
        gamma, pairs, _ = scaled(pi, a, b[:, x].T)
        pi, a = gamma[0], pairs / pairs.sum(1, keepdims=True)
        b = np.stack([gamma[x == symbol].sum(0) for symbol in range(b.shape[1])], 1) / gamma.sum(0)[:, None]
    return pi, a, b


@holds("HMM", "Training")
@pitfall("Training ends in different models")
def check_restarts_of_baum_welch():
    """Also: a transition that starts at 0 stays 0, and renamed states make the same model."""
    rng = np.random.default_rng(0)
    a, b = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    state, sequences = 0, []
    for _ in range(2):
        x = []
        for _ in range(200):
            state = rng.choice(2, p=a[state])
            x.append(rng.choice(3, p=b[state]))
        sequences.append(np.array(x))
    score = lambda model, x: scaled(model[0], model[1], model[2][:, x].T)[2]
    starts = [[rng.dirichlet(np.ones(n), size) for n, size in ((2, None), (2, 2), (3, 2))] for _ in range(5)]
    fits = [baum_welch(sequences[0], *start) for start in starts]
    assert np.ptp([score(fit, sequences[0]) for fit in fits]) > 5
    chosen = int(np.argmax([score(fit, sequences[1]) for fit in fits]))
    best = fits[chosen]
    gaps = [np.abs(fit[2][:, None] - b).sum(2) for fit in fits]
    matched = [gap[linear_sum_assignment(gap)].max() for gap in gaps]
    assert matched[chosen] < 0.35 < 0.7 < max(matched), matched
    order = [1, 0]
    renamed = best[0][order], best[1][np.ix_(order, order)], best[2][order]
    assert math.isclose(score(renamed, sequences[1]), score(best, sequences[1])) and not np.allclose(
        renamed[2], best[2], atol=0.1
    )
    assert np.allclose(renamed[2][linear_sum_assignment(np.abs(best[2][:, None] - renamed[2]).sum(2))[1]], best[2])
    x = sequences[0][:60] % 2
    frozen = baum_welch(x, PI, np.array([[0.5, 0.5], [0.0, 1.0]]), B)
    assert frozen[1][1, 0] == 0 < frozen[1][0, 1]
    assert baum_welch(x, PI, A, np.array([[0.0, 1.0], [0.3, 0.7]]))[2][0, 0] == 0 < (x == 0).sum()


@holds("Is the observed sequence a Markov chain?")
def check_observations_are_no_markov_chain():
    probability = lambda x: forward_backward(PI, A, B, x)[0][-1].sum()
    given = [probability([first, 1, 1]) / probability([first, 1]) for first in (0, 1)]
    assert given[1] - given[0] > 0.05


@holds("Parameters")
def check_number_of_free_parameters():
    """Each row of pi, A and B has one entry that the others settle."""
    for K, M in ((2, 2), (3, 5)):
        shapes = [np.ones(K), np.ones((K, K)), np.ones((K, M))]
        assert sum(rows.size - (1 if rows.ndim == 1 else K) for rows in shapes) == (K - 1) + K * (K - 1) + K * (M - 1)


@check
def check_one_and_several_noisy_minutes():
    filtered = forward_backward(PI, A, B, [1, 1])[0]
    worn = filtered[:, 1] / filtered.sum(1)
    assert worn[0] < 0.5 < worn[1]


@holds("What are the two independence assumptions?")
def check_assumptions_and_durations():
    """Conditionals of an enumerated joint, and lengths of simulated stays against the geometric distribution."""
    pi, a, b, _ = next(itertools.islice(models(), 1, 2))
    K, M = b.shape
    table = np.zeros((K, K, M, M))  # z1, z2, x1, x2
    for z1, z2, x1, x2 in itertools.product(range(K), range(K), range(M), range(M)):
        table[z1, z2, x1, x2] = joint(pi, a, b, (x1, x2), (z1, z2))
    np.testing.assert_allclose(table.sum(3) / table.sum((1, 3))[:, None], np.broadcast_to(a[:, :, None], (K, K, M)))
    np.testing.assert_allclose(table / table.sum(3, keepdims=True), np.broadcast_to(b[None, :, None], table.shape))
    rng, stays = np.random.default_rng(0), []
    for _ in range(20_000):
        stays.append(1)
        while rng.random() < A[1, 1]:
            stays[-1] += 1
    for length in (1, 2, 5):
        assert abs(np.mean(np.array(stays) == length) - A[1, 1] ** (length - 1) * A[1, 0]) < 0.01


@holds("Training")
def check_counting_and_baum_welch():
    """Shares of counted transitions beat any other row; each Baum-Welch step raises the likelihood, as EM does."""
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 20, (2, 2))
    best = (counts * np.log(counts / counts.sum(1, keepdims=True))).sum()
    assert all((counts * np.log(rng.dirichlet(np.ones(2), 2))).sum() < best for _ in range(100))
    x = rng.integers(0, 3, 60)
    model = [rng.dirichlet(np.ones(n), size) for n, size in ((2, None), (2, 2), (3, 2))]
    values = []
    for _ in range(15):
        values.append(scaled(model[0], model[1], model[2][:, x].T)[2])
        model = baum_welch(x, *model, steps=1)
    assert (np.diff(values) > -1e-9).all() and values[-1] > values[0] + 0.1


@holds("Output")
def check_shapes_of_the_answers():
    alpha, beta = forward_backward(PI, A, B, [1, 0, 1])
    posterior = alpha * beta / alpha[-1].sum()
    assert posterior.shape == (3, 2) and np.allclose(posterior.sum(1), 1) and np.ndim(alpha[-1].sum()) == 0
