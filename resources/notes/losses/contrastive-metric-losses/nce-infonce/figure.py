import math

import torch
from matplotlib.figure import Figure
from torch.distributions import Normal
from torch.nn import functional as F

from figure_style import BLUE, GREEN, INK, ORANGE, QUIET, figure, plt


def information_found(n: int, rho: float, d: int) -> float:
    """ln N − InfoNCE with the best possible score, on pairs of correlated Gaussians."""
    losses = []
    for _ in range(max(4, 2048 // n)):
        x = torch.randn(n, d)
        y = rho * x + math.sqrt(1 - rho**2) * torch.randn(n, d)
        score = (
            Normal(rho * x[:, None], math.sqrt(1 - rho**2)).log_prob(y[None]).sum(-1)
            - Normal(0.0, 1.0).log_prob(y).sum(-1)[None]
        )
        losses.append(F.cross_entropy(score, torch.arange(n)).item())
    return math.log(n) - sum(losses) / len(losses)


@figure("figure-temperature.svg")
def push_and_bound() -> Figure:
    """How the temperature shares out the push, and how the batch size limits what the loss can show."""
    drawn, (left, right) = plt.subplots(1, 2)
    cosine = torch.linspace(-1, 1, 201)
    for tau, colour in ((0.07, ORANGE), (0.2, BLUE), (1.0, GREEN)):
        s = torch.cat([torch.tensor([1.0]), cosine]).requires_grad_()
        F.cross_entropy((s / tau)[None], torch.tensor([0])).backward()
        push = s.grad[1:] / s.grad[1:].sum()
        top = push[cosine > 0.7].sum().item()
        assert abs(push[180] / push[-1] - {0.07: 0.06, 0.2: 0.37, 1.0: 0.82}[tau]) < 0.005
        assert (top > 0.95) if tau == 0.07 else (top < 0.85)
        left.plot(cosine, push / push.max(), color=colour, label=f"τ = {tau:g}")
    left.set_title("push relative to the hardest")
    left.set_xlabel("cosine of the negative")
    left.legend(loc="upper left")

    torch.manual_seed(0)
    rho, d = 0.9, 4
    truth = -0.5 * d * math.log(1 - rho**2)
    sizes = [2**e for e in range(1, 11)]
    found = [information_found(n, rho, d) for n in sizes]
    assert all(f < math.log(n) for f, n in zip(found, sizes)) and found[-1] > 0.9 * truth and max(found) < truth + 0.1
    right.semilogx(sizes, [math.log(n) for n in sizes], "--", color=QUIET, base=2, label="ln N")
    right.semilogx(sizes, found, "o-", markersize=4, color=BLUE, base=2, label="ln N − loss")
    right.axhline(truth, color=INK, linestyle=":", label="true value")
    right.set_title("information found (nats)")
    right.set_xlabel("batch size N")
    right.legend(loc="upper left")
    return drawn
