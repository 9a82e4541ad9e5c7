import math

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, sourced, stated, unexecuted
from programs import printed_by_ranks

SIZES = r"n_k = \min\big(c,\; N - (k-1)\,c\big), \qquad c = \lceil N/K \rceil"
GRADIENT = r"\nabla L = \sum_{k=1}^{K} \frac{n_k}{N}\,\nabla L_k, \qquad L_k = \frac{1}{n_k} \sum_{i \in S_k} \ell_i"


def sizes(N, K):
    c = math.ceil(N / K)
    return [n for n in (min(c, N - k * c) for k in range(K)) if n > 0]


sourced(
    "torch.nn.DataParallel's documentation and its forward(): scatter, replicate, parallel_apply (threads), gather",
    "Input → output",
    "Splitting",
    "Parameters",
    "`nn.DataParallel`",
)
sourced("DistributedDataParallel's documentation; its paper, arXiv 2006.15704", "`DistributedDataParallel`")
sourced("FSDP documentation: weights gathered from shards, gradients reduced to shards; large models", "FSDP")
sourced("arXiv 1706.02677, linear scaling and warm-up", "Should the learning rate grow with the number of GPUs?")


@formula(SIZES)
@holds("Splitting")
def check_shard_sizes():
    for N in range(1, 40):
        for K in (1, 2, 3, 4, 8):
            assert [len(part) for part in torch.zeros(N, 2).chunk(K)] == sizes(N, K)
    from torch.nn.parallel.scatter_gather import scatter_kwargs  # splits with the same chunk; needs a GPU to run

    assert callable(scatter_kwargs)


@formula(GRADIENT)
def check_gradient():
    for N, K, d in [(10, 4, 3), (7, 2, 1), (12, 4, 5)]:
        x, y, w = torch.randn(N, d).double(), torch.randn(N).double(), torch.randn(d).double().requires_grad_()
        whole = torch.autograd.grad(((x @ w - y) ** 2).mean(), w)[0].numpy()
        X, Y, W = x.numpy(), y.numpy(), w.detach().numpy()
        parts, start = [], 0
        for n in sizes(N, K):
            a, b = X[start : start + n], Y[start : start + n]
            parts.append((n, 2 / n * a.T @ (a @ W - b)))
            start += n
        np.testing.assert_allclose(sum(n / N * g for n, g in parts), whole, rtol=1e-9)
        plain = sum(g for _, g in parts) / len(parts)
        assert np.allclose(plain, whole) == (len({n for n, _ in parts}) == 1)


@check
def check_worked_example():
    assert sizes(10, 4) == [3, 3, 3, 1]
    g = torch.tensor([1.0] * 9 + [11.0])
    stated("2", g.mean())
    stated("3.5", torch.stack([part.mean() for part in g.chunk(4)]).mean())


@holds("Defaults", "Without a GPU", "Same in train and eval?")
def check_wrapper():
    import inspect

    defaults = {n: p.default for n, p in inspect.signature(nn.DataParallel.__init__).parameters.items()}
    assert defaults["device_ids"] is None and defaults["output_device"] is None and defaults["dim"] == 0
    assert (
        "recommended to use" in nn.DataParallel.__doc__
        and "replicated" in nn.DataParallel.__doc__
        and "are summed" in nn.DataParallel.__doc__
    )
    assert "training" not in inspect.getsource(nn.DataParallel.forward)  # no branch by mode
    model = nn.Linear(2, 2)
    if not torch.cuda.is_available():
        x = torch.randn(3, 2)
        assert nn.DataParallel(model).device_ids == [] and torch.equal(nn.DataParallel(model)(x), model(x))


unexecuted('"The model is copied once, and every GPU computes its own loss"', "replicas need two GPUs")
unexecuted("More GPUs, hardly faster", "needs several GPUs to be timed")


@pitfall("GPU 0 runs out of memory first")
def check_a_loss_per_sample_is_less_to_gather():
    """What is gathered and which gradient comes out; the memory itself needs GPUs. The shards take turns on the CPU."""

    class WithLoss(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x, y):
            return nn.functional.cross_entropy(self.model(x), y, reduction="none")

    model, x, y = nn.Linear(5, 1000), torch.randn(10, 5), torch.randint(1000, (10,))
    shards = list(zip(x.chunk(4), y.chunk(4)))
    outputs = torch.cat([nn.DataParallel(model)(a) for a, _ in shards])
    losses = torch.cat([nn.DataParallel(WithLoss(model))(a, b) for a, b in shards])
    assert outputs.shape == (10, 1000) and losses.shape == (10,)
    whole = torch.autograd.grad(nn.functional.cross_entropy(outputs, y), model.weight)[0]
    assert torch.allclose(torch.autograd.grad(losses.mean(), model.weight)[0], whole, atol=1e-6)


