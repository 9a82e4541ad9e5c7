import math

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import (
    DBSCAN,
    HDBSCAN,
    AgglomerativeClustering,
    KMeans,
    MiniBatchKMeans,
    SpectralClustering,
    kmeans_plusplus,
)
from sklearn.datasets import load_wine, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from note_checks import by_definition, check, formula, holds, pitfall, quietly, sourced, stated

OBJECTIVE = r"J(c_1, \dots, c_k) = \sum_{i=1}^{n} \min_{j} \lVert x_i - c_j \rVert_2^2"
LLOYD = r"""
a_i = \arg\min_{j} \lVert x_i - c_j \rVert_2^2, \qquad c_j = \frac{1}{|S_j|} \sum_{i \in S_j} x_i, \qquad S_j = \{ i : a_i = j \}
"""
SEEDING = r"P(x_i) = \frac{D(x_i)^2}{\sum_{m=1}^{n} D(x_m)^2}"

by_definition("Cost")
sourced("Lloyd 1982, the title and section I: quantization by the nearest of k values", "k-means")
sourced("Arthur and Vassilvitskii 2007, theorem 1.1", "Is there a guarantee for k-means++?")
sourced("Ester et al. 1996, KDD, the title: clusters in large spatial databases with noise", "DBSCAN, HDBSCAN")
sourced(
    "Dhillon and Modha 2001, section 3.1: concept vectors have unit length", "Can it cluster with cosine similarity?"
)


def squared(X, c):
    return ((X[:, None] - c[None]) ** 2).sum(-1)


def cases():
    for n, d, k in [(30, 1, 2), (80, 2, 4), (60, 5, 3)]:
        X = np.random.randn(n, d) + 4 * np.random.randint(0, 3, (n, 1))
        yield X, X[np.random.choice(n, k, replace=False)]


@formula(OBJECTIVE)
@holds("`inertia_`", "`transform(X)`")
def check_objective():
    for X, start in cases():
        km = KMeans(len(start), init=start, n_init=1).fit(X)
        assert math.isclose(squared(X, km.cluster_centers_).min(1).sum(), km.inertia_, rel_tol=1e-9)
        assert km.transform(X).shape == (len(X), len(start))
        np.testing.assert_allclose(km.transform(X) ** 2, squared(X, km.cluster_centers_), atol=1e-8)


@formula(LLOYD)
@holds("Why does it converge?")
def check_lloyd():
    for X, start in cases():
        c, previous = start.copy(), math.inf
        for _ in range(300):
            a = squared(X, c).argmin(1)
            cost = squared(X, c).min(1).sum()
            assert cost <= previous + 1e-9
            previous = cost
            new = np.stack([X[a == j].mean(0) for j in range(len(c))])
            if np.array_equal(new, c):
                break
            c = new
        km = KMeans(len(start), init=start, n_init=1, tol=0).fit(X)
        np.testing.assert_allclose(c, km.cluster_centers_, atol=1e-9)
        assert (a == km.labels_).all()


@formula(SEEDING)
def check_seeding():
    """With one local trial the second centre of the library is drawn with the stated probabilities."""
    X = np.array([[0.0], [1.0], [3.0], [7.0]])
    counts, firsts = np.zeros((4, 4)), np.zeros(4)
    for seed in range(6000):
        first, second = kmeans_plusplus(X, 2, random_state=seed, n_local_trials=1)[1]
        counts[first, second] += 1
        firsts[first] += 1
    for first in range(4):
        D = (X[:, 0] - X[first, 0]) ** 2
        np.testing.assert_allclose(counts[first] / firsts[first], D / D.sum(), atol=0.05)
        assert abs(firsts[first] / 6000 - 0.25) < 0.03
    chosen = [set(kmeans_plusplus(X, 3, random_state=seed)[1]) for seed in range(20)]
    assert all(len(indices) == 3 for indices in chosen)


@check
def check_by_hand():
    X = np.array([[0.0], [1], [4], [5]])
    stated("3.3333", X[1:].mean())
    km = KMeans(2, init=np.array([[0.0], [1]]), n_init=1).fit(X)
    assert km.cluster_centers_.ravel().tolist() == [0.5, 4.5]
    stated("1.0", km.inertia_)
    assert KMeans(2, init=np.array([[0.0], [1]]), n_init=1, max_iter=1).fit(X).cluster_centers_.ravel().tolist() != [
        0.5,
        4.5,
    ]


