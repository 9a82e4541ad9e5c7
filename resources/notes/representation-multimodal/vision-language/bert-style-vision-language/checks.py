import math

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import descend

EMBEDDING = r"""
t_j = E_{w_j} + P_j + s_{\mathrm{text}}, \qquad v_r = W_f f_r + W_b b_r + s_{\mathrm{image}}
"""
STREAMS = r"""
Z = \left[ t_1; \dots; t_L; v_1; \dots; v_R \right], \qquad
C_t = \mathrm{softmax}\left( \frac{Q_t K_v^\top}{\sqrt{d}} \right) V_v
"""
PAIRS = r"(L + R)^2 = L^2 + R^2 + 2LR"
LOSS = r"""
\mathcal{L} = -\frac{1}{|M|} \sum_{j \in M} \ln p\left( w_j \mid w_{\setminus M}, v \right) - \left( y \ln p + (1 - y) \ln(1 - p) \right)
"""

by_definition("Why not CLIP for questions about an image?")
sourced("ViLBERT, arXiv 1908.02265", "ViLBERT", "How is a region masked?")
sourced("LXMERT, arXiv 1908.07490, and LxmertModel", "LXMERT", "Output", "Defaults", "How is a region masked?")
sourced("VisualBERT, arXiv 1908.03557", "VisualBERT")
sourced("Unicoder-VL, arXiv 1908.06066", "Unicoder-VL")
sourced("VL-BERT, arXiv 1908.08530", "VL-BERT")
sourced("ImageBERT, arXiv 2001.07966", "ImageBERT")
sourced(
    "ViLT, arXiv 2102.03334, and Transformers' ViltModel and ViltConfig",
    "ViLT",
    "Input",
    "Output",
    "Parameters",
    "Defaults",
    "Same in train and eval?",
    "Cost",
    "What did ViLT give up?",
)
sourced("CLIP, arXiv 2103.00020", "CLIP")
sourced("Bugliarello et al., Multimodal Pretraining Unmasked, arXiv 2011.15124, results", "One stream or two?")


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@formula(EMBEDDING)
def check_embeddings():
    word, position, kind = nn.Embedding(20, 8), nn.Embedding(12, 8), nn.Embedding(2, 8)
    region, box = nn.Linear(5, 8, bias=False), nn.Linear(4, 8, bias=False)
    ids, f, b = torch.randint(0, 20, (7,)), torch.randn(3, 5), torch.rand(3, 4)
    text = (word(ids) + position(torch.arange(7)) + kind(torch.zeros(7, dtype=torch.long))).detach().numpy()
    image = (region(f) + box(b) + kind(torch.ones(3, dtype=torch.long))).detach().numpy()
    E, P, s = (m.weight.detach().numpy() for m in (word, position, kind))
    for j in range(7):
        np.testing.assert_allclose(E[ids[j]] + P[j] + s[0], text[j], rtol=1e-5, atol=1e-6)
    for r in range(3):
        ours = region.weight.detach().numpy() @ f[r].numpy() + box.weight.detach().numpy() @ b[r].numpy() + s[1]
        np.testing.assert_allclose(ours, image[r], rtol=1e-4, atol=1e-5)


@formula(STREAMS)
def check_cross_attention_and_concatenation():
    for L, R, d in ((3, 5, 4), (6, 1, 8)):
        t, v = torch.randn(1, L, d, dtype=torch.float64), torch.randn(1, R, d, dtype=torch.float64)
        attention = nn.MultiheadAttention(d, 1, bias=False, batch_first=True, dtype=torch.float64)
        Wq, Wk, Wv = np.split(attention.in_proj_weight.detach().numpy(), 3)
        q, k, value = t[0].numpy() @ Wq.T, v[0].numpy() @ Wk.T, v[0].numpy() @ Wv.T
        ours = softmax(q @ k.T / math.sqrt(d)) @ value @ attention.out_proj.weight.detach().numpy().T
        np.testing.assert_allclose(ours, attention(t, v, v)[0][0].detach().numpy(), rtol=1e-8, atol=1e-10)
        Z = torch.cat([t, v], dim=1)
        assert Z.shape == (1, L + R, d) and torch.equal(Z[:, L:], v)


