import math

import numpy as np
import torch
import torch.nn.functional as F

from note_checks import check, formula, pitfall, stated

POST_HOC = r"\hat{y} = \operatorname{argmax}_c \left( z_c - \tau \ln \pi_c \right)"
LOSS = r"""
\ell = -\ln \frac{\exp(z_y + \tau \ln \pi_y)}{\sum_{c} \exp(z_c + \tau \ln \pi_c)} = \ln \left( 1 + \sum_{c \ne y} \left( \frac{\pi_c}{\pi_y} \right)^{\tau} e^{z_c - z_y} \right)
"""
POSTERIOR = r"\operatorname{softmax}(z - \ln \pi)_c = \frac{p(c \mid x) / \pi_c}{\sum_{k} p(k \mid x) / \pi_k}"
PRIOR = np.array([0.9, 0.1])


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def priors():
    for c in (2, 3, 10):
        pi = np.random.dirichlet(np.ones(c))
        yield pi / pi.sum()


@formula(POST_HOC)
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
def check_loss():
    for pi in priors():
        for tau in (0.0, 1.0, 1.7):
            z, y = np.random.randn(20, len(pi)) * 3, np.random.randint(len(pi), size=20)
            shift = tau * torch.tensor(pi).log()
            library = F.cross_entropy(torch.tensor(z) + shift, torch.tensor(y), reduction="none").numpy()
            top = np.exp(z + tau * np.log(pi))
            np.testing.assert_allclose(-np.log(top[np.arange(20), y] / top.sum(1)), library, rtol=1e-9, atol=1e-12)
            for i in range(20):
                total = sum((pi[c] / pi[y[i]]) ** tau * math.exp(z[i, c] - z[i, y[i]]) for c in range(len(pi)) if c != y[i])
                assert math.isclose(math.log(1 + total), library[i], rel_tol=1e-8)


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


@check
def check_same_optimum_as_weights():
    """At the optimum of either loss for one point with known class shares, predictions are the same."""
    share = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    pi = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    z = (share / pi).log().requires_grad_()
    adjusted = -(share * (z + pi.log()).log_softmax(0)).sum()
    assert torch.autograd.grad(adjusted, z)[0].abs().max() < 1e-12
    weighted = -(share / pi * z.log_softmax(0)).sum()
    assert torch.autograd.grad(weighted, z)[0].abs().max() < 1e-12


@check
def check_other_test_prior():
    """Both corrections give the posterior for the test prior: one from a plain z, one from the optimum of the adjusted loss."""
    pi, test, density = np.array([0.9, 0.08, 0.02]), np.array([0.5, 0.3, 0.2]), np.random.rand(40, 3)
    plain, adjusted = np.log(density * pi) + 1, np.log(density) - 2
    wanted = density * test / (density * test).sum(1, keepdims=True)
    np.testing.assert_allclose(softmax(plain - np.log(pi) + np.log(test)), wanted)
    np.testing.assert_allclose(softmax(adjusted + np.log(test)), wanted)


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
def check_sides_and_signs():
    (train_x, train_y), (x, y) = three_classes(COUNTS), three_classes([2000] * 3)
    plain, adjusted, wrong = (logits_on(x, train_x, train_y, s * LOG_PRIOR) for s in (0, 1, -1))
    twice = torch.bincount((adjusted - LOG_PRIOR).argmax(1), minlength=3) / 6000
    assert twice[2] > 0.45 and twice[0] < 0.25
    for once in (plain - LOG_PRIOR, adjusted):
        assert (torch.bincount(once.argmax(1), minlength=3) / 6000 - 1 / 3).abs().max() < 0.06
        assert recalls(once, y)[2] > recalls(plain, y)[2] + 0.2
    assert recalls(plain + LOG_PRIOR, y)[2] < recalls(plain, y)[2] - 0.2 and recalls(wrong, y)[2] < recalls(plain, y)[2] - 0.2


@pitfall("Accuracy fell")
def check_accuracy_against_balanced_accuracy():
    (train_x, train_y), (x, y) = three_classes(COUNTS), three_classes([18000, 1800, 200])
    plain, adjusted = (logits_on(x, train_x, train_y, s * LOG_PRIOR) for s in (0, 1))
    accuracy = lambda z: (z.argmax(1) == y).double().mean()
    for balanced in (plain - LOG_PRIOR, adjusted):
        assert accuracy(balanced) < accuracy(plain) - 0.02 and recalls(balanced, y).mean() > recalls(plain, y).mean() + 0.05
    x, y = three_classes([1000, 2000, 12000])
    test = (torch.tensor([1, 2, 12]) / 15).log()
    plain, adjusted = (logits_on(x, train_x, train_y, s * LOG_PRIOR) for s in (0, 1))
    for fitted, others in ((plain - LOG_PRIOR + test, (plain, plain - LOG_PRIOR)), (adjusted + test, (adjusted, adjusted - LOG_PRIOR + test))):
        assert all(accuracy(fitted) > accuracy(other) + 0.01 for other in others)


@pitfall("A class without samples is always predicted")
def check_class_without_samples():
    (train_x, train_y), (x, y) = three_classes([900, 100, 0]), three_classes([500, 500, 0])
    z = logits_on(x, train_x, train_y, 0.0) - (torch.tensor([900, 100, 0]) / 1000).log()
    assert (z.argmax(1) == 2).all() and (z[:, :2].argmax(1) == y).double().mean() > 0.85


@pitfall("The best $\\tau$ is far from 1")
def check_overconfident_logits():
    (train_x, train_y), (x, y) = three_classes(COUNTS), three_classes([20000, 2000, 200])
    z = 3 * logits_on(x, train_x, train_y, 0.0)
    taus = torch.linspace(0, 5, 51)
    best = lambda logits: taus[torch.stack([recalls(logits - t * LOG_PRIOR, y).mean() for t in taus]).argmax()]
    assert best(z) > 2
    temperatures = torch.linspace(0.5, 6, 56)
    temperature = temperatures[torch.stack([F.cross_entropy(z / t, y) for t in temperatures]).argmin()]
    assert abs(temperature - 3) < 0.6 and 0.6 < best(z / temperature) < 1.4
