import inspect

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.ssd import SSD as LibrarySSD

from note_checks import check, formula, stated

TOP_K = r"""
L_k = \frac{1}{k} \sum_{i=1}^{k} \ell_{(i)} = \min_{t} \left( t + \frac{1}{k} \sum_{i=1}^{n} \max(0, \ell_i - t) \right)
"""
SSD = r"""
L_{\mathrm{SSD}} = \frac{1}{|\mathcal{P}|} \left( \sum_{i \in \mathcal{P}} \ell_i + \sum_{j=1}^{r |\mathcal{P}|} \ell^-_{(j)} \right)
"""
LOSSES = np.array([2.3, 0.9, 0.05, 0.04, 0.03, 0.02, 0.01, 0.01])


@formula(TOP_K)
def check_top_k():
    for n in (1, 5, 60):
        z, y = torch.randn(n, 4, dtype=torch.float64) * 3, torch.randint(4, (n,))
        losses = F.cross_entropy(z, y, reduction="none")
        for k in {1, (n + 1) // 2, n}:
            ours = np.sort(losses.numpy())[::-1][:k].mean()
            library = losses.topk(k).values.mean().item()
            dual = lambda t: t + np.maximum(0, losses.numpy() - t).sum() / k
            at = np.sort(losses.numpy())[::-1][k - 1]
            assert np.isclose(ours, library) and np.isclose(dual(at), library)
            best = minimize_scalar(dual, bounds=(-1, losses.max().item() + 1), method="bounded").fun
            assert dual(at) <= best + 1e-9
            assert losses.mean() <= library + 1e-12 and library <= losses.max() + 1e-12
    a, b = np.random.rand(2, 30)
    top = lambda v: np.sort(v)[::-1][:7].mean()
    assert top(0.3 * a + 0.7 * b) <= 0.3 * top(a) + 0.7 * top(b)


@formula(SSD)
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


@check
def check_by_hand():
    stated("0.42", LOSSES.mean())
    stated("1.6", np.sort(LOSSES)[::-1][:2].mean())
    stated("3.29", 0.9 + np.sort(np.delete(LOSSES, 1))[::-1][:3].sum())
    losses = torch.tensor(LOSSES, requires_grad=True)
    losses.topk(2).values.mean().backward()
    assert losses.grad.tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]


@check
def check_ignored_pixels():
    losses = F.cross_entropy(torch.randn(6, 3), torch.tensor([0, 1, 2, -100, -100, -100]), reduction="none")
    assert (losses[3:] == 0).all() and (losses[:3] > 0).all()
    stated("0.6", torch.tensor([1.0, 1, 1, 0, 0, 0]).topk(5).values.mean())


@check
def check_torchvision_defaults():
    parameters = inspect.signature(LibrarySSD.__init__).parameters
    assert parameters["positive_fraction"].default == 0.25 and (1 - 0.25) / 0.25 == 3
    assert inspect.signature(FasterRCNN.__init__).parameters["box_batch_size_per_image"].default == 512
