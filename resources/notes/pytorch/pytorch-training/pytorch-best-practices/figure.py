import copy

import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, QUIET, figure, plt

CUT, END = 120, 200


def setup(seed: int):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    return [model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, END)]


def train(parts, steps: int) -> list[float]:
    model, optimizer, scheduler = parts
    losses = []
    for _ in range(steps):
        x = torch.randn(64, 8)
        loss = (model(x) - x.prod(1, keepdim=True).tanh() - x[:, :1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return losses


@figure("figure-resume.svg")
def weights_alone_are_another_run() -> Figure:
    """Loss of one run, of the same run resumed with its whole state, and with weights alone."""
    parts = setup(0)
    before = train(parts, CUT)
    states, random_state = [copy.deepcopy(p.state_dict()) for p in parts], torch.get_rng_state()
    whole = train(parts, END - CUT)
    curves = []
    for count in (3, 1):
        parts = setup(1)
        for part, state in list(zip(parts, states))[:count]:
            part.load_state_dict(state)
        torch.set_rng_state(random_state)
        curves.append(train(parts, END - CUT))
    assert curves[0] == whole
    assert max(curves[1][:30]) > 2 * max(whole[:30]) and curves[1][0] == whole[0]

    drawn, axes = plt.subplots()
    after = range(CUT, END)
    axes.plot(range(END), before + whole, color=BLUE, linewidth=3.4, alpha=0.45, label="uninterrupted")
    axes.plot(after, curves[0], color=BLUE, linewidth=1, label="resumed, all state")
    axes.plot(after, curves[1], color=ORANGE, linestyle=(0, (4, 1.5)), label="resumed, weights only")
    axes.axvline(CUT, color=QUIET, linewidth=1, linestyle=":")
    axes.set_yscale("log")
    axes.set_ylim(2e-3, 2)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend(loc="lower left")
    return drawn
