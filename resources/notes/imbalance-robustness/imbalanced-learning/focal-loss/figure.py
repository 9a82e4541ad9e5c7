import torch
from matplotlib.figure import Figure
from torchvision.ops import sigmoid_focal_loss

from figure_style import BLUE, GREEN, INK, ORANGE, PINK, figure, plt


def focal(p_t: torch.Tensor, gamma: float) -> torch.Tensor:
    return sigmoid_focal_loss(p_t.logit(), torch.ones_like(p_t), alpha=-1, gamma=gamma)


@figure("figure-focus.svg")
def focus() -> Figure:
    """Loss against p_t for several gammas, and the totals of many easy and few hard examples against gamma."""
    p_t = torch.linspace(0.02, 0.995, 100, dtype=torch.float64)
    gammas = torch.linspace(0, 5, 41, dtype=torch.float64)
    easy = torch.stack([100_000 * focal(torch.tensor(0.99, dtype=torch.float64), g) for g in gammas])
    hard = torch.stack([100 * focal(torch.tensor(0.1, dtype=torch.float64), g) for g in gammas])
    assert easy[0] > hard[0] and easy[16] < hard[16] / 1000 and gammas[16] == 2

    drawn, (left, right) = plt.subplots(1, 2)
    for gamma, colour in [(0, INK), (0.5, PINK), (1, GREEN), (2, BLUE), (5, ORANGE)]:
        left.plot(p_t, focal(p_t, gamma), color=colour, label=f"γ = {gamma}")
    left.set_title("loss")
    left.set_xlabel("probability of the true answer")
    left.legend(loc="upper right")

    right.semilogy(gammas, easy, color=ORANGE, linestyle="--")
    right.semilogy(gammas, hard, color=BLUE)
    right.set_ylim(1e-9, 3e5)
    right.text(4.95, 2e3, "100 hard positives", color=BLUE, ha="right")
    right.text(0.1, 2e-8, "100,000 easy negatives", color=ORANGE)
    right.set_title("total loss")
    right.set_xlabel("γ")
    return drawn
