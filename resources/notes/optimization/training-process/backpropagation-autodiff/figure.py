import math

import numpy as np
import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, figure, plt

PLACE = 1.2


def value(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(torch.sin(3 * x)) * x


@figure("figure-differences.svg")
def finite_differences_against_autograd() -> Figure:
    """Relative error of a derivative in float64 against the step of finite differences."""
    x = torch.tensor(PLACE, dtype=torch.float64, requires_grad=True)
    derivative = torch.autograd.grad(value(x), x)[0].item()
    exact = math.exp(math.sin(3 * PLACE)) * (1 + 3 * PLACE * math.cos(3 * PLACE))
    at = lambda place: value(torch.tensor(place, dtype=torch.float64)).item()
    steps = 10.0 ** np.linspace(-15, 0, 61)
    error = lambda estimate: max(abs(estimate - exact) / abs(exact), 1e-16)
    forward = np.array([error((at(PLACE + h) - at(PLACE)) / h) for h in steps])
    central = np.array([error((at(PLACE + h) - at(PLACE - h)) / (2 * h)) for h in steps])
    assert 1e-10 < forward.min() < 1e-7 and forward[0] > 1e-3 and forward[-1] > 0.1
    assert 1e-12 < central.min() < 1e-9 and error(derivative) < 1e-14

    drawn, panel = plt.subplots()
    panel.loglog(steps, forward, color=ORANGE, label="forward difference")
    panel.loglog(steps, central, color=GREEN, linestyle=(0, (5, 2)), label="central difference")
    panel.axhline(error(derivative), color=BLUE, label="autograd")
    panel.set_xlabel("step h")
    panel.set_ylabel("relative error")
    panel.set_ylim(1e-17, 30)
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return drawn
