import math

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.svm import SVC
from torchvision import transforms, tv_tensors
from torchvision.transforms import v2

from note_checks import check, formula, stated

RISK = r"\hat{R}(w) = \frac{1}{n} \sum_{i=1}^{n} \mathrm{E}_{T}\left[ \ell\left( f_w(T(x_i)), y_i \right) \right]"
MIXUP = r"\tilde{x} = \lambda x_i + (1 - \lambda) x_j, \qquad \tilde{y} = \lambda y_i + (1 - \lambda) y_j"
NOISE = r"\mathrm{E}_N \lVert y - (X + N) w \rVert_2^2 = \lVert y - Xw \rVert_2^2 + n \sigma^2 \lVert w \rVert_2^2"


@formula(RISK)
def check_expected_risk():
    """The mean loss of many passes with the library's random flip tends to the loss averaged over both outcomes."""
    images, y, w = torch.rand(5, 1, 2, 3), torch.randn(5), torch.randn(6)
    loss = lambda batch: ((batch.flatten(1) @ w - y) ** 2).mean()
    flip = transforms.RandomHorizontalFlip(p=0.3)
    passes = torch.stack([loss(torch.stack([flip(image) for image in images])) for _ in range(3000)])
    ours = 0.7 * loss(images) + 0.3 * loss(images.flip(-1))
    assert abs(loss(images) - loss(images.flip(-1))) > 0.05
    assert abs(passes.mean() - ours) < 4 * passes.std() / math.sqrt(3000)


@formula(MIXUP)
def check_mixup():
    for N, K, alpha in [(4, 3, 1.0), (6, 6, 0.2)]:
        x, y = torch.rand(N, 2, 3, 3), torch.arange(N) % K
        mixed, target = v2.MixUp(alpha=alpha, num_classes=K)(x, y)
        one_hot = torch.nn.functional.one_hot(y, K).float()
        partner = torch.arange(N).roll(1)
        rows = (one_hot[partner] != one_hot).any(1)
        share = (target[rows] * one_hot[rows]).sum(1)
        lam = share[0]
        assert torch.allclose(share, lam.expand(len(share)), atol=1e-6) and 0 <= lam <= 1
        assert torch.allclose(mixed, lam * x + (1 - lam) * x[partner], atol=1e-5)
        assert torch.allclose(target, lam * one_hot + (1 - lam) * one_hot[partner], atol=1e-5)


@formula(NOISE)
def check_noise_is_ridge():
    for n, d, sigma in [(6, 2, 0.5), (10, 4, 0.2)]:
        X, y, w = np.random.randn(n, d), np.random.randn(n), np.random.randn(d)
        noise = sigma * np.random.randn(100_000, n, d)
        drawn = ((y - (X + noise) @ w) ** 2).sum(1)
        ours = ((y - X @ w) ** 2).sum() + n * sigma**2 * (w**2).sum()
        assert abs(drawn.mean() - ours) < 5 * drawn.std() / math.sqrt(len(drawn))
        copies = 4000
        big = np.concatenate([X + sigma * np.random.randn(n, d) for _ in range(copies)])
        found = np.linalg.lstsq(big, np.tile(y, copies), rcond=None)[0]
        ridge = Ridge(alpha=n * sigma**2, fit_intercept=False).fit(X, y).coef_
        np.testing.assert_allclose(found, ridge, atol=0.05)
        assert np.abs(found - np.linalg.lstsq(X, y, rcond=None)[0]).max() > np.abs(found - ridge).max()


@check
def check_by_hand():
    stated("63.4", 224 * math.sqrt(0.08))
    np.testing.assert_allclose(0.7 * np.eye(3)[2] + 0.3 * np.eye(3)[0], [0.3, 0, 0.7])
    image = torch.rand(3, 8, 8)
    both = transforms.Compose([transforms.RandomHorizontalFlip(0.5), transforms.RandomErasing(0.5)])
    kept = np.mean([torch.equal(both(image), image) for _ in range(2000)])
    assert abs(kept - 0.25) < 0.04


