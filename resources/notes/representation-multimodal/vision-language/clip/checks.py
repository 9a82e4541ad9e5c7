import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated

LOGITS = r"\ell_{ij} = e^{t}\, \frac{u_i^\top v_j}{\lVert u_i \rVert\, \lVert v_j \rVert}"
LOSS = r"""
L = -\frac{1}{2N} \sum_{i=1}^{N} \left( \ln \frac{e^{\ell_{ii}}}{\sum_{j} e^{\ell_{ij}}} + \ln \frac{e^{\ell_{ii}}}{\sum_{j} e^{\ell_{ji}}} \right)
"""
ENSEMBLE = r"""
w_c = \frac{m_c}{\lVert m_c \rVert}, \qquad m_c = \frac{1}{K} \sum_{k=1}^{K} \frac{v_{ck}}{\lVert v_{ck} \rVert}
"""

by_definition("Cost", "Does CLIP need labels?")
sourced(
    "CLIP, arXiv 2103.00020, and openai/CLIP, clip/model.py",
    "Input",
    "Output",
    "Defaults",
    "Same in train and eval?",
    "CLIP",
    "Where is it weak?",
    "Why cap the scale at 100?",
)
sourced("SigLIP, arXiv 2303.15343, abstract", "SigLIP")
sourced("LSeg, arXiv 2201.03546", "LSeg")
sourced("GroupViT, arXiv 2202.11094", "GroupViT")
sourced("ViLD, arXiv 2104.13921", 'ViLD (not "VLiD")')
sourced("GLIP, arXiv 2112.03857, and GLIPv2, arXiv 2206.05836", "GLIP, GLIPv2")
sourced("CLIPasso, arXiv 2202.05822", "CLIPasso")
sourced("Yuksekgonul et al., arXiv 2210.01936: vision-language models as bags of words", "Where is it weak?")


def scaled(u, v, t):
    """The first formula, entry by entry, in NumPy."""
    return np.array([[math.exp(t) * float(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) for b in v] for a in u])


@formula(LOGITS, LOSS)
def check_logits_and_loss():
    for n, d in ((1, 4), (2, 3), (9, 16)):
        for t in (0.0, math.log(1 / 0.07), math.log(100)):
            u, v = torch.randn(n, d, dtype=torch.float64), torch.randn(n, d, dtype=torch.float64)
            logits = math.exp(t) * F.cosine_similarity(u[:, None], v[None], dim=2)
            ours = scaled(u.numpy(), v.numpy(), t)
            np.testing.assert_allclose(ours, logits.numpy(), rtol=1e-9, atol=1e-9)
            e = np.exp(ours - ours.max())
            total = sum(math.log(e[i, i] / e[i].sum()) + math.log(e[i, i] / e[:, i].sum()) for i in range(n))
            target = torch.arange(n)
            library = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
            np.testing.assert_allclose(-total / (2 * n), library.item(), rtol=1e-8, atol=1e-9)


@formula(ENSEMBLE)
def check_ensemble():
    v = torch.randn(4, 7, 5, dtype=torch.float64) * 3
    library = F.normalize(F.normalize(v, dim=2).mean(1), dim=1).numpy()
    for c in range(4):
        m = sum(v[c, k].numpy() / np.linalg.norm(v[c, k].numpy()) for k in range(7)) / 7
        np.testing.assert_allclose(m, F.normalize(v[c], dim=1).mean(0).numpy(), rtol=1e-9)
        np.testing.assert_allclose(m / np.linalg.norm(m), library[c], rtol=1e-9)
    u = torch.randn(50, 5, dtype=torch.float64)
    assert torch.equal(
        (u @ torch.tensor(library).T).argmax(1),
        (100 * F.normalize(u, dim=1) @ torch.tensor(library).T).softmax(1).argmax(1),
    )


