import importlib
import warnings

import numpy as np
import torch
from scipy.stats import entropy
from torchvision.models import resnet18

from note_checks import check, formula, pitfall, raises, stated, unexecuted

BITS = r"H_{\text{bits}} = \frac{H_{\text{nats}}}{\ln 2}"
VARIANCE = r"s^2 = \frac{n}{n-1}\,\sigma^2"


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


@check
def check_worked_example():
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
    assert not torch.allclose(norm(0 * x), norm(x))                  # zero does not leave it alone either
    assert all(torch.allclose(norm(a * x), norm(x)) for a in (0.5, 3.0))  # positive factors alone would not show it


@pitfall("The code of an old course no longer runs")
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
