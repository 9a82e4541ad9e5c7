import torch
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from figure_style import BLUE, GREEN, ORANGE, figure, plt

SIZES = (112, 224, 448, 896, 1792)
WIDTH = 64


def products(groups, queries, keys):
    """Multiply-adds of QK^T and of the weights times V, counted by PyTorch on tensors without memory."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        q, k = torch.zeros(groups, queries, WIDTH), torch.zeros(groups, keys, WIDTH)
        torch.bmm(torch.bmm(q, k.transpose(1, 2)), k)
    return counter.get_total_flops() / 2


@figure("figure-cost.svg")
def attention_cost_by_image_size() -> Figure:
    """First-stage attention on patches of 4 x 4: global, with keys reduced 64-fold, and in windows of 49."""
    tokens = [(size // 4) ** 2 for size in SIZES]
    curves = {
        "global": [products(1, n, n) for n in tokens],
        "keys reduced 8 x 8": [products(1, n, -(-n // 64)) for n in tokens],
        "7 x 7 windows": [products(n // 49, 49, 49) for n in tokens],
    }
    full, reduced, windows = curves.values()
    assert reduced[1] == windows[1] == full[1] / 64 and reduced[-1] > 50 * windows[-1] and reduced[0] < windows[0]

    drawn, panel = plt.subplots()
    styles = ((ORANGE, "o-"), (BLUE, "s--"), (GREEN, "^:"))
    for (name, values), (colour, style) in zip(curves.items(), styles):
        panel.loglog(SIZES, values, style, color=colour, label=name)
    panel.set_xticks(SIZES, [str(size) for size in SIZES])
    panel.set_yticks([1e7, 1e9, 1e11, 1e13], ["10 M", "1 G", "100 G", "10 T"])
    panel.minorticks_off()
    panel.set_xlabel("image size in pixels")
    panel.set_ylabel("multiply-adds")
    panel.legend(loc="upper left")
    return drawn
