import inspect
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

SOFTMAX = r"p_k = \frac{e^{z_k}}{\sum_{j=1}^{C} e^{z_j}}, \qquad z_i - z_j = \ln \frac{p_i}{p_j}"
LOG_ODDS = r"\operatorname{logit}(p) = \ln \frac{p}{1 - p}, \qquad p = \sigma(z) = \frac{1}{1 + e^{-z}}"
FLOOR = r"-\ln \operatorname{softmax}(p)_y \;\ge\; \ln\left(1 + \frac{C - 1}{e}\right)"


by_definition("Parameters")
sourced("Guo et al., arXiv 1706.04599, section 4.2: T is fitted on the validation set", "What does a temperature do?")


@holds("Multi-class")
@formula(SOFTMAX)
def check_softmax_and_differences():
    for shape in [(3,), (4, 2), (5, 10), (2, 7)]:
        z = torch.randn(shape, dtype=torch.float64) * 3
        zn = z.numpy()
        p = np.exp(zn) / np.exp(zn).sum(-1, keepdims=True)
        library = z.softmax(-1).numpy()
        np.testing.assert_allclose(p, library, rtol=1e-12)
        np.testing.assert_allclose(library.sum(-1), 1, rtol=1e-12)
        np.testing.assert_allclose(
            zn[..., 0] - zn[..., 1], np.log(library[..., 0] / library[..., 1]), rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose((z + 7.0).softmax(-1).numpy(), library, rtol=1e-9)


@holds("`torch.logit(p, eps=None)`")
@formula(LOG_ODDS)
def check_logit_and_sigmoid():
    for shape in [(1,), (9,), (3, 4)]:
        p = torch.rand(shape, dtype=torch.float64)
        np.testing.assert_allclose(np.log(p.numpy() / (1 - p.numpy())), torch.logit(p).numpy(), rtol=1e-9, atol=1e-12)
        z = torch.randn(shape, dtype=torch.float64) * 4
        np.testing.assert_allclose(1 / (1 + np.exp(-z.numpy())), torch.sigmoid(z).numpy(), rtol=1e-12)
        assert torch.allclose(torch.logit(torch.sigmoid(z)), z)
    assert torch.logit(torch.tensor([0.0, 1.0])).tolist() == [-math.inf, math.inf]
    assert torch.logit(torch.tensor([1.5, -0.1])).isnan().all()
    assert torch.logit(torch.tensor([1, 0])).dtype == torch.float32
    clamped = torch.logit(torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64), eps=0.1)
    assert torch.allclose(clamped, torch.logit(torch.tensor([0.1, 0.3, 0.9], dtype=torch.float64)))
    z = torch.randn(6, 2)
    assert torch.allclose(torch.sigmoid(z[:, 1] - z[:, 0]), z.softmax(-1)[:, 1], atol=1e-6)


@formula(FLOOR)
def check_floor_of_a_double_softmax():
    for classes in (2, 3, 10, 1000):
        floor = math.log(1 + (classes - 1) / math.e)
        z = torch.randn(500, classes, dtype=torch.float64) * 10
        y = torch.randint(0, classes, (500,))
        assert float(F.cross_entropy(z.softmax(-1), y, reduction="none").min()) >= floor - 1e-12
        sure = F.one_hot(y, classes).double() * 60
        assert abs(float(F.cross_entropy(sure.softmax(-1), y)) - floor) < 1e-9
        assert float(F.cross_entropy(sure, y)) < 1e-9
    stated("0.5514", math.log(1 + 2 / math.e))
    stated("5.9095", math.log(1 + 999 / math.e))


@check
def check_worked_example():
    z = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
    for text, value in zip(("7.38906", "2.71828"), z.exp()):
        stated(text, value)
    stated("11.10734", z.exp().sum())
    for text, value in zip(("0.6652", "0.2447", "0.0900"), z.softmax(-1)):
        stated(text, value)
    stated("1.3863", torch.logit(torch.tensor(0.8, dtype=torch.float64)))
    stated("2.718", math.e)
    stated("0.368", 1 / math.e)
    assert torch.sigmoid(torch.tensor(0.0)) == 0.5


