import torch
from matplotlib.figure import Figure
from torch.distributions import Bernoulli
from torch.nn import functional as F

from figure_style import BLUE, GREEN, ORANGE, PINK, QUIET, figure, plt


@figure("figure-likelihood.svg")
def likelihood_and_spread() -> Figure:
    """Likelihood of a coin and its negative log; Gaussian NLL of one error against the predicted spread."""
    tosses = torch.tensor([1.0, 1.0, 1.0, 0.0])
    p = torch.linspace(0.02, 0.98, 193)
    log_likelihood = Bernoulli(p[:, None]).log_prob(tosses).sum(1)
    likelihood, nll = log_likelihood.exp(), -log_likelihood / 4
    assert abs(p[likelihood.argmax()] - 0.75) < 1e-4 and abs(p[nll.argmin()] - 0.75) < 1e-4

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(p, nll, color=BLUE, label="mean NLL")
    left.plot(p, likelihood * 10, color=ORANGE, label="likelihood")
    left.lines[1].set_label("likelihood × 10")
    left.plot([0.75, 0.75], [0, 1.2], color=QUIET, linestyle=":")
    left.set_ylim(0, 2.6)
    left.set_title("3 heads, 1 tail")
    left.set_xlabel("probability of heads")
    left.legend(loc="upper center")

    sigma = torch.linspace(0.2, 4, 191)
    for error, colour in ((0.5, GREEN), (1.0, BLUE), (2.0, PINK)):
        loss = F.gaussian_nll_loss(torch.zeros_like(sigma), torch.full_like(sigma, error), sigma**2, reduction="none")
        best = loss.argmin()
        assert abs(sigma[best] - error) < 0.02 and (error > 0.5 or loss[best] < 0)
        right.plot(sigma, loss, color=colour, label=f"error {error:g}")
        right.plot(sigma[best], loss[best], "o", color=colour)
    right.set_ylim(-0.6, 3)
    right.set_title("Gaussian NLL")
    right.set_xlabel("predicted standard deviation")
    right.legend(loc="upper right")
    return drawn
