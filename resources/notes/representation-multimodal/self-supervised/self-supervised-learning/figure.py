import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, figure, plt

LABELS = (1, 2, 5, 10, 20)


def view(x: torch.Tensor) -> torch.Tensor:
    """A slightly turned, shifted and noisy version of each 8 × 8 digit."""
    n, angle = len(x), 0.25 * torch.randn(len(x))
    frame = torch.stack(
        [angle.cos(), -angle.sin(), 0.2 * torch.randn(n), angle.sin(), angle.cos(), 0.2 * torch.randn(n)], dim=1
    )
    grid = F.affine_grid(frame.view(n, 2, 3), (n, 1, 8, 8), align_corners=False)
    moved = F.grid_sample(x.view(n, 1, 8, 8), grid, align_corners=False)
    return moved.flatten(1) + 0.1 * torch.randn(n, 64)


def pretrained(pool: torch.Tensor, contrastive: bool) -> nn.Module:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU())
    head = nn.Linear(128, 32 if contrastive else 64)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], 2e-3)
    for _ in range(300):
        x = pool[torch.randperm(len(pool))[:384]]
        if contrastive:
            a, b = (F.normalize(head(encoder(view(x))), dim=1) for _ in range(2))
            loss = F.cross_entropy(a @ b.T / 0.2, torch.arange(len(x)))
        else:
            hidden = torch.rand_like(x) < 0.5
            loss = (head(encoder(x * ~hidden)) - x)[hidden].pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return encoder.requires_grad_(False)


@figure("figure-labels.svg")
def accuracy_by_labels() -> Figure:
    """Linear probes on raw pixels and on features that were pretrained without labels."""
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), digits.target
    pool, rest = x[:1300], x[1300:]
    encoders = {
        "contrastive features": pretrained(pool, True),
        "masked features": pretrained(pool, False),
        "raw pixels": nn.Identity(),
    }
    drawn, panel = plt.subplots()
    curves = {}
    for (name, encoder), colour, style in zip(encoders.items(), (BLUE, GREEN, ORANGE), ("o-", "s:", "^--")):
        seen, unseen = encoder(pool).numpy(), encoder(rest).numpy()
        centre, spread = seen.mean(0), seen.std(0) + 1e-6
        seen, unseen = (seen - centre) / spread, (unseen - centre) / spread
        curves[name] = []
        for k in LABELS:
            found = []
            for seed in range(6):
                rng = np.random.default_rng(seed)
                few = np.concatenate([rng.permutation(np.flatnonzero(y[:1300] == c))[:k] for c in range(10)])
                found.append(LogisticRegression(max_iter=300).fit(seen[few], y[few]).score(unseen, y[1300:]))
            curves[name].append(np.mean(found))
        panel.plot(LABELS, curves[name], style, color=colour, markersize=4, label=name)
    for better in ("contrastive features", "masked features"):
        assert all(a > b + 0.02 for a, b in zip(curves[better][:3], curves["raw pixels"])), curves
        gains = [a - b for a, b in zip(curves[better], curves["raw pixels"])]
        assert gains[-1] < gains[0] - 0.02, gains
    panel.set_xscale("log")
    panel.set_xticks(LABELS, [str(k) for k in LABELS])
    panel.minorticks_off()
    panel.set_xlabel("labels per class")
    panel.set_ylabel("accuracy")
    panel.legend(loc="lower right")
    return drawn