@check
def check_by_hand():
    cosines = torch.tensor([0.28, 0.25, 0.20], dtype=torch.float64)
    for text, value in zip(("0.9523", "0.0474", "0.0003"), (100 * cosines).softmax(0)):
        stated(text, value)
    stated("14.2857", 1 / 0.07)
    stated("2.6593", math.log(1 / 0.07))
    stated("0.5075", (cosines / 0.07).softmax(0)[0])
    stated("0.3456", cosines.softmax(0)[0])
    logits = 10 * torch.tensor([[0.3, 0.1], [0.25, 0.2]], dtype=torch.float64)
    rows = F.cross_entropy(logits, torch.arange(2), reduction="none")
    columns = F.cross_entropy(logits.T, torch.arange(2), reduction="none")
    for text, value in zip(("0.1269", "0.9741", "0.4741", "0.3133"), (*rows, *columns)):
        stated(text, value)
    stated("0.4721", (rows.mean() + columns.mean()) / 2)


@pitfall("Zero-shot probabilities change with the length of the features")
def check_lengths():
    torch.manual_seed(0)
    image, texts = torch.randn(64), torch.randn(5, 64)
    raw = lambda u, v: (u @ v.T).softmax(0)
    unit = lambda u, v: (100 * F.normalize(u, dim=0) @ F.normalize(v, dim=1).T).softmax(0)
    longer = texts * torch.tensor([1.0, 2.0, 0.5, 1.5, 1.0])[:, None]
    assert not torch.allclose(raw(image / 8, texts), raw(image / 4, texts), atol=1e-2)
    assert not torch.allclose(raw(image / 8, texts), raw(image / 8, longer), atol=1e-2)
    assert torch.allclose(unit(image, texts), unit(2 * image, longer), atol=1e-5)


@pitfall("All classes get nearly the same probability")
def check_missing_scale_and_its_logarithm():
    cosines, t = torch.tensor([0.28, 0.25, 0.20]), torch.tensor(1 / 0.07).log()
    spread = lambda p: (p.max() - p.min()).item()
    assert spread(cosines.softmax(0)) < 0.03 and spread((t * cosines).softmax(0)) < 0.08
    assert spread((t.exp() * cosines).softmax(0)) > 0.3 and (100 * cosines).softmax(0)[0] > 0.9


@pitfall("A confident answer where no class fits")
def check_refusal():
    """Images hold a third of the direction of their sentence and much else, as cosines of CLIP do."""
    torch.manual_seed(0)
    sentences = F.normalize(torch.randn(5, 512), dim=1)
    rest = F.normalize(torch.randn(3, 512), dim=1)  # what the classes leave out
    draw = lambda kinds: F.normalize(0.35 * kinds + F.normalize(torch.randn(len(kinds), 512), dim=1), dim=1)
    known, unknown = draw(sentences.repeat(60, 1)), draw(rest.repeat(100, 1))
    assert (100 * unknown @ sentences.T).softmax(1).amax(1).mean() > 0.8
    with_rest = torch.cat([sentences, rest])
    assert ((unknown @ with_rest.T).argmax(1) >= 5).float().mean() > 0.95
    assert ((known @ with_rest.T).argmax(1) < 5).float().mean() > 0.95
    threshold = (known[:150] @ sentences.T).amax(1).quantile(0.05)  # validation data
    assert ((known[150:] @ sentences.T).amax(1) > threshold).float().mean() > 0.85
    assert ((unknown @ sentences.T).amax(1) > threshold).float().mean() < 0.1


