import inspect
import math

import numpy as np
import torch
import torchvision
from scipy import special
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

EXACT = r"\mathrm{GELU}(x) = x\,\Phi(x) = \frac{x}{2}\left(1 + \mathrm{erf}\left(\frac{x}{\sqrt{2}}\right)\right)"
SLOPE = r"\mathrm{GELU}'(x) = \Phi(x) + x\,\varphi(x), \qquad \varphi(x) = \frac{1}{\sqrt{2\pi}}\, e^{-x^2/2}"
TANH = r"""
\mathrm{GELU}_{\tanh}(x) = \frac{x}{2}\left(1 + \tanh\left(\sqrt{\frac{2}{\pi}}\,\left(x + 0.044715\,x^3\right)\right)\right)
"""
GRID = torch.linspace(-12, 12, 240_001, dtype=torch.float64)

by_definition("Cost")
sourced("PyTorch 1.12 release notes, nn.GELU approximate", "Defaults")
sourced("transformers, BertConfig hidden_act='gelu'", "GELU, exact")
sourced("openai/gpt-2, src/model.py, gelu", "GELU, tanh")
sourced("openai/CLIP, clip/model.py, QuickGELU", "QuickGELU")


def slope_at(value):
    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(F.gelu(x), x)[0].item()


def inputs():
    yield GRID
    yield torch.tensor([0.0, -0.0, 1e-300, -1e-300, 30.0, -30.0, 1e6, -1e6], dtype=torch.float64)
    for shape in [(), (1,), (5, 3), (2, 3, 4, 5)]:
        yield torch.randn(shape, dtype=torch.float64) * 3


@formula(EXACT)
def check_exact_form():
    for x in inputs():
        library = nn.GELU()(x).numpy()
        np.testing.assert_allclose(x.numpy() * special.ndtr(x.numpy()), library, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(
            x.numpy() / 2 * (1 + special.erf(x.numpy() / math.sqrt(2))), library, rtol=1e-9, atol=1e-14
        )


@formula(SLOPE)
def check_slope():
    for values in inputs():
        x = values.clone().requires_grad_()
        (library,) = torch.autograd.grad(F.gelu(x).sum(), x)
        x = values.numpy()
        density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        np.testing.assert_allclose(special.ndtr(x) + x * density, library.numpy(), atol=1e-12)


@formula(TANH)
def check_tanh_form():
    for x in inputs():
        values = x.numpy()
        ours = values / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (values + 0.044715 * values**3)))
        np.testing.assert_allclose(ours, nn.GELU(approximate="tanh")(x).numpy(), rtol=1e-9, atol=1e-13)


@holds("Input → output", "Parameters", "Defaults", "Same in train and eval?", "Cost")
def check_facts():
    layer = nn.GELU()
    assert layer.approximate == "none" and list(layer.parameters()) == []
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for shape in ((), (3,), (2, 0), (2, 3, 4)):
            x = torch.zeros(shape, dtype=dtype)
            assert F.gelu(x).dtype == dtype and F.gelu(x).shape == shape
    raises(RuntimeError, lambda: F.gelu(torch.ones(2).to(torch.float8_e4m3fn)))
    for dtype in (torch.int32, torch.int64, torch.bool):
        try:
            F.gelu(torch.ones(2, dtype=dtype))
        except RuntimeError:
            continue
        raise AssertionError(f"expected an error for {dtype}")
    x = torch.randn(4, requires_grad=True)
    assert torch.equal(F.gelu(x).grad_fn._saved_self, x)
    assert torch.equal(layer.train()(x), layer.eval()(x))


@check
def check_shape_of_the_curve():
    y = F.gelu(GRID)
    stated("−0.17", y.min())
    stated("−0.75", GRID[y.argmin()])
    x = GRID.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.gelu(x).sum(), x)
    stated("−0.1289", slope.min())
    stated("1.1289", slope.max())
    assert (
        abs(float(GRID[slope.argmin()]) + math.sqrt(2)) < 1e-3
        and abs(float(GRID[slope.argmax()]) - math.sqrt(2)) < 1e-3
    )
    stated("0.5", slope_at(0.0))
    stated("84%", special.ndtr(1))
    stated("2%", special.ndtr(-2))


@check
def check_worked_example():
    stated("68.27%", special.ndtr(1) - special.ndtr(-1))
    one = torch.tensor([1.0, -1.0], dtype=torch.float64)
    stated("0.8413", F.gelu(one)[0])
    stated("−0.1587", F.gelu(one)[1])
    inner = math.sqrt(2 / math.pi) * 1.044715
    stated("0.7979", math.sqrt(2 / math.pi))
    stated("0.8336", inner)
    stated("0.6824", math.tanh(inner))
    stated("0.8412", F.gelu(one, approximate="tanh")[0])
    assert torch.allclose(F.gelu(GRID) - F.gelu(-GRID), GRID)


