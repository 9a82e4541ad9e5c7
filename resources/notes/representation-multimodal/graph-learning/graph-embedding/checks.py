import math

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

STEP = r"""
P(x \mid v, t) = \frac{\alpha_{tx}\, w_{vx}}{\sum_{y \in \mathcal{N}(v)} \alpha_{ty}\, w_{vy}}, \qquad
\alpha_{tx} = \begin{cases} 1/p & d_{tx} = 0 \\ 1 & d_{tx} = 1 \\ 1/q & d_{tx} = 2 \end{cases}
"""
SKIP_GRAM = r"\ell = -\ln \sigma\left( z_u^\top c_v \right) - \sum_{j=1}^{b} \ln \sigma\left( -z_u^\top c_{n_j} \right)"
OPTIMUM = r"""
z_u^\top c_v = \ln \left( \frac{\mathrm{vol}}{b\, T} \sum_{r=1}^{T} \left( D^{-1} A \right)^r_{uv} \frac{1}{d_v} \right), \qquad \mathrm{vol} = \sum_w d_w
"""
by_definition("Input", "Output", "Same in train and eval?", "GNN")
sourced("PyTorch Geometric documentation of Node2Vec: p=1.0, q=1.0", "Defaults")
sourced(
    "DeepWalk, arXiv 1403.6652 (truncated walks as sentences) and node2vec, arXiv 1607.00653, abstracts",
    "DeepWalk",
    "node2vec",
    "What does word2vec have to do with it?",
)
sourced("LINE, arXiv 1503.03578: first-order proximity by edges, second-order by shared neighbours", "LINE")
sourced("GraphSAGE, arXiv 1706.02216, abstract: unseen nodes from features", "What about a node added later?")
KITE = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]], dtype=float)


def next_step(A, t, v, p, q):
    """Probabilities of the next node after t → v, as the article writes them."""
    alpha = [1 / p if x == t else 1.0 if A[t, x] else 1 / q for x in range(len(A))]
    weights = np.array(alpha) * A[v]
    return weights / weights.sum()


# verified: formula-only (node2vec's walk is in no installed library); sampled by rejection, the way fast implementations draw it
@formula(STEP)
def check_node2vec_step():
    torch.manual_seed(0)
    A = np.array([[0, 2, 1, 0, 0], [2, 0, 1, 3, 0], [1, 1, 0, 1, 2], [0, 3, 1, 0, 1], [0, 0, 2, 1, 0]], dtype=float)
    for p, q in ((4.0, 0.5), (0.25, 2.0), (1.0, 1.0)):
        t, v, n = 1, 2, 200_000
        candidates = torch.multinomial(torch.tensor(A[v]), n, replacement=True)
        bound = max(1 / p, 1.0, 1 / q)
        near = torch.tensor(A[t] > 0)[candidates]
        accept = torch.where(candidates == t, 1 / p, torch.where(near, 1.0, 1 / q)) / bound
        kept = candidates[torch.rand(n) < accept]
        found = torch.bincount(kept, minlength=5) / len(kept)
        np.testing.assert_allclose(next_step(A, t, v, p, q), found.numpy(), atol=0.008)


@formula(SKIP_GRAM)
def check_skip_gram_loss():
    for b, d in ((1, 3), (5, 8)):
        z, c, noise = (
            torch.randn(d, dtype=torch.float64),
            torch.randn(d, dtype=torch.float64),
            torch.randn(b, d, dtype=torch.float64),
        )
        sigma = lambda a: 1 / (1 + math.exp(-a))
        ours = -math.log(sigma(float(z.numpy() @ c.numpy()))) - sum(
            math.log(sigma(-float(z.numpy() @ row.numpy()))) for row in noise
        )
        logits = torch.cat([(z @ c)[None], noise @ z])
        labels = torch.tensor([1.0] + [0.0] * b, dtype=torch.float64)
        np.testing.assert_allclose(
            ours, F.binary_cross_entropy_with_logits(logits, labels, reduction="sum").item(), rtol=1e-9
        )


