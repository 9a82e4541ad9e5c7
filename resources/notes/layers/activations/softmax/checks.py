import inspect
import math
import warnings

import numpy as np
import torch
from scipy import special
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, quietly, raises, sourced, stated

SOFTMAX = r"p_i = \frac{e^{z_i/T}}{\sum_{j=1}^{K} e^{z_j/T}}"
STABLE = r"""
m = \max_j z_j, \qquad p_i = \frac{e^{z_i - m}}{\sum_{j} e^{z_j - m}}, \qquad \log p_i = z_i - m - \log \sum_{j} e^{z_j - m}
"""
DERIVATIVES = r"""
\frac{\partial p_i}{\partial z_j} = p_i\,(\delta_{ij} - p_j), \qquad \frac{\partial (-\log p_y)}{\partial z_j} = p_j - \delta_{jy}
"""
sourced(
    "Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599, abstract",
    "Is a softmax output a probability one can trust?",
)
Z = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)


@formula(SOFTMAX)
def check_softmax_with_temperature():
    for shape in [(1,), (5,), (3, 4), (2, 3, 4), (2, 3, 4, 5)]:
        for temperature in (0.3, 1.0, 4.0):
            z = torch.randn(shape, dtype=torch.float64) * 3
            exponentials = np.exp(z.numpy() / temperature)
            for dim in range(len(shape)):
                ours = exponentials / exponentials.sum(dim, keepdims=True)
                library = torch.softmax(z / temperature, dim=dim)
                np.testing.assert_allclose(ours, library.numpy(), atol=1e-12)
                assert torch.allclose(library.sum(dim), torch.ones(1, dtype=torch.float64)) and (library > 0).all()
    assert torch.allclose(torch.softmax(Z / 1e-3, -1), torch.tensor([1.0, 0, 0], dtype=torch.float64))
    assert torch.allclose(torch.softmax(Z / 1e6, -1), torch.full((3,), 1 / 3, dtype=torch.float64), atol=1e-5)


@formula(STABLE)
@holds("Cost")
def check_stable_form():
    for scale in (1, 100, 1000):
        z = (torch.randn(6, 7, dtype=torch.float64) * scale).numpy()
        m = z.max(-1, keepdims=True)
        total = np.exp(z - m).sum(-1, keepdims=True)
        np.testing.assert_allclose(np.exp(z - m) / total, nn.Softmax(dim=-1)(torch.tensor(z)).numpy(), atol=1e-13)
        np.testing.assert_allclose(z - m - np.log(total), nn.LogSoftmax(dim=-1)(torch.tensor(z)).numpy(), atol=1e-10)
        np.testing.assert_allclose(special.softmax(z, axis=-1), torch.softmax(torch.tensor(z), -1).numpy(), atol=1e-13)


@formula(DERIVATIVES)
def check_derivatives():
    for size in (1, 2, 6):
        z = torch.randn(size, dtype=torch.float64) * 2
        p = torch.softmax(z, -1).numpy()
        library = torch.autograd.functional.jacobian(lambda v: torch.softmax(v, -1), z).numpy()
        np.testing.assert_allclose(p[:, None] * (np.eye(size) - p[None, :]), library, atol=1e-12)
        for y in range(size):
            loss = lambda v: F.cross_entropy(v[None], torch.tensor([y]))
            np.testing.assert_allclose(
                p - np.eye(size)[y], torch.autograd.functional.jacobian(loss, z).numpy(), atol=1e-12
            )


@check
def check_worked_example():
    for text, value in zip(["7.389", "2.718"], Z.exp()):
        stated(text, value)
    stated("11.107", Z.exp().sum())
    for temperature, texts in {
        1: ["0.665", "0.245", "0.090"],
        0.5: ["0.867", "0.117", "0.016"],
        2: ["0.506", "0.307", "0.186"],
    }.items():
        for text, value in zip(texts, torch.softmax(Z / temperature, -1)):
            stated(text, value)
    p, more = torch.softmax(Z, -1), torch.softmax(Z + torch.tensor([0, 1, 0]), -1)
    stated("2.718", (more[1] / more[0]) / (p[1] / p[0]))


@holds("Input → output", "Parameters", "Defaults", "Same in train and eval?", "Cost")
@holds("Is a softmax output a probability one can trust?")
def check_facts():
    assert list(nn.Softmax(dim=-1).parameters()) == [] and nn.Softmax().dim is None
    raises(TypeError, lambda: torch.softmax(Z))
    z = torch.randn(4, requires_grad=True)
    p = torch.softmax(z, -1)
    assert torch.equal(p.grad_fn._saved_result, p)
    module = nn.Softmax(dim=-1)
    assert torch.equal(module.train()(z), module.eval()(z)) and torch.softmax(torch.tensor([-110.0, 0.0]), -1)[0] == 0
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert torch.softmax(torch.ones(2, 3, dtype=dtype), -1).dtype == dtype
    for values in (torch.arange(3), torch.ones(3, dtype=torch.bool), torch.ones(3).to(torch.float8_e4m3fn)):
        try:
            torch.softmax(values, -1)
        except RuntimeError:
            continue
        raise AssertionError("expected an error for a type other than 16- to 64-bit floats")
    z = torch.randn(1000, 7, dtype=torch.float64)
    assert all(torch.equal(torch.softmax(z / T, -1).argsort(-1), z.argsort(-1)) for T in (0.5, 1.0, 3.0))


