from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, QUIET, figure, plt


class A: ...


class B(A): ...


class C(A): ...


class D(B, C): ...


PLACES = {D: (0, 0), B: (1, 1), C: (1, -1), A: (2, 0), object: (3.3, 0)}


@figure("figure-diamond.svg")
def order_in_a_diamond() -> Figure:
    """The classes of a diamond with arrows to their bases, and their order in the MRO."""
    assert D.__mro__ == (D, B, C, A, object)
    drawn, axes = plt.subplots(figsize=(5.6, 2.5))
    for one, place in PLACES.items():
        for base in one.__bases__:
            axes.annotate(
                "", PLACES[base], place, arrowprops={"arrowstyle": "->", "color": QUIET, "shrinkA": 20, "shrinkB": 28}
            )
    order = list(D.__mro__)
    for start, end in zip(order, order[1:]):
        bend = "arc3,rad=-0.35" if {start, end} != {B, C} else "arc3,rad=0"
        style = {
            "arrowstyle": "->",
            "color": ORANGE,
            "linestyle": "--",
            "shrinkA": 20,
            "shrinkB": 26,
            "connectionstyle": bend,
            "linewidth": 1.5,
        }
        axes.annotate("", PLACES[end], PLACES[start], arrowprops=style)
    for number, one in enumerate(order, start=1):
        axes.text(*PLACES[one], f"{number}  {one.__name__}", ha="center", va="center", color=BLUE, fontsize=11)
    axes.plot([], [], color=ORANGE, linestyle="--", label="order of super()")
    axes.legend(loc="upper right")
    axes.set_xlim(-0.4, 3.8)
    axes.set_ylim(-1.4, 1.5)
    axes.axis("off")
    return drawn
