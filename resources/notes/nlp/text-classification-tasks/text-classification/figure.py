import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import cross_entropy

from figure_style import BLUE, ORANGE, QUIET, figure, plt

LENGTH, WIDTH = 12, 16


def texts(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Filler words 2 to 19 with words 0 and 1 put in: side by side in class 1, apart in class 0."""
    ids = torch.randint(2, 20, (n, LENGTH))
    label = torch.arange(n) % 2
    for row in range(n):
        gap = 1 if label[row] else int(torch.randint(3, 7, ()))
        start = int(torch.randint(0, LENGTH - gap, ()))
        ids[row, start], ids[row, start + gap] = 0, 1
    return ids, label


class Model(nn.Module):
    """Averaged vectors (width 0) or filters with a maximum over time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, WIDTH), nn.Linear(WIDTH, 2)
        self.conv = nn.Conv1d(WIDTH, WIDTH, width) if width else None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids).transpose(1, 2)
        return self.head(x.mean(-1) if self.conv is None else self.conv(x).relu().amax(-1))


def accuracy(width: int, train: tuple, test: tuple) -> float:
    torch.manual_seed(0)
    model = Model(width)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    ids, label = train
    for step in range(300):
        part = torch.randint(0, len(ids), (64,))
        loss = cross_entropy(model(ids[part]), label[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return float((model(test[0]).argmax(-1) == test[1]).float().mean())


@figure("figure-widths.svg")
def filters_see_phrases() -> Figure:
    """Adjacency of two words is invisible to averages and width 1, and easy for widths 2 and 3."""
    torch.manual_seed(1)
    train, test = texts(4000), texts(2000)
    found = [accuracy(width, train, test) for width in range(4)]
    assert max(abs(value - 0.5) for value in found[:2]) < 0.04 and min(found[2:]) > 0.98, found

    drawn, panel = plt.subplots(figsize=(5.6, 2.6))
    panel.bar(range(4), found, width=0.55, color=[ORANGE, ORANGE, BLUE, BLUE])
    panel.axhline(0.5, color=QUIET, linestyle="--", linewidth=1, label="guessing")
    panel.set_xticks(range(4), ["average", "width 1", "width 2", "width 3"])
    panel.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    panel.set_ylim(0, 1.05)
    panel.grid(axis="x", visible=False)
    panel.set_ylabel("test accuracy")
    panel.legend(loc="upper left", fontsize=9)
    return drawn
