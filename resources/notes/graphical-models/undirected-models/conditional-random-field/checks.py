import itertools
import math

import numpy as np
import torch

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

SCORE = r"""
s(x, y) = \sum_{t=1}^{T} E_t(y_t) + \sum_{t=2}^{T} A_{y_{t-1} y_t}, \qquad p(y \mid x) = \frac{e^{s(x, y)}}{Z(x)}, \qquad Z(x) = \sum_{y'} e^{s(x, y')}
"""
RECURSION = r"""
\alpha_1(k) = E_1(k), \qquad \alpha_t(k) = E_t(k) + \log \sum_{j=1}^{K} e^{\alpha_{t-1}(j) + A_{jk}}, \qquad \log Z(x) = \log \sum_{k=1}^{K} e^{\alpha_T(k)}
"""
GRADIENT = r"""
\frac{\partial \left( -\log p(y \mid x) \right)}{\partial A_{jk}} = \mathbb{E}_{y' \sim p(\cdot \mid x)} \left[ n_{jk}(y') \right] - n_{jk}(y)
"""
SHAPES = [(1, 4), (2, 2), (3, 3), (5, 2), (4, 3), (6, 1)]


by_definition("Cost", "Same in train and eval?", "CRF", "MRF")
sourced(
    "pytorch-crf 0.7 documentation, CRF.forward: emissions (seq_length, batch_size, num_tags), tags, mask, batch_first",
    "Input",
)
sourced("Lafferty, McCallum, Pereira 2001, section 1: generative models and interacting features", "HMM")
sourced("Lafferty, McCallum, Pereira 2001, section 2: the label bias problem", "What is label bias?")


def score(E, A, y):
    return sum(E[t, y[t]] for t in range(len(y))) + sum(A[y[t - 1], y[t]] for t in range(1, len(y)))


def distribution(E, A):
    """p(y|x) of every label sequence, by enumeration."""
    every = list(itertools.product(range(E.shape[1]), repeat=len(E)))
    weights = np.array([math.exp(score(E, A, y)) for y in every])
    return dict(zip(every, weights / weights.sum())), weights.sum()


def recursion(E, A):
    alpha = [E[0, k] for k in range(E.shape[1])]
    for t in range(1, len(E)):
        alpha = [
            E[t, k] + math.log(sum(math.exp(alpha[j] + A[j, k]) for j in range(len(alpha)))) for k in range(len(alpha))
        ]
    return math.log(sum(math.exp(value) for value in alpha))


@formula(SCORE, RECURSION)
@holds("With $A = 0$, what is left?", "softmax per token")
def check_recursion_and_special_cases():
    """Recursion against enumeration; torch's cross_entropy for one step, for A = 0, and over all sequences as classes."""
    for T, K in SHAPES:
        E, A = np.random.randn(T, K) * 2, np.random.randn(K, K) * 2
        table, total = distribution(E, A)
        assert math.isclose(recursion(E, A), math.log(total), rel_tol=1e-10)
        every = list(table)
        classes = torch.tensor([[score(E, A, y) for y in every]])
        target = np.random.randint(len(every))
        library = torch.nn.functional.cross_entropy(classes, torch.tensor([target])).item()
        assert math.isclose(-math.log(table[every[target]]), library, rel_tol=1e-9, abs_tol=1e-12)
        y = every[target]
        plain = torch.nn.functional.cross_entropy(torch.tensor(E), torch.tensor(y), reduction="sum").item()
        assert math.isclose(recursion(E, 0 * A) - score(E, 0 * A, y), plain, rel_tol=1e-9, abs_tol=1e-12)


@formula(GRADIENT)
def check_gradient_against_autograd():
    for T, K in SHAPES:
        E, A = torch.randn(T, K, dtype=torch.float64), torch.randn(K, K, dtype=torch.float64, requires_grad=True)
        y = np.random.randint(0, K, T)
        alpha = E[0]
        for t in range(1, T):
            alpha = E[t] + torch.logsumexp(alpha[:, None] + A, 0)
        loss = alpha.logsumexp(0) - E[range(T), y].sum() - A[y[:-1], y[1:]].sum()
        loss.backward()
        table, _ = distribution(E.numpy(), A.detach().numpy())
        ours = np.zeros((K, K))
        for z, p in list(table.items()) + [(tuple(y), -1.0)]:
            for t in range(1, T):
                ours[z[t - 1], z[t]] += p
        np.testing.assert_allclose(ours, A.grad.numpy() if A.grad is not None else 0.0, atol=1e-10)


