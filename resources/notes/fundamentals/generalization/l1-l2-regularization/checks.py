import inspect
import math

import numpy as np
import torch
from scipy import stats
from scipy.optimize import minimize
from sklearn.linear_model import ElasticNet, Lasso, LassoCV, LinearRegression, LogisticRegression, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from note_checks import check, formula, holds, pitfall, quietly, raises, sourced, stated
from trainings import handwritten_digits

OBJECTIVES = r"""
\text{Ridge:} \;\; \min_w \lVert y - Xw \rVert_2^2 + \alpha \lVert w \rVert_2^2, \qquad
\text{Lasso:} \;\; \min_w \tfrac{1}{2n} \lVert y - Xw \rVert_2^2 + \alpha \lVert w \rVert_1
"""
CLOSED = r"\hat{w} = \left( X^\top X + \alpha I \right)^{-1} X^\top y"
ORTHOGONAL = r"""
w_j^{\text{ridge}} = \frac{w_j^0}{1 + \alpha / n}, \qquad
w_j^{\text{lasso}} = \mathrm{sign}(w_j^0) \max\left( |w_j^0| - \alpha, 0 \right)
"""
DECAY = r"w \leftarrow w - \eta (g + \lambda w) = (1 - \eta \lambda) w - \eta g"

sourced("minGPT, mingpt/model.py, configure_optimizers", "Should biases and norm parameters be decayed?")


def lasso(alpha):
    return Lasso(alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=100000)


def problems():
    for n, d in [(30, 4), (12, 3), (60, 7)]:
        X = np.random.randn(n, d) * np.random.uniform(0.5, 2, d)
        yield X, X @ np.random.randn(d) + 0.3 * np.random.randn(n)


@holds("`Ridge(alpha=1.0)`", "`Lasso(alpha=1.0)`")
@formula(OBJECTIVES)
def check_objectives():
    for X, y in problems():
        n = len(y)
        for alpha in (0.05, 0.4):
            ridge = lambda w: ((y - X @ w) ** 2).sum() + alpha * (w**2).sum()
            lassoed = lambda w: ((y - X @ w) ** 2).sum() / (2 * n) + alpha * np.abs(w).sum()
            mixed = lambda w: ((y - X @ w) ** 2).sum() / (2 * n) + alpha * (0.5 * np.abs(w).sum() + 0.25 * (w**2).sum())
            elastic = ElasticNet(alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=100000)
            pairs = (Ridge(alpha=alpha, fit_intercept=False), ridge), (lasso(alpha), lassoed), (elastic, mixed)
            for model, objective in pairs:
                best = model.fit(X, y).coef_
                found = minimize(
                    objective, best + 0.1, method="Powell", options={"xtol": 1e-10, "ftol": 1e-14, "maxiter": 50000}
                )
                assert objective(best) <= found.fun + 1e-8 and np.allclose(best, found.x, atol=1e-3)


@formula(CLOSED)
def check_closed_form():
    for X, y in [*problems(), (np.random.randn(5, 9), np.random.randn(5))]:
        for alpha in (0.01, 3.0):
            ours = np.linalg.inv(X.T @ X + alpha * np.eye(X.shape[1])) @ X.T @ y
            np.testing.assert_allclose(ours, Ridge(alpha=alpha, fit_intercept=False).fit(X, y).coef_, atol=1e-7)


@formula(ORTHOGONAL)
def check_orthogonal():
    for n, d in [(8, 3), (40, 10)]:
        X = np.linalg.qr(np.random.randn(n, d))[0] * math.sqrt(n)
        y = np.random.randn(n) * 2
        w0 = X.T @ y / n
        for alpha in (0.1, 0.6):
            np.testing.assert_allclose(
                Ridge(alpha=alpha, fit_intercept=False).fit(X, y).coef_, w0 / (1 + alpha / n), atol=1e-9
            )
            np.testing.assert_allclose(
                lasso(alpha).fit(X, y).coef_, np.sign(w0) * np.maximum(np.abs(w0) - alpha, 0), atol=1e-6
            )


