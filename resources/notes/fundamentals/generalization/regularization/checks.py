import copy
import io
import math

import numpy as np
import torch
from sklearn.linear_model import Ridge, SGDClassifier
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, stated
from trainings import descend, handwritten_digits

PENALIZED = r"\tilde{L}(w) = L(w) + \lambda\, \Omega(w)"
STOPPED = r"w_j^{(t)} = \left( 1 - (1 - \eta h_j)^t \right) w_j^{*}"
RIDGE = r"w_j^{(\lambda)} = \frac{h_j}{h_j + \lambda}\, w_j^{*}"

by_definition("Early stopping needs", "Cost", "Is every regularizer a term in the loss?")
by_definition("Early stopping", "L1, L2", "Data augmentation", "Label smoothing", "Ensembles")


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
        descend(optimizer, lambda: 0.5 * ((torch.tensor(X) @ w - torch.tensor(y)) ** 2).mean(), steps)
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
    for steps in (1, 10):  # below 1/eta, the largest rate allowed, the penalty keeps less than t/(t + 1)
        assert 99 / (99 + 1 / (eta * steps)) < steps / (steps + 1)


@holds("`MLPClassifier`", "`SGDClassifier`")
def check_defaults():
    net, sgd = MLPClassifier(), SGDClassifier()
    assert (net.early_stopping, net.validation_fraction, net.n_iter_no_change) == (False, 0.1, 10)
    assert (sgd.early_stopping, sgd.n_iter_no_change) == (False, 5)


@holds("`MLPClassifier`")
def check_mlp_restores_the_best_weights():
    X = np.random.randn(200, 10)
    y = (X[:, 0] + 0.8 * np.random.randn(200) > 0).astype(int)
    worse_at_the_end = 0
    for seed in range(4):
        net = MLPClassifier(
            (20,), early_stopping=True, n_iter_no_change=15, learning_rate_init=0.05, max_iter=200, random_state=seed
        ).fit(X, y)
        worse_at_the_end += net.validation_scores_[-1] < max(net.validation_scores_)
        assert net.best_validation_score_ == max(net.validation_scores_)
        assert all(np.array_equal(a, b) for a, b in zip(net.coefs_, net._best_coefs))
    assert worse_at_the_end > 0
    assert (
        getattr(
            MLPClassifier((5,), solver="lbfgs", early_stopping=True, max_iter=2000, random_state=0).fit(X, y),
            "validation_scores_",
            None,
        )
        is None
    )


@holds("`SGDClassifier`")
def check_sgd_keeps_the_last_weights():
    """Of two equal runs the second is only told to end in the epoch in which the first stopped."""
    X = np.random.randn(200, 10)
    y = (X[:, 0] + 0.8 * np.random.randn(200) > 0).astype(int)
    stopped = SGDClassifier(early_stopping=True, random_state=0).fit(X, y)
    assert 5 < stopped.n_iter_ < 1000
    ended, best = (
        SGDClassifier(early_stopping=True, random_state=0, tol=None, max_iter=epochs).fit(X, y)
        for epochs in (stopped.n_iter_, stopped.n_iter_ - 5)
    )
    assert np.array_equal(stopped.coef_, ended.coef_) and not np.array_equal(stopped.coef_, best.coef_)


@pitfall("The saved best weights equal the last ones")
def check_state_dict_is_alive():
    model = torch.nn.Linear(3, 2)
    alias, safe = model.state_dict(), copy.deepcopy(model.state_dict())
    file, before = io.BytesIO(), model.weight.detach().clone()
    torch.save(model.state_dict(), file)
    model(torch.ones(1, 3)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    assert torch.equal(alias["weight"], model.weight) and not torch.equal(safe["weight"], model.weight)
    file.seek(0)
    assert torch.equal(safe["weight"], before) and torch.equal(torch.load(file)["weight"], before)


def digits(*counts):
    pixels, classes = handwritten_digits()
    order = torch.randperm(len(classes))
    return [(pixels[rows], classes[rows]) for rows in order[: sum(counts)].split(list(counts))]


def trained(net, train, epochs, rate=0.01, after=lambda: None, decay=0.0):
    """Trains in batches of 50; `after` runs at the end of each epoch."""
    optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9, weight_decay=decay)
    for _ in range(epochs):
        net.train()
        for rows in torch.randperm(len(train[0])).split(50):
            optimizer.zero_grad()
            F.cross_entropy(net(train[0][rows]), train[1][rows]).backward()
            optimizer.step()
        net.eval()
        after()
    return net


