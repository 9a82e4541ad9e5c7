import torch
import torchvision
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from figure_style import BLUE, ORANGE, QUIET, figure, plt

WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.4)


def size_and_work(width):
    with torch.device("meta"):
        net = torchvision.models.mobilenet_v2(width_mult=width).eval()
        with FlopCounterMode(display=False) as counter:
            net(torch.zeros(1, 3, 224, 224))
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops() / 2


@figure("figure-width.svg")
def effect_of_the_width_multiplier() -> Figure:
    """Work of MobileNetV2 follows the square of the width; parameters do not, because the head keeps 1280 features."""
    parameters, work = zip(*map(size_and_work, WIDTHS))
    parameters, work = ([v / values[3] for v in values] for values in (parameters, work))
    assert all(abs(w - a * a) < 0.15 for w, a in zip(work, WIDTHS)) and parameters[0] > 3 * WIDTHS[0] ** 2
    assert round(work[0], 2) == 0.20 and round(WIDTHS[0] ** 2, 2) == 0.12

    drawn, panel = plt.subplots()
    grid = [0.3 + 0.01 * i for i in range(121)]
    panel.plot(grid, [a * a for a in grid], color=QUIET, linestyle=":")
    panel.plot(WIDTHS, parameters, "s--", color=BLUE)
    panel.plot(WIDTHS, work, "o-", color=ORANGE)
    panel.text(0.62, 0.72, "parameters", color=BLUE, ha="right")
    panel.text(0.8, 0.47, "multiply-adds", color=ORANGE)
    panel.text(1.53, 1.0, "square of the width", color=QUIET, ha="right")
    panel.set_xticks(WIDTHS)
    panel.set_xlim(0.28, 1.55)
    panel.set_xlabel("width multiplier")
    panel.set_ylabel("relative to width 1")
    return drawn
