import io
import math
import os
import pickle
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

BATCHES = r"B = \begin{cases} \lceil N / b \rceil & \text{drop last = False} \\ \lfloor N / b \rfloor & \text{drop last = True} \end{cases}"
WEIGHTED = r"P(i) = \frac{w_i}{\sum_{j=1}^{N} w_j}"

by_definition("Same in train and eval?")  # the loader has neither train() nor eval()
sourced("torch.utils.data, memory pinning; CUDA semantics, pinned memory buffers", "What does `pin_memory=True` do?")


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


@holds("`WeightedRandomSampler`")
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


@holds(
    "`Sampler` → `BatchSampler`",
    "Output of the loader",
    "Defaults",
    "`RandomSampler` (`shuffle=True`)",
    "Does `shuffle=True` give the same order every epoch?",
)
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
        return [
            int(self.own.integers(10**9)),
            int(np.random.randint(10**9)),
            random.randrange(10**9),
            int(torch.randint(10**9, ())),
        ]


def own_generator(worker):
    get_worker_info().dataset.own = np.random.default_rng(torch.initial_seed())


def generator_behind_subset(worker):
    data = get_worker_info().dataset
    while isinstance(data, Subset):
        data = data.dataset
    data.own = np.random.default_rng(torch.initial_seed())


def old_generator(worker):
    state = np.random.RandomState(torch.initial_seed() % 2**32)
    get_worker_info().dataset.own = SimpleNamespace(integers=state.randint)


@pitfall("Workers produce the same random augmentation")
def check_seeds_of_workers():
    rows = [[int(v) for v in batch] for batch in DataLoader(Numbers(), num_workers=2)]
    assert [a == b for a, b in zip(*rows)] == [True, False, False, False]
    for persistent in (False, True):
        loader = DataLoader(Numbers(), num_workers=2, persistent_workers=persistent)
        first, second = ([int(row[0]) for row in loader] for _ in range(2))
        assert (first == second) == (not persistent)
    loader = DataLoader(Numbers(), num_workers=2, worker_init_fn=own_generator)
    assert len({int(row[0]) for _ in range(2) for row in loader}) == 4
    for start, cured in ((own_generator, False), (generator_behind_subset, True)):
        rows = DataLoader(Subset(Subset(Numbers(), [0, 1]), [0, 1]), num_workers=2, worker_init_fn=start)
        assert (len({int(row[0]) for row in rows}) == 2) == cured
    rows = DataLoader(Numbers(), num_workers=2, worker_init_fn=old_generator)
    assert len({int(row[0]) for _ in range(2) for row in rows}) == 4
    assert len({int(row[3]) for _ in range(2) for row in DataLoader(Numbers(), num_workers=2)}) == 4  # torch
    raises(ValueError, lambda: np.random.RandomState(2**32 + 1), "Seed must be between 0 and 2**32 - 1")
    fail = lambda worker: 1 / 0
    assert len(list(DataLoader(Numbers(), worker_init_fn=fail))) == 2


class Stream(IterableDataset):
    def __init__(self, shared):
        self.shared = shared

    def __iter__(self):
        info = get_worker_info()
        if info is None:
            return iter(range(6))
        return iter(range(info.id, 6, info.num_workers) if self.shared else range(6))


@pitfall("Every sample arrives once per worker")
@holds("`IterableDataset`")
def check_iterable_dataset():
    assert sorted(int(v) for v in DataLoader(Stream(False), num_workers=2)) == sorted(list(range(6)) * 2)
    for workers in (0, 1, 2):
        assert sorted(int(v) for v in DataLoader(Stream(True), num_workers=workers)) == list(range(6))
    raises(ValueError, lambda: DataLoader(Stream(False), sampler=SequentialSampler(range(3))), "expected unspecified")


@pitfall('"stack expects each tensor to be equal size"', '"sampler option is mutually exclusive with shuffle"')
def check_errors():
    ragged = [torch.ones(2), torch.ones(3)]
    words = "stack expects each tensor to be equal size"
    raises(RuntimeError, lambda: next(iter(DataLoader(ragged, batch_size=2))), words)
    pad = lambda samples: pad_sequence(samples, batch_first=True)
    assert next(iter(DataLoader(ragged, batch_size=2, collate_fn=pad))).tolist() == [[1, 1, 0], [1, 1, 1]]
    words = "sampler option is mutually exclusive with shuffle"
    raises(ValueError, lambda: DataLoader(range(20), shuffle=True, sampler=RandomSampler(range(20))), words)
    order = [int(v) for v in DataLoader(range(20), sampler=RandomSampler(range(20)))]
    assert order != sorted(order) == list(range(20))


@pitfall('"Expected more than 1 value per channel when training"')
def check_a_last_batch_of_one():
    data, model = TensorDataset(torch.randn(9, 3)), nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    run = lambda size=4, **options: [model(x) for (x,) in DataLoader(data, batch_size=size, **options)]
    for options in ({}, {"size": 1, "drop_last": True}):
        raises(ValueError, lambda: run(**options), "Expected more than 1 value per channel when training")
    assert sum(len(y) for y in run(drop_last=True)) == 8
    model.eval()
    assert sum(len(y) for y in run()) == 9


class Holding(Dataset):
    def __init__(self, thing):
        self.thing = thing

    def __len__(self):
        return 1

    def __getitem__(self, i):
        return i


SCRIPT = """
import multiprocessing

print("imported", flush=True)

def start():
    worker = multiprocessing.get_context("spawn").Process(target=print, args=("worker",))
    worker.start()
    worker.join()
    print("exit code", worker.exitcode)

"""


