import numpy as np
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-pipeline.svg")
def pipeline() -> Figure:
    """Simulated recall of relations against the share of entities missed, beside that of the entities."""
    rng = np.random.default_rng(0)
    missed = np.linspace(0, 0.5, 11)
    relations = []
    for share in missed:
        found = rng.random((20_000, 2)) >= share
        relations.append(found.all(1).mean())
    assert np.abs(np.array(relations) - (1 - missed) ** 2).max() < 0.015
    drawn, panel = plt.subplots(figsize=(5.6, 2.7))
    panel.plot(missed, 1 - missed, color=BLUE)
    panel.plot(missed, relations, "o", color=ORANGE, markersize=5)
    panel.plot(missed, (1 - missed) ** 2, "--", color=ORANGE, linewidth=1.2)
    panel.text(0.36, 0.68, "entities", color=BLUE, ha="left", va="bottom")
    panel.text(0.3, 0.44, "relations", color=ORANGE, ha="right", va="top")
    panel.set_xlabel("share of entities missed")
    panel.set_ylabel("recall")
    panel.set_ylim(0.2, 1.03)
    return drawn
