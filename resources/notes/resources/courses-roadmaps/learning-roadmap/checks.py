from pathlib import Path

import numpy as np
import torch
import yaml
from scipy.stats import binom
from sklearn.cluster import KMeans
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from torchvision.ops import box_iou

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, sourced, stated
from trainings import descend, handwritten_digits

ERROR = r"\mathrm{SE} = \sqrt{\frac{p\,(1-p)}{n}}"
BEST = r"P\Big(\max_{j \le k} \hat p_j \ge x\Big) = 1 - F(x)^k"

# what the plan names, what a contest hands out
by_definition(
    "Input → output",
    "Tools",
    "What does a contest decide for you?",
)
sourced("deeplearningbook.org and cs231n.github.io, their first pages", "Cost")


@holds("Order", "1. overview", "2. first contest", "3. derivations", "4. deep learning", "5. prize contest, papers")
def check_order_of_the_steps():
    """The first table's order is the second's; what a topic needs is never named by a later step only."""
    figure, here = figure_of(__file__), Path(__file__).parent
    files = [yaml.safe_load(path.read_text()) for path in here.parents[2].glob("*/*/*/topic.yaml")]
    needs = {topic["id"]: topic.get("prerequisites") or [] for topic in files}
    steps = [set(topics) for _, topics in figure.steps()]
    assert len(steps) == 5 and all(steps) and set.union(*steps) <= set(needs)
    for place, topics in enumerate(steps):
        later = set().union(*steps[place + 1 :])
        assert not figure.with_prerequisites(topics, needs) & later, (place, later)
    row = next(line for line in (here / "en.md").read_text().splitlines() if line.startswith("| Order"))
    words = ("overview", "contest", "derivations", "deep learning", "contest and papers", "derivations")
    places = [-1]
    for word in words:
        places.append(row.index(word, places[-1] + 1))
    assert all(word in name for (name, _), word in zip(figure.steps(), words[:4]))


@holds("Cost")
def check_a_small_network_on_the_cpu():
    x, y = handwritten_digits()
    network = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    loss = lambda: torch.nn.functional.cross_entropy(network(x[:1000]), y[:1000])
    descend(torch.optim.Adam(network.parameters(), 0.01), loss, 150)
    assert x.device.type == "cpu" and (network(x[1000:]).argmax(1) == y[1000:]).float().mean() > 0.8


@holds("Which mathematics does logistic regression already use?")
def check_mathematics_of_logistic_regression():
    """Scores by a matrix product, the loss as a likelihood of labels, its gradient by the chain rule."""
    X, y, w = np.random.normal(size=(9, 3)), np.arange(9) % 2, np.random.normal(size=3)
    p = 1 / (1 + np.exp(-X @ w))
    likelihood = np.prod(np.where(y == 1, p, 1 - p))
    weights = torch.tensor(w, requires_grad=True)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(X) @ weights, torch.tensor(y).double(), reduction="sum"
    )
    loss.backward()
    np.testing.assert_allclose(-np.log(likelihood), loss.item())
    np.testing.assert_allclose(X.T @ (p - y), weights.grad)


@holds('How could one answer "explain X" in an interview?')
def check_order_of_this_article():
    text = (Path(__file__).parent / "en.md").read_text()
    places = [text.index(f"## {name}") for name in ("In one line", "Formula", "By hand", "Pitfalls")]
    assert places == sorted(places)


@formula(ERROR)
def check_standard_error():
    for p in (0.5, 0.8, 0.97):
        for n in (10, 1000):
            np.testing.assert_allclose(np.sqrt(p * (1 - p) / n), binom.std(n, p) / n, rtol=1e-9)


@formula(BEST)
def check_best_of_many():
    generator = np.random.default_rng(0)
    for p, n, k, hits in [(0.8, 1000, 20, 820), (0.6, 50, 5, 35), (0.9, 100, 3, 92)]:
        F = binom.cdf(hits - 1, n, p)
        trials = 200_000 // k
        best = generator.binomial(n, p, size=(trials, k)).max(1)
        measured, expected = (best >= hits).mean(), 1 - F**k
        assert abs(measured - expected) < 5 * np.sqrt(expected * (1 - expected) / trials)


@check
def check_worked_example():
    stated("0.0126", np.sqrt(0.16 / 1000))
    single = binom.sf(819, 1000, 0.8)
    stated("0.060", single)
    stated("0.940", 1 - single)
    stated("0.71", 1 - (1 - single) ** 20)


