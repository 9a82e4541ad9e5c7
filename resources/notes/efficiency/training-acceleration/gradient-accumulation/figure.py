import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, figure, plt

COUNTS = (1, 2, 4, 8, 16, 32)


def held(count: int, backward_each: bool) -> float:
    """Largest number of KiB of saved activations that are alive at once for a batch of 64 in `count` pieces."""
    model, x = (
        nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(64, 64), nn.Tanh()))),
        torch.randn(64, 64),
    )
    parameters, alive, peak = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}, 0

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters and tensor.shape[-1] == 64:
            alive[tensor.data_ptr()] = tensor.numel() * 4
        return tensor

    graphs = []
    for part in x.split(64 // count):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = model(part).sum()
        peak = max(peak, sum(alive.values()))
        if backward_each:
            loss.backward()
            alive.clear()
        else:
            graphs.append(loss)
    return peak / 1024


def errors(short: int) -> tuple[float, float]:
    """Relative error of the accumulated gradient for micro-batches of 64 and `short` tokens, by K and by token."""
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(64 + short, 8, generator=generator), torch.randint(0, 5, (64 + short,), generator=generator)
    weight = torch.zeros(5, 8, requires_grad=True)
    gradient = lambda loss: torch.autograd.grad(loss, weight)[0]
    loss = lambda rows, how: F.cross_entropy(x[rows] @ weight.T, y[rows], reduction=how)
    full, parts = gradient(loss(slice(None), "mean")), (slice(0, 64), slice(64, None))
    by_k = sum(gradient(loss(part, "mean")) / 2 for part in parts)
    by_token = sum(gradient(loss(part, "sum")) / (64 + short) for part in parts)
    return tuple(float((one - full).norm() / full.norm()) for one in (by_k, by_token))


@figure("figure-accumulation.svg")
def memory_and_error() -> Figure:
    """Held activations against the number of micro-batches, and the gradient error of two ways to weight them."""
    each, summed = ([held(count, way) for count in COUNTS] for way in (True, False))
    assert each[0] / each[-1] == 32 and max(summed) == min(summed) == each[0]
    shorts = (1, 2, 4, 8, 16, 32, 64)
    by_k, by_token = np.array([errors(short) for short in shorts]).T
    assert by_k[0] > 0.5 and by_k[-1] < 1e-5 and by_token.max() < 1e-5

    drawn, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.8))
    left.plot(COUNTS, summed, "o-", color=ORANGE, markersize=4, label="sum the losses first")
    left.plot(COUNTS, each, "o-", color=BLUE, markersize=4, label="backward each")
    left.set_xscale("log", base=2)
    left.set_xticks(COUNTS, [str(count) for count in COUNTS])
    left.set_xlabel("micro-batches")
    left.set_title("activations held (KiB)")
    left.set_ylim(0, max(summed) * 1.15)
    left.legend(loc="center right")
    right.plot(shorts, by_k, "o-", color=ORANGE, markersize=4, label="divide by K")
    right.plot(shorts, by_token, "o-", color=BLUE, markersize=4, label="divide by tokens")
    right.set_xscale("log", base=2)
    right.set_xticks(shorts, [str(short) for short in shorts])
    right.set_xlabel("tokens in the short half")
    right.set_title("relative gradient error")
    right.legend(loc="upper right")
    return drawn