def target(A, T, b):
    d = A.sum(1)
    P = A / d[:, None]
    total = sum(np.linalg.matrix_power(P, r) for r in range(1, T + 1))
    with np.errstate(divide="ignore"):
        return np.log(d.sum() / (b * T) * total / d[None])


@formula(OPTIMUM)
def check_optimum():
    """The expected loss over all pairs of a stationary walk has gradient zero at the stated matrix."""
    torch.manual_seed(0)
    for A, T, b in (
        (KITE, 3, 1),
        (KITE, 2, 5),
        (np.ones((5, 5)) - np.eye(5) + np.diag([1.0, 0, 0, 0], 1) + np.diag([1.0, 0, 0, 0], -1), 2, 3),
    ):
        d = A.sum(1)
        visits = d / d.sum()
        joint = sum(visits[:, None] * np.linalg.matrix_power(A / d[:, None], r) for r in range(1, T + 1)) / T
        assert (joint > 0).all()
        x = torch.tensor(target(A, T, b), requires_grad=True)
        loss = (
            -(torch.tensor(joint) * F.logsigmoid(x)).sum()
            - b * (torch.tensor(np.outer(visits, visits)) * F.logsigmoid(-x)).sum()
        )
        gradient = torch.autograd.grad(loss, x)[0]
        assert gradient.abs().max() < 1e-12


@holds("Parameters", "Defaults", "DeepWalk")
def check_by_hand():
    for text, value in zip(("0.3077", "0.0769", "0.6154"), next_step(KITE, 1, 2, 4.0, 0.5)[[0, 1, 3]]):
        stated(text, value)
    np.testing.assert_allclose(next_step(KITE, 1, 2, 1.0, 1.0), [1 / 3, 1 / 3, 0, 1 / 3])
    P = KITE / KITE.sum(1, keepdims=True)
    visits = np.linalg.matrix_power(P, 1000)[0]
    for text, value in zip(("0.25", "0.25", "0.375", "0.125"), visits):
        stated(text, value)
    stated("0.9808", target(KITE, 1, 1)[2, 3])
    stated("0.6931", target(KITE, 1, 1)[0, 1])
    stated("128,000,000", 1_000_000 * 128)


@pitfall("node2vec behaves like DeepWalk whatever p and q are")
def check_a_small_graph_shows_whether_p_and_q_are_read():
    """The test on a walker that resets p and q as the old torch-cluster did, and on one that reads them."""

    def frequencies(p, q, reset):
        if reset:
            p = q = 1.0
        chances = torch.tensor(next_step(KITE, 1, 2, p, q))
        return torch.bincount(torch.multinomial(chances, 20_000, replacement=True), minlength=4) / 20_000

    for reset in (True, False):
        gap = (frequencies(4.0, 0.5, reset) - frequencies(1.0, 1.0, reset)).abs().max()
        assert gap < 0.02 if reset else gap > 0.2


@pitfall("Raising q does not explore further")
@holds("node2vec")
def check_small_q_goes_outward():
    rng = np.random.default_rng(0)
    moves = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)])

    def distance_and_returns(p, q, walks=1000):
        """Walks of 30 steps on an endless grid with 8 neighbours: how far they get, and how often straight back."""
        here = np.zeros((walks, 2), int)
        before, back = here - moves[rng.integers(8, size=walks)], 0
        for _ in range(30):
            options = here[:, None] + moves
            gap = np.abs(options - before[:, None]).max(2)
            weights = np.where(gap == 0, 1 / p, np.where(gap == 1, 1.0, 1 / q))
            chosen = (weights.cumsum(1) > rng.random(walks)[:, None] * weights.sum(1, keepdims=True)).argmax(1)
            after = options[np.arange(walks), chosen]
            back += (after == before).all(1).mean() / 30
            before, here = here, after
        return np.abs(here).max(1).mean(), back

    plain, raised, lowered = (distance_and_returns(1.0, q)[0] for q in (1.0, 4.0, 0.25))
    assert raised < 0.9 * plain < plain < 0.9 * lowered, (raised, plain, lowered)
    assert distance_and_returns(10.0, 1.0)[1] < 0.5 * distance_and_returns(1.0, 1.0)[1]


