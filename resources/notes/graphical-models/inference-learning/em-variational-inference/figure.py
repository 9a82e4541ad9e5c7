import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from scipy.stats import norm

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


def climb(x, means, steps=10):
    """Mean log-likelihood of a mixture of three unit-weight Gaussians with variance 0.25 under EM for the means and weights."""
    weights, values = np.ones(3) / 3, []
    for _ in range(steps):
        joint = weights * norm.pdf(x[:, None], means, 0.5)
        values.append(float(np.log(joint.sum(1)).mean()))
        r = joint / joint.sum(1, keepdims=True)
        weights, means = r.mean(0), (r * x[:, None]).sum(0) / r.sum(0)
    return values


@figure("figure-em.svg")
def em_and_mean_field() -> Figure:
    """Two climbs that end apart; a correlated posterior and its mean-field approximation."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(m, 0.5, 60) for m in (-3, 0, 4)])
    good, bad = climb(x, np.array([-2.0, 0.5, 2.0])), climb(x, np.array([3.9, 4.2, -1.5]))
    assert (
        all(b >= a - 1e-12 for values in (good, bad) for a, b in zip(values, values[1:])) and good[-1] > bad[-1] + 0.3
    )
    rho = 0.9
    narrow = 1 - rho**2

    drawn, (left, right) = plt.subplots(1, 2, figsize=(5.6, 2.7), width_ratios=(1.2, 1))
    left.plot(good, color=BLUE)
    left.plot(bad, "--", color=ORANGE)
    left.set_xlabel("iteration")
    left.set_ylabel("mean log-likelihood")
    left.set_title("EM from two starts")
    for scale in (1, 2):
        right.add_patch(
            Ellipse(
                (0, 0),
                2 * scale * np.sqrt(1 + rho),
                2 * scale * np.sqrt(1 - rho),
                angle=45,
                fill=False,
                edgecolor=INK,
                linewidth=1.5,
            )
        )
        right.add_patch(
            Ellipse(
                (0, 0),
                2 * scale * np.sqrt(narrow),
                2 * scale * np.sqrt(narrow),
                fill=False,
                edgecolor=ORANGE,
                linewidth=1.5,
            )
        )
    right.text(-2.4, 2.1, "posterior", color=INK)
    right.text(2.4, -2.2, "mean field", color=ORANGE, ha="right")
    right.plot([1.15, 0.55], [-1.75, -0.75], color=QUIET, linewidth=0.8)
    right.set_xlim(-2.6, 2.6)
    right.set_ylim(-2.6, 2.6)
    right.set_aspect("equal")
    right.set_title("mean field is too narrow")
    return drawn
