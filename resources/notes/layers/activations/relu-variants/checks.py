import math

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

PIECEWISE = r"""
\mathrm{LeakyReLU}(x) = \begin{cases} x & x > 0 \\ a x & x \le 0 \end{cases} \qquad
\mathrm{ELU}(x) = \begin{cases} x & x > 0 \\ \alpha (e^x - 1) & x \le 0 \end{cases}
"""
CELU = r"\mathrm{CELU}(x) = \max(0, x) + \min\left(0,\; \alpha \left(e^{x/\alpha} - 1\right)\right)"
SOFTPLUS = r"""
\mathrm{Softplus}(x) = \frac{1}{\beta} \log\left(1 + e^{\beta x}\right), \qquad
\mathrm{Softplus}'(x) = \sigma(\beta x)
"""

by_definition("Formula needs")
sourced("DCGAN, arXiv 1511.06434, section 3 (the discriminator); darknet, yolov3.cfg, activation=leaky", "Leaky ReLU")
sourced("FSRCNN, arXiv 1608.00367, section 3; SRGAN, arXiv 1609.04802, section 2.1.1 (ParametricReLU)", "PReLU")
sourced("Self-Normalizing Neural Networks, arXiv 1706.02515, abstract and section 2", "SELU")
sourced("BERT, arXiv 1810.04805, appendix A.2 (gelu)", "GELU, SiLU")


def inputs():
    return torch.cat(
        [torch.randn(3, 40, dtype=torch.float64).flatten() * 3, torch.tensor([0.0, -30.0, 30.0], dtype=torch.float64)]
    )


def slope(f, x):
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    f(x).backward()
    return x.grad.item()


@formula(PIECEWISE)
def check_piecewise():
    x = inputs()
    xn = x.numpy()
    for a in (0.01, 0.3, 1.7):
        np.testing.assert_allclose(np.where(xn > 0, xn, a * xn), F.leaky_relu(x, a).numpy())
        np.testing.assert_allclose(
            np.where(xn > 0, xn, a * xn), F.prelu(x, torch.tensor([a], dtype=torch.float64)).numpy()
        )
        np.testing.assert_allclose(np.where(xn > 0, xn, a * (np.exp(xn) - 1)), F.elu(x, a).numpy(), atol=1e-14)
    scale = 1.0507009873554805
    np.testing.assert_allclose(scale * F.elu(x, 1.6732632423543772).numpy(), F.selu(x).numpy(), atol=1e-12)
    stated("1.0507", F.selu(torch.tensor(1.0)))
    stated("1.6733", -F.selu(torch.tensor(-50.0)) / F.selu(torch.tensor(1.0)))
    assert torch.equal(nn.LeakyReLU(0.3)(x), F.leaky_relu(x, 0.3)) and torch.equal(nn.ELU(0.3)(x), F.elu(x, 0.3))


@formula(CELU)
def check_celu():
    x = inputs()
    for alpha in (0.5, 1.0, 2.0):
        ours = np.maximum(0, x.numpy()) + np.minimum(0, alpha * (np.exp(x.numpy() / alpha) - 1))
        np.testing.assert_allclose(ours, nn.CELU(alpha)(x).numpy(), atol=1e-14)
        left, right = (slope(lambda v: F.celu(v, alpha), s) for s in (-1e-9, 1e-9))
        assert abs(left - right) < 1e-6
        left, right = (slope(lambda v: F.elu(v, alpha), s) for s in (-1e-9, 1e-9))
        assert abs(left - alpha) < 1e-6 and right == 1
        assert abs(slope(lambda v: F.elu(v, alpha), -0.7) - alpha * math.exp(-0.7)) < 1e-12


@formula(SOFTPLUS)
def check_softplus():
    x = inputs().requires_grad_(True)
    for beta in (0.5, 1.0, 3.0):
        y = F.softplus(x, beta)
        (library,) = torch.autograd.grad(y.sum(), x)
        xn = x.detach().numpy()
        np.testing.assert_allclose(np.logaddexp(0, beta * xn) / beta, y.detach().numpy(), atol=1e-8)
        np.testing.assert_allclose(1 / (1 + np.exp(-beta * xn)), library.numpy(), atol=1e-8)
        assert (y > 0).all()


@check
def check_worked_example():
    functions = [F.leaky_relu, nn.PReLU(dtype=torch.float64), F.elu, F.selu, F.softplus]
    values, slopes = (
        ["−0.0200", "−0.5000", "−0.8647", "−1.5202", "0.1269"],
        ["0.01", "0.25", "0.1353", "0.2379", "0.1192"],
    )
    for f, value, tangent in zip(functions, values, slopes):
        stated(value, f(torch.tensor(-2.0, dtype=torch.float64)).detach())
        stated(tangent, slope(f, -2.0))


