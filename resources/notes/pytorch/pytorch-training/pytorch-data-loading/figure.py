import torch
from matplotlib.figure import Figure
from torch.utils.data import RandomSampler, SequentialSampler, WeightedRandomSampler

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-order.svg")
def the_sampler_is_the_order() -> Figure:
    """Which index each sampler asks for: 90 samples of class A, then 10 of class B."""
    labels = torch.tensor([0] * 90 + [1] * 10)
    weights = (1 / torch.bincount(labels))[labels]
    generator = torch.Generator().manual_seed(3)
    orders = {
        "SequentialSampler": list(SequentialSampler(labels)),
        "RandomSampler": list(RandomSampler(labels, generator=generator)),
        "WeightedRandomSampler": list(WeightedRandomSampler(weights, 100, generator=generator)),
    }
    shares = {name: float(labels[order].float().mean()) for name, order in orders.items()}
    assert (
        shares["SequentialSampler"] == shares["RandomSampler"] == labels.float().mean()
        and 0.4 < shares["WeightedRandomSampler"] < 0.6
    )
    assert orders["SequentialSampler"] == sorted(orders["RandomSampler"]) == list(range(100))

    drawn, panels = plt.subplots(1, 3, sharey=True)
    for panel, (name, order) in zip(panels, orders.items(), strict=True):
        for value, colour, label in ((0, BLUE, "class A"), (1, ORANGE, "class B")):
            points = [(at, index) for at, index in enumerate(order) if labels[index] == value]
            panel.scatter(*zip(*points), s=9, color=colour, linewidths=0, label=label, marker="os"[value])
        panel.set_title(name, fontsize=8)
        panel.set_ylim(-3, 103)
    panels[1].set_xlabel("position in the epoch")
    panels[0].set_ylabel("dataset index")
    panels[0].legend(loc="upper left", handletextpad=0.2)
    return drawn