@formula(DECAY)
def check_sgd_decay():
    for shape in [(3,), (2, 4)]:
        w, g = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
        parameter = torch.nn.Parameter(w.clone())
        parameter.grad = g.clone()
        torch.optim.SGD([parameter], lr=0.3, weight_decay=0.2).step()
        np.testing.assert_allclose(((1 - 0.3 * 0.2) * w - 0.3 * g).numpy(), parameter.detach().numpy(), atol=1e-12)
        inside = torch.nn.Parameter(w.clone())
        ((inside * g).sum() + 0.2 / 2 * (inside**2).sum()).backward()
        np.testing.assert_allclose((w - 0.3 * inside.grad).numpy(), parameter.detach().numpy(), atol=1e-12)


@check
def check_where_lasso_is_empty():
    for X, y in problems():
        edge = np.abs(X.T @ y).max() / len(y)
        assert (lasso(edge * 1.001).fit(X, y).coef_ == 0).all() and (lasso(edge * 0.98).fit(X, y).coef_ != 0).any()
        assert (Ridge(alpha=1e6, fit_intercept=False).fit(X, y).coef_ != 0).all()


@check
def check_by_hand():
    X = np.linalg.qr(np.random.randn(8, 3))[0] * math.sqrt(8)
    y = X @ [3.0, 1.0, 0.4]
    np.testing.assert_allclose(lasso(0.5).fit(X, y).coef_, [2.5, 0.5, 0], atol=1e-9)
    np.testing.assert_allclose(Ridge(alpha=8.0, fit_intercept=False).fit(X, y).coef_, [1.5, 0.5, 0.2], atol=1e-9)


@holds("Input", "PyTorch", "Not penalised")
def check_defaults():
    assert Ridge().alpha == Lasso().alpha == ElasticNet().alpha == 1.0 and ElasticNet().l1_ratio == 0.5
    p = [torch.nn.Parameter(torch.zeros(1))]
    decays = {
        make: inspect.signature(make).parameters.get("weight_decay")
        for make in vars(torch.optim).values()
        if inspect.isclass(make)
    }
    named = {torch.optim.AdamW: 0.01, torch.optim.Muon: 0.1}
    assert all(decay is None or decay.default == named.get(make, 0) for make, decay in decays.items())
    assert not [make for make in decays if any("l1" in name for name in inspect.signature(make).parameters)]
    stated("0.01", torch.optim.AdamW(p).param_groups[0]["weight_decay"])
    stated("0.1", torch.optim.Muon([torch.nn.Parameter(torch.zeros(2, 2))]).param_groups[0]["weight_decay"])
    X, y = np.random.randn(20, 3), np.random.randn(20)
    for model in (Ridge(), Lasso(), ElasticNet()):
        assert model.fit(X, y).coef_.shape == model.fit(X, y[:, None]).coef_.shape == (3,)
        assert model.fit(X, np.stack([y, y], 1)).coef_.shape == (2, 3)
    for model in (Ridge(alpha=5.0), Lasso(alpha=0.05), ElasticNet(alpha=0.05)):
        coef = model.fit(X, y).coef_
        assert np.allclose(model.fit(X, y + 100).coef_, coef, atol=1e-3) and model.intercept_ > 95


@pitfall('"The L2 term in Adam has no effect"')
def check_adam_decays_unevenly():
    """Alternating gradients of +g and -g: without decay the weight stays near 1, so what is lost is the decay."""

    def loss_of_weight(make, size):
        def run(decay):
            w = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
            optimizer = make([w], lr=0.001, weight_decay=decay)
            for step in range(400):
                w.grad = torch.full_like(w, size if step % 2 else -size)
                optimizer.step()
            return w.item()

        return run(0.0) - run(0.1)

    small, large = (loss_of_weight(torch.optim.Adam, size) for size in (0.01, 10.0))
    assert small > 0.1 and 0 < large < 0.01
    small, large = (loss_of_weight(torch.optim.AdamW, size) for size in (0.01, 10.0))
    assert abs(small / large - 1) < 0.05 and large > 0.02


