import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from figure_style import BLUE, INK, ORANGE, SKY, figure, plt

SIZE = 33


def ring() -> torch.Tensor:
    """A blurred bright ring around the middle of the map."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    radius = ((y - 16.0) ** 2 + (x - 16.0) ** 2).sqrt()
    return torch.exp(-(((radius - 10) / 6.0) ** 2))


def values(image: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    return F.grid_sample(image[None, None], (points.flip(-1) / 16 - 1)[None, None], align_corners=True)[0, 0, 0]


@figure("figure-points.svg")
def points() -> Figure:
    """Taps of a 3×3 kernel before and after gradient steps on their offsets that raise what they read."""
    image = ring()
    rows, columns = torch.meshgrid(torch.arange(-1, 2), torch.arange(-1, 2), indexing="ij")
    start = torch.stack([rows, columns], -1).view(9, 2) * 5.0 + torch.tensor([16.6, 17.1])
    offset = torch.zeros(9, 2, requires_grad=True)
    path = [start.clone()]
    for _ in range(300):
        (gradient,) = torch.autograd.grad(values(image, start + offset).sum(), offset)
        offset.data += 1.5 * gradient
        path.append((start + offset).detach().clone())
    end = path[-1]
    assert values(image, start).mean() < 0.6 and values(image, end).min() > 0.93, (
        values(image, start),
        values(image, end),
    )

    drawn, panels = plt.subplots(1, 2, figsize=(5.6, 2.7))
    trace = torch.stack(path)
    for panel, title, shown in zip(panels, ("regular grid", "after gradient steps"), (start, end)):
        panel.contourf(image, levels=[0.8, 0.93, 1.01], colors=[SKY, SKY], alpha=0.35)
        if shown is end:
            for k in range(9):
                panel.plot(trace[:, k, 1], trace[:, k, 0], color=INK, linewidth=0.8)
        panel.scatter(shown[:, 1], shown[:, 0], s=28, color=BLUE if shown is start else ORANGE, zorder=3)
        panel.set_title(title)
        panel.set_xlim(0, 32)
        panel.set_ylim(32, 0)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.set_aspect("equal")
        panel.grid(False)
    return drawn