@check
def check_defaults():
    crop, rand, erase = transforms.RandomResizedCrop(8), transforms.RandAugment(), transforms.RandomErasing()
    assert tuple(crop.scale) == (0.08, 1.0) and np.allclose(crop.ratio, (3 / 4, 4 / 3))
    assert (rand.num_ops, rand.magnitude, erase.p, transforms.RandomHorizontalFlip().p) == (2, 9, 0.5, 0.5)
    assert transforms.RandomResizedCrop(8)(torch.rand(3, 20, 30)).shape == (3, 8, 8)
    for mix in (v2.MixUp(num_classes=3), v2.CutMix(num_classes=3)):
        x, y = mix(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0]))
        assert x.shape == (4, 3, 8, 8) and y.shape == (4, 3) and torch.allclose(y.sum(1), torch.ones(4))
        assert mix.alpha == 1.0
    for _ in range(40):
        assert v2.RandAugment()(torch.rand(3, 16, 16)).shape == transforms.RandAugment()(torch.zeros(3, 16, 16, dtype=torch.uint8)).shape
    try:
        for _ in range(200):
            transforms.RandAugment()(torch.rand(3, 16, 16))
    except TypeError:
        pass
    else:
        raise AssertionError("expected an error for floating-point tensors")
    picture = v2.functional.to_pil_image(torch.rand(3, 16, 16))
    assert type(v2.RandomErasing(1.0)(picture)) is type(picture)
    for refused, error in (
        (lambda: transforms.RandomErasing(1.0)(picture), AttributeError),
        (lambda: v2.MixUp(num_classes=3)(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 2, 0])), RuntimeError),
    ):
        try:
            refused()
        except error:
            continue
        raise AssertionError("expected an error")
    assert v2.CutMix(num_classes=3)(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 2, 0]))[0].dtype == torch.uint8
    model_free = transforms.RandomHorizontalFlip(1.0)
    assert torch.equal(model_free(x[0]), x[0].flip(-1))


@check
def check_one_coin_per_call():
    flip, batch = transforms.RandomHorizontalFlip(0.5), torch.rand(8, 1, 2, 3)
    for _ in range(20):
        out = flip(batch)
        assert torch.equal(out, batch) or torch.equal(out, batch.flip(-1))


@check
def check_boxes():
    image, box = torch.rand(3, 8, 8), tv_tensors.BoundingBoxes([[1, 2, 3, 5]], format="XYXY", canvas_size=(8, 8))
    assert v2.RandomHorizontalFlip(1.0)(image, box)[1].tolist() == [[5, 2, 7, 5]]


class Draws(torch.utils.data.Dataset):
    """Items are random numbers: of the global generator, and of one stored in the dataset."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.random.rand(), self.rng.random()


@check
def check_seeds_of_workers():
    loaded = list(torch.utils.data.DataLoader(Draws(), batch_size=2, num_workers=2, multiprocessing_context="fork"))
    (global_a, stored_a), (global_b, stored_b) = loaded
    assert not torch.equal(global_a, global_b) and torch.equal(stored_a, stored_b)


@check
def check_digits():
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8) / 16
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:400], order[900:]
    moves = [(1, 1), (-1, 1), (1, 2), (-1, 2)]
    plain = X[train], y[train]
    shifted = np.concatenate([X[train], *(np.roll(X[train], *move) for move in moves)]), np.tile(y[train], 5)
    flipped = np.concatenate([X[train], X[train][:, :, ::-1]]), np.tile(y[train], 2)
    score = {}
    for name, (images, labels) in {"plain": plain, "shifted": shifted, "flipped": flipped}.items():
        model = SVC(C=10, gamma=0.05).fit(images.reshape(-1, 64), labels)
        score[name] = [model.score(data.reshape(-1, 64), y[test]) for data in (X[test], np.roll(X[test], 1, 1))]
    stated("99%", score["plain"][0])
    stated("56%", score["plain"][1])
    stated("97%", score["shifted"][0])
    stated("94%", score["shifted"][1])
    assert score["flipped"][0] < score["plain"][0] - 0.01
