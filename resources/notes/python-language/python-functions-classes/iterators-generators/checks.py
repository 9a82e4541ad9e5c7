import itertools
import math
import sys
import types
import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from note_checks import check, formula, raises, stated

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


@check
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


@check
def check_exhausted():
    model = nn.Linear(2, 2)
    parameters = model.parameters()
    list(parameters)
    raises(ValueError, lambda: torch.optim.SGD(parameters, 0.1), "optimizer got an empty parameter list")
    model(torch.full((1, 2), 100.0)).sum().backward()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.clip_grad_norm_(parameters, 1.0)
    assert model.weight.grad.norm() > 100


@check
def check_other_pitfalls():
    def broken():
        yield 1
        next(iter([]))

    raises(RuntimeError, lambda: list(broken()), "generator raised StopIteration")
    numbers = [1, 2, 3, 4]
    for q in numbers:
        numbers.remove(q)
    assert numbers == [2, 4]
    first = iter([1, 2, 3])
    assert list(zip(first, [1])) == [(1, 1)] and next(first) == 3
    first = iter([1, 2, 3])
    try:
        list(zip(first, [1], strict=True))
    except ValueError:
        assert next(first) == 3    # reported, but lost all the same
    else:
        raise AssertionError("strict")
    second = iter([1, 2, 3])
    assert list(zip([1], second)) == [(1, 1)] and next(second) == 2
    second = iter([1, 2, 3])
    try:
        list(zip([1], second, strict=True))
    except ValueError:
        assert next(second) == 3    # strict takes one from the longer one even then
    else:
        raise AssertionError("strict")

    def pairs(it):
        while (x := next(it, None)) is not None:
            yield x

    assert list(pairs(iter([1, 2]))) == [1, 2]


@check
def check_shuffle_and_memory():
    raises(
        ValueError,
        lambda: DataLoader(Plain(3), shuffle=True),
        "DataLoader with IterableDataset: expected unspecified shuffle option",
    )
    stated("8,000,000", sys.getsizeof(list(range(10**6))) - sys.getsizeof([]))
    assert sys.getsizeof(x for x in range(10)) == sys.getsizeof(x for x in range(10**6))


@check
def check_questions():
    numbers = [1, 2]
    assert [(a, b) for a in numbers for b in numbers] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for what in (numbers, range(2)):
        try:
            next(what)
        except TypeError:
            continue
        raise AssertionError("an iterable is no iterator")
    for it in (iter([1]), zip([1], [2])):
        assert iter(it) is it and not isinstance(it, types.GeneratorType)

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
