import inspect

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.ssd import SSD as LibrarySSD
from torchvision.ops import box_iou, sigmoid_focal_loss

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

TOP_K = r"""
L_k = \frac{1}{k} \sum_{i=1}^{k} \ell_{(i)} = \min_{t} \left( t + \frac{1}{k} \sum_{i=1}^{n} \max(0, \ell_i - t) \right)
"""
SSD = r"""
L_{\mathrm{SSD}} = \frac{1}{|\mathcal{P}|} \left( \sum_{i \in \mathcal{P}} \ell_i + \sum_{j=1}^{r |\mathcal{P}|} \ell^-_{(j)} \right)
"""
LOSSES = np.array([2.3, 0.9, 0.05, 0.04, 0.03, 0.02, 0.01, 0.01])

by_definition("Parameter", "Class weights")
sourced(
    "OHEM, arXiv 1604.03540, sections 1 and 4; TorchSeg issue #23",
    "Cost",
    'Why "online"?',
    "Should positives be mined?",
    "OHEM",
)
sourced("Gradient Harmonized Single-stage Detector, arXiv 1811.05181, section 3", "GHM")


@formula(TOP_K)
@holds("Input", "Output")
def check_top_k():
    for n in (1, 5, 60):
        z, y = torch.randn(n, 4, dtype=torch.float64) * 3, torch.randint(4, (n,))
        losses = F.cross_entropy(z, y, reduction="none")
        for k in {1, (n + 1) // 2, n}:
            ours = np.sort(losses.numpy())[::-1][:k].mean()
            library = losses.topk(k).values.mean().item()
            assert losses.topk(k).values.mean().shape == ()
            dual = lambda t: t + np.maximum(0, losses.numpy() - t).sum() / k
            at = np.sort(losses.numpy())[::-1][k - 1]
            assert np.isclose(ours, library) and np.isclose(dual(at), library)
            best = minimize_scalar(dual, bounds=(-1, losses.max().item() + 1), method="bounded").fun
            assert dual(at) <= best + 1e-9
            assert losses.mean() <= library + 1e-12 and library <= losses.max() + 1e-12
    a, b = np.random.rand(2, 30)
    top = lambda v: np.sort(v)[::-1][:7].mean()
    assert top(0.3 * a + 0.7 * b) <= 0.3 * top(a) + 0.7 * top(b)
    pixels = torch.rand(2, 3, 4)
    assert pixels.flatten().topk(5).values.shape == (5,) and torch.topk(pixels, 3).values.shape == (2, 3, 3)


@formula(SSD)
@holds("Should positives be mined?", "Parameter")
def check_ssd_against_torchvision():
    """torchvision's SSD.compute_loss with the box losses made zero and one image."""
    torch.manual_seed(0)
    anchors, classes = 40, 3
    model = LibrarySSD.__new__(LibrarySSD)
    torch.nn.Module.__init__(model)
    model.neg_to_pos_ratio = 3
    model.box_coder = type("Coder", (), {"encode_single": staticmethod(lambda boxes, priors: torch.zeros_like(boxes))})
    matched = torch.full((anchors,), -1)
    matched[[3, 11, 20]] = 0
    logits = torch.randn(1, anchors, classes)
    outputs = {"bbox_regression": torch.zeros(1, anchors, 4), "cls_logits": logits}
    target = {"boxes": torch.tensor([[0.0, 0.0, 1.0, 1.0]]), "labels": torch.tensor([2])}
    library = model.compute_loss([target], outputs, [torch.rand(anchors, 4)], [matched])["classification"]
    labels = torch.where(matched >= 0, 2, 0)
    losses = F.cross_entropy(logits[0], labels, reduction="none").numpy()
    positive = matched.numpy() >= 0
    ours = (losses[positive].sum() + np.sort(losses[~positive])[::-1][: 3 * positive.sum()].sum()) / positive.sum()
    assert np.isclose(ours, library.item(), rtol=1e-5)


@holds("Gradient", "OHEM")
def check_by_hand():
    stated("0.42", LOSSES.mean())
    stated("1.6", np.sort(LOSSES)[::-1][:2].mean())
    stated("3.29", 0.9 + np.sort(np.delete(LOSSES, 1))[::-1][:3].sum())
    losses = torch.tensor(LOSSES, requires_grad=True)
    losses.topk(2).values.mean().backward()
    assert losses.grad.tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]


