import torch
import torchvision
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from figure_style import BLUE, INK, ORANGE, figure, plt

NAMES = {"SqueezeNet 1.0": "squeezenet1_0", "SqueezeNet 1.1": "squeezenet1_1", "MobileNetV2": "mobilenet_v2"}


def size_and_work(name):
    with torch.device("meta"):
        net = getattr(torchvision.models, name)().eval()
        with FlopCounterMode(display=False) as counter:
            net(torch.zeros(1, 3, 224, 224))
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops() / 2


@figure("figure-size.svg")
def size_and_work_against_alexnet() -> Figure:
    """Relative to AlexNet: SqueezeNet 1.0 has a fiftieth of the parameters, but not less work."""
    base = size_and_work("alexnet")
    values = {label: [v / b for v, b in zip(size_and_work(name), base)] for label, name in NAMES.items()}
    assert (
        values["SqueezeNet 1.0"][0] < 0.021 and values["SqueezeNet 1.0"][1] > 1.1 and values["SqueezeNet 1.1"][1] < 0.5
    )

    drawn, panel = plt.subplots(figsize=(5.6, 2.5))
    for index, (colour, label) in enumerate(((BLUE, "parameters"), (ORANGE, "multiply-adds"))):
        places = [row + 0.2 * (2 * index - 1) for row in range(3)]
        numbers = [v[index] for v in values.values()]
        panel.barh(places, numbers, left=0, height=0.36, color=colour, label=label)
        for place, number in zip(places, numbers):
            panel.text(
                number * 1.08, place, f"{number:.2f}" if number > 0.1 else f"{number:.3f}", va="center", fontsize=8
            )
    panel.set_xscale("log")
    panel.set_xlim(0.01, 15)
    panel.axvline(1, color=INK, linewidth=1)
    panel.set_xticks([0.01, 0.1, 1], ["1/100", "1/10", "1"])
    panel.minorticks_off()
    panel.set_yticks(range(3), list(values))
    panel.invert_yaxis()
    panel.grid(axis="y", visible=False)
    panel.set_xlabel("relative to AlexNet (log scale)")
    panel.legend(loc="lower right", fontsize=8, bbox_to_anchor=(1.0, 0.02))
    return drawn
