import inspect
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated
from trainings import descend, handwritten_digits

CLASSICAL = r"""
\ell = \frac{y}{2} \, d^2 + \frac{1 - y}{2} \max(0, m - d)^2, \qquad d = \lVert x_1 - x_2 \rVert_2
"""
COSINE = r"""
\ell = \begin{cases} 1 - \cos(x_1, x_2) & t = 1 \\ \max\left(0, \; \cos(x_1, x_2) - m\right) & t = -1 \end{cases}, \qquad
\cos(x_1, x_2) = \frac{x_1^\top x_2}{\lVert x_1 \rVert_2 \, \lVert x_2 \rVert_2}
"""

by_definition("Contrastive (distance)", "Cosine embedding", "Triplet", "InfoNCE")


@formula(CLASSICAL)
def check_classical_form():
    for n, size in ((1, 2), (9, 4), (40, 3)):
        x1, x2 = torch.randn(n, size, dtype=torch.float64), torch.randn(n, size, dtype=torch.float64)
        y = torch.randint(2, (n,))
        for margin in (0.5, 1.0, 3.0):
            d = np.sqrt(((x1 - x2).numpy() ** 2).sum(1))
            ours = y.numpy() / 2 * d**2 + (1 - y.numpy()) / 2 * np.maximum(0, margin - d) ** 2
            distance = F.pairwise_distance(x1, x2, eps=0.0)
            library = 0.5 * F.hinge_embedding_loss(distance, 2 * y - 1, margin=margin, reduction="none") ** 2
            np.testing.assert_allclose(ours, library.numpy(), rtol=1e-10, atol=1e-14)
    d, t = torch.tensor([0.2, 0.4]), torch.tensor([1, -1])  # the default mean comes before the square
    each = 0.5 * F.hinge_embedding_loss(d, t, reduction="none") ** 2
    assert each.mean() > 0.5 * F.hinge_embedding_loss(d, t) ** 2 + 0.01


@holds("Range")
@formula(COSINE)
def check_cosine_form():
    for n, size in ((1, 2), (9, 4), (40, 3)):
        x1, x2 = torch.randn(n, size, dtype=torch.float64), torch.randn(n, size, dtype=torch.float64)
        t = torch.randint(2, (n,)) * 2 - 1
        a, b = x1.numpy(), x2.numpy()
        cos = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        for margin in (-1.0, 0.0, 0.5, 1.0):
            ours = np.where(t.numpy() == 1, 1 - cos, np.maximum(0, cos - margin))
            library = F.cosine_embedding_loss(x1, x2, t, margin=margin, reduction="none").numpy()
            np.testing.assert_allclose(ours, library, rtol=1e-8, atol=1e-9)
            np.testing.assert_allclose(
                ours.mean(), nn.CosineEmbeddingLoss(margin=margin)(x1, x2, t).item(), rtol=1e-8, atol=1e-9
            )
            assert -1e-9 <= ours.min() and ours.max() <= 2
    assert F.cosine_embedding_loss(torch.ones(3), torch.ones(3), torch.tensor(1)).abs() < 1e-6
    assert F.cosine_embedding_loss(torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([1])) == 1


@holds("`CosineEmbeddingLoss` input", "Target", "Output", "Defaults", "Range", "Same in train and eval?")
def check_contract():
    assert nn.CosineEmbeddingLoss().margin == 0.0 and nn.HingeEmbeddingLoss().margin == 1.0
    assert inspect.signature(nn.CosineEmbeddingLoss).parameters["reduction"].default == "mean"
    both = torch.tensor([1, -1, 1, -1])
    for shape, target in (((4, 3), both), ((3,), torch.tensor(-1))):
        a, b, module = torch.randn(shape), torch.randn(shape), nn.CosineEmbeddingLoss()
        each = F.cosine_embedding_loss(a, b, target, reduction="none")
        assert module(a, b, target).shape == () and each.shape == target.shape
        assert torch.equal(module.train()(a, b, target), module.eval()(a, b, target))
    line = torch.tensor([[1.0, 0.0]])
    worst = [F.cosine_embedding_loss(line, -line, torch.tensor([1]))]
    worst.append(F.cosine_embedding_loss(line, line, torch.tensor([-1]), margin=-1.0))
    assert all(abs(value.item() - 2) < 1e-6 for value in worst)
    assert F.hinge_embedding_loss(torch.tensor([0.3]), torch.tensor([1])) == 0.3  # takes the distance itself
    x = torch.randn(4, 3, requires_grad=True)
    loss = F.cosine_embedding_loss(x, torch.randn(4, 3), torch.zeros(4))
    loss.backward()
    assert loss == 0 and torch.equal(x.grad, torch.zeros(4, 3))


