import copy

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, figure, plt


def staleness(m: float, steps: int = 500, kept: int = 201) -> list[float]:
    """Trains a tiny MoCo and returns the mean cosine of queued keys with freshly encoded ones, by age in steps."""
    torch.manual_seed(0)
    query_net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16))
    key_net = copy.deepcopy(query_net).requires_grad_(False)
    queue = F.normalize(torch.randn(1024, 16), dim=1)
    optimizer = torch.optim.SGD(query_net.parameters(), 0.2)
    written = []
    for _ in range(steps):
        x = torch.randn(64, 32)
        q = F.normalize(query_net(x + 0.3 * torch.randn_like(x)), dim=1)
        with torch.no_grad():
            for k, p in zip(key_net.parameters(), query_net.parameters()):
                k.lerp_(p, 1 - m)
            view = x + 0.3 * torch.randn_like(x)
            key = F.normalize(key_net(view), dim=1)
        logits = torch.cat([(q * key).sum(1, keepdim=True), q @ queue.T], dim=1) / 0.2
        loss = F.cross_entropy(logits, torch.zeros(64, dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        queue = torch.cat([key, queue])[:1024]
        written = [(view, key), *written][:kept]
    return [(F.normalize(key_net(view), dim=1) * key).sum(1).mean().item() for view, key in written]


@figure("figure-age.svg")
def consistency_of_the_queue() -> Figure:
    """Old keys stay comparable when the key encoder moves slowly."""
    drawn, panel = plt.subplots()
    curves = {}
    for m, colour, style in ((0.99, BLUE, "-"), (0.9, GREEN, ":"), (0.0, ORANGE, "--")):
        curves[m] = staleness(m)
        panel.plot(curves[m], style, color=colour, label=f"m = {m:g}")
    assert min(curves[0.99]) > 0.99 and min(curves[0.9]) > 0.96
    assert min(curves[0.0][:21]) < 0.6 and max(curves[0.0][21:]) - min(curves[0.0][21:]) > 0.4
    panel.set_xlabel("age of the key (steps)")
    panel.set_ylabel("cosine with a fresh key")
    drawn.legend(loc="outside upper center", ncols=3)
    return drawn
