from typing import Callable

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from figure_style import BLUE, QUIET, figure, plt

TOKENS, WIDTH = 6, 16


def influence(layer: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """How strongly output i reacts to input j: the norm of that block of the Jacobian, relative to the largest."""
    x = torch.randn(TOKENS, WIDTH, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v[None])[0], x)
    norms = jacobian.permute(0, 2, 1, 3).flatten(2).norm(dim=-1)
    return (norms / norms.max()).numpy()


@figure("figure-flow.svg")
def who_reads_whom() -> Figure:
    """The feed-forward part stays within a token, attention reaches all tokens, the causal mask removes the future."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, dropout=0.0, batch_first=True, dtype=torch.float64)
    causal = nn.Transformer.generate_square_subsequent_mask(TOKENS, dtype=torch.float64)
    alone = influence(lambda x: layer.linear2(torch.relu(layer.linear1(x))))
    full = influence(layer)
    masked = influence(lambda x: layer(x, src_mask=causal))
    assert (alone[~np.eye(TOKENS, dtype=bool)] == 0).all() and (np.diag(alone) > 0).all()
    assert (
        (full > 0).all()
        and (masked[np.triu_indices(TOKENS, 1)] == 0).all()
        and (masked[np.tril_indices(TOKENS)] > 0).all()
    )

    drawn, panels = plt.subplots(1, 3, sharey=True, figsize=(5.6, 2.3))
    for panel, norms, title in zip(
        panels, (alone, full, masked), ("feed-forward only", "encoder layer", "with causal mask")
    ):
        for row, column in zip(*np.nonzero(norms)):
            shade = round(float(np.sqrt(norms[row, column])), 2)
            panel.add_patch(Rectangle((column + 0.5, row + 0.5), 1, 1, facecolor=BLUE, alpha=shade, linewidth=0))
        edges = np.arange(TOKENS + 1) + 0.5
        panel.vlines(edges, 0.5, TOKENS + 0.5, color=QUIET, linewidth=0.4)
        panel.hlines(edges, 0.5, TOKENS + 0.5, color=QUIET, linewidth=0.4)
        panel.set_title(title)
        panel.set_xlim(0.4, TOKENS + 0.6)
        panel.set_ylim(TOKENS + 0.6, 0.4)
        panel.set_aspect("equal")
        panel.set_xticks(range(1, TOKENS + 1))
        panel.set_yticks(range(1, TOKENS + 1))
        panel.set_xlabel("input token")
        panel.grid(False)
    panels[0].set_ylabel("output token")
    return drawn
