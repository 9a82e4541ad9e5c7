import math

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.stats import spearmanr
from sklearn.datasets import load_wine, make_circles, make_moons, make_swiss_roll
from sklearn.decomposition import PCA, KernelPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE, Isomap
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import svd_flip
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend

EIGEN = r"""
\Sigma = \frac{1}{n - 1} \bar{X}^\top \bar{X}, \qquad \Sigma v_j = \lambda_j v_j, \qquad \lambda_1 \ge \lambda_2 \ge \dots \ge \lambda_d \ge 0
"""
PROJECTION = r"Z = \bar{X} V_k, \qquad \hat{X} = Z V_k^\top + \mu"
SINGULAR = r"""
\lambda_j = \frac{s_j^2}{n - 1}, \qquad \frac{1}{n - 1} \lVert X - \hat{X} \rVert_F^2 = \sum_{j > k} \lambda_j
"""
EXAMPLE = np.array([[0.0, 0], [1, 1], [2, 3], [3, 2], [4, 4]])

sourced(
    "Wattenberg et al., How to Use t-SNE Effectively (Distill 2016), section 3; Coenen and Pearce, Understanding UMAP",
    "t-SNE, UMAP",
)


def data():
    for n, d in [(10, 2), (50, 6), (30, 4)]:
        yield np.random.randn(n, d) @ np.random.randn(d, d) + 5 * np.random.randn(d)


@formula(EIGEN)
@holds("`explained_variance_`")
def check_eigen():
    for X in data():
        centred = X - X.mean(0)
        covariance = centred.T @ centred / (len(X) - 1)
        pca = PCA().fit(X)
        np.testing.assert_allclose(np.linalg.eigvalsh(covariance)[::-1], pca.explained_variance_, rtol=1e-8)
        np.testing.assert_allclose(
            covariance @ pca.components_.T, pca.components_.T * pca.explained_variance_, atol=1e-8
        )
        assert (np.diff(pca.explained_variance_) <= 0).all() and (pca.explained_variance_ >= 0).all()
        assert math.isclose(pca.explained_variance_ratio_.sum(), 1)


@formula(PROJECTION)
def check_projection():
    for X in data():
        for k in (1, 2):
            pca = PCA(k).fit(X)
            new = np.random.randn(3, X.shape[1])
            Z = (new - X.mean(0)) @ pca.components_.T
            np.testing.assert_allclose(Z, pca.transform(new), atol=1e-9)
            np.testing.assert_allclose(
                Z @ pca.components_ + X.mean(0), pca.inverse_transform(pca.transform(new)), atol=1e-9
            )
            white = PCA(k, whiten=True).fit(X)
            np.testing.assert_allclose(Z / np.sqrt(pca.explained_variance_), white.transform(new), atol=1e-8)
            np.testing.assert_allclose(white.transform(X).var(0, ddof=1), 1)


@formula(SINGULAR)
@holds("Why is maximum variance the same as minimum error?", "PCA")
def check_singular_values():
    for X in data():
        n, s = len(X), np.linalg.svd(X - X.mean(0))[1]
        variances = PCA().fit(X).explained_variance_
        np.testing.assert_allclose(s**2 / (n - 1), variances, rtol=1e-8)
        for k in range(1, X.shape[1]):
            pca = PCA(k).fit(X)
            error = ((X - pca.inverse_transform(pca.transform(X))) ** 2).sum() / (n - 1)
            assert math.isclose(error, variances[k:].sum(), rel_tol=1e-8)
            v, centred = np.linalg.qr(np.random.randn(X.shape[1], 1))[0], X - X.mean(0)
            parts = (centred @ v) ** 2, (centred - centred @ v @ v.T) ** 2
            np.testing.assert_allclose((centred**2).sum(1), sum(part.sum(1) for part in parts))
            assert parts[0].sum() / (n - 1) <= variances[0]
            other = np.linalg.qr(np.random.randn(X.shape[1], k))[0]
            assert ((centred - centred @ other @ other.T) ** 2).sum() / (n - 1) > error


