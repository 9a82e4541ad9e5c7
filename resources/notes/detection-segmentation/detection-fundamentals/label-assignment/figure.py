import torch
from matplotlib.figure import Figure
from torchvision.ops import box_iou

from figure_style import BLUE, GREEN, ORANGE, figure, plt

STRIDES = (8, 16, 32, 64, 128)


def anchors_of(stride):
    """One square anchor of 8 strides at each cell of a 1,024 pixel image."""
    centre = (torch.arange(1024 // stride) + 0.5) * stride
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    points = torch.stack([x, y], -1).view(-1, 2)
    return points, torch.cat([points - 4 * stride, points + 4 * stride], 1)


def positives(box, levels):
    """Positives of one object by a fixed threshold, by ATSS and by the rule of FCOS (with centre sampling)."""
    middle, counts = (box[:2] + box[2:]) / 2, [0, 0, 0]
    near_iou, near_inside = [], []
    for level, (stride, (points, anchors)) in enumerate(zip(STRIDES, levels)):
        iou = box_iou(box[None], anchors)[0]
        counts[0] += int((iou >= 0.5).sum())
        nearest = (points - middle).norm(dim=1).topk(9, largest=False)[1]
        sides = torch.cat([points - box[:2], box[2:] - points], 1)
        near_iou.append(iou[nearest])
        near_inside.append(sides[nearest].min(1)[0] > 0)
        reach = sides.max(1)[0]
        low, high = (0 if level == 0 else 4 * stride), (float("inf") if level == 4 else 8 * stride)
        fits = (sides.min(1)[0] > 0) & (reach > low) & (reach < high)
        counts[2] += int((fits & ((points - middle).abs().max(1)[0] < 1.5 * stride)).sum())
    iou, inside = torch.cat(near_iou), torch.cat(near_inside)
    counts[1] = int(((iou >= iou.mean() + iou.std()) & inside).sum())
    return counts


@figure("figure-positives.svg")
def positives_by_size() -> Figure:
    """Mean number of positives of a square object against its size."""
    levels = [anchors_of(stride) for stride in STRIDES]
    sizes = torch.logspace(4.2, 9.2, 31, base=2)
    rows = []
    for size in sizes:
        centres = 400 + 200 * torch.rand(16, 2)
        rows.append(
            torch.tensor([positives(torch.cat([c - size / 2, c + size / 2]), levels) for c in centres]).float().mean(0)
        )
    fixed, atss, fcos = torch.stack(rows).T
    assert (fixed[sizes < 45] == 0).all() and fixed[sizes > 50].min() > 1 and atss.min() > 3 and fcos.min() > 3
    drawn, axes = plt.subplots()
    axes.plot(sizes, fixed, "--", color=ORANGE, label="IoU above 0.5")
    axes.plot(sizes, atss, color=BLUE, label="ATSS")
    axes.plot(sizes, fcos, "-.", color=GREEN, label="FCOS")
    axes.set_xscale("log", base=2)
    axes.set_xticks([32, 64, 128, 256, 512], ["32", "64", "128", "256", "512"])
    axes.set_xlabel("object size in pixels")
    axes.set_ylabel("positives per object")
    axes.legend(loc="upper left")
    return drawn
