import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, figure, plt


def am_softmax(cosine, y, s, m):
    return F.cross_entropy(s * (cosine - m * F.one_hot(y, cosine.shape[1])), y)


def gaps(margin: float) -> torch.Tensor:
    """Cosine of the own centre minus the best wrong one, for test digits after training with this margin (s = 10)."""
    digits = load_digits()
    images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    torch.manual_seed(0)
    net, centres = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16)), nn.Parameter(torch.randn(10, 16))
    optimizer = torch.optim.Adam([*net.parameters(), centres], 3e-3)
    for _ in range(200):
        cosine = F.linear(F.normalize(net(images[:1200])), F.normalize(centres))
        optimizer.zero_grad()
        am_softmax(cosine, labels[:1200], 10, margin).backward()
        optimizer.step()
    with torch.no_grad():
        cosine = F.linear(F.normalize(net(images[1200:])), F.normalize(centres))
    own = cosine.gather(1, labels[1200:, None])[:, 0]
    return own - cosine.scatter(1, labels[1200:, None], -2).max(1).values


@figure("figure-margin.svg")
def loss_and_gaps() -> Figure:
    """Loss of a sample with and without margin, and the gaps that training with them leaves on unseen digits."""
    drawn, (left, right) = plt.subplots(1, 2)
    c, found = torch.linspace(-0.2, 1, 121), {}
    for margin, colour in ((0.0, ORANGE), (0.35, BLUE)):
        values = torch.stack(
            [am_softmax(torch.tensor([[float(v), 0.1, 0.1]]), torch.tensor([0]), 30, margin) for v in c]
        )
        near = values[(c - 0.4).abs().argmin()].item()
        assert (near < 0.01) if margin == 0 else (near > 1)
        left.plot(c, values, color=colour, label=f"margin {margin:g}")
        found[margin] = gaps(margin)
        right.hist(
            found[margin].numpy(), bins=40, range=(-0.5, 1.5), color=colour, alpha=0.6, label=f"margin {margin:g}"
        )
    assert found[0.35].median() > found[0].median() + 0.05 and (found[0.35] > found[0]).float().mean() > 0.6
    left.set_title("loss of one sample")
    left.set_xlabel("cosine with the own centre")
    left.legend(loc="upper right")
    right.set_title("test digits")
    right.set_xlabel("gap to the best wrong class")
    right.set_ylim(0, 150)
    right.legend(loc="upper left")
    return drawn
