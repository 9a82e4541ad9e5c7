import torch
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, QUIET, figure, plt


def squash(s):
    square = (s * s).sum(-1, keepdim=True)
    return square / (1 + square) * s / (square.sqrt() + 1e-12)


def couplings(votes, iterations):
    """Coupling coefficients c_ij after each iteration for votes u_hat of shape (children, parents, dimension)."""
    logits, history = torch.zeros(votes.shape[:2]), []
    for _ in range(iterations):
        c = logits.softmax(1)
        history.append(c)
        v = squash((c.unsqueeze(-1) * votes).sum(0))
        logits = logits + (votes * v).sum(-1)
    return torch.stack(history)


@figure("figure-routing.svg")
def couplings_by_iteration() -> Figure:
    """Five children agree about parent 0 and disagree about parent 1; a sixth votes against them."""
    torch.manual_seed(0)
    common = torch.tensor([1.0, 1.0, 0.0, 0.0])
    votes = torch.randn(6, 2, 4) * 0.3
    votes[:5, 0] = common + torch.randn(5, 4) * 0.1
    votes[5, 0] = -common
    history = couplings(votes, 6)[:, :, 0]
    assert torch.allclose(history[0], torch.full((6,), 0.5)) and (history[-1, :5] > 0.9).all() and history[-1, 5] < 0.2

    drawn, panel = plt.subplots()
    steps = range(1, 7)
    panel.axhline(0.5, color=QUIET, linewidth=1)
    for child in range(5):
        panel.plot(steps, history[:, child], color=BLUE, linewidth=1.3)
    panel.plot(steps, history[:, 5], "--", color=ORANGE)
    panel.text(4.2, 0.88, "agreeing children", color=BLUE)
    panel.text(4.2, 0.06, "outlier", color=ORANGE)
    panel.set_ylim(0, 1.02)
    panel.set_xticks(list(steps))
    panel.set_xlabel("routing iteration")
    panel.set_ylabel("coupling to the agreeing parent")
    return drawn
