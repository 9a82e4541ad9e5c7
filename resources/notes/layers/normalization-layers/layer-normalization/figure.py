import numpy as np
import torch
from matplotlib.figure import Figure

from figure_style import BLUE, INK, ORANGE, figure, plt


@figure("figure-rows.svg")
def rows_before_and_after() -> Figure:
    """Three tokens with different offset and scale; after nn.LayerNorm all have mean 0 and variance 1."""
    torch.manual_seed(0)
    offset, scale = torch.tensor([[-4.0], [0.0], [6.0]]), torch.tensor([[0.5], [1.0], [2.0]])
    x = torch.randn(3, 40) * scale + offset
    y = torch.nn.LayerNorm(40)(x).detach()
    assert torch.allclose(y.mean(1), torch.zeros(3), atol=1e-5) and torch.allclose(
        y.var(1, unbiased=False), torch.ones(3), atol=1e-3
    )

    drawn, panels = plt.subplots(1, 2, sharey=True)
    jitter = np.linspace(-0.18, 0.18, 40)
    for panel, values, colour, title in zip(panels, (x, y), (ORANGE, BLUE), ("input", "after LayerNorm")):
        for row in range(3):
            panel.scatter(values[row], row + jitter, s=7, color=colour, linewidths=0)
            panel.plot([float(values[row].mean())] * 2, [row - 0.32, row + 0.32], color=INK, linewidth=1.6)
        panel.set_title(title)
        panel.set_yticks(range(3), ["token 1", "token 2", "token 3"])
        panel.set_xlabel("feature value")
    return drawn
