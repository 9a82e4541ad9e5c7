import torch
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, QUIET, figure, plt


def relative_error(w: torch.Tensor, bits: int, per_channel: bool) -> float:
    """Mean over channels of the relative error of symmetric weight quantization."""
    top = 2 ** (bits - 1) - 1
    if per_channel:
        scale = w.abs().amax(1) / top
        back = torch.fake_quantize_per_channel_affine(w, scale, torch.zeros(len(w), dtype=torch.int32), 0, -top, top)
    else:
        back = torch.fake_quantize_per_tensor_affine(w, float(w.abs().max() / top), 0, -top, top)
    return float(((back - w).norm(dim=1) / w.norm(dim=1)).mean())


@figure("figure-quantization.svg")
def staircase_and_error() -> Figure:
    """The staircase of 3 bits, and the weight error of per-tensor and per-channel scales over the bits."""
    x = torch.linspace(-1.6, 1.6, 1601)
    y = torch.fake_quantize_per_tensor_affine(x, 0.25, 4, 0, 7)
    assert len(y.unique()) == 8 and y.min() == -1 and y.max() == 0.75
    torch.manual_seed(0)
    w, bits = torch.randn(32, 256) * torch.logspace(-1.5, 0, 32)[:, None], list(range(3, 9))
    tensor, channel = ([relative_error(w, b, way) for b in bits] for way in (False, True))
    assert all(a > 3 * b for a, b in zip(tensor[1:], channel[1:])) and all(a < b for a, b in zip(channel, tensor[2:]))

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(x, x, color=QUIET, linewidth=1)
    left.plot(x, y, color=BLUE)
    left.set_xlabel("input")
    left.set_title("output, 3 bits")
    right.plot(bits, tensor, "o-", color=ORANGE, markersize=4, label="per tensor")
    right.plot(bits, channel, "o-", color=BLUE, markersize=4, label="per channel")
    right.set_yscale("log")
    right.set_xlabel("bits")
    right.set_title("relative weight error")
    right.legend(loc="lower left")
    return drawn
