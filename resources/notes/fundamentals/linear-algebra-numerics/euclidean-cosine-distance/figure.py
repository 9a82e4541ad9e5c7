import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, GREEN, INK, ORANGE, figure, plt


def neighbours(panel) -> None:
    query = torch.tensor([2.0, 2.0])
    points = torch.tensor([[5.0, 5.4], [2.2, 0.9], [0.5, 3.5], [5.6, 2.6]])
    near = torch.cdist(query[None], points)[0].argmin().item()
    aligned = F.cosine_similarity(query[None], points).argmax().item()
    assert near != aligned
    for index, point in enumerate(points.tolist()):
        colour = {near: ORANGE, aligned: BLUE}.get(index, INK)
        panel.annotate(
            "", point, (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "alpha": 0.9, "linewidth": 1.2}
        )
    panel.annotate("", query.tolist(), (0, 0), arrowprops={"arrowstyle": "->", "color": GREEN, "linewidth": 2})
    panel.plot(*zip(query.tolist(), points[near].tolist()), color=ORANGE, linestyle=":")
    panel.text(2.05, 2.35, "query", color=GREEN, ha="right")
    panel.text(2.4, 0.35, "nearest by distance", color=ORANGE)
    panel.text(5.0, 5.7, "nearest by angle", color=BLUE, ha="right")
    panel.set_xlim(0, 6.6)
    panel.set_ylim(0, 6.4)


def curve(panel) -> None:
    torch.manual_seed(0)
    x = F.normalize(torch.randn(16, 3), dim=1)
    d, c = torch.nn.functional.pdist(x), (x @ x.T)[tuple(torch.triu_indices(16, 16, 1))]
    assert torch.allclose(d**2, 2 - 2 * c, atol=1e-5) and c.min() < -0.8 and c.max() > 0.8
    line = np.linspace(-1, 1, 101)
    panel.plot(line, np.sqrt(2 - 2 * line), color=INK, linewidth=1)
    panel.scatter(c, d, s=9, color=BLUE, linewidths=0)
    panel.set_title("unit vectors")
    panel.set_xlabel("cosine similarity")
    panel.set_ylabel("Euclidean distance")


@figure("figure-neighbours.svg")
def neighbours_and_unit_vectors() -> Figure:
    """Nearest neighbours by distance and by angle, and the one curve of all unit vectors."""
    drawn, (left, right) = plt.subplots(1, 2)
    neighbours(left)
    curve(right)
    return drawn
