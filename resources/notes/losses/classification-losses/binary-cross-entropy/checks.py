import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

SAMPLE = r"""
\ell = -\left[ y \log \sigma(z) + (1 - y) \log (1 - \sigma(z)) \right] = \max(z, 0) - z y + \log\left(1 + e^{-|z|}\right)
"""
WEIGHTED = r"\ell = -w \left[ a \, y \log \sigma(z) + (1 - y) \log (1 - \sigma(z)) \right]"
GRADIENT = r"\frac{\partial \ell}{\partial z} = \sigma(z) - y"

bce_logits = F.binary_cross_entropy_with_logits

by_definition("Cross-entropy", "Focal loss")
sourced("V-Net, arXiv 1606.04797, section 3 (Dice for small foregrounds)", "Dice loss")
sourced("PyTorch documentation, BCEWithLogitsLoss, the example of pos_weight", "How is `pos_weight` chosen?")


def sigma(z):
    return 1 / (1 + np.exp(-z))


def left_form(z, y, w=1.0, a=1.0):
    return -w * (a * y * np.log(sigma(z)) + (1 - y) * np.log(1 - sigma(z)))


def right_form(z, y):
    return np.maximum(z, 0) - z * y + np.log(1 + np.exp(-np.abs(z)))


def random_case(shape):
    return torch.randn(shape, dtype=torch.float64) * 3, torch.rand(shape, dtype=torch.float64)