@holds("Defaults", "Cost", "`KMeans(n_clusters=8).fit(X)`")
def check_defaults():
    km = KMeans()
    assert (km.n_clusters, km.init, km.n_init, km.max_iter, km.tol) == (8, "k-means++", "auto", 300, 1e-4)
    X = np.random.randn(50, 2)
    assert KMeans(3).fit(X)._n_init == 1 and KMeans(3, init="random").fit(X)._n_init == 10
    assert KMeans(3, init=lambda X, k, random_state: X[:k]).fit(X)._n_init == 10
    assert KMeans(3).fit(X.astype(np.float32)).cluster_centers_.dtype == np.float32
    assert KMeans(3).fit(np.random.randint(0, 9, (50, 2))).cluster_centers_.dtype == np.float64
    km = KMeans(3).fit(csr_array(X))
    assert km.labels_.shape == (50,) and km.cluster_centers_.shape == (3, 2) and km.cluster_centers_.dtype == np.float64
    stated("1,024", MiniBatchKMeans().batch_size)
    X = np.random.default_rng(0).normal(size=(2000, 2))
    early, exact = (KMeans(8, init=X[:8], n_init=1, tol=tol).fit(X) for tol in (1e-4, 0))
    assert early.n_iter_ < exact.n_iter_ and early.inertia_ > exact.inertia_


@check
def check_unlucky_start():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(m, 0.5, (60, 2)) for m in ((0, 0), (6, 0), (6, 4))])
    bad = KMeans(3, init=np.array([[-0.5, 0], [0.5, 0], [6, 2]]), n_init=1).fit(X).inertia_
    good = KMeans(3, n_init=10, random_state=0).fit(X).inertia_
    assert 5.5 < bad / good < 6.5, bad / good


@holds("Why does it converge?")
def check_fixed_point_that_is_no_local_minimum():
    X = np.array([[0.0], [3], [4.5]])
    km = KMeans(2, init=np.array([[1.5], [4.5]]), n_init=1).fit(X)
    assert km.cluster_centers_.ravel().tolist() == [1.5, 4.5]
    assert squared(X, np.array([[1.49], [4.49]])).min(1).sum() < km.inertia_


@check
def check_empty_cluster():
    X = np.array([[0.0], [1], [9]])
    km = KMeans(2, init=np.array([[0.0], [100]]), n_init=1).fit(X)
    assert len(set(km.labels_)) == 2


def agreement(model, X, y):
    return adjusted_rand_score(y, quietly(lambda: model.fit_predict(X)))


@pitfall("Results got worse or vary after an upgrade")
def check_one_start_or_ten():
    rng, corners = np.random.default_rng(0), 8.0 * np.stack(np.meshgrid(range(5), range(4)), -1).reshape(-1, 1, 2)
    X = (corners + rng.normal(size=(20, 20, 2))).reshape(-1, 2)
    single = [KMeans(20, random_state=seed).fit(X).inertia_ for seed in range(40)]
    ten, again = (KMeans(20, n_init=10, random_state=0).fit(X) for _ in range(2))
    assert max(single) > 1.5 * ten.inertia_ and min(single) > ten.inertia_ - 1e-6
    assert (ten.labels_ == again.labels_).all()


@pitfall("One feature decides everything")
def check_units_and_lengths():
    y = np.repeat([0, 1], 50)
    Z = np.stack([y + 0.05 * np.random.randn(100), 1000 * np.random.randn(100)], 1)
    model = KMeans(2, n_init=10, random_state=0)
    assert agreement(model, Z, y) < 0.3 and agreement(model, StandardScaler().fit_transform(Z), y) == 1
    texts = np.stack([np.where(y, 1, 0.2), np.where(y, 0.2, 1)], 1) * np.random.lognormal(2, 1.5, (100, 1))
    assert (
        agreement(model, texts, y) < 0.3
        and agreement(model, texts / np.linalg.norm(texts, axis=1, keepdims=True), y) == 1
    )
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    topical = np.where(y[:, None] == np.arange(20) % 2, 0.06, 0.02)
    words = rng.poisson(rng.lognormal(4, 0.6, (200, 1)) * topical)
    frequent = rng.poisson(words.sum(1, keepdims=True) * rng.beta(2, 6, (200, 1)) * 2)
    rows = lambda counts: counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1)
    assert agreement(model, words, y) < 0.4 and agreement(model, rows(words), y) > 0.8
    assert agreement(model, rows(np.c_[frequent, words]), y) < 0.3
    wine, kinds = load_wine(return_X_y=True)
    three = KMeans(3, n_init=10, random_state=0)
    assert agreement(three, wine, kinds) < 0.5 and agreement(three, StandardScaler().fit_transform(wine), kinds) > 0.8


