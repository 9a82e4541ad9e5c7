import math
import os
import tempfile
import warnings

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, quietly, sourced, stated

INFO_NCE = r"""
L = -\frac{1}{N} \sum_{i=1}^{N} \log \frac{e^{s_{ii}/\tau}}{\sum_{j=1}^{N} e^{s_{ij}/\tau}}, \qquad
\frac{\partial L}{\partial s_{ij}} = \frac{1}{N \tau} \left( p_{ij} - \delta_{ij} \right)
"""
BOUND = r"I(X; Y) \ge \ln N - L"
NCE = r"""
\ell = -\log \sigma(\Delta(x)) - \sum_{j=1}^{k} \log \sigma(-\Delta(\tilde{x}_j)), \qquad \Delta(x) = f(x) - \log\left(k \, q(x)\right)
"""

by_definition("InfoNCE", "Negative sampling", "Triplet", "Cross-entropy", "How do NCE and InfoNCE differ?")
sourced("MoCo, arXiv 1911.05722, sections 3.2 and 3.3 (queue, 0.07)", "Parameters", "InfoNCE")
sourced("CLIP, arXiv 2103.00020 (learned temperature)", "Parameters")
sourced("Mikolov et al., arXiv 1310.4546, section 2.2", "Negative sampling")


def cosines(x, y):
    return F.normalize(x, dim=1) @ F.normalize(y, dim=1).T


def info_nce(s, tau):
    return F.cross_entropy(s / tau, torch.arange(len(s)))


@holds("Input", "Range")
@formula(INFO_NCE)
def check_info_nce():
    for n, d in ((1, 3), (2, 4), (16, 8), (50, 5)):
        for tau in (0.07, 0.5, 1.0):
            s = cosines(torch.randn(n, d, dtype=torch.float64), torch.randn(n, d, dtype=torch.float64)).requires_grad_()
            loss = info_nce(s, tau)
            loss.backward()
            e = np.exp(s.detach().numpy() / tau)
            p = e / e.sum(1, keepdims=True)
            np.testing.assert_allclose(-np.log(np.diag(p)).mean(), loss.item(), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose((p - np.eye(n)) / (n * tau), s.grad.numpy(), rtol=1e-9, atol=1e-12)
            assert (s.grad[~torch.eye(n, dtype=torch.bool)] > 0).all() and (s.grad.diagonal() <= 0).all() and loss >= 0
            assert loss.item() >= math.log(1 + (n - 1) * math.exp(-2 / tau)) - 1e-9


@formula(BOUND)
def check_bound_on_gaussians():
    torch.manual_seed(0)
    rho, d = 0.8, 4
    truth = -0.5 * d * math.log(1 - rho**2)
    x = torch.randn(20, 128, d, dtype=torch.float64)
    y = rho * x + math.sqrt(1 - rho**2) * torch.randn(20, 128, d, dtype=torch.float64)
    for critic in ("best", "cosine"):
        losses = []
        for a, b in zip(x, y):
            best = (
                Normal(rho * a[:, None], math.sqrt(1 - rho**2)).log_prob(b[None]).sum(-1)
                - Normal(0.0, 1.0).log_prob(b).sum(-1)[None]
            )
            losses.append(info_nce(best if critic == "best" else cosines(a, b) / 0.2, 1.0).item())
        found = math.log(128) - np.mean(losses)
        assert found <= truth + 0.05 and found <= math.log(128)
        assert found > 0.85 * truth if critic == "best" else found > 0


@formula(NCE)
def check_nce():
    for k in (1, 5):
        f, noise_f = torch.randn(6, dtype=torch.float64), torch.randn(6, k, dtype=torch.float64)
        q, noise_q = torch.rand(6, dtype=torch.float64) + 0.1, torch.rand(6, k, dtype=torch.float64) + 0.1
        delta, noise_delta = (f - (k * q).log()).numpy(), (noise_f - (k * noise_q).log()).numpy()
        sigma = lambda z: 1 / (1 + np.exp(-z))
        ours = -np.log(sigma(delta)) - np.log(sigma(-noise_delta)).sum(1)
        logits = torch.tensor(np.concatenate([delta[:, None], noise_delta], 1))
        labels = torch.cat([torch.ones(6, 1), torch.zeros(6, k)], 1).double()
        library = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1)
        np.testing.assert_allclose(ours, library.numpy(), rtol=1e-9)


