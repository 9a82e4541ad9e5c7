import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from figure_style import BLUE, GREEN, INK, ORANGE, figure, plt


def steps_needed(ratio: float) -> int:
    """Steps of torch.optim.SGD with the best fixed rate until the error is a thousandth, for features `ratio` apart in scale."""
    curvature = torch.tensor([ratio**2, 1.0], dtype=torch.float64)
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=float(2 / curvature.sum()))
    steps = 0
    while x.detach().norm() > 1e-3 * 2**0.5:
        optimizer.zero_grad()
        (0.5 * (curvature * x**2).sum()).backward()
        optimizer.step()
        steps += 1
    return steps


def valley(panel) -> None:
    ratios = [1, 2, 5, 10, 20, 50, 100]
    steps = [steps_needed(ratio) for ratio in ratios]
    assert steps[0] == 1 and steps[-1] > 1000 * steps[0]
    panel.loglog(ratios, steps, color=BLUE, marker="o", markersize=4)
    panel.annotate(f"{steps[-1]:,}", (100, steps[-1]), xytext=(-48, -3), textcoords="offset points")
    panel.annotate("1", (1, 1), xytext=(6, -2), textcoords="offset points")
    panel.set_xlabel("ratio of the feature scales")
    panel.set_title("steps to reach the minimum")


def outlier(panel) -> None:
    values = np.append(np.random.default_rng(0).normal(10, 1, 49), 60)[:, None]
    names = []
    for row, (scaler, colour) in enumerate(
        [(MinMaxScaler(), ORANGE), (StandardScaler(), GREEN), (RobustScaler(), BLUE)]
    ):
        scaled = scaler.fit_transform(values)[:-1, 0]
        if row == 0:
            assert np.ptp(scaled) < 0.1
        if row == 2:
            assert np.ptp(scaled) > 2
        panel.scatter(scaled, np.full(49, -row) + np.linspace(-0.15, 0.15, 49), s=7, color=colour, linewidths=0)
        names.append(type(scaler).__name__.removesuffix("Scaler"))
    panel.set_yticks([0, -1, -2], names)
    panel.set_ylim(-2.5, 0.5)
    panel.axvline(0, color=INK, linewidth=0.8, linestyle=":")
    panel.set_xlabel("scaled value")
    panel.set_title("one outlier among 50 values")


@figure("figure-valley.svg")
def valley_and_outlier() -> Figure:
    """Steps of gradient descent against the ratio of scales, and three scalers with one outlier (not shown itself)."""
    drawn, (left, right) = plt.subplots(1, 2)
    valley(left)
    outlier(right)
    return drawn
