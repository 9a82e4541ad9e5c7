import numpy as np
from matplotlib.figure import Figure

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt

PLACES = {
    "A": (0, 2),
    "B": (1.2, 2),
    "X": (0.6, 1.1),
    "C": (1.9, 1.1),
    "D": (0, 0.2),
    "E": (1.25, 0.2),
    "F": (2.5, 2),
    "G": (2.4, 0.2),
}
EDGES = ("AX", "BX", "XD", "XE", "CE", "FC", "CG")


def blanket(node):
    """Parents, children and the children's other parents."""
    children = {b for a, b in EDGES if a == node}
    return {a for a, b in EDGES if b == node} | children | {a for a, b in EDGES if b in children} - {node}


@figure("figure-network.svg")
def network() -> Figure:
    """The blanket of X, and explaining away in the lawn example."""
    shield = blanket("X")
    assert shield == set("ABCDE")
    wet = np.array([[0.0, 0.9], [0.9, 0.99]])
    joint = np.array([0.8, 0.2])[:, None] * np.array([0.9, 0.1]) * wet
    bars = [0.2, joint[1].sum() / joint.sum(), joint[1, 1] / joint[:, 1].sum()]
    assert bars[1] > 0.7 and bars[2] < 0.22

    drawn, (graph, panel) = plt.subplots(1, 2, figsize=(5.6, 2.7), width_ratios=(1.15, 1))
    graph.set_axis_off()
    graph.set_title("Markov blanket of X")
    for a, b in EDGES:
        graph.annotate(
            "", PLACES[b], PLACES[a], arrowprops={"arrowstyle": "->", "color": INK, "shrinkA": 11, "shrinkB": 11}
        )
    for name, place in PLACES.items():
        colour = ORANGE if name == "X" else BLUE if name in shield else QUIET
        graph.plot(*place, "o", markersize=20, color=colour)
        graph.text(*place, name, color="white", ha="center", va="center")
    graph.set_xlim(-0.4, 2.9)
    graph.set_ylim(-0.2, 2.4)
    panel.barh(range(3), bars, color=(QUIET, BLUE, ORANGE), height=0.6)
    for row, value in enumerate(bars):
        panel.text(value + 0.02, row, f"{value:.2f}", va="center")
    panel.set_yticks(range(3), ["prior", "wet", "wet, sprinkler on"])
    panel.invert_yaxis()
    panel.set_xlim(0, 0.95)
    panel.set_title("P(rain)")
    return drawn
