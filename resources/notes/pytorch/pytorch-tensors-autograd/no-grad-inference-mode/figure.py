import contextlib

import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, figure, plt

BATCH, WIDTH = 256, 1024


def held(model: nn.Module, x: torch.Tensor, context) -> float:
    """MiB of distinct activations that the graph keeps for backward, parameters not counted."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), context:
        result = model(x)
    assert result.shape == x.shape
    return sum(kept.values()) / 2**20


@figure("figure-memory.svg")
def eval_keeps_what_no_grad_frees() -> Figure:
    """The memory that a forward pass leaves behind, by depth: eval() saves nothing, no_grad() everything."""
    depths = list(range(1, 9))
    x = torch.randn(BATCH, WIDTH)
    training, evaluating, without = [], [], []
    for depth in depths:
        model = nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())))
        training.append(held(model.train(), x, contextlib.nullcontext()))
        evaluating.append(held(model.eval(), x, contextlib.nullcontext()))
        without.append(held(model.eval(), x, torch.no_grad()))
        assert held(model, x, torch.inference_mode()) == 0
    assert training == evaluating == [depth + 1.0 for depth in depths] and not any(without)

    drawn, axes = plt.subplots()
    axes.plot(depths, training, color=BLUE, linewidth=3.6, alpha=0.5, label="train(), recording")
    axes.plot(depths, evaluating, color=ORANGE, linestyle=(0, (4, 2)), label="eval(), recording")
    axes.plot(depths, without, color=GREEN, marker="o", markersize=4, label="no_grad(), inference_mode()")
    axes.set_xlabel("blocks")
    axes.set_ylabel("held for backward (MiB)")
    axes.set_ylim(-0.4, 10)
    axes.legend(loc="upper left")
    return drawn
