import inspect
import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, quietly, sourced, stated
from trainings import descend, handwritten_digits

RISK = r"""
L(\theta) = \frac{1}{N}\sum_{n=1}^{N} \ell\left(f_\theta(x_n), y_n\right), \qquad \hat{\theta} = \arg\min_\theta L(\theta)
"""
MARGIN = r"\ell = \frac{1}{C} \sum_{j \ne y} \max\left(0, \; m - z_y + z_j\right)^p"
POISSON = r"\ell = e^{z} - y \, z"
CTC = r"\ell = -\log \sum_{\pi \in \mathcal{B}^{-1}(y)} \; \prod_{t=1}^{T} p_t(\pi_t)"

by_definition("rare positives", "embeddings", "Loss, cost, objective, metric?")
sourced("Lin et al. 2017, arXiv 1708.02002, abstract (focal loss for class imbalance)", "rare positives")
sourced("nnU-Net, arXiv 1809.10486, section 2 (sum of Dice and cross-entropy)", "masks")
sourced("GIoU, arXiv 1902.09630; CIoU, arXiv 1911.08287; Fast R-CNN, arXiv 1504.08083, section 2.3", "boxes")
sourced("Graves et al. 2006, abstract; Bahdanau et al. 2014, arXiv 1409.0473, section 3", "unaligned sequences")


@formula(RISK)
def check_risk_and_its_minimum():
    x, y = torch.randn(40, 3, dtype=torch.float64), torch.randn(40, dtype=torch.float64)
    theta = torch.tensor(np.linalg.lstsq(x.numpy(), y.numpy(), rcond=None)[0], requires_grad=True)
    loss = F.mse_loss(x @ theta, y)
    assert math.isclose(loss.item(), sum(((a @ theta - b) ** 2).item() for a, b in zip(x, y)) / 40)
    loss.backward()
    assert theta.grad.abs().max() < 1e-12
    for _ in range(20):
        assert F.mse_loss(x @ (theta + 0.1 * torch.randn(3).double()), y) > loss


@formula(MARGIN)
def check_multi_margin():
    for n, classes in ((1, 2), (7, 3), (20, 10)):
        z, y = torch.randn(n, classes, dtype=torch.float64), torch.randint(classes, (n,))
        for p in (1, 2):
            for m in (1.0, 0.3):
                gap = np.maximum(0, m - z.numpy()[range(n), y][:, None] + z.numpy()) ** p
                gap[range(n), y] = 0
                library = F.multi_margin_loss(z, y, p=p, margin=m, reduction="none").numpy()
                np.testing.assert_allclose(gap.sum(1) / classes, library, rtol=1e-10, atol=1e-14)


@formula(POISSON)
def check_poisson():
    z, y = torch.randn(50, dtype=torch.float64), torch.randint(6, (50,)).double()
    np.testing.assert_allclose(
        np.exp(z.numpy()) - y.numpy() * z.numpy(), F.poisson_nll_loss(z, y, reduction="none").numpy(), rtol=1e-10
    )
    exact = -torch.distributions.Poisson(z.exp()).log_prob(y)
    np.testing.assert_allclose(
        (exact - torch.lgamma(y + 1)).numpy(), F.poisson_nll_loss(z, y, reduction="none").numpy(), rtol=1e-8, atol=1e-10
    )
    assert inspect.signature(nn.PoissonNLLLoss).parameters["log_input"].default is True
    pair = torch.tensor(1.0), torch.tensor(5.0)
    assert F.poisson_nll_loss(*pair) < 0 < F.poisson_nll_loss(*pair, full=True) and (exact >= 0).all()


def collapsed(path):
    merged = [label for label, _ in itertools.groupby(path)]
    return tuple(label for label in merged if label != 0)


