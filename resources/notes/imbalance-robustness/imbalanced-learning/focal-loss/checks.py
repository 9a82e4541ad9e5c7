import math

import numpy as np
import torch
from torch.nn import functional as F
from sklearn.metrics import average_precision_score
from torch import nn
from torchvision.models.detection.retinanet import RetinaNetClassificationHead
from torchvision.ops import sigmoid_focal_loss

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, sourced, stated

PARTS = r"""
p = \sigma(z), \qquad
p_t = \begin{cases} p & y = 1 \\ 1 - p & y = 0 \end{cases}, \qquad
\alpha_t = \begin{cases} \alpha & y = 1 \\ 1 - \alpha & y = 0 \end{cases}
"""
LOSS = r"\ell = -\alpha_t (1 - p_t)^{\gamma} \log p_t"
GRADIENT = r"""
\frac{\partial \ell}{\partial z} = (2y - 1) \, \alpha_t (1 - p_t)^{\gamma} \left( \gamma \, p_t \log p_t + p_t - 1 \right)
"""
CASES = [((1,), 0.25, 2.0), ((9,), -1, 2.0), ((3, 4), 0.75, 0.5), ((2, 3, 5), 0.0, 5.0), ((2, 3, 5), 1.0, 0.0)]


by_definition("Same in train and eval?", "Class-balanced loss")
sourced("Shrivastava et al. 2016, Training region-based object detectors with OHEM, abstract (Fast R-CNN)", "OHEM")
sourced("Li, Liu, Wang 2019, Gradient harmonized single-stage detector, abstract and section 3", "GHM")
sourced("torchvision issue #8519", "Is the minus sign missing in torchvision's code?")
sourced(
    "Mukhoti et al. 2020, Calibrating deep neural networks using focal loss, abstract",
    "Can its probabilities be trusted?",
)
sourced(
    "Lin et al. 2017, section 4.1 and table 1: gamma = 2 works best, robust in [0.5, 5]",
    "Which $\\gamma$ should one take?",
)


def parts(z, y, alpha):
    p = 1 / (1 + np.exp(-z))
    p_t = np.where(y == 1, p, 1 - p)
    alpha_t = np.ones_like(p) if alpha == -1 else np.where(y == 1, alpha, 1 - alpha)
    return p_t, alpha_t


def random_case(shape):
    return torch.randn(shape, dtype=torch.float64) * 3, torch.randint(2, shape).double()


def at(p_t, y=1.0, **options):
    """Focal loss of the library for one output that gives the true answer the probability p_t."""
    z = math.log(p_t / (1 - p_t)) * (2 * y - 1)
    return sigmoid_focal_loss(
        torch.tensor(z, dtype=torch.float64), torch.tensor(y, dtype=torch.float64), **options
    ).item()


@formula(PARTS, LOSS)
@holds("Range", "Is the minus sign missing in torchvision's code?")
def check_loss():
    for shape, alpha, gamma in CASES:
        z, y = random_case(shape)
        p_t, alpha_t = parts(z.numpy(), y.numpy(), alpha)
        ours = -alpha_t * (1 - p_t) ** gamma * np.log(p_t)
        np.testing.assert_allclose(ours, sigmoid_focal_loss(z, y, alpha, gamma).numpy(), rtol=1e-8, atol=1e-12)
        bce = F.binary_cross_entropy_with_logits(z, y, reduction="none").numpy()
        assert (ours <= bce + 1e-12).all() and (ours >= 0).all()
    z, y = random_case((50,))
    assert torch.allclose(
        sigmoid_focal_loss(z, y, alpha=-1, gamma=0), F.binary_cross_entropy_with_logits(z, y, reduction="none")
    )


@formula(GRADIENT)
def check_gradient():
    for shape, alpha, gamma in CASES:
        z, y = random_case(shape)
        z.requires_grad_()
        sigmoid_focal_loss(z, y, alpha, gamma, reduction="sum").backward()
        p_t, alpha_t = parts(z.detach().numpy(), y.numpy(), alpha)
        ours = (2 * y.numpy() - 1) * alpha_t * (1 - p_t) ** gamma * (gamma * p_t * np.log(p_t) + p_t - 1)
        np.testing.assert_allclose(ours, z.grad.numpy(), rtol=1e-7, atol=1e-12)


