import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

VOTES = r"""
\hat{u}_{j|i} = W_{ij}\, u_i, \qquad c_{ij} = \frac{e^{b_{ij}}}{\sum_k e^{b_{ik}}}, \qquad s_j = \sum_i c_{ij}\, \hat{u}_{j|i}
"""
SQUASH = (
    r"v_j = \mathrm{squash}(s_j) = \frac{\lVert s_j \rVert^2}{1 + \lVert s_j \rVert^2}\; \frac{s_j}{\lVert s_j \rVert}"
)
UPDATE = r"b_{ij} \leftarrow b_{ij} + \hat{u}_{j|i}^\top v_j"
MARGIN = r"L_k = T_k \max(0,\, m^+ - \lVert v_k \rVert)^2 + \lambda\,(1 - T_k) \max(0,\, \lVert v_k \rVert - m^-)^2"

SABOUR = "Dynamic Routing Between Capsules, arXiv 1710.09829"
sourced(SABOUR, "Input → output", "Defaults", "Same in train and eval?")
sourced(SABOUR, "What does the decoder do?", "Do capsules make a network rotation invariant?")


def squash(s):
    length = np.linalg.norm(s, axis=-1, keepdims=True)
    return length**2 / (1 + length**2) * s / np.maximum(length, 1e-300)


def route(u, W, iterations):
    """The formulas with explicit loops, for one image."""
    I, J, D, _ = W.shape
    votes = np.array([[W[i, j] @ u[i] for j in range(J)] for i in range(I)])
    b = np.zeros((I, J))
    for step in range(iterations):
        c = np.exp(b) / np.exp(b).sum(1, keepdims=True)
        v = squash(np.array([sum(c[i, j] * votes[i, j] for i in range(I)) for j in range(J)]))
        if step < iterations - 1:
            for i in range(I):
                for j in range(J):
                    b[i, j] += votes[i, j] @ v[j]
    return v, c


def route_in_torch(votes, iterations, axis=2):
    b = torch.zeros(votes.shape[:3], dtype=votes.dtype)
    for step in range(iterations):
        c = F.softmax(b, dim=axis)
        s = torch.einsum("nij,nijd->njd", c, votes)
        v = F.normalize(s, dim=-1) * (s.norm(dim=-1, keepdim=True) ** 2 / (1 + s.norm(dim=-1, keepdim=True) ** 2))
        if step < iterations - 1:
            b = b + torch.einsum("nijd,njd->nij", votes, v)
    return v, c


# verified: formula-only (PyTorch has no capsule layer; the parts are compared with softmax, einsum and normalize)
@formula(VOTES, SQUASH, UPDATE)
@holds("capsules", "Range")
def check_routing():
    for I, J, d, D, iterations in [(4, 3, 2, 5, 3), (6, 2, 3, 2, 1), (1, 4, 2, 3, 5)]:
        u, W = torch.randn(2, I, d, dtype=torch.float64), torch.randn(I, J, D, d, dtype=torch.float64)
        v, c = route_in_torch(torch.einsum("ijde,nie->nijd", W, u), iterations)
        for n in range(2):
            ours_v, ours_c = route(u[n].numpy(), W.numpy(), iterations)
            np.testing.assert_allclose(ours_v, v[n].numpy(), atol=1e-10)
            np.testing.assert_allclose(ours_c, c[n].numpy(), atol=1e-10)
        assert (v.norm(dim=-1) < 1).all() and not torch.allclose(v.norm(dim=-1).sum(1), torch.ones(2).double())
        assert torch.allclose(c.sum(2), torch.ones(2, I, dtype=torch.float64))


@holds("mean pooling", "max pooling", "Attention")
def check_other_ways_to_combine():
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    for pool, largest in ((F.avg_pool2d, 0.25), (F.max_pool2d, 1.0)):
        (share,) = torch.autograd.grad(pool(x, 2)[0, 0, 0, 0], x)
        assert share.sum() == 1 and share.max() == largest
    weights = nn.MultiheadAttention(8, 2, batch_first=True)(*[torch.randn(1, 5, 8)] * 3)[1]
    assert torch.allclose(weights.sum(-1), torch.ones(1, 5))
    assert not torch.allclose(weights.sum(1), torch.ones(1, 5), atol=1e-3)


