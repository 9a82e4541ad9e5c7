import numpy as np
import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, INK, ORANGE, QUIET, figure, plt

CURVATURE = torch.tensor([1.0, 30.0], dtype=torch.float64)
STEPS = 40


def path(momentum: float, nesterov: bool) -> np.ndarray:
    """The weights after each step of torch.optim.SGD on (w1^2 + 30 w2^2) / 2."""
    w = torch.tensor([-4.0, 0.8], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.035, momentum=momentum, nesterov=nesterov)
    places = [w.detach().numpy().copy()]
    for _ in range(STEPS):
        optimizer.zero_grad()
        ((CURVATURE * w**2).sum() / 2).backward()
        optimizer.step()
        places.append(w.detach().numpy().copy())
    return np.array(places)


@figure("figure-valley.svg")
def momentum_in_a_narrow_valley() -> Figure:
    """Three paths from the same start with the same learning rate."""
    paths = {
        "plain": (path(0.0, False), ORANGE, "o"),
        "momentum 0.7": (path(0.7, False), BLUE, "s"),
        "Nesterov 0.7": (path(0.7, True), GREEN, "^"),
    }
    ends = {name: float(np.linalg.norm(places[-1])) for name, (places, _, _) in paths.items()}
    assert ends["plain"] > 0.5 and ends["momentum 0.7"] < 0.05 and ends["Nesterov 0.7"] < 0.05

    drawn, panel = plt.subplots(figsize=(5.6, 3.2))
    x, y = np.meshgrid(np.linspace(-4.4, 1.2, 60), np.linspace(-0.8, 1.0, 60))
    panel.contour(x, y, (x**2 + 30 * y**2) / 2, levels=[0.3, 1.5, 4, 8, 13], colors=QUIET, linewidths=0.8)
    for name, (places, colour, marker) in paths.items():
        panel.plot(places[:, 0], places[:, 1], color=colour, marker=marker, markersize=3, linewidth=1.2, label=name)
    panel.plot(0, 0, "*", color=INK, markersize=9)
    panel.grid(False)
    panel.set_xlabel("flat weight")
    panel.set_ylabel("steep weight")
    panel.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.16), columnspacing=1.2)
    return drawn
