import inspect
import math
import warnings

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import HuberRegressor
from sklearn.metrics import mean_absolute_error
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection import roi_heads
from torchvision.ops import generalized_box_iou_loss

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

CURVES = r"""
S_\beta(e) = \begin{cases} e^2 / (2\beta) & |e| < \beta \\ |e| - \beta/2 & \text{otherwise} \end{cases}, \qquad
H_\delta(e) = \begin{cases} e^2 / 2 & |e| \le \delta \\ \delta\,(|e| - \delta/2) & \text{otherwise} \end{cases}
"""
FACTOR = r"""
H_\delta(e) = \delta \, S_\delta(e), \qquad
\frac{\partial S_\beta}{\partial e} = \max\left(-1, \min\left(1, \frac{e}{\beta}\right)\right)
"""
by_definition("Range", "Same in train and eval?")
sourced("Fast R-CNN, arXiv 1504.08083, multi-task loss", "Why did Fast R-CNN use smooth L1?")
THRESHOLDS = (1 / 9, 0.5, 1.0, 2.0, 30.0)


def smooth(e, beta):
    return np.where(np.abs(e) < beta, e**2 / (2 * beta), np.abs(e) - beta / 2)


def huber(e, delta):
    return np.where(np.abs(e) <= delta, e**2 / 2, delta * (np.abs(e) - delta / 2))


@formula(CURVES)
def check_curves():
    for shape in [(1,), (9,), (3, 4), (2, 3, 5)]:
        x, y = torch.randn(shape, dtype=torch.float64) * 3, torch.randn(shape, dtype=torch.float64)
        e = (x - y).numpy()
        for t in THRESHOLDS:
            np.testing.assert_allclose(
                smooth(e, t), F.smooth_l1_loss(x, y, beta=t, reduction="none").numpy(), rtol=1e-12
            )
            np.testing.assert_allclose(huber(e, t), F.huber_loss(x, y, delta=t, reduction="none").numpy(), rtol=1e-12)
            np.testing.assert_allclose(smooth(e, t).mean(), nn.SmoothL1Loss(beta=t)(x, y).item(), rtol=1e-12)
            np.testing.assert_allclose(huber(e, t).mean(), nn.HuberLoss(delta=t)(x, y).item(), rtol=1e-12)
        np.testing.assert_allclose(np.abs(e).mean(), nn.L1Loss()(x, y).item(), rtol=1e-12)
        np.testing.assert_allclose(
            mean_absolute_error(y.reshape(-1), x.reshape(-1)), nn.L1Loss()(x, y).item(), rtol=1e-12
        )
    for t in THRESHOLDS:
        edge = torch.tensor([t, -t, 0.0], dtype=torch.float64)
        np.testing.assert_allclose(
            smooth(edge.numpy(), t), F.smooth_l1_loss(edge, 0 * edge, beta=t, reduction="none").numpy(), rtol=1e-12
        )
        np.testing.assert_allclose(
            huber(edge.numpy(), t), F.huber_loss(edge, 0 * edge, delta=t, reduction="none").numpy(), rtol=1e-12
        )


@formula(FACTOR)
def check_factor_and_gradient():
    for t in THRESHOLDS:
        e = (torch.randn(40, dtype=torch.float64) * 3).requires_grad_()
        s = F.smooth_l1_loss(e, torch.zeros(40).double(), beta=t, reduction="none")
        assert torch.allclose(F.huber_loss(e, torch.zeros(40).double(), delta=t, reduction="none"), t * s)
        s.sum().backward()
        np.testing.assert_allclose(np.maximum(-1, np.minimum(1, e.detach().numpy() / t)), e.grad.numpy(), rtol=1e-12)


@check
def check_by_hand():
    x, y = torch.tensor([1.0, 3.0]), torch.zeros(2)
    assert F.l1_loss(x, y) == 2
    s, h = F.smooth_l1_loss(x, y, beta=2, reduction="none"), F.huber_loss(x, y, delta=2, reduction="none")
    stated("0.25", s[0])
    stated("1.125", s.mean())
    stated("0.5", h[0])
    stated("2.25", h.mean())
    assert s[1] == 2 and h[1] == 4


