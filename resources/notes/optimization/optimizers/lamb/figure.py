import torch
from matplotlib.figure import Figure
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt

RATE = 0.01


def relative_steps(trust: bool) -> dict[str, float]:
    """Relative length of the first step of each weight tensor of a small Transformer layer."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(16, 64), nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True), nn.Linear(64, 10)
    )
    loss = nn.functional.cross_entropy(model(torch.randn(32, 7, 16)).mean(1), torch.randint(10, (32,)))
    loss.backward()
    wanted = {
        "0.weight": "input",
        "1.self_attn.in_proj_weight": "q, k, v",
        "1.self_attn.out_proj.weight": "out_proj",
        "1.linear1.weight": "linear1",
        "1.linear2.weight": "linear2",
        "1.norm1.weight": "norm",
        "2.weight": "output",
    }
    steps = {}
    for name, p in model.named_parameters():
        if name in wanted:
            before = p.detach().clone()
            torch.optim.AdamW([p], lr=RATE, weight_decay=0.0, eps=1e-6).step()
            update = (before - p.detach()) / RATE
            ratio = before.norm() / update.norm() if trust else 1.0
            steps[wanted[name]] = float(RATE * ratio * update.norm() / before.norm())
    return steps


@figure("figure-relative.svg")
def adamw_moves_layers_unequally() -> Figure:
    """Relative step of each tensor with AdamW and with LAMB at the same learning rate."""
    adamw, lamb = relative_steps(False), relative_steps(True)
    assert max(adamw.values()) > 10 * min(adamw.values())
    assert all(abs(v - RATE) < 1e-6 for v in lamb.values())

    drawn, axes = plt.subplots()
    names = list(adamw)
    axes.bar(range(len(names)), adamw.values(), width=0.5, color=ORANGE, alpha=0.75, label="AdamW")
    axes.plot(range(len(names)), lamb.values(), color=BLUE, marker="o", linestyle="-", label="LAMB")
    axes.set_yscale("log")
    axes.set_ylim(3e-3, 1)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("weight tensor")
    axes.set_ylabel("relative step")
    axes.legend(loc="upper right", ncols=2)
    return drawn
