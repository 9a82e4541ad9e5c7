import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.checkpoint import checkpoint

from figure_style import BLUE, ORANGE, QUIET, figure, plt

DEPTH, ROWS, WIDTH = 16, 256, 1024


def held(segments: int | None) -> float:
    """MiB of distinct activations that are kept at the end of the forward pass."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape == (ROWS, WIDTH):
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    layers = [nn.Tanh() for _ in range(DEPTH)]
    x = torch.randn(ROWS, WIDTH, requires_grad=True)
    if segments is None:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            y = nn.Sequential(*layers)(x)
        return sum(kept.values()) / 2**20
    inputs, y = [], x
    for start in range(0, DEPTH, DEPTH // segments):
        inputs.append(y)
        y = checkpoint(nn.Sequential(*layers[start : start + DEPTH // segments]), y, use_reentrant=False)
    return sum(tensor.nbytes for tensor in inputs) / 2**20


@figure("figure-checkpoint.svg")
def few_or_many_segments() -> Figure:
    """Activations kept by number of segments, and the peak when one segment is computed again."""
    counts = [1, 2, 4, 8, 16]
    whole = held(None)
    stored = [held(count) for count in counts]
    one = ROWS * WIDTH * 4 / 2**20
    peak = [value + one * DEPTH / count for value, count in zip(stored, counts, strict=True)]
    assert whole == 16 and stored == [1, 2, 4, 8, 16] and min(peak) == peak[2] == 8

    drawn, axes = plt.subplots()
    axes.axhline(whole, color=QUIET, linestyle=":", label="no checkpointing")
    axes.plot(counts, peak, color=BLUE, marker="o", label="peak with recomputation")
    axes.plot(counts, stored, color=ORANGE, marker="s", linestyle=(0, (4, 2)), label="at the end of the forward pass")
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xlabel("segments")
    axes.set_ylabel("held activations (MiB)")
    axes.set_ylim(0, 27)
    axes.legend(loc="upper center")
    return drawn
