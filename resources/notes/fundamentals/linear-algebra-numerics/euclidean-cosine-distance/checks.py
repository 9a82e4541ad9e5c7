import math

import numpy as np
import torch
from scipy.spatial.distance import cityblock, cosine, euclidean, mahalanobis
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

by_definition("Cost")
sourced("Vaswani et al. 2017, Attention is all you need, section 3.2.1", "Dot product")

DEFINITIONS = r"""
d(a, b) = \lVert a - b \rVert_2 = \sqrt{\sum_{i=1}^{D} (a_i - b_i)^2}, \qquad
\cos(a, b) = \frac{a^\top b}{\lVert a \rVert_2 \, \lVert b \rVert_2}
"""
EXPANDED = r"\lVert a - b \rVert_2^2 = \lVert a \rVert_2^2 + \lVert b \rVert_2^2 - 2\, a^\top b"
SPHERE = r"\lVert \hat{a} - \hat{b} \rVert_2^2 = 2 - 2 \cos(a, b)"


def pairs():
    for D in (1, 2, 5, 300):
        a, b = np.random.randn(2, D) * 3 + 1
        yield a, b
        yield a, -2.5 * a


@formula(DEFINITIONS)
def check_definitions():
    for a, b in pairs():
        d, c = math.sqrt(((a - b) ** 2).sum()), (a @ b) / math.sqrt((a @ a) * (b @ b))
        ta, tb = torch.tensor(a), torch.tensor(b)
        for value in (
            euclidean(a, b),
            torch.cdist(ta[None], tb[None]).item(),
            euclidean_distances([a], [b])[0, 0],
            torch.dist(ta, tb).item(),
        ):
            assert math.isclose(value, d, rel_tol=1e-9)
        for value in (1 - cosine(a, b), F.cosine_similarity(ta, tb, dim=0).item(), cosine_similarity([a], [b])[0, 0]):
            assert math.isclose(value, c, rel_tol=1e-9, abs_tol=1e-12)
        assert -1 - 1e-12 <= c <= 1 + 1e-12


@formula(EXPANDED)
def check_expanded():
    for a, b in pairs():
        assert math.isclose(a @ a + b @ b - 2 * a @ b, euclidean(a, b) ** 2, rel_tol=1e-9)


@formula(SPHERE)
def check_sphere():
    for a, b in pairs():
        ta, tb = F.normalize(torch.tensor(a), dim=0), F.normalize(torch.tensor(b), dim=0)
        assert math.isclose(
            (ta - tb).square().sum().item(),
            2 - 2 * F.cosine_similarity(torch.tensor(a), torch.tensor(b), dim=0).item(),
            abs_tol=1e-9,
        )
    x, y = (F.normalize(torch.randn(30, 6, dtype=torch.float64), dim=1) for _ in range(2))
    assert (torch.cdist(x, y).argsort(1) == (-(x @ y.T)).argsort(1)).all()


@check
def check_by_hand():
    a, b, c = np.array([3.0, 4.0]), np.array([6.0, 8.0]), np.array([4.0, 3.0])
    assert euclidean(a, b) == 5 and math.isclose(1 - cosine(a, b), 1)
    stated("1.4142", euclidean(a, c))
    stated("0.96", 1 - cosine(a, c))
    stated("0.08", euclidean(a / 5, c / 5) ** 2)