@pitfall("Long, nested or unequal groups are cut wrongly")
@holds("k-means", "Gaussian mixture", "DBSCAN, HDBSCAN")
def check_what_cures_long_nested_and_unequal_groups():
    k_means = KMeans(2, n_init=10, random_state=0)
    for X, y in (
        make_moons(200, noise=0.05, random_state=0),
        make_circles(300, noise=0.04, factor=0.4, random_state=0),
    ):
        assert agreement(k_means, X, y) < 0.5
        for cure in (
            HDBSCAN(copy=True),
            DBSCAN(eps=0.2),
            SpectralClustering(2, affinity="nearest_neighbors", random_state=0),
        ):
            assert agreement(cure, X, y) == 1
    X, y = make_moons(200, noise=0.05, random_state=0)
    assert agreement(DBSCAN(), X, y) == 0 and agreement(SpectralClustering(2, random_state=0), X, y) < 0.5
    X, y = make_moons(200, noise=0.05, random_state=7)
    near = lambda n: SpectralClustering(2, affinity="nearest_neighbors", n_neighbors=n, random_state=0)
    assert agreement(near(5), X, y) < 0.5 and agreement(near(10), X, y) == 1
    tuned = HDBSCAN(min_cluster_size=40, min_samples=5, copy=True)
    for seed in (0, 6, 7):  # by default such moons break into more groups
        X, y = make_moons(200, noise=0.08, random_state=seed)
        assert agreement(HDBSCAN(copy=True), X, y) < 0.7 and agreement(tuned, X, y) > 0.9
    X, y = make_moons(200, noise=0.2, random_state=0)  # no gap any more
    spectral = SpectralClustering(2, affinity="nearest_neighbors", random_state=0)
    assert all(agreement(failing, X, y) < 0.6 for failing in (HDBSCAN(copy=True), DBSCAN(eps=0.2), spectral))
    mixture = lambda **options: GaussianMixture(2, init_params="random_from_data", random_state=0, **options)
    y = np.repeat([0, 1], 200)
    stretched = lambda length: (
        np.random.default_rng(0).normal(size=(400, 2)) * [length, 0.5] + np.stack([0 * y, 4 * y], 1)
    )
    assert (
        agreement(k_means, stretched(4), y) < 0.1
        and agreement(GaussianMixture(2, random_state=0), stretched(4), y) < 0.1
    )
    assert agreement(mixture(n_init=10), stretched(4), y) == agreement(mixture(n_init=50), stretched(16), y) == 1
    assert agreement(mixture(n_init=10), stretched(16), y) < 0.1
    y = np.repeat([0, 1], [300, 100])
    X = np.random.default_rng(0).normal(size=(400, 2)) * np.where(y, 0.3, 3)[:, None] + np.stack([5 * y, 0 * y], 1)
    assert agreement(k_means, X, y) < 0.4 and agreement(mixture(n_init=10), X, y) > 0.9
    wine, kinds = load_wine(return_X_y=True)
    wine, options = StandardScaler().fit_transform(wine), {"init_params": "random_from_data", "n_init": 10}
    three = [GaussianMixture(3, random_state=seed, **options) for seed in range(3)]
    assert max(agreement(model, wine, kinds) for model in three) < 0.8
    assert agreement(KMeans(3, n_init=10, random_state=0), wine, kinds) > 0.88


@pitfall('"The k with the smallest inertia is best"')
def check_choosing_k():
    rng, counts = np.random.default_rng(0), range(2, 8)
    X = np.concatenate([rng.normal(m, 0.5, (60, 2)) for m in ((0, 0), (6, 0), (3, 5))])
    fit = lambda k, rows=slice(None): KMeans(k, n_init=10, random_state=0).fit(X[rows])
    inertias = [fit(k).inertia_ for k in range(1, 9)]
    assert (np.diff(inertias) < 0).all() and KMeans(12, random_state=0).fit(X[:12]).inertia_ < 1e-9
    assert np.diff(inertias, 2).argmax() + 2 == 3
    assert max(counts, key=lambda k: silhouette_score(X, fit(k).labels_)) == 3
    halves = [np.array_split(rng.permutation(180), 2) for _ in range(4)]
    stability = {
        k: np.mean([adjusted_rand_score(*(fit(k, rows).predict(X) for rows in pair)) for pair in halves])
        for k in counts
    }
    assert max(stability, key=stability.get) == 3


@holds("Why the mean and not the median?")
def check_mean_and_median():
    x = np.random.gamma(1, 2, 51)
    grid = np.linspace(x.min(), x.max(), 20001)
    best = grid[((x[:, None] - grid) ** 2).sum(0).argmin()], grid[np.abs(x[:, None] - grid).sum(0).argmin()]
    np.testing.assert_allclose(best, [x.mean(), np.median(x)], atol=2e-3)


@holds("Is there a guarantee for k-means++?")
def check_guarantee_of_seeding():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2)) + 5 * rng.integers(0, 3, (120, 1))
    best = KMeans(3, n_init=20, random_state=0).fit(X).inertia_
    costs = [squared(X, kmeans_plusplus(X, 3, random_state=s, n_local_trials=1)[0]).min(1).sum() for s in range(200)]
    assert np.mean(costs) <= 8 * (math.log(3) + 2) * best


