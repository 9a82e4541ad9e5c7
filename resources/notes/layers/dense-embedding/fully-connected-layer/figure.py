import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, QUIET, figure, plt


def fitted(*between: nn.Module) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A two-layer network trained on a sine, evaluated on a grid."""
    torch.manual_seed(0)
    x = torch.linspace(-3, 3, 121)[:, None]
    y = torch.sin(1.6 * x)
    model = nn.Sequential(nn.Linear(1, 32), *between, nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(800):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    return x[:, 0], y[:, 0], model(x).detach()[:, 0]


@figure("figure-stack.svg")
def stacking_needs_a_nonlinearity() -> Figure:
    """The same two layers with and without a ReLU between them."""
    x, target, straight = fitted()
    _, _, curved = fitted(nn.ReLU())
    bend = straight[2:] - 2 * straight[1:-1] + straight[:-2]
    assert float(bend.abs().max()) < 1e-4
    assert float((curved - target).pow(2).mean()) < 0.01 < 0.2 < float((straight - target).pow(2).mean())

    drawn, panel = plt.subplots()
    panel.plot(x, target, color=QUIET, linewidth=4, alpha=0.5, label="target")
    panel.plot(x, straight, color=ORANGE, linestyle=(0, (5, 2)), label="Linear + Linear")
    panel.plot(x, curved, color=BLUE, label="Linear + ReLU + Linear")
    panel.set_xlabel("x")
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, columnspacing=1.0, handlelength=1.6)
    return drawn
