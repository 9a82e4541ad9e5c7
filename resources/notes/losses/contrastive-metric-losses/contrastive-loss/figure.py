import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, figure, plt


def contrastive(d, similar, margin=1.0):
    return 0.5 * F.hinge_embedding_loss(d, torch.where(similar, 1, -1), margin=margin, reduction="none") ** 2


def trained_distances() -> tuple[torch.Tensor, torch.Tensor]:
    """Distances of random pairs of digits, and whether the digits agree, after training on balanced pairs."""
    digits = load_digits()
    images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(300):
        i, j = torch.randint(len(labels), (2, 2048))
        similar = labels[i] == labels[j]
        d = F.pairwise_distance(net(images[i]), net(images[j]))
        losses = contrastive(d, similar)
        loss = losses[similar].mean() + losses[~similar].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    i, j = torch.randint(len(labels), (2, 20_000))
    with torch.no_grad():
        return F.pairwise_distance(net(images[i]), net(images[j])), labels[i] == labels[j]


@figure("figure-pairs.svg")
def curves_and_distances() -> Figure:
    """Loss of one pair against its distance, and the distances of digit pairs after training."""
    d = torch.linspace(0, 1.6, 161)
    pull, push = contrastive(d, torch.ones(161, dtype=torch.bool)), contrastive(d, torch.zeros(161, dtype=torch.bool))
    assert push[101:].max() == 0 and push[0] == 0.5 and (pull.diff() > 0).all()
    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(d, pull, color=BLUE, label="similar pair")
    left.plot(d, push, color=ORANGE, label="dissimilar pair")
    left.set_ylim(0, 1.3)
    left.set_title("loss of one pair")
    left.legend(loc="upper left")

    distances, similar = trained_distances()
    assert (distances[similar] < 0.5).float().mean() > 0.9 and (distances[~similar] > 0.7).float().mean() > 0.9
    for kind, colour, name in ((similar, BLUE, "same digit"), (~similar, ORANGE, "different digits")):
        right.hist(distances[kind].numpy(), bins=40, range=(0, 3), density=True, color=colour, alpha=0.7, label=name)
    right.axvline(1, color=INK, linestyle=":", label="margin")
    right.set_title("pairs after training")
    right.set_yticks([])
    right.legend(loc="upper right")
    for panel in (left, right):
        panel.set_xlabel("distance")
    return drawn