@formula(CTC)
def check_ctc_by_brute_force():
    for steps, target in ((2, (1,)), (4, (1, 2)), (5, (1, 1)), (4, (2, 1, 2))):
        log_p = torch.randn(steps, 1, 3, dtype=torch.float64).log_softmax(2)
        p = log_p.exp()[:, 0].numpy()
        total = sum(
            np.prod([p[t, c] for t, c in enumerate(path)])
            for path in itertools.product(range(3), repeat=steps)
            if collapsed(path) == target
        )
        lengths = torch.tensor([steps]), torch.tensor([len(target)])
        library = F.ctc_loss(log_p, torch.tensor([target]), *lengths, reduction="none").item()
        np.testing.assert_allclose(-math.log(total), library, rtol=1e-8)
        np.testing.assert_allclose(
            library / len(target), F.ctc_loss(log_p, torch.tensor([target]), *lengths).item(), rtol=1e-8
        )


@pitfall("CTC returns `inf`")
def check_ctc_too_short():
    for steps, finite in ((2, False), (3, True)):
        log_p = torch.full((steps, 1, 3), 1 / 3).log()
        loss = F.ctc_loss(log_p, torch.tensor([[1, 1]]), torch.tensor([steps]), torch.tensor([2]))
        assert bool(torch.isfinite(loss)) is finite
    for zero_infinity in (False, True):
        scores = torch.zeros(2, 2, 3, requires_grad=True)
        lengths = torch.tensor([2, 2]), torch.tensor([2, 2])
        loss = F.ctc_loss(scores.log_softmax(2), torch.tensor([[1, 1], [1, 2]]), *lengths, zero_infinity=zero_infinity)
        loss.backward()
        stray, other = scores.grad[:, 0], scores.grad[:, 1]
        if zero_infinity:
            assert torch.isfinite(loss) and not stray.any()
        else:
            assert torch.isinf(loss) and torch.isnan(stray).any()
        assert torch.isfinite(other).all() and other.any()
    assert nn.CTCLoss().blank == 0


def accuracy_and_loss(z, y):
    return (z.argmax(1) == y).double().mean().item(), F.cross_entropy(z, y).item()


@pitfall("The loss falls, accuracy does not")
def check_checkpoints():
    """Model B of the article, and a network on 100 digits: validation loss and accuracy choose different checkpoints."""
    less, more = (torch.tensor(np.stack([p, 1 - np.array(p)], 1)).log() for p in ([0.51] * 3, [0.99, 0.99, 0.4]))
    truth = torch.zeros(3, dtype=torch.long)
    sure, unsure = accuracy_and_loss(more, truth), accuracy_and_loss(less, truth)
    assert sure[0] < unsure[0] and sure[1] < unsure[1]
    torch.manual_seed(1)
    pixels, classes = handwritten_digits()
    train, validation, test = torch.randperm(1797).split([100, 849, 848])
    hidden = nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 64), nn.ReLU()
    network = nn.Sequential(*hidden, nn.Linear(64, 10))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    seen = []
    for step in range(300):
        network.train()
        optimizer.zero_grad()
        F.cross_entropy(network(pixels[train]), classes[train]).backward()
        optimizer.step()
        if step % 5 == 0:
            with torch.no_grad():
                z = network.eval()(pixels)
            on_validation, on_test = (accuracy_and_loss(z[part], classes[part]) for part in (validation, test))
            confidence = z[validation].softmax(1).max(1).values.mean().item()
            seen.append((*on_validation, *on_test, confidence))
    by_accuracy, by_loss = max(seen), min(seen, key=lambda row: row[1])
    assert by_accuracy[0] > by_loss[0] + 0.01 and by_accuracy[1] > by_loss[1] + 0.05
    assert by_accuracy[2] > by_loss[2] + 0.01
    # the risen loss tells of overconfidence
    assert by_accuracy[4] - by_accuracy[0] > 0.02 + by_loss[4] - by_loss[0]


@check
def check_by_hand():
    stated("0.1667", F.multi_margin_loss(torch.tensor([[2.0, 1.5, 0.0]]), torch.tensor([0])))
    stated(
        "1.0986",
        F.ctc_loss(torch.full((2, 1, 3), 1 / 3).log(), torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1])),
    )
    for truth, loss, accuracy in (
        (np.array([0.51] * 3), "0.6733", "100%"),
        (np.array([0.99, 0.99, 0.4]), "0.3121", "67%"),
    ):
        p = torch.tensor(np.stack([truth, 1 - truth], 1))
        stated(loss, F.nll_loss(p.log(), torch.zeros(3, dtype=torch.long)))
        stated(accuracy, (p.argmax(1) == 0).double().mean())


