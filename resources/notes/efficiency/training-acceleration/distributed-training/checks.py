import inspect
import math

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.data.distributed import DistributedSampler

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated
from programs import printed_by_ranks
from trainings import handwritten_digits

AVERAGE = r"g = \frac{1}{R} \sum_{r=1}^{R} \nabla L_r, \qquad \nabla L = \sum_{r=1}^{R} \frac{n_r}{N} \nabla L_r"
RING = r"V = 2\,\frac{R - 1}{R}\,B"
MEMORY = r"m_0 = 16, \qquad m_1 = 8 + \frac{8}{R}, \qquad m_2 = 4 + \frac{12}{R}, \qquad m_3 = \frac{16}{R}"
BUBBLE = r"\text{bubble} = \frac{S - 1}{M + S - 1}"

by_definition("Effective batch", "Accumulation")
sourced("pytorch.org docs, torchrun (elastic launch) and torch.distributed: which backend to use", "Start", "Backends")
sourced(
    "ZeRO, arXiv 1910.02054, sections 5 and 7 (parameters gathered, gradients reduced part by part)", "ZeRO-3, FSDP"
)
sourced(
    "Narayanan et al., arXiv 2104.04473, section 3.2, takeaway 1; Megatron-LM, arXiv 1909.08053, section 3",
    "Tensor parallel",
    "Pipeline",
)
sourced(
    "Li et al., arXiv 2006.15704, section 3.2 (bucketing, overlap)", "How can communication hide behind computation?"
)


# The ranks meet in a file, so no port is fixed; gloo takes free ones.
PROGRAM = """
import datetime, sys, tempfile, torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

def worker(rank, store, out, sizes):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=datetime.timedelta(seconds=25))
    torch.manual_seed(rank)
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 1, dtype=torch.float64))
    start = sum(sizes[:rank])
    x = torch.linspace(-1, 2, 3 * sum(sizes), dtype=torch.float64).view(-1, 3)[start : start + sizes[rank]]
    model(x).square().mean().backward()
    out[rank] = model.module.weight.grad[0]
    dist.destroy_process_group()

out = torch.zeros(2, 3, dtype=torch.float64).share_memory_()
with tempfile.TemporaryDirectory() as folder:
    mp.start_processes(worker, (folder + "/store", out, [int(s) for s in sys.argv[1:]]), nprocs=2, start_method="fork")
print(out.tolist())
"""


# Two ranks with shares of 3 and 2 rows; prints what each rank got in each mode. A rank that waits in vain gives the seconds until its error.
SHARES = """
import contextlib, datetime, sys, tempfile, time, torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

def worker(rank, store, out, mode):
    hanging = mode in ("skipped", "uneven")
    limit = datetime.timedelta(seconds=2 if hanging else 25)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=limit)
    model, rows = nn.parallel.DistributedDataParallel(nn.Linear(3, 1)), torch.ones(5, 3)[rank::2]
    right, start = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0])[rank::2], time.monotonic()
    try:
        if mode == "evaluate":
            model.eval(), [model.module(row[None]) for row in rows]
            total = torch.tensor([right.sum(), len(right)])
            dist.all_reduce(total)
            out[rank] = total[0] / total[1]
        elif mode in ("own", "sent"):
            norm = nn.parallel.DistributedDataParallel(nn.BatchNorm1d(3))
            norm(rows * (1 + rank))
            if mode == "sent":
                [dist.broadcast(buffer, 0) for buffer in norm.module.buffers()]
            out[rank] = norm.module.running_mean[0]
        elif mode in ("twice", "changed"):
            torch.manual_seed(rank)
            both = nn.parallel.DistributedDataParallel(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)))
            both.module[1].weight.data += rank * (mode == "changed")
            optimizer = torch.optim.SGD(both.parameters(), 0.1)
            for _ in range(2):
                both(rows * (1 + rank)).mean().backward()
                optimizer.step()
            out[rank] = both.module[0].running_mean[0] if mode == "twice" else both.module[1].weight[0, 0]
        elif mode in ("skipped", "called"):
            if mode == "called" or rank == 0:
                dist.all_reduce(total := torch.ones(1))
                out[rank] = total
        elif mode == "least":
            dist.all_reduce(count := torch.tensor(len(rows)), dist.ReduceOp.MIN)
            [model(row[None]).sum().backward() for row in rows[:count]]
            out[rank] = count
        elif mode in ("plain", "moving", "schedule"):
            optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9 * (mode == "moving"))
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10**6)
            for epoch in range(2):
                with model.join():
                    for i, row in enumerate(rows):
                        optimizer.zero_grad()
                        model(row[None]).sum().backward()
                        optimizer.step()
                        scheduler.step()
                        if epoch == 1 and i == 0:
                            out[rank] = model.module.weight[0, 0]
            if mode == "schedule":
                out[rank] = scheduler.last_epoch
        else:
            with model.join() if mode == "join" else contextlib.nullcontext():
                for row in rows:
                    model(row[None]).sum().backward()
            out[rank] = len(rows)
        time.sleep(3 if hanging else 0)          # this rank is still at work, only not in the collective
    except RuntimeError:
        out[rank] = time.monotonic() - start
        return
    dist.destroy_process_group()

outs = {mode: torch.zeros(2).share_memory_() for mode in sys.argv[1:]}
for mode, out in outs.items():
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(worker, (folder + "/store", out, mode), nprocs=2, start_method="fork")
print([out.tolist() for out in outs.values()])
"""


