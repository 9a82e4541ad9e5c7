from matplotlib.figure import Figure
from sklearn.metrics import f1_score

from figure_style import BLUE, GREEN, INK, ORANGE, QUIET, figure, plt

ROWS = {"gold": {("E", 0, 2), ("C", 4, 7)}, "system 1": {("E", 0, 2), ("C", 5, 7)}, "system 2": {("E", 0, 2)}}


@figure("figure-spans.svg")
def spans() -> Figure:
    """Gold and two systems over eight tokens; exact spans in green, wrong ones in orange."""
    gold = ROWS["gold"]
    every = sorted(set().union(*ROWS.values()))
    scores = {name: f1_score([e in gold for e in every], [e in found for e in every]) for name, found in ROWS.items()}
    correct = {
        name: sum(
            next((k for k, a, b in found if a <= i < b), "O") == next((k for k, a, b in gold if a <= i < b), "O")
            for i in range(8)
        )
        for name, found in ROWS.items()
    }
    assert (
        round(scores["system 1"], 2) == 0.5 < round(scores["system 2"], 2) == 0.67
        and correct["system 1"] > correct["system 2"]
    )
    drawn, panel = plt.subplots(figsize=(5.6, 2.2))
    panel.set_axis_off()
    for i in range(8):
        panel.text(i, 3, str(i), ha="center", va="center", color=INK)
    panel.text(-0.8, 3, "token", ha="right", va="center")
    panel.text(8.2, 3, "span F1", ha="center", va="center")
    for row, (name, found) in enumerate(ROWS.items()):
        y = 2 - row
        panel.text(-0.8, y, name, ha="right", va="center")
        panel.plot([-0.4, 7.4], [y, y], color=QUIET, linewidth=0.8, zorder=0)
        for kind, start, end in sorted(found):
            colour = BLUE if name == "gold" else GREEN if (kind, start, end) in gold else ORANGE
            panel.add_patch(
                plt.Rectangle((start - 0.42, y - 0.32), end - start - 0.16, 0.64, color=colour, linewidth=0)
            )
            panel.text((start + end - 1) / 2, y, kind, ha="center", va="center", color="white")
        if name != "gold":
            panel.text(8.2, y, f"{scores[name]:.2f}", ha="center", va="center")
    panel.set_xlim(-2.2, 8.9)
    panel.set_ylim(-0.5, 3.4)
    return drawn
