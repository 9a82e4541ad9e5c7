import numpy as np
import scipy.signal
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


def grid(panel, values, colour, title):
    """A matrix as numbered cells, darker for larger values."""
    rows, columns = values.shape
    for row in range(rows):
        for column in range(columns):
            value = int(values[row, column])
            panel.add_patch(
                Rectangle((column, row), 1, 1, facecolor=to_rgba(colour, 0.07 * value), edgecolor=QUIET, linewidth=0.5)
            )
            panel.text(
                column + 0.5,
                row + 0.52,
                str(value),
                ha="center",
                va="center",
                fontsize=9,
                color=INK if value else QUIET,
            )
    panel.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal", xticks=[], yticks=[], title=title)
    panel.grid(False)
    for spine in panel.spines.values():
        spine.set_visible(False)


@figure("figure-impulse.svg")
def response_to_an_impulse() -> Figure:
    """A single 1, a kernel, and what convolution and cross-correlation make of them."""
    impulse, kernel = np.zeros((5, 5)), np.arange(1.0, 10.0).reshape(3, 3)
    impulse[2, 2] = 1
    convolved = scipy.signal.convolve(impulse, kernel, mode="same", method="direct")
    correlated = torch.nn.functional.conv2d(
        torch.tensor(impulse)[None, None], torch.tensor(kernel)[None, None], padding=1
    )[0, 0].numpy()
    assert np.array_equal(convolved[1:4, 1:4], kernel) and np.array_equal(correlated[1:4, 1:4], kernel[::-1, ::-1])

    drawn, panels = plt.subplots(1, 4, figsize=(6.4, 1.9), width_ratios=(5, 3, 5, 5))
    grid(panels[0], impulse, INK, "input")
    grid(panels[1], kernel, INK, "kernel")
    grid(panels[2], convolved, BLUE, "scipy.signal.convolve")
    grid(panels[3], correlated, ORANGE, "F.conv2d")
    return drawn
