import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt

BLOCKS = (1, 2, 4, 6, 8)


class Net(nn.Module):
    """Blocks of two linear layers with BatchNorm; with or without the input added to each block's output."""

    def __init__(self, blocks, skip, width=32):
        super().__init__()
        self.skip = skip
        self.first, self.last = nn.Linear(64, width), nn.Linear(width, 10)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, width),
                nn.BatchNorm1d(width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.BatchNorm1d(width),
            )
            for _ in range(blocks)
        )

    def forward(self, x):
        h = self.first(x).relu()
        for block in self.blocks:
            h = (h + block(h) if self.skip else block(h)).relu()
        return self.last(h)


def training_loss(blocks, skip):
    """Cross-entropy on the whole training set after 60 steps of SGD on the digits of scikit-learn."""
    x, target = load_digits(return_X_y=True)
    x, target = torch.tensor(x / 16), torch.tensor(target)
    torch.manual_seed(0)
    net = Net(blocks, skip).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    for _ in range(60):
        batch = torch.randint(0, len(x), (256,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[batch]), target[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(net(x), target))


@figure("figure-depth.svg")
def training_loss_by_depth() -> Figure:
    """The deeper plain network fits its own training set worse; the residual one does not."""
    plain, residual = ([training_loss(blocks, skip) for blocks in BLOCKS] for skip in (False, True))
    assert (
        plain == sorted(plain)
        and plain[-1] > 0.5
        and plain[0] < 0.2
        and plain[-1] > 10 * residual[-1]
        and residual[-1] < residual[0]
    )

    drawn, panel = plt.subplots()
    panel.semilogy(BLOCKS, plain, "o-", color=ORANGE)
    panel.semilogy(BLOCKS, residual, "s--", color=BLUE)
    panel.text(BLOCKS[-1], plain[-1] * 0.6, "plain", color=ORANGE, ha="right", va="top")
    panel.text(BLOCKS[-1], residual[-1] * 1.4, "residual", color=BLUE, ha="right", va="bottom")
    panel.set_xticks(BLOCKS)
    panel.minorticks_off()
    panel.set_yticks([0.05, 0.1, 0.2, 0.5], ["0.05", "0.1", "0.2", "0.5"])
    panel.set_xlabel("blocks of two layers")
    panel.set_ylabel("loss on the training set")
    return drawn
