import sys
import threading
import time

import numpy as np
import torch

from note_checks import check, formula, stated

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


@check
def check_who_releases_the_lock():
    a, n = torch.randn(600, 600), np.random.default_rng(0).standard_normal((600, 600))
    for releases in (lambda: a @ a, lambda: n @ n, lambda: time.sleep(0.01)):
        assert ran_during(releases)
    assert not ran_during(lambda: sum(i for i in range(10_000)))


@check
def check_defaults():
    stated("5", sys.getswitchinterval() * 1000)
    assert threading.Lock().acquire()
