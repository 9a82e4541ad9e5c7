import numpy as np
from matplotlib.figure import Figure
from scipy.stats import entropy

from figure_style import BLUE, GREEN, INK, ORANGE, SKY, figure, plt

JOINT = np.array([[0.5, 0.25], [0.0, 0.25]])


def coin(panel) -> None:
    p = np.linspace(0, 1, 101)
    bits = entropy(np.stack([p, 1 - p]), base=2)
    assert bits.argmax() == 50 and abs(bits[50] - 1) < 1e-12 and bits[0] == bits[-1] == 0
    panel.plot(p, bits, color=BLUE)
    panel.set_title("entropy of one coin (bits)")
    panel.set_xlabel("probability of heads")


def budget(panel) -> None:
    x, y, both = (entropy(part, base=2) for part in (JOINT.sum(1), JOINT.sum(0), JOINT.ravel()))
    shared = x + y - both
    assert shared > 0 and abs(both - 1.5) < 1e-12
    rows = [
        ("H(X,Y)", 0, both, INK),
        ("H(X)", 0, x, ORANGE),
        ("H(Y)", x - shared, y, BLUE),
        ("I(X;Y)", x - shared, shared, GREEN),
        ("H(X|Y)", 0, x - shared, ORANGE),
        ("H(Y|X)", x, y - shared, BLUE),
    ]
    for row, (name, start, width, colour) in enumerate(rows):
        panel.barh(-row, width, left=start, height=0.62, color=colour, alpha=0.75, linewidth=0)
        panel.text(start + width + 0.04, -row, f"{width:.3g}", va="center")
    for edge in (x - shared, x):
        panel.axvline(edge, color=SKY, linestyle=":", linewidth=1)
    panel.set_yticks([-row for row in range(len(rows))], [row[0] for row in rows])
    panel.set_xlim(0, 2)
    panel.grid(False)
    panel.set_xlabel("bits")


@figure("figure-entropy.svg")
def entropy_of_a_coin_and_of_a_pair() -> Figure:
    """The binary entropy curve, and how the joint entropy of a pair splits."""
    drawn, (left, right) = plt.subplots(1, 2)
    coin(left)
    budget(right)
    return drawn
