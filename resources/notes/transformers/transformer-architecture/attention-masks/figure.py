import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, QUIET, figure, plt

T = 6


def reached(ignore: torch.Tensor) -> torch.Tensor:
    """True where the gradient of query i's output with respect to key token j is not zero."""
    torch.manual_seed(0)
    mha = nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    query, keys = (torch.randn(1, T, 8, dtype=torch.float64) for _ in range(2))
    jacobian = torch.autograd.functional.jacobian(lambda k: mha(query, k, k, attn_mask=ignore)[0].sum(-1)[0], keys)
    return jacobian[:, 0].abs().sum(-1) > 0


@figure("figure-masks.svg")
def four_masks() -> Figure:
    """Which keys reach which query of nn.MultiheadAttention under four masks, measured by gradients."""
    i, j = torch.arange(1, T + 1)[:, None], torch.arange(1, T + 1)[None, :]
    allowed = {
        "padding": (j <= 4).expand(T, T),
        "causal": j <= i,
        "prefix": j <= i.clamp(min=3),
        "window": (i - j >= 0) & (i - j < 3),
    }
    drawn, panels = plt.subplots(1, 4, figsize=(5.6, 2.0), sharey=True)
    for panel, (name, keep) in zip(panels, allowed.items()):
        measured = reached(~keep)
        assert torch.equal(measured, keep)
        for row in range(T):
            for column in range(T):
                colour, size = (BLUE, 9) if measured[row, column] else (QUIET, 2.5)
                panel.plot(column + 1, row + 1, marker="s", markersize=size, color=colour, linestyle="none")
        panel.set_title(name)
        panel.set_xticks([1, 6])
        panel.set_yticks([1, 6])
        panel.set_xlim(0.3, T + 0.7)
        panel.set_ylim(T + 0.7, 0.3)
        panel.set_aspect("equal")
        panel.grid(False)
        panel.set_xlabel("key")
    panels[0].set_ylabel("query")
    return drawn
