import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt

CALLS = 40


def trained() -> nn.Module:
    """A small regression network after 300 steps, so that its running statistics are those of the data."""
    model = nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        x = torch.randn(32, 4)
        loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@figure("figure-modes.svg")
def one_sample_many_calls() -> Figure:
    """The output of one sample when the rest of its batch changes: scattered in train mode, constant in eval mode."""
    torch.manual_seed(0)
    model, sample = trained(), torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    outputs: dict[str, list[float]] = {"train mode": [], "eval mode": []}
    with torch.no_grad():
        for mode in outputs:
            model.train(mode == "train mode")
            for _ in range(CALLS):
                outputs[mode].append(float(model(torch.cat([sample, torch.randn(15, 4)]))[0]))
    spread = {mode: max(values) - min(values) for mode, values in outputs.items()}
    assert spread["train mode"] > 1.0 and spread["eval mode"] < 1e-5

    drawn, panel = plt.subplots()
    for (mode, values), colour, mark in zip(outputs.items(), (ORANGE, BLUE), ("^", "o")):
        panel.plot(range(1, CALLS + 1), values, mark, markersize=4, color=colour, label=mode)
    panel.set_xlabel("call with other companions")
    panel.set_ylabel("output for one sample")
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.3 * (high - low))
    panel.legend(loc="upper right", ncols=2)
    return drawn
