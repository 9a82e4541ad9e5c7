import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torchvision.ops import box_iou

from figure_style import BLUE, ORANGE, QUIET, figure, plt


def kept(boxes, scores, threshold):
    iou, keep = box_iou(boxes, boxes), []
    for i in scores.argsort(descending=True).tolist():
        if not keep or iou[i, keep].max() <= threshold:
            keep.append(i)
    return keep


def scene(offset: float):
    """Two 100-pixel objects, eight jittered detections of each; a closer box has the higher score."""
    objects = torch.tensor([[0.0, 0.0, 100.0, 100.0], [offset, 15.0, offset + 100, 115.0]])
    owner = torch.arange(16) // 8
    boxes = objects[owner] + 8 * torch.randn(16, 4)
    scores = box_iou(boxes, objects)[torch.arange(16), owner] + 0.02 * torch.randn(16)
    return boxes, scores, owner


@figure("figure-threshold.svg")
def two_sides() -> Figure:
    """One scene before and after NMS, and what is missed or doubled as the threshold grows."""
    drawn, (left, right) = plt.subplots(1, 2, width_ratios=(1, 1.15))
    boxes, scores, owner = scene(60)
    keep = kept(boxes, scores, 0.5)
    assert sorted(owner[keep].tolist()) == [0, 1]
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        best = i in keep
        colour, width = (BLUE, 2.4) if best else (QUIET, 0.7)
        left.add_patch(
            Rectangle(
                (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width, zorder=3 if best else 2
            )
        )
    left.set_xlim(-25, 190)
    left.set_ylim(-25, 140)
    left.set_aspect("equal")
    left.set_title("16 candidates, 2 kept")

    scenes = [scene(float(offset)) for offset in 8 + 110 * torch.rand(150)]
    thresholds = torch.linspace(0.05, 0.95, 31)
    missed, doubled = [], []
    for threshold in thresholds.tolist():
        lost = extra = 0
        for boxes, scores, owner in scenes:
            found = owner[kept(boxes, scores, threshold)].unique().numel()
            lost += 2 - found
            extra += len(kept(boxes, scores, threshold)) - found
        missed.append(lost / 300)
        doubled.append(extra / 300)
    assert (
        missed[0] > 0.2
        and min(m + d for m, d in zip(missed, doubled)) > 0.01
        and missed[-1] < 0.01
        and doubled[0] < 0.02
        and doubled[-1] > 1.5
    )
    right.plot(thresholds, missed, "--", color=ORANGE, label="missed objects")
    right.plot(thresholds, doubled, color=BLUE, label="duplicates")
    right.set_ylim(-0.05, 2)
    right.set_title("per object, 150 scenes")
    right.set_xlabel("IoU threshold")
    right.legend(loc="upper left")
    return drawn
