import inspect
import os
import tempfile
from datetime import timedelta

import numpy as np
import torch
import torchvision
from torch import distributed, nn

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

MERGED = r"""
m = \sum_d m_d, \qquad
\mu = \frac{1}{m} \sum_d m_d\, \mu_d, \qquad
\sigma^2 = \frac{1}{m} \sum_d m_d \left( \sigma_d^2 + (\mu_d - \mu)^2 \right)
"""
GRADIENT = r"""
\frac{\partial L}{\partial x} = \frac{\gamma}{\sqrt{\sigma^2 + \varepsilon}} \left( g - \frac{1}{m}\sum g - \frac{\hat{x}}{m} \sum g\, \hat{x} \right)
"""

EXCHANGE = inspect.getsource(torch.nn.modules._functions.SyncBatchNorm)

sourced(
    "Group Normalization, arXiv 1803.08494, table 2: BatchNorm 23.7 % at 16 images per GPU; GroupNorm 24.1 at 2",
    "BatchNorm",
    "GroupNorm",
)
sourced("MegDet, arXiv 1711.07240, section 3 (cross-GPU batch norm); EncNet, arXiv 1803.08904", "SyncBatchNorm")
sourced("PyTorch issue #22192", "Must all devices have equal batch sizes?")


def merged(parts):
    """Count, mean and biased variance of the union, from those of the parts (each of shape (n, C))."""
    counts = np.array([len(part) for part in parts], dtype=float)
    means, variances = np.stack([part.mean(0) for part in parts]), np.stack([part.var(0) for part in parts])
    m = counts.sum()
    mu = (counts[:, None] * means).sum(0) / m
    return m, mu, (counts[:, None] * (variances + (means - mu) ** 2)).sum(0) / m


# verified: formula-only (several devices need accelerators); compared with BatchNorm over the union of the batches
@formula(MERGED)
@holds("Must all devices have equal batch sizes?")
def check_merged_statistics():
    for sizes in [(4, 4), (1, 7, 3), (2, 2, 2, 2), (5,), (1, 1)]:
        layer = nn.BatchNorm1d(3).double()
        nn.init.normal_(layer.weight)
        x = torch.randn(sum(sizes), 3, dtype=torch.float64) * 3 + torch.arange(sum(sizes))[:, None]
        library = layer(x)
        m, mu, variance = merged([part.numpy() for part in x.split(list(sizes))])
        np.testing.assert_allclose(
            (x.numpy() - mu) / np.sqrt(variance + 1e-5) * layer.weight.detach().numpy(),
            library.detach().numpy(),
            atol=1e-10,
        )
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


@holds("Communication", "SyncBatchNorm")
def check_what_the_devices_exchange():
    """The layer needs accelerators; its own source says what is sent."""
    forward, backward = EXCHANGE.split("def backward")
    assert "combined = torch.cat([mean, invstd, count], dim=0)" in forward and "combined_size * world_size" in forward
    assert forward.count("all_reduce") == 0 < forward.count("dist.all_gather") and "all_gather" not in backward
    assert "combined = torch.cat([sum_dy, sum_dy_xmu], dim=0)" in backward
    assert backward.count(".all_reduce(") == 2  # one of them for an empty input
    called = inspect.getsource(nn.SyncBatchNorm.forward)
    assert "need_sync = (\n            bn_training\n            and self.training" in called


@holds("BatchNorm", "GroupNorm", "frozen BatchNorm")
def check_the_alternatives_do_not_communicate():
    """A process without a group computes them; what one sample's output depends on, the gradient shows."""
    x = torch.randn(3, 4, 2, 2, requires_grad=True)
    frozen = torchvision.ops.FrozenBatchNorm2d(4)
    for layer, others in ((nn.BatchNorm2d(4), True), (nn.GroupNorm(2, 4), False), (frozen, False)):
        x.grad = None
        layer(x)[0].sin().sum().backward()
        assert bool((x.grad[1:].abs() > 1e-7).any()) is others
    assert torch.equal(frozen.train()(x), frozen.eval()(x)) and not list(frozen.parameters())
    detector = inspect.getsource(torchvision.models.detection.fasterrcnn_resnet50_fpn)
    assert "misc_nn_ops.FrozenBatchNorm2d if is_trained else nn.BatchNorm2d" in detector


