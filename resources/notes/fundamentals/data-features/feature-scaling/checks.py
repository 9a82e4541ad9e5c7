import math

import numpy as np
import torch
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier
from torchvision import transforms

from note_checks import check, formula, holds, pitfall, quietly, raises, sourced, stated
from trainings import descend

SCALERS = r"""
z = \frac{x - \mu}{\sigma}, \qquad
x' = \frac{x - x_{\min}}{x_{\max} - x_{\min}}, \qquad
r = \frac{x - \mathrm{median}}{Q_3 - Q_1}
"""
MOMENTS = r"\mu = \frac{1}{n} \sum_{i=1}^{n} x_i, \qquad \sigma = \sqrt{\frac{1}{n} \sum_{i=1}^{n} (x_i - \mu)^2}"
RATE = r"\frac{\kappa - 1}{\kappa + 1}"

sourced(
    "LeCun et al., Efficient BackProp, section 4.3 (inputs of one sign, zigzag)",
    "Why normalize images to mean 0, if pixels are already in [0, 1]?",
)


@formula(SCALERS, MOMENTS)
@holds("`StandardScaler`", "`MinMaxScaler`", "`RobustScaler`")
def check_scalers():
    for shape in [(5, 1), (40, 3), (101, 7)]:
        X, new = np.random.gamma(1.5, 3, shape) - 2, np.random.randn(4, shape[1]) * 9
        mu = X.sum(0) / len(X)
        sigma = np.sqrt(((X - mu) ** 2).sum(0) / len(X))
        np.testing.assert_allclose((new - mu) / sigma, StandardScaler().fit(X).transform(new), rtol=1e-9)
        low, high = X.min(0), X.max(0)
        np.testing.assert_allclose((new - low) / (high - low), MinMaxScaler().fit(X).transform(new), rtol=1e-9)
        q1, median, q3 = np.percentile(X, [25, 50, 75], axis=0)
        np.testing.assert_allclose((new - median) / (q3 - q1), RobustScaler().fit(X).transform(new), rtol=1e-9)
        scaled = StandardScaler().fit_transform(X)
        np.testing.assert_allclose([scaled.mean(0), scaled.std(0)], [[0] * shape[1], [1] * shape[1]], atol=1e-9)
        assert scaled.shape == shape and MinMaxScaler().fit_transform(X).min() == 0
        assert MinMaxScaler().fit(X).transform(high[None] + 1).min() > 1
    for n in (5, 8, 41):
        for low in range(math.ceil(n / 4)):  # over three quarters are equal, wherever the others lie
            rest = math.ceil(n / 4) - 1 - low
            assert (
                RobustScaler()
                .fit(
                    [[-float(i + 1)] for i in range(low)]
                    + [[0.0]] * (n - low - rest)
                    + [[float(i + 1)] for i in range(rest)]
                )
                .scale_[0]
                == 1
            )
    assert RobustScaler().fit([[1.0], [2.0], [3.0], [4.0]] + [[9.0]] * 6).scale_[0] > 1
    assert math.isclose(
        torch.std(torch.tensor([2.0, 4.0, 6.0, 8.0])).item(), np.std([2, 4, 6, 8], ddof=1), rel_tol=1e-6
    )
    constant = np.full((6, 1), 3.0)
    for scaler in (StandardScaler(), MinMaxScaler(), RobustScaler()):
        assert scaler.fit(constant).scale_[0] == 1 and scaler.transform([[5.0]])[0, 0] in (2.0, 5.0 - 3.0)


@formula(RATE)
def check_rate():
    """Gradient descent by autograd on diag(L, mu) with step 2/(L + mu) shrinks both coordinates by exactly this factor."""
    for largest, smallest in [(1.0, 1.0), (4.0, 1.0), (50.0, 2.0)]:
        kappa = largest / smallest
        x = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([x], lr=2 / (largest + smallest))
        for _ in range(5):
            before = x.detach().norm().item()
            optimizer.zero_grad()
            (0.5 * (torch.tensor([largest, smallest]) * x**2).sum()).backward()
            optimizer.step()
            assert math.isclose(
                x.detach().norm().item(), before * (kappa - 1) / (kappa + 1), rel_tol=1e-9, abs_tol=1e-12
            )
    X = np.random.randn(50, 2)
    X = np.linalg.qr(X - X.mean(0))[0] * [3.0, 0.5]
    eigenvalues = np.linalg.eigvalsh(X.T @ X)
    assert math.isclose(eigenvalues[1] / eigenvalues[0], (X[:, 0].std() / X[:, 1].std()) ** 2, rel_tol=1e-9)


