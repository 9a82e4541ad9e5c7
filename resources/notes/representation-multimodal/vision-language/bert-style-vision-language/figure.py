import torch
import torchvision
from matplotlib.figure import Figure
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from figure_style import BLUE, GREEN, ORANGE, QUIET, figure, plt


def billions(net: nn.Module, *shape: int) -> float:
    """Multiply-adds of one forward pass, counted by PyTorch on tensors without data."""
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(shape, device="meta"))
    return counter.get_total_flops() / 2 / 1e9


@figure("figure-embedders.svg")
def cost_of_image_tokens() -> Figure:
    """What an image costs before the Transformer sees it."""
    with torch.device("meta"):
        convolutions = {
            name: nn.Sequential(*list(getattr(torchvision.models, name)().children())[:-2]).eval()
            for name in ("resnet101", "resnet50")
        }
        patches = nn.Conv2d(3, 768, 32, 32)
        layer = nn.TransformerEncoderLayer(768, 12, 3072, batch_first=True, dropout=0.0)
        encoder = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False).train()
    costs = {
        "regions: ResNet-101, 600 x 1000": billions(convolutions["resnet101"], 1, 3, 600, 1000),
        "grid: ResNet-50, 384 x 640": billions(convolutions["resnet50"], 1, 3, 384, 640),
        "patches: linear, 384 x 640": billions(patches, 1, 3, 384, 640),
        "Transformer, 281 tokens": billions(encoder, 1, 281, 768),
    }
    values = list(costs.values())
    assert 3.3 < values[0] / values[3] < 4.7 and 0.015 < values[2] / values[3] < 0.03
    drawn, panel = plt.subplots()
    panel.barh(range(4), values[::-1], color=[QUIET, GREEN, BLUE, ORANGE], height=0.6)
    panel.set_yticks(range(4), list(costs)[::-1])
    for place, value in enumerate(values[::-1]):
        panel.text(value + 1, place, f"{value:.1f}", va="center")
    panel.set_xlim(0, 110)
    panel.set_xlabel("multiply-adds (billions)")
    return drawn
