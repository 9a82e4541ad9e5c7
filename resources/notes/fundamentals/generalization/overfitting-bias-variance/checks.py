import math

import numpy as np
import torch
from sklearn.ensemble import BaggingRegressor, GradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import learning_curve
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import shuffle
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, stated
from trainings import handwritten_digits

DECOMPOSITION = r"""
\mathrm{E}\left[ (y - \hat{f}_D(x))^2 \right] =
\left( \mathrm{E}[\hat{f}_D(x)] - f(x) \right)^2 + \mathrm{E}\left[ \left( \hat{f}_D(x) - \mathrm{E}[\hat{f}_D(x)] \right)^2 \right] + \sigma^2
"""
AVERAGE = r"\mathrm{Var}\left( \frac{1}{M} \sum_{m=1}^{M} \hat{f}_m \right) = \rho v + \frac{1 - \rho}{M} v"


by_definition("Input")


@formula(DECOMPOSITION)
def check_decomposition():
    """Refits real models on many samples; the error on fresh noisy targets equals the three parts within sampling error."""
    generator = np.random.default_rng(0)
    sigma, runs = 0.5, 20000
    for model in (LinearRegression(), KNeighborsRegressor(1), make_pipeline(PolynomialFeatures(3), LinearRegression())):
        x = np.linspace(-1, 1, 12)[:, None]
        targets = np.sin(3 * x) + sigma * generator.normal(size=(12, runs))
        predictions = model.fit(x, targets).predict(np.array([[0.7]]))[0]
        truth = math.sin(2.1)
        error = (truth + sigma * generator.normal(size=(40, len(predictions))) - predictions) ** 2
        parts = (predictions.mean() - truth) ** 2 + predictions.var() + sigma**2
        assert abs(error.mean() / parts - 1) < 0.03, (error.mean(), parts)
        for missing in ((predictions.mean() - truth) ** 2, predictions.var(), sigma**2):
            assert missing < 0.03 * parts or abs(error.mean() / (parts - missing) - 1) > 0.03


@holds("Why does averaging not fix bias?")
@formula(AVERAGE)
def check_average():
    for M, rho, v in [(2, 0.0, 1.0), (5, 0.3, 2.0), (10, 0.9, 0.5), (1, 0.4, 3.0)]:
        covariance = v * (rho * np.ones((M, M)) + (1 - rho) * np.eye(M))
        assert math.isclose(np.ones(M) @ covariance @ np.ones(M) / M**2, rho * v + (1 - rho) / M * v)
        drawn = np.random.multivariate_normal(np.full(M, 0.5), covariance, 200_000).mean(1)  # each is wrong by 0.5
        assert abs(drawn.var() / (rho * v + (1 - rho) / M * v) - 1) < 0.03 and abs(drawn.mean() - 0.5) < 0.02


@check
def check_by_hand():
    mu, n, variance = 2, 4, 4
    values = {c: (1 - c) ** 2 * mu**2 + c**2 * variance / n for c in (1, 0.8, 0.5)}
    assert values[1] == 1 and math.isclose((1 - 0.8) ** 2 * 4, 0.16) and math.isclose(0.8**2, 0.64)
    stated("0.80", values[0.8])
    stated("1.25", values[0.5])
    means = np.random.normal(mu, 2, (400_000, n)).mean(1)
    for c, value in values.items():
        assert abs(((c * means - mu) ** 2).mean() - value) < 0.01


@check
def check_larger_families_fit_better():
    x = np.random.uniform(-1, 1, (20, 1))
    y = np.sin(3 * x[:, 0]) + 0.3 * np.random.randn(20)
    errors = [
        ((make_pipeline(PolynomialFeatures(d), LinearRegression()).fit(x, y).predict(x) - y) ** 2).mean()
        for d in range(1, 11)
    ]
    assert all(later <= earlier + 1e-9 for earlier, later in zip(errors, errors[1:]))


def digits(count):
    pixels, classes = handwritten_digits()
    order = torch.randperm(len(classes))[:count]
    return pixels[order], classes[order]


