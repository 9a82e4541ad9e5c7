import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, stated

LOSS = r"\mathcal{L} = -\ln \sigma\left(u_o^\top v\right) - \sum_{i=1}^{k} \ln \sigma\left(-u_i^\top v\right)"
GRADIENT = r"""
\frac{\partial \mathcal{L}}{\partial v} = \left(\sigma\left(u_o^\top v\right) - 1\right) u_o + \sum_{i=1}^{k} \sigma\left(u_i^\top v\right) u_i
"""
OPTIMUM = r"u_c^\top v_w = \ln \frac{p(w, c)}{p(w)\,p(c)} - \ln k"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def library_loss(v, u_o, u):
    """Binary cross-entropy of the scores: label 1 for the neighbor, 0 for the random words."""
    scores = torch.cat([(u_o @ v)[None], u @ v])
    labels = torch.cat([torch.ones(1), torch.zeros(len(u))]).to(scores)
    return F.binary_cross_entropy_with_logits(scores, labels, reduction="sum")


@formula(LOSS, GRADIENT)
def check_loss_and_gradient():
    for d, k in [(5, 3), (1, 1), (50, 20), (4, 0)]:
        v, u_o, u = torch.randn(d).double().requires_grad_(), torch.randn(d).double(), torch.randn(k, d).double()
        loss = library_loss(v, u_o, u)
        loss.backward()
        vn, on, un = v.detach().numpy(), u_o.numpy(), u.numpy()
        ours = -np.log(sigmoid(on @ vn)) - sum(np.log(sigmoid(-row @ vn)) for row in un)
        np.testing.assert_allclose(ours, loss.item(), rtol=1e-10)
        slope = (sigmoid(on @ vn) - 1) * on + sum((sigmoid(row @ vn) * row for row in un), np.zeros(d))
        np.testing.assert_allclose(slope, v.grad.numpy(), rtol=1e-10, atol=1e-12)


@formula(OPTIMUM)
def check_optimum():
    """Free scores, minimised by L-BFGS over the expected loss, end at the shifted mutual information."""
    for shape, k in [((4, 6), 5), ((3, 3), 1), ((2, 7), 15)]:
        C = torch.randint(1, 30, shape).double()
        scores = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([scores], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            drawn = k * C.sum(1, keepdim=True) * C.sum(0) / C.sum()
            loss = -(C * F.logsigmoid(scores) + drawn * F.logsigmoid(-scores)).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        p = C.numpy() / C.sum().item()
        ours = np.log(p / (p.sum(1, keepdims=True) * p.sum(0))) - np.log(k)
        np.testing.assert_allclose(ours, scores.detach().numpy(), atol=1e-4)


@check
def check_by_hand():
    v, u_o, u = torch.tensor([1.0, 0.0], requires_grad=True), torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 1.0]])
    loss = library_loss(v, u_o, u)
    loss.backward()
    stated("1.4402", loss.item())
    stated("0.1269", -F.logsigmoid(torch.tensor(2.0)))
    stated("1.3133", -F.logsigmoid(torch.tensor(-1.0)))
    stated("0.4927", v.grad[0])
    stated("0.7311", v.grad[1])
    after = v.detach() - 0.1 * v.grad
    assert u[0] @ after < u[0] @ v and u_o @ after < u_o @ v
    stated("31.6", 100**0.75)


@check
def check_lookup():
    table = nn.Embedding(7, 3)
    assert table(torch.tensor([1], dtype=torch.int32)).equal(table(torch.tensor([1])))
    assert table(torch.tensor([[1, 2], [3, 6]])).shape == (2, 2, 3) and table(torch.tensor([1, 2])).shape == (2, 3)
    assert sum(p.numel() for p in table.parameters()) == 21
    assert not nn.Embedding.from_pretrained(torch.randn(4, 2)).weight.requires_grad
    assert nn.Embedding.from_pretrained(torch.randn(4, 2), freeze=False).weight.requires_grad


@check
def check_rotation_changes_no_score():
    v, u = torch.randn(5, 4).double(), torch.randn(6, 4).double()
    rotation = torch.linalg.qr(torch.randn(4, 4).double())[0]
    assert torch.allclose((v @ rotation) @ (u @ rotation).T, v @ u.T) and not torch.allclose(v @ rotation, v)
    assert not torch.allclose((v @ rotation) @ u.T, v @ u.T)


@check
def check_surplus_dimensions_keep_noise():
    """Rows: king, queen, prince, princess, man, woman, boy, girl; the toy corpus of the article."""
    traits = torch.tensor([[a, b, c] for a in (0, 1) for c in (0, 1) for b in (0, 1)])
    marks = torch.cat([F.one_hot(traits[:, 0], 2).repeat(1, 2), F.one_hot(traits[:, 1], 2).repeat(1, 2), F.one_hot(traits[:, 2], 2)], 1)
    C = marks * 10.0 + 1
    noise = 5 * C.sum(1, keepdim=True) * C.sum(0) / C.sum()
    found = {}
    for d in (4, 6):
        torch.manual_seed(0)
        v, u = nn.Embedding(8, d), nn.Embedding(10, d)
        optimizer = torch.optim.Adam([*v.parameters(), *u.parameters()], 0.05)
        for _ in range(400):
            score = v.weight @ u.weight.T
            loss = -(C * F.logsigmoid(score) + noise * F.logsigmoid(-score)).sum() / C.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert (score - (C / noise).log()).abs().max() < 0.1
        steps = v.weight[1::2] - v.weight[::2]
        found[d] = float(F.cosine_similarity(steps[:, None], steps[None], dim=-1).detach().min())
    assert found[4] > 0.95 and found[6] < 0.9, found
