import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, QUIET, figure, plt

MONTHS = 12


@figure("figure-months.svg")
def months_form_a_ring() -> Figure:
    """nn.Embedding(12, 2) trained to predict the months at most one away."""
    torch.manual_seed(0)
    table, head = nn.Embedding(MONTHS, 2), nn.Linear(2, MONTHS)
    before = table.weight.detach().clone()
    month = torch.arange(MONTHS).repeat_interleave(3)
    neighbour = (month + torch.tensor([-1, 0, 1]).repeat(MONTHS)) % MONTHS
    optimizer = torch.optim.Adam([*table.parameters(), *head.parameters()], lr=0.05, weight_decay=0.005)
    for _ in range(600):
        optimizer.zero_grad()
        F.cross_entropy(head(table(month)), neighbour).backward()
        optimizer.step()
    after = table.weight.detach()
    for places, in_order in ((before, False), (after, True)):
        centred = places - places.mean(0)
        around = torch.atan2(centred[:, 1], centred[:, 0]).argsort()
        steps = (around.roll(-1) - around) % MONTHS
        assert bool((steps == 1).all() or (steps == MONTHS - 1).all()) is in_order

    drawn, panels = plt.subplots(1, 2, figsize=(5.6, 3.0))
    for panel, places, colour, title in zip(
        panels, (before, after), (ORANGE, BLUE), ("before training", "after training"), strict=True
    ):
        ring = torch.cat([places, places[:1]])
        panel.plot(ring[:, 0], ring[:, 1], color=QUIET, linewidth=0.8)
        panel.scatter(places[:, 0], places[:, 1], s=16, color=colour, zorder=3)
        reach = float(places.abs().max())
        for index in range(MONTHS):
            x, y = places[index].tolist()
            panel.annotate(str(index + 1), (x, y), textcoords="offset points", xytext=(4, 4), fontsize=9)
        panel.set_xlim(-1.25 * reach, 1.25 * reach)
        panel.set_ylim(-1.25 * reach, 1.25 * reach)
        panel.set_title(title)
    return drawn
