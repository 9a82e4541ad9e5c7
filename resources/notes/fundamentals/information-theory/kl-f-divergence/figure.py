import torch
from matplotlib.figure import Figure
from torch.distributions import Normal

from figure_style import BLUE, ORANGE, QUIET, figure, plt


@figure("figure-directions.svg")
def both_directions() -> Figure:
    """The best single Gaussian for a mixture of two, for both directions of the divergence (grid search)."""
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    step = x[1] - x[0]
    log_p = torch.logaddexp(
        Normal(-2.0, 0.7).log_prob(x) + torch.tensor(0.6).log(), Normal(2.5, 0.7).log_prob(x) + torch.tensor(0.4).log()
    )
    p = log_p.exp()
    centres, spreads = torch.linspace(-4, 4, 161).double(), torch.linspace(0.4, 3.5, 125).double()
    mu, sigma = (t.reshape(-1, 1) for t in torch.meshgrid(centres, spreads, indexing="ij"))
    log_q = Normal(mu, sigma).log_prob(x)
    forward = (p * (log_p - log_q)).sum(1) * step
    reverse = (log_q.exp() * (log_q - log_p)).sum(1) * step
    wide, narrow = forward.argmin(), reverse.argmin()
    mean = (p * x).sum() * step
    assert abs(mu[wide] - mean) < 0.05 and sigma[wide] > 2
    assert abs(mu[narrow] + 2) < 0.06 and abs(sigma[narrow] - 0.7) < 0.06

    drawn, panel = plt.subplots()
    x, p, log_q = x[::8], p[::8], log_q[:, ::8]
    panel.fill_between(x, p, color=QUIET, alpha=0.35, linewidth=0, label="p (two modes)")
    panel.plot(x, log_q[wide].exp(), color=BLUE, label="best q for KL(p‖q)")
    panel.plot(x, log_q[narrow].exp(), color=ORANGE, label="best q for KL(q‖p)")
    panel.set_xlim(-6, 7.5)
    panel.set_ylim(0)
    panel.set_ylabel("density")
    panel.legend(loc="upper right")
    return drawn
