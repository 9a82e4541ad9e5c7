import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-errors.svg")
def errors() -> Figure:
    """The largest difference from the unfolded layers for the right recipe and three wrong ones."""
    torch.manual_seed(0)
    conv, bn = nn.Conv2d(16, 16, 3, padding=1).eval(), nn.BatchNorm2d(16).eval()
    for values in (bn.running_mean, bn.weight, bn.bias):
        nn.init.normal_(values)
    nn.init.uniform_(bn.running_var, 0.3, 3)
    x = torch.randn(4, 16, 12, 12)
    with torch.no_grad():
        fused = fuse_conv_bn_eval(conv, bn)
        s = bn.weight / torch.sqrt(bn.running_var + bn.eps)
        shift = bn.bias - s * bn.running_mean
        forwards = F.conv2d(
            x, conv.weight * s.view(1, -1, 1, 1), conv.bias + (conv.weight.sum((2, 3)) * shift).sum(1), padding=1
        )
        found = {
            "folded correctly": fused(x) - bn(conv(x)),
            "bias not scaled": F.conv2d(x, fused.weight, conv.bias + shift, padding=1) - bn(conv(x)),
            "ReLU in between": F.relu(fused(x)) - bn(F.relu(conv(x))),
            "BN before padded conv": forwards - conv(bn(x)),
        }
    largest = {name: float(difference.abs().max()) for name, difference in found.items()}
    assert 1e-8 < largest["folded correctly"] < 1e-5 and min(list(largest.values())[1:]) > 0.05

    drawn, panel = plt.subplots(figsize=(5.6, 2.2))
    names = list(largest)
    panel.barh(range(4), list(largest.values()), 0.6, color=[BLUE] + [ORANGE] * 3)
    panel.set_xscale("log")
    panel.set_xlim(1e-8, 30)
    panel.set_yticks(range(4), names)
    panel.invert_yaxis()
    panel.set_xlabel("largest difference from the original")
    return drawn