@pitfall("A high score in cross-validation, a poor one on the board")
def check_leakage():
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(100, 2000)), np.arange(100) % 2
    chosen = SelectKBest(k=20).fit_transform(X, y)
    stated("0.90", cross_val_score(LogisticRegression(), chosen, y, cv=5).mean())
    stated("0.47", cross_val_score(make_pipeline(SelectKBest(k=20), LogisticRegression()), X, y, cv=5).mean())
    board, truth = generator.normal(size=(2000, 2000)), np.arange(2000) % 2
    best = SelectKBest(k=20).fit(X, y)
    model = LogisticRegression().fit(best.transform(X), y)
    assert model.score(best.transform(board), truth) < 0.55


def k_means(X, centres):
    for _ in range(300):
        nearest = ((X[:, None] - centres) ** 2).sum(-1).argmin(1)
        centres = np.stack([X[nearest == j].mean(0) for j in range(len(centres))])
    return centres


def overlap(a, b):
    """IoU of two boxes given by their corners."""
    sides = torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])
    shared, area = sides.clamp(min=0).prod(), lambda box: (box[2:] - box[:2]).prod()
    return shared / (area(a) + area(b) - shared)


def suppress(boxes, scores, limit):
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[i], boxes[j]) <= limit for j in kept):
            kept.append(i)
    return kept


def attend(q, k, v):
    return (q @ k.T / q.shape[-1] ** 0.5).softmax(-1) @ v


@pitfall('"Interviews test derivations, written exams test data structures"')
def check_programs_from_scratch():
    """The opinion cannot be run; the four programs of the fix can."""
    X = np.concatenate([np.random.normal(c, 0.1, (30, 2)) for c in (0, 3, 6)])
    start = X[[0, 30, 60]]
    library = KMeans(3, init=start, n_init=1, tol=0).fit(X).cluster_centers_
    np.testing.assert_allclose(k_means(X, start), library, atol=1e-9)
    corner = torch.rand(20, 2) * 5
    boxes, scores = torch.cat([corner, corner + 1 + torch.rand(20, 2) * 3], 1), torch.rand(20)
    ours = torch.stack([torch.stack([overlap(a, b) for b in boxes]) for a in boxes])
    assert torch.allclose(ours, box_iou(boxes, boxes), atol=1e-6)
    kept = suppress(boxes, scores, 0.3)  # torchvision's operator needs its compiled part
    dropped = set(range(20)) - set(kept)
    assert dropped and (box_iou(boxes[kept], boxes[kept]).fill_diagonal_(0) <= 0.3).all()
    assert all(any(ours[i, j] > 0.3 and scores[j] > scores[i] for j in kept) for i in dropped)
    q, k, v = torch.randn(3, 6, 8)
    assert torch.allclose(attend(q, k, v), torch.nn.functional.scaled_dot_product_attention(q, k, v), atol=1e-6)


@pitfall("Months go into re-implementing every algorithm")
def check_re_implementation_against_the_library():
    """The months cannot be run; comparing numbers finds a mistake of one's own (here a penalised intercept)."""
    X, y = np.random.normal(size=(50, 3)), np.random.normal(5, 1, 50)
    library = Ridge(alpha=2.0).fit(X, y)
    solve = lambda A, b: np.linalg.solve(A.T @ A + 2 * np.eye(A.shape[1]), A.T @ b)
    assert abs(solve(np.c_[X, np.ones(50)], y)[3] - library.intercept_) > 0.1
    np.testing.assert_allclose(solve(X - X.mean(0), y - y.mean()), library.coef_, rtol=1e-9)


@pitfall("The leaderboard rank falls at the end")
def check_rank_after_the_final_data():
    """100 equal teams, one with 100 tries; where models differ, a larger validation set chooses a better one."""
    generator = np.random.default_rng(0)
    others = generator.binomial(500, 0.8, (2, 300, 99)) / 500  # public and final part, 300 contests
    tries = generator.binomial(500, 0.8, (300, 100)) / 500
    rank = lambda own, rivals: (rivals > own[:, None]).mean()
    final = generator.binomial(500, 0.8, 300) / 500  # the chosen one is as good as any
    assert rank(tries.max(1), others[0]) < 0.05 and 0.4 < rank(final, others[1]) < 0.6
    once = tries[:, 0]
    assert abs(rank(once, others[0]) - rank(final, others[1])) < 0.1  # one submission: no fall to expect
    quality = generator.uniform(0.75, 0.85, (300, 100))
    chosen = lambda n: np.take_along_axis(quality, generator.binomial(n, quality).argmax(1)[:, None], 1).mean()
    assert chosen(20_000) > chosen(50) + 0.01
