import math

import numpy as np
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import box_iou, clip_boxes_to_image

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend

CHAIN = r"b^{t} = \mathrm{decode}\big( h_t(x, b^{t-1}),\, b^{t-1} \big), \qquad t = 1, 2, 3"
COMPOSED = r"t_x = t_x^{(1)} + e^{t_w^{(1)}}\, t_x^{(2)}, \qquad t_w = t_w^{(1)} + t_w^{(2)}"
LOSS = r"""
L = \sum_{t=1}^{3} \lambda_t \left( \frac{1}{|R_t|} \sum_{i \in R_t} -\ln p_i^t(c_i^t) + \frac{1}{|R_t|} \sum_{i:\, c_i^t \ge 1} \sum_{m=1}^{4} \ell\big( v_{im}^t - v_{im}^{t*} \big) \right)
"""

PAPER = "Cascade R-CNN, arXiv 1712.00726"
by_definition("Cost", "Faster R-CNN", "Cascade R-CNN")
sourced(f"{PAPER}, sections 4, 5; Detectron2 cascade_rcnn", "Input", "Output", "Defaults", "Same in train and eval?")
sourced(f"{PAPER}, section 3: iterative regression, integral loss", "Iterative box regression", "Integral loss")
sourced("Hybrid Task Cascade, arXiv 1901.07518, section 3", "HTC, Cascade Mask R-CNN")
sourced("DAB-DETR, arXiv 2201.12329, and DINO, arXiv 2203.03605: boxes refined layer by layer", "DETR variants")
sourced(f"{PAPER}, ablation experiments: stage-wise comparison", "Why average the scores?")
sourced(f"{PAPER}, ablation experiments: number of stages", "Why three stages?")
sourced(f"{PAPER}, section 1, figure 1", "What does a mismatch of quality mean?")


def random_boxes(n):
    corner = torch.rand(n, 2, dtype=torch.float64) * 50
    return torch.cat([corner, corner + 10 + torch.rand(n, 2, dtype=torch.float64) * 40], 1)


def decoded(t, box):
    """Offsets to a box, in NumPy: centre shifted by a share of the size, size times an exponential."""
    c, s = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
    c, s = c + t[:, :2] * s, s * np.exp(t[:, 2:])
    return np.concatenate([c - s / 2, c + s / 2], 1)


@formula(CHAIN, COMPOSED)
def check_chain_and_composition():
    plain = BoxCoder((1.0, 1.0, 1.0, 1.0))
    for n in (1, 30):
        start = random_boxes(n)
        boxes, ours, total = start, start.numpy(), np.zeros((n, 4))
        for stage in (1, 2, 3):
            weights = (10.0 * stage, 10.0 * stage, 5.0 * stage, 5.0 * stage)
            raw = torch.randn(n, 4, dtype=torch.float64) * stage
            boxes = BoxCoder(weights).decode_single(raw, boxes)
            t = raw.numpy() / np.array(weights)
            ours = decoded(t, ours)
            np.testing.assert_allclose(ours, boxes.numpy(), rtol=1e-6)
            total[:, :2] += np.exp(total[:, 2:]) * t[:, :2]
            total[:, 2:] += t[:, 2:]
            np.testing.assert_allclose(total, plain.encode_single(boxes, start).numpy(), rtol=1e-5, atol=1e-7)


# verified: formula-only for the sum over stages; each stage is compared with torchvision's head loss.
@formula(LOSS)
def check_loss():
    for weights in ((1, 1, 1), (1, 0.5, 0.25)):
        ours = library = 0.0
        for weight in weights:
            n, classes = 12, 4
            logits, u, target = torch.randn(n, classes), torch.randn(n, 4), torch.randn(n, 4)
            c = torch.randint(0, classes, (n,))
            parts = fastrcnn_loss(logits, u.repeat(1, classes), [c], [target])  # class-agnostic: equal for each class
            library += weight * float(parts[0] + parts[1])
            p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
            d = np.abs(u.numpy() - target.numpy())
            ell = np.where(d < 1 / 9, 4.5 * d**2, d - 1 / 18).sum(1)
            ours += weight * (-np.log(p[np.arange(n), c]).mean() + ell[c.numpy() >= 1].sum() / n)
        assert abs(ours - library) < 1e-4


@check
def check_by_hand():
    g = torch.tensor([[20.0, 0.0, 120.0, 100.0]])
    first = torch.tensor([[0.0, 0.0, 100.0, 100.0]])
    stated("0.6667", box_iou(first, g))
    second = BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(torch.tensor([[0.15, 0.0, 0.0, 0.0]]), first)
    assert torch.allclose(second, torch.tensor([[15.0, 0.0, 115.0, 100.0]]))
    stated("0.9048", box_iou(second, g))
    rest = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(g, second)
    stated("0.05", rest[0, 0])
    stated("0.2", 0.15 + math.exp(0) * float(rest[0, 0]))


@holds("Parameters")
def check_parameters():
    head = sum(p.numel() for p in TwoMLPHead(256 * 49, 1024).parameters())
    stated("27,986,110", 2 * (head + 1024 * 91 + 91 + 1024 * 4 + 4))
    for stage, text in ((1, "0.1"), (2, "0.05"), (3, "0.033")):
        stated(text, 1 / (10 * stage))
    stated("0.067", 1 / 15)


