import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import LatentDirichletAllocation

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


def bars():
    """Six topics over the nine pixels of a 3x3 grid: its rows and its columns."""
    grid = np.arange(9).reshape(3, 3)
    topics = np.zeros((6, 9))
    for k, line in enumerate([*grid, *grid.T]):
        topics[k, line] = 1 / 3
    return topics


@figure("figure-bars.svg")
def recovered() -> Figure:
    """Counts of six documents, and the normalised topics that scikit-learn finds."""
    rng, truth = np.random.default_rng(0), bars()
    shares = rng.dirichlet(np.full(6, 0.3), 300)
    counts = np.stack([rng.multinomial(60, share @ truth) for share in shares])
    fits = [
        LatentDirichletAllocation(6, doc_topic_prior=0.3, topic_word_prior=0.1, max_iter=25, random_state=seed).fit(
            counts
        )
        for seed in range(3)
    ]
    model = max(fits, key=lambda fit: fit.score(counts))
    found = model.components_ / model.components_.sum(1, keepdims=True)
    match = np.array([[np.abs(f - t).sum() for f in found] for t in truth])
    order = match.argmin(1)
    assert sorted(order) == list(range(6)) and match.min(1).max() < 0.2, match.min(1)

    drawn, panels = plt.subplots(2, 6, figsize=(5.6, 2.5))
    for row, (tables, colour) in enumerate(
        ((counts[:6] / counts[:6].max(1, keepdims=True), BLUE), (found[order] * 3, ORANGE))
    ):
        for panel, table in zip(panels[row], tables):
            for pixel, value in enumerate(table):
                panel.add_patch(
                    plt.Rectangle((pixel % 3, pixel // 3), 1, 1, color=colour, alpha=float(min(value, 1)), linewidth=0)
                )
            panel.set_xlim(0, 3)
            panel.set_ylim(3, 0)
            panel.set_aspect("equal")
            panel.set_xticks([])
            panel.set_yticks([])
            panel.grid(False)
            for side in panel.spines.values():
                side.set_visible(True)
                side.set_color(QUIET)
    for y, text in ((0.97, "six of 300 documents (pixel = word)"), (0.47, "topics found")):
        drawn.text(0.5, y, text, ha="center", va="center", color=INK)
    drawn.get_layout_engine().set(rect=(0, 0, 1, 0.93), hspace=0.35)
    return drawn
