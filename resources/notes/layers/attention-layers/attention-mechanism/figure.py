import math

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, figure, plt


def weights(q: torch.Tensor, k: torch.Tensor, scale: float) -> torch.Tensor:
    """The attention weights themselves: what attention returns when value j is the j-th unit vector."""
    return F.scaled_dot_product_attention(q, k, torch.eye(k.shape[-2]).expand(*k.shape[:-2], -1, -1), scale=scale)


@figure("figure-lookup.svg")
def soft_lookup_and_scaling() -> Figure:
    """Left: the scale moves attention between an average and a look-up. Right: why the scale has to shrink with the root of d."""
    torch.manual_seed(2)
    k = torch.randn(8, 16)
    q = 0.8 * k[2:3] + 0.3 * torch.randn(1, 16)
    rows = {scale: weights(q, k, scale)[0] for scale in (0.0, 1 / math.sqrt(16), 2.0)}
    assert torch.allclose(rows[0.0], torch.full((8,), 1 / 8)) and rows[2.0].max() > 0.99
    assert all(int(row.argmax()) == 2 for scale, row in rows.items() if scale) and 0.3 < rows[0.25].max() < 0.9

    sizes = [4, 8, 16, 32, 64, 128, 256]
    largest = {"no scaling": [], "scaled": []}
    for d in sizes:
        queries, keys = torch.randn(1000, 1, d), torch.randn(1000, 16, d)
        largest["no scaling"].append(float(weights(queries, keys, 1.0).amax(-1).mean()))
        largest["scaled"].append(float(weights(queries, keys, 1 / math.sqrt(d)).amax(-1).mean()))
    assert largest["no scaling"][-1] > 0.9 and largest["no scaling"][0] < 0.5
    assert max(largest["scaled"]) - min(largest["scaled"]) < 0.02

    drawn, (left, right) = plt.subplots(1, 2)
    for (scale, row), colour, mark, label in zip(
        rows.items(), (BLUE, GREEN, ORANGE), ("o", "s", "^"), ("scale 0: average", "scale 1/√d", "scale 2: look-up")
    ):
        left.plot(range(1, 9), row, mark, linestyle="-", linewidth=1, markersize=4, color=colour, label=label)
    left.set_title("weights of one query")
    left.set_xlabel("key")
    left.set_ylim(-0.03, 1.2)
    left.set_yticks([0, 0.5, 1])
    left.set_xticks(range(1, 9))
    left.legend(loc="upper right", fontsize=8, borderaxespad=0)
    for (label, values), colour, mark in zip(largest.items(), (ORANGE, GREEN), ("^", "s")):
        right.semilogx(sizes, values, mark, base=2, linestyle="-", markersize=4, color=colour, label=label)
    right.set_title("largest of 16 weights")
    right.set_xlabel("dimension d of random q, k")
    right.set_ylim(-0.03, 1.2)
    right.set_yticks([0, 0.5, 1])
    right.set_xticks(sizes, [str(d) for d in sizes])
    right.minorticks_off()
    right.legend(loc="upper left", fontsize=8, borderaxespad=0)
    return drawn
