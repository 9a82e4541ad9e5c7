import itertools
import math

import numpy as np

from note_checks import check, formula, pitfall, stated

DELTA = r"""
\delta_1(j) = \log \pi_j + \log b_j(x_1), \qquad \delta_t(j) = \log b_j(x_t) + \max_{i} \left[ \delta_{t-1}(i) + \log a_{ij} \right]
"""
BACKTRACE = r"""
\psi_t(j) = \arg\max_{i} \left[ \delta_{t-1}(i) + \log a_{ij} \right], \qquad z^*_T = \arg\max_{j} \delta_T(j), \qquad z^*_{t-1} = \psi_t(z^*_t)
"""
PI, A, B = np.array([0.8, 0.2]), np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.8, 0.2], [0.3, 0.7]])


def joint(pi, a, b, x, z):
    value = pi[z[0]] * b[z[0], x[0]]
    for t in range(1, len(x)):
        value *= a[z[t - 1], z[t]] * b[z[t], x[t]]
    return value


def viterbi(pi, a, b, x):
    """The article's recursion in logarithms: all delta, and the path found by the pointers."""
    with np.errstate(divide="ignore"):
        lpi, la, lb = np.log(pi), np.log(a), np.log(b)
    K, T = len(pi), len(x)
    delta, psi = np.zeros((T, K)), np.zeros((T, K), int)
    delta[0] = lpi + lb[:, x[0]]
    for t in range(1, T):
        for j in range(K):
            reach = [delta[t - 1, i] + la[i, j] for i in range(K)]
            psi[t, j] = int(np.argmax(reach))
            delta[t, j] = lb[j, x[t]] + max(reach)
    path = [int(np.argmax(delta[-1]))]
    for t in range(T - 1, 0, -1):
        path.append(int(psi[t, path[-1]]))
    return delta, path[::-1]


def brute(pi, a, b, x):
    return max(itertools.product(range(len(pi)), repeat=len(x)), key=lambda z: joint(pi, a, b, x, z))


@formula(DELTA, BACKTRACE)
def check_against_every_path():
    cases = [(K, M, T) for K, M, T in [(2, 2, 6), (3, 4, 5), (4, 3, 4), (1, 2, 3), (5, 2, 1)] for _ in range(10)]
    for K, M, T in cases:
        pi, a, b = np.random.dirichlet(np.ones(K)), np.random.dirichlet(np.ones(K), K), np.random.dirichlet(np.ones(M), K)
        a = np.where(np.eye(K, k=1) > 0, 0.0, a)
        a = a / a.sum(1, keepdims=True)
        x = np.random.randint(0, M, T)
        delta, path = viterbi(pi, a, b, x)
        best = brute(pi, a, b, x)
        assert tuple(path) == best and math.isclose(math.exp(delta[-1].max()), joint(pi, a, b, x, best), rel_tol=1e-9)
        for t in range(T):
            for j in range(K):
                ending = max(joint(pi, a, b, x[: t + 1], z) for z in itertools.product(range(K), repeat=t + 1) if z[-1] == j)
                assert math.isclose(math.exp(delta[t, j]), ending, rel_tol=1e-9, abs_tol=1e-300)


@check
def check_by_hand():
    delta, path = viterbi(PI, A, B, [1, 1])
    for text, value in zip(["0.16", "0.14", "0.0288", "0.0784"], np.exp(delta).ravel()):
        stated(text, value)
    for text, value in zip(["0.144", "0.028", "0.016", "0.112"], [0.16 * A[0, 0], 0.14 * A[1, 0], 0.16 * A[0, 1], 0.14 * A[1, 1]]):
        stated(text, value)
    assert path == [1, 1] == list(brute(PI, A, B, [1, 1])) and delta[0, 0] > delta[0, 1]
    total = sum(joint(PI, A, B, [1, 1], z) for z in itertools.product((0, 1), repeat=2))
    stated("0.124", total)
    stated("63%", math.exp(delta[-1].max()) / total)


