"""The cards of data loading, mixed precision, checkpointing, distributed training and distributions, held against the library."""

import math
import os
import tempfile
import warnings

import numpy as np
import torch
import torch.distributed
import torch.utils.checkpoint
from torch import nn
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    Poisson,
    kl_divergence,
)
from torch.utils import data
from torch.utils.data._utils.collate import collate, default_collate_fn_map
from torch.utils.data.distributed import DistributedSampler

from note_checks import card, quietly, raises, subject


def warns(kind, work, *words: str):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    assert any(issubclass(one.category, kind) and all(word in str(one.message) for word in words) for one in caught), (
        f"no {kind.__name__}"
    )
    return result


def close(actual, expected, tolerance=1e-6):
    actual = actual.detach().numpy() if isinstance(actual, torch.Tensor) else actual
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


# Data


class Squares(data.Dataset):
    def __getitem__(self, index):
        return index**2


class Stream(data.IterableDataset):
    def __iter__(self):
        return iter(range(4))


@card("torch.utils.data.Dataset")
def dataset():
    assert Squares()[3] == 9
    raises(TypeError, lambda: list(data.DataLoader(Squares())))


@card("torch.utils.data.IterableDataset", "torch.utils.data.ChainDataset")
def iterable_dataset():
    seen = sorted(x for batch in data.DataLoader(Stream(), batch_size=2, num_workers=2) for x in batch.tolist())
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3]
    raises(ValueError, lambda: data.DataLoader(Stream(), shuffle=True))
    assert list(data.ChainDataset([Stream(), Stream()])) == [0, 1, 2, 3, 0, 1, 2, 3]