@holds(
    "`F.cosine_similarity(x1, x2)`",
    "`F.pairwise_distance(x1, x2)`",
    "`torch.cdist(x1, x2)`",
    "`scipy.spatial.distance.cosine`",
)
def check_contract():
    x = torch.randn(4, 6)
    raises(ValueError, lambda: cosine(x.numpy(), x.numpy()), "1-D")
    raises(
        RuntimeError,
        lambda: F.cosine_similarity(torch.ones(3, dtype=torch.long), torch.ones(3, dtype=torch.long), dim=0),
        "floating",
    )
    assert (
        F.cosine_similarity(x[:, None], x[None, :3], dim=-1).shape == (4, 3)
        and F.cosine_similarity(x[0], x[1], dim=-1).shape == ()
    )
    assert torch.allclose(torch.cdist(x, x[:3], p=2.0), torch.cdist(x, x[:3]))
    assert F.cosine_similarity(x, x).shape == (4,) and F.cosine_similarity(
        torch.randn(4, 6, 3), torch.randn(4, 6, 3)
    ).shape == (4, 3)
    raises(IndexError, lambda: F.cosine_similarity(x[0], x[1]))
    assert F.pairwise_distance(x, x).shape == (4,) and F.pairwise_distance(x[0], x[1]).shape == ()
    assert torch.cdist(torch.randn(2, 4, 6), torch.randn(2, 5, 6)).shape == (2, 4, 5) and torch.cdist(
        x, x[:3]
    ).shape == (4, 3)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        zero = F.cosine_similarity(torch.zeros(3, dtype=dtype), torch.ones(3, dtype=dtype), dim=0)
        assert zero.isnan() if dtype == torch.float16 else zero == 0
    many = torch.randn(10000, 7)
    own = F.cosine_similarity(many, many)
    assert 1 < own.max() < 1 + 1e-6 and torch.isnan(own.acos()).any() and torch.isfinite(own.clamp(-1, 1).acos()).all()
    tiny = torch.tensor([1e-9, 0.0])
    assert math.isclose(F.cosine_similarity(tiny, tiny, dim=0).item(), (1e-9 / 1e-8) ** 2, rel_tol=1e-4)
    assert math.isclose(cosine([1.0, 0.0], [-1.0, 0.0]), 2)
    model = torch.nn.CosineSimilarity(), torch.nn.PairwiseDistance()
    assert (model[0].dim, model[0].eps, model[1].norm, model[1].eps) == (1, 1e-8, 2.0, 1e-6)


@pitfall("`cdist` is inaccurate for points far from the origin")
def check_cancellation():
    p, q = torch.tensor([[512695.0]]), torch.tensor([[512804.0]])
    exact = torch.cdist(p, q, compute_mode="donot_use_mm_for_euclid_dist").item()
    stated("109", exact)
    assert abs(torch.cdist(p, q, compute_mode="use_mm_for_euclid_dist").item() - exact) > 1
    far = torch.randn(60, 3) + 1000
    truth = torch.cdist(far.double(), far.double(), compute_mode="donot_use_mm_for_euclid_dist")
    error = lambda values: (values.double() - truth).abs().max().item()
    assert error(torch.cdist(far, far)) > 10 * error(torch.cdist(far, far, compute_mode="donot_use_mm_for_euclid_dist"))
    several = torch.cat([p, q]).repeat(13, 1)
    assert torch.cdist(several, several)[0, 1] != exact
    others = several[:7] + 3
    common = several.mean(0)
    assert torch.allclose(
        torch.cdist(several - common, others - common), torch.cdist(several.double(), others.double()).float()
    )
    assert not torch.allclose(
        torch.cdist(several - common, others - others.mean(0)), torch.cdist(several.double(), others.double()).float()
    )
    centred = several - several.mean(0)
    for value in (torch.cdist(centred, centred), torch.cdist(several.double(), several.double())):
        assert math.isclose(value[0, 1].item(), exact, rel_tol=1e-6)
    assert torch.cdist(several, several, compute_mode="donot_use_mm_for_euclid_dist")[0, 1] == exact
    apart = torch.cat([torch.randn(40, 3), torch.randn(40, 3) + 5000])  # two groups: one mean lies far from both
    truth, common = (
        torch.cdist(apart.double(), apart.double(), compute_mode="donot_use_mm_for_euclid_dist"),
        apart.mean(0),
    )
    assert (
        error(torch.cdist(apart - common, apart - common))
        > 0.5
        > 0.01
        > error(torch.cdist(apart.double(), apart.double()))
    )
    assert error(torch.cdist(apart, apart, compute_mode="donot_use_mm_for_euclid_dist")) < 0.01
    small = torch.cdist(far[:25], far[:25])
    assert torch.equal(small, torch.cdist(far[:25], far[:25], compute_mode="donot_use_mm_for_euclid_dist"))


@pitfall("The distance of a vector to itself is not 0")
def check_distance_to_itself():
    for D in (3, 100):
        x = torch.randn(2, D, dtype=torch.float64)
        assert torch.allclose(
            F.pairwise_distance(x, x), torch.full((2,), 1e-6 * math.sqrt(D), dtype=torch.float64), rtol=1e-3
        )
        assert (F.pairwise_distance(x, x, eps=0) == 0).all() and (torch.linalg.vector_norm(x - x, dim=-1) == 0).all()
        rows = torch.randn(60, D) + 100
        assert torch.cdist(rows, rows).diag().max() > 1e-3
        assert torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").diag().max() == 0