@holds("Why squash and not sigmoid?")
def check_squash_keeps_the_direction():
    s = torch.tensor([[3.0, -1.0, 0.5]]).double()
    ours = torch.tensor(squash(s.numpy()))
    assert torch.allclose(F.normalize(ours, dim=1), F.normalize(s, dim=1)) and ours.norm() < 1
    assert F.cosine_similarity(s.sigmoid(), s).item() < 0.9


@holds("Is routing trained?", "dtype", "Input → output")
def check_gradients_reach_the_matrices():
    W = (torch.randn(4, 3, 5, 2) * 0.5).requires_grad_()
    v, c = route_in_torch(torch.einsum("ijdk,nik->nijd", W, torch.randn(6, 4, 2)), 3)
    assert v.shape == (6, 3, 5) and c.requires_grad
    v.square().sum().backward()
    assert (W.grad.abs().sum((2, 3)) > 0).all()
    raises((RuntimeError, NotImplementedError), lambda: torch.ones(1, 3, 2, dtype=torch.long).softmax(2))


@holds("Do capsules make a network rotation invariant?")
def check_a_turn_changes_the_capsules():
    image, W = torch.rand(1, 1, 8, 8), torch.randn(8, 3, 4, 8) * 0.5
    lengths = lambda x: route_in_torch(torch.einsum("ijdk,nik->nijd", W, x.view(1, 8, 8)), 3)[0].norm(dim=-1)
    assert not torch.allclose(lengths(image), lengths(image.rot90(1, (2, 3))), atol=1e-3)


@formula(MARGIN)
def check_margin_loss():
    v, target = torch.randn(5, 4, 3, dtype=torch.float64), torch.tensor([0, 3, 1, 1, 2])
    length, T = v.norm(dim=-1), F.one_hot(target, 4).double()
    library = T * F.relu(0.9 - length) ** 2 + 0.5 * (1 - T) * F.relu(length - 0.1) ** 2
    ours = np.zeros((5, 4))
    for n in range(5):
        for k in range(4):
            size, present = np.sqrt((v[n, k].numpy() ** 2).sum()), float(target[n] == k)
            ours[n, k] = present * max(0, 0.9 - size) ** 2 + 0.5 * (1 - present) * max(0, size - 0.1) ** 2
    np.testing.assert_allclose(ours, library.numpy(), atol=1e-12)


@check
def check_by_hand():
    votes = torch.tensor([[[[2.0, 0], [0, 1]], [[2, 0], [0, -1]]]], dtype=torch.float64)
    first, _ = route_in_torch(votes, 1)
    assert torch.allclose(first[0], torch.tensor([[0.8, 0], [0, 0]], dtype=torch.float64))
    second, c = route_in_torch(votes, 2)
    stated("0.832", c[0, 0, 0])
    stated("3.328", 4 * c[0, 0, 0])
    stated("0.917", second[0, 0].norm())


@holds("Parameters")
def check_parameters_of_capsnet():
    parts = [
        nn.Conv2d(1, 256, 9),
        nn.Conv2d(256, 256, 9, stride=2),
        nn.Linear(160, 512),
        nn.Linear(512, 1024),
        nn.Linear(1024, 784),
    ]
    votes = 1152 * 10 * 16 * 8
    assert parts[1](parts[0](torch.zeros(1, 1, 28, 28))).numel() == 1152 * 8
    stated("8,215,568", sum(p.numel() for part in parts for p in part.parameters()) + votes)


def margin_loss(length, present):
    return (present * F.relu(0.9 - length) ** 2 + 0.5 * (1 - present) * F.relu(length - 0.1) ** 2).sum(-1).mean()


def accuracy_on_digits(axis, steps=60, loss=margin_loss):
    """A capsule layer for the digits, 12 children of 4 and 10 parents of 8, with the softmax over an axis."""
    pixels, target = handwritten_digits()
    children, W = nn.Linear(64, 48), nn.Parameter(torch.randn(12, 10, 8, 4) * 0.3)
    votes = lambda x: torch.einsum("ijdk,nik->nijd", W, children(x).view(-1, 12, 4))
    lengths = lambda x: route_in_torch(votes(x), 3, axis)[0].norm(dim=-1)
    optimizer = torch.optim.Adam([*children.parameters(), W], 0.01)
    for _ in range(steps):
        rows = torch.randint(1500, (128,))
        optimizer.zero_grad()
        loss(lengths(pixels[rows]), F.one_hot(target[rows], 10).float()).backward()
        optimizer.step()
    return float((lengths(pixels[1500:]).argmax(1) == target[1500:]).float().mean())