@holds("NCE", "Negative sampling")
def check_nce_recovers_a_normalized_density_and_negative_sampling_does_not():
    p = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    q = torch.tensor([0.25, 0.25, 0.3, 0.2], dtype=torch.float64)
    for k in (1, 4):

        def expected(f, correction):
            delta = f - correction
            return -(p * F.logsigmoid(delta)).sum() - k * (q * F.logsigmoid(-delta)).sum()

        for correction, optimum in (((k * q).log(), p.log()), (torch.zeros(4).double(), (p / (k * q)).log())):
            f = optimum.clone().requires_grad_()
            gradient = torch.autograd.grad(expected(f, correction), f)[0]
            assert gradient.abs().max() < 1e-12
            assert expected(optimum, correction) < expected(optimum + 0.1 * torch.randn(4).double(), correction)


@check
def check_by_hand():
    s = torch.tensor([[1.0, 0.5, 0.0]])
    stated("0.6803", F.cross_entropy(s, torch.tensor([0])))
    stated("0.4076", F.cross_entropy(s / 0.5, torch.tensor([0])))
    stated("1.0986", F.cross_entropy(torch.zeros(1, 3), torch.tensor([0])))
    stated(
        "4.1589",
        F.binary_cross_entropy_with_logits(torch.zeros(6), torch.tensor([1.0, 0, 0, 0, 0, 0]), reduction="sum"),
    )