@formula(SAMPLE)
def check_both_forms():
    for shape in [(1,), (7,), (3, 4), (2, 3, 4, 5)]:
        z, soft = random_case(shape)
        for y in (soft, soft.round()):
            library = bce_logits(z, y, reduction="none").numpy()
            np.testing.assert_allclose(left_form(z.numpy(), y.numpy()), library, rtol=1e-8, atol=1e-10)
            np.testing.assert_allclose(right_form(z.numpy(), y.numpy()), library, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(F.binary_cross_entropy(z.sigmoid(), y).item(), library.mean(), rtol=1e-8)
    for far in (1000.0, -1000.0):
        for y in (0.0, 1.0, 0.3):
            np.testing.assert_allclose(
                right_form(far, y), bce_logits(torch.tensor(far), torch.tensor(y)).item(), rtol=1e-6
            )


@formula(WEIGHTED)
def check_weights_and_mean():
    for shape, w_shape, a_shape in [((4, 3), (4, 1), (3,)), ((2, 3, 5, 5), (2, 1, 1, 1), (3, 1, 1)), ((6,), (6,), ())]:
        z, y = random_case(shape)
        w, a = torch.rand(w_shape, dtype=torch.float64) + 0.1, torch.rand(a_shape, dtype=torch.float64) * 4
        ours = left_form(z.numpy(), y.numpy(), w.numpy(), a.numpy())
        np.testing.assert_allclose(
            ours, bce_logits(z, y, weight=w, pos_weight=a, reduction="none").numpy(), rtol=1e-8, atol=1e-10
        )
        np.testing.assert_allclose(ours.sum() / z.numel(), bce_logits(z, y, weight=w, pos_weight=a).item(), rtol=1e-9)


@formula(GRADIENT)
def check_gradient():
    for shape in [(1,), (5, 4)]:
        z, y = random_case(shape)
        z.requires_grad_()
        bce_logits(z, y, reduction="sum").backward()
        np.testing.assert_allclose(sigma(z.detach().numpy()) - y.numpy(), z.grad.numpy(), rtol=1e-9, atol=1e-12)


@holds("Input", "Target", "Output", "Range", "Defaults", "Same in train and eval?")
def check_contract():
    loss = nn.BCEWithLogitsLoss()
    assert (loss.weight, loss.pos_weight, loss.reduction) == (None, None, "mean")
    assert (nn.BCELoss().weight, nn.BCELoss().reduction) == (None, "mean")
    z, y = torch.randn(2, 3, 4), torch.rand(2, 3, 4)
    assert loss(z, y).shape == () and bce_logits(z, y, reduction="none").shape == z.shape
    assert torch.allclose(loss(z, y), bce_logits(z, y, reduction="none").sum() / 24)
    assert torch.equal(loss.train()(z, y), loss.eval()(z, y))
    assert nn.BCELoss()(z.sigmoid(), y).shape == ()
    assert F.binary_cross_entropy(z.sigmoid(), y, reduction="none").shape == z.shape
    for bad in (y[:1], (y > 0.5).long()):
        raises((RuntimeError, ValueError), lambda: loss(z, bad))
    raises(RuntimeError, lambda: nn.BCELoss()(z.sigmoid(), y.double()), "Found dtype Double but expected Float")
    assert torch.allclose(loss(z, y.double()).float(), loss(z, y))
    raises(TypeError, lambda: nn.BCELoss(pos_weight=torch.ones(4)))
    far = torch.tensor([900.0])
    assert bce_logits(far, torch.zeros(1)) == 900 and bce_logits(far, torch.ones(1)) == 0
    assert F.binary_cross_entropy(torch.zeros(9), torch.rand(9), reduction="none").max() <= 100
    assert F.binary_cross_entropy(torch.zeros(1), torch.ones(1), weight=torch.tensor([3.0])) == 300
    stated("100", F.binary_cross_entropy(torch.zeros(1), torch.ones(1)))
    for bad in (2.0, -0.5):
        raises(
            (RuntimeError, ValueError, TypeError),
            lambda: F.binary_cross_entropy(torch.tensor([bad]), torch.ones(1)),
            "between 0 and 1",
        )


@check
def check_by_hand():
    z, y = torch.tensor([2.0, -1.0]), torch.tensor([1.0, 0.0])
    stated("0.8808", z.sigmoid()[0])
    stated("0.7311", 1 - z.sigmoid()[1])
    each = bce_logits(z, y, reduction="none")
    stated("0.1269", each[0])
    stated("0.3133", each[1])
    stated("0.2201", each.mean())
    stated("0.3470", bce_logits(z, y, pos_weight=torch.tensor(3.0)))


@pitfall("The loss of a confident mistake is exactly 100 and nothing is learned")
def check_sigmoid_then_bce_loses_the_gradient():
    def step(x, y, fused):
        z = torch.tensor([x], requires_grad=True)
        loss = bce_logits(z, torch.tensor([y])) if fused else F.binary_cross_entropy(z.sigmoid(), torch.tensor([y]))
        loss.backward()
        return loss.item(), z.grad.item()

    assert step(20.0, 0.0, True) == (20.0, 1.0) and step(20.0, 0.0, False) == (100.0, 0.0)
    assert torch.tensor(20.0).sigmoid() == 1
    grid = torch.linspace(10, 20, 1001)
    first = grid[grid.sigmoid() == 1][0].item()
    assert 16.5 < first < 17.0, first
    stated("17", round(first))
    assert step(15.0, 0.0, False)[1] > 0.9 and step(-104.0, 1.0, False)[1] == 0
    for fused in (True, False):
        w = nn.Parameter(torch.tensor([20.0]))
        optimizer = torch.optim.SGD([w], 1.0)
        for _ in range(40):
            optimizer.zero_grad()
            (bce_logits(w, torch.zeros(1)) if fused else F.binary_cross_entropy(w.sigmoid(), torch.zeros(1))).backward()
            optimizer.step()
        assert w.item() < -1 if fused else w.item() == 20
    z = torch.linspace(-30, 30, 61)
    assert torch.equal(z > 0, z.sigmoid() > 0.5)
    assert (torch.func.vmap(torch.func.grad(bce_logits))(z, torch.zeros(61)).abs() <= 1).all()


@pitfall("The loss of positives stays above 0.31, that of negatives above 0.69")
def check_sigmoid_twice():
    p = torch.rand(1000, dtype=torch.float64)
    for text, short, y, best in [("0.3133", "0.31", 1.0, 1.0), ("0.6931", "0.69", 0.0, 0.0)]:
        floor = bce_logits(torch.tensor(best), torch.tensor(y)).item()
        stated(text, floor)
        stated(short, floor)
        assert bce_logits(p, torch.full_like(p, y), reduction="none").min() >= floor - 1e-6
        assert bce_logits(torch.tensor(20 * (2 * y - 1)), torch.tensor(y)) < 1e-6


@pitfall('"The size of tensor a (3) must match the size of tensor b (8)" with `pos_weight`')
def check_weights_broadcast_from_the_last_axis():
    z, y = torch.zeros(4, 3, 8, 8), torch.ones(4, 3, 8, 8)
    a = torch.tensor([1.0, 2.0, 3.0])
    raises(
        (RuntimeError, ValueError, TypeError),
        lambda: bce_logits(z, y, pos_weight=a),
        "The size of tensor a (3) must match the size of tensor b (8)",
    )
    per_class = bce_logits(z, y, pos_weight=a.view(3, 1, 1), reduction="none").mean((0, 2, 3))
    assert torch.allclose(per_class, a * math.log(2))
    narrow = bce_logits(z[..., :3], y[..., :3], pos_weight=a, reduction="none").mean((0, 1, 2))
    assert torch.allclose(narrow, a * math.log(2))
    z, y, w = torch.zeros(4, 5), torch.zeros(4, 5), torch.rand(4)
    raises((RuntimeError, ValueError, TypeError), lambda: bce_logits(z, y, weight=w), "must match")
    per_sample = bce_logits(z, y, weight=w.view(4, 1), reduction="none").mean(1)
    assert torch.allclose(per_sample, w * math.log(2))


@pitfall('"result type Float can\'t be cast to the desired output type Long", or a target size error')
def check_targets_are_float_and_of_the_same_shape():
    loss, logits, labels = nn.BCEWithLogitsLoss(), torch.randn(4, 1), torch.tensor([0, 1, 1, 0])
    raises(
        (RuntimeError, ValueError, TypeError),
        lambda: loss(logits.squeeze(1), labels),
        "result type Float can't be cast to the desired output type Long",
    )
    raises(
        (RuntimeError, ValueError, TypeError), lambda: loss(logits, labels.float()), "must be the same as input size"
    )
    assert loss(logits.squeeze(1), labels.float()).shape == ()


@pitfall("After training with `pos_weight` the probabilities are too high")
def check_pos_weight_shifts_the_optimum():
    rate, a = 0.25, 3.0
    z = torch.linspace(-3, 3, 60001, dtype=torch.float64)
    mean = rate * bce_logits(z, torch.ones_like(z), pos_weight=torch.tensor(a, dtype=torch.float64), reduction="none")
    mean = mean + (1 - rate) * bce_logits(z, torch.zeros_like(z), reduction="none")
    best = z[mean.argmin()]
    stated("0.25", rate)
    assert abs(best.sigmoid().item() - 0.5) < 1e-3
    assert abs((best - math.log(a)).sigmoid().item() - rate) < 1e-3
    x = torch.randn(4000, dtype=torch.float64)
    labels = torch.bernoulli((1.5 * x - 1.5).sigmoid())
    w, b = (torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.LBFGS([w, b], max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = bce_logits(w * x[:2000] + b, labels[:2000], pos_weight=torch.tensor(a, dtype=torch.float64))
        loss.backward()
        return loss

    optimizer.step(closure)
    logits, truth = (w * x + b).detach(), labels[2000:]
    assert logits[2000:].sigmoid().mean() > truth.mean() + 0.1
    assert abs((logits[2000:] - math.log(a)).sigmoid().mean() - truth.mean()) < 0.03
    accuracy = lambda threshold, part: (
        ((logits[part].sigmoid() > threshold) == labels[part].bool()).double().mean().item()
    )
    chosen = max(np.linspace(0.05, 0.95, 91), key=lambda threshold: accuracy(threshold, slice(2000, 3000)))
    assert accuracy(chosen, slice(3000, 4000)) > accuracy(0.5, slice(3000, 4000)) + 0.02


@check
def check_penalized_model_of_the_digit_8():
    """With an L2 penalty the logits are shifted by less than ln(pos_weight): subtracting it gives too low probabilities."""
    pixels, classes = handwritten_digits()
    x, y = pixels - pixels.mean(0), (classes == 8).float()
    train, held_out = torch.randperm(1797).split([900, 897])
    layer, a = nn.Linear(64, 1), torch.tensor(9.0)

    def loss():
        data = bce_logits(layer(x[train])[:, 0], y[train], pos_weight=a)
        return data + 0.1 * layer.weight.square().sum()

    descend(torch.optim.Adam(layer.parameters(), 0.03), loss, 200)
    z, rate = layer(x[held_out])[:, 0].detach(), y[held_out].mean()
    assert z.sigmoid().mean() > 2 * rate and (z - a.log()).sigmoid().mean() < 0.87 * rate


@holds("`BCEWithLogitsLoss`", "`BCELoss`")
def check_both_losses_on_labels_and_masks():
    for shape in ((8,), (8, 3), (2, 1, 5, 5)):
        z, y = torch.randn(shape), torch.randint(2, shape).float()
        assert torch.allclose(nn.BCEWithLogitsLoss()(z, y), nn.BCELoss()(z.sigmoid(), y), atol=1e-6)


@holds(
    "`MultiLabelSoftMarginLoss`",
    "One logit with BCE or two with cross-entropy?",
    "How is `pos_weight` chosen?",
    "What loss should an untrained model show?",
    "Is the loss zero for a perfect prediction of a soft label?",
)
def check_siblings_and_questions():
    z, y = torch.randn(5, 4), torch.randint(2, (5, 4)).float()
    assert torch.allclose(nn.MultiLabelSoftMarginLoss()(z, y), bce_logits(z, y))
    per_sample = nn.MultiLabelSoftMarginLoss(reduction="none")(z, y)
    assert torch.allclose(per_sample, bce_logits(z, y, reduction="none").mean(1)) and per_sample.shape == (5,)
    two, label = torch.randn(9, 2), torch.randint(2, (9,))
    assert torch.allclose(F.cross_entropy(two, label), bce_logits(two[:, 1] - two[:, 0], label.float()))
    stated("3", 300 / 100)
    labels = torch.cat([torch.ones(100), torch.zeros(300)])
    each = bce_logits(torch.zeros(400), labels, pos_weight=torch.tensor(3.0), reduction="none")
    assert math.isclose(each[:100].sum(), each[100:].sum(), rel_tol=1e-5)
    stated("0.6931", bce_logits(torch.zeros(100), torch.rand(100).round()))
    assert (
        bce_logits(torch.zeros(2), torch.tensor([1.0, 0.0]), pos_weight=torch.tensor(3.0)) > 1.3
    )  # with weights: not ln 2
    rare = torch.zeros(100)
    rare[0] = 1
    stated("−4.5951", math.log(0.01 / 0.99))
    stated("0.0560", bce_logits(torch.full((100,), math.log(0.01 / 0.99)), rare))
    z = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    soft = bce_logits(z, torch.full_like(z, 0.7), reduction="none")
    assert abs(z[soft.argmin()].sigmoid() - 0.7) < 1e-3
    stated("0.6109", soft.min())
    stated("0.6109", -0.7 * math.log(0.7) - 0.3 * math.log(0.3))
