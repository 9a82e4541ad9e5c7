"""The article's rule against torchvision's compiled operator."""

import torch
from checks import by_deletion, by_rule, random_boxes
from note_checks import check
from torchvision.ops import batched_nms, nms


@check
def check_rule():
    for n in (1, 2, 17, 80, 200):
        boxes, scores = random_boxes(n), torch.rand(n, dtype=torch.float64)
        for threshold in (0.1, 0.3, 0.5, 0.7):
            kept = nms(boxes, scores, threshold).tolist()
            assert kept == by_rule(boxes.tolist(), scores, threshold) == by_deletion(boxes, scores, threshold)
    assert len(nms(random_boxes(80), torch.rand(80, dtype=torch.float64), 0.3)) < 80


@check
def check_at_the_threshold():
    half = torch.tensor([[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 1.0]])  # IoU exactly 0.5
    assert nms(half, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, 1]
    assert nms(half, torch.tensor([0.9, 0.8]), 0.49).tolist() == [0]


@check
def check_classes_do_not_suppress_each_other():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10]])
    scores = torch.tensor([0.8, 0.9])
    assert batched_nms(boxes, scores, torch.tensor([0, 0]), 0.5).tolist() == [1]
    assert batched_nms(boxes, scores, torch.tensor([0, 1]), 0.5).tolist() == [1, 0]
