import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, SKY, figure, plt

INPUTS = 6


@figure("figure-overlap.svg")
def stamps_overlap_evenly_only_if_stride_divides_kernel() -> Figure:
    """Each of six inputs of value 1 stamps a kernel of ones; the height of the stack is the output."""
    drawn, panels = plt.subplots(1, 2, sharey=True)
    for panel, kernel in zip(panels, (3, 4), strict=True):
        weight = torch.ones(1, 1, kernel)
        # One input at a time: its stamp. Their sum is what the layer computes on all six.
        stamps = [
            F.conv_transpose1d(torch.eye(INPUTS)[i].reshape(1, 1, -1), weight, stride=2).flatten().numpy()
            for i in range(INPUTS)
        ]
        output = F.conv_transpose1d(torch.ones(1, 1, INPUTS), weight, stride=2).flatten().numpy()
        assert np.allclose(sum(stamps), output)
        inner = output[2:-2]
        assert set(inner) == ({1.0, 2.0} if kernel == 3 else {2.0}), inner

        height = np.zeros_like(output)
        for stamp, colour in zip(stamps, (BLUE, ORANGE, SKY) * 2, strict=True):
            shown = stamp > 0
            panel.bar(
                np.arange(len(output))[shown], stamp[shown], bottom=height[shown], color=colour, width=0.86, linewidth=0
            )
            height += stamp
        panel.set_title(f"kernel {kernel}, stride 2")
        panel.set_axisbelow(True)
        panel.set_xlabel("output position")
        panel.set_xticks(range(0, len(output), 3))
        panel.set_yticks([0, 1, 2])
    panels[0].set_ylabel("output value")
    return drawn
