import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt

DEPTH, WIDTH = 30, 512


def through_layers(init) -> list[float]:
    """Root mean square of the activations after each Linear + ReLU."""
    torch.manual_seed(0)
    h, values = torch.randn(500, WIDTH), [1.0]
    with torch.no_grad():
        for _ in range(DEPTH):
            layer = nn.Linear(WIDTH, WIDTH)
            if init is not None:
                init(layer.weight)
                nn.init.zeros_(layer.bias)
            h = torch.relu(layer(h))
            values.append(h.pow(2).mean().sqrt().item())
    return values


@figure("figure-depth.svg")
def kaiming_keeps_the_size() -> Figure:
    """The size of the signal through 30 ReLU layers under four initializations."""
    curves = {
        "Kaiming": (through_layers(lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")), BLUE, "-"),
        "nn.Linear default": (through_layers(None), GREEN, (0, (1, 1))),
        "Xavier": (through_layers(nn.init.xavier_normal_), ORANGE, (0, (5, 2))),
        "std 0.01": (through_layers(lambda w: nn.init.normal_(w, std=0.01)), PINK, "-."),
    }
    assert 0.5 < curves["Kaiming"][0][-1] < 2
    assert curves["Xavier"][0][-1] < 1e-3 and curves["std 0.01"][0][-1] < 1e-20
    assert 0.01 < curves["nn.Linear default"][0][-1] < 0.1

    drawn, panel = plt.subplots()
    for name, (values, colour, dashes) in curves.items():
        panel.plot(values, color=colour, linestyle=dashes, label=name)
    panel.set_yscale("log")
    panel.set_ylim(1e-12, 30)
    panel.set_xlabel("layer")
    panel.set_ylabel("RMS of the activations")
    panel.legend(loc="lower left", bbox_to_anchor=(1.0, 0.35))
    return drawn