def loss_on(net, data):
    return F.cross_entropy(net(data[0]), data[1]).item()


def dense(width, dropout=0.0):
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))


@pitfall("After early stopping the model is not the best one")
def check_the_best_checkpoint():
    train, held_out = digits(100, 300)
    train[1][:40] = torch.randint(10, (40,))
    net, losses, best = dense(128), [], {}

    def after():
        losses.append(loss_on(net, held_out))
        if losses[-1] == min(losses):
            best.update(copy.deepcopy(net.state_dict()))

    trained(net, train, 60, rate=0.1, after=after)
    epoch = int(np.argmin(losses))
    stopped = losses[epoch + 5]  # where patience 5 ends
    assert stopped > 1.05 * min(losses) and loss_on(net, held_out) == losses[-1] > stopped
    net.load_state_dict(best)
    assert loss_on(net, held_out) == min(losses)


def stop(losses, patience):
    """The epoch in which training ends and the best one until then."""
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, 0) if epoch == 0 or loss < losses[best] else (best, waited + 1)
        if waited >= patience:
            break
    return epoch, best


@pitfall("It stops on a plateau")
def check_plateaus():
    """Noise: the loss that a validation sample measures. A schedule: a rate that is too high for progress until it drops."""
    truth = np.linspace(1, 0.4, 60)
    ends = {}
    for examples, patience in ((50, 3), (50, 30), (20000, 3)):
        runs = [stop(truth + np.random.randn(60) / math.sqrt(examples), patience)[1] for _ in range(200)]
        ends[examples, patience] = truth[runs].mean()
    assert ends[50, 3] > 0.8 and ends[50, 30] < 0.55 and ends[20000, 3] < 0.5
    x, clean = torch.randn(2, 500, 20), torch.randn(20)
    net, losses, many, precise = nn.Linear(20, 1), [], torch.randn(20000, 20), []
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30])
    for _ in range(40):
        for batch in x[0].split(10):
            optimizer.zero_grad()
            F.mse_loss(net(batch)[:, 0], batch @ clean + torch.randn(10)).backward()
            optimizer.step()
        schedule.step()
        losses.append(F.mse_loss(net(x[1])[:, 0], x[1] @ clean).item())
        precise.append(F.mse_loss(net(many)[:, 0], many @ clean).item())
    for curve in (losses, precise):  # more data do not end the plateau, patience and the best checkpoint do
        epoch, best = stop(curve, 3)
        assert epoch < 25 and max(min(curve), curve[stop(curve, 30)[1]]) < 0.5 * curve[best]
    net, losses = nn.Linear(20, 1), []  # a warm-up of 30 epochs, each judged by 50 new rows
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-5, total_iters=30)
    for _ in range(60):
        optimizer.zero_grad()
        F.mse_loss(net(x[0])[:, 0], x[0] @ clean).backward()
        optimizer.step()
        schedule.step()
        new = torch.randn(50, 20)
        losses.append(F.mse_loss(net(new)[:, 0], new @ clean).item())
    assert stop(losses, 3)[0] < 15 and losses[stop(losses, 30)[1]] < 0.3 * losses[stop(losses, 3)[1]]


@pitfall("The reported validation score is too good")
def check_selected_score():
    """Labels are drawn, so no net can be better than one half."""
    chosen = []
    for _ in range(5):
        (x, _), (v, _), (t, _) = digits(100, 60, 1000)
        train, held_out, test = ((data, torch.randint(2, (len(data),))) for data in (x, v, t))
        net, scores = dense(32), []
        right = lambda data: (net(data[0]).argmax(1) == data[1]).float().mean().item()
        trained(net, train, 40, rate=0.1, after=lambda: scores.append((right(held_out), right(test))))
        chosen.append(max(scores))
    reported, honest = np.mean(chosen, 0)
    assert reported > 0.56 and abs(honest - 0.5) < 0.03


