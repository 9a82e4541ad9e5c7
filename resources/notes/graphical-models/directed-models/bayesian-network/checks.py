import itertools
import math

import networkx
import numpy as np

from note_checks import by_definition, formula, holds, pitfall, sourced, stated

by_definition("Bayesian network", "Naive Bayes, HMM", "MRF", "CRF")
sourced(
    "Cooper 1990, The computational complexity of probabilistic inference using Bayesian belief networks; Pearl 1986",
    "Cost",
)
sourced("pgmpy documentation: TabularCPD, VariableElimination; module lists of PyTorch and scikit-learn", "Library")
sourced("Lauritzen and Spiegelhalter 1988: expert systems for diagnosis", "Bayesian network")
sourced("Geman and Geman 1984: restoration of images with Markov random fields", "MRF")
sourced("Lafferty, McCallum, Pereira 2001, section 5.3: part-of-speech tagging", "CRF")
sourced(
    "Koller and Sahami 1996, Toward optimal feature selection: Markov blankets", "What is a Markov blanket good for?"
)

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


@holds("Input")
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


@holds("What is a Markov blanket good for?")
@formula(BLANKET)
def check_blanket_equals_conditioning_the_joint():
    for parents in GRAPHS:
        cpts, n = tables(parents), len(parents)
        for x in itertools.product((0, 1), repeat=n):
            for i in range(n):
                flipped = tuple(1 - v if k == i else v for k, v in enumerate(x))
                children = [j for j in range(n) if i in parents[j]]
                local = [
                    factor(parents, cpts, z, i) * math.prod(factor(parents, cpts, z, j) for j in children)
                    for z in (x, flipped)
                ]
                exact = joint(parents, cpts, x) / (joint(parents, cpts, x) + joint(parents, cpts, flipped))
                assert math.isclose(local[0] / sum(local), exact, rel_tol=1e-9)


@holds("Query", "Parameters")
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


@holds("Which three patterns decide d-separation?")
def check_chain_fork_collider():
    cube = lambda parents: np.array([joint(parents, cpts, x) for x in itertools.product((0, 1), repeat=3)]).reshape(
        2, 2, 2
    )
    for parents, blocked_when_seen in [([[], [0], [1]], True), ([[1], [], [1]], True), ([[], [0, 2], []], False)]:
        cpts = [
            np.array([0.2, 0.9]) if len(pa) == 1 else np.array([[0.1, 0.6], [0.7, 0.95]]) if pa else np.array(0.4)
            for pa in parents
        ]
        table = cube(parents)
        assert (dependence(table.sum(1)) < 1e-12) == (not blocked_when_seen)
        assert (dependence(table[:, 1]) < 1e-12) == blocked_when_seen


@holds("Which three patterns decide d-separation?")
def check_descendant_of_a_collider_opens_the_path_too():
    parents = [[], [], [0, 1], [2]]
    cpts = [np.array(0.4), np.array(0.3), np.array([[0.1, 0.8], [0.7, 0.95]]), np.array([0.2, 0.9])]
    table = np.array([joint(parents, cpts, x) for x in itertools.product((0, 1), repeat=4)]).reshape(2, 2, 2, 2)
    assert dependence(table.sum((2, 3))) < 1e-12 < 0.01 < dependence(table[:, :, :, 1].sum(2))


def cube(parents, cpts):
    return np.array([joint(parents, cpts, x) for x in itertools.product((0, 1), repeat=len(parents))]).reshape(
        [2] * len(parents)
    )


@pitfall("Probabilities change when the parents are listed in another order")
def check_columns_follow_the_order_of_the_parents():
    """The layout of pgmpy (which is not installed here): one column per state of the parents, the last parent changing fastest."""
    prior = {"rain": np.array([0.8, 0.2]), "sprinkler": np.array([0.9, 0.1])}

    def rain_given_wet(columns, evidence):
        table = np.reshape(columns, (2, 2)) * np.outer(prior[evidence[0]], prior[evidence[1]])
        table = table if evidence[0] == "rain" else table.T
        return table[1].sum() / table.sum()

    columns = [0.0, 0.5, 0.9, 0.99]
    right = rain_given_wet(columns, ("rain", "sprinkler"))
    assert abs(rain_given_wet(columns, ("sprinkler", "rain")) - right) > 0.1
    assert math.isclose(rain_given_wet(np.reshape(columns, (2, 2)).T.ravel(), ("sprinkler", "rain")), right)
    lawn = [0.0, 0.9, 0.9, 0.99]  # symmetric columns: here the order does not matter
    assert math.isclose(*(rain_given_wet(lawn, order) for order in (("sprinkler", "rain"), ("rain", "sprinkler"))))