@pitfall("The same alpha, a very different strength")
def check_strength_of_alpha():
    X = np.random.randn(200, 5)
    y = X @ [1.0, 0.8, 0.6, 0.5, 0.4] + 0.5 * np.random.randn(200)
    halves = [(X[:100], y[:100]), (X[100:], y[100:])]
    score = lambda model: model.fit(*halves[0]).score(*halves[1])
    assert score(Ridge(alpha=1.0)) > 0.85 and score(Lasso(alpha=1.0)) < 0.3
    tuned = score(RidgeCV(alphas=np.geomspace(1e-3, 1e3, 13))), score(LassoCV(random_state=0))
    assert min(tuned) > 0.85 and abs(tuned[0] - tuned[1]) < 0.02
    weak, strong = (np.linalg.norm(LogisticRegression(C=C).fit(X, y > 0).coef_) for C in (10.0, 0.01))
    assert strong < 0.3 * weak
    X, y = np.random.randn(50, 3), np.random.randn(50)
    twice = np.concatenate([X, X]), np.concatenate([y, y])
    assert np.allclose(lasso(0.05).fit(X, y).coef_, lasso(0.05).fit(*twice).coef_, atol=1e-6)
    assert not np.allclose(Ridge(alpha=20).fit(X, y).coef_, Ridge(alpha=20).fit(*twice).coef_, atol=1e-3)
    assert np.allclose(Ridge(alpha=20).fit(X, y).coef_, Ridge(alpha=40).fit(*twice).coef_)
    w = torch.nn.Parameter(torch.tensor(Ridge(alpha=50 * 0.4 / 2, fit_intercept=False).fit(X, y).coef_))
    torch.nn.functional.mse_loss(torch.tensor(X) @ w, torch.tensor(y)).backward()
    assert torch.allclose(w.grad + 0.4 * w, torch.zeros(3, dtype=w.dtype), atol=1e-9)  # at rest under weight_decay=0.4


@pitfall("Which weights vanish depends on the units")
def check_units():
    X = np.random.randn(100, 2)
    y = X @ [0.3, 1.0]
    metres, millimetres = (LinearRegression().fit(X * [unit, 1], y).coef_[0] for unit in (1, 1000))
    stated("1,000", round(metres / millimetres))
    assert lasso(0.5).fit(X, y).coef_[0] == 0 and lasso(0.5).fit(X * [1000, 1], y).coef_[0] != 0
    vanished = [make_pipeline(StandardScaler(), lasso(0.5)).fit(X * [unit, 1], y)[-1].coef_ == 0 for unit in (1, 1000)]
    assert (vanished[0] == vanished[1]).all() and vanished[0][0]