@holds("k-means", "Gaussian mixture", "DBSCAN, HDBSCAN", "Agglomerative")
def check_what_the_others_need_and_give():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(m, 0.3, (40, 2)) for m in ((0, 0), (4, 0), (2, 4))] + [[[20.0, 20]]])
    for model in (DBSCAN(eps=0.8), HDBSCAN(copy=True)):  # no number of clusters; the far point is noise
        labels = model.fit_predict(X)
        assert labels[-1] == -1 and len(set(labels[:120])) == 3 and "n_clusters" not in model.get_params()
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2)
    uneven = np.concatenate([grid * step + [left, 0] for step, left in ((0.1, 0), (0.1, 1.7), (1.5, 10), (1.5, 30))])
    y = np.repeat(range(4), 64)  # two dense and two sparse groups: no eps fits both
    assert agreement(HDBSCAN(copy=True), uneven, y) == 1
    assert max(agreement(DBSCAN(eps=eps), uneven, y) for eps in np.geomspace(0.05, 20, 40)) < 0.8
    near = rng.normal(size=(80, 2)) + [2, 0] * rng.integers(2, size=(80, 1))
    mixture = GaussianMixture(2, random_state=0).fit(near)
    shares = mixture.predict_proba(near)
    assert np.allclose(shares.sum(1), 1) and ((shares > 1e-6) & (shares < 1 - 1e-6)).any()
    assert GaussianMixture().init_params == "kmeans" and mixture.score_samples(X[:1]).shape == (1,)
    cut = AgglomerativeClustering(n_clusters=None, distance_threshold=10).fit(X[:120])
    assert cut.n_clusters_ == 3 == len(set(AgglomerativeClustering(3).fit_predict(X))) and cut.children_.shape == (
        119,
        2,
    )
    y = np.repeat([0, 1], 100)
    rows = np.stack([np.tile(np.linspace(0, 10, 100), 2), 2.0 * y], 1)
    single, ward = (
        adjusted_rand_score(y, AgglomerativeClustering(2, linkage=way).fit_predict(rows)) for way in ("single", "ward")
    )
    assert single == 1 and ward < 0.5  # which shapes are found depends on the linkage


@holds("Can it cluster with cosine similarity?")
def check_cosine_on_normalized_rows():
    rows = np.random.randn(50, 4)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(squared(rows, rows), 2 - 2 * rows @ rows.T, atol=1e-12)
    centres = KMeans(3, n_init=3).fit(rows).cluster_centers_
    assert np.linalg.norm(centres, axis=1).max() < 0.99  # hence "nearly": means of unit vectors are shorter


@check
def check_mixture_limit():
    """EM responsibilities of equal spherical components tend to the nearest centre."""
    X, c = np.random.randn(40, 2), np.random.randn(3, 2)
    for variance, tolerance in ((1.0, 1.0), (1e-5, 1e-6)):
        logits = -squared(X, c) / (2 * variance)
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        hard = np.eye(3)[squared(X, c).argmin(1)]
        sharp = np.sort(squared(X, c), 1)
        clear = sharp[:, 1] - sharp[:, 0] > 1e-3
        assert np.abs(p - hard)[clear].max() < tolerance


def overlap(boxes, c):
    shared = np.minimum(boxes[:, None], c).prod(-1)
    return shared / (boxes.prod(-1)[:, None] + c.prod(-1) - shared)


def anchors(boxes, step):
    """Five anchors by 1 - IoU, and the sums of the distances on the way."""
    c, sums = boxes[:5].copy(), []
    for _ in range(20):
        distance = 1 - overlap(boxes, c)
        sums.append(distance.min(1).sum())
        a = distance.argmin(1)
        c = np.stack([step(boxes[a == j], 0) if (a == j).any() else c[j] for j in range(5)])
    return c, sums


@pitfall("Anchor boxes from Euclidean k-means favour large boxes")
def check_anchors():
    """The smaller half of the boxes fits its anchors better with the overlap; with it the sum may rise on the way."""
    rises = dict.fromkeys((np.mean, np.median), 0)
    for seed in range(20):
        boxes = np.random.default_rng(seed).lognormal(4, 0.9, (300, 2))
        small = boxes.prod(-1) < np.median(boxes.prod(-1))
        fit = lambda c: overlap(boxes, c).max(1)[small].mean()
        euclidean = KMeans(5, n_init=3, random_state=0).fit(boxes).cluster_centers_
        large_fit = overlap(boxes, euclidean).max(1)[~small].mean()
        assert fit(euclidean) < large_fit
        for step in rises:
            c, sums = anchors(boxes, step)
            assert fit(c) > fit(euclidean) + 0.02
            rises[step] += max(np.diff(sums)) > 1e-9
    assert all(rises.values())
