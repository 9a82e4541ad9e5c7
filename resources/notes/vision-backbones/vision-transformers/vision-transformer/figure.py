import torch
import torchvision
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from figure_style import BLUE, ORANGE, figure, plt

SIZES = (224, 384, 512, 768, 1024)


def multiply_adds(size):
    """Counted by PyTorch for ViT-B/16 at one image size: linear layers, and the two products with attention matrices."""
    with torch.device("meta"):
        net = torchvision.models.vit_b_16(image_size=size)
        with FlopCounterMode(display=False) as counter:
            net.train()(torch.zeros(1, 3, size, size))
    attention = sum(
        n
        for op, n in counter.get_flop_counts()["Global"].items()
        if "scaled_dot_product" in str(op) or "bmm" in str(op)
    )
    return (counter.get_total_flops() - attention) / 2e9, attention / 2e9


@figure("figure-cost.svg")
def cost_by_image_size() -> Figure:
    """The linear layers grow with the number of patches, the attention matrices with its square."""
    linear, attention = zip(*map(multiply_adds, SIZES))
    assert attention[0] < 0.05 * linear[0] and attention[-1] > 0.5 * linear[-1]
    tokens = [(size // 16) ** 2 + 1 for size in SIZES]
    assert abs(attention[-1] / attention[0] / (tokens[-1] / tokens[0]) ** 2 - 1) < 1e-6

    drawn, panel = plt.subplots()
    panel.stackplot(SIZES, linear, attention, colors=[BLUE, ORANGE], labels=["linear layers", "attention matrices"])
    panel.set_xticks(SIZES)
    panel.set_yticks([0, 200, 400, 600], ["0", "200 G", "400 G", "600 G"])
    panel.set_xlim(224, 1024)
    panel.set_xlabel("image size in pixels")
    panel.set_ylabel("multiply-adds")
    panel.legend(loc="upper left")
    return drawn
