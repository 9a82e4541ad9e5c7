import math

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from torchvision import transforms, tv_tensors
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.transforms import v2

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

RISK = r"\hat{R}(w) = \frac{1}{n} \sum_{i=1}^{n} \mathrm{E}_{T}\left[ \ell\left( f_w(T(x_i)), y_i \right) \right]"
MIXUP = r"\tilde{x} = \lambda x_i + (1 - \lambda) x_j, \qquad \tilde{y} = \lambda y_i + (1 - \lambda) y_j"
NOISE = r"\mathrm{E}_N \lVert y - (X + N) w \rVert_2^2 = \lVert y - Xw \rVert_2^2 + n \sigma^2 \lVert w \rVert_2^2"

by_definition("Flip, crop, colour", "Mixup, CutMix", "Weight penalties", "Does augmentation enlarge the dataset?")
sourced("RandAugment, arXiv 1909.13719, section 3; TrivialAugment, arXiv 2103.10158", "RandAugment, TrivialAugment")
sourced("SpecAugment, arXiv 1904.08779, section 2", "Masking")
sourced(
    "Zhang et al., mixup, arXiv 1710.09412, abstract and section 3.4",
    "Why does mixup help, though mixed images look unnatural?",
)


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


@holds("What is test-time augmentation?")
def check_average_of_views():
    views, y = torch.randn(5, 30, 4).softmax(-1), torch.randint(0, 4, (30,))  # five views of thirty images
    losses = torch.stack([torch.nn.functional.nll_loss(p.log(), y) for p in views])
    assert torch.nn.functional.nll_loss(views.mean(0).log(), y) < losses.mean()


@holds("Input → output", "`RandomHorizontalFlip`", "`RandomResizedCrop(size)`", "`RandAugment()`")
@holds("`v2.MixUp`, `v2.CutMix`", "Train and eval")
def check_defaults():
    for change in (transforms.RandomHorizontalFlip(1.0), transforms.RandomResizedCrop(8), transforms.ColorJitter(0.5)):
        for given in (torch.rand(2, 3, 16, 16), torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)):
            assert change(given).dtype == given.dtype and change(given).dim() == given.dim()
            assert change(given).max() <= (1 if given.is_floating_point() else 255)
        changed = change(v2.functional.to_pil_image(torch.rand(3, 16, 16)))
        assert type(changed).__module__ == "PIL.Image"
    row = torch.arange(3.0)[None, None]
    assert torch.equal(transforms.RandomHorizontalFlip(1.0).eval()(row), row.flip(-1))
    crop, rand, erase = transforms.RandomResizedCrop(8), transforms.RandAugment(), transforms.RandomErasing()
    assert tuple(crop.scale) == (0.08, 1.0) and np.allclose(crop.ratio, (3 / 4, 4 / 3))
    assert (rand.num_ops, rand.magnitude, erase.p, transforms.RandomHorizontalFlip().p) == (2, 9, 0.5, 0.5)
    assert transforms.RandomResizedCrop(8)(torch.rand(3, 20, 30)).shape == (3, 8, 8)
    for mix in (v2.MixUp(num_classes=3), v2.CutMix(num_classes=3)):
        x, y = mix(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0]))
        assert x.shape == (4, 3, 8, 8) and y.shape == (4, 3) and torch.allclose(y.sum(1), torch.ones(4))
        assert mix.alpha == 1.0
        raises(RuntimeError, lambda: mix(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0], dtype=torch.int32)))
    raises(ValueError, lambda: v2.MixUp()(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])), "num_classes")
    for _ in range(40):
        assert (
            v2.RandAugment()(torch.rand(3, 16, 16)).shape
            == transforms.RandAugment()(torch.zeros(3, 16, 16, dtype=torch.uint8)).shape
        )
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
        (
            lambda: v2.MixUp(num_classes=3)(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 2, 0])),
            RuntimeError,
        ),
    ):
        try:
            refused()
        except error:
            continue
        raise AssertionError("expected an error")
    assert (
        v2.CutMix(num_classes=3)(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 2, 0]))[0].dtype
        == torch.uint8
    )
    model_free = transforms.RandomHorizontalFlip(1.0)
    assert torch.equal(model_free(x[0]), x[0].flip(-1))


