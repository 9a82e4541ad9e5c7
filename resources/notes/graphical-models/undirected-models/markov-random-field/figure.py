import numpy as np
from matplotlib.figure import Figure

from figure_style import INK, QUIET, figure, plt

SIDE, FLIP, COUPLING = 22, 0.15, 0.6


def picture():
    """A ring and a bar, in spins."""
    row, column = np.mgrid[:SIDE, :SIDE]
    radius = np.hypot(row - 10.5, column - 7.5)
    return np.where(((radius < 6.5) & (radius > 3)) | ((column > 16) & (column < 20) & (row > 2) & (row < 19)), 1, -1)


def restored(noisy, rng):
    """The more frequent value of each pixel in 150 Gibbs sweeps after 50 of burn-in."""
    field, x, total = 0.5 * np.log((1 - FLIP) / FLIP) * noisy, noisy.copy(), np.zeros((SIDE, SIDE))
    parity = np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 2
    for sweep in range(200):
        for colour in (0, 1):
            padded = np.pad(x, 1)
            around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
            chance = 1 / (1 + np.exp(-2 * (COUPLING * around + field)))
            drawn = np.where(rng.random((SIDE, SIDE)) < chance, 1, -1)
            x = np.where(parity == colour, drawn, x)
        total += x if sweep >= 50 else 0
    return np.where(total > 0, 1, -1)


@figure("figure-denoising.svg")
def denoising() -> Figure:
    """Original, noisy and restored picture, drawn as runs of dark pixels."""
    rng, original = np.random.default_rng(2), picture()
    noisy = np.where(rng.random((SIDE, SIDE)) < FLIP, -original, original)
    clean = restored(noisy, rng)
    wrong = [100 * np.mean(image != original) for image in (noisy, clean)]
    assert wrong[1] < 4 < 12 < wrong[0]
    drawn, panels = plt.subplots(1, 3, figsize=(5.6, 2.2))
    for panel, image, title in zip(
        panels,
        (original, noisy, clean),
        ("original", f"noisy: {wrong[0]:.1f}% wrong", f"restored: {wrong[1]:.1f}% wrong"),
    ):
        for row in range(SIDE):
            edge = np.flatnonzero(np.diff(np.r_[-1, image[row], -1]))
            panel.broken_barh([(a, b - a) for a, b in zip(edge[::2], edge[1::2])], (row, 1.02), color=INK, linewidth=0)
        panel.set_title(title, fontsize=9.5)
        panel.set_xlim(0, SIDE)
        panel.set_ylim(SIDE, 0)
        panel.set_aspect("equal")
        panel.set_xticks([])
        panel.set_yticks([])
        panel.grid(False)
        for side in panel.spines.values():
            side.set_visible(True)
            side.set_color(QUIET)
    return drawn
