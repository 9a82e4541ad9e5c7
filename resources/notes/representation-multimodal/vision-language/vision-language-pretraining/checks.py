import math

import numpy as np
import torch
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated, unexecuted
from trainings import descend

ITC = r"""
y_{ij} = (1 - \alpha)\, \delta_{ij} + \alpha\, q_{ij}, \qquad
L_{\mathrm{ITC}} = -\frac{1}{N} \sum_{i=1}^{N} \sum_{j} y_{ij} \ln \frac{e^{s_{ij}}}{\sum_{k} e^{s_{ik}}}
"""
NEGATIVE = r"P(j \mid i) = \frac{e^{s_{ij}}}{\sum_{k \ne i} e^{s_{ik}}} \quad (j \ne i)"
LM = r"L_{\mathrm{LM}} = -\frac{1}{T} \sum_{t=1}^{T} \ln p\left( w_t \mid w_{<t}, v \right)"

by_definition("Scoring $N$ images against $M$ texts")
sourced(
    "ALBEF, arXiv 2107.07651, section 3, pre-training objectives and implementation details",
    "Output",
    "Defaults",
    "ALBEF",
)
sourced("ALBEF, arXiv 2107.07651, image-text retrieval among the downstream tasks", "Why both ITC and ITM?")
sourced(
    "BLIP, arXiv 2201.12086, section 3, model architecture, objectives and CapFilt",
    "Output",
    "BLIP",
    "What does BLIP's filter do?",
)
sourced("CLIP, arXiv 2103.00020, abstract", "CLIP")
sourced("ViLBERT, arXiv 1908.02265, and ViLT, arXiv 2102.03334, pre-training objectives", "ViLBERT, ViLT")
sourced("UNITER, arXiv 1909.11740, sections 1 and 3", "Input", "UNITER")
sourced("METER, arXiv 2111.02387, abstract and best model", "METER")
sourced("BLIP-2, arXiv 2301.12597, section 3, Q-Former", "BLIP-2")


@holds("Input")
@formula(ITC)
def check_soft_contrast():
    for n in (2, 7, 20):
        for alpha in (0.0, 0.4):
            s, q = torch.randn(n, n, dtype=torch.float64) * 4, torch.randn(n, n, dtype=torch.float64).softmax(1)
            target = torch.lerp(torch.eye(n, dtype=torch.float64), q, alpha)
            e = np.exp(s.numpy())
            y = [[(1 - alpha) * (i == j) + alpha * q[i, j].item() for j in range(n)] for i in range(n)]
            ours = -sum(y[i][j] * math.log(e[i, j] / e[i].sum()) for i in range(n) for j in range(n)) / n
            np.testing.assert_allclose(ours, F.cross_entropy(s, target).item(), rtol=1e-9)
    for alpha in (0.0, 0.4):  # one pair alone: nothing to tell apart
        assert F.cross_entropy(torch.randn(1, 1), (1 - alpha) * torch.eye(1) + alpha * torch.ones(1, 1)) == 0
    patches, table = torch.nn.Conv2d(3, 8, 4, 4), torch.nn.Embedding(20, 8)
    images, words = patches(torch.randn(5, 3, 16, 16)).mean((2, 3)), table(torch.randint(0, 20, (5, 7))).mean(1)
    assert F.cross_entropy(images @ words.T, torch.eye(5)).shape == ()


@holds("Same in train and eval?")
def check_dropout_of_an_encoder():
    x = torch.randn(2, 5, 8)
    for rate in (0.1, 0.0):
        layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=rate, batch_first=True)
        assert torch.allclose(layer.train()(x), layer.eval()(x), atol=1e-5) is (rate == 0)


