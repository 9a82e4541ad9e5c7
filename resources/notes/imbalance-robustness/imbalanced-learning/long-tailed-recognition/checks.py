import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import WeightedRandomSampler

from note_checks import by_definition, formula, holds, pitfall, sourced, stated
from trainings import descend

PROFILE = r"n_c = n_{\max} \, \rho^{-c/(C - 1)}"
SAMPLING = r"p_c = \frac{n_c^{\,q}}{\sum_{k} n_k^{\,q}}"
NORMALISED = r"\tilde{w}_c = \frac{w_c}{\lVert w_c \rVert^{\tau}}"

by_definition("Same in train and eval?", "Long tail and class imbalance, the same thing?")
sourced(
    "LDAM, arXiv 1906.07413, section 4.1; OLTR, arXiv 1904.05160, section 4",
    "Benchmarks",
    "Metric",
    "CB loss, LDAM",
)
sourced("Deep Long-Tailed Learning: A Survey, arXiv 2110.04596, section 3", "Levers", "Pre-training")
sourced(
    "Decoupling Representation and Classifier, arXiv 1910.09217, sections 4 and 5",
    "Why not simply sample classes alike from the start?",
    "cRT",
    "Why are the rows of frequent classes longer?",
)
sourced("RIDE, arXiv 2010.01809, abstract", "Ensembles of experts (RIDE)")


def profile(largest, rho, classes):
    return [int(largest * rho ** (-c / (classes - 1))) for c in range(classes)]


@formula(PROFILE)
@holds("Data", "Why not simply sample classes alike from the start?")
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
    assert sum(counts) / 100 < counts[0] / 4  # draws from the head in a balanced epoch


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
@holds("$\\tau$-normalisation")
def check_normalised():
    for shape in [(10, 64), (3, 1), (1, 5)]:
        w = torch.randn(shape, dtype=torch.float64) * 3
        norm = np.sqrt((w.numpy() ** 2).sum(1, keepdims=True))
        np.testing.assert_allclose(w.numpy() / norm, torch.nn.functional.normalize(w, dim=1).numpy())
        np.testing.assert_allclose(w.numpy() / norm**0, w.numpy())
        half = w.numpy() / norm**0.5
        np.testing.assert_allclose((half**2).sum(1), norm[:, 0])


@holds("Why are the rows of frequent classes longer?")
def check_frequent_classes_have_longer_rows():
    """A linear classifier on non-negative features of overlapping classes."""
    torch.manual_seed(0)
    counts = torch.tensor([2000, 200, 20])
    y = torch.repeat_interleave(torch.arange(3), counts)
    x = torch.relu(torch.randn(len(y), 12) + 1.5 * torch.eye(3).repeat_interleave(4, 1)[y])
    layer = torch.nn.Linear(12, 3, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.3)
    descend(optimizer, lambda: torch.nn.functional.cross_entropy(layer(x), y), 150)
    norm = layer.weight.norm(dim=1)
    assert norm[0] > norm[1] and norm[0] > norm[2]
    one = torch.nn.functional.cross_entropy(layer(x[:1]), y[:1])  # one sample: a step goes towards its own features
    step = -torch.autograd.grad(one, layer.weight)[0]
    own, other = (torch.cosine_similarity(step[c], x[0], dim=0) for c in (0, 1))
    assert own > 0.999 and other < -0.999


@holds("CB loss, LDAM")
def check_torch_has_no_such_loss():
    assert not [name for name in dir(torch.nn) if any(word in name.lower() for word in ("balanced", "ldam", "adjust"))]


@pitfall("The second stage changes more than the last layer")
def check_frozen_body_keeps_statistics_only_in_eval():
    x, probe = torch.randn(50, 3) + 4, torch.randn(9, 3)
    for mode, same in ((True, False), (False, True)):
        body, head = (
            torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)).requires_grad_(False),
            torch.nn.Linear(3, 2),
        )
        before = body.eval()(probe)
        optimizer = torch.optim.SGD(head.parameters(), 0.1)
        body.train(mode)
        F.cross_entropy(head(body(x)), torch.arange(50) % 2).backward()
        optimizer.step()
        assert torch.equal(body.eval()(probe), before) is same
        assert torch.nn.Sequential(body, head).train() and body.training  # undoes `eval()`


@holds("Which accuracy is quoted?")
def check_balanced_test_accuracy_is_mean_recall():
    y = np.repeat(np.arange(5), 30)
    p = np.where(np.random.rand(150) < 0.6, y, 0)
    recall = np.array([(p[y == c] == c).mean() for c in range(5)])
    assert math.isclose((p == y).mean(), recall.mean())
    long_tail = np.array([500, 100, 20, 5, 1]) / 626
    assert abs((long_tail * recall).sum() - recall.mean()) > 0.1


