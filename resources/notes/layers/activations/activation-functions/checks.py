import inspect
import math

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.nn import functional as F
from torchvision import models

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

LAYER = r"a = f(W x + b)"
COLLAPSE = r"W_2 (W_1 x + b_1) + b_2 = (W_2 W_1)\, x + (W_2 b_1 + b_2)"
BACKWARD = r"""
\frac{\partial L}{\partial z_l} = f'(z_l) \odot \left( W_{l+1}^\top\, \frac{\partial L}{\partial z_{l+1}} \right)
"""
XOR = r"y = \mathrm{ReLU}(x_1 - x_2) + \mathrm{ReLU}(x_2 - x_1)"

by_definition("Cost")
sourced("DCGAN, arXiv 1511.06434, section 3", "Leaky ReLU, ELU")
sourced(
    "Leshno, Lin, Pinkus, Schocken 1993, theorem 1",
    "Why must it be nonlinear, and is any nonlinear function enough?",
)


@formula(LAYER, COLLAPSE)
@holds("Why must it be nonlinear, and is any nonlinear function enough?")
def check_layer_and_collapse():
    for n, m, k in [(3, 5, 2), (1, 1, 1), (4, 2, 6)]:
        first, second = nn.Linear(n, m).double(), nn.Linear(m, k).double()
        x = torch.randn(n, dtype=torch.float64)
        w1, b1, w2, b2 = (p.detach().numpy() for p in (*first.parameters(), *second.parameters()))
        np.testing.assert_allclose(np.tanh(w1 @ x.numpy() + b1), torch.tanh(first(x)).detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(
            (w2 @ w1) @ x.numpy() + (w2 @ b1 + b2), second(first(x)).detach().numpy(), atol=1e-12
        )


@formula(BACKWARD)
def check_backward():
    for f, slope in [
        (torch.sigmoid, lambda z: torch.sigmoid(z) * (1 - torch.sigmoid(z))),
        (torch.tanh, lambda z: 1 - torch.tanh(z) ** 2),
        (F.relu, lambda z: (z > 0).double()),
    ]:
        W, b = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
        z = torch.randn(6, dtype=torch.float64, requires_grad=True)
        following = W @ f(z) + b
        following.retain_grad()
        following.sin().sum().backward()
        assert torch.allclose(z.grad, slope(z.detach()) * (W.T @ following.grad))


@formula(XOR)
def check_xor():
    bits = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert (F.relu(bits[:, 0] - bits[:, 1]) + F.relu(bits[:, 1] - bits[:, 0])).tolist() == [0, 1, 1, 0]
    design = torch.cat([bits, torch.ones(4, 1)], 1)
    best = torch.linalg.lstsq(design, torch.tensor([[0.0], [1.0], [1.0], [0.0]])).solution
    for value in design @ best:
        stated("0.5", value)


def trained(net, x, loss, steps, rate=0.01):
    optimizer = torch.optim.Adam(net.parameters(), rate)
    descend(optimizer, lambda: loss(net(x)), steps)
    return net(x).detach()


@holds("Input → output", "dtype", "Parameters", "Defaults", "Same in train and eval?")
def check_contract():
    x = torch.randn(2, 3, 4)
    for f in (F.relu, F.leaky_relu, F.elu, F.gelu, F.silu, torch.sigmoid, torch.tanh, lambda v: F.softmax(v, -1)):
        assert f(x).shape == x.shape and f(x[0, 0, 0]).shape == () and f(x.half()).dtype == torch.float16
    for name in ("ReLU", "GELU", "SiLU", "ELU", "LeakyReLU", "Sigmoid", "Tanh", "PReLU", "RReLU"):
        layer = getattr(nn, name)()
        assert not getattr(layer, "inplace", False)
        assert torch.equal(layer.train()(x), layer.eval()(x)) is (name != "RReLU")
    assert "activation" not in inspect.signature(nn.Linear).parameters
    integers = torch.tensor([-1, 2])
    assert torch.relu(integers).dtype == torch.int64
    assert torch.sigmoid(integers).dtype == torch.tanh(integers).dtype == torch.float32
    for f in (F.gelu, F.silu, F.elu, F.leaky_relu, F.softplus, lambda v: F.softmax(v, 0)):
        raises(RuntimeError, lambda: f(integers))
    assert all(not layer().inplace for layer in (nn.ReLU, nn.SiLU, nn.ELU, nn.LeakyReLU))
    assert [
        name
        for name in ("ReLU", "GELU", "SiLU", "ELU", "LeakyReLU", "Sigmoid", "Tanh", "PReLU")
        if list(getattr(nn, name)().parameters())
    ] == ["PReLU"]


@holds("ReLU", "Leaky ReLU, ELU", "GELU", "SiLU", "sigmoid", "tanh", "softmax", "What does the shape of ReLU bring?")
def check_ranges_and_slopes():
    x = torch.linspace(-15, 15, 300001, dtype=torch.float64, requires_grad=True)
    expected = {
        F.gelu: ("−0.17", "−0.13", "1.13"),
        F.silu: ("−0.28", "−0.10", "1.10"),
        torch.sigmoid: (None, None, "0.25"),
    }
    for f, (least, low, high) in expected.items():
        y = f(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        for text, value in ((least, y.detach().min()), (low, slope.min()), (high, slope.max())):
            if text:
                stated(text, value)
    for f in (F.leaky_relu, F.elu):
        (slope,) = torch.autograd.grad(f(x).sum(), x)
        assert slope.min() > 0 and slope.max() <= 1
    (slope,) = torch.autograd.grad(F.relu(x).sum(), x)
    assert set(slope.tolist()) == {0.0, 1.0} and (slope[x > 0] == 1).all() and (F.relu(x)[x <= 0] == 0).all()
    (slope,) = torch.autograd.grad(torch.tanh(x).sum(), x)
    assert 0 <= slope.min() and abs(slope.max() - 1) < 1e-6 and torch.tanh(x[::9000]).abs().max() <= 1
    assert -1 < F.elu(x).min() < -0.999 and F.leaky_relu(torch.tensor(-1e9)) == -1e7
    assert torch.allclose(F.softmax(torch.randn(5, 4), 1).sum(1), torch.ones(5))


@holds("ReLU", "GELU", "SiLU", "sigmoid", "tanh", "softmax", "May one mix activations in a network?")
def check_where_they_are_found():
    with torch.device("meta"):
        nets = models.resnet18(), models.vit_b_16(), models.efficientnet_b0()
    kinds = [{type(m) for m in net.modules()} for net in nets]
    assert nn.ReLU in kinds[0] and nn.GELU in kinds[1] and {nn.SiLU, nn.Sigmoid} <= kinds[2]
    assert MLPClassifier().activation == "relu" and nn.RNN(1, 1).nonlinearity == "tanh"
    cell, x, h, c = nn.LSTMCell(3, 4), torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)
    i, f, g, o = (F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(h, cell.weight_hh, cell.bias_hh)).chunk(4, 1)
    state = f.sigmoid() * c + i.sigmoid() * g.tanh()
    assert torch.allclose(cell(x, (h, c))[0], o.sigmoid() * state.tanh(), atol=1e-6)
    q = torch.randn(1, 5, 4)
    _, weights = nn.MultiheadAttention(4, 1, batch_first=True)(q, q, q)
    assert torch.allclose(weights.sum(-1), torch.ones(1, 5)) and (weights > 0).all()


@pitfall("The loss falls slowly and stops far above zero")
def check_double_softmax():
    least = F.cross_entropy(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    stated("0.3133", least)
    for _ in range(100):
        assert F.cross_entropy(F.softmax(torch.randn(1, 2) * 9, 1), torch.tensor([0])) >= least - 1e-6
    assert abs(least.item() - math.log(1 + math.exp(-1))) < 1e-6
    x, y = handwritten_digits()
    x, y = x[y < 2], y[y < 2]
    found = []
    for output in (nn.Softmax(1), nn.Identity()):
        net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2), output)
        trained(net, x, lambda out: F.cross_entropy(out, y), 20)
        early = F.cross_entropy(net(x), y).item()
        trained(net, x, lambda out: F.cross_entropy(out, y), 200)
        found.append((early, F.cross_entropy(net(x), y).item()))
    (slow, stuck), (fast, done) = found
    assert slow > 1.5 * fast and stuck > 0.313 and done < 0.01
    z = torch.tensor([5.0, 5.0])  # the probabilities of this loss are those of softmax, not sigmoid
    assert F.cross_entropy(z, torch.tensor(0)) == -z.softmax(0).log()[0] and z.sigmoid().sum() > 1.9


