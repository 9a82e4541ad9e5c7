import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

DROPPED = r"\mathrm{E}[\tilde{x}] = \mu, \qquad \mathrm{Var}[\tilde{x}] = \frac{v + p\,\mu^2}{1 - p}"
SHIFT = r"""
\gamma^2\, \frac{v}{\mathrm{Var}[\tilde{x}] + \varepsilon} \approx \gamma^2\, \frac{(1 - p)\, v}{v + p\,\mu^2}
"""
LINEAR = r"""
\mathrm{Var}_{\mathrm{train}}[y] = \mathrm{Var}_{\mathrm{eval}}[y] + \frac{p}{1 - p} \sum_i w_i^2\, (v_i + \mu_i^2)
"""

by_definition("Concerns")
sourced(
    "Zagoruyko and Komodakis, arXiv 1605.07146, section 3: dropout 0.3 on CIFAR and 0.4 on SVHN",
    "dropout → conv → BN",
)
sourced(
    "Ioffe and Szegedy, arXiv 1502.03167, section 4.2.1: dropout removed",
    "Is batch norm a replacement for dropout?",
)


@holds("Why does the mean not shift?")
@formula(DROPPED)
def check_dropped():
    for p, mu, v in [(0.5, 2.0, 1.0), (0.2, 0.0, 3.0), (0.7, -1.0, 0.5), (0.0, 1.0, 1.0)]:
        x = torch.randn(2_000_000, dtype=torch.float64) * v**0.5 + mu
        dropped = nn.Dropout(p)(x)
        assert abs(dropped.mean().item() - mu) < 0.01 and abs(nn.Dropout(p).eval()(x).var().item() - v) < 0.01
        assert abs(dropped.var().item() / ((v + p * mu**2) / (1 - p)) - 1) < 0.01


@holds("Concerns", "Same in train and eval?", "dropout → BN")
@formula(SHIFT)
def check_shift():
    for p, mu, v, gamma, eps in [
        (0.5, 1.0, 1.0, 1.0, 1e-5),
        (0.3, 2.0, 0.5, 2.0, 1e-5),
        (0.1, 0.0, 4.0, 0.7, 1e-5),
        (0.5, 1.0, 1.0, 1.0, 0.8),
    ]:
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


@holds("dropout → conv → BN")
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


@holds("BN … BN → dropout → classifier", "Not concerned")
@pitfall('"Batch norm and dropout must not be used together"')
def check_order_in_models():
    data = lambda n: torch.relu(torch.randn(n, 16))
    for behind, shifted in ((nn.BatchNorm1d(16, momentum=None), True), (nn.Linear(16, 4), False)):
        first = nn.BatchNorm1d(16, momentum=None)
        net = nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), behind)
        norm = behind if shifted else first
        seen = {}
        norm.register_forward_hook(lambda module, inputs, output: seen.update(y=output))
        for _ in range(200):
            net(data(256))
        net.eval()(data(20_000))
        assert (seen["y"].std() < 0.75) if shifted else abs(seen["y"].std() - 1) < 0.02
    with torch.device("meta"):
        models = [torchvision.models.efficientnet_b0(), torchvision.models.mobilenet_v2()]
    for model in models:
        kinds = [type(module).__name__ for module in model.modules()]
        last = max(index for index, kind in enumerate(kinds) if kind.startswith("BatchNorm"))
        assert kinds.count("Dropout") == 1 and kinds.index("Dropout") > last


@holds("Shapes", "dtype", "Not concerned", "Defaults", "dropout with LayerNorm")
def check_layers_without_stored_statistics():
    for layer in (nn.LayerNorm(64), nn.GroupNorm(4, 64)):
        assert not list(layer.buffers())
        net = nn.Sequential(nn.Dropout(0.5), layer).eval()
        assert abs(net(torch.relu(torch.randn(1000, 64))).std().item() - 1) < 0.01
    assert nn.Dropout().p == 0.5 and nn.BatchNorm1d(2).momentum == 0.1
    raises(ValueError, lambda: nn.BatchNorm2d(3)(torch.randn(3, 4, 4)))
    norms = ((nn.BatchNorm1d, (2, 3)), (nn.BatchNorm1d, (2, 3, 4)), (nn.BatchNorm2d, (2, 3, 4, 5)))
    for norm, shape in (*norms, (nn.BatchNorm3d, (2, 3, 4, 5, 6))):
        x = torch.randn(shape, dtype=torch.float64)
        y = nn.Sequential(nn.Dropout(), norm(3).double())(x)
        assert y.shape == shape and y.dtype == torch.float64
        raises((RuntimeError, NotImplementedError), lambda: norm(3)(torch.ones(shape, dtype=torch.int64)))
    raises(RuntimeError, lambda: nn.Dropout()(torch.ones(3, dtype=torch.int64)))
    kinds = {type(module) for module in nn.TransformerEncoderLayer(8, 2).modules()}
    assert nn.Dropout in kinds and nn.LayerNorm in kinds


