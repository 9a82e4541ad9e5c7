import gc
import random
import sys
import weakref

import torch

from note_checks import check, formula, stated

ROOT = r"\mathrm{rc}(o) - \mathrm{in}_U(o) > 0"
SWEEP = r"\text{garbage} = U \setminus \mathrm{reach}\big(\{o \in U : \mathrm{rc}(o) - \mathrm{in}_U(o) > 0\}\big)"


class Node:
    def __init__(self):
        self.edges = []


@formula(ROOT, SWEEP)
def check_what_the_collector_frees():
    counts = set()
    gc.collect()
    gc.freeze()  # what the imports made need not be searched 120 times
    for _ in range(60):
        size = random.randint(1, 8)
        nodes = [Node() for _ in range(size)]
        edges = [(random.randrange(size), random.randrange(size)) for _ in range(random.randint(0, 2 * size))]
        for start, end in edges:
            nodes[start].edges.append(nodes[end])
        kept = random.sample(range(size), random.randint(0, size))
        outside = [nodes[index] for index in kept]
        watch = [weakref.ref(node) for node in nodes]
        inner = [sum(end == index for _, end in edges) for index in range(size)]
        # getrefcount sees the list `nodes`, `outside`, the edges and its own argument.
        rc = [sys.getrefcount(nodes[index]) - 2 for index in range(size)]
        roots = {index for index in range(size) if rc[index] - inner[index] > 0}
        assert roots == set(kept)
        reach, todo = set(roots), list(roots)
        while todo:
            here = todo.pop()
            for start, end in edges:
                if start == here and end not in reach:
                    reach.add(end)
                    todo.append(end)
        gc.disable()
        del nodes
        waiting = sum(ref() is not None for ref in watch)
        gc.collect()
        gc.enable()
        alive = {index for index, ref in enumerate(watch) if ref() is not None}
        assert alive == reach
        counts.add((len(reach) < size, waiting > len(reach)))
        del outside
        gc.collect()
    gc.unfreeze()
    assert (True, True) in counts and (False, False) in counts


@check
def check_worked_example():
    class Own(list):
        pass

    a = Own()
    b = a
    stated("3", sys.getrefcount(a))
    del b
    stated("2", sys.getrefcount(a))
    a.append(a)
    assert sys.getrefcount(a) - 1 == 2
    watch = weakref.ref(a)
    gc.disable()
    del a
    assert watch() is not None
    gc.collect()
    gc.enable()
    assert watch() is None


@check
def check_facts():
    assert sys.version_info[:2] != (3, 11) or gc.get_threshold() == (700, 10, 10)
    stated("700", gc.get_threshold()[0])
    stated("10", gc.get_threshold()[1])
    assert all(gc.is_tracked(o) for o in ([], {"a": []}, Node(), torch.ones(1)))
    assert not any(gc.is_tracked(o) for o in (1, 1.0, "a"))
    assert sys.version_info[:2] != (3, 11) or not gc.is_tracked({"a": 1})
    for plain in ([], {}, 1, "a"):
        try:
            weakref.ref(plain)
        except TypeError:
            continue
        raise AssertionError("expected an error")
    t = torch.ones(2)
    watch = weakref.ref(t)
    gc.disable()
    del t
    gc.enable()
    assert watch() is None


@check
def check_thresholds_are_exceeded():
    if sys.version_info[:2] != (3, 11):
        return
    seen, made = [], []

    def note(phase, info):
        if phase == "start":
            seen.append((len(made), info["generation"]))

    gc.collect()
    gc.callbacks.append(note)
    while len([one for one in seen if one[1] == 1]) < 2:
        made.append([])
    gc.callbacks.remove(note)
    starts = [at for at, _ in seen]
    assert all(abs(late - early - 701) < 10 for early, late in zip(starts, starts[1:]))
    middle = [index for index, (_, generation) in enumerate(seen) if generation == 1]
    assert middle[1] - middle[0] == 12  # 11 young collections between, then the middle one


@check
def check_pitfalls():
    w, total = torch.ones(2, requires_grad=True), 0
    for _ in range(3):
        loss = (2 * w).sum()
        watch = weakref.ref(loss)
        total = total + loss
    assert total.grad_fn is not None

    def fail():
        big = torch.ones(10)
        fail.watch = weakref.ref(big)
        raise ValueError

    try:
        fail()
    except ValueError as error:
        kept = error
        assert fail.watch() is not None
    assert fail.watch() is not None
    del kept
    assert fail.watch() is None
    try:
        fail()
    except ValueError:
        pass
    assert fail.watch() is None
    assert (2 * w).detach().grad_fn is None and torch.ones(1000)[:1].detach().untyped_storage().nbytes() == 4000
    gc.freeze()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


@check
def check_finalizers_in_cycles():
    done = []

    class Final:
        def __del__(self):
            done.append(1)

    one = Final()
    one.me = one
    del one
    gc.collect()
    assert done == [1] and not gc.garbage