@check
def check_by_hand():
    pca = PCA().fit(EXAMPLE)
    np.testing.assert_allclose(np.cov(EXAMPLE.T), [[2.5, 2.25], [2.25, 2.5]])
    assert EXAMPLE.mean(0).tolist() == [2, 2]
    stated("4.75", pca.explained_variance_[0])
    stated("0.25", pca.explained_variance_[1])
    stated("95%", pca.explained_variance_ratio_[0])
    stated("2.8284", abs(pca.transform([[4.0, 4.0]])[0, 0]))
    np.testing.assert_allclose(abs(pca.components_), np.full((2, 2), math.sqrt(0.5)))
    assert pca.components_[1].prod() < 0 < pca.components_[0].prod()


@holds("`PCA(n_components).fit(X)`", "`n_components`", "`components_`", "`torch.pca_lowrank(A, q)`", "Cost")
def check_contract():
    X = np.random.randn(20, 5)
    pca = PCA(3).fit(X)
    assert pca.components_.shape == (3, 5) and pca.mean_.shape == (5,) and pca.transform(X).shape == (20, 3)
    np.testing.assert_allclose(np.linalg.norm(pca.components_, axis=1), 1)
    assert PCA(2).fit(np.random.randint(0, 9, (20, 5))).components_.dtype == np.float64
    assert PCA().n_components is None and PCA().fit(X[:4]).n_components_ == 4 and KernelPCA().kernel == "linear"
    solver = lambda n, d, k=None: PCA(k).fit(np.random.randn(n, d))._fit_svd_solver
    assert (solver(500, 4), solver(30, 4), solver(600, 600, 3)) == ("covariance_eigh", "full", "randomized")
    assert (solver(501, 60, 47), solver(501, 60, 48), solver(500, 60, 3), solver(501, 60)) == (
        "randomized",
        "full",
        "full",
        "full",
    )
    assert (solver(9, 2), PCA(0.9).fit(np.random.randn(501, 60))._fit_svd_solver) == ("full", "full")
    share = PCA().fit(X).explained_variance_ratio_.cumsum()
    assert PCA(0.8).fit(X).n_components_ == (share < 0.8).sum() + 1 and PCA().fit(X).n_components_ == 5
    np.testing.assert_allclose(
        PCA(1).fit(X * 1000).explained_variance_, PCA(1).fit(X).explained_variance_ * 1e6
    )  # no scaling
    np.testing.assert_allclose(pca.mean_, X.mean(0))
    assert [x.shape for x in torch.pca_lowrank(torch.randn(2, 30, 9))] == [(2, 30, 6), (2, 6), (2, 9, 6)]
    U, S, V = torch.pca_lowrank(torch.tensor(X), q=5)
    np.testing.assert_allclose(S.numpy() ** 2 / 19, PCA().fit(X).explained_variance_, rtol=1e-6)
    assert U.shape == (20, 5) and V.shape == (5, 5) and torch.pca_lowrank(torch.randn(30, 9))[1].shape == (6,)


@pitfall("Projections of test data are shifted")
def check_second_fit_moves_test_data():
    X = np.random.randn(60, 3) * [3, 2, 1]
    test = X[:20] + 5
    once, again = PCA(2).fit(X).transform(test), PCA(2).fit_transform(test)
    assert abs(once.mean(0)).max() > 1 > 1e-9 > abs(again.mean(0)).max()
    pipeline = make_pipeline(PCA(2), LogisticRegression()).fit(X, X[:, 0] > 0)
    np.testing.assert_allclose(pipeline[:-1].transform(test), once)


@pitfall("One feature is the first component")
def check_units():
    wine = load_wine().data
    stated("99.8%", PCA().fit(wine).explained_variance_ratio_[0])
    assert abs(PCA().fit(wine).components_[0]).max() > 0.99
    assert math.isclose(np.var(1000 * wine[:, 0]), 1e6 * np.var(wine[:, 0]))
    scaled = StandardScaler().fit_transform(wine)
    stated("36%", PCA().fit(scaled).explained_variance_ratio_[0])
    assert abs(PCA().fit(scaled).components_[0]).max() < 0.5


@holds("Are components independent?", "PCA")
def check_signs_and_ratios():
    for X in data():
        pca = PCA(2).fit(X)
        V = -pca.components_
        np.testing.assert_allclose(
            (X - X.mean(0)) @ V.T @ V + X.mean(0), pca.inverse_transform(pca.transform(X)), atol=1e-9
        )
        biased = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
        n = len(X)
        np.testing.assert_allclose(biased[:2], pca.explained_variance_ * (n - 1) / n, rtol=1e-8)
        Z = PCA().fit_transform(X)
        np.testing.assert_allclose(np.corrcoef(Z.T), np.eye(X.shape[1]), atol=1e-8)