@holds("Input → output", "dtype", "Parameters", "Defaults", "Same in train and eval?")
def check_contract():
    assert (
        nn.LeakyReLU().negative_slope == 0.01
        and nn.PReLU().weight.tolist() == [0.25]
        and nn.ELU().alpha == nn.CELU().alpha == 1
    )
    assert (nn.Softplus().beta, nn.Softplus().threshold) == (1.0, 20.0)
    far = torch.tensor([-103.0, -104.0])
    assert (F.softplus(far) > 0).tolist() == [True, False] and F.softplus(far / 5, beta=10).tolist() == [0, 0]
    for layer in (nn.LeakyReLU(), nn.ELU(), nn.SELU(), nn.CELU(), nn.Softplus()):
        assert not list(layer.parameters()) and layer(torch.ones(2, dtype=torch.float16)).dtype == torch.float16
        raises(RuntimeError, lambda: layer(torch.tensor([1])))
        raises(RuntimeError, lambda: layer(torch.ones(1) * 1j))
        raises(RuntimeError, lambda: layer(torch.ones(1).to(torch.float8_e4m3fn)))
        assert all(layer(torch.ones(2, dtype=d)).dtype == d for d in (torch.bfloat16, torch.float32, torch.float64))
    raises(RuntimeError, lambda: nn.PReLU()(torch.ones(2, dtype=torch.float16)), "Type promoting")
    raises(RuntimeError, lambda: nn.PReLU(3)(torch.randn(3, 5)), "channel size = 5")
    raises(RuntimeError, lambda: nn.PReLU()(torch.tensor([1])))
    assert nn.PReLU().weight.numel() == 1 and nn.PReLU(3).weight.numel() == 3
    assert nn.PReLU(3)(torch.randn(2, 3, 5)).shape == (2, 3, 5)
    for layer in (nn.LeakyReLU(), nn.PReLU(), nn.ELU(), nn.SELU(), nn.CELU(), nn.Softplus()):
        for shape in ((), (4,), (2, 3, 5)):
            z = torch.randn(shape)
            assert layer(z).shape == shape and torch.equal(layer.train()(z), layer.eval()(z))
    random = nn.RReLU()
    x = -torch.rand(100)
    assert not torch.equal(random.train()(x), random.eval()(x)) and torch.equal(random.eval()(x), random.eval()(x))


@pitfall("Softplus jumps, or switches to linear too early")
def check_threshold():
    layer = nn.Softplus(beta=10, threshold=4)
    x = torch.tensor([0.4 - 1e-9, 0.4 + 1e-9, 1.9], dtype=torch.float64)
    assert layer(x)[1] == x[1] and layer(x)[0] > layer(x)[1] + 1e-3
    assert (nn.Softplus(beta=10)(x) > x).all() and (nn.Softplus(beta=10)(x)[:2].diff() > 0).all()
    stated("2e−9", nn.Softplus()(torch.tensor(20.0, dtype=torch.float64)) - 20)


@pitfall('"In-place leakyReLu backward calculation is triggered with a negative slope"')
def check_in_place_with_a_negative_slope():
    x = torch.tensor([-1.0, 0.01], requires_grad=True)
    lost = nn.LeakyReLU(-0.01, inplace=True)(x.clone())
    assert lost[0] == lost[1]
    raises(
        RuntimeError,
        lambda: lost.sum().backward(),
        "In-place leakyReLu backward calculation is triggered with a negative slope",
    )
    nn.LeakyReLU(0.01, inplace=True)(x.clone()).sum().backward()
    assert torch.equal(x.grad, torch.tensor([0.01, 1.0]))


@pitfall("SELU does not normalize itself")
def check_selu_needs_its_initialization_and_its_dropout():
    cases = [("linear", nn.Identity(), 0.7, 1.4), ("relu", nn.Identity(), 40, 500), ("selu", nn.Identity(), 0, 0.1)]
    cases += [("linear", nn.Dropout(0.2), 1.8, 9), ("linear", nn.AlphaDropout(0.2), 0.7, 1.4)]
    for nonlinearity, dropout, low, high in cases:
        h = torch.randn(1000, 256)
        for _ in range(30):
            h = dropout(F.selu(F.linear(h, nn.init.kaiming_normal_(torch.empty(256, 256), nonlinearity=nonlinearity))))
        assert low < h.var() < high, h.var()
        assert low != 0.7 or abs(h.mean()) < 0.2
    stated("0.75", nn.init.calculate_gain("selu"))
    stated("−1.7581", F.selu(torch.tensor(-60.0)))
    stated("1.3868", nn.init.calculate_gain("leaky_relu", 0.2))
    stated("−0.28", F.silu(torch.linspace(-3, 0, 3001)).min())


def slope_after_training(**options):
    """The learned slope of a network on digits; the options are for the group of the PReLU only."""
    pixels, classes = handwritten_digits()
    first, activation, last = nn.Linear(64, 64), nn.PReLU(), nn.Linear(64, 10)
    weights = [*first.parameters(), *last.parameters()]
    assert activation.weight.item() == 0.25
    groups = [{"params": weights}, {"params": activation.parameters(), **options}]
    optimizer = torch.optim.SGD(groups, lr=0.1, weight_decay=0.2)
    descend(optimizer, lambda: F.cross_entropy(last(activation(first(pixels))), classes), 150)
    return activation.weight.item()


