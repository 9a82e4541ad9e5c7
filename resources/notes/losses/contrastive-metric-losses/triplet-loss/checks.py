import inspect
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

LOSS = r"""
\ell = \max\left(0, \; d(a, p) - d(a, n) + m\right), \qquad d(x, y) = \lVert x - y + \varepsilon \rVert_2
"""
GRADIENT = r"""
\frac{\partial \ell}{\partial p} = \frac{p - a}{\lVert p - a \rVert_2}, \qquad
\frac{\partial \ell}{\partial n} = -\frac{n - a}{\lVert n - a \rVert_2}, \qquad
\frac{\partial \ell}{\partial a} = -\frac{\partial \ell}{\partial p} - \frac{\partial \ell}{\partial n}
"""

by_definition("Triplet", "Contrastive", "InfoNCE", "AM-Softmax")
sourced("FaceNet, arXiv 1503.03832, section 3.2", "Why can the hardest negatives hurt?")


def distance(x, y, eps):
    return np.sqrt(((x - y + eps) ** 2).sum(-1))


def triplets(shape):
    return tuple(torch.randn(shape, dtype=torch.float64) for _ in range(3))


@formula(LOSS)
def check_loss():
    for shape in ((4,), (1, 3), (9, 5), (50, 2)):
        a, p, n = triplets(shape)
        for margin, eps in ((1.0, 1e-6), (0.2, 0.3), (3.0, 1e-6)):
            x, y, z = a.numpy(), p.numpy(), n.numpy()
            ours = np.maximum(0, distance(x, y, eps) - distance(x, z, eps) + margin)
            library = F.triplet_margin_loss(a, p, n, margin=margin, eps=eps, reduction="none").numpy()
            np.testing.assert_allclose(ours, library, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(
                ours.mean(), nn.TripletMarginLoss(margin=margin, eps=eps)(a, p, n).item(), rtol=1e-10
            )
            nearest = np.minimum(distance(x, z, eps), distance(y, z, eps))
            swapped = np.maximum(0, distance(x, y, eps) - nearest + margin)
            library = F.triplet_margin_loss(a, p, n, margin=margin, eps=eps, swap=True, reduction="none").numpy()
            np.testing.assert_allclose(swapped, library, rtol=1e-10, atol=1e-12)


@formula(GRADIENT)
def check_gradient():
    active = 0
    for _ in range(20):
        a, p, n = (t.requires_grad_() for t in triplets((1, 4)))
        loss = F.triplet_margin_loss(a, p, n, eps=0.0, margin=1.5)
        loss.backward()
        to_p, to_n = (p - a).detach(), (n - a).detach()
        on = float(loss > 0)
        active += on
        gp, gn = on * to_p / to_p.norm(), -on * to_n / to_n.norm()
        for ours, library in ((gp, p.grad), (gn, n.grad), (-gp - gn, a.grad)):
            np.testing.assert_allclose(ours.numpy(), library.numpy(), atol=1e-10)
    assert 0 < active


@holds("Input", "Output", "Defaults", "Range", "Same in train and eval?")
def check_contract():
    s = inspect.signature(nn.TripletMarginLoss).parameters
    assert (
        s["margin"].default == 1.0 and s["p"].default == 2.0 and s["eps"].default == 1e-6 and s["swap"].default is False
    )
    raises(ValueError, lambda: nn.TripletMarginLoss(margin=0.0), "margin")
    x = torch.randn(5, 3)
    assert torch.allclose(F.triplet_margin_loss(x, x, x, margin=0.7), torch.tensor(0.7))
    assert F.triplet_margin_loss(x[0], x[0], x[0], reduction="none").shape == ()
    whole = torch.arange(12).reshape(4, 3)
    assert F.triplet_margin_loss(whole, whole, whole + 9, reduction="none").shape == (4,)
    a, p, n = triplets((50, 3))
    each = F.triplet_margin_loss(a, p, n, reduction="none")
    assert (
        each.shape == (50,) and each.min() == 0 < (each > 0).sum() and F.triplet_margin_loss(a, p, n) == each.sum() / 50
    )
    module = nn.TripletMarginLoss()
    assert module.train()(a, p, n) == module.eval()(a, p, n)


@check
def check_by_hand():
    a, p, n = (
        torch.tensor([[0.0, 0.0]]).double(),
        torch.tensor([[3.0, 4.0]]).double(),
        torch.tensor([[6.0, 0.0]]).double(),
    )
    for margin, swap, expected in ((1.0, False, 0), (2.0, False, 1), (2.0, True, 2)):
        assert abs(F.triplet_margin_loss(a, p, n, margin=margin, swap=swap).item() - expected) < 1e-5
    assert abs(F.pairwise_distance(a, p).item() - 5) < 1e-5 and abs(F.pairwise_distance(p, n).item() - 5) < 1e-5


@pitfall("NaN gradients from a distance matrix of your own")
def check_distance_matrix_gradients():
    x = torch.randn(4, 3)
    x[1] = x[0]
    own, library = x.clone().requires_grad_(), x.clone().requires_grad_()
    ((own[:, None] - own[None]) ** 2).sum(-1).sqrt().sum().backward()
    assert torch.isnan(own.grad).any()
    torch.cdist(library, library).sum().backward()
    assert torch.isfinite(library.grad).all()
    for rows, exact in ((25, True), (60, False)):
        many = torch.randn(rows, 8)
        many[1] = many[0]
        many.requires_grad_()
        distances = torch.cdist(many, many)
        distances.sum().backward()
        assert torch.isfinite(many.grad).all() and bool((distances.diagonal() == 0).all()) is exact
        assert distances.diagonal().max() < 0.01
    alone = torch.zeros(1, 3, requires_grad=True)
    torch.cdist(alone, torch.zeros(1, 3)).sum().backward()
    assert torch.equal(alone.grad, torch.zeros(1, 3))
    safe = x.clone().requires_grad_()
    ((safe[:, None] - safe[None]) ** 2).sum(-1).clamp(min=1e-12).sqrt().sum().backward()
    assert torch.isfinite(safe.grad).all()


@pitfall("A margin from a paper does not fit")
def check_scale_and_unit_sphere():
    a, p, n = (F.normalize(t, dim=1) for t in triplets((500, 3)))
    assert max(F.pairwise_distance(a, p).max(), F.pairwise_distance(a, n).max()) <= 2 + 1e-5
    a, p, n = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[1.1, 0.0]])
    assert F.triplet_margin_loss(a, p, n) > 0 and F.triplet_margin_loss(20 * a, 20 * p, 20 * n) == 0
    squared = nn.TripletMarginWithDistanceLoss(distance_function=lambda x, y: ((x - y) ** 2).sum(-1), margin=0.2)
    assert abs(squared(a, p, n).item() - max(0.0, 1 - 1.21 + 0.2)) < 1e-6
    a, p, n = (torch.tensor([[0.0, 1.0]]) + torch.tensor([[x, 0.0]]) for x in (0.0, 0.3, 0.4))
    assert squared(a, p, n) > 0 and squared(20 * a, 20 * p, 20 * n) == 0  # the paper's distance alone does not help
    on_sphere = [squared(*(F.normalize(scale * t) for t in (a, p, n))).item() for scale in (1, 20)]
    assert on_sphere[0] > 0.1 and abs(on_sphere[0] - on_sphere[1]) < 1e-5


