import numpy as np
import torch
from scipy.linalg import orthogonal_procrustes
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated
from trainings import descend

LOSS = r"\mathcal{L} = -\ln \sigma\left(u_o^\top v\right) - \sum_{i=1}^{k} \ln \sigma\left(-u_i^\top v\right)"
GRADIENT = r"""
\frac{\partial \mathcal{L}}{\partial v} = \left(\sigma\left(u_o^\top v\right) - 1\right) u_o + \sum_{i=1}^{k} \sigma\left(u_i^\top v\right) u_i
"""
OPTIMUM = r"u_c^\top v_w = \ln \frac{p(w, c)}{p(w)\,p(c)} - \ln k"

by_definition("Why negative sampling?")
sourced("word2vec, Mikolov et al., arXiv 1310.4546; Pennington et al., GloVe, 2014", "word2vec, GloVe", "Parameters")
sourced("Bojanowski et al., Enriching Word Vectors with Subword Information, arXiv 1607.04606, section 3.2", "fastText")
sourced("Devlin et al., BERT, arXiv 1810.04805: WordPiece, masked language model", "BERT")
sourced("gensim documentation, models.word2vec.Word2Vec, signature", "Defaults", "How many dimensions?")
sourced("word2vec project page, code.google.com/archive/p/word2vec, section on performance", "Skip-gram or CBOW?")
sourced("GloVe project page, nlp.stanford.edu/projects/glove, list of pre-trained vectors", "How many dimensions?")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def library_loss(v, u_o, u):
    """Binary cross-entropy of the scores: label 1 for the neighbor, 0 for the random words."""
    scores = torch.cat([(u_o @ v)[None], u @ v])
    labels = torch.cat([torch.ones(1), torch.zeros(len(u))]).to(scores)
    return F.binary_cross_entropy_with_logits(scores, labels, reduction="sum")


@formula(LOSS, GRADIENT)
def check_loss_and_gradient():
    for d, k in [(5, 3), (1, 1), (50, 20), (4, 0)]:
        v, u_o, u = torch.randn(d).double().requires_grad_(), torch.randn(d).double(), torch.randn(k, d).double()
        loss = library_loss(v, u_o, u)
        loss.backward()
        vn, on, un = v.detach().numpy(), u_o.numpy(), u.numpy()
        ours = -np.log(sigmoid(on @ vn)) - sum(np.log(sigmoid(-row @ vn)) for row in un)
        np.testing.assert_allclose(ours, loss.item(), rtol=1e-10)
        slope = (sigmoid(on @ vn) - 1) * on + sum((sigmoid(row @ vn) * row for row in un), np.zeros(d))
        np.testing.assert_allclose(slope, v.grad.numpy(), rtol=1e-10, atol=1e-12)


@formula(OPTIMUM)
def check_optimum():
    """Free scores, minimised by L-BFGS over the expected loss, end at the shifted mutual information."""
    for shape, k in [((4, 6), 5), ((3, 3), 1), ((2, 7), 15)]:
        C = torch.randint(1, 30, shape).double()
        scores = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [scores], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
        )

        def closure():
            optimizer.zero_grad()
            drawn = k * C.sum(1, keepdim=True) * C.sum(0) / C.sum()
            loss = -(C * F.logsigmoid(scores) + drawn * F.logsigmoid(-scores)).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        p = C.numpy() / C.sum().item()
        ours = np.log(p / (p.sum(1, keepdims=True) * p.sum(0))) - np.log(k)
        np.testing.assert_allclose(ours, scores.detach().numpy(), atol=1e-4)


@check
def check_by_hand():
    v, u_o, u = torch.tensor([1.0, 0.0], requires_grad=True), torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 1.0]])
    loss = library_loss(v, u_o, u)
    loss.backward()
    stated("1.4402", loss.item())
    stated("0.1269", -F.logsigmoid(torch.tensor(2.0)))
    stated("1.3133", -F.logsigmoid(torch.tensor(-1.0)))
    stated("0.4927", v.grad[0])
    stated("0.7311", v.grad[1])
    stated("0.2384", 2 * torch.sigmoid(torch.tensor(-2.0)))
    after = v.detach() - 0.1 * v.grad
    assert u[0] @ after < u[0] @ v and u_o @ after < u_o @ v
    stated("31.6", 100**0.75)


