import functools

from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-calls.svg")
def calls_with_and_without_cache() -> Figure:
    """How often the body of recursive Fibonacci runs, plain and with lru_cache."""
    plain, cached = [], []
    for n in range(21):
        calls = []

        def slow(k: int) -> int:
            calls.append(k)
            return k if k < 2 else slow(k - 1) + slow(k - 2)

        @functools.lru_cache(maxsize=None)
        def fast(k: int) -> int:
            return k if k < 2 else fast(k - 1) + fast(k - 2)

        assert slow(n) == fast(n)
        plain.append(len(calls))
        cached.append(fast.cache_info().misses)
    assert plain[-1] == 21_891 and cached[-1] == 21
    drawn, axes = plt.subplots(figsize=(5.6, 2.5))
    axes.plot(range(21), plain, color=ORANGE, marker="o", markersize=4, label="plain recursion")
    axes.plot(range(21), cached, color=BLUE, marker="s", markersize=4, label="with @lru_cache")
    axes.set_yscale("log")
    axes.set_xticks(range(0, 21, 4))
    axes.set_xlabel("n")
    axes.set_ylabel("calls of the function body")
    axes.legend(loc="upper left")
    return drawn
