import numpy as np
import torch
from matplotlib.figure import Figure
from torchvision.ops import box_iou

from figure_style import BLUE, INK, ORANGE, SKY, figure, plt


def curve(panel) -> None:
    hits = np.array([1, 0, 1, 1])
    recall, precision = hits.cumsum() / 4, hits.cumsum() / np.arange(1, 5)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    area = float((np.diff(recall, prepend=0) * best).sum())
    assert abs(area - 0.625) < 1e-12
    panel.fill_between(np.r_[0, recall], np.r_[best[0], best], step="pre", color=SKY, alpha=0.35, linewidth=0)
    panel.step(np.r_[0, recall, 0.75], np.r_[best[0], best, 0], where="pre", color=BLUE)
    panel.plot(recall, precision, color=ORANGE, linestyle="--", marker="o", markersize=5, linewidth=1.2)
    panel.text(0.3, 0.8, "interpolated", color=BLUE)
    panel.text(0.12, 0.3, f"{area:.3f}", color=INK)
    panel.set_xlim(0, 1.02)
    panel.set_ylim(0, 1.08)
    panel.set_title("one class")
    panel.set_xlabel("recall")
    panel.set_ylabel("precision")


def thresholds(panel) -> None:
    """AP of 400 boxes, one per image, shifted at random by a few pixels, at each IoU threshold."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([[0.0, 0.0, 40.0, 40.0]])
    for spread, colour, line, at in [(1.5, BLUE, "-", (0.62, 0.9)), (4.0, ORANGE, "--", (0.5, 0.3))]:
        boxes = truth + torch.randn(400, 4, generator=generator) * spread
        iou = box_iou(boxes, truth)[:, 0].numpy()
        levels, ap = np.linspace(0.5, 0.95, 10), []
        for level in levels:
            tp = (iou >= level).cumsum()
            precision = np.maximum.accumulate((tp / np.arange(1, 401))[::-1])[::-1]
            points = [precision[tp / 400 >= r] for r in np.linspace(0, 1, 101)]
            ap.append(np.mean([p[0] if len(p) else 0 for p in points]))
        assert ap[0] > 0.9 and ap[-1] < 0.3 and (np.diff(ap) <= 0).all()
        panel.plot(levels, ap, color=colour, linestyle=line, marker="o", markersize=3)
        panel.axhline(np.mean(ap), color=colour, linestyle=":", linewidth=1)
        panel.text(
            *((0.9, np.mean(ap) + 0.02) if spread < 2 else (0.5, np.mean(ap) - 0.09)),
            f"{np.mean(ap):.2f}",
            color=colour,
        )
    panel.set_ylim(0, 1.05)
    panel.set_title("stricter overlap")
    panel.set_xlabel("IoU threshold")
    panel.set_ylabel("AP")


@figure("figure-area.svg")
def area_and_thresholds() -> Figure:
    """The precision-recall curve of the worked example, and AP of jittered boxes against the IoU threshold."""
    drawn, (left, right) = plt.subplots(1, 2)
    curve(left)
    thresholds(right)
    return drawn