@check
def check_by_hand():
    d = torch.tensor([0.4, 0.4, 1.2])
    half = 0.5 * F.hinge_embedding_loss(d, torch.tensor([1, -1, -1]), reduction="none") ** 2
    stated("0.08", half[0])
    stated("0.18", half[1])
    assert half[2] == 0
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    stated("0.7071", F.cosine_similarity(a, b))
    stated("0.2929", F.cosine_embedding_loss(a, b, torch.tensor([1])))
    stated("0.7071", F.cosine_embedding_loss(a, b, torch.tensor([-1])))
    stated("0.2071", F.cosine_embedding_loss(a, b, torch.tensor([-1]), margin=0.5))


def trained(loss, normalize=False, steps=150, rate=0.003, pairs=None):
    """Embeddings of all digits after training on pairs: `loss(x1, x2, same)`; `pairs(network, step)` may choose the pairs."""
    torch.manual_seed(0)
    pixels, classes = handwritten_digits()
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))
    embed = lambda x: F.normalize(network(x)) if normalize else network(x)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    for step in range(steps):
        i, j = pairs(embed, step) if pairs else torch.randint(len(pixels), (2, 128))
        optimizer.zero_grad()
        loss(embed(pixels[i]), embed(pixels[j]), classes[i] == classes[j]).backward()
        optimizer.step()
    return embed(pixels).detach()


def mean_cosines(x):
    """Mean cosine of similar and of dissimilar pairs of digits."""
    x, classes = F.normalize(x), handwritten_digits()[1]
    same = classes[:, None] == classes
    return (x @ x.T)[same].mean().item(), (x @ x.T)[~same].mean().item()


@pitfall("Embeddings collapse although dissimilar pairs are in the data")
def check_zero_label():
    zero_one = trained(lambda a, b, same: F.cosine_embedding_loss(a, b, same.float()))
    cured = trained(lambda a, b, same: F.cosine_embedding_loss(a, b, 2 * same.float() - 1))
    assert min(mean_cosines(zero_one)) > 0.95
    assert mean_cosines(cured)[0] > 0.6 and mean_cosines(cured)[1] < 0.2


def classical(x1, x2, y, margin=1.0):
    """The first formula, 1 for similar pairs."""
    d = F.pairwise_distance(x1, x2)
    return (y * d**2 / 2 + (1 - y) * F.relu(margin - d) ** 2 / 2).mean()


@pitfall("The model learns the opposite")
def check_label_convention():
    similar = torch.tensor([1.0, 0.0])
    for label, opposite in ((1 - similar, True), (similar, False)):
        x1, x2 = torch.zeros(2, 3), torch.full((2, 3), 0.3, requires_grad=True)
        optimizer = torch.optim.SGD([x2], 0.2)
        descend(optimizer, lambda: classical(x1, x2, label), 200)
        near, far = F.pairwise_distance(x1, x2)[[1, 0] if opposite else [0, 1]]
        assert near < 0.01 and far > 0.99
        equal = torch.randn(1, 4)
        assert bool(classical(equal, equal, label[:1]) > 0.4) is opposite
    assert classical(equal, equal, torch.ones(1)) < 1e-6
    as_bool = similar.bool()
    raises(RuntimeError, lambda: 1 - as_bool, "not supported")
    assert torch.equal((~as_bool).float(), 1 - similar)
    assert F.cosine_embedding_loss(equal, equal, torch.tensor([0])) == 0  # the test tells nothing of a label 0
    for signs in (torch.tensor([-1]), torch.tensor([-1.0])):  # labels the wrong way round
        assert F.cosine_embedding_loss(equal, equal, signs) > 0.99
        assert F.cosine_embedding_loss(equal, equal, -signs).abs() < 1e-6
        assert (
            F.hinge_embedding_loss(torch.zeros(1), signs) == 1 and F.hinge_embedding_loss(torch.zeros(1), -signs) == 0
        )


