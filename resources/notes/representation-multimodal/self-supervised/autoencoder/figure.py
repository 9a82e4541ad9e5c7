import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from torch import nn

from figure_style import BLUE, ORANGE, QUIET, figure, plt


@figure("figure-curve.svg")
def one_number_per_point() -> Figure:
    """PCA and a nonlinear autoencoder rebuild a noisy parabola from a code of size 1."""
    torch.manual_seed(0)
    t = torch.linspace(-1.5, 1.5, 120)
    x = torch.stack([t, t**2 - 0.75], dim=1) + 0.06 * torch.randn(120, 2)
    encoder = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))
    decoder = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 2))
    net = nn.Sequential(encoder, decoder)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(1500):
        loss = nn.functional.mse_loss(net(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bent = net(x).detach().numpy()
    pca = PCA(1).fit(x.numpy())
    straight = pca.inverse_transform(pca.transform(x.numpy()))
    errors = [float(((x.numpy() - back) ** 2).sum(1).mean()) for back in (straight, bent)]
    assert errors[1] < errors[0] / 20, errors

    drawn, panel = plt.subplots()
    panel.scatter(x[:, 0], x[:, 1], s=9, color=QUIET, linewidths=0, label="data")
    for back, colour, style, name in (
        (straight, ORANGE, "--", "PCA, 1 number"),
        (bent, BLUE, "-", "autoencoder, 1 number"),
    ):
        order = np.argsort(back[:, 0])
        panel.plot(back[order, 0], back[order, 1], style, color=colour, label=name)
    drawn.legend(loc="outside upper center", ncols=3)
    return drawn
