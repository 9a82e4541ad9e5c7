import copy
import math

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models import resnet18

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

MOCO = r"L_q = -\ln \frac{e^{q^\top k_+/\tau}}{e^{q^\top k_+/\tau} + \sum_{i=1}^{K} e^{q^\top k_i/\tau}}"
MOMENTUM = r"\theta_k^{(t)} = m\, \theta_k^{(t-1)} + (1 - m)\, \theta_q^{(t)}"
NT_XENT = r"""
L = \frac{1}{2N} \sum_{n=1}^{N} \left( \ell_{2n-1,2n} + \ell_{2n,2n-1} \right), \qquad
\ell_{ij} = -\ln \frac{e^{s_{ij}/\tau}}{\sum_{k \ne i} e^{s_{ik}/\tau}}
"""

by_definition("Cost")
sourced("MoCo, arXiv 1911.05722", "MoCo v1", "Defaults", "Why not train the key encoder by gradient?")
sourced("MoCo v2, arXiv 2003.04297", "MoCo v2", "Defaults", "What do MoCo v2 and SimCLR share?")
sourced("MoCo v3, arXiv 2104.02057", "MoCo v3", "Why did MoCo v3 drop the queue?")
sourced("SimCLR, arXiv 2002.05709", "SimCLR v1", "Output", "Defaults", "Which layer is used afterwards?")
sourced("MoCo 1911.05722, SimCLR 2002.05709, MoCo v2 2003.04297", "How good are the features?")
sourced("SimCLR v2, arXiv 2006.10029", "SimCLR v2", "Which layer is used afterwards?")
sourced("DINO, arXiv 2104.14294", "DINO")


@formula(MOCO)
def check_moco_loss():
    for K, d in ((1, 3), (7, 4), (200, 16)):
        for tau in (0.07, 0.2, 1.0):
            q, key = (F.normalize(torch.randn(d, dtype=torch.float64), dim=0) for _ in range(2))
            queue = F.normalize(torch.randn(K, d, dtype=torch.float64), dim=1)
            logits = torch.cat([(q @ key)[None], queue @ q]) / tau
            a, b = math.exp(float(q.numpy() @ key.numpy()) / tau), np.exp(queue.numpy() @ q.numpy() / tau).sum()
            np.testing.assert_allclose(
                -math.log(a / (a + b)), F.cross_entropy(logits[None], torch.tensor([0])).item(), rtol=1e-8, atol=1e-10
            )


@formula(MOMENTUM)
def check_momentum_update():
    for m in (0.0, 0.9, 0.999):
        net = torch.nn.Linear(3, 2).double()
        average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(m))
        average.update_parameters(net)
        theta = net.weight.detach().numpy().copy()
        for _ in range(4):
            with torch.no_grad():
                net.weight += torch.randn(2, 3, dtype=torch.float64)
            theta = m * theta + (1 - m) * net.weight.detach().numpy()
            average.update_parameters(net)
        np.testing.assert_allclose(theta, average.module.weight.detach().numpy(), rtol=1e-9)


@formula(NT_XENT)
def check_nt_xent():
    for N, d, tau in ((2, 3, 0.5), (5, 8, 0.1), (1, 4, 1.0)):
        z = F.normalize(torch.randn(2 * N, d, dtype=torch.float64), dim=1)
        s = z.numpy() @ z.numpy().T
        ell = lambda i, j: (
            -math.log(math.exp(s[i, j] / tau) / sum(math.exp(s[i, k] / tau) for k in range(2 * N) if k != i))
        )
        ours = sum(ell(2 * n, 2 * n + 1) + ell(2 * n + 1, 2 * n) for n in range(N)) / (2 * N)
        partner = torch.arange(2 * N) ^ 1
        library = F.cross_entropy((z @ z.T / tau).fill_diagonal_(-torch.inf), partner)
        np.testing.assert_allclose(ours, library.item(), rtol=1e-9, atol=1e-12)


