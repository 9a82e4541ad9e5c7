import torch
from matplotlib.figure import Figure
from torch.nn.functional import cosine_similarity, logsigmoid

from figure_style import BLUE, ORANGE, QUIET, figure, plt

TRAITS = {
    "king": "royal male old",
    "queen": "royal female old",
    "prince": "royal male young",
    "princess": "royal female young",
    "man": "plain male old",
    "woman": "plain female old",
    "boy": "plain male young",
    "girl": "plain female young",
}
MARKS = {
    "royal": "crown throne",
    "plain": "street work",
    "male": "he his",
    "female": "she her",
    "old": "wise",
    "young": "school",
}
PAIRS = [("king", "queen"), ("prince", "princess"), ("man", "woman"), ("boy", "girl")]
PLACES = {
    "king": "right",
    "queen": "right",
    "prince": "right",
    "princess": "right",
    "man": "left",
    "woman": "left",
    "boy": "left",
    "girl": "left",
}


def trained() -> torch.Tensor:
    """Word vectors from skip-gram with negative sampling over expected counts."""
    words, contexts = list(TRAITS), sorted({c for marks in MARKS.values() for c in marks.split()})
    counts = torch.ones(len(words), len(contexts))
    for row, traits in enumerate(TRAITS.values()):
        for context in " ".join(MARKS[t] for t in traits.split()).split():
            counts[row, contexts.index(context)] += 10
    noise = 5 * counts.sum(1, keepdim=True) * counts.sum(0) / counts.sum()
    torch.manual_seed(0)
    v = torch.randn(len(words), 4, requires_grad=True)
    u = torch.randn(len(contexts), 4, requires_grad=True)
    optimizer = torch.optim.Adam([v, u], 0.05)
    for _ in range(400):
        score = v @ u.T
        loss = -(counts * logsigmoid(score) + noise * logsigmoid(-score)).sum() / counts.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return v.detach()


@figure("figure-directions.svg")
def shared_directions() -> Figure:
    """The four steps from a male word to its female partner are almost parallel."""
    v = trained()
    words = list(TRAITS)
    steps = torch.stack([v[words.index(b)] - v[words.index(a)] for a, b in PAIRS])
    similar = cosine_similarity(steps[:, None], steps[None], dim=-1)
    assert similar.min() > 0.9, similar

    centred = v - v.mean(0)
    u, s, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    plane = (centred @ axes[:2].T).tolist()
    place = dict(zip(words, plane))

    drawn, panel = plt.subplots(figsize=(5.6, 3.2))
    for start, end in PAIRS:
        panel.annotate("", place[end], place[start], arrowprops={"arrowstyle": "->", "color": QUIET, "linewidth": 1.4})
    for word, (x, y) in place.items():
        panel.scatter(x, y, s=28, color=BLUE if "female" not in TRAITS[word] else ORANGE, zorder=3)
        right = x > 0
        panel.annotate(
            word,
            (x, y),
            (7 if right else -7, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
        )
    panel.margins(0.25, 0.12)
    panel.set_xlabel("first principal component")
    panel.set_ylabel("second principal component")
    return drawn
