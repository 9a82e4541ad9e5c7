import math
import warnings

import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from note_checks import by_definition, check, formula, holds, pitfall, quietly, sourced, stated

RULE = r"""
\text{if } y_i (w^\top x_i + b) \le 0: \qquad w \leftarrow w + \eta\, y_i x_i, \qquad b \leftarrow b + \eta\, y_i
"""
BOUND = r"\text{number of mistakes} \le \left( \frac{R}{\gamma} \right)^2"
NETWORK = r"f(x) = W_2\, \varphi(W_1 x + b_1) + b_2"
POINTS, XOR = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])

by_definition("Cost")
sourced("Freund and Schapire 1999, section 5: voted and averaged against the last weights", "Is the solution unique?")
sourced("Leshno et al. 1993, Neural Networks 6, theorem 1", "What does the universal approximation theorem promise?")


def perceptron(X, y, epochs, eta=1.0):
    w, b, mistakes = np.zeros(X.shape[1]), 0.0, 0
    for _ in range(epochs):
        for x, label in zip(X, y):
            if label * (w @ x + b) <= 0:
                w, b, mistakes = w + eta * label * x, b + eta * label, mistakes + 1
    return w, b, mistakes


def problems():
    for n, d in [(20, 2), (60, 5), (40, 1)]:
        X = np.random.randn(n, d) + 0.5
        yield X, np.where(X @ np.random.randn(d) + 0.3 > 0, 1, -1)
        yield X, np.where(np.random.rand(n) < 0.5, 1, -1)


@formula(RULE)
@holds("Perceptron")
def check_rule():
    for X, y in problems():
        if len(set(y)) < 2:
            continue
        for eta in (1.0, 0.3):
            w, b, _ = perceptron(X, y, 7, eta)
            model = Perceptron(shuffle=False, tol=None, max_iter=7, eta0=eta).fit(X, y)
            np.testing.assert_allclose(w, model.coef_[0], atol=1e-9)
            np.testing.assert_allclose(b, model.intercept_[0], atol=1e-9)
    score = lambda w, b, x, label: label * (w @ x + b)  # a correction moves the score towards the class
    assert score(w + y[0] * X[0], b + y[0], X[0], y[0]) > score(w, b, X[0], y[0])
    t = torch.randn(4, dtype=torch.float64, requires_grad=True)
    x = torch.randn(4, dtype=torch.float64)
    y = -float(torch.sign(t.detach() @ x))
    torch.relu(-y * (t @ x)).backward()
    np.testing.assert_allclose(t.grad.numpy(), -y * x.numpy())


