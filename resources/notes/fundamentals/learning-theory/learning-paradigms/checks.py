import numpy as np
import torch
from scipy.signal import lfilter
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.semi_supervised import LabelPropagation, LabelSpreading, SelfTrainingClassifier
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend

by_definition("supervised", "semi-supervised", "self-supervised", "transfer", "unsupervised", "reinforcement")
by_definition("Where does semi-supervised differ from active learning?")
sourced(
    "Zhou 2018, A brief introduction to weakly supervised learning, abstract",
    "Is weakly supervised learning another paradigm?",
)

F0 = r"""
R(f) = \frac{1}{n} \sum_{i=1}^{n} \ell(f(x_i), y_i)
"""
F1 = r"""
J = \sum_{i=1}^{n} \min_{1 \le k \le K} \lVert x_i - \mu_k \rVert^2
"""
F2 = r"""
F = (1 - \alpha) \, (I - \alpha S)^{-1} \, Y
"""
F3 = r"""
G_t = \sum_{k=0}^{\infty} \gamma^k \, r_{t+k+1}
"""


@formula(F0)
def check_risk():
    for n, C in [(1, 2), (7, 5)]:
        z, y = torch.randn(n, C).double(), torch.randint(0, C, (n,))
        loss = lambda scores, label: -(scores[label] - np.log(np.exp(scores).sum()))
        np.testing.assert_allclose(
            sum(loss(z[i].numpy(), int(y[i])) for i in range(n)) / n, F.cross_entropy(z, y).item()
        )


@formula(F1)
def check_inertia():
    for n, d, K in [(30, 2, 3), (9, 4, 2), (5, 1, 1)]:
        X = np.random.randn(n, d)
        model = KMeans(K, n_init=3, random_state=0).fit(X)
        ours = sum(min(((x - mu) ** 2).sum() for mu in model.cluster_centers_) for x in X)
        np.testing.assert_allclose(ours, model.inertia_, rtol=1e-6)


@formula(F2)
def check_label_spreading():
    for n, alpha, gamma in [(12, 0.2, 1.0), (30, 0.8, 5.0)]:
        X, y = np.random.randn(n, 2), np.full(n, -1)
        y[:5] = [0, 1, 2, 1, 0]
        model = LabelSpreading(gamma=gamma, alpha=alpha, max_iter=100_000, tol=1e-14).fit(X, y)
        W = rbf_kernel(X, gamma=gamma)
        np.fill_diagonal(W, 0)
        root = 1 / np.sqrt(W.sum(1))
        S = root[:, None] * W * root
        Y = (y[:, None] == np.arange(3)).astype(float)
        ours = (1 - alpha) * np.linalg.inv(np.eye(n) - alpha * S) @ Y
        np.testing.assert_allclose(ours / ours.sum(1, keepdims=True), model.label_distributions_, atol=1e-6)
        assert (ours.argmax(1) == model.transduction_).all()


@formula(F3)
def check_return():
    """A recursive filter over the reversed rewards gives all returns at once."""
    for length, gamma in [(3, 0.5), (10, 0.9), (4, 1.0), (5, 0.0)]:
        r = np.random.randn(length)
        library = lfilter([1], [1, -gamma], r[::-1])[::-1]
        ours = [sum(gamma**k * r[t + k] for k in range(length - t)) for t in range(length)]
        np.testing.assert_allclose(ours, library, atol=1e-12)


@check
def check_by_hand():
    stated("1.5", lfilter([1], [1, -0.5], [2.0, 0.0, 1.0])[-1])
    points, centers = np.array([[0.0], [2.0], [10.0]]), np.array([[1.0], [10.0]])
    model = KMeans(2, init=centers, n_init=1).fit(points)
    assert model.inertia_ == 2 and sorted(model.cluster_centers_.ravel()) == [1, 10]


