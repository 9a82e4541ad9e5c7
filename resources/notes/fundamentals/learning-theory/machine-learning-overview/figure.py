import numpy as np
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.semi_supervised import LabelSpreading

from figure_style import BLUE, GREEN, INK, ORANGE, QUIET, figure, plt


def corridor() -> float:
    """Q-learning on six cells in a row, reward 1 at the right end: its greedy return as a share of the best one."""
    random, gamma, Q = np.random.default_rng(0), 0.9, np.zeros((6, 2))
    step = lambda cell, action: max(0, cell - 1) if action == 0 else cell + 1
    for _ in range(100):
        cell = 0
        while cell < 5:
            action = random.integers(2)
            to = step(cell, action)
            target = 1.0 if to == 5 else gamma * Q[to].max()
            Q[cell, action] += 0.5 * (target - Q[cell, action])
            cell = to
    cell, steps = 0, 0
    while cell < 5 and steps < 50:
        cell, steps = step(cell, Q[cell].argmax()), steps + 1
    return gamma ** (steps - 1) / gamma**4


def branches() -> list[tuple[str, str, str, str, str, float]]:
    """Scenario, task, method, family, metric and score of one small model per branch, all but the last on the digits."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    A, B, a, b = train_test_split(X, y, test_size=0.5, random_state=0)
    shifted = np.roll(B.reshape(-1, 8, 8), 1, axis=2).reshape(-1, 64)
    network = MLPClassifier((64,), max_iter=400, random_state=0).fit(A, a)
    deep = network.score(B, b)
    for _ in range(60):
        network.partial_fit(shifted[:50], b[:50])
    ink = lambda images: images[:, 32:].sum(1)
    partial = np.where(np.arange(len(y)) < 50, np.concatenate([a, b]), -1)
    semi = LabelSpreading(kernel="rbf", gamma=2, max_iter=200).fit(np.concatenate([A, B]), partial).transduction_
    pca = PCA(16).fit(A)
    return [
        (
            "supervised",
            "classification",
            "logistic regression",
            "linear",
            "accuracy",
            LogisticRegression(max_iter=2000).fit(A, a).score(B, b),
        ),
        (
            "supervised",
            "classification",
            "random forest",
            "other",
            "accuracy",
            RandomForestClassifier(100, random_state=0).fit(A, a).score(B, b),
        ),
        ("supervised", "classification", "neural network", "deep", "accuracy", deep),
        (
            "supervised",
            "regression",
            "k neighbors",
            "other",
            "R²",
            KNeighborsRegressor(5).fit(A[:, :32], ink(A)).score(B[:, :32], ink(B)),
        ),
        (
            "supervised",
            "structured",
            "k neighbors",
            "other",
            "R²",
            KNeighborsRegressor(5).fit(A[:, :32], A[:, 32:]).score(B[:, :32], B[:, 32:]),
        ),
        (
            "semi-supervised",
            "classification",
            "label spreading",
            "other",
            "accuracy",
            (semi == np.concatenate([a, b]))[50:].mean(),
        ),
        ("transfer", "classification", "fine-tuned network", "deep", "accuracy", network.score(shifted[50:], b[50:])),
        (
            "unsupervised",
            "clustering",
            "k-means",
            "other",
            "adjusted Rand",
            adjusted_rand_score(b, KMeans(10, n_init=10, random_state=0).fit(A).predict(B)),
        ),
        (
            "unsupervised",
            "reduction",
            "PCA, 16 of 64",
            "linear",
            "R²",
            r2_score(B, pca.inverse_transform(pca.transform(B)), multioutput="variance_weighted"),
        ),
        ("reinforcement", "decisions", "Q-learning", "other", "share of best", corridor()),
    ]


@figure("figure-branches.svg")
def map_of_branches() -> Figure:
    """Scenarios, their tasks and one method each, with the score that the method reaches."""
    rows = branches()
    score = {(r[0], r[1], r[2]): r[5] for r in rows}
    assert all(
        score["supervised", "classification", m] > 0.95
        for m in ("logistic regression", "random forest", "neural network")
    ), score
    assert 0.8 < score["semi-supervised", "classification", "label spreading"] < 0.95, score
    assert (
        score["transfer", "classification", "fine-tuned network"]
        < score["semi-supervised", "classification", "label spreading"]
    )
    assert 0.5 < score["unsupervised", "clustering", "k-means"] < 0.75, score
    assert score["reinforcement", "decisions", "Q-learning"] == 1, score

    colours, markers = {"linear": BLUE, "deep": ORANGE, "other": GREEN}, {"linear": "o", "deep": "s", "other": "^"}
    drawn, panel = plt.subplots(figsize=(5.6, 3.3))
    panel.set(xlim=(0, 5.6), ylim=(len(rows) + 0.6, -1.3))
    panel.axis("off")
    x = {"scenario": 0.0, "task": 1.3, "method": 2.35, "metric": 3.72, "score": 4.6}
    for name, at in x.items():
        panel.text(at, -0.9, name, fontsize=8, color=QUIET, va="center")

    middle = lambda keep: np.mean([i for i, row in enumerate(rows) if keep(row)])

    def link(x0, y0, x1, y1):
        panel.plot([x0, x0 + 0.08, x1 - 0.14, x1 - 0.06], [y0, y0, y1, y1], color=QUIET, linewidth=0.9)

    ends = {"supervised": 0.72, "semi-supervised": 1.09, "transfer": 0.56, "unsupervised": 0.9, "reinforcement": 0.97}
    tails = {
        "classification": 0.76,
        "regression": 0.65,
        "structured": 0.63,
        "clustering": 0.6,
        "reduction": 0.6,
        "decisions": 0.62,
    }
    for scenario in dict.fromkeys(row[0] for row in rows):
        centre = middle(lambda row: row[0] == scenario)
        panel.text(x["scenario"], centre, scenario, fontsize=8, va="center", weight="bold")
        for task in dict.fromkeys(row[1] for row in rows if row[0] == scenario):
            at = middle(lambda row: row[:2] == (scenario, task))
            link(x["scenario"] + ends[scenario], centre, x["task"], at)
            panel.text(x["task"], at, task, fontsize=8, va="center")
            for i, row in enumerate(rows):
                if row[:2] == (scenario, task):
                    link(x["task"] + tails[task], at, x["method"], i)
    for i, (_, _, method, family, metric, value) in enumerate(rows):
        panel.plot(x["method"] + 0.03, i, markers[family], color=colours[family], markersize=4.5)
        panel.text(x["method"] + 0.13, i, method, fontsize=8, va="center")
        panel.text(x["metric"], i, metric, fontsize=8, va="center", color=QUIET)
        panel.barh(i, 0.65 * value, left=x["score"], height=0.5, color=colours[family])
        panel.text(x["score"] + 0.7, i, f"{value:.2f}", fontsize=8, va="center")
    for family, at in zip(colours, (2.35, 3.1, 3.75)):
        panel.plot(at + 0.03, len(rows) + 0.2, markers[family], color=colours[family], markersize=4.5)
        panel.text(at + 0.13, len(rows) + 0.2, family, fontsize=8, va="center", color=INK)
    return drawn
