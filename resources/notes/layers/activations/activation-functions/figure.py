import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, figure, plt


def gradients(f, gain: float) -> list[float]:
    """The spread of the gradient at each of 30 layers of width 256, relative to the last."""
    torch.manual_seed(0)
    a = torch.randn(300, 256, dtype=torch.float64, requires_grad=True)
    kept = []
    for _ in range(30):
        a = f(a @ (torch.randn(256, 256, dtype=torch.float64) * gain / 16))
        a.retain_grad()
        kept.append(a)
    (a * torch.randn_like(a)).sum().backward()
    return [float(layer.grad.std() / kept[-1].grad.std()) for layer in kept]


@figure("figure-depth.svg")
def through_depth() -> Figure:
    """How much gradient arrives at each layer with sigmoid, tanh and ReLU, each with its recommended gain."""
    curves = [
        ("ReLU", F.relu, 2**0.5, BLUE),
        ("tanh", torch.tanh, 5 / 3, GREEN),
        ("sigmoid", torch.sigmoid, 1.0, ORANGE),
    ]
    found = {name: gradients(f, gain) for name, f, gain, _ in curves}
    assert found["sigmoid"][0] < 1e-15 and 0.1 < found["ReLU"][0] < 10 and 0.1 < found["tanh"][0] < 100

    drawn, panel = plt.subplots()
    for name, _, _, colour in curves:
        panel.semilogy(range(1, 31), found[name], color=colour, label=name)
    panel.set_xlabel("layer")
    panel.set_ylabel("gradient relative to layer 30")
    panel.set_ylim(1e-20, 1e5)
    panel.legend(loc="lower right", fontsize=9)
    return drawn