@pitfall("Accuracy stays fine, but routing does nothing sensible")
def check_softmax_over_the_wrong_axis():
    """All children agree on parent 0: over children every coupling stays equal, over parents they move there."""
    votes = torch.zeros(1, 3, 2, 2)
    votes[0, :, 0, 0] = 2
    votes[0, :, 1] = torch.tensor([[0.0, 1], [0, -1], [1, 0]])
    wrong, right = (route_in_torch(votes, 3, axis)[1] for axis in (1, 2))
    assert torch.allclose(wrong[0, :, 0], torch.full((3,), 1 / 3)) and (right[0, :, 0] > 0.9).all()
    assert not torch.allclose(wrong.sum(2), torch.ones(())) and torch.allclose(right.sum(2), torch.ones(()))
    with torch.no_grad():  # children of normal values, and those of CapsNet's untrained convolutions for two digits
        images = F.interpolate(handwritten_digits()[0][:2].view(2, 1, 8, 8), size=(20, 20), mode="bilinear")
        stem = nn.Sequential(nn.Conv2d(1, 256, 9), nn.ReLU(), nn.Conv2d(256, 256, 9, stride=2))
        maps = stem(F.pad(images, (4, 4, 4, 4))).view(2, 32, 8, 36).transpose(2, 3)
    for children in (maps.reshape(2, 1152, 8).numpy(), np.random.randn(1, 1152, 8)):
        u = torch.tensor(squash(children), dtype=torch.float32)
        for std, low, high in ((1.0, 0.3, 1.0), (0.05, 0.0, 0.7)):
            many = torch.einsum("ijdk,nik->nijd", torch.randn(1152, 10, 16, 8) * std, u)
            lengths = route_in_torch(many, 3)[0].norm(dim=-1)
            assert low < lengths.min() and lengths.max() <= high, (std, lengths)
    assert route_in_torch(many / 0.05, 3, axis=1)[0].norm(dim=-1).max() < 0.9
    assert accuracy_on_digits(axis=1) > 0.8 and accuracy_on_digits(axis=2) > 0.8


@holds("Range")
@pitfall('"The lengths are class probabilities"')
def check_lengths_are_no_distribution():
    """Two classes present: the lengths sum to more than 1, and both losses per class approve; a softmax never can."""
    length, present = torch.full((1, 10), 0.05), torch.zeros(1, 10)
    length[0, [2, 7]], present[0, [2, 7]] = 0.95, 1.0
    assert length.sum() > 2 and margin_loss(length, present) == 0 and F.binary_cross_entropy(length, present) < 0.06
    raises(RuntimeError, lambda: F.binary_cross_entropy(length, present.long()), "expected Float")
    assert length.softmax(-1).max() < 0.2
    assert accuracy_on_digits(2, loss=F.binary_cross_entropy) > 0.8
    assert accuracy_on_digits(2, loss=F.binary_cross_entropy_with_logits) < 0.7
    long = torch.full((2,), 1e4)
    assert (long.square().sum() / (1 + long.square().sum())).item() == 1.0


@holds("Cost")
@pitfall("It does not scale to your images")
def check_votes_on_larger_images():
    """CapsNet's two convolutions on 28x28 and on 224x224, its children, and the votes of one image in float32."""
    gigabytes = {}
    for side in (28, 224):
        with torch.device("meta"):
            stem = nn.Sequential(nn.Conv2d(1, 256, 9), nn.ReLU(), nn.Conv2d(256, 256, 9, stride=2))
            children = stem(torch.zeros(1, 1, side, side)).numel() // 8
        gigabytes[side] = children * 10 * 16 * 4 / 1e9
    assert gigabytes[28] < 0.001 and gigabytes[224] > 0.2
    largest = []
    with torch.device("meta"):
        net = torchvision.models.resnet18()
        for module in net.modules():
            module.register_forward_hook(lambda m, i, out: largest.append(out.numel() * 4 / 1e9))
        net(torch.zeros(1, 3, 224, 224))
    assert max(largest) < 0.02 * gigabytes[224]


@pitfall("NaN gradients in squash")
def check_gradient_of_squash_at_zero():
    def gradient(root):
        s = torch.zeros(3, requires_grad=True)
        square = (s * s).sum()
        (square / (1 + square) * s / root(square)).sum().backward()
        return s.grad

    assert gradient(lambda q: q.sqrt() + 1e-8).isnan().any()
    assert gradient(lambda q: (q + 1e-8).sqrt()).isfinite().all()
    assert not hasattr(nn, "Capsule")
