import torch
from matplotlib.figure import Figure

from figure_style import BLUE, INK, ORANGE, SKY, figure, plt


def gradients(n: int) -> tuple[list[float], float]:
    """Gradient of each of four shards and of the whole batch, for one weight of a regression."""
    generator = torch.Generator().manual_seed(18)
    x = torch.randn(12, generator=generator)[:n]
    y = 2 * x + 4 * torch.randn(12, generator=generator)[:n]
    w = torch.zeros((), requires_grad=True)
    of = lambda a, b: float(torch.autograd.grad(((w * a - b) ** 2).mean(), w)[0])
    return [of(a, b) for a, b in zip(x.chunk(4), y.chunk(4), strict=True)], of(x, y)


@figure("figure-shards.svg")
def only_equal_shards_may_be_averaged() -> Figure:
    """Shard gradients, their plain mean, and the gradient of the whole batch."""
    cases = {"equal shards (3, 3, 3, 3)": gradients(12), "unequal shards (3, 3, 3, 1)": gradients(10)}
    gaps = [abs(sum(parts) / 4 - whole) for parts, whole in cases.values()]
    assert gaps[0] < 1e-5 and gaps[1] > 0.5

    drawn, panels = plt.subplots(1, 2, sharey=True)
    for panel, (title, (parts, whole)) in zip(panels, cases.items(), strict=True):
        panel.bar(range(4), parts, width=0.55, color=SKY, alpha=0.7)
        panel.axhline(0, color=INK, linewidth=0.8)
        panel.axhline(whole, color=BLUE, linewidth=3, alpha=0.6, label="whole batch")
        panel.axhline(sum(parts) / 4, color=ORANGE, linestyle=(0, (4, 2)), label="mean of the shards")
        panel.set_title(title)
        panel.set_xlabel("device")
        panel.set_xticks(range(4))
    panels[0].set_ylabel("gradient")
    panels[0].legend(loc="lower left")
    return drawn