@pitfall("NaN gradients when two points coincide")
def check_gradient_at_zero():
    for distance, fine in (
        (lambda a, b: ((a - b) ** 2).sum().sqrt(), False),
        (lambda a, b: ((a - b) ** 2).sum(), True),
        (lambda a, b: torch.linalg.vector_norm(a - b), True),
        (lambda a, b: F.pairwise_distance(a, b), True),
        (lambda a, b: F.pairwise_distance(a, b, eps=0), True),
    ):
        a = torch.ones(3, requires_grad=True)
        distance(a, torch.ones(3)).backward()
        assert torch.isfinite(a.grad).all() == fine
    a = torch.ones(3, requires_grad=True)
    torch.linalg.vector_norm(a - 1).backward()
    assert (a.grad == 0).all()


@pitfall("Similarity used as a distance, or the reverse")
def check_similarity_is_no_distance():
    query, points = np.random.randn(1, 8), np.random.randn(20, 8)
    similarity, distance = cosine_similarity(query, points)[0], np.array([cosine(query[0], point) for point in points])
    assert similarity.argmin() == distance.argmax() and similarity.argmax() == distance.argmin()
    assert abs(cosine(query[0], query[0])) < 1e-12 and math.isclose(cosine_similarity(query, query)[0, 0], 1)
    own = torch.tensor(query[0])
    assert math.isclose(F.cosine_similarity(own, own, dim=0).item(), 1)


@check
def check_triangle_inequality():
    a, b, c = ([math.cos(t), math.sin(t)] for t in (0.0, 0.5, 1.0))
    assert cosine(a, c) > cosine(a, b) + cosine(b, c) + 0.1
    x = torch.nn.functional.normalize(torch.randn(200, 3, 5, dtype=torch.float64), dim=-1)
    angle = lambda i, j: (x[:, i] * x[:, j]).sum(-1).clamp(-1, 1).arccos()
    assert (angle(0, 2) <= angle(0, 1) + angle(1, 2) + 1e-9).all()


@pitfall("All distances look the same in high dimension")
def check_concentration_and_its_cures():
    """Two groups that differ in 5 of 1,000 features; an embedding learned on half of the rows is judged on the others."""
    spread = lambda rows: (F.pdist(torch.as_tensor(rows)).std() / F.pdist(torch.as_tensor(rows)).mean()).item()
    group = torch.arange(200) % 2
    X = torch.randn(200, 1000)
    X[:, :5] += 6 * group[:, None]
    assert max(spread(X), spread(StandardScaler().fit_transform(X))) < 0.05 < 0.3 < spread(PCA(5).fit_transform(X))
    embed = torch.nn.Linear(1000, 4)
    optimizer = torch.optim.Adam(embed.parameters(), 0.01)
    for _ in range(50):
        kind, (i, j, k) = torch.randint(0, 2, (64,)), 2 * torch.randint(0, 50, (3, 64))
        optimizer.zero_grad()
        F.triplet_margin_loss(embed(X[i + kind]), embed(X[j + kind]), embed(X[k + 1 - kind])).backward()
        optimizer.step()
    assert spread(X[100:]) < 0.05 < 0.3 < spread(embed(X[100:]).detach())


@check
def check_concentration():
    spread = {}
    for D in (2, 1000):
        d = torch.nn.functional.pdist(torch.randn(200, D))
        spread[D] = (d.std() / d.mean()).item()
    assert spread[2] > 0.4 and 0.01 < spread[1000] < 0.04
    metres = np.array([1.6, 70.0]), np.array([1.9, 71.0])  # height and weight: the larger numbers take over
    height = lambda unit: (0.3 * unit) ** 2 / euclidean(*(v * [unit, 1] for v in metres)) ** 2
    assert height(1) < 0.1 and height(1000) > 0.99
    rows = np.random.randn(100, 2) * [100.0, 10.0] + [1700.0, 70.0]  # millimetres and kilograms
    share = lambda values: values.var(0)[0] / values.var(0).sum()
    assert share(rows) > 0.95 and math.isclose(share(StandardScaler().fit_transform(rows)), 0.5)


