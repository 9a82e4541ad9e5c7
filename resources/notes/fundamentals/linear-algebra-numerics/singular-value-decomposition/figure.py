import numpy as np
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, INK, ORANGE, QUIET, figure, plt


def ellipse(panel) -> None:
    A = np.array([[2.0, 1.0], [1.0, 2.0]])
    U, S, Vh = np.linalg.svd(A)
    assert np.allclose(S, [3, 1])
    angle = np.linspace(0, 2 * np.pi, 121)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    panel.plot(*circle, color=QUIET)
    panel.plot(*(A @ circle), color=INK)
    for index, colour in enumerate((ORANGE, BLUE)):
        sign = np.sign(Vh[index, 1])
        for vector, width in ((sign * Vh[index], 1.2), (sign * S[index] * U[:, index], 2)):
            panel.annotate(
                "",
                vector,
                (0, 0),
                arrowprops={"arrowstyle": "->", "color": colour, "linewidth": width, "shrinkA": 0, "shrinkB": 0},
            )
    panel.text(0.9, 2.1, "3", color=ORANGE)
    panel.text(-1.25, 0.75, "1", color=BLUE)
    panel.set_aspect("equal")
    panel.set_title("unit circle and its image")


def errors(panel) -> None:
    n = 64
    grid = np.linspace(-1, 1, n)
    x, y = np.meshgrid(grid, grid)
    image = np.exp(-8 * ((x - 0.3) ** 2 + (y + 0.2) ** 2)) + np.sin(5 * x * y) + (x + y > 0.5)
    noise = np.random.default_rng(0).normal(size=(n, n))
    for name, matrix, colour in (("image", image, BLUE), ("noise", noise, ORANGE)):
        S = np.linalg.svd(matrix)[1]
        k = np.arange(0, 33)
        left = np.sqrt([(S[i:] ** 2).sum() / (S**2).sum() for i in k])
        assert left[8] < 0.1 if name == "image" else left[8] > 0.7
        panel.plot(k * 2 * n / n**2, left, color=colour)
        panel.text(0.45, left[14] + 0.07, name, color=colour)
    panel.axvline(0.25, color=GREEN, linestyle=":", linewidth=1)
    panel.text(0.27, 0.94, "rank 8", color=GREEN)
    panel.set_ylim(0, 1.05)
    panel.set_xlabel("share of the numbers kept")
    panel.set_ylabel("relative error")


@figure("figure-svd.svg")
def ellipse_and_low_rank() -> Figure:
    """A matrix acting on the unit circle, and the error of low-rank approximations of an image and of noise."""
    drawn, (left, right) = plt.subplots(1, 2)
    ellipse(left)
    errors(right)
    return drawn
