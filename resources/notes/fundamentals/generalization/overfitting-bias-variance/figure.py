import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from figure_style import BLUE, GREEN, INK, ORANGE, QUIET, figure, plt

DEGREES, SIGMA = range(1, 13), 0.4


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(3 * x + 0.8)


def simulated() -> tuple[np.ndarray, ...]:
    """Training error, bias² and variance for each degree: means over 400 draws of the noise at the same 20 points."""
    generator = np.random.default_rng(0)
    x, grid = np.linspace(-1, 1, 20)[:, None], np.linspace(-1, 1, 81)[:, None]
    targets = truth(x) + SIGMA * generator.normal(size=(20, 400))
    train, bias, variance = [], [], []
    for degree in DEGREES:
        model = make_pipeline(PolynomialFeatures(degree), LinearRegression()).fit(x, targets)
        train.append(((model.predict(x) - targets) ** 2).mean())
        predicted = model.predict(grid)
        bias.append(((predicted.mean(1) - truth(grid[:, 0])) ** 2).mean())
        variance.append(predicted.var(1).mean())
    return np.array(train), np.array(bias), np.array(variance)


@figure("figure-tradeoff.svg")
def training_and_test_error() -> Figure:
    """Errors against the degree of a polynomial, and the test error split into its parts."""
    train, bias, variance = simulated()
    test = bias + variance + SIGMA**2
    best = int(test.argmin())
    assert DEGREES[best] == 4 and (np.diff(train) < 0).all() and ((bias > variance) == (np.array(DEGREES) <= 2)).all()
    drawn, (left, right) = plt.subplots(1, 2, sharey=True)
    left.plot(DEGREES, test, color=ORANGE, marker="o", markersize=3)
    left.plot(DEGREES, train, color=BLUE, marker="o", markersize=3)
    left.text(8.0, 0.27, "test", color=ORANGE)
    left.text(5.0, 0.06, "training", color=BLUE)
    left.set_ylabel("mean squared error")
    right.stackplot(
        DEGREES, [SIGMA**2 + 0 * test, bias, variance], colors=[QUIET, GREEN, ORANGE], alpha=0.7, linewidth=0
    )
    right.plot(DEGREES, test, color=INK, linewidth=1)
    for at, name in [((6.5, 0.07), "noise"), ((1.9, 0.36), "bias²"), ((8.4, 0.185), "variance")]:
        right.text(*at, name)
    right.set_title("parts of the test error")
    for panel in (left, right):
        panel.set_xlabel("degree of the polynomial")
        panel.set_xticks([2, 4, 6, 8, 10, 12])
        panel.set_ylim(0, 0.55)
    return drawn
