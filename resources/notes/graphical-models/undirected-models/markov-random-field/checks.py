import itertools
import math

import numpy as np
from sklearn.covariance import GraphicalLasso
from sklearn.neural_network import BernoulliRBM

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

PRODUCT = r"p(x) = \frac{1}{Z} \prod_{c} \psi_c(x_c), \qquad Z = \sum_{x} \prod_{c} \psi_c(x_c)"
ISING = r"p(x) = \frac{1}{Z} \exp \left( J \sum_{(i, j) \in \mathcal{E}} x_i x_j + \sum_{i} h_i x_i \right)"
LOCAL = r"P(x_i = 1 \mid x_{-i}) = \sigma \left( 2 \left( J \sum_{j \in \mathcal{N}(i)} x_j + h_i \right) \right)"
sigmoid = lambda v: 1 / (1 + math.exp(-v))


by_definition("Input", "Output", "Parameters", "MRF", "Bayesian network", "HMM", "CRF")
sourced(
    "Lauritzen, Graphical Models (1996), theorem 3.9 and the example of Moussouris after it",
    "What does the Hammersley-Clifford theorem say?",
)


def rbm(visible, hidden):
    model = BernoulliRBM(n_components=hidden, n_iter=2, random_state=0).fit(np.random.randint(0, 2, (20, visible)))
    model.components_ = np.random.randn(hidden, visible)
    model.intercept_visible_, model.intercept_hidden_ = np.random.randn(visible), np.random.randn(hidden)
    return model


def rbm_table(model):
    """p(v, h) of the machine as a product of potentials on edges and nodes, normalised by enumeration."""
    hidden, visible = model.components_.shape
    table = {}
    for v in itertools.product((0, 1), repeat=visible):
        for h in itertools.product((0, 1), repeat=hidden):
            product = 1.0
            for j, i in itertools.product(range(hidden), range(visible)):
                product *= math.exp(model.components_[j, i] * h[j] * v[i])
            for i in range(visible):
                product *= math.exp(model.intercept_visible_[i] * v[i])
            for j in range(hidden):
                product *= math.exp(model.intercept_hidden_[j] * h[j])
            table[v, h] = product
    Z = sum(table.values())
    return {key: value / Z for key, value in table.items()}


@formula(PRODUCT)
def check_product_of_potentials_is_the_rbm_of_scikit_learn():
    """P(h = 1 | v) from the enumerated product equals transform()."""
    for visible, hidden in [(3, 2), (4, 3), (1, 1), (5, 2)]:
        model = rbm(visible, hidden)
        table = rbm_table(model)
        for v in itertools.product((0, 1), repeat=visible):
            here = {h: p for (u, h), p in table.items() if u == v}
            ours = [sum(p for h, p in here.items() if h[j]) / sum(here.values()) for j in range(hidden)]
            np.testing.assert_allclose(ours, model.transform(np.array([v], float))[0], rtol=1e-9)


def ising(J, h, edges):
    states = list(itertools.product((-1, 1), repeat=len(h)))
    weights = np.array(
        [math.exp(J * sum(x[i] * x[j] for i, j in edges) + sum(a * b for a, b in zip(h, x))) for x in states]
    )
    return states, weights / weights.sum(), weights.sum()