@pitfall("L1 in PyTorch gives no exact zeros")
def check_soft_threshold_after_the_step():
    """The subgradient leaves small weights about zero; the threshold after the step, or pruning, zeroes them."""
    kept = lasso(0.3).fit(3**0.5 * np.eye(3), 3**0.5 * np.array([1.0, 0.31, 0.0])).coef_
    assert 0 < kept[1] < 2 * 0.05 * 0.3 and kept[2] == 0  # pruning below the threshold used here would cut this one too
    for n, truth in ((60, [1.0, -1.0, 0.0, 0.0]), (100, [2.0, 0.0, 1.0, 0.0, 0.0, -1.0])):
        X = np.random.randn(n, len(truth))
        y = X @ truth + 0.1 * np.random.randn(n)
        alpha = 0.2 * np.abs(X.T @ y).max() / len(y)
        w = torch.nn.Parameter(torch.full((X.shape[1],), 0.37, dtype=torch.float64))
        optimizer = torch.optim.SGD([w], lr=0.05)
        for _ in range(400):
            optimizer.zero_grad()
            (((torch.tensor(y) - torch.tensor(X) @ w) ** 2).sum().div(2 * len(y)) + alpha * w.abs().sum()).backward()
            optimizer.step()
        useless = lasso(alpha).fit(X, y).coef_ == 0
        assert useless.any() and (w != 0).all()
        small = (w.abs() < 2 * 0.05 * alpha).numpy()
        assert (small == useless).all()
        w = torch.nn.Parameter(torch.zeros(X.shape[1], dtype=torch.float64))
        raises(RuntimeError, lambda: w.copy_(w.sign() * (w.abs() - 0.1).clamp(min=0)), "in-place operation")
        optimizer = torch.optim.SGD([w], lr=0.05)
        for _ in range(600):
            optimizer.zero_grad()
            ((torch.tensor(y) - torch.tensor(X) @ w) ** 2).sum().div(2 * len(y)).backward()
            optimizer.step()
            with torch.no_grad():
                w.copy_(w.sign() * (w.abs() - 0.05 * alpha).clamp(min=0))
        wanted = lasso(alpha).fit(X, y).coef_
        np.testing.assert_allclose(w.detach().numpy(), wanted, atol=1e-6)
        assert ((w == 0).numpy() == (wanted == 0)).all()
        w = torch.nn.Parameter(torch.zeros(X.shape[1], dtype=torch.float64))
        optimizer = torch.optim.SGD([w], lr=0.01, momentum=0.9)  # momentum weakens the threshold tenfold
        for _ in range(500):
            optimizer.zero_grad()
            ((torch.tensor(y) - torch.tensor(X) @ w) ** 2).sum().div(2 * len(y)).backward()
            optimizer.step()
            with torch.no_grad():
                w.copy_(w.sign() * (w.abs() - 0.01 * alpha).clamp(min=0))
        np.testing.assert_allclose(w.detach().numpy(), lasso(0.1 * alpha).fit(X, y).coef_, atol=1e-4)
    X = np.random.randn(1000, 50)
    y = X[:, :5].sum(1) + np.random.randn(1000)
    w, zeros = np.zeros(50), {}
    for batch in (16, 1000):  # the noise of minibatches undoes most zeros
        for _ in range(600):
            rows = np.random.permutation(1000)[:batch]
            w = w - 0.05 * X[rows].T @ (X[rows] @ w - y[rows]) / batch
            w = np.sign(w) * np.maximum(np.abs(w) - 0.05 * 0.05, 0)
        zeros[batch] = (w == 0).mean()
    assert zeros[16] < 0.3 and abs(zeros[1000] - (lasso(0.05).fit(X, y).coef_ == 0).mean()) < 0.05, zeros


@holds("Not penalised")
def check_parameters_without_gradient_are_not_decayed():
    for make in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        w, frozen, layer = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1)), torch.nn.Linear(2, 2)
        torch.nn.init.ones_(layer.bias)
        optimizer = make([w, frozen, *layer.parameters()], lr=0.1, weight_decay=0.1)
        for decayed in (w, layer.bias):
            decayed.grad = torch.zeros_like(decayed)
        optimizer.step()
        assert w.item() < 1 and frozen.item() == 1 and (layer.bias < 1).all()


@holds("L2, ridge", "L1, lasso", "Elastic net")
def check_shared_and_keras_factor():
    x = np.random.randn(200, 1)
    X = np.concatenate([x, x + 1e-3 * np.random.randn(200, 1)], 1)
    coef = Ridge(alpha=1.0).fit(X, 2 * x[:, 0]).coef_
    assert np.allclose(coef, [1, 1], atol=0.05)
    y = 2 * x[:, 0] + 0.1 * np.random.randn(200)
    kept = lasso(0.2).fit(X, y).coef_
    assert kept.min() == 0 and kept.max() > 1.5
    assert ElasticNet(alpha=0.2, fit_intercept=False).fit(X, y).coef_.min() > 0.5
    X = np.array([[1.0, 1.0], [0.0, 0.1]])
    weak, strong = (Ridge(alpha=alpha, fit_intercept=False).fit(X, [1.0, 0.0]).coef_ for alpha in (1e-6, 0.1))
    assert abs(strong[1]) > abs(weak[1]) + 0.1
    w = torch.tensor([2.0], requires_grad=True)
    (0.3 * (w**2).sum()).backward()
    assert math.isclose(w.grad.item(), 2 * 0.3 * 2.0, rel_tol=1e-6)