@pitfall("Workers fail to start, or the script runs again and again")
def check_workers_that_are_not_forked():
    """The script starts its worker with multiprocessing, as DataLoader does: importing torch twice takes seconds."""

    def nested(v):
        return v

    for thing in (lambda v: v, nested, io.open(__file__)):
        raises((pickle.PicklingError, AttributeError, TypeError), lambda: pickle.dumps(Holding(thing)), "pickle")
        loader = DataLoader(Holding(thing), num_workers=1, multiprocessing_context="spawn")
        raises((pickle.PicklingError, AttributeError, TypeError), lambda: next(iter(loader)), "pickle")
        forked = DataLoader(Holding(thing), num_workers=1, multiprocessing_context="fork")
        assert next(iter(forked)).item() == 0
    for option in ("collate_fn", "worker_init_fn"):
        loader = DataLoader(range(3), num_workers=1, multiprocessing_context="spawn", **{option: lambda v: v})
        raises((pickle.PicklingError, AttributeError, TypeError), lambda: next(iter(loader)), "pickle")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.py")
        printed = []
        for start in ("start()", 'if __name__ == "__main__":\n    start()'):
            program.write_text(SCRIPT + start)
            printed.append(subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60))
        typed = SCRIPT.replace("target=print", "target=own").replace("def start", "def own(word): pass\n\ndef start")
        typed += 'if __name__ == "__main__":\n    start()'
        notebook = subprocess.run([sys.executable, "-c", typed], capture_output=True, text=True, timeout=60)
        Path(folder, "in_a_file.py").write_text("def own(word): pass")
        typed = typed.replace("def own(word): pass", "from in_a_file import own")
        cured = subprocess.run([sys.executable, "-c", typed], cwd=folder, capture_output=True, text=True, timeout=60)
    assert "exit code 1" in notebook.stdout and "Can't get attribute 'own'" in notebook.stderr  # no file to import
    assert "exit code 0" in cured.stdout and not cured.stderr
    bare, guarded = printed
    assert bare.stdout.split("\n")[:3] == ["imported", "imported", "exit code 1"]
    assert "before the\n        current process has finished its bootstrapping phase" in bare.stderr
    assert guarded.stdout.split("\n")[:4] == ["imported", "imported", "worker", "exit code 0"] and not guarded.stderr


class Named(Dataset):
    """A sample per name, read when it is asked for."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.read.append(index)
        return torch.full((2,), float(index))


@holds("Map-style `Dataset`", "map-style `Dataset`", "`TensorDataset`")
def check_samples_by_index():
    data = Named()
    loader = iter(DataLoader(data, batch_size=2))
    assert data.read == [] and next(loader).tolist() == [[0, 0], [1, 1]] and data.read == [0, 1]
    x, y = torch.randn(6, 3, 4), torch.arange(6)
    rows = TensorDataset(x, y)
    assert len(rows) == 6 and torch.equal(rows[2][0], x[2]) and rows[2][1] == 2
    assert rows[2][0].data_ptr() == x[2].data_ptr()
    raises(AssertionError, lambda: TensorDataset(x, y[:5]), "Size mismatch")


@holds("`BatchSampler`, own `batch_sampler`", "`DistributedSampler`")
def check_own_batches_and_shares():
    lengths = [3, 9, 1, 8, 2, 10]
    batches = list(BatchSampler(sorted(range(6), key=lengths.__getitem__), 2, False))
    found = [batch.tolist() for batch in DataLoader(lengths, batch_sampler=batches)]
    assert found == [[1, 2], [3, 8], [9, 10]]
    for shuffle in (True, False):
        three = [list(DistributedSampler(range(12), num_replicas=3, rank=rank, shuffle=shuffle)) for rank in range(3)]
        assert [len(share) for share in three] == [4, 4, 4] and sorted(sum(three, [])) == list(range(12))


@holds("Why shuffle at all?")
def check_sorted_batches():
    labels = torch.arange(300) // 100
    x = torch.randn(300, 2) + 4 * labels[:, None]
    data = TensorDataset(x, labels)
    kinds = lambda shuffle: np.mean([len(set(y.tolist())) for _, y in DataLoader(data, batch_size=10, shuffle=shuffle)])
    assert kinds(False) == 1 and kinds(True) > 2.5
    for shuffle in (False, True):
        model = nn.Linear(2, 3)
        before = model(x).softmax(1)[:, 0].mean().item()
        part, y = next(iter(DataLoader(data, batch_size=30, shuffle=shuffle)))
        for _ in range(30):
            model.zero_grad()
            nn.functional.cross_entropy(model(part), y).backward()
            with torch.no_grad():
                [p.sub_(0.1 * p.grad) for p in model.parameters()]
        if not shuffle:
            assert model(part).softmax(1)[:, 0].mean() > max(0.7, before)  # class 0 was all that was seen
        gap = (part.mean(0) - x.mean(0)).abs().max()
        assert gap > 3 if not shuffle else gap < 2.5, gap


class Process(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        return os.getpid()


@holds("How many workers are right?")
def check_workers_are_processes():
    for persistent in (False, True):
        loader = DataLoader(Process(), num_workers=2, persistent_workers=persistent)
        first, second = ({int(pid) for pid in loader} for _ in range(2))
        assert len(first) == len(second) == 2 and os.getpid() not in first | second
        assert (first == second) == persistent
    assert {int(pid) for pid in DataLoader(Process())} == {os.getpid()}
