import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated
from trainings import handwritten_digits

CHAIN = r"""
\frac{\partial L}{\partial h_0} = J_1^\top J_2^\top \cdots J_D^\top \frac{\partial L}{\partial h_D}, \qquad
J_k = \frac{\partial h_k}{\partial h_{k-1}} = \mathrm{diag}(f'(z_k))\, W_k
"""
BOUND = r"""
\left\lVert \frac{\partial L}{\partial h_0} \right\rVert_2 \le
\left( \prod_{k=1}^{D} \lVert W_k \rVert_2 \, \sup |f'| \right) \left\lVert \frac{\partial L}{\partial h_D} \right\rVert_2
"""
CLIPPING = r"""
g_i \leftarrow \min(\max(g_i, -c), c), \qquad g \leftarrow g \cdot \min\left(1, \frac{c}{\lVert g \rVert_2 + 10^{-6}}\right)
"""
by_definition("Where", "Remedies")
SLOPES = {
    torch.sigmoid: (lambda z: 1 / (1 + np.exp(-z)) * (1 - 1 / (1 + np.exp(-z))), 0.25),
    torch.tanh: (lambda z: 1 - np.tanh(z) ** 2, 1.0),
    torch.relu: (lambda z: (z > 0).astype(float), 1.0),
}


@formula(CHAIN, BOUND)
def check_product_of_jacobians():
    for function, (slope, largest) in SLOPES.items():
        for widths in [(3, 5), (4, 6, 2, 5), (5,) * 9]:
            layers = [nn.Linear(a, b, dtype=torch.float64) for a, b in zip(widths, widths[1:])]
            h = start = torch.randn(widths[0], dtype=torch.float64, requires_grad=True)
            jacobians, bound = [], 1.0
            for layer in layers:
                z = layer(h)
                weight = layer.weight.detach().numpy()
                jacobians.append(np.diag(slope(z.detach().numpy())) @ weight)
                bound *= np.linalg.norm(weight, 2) * largest
                h = function(z)
            loss = (h**3).sum() + h.sum()
            last, first = torch.autograd.grad(loss, [h, start])
            ours = last.numpy()
            for jacobian in reversed(jacobians):
                ours = jacobian.T @ ours
            np.testing.assert_allclose(ours, first.numpy(), atol=1e-12)
            assert np.linalg.norm(first.numpy()) <= bound * np.linalg.norm(last.numpy()) * (1 + 1e-12)
    for function, (_, largest) in SLOPES.items():
        # A chain of single units held at their steepest point reaches the bound exactly: no factor of it can be dropped.
        start = h = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        bound = 1.0
        for weight in (1.5, -0.4, 2.0):
            steepest = 1.0 if function is torch.relu else 0.0
            h = function(weight * h + (steepest - weight * h.item()))
            bound *= abs(weight) * largest
        (gradient,) = torch.autograd.grad(h, start)
        assert math.isclose(abs(gradient.item()), bound, rel_tol=1e-12)
    z = np.linspace(-8, 8, 16_001)
    for slope, largest in SLOPES.values():
        assert math.isclose(slope(z).max(), largest, abs_tol=1e-6)
    stated("0.25", SLOPES[torch.sigmoid][0](z).max())


def parameters_with(*gradients):
    parameters = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros(len(gradient), dtype=torch.float64))
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        parameters.append(parameter)
    return parameters


@formula(CLIPPING)
@holds("`clip_grad_value_(parameters, clip_value)`", "`clip_grad_norm_`", "`clip_grad_value_`")
@holds("Does clipping cure vanishing gradients?")
def check_clipping():
    for c in (0.1, 1.0, 100.0):
        for _ in range(20):
            gradients = [np.random.randn(3).tolist(), (np.random.randn(5) * 4).tolist()]
            flat = np.concatenate(gradients)
            parameters = parameters_with(*gradients)
            assert clip_grad_value_(parameters, c) is None
            np.testing.assert_allclose(
                np.minimum(np.maximum(flat, -c), c), torch.cat([p.grad for p in parameters]).numpy()
            )
            parameters = parameters_with(*gradients)
            returned = clip_grad_norm_(parameters, c)
            ours = flat * min(1, c / (np.linalg.norm(flat) + 1e-6))
            np.testing.assert_allclose(ours, torch.cat([p.grad for p in parameters]).numpy(), rtol=1e-9)
            assert math.isclose(returned.item(), np.linalg.norm(flat))
            assert np.linalg.norm(ours) <= np.linalg.norm(flat)