def an_epoch(net, x, y, change=lambda batch: batch, penalty=0.0):
    """One epoch of training; the mean of its losses as a training loop logs it."""
    optimizer, logged = torch.optim.Adam(net.parameters(), lr=0.005), []
    for rows in torch.randperm(len(x)).split(32):
        loss = F.cross_entropy(net(change(x[rows])), y[rows]) + penalty * sum((p**2).sum() for p in net.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        logged.append(loss.item())
    return np.mean(logged)


@pitfall("The validation loss is lower than the training loss")
def check_validation_below_training():
    """Each cause alone: after the first epoch the log reads better on validation data, and the fair comparison does not."""
    x, y = digits(900)
    train, held_out = (x[:600], y[:600]), (x[600:], y[600:])
    fair = lambda net, data: F.cross_entropy(net.eval()(data[0]), data[1]).item()
    network = lambda rate: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(rate), nn.Linear(64, 10))
    noisy = lambda batch: batch + 0.7 * torch.randn_like(batch)
    for rate, options, warm in (
        (0.8, {}, 20),
        (0.0, {"change": noisy}, 20),
        (0.0, {"penalty": 0.002}, 20),
        (0.0, {}, 0),
    ):
        net = network(rate)
        for _ in range(warm):
            an_epoch(net, *train, **options)
        logged = an_epoch(net.train(), *train, **options)
        assert fair(net, held_out) < 0.9 * logged and fair(net, train) < 1.05 * fair(net, held_out)
    losses = F.cross_entropy(
        net(held_out[0]), held_out[1], reduction="none"
    )  # what is left: an easier split, a small one
    assert losses.sort().values[:200].mean() < fair(net, train) and min(
        part.mean() for part in losses.split(10)
    ) < fair(net, train)


@pitfall("The test score was 62%, the field result 50%")
def check_selecting_on_the_test_set():
    right = np.random.default_rng(0).binomial(100, 0.5, (20000, 100))
    stated("62.5%", round(right.max(1).mean() / 100, 3))
    once = np.random.default_rng(1).binomial(100, 0.5, (20000, 100))[np.arange(20000), right.argmax(1)]
    assert abs(once.mean() / 100 - 0.5) < 0.002


@pitfall('"More parameters, more overfitting"')
def check_double_descent():
    """The number of features that a validation set chooses does well, the number of parameters says nothing."""
    generator = np.random.default_rng(0)
    counts = (5, 15, 20, 25, 40, 200)
    errors = {features: [] for features in counts}
    chosen = []
    for _ in range(100):
        w = generator.normal(size=400) / 20
        X, validation, test = (generator.normal(size=(rows, 400)) for rows in (20, 100, 100))
        noisy = X @ w + 0.1 * generator.normal(size=20)
        scores = {}
        for features in counts:
            solution = np.linalg.pinv(X[:, :features]) @ noisy
            scores[features] = ((validation[:, :features] @ solution - validation @ w) ** 2).mean()
            errors[features].append(((test[:, :features] @ solution - test @ w) ** 2).mean())
        chosen.append(errors[min(scores, key=scores.get)][-1])
    middle = {features: np.median(values) for features, values in errors.items()}
    assert max(middle, key=middle.get) == 20 and middle[20] > 3 * middle[200] and middle[20] > 3 * middle[5]
    assert np.median(chosen) < 1.05 * min(middle.values())


@holds("high")
@pitfall("More data does not help")
def check_learning_curve():
    """The curve of a line is flat and both errors meet; that of a polynomial of degree 12 still falls."""
    x = np.random.uniform(-1, 1, (400, 1))
    y = np.sin(3 * x[:, 0]) + 0.2 * np.random.randn(400)
    ends = {}
    for degree in (1, 5, 12):
        model = make_pipeline(PolynomialFeatures(degree), LinearRegression())
        _, *curves = learning_curve(model, x, y, train_sizes=[40, 320], scoring="neg_mean_squared_error")
        ends[degree] = [-curve.mean(1) for curve in curves]
    (train, validation), (_, other) = ends[1], ends[12]
    assert ends[5][1][1] < 0.35 * validation[1] and ends[5][1][1] < 1.35 * 0.2**2  # the larger model leaves the noise
    assert train[1] > 2 * 0.2**2 and validation[1] < 1.1 * train[1] and validation[1] > 0.8 * validation[0]
    assert other[1] < 0.7 * other[0] and other[1] < 1.3 * 0.2**2
    order = np.argsort(x[:, 0])  # sorted rows: each fold asks for a stretch that was never seen
    tree = DecisionTreeRegressor(max_depth=5)
    ends = [learning_curve(tree, *rows)[2].mean(1)[-1] for rows in ((x[order], y[order]), shuffle(x[order], y[order]))]
    assert ends[0] < 0 and ends[1] > 0.8, ends