@formula(BOUND)
def check_bound():
    """The margin is computed with an arbitrary separator u, so the bound must hold for it."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        u = rng.normal(size=4)
        u /= np.linalg.norm(u)
        extended = np.column_stack([rng.normal(size=(80, 3)), np.ones(80)])
        extended = extended[np.abs(extended @ u) > 0.2]
        y = np.sign(extended @ u)
        R, gamma = np.linalg.norm(extended, axis=1).max(), (y * (extended @ u)).min()
        w, b, mistakes = perceptron(extended[:, :3], y, 2000)
        assert ((extended[:, :3] @ w + b) * y > 0).all() and mistakes <= (R / gamma) ** 2


@formula(NETWORK)
@holds("`MLPClassifier`")
def check_network():
    for hidden, activation, phi in [
        (3, "tanh", np.tanh),
        (6, "relu", lambda z: np.maximum(z, 0)),
        (4, "identity", lambda z: z),
    ]:
        X = np.random.randn(30, 4)
        y = (X[:, 0] * X[:, 1] > 0).astype(int)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlp = MLPClassifier((hidden,), activation=activation, max_iter=20, random_state=0).fit(X, y)
        W1, W2 = (w.T for w in mlp.coefs_)
        b1, b2 = mlp.intercepts_
        f = np.array([W2 @ phi(W1 @ x + b1) + b2 for x in X])[:, 0]
        np.testing.assert_allclose(1 / (1 + np.exp(-f)), mlp.predict_proba(X)[:, 1], atol=1e-9)
        net = torch.nn.Sequential(torch.nn.Linear(4, hidden), torch.nn.Linear(hidden, 1)).double()
        merged = net[1].weight @ net[0].weight, net[1].weight @ net[0].bias + net[1].bias
        x = torch.tensor(X)
        assert torch.allclose(net(x), x @ merged[0].T + merged[1])


@check
def check_by_hand():
    X, y = np.array([[2.0, 1], [1, 3]]), np.array([1, -1])
    states, w, b = [], np.zeros(2), 0.0
    for x, label in list(zip(X, y)) * 4:
        if label * (w @ x + b) <= 0:
            w, b = w + label * x, b + label
            states.append((*w, b))
    assert states == [(2, 1, 1), (1, -2, 0), (3, -1, 1), (2, -4, 0), (4, -3, 1)]
    assert w @ X[0] + b == 6
    stated("−4", w @ X[1] + b)
    stated("5", len(states))


@holds("`Perceptron().fit(X, y)`", "Output", "Defaults", "`MLPClassifier`", "Parameters")
def check_contract():
    model, mlp = Perceptron(), MLPClassifier()
    assert (model.eta0, model.penalty, model.max_iter, model.tol, model.shuffle) == (1.0, None, 1000, 1e-3, True)
    assert (mlp.hidden_layer_sizes, mlp.activation, mlp.solver, mlp.max_iter) == ((100,), "relu", "adam", 200)
    assert not hasattr(model, "predict_proba") and hasattr(mlp, "predict_proba")
    net = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    stated("79,510", sum(p.numel() for p in net.parameters()))
    X, y = np.random.randn(60, 3), np.random.randint(3, size=60)
    sparse = Perceptron().fit(csr_array(X), y)
    assert sparse.coef_.shape == (3, 3) and set(sparse.predict(csr_array(X))) <= {0, 1, 2}
    one, rest = (
        Perceptron(shuffle=False, tol=None, max_iter=5),
        (Perceptron(shuffle=False, tol=None, max_iter=5) for _ in range(3)),
    )
    several = np.stack([quietly(lambda: m.fit(X, y == k)).coef_[0] for k, m in enumerate(rest)])
    np.testing.assert_allclose(quietly(lambda: one.fit(X, y)).coef_, several)  # one against the rest
    two = model.fit(X, y > 0)
    assert two.coef_.size + two.intercept_.size == 3 + 1
    assert model.fit(X, y).decision_function(X).shape == (60, 3) and model.fit(X, y > 0).decision_function(X).shape == (
        60,
    )
    other = SGDClassifier(loss="perceptron", learning_rate="constant", eta0=1, penalty=None, random_state=0).fit(X, y)
    np.testing.assert_allclose(Perceptron().fit(X, y).coef_, other.coef_)


@pitfall('"My MLP cannot learn XOR"')
@holds("MLP")
def check_xor():
    for seed in range(20):
        assert Perceptron(tol=None, max_iter=50, random_state=seed).fit(POINTS, XOR).score(POINTS, XOR) < 1
    fit = lambda size: [
        MLPClassifier((size,), activation="tanh", solver="lbfgs", random_state=s).fit(POINTS, XOR).score(POINTS, XOR)
        for s in range(20)
    ]
    two, eight = fit(2), fit(8)
    assert max(two) == 1 and {0.5, 0.75} < set(two) and min(eight) == 1
    for seed in range(3):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sigmoid(), torch.nn.Linear(2, 1)).double()
        optimizer = torch.optim.SGD(net.parameters(), 0.01)
        for _ in range(500):
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(
                net(torch.tensor(POINTS))[:, 0], torch.tensor(XOR).double()
            ).backward()
            optimizer.step()
        assert ((net(torch.tensor(POINTS))[:, 0] > 0).numpy() != XOR).any()
    for rate, learned in ((0.001, False), (0.05, True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adam = [
                MLPClassifier((8,), activation="tanh", learning_rate_init=rate, random_state=s).fit(POINTS, XOR)
                for s in range(5)
            ]
        assert (min(model.score(POINTS, XOR) for model in adam) == 1) is learned


@pitfall("Changing the learning rate changes nothing")
def check_rate_does_not_matter_from_zero():
    X, y = np.random.randn(40, 3), np.random.randint(2, size=40)
    a, b = (Perceptron(eta0=eta, tol=None, max_iter=9, random_state=1).fit(X, y) for eta in (1.0, 0.25))
    np.testing.assert_allclose(a.coef_ * 0.25, b.coef_, atol=1e-9)
    assert (a.predict(X) == b.predict(X)).all()
    whole = np.random.randint(2, size=(60, 8))
    by_rate = [
        Perceptron(eta0=eta, tol=None, max_iter=20).fit(whole, np.arange(60) % 2).predict(whole)
        for eta in (1.0, 0.5, 0.1)
    ]
    assert (by_rate[0] == by_rate[1]).all() and (
        by_rate[0] != by_rate[2]
    ).any()  # scores of exactly 0, rounded with 0.1
    for other in (Perceptron(tol=None, max_iter=9, random_state=2), Perceptron(tol=None, max_iter=30, random_state=1)):
        assert (other.fit(X, y).predict(X) != a.predict(X)).any()


@check
def check_tolerance_scales_with_the_rate():
    X = np.random.default_rng(0).normal(size=(200, 5))
    y = (X @ np.random.default_rng(1).normal(size=5) + 0.3 * np.random.default_rng(2).normal(size=200) > 0).astype(int)
    tiny, usual = (
        np.mean([Perceptron(eta0=eta, random_state=s).fit(X, y).n_iter_ for s in range(10)]) for eta in (1e-5, 1.0)
    )
    assert tiny < usual


@pitfall("Training does not converge")
def check_default_tolerance_may_stop_before_separation():
    early = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X, u = rng.normal(size=(200, 5)), rng.normal(size=5)
        X = X[np.abs(X @ u) > 0.1]
        y = (X @ u > 0).astype(int)
        early += Perceptron(random_state=0).fit(X, y).score(X, y) < 1
        assert Perceptron(random_state=0, tol=None, max_iter=3000).fit(X, y).score(X, y) == 1
    assert early > 0
    X, y = load_wine(return_X_y=True)
    for seed in range(3):  # separable, yet on the raw columns 1,000 passes are far from enough
        raw, scaled = (
            quietly(lambda: Perceptron(random_state=seed, tol=None, max_iter=1000).fit(Z, y).score(Z, y))
            for Z in (X, StandardScaler().fit_transform(X))
        )
        assert raw < 0.95 and scaled == 1, (raw, scaled)
        # two columns overlap: averaged weights are no better than the commonest class before they are standardised
        raw, scaled = (
            quietly(lambda: SGDClassifier(average=True, random_state=seed).fit(Z, y).score(Z, y))
            for Z in (X[:, [0, 12]], StandardScaler().fit_transform(X[:, [0, 12]]))
        )
        assert raw < 0.45 and scaled > 0.7, (raw, scaled)


@pitfall("Training does not converge")
@holds("Is the solution unique?")
def check_what_to_do_on_data_that_overlap():
    """The pocket keeps the weights that are right most often on the training data, looked at after every pass."""
    scores = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(800, 5))
        y = (X @ rng.normal(size=5) + 0.7 * rng.normal(size=800) > 0).astype(int)
        last, mean = (
            SGDClassifier(loss="perceptron", learning_rate="constant", eta0=1, penalty=None, random_state=0, average=a)
            for a in (False, True)
        )
        models = [model.fit(X[:400], y[:400]) for model in (last, mean, LogisticRegression(), SVC(kernel="linear"))]
        passes = [
            quietly(lambda: Perceptron(tol=None, max_iter=n, random_state=0).fit(X[:400], y[:400]))
            for n in range(1, 31)
        ]
        assert (
            max(model.score(X[:400], y[:400]) for model in passes) < 1 and (passes[-1].coef_ != passes[-2].coef_).any()
        )
        models.append(max(passes, key=lambda model: model.score(X[:400], y[:400])))
        scores.append([model.score(X[400:], y[400:]) for model in models])
    last, *cures = np.mean(scores, 0)
    assert min(cures) > last + 0.01


@pitfall("Deep stacks of linear layers do not help")
def check_activations_make_depth_useful():
    X = np.random.randn(200, 2)
    y = X[:, 0] * X[:, 1] > 0
    network = lambda activation: MLPClassifier((16, 16, 16), activation=activation, solver="lbfgs", random_state=0)
    deep = lambda activation: quietly(lambda: network(activation).fit(X, y).score(X, y))
    assert deep("identity") < 0.7 and min(deep("tanh"), deep("relu")) > 0.95


@holds("SVM", "Logistic regression", "Perceptron")
def check_penalties_of_the_siblings():
    """The widest margin needs a large C; unpenalized logistic weights grow without end, penalized ones do not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 2))
    y = np.where(X[:, 0] > 0, 1, -1)
    X[:, 0] += 0.1 * y
    soft, hard = (SVC(kernel="linear", C=C).fit(X, y) for C in (1.0, 1e6))
    soft, hard = ((y * model.decision_function(X)).min() / np.linalg.norm(model.coef_) for model in (soft, hard))
    assert hard > 0.1 and soft < 0.9 * hard

    def size(C, tol):
        return np.linalg.norm(quietly(lambda: LogisticRegression(C=C, tol=tol, max_iter=10_000).fit(X, y)).coef_)

    assert math.isclose(size(1.0, 1e-4), size(1.0, 1e-8), rel_tol=0.01) and size(np.inf, 1e-8) > 2 * size(np.inf, 1e-2)


