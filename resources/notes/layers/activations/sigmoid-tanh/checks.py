import numpy as np
import scipy.special
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, quietly, raises, sourced, stated
from trainings import descend, handwritten_digits

VALUES = r"""
\sigma(x) = \frac{1}{1 + e^{-x}}, \qquad
\tanh(x) = \frac{e^{x} - e^{-x}}{e^{x} + e^{-x}} = 2\,\sigma(2x) - 1
"""
SLOPES = r"\sigma'(x) = \sigma(x)\,(1 - \sigma(x)), \qquad \tanh'(x) = 1 - \tanh^2(x)"
LOGARITHM = r"\log \sigma(x) = \min(0, x) - \log\left(1 + e^{-|x|}\right)"

sourced("DCGAN, arXiv 1511.06434, section 3 (Tanh at the output of the generator, images scaled to [-1, 1])", "tanh")

sigma = lambda x: 1 / (1 + np.exp(-x))


@formula(VALUES)
def check_values():
    for shape in [(), (7,), (3, 4, 5)]:
        x = torch.randn(shape, dtype=torch.float64) * 5
        xn = x.numpy()
        np.testing.assert_allclose(sigma(xn), torch.sigmoid(x).numpy(), rtol=1e-12)
        np.testing.assert_allclose(sigma(xn), scipy.special.expit(xn), rtol=1e-12)
        for ours in ((np.exp(xn) - np.exp(-xn)) / (np.exp(xn) + np.exp(-xn)), 2 * sigma(2 * xn) - 1):
            np.testing.assert_allclose(ours, torch.tanh(x).numpy(), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(ours, np.tanh(xn), rtol=1e-9, atol=1e-12)
        assert torch.equal(nn.Sigmoid()(x), torch.sigmoid(x)) and torch.equal(nn.Tanh()(x), torch.tanh(x))
        np.testing.assert_allclose(torch.sigmoid(-x), 1 - torch.sigmoid(x), atol=1e-12)
        np.testing.assert_allclose(torch.tanh(-x), -torch.tanh(x), atol=1e-15)


@formula(SLOPES)
@holds("Why is the largest slope of sigmoid 1/4?")
def check_slopes():
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64, requires_grad=True)
    for f, slope, top in [(torch.sigmoid, lambda s: s * (1 - s), 0.25), (torch.tanh, lambda t: 1 - t**2, 1.0)]:
        y = f(x)
        (library,) = torch.autograd.grad(y.sum(), x)
        np.testing.assert_allclose(slope(y.detach().numpy()), library.numpy(), atol=1e-12)
        assert abs(library.max().item() - top) < 1e-12 and library.argmax() == 800 and library.min() > 0


@formula(LOGARITHM)
def check_logarithm():
    x = torch.tensor([-1e4, -300.0, -20.0, -1.0, 0.0, 2.0, 50.0, 800.0], dtype=torch.float64)
    ours = np.minimum(0, x.numpy()) - np.log(1 + np.exp(-np.abs(x.numpy())))
    np.testing.assert_allclose(ours, F.logsigmoid(x).numpy(), rtol=1e-12, atol=1e-15)
    assert F.logsigmoid(torch.tensor(-300.0)) == -300 and torch.equal(nn.LogSigmoid()(x), F.logsigmoid(x))


@check
def check_worked_example():
    x = torch.tensor([2.0, 1.0], dtype=torch.float64, requires_grad=True)
    s, t = torch.sigmoid(x)[0], torch.tanh(x)[1]
    stated("0.8808", s.detach())
    stated("0.7616", t.detach())
    slope_s, slope_t = torch.autograd.grad(s, x)[0][0], torch.autograd.grad(t, x)[0][1]
    stated("0.1050", slope_s)
    stated("0.4200", slope_t)
    assert abs(slope_t.item() - 4 * slope_s.item()) < 1e-12
    stated("9.54e−7", 0.25**10)
    y = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    z = y
    for _ in range(10):
        z = torch.sigmoid(z)
    assert 0 < torch.autograd.grad(z, y)[0].item() <= 0.25**10
    stated("0.7311", torch.sigmoid(torch.tensor(1.0)))


@holds("Input → output", "dtype", "Parameters", "Defaults", "Same in train and eval?", "Saved for the backward pass")
def check_contract():
    for f in (torch.sigmoid, torch.tanh):
        assert f(torch.tensor([1, 2])).dtype == f(torch.tensor([True])).dtype == torch.float32
        assert f(torch.ones(2, dtype=torch.float16)).dtype == torch.float16 and f(torch.ones(2) * 1j).is_complex()
    for wrong in (torch.tensor([1]), torch.ones(1) * 1j):
        raises(RuntimeError, lambda: F.logsigmoid(wrong))
    for layer in (nn.Sigmoid, nn.Tanh):
        raises(TypeError, lambda: layer(inplace=True))
        raises(TypeError, lambda: layer(1))
        z, module = torch.randn(2, 3, 4), layer()
        assert not list(module.parameters()) and torch.equal(module.train()(z), module.eval()(z))
        assert torch.equal(module(z)[1, 2], module(z[1, 2])) and module(z[0, 0, 0]).shape == ()
    assert torch.sigmoid_(torch.zeros(1)).item() == 0.5 and torch.tanh_(torch.zeros(1)).item() == 0
    for f in (torch.sigmoid, torch.tanh):
        x = torch.randn(3, requires_grad=True)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
            y = f(x)
        assert len(kept) == 1 and torch.equal(kept[0], y)