@pitfall("Two corrections at once hurt the head")
def check_two_corrections():
    """A linear classifier of three overlapping classes with 900, 90, 10 points: recall on the same number of each."""
    counts, centres = torch.tensor([900, 90, 10]), 1.5 * torch.tensor([[0.0, 1.0], [1.0, -0.6], [-1.0, -0.6]])
    y, test = torch.arange(3).repeat_interleave(counts), torch.arange(3).repeat_interleave(1000)
    x, points = centres[y] + torch.randn(1000, 2), centres[test] + torch.randn(3000, 2)
    found = []
    for q in (1, 0):
        layer = torch.nn.Linear(2, 3)
        optimizer = torch.optim.Adam(layer.parameters(), 0.05)
        for batch in torch.multinomial((counts ** (q - 1.0))[y], 300 * 256, replacement=True).view(300, 256):
            optimizer.zero_grad()
            F.cross_entropy(layer(x[batch]) + (counts / 1000).log(), y[batch]).backward()
            optimizer.step()
        right = layer(points).argmax(1) == test
        found.append([right[test == c].float().mean().item() for c in range(3)])
        layer = torch.nn.Linear(2, 3)  # the same with an adjusted prediction
        optimizer = torch.optim.Adam(layer.parameters(), 0.05)
        for batch in torch.multinomial((counts ** (q - 1.0))[y], 300 * 256, replacement=True).view(300, 256):
            optimizer.zero_grad()
            F.cross_entropy(layer(x[batch]), y[batch]).backward()
            optimizer.step()
        right = (layer(points) - (counts / 1000).log()).argmax(1) == test
        found.append([right[test == c].float().mean().item() for c in range(3)])
    for plain, balanced in zip(found[:2], found[2:]):
        assert balanced[0] < plain[0] - 0.2 and np.mean(balanced) < np.mean(plain) - 0.05


COUNTS = torch.tensor(profile(100, 50, 10))


def long_tailed_digits():
    x, y = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    where = [torch.nonzero(y == c)[:, 0] for c in range(10)]
    train, other, test = (
        torch.cat([w[a:b] for w, (a, b) in zip(where, cut)])
        for cut in ([(0, n) for n in COUNTS], [(100, 140)] * 10, [(140, None)] * 10)
    )
    return x.float() / 16, y, train, other, test


def network():
    return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU()), torch.nn.Linear(64, 10)


def fit(x, y, body, head, parameters, weights, steps=100):
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for batch in torch.multinomial(weights, 64 * steps, replacement=True).view(steps, 64):
        optimizer.zero_grad()
        F.cross_entropy(head(body(x[batch])), y[batch]).backward()
        optimizer.step()
    return lambda z: head(body(z)).detach()


def recalls(z, y):
    return torch.stack([(z[y == c].argmax(1) == c).float().mean() for c in range(10)])


@pitfall("The tail has training accuracy 1 and poor test accuracy")
@holds("cRT", "Pre-training")
def check_memorised_tail():
    x, y, train, other, test = long_tailed_digits()
    seen, labels, balanced = x[train], y[train], (1 / COUNTS)[y[train]]
    tails = []
    for _ in range(2):
        body, head = network()
        fitted = [fit(seen, labels, body, head, [*body.parameters(), *head.parameters()], balanced)]
        body, head = network()
        fit(seen, labels, body, head, [*body.parameters(), *head.parameters()], torch.ones(len(train)))
        head = torch.nn.Linear(64, 10)
        fitted.append(fit(seen, labels, body, head, head.parameters(), balanced))
        body, head = network()
        fit(x[other], y[other], body, head, [*body.parameters(), *head.parameters()], torch.ones(len(other)))
        head = torch.nn.Linear(64, 10)
        fitted.append(fit(seen, labels, body, head, head.parameters(), balanced))
        head = torch.nn.Linear(64, 10)
        fitted.append(fit(seen, labels, body, head, head.parameters(), torch.ones(len(train))))
        assert recalls(fitted[0](seen), labels)[8:].min() == 1
        tails.append([recalls(f(x[test]), y[test])[8:].mean().item() for f in fitted])
    balanced_sampling, late, pretrained, unbalanced = np.mean(tails, 0)
    assert pretrained > unbalanced + 0.1
    assert balanced_sampling < 0.45 and min(late, pretrained) > balanced_sampling + 0.1


@pitfall('"Our method gains 3 points"')
@holds("Logit adjustment", "Input and output")
def check_mean_hides_groups():
    x, y, train, _, test = long_tailed_digits()
    found = []
    for steps in (10, 100):
        body, head = network()
        z = fit(
            x[train], y[train], body, head, [*body.parameters(), *head.parameters()], torch.ones(len(train)), steps
        )(x[test])
        found.append(recalls(z, y[test]))
    adjusted = recalls(z - COUNTS.log() / 2, y[test])
    short, long = found
    assert z.shape == (len(test), 10) and z.is_floating_point() and y.dtype == torch.int64
    assert long.mean() > short.mean() + 0.03 and adjusted.mean() > long.mean() + 0.01
    assert adjusted[:3].mean() < long[:3].mean() - 0.01 and adjusted[8:].mean() > long[8:].mean() + 0.1
    assert min(int(5000 * 100 ** (-c / 9)) for c in range(10)) == 50  # CIFAR-10-LT: no class below 20
