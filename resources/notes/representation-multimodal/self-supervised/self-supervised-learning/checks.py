import math

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated
from trainings import descend, handwritten_digits

PRETEXT = r"\min_{f, h} \frac{1}{N} \sum_{i=1}^{N} \ell\left( h(f(T(x_i))),\; t(x_i) \right)"
MASKED = r"\ell = -\frac{1}{|M|} \sum_{j \in M} \ln p\left( x_j \mid x_{\setminus M} \right)"
PROBE = r"\min_{W, b} -\frac{1}{n} \sum_{i=1}^{n} \ln \mathrm{softmax}\left( W f(x_i) + b \right)_{y_i}"

by_definition(
    "Output",
    "Same in train and eval?",
    "Cost",
    "Supervised",
    "Autoencoder",
    "BERT, MAE",
    "Contrastive learning",
    "MoCo, SimCLR",
    "DINO",
    "CLIP",
    "Is it unsupervised?",
)
sourced("BERT, arXiv 1810.04805, and MAE, arXiv 2111.06377", "Defaults")
sourced(
    "MAE, arXiv 2111.06377, introduction and section 4",
    "Linear probe, k-nearest neighbours or fine-tuning?",
    "Why mask 75 % of an image but 15 % of a text?",
    "When does it pay less?",
)


@formula(PRETEXT)
def check_rotation_pretext():
    """Predicting which of four rotations was applied: the mean of one loss per sample, and training lowers it."""
    torch.manual_seed(0)
    x = torch.randn(64, 1, 6, 6).cumsum(2)
    turned = torch.cat([torch.rot90(x, k, (2, 3)) for k in range(4)])
    target = torch.arange(4).repeat_interleave(64)
    f, h = nn.Sequential(nn.Flatten(), nn.Linear(36, 32), nn.ReLU()), nn.Linear(32, 4)
    logits = h(f(turned)).detach().double().numpy()
    ours = np.mean([-v[t] + math.log(np.exp(v).sum()) for v, t in zip(logits, target)])
    np.testing.assert_allclose(ours, F.cross_entropy(h(f(turned)), target).item(), rtol=1e-5)
    optimizer = torch.optim.Adam([*f.parameters(), *h.parameters()], 1e-2)
    loss = descend(optimizer, lambda: F.cross_entropy(h(f(turned)), target), 200)
    assert loss.item() < 0.5 * math.log(4)


@formula(MASKED)
def check_masked_loss():
    for length, vocabulary, rate in ((6, 5, 0.5), (40, 11, 0.15)):
        logits = torch.randn(1, length, vocabulary, dtype=torch.float64)
        tokens = torch.randint(0, vocabulary, (1, length))
        hidden = torch.rand(1, length) < rate
        hidden[0, 0] = True
        labels = tokens.masked_fill(~hidden, -100)
        library = F.cross_entropy(logits.transpose(1, 2), labels)
        e = np.exp(logits[0].numpy())
        p = e / e.sum(1, keepdims=True)
        places = [j for j in range(length) if hidden[0, j]]
        np.testing.assert_allclose(
            -sum(math.log(p[j, tokens[0, j]]) for j in places) / len(places), library.item(), rtol=1e-9
        )
    assert F.cross_entropy(torch.zeros(1, 3), torch.tensor([1])).item() > 0  # ignore_index is −100 by default
    assert math.isnan(F.cross_entropy(torch.zeros(1, 3), torch.tensor([-100])).item())


@formula(PROBE)
def check_linear_probe():
    torch.manual_seed(0)
    f = nn.Sequential(nn.Linear(6, 10), nn.ReLU()).double().requires_grad_(False)
    x, y = torch.randn(300, 6, dtype=torch.float64), torch.randint(0, 3, (300,))
    features = f(x).numpy()
    probe = LogisticRegression(C=1e9, max_iter=5000, tol=1e-10).fit(features, y.numpy())
    objective = lambda W, b: -np.mean([v[t] - math.log(np.exp(v).sum()) for v, t in zip(features @ W.T + b, y.numpy())])
    best = objective(probe.coef_, probe.intercept_)
    layer = nn.Linear(10, 3).double()
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=2000, line_search_fn="strong_wolfe", tolerance_grad=1e-10, tolerance_change=1e-14
    )

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(f(x)), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(F.cross_entropy(layer(f(x)), y).item(), best, rtol=1e-4)


@holds("Parameters")
def check_numbers():
    stated("1.3863", F.cross_entropy(torch.zeros(1, 4), torch.tensor([2])))
    stated("10.3262", F.cross_entropy(torch.zeros(1, 30522, dtype=torch.float64), torch.tensor([7])))
    stated("2,049,000", sum(p.numel() for p in nn.Linear(2048, 1000).parameters()))
    stated("147", 0.75 * 196)
    stated("49", 196 - 147)
    assert (49 / 196) ** 2 == 1 / 16


@pitfall('"Frozen" features change during the probe')
def check_batchnorm_moves_although_frozen():
    backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).requires_grad_(False)
    model = nn.Sequential(backbone, nn.Linear(4, 2))
    fixed = torch.randn(5, 3)
    for cured in (False, True):
        before = backbone.eval()(fixed)
        model.train()
        if cured:
            backbone.eval()
        model(torch.randn(8, 3) + 2)
        assert torch.equal(before, backbone.eval()(fixed)) is cured


