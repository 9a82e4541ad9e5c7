import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt

SCALE = 2.0**16


def activation_gradients() -> torch.Tensor:
    """Gradients of the mean loss with respect to all layer outputs of a small network, in float64."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(layer for _ in range(4) for layer in (nn.Linear(64, 64), nn.Tanh())), nn.Linear(64, 10)
    ).double()
    h, outputs = torch.randn(2048, 64).double(), []
    for layer in model:
        h = layer(h)
        h.retain_grad()
        outputs.append(h)
    nn.functional.cross_entropy(h, torch.randint(0, 10, (2048,))).backward()
    return torch.cat([out.grad.flatten() for out in outputs])


@figure("figure-gradients.svg")
def gradients_against_float16() -> Figure:
    """Histogram of log2 |gradient| against the zones of float16, unscaled and scaled by 65,536."""
    gradients = activation_gradients().abs()
    logs = gradients.log2().numpy()
    coarse = (gradients < 2.0**-14).double().mean()
    assert coarse > 0.95 and (gradients * SCALE < 2.0**-14).double().mean() < 0.03
    assert torch.isfinite((gradients * SCALE).half()).all() and (gradients.half() == 0).any()

    drawn, panel = plt.subplots(figsize=(5.6, 2.7))
    panel.axvspan(-14, 16, color=QUIET, alpha=0.22, linewidth=0)
    panel.axvspan(-25, -14, color=QUIET, alpha=0.10, linewidth=0)
    for values, colour in ((logs, ORANGE), (logs + 16, BLUE)):
        panel.hist(
            values, bins=range(-36, 20), weights=[1 / len(values)] * len(values), color=colour, alpha=0.8, linewidth=0
        )
    top = panel.get_ylim()[1]
    panel.set_ylim(0, top * 1.34)
    for x, text in ((-30.5, "becomes 0"), (-19.5, "coarse"), (9, "full precision")):
        panel.text(x, top * 1.22, text, ha="center", color=INK)
    panel.set_xlim(-36, 20)
    panel.set_xlabel("log2 of |gradient|")
    panel.set_ylabel("share of entries")
    panel.grid(False)
    for centre, text, colour in ((-16.5, "unscaled", ORANGE), (-0.5, "scaled by 65,536", BLUE)):
        panel.text(centre, top * 1.01, text, ha="center", color=colour)
    return drawn
