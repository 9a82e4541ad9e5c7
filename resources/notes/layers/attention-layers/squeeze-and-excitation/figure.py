import torch
from matplotlib.figure import Figure
from torch import nn
from torchvision.ops import SqueezeExcitation

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


def batch(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two signals and a noisy context channel; the target is signal A where the context's average is positive, else B."""
    context = torch.rand(n, generator=generator) * 2 - 1
    signals = torch.randn(n, 2, 8, 8, generator=generator)
    noisy = context[:, None, None, None] + 1.5 * torch.randn(n, 1, 8, 8, generator=generator)
    target = torch.where((context > 0)[:, None, None], signals[:, 0], signals[:, 1])
    return torch.cat([signals, noisy], 1), target, context


def train(with_se: bool) -> tuple[nn.Module, list[float]]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(SqueezeExcitation(3, 8) if with_se else nn.Identity(), nn.Conv2d(3, 1, 1))
    optimizer, errors = torch.optim.Adam(model.parameters(), lr=0.02), []
    for _ in range(400):
        x, target, _ = batch(64, generator)
        loss = (model(x)[:, 0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    return model, errors


@figure("figure-gates.svg")
def gates() -> Figure:
    """Gates of a trained SE block against the context, and the training error with and without the block."""
    model, errors = train(True)
    _, plain = train(False)
    x, _, _ = batch(110, torch.Generator().manual_seed(2))
    with torch.no_grad():
        gate = (model[0](x) / x)[:, :, 0, 0]
    average = x[:, 2].mean((1, 2))
    sure = average.abs() > 0.4
    assert (gate[sure & (average > 0), 0] > 2 * gate[sure & (average > 0), 1]).all()
    assert (gate[sure & (average < 0), 1] > 2 * gate[sure & (average < 0), 0]).all()
    assert min(plain[-50:]) > 0.4 > 0.25 > max(errors[-50:])

    drawn, (left, right) = plt.subplots(1, 2)
    for channel, colour, mark in [(0, BLUE, "o"), (1, ORANGE, "^")]:
        left.scatter(average, gate[:, channel], s=9, color=colour, marker=mark, linewidths=0)
    left.text(0.45, 0.85, "signal A", color=BLUE)
    left.text(-0.9, 0.85, "signal B", color=ORANGE)
    left.set_ylim(0, 1.05)
    left.set_title("learned gates")
    left.set_xlabel("average of the context channel")
    for curve, colour in [(plain, QUIET), (errors, BLUE)]:
        right.plot(range(2, 402, 5), torch.tensor(curve).view(-1, 5).mean(1), color=colour)
    right.text(180, 0.56, "without", color=INK)
    right.text(180, 0.22, "with SE", color=BLUE)
    right.set_ylim(0, 1.1)
    right.set_title("error while training")
    right.set_xlabel("step")
    return drawn
