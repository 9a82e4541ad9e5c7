from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt


def simulated(N: int, g: float, tasks: int = 600) -> float:
    """Throughput of N threads relative to one, when each task needs the lock for g and runs free for 1 - g."""
    lock_free_at, threads = 0.0, [0.0] * N
    for _ in range(tasks):
        index = min(range(N), key=threads.__getitem__)
        lock_free_at = max(threads[index], lock_free_at) + g
        threads[index] = lock_free_at + 1 - g
    return tasks / max(threads)


@figure("figure-speedup.svg")
def speed_up_with_a_lock() -> Figure:
    """Simulated throughput of N threads that share one lock, for several shares g of locked work."""
    counts = [1, 2, 3, 4, 6, 8, 10, 12, 14, 16]
    drawn, axes = plt.subplots(figsize=(5.6, 2.7))
    last = {}
    for g, colour, marker in ((0.1, BLUE, "o"), (0.25, GREEN, "s"), (0.5, PINK, "^"), (1.0, ORANGE, "D")):
        values = [simulated(N, g) for N in counts]
        assert all(value <= min(N, 1 / g) + 1e-9 for N, value in zip(counts, values, strict=True))
        last[g] = values[-1]
        label = "g = 1 (pure Python)" if g == 1 else f"g = {g:g}"
        axes.plot(counts, values, color=colour, marker=marker, markersize=4, label=label)
    assert abs(last[0.1] - 10) < 0.3 and abs(last[1.0] - 1) < 1e-9
    axes.set_xlabel("threads N")
    axes.set_ylabel("speed-up at most")
    axes.set_ylim(0, 14.5)
    axes.legend(loc="upper left", ncols=2)
    return drawn
