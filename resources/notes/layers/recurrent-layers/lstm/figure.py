from typing import Callable

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, SKY, figure, plt

HIDDEN, LAGS, STEPS, SEEDS = 64, 41, 100, 3


def lstm(forget_bias: float) -> nn.LSTM:
    layer = nn.LSTM(32, HIDDEN)
    with torch.no_grad():
        layer.bias_ih_l0[HIDDEN : 2 * HIDDEN] += forget_bias
    return layer


def gradient_over_lags(make: Callable[[], nn.Module]) -> np.ndarray:
    """The norm of the gradient of the last output with respect to the input some steps back, relative to lag 0."""
    total = torch.zeros(LAGS)
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        layer = make()
        x = torch.randn(STEPS, 16, 32, requires_grad=True)
        output, _ = layer(x)
        (output[-1] * torch.randn(16, HIDDEN)).sum().backward()
        total += x.grad.norm(dim=-1).mean(1).flip(0)[:LAGS]
    return (total / total[0]).numpy()


@figure("figure-memory.svg")
def gradient_survives() -> Figure:
    """The gradient of a fresh LSTM fades nearly as fast as an RNN's until its forget gates are biased open."""
    plain = gradient_over_lags(lambda: nn.RNN(32, HIDDEN))
    default, one, three = (gradient_over_lags(lambda bias=bias: lstm(bias)) for bias in (0.0, 1.0, 3.0))
    assert plain[40] < 1e-10 and plain[40] < default[40] < 1e-6 < one[40] < 1e-2 and 0.25 < three[40] < 0.42

    drawn, panel = plt.subplots()
    curves = (
        (three, GREEN, "-", "LSTM, forget bias 3"),
        (one, BLUE, "-", "LSTM, forget bias 1"),
        (default, SKY, "--", "LSTM, default"),
        (plain, ORANGE, ":", "plain RNN"),
    )
    for values, colour, line, label in curves:
        panel.semilogy(range(LAGS), values, line, color=colour, label=label)
    panel.set_xlabel("steps back from the output")
    panel.set_ylabel("relative gradient norm")
    panel.set_ylim(1e-15, 30)
    panel.legend(loc="lower left", fontsize=9)
    return drawn
