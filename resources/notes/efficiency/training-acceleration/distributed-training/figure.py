import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, INK, ORANGE, figure, plt


def bytes_per_parameter() -> tuple[float, float, float]:
    """Measured bytes of weight, gradient and Adam states per float32 parameter."""
    p = nn.Parameter(torch.randn(1000))
    optimizer = torch.optim.Adam([p])
    p.sum().backward()
    optimizer.step()
    states = (optimizer.state[p]["exp_avg"], optimizer.state[p]["exp_avg_sq"])
    return tuple(sum(t.untyped_storage().nbytes() for t in tensors) / 1000 for tensors in ((p,), (p.grad,), states))


@figure("figure-distributed.svg")
def memory_and_bubble() -> Figure:
    """Bytes per parameter on each of eight GPUs, and the idle share of a pipeline."""
    weight, gradient, state = bytes_per_parameter()
    names = ("DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3")
    held = [
        [part / (8 if stage >= first else 1) for stage in range(4)]
        for part, first in ((weight, 3), (gradient, 2), (state, 1))
    ]
    totals = [sum(column) for column in zip(*held)]
    assert totals == [16, 9, 5.5, 2]
    drawn, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.8))
    bottom = np.zeros(4)
    for values, colour, label in zip(held, (BLUE, ORANGE, GREEN), ("weights", "gradients", "Adam states")):
        left.bar(names, values, bottom=bottom, color=colour, alpha=0.8, label=label, width=0.65)
        bottom += values
    for x, total in enumerate(totals):
        left.text(x, total + 0.3, f"{total:g}", ha="center", color=INK)
    left.set_ylim(0, 18.5)
    left.tick_params(axis="x", labelsize=8.5)
    left.set_title("bytes per parameter on 8 GPUs")
    left.legend(loc="upper right")
    counts = np.array([1, 2, 4, 8, 16, 32, 64])
    for stages, colour in ((4, BLUE), (8, ORANGE)):
        idle = (stages - 1) / (counts + stages - 1)
        assert idle[0] > 0.7 and idle[-1] < 0.1
        right.plot(counts, idle, "o-", color=colour, markersize=4, label=f"{stages} stages")
    right.set_xscale("log", base=2)
    right.set_xticks(counts, [str(count) for count in counts])
    right.set_ylim(0, 1)
    right.set_xlabel("micro-batches")
    right.set_title("idle share of a pipeline")
    right.legend(loc="upper right")
    return drawn
