import torch
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, INK, ORANGE, figure, plt

LAYERS, SIZE, WEIGHTS = 32, 128, 8_000_000_000


def gibibytes(key_heads: int, tokens: int) -> float:
    """Keys and values of all layers in bfloat16, from the size of the tensors themselves."""
    keys = torch.empty(1, key_heads, tokens, SIZE, dtype=torch.bfloat16, device="meta")
    return 2 * LAYERS * keys.nbytes / 2**30


@figure("figure-memory.svg")
def cache_against_weights() -> Figure:
    """The cache grows linearly with the tokens and with the key heads."""
    tokens = list(range(0, 65537, 4096))
    curves = {heads: [gibibytes(heads, n) for n in tokens] for heads in (32, 8, 1)}
    weights = torch.empty(WEIGHTS, dtype=torch.bfloat16, device="meta").nbytes / 2**30
    assert curves[32][7] < weights < curves[32][8] and all(abs(a - 4 * b) < 1e-9 for a, b in zip(curves[32], curves[8]))

    drawn, panel = plt.subplots()
    for (heads, values), colour, style in zip(curves.items(), (ORANGE, BLUE, GREEN), ("-", "--", "-.")):
        panel.plot(
            [n / 1000 for n in tokens],
            values,
            style,
            color=colour,
            label=f"{heads} key heads" if heads > 1 else "1 key head",
        )
    panel.axhline(weights, color=INK, linewidth=1, linestyle=":", label="weights")
    panel.set_xlabel("tokens kept (thousands)")
    panel.set_ylabel("GiB")
    panel.set_xlim(0, 66)
    panel.set_ylim(0, 34)
    panel.legend(loc="upper left", fontsize=9)
    return drawn
