from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-binding.svg")
def late_and_early_binding() -> Figure:
    """What five functions made in a loop return afterwards, with a captured variable and with a default argument."""
    captured = [lambda x: x * i for i in range(5)]
    default = [lambda x, i=i: x * i for i in range(5)]
    late, early = [f(1) for f in captured], [f(1) for f in default]
    assert late == [4] * 5 and early == list(range(5))
    drawn, axes = plt.subplots(figsize=(5.6, 2.5))
    axes.plot(range(5), late, color=ORANGE, marker="o", label="captured variable i")
    axes.plot(range(5), early, color=BLUE, marker="s", linestyle="--", label="default argument i=i")
    axes.set_xticks(range(5))
    axes.set_ylim(-0.4, 5.2)
    axes.set_xlabel("index k of the function")
    axes.set_ylabel("f_k(1)")
    axes.legend(loc="lower right")
    return drawn