@pitfall("After an update the components have flipped signs")
def check_old_and_new_convention():
    """Up to scikit-learn 1.4 the largest entry of a column of U was made positive, since then that of a row of V."""
    flipped = 0
    for X in data():
        pca, centred = PCA().fit(X), X - X.mean(0)
        U, S, Vt = np.linalg.svd(centred, full_matrices=False)
        old, new = (svd_flip(U.copy(), Vt.copy(), u_based_decision=based)[1] for based in (True, False))
        np.testing.assert_allclose(new, pca.components_, atol=1e-8)
        np.testing.assert_allclose(abs(old), abs(new), atol=1e-8)
        np.testing.assert_allclose(centred @ old[:1].T @ old[:1], centred @ new[:1].T @ new[:1], atol=1e-8)
        flipped += (old * new).sum(1).min() < 0
        np.testing.assert_allclose((X - pca.mean_) @ pca.components_.T, pca.transform(X), atol=1e-9)
    assert flipped > 0


@pitfall("The classes mix in the first two components")
@holds("LDA", "Does PCA prevent overfitting?")
def check_labels_are_ignored():
    y = np.repeat([0, 1], 100)
    X = np.stack([10 * np.random.randn(200), 8 * np.random.randn(200), y + 0.1 * np.random.randn(200)], 1)
    score = lambda Z: LogisticRegression(C=1e4).fit(Z, y).score(Z, y)
    assert score(PCA(2).fit_transform(X)) < 0.7 and score(PCA(3).fit_transform(X)) == 1
    assert score(LinearDiscriminantAnalysis().fit_transform(X, y)) == 1
    rings = make_circles(300, noise=0.05, factor=0.4, random_state=0)  # equal means
    assert LinearDiscriminantAnalysis().fit(*rings).score(*rings) < 0.6
    draw = lambda y: (np.random.randn(len(y), 60) + 2.5 * np.outer(y, np.arange(60) == 0), y)
    few, many = draw(np.arange(60) % 2), draw(np.arange(4000) % 2)
    plain, shrunk = (LinearDiscriminantAnalysis(**o).fit(*few) for o in ({}, {"solver": "eigen", "shrinkage": "auto"}))
    assert plain.score(*few) == 1 and plain.score(*many) < 0.7
    assert shrunk.score(*many) > 0.78 and shrunk.transform(few[0]).shape == (60, 1)
    raises(ValueError, lambda: LinearDiscriminantAnalysis(n_components=2).fit(*few), "n_classes - 1")


@holds("Are components independent?")
def check_uncorrelated_is_not_independent():
    x = np.random.randn(20_000)
    Z = PCA().fit_transform(np.stack([x, x**2], 1))
    assert abs(np.corrcoef(Z.T)[0, 1]) < 1e-9 and abs(np.corrcoef(Z[:, 0] ** 2, Z[:, 1] ** 2)[0, 1]) > 0.2
    gauss = PCA().fit_transform(np.random.randn(20_000, 2) @ np.random.randn(2, 2))
    assert abs(np.corrcoef(gauss[:, 0] ** 2, gauss[:, 1] ** 2)[0, 1]) < 0.05


@holds("Eigendecomposition of the covariance or SVD of the data?")
def check_small_components_are_lost_in_the_covariance():
    X = np.random.randn(500, 3) * [1.0, 1.0, 1e-10]
    X -= X.mean(0)
    turned = X @ np.linalg.qr(np.random.randn(3, 3))[0]
    direct, squared = np.linalg.svd(turned)[1][-1] ** 2, np.linalg.eigvalsh(turned.T @ turned)[0]
    exact = (X[:, 2] ** 2).sum()
    assert abs(direct / exact - 1) < 1e-3 and abs(squared / exact - 1) > 1
    A = np.random.randn(30, 4)
    assert math.isclose(np.linalg.cond(A.T @ A), np.linalg.cond(A) ** 2) and (A.T @ A).shape == (4, 4)


