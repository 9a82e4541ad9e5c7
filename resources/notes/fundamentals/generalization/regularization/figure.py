import numpy as np
import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, INK, ORANGE, figure, plt


def trained() -> tuple[list[float], list[float]]:
    """Losses per epoch of a small net on 40 noisy points."""
    torch.manual_seed(3)
    x, v = torch.rand(40, 1) * 2 - 1, torch.rand(400, 1) * 2 - 1
    y, u = (torch.sin(4 * data) + 0.5 * torch.randn_like(data) for data in (x, v))
    net = torch.nn.Sequential(
        torch.nn.Linear(1, 200), torch.nn.Tanh(), torch.nn.Linear(200, 200), torch.nn.Tanh(), torch.nn.Linear(200, 1)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    train, validation = [], []
    for _ in range(600):
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        train.append(loss.item())
        with torch.no_grad():
            validation.append(((net(v) - u) ** 2).mean().item())
    return train, validation


def stopping(panel) -> None:
    train, validation = trained()
    best = int(np.argmin(validation))
    assert 5 < best < 300 and validation[-1] > 1.1 * validation[best] and train[-1] < train[best]
    epochs = np.arange(0, 600, 6)
    panel.plot(epochs, np.array(train)[epochs], color=BLUE)
    panel.plot(epochs, np.array(validation)[epochs], color=ORANGE)
    panel.axvline(best, color=INK, linestyle=":", linewidth=1)
    panel.annotate("best", (best, 0.72), xytext=(4, 0), textcoords="offset points")
    panel.text(590, validation[-1] + 0.04, "validation", color=ORANGE, ha="right")
    panel.text(590, train[-1] - 0.07, "training", color=BLUE, ha="right")
    panel.set_ylim(0, 0.8)
    panel.set_xlabel("epoch")
    panel.set_title("loss")


def shares(panel) -> None:
    eta, t = 0.01, 100
    h = np.geomspace(0.01, 99, 60)
    stopped, penalized = 1 - (1 - eta * h) ** t, h / (h + 1 / (eta * t))
    assert np.abs(stopped - penalized).max() < 0.25 and (stopped > 0).all()
    panel.semilogx(h, stopped, color=GREEN)
    panel.semilogx(h, penalized, color=INK, linestyle="--")
    panel.text(0.012, 0.86, "early stopping", color=GREEN)
    panel.text(0.012, 0.72, "weight penalty")
    panel.set_xlabel("curvature h")
    panel.set_title("share of the solution kept")


@figure("figure-stopping.svg")
def stopping_and_shares() -> Figure:
    """Losses of a small net over the epochs, and what early stopping and a penalty keep of each direction."""
    drawn, (left, right) = plt.subplots(1, 2)
    stopping(left)
    shares(right)
    return drawn
