import torch
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import binary_cross_entropy_with_logits

from figure_style import BLUE, ORANGE, QUIET, figure, plt

OBJECTS = torch.tensor([0.3, 0.7])


def trained(one_to_one: bool):
    """Positions and scores of six queries on a line, trained with one of the two assignments."""
    position = torch.tensor([0.05, 0.2, 0.45, 0.55, 0.8, 0.95], requires_grad=True)
    logit = torch.zeros(6, requires_grad=True)
    optimiser = torch.optim.Adam([position, logit], lr=0.02)
    for _ in range(400):
        distance = (position[:, None] - OBJECTS).abs()
        if one_to_one:
            query, item = (
                torch.as_tensor(i) for i in linear_sum_assignment((5 * distance - logit.sigmoid()[:, None]).detach())
            )
        else:
            query, item = torch.arange(6), distance.argmin(1)
        wanted = torch.zeros(6)
        wanted[query] = 1
        loss = binary_cross_entropy_with_logits(logit, wanted) + 5 * distance[query, item].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return position.detach(), logit.sigmoid().detach()


@figure("figure-matching.svg")
def duplicates() -> Figure:
    """Final queries on a line with two objects: many-to-one and one-to-one training."""
    drawn, panels = plt.subplots(1, 2, sharey=True)
    confident = []
    for panel, mode, colour, title in zip(panels, (False, True), (ORANGE, BLUE), ("many-to-one", "one-to-one")):
        position, score = trained(mode)
        confident.append(int((score > 0.5).sum()))
        for x in OBJECTS.tolist():
            panel.axvline(x, color=QUIET, linewidth=1.2, linestyle=":")
        panel.scatter(
            position + 0.012 * (torch.arange(6) % 3 - 1), score, s=36, color=colour, zorder=3, alpha=0.8, linewidths=0
        )
        panel.set_title(title)
        panel.set_xlim(0, 1)
        panel.set_ylim(-0.05, 1.08)
        panel.set_xlabel("position (objects dotted)")
    assert confident == [6, 2]
    panels[0].set_ylabel("score of each query")
    return drawn
