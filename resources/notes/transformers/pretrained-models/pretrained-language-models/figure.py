import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import cross_entropy

from figure_style import BLUE, ORANGE, figure, plt

WORDS, LENGTH, WIDTH = 200, 12, 32


def texts(n: int) -> tuple[torch.Tensor, np.ndarray]:
    """Texts of two topics with a hundred words each; one word in five comes from the other topic."""
    topic = torch.arange(n) % 2
    foreign = torch.rand(n, LENGTH) < 0.2
    side = torch.where(foreign, 1 - topic[:, None], topic[:, None])
    return side * (WORDS // 2) + torch.randint(0, WORDS // 2, (n, LENGTH)), topic.numpy()


class Causal(nn.Module):
    """A one-layer causal Transformer with a tied output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(WORDS, WIDTH)
        nn.init.normal_(self.token.weight, std=0.1)
        self.layer = nn.TransformerEncoderLayer(WIDTH, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        self.mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.layer(self.token(ids), src_mask=self.mask)


def pretrained() -> Causal:
    model = Causal()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(300):
        ids, _ = texts(128)
        logits = model(ids) @ model.token.weight.T
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@figure("figure-labels.svg")
def labels_saved() -> Figure:
    """Pretrained features need far fewer labelled texts than word counts."""
    torch.manual_seed(0)
    model = pretrained()
    with torch.no_grad():
        features = lambda ids: model(ids).mean(1).numpy()
        counts = lambda ids: torch.nn.functional.one_hot(ids, WORDS).sum(1).numpy()
        test_ids, test_topic = texts(1000)
        sizes = [2, 4, 8, 16, 32, 64, 128]
        found = {"pretrained features": [], "word counts": []}
        for size in sizes:
            draws = [texts(size) for _ in range(15)]
            for name, transform in (("pretrained features", features), ("word counts", counts)):
                scores = [
                    LogisticRegression(max_iter=500).fit(transform(ids), topic).score(transform(test_ids), test_topic)
                    for ids, topic in draws
                ]
                found[name].append(float(np.mean(scores)))
    ours, plain = found["pretrained features"], found["word counts"]
    assert (
        ours[1] > 0.9
        and plain[1] < 0.8
        and ours[-1] - plain[-1] < 0.1
        and all(a > b for a, b in zip(ours[:5], plain[:5]))
    )

    drawn, panel = plt.subplots()
    for (name, values), colour, marker in zip(found.items(), (BLUE, ORANGE), "os"):
        panel.plot(sizes, values, color=colour, marker=marker, markersize=4, label=name)
    panel.set_xscale("log", base=2)
    panel.set_xticks(sizes, [str(size) for size in sizes])
    panel.set_yticks([0.5, 0.75, 1], ["50 %", "75 %", "100 %"])
    panel.set_ylim(0.45, 1.03)
    panel.set_xlabel("labelled texts")
    panel.set_ylabel("test accuracy")
    panel.legend(loc="lower right", fontsize=9)
    return drawn
