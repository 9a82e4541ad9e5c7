import math

import numpy as np
import torch
from sklearn.metrics import recall_score
from torch.nn import functional as F

from note_checks import check, formula, stated

RANK = r"\mathrm{rank}_q(d) = 1 + \sum_{d' \ne d} \mathbf{1}\left[ s(q, d') > s(q, d) \right]"
HIT = r"\mathrm{R@}K = \frac{1}{Q} \sum_{q} \mathbf{1}\left[ \min_{d \in G_q} \mathrm{rank}_q(d) \le K \right]"
RECALL = r"""
\mathrm{recall@}K = \frac{1}{Q} \sum_{q} \frac{\left| \{ d \in G_q : \mathrm{rank}_q(d) \le K \} \right|}{|G_q|}
"""
HARDEST = r"""
L = \sum_{i} \left[ m - s_{ii} + \max_{j \ne i} s_{ij} \right]_+ + \left[ m - s_{ii} + \max_{j \ne i} s_{ji} \right]_+
"""


def ranks(s):
    return np.array([[1 + sum(s[q, e] > s[q, d] for e in range(s.shape[1]) if e != d) for d in range(s.shape[1])] for q in range(s.shape[0])])


@formula(RANK, HIT, RECALL)
def check_ranks_and_recall():
    for Q, N in ((1, 4), (6, 12), (10, 30)):
        s = torch.randn(Q, N, dtype=torch.float64)
        correct = torch.rand(Q, N) < 0.3
        correct[:, 0] = True
        found = ranks(s.numpy())
        order = s.argsort(dim=1, descending=True)
        np.testing.assert_array_equal(found, order.argsort(dim=1).numpy() + 1)
        for K in (1, 3, N):
            top = s.topk(K, dim=1).indices
            hits = correct.gather(1, top).any(1).double().mean().item()
            ours = np.mean([min(found[q, d] for d in range(N) if correct[q, d]) <= K for q in range(Q)])
            assert math.isclose(ours, hits, abs_tol=1e-12)
            predicted = torch.zeros(Q, N, dtype=torch.bool).scatter(1, top, True)
            library = recall_score(correct.numpy(), predicted.numpy(), average="samples")
            recall = np.mean([sum(found[q, d] <= K for d in range(N) if correct[q, d]) / int(correct[q].sum()) for q in range(Q)])
            np.testing.assert_allclose(recall, library, rtol=1e-12)


@formula(HARDEST)
def check_hardest_negative_loss():
    for n, m in ((2, 0.2), (7, 0.5)):
        s = torch.rand(n, n, dtype=torch.float64) * 2 - 1
        v = s.numpy()
        ours = sum(
            max(m - v[i, i] + max(v[i, j] for j in range(n) if j != i), 0) + max(m - v[i, i] + max(v[j, i] for j in range(n) if j != i), 0)
            for i in range(n)
        )
        off = s.masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf)
        one = torch.ones(n)
        library = sum(F.margin_ranking_loss(s.diag(), off.amax(dim), one, margin=m, reduction="sum") for dim in (0, 1))
        np.testing.assert_allclose(ours, library.item(), rtol=1e-12)


@check
def check_by_hand():
    found = np.array([3, 7, 8, 20, 31])
    assert found.min() <= 5
    stated("0.2", (found <= 5).mean())
    stated("0.6", (found <= 10).mean())
    stated("0.01", 10 / 1000)
    stated("0.00996", 1 - math.comb(4995, 10) / math.comb(5000, 10))
    s = torch.tensor([[0.6, 0.5], [0.3, 0.7]])
    off, one = s.masked_fill(torch.eye(2, dtype=torch.bool), -torch.inf), torch.ones(2)
    rows = F.margin_ranking_loss(s.diag(), off.amax(1), one, margin=0.2, reduction="none")
    columns = F.margin_ranking_loss(s.diag(), off.amax(0), one, margin=0.2, reduction="none")
    stated("0.1", rows.sum() + columns.sum())
    assert rows[1] < 1e-6 and (columns < 1e-6).all()
    stated("2,048,000,000", torch.empty(1_000_000, 512, device="meta").nelement() * 4)


@check
def check_nan_ranks_first():
    scores, correct = torch.full((3, 6), torch.nan), torch.eye(3, 6, dtype=torch.bool)
    best = scores.masked_fill(~correct, -torch.inf).amax(1, keepdim=True)
    assert (1 + ((scores >= best) & ~correct).sum(1)).tolist() == [1, 1, 1]
    scores = torch.tensor([[0.5, torch.nan, 0.7]])  # a wrong item's NaN is not counted
    assert (1 + ((scores >= 0.5) & (torch.arange(3) > 0)).sum(1)).item() == 2


@check
def check_long_vectors_win_without_normalization():
    torch.manual_seed(0)
    gallery = F.normalize(torch.randn(100, 8), dim=1)
    gallery[0] *= 30
    queries = F.normalize(torch.randn(1000, 8), dim=1)
    winners = (queries @ gallery.T).argmax(1)
    fair = (queries @ F.normalize(gallery, dim=1).T).argmax(1)
    assert (winners == 0).float().mean() > 0.4 and (fair == 0).float().mean() < 0.1