@check
def check_worked_example():
    stated("9.5e−7", 0.25**10)
    stated("6.4e8", 1.5**50)
    (p,) = parameters_with([3.0, 4.0])
    clip_grad_norm_([p], 1.0)
    stated("0.6", p.grad[0])
    stated("0.8", p.grad[1])
    (p,) = parameters_with([3.0, 4.0])
    clip_grad_value_([p], 1.0)
    assert p.grad.tolist() == [1, 1]


def gradient_norms(activation, std=None, depth=20, width=256, norm=None, residual=False):
    h = torch.randn(256, width, requires_grad=True)
    seen = [h]
    for _ in range(depth):
        layer = nn.Linear(width, width)
        if std is not None:
            nn.init.normal_(layer.weight, std=std)
        new = activation(norm(width)(layer(h)) if norm else layer(h))
        h = h + new if residual else new
        seen.append(h)
    return [g.norm().item() for g in torch.autograd.grad(h, seen, torch.randn_like(h))]


def factor(norms):
    return (norms[0] / norms[-1]) ** (1 / (len(norms) - 1))


@holds("Signs of vanishing", "Measure")
def check_measured_by_retain_grad():
    """Twenty sigmoid layers on digits: gradients fade towards the input, and the loss stays at chance."""
    layers = [part for _ in range(20) for part in (nn.Linear(64, 64), nn.Sigmoid())]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    h, seen = PIXELS[:200], []
    for part in model:
        h = part(h)
        if isinstance(part, nn.Sigmoid):
            h.retain_grad()
            seen.append(h)
    F.cross_entropy(h, CLASSES[:200]).backward()
    norms = [h.grad.norm().item() for h in seen]
    assert norms[0] < 1e-10 * norms[-1]
    assert last_loss(model, torch.optim.SGD(model.parameters(), 0.1), 40) > 2.2


@check
def check_first_of_five_sigmoid_layers():
    """SGD hardly moves it, Adam does."""
    for kind, rate, moves in ((torch.optim.SGD, 0.1, False), (torch.optim.Adam, 3e-3, True)):
        model = nn.Sequential(
            *(part for _ in range(5) for part in (nn.Linear(64, 64), nn.Sigmoid())), nn.Linear(64, 10)
        )
        start = model[0].weight.detach().clone()
        last_loss(model, kind(model.parameters(), rate), 60)
        moved = float((model[0].weight.detach() - start).norm())
        assert moved > 1 if moves else moved < 0.01


@holds("Signs of exploding")
def check_explosion():
    model = nn.Sequential(*(part for _ in range(20) for part in (nn.Linear(64, 64), nn.ReLU())), nn.Linear(64, 10))
    for layer in model[:-1:2]:
        nn.init.normal_(layer.weight, std=0.5)
    loss = F.cross_entropy(model(PIXELS[:200]), CLASSES[:200])
    loss.backward()
    assert loss > 1000 and max(p.grad.norm() for p in model.parameters()) > 1000
    assert not math.isfinite(last_loss(model, torch.optim.SGD(model.parameters(), 0.1), 20))


@holds("BatchNorm, LayerNorm", "ReLU for sigmoid", "Residual connections")
def check_what_helps_against_what():
    large, kaiming = (16 / 256) ** 0.5, (2 / 256) ** 0.5
    ratio = lambda *options, **named: (lambda norms: norms[0] / norms[-1])(gradient_norms(*options, **named))
    assert ratio(torch.relu) < 1e-6 and ratio(torch.relu, large) > 1e7
    for norm in (nn.BatchNorm1d, nn.LayerNorm):
        for std in (None, large):
            assert 0.05 < ratio(torch.relu, std, norm=norm) < 1000
    assert ratio(torch.sigmoid, kaiming) < 1e-8 and ratio(torch.relu, kaiming) > 0.1
    layer, x = nn.Linear(4, 3), torch.rand(50, 4)
    layer.bias.data.fill_(-10.0)  # a dead unit: 0 for all inputs, and no gradient
    torch.relu(layer(x)).sum().backward()
    assert torch.relu(layer(x)).max() == 0 and layer.weight.grad.abs().max() == 0
    assert ratio(torch.relu, residual=True) > 1 > 1e-6 > ratio(torch.relu)
    assert ratio(torch.relu, large, residual=True) > 1e7
    h = torch.randn(256, 256)
    sizes = [h.std().item()]
    with torch.no_grad():
        for _ in range(20):
            h = h + torch.relu(nn.init.normal_(torch.empty(256, 256), std=kaiming) @ h)
            sizes.append(h.std().item())
    assert sizes[-1] > 100 * sizes[0]


