import torch
import torchvision
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-layers.svg")
def parameters_and_work_per_layer() -> Figure:
    """Parameters and multiply-adds of the 16 layers of VGG16: the former sit in the first dense layer, the latter in the convolutions."""
    with torch.device("meta"):
        net = torchvision.models.vgg16().eval()
    rows = []
    hook = lambda m, _, out: rows.append(
        (
            isinstance(m, nn.Linear),
            sum(p.numel() for p in m.parameters()),
            m.weight.numel() * out.numel() // out.shape[1],
        )
    )
    handles = [m.register_forward_hook(hook) for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224, device="meta"))
    for handle in handles:
        handle.remove()
    dense, parameters, work = zip(*rows)
    assert len(rows) == 16 and sum(parameters) == 138_357_544
    assert parameters[13] > 0.7 * sum(parameters) and sum(w for d, w in zip(dense, work) if d) < 0.01 * sum(work)

    drawn, panels = plt.subplots(2, 1, sharex=True, figsize=(5.6, 3.2))
    colours = [ORANGE if d else BLUE for d in dense]
    for panel, values, unit, name in zip(panels, (parameters, work), (1e6, 1e9), ("parameters", "multiply-adds")):
        panel.bar(range(1, 17), [v / unit for v in values], color=colours)
        panel.set_title(name, loc="left")
        panel.grid(axis="x", visible=False)
    panels[0].set_yticks([0, 50, 100], ["0", "50 M", "100 M"])
    panels[1].set_yticks([0, 1, 2], ["0", "1 G", "2 G"])
    panels[0].text(12.8, 70, "dense", color=ORANGE, ha="right")
    panels[0].text(7, 25, "convolution", color=BLUE, ha="center")
    panels[1].set_xticks(range(1, 17))
    panels[1].set_xlabel("layers of VGG16, from input to output")
    return drawn