@holds("GELU, exact", "GELU, tanh", "QuickGELU", "SiLU", "ReLU")
def check_distances():
    exact = F.gelu(GRID)
    stated("0.000473", (F.gelu(GRID, approximate="tanh") - exact).abs().max())
    stated("0.0203", (GRID * torch.sigmoid(1.702 * GRID) - exact).abs().max())
    stated("0.193", (F.silu(GRID) - exact).abs().max())
    stated("0.170", (F.relu(GRID) - exact).abs().max())


@holds("What does GELU have that ReLU has not?", "Can a GELU unit die?")
def check_slopes_of_the_questions():
    x = torch.randn(100_000)
    assert (F.gelu(x) == 0).sum() == 0 and ((F.relu(x) == 0) == (x <= 0)).all()
    low, high = slope_at(-1e-6), slope_at(1e-6)  # no jump at 0, where ReLU has one
    assert abs(high - low) < 1e-5
    stated("−0.0833", slope_at(-1.0))
    stated("−0.0119", slope_at(-3.0))
    stated("−3.5e−8", slope_at(-6.0))


@pitfall("A hand-written tanh form gives NaN gradients in float16")
def check_hand_written_form_in_float16():
    def by_hand(x):
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    library = lambda x: F.gelu(x, approximate="tanh")
    for function, value, finite in (
        (by_hand, 147.75, True),
        (by_hand, 147.875, False),
        (by_hand, 148, False),
        (by_hand, -148, False),
        (by_hand, 256, False),
        (library, 148, True),
        (library, 256, True),
    ):
        x = torch.tensor(float(value), dtype=torch.float16, requires_grad=True)
        y = function(x)
        y.backward()
        assert y.item() == max(value, 0) and math.isfinite(x.grad.item()) is finite
    x = torch.tensor(256.0, requires_grad=True)
    by_hand(x).backward()
    assert x.grad.item() == 1
    half = torch.tensor(256.0, dtype=torch.float16, requires_grad=True)
    by_hand(half.float()).half().backward()
    assert half.grad.item() == 1
    stated("65,504", torch.finfo(torch.float16).max)
    stated("65,712", 3 * 148**2)


def accuracy_on_digits(depth, initialize=None, norm=None):
    """After 120 steps of SGD; without `initialize` the layers keep the library's default."""
    pixels, classes = handwritten_digits()
    net = nn.Sequential()
    for i in range(depth):
        net.extend([nn.Linear(64, 64), norm(64) if norm else nn.Identity(), nn.GELU()])
        if initialize:
            initialize(net[3 * i].weight)
            nn.init.zeros_(net[3 * i].bias)
    net.append(nn.Linear(64, 10))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(120):
        batch = torch.randperm(len(pixels))[:128]
        optimizer.zero_grad()
        F.cross_entropy(net(4 * pixels[batch]), classes[batch]).backward()
        optimizer.step()
    return (net(4 * pixels).argmax(1) == classes).float().mean().item()


@pitfall("Replacing ReLU raises errors")
def check_errors_when_replacing_relu():
    for work, kind, text in [
        (lambda: nn.GELU(inplace=True), TypeError, "inplace"),
        (lambda: nn.GELU(approximate=True)(torch.ones(1)), TypeError, "must be str, not bool"),
        (
            lambda: nn.init.kaiming_normal_(torch.empty(3, 3), nonlinearity="gelu"),
            ValueError,
            "Unsupported nonlinearity gelu",
        ),
    ]:
        try:
            work()
        except kind as error:
            assert text in str(error), error
            continue
        raise AssertionError("expected an error")
    raises(TypeError, lambda: nn.GELU(approximate=False)(torch.ones(1)), "must be str, not bool")
    assert nn.GELU(approximate="tanh")(torch.ones(1)) > 0.8
    assert nn.GELU(approximate="none")(torch.ones(1)) == nn.GELU()(torch.ones(1))
    wide = nn.init.kaiming_normal_(torch.empty(400, 400), nonlinearity="relu")
    assert abs(wide.std().item() * 20 - math.sqrt(2)) < 0.02
    relu_gain = lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")
    assert accuracy_on_digits(5, relu_gain) > 0.7 and accuracy_on_digits(5) < 0.4
    assert accuracy_on_digits(1) > 0.9 and accuracy_on_digits(5, norm=nn.LayerNorm) > 0.9


