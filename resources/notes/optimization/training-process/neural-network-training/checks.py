import math

import numpy as np
import torch
from scipy.stats import binom
from sklearn.neural_network import MLPClassifier
from torch import nn

from note_checks import check, formula, stated

MODEL_AND_LOSS = r"\hat y = f(W, x), \qquad L(W) = \frac{1}{N} \sum_{i=1}^{N} \ell\big(f(W, x_i),\, y_i\big)"
STEP = r"W_{t+1} = W_t - \eta\, \nabla L(W_t)"
PATIENCE = r"t - \min\Big(\arg\min_{s \le t} V_s\Big) \ge k"


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
    for losses, k in ((np.array([0.9, 0.6, 0.5, 0.55, 0.52, 0.58]), 3), (np.random.rand(60), 5), (np.random.randint(0, 4, 60) / 4, 4), (np.random.rand(60), 1)):
        by_rule = next(t for t in range(1, len(losses) + 1) if t - (int(np.argmin(losses[:t])) + 1) >= k)
        best, waited, t = math.inf, 0, 0
        while waited < k:
            best, waited = (losses[t], 0) if losses[t] < best else (best, waited + 1)
            t += 1
        assert by_rule == t
    losses = [0.9, 0.6, 0.5, 0.55, 0.52, 0.58]
    assert next(t for t in range(1, 7) if t - (int(np.argmin(losses[:t])) + 1) >= 3) == 6 and int(np.argmin(losses)) + 1 == 3


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


@check
def check_eval_does_not_stop_gradients():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    x = torch.randn(4, 3)
    assert model.eval()(x).requires_grad and torch.equal(model(x), model(x))
    with torch.inference_mode():
        assert not model(x).requires_grad


@check
def check_scikit_learn_default():
    assert MLPClassifier().early_stopping is False