@check
def check_by_hand():
    train = np.array([[2.0], [4.0], [6.0], [8.0]])
    standard, minmax = StandardScaler().fit(train), MinMaxScaler().fit(train)
    stated("2.2361", standard.scale_[0])
    stated("2.2361", standard.transform([[10.0]])[0, 0])
    for text, value in zip(["−1.3416", "−0.4472", "0.4472", "1.3416"], standard.transform(train)[:, 0]):
        stated(text, value)
    np.testing.assert_allclose(minmax.transform(train)[:, 0], [0, 1 / 3, 2 / 3, 1], atol=1e-12)
    stated("1.3333", minmax.transform([[10.0]])[0, 0])
    normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    stated("2.2489", normalize(torch.ones(3, 1, 1))[0, 0, 0])
    assert normalize(torch.ones(5, 3, 2, 2)).shape == (5, 3, 2, 2)


@holds("`Normalizer`")
def check_normalizer_scales_rows():
    X = np.random.randn(5, 3)
    np.testing.assert_allclose(np.linalg.norm(Normalizer().fit_transform(X), axis=1), 1)


@holds("Depends on the scale")
def check_what_a_change_of_unit_changes():
    X, y = load_wine(return_X_y=True)
    X, new = X[::2, :5], X[1::2, :5]
    y, unit = y[::2], np.array([1000.0, 1, 1, 1, 1])
    for build in (lambda: Ridge(), lambda: KNeighborsClassifier(), lambda: SVC()):
        before, after = (build().fit(X * u, y).predict(new * u) for u in (1, unit))
        assert not np.allclose(before, after, atol=1e-3)
    groups = [KMeans(3, random_state=0).fit(X * u).predict(new * u) for u in (1, unit)]
    assert len(set(zip(*groups))) > 3  # not a renaming of the same clusters
    first = [abs(PCA(1).fit(X * u).components_[0, 0]) for u in (1, unit)]
    assert first[0] < 0.5 and first[1] > 0.99
    descended = []
    for u in (1, 5):  # gradient descent, same steps and rate
        w, a = torch.zeros(2, requires_grad=True), torch.randn(2000, 2)
        b = a @ torch.tensor([1.0, 1.0])
        descend(torch.optim.SGD([w], 0.01), lambda: ((a * torch.tensor([u, 1.0])) @ w - b).square().mean(), 50)
        descended.append((w * torch.tensor([u, 1.0])).detach()[0].item())
    assert descended[0] < 0.8 and abs(descended[1] - 1) < 0.1, descended
    trees = [DecisionTreeClassifier(random_state=0).fit(X * u, y).apply(X * u) for u in (1, unit)]
    assert (trees[0] == trees[1]).all()


@holds("Why do tree models not need it?")
def check_scaling_helps_neighbours_not_trees():
    X, y = load_wine(return_X_y=True)
    raw, scaled = KNeighborsClassifier(), make_pipeline(StandardScaler(), KNeighborsClassifier())
    assert cross_val_score(scaled, X, y).mean() > cross_val_score(raw, X, y).mean() + 0.2
    tree = DecisionTreeClassifier(random_state=0)
    assert (tree.fit(X, y).apply(X) == tree.fit(np.log1p(X), y).apply(np.log1p(X))).all()
    drawn = [ExtraTreeClassifier(random_state=0).fit(unit, y).apply(unit) for unit in (X, np.exp(5 * X / X.max(0)))]
    forests = [RandomForestClassifier(10, random_state=0).fit(rows, y) for rows in (X, np.log1p(X))]
    leaves = np.stack([forest.apply(rows) for forest, rows in zip(forests, (X, np.log1p(X)))])
    for number, fitted in enumerate(forests[0].estimators_samples_):  # rows a tree did not draw may change sides
        assert np.array_equal(*leaves[:, fitted, number])
    assert not np.array_equal(*leaves)
    assert not np.array_equal(*drawn)  # thresholds drawn at random do not follow the transform
    assert tree.fit(1e-11 * X, y).get_n_leaves() == tree.fit(X + 1e12, y).get_n_leaves() == 1


