import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

from figure_style import BLUE, INK, QUIET, figure, plt

STEPS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def accuracies(seed: int) -> list[float]:
    """Two communities of 100 nodes with noisy features; a linear classifier on the propagated features, 10 labels each."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], 100)
    chance = np.where(y[:, None] == y[None], 0.06, 0.02)
    upper = np.triu(rng.random((200, 200)) < chance, 1)
    A = (upper | upper.T) + np.eye(200)
    root = 1 / np.sqrt(A.sum(1))
    step = root[:, None] * A * root[None]
    x = rng.normal(size=(200, 8)) + 0.4 * (2 * y[:, None] - 1) * np.eye(8)[0]
    train = np.concatenate([rng.permutation(100)[:10], 100 + rng.permutation(100)[:10]])
    rest = np.setdiff1d(np.arange(200), train)
    found = []
    for k in range(max(STEPS) + 1):
        if k in STEPS:  # unscaled features and the default penalty: the shrinking differences become too small for it
            found.append(LogisticRegression().fit(x[train], y[train]).score(x[rest], y[rest]))
        x = step @ x
    return found


@figure("figure-depth.svg")
def accuracy_by_depth() -> Figure:
    """Propagation helps for a few steps and destroys the differences after many."""
    mean = np.mean([accuracies(seed) for seed in range(40)], axis=0)
    found = dict(zip(STEPS, mean))
    assert round(found[0], 2) == 0.58 and round(found[6], 2) == 0.86 and found[16] < 0.53 and found[32] < 0.53
    drawn, panel = plt.subplots()
    panel.plot(STEPS, mean, "o-", color=BLUE, markersize=4)
    panel.axhline(0.5, color=QUIET, linewidth=1, linestyle="--")
    panel.text(32, 0.515, "chance", ha="right", va="bottom", color=INK)
    panel.set_ylim(0.45, 1)
    panel.set_xlabel("propagation steps")
    panel.set_ylabel("accuracy")
    return drawn
