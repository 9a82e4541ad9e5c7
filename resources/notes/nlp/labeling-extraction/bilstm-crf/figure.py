import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, INK, ORANGE, figure, plt

TAGS = ("O", "B-A", "I-A", "B-B", "I-B")
LEGAL = torch.tensor([[not (b.startswith("I") and a[2:] != b[2:]) for b in TAGS] for a in TAGS])


def sentences(count, rng, length=10):
    """Entities of two types, one to three words long; half of their words do not tell the type."""
    words, tags = np.zeros((count, length), int), np.zeros((count, length), int)
    for row in range(count):
        t = 0
        while t < length:
            if rng.random() < 0.45:
                kind, size = rng.integers(2), rng.integers(1, 4)
                for i in range(t, min(t + size, length)):
                    tags[row, i] = 1 + 2 * kind + (i > t)
                    words[row, i] = 3 + kind if rng.random() < 0.5 else rng.integers(5, 8)
                t += size
            else:
                words[row, t] = rng.integers(0, 3) if rng.random() < 0.8 else rng.integers(5, 8)
                t += 1
    return torch.tensor(words), torch.tensor(tags)


def log_z(E, A):
    alpha = E[:, 0]
    for t in range(1, E.shape[1]):
        alpha = E[:, t] + torch.logsumexp(alpha[:, :, None] + A, 1)
    return alpha.logsumexp(1)


def decode(E, A):
    delta, pointers = E[:, 0], []
    for t in range(1, E.shape[1]):
        best, previous = (delta[:, :, None] + A).max(1)
        delta = best + E[:, t]
        pointers.append(previous)
    path = [delta.argmax(1)]
    for previous in reversed(pointers):
        path.insert(0, previous.gather(1, path[0][:, None])[:, 0])
    return torch.stack(path, 1)


def trained(crf):
    """Share of illegal test sentences over the steps, and the transitions at the end."""
    rng = np.random.default_rng(0)
    test, _ = sentences(300, rng)
    torch.manual_seed(0)
    embed, lstm, head, A = (
        nn.Embedding(8, 12),
        nn.LSTM(12, 16, batch_first=True, bidirectional=True),
        nn.Linear(32, 5),
        nn.Parameter(torch.zeros(5, 5)),
    )
    optimizer = torch.optim.Adam([*embed.parameters(), *lstm.parameters(), *head.parameters(), A], lr=0.02)
    emissions = lambda words: head(lstm(embed(words))[0])
    shares = []
    for step in range(121):
        if step % 20 == 0:
            with torch.no_grad():
                path = decode(emissions(test), A)
            legal = LEGAL[path[:, :-1], path[:, 1:]].all(1) & (path[:, 0] != 2) & (path[:, 0] != 4)
            shares.append(100 * (1 - legal.float().mean().item()))
        words, tags = sentences(48, rng)
        E = emissions(words)
        path = E.gather(2, tags[:, :, None]).sum((1, 2)) + A[tags[:, :-1], tags[:, 1:]].sum(1)
        loss = (log_z(E, A) - path).mean() / 10 if crf else nn.functional.cross_entropy(E.transpose(1, 2), tags)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return shares, A.detach()


@figure("figure-consistency.svg")
def consistency() -> Figure:
    """Illegal outputs with and without a CRF, and what its transition matrix has learned."""
    (plain, _), (tied, A) = trained(False), trained(True)
    assert 8.5 < min(plain[1:]) < max(plain[1:]) < 27.5 and max(tied[2:]) < 0.01 and A[~LEGAL].max() < -0.6, (
        plain,
        tied,
        A,
    )
    drawn, (left, right) = plt.subplots(1, 2, figsize=(5.6, 2.8))
    steps = range(0, 121, 20)
    left.plot(steps[1:], plain[1:], "o-", color=ORANGE, markersize=4)
    left.plot(steps[1:], tied[1:], "s--", color=BLUE, markersize=4)
    left.text(52, 19, "softmax", color=ORANGE, ha="center", va="bottom")
    left.text(120, tied[-1] + 2, "CRF", color=BLUE, ha="right", va="bottom")
    left.set_ylim(-3, None)
    left.set_xlabel("training step")
    left.set_title("illegal test sentences (%)")
    right.grid(False)
    for i in range(5):
        for j in range(5):
            value = float(A[i, j])
            right.add_patch(
                plt.Rectangle(
                    (j - 0.47, i - 0.47),
                    0.94,
                    0.94,
                    color=BLUE if value > 0 else ORANGE,
                    alpha=min(abs(value) / 3, 0.75),
                    linewidth=0,
                )
            )
            right.text(j, i, f"{value:.1f}", ha="center", va="center", color=INK, fontsize=8.5)
    right.set_xticks(range(5), TAGS, fontsize=8.5)
    right.set_yticks(range(5), TAGS, fontsize=8.5)
    right.set_xlim(-0.5, 4.5)
    right.set_ylim(4.5, -0.5)
    right.set_xlabel("to")
    right.set_ylabel("from")
    right.set_title("learned transitions")
    return drawn
