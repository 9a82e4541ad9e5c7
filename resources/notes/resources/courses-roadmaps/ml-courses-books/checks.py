import numpy as np
import torch
from scipy.stats import entropy

from note_checks import check, formula, stated

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


@check
def check_sum_and_mean_loss():
    for n in (2, 7):
        x, y, w = torch.randn(n), torch.randn(n), torch.randn((), requires_grad=True)
        of = lambda reduction: torch.autograd.grad(torch.nn.functional.mse_loss(w * x, y, reduction=reduction), w)[0]
        assert torch.allclose(of("sum"), n * of("mean"))


@check
def check_sign_flip():
    x = torch.randn(8, dtype=torch.float64)
    norm = lambda v: torch.nn.functional.layer_norm(v, (8,), eps=0.0)
    assert torch.allclose(norm(-2 * x), -norm(x)) and torch.allclose(norm(2 * x), norm(x))