@holds("several labels, yes/no")
@pitfall("`MultiLabelMarginLoss` learns the wrong classes")
def check_multilabel_target():
    z = torch.tensor([[2.0, 1.5, 0.0]])
    by_hand = sum(max(0.0, 1 - (z[0, j] - z[0, 1]).item()) for j in (0, 2)) / 3
    assert abs(F.multilabel_margin_loss(z, torch.tensor([[0, 2, -1]])).item() - by_hand) < 1e-6
    for n, right in ((3, [1]), (6, [0, 4, 5]), (4, [0, 1, 2, 3])):
        x, others = torch.randn(1, n), [i for i in range(n) if i not in right]
        pairs = sum(max(0.0, (1 - x[0, j] + x[0, i]).item()) for j in right for i in others)
        target = torch.tensor([right + [-1] * (n - len(right))])
        assert math.isclose(F.multilabel_margin_loss(x, target).item(), pairs / n, rel_tol=1e-5)
    z = torch.randn(1, 4)
    read = F.multilabel_margin_loss(z, torch.tensor([[1, 0, 0, 0]]))
    as_indices = sum(max(0.0, 1 - (z[0, j] - z[0, i]).item()) for j in (1, 0, 0, 0) for i in (2, 3)) / 4
    assert abs(read.item() - as_indices) < 1e-5
    right = F.multilabel_margin_loss(z, torch.tensor([[0, -1, -1, -1]]))
    assert not torch.allclose(read, right)

    def learned(loss, target):
        """The two classes that end up on top when free scores of four classes are trained for classes 1 and 3."""
        z = torch.zeros(1, 4, requires_grad=True)
        for _ in range(50):
            z = (z - torch.autograd.grad(loss(z, torch.tensor([target])), z)[0]).detach().requires_grad_()
        return sorted(z[0].topk(2).indices.tolist())

    assert learned(F.multilabel_margin_loss, [0, 1, 0, 1]) == [0, 1]
    assert learned(F.multilabel_margin_loss, [1, 3, -1, -1]) == [1, 3]
    assert learned(F.binary_cross_entropy_with_logits, [0.0, 1.0, 0.0, 1.0]) == [1, 3]


@holds("Call", "Output", "Parameters", "Same in train and eval?")
def check_the_losses_of_the_code():
    z, y = torch.tensor([[2.0, 1.5, 0.0], [1.0, 0.0, 3.0]]), torch.tensor([0, 1])
    lengths = torch.tensor([2, 2]), torch.tensor([1, 1])
    cases = [
        (nn.CrossEntropyLoss, (z, y)),
        (nn.MultiMarginLoss, (z, y)),
        (nn.BCEWithLogitsLoss, (z, z.sigmoid())),
        (nn.MSELoss, (z, z + 1)),
        (nn.PoissonNLLLoss, (z, z.exp().round())),
        (nn.MultiLabelMarginLoss, (z, torch.tensor([[0, 2, -1], [1, -1, -1]]))),
        (nn.CTCLoss, (z.log_softmax(1)[:, None].repeat(1, 2, 1), torch.tensor([[1], [2]]), *lengths)),
    ]
    for kind, arguments in cases:
        names = list(inspect.signature(kind.forward).parameters)[1:3]
        assert names in (["input", "target"], ["log_input", "target"], ["log_probs", "targets"]), names
        loss = kind()
        assert loss.reduction == "mean" and not list(loss.parameters())
        assert loss(*arguments).shape == kind(reduction="sum")(*arguments).shape == ()
        assert kind(reduction="none")(*arguments).numel() > 1
        assert torch.equal(loss.train()(*arguments), loss.eval()(*arguments))