@holds("L2, ridge", "L1, lasso", "Elastic net")
def check_what_each_is_for():
    """Test error with 40 rows and 30 features: many small weights favour ridge, three large ones lasso."""
    errors = {name: np.zeros(2) for name in ("many", "few")}
    for _ in range(10):
        for name, w in (("many", np.random.randn(30) / 5), ("few", np.r_[1.0, 1.0, -1.0, np.zeros(27)])):
            X, fresh = np.random.randn(40, 30), np.random.randn(500, 30)
            y = X @ w + np.random.randn(40)
            for place, model in enumerate((RidgeCV(alphas=np.geomspace(0.1, 1000, 13)), LassoCV(alphas=20, cv=5))):
                errors[name][place] += ((quietly(lambda: model.fit(X, y)).predict(fresh) - fresh @ w) ** 2).mean()
                assert place == 1 or (model.coef_ != 0).all()
    assert errors["many"][0] < 0.95 * errors["many"][1] and errors["few"][1] < 0.7 * errors["few"][0], errors
    shared = np.random.randn(60, 1) + 0.2 * np.random.randn(60, 5)
    X = np.concatenate([shared, np.random.randn(60, 20)], 1)
    y = shared.sum(1) + np.random.randn(60)
    kept, alone = (model.fit(X, y).coef_ != 0 for model in (ElasticNet(alpha=0.5), Lasso(alpha=0.5)))
    assert kept[:5].all() and not kept[5:].all() and alone[:5].sum() <= kept[:5].sum()


@holds("Dropout, early stopping")
def check_no_zeros_from_dropout():
    pixels, classes = handwritten_digits()
    net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(32, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for rows in torch.randperm(1500).split(100):  # one epoch: stopped early
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(pixels[rows]), classes[rows]).backward()
        optimizer.step()
    assert all((parameter != 0).all() for parameter in net.parameters())


@holds("Which priors do they correspond to?")
def check_priors():
    """The mode of the posterior, found from the densities that SciPy has, is the penalised minimum."""
    for X, y in list(problems())[:2]:
        likelihood = lambda w: stats.norm(X @ w, 0.5).logpdf(y).sum()
        for prior, model in (
            (stats.norm(0, 0.7), Ridge(alpha=0.5**2 / 0.7**2, fit_intercept=False)),
            (stats.laplace(0, 0.3), lasso(0.5**2 / (0.3 * len(y)))),
        ):
            negative = lambda w: -likelihood(w) - prior.logpdf(w).sum()
            coef = model.fit(X, y).coef_
            found = minimize(negative, coef + 0.1, method="Powell", options={"xtol": 1e-7, "ftol": 1e-11})
            assert negative(coef) <= found.fun + 1e-6 and np.allclose(coef, found.x, atol=1e-3)


@holds("Why does ridge help with collinear features?")
def check_collinear():
    x = np.random.randn(50, 1)
    X = np.concatenate([x, x + 0.01 * np.random.randn(50, 1)], 1)
    eigenvalues = np.linalg.eigvalsh(X.T @ X)
    assert np.allclose(np.linalg.eigvalsh(X.T @ X + 2 * np.eye(2)), eigenvalues + 2) and eigenvalues[0] < 0.1
    assert np.linalg.eigvalsh(np.linalg.inv(X.T @ X + 2 * np.eye(2))).max() < 1 / 2
    noisy = x + 0.3 * np.random.randn(50, 200)  # 200 draws of the noise
    models = LinearRegression(fit_intercept=False), Ridge(2.0, fit_intercept=False)
    plain, ridge = (model.fit(X, noisy).coef_.std(0).max() for model in models)
    assert plain > 10 * ridge


@holds("Should biases and norm parameters be decayed?")
def check_decay_of_a_gain():
    def gain_after(groups, norm):
        optimizer = torch.optim.AdamW(groups, lr=0.1)
        for _ in range(100):
            norm.weight.grad = torch.zeros(4)
            optimizer.step()
        return norm.weight.detach()

    norm = torch.nn.LayerNorm(4)
    assert (norm.weight == 1).all() and (gain_after([{"params": [norm.weight], "weight_decay": 0.0}], norm) == 1).all()
    assert (gain_after([{"params": [norm.weight], "weight_decay": 1.0}], norm) < 0.01).all()
