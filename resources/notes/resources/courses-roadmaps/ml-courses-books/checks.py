import importlib
import warnings

import numpy as np
import torch
from scipy.stats import entropy
from torchvision.models import resnet18

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated, unexecuted

BITS = r"H_{\text{bits}} = \frac{H_{\text{nats}}}{\ln 2}"
VARIANCE = r"s^2 = \frac{n}{n-1}\,\sigma^2"

# a use and what it is for
by_definition(
    "Input → output",
    "Overview",
    "Lookup",
    "first overview of the algorithms",
    "one term",
)
by_definition("Course first or book first?", "What should notes from a course contain?")
sourced("deeplearningbook.org: first page and table of contents", "Derivations", "deep learning in depth")
sourced("the addresses under this topic's references", "Cost")
sourced(
    "blog.csdn.net/qq_41485273/article/details/111563979, list of lectures",
    "Derivations",
    "derivations, on paper, until fluent",
)
sourced("harvard-iacs.github.io/2021-CS109B, list of lectures", "data science with code")


@formula(BITS)
def check_entropy():
    for n in (2, 5, 9):
        p = np.random.dirichlet(np.ones(n))
        nats = -(p * np.log(p)).sum()
        np.testing.assert_allclose(nats, entropy(p), rtol=1e-9)
        np.testing.assert_allclose(nats / np.log(2), entropy(p, base=2), rtol=1e-9)


@formula(VARIANCE)
def check_variance():
    for n in (2, 4, 100):
        x = torch.randn(n, dtype=torch.float64)
        sigma2 = ((x.numpy() - x.numpy().mean()) ** 2).mean()
        np.testing.assert_allclose(sigma2, np.var(x.numpy()), rtol=1e-9)
        np.testing.assert_allclose(n / (n - 1) * sigma2, x.var().item(), rtol=1e-9)


@holds("How do you notice that you have understood a derivation?")
def check_a_wrong_sign_against_a_difference_quotient():
    x, step = np.random.normal(size=20), 1e-6
    sigmoid = lambda t: 1 / (1 + np.exp(-t))
    quotient = (np.log1p(np.exp(-x - step)) - np.log1p(np.exp(-x + step))) / (2 * step)
    np.testing.assert_allclose(-sigmoid(-x), quotient, atol=1e-6)
    assert not np.allclose(sigmoid(-x), quotient, atol=1e-2)


@check
def check_worked_example():
    x = torch.randn(100_000, 20)
    for n, gap in ((2, 1 / 2), (20, 1 / 20)):
        assert abs((x[:, :n].var(1) - x[:, :n].var(1, correction=0)).mean() - gap) < 0.02
    stated("1.3863", entropy([0.25] * 4))
    stated("0.6931", np.log(2))
    stated("2", entropy([0.25] * 4, base=2))
    stated("3.5", np.var([1, 2, 3, 6]))
    stated("4.6667", torch.tensor([1.0, 2.0, 3.0, 6.0]).var())


@pitfall("Two books give different values")
def check_sum_and_mean_loss():
    for n in (2, 7):
        x, y, w = torch.randn(n), torch.randn(n), torch.randn((), requires_grad=True)
        of = lambda reduction: torch.autograd.grad(torch.nn.functional.mse_loss(w * x, y, reduction=reduction), w)[0]
        assert torch.allclose(of("sum"), n * of("mean"))
        step = lambda loss, rate: w.detach() - rate * of(loss)
        assert not torch.allclose(step("sum", 0.1), step("mean", 0.1))
        assert torch.allclose(step("sum", 0.1 / n), step("mean", 0.1))
    p, X = np.array([0.25] * 4), np.random.normal(size=(6, 2))
    assert not np.isclose(entropy(p), entropy(p, base=2)) and np.isclose(entropy(p) / np.log(2), entropy(p, base=2))
    assert np.var(X) != np.var(X, ddof=1)
    assert np.cov(X).shape == (6, 6) and np.cov(X, rowvar=False).shape == (2, 2)  # numpy takes rows as variables
    np.testing.assert_allclose(np.cov(X.T), np.cov(X, rowvar=False))


@pitfall("A formula from a respected source is wrong")
def check_sign_flip():
    x = torch.randn(8, dtype=torch.float64)
    norm = lambda v: torch.nn.functional.layer_norm(v, (8,), eps=0.0)
    assert torch.allclose(norm(-2 * x), -norm(x)) and torch.allclose(norm(2 * x), norm(x))
    assert not torch.allclose(norm(0 * x), norm(x))  # zero does not leave it alone either
    assert all(torch.allclose(norm(a * x), norm(x)) for a in (0.5, 3.0))  # positive factors alone would not show it


@pitfall("The code of an old course no longer runs")
@holds("Which parts of an old book go out of date?")
def check_calls_that_changed():
    raises(ImportError, lambda: importlib.import_module("sklearn.datasets").load_boston, "removed")
    raises(AttributeError, lambda: np.float, "float")
    with warnings.catch_warnings(record=True) as caught, torch.device("meta"):
        warnings.simplefilter("always")
        resnet18(pretrained=False)
        assert any("deprecated" in str(w.message) and "weights" in str(w.message) for w in caught)
        caught.clear()
        resnet18(weights=None)
        assert not caught
    assert float(1) == 1.0


unexecuted("Many courses begun, none finished", "a habit of study, with nothing to compute")
