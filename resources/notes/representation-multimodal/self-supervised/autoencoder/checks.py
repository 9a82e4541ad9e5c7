import math

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

RECONSTRUCTION = r"L = \frac{1}{N} \sum_{i=1}^{N} \left\lVert x_i - g(f(\tilde{x}_i)) \right\rVert^2"
LINEAR = r"\min_{f, g\ \text{linear}} L = \sum_{k > d} \lambda_k"
DENOISER = r"W = \Sigma \left( \Sigma + \sigma^2 I \right)^{-1}"
SPARSE = r"\beta \sum_{j} \left( \rho \ln \frac{\rho}{\hat{\rho}_j} + (1 - \rho) \ln \frac{1 - \rho}{1 - \hat{\rho}_j} \right)"

by_definition("Undercomplete", "Sparse", "Why is it called self-supervised?")
sourced("Vincent et al. 2008, abstract: robust features, stacked to initialize deep nets", "Denoising", "Stacked")
sourced("Auto-Encoding Variational Bayes, arXiv 1312.6114", "Variational (VAE)")
sourced("Masked Autoencoders, arXiv 2111.06377", "Masked (MAE)")
sourced("Deep Sparse Rectifier Neural Networks, 2011, abstract", "Are stacked autoencoders still needed?")


@formula(RECONSTRUCTION)
def check_reconstruction():
    for n, d in ((1, 4), (6, 5)):
        f, g = nn.Linear(d, 2).double(), nn.Linear(2, d).double()
        x, noise = torch.randn(n, d, dtype=torch.float64), torch.randn(n, d, dtype=torch.float64)
        back = g(f(x + noise)).detach()
        ours = sum(float(((x[i] - back[i]).numpy() ** 2).sum()) for i in range(n)) / n
        np.testing.assert_allclose(ours, F.mse_loss(back, x).item() * d, rtol=1e-10)  # MSELoss also divides by d
        np.testing.assert_allclose(f(x)[0].detach(), f(x[0]).detach())


@holds("PCA", "When does an autoencoder equal PCA?")
@formula(LINEAR)
def check_linear_optimum_is_pca():
    torch.manual_seed(0)
    for d in (1, 3):
        x = torch.randn(200, 5, dtype=torch.float64) @ torch.randn(5, 5, dtype=torch.float64)
        x -= x.mean(0)
        rest = np.sort(np.linalg.eigvalsh(x.numpy().T @ x.numpy() / 200))[::-1][d:].sum()
        pca = PCA(d).fit(x.numpy())
        back = pca.inverse_transform(pca.transform(x.numpy()))
        np.testing.assert_allclose(((x.numpy() - back) ** 2).sum(1).mean(), rest, rtol=1e-9)
        net = nn.Sequential(nn.Linear(5, d), nn.Linear(d, 5)).double()
        optimizer = torch.optim.LBFGS(
            net.parameters(), max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=1e-14
        )

        def closure():
            optimizer.zero_grad()
            loss = (net(x) - x).pow(2).sum(1).mean()
            loss.backward()
            return loss

        for _ in range(5):
            optimizer.step(closure)
        final = (net(x) - x).pow(2).sum(1).mean().item()
        assert rest * (1 - 1e-9) <= final <= rest * 1.001, (final, rest)
        axes = pca.components_.T
        drawn = np.linalg.qr(net[1].weight.detach().numpy())[0]
        np.testing.assert_allclose(drawn @ drawn.T, axes @ axes.T, atol=0.05)  # the same subspace
        if d > 1:  # a turned code does as well, and its units are correlated
            turn = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
            code = x.numpy() @ axes @ turn
            np.testing.assert_allclose(code @ turn.T @ axes.T, back, atol=1e-9)
            assert np.abs(np.corrcoef(code.T) - np.eye(d)).max() > 0.1


@formula(DENOISER)
def check_denoiser():
    torch.manual_seed(0)
    mix = torch.randn(4, 4, dtype=torch.float64)
    sigma, noise = mix @ mix.T, 0.7
    W = sigma.numpy() @ np.linalg.inv(sigma.numpy() + noise * np.eye(4))
    x = torch.randn(200_000, 4, dtype=torch.float64) @ mix.T
    noisy = x + math.sqrt(noise) * torch.randn_like(x)
    fitted = torch.linalg.lstsq(noisy, x).solution.T
    np.testing.assert_allclose(W, fitted.numpy(), atol=0.02)
    wrong = np.linalg.inv(sigma.numpy() + noise * np.eye(4)) * noise
    assert not np.allclose(wrong, fitted.numpy(), atol=0.02)


