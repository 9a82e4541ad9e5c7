import math

import numpy as np
from sklearn.cluster import DBSCAN, HDBSCAN, KMeans, SpectralClustering, kmeans_plusplus
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from note_checks import check, formula, stated

OBJECTIVE = r"J(c_1, \dots, c_k) = \sum_{i=1}^{n} \min_{j} \lVert x_i - c_j \rVert_2^2"
LLOYD = r"""
a_i = \arg\min_{j} \lVert x_i - c_j \rVert_2^2, \qquad c_j = \frac{1}{|S_j|} \sum_{i \in S_j} x_i, \qquad S_j = \{ i : a_i = j \}
"""
SEEDING = r"P(x_i) = \frac{D(x_i)^2}{\sum_{m=1}^{n} D(x_m)^2}"


def squared(X, c):
    return ((X[:, None] - c[None]) ** 2).sum(-1)


def cases():
    for n, d, k in [(30, 1, 2), (80, 2, 4), (60, 5, 3)]:
        X = np.random.randn(n, d) + 4 * np.random.randint(0, 3, (n, 1))
        yield X, X[np.random.choice(n, k, replace=False)]


@formula(OBJECTIVE)
def check_objective():
    for X, start in cases():
        km = KMeans(len(start), init=start, n_init=1).fit(X)
        assert math.isclose(squared(X, km.cluster_centers_).min(1).sum(), km.inertia_, rel_tol=1e-9)
        np.testing.assert_allclose(km.transform(X) ** 2, squared(X, km.cluster_centers_), atol=1e-8)


@formula(LLOYD)
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
    counts, expected, firsts = np.zeros((4, 4)), np.zeros((4, 4)), np.zeros(4)
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
    assert KMeans(2, init=np.array([[0.0], [1]]), n_init=1, max_iter=1).fit(X).cluster_centers_.ravel().tolist() != [0.5, 4.5]


@check
def check_defaults():
    km = KMeans()
    assert (km.n_clusters, km.init, km.n_init, km.max_iter, km.tol) == (8, "k-means++", "auto", 300, 1e-4)
    X = np.random.randn(50, 2)
    assert KMeans(3).fit(X)._n_init == 1 and KMeans(3, init="random").fit(X)._n_init == 10
    assert KMeans(3, init=lambda X, k, random_state: X[:k]).fit(X)._n_init == 10
    assert KMeans(3).fit(X.astype(np.float32)).cluster_centers_.dtype == np.float32
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


@check
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


@check
def check_pitfalls():
    X, y = make_moons(200, noise=0.05, random_state=0)
    assert adjusted_rand_score(y, KMeans(2, n_init=10, random_state=0).fit(X).labels_) < 0.5
    inertias = [KMeans(k, n_init=10, random_state=0).fit(X[:12]).inertia_ for k in (1, 2, 4, 8, 12)]
    assert all(later < earlier for earlier, later in zip(inertias, inertias[1:])) and inertias[-1] < 1e-9
    y = np.repeat([0, 1], 50)
    Z = np.stack([y + 0.05 * np.random.randn(100), 1000 * np.random.randn(100)], 1)
    fit = lambda data: adjusted_rand_score(y, KMeans(2, n_init=10, random_state=0).fit(data).labels_)
    assert fit(Z) < 0.3 and fit(StandardScaler().fit_transform(Z)) == 1


@check
def check_what_cures_long_groups_and_moons():
    X, y = make_moons(200, noise=0.05, random_state=0)
    agree = lambda model: adjusted_rand_score(y, model.fit_predict(X))
    assert agree(HDBSCAN(copy=True)) == agree(DBSCAN(eps=0.2)) == agree(SpectralClustering(2, affinity="nearest_neighbors", random_state=0)) == 1
    assert agree(DBSCAN()) == 0 and agree(SpectralClustering(2, random_state=0)) < 0.5
    rng, y = np.random.default_rng(0), np.repeat([0, 1], 200)
    X = rng.normal(size=(400, 2)) * [4, 0.5] + np.stack([0 * y, 4 * y], 1)
    assert agree(KMeans(2, n_init=10, random_state=0)) < 0.1 and agree(GaussianMixture(2, random_state=0)) < 0.1
    assert agree(GaussianMixture(2, n_init=10, init_params="random_from_data", random_state=0)) == 1


@check
def check_mean_and_median():
    x = np.random.gamma(1, 2, 51)
    grid = np.linspace(x.min(), x.max(), 20001)
    best = grid[((x[:, None] - grid) ** 2).sum(0).argmin()], grid[np.abs(x[:, None] - grid).sum(0).argmin()]
    np.testing.assert_allclose(best, [x.mean(), np.median(x)], atol=2e-3)


@check
def check_guarantee_of_seeding():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2)) + 5 * rng.integers(0, 3, (120, 1))
    best = KMeans(3, n_init=20, random_state=0).fit(X).inertia_
    costs = [squared(X, kmeans_plusplus(X, 3, random_state=s, n_local_trials=1)[0]).min(1).sum() for s in range(200)]
    assert np.mean(costs) <= 8 * (math.log(3) + 2) * best


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


@check
def check_means_and_medians_of_boxes_may_raise_the_sum():
    def overlap(boxes, c):
        shared = np.minimum(boxes[:, None], c).prod(-1)
        return shared / (boxes.prod(-1)[:, None] + c.prod(-1) - shared)
    for step in (np.mean, np.median):
        rises = 0
        for seed in range(30):
            boxes = np.random.default_rng(seed).lognormal(3, 1, (60, 2))
            c, sums = boxes[:5].copy(), []
            for _ in range(20):
                distance = 1 - overlap(boxes, c)
                sums.append(distance.min(1).sum())
                a = distance.argmin(1)
                c = np.stack([step(boxes[a == j], 0) if (a == j).any() else c[j] for j in range(5)])
            rises += max(np.diff(sums)) > 1e-9
        assert rises > 0