@check
def check_one_more_unit_multiplies_the_odds():
    z = torch.randn(5, dtype=torch.float64)
    more = z.clone()
    more[2] += 1
    p, q = z.softmax(-1), more.softmax(-1)
    assert math.isclose(float(q[2] / q[0]) / float(p[2] / p[0]), math.e)
    assert math.isclose(float(q[2] / (1 - q[2])) / float(p[2] / (1 - p[2])), math.e)


@pitfall("A binary classifier predicts too few positives")
def check_threshold():
    stated("0.6225", torch.sigmoid(torch.tensor(0.5)))
    logits, yes = torch.randn(1000) * 2, torch.rand(1000)
    yes = yes < torch.sigmoid(logits)
    assert (logits > 0.5).sum() < 0.9 * yes.sum()
    assert torch.equal(logits > 0, torch.sigmoid(logits) > 0.5)
    assert abs((logits > 0).sum() - yes.sum()) < 0.1 * yes.sum()


@pitfall("`inf` or NaN from `log(sigmoid(z))`")
def check_rounding_in_float32():
    assert torch.sigmoid(torch.tensor(20.0)) == 1 and torch.sigmoid(torch.tensor(-100.0)) == 0
    assert torch.log(torch.sigmoid(torch.tensor(-100.0))) == -math.inf
    assert torch.logit(torch.sigmoid(torch.tensor(20.0))) == math.inf
    assert F.logsigmoid(torch.tensor(-100.0)) == -100
    z = torch.tensor(-100.0, requires_grad=True)
    torch.log(torch.sigmoid(z)).backward()
    assert z.grad.isnan()
    z = torch.tensor(20.0, requires_grad=True)
    lost = torch.log(1 - torch.sigmoid(z))
    lost.backward()
    assert lost == -math.inf and z.grad.isnan() and torch.logit(torch.sigmoid(torch.tensor(-100.0))) == -math.inf
    for work, value in (
        (lambda z: F.logsigmoid(z[1]), -100),
        (lambda z: F.logsigmoid(-z[0]), -20),
        (lambda z: F.log_softmax(torch.stack([z[1], 0 * z[1]]), 0)[0], -100),
        (lambda z: -F.binary_cross_entropy_with_logits(z[0], torch.tensor(0.0)), -20),
    ):
        z = torch.tensor([20.0, -100.0], requires_grad=True)
        kept = work(z)
        kept.backward()
        assert abs(kept.item() - value) < 1e-4 and z.grad.isfinite().all() and z.grad.abs().max() > 0.99
    z = torch.tensor([[-200.0], [3.0]])  # one logit an answer: log_softmax is no logsigmoid
    assert F.log_softmax(z, -1).abs().max() == 0 and F.logsigmoid(z)[0] == -200
    both = torch.cat([z, torch.zeros_like(z)], -1)
    assert both.softmax(-1).log().isinf().any() and torch.allclose(F.log_softmax(both, -1)[:, :1], F.logsigmoid(z))


@holds("Binary, multi-label", "logits", "log-probabilities", "probabilities", "either", "Same in train and eval?")
def check_what_the_losses_expect():
    z, y = torch.randn(6, 4), torch.randint(0, 4, (6,))
    assert torch.allclose(F.cross_entropy(z, y), F.nll_loss(z.log_softmax(-1), y))
    assert torch.allclose(F.cross_entropy(z[0], y[0]), -z[0].log_softmax(-1)[y[0]])
    t = (torch.rand(6, 4) > 0.5).float()
    wanted = F.binary_cross_entropy(torch.sigmoid(z), t)
    assert torch.allclose(F.binary_cross_entropy_with_logits(z, t), wanted)
    assert torch.allclose(nn.MultiLabelSoftMarginLoss()(z, t), wanted)
    q = torch.rand(6, 4).softmax(-1)
    assert torch.allclose(
        F.kl_div(z.log_softmax(-1), q, reduction="sum"), (q * (q / z.softmax(-1)).log()).sum(), atol=1e-5
    )
    assert inspect.signature(torch.nn.functional.kl_div).parameters["log_target"].default is False
    for shape in ((6,), (6, 1), (2, 3, 5)):  # yes/no questions of any shape
        loss = nn.BCEWithLogitsLoss()
        assert loss.train()(torch.randn(shape), torch.ones(shape)).isfinite()
        z = torch.randn(shape)
        assert loss.train()(z, torch.ones(shape)) == loss.eval()(z, torch.ones(shape))
        assert torch.allclose(F.logsigmoid(z).exp(), torch.sigmoid(z)) and ((z > 0) == (torch.sigmoid(z) > 0.5)).all()
    model = nn.Sequential(nn.Linear(4, 50), nn.Dropout(), nn.Linear(50, 2))
    assert not torch.allclose(model.train()(torch.ones(3, 4)), model.eval()(torch.ones(3, 4)))
    raises(RuntimeError, lambda: F.binary_cross_entropy(torch.full((2,), 1.5), torch.ones(2)))
    from sklearn.calibration import calibration_curve

    raises(ValueError, lambda: calibration_curve([0, 1, 1], [-2.0, 0.3, 4.0]), "outside [0, 1]")
    scores = torch.randn(50, 7)
    assert torch.equal(scores.topk(3).indices, scores.softmax(-1).topk(3).indices)
    tied = torch.tensor([20.0, 40.0]).sigmoid()
    assert tied[0] == tied[1]  # distinct scores, one probability in float32
    assert torch.tensor([0.0, 1e-9]).softmax(-1).unique().numel() == 1