@holds("Parameters")
def check_by_hand():
    E, A = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, -2.0], [0.0, 1.0]])
    table, total = distribution(E, A)
    assert [score(E, A, y) for y in table] == [1, 0, 0, 2]
    stated("12.107", total)
    stated("7.389", math.e**2)
    stated("2.718", math.e)
    stated("0.6103", table[1, 1])
    stated("0.7311", math.e / (math.e + 1))
    stated("0.3071", table[0, 0] + table[0, 1])
    stated("99", 9**2 + 2 * 9)


def log_likelihood(E, A, y, start=0.0):
    """What `torchcrf.CRF` returns for one sequence (its end scores left out)."""
    alpha = start + E[0]
    for emission in E[1:]:
        alpha = emission + torch.logsumexp(alpha[:, None] + A, 0)
    first = start[y[0]] if torch.is_tensor(start) else start
    return first + E[range(len(y)), y].sum() + A[y[:-1], y[1:]].sum() - alpha.logsumexp(0)


def best_path(E, A, start=None):
    every = itertools.product(range(E.shape[1]), repeat=len(E))
    return max(every, key=lambda y: float(score(E, A, y)) + (0.0 if start is None else float(start[y[0]])))


@pitfall("The loss is hugely negative and the tags come out wrong")
def check_wrong_sign_makes_the_right_path_improbable():
    y = torch.tensor([0, 1, 2, 0])
    for sign in (1, -1):
        E, A = torch.zeros(4, 3, requires_grad=True), torch.zeros(3, 3, requires_grad=True)
        optimizer = torch.optim.SGD([E, A], lr=0.5)
        for _ in range(30):
            optimizer.zero_grad()
            loss = sign * log_likelihood(E, A, y)
            loss.backward()
            optimizer.step()
        path = best_path(E.detach(), A.detach())
        assert loss < -20 and path != tuple(y) if sign == 1 else 0 < loss < 0.1 and path == tuple(y)


@pitfall('"mask of the first timestep must all be on"')
def check_masked_word_pieces():
    """pytorch-crf's masked sums, written out: with a hole they are no distribution. Its error is not run here."""
    E, A, mask = np.random.randn(4, 2), np.random.randn(2, 2) * 2, [True, False, True, True]

    def probability(y, hole):
        total, alpha = E[0, y[0]], E[0]
        for t in range(1, 4):
            if mask[t] or not hole:
                total += A[y[t - 1], y[t]] + E[t, y[t]]
                alpha = E[t] + np.log(np.exp(alpha[:, None] + A).sum(0))
        return math.exp(total) / np.exp(alpha).sum()

    labellings = [(a, 1, b, c) for a, b, c in itertools.product(range(2), repeat=3)]  # the masked tag is padded with 1
    assert abs(sum(probability(y, hole=True) for y in labellings) - 1) > 0.05
    padding = torch.tensor([[True, True, False], [True, True, True]])  # (N, T); the library asks for `mask[0].all()`
    assert not padding[0].all() and padding.T[0].all()
    tags = torch.tensor(
        [0, -100]
    )  # the library looks up every tag, the padded ones as well, and multiplies by the mask
    raises(IndexError, lambda: torch.tensor(E)[0, tags])
    assert (torch.tensor(E)[0, tags.clamp(min=0)] * torch.tensor([1, 0]))[1] == 0
    kept = E[mask]
    ours = [
        log_likelihood(torch.tensor(kept), torch.tensor(A), y).exp().item()
        for y in itertools.product(range(2), repeat=3)
    ]
    np.testing.assert_allclose(ours, list(distribution(kept, A)[0].values()))


@pitfall('"The scores can be normalised if one wants probabilities"')
def check_likelihood_needs_the_normaliser():
    """Raising every score lowers the loss without log Z and changes nothing with it; a perceptron and decoding do without."""
    E, A, y = torch.randn(5, 3), torch.randn(3, 3), [0, 2, 1, 1, 0]
    raised = E + 100
    assert -score(raised, A, y) < -score(E, A, y) - 499
    assert abs(log_likelihood(raised, A, y) - log_likelihood(E, A, y)) < 1e-2 and best_path(raised, A) == best_path(
        E, A
    ) != tuple(y)
    for _ in range(20):
        guess = best_path(E, A)
        for t in range(5):
            E[t, y[t]] += 0.5
            E[t, guess[t]] -= 0.5
    assert best_path(E, A) == tuple(y)


@pitfall('"CRF features see the sentence and the last two labels"')
def check_a_skip_edge_is_no_chain():
    """In the chain the outer labels are independent given the middle one; an edge between them ends that."""
    E, A = np.random.randn(3, 2), np.random.randn(2, 2)
    for skip, independent in ((0.0, True), (1.5, False)):
        p = np.zeros((2, 2, 2))
        for y in itertools.product(range(2), repeat=3):
            p[y] = math.exp(score(E, A, y) + skip * (y[0] == y[2]))
        given = p[:, 1] / p[:, 1].sum()
        assert np.allclose(given, np.outer(given.sum(1), given.sum(0)), atol=1e-3) is independent
        assert math.isclose(math.log(p.sum()), recursion(E, A), rel_tol=1e-9) is independent


