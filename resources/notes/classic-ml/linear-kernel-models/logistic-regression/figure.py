import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

from figure_style import BLUE, INK, ORANGE, figure, plt


@figure("figure-boundary.svg")
def parallel_lines_and_sigmoid() -> Figure:
    """Lines of equal probability of a fitted model, and its probabilities along the score."""
    generator = np.random.default_rng(2)
    X = np.concatenate([generator.normal((-1, -0.5), 1, (50, 2)), generator.normal((1, 0.7), 1, (50, 2))])
    y = np.arange(100) >= 50
    model = LogisticRegression().fit(X, y)
    (a, b), c = model.coef_[0], model.intercept_[0]
    drawn, (left, right) = plt.subplots(1, 2)
    for label, colour, marker in ((0, ORANGE, "o"), (1, BLUE, "^")):
        left.scatter(*X[y == label].T, s=12, color=colour, marker=marker, linewidths=0, alpha=0.8)
    x1 = np.array([-4.0, 4.0])
    for p, style in ((0.1, ":"), (0.5, "-"), (0.9, ":")):
        x2 = (np.log(p / (1 - p)) - c - a * x1) / b
        assert np.allclose(model.predict_proba(np.stack([x1, x2], 1))[:, 1], p)
        left.plot(x1, x2, color=INK, linestyle=style, linewidth=1.3)
        left.text((np.log(p / (1 - p)) - c - 3.1 * b) / a + 0.1, 3.1, f"{p}", fontsize=8.5)
    left.set_xlim(-4.3, 3.6)
    left.set_ylim(-3.6, 3.8)
    left.set_xlabel("x1")
    left.set_ylabel("x2")
    z = model.decision_function(X)
    line = np.linspace(z.min(), z.max(), 101)
    right.plot(line, 1 / (1 + np.exp(-line)), color=INK, linewidth=1.3)
    for label, colour, marker in ((0, ORANGE, "o"), (1, BLUE, "^")):
        right.scatter(
            z[y == label], np.full(50, -0.1 + 1.2 * label), s=8, color=colour, marker=marker, linewidths=0, alpha=0.7
        )
    right.axhline(0.5, color=INK, linestyle=":", linewidth=1)
    right.set_xlabel("score")
    right.set_title("probability of class 1")
    return drawn
