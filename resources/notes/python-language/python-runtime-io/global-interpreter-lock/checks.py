import sys
import threading

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


@check
def check_updates_are_lost_when_the_update_calls_a_function():
    total, before = [0], sys.getswitchinterval()

    def one():
        return 1

    def add():
        for _ in range(100_000):
            total[0] = total[0] + one()

    sys.setswitchinterval(1e-5)
    for _ in range(10):
        total[0] = 0
        threads = [threading.Thread(target=add) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        if total[0] < 400_000:
            break
    sys.setswitchinterval(before)
    assert 2 <= total[0] < 400_000


@check
def check_pytorch_releases_the_lock():
    count, stop = [0], threading.Event()

    def spin():
        while not stop.is_set():
            count[0] += 1

    thread = threading.Thread(target=spin)
    thread.start()
    a = torch.randn(1200, 1200)
    before = count[0]
    for _ in range(3):
        a @ a
    progress = count[0] - before
    stop.set()
    thread.join()
    assert progress > 100, progress


@check
def check_defaults():
    stated("5", sys.getswitchinterval() * 1000)
    assert threading.Lock().acquire()