@holds("Input, target", "Output", "Parameters", "Defaults")
def check_limits_and_contract():
    x, y = torch.randn(50).double(), torch.randn(50).double()
    assert torch.equal(F.smooth_l1_loss(x, y, beta=0.0), F.l1_loss(x, y))
    assert torch.allclose(F.smooth_l1_loss(x, y, beta=1e-9), F.l1_loss(x, y))
    assert torch.allclose(F.huber_loss(x, y, delta=1e6), F.mse_loss(x, y) / 2)
    assert torch.equal(F.smooth_l1_loss(x, y), F.huber_loss(x, y))
    raises(RuntimeError, lambda: F.smooth_l1_loss(x, y, beta=-1.0), "does not support")
    for loss in (F.l1_loss, F.smooth_l1_loss, F.huber_loss):
        raises(RuntimeError, lambda: loss(torch.tensor([1, 2]), torch.tensor([1, 3])))
        assert loss(torch.tensor([1.0, 2.0]), torch.tensor([1, 3])).item() in (0.25, 0.5)
        assert loss(torch.zeros(2, 3), torch.ones(2, 3), reduction="none").shape == (2, 3)
        assert loss(torch.zeros(2, 3), torch.ones(2, 3)).shape == ()
        assert inspect.signature(loss).parameters["reduction"].default == "mean"
        for dtype in (torch.int64, torch.float64):
            w = torch.randn(3, requires_grad=True)
            value = loss(w, torch.tensor([1, 2, 3]).to(dtype))
            if loss is F.huber_loss:
                raises(RuntimeError, value.backward, "Found dtype")
            else:
                value.backward()
                assert w.grad.dtype == torch.float32
    raises(RuntimeError, lambda: F.l1_loss(torch.randn(3), torch.tensor([True, False, True])), "bool")
    raises(RuntimeError, lambda: F.huber_loss(x, y, delta=0.0), "non-positive")
    w = torch.tensor([0.0, 2.0, -3.0], requires_grad=True)
    F.l1_loss(w, torch.zeros(3)).backward()
    assert torch.allclose(w.grad, torch.tensor([0.0, 1.0, -1.0]) / 3)
    assert nn.SmoothL1Loss().beta == 1.0 and nn.HuberLoss().delta == 1.0


@pitfall('"huber_loss does not support non-positive values for delta"')
def check_threshold_zero():
    x, y = torch.tensor([0.0, 2.0, -3.0], requires_grad=True), torch.zeros(3)
    for delta in (0.0, -1.0):
        raises(
            RuntimeError,
            lambda: F.huber_loss(x, y, delta=delta),
            "huber_loss does not support non-positive values for delta",
        )
    assert (huber(x.detach().numpy(), 0.0) == 0).all()
    assert (
        torch.equal(nn.L1Loss()(x, y), F.smooth_l1_loss(x, y, beta=0.0))
        and abs(nn.L1Loss()(x, y).item() - 5 / 3) < 1e-6
    )
    for loss, slope in (
        (F.huber_loss(x, y, delta=1e-3, reduction="sum"), 1e-3),
        (F.smooth_l1_loss(x, y, beta=1e-3, reduction="sum"), 1.0),
    ):
        assert torch.allclose(
            torch.autograd.grad(loss, x, retain_graph=True)[0], slope * torch.tensor([0.0, 1.0, -1.0])
        )
        assert abs(loss.item() / slope - 5) < 0.01


@pitfall("Swapping smooth L1 for Huber changes the training, though the curves look alike")
def check_swapping_trains_ninefold_slower():
    inputs = torch.randn(64, 3)
    targets = inputs @ torch.tensor([1.0, -2.0, 3.0])

    def distance_left(loss):
        w = torch.zeros(3, requires_grad=True)
        for _ in range(60):
            gradient = torch.autograd.grad(loss(inputs @ w, targets), w)[0]
            w = (w - 0.1 * gradient).detach().requires_grad_()
        return (w - torch.tensor([1.0, -2.0, 3.0])).norm().item()

    delta = 1 / 9
    smooth_l1 = distance_left(lambda p, t: F.smooth_l1_loss(p, t, beta=delta))
    swapped = distance_left(lambda p, t: F.huber_loss(p, t, delta=delta))
    ported = distance_left(lambda p, t: 1 / delta * F.huber_loss(p, t, delta=delta))
    assert smooth_l1 < 0.2 and swapped > 2 and abs(ported - smooth_l1) < 1e-3
    ends = []
    for loss, option in ((F.smooth_l1_loss, {"beta": delta}), (F.huber_loss, {"delta": delta})):
        w = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.Adam([w], 0.05)
        for _ in range(60):
            optimizer.zero_grad()
            loss(inputs @ w, targets, **option).backward()
            optimizer.step()
        ends.append(w.detach())
    assert (ends[0] - ends[1]).abs().max() < 1e-3  # Adam divides the factor out


