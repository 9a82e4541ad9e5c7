import itertools
import math

import numpy as np
import torch

from note_checks import by_definition, check, formula, holds, pitfall, stated

FAMILY = r"""
p(x) = \prod_{i} p(x_i \mid \mathrm{pa}_i), \qquad p(x) = \frac{1}{Z} \prod_{c} \psi_c(x_c), \qquad p(y \mid x) = \frac{1}{Z(x)} \prod_{c} \psi_c(y_c, x)
"""
MESSAGES = r"""
\mu_{v \to f}(x_v) = \prod_{g \in \mathcal{N}(v) \setminus f} \mu_{g \to v}(x_v), \qquad \mu_{f \to v}(x_v) = \sum_{x_f \setminus x_v} f(x_f) \prod_{u \in \mathcal{N}(f) \setminus v} \mu_{u \to f}(x_u)
"""
BELIEF = r"p(x_v) \propto \prod_{f \in \mathcal{N}(v)} \mu_{f \to v}(x_v)"


by_definition("Three tasks", "Input", "a class and features", "known dependencies", "symmetric relations")
by_definition("a sequence with labels", "hidden variables to learn")


def enumerated(factors, n, K):
    """Joint table of all variables by multiplying every factor, normalised."""
    table = np.zeros((K,) * n)
    for x in itertools.product(range(K), repeat=n):
        table[x] = math.prod(f[tuple(x[v] for v in scope)] for scope, f in factors)
    return table / table.sum()


def beliefs(factors, n, K, rounds):
    """The messages of the article, all updated in every round, starting at 1."""
    to_factor = {(v, k): np.ones(K) for k, (scope, _) in enumerate(factors) for v in scope}
    to_variable = {(k, v): np.ones(K) for v, k in to_factor}
    for _ in range(rounds):
        for k, v in to_variable:
            scope, f = factors[k]
            message = np.zeros(K)
            for x in itertools.product(range(K), repeat=len(scope)):
                message[x[scope.index(v)]] += f[x] * math.prod(
                    to_factor[u, k][x[scope.index(u)]] for u in scope if u != v
                )
            to_variable[k, v] = message / message.sum()
        for v, k in to_factor:
            to_factor[v, k] = np.prod(
                [to_variable[g, u] for g, u in to_variable if u == v and g != k] or [np.ones(K)], axis=0
            )
    result = [np.prod([to_variable[g, u] for g, u in to_variable if u == v], axis=0) for v in range(n)]
    return np.array([b / b.sum() for b in result])


def marginals(table):
    axes = range(table.ndim)
    return np.array([table.sum(tuple(a for a in axes if a != v)) for v in axes])


@formula(MESSAGES, BELIEF)
@holds("Output", "a sequence, states unseen")
def check_sum_product_is_exact_on_trees():
    trees = [
        (2, [(0, 1)]),
        (4, [(0, 1), (1, 2), (1, 3), (3,)]),
        (5, [(0, 1, 2), (2, 3), (3, 4), (0,)]),
        (3, [(0,), (0, 1), (1, 2)]),
    ]
    for n, scopes in trees:
        for K in (2, 3):
            factors = [(scope, np.random.rand(*(K,) * len(scope))) for scope in scopes]
            found = beliefs(factors, n, K, 2 * n + 2)
            np.testing.assert_allclose(found, marginals(enumerated(factors, n, K)), atol=1e-10)
            assert found.shape == (n, K)