@holds("Input", "Target", "Output", "Parameters")
def check_contract():
    z, y = torch.randn(3, 4), torch.randint(2, (3, 4)).float()
    assert torch.equal(sigmoid_focal_loss(z, y), sigmoid_focal_loss(z, y, alpha=0.25, gamma=2, reduction="none"))
    assert sigmoid_focal_loss(z, y).shape == z.shape and sigmoid_focal_loss(z, y, reduction="mean").shape == ()
    for alpha in (1.5, -0.5):
        raises(ValueError, lambda: sigmoid_focal_loss(z, y, alpha=alpha), "alpha")
    raises(ValueError, lambda: sigmoid_focal_loss(z, y[0]))
    raises((RuntimeError, TypeError), lambda: sigmoid_focal_loss(z.long(), y))
    assert sigmoid_focal_loss(z, y, reduction="sum").shape == () and sigmoid_focal_loss(z[0, 0], y[0, 0]).shape == ()


@check
def check_by_hand():
    stated("0.0001", at(0.99, 0.0, alpha=-1) / -math.log(0.99))
    stated("0.81", at(0.1, alpha=-1) / -math.log(0.1))
    stated("2.3026", -math.log(0.1))
    stated("1.8651", at(0.1, alpha=-1))
    stated("0.0100503", -math.log(0.99))
    entropy, focal = 1e5 * -math.log(0.99), 1e5 * at(0.99, 0.0, alpha=-1)
    stated("1,005.03", entropy)
    stated("0.1005", focal)
    stated("436", entropy / -math.log(0.1))
    stated("18.6", at(0.1, alpha=-1) / focal)
    stated("0.1054", -math.log(0.9))
    stated("0.001054", at(0.9, alpha=-1))
    assert math.isclose(at(0.9, alpha=-1), -math.log(0.9) / 100)
    assert math.isclose(at(0.5, alpha=-1, gamma=5), math.log(2) / 32)


def detector_data(count, positives, shift=3.0):
    y = torch.zeros(count, 1)
    y[:positives] = 1
    return torch.randn(count, 8) + shift * y * torch.tensor([1.0] * 2 + [0.0] * 6), y


@pitfall("α = 0.25 was meant to help the rare class, but recall drops")
def check_alpha_weights_the_positives():
    x, y = detector_data(2000, 100, shift=1.0)
    recalls = []
    for alpha in (0.25, -1, 0.75):
        layer = nn.Linear(8, 1)
        optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100)

        def closure():
            optimizer.zero_grad()
            loss = sigmoid_focal_loss(layer(x), y, alpha=alpha, reduction="mean")
            loss.backward()
            return loss

        optimizer.step(closure)
        recalls.append((layer(x)[:100] > 0).float().mean().item())
    assert recalls[0] < recalls[1] - 0.03 < recalls[1] < recalls[2] - 0.1, recalls
    stated("0.25", at(0.3, 1.0) / at(0.3, 1.0, alpha=-1))
    stated("0.75", at(0.3, 0.0) / at(0.3, 0.0, alpha=-1))


@pitfall("Training diverges or stalls in the first iterations")
def check_prior_bias_at_the_start():
    x, y = detector_data(8000, 8)
    for prior, learns in ((0.5, False), (0.01, True)):
        net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
        nn.init.normal_(net[2].weight, std=0.01)
        nn.init.constant_(net[2].bias, -math.log((1 - prior) / prior))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
        losses = []
        for _ in range(60):
            loss = sigmoid_focal_loss(net(x), y, reduction="sum") / 8
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        precision = average_precision_score(y.ravel(), net(x).detach().ravel())
        assert (
            (losses[-1] < 0.4 and precision > 0.6)
            if learns
            else (losses[0] > 100 and losses[-1] > 2 and precision < 0.2)
        )


@check
def check_start_and_normalisation():
    each = at(0.5, 0.0)
    stated("0.1300", each)
    stated("12,997", 1e5 * each)
    stated("−4.5951", -math.log((1 - 0.01) / 0.01))
    stated("0.0754", 1e5 * at(0.99, 0.0))
    head = RetinaNetClassificationHead(8, 9, 5)
    assert torch.allclose(head.cls_logits.bias, torch.tensor(-4.59512), atol=1e-4)
    logits = torch.randn(1, 9, 5)
    matched = torch.tensor([0, 0, -1, -1, -1, -1, -1, -1, -1])
    target = torch.zeros(1, 9, 5)
    target[0, :2, 3] = 1
    library = head.compute_loss([{"labels": torch.tensor([3])}], {"cls_logits": logits}, [matched])
    assert torch.allclose(library, sigmoid_focal_loss(logits, target, reduction="sum") / 2)