@card("torch.utils.data.DataLoader")
def data_loader():
    assert [batch.tolist() for batch in data.DataLoader(range(5), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert len(list(data.DataLoader(range(5), batch_size=2, drop_last=True))) == 2
    assert list(data.DataLoader(range(3), batch_size=None)) == [0, 1, 2]
    raises(RuntimeError, lambda: list(data.DataLoader([torch.ones(2), torch.ones(3)], batch_size=2)), "equal size")
    raises(ValueError, lambda: data.DataLoader(range(3), shuffle=True, sampler=data.SequentialSampler(range(3))))
    batches = data.BatchSampler(data.SequentialSampler(range(4)), 2, False)
    raises(ValueError, lambda: data.DataLoader(range(4), batch_size=2, batch_sampler=batches))
    raises(ValueError, lambda: data.DataLoader(range(4), prefetch_factor=2))
    raises(ValueError, lambda: data.DataLoader(range(4), persistent_workers=True))

    def order():
        loader = data.DataLoader(range(50), batch_size=50, shuffle=True, generator=torch.Generator().manual_seed(1))
        return next(iter(loader)).tolist()

    assert order() == order() != sorted(order())


@card("torch.utils.data.TensorDataset", "torch.utils.data.StackDataset", "torch.utils.data.ConcatDataset")
def combined_datasets():
    assert data.TensorDataset(torch.ones(3))[0] == (torch.tensor(1.0),)
    raises(AssertionError, lambda: data.TensorDataset(torch.ones(3), torch.ones(4)))
    assert data.StackDataset([1, 2], [3, 4])[0] == (1, 3) and data.StackDataset(a=[1, 2], b=[3, 4])[1] == {
        "a": 2,
        "b": 4,
    }
    raises(ValueError, lambda: data.StackDataset([1, 2], [1]))
    first = [1, 2]
    joined = data.ConcatDataset([first, [3]])
    first.append(9)
    assert [joined[i] for i in range(len(joined))] == [1, 2, 3]
    raises(AssertionError, lambda: data.ConcatDataset([Stream()]))


@card("torch.utils.data.Subset", "torch.utils.data.random_split")
def subsets():
    assert data.Subset([5, 6, 7], [2, 0])[0] == 7
    parts = data.random_split(range(100), [0.8, 0.2])
    assert parts[0].dataset is parts[1].dataset
    assert sorted([*parts[0].indices, *parts[1].indices]) == list(range(100)) and len(parts[0]) == 80
    again = data.random_split(range(100), [0.8, 0.2])
    assert list(parts[0].indices) != list(again[0].indices)
    seeded = [
        list(data.random_split(range(100), [80, 20], generator=torch.Generator().manual_seed(0))[0].indices)
        for _ in range(2)
    ]
    assert seeded[0] == seeded[1]
    raises(ValueError, lambda: data.random_split(range(10), [0.7, 0.2]))


@card("torch.utils.data.default_collate", "torch.utils.data._utils.collate.collate", "torch.utils.data.default_convert")
def collating():
    assert data.default_collate([1.0, 2.0]).dtype == torch.float64
    columns = data.default_collate([[1, 2], [3, 4]])
    assert [column.tolist() for column in columns] == [[1, 3], [2, 4]]
    raises(TypeError, lambda: data.default_collate([None, None]))
    assert data.default_collate([torch.ones(2, 3)] * 5).shape == (5, 2, 3)
    raises(TypeError, lambda: collate([torch.ones(1)]))
    own = collate([3j, 4j], collate_fn_map={**default_collate_fn_map, complex: lambda batch, collate_fn_map: "complex"})
    assert own == "complex"
    converted = data.default_convert({"a": np.ones(2), "b": [1, 2], "c": "x"})
    assert isinstance(converted["a"], torch.Tensor) and converted["b"] == [1, 2] and converted["c"] == "x"


@card("torch.utils.data.get_worker_info")
def worker_info():
    assert data.get_worker_info() is None

    class Where(data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            info = data.get_worker_info()
            return -1 if info is None else info.id

    assert {x.item() for x in data.DataLoader(Where(), num_workers=2)} == {0, 1}
    assert {x.item() for x in data.DataLoader(Where())} == {-1}


@card(
    "torch.utils.data.Sampler",
    "torch.utils.data.SequentialSampler",
    "torch.utils.data.RandomSampler",
    "torch.utils.data.SubsetRandomSampler",
    "torch.utils.data.BatchSampler",
)
def samplers():
    class Twice(data.Sampler):
        def __iter__(self):
            return iter([0, 0])

    loader = data.DataLoader(range(3), sampler=Twice())
    assert len(list(loader)) == 2
    raises((TypeError, NotImplementedError), lambda: len(loader))
    assert list(data.SequentialSampler("abc")) == [0, 1, 2]
    assert len(list(data.RandomSampler(range(3), num_samples=7))) == 7
    raises(ValueError, lambda: data.RandomSampler([]))
    several = [tuple(data.SubsetRandomSampler(range(10, 40))) for _ in range(2)]
    assert sorted(several[0]) == list(range(10, 40)) and several[0] != several[1]
    batches = data.BatchSampler(data.SequentialSampler(range(5)), 2, False)
    assert list(batches) == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in data.DataLoader(np.arange(5), batch_sampler=batches)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in data.DataLoader(np.arange(5), sampler=batches)][0] == [[0, 1]]


@card("torch.utils.data.WeightedRandomSampler", formula=r"P(i)=\frac{w_i}{\sum_j w_j}")
def weighted_sampler():
    weights = np.array([1.0, 2.0, 5.0])
    drawn = np.bincount(list(data.WeightedRandomSampler(weights, 60000)), minlength=3) / 60000
    close(drawn, weights / weights.sum(), 1e-2)
    targets = torch.tensor([0] * 90 + [1] * 10)
    balanced = 1 / torch.bincount(targets)
    picked = targets[list(data.WeightedRandomSampler(balanced[targets], 20000))]
    assert abs(picked.double().mean() - 0.5) < 0.02
    assert len(set(data.WeightedRandomSampler(balanced[targets], 100))) < 100
    assert set(data.WeightedRandomSampler([1.0, 9.0], 100)) == {0, 1}, (
        "weights per class would reach only the first examples"
    )


@card("torch.utils.data.distributed.DistributedSampler")
def distributed_sampler():
    shares = [list(DistributedSampler(range(5), 2, rank, shuffle=False)) for rank in range(2)]
    assert shares == [[0, 2, 4], [1, 3, 0]]
    assert [list(DistributedSampler(range(5), 2, rank, shuffle=False, drop_last=True)) for rank in range(2)] == [
        [0, 2],
        [1, 3],
    ]
    sampler = DistributedSampler(range(50), 2, 0)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert not set(first) & set(DistributedSampler(range(50), 2, 1))


# Mixed precision


@card("torch.autocast", "torch.amp.autocast")
def autocast():
    layer, x = nn.Linear(4, 4), torch.ones(1, 4)
    with torch.autocast("cpu"):
        y = layer(x)
        loss = nn.functional.mse_loss(y, x)
        convolved = nn.functional.conv1d(torch.ones(1, 1, 4), torch.ones(1, 1, 2))
    assert y.dtype == convolved.dtype == torch.bfloat16 and loss.dtype == torch.float32
    loss.backward()
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32
    with torch.autocast("cpu", enabled=False):
        assert layer(x).dtype == torch.float32
    assert torch.get_autocast_dtype("cuda") == torch.float16 and torch.get_autocast_dtype("cpu") == torch.bfloat16


@card("torch.cuda.amp.autocast", "torch.cpu.amp.autocast", "torch.cuda.amp.custom_fwd")
def deprecated_names():
    for make, name in (
        (torch.cuda.amp.autocast, "cuda"),
        (torch.cpu.amp.autocast, "cpu"),
        (torch.cuda.amp.GradScaler, "cuda"),
        (torch.cpu.amp.GradScaler, "cpu"),
    ):
        warns(FutureWarning, make, "deprecated", f"'{name}'")
    with quietly(lambda: torch.cpu.amp.autocast(False)):
        assert not torch.is_autocast_enabled("cpu")
    for decorate in (torch.cuda.amp.custom_fwd, torch.cuda.amp.custom_bwd):
        warns(FutureWarning, lambda decorate=decorate: decorate(lambda *arguments: None), "deprecated", "device_type")


SCALER = r"g=\frac{1}{s}\,\nabla_\theta\,(s\,L),\qquad s\leftarrow\tfrac{s}{2}\ \text{if}\ g\notin\mathbb{R}"


@card(
    "torch.amp.GradScaler.scale",
    "torch.amp.GradScaler.step",
    "torch.amp.GradScaler.update",
    "torch.amp.GradScaler.unscale_",
)
@card("torch.amp.GradScaler", "torch.cuda.amp.GradScaler", formula=SCALER)
def grad_scaler():
    scaler = torch.amp.GradScaler("cpu", growth_interval=2)
    s, theta = 65536.0, np.array([1.0, 2.0])
    weight = torch.tensor(theta, requires_grad=True, dtype=torch.float32)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    good = 0
    for factor in (3.0, float("inf"), 5.0, 7.0, 9.0):
        optimizer.zero_grad()
        loss = (weight * factor).sum()
        assert scaler.scale(loss).item() == (loss * s).item()
        scaler.scale(loss).backward()
        assert weight.grad[0].item() == factor * s
        scaler.unscale_(optimizer)
        assert weight.grad[0].item() == factor
        raises(RuntimeError, lambda: scaler.unscale_(optimizer), "already been called")
        scaler.step(optimizer)
        raises(RuntimeError, lambda: scaler.step(optimizer), "already been called")
        scaler.update()
        if math.isfinite(factor):
            theta, good = theta - 0.1 * factor, good + 1
        else:
            s, good = s / 2, 0
        if good == 2:
            s, good = 2 * s, 0
        close(weight, theta)
        assert scaler.get_scale() == s
    tiny = torch.tensor(1e-8)
    assert tiny.half() == 0 and (tiny * 65536).half() > 0, "what the scale is for"


@card("torch.amp.custom_fwd", "torch.amp.custom_bwd")
def custom_functions():
    raises(TypeError, lambda: torch.amp.custom_fwd(lambda ctx: None), "device_type")
    seen = {}

    def product(name, on_forward, on_backward):
        class Product(torch.autograd.Function):
            @staticmethod
            @on_forward
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a @ b

            @staticmethod
            @on_backward
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                seen[name] = torch.is_autocast_enabled("cpu")
                return g.to(b.dtype) @ b.T, a.T @ g.to(a.dtype)

        return Product

    both = product("both", torch.amp.custom_fwd(device_type="cpu"), torch.amp.custom_bwd(device_type="cpu"))
    neither = product("neither", lambda f: f, lambda f: f)
    for function in (both, neither):
        a = torch.ones(2, 2, requires_grad=True)
        with torch.autocast("cpu"):
            y = function.apply(a, torch.ones(2, 2))
        y.float().sum().backward()
    assert seen == {"both": True, "neither": False}
    cast = product(
        "cast",
        torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32),
        torch.amp.custom_bwd(device_type="cpu"),
    )
    with torch.autocast("cpu"):
        assert cast.apply(torch.ones(2, 2).bfloat16(), torch.ones(2, 2)).dtype == torch.float32


@card("torch.amp.autocast_mode.is_autocast_available", "torch.amp.is_autocast_available")
def autocast_available():
    assert torch.amp.is_autocast_available("cpu") and torch.amp.is_autocast_available("cuda")
    raises(RuntimeError, lambda: torch.amp.is_autocast_available("foo"))


@card("torch.utils.checkpoint.checkpoint")
def checkpoint():
    calls = []

    class Counted(nn.Linear):
        def forward(self, x):
            calls.append(1)
            return super().forward(x)

    layer, x = Counted(2, 2), torch.ones(1, 2)
    y = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
    y.sum().backward()
    assert len(calls) == 2 and layer.weight.grad is not None
    lost = quietly(lambda: torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=True))
    assert not lost.requires_grad
    warns(UserWarning, lambda: torch.utils.checkpoint.checkpoint(layer, x), "use_reentrant")


