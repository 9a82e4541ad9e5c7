import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt

DEPTH, WIDTH = 20, 256


def gradient_norms(activation, std=None):
    """The gradient's norm at the input and behind each layer, relative to the last."""
    torch.manual_seed(0)
    h = torch.randn(WIDTH, WIDTH, requires_grad=True)
    seen = [h]
    for _ in range(DEPTH):
        layer = nn.Linear(WIDTH, WIDTH)
        if std is not None:
            nn.init.normal_(layer.weight, std=std)
        h = activation(layer(h))
        seen.append(h)
    norms = torch.stack([g.norm() for g in torch.autograd.grad(h, seen, torch.randn_like(h))])
    return norms / norms[-1]


@figure("figure-depth.svg")
def gradient_by_depth() -> Figure:
    """Gradient norm per layer for four 20-layer networks at initialization."""
    curves = {
        "ReLU, larger weights": (gradient_norms(torch.relu, (4 / WIDTH) ** 0.5), PINK, "-"),
        "ReLU, Kaiming weights": (gradient_norms(torch.relu, (2 / WIDTH) ** 0.5), GREEN, "-"),
        "ReLU, default weights": (gradient_norms(torch.relu), BLUE, "--"),
        "sigmoid, default weights": (gradient_norms(torch.sigmoid), ORANGE, ":"),
    }
    first = {name: float(norms[0]) for name, (norms, _, _) in curves.items()}
    assert first["ReLU, larger weights"] > 500 and 0.5 < first["ReLU, Kaiming weights"] < 2
    assert first["ReLU, default weights"] < 1e-7 and first["sigmoid, default weights"] < 1e-16

    drawn, panel = plt.subplots()
    for name, (norms, colour, style) in curves.items():
        panel.semilogy(range(DEPTH + 1), norms, color=colour, linestyle=style, label=name)
    panel.set_ylim(1e-18, 1e5)
    panel.set_yticks([1e-16, 1e-12, 1e-8, 1e-4, 1])
    panel.minorticks_off()
    panel.set_xticks(range(0, DEPTH + 1, 5))
    panel.set_xlabel("layer (0 is the input, the loss is on the right)")
    panel.set_ylabel("relative gradient norm")
    panel.legend(loc="lower right", fontsize=9)
    return drawn
