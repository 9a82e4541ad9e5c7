import numpy as np
import torch
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt

STEPS, EVERY, WEIGHTS, LR, DECAY = 2000, 40, 300, 0.01, 0.1


def mean_weights(optimizer_class) -> np.ndarray:
    """The mean of 300 weights with large and of 300 with small random gradients of mean zero, every 40 steps."""
    torch.manual_seed(0)
    w = torch.ones(2, WEIGHTS, dtype=torch.float64, requires_grad=True)
    optimizer = optimizer_class([w], lr=LR, weight_decay=DECAY)
    scale = torch.tensor([[10.0], [0.1]], dtype=torch.float64)
    means = [w.detach().mean(1).numpy()]
    for step in range(1, STEPS + 1):
        w.grad = torch.randn(2, WEIGHTS, dtype=torch.float64) * scale
        optimizer.step()
        if step % EVERY == 0:
            means.append(w.detach().mean(1).numpy())
    return np.array(means)


@figure("figure-decay.svg")
def decay_with_large_and_small_gradients() -> Figure:
    """The gradients pull nowhere on average, so what shrinks the weights is the decay alone."""
    steps = np.arange(0, STEPS + 1, EVERY)
    l2, decoupled = mean_weights(torch.optim.Adam), mean_weights(torch.optim.AdamW)
    assert l2[-1, 0] > 0.7 and abs(l2[steps == 1000][0, 1]) < 0.1
    assert np.abs(decoupled - (1 - LR * DECAY) ** steps[:, None]).max() < 0.1

    drawn, panels = plt.subplots(1, 2, sharey=True)
    for panel, values, title in zip(panels, (l2, decoupled), ("Adam + L2", "AdamW"), strict=True):
        panel.plot(steps, values[:, 0], color=BLUE, linewidth=3.2, alpha=0.55, label="gradients of size 10")
        panel.plot(steps, values[:, 1], color=ORANGE, linestyle=(0, (4, 2)), label="gradients of size 0.1")
        panel.set_title(title)
        panel.set_xlabel("step")
    panels[0].set_ylabel("mean weight")
    panels[1].legend(loc="upper right")
    panels[1].set_ylim(-0.1, 1.15)
    return drawn
