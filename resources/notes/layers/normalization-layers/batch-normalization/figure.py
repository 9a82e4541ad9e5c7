import torch
from matplotlib.figure import Figure

from figure_style import BLUE, INK, ORANGE, figure, plt


@figure("figure-batch.svg")
def one_sample_among_companions() -> Figure:
    """Left: one sample's train-mode output in random batches. Right: how the running mean approaches the true mean."""
    torch.manual_seed(0)
    mean, spread, value = 2.0, 3.0, 5.0
    sizes = [2, 4, 8, 16, 32, 64, 128]
    norm = torch.nn.BatchNorm1d(1)
    outputs = {}
    for size in sizes:
        batches = torch.randn(40, size, 1) * spread + mean
        batches[:, 0] = value
        outputs[size] = torch.stack([norm(batch)[0, 0] for batch in batches]).detach()
    assert outputs[2].abs().sub(1).abs().max() < 0.01 and outputs[4].std() > 4 * outputs[128].std()
    norm.running_mean.fill_(mean)
    norm.running_var.fill_(spread**2)
    settled = norm.eval()(torch.full((1, 1), value)).item()

    traces = {}
    for momentum in (0.1, 0.01):
        norm = torch.nn.BatchNorm1d(1, momentum=momentum)
        traces[momentum] = []
        for _ in range(81):
            traces[momentum].append(float(norm.running_mean))
            norm(torch.randn(64, 1) * spread + mean)
    assert abs(traces[0.1][60] - mean) < 0.3 and traces[0.01][80] < 0.7 * mean

    drawn, (left, right) = plt.subplots(1, 2)
    for place, size in enumerate(sizes):
        jitter = torch.linspace(-0.25, 0.25, 40)
        left.scatter(place + jitter, outputs[size], s=6, color=ORANGE, linewidths=0)
    left.axhline(settled, color=BLUE)
    left.text(6.4, 1.5, "eval output", color=BLUE, ha="right", va="bottom", fontsize=9)
    left.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    left.set(title="one sample in train mode", xlabel="batch size", ylabel="output")
    for momentum, colour, y in ((0.1, ORANGE, 1.62), (0.01, BLUE, 0.42)):
        right.plot(traces[momentum], color=colour)
        right.text(80, y, f"momentum={momentum}", color=colour, ha="right", va="top", fontsize=9)
    right.axhline(mean, color=INK, linewidth=1, linestyle="--")
    right.text(0, mean + 0.06, "true mean", ha="left", va="bottom", fontsize=9)
    right.set(title="running mean", xlabel="training step", ylim=(0, 2.6))
    return drawn