@pitfall("The score in cross-validation is too good")
def check_scaling_before_the_split():
    """Outliers of the second half tame the columns of noise in the first. On ordinary data scaling leaks less, a selection more."""
    y = np.random.randint(0, 2, 400)
    X = np.c_[y + 0.3 * np.random.randn(400), np.random.randn(400, 40)]
    X[300, 1:] = 500.0
    folds, neighbours = KFold(2), KNeighborsClassifier(5)
    leaked = cross_val_score(neighbours, MinMaxScaler().fit_transform(X), y, cv=folds)
    honest = cross_val_score(make_pipeline(MinMaxScaler(), neighbours), X, y, cv=folds)
    assert leaked[1] > honest[1] + 0.05 and leaked.mean() > honest.mean() + 0.02, (leaked, honest)
    wine, kinds = load_wine(return_X_y=True)
    scores = [
        cross_val_score(*arguments, kinds).mean()
        for arguments in (
            (neighbours, StandardScaler().fit_transform(wine)),
            (make_pipeline(StandardScaler(), neighbours), wine),
        )
    ]
    assert abs(scores[0] - scores[1]) < 0.02
    noise, coins, linear = np.random.randn(80, 2000), np.random.randint(0, 2, 80), LogisticRegression()
    assert cross_val_score(linear, SelectKBest(k=20).fit_transform(noise, coins), coins).mean() > 0.75
    assert cross_val_score(make_pipeline(SelectKBest(k=20), linear), noise, coins).mean() < 0.65
    noise, coins = np.random.randn(4000, 60), np.random.randint(0, 2, 4000)  # few features, many rows: a small leak
    assert cross_val_score(linear, SelectKBest(k=20).fit_transform(noise, coins), coins).mean() < 0.58
    model, scaler, new = (
        LogisticRegression(),
        StandardScaler().fit(X[:, :1]),
        np.full((20, 1), 1.0) + 0.1 * np.random.randn(20, 1),
    )
    model.fit(scaler.transform(X[:, :1]), y)
    assert (
        model.predict(scaler.transform(new)).all() and model.predict(StandardScaler().fit_transform(new)).mean() < 0.8
    )


@pitfall("`ToTensor` did not divide by 255")
@holds("`ToTensor()`, `Normalize(mean, std)`")
def check_to_tensor():
    to_tensor = transforms.ToTensor()
    image = np.random.randint(0, 256, (4, 5, 3), dtype=np.uint8)
    tensor = to_tensor(image)
    assert tensor.shape == (3, 4, 5) and tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), image.transpose(2, 0, 1) / 255, rtol=1e-6)
    assert (
        to_tensor(image.astype(np.float32)).max() == image.max()
        and to_tensor(image.astype(np.float64)).max() == image.max()
    )
    from PIL import Image
    from torchvision.transforms import v2

    for mode in ("L", "RGB", "RGBA"):
        assert 0 < to_tensor(Image.fromarray(image).convert(mode)).max() <= 1

    converted = v2.ToDtype(torch.float32, scale=True)(torch.tensor(image).permute(2, 0, 1))
    assert torch.allclose(converted, tensor)
    both = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    assert (
        torch.allclose(both(image), tensor) and v2.ToDtype(torch.float32, scale=True)(image) is image
    )  # alone it leaves an array as it is
    assert both(image.astype(np.float32)).max() == image.max() == both(image.astype(np.float64)).max()


def coloured_images(count):
    """uint8 RGB images, dark or bright, reddish or bluish: four classes."""
    bright, blue = np.random.randint(0, 2, (2, count))
    images = np.random.randint(0, 30, (count, 8, 8, 3)) + (20 + 170 * bright)[:, None, None, None]
    images[np.arange(count), :, :, 2 * blue] += 30
    return images.astype(np.uint8), torch.tensor(2 * bright + blue)


@pitfall("A pretrained network is confidently wrong")
def check_normalization_and_channel_order_of_a_trained_network():
    from PIL import Image
    from torchvision.transforms._presets import ImageClassification

    preset = ImageClassification(crop_size=8, resize_size=8)
    images, classes = coloured_images(400)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    x = torch.stack([preset(Image.fromarray(image)) for image in images])
    descend(optimizer, lambda: torch.nn.functional.cross_entropy(network(x), classes), 200)
    images, classes = coloured_images(200)

    def result(prepared):
        p = network(torch.stack(prepared)).softmax(1)
        return (p.argmax(1) == classes).float().mean(), p.max(1).values.mean()

    bgr = images[..., ::-1].copy()  # as OpenCV reads them
    for wrong in (
        [transforms.ToTensor()(image) for image in images],
        [preset(Image.fromarray(image)) for image in bgr],
    ):
        accuracy, confidence = result(wrong)
        assert accuracy < 0.6 and confidence > 0.75, (accuracy, confidence)
    for right in (
        [preset(Image.fromarray(image)) for image in images],
        [preset(Image.fromarray(image[..., ::-1])) for image in bgr],
    ):
        assert result(right)[0] > 0.98


