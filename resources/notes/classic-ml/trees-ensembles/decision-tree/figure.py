import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_moons
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from figure_style import BLUE, INK, ORANGE, figure, plt


def steps(panel) -> None:
    generator = np.random.default_rng(0)
    x = np.sort(generator.uniform(0, 6, 40))[:, None]
    y = np.sin(x[:, 0]) + 0.25 * generator.normal(size=40)
    grid = np.linspace(0, 6, 400)[:, None]
    shallow, deep = DecisionTreeRegressor(max_depth=2).fit(x, y), DecisionTreeRegressor().fit(x, y)
    assert shallow.get_n_leaves() == 4 and np.allclose(deep.predict(x), y)
    panel.scatter(x, y, s=10, color=INK, linewidths=0)
    panel.plot(grid, deep.predict(grid), color=ORANGE, linewidth=1)
    panel.plot(grid, shallow.predict(grid), color=BLUE)
    panel.text(2.7, 1.15, "depth 2", color=BLUE)
    panel.text(2.7, 0.85, "no limit", color=ORANGE)
    panel.set_xlabel("x")
    panel.set_ylabel("y")


def depths(panel) -> None:
    X, y = make_moons(600, noise=0.35, random_state=0)
    values = np.arange(1, 16)
    models = [DecisionTreeClassifier(max_depth=int(depth), random_state=0).fit(X[:300], y[:300]) for depth in values]
    train, test = (np.array([m.score(X[part], y[part]) for m in models]) for part in (slice(300), slice(300, None)))
    assert train[-1] == 1 and test[-1] < test.max() - 0.03 and values[test.argmax()] < 8
    panel.plot(values, train, color=BLUE)
    panel.plot(values, test, color=ORANGE)
    panel.text(9, 0.955, "training", color=BLUE)
    panel.text(9.5, test[9:].max() + 0.012, "test", color=ORANGE)
    panel.set_xlabel("depth")
    panel.set_ylabel("accuracy")


@figure("figure-depth.svg")
def steps_and_depths() -> Figure:
    """A shallow and an unlimited regression tree on noisy points, and accuracy against depth on two moons."""
    drawn, (left, right) = plt.subplots(1, 2)
    steps(left)
    depths(right)
    return drawn