@holds("regression", "counts", "one of $C$ classes", "matching distributions")
def check_tasks():
    numbers = torch.cat([torch.randn(99), torch.tensor([1000.0])])  # one outlier

    def best(loss):
        grid = torch.linspace(-20, 20, 401)
        return grid[torch.stack([loss(point.expand(100), numbers) for point in grid]).argmin()].item()

    assert best(F.mse_loss) > 8 and abs(best(F.l1_loss)) < 1 and abs(best(F.huber_loss)) < 1
    counts = torch.poisson(torch.full((4000,), 100.0))
    rate, mean, log_var = (torch.tensor(start, requires_grad=True) for start in (4.0, 90.0, 4.0))
    descend(torch.optim.Adam([rate], 0.05), lambda: F.poisson_nll_loss(rate.expand(4000), counts), 200)
    gaussian = lambda: F.gaussian_nll_loss(mean.expand(4000), counts, log_var.exp().expand(4000))
    descend(torch.optim.Adam([mean, log_var], 0.2), gaussian, 400)
    assert abs(rate.exp() - counts.mean()) < 1 and abs(mean - counts.mean()) < 1
    assert abs(log_var.exp() / counts.var() - 1) < 0.1
    pixels, classes = handwritten_digits()
    for loss in (F.cross_entropy, F.multi_margin_loss):
        layer = nn.Linear(64, 10)
        descend(torch.optim.Adam(layer.parameters(), 0.03), lambda: loss(layer(pixels), classes), 100)
        assert (layer(pixels).argmax(1) == classes).float().mean() > 0.9
    z, q = torch.randn(5, 4, requires_grad=True), torch.rand(5, 4).softmax(1)
    by_kl = torch.autograd.grad(F.kl_div(z.log_softmax(1), q, reduction="batchmean"), z)[0]
    assert torch.allclose(by_kl, torch.autograd.grad(F.cross_entropy(z, q), z)[0], atol=1e-6)


@holds("Must a loss be non-negative?")
def check_negative_losses():
    zero = torch.zeros(3)
    assert F.gaussian_nll_loss(zero, zero, torch.full((3,), 0.01)) < 0 and F.poisson_nll_loss(zero + 1, zero + 5) < 0
    z, y = torch.randn(4, 3, requires_grad=True), torch.tensor([0, 1, 2, 0])
    shifted = torch.autograd.grad(F.cross_entropy(z, y) - 7, z)[0]
    assert torch.equal(shifted, torch.autograd.grad(F.cross_entropy(z, y), z)[0])


@holds("How are several losses combined?")
def check_weighted_sum():
    z, y = torch.randn(4, 3, requires_grad=True), torch.tensor([0, 1, 2, 0])
    one, other = F.cross_entropy(z, y), F.multi_margin_loss(z, y)
    parts = [torch.autograd.grad(loss, z, retain_graph=True)[0] for loss in (one, other, 0.3 * one + 2 * other)]
    assert torch.allclose(parts[2], 0.3 * parts[0] + 2 * parts[1], atol=1e-6)


@holds("Needs", "Why not train on accuracy directly?")
def check_accuracy_has_no_gradient_and_sum_scales():
    z, y = torch.randn(200, 4), torch.randint(4, (200,))
    decisions = z.argmax(1)
    assert ((z + 1e-6 * torch.randn_like(z)).argmax(1) == decisions).all()
    z.requires_grad_()
    mean = torch.autograd.grad(F.cross_entropy(z, y), z)[0]
    total = torch.autograd.grad(F.cross_entropy(z, y, reduction="sum"), z)[0]
    assert torch.allclose(total, 200 * mean, atol=1e-5)


@check
def check_hinge_embedding():
    x, t = torch.tensor([0.4, 0.4, 1.5]), torch.tensor([1, -1, -1])
    assert torch.allclose(F.hinge_embedding_loss(x, t, reduction="none"), torch.tensor([0.4, 0.6, 0.0]))


