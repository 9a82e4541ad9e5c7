import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from figure_style import BLUE, GREEN, ORANGE, SKY, YELLOW, figure, plt

COUNTS = torch.tensor([int(100 * 50 ** (-c / 9)) for c in range(10)])
GROUPS = {"many": COUNTS > 20, "medium": (COUNTS > 7) & (COUNTS <= 20), "few": COUNTS <= 7}


def recalls(seed: int) -> dict[str, torch.Tensor]:
    """Recall of the ten digits for four ways of training on the long tail; the classes change places with the seed."""
    torch.manual_seed(seed)
    x, y = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    x, y = x.float() / 16, torch.randperm(10)[y]
    where = [torch.nonzero(y == c)[:, 0] for c in range(10)]
    train = torch.cat([w[:n] for w, n in zip(where, COUNTS)])
    test = torch.cat([w[100:] for w in where])

    def network():
        return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU()), torch.nn.Linear(64, 10)

    def fit(body, head, parameters, q):
        weights = (COUNTS.float() ** (q - 1))[y[train]]
        optimizer = torch.optim.Adam(parameters, lr=0.01)
        for batch in train[torch.multinomial(weights, 64 * 250, replacement=True)].view(250, 64):
            optimizer.zero_grad()
            F.cross_entropy(head(body(x[batch])), y[batch]).backward()
            optimizer.step()

    def score(z):
        return torch.stack([(z[y[test] == c].argmax(1) == c).float().mean() for c in range(10)])

    body, head = network()
    fit(body, head, [*body.parameters(), *head.parameters()], 1)
    z = head(body(x[test])).detach()
    found = {"plain": score(z), "logit adjustment": score(z - COUNTS.log())}
    second = torch.nn.Linear(64, 10)
    fit(body, second, second.parameters(), 0)
    found["cRT"] = score(second(body(x[test])))
    body, head = network()
    fit(body, head, [*body.parameters(), *head.parameters()], 0)
    return found | {"balanced sampling": score(head(body(x[test])))}


@figure("figure-tail.svg")
def tail() -> Figure:
    """The class counts, and recall by group on digits, averaged over six assignments of digits to class sizes."""
    runs = [recalls(seed) for seed in range(6)]
    names = ["plain", "balanced sampling", "cRT", "logit adjustment"]
    mean = {name: torch.stack([run[name] for run in runs]).mean(0) for name in names}
    by_group = {name: [float(mean[name][mask].mean()) for mask in GROUPS.values()] for name in names}
    gains = {name: np.array(by_group[name]) - by_group["plain"] for name in names[1:]}
    assert all(gain.argmax() == 2 and gain[2] > 0.01 for gain in gains.values())
    assert all(values[2] < values[0] - 0.1 for values in by_group.values())

    drawn, (left, right) = plt.subplots(1, 2, width_ratios=[1, 1.5])
    left.bar(range(1, 11), COUNTS, color=SKY)
    left.set_title("samples per class")
    left.set_xlabel("class, frequent to rare")
    left.set_xticks([1, 4, 7, 10])
    for offset, (name, colour) in enumerate(zip(names, (ORANGE, YELLOW, GREEN, BLUE))):
        right.bar(np.arange(3) + 0.2 * (offset - 1.5), by_group[name], width=0.18, color=colour, label=name)
    right.set_xticks(range(3), ["27–100", "11–17", "2–7"])
    right.set_xlabel("samples per class")
    right.set_ylim(0, 1.5)
    right.set_yticks([0, 0.5, 1])
    right.legend(loc="upper center", ncol=2, fontsize=8, handlelength=1, columnspacing=1)
    right.set_title("digits, recall")
    assert [(int(COUNTS[m].min()), int(COUNTS[m].max())) for m in GROUPS.values()] == [(27, 100), (11, 17), (2, 7)]
    return drawn
