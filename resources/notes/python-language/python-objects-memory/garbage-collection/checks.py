import gc
import os
import random
import sys
import time
import weakref

import numpy as np
import torch

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

ROOT = r"\mathrm{rc}(o) - \mathrm{in}_U(o) > 0"
SWEEP = r"\text{garbage} = U \setminus \mathrm{reach}\big(\{o \in U : \mathrm{rc}(o) - \mathrm{in}_U(o) > 0\}\big)"

sourced("PyPy documentation, Differences between PyPy and CPython, garbage collection strategies", "Other Pythons")
sourced("PyTorch documentation, torch.cuda.empty_cache", "`torch.cuda.empty_cache()`")
sourced("PEP 442, Safe object finalization", "What about `__del__` in a cycle?")
sourced("Python Developer's Guide, Garbage collector design, Optimization: generations", "Why generations?")


class Node:
    def __init__(self):
        self.edges = []


@formula(ROOT, SWEEP)
@holds("Helper")
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


@holds("Tracked by `gc`", "Not tracked", "Thresholds")
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


class Parent:
    """Holds a tensor; its child points back: strongly, weakly, or not any more."""

    def __init__(self, kind):
        self.data = torch.ones(1000)
        self.child = Node()
        self.child.parent = weakref.ref(self) if kind == "weakref" else self


@pitfall("CUDA runs out of memory although no variable refers to the tensors")
def check_tensors_on_cycles():
    """With tensors on the CPU. That the CUDA allocator starts no collector does not run here (issue #50185)."""
    gc.disable()
    held = {}
    for kind in ("cycle", "weakref", "broken", "collected"):
        parent = Parent(kind)
        held[kind] = weakref.ref(parent.data)
        if kind == "broken":
            parent.child.parent = None
        del parent
        if kind == "cycle":
            assert held[kind]() is not None
    assert held["weakref"]() is None and held["broken"]() is None and held["collected"]() is not None
    gc.collect()
    gc.enable()
    assert held["cycle"]() is None and held["collected"]() is None


@pitfall("Memory grows with each step")
def check_memory_that_is_still_referred_to():
    w, kept = torch.ones(50, requires_grad=True), {"sum": 0, "sum of numbers": 0.0, "outputs": [], "detached": []}
    graphs = {name: [] for name in kept}
    for _ in range(3):
        for name, store in kept.items():
            output = (2 * w).exp()
            # A node of the graph lives as long as the exponential that it saved: the object below hangs on the node.
            mark = Node()
            output.grad_fn.metadata["mark"] = mark
            graphs[name].append(weakref.ref(mark))
            if name == "sum":
                kept[name] = store + output.sum()
            elif name == "sum of numbers":
                kept[name] = store + output.sum().item()
            else:
                store.append(output if name == "outputs" else output.detach().cpu())
            del output, mark, store
    gc.collect()
    alive = {name: sum(mark() is not None for mark in marks) for name, marks in graphs.items()}
    assert alive == {"sum": 3, "sum of numbers": 0, "outputs": 3, "detached": 0}
    for form, size in ((lambda t: t.detach().cpu(), 4000), (lambda t: t.detach().cpu().clone(), 4)):
        assert form(torch.ones(1000)[:1]).untyped_storage().nbytes() == size  # a slice keeps the whole
        weight = torch.nn.Parameter(torch.ones(3))
        stored = form(weight)
        with torch.no_grad():
            weight += 1
        assert torch.equal(stored, weight) == (size > 4)

    def fail():
        big = torch.ones(10)
        fail.watch = weakref.ref(big)
        raise ValueError

    try:
        fail()
    except ValueError as error:
        exception = error
    assert fail.watch() is not None  # stored: the frame stays
    del exception
    assert fail.watch() is None
    try:
        fail()
    except ValueError:
        pass
    assert fail.watch() is None


def private_kilobytes_after_reading(data):
    """What a forked process has for itself, in kB, after it went through the data."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        gc.disable()
        for index in range(len(data)):
            data[index]
        with open("/proc/self/smaps_rollup") as lines:
            os.write(writer, next(line.split()[1] for line in lines if line.startswith("Private_Dirty")).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return int(answer.read())


@pitfall("Data-loader workers slowly copy the dataset")
def check_reading_copies_pages():
    if not os.path.exists("/proc/self/smaps_rollup"):
        return
    names = [f"image-{index}" for index in range(200_000)]
    alone = private_kilobytes_after_reading([])
    assert min(private_kilobytes_after_reading(o) for o in (names, np.array(names, dtype=object))) > alone + 8000
    for mended in (np.array(names), np.arange(200_000), torch.arange(20_000)):
        assert private_kilobytes_after_reading(mended) < alone + 4000


@pitfall('"The gc module counts references"')
@holds("Main scheme", "`gc.disable()`")
def check_counting_without_the_collector():
    gc.disable()
    plain, cyclic = [], []
    for _ in range(1000):
        node = Node()
        plain.append(weakref.ref(node))
        node = Node()
        node.me = node
        cyclic.append(weakref.ref(node))
    del node
    assert not any(one() for one in plain) and all(one() for one in cyclic)
    gc.enable()
    work = [[] for _ in range(1000)]
    assert sum(one() is not None for one in cyclic) < 10 and len(work) == 1000
    gc.disable()
    node = Node()
    node.me = node
    seen = weakref.ref(node)
    del node
    gc.collect()  # still works
    gc.enable()
    assert seen() is None


def seconds_of_a_collection():
    begin = time.process_time()
    gc.collect()
    return time.process_time() - begin


@pitfall("A collection is slow although little is freed")
def check_time_of_a_collection():
    gc.collect()
    gc.freeze()
    small = [[index] for index in range(400_000)]
    slow = min(seconds_of_a_collection() for _ in range(3))
    gc.freeze()
    assert gc.get_freeze_count() > 400_000 and min(seconds_of_a_collection() for _ in range(3)) < slow / 5
    gc.unfreeze()
    del small
    gc.collect()
    gc.freeze()
    one = np.arange(400_000)
    assert min(seconds_of_a_collection() for _ in range(3)) < slow / 5 and one.nbytes > 10**6
    gc.unfreeze()


@holds("What about `__del__` in a cycle?")
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


@holds("`del x`", "`weakref.ref(x)`", "Why is `del x` no command to free memory?")
def check_del_and_weak_references():
    x = y = Node()
    watch = weakref.ref(x)
    assert sys.getrefcount(y) == 3  # two names and the argument, not the weak reference
    del x
    assert watch() is y and sys.getrefcount(y) == 2
    del y
    assert watch() is None
    for plain in ([], {}, 1, "a"):
        raises(TypeError, lambda: weakref.ref(plain), "cannot create weak reference")


@holds("`gc.collect()`", "Why generations?", "Helper")
def check_generations():
    def cycle():
        node = Node()
        node.me = node
        return weakref.ref(node), node

    gc.disable()
    (aged, old), (reached, keep) = cycle(), cycle()
    gc.collect()  # both survive, and are old from now on
    young, new = cycle()
    del old, new
    gc.collect(0)
    assert young() is None and aged() is not None
    gc.collect()
    gc.enable()
    assert aged() is None and reached() is keep
    many = [[index] for index in range(200_000)]
    gc.collect()
    begin = time.process_time()
    gc.collect(0)
    assert time.process_time() - begin < seconds_of_a_collection() / 3 and many


@holds("`with` block")
def check_with_closes():
    for broken in (False, True):
        try:
            with open(__file__) as file:
                assert not file.closed
                if broken:
                    raise KeyError
        except KeyError:
            pass
        assert file.closed
