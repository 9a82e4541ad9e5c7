import time
import warnings

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu, spsolve
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from note_checks import (
    by_definition,
    check,
    figure_of,
    formula,
    holds,
    pitfall,
    processor_seconds,
    quietly,
    raises,
    sourced,
    stated,
)

by_definition("Cost")
sourced("Bell and Garland 2009, Implementing sparse matrix-vector multiplication: ELL and HYB", "ELL, HYB")

PRODUCT = r"y_i = \sum_{p\,=\,\text{indptr}_i}^{\text{indptr}_{i+1} - 1} \text{data}_p \; x_{\text{indices}_p}"
BYTES = r"""
B_{\text{COO}} = z\,(v + 2k), \quad B_{\text{CSR}} = z\,(v + k) + (m + 1)\,k, \quad B_{\text{ELL}} = m K (v + k), \quad B_{\text{DIA}} = D\,(n v + k)
"""
A = np.array([[5.0, 0, 0, 1], [0, 0, 2, 0], [0, 3, 0, 4]])


def times(indptr, indices, data, x):
    return np.array(
        [sum(data[p] * x[indices[p]] for p in range(indptr[i], indptr[i + 1])) for i in range(len(indptr) - 1)]
    )


@formula(PRODUCT)
def check_product():
    for m, n, density in ((3, 4, 0.4), (7, 2, 0.9), (10, 10, 0.05), (1, 5, 1.0)):
        a, x = sparse.random_array((m, n), density=density, format="csr", rng=m), np.random.randn(n)
        np.testing.assert_allclose(times(a.indptr, a.indices, a.data, x), a.toarray() @ x, atol=1e-12)
        t = torch.tensor(a.toarray()).to_sparse_csr()
        np.testing.assert_allclose(
            times(t.crow_indices().numpy(), t.col_indices().numpy(), t.values().numpy(), x),
            (t @ torch.tensor(x)).numpy(),
            atol=1e-12,
        )