# Distributed


def among_processes(size: int, work) -> list[np.ndarray]:
    """What `work(rank)` returns in each of `size` processes that form a group."""
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(size):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    torch.distributed.init_process_group(
                        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=size
                    )
                    np.save(f"{folder}/{rank}.npy", work(rank))
                    torch.distributed.barrier()
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0, "a process of the group failed"
        return [np.load(f"{folder}/{rank}.npy") for rank in range(size)]


@card("torch.distributed.all_reduce", formula=r"x_r\leftarrow\sum_{q=0}^{W-1}x_q\qquad\text{for all ranks }r")
@card(
    "torch.distributed.all_gather",
    "torch.distributed.broadcast",
    "torch.distributed.get_rank",
    "torch.distributed.get_world_size",
    "torch.distributed.barrier",
)
def collectives():
    values = torch.randn(2, 3, dtype=torch.float64)

    def work(rank):
        x = values[rank].clone().requires_grad_()
        gathered = [torch.empty(3, dtype=torch.float64) for _ in range(2)]
        torch.distributed.all_gather(gathered, x)
        assert all(not one.requires_grad for one in gathered) and torch.equal(gathered[1 - rank], values[1 - rank])
        sent = values[rank].clone()
        torch.distributed.broadcast(sent, src=1)
        assert torch.equal(sent, values[1])
        assert torch.distributed.get_rank() == rank and torch.distributed.get_world_size() == 2
        y = values[rank].clone()
        mean = y.clone()
        torch.distributed.all_reduce(mean, op=torch.distributed.ReduceOp.AVG)
        close(mean, values.numpy().mean(0))
        torch.distributed.all_reduce(y)
        return y.numpy()

    for reduced in among_processes(2, work):
        close(reduced, values.numpy().sum(0), 1e-12)


