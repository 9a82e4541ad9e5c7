import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, raises, stated

WEIGHTED = r"\nabla L = \sum_{k=1}^{K} \frac{n_k}{N}\,\nabla L_k, \qquad N = \sum_{k=1}^{K} n_k"
BY_K = r"\frac{1}{K}\sum_{k=1}^{K} \nabla L_k = \sum_{k=1}^{K} \sum_{i=1}^{n_k} \frac{1}{K\,n_k}\,\nabla \ell_{k,i}"


def item_gradients(w, x, y):
    """Gradient of the cross-entropy of each item with respect to the weights, in NumPy: (items, classes, features)."""
    z = x @ w.T
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return p[:, :, None] * x[:, None, :]


def library(w, losses):
    weight = torch.tensor(w, requires_grad=True)
    for loss in losses:
        loss(weight).backward()
    return weight.grad.numpy()


def groups():
    for sizes in ((3, 1), (4, 4, 4), (1, 7, 2, 5), (6,)):
        N = sum(sizes)
        yield sizes, np.random.randn(4, 3), np.random.randn(N, 3), np.random.randint(0, 4, N), np.split(np.arange(N), np.cumsum(sizes)[:-1])


def mean_loss(x, y, part, factor):
    return lambda weight: F.cross_entropy(torch.tensor(x[part]) @ weight.T, torch.tensor(y[part])) * factor


@formula(WEIGHTED)
def check_weighted_sum():
    for sizes, w, x, y, parts in groups():
        full = item_gradients(w, x, y).mean(0)
        accumulated = library(w, [mean_loss(x, y, part, len(part) / sum(sizes)) for part in parts])
        np.testing.assert_allclose(accumulated, full, atol=1e-12)
        sums = library(w, [mean_loss(x, y, part, len(part)) for part in parts])      # counted first, divided last
        np.testing.assert_allclose(sums / sum(sizes), full, atol=1e-12)


@formula(BY_K)
def check_division_by_k():
    for sizes, w, x, y, parts in groups():
        each = item_gradients(w, x, y)
        ours = sum(each[part].sum(0) / (len(sizes) * len(part)) for part in parts)
        theirs = library(w, [mean_loss(x, y, part, 1 / len(sizes)) for part in parts])
        np.testing.assert_allclose(theirs, ours, atol=1e-12)
        assert np.allclose(theirs, each.mean(0)) == (len(set(sizes)) == 1)


@check
def check_by_hand():
    first, second = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([6.0])
    stated("3", torch.cat([first, second]).mean())
    stated("4", (first.mean() + second.mean()) / 2)
    assert 3 / 4 * first.mean() + 1 / 4 * second.mean() == 3


@check
def check_undivided_loss_and_adam():
    steps = {}
    for kind in (torch.optim.SGD, torch.optim.Adam):
        for factor in (1.0, 8.0):
            p = nn.Parameter(torch.tensor([1.0, -2.0]))
            optimizer = kind([p], lr=0.01)
            ((p * torch.tensor([3.0, 0.5])).sum() * factor).backward()
            optimizer.step()
            steps[kind, factor] = p.detach() - torch.tensor([1.0, -2.0])
    assert torch.allclose(steps[torch.optim.SGD, 8.0], 8 * steps[torch.optim.SGD, 1.0], rtol=1e-4)
    assert torch.allclose(steps[torch.optim.Adam, 8.0], steps[torch.optim.Adam, 1.0], rtol=1e-4)


@check
def check_layers_and_losses_that_mix_items():
    x = torch.randn(8, 4)
    for layer, same in ((nn.BatchNorm1d(4), False), (nn.LayerNorm(4), True), (nn.GroupNorm(2, 4), True)):
        assert torch.allclose(layer(x), torch.cat([layer(x[:4]), layer(x[4:])]), atol=1e-5) == same
    a, b = F.normalize(torch.randn(8, 4), dim=1), F.normalize(torch.randn(8, 4), dim=1)
    info_nce = lambda rows: F.cross_entropy(a[rows] @ b[rows].T, torch.arange(len(rows)))
    assert info_nce(torch.arange(8)) > (info_nce(torch.arange(4)) + info_nce(torch.arange(4, 8))) / 2 + 0.3


@check
def check_backward_frees_its_graph():
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)), torch.randn(6, 4)
    losses = [model(part).sum() for part in x.split(2)]
    losses[0].backward()
    raises(RuntimeError, lambda: losses[0].backward(), "freed")
    model.zero_grad()
    sum(losses[1:]).backward()
    summed = model[0].weight.grad.clone()
    model.zero_grad()
    for part in x.split(2)[1:]:
        model(part).sum().backward()
    assert torch.allclose(model[0].weight.grad, summed, atol=1e-6)


@check
def check_gradient_is_the_sum_over_uses():
    w, written = torch.tensor(2.0, requires_grad=True), []
    w.register_post_accumulate_grad_hook(lambda parameter: written.append(parameter.grad.item()))
    (w * 3 + w * 4).backward()
    assert w.grad == 7 and written == [7]  # the uses are summed before .grad is written, once
    w.sum().backward()
    assert w.grad == 8