@holds("LSTM, GRU", "Does an LSTM remove the problem?")
def check_gates_over_time():
    """Gradient of the last state for the first input, over that for the last: 100 steps."""

    def ratio(kind, gate=None, scale=1.0):
        cell = kind(8, 16)
        with torch.no_grad():
            if gate is not None:
                rows = slice(16, 32)  # LSTM: forget gate; GRU: update gate
                cell.bias_hh_l0[rows] = gate
            cell.weight_hh_l0 *= scale
        x = torch.randn(100, 4, 8, requires_grad=True)
        (gradient,) = torch.autograd.grad(cell(x)[0][-1].sum(), x)
        return (gradient[0].norm() / gradient[-1].norm()).item()

    for _ in range(3):
        assert max(ratio(nn.RNN), ratio(nn.LSTM), ratio(nn.GRU)) < 1e-8  # at default weights all three fade
        assert ratio(nn.LSTM, 6.0) > 1e-3 and ratio(nn.GRU, 6.0) > 1e-3
        assert ratio(nn.LSTM, 0.0) < 1e-8  # gates half open: the cell fades too
    assert 0.99**1000 < 1e-4
    assert max(ratio(nn.LSTM, 3.0, 15.0) for _ in range(3)) > 100
    assert max(ratio(nn.GRU, 0.0, 20.0) for _ in range(3)) > 100


@holds("Why are recurrent networks a special case?")
def check_powers_of_one_matrix():
    for radius, fades in ((0.9, True), (1.1, False)):
        W = torch.randn(12, 12, dtype=torch.float64)
        W *= radius / torch.linalg.eigvals(W).abs().max()
        rnn = nn.RNN(12, 12, bias=False).double()
        h0 = torch.randn(12, dtype=torch.float64, requires_grad=True)
        h = h0
        for _ in range(300):
            h = W @ h
        (gradient,) = torch.autograd.grad(h, h0, torch.ones(12, dtype=torch.float64))
        assert torch.allclose(gradient, torch.linalg.matrix_power(W, 300).T @ torch.ones(12, dtype=torch.float64))
        assert gradient.norm() < 1e-6 if fades else gradient.norm() > 1e6
        assert rnn.weight_hh_l0.shape == (12, 12)  # one matrix for all steps


@check
def check_factors_per_layer():
    sigmoid = gradient_norms(torch.sigmoid)
    assert sigmoid[0] / sigmoid[-1] < 1e-16
    default = factor(gradient_norms(torch.relu))
    assert abs(default - 6**-0.5) < 0.02
    stated("0.41", 6**-0.5)
    stated("0.408", 6**-0.5)
    stated("2e−8", 0.41**20)
    assert abs(factor(gradient_norms(torch.relu, (2 / 256) ** 0.5)) - 1) < 0.02
    larger = factor(gradient_norms(torch.relu, (4 / 256) ** 0.5))
    assert abs(larger - math.sqrt(2)) < 0.03
    stated("1.41", math.sqrt(2))
    assert 900 < 1.41**20 < 1100


@holds("Kaiming, Xavier initialization")
def check_initialization_fits_its_activation():
    kaiming, xavier = (2 / 256) ** 0.5, (1 / 256) ** 0.5
    for activation, std, fades in (
        (torch.relu, kaiming, False),
        (torch.tanh, xavier, False),
        (torch.sigmoid, kaiming, True),
        (torch.sigmoid, xavier, True),
    ):
        norms = gradient_norms(activation, std)
        assert norms[0] / norms[-1] < 1e-8 if fades else norms[0] / norms[-1] > 0.02