@holds("Parameters")
@pitfall('"Missing key(s) in state_dict: "weight"… Unexpected key(s): "module.weight""')
def check_the_prefix():
    model, fresh = nn.DataParallel(nn.Linear(2, 2)), nn.Linear(2, 2)
    saved = model.state_dict()
    words = ('Missing key(s) in state_dict: "weight"', 'Unexpected key(s) in state_dict: "module.weight"')
    raises(RuntimeError, lambda: fresh.load_state_dict(saved), *words)
    for state in (model.module.state_dict(), {key.removeprefix("module."): value for key, value in saved.items()}):
        fresh = nn.Linear(2, 2)
        fresh.load_state_dict(state)
        assert torch.equal(fresh.weight, model.module.weight)


@pitfall("The loss is a vector")
def check_one_value_per_shard():
    """The gathering itself needs GPUs; the vector that it makes does not."""
    x, y, w = torch.randn(10, 3), torch.randn(10), torch.randn(3, requires_grad=True)
    loss_of = lambda a, b: (a @ w - b).square().mean()
    for n, equal in ((8, True), (10, False)):
        parts = list(zip(x[:n].chunk(4), y[:n].chunk(4)))
        vector = torch.stack([loss_of(a, b) for a, b in parts])
        assert vector.shape == (4,)
        raises(RuntimeError, vector.backward, "only for scalar outputs")
        weight = torch.tensor([len(a) / n for a, _ in parts])
        assert torch.allclose(vector.mean(), loss_of(x[:n], y[:n])) == equal
        assert torch.allclose((weight * vector).sum(), loss_of(x[:n], y[:n]))
    # not a plain mean over samples: two shards of four, of which one has three ignored labels
    logits, label = torch.randn(8, 5), torch.tensor([0, 1, 2, 3, 4, -100, -100, -100])
    parts = zip(logits.chunk(2), label.chunk(2))
    vector = torch.stack([nn.functional.cross_entropy(a, b) for a, b in parts])
    whole = nn.functional.cross_entropy(logits, label)
    assert not torch.allclose(vector.mean(), whole, atol=1e-4)
    of_class = torch.tensor([1.0, 2.0, 5.0, 0.5, 3.0])
    contrast = lambda z: nn.functional.cross_entropy(z @ z.T, torch.arange(len(z)).roll(1))  # a loss of the whole batch
    model, x = nn.Linear(3, 5), torch.randn(8, 3)
    gathered = torch.cat([model(part) for part in x.chunk(2)])
    weighted = lambda z: nn.functional.cross_entropy(z, label, weight=of_class)
    for loss_of in (weighted, contrast):
        assert torch.allclose(loss_of(gathered), loss_of(model(x)), atol=1e-5)
    each = nn.functional.cross_entropy(gathered, label, weight=of_class, reduction="none")
    assert not torch.allclose(each.mean(), weighted(model(x)), atol=1e-3)  # per sample is not enough here


RANKS = """
import json, sys, tempfile
import torch
import torch.multiprocessing as mp
from torch import nn

def gradient(rank, store, x, y, found):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # replicas start equal although they were built differently
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 1).double())
    part = slice(0, 7) if rank == 0 else slice(7, 10)
    nn.functional.mse_loss(model(x[part]), y[part]).backward()
    found[rank] = torch.cat([p.flatten() for p in (*model.parameters(), model.module.weight.grad)]).detach()
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    x, y = (torch.tensor(json.loads(text), dtype=torch.float64) for text in sys.argv[1:])
    found = torch.zeros(2, 7, dtype=torch.float64).share_memory_()
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(gradient, args=(f"{folder}/store", x, y, found), nprocs=2, start_method="fork")
    print(json.dumps(found.tolist()))
"""


