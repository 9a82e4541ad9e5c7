import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, figure, plt


class Scaled(nn.Module):
    """A product with a weight that is registered or not, and a parameter that has no influence."""

    def __init__(self, registered: bool) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        weight = torch.zeros(8)
        self.w = nn.Parameter(weight) if registered else weight.requires_grad_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w


def losses(registered: bool) -> list[float]:
    torch.manual_seed(0)
    x, target = torch.randn(256, 8), torch.randn(8)
    y, model = x @ target, Scaled(registered)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    values = []
    for _ in range(40):
        loss = (model(x) - y).square().mean()
        values.append(loss.item())
        model.zero_grad()
        loss.backward()
        optimizer.step()
    return values


class Dropping(nn.Module):
    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.drop = F.dropout if functional else nn.Dropout(0.5)
        self.out = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(x))


@figure("figure-registered.svg")
def only_registered_state_takes_part() -> Figure:
    """Left: a plain tensor is never updated. Right: F.dropout ignores eval()."""
    lost, kept = losses(False), losses(True)
    assert len(set(lost)) == 1 and kept[-1] < 0.01 * kept[0]
    torch.manual_seed(0)
    x = torch.randn(1, 64)
    outputs = {}
    for functional in (True, False):
        torch.manual_seed(1)
        model = Dropping(functional).eval()
        with torch.no_grad():
            outputs[functional] = [model(x).item() for _ in range(300)]
    assert len(set(outputs[False])) == 1 and len(set(outputs[True])) > 250

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(lost, color=ORANGE, linestyle=(0, (4, 2)), label="weight as plain tensor")
    left.plot(kept, color=BLUE, label="weight as nn.Parameter")
    left.set_xlabel("step")
    left.set_ylabel("training loss")
    left.set_ylim(0, max(lost) * 1.5)
    left.legend(loc="upper right")
    right.hist(outputs[True], bins=24, color=ORANGE, alpha=0.65, label="F.dropout(x)")
    right.axvline(outputs[False][0], ymax=0.7, color=BLUE, label="nn.Dropout")
    right.set_xlabel("output in eval()")
    right.set_ylabel("runs")
    right.set_ylim(0, 62)
    right.legend(loc="upper left")
    return drawn
