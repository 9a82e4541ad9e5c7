import torch
from matplotlib.figure import Figure
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from figure_style import BLUE, ORANGE, QUIET, figure, plt


@figure("figure-funnel.svg")
def counts() -> Figure:
    """How many boxes each stage keeps at 800 x 800, and how few anchors are positive before sampling."""
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    grids = (200, 100, 50, 25, 13)
    levels = model.rpn.anchor_generator.grid_anchors(
        [(n, n) for n in grids], [[torch.tensor(800 // n)] * 2 for n in grids]
    )
    ranked = sum(min(len(level), model.rpn.pre_nms_top_n()) for level in levels)
    anchors = torch.cat(levels)
    stages = [len(anchors), ranked, model.rpn.post_nms_top_n(), model.roi_heads.detections_per_img]
    assert stages == [159882, 4507, 1000, 100]

    corner, size = torch.rand(7, 2) * 500, 30 + torch.rand(7, 2) * 250
    labels, _ = model.rpn.assign_targets_to_anchors([anchors], [{"boxes": torch.cat([corner, corner + size], 1)}])
    positive, negative = model.rpn.fg_bg_sampler(labels)
    before = [int((labels[0] == v).sum()) for v in (1, -1, 0)]
    after = [int(positive[0].sum()), 0, int(negative[0].sum())]
    assert before[0] / len(anchors) < 0.01 and sum(after) == 256 and after[0] / 256 > 10 * before[0] / len(anchors)

    drawn, (left, right) = plt.subplots(1, 2)
    names = ["anchors", "best scores", "proposals", "detections"]
    left.barh(names, stages, color=BLUE, height=0.6)
    for row, value in enumerate(stages):
        left.text(value * 1.2, row, f"{value:,}", va="center", fontsize=9)
    left.set_xscale("log")
    left.set_xlim(10, 6e6)
    left.set_xticks([10, 1e3, 1e5])
    left.invert_yaxis()
    left.set_title("boxes at most")
    parts = ["positive", "ignored", "negative"]
    for shift, values, colour, name in ((-0.19, before, QUIET, "all anchors"), (0.19, after, ORANGE, "sampled")):
        right.bar([i + shift for i in range(3)], [max(v, 0.5) for v in values], 0.36, color=colour, label=name)
    right.set_xticks(range(3), parts)
    right.set_yscale("log")
    right.set_ylim(1, 3e7)
    right.set_title("labels, 7 objects")
    right.legend(loc="upper left")
    return drawn
