import math

import numpy as np
import torch
from sklearn.metrics import log_loss
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

SAMPLE = r"""
p_c = \frac{e^{z_c}}{\sum_{j=1}^{C} e^{z_j}}, \qquad
\ell = -\log p_y = \log \sum_{j=1}^{C} e^{z_j} - z_y
"""
WEIGHTED_MEAN = r"""
L = \frac{\sum_{n:\, y_n \ne \text{ignore}} w_{y_n} \ell_n}{\sum_{n:\, y_n \ne \text{ignore}} w_{y_n}}
"""
DISTRIBUTION = r"\ell = -\sum_{c=1}^{C} w_c \, q_c \log p_c"
GRADIENT = r"\frac{\partial \ell}{\partial z_c} = p_c - q_c"

by_definition("Cross-entropy", "Focal loss")
sourced(
    "Hui and Belkin, arXiv 2006.07322, abstract",
    "How do cross-entropy and mean squared error differ for classification?",
)


def softmax(z):
    """The first formula: exponentials over their sum, along axis 1."""
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def per_sample(z, y):
    """Both forms of the second formula; they must agree."""
    rows = np.arange(len(y))
    first = -np.log(softmax(z)[rows, y])
    second = np.log(np.exp(z).sum(1)) - z[rows, y]
    np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)
    return second


def random_case(n, c):
    z = torch.randn(n, c, dtype=torch.float64) * 3
    return z, torch.randint(c, (n,)), torch.rand(c, dtype=torch.float64) + 0.1


@formula(SAMPLE)
def check_sample():
    for n, c in [(1, 2), (5, 3), (64, 10), (3, 1), (2, 1000)]:
        z, y, _ = random_case(n, c)
        ours = per_sample(z.numpy(), y.numpy())
        np.testing.assert_allclose(ours, F.cross_entropy(z, y, reduction="none").numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.mean(), F.cross_entropy(z, y).item(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(softmax(z.numpy()), z.softmax(1).numpy(), rtol=1e-9)


@formula(WEIGHTED_MEAN)
def check_weighted_mean():
    for n, c in [(4, 3), (32, 10), (9, 2)]:
        for ignore in (-100, 1, -1):
            z, y, w = random_case(n, c)
            y[0], y[1] = 0, ignore
            keep = (y != ignore).numpy()
            each = per_sample(z.numpy()[keep], y.numpy()[keep])
            weights = w.numpy()[y.numpy()[keep]]
            library = F.cross_entropy(z, y, weight=w, ignore_index=ignore)
            np.testing.assert_allclose((weights * each).sum() / weights.sum(), library.item(), rtol=1e-9)
            plain = F.cross_entropy(z, y, ignore_index=ignore)
            np.testing.assert_allclose(each.mean(), plain.item(), rtol=1e-9)


@formula(DISTRIBUTION)
def check_distribution():
    for n, c in [(1, 2), (7, 4), (16, 9)]:
        z, _, w = random_case(n, c)
        q = torch.rand(n, c, dtype=torch.float64).softmax(1)
        each = -(w.numpy() * q.numpy() * np.log(softmax(z.numpy()))).sum(1)
        np.testing.assert_allclose(each, F.cross_entropy(z, q, weight=w, reduction="none").numpy(), rtol=1e-9)
        np.testing.assert_allclose(each.sum() / n, F.cross_entropy(z, q, weight=w).item(), rtol=1e-9)
    image, masks = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5).softmax(1)
    assert torch.allclose(F.cross_entropy(image, masks), F.cross_entropy(image, masks, reduction="sum") / 40)


@formula(GRADIENT)
def check_gradient():
    for c in (2, 3, 10):
        for q in (torch.rand(c, dtype=torch.float64).softmax(0), F.one_hot(torch.tensor(1), c).double()):
            z = (torch.randn(c, dtype=torch.float64) * 4).requires_grad_()
            F.cross_entropy(z[None], q[None]).backward()
            np.testing.assert_allclose(
                softmax(z.detach().numpy()[None])[0] - q.numpy(), z.grad.numpy(), rtol=1e-8, atol=1e-12
            )


@holds("Input", "Target", "Output", "Range", "Defaults", "Same in train and eval?")
def check_contract():
    loss = nn.CrossEntropyLoss()
    assert (loss.weight, loss.ignore_index, loss.reduction, loss.label_smoothing) == (None, -100, "mean", 0.0)
    z, y = torch.randn(2, 5, 7), torch.randint(5, (2, 7))
    assert loss(z, y).shape == () and F.cross_entropy(z, y, reduction="none").shape == (2, 7)
    assert loss(torch.randn(3), torch.tensor(1)).shape == ()
    assert torch.equal(loss.train()(z, y), loss.eval()(z, y))
    assert abs(loss(torch.full((4, 6), 3.0), torch.tensor([0, 1, 2, 5])).item() - math.log(6)) < 1e-6
    for d in ((), (4,), (4, 5)):
        scores, labels = torch.randn(2, 3, *d), torch.randint(3, (2, *d))
        each = F.cross_entropy(scores, labels, reduction="none")
        assert each.shape == (2, *d) and each.min() >= 0 and loss(scores, scores.softmax(1)).shape == ()
    raises(RuntimeError, lambda: loss(torch.randn(2, 3), torch.tensor([0, 1], dtype=torch.int32)), "Long")
    assert loss(torch.tensor([[90.0, 0]]), torch.tensor([0])) == 0
    assert loss(torch.tensor([[900.0, 0]]), torch.tensor([1])) == 900
    assert torch.equal(loss(torch.ones(2, 3), torch.tensor([1, -100])), loss(torch.ones(1, 3), torch.tensor([1])))
    for wrong in (torch.tensor([0, 3]), torch.tensor([0, -1])):
        raises(IndexError, lambda: loss(torch.randn(2, 3), wrong), "out of bounds")


@check
def check_intuition():
    for text, p in [("0.6931", 0.5), ("4.6052", 0.01)]:
        stated(text, F.cross_entropy(torch.tensor([[math.log(p), math.log(1 - p)]]), torch.tensor([0])))
    assert math.isclose(-math.log(0.05) + math.log(0.1), math.log(2))


@check
def check_by_hand():
    z = torch.tensor([2.0, 1.0, 0.0])
    for text, value in [
        ("7.38906", math.exp(2)),
        ("2.71828", math.e),
        ("11.10734", z.exp().sum()),
        ("2.4076", z.logsumexp(0)),
    ]:
        stated(text, value)
    for text, value in zip(["0.6652", "0.2447", "0.0900"], z.softmax(0)):
        stated(text, value)
    stated("0.4076", F.cross_entropy(z, torch.tensor(0)))
    stated("2.4076", F.cross_entropy(z, torch.tensor(2)))
    for text, value in zip(["−0.3348", "0.2447", "0.0900"], torch.func.grad(F.cross_entropy)(z, torch.tensor(0))):
        stated(text, value)


def loss_on_digits(end):
    pixels, classes = handwritten_digits()
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), *end)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    loss = descend(optimizer, lambda: F.cross_entropy(network(pixels), classes), 150)
    return loss.item()