PIXELS, CLASSES = handwritten_digits()


def last_loss(model, optimizer, steps=60, count=len(PIXELS), step=None):
    """The loss on the last batch of a short training on digits; `step` replaces backward and update."""
    for _ in range(steps):
        batch = torch.randint(0, count, (128,))
        loss = F.cross_entropy(model(PIXELS[batch]), CLASSES[batch])
        optimizer.zero_grad()
        if step is None:
            loss.backward()
            optimizer.step()
        else:
            step(loss)
    return loss.item()


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, h):
        return h + torch.relu(self.layer(self.norm(h)))


@pitfall("A deep ReLU MLP does not start to learn")
def check_twenty_relu_layers():
    """And the factor per layer of the cause."""
    losses = {}
    for name in ("default", "Kaiming", "Kaiming, SGD", "norm and residual"):
        layers = []
        for _ in range(20):
            layers += [Residual(64)] if name == "norm and residual" else [nn.Linear(64, 64), nn.ReLU()]
        if name.startswith("Kaiming"):
            for layer in layers[::2]:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        model = nn.Sequential(*layers, nn.Linear(64, 10))
        kind, rate = (torch.optim.SGD, 0.3) if name.endswith("SGD") else (torch.optim.Adam, 1e-3)
        losses[name] = last_loss(model, kind(model.parameters(), rate))
    assert not losses.pop("Kaiming, SGD") < 1.8
    fast = [nn.Sequential(*(Residual(64) for _ in range(20)), nn.Linear(64, 10)) for _ in range(5)]
    assert any(not last_loss(model, torch.optim.SGD(model.parameters(), 0.3)) < 1.8 for model in fast)
    assert losses["default"] > 2.2 and losses["Kaiming"] < 1.2 and losses["norm and residual"] < 0.5, losses
    assert abs(factor(gradient_norms(torch.relu)) - 6**-0.5) < 0.01


@check
def check_default_weights_of_linear():
    for n in (64, 300):
        weight = nn.Linear(n, 5000).weight
        assert abs(float(weight.detach().var()) * 3 * n - 1) < 0.02
    weight = nn.init.kaiming_normal_(torch.empty(5000, 300), nonlinearity="relu")
    assert abs(float(weight.var()) * 300 / 2 - 1) < 0.02


@pitfall('"Batch normalization solves vanishing gradients and overfitting"')
def check_batch_normalization_does_not_keep_gradients_level():
    norms = gradient_norms(torch.relu, depth=50, norm=nn.BatchNorm1d)
    with_paths = gradient_norms(torch.relu, depth=50, norm=nn.BatchNorm1d, residual=True)
    assert norms[0] / norms[-1] > 1000 and 1 < with_paths[0] / with_paths[-1] < 100
    stated("1,000", 1000)
    gaps = []
    for count in (60, 1200):  # its own means, here more data
        model = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
        last_loss(model, torch.optim.Adam(model.parameters(), 1e-2), count=count)
        right = (model.eval()(PIXELS).argmax(1) == CLASSES).float()
        gaps.append(right[:count].mean().item() - right[1200:].mean().item())
    assert gaps[0] > 0.15 > 0.1 > gaps[1], gaps


@holds("Residual connections", "Why does a residual connection help?")
def check_residual_paths():
    plain, residual = gradient_norms(torch.relu), gradient_norms(torch.relu, residual=True)
    assert plain[0] / plain[-1] < 1e-6 and residual[0] / residual[-1] > 1
    x = torch.randn(4, dtype=torch.float64)
    layer = nn.Linear(4, 4, dtype=torch.float64)
    branch = torch.autograd.functional.jacobian(lambda v: F.relu(layer(v)), x)
    whole = torch.autograd.functional.jacobian(lambda v: v + F.relu(layer(v)), x)
    assert torch.allclose(whole, torch.eye(4, dtype=torch.float64) + branch)


