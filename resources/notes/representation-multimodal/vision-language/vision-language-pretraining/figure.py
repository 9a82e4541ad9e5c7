import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, QUIET, figure, plt

CANDIDATES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)


@figure("figure-rerank.svg")
def reordered_candidates() -> Figure:
    """R@1 when a precise joint score reorders the first k candidates of a coarse two-tower score (simulated)."""
    torch.manual_seed(0)
    found = torch.zeros(len(CANDIDATES))
    for _ in range(4):
        images = F.normalize(torch.randn(1000, 32), dim=1)
        texts = [F.normalize(images + noise * torch.randn(1000, 32), dim=1) for noise in (0.27, 0.16)]
        towers, joint = (t @ images.T for t in texts)
        order = towers.argsort(dim=1, descending=True)
        for place, k in enumerate(CANDIDATES):
            first = order[:, :k]
            best = first.gather(1, joint.gather(1, first).argmax(1, keepdim=True)).squeeze(1)
            found[place] += (best == torch.arange(1000)).float().mean() / 4
    values = found.tolist()
    assert values[-1] - values[0] > 0.25 and values[-1] - values[CANDIDATES.index(32)] < 0.03, values
    drawn, panel = plt.subplots()
    panel.plot(CANDIDATES, values, "o-", color=BLUE, markersize=4)
    for height, name, place in (
        (values[-1], "joint model on all 1,000", "bottom"),
        (values[0], "two towers alone", "top"),
    ):
        panel.axhline(height, color=QUIET, linewidth=1, linestyle="--")
        panel.text(1, height + (0.008 if place == "bottom" else -0.012), name, color=INK, va=place)
    panel.set_xscale("log", base=2)
    panel.set_xticks(CANDIDATES, [str(k) for k in CANDIDATES])
    panel.minorticks_off()
    panel.set_ylim(values[0] - 0.08, values[-1] + 0.07)
    panel.set_xlabel("candidates reordered by the joint model")
    panel.set_ylabel("R@1")
    return drawn
