import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt

WIDTH = 16
SIZES = [2, 4, 8, 16, 32, 64]


class Cell(nn.Module):
    """A Child-Sum Tree-LSTM cell for stacked children `(children, WIDTH)`."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(WIDTH, 4 * WIDTH, bias=False)

    def forward(self, x: torch.Tensor, children: list) -> tuple[torch.Tensor, torch.Tensor]:
        h = torch.stack([s[0] for s in children]) if children else torch.zeros(1, WIDTH)
        c = torch.stack([s[1] for s in children]) if children else torch.zeros(1, WIDTH)
        w_i, w_f, w_g, w_o = self.x(x).chunk(4)
        u_i, u_f, u_g, u_o = self.h.weight.chunk(4)
        total = h.sum(0)
        i, g, o = (w_i + u_i @ total).sigmoid(), (w_g + u_g @ total).tanh(), (w_o + u_o @ total).sigmoid()
        c = i * g + ((w_f + h @ u_f.T).sigmoid() * c).sum(0)
        return o * c.tanh(), c


def balanced(cell: Cell, words: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    if len(words) == 1:
        return cell(words[0], [])
    half = len(words) // 2
    return cell(torch.zeros(WIDTH), [balanced(cell, words[:half]), balanced(cell, words[half:])])


def chain(cell: Cell, words: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    state = cell(words[0], [])
    for word in words[1:]:
        state = cell(word, [state])
    return state


def gradient(build, n: int) -> float:
    """Norm of the gradient of the root's sum with respect to the first word; geometric mean over ten random cells."""
    logs = []
    for seed in range(10):
        torch.manual_seed(seed)
        cell, words = Cell(), list(torch.randn(n, WIDTH))
        words[0].requires_grad_()
        build(cell, words)[0].sum().backward()
        logs.append(float(words[0].grad.norm().log10()))
    return float(10 ** np.mean(logs))


@figure("figure-gradient.svg")
def gradients_survive_in_trees() -> Figure:
    """The gradient at the first word falls with the path length: n in a chain, log n in a balanced tree."""
    line, tree = [gradient(chain, n) for n in SIZES], [gradient(balanced, n) for n in SIZES]
    assert line[-1] < 1e-10 and tree[-1] > 1e-4 and all(a > b for a, b in zip(line, line[1:]))

    drawn, panel = plt.subplots()
    panel.plot(SIZES, tree, color=BLUE, marker="o", markersize=4, label="balanced tree")
    panel.plot(SIZES, line, color=ORANGE, marker="s", markersize=4, label="chain")
    panel.set_yscale("log")
    panel.set_xlabel("words")
    panel.set_ylabel("gradient at the first word")
    panel.legend(loc="lower left", fontsize=9)
    return drawn