@holds("Why not use all triplets?")
def check_number_of_triplets():
    labels = np.repeat(np.arange(18), 4)
    count = sum(((labels == label).sum() - 1) * (labels != label).sum() for label in labels)
    stated("14,688", count)
    shares = figure_of(__file__).active_shares()
    assert shares[0] > 0.7 and shares[-1] < 0.5  # most random triplets become easy


@holds("What does the soft margin change?")
def check_soft_margin():
    a, n = torch.zeros(1, 3), torch.full((1, 3), 3.0)
    p = torch.ones(1, 3, requires_grad=True)
    soft = F.softplus(F.pairwise_distance(a, p) - F.pairwise_distance(a, n))
    soft.backward()
    assert F.triplet_margin_loss(a, p, n) == 0 < p.grad.norm() < 0.1
    stated("0.6931", math.log(1 + math.exp(0)))


@holds("Why is the gradient zero for easy triplets?")
def check_easy_gradient():
    a, p, n = (
        torch.zeros(1, 3, requires_grad=True),
        torch.ones(1, 3, requires_grad=True),
        torch.full((1, 3), 9.0, requires_grad=True),
    )
    F.triplet_margin_loss(a, p, n).backward()
    assert all(torch.equal(x.grad, torch.zeros(1, 3)) for x in (a, p, n))