@holds("Is the selection differentiable?")
def check_subgradient_at_ties():
    mean = lambda v: v.topk(2).values.mean()
    at = torch.tensor([1.0, 1, 1, 0.5, 2], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(mean(at), at)
    assert slope[4] == 0.5 and sorted(slope[:3].tolist()) == [0, 0, 0.5] and slope[3] == 0
    for _ in range(200):
        other = at.detach() + torch.randn(5)
        assert mean(other) >= mean(at) + (slope * (other - at)).sum() - 1e-12


@holds("Focal loss", "OHEM or focal loss?")
def check_focal_keeps_every_sample():
    p = torch.tensor([0.99, 0.95, 0.5, 0.1], dtype=torch.float64)  # probability of the truth, easy to hard
    factor = (1 - p) ** 2
    assert (factor > 0).all() and (factor.diff() > 0).all() and factor[0] < 1e-3 and factor[-1] > 0.8
    z = p.log().requires_grad_()
    z.neg().topk(1).values.mean().backward()
    assert z.grad.tolist() == [0, 0, 0, -1]
    targets = torch.ones(4, dtype=torch.float64)
    library = sigmoid_focal_loss(p.logit(), targets, alpha=-1, gamma=2)
    assert torch.allclose(library, -factor * p.log())


@pitfall("The loss is lower than it should be")
def check_ignored_pixels():
    losses = F.cross_entropy(torch.randn(6, 3), torch.tensor([0, 1, 2, -100, -100, -100]), reduction="none")
    assert (losses[3:] == 0).all() and (losses[:3] > 0).all()
    stated("0.6", torch.tensor([1.0, 1, 1, 0, 0, 0]).topk(5).values.mean())
    z, y = torch.zeros(1, 3, 2, 3), torch.tensor([[[0, 1, 2], [-100, -100, -100]]])
    unreduced = F.cross_entropy(z, y, reduction="none")
    assert torch.isclose(unreduced.flatten().topk(5).values.mean(), 0.6 * torch.tensor(3.0).log())
    valid = unreduced[y != -100]
    assert torch.isclose(valid.topk(min(5, len(valid))).values.mean(), torch.tensor(3.0).log())
    raises(RuntimeError, lambda: valid.topk(5), "out of range")
    raises(RuntimeError, lambda: valid[:0].topk(1))


@holds("Random sampling")
def check_torchvision_defaults():
    parameters = inspect.signature(LibrarySSD.__init__).parameters
    assert parameters["positive_fraction"].default == 0.25 and (1 - 0.25) / 0.25 == 3
    assert inspect.signature(FasterRCNN.__init__).parameters["box_batch_size_per_image"].default == 512
    positive, negative = BalancedPositiveNegativeSampler(512, 0.25)([torch.zeros(2000)])  # background boxes only
    assert positive[0].sum() == 0 and negative[0].sum() == 512
    other = BalancedPositiveNegativeSampler(512, 0.25)([torch.zeros(2000)])[1]
    assert not torch.equal(other[0], negative[0])  # drawn, not ranked


def digits(noise):
    """800 training images with their labels, a share of them drawn anew, the clean rest, and a small network."""
    x, y = handwritten_digits()
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    labels = torch.where(torch.rand(800) < noise, torch.randint(10, (800,)), y[:800])
    network = lambda: torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    return x[:800], labels, x[800:], y[800:], network


@pitfall("Training fits the noise")
def check_noise_is_selected():
    x, labels, test_x, test_y, network = digits(0.15)
    accuracy = []
    for k, cap in ((80, None), (640, None), (240, None), (80, np.log(10))):
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for step in range(150):
            losses = F.cross_entropy(model(x), labels, reduction="none")
            if step >= 30:
                losses = losses[losses < cap] if cap else losses
                losses = losses.topk(min(k, len(losses))).values
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
        accuracy.append((model(test_x).argmax(1) == test_y).double().mean())
    small, large, medium, cleaned = accuracy
    assert small < 0.78 and min(large, medium) > small + 0.06 and cleaned > 0.9, accuracy


@pitfall("The training loss is much higher than the validation loss")
@holds("Same in train and eval?")
def check_mined_loss_against_plain_loss():
    x, labels, test_x, test_y, network = digits(0.0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(30):
        losses = F.cross_entropy(model(x), labels, reduction="none")
        mined = losses.topk(80).values.mean()
        optimizer.zero_grad()
        (mined if step >= 28 else losses.mean()).backward()
        optimizer.step()
    validation = F.cross_entropy(model(test_x), test_y)
    assert mined > 2 * validation and losses.mean() < 1.2 * validation


@pitfall("`min_kept` does something else than expected")
def check_minimum_for_the_batch():
    """Both libraries' rule, written down: all below the threshold, but at least so many of the whole batch."""

    def kept(probabilities, least, threshold=0.7):
        return int((probabilities <= max(threshold, probabilities.flatten().sort().values[least - 1])).sum())

    easy = torch.rand(8, 100) * 0.2 + 0.8
    assert kept(easy[:4], 40) / 4 == 10 and kept(easy, 40) / 8 == 5 and kept(easy, 10 * 8) / 8 == 10
    assert kept(easy * 0.5, 40) == 800
    for batch in (easy[:4], easy):
        assert batch.flatten().topk(int(0.1 * batch.numel())).values.numel() / len(batch) == 10


def non_maximum_suppression(boxes, scores, threshold):
    left, kept = scores.argsort(descending=True), []
    while len(left):
        kept.append(int(left[0]))
        left = left[box_iou(boxes[left[:1]], boxes[left])[0] <= threshold]
    return kept


@pitfall("All selected boxes lie on one object")
def check_neighbouring_boxes():
    shift = torch.rand(20, 1) * torch.tensor([[1.0, 0, 1, 0]])
    first = torch.tensor([[0.0, 0, 30, 30]]) + shift
    second = torch.tensor([[100.0, 100, 130, 130]]) + shift
    boxes, losses = torch.cat([first, second]), torch.cat([2 + 0.01 * torch.rand(20), 1 + 0.01 * torch.rand(20)])
    assert (losses.topk(2).indices < 20).all()
    assert {i // 20 for i in non_maximum_suppression(boxes, losses, 0.7)[:2]} == {0, 1}
    # the same with proposals that have passed suppression at 0.7: neighbours at IoU 0.5 or 0.6 and unequal losses
    apart = torch.tensor([[0.0, 0, 30, 30], [10, 0, 40, 30], [0, 7.5, 30, 37.5], [100, 100, 130, 130]])
    losses = torch.tensor([2.0, 1.8, 1.5, 1.0])
    assert inspect.signature(FasterRCNN.__init__).parameters["rpn_nms_thresh"].default == 0.7
    assert non_maximum_suppression(apart, losses, 0.7) == [0, 1, 2, 3]
    kept = non_maximum_suppression(apart, losses, 0.4)
    assert kept == [0, 3] and losses[kept].topk(min(3, len(kept))).indices.tolist() == [0, 1]
    raises(RuntimeError, lambda: losses[kept].topk(3), "out of range")
    assert len(non_maximum_suppression(apart.repeat(2, 1), losses.repeat(2), 0.7)) == 4  # two images at once: half lost