@card("torch.distributed.init_process_group", "torch.distributed.destroy_process_group")
def process_group():
    raises(ValueError, torch.distributed.get_rank, "not been initialized")

    def work(rank):
        torch.distributed.destroy_process_group()
        raises(ValueError, torch.distributed.get_rank)
        raises(ValueError, lambda: torch.distributed.all_reduce(torch.ones(1)))
        torch.distributed.barrier = lambda: None
        return np.ones(1)

    among_processes(1, work)


# Distributions


@card(
    "torch.distributions.Distribution",
    "torch.distributions.Distribution.sample",
    "torch.distributions.Distribution.log_prob",
)
def distributions():
    batch = MultivariateNormal(torch.zeros(5, 2), torch.eye(2))
    assert batch.batch_shape == (5,) and batch.event_shape == (2,)
    x = batch.sample((7,))
    assert x.shape == (7, 5, 2) and batch.log_prob(x).shape == (7, 5)
    loc = torch.zeros(3, requires_grad=True)
    assert not Normal(loc, 1.0).sample().requires_grad and Normal(loc, 1.0).rsample().requires_grad
    raises(NotImplementedError, Categorical(torch.ones(2)).rsample)
    raises(NotImplementedError, Bernoulli(torch.tensor(0.5)).rsample)
    narrow = Normal(torch.zeros(3), 0.01)
    assert (narrow.log_prob(torch.zeros(3)) > 0).all() and narrow.log_prob(torch.zeros(3)).shape == (3,)
    close(Independent(narrow, 1).log_prob(torch.zeros(3)), narrow.log_prob(torch.zeros(3)).sum())


@card("torch.distributions.Distribution.entropy", formula=r"H=-\mathbb{E}_{x\sim p}\left[\ln p(x)\right]")
def entropy():
    for one in (Normal(1.0, 2.0), Beta(2.0, 3.0), Bernoulli(torch.tensor(0.3))):
        x = one.sample((400000,))
        assert abs(-one.log_prob(x).mean() - one.entropy()) < 0.01
    assert Normal(0.0, 0.01).entropy() < 0


