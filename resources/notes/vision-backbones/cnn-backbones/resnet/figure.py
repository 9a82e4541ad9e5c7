import torch
import torchvision
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from figure_style import BLUE, GREEN, ORANGE, figure, plt


@figure("figure-stages.svg")
def shares_of_the_stages() -> Figure:
    """Share of parameters, multiply-adds and block outputs in each stage of ResNet-50 at 224 x 224."""
    with torch.device("meta"):
        net = torchvision.models.resnet50().eval()
    parameters, work, outputs = [], [], []
    with torch.no_grad():
        h = net.maxpool(net.bn1(net.conv1(torch.zeros(1, 3, 224, 224, device="meta"))))
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            with FlopCounterMode(display=False) as counter:
                h = stage(h)
            parameters.append(sum(p.numel() for p in stage.parameters()))
            work.append(counter.get_total_flops())
            outputs.append(h.numel() * len(stage))
    shares = {
        name: [v / sum(values) for v in values]
        for name, values in {"parameters": parameters, "multiply-adds": work, "block outputs": outputs}.items()
    }
    assert shares["parameters"][3] > 0.6 and shares["parameters"][0] < 0.01
    assert max(shares["multiply-adds"]) < 0.4 and min(shares["multiply-adds"]) > 0.15
    assert outputs[0] > 3 * outputs[3]

    drawn, panel = plt.subplots()
    for shift, (name, values), colour in zip((-0.27, 0, 0.27), shares.items(), (BLUE, ORANGE, GREEN)):
        panel.bar([i + shift for i in range(1, 5)], values, width=0.25, color=colour, label=name)
    panel.set_xticks(range(1, 5))
    panel.set_yticks([0, 0.2, 0.4, 0.6], ["0 %", "20 %", "40 %", "60 %"])
    panel.grid(axis="x", visible=False)
    panel.set_xlabel("stage")
    panel.set_ylabel("share of the four stages")
    panel.legend(loc="upper left", fontsize=9)
    return drawn
