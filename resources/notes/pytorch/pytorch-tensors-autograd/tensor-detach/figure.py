import weakref

import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt

STEPS, CUT = 20, 10


class Held:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def gradients(cut: bool) -> list[float]:
    """Norm of the gradient of the last output by the input of each step."""
    torch.manual_seed(0)
    cell = nn.RNNCell(4, 16)
    nn.init.orthogonal_(cell.weight_hh)
    inputs = [torch.randn(1, 4, requires_grad=True) for _ in range(STEPS)]
    h = torch.zeros(1, 16)
    for step, x in enumerate(inputs, start=1):
        h = cell(x, h)
        if cut and step == CUT:
            h = h.detach()
    h.sum().backward()
    return [0.0 if x.grad is None else float(x.grad.norm()) for x in inputs]


def held(detach: bool) -> list[float]:
    """MiB of saved activations that are alive after each batch of a loop that only adds up the loss."""
    alive = weakref.WeakSet()
    model = nn.Sequential(nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 1))
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor: torch.Tensor) -> Held:
        kept = Held(tensor.detach())
        if tensor.untyped_storage().data_ptr() not in weights:
            alive.add(kept)
        return kept

    total, counts = torch.zeros(()), []
    for _ in range(STEPS):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
            loss = model(torch.randn(512, 256)).square().mean()
        total = total + (loss.detach() if detach else loss)
        del loss
        counts.append(sum({k.tensor.data_ptr(): k.tensor.nbytes for k in alive}.values()) / 2**20)
    return counts


@figure("figure-cut.svg")
def detach_cuts_the_path_and_frees_the_graph() -> Figure:
    """Left: no gradient reaches the steps before the cut. Right: a total that keeps its history holds every batch."""
    whole, cut = gradients(False), gradients(True)
    assert min(whole) > 0 and not any(cut[:CUT]) and all(abs(a - b) < 1e-5 for a, b in zip(whole[CUT:], cut[CUT:]))
    kept, freed = held(False), held(True)
    assert kept[-1] > 15 * kept[0] > 0 and max(freed) == 0

    drawn, (left, right) = plt.subplots(1, 2)
    steps = range(1, STEPS + 1)
    left.plot(steps, whole, color=BLUE, linewidth=3.4, alpha=0.5, label="no detach")
    left.plot(steps, cut, color=ORANGE, linestyle=(0, (4, 2)), label="detach after 10")
    left.set_title("gradient of the last output")
    left.set_xlabel("input at step")
    left.set_ylabel("norm")
    left.legend(loc="upper left")
    right.plot(steps, kept, color=BLUE, label="total += loss")
    right.plot(steps, freed, color=ORANGE, linestyle=(0, (4, 2)), label="total += loss.detach()")
    right.set_title("memory held by the total")
    right.set_xlabel("batch")
    right.set_ylabel("MiB")
    right.set_ylim(-1, max(kept) * 1.4)
    right.legend(loc="upper left")
    for axes in (left, right):
        axes.set_xticks([1, 5, 10, 15, 20])
    return drawn
