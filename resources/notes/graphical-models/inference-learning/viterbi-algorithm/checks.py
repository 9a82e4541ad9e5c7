import itertools
import math

import numpy as np

from note_checks import by_definition, check, formula, holds, pitfall, stated

DELTA = r"""
\delta_1(j) = \log \pi_j + \log b_j(x_1), \qquad \delta_t(j) = \log b_j(x_t) + \max_{i} \left[ \delta_{t-1}(i) + \log a_{ij} \right]
"""
BACKTRACE = r"""
\psi_t(j) = \arg\max_{i} \left[ \delta_{t-1}(i) + \log a_{ij} \right], \qquad z^*_T = \arg\max_{j} \delta_T(j), \qquad z^*_{t-1} = \psi_t(z^*_t)
"""
PI, A, B = np.array([0.8, 0.2]), np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.8, 0.2], [0.3, 0.7]])


by_definition("Parameters, defaults", "Same in train and eval?")


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
@holds("Viterbi")
def check_against_every_path():
    cases = [(K, M, T) for K, M, T in [(2, 2, 6), (3, 4, 5), (4, 3, 4), (1, 2, 3), (5, 2, 1)] for _ in range(10)]
    for K, M, T in cases:
        pi, a, b = (
            np.random.dirichlet(np.ones(K)),
            np.random.dirichlet(np.ones(K), K),
            np.random.dirichlet(np.ones(M), K),
        )
        a = np.where(np.eye(K, k=1) > 0, 0.0, a)
        a = a / a.sum(1, keepdims=True)
        x = np.random.randint(0, M, T)
        delta, path = viterbi(pi, a, b, x)
        best = brute(pi, a, b, x)
        assert math.isclose(joint(pi, a, b, x, path), joint(pi, a, b, x, best), rel_tol=1e-9)  # or a tie
        assert math.isclose(math.exp(delta[-1].max()), joint(pi, a, b, x, best), rel_tol=1e-9)
        for t in range(T):
            for j in range(K):
                ending = max(
                    joint(pi, a, b, x[: t + 1], z) for z in itertools.product(range(K), repeat=t + 1) if z[-1] == j
                )
                assert math.isclose(math.exp(delta[t, j]), ending, rel_tol=1e-9, abs_tol=1e-300)


@check
def check_by_hand():
    delta, path = viterbi(PI, A, B, [1, 1])
    for text, value in zip(["0.16", "0.14", "0.0288", "0.0784"], np.exp(delta).ravel()):
        stated(text, value)
    for text, value in zip(
        ["0.144", "0.028", "0.016", "0.112"], [0.16 * A[0, 0], 0.14 * A[1, 0], 0.16 * A[0, 1], 0.14 * A[1, 1]]
    ):
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
    right = lambda answer: (
        sum(w * sum(s == r for s, r in zip(answer, z)) for z, w in zip(paths, weights)) / weights.sum()
    )
    assert (
        math.isclose(right(stepwise), 1.0)
        and math.isclose(right([0, 0]), 0.8)
        and max(map(right, paths)) <= 1.0 + 1e-12
    )


