import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import smooth_l1_loss

from figure_style import BLUE, ORANGE, figure, plt

WIDTHS = torch.tensor([10.0, 5.0], dtype=torch.float64)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def overlap(a, b):
    shared = (torch.minimum(a[:, 1], b[:, 1]) - torch.maximum(a[:, 0], b[:, 0])).clamp(min=0)
    return shared / ((a[:, 1] - a[:, 0]) + (b[:, 1] - b[:, 0]) - shared)


def pooled(truth, box):
    """A noisy profile of the object, read at 24 points in and around the box, as RoI Align does on a line."""
    width = box[:, 1:] - box[:, :1]
    place = box[:, :1] - 0.4 * width + (torch.arange(24) + 0.5) / 24 * 1.8 * width
    inside = torch.sigmoid((place - truth[:, :1]) / 0.6) * torch.sigmoid((truth[:, 1:] - place) / 0.6)
    return inside + 0.5 * random(*inside.shape)


def offsets(truth, box):
    width = box[:, 1] - box[:, 0]
    return torch.stack([(truth.mean(1) - box.mean(1)) / width, ((truth[:, 1] - truth[:, 0]) / width).log()], 1)


def moved(t, box):
    width = box[:, 1] - box[:, 0]
    centre, size = box.mean(1) + t[:, 0] * width, width * t[:, 1].clamp(-1.5, 1.5).exp()
    return torch.stack([centre - size / 2, centre + size / 2], 1)


def proposals(n: int):
    centre, width = 20 * torch.rand(n, dtype=torch.float64), 8 + 12 * torch.rand(n, dtype=torch.float64)
    truth = torch.stack([centre - width / 2, centre + width / 2], 1)
    box = truth + 0.22 * width[:, None] * random(n, 2)
    return truth, torch.stack([box.min(1)[0], box.max(1)[0] + 1], 1)


def head(truth, box, threshold: float, weights):
    """A small regressor, trained on the boxes above the threshold."""
    good = overlap(truth, box) >= threshold
    truth, box = truth[good], box[good]
    network = nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, 2)).double()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(350):
        pick = torch.randint(len(truth), (192,))
        loss = smooth_l1_loss(network(pooled(truth[pick], box[pick])), weights * offsets(truth[pick], box[pick]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return lambda truth, box: moved(network(pooled(truth, box)).detach() / weights, box)


@figure("figure-stages.svg")
def stages() -> Figure:
    """Mean IoU and share above 0.9 after each stage: a cascade of three heads, and the first head three times."""
    truth, box = proposals(5000)
    heads = []
    for stage, threshold in enumerate((0.5, 0.6, 0.7), start=1):
        heads.append(head(truth, box, threshold, stage * WIDTHS))
        box = heads[-1](truth, box)
    truth, start = proposals(3000)
    drawn, (left, right) = plt.subplots(1, 2)
    last = {}
    for name, chain, colour, line in (
        ("cascade", heads, BLUE, "-"),
        ("head 1, repeated", [heads[0]] * 3, ORANGE, "--"),
    ):
        box, quality = start, [overlap(truth, start)]
        for one in chain:
            box = one(truth, box)
            quality.append(overlap(truth, box))
        left.plot(
            range(4), [float(q.mean()) for q in quality], line, color=colour, marker="o", markersize=4, label=name
        )
        right.plot(
            range(4), [float((q > 0.9).double().mean()) for q in quality], line, color=colour, marker="o", markersize=4
        )
        last[name] = float((quality[3] > 0.9).double().mean())
    assert last["cascade"] > last["head 1, repeated"] + 0.15
    left.set_title("mean IoU")
    right.set_title("share above IoU 0.9")
    for panel in (left, right):
        panel.set_xticks(range(4), ["start", "1", "2", "3"])
        panel.set_xlabel("stage")
    left.legend(loc="lower right", fontsize=9)
    return drawn