@holds("Is GELU random, like dropout?")
def check_mean_of_a_random_gate():
    x = torch.tensor([-1.5, 0.4, 2.0], dtype=torch.float64)
    kept = x * (torch.randn(400_000, 3) < x)
    assert (kept.mean(0) - F.gelu(x)).abs().max() < 0.01 and kept.std(0).min() > 0.1
    assert torch.equal(nn.GELU()(x), nn.GELU()(x))


@holds("GELU, exact", "SiLU", "ReLU")
def check_where_it_is_used():
    assert inspect.signature(nn.TransformerEncoderLayer).parameters["activation"].default is F.relu
    assert nn.TransformerEncoderLayer(8, 2, activation="gelu").activation is F.gelu
    with torch.device("meta"):
        zoo = torchvision.models
        vit, efficient, residual = zoo.vit_b_16(), zoo.efficientnet_b0(), zoo.resnet18()
    for net, kind in ((efficient, nn.SiLU), (residual, nn.ReLU)):
        assert any(isinstance(m, kind) for m in net.modules())
    gelus = [m for m in vit.modules() if isinstance(m, nn.GELU)]
    assert gelus and all(m.approximate == "none" for m in gelus)


@holds("How are GELU, QuickGELU and SiLU related?", "Is the ReLU gain right for GELU?")
def check_gates_and_gain():
    for gate in (torch.special.ndtr, lambda x: torch.sigmoid(1.702 * x), torch.sigmoid):
        assert (gate(GRID).diff() >= 0).all() and gate(GRID)[0] < 1e-5 and gate(GRID)[-1] > 1 - 1e-5
    assert torch.allclose(GRID * torch.sigmoid(GRID), F.silu(GRID))
    stated("0.0095", (torch.sigmoid(1.702 * GRID) - torch.special.ndtr(GRID)).abs().max())
    density = torch.exp(-(GRID**2) / 2) / math.sqrt(2 * math.pi)
    second_moment = torch.trapezoid(F.gelu(GRID) ** 2 * density, GRID)
    stated("0.4252", second_moment)
    stated("0.5", torch.trapezoid(F.relu(GRID) ** 2 * density, GRID))
    stated("1.5335", 1 / math.sqrt(second_moment))
    stated("1.4142", nn.init.calculate_gain("relu"))
    for gain, low, high in ((math.sqrt(2), 0, 0.2), (1.5335, 0.5, 1e4)):
        spreads = []
        for _ in range(5):
            h = torch.randn(100, 256)
            for _ in range(50):
                h = F.gelu(h @ (torch.randn(256, 256) * gain / 16))
            spreads.append(h.std(0).mean())
        assert low < sorted(spreads)[2] < high


@holds("Can a GELU unit die?")
def check_slope_is_zero_at_one_point_only():
    x = torch.linspace(-9, 9, 180_001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(F.gelu(x).sum(), x)
    assert int((slope[1:].sign() != slope[:-1].sign()).sum()) == 1
    far = torch.tensor([-20.0], requires_grad=True)
    assert torch.autograd.grad(F.gelu(far).sum(), far)[0] == 0
    far = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(F.gelu(far).sum(), far)[0] < 0


def network(activation, weights):
    def forward(x):
        for weight in weights[:-1]:
            x = activation(x @ weight)
        return x @ weights[-1]

    return forward


@pitfall("Ported weights give slightly different outputs", "CLIP features are clearly off")
def check_wrong_form_for_given_weights():
    """Random weights stand in for those of GPT-2 and CLIP: the form they were made with, and the forms put in its place."""
    torch.manual_seed(0)
    weights = [torch.randn(64, 64, dtype=torch.float64) * 1.5 / 8 for _ in range(7)]
    x = torch.randn(100, 64, dtype=torch.float64)
    tanh, quick = lambda v: F.gelu(v, approximate="tanh"), lambda v: v * torch.sigmoid(1.702 * v)
    off = {}
    for name, made_with in (("tanh", tanh), ("quick", quick)):
        first, last = [network(made_with, w)(x) for w in (weights[:2], weights)]
        assert torch.equal(network(made_with, weights)(x), last)
        relative = lambda ours, other: float((ours - other).norm() / ours.norm())
        off[name] = relative(first, network(nn.GELU(), weights[:2])(x)), relative(last, network(nn.GELU(), weights)(x))
    assert 0 < off["tanh"][0] < 0.001 and 0 < off["tanh"][1] < 0.005
    assert off["quick"][1] > 0.01 and off["quick"][1] > 10 * off["tanh"][1]
    assert torch.equal(nn.GELU(approximate="tanh")(x), tanh(x))
