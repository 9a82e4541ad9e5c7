import math
import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler, WeightedRandomSampler, get_worker_info,
)

from note_checks import check, formula, raises, stated

BATCHES = r"B = \begin{cases} \lceil N / b \rceil & \text{drop last = False} \\ \lfloor N / b \rfloor & \text{drop last = True} \end{cases}"
WEIGHTED = r"P(i) = \frac{w_i}{\sum_{j=1}^{N} w_j}"


@formula(BATCHES)
def check_number_of_batches():
    for N in (1, 7, 12, 64):
        for b in (1, 3, 4, 12):
            for drop, B in ((False, math.ceil(N / b)), (True, N // b)):
                loader = DataLoader(range(N), batch_size=b, drop_last=drop)
                assert len(loader) == len(list(loader)) == B


@formula(WEIGHTED)
def check_weighted_sampler():
    for weights in ([1.0, 2.0, 5.0], [0.5, 0.1, 0.1, 0.3], [3.0, 0.0, 1.0]):
        draws = 200_000
        counts = np.bincount(list(WeightedRandomSampler(weights, draws)), minlength=len(weights)) / draws
        expected = np.array(weights) / sum(weights)
        spread = np.sqrt(expected * (1 - expected) / draws)
        assert (np.abs(counts - expected) <= 5 * spread).all()


@check
def check_worked_example():
    stated("15.625", 1000 / 64)
    sizes = [len(batch) for batch in DataLoader(range(1000), batch_size=64)]
    stated("16", len(sizes))
    stated("40", sizes[-1])
    stated("15", len(DataLoader(range(1000), batch_size=64, drop_last=True)))
    weights = [1 / 90] * 90 + [1 / 10] * 10
    stated("2", sum(weights))
    stated("0.5", sum(weights[90:]) / sum(weights))
    N = 10_000
    stated("63%", 1 - (1 - 1 / N) ** N)
    seen = len(set(RandomSampler(range(N), replacement=True))) / N
    assert abs(seen - 0.632) < 0.02


@check
def check_contract():
    import inspect

    defaults = {n: p.default for n, p in inspect.signature(DataLoader.__init__).parameters.items()}
    assert (defaults["batch_size"], defaults["shuffle"], defaults["num_workers"]) == (1, None, 0)
    assert not defaults["drop_last"] and not defaults["pin_memory"] and not defaults["persistent_workers"]
    images = [(torch.zeros(3, 4, 5, dtype=torch.float16), 1.0)] * 2
    batch, number = next(iter(DataLoader(images, batch_size=2)))
    assert batch.shape == (2, 3, 4, 5) and batch.dtype == torch.float16 and number.dtype == torch.float64
    assert isinstance(DataLoader(range(3), shuffle=True).sampler, RandomSampler)
    assert isinstance(DataLoader(range(3)).sampler, SequentialSampler)
    assert list(BatchSampler(SequentialSampler(range(5)), 2, False)) == [[0, 1], [2, 3], [4]]
    generator = torch.Generator().manual_seed(1)
    loader = DataLoader(range(50), shuffle=True, batch_size=50, generator=generator)
    first, second = next(iter(loader)).tolist(), next(iter(loader)).tolist()
    assert first != second and sorted(first) == sorted(second)
    generator.manual_seed(1)
    assert [next(iter(loader)).tolist() for _ in range(2)] == [first, second]


class Numbers(Dataset):
    def __init__(self):
        self.own = np.random.default_rng(0)

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return [int(self.own.integers(10**9)), int(np.random.randint(10**9)), random.randrange(10**9), int(torch.randint(10**9, ()))]


@check
def check_seeds_of_workers():
    rows = [[int(v) for v in batch] for batch in DataLoader(Numbers(), num_workers=2)]
    assert [a == b for a, b in zip(*rows)] == [True, False, False, False]
    for persistent in (False, True):
        loader = DataLoader(Numbers(), num_workers=2, persistent_workers=persistent)
        first, second = ([int(row[0]) for row in loader] for _ in range(2))
        assert (first == second) == (not persistent)


class Stream(IterableDataset):
    def __init__(self, shared):
        self.shared = shared

    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, 6, info.num_workers) if self.shared else range(6))


@check
def check_iterable_dataset():
    assert sorted(int(v) for v in DataLoader(Stream(False), num_workers=2)) == sorted(list(range(6)) * 2)
    assert sorted(int(v) for v in DataLoader(Stream(True), num_workers=2)) == list(range(6))
    raises(ValueError, lambda: DataLoader(Stream(False), sampler=SequentialSampler(range(3))), "expected unspecified")


@check
def check_errors():
    ragged = [torch.ones(2), torch.ones(3)]
    raises(RuntimeError, lambda: next(iter(DataLoader(ragged, batch_size=2))), "stack expects each tensor to be equal size")
    raises(ValueError, lambda: DataLoader(ragged, shuffle=True, sampler=SequentialSampler(ragged)), "sampler option is mutually exclusive with shuffle")
    norm = nn.BatchNorm1d(3)
    raises(ValueError, lambda: norm(torch.randn(1, 3)), "Expected more than 1 value per channel when training")
    assert norm.eval()(torch.randn(1, 3)).shape == (1, 3)
    import pickle

    raises((pickle.PicklingError, AttributeError), lambda: pickle.dumps(lambda v: v), "lambda")