@pitfall("The loss never gets near zero")
def check_double_softmax():
    perfect = torch.eye(10, dtype=torch.float64)[:1]
    stated("1.4612", F.cross_entropy(perfect, torch.tensor([0])))
    for _ in range(100):
        p = torch.softmax(torch.randn(1, 10, dtype=torch.float64) * 5, -1)
        assert F.cross_entropy(p, torch.tensor([0])) > 1.4611
    assert nn.CrossEntropyLoss()(50 * perfect, torch.tensor([0])) < 1e-9


@pitfall("NaN after masking")
def check_rows_that_are_masked_throughout():
    z = torch.tensor([[1.0, 2.0], [-math.inf, -math.inf]], requires_grad=True)
    p = torch.softmax(z, -1)
    assert p[1].isnan().all() and not p[0].isnan().any()
    assert torch.softmax(torch.tensor([math.inf, 0.0]), -1).isnan().all()
    (gradient,) = torch.autograd.grad((p.nan_to_num() * torch.tensor([1.0, 3.0])).sum(), z)
    assert gradient[1].isnan().all()
    finite = torch.randn(2, 2, requires_grad=True)
    for scores, leaf in ((z, z), (finite + torch.tensor([[0.0, 0.0], [-math.inf, -math.inf]]), finite)):
        empty = (scores == -math.inf).all(-1, keepdim=True)
        q = torch.where(empty, 0.0, torch.softmax(scores.masked_fill(empty, 0.0), -1))
        (gradient,) = torch.autograd.grad((q * torch.tensor([1.0, 3.0])).sum(), leaf)
        assert (
            torch.equal(q[1], torch.zeros(2))
            and torch.equal(gradient[1], torch.zeros(2))
            and gradient[0].abs().sum() > 0
        )
    assert torch.softmax(torch.tensor([math.inf, 0.0]).clamp(max=1e4), -1).tolist() == [1.0, 0.0]


@pitfall("A masked position still has weight")
def check_masking_by_zero():
    keep = torch.tensor([True, True, False])
    stated("0.090", torch.softmax(Z * keep, -1)[2])
    assert torch.softmax(Z.masked_fill(~keep, -torch.inf), -1)[2] == 0
    for mask in (keep, keep.long(), keep.float()):
        p = torch.softmax(Z.masked_fill(mask == 0, -torch.inf), -1)
        assert torch.equal(p[:2], torch.softmax(Z[:2], -1)) and p[2] == 0
    raises(RuntimeError, lambda: Z.masked_fill(~keep.long(), -torch.inf))
    raises(TypeError, lambda: ~keep.float())


@holds("Defaults")
@pitfall("Probabilities sum to 1 along the wrong axis")
def check_guessed_axis():
    for dimensions, axis in {0: 0, 1: 0, 2: 1, 3: 0, 4: 1, 5: 1}.items():
        z = torch.randn((2, 3, 4, 5, 6)[:dimensions])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            guessed = nn.Softmax()(z)
        assert caught and torch.equal(guessed, torch.softmax(z, dim=axis))
    samples, image = torch.randn(2, 3, 4), torch.randn(2, 3, 4, 5)
    mixed = quietly(lambda: nn.Softmax()(samples))
    assert torch.allclose(mixed.sum(0), torch.ones(3, 4)) and not torch.allclose(mixed.sum(-1), torch.ones(2, 3))
    assert torch.allclose(nn.Softmax(dim=-1)(samples).sum(-1), torch.ones(2, 3))
    assert torch.allclose(nn.Softmax(dim=1)(image).sum(1), torch.ones(2, 4, 5))


@pitfall("$-\\infty$ or NaN in a hand-written version")
def check_overflow_and_underflow():
    naive = torch.tensor([1000.0, 0.0]).exp()
    assert (naive / naive.sum()).isnan().any()
    assert torch.equal(torch.softmax(torch.tensor([1000.0, 0.0]), -1), torch.tensor([1.0, 0.0]))
    far = torch.tensor([-110.0, 0.0])
    assert torch.softmax(far, -1).log()[0] == -math.inf and torch.log_softmax(far, -1)[0] == -110