@holds("Why soften the contrast targets?")
def check_another_text_that_fits():
    """The more probability a second fitting text gets, the higher the one-hot loss; a soft target pulls less against it."""
    losses = [F.cross_entropy(torch.tensor([[4.0, other, 0.0]]), torch.tensor([0])).item() for other in (0.0, 2.0, 4.0)]
    assert losses[0] < losses[1] < losses[2]
    pulls = []
    for alpha in (0.0, 0.4):
        s = torch.tensor([[4.0, 4.0, 0.0]], requires_grad=True)
        q = s.detach().softmax(1)
        F.cross_entropy(s, (1 - alpha) * torch.eye(3)[:1] + alpha * q).backward()
        pulls.append(s.grad[0, 1].item())
    assert 0 < pulls[1] < 0.7 * pulls[0]


@formula(NEGATIVE)
def check_hard_negative_probabilities():
    torch.manual_seed(0)
    for n in (2, 6):
        s = torch.randn(n, n, dtype=torch.float64) * 2
        library = s.masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf).softmax(1)
        e = np.exp(s.numpy())
        for i in range(n):
            rest = sum(e[i, k] for k in range(n) if k != i)
            for j in range(n):
                np.testing.assert_allclose(0 if j == i else e[i, j] / rest, library[i, j].item(), atol=1e-12)
        drawn = torch.multinomial(library[0], 50_000, replacement=True)
        np.testing.assert_allclose(torch.bincount(drawn, minlength=n) / 50_000, library[0], atol=0.01)


@formula(LM)
def check_language_modelling():
    """A causal decoder that also reads an image token: earlier words' logits do not see later words."""
    torch.manual_seed(0)
    T, V, d = 6, 13, 8
    table, head = torch.nn.Embedding(V, d), torch.nn.Linear(d, V)
    layer = torch.nn.TransformerEncoderLayer(d, 2, 16, dropout=0.0, batch_first=True).eval()
    image, words = torch.randn(1, 1, d), torch.randint(0, V, (1, T))
    x = torch.cat([image, table(words)], dim=1)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(T + 1)
    logits = head(layer(x, src_mask=mask))[:, :-1]
    library = F.cross_entropy(logits.transpose(1, 2), words).item()
    total = 0.0
    for t in range(T):  # one prefix at a time: w_<t and the image only
        z = head(layer(x[:, : t + 1], src_mask=mask[: t + 1, : t + 1]))[0, -1].detach().double().numpy()
        total -= z[words[0, t]] - math.log(np.exp(z).sum())
    np.testing.assert_allclose(total / T, library, rtol=1e-5)


@check
def check_by_hand():
    s = torch.tensor([-math.inf, 4.0, 1.0], dtype=torch.float64)
    stated("0.9526", s.softmax(0)[1])
    stated("0.0474", s.softmax(0)[2])
    target = 0.6 * torch.tensor([1.0, 0, 0]) + 0.4 * torch.tensor([0.7, 0.2, 0.1])
    for text, value in zip(("0.88", "0.08", "0.04"), target):
        stated(text, value)
    constant = torch.tensor([[math.log(2 / 3), math.log(1 / 3)]], dtype=torch.float64).expand(3, 2)
    stated("0.6365", F.cross_entropy(constant, torch.tensor([1, 0, 0])))
    stated("66.7", 100 * (constant.argmax(1) == torch.tensor([1, 0, 0])).double().mean())
    stated("10.3262", F.cross_entropy(torch.zeros(1, 30522, dtype=torch.float64), torch.tensor([3])))


@pitfall('"invalid multinomial distribution (sum of probabilities <= 0)"')
def check_multinomial_error():
    for s in (torch.tensor([[5.0]]), torch.tensor([[200.0, 0.0], [0.0, 200.0]])):
        weights = s.softmax(1).fill_diagonal_(0)
        raises(RuntimeError, lambda: torch.multinomial(weights, 1), "invalid multinomial distribution")
    s = torch.tensor([[200.0, 0.0], [0.0, 200.0]]).fill_diagonal_(-torch.inf)
    assert torch.multinomial(s.softmax(1), 1).flatten().tolist() == [1, 0]
    sizes = [len(batch) for batch in torch.utils.data.DataLoader(range(5), batch_size=2)]
    assert sizes[-1] == 1 and min(map(len, torch.utils.data.DataLoader(range(5), batch_size=2, drop_last=True))) == 2


