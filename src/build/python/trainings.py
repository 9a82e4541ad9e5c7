"""Small real trainings for the checks of the notes: data that comes with scikit-learn, and the loop every training shares."""

from __future__ import annotations

from typing import Callable

import torch
from torch.nn import functional as F


def handwritten_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """scikit-learn's digits: pixels (1797, 64), float32 from 0 to 1, rows of 8 × 8 images, and classes (1797,), int64."""
    # Here: the environment of the compiled operators has no scikit-learn, and its checks may import this module.
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)


def descend(optimizer: torch.optim.Optimizer, loss: Callable[[], torch.Tensor], steps: int) -> torch.Tensor:
    """Takes steps down a loss that is computed anew before each, and returns its last value."""
    for _ in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return value


def minibatch_losses(
    net: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, size: int, steps: int
) -> list[float]:
    """Cross-entropy before each of `steps` steps, each on a batch of `size` samples drawn at random from x (N, …) and classes y (N,)."""
    losses = []

    def loss() -> torch.Tensor:
        batch = torch.randint(0, len(y), (size,))
        value = F.cross_entropy(net(x[batch]), y[batch])
        losses.append(value.item())
        return value

    descend(optimizer, loss, steps)
    return losses


def weights_after_a_step(
    optimizer: Callable[..., torch.optim.Optimizer], training: bool, **options: float
) -> torch.Tensor:
    """Weights (3,), 1 before, of a BatchNorm layer in training or evaluation mode after one step against positive gradients."""
    layer = torch.nn.BatchNorm1d(3).train(training)
    layer.weight.grad, layer.bias.grad = torch.tensor([1.0, 2.0, 3.0]), torch.ones(3)
    optimizer(layer.parameters(), **options).step()
    return layer.weight.detach()