@holds("Lookup", "Parameters", "Same in train and eval?", "TF-IDF", "`nn.Embedding` from scratch")
def check_lookup():
    model = TfidfVectorizer().fit(["bank money", "bank river"])
    assert model.transform(["lake"]).nnz == 0
    columns = [set(model.transform([text]).indices) for text in ("bank money", "bank river")]
    assert columns[0] & columns[1] == {model.vocabulary_["bank"]}
    try:
        nn.Embedding(7, 3)(torch.tensor([7]))  # an eighth word has no row
        raise AssertionError
    except IndexError:
        pass
    same = nn.Embedding(7, 3)
    texts = torch.tensor([[1, 2], [1, 5]])
    assert torch.equal(*same(texts)[:, 0]) and torch.equal(same.train()(texts), same.eval()(texts))
    head, before = nn.Linear(3, 2), same.weight.detach().clone()
    F.cross_entropy(head(same(texts).mean(1)), torch.tensor([0, 1])).backward()
    assert same.weight.grad[[1, 2, 5]].abs().min() > 0 and torch.equal(before, same.weight)
    table = nn.Embedding(7, 3)
    assert table(torch.tensor([1], dtype=torch.int32)).equal(table(torch.tensor([1])))
    assert table(torch.tensor([[1, 2], [3, 6]])).shape == (2, 2, 3) and table(torch.tensor([1, 2])).shape == (2, 3)
    assert sum(p.numel() for p in table.parameters()) == 21


@pitfall("The loaded vectors do not improve in training")
def check_frozen_vectors():
    loaded, ids, labels = torch.randn(6, 2), torch.arange(6), torch.tensor([0, 1, 0, 1, 0, 1])
    for options, moves in (({}, False), ({"freeze": False}, True)):
        table, head = nn.Embedding.from_pretrained(loaded.clone(), **options), nn.Linear(2, 2)
        assert table.weight.requires_grad is moves
        optimizer = torch.optim.SGD([*table.parameters(), *head.parameters()], 0.01)
        descend(optimizer, lambda: F.cross_entropy(head(table(ids)), labels), 20)
        assert torch.equal(table.weight.detach(), loaded) is not moves


def toy(seed, copies=1, d=4):
    """Vectors of the article's corpus (king, queen, prince, princess, man, woman, boy, girl; or so many copies of these
    words), and the largest distance of a score from PMI - ln k."""
    traits = torch.tensor([[a, b, c] for a in (0, 1) for c in (0, 1) for b in (0, 1)])
    rank, gender, age = (F.one_hot(trait, 2) for trait in traits.T)
    marks = torch.cat([rank.repeat(1, 2), gender.repeat(1, 2), age], 1)
    C = (marks * 10.0 + 1).repeat(copies, 1)
    noise = 5 * C.sum(1, keepdim=True) * C.sum(0) / C.sum()
    torch.manual_seed(seed)
    v, u = nn.Embedding(len(C), d), nn.Embedding(10, d)
    optimizer = torch.optim.Adam([*v.parameters(), *u.parameters()], 0.05)
    for _ in range(400):
        score = v.weight @ u.weight.T
        loss = -(C * F.logsigmoid(score) + noise * F.logsigmoid(-score)).sum() / C.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return v.weight.detach(), float((score.detach() - (C / noise).log()).abs().max())


@pitfall("Vectors of two models cannot be compared")
def check_two_trainings_and_an_orthogonal_map():
    first, second = toy(0)[0], toy(1)[0]
    rotation = torch.tensor(orthogonal_procrustes(first[:6].numpy(), second[:6].numpy())[0])
    alike = lambda a, b: F.cosine_similarity(a, b)
    assert alike(first, second).mean() < 0.5
    assert alike(first @ rotation, second)[6:].min() > 0.8  # boy and girl, not fitted on
    few = torch.tensor(orthogonal_procrustes(first[:2].numpy(), second[:2].numpy())[0])
    assert alike(first @ few, second)[6:].mean() < alike(first @ rotation, second)[6:].mean() - 0.1
    together, _ = toy(0, copies=2)
    assert alike(together[:8], together[8:]).min() > 0.9


@pitfall('"king − man + woman = queen" only works with a trick')
def check_nearest_word_with_and_without_the_query_words():
    """Man and woman lie close together, so the difference moves king only a little."""
    words = ["king", "queen", "man", "woman", "apple"]
    vectors = torch.tensor([[1, 0.1, 1], [1, 0.7, 1], [0.1, 0.1, 1], [0.1, 0.3, 1], [-1, 0, 0]])
    similar = F.cosine_similarity(vectors[0] - vectors[2] + vectors[3], vectors)
    assert words[similar.argmax()] == "king"
    similar[[0, 2, 3]] = -1
    assert words[similar.argmax()] == "queen"


