import numpy as np
import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, INK, ORANGE, QUIET, figure, plt


@figure("figure-scale.svg")
def probabilities_by_scale() -> Figure:
    """Softmax of three close cosines for scales from 1 to 100."""
    cosines = torch.tensor([0.28, 0.25, 0.20], dtype=torch.float64)
    scales = torch.logspace(0, 2, 81, dtype=torch.float64)
    p = (scales[:, None] * cosines).softmax(1).numpy()
    start = (cosines / 0.07).softmax(0)
    assert np.ptp(p[0]) < 0.03 and 0.45 < float(start[0]) < 0.55 and 0.945 < p[-1, 0] < 0.96

    drawn, panel = plt.subplots()
    for column, colour, style, name in (
        (0, BLUE, "-", "cosine 0.28"),
        (1, ORANGE, "--", "cosine 0.25"),
        (2, GREEN, ":", "cosine 0.20"),
    ):
        panel.plot(scales, p[:, column], style, color=colour, label=name)
    for place, name in ((1 / 0.07, "start"), (100.0, "cap")):
        panel.axvline(place, color=QUIET, linewidth=1)
        panel.annotate(name, (place, 1.02), ha="center", va="bottom", color=INK, annotation_clip=False)
    panel.set_xscale("log")
    panel.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    panel.minorticks_off()
    panel.set_ylim(0, 1)
    panel.set_xlabel("logit scale")
    panel.set_ylabel("probability")
    panel.legend(loc="upper left")
    return drawn
