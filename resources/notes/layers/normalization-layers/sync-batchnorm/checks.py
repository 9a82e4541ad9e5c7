import os
import tempfile
from datetime import timedelta

import numpy as np
import torch
import torchvision
from torch import distributed, nn

from note_checks import check, formula, pitfall, raises, stated

MERGED = r"""
m = \sum_d m_d, \qquad
\mu = \frac{1}{m} \sum_d m_d\, \mu_d, \qquad
\sigma^2 = \frac{1}{m} \sum_d m_d \left( \sigma_d^2 + (\mu_d - \mu)^2 \right)
"""
GRADIENT = r"""
\frac{\partial L}{\partial x} = \frac{\gamma}{\sqrt{\sigma^2 + \varepsilon}} \left( g - \frac{1}{m}\sum g - \frac{\hat{x}}{m} \sum g\, \hat{x} \right)
"""


def merged(parts):
    """Count, mean and biased variance of the union, from those of the parts (each of shape (n, C))."""
    counts = np.array([len(part) for part in parts], dtype=float)
    means, variances = np.stack([part.mean(0) for part in parts]), np.stack([part.var(0) for part in parts])
    m = counts.sum()
    mu = (counts[:, None] * means).sum(0) / m
    return m, mu, (counts[:, None] * (variances + (means - mu) ** 2)).sum(0) / m


# verified: formula-only (several devices need accelerators); compared with BatchNorm over the union of the batches
@formula(MERGED)
def check_merged_statistics():
    for sizes in [(4, 4), (1, 7, 3), (2, 2, 2, 2), (5,), (1, 1)]:
        layer = nn.BatchNorm1d(3).double()
        nn.init.normal_(layer.weight)
        x = torch.randn(sum(sizes), 3, dtype=torch.float64) * 3 + torch.arange(sum(sizes))[:, None]
        library = layer(x)
        m, mu, variance = merged([part.numpy() for part in x.split(list(sizes))])
        np.testing.assert_allclose((x.numpy() - mu) / np.sqrt(variance + 1e-5) * layer.weight.detach().numpy(), library.detach().numpy(), atol=1e-10)
        np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * mu, atol=1e-12)
        np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * variance * m / (m - 1), atol=1e-10)
        if len(sizes) > 1:
            wrong = np.average([part.numpy().var(0) for part in x.split(list(sizes))], axis=0, weights=sizes)
            assert not np.allclose(wrong, variance, rtol=0.01)


@formula(GRADIENT)
def check_gradient():
    layer = nn.SyncBatchNorm(4).double()
    nn.init.normal_(layer.weight)
    x = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    y.retain_grad()
    y.sin().sum().backward()
    g, xn = y.grad.numpy(), x.detach().numpy()
    root = np.sqrt(xn.var(0) + 1e-5)
    x_hat = (xn - xn.mean(0)) / root
    ours = layer.weight.detach().numpy() / root * (g - g.sum(0) / 9 - x_hat / 9 * (g * x_hat).sum(0))
    np.testing.assert_allclose(ours, x.grad.numpy(), atol=1e-10)


@check
def check_worked_example():
    x = torch.tensor([[2.0], [4.0], [6.0], [8.0]])
    for part in x.chunk(2):
        assert torch.allclose(nn.BatchNorm1d(1)(part).flatten(), torch.tensor([-1.0, 1.0]), atol=1e-4)
    for text, value in zip(["−1.3416", "−0.4472", "0.4472", "1.3416"], nn.SyncBatchNorm(1)(x).detach().flatten()):
        stated(text, value)


