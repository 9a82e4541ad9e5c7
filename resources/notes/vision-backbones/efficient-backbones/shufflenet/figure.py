import torch
from matplotlib.figure import Figure
from torch import nn
from torchvision.models.shufflenetv2 import InvertedResidual

from figure_style import BLUE, ORANGE, figure, plt

CHANNELS, UNITS = 16, 5


class Unshuffled(InvertedResidual):
    """The same unit without the channel shuffle at its end."""

    def forward(self, x):
        kept, worked = x.chunk(2, dim=1)
        return torch.cat((kept, self.branch2(worked)), dim=1)


def seen(kind, units):
    """Mean share of the input channels that an output channel depends on."""
    net = nn.Sequential(*(kind(CHANNELS, CHANNELS, 1) for _ in range(units))).double().eval()
    for weight in net.parameters():
        nn.init.uniform_(weight, 0.5, 1.0)
    x = torch.rand(1, CHANNELS, 3, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: net(v)[0, :, 1, 1], x)
    return float((jacobian[:, 0].abs().sum((-1, -2)) > 0).double().mean())


@figure("figure-reach.svg")
def channels_seen_by_depth() -> Figure:
    """With the shuffle every output channel soon depends on most input channels; without it one half never mixes."""
    torch.manual_seed(0)
    depths = range(1, UNITS + 1)
    shuffled, plain = ([seen(kind, n) for n in depths] for kind in (InvertedResidual, Unshuffled))
    assert shuffled == sorted(shuffled) and shuffled[-1] > 0.85 and len(set(plain)) == 1 and plain[0] < 0.3

    drawn, panel = plt.subplots()
    panel.plot(depths, shuffled, "o-", color=BLUE)
    panel.plot(depths, plain, "s--", color=ORANGE)
    panel.text(4.9, 0.76, "with shuffle", color=BLUE, ha="right")
    panel.text(4.9, plain[0] + 0.05, "without shuffle", color=ORANGE, ha="right")
    panel.set_xticks(list(depths))
    panel.set_ylim(0, 1.05)
    panel.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    panel.set_xlabel("units in a row")
    panel.set_ylabel("input channels seen")
    return drawn
