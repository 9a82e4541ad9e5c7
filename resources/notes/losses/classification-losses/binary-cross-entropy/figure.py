import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, figure, plt


def loss_and_gradient(z: torch.Tensor, fused: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient at each logit for label 0, in float32."""
    z, y = z.clone().requires_grad_(), torch.zeros_like(z)
    loss = (
        F.binary_cross_entropy_with_logits(z, y, reduction="none")
        if fused
        else F.binary_cross_entropy(z.sigmoid(), y, reduction="none")
    )
    loss.sum().backward()
    return loss.detach(), z.grad


@figure("figure-fused.svg")
def fused_and_separate() -> Figure:
    """Label 0: BCEWithLogitsLoss against sigmoid followed by BCELoss."""
    z = torch.linspace(-6, 24, 241)
    loss, gradient = loss_and_gradient(z, True)
    separate_loss, separate_gradient = loss_and_gradient(z, False)
    assert separate_loss[-1] == 100 and separate_gradient[-1] == 0 and gradient[-1] == 1 and abs(loss[-1] - 24) < 1e-4
    assert abs(z[separate_loss == 100][0] - 17) < 0.5 and not separate_gradient[separate_loss == 100].any()

    drawn, panels = plt.subplots(1, 2)
    for panel, ours, theirs, title in zip(
        panels, (loss, gradient), (separate_loss, separate_gradient), ("loss, label 0", "gradient, label 0")
    ):
        panel.plot(z, ours, color=BLUE, label="BCEWithLogitsLoss")
        panel.plot(z, theirs, color=ORANGE, linestyle="--", label="sigmoid + BCELoss")
        panel.set_title(title)
        panel.set_xlabel("logit")
    panels[0].legend(loc="upper left")
    panels[0].set_ylim(-4, 138)
    return drawn