@pitfall("The loss never gets below 1.46 on ten classes")
def check_double_softmax():
    for text, c in [("0.5514", 3), ("1.4612", 10)]:
        perfect = F.one_hot(torch.tensor([0]), c).double()
        floor = F.cross_entropy(perfect, torch.tensor([0])).item()
        stated(text, floor)
        assert math.isclose(floor, math.log(math.e + c - 1) - 1)
        inputs = torch.rand(2000, c, dtype=torch.float64)
        assert F.cross_entropy(inputs, torch.zeros(2000, dtype=torch.long), reduction="none").min() >= floor
    stated("1.46", floor)
    assert 1.46 < loss_on_digits([nn.Softmax(1)]) < 1.7
    assert loss_on_digits([]) < 0.1 and loss_on_digits([nn.LogSoftmax(1)]) < 0.1
    z, y, _ = random_case(8, 5)
    assert torch.allclose(F.cross_entropy(z.log_softmax(1), y), F.cross_entropy(z, y))


@pitfall("With `weight`, the mean differs from the mean of `reduction='none'`")
def check_weight_cancels_in_a_batch_of_one_and_splitting_changes_the_gradient():
    z, y, w = random_case(1, 3)
    assert torch.allclose(F.cross_entropy(z, y, weight=w), F.cross_entropy(z, y))
    pixels, classes = torch.randn(1, 3, 2, 2, dtype=torch.float64), torch.tensor([[[0, 1], [2, 2]]])
    assert not torch.allclose(F.cross_entropy(pixels, classes, weight=w), F.cross_entropy(pixels, classes))
    smoothed = [
        F.cross_entropy(torch.zeros(1, 3), torch.tensor([0]), weight=v, label_smoothing=0.3)
        for v in (None, torch.tensor([1.0, 2, 3]))
    ]
    assert not torch.allclose(*smoothed)
    z, _, w = random_case(4, 3)
    y, w = torch.tensor([0, 0, 0, 2]), torch.tensor([1.0, 1.0, 5.0], dtype=torch.float64)
    each = F.cross_entropy(z, y, weight=w, reduction="none")
    assert not torch.allclose(each.mean(), F.cross_entropy(z, y, weight=w))

    def gradient(parts):
        leaf = z.clone().requires_grad_()
        sum(F.cross_entropy(leaf[part], y[part], weight=w) / len(parts) for part in parts).backward()
        return leaf.grad

    def divided_by_a_constant(parts):
        leaf = z.clone().requires_grad_()
        sum(F.cross_entropy(leaf[part], y[part], weight=w, reduction="sum") / 4 for part in parts).backward()
        return leaf.grad

    assert not torch.allclose(gradient([slice(0, 4)]), gradient([slice(0, 2), slice(2, 4)]))
    assert torch.allclose(divided_by_a_constant([slice(0, 4)]), divided_by_a_constant([slice(0, 2), slice(2, 4)]))


