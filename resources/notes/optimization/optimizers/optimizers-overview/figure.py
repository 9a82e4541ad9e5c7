import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn

from figure_style import SERIES, figure, plt

RATES = 10.0 ** np.linspace(-4, 1, 16)


@figure("figure-rates.svg")
def loss_against_the_learning_rate() -> Figure:
    """Loss of a small network on the digits after 60 full-batch steps, for five optimizers and many learning rates."""
    images, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(images[:600], dtype=torch.float32) / 16, torch.tensor(digits[:600])

    def loss_after(make) -> float:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        optimizer = make(model.parameters())
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        loss = nn.functional.cross_entropy(model(x), y).item()
        return loss if np.isfinite(loss) else 1e3

    methods = {
        "SGD": lambda p, lr: torch.optim.SGD(p, lr=lr),
        "momentum 0.9": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
        "Adagrad": lambda p, lr: torch.optim.Adagrad(p, lr=lr),
        "RMSprop": lambda p, lr: torch.optim.RMSprop(p, lr=lr),
        "Adam": lambda p, lr: torch.optim.Adam(p, lr=lr),
    }
    drawn, panel = plt.subplots(figsize=(5.6, 3.0))
    best = {}
    for (name, make), colour, marker in zip(methods.items(), SERIES, "os^Dv"):
        losses = [loss_after(lambda p: make(p, lr)) for lr in RATES]
        best[name] = RATES[int(np.argmin(losses))]
        panel.plot(RATES, losses, color=colour, marker=marker, markersize=3, linewidth=1.4, label=name)
    assert best["SGD"] >= 30 * best["RMSprop"] and best["momentum 0.9"] > 3 * best["Adam"], best
    panel.set_xscale("log")
    panel.set_ylim(0, 3)
    panel.set_xlabel("learning rate")
    panel.set_ylabel("loss after 60 steps")
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return drawn