@pitfall("The path disagrees with the most probable state of a step")
def check_posterior_argmax_can_be_impossible():
    pi, a, b = np.array([0.4, 0.3, 0.3]), np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]]), np.ones((3, 1))
    paths = list(itertools.product(range(3), repeat=2))
    weights = np.array([joint(pi, a, b, [0, 0], z) for z in paths])
    stepwise = [max(range(3), key=lambda s: sum(w for z, w in zip(paths, weights) if z[t] == s)) for t in range(2)]
    assert stepwise == [0, 1] and a[0, 1] == 0 and viterbi(pi, a, b, [0, 0])[1] == [0, 0]
    right = lambda answer: sum(w * sum(s == r for s, r in zip(answer, z)) for z, w in zip(paths, weights)) / weights.sum()
    assert math.isclose(right(stepwise), 1.0) and math.isclose(right([0, 0]), 0.8) and max(map(right, paths)) <= 1.0 + 1e-12


@pitfall("Padding changes the decoded tags")
def check_padding():
    """A batch decoded with delta frozen past each length, the backtrace begun at the last own step."""
    x = [1, 1]
    assert viterbi(PI, A, B, x)[1] == [1, 1] and viterbi(PI, A, B, x + [0, 0, 0])[1][:2] == [0, 0]
    lengths, batch = np.array([2, 5, 3, 1]), np.array([[1, 1, 0, 0, 0], [1, 0, 1, 1, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    delta, pointers = np.log(PI) + np.log(B.T)[batch[:, 0]], []
    for t in range(1, 5):
        reach = delta[:, :, None] + np.log(A)
        pointers.append(reach.argmax(1))
        delta = np.where((t < lengths)[:, None], reach.max(1) + np.log(B.T)[batch[:, t]], delta)
    for row, length in enumerate(lengths):
        path = [int(delta[row].argmax())]
        for pointer in reversed(pointers[: length - 1]):
            path.append(int(pointer[row, path[-1]]))
        assert path[::-1] == viterbi(PI, A, B, batch[row, :length])[1] == list(brute(PI, A, B, batch[row, :length]))


@pitfall("Two implementations return different paths")
def check_ties_and_transposition():
    """Breaking ties the other way changes the path but not its score; a transposed matrix hides while it is symmetric."""
    backwards = lambda *model: [len(PI) - 1 - s for s in viterbi(*(m[::-1] for m in model[:1]), model[1][::-1, ::-1], model[2][::-1], model[3])[1]]
    even, same = np.array([0.5, 0.5]), np.full((2, 2), 0.5)
    first, last = viterbi(even, same, same, [0, 1])[1], backwards(even, same, same, [0, 1])
    assert first != last and joint(even, same, same, [0, 1], first) == joint(even, same, same, [0, 1], last)
    for matrix, hidden in ((np.array([[0.7, 0.3], [0.3, 0.7]]), True), (np.array([[0.9, 0.1], [0.8, 0.2]]), False)):
        right, wrong = viterbi(PI, matrix, B, [1, 1, 0, 1])[1], viterbi(PI, matrix.T, B, [1, 1, 0, 1])[1]
        scores = [joint(PI, matrix, B, [1, 1, 0, 1], path) for path in (right, wrong)]
        assert (right == wrong) is hidden and (scores[0] > scores[1]) is not hidden


@pitfall("Every score becomes 0")
def check_products_underflow_where_logarithms_do_not():
    x = [1, 0] * 2000
    plain, (delta, path) = PI * B[:, 1], viterbi(PI, A, B, x)
    for s in x[1:]:
        plain = B[:, s] * (plain[:, None] * A).max(0)
    assert plain.max() == 0.0 and np.isfinite(delta).all() and len(path) == 4000
    assert tuple(viterbi(PI, A, B, x[:9])[1]) == brute(PI, A, B, x[:9])
    forbidden = np.array([[1.0, 0.0], [0.2, 0.8]])
    delta, path = viterbi(PI, forbidden, B, [0, 1, 1, 1])
    assert not np.isnan(delta).any() and tuple(path) == brute(PI, forbidden, B, [0, 1, 1, 1]) and (0, 1) not in zip(path, path[1:])


@check
def check_second_order_by_pairs():
    K, T = 3, 4
    score = np.random.randn(K, K, K)
    best = max(itertools.product(range(K), repeat=T), key=lambda z: sum(score[z[t - 2], z[t - 1], z[t]] for t in range(2, T)))
    delta = np.zeros((K, K))
    for _ in range(2, T):
        delta = (delta[:, :, None] + score).max(0)
    assert math.isclose(delta.max(), sum(score[best[t - 2], best[t - 1], best[t]] for t in range(2, T)), rel_tol=1e-12)
