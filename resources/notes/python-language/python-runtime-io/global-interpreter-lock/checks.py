import asyncio
import multiprocessing
import os
import pickle
import queue
import select
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from note_checks import check, formula, holds, pitfall, raises, sourced, stated, unexecuted

SPEED = r"S(N) \le \min\left(N,\ \frac{1}{g}\right)"
RACE = r"2 \le x \le T k"


sourced("PEP 684, abstract; PyPy FAQ, on the GIL; Python wiki, page GlobalInterpreterLock", "Who has it")
sourced("Python documentation, glossary, global interpreter lock", "Protects")
sourced("PEP 703 and PEP 779; Python documentation, How-To on free threading", "Without GIL", "free-threaded Python")
sourced("PyTorch documentation, CPU threading: intra-op parallelism", "intra-op threads of PyTorch")
sourced("Python wiki, GlobalInterpreterLock; Python documentation of sys", "Is the GIL part of the Python language?")
sourced(
    "PyTorch tutorial Getting Started with Distributed Data Parallel, comparison with DataParallel",
    "Why is `DataParallel` usually slower than one process per GPU?",
)
sourced("CPython 3.11, Python/ceval.c, CHECK_EVAL_BREAKER", "When does a thread give up the GIL?")


def speed_up(N, g, tasks=400):
    """Simulates N threads on N cores; each task needs the lock for g and then runs free for 1 - g."""
    lock_free_at, threads = 0.0, [0.0] * N
    for _ in range(tasks):
        index = min(range(N), key=threads.__getitem__)
        lock_free_at = max(threads[index], lock_free_at) + g
        threads[index] = lock_free_at + 1 - g
    return tasks / max(threads)


# verified: formula-only (real times differ from machine to machine)
@formula(SPEED)
def check_bound_of_the_speed_up():
    for N in (1, 2, 4, 8, 16):
        for g in (0.05, 0.1, 0.2, 0.5, 1.0):
            bound = min(N, 1 / g)
            reached = speed_up(N, g)
            assert reached <= bound * (1 + 1e-9)
            assert reached > 0.85 * bound, (N, g, reached)
    stated("0.2", 2 / (8 + 2))
    stated("5", min(16, 1 / 0.2))
    stated("1", min(16, 1 / 1.0))


def final_values(T, k):
    """All results of T threads that each execute read-then-write k times, over every interleaving."""
    start = (0, tuple((0, None) for _ in range(T)))
    todo, seen, finals = [start], {start}, set()
    while todo:
        x, threads = todo.pop()
        if all(done == k for done, _ in threads):
            finals.add(x)
        for index, (done, read) in enumerate(threads):
            if done == k:
                continue
            step = (x, (done, x)) if read is None else (read + 1, (done + 1, None))
            state = (step[0], (*threads[:index], step[1], *threads[index + 1 :]))
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return finals


@formula(RACE)
def check_lost_updates():
    for T, k in ((2, 2), (2, 3), (2, 6), (3, 2), (3, 3)):
        assert final_values(T, k) == set(range(2, T * k + 1)), (T, k)
    assert final_values(2, 1) == {1, 2}
    stated("2,000", 2 * 1000)


def joined(work, number):
    threads = [threading.Thread(target=work) for _ in range(number)]
    [t.start() for t in threads]
    [t.join(timeout=120) for t in threads]
    assert not any(t.is_alive() for t in threads)


@check
def check_updates_are_lost_when_the_update_calls_a_function():
    # Barriers force the interleaving, so nothing depends on when the interpreter happens to switch.
    for T, k in ((2, 1), (2, 5), (4, 3)):
        x, barrier, lock = [0, 0], threading.Barrier(T, timeout=60), threading.Lock()

        def f():
            barrier.wait()
            return 1

        def add():
            for _ in range(k):
                x[0] = x[0] + f()
                with lock:
                    x[1] = x[1] + 1
                barrier.wait()

        joined(add, T)
        assert x == [k, T * k]


def ran_during(work, most=50, interval=1000):
    """Whether another thread that is ready gets to run while `work` is called; by default nobody takes the lock."""
    ran, ready, before = [], threading.Event(), sys.getswitchinterval()
    thread = threading.Thread(target=lambda: ready.wait() and ran.append(1))
    sys.setswitchinterval(interval)  # seconds: before that the lock is handed over only by those who release it
    try:
        thread.start()
        ready.set()
        for _ in range(most):
            work()
            if ran:
                return True
        return False
    finally:
        sys.setswitchinterval(before)
        thread.join(timeout=60)


def count_until(flag, limit):
    """Pure Python that keeps the lock until the flag is set; whether that happened before the limit in seconds."""
    end = time.monotonic() + limit
    while not flag.value and time.monotonic() < end:
        pass
    return bool(flag.value)


def raise_flag(flag):
    flag.value = sum(i for i in range(10_000)) > 0


