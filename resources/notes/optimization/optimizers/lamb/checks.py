import math

import numpy as np
import torch

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated, unexecuted

# verified: formula-only for the trust ratio; the update inside it is compared with torch.optim.AdamW
UPDATE = r"r = \frac{\hat m}{\sqrt{\hat v} + \varepsilon}, \qquad u = r + \lambda\,\theta"
STEP = r"\theta \leftarrow \theta - \eta\,\frac{\phi(\lVert\theta\rVert)}{\lVert u \rVert}\,u"

by_definition("Added to AdamW")
KERAS = "timm 1.0.31, timm/optim/lamb.py; Keras 3.15, keras/src/optimizers/lamb.py"
sourced(KERAS, "State", "Where", "Defaults in timm", "Same in train and eval?")


def lamb(theta, gradients, lr, decay, eps=1e-6, ratio_of=None, corrected=True, outside=False, clip=None):
    """The formulas of the article in NumPy, for one tensor."""
    m = v = np.zeros_like(theta)
    path = []
    for t, g in enumerate(gradients, 1):
        if clip:
            g = g * min(1, clip / np.linalg.norm(g))
        if outside:
            theta, decay = theta * (1 - lr * outside), 0.0
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        c1, c2 = (1 - 0.9**t, 1 - 0.999**t) if corrected else (1, 1)
        u = (m / c1) / (np.sqrt(v / c2) + eps) + decay * theta
        weight, update = np.sqrt((theta**2).sum()), np.sqrt((u**2).sum())
        ratio = ratio_of(weight, update) if ratio_of else weight / update if weight > 0 and update > 0 else 1.0
        theta = theta - lr * ratio * u
        path.append(theta)
    return path


@formula(UPDATE)
def check_ratio_one_is_adamw():
    for shape in [(1,), (4,), (3, 5)]:
        for decay in (0.0, 0.1):
            start, gradients = np.random.randn(*shape), [np.random.randn(*shape) for _ in range(5)]
            w = torch.tensor(start, requires_grad=True)
            optimizer = torch.optim.AdamW([w], lr=0.03, weight_decay=decay, eps=1e-6)
            for g, ours in zip(gradients, lamb(start, gradients, 0.03, decay, ratio_of=lambda a, b: 1.0)):
                w.grad = torch.tensor(g)
                optimizer.step()
                np.testing.assert_allclose(ours, w.detach().numpy(), rtol=1e-9, atol=1e-12)


@formula(STEP)
@holds("Input")
def check_relative_step():
    for shape in [(2,), (3, 5), (2, 3, 4)]:
        for decay in (0.0, 0.1):
            theta, gradients = np.random.randn(*shape), [np.random.randn(*shape) for _ in range(4)]
            before = theta
            for after in lamb(theta, gradients, 0.02, decay):
                assert math.isclose(np.linalg.norm(after - before) / np.linalg.norm(before), 0.02, rel_tol=1e-9)
                before = after
            # decay before the step, outside u, as in Keras: the relative length is no longer the rate
            outside = lamb(theta * (1 - 0.02 * 0.1), gradients[:1], 0.02, 0.0)[0]
            assert not math.isclose(np.linalg.norm(outside - theta) / np.linalg.norm(theta), 0.02, rel_tol=1e-9)
            # the direction is that of AdamW
            ours = lamb(theta, gradients[:1], 0.02, decay)[0] - theta
            w = torch.tensor(theta, requires_grad=True)
            optimizer = torch.optim.AdamW([w], lr=0.02, weight_decay=decay, eps=1e-6)
            w.grad = torch.tensor(gradients[0])
            optimizer.step()
            other = w.detach().numpy() - theta
            np.testing.assert_allclose(ours / np.linalg.norm(ours), other / np.linalg.norm(other), rtol=1e-9)


@check
def check_worked_example():
    theta = lamb(np.array([3.0, 4.0]), [np.array([2.0, 5.0])], 0.01, 0.0, eps=1e-12)[0]
    stated("2.9646", theta[0])
    stated("3.9646", theta[1])
    stated("3.5355", 5 / math.sqrt(2))
    stated("0.0354", 3 - theta[0])
    stated("0.05", np.linalg.norm(theta - np.array([3.0, 4.0])))
    stated("1%", np.linalg.norm(theta - np.array([3.0, 4.0])) / 5)


