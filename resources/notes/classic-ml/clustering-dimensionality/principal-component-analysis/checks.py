import math

import numpy as np
import torch
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA, KernelPCA
from sklearn.preprocessing import StandardScaler

from note_checks import check, formula, stated

EIGEN = r"""
\Sigma = \frac{1}{n - 1} \bar{X}^\top \bar{X}, \qquad \Sigma v_j = \lambda_j v_j, \qquad \lambda_1 \ge \lambda_2 \ge \dots \ge \lambda_d \ge 0
"""
PROJECTION = r"Z = \bar{X} V_k, \qquad \hat{X} = Z V_k^\top + \mu"
SINGULAR = r"""
\lambda_j = \frac{s_j^2}{n - 1}, \qquad \frac{1}{n - 1} \lVert X - \hat{X} \rVert_F^2 = \sum_{j > k} \lambda_j
"""
EXAMPLE = np.array([[0.0, 0], [1, 1], [2, 3], [3, 2], [4, 4]])


def data():
    for n, d in [(10, 2), (50, 6), (30, 4)]:
        yield np.random.randn(n, d) @ np.random.randn(d, d) + 5 * np.random.randn(d)


@formula(EIGEN)
def check_eigen():
    for X in data():
        centred = X - X.mean(0)
        covariance = centred.T @ centred / (len(X) - 1)
        pca = PCA().fit(X)
        np.testing.assert_allclose(np.linalg.eigvalsh(covariance)[::-1], pca.explained_variance_, rtol=1e-8)
        np.testing.assert_allclose(covariance @ pca.components_.T, pca.components_.T * pca.explained_variance_, atol=1e-8)
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
            np.testing.assert_allclose(Z @ pca.components_ + X.mean(0), pca.inverse_transform(pca.transform(new)), atol=1e-9)
            white = PCA(k, whiten=True).fit(X)
            np.testing.assert_allclose(Z / np.sqrt(pca.explained_variance_), white.transform(new), atol=1e-8)
            np.testing.assert_allclose(white.transform(X).var(0, ddof=1), 1)


@formula(SINGULAR)
def check_singular_values():
    for X in data():
        n, s = len(X), np.linalg.svd(X - X.mean(0))[1]
        variances = PCA().fit(X).explained_variance_
        np.testing.assert_allclose(s**2 / (n - 1), variances, rtol=1e-8)
        for k in range(1, X.shape[1]):
            pca = PCA(k).fit(X)
            error = ((X - pca.inverse_transform(pca.transform(X))) ** 2).sum() / (n - 1)
            assert math.isclose(error, variances[k:].sum(), rel_tol=1e-8)
            other = np.linalg.qr(np.random.randn(X.shape[1], k))[0]
            centred = X - X.mean(0)
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


@check
def check_contract():
    X = np.random.randn(20, 5)
    pca = PCA(3).fit(X)
    assert pca.components_.shape == (3, 5) and pca.mean_.shape == (5,) and pca.transform(X).shape == (20, 3)
    np.testing.assert_allclose(np.linalg.norm(pca.components_, axis=1), 1)
    assert PCA().n_components is None and PCA().fit(X[:4]).n_components_ == 4 and KernelPCA().kernel == "linear"
    solver = lambda n, d, k=None: PCA(k).fit(np.random.randn(n, d))._fit_svd_solver
    assert (solver(500, 4), solver(30, 4), solver(600, 600, 3)) == ("covariance_eigh", "full", "randomized")
    U, S, V = torch.pca_lowrank(torch.tensor(X), q=5)
    np.testing.assert_allclose(S.numpy() ** 2 / 19, PCA().fit(X).explained_variance_, rtol=1e-6)
    assert U.shape == (20, 5) and V.shape == (5, 5) and torch.pca_lowrank(torch.randn(30, 9))[1].shape == (6,)


@check
def check_second_fit_moves_test_data():
    X = np.random.randn(60, 3) * [3, 2, 1]
    test = X[:20] + 5
    once, again = PCA(2).fit(X).transform(test), PCA(2).fit_transform(test)
    assert abs(once.mean(0)).max() > 1 > 1e-9 > abs(again.mean(0)).max()


@check
def check_units():
    wine = load_wine().data
    stated("99.8%", PCA().fit(wine).explained_variance_ratio_[0])
    assert abs(PCA().fit(wine).components_[0]).max() > 0.99
    scaled = StandardScaler().fit_transform(wine)
    stated("36%", PCA().fit(scaled).explained_variance_ratio_[0])


@check
def check_signs_and_ratios():
    for X in data():
        pca = PCA(2).fit(X)
        V = -pca.components_
        np.testing.assert_allclose((X - X.mean(0)) @ V.T @ V + X.mean(0), pca.inverse_transform(pca.transform(X)), atol=1e-9)
        biased = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
        n = len(X)
        np.testing.assert_allclose(biased[:2], pca.explained_variance_ * (n - 1) / n, rtol=1e-8)
        Z = PCA().fit_transform(X)
        np.testing.assert_allclose(np.corrcoef(Z.T), np.eye(X.shape[1]), atol=1e-8)


@check
def check_labels_are_ignored():
    y = np.repeat([0, 1], 100)
    X = np.stack([10 * np.random.randn(200), y + 0.1 * np.random.randn(200)], 1)
    Z = PCA().fit_transform(X)
    gap = [abs(Z[y == 0, j].mean() - Z[y == 1, j].mean()) / Z[:, j].std() for j in (0, 1)]
    assert gap[0] < 0.5 < 1.5 < gap[1]