@check
def check_lengths_of_the_gradients():
    a, p, n = (t.requires_grad_() for t in triplets((4, 3)))
    F.triplet_margin_loss(a, p, n, eps=0.0, margin=100.0).backward()
    for gradient in (p.grad, n.grad):
        assert torch.allclose(4 * gradient.norm(dim=1), torch.ones(4, dtype=torch.float64))
    assert not torch.allclose(4 * a.grad.norm(dim=1), torch.ones(4, dtype=torch.float64), atol=1e-3)


def small_network():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))


def trained_on_digits(rate, hardest, steps=60, network=None, normalize=False):
    """A small network's last triplets, mined in the batch: the loss of each anchor with margin 1, and all distances."""
    pixels, classes = handwritten_digits()
    network = network or small_network()
    optimizer = torch.optim.SGD(network.parameters(), rate)
    for _ in range(steps):
        batch = torch.randperm(len(pixels))[:96]
        x, same = network(pixels[batch]), classes[batch][:, None] == classes[batch][None]
        x = F.normalize(x) if normalize else x
        d = torch.cdist(x, x)
        positive = (d * same).max(1).values
        too_near = same if hardest else same | (d <= positive[:, None])
        negative = d.masked_fill(too_near, torch.inf).min(1).values
        negative = torch.where(negative.isinf(), d.masked_fill(same, 0).max(1).values, negative)
        losses = F.relu(positive - negative + 1)
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    return losses.detach(), d.detach()