@holds("Semi-supervised")
@pitfall("A class called −1 is ignored")
def check_unlabelled_marker():
    X = np.concatenate([np.random.randn(20, 2) - 3, np.random.randn(20, 2) + 3])
    y = np.array([-1] * 20 + [1] * 20)
    y[0] = 0
    model = SelfTrainingClassifier(LogisticRegression()).fit(X, y)
    assert -1 not in model.classes_ and set(model.classes_) == {0, 1}
    raises(
        ValueError,
        lambda: SelfTrainingClassifier(LogisticRegression()).fit(X, np.array(["a", "b"] * 20)),
        "use dtype object",
    )
    texts = np.array(["a"] + [-1] * 19 + ["b"] * 20, dtype=object)
    assert set(SelfTrainingClassifier(LogisticRegression()).fit(X, texts).classes_) == {"a", "b"}
    for spreading in (LabelSpreading(), LabelPropagation()):
        assert -1 not in spreading.fit(X, y).classes_
        for mixed, kind in (
            (texts, TypeError),
            (texts[::-1], TypeError),
            (np.roll(texts, -1), ValueError),
        ):  # depends on the first label
            raises(kind, lambda: spreading.fit(X, mixed))
        raises(TypeError, lambda: LabelEncoder().fit_transform(texts))
        named, numbers = texts != -1, np.full(40, -1)  # the known labels alone
        numbers[named] = LabelEncoder().fit_transform(texts[named])
        in_place = texts.copy()
        in_place[named] = numbers[named]
        raises(ValueError, lambda: spreading.fit(X, in_place), "Unknown label type")  # still an object array
        assert set(spreading.fit(X, numbers).predict(X)) == {0, 1}
    truth, known = np.repeat([0, 1], 20), np.array([0, 1, 20, 21])
    encoded = np.full(40, -1)
    encoded[known] = truth[known]
    for model in (SelfTrainingClassifier(LogisticRegression()), LabelSpreading(), LabelPropagation()):
        assert (model.fit(X, encoded).predict(X) == truth).all()
    raises(ValueError, lambda: LogisticRegression().fit(X[:, 0], y), "Expected 2D array")


@pitfall("Cluster 0 is class 1")
def check_cluster_names():
    y = np.array([0, 0, 1, 1, 2])
    assert adjusted_rand_score(y, (y + 1) % 3) == 1 and (y == (y + 1) % 3).mean() == 0
    X, y = np.concatenate([np.random.randn(20, 2) - 5, np.random.randn(20, 2) + 5]), np.repeat([0, 1], 20)
    groups = [KMeans(2, n_init=1, random_state=seed).fit_predict(X) for seed in range(10)]
    assert {(found == y).mean() for found in groups} == {0, 1}
    for score in (adjusted_rand_score, normalized_mutual_info_score):
        assert all(np.isclose(score(y, found), 1) for found in groups)