@pitfall("An illegal sequence such as O, I-PER is decoded all the same")
def check_low_scores_forbid_a_transition_and_a_start():
    """Tags O, B, I: I may neither begin nor follow O. Forbidden scores stay put in training, unless weight decay shrinks them."""
    sure = torch.tensor([[5.0, 0.0, 0.0], [0.0, 0.0, 50.0]])
    for kind, decay in ((torch.optim.Adam, 0.0), (torch.optim.AdamW, 0.5)):
        A, start = torch.zeros(3, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
        assert best_path(sure, A.detach()) == (0, 2) and best_path(sure.flip(0), A.detach(), start.detach())[0] == 2
        with torch.no_grad():
            A[0, 2] = start[2] = -10_000
        optimizer = kind([A, start], lr=0.1, weight_decay=decay)
        for _ in range(150):
            optimizer.zero_grad()
            loss = -log_likelihood(torch.randn(4, 3), A, [1, 2, 0, 1], start)
            loss.backward()
            optimizer.step()
        kept = A[0, 2] == start[2] == -10_000
        assert kept == (decay == 0) and (kept or A[0, 2] > -100) and loss.isfinite()
        if kept:
            assert -log_likelihood(torch.zeros(4, 3), A, [0, 2, 1, 0], start) > 9_900  # a label against the rule
            assert best_path(sure, A.detach()) == (1, 2) and best_path(sure.flip(0), A.detach(), start.detach())[0] != 2


@check
def check_low_score_forbids_a_transition():
    E = np.array([[5.0, 0.0, 0.0], [0.0, 0.0, 50.0]])
    for low, allowed in ((-5.0, True), (-10_000.0, False)):
        A = np.zeros((3, 3))
        A[0, 2] = low
        best = max(itertools.product(range(3), repeat=2), key=lambda y: score(E, A, y))
        assert (best == (0, 2)) is allowed


@holds("How does a CRF follow from an MRF?", "What is label bias?")
def check_label_bias_and_joint_of_an_mrf():
    """A local softmax with one successor ignores its score; a conditioned joint table is a CRF with the same scores."""
    assert torch.softmax(torch.tensor([7.0]), 0).item() == torch.softmax(torch.tensor([-7.0]), 0).item() == 1
    potential, pair = np.random.rand(3, 2), np.random.rand(2, 2)
    joint = potential[:, :, None, None] * potential[None, None] * pair[None, :, None, :]
    joint /= joint.sum()
    given = joint[1, :, 2, :] / joint[1, :, 2, :].sum()
    table, _ = distribution(np.log(potential[[1, 2]]), np.log(pair))
    np.testing.assert_allclose([table[a, b] for a in range(2) for b in range(2)], given.ravel(), rtol=1e-10)


@holds("What is label bias?")
def check_a_crf_heeds_what_a_single_successor_sees():
    """States 0 and 1 start; 0 leads to 2 only, 1 to 3 only. A MEMM keeps its first choice, a CRF lets step 2 decide."""
    E, A = np.array([[0.3, 0.0, -1e4, -1e4], [0.0, 0.0, -4.0, 4.0]]), np.full((4, 4), -1e4)
    A[0, 2] = A[1, 3] = 0.0
    softmax = lambda v: np.exp(v - v.max()) / np.exp(v - v.max()).sum()
    memm = {(0, 2): softmax(E[0])[0] * softmax(A[0] + E[1])[2], (1, 3): softmax(E[0])[1] * softmax(A[1] + E[1])[3]}
    weights = {y: math.exp(score(E, A, y)) for y in memm}
    assert memm[0, 2] > 0.5 > 0.01 > weights[0, 2] / sum(weights.values())


@holds("Input", "Output")
def check_shapes_of_the_results():
    E, A = torch.randn(5, 3), torch.randn(3, 3)
    y = torch.randint(3, (5,))
    assert log_likelihood(E, A, y).shape == () and len(best_path(E, A)) == 5
    assert log_likelihood(E, A, y.int()) == log_likelihood(E, A, y)
    raises(IndexError, lambda: log_likelihood(E, A, y.short()), "indices must be")
    table, _ = distribution(E.numpy().astype(float), A.numpy().astype(float))
    marginals = np.array([[sum(p for z, p in table.items() if z[t] == k) for k in range(3)] for t in range(5)])
    assert marginals.shape == (5, 3) and np.allclose(marginals.sum(1), 1)
    assert best_path(E, A) == max(table, key=table.get)
