import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


@figure("figure-windows.svg")
def windows() -> Figure:
    """Every window of a kernel of three cells, found with autograd, over a row of seven or eight cells."""
    drawn, panels = plt.subplots(1, 3, figsize=(5.8, 2.5), sharey=True)
    for panel, (n, stride, count) in zip(panels, [(7, 1, 5), (7, 2, 3), (8, 2, 3)]):
        x = torch.zeros(1, 1, n, requires_grad=True)
        y = F.conv1d(x, torch.ones(1, 1, 3), stride=stride).flatten()
        reads = torch.stack([torch.autograd.grad(value, x, retain_graph=True)[0].flatten() for value in y])
        assert len(y) == count == (n - 3) // stride + 1
        unread = reads.sum(0) == 0
        assert int(unread.sum()) == (n - 3) % stride and (n < 8 or bool(unread[-1]))
        panel.scatter(
            range(n), [0] * n, s=110, marker="s", color=[ORANGE if missed else QUIET for missed in unread], linewidths=0
        )
        for row, window in enumerate(reads):
            cells = window.nonzero().flatten()
            panel.plot(
                [int(cells[0]) - 0.35, int(cells[-1]) + 0.35],
                [row + 1.2] * 2,
                color=BLUE,
                linewidth=5,
                solid_capstyle="butt",
            )
        if unread.any():
            panel.text(7.5, 0.75, "unread", color=ORANGE, ha="right", fontsize=9)
        panel.set_title(f"N = {n}, K = 3, S = {stride}: {count} windows", fontsize=8.5)
        panel.set_xticks(range(n), range(n), fontsize=8, color=INK)
        panel.set_yticks([])
        panel.set_xlim(-0.7, 7.9)
        panel.set_ylim(-0.6, 6)
        panel.grid(False)
        panel.spines["left"].set_visible(False)
    return drawn
