import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, figure, plt


def directions(negatives: bool) -> np.ndarray:
    """Angles of the embeddings of 128 samples after training on positive pairs alone, or with negatives."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    x = torch.randn(128, 8)
    for _ in range(300):
        a, b = (F.normalize(net(x + 0.1 * torch.randn_like(x)), dim=1) for _ in range(2))
        loss = F.cross_entropy(a @ b.T / 0.2, torch.arange(128)) if negatives else (a - b).pow(2).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        z = F.normalize(net(x), dim=1)
    return np.degrees(np.arctan2(z[:, 1].numpy(), z[:, 0].numpy()))


@figure("figure-circle.svg")
def collapse_and_spread() -> Figure:
    """Positive pairs alone collapse to one direction; negatives spread the embeddings."""
    bins = np.arange(-180, 181, 20)
    drawn, panels = plt.subplots(1, 2, sharey=True)
    counts = []
    for panel, negatives, colour, title in zip(
        panels, (False, True), (ORANGE, BLUE), ("positives only", "with negatives")
    ):
        found = directions(negatives)
        assert negatives or np.ptp(found) < 10
        count, _, _ = panel.hist(found, bins=bins, color=colour)
        counts.append(count)
        panel.set_title(title)
        panel.set_xticks([-180, -90, 0, 90, 180])
    panels[0].set_ylabel("samples")
    drawn.supxlabel("direction of the embedding (degrees)", fontsize=10)
    assert (counts[0] > 0).sum() <= 2 and (counts[1] > 0).sum() >= 16
    return drawn
