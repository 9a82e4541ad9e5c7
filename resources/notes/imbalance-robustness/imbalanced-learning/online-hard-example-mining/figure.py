import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

from figure_style import BLUE, INK, ORANGE, figure, plt


@figure("figure-hardest.svg")
def hardest() -> Figure:
    """Losses of a logistic regression: how much the hardest samples carry, and how many of them are mislabelled."""
    generator = np.random.default_rng(0)
    n = 20000
    y = generator.integers(2, size=n)
    x = generator.normal(size=(n, 2)) + 1.4 * (2 * y[:, None] - 1) * np.array([1.0, 0.5])
    wrong = generator.random(n) < 0.05
    noisy = np.where(wrong, 1 - y, y)
    kept = np.linspace(0.01, 1, 100)

    def order(labels):
        p = LogisticRegression().fit(x, labels).predict_proba(x)[np.arange(n), labels]
        return -np.log(p), np.argsort(p)

    clean_loss, clean_order = order(y)
    _, noisy_order = order(noisy)
    carried = clean_loss[clean_order].cumsum() / clean_loss.sum()
    shares = [wrong[noisy_order[: int(n * k)]].mean() for k in kept]
    assert carried[n // 10] > 0.7 and shares[4] > 0.5 and shares[0] > 0.7 and abs(shares[-1] - 0.05) < 0.01

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(100 * kept, [carried[int(n * k) - 1] for k in kept], color=BLUE)
    left.plot([0, 100], [0, 1], color=INK, linestyle=":", linewidth=1)
    left.text(22, 0.85, "clean labels", color=BLUE)
    left.set_title("share of the total loss")
    right.plot(100 * kept, shares, color=ORANGE)
    right.axhline(wrong.mean(), color=INK, linestyle=":", linewidth=1)
    right.text(20, 0.45, "among those kept", color=ORANGE)
    right.text(1, 0.065, "in the data", color=INK)
    right.set_title("share of wrong labels")
    for panel in (left, right):
        panel.set_ylim(0, 1.03)
        panel.set_xticks([0, 25, 50, 75, 100], ["0", "25%", "50%", "75%", "100%"])
        panel.set_xlabel("hardest samples kept")
    return drawn
