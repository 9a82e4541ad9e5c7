import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, INK, figure, plt


def folded(kernel, norm):
    """A convolution kernel with the BatchNorm behind it, as one kernel."""
    return kernel * (norm.weight / (norm.running_var + norm.eps).sqrt()).view(-1, 1, 1, 1)


@figure("figure-merge.svg")
def three_kernels_add_to_one() -> Figure:
    """Kernels of the branches of a two-channel block, from channel 0 to channel 0, and their sum."""
    torch.manual_seed(1)
    wide, point = nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.Conv2d(2, 2, 1, bias=False)
    norms = [nn.BatchNorm2d(2).eval() for _ in range(3)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    for norm in norms:
        nn.init.uniform_(norm.bias)
        nn.init.uniform_(norm.running_mean)
    unit = torch.eye(2).view(2, 2, 1, 1)
    with torch.no_grad():
        kernels = [
            folded(wide.weight, norms[0]),
            F.pad(folded(point.weight, norms[1]), [1] * 4),
            F.pad(folded(unit, norms[2]), [1] * 4),
        ]
        bias = sum(n.bias - n.running_mean * n.weight / (n.running_var + n.eps).sqrt() for n in norms)
        x = torch.randn(4, 2, 6, 6)
        branches = norms[0](wide(x)) + norms[1](point(x)) + norms[2](x)
        assert torch.allclose(F.conv2d(x, sum(kernels), bias, padding=1), branches, atol=1e-5)
    shown = [k[0, 0] for k in (*kernels, sum(kernels))]

    drawn, panels = plt.subplots(1, 4, figsize=(5.8, 1.8))
    for panel, kernel, title, sign in zip(
        panels, shown, ("3x3 + BN", "1x1 + BN", "identity + BN", "merged"), ("+", "+", "=", "")
    ):
        for row in range(3):
            for column in range(3):
                value = float(kernel[row, column])
                panel.add_patch(
                    plt.Rectangle(
                        (column, row), 1, 1, facecolor=BLUE, alpha=0.12 if value else 0.0, edgecolor=INK, linewidth=0.8
                    )
                )
                panel.text(
                    column + 0.5, row + 0.5, f"{value:.2f}" if value else "0", ha="center", va="center", fontsize=8
                )
        panel.text(3.45, 1.5, sign, fontsize=12, ha="center", va="center")
        panel.set_xlim(0, 3.1)
        panel.set_ylim(3.05, -0.05)
        panel.set_aspect("equal")
        panel.axis("off")
        panel.set_title(title, fontsize=9)
    return drawn