@card("torch.distributions.Categorical", formula=r"p_k=\frac{e^{z_k}}{\sum_j e^{z_j}},\qquad H=-\sum_k p_k\ln p_k")
def categorical():
    z = torch.randn(4, 5, dtype=torch.float64)
    p = np.exp(z.numpy()) / np.exp(z.numpy()).sum(-1, keepdims=True)
    one = Categorical(logits=z)
    close(one.probs, p, 1e-12)
    close(one.entropy(), -(p * np.log(p)).sum(-1), 1e-12)
    assert one.sample((7,)).shape == (7, 4)
    close(Categorical(torch.tensor([1.0, 3.0])).probs, [0.25, 0.75])
    raises(ValueError, lambda: Categorical(torch.tensor([-1.0, 2.0])))


@card("torch.distributions.Normal", formula=r"\ln p(x)=-\frac{(x-\mu)^2}{2\sigma^2}-\ln\sigma-\tfrac12\ln 2\pi")
def normal():
    x, mu, sigma = np.random.randn(6), 0.3, 1.7
    expected = -((x - mu) ** 2) / (2 * sigma**2) - math.log(sigma) - 0.5 * math.log(2 * math.pi)
    close(Normal(mu, sigma).log_prob(torch.tensor(x)), expected)
    assert abs(Normal(0.0, 3.0).sample((100000,)).std() - 3) < 0.05
    raises(ValueError, lambda: Normal(0.0, -1.0))


@card("torch.distributions.Bernoulli", formula=r"\ln P(x)=x\ln p+(1-x)\ln(1-p),\qquad p=\sigma(z)")
def bernoulli():
    z = torch.randn(6, dtype=torch.float64)
    x = torch.tensor([0.0, 1, 1, 0, 1, 0], dtype=torch.float64)
    p = 1 / (1 + np.exp(-z.numpy()))
    close(Bernoulli(logits=z).log_prob(x), x.numpy() * np.log(p) + (1 - x.numpy()) * np.log(1 - p))
    close(Bernoulli(torch.tensor(p)).probs, p)
    assert Bernoulli(torch.tensor(0.5)).sample().dtype == torch.float32


@card(
    "torch.distributions.kl_divergence",
    "torch.distributions.kl.kl_divergence",
    formula=r"D(p\,\|\,q)=\mathbb{E}_{x\sim p}\left[\ln p(x)-\ln q(x)\right]",
)
def kl():
    p, q = torch.rand(5, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    p, q = p / p.sum(), q / q.sum()
    expected = (p * (p.log() - q.log())).sum()
    close(kl_divergence(Categorical(p), Categorical(q)), expected.numpy(), 1e-12)
    close(nn.functional.kl_div(q.log(), p, reduction="sum"), expected.numpy(), 1e-12)
    first, second = Normal(0.0, 1.0), Normal(1.0, 2.0)
    x = first.sample((400000,))
    assert abs((first.log_prob(x) - second.log_prob(x)).mean() - kl_divergence(first, second)) < 0.01
    assert not math.isclose(kl_divergence(first, second), kl_divergence(second, first), rel_tol=0.1)
    raises(NotImplementedError, lambda: kl_divergence(Normal(0.0, 1.0), Poisson(1.0)))


@card(
    "torch.ao.quantization.quantize_dynamic",
    formula=r"\hat w=s\cdot\mathrm{round}\!\left(\frac{w}{s}\right),\qquad s=\frac{\max|w|}{127.5}",
)
def quantize_dynamic():
    model = nn.Sequential(nn.Linear(6, 5), nn.LSTM(5, 3), nn.GRU(3, 3), nn.Conv1d(1, 1, 1), nn.Embedding(3, 3))
    changed = warns(DeprecationWarning, lambda: torch.ao.quantization.quantize_dynamic(model), "deprecated")
    weight = model[0].weight.detach().numpy()
    scale = np.abs(weight).max() / 127.5
    close(changed[0].weight().dequantize(), scale * np.round(weight / scale), 1e-6)
    assert changed[0].weight().dtype == torch.qint8 and type(model[0]) is nn.Linear
    assert type(changed[3]) is nn.Conv1d and type(changed[4]) is nn.Embedding
    assert "Quantized" in repr(changed[1]) and "Quantized" in repr(changed[2])


# A function that claims several cards runs once.
subject.checks[:] = dict((check, (name, check)) for name, check in subject.checks).values()
