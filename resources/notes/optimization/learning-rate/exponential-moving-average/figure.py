import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from figure_style import BLUE, GREEN, QUIET, figure, plt

STEPS, START = 300, 100


@figure("figure-average.svg")
def averages_settle_near_the_optimum() -> Figure:
    """One weight under SGD with noisy gradients, its EMA from the start and its equal average from step 100."""
    torch.manual_seed(2)
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ema, mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.97)), AveragedModel(model)
    raw, smooth, equal = [], [], []
    for step in range(STEPS):
        model.weight.grad = model.weight.detach() + 2 * torch.randn(1, 1)
        optimizer.step()
        ema.update_parameters(model)
        raw.append(model.weight.item())
        smooth.append(ema.module.weight.item())
        if step >= START:
            mean.update_parameters(model)
            equal.append(mean.module.weight.item())
    late = [np.std(values[-150:]) for values in (raw, smooth)]
    assert late[1] < 0.6 * late[0] and abs(equal[-1]) < 0.15 and smooth[20] > 1.3 * abs(raw[20])

    drawn, panel = plt.subplots()
    panel.plot(raw, color=QUIET, linewidth=0.8, label="SGD")
    panel.plot(smooth, color=BLUE, label="EMA 0.97")
    panel.plot(range(START, STEPS), equal, color=GREEN, linestyle=(0, (5, 2)), label="average from step 100")
    panel.set_xlabel("step")
    panel.set_ylabel("weight")
    panel.legend(loc="upper right")
    return drawn
