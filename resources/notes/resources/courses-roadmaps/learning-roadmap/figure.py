import re
from pathlib import Path

import numpy as np
import yaml
from matplotlib.figure import Figure
from scipy.stats import binom

from figure_style import BLUE, ORANGE, QUIET, figure, plt

N, P, MOST = 1000, 0.8, 20


@figure("figure-leaderboard.svg")
def the_best_of_many_looks_better() -> Figure:
    """Mean of the best of k scores of equally good models, exactly, and what the chosen one scores on new data."""
    counts = np.arange(1, MOST + 1)
    below = binom.cdf(np.arange(N + 1), N, P)
    best = np.array([np.sum(1 - below[:-1] ** k) / N for k in counts])
    assert abs(best[0] - P) < 1e-9 and best[-1] > P + 0.02 and (np.diff(best) > 0).all()
    scores = np.random.default_rng(0).binomial(N, P, size=(20_000, 5)).max(1) / N
    assert abs(scores.mean() - best[4]) < 5e-4

    drawn, axes = plt.subplots()
    axes.plot(counts, best, color=ORANGE, marker="o", markersize=4, label="best on the public board")
    axes.plot(counts, np.full(MOST, P), color=BLUE, linestyle=(0, (4, 2)), label="the same model on new data")
    axes.set_xlabel("submissions")
    axes.set_ylabel("accuracy")
    axes.set_xticks([1, 5, 10, 15, 20])
    axes.set_ylim(0.79, 0.84)
    axes.legend(loc="upper left")
    return drawn


HERE = Path(__file__).parent


def steps() -> list[tuple[str, list[str]]]:
    """The rows of the article's table: the name of each step and the topics it names."""
    section = (HERE / "en.md").read_text().split("## When to use it")[1].split("## Questions")[0]
    rows = re.findall(r"^\| (\d)\. ([^|]+?) \|.*\| ([^|]+) \|$", section, re.MULTILINE)
    return [(f"{number} {name}", re.findall(r"\(topic:([a-z0-9-]+)\)", read)) for number, name, read in rows]


def with_prerequisites(topics: set[str], needs: dict[str, list[str]]) -> set[str]:
    """The topics together with everything that must be known before them."""
    known, queue = set(), list(topics)
    while queue:
        topic = queue.pop()
        if topic not in known:
            known.add(topic)
            queue += needs[topic]
    return known


@figure("figure-steps.svg")
def five_steps_build_on_each_other() -> Figure:
    """How many topics of the guide each step names, and how many more these need, read from the guide itself."""
    files = (yaml.safe_load(path.read_text()) for path in HERE.parents[2].glob("*/*/*/topic.yaml"))
    needs = {topic["id"]: topic.get("prerequisites") or [] for topic in files}
    known: set[str] = set()
    bars = []
    for name, topics in steps():
        named = set(topics) - known
        further = with_prerequisites(named, needs) - known - named
        bars.append((name, len(known), len(named), len(further)))
        known |= named | further
    assert len(bars) == 5 and all(named > 0 for _, _, named, _ in bars) and sum(further for *_, further in bars) > 0

    drawn, axes = plt.subplots()
    for row, (_, before, named, further) in enumerate(bars):
        first = row == 0
        axes.barh(row, before, height=0.55, color=QUIET, alpha=0.25, label="earlier steps" if first else None)
        axes.barh(row, named, left=before, height=0.55, color=BLUE, label="named in the step" if first else None)
        axes.barh(
            row, further, left=before + named, height=0.55, color=ORANGE, label="needed before them" if first else None
        )
    axes.set_yticks(range(5), [name for name, *_ in bars])
    axes.set_xlabel("topics of this guide covered so far")
    axes.set_ylim(-0.6, 4.6)
    axes.legend(loc="lower right")
    axes.grid(axis="y", visible=False)
    return drawn
