import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, INK, ORANGE, figure, plt


def gradient_on_the_correct_logit(gaps: torch.Tensor, loss) -> torch.Tensor:
    """Size of the gradient on logit 0 (the correct class) when logit 1 is higher by `gap`, summed over samples, not averaged."""
    z = torch.stack([torch.zeros_like(gaps), gaps], 1).requires_grad_()
    loss(z).backward()
    return z.grad[:, 0].abs()


@figure("figure-surprise.svg")
def surprise_and_gradient() -> Figure:
    """-log p on the left; on the right the gradients of cross-entropy and of squared error after softmax."""
    p = torch.linspace(0.004, 1, 120, dtype=torch.float64)
    two = torch.stack([p.log(), (1 - p).clamp(min=1e-300).log()], 1)
    loss = F.cross_entropy(two, torch.zeros(len(p), dtype=torch.long), reduction="none")

    gaps = torch.linspace(-8, 8, 120, dtype=torch.float64)
    labels = torch.zeros(len(gaps), dtype=torch.long)
    one_hot = F.one_hot(labels, 2).double()
    entropy = gradient_on_the_correct_logit(gaps, lambda z: F.cross_entropy(z, labels, reduction="sum"))
    square = gradient_on_the_correct_logit(gaps, lambda z: 0.5 * F.mse_loss(z.softmax(1), one_hot, reduction="sum"))
    assert entropy[-1] > 0.99 and square[-1] < 0.01 and torch.all(loss.diff() < 0)

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(p, loss, color=BLUE)
    for at, text in [(0.5, "0.69"), (0.1, "2.30"), (0.01, "4.61")]:
        height = F.cross_entropy(torch.tensor([[at, 1 - at]]).log(), torch.tensor([0])).item()
        left.plot([at], [height], "o", color=INK, markersize=4)
        left.annotate(f"p = {at}: {text}", (at, height), xytext=(7, 3), textcoords="offset points")
        assert f"{height:.2f}" == text
    left.set_title("loss")
    left.set_xlabel("probability of the correct class")

    right.plot(gaps, entropy, color=BLUE)
    right.plot(gaps, square, color=ORANGE, linestyle="--")
    right.set_title("gradient on the correct logit")
    right.set_xlabel("wrong logit − correct logit")
    right.set_ylim(-0.03, 1.08)
    right.set_xlim(-8.6, 10.6)
    right.text(2.1, 0.74, "cross-entropy", color=BLUE)
    right.text(2.5, 0.2, "squared error", color=ORANGE)
    return drawn
