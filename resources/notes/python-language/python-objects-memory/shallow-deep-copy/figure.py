import copy

from matplotlib.figure import Figure

from figure_style import BLUE, INK, ORANGE, QUIET, figure, plt


def arrow(panel, start, end, colour) -> None:
    panel.annotate(
        "", end, start, arrowprops={"arrowstyle": "->", "color": colour, "shrinkA": 9, "shrinkB": 9, "linewidth": 1.3}
    )


@figure("figure-copies.svg")
def what_each_way_shares() -> Figure:
    """The lists behind x and y after assignment, shallow and deep copy, with the references between them."""
    x = [[1, 2], [3]]
    ways = {"y = x": x, "y = copy.copy(x)": copy.copy(x), "y = copy.deepcopy(x)": copy.deepcopy(x)}
    drawn, panels = plt.subplots(1, 3, figsize=(5.6, 2.4))
    totals = []
    for panel, (title, y) in zip(panels, ways.items(), strict=True):
        places = {}
        outer = list({id(one): one for one in (x, y)}.values())
        inner = list({id(one): one for top in outer for one in top}.values())
        for column, lists in ((1, outer), (2, inner)):
            for row, one in enumerate(lists):
                places[id(one)] = (column, 3 - (row + 0.5) * 3 / len(lists))
        for name, one, height, colour in (("x", x, 2.25, BLUE), ("y", y, 0.75, ORANGE)):
            panel.text(0, height, name, ha="center", va="center", color=colour, fontsize=12)
            arrow(panel, (0, height), places[id(one)], colour)
            for member in one:
                arrow(panel, places[id(one)], places[id(member)], colour)
        for column, row in places.values():
            panel.plot(column, row, marker="s", markersize=13, markerfacecolor="none", markeredgecolor=INK)
        totals.append(len(places))
        panel.set_title(title, fontsize=9)
        panel.set_xlabel(f"{len(places)} lists")
        panel.set_xlim(-0.3, 2.4)
        panel.set_ylim(0, 3)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.grid(False)
        for spine in panel.spines.values():
            spine.set_color(QUIET)
            spine.set_visible(True)
    assert totals == [3, 4, 6]
    return drawn