@holds("Range")
@pitfall("`1 - torch.sigmoid(x)` is exactly zero")
def check_rounding():
    assert torch.sigmoid(torch.tensor([-120.0, 20.0])).tolist() == [0, 1]
    assert (torch.sigmoid(torch.linspace(17, 90, 500)) == 1).all() and (
        torch.sigmoid(torch.linspace(-90, 16, 500)) < 1
    ).all()
    stated("6e−8", 1 - np.nextafter(np.float32(1), np.float32(0)))
    assert 1 - torch.sigmoid(torch.tensor(20.0)) == 0 and torch.sigmoid(torch.tensor(-20.0)) > 2e-9
    assert (torch.sigmoid(-torch.linspace(17, 87, 500)) > 0).all() and torch.sigmoid(torch.tensor(-89.0)) == 0
    assert F.logsigmoid(-torch.tensor([20.0, 89.0, 1000.0])).tolist() == [-20, -89, -1000]
    assert torch.tanh(torch.tensor([-20.0, 20.0])).tolist() == [-1, 1]


@pitfall("`torch.log(torch.sigmoid(x))` is −inf")
def check_logarithm_of_a_rounded_zero():
    x = torch.tensor([-100.0])
    assert (-x).exp().isinf() and np.float32(1 / (1 + np.exp(100.0))) > 0
    assert torch.sigmoid(x) == 0 and torch.log(torch.sigmoid(x)) == -torch.inf
    assert F.logsigmoid(x) == -100 and F.binary_cross_entropy_with_logits(x, torch.ones(1)) == 100
    assert F.binary_cross_entropy_with_logits(x, torch.ones(1, dtype=torch.float64)) == 100
    raises(RuntimeError, lambda: F.binary_cross_entropy_with_logits(x, torch.ones(1, dtype=torch.long)))
    raises(RuntimeError, lambda: F.binary_cross_entropy_with_logits(x, torch.ones(1, dtype=torch.bool)))
    raises(ValueError, lambda: F.binary_cross_entropy_with_logits(x, torch.ones(1, 1)))


@pitfall('"overflow encountered in exp"')
def check_overflow():
    low, high = np.float32(-100), np.float32(100)
    for work in (lambda: 1 / (1 + np.exp(-low)), lambda: np.exp(high) / (1 + np.exp(high))):
        with np.errstate(over="raise"):
            raises(FloatingPointError, work, "overflow encountered in exp")
    assert 0 < np.exp(-100.0) < 1e-43  # the true value
    with np.errstate(over="raise"):
        assert 0 < 1 / (1 + np.exp(np.float64(100))) < 1e-43 and 1 / (1 + np.exp(np.float64(709))) > 0
        raises(FloatingPointError, lambda: 1 / (1 + np.exp(np.float64(710))), "overflow encountered in exp")
    assert quietly(lambda: 1 / (1 + np.exp(-low))) == 0 and np.isnan(quietly(lambda: np.exp(high) / (1 + np.exp(high))))
    with np.errstate(all="raise"):
        assert scipy.special.expit(low) == scipy.special.expit(10 * low) == 0 and scipy.special.expit(high) == 1


def trained_deep(activation, initialize):
    """Accuracy of ten hidden layers on digits, and the gradient of the first of them."""
    pixels, classes = handwritten_digits()
    network = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), activation()) for _ in range(10)), nn.Linear(64, 10))
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            initialize(layer.weight)
            nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for _ in range(150):
        batch = torch.randperm(len(pixels))[:128]
        optimizer.zero_grad()
        F.cross_entropy(network(pixels[batch]), classes[batch]).backward()
        optimizer.step()
    return (network(pixels).argmax(1) == classes).float().mean(), network[0][0].weight.grad.norm()


