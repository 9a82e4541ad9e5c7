import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, figure, plt

STEPS = 300


@figure("figure-convergence.svg")
def validation_loss_has_an_early_minimum() -> Figure:
    """Training and validation loss on 150 digits of which about a sixth got a random label."""
    images, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(digits)
    chance = torch.Generator().manual_seed(0)
    order = torch.randperm(len(y), generator=chance)
    train, validation = order[:150], order[150:900]
    random_labels = torch.randint(0, 10, (150,), generator=chance)
    replaced = torch.rand(150, generator=chance) < 0.2
    assert replaced.sum() == 26  # the number in the article
    labels = torch.where(replaced, random_labels, y[train])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    fitted, held_out = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[train]), labels)
        loss.backward()
        optimizer.step()
        fitted.append(loss.item())
        with torch.no_grad():
            held_out.append(F.cross_entropy(model(x[validation]), y[validation]).item())
    best = int(np.argmin(held_out))
    assert 20 < best < 80 and held_out[-1] > 1.3 * held_out[best] and fitted[-1] < 0.1 < fitted[best]

    drawn, panel = plt.subplots()
    panel.plot(held_out, color=BLUE, label="validation")
    panel.plot(fitted, color=ORANGE, linestyle=(0, (5, 2)), label="training")
    panel.plot([best], [held_out[best]], "o", color=INK, markersize=5)
    panel.annotate("best", (best, held_out[best]), textcoords="offset points", xytext=(4, -14))
    panel.set_xlabel("step")
    panel.set_ylabel("loss")
    panel.legend(loc="upper right")
    return drawn
