import torch
import torchvision
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-channels.svg")
def channels_in_the_third_block() -> Figure:
    """Channels that each layer of DenseNet-121's third block reads and writes."""
    with torch.device("meta"):
        block = torchvision.models.densenet121().features.denseblock3
    read = [layer.conv1.in_channels for layer in block.values()]
    written = [layer.conv2.out_channels for layer in block.values()]
    assert len(read) == 24 and set(written) == {32} and read == [256 + 32 * i for i in range(24)]

    drawn, panel = plt.subplots()
    places = range(1, 25)
    panel.bar(places, read, color=BLUE)
    panel.bar(places, written, bottom=read, color=ORANGE)
    panel.text(10.5, 700, "written", color=ORANGE, ha="right")
    panel.text(3, 430, "read", color=BLUE, ha="center")
    panel.set_xticks([1, 6, 12, 18, 24])
    panel.grid(axis="x", visible=False)
    panel.set_xlabel("layer of the dense block")
    panel.set_ylabel("channels")
    return drawn
