import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from figure_style import BLUE, QUIET, figure, plt

TOKENS = 6


def neighbours() -> nn.MultiheadAttention:
    """Two heads over one-hot positions: the queries of head 1 point at the previous token, those of head 2 at the next."""
    attention = nn.MultiheadAttention(2 * TOKENS, 2, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.zero_()
        query, key = attention.in_proj_weight[: 2 * TOKENS], attention.in_proj_weight[2 * TOKENS : 4 * TOKENS]
        for position in range(TOKENS):
            if position > 0:
                query[position - 1, position] = 12.0
            if position < TOKENS - 1:
                query[TOKENS + position + 1, position] = 12.0
            key[position, position] = key[TOKENS + position, position] = 1.0
    return attention.eval()


@figure("figure-heads.svg")
def two_heads_and_their_average() -> Figure:
    """Each head has its own pattern; the averaged weights, which the layer returns by default, hold both at half weight."""
    x = torch.eye(TOKENS, 2 * TOKENS)[None]
    attention = neighbours()
    with torch.no_grad():
        heads = attention(x, x, x, average_attn_weights=False)[1][0]
        average = attention(x, x, x)[1][0]
    inner = torch.arange(1, TOKENS - 1)
    assert (heads[0, inner, inner - 1] > 0.9).all() and (heads[1, inner, inner + 1] > 0.9).all()
    assert torch.allclose(average, heads.mean(0), atol=1e-6) and average[inner].max() < 0.55
    assert (average[inner, inner - 1] > 0.45).all() and (average[inner, inner + 1] > 0.45).all()

    drawn, panels = plt.subplots(1, 3, sharey=True, figsize=(5.6, 2.3))
    for panel, weights, title in zip(
        panels, (heads[0], heads[1], average), ("head 1: previous", "head 2: next", "average of heads")
    ):
        for row in range(TOKENS):
            for column in range(TOKENS):
                weight = float(weights[row, column])
                if weight > 0.02:
                    panel.add_patch(
                        Rectangle((column + 0.5, row + 0.5), 1, 1, facecolor=BLUE, alpha=round(weight, 2), linewidth=0)
                    )
        edges = np.arange(TOKENS + 1) + 0.5
        panel.vlines(edges, 0.5, TOKENS + 0.5, color=QUIET, linewidth=0.4)
        panel.hlines(edges, 0.5, TOKENS + 0.5, color=QUIET, linewidth=0.4)
        panel.set_title(title)
        panel.set_xlim(0.4, TOKENS + 0.6)
        panel.set_ylim(TOKENS + 0.6, 0.4)
        panel.set_aspect("equal")
        panel.set_xticks(range(1, TOKENS + 1))
        panel.set_yticks(range(1, TOKENS + 1))
        panel.set_xlabel("key")
        panel.grid(False)
    panels[0].set_ylabel("query")
    return drawn