def ell(dense):
    """ELL by its definition: values and columns in rectangles as wide as the longest row."""
    K = int((dense != 0).sum(1).max())
    order = np.argsort(dense == 0, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(dense, order, 1), order.astype(np.int32)


# verified: formula-only for ELL, which SciPy does not have
@formula(BYTES)
def check_bytes():
    size = lambda *arrays: sum(array.nbytes for array in arrays)
    for m, n, density in ((30, 50, 0.1), (100, 100, 0.02), (5, 4, 0.6)):
        dense = sparse.random_array((m, n), density=density, rng=1).toarray()
        dense[0, -1] = 1.0
        coo, csr, dia, csc = (
            sparse.coo_array(dense),
            sparse.csr_array(dense),
            sparse.dia_array(dense),
            sparse.csc_array(dense),
        )
        z, v, k, K = csr.nnz, 8, 4, int((dense != 0).sum(1).max())
        assert (
            size(coo.data, *coo.coords) == z * (v + 2 * k)
            and size(csr.data, csr.indices, csr.indptr) == z * (v + k) + (m + 1) * k
        )
        assert size(csc.data, csc.indices, csc.indptr) == z * (v + k) + (n + 1) * k
        assert size(dia.data, dia.offsets) == len(dia.offsets) * (n * v + k)
        values, columns = ell(dense)
        assert size(values, columns) == m * K * (v + k)
        back = np.zeros_like(dense)
        np.put_along_axis(back, columns, values, 1)
        np.testing.assert_array_equal(back, dense)


@check
def check_dia_drops_empty_columns_at_the_right():
    narrow = A.copy()
    narrow[:, 3] = 0
    assert sparse.dia_array(narrow).data.shape == (3, 3) and sparse.dia_array(A).data.shape == (4, 4)


@check
def check_by_hand():
    coo, csr = sparse.coo_array(A), sparse.csr_array(A)
    assert (
        coo.row.tolist() == [0, 0, 1, 2, 2]
        and coo.col.tolist() == [0, 3, 2, 1, 3]
        and coo.data.tolist() == [5, 1, 2, 3, 4]
    )
    assert csr.indptr.tolist() == [0, 2, 3, 5]
    for text, value in zip(("9", "6", "22"), csr @ np.array([1, 2, 3, 4])):
        stated(text, value)
    stated("80", coo.data.nbytes + coo.row.nbytes + coo.col.nbytes)
    stated("76", csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes)
    stated("72", sum(part.nbytes for part in ell(A)))
    stated("96", A.nbytes)
    dia = sparse.dia_array(A)
    assert sorted(dia.offsets.tolist()) == [-1, 0, 1, 3]
    stated("144", dia.data.nbytes + dia.offsets.nbytes)
    loose = sparse.csr_array(([1.0, 2.0], [3, 0], [0, 2]), shape=(1, 4))
    assert not loose.has_sorted_indices and loose.toarray().tolist() == [[2, 0, 0, 1]]
    loose.sort_indices()
    assert loose.indices.tolist() == [0, 3]


@holds("Pays off", "dense", "`scipy.sparse.csr_array(A)`", "`torch.sparse_csr_tensor`, `A.to_sparse_csr()`")
def check_break_even():
    for share, smaller in ((0.65, True), (0.68, False)):
        a = sparse.random_array((400, 400), density=share, format="csr", rng=0)
        assert (a.data.nbytes + a.indices.nbytes + a.indptr.nbytes < 400 * 400 * 8) == smaller
    assert (
        torch.tensor(A).to_sparse_csr().col_indices().dtype == torch.int64
        and sparse.csr_array(A).indices.dtype == np.int32
    )
    raises(ValueError, lambda: sparse.csr_array(np.array(A, dtype=np.float16)), "float16")


@pitfall("Values come out larger than the ones put in")
def check_duplicates():
    twice = sparse.coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(2, 2))
    assert twice.nnz == 2 and twice.tocsr().nnz == 1 and twice.toarray()[0, 1] == twice.tocsr()[0, 1] == 3
    last = {(row, column): value for row, column, value in zip(*twice.coords, twice.data)}
    single = sparse.coo_array((list(last.values()), tuple(zip(*last))), shape=(2, 2))
    assert single.nnz == 1 and single.toarray()[0, 1] == single.tocsr()[0, 1] == 2
    t = torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 2.0], (2, 2))
    raises(RuntimeError, t.values, "uncoalesced")
    assert t.coalesce().values().tolist() == [3.0]


@holds("Names")
@pitfall("`A * B` means two things")
def check_star():
    square = np.array([[1.0, 2.0], [0.0, 3.0]])
    for kind in (sparse.csr_matrix, sparse.csr_array):
        assert np.array_equal((kind(square) @ kind(square)).toarray(), square @ square)
        assert np.array_equal(kind(square).multiply(kind(square)).toarray(), square * square)
    assert np.array_equal((sparse.csr_matrix(square) * sparse.csr_matrix(square)).toarray(), square @ square)
    assert np.array_equal((sparse.csr_array(square) * sparse.csr_array(square)).toarray(), square * square)
    assert np.array_equal(sparse.csr_matrix(square).multiply(square).toarray(), square * square)


def seconds_to_fill(empty, places):
    began = time.process_time()
    for place in places:
        empty[place] = 1.0
    return time.process_time() - began, empty.tocsr()


