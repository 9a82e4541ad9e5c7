import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, quietly, raises, sourced, stated
from programs import printed_by_ranks

WEIGHTED = r"\nabla L = \sum_{k=1}^{K} \frac{n_k}{N}\,\nabla L_k, \qquad N = \sum_{k=1}^{K} n_k"
BY_K = r"\frac{1}{K}\sum_{k=1}^{K} \nabla L_k = \sum_{k=1}^{K} \sum_{i=1}^{n_k} \frac{1}{K\,n_k}\,\nabla \ell_{k,i}"

by_definition("Effective batch", "Parameters", "Train and eval", "Data parallelism")
sourced("Micikevicius et al., arXiv 1710.03740, sections 1 and 3", "Mixed precision")
sourced("Goyal et al., arXiv 1706.02677, sections 2.1 and 2.2", "Must the learning rate change?")


def item_gradients(w, x, y):
    """Gradient of the cross-entropy of each item with respect to the weights, in NumPy: (items, classes, features)."""
    z = x @ w.T
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return p[:, :, None] * x[:, None, :]


def library(w, losses):
    weight = torch.tensor(w, requires_grad=True)
    for loss in losses:
        loss(weight).backward()
    return weight.grad.numpy()


def groups():
    for sizes in ((3, 1), (4, 4, 4), (1, 7, 2, 5), (6,)):
        N = sum(sizes)
        yield (
            sizes,
            np.random.randn(4, 3),
            np.random.randn(N, 3),
            np.random.randint(0, 4, N),
            np.split(np.arange(N), np.cumsum(sizes)[:-1]),
        )


def mean_loss(x, y, part, factor):
    return lambda weight: F.cross_entropy(torch.tensor(x[part]) @ weight.T, torch.tensor(y[part])) * factor


@formula(WEIGHTED)
@holds("Input")
def check_weighted_sum():
    for sizes, w, x, y, parts in groups():
        full = item_gradients(w, x, y).mean(0)
        accumulated = library(w, [mean_loss(x, y, part, len(part) / sum(sizes)) for part in parts])
        np.testing.assert_allclose(accumulated, full, atol=1e-12)
        sums = library(w, [mean_loss(x, y, part, len(part)) for part in parts])  # counted first, divided last
        np.testing.assert_allclose(sums / sum(sizes), full, atol=1e-12)


@formula(BY_K)
def check_division_by_k():
    for sizes, w, x, y, parts in groups():
        each = item_gradients(w, x, y)
        ours = sum(each[part].sum(0) / (len(sizes) * len(part)) for part in parts)
        theirs = library(w, [mean_loss(x, y, part, 1 / len(sizes)) for part in parts])
        np.testing.assert_allclose(theirs, ours, atol=1e-12)
        assert np.allclose(theirs, each.mean(0)) == (len(set(sizes)) == 1)


@check
def check_by_hand():
    first, second = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([6.0])
    stated("3", torch.cat([first, second]).mean())
    stated("4", (first.mean() + second.mean()) / 2)
    assert 3 / 4 * first.mean() + 1 / 4 * second.mean() == 3


# Two real ranks with three micro-batches each, of other token counts: prints the gradient, that of the large batch and the number of
# all-reduces.
PROGRAM = """
import contextlib, datetime, tempfile, torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn import functional as F

SIZES = ((5, 1, 2), (7, 4, 1))

def worker(rank, store, out):
    limit = datetime.timedelta(seconds=25)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=limit)
    torch.manual_seed(0)
    model, calls = nn.parallel.DistributedDataParallel(nn.Linear(3, 4)), []

    def reduced(state, bucket):
        calls.append(1)
        future = dist.all_reduce(bucket.buffer().div_(2), async_op=True).get_future()
        return future.then(lambda done: done.value()[0])

    model.register_comm_hook(None, reduced)
    x, y = torch.randn(20, 3), torch.randint(0, 4, (20,))
    own = [rows.split(sizes) for rows, sizes in zip(torch.arange(20).split((8, 12)), SIZES)][rank]
    count = torch.tensor(float(sum(SIZES[rank])))
    dist.all_reduce(count)
    for way, quiet in enumerate((False, True)):
        model.zero_grad(), calls.clear()
        for step, rows in enumerate(own):
            with model.no_sync() if quiet and step < len(own) - 1 else contextlib.nullcontext():
                (F.cross_entropy(model(x[rows]), y[rows], reduction="sum") / count * 2).backward()
        out[way, :12], out[way, 12] = model.module.weight.grad.flatten(), len(calls)
    model.zero_grad(), calls.clear()
    with model.no_sync():  # a short last group that lies inside as a whole
        F.cross_entropy(model(x[own[0]]), y[own[0]]).backward()
    out[3, 12] = len(calls) - 1
    model.zero_grad()
    F.cross_entropy(model.module(x), y).backward()
    out[2, :12] = model.module.weight.grad.flatten()
    dist.destroy_process_group()

out = torch.zeros(4, 13).share_memory_()
with tempfile.TemporaryDirectory() as folder:
    mp.start_processes(worker, (folder + "/store", out), nprocs=2, start_method="fork")
print(out.tolist())
"""