@pitfall('"An arrow means a cause"')
def check_reversed_arrow():
    """A to B and B to A fit the same joint; setting A tells them apart. The data tell a collider from a chain."""
    forward = np.array([[0.3 * 0.2, 0.3 * 0.8], [0.7 * 0.6, 0.7 * 0.4]])
    b = forward.sum(0)
    np.testing.assert_allclose((forward / b) * b, forward)
    rng, n = np.random.default_rng(0), 20_000

    def share_of_b(a_first, a_is_set):
        """P(B = 1 | A = 1), A observed or set to 1, with the arrow in either direction."""
        if a_first:
            a = np.ones(n, int) if a_is_set else (rng.random(n) < 0.7).astype(int)
            return (rng.random(n) < (forward[:, 1] / forward.sum(1))[a])[a == 1].mean()
        y = (rng.random(n) < b[1]).astype(int)
        a = np.ones(n, int) if a_is_set else (rng.random(n) < (forward[1] / b)[y]).astype(int)
        return y[a == 1].mean()

    assert (
        abs(share_of_b(True, False) - share_of_b(False, False)) < 0.03
        and share_of_b(False, True) - share_of_b(True, True) > 0.09
    )
    collider = cube([[], [], [0, 1]], [np.array(0.4), np.array(0.3), np.array([[0.1, 0.8], [0.7, 0.95]])])
    chain = cube([[], [2], [0]], [np.array(0.4), np.array([0.2, 0.9]), np.array([0.1, 0.7])])
    assert dependence(collider.sum(2)) < 1e-12 < 0.01 < min(dependence(chain.sum(2)), dependence(collider[:, :, 1]))


@pitfall('"Given more evidence, variables get more independent"')
def check_d_separation_predicts_what_conditioning_creates():
    rng, n = np.random.default_rng(0), 50_000
    rain, sprinkler = rng.random(n) < 0.2, rng.random(n) < 0.1
    wet = rng.random(n) < np.where(rain & sprinkler, 0.99, np.where(rain | sprinkler, 0.9, 0.0))
    assert abs(np.corrcoef(rain, sprinkler)[0, 1]) < 0.02 and np.corrcoef(rain[wet], sprinkler[wet])[0, 1] < -0.5
    for parents in GRAPHS[:3]:
        graph, nodes = networkx.DiGraph([(a, b) for b, pa in enumerate(parents) for a in pa]), range(len(parents))
        table = cube(parents, tables(parents))
        for i, j in itertools.combinations(nodes, 2):
            for size in range(len(parents) - 1):
                for seen in itertools.combinations([k for k in nodes if k not in (i, j)], size):
                    left = table.sum(tuple(k for k in nodes if k not in (i, j, *seen)))
                    left = np.moveaxis(left, [sorted((i, j, *seen)).index(k) for k in (i, j)], (0, 1)).reshape(2, 2, -1)
                    gap = max(dependence(left[:, :, k]) for k in range(left.shape[2]))
                    assert (gap < 1e-9) == networkx.is_d_separator(graph, {i}, {j}, set(seen))


@holds("What is a Markov blanket good for?")
@pitfall("The blanket misses the co-parents")
def check_blanket_needs_the_co_parents():
    """Given the whole blanket the rest adds nothing; given only parents and children, a co-parent still does."""
    parents = GRAPHS[2]
    table = cube(parents, tables(parents))
    lawns = cube([[], [], [0, 1]], [np.array(0.2), np.array(0.1), np.array([[0.0, 0.9], [0.9, 0.99]])])
    lawn = lawns[:, :, 1]  # wet; a dry one separates these two
    assert dependence(lawns[:, :, 0]) < 1e-12 < 0.01 < dependence(lawn)
    assert lawn[1].sum() / lawn.sum() - lawn[1, 1] / lawn[:, 1].sum() > 0.4
    for i in range(6):
        children = {j for j in range(6) if i in parents[j]}
        neighbours = set(parents[i]) | children
        blanket = neighbours | {k for j in children for k in parents[j]} - {i}
        for shield in (neighbours, blanket):
            rest = [k for k in range(6) if k != i and k not in shield]
            given = np.moveaxis(table, [i, *sorted(shield), *rest], range(6)).reshape(2, 2 ** len(shield), -1)
            exact, shielded = given / given.sum(0), given.sum(2) / given.sum((0, 2))
            same = np.allclose(exact, shielded[:, :, None])
            assert same == (shield >= blanket)


def largest_table(graph, order):
    """Variables of the largest table that summing out in this order creates."""
    graph, largest = graph.copy(), 0
    for node in order:
        neighbours = list(graph[node])
        largest = max(largest, len(neighbours))
        graph.add_edges_from(itertools.combinations(neighbours, 2))
        graph.remove_node(node)
    return largest


@holds("Why is exact inference hard?")
def check_elimination_orders():
    """A tree needs tables of one variable; k parents of one child are linked, and cost a table over k; a bad order costs more."""
    for parents, width in (
        ([[], [0], [0], [1], [1]], 1),
        ([[], [], [], [], [0, 1, 2, 3]], 4),
        ([[], [0], [1], [0], [2, 3]], 2),
    ):
        moral = networkx.Graph([(a, b) for b, pa in enumerate(parents) for a in pa])
        moral.add_edges_from(pair for pa in parents for pair in itertools.combinations(pa, 2))
        assert min(largest_table(moral, order) for order in itertools.permutations(range(5))) == width
    star = networkx.star_graph(6)
    assert largest_table(star, range(7)) == 6 > largest_table(star, range(6, -1, -1)) == 1


@holds("Naive Bayes, HMM")
def check_special_cases():
    """A star: the features are independent given the class. A chain: the next state ignores all before the last."""
    star = cube([[], [0], [0]], tables([[], [0], [0]]))
    assert all(dependence(star[c]) < 1e-12 for c in (0, 1)) and dependence(star.sum(0)) > 1e-6
    hmm = [[], [0], [0], [2]]  # z1, x1, z2, x2
    table = cube(hmm, tables(hmm))
    assert all(dependence(table.sum(3)[z1]) < 1e-12 for z1 in (0, 1))
    assert all(dependence(table.sum(1)[:, z2]) < 1e-12 for z2 in (0, 1))
