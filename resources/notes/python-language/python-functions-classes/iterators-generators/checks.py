import itertools
import math
import random
import sys
import types
import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, get_worker_info

from note_checks import formula, holds, pitfall, raises, stated

ALL = r"N = \max(1, W)\, n"
SHARE = r"n_w = \left\lceil \frac{n - w}{W} \right\rceil, \qquad \sum_{w=0}^{W-1} n_w = n, \qquad w = 0, \dots, W - 1"
warnings.filterwarnings("ignore", message="This DataLoader will create")


class Plain(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        yield from range(self.n)


class Divided(Plain):
    def __iter__(self):
        info = get_worker_info()
        w, W = (0, 1) if info is None else (info.id, info.num_workers)
        return itertools.islice(range(self.n), w, None, W)


def loaded(dataset, W):
    # A stuck worker must fail the check, not hang it.
    options = {"timeout": 60, "multiprocessing_context": "fork"} if W else {}
    return sorted(int(x) for batch in DataLoader(dataset, batch_size=2, num_workers=W, **options) for x in batch)


@formula(ALL)
def check_every_worker_reads_all():
    for n, W in ((3, 0), (3, 1), (3, 2), (5, 3)):
        seen = loaded(Plain(n), W)
        assert len(seen) == max(1, W) * n and seen == sorted([*range(n)] * max(1, W))


@formula(SHARE)
def check_division_by_worker():
    for n in (0, 1, 5, 10, 13):
        for W in (1, 2, 4, 7):
            taken = [len(list(itertools.islice(range(n), w, None, W))) for w in range(W)]
            assert taken == [math.ceil((n - w) / W) for w in range(W)] and sum(taken) == n
    for n, W in ((5, 0), (5, 2), (4, 3)):
        assert loaded(Divided(n), W) == list(range(n))
    stated("40", 4 * 10)
    sizes = [len(list(itertools.islice(range(10), w, None, 4))) for w in range(4)]
    assert sizes == [3, 3, 2, 2]
    stated("10", sum(sizes))


@holds("Generator function", "`for x in data`", "In PyTorch")
def check_protocol():
    class Once:
        def __init__(self):
            self.log = []

        def __iter__(self):
            self.log.append("iter")
            return self

        def __next__(self):
            self.log.append("next")
            if len(self.log) > 3:
                raise StopIteration
            return 0

    once = Once()
    for _ in once:
        pass
    assert once.log == ["iter", "next", "next", "next"]
    assert isinstance(nn.Linear(1, 1).parameters(), types.GeneratorType)
    started = []

    def generator():
        started.append(1)
        yield 1

    g = generator()
    assert not started and iter(g) is g and next(g) == 1 and started == [1]


@pitfall("Each sample arrives once per worker")
def check_workers_repeat_or_share():
    assert loaded(Plain(4), 2) == [0, 0, 1, 1, 2, 2, 3, 3]
    for W in (0, 1, 2, 3):
        assert loaded(Divided(4), W) == [0, 1, 2, 3]


@pitfall("The second loop sees nothing")
def check_exhausted():
    model = nn.Linear(2, 2)
    parameters = model.parameters()
    assert len(list(parameters)) == 2 and list(parameters) == []
    raises(ValueError, lambda: torch.optim.SGD(parameters, 0.1), "optimizer got an empty parameter list")
    model(torch.full((1, 2), 100.0)).sum().backward()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.clip_grad_norm_(parameters, 1.0)
    assert model.weight.grad.norm() > 100
    stored = list(model.parameters())
    for _ in range(2):
        assert len(list(stored)) == len(list(model.parameters())) == 2
        torch.optim.SGD(stored, 0.1)
        torch.optim.SGD(model.parameters(), 0.1)
    gradients = [p.grad.clone() for p in stored]
    for mended in (lambda: stored, model.parameters):
        for p, g in zip(stored, gradients):
            p.grad = g.clone()
        nn.utils.clip_grad_norm_(mended(), 1.0)
        assert model.weight.grad.norm() <= 1


@pitfall('"generator raised StopIteration"')
def check_stop_iteration_inside_a_generator():
    def pairs(it):
        while True:
            yield next(it), next(it)

    def caught(it):
        while True:
            try:
                pair = next(it), next(it)
            except StopIteration:
                return
            yield pair

    def with_default(it, default=None):
        while True:
            x = next(it, default)
            if x is default:
                return
            yield x, next(it)

    raises(RuntimeError, lambda: list(pairs(iter(range(4)))), "generator raised StopIteration")
    assert list(caught(iter(range(4)))) == list(with_default(iter(range(4)))) == [(0, 1), (2, 3)]
    assert list(with_default(iter([None, 1]))) == [] and list(with_default(iter([None, 1]), object())) == [(None, 1)]


@pitfall("A loop that removes elements skips some")
def check_removing_while_looping():
    l = [1, 2, 3, 4]  # noqa: E741
    for q in l:
        l.remove(q)
    assert l == [2, 4]
    numbers = [2, 2, 3, 4]
    for q in numbers:
        if q % 2 == 0:
            numbers.remove(q)
    assert numbers == [2, 3] and [q for q in [2, 2, 3, 4] if q % 2] == [3]
    new = shared = [2, 2, 3, 4]
    new = [q for q in new if q % 2]
    assert new == [3] and shared == [2, 2, 3, 4]
    in_place = shared
    in_place[:] = [q for q in in_place if q % 2]
    assert shared == [3]


@pitfall("`zip` loses an element")
def check_zip():
    def left_over(first, second, strict, refused):
        first, second = iter(first), iter(second)
        if refused:
            raises(ValueError, lambda: list(zip(first, second, strict=strict)), "argument 2 is")
        else:
            assert list(zip(first, second, strict=strict)) == [(1, 1)]
        return list(first), list(second)

    assert left_over([1, 2, 3], [1], strict=False, refused=False) == ([3], [])
    assert left_over([1, 2, 3], [1], strict=True, refused=True) == ([3], [])  # reported, but lost all the same
    assert left_over([1], [1, 2, 3], strict=False, refused=False) == ([], [2, 3])
    assert left_over([1], [1, 2, 3], strict=True, refused=True) == ([], [3])  # strict takes one even then


@pitfall("`shuffle=True` is refused for an `IterableDataset`")
def check_shuffling_a_stream():
    class Shuffled(Plain):
        def __init__(self, files, size):
            super().__init__(sum(map(len, files)))
            self.files, self.size = files, size

        def __iter__(self):
            buffer = []
            for file in random.sample(self.files, len(self.files)):
                for sample in file:
                    buffer.append(sample)
                    if len(buffer) >= self.size:
                        yield buffer.pop(random.randrange(len(buffer)))
            random.shuffle(buffer)
            yield from buffer

    refused = "DataLoader with IterableDataset: expected unspecified shuffle option"
    raises(ValueError, lambda: DataLoader(Plain(3), shuffle=True), refused)
    for files, size in (([range(0, 20), range(20, 40), range(40, 60)], 1), ([range(60)], 10)):
        loader = DataLoader(Shuffled(files, size), batch_size=4)
        epochs = [[int(x) for batch in loader for x in batch] for _ in range(4)]
        assert all(sorted(epoch) == list(range(60)) for epoch in epochs) and len(set(map(tuple, epochs))) > 1

    class Both(Divided):
        def __iter__(self):
            mine = list(super().__iter__()) if self.divide_first else list(range(self.n))
            random.shuffle(mine)
            info = get_worker_info()
            return iter(mine) if self.divide_first else itertools.islice(mine, info.id, None, info.num_workers)

    for Both.divide_first in (True, False):
        assert (loaded(Both(60), 3) == list(range(60))) == Both.divide_first


@holds("Memory", "How much memory does a generator save?")
def check_memory():
    stated("8,000,000", sys.getsizeof(list(range(10**6))) - sys.getsizeof([]))
    assert sys.getsizeof(x for x in range(10)) == sys.getsizeof(x for x in range(10**6))

    def countdown(n):
        while n > 0:
            yield n
            n -= 1

    short, long = countdown(3), countdown(10**9)
    assert next(short) == 3 and next(long) == 10**9 and sys.getsizeof(short) == sys.getsizeof(long) < 1000
    assert long.gi_frame.f_locals == {"n": 10**9} and list(short) == [2, 1]


@holds("Is a list an iterator?", "Is every iterator a generator?", "What do `return` and `send` do in a generator?")
@holds("Iterable")
def check_questions():
    numbers = [1, 2]
    assert [(a, b) for a in numbers for b in numbers] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for what in (numbers, range(2)):
        try:
            next(what)
        except TypeError:
            continue
        raise AssertionError("an iterable is no iterator")
    with open(__file__) as file:
        for it in (iter([1]), zip([1], [2]), file):
            assert iter(it) is it and not isinstance(it, types.GeneratorType) and next(it)
    for iterable in (numbers, {1: 2}, torch.ones(3)):
        assert len(list(iter(iterable))) == len(iterable) and not hasattr(iterable, "__next__")

    def inner():
        total = 0
        while total < 5:
            total += yield total
        return total

    def outer():
        return (yield from inner())

    g = outer()
    assert next(g) == 0 and g.send(3) == 3
    try:
        g.send(4)
    except StopIteration as end:
        assert end.value == 7
    else:
        raise AssertionError("return ends the generator")
    raises(TypeError, lambda: iter(torch.tensor(1.0)))


@holds("Iterator", "Generator expression", "list", "iterator class", "generator")
@holds("class whose `__iter__` is a generator", "map-style `Dataset`")
def check_passes_length_and_index():
    class Own:
        def __init__(self):
            self.left = 3

        def __iter__(self):
            return self

        def __next__(self):
            if not self.left:
                raise StopIteration
            self.left -= 1
            return self.left

    class Measured(Own):
        def __len__(self):
            return self.left

    class Bare(torch.utils.data.Dataset):
        def __getitem__(self, index):
            return [2, 1, 0][index]

    once = (Own(), iter([2, 1, 0]), (2 - i for i in range(3)))
    for it in once:
        assert iter(it) is it and list(it) == [2, 1, 0] and list(it) == []
        raises(TypeError, lambda: len(it), "has no len()")
        raises(TypeError, lambda: it[0], "not subscriptable")
    assert len(Measured()) == 3
    stream, rows = Plain(3), TensorDataset(torch.arange(3))
    for data in ([0, 1, 2], stream, rows, Bare()):
        assert len(list(data)) == len(list(data)) == 3
    assert isinstance(iter(stream), types.GeneratorType)
    raises(TypeError, lambda: len(stream), "has no len()")
    raises((TypeError, NotImplementedError), lambda: stream[0])
    assert len(rows) == 3 and rows[1] == (torch.tensor(1),) and [5, 6][1] == 6 and Bare()[1] == 1
    raises(TypeError, lambda: len(Bare()), "has no len()")