@pitfall("Several GPUs get slower")
def check_all_reduces_and_token_counts_of_two_ranks():
    """What costs the time is counted, the all-reduces; the seconds depend on the machine."""
    every, last, large, inside = printed_by_ranks(PROGRAM)
    assert every[12] == 3 and last[12] == 1 and inside[12] == -1  # -1: no all-reduce at all
    for ours in (every, last):
        np.testing.assert_allclose(ours[:12], large[:12], atol=1e-6)


@pitfall("Language-model losses differ with and without accumulation")
def check_mean_losses_of_uneven_sequences():
    for sizes, w, x, y, parts in groups():
        each, N = item_gradients(w, x, y), len(y)
        by_k = library(w, [mean_loss(x, y, part, 1 / len(parts)) for part in parts])
        if len(set(sizes)) > 1:
            assert np.abs(by_k - each.mean(0)).max() > 0.01
        summed = lambda divisor: [
            lambda weight, part=part: (
                F.cross_entropy(torch.tensor(x[part]) @ weight.T, torch.tensor(y[part]), reduction="sum") / divisor
            )
            for part in parts
        ]
        np.testing.assert_allclose(library(w, summed(N)), each.mean(0), atol=1e-12)
        np.testing.assert_allclose(library(w, summed(1)) / N, each.mean(0), atol=1e-12)


def accumulated_steps(kind, divisor, limit, clip_each=False):
    """The parameter after two steps of four micro-batches each; the gradients of the second step are ten times smaller."""
    p = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = kind([p], lr=0.01)
    for size in (1.0, 0.1):
        optimizer.zero_grad()
        for slope in torch.tensor([[3.0, 0.5], [1.0, -1.0], [2.0, 0.0], [0.0, 0.9]]):
            ((p * slope).sum() * size / divisor).backward()
            if clip_each:
                nn.utils.clip_grad_norm_([p], limit)
        nn.utils.clip_grad_norm_([p], limit)
        optimizer.step()
    return p.detach()


@pitfall("The learning rate seems $K$ times too large")
def check_undivided_loss_clipping_and_its_cure():
    start, none, slopes = torch.tensor([1.0, -2.0]), float("inf"), torch.tensor([1.5, 0.1])
    for kind in (torch.optim.SGD, torch.optim.Adam):
        moved = accumulated_steps(kind, 4, none) - start
        summed = accumulated_steps(kind, 1, none) - start
        assert torch.allclose(summed, moved * (4 if kind is torch.optim.SGD else 1), rtol=1e-3)
        assert not torch.allclose(accumulated_steps(kind, 1, 0.5), accumulated_steps(kind, 4, 0.5), rtol=1e-4)
    expected = start - 0.01 * slopes * (0.5 / slopes.norm() + 0.1)  # the mean gradient, clipped, then a tenth of it
    assert torch.allclose(accumulated_steps(torch.optim.SGD, 4, 0.5), expected, atol=1e-5)
    assert not torch.allclose(accumulated_steps(torch.optim.SGD, 4, 0.5, clip_each=True), expected, atol=1e-5)
    for share in (0.99, 1.01):  # of 1/K of the limit; above the limit itself both are clipped alike
        gradient = torch.randn(6)
        p, limit = nn.Parameter(torch.zeros(6)), 4 * gradient.norm().item() / share
        p.grad = 4 * gradient
        nn.utils.clip_grad_norm_([p], limit)
        assert torch.allclose(p.grad, 4 * gradient, rtol=1e-5) == (share < 1)


