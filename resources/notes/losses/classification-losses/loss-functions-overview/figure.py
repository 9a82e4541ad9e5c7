import math

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, GREEN, INK, ORANGE, PINK, figure, plt


@figure("figure-surrogates.svg")
def surrogates() -> Figure:
    """Losses of a binary score against score × label, and losses of a regression error."""
    m = torch.linspace(-2, 2.5, 501)
    scores, right = torch.stack([m, torch.zeros_like(m)], 1), torch.zeros(501, dtype=torch.long)
    hinge = 2 * F.multi_margin_loss(scores, right, reduction="none")
    logistic = F.soft_margin_loss(m, torch.ones_like(m), reduction="none") / math.log(2)
    squared = F.mse_loss(m, torch.ones_like(m), reduction="none")
    zero_one = (m <= 0).float()
    for loss in (hinge, logistic, squared):
        assert (loss >= zero_one - 1e-6).all()

    drawn, (left, panel) = plt.subplots(1, 2)
    for loss, colour, name in (
        (hinge, BLUE, "hinge"),
        (logistic, GREEN, "logistic / ln 2"),
        (squared, ORANGE, "squared"),
    ):
        left.plot(m, loss, color=colour, label=name)
    left.plot(m, zero_one, color=INK, label="0/1 error")
    left.set_ylim(0, 5)
    left.set_title("binary classification")
    left.set_xlabel("score × label")
    left.legend(loc="upper right")

    e = torch.linspace(-4, 4, 401)
    zero = torch.zeros_like(e)
    for loss, colour, name in (
        (0.5 * F.mse_loss(e, zero, reduction="none"), ORANGE, "half squared"),
        (F.l1_loss(e, zero, reduction="none"), PINK, "absolute"),
        (F.huber_loss(e, zero, reduction="none"), BLUE, "Huber"),
    ):
        panel.plot(e, loss, color=colour, label=name)
    panel.set_ylim(0, 8)
    panel.set_title("regression")
    panel.set_xlabel("error")
    panel.legend(loc="upper center")
    return drawn
