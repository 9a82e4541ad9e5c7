import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from scipy.optimize import brentq
from scipy.stats import entropy
from sklearn.feature_selection import mutual_info_regression
from sklearn.metrics import mutual_info_score

from figure_style import BLUE, INK, ORANGE, figure, plt

X, Y = [0, 0, 0, 1], [0, 0, 1, 1]


def lens(distance: float, r: float, s: float) -> float:
    """The area that two discs of radii r and s share when their centres are `distance` apart."""
    a = (distance**2 + r**2 - s**2) / (2 * distance * r)
    b = (distance**2 + s**2 - r**2) / (2 * distance * s)
    triangle = (-distance + r + s) * (distance + r - s) * (distance - r + s) * (distance + r + s)
    return r**2 * np.arccos(a) + s**2 * np.arccos(b) - np.sqrt(triangle) / 2


def diagram(panel) -> None:
    x, y, both = (entropy(p, base=2) for p in ([0.75, 0.25], [0.5, 0.5], [0.5, 0.25, 0.25]))
    shared = mutual_info_score(X, Y) / np.log(2)
    assert abs(x + y - both - shared) < 1e-12
    r, s = np.sqrt(x / np.pi), np.sqrt(y / np.pi)
    distance = brentq(lambda d: lens(d, r, s) - shared, s - r + 1e-9, r + s - 1e-9)
    panel.add_patch(Circle((0, 0), r, facecolor=ORANGE, edgecolor=ORANGE, alpha=0.45))
    panel.add_patch(Circle((distance, 0), s, facecolor=BLUE, edgecolor=BLUE, alpha=0.45))
    left, right = distance - s, r
    for at, name, value in [
        ((left - r) / 2, "H(X|Y)", x - shared),
        ((left + right) / 2, "I(X;Y)", shared),
        ((right + distance + s) / 2, "H(Y|X)", y - shared),
    ]:
        panel.text(at, 0.04, name, ha="center", va="center", fontsize=9)
        panel.text(at, -0.1, f"{value:.3f}", ha="center", va="center", fontsize=9)
    panel.text(-0.1, r + 0.06, f"H(X) = {x:.3f}", ha="center", color=INK)
    panel.text(distance + 0.1, s + 0.06, f"H(Y) = {y:.0f}", ha="center", color=INK)
    panel.set_title("H(X,Y) = 1.5 bits")
    panel.set_xlim(-r - 0.05, distance + s + 0.05)
    panel.set_ylim(-s - 0.03, s + 0.22)
    panel.set_aspect("equal")
    panel.axis("off")


def parabola(panel) -> None:
    generator = np.random.default_rng(0)
    u = generator.uniform(-1, 1, 2000)
    v = u**2 + generator.normal(size=2000) * 0.05
    correlation, information = np.corrcoef(u, v)[0, 1], mutual_info_regression(u[:, None], v, random_state=0)[0]
    assert abs(correlation) < 0.05 and information > 1.5
    panel.scatter(u[:250], v[:250], s=7, color=BLUE, linewidths=0)
    panel.set_title(f"r = {correlation:.2f},  I = {information:.1f} nats")
    panel.set_xlabel("x")
    panel.set_ylabel("y")


@figure("figure-diagram.svg")
def information_diagram_and_parabola() -> Figure:
    """The entropies of a pair as discs with areas to scale, and a dependence that correlation misses."""
    drawn, (left, right) = plt.subplots(1, 2, width_ratios=[1.15, 1])
    diagram(left)
    parabola(right)
    return drawn