@holds("TruncatedSVD", "Feature selection", "Autoencoder")
def check_neighbours():
    X = csr_array(np.abs(np.random.randn(60, 6)) * (np.random.rand(60, 6) < 0.4) + 0.0)
    uncentred = TruncatedSVD(2, random_state=0).fit(X)
    np.testing.assert_allclose(uncentred.singular_values_, np.linalg.svd(X.toarray())[1][:2], rtol=1e-4)
    assert abs(uncentred.singular_values_[0] / PCA(2).fit(X).singular_values_[0] - 1) > 0.1
    kept = SelectKBest(k=2).fit(X.toarray(), np.arange(60) % 2)
    assert (kept.transform(X.toarray()) == X.toarray()[:, kept.get_support()]).all()
    data = torch.tensor(np.random.randn(300, 4) * [3, 2, 0.5, 0.3])
    layers = nn.Linear(4, 2).double(), nn.Linear(2, 4).double()
    optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], 3e-2)
    descend(optimizer, lambda: ((layers[1](layers[0](data)) - data) ** 2).sum(1).mean(), 800)
    plane, axes = np.linalg.qr(layers[1].weight.detach().numpy())[0], PCA(2).fit(data.numpy()).components_
    assert np.linalg.svd(axes @ plane)[1].min() > 0.99
    moved = data.numpy() + 9  # without biases: the best plane through the origin
    assert np.linalg.svd(axes @ np.linalg.svd(moved)[2][:2].T)[1].min() < 0.9


def autoencoded(X, steps=400):
    """The code of a small nonlinear autoencoder with one hidden number."""
    encoder = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))
    decoder = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-2)
    data = torch.tensor(X, dtype=torch.float32)
    descend(optimizer, lambda: ((decoder(encoder(data)) - data) ** 2).sum(1).mean(), steps)
    return encoder(data).detach().numpy()


@pitfall("A curved structure is not unrolled")
@holds("t-SNE, UMAP", "Autoencoder")
def check_what_unrolls_an_arc_and_what_separates_rings():
    """UMAP is not installed and not run."""
    angle = np.linspace(0, 1.6 * np.pi, 150)
    arc = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.02 * np.random.randn(150, 2)
    order = lambda Z: max(abs(spearmanr(column, angle)[0]) for column in Z.T)
    assert order(PCA(2).fit_transform(arc)) < 0.95
    assert min(order(TSNE(1, random_state=0).fit_transform(arc)), order(autoencoded(arc))) > 0.99
    sheet, along = make_swiss_roll(1000, random_state=0)
    unrolled = lambda Z: max(abs(spearmanr(column, along)[0]) for column in Z.T)
    assert unrolled(Isomap(n_neighbors=6).fit_transform(sheet)) > 0.98 > 0.9 > unrolled(PCA(2).fit_transform(sheet))
    assert unrolled(Isomap(n_neighbors=30).fit_transform(sheet)) < 0.9
    assert unrolled(TSNE(2, random_state=0, max_iter=500).fit_transform(sheet)) < 0.9
    X, y = make_circles(300, noise=0.05, factor=0.3, random_state=0)
    score = lambda Z: LogisticRegression(C=1e4).fit(Z, y).score(Z, y)
    assert max(score(PCA(2).fit_transform(X)), score(KernelPCA(2).fit_transform(X))) < 0.7
    assert (
        score(KernelPCA(2, kernel="rbf").fit_transform(X)) < 0.7
        and score(KernelPCA(2, kernel="rbf", gamma=5).fit_transform(X)) == 1
    )
    for seed in range(3):  # a wider inner ring: two components do not part it, three do
        X, y = make_circles(300, noise=0.05, factor=0.4, random_state=seed)
        tuned = lambda k: max(
            score(KernelPCA(k, kernel="rbf", gamma=gamma).fit_transform(X)) for gamma in (1, 5, 10, 15, 20)
        )
        assert tuned(2) < 0.9 < 0.99 < tuned(3)
    X, y = make_moons(300, noise=0.05, random_state=0)
    assert score(PCA(2).fit_transform(X)) < 0.92 and score(KernelPCA(2, kernel="rbf", gamma=15).fit_transform(X)) > 0.97


@holds("TruncatedSVD")
def check_sparse_input():
    X = np.random.randn(40, 6) * (np.random.rand(40, 6) < 0.3)
    np.testing.assert_allclose(
        PCA(2).fit(csr_array(X)).explained_variance_, PCA(2).fit(X).explained_variance_, rtol=1e-6
    )
