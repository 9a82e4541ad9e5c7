import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, figure, plt


def networks() -> dict[str, nn.Module]:
    """Untrained networks in float64, so that the curves do not depend on rounding."""
    conv = lambda a, b: (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())
    mean = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {
        "dense layer": nn.Sequential(nn.Flatten(), nn.Linear(40 * 40, 64), nn.ReLU()),
        "CNN with two poolings": nn.Sequential(*conv(1, 16), nn.MaxPool2d(2), *conv(16, 64), nn.MaxPool2d(2), *mean),
        "CNN without stride": nn.Sequential(*conv(1, 16), *conv(16, 64), *mean),
    }


@figure("figure-shift.svg")
def shift() -> Figure:
    """How much the features of handwritten digits change when the digits are shifted on a 40 by 40 canvas."""
    torch.manual_seed(0)
    digits = torch.tensor(load_digits().images[:100])[:, None] / 16
    canvas = nn.functional.pad(digits, (16, 16, 16, 16))
    shifts = list(range(0, 9))
    drawn, panel = plt.subplots()
    found = {}
    for (name, net), colour, marker in zip(networks().items(), (ORANGE, BLUE, GREEN), "os^"):
        net = net.double()
        with torch.no_grad():
            centred = net(canvas)
            centre = centred - net(torch.zeros_like(canvas))
            found[name] = [float((net(canvas.roll(s, -1)) - centred).norm() / centre.norm()) for s in shifts]
        panel.plot(shifts, found[name], marker=marker, markersize=5, color=colour, label=name)
    assert min(found["dense layer"][1:]) > 2 / 3 and max(found["CNN without stride"]) < 1e-12
    pooled = found["CNN with two poolings"]
    assert pooled[4] < 1e-12 and pooled[8] < 1e-12 and 0.05 < pooled[1] and max(pooled) < 0.2
    panel.set_xlabel("shift in pixels")
    panel.set_ylabel("relative change of the features")
    panel.set_ylim(-0.05, 2.0)
    panel.legend(loc="upper left", fontsize=9)
    return drawn