@holds("COO", "CSR", "LIL, DOK")
@pitfall("Filling a CSR matrix element by element is slow")
def check_filling():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        a = sparse.csr_array(A)
        a[0, 1] = 7
    assert any(
        "Changing the sparsity structure" in str(one.message) and "is expensive" in str(one.message) for one in caught
    )
    places = list(dict.fromkeys(zip(*np.random.randint(0, 1000, (2, 800)))))
    slow, expected = quietly(lambda: seconds_to_fill(sparse.csr_array((1000, 1000)), places))
    for kind in (sparse.lil_array, sparse.dok_array):
        fast, filled = seconds_to_fill(kind((1000, 1000)), places)
        assert slow > 3 * fast and (filled != expected).nnz == 0
    began = time.process_time()
    once = sparse.coo_array((np.ones(len(places)), tuple(zip(*places))), shape=(1000, 1000)).tocsr()
    assert slow > 3 * (time.process_time() - began) and (once != expected).nnz == 0


@pitfall("`nnz` counts zeros")
def check_stored_zeros():
    a = sparse.csr_array(A)
    a.data[0] = 0
    assert a.nnz == 5 and a.count_nonzero() == 4
    a.eliminate_zeros()
    assert a.nnz == 4
    for kind, left in ((sparse.csr_array, 5), (sparse.lil_array, 4), (sparse.dok_array, 4)):
        a = kind(A)
        a[0, 0] = 0
        assert a.nnz == left


@pitfall("Memory explodes in preprocessing")
def check_centring():
    large = sparse.random_array((500, 400), density=0.01, format="csr", rng=0)
    size = lambda a: a.data.nbytes + a.indices.nbytes + a.indptr.nbytes
    centred = large - large.mean(0)
    assert (centred != 0).mean() > 0.95 and centred.nbytes > 50 * size(large)
    for scaler in (StandardScaler(with_mean=False), MaxAbsScaler()):
        scaled = scaler.fit_transform(large)
        assert sparse.issparse(scaled) and scaled.nnz == large.nnz and size(scaled) == size(large)
    a = sparse.csr_array(A)
    assert a.toarray().shape == (3, 4)
    raises(ValueError, lambda: StandardScaler().fit(a), "center sparse")
    assert sparse.issparse(StandardScaler(with_mean=False).fit_transform(a)) and sparse.issparse(
        MaxAbsScaler().fit_transform(a)
    )
    assert np.array(a).shape == () and np.array(a).dtype == object


def bytes_of_torch(t):
    return sum(part.numel() * part.element_size() for part in (t.values(), t.col_indices(), t.crow_indices()))


@holds("Why is the same CSR matrix larger in PyTorch?", "`torch.sparse_csr_tensor`, `A.to_sparse_csr()`")
def check_index_types_of_torch():
    t = torch.tensor(A).to_sparse_csr()
    stated("112", bytes_of_torch(t))
    small = torch.sparse_csr_tensor(t.crow_indices().int(), t.col_indices().int(), t.values(), t.shape)
    assert small.col_indices().dtype == torch.int32 and bytes_of_torch(small) == 76


@holds("Is the product of two sparse matrices sparse?")
def check_product_can_be_full():
    column = np.zeros((4, 4))
    column[:, 0] = 1.0
    a = sparse.csr_array(column)
    stated("4", a.nnz)
    stated("16", (a @ a.T).nnz)
    band = sparse.diags_array(
        [np.full(29, -1.0), np.full(30, 2.0), np.full(29, -1.0)], offsets=[-1, 0, 1], format="csc"
    )
    assert (np.abs(np.linalg.inv(band.toarray())) > 1e-3).all()
    b = np.random.randn(30)
    np.testing.assert_allclose(spsolve(band, b), np.linalg.solve(band.toarray(), b), atol=1e-9)


@holds("BSR", "`scipy.sparse.csr_array(A)`")
def check_blocks_and_one_axis():
    blocks = sparse.bsr_array(np.kron(np.eye(3), np.ones((2, 2))))
    assert len(blocks.indices) == 3 and sparse.csr_array(blocks).nnz == 12
    scattered = sparse.random_array((100, 100), density=0.01, rng=0).tobsr(blocksize=(2, 2))
    assert scattered.data.size > 3 * np.count_nonzero(scattered.data)
    line = sparse.csr_array(np.array([1.0, 0.0, 2.0]))
    assert line.shape == (3,) and (line.data.tolist(), line.indices.tolist(), line.indptr.tolist()) == (
        [1, 2],
        [0, 2],
        [0, 2],
    )