@pitfall("One outlier flattens everything")
@holds("StandardScaler", "MinMaxScaler", "RobustScaler", "QuantileTransformer", "BatchNorm")
def check_outlier():
    values = np.append(np.random.default_rng(0).normal(10, 1, 49), 60)[:, None]
    spread = lambda scaled: np.ptp(scaled[:-1])
    assert spread(MinMaxScaler().fit_transform(values)) < 0.1 and values.mean() > values[:-1].mean() + 0.9
    assert values.std() > 5 * values[:-1].std() and spread(StandardScaler().fit_transform(values)) < 0.75
    assert spread(RobustScaler().fit_transform(values)) > 2
    far = np.append(values[:-1], 6000)[:, None]
    ranks = QuantileTransformer(n_quantiles=50)
    for scaler, moves in ((MinMaxScaler(), 50), (StandardScaler(), 20), (RobustScaler(), 0), (ranks, 0)):
        ratio = spread(scaler.fit_transform(values)) / spread(scaler.fit_transform(far))
        assert ratio > moves if moves else abs(ratio - 1) < 1e-3
        reached = np.abs(scaler.transform([[1e9], [-1e9]])).max()
        assert reached == 1 if scaler is ranks else reached > 1e3
        inside = scaler.fit_transform(far)
        fixed = scaler is ranks or isinstance(scaler, MinMaxScaler)
        assert (0 <= inside.min() and inside.max() <= 1 + 1e-12) == fixed
    many = np.random.randn(5000, 1)  # more values than quantiles: not quite only the ranks
    moved = np.where(many == many.max(), 1e6, many)
    change = np.abs(np.subtract(*(QuantileTransformer().fit_transform(rows) for rows in (many, moved)))).max()
    assert 1e-6 < change < 2e-3, change
    norm = torch.nn.BatchNorm1d(1)
    narrow = [norm(torch.tensor(rows).float())[:-1].std().item() for rows in (values, far)]
    assert narrow[0] > 20 * narrow[1]
    assert abs(norm.eval()(torch.full((1, 1), 1e9)).item()) > 1e3
    clipped = np.clip(values, *np.quantile(values, [0.05, 0.95]))
    assert spread(MinMaxScaler().fit_transform(clipped)) > 0.99
    halfway = np.clip(values, *np.quantile(values, [0.01, 0.99]))
    assert halfway.max() > 30 and spread(MinMaxScaler().fit_transform(halfway)) < 0.3 > spread(
        MinMaxScaler().fit_transform(np.log(values))
    )
    skewed = np.exp(3 * np.random.randn(500, 1))
    middle = lambda scaled: np.subtract(*np.quantile(scaled, [0.75, 0.25]))
    assert (
        middle(MinMaxScaler().fit_transform(skewed)) < 0.02
        and middle(MinMaxScaler().fit_transform(np.log(skewed))) > 0.1
    )


@check
def check_preset_takes_bgr_after_reordering():
    from PIL import Image
    from torchvision.models import ResNet18_Weights

    preset = ResNet18_Weights.DEFAULT.transforms()
    bgr = np.zeros((256, 256, 3), np.uint8)
    bgr[..., 2] = 255  # pure red
    reordered = preset(Image.fromarray(bgr[..., ::-1]))
    assert reordered[0].min() > 2 and reordered[2].max() < 0 < preset(Image.fromarray(bgr))[2].min()
    raises(TypeError, lambda: preset(bgr))


@pitfall("Sparse data fill the memory")
def check_sparse():
    X = sparse.random(200, 50, density=0.02, format="csr")
    used = np.asarray(X.sum(0)).ravel() != 0
    centred = X.toarray() - X.toarray().mean(0)
    assert (centred[:, used] != 0).all() and centred.nbytes > 10 * (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)
    raises(ValueError, lambda: StandardScaler().fit(X), "Cannot center sparse")
    for scaler in (StandardScaler(with_mean=False), MaxAbsScaler()):
        assert scaler.fit_transform(X).nnz == X.nnz


@holds("Why normalize images to mean 0, if pixels are already in [0, 1]?")
def check_sign_of_gradients():
    layer = torch.nn.Linear(6, 1)
    x = torch.rand(6) + 0.01
    (layer(x) ** 2).sum().backward()
    assert abs(torch.sign(layer.weight.grad).sum()) == 6


@check
def check_figure_numbers():
    """The claims of the figure: over 1,000 times more steps at ratio 100; the rest in a tenth of the min-max range."""
    steps = lambda kappa: 1 if kappa == 1 else math.log(1e-3) / math.log((kappa - 1) / (kappa + 1))
    assert steps(100**2) / steps(1.0) > 1000


@holds("Should the target be scaled?")
def check_target_is_scaled_only_with_a_transformer():
    X = np.random.randn(200, 2)
    y = X[:, 0] + np.sin(2 * X[:, 1]) + 5
    for size in (1e-3, 1e3):
        for model in (SVR(), MLPRegressor()):
            scaled = TransformedTargetRegressor(model, transformer=StandardScaler())
            raw, good = (quietly(lambda: one.fit(X, size * y).score(X, size * y)) for one in (model, scaled))
            assert raw < 0.3 and good > 0.7, (model, size, raw, good)
    X, y = np.arange(6.0)[:, None], np.arange(6.0) * 100
    seen = lambda **options: (
        TransformedTargetRegressor(DummyRegressor(), **options).fit(X, y).regressor_.constant_.item()
    )
    assert seen() == 250 and abs(seen(transformer=StandardScaler())) < 1e-12
