import inspect
import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

POST_HOC = r"\hat{y} = \operatorname{argmax}_c \left( z_c - \tau \ln \pi_c \right)"
LOSS = r"""
\ell = -\ln \frac{\exp(z_y + \tau \ln \pi_y)}{\sum_{c} \exp(z_c + \tau \ln \pi_c)} = \ln \left( 1 + \sum_{c \ne y} \left( \frac{\pi_c}{\pi_y} \right)^{\tau} e^{z_c - z_y} \right)
"""
POSTERIOR = r"\operatorname{softmax}(z - \ln \pi)_c = \frac{p(c \mid x) / \pi_c}{\sum_{k} p(k \mid x) / \pi_k}"
PRIOR = np.array([0.9, 0.1])

by_definition("Cost")
sourced("AM-Softmax, arXiv 1801.05599, equation 5 and experiments on faces", "AM-Softmax")


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def priors():
    for c in (2, 3, 10):
        pi = np.random.dirichlet(np.ones(c))
        yield pi / pi.sum()


@formula(POST_HOC)
@holds("Is it the threshold trick for many classes?", "Parameter")
def check_post_hoc_is_bayes_for_equal_priors():
    """Gaussian classes, where posteriors are known: tau = 1 agrees with the largest class density, tau = 0 with the largest posterior."""
    for pi in priors():
        centres, x = np.random.randn(len(pi)) * 2, np.random.randn(500) * 3
        log_density = -((x[:, None] - centres) ** 2) / 2
        z = np.log(softmax(log_density + np.log(pi)))
        assert ((z - np.log(pi)).argmax(1) == log_density.argmax(1)).all()
        assert (z.argmax(1) == (log_density + np.log(pi)).argmax(1)).all()
        if len(pi) == 2:
            p1 = softmax(z)[:, 1]
            assert (((z - np.log(pi)).argmax(1) == 1) == (p1 > pi[1])).all()


@formula(LOSS)
@holds("Input", "Training target", "Output")
def check_loss():
    for pi in priors():
        for tau in (0.0, 1.0, 1.7):
            z, y = np.random.randn(20, len(pi)) * 3, np.random.randint(len(pi), size=20)
            shift = tau * torch.tensor(pi).log()
            library = F.cross_entropy(torch.tensor(z) + shift, torch.tensor(y), reduction="none").numpy()
            top = np.exp(z + tau * np.log(pi))
            np.testing.assert_allclose(-np.log(top[np.arange(20), y] / top.sum(1)), library, rtol=1e-9, atol=1e-12)
            for i in range(20):
                total = sum(
                    (pi[c] / pi[y[i]]) ** tau * math.exp(z[i, c] - z[i, y[i]]) for c in range(len(pi)) if c != y[i]
                )
                assert math.isclose(math.log(1 + total), library[i], rel_tol=1e-8)
            one = F.cross_entropy(torch.tensor(z[0]) + shift, torch.tensor(y[0]))  # unbatched
            assert one.shape == () and math.isclose(one.item(), library[0], rel_tol=1e-9)
            assert (torch.tensor(z) - shift).shape == z.shape and (tau > 0 or not shift.any())


@formula(POSTERIOR)
def check_posterior():
    for pi in priors():
        z = np.random.randn(len(pi)) * 2
        p = torch.tensor(z).softmax(0).numpy()
        np.testing.assert_allclose(torch.tensor(z - np.log(pi)).softmax(0).numpy(), p / pi / (p / pi).sum())


@check
def check_by_hand():
    z = np.array([1.0, 0.0])
    for text, value in zip(["0.7311", "0.2689"], softmax(z)):
        stated(text, value)
    for text, value in zip(["1.1054", "2.3026"], z - np.log(PRIOR)):
        stated(text, value)
    for text, value in zip(["0.2320", "0.7680"], softmax(z - np.log(PRIOR))):
        stated(text, value)
    stated("0.8946", (z + np.log(PRIOR))[0])
    stated("−2.3026", (z + np.log(PRIOR))[1])
    for c, text in enumerate(["0.1054", "2.3026"]):
        stated(text, F.cross_entropy(torch.tensor(np.log(PRIOR))[None], torch.tensor([c])))