@pitfall("A deep sigmoid network does not train")
def check_deep_networks():
    accuracy, gradient = trained_deep(nn.Sigmoid, nn.init.xavier_uniform_)
    assert accuracy < 0.2 and gradient < 1e-5
    for activation, initialize in (
        (nn.ReLU, lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
        (nn.Tanh, lambda w: nn.init.xavier_uniform_(w, gain=5 / 3)),
    ):
        accuracy, gradient = trained_deep(activation, initialize)
        assert accuracy > 0.8 and gradient > 1e-3, (accuracy, gradient)


@pitfall("Probabilities crowd between 0.5 and 0.73")
def check_sigmoid_twice():
    logits = torch.randn(1000) * 5
    twice, once = torch.sigmoid(torch.sigmoid(logits)), torch.sigmoid(logits)
    assert 0.5 <= twice.min() < 0.51 and 0.73 < twice.max() < 0.7311 and once.min() < 0.01 and once.max() > 0.99
    perfect = F.binary_cross_entropy_with_logits(torch.sigmoid(torch.tensor([-50.0])), torch.zeros(1))
    stated("0.3133", F.binary_cross_entropy_with_logits(torch.ones(1), torch.ones(1)))
    x = torch.randn(200, 4)
    y, net = (x.sum(1, keepdim=True) > 0).float(), nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        in_the_loss = F.binary_cross_entropy_with_logits(net(x), y)
        in_the_loss.backward()
        optimizer.step()
    assert in_the_loss > 0.3133 and net(x).min() < 0.1 and net(x).max() > 0.9
    logit = nn.Linear(4, 1)
    descend(torch.optim.Adam(logit.parameters(), 0.1), lambda: nn.BCEWithLogitsLoss()(logit(x), y), 200)
    assert torch.sigmoid(logit(x)).min() < 0.1 and torch.sigmoid(logit(x)).max() > 0.9
    assert nn.BCEWithLogitsLoss()(logit(x), y) < 0.3
    raises(RuntimeError, lambda: nn.BCELoss()(logit(x), y))  # it takes no logits
    assert perfect > 0.69 and F.binary_cross_entropy_with_logits(torch.tensor([-50.0]), torch.zeros(1)) < 1e-9


@holds("sigmoid", "tanh", "softmax", "ReLU", "SiLU")
def check_table():
    x = torch.linspace(-10, 10, 20001, dtype=torch.float64, requires_grad=True)
    for f, low, high, top in (
        (torch.sigmoid, 0, 1, 0.25),
        (torch.tanh, -1, 1, 1),
        (F.relu, -1e-9, 11, 1),
        (F.silu, -0.2785, 11, 1.0998),
    ):
        y = f(x)
        assert low < y.min() < low + 1e-3 and y.max() < high
        assert abs(torch.autograd.grad(y.sum(), x)[0].max() - top) < 1e-4
    assert torch.allclose(F.silu(x), x * torch.sigmoid(x)) and nn.RNN(2, 2).nonlinearity == "tanh"
    z = torch.randn(9, 4, dtype=torch.float64)
    assert torch.allclose(torch.softmax(z, -1).sum(-1), torch.ones(9, dtype=torch.float64))
    assert not hasattr(np, "sigmoid") and not hasattr(np, "expit")


@holds("Sigmoid or softmax for two classes?", 'Why is "zero-centred" an advantage?')
def check_other_claims():
    assert abs(nn.init.calculate_gain("tanh") - 5 / 3) < 1e-12
    a, b = torch.randn(2, 100, dtype=torch.float64)
    assert torch.allclose(torch.softmax(torch.stack([a, b]), 0)[0], torch.sigmoid(a - b))
    x = torch.linspace(-10, 10, 20001, dtype=torch.float64, requires_grad=True)
    y = F.silu(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    stated("1.10", slope.max())
    stated("−0.28", y.detach().min())
    weight = torch.randn(4, 3, requires_grad=True)
    (weight @ torch.sigmoid(torch.randn(3))).sin().sum().backward()
    assert ((weight.grad > 0).all(1) | (weight.grad < 0).all(1)).all()
    weight.grad = None
    (weight @ torch.tensor([1.0, -2.0, 3.0])).sin().sum().backward()
    assert ((weight.grad > 0).any(1) & (weight.grad < 0).any(1)).all()


@holds("What are the inverses?")
def check_inverses():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    assert torch.allclose(torch.logit(torch.sigmoid(x)), x) and torch.allclose(torch.atanh(torch.tanh(x)), x)
    assert (
        torch.logit(torch.tensor([0.0, 1.0])).tolist() == [-torch.inf, torch.inf]
        and torch.atanh(torch.tensor(1.0)) == torch.inf
    )
    assert torch.logit(torch.tensor([0.0, 1.0]), eps=1e-6).isfinite().all()
    assert torch.logit(torch.ones(1, dtype=torch.float16), eps=1e-6).isinf().all()


@holds("Why do LSTMs use both?")
def check_cell_state_has_no_bound():
    cell = nn.LSTMCell(3, 5)
    x, h, c = 9 * torch.randn(50, 3), torch.rand(50, 5), 9 * torch.randn(50, 5)
    i, f, g, o = (x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh).chunk(4, 1)
    written = torch.sigmoid(i) * torch.tanh(g)
    new_h, new_c = cell(x, (h, c))
    assert torch.allclose(new_c, torch.sigmoid(f) * c + written, atol=1e-5)
    assert torch.allclose(new_h, torch.sigmoid(o) * torch.tanh(new_c), atol=1e-5)
    assert -1 <= written.min() < 0 < written.max() <= 1 and -1 <= new_h.min() < 0 < new_h.max() <= 1
    cell = nn.LSTMCell(1, 1)
    for p in cell.parameters():
        nn.init.constant_(p, 10.0)
    h = c = torch.zeros(1, 1)
    for _ in range(20):
        h, c = cell(torch.ones(1, 1), (h, c))
    assert c.item() > 19 and h.item() <= 1
