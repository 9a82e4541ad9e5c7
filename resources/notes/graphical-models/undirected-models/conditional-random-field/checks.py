import itertools
import math

import numpy as np
import torch

from note_checks import check, formula, stated

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
        alpha = [E[t, k] + math.log(sum(math.exp(alpha[j] + A[j, k]) for j in range(len(alpha)))) for k in range(len(alpha))]
    return math.log(sum(math.exp(value) for value in alpha))


@formula(SCORE, RECURSION)
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


@check
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


@check
def check_wrong_sign_makes_the_right_path_improbable():
    E, A = torch.zeros(4, 3, requires_grad=True), torch.zeros(3, 3, requires_grad=True)
    y = torch.tensor([0, 1, 2, 0])
    optimizer = torch.optim.SGD([E, A], lr=0.5)

    def log_likelihood():
        alpha = E[0]
        for t in range(1, 4):
            alpha = E[t] + torch.logsumexp(alpha[:, None] + A, 0)
        return E[range(4), y].sum() + A[y[:-1], y[1:]].sum() - alpha.logsumexp(0)

    before = float(log_likelihood().detach())
    for _ in range(20):
        optimizer.zero_grad()
        log_likelihood().backward()
        optimizer.step()
    assert float(log_likelihood().detach()) < before - 20


@check
def check_low_score_forbids_a_transition():
    E = np.array([[5.0, 0.0, 0.0], [0.0, 0.0, 50.0]])
    for low, allowed in ((-5.0, True), (-10_000.0, False)):
        A = np.zeros((3, 3))
        A[0, 2] = low
        best = max(itertools.product(range(3), repeat=2), key=lambda y: score(E, A, y))
        assert (best == (0, 2)) is allowed


@check
def check_label_bias_and_joint_of_an_mrf():
    """A local softmax with one successor ignores its score; a conditioned joint table is a CRF with the same scores."""
    assert torch.softmax(torch.tensor([7.0]), 0).item() == torch.softmax(torch.tensor([-7.0]), 0).item() == 1
    potential, pair = np.random.rand(3, 2), np.random.rand(2, 2)
    joint = potential[:, :, None, None] * potential[None, None] * pair[None, :, None, :]
    joint /= joint.sum()
    given = joint[1, :, 2, :] / joint[1, :, 2, :].sum()
    table, _ = distribution(np.log(potential[[1, 2]]), np.log(pair))
    np.testing.assert_allclose([table[a, b] for a in range(2) for b in range(2)], given.ravel(), rtol=1e-10)