@holds("Dropout")
@pitfall("Regularizing a model that underfits")
def check_underfitting():
    """A narrow net fits badly, and worse with a regularizer; a wide one fits well, and then dropout helps on new data."""
    train, held_out = digits(150, 600)
    train[1][:45] = torch.randint(10, (45,))
    losses = {}
    for width, dropout, decay in ((8, 0.0, 0.0), (8, 0.5, 0.0), (8, 0.0, 0.1), (256, 0.0, 0.0), (256, 0.5, 0.0)):
        net = trained(dense(width, dropout), train, 150, rate=0.02, decay=decay)
        losses[width, dropout, decay] = loss_on(net, train), loss_on(net, held_out)
    plain = losses[8, 0.0, 0.0]
    assert plain[0] > 0.55 and all(losses[key][0] > 1.3 * plain[0] for key in ((8, 0.5, 0.0), (8, 0.0, 0.1)))
    plain, better = losses[256, 0.0, 0.0], losses[256, 0.5, 0.0]
    assert plain[0] < 0.5 and better[1] < 0.95 * plain[1]


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


@holds("Loss or accuracy as the stopping criterion?")
def check_loss_rises_while_accuracy_improves():
    y = torch.tensor([0, 0, 0, 0])
    early = torch.tensor([[0.2, 0.0], [0.2, 0.0], [-0.1, 0.0], [-0.1, 0.0]])
    late = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [-9.0, 0.0]])
    assert F.cross_entropy(late, y) > F.cross_entropy(early, y)
    assert (late.argmax(1) == y).float().mean() > (early.argmax(1) == y).float().mean()


@holds("PyTorch", "Same in train and eval?")
def check_what_pytorch_has():
    modules = torch, nn, torch.optim, torch.optim.lr_scheduler, torch.utils.data
    names = [name for module in modules for name in dir(module)]
    assert not [name for name in names if "earlystop" in name.lower().replace("_", "")]
    x, dropout = torch.ones(1000), nn.Dropout(0.5)
    assert (dropout.train()(x) == 0).any() and torch.equal(dropout.eval()(x), x)
    net, x = nn.Linear(3, 2), torch.randn(5, 3)
    before = net(x)
    torch.optim.SGD(net.parameters(), 0.1, weight_decay=0.5)
    assert torch.equal(net(x), before)


@holds("Why do networks generalize that could memorize everything?")
def check_random_labels_and_smallest_norm():
    ((x, _),) = digits(60)
    y = torch.randint(10, (60,))
    net = trained(dense(128), (x, y), 150, rate=0.1)
    assert (net(x).argmax(1) == y).all()
    X, target, w = np.random.randn(10, 30), np.random.randn(10), np.zeros(30)
    for _ in range(3000):
        w -= 0.01 * X.T @ (X @ w - target)
    np.testing.assert_allclose(w, np.linalg.pinv(X) @ target, atol=1e-6)


@holds("Does early stopping waste data?")
def check_retraining_on_all_data():
    """The steps that the validation part chose, from the start on all the data: lower test loss on average."""
    gains = []
    for _ in range(3):
        train, held_out, test = digits(100, 100, 800)
        net, losses = dense(64), []
        trained(net, train, 40, rate=0.03, after=lambda: losses.append((loss_on(net, held_out), loss_on(net, test))))
        epochs = 1 + min(range(40), key=losses.__getitem__)
        both = tuple(torch.cat(part) for part in zip(train, held_out))
        again = trained(dense(64), both, math.ceil(epochs / 2), rate=0.03)  # twice the data: half the epochs
        gains.append(losses[epochs - 1][1] - loss_on(again, test))
    assert np.mean(gains) > 0.03, gains
