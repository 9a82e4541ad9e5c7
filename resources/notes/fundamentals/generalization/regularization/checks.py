import copy
import math

import numpy as np
import torch
from sklearn.linear_model import Ridge, SGDClassifier
from sklearn.neural_network import MLPClassifier

from note_checks import check, formula, stated

PENALIZED = r"\tilde{L}(w) = L(w) + \lambda\, \Omega(w)"
STOPPED = r"w_j^{(t)} = \left( 1 - (1 - \eta h_j)^t \right) w_j^{*}"
RIDGE = r"w_j^{(\lambda)} = \frac{h_j}{h_j + \lambda}\, w_j^{*}"


@formula(PENALIZED)
def check_penalized_gradient_is_weight_decay():
    for strength in (0.0, 0.3):
        w, target = torch.randn(4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
        a, b = torch.nn.Parameter(w.clone()), torch.nn.Parameter(w.clone())
        (((a - target) ** 4).sum() + strength * 0.5 * (a**2).sum()).backward()
        torch.optim.SGD([a], lr=0.01).step()
        ((b - target) ** 4).sum().backward()
        torch.optim.SGD([b], lr=0.01, weight_decay=strength).step()
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-12)


def least_squares(n, d):
    X, w = np.random.randn(n, d) * np.geomspace(0.1, 2, d), np.random.randn(d)
    return X, X @ w, w


@formula(STOPPED)
def check_early_stopping():
    for n, d, steps in [(20, 3, 1), (30, 5, 17), (50, 2, 100)]:
        X, y, best = least_squares(n, d)
        h, V = np.linalg.eigh(X.T @ X / n)
        eta = 0.9 / h.max()
        w = torch.zeros(d, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=eta)
        for _ in range(steps):
            optimizer.zero_grad()
            (0.5 * ((torch.tensor(X) @ w - torch.tensor(y)) ** 2).mean()).backward()
            optimizer.step()
        ours = V @ ((1 - (1 - eta * h) ** steps) * (V.T @ best))
        np.testing.assert_allclose(ours, w.detach().numpy(), atol=1e-9)


@formula(RIDGE)
def check_ridge():
    for n, d, strength in [(20, 3, 0.01), (30, 5, 0.4), (50, 2, 3.0)]:
        X, y, best = least_squares(n, d)
        h, V = np.linalg.eigh(X.T @ X / n)
        ours = V @ (h / (h + strength) * (V.T @ best))
        np.testing.assert_allclose(ours, Ridge(alpha=n * strength, fit_intercept=False).fit(X, y).coef_, atol=1e-8)


@check
def check_by_hand():
    kept = {h: (1 - (1 - 0.1 * h) ** 10, h / (h + 1)) for h in (0.1, 1, 5)}
    stated("0.0956", kept[0.1][0])
    stated("0.0909", kept[0.1][1])
    stated("0.6513", kept[1][0])
    assert kept[1][1] == 0.5
    stated("0.9990", kept[5][0])
    stated("0.8333", kept[5][1])


@check
def check_first_order_agreement():
    eta, t = 0.01, 200
    for h in (1e-4, 1e-3):
        assert abs((1 - (1 - eta * h) ** t) / (h / (h + 1 / (eta * t))) - 1) < 2 * h * eta * t
    assert 1 - (1 - eta * 90) ** t > 0.99 and 90 / (90 + 1 / (eta * t)) > 0.99
    for steps in (1, 10):    # below 1/eta, the largest rate allowed, the penalty keeps less than t/(t + 1)
        assert 99 / (99 + 1 / (eta * steps)) < steps / (steps + 1)


@check
def check_defaults():
    net, sgd = MLPClassifier(), SGDClassifier()
    assert (net.early_stopping, net.validation_fraction, net.n_iter_no_change) == (False, 0.1, 10)
    assert (sgd.early_stopping, sgd.n_iter_no_change) == (False, 5)


@check
def check_mlp_restores_the_best_weights():
    X = np.random.randn(200, 10)
    y = (X[:, 0] + 0.8 * np.random.randn(200) > 0).astype(int)
    worse_at_the_end = 0
    for seed in range(4):
        net = MLPClassifier((20,), early_stopping=True, n_iter_no_change=15, learning_rate_init=0.05, max_iter=200, random_state=seed).fit(X, y)
        worse_at_the_end += net.validation_scores_[-1] < max(net.validation_scores_)
        assert net.best_validation_score_ == max(net.validation_scores_)
        assert all(np.array_equal(a, b) for a, b in zip(net.coefs_, net._best_coefs))
    assert worse_at_the_end > 0
    assert getattr(MLPClassifier((5,), solver="lbfgs", early_stopping=True, max_iter=2000, random_state=0).fit(X, y), "validation_scores_", None) is None


@check
def check_state_dict_is_alive():
    model = torch.nn.Linear(3, 2)
    alias, safe = model.state_dict(), copy.deepcopy(model.state_dict())
    model(torch.ones(1, 3)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    assert torch.equal(alias["weight"], model.weight) and not torch.equal(safe["weight"], model.weight)


@check
def check_patience_of_the_example():
    losses = [0.90, 0.70, 0.60, 0.62, 0.61, 0.55, 0.58, 0.59, 0.60, 0.40]

    def best(patience):
        seen, waited = math.inf, 0
        for loss in losses:
            seen, waited = (loss, 0) if loss < seen else (seen, waited + 1)
            if waited >= patience:
                break
        return seen

    assert best(2) == 0.60
    stated("0.55", best(3))
    stated("0.40", best(5))


@check
def check_loss_rises_while_accuracy_improves():
    from torch.nn import functional as F

    y = torch.tensor([0, 0, 0, 0])
    early = torch.tensor([[0.2, 0.0], [0.2, 0.0], [-0.1, 0.0], [-0.1, 0.0]])
    late = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [-9.0, 0.0]])
    assert F.cross_entropy(late, y) > F.cross_entropy(early, y)
    assert (late.argmax(1) == y).float().mean() > (early.argmax(1) == y).float().mean()