@pitfall("PReLU drifts towards plain ReLU")
def check_decay_pulls_to_relu():
    assert abs(slope_after_training()) < 0.06 and slope_after_training(weight_decay=0) > 0.25


@holds("ReLU", "Leaky ReLU", "PReLU", "ELU, CELU", "SELU", "Softplus", "GELU, SiLU")
def check_negative_sides():
    x = torch.linspace(-60, 60, 120_001)
    left = x < 0
    assert (F.relu(x)[left] == 0).all() and F.relu(x).min() == 0
    for layer in (nn.LeakyReLU(), nn.PReLU()):
        step = -1e-3 * layer(torch.tensor(-1.0)).detach()
        assert torch.allclose(layer(x).diff()[left[1:]], step, atol=1e-5)
        assert layer(x).min() < -0.5 and layer(x).max() == 60
    assert nn.PReLU().weight.requires_grad and not list(nn.LeakyReLU().parameters())
    for alpha in (0.5, 1.0, 2.0):
        for f in (F.elu, F.celu):
            assert f(x, alpha).min() == -alpha and (f(x[x > -4], alpha) > -alpha).all()
    z = torch.randn(100_000)
    assert -0.1 < F.elu(z).mean() < F.relu(z).mean() - 0.2 and torch.allclose(F.elu(z), F.celu(z), atol=1e-6)
    assert F.elu(z, 4.0).mean() < -0.5  # further from 0 than that of ReLU
    assert -1.7582 < F.selu(x).min() < -1.758
    assert (F.softplus(x) > 0).all() and F.softplus(x)[x < -5].max() < 0.01 and F.softplus(torch.tensor(-110.0)) == 0
    for f in (F.gelu, F.silu):
        assert -0.2785 < f(x).min() < -0.16 and f(x)[(x < 0) & (x > -2)].max() < 0
    with torch.device("meta"):
        models = torchvision.models.convnext_tiny(), torchvision.models.efficientnet_b0()
    for model, kind in zip(models, (nn.GELU, nn.SiLU)):
        kinds = {type(m) for m in model.modules()}
        assert kind in kinds and nn.ReLU not in kinds


@holds("Can a Leaky ReLU unit die?", "Why not make every output positive with `exp`?")
def check_slopes_of_leaky_relu_and_softplus():
    x = torch.linspace(-60, 8, 1001, requires_grad=True)
    tangent = lambda f: torch.autograd.grad(f(x).sum(), x)[0]
    assert tangent(F.leaky_relu).unique().tolist() == [torch.tensor(0.01).item(), 1.0]
    assert torch.equal(tangent(torch.exp), x.detach().exp()) and tangent(torch.exp).max() > 2000
    assert all(tangent(nn.Softplus(beta)).max() <= 1 for beta in (0.5, 1.0, 10.0))


@holds("How should the initialization change for Leaky ReLU?")
def check_gain():
    gain = lambda a: nn.init.calculate_gain("leaky_relu", a)
    assert all(abs(gain(a) - math.sqrt(2 / (1 + a * a))) < 1e-12 for a in (0.01, 0.2, 0.5))
    assert gain(0.2) / nn.init.calculate_gain("relu") > 0.98
    for a in (0.2, 0.5):  # the second moment survives 20 layers
        h = torch.randn(1000, 256)
        for _ in range(20):
            h = F.leaky_relu(h @ nn.init.kaiming_normal_(torch.empty(256, 256), a=a).T, a)
        assert 0.4 < h.square().mean() * 2 / (1 + a * a) < 2.5


@holds("How much closer to zero are ELU's outputs?", "How do you start a Softplus output at 1?")
def check_mean_outputs_and_inverse():
    grid = torch.linspace(-12, 12, 2_400_001, dtype=torch.float64)
    density = torch.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi) * 1e-5
    exact = lambda f: float((f(grid) * density).sum())
    stated("0.3989", exact(F.relu))
    stated("0.1605", exact(F.elu))
    assert abs(exact(F.selu)) < 1e-5 and abs(exact(lambda v: F.selu(v) ** 2) - 1) < 1e-5
    stated("0.5413", math.log(math.e - 1))
    last = nn.Linear(64, 8)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, math.log(math.e - 1))
    start = F.softplus(last(100 * torch.randn(100, 64)))
    assert (start - 1).abs().max() < 1e-6
    assert torch.autograd.grad((start - 2 * torch.rand(100, 8)).square().sum(), last.weight)[0].any()
    assert abs(F.softplus(torch.tensor(math.log(math.e - 1), dtype=torch.float64)).item() - 1) < 1e-12
    assert abs(F.softplus(torch.tensor(0.0, dtype=torch.float64)).item() - math.log(2)) < 1e-12
