"""What a network computes, counted by PyTorch itself."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(network: nn.Module, *shape: int) -> int:
    """Multiply-adds of a network in evaluation mode for one input of a shape, by default an image (3, 224, 224).

    Counts products of matrices and convolutions. Only shapes are computed: the network is moved to the meta device.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network.to("meta").eval()(torch.zeros(1, *(shape or (3, 224, 224))))
    return counter.get_total_flops() // 2