@check
def check_torchvision_and_scikit_learn():
    source = inspect.getsource(roi_heads.fastrcnn_loss)
    assert "smooth_l1_loss" in source and "beta=1 / 9" in source
    stated("1.35", inspect.signature(HuberRegressor).parameters["epsilon"].default)


@pitfall("Smooth L1 behaves exactly like the squared error")
def check_small_errors_are_squared():
    e = torch.rand(100).double() - torch.rand(100).double()
    e.requires_grad_()
    losses = F.smooth_l1_loss(e, 0 * e.detach()), F.mse_loss(e, 0 * e.detach()) / 2
    assert torch.allclose(*losses)
    assert torch.allclose(*(torch.autograd.grad(loss, e)[0] for loss in losses))
    assert not torch.allclose(F.smooth_l1_loss(e, 0 * e.detach(), beta=0.05), losses[1])
    small = torch.tensor(0.01, requires_grad=True)
    assert torch.autograd.grad(F.smooth_l1_loss(small, torch.tensor(0.0), beta=0.01), small)[0] == 1
    x = torch.tensor(0.01, requires_grad=True)
    F.smooth_l1_loss(x, torch.tensor(0.0)).backward()
    stated("0.01", x.grad)


@pitfall("L1 training oscillates at the end")
def check_oscillation():
    def path(loss, decay=1.0, steps=8):
        w, seen = torch.zeros(1, requires_grad=True), []
        for step in range(steps):
            gradient = torch.autograd.grad(loss(w, torch.ones(1)), w)[0]
            w = (w - 0.3 * decay**step * gradient).detach().requires_grad_()
            seen.append(w.item())
        return seen

    seen = path(F.l1_loss)
    assert abs(path(F.l1_loss, decay=0.9, steps=100)[-1] - 1) < 1e-3
    for beta, settles in ((1.0, True), (0.16, True), (0.14, False)):
        assert (abs(path(lambda x, y: F.smooth_l1_loss(x, y, beta=beta), steps=200)[-1] - 1) < 1e-3) is settles
    stated("0.15", 0.3 / 2)
    stated("0.9", seen[-2] if seen[-2] < 1 else seen[-1])
    stated("1.2", seen[-1] if seen[-1] > 1 else seen[-2])
    assert np.allclose(seen[4:6], seen[6:8], atol=1e-5)


@holds("L1", "Smooth L1", "Huber", "MSE", "IoU losses")
def check_best_constants_and_gradients():
    y = torch.tensor([1.0, 2.0, 3.0, 4.0, 20.0]).double()
    grid = torch.linspace(0, 20, 2001).double()[:, None].expand(2001, 5)

    def best(loss, **options):
        return grid[loss(grid, y.expand(2001, 5), reduction="none", **options).mean(1).argmin(), 0].item()

    assert abs(best(F.l1_loss) - 3) < 0.011 and abs(best(F.mse_loss) - 6) < 0.011
    for loss, name in ((F.smooth_l1_loss, "beta"), (F.huber_loss, "delta")):
        constants = [best(loss, **{name: t}) for t in (0.01, 6.0, 50.0)]
        assert abs(constants[0] - 3) < 0.02 and 3.2 < constants[1] < 5.5 and abs(constants[2] - 6) < 0.011
    e = torch.tensor([0.1, -0.2, 9.0, -900.0], requires_grad=True)
    wanted = {
        "l1": (F.l1_loss, {}, [1, -1, 1, -1]),
        "smooth": (F.smooth_l1_loss, {"beta": 0.5}, [0.2, -0.4, 1, -1]),
        "huber": (F.huber_loss, {"delta": 0.5}, [0.1, -0.2, 0.5, -0.5]),
        "mse": (F.mse_loss, {}, [0.2, -0.4, 18, -1800]),
    }
    for loss, options, gradient in wanted.values():
        ours = torch.autograd.grad(loss(e, torch.zeros(4), reduction="sum", **options), e)[0]
        assert torch.allclose(ours, torch.tensor(gradient).float())
    gradients = []
    for size in (2.0, 20.0):  # the same differences of coordinates, boxes of another size
        target = torch.tensor([[0.0, 0.0, size, size]])
        box = (target + torch.tensor([[0.5, 0.5, 0.5, 0.5]])).requires_grad_()
        gradients.append(torch.autograd.grad(generalized_box_iou_loss(box, target).sum(), box)[0])
    assert (gradients[0] - gradients[1]).abs().max() > 0.05


