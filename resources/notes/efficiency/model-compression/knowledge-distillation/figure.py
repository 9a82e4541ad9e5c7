import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, QUIET, figure, plt


def teacher_and_data():
    """A small net trained on the handwritten digits, and the held-out images."""
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(x[:1200]), y[:1200]).backward()
        optimizer.step()
    return model.eval(), x[1200:], y[1200:]


def norms(z: torch.Tensor, temperatures) -> tuple[list[float], list[float], float]:
    """Gradient norm of the soft loss with and without T squared, for an untrained student, and the limit."""
    with_factor, without = [], []
    for T in temperatures:
        v = torch.zeros_like(z, requires_grad=True)
        loss = F.kl_div(F.log_softmax(v / T, -1), F.softmax(z / T, -1), reduction="batchmean")
        (gradient,) = torch.autograd.grad(loss, v)
        without.append(float(gradient.norm()))
        with_factor.append(float(gradient.norm() * T**2))
    return with_factor, without, float(((z - z.mean()) / z.numel()).norm())


@figure("figure-soft-targets.svg")
def soft_targets() -> Figure:
    """Teacher probabilities of one image at two temperatures, and the gradient norm over the temperature."""
    model, x, y = teacher_and_data()
    with torch.no_grad():
        logits = model(x)
    probability = logits.softmax(-1)
    sure = ((logits.argmax(-1) == y) & (probability.amax(-1) > 0.97) & (probability.amax(-1) < 0.995)).nonzero()[0, 0]
    z = logits[sure : sure + 1]
    hard, soft = z.softmax(-1)[0], (z / 4).softmax(-1)[0]
    assert hard.max() > 0.97 and soft.sort().values[-2] > 0.1
    temperatures = np.geomspace(1, 32, 26)
    with_factor, without, limit = norms(z, temperatures)
    assert abs(with_factor[-1] / limit - 1) < 0.2 and without[-1] < without[0] / 50 and (np.diff(without) < 0).all()

    drawn, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.8))
    classes = np.arange(10)
    left.bar(classes - 0.2, hard, 0.4, color=ORANGE, label="T = 1")
    left.bar(classes + 0.2, soft, 0.4, color=BLUE, label="T = 4")
    left.set_xticks(classes)
    left.set_xlabel("digit")
    left.set_title("teacher probability")
    left.legend(loc="upper center")
    right.plot(temperatures, with_factor, color=BLUE, label="with T²")
    right.plot(temperatures, without, color=ORANGE, label="without T²")
    right.axhline(limit, color=QUIET, linestyle=":", linewidth=1.4, label="limit")
    right.set_xscale("log", base=2)
    right.set_yscale("log")
    right.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    right.set_xlabel("temperature")
    right.set_title("gradient norm")
    right.legend(loc="lower left")
    return drawn