@formula(AVERAGE)
@holds("`DistributedDataParallel` (DDP)", "DDP")
def check_average_of_ranks():
    for sizes in ((2, 2), (3, 1)):
        out = printed_by_ranks(PROGRAM, *sizes)
        torch.manual_seed(0)
        layer = nn.Linear(3, 1, dtype=torch.float64)
        w, b = layer.weight.detach().numpy()[0], layer.bias.item()
        x = np.linspace(-1, 2, 3 * sum(sizes)).reshape(-1, 3)
        gradients = [2 * (part @ w + b) @ part / len(part) for part in np.split(x, np.cumsum(sizes)[:-1])]
        full = 2 * (x @ w + b) @ x / len(x)
        np.testing.assert_allclose(out[0], sum(gradients) / 2, rtol=1e-9)
        np.testing.assert_array_equal(out[0], out[1])
        np.testing.assert_allclose(sum(n * g for n, g in zip(sizes, gradients)) / sum(sizes), full, rtol=1e-9)
        assert np.allclose(out[0], full) == (sizes[0] == sizes[1])


@holds("Tensor parallel")
def check_a_split_block_of_two_layers_needs_one_sum():
    x, A, B = torch.randn(5, 8), torch.randn(8, 16), torch.randn(16, 8)
    x.requires_grad_()
    parts = [torch.relu(x @ A[:, half]) @ B[half] for half in (slice(8), slice(8, 16))]
    whole = torch.relu(x @ A) @ B
    assert torch.allclose(sum(parts), whole, atol=1e-4)  # forward: one sum behind both matrices
    g = [torch.autograd.grad(part.sum(), x)[0] for part in parts]  # backward: the input's gradients are summed
    assert torch.allclose(sum(g), torch.autograd.grad(whole.sum(), x)[0], atol=1e-4)


# verified: formula-only (a ring is simulated, its bytes are counted)
@formula(RING)
@holds("Does DDP's traffic per GPU grow with their number?")
def check_ring_all_reduce():
    for R, width in ((2, 6), (4, 3), (8, 5)):
        data = np.random.randn(R, R, width)
        total, sent = data.sum(0), np.zeros(R)
        for phase in range(2):
            for step in range(R - 1):
                moves = [(r, (r - step + phase) % R) for r in range(R)]
                payload = [data[r, chunk].copy() for r, chunk in moves]
                for (r, chunk), values in zip(moves, payload):
                    target = (r + 1) % R
                    data[target, chunk] = values if phase else data[target, chunk] + values
                    sent[r] += values.nbytes
        np.testing.assert_allclose(data, np.broadcast_to(total, data.shape), atol=1e-12)
        np.testing.assert_allclose(sent, 2 * (R - 1) / R * total.nbytes)
        assert 2 * R - 2 == (phase + 1) * (step + 1)  # messages of one rank
        assert sent.max() < 2 * total.nbytes and (R > 2 or math.isclose(sent.max(), total.nbytes))


@formula(MEMORY)
def check_bytes_per_parameter():
    p = nn.Parameter(torch.randn(840))
    optimizer = torch.optim.Adam([p])
    p.sum().backward()
    optimizer.step()
    weight, gradient = p.untyped_storage().nbytes() / 840, p.grad.untyped_storage().nbytes() / 840
    state = sum(optimizer.state[p][name].untyped_storage().nbytes() for name in ("exp_avg", "exp_avg_sq")) / 840
    for R in (2, 4, 8):
        for stage, ours in enumerate((16, 8 + 8 / R, 4 + 12 / R, 16 / R)):
            parts = (
                weight / (R if stage >= 3 else 1),
                gradient / (R if stage >= 2 else 1),
                state / (R if stage >= 1 else 1),
            )
            assert math.isclose(sum(parts), ours)
    stated("112", (weight + gradient + state) * 7)
    stated("14", (weight + gradient + state) / 8 * 7)


# verified: formula-only (the schedule is simulated)
@formula(BUBBLE)
def check_bubble():
    for S, M in ((4, 8), (2, 1), (8, 32), (1, 5)):
        end = np.zeros((S, M))
        for s in range(S):
            for m in range(M):
                end[s, m] = 1 + max(end[s - 1, m] if s else 0, end[s, m - 1] if m else 0)
        idle = 1 - S * M / (S * end.max())
        assert math.isclose(idle, (S - 1) / (M + S - 1), abs_tol=1e-12)
    stated("27%", 3 / 11)


