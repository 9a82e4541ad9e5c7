import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from figure_style import BLUE, INK, ORANGE, figure, plt

SIZE = 9


@figure("figure-context.svg")
def context() -> Figure:
    """Attention maps of two queries of a non-local block and of a global context block, on a map with two regions."""
    torch.manual_seed(0)
    kinds = torch.zeros(SIZE, SIZE, dtype=torch.long)
    kinds[:, SIZE // 2 + 1 :] = 1
    kinds[2:5, 1:4] = 1
    features = F.one_hot(kinds, 2).float() * 2 - 1 + 0.3 * torch.randn(SIZE, SIZE, 2)
    x = features.flatten(0, 1)[None]
    queries = {"non-local, query A": (7, 1), "non-local, query B": (3, 2)}
    weights = F.scaled_dot_product_attention(x, x, torch.eye(SIZE * SIZE)[None], scale=1.0)[0]
    shared = (x[0] @ torch.tensor([-0.7, 0.7])).softmax(0)
    maps = {name: weights[row * SIZE + column] for name, (row, column) in queries.items()} | {"GC, any query": shared}
    for name, (row, column) in queries.items():
        assert maps[name][kinds.flatten() == kinds[row, column]].sum() > 0.9

    drawn, panels = plt.subplots(1, 3, figsize=(5.6, 2.1))
    columns, rows = torch.arange(SIZE).repeat(SIZE), torch.arange(SIZE).repeat_interleave(SIZE)
    for panel, (name, values) in zip(panels, maps.items()):
        panel.scatter(columns, rows, s=1500 * values, marker="s", color=BLUE, linewidths=0)
        if name in queries:
            row, column = queries[name]
            panel.plot(
                column, row, marker="o", markersize=9, markerfacecolor="none", markeredgecolor=ORANGE, markeredgewidth=2
            )
        for edge in (
            [[SIZE // 2 + 0.5] * 2, [-0.5, SIZE - 0.5]],
            [[0.5, 3.5, 3.5, 0.5, 0.5], [1.5, 1.5, 4.5, 4.5, 1.5]],
        ):
            panel.plot(*edge, color=INK, linewidth=0.8)
        panel.set_title(name)
        panel.set_xlim(-0.8, SIZE - 0.2)
        panel.set_ylim(SIZE - 0.2, -0.8)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.set_aspect("equal")
        panel.grid(False)
    return drawn
