import math

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated
from trainings import descend

LOSS = r"L = -\frac{s_+}{\tau} + \ln\left( e^{s_+/\tau} + \sum_{k} e^{s_k/\tau} \right)"
GRADIENT = r"\frac{\partial L}{\partial z} = -\frac{1}{\tau} \left( (1 - p_+)\, z_+ - \sum_{k} p_k\, z_k \right)"
MEASURES = r"""
A = \frac{1}{N} \sum_{i=1}^{N} \lVert z_i - z_i^+ \rVert^2, \qquad
U = \ln \frac{1}{N(N-1)} \sum_{i \ne j} e^{-2 \lVert z_i - z_j \rVert^2}
"""

by_definition("Autoencoder, masked modelling")
sourced("SimCLR, arXiv 2002.05709, and MoCo, 1911.05722", "Parameters", "Defaults", "Why can larger batches help?")
sourced("DINO, arXiv 2104.14294, and BYOL, arXiv 2006.07733", "DINO, BYOL")
sourced(
    "BYOL 2006.07733, SimSiam 2011.10566, DINO 2104.14294, Barlow Twins 2103.03230, VICReg 2105.04906",
    "Can it work without negatives?",
)


@formula(LOSS, GRADIENT)
def check_loss_and_gradient():
    for negatives, d in ((1, 2), (3, 5), (40, 16)):
        for tau in (0.07, 0.5, 2.0):
            z = F.normalize(torch.randn(d, dtype=torch.float64), dim=0).requires_grad_()
            others = F.normalize(torch.randn(1 + negatives, d, dtype=torch.float64), dim=1)
            loss = F.cross_entropy((others @ z / tau)[None], torch.tensor([0]))
            loss.backward()
            s = others.numpy() @ z.detach().numpy()
            ours = -s[0] / tau + math.log(math.exp(s[0] / tau) + sum(math.exp(v / tau) for v in s[1:]))
            np.testing.assert_allclose(ours, loss.item(), rtol=1e-9, atol=1e-12)
            p = np.exp(s / tau) / np.exp(s / tau).sum()
            o = others.numpy()
            np.testing.assert_allclose(
                -((1 - p[0]) * o[0] - p[1:] @ o[1:]) / tau, z.grad.numpy(), rtol=1e-8, atol=1e-10
            )


@holds("Does a perfect alignment prove good features?")
@formula(MEASURES)
def check_alignment_and_uniformity():
    for n, d in ((2, 2), (5, 3), (30, 8)):
        a, b = (F.normalize(torch.randn(n, d, dtype=torch.float64), dim=1) for _ in range(2))
        x, y = a.numpy(), b.numpy()
        alignment = sum(np.sum((x[i] - y[i]) ** 2) for i in range(n)) / n
        np.testing.assert_allclose(alignment, 2 - 2 * F.cosine_similarity(a, b).mean().item(), rtol=1e-9)
        total = sum(math.exp(-2 * np.sum((x[i] - x[j]) ** 2)) for i in range(n) for j in range(n) if i != j)
        np.testing.assert_allclose(
            math.log(total / (n * (n - 1))), torch.pdist(a).pow(2).mul(-2).exp().mean().log().item(), rtol=1e-9
        )
    same = torch.ones(4, 2) / math.sqrt(2)
    assert torch.pdist(same).pow(2).mul(-2).exp().mean().log().item() == 0.0
    assert (same - same.flip(0)).pow(2).sum(1).mean() == 0  # aligned perfectly, and of no use


@check
def check_by_hand():
    logits = torch.tensor([[0.8, 0.5, 0.1]]) / 0.5
    stated("0.5852", F.cross_entropy(logits, torch.tensor([0])))
    p = logits.softmax(1)[0]
    for text, value in zip(("0.5570", "0.3057", "0.1373"), p):
        stated(text, value)
    assert p[1] > 2 * p[2]
    square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    stated("−4.3963", torch.pdist(square).pow(2).mul(-2).exp().mean().log())


def pretrained(view, encoder, loss, steps=100, rate=1e-2):
    """Trains the encoder on two views in each step; returns the last loss."""
    optimizer = torch.optim.Adam(encoder.parameters(), rate)
    value = descend(optimizer, lambda: loss(*(F.normalize(encoder(view()), dim=1) for _ in range(2))), steps)
    encoder.requires_grad_(False)
    return value.item()


def info_nce(tau):
    return lambda a, b: F.cross_entropy(a @ b.T / tau, torch.arange(len(a)))


def nearest_agrees(z, label):
    found = torch.cdist(z, z).fill_diagonal_(torch.inf).argmin(1)
    return (label[found] == label).float().mean().item()