@pitfall("Every image of a batch is flipped, or none")
def check_one_coin_per_call():
    flip, batch = transforms.RandomHorizontalFlip(0.5), torch.rand(8, 1, 2, 3)
    for _ in range(20):
        out = flip(batch)
        assert torch.equal(out, batch) or torch.equal(out, batch.flip(-1))
    for random in (transforms.RandomCrop(4), transforms.ColorJitter(brightness=0.5), flip):
        same = torch.rand(1, 3, 8, 8).repeat(16, 1, 1, 1)
        together, each = random(same), torch.stack([random(image) for image in same])
        assert (together == together[0]).all() and not (each == each[0]).all()

    class Flipped(torch.utils.data.Dataset):
        def __len__(self):
            return 32

        def __getitem__(self, index):
            return flip(torch.arange(3.0)[None, None])

    assert 0 < next(iter(torch.utils.data.DataLoader(Flipped(), batch_size=32)))[..., 0].bool().sum() < 32


@pitfall("Boxes and masks no longer fit")
def check_boxes():
    image, box = torch.rand(3, 8, 8), tv_tensors.BoundingBoxes([[1, 2, 3, 5]], format="XYXY", canvas_size=(8, 8))
    assert v2.RandomHorizontalFlip(1.0)(image, box)[1].tolist() == [[5, 2, 7, 5]]
    image = torch.zeros(3, 8, 8)
    image[:, 2:5, 1:3] = 1  # the object in the box
    mask, share = tv_tensors.Mask(image[0].bool()), lambda picture, x1, y1, x2, y2: picture[0, y1:y2, x1:x2].mean()
    old = transforms.RandomHorizontalFlip(1.0)
    assert share(image, *box[0].tolist()) == 1 and share(old(image), *box[0].tolist()) == 0
    raises(TypeError, lambda: old(image, box))
    new = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomCrop(7)])
    for _ in range(20):
        moved, box_too, mask_too = new(tv_tensors.Image(image), box, mask)
        assert share(moved, *box_too[0].tolist()) == 1 and torch.equal(moved[0].bool(), mask_too)
    outside = tv_tensors.BoundingBoxes([[0, 0, 2, 2], [18, 18, 20, 20]], format="XYXY", canvas_size=(20, 20))
    targets = {"boxes": outside, "labels": torch.tensor([1, 2]), "masks": tv_tensors.Mask(torch.zeros(2, 20, 20))}
    crop = v2.RandomCrop(8)  # never holds both corners
    kept = crop(torch.rand(3, 20, 20), targets)[1]["boxes"]
    assert len(kept) == 2 and ((kept[:, 2:] - kept[:, :2]).min(1).values == 0).any()
    detector = GeneralizedRCNN(torch.nn.Identity(), None, None, transform=lambda images, boxes: (images, boxes))
    refused = lambda: detector([torch.rand(3, 8, 8)], [{"boxes": kept}])
    raises(AssertionError, refused, "All bounding boxes should have positive height and width")
    cleaned = v2.Compose([crop, v2.SanitizeBoundingBoxes()])(torch.rand(3, 20, 20), targets)[1]
    assert len(cleaned["boxes"]) == len(cleaned["labels"]) == len(cleaned["masks"]) < 2


