import itertools

import numpy as np
import torch
from matplotlib.figure import Figure

from figure_style import BLUE, INK, figure, plt

TAGS, WORDS = ("B-PER", "I-PER", "O"), ("Will", "Smith", "left")
EMISSIONS = torch.tensor([[1.0, 0.0, 1.6], [0.0, 3.0, 0.5], [-1.0, -1.0, 2.5]], dtype=torch.float64)
TRANSITIONS = torch.tensor([[-1.0, 1.5, 0.5], [-1.0, 0.5, 0.5], [0.5, -4.0, 0.5]], dtype=torch.float64)


def marginals():
    """p(y_t | x) by summing over all 27 labellings."""
    result, total = torch.zeros(3, 3, dtype=torch.float64), 0.0
    for y in itertools.product(range(3), repeat=3):
        weight = (EMISSIONS[range(3), y].sum() + TRANSITIONS[y[:-1], y[1:]].sum()).exp()
        total = total + weight
        for t, tag in enumerate(y):
            result[t, tag] += weight
    return result / total


@figure("figure-marginals.svg")
def local_and_global() -> Figure:
    """The same emission scores, normalised per token and over whole sequences."""
    local, joint = EMISSIONS.softmax(1), marginals()
    assert (
        local[0].argmax() == 2
        and joint[0].argmax() == 0
        and joint[0, 0] > 0.7
        and local[1].argmax() == joint[1].argmax() == 1
    )
    drawn, panels = plt.subplots(1, 2, sharey=True, figsize=(5.6, 2.4))
    for panel, table, title in zip(panels, (local, joint), ("softmax per token", "CRF marginals")):
        panel.grid(False)
        for t, tag in np.ndindex(3, 3):
            value = float(table[t, tag])
            panel.add_patch(
                plt.Rectangle((t - 0.46, tag - 0.44), 0.92, 0.88, color=BLUE, alpha=0.08 + 0.6 * value, linewidth=0)
            )
            best = table[t].argmax() == tag
            panel.text(
                t, tag, f"{value:.2f}", ha="center", va="center", color=INK, fontweight="bold" if best else "normal"
            )
        panel.set_xticks(range(3), WORDS)
        panel.set_yticks(range(3), TAGS)
        panel.set_xlim(-0.5, 2.5)
        panel.set_ylim(2.5, -0.5)
        panel.set_title(title)
        for side in panel.spines.values():
            side.set_visible(False)
    return drawn