@pitfall("Threads make a Python loop no faster")
@holds("Released", "`threading`, thread pool", "`multiprocessing`, process pool", "When does a thread give up the GIL?")
def check_who_releases_the_lock():
    """A loop that lets no other thread run gains nothing by threads; what releases the lock does, as does a process."""
    a, n = torch.randn(600, 600), np.random.default_rng(0).standard_normal((600, 600))
    reader, _ = ends = os.pipe()
    wait_for_data = lambda: select.select([reader], [], [], 0.01)
    for releases in (lambda: a @ a, lambda: n @ n, lambda: time.sleep(0.01), wait_for_data):
        assert ran_during(releases)
    [os.close(end) for end in ends]
    loop = lambda: sum(i for i in range(10_000))
    assert not ran_during(loop) and ran_during(loop, most=20_000, interval=0.005)
    context = multiprocessing.get_context("fork")
    before = sys.getswitchinterval()
    for make, limit, meets in ((threading.Thread, 0.5, False), (context.Process, 60, True)):
        flag = context.RawValue("i", 0)
        worker = make(target=raise_flag, args=(flag,))
        ready = threading.Event()
        waits = threading.Thread(target=lambda: ready.wait() and worker.run())
        runs = waits if make is threading.Thread else worker
        runs.start()
        sys.setswitchinterval(1000)  # seconds: during the loop nobody takes the lock away
        try:
            ready.set()
            assert count_until(flag, limit) is meets, make
        finally:
            sys.setswitchinterval(before)
        runs.join(timeout=60)
        assert flag.value
    start = time.process_time()
    total = sum(i * i for i in range(300_000))
    loop, start = time.process_time() - start, time.process_time()
    assert int((np.arange(300_000) ** 2).sum()) == total and time.process_time() - start < 0.5 * loop


@pitfall("Counts are wrong although there is a GIL")
@holds("Does not protect")
def check_lost_updates_and_cures():
    T, k, x, lock, box = 4, 30, {"bare": 0, "locked": 0, "own lock": 0}, threading.Lock(), queue.Queue()
    sums = []

    def f():
        time.sleep(1e-4)  # gives the lock away, as any call may
        return 1

    def add():
        own, own_lock = 0, threading.Lock()
        for _ in range(k):
            x["bare"] = x["bare"] + f()
            with lock:
                x["locked"] = x["locked"] + f()
            with own_lock:
                x["own lock"] = x["own lock"] + f()
            box.put(f())
            own += f()
        sums.append(own)

    joined(add, T)
    assert x["own lock"] < T * k > x["bare"]
    assert T * k == x["locked"] == sum(sums) == sum(box.get() for _ in range(T * k))


@check
def check_bare_increments_pass_in_this_version():
    scope, before = {"x": 0}, sys.getswitchinterval()
    exec("def add():\n    global x\n    for _ in range(100_000):\n        x += 1\n", scope)
    sys.setswitchinterval(1e-6)
    try:
        joined(scope["add"], 3)
    finally:
        sys.setswitchinterval(before)
    assert sys.version_info[:2] != (3, 11) or scope["x"] == 300_000


unexecuted("The GPU idles while a data-loader thread works", "the pinning thread starts only with a GPU")

SPAWNS = """
import multiprocessing
def work():
    print("worked")
def main():
    context = multiprocessing.get_context("{method}")
    process = context.Process(target=work)
    process.start()
    process.join()
{call}
"""


@pitfall('Starting a process fails in its "bootstrapping phase"')
def check_guard_of_the_main_script():
    guarded = 'if __name__ == "__main__":\n    main()'
    with tempfile.TemporaryDirectory() as folder:
        for method in ("spawn", "forkserver"):
            for call, works in (("main()", False), (guarded, True)):
                script = Path(folder, "script.py")
                script.write_text(SPAWNS.format(method=method, call=call))
                ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
                assert ("bootstrapping phase" in ended.stderr) is not works, ended.stderr
                assert ("worked" in ended.stdout) is works


@holds("`asyncio`")
def check_many_waits_in_one_thread():
    threads, shared = set(), []

    async def wait(number):
        await asyncio.sleep(0.02)
        threads.add(threading.get_ident())
        shared.append(number)

    async def everything():
        await asyncio.gather(*(wait(number) for number in range(1000)))

    start = time.monotonic()
    asyncio.run(everything())
    assert len(threads) == 1 and sorted(shared) == list(range(1000)) and time.monotonic() - start < 0.5 * 1000 * 0.02


class Where(torch.utils.data.Dataset):
    """Says which process made a sample."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor(os.getpid())


@holds("`multiprocessing`, process pool", "`DataLoader` workers")
def check_what_travels_between_processes():
    batch = next(iter(torch.utils.data.DataLoader(Where(), batch_size=2, num_workers=1)))
    assert batch.is_shared() and batch[0] == batch[1] != os.getpid()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        raises((pickle.PicklingError, AttributeError), lambda: pool.apply(lambda: 0), "pickle")
        assert pool.apply(sum, ([1, 2],)) == 3


@holds("Handed over")
def check_defaults():
    stated("5", sys.getswitchinterval() * 1000)
    assert threading.Lock().acquire()
