import copy

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from figure_style import BLUE, ORANGE, QUIET, figure, plt

SHARES = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95]


def trained():
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(x[:1200]), y[:1200]).backward()
        optimizer.step()
    return model, x[1200:], y[1200:]


def accuracy(model, x, y, share, method) -> float:
    pruned = copy.deepcopy(model)
    for layer in (pruned[0], pruned[2]):
        method(layer, "weight", amount=share)
    with torch.no_grad():
        return float((pruned(x).argmax(1) == y).float().mean())


@figure("figure-pruning.svg")
def accuracy_and_memory() -> Figure:
    """Accuracy of a digit classifier over the share of zeros, and the memory of CSR against dense."""
    model, x, y = trained()
    magnitude = [accuracy(model, x, y, share, prune.l1_unstructured) for share in SHARES]
    rows = [[accuracy(model, x, y, share, prune.random_unstructured) for share in SHARES] for _ in range(10)]
    random = torch.tensor(rows).mean(0).tolist()
    assert magnitude[3] > 0.9 > 0.75 > random[3] and magnitude[5] > random[5] + 0.25
    dense, ratios, flat = 4 * 500 * 500, [], torch.randn(500 * 500)
    for share in SHARES:
        kept = flat.clone()
        kept[: round(share * len(flat))] = 0
        csr = kept.view(500, 500).to_sparse_csr()
        ratios.append(
            sum(t.numel() * t.element_size() for t in (csr.values(), csr.col_indices(), csr.crow_indices())) / dense
        )
    assert ratios[4] > 1 > ratios[5]

    drawn, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.8))
    left.plot(SHARES, magnitude, "o-", color=BLUE, markersize=4, label="magnitude")
    left.plot(SHARES, random, "o-", color=ORANGE, markersize=4, label="random")
    left.set_ylim(0, 1.05)
    left.set_title("accuracy without retraining")
    left.set_xlabel("share of zeros")
    left.legend(loc="lower left")
    right.plot(SHARES, ratios, "o-", color=BLUE, markersize=4, label="CSR")
    right.axhline(1, color=QUIET, linestyle=":", label="dense")
    right.set_ylim(0, 3.2)
    right.set_title("memory against dense")
    right.set_xlabel("share of zeros")
    right.legend(loc="upper right")
    return drawn