@holds("How does it differ from class weights?", "Class weights")
def check_same_optimum_as_weights():
    """At the optimum of either loss for one point with known class shares, predictions are the same."""
    share = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    pi = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    z = (share / pi).log().requires_grad_()
    adjusted = -(share * (z + pi.log()).log_softmax(0)).sum()
    assert torch.autograd.grad(adjusted, z)[0].abs().max() < 1e-12
    weighted = -(share / pi * z.log_softmax(0)).sum()
    assert torch.autograd.grad(weighted, z)[0].abs().max() < 1e-12
    z, y = torch.randn(1, 3, dtype=torch.float64, requires_grad=True), torch.tensor([2])
    slope = lambda loss: torch.autograd.grad(loss, z)[0]
    plain = slope(F.cross_entropy(z, y))
    assert torch.allclose(slope(F.cross_entropy(z, y, reduction="sum", weight=1 / pi)), 10 * plain)  # scaled
    one_hot = F.one_hot(y, 3)
    shifted = z + pi.log()
    assert torch.allclose(slope(F.cross_entropy(shifted, y)), shifted.softmax(1) - one_hot)  # another softmax
    assert "class_weight" in inspect.signature(LogisticRegression).parameters


@holds("Post-hoc adjustment", "Does it help calibration?")
def check_other_test_prior():
    """Both corrections give the posterior for the test prior: one from a plain z, one from the optimum of the adjusted loss."""
    pi, test, density = np.array([0.9, 0.08, 0.02]), np.array([0.5, 0.3, 0.2]), np.random.rand(40, 3)
    plain, adjusted = np.log(density * pi) + 1, np.log(density) - 2
    wanted = density * test / (density * test).sum(1, keepdims=True)
    np.testing.assert_allclose(softmax(plain - np.log(pi) + np.log(test)), wanted)
    np.testing.assert_allclose(softmax(adjusted + np.log(test)), wanted)
    equal = density / density.sum(1, keepdims=True)
    np.testing.assert_allclose(softmax(plain - np.log(pi)), equal)  # calibrated for equal priors
    posterior = softmax(plain)
    assert (posterior * np.log(posterior / equal)).sum(1).mean() > 0.1  # and far off for the training ratio


@holds("Adjusted loss")
def check_body_learns_under_the_adjustment():
    body, head = torch.nn.Linear(4, 8), torch.nn.Linear(8, 3)
    x, y = torch.randn(30, 4), torch.arange(30) % 3
    losses = [F.cross_entropy(head(body(x)) + shift, y) for shift in (0, LOG_PRIOR)]
    slopes = [torch.autograd.grad(loss, body.weight)[0] for loss in losses]
    assert (slopes[0] - slopes[1]).abs().max() > 1e-3
    counts, z = torch.tensor(COUNTS), torch.randn(30, 3)  # balanced softmax, with counts
    top = counts * z.exp()
    balanced = (top / top.sum(1, keepdim=True))[range(30), y]
    assert torch.allclose(F.cross_entropy(z + LOG_PRIOR, y), -balanced.log().mean())


@holds("CB loss")
def check_weights_of_large_heads():
    for beta in (0.99, 0.999, 0.9999):
        weight = lambda n: (1 - beta) / (1 - beta ** int(n / (1 - beta)))
        assert weight(10) / weight(100) < 1.001 and weight(1) / weight(10) > 1.5


@holds("Why initialise the bias with $\\ln \\pi$?")
def check_bias_is_only_a_start():
    x, y = three_classes(COUNTS)
    losses, probabilities = [], []
    for start in (torch.zeros(3), LOG_PRIOR):
        model = torch.nn.Linear(2, 3)
        model.weight.data *= 0.01
        model.bias.data = start.clone()
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")
        losses.append(F.cross_entropy(model(x), y).item())

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
        probabilities.append(model(x).detach().softmax(1))
    assert losses[1] < losses[0] - 0.5 and (probabilities[0] - probabilities[1]).abs().max() < 0.02


@check
def check_empty_class_and_mutual_information():
    z = torch.tensor([3.0, 0.0]) - torch.tensor([1.0, 0.0]).log()
    assert z.argmax() == 1 and z[1] == math.inf
    joint = np.random.dirichlet(np.ones(12)).reshape(4, 3)
    px, pc = joint.sum(1, keepdims=True), joint.sum(0)
    balanced = np.log(joint / px) - np.log(pc)
    np.testing.assert_allclose(balanced, np.log(joint / (px * pc)))


def three_classes(count):
    """Overlapping Gaussian classes, `count` points of each."""
    y = torch.repeat_interleave(torch.arange(3), torch.tensor(count))
    centres = 1.5 * torch.tensor([[0.0, 1.0], [1.0, -0.6], [-1.0, -0.6]])
    return centres[y] + torch.randn(len(y), 2), y