@formula(FAMILY)
def check_three_products():
    """Directed product against torch's einsum, undirected against it up to Z, conditional as the slice of a joint."""
    a, b, c = (np.random.dirichlet(np.ones(3), size) for size in ((), (3,), (3,)))
    product = np.array([a[i] * b[i, j] * c[j, k] for i, j, k in itertools.product(range(3), repeat=3)]).reshape(3, 3, 3)
    library = torch.einsum("a,ab,bc->abc", *(torch.tensor(t) for t in (a, b, c))).numpy()
    np.testing.assert_allclose(product, library)
    assert math.isclose(product.sum(), 1.0)
    psi = [((0, 1), np.random.rand(3, 3)), ((1, 2), np.random.rand(3, 3)), ((0, 2), np.random.rand(3, 3))]
    raw = torch.einsum("ab,bc,ac->abc", *(torch.tensor(f) for _, f in psi)).numpy()
    np.testing.assert_allclose(enumerated(psi, 3, 3), raw / raw.sum())
    given = [((0,), psi[2][1][:, 1]), ((0, 1), psi[0][1]), ((1,), psi[1][1][:, 1])]
    np.testing.assert_allclose(enumerated(given, 2, 3), raw[:, :, 1] / raw[:, :, 1].sum())


@holds("Parameters")
def check_by_hand():
    a, b, c = np.array([0.4, 0.6]), np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([[0.7, 0.3], [0.1, 0.9]])
    stated("0.5", (a @ b)[1])
    stated("0.6", (a @ b @ c)[1])
    back = b @ c[:, 1]
    stated("0.72", back[1])
    stated("0.42", back[0])
    stated("0.432", a[1] * back[1])
    assert math.isclose((a * back)[1] / (a * back).sum(), 0.72)
    stated("1,023", 2**10 - 1)
    stated("19", 1 + 9 * 2)


@pitfall('"Directed means generative, undirected means discriminative"')
def check_the_two_axes_are_independent():
    """A maximum entropy Markov model needs no Z and has no p(x); an MRF has p(x), and its slice is p(y | x)."""
    start, step = np.random.dirichlet(np.ones(2), 3), np.random.dirichlet(np.ones(2), (3, 2))  # given x
    paths = list(itertools.product(range(2), repeat=3))
    memm = lambda x: [start[x[0], y[0]] * math.prod(step[x[t], y[t - 1], y[t]] for t in (1, 2)) for y in paths]
    for x in itertools.product(range(3), repeat=3):
        assert math.isclose(sum(memm(x)), 1.0)
    mrf = enumerated(
        [((0, 1), np.random.rand(2, 2)), ((1, 2), np.random.rand(2, 2)), ((0, 2), np.random.rand(2, 2))], 3, 2
    )
    p_x = mrf.sum(0)
    assert math.isclose(p_x.sum(), 1.0) and np.ptp(p_x) > 0.01 and np.allclose((mrf / p_x).sum(0), 1.0)


@pitfall("Marginals do not sum to 1")
def check_products_of_messages_are_unnormalised():
    chain = np.random.rand(400, 2, 2).astype(np.float32)
    raw, table = chain[0].sum(0) * chain[1].sum(1), np.einsum("ab,bc->abc", chain[0], chain[1])
    assert abs(raw.sum() - 1) > 0.1
    np.testing.assert_allclose(raw / raw.sum(), (table / table.sum()).sum((0, 2)), rtol=1e-5)
    lost = kept = np.ones(2, np.float32)
    for f in chain * np.float32(0.1):
        lost, kept = lost @ f, (kept @ f) / (kept @ f).sum()
    assert lost.sum() == 0 and abs(kept.sum() - 1) < 1e-5


@check
def check_max_product_needs_a_unique_best_configuration():
    """Each variable takes the best value of its own max-marginal; a tie can mix two best configurations."""
    differ = np.array([[1.0, 3.0], [3.0, 1.0]])
    for pair, right in ((differ, False), (np.array([[1.0, 2.0], [3.0, 1.0]]), True)):
        table = np.einsum("ab,bc->abc", pair, np.array([[1.0, 2.0], [4.0, 1.0]]) if right else differ)
        chosen = tuple(int(table.max(tuple(a for a in range(3) if a != v)).argmax()) for v in range(3))
        assert (table[chosen] == table.max()) == right and ((table == table.max()).sum() == 1) == right