@check
def check_contract():
    layer = nn.SyncBatchNorm(4)
    assert (layer.eps, layer.momentum, layer.affine, layer.track_running_stats, layer.process_group) == (1e-5, 0.1, True, True, None)
    assert {name for name, _ in layer.named_buffers()} == {"running_mean", "running_var", "num_batches_tracked"}
    x = torch.randn(3, 4, 5, 5)
    assert torch.equal(layer(x), nn.BatchNorm2d(4)(x)) and nn.SyncBatchNorm(4)(x[:, :, 0, 0]).shape == (3, 4)
    for wrong in (torch.randn(4), torch.randn(1, 4)):
        raises(ValueError, lambda: nn.SyncBatchNorm(4)(wrong))
    assert not torch.allclose(layer.train()(x), layer.eval()(x), atol=1e-3)


@pitfall('"SyncBatchNorm expected input tensor to be on GPU"')
def check_cpu_with_a_process_group():
    """The fix for the CPU is run; moving the data to an accelerator is not."""
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        nn.SyncBatchNorm(4)(torch.randn(3, 4))
    except ValueError as error:
        assert str(error).startswith("SyncBatchNorm expected input tensor to be on GPU")
    else:
        raise AssertionError("expected an error")
    finally:
        assert nn.SyncBatchNorm(4).eval()(torch.randn(3, 4)).shape == (3, 4)
        x, untracked = torch.randn(3, 4) + 5, nn.SyncBatchNorm(4, track_running_stats=False).eval()
        assert untracked(x).mean(0).abs().max() < 1e-5
        distributed.destroy_process_group()
    assert torch.equal(nn.SyncBatchNorm(4)(x), nn.BatchNorm1d(4)(x))


def waits_for(calls, rank, folder):
    """Whether a process that calls a layer's exchange of statistics so often finishes; the other rank calls it twice."""
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=0.5))
    try:
        for _ in range(calls):
            distributed.all_gather([torch.zeros(3) for _ in range(2)], torch.ones(3))
    except RuntimeError:
        return False
    return True


@pitfall("Training hangs without a message")
def check_every_process_must_call_the_layer():
    """The layer needs accelerators; its all-gather runs here over gloo, with a time limit in place of the long wait."""
    for skipped, finishes in ((1, False), (0, True)):
        with tempfile.TemporaryDirectory() as folder:
            other = os.fork()
            if other == 0:
                waits_for(2 - skipped, 1, folder)
                os._exit(0)
            assert waits_for(2, 0, folder) is finishes
            os.waitpid(other, 0)
            distributed.destroy_process_group()


@pitfall("It changes nothing under `nn.DataParallel`")
def check_without_a_process_group_nothing_is_exchanged():
    """One process, no group, as in DataParallel; DDP on several devices is not run, its result is the formula."""
    parts = [torch.randn(4, 3, dtype=torch.float64) + 3 * d for d in range(2)]
    _, mu, variance = merged([part.numpy() for part in parts])
    for part in parts:
        alone = nn.SyncBatchNorm(3).double()(part).detach()
        assert torch.equal(alone, nn.BatchNorm1d(3).double()(part))
        assert not np.allclose(alone, (part.numpy() - mu) / np.sqrt(variance + 1e-5), atol=0.3)
    together = nn.BatchNorm1d(3).double()(torch.cat(parts)).detach().numpy()
    np.testing.assert_allclose((torch.cat(parts).numpy() - mu) / np.sqrt(variance + 1e-5), together, atol=1e-10)


@pitfall("The conversion has no effect")
def check_conversion():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GroupNorm(2, 8))
    old = net[1]
    assert nn.SyncBatchNorm.convert_sync_batchnorm(net) is net and type(net[1]) is nn.SyncBatchNorm and net[1].weight is old.weight
    assert type(net[2]) is nn.GroupNorm
    single = nn.BatchNorm2d(3)
    assert type(nn.SyncBatchNorm.convert_sync_batchnorm(single)) is nn.SyncBatchNorm and type(single) is nn.BatchNorm2d


@check
def check_resnet50():
    with torch.device("meta"):
        layers = [m for m in torchvision.models.resnet50().modules() if isinstance(m, nn.BatchNorm2d)]
    stated("53", len(layers))
    stated("26,560", sum(layer.num_features for layer in layers))