@holds("Euclidean", "Cosine", "Dot product", "Manhattan", "Mahalanobis")
def check_what_lengths_change():
    """A vector and its double; lengths count for all but the cosine, also in the Mahalanobis distance from 0."""
    a, b = np.abs(np.random.randn(2, 4)) + 0.1
    inverse = np.linalg.inv(np.diag([1.0, 2.0, 3.0, 4.0]))
    others = (euclidean, np.dot, cityblock, lambda u, v: mahalanobis(u, v, inverse))
    assert math.isclose(cosine(a, 2 * b), cosine(a, b)) and all(abs(of(a, 20 * b) - of(a, b)) > 0.1 for of in others)
    assert np.dot(1e9 * a, a) > 1e6 and np.dot(-1e9 * a, a) < -1e6 and math.isclose(cosine(a, -a), 2)
    for of in (euclidean, cityblock, others[3]):
        assert of(a, a) == 0 and of(1e9 * a, b) > 1e6
    difference = np.array([1.0, 1.0, 1.0, 10.0])
    assert 10 / cityblock(difference, 0 * difference) < 0.8 < 0.95 < 100 / euclidean(difference, 0 * difference) ** 2


@holds("Euclidean")
def check_kmeans_assigns_by_euclidean_distance():
    X = np.random.randn(60, 3)
    model = KMeans(4, n_init=1, random_state=0).fit(X)
    assert (euclidean_distances(X, model.cluster_centers_).argmin(1) == model.labels_).all()


@holds("Cosine")
def check_repeated_text():
    counts, other = np.array([3.0, 0, 1, 2]), np.array([2.0, 1, 1, 2])
    assert cosine(counts, 10 * counts) < 1e-12 and euclidean(counts, 10 * counts) > euclidean(counts, other)


@check
def check_cosine_of_embeddings_trained_with_a_dot_product():
    """Both factorizations give the same dot products; their cosines between items differ."""
    users, items, scale = np.random.randn(8, 3), np.random.randn(6, 3), np.array([0.1, 1.0, 10.0])
    np.testing.assert_allclose(users @ items.T, (users / scale) @ (items * scale).T)
    assert np.abs(cosine_similarity(items) - cosine_similarity(items * scale)).max() > 0.2


@holds("When do both give the same neighbours?")
def check_same_neighbours():
    X, query = np.random.randn(300, 5), np.random.randn(20, 5)
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)
    by_cosine = NearestNeighbors(n_neighbors=7, metric="cosine").fit(X).kneighbors(query)[1]
    for rows, asked, same in ((unit(X), unit(query), True), (3 * unit(X), 3 * unit(query), True), (X, query, False)):
        assert (
            NearestNeighbors(n_neighbors=7, algorithm="kd_tree").fit(rows).kneighbors(asked)[1] == by_cosine
        ).all() == same


@holds("Why normalize and divide by a temperature in contrastive learning?")
def check_temperature():
    """At best the positive has cosine 1 and 255 negatives have -1."""
    scores = torch.cat([torch.ones(1), -torch.ones(255)])
    assert scores.softmax(0)[0] < 0.05 and (scores / 0.07).softmax(0)[0] > 0.999
    stated("0.07", 0.07)
    query, keys = torch.randn(6), torch.randn(10, 6)
    keys[0] = keys[(keys @ query).argmax()] + query  # the positive scores highest
    loss = lambda length: F.cross_entropy(length * keys @ query, torch.tensor(0))
    assert loss(2.0) < loss(1.0)


@holds("Mahalanobis")
def check_mahalanobis_needs_rows():
    X = np.random.randn(400, 30)
    distance = lambda rows: mahalanobis(X[-1], X[-2], np.linalg.inv(np.cov(rows.T)))
    true = np.linalg.norm(X[-1] - X[-2])  # the covariance is the identity
    constant = np.c_[X, np.full(len(X), 3.0)]  # as a pixel that is never lit
    raises(np.linalg.LinAlgError, lambda: np.linalg.inv(np.cov(constant.T)), "Singular")
    assert distance(X[:33]) > 1.5 * true and abs(distance(X[:380]) - true) < 0.2 * true
    rows = X[:, :2] @ np.array([[1.0, 0.9], [0.0, 0.1]])  # two correlated features
    inverse, step = np.linalg.inv(np.cov(rows.T)), np.array([1.0, 0.9]) / math.hypot(1, 0.9)
    across = np.array([-step[1], step[0]])
    assert mahalanobis(across, 0 * across, inverse) > 5 * mahalanobis(step, 0 * step, inverse)


@holds("Does centring the data change the cosine?")
def check_centring():
    a, b = np.random.randn(2, 8) + 3
    assert math.isclose(1 - cosine(a - a.mean(), b - b.mean()), np.corrcoef(a, b)[0, 1])
    assert math.isclose(euclidean(a + 5, b + 5), euclidean(a, b)) and abs(cosine(a + 5, b + 5) - cosine(a, b)) > 1e-3
