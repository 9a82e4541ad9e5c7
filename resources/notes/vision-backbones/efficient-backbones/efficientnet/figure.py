import importlib

import torch
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from figure_style import BLUE, GREEN, ORANGE, figure, plt

source = importlib.import_module("torchvision.models.efficientnet")
FACTORS = (1.0, 1.25, 1.5, 1.75, 2.0)


def multiply_adds(depth=1.0, width=1.0, resolution=1.0):
    blocks, last = source._efficientnet_conf("efficientnet_b0", width_mult=width, depth_mult=depth)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        source.EfficientNet(blocks, 0.2, last_channel=last).eval()(
            torch.zeros(1, 3, int(224 * resolution), int(224 * resolution))
        )
    return counter.get_total_flops() / 2


@figure("figure-scaling.svg")
def work_by_dimension() -> Figure:
    """Multiply-adds of EfficientNet-B0 when one dimension alone is scaled."""
    base = multiply_adds()
    curves = {name: [multiply_adds(**{name: f}) / base for f in FACTORS] for name in ("depth", "width", "resolution")}
    assert 1.7 < curves["depth"][-1] < 2.3 and 3.4 < curves["width"][-1] < 4.2 and 3.8 < curves["resolution"][-1] < 4.2

    drawn, panel = plt.subplots()
    styles = {"resolution": (GREEN, "^:"), "width": (ORANGE, "s--"), "depth": (BLUE, "o-")}
    for name, (colour, style) in styles.items():
        panel.plot(FACTORS, curves[name], style, color=colour, label=name)
    panel.set_xticks(FACTORS)
    panel.set_yticks([1, 2, 3, 4])
    panel.set_xlabel("scaling factor")
    panel.set_ylabel("multiply-adds relative to B0")
    panel.legend(loc="upper left")
    return drawn
