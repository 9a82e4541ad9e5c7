import torch
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, QUIET, figure, plt


def fitted(x: torch.Tensor, y: torch.Tensor, matched: bool) -> torch.Tensor:
    """Predictions of a line after gradient descent on the mean square of prediction - target."""
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(300):
        prediction = model(x)
        difference = prediction - (y[:, None] if matched else y)
        optimizer.zero_grad()
        difference.square().mean().backward()
        optimizer.step()
    return model(x).detach()[:, 0]


@figure("figure-mean.svg")
def a_forgotten_axis_fits_the_mean() -> Figure:
    """Left: the table that (4, 1) minus (4,) makes; right: what a line learns from such a loss."""
    torch.manual_seed(0)
    p = torch.arange(4.0)
    table = (p[:, None] - p) ** 2
    assert table.mean() == 2.5 and (p - p).square().mean() == 0
    x = torch.linspace(-1, 1, 24)[:, None]
    y = 1.5 * x[:, 0] + 1 + 0.2 * torch.randn(24)
    right, wrong = fitted(x, y, True), fitted(x, y, False)
    assert right[-1] - right[0] > 2.5 and (wrong - y.mean()).abs().max() < 0.01

    drawn, (grid, fit) = plt.subplots(1, 2, width_ratios=(1, 1.35))
    for i in range(4):
        for j in range(4):
            right_pair = i == j
            grid.text(
                j,
                i,
                f"{table[i, j]:.0f}",
                ha="center",
                va="center",
                color=BLUE if right_pair else ORANGE,
                fontweight="bold" if right_pair else "normal",
                fontsize=12,
            )
    grid.set_xlim(-0.6, 3.6)
    grid.set_ylim(3.6, -0.6)
    grid.set_xticks(range(4), ["0", "1", "2", "3"])
    grid.set_yticks(range(4), ["0", "1", "2", "3"])
    grid.set_xlabel("target (4,)")
    grid.set_ylabel("prediction (4, 1)")
    grid.set_title("squared errors")
    grid.grid(False)
    fit.scatter(x[:, 0], y, s=12, color=QUIET, linewidths=0, label="data")
    fit.plot(x[:, 0], right, color=BLUE, label="equal shapes")
    fit.plot(x[:, 0], wrong, color=ORANGE, linestyle=(0, (5, 2)), label="(N, 1) with (N,)")
    fit.set_xlabel("x")
    fit.set_ylabel("y")
    fit.legend(loc="upper left")
    fit.set_ylim(-1, 4.4)
    return drawn