@pitfall("A larger margin separates less")
def check_margins_work_in_opposite_directions():
    a, b, no = torch.randn(50, 4), torch.randn(50, 4), -torch.ones(50)
    cosine = [F.cosine_embedding_loss(a, b, no, margin=m).item() for m in (0.0, 0.25, 0.5)]
    distance = [F.hinge_embedding_loss(F.pairwise_distance(a, b), no, margin=m).item() for m in (1.0, 2.0, 3.0)]
    assert cosine[0] > cosine[1] > cosine[2] and distance[0] < distance[1] < distance[2]
    right_angle = F.cosine_embedding_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([-1]))
    assert right_angle == 0
    loss = lambda m: lambda a, b, same: F.cosine_embedding_loss(a, b, 2 * same.float() - 1, margin=m)
    cosine = lambda m: mean_cosines(trained(loss(m)))[1]
    assert cosine(0.9) > 0.5 > 0.1 > max(cosine(0.5), cosine(0.0))
    for m in (0.5, 0.0):
        pair, other = torch.tensor([[1.0, 0.3]], requires_grad=True), torch.tensor([[1.0, 0.0]])
        for _ in range(200):
            push = F.cosine_embedding_loss(pair, other, torch.tensor([-1]), margin=m)
            pair = (pair - 0.02 * torch.autograd.grad(push, pair)[0]).detach().requires_grad_()
        assert abs(F.cosine_similarity(pair, other).item() - m) < 0.03
    between = lambda m: trained(lambda a, b, same: classical(a, b, same.float(), m), normalize=True)
    narrow, wide = mean_cosines(between(0.5))[1], mean_cosines(between(1.2))[1]
    assert narrow > wide + 0.2
    for classes, size in ((2, 4), (3, 8), (10, 16), (10, 3)):  # the corners of a simplex reach the bound
        corners = F.normalize(torch.eye(classes) - 1 / classes)
        bound = math.sqrt(2 * classes / (classes - 1))
        assert torch.allclose(torch.pdist(corners), torch.tensor(bound), atol=1e-5)
        free = torch.randn(classes, size, requires_grad=True)
        push = lambda: F.relu(1.1 * bound - torch.pdist(F.normalize(free))).square().mean()
        descend(torch.optim.Adam([free], 0.05), push, 100)
        assert torch.pdist(F.normalize(free)).min() <= bound + 1e-5
    stated("1.4907", bound)


@pitfall("The loss is small, and false matches remain")
def check_random_pairs():
    pixels, classes = handwritten_digits()
    same = classes[:, None] == classes

    def mined(embed, step):
        """From step 100 on, as many similar pairs as dissimilar ones inside the margin."""
        if step < 100:
            return torch.randint(len(pixels), (2, 128))
        i, j = torch.randint(len(pixels), (2, 1500))
        with torch.no_grad():
            near = F.pairwise_distance(embed(pixels[i]), embed(pixels[j])) < 1
        alike = classes[i] == classes[j]
        chosen = torch.cat([alike.nonzero()[:64, 0], (near & ~alike).nonzero()[:64, 0]])
        return i[chosen], j[chosen]

    loss = lambda a, b, alike: classical(a, b, alike.float())

    def false_matches(x):
        """Share of dissimilar pairs nearer than 95% of the similar ones; of those beyond the margin; mean loss."""
        d = torch.cdist(x, x)
        near, mean = d[same].quantile(0.95), torch.where(same, d**2, F.relu(1 - d) ** 2).mean() / 2
        return (d[~same] < near).float().mean(), (d[~same] > 1).float().mean(), mean

    share, beyond, mean = false_matches(trained(loss, steps=100))
    assert mean < 0.03 and beyond > 0.6 and share > 0.2
    random_pairs, _, mean = false_matches(trained(loss, steps=250))
    cured, *_ = false_matches(trained(loss, steps=250, pairs=mined))
    assert mean < 0.03 and random_pairs > 0.1 and cured < 0.08, (random_pairs, cured)
    labels = torch.arange(10).repeat_interleave(500)
    different = (labels[torch.randint(5000, (100_000,))] != labels[torch.randint(5000, (100_000,))]).float().mean()
    stated("90%", round(different.item(), 2))