@check
def check_undivided_loss_and_adam():
    steps = {}
    for kind in (torch.optim.SGD, torch.optim.Adam):
        for factor in (1.0, 8.0):
            p = nn.Parameter(torch.tensor([1.0, -2.0]))
            optimizer = kind([p], lr=0.01)
            ((p * torch.tensor([3.0, 0.5])).sum() * factor).backward()
            optimizer.step()
            steps[kind, factor] = p.detach() - torch.tensor([1.0, -2.0])
    assert torch.allclose(steps[torch.optim.SGD, 8.0], 8 * steps[torch.optim.SGD, 1.0], rtol=1e-4)
    assert torch.allclose(steps[torch.optim.Adam, 8.0], steps[torch.optim.Adam, 1.0], rtol=1e-4)
    moved = []
    for factor, rate in ((8.0, 0.01), (1.0, 0.08)):  # with weight decay the sum is not a higher rate
        p = nn.Parameter(torch.tensor([1.0, -2.0]))
        p.grad = torch.tensor([3.0, 0.5]) * factor
        torch.optim.SGD([p], lr=rate, weight_decay=0.1).step()
        moved.append(p.detach())
    assert (moved[0] - moved[1]).abs().max() > 0.005


@holds("Cost", "Accumulation", "Activation checkpointing", "Mixed precision")
def check_work_and_memory():
    """Floating-point operations counted, tensors that autograd saves counted; one pass of one model in four ways."""
    from torch.utils.checkpoint import checkpoint
    from torch.utils.flop_counter import FlopCounterMode

    held = figure_of(__file__).held
    assert all(held(1, True) == count * held(count, True) for count in (2, 4, 8))
    linear = lambda: nn.Linear(16, 16)
    blocks = [layer for _ in range(2) for layer in (linear(), nn.BatchNorm1d(16), nn.Tanh())]
    model, x = nn.Sequential(*blocks, linear()), torch.randn(64, 16)

    def run(forward, pieces):
        model.zero_grad()
        with FlopCounterMode(display=False) as counter:
            for part in x.split(len(x) // pieces):
                (forward(part).pow(3).sum() / len(x)).backward()
        return counter.get_total_flops(), model[0].weight.grad.clone()

    (whole, wanted), (pieces, other) = run(model, 1), run(model, 4)
    assert whole == pieces and not torch.allclose(wanted, other, rtol=1e-2)  # batch norm sees the pieces
    assert model[0].weight.grad is not None  # and stays until zero_grad()
    twice, same = run(lambda part: checkpoint(model, part, use_reentrant=False), 1)
    forward = 3 * 2 * 64 * 16 * 16  # whose last layer saves nothing new
    assert twice == whole + forward * 2 // 3
    assert torch.allclose(same, wanted, atol=1e-6)  # with the statistics of the whole batch

    def saved(forward):
        sizes, own = {}, {p.untyped_storage().data_ptr() for p in model.parameters()}

        def pack(tensor):
            if tensor.dim() == 2 and len(tensor) == 64 and tensor.untyped_storage().data_ptr() not in own:
                sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            kept = forward()
        return sum(sizes.values()), kept

    full, _ = saved(lambda: model(x))
    with_checkpoint, _ = saved(lambda: checkpoint(model, x, use_reentrant=False))
    assert with_checkpoint < full / 3
    layers = nn.Sequential(linear(), linear(), linear())
    full, _ = saved(lambda: layers(x))
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = saved(lambda: layers(x))
    assert half == full / 2, (half, full)


@holds("Does dropout break the equivalence?")
def check_given_masks():
    x, parts, model = torch.randn(8, 4), torch.arange(8).split((3, 5)), nn.Linear(4, 1)
    first, again = (F.dropout(torch.ones(8, 4)) for _ in range(2))
    loss = lambda rows, mask: model(x[rows] * mask[rows]).pow(2).sum() / 8
    full, rows = accumulated(model, [loss(torch.arange(8), first)]), torch.arange(8)
    assert torch.allclose(full, accumulated(model, [loss(part, first) for part in parts]), atol=1e-6)
    assert not torch.allclose(full, accumulated(model, [loss(rows, again)]), atol=1e-2)


@check
def check_layers_and_losses_that_mix_items():
    x = torch.randn(8, 4)
    for layer, same in ((nn.BatchNorm1d(4), False), (nn.LayerNorm(4), True), (nn.GroupNorm(2, 4), True)):
        assert torch.allclose(layer(x), torch.cat([layer(x[:4]), layer(x[4:])]), atol=1e-5) == same
    a, b = F.normalize(torch.randn(8, 4), dim=1), F.normalize(torch.randn(8, 4), dim=1)
    info_nce = lambda rows: F.cross_entropy(a[rows] @ b[rows].T, torch.arange(len(rows)))
    assert info_nce(torch.arange(8)) > (info_nce(torch.arange(4)) + info_nce(torch.arange(4, 8))) / 2 + 0.3


def accumulated(model, losses):
    model.zero_grad()
    for loss in losses:
        loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pitfall("Results change although every micro-batch has the same size")
@holds("Same as the large batch?")
def check_gradients_of_layers_and_losses_that_mix_items():
    x, parts = torch.randn(8, 4), torch.arange(8).split(4)
    for layer, same in ((nn.BatchNorm1d(4), False), (nn.LayerNorm(4), True), (nn.GroupNorm(2, 4), True)):
        model = nn.Sequential(nn.Linear(4, 4), layer)
        loss = lambda rows: model(x[rows]).pow(3).sum() / 8
        assert (
            torch.allclose(accumulated(model, [loss(torch.arange(8))]), accumulated(model, map(loss, parts)), atol=1e-5)
            == same
        )
    a, b, model = x, x + 0.1 * torch.randn(8, 4), nn.Linear(4, 4)
    info_nce = lambda u, v: F.cross_entropy(u @ v.T, torch.arange(len(u)))
    full = accumulated(model, [info_nce(model(a), model(b))])
    assert not torch.allclose(
        full, accumulated(model, (info_nce(model(a[rows]), model(b[rows])) / 2 for rows in parts)), atol=1e-2
    )
    masks = 2 * (torch.rand(2, 8, 4) < 0.5)
    others = 2 * (torch.rand(2, 8, 4) < 0.5)  # dropout on the embeddings
    full = accumulated(model, [info_nce(model(a) * masks[0], model(b) * masks[1])])
    cached = [(model(x) * mask).detach().requires_grad_() for x, mask in zip((a, b), masks)]
    gradients = torch.autograd.grad(info_nce(*cached), cached)  # once, of the whole group
    for second, same in ((masks, True), (others, False)):
        through = lambda rows: sum(
            (model(x[rows]) * mask[rows] * g[rows]).sum() for x, mask, g in zip((a, b), second, gradients)
        )
        assert torch.allclose(full, accumulated(model, map(through, parts)), atol=1e-5) == same
    scale = nn.Parameter(torch.tensor(1.0))  # a learned temperature: its gradient too comes once
    whole = lambda u, v: torch.autograd.grad(info_nce(u * scale.exp(), v), scale)[0]
    assert torch.allclose(whole(model(a), model(b)), whole(model(a).detach(), model(b).detach()))


@pitfall("Warm-up ends too early or the tail of the epoch is lost")
def check_scheduler_and_the_last_group():
    K, slopes = 4, torch.arange(1.0, 11.0)  # ten batches: groups of 4, 4 and 2
    for per_micro_batch, tail in ((True, False), (False, True)):
        p = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([p], lr=1.0)
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=6)
        rates, used = [], []
        for i, slope in enumerate(slopes):
            size = min(K, len(slopes) - i // K * K) if tail else K
            (p * slope / size).sum().backward()
            last = (i + 1) % K == 0 or (tail and i + 1 == len(slopes))
            if last:
                rates.append(optimizer.param_groups[0]["lr"])
                used.append(p.grad.item())
                optimizer.step(), optimizer.zero_grad()
            if last or per_micro_batch:
                quietly(scheduler.step)  # PyTorch warns of the wrong order here
        if tail:
            assert used == [2.5, 6.5, 9.5] and np.allclose(rates, [0.1, 0.25, 0.4])
        else:
            assert (
                used == [2.5, 6.5] and rates[1] == 1.0 and p.grad is not None
            )  # the last two gradients were never applied


@check
def check_backward_frees_its_graph():
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)), torch.randn(6, 4)
    losses = [model(part).sum() for part in x.split(2)]
    losses[0].backward()
    raises(RuntimeError, lambda: losses[0].backward(), "freed")
    model.zero_grad()
    sum(losses[1:]).backward()
    summed = model[0].weight.grad.clone()
    model.zero_grad()
    for part in x.split(2)[1:]:
        model(part).sum().backward()
    assert torch.allclose(model[0].weight.grad, summed, atol=1e-6)


@holds("Why is `.grad` added to and not overwritten?")
def check_gradient_is_the_sum_over_uses():
    w, written = torch.tensor(2.0, requires_grad=True), []
    w.register_post_accumulate_grad_hook(lambda parameter: written.append(parameter.grad.item()))
    (w * 3 + w * 4).backward()
    assert w.grad == 7 and written == [7]  # the uses are summed before .grad is written, once
    w.sum().backward()
    assert w.grad == 8