@pitfall("The label is no longer true")
def check_labels_that_a_change_breaks():
    b = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1]])
    d = b[:, ::-1]
    red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 4, 4)
    assert torch.allclose(transforms.functional.adjust_hue(red, -1 / 3), red.flip(0), atol=0.01)  # blue
    small = torch.zeros(1, 32, 32)
    small[:, 2:6, 2:6] = 1
    shown = [bool(transforms.RandomResizedCrop(32, antialias=True)(small).max() > 0) for _ in range(200)]
    assert 20 < sum(shown) < 180
    letters = lambda n: (np.stack([b, d] * n) + 0.3 * np.random.randn(2 * n, 5, 3), np.tile([0, 1], n))
    (train, classes), (held_out, truth) = letters(40), letters(100)
    score = {}
    for name, change in {
        "none": lambda x: x,
        "flip": lambda x: x[:, :, ::-1],
        "shift": lambda x: np.roll(x, 1, 1),
    }.items():
        images = np.concatenate([train, change(train)]).reshape(-1, 15)
        score[name] = LogisticRegression().fit(images, np.tile(classes, 2)).score(held_out.reshape(-1, 15), truth)
    assert score["flip"] < 0.75 and max(score, key=score.get) != "flip" and max(score.values()) > 0.95, score


@pitfall("Validation data are augmented too, or augmented copies leak")
def check_split_and_validation_pipeline():
    photos, coins = np.random.randn(200, 30), np.random.randint(0, 2, 200)  # labels that nothing predicts
    copies, labels = np.concatenate([photos + 0.1 * np.random.randn(200, 30) for _ in range(4)]), np.tile(coins, 4)
    order = np.random.permutation(800)
    nearest = KNeighborsClassifier(1)
    assert nearest.fit(copies[order[:600]], labels[order[:600]]).score(copies[order[600:]], labels[order[600:]]) > 0.9
    kept = np.tile(np.arange(200) < 150, 4)
    assert nearest.fit(copies[kept], labels[kept]).score(photos[150:], coins[150:]) < 0.7
    train, valid = torch.utils.data.random_split(Draws(), [3, 1])
    assert train.dataset is valid.dataset
    image, shared = torch.rand(3, 40, 40), transforms.RandomResizedCrop(16, antialias=True)
    fixed = transforms.Compose([transforms.Resize(20, antialias=True), transforms.CenterCrop(16)])
    assert not torch.equal(shared(image), shared(image)) and torch.equal(fixed(image), fixed(image))
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 16).view(-1, 1, 8, 8)
    model, moved = (
        SVC(C=10, gamma=0.05).fit(X[:900].flatten(1), y[:900]),
        transforms.RandomAffine(0, translate=(0.25, 0.25)),
    )
    together = model.score(torch.stack([moved(image) for image in X[900:]]).flatten(1), y[900:])
    assert together < model.score(X[900:].flatten(1), y[900:]) - 0.1


class Draws(torch.utils.data.Dataset):
    """Items are random numbers: of the global generator, and of one stored in the dataset."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.random.rand(), self.rng.random()


class TorchDraws(Draws):
    def __getitem__(self, index):
        return torch.rand(()), torch.rand(())


class StoredTorchDraws(Draws):
    def __init__(self):
        self.rng = torch.Generator().manual_seed(0)

    def __getitem__(self, index):
        return torch.rand(()), torch.rand((), generator=self.rng)


def own_generator(worker):
    data = torch.utils.data.get_worker_info().dataset
    getattr(data, "dataset", data).rng = np.random.default_rng(torch.initial_seed())


def generator_of_the_subset_only(worker):
    torch.utils.data.get_worker_info().dataset.rng = np.random.default_rng(torch.initial_seed())


@pitfall('All workers produce the same "random" images')
def check_seeds_of_workers():
    loaded = lambda data, **how: list(
        torch.utils.data.DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context="fork", **how)
    )
    subset = torch.utils.data.Subset(Draws(), range(4))
    for data, how in (
        (Draws(), {}),
        (StoredTorchDraws(), {}),
        (subset, dict(worker_init_fn=generator_of_the_subset_only)),
    ):
        (global_a, stored_a), (global_b, stored_b) = loaded(data, **how)
        assert not torch.equal(global_a, global_b) and torch.equal(stored_a, stored_b)
    for data, how in ((TorchDraws(), {}), *((data, dict(worker_init_fn=own_generator)) for data in (Draws(), subset))):
        first, second = loaded(data, **how), loaded(data, **how)
        (_, stored_a), (_, stored_b) = first
        assert not torch.equal(stored_a, stored_b) and not torch.equal(first[0][1], second[0][1])  # nor the next epoch


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