@pitfall('"Batch normalization solves overfitting"')
def check_batchnorm_memorises():
    def trained(x, y, change=lambda batch: batch):
        net = nn.Sequential(nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 10))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
        for _ in range(300):
            rows = torch.randperm(len(x))[:128]
            optimizer.zero_grad()
            F.cross_entropy(net(change(x[rows])), y[rows]).backward()
            optimizer.step()
        return net.eval()

    right = lambda net, x, y: (net(x).argmax(1) == y).float().mean().item()
    x, truth = digits(1700)
    y = torch.where(torch.rand(1700) < 0.4, torch.randint(10, (1700,)), truth)
    shuffled = truth[torch.randperm(150)]
    assert right(trained(x[:150], shuffled), x[:150], shuffled) == 1
    test = x[1200:], truth[1200:]
    little = trained(x[:150], y[:150])
    assert right(little, x[:150], y[:150]) == 1 and right(little, *test) < 0.7
    augmented = trained(x[:150], y[:150], lambda batch: batch + 0.4 * torch.randn_like(batch))
    for cured in (trained(x[:1200], y[:1200]), augmented):
        assert right(cured, *test) > right(little, *test) + 0.05


@holds("What do k-nearest neighbours show?")
def check_neighbours():
    x, y = np.random.rand(30, 1), np.random.rand(30)
    assert np.allclose(KNeighborsRegressor(30).fit(x, y).predict([[0.1], [0.9]]), y.mean())
    (few_bias, few_variance), (many_bias, many_variance) = (parts(lambda k=k: KNeighborsRegressor(k)) for k in (1, 20))
    assert few_bias < 0.2 * many_bias and few_variance > 4 * many_variance


def parts(make, n=40, runs=60, change=lambda x, y: (x, y)):
    """Bias² and variance on a grid: means over many samples of n points of a noisy sine."""
    grid, predicted = np.linspace(-0.9, 0.9, 30)[:, None], []
    for _ in range(runs):
        x = np.random.uniform(-1, 1, (n, 1))
        predicted.append(make().fit(*change(x, np.sin(3 * x[:, 0]) + 0.4 * np.random.randn(n))).predict(grid))
    predicted = np.array(predicted)
    return ((predicted.mean(0) - np.sin(3 * grid[:, 0])) ** 2).mean(), predicted.var(0).mean()


def polynomial(degree, last=LinearRegression):
    return lambda: make_pipeline(PolynomialFeatures(degree), last())


@holds("Overfitting", "Underfitting")
def check_signs():
    for degree, low in ((1, False), (12, True)):
        errors = []
        for _ in range(40):
            x, fresh = np.random.uniform(-1, 1, (40, 1)), np.random.uniform(-1, 1, (200, 1))
            y, new = (np.sin(3 * data[:, 0]) + 0.4 * np.random.randn(len(data)) for data in (x, fresh))
            model = polynomial(degree)().fit(x, y)
            errors.append((((model.predict(x) - y) ** 2).mean(), ((model.predict(fresh) - new) ** 2).mean()))
        train, validation = np.median(errors, 0)
        bias, variance = parts(polynomial(degree), runs=200)
        assert (train < 0.16, validation > 1.5 * train, variance > bias) == (low, low, low), (degree, train, validation)
        assert low or validation > 0.2


@holds("Lowers variance", "low")
def check_what_lowers_variance():
    """Each measure alone, on a polynomial of degree 12; averaged models see samples of their own."""

    def augmented(x, y):
        return np.concatenate([x + 0.05 * np.random.randn(*x.shape) for _ in range(20)]), np.tile(y, 20)

    plain = parts(polynomial(12))[1]
    assert parts(polynomial(12), n=200)[1] < 0.5 * plain
    assert parts(polynomial(12, lambda: Ridge(0.1)))[1] < 0.5 * plain
    assert parts(polynomial(12), change=augmented)[1] < 0.5 * plain
    tree = parts(DecisionTreeRegressor)[1]
    assert parts(lambda: BaggingRegressor(DecisionTreeRegressor(), 20), runs=20)[1] < 0.7 * tree


