import math

import numpy as np
import scipy.linalg
import torch
from scipy import sparse
from scipy.sparse.linalg import svds
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

sourced("Trefethen and Bau, Numerical Linear Algebra, lecture 31: cost of the reduced SVD", "Cost")

DECOMPOSITION = r"A = U \Sigma V^\top = \sum_{i=1}^{r} \sigma_i\, u_i v_i^\top, \qquad U^\top U = I, \quad V^\top V = I"
NORMS = r"\lVert A \rVert_2 = \sigma_1, \qquad \lVert A \rVert_F^2 = \sum_{i} \sigma_i^2"
BEST = r"""
A_k = \sum_{i=1}^{k} \sigma_i\, u_i v_i^\top, \qquad \min_{\mathrm{rank}(B) \le k} \lVert A - B \rVert_F^2 = \lVert A - A_k \rVert_F^2 = \sum_{i > k} \sigma_i^2
"""
INVERSE = r"A^{+} = \sum_{\sigma_i > 0} \frac{1}{\sigma_i}\, v_i u_i^\top"


def matrices():
    """Tall, wide, square, a column, and one of rank 2."""
    for m, n in [(5, 3), (3, 6), (4, 4), (4, 1)]:
        yield np.random.randn(m, n)
    yield np.random.randn(6, 2) @ np.random.randn(2, 5)


@holds("SVD")
@formula(DECOMPOSITION)
def check_decomposition():
    for A in matrices():
        U, S, Vh = (part.numpy() for part in torch.linalg.svd(torch.tensor(A), full_matrices=False))
        rank = np.linalg.matrix_rank(A)
        np.testing.assert_allclose(sum(S[i] * np.outer(U[:, i], Vh[i]) for i in range(rank)), A, atol=1e-9)
        np.testing.assert_allclose(U.T @ U, np.eye(len(S)), atol=1e-9)
        np.testing.assert_allclose(Vh @ Vh.T, np.eye(len(S)), atol=1e-9)
        assert (np.diff(S) <= 0).all() and (S >= 0).all()
        np.testing.assert_allclose(S, np.linalg.svd(A)[1], atol=1e-9)
        np.testing.assert_allclose(S, scipy.linalg.svd(A)[1], atol=1e-9)
        np.testing.assert_allclose((S**2)[:rank], np.linalg.eigvalsh(A.T @ A)[::-1][:rank], atol=1e-9)


@formula(NORMS)
def check_norms():
    for A in matrices():
        S = torch.linalg.svdvals(torch.tensor(A)).numpy()
        assert math.isclose(np.linalg.norm(A, 2), S[0]) and math.isclose(np.linalg.norm(A, "fro") ** 2, (S**2).sum())


@formula(BEST)
def check_best_approximation():
    for A in matrices():
        U, S, Vh = np.linalg.svd(A, full_matrices=False)
        for k in range(1, len(S)):
            best = sum(S[i] * np.outer(U[:, i], Vh[i]) for i in range(k))
            error = ((A - best) ** 2).sum()
            assert math.isclose(error, (S[k:] ** 2).sum(), abs_tol=1e-9) and np.linalg.matrix_rank(best) <= k
            left = np.random.randn(A.shape[0], k)
            for _ in range(200):
                right = np.linalg.lstsq(left, A, rcond=None)[0]
                assert ((A - left @ right) ** 2).sum() >= error - 1e-9
                left = np.linalg.lstsq(right.T, A.T, rcond=None)[0].T
            assert ((A - left @ right) ** 2).sum() <= error * 1.05 + 1e-6


@formula(INVERSE)
def check_pseudoinverse():
    for A in matrices():
        U, S, Vh = np.linalg.svd(A, full_matrices=False)
        ours = sum(np.outer(Vh[i], U[:, i]) / S[i] for i in range(len(S)) if S[i] > 1e-10)
        np.testing.assert_allclose(ours, torch.linalg.pinv(torch.tensor(A)).numpy(), atol=1e-9)
        b = np.random.randn(len(A))
        np.testing.assert_allclose(ours @ b, np.linalg.lstsq(A, b, rcond=None)[0], atol=1e-9)


