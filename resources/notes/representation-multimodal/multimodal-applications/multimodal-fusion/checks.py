import numpy as np
import torch
from torch import nn

from note_checks import check, formula, stated

CONCATENATION = r"""
W \begin{bmatrix} x \\ y \end{bmatrix} = W_x x + W_y y, \qquad W = \begin{bmatrix} W_x & W_y \end{bmatrix}
"""
BILINEAR = r"""
z_k = \sum_{i=1}^{A} \sum_{j=1}^{B} x_i\, T_{kij}\, y_j, \qquad z = P \left( U^\top x \odot V^\top y \right)
"""
GATED = r"""
g = \sigma\left( W_g \begin{bmatrix} x \\ y \end{bmatrix} \right), \qquad h = g \odot \tanh(W_x x) + (1 - g) \odot \tanh(W_y y)
"""
LATE = r"""
p_{\mathrm{mean}}(c) = \frac{1}{M} \sum_{m=1}^{M} p_m(c), \qquad
p_{\mathrm{product}}(c) \propto p(c)^{1-M} \prod_{m=1}^{M} p_m(c)
"""


def weights(layer):
    return layer.weight.detach().numpy()


@formula(CONCATENATION)
def check_concatenation_is_a_sum():
    for a, b, f in ((2, 3, 4), (1, 7, 2)):
        layer = nn.Linear(a + b, f, bias=False).double()
        x, y = torch.randn(a, dtype=torch.float64), torch.randn(b, dtype=torch.float64)
        ours = weights(layer)[:, :a] @ x.numpy() + weights(layer)[:, a:] @ y.numpy()
        np.testing.assert_allclose(ours, layer(torch.cat([x, y])).detach().numpy(), rtol=1e-9)


@formula(BILINEAR)
def check_bilinear_and_its_low_rank_form():
    for a, b, f, r in ((2, 3, 4, 2), (5, 1, 3, 6)):
        layer = nn.Bilinear(a, b, f, bias=False).double()
        x, y = torch.randn(a, dtype=torch.float64), torch.randn(b, dtype=torch.float64)
        T = weights(layer)
        ours = [sum(x[i].item() * T[k, i, j] * y[j].item() for i in range(a) for j in range(b)) for k in range(f)]
        np.testing.assert_allclose(ours, layer(x, y).detach().numpy(), rtol=1e-9)
        P, U, V = np.random.randn(f, r), np.random.randn(a, r), np.random.randn(b, r)
        with torch.no_grad():
            layer.weight.copy_(torch.einsum("kr,ir,jr->kij", *(torch.tensor(m) for m in (P, U, V))))
        np.testing.assert_allclose(P @ ((U.T @ x.numpy()) * (V.T @ y.numpy())), layer(x, y).detach().numpy(), rtol=1e-8, atol=1e-12)


@formula(GATED)
def check_gated_unit():
    a, b, f = 3, 5, 4
    gate, left, right = (nn.Linear(n, f, bias=False).double() for n in (a + b, a, b))
    x, y = torch.randn(6, a, dtype=torch.float64), torch.randn(6, b, dtype=torch.float64)
    library = torch.lerp(torch.tanh(right(y)), torch.tanh(left(x)), torch.sigmoid(gate(torch.cat([x, y], 1)))).detach().numpy()
    for n in range(6):
        xn, yn = x[n].numpy(), y[n].numpy()
        g = 1 / (1 + np.exp(-weights(gate) @ np.concatenate([xn, yn])))
        np.testing.assert_allclose(g * np.tanh(weights(left) @ xn) + (1 - g) * np.tanh(weights(right) @ yn), library[n], rtol=1e-9)


@formula(LATE)
def check_late_fusion():
    """The product equals Bayes' rule on the joint table when modalities are independent given the class."""
    torch.manual_seed(0)
    for M, C in ((2, 2), (3, 4)):
        prior = np.random.dirichlet(np.ones(C))
        tables = [np.random.dirichlet(np.ones(5), size=C) for _ in range(M)]  # p(x_m | c)
        seen = [2, 0, 4][:M]
        joint = prior * np.prod([t[:, s] for t, s in zip(tables, seen)], axis=0)
        single = [prior * t[:, s] / (prior * t[:, s]).sum() for t, s in zip(tables, seen)]
        product = prior ** (1 - M) * np.prod(single, axis=0)
        np.testing.assert_allclose(product / product.sum(), joint / joint.sum(), rtol=1e-9)
        logits = sum(torch.tensor(p).log() for p in single) + (1 - M) * torch.tensor(prior).log()
        np.testing.assert_allclose(product / product.sum(), logits.softmax(0).numpy(), rtol=1e-9)
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(torch.ones(M)), torch.distributions.Categorical(torch.tensor(np.array(single))))
        np.testing.assert_allclose(sum(single) / M, mixture.log_prob(torch.arange(C)).exp().numpy(), rtol=1e-6)


def fused(*rows):
    product = np.prod(rows, axis=0)
    return np.mean(rows, axis=0)[0], (product / product.sum())[0]


@check
def check_by_hand():
    mean, product = fused((0.8, 0.2), (0.7, 0.3))
    stated("0.75", mean)
    stated("0.9032", product)
    mean, product = fused((0.8, 0.2), (0.8, 0.2))
    stated("0.8", mean)
    stated("0.9412", product)


@check
def check_parameters():
    count = lambda layer: sum(p.numel() for p in layer.parameters())
    stated("262,400", count(nn.Linear(1024, 256)))
    stated("67,109,120", count(nn.Bilinear(512, 512, 256, device="meta")))


@check
def check_attention_over_masked_keys_only_is_nan():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x, y = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    mask = torch.tensor([[False, True, True, True]])
    assert attention(x, y, y, key_padding_mask=mask)[0].isfinite().all()
    assert attention(x, y, y, key_padding_mask=torch.ones_like(mask))[0].isnan().all()
    assert attention(x, y, y, key_padding_mask=torch.ones_like(mask), need_weights=False)[0].isfinite().all()  # hence "by default"


@check
def check_scale_dominates_distance_and_gradient():
    torch.manual_seed(0)
    x, y = 100 * torch.randn(200, 4), torch.randn(200, 4)
    layer = nn.Linear(8, 1)
    nn.functional.binary_cross_entropy_with_logits(layer(torch.cat([x, y], 1)).squeeze(1), (y[:, 0] > 0).float()).backward()
    gradient = layer.weight.grad.abs()[0]
    assert gradient[:4].mean() > 10 * gradient[4:].mean()
    assert nn.Linear(4, 16)(x).std() > 30 * nn.Linear(4, 16)(y).std()  # projected, not normalized
    assert torch.equal(torch.cdist(torch.cat([x, y], 1), torch.cat([x, y], 1)).argsort(1)[:20, :2], torch.cdist(x, x).argsort(1)[:20, :2])