@pitfall("NaN in spite of clipping")
def check_clipping_and_non_finite_gradients():
    (p,) = parameters_with([math.inf, 1.0])
    assert clip_grad_norm_([p], 1.0).item() == math.inf
    assert math.isnan(p.grad[0]) and p.grad[1] == 0
    (p,) = parameters_with([math.inf, 1.0])
    raises(RuntimeError, lambda: clip_grad_norm_([p], 1.0, error_if_nonfinite=True), "non-finite")
    (p,) = parameters_with([math.inf, math.nan, -5.0])
    clip_grad_value_([p], 1.0)
    assert p.grad[0] == 1 and math.isnan(p.grad[1]) and p.grad[2] == -1
    for guarded in (False, True):
        (p,) = parameters_with([0.0, 0.0])
        optimizer = torch.optim.SGD([p], lr=0.1)
        for gradient in ([math.inf, 1.0], [0.6, 0.8]):
            p.grad = torch.tensor(gradient, dtype=torch.float64)
            if torch.isfinite(clip_grad_norm_([p], 1.0)) or not guarded:
                optimizer.step()
        assert torch.isfinite(p).all() if guarded else p.isnan().any()
    for gradient in ([math.inf, 1.0], [math.nan, 1.0], [3.0, -4.0]):  # by value: the norm first, without a limit
        (q,) = parameters_with(gradient)
        norm = clip_grad_norm_([q], math.inf)
        clip_grad_value_([q], 1.0)
        assert torch.isfinite(norm).item() is (gradient[0] == 3.0)
    assert norm == 5 and q.grad.tolist() == [1, -1]
    q = nn.Parameter(torch.zeros(1))  # new weights alone do not help: Adam keeps its NaN
    adam = torch.optim.Adam([q])
    clean = copy.deepcopy(adam.state_dict())
    for restored in (None, False, True):
        if restored is not None:
            q.data.zero_()
        if restored:
            adam.load_state_dict(clean)
        q.grad = torch.tensor([math.nan if restored is None else 1.0])
        adam.step()
        assert torch.isfinite(q).item() is bool(restored)
    optimizer.zero_grad()  # skipping does not repair weights that are NaN
    p.data[0] = math.nan
    (p * p).sum().backward()
    assert not torch.isfinite(clip_grad_norm_([p], 1.0))
    for value, moves in ((math.inf, False), (1.0, True)):  # a GradScaler skips such a step itself
        p = nn.Parameter(torch.ones(2))
        optimizer, scaler = torch.optim.SGD([p], lr=0.1), torch.amp.GradScaler("cpu", init_scale=4.0)
        scaler.scale((p * torch.tensor([value, 1.0])).sum()).backward()
        scaler.unscale_(optimizer)
        clip_grad_norm_([p], 1.0)
        scaler.step(optimizer)
        assert torch.equal(p.detach(), torch.ones(2)) is not moves


@pitfall("Clipping with mixed precision flattens the learning curve")
def check_clipping_scaled_gradients_is_too_strict():
    losses = {}
    for kind, rate in ((torch.optim.SGD, 0.5), (torch.optim.Adam, 1e-2)):
        for unscaled in (False, True):
            model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
            optimizer, scaler = kind(model.parameters(), rate), torch.amp.GradScaler("cpu")

            def step(loss):
                scaler.scale(loss).backward()
                if unscaled:
                    scaler.unscale_(optimizer)
                clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()

            losses[kind.__name__, unscaled] = last_loss(model, optimizer, 100, step=step)
    assert losses["SGD", False] > 2.2 and losses["SGD", True] < 0.7, losses
    assert max(losses["Adam", False], losses["Adam", True]) < 0.4, losses
    scale = 2.0**16
    late, early = parameters_with([3.0 * scale, 4.0 * scale]), parameters_with([3.0 * scale, 4.0 * scale])
    late[0].grad /= scale
    clip_grad_norm_(late, 1.0)
    clip_grad_norm_(early, 1.0)
    early[0].grad /= scale
    assert abs(float(late[0].grad.norm()) - 1) < 1e-5 and float(early[0].grad.norm()) < 2e-5


@holds("Does an LSTM remove the problem?")
def check_cell_state_passes_through_the_forget_gate():
    f, c, rest = torch.rand(3), torch.randn(3, requires_grad=True), torch.randn(3)
    (gradient,) = torch.autograd.grad((f * c + rest).sum(), c)
    assert torch.equal(gradient, f)
