import numpy as np
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, figure, plt


def communities() -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates per node: the matrix that DeepWalk factorizes (window 5, one negative), by SVD."""
    rng = np.random.default_rng(0)
    label = np.arange(90) // 30
    upper = np.triu(rng.random((90, 90)) < np.where(label[:, None] == label, 0.3, 0.02), 1)
    A = (upper | upper.T).astype(float)
    d = A.sum(1)
    assert d.min() > 0
    powers = sum(np.linalg.matrix_power(A / d[:, None], r) for r in range(1, 6))
    target = np.log(np.maximum(d.sum() / 5 * powers / d[None], 1e-2))
    target -= target.mean()
    vectors, values, _ = np.linalg.svd((target + target.T) / 2)
    return vectors[:, :2] * np.sqrt(values[:2]), label


def distances(q: float, steps: int = 30, walks: int = 3000) -> np.ndarray:
    """Mean distance from the start of node2vec walks (p = 1) on an endless grid with 8 neighbours."""
    rng = np.random.default_rng(1)
    moves = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)])
    here = np.zeros((walks, 2), int)
    before = here - moves[rng.integers(8, size=walks)]
    far = [0.0]
    for _ in range(steps):
        options = here[:, None] + moves
        gap = np.abs(options - before[:, None]).max(2)
        weights = np.where(gap <= 1, 1.0, 1 / q)
        chosen = (weights.cumsum(1) > rng.random(walks)[:, None] * weights.sum(1, keepdims=True)).argmax(1)
        before, here = here, options[np.arange(walks), chosen]
        far.append(np.abs(here).max(1).mean())
    return np.array(far)


@figure("figure-walks.svg")
def groups_and_walks() -> Figure:
    """Walk statistics separate communities; q steers how far walks go."""
    drawn, (left, right) = plt.subplots(1, 2)
    z, label = communities()
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    nearest = (unit @ unit.T - 2 * np.eye(90)).argmax(1)
    assert (label[nearest] == label).mean() > 0.95
    for group, (colour, marker) in enumerate(((BLUE, "o"), (ORANGE, "^"), (GREEN, "s"))):
        left.scatter(*z[label == group].T, s=14, color=colour, marker=marker, linewidths=0)
    left.set_title("three communities")
    left.set_xticks([])
    left.set_yticks([])
    curves = {q: distances(q) for q in (0.25, 1.0, 4.0)}
    assert curves[0.25][-1] > 1.2 * curves[1.0][-1] > 1.44 * curves[4.0][-1], [c[-1] for c in curves.values()]
    for (q, far), colour, style in zip(curves.items(), (BLUE, GREEN, ORANGE), ("-", ":", "--")):
        right.plot(far, style, color=colour, label=f"q = {q:g}")
    right.set_xlabel("steps")
    right.set_title("distance from the start")
    right.legend()
    return drawn