@formula(PAIRS)
def check_pairs():
    for L, R in ((40, 241), (7, 36)):
        one = nn.MultiheadAttention(4, 1, batch_first=True)
        size = lambda a, b: one(torch.randn(1, a, 4), torch.randn(1, b, 4), torch.randn(1, b, 4))[1].numel()
        assert size(L + R, L + R) == size(L, L) + size(R, R) + size(L, R) + size(R, L) == L**2 + R**2 + 2 * L * R
    stated("78,961", 281**2)
    stated("59,681", 40**2 + 241**2)
    stated("19,280", 2 * 40 * 241)


@formula(LOSS)
def check_pretraining_loss():
    for y in (0.0, 1.0):
        logits, ids = torch.randn(9, 30, dtype=torch.float64), torch.randint(0, 30, (9,))
        hidden = torch.tensor([1, 0, 0, 1, 0, 1, 0, 0, 0], dtype=torch.bool)
        match = torch.randn((), dtype=torch.float64)
        library = F.cross_entropy(logits, ids.masked_fill(~hidden, -100)) + F.binary_cross_entropy_with_logits(
            match, torch.tensor(y, dtype=torch.float64)
        )
        q = softmax(logits.numpy())
        places = np.flatnonzero(hidden.numpy())
        p = 1 / (1 + math.exp(-match.item()))
        ours = -sum(math.log(q[j, ids[j]]) for j in places) / len(places) - (
            y * math.log(p) + (1 - y) * math.log(1 - p)
        )
        np.testing.assert_allclose(ours, library.item(), rtol=1e-9)


@holds("Input", "Output", "Parameters")
def check_by_hand():
    projection = nn.Conv2d(3, 768, 32, 32)
    stated("2,360,064", sum(p.numel() for p in projection.parameters()))
    patches = nn.Conv2d(3, 1, 32, 32)(torch.zeros(1, 3, 384, 640))
    stated("240", patches.numel())
    stated("281", patches.numel() + 1 + 40)
    width = 8
    text = nn.Embedding(20, width)(torch.randint(0, 20, (2, 40), dtype=torch.int32))
    regions = nn.Linear(5, width)(torch.randn(2, 36, 5)) + nn.Linear(4, width)(torch.rand(2, 36, 4))
    layer = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)
    assert layer(torch.cat([text, regions], 1)).shape == (2, 40 + 36, width)
    assert nn.Conv2d(3, width, 32, 32)(torch.zeros(3, 64, 64).unsqueeze(0)).shape == (1, width, 2, 2)
    corners = torch.tensor([160.0, 120, 480, 360]) / torch.tensor([640.0, 480, 640, 480])
    assert corners.tolist() == [0.25, 0.25, 0.75, 0.75]
    stated("5,000,000", 1000 * 5000)


@pitfall("Accuracy collapses with features of your own")
def check_features_of_another_extractor():
    """A linear classifier stands for LXMERT, random convolutions for the detectors; the colours decide the class."""
    torch.manual_seed(0)
    label = torch.arange(600) % 3
    images = 0.3 * torch.randn(600, 3, 8, 8) + F.one_hot(label, 3)[:, :, None, None]
    first, second = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU()), nn.Sequential(nn.Conv2d(16, 16, 3), nn.ReLU())
    other = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU())
    with torch.no_grad():
        pooled = lambda net, x: net(x).mean((2, 3)).numpy()
        original = nn.Sequential(first, second)
        model = LogisticRegression(C=1e3, max_iter=2000).fit(pooled(original, images[:400]), label[:400])
        score = lambda features: model.score(features, label[400:])
        test = images[400:]
        assert score(pooled(original, test)) > 0.95
        for features in (pooled(other, test), pooled(first, test), pooled(original, test.flip(1))):
            assert score(features) < 0.7, score(features)
        assert np.abs(pooled(original, test[:1]) - pooled(other, test[:1])).max() > 1e-2  # one image shows it


@pitfall("Boxes in pixels")
def check_boxes_between_0_and_1():
    torch.manual_seed(0)
    corners = torch.rand(500, 4).view(500, 2, 2).sort(1).values.flatten(1)  # left, top, right, bottom
    label = (corners[:, 0] + corners[:, 2] > 1).long()  # is the object in the right half?
    net = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    descend(optimizer, lambda: F.cross_entropy(net(corners), label), 150)
    right = lambda boxes: (net(boxes).argmax(1) == label).float().mean()
    size = torch.tensor([640.0, 480, 640, 480])
    pixels = corners * size
    assert right(pixels) < 0.75 and right(pixels / size) > 0.95
    assert right((pixels / size)[:, [1, 0, 3, 2]]) < 0.75  # the order of the coordinates