@holds("Perceptron", "SVM", "Logistic regression", "MLP")
def check_losses():
    """Each library's training moves its own loss of the table down, and stops or not as stated."""
    X = np.random.randn(80, 2)
    y = np.where(X[:, 0] > 0, 1, -1)
    X[:, 0] += 0.2 * y
    w, b, mistakes = perceptron(X, y, 100)
    again = perceptron(X, y, 300)
    assert again[2] == mistakes and (again[0] == w).all() and (y * (X @ w + b) > 0).all()  # separated: it stops
    assert Perceptron().partial_fit(X[:1], y[:1], classes=[-1, 1]).coef_.shape == (1, 2)
    margins = lambda model: y * model.decision_function(X)
    svm, widest = SVC(kernel="linear", C=1.0, tol=1e-8).fit(X, y), SVC(kernel="linear", C=1e6).fit(X, y)
    hinge = lambda w, b: (w**2).sum() / 2 + np.maximum(0, 1 - y * (X @ w + b)).sum()
    assert all(
        hinge(svm.coef_[0] + v[:2], svm.intercept_ + v[2]) >= hinge(svm.coef_[0], svm.intercept_) - 1e-6
        for v in np.random.randn(99, 3) / 9
    )
    assert margins(widest).min() / np.linalg.norm(widest.coef_) >= (y * (X @ w + b)).min() / np.linalg.norm(w) - 1e-6
    logistic = LogisticRegression(C=1.0).fit(X, y)
    assert logistic.predict_proba(X).shape == (80, 2)
    np.testing.assert_allclose(
        -np.log(logistic.predict_proba(X)[np.arange(80), (y > 0) * 1]), np.log1p(np.exp(-margins(logistic)))
    )
    target = torch.tensor(y, dtype=torch.float64)
    for loss in (torch.nn.SoftMarginLoss(), torch.nn.MSELoss(), torch.nn.HuberLoss()):  # any differentiable one
        net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
        optimizer, seen = torch.optim.Adam(net.parameters(), 0.05), []
        for _ in range(60):
            optimizer.zero_grad()
            value = loss(net(torch.tensor(X))[:, 0], target)
            value.backward()
            optimizer.step()
            seen.append(value.item())
        assert seen[-1] < seen[0] / 2