@pitfall("A tensor that starts at zero never moves, or jumps")
def check_zero_start():
    zero, g = np.zeros(3), [np.ones(3)] * 2
    assert (lamb(zero, g, 0.01, 0.0, ratio_of=lambda a, b: a / b)[0] == 0).all()
    unscaled = lamb(zero, g, 0.01, 0.0, ratio_of=lambda a, b: 1.0)  # the fix: steady steps
    for plain in np.diff([zero, *unscaled], axis=0):
        np.testing.assert_allclose(plain, -0.01, rtol=1e-5)
    first, second = lamb(zero, g, 0.01, 0.0)
    assert math.isclose(-first[0], 0.01, rel_tol=1e-5)
    assert math.isclose(np.linalg.norm(second - first) / np.linalg.norm(first), 0.01, rel_tol=1e-9)


def with_adam_inside(theta, gradients, lr, decay, clip):
    """A second implementation: r is a step of torch's Adam at rate 1, the decay comes first as in Keras."""
    w = torch.tensor(theta, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=1.0, eps=1e-6)
    for g in gradients:
        w.grad = torch.tensor(g)
        torch.nn.utils.clip_grad_norm_([w], clip)
        with torch.no_grad():
            before = w.mul_(1 - lr * decay).clone()
            optimizer.step()
            r = before - w
            w.copy_(before - lr * before.norm() / r.norm() * r)
    return w.detach().numpy()


@pitfall("Two implementations disagree")
def check_options_and_the_common_factor():
    theta, gradients = np.random.randn(6), [np.random.randn(6) for _ in range(4)]
    a = lamb(theta, gradients, 0.01, 0.0, eps=1e-12)
    b = lamb(theta, gradients, 0.01, 0.0, eps=1e-12, corrected=False)
    np.testing.assert_allclose(a, b, rtol=1e-6)
    uncorrected, ours = [theta, *b], [theta, *a]  # pytorch-optimizer without and with `debias`: see its lamb.py
    first = np.linalg.norm(uncorrected[1] - theta) * math.sqrt(1 - 0.999) / (1 - 0.9)
    assert first < 0.4 * np.linalg.norm(ours[1] - theta)
    theta = theta / np.linalg.norm(theta) * 5
    for other in ({"corrected": False}, {"ratio_of": lambda a, b: min(a / b, 1)}, {"clip": 1.0}, {"outside": 0.1}):
        ours, theirs = (lamb(theta, gradients, 0.01, 0.1, **options)[-1] for options in ({}, other))
        assert np.abs(ours - theirs).max() > 1e-4
    keras = with_adam_inside(theta, gradients, 0.01, 0.1, clip=1.0)
    assert np.abs(keras - lamb(theta, gradients, 0.01, 0.1)[-1]).max() > 1e-4
    np.testing.assert_allclose(keras, lamb(theta, gradients, 0.01, 0.1, outside=0.1, clip=1.0)[-1], rtol=1e-6)


@holds("Where", "Does the gradient's size matter?")
def check_claims():
    assert not hasattr(torch.optim, "Lamb") and not hasattr(torch.optim, "LAMB")
    w = torch.randn(400, requires_grad=True)
    before = w.detach().clone()
    optimizer = torch.optim.AdamW([w], lr=0.01, weight_decay=0.0)
    w.grad = torch.randn(400)
    optimizer.step()
    assert math.isclose(float((w.detach() - before).norm()), 0.01 * 20, rel_tol=1e-3)
    theta, g = np.random.randn(5), [np.random.randn(5)]
    small, large = (lamb(theta, [s * g[0]], 0.01, 0.0, eps=1e-12)[0] for s in (1.0, 1000.0))
    np.testing.assert_allclose(small, large, rtol=1e-6)
    several = [np.random.randn(5) for _ in range(3)]
    scaled = ([s * g for s, g in zip(scales, several)] for scales in ((1, 1, 1), (9, 9, 9), (1, 1, 9)))
    runs = [lamb(theta, gradients, 0.01, 0.0, eps=1e-12)[-1] for gradients in scaled]
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-6)
    assert np.abs(runs[0] - runs[2]).max() > 1e-4
    uneven = [size * g / np.linalg.norm(g) for size, g in zip((0.1, 2.0, 0.3), several)]
    clipped = [lamb(theta, [s * g for g in uneven], 0.01, 0.0, eps=1e-12, clip=1.0)[-1] for s in (1, 10)]
    assert np.abs(clipped[0] - clipped[1]).max() > 1e-4  # clipping sees the common factor