@formula(SPARSE)
def check_sparse_penalty():
    for rho, units, beta in ((0.05, 3, 1.0), (0.3, 8, 2.5)):
        mean = torch.rand(units, dtype=torch.float64) * 0.9 + 0.05
        ours = beta * sum(rho * math.log(rho / m) + (1 - rho) * math.log((1 - rho) / (1 - m)) for m in mean.tolist())
        bernoulli = torch.distributions.Bernoulli
        library = beta * torch.distributions.kl_divergence(bernoulli(torch.full_like(mean, rho)), bernoulli(mean)).sum()
        np.testing.assert_allclose(ours, library.item(), rtol=1e-9)
    penalty = lambda m: (0.05 * torch.log(0.05 / m) + 0.95 * torch.log(0.95 / (1 - m))).item()
    assert math.isnan(penalty(torch.tensor(1.5))) and penalty(torch.tensor(0.0)) == math.inf


def trained(x, last=nn.Identity(), noise=0.0, clean=True, steps=120):
    """A net without bottleneck; returns its last loss and itself."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), last)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(steps):
        noisy = x + noise * torch.randn_like(x)
        loss = F.mse_loss(net(noisy), x if clean else noisy)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item(), net.requires_grad_(False)


def digits():
    return handwritten_digits()[0][:600]


@pitfall("Reconstructions are pale or cut off")
def check_the_last_activation_reaches_the_data():
    x = digits()
    normalized = (x - x.mean()) / x.std()
    free, net = trained(normalized)
    assert net(normalized).max() > 1.2 and net(normalized).min() < -1
    # plain binary cross-entropy refuses a linear layer at the end
    raises(RuntimeError, lambda: F.binary_cross_entropy(net(normalized), x), "should be between 0 and 1")
    for last, matched, lowest in ((nn.Sigmoid(), x, 0), (nn.Tanh(), 2 * x - 1, -1)):
        cut, net = trained(normalized, last)
        assert cut > 3 * free and lowest <= net(normalized).min() and net(normalized).max() <= 1
        fitting, _ = trained(matched, last)
        assert fitting / matched.var() < 0.6 * cut  # the normalized data have variance 1


@pitfall("Binary cross-entropy stops far above zero")
def check_the_floor_of_binary_cross_entropy():
    x = digits()
    floor = F.binary_cross_entropy(x, x).item()  # a perfect reconstruction
    assert floor > 0.1 and F.mse_loss(x, x) == 0
    logits = torch.zeros_like(x).requires_grad_()
    optimizer = torch.optim.Adam([logits], 0.3)
    loss = descend(optimizer, lambda: F.binary_cross_entropy_with_logits(logits, x), 100)
    assert floor <= loss.item() and loss.item() - floor < 0.01


@pitfall("The error is tiny, the features are no better than the input")
def check_a_wide_code_copies():
    x = digits() - digits().mean(0)
    turn, _ = torch.linalg.qr(torch.randn(64, 64))
    code = x @ turn.T
    assert F.mse_loss(code @ turn, x) < 1e-10
    assert torch.allclose(torch.cdist(code, code), torch.cdist(x, x), atol=1e-2)  # the same neighbours
    narrow, penalty = PCA(8).fit(x.numpy()), code.abs().mean()
    assert ((narrow.inverse_transform(narrow.transform(x.numpy())) - x.numpy()) ** 2).mean() > 0.01 and penalty > 0.1
    noisy = x + 0.3 * torch.randn_like(x)
    best = torch.linalg.lstsq(noisy, x).solution
    assert F.mse_loss(noisy @ turn.T @ turn, x) > 2 * F.mse_loss(noisy @ best, x)  # copying is no longer the best
    label = handwritten_digits()[1][:600]
    score = lambda z: LogisticRegression(max_iter=1000).fit(z[:200], label[:200]).score(z[200:], label[200:])
    assert score(PCA(2).fit_transform(x.numpy())) < score(x.numpy()) - 0.1  # a narrow code that lost too much


@pitfall("A denoiser that leaves the noise in")
def check_the_target_is_clean():
    x = digits()
    noisy = x + 0.3 * torch.randn_like(x)
    error = lambda clean: F.mse_loss(trained(x, noise=0.3, clean=clean)[1](noisy), x).item()
    copied, restored = error(False), error(True)
    assert copied > 0.05 and restored < 0.6 * copied, (copied, restored)


@pitfall("Infinity or NaN from the sparsity penalty")
def check_relu_units_leave_the_interval():
    units = torch.tensor([[-2.0, 3.0], [-1.0, 4.0]])  # the first is dead
    penalty = lambda m: 0.05 * torch.log(0.05 / m) + 0.95 * torch.log(0.95 / (1 - m))
    dead, large = penalty(units.relu().mean(0))
    assert dead == math.inf and large.isnan()
    assert penalty(units.sigmoid().mean(0)).isfinite().all() and units.relu().abs().mean(0).isfinite().all()
    saturated = torch.tensor([[17.0, -200.0], [18.0, -200.0]]).sigmoid().mean(0)  # exactly 1 and 0 in float32
    assert penalty(saturated).isinf().all() and penalty(saturated.clamp(1e-6, 1 - 1e-6)).isfinite().all()


@check
def check_by_hand():
    points = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    values = torch.linalg.eigvalsh(points.T @ points / 4)
    stated("0.5", values[0])
    assert values[1] == 2.0
    W = 4 / (4 + 1)
    stated("0.8", W)
    stated("0.8", 4 * (1 - W) ** 2 + W**2)
    bernoulli = torch.distributions.Bernoulli
    stated("0.0939", torch.distributions.kl_divergence(bernoulli(torch.tensor(0.05)), bernoulli(torch.tensor(0.2))))


@holds("Parameters")
def check_numbers():
    layers = [nn.Linear(a, b) for a, b in ((784, 128), (128, 32), (32, 128), (128, 784))]
    stated("209,968", sum(p.numel() for layer in layers for p in layer.parameters()))
    stated("0.6931", F.binary_cross_entropy(torch.tensor(0.5), torch.tensor(0.5)))
    x = np.random.default_rng(0).random((50, 20))
    net = MLPRegressor(hidden_layer_sizes=(8,), max_iter=5).fit(x, x)
    assert net.coefs_[0].shape == (20, 8) and net.activation == "relu" and net.alpha == 0.0001
    grid = torch.linspace(0.01, 0.99, 99)
    assert min(F.binary_cross_entropy(p, torch.tensor(0.3)).item() for p in grid) > 0.6


@holds("Input → output", "Loss", "Defaults", "Same in train and eval?", "Cost")
def check_contract():
    encoder = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    decoder = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 6))
    net, x = nn.Sequential(encoder, decoder), torch.rand(5, 6)
    assert net(x).shape == x.shape and net(x[0]).shape == (6,) and encoder(x).shape == (5, 2)
    image = nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    assert image(torch.rand(5, 3, 16, 16)).shape == (5, 3, 16, 16) and image(torch.rand(3, 16, 16)).shape == (3, 16, 16)
    assert F.mse_loss(net(x), x) > 0 and F.binary_cross_entropy(net(x).sigmoid(), x) > 0
    assert not [name for name in dir(nn) if "autoencoder" in name.lower()]
    for extra, alike in ((nn.Identity(), True), (nn.Dropout(), False), (nn.BatchNorm1d(6), False)):
        whole = nn.Sequential(net, extra)
        assert torch.equal(whole.train()(x), whole.eval()(x)) is alike
    for one, other, data in ((encoder, decoder, x), (image[0], image[2], torch.rand(5, 3, 16, 16))):
        halves = []
        for part in (one, other):
            with FlopCounterMode(display=False) as counter:
                data = part(data)
            halves.append(counter.get_total_flops())
        assert halves[0] == halves[1] > 0


@holds("Is a large error a sure sign of an anomaly?")
def check_an_empty_image_is_rebuilt_and_a_hard_digit_is_not():
    x = digits()
    for seed in range(2):
        torch.manual_seed(seed)
        layer = lambda a, b: nn.Linear(a, b, bias=False)
        net = nn.Sequential(layer(64, 64), nn.ReLU(), layer(64, 8), layer(8, 64))
        descend(torch.optim.Adam(net.parameters(), 3e-3), lambda: F.mse_loss(net(x), x), 300)
        errors = (net(x) - x).pow(2).mean(1)
        assert (net(torch.zeros(1, 64)) == 0).all() and errors.max() > 2 * errors.median()