@holds("Why does L1 lead to the median?", "Which noise belongs to L1?")
def check_median_and_laplace():
    y = torch.tensor([1.0, 2.0, 3.0, 4.0, 20.0])
    grid = torch.linspace(0, 20, 2001)
    losses = torch.stack([F.l1_loss(torch.full_like(y, float(c)), y) for c in grid])
    assert abs(grid[losses.argmin()] - y.median()) < 1e-3
    for c, pull in ((2.5, -1), (3.5, 1), (1.5, -3)):  # as many as lie above minus those below, and the other way round
        constant = torch.full_like(y, c).requires_grad_()
        assert torch.autograd.grad(F.l1_loss(constant, y, reduction="sum"), constant)[0].sum() == pull
    x, t = torch.randn(9), torch.randn(9)
    nll = -torch.distributions.Laplace(x, 0.7).log_prob(t)
    assert torch.allclose(nll, (x - t).abs() / 0.7 + math.log(2 * 0.7), atol=1e-6)


@holds("How is δ chosen for noisy data?")
def check_efficiency():
    k = 1.345
    stated("1.345", k)
    inside = 2 * stats.norm.cdf(k) - 1
    second = stats.norm.expect(lambda z: np.clip(z, -k, k) ** 2)
    stated("95%", round(inside**2 / second, 2))
    assert abs(inside**2 / second - 0.95) < 1e-3
    y = torch.cat([torch.randn(99), torch.tensor([1e4])]).double()
    grid = torch.linspace(-1, 1, 401).double()
    losses = torch.stack([F.huber_loss(c.expand(100), y, delta=k) for c in grid])
    assert abs(grid[losses.argmin()]) < 0.6 < 50 < y.mean()  # one wild value moves the average only


@pitfall("The loss is wrong by broadcasting")
def check_broadcast():
    targets = torch.randn(2, 4, 4)
    images = targets.clone()[:, None]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loss = F.smooth_l1_loss(images, targets, reduction="none")
    assert loss.shape == (2, 2, 4, 4) and "broadcasting" in str(caught[0].message)
    for i in range(2):
        for j in range(2):
            assert torch.equal(loss[i, j], F.smooth_l1_loss(images[i, 0], targets[j], reduction="none"))
    assert loss.mean() > 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert F.smooth_l1_loss(images, targets.unsqueeze(1)) == 0


@holds("How smooth is smooth L1?")
def check_second_derivative():
    for e, expected in ((0.5, 0.5), (1.9, 0.5), (2.1, 0.0), (-3.0, 0.0)):
        x = torch.tensor(e, dtype=torch.float64)
        curvature = torch.autograd.functional.hessian(lambda v: F.smooth_l1_loss(v, torch.zeros_like(v), beta=2), x)
        assert abs(curvature.item() - expected) < 1e-12
    e = torch.linspace(-15, 15, 301).double().requires_grad_()
    slope = torch.autograd.grad(torch.log(torch.cosh(e)).sum(), e)[0]
    assert slope.abs().max() <= 1 and torch.allclose(slope, torch.tanh(e.detach()))  # tanh: smooth and bounded
    smooth_l1 = torch.autograd.grad(F.smooth_l1_loss(e, 0 * e.detach(), beta=2, reduction="sum"), e)[0]
    assert smooth_l1.diff().abs().max() < 0.06  # no jump of the gradient
