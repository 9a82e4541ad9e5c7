import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, figure, plt

WIDTH = 64


def spread(order: str, p: float) -> float:
    """The spread after BatchNorm in evaluation, after it has seen 60 batches in training."""
    torch.manual_seed(0)
    bn, drop = nn.BatchNorm1d(WIDTH, momentum=None), nn.Dropout(p)
    linear = nn.Linear(WIDTH, WIDTH, bias=False)
    nn.init.normal_(linear.weight, std=WIDTH**-0.5)
    net = {
        "BN, dropout": nn.Sequential(bn, drop),
        "dropout, linear, BN": nn.Sequential(drop, linear, bn),
        "dropout, BN": nn.Sequential(drop, bn),
    }[order]
    with torch.no_grad():
        for _ in range(60):
            net(torch.relu(torch.randn(512, WIDTH)))
        return float(net.eval()(torch.relu(torch.randn(10_000, WIDTH))).std(0).mean())


@figure("figure-shift.svg")
def shift() -> Figure:
    """How the spread after BatchNorm depends on p for three orders."""
    chances = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    drawn, panel = plt.subplots()
    for order, colour, marker in (
        ("BN, dropout", GREEN, "s"),
        ("dropout, linear, BN", BLUE, "^"),
        ("dropout, BN", ORANGE, "o"),
    ):
        found = [spread(order, p) for p in chances]
        if order == "BN, dropout":
            assert all(abs(value - 1) < 0.02 for value in found)
        else:
            assert abs(found[0] - 1) < 0.02 and all(a > b for a, b in zip(found, found[1:])) and found[5] < 0.75
        panel.plot(chances, found, marker=marker, markersize=10 if marker == "^" else 5, color=colour, label=order)
    panel.set_xlabel("dropout probability p")
    panel.set_ylabel("spread after BN in eval")
    panel.set_ylim(0, 1.1)
    panel.legend(loc="lower left", fontsize=9)
    return drawn
