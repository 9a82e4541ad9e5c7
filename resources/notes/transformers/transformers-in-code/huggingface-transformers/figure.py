import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, GREEN, ORANGE, figure, plt


@figure("figure-padding.svg")
def padding_moves_the_vector() -> Figure:
    """One text with more and more padding: only with the mask in attention and in the mean its vector stays."""
    torch.manual_seed(0)
    embed = nn.Embedding(50, 32)
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    text = torch.randint(1, 50, (1, 8))
    counts = list(range(0, 17, 2))
    found: dict[str, list[float]] = {"mask used twice": [], "forgotten in the mean": [], "forgotten in both": []}
    with torch.no_grad():
        alone = encoder(embed(text)).mean(1)
        for count in counts:
            ids = nn.functional.pad(text, (0, count))
            mask = (ids != 0)[..., None].float()
            h = encoder(embed(ids), src_key_padding_mask=ids == 0)
            vectors = ((h * mask).sum(1) / mask.sum(1), h.mean(1), encoder(embed(ids)).mean(1))
            for values, vector in zip(found.values(), vectors):
                values.append(float((vector - alone).norm() / alone.norm()))
    right, mean, both = found.values()
    assert max(right) < 1e-5 and mean[-1] > 0.2 and both[-1] > 0.2 and mean[0] < 1e-5
    assert all(a < b for a, b in zip(mean, mean[1:])) and all(a < b for a, b in zip(both, both[1:]))

    drawn, panel = plt.subplots()
    for (name, values), colour, marker in zip(found.items(), (BLUE, ORANGE, GREEN), "os^"):
        panel.plot(counts, values, color=colour, marker=marker, markersize=4, label=name)
    panel.set_xlabel("padding tokens added")
    panel.set_ylabel("change of the sentence vector")
    panel.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    panel.legend(loc="best", fontsize=9)
    return drawn
