import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt

N, C, L = 3, 6, 3
MARKED = (1, 1, 2)


def influence(layer: nn.Module, channels_last: bool) -> torch.Tensor:
    """True where the input changes the marked output, found with autograd."""
    x = torch.randn(N, C, L, dtype=torch.float64, requires_grad=True)
    y = layer(x.transpose(1, 2)).transpose(1, 2) if channels_last else layer(x)
    y[MARKED].backward()
    return x.grad.abs() > 1e-9


@figure("figure-sets.svg")
def index_sets() -> Figure:
    """For four layers, the inputs that influence one output of a (3, 6, 4) tensor."""
    torch.manual_seed(0)
    layers = [
        ("BatchNorm", nn.BatchNorm1d(C), False, N * L),
        ("LayerNorm", nn.LayerNorm(C), True, C),
        ("InstanceNorm", nn.InstanceNorm1d(C), False, L),
        ("GroupNorm(2)", nn.GroupNorm(2, C), False, L * C // 2),
    ]
    drawn, panels = plt.subplots(2, 2, figsize=(5.6, 3.6), sharex=True, sharey=True)
    for panel, (title, layer, channels_last, size) in zip(panels.flat, layers):
        touched = influence(layer.double(), channels_last)
        assert int(touched.sum()) == size and touched[MARKED]
        rows, columns = touched.permute(1, 0, 2).reshape(C, N * L).nonzero(as_tuple=True)
        panel.scatter(columns + 0.5, rows + 0.5, s=90, marker="s", color=BLUE, linewidths=0)
        rows, columns = (~touched).permute(1, 0, 2).reshape(C, N * L).nonzero(as_tuple=True)
        panel.scatter(columns + 0.5, rows + 0.5, s=12, marker="s", color=QUIET, linewidths=0)
        for edge in (L, 2 * L):
            panel.axvline(edge, color=INK, linewidth=1.6)
        n, c, position = MARKED
        panel.plot(n * L + position + 0.5, c + 0.5, "o", color=ORANGE, markersize=6)
        panel.set_title(title)
        panel.set_yticks([])
        panel.set_xticks([L * (n + 0.5) for n in range(N)], [f"sample {n + 1}" for n in range(N)], fontsize=8)
        panel.tick_params(length=0)
        panel.set_xlim(0, N * L)
        panel.set_ylim(C, 0)
        panel.grid(False)
    for panel in panels[:, 0]:
        panel.set_ylabel("channel")
    return drawn
