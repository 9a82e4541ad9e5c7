import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, INK, ORANGE, figure, plt


def fitted(x: torch.Tensor, y: torch.Tensor, hidden: int) -> torch.Tensor:
    """The curve of a ReLU network with one hidden layer (or none) after training."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, 1)) if hidden else nn.Linear(1, 1)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(2000):
        loss = (net(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net(x).detach()


@figure("figure-layers.svg")
def kinks_add_up_to_a_curve() -> Figure:
    """A straight line, a bent line and a close fit from 0, 4 and 32 hidden units."""
    x = torch.linspace(-2, 2, 121)[:, None]
    y = torch.sin(2 * x) + 0.3 * x
    curves = {hidden: fitted(x, y, hidden) for hidden in (0, 4, 32)}
    error = {hidden: float((curve - y).square().mean()) for hidden, curve in curves.items()}
    assert error[0] > 0.3 and error[0] > 1.2 * error[4] and error[32] < 0.02 < 0.04 < error[4], error

    drawn, panel = plt.subplots()
    panel.plot(x, y, color=INK, linewidth=1, linestyle=":", label="target")
    names = ("no hidden layer", "4 hidden units", "32 hidden units")
    for curve, colour, style, name in zip(curves.values(), (ORANGE, GREEN, BLUE), ("-", "--", "-"), names):
        panel.plot(x, curve, style, color=colour, label=name)
    panel.set_xlabel("input")
    panel.set_ylabel("output")
    drawn.legend(loc="outside upper center", ncols=2, fontsize=9)
    return drawn