@check
def check_gradient_through_depth():
    for f, gain, low, high in [
        (torch.sigmoid, 1.0, 0, 1e-15),
        (F.relu, 2**0.5, 0.1, 10),
        (F.relu, 3**-0.5, 0, 1e-9),
    ]:  # last: the spread of nn.Linear's own weights
        a = torch.randn(300, 256, dtype=torch.float64)
        kept = []
        for _ in range(30):
            a = f(F.linear(a, torch.randn(256, 256, dtype=torch.float64).mul(gain / 16).requires_grad_(True)))
            a.retain_grad()
            kept.append(a)
        (a * torch.randn_like(a)).sum().backward()
        assert low < kept[0].grad.std() / kept[-1].grad.std() < high


@pitfall("One `nn.PReLU` in several places")
def check_shared_prelu():
    layer = nn.PReLU()
    net = nn.Sequential(nn.Linear(2, 2), layer, nn.Linear(2, 2), layer)
    assert sum(p.numel() for p in net.parameters()) == 13
    apart = nn.Sequential(nn.Linear(2, 2), nn.PReLU(), nn.Linear(2, 2), nn.PReLU())
    for model in (net, apart):
        trained(model, torch.randn(50, 2), lambda out: out.square().mean() + out[:, 0].mean(), 20)
    assert net[1].weight is net[3].weight and apart[1].weight.item() != apart[3].weight.item()
    relu, x = nn.ReLU(), torch.randn(5, 2)
    reused, own = nn.Sequential(net[0], relu, net[2], relu), nn.Sequential(net[0], nn.ReLU(), net[2], nn.ReLU())
    assert torch.equal(reused(x), own(x))


