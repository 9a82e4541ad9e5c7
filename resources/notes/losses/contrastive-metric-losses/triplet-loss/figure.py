import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, PINK, figure, plt


def active_shares(steps: int = 200) -> list[float]:
    """Share of random triplets with non-zero loss while a small network learns the digits of scikit-learn."""
    digits = load_digits()
    images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    members = [torch.nonzero(labels == c).flatten() for c in range(10)]
    shares = []
    for _ in range(steps):
        anchors = torch.randint(len(labels), (512,))
        same = torch.stack([members[int(labels[i])][torch.randint(len(members[int(labels[i])]), ())] for i in anchors])
        other = torch.stack(
            [
                members[c][torch.randint(len(members[c]), ())]
                for c in ((labels[anchors] + torch.randint(1, 10, (512,))) % 10).tolist()
            ]
        )
        a, p, n = (F.normalize(net(images[i]), dim=1) for i in (anchors, same, other))
        loss = F.triplet_margin_loss(a, p, n, margin=0.3, reduction="none")
        shares.append((loss > 0).float().mean().item())
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    return shares


@figure("figure-active.svg")
def zones_and_active_share() -> Figure:
    """Loss against the distance of the negative, and how fast random triplets become easy."""
    far = torch.linspace(0, 2.4, 241)
    a, p = torch.zeros(241, 1), torch.ones(241, 1)
    loss = F.triplet_margin_loss(a, p, far[:, None], margin=0.5, reduction="none")
    assert abs(loss[100] - 0.5) < 1e-4 and loss[150:].max() < 1e-4 and loss[149] > 0

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(far, loss, color=BLUE)
    for start, stop, colour, name in ((0, 1, ORANGE, "hard"), (1, 1.5, PINK, "semi-hard"), (1.5, 2.4, GREEN, "easy")):
        left.axvspan(start, stop, color=colour, alpha=0.15, linewidth=0)
        left.text((start + stop) / 2, 1.42, name, ha="center", fontsize=9)
    left.set_xlim(0, 2.4)
    left.set_ylim(0, 1.6)
    left.set_title("loss of one triplet")
    left.set_xlabel("distance anchor–negative")

    shares = active_shares()
    assert shares[0] > 0.7 and max(shares[-20:]) < 0.1
    right.plot(shares, color=BLUE)
    right.set_ylim(0, 1)
    right.set_title("share of triplets with loss > 0")
    right.set_xlabel("training step")
    return drawn
