import gc
import weakref

import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, figure, plt


class Node: ...


def living(cyclic: bool, every: int | None) -> list[int]:
    """How many tensors live after each of 60 objects that were made and dropped."""
    gc.collect()
    gc.disable()
    watch, counts = [], []
    for made in range(1, 61):
        node = Node()
        node.data = torch.empty(1)
        if cyclic:
            node.me = node
        watch.append(weakref.ref(node.data))
        del node
        if every and made % every == 0:
            gc.collect()
        counts.append(sum(one() is not None for one in watch))
    gc.enable()
    return counts


@figure("figure-cycles.svg")
def tensors_that_hang_on_cycles() -> Figure:
    """Living tensors after each dropped object: without cycles, in cycles, and in cycles with regular collections."""
    plain, piling, collected = living(False, None), living(True, None), living(True, 20)
    assert plain == [0] * 60 and piling == list(range(1, 61))
    assert max(collected) == 19 and collected[19] == collected[39] == collected[59] == 0
    made = range(1, 61)
    drawn, axes = plt.subplots(figsize=(5.6, 2.6))
    axes.plot(made, piling, color=ORANGE, label="in cycles, no collection")
    axes.plot(made, collected, color=BLUE, label="in cycles, gc.collect() every 20")
    axes.plot(made, plain, color=GREEN, linestyle="--", label="without cycles")
    axes.set_xlabel("objects made")
    axes.set_ylabel("tensors still alive")
    axes.set_ylim(-3, 88)
    axes.legend(loc="upper left")
    return drawn