@pitfall("The pretext is solved, the features are empty")
def check_a_shortcut():
    """Pairs are matched by a colour that both views share; the probe asks for the shape."""
    found = []
    for jitter in (False, True):
        torch.manual_seed(0)
        colour, shape = 2 * torch.randn(256, 4), torch.randn(256, 4)
        view = lambda: torch.cat([2 * torch.randn(256, 4) if jitter else colour, shape], 1) + 0.3 * torch.randn(256, 8)
        f = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        optimizer = torch.optim.Adam(f.parameters(), 1e-2)
        for _ in range(100):
            a, b = (F.normalize(f(view()), dim=1) for _ in range(2))
            loss = F.cross_entropy(a @ b.T / 0.1, torch.arange(256))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        z = F.normalize(f(view()), dim=1).detach()
        nearest = torch.cdist(z, z).fill_diagonal_(torch.inf).argmin(1)
        found.append((loss.item(), ((shape[:, 0] > 0) == (shape[nearest, 0] > 0)).float().mean().item()))
    (low, empty), (higher, full) = found
    assert low < higher and low < 0.5 * math.log(256) and empty < 0.65 and full > 0.75


@pitfall("The probe's loss stays at chance or blows up")
def check_the_scale_of_the_features():
    x, y = handwritten_digits()

    def probe(features, rate=0.1):
        torch.manual_seed(0)
        layer = nn.Linear(64, 10)
        optimizer = torch.optim.SGD(layer.parameters(), rate)
        loss = descend(optimizer, lambda: F.cross_entropy(layer(features), y), 60)
        return loss.item()

    chance = math.log(10)
    assert abs(probe(x / 1000) - chance) < 0.05 and probe(1000 * x) > 10 * chance
    for scale in (0.001, 1000):
        features = scale * x
        standard = (features - features.mean(0)) / features.std(0).clamp(min=1e-6 * scale)
        assert min(probe(standard, rate) for rate in (0.01, 0.1, 1.0)) < 0.3 * chance
    constant = x.std(0) == 0  # border pixels that are 0 in all digits
    assert constant.any() and ((x - x.mean(0)) / x.std(0))[:, constant].isnan().all()
    assert (StandardScaler().fit_transform(x.numpy())[:, constant.numpy()] == 0).all()


@holds("Supervised", "Semi-supervised", "Self-supervised", "Unsupervised otherwise")
@pitfall("Self-, semi- and unsupervised are mixed up")
def check_who_needs_labels():
    x, y = load_digits(return_X_y=True)
    x, y = x[:300], y[:300]
    assert len(set(KMeans(10, n_init=1, random_state=0).fit(x).labels_)) == 10  # no labels, no target
    few = np.where(np.arange(300) < 60, y, -1)  # −1: unlabelled
    semi = SelfTrainingClassifier(LogisticRegression(max_iter=200)).fit(x, few)
    assert semi.score(x[60:], y[60:]) > 0.8
    raises(ValueError, lambda: SelfTrainingClassifier(LogisticRegression()).fit(x, np.full(300, -1)))
    raises(TypeError, lambda: LogisticRegression().fit(x))  # supervised: a label for each row
    raises(ValueError, lambda: LogisticRegression().fit(x, y[:60]))
    hidden = x[:, 27]  # a pixel of the input is the target
    rest = np.delete(x, 27, 1)
    assert Ridge(100.0).fit(rest[:200], hidden[:200]).score(rest[200:], hidden[200:]) > 0.3


@pitfall("Masked loss soon becomes tiny")
def check_visible_positions_make_the_loss_tiny():
    tokens = torch.randint(0, 50, (1, 100))
    copied = F.one_hot(tokens, 50).double() * 20
    hidden = torch.zeros(1, 100, dtype=torch.bool)
    hidden[0, :15] = True
    copied[hidden] = 0.0
    everywhere = F.cross_entropy(copied.transpose(1, 2), tokens)
    masked = F.cross_entropy(copied.transpose(1, 2), tokens.masked_fill(~hidden, -100))
    assert math.isclose(masked.item(), math.log(50), rel_tol=1e-9) and everywhere < 0.2 * masked
    assert torch.isclose(F.cross_entropy(copied[hidden], tokens[hidden]), masked)


@holds("Input", "Output", "Cost")
def check_contract():
    read = nn.EmbeddingBag(20, 6)
    assert all(read(torch.randint(0, 20, (3, 4), dtype=kind)).shape == (3, 6) for kind in (torch.int64, torch.int32))
    see, image = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(1)), torch.randn(1, 5, 5)
    raises((ValueError, RuntimeError), lambda: see(image))
    features = see(image.unsqueeze(0))
    assert features.shape == (1, 36)
    see.requires_grad_(False)
    probe = nn.Linear(36, 10)
    trained = [p for p in [*see.parameters(), *probe.parameters()] if p.requires_grad]
    assert sum(p.numel() for p in trained) == 37 * 10
