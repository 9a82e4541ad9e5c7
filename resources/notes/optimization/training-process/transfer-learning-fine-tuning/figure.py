import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, figure, plt

COUNTS = (2, 5, 10, 20, 50)


def fit(model: nn.Module, parameters, x: torch.Tensor, y: torch.Tensor, steps: int) -> None:
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def accuracy(x: torch.Tensor, y: torch.Tensor, pretrained: nn.Linear, way: str, count: int, seed: int) -> float:
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    chosen = torch.cat([order[y[order] == c][:count] for c in range(5)])
    rest = torch.ones(len(y), dtype=torch.bool)
    rest[chosen] = False
    torch.manual_seed(seed)
    model = network()
    if way != "from scratch":
        model[0].load_state_dict(pretrained.state_dict())
    fit(model, model[2].parameters() if way == "frozen features" else model.parameters(), x[chosen], y[chosen], 60)
    return float((model(x[rest]).argmax(1) == y[rest]).float().mean())


@figure("figure-labels.svg")
def transfer_on_related_and_unrelated_images() -> Figure:
    """A network pretrained on half of the digits learns five new classes of the other half, plain or with shuffled pixels."""
    images, digits = load_digits(return_X_y=True)
    images, digits = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(digits)
    split = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    source, target = split[:900], split[900:]
    torch.manual_seed(0)
    pretrained = network()
    fit(pretrained, pretrained.parameters(), images[source], digits[source], 150)
    groups = (digits * 3 % 10 // 2)[target]
    shuffled = images[:, torch.randperm(64, generator=torch.Generator().manual_seed(0))]

    drawn, panels = plt.subplots(1, 2, sharey=True)
    for panel, x, title in (
        (panels[0], images[target], "related images"),
        (panels[1], shuffled[target], "shuffled pixels"),
    ):
        curves = {}
        for way, colour, marker in (
            ("from scratch", ORANGE, "o"),
            ("frozen features", GREEN, "s"),
            ("fine-tuning", BLUE, "^"),
        ):
            curves[way] = [
                np.mean([accuracy(x, groups, pretrained[0], way, count, seed) for seed in range(5)]) for count in COUNTS
            ]
            panel.plot(COUNTS, curves[way], color=colour, marker=marker, markersize=4, label=way)
        scratch, frozen, tuned = curves.values()
        if title == "related images":
            assert frozen[0] > max(tuned[0], scratch[0])
            assert frozen[1] > tuned[1] > scratch[1] + 0.03 and tuned[-1] > max(frozen[-1], scratch[-1])
        else:
            assert all(a < b - 0.1 for a, b in zip(frozen, scratch, strict=True))
        panel.set_xscale("log")
        panel.set_xticks(COUNTS, [str(count) for count in COUNTS])
        panel.minorticks_off()
        panel.set_title(title)
        panel.set_xlabel("labels per class")
    panels[0].set_ylabel("accuracy")
    panels[0].legend(loc="lower right")
    return drawn