@holds("`DistributedDataParallel`")
def check_ddp_takes_the_plain_mean():
    x, y = torch.randn(10, 3).double(), torch.randn(10, 1).double()
    first, second = torch.tensor(printed_by_ranks(RANKS, x.tolist(), y.tolist()))
    assert torch.equal(first, second)
    weights, gradient = (first[:3][None], first[3:4]), first[4:]
    shards = (slice(0, 7), slice(7, 10))
    model = nn.Linear(3, 1).double()
    with torch.no_grad():
        [p.copy_(value) for p, value in zip(model.parameters(), weights)]
    of = lambda part: torch.autograd.grad(nn.functional.mse_loss(model(x[part]), y[part]), model.weight)[0]
    parts = [of(part) for part in shards]
    assert torch.allclose(gradient, (parts[0] + parts[1]) / 2)
    assert not torch.allclose((parts[0] + parts[1]) / 2, of(slice(None)), atol=1e-3)


@pitfall("A counter in `forward` stays at its start value")
def check_replica_keeps_its_attributes_to_itself():
    """On the CPU with the copy that the wrapper starts from: the first GPU's replica shares the model's buffers."""

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.plain = 0
            self.register_buffer("new", torch.zeros(()))
            self.register_buffer("in_place", torch.zeros(()))

        def forward(self, x):
            self.plain += 1
            self.new = self.new + 1
            self.in_place.add_(1)
            return x

    model = Counter()
    for _ in range(3):
        model._replicate_for_data_parallel()(torch.zeros(1))
    assert (model.plain, model.new, model.in_place) == (0, 0, 3)


@check
def check_batch_norm_sees_its_shard():
    norm, x = nn.BatchNorm1d(1, affine=False), torch.tensor([[0.0], [2.0], [10.0], [14.0]])
    split = torch.cat([norm(part) for part in x.chunk(2)])
    assert not torch.allclose(split, norm(x), atol=0.1)


@holds("How much is sent in a ring all-reduce, and when gathering on one device?")
def check_traffic():
    """A ring of K devices: reduce-scatter, then all-gather, each in K - 1 rounds of one chunk per device."""
    for K in (2, 3, 8):
        size, sent = 12 * K, np.zeros(K)
        start = np.random.randn(K, size)
        chunks = [[part.copy() for part in np.split(row, K)] for row in start]
        for phase in range(2):
            for turn in range(K - 1):
                moving = [(k, (k - turn + phase) % K) for k in range(K)]
                parcels = [(k, at, chunks[k][at].copy()) for k, at in moving]
                for k, at, parcel in parcels:
                    to = chunks[(k + 1) % K]
                    to[at] = parcel if phase else to[at] + parcel
                    sent[k] += parcel.size
        for row in chunks:
            np.testing.assert_allclose(np.concatenate(row), start.sum(0))
        np.testing.assert_allclose(sent, 2 * (K - 1) / K * size)
        assert sent.max() < 2 * size and sum(start[k].size for k in range(1, K)) == (K - 1) * size


@holds("Is `batch_size` the total or per GPU?", "Should the learning rate grow with the number of GPUs?")
def check_batch_size():
    data = list(range(64))
    for rank in range(4):
        sampler = torch.utils.data.DistributedSampler(data, num_replicas=4, rank=rank)
        assert {len(batch) for batch in torch.utils.data.DataLoader(data, batch_size=8, sampler=sampler)} == {8}
    batch = next(iter(torch.utils.data.DataLoader(torch.randn(64, 3), batch_size=8)))
    assert [len(part) for part in batch.chunk(4)] == [2] * 4  # DataParallel splits the loader's batch
    model = nn.Linear(3, 1)
    of = lambda outputs: torch.autograd.grad(outputs.square().mean(), model.weight)[0]
    # the gradient of the unchanged batch is unchanged: so the rate can be
    assert torch.allclose(of(torch.cat([model(part) for part in batch.chunk(4)])), of(model(batch)), atol=1e-6)


@holds("gradient accumulation")
def check_accumulation():
    model, x, y = nn.Linear(3, 1).double(), torch.randn(12, 3).double(), torch.randn(12, 1).double()
    loss_of = nn.functional.mse_loss
    whole = torch.autograd.grad(loss_of(model(x), y), model.weight)[0]
    for a, b in zip(x.chunk(4), y.chunk(4)):
        (loss_of(model(a), b) / 4).backward()
    assert torch.allclose(model.weight.grad, whole)