@holds("AdamW", "LAMB", "LARS", "SGD with momentum", "What is invariant under LAMB?")
def check_first_steps():
    theta, g, lr = np.random.randn(64), np.random.randn(64), 0.01

    def by_torch(kind, weights, **options):
        w = torch.tensor(weights, requires_grad=True)
        optimizer = kind([w], lr=lr, weight_decay=0.0, **options)
        w.grad = torch.tensor(g)
        optimizer.step()
        return np.linalg.norm(w.detach().numpy() - weights)

    def lars(weights, coefficient=0.001):  # a local rate from the two norms, then the step of SGD with momentum
        local = coefficient * np.linalg.norm(weights) / np.linalg.norm(g)
        w = torch.tensor(weights, requires_grad=True)
        w.grad = torch.tensor(local * g)
        torch.optim.SGD([w], lr=lr, momentum=0.9).step()
        return np.linalg.norm(w.detach().numpy() - weights)

    norm = np.linalg.norm
    for length, wanted, factor in (
        (lambda w: by_torch(torch.optim.AdamW, w), lr * 8, 1),
        (lambda w: norm(lamb(w, [g], lr, 0.0)[0] - w), lr * norm(theta), 2),
        (lars, 0.001 * lr * norm(theta), 2),
        (lambda w: by_torch(torch.optim.SGD, w, momentum=0.9), lr * norm(g), 1),
    ):
        assert math.isclose(length(theta), wanted, rel_tol=1e-4)
        assert math.isclose(length(2 * theta), factor * length(theta), rel_tol=1e-6)


@holds("How does it differ from clipping by norm?")
def check_clipping_only_shortens():
    short, long = (torch.tensor(values, requires_grad=True) for values in ([1.0, 2.0], [3.0, 4.0]))
    for size, clipped in ((0.1, False), (10.0, True)):
        short.grad, long.grad = size * torch.ones(2), size * torch.ones(2)
        torch.nn.utils.clip_grad_norm_([short, long], 1.0)
        together = math.hypot(short.grad.norm(), long.grad.norm())
        assert (together < 2 * size * 0.9) is clipped and together <= 1 + 1e-5
    for size in (0.1, 10.0):
        for tensor in (short, long):
            theta = tensor.detach().double().numpy()
            moved = np.linalg.norm(lamb(theta, [np.full(2, size)], 0.01, 0.0)[0] - theta)
            assert math.isclose(moved, 0.01 * np.linalg.norm(theta), rel_tol=1e-6)
    for scale in (0.01, 100.0):  # small and large weights: the update is shortened or lengthened against Adam's
        theta = scale * np.ones(4)
        plain = lamb(theta, [np.ones(4)], 0.01, 0.0, ratio_of=lambda a, b: 1.0)[0] - theta
        scaled = lamb(theta, [np.ones(4)], 0.01, 0.0)[0] - theta
        assert math.isclose(np.linalg.norm(scaled) / np.linalg.norm(plain), scale, rel_tol=1e-5)


@pitfall('"LAMB makes gradients more precise for large batches"')
def check_precision_comes_from_the_batch():
    """A larger batch gives a better gradient; LAMB's step has AdamW's direction and errors, only another length."""
    exact = np.random.randn(50)
    errors = []
    for batch in (16, 1024):
        noisy = exact + np.random.randn(batch, 50).mean(0)
        errors.append(np.linalg.norm(noisy - exact))
        theta = np.random.randn(50)
        scaled = lamb(theta, [noisy], 0.01, 0.0)[0] - theta
        plain = lamb(theta, [noisy], 0.01, 0.0, ratio_of=lambda a, b: 1.0)[0] - theta
        np.testing.assert_allclose(scaled / np.linalg.norm(scaled), plain / np.linalg.norm(plain), rtol=1e-9)
        assert math.isclose(np.linalg.norm(scaled), 0.01 * np.linalg.norm(theta), rel_tol=1e-9)
    assert 5 < errors[0] / errors[1] < 12


unexecuted("It behaves like Adam", "timm is not installed; read in its Lamb source")


@pitfall("One trust ratio for the whole model")
def check_flattened_parameters():
    small, large = 0.01 * np.random.randn(20), np.random.randn(20)
    gradients = [np.random.randn(40)]
    share = lambda before, after: np.linalg.norm(after - before) / np.linalg.norm(before)
    flat = lamb(np.concatenate([small, large]), gradients, 0.01, 0.0)[0]
    assert share(small, flat[:20]) > 50 * share(large, flat[20:])
    for tensor, part in ((small, slice(20)), (large, slice(20, 40))):
        assert math.isclose(share(tensor, lamb(tensor, [gradients[0][part]], 0.01, 0.0)[0]), 0.01, rel_tol=1e-9)