@pitfall("Unlabelled data made the model worse")
def check_spreading_can_lose_where_classes_are_not_dense_regions():
    rng, baseline, spreading, compared = np.random.default_rng(0), [], [], []
    for _ in range(20):
        X = rng.random((160, 2))  # one uniform cloud, cut in two
        y = (X[:, 0] > 0.5).astype(int)
        known = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:2] for c in (0, 1)])
        held_out, rest = np.split(rng.permutation(np.setdiff1d(np.arange(160), known)), [40])
        partial = np.full(160, -1)
        partial[known] = y[known]
        right = [KNeighborsClassifier(1).fit(X[known], y[known]).predict(X) == y]
        right.append(LabelSpreading(gamma=30, alpha=0.99, max_iter=2000).fit(X, partial).transduction_ == y)
        baseline.append(right[0][rest].mean())
        spreading.append(right[1][rest].mean())
        compared.append(max(right, key=lambda found: found[held_out].mean())[rest].mean())
    assert np.mean(spreading) < np.mean(baseline) - 0.01 < np.mean(compared)

    X, y = load_digits(return_X_y=True)
    few = np.concatenate([np.flatnonzero(y == c)[:1] for c in range(10)])
    partial = np.full(len(y), -1)
    partial[few] = y[few]
    linear = LogisticRegression(max_iter=500)
    alone = linear.fit(X[few] / 16, y[few]).score(X / 16, y)
    trained = {t: SelfTrainingClassifier(linear, threshold=t).fit(X / 16, partial).score(X / 16, y) for t in (0.5, 0.9)}
    assert trained[0.5] < alone - 0.1 and trained[0.9] > alone - 0.01

    X, y = load_breast_cancer(return_X_y=True)  # here the high threshold does harm
    X, linear, gain = StandardScaler().fit_transform(X), LogisticRegression(), {0.75: [], 0.99: []}
    for seed in range(5):
        rng, partial = np.random.default_rng(seed), np.full(len(y), -1)
        few = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:2] for c in (0, 1)])
        partial[few] = y[few]
        alone = linear.fit(X[few], y[few]).score(X, y)
        for t in gain:
            gain[t].append(SelfTrainingClassifier(linear, threshold=t).fit(X, partial).score(X, y) - alone)
    assert np.mean(gain[0.99]) < min(-0.02, np.mean(gain[0.75]) - 0.04), gain


@holds("Self-supervised")
@pitfall('"Self-supervised is just unsupervised"')
def check_targets_made_from_the_data():
    """A supervised loss without human labels: the next character of a text, and a hidden pixel of a digit."""
    text = torch.tensor(list(b"to be or not to be that is the question"))
    scores = torch.zeros(128, 128, requires_grad=True)
    optimizer = torch.optim.Adam([scores], 0.1)
    loss = descend(optimizer, lambda: F.cross_entropy(scores[text[:-1]], text[1:]), 50)
    assert loss < 0.3 * np.log(128)
    X = load_digits().data
    seen, hidden = np.delete(X, 36, axis=1), X[:, 36] > 8
    assert (
        LogisticRegression(max_iter=3000).fit(seen[::2], hidden[::2]).score(seen[1::2], hidden[1::2])
        > hidden.mean() + 0.1
    )


@holds("Supervised", "Unsupervised", "One sample")
def check_what_each_is_given():
    X = np.random.randn(20, 3)
    for y in (X[:, 0] > 0, X[:, 0]):  # classes as integers, then numbers
        model = LogisticRegression().fit(X, y.astype(int)) if y.dtype == bool else LinearRegression().fit(X, y)
        assert model.predict(X[:1]).shape == (1,)
        raises(ValueError, lambda: model.predict(X[0]), "Expected 2D array")
    names = np.where(X[:, 0] > 0, "a", "b")
    assert set(LogisticRegression().fit(np.rint(9 * X).astype(int), names).classes_) == {"a", "b"}
    y = (X[:, 0] > 0).astype(int)
    for model in (KMeans(2, n_init=1).fit(X), KNeighborsClassifier(1).fit(X, y), LabelSpreading().fit(X, y)):
        assert model.predict(X[:1]).shape == (1,)
        raises(ValueError, lambda: model.predict(X[0]), "Expected 2D array")


@holds("Reinforcement", "How does reinforcement learning differ from supervised?")
def check_late_rewards_and_states_that_depend_on_the_policy():
    """Nine cells, start in the middle; the first action decides, the reward comes four steps later at the right end."""

    def walk(policy):
        cell, states, rewards = 4, [], []
        while 0 < cell < 8:
            states.append(cell)
            cell += policy(cell)
            rewards.append(float(cell == 8))
        return states, rewards

    (right, earned), (left, lost) = walk(lambda cell: 1 if cell >= 4 else -1), walk(lambda cell: 1 if cell > 4 else -1)
    assert earned == [0, 0, 0, 1] and sum(lost) == 0 and set(right) & set(left) == {4}