@pitfall("The loss is low, the features are useless")
def check_a_shortcut_and_its_augmentation():
    results = []
    for jitter in (False, True):
        torch.manual_seed(0)
        colour, shape = 2 * torch.randn(256, 4), torch.randn(256, 4)
        seen = lambda: 2 * torch.randn(256, 4) if jitter else colour
        view = lambda: torch.cat([seen(), shape], 1) + 0.3 * torch.randn(256, 8)
        network = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        loss = pretrained(view, network, info_nce(0.1))
        results.append((loss, nearest_agrees(F.normalize(network(view()), dim=1), shape[:, 0] > 0)))
    (low, useless), (higher, useful) = results
    assert low < 0.5 * math.log(256) and low < higher and useless < 0.65 and useful > max(0.68, useless + 0.1)
    digits = torch.tensor(load_digits().images[:256], dtype=torch.float32)[:, None] / 16 - 0.3
    for kind in ("gray", "each", "batch"):
        tint = 2 * torch.rand(256, 3, 1, 1)

        def tinted():
            x = digits + tint + 0.1 * torch.randn(256, 3, 8, 8)
            jitter = torch.randn(256 if kind == "each" else 1, 3, 1, 1)
            return (x.mean(1, keepdim=True) if kind == "gray" else x + jitter).expand(-1, 3, -1, -1).flatten(1)

        network = nn.Sequential(nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 8))
        pretrained(tinted, network, info_nce(0.2), steps=50, rate=5e-3)
        z = F.normalize(network(tinted()), dim=1)
        coloured = nearest_agrees(z, (tint[:, 0] > tint[:, 1]).flatten())
        assert coloured > 0.68 if kind == "batch" else coloured < 0.65, (kind, coloured)
        bright = nearest_agrees(z, tint.mean((1, 2, 3)) > 1)
        assert bright < 0.7 if kind == "each" else bright > (0.75 if kind == "gray" else 0.6), (kind, bright)


@pitfall("Embeddings of the projection head do worse than expected")
def check_the_layer_before_the_head():
    torch.manual_seed(0)
    colour, shape = torch.randn(600, 4), torch.randn(600, 4)
    view = lambda: torch.cat([colour + 2 * torch.randn(600, 4), shape], 1)  # hides the colour
    encoder, head = nn.Sequential(nn.Linear(8, 64), nn.ReLU()), nn.Linear(64, 4)
    pretrained(view, nn.Sequential(encoder, head), info_nce(0.1), steps=80)
    before = encoder(torch.cat([colour, shape], 1))
    label = (colour[:, 0] > 0).numpy()  # the task asks for it

    def probe(f):
        return LogisticRegression(max_iter=300).fit(f[:300].numpy(), label[:300]).score(f[300:].numpy(), label[300:])

    assert probe(before) > 0.8 and probe(head(before)) < 0.7
    shapes = (shape[:, 0] > 0).numpy()  # a task for which nothing was hidden: the head loses little, so compare

    def probe_shape(f):
        model = LogisticRegression(max_iter=300).fit(f[:300].numpy(), shapes[:300])
        return model.score(f[300:].numpy(), shapes[300:])

    assert probe_shape(head(before)) > 0.85


@pitfall("Samples of one class are pushed apart")
def check_false_negatives():
    for classes, size in ((4, 128), (10, 120)):
        label = torch.arange(size) % classes
        same = label[:, None] == label
        others = same & ~torch.eye(size, dtype=torch.bool)

        def debiased(tau):
            def loss(a, b, share=1 / classes):
                s = (a @ b.T / tau).exp()
                positive = s.diag()
                negative = (s.sum(1) - positive) / (size - 1)
                estimate = ((negative - share * positive) / (1 - share)).clamp(min=math.exp(-1 / tau))
                return -(positive / (positive + (size - 1) * estimate)).log().mean()

            return loss

        def likeness(loss):
            torch.manual_seed(0)
            x = torch.randn(classes, 8)[label] + torch.randn(size, 8)
            network = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 8))
            pretrained(lambda: x + 0.2 * torch.randn_like(x), network, loss, rate=5e-3)
            z = F.normalize(network(x), dim=1)
            return (z @ z.T)[others].mean().item()

        apart, softer, unbiased = likeness(info_nce(0.1)), likeness(info_nce(1.0)), likeness(debiased(0.1))
        assert apart < 0.4 and softer > apart + 0.01 and unbiased > apart + 0.1, (apart, softer, unbiased)
        if classes == 4:
            assert likeness(lambda a, b: F.cross_entropy(a @ b.T / 0.1, same / 32)) > 0.7
        else:
            assert abs(likeness(debiased(1.0)) - softer) < 0.03  # no help where the temperature is high


