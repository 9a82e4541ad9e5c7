from collections import OrderedDict

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import interpolate, max_pool2d
from torchvision.ops import FeaturePyramidNetwork

from figure_style import BLUE, ORANGE, QUIET, figure, plt


class BiFPN(nn.Module):
    """One layer: a pass down, then a pass up with skips from the inputs; equal weights."""

    def __init__(self, c: int):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, c, 3, 1, 1) for _ in range(8))

    def forward(self, x):
        td = list(x)
        for i in (3, 2, 1):
            td[i] = self.convs[i - 1](x[i] + interpolate(td[i + 1], x[i].shape[-2:]))
        out = [self.convs[3](x[0] + interpolate(td[1], x[0].shape[-2:]))]
        for i in (1, 2, 3, 4):
            middle = td[i] if i < 4 else 0
            out.append(self.convs[3 + i](x[i] + middle + max_pool2d(out[-1], 3, 2, 1)))
        return out


def dependence(network) -> torch.Tensor:
    """Which output level has a gradient with respect to which input level."""
    maps = [torch.randn(1, 4, n, n, requires_grad=True) for n in (32, 16, 8, 4, 2)]
    rows = []
    for output in network(maps):
        gradients = torch.autograd.grad(output.square().sum(), maps, retain_graph=True, allow_unused=True)
        rows.append([g is not None and bool(g.abs().max() > 0) for g in gradients])
    return torch.tensor(rows)


@figure("figure-flow.svg")
def who_sees_whom() -> Figure:
    """Dependence of outputs on inputs for FPN and for one BiFPN layer."""
    fpn = FeaturePyramidNetwork([4] * 5, 4)
    first = dependence(lambda maps: list(fpn(OrderedDict((str(i), m) for i, m in enumerate(maps))).values()))
    second = dependence(BiFPN(4))
    assert torch.equal(first, torch.ones(5, 5).triu().bool()) and second.all()
    drawn, panels = plt.subplots(1, 2, sharey=True)
    names = [f"P{i}" for i in range(3, 8)]
    for panel, matrix, colour, title in zip(panels, (first, second), (ORANGE, BLUE), ("FPN", "one BiFPN layer")):
        for row in range(5):
            for column in range(5):
                seen = bool(matrix[row, column])
                panel.scatter(
                    column,
                    row,
                    s=150,
                    marker="s",
                    color=colour if seen else "none",
                    edgecolors=colour if seen else QUIET,
                    linewidths=1,
                )
        panel.set_xticks(range(5), names)
        panel.set_yticks(range(5), names)
        panel.set_xlim(-0.6, 4.6)
        panel.set_ylim(4.6, -0.6)
        panel.grid(False)
        panel.set_title(title)
        panel.set_xlabel("input level")
    panels[0].set_ylabel("output level")
    return drawn
