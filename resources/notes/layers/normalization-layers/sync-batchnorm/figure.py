import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt


@figure("figure-devices.svg")
def devices() -> Figure:
    """Four devices with four values each: every device's own BatchNorm, and BatchNorm over all values."""
    torch.manual_seed(2)
    parts = [torch.randn(4, 1) * 1.5 + 3 for _ in range(4)]
    together = nn.BatchNorm1d(1)(torch.cat(parts)).detach().split(4)
    lines = [nn.BatchNorm1d(1)(part).detach() for part in parts]
    at_three = [float((3 - part.mean()) / part.std(correction=0)) for part in parts]
    assert max(at_three) - min(at_three) > 0.8
    whole = torch.cat(parts)
    assert torch.allclose(
        torch.cat(together), (whole - whole.mean()) / torch.sqrt(whole.var(correction=0) + 1e-5), atol=1e-5
    )

    drawn, panels = plt.subplots(1, 2, sharey=True)
    for panel, outputs, title in zip(panels, (lines, together), ("BatchNorm on each device", "SyncBatchNorm")):
        for part, output, colour in zip(parts, outputs, (BLUE, ORANGE, GREEN, PINK)):
            order = part.flatten().argsort()
            panel.plot(part.flatten()[order], output.flatten()[order], "o-", color=colour, markersize=5, linewidth=1.2)
        panel.set_title(title)
        panel.set_xlabel("input value")
    panels[0].set_ylabel("output")
    return drawn
