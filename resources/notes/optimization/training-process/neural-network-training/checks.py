import math

import numpy as np
import torch
from scipy.stats import binom
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, quietly, raises, stated
from trainings import handwritten_digits

MODEL_AND_LOSS = r"\hat y = f(W, x), \qquad L(W) = \frac{1}{N} \sum_{i=1}^{N} \ell\big(f(W, x_i),\, y_i\big)"
STEP = r"W_{t+1} = W_t - \eta\, \nabla L(W_t)"
PATIENCE = r"t - \min\Big(\arg\min_{s \le t} V_s\Big) \ge k"

by_definition("Validation set", "Test set", "patience on validation", "fixed number of steps, falling rate")
by_definition("loss threshold", "gradient norm below a tolerance")


@formula(MODEL_AND_LOSS, STEP)
def check_training_steps_equal_the_library():
    for N, I, O in ((5, 3, 4), (1, 2, 2), (9, 6, 3)):
        model = nn.Linear(I, O, dtype=torch.float64)
        x, y = torch.randn(N, I, dtype=torch.float64), torch.randint(0, O, (N,))
        W, b = model.weight.detach().numpy().copy(), model.bias.detach().numpy().copy()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(6):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            z = x.numpy() @ W.T + b
            p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
            np.testing.assert_allclose(sum(-math.log(p[i, y[i]]) for i in range(N)) / N, loss.item(), rtol=1e-9)
            g = (p - np.eye(O)[y.numpy()]) / N
            W, b = W - 0.3 * g.T @ x.numpy(), b - 0.3 * g.sum(0)
            optimizer.step()
            np.testing.assert_allclose(W, model.weight.detach().numpy(), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(b, model.bias.detach().numpy(), rtol=1e-9, atol=1e-12)


@formula(PATIENCE)
def check_patience():  # verified: formula-only, compared with the counter of the article's code block
    for losses, k in (
        (np.array([0.9, 0.6, 0.5, 0.55, 0.52, 0.58]), 3),
        (np.random.rand(60), 5),
        (np.random.randint(0, 4, 60) / 4, 4),
        (np.random.rand(60), 1),
    ):
        by_rule = next(t for t in range(1, len(losses) + 1) if t - (int(np.argmin(losses[:t])) + 1) >= k)
        best, waited, t = math.inf, 0, 0
        while waited < k:
            best, waited = (losses[t], 0) if losses[t] < best else (best, waited + 1)
            t += 1
        assert by_rule == t
    losses = [0.9, 0.6, 0.5, 0.55, 0.52, 0.58]
    assert (
        next(t for t in range(1, 7) if t - (int(np.argmin(losses[:t])) + 1) >= 3) == 6
        and int(np.argmin(losses)) + 1 == 3
    )


@check
def check_worked_example():
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    x, y = torch.tensor([1.0, 2.0]).double(), torch.tensor([2.0, 3.0]).double()
    loss = nn.functional.mse_loss(w * x, y)
    loss.backward()
    assert loss.item() == 1 and w.grad.item() == -3
    stated("1.3", w.item() - 0.1 * w.grad.item())
    stated("0.325", nn.functional.mse_loss(1.3 * x, y))


@check
def check_numbers_of_the_pitfalls():
    stated("2.3026", math.log(10))
    truth = torch.full((10,), 0.1, dtype=torch.float64)
    for _ in range(50):
        guess = torch.randn(10, dtype=torch.float64).log_softmax(0)
        assert float(-(truth * guess).sum()) >= math.log(10)
    hits = np.arange(101)
    best = binom.cdf(hits, 100, 0.5) ** 100
    stated("62%", (hits * np.diff(np.concatenate([[0.0], best]))).sum() / 100)


def kept_activations(model, x):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.nbytes), lambda nothing: nothing):
        output = model(x)
    return sum(kept), output.requires_grad


@pitfall("Validation is random, or runs out of memory")
@holds("Same in train and eval?")
def check_eval_does_not_stop_gradients():
    model = nn.Sequential(nn.Linear(30, 30), nn.ReLU(), nn.Dropout(0.5), nn.Linear(30, 3))
    x = torch.randn(64, 30)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    size, gradients = kept_activations(model, x)
    assert size >= x.nbytes and gradients
    with torch.inference_mode():
        assert kept_activations(model, x) == (0, False) and torch.equal(model(x), model(x))
    assert model.train()(x).requires_grad and not torch.equal(model(x), model(x))


@pitfall('"Converged" because the loss fell below a threshold')
def check_threshold_and_patience():
    x, y = handwritten_digits()
    y, no_information = y[torch.randperm(len(y))], math.log(10)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    best, waited, by_patience, fitted = math.inf, 0, None, math.inf
    while fitted > 0.5:  # the threshold on the training loss
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[:150]), y[:150])
        loss.backward()
        optimizer.step()
        fitted = loss.item()
        with torch.inference_mode():
            held_out = nn.functional.cross_entropy(model(x[150:]), y[150:]).item()
        best, waited = (held_out, 0) if held_out < best else (best, waited + 1)
        by_patience = best if by_patience is None and waited >= 5 else by_patience
    assert held_out > no_information + 1 and abs(by_patience - no_information) < 0.1


