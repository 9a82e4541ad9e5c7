import math

import numpy as np
import torch
from sklearn.metrics import recall_score
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

RANK = r"\mathrm{rank}_q(d) = 1 + \sum_{d' \ne d} \mathbf{1}\left[ s(q, d') > s(q, d) \right]"
HIT = r"\mathrm{R@}K = \frac{1}{Q} \sum_{q} \mathbf{1}\left[ \min_{d \in G_q} \mathrm{rank}_q(d) \le K \right]"
RECALL = r"""
\mathrm{recall@}K = \frac{1}{Q} \sum_{q} \frac{\left| \{ d \in G_q : \mathrm{rank}_q(d) \le K \} \right|}{|G_q|}
"""
HARDEST = r"""
L = \sum_{i} \left[ m - s_{ii} + \max_{j \ne i} s_{ij} \right]_+ + \left[ m - s_{ii} + \max_{j \ne i} s_{ji} \right]_+
"""

by_definition("Parameters", "Same in train and eval?")
sourced("CLIP, arXiv 2103.00020, table of zero-shot retrieval on Flickr30k and MSCOCO", "Defaults", "Output")
sourced("FILIP, arXiv 2111.07783: a vector per token, compared at the end", "Late interaction (FILIP)")
sourced("ViLT, arXiv 2102.03334, and FashionBERT, arXiv 2005.09801", "Joint encoder (ViLT, FashionBERT)")
sourced("ann-benchmarks.com: recall against queries per second", "How are approximate indexes judged?")


def ranks(s):
    return np.array(
        [
            [1 + sum(s[q, e] > s[q, d] for e in range(s.shape[1]) if e != d) for d in range(s.shape[1])]
            for q in range(s.shape[0])
        ]
    )


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
            recall = np.mean(
                [sum(found[q, d] <= K for d in range(N) if correct[q, d]) / int(correct[q].sum()) for q in range(Q)]
            )
            np.testing.assert_allclose(recall, library, rtol=1e-12)


