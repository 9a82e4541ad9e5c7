import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from figure_style import BLUE, ORANGE, QUIET, figure, plt

LENGTH, SYMBOLS, WIDTH = 9, 8, 32
MASK = SYMBOLS


class Filler(nn.Module):
    """A small encoder that fills in one masked token, with or without a causal mask."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(SYMBOLS + 1, WIDTH), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 64, 0.0, "gelu", batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(WIDTH, SYMBOLS)
        self.mask = nn.Transformer.generate_square_subsequent_mask(LENGTH) if causal else None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        h = self.token(ids) + self.position.weight
        return self.head(self.encoder(h, mask=self.mask))


def palindromes(n: int) -> torch.Tensor:
    half = torch.randint(0, SYMBOLS, (n, LENGTH // 2 + 1))
    return torch.cat([half, half[:, :-1].flip(1)], 1)


def accuracies(causal: bool) -> list[float]:
    """Share of correct fills for each masked position after a short training."""
    torch.manual_seed(0)
    model = Filler(causal)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(500):
        truth = palindromes(128)
        place = torch.randint(0, LENGTH, (128, 1))
        logits = model(truth.scatter(1, place, MASK))
        chosen = torch.full_like(truth, -100).scatter(1, place, truth.gather(1, place))
        loss = F.cross_entropy(logits.flatten(0, 1), chosen.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = []
    with torch.no_grad():
        for place in range(LENGTH):
            truth = palindromes(2000)
            ids = truth.clone()
            ids[:, place] = MASK
            found.append(float((model(ids)[:, place].argmax(-1) == truth[:, place]).float().mean()))
    return found


@figure("figure-palindrome.svg")
def who_can_fill_in() -> Figure:
    """Both sides are needed to fill in the left half of a palindrome."""
    both, left = accuracies(False), accuracies(True)
    middle = LENGTH // 2
    assert min(both[:middle] + both[middle + 1 :]) > 0.97 and both[middle] < 0.2
    assert min(left[middle + 1 :]) > 0.97 and max(left[: middle + 1]) < 0.2

    drawn, panel = plt.subplots()
    places = range(1, LENGTH + 1)
    panel.bar([p - 0.2 for p in places], both, width=0.38, color=BLUE, label="sees both sides")
    panel.bar([p + 0.2 for p in places], left, width=0.38, color=ORANGE, label="sees the left only")
    panel.axhline(1 / SYMBOLS, color=QUIET, linewidth=1, linestyle="--", label="guessing")
    panel.set_xticks(places)
    panel.set_ylim(0, 1.05)
    panel.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    panel.grid(axis="x", visible=False)
    panel.set_xlabel("masked position")
    panel.set_ylabel("filled in correctly")
    drawn.legend(loc="outside upper center", ncols=3, fontsize=9)
    return drawn
