import math

import numpy as np
import torch
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_wine
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torchvision import transforms

from note_checks import check, formula, raises, stated

SCALERS = r"""
z = \frac{x - \mu}{\sigma}, \qquad
x' = \frac{x - x_{\min}}{x_{\max} - x_{\min}}, \qquad
r = \frac{x - \mathrm{median}}{Q_3 - Q_1}
"""
MOMENTS = r"\mu = \frac{1}{n} \sum_{i=1}^{n} x_i, \qquad \sigma = \sqrt{\frac{1}{n} \sum_{i=1}^{n} (x_i - \mu)^2}"
RATE = r"\frac{\kappa - 1}{\kappa + 1}"


@formula(SCALERS, MOMENTS)
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
    for n in (5, 8, 41):
        for low in range(math.ceil(n / 4)):                        # over three quarters are equal, wherever the others lie
            rest = math.ceil(n / 4) - 1 - low
            assert RobustScaler().fit([[-float(i + 1)] for i in range(low)] + [[0.0]] * (n - low - rest) + [[float(i + 1)] for i in range(rest)]).scale_[0] == 1
    assert RobustScaler().fit([[1.0], [2.0], [3.0], [4.0]] + [[9.0]] * 6).scale_[0] > 1
    assert math.isclose(torch.std(torch.tensor([2.0, 4.0, 6.0, 8.0])).item(), np.std([2, 4, 6, 8], ddof=1), rel_tol=1e-6)
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
            assert math.isclose(x.detach().norm().item(), before * (kappa - 1) / (kappa + 1), rel_tol=1e-9, abs_tol=1e-12)
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


@check
def check_normalizer_scales_rows():
    X = np.random.randn(5, 3)
    np.testing.assert_allclose(np.linalg.norm(Normalizer().fit_transform(X), axis=1), 1)


@check
def check_scaling_helps_neighbours_not_trees():
    X, y = load_wine(return_X_y=True)
    raw, scaled = KNeighborsClassifier(), make_pipeline(StandardScaler(), KNeighborsClassifier())
    assert cross_val_score(scaled, X, y).mean() > cross_val_score(raw, X, y).mean() + 0.2
    tree = DecisionTreeClassifier(random_state=0)
    assert (tree.fit(X, y).apply(X) == tree.fit(np.log1p(X), y).apply(np.log1p(X))).all()
    assert tree.fit(1e-11 * X, y).get_n_leaves() == tree.fit(X + 1e12, y).get_n_leaves() == 1


@check
def check_to_tensor():
    to_tensor = transforms.ToTensor()
    image = np.random.randint(0, 256, (4, 5, 3), dtype=np.uint8)
    tensor = to_tensor(image)
    assert tensor.shape == (3, 4, 5) and tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), image.transpose(2, 0, 1) / 255, rtol=1e-6)
    assert to_tensor(image.astype(np.float32)).max() == image.max()
    from torchvision.transforms import v2

    converted = v2.ToDtype(torch.float32, scale=True)(torch.tensor(image).permute(2, 0, 1))
    assert torch.allclose(converted, tensor)
    both = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    assert torch.allclose(both(image), tensor) and v2.ToDtype(torch.float32, scale=True)(image) is image    # alone it leaves an array as it is


@check
def check_preset_takes_bgr_after_reordering():
    from PIL import Image
    from torchvision.models import ResNet18_Weights

    preset = ResNet18_Weights.DEFAULT.transforms()
    bgr = np.zeros((256, 256, 3), np.uint8)
    bgr[..., 2] = 255                                              # pure red
    reordered = preset(Image.fromarray(bgr[..., ::-1]))
    assert reordered[0].min() > 2 and reordered[2].max() < 0 < preset(Image.fromarray(bgr))[2].min()
    raises(TypeError, lambda: preset(bgr))


@check
def check_sparse():
    X = sparse.random(20, 5, density=0.2, format="csr")
    raises(ValueError, lambda: StandardScaler().fit(X), "Cannot center sparse")
    for scaler in (StandardScaler(with_mean=False), MaxAbsScaler()):
        assert scaler.fit_transform(X).nnz == X.nnz


@check
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


@check
def check_target_is_scaled_only_with_a_transformer():
    X, y = np.arange(6.0)[:, None], np.arange(6.0) * 100
    seen = lambda **options: TransformedTargetRegressor(DummyRegressor(), **options).fit(X, y).regressor_.constant_.item()
    assert seen() == 250 and abs(seen(transformer=StandardScaler())) < 1e-12
