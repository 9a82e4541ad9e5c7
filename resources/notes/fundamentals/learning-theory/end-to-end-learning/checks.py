import math

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, stated

CHAIN = r"""
\frac{\partial L}{\partial \theta_1} = \left( \frac{\partial f}{\partial \theta_1} \right)^{\!\top} \left( \frac{\partial g}{\partial h} \right)^{\!\top} \frac{\partial L}{\partial \hat{y}}
"""
PIPELINE = r"p = \prod_{k=1}^{K} p_k"


@formula(CHAIN)
def check_chain_rule():
    for inputs, width, outputs in ((3, 2, 4), (1, 1, 1), (5, 6, 2)):
        first, second = nn.Linear(inputs, width, bias=False).double(), nn.Linear(width, outputs, bias=False).double()
        x, y = torch.randn(inputs).double(), torch.randn(outputs).double()
        (0.5 * (second(first(x).tanh()) - y) ** 2).sum().backward()
        A, B, xn = first.weight.detach().numpy(), second.weight.detach().numpy(), x.numpy()
        h = np.tanh(A @ xn)
        dL = B @ h - y.numpy()
        df = np.einsum("a,ab,c->abc", 1 - h**2, np.eye(width), xn).reshape(width, -1)
        np.testing.assert_allclose((df.T @ (B.T @ dL)).reshape(width, inputs), first.weight.grad.numpy(), atol=1e-10)


# verified: formula-only (independent stages are simulated)
@formula(PIPELINE)
def check_product_of_stages():
    rng = np.random.default_rng(0)
    for rates in ((0.95, 0.95, 0.95), (0.5, 0.9), (0.8, 0.7, 0.9, 0.99)):
        success = (rng.random((200_000, len(rates))) < np.array(rates)).all(1)
        assert abs(success.mean() - math.prod(rates)) < 0.005
    stated("0.857", 0.95**3)


@check
def check_by_hand():
    first, second = torch.tensor(3.0, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    loss = 0.5 * (second * (first * 2.0) - 1.0) ** 2
    loss.backward()
    stated("3", second.detach() * first.detach() * 2.0)
    stated("2", first.grad)
    stated("12", second.grad)


@check
def check_cut_paths():
    h = torch.randn(4, 3, requires_grad=True)
    assert not h.argmax(1).requires_grad and not h.detach().requires_grad
    torch.round(h).sum().backward()
    assert (h.grad == 0).all()
    h.grad = None
    (h.softmax(1) * torch.arange(3.0)).sum().backward()
    assert (h.grad != 0).any()


@check
def check_better_stage_needs_a_refitted_successor():
    z = np.random.randn(1000)
    old, new = 0.7 * z + 0.5 + 0.1 * np.random.randn(1000), z + 0.05 * np.random.randn(1000)
    fit = lambda h: np.polyfit(h, 2 * z, 1)
    error = lambda line, h: ((np.polyval(line, h) - 2 * z) ** 2).mean()
    assert ((new - z) ** 2).mean() < ((old - z) ** 2).mean() and error(fit(old), new) > error(fit(old), old) > error(fit(new), new)


@check
def check_straight_through():
    logits, weights = torch.randn(4, 3, requires_grad=True), torch.arange(3.0)
    soft = logits.softmax(1)
    hard = nn.functional.one_hot(logits.argmax(1), 3).float()
    passed = hard + soft - soft.detach()
    assert torch.allclose(passed, hard, atol=1e-6)
    wanted, = torch.autograd.grad((soft * weights).sum(), logits, retain_graph=True)
    (passed * weights).sum().backward()
    assert torch.allclose(logits.grad, wanted) and (wanted != 0).any()
