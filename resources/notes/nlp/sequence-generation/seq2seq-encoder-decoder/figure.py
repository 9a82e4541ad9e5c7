import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import cross_entropy

from figure_style import BLUE, ORANGE, figure, plt

LONGEST, SYMBOLS, WIDTH = 12, 10, 32
BEGIN, PAD = SYMBOLS, SYMBOLS + 1


class Reverser(nn.Module):
    """A GRU encoder-decoder that copies its input backwards; with attention the decoder also reads all encoder states."""

    def __init__(self, attends: bool) -> None:
        super().__init__()
        self.attends = attends
        self.embed, self.head = nn.Embedding(SYMBOLS + 2, WIDTH), nn.Linear(2 * WIDTH, SYMBOLS)
        self.encoder, self.decoder = nn.GRU(WIDTH, WIDTH, batch_first=True), nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, source: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        memory, last = self.encoder(self.embed(source))
        state, _ = self.decoder(self.embed(given), last)
        if self.attends:
            context = (state @ memory.transpose(1, 2)).softmax(-1) @ memory
        else:
            context = torch.zeros_like(state)
        return self.head(torch.cat([state, context], -1))


def batch(n: int, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.randint(0, SYMBOLS, (n, length))
    target = source.flip(1)
    return source, torch.cat([torch.full((n, 1), BEGIN), target[:, :-1]], 1), target


def accuracies(attends: bool) -> list[float]:
    """Share of correct tokens, given the true earlier ones, for each length after equal training."""
    torch.manual_seed(0)
    model = Reverser(attends)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(1000):
        source, given, target = batch(64, int(torch.randint(1, LONGEST + 1, ())))
        loss = cross_entropy(model(source, given).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        tests = [batch(1000, length) for length in range(1, LONGEST + 1)]
        return [float((model(s, g).argmax(-1) == t).float().mean()) for s, g, t in tests]


@figure("figure-bottleneck.svg")
def one_vector_is_too_narrow() -> Figure:
    """After equal training, accuracy falls with the length, much faster with one vector than with attention."""
    one, attention = accuracies(False), accuracies(True)
    assert min(one[:4] + attention[:4]) > 0.95 and one[-1] < 0.7 < 0.8 < attention[-1]
    assert all(b <= a + 0.02 for a, b in zip(one, one[1:]))

    drawn, panel = plt.subplots()
    lengths = range(1, LONGEST + 1)
    panel.plot(lengths, attention, color=BLUE, marker="o", markersize=4, label="with attention")
    panel.plot(lengths, one, color=ORANGE, marker="s", markersize=4, label="one vector")
    panel.set_xlabel("length of the sequence")
    panel.set_ylabel("correct tokens")
    panel.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    panel.set_ylim(0, 1.05)
    panel.legend(loc="lower left", fontsize=9)
    return drawn
