from matplotlib.figure import Figure
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from figure_style import BLUE, ORANGE, figure, plt


def weights(block, kernel):
    """Number of convolution weights with this kernel size."""
    return sum(
        m.weight.numel() for m in block.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (kernel, kernel)
    )


@figure("figure-weights.svg")
def weights_of_three_blocks() -> Figure:
    """Convolution weights of three residual blocks with 256 channels at both ends."""
    blocks = {
        "two 3x3": BasicBlock(256, 256),
        "bottleneck": Bottleneck(256, 64),
        "inverted, t = 6": InvertedResidual(256, 256, 1, 6),
    }
    spatial, pointwise = ([weights(block, kernel) / 1e6 for block in blocks.values()] for kernel in (3, 1))
    total = [a + b for a, b in zip(spatial, pointwise)]
    assert (
        [round(t * 1e6) for t in total[:2]] == [1_179_648, 69_632]
        and spatial[0] == total[0]
        and pointwise[2] > 50 * spatial[2]
    )

    drawn, panel = plt.subplots(figsize=(5.6, 2.2))
    panel.barh(range(3), spatial, color=BLUE, height=0.55, label="3x3 part")
    panel.barh(range(3), pointwise, left=spatial, color=ORANGE, height=0.55, label="1x1 part")
    for row, value in enumerate(total):
        panel.text(value + 0.015, row, f"{value * 1e6:,.0f}", va="center", fontsize=9)
    panel.set_yticks(range(3), list(blocks))
    panel.invert_yaxis()
    panel.set_xlim(0, 1.45)
    panel.set_xticks([0, 0.4, 0.8, 1.2], ["0", "0.4 M", "0.8 M", "1.2 M"])
    panel.grid(axis="y", visible=False)
    panel.set_xlabel("weights at 256 channels")
    panel.legend(loc="center right", fontsize=9)
    return drawn