@holds("Does gradient averaging in DDP not do the same?")
def check_averaged_gradients_differ():
    x, wanted = torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 2, dtype=torch.float64)
    x[4:] += 2

    def gradient(pieces, normalize):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 2), normalize).double()
        for rows in pieces:  # averaged as DDP does, or accumulated: the same sum
            (nn.functional.mse_loss(net(x[rows]), wanted[rows]) / len(pieces)).backward()
        return net[0].weight.grad

    halves, whole = [slice(0, 4), slice(4, 8)], [slice(0, 8)]
    assert (gradient(halves, nn.BatchNorm1d(2)) - gradient(whole, nn.BatchNorm1d(2))).abs().max() > 0.01
    assert torch.allclose(gradient(halves, nn.Identity()), gradient(whole, nn.Identity()))


@holds("What if each device has one value per channel?")
def check_one_value_per_device():
    raises(ValueError, lambda: nn.BatchNorm1d(3)(torch.randn(1, 3)), "more than 1 value per channel")
    assert "if size == 1 and world_size < 2:" in EXCHANGE
    parts = [np.random.randn(1, 3) for _ in range(2)]
    m, _, variance = merged(parts)
    assert m == 2 and (variance > 0).all()


@holds("Input → output", "dtype", "Device", "Parameters, buffers", "Defaults", "Same in train and eval?")
def check_contract():
    layer = nn.SyncBatchNorm(4)
    assert all(b.shape == (4,) for name, b in layer.state_dict().items() if name != "num_batches_tracked")
    assert {name for name, _ in layer.named_parameters()} == {"weight", "bias"}
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert nn.SyncBatchNorm(4).to(dtype)(torch.randn(3, 4, 2, dtype=dtype)).dtype == dtype
    assert (layer.eps, layer.momentum, layer.affine, layer.track_running_stats, layer.process_group) == (
        1e-5,
        0.1,
        True,
        True,
        None,
    )
    assert {name for name, _ in layer.named_buffers()} == {"running_mean", "running_var", "num_batches_tracked"}
    x = torch.randn(3, 4, 5, 5)
    assert torch.equal(layer(x), nn.BatchNorm2d(4)(x)) and nn.SyncBatchNorm(4)(x[:, :, 0, 0]).shape == (3, 4)
    for wrong in (torch.randn(4), torch.randn(1, 4)):
        raises(ValueError, lambda: nn.SyncBatchNorm(4)(wrong))
    assert not torch.allclose(layer.train()(x), layer.eval()(x), atol=1e-3)


@holds("Device", "Same in train and eval?")
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
        net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        wrapped = nn.parallel.DistributedDataParallel(net)
        wrapped(x).pow(3).sum().backward()
        assert all(p.grad is not None for p in net.parameters())
        synchronized = nn.SyncBatchNorm.convert_sync_batchnorm(net)
        raises(ValueError, lambda: nn.parallel.DistributedDataParallel(synchronized), "only work with GPU modules")
        distributed.destroy_process_group()
    raises(ValueError, lambda: nn.parallel.DistributedDataParallel(nn.Linear(4, 4)), "process group")
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
    assert "SyncBatchNorm" in nn.parallel.DistributedDataParallel.join.__doc__
    assert "10 minutes for NCCL" in distributed.init_process_group.__doc__
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
    assert (
        nn.SyncBatchNorm.convert_sync_batchnorm(net) is net
        and type(net[1]) is nn.SyncBatchNorm
        and net[1].weight is old.weight
    )
    assert type(net[2]) is nn.GroupNorm
    single = nn.BatchNorm2d(3)
    assert type(nn.SyncBatchNorm.convert_sync_batchnorm(single)) is nn.SyncBatchNorm and type(single) is nn.BatchNorm2d


@holds("Why not synchronize always?")
def check_resnet50():
    with torch.device("meta"):
        layers = [m for m in torchvision.models.resnet50().modules() if isinstance(m, nn.BatchNorm2d)]
    stated("53", len(layers))
    stated("26,560", sum(layer.num_features for layer in layers))
