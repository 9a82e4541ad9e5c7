import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, SKY, figure, plt

BINS = 10


@figure("figure-density.svg")
def density() -> Figure:
    """Gradient norms of many easy samples, some medium ones and outliers, and the gradient of each bin under three losses."""
    generator = torch.Generator().manual_seed(0)
    easy = torch.randn(20000, generator=generator) * 0.9 - 4.6
    medium = torch.randn(600, generator=generator) * 1.2
    outliers = torch.randn(1200, generator=generator) * 0.6 + 4.2
    z = torch.cat([easy, medium, outliers]).double().requires_grad_()
    y = torch.zeros_like(z)
    g = z.sigmoid().detach()
    index = (g * BINS).long().clamp(max=BINS - 1)
    counts = torch.bincount(index, minlength=BINS)
    weights = len(z) / (counts[index] * (counts > 0).sum())
    each = F.binary_cross_entropy_with_logits(z, y, reduction="none")
    losses = {
        "cross-entropy": (each, ORANGE, "--", "o"),
        "focal loss": ((1 - torch.exp(-each)) ** 2 * each, GREEN, ":", "^"),
        "GHM": (weights * each, BLUE, "-", "s"),
    }

    drawn, (left, right) = plt.subplots(1, 2)
    middle = (np.arange(BINS) + 0.5) / BINS
    left.bar(middle, counts, width=0.08, color=SKY)
    left.set_yscale("log")
    left.set_title("samples")
    left.set_xlabel("gradient norm g")
    for (name, (loss, colour, line, mark)), at in zip(losses.items(), [(0.42, 0.66), (0.42, 0.88), (0.42, 0.24)]):
        (gradient,) = torch.autograd.grad(loss.sum(), z, retain_graph=True)
        share = torch.zeros(BINS, dtype=torch.float64).index_add(0, index, gradient.abs()) / gradient.abs().sum()
        assert share[-1] < 0.25 if name == "GHM" else share[-1] > 0.5
        right.plot(middle, share, color=colour, linestyle=line, marker=mark, markersize=4)
        right.text(*at, name, color=colour)
    right.set_ylim(-0.02, 1.02)
    right.set_title("share of the gradient")
    right.set_xlabel("gradient norm g")
    return drawn
