import torch
from matplotlib.figure import Figure
from torchvision import ops

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt


def iou_loss(a, b):
    return 1 - ops.box_iou(a, b).diagonal()


def descended(loss, steps: int = 600, rate: float = 0.15) -> list[float]:
    """IoU with the target after each gradient step on the corners of a box that starts disjoint."""
    target, box = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[3.0, 1.5, 4.0, 3.5]], requires_grad=True)
    history = []
    for step in range(steps):
        history.append(ops.box_iou(box.detach(), target).item())
        gradient = torch.autograd.grad(loss(box, target).sum(), box)[0]
        with torch.no_grad():
            box -= rate * (1 - step / steps) * gradient
    return history


@figure("figure-disjoint.svg")
def measures_and_descent() -> Figure:
    """Measures of a box that moves away, and gradient descent from a disjoint start."""
    offset = torch.linspace(0, 6, 121)
    target = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    moved = target + offset[:, None] * torch.tensor([1.0, 0.0, 1.0, 0.0])
    iou, giou, diou = (f(moved, target)[:, 0] for f in (ops.box_iou, ops.generalized_box_iou, ops.distance_box_iou))
    apart = offset > 2.01
    assert iou[apart].max() == 0 and (giou[apart].diff() < 0).all() and (diou[apart].diff() < 0).all()

    drawn, (left, right) = plt.subplots(1, 2)
    for values, colour, line, name in (
        (giou, BLUE, "-", "GIoU"),
        (diou, GREEN, "-", "DIoU"),
        (iou, ORANGE, "--", "IoU"),
    ):
        left.plot(offset, values, line, color=colour, label=name)
    left.set_title("box moved to the right")
    left.set_xlabel("offset")
    left.legend(loc="upper right")

    runs = (
        ("IoU", iou_loss, ORANGE, "-"),
        ("GIoU", ops.generalized_box_iou_loss, BLUE, "-"),
        ("DIoU", ops.distance_box_iou_loss, GREEN, "-"),
        ("CIoU", ops.complete_box_iou_loss, PINK, "--"),
    )
    for name, loss, colour, line in runs:
        history = descended(loss)
        assert (max(history) == 0) if name == "IoU" else (history[-1] > 0.95)
        right.plot(range(0, len(history), 6), history[::6], line, color=colour, label=name)
    right.set_title("descent from a disjoint start")
    right.set_xlabel("gradient step")
    right.set_ylabel("IoU with the target")
    right.legend(loc="center right")
    return drawn
