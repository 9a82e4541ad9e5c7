import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt

DEPTH, WIDTH = 20, 256


def signals(kaiming: bool) -> tuple[list[float], list[float]]:
    """RMS of each layer's output and of its gradient, read with hooks."""
    torch.manual_seed(0)
    layers = [nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH)]
    forward, backward = [], []
    for layer in layers:
        if kaiming:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        layer.register_forward_hook(lambda m, i, o: forward.append(float(o.detach().square().mean().sqrt())))
        layer.register_full_backward_hook(lambda m, gi, go: backward.insert(0, float(go[0].square().mean().sqrt())))
    model = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
    out = model(torch.randn(512, WIDTH, requires_grad=True))
    out.backward(torch.randn(out.shape))
    return forward, backward


@figure("figure-layers.svg")
def hooks_read_every_layer() -> Figure:
    """Activations and gradients by layer for two initialisations."""
    default, kaiming = signals(False), signals(True)
    assert len(default[0]) == len(default[1]) == DEPTH
    assert default[0][0] > 10 * default[0][4] and 0.8 < default[0][4] / default[0][-1] < 1.25
    assert default[1][-1] > 1e4 * default[1][0] and default[1] == sorted(default[1])
    assert all(0.2 < v < 3 for part in kaiming for v in part)

    drawn, panels = plt.subplots(1, 2)
    layers = range(1, DEPTH + 1)
    for panel, part, title, label in zip(
        panels, (0, 1), ("forward hooks", "backward hooks"), ("RMS of the output", "RMS of the gradient"), strict=True
    ):
        panel.semilogy(layers, kaiming[part], color=BLUE, label="Kaiming init")
        panel.semilogy(layers, default[part], color=ORANGE, linestyle=(0, (4, 2)), label="default init")
        panel.set_title(title)
        panel.set_xlabel("layer")
        panel.set_ylabel(label)
        panel.set_xticks([1, 5, 10, 15, 20])
    panels[1].legend(loc="lower right")
    return drawn
