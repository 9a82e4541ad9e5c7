import math

import numpy as np
import torch
import torch.nn.functional as F

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

EFFECTIVE = r"E_n = \frac{1 - \beta^n}{1 - \beta} = \sum_{i=0}^{n-1} \beta^i, \qquad \beta = \frac{M - 1}{M}"
WEIGHTS = r"w_c = C \, \frac{1 / E_{n_c}}{\sum_{k=1}^{C} 1 / E_{n_k}}"
LOSS = r"\ell = -w_y \log \frac{\exp(z_y)}{\sum_{k=1}^{C} \exp(z_k)}"


by_definition("Same in train and eval?", "Cost", "Focal loss")
sourced(
    "Cui et al. 2019, section 5: beta in {0.9, 0.99, 0.999, 0.9999}",
    "Parameter",
    "How is $\\beta$ chosen in practice?",
)
sourced("Cui et al. 2019, sections 1 and 3: near-duplicates, data augmentation", "Why should data overlap at all?")
sourced(
    "Cui et al. 2019, section 4: N is assumed to depend on the data set only",
    "Is one $\\beta$ for all classes justified?",
)
sourced(
    "Menon et al. 2021, Long-tail learning via logit adjustment: consistent for the balanced error",
    "Logit adjustment",
)


def effective(n, beta):
    return (1 - np.power(beta, n)) / (1 - beta)


def weights(counts, beta):
    inverse = 1 / effective(np.array(counts, float), beta)
    return len(counts) * inverse / inverse.sum()


@formula(EFFECTIVE)
def check_effective_number():
    for m, n in [(1000, 1), (1000, 300), (20, 50), (5, 40)]:
        beta = (m - 1) / m
        assert math.isclose(effective(n, beta), sum(beta**i for i in range(n)))
        drawn = np.random.randint(m, size=(4000, n))
        distinct = np.mean([len(set(row)) for row in drawn.tolist()])
        assert abs(distinct - effective(n, beta)) < 0.02 * effective(n, beta) + 1e-9
    assert effective(10**6, 0.99) <= 1 / (1 - 0.99) + 1e-9 and effective(7, 0.0) == 1


@formula(WEIGHTS)
@holds("Limits", "Inverse frequency")
def check_weights():
    for counts in ([5000, 50], [10, 20, 30], [7]):
        for beta in (0.0, 0.9, 0.9999):
            assert math.isclose(weights(counts, beta).sum(), len(counts))
        np.testing.assert_allclose(weights(counts, 0.0), 1)
        inverse = 1 / np.array(counts)
        np.testing.assert_allclose(weights(counts, 1 - 1e-9), len(counts) * inverse / inverse.sum(), rtol=1e-4)
        np.testing.assert_allclose(inverse * np.array(counts), 1)  # the same total for each class
    for text, value in zip(["0.0936", "1.9064"], weights([5000, 50], 0.999)):
        stated(text, value)


@formula(LOSS)
@holds("Input", "Weights")
def check_loss():
    for n, counts in [(1, [3, 4]), (40, [5000, 500, 50]), (7, [1, 10, 100, 1000])]:
        w = weights(counts, 0.999)
        z, y = torch.randn(n, len(counts), dtype=torch.float64) * 3, torch.randint(len(counts), (n,))
        e = np.exp(z.numpy())
        ours = -w[y] * np.log(e[np.arange(n), y] / e.sum(1))
        library = F.cross_entropy(z, y, weight=torch.tensor(w), reduction="none")
        np.testing.assert_allclose(ours, library.numpy(), rtol=1e-9)
        if n > 1:
            assert abs(F.cross_entropy(z, y, weight=torch.tensor(w)) - library.sum() / w[y].sum()) < 1e-9
            assert abs(library.mean() - ours.sum() / n) < 1e-9
    assert F.cross_entropy(z[0], y[0], weight=torch.tensor(w)).shape == ()
    assert w.shape == (4,) and math.isclose(w.sum(), 4)


@holds("Does it change the prediction at test time?")
def check_weighted_optimum_shifts_log_odds():
    z, w = torch.zeros(2, dtype=torch.float64, requires_grad=True), torch.tensor([1.0, 7.0]).double()
    y = torch.tensor([0] * 50 + [1] * 5)
    optimizer = torch.optim.LBFGS([z], lr=0.5, max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-15)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(z.expand(55, 2), y, weight=w)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert abs((z[1] - z[0]).item() - math.log(5 / 50) - math.log(7 / 1)) < 1e-4


@check
def check_by_hand():
    stated("0.00672", 0.999**5000)
    stated("0.95121", 0.999**50)
    stated("993.28", effective(5000, 0.999))
    stated("48.79", effective(50, 0.999))
    stated("20.4", effective(5000, 0.999) / effective(50, 0.999))


@pitfall("CB loss makes no difference")
@holds("CB loss")
def check_saturated_for_every_class():
    assert effective(5000, 0.9) <= 10 + 1e-9
    stated("0.5%", effective(5000, 0.9) / effective(50, 0.9) - 1)
    for m in (100, 500, 1000, 4000):
        few, many = effective(np.array([50.0, 5000.0]), 1 - 1 / m)
        assert 2 < many / few < 100


@pitfall("It is just inverse frequency")
def check_no_class_saturates():
    ratio = lambda beta: effective(100, beta) / effective(10, beta)
    stated("9.96", ratio(0.9999))
    assert ratio(0.98) < 5 and effective(100, 0.98) > 0.8 * 50


