import numpy as np
from matplotlib.figure import Figure

from figure_style import ORANGE, QUIET, figure, plt

PI, A, B = np.array([0.8, 0.2]), np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.8, 0.2], [0.3, 0.7]])
HEARD = [1, 1, 1, 0, 0, 0]


@figure("figure-trellis.svg")
def trellis() -> Figure:
    """Every node with its best log-score; survivors thin, the winning path thick."""
    delta, pointers = [np.log(PI * B[:, HEARD[0]])], []
    for s in HEARD[1:]:
        reach = delta[-1][:, None] + np.log(A)
        pointers.append(reach.argmax(0))
        delta.append(reach.max(0) + np.log(B[:, s]))
    path = [int(delta[-1].argmax())]
    for previous in reversed(pointers):
        path.insert(0, int(previous[path[0]]))
    assert path == [1, 1, 1, 0, 0, 0] and delta[0].argmax() == 0

    drawn, panel = plt.subplots(figsize=(5.6, 2.7))
    panel.set_axis_off()
    for t, previous in enumerate(pointers):
        for j in range(2):
            best = (path[t], path[t + 1]) == (previous[j], j)
            panel.plot(
                [t, t + 1],
                [-previous[j], -j],
                color=ORANGE if best else QUIET,
                linewidth=3.5 if best else 1.2,
                zorder=1,
            )
    for t in range(6):
        for j in range(2):
            panel.plot(t, -j, "o", markersize=30, color=ORANGE if path[t] == j else QUIET, zorder=2)
            panel.text(t, -j, f"{delta[t][j]:.2f}", color="white", ha="center", va="center", fontsize=9, zorder=3)
        panel.text(t, -1.62, "noisy" if HEARD[t] else "quiet", ha="center", va="center")
    for j, name in enumerate(("healthy", "worn")):
        panel.text(-0.45, -j, name, ha="right", va="center")
    panel.plot([], [], color=ORANGE, linewidth=3.5, label="best path")
    panel.plot([], [], color=QUIET, linewidth=1.2, label="survivors")
    panel.legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.12))
    panel.set_xlim(-1.3, 5.4)
    panel.set_ylim(-1.8, 0.75)
    return drawn