@holds("Why is the step function no good for backpropagation?")
def check_slopes():
    z = torch.linspace(-3, 3, 61)[torch.arange(61) != 30].requires_grad_()
    slope = lambda f: torch.autograd.grad(f(z).sum(), z)[0]
    step = lambda z: (torch.sign(z) + 1) / 2
    assert (slope(step) == 0).all() and (slope(torch.sigmoid) > 0).all() and (slope(torch.tanh) > 0).all()
    assert (slope(torch.relu)[z > 0] == 1).all()
    first, last = torch.nn.Linear(2, 4), torch.nn.Linear(4, 1)
    last(step(first(torch.randn(9, 2)))).pow(2).sum().backward()
    assert (first.weight.grad == 0).all() and (last.weight.grad != 0).any()


@holds("Is the solution unique?")
def check_order_matters():
    X = np.random.randn(30, 2)
    X[:, 0] += np.sign(X[:, 0])
    y = np.sign(X[:, 0])
    first, second = perceptron(X, y, 50), perceptron(X[::-1], y[::-1], 50)
    assert not np.allclose(first[0] / np.linalg.norm(first[0]), second[0] / np.linalg.norm(second[0]))
    w, b, _ = first
    widest = SVC(kernel="linear", C=1e6).fit(X, y)
    distance = lambda w, b: (y * (X @ w + b)).min() / np.linalg.norm(w)
    assert 0 < distance(w, b) < distance(widest.coef_[0], widest.intercept_)
