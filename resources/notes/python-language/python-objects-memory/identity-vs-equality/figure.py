import torch
from matplotlib.figure import Figure

from figure_style import BLUE, QUIET, figure, plt


@figure("figure-three-questions.svg")
def identity_memory_and_values() -> Figure:
    """Which pairs of four tensors are one object, share memory, hold equal values."""
    a = torch.tensor([1.0, 2.0, 3.0])
    tensors = {"a": a, "b": a, "v": a.view(3), "c": a.clone()}
    questions = {
        "x is y": lambda x, y: x is y,
        "same memory": lambda x, y: x.data_ptr() == y.data_ptr(),
        "torch.equal(x, y)": torch.equal,
    }
    drawn, panels = plt.subplots(1, 3, sharey=True, figsize=(5.6, 2.3))
    counts = []
    for panel, (title, question) in zip(panels, questions.items(), strict=True):
        answers = [[question(x, y) for x in tensors.values()] for y in tensors.values()]
        counts.append(sum(map(sum, answers)))
        for row, answer in enumerate(answers):
            for column, true in enumerate(answer):
                panel.plot(
                    column,
                    row,
                    marker="s" if true else ".",
                    markersize=16 if true else 4,
                    color=BLUE if true else QUIET,
                )
        panel.set_title(title)
        panel.set_xticks(range(4), tensors)
        panel.set_yticks(range(4), tensors)
        panel.set_xlim(-0.6, 3.6)
        panel.set_ylim(3.6, -0.6)
        panel.set_aspect("equal")
        panel.grid(False)
    assert counts == [6, 10, 16]
    return drawn