@pitfall("The loss sticks at exactly the margin")
def check_collapse():
    losses, distances = trained_on_digits(rate=3.0, hardest=True)
    assert torch.allclose(losses, torch.ones(96), atol=1e-4) and distances.max() < 1e-4
    slower, distances = trained_on_digits(rate=0.3, hardest=True, steps=300)
    assert slower.mean() < 0.9 and distances.mean() > 0.1
    semi_hard, distances = trained_on_digits(rate=3.0, hardest=False)
    assert semi_hard.mean() < 0.2 and distances.mean() > 0.1
    collapsed = small_network()
    for rate in (3.0, 0.3):  # the lower rate comes too late
        assert trained_on_digits(rate, hardest=True, network=collapsed)[1].max() < 1e-4
    for rate, gone in ((30.0, True), (0.3, False)):  # random triplets
        network = small_network()
        optimizer = torch.optim.SGD(network.parameters(), rate)
        pixels, classes = handwritten_digits()
        for _ in range(60):
            batch = torch.randperm(len(pixels))[:96]
            x, same = network(pixels[batch]), classes[batch][:, None] == classes[batch][None]
            p, n = (weights.float().multinomial(1)[:, 0] for weights in (same, ~same))
            loss = F.triplet_margin_loss(x, x[p], x[n], margin=1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert bool((x - x[0]).abs().max() < 1e-4) is gone and (not gone or abs(loss.item() - 1) < 1e-3)
    # On the unit sphere the hardest negatives collapse at a tenth of that rate, and lowering it does not help.
    for rate in (0.3, 0.03):
        losses, distances = trained_on_digits(rate, hardest=True, normalize=True)
        assert 0.95 < losses.mean() < 1.1 and distances.mean() < 0.25, (losses.mean(), distances.mean())
    pixels, classes = handwritten_digits()
    pretrained, head = small_network(), nn.Linear(16, 10)
    optimizer = torch.optim.Adam([*pretrained.parameters(), *head.parameters()], 0.01)
    descend(optimizer, lambda: F.cross_entropy(head(pretrained(pixels)), classes), 40)
    warmed_up = small_network()
    trained_on_digits(0.3, hardest=False, normalize=True, network=warmed_up)
    for network in (pretrained, warmed_up):
        assert trained_on_digits(0.3, hardest=True, normalize=True, network=network)[1].mean() > 0.4


@pitfall("The loss is almost zero, retrieval is poor")
def check_easy_triplets():
    a, p = torch.zeros(1000, 2), torch.zeros(1000, 2) + torch.tensor([1.0, 0.0])
    n = torch.cat([torch.tensor([[0.5, 0.0]]).expand(10, 2), torch.tensor([[9.0, 0.0]]).expand(990, 2)])
    losses = F.triplet_margin_loss(a, p, n, reduction="none")
    assert F.triplet_margin_loss(a, p, n) < 0.02 and (losses[:10] > 1).all()
    assert losses[losses > 0].mean() > 1.4 and losses[losses > 9].mean().isnan()
    for far in (0.0, 9.0):  # some active, none active
        x = n.clone() + far
        x.requires_grad_()
        some = F.triplet_margin_loss(a, p, x, reduction="none")
        mean = some.sum() / (some > 0).sum().clamp(min=1)
        mean.backward()
        assert x.grad.isfinite().all() and bool((mean == 0) & (x.grad == 0).all()) == (far > 0)
        assert far or torch.isclose(mean, some[some > 0].mean())

    pixels, classes = handwritten_digits()
    order = torch.randperm(len(pixels))
    training, test = order[:600], order[600:]
    members = [training[classes[training] == c] for c in range(10)]

    def learned(mined):
        """Mean loss and share of active triplets over the last ten steps; share of the same class among the 100 nearest, on test data."""
        network, seen = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)), []
        optimizer = torch.optim.Adam(network.parameters(), 0.003)
        for _ in range(100):
            batch = torch.cat([of_class[torch.randperm(len(of_class))[:8]] for of_class in members])
            x, same = F.normalize(network(pixels[batch])), classes[batch][:, None] == classes[batch]
            d = torch.cdist(x, x)
            if mined:
                positive = (d * same).max(1).values  # the farthest, with a semi-hard negative
                negative = d.masked_fill(same | (d <= positive[:, None]), torch.inf).min(1).values
                losses = F.relu(
                    positive - torch.where(negative.isinf(), d.masked_fill(same, 0).max(1).values, negative) + 0.3
                )
            else:
                positive, negative = (weights.float().multinomial(1) for weights in (same, ~same))
                losses = F.relu(d.gather(1, positive)[:, 0] - d.gather(1, negative)[:, 0] + 0.3)
            active = losses > 0
            optimizer.zero_grad()
            (losses.sum() / active.sum().clamp(min=1) if mined else losses.mean()).backward()
            optimizer.step()
            seen.append((losses.mean().item(), active.float().mean().item()))
        x = F.normalize(network(pixels[test])).detach()
        nearest = torch.cdist(x, x).fill_diagonal_(9).argsort(1)[:, :100]
        return *np.mean(seen[-10:], 0), (classes[test][nearest] == classes[test][:, None]).float().mean().item()

    loss, active, random_triplets = learned(mined=False)
    mined = learned(mined=True)
    assert loss < 0.03 and active < 0.2 and mined[1] > active and mined[2] > random_triplets + 0.02, (
        loss,
        active,
        random_triplets,
        mined,
    )
