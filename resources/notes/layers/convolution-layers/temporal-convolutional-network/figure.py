import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, QUIET, figure, plt

STEPS, DILATIONS = 12, (1, 2, 4)


@figure("figure-tree.svg")
def tree() -> Figure:
    """Which inputs and hidden steps reach the last output of three causal layers, found by gradients."""
    torch.manual_seed(0)
    convs = [nn.Conv1d(1, 1, 2, dilation=d) for d in DILATIONS]
    for conv in convs:
        nn.init.uniform_(conv.weight, 0.5, 1.5)
    rows = [torch.randn(1, 1, STEPS, requires_grad=True)]
    for conv, d in zip(convs, DILATIONS):
        rows.append(conv(F.pad(rows[-1], (d, 0))))
        rows[-1].retain_grad()
    target = STEPS - 2
    rows[-1][0, 0, target].backward()
    reached = [row.grad[0, 0] != 0 for row in rows]
    assert reached[0].nonzero().flatten().tolist() == list(range(target - 7, target + 1))

    drawn, panel = plt.subplots(figsize=(5.6, 2.7))
    for layer, d in enumerate(DILATIONS, start=1):
        for t in range(STEPS):
            for source in (t - d, t):
                if source >= 0:
                    used = bool(reached[layer][t])
                    panel.plot(
                        [source + 1, t + 1],
                        [layer - 1, layer],
                        color=BLUE if used else QUIET,
                        linewidth=1.8 if used else 0.6,
                        alpha=1 if used else 0.5,
                    )
    for layer, mask in enumerate(reached):
        for t in range(STEPS):
            panel.plot(t + 1, layer, marker="o", color=ORANGE if mask[t] else QUIET, markersize=7 if mask[t] else 5)
    panel.set_yticks(range(4), ["input", "d = 1", "d = 2", "output"])
    panel.set_xticks(range(1, STEPS + 1))
    panel.set_xlabel("time step")
    panel.grid(False)
    return drawn