@holds("COO")
def check_any_order():
    """The same matrix from shuffled triplets; the triplets keep their order."""
    order = np.random.permutation(5)
    rows, columns = np.nonzero(A)
    coo = sparse.coo_array((A[rows, columns][order], (rows[order], columns[order])), shape=A.shape)
    assert coo.coords[0].tolist() == rows[order].tolist() and all(
        (kind(coo).toarray() == A).all() for kind in (sparse.csr_array, sparse.dok_array)
    )


@holds("CSR", "CSC", "Why is a column slice of CSR slow?")
def check_slices_and_solver():
    csr = sparse.random_array((20_000, 20_000), density=1e-3, format="csr", rng=0)
    csc = csr.tocsc()
    across, down, csc_across, csc_down = processor_seconds(
        lambda: csr[[7]], lambda: csr[:, [7]], lambda: csc[[7]], lambda: csc[:, [7]], rounds=4
    )
    assert down > 3 * across and csc_across > 3 * csc_down
    assert CountVectorizer().fit_transform(["a word", "two words"]).format == "csr"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        splu(sparse.eye_array(3, format="csr"))
        splu(sparse.eye_array(3, format="csc"))
    assert len(caught) == 1 and "CSC format" in str(caught[0].message)


@holds("CSR", "LIL, DOK")
def check_products_of_what_is_easy_to_change():
    csr, x = sparse.random_array((1000, 1000), density=0.02, format="csr", rng=0), np.ones(1000)
    lil, dok = csr.tolil(), csr.todok()
    fast, first, second = processor_seconds(lambda: csr @ x, lambda: lil @ x, lambda: dok @ x, rounds=3)
    assert min(first, second) > 3 * fast


@holds("DIA", "ELL, HYB", "dense")
def check_patterns():
    drawn = figure_of(__file__)
    sizes = lambda a: quietly(lambda: drawn.bytes_of(a))
    band = sizes(sparse.diags_array([np.ones(999), np.ones(1000), np.ones(999)], offsets=[-1, 0, 1]))
    scattered, row = sizes(sparse.random_array((1000, 1000), density=0.01, rng=0)), sparse.eye_array(1000).tolil()
    row[0, :] = 1.0
    coo, csr, _, ell_bytes, hyb = sizes(row)
    assert min(band) == band[2] and scattered[2] > 8 * 1000**2 > 20 * scattered[1]
    assert sizes(sparse.random_array((1000, 1000), density=1e-4, rng=0))[2] < 8 * 1000**2
    assert (
        ell_bytes > 100 * max(coo, csr, hyb) and not hasattr(sparse, "ell_array") and not hasattr(sparse, "hyb_array")
    )


@holds("Why does CSR need $m + 1$ pointers?")
def check_empty_row():
    a = sparse.csr_array(np.array([[1.0, 0], [0, 0], [2, 3]]))
    assert a.indptr.tolist() == [0, 1, 1, 3] and [a.data[a.indptr[i] : a.indptr[i + 1]].tolist() for i in range(3)] == [
        [1],
        [],
        [2, 3],
    ]
    assert a.indptr[3] == a.nnz


@holds("Does a sparse format make a pruned network faster?")
def check_bytes_of_a_pruned_layer():
    dense = torch.rand(512, 512) + 0.1
    for kept, smaller in ((0.32, True), (0.35, False), (0.5, False)):
        pruned = dense * (torch.rand(512, 512) < kept)
        csr = pruned.to_sparse_csr()
        assert (bytes_of_torch(csr) < dense.nbytes) == smaller
    stated("12", csr.values().element_size() + csr.col_indices().element_size())
