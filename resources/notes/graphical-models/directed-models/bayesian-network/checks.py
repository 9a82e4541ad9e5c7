import itertools
import math

import numpy as np

from note_checks import check, formula, stated

FACTORS = r"p(x_1, \dots, x_n) = \prod_{i=1}^{n} p(x_i \mid \mathrm{pa}_i)"
BLANKET = r"""
p(x_i \mid x_{-i}) = \frac{p(x_i \mid \mathrm{pa}_i) \prod_{j \in \mathrm{ch}_i} p(x_j \mid \mathrm{pa}_j)}{\sum_{x_i'} p(x_i' \mid \mathrm{pa}_i) \prod_{j \in \mathrm{ch}_i} p(x_j \mid \mathrm{pa}_j')}
"""
GRAPHS = [[[], [], [0, 1]], [[], [0], [1], [0, 2]], [[], [], [0, 1], [2], [2, 0], [4]], [[]]]


def tables(parents):
    """One random table of P(x_i = 1 | parents) per node, indexed by the parents' values."""
    return [np.asarray(np.random.rand(*[2] * len(pa))) for pa in parents]


def factor(parents, cpts, x, i):
    one = cpts[i][tuple(x[p] for p in parents[i])]
    return one if x[i] else 1 - one


def joint(parents, cpts, x):
    return math.prod(factor(parents, cpts, x, i) for i in range(len(parents)))


@formula(FACTORS)
def check_factorisation_equals_ancestral_sampling():
    """The product sums to 1 and gives the frequencies of samples drawn node by node."""
    rng = np.random.default_rng(0)
    for parents in GRAPHS:
        cpts, n = tables(parents), len(parents)
        every = list(itertools.product((0, 1), repeat=n))
        assert math.isclose(sum(joint(parents, cpts, x) for x in every), 1.0)
        samples = np.zeros((100_000, n), int)
        for i, pa in enumerate(parents):
            samples[:, i] = rng.random(100_000) < cpts[i][tuple(samples[:, p] for p in pa)]
        for x in every:
            assert abs((samples == x).all(1).mean() - joint(parents, cpts, x)) < 0.008


@formula(BLANKET)
def check_blanket_equals_conditioning_the_joint():
    for parents in GRAPHS:
        cpts, n = tables(parents), len(parents)
        for x in itertools.product((0, 1), repeat=n):
            for i in range(n):
                flipped = tuple(1 - v if k == i else v for k, v in enumerate(x))
                children = [j for j in range(n) if i in parents[j]]
                local = [factor(parents, cpts, z, i) * math.prod(factor(parents, cpts, z, j) for j in children) for z in (x, flipped)]
                exact = joint(parents, cpts, x) / (joint(parents, cpts, x) + joint(parents, cpts, flipped))
                assert math.isclose(local[0] / sum(local), exact, rel_tol=1e-9)


@check
def check_by_hand():
    both, only_rain, only_sprinkler = 0.2 * 0.1 * 0.99, 0.2 * 0.9 * 0.9, 0.8 * 0.1 * 0.9
    stated("0.0198", both)
    stated("0.162", only_rain)
    stated("0.072", only_sprinkler)
    wet = both + only_rain + only_sprinkler
    stated("0.2538", wet)
    stated("0.7163", (both + only_rain) / wet)
    stated("0.2157", both / (both + only_sprinkler))
    stated("0.72", (both + only_rain) / wet)
    stated("0.22", both / (both + only_sprinkler))
    stated("19", sum(2 ** len(pa) for pa in [[]] + [[i] for i in range(9)]))
    stated("1,023", 2**10 - 1)


def dependence(table):
    """Largest gap between a 2x2 joint and the product of its margins."""
    table = table / table.sum()
    return np.abs(table - np.outer(table.sum(1), table.sum(0))).max()


@check
def check_chain_fork_collider():
    cube = lambda parents: np.array([joint(parents, cpts, x) for x in itertools.product((0, 1), repeat=3)]).reshape(2, 2, 2)
    for parents, blocked_when_seen in [([[], [0], [1]], True), ([[1], [], [1]], True), ([[], [0, 2], []], False)]:
        cpts = [np.array([0.2, 0.9]) if len(pa) == 1 else np.array([[0.1, 0.6], [0.7, 0.95]]) if pa else np.array(0.4) for pa in parents]
        table = cube(parents)
        assert (dependence(table.sum(1)) < 1e-12) == (not blocked_when_seen)
        assert (dependence(table[:, 1]) < 1e-12) == blocked_when_seen


@check
def check_descendant_of_a_collider_opens_the_path_too():
    parents = [[], [], [0, 1], [2]]
    cpts = [np.array(0.4), np.array(0.3), np.array([[0.1, 0.8], [0.7, 0.95]]), np.array([0.2, 0.9])]
    table = np.array([joint(parents, cpts, x) for x in itertools.product((0, 1), repeat=4)]).reshape(2, 2, 2, 2)
    assert dependence(table.sum((2, 3))) < 1e-12 < 0.01 < dependence(table[:, :, :, 1].sum(2))


@check
def check_reversed_arrow_and_swapped_parents():
    forward = np.array([[0.3 * 0.2, 0.3 * 0.8], [0.7 * 0.6, 0.7 * 0.4]])
    b = forward.sum(0)
    np.testing.assert_allclose((forward / b) * b, forward)
    wet = np.array([[0.0, 0.5], [0.9, 0.99]])
    query = lambda cpt: (0.2 * 0.9 * cpt[1, 0] + 0.2 * 0.1 * cpt[1, 1]) / sum(r * s * cpt[i, j] for i, r in enumerate((0.8, 0.2)) for j, s in enumerate((0.9, 0.1)))
    assert abs(query(wet) - query(wet.T)) > 0.1
