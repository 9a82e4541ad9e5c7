import numpy as np
import torch
import torchvision
from torch import nn

from note_checks import check, formula, raises, stated

DROPPED = r"\mathrm{E}[\tilde{x}] = \mu, \qquad \mathrm{Var}[\tilde{x}] = \frac{v + p\,\mu^2}{1 - p}"
SHIFT = r"""
\gamma^2\, \frac{v}{\mathrm{Var}[\tilde{x}] + \varepsilon} \approx \gamma^2\, \frac{(1 - p)\, v}{v + p\,\mu^2}
"""
LINEAR = r"""
\mathrm{Var}_{\mathrm{train}}[y] = \mathrm{Var}_{\mathrm{eval}}[y] + \frac{p}{1 - p} \sum_i w_i^2\, (v_i + \mu_i^2)
"""


@formula(DROPPED)
def check_dropped():
    for p, mu, v in [(0.5, 2.0, 1.0), (0.2, 0.0, 3.0), (0.7, -1.0, 0.5), (0.0, 1.0, 1.0)]:
        x = torch.randn(2_000_000, dtype=torch.float64) * v**0.5 + mu
        dropped = nn.Dropout(p)(x)
        assert abs(dropped.mean().item() - mu) < 0.01 and abs(nn.Dropout(p).eval()(x).var().item() - v) < 0.01
        assert abs(dropped.var().item() / ((v + p * mu**2) / (1 - p)) - 1) < 0.01


@formula(SHIFT)
def check_shift():
    for p, mu, v, gamma, eps in [(0.5, 1.0, 1.0, 1.0, 1e-5), (0.3, 2.0, 0.5, 2.0, 1e-5), (0.1, 0.0, 4.0, 0.7, 1e-5), (0.5, 1.0, 1.0, 1.0, 0.8)]:
        bn, drop = nn.BatchNorm1d(1, momentum=None, eps=eps).double(), nn.Dropout(p)
        nn.init.constant_(bn.weight, gamma)
        sample = lambda: torch.randn(1_000_000, 1, dtype=torch.float64) * v**0.5 + mu
        for _ in range(3):
            bn(drop(sample()))
        library = bn.eval()(drop.eval()(sample())).var().item()
        exact = gamma**2 * v / ((v + p * mu**2) / (1 - p) + eps)
        assert abs(library / exact - 1) < 0.02
        about = gamma**2 * (1 - p) * v / (v + p * mu**2)
        assert (abs(library / about - 1) < 0.02) == (eps < 0.1)


@formula(LINEAR)
def check_linear_between():
    for p in (0.2, 0.5):
        w = torch.tensor([[0.5, -1.0, 2.0, 0.3]], dtype=torch.float64)
        mixing = torch.randn(4, 4, dtype=torch.float64)
        x = torch.randn(1_500_000, 4, dtype=torch.float64) @ mixing + torch.tensor([1.0, -2.0, 0.5, 0.0])
        train, evaluation = (nn.Dropout(p)(x) @ w.T).var().item(), (x @ w.T).var().item()
        extra = p / (1 - p) * (w[0] ** 2 * (x.var(0) + x.mean(0) ** 2)).sum().item()
        assert extra > 0.5 and abs(train / (evaluation + extra) - 1) < 0.02


@check
def check_worked_example():
    values, chances = np.array([0.0, 2.0, 6.0]), np.array([0.5, 0.25, 0.25])
    assert (values * chances).sum() == 2 and (values**2 * chances).sum() - 4 == 6
    x = torch.tensor([1.0, 3.0]).repeat(500_000)
    dropped = nn.Dropout(0.5)(x)
    assert set(dropped.tolist()) == {0.0, 2.0, 6.0} and abs(dropped.var().item() - 6) < 0.05
    stated("0.4082", 6**-0.5)


@check
def check_order_in_models():
    with torch.device("meta"):
        models = [torchvision.models.efficientnet_b0(), torchvision.models.mobilenet_v2()]
    for model in models:
        kinds = [type(module).__name__ for module in model.modules()]
        last = max(index for index, kind in enumerate(kinds) if kind.startswith("BatchNorm"))
        assert kinds.count("Dropout") == 1 and kinds.index("Dropout") > last


@check
def check_layers_without_stored_statistics():
    for layer in (nn.LayerNorm(64), nn.GroupNorm(4, 64)):
        assert not list(layer.buffers())
        net = nn.Sequential(nn.Dropout(0.5), layer).eval()
        assert abs(net(torch.relu(torch.randn(1000, 64))).std().item() - 1) < 0.01
    assert nn.Dropout().p == 0.5 and nn.BatchNorm1d(2).momentum == 0.1
    raises(ValueError, lambda: nn.BatchNorm2d(3)(torch.randn(3, 4, 4)))


@check
def check_re_estimating_in_train_mode_does_not_help():
    bn = nn.BatchNorm1d(32, momentum=None)
    net = nn.Sequential(nn.Dropout(0.5), bn)
    data = lambda n: torch.relu(torch.randn(n, 32))
    spreads = []
    for prepare in (net.train, lambda: (net.eval(), bn.train())):
        bn.reset_running_stats()
        prepare()
        with torch.no_grad():
            for _ in range(100):
                net(data(256))
            spreads.append(net.eval()(data(20_000)).std().item())
    assert spreads[0] < 0.65 and abs(spreads[1] - 1) < 0.02
    trained = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(32)).eval()
    x = data(8)
    assert torch.equal(trained(x), trained[1:](x))  # removing dropout afterwards changes nothing
    bn.reset_running_stats(), net.train()
    with torch.no_grad():
        for _ in range(100):
            net(data(256))
        net.eval(), bn.train()
        for _ in range(100):
            net(data(256))
    assert net.eval()(data(20_000)).std().item() < 0.9  # not reset: the old averages count


@check
def check_train_mode_moves_the_buffers():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = net[0].running_mean.clone()
    with torch.no_grad():
        net.train()(torch.randn(8, 3) + 5)
    assert not torch.equal(before, net[0].running_mean)


@check
def check_width_and_correlation():
    ratios = []
    for width in (8, 512):
        w = torch.randn(1, width)
        x = torch.relu(torch.randn(30_000, width))
        ratios.append(((x @ w.T).var() / (nn.Dropout(0.5)(x) @ w.T).var()).item())
    assert abs(ratios[0] - ratios[1]) < 0.05
    x = torch.relu(torch.randn(30_000, 64))
    assert abs(ratios[1] - (x.var(0) / nn.Dropout(0.5)(x).var(0)).mean().item()) < 0.03  # as without the layer
    common = torch.relu(torch.randn(30_000, 1) + 0.3 * torch.randn(30_000, 512))
    w = torch.rand(1, 512)
    assert (common @ w.T).var() / (nn.Dropout(0.5)(common) @ w.T).var() > 0.95 > ratios[1] + 0.3
