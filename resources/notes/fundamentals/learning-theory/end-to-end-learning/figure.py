import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch import nn

from figure_style import BLUE, ORANGE, figure, plt

WIDTHS = (1, 2, 4, 6, 8, 10)


def data(rng, count: int):
    """Ten directions of falling spread, mixed by a rotation; the label lives in the last, weakest one."""
    z = rng.normal(size=(count, 10)) * np.linspace(3.0, 1.0, 10)
    rotation = np.linalg.qr(np.random.default_rng(7).normal(size=(10, 10)))[0]
    return z @ rotation, (z[:, 9] + 0.2 * rng.normal(size=count) > 0).astype(int)


def joint_error(train, test, width: int) -> float:
    """Linear bottleneck and classifier trained together."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, width), nn.Linear(width, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    x, y = torch.tensor(train[0], dtype=torch.float32), torch.tensor(train[1], dtype=torch.float32)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y).backward()
        optimizer.step()
    with torch.no_grad():
        guess = (model(torch.tensor(test[0], dtype=torch.float32))[:, 0] > 0).numpy()
    return float((guess != test[1]).mean())


@figure("figure-stages.svg")
def error_over_width() -> Figure:
    """Test error over the width of the intermediate result, for separate and for joint training."""
    rng = np.random.default_rng(0)
    train, test = data(rng, 3000), data(rng, 3000)
    separate = []
    for width in WIDTHS:
        pca = PCA(width).fit(train[0])
        classifier = LogisticRegression().fit(pca.transform(train[0]), train[1])
        separate.append(1 - classifier.score(pca.transform(test[0]), test[1]))
    joint = [joint_error(train, test, width) for width in WIDTHS]
    assert min(separate[:-1]) > 0.3 and max(joint) < 0.12 and separate[-1] < 0.12

    drawn, panel = plt.subplots(figsize=(5.4, 2.8))
    panel.plot(WIDTHS, separate, "o-", color=ORANGE, markersize=5, label="PCA first, then classifier")
    panel.plot(WIDTHS, joint, "o-", color=BLUE, markersize=5, label="end to end")
    panel.set_xticks(WIDTHS)
    panel.set_ylim(0, 0.72)
    panel.set_xlabel("width of the intermediate result")
    panel.set_ylabel("test error")
    panel.legend(loc="upper right")
    return drawn