@holds("Does the order of ITM labels matter?")
def check_label_order():
    pairs, label = torch.randn(9, 6), torch.tensor([1, 1, 1, 0, 0, 0, 0, 0, 0])
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    order = torch.tensor([3, 0, 4, 1, 5, 2, 8, 7, 6])
    loss = F.cross_entropy(network(pairs), label)
    assert torch.allclose(loss, F.cross_entropy(network(pairs[order]), label[order]))
    assert not torch.allclose(loss, F.cross_entropy(network(pairs), label[order]), atol=1e-3)


@pitfall("Right pairs are labelled wrong")
def check_second_caption_as_negative():
    image_id = torch.tensor([0, 0, 1, 2])
    u = torch.eye(3)[image_id]
    s, own = u @ u.T / 0.07, torch.eye(4, dtype=torch.bool)
    same = image_id[:, None] == image_id
    chances = lambda hidden: s.masked_fill(hidden, -math.inf).softmax(1)
    drawn = lambda hidden: image_id[torch.multinomial(chances(hidden), 100, replacement=True)]
    assert (drawn(own)[:2] == 0).all() and not (drawn(same) == image_id[:, None]).any()
    raises(RuntimeError, lambda: torch.multinomial(s[:2, :2].masked_fill(same[:2, :2], -math.inf).softmax(1), 1), "nan")
    contrast = lambda z, target: F.cross_entropy(z, 0.6 * target + 0.4 * z.detach().softmax(1))
    shared = same / same.sum(1, keepdim=True)
    assert contrast(s.masked_fill(same & ~own, -math.inf), own.float()).isnan()  # a mask does not cure the contrast
    for target, pulls in ((own.float(), True), (shared, False)):  # away from the image's other caption
        z = s.clone().requires_grad_()
        contrast(z, target).backward()
        assert (z.grad[0, 1] > 0.01).item() is pulls and z.grad.isfinite().all()


def matching_network(steps):
    """Accuracy, loss and accuracy on the positives of a small matcher, one positive and two negatives per pair."""
    head = torch.nn.Linear(16, 2)
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    for step in range(steps + 1):
        u = F.normalize(torch.randn(64, 16), dim=1) * 4
        v = u + 0.5 * torch.randn(64, 16)
        x = torch.cat([u * v, u * v.roll(1, 0), u.roll(1, 0) * v]) if steps else torch.zeros(192, 16)
        label = torch.cat([torch.ones(64), torch.zeros(128)]).long()
        if not steps:  # the best constant answer
            with torch.no_grad():
                head.bias.copy_(torch.tensor([2 / 3, 1 / 3]).log())
        logits = head(x)
        loss = F.cross_entropy(logits, label)
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    right = logits.argmax(1) == label
    return right.float().mean().item(), loss.item(), right[:64].float().mean().item()


@pitfall("A matching accuracy of 67 % looks like learning")
def check_matching_baseline():
    accuracy, loss, positives = matching_network(0)
    assert abs(accuracy - 2 / 3) < 1e-6 and abs(loss - 0.6365) < 1e-4 and positives == 0
    accuracy, loss, positives = matching_network(200)
    assert accuracy > 0.9 and loss < 0.3 and positives > 0.8


@pitfall("Masking both sides at once")
def check_one_side_stays_visible():
    """The word names the region: it is guessed from the visible region, and by chance when both are hidden."""
    head = torch.nn.Linear(9, 8)
    optimizer = torch.optim.Adam(head.parameters(), 0.1)
    word = torch.arange(8).repeat(20)
    seen, hidden = F.one_hot(word, 9).float(), F.one_hot(torch.full_like(word, 8), 9).float()
    descend(optimizer, lambda: F.cross_entropy(head(seen), word) + F.cross_entropy(head(hidden), word), 200)
    assert F.cross_entropy(head(seen), word) < 0.05 and F.cross_entropy(head(hidden), word) > math.log(8) - 1e-3


unexecuted('Weights "newly initialized" with `BlipModel`', "needs the transformers library and downloaded checkpoints")