def bag_of_words_clip():
    """A small CLIP, trained on sentences "a photo of a NAME, a type of KIND"; name 0 is a bird and a machine."""
    torch.manual_seed(0)
    names, kinds = torch.tensor([0, 1, 2, 0, 3, 4]), torch.tensor([5, 5, 5, 6, 6, 6])
    draw = torch.randn(6, 32)
    words, image = nn.EmbeddingBag(11, 16), nn.Linear(32, 16)
    frame = torch.tensor([7, 8, 9])  # "a photo of"
    sentence = lambda c: torch.cat([frame.expand(len(c), 3), names[c][:, None], kinds[c][:, None]], 1)
    embed = lambda tokens: F.normalize(words(tokens), dim=1)
    see = lambda c: F.normalize(image(draw[c] + 0.3 * torch.randn(len(c), 32)), dim=1)
    optimizer = torch.optim.Adam([*words.parameters(), *image.parameters()], 1e-2)
    classes = torch.arange(6)
    for _ in range(150):
        pairs = see(classes) @ embed(sentence(classes)).T / 0.07
        loss = (F.cross_entropy(pairs, classes) + F.cross_entropy(pairs.T, classes)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seen = classes.repeat(50)
    right = lambda prompts: ((see(seen) @ embed(prompts).T).argmax(1) == seen).float()
    return right(names[:, None]), right(sentence(classes)), seen


@pitfall("Bare class names score low")
def check_templates():
    """The released models are not run; the averaging of several templates is the third formula."""
    bare, template, seen = bag_of_words_clip()
    cranes = (seen == 0) | (seen == 3)
    assert bare[cranes].mean() < 0.7 and template[cranes].mean() > 0.95 and template.mean() > bare.mean() + 0.1


@pitfall("One threshold fits text queries and fails for image queries")
def check_modality_gap():
    torch.manual_seed(0)
    content = F.normalize(torch.randn(200, 64), dim=1)
    gap = F.normalize(torch.randn(64), dim=0)
    embed = lambda sign: F.normalize(content + sign * gap + 0.06 * torch.randn(200, 64), dim=1)
    texts, images, other_photos = embed(-1), embed(1), embed(1)
    same = torch.eye(200, dtype=torch.bool)
    by_text, by_image = texts @ images.T, other_photos @ images.T
    assert by_image[~same].mean() > by_text[same].mean()
    half, part = same[:100, :100], lambda scores: scores[:100, :100]
    middle = lambda scores: (part(scores)[half].mean() + part(scores)[~half].mean()) / 2
    accepted = lambda scores, threshold: (scores[100:, 100:] > threshold) == same[100:, 100:]
    threshold = middle(by_text)  # calibrated on the first hundred
    assert accepted(by_text, threshold).float().mean() > 0.95 and accepted(by_image, threshold).float().mean() < 0.1
    assert accepted(by_image, middle(by_image)).float().mean() > 0.95
    assert (by_image.argmax(1) == torch.arange(200)).float().mean() > 0.95  # ranking within one kind


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@holds("Parameters")
def check_parameters_of_vit_b_32():
    layer = lambda width: nn.TransformerEncoderLayer(width, 8, 4 * width)
    conv, norm = nn.Conv2d(3, 768, 32, 32, bias=False), nn.LayerNorm(768)
    image = count(conv, norm, norm, nn.Linear(768, 512, bias=False)) + 768 + 50 * 768 + 12 * count(layer(768))
    text = (
        count(nn.Embedding(49408, 512), nn.LayerNorm(512), nn.Linear(512, 512, bias=False))
        + 77 * 512
        + 12 * count(layer(512))
    )
    stated("87,849,216", image)
    stated("63,428,096", text)
    stated("151,277,313", image + text + 1)


@holds("Why is the loss symmetric?")
def check_rows_alone_do_not_punish_an_attractive_image():
    logits = torch.zeros(3, 3)
    logits[0] += 20.0  # image 0 is near every text
    target = torch.arange(3)
    rows, columns = F.cross_entropy(logits, target), F.cross_entropy(logits.T, target)
    assert math.isclose(rows.item(), math.log(3), rel_tol=1e-6) and columns.item() > 10


@holds("Input", "Output", "Cost", "Same in train and eval?")
def check_contract():
    passes = []
    see, read = nn.Linear(6, 5), nn.EmbeddingBag(20, 5)
    see.register_forward_hook(lambda _, seen, __: passes.extend(seen[0]))
    read.register_forward_hook(lambda _, seen, __: passes.extend(seen[0]))
    u, v = F.normalize(see(torch.randn(4, 6)), dim=1), F.normalize(read(torch.randint(0, 20, (3, 77))), dim=1)
    assert (100 * u @ v.T).shape == (4, 3) and len(passes) == 4 + 3
    image = torch.empty(3, 224, 224, device="meta").unsqueeze(0)
    assert nn.Conv2d(3, 768, 32, 32, device="meta")(image).shape == (1, 768, 7, 7)
    x = torch.randn(2, 5, 8)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    assert torch.allclose(layer.train()(x), layer.eval()(x), atol=1e-5)
    norm = nn.BatchNorm1d(5)
    assert not torch.allclose(norm.train()(x), norm.eval()(x), atol=1e-3)
