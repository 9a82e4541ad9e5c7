import multiprocessing
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from note_checks import check, formula, pitfall, stated, unexecuted

SPEED = r"S(N) \le \min\left(N,\ \frac{1}{g}\right)"
RACE = r"2 \le x \le T k"


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


def ran_during(work, most=50):
    """Whether another thread that is ready gets to run while `work` is called, although nobody takes the lock away."""
    ran, ready, before = [], threading.Event(), sys.getswitchinterval()
    thread = threading.Thread(target=lambda: ready.wait() and ran.append(1))
    sys.setswitchinterval(1000)  # seconds: the lock is handed over only by those who release it
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
def check_who_releases_the_lock():
    """A loop that lets no other thread run gains nothing by threads; what releases the lock does, as does a process."""
    a, n = torch.randn(600, 600), np.random.default_rng(0).standard_normal((600, 600))
    for releases in (lambda: a @ a, lambda: n @ n, lambda: time.sleep(0.01)):
        assert ran_during(releases)
    assert not ran_during(lambda: sum(i for i in range(10_000)))
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
def check_lost_updates_and_cures():
    T, k, x, lock, box = 4, 30, {"bare": 0, "locked": 0}, threading.Lock(), queue.Queue()
    sums = []

    def f():
        time.sleep(1e-4)  # gives the lock away, as any call may
        return 1

    def add():
        own = 0
        for _ in range(k):
            x["bare"] = x["bare"] + f()
            with lock:
                x["locked"] = x["locked"] + f()
            box.put(f())
            own += f()
        sums.append(own)

    joined(add, T)
    assert x["bare"] < T * k == x["locked"] == sum(sums) == sum(box.get() for _ in range(T * k))


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


@check
def check_defaults():
    stated("5", sys.getswitchinterval() * 1000)
    assert threading.Lock().acquire()
