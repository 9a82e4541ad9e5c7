import math

import numpy as np
import torch
from torch.utils.data import WeightedRandomSampler

from note_checks import check, formula, stated

PROFILE = r"n_c = n_{\max} \, \rho^{-c/(C - 1)}"
SAMPLING = r"p_c = \frac{n_c^{\,q}}{\sum_{k} n_k^{\,q}}"
NORMALISED = r"\tilde{w}_c = \frac{w_c}{\lVert w_c \rVert^{\tau}}"


def profile(largest, rho, classes):
    return [int(largest * rho ** (-c / (classes - 1))) for c in range(classes)]


@formula(PROFILE)
def check_profile():
    for largest, rho, classes in [(500, 100, 100), (5000, 10, 10), (64, 8, 4)]:
        exact = [largest * rho ** (-c / (classes - 1)) for c in range(classes)]
        assert exact[0] == largest and math.isclose(exact[0] / exact[-1], rho)
        np.testing.assert_allclose(exact, np.geomspace(largest, largest / rho, classes))
    counts = profile(500, 100, 100)
    assert counts[0] == 500 and counts[50] == 48 and counts[99] == 5 and counts[0] / counts[99] == 100
    stated("48.85", 500 * 100 ** (-50 / 99))
    stated("10,847", sum(counts))
    stated("21.7", sum(counts) / (100 * 5))


@formula(SAMPLING)
def check_sampling():
    counts = torch.tensor([60, 20, 5, 1])
    labels = torch.repeat_interleave(torch.arange(4), counts)
    for q in (1.0, 0.5, 0.0):
        ours = counts**q / (counts**q).sum()
        weights = (counts.float() ** (q - 1))[labels]
        drawn = labels[torch.tensor(list(WeightedRandomSampler(weights.double(), 40000)))]
        assert (torch.bincount(drawn, minlength=4) / 40000 - ours).abs().max() < 0.015
        share = torch.zeros(4).index_add(0, labels, weights / weights.sum())
        assert torch.allclose(share, ours.float(), atol=1e-6)
    p = lambda q: 500.0**q / 5.0**q
    assert p(1) == 100 and math.isclose(p(0.5), 10) and p(0) == 1


@formula(NORMALISED)
def check_normalised():
    for shape in [(10, 64), (3, 1), (1, 5)]:
        w = torch.randn(shape, dtype=torch.float64) * 3
        norm = np.sqrt((w.numpy() ** 2).sum(1, keepdims=True))
        np.testing.assert_allclose(w.numpy() / norm, torch.nn.functional.normalize(w, dim=1).numpy())
        np.testing.assert_allclose(w.numpy() / norm**0, w.numpy())
        half = w.numpy() / norm**0.5
        np.testing.assert_allclose((half**2).sum(1), norm[:, 0])


@check
def check_frequent_classes_have_longer_rows():
    """A linear classifier on non-negative features of overlapping classes."""
    torch.manual_seed(0)
    counts = torch.tensor([2000, 200, 20])
    y = torch.repeat_interleave(torch.arange(3), counts)
    x = torch.relu(torch.randn(len(y), 12) + 1.5 * torch.eye(3).repeat_interleave(4, 1)[y])
    layer = torch.nn.Linear(12, 3, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.3)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(layer(x), y).backward()
        optimizer.step()
    norm = layer.weight.norm(dim=1)
    assert norm[0] > norm[1] and norm[0] > norm[2]


@check
def check_frozen_body_keeps_statistics_only_in_eval():
    norm = torch.nn.BatchNorm1d(3)
    for parameter in norm.parameters():
        parameter.requires_grad_(False)
    before = norm.running_mean.clone()
    norm(torch.randn(50, 3) + 4)
    assert not torch.allclose(norm.running_mean, before)
    moved = norm.running_mean.clone()
    norm.eval()(torch.randn(50, 3) + 9)
    assert torch.equal(norm.running_mean, moved)


@check
def check_balanced_test_accuracy_is_mean_recall():
    y = np.repeat(np.arange(5), 30)
    p = np.where(np.random.rand(150) < 0.6, y, 0)
    assert math.isclose((p == y).mean(), np.mean([(p[y == c] == c).mean() for c in range(5)]))