@pitfall('"good" and "bad" are neighbors')
def check_antonyms_and_ambiguous_words():
    """Rows good, bad, river; the contexts of the first two are alike. Then labels pull them apart."""
    C = torch.tensor([[9.0, 8, 1], [8, 9, 1], [1, 1, 9]])
    pmi = (C * C.sum() / (C.sum(1, keepdim=True) * C.sum(0))).log()
    assert F.cosine_similarity(pmi[0], pmi[1], dim=0) > 0.9 and F.cosine_similarity(pmi[0], pmi[2], dim=0) < 0
    table, head = nn.Embedding.from_pretrained(pmi, freeze=False), nn.Linear(3, 2)
    optimizer = torch.optim.Adam([*table.parameters(), *head.parameters()], 0.05)
    descend(optimizer, lambda: F.cross_entropy(head(table(torch.tensor([0, 1]))), torch.tensor([1, 0])), 100)
    assert F.cosine_similarity(*table.weight.detach()[:2], dim=0) < 0
    good = torch.randn(50)  # more dimensions: the labels separate them, but the two stay close
    table = nn.Embedding.from_pretrained(torch.stack([good, good + 0.2 * torch.randn(50)]), freeze=False)
    head, ids, labels = nn.Linear(50, 2), torch.tensor([0, 1]), torch.tensor([1, 0])
    optimizer = torch.optim.Adam([*table.parameters(), *head.parameters()], 0.01)
    descend(optimizer, lambda: F.cross_entropy(head(table(ids)), labels), 100)
    assert torch.equal(head(table(ids)).argmax(1), labels) and F.cosine_similarity(*table.weight.detach(), dim=0) > 0.4
    embed, encoder = nn.Embedding(5, 8), nn.GRU(8, 8, batch_first=True, bidirectional=True)
    texts = torch.tensor([[1, 0, 2], [3, 0, 4]])  # word 0 between different neighbors
    assert torch.equal(*embed(texts)[:, 1]) and not torch.allclose(*encoder(embed(texts))[0][:, 1], atol=1e-2)


@pitfall("Two runs with the same seed give different vectors")
def check_the_order_of_updates():
    """gensim is not installed: here one thread visits the same pairs in the same and in another order."""
    pairs = torch.randint(0, 8, (300, 2))

    def trained(order):
        torch.manual_seed(0)
        v, u = torch.randn(8, 4), torch.randn(8, 4)
        for w, c in pairs[order].tolist():
            slope = torch.sigmoid(u[c] @ v[w]) - 1
            v[w], u[c] = v[w] - 0.03 * slope * u[c], u[c] - 0.03 * slope * v[w]
        return v

    order = torch.randperm(300)
    one, again, other = trained(order), trained(order), trained(order.flip(0))
    assert torch.equal(one, again) and not torch.allclose(one, other, atol=1e-3)
    nearest = lambda v: (F.cosine_similarity(v[:, None], v[None], dim=-1) - 2 * torch.eye(8)).argmax(1)
    assert (nearest(one) == nearest(other)).float().mean() > 0.6


@check
def check_rotation_changes_no_score():
    v, u = torch.randn(5, 4).double(), torch.randn(6, 4).double()
    rotation = torch.linalg.qr(torch.randn(4, 4).double())[0]
    assert torch.allclose((v @ rotation) @ (u @ rotation).T, v @ u.T) and not torch.allclose(v @ rotation, v)
    assert not torch.allclose((v @ rotation) @ u.T, v @ u.T)


@holds("Why two tables?")
def check_one_table_cannot_refuse_a_word_beside_itself():
    """The best single table for pairs that never repeat a word, with as many dimensions as words."""
    for seed in range(3):
        torch.manual_seed(seed)
        v = torch.randn(5, 5, requires_grad=True)
        target = 1 - torch.eye(5)  # each word beside every other, never beside itself
        optimizer = torch.optim.Adam([v], 0.05)
        descend(optimizer, lambda: F.binary_cross_entropy_with_logits(v @ v.T, target), 200)
        assert torch.sigmoid((v @ v.T).diagonal()).min() >= 0.5
    v, u = torch.randn(5, 5, requires_grad=True), torch.randn(5, 5, requires_grad=True)
    descend(torch.optim.Adam([v, u], 0.05), lambda: F.binary_cross_entropy_with_logits(v @ u.T, target), 200)
    assert torch.sigmoid((v @ u.T).diagonal()).max() < 0.2


@holds("How many dimensions?")
def check_surplus_dimensions_keep_noise():
    found = {}
    for d in (4, 6):
        v, gap = toy(0, d=d)
        steps = v[1::2] - v[::2]
        found[d] = float(F.cosine_similarity(steps[:, None], steps[None], dim=-1).min())
        assert gap < 0.1
    assert found[4] > 0.95 and found[6] < 0.9, found  # seed 0, as in the article; with others they can stay parallel
