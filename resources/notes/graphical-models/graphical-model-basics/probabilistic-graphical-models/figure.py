from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, INK, ORANGE, QUIET, figure, plt


def numbers():
    """Free numbers of ten binary variables under five structures."""
    tables = lambda parents: sum(2**count for count in parents)
    grid = [(r * 5 + c, r * 5 + c + 1) for r in range(2) for c in range(4)] + [(c, c + 5) for c in range(5)]
    return {
        "full table": 2**10 - 1,
        "grid MRF": 10 + len(grid),
        "chain": tables([0] + [1] * 9),
        "naive Bayes": tables([0] + [1] * 9),
        "no edges": tables([0] * 10),
    }


@figure("figure-family.svg")
def family() -> Figure:
    """The tree of models, and what a structure saves."""
    counts = numbers()
    assert counts == {"full table": 1023, "grid MRF": 23, "chain": 19, "naive Bayes": 19, "no edges": 10}
    drawn, (tree, panel) = plt.subplots(2, 1, figsize=(5.6, 4.3), height_ratios=(1.25, 1))
    tree.set_axis_off()
    places = {
        "root": (4.5, 3, ["graphical models"], INK),
        "directed": (1.6, 1.9, ["directed:", "Bayesian network"], BLUE),
        "undirected": (6.7, 1.9, ["undirected:", "Markov network"], ORANGE),
        "hmm": (1.6, 0.4, ["HMM, naive Bayes", "joint p(x, y)"], BLUE),
        "mrf": (5.2, 0.4, ["MRF", "joint p(x, y)"], ORANGE),
        "crf": (8.3, 0.4, ["CRF", "conditional p(y | x)"], GREEN),
    }
    for parent, child in (
        ("root", "directed"),
        ("root", "undirected"),
        ("directed", "hmm"),
        ("undirected", "mrf"),
        ("undirected", "crf"),
    ):
        (x1, y1, above, _), (x2, y2, below, _) = places[parent], places[child]
        tree.plot([x1, x2], [y1 - 0.24 * len(above), y2 + 0.24 * len(below)], color=QUIET, linewidth=1.2)
    for x, y, lines, colour in places.values():
        for row, line in enumerate(lines):
            tree.text(x, y + 0.2 * (len(lines) - 1) - 0.4 * row, line, ha="center", va="center", color=colour)
    tree.set_xlim(0, 10)
    tree.set_ylim(-0.1, 3.3)
    panel.barh(list(counts), counts.values(), color=[QUIET, ORANGE, BLUE, BLUE, QUIET], height=0.62)
    for row, value in enumerate(counts.values()):
        panel.text(value * 1.08, row, f"{value:,}", va="center")
    panel.set_xscale("log")
    panel.set_xlim(5, 3000)
    panel.set_xticks([10, 100, 1000], ["10", "100", "1,000"])
    panel.minorticks_off()
    panel.invert_yaxis()
    panel.set_title("numbers for 10 binary variables")
    return drawn