OBJECT = torch.tensor([[120.0, 100.0, 220.0, 200.0]])


def overlaps_of_stages(in_series):
    """IoU before each stage and after the last; each head is a linear layer, trained on its positives' blurred offsets."""
    boxes = OBJECT + 42 * torch.randn(3000, 4)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2] + 10).all(1)]
    found = [box_iou(OBJECT, boxes)[0]]
    for stage, threshold in enumerate((0.5, 0.6, 0.7), start=1):
        coder = BoxCoder((10.0 * stage, 10.0 * stage, 5.0 * stage, 5.0 * stage))
        target = coder.encode_single(OBJECT.expand_as(boxes), boxes)
        seen = target + 0.4 * torch.randn_like(target)
        positive = found[-1] >= threshold
        head = torch.nn.Linear(4, 4)
        optimizer = torch.optim.Adam(head.parameters(), 0.05)
        descend(optimizer, lambda: torch.nn.functional.smooth_l1_loss(head(seen[positive]), target[positive]), 100)
        if in_series:
            decoded_boxes = coder.decode_single(head(seen), boxes)
            assert decoded_boxes.requires_grad
            boxes = clip_boxes_to_image(decoded_boxes, (300, 340)).detach()
        found.append(box_iou(OBJECT, boxes)[0])
    return found


@holds("Why does resampling not overfit the last stage?")
def check_positives_of_the_stages():
    before = overlaps_of_stages(True)
    assert all(float((later > earlier).float().mean()) > 0.5 for earlier, later in zip(before, before[1:3]))
    assert int((before[2] >= 0.7).sum()) > 3 * int((before[0] >= 0.7).sum())
    boxes, counts = OBJECT + 16 * torch.randn(400, 4), []
    for stage in (1, 2, 3):
        iou, coder = box_iou(OBJECT, boxes)[0], BoxCoder((10.0 * stage, 10.0 * stage, 5.0 * stage, 5.0 * stage))
        counts.append((int((iou >= 0.5).sum()), int((iou >= 0.7).sum())))
        boxes = coder.decode_single(0.6 * coder.encode_single(OBJECT.expand_as(boxes), boxes), boxes)
    assert counts[2][1] > counts[0][0] > 2 * counts[0][1]


@pitfall("A head per stage, but the boxes of stage 1 for all")
def check_boxes_go_from_head_to_head():
    background = [1 - float((overlaps_of_stages(series)[2] >= 0.7).float().mean()) for series in (False, True)]
    assert background[0] > 0.9 and background[1] < 0.4, background


@pitfall("Which class's offsets go to the next stage?")
def check_one_box_per_proposal():
    features, boxes = torch.randn(5, 1024), [random_boxes(5).float()]
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    each_class = FastRCNNPredictor(1024, 91)(features)[1]
    agnostic = torch.nn.Linear(1024, 4)(features)
    assert coder.decode(each_class, boxes).shape == (5, 91, 4) and coder.decode(agnostic, boxes).shape == (5, 1, 4)
    logits, labels, target = torch.randn(5, 91), torch.tensor([0, 7, 90, 0, 3]), torch.randn(5, 4)
    raises(IndexError, lambda: fastrcnn_loss(logits, agnostic, [labels], [target]))
    box_loss = fastrcnn_loss(logits, agnostic.repeat(1, logits.shape[1]), [labels], [target])[1]
    wanted = torch.nn.functional.smooth_l1_loss(agnostic[labels > 0], target[labels > 0], beta=1 / 9, reduction="sum")
    assert torch.allclose(box_loss, wanted / 5)


@pitfall("The box loss of later stages shrinks")
def check_weights_of_the_stages():
    start, moved = random_boxes(2000), random_boxes(2000)
    plain = BoxCoder((10.0, 10.0, 5.0, 5.0)).encode_single(moved, start)
    for k in (2, 3):  # by definition, for any boxes
        weights = (10.0 * k, 10.0 * k, 5.0 * k, 5.0 * k)
        assert torch.allclose(BoxCoder(weights).encode_single(moved, start), k * plain)
    for beta in (1 / 9, 1.0):  # torchvision, MMDetection
        losses = {False: [], True: []}
        for stage in (1, 2, 3):  # offsets as the paper's stages meet them
            spread = torch.tensor([0.1, 0.1, 0.2, 0.2]) / stage
            box = BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(spread * torch.randn(2000, 4), start)
            for adapted in losses:
                k = stage if adapted else 1
                target = BoxCoder((10.0 * k, 10.0 * k, 5.0 * k, 5.0 * k)).encode_single(box, start)
                losses[adapted].append(
                    float(torch.nn.functional.smooth_l1_loss(torch.zeros_like(target), target, beta=beta))
                )
        assert losses[False][2] < 0.4 * losses[False][0] and abs(losses[True][2] / losses[True][0] - 1) < 0.1


@pitfall("AP50 hardly improves")
def check_gain_lies_at_high_overlap():
    """Shares of boxes stand for AP; the first head alone is Faster R-CNN."""
    found = overlaps_of_stages(True)
    gain = {u: float((found[3] >= u).float().mean() - (found[1] >= u).float().mean()) for u in (0.5, 0.75)}
    assert gain[0.75] > 4 * gain[0.5] and float((found[1] >= 0.5).float().mean()) > 0.9, gain