@pitfall("The loss stays around 5 and seems stuck")
def check_pitfall_numbers():
    z = F.normalize(torch.ones(256, 4), dim=1)
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    per_view = F.cross_entropy(logits, torch.arange(256).roll(128))
    stated("5.5413", per_view)
    stated("11.0825", 2 * per_view)
    torch.manual_seed(0)
    labels = torch.randint(0, 10, (400, 256))
    found = (labels[:, 1:] == labels[:, :1]).sum(1).double().mean().item()
    stated("25.5", 255 / 10)
    assert 24.5 < found < 26.5
    for pairs, tau, rate, stuck in (
        (True, 0.1, 1e-3, False),
        (False, 0.1, 1e-3, True),
        (True, 100, 1e-3, True),
        (True, 0.1, 1e-7, True),
        (True, 0.1, 100, True),
    ):
        widths = [16, *[64] * 5, 8]
        parts = [part for i, j in zip(widths, widths[1:]) for part in (nn.Linear(i, j), nn.ReLU())]
        network = nn.Sequential(*parts[:-1])
        optimizer = torch.optim.Adam(network.parameters(), rate)

        def step():
            x = torch.randn(128, 16)
            a, b = (F.normalize(network(x + 0.1 * torch.randn(128, 16)), dim=1) for _ in range(2))
            return info_nce(tau)(a, b if pairs else b[torch.randperm(128)])

        last = descend(optimizer, step, 40).item()
        assert (last > math.log(128) - 0.2) == stuck and (stuck or last < 3), (pairs, tau, rate, last)
    x, noise = F.normalize(torch.randn(512, 32), dim=1), 0.05 * torch.randn(512, 32)
    a, b = x, F.normalize(x + noise, dim=1)  # one encoder, two batch sizes
    assert info_nce(0.5)(a, b) > info_nce(0.5)(a[:64], b[:64]) + 1
    assert (a @ b.T).argmax(1).equal(torch.arange(512))  # every nearest neighbour is right in both


@holds("Why are embeddings normalized?")
def check_unnormalized_lengths_lower_the_loss():
    torch.manual_seed(0)
    directions = F.normalize(torch.randn(16, 64), dim=1)
    losses = [F.cross_entropy((c * directions) @ (c * directions).T, torch.arange(16)).item() for c in (1, 2, 4)]
    assert losses[0] > losses[1] > losses[2]
    sharper = F.cross_entropy(directions @ directions.T / 0.25, torch.arange(16)).item()
    assert math.isclose(losses[1], sharper, rel_tol=1e-4)


@check
def check_single_sample_has_no_loss():
    z = F.normalize(torch.randn(1, 4), dim=1)
    assert F.cross_entropy(z @ z.T / 0.1, torch.arange(1)).item() == 0.0


@holds("Input", "Output", "Defaults", "Cost", "Same in train and eval?")
def check_contract():
    encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    first, second = (F.normalize(encoder(torch.randn(6, 8)), dim=1) for _ in range(2))
    assert first.shape == (6, 4) and torch.allclose(first.norm(dim=1), torch.ones(6))
    assert info_nce(0.1)(first, second).shape == ()
    assert info_nce(0.1)(first[:1], second[:1]) == 0  # one sample has no negatives
    ids, text = torch.randint(0, 50, (6, 9)), nn.Sequential(nn.EmbeddingBag(50, 16), nn.Dropout(0.5))
    views = [F.normalize(text(ids), dim=1) for _ in range(2)]  # integers in; the views differ by their dropout masks
    assert not torch.equal(*views) and info_nce(0.1)(*views).shape == ()
    assert not [name for name in dir(nn) if any(word in name.lower() for word in ("infonce", "contrastive", "ntxent"))]
    for a, b, expected in ((first, second, 6 * 6 * 4), (*2 * [torch.cat([first, second])], 4 * 6 * 6 * 4)):
        with FlopCounterMode(display=False) as counter:
            a @ b.T
        assert counter.get_total_flops() == 2 * expected
    x = torch.randn(6, 8)
    for layer, alike in ((nn.Identity(), True), (nn.Dropout(), False), (nn.BatchNorm1d(8), False)):
        assert torch.equal(layer.train()(x), layer.eval()(x)) is alike


@holds("Contrastive (MoCo, SimCLR)", "CLIP", "Autoencoder, masked modelling", "Triplet loss")
def check_what_a_collapse_costs():
    one, target = F.normalize(torch.ones(32, 8), dim=1), torch.arange(32)
    apart = F.normalize(torch.randn(32, 8), dim=1)
    assert abs(info_nce(0.1)(one, one) - math.log(32)) < 1e-5 and info_nce(0.1)(apart, apart) < 1
    both = lambda u, v: (F.cross_entropy(u @ v.T / 0.1, target) + F.cross_entropy(v @ u.T / 0.1, target)) / 2
    assert abs(both(one, one) - math.log(32)) < 1e-5 and both(apart, apart) < 1
    assert torch.allclose(F.triplet_margin_loss(one, one, one, margin=0.7), torch.tensor(0.7))
    x = torch.randn(32, 8)
    assert F.mse_loss(x.mean(0).expand(32, 8), x) > 0.5  # the best answer of a decoder that sees a single code


@holds("Why can larger batches help?")
def check_more_negatives_hold_a_harder_one():
    z = F.normalize(torch.randn(2048, 32), dim=1)
    hardest = [(z[:n] @ z[:n].T).fill_diagonal_(-2).amax(1).mean().item() for n in (32, 256, 2048)]
    assert hardest[0] + 0.05 < hardest[1] < hardest[2] - 0.05
    queue, batch = z[512:], z[:8]
    assert (batch @ queue.T).amax(1).mean() > (batch @ batch.T).fill_diagonal_(-2).amax(1).mean() + 0.2
