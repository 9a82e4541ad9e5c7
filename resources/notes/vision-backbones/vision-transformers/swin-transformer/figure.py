import torch
from matplotlib.figure import Figure
from torchvision.models.swin_transformer import ShiftedWindowAttention

from figure_style import BLUE, INK, ORANGE, figure, plt

SIZE, WINDOW, ROW, COLUMN = 21, 7, 9, 12


def reached(shifts):
    """Positions whose input changes the output of one position, after window attention with these shifts in turn."""
    torch.manual_seed(0)
    layers = [ShiftedWindowAttention(8, [WINDOW, WINDOW], [shift, shift], 2) for shift in shifts]
    x = h = torch.randn(1, SIZE, SIZE, 8, requires_grad=True)
    for layer in layers:
        h = h + layer(h)
    (gradient,) = torch.autograd.grad(h[0, ROW, COLUMN].sum(), x)
    return gradient[0].abs().sum(-1) > 0


@figure("figure-reach.svg")
def reach_of_one_position() -> Figure:
    """One window after the first block, several windows after the shifted second one."""
    maps = {"one block": reached([0]), "two blocks": reached([0, 3])}
    assert int(maps["one block"].sum()) == 49 and int(maps["two blocks"].sum()) == 196

    drawn, panels = plt.subplots(1, 2, figsize=(5.6, 2.9))
    for panel, (title, mask) in zip(panels, maps.items()):
        for row in mask.any(1).nonzero().flatten().tolist():
            columns = mask[row].nonzero().flatten()
            panel.add_patch(plt.Rectangle((int(columns[0]), row), len(columns), 1, color=BLUE, alpha=0.75, linewidth=0))
        panel.add_patch(plt.Rectangle((COLUMN, ROW), 1, 1, color=ORANGE, linewidth=0))
        for line in range(0, SIZE + 1, WINDOW):
            panel.plot([line, line], [0, SIZE], color=INK, linewidth=0.9)
            panel.plot([0, SIZE], [line, line], color=INK, linewidth=0.9)
        panel.set_xlim(0, SIZE)
        panel.set_ylim(SIZE, 0)
        panel.set_aspect("equal")
        panel.set_xticks([0, 7, 14, 21])
        panel.set_yticks([0, 7, 14, 21])
        panel.grid(visible=False)
        panel.set_title(title)
        panel.set_xlabel("column")
    panels[0].set_ylabel("row")
    return drawn