@pitfall("The loss is tiny and training with SGD slow")
def check_unscaled_weights():
    stated("0.001", 1 / effective(5000, 0.999))
    counts = np.array([5000, 50])
    assert 0.1 < weights(counts, 0.999) @ counts / 5050 < 0.12  # scaled, and still below 1
    y = torch.tensor(np.repeat([0, 1], counts))
    x = torch.randn(5050, 2) + 3 * F.one_hot(y, 2)
    focal = lambda each: (1 - torch.exp(-each)) ** 2 * each
    reached = {}
    for name, w in (("raw", 1 / effective(counts.astype(float), 0.999)), ("scaled", weights(counts, 0.999))):
        w = torch.tensor(w, dtype=torch.float32)
        for kind in ("weighted mean", "mean", "focal"):
            layer = torch.nn.Linear(2, 2)
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
            optimizer = torch.optim.SGD(layer.parameters(), lr=0.3)
            for _ in range(100):
                optimizer.zero_grad()
                each = F.cross_entropy(layer(x), y, reduction="none")
                loss = (
                    F.cross_entropy(layer(x), y, weight=w)
                    if kind == "weighted mean"
                    else (w[y] * (focal(each) if kind == "focal" else each)).mean()
                )
                loss.backward()
                optimizer.step()
            reached[name, kind] = F.cross_entropy(layer(x), y, weight=w).item()
    assert abs(reached["raw", "weighted mean"] - reached["scaled", "weighted mean"]) < 1e-3
    assert all(reached["raw", kind] > 0.55 and reached["scaled", kind] < 0.25 for kind in ("mean", "focal")), reached


@pitfall("The loss differs from the paper's by a factor")
def check_two_means():
    z, y = torch.randn(60, 3), torch.tensor([0] * 50 + [1] * 8 + [2] * 2)
    w = torch.tensor(weights([5000, 500, 50], 0.999), dtype=torch.float32)
    formula_mean = sum(-w[c] * row.log_softmax(0)[c] for row, c in zip(z, y)) / 60
    library = F.cross_entropy(z, y, weight=w)
    assert torch.allclose(library * w[y].sum() / 60, formula_mean, rtol=1e-4) and library > 2 * formula_mean
    assert torch.allclose(F.cross_entropy(z, y, weight=w, reduction="none").mean(), formula_mean, rtol=1e-4)


@pitfall("NaN or infinite weights")
def check_empty_classes_and_float32():
    with np.errstate(divide="ignore", invalid="ignore"):
        assert np.isinf(1 / effective(np.array([5000.0, 0.0]), 0.999)[1]) and np.isnan(weights([5000, 0], 0.999)).any()
    counts = np.array([5000, 500, 0])
    w = np.zeros(3)
    w[counts > 0] = weights(counts[counts > 0], 0.999) * 3 / 2
    assert np.isfinite(w).all() and math.isclose(w.sum(), 3) and weights(np.maximum(counts, 1), 0.999)[2] > 0.9 * 3
    beta = torch.tensor(0.99999999)
    assert effective(0, 0.999) == 0 and beta == 1 and ((1 - beta**50) / (1 - beta)).isnan()
    late = -torch.expm1(torch.tensor(50.0, dtype=torch.float64) * math.log(beta)) / (1 - beta)  # float64, but too late
    assert late.isnan()
    exact = -torch.expm1(torch.tensor(50.0, dtype=torch.float64) * math.log(0.99999999)) / (1 - 0.99999999)
    assert abs(exact - 50) < 1e-4


@check
def check_unscaled_step_of_sgd_and_adam():
    for kind, slow in (
        (torch.optim.SGD, True),
        (torch.optim.Adam, False),
    ):  # one step on the sum, raw and scaled weights
        lengths = []
        for w in (1 / effective(np.array([5000, 50]), 0.999), weights([5000, 50], 0.999)):
            z = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
            F.cross_entropy(z, torch.tensor([0, 1]), weight=torch.tensor(w), reduction="sum").backward()
            kind([z], lr=0.1).step()
            lengths.append(z.detach().norm().item())
        assert (lengths[0] < 0.02 * lengths[1]) == slow and (abs(lengths[0] / lengths[1] - 1) < 1e-3) != slow


@holds("Inverse square root")
def check_square_root_lies_between():
    n = np.array([5000.0, 500, 50])
    ratios = [(w[2] / w[0], w[1] / w[0]) for w in (n**0, n**-0.5, n**-1.0)]
    assert all(a < b < c for a, b, c in zip(*ratios))


@holds("Parameter", "Why should data overlap at all?")
def check_misses_and_repetitions():
    """beta = 1 has no finite value; a draw misses one prototype with (M - 1) / M, and repeats grow."""
    with np.errstate(divide="ignore", invalid="ignore"):
        assert np.isnan(effective(np.float64(5), np.float64(1.0)))
    draws = np.random.randint(20, size=(20_000, 40))
    assert abs((draws[:, 0] != 0).mean() - 19 / 20) < 0.01
    repeats = [np.mean([row[n] in row[:n] for row in draws[:2000]]) for n in (1, 10, 39)]
    assert repeats[0] < 0.1 < 0.3 < repeats[1] < 0.5 < 0.8 < repeats[2]