@holds("Does DDP broadcast weights after each step?")
def check_what_is_broadcast():
    means, changed = printed_by_ranks(SHARES, "twice", "changed")
    np.testing.assert_allclose(means, [0.19, 0.29], rtol=1e-5)  # rank 1 went on from rank 0's mean, 0.1
    np.testing.assert_allclose(changed[1] - changed[0], 1, rtol=1e-4)  # a difference in the weights stays


@check
def check_buckets_hold_copies_by_default():
    parameters = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    assert parameters["gradient_as_bucket_view"].default is False
    assert (
        parameters["forward_sync_buffers"].default is None and parameters["broadcast_buffers"].default is None
    )  # both mean True


@check
def check_resnet_traffic():
    count = sum(p.numel() for p in torchvision.models.resnet50(weights=None).parameters())
    stated("25,557,032", count)
    stated("102.2", count * 4 / 1e6)
    stated("178.9", 2 * 7 / 8 * count * 4 / 1e6)


@pitfall("Every epoch has the same order")
@holds("`DistributedSampler`")
def check_sampler():
    parts = [list(DistributedSampler(range(5), num_replicas=2, rank=rank, shuffle=False)) for rank in range(2)]
    assert parts == [[0, 2, 4], [1, 3, 0]]
    for N, R in ((5, 2), (10, 4), (12, 3)):
        assert all(len(DistributedSampler(range(N), num_replicas=R, rank=r)) == math.ceil(N / R) for r in range(R))
    sampler = DistributedSampler(range(50), num_replicas=2, rank=0)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(DistributedSampler(range(50), num_replicas=2, rank=0, seed=1)) == list(sampler)


@pitfall("Validation accuracy depends on the number of GPUs")
@holds("Train and eval")
def check_evaluation_without_padding():
    right = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    padded = lambda R: np.mean(
        [right[list(DistributedSampler(range(5), R, rank, shuffle=False))].mean() for rank in range(R)]
    )
    assert padded(1) == right.mean() and padded(2) > right.mean() + 0.05 and padded(3) > right.mean() + 0.05
    assert (
        abs((right[0::2].mean() + right[1::2].mean()) / 2 - right.mean()) > 0.01
    )  # the ranks' averages of unpadded shares
    evaluated, own, sent = printed_by_ranks(SHARES, "evaluate", "own", "sent")
    np.testing.assert_allclose(evaluated, right.mean(), rtol=1e-6)
    np.testing.assert_allclose([own, sent], [[0.1, 0.2], [0.1, 0.1]], rtol=1e-6)  # running means


@pitfall("The job hangs without an error")
def check_collectives_wait_for_all_ranks():
    skipped, called, uneven, joined = printed_by_ranks(SHARES, "skipped", "called", "uneven", "join").tolist()
    assert skipped[0] > 1.8 and skipped[1] == 0 and uneven[0] > 1.8 and uneven[1] == 2, (skipped, uneven)
    assert called == [2, 2] and joined == [3, 2]
    least, plain, moving, schedule = printed_by_ranks(SHARES, "least", "plain", "moving", "schedule").tolist()
    assert (
        schedule == [6, 4] and least == [2, 2] and abs(plain[0] - plain[1]) < 1e-6 and abs(moving[0] - moving[1]) > 0.01
    ), (plain, moving)


def accuracy_on_digits(ranks, rate, warmup=0):
    """Accuracy after six epochs with a local batch of 8; averaging equal ranks is one batch of all their samples."""
    x, y = handwritten_digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), rate)
    batches = [batch for _ in range(6) for batch in torch.randperm(len(x)).split(8 * ranks)]
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / (warmup + 1))
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    return (model(x).argmax(1) == y).float().mean()


@pitfall("More GPUs, worse result")
def check_effective_batch_and_local_statistics():
    """SyncBatchNorm across ranks takes no CPU tensors; what it computes is batch normalization over all ranks' rows."""
    one, eight, retuned = (
        accuracy_on_digits(1, 0.03),
        accuracy_on_digits(8, 0.03),
        accuracy_on_digits(8, 0.24, warmup=20),
    )
    assert one > 0.9 and eight < 0.8 and retuned > 0.9, (one, eight, retuned)
    x, normalize = torch.randn(32, 50), nn.BatchNorm1d(50)
    local = torch.cat([normalize(part) for part in x.split(2)])
    assert (local - x).square().mean() > 0.3 > 0.1 > (normalize(x) - x).square().mean()


@check
def check_uneven_shares_without_padding():
    shares = [list(range(rank, 5, 2)) for rank in range(2)]
    assert sorted(sum(shares, [])) == list(range(5)) and [len(share) for share in shares] == [3, 2]