@check
def check_by_hand():
    s = torch.tensor([[0.8, 0.4, 0.0]], dtype=torch.float64)
    stated("0.1429", F.cross_entropy(s / 0.2, torch.tensor([0])))
    stated("0.0033", F.cross_entropy(s / 0.07, torch.tensor([0])))
    stated("11.0904", F.cross_entropy(torch.zeros(1, 65537, dtype=torch.float64), torch.tensor([0])))
    stated("256", 65536 / 256)
    stated("0.774", 0.999**256)
    stated("8,190", 2 * 4096 - 2)
    stated("67,108,864", (2 * 4096) ** 2)


@pitfall("The loss never falls below ln 2")
def check_enqueue_before_the_loss_is_bounded_by_ln_2():
    q = F.normalize(torch.randn(8, 16), dim=1)
    far = F.normalize(torch.randn(30, 16), dim=1)
    queue = torch.cat([q, far])  # perfect keys, already in the queue
    logits = torch.cat([torch.ones(8, 1), q @ queue.T], dim=1) / 0.07
    losses = F.cross_entropy(logits, torch.zeros(8, dtype=torch.long), reduction="none")
    assert losses.min() >= math.log(2) - 1e-6
    good = torch.cat([torch.ones(8, 1), q @ far.T], dim=1) / 0.07
    assert F.cross_entropy(good, torch.zeros(8, dtype=torch.long)) < math.log(2)
    for early in (True, False):  # a queue written in place
        network, queue = torch.nn.Linear(16, 16), far.clone()
        z = F.normalize(network(q), dim=1)
        loss = F.cross_entropy(torch.cat([(z * q).sum(1, keepdim=True), z @ queue.T], 1), torch.zeros(8).long())
        if early:
            queue[:8] = q
            raises(RuntimeError, loss.backward, "inplace operation")
        else:
            loss.backward()
            queue[:8] = q
            assert network.weight.grad.abs().sum() > 0


@check
def check_batchnorm_mixes_samples():
    norm = torch.nn.BatchNorm1d(4)
    x = torch.randn(6, 4)
    assert not torch.allclose(norm(x)[:1], norm(torch.cat([x[:1], x[1:] + 2]))[:1], atol=0.1)


@pitfall("The loss falls fast, but the features are poor")
def check_batch_statistics_tell_the_pair():
    """What the batch adds to an embedding is alike for query and key of one small batch; no training on GPUs."""
    torch.manual_seed(0)
    images = torch.randn(256, 32)
    norm = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.BatchNorm1d(32, affine=False))
    view = lambda: images + 0.1 * torch.randn_like(images)

    def added(batch, order, size):
        """Embeddings in batches of a size, in an order, minus those with the statistics of all images."""
        parts = torch.cat([norm(part) for part in batch[order].split(size)])[order.argsort()]
        return F.normalize(parts - norm(batch), dim=1) if size < len(batch) else torch.zeros_like(parts)

    same, shuffled = torch.arange(256), torch.randperm(256)
    with torch.no_grad():
        likeness = lambda a, b: (a * b).sum(1).mean()
        query = added(view(), same, 4)
        assert likeness(query, added(view(), same, 4)) > 0.8
        keys = norm(images[shuffled])
        assert not torch.allclose(keys, norm(images), atol=0.1)  # without the way back the pairs do not match
        assert torch.allclose(keys[shuffled.argsort()], norm(images), atol=1e-4)
        assert abs(likeness(query, added(view(), shuffled, 4))) < 0.25  # as MoCo does
        assert (added(view(), same, 256) == 0).all()  # synchronized: the same statistics for all
        # Queued keys come from other batches: even synchronized, a batch of 64 has a mark of its own (moco issue #46).
        assert likeness(added(view(), same, 64), added(view(), same, 64)) > 0.8
        assert abs(likeness(added(view(), same, 64), added(view(), same, 64).roll(64, 0))) < 0.6