@pitfall("The test result is better than reality")
def check_chosen_on_the_test_set():
    by_test, by_validation = [], []
    for _ in range(200):
        validation, test = np.random.binomial(100, 0.5, (2, 100)) / 100
        by_test.append(test.max())
        by_validation.append(test[validation.argmax()])
    assert np.mean(by_test) > 0.61 and abs(np.mean(by_validation) - 0.5) < 0.015


@pitfall("Validation good, new data bad")
def check_leakage():
    x, y = np.random.randn(80, 2000), np.random.randint(0, 2, 80)
    selected = SelectKBest(k=20).fit_transform(x, y)
    honest = make_pipeline(SelectKBest(k=20), LogisticRegression())
    assert cross_val_score(LogisticRegression(), selected, y).mean() > 0.8
    assert cross_val_score(honest, x, y).mean() < 0.65
    patient = np.repeat(np.arange(300), 5)
    x, y = np.random.randn(300, 4)[patient] + 0.05 * np.random.randn(1500, 4), np.random.randint(0, 2, 300)[patient]
    nearest = KNeighborsClassifier(1)
    assert cross_val_score(nearest, x, y, cv=ShuffleSplit(5, random_state=0)).mean() > 0.9
    assert cross_val_score(nearest, x, y, cv=GroupShuffleSplit(20, random_state=0), groups=patient).mean() < 0.65


@check
def check_scikit_learn_default():
    assert MLPClassifier().early_stopping is False and MLPClassifier().solver == "adam"
    fitted = quietly(lambda: MLPClassifier(max_iter=50).fit(np.eye(4), [0, 1, 0, 1]))
    assert fitted.best_loss_ == min(fitted.loss_curve_) and fitted.validation_scores_ is None


@holds("Training set", "One step")
def check_one_step():
    """Integers for an embedding, floats for a linear layer; the five calls of a step in the order of the table."""
    y = torch.randint(0, 3, (20,))
    words, numbers = torch.randint(0, 9, (20, 4)), torch.randn(20, 4)
    for first, x, other in ((nn.EmbeddingBag(9, 6), words, numbers), (nn.Linear(4, 6), numbers, words)):
        model = nn.Sequential(first, nn.ReLU(), nn.Linear(6, 3))
        raises((RuntimeError, ValueError), lambda: model(other))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        losses = []
        for _ in range(50):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]


@holds("Cost")
def check_cost_of_a_step():
    model = nn.Sequential(*(layer for _ in range(8) for layer in (nn.Linear(32, 32), nn.ReLU())))
    x, counts = torch.randn(16, 32), []
    for steps in (False, True):
        with FlopCounterMode(display=False) as counter:
            loss = model(x).sum()
            if steps:
                loss.backward()
        counts.append(counter.get_total_flops())
    assert 2.7 < counts[1] / counts[0] <= 3
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.step()
    for p in model.parameters():
        per_weight = [v for v in optimizer.state[p].values() if v.dim()]
        assert p.grad.shape == p.shape and sum(v.numel() for v in per_weight) == 2 * p.numel()
    assert kept_activations(model, x)[0] > 8 * x.nbytes


@holds("Training loss does not fall at all: what first?")
def check_overfit_one_batch():
    """A sound model learns 16 samples by heart; with a bug or a tiny rate it does not, nor 800 samples."""
    x, y = handwritten_digits()

    def last_loss(rows, rate=0.01, bug=False):
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(model[0].parameters() if bug else model.parameters(), rate)
        if bug:
            model[0] = nn.Linear(64, 64)  # the optimizer holds the old layer
        for _ in range(80):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[:rows]), y[:rows])
            loss.backward()
            optimizer.step()
        return loss.item()

    assert last_loss(16) < 0.1
    for rows in (16, 800):
        assert last_loss(rows, bug=True) > 2 and last_loss(rows, rate=1e-7) > 2


@holds("Why can validation loss rise while accuracy still rises?")
def check_loss_and_accuracy_rise():
    before = np.array([0.6] * 6 + [0.4] * 4)  # probability of the right one of two classes
    after = np.array([0.99] * 9 + [1e-6])
    assert (after > 0.5).mean() > (before > 0.5).mean() and -np.log(after).mean() > -np.log(before).mean() + 0.5


@holds("Does converged mean global minimum?")
def check_four_ways_to_stop_falling():
    def descend_from(w, loss, rate):
        losses = []
        for t in range(200):
            w = torch.tensor(float(w), requires_grad=True)
            losses.append(loss(w).item())
            loss(w).backward()
            w = w.item() - rate(t) * w.grad.item()
        return losses

    ways = {
        "flat": descend_from(8, lambda w: torch.tanh(w) ** 2, lambda t: 0.1),  # minimum 0
        "local": descend_from(1.5, lambda w: w**4 - 4 * w**2 + w, lambda t: 0.01),  # minimum below -5
        "rate": descend_from(8, lambda w: w**2, lambda t: 0.1 * 0.5**t),  # minimum 0
        "long": descend_from(0.3, lambda w: w.abs(), lambda t: 1.0),  # minimum 0
    }
    for name, losses in ways.items():
        least = -5 if name == "local" else 0
        assert min(losses[100:]) >= min(losses[:100]) - 1e-3 and min(losses) > least + 0.2, name