@pitfall("Padding changes the decoded tags")
@holds("Input", "Output")
def check_padding():
    """A batch decoded with delta frozen past each length, the backtrace begun at the last own step."""
    x = [1, 1]
    assert viterbi(PI, A, B, x)[1] == [1, 1] and viterbi(PI, A, B, x + [0, 0, 0])[1][:2] == [0, 0]
    lengths, batch = (
        np.array([2, 5, 3, 1]),
        np.array([[1, 1, 0, 0, 0], [1, 0, 1, 1, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]),
    )
    emissions = np.log(B.T)[batch]
    assert emissions.shape == (4, 5, 2)  # (N, T, K)
    delta, pointers = np.log(PI) + emissions[:, 0], []
    for t in range(1, 5):
        reach = delta[:, :, None] + np.log(A)
        pointers.append(reach.argmax(1))
        delta = np.where((t < lengths)[:, None], reach.max(1) + emissions[:, t], delta)
    assert delta.max(1).shape == (4,)
    for row, length in enumerate(lengths):
        path = [int(delta[row].argmax())]
        for pointer in reversed(pointers[: length - 1]):
            path.append(int(pointer[row, path[-1]]))
        assert len(path) == length and set(path) <= {0, 1}
        assert math.isclose(math.exp(delta[row].max()), joint(PI, A, B, batch[row, :length], path[::-1]))
        assert path[::-1] == viterbi(PI, A, B, batch[row, :length])[1] == list(brute(PI, A, B, batch[row, :length]))


@pitfall("Padding changes the decoded tags")
def check_freezing_with_forbidden_transitions():
    """`torch.where` keeps a frozen delta with an infinite entry; a mask multiplied and added gives NaN."""
    import torch

    trans = torch.tensor([[1.0, 0.0], [0.2, 0.8]]).log()
    start, active = torch.tensor([1.0, 0.0]).log(), torch.tensor([[True], [False]])
    for seed in range(3):
        emit = torch.randn(2, 2, 2, generator=torch.Generator().manual_seed(seed))
        delta = start + emit[:, 0]
        step = (delta[:, :, None] + trans).max(1).values + emit[:, 1]
        frozen = torch.where(active, step, delta)
        assert torch.equal(frozen[0], step[0]) and torch.equal(frozen[1], delta[1]) and not frozen.isnan().any()
        assert (active * step + ~active * delta).isnan().any()


@pitfall("Two implementations return different paths")
def check_ties_and_transposition():
    """Breaking ties the other way changes the path but not its score; a transposed matrix hides if symmetric."""
    backwards = lambda *model: [
        len(PI) - 1 - s
        for s in viterbi(*(m[::-1] for m in model[:1]), model[1][::-1, ::-1], model[2][::-1], model[3])[1]
    ]
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
    assert (
        not np.isnan(delta).any()
        and tuple(path) == brute(PI, forbidden, B, [0, 1, 1, 1])
        and (0, 1) not in zip(path, path[1:])
    )


@holds("What if scores depend on the two previous tags?")
def check_second_order_by_pairs():
    K, T = 3, 4
    score = np.random.randn(K, K, K)
    best = max(
        itertools.product(range(K), repeat=T), key=lambda z: sum(score[z[t - 2], z[t - 1], z[t]] for t in range(2, T))
    )
    delta = np.zeros((K, K))
    for _ in range(2, T):
        reach = delta[:, :, None] + score
        assert reach.size == K**2 * K and delta.size == K**2
        delta = reach.max(0)
    assert math.isclose(delta.max(), sum(score[best[t - 2], best[t - 1], best[t]] for t in range(2, T)), rel_tol=1e-12)


@holds("Cost")
def check_number_of_comparisons():
    for K, T in ((2, 6), (3, 5), (4, 4)):
        delta, pointers, compared = np.zeros(K), [], 0
        for _ in range(1, T):
            reach = delta[:, None] + np.random.randn(K, K)
            compared += reach.size
            pointers.append(reach.argmax(0))
            delta = reach.max(0)
        assert compared == (T - 1) * K**2 and np.size(pointers) == (T - 1) * K
        assert len(list(itertools.product(range(K), repeat=T))) == K**T


@holds("posterior decoding")
def check_forward_and_backward_pass():
    for seed in range(3):
        x, K = np.random.randint(0, 2, 6), 2
        forward, backward, products = [PI * B[:, x[0]]], [np.ones(K)], 0
        for s in x[1:]:
            forward.append(B[:, s] * (forward[-1] @ A))
            products += A.size
        for s in x[:0:-1]:
            backward.append(A @ (B[:, s] * backward[-1]))
            products += A.size
        ours = np.array(forward) * np.array(backward[::-1])
        paths = list(itertools.product(range(K), repeat=6))
        weights = np.array([joint(PI, A, B, x, z) for z in paths])
        exact = np.array([[weights[[z[t] == s for z in paths]].sum() for s in range(K)] for t in range(6)])
        np.testing.assert_allclose(ours, exact)
        assert products == 2 * 5 * K**2


def beam(x, width):
    """The best of the prefixes kept, and how many scores were computed."""
    scored = [(PI[s] * B[s, x[0]], (s,)) for s in range(2)]
    computed = len(scored)
    for t in range(1, len(x)):
        kept = sorted(scored, reverse=True)[:width]
        scored = [(p * A[z[-1], s] * B[s, x[t]], (*z, s)) for p, z in kept for s in range(2)]
        computed += len(scored)
    return max(scored), computed


@holds("greedy", "beam search of width $w$")
def check_greedy_and_beam_miss_the_best_path():
    """Greedy (width 1) starts in healthy, which led; a beam of 2 can drop the best path's beginning."""
    (score, path), computed = beam([1, 1], 1)
    assert path[0] == 0 and score < joint(PI, A, B, [1, 1], [1, 1]) and computed == 2 * 2
    missed = 0
    for _ in range(1000):
        start, steps = np.random.dirichlet(np.ones(4)), np.random.dirichlet(np.ones(4) * 0.3, (4, 4))
        kept = sorted(((start[s], (s,)) for s in range(4)), reverse=True)[:2]
        grown = [(p * steps[0, z[-1], s], (*z, s)) for p, z in kept for s in range(4)]
        assert len(grown) == 2 * 4  # w * K scores
        best = max(start[a] * steps[0, a, b] for a in range(4) for b in range(4))
        missed += max(grown)[0] < best - 1e-12
    assert missed > 3, missed


@holds("Why may the losing prefixes be thrown away?")
def check_a_continuation_keeps_the_order():
    prefixes = [(0, 1, 1), (1, 0, 1), (0, 0, 1), (1, 1, 1)]
    order = lambda x, tail: sorted(prefixes, key=lambda z: joint(PI, A, B, x, z + tail))
    for x in itertools.product((0, 1), repeat=5):
        for tail in itertools.product((0, 1), repeat=2):
            assert order(x, tail) == sorted(prefixes, key=lambda z: joint(PI, A, B, x[:3], z))


@holds("Is the score of the best path a confidence?")
def check_even_the_best_path_may_be_improbable():
    x = [1, 1, 0] * 40
    forward, log_sum = PI * B[:, x[0]], 0.0
    for s in x[1:]:
        log_sum += math.log(forward.sum())
        forward = B[:, s] * (forward / forward.sum() @ A)
    log_sum += math.log(forward.sum())
    assert viterbi(PI, A, B, x)[0][-1].max() - log_sum < math.log(1e-3)
    every = [joint(PI, A, B, x[:5], z) for z in itertools.product((0, 1), repeat=5)]
    share = math.exp(viterbi(PI, A, B, x[:5])[0][-1].max()) / sum(every)
    assert math.isclose(share, max(every) / sum(every)) and share < 1