@pitfall("Belief propagation is trusted on a graph with loops")
def check_loops_make_belief_propagation_too_sure():
    """A ring of three that agrees, with a weak hint on one node; four nodes that want to differ, all linked."""
    agree, hint = np.array([[3.0, 1.0], [1.0, 3.0]]), np.array([0.6, 0.4])
    factors = [((0, 1), agree), ((1, 2), agree), ((0, 2), agree), ((0,), hint)]
    exact, loopy = marginals(enumerated(factors, 3, 2)), beliefs(factors, 3, 2, 200)
    assert (loopy[:, 0] - exact[:, 0] > 0.015).all(), (loopy, exact)
    one_clique = [((0, 1, 2), np.einsum("ab,bc,ac->abc", agree, agree, agree)), ((0,), hint)]
    np.testing.assert_allclose(beliefs(one_clique, 3, 2, 8), exact, atol=1e-12)
    states = np.random.randint(0, 2, (40_000, 3))  # that many Gibbs chains
    for _ in range(30):
        for v in range(3):
            p = np.prod([agree[states[:, u]] for u in range(3) if u != v], axis=0) * (hint if v == 0 else 1)
            states[:, v] = np.random.rand(len(states)) > p[:, 0] / p.sum(1)
    assert np.abs((states == 0).mean(0) - exact[:, 0]).max() < 0.01
    stuck = np.array(
        [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    )  # under strong agreement a chain stays where it began: from one start two agree
    for v in list(range(3)) * 300:
        p = np.prod([np.where(stuck[:, [u]] == [0, 1], 1e5, 1) for u in range(3) if u != v], axis=0)
        stuck[:, v] = np.random.rand(3) > p[:, 0] / p.sum(1)
    assert (stuck[:2] == 0).all() and (stuck[2] == 1).all()
    for strength, start in itertools.product((1.5, 2, 3, 9), (0.9, 0.5, 0.2)):
        agree = np.array([[strength, 1.0], [1.0, strength]])
        loopy = beliefs([((0, 1), agree), ((1, 2), agree), ((0, 2), agree), ((0,), hint)], 3, 2, 200)
        q = np.full((3, 2), [start, 1 - start])
        for _ in range(300):
            before = q.copy()
            for v in range(3):
                q[v] = np.exp(sum(np.log(agree) @ q[u] for u in range(3) if u != v)) * (hint if v == 0 else 1)
                q[v] /= q[v].sum()
        again = beliefs([((0, 1), agree), ((1, 2), agree), ((0, 2), agree), ((0,), hint)], 3, 2, 201)
        assert np.abs(again - loopy).max() < 1e-6  # one loop: it converges
        assert np.abs(q - before).max() < 1e-6 and (q.max(1) - loopy.max(1) > 0.003).all(), (q, loopy)
    differ = [(pair, np.array([[1.0, 9.0], [9.0, 1.0]])) for pair in itertools.combinations(range(4), 2)] + [
        ((0,), hint)
    ]
    assert np.abs(beliefs(differ, 4, 2, 200) - beliefs(differ, 4, 2, 201)).max() > 0.1


@pitfall("An edge is read as proof of dependence")
@holds("What is lost when arrows are dropped?")
def check_edge_without_dependence_and_lost_independence():
    linked = np.array([[0.3, 0.7], [0.3, 0.7]]) * np.array([0.4, 0.6])[:, None]
    np.testing.assert_allclose(linked, np.outer(linked.sum(1), linked.sum(0)))
    chain = np.einsum(
        "a,ab,bc->abc", [0.4, 0.6], np.random.dirichlet(np.ones(2), 2), np.random.dirichlet(np.ones(2), 2)
    )
    for given in (chain[:, b] / chain[:, b].sum() for b in (0, 1)):  # no edge from A to C
        np.testing.assert_allclose(given, np.outer(given.sum(1), given.sum(0)))
    collider = np.einsum("a,b,abc->abc", [0.4, 0.6], [0.3, 0.7], np.random.dirichlet(np.ones(2), (2, 2)))
    pair = collider.sum(2)
    np.testing.assert_allclose(pair, np.outer(pair.sum(1), pair.sum(0)))
    seen = collider[:, :, 0] / collider[:, :, 0].sum()
    assert np.abs(seen - np.outer(seen.sum(1), seen.sum(0))).max() > 1e-3


@holds("Cost", "Why is inference on a tree cheap?")
def check_one_message_per_edge():
    """A random tree: n - 1 messages of K * K products give the root's marginal; a message replaces a side."""
    n, K, products = 7, 3, 0
    parents = [None] + [np.random.randint(i) for i in range(1, n)]
    factors = [((parents[i], i), np.random.rand(K, K)) for i in range(1, n)]
    arrived = [np.ones(K) for _ in range(n)]
    for (parent, child), table in reversed(factors):
        arrived[parent] *= table @ arrived[child]
        products += table.size
    exact = marginals(enumerated(factors, n, K))
    np.testing.assert_allclose(arrived[0] / arrived[0].sum(), exact[0])
    assert products == (n - 1) * K**2
    left, right, far = np.random.rand(K, K), np.random.rand(K, K), np.random.rand(K, K)
    whole = marginals(enumerated([((0, 1), left), ((1, 2), right), ((2, 3), far)], 4, K))
    short = marginals(enumerated([((0, 1), left), ((1,), right @ far.sum(1))], 2, K))
    np.testing.assert_allclose(whole[:2], short)


def independences(n, edges, directed):
    """Every (i, j, S) the graph asserts: i and j separated by S, in the moral graph of the ancestors if directed."""
    found = set()
    for i, j in itertools.combinations(range(n), 2):
        others = [v for v in range(n) if v not in (i, j)]
        for S in itertools.chain.from_iterable(itertools.combinations(others, r) for r in range(len(others) + 1)):
            kept, links = set(range(n)), {frozenset(e) for e in edges}
            if directed:
                kept = {i, j, *S}
                for _ in range(n):
                    kept |= {a for a, b in edges if b in kept}
                inside = [(a, b) for a, b in edges if b in kept]
                links = {frozenset(e) for e in inside}
                links |= {frozenset((a, c)) for a, b in inside for c, d in inside if b == d and a != c}
            reached = {i}
            for _ in range(n):
                reached |= {v for v in kept - set(S) if any(frozenset((u, v)) in links for u in reached)}
            if j not in reached:
                found.add((i, j, S))
    return found


@holds("Can each kind express what the other can?")
def check_collider_and_ring():
    table = np.random.dirichlet(np.ones(8)).reshape(2, 2, 2)  # any distribution: the chain rule, or one clique
    chain = [table.sum((1, 2)), table.sum(2) / table.sum((1, 2))[:, None], table / table.sum(2)[..., None]]
    np.testing.assert_allclose(np.einsum("a,ab,abc->abc", *chain), table)
    pairs = list(itertools.combinations(range(3), 2))
    undirected = [independences(3, e, False) for r in range(4) for e in itertools.combinations(pairs, r)]
    collider, straight = independences(3, [(0, 2), (1, 2)], True), independences(3, [(0, 2), (2, 1)], True)
    assert collider == {(0, 1, ())} and collider not in undirected and straight in undirected
    ring = independences(4, [(0, 1), (1, 2), (2, 3), (3, 0)], False)
    assert ring == {(0, 2, (1, 3)), (1, 3, (0, 2))}
    pairs, acyclic = list(itertools.combinations(range(4), 2)), 0
    for kinds in itertools.product((0, 1, 2), repeat=6):
        edges = [(a, b) if kind == 1 else (b, a) for (a, b), kind in zip(pairs, kinds) if kind]
        if any(all(order.index(a) < order.index(b) for a, b in edges) for order in itertools.permutations(range(4))):
            acyclic += 1
            assert len(edges) != 4 or independences(4, edges, True) != ring  # equal sets need edges at the same pairs
    assert acyclic == 543
