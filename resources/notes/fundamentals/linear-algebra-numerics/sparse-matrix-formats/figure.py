import numpy as np
from matplotlib.figure import Figure
from scipy import sparse

from figure_style import BLUE, GREEN, ORANGE, QUIET, figure, plt

SIZE = 1000


def bytes_of(a) -> list[int]:
    """Bytes in COO, CSR, DIA, ELL and HYB; HYB keeps the median row length in ELL and the rest in COO."""
    coo, csr, dia = a.tocoo(), a.tocsr(), a.todia()
    lengths = np.diff(csr.indptr)
    width = max(1, int(np.median(lengths)))
    hybrid = SIZE * width * 12 + int(np.maximum(lengths - width, 0).sum()) * 16
    return [
        coo.data.nbytes + coo.row.nbytes + coo.col.nbytes,
        csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes,
        dia.data.nbytes + dia.offsets.nbytes,
        SIZE * int(lengths.max()) * 12,
        hybrid,
    ]


@figure("figure-formats.svg")
def formats() -> Figure:
    """Bytes of five formats for three patterns of 1000 by 1000."""
    tridiagonal = sparse.diags_array([np.ones(SIZE - 1), np.ones(SIZE), np.ones(SIZE - 1)], offsets=[-1, 0, 1])
    full_row = sparse.eye_array(SIZE).tolil()
    full_row[0, :] = 1.0
    sizes = {
        "tridiagonal": bytes_of(tridiagonal),
        "random 1%": bytes_of(sparse.random_array((SIZE, SIZE), density=0.01, rng=0)),
        "diagonal + one full row": bytes_of(full_row),
    }
    dense = SIZE * SIZE * 8
    assert min(sizes["tridiagonal"]) == sizes["tridiagonal"][2] and sizes["random 1%"][2] > dense
    full = dict(zip(("COO", "CSR", "DIA", "ELL", "HYB"), sizes["diagonal + one full row"]))
    assert full["ELL"] > dense > 100 * max(full["COO"], full["CSR"], full["HYB"])

    drawn, panel = plt.subplots(figsize=(6.0, 2.9))
    for number, ((name, values), colour) in enumerate(zip(sizes.items(), (BLUE, ORANGE, GREEN))):
        panel.bar(np.arange(5) + 0.27 * (number - 1), values, 0.25, color=colour, label=name)
    panel.axhline(dense, color=QUIET, linestyle=":", linewidth=1.4)
    panel.text(-0.45, dense * 1.15, "dense", color=QUIET)
    panel.set_yscale("log")
    panel.set_ylim(1e4, 1e9)
    panel.set_xticks(range(5), ["COO", "CSR", "DIA", "ELL", "HYB"])
    panel.set_ylabel("bytes")
    panel.legend(loc="upper right", ncols=3, columnspacing=1, handlelength=1.2)
    return drawn