@holds("softmax", "`log_softmax`", "sigmoid", "`argmax`", "`F.gumbel_softmax`")
def check_siblings():
    square = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert inspect.signature(special.softmax).parameters["axis"].default is None
    assert abs(special.softmax(square).sum() - 1) < 1e-12
    z = torch.randn(20, 5, requires_grad=True)
    hard, soft = F.gumbel_softmax(z, hard=True), F.gumbel_softmax(z, tau=0.1)
    assert torch.equal(hard.detach().sort(-1).values, torch.eye(5)[4].expand(20, 5)) and hard.requires_grad
    assert torch.allclose(soft.sum(-1), torch.ones(20)) and soft.detach().max(-1).values.mean() > 0.9
    assert not z.argmax(-1).requires_grad and torch.equal(z.argmax(-1), torch.softmax(z, -1).argmax(-1))
    assert not torch.equal(F.gumbel_softmax(z), F.gumbel_softmax(z))
    (gradient,) = torch.autograd.grad((hard * torch.arange(5.0)).sum(), z)
    assert (gradient.abs().sum(-1) > 0).all()
    q = torch.sigmoid(z)
    assert 0 < q.min() and q.max() < 1 and torch.softmax(z, -1).min() > 0
    assert not torch.allclose(q.sum(-1), torch.ones(20))
    assert torch.allclose(F.log_softmax(z, -1).exp(), torch.softmax(z, -1))
    nll = F.nll_loss(F.log_softmax(z, -1), torch.arange(20) % 5)
    assert torch.allclose(nll, F.cross_entropy(z, torch.arange(20) % 5))


@holds("What is softmax with two classes?", "Why does attention divide by $\\sqrt{d}$?", "Is softmax a smooth maximum?")
def check_questions():
    z = torch.randn(100, 2, dtype=torch.float64) * 5
    assert torch.allclose(torch.softmax(z, -1)[:, 0], torch.sigmoid(z[:, 0] - z[:, 1]))
    gradient = torch.autograd.functional.jacobian(lambda v: torch.logsumexp(v, -1), Z)
    assert torch.allclose(gradient, torch.softmax(Z, -1))
    for d in (16, 256):
        dots = (torch.randn(20_000, d) * torch.randn(20_000, d)).sum(-1)
        assert abs(float(dots.var()) / d - 1) < 0.05
    scores = (torch.randn(2000, 1, 1024) * torch.randn(2000, 10, 1024)).sum(-1)
    sharp, soft = (torch.softmax(s, -1).max(-1).values for s in (scores, scores / 32))
    slopes = lambda p: (p * (1 - p)).max()
    assert (sharp > 0.99).float().mean() > 0.5 and (soft > 0.99).float().mean() < 0.01
    assert slopes(torch.softmax(torch.tensor([30.0, 0.0, 0.0]), -1)) < 1e-6
    near = torch.tensor([[2.0, 1.9, 0.0]]) / 0.01
    assert torch.softmax(near, -1).argmax() == 0 and torch.softmax(near, -1).max() > 0.99


@holds("Why is the gradient with cross-entropy just $p_j - \\delta_{jy}$?")
def check_confidently_wrong_answers():
    z = torch.tensor([10.0, -10.0], dtype=torch.float64)
    entropy = torch.autograd.functional.jacobian(lambda v: F.cross_entropy(v[None], torch.tensor([1])), z)
    squared = torch.autograd.functional.jacobian(
        lambda v: (torch.softmax(v, -1) - torch.tensor([0.0, 1.0])).square().sum(), z
    )
    assert torch.allclose(F.cross_entropy(z[None], torch.tensor([1])), torch.logsumexp(z, 0) - z[1])
    assert entropy.abs().max() > 0.999 and squared.abs().max() < 1e-7


@check
def check_derivatives_carry_the_temperature():
    z, T = torch.randn(5, dtype=torch.float64), 2.5
    p = torch.softmax(z / T, -1)
    library = torch.autograd.functional.jacobian(lambda v: torch.softmax(v / T, -1), z)
    assert torch.allclose(library, (torch.diag(p) - torch.outer(p, p)) / T)
    library = torch.autograd.functional.jacobian(lambda v: F.cross_entropy(v[None] / T, torch.tensor([2])), z)
    assert torch.allclose(library, (p - torch.eye(5, dtype=torch.float64)[2]) / T)


@check
def check_rounding_makes_a_tie():
    z = torch.tensor([0.0, 1e-8])
    assert z.argmax() == 1 and torch.softmax(z, -1).tolist() == [0.5, 0.5]


@check
def check_gradient_after_nan_to_num_depends_on_how_the_mask_was_put_on():
    keep = torch.tensor([[True, False], [False, False]])
    ways = {
        "add": lambda z: z + torch.zeros(2, 2).masked_fill(~keep, -torch.inf),
        "fill": lambda z: z.masked_fill(~keep, -torch.inf),
    }
    for name, masked in ways.items():
        z = torch.randn(2, 2, requires_grad=True)
        (gradient,) = torch.autograd.grad(
            (torch.softmax(masked(z), -1).nan_to_num() * torch.tensor([1.0, 3.0])).sum(), z
        )
        assert bool(gradient[1].isnan().any()) is (name == "add")