@pitfall("The loss never gets near zero")
def check_floor_of_a_softmax_applied_twice():
    stated("0.9048", F.cross_entropy(torch.eye(5)[:1], torch.tensor([0])))
    p = (torch.randn(1000, 5) * 9).softmax(1)
    assert F.cross_entropy(p, torch.zeros(1000, dtype=torch.long), reduction="none").min() > 0.9048
    z = torch.tensor([[60.0, 0, 0, 0, 0]])
    assert (
        F.cross_entropy(z, torch.tensor([0])) < 1e-6 < 0.4 < F.cross_entropy(z, torch.tensor([0]), label_smoothing=0.1)
    )
    zero = torch.tensor([0])
    assert (
        F.nll_loss(z.log_softmax(1), zero) < 1e-6 and F.binary_cross_entropy_with_logits(z[:, 0], torch.ones(1)) < 1e-6
    )
    assert (
        F.binary_cross_entropy_with_logits(z[:, 0].sigmoid(), torch.ones(1)) > 0.3 > 0 > F.nll_loss(z.softmax(1), zero)
    )
    q = torch.tensor([[0.6, 0.4]])
    assert F.kl_div(q.log(), q, reduction="batchmean").abs() < 1e-6 and F.kl_div(q, q, reduction="batchmean") < -0.5
    assert (
        F.ctc_loss(z.log_softmax(1).roll(1, 1)[:, None], torch.tensor([[1]]), torch.tensor([1]), torch.tensor([1]))
        < 1e-6
    )
    # labels that contradict each other on one input: the best is the entropy, ln 2
    w = torch.zeros(2, requires_grad=True)
    best = F.cross_entropy(w.expand(2, 2), torch.tensor([0, 1]))
    assert best > 0.69 and torch.autograd.grad(best, w)[0].abs().max() < 1e-7


@check
def check_targets_of_the_fix_are_padded_and_floating_point():
    z = torch.randn(1, 5)
    assert torch.isfinite(F.multilabel_margin_loss(z, torch.tensor([[0, 2, -1, -1, -1]])))
    assert torch.isfinite(F.binary_cross_entropy_with_logits(z, torch.tensor([[1.0, 0, 1, 0, 0]])))
    for loss, target in (
        (F.multilabel_margin_loss, [[0, 2, -1]]),
        (F.binary_cross_entropy_with_logits, [[1, 0, 1, 0, 0]]),
    ):
        try:
            loss(z, torch.tensor(target))
        except RuntimeError:
            continue
        raise AssertionError("expected an error")


@pitfall("Another `reduction` needs another learning rate in SGD")
def check_sum_changes_the_step_of_sgd_but_not_of_adam():
    x, y = torch.randn(64, 4), torch.randint(3, (64,))
    for kind, factor in ((torch.optim.SGD, 64.0), (torch.optim.Adam, 1.0)):
        steps = []
        for reduction in ("mean", "sum"):
            w = torch.zeros(4, 3, requires_grad=True)
            F.cross_entropy(x @ w, y, reduction=reduction).backward()
            kind([w], lr=0.1).step()
            steps.append(w.detach().norm())
        assert math.isclose(steps[1] / steps[0], factor, rel_tol=1e-3)
    decayed = []
    for reduction in ("mean", "sum"):
        w = torch.ones(4, 3, requires_grad=True)
        F.cross_entropy(x @ w, y, reduction=reduction).backward()
        torch.optim.SGD([w], lr=0.1, weight_decay=1.0).step()
        decayed.append((w.detach() - 1).norm())
    assert decayed[1] / decayed[0] < 40

    def trained(reduction, rate):
        w = torch.zeros(4, 3, requires_grad=True)
        optimizer = torch.optim.SGD([w], rate)
        descend(optimizer, lambda: F.cross_entropy(x @ w, y, reduction=reduction), 20)
        return w.detach()

    assert torch.allclose(trained("sum", 0.5 / 64), trained("mean", 0.5), atol=1e-4)
    assert not torch.allclose(trained("sum", 0.5), trained("mean", 0.5), atol=1)
    log_p, weights = (x @ torch.randn(4, 3)).log_softmax(1), torch.tensor([1.0, 2.0, 5.0])
    q = torch.rand(64, 3).softmax(1)
    assert torch.allclose(quietly(lambda: F.kl_div(log_p, q)), F.kl_div(log_p, q, reduction="sum") / 192)
    total = F.cross_entropy(log_p, y, weight=weights, reduction="sum")
    assert torch.allclose(F.cross_entropy(log_p, y, weight=weights), total / weights[y].sum())
