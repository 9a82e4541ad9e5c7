import numpy as np
from matplotlib.figure import Figure

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt

PI, A, B = np.array([0.8, 0.2]), np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.8, 0.2], [0.3, 0.7]])
HEARD = [0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 0, 0]


def posteriors():
    """P(worn) at each step: from the observations so far, and from all of them."""
    alpha, beta = [PI * B[:, HEARD[0]]], [np.ones(2)]
    for s in HEARD[1:]:
        alpha.append(B[:, s] * (alpha[-1] @ A))
    for s in HEARD[:0:-1]:
        beta.insert(0, A @ (B[:, s] * beta[0]))
    alpha, beta = np.array(alpha), np.array(beta)
    return alpha[:, 1] / alpha.sum(1), (alpha * beta)[:, 1] / alpha[-1].sum()


@figure("figure-chain.svg")
def chain() -> Figure:
    """The chain with its emissions above, the two posteriors below."""
    filtered, smoothed = posteriors()
    first = [int(np.argmax(values > 0.5)) + 1 for values in (filtered, smoothed)]
    assert first == [7, 6] and abs(filtered[-1] - smoothed[-1]) < 1e-12, first
    steps = np.arange(1, 13)
    drawn, (top, panel) = plt.subplots(2, 1, sharex=True, figsize=(5.6, 3.6), height_ratios=(1, 1.7))
    top.set_axis_off()
    for t, worn, noisy in zip(steps, smoothed > 0.5, HEARD):
        top.plot(t, 1, "o", markersize=15, color=ORANGE if worn else BLUE)
        top.text(t, 1, "W" if worn else "H", color="white", ha="center", va="center", fontsize=9)
        top.plot([t, t], [0.75, 0.35], color=QUIET, linewidth=1)
        top.text(t, 0.1, "noisy" if noisy else "quiet", ha="center", va="center", fontsize=9, color=INK)
        if t > 1:
            top.annotate("", (t - 0.25, 1), (t - 0.75, 1), arrowprops={"arrowstyle": "->", "color": QUIET})
    top.text(0.2, 1, "state", ha="right", va="center", fontsize=9)
    top.text(0.2, 0.1, "heard", ha="right", va="center", fontsize=9)
    top.set_ylim(-0.15, 1.35)
    panel.plot(steps, filtered, "s--", color=INK, markersize=4, label="filtered: past only")
    panel.plot(steps, smoothed, "o-", color=ORANGE, markersize=4, label="smoothed: whole chain")
    panel.axhline(0.5, color=QUIET, linewidth=0.8)
    panel.set_ylim(0, 1)
    panel.set_xlim(-0.6, 12.6)
    panel.set_xticks(steps)
    panel.set_xlabel("time step")
    panel.set_ylabel("P(worn)")
    panel.legend(loc="upper left", fontsize=9)
    return drawn
