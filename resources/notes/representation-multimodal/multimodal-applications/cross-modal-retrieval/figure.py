import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, figure, plt

SIZES = (100, 200, 500, 1000, 2000, 5000)


@figure("figure-gallery.svg")
def recall_by_gallery() -> Figure:
    """R@K of one fixed set of embeddings, judged on galleries of growing size."""
    torch.manual_seed(0)
    images = F.normalize(torch.randn(5000, 32), dim=1)
    texts = F.normalize(images + 0.27 * torch.randn(5000, 32), dim=1)
    curves: dict[int, list[float]] = {1: [], 5: [], 10: []}
    for size in SIZES:
        ranks = []
        for start in range(0, 5000, size):
            scores = texts[start : start + size] @ images[start : start + size].T
            ranks.append(1 + (scores > scores.diag()[:, None]).sum(1))
        for k, curve in curves.items():
            curve.append((torch.cat(ranks) <= k).float().mean().item())
    assert round(curves[1][0], 2) == 0.82 and round(curves[1][-1], 2) == 0.38
    drawn, panel = plt.subplots()
    for (k, curve), colour, style in zip(curves.items(), (BLUE, GREEN, ORANGE), ("o-", "s:", "^--")):
        panel.plot(SIZES, curve, style, color=colour, markersize=4, label=f"R@{k}")
    panel.set_xscale("log")
    panel.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
    panel.minorticks_off()
    panel.set_xlabel("gallery size")
    panel.set_ylabel("share of queries")
    panel.legend(loc="lower left")
    return drawn