@pitfall("A weighted softmax version focuses on the wrong samples")
def check_weighted_softmax_version():
    """An easy sample of the heavy class against a harder one of weight 1."""
    logits, labels, weight = (
        torch.tensor([[math.log(9.0), 0.0], [0.0, math.log(0.7 / 0.3)]]),
        torch.tensor([0, 1]),
        torch.tensor([4.0, 1.0]),
    )
    ce = F.cross_entropy(logits, labels, reduction="none")
    weighted = F.cross_entropy(logits, labels, weight=weight, reduction="none")
    assert torch.allclose(torch.exp(-ce), torch.tensor([0.9, 0.7])) and abs(torch.exp(-weighted)[0] - 0.6561) < 1e-4
    broken, cured = (1 - torch.exp(-weighted)) ** 2 * weighted, weight[labels] * (1 - torch.exp(-ce)) ** 2 * ce
    assert broken[0] > broken[1] and cured[0] < cured[1] / 5
    logits, labels, weight = torch.randn(4, 3, 5, requires_grad=True), torch.randint(3, (4, 5)), torch.rand(3) + 1
    ignored = torch.rand(4, 5) < 0.3
    ce = F.cross_entropy(logits, labels.where(~ignored, torch.tensor(-100)), reduction="none")
    loss = weight[labels.where(~ignored, torch.tensor(-100)).clamp(min=0)] * (1 - torch.exp(-ce)) ** 2 * ce
    kept = F.cross_entropy(logits, labels, reduction="none")
    assert (loss[ignored] == 0).all()
    assert torch.allclose(loss[~ignored], (weight[labels] * (1 - torch.exp(-kept)) ** 2 * kept)[~ignored])
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient.isfinite().all() and (gradient.movedim(1, -1)[ignored] == 0).all()
    wrong = math.exp(-4 * -math.log(0.9))
    stated("0.6561", wrong)
    stated("0.1183", (1 - wrong) ** 2)
    stated("0.01", (1 - 0.9) ** 2)


@pitfall("NaN gradients with `gamma` between 0 and 1")
def check_small_gamma_is_nan():
    def gradient(x, gamma, clamped=False):
        z = torch.tensor([x], requires_grad=True)
        ce = F.binary_cross_entropy_with_logits(z, torch.ones(1))
        loss = (
            (1 - z.sigmoid()).clamp(min=1e-6) ** gamma * ce
            if clamped
            else sigmoid_focal_loss(z, torch.ones(1), -1, gamma)
        )
        loss.backward()
        return z.grad.item()

    assert math.isnan(gradient(20.0, 0.5)) and math.isfinite(gradient(20.0, 0.5, clamped=True))
    assert all(
        math.isfinite(gradient(x, gamma)) for x in (-50.0, 5.0, 20.0, 80.0) for gamma in (0.0, 1.0, 1.5, 2.0, 5.0)
    )
    for gamma, bad in ((0.5, True), (1.5, True), (1.0, False), (2.0, False)):
        ce = torch.tensor(-1e-7, requires_grad=True)  # rounded below 0
        ((1 - torch.exp(-ce)) ** gamma * ce).backward()
        assert math.isnan(ce.grad.item()) == bad
        ce.grad = None
        ((1 - torch.exp(-ce)).clamp(min=1e-6) ** gamma * ce).backward()
        assert math.isfinite(ce.grad.item())


@pitfall("The loss is tiny and the model hardly learns")
def check_mean_is_a_small_step_for_sgd_and_none_for_adam():
    x, target = detector_data(5000, 20)
    for kind, by_mean, rate in (
        (torch.optim.SGD, True, 0.5),
        (torch.optim.SGD, False, 0.5),
        (torch.optim.Adam, True, 0.1),
    ):
        layer = nn.Linear(8, 1)
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, -4.5951)
        optimizer = kind(layer.parameters(), lr=rate)
        for step in range(100):
            loss = sigmoid_focal_loss(layer(x), target, reduction="sum") / (5000 if by_mean else 20)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        moved = layer.weight.norm().item()
        assert (loss < 0.01 and moved < 0.3) if kind is torch.optim.SGD and by_mean else moved > 1, (
            kind,
            by_mean,
            loss,
            moved,
        )
    assert torch.equal(
        sigmoid_focal_loss(layer(x), target, reduction="mean"), sigmoid_focal_loss(layer(x), target).mean()
    )
    z, y = torch.zeros(1000), (torch.arange(1000) < 2).float()
    for kind, much in ((torch.optim.SGD, True), (torch.optim.Adam, False)):
        steps = []
        for scale in (1 / 1000, 1 / 2):
            w = torch.zeros(1, requires_grad=True)
            optimizer = kind([w], lr=0.1)
            (sigmoid_focal_loss(z + w, y, reduction="sum") * scale).backward()
            optimizer.step()
            steps.append(abs(w.item()))
        assert (steps[1] > 100 * steps[0]) == much