@holds("Lowers bias", "high")
def check_what_lowers_bias():
    class Sine(LinearRegression):
        def fit(self, x, y):
            return super().fit(np.sin(3 * x), y)

        def predict(self, x):
            return super().predict(np.sin(3 * x))

    class Descent(LinearRegression):
        """Gradient descent on the features, for some steps."""

        def __init__(self, steps=0):
            super().__init__()
            self.steps = steps

        def fit(self, x, y):
            self.coef_, self.intercept_ = np.zeros(x.shape[1]), 0.0
            for _ in range(self.steps):
                self.coef_ = self.coef_ - 0.1 * x.T @ (x @ self.coef_ - y) / len(y)
            return self

    line = parts(polynomial(1))[0]
    assert parts(polynomial(3))[0] < 0.2 * line and parts(Sine)[0] < 0.2 * line
    short, long = (parts(polynomial(3, lambda steps=steps: Descent(steps)))[0] for steps in (10, 1000))
    strong, weak = (parts(polynomial(3, lambda alpha=alpha: Ridge(alpha)))[0] for alpha in (100, 0.1))
    assert long < 0.3 * short and weak < 0.3 * strong


@holds("low")
def check_low_training_error():
    """1-NN knows drawn labels by heart: overused validation, leakage; then weight decay and early stopping against noise."""
    (x, v), (y, u) = np.random.randn(2, 60, 40), np.random.randint(2, size=(2, 60))
    t, w = np.random.randn(1000, 40), np.random.randint(2, size=1000)
    model, best = KNeighborsClassifier(1), (0, None)
    for _ in range(300):
        some = np.random.permutation(40)[:3]
        model.fit(x[:, some], y)
        assert model.score(x[:, some], y) == 1
        best = max(best, (model.score(v[:, some], u), tuple(some)))
    some = list(best[1])
    assert best[0] > 0.62 and best[0] - model.fit(x[:, some], y).score(t[:, some], w) > 0.04
    both, labels = np.concatenate([x, v]), np.concatenate([y, u])
    assert model.fit(both, labels).score(v, u) == 1  # duplicates
    leaked = [np.c_[data, 20 * target] for data, target in ((x, y), (v, u))]
    assert model.fit(leaked[0], y).score(leaked[1], u) == 1  # a feature that is the target
    X, fresh, truth = np.random.randn(40, 30), np.random.randn(1000, 30), np.random.randn(30) / 5
    y = X @ truth + np.random.randn(40)
    error = lambda coef: ((fresh @ coef - fresh @ truth) ** 2).mean()
    path = [np.zeros(30)]
    for _ in range(5000):
        path.append(path[-1] - 0.2 * X.T @ (X @ path[-1] - y) / 40)
    assert error(path[-1]) > 1.5 * min(map(error, path))
    assert error(Ridge(20, fit_intercept=False).fit(X, y).coef_) < 0.7 * error(path[-1])


@check
def check_bagging_and_boosting():
    tree, stump = parts(DecisionTreeRegressor), parts(lambda: DecisionTreeRegressor(max_depth=1))
    bagged = parts(lambda: BaggingRegressor(DecisionTreeRegressor(), 20), runs=20)
    boosted = parts(lambda: GradientBoostingRegressor(max_depth=1, n_estimators=50), runs=20)
    assert tree[1] - bagged[1] > 3 * abs(tree[0] - bagged[0])
    assert boosted[0] < 0.8 * stump[0]


@holds("Can a model overfit and underfit at once?")
def check_both_at_once():
    """A polynomial of degree 7: many points where the target is wiggly, five where it is zero."""
    grid, predicted = np.linspace(0.05, 3.4, 200), []
    truth = lambda x: np.where(x < 2, np.sin(12 * x), 0)
    for _ in range(200):
        x = np.r_[np.linspace(0, 2, 200), np.linspace(2.2, 3.5, 5)]
        y = truth(x) + 0.4 * np.random.randn(205)
        predicted.append(np.polynomial.Polynomial.fit(x, y, 7)(grid))
    bias, variance = (np.mean(predicted, 0) - truth(grid)) ** 2, np.var(predicted, 0)
    wiggly, sparse = grid < 1.8, grid > 2.6
    assert bias[wiggly].mean() > 5 * variance[wiggly].mean() and variance[sparse].mean() > 2 * variance[wiggly].mean()
    assert variance[sparse].mean() > bias[sparse].mean()


@check
def check_training_and_test_error_of_the_figure():
    train, bias, variance = figure_of(__file__).simulated()
    test = bias + variance
    assert (np.diff(train) < 0).all() and (np.diff(test[:4]) < 0).all() and (np.diff(test[3:]) > 0).all()