@formula(ISING, LOCAL)
def check_ising_conditional_and_ising_as_an_rbm():
    """The conditional from the joint; and a bipartite Ising model in spins equals scikit-learn's machine in bits."""
    for n, edges in [
        (2, [(0, 1)]),
        (4, [(0, 1), (1, 2), (2, 3), (3, 0)]),
        (5, [(0, 1), (0, 2), (0, 3), (3, 4)]),
        (1, []),
    ]:
        J, h = np.random.randn(), np.random.randn(n)
        states, p, _ = ising(J, h, edges)
        probability = dict(zip(states, p))
        for x in states:
            for i in range(n):
                up, down = (probability[x[:i] + (s,) + x[i + 1 :]] for s in (1, -1))
                around = sum(x[b if a == i else a] for a, b in edges if i in (a, b))
                assert math.isclose(up / (up + down), sigmoid(2 * (J * around + h[i])), rel_tol=1e-9)
    J, h, model = 0.7, np.array([0.3, -0.4, 0.2]), rbm(2, 1)
    states, p, _ = ising(J, h, [(0, 2), (1, 2)])
    model.components_ = np.full((1, 2), 4 * J)
    model.intercept_visible_, model.intercept_hidden_ = 2 * h[:2] - 2 * J, np.array([2 * h[2] - 4 * J])
    for x, probability in zip(states, p):
        bits = tuple((s + 1) // 2 for s in x)
        assert math.isclose(rbm_table(model)[bits[:2], bits[2:]], probability, rel_tol=1e-9)


@pitfall('"An MRF is generative, as an HMM is"')
def check_there_is_no_order_to_generate_in():
    """Tables of a directed chain multiply to the joint. Ring potentials normalised one after the other do not; Gibbs sampling does."""
    start, step = np.random.dirichlet(np.ones(2)), np.random.dirichlet(np.ones(2), 2)
    assert math.isclose(np.einsum("a,ab,bc->abc", start, step, step).sum(), 1.0)
    J, h, edges = 1.0, [0.8, -0.3, 0.0, 0.4], [(0, 1), (1, 2), (2, 3), (3, 0)]
    states, p, _ = ising(J, h, edges)
    truth = np.array([sum(q for x, q in zip(states, p) if x[i] == 1) for i in range(4)])
    ordered, gibbs = np.zeros((20_000, 4)), np.ones((20_000, 4))
    for i in range(4):
        before = sum(ordered[:, b if a == i else a] for a, b in edges if i in (a, b) and max(a, b) == i)
        ordered[:, i] = np.where(np.random.rand(20_000) < 1 / (1 + np.exp(-2 * (J * before + h[i]))), 1, -1)
    for i in list(range(4)) * 40:
        around = sum(gibbs[:, b if a == i else a] for a, b in edges if i in (a, b))
        gibbs[:, i] = np.where(np.random.rand(20_000) < 1 / (1 + np.exp(-2 * (J * around + h[i]))), 1, -1)
    off = [np.abs((x > 0).mean(0) - truth).max() for x in (ordered, gibbs)]
    assert off[0] > 0.04 and off[1] < 0.015, off


@check
def check_by_hand():
    states, p, Z = ising(1.0, [0.5, -0.2], [(0, 1)])
    weight = dict(zip(states, p * Z))
    stated("3.669", weight[1, 1])
    stated("0.741", weight[1, -1])
    stated("0.183", weight[-1, 1])
    stated("2.014", weight[-1, -1])
    stated("6.607", Z)
    stated("0.583", (weight[1, 1] + weight[-1, 1]) / Z)
    stated("0.4013", sigmoid(-0.4))


@pitfall("Potentials read as probabilities")
def check_one_potential_is_no_marginal():
    first, second = np.array([[3.0, 1.0], [1.0, 3.0]]), np.array([[5.0, 1.0], [5.0, 1.0]]).T
    product = first[:, :, None] * second[None]  # a chain of three; all tables, then one normaliser
    marginal = (product / product.sum()).sum((1, 2))
    every = {x: first[x[0], x[1]] * second[x[1], x[2]] for x in itertools.product((0, 1), repeat=3)}
    counted = [sum(w for x, w in every.items() if x[0] == s) / sum(every.values()) for s in (0, 1)]
    np.testing.assert_allclose(marginal, counted)
    assert first.max() > 1 and abs((first / first.sum()).sum(1)[0] - marginal[0]) > 0.1
    belief = first @ second.sum(1)  # a product of messages
    assert belief.sum() > 2 and np.allclose(belief / belief.sum(), marginal)


@pitfall("`BernoulliRBM.score_samples` is taken for a log-likelihood")
def check_score_samples_is_a_random_pseudo_likelihood():
    model = rbm(4, 2)
    table = rbm_table(model)
    p = lambda v: sum(q for (u, _), q in table.items() if u == tuple(v))
    v = np.array([1, 0, 1, 1])
    choices = []
    for i in range(4):
        other = v.copy()
        other[i] = 1 - v[i]
        choices.append(4 * math.log(p(v) / (p(v) + p(other))))
    seen = {
        round(float(model.set_params(random_state=seed).score_samples(v[None].astype(float))[0]), 6)
        for seed in range(40)
    }
    assert seen == {round(value, 6) for value in choices} and len(seen) == 4
    calls = lambda seed: {
        float(model.set_params(random_state=seed).score_samples(v[None].astype(float))[0]) for _ in range(60)
    }
    assert len(calls(0)) == 1 < len(calls(None))
    assert all(abs(math.log(p(v)) - value) > 1e-3 for value in choices)
    rows = np.repeat(v[None].astype(float), 20_000, 0)
    mean = model.set_params(random_state=None).score_samples(rows).mean()
    assert abs(mean - np.mean(choices)) < 0.05 * abs(np.mean(choices)) + 0.05
    free = lambda u: (
        u @ model.intercept_visible_ + np.logaddexp(0, model.intercept_hidden_ + model.components_ @ u).sum()
    )
    log_z = np.log(sum(math.exp(free(np.array(u))) for u in itertools.product((0, 1), repeat=4)))
    assert math.isclose(free(v) - log_z, math.log(p(v)), rel_tol=1e-9)


@pitfall("The coupling seems twice as strong")
@holds("What happens if an MRF is conditioned on observations?")
def check_double_counting_and_conditioning():
    J, h, edges = 0.8, [0.3, -0.1, 0.2], [(0, 1), (1, 2)]
    states, p, _ = ising(J, h, edges)
    twice = ising(J, h, edges + [(b, a) for a, b in edges])[1]
    np.testing.assert_allclose(twice, ising(2 * J, h, edges)[1])
    assert np.abs(twice - p).max() > 0.02
    np.testing.assert_allclose(ising(J / 2, h, edges + [(b, a) for a, b in edges])[1], p)
    assert ising(J, [0, 0], [(0, 1)])[1].argmax() in (0, 3) and ising(-J, [0, 0], [(0, 1)])[1].argmax() in (1, 2)
    kept = np.array([q for x, q in zip(states, p) if x[2] == 1])
    np.testing.assert_allclose(kept / kept.sum(), ising(J, [h[0], h[1] + J], [(0, 1)])[1])


@holds("Cost")
def check_sums_by_rows_and_on_a_tree():
    J, m = 0.4, 3
    grid = [(r * m + c, r * m + c + 1) for r in range(m) for c in range(m - 1)] + [(i, i + m) for i in range(m * m - m)]
    h = np.random.randn(m * m)
    states, _, Z = ising(J, h, grid)
    assert len(states) == 2 ** (m * m)
    rows = np.array(list(itertools.product((-1, 1), repeat=m)))
    local = lambda r: np.exp(J * (rows[:, :-1] * rows[:, 1:]).sum(1) + rows @ h[r * m : (r + 1) * m])
    table = local(0)
    for r in range(1, m):
        table = local(r) * (np.exp(J * rows @ rows.T) @ table)
        assert table.size == 2**m
    assert math.isclose(table.sum(), Z, rel_tol=1e-9)
    chain, steps = np.exp(h[0] * np.array([-1, 1])), 0
    for i in range(1, 9):
        chain = np.exp(h[i] * np.array([-1, 1])) * (np.exp(J * np.array([[1, -1], [-1, 1]])) @ chain)
        steps += 1
    assert steps == 9 - 1 and math.isclose(chain.sum(), ising(J, h, [(i, i + 1) for i in range(8)])[2], rel_tol=1e-9)


@holds("Library")
def check_models_of_scikit_learn():
    assert BernoulliRBM(2, n_iter=1).fit(np.random.rand(20, 5)).transform(np.random.rand(4, 5)).shape == (4, 2)
    z = np.random.randn(4000, 3)
    z[:, 1] += 0.7 * z[:, 0]  # variable 2 has no edge
    precision = GraphicalLasso(alpha=0.1).fit(z).precision_
    assert precision[0, 2] == precision[1, 2] == 0 and abs(precision[0, 1]) > 0.1


@holds("How is it trained if $Z$ is intractable?")
def check_gradient_and_pseudo_likelihood():
    edges, h = [(0, 1), (1, 2), (2, 3), (3, 0)], [0.4, -0.2, 0.0, 0.1]
    states, p, _ = ising(0.5, h, edges)
    agree = np.array([sum(x[i] * x[j] for i, j in edges) for x in states])
    seen = np.random.choice(len(states), 4000, p=p)
    likelihood = lambda J: np.log(ising(J, h, edges)[1])[seen].mean()
    slope = (likelihood(0.3 + 1e-5) - likelihood(0.3 - 1e-5)) / 2e-5
    assert math.isclose(slope, agree[seen].mean() - ising(0.3, h, edges)[1] @ agree, rel_tol=1e-5)
    x = np.array(states)[seen]
    around = np.stack([x[:, i - 1] + x[:, (i + 1) % 4] for i in range(4)], 1)
    pseudo = lambda J: -np.log1p(np.exp(-2 * x * (J * around + h))).sum(1).mean()
    best = max(np.linspace(0, 1, 101), key=pseudo)
    assert abs(best - 0.5) < 0.1, best
    J, y = 0.3, x.copy()  # the expectation by Gibbs sampling, from the data
    for i in list(range(4)) * 15:
        field = J * (y[:, i - 1] + y[:, (i + 1) % 4]) + h[i]
        y[:, i] = np.where(np.random.rand(len(y)) < 1 / (1 + np.exp(-2 * field)), 1, -1)
    draws = sum(y[:, i] * y[:, j] for i, j in edges).mean()
    assert abs(draws - ising(J, h, edges)[1] @ agree) < 0.25