@pitfall("A huge gradient from an all-zero embedding")
def check_zero_vector_gradient():
    z = torch.zeros(1, 2, requires_grad=True)
    F.cosine_embedding_loss(z, torch.ones(1, 2), torch.tensor([1])).backward()
    stated("−707,107", round(z.grad[0, 0].item()))
    assert F.cosine_embedding_loss(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([1])) == 1
    assert F.cosine_embedding_loss(torch.zeros(1, 2).half(), torch.ones(1, 2).half(), torch.tensor([1])).isnan()
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    nn.init.zeros_(network[0].bias), nn.init.zeros_(network[2].bias)
    x1, x2 = torch.rand(6, 5), torch.rand(6, 5)
    x1[0] = 0

    def norm(rows):
        network.zero_grad()
        F.cosine_embedding_loss(network(x1[rows]), network(x2[rows]), torch.ones(6)[rows]).backward()
        return nn.utils.clip_grad_norm_(network.parameters(), 1.0)

    kept, all_pairs = norm(slice(1, 6)), norm(slice(0, 6))
    assert kept < 100 and all_pairs > 10_000, (kept, all_pairs)
    assert abs(nn.utils.get_total_norm([p.grad for p in network.parameters()]) - 1) < 1e-3

    blank, y = torch.arange(200) < 10, torch.rand(200) > 0.5
    x = torch.rand(200, 5) + 2 * F.one_hot(y.long(), 5)
    x[blank] = 0

    def learned(drop=False, clip=math.inf):
        """Mean cosine of similar and of dissimilar pairs that are not blank, after training."""
        network, rows = (
            nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 4)),
            (~blank | (not drop)).nonzero()[:, 0],
        )
        nn.init.zeros_(network[0].bias), nn.init.zeros_(network[2].bias)
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        for _ in range(150):
            i, j = rows[torch.randint(len(rows), (2, 64))]
            optimizer.zero_grad()
            F.cosine_embedding_loss(network(x[i]), network(x[j]), 2 * (y[i] == y[j]).float() - 1).backward()
            nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
        z, y_kept = F.normalize(network(x[~blank])).detach(), y[~blank]
        same = y_kept[:, None] == y_kept
        return (z @ z.T)[same].mean() - (z @ z.T)[~same].mean()

    unclipped, dropped, clipped = learned(), learned(drop=True), learned(clip=1.0)
    assert unclipped < 0.1 and dropped > 0.4 and clipped > 0.4, (unclipped, dropped, clipped)


@holds("Why is there a margin at all?", "Does it keep differences within a class?")
def check_push_and_pull():
    for d in (0.5, 3.0, 100.0):
        x = torch.tensor([[d, 0.0]], requires_grad=True)
        (endless,) = torch.autograd.grad(-0.5 * F.pairwise_distance(x, torch.zeros(1, 2), eps=0) ** 2, x)
        (push,) = torch.autograd.grad(classical(x, torch.zeros(1, 2), torch.zeros(1)), x)
        (pull,) = torch.autograd.grad(classical(x, torch.zeros(1, 2), torch.ones(1)), x)
        assert endless[0, 0] == -d and bool(push.any()) is (d < 1) and abs(pull.norm().item() / d - 1) < 1e-4


@holds("How does it differ from triplet loss?")
def check_widths():
    """A wide class, a narrow one and a gap: the triplet loss is 0, the contrastive loss is not."""
    wide, narrow = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[9.0, 0.0], [9.1, 0.0]])
    for one, other in ((wide, narrow), (narrow, wide)):
        assert F.triplet_margin_loss(one[:1], one[1:], other[:1]) == 0
        assert F.triplet_margin_loss(one[1:], one[:1], other[:1]) == 0
        assert classical(one[:1], one[1:], torch.ones(1)) > 0.004 and classical(one, other, torch.zeros(1)) == 0


@holds("How do gradients flow in a siamese network?")
def check_shared_weights_add_their_gradients():
    layer = nn.Linear(3, 2)
    x1, x2 = torch.randn(4, 3), torch.randn(4, 3)
    t = torch.ones(4)
    F.cosine_embedding_loss(layer(x1), layer(x2), t).backward()
    both = layer.weight.grad.clone()
    parts = []
    for first, second in ((layer(x1), layer(x2).detach()), (layer(x1).detach(), layer(x2))):
        layer.zero_grad()
        F.cosine_embedding_loss(first, second, t).backward()
        parts.append(layer.weight.grad.clone())
    assert torch.allclose(both, parts[0] + parts[1], atol=1e-6)
