import torch
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt

STEPS = 80


def path(optimizer_class, lr: float, scale: float) -> list[float]:
    """The weight after each step on scale * w^2 / 2, whose gradient is scale * w."""
    w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = optimizer_class([w], lr=lr)
    values = [1.0]
    for _ in range(STEPS):
        optimizer.zero_grad()
        (scale * w**2 / 2).sum().backward()
        optimizer.step()
        values.append(w.item())
    return values


@figure("figure-scale.svg")
def the_scale_of_the_gradient_does_not_matter() -> Figure:
    """Two weights, one with a hundredfold gradient: SGD treats them apart, Adam alike."""
    paths = {
        title: [path(kind, lr, scale) for scale in (100.0, 1.0)]
        for title, kind, lr in (("SGD", torch.optim.SGD, 0.005), ("Adam", torch.optim.Adam, 0.05))
    }
    steep, flat = paths["SGD"]
    assert abs(steep[20]) < 0.01 and flat[20] > 0.9 and flat[STEPS] > 0.6
    assert max(abs(a - b) for a, b in zip(*paths["Adam"], strict=True)) < 1e-5

    drawn, panels = plt.subplots(1, 2, sharey=True)
    for panel, (title, (steep, flat)) in zip(panels, paths.items(), strict=True):
        panel.plot(steep, color=BLUE, linewidth=3.2, alpha=0.55, label="gradient x 100")
        panel.plot(flat, color=ORANGE, linestyle=(0, (4, 2)), label="gradient x 1")
        panel.set_title(title)
        panel.set_xlabel("step")
    panels[0].set_ylabel("weight")
    panels[1].legend(loc="upper right")
    return drawn