def trained(loss, rows=16, width=4, steps=300):
    """Free embeddings of both views after minimizing `loss`; the last loss."""
    x, y = (nn.Parameter(torch.randn(rows, width)) for _ in range(2))
    optimizer = torch.optim.Adam([x, y], 0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(x, y)
        value.backward()
        optimizer.step()
    return x.detach(), y.detach(), value.item()


@pitfall("The loss falls little and never gets near zero")
def check_floor_at_temperature_one():
    for tau in (1.0, 0.07):
        *_, value = trained(lambda x, y: info_nce(cosines(x, y), tau), rows=256, width=32, steps=60)
        assert 3.5698 < value < 5.5452 if tau == 1 else value < 0.01, (tau, value)
    s = -torch.ones(256, 256) + 2 * torch.eye(256)
    stated("3.5698", info_nce(s, 1.0))
    stated("5.5452", math.log(256))
    assert info_nce(s, 0.07) < 1e-6


@pitfall("The diagonal keeps the loss high", '"NT-Xent leaves the positive out of the denominator"')
def check_nt_xent():
    n, tau = 5, 0.3
    x, y = torch.randn(n, 4, dtype=torch.float64), torch.randn(n, 4, dtype=torch.float64)
    z = torch.cat([x, y])
    s = cosines(z, z).numpy() / tau
    total = 0.0
    for i in range(2 * n):
        others = [k for k in range(2 * n) if k != i]
        total += -s[i, (i + n) % (2 * n)] + math.log(sum(math.exp(s[i, k]) for k in others))
    logits = torch.tensor(s).fill_diagonal_(-torch.inf)
    library = F.cross_entropy(logits, torch.arange(2 * n).roll(n))
    assert abs(total / (2 * n) - library.item()) < 1e-9
    target = F.one_hot(torch.arange(2 * n).roll(n), 2 * n)  # as a 0/1 mask
    masked = lambda filled: -(filled.log_softmax(1) * target).sum(1).mean()
    assert masked(logits.float()).isnan()
    assert abs(masked(logits.float().fill_diagonal_(-1e9)) - library) < 1e-5
    unmasked = F.cross_entropy(torch.tensor(s), torch.arange(2 * n).roll(n))
    assert unmasked > library and unmasked > math.log(2)

    def both_views(x, y, mask):
        logits = cosines(torch.cat([x, y]), torch.cat([x, y])) / 0.07
        if mask:
            logits = logits.masked_fill(torch.eye(2 * len(x), dtype=torch.bool), -torch.inf)
        return F.cross_entropy(logits, torch.arange(2 * len(x)).roll(len(x)))

    *_, kept_high = trained(lambda x, y: both_views(x, y, False), width=16)
    *_, cured = trained(lambda x, y: both_views(x, y, True), width=16)
    assert kept_high > math.log(2) - 1e-4 and 0 <= cured < 0.01
    perfect = torch.eye(3) * 2 - 1
    without = -perfect.diagonal() + perfect.masked_fill(torch.eye(3, dtype=torch.bool), -torch.inf).logsumexp(1)
    assert (without < 0).all()


@pitfall("Samples of the same class push each other away")
def check_same_class():
    """Two classes of two samples: InfoNCE turns the classmates apart, the supervised loss brings them together."""
    labels = torch.tensor([0, 0, 1, 1])
    same = labels[:, None] == labels

    def supervised(x, y):
        return -((cosines(x, y) / 0.2).log_softmax(1) * same).sum(1).div(same.sum(1)).mean()

    for loss, together in ((lambda x, y: info_nce(cosines(x, y), 0.2), False), (supervised, True)):
        x, y, _ = trained(loss, rows=4, steps=1000)
        mates = cosines(x, y)[same & ~torch.eye(4, dtype=torch.bool)]
        assert (mates > 0.6).all() if together else (mates < 0.2).all(), mates
    s = cosines(torch.randn(4, 8), torch.randn(4, 8)).requires_grad_()
    info_nce(s, 0.2).backward()
    assert (s.grad[~torch.eye(4, dtype=torch.bool)] > 0).all()  # every other row is pushed, classmates too
    for classes, mates in ((2, 31 / 63), (64, 0)):  # the share of classmates among the negatives falls with variety
        labels = torch.arange(64) % classes
        assert abs(((labels[:, None] == labels).sum() - 64) / (64 * 63) - mates) < 1e-3
    x = F.normalize(torch.randn(8, 16))
    twice = torch.cat([x, x])
    assert info_nce(cosines(twice, twice), 0.02) > math.log(2) - 1e-3 and info_nce(cosines(x, x), 0.02) < 0.01


@holds("Output", "In PyTorch", "Cost")
def check_contract():
    for n in (2, 7, 256):
        s = cosines(torch.ones(n, 3), torch.ones(n, 3))
        loss = info_nce(s, 0.07)
        assert s.shape == (n, n) and loss.shape == () and abs(loss.item() - math.log(n)) < 1e-5
    names = [name.lower().replace("_", "") for name in (*dir(nn), *dir(F))]
    assert not [name for name in names if "infonce" in name or "ntxent" in name or "contrastive" in name]


@holds("Can losses of different batch sizes be compared?")
def check_batch_sizes():
    for seed in range(3):
        torch.manual_seed(seed)
        x = torch.randn(512, 16)
        y = x + torch.randn(512, 16)
        for few, many in ((16, 128), (128, 512)):
            loss = lambda n: np.mean([info_nce(cosines(a, b), 0.1).item() for a, b in zip(x.split(n), y.split(n))])
            losses = {n: loss(n) for n in (few, many)}
            found = {n: math.log(n) - loss for n, loss in losses.items()}
            assert losses[many] > losses[few] + 0.2 and found[many] > found[few] + 0.1
            assert all(found[n] <= math.log(n) for n in found)


@holds("What does a very small temperature do?")
def check_the_hardest_negative():
    negatives = torch.tensor([0.6, 0.5, 0.4, 0.3, 0.2])
    shares = [(negatives / tau).softmax(0)[0].item() for tau in (1.0, 0.01)]
    assert shares[0] < 0.3 and shares[1] > 0.99


@check
def check_temperature_and_library():
    s = cosines(torch.randn(40, 8), torch.randn(40, 8))
    shares = []
    for tau in (1.0, 0.07):
        p = (s / tau).softmax(1).fill_diagonal_(0)
        shares.append((p.max(1).values / p.sum(1)).mean().item())
    assert shares[1] > 5 * shares[0]
    stated("6%", math.exp(-0.2 / 0.07))
    stated("82%", math.exp(-0.2))
    assert not hasattr(F, "info_nce_loss")
    assert 1 / 20.0 == 0.05


@check
def check_gather_with_gradient_is_deprecated():
    from torch.distributed.nn.functional import all_gather

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            all_gather(torch.zeros(1))
        except ValueError:
            pass  # there is no process group here
    assert any("all_gather is deprecated" in str(w.message) for w in caught)


def gradient_of_a_process(kind, rank, x, y, start):
    """What DDP hands to the optimizer: the mean over the processes of their gradients for the weights `start`."""
    from torch.distributed.nn.functional import all_gather

    w, own = start.clone().requires_grad_(), slice(4 * rank, 4 * rank + 4)
    a, b = x[own] @ w, y[own] @ w
    gathered = [[torch.empty_like(t) for _ in range(2)] for t in (a, b)]
    if kind == "plain gather and put back":
        for parts, t in zip(gathered, (a, b)):
            dist.all_gather(parts, t)
            assert not any(part.requires_grad for part in parts)
            parts[rank] = t
    elif kind == "gather with gradient":
        gathered = quietly(lambda: [all_gather(t) for t in (a, b)])
    else:
        gathered = [[a], [b]]
    loss = info_nce(cosines(*map(torch.cat, gathered)), 0.2)
    ((2 if kind == "plain gather and put back" else 1) * loss).backward()
    dist.all_reduce(w.grad)
    return w.grad / 2


@pitfall("Several GPUs do not act like one large batch")
def check_two_processes():
    """Two CPU processes with gloo."""
    x, y, start = torch.randn(8, 5).double(), torch.randn(8, 5).double(), torch.randn(5, 4).double()
    kinds = ("own negatives", "plain gather and put back", "gather with gradient")
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(2):
            child = os.fork()
            if child == 0:
                try:
                    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
                    torch.save([gradient_of_a_process(kind, rank, x, y, start) for kind in kinds], f"{folder}/{rank}")
                    dist.destroy_process_group()
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        found = [torch.load(f"{folder}/{rank}") for rank in range(2)]
    w = start.clone().requires_grad_()
    info_nce(cosines(x @ w, y @ w), 0.2).backward()
    for gradients in found:
        assert not torch.allclose(gradients[0], w.grad, rtol=0.01)
        assert torch.allclose(gradients[1], w.grad) and torch.allclose(gradients[2], w.grad)


@check
def check_own_rows_put_back():
    """Two processes, own rows with gradient, the gradients averaged as DDP does: right for the loss of all rows, times 2."""
    x, y = torch.randn(8, 5, dtype=torch.float64), torch.randn(8, 5, dtype=torch.float64)
    w, mine = torch.randn(5, 4, dtype=torch.float64, requires_grad=True), (torch.arange(8) < 4)[:, None]
    gradient = lambda loss: torch.autograd.grad(loss, w, retain_graph=True)[0]
    exact, a, b = gradient(info_nce(cosines(x @ w, y @ w), 0.2)), x @ w, y @ w
    put_back = [[torch.where(rows, t, t.detach()) for t in (a, b)] for rows in (mine, ~mine)]
    everything = sum(gradient(2 * info_nce(cosines(*pair), 0.2)) for pair in put_back) / 2
    own_queries = 0
    for rows, (left, right) in zip((mine, ~mine), put_back):
        own = rows[:, 0].nonzero()[:, 0]
        own_queries = own_queries + gradient(F.cross_entropy(cosines(left[own], right) / 0.2, own)) / 2
    assert torch.allclose(everything, exact) and not torch.allclose(own_queries, exact, rtol=0.01)
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)  # log(1 / tau), on both processes
    learned = lambda p: F.cross_entropy(cosines(*p).detach() * scale.exp(), torch.arange(8))
    averaged = sum(torch.autograd.grad(2 * learned(pair), scale)[0] for pair in put_back) / 2
    assert torch.isclose(averaged / 2, torch.autograd.grad(learned((a, b)), scale)[0])


@holds("What does a very small temperature do?")
def check_small_temperature_sharpens_the_gradient():
    for s, grows in ((torch.tensor([[0.5, 0.6, 0.1]]), True), (torch.tensor([[0.9, 0.6, 0.1]]), False)):
        sizes = []
        for tau in (0.2, 0.02):
            x = s.clone().requires_grad_()
            sizes.append(torch.autograd.grad(F.cross_entropy(x / tau, torch.tensor([0])), x)[0].abs().max().item())
        assert (sizes[1] > sizes[0]) is grows