@pitfall("Edge weights make no difference")
def check_neighbours_are_drawn_by_weight():
    A = torch.tensor([[0.0, 9.0, 1.0], [9.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    start = torch.zeros(20_000, dtype=torch.long)
    share = lambda table: (torch.multinomial(table[start], 1) == 1).float().mean().item()
    assert abs(share((A > 0).float()) - 0.5) < 0.02 and abs(share(A) - 0.9) < 0.02


def trained(A, seed, d=8, starts=None):
    """Two tables by the code of the article, with smaller batches."""
    torch.manual_seed(seed)
    n = len(A)
    walk = [(torch.arange(n) if starts is None else starts).repeat(10)]
    for _ in range(19):
        walk.append(torch.multinomial(A[walk[-1]], 1).squeeze(1))
    walk = torch.stack(walk, dim=1)
    steps = [(i, i + r) for r in (1, 2, 3) for i in range(20 - r)]
    pairs = torch.cat([torch.stack([walk[:, i], walk[:, j]]) for i, j in steps], dim=1)
    z, c = (torch.randn(n, d).mul(0.1).requires_grad_() for _ in range(2))
    optimizer = torch.optim.Adam([z, c], 0.02)
    for _ in range(150):
        u, v = pairs[:, torch.randint(pairs.shape[1], (1024,))]
        noise = walk.flatten()[torch.randint(walk.numel(), (1024, 5))]
        loss = -F.logsigmoid((z[u] * c[v]).sum(1)) - F.logsigmoid(-(z[u, None] * c[noise]).sum(2)).sum(1)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    return z.detach(), c.detach()


@pitfall("Vectors of two runs do not match")
def check_similarities_match_and_vectors_only_after_a_rotation():
    torch.manual_seed(0)
    label = torch.arange(90) // 30
    upper = torch.bernoulli(torch.where(label[:, None] == label, 0.3, 0.02)).triu(1)
    first, second = (trained(upper + upper.T, seed)[0] for seed in (1, 2))
    assert F.cosine_similarity(first, second).mean() < 0.4
    left, _, right = torch.linalg.svd(first.T @ second)
    assert F.cosine_similarity(first @ left @ right, second).mean() > 0.8
    one, two = (F.normalize(z, dim=1) @ F.normalize(z, dim=1).T for z in (first, second))
    i, j = torch.triu_indices(90, 90, 1)
    assert torch.corrcoef(torch.stack([one[i, j], two[i, j]]))[0, 1] > 0.8
    ranks = torch.stack([one[i, j].argsort().argsort(), two[i, j].argsort().argsort()]).double()
    assert torch.corrcoef(ranks)[0, 1] > 0.8
    upper = torch.bernoulli(torch.full((90, 90), 0.1)).triu(1)  # no communities: a rough agreement
    one, two = (F.normalize(trained(upper + upper.T, seed)[0], dim=1) for seed in (1, 2))
    weak = torch.corrcoef(torch.stack([(one @ one.T)[i, j], (two @ two.T)[i, j]]))[0, 1]
    assert 0.05 < weak < 0.7, weak


@pitfall("Link prediction looks too good")
def check_edges_by_chance_cannot_be_predicted():
    upper = torch.bernoulli(torch.full((100, 100), 0.1)).triu(1)
    A, edges = upper + upper.T, upper.nonzero()
    test = edges[torch.randperm(len(edges))[: len(edges) // 5]]
    none = (A + torch.eye(100) == 0).triu(1).nonzero()
    none = none[torch.randperm(len(none))[: len(test)]]
    rest = A.clone()
    rest[test[:, 0], test[:, 1]] = rest[test[:, 1], test[:, 0]] = 0
    scores = {}
    for name, graph in (("leaked", A), ("removed", rest)):
        z, c = trained(graph, 0, d=16)
        both = torch.cat([test, none])
        score = (z[both[:, 0]] * c[both[:, 1]] + z[both[:, 1]] * c[both[:, 0]]).sum(1)
        scores[name] = roc_auc_score([1] * len(test) + [0] * len(none), score)
    assert scores["leaked"] > 0.85 and scores["removed"] < 0.7, scores
    rest[0] = rest[:, 0] = 0  # all edges of node 0 were test edges
    raises(RuntimeError, lambda: trained(rest, 0), "invalid multinomial distribution")
    z, _ = trained(rest, 0, starts=rest.sum(1).nonzero().squeeze(1))
    assert z.isfinite().all() and z[0].abs().max() < 0.6  # untrained


@holds("Do two distant hubs get similar vectors?")
def check_distant_hubs_are_not_alike():
    """Two stars of ten leaves, joined by a path: DeepWalk's matrix, factorized."""
    edges = [(hub, 2 + 10 * hub + leaf) for hub in (0, 1) for leaf in range(10)]
    chain = [0, *range(22, 30), 1]
    A = np.zeros((30, 30))
    for i, j in edges + list(zip(chain, chain[1:])):
        A[i, j] = A[j, i] = 1
    vectors, values, _ = np.linalg.svd(np.maximum(target(A, 3, 1), math.log(0.01)))
    z = vectors[:, :8] * np.sqrt(values[:8])
    alike = lambda i, j: z[i] @ z[j] / np.linalg.norm(z[i]) / np.linalg.norm(z[j])
    assert alike(0, 1) < 0.1 and alike(0, 2) > 0.7
    assert A.sum(1)[0] == A.sum(1)[1] == 11 > 3 * np.sort(A.sum(1))[-3]  # the degree does show the role


@holds("Why does the loss have negatives?")
def check_rotation_and_no_negatives():
    z, c = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
    assert torch.allclose(z @ c.T, (z @ rotation) @ (c @ rotation).T) and not torch.allclose(z, z @ rotation, atol=0.1)
    one = F.normalize(torch.randn(4, dtype=torch.float64), dim=0)
    without, with_negatives = [], []
    for length in (1.0, 2.0, 3.0):
        score = (z * 0 + length * one) @ (c * 0 + length * one).T  # every vector the same
        without.append(-F.logsigmoid(score).mean().item())
        with_negatives.append((-F.logsigmoid(score) - F.logsigmoid(-score)).mean().item())
    assert without[0] > without[1] > without[2] and with_negatives[0] < with_negatives[1] < with_negatives[2]


@holds("Cost")
def check_number_of_pairs():
    for walks, length, window in ((10, 400, 3), (7, 600, 5)):
        walk = torch.randint(90, (walks, length))
        steps = [(i, i + r) for r in range(1, window + 1) for i in range(length - r)]
        pairs = torch.cat([torch.stack([walk[:, i], walk[:, j]]) for i, j in steps], dim=1)
        assert 0.98 < pairs.shape[1] / (walks * length * window) <= 1
    for negatives, d in ((1, 4), (5, 16)):
        z, c, noise = torch.randn(d), torch.randn(d), torch.randn(negatives, d)
        assert torch.cat([(z @ c)[None], noise @ z]).shape == (1 + negatives,)


def communities(seed):
    rng = np.random.default_rng(seed)
    label = np.arange(90) // 30
    upper = np.triu(rng.random((90, 90)) < np.where(label[:, None] == label, 0.3, 0.02), 1)
    return (upper | upper.T).astype(float), label


def factorized(A, d=8):
    left, values, _ = np.linalg.svd(np.maximum(target(A, 3, 1), math.log(0.01)))
    return left[:, :d] * np.sqrt(values[:d])


@holds("Factorizing the matrix (SVD)", "What about a node added later?")
def check_factorization_and_a_late_node():
    right = []
    for seed in range(3):
        A, label = communities(seed)
        matrix = target(A, 3, 1)
        assert matrix.shape == (90, 90) and np.array_equal(factorized(A), factorized(A))
        for late in (5, 40, 80):  # a node that comes later: its neighbours' mean is near its community
            rest = np.delete(np.arange(90), late)
            z = factorized(A[np.ix_(rest, rest)])
            assert len(z) == 89
            start = z[A[late, rest] > 0].mean(0)
            nearest = np.argsort(-(z @ start) / np.linalg.norm(z, axis=1))[:10]
            right.append((label[rest][nearest] == label[late]).mean())
    assert np.mean(right) > 0.8, right