def little_moco(m, steps=350):
    """The training of the figure: losses, accuracies, and the cosine of the mean new key with the queue's mean."""
    torch.manual_seed(0)
    query_net = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16))
    key_net = copy.deepcopy(query_net).requires_grad_(False)
    queue = F.normalize(torch.randn(1024, 16), dim=1)
    optimizer = torch.optim.SGD(query_net.parameters(), 0.2)
    losses, right, turned = [], [], []
    for _ in range(steps):
        x = torch.randn(64, 32)
        q = F.normalize(query_net(x + 0.3 * torch.randn_like(x)), dim=1)
        for k, p in zip(key_net.parameters(), query_net.parameters()):
            k.lerp_(p.detach(), 1 - m)
        key = F.normalize(key_net(x + 0.3 * torch.randn_like(x)), dim=1)
        logits = torch.cat([(q * key).sum(1, keepdim=True), q @ queue.T], dim=1) / 0.2
        loss = F.cross_entropy(logits, torch.zeros(64, dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        right.append((logits.argmax(1) == 0).float().mean().item())
        turned.append((key.mean(0) @ queue.mean(0)).item())
        queue = torch.cat([key, queue])[:1024]
    return losses, right, turned, key.mean(0).norm()


@pitfall("Accuracy starts at 100 % and then collapses, the loss rises", "Training swings instead of converging")
def check_the_first_steps_and_the_momentum():
    losses, right, turned, common = little_moco(0.99)
    assert right[0] > 0.9 and min(right[1:16]) < 0.7 and max(losses[1:32]) > losses[0] + 0.5
    assert np.mean(right[-30:]) > 0.9  # long after 1,024 / 64 = 16 steps
    low, _, turning, shared = little_moco(0.0)
    assert shared > 2 * common and np.mean(turning[-50:]) < -0.02 < np.mean(turned[-50:])
    assert np.mean(low[-50:]) < np.mean(losses[-50:]) - 0.1


@pitfall("More GPUs, no better SimCLR")
def check_each_process_sees_only_its_part():
    """Four parts of a batch stand for four processes, concatenation for the gathering with gradient."""

    def loss(z):  # views 2n and 2n + 1 of image n
        scores = (z @ z.T / 0.1).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
        return F.cross_entropy(scores, torch.arange(len(z)) ^ 1)

    one = F.normalize(torch.randn(16, 8, dtype=torch.float64), dim=1)
    parts = [one.clone().requires_grad_() for _ in range(4)]  # all four processes crowd the same places
    apart = sum(loss(part) for part in parts) / 4
    assert torch.isclose(apart, loss(one))  # as with one process
    gathered = loss(torch.cat(parts))
    assert gathered > apart + 1
    whole = torch.cat([one] * 4).requires_grad_()
    loss(whole).backward()
    gathered.backward()
    assert torch.allclose(torch.cat([part.grad for part in parts]), whole.grad)


@holds("Input", "Output", "Parameters", "Same in train and eval?")
def check_contract():
    norm, head = torch.nn.BatchNorm2d(4), torch.nn.BatchNorm1d(4)
    assert norm(torch.randn(1, 4, 7, 7)).shape == (1, 4, 7, 7)
    raises(ValueError, lambda: head(torch.randn(1, 4)), "more than 1 value per channel")
    assert head.eval()(torch.randn(1, 4)).shape == (1, 4)
    image = torch.randn(5, 4, 7, 7)
    assert not torch.allclose(norm.train()(image), norm.eval()(image), atol=1e-3)
    encoder = resnet18(norm_layer=torch.nn.BatchNorm2d)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in encoder.modules())
    q, k = (F.normalize(torch.randn(6, 128), dim=1) for _ in range(2))
    queue = F.normalize(torch.randn(50, 128), dim=1)
    assert torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1).shape == (6, 1 + 50)
    assert (torch.cat([q, k]) @ torch.cat([q, k]).T).shape == (12, 12)
    second = copy.deepcopy(encoder).requires_grad_(False)
    count = lambda net: sum(p.numel() for p in net.parameters())
    assert count(second) == count(encoder) and not any(p.requires_grad for p in second.parameters())