@formula(HARDEST)
def check_hardest_negative_loss():
    for n, m in ((2, 0.2), (7, 0.5)):
        s = torch.rand(n, n, dtype=torch.float64) * 2 - 1
        v = s.numpy()
        ours = sum(
            max(m - v[i, i] + max(v[i, j] for j in range(n) if j != i), 0)
            + max(m - v[i, i] + max(v[j, i] for j in range(n) if j != i), 0)
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


def best_rank(scores, correct):
    """The function of the article."""
    best = scores.masked_fill(~correct, -torch.inf).amax(1, keepdim=True)
    return 1 + ((scores >= best) & ~correct).sum(1)


@pitfall('"R@1 cannot exceed 1/5 with five captions"')
def check_a_hit_rate_reaches_1_where_recall_stops_at_a_fifth():
    images = torch.eye(20)
    correct = torch.arange(20)[:, None] == torch.arange(20).repeat_interleave(5)
    scores = images @ images.repeat_interleave(5, 0).T  # perfect embeddings
    top = scores.argmax(1, keepdim=True)
    assert (best_rank(scores, correct) <= 1).all()
    assert (correct.gather(1, top).sum(1) / correct.sum(1) == 1 / 5).all()


def pairs_of_images_and_captions(images):
    x = F.normalize(torch.randn(images, 32), dim=1)
    owner = torch.arange(images).repeat_interleave(5)
    texts = F.normalize(x[owner] + 0.35 * torch.randn(5 * images, 32), dim=1)
    return x @ texts.T, torch.arange(images)[:, None] == owner


@pitfall("Numbers far below the paper")
def check_another_gallery_and_one_caption_of_five():
    share = lambda s, c: (best_rank(s, c) <= 1).float().mean()
    scores, correct = pairs_of_images_and_captions(1000)
    test = share(scores[:100, :500], correct[:100, :500])
    assert share(scores, correct) < test - 0.2  # the full set
    first = correct & (torch.arange(5000) % 5 == 0)
    assert share(scores[:100, :500], first[:100, :500]) < test - 0.4  # four of five captions counted as wrong
    for part in (scores[100:200, 500:1000], scores[200:300, 1000:1500]):  # the same size, all captions
        assert abs(share(part, correct[:100, :500]) - test) < 0.15


@pitfall("A collapsed model scores 100 %")
def check_ties_count_against_the_model():
    same, correct = torch.zeros(50, 250), torch.arange(50)[:, None] == torch.arange(250) // 5
    strict = 1 + (same > same.masked_fill(~correct, -torch.inf).amax(1, keepdim=True)).sum(1)
    assert (strict <= 1).all() and (best_rank(same, correct) > 10).all()
    assert best_rank(torch.full((3, 6), torch.nan), torch.eye(3, 6, dtype=torch.bool)).tolist() == [1, 1, 1]
    order = same.argsort(dim=1, descending=True, stable=True)
    assert torch.equal(order, torch.arange(250).expand(50, -1))  # the order of the files, whatever the model


@check
def check_nan_ranks_first():
    scores, correct = torch.full((3, 6), torch.nan), torch.eye(3, 6, dtype=torch.bool)
    best = scores.masked_fill(~correct, -torch.inf).amax(1, keepdim=True)
    assert (1 + ((scores >= best) & ~correct).sum(1)).tolist() == [1, 1, 1]
    scores = torch.tensor([[0.5, torch.nan, 0.7]])  # a wrong item's NaN is not counted
    assert (1 + ((scores >= 0.5) & (torch.arange(3) > 0)).sum(1)).item() == 2


@pitfall("The same few items appear again and again")
def check_hubs():
    """Queries share a direction, as photos or sentences do; the items nearest to it win until each item's mean is taken off."""
    torch.manual_seed(0)
    common = 0.15 * torch.randn(64)
    queries, bank = (F.normalize(torch.randn(1000, 64) / 8 + common, dim=1) for _ in range(2))
    gallery = F.normalize(torch.randn(500, 64) / 8 - common / 2, dim=1)
    most = lambda scores: torch.bincount(scores.topk(10).indices.flatten(), minlength=500).max() / 1000
    scores = queries @ gallery.T
    highest = lambda other: other.topk(10, dim=0).values.mean(0)
    assert most(scores) > 0.4 and most(scores - (bank @ gallery.T).mean(0)) < 0.1
    assert most(scores - highest(bank @ gallery.T)) < 0.12
    topics = F.normalize(torch.randn(10, 64), dim=1)  # in each topic some items lie nearest to all its queries
    about = lambda n, near: F.normalize(near * topics[torch.randint(10, (n,))] + torch.randn(n, 64) / 8, dim=1)
    queries, bank, gallery = about(1000, 1), about(1000, 1), about(500, 1.5 * torch.rand(500, 1))
    scores = queries @ gallery.T
    assert most(scores - (bank @ gallery.T).mean(0)) > 0.9 * most(scores)
    assert most(scores - highest(bank @ gallery.T)) < 0.75 * most(scores)
    check_long_vectors_win_without_normalization()


def same_product(by_class, own_category_only=False):
    """R@1 for the photo of the same product, the share of the same category, and R@1 with the title's score added."""
    torch.manual_seed(0)
    category = torch.arange(20).repeat_interleave(20)
    style, product = 1.5 * torch.randn(20, 16)[category], torch.randn(400, 16)
    photo = lambda: torch.cat([style, product], 1) + 0.5 * torch.randn(400, 32)
    title = lambda: F.normalize(product + 0.5 * torch.randn(400, 16), dim=1)
    network = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8))
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    alike = category[:, None] == category
    for _ in range(100):
        a, b = (F.normalize(network(photo()), dim=1) for _ in range(2))
        scores = a @ b.T / 0.1
        if by_class:
            loss = F.cross_entropy(scores, alike / 20)
        else:
            if own_category_only:
                scores = scores.masked_fill(~alike, -torch.inf)
            loss = F.cross_entropy(scores, torch.arange(400))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = F.normalize(network(photo()), dim=1) @ F.normalize(network(photo()), dim=1).T
    right = lambda s: (s.argmax(1) == torch.arange(400)).float().mean()
    return right(scores), (category[scores.argmax(1)] == category).float().mean(), right(scores + title() @ title().T)


@pitfall("Same style, wrong product")
def check_classes_do_not_tell_products_apart():
    found, style, _ = same_product(by_class=True)
    assert found < 0.15 and style > 0.95
    found, style, with_title = same_product(by_class=False)
    assert found > 0.6 and style > 0.85 and with_title > 0.9
    found, style, _ = same_product(by_class=False, own_category_only=True)
    assert found < 0.6 and 0.35 < style < 0.65


