import sys

import torch
from matplotlib.figure import Figure
from torch.nn.functional import adaptive_max_pool2d
from torchvision.ops import roi_align

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-slide.svg")
def sliding_box() -> Figure:
    """The first output of a box that slides over a ramp, and over a pattern, by RoI Align and by RoI pooling."""
    module = sys.modules["torchvision.ops.roi_align"]
    module._roi_align = getattr(module._roi_align, "__wrapped__", module._roi_align)
    x = torch.arange(24.0)
    ramp, bump = x, 10 * torch.exp(-((x - 9) ** 2) / 18)
    shift = torch.linspace(0, 5, 251)
    drawn, panels = plt.subplots(1, 2)
    for panel, row, title in zip(panels, (ramp, bump), ("map: a ramp", "map: a bump")):
        features = row.expand(1, 1, 24, 24).contiguous()
        boxes = torch.stack([4 + shift, 4 + 0 * shift, 10 + shift, 10 + 0 * shift], 1)
        aligned = roi_align(features, [boxes], 2, 1.0, 3, True)[:, 0, 0, 0]
        pooled = []
        for x1, _, x2, _ in boxes.tolist():
            a, b = int(x1 + 0.5), int(x2 + 0.5)
            pooled.append(float(adaptive_max_pool2d(features[..., 4:11, a : b + 1], 2)[0, 0, 0, 0]))
        pooled = torch.tensor(pooled)
        if title.endswith("ramp"):
            assert torch.allclose(aligned - aligned[0], shift, atol=1e-4) and pooled.unique().numel() == 6
        assert aligned.diff().abs().max() < 0.06 and pooled.diff().abs().max() > 0.4
        panel.plot(shift, aligned, color=BLUE, label="RoI Align")
        panel.plot(shift, pooled, "--", color=ORANGE, label="RoI pooling")
        panel.set_title(title)
        panel.set_xlabel("box moved by cells")
    panels[0].set_ylabel("first output")
    panels[0].legend(loc="upper left")
    return drawn
