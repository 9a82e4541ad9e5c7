import math

import numpy as np
import torch
import torch.nn.functional as F

from note_checks import check, formula, stated

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
            np.testing.assert_allclose(-np.log(top[np.arange(20), y] / top.sum(1)), library, rtol=1e-9)
            for i in range(20):
                total = sum((pi[c] / pi[y[i]]) ** tau * math.exp(z[i, c] - z[i, y[i]]) for c in range(len(pi)) if c != y[i])
                assert math.isclose(math.log(1 + total), library[i], rel_tol=1e-9)


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
