from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt


def received(a=None, b=None, *args):
    return sum(one is not None for one in (a, b)), len(args)


@figure("figure-distribution.svg")
def where_positional_arguments_go() -> Figure:
    """How many of n positional arguments fill the named parameters and how many go into *args."""
    counts = list(range(1, 8))
    named, extra = zip(*(received(*range(n)) for n in counts), strict=True)
    assert named == (1, 2, 2, 2, 2, 2, 2) and extra == (0, 0, 1, 2, 3, 4, 5)
    drawn, axes = plt.subplots(figsize=(5.6, 2.4))
    axes.bar(counts, named, color=BLUE, width=0.6, label="a, b (named)")
    axes.bar(counts, extra, bottom=named, color=ORANGE, width=0.6, label="*args")
    axes.set_xlabel("positional arguments n")
    axes.set_ylabel("arguments")
    axes.legend(loc="upper left")
    return drawn