@check
def check_long_vectors_win_without_normalization():
    torch.manual_seed(0)
    gallery = F.normalize(torch.randn(100, 8), dim=1)
    gallery[0] *= 30
    queries = F.normalize(torch.randn(1000, 8), dim=1)
    winners = (queries @ gallery.T).argmax(1)
    fair = (queries @ F.normalize(gallery, dim=1).T).argmax(1)
    assert (winners == 0).float().mean() > 0.4 and (fair == 0).float().mean() < 0.1


@holds("Input", "Output", "Cost")
def check_contract():
    queries, gallery = F.normalize(torch.randn(7, 16), dim=1), F.normalize(torch.randn(30, 16), dim=1)
    scores = queries @ gallery.T
    assert scores.shape == (7, 30) and (gallery @ queries[0]).shape == (30,) and scores.abs().max() <= 1 + 1e-6
    assert torch.allclose(scores, F.cosine_similarity(queries[:, None], gallery[None], dim=2), atol=1e-6)
    correct = torch.arange(7)[:, None] == torch.arange(30)
    assert 0 <= (best_rank(scores, correct) <= 5).float().mean() <= 1
    with FlopCounterMode(display=False) as counter:
        queries @ gallery.T
    assert counter.get_total_flops() == 2 * 7 * 30 * 16
    stated("2,048,000,000", torch.empty(1_000_000, 512, device="meta").nelement() * 4)


@holds(
    "Two towers (CLIP)",
    "Late interaction (FILIP)",
    "Joint encoder (ViLT, FashionBERT)",
    "Two towers, item tower fuses photo and title",
    "Why not always the joint encoder?",
)
def check_what_can_be_stored():
    """An item's part of a joint pass differs from query to query; a tower's does not, and serves them all."""
    passes = []
    tower = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    tower.register_forward_hook(lambda *_: passes.append(1))
    queries, items = torch.randn(3, 4, 16), torch.randn(9, 5, 16)  # tokens; an item's may be of its photo and its title
    with torch.no_grad():
        stored = tower(items)
        passes.clear()
        found = tower(queries[:1])
        scores = found.mean(1) @ stored.mean(1).T
        # Each query token meets its best item token.
        late = torch.einsum("qd,itd->qit", found[0], stored).amax(2).mean(0)
        assert scores.shape == (1, 9) and late.shape == (9,) and len(passes) == 1
        assert stored.mean(1).shape == (9, 16) and stored.shape == (9, 5, 16)
        passes.clear()
        joint = [[tower(torch.cat([q, item])[None])[0, 4:] for item in items] for q in queries]
    assert len(passes) == 3 * 9 and not torch.allclose(joint[0][0], joint[1][0], atol=1e-2)


@holds("R@1 or median rank?")
def check_the_median_does_not_see_the_worst():
    found = np.array([1, 1, 2, 4, 9])
    worse = np.where(found > 2, found * 100, found)
    assert np.median(found) == np.median(worse) == 2 and (found <= 1).mean() == 0.4
    assert np.median([1, 2, 4, 9]) == np.median([1, 2, 4, 900]) == 3  # the mean of the two in the middle


@holds("How are approximate indexes judged?")
def check_an_exact_index_may_answer_wrongly():
    scores, correct = pairs_of_images_and_captions(200)
    nearest = scores.T.topk(1).indices
    exact = (nearest == scores.T.argmax(1, keepdim=True)).float().mean()
    assert exact == 1 and correct.T.gather(1, nearest).float().mean() < 0.7


@holds("Why do both directions differ?")
def check_directions():
    scores, correct = pairs_of_images_and_captions(200)
    assert scores.shape == (200, 1000) and (correct.sum(1) == 5).all() and (correct.sum(0) == 1).all()
    share = [(best_rank(s, c) <= 1).float().mean() for s, c in ((scores, correct), (scores.T, correct.T))]
    one = correct & (torch.arange(1000) % 5 == 0)  # one correct text per image: the gap is another
    assert share[0] > share[1] + 0.1 and (best_rank(scores, one) <= 1).float().mean() < share[0] - 0.2