@holds("BN, no dropout", "Is batch norm a replacement for dropout?")
def check_models_with_and_without_dropout():
    with torch.device("meta"):
        resnets = [torchvision.models.resnet18(), torchvision.models.resnet50(), torchvision.models.resnet152()]
        efficient = torchvision.models.efficientnet_b0()
    for model, drops in [(model, False) for model in resnets] + [(efficient, True)]:
        kinds = {type(module) for module in model.modules()}
        assert nn.BatchNorm2d in kinds and (nn.Dropout in kinds) is drops
    x, companions = torch.ones(1, 3), torch.randn(2, 7, 3)
    first, second = (nn.BatchNorm1d(3)(torch.cat([x, others]))[0] for others in companions)
    assert not torch.allclose(first, second, atol=1e-3)


@holds("Cost of the fix", "dropout → BN")
@pitfall("Re-estimating did not help")
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


@pitfall("Monte Carlo dropout changes predictions for other reasons")
def check_train_mode_moves_the_buffers():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    before, x, others = net[0].running_mean.clone(), torch.ones(1, 3) + 5, torch.randn(8, 3) + 5
    with torch.no_grad():
        values = lambda companions: {v for _ in range(30) for v in net(torch.cat([x, companions]))[0].tolist() if v}
        net.train()
        assert values(others).isdisjoint(values(2 * others)) and not torch.equal(before, net[0].running_mean)
        net.eval()
        net[1].train()
        before = net[0].running_mean.clone()
        assert values(others) == values(2 * others) and torch.equal(before, net[0].running_mean)
        assert not torch.equal(net(others), net(others))

        class Layer(nn.Sequential):  # drops in forward, by its own mode, and holds a BatchNorm
            def forward(self, x):
                return F.dropout(super().forward(x), 0.5, self.training)

        inside = Layer(nn.BatchNorm1d(3)).eval()
        for back in (False, True):
            inside.train()
            inside[0].train(not back)
            before = inside[0].running_mean.clone()
            assert not torch.equal(inside(others), inside(others))
            assert torch.equal(before, inside[0].running_mean) is back


def loss_in_evaluation(p, steps=100):
    """With dropout before each BatchNorm: as trained, the dropout removed, and with statistics measured anew."""

    def data(n):
        x = torch.randn(n, 4)
        signs = (x > 0).long()
        return x, 2 * (signs[:, 0] ^ signs[:, 1]) + (signs[:, 2] ^ signs[:, 3])

    layers = [nn.Linear(4, 64)]
    for _ in range(3):
        layers += [nn.Linear(64, 64), nn.ReLU(), nn.Dropout(p), nn.BatchNorm1d(64)]
    net = nn.Sequential(*layers, nn.Linear(64, 4))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(steps):
        x, y = data(128)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    x, y = data(4000)
    net.eval()
    with torch.no_grad():
        trained = F.cross_entropy(net(x), y).item()
        without = nn.Sequential(*[layer for layer in net if not isinstance(layer, nn.Dropout)])
        removed = F.cross_entropy(without(x), y).item()
        for layer in net:
            if isinstance(layer, nn.BatchNorm1d):
                layer.reset_running_stats()
                layer.momentum = None
                layer.train()
        for _ in range(40):
            net(data(128)[0])
        return trained, removed, F.cross_entropy(net.eval()(x), y).item()


@pitfall("Evaluation is worse than the same weights allow")
def check_re_estimating_a_trained_network():
    trained, removed, measured = loss_in_evaluation(0.5)
    assert removed == trained > 1.12 * measured
    for p in (0.02, 0.0):
        assert loss_in_evaluation(p)[0] < 0.85 * trained


@holds("Does a wide layer average the noise away?", "dropout → conv → BN")
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