@pitfall("A deeper network is no better than a shallow one")
def check_two_linear_layers_in_a_row():
    x = torch.randn(400, 2)
    y = (x.norm(dim=1) < 1.1).long()
    accuracy = []
    for layers in (
        [nn.Linear(2, 2)],
        [nn.Linear(2, 16), nn.Linear(16, 2)],
        [nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2)],
    ):
        out = trained(nn.Sequential(*layers), x, lambda out: F.cross_entropy(out, y), 200, 0.03)
        accuracy.append((out.argmax(1) == y).float().mean().item())
    shallow, deeper, cured = accuracy
    assert deeper < shallow + 0.05 < 0.75 and cured > 0.93


@pitfall("Predictions are never negative, or all zero")
def check_relu_behind_a_regression():
    x = torch.linspace(-2, 2, 100)[:, None]
    body = lambda bias: [nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 1)]
    error = lambda target: lambda out: (out - target).square().mean()
    clipped = trained(nn.Sequential(*body(0), nn.ReLU()), x, error(x), 200)
    free = trained(nn.Sequential(*body(0)), x, error(x), 200)
    assert clipped.min() == 0 and (clipped - x)[x < -1].abs().min() > 1 and (free - x).abs().max() < 0.3
    for last, cured in ((nn.ReLU(), False), (nn.Identity(), True), (nn.Softplus(), True)):
        net = nn.Sequential(*body(0), last)
        nn.init.constant_(net[2].bias, -3.0)
        out = trained(net, x, error(x.square() + 0.5), 300)
        assert bool((out == 0).all()) is not cured and bool((out - x.square() - 0.5).abs().mean() < 0.4) is cured
    far = torch.tensor(-110.0)
    assert F.softplus(far) == 0 and F.softplus(far) + 1e-6 > 0
    far.requires_grad_()
    assert all(torch.autograd.grad(positive(far), far)[0] == 0 for positive in (F.softplus, torch.exp))
    inputs, target = (torch.as_tensor(a).float() for a in load_diabetes(return_X_y=True))  # targets from 25 to 346
    for positive, dies in ((F.softplus, False), (torch.exp, True)):
        net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.SGD(net.parameters(), 0.001)
        descend(optimizer, lambda: error(target[:, None])(positive(net(20 * inputs))), 200)
        out = positive(net(20 * inputs)).detach()
        assert bool(((out == 0) | out.isnan()).all()) is dies and (dies or (out[:, 0] - target).abs().mean() < 60)
