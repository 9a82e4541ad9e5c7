import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, INK, ORANGE, QUIET, figure, plt

COLOURS = (ORANGE, GREEN, BLUE, QUIET)


def lines() -> dict[str, list[int]]:
    """For each layout the numbers 10 * channel + pixel in the order of memory; channel 3 is padding."""
    x = (10 * torch.arange(3)[:, None] + torch.arange(4)).view(1, 3, 2, 2)
    last = x.to(memory_format=torch.channels_last)
    padded = torch.cat([x, (30 + torch.arange(4)).view(1, 1, 2, 2)], 1)
    return {
        "NCHW": torch.as_strided(x, (12,), (1,)).tolist(),
        "NHWC": torch.as_strided(last, (12,), (1,)).tolist(),
        "NC4HW4": padded.view(1, 1, 4, 2, 2).permute(0, 1, 3, 4, 2).flatten().tolist(),
    }


@figure("figure-layouts.svg")
def layouts() -> Figure:
    """The same 2 by 2 image with three channels in the order of memory, in three layouts."""
    drawn, panel = plt.subplots(figsize=(5.8, 2.3))
    rows = lines()
    assert (
        rows["NCHW"][:4] == [0, 1, 2, 3]
        and rows["NHWC"][:4] == [0, 10, 20, 1]
        and rows["NC4HW4"][:5] == [0, 10, 20, 30, 1]
    )
    for row, (name, values) in enumerate(rows.items()):
        for place, value in enumerate(values):
            channel, pixel = divmod(value, 10)
            panel.barh(
                -row,
                0.92,
                left=place + 0.04,
                height=0.66,
                color=COLOURS[channel],
                alpha=0.35 if channel < 3 else 0.2,
                linewidth=0,
            )
            text = f"{'RGB'[channel]}{pixel}" if channel < 3 else "0"
            panel.text(place + 0.5, -row, text, ha="center", va="center", color=INK, fontsize=9)
    panel.set_yticks([0, -1, -2], list(rows))
    panel.set_xticks([0.5, 4.5, 8.5, 12.5, 15.5], ["0", "4", "8", "12", "15"])
    panel.set_xlabel("position in memory")
    panel.grid(False)
    panel.spines["left"].set_visible(False)
    panel.tick_params(length=0)
    return drawn