@holds("Does focal loss raise the weight of hard examples?")
def check_gradient_of_hard_examples_exceeds_cross_entropy():
    z = torch.linspace(-6, 6, 2401, dtype=torch.float64, requires_grad=True)
    sigmoid_focal_loss(z, torch.ones_like(z), alpha=-1, reduction="sum").backward()
    p = z.detach().sigmoid()
    larger = z.grad.abs() > 1 - p
    crossing = p[larger].max().item()
    factor = sigmoid_focal_loss(z, torch.ones_like(z), alpha=-1) / F.softplus(-z)
    assert (factor <= 1).all()
    assert larger[p < crossing].all() and abs(crossing - 0.3) < 0.005, crossing


@holds("Can its probabilities be trusted?")
def check_minimum_is_not_the_true_probability():
    p = torch.linspace(0.0005, 0.9995, 20001, dtype=torch.float64)
    z = p.logit()
    for truth in (0.9, 0.2, 0.6):
        expected = truth * sigmoid_focal_loss(z, torch.ones_like(z), -1) + (1 - truth) * sigmoid_focal_loss(
            z, torch.zeros_like(z), -1
        )
        best = p[expected.argmin()].item()
        assert abs(best - 0.5) < abs(truth - 0.5) and (best > 0.5) == (truth > 0.5)
        if truth == 0.9:
            stated("0.694", best)
            positive, negative = sigmoid_focal_loss(z, torch.ones_like(z)), sigmoid_focal_loss(z, torch.zeros_like(z))
            weighted = truth * positive + (1 - truth) * negative
            stated("0.601", p[weighted.argmin()].item())


@holds("Focal loss", "Which $\\gamma$ should one take?")
def check_focus_narrows():
    figure_of(__file__).focus()  # asserts the totals of 100,000 easy and 100 hard ones
    assert math.isclose(at(0.5, alpha=-1, gamma=5) / math.log(2), 1 / 32)
    factors = np.array([at(0.7, alpha=-1, gamma=g) / -math.log(0.7) for g in (0, 0.5, 1, 2, 5)])
    assert (np.diff(factors) < 0).all()
    z, y = torch.zeros(3), torch.ones(3)
    assert torch.equal(sigmoid_focal_loss(z, y), sigmoid_focal_loss(z, y, gamma=2))


@holds("BCE with `pos_weight`")
def check_pos_weight_shifts_the_logit():
    p, weight = torch.tensor([0.1, 0.3, 0.8], dtype=torch.float64), 5.0
    z = (p.logit() + math.log(weight)).requires_grad_()
    bce = lambda z, y, w: F.binary_cross_entropy_with_logits(z, y, pos_weight=torch.tensor(w), reduction="none")
    each = [bce(z, torch.full_like(z, y), weight) for y in (1.0, 0.0)]
    (gradient,) = torch.autograd.grad((p * each[0] + (1 - p) * each[1]).sum(), z)
    assert gradient.abs().max() < 1e-12  # the optimum; shifted back, it is p
    easy = torch.tensor([3.0])
    ratio = bce(easy, torch.ones(1), weight) / bce(easy, torch.ones(1), 1.0)
    assert math.isclose(ratio.item(), weight, rel_tol=1e-5)


@holds("What happens to wrong labels?")
def check_wrong_labels_keep_their_factor():
    x = torch.randn(2000, 10)
    truth = (x[:, 0] > 0).float()
    wrong = torch.arange(2000) < 200
    y = torch.where(wrong, 1 - truth, truth)
    layer = nn.Linear(10, 1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        sigmoid_focal_loss(layer(x)[:, 0], y, alpha=-1, reduction="mean").backward()
        optimizer.step()
    z = layer(x)[:, 0].detach()
    ce, focal = F.binary_cross_entropy_with_logits(z, y, reduction="none"), sigmoid_focal_loss(z, y, alpha=-1)
    factor = focal / ce
    assert factor[wrong].mean() > 2 * factor[~wrong].mean()
    assert focal[wrong].sum() / focal.sum() > ce[wrong].sum() / ce.sum() + 0.1
