import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-stages.svg")
def slices_show_the_stages() -> Figure:
    """A chain that computes |x|, looked into by slicing."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[0].bias.zero_()
        model[2].weight.fill_(1.0)
        model[2].bias.zero_()
        x = torch.linspace(-2, 2, 41)[:, None]
        stages = [model[:k](x) for k in (1, 2, 3)]
    assert torch.equal(stages[2], x.abs()) and stages[0].min() == -2 and stages[1].min() == 0

    drawn, panels = plt.subplots(1, 3, sharey=True, sharex=True)
    for panel, values, title in zip(panels, stages, ("model[:1](x)", "model[:2](x)", "model(x)"), strict=True):
        names = ("first output", "second output") if values.shape[1] == 2 else ("result",)
        for column, (name, colour) in enumerate(zip(names, (BLUE, ORANGE))):
            panel.plot(x[:, 0], values[:, column], color=colour, linestyle=(0, (4, 2)) if column else "-", label=name)
        panel.set_title(title)
        panel.set_xlabel("x")
        panel.set_ylim(-2.2, 3.6)
        panel.legend(loc="upper center", handlelength=1.4)
    return drawn