def logits_on(x, train_x, train_y, shift, classes=3):
    model = torch.nn.Linear(2, classes)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(train_x) + shift, train_y)
        loss.backward()
        return loss

    optimizer.step(closure)
    return model(x).detach()


def recalls(z, y):
    return torch.stack([(z[y == c].argmax(1) == c).double().mean() for c in range(3)])


COUNTS = [900, 90, 10]
LOG_PRIOR = (torch.tensor(COUNTS) / 1000).log()


@pitfall("Rare classes win too often", "The rare classes got worse")
@holds("Same in train and eval?")
def check_sides_and_signs():
    (train_x, train_y), (x, y) = three_classes(COUNTS), three_classes([2000] * 3)
    plain, adjusted, wrong = (logits_on(x, train_x, train_y, s * LOG_PRIOR) for s in (0, 1, -1))
    twice = torch.bincount((adjusted - LOG_PRIOR).argmax(1), minlength=3) / 6000
    assert twice[2] > 0.45 and twice[0] < 0.25
    for once in (plain - LOG_PRIOR, adjusted):
        assert (torch.bincount(once.argmax(1), minlength=3) / 6000 - 1 / 3).abs().max() < 0.06
        assert recalls(once, y)[2] > recalls(plain, y)[2] + 0.2
    assert (
        recalls(plain + LOG_PRIOR, y)[2] < recalls(plain, y)[2] - 0.2
        and recalls(wrong, y)[2] < recalls(plain, y)[2] - 0.2
    )


@pitfall("Accuracy fell")
def check_accuracy_against_balanced_accuracy():
    (train_x, train_y), (x, y) = three_classes(COUNTS), three_classes([18000, 1800, 200])
    plain, adjusted = (logits_on(x, train_x, train_y, s * LOG_PRIOR) for s in (0, 1))
    accuracy = lambda z: (z.argmax(1) == y).double().mean()
    for balanced in (plain - LOG_PRIOR, adjusted):
        assert (
            accuracy(balanced) < accuracy(plain) - 0.02
            and recalls(balanced, y).mean() > recalls(plain, y).mean() + 0.05
        )
    x, y = three_classes([1000, 2000, 12000])
    test = (torch.tensor([1, 2, 12]) / 15).log()
    plain, adjusted = (logits_on(x, train_x, train_y, s * LOG_PRIOR) for s in (0, 1))
    for fitted, others in (
        (plain - LOG_PRIOR + test, (plain, plain - LOG_PRIOR)),
        (adjusted + test, (adjusted, adjusted - LOG_PRIOR + test)),
    ):
        assert all(accuracy(fitted) > accuracy(other) + 0.01 for other in others)


@pitfall("A class without samples is always predicted")
def check_class_without_samples():
    (train_x, train_y), (x, y) = three_classes([900, 100, 0]), three_classes([500, 500, 0])
    z = logits_on(x, train_x, train_y, 0.0) - (torch.tensor([900, 100, 0]) / 1000).log()
    assert (z.argmax(1) == 2).all()
    z[:, 2] = -math.inf
    assert (z.argmax(1) == y).double().mean() > 0.85
    counts = torch.tensor([900, 0, 100])  # an empty class in the middle: without its column the numbers are others
    z = torch.tensor([[0.0, 5.0, 3.0]]) - (counts / 1000).log()
    assert z.argmax() == 1 and z[:, counts > 0].argmax() == 1
    z[:, counts == 0] = -math.inf
    assert z.argmax() == 2


@pitfall("The best $\\tau$ is far from 1")
def check_overconfident_logits():
    (train_x, train_y), (x, y) = three_classes(COUNTS), three_classes([20000, 2000, 200])
    z = 3 * logits_on(x, train_x, train_y, 0.0)
    taus = torch.linspace(0, 5, 51)
    best = lambda logits: taus[torch.stack([recalls(logits - t * LOG_PRIOR, y).mean() for t in taus]).argmax()]
    assert best(z) > 2
    assert taus[torch.stack([((z - t * LOG_PRIOR).argmax(1) == y).double().mean() for t in taus]).argmax()] < 1
    temperatures = torch.linspace(0.5, 6, 56)
    temperature = temperatures[torch.stack([F.cross_entropy(z / t, y) for t in temperatures]).argmin()]
    assert abs(temperature - 3) < 0.6 and 0.6 < best(z / temperature) < 1.4
    for t in (0.5, 3.0, 7.0):  # dividing by T and shifting once is shifting T times
        same = (z / t - LOG_PRIOR).argmax(1) == (z - t * LOG_PRIOR).argmax(1)
        assert same.double().mean() > 0.999