@holds(
    "Does one class's logit alone tell its probability?",
    "What does a temperature do?",
    "Is averaging logits the same as averaging probabilities?",
)
def check_questions():
    stated("0.9933", torch.tensor([5.0, 0.0]).softmax(-1)[0])
    assert torch.tensor([5.0, 5.0]).softmax(-1)[0] == 0.5
    z = torch.randn(3, 4, dtype=torch.float64)
    geometric = z.softmax(-1).prod(0) ** (1 / 3)
    assert torch.allclose(z.mean(0).softmax(-1), geometric / geometric.sum())
    members = torch.tensor([[0.98, 0.0001, 0.0199], [0.001, 0.4995, 0.4995]]).double()
    assert members.mean(0).argmax() == 0 and members.log().mean(0).softmax(-1).argmax() == 2
    soft = (z / 3).softmax(-1)
    assert torch.equal(soft.argsort(-1), z.softmax(-1).argsort(-1)) and (soft.amax(-1) < z.softmax(-1).amax(-1)).all()


@check
def check_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    x = np.random.randn(80, 3)
    model = LogisticRegression().fit(x, x[:, 0] + 0.5 * np.random.randn(80) > 0)
    np.testing.assert_allclose(1 / (1 + np.exp(-model.decision_function(x))), model.predict_proba(x)[:, 1], rtol=1e-9)


def trained_on_digits(*last, steps=200):
    """Loss and accuracy on the training data of a small classifier whose network ends in `last`."""
    x, y = handwritten_digits()
    x, y = x[:600], y[:600]
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), *last)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    accuracies = []
    for _ in range(steps):
        optimizer.zero_grad()
        output = network(x)
        loss = nn.CrossEntropyLoss()(output, y)
        loss.backward()
        optimizer.step()
        accuracies.append((output.argmax(1) == y).float().mean().item())
    return loss.item(), accuracies


@pitfall("The loss stalls above zero although accuracy is fine")
def check_training_with_softmax_twice():
    loss, accuracies = trained_on_digits(nn.Softmax(dim=1))
    right, faster = trained_on_digits()
    assert loss > math.log(1 + 9 / math.e) and accuracies[-1] > 0.95
    assert right < 0.1 and faster[-1] > 0.98
    assert faster[20] > accuracies[20]


@pitfall('"Logits" taken as another name of the fully connected layer')
def check_logits_are_values_and_no_logarithms():
    layer, x, y = nn.Linear(4, 3), torch.randn(5, 4), torch.randint(0, 3, (5,))
    raises(TypeError, lambda: F.cross_entropy(layer, y))
    logits = layer(x)
    assert F.cross_entropy(logits, y).isfinite() and list(layer.parameters())
    assert not torch.allclose(logits.exp().sum(1), torch.ones(5), atol=0.1)
    assert torch.allclose((logits - logits.logsumexp(1, keepdim=True)).exp().sum(1), torch.ones(5))