@check
def check_by_hand():
    A = np.array([[2.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(A.T @ A)), [1, 9])
    np.testing.assert_allclose(A.T @ A, [[5, 4], [4, 5]])
    U, S, Vh = np.linalg.svd(A)
    np.testing.assert_allclose(S, [3, 1])
    first = S[0] * np.outer(U[:, 0], Vh[0])
    for value in first.ravel():
        stated("1.5", round(value, 9))
    assert math.isclose(np.linalg.norm(A - first), 1)


@holds("`torch.linalg.svd(A)`", "`full_matrices=False`", "Returned", "dtype")
def check_contract():
    A = torch.randn(2, 5, 3)
    assert [tuple(part.shape) for part in torch.linalg.svd(A)] == [(2, 5, 5), (2, 3), (2, 3, 3)]
    assert [tuple(part.shape) for part in torch.linalg.svd(A, full_matrices=False)] == [(2, 5, 3), (2, 3), (2, 3, 3)]
    Z = torch.randn(3, 3, dtype=torch.complex64)
    complex_parts = torch.linalg.svd(Z)
    assert complex_parts.S.dtype == torch.float32
    V = (Z.mH @ complex_parts.U) / complex_parts.S  # from A^H u = sigma v
    assert torch.allclose(complex_parts.Vh, V.mH, atol=1e-3) and not torch.allclose(complex_parts.Vh, V.mT, atol=1e-2)
    raises(RuntimeError, lambda: torch.linalg.svd(torch.ones(2, 2, dtype=torch.long)))
    for kind in (torch.float32, torch.float64, torch.complex128):
        U, S, Vh = torch.linalg.svd(torch.randn(4, 3, dtype=kind), full_matrices=False)
        assert U.dtype == Vh.dtype == kind and S.ndim == 1 and not S.is_complex() and (S.diff() <= 0).all()
    U, S, V = torch.svd(A[0])
    assert torch.allclose(U * S @ V.T, A[0], atol=1e-5) and not torch.allclose(U * S @ V, A[0], atol=1e-2)


@pitfall("The reconstruction is wrong though the call succeeded")
def check_reconstruction():
    A = torch.randn(3, 3)
    U, S, Vh = torch.linalg.svd(A, full_matrices=False)
    assert (U @ S @ Vh).shape == (3,) and not torch.allclose(U * S @ Vh.T, A, atol=1e-2)
    assert torch.allclose(U * S @ Vh, A, atol=1e-5)
    for rows in (A.numpy(), np.random.randn(6, 3)):
        U, S, Vh = np.linalg.svd(rows, full_matrices=False)
        np.testing.assert_allclose(U * S @ Vh, rows, atol=1e-5)
    batch = torch.randn(3, 3, 3)
    U, S, Vh = torch.linalg.svd(batch, full_matrices=False)
    assert torch.allclose(U * S[..., None, :] @ Vh, batch, atol=1e-5)
    assert not torch.allclose(U * S @ Vh, batch, atol=1e-2)
    U, S, Vh = torch.linalg.svd(torch.randn(6, 3))
    raises(RuntimeError, lambda: U * S @ Vh)


@pitfall("Out of memory for a tall matrix")
def check_memory():
    assert 100_000**2 * torch.finfo(torch.float32).bits / 8 == 40e9
    tall = torch.randn(1500, 4)
    (full, _, _), (thin, S, Vh) = torch.linalg.svd(tall), torch.linalg.svd(tall, full_matrices=False)
    assert full.numel() == 1500**2 and thin.numel() == 1500 * 4 and torch.allclose(thin * S @ Vh, tall, atol=1e-4)
    A = torch.randn(200, 3) @ torch.randn(3, 50)
    assert torch.allclose(torch.svd_lowrank(A, q=3)[1], torch.linalg.svdvals(A)[:3], rtol=1e-3)
    left, few, V = torch.svd_lowrank(A, q=3)
    assert V.shape == (50, 3) and torch.allclose(left * few @ V.T, A, atol=1e-3)
    raises(RuntimeError, lambda: left * few @ V)
    noise = torch.randn(1000, 200)
    assert not torch.allclose(torch.svd_lowrank(noise, q=3)[1], torch.linalg.svdvals(noise)[:3], rtol=0.02)


@pitfall("NaN gradients")
def check_gradients():
    for matrix, finite in ((torch.eye(3), False), (torch.randn(3, 3), True)):
        A = matrix.clone().requires_grad_()
        torch.linalg.svd(A).U[0, 0].backward()
        assert torch.isfinite(A.grad).all() == finite
    for rows, finite in ((3, True), (6, False)):  # distinct, one of them 0
        A = (
            torch.zeros(rows, 3)
            .index_put_((torch.arange(3), torch.arange(3)), torch.tensor([3.0, 2.0, 0.0]))
            .requires_grad_()
        )
        torch.linalg.svd(A, full_matrices=False).U[0, 0].backward()
        assert torch.isfinite(A.grad).all() == finite
        wide = A.detach().mT.clone().requires_grad_()
        torch.linalg.svd(wide, full_matrices=False).Vh[0, 0].backward()
        assert torch.isfinite(wide.grad).all() == finite
    A = (torch.eye(3) + 1e-4 * torch.randn(3, 3)).requires_grad_()
    torch.linalg.svd(A).U[0, 0].backward()
    assert torch.isfinite(A.grad).all() and A.grad.norm() > 10
    low = torch.diag(torch.tensor([1.0, 2e-4, 1e-4]))  # rank 1 and noise: the first vector stands apart
    for column, huge in ((0, False), (1, True)):
        A = low.clone().requires_grad_()
        torch.linalg.svd(A).U[2, column].backward()
        assert torch.isfinite(A.grad).all() and 0.1 < A.grad.norm() and bool(A.grad.norm() > 1000) is huge
    for equal in (torch.eye(3), torch.diag(torch.tensor([1.0, 0.0, 0.0]))):
        A = equal.clone().requires_grad_()
        torch.linalg.svd(A).U[0, 0].backward()
        assert torch.isnan(A.grad).any()
        for order in (None, "nuc", "fro", 2):
            A = equal.clone().requires_grad_()
            value = torch.linalg.svdvals(A).sum() if order is None else torch.linalg.matrix_norm(A, order)
            value.backward()
            assert torch.isfinite(A.grad).all()


def signed(U, Vh):
    """The largest entry of each column of U in absolute value becomes positive; the row of Vh is flipped with it."""
    sign = np.sign(U[np.abs(U).argmax(0), np.arange(U.shape[1])])
    return U * sign, Vh * sign[:, None]


@pitfall("Signs differ between machines or libraries")
def check_signs():
    differ = False
    for _ in range(5):
        A = np.random.randn(6, 4)
        parts = [scipy.linalg.svd(A, full_matrices=False, lapack_driver=driver) for driver in ("gesdd", "gesvd")]
        V, S, Uh = np.linalg.svd(A.T, full_matrices=False)
        parts += [(Uh.T, S, V.T), (-parts[0][0], S, -parts[0][2])]
        differ |= not np.allclose(parts[0][0], parts[2][0])
        for U, S, Vh in parts:
            np.testing.assert_allclose(U * S @ Vh, A, atol=1e-9)
            np.testing.assert_allclose(U[:, :2] @ U[:, :2].T, parts[0][0][:, :2] @ parts[0][0][:, :2].T, atol=1e-9)
            for ours, first in zip(signed(U, Vh), signed(parts[0][0], parts[0][2])):
                np.testing.assert_allclose(ours, first, atol=1e-9)
    assert differ
    Q = np.linalg.qr(np.random.randn(3, 3))[
        0
    ]  # equal values: the rotated pair is valid too, and no sign makes it equal
    np.testing.assert_allclose(Q * np.ones(3) @ Q.T, np.eye(3), atol=1e-12)
    assert not np.allclose(signed(Q, Q.T)[0], np.eye(3))


@pitfall("Rank and pseudoinverse explode on noise")
def check_rounded_rank():
    A = torch.randn(40, 3) @ torch.randn(3, 40)
    S = torch.linalg.svdvals(A)
    assert 0 < S[3] / S[0] < 1e-6 and torch.linalg.matrix_rank(A) == 3
    assert torch.linalg.pinv(A).norm() < 10 < 1 / S[3:].min()
    assert np.linalg.norm(np.linalg.pinv(A.numpy())) > 1000
    noisy = A + 1e-3 * torch.randn(40, 40)
    assert torch.linalg.matrix_rank(noisy) > 30 and torch.linalg.matrix_rank(noisy, rtol=0.01) == 3
    assert torch.linalg.pinv(noisy).norm() > 100 > 10 > torch.linalg.pinv(noisy, rtol=0.01).norm()
    share = torch.linalg.matrix_norm(noisy - A, 2) / torch.linalg.matrix_norm(noisy, 2)
    assert torch.linalg.matrix_rank(noisy, rtol=1.2 * share) == 3 < torch.linalg.matrix_rank(noisy, rtol=0.3 * share)
    S = torch.linalg.svdvals(noisy)
    assert (1 / S).max() > 100 > 10 > (S / (S**2 + 0.1)).max()
    raw = load_breast_cancer().data  # the default tolerance drops real columns of small numbers
    for text, rows in (("12", raw), ("30", StandardScaler().fit_transform(raw))):
        stated(text, torch.linalg.matrix_rank(torch.tensor(rows, dtype=torch.float32)))


@holds("SVD")
def check_least_squares():
    X, y = np.random.randn(30, 4), np.random.randn(30)
    U, S, Vh = np.linalg.svd(X, full_matrices=False)
    np.testing.assert_allclose(Vh.T @ ((U.T @ y) / S), np.linalg.lstsq(X, y, rcond=None)[0], atol=1e-10)
    assert math.isclose(np.linalg.cond(X), S[0] / S[-1])


@holds("Cost")
def check_few_terms():
    A = np.random.randn(40, 30)
    assert svds(A, k=3)[1].shape == (3,) and TruncatedSVD(3).fit(A).components_.shape == (3, 30)
    assert [part.shape for part in torch.svd_lowrank(torch.tensor(A), q=3)] == [(40, 3), (3,), (30, 3)]


@holds("Eigendecomposition", "SVD or eigendecomposition: when are they the same?")
def check_eigenvalues():
    B = np.random.randn(4, 4)
    for A, same in ((B @ B.T, True), (B + B.T - 2 * np.eye(4), False)):
        values, vectors = np.linalg.eigh(A)
        U, S, Vh = np.linalg.svd(A)
        np.testing.assert_allclose(np.sort(np.abs(values)), S[::-1], atol=1e-9)
        assert np.allclose(np.sort(values), S[::-1]) == same and np.allclose(U, Vh.T) == same
        np.testing.assert_allclose(np.abs(U), np.abs(Vh.T), atol=1e-8)
        np.testing.assert_allclose(vectors * values**5 @ vectors.T, np.linalg.matrix_power(A, 5), rtol=1e-6, atol=1e-6)
    assert np.linalg.matrix_rank(np.linalg.eig(np.array([[1.0, 1.0], [0.0, 1.0]]))[1]) == 1  # not diagonalizable
    assert np.linalg.svd(np.random.randn(3, 2))[1].shape == (2,)
    raises(np.linalg.LinAlgError, lambda: np.linalg.eig(np.random.randn(3, 2)))


@holds("PCA", "`TruncatedSVD`")
def check_centring():
    X = np.random.randn(50, 4) * [3, 2, 1, 0.5] + 10
    Vh = np.linalg.svd(X - X.mean(0))[2]
    np.testing.assert_allclose(np.abs(PCA(2).fit(X).components_), np.abs(Vh[:2]), atol=1e-8)
    first = np.abs(TruncatedSVD(2, algorithm="arpack").fit(X).components_[0])
    assert np.allclose(first, np.abs(np.linalg.svd(X)[2][0])) and not np.allclose(first, np.abs(Vh[0]), atol=0.1)
    texts = ["ball team goal", "team goal", "vote law", "law vote party"]
    tfidf = TfidfVectorizer().fit_transform(texts)
    assert sparse.issparse(tfidf)
    topics = TruncatedSVD(2, random_state=0).fit_transform(tfidf)
    assert abs(topics[0] @ topics[2]) < 1e-6 < 0.3 < topics[0] @ topics[1]


@holds("QR")
def check_qr():
    X, y = np.random.randn(30, 4), np.random.randn(30)
    Q, R = np.linalg.qr(X)
    np.testing.assert_allclose(
        scipy.linalg.solve_triangular(R, Q.T @ y), np.linalg.lstsq(X, y, rcond=None)[0], atol=1e-10
    )
    X[:, 3] = X[:, 2]
    assert abs(np.linalg.qr(X)[1][3, 3]) < 1e-12  # no division by it


@holds("What is the condition number?")
def check_growth_of_errors():
    """The bound is reached for b along the first and the error along the last left vector."""
    A = np.random.randn(4, 4)
    U, S, _ = np.linalg.svd(A)
    growth = lambda b, error: (
        np.linalg.norm(np.linalg.solve(A, error))
        / np.linalg.norm(np.linalg.solve(A, b))
        * np.linalg.norm(b)
        / np.linalg.norm(error)
    )
    assert math.isclose(growth(U[:, 0], U[:, -1]), S[0] / S[-1], rel_tol=1e-6)
    assert all(growth(*np.random.randn(2, 4)) <= S[0] / S[-1] * (1 + 1e-9) for _ in range(100))
    assert math.isclose(np.linalg.cond(A.T @ A), np.linalg.cond(A) ** 2, rel_tol=1e-6)


@holds("How many terms should be kept?")
def check_share_and_error():
    A = np.random.randn(30, 20) * 0.8 ** np.arange(20)
    U, S, Vh = np.linalg.svd(A, full_matrices=False)
    k = int(((S**2).cumsum() / (S**2).sum() < 0.95).sum()) + 1
    error = np.linalg.norm(A - U[:, :k] * S[:k] @ Vh[:k]) / np.linalg.norm(A)
    stated("22%", math.sqrt(0.05))
    assert k < 20 and error <= math.sqrt(0.05) < np.linalg.norm(
        A - U[:, : k - 1] * S[: k - 1] @ Vh[: k - 1]
    ) / np.linalg.norm(A)


@holds("Why does ridge regression shrink some directions more?")
def check_siblings_and_questions():
    X, y = np.random.randn(30, 4) + 3, np.random.randn(30)
    truncated = TruncatedSVD(2, algorithm="arpack").fit(X)
    np.testing.assert_allclose(truncated.singular_values_, np.linalg.svd(X)[1][:2], rtol=1e-7)
    U, S, Vh = np.linalg.svd(X, full_matrices=False)
    plain = Vh.T @ ((U.T @ y) / S)
    np.testing.assert_allclose(
        Vh.T @ (S / (S**2 + 2.0) * (U.T @ y)), Ridge(alpha=2.0, fit_intercept=False).fit(X, y).coef_, atol=1e-8
    )
    np.testing.assert_allclose(
        Vh @ Ridge(alpha=2.0, fit_intercept=False).fit(X, y).coef_, S**2 / (S**2 + 2.0) * (Vh @ plain), atol=1e-8
    )
    assert math.isclose(np.linalg.cond(X.T @ X), np.linalg.cond(X) ** 2, rel_tol=1e-6)
    symmetric = np.diag([2.0, -5.0])
    assert np.allclose(np.linalg.svd(symmetric)[1], [5, 2])


@check
def check_figure_numbers():
    x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
    image = np.linalg.svd(np.exp(-8 * ((x - 0.3) ** 2 + (y + 0.2) ** 2)) + np.sin(5 * x * y) + (x + y > 0.5))[1]
    stated("10%", math.sqrt((image[8:] ** 2).sum() / (image**2).sum()))
    rng = np.random.default_rng(0)
    noise = np.linalg.svd(rng.normal(size=(64, 64)))[1]
    kept = 8 * 128 / 64**2
    assert kept == 0.25
    stated("70%", round(math.floor(10 * math.sqrt((noise[8:] ** 2).sum() / (noise**2).sum())) / 10, 1))
