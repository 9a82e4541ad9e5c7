import torch
from matplotlib.figure import Figure
from torchvision.ops import box_iou, masks_to_boxes

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt

DISCS = ((11.0, 13.0, 7.0), (21.0, 18.0, 6.0))
SIZE = 32


@figure("figure-tasks.svg")
def four_answers_for_one_image() -> Figure:
    """One image of two overlapping discs: a label, two boxes, one region, two regions."""
    row, column = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    masks = torch.stack([(column - x) ** 2 + (row - y) ** 2 <= r * r for x, y, r in DISCS])
    masks[0] &= ~masks[1]
    boxes = masks_to_boxes(masks)
    semantic = masks.any(0)
    assert box_iou(boxes, boxes)[0, 1] > 0.05 and int(semantic.sum()) == int(masks.sum()) and boxes.shape == (2, 4)

    drawn, panels = plt.subplots(1, 4, figsize=(5.8, 1.75))
    looks = (
        ("classification", (QUIET, QUIET)),
        ("detection", (QUIET, QUIET)),
        ("semantic", (BLUE, BLUE)),
        ("instance", (ORANGE, BLUE)),
    )
    for panel, (title, colours) in zip(panels, looks):
        for (x, y, r), colour in zip(DISCS, colours):
            faint = title in ("classification", "detection")
            panel.add_patch(plt.Circle((x, y), r, color=colour, alpha=0.35 if faint else 1.0, linewidth=0))
        if title == "classification":
            panel.text(16, 29, "disc: yes", ha="center", fontsize=9)
        if title == "detection":
            for (left, top, right, bottom), colour in zip(boxes.tolist(), (ORANGE, BLUE)):
                panel.add_patch(
                    plt.Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.6)
                )
        panel.add_patch(plt.Rectangle((0, 0), SIZE, SIZE, fill=False, edgecolor=INK, linewidth=0.8))
        panel.set_xlim(-0.5, SIZE + 0.5)
        panel.set_ylim(SIZE + 0.5, -0.5)
        panel.set_aspect("equal")
        panel.axis("off")
        panel.set_title(title, fontsize=9)
    return drawn