@pitfall("The model answers without looking")
def check_balanced_answers_and_whole_words():
    torch.manual_seed(0)

    def drop(agreement):
        """Accuracy lost with the images exchanged, where the question agrees with the answer this often."""
        answer = torch.randint(0, 2, (4000,))
        sign = 2.0 * answer - 1
        question = torch.where(torch.rand(4000) < agreement, sign, -sign)
        image = sign + 1.5 * torch.randn(4000)
        model = LogisticRegression().fit(torch.stack([question, image], 1)[:2000], answer[:2000])
        score = lambda seen: model.score(torch.stack([question, seen], 1)[2000:], answer[2000:])
        return score(image) - score(image[torch.randperm(4000)])

    assert drop(0.98) < 0.08 and drop(0.5) > 0.15
    pieces = torch.tensor([[0, 1], [2, 3], [4, 5]])  # three words of two pieces each, equally frequent
    second = torch.zeros(6, 6).index_put((pieces[:, 0], pieces[:, 1]), torch.ones(3))
    assert torch.special.entr(second[pieces[:, 0]]).sum() == 0  # one piece tells the other, no image needed
    assert torch.special.entr(torch.full((3,), 1 / 3)).sum() > 1  # nothing tells the whole word


@pitfall("Search takes hours")
def check_passes():
    stated("5,000,000", 1000 * 5000)
    torch.manual_seed(0)
    images = F.normalize(torch.randn(40, 16), dim=1)
    captions = F.normalize(images.repeat_interleave(5, 0) + 0.1 * torch.randn(200, 16), dim=1)
    joint = lambda i, j: images[i] @ captions[j]  # a pass of a joint model, here as good as the towers
    calls, answers = 0, []
    for j, top in enumerate((captions @ images.T).topk(4, dim=1).indices.tolist()):
        answers.append(max(top, key=lambda i: joint(i, j).item()))
        calls += len(top)
    assert calls + 40 + 200 < 0.2 * 40 * 200
    assert answers == [j // 5 for j in range(200)]


@check
def check_order_plays_no_role_but_boxes_do():
    torch.manual_seed(0)
    region, box = nn.Linear(5, 8), nn.Linear(4, 8)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    text, f, b = torch.randn(1, 3, 8), torch.randn(1, 4, 5), torch.rand(1, 4, 4)
    first = lambda f, b: layer(torch.cat([text, region(f) + box(b)], 1))[:, 0]
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(first(f, b), first(f[:, order], b[:, order]), atol=1e-5)
    assert not torch.allclose(first(f, b), first(f, b[:, order]), atol=1e-3)


@pitfall("Padding is read, content is ignored")
def check_mask_polarity():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    x = torch.randn(1, 4, 8)
    changed = x.clone()
    changed[:, 3] += 5
    keep = torch.tensor([[1, 1, 1, 0]])
    assert torch.allclose(
        layer(x, src_key_padding_mask=keep == 0)[:, :3],
        layer(changed, src_key_padding_mask=keep == 0)[:, :3],
        atol=1e-6,
    )
    wrong = keep == 1
    assert not torch.allclose(
        layer(x, src_key_padding_mask=wrong)[:, 0], layer(changed, src_key_padding_mask=wrong)[:, 0], atol=1e-3
    )
    for regions in (torch.tensor([[1, 0]]), torch.tensor([[1.0, 0.0]])):
        both, pair = torch.cat([keep, regions], 1) == 0, torch.randn(1, 6, 8)
        other = pair.index_fill(1, torch.tensor([3, 5]), 9.0)
        kept = lambda z: layer(z, src_key_padding_mask=both)[:, [0, 1, 2, 4]]
        assert torch.allclose(kept(pair), kept(other), atol=1e-5)
    raises(AssertionError, lambda: layer(torch.randn(1, 6, 8), src_key_padding_mask=keep == 0), "shape")
    content = x.clone()
    content[:, 1] += torch.randn(8)
    first = lambda z, mask: layer(z, src_key_padding_mask=mask)[:, 0]
    assert torch.allclose(first(x, wrong), first(content, wrong), atol=1e-6)
    assert not torch.allclose(first(x, keep == 0), first(content, keep == 0), atol=1e-3)


@holds("Same in train and eval?")
def check_dropout_alone_makes_the_difference():
    x = torch.randn(1, 5, 8)
    for rate, alike in ((0.1, False), (0.0, True)):
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=rate, batch_first=True)
        assert torch.allclose(layer.train()(x), layer.eval()(x), atol=1e-5) is alike