@pitfall("The loss of a batch is NaN although all logits are finite")
def check_all_ignored_is_nan():
    z, y = torch.randn(3, 4), torch.full((3,), -100)
    assert F.cross_entropy(z, y).isnan()
    z.requires_grad_()
    for labels in (y, torch.tensor([1, -100, 0])):
        kept = (labels != -100).sum()
        loss = F.cross_entropy(z, labels, reduction="sum") / kept.clamp(min=1)
        if kept == 0:
            assert loss == 0 and not torch.autograd.grad(loss, z)[0].any()
        else:
            assert torch.allclose(loss, F.cross_entropy(z, labels))


@pitfall('"Expected target size [2, 3], got [2, 5]" on sequences')
def check_class_axis():
    z, y = torch.randn(2, 5, 3), torch.randint(3, (2, 5))
    raises(RuntimeError, lambda: F.cross_entropy(z, y), "Expected target size [2, 3], got [2, 5]")
    right = F.cross_entropy(z.transpose(1, 2), y)
    assert torch.allclose(right, F.cross_entropy(z.reshape(10, 3), y.reshape(10)))
    square, labels = torch.randn(2, 3, 3), torch.randint(3, (2, 3))
    assert not torch.allclose(F.cross_entropy(square, labels), F.cross_entropy(square.transpose(1, 2), labels))


@holds("BCE with logits", "NLL loss", "KL divergence")
def check_siblings():
    z, y = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.allclose(F.nll_loss(z.log_softmax(1), y), F.cross_entropy(z, y))
    two = torch.stack([torch.zeros(6), z[:, 0]], 1)
    yes = y == 1
    assert torch.allclose(F.binary_cross_entropy_with_logits(z[:, 0], yes.float()), F.cross_entropy(two, yes.long()))
    assert F.binary_cross_entropy_with_logits(z, torch.rand(6, 3)).shape == ()
    p = z.softmax(1)
    assert F.kl_div(p.log(), p, reduction="batchmean").abs() < 1e-6 < 0.1 < F.cross_entropy(z, p)


@holds(
    "How do cross-entropy and mean squared error differ for classification?",
    "Which loss should an untrained classifier show?",
    "How does it relate to entropy and KL divergence?",
    "Why not compute `-log(softmax(z))` yourself?",
)
def check_questions():
    def gradient(loss):
        z = torch.tensor([[0.0, 8.0]], dtype=torch.float64, requires_grad=True)
        loss(z).backward()
        return abs(z.grad[0, 0].item())

    one_hot = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    stated("0.9997", gradient(lambda z: F.cross_entropy(z, torch.tensor([0]))))
    stated("0.0007", gradient(lambda z: F.mse_loss(z.softmax(1), one_hot)))
    assert gradient(lambda z: F.mse_loss(2 * z, one_hot)) > 0.9
    stated("2.3026", F.cross_entropy(torch.zeros(1, 10), torch.tensor([4])))
    stated("6.9078", F.cross_entropy(torch.zeros(1, 1000), torch.tensor([4])))
    z, q = torch.randn(3, 5), torch.rand(3, 5).softmax(1)
    entropy = -(q * q.log()).sum(1)
    divergence = F.kl_div(z.log_softmax(1), q, reduction="none").sum(1)
    assert torch.allclose(F.cross_entropy(z, q, reduction="none"), entropy + divergence, atol=1e-5)
    leaf = z.clone().requires_grad_()
    by_entropy = torch.autograd.grad(F.cross_entropy(leaf, q, reduction="sum"), leaf)[0]
    by_kl = torch.autograd.grad(F.kl_div(leaf.log_softmax(1), q, reduction="sum"), leaf)[0]
    assert torch.allclose(by_entropy, by_kl, atol=1e-5)
    one = F.one_hot(torch.tensor([0, 2, 1]), 5).float()
    assert torch.allclose(F.cross_entropy(z, one), F.kl_div(z.log_softmax(1), one, reduction="batchmean"))
    assert F.cross_entropy(30 * torch.randn(500, 10), torch.randint(10, (500,))) > 10 > 4 * math.log(10)
    pixels, classes = handwritten_digits()
    untrained = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    assert F.cross_entropy(untrained(pixels), classes) < 2.4 < 2.5 < F.cross_entropy(untrained(16 * pixels), classes)
    far = torch.tensor([[10.0, -100.0]])
    assert torch.isinf(-far.softmax(1).log()[0, 1])
    stated("110", F.cross_entropy(far, torch.tensor([1])))


@check
def check_scikit_learn_takes_probabilities_and_clips():
    z, _, _ = random_case(20, 3)
    y = torch.arange(20) % 3
    assert math.isclose(log_loss(y, z.softmax(1).numpy()), F.cross_entropy(z, y).item(), rel_tol=1e-6)
    assert math.isfinite(log_loss([0, 1], [[1.0, 0.0], [1.0, 0.0]]))
