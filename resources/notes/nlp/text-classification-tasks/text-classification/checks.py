import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

F0 = r"""
c_i = \operatorname{ReLU}\left( \sum_{j=0}^{k-1} w_j^\top x_{i+j} + b \right), \qquad \hat{c} = \max_{1 \le i \le L-k+1} c_i
"""
F1 = r"""
P = \sum_{k \in K} m\,(kd + 1) + C\,(m\,|K| + 1)
"""

by_definition("Softmax or sigmoid at the end?")
sourced(
    "Kim, Convolutional Neural Networks for Sentence Classification, arXiv 1408.5882, section 3.1",
    "Values of Kim (2014)",
)
sourced(
    "Joulin et al., Bag of Tricks for Efficient Text Classification, arXiv 1607.01759: n-gram features",
    "averaged word vectors",
)
sourced("Devlin et al., BERT, arXiv 1810.04805: position embeddings, sequences of at most 512 tokens", "BERT")
sourced(
    "Sun et al., How to Fine-Tune BERT for Text Classification?, arXiv 1905.05583: head and tail, windows",
    "What about very long texts?",
)


class TextCNN(nn.Module):
    def __init__(self, d=6, filters=4, widths=(3, 4, 5), classes=2):
        super().__init__()
        self.embed, self.drop = nn.Embedding(50, d, padding_idx=0), nn.Dropout(0.5)
        self.convs = nn.ModuleList(nn.Conv1d(d, filters, k) for k in widths)
        self.head = nn.Linear(filters * len(widths), classes)

    def pooled(self, ids):
        x = self.embed(ids).transpose(1, 2)
        return torch.cat([conv(x).relu().amax(-1) for conv in self.convs], 1)

    def forward(self, ids):
        return self.head(self.drop(self.pooled(ids)))


@holds("Input", "Output", "Same in train and eval?", "Windows")
@holds("Why max pooling over time?", "What about very long texts?")
def check_shapes_and_pooling():
    model = TextCNN()
    for kind in (torch.int64, torch.int32):
        for N, L in ((1, 5), (3, 9), (2, 5000)):
            ids = torch.randint(1, 50, (N, L)).to(kind)
            assert model(ids).shape == (N, 2) and model(ids).dtype == torch.float32
            assert model.pooled(ids).shape == (N, 12)
            assert [conv(model.embed(ids).transpose(1, 2)).shape[-1] for conv in model.convs] == [L - 2, L - 3, L - 4]
    raises(RuntimeError, lambda: model(ids[:, :4]), "Kernel size")
    assert not torch.equal(model.train()(ids), model(ids)) and torch.equal(model.eval()(ids), model(ids))
    conv, x = nn.Conv1d(6, 4, 2), torch.zeros(2, 6, 12)
    phrase = torch.randn(6, 2)
    x[0, :, 1:3] = phrase
    x[1, :, 4:6] = x[1, :, 9:11] = phrase  # elsewhere, and twice
    assert torch.allclose(*conv(x).relu().amax(-1), atol=1e-6)
    vectors = TfidfVectorizer().fit(["good film", "bad film"])
    assert vectors.transform(["good film " * 20_000]).shape == (1, 3)


@holds("TF-IDF + logistic regression", "averaged word vectors", "TextCNN", "LSTM")
def check_word_order():
    texts = ["not good but cheap", "not cheap but good"]
    words, pairs = (TfidfVectorizer(ngram_range=(1, n)).fit_transform(texts).toarray() for n in (1, 2))
    assert np.allclose(words[0], words[1]) and not np.allclose(pairs[0], pairs[1])
    embed = nn.Embedding(50, 6)
    ids = torch.tensor([[1, 2, 3, 4], [1, 4, 3, 2]])
    means = embed(ids).mean(1)
    assert torch.allclose(*means, atol=1e-6)
    for width, equal in ((1, True), (2, False)):
        maxima = nn.Conv1d(6, 40, width)(embed(ids).transpose(1, 2)).relu().amax(-1)
        assert torch.allclose(*maxima, atol=1e-6) is equal
    x = torch.randn(1, 30, 6, requires_grad=True)
    nn.LSTM(6, 8, batch_first=True)(x)[0][0, -1].sum().backward()
    assert (x.grad.abs().sum(-1) > 0).all()  # also the first of 30 words


@holds("How does TextCNN see beyond five words?")
def check_reach_of_one_filter():
    def reach(*layers):
        x = torch.randn(1, 6, 40, requires_grad=True)
        nn.Sequential(*layers)(x)[0, :, 15].sum().backward()
        seen = x.grad[0].abs().sum(0).nonzero().flatten()
        return int(seen.max() - seen.min()) + 1

    assert [reach(nn.Conv1d(6, 4, k)) for k in (3, 4, 5, 9)] == [3, 4, 5, 9]
    assert reach(nn.Conv1d(6, 4, 5, dilation=2)) == 9 and reach(nn.Conv1d(6, 6, 5), nn.Conv1d(6, 4, 5)) == 9
    x = torch.randn(1, 12, 6, requires_grad=True)
    nn.MultiheadAttention(6, 1, batch_first=True)(x, x, x)[0][0, 0].sum().backward()
    assert (x.grad.abs().sum(-1) > 0).all()


@formula(F0)
def check_filter_and_maximum():
    for N, L, d, m, k in [(2, 7, 5, 3, 3), (1, 4, 1, 1, 4), (3, 9, 6, 2, 1)]:
        conv, x = nn.Conv1d(d, m, k).double(), torch.randn(N, L, d).double()
        library = conv(x.transpose(1, 2)).relu().amax(-1).detach().numpy()
        weight, bias, xn = conv.weight.detach().numpy(), conv.bias.detach().numpy(), x.numpy()
        for n in range(N):
            for f in range(m):
                c = [
                    max(0.0, sum(weight[f, :, j] @ xn[n, i + j] for j in range(k)) + bias[f]) for i in range(L - k + 1)
                ]
                assert abs(max(c) - library[n, f]) < 1e-10


@formula(F1)
def check_parameters():
    for d, m, K, C in [(300, 100, (3, 4, 5), 2), (8, 5, (2, 7), 4), (1, 1, (1,), 3)]:
        layers = [nn.Conv1d(d, m, k) for k in K] + [nn.Linear(m * len(K), C)]
        assert sum(m * (k * d + 1) for k in K) + C * (m * len(K) + 1) == sum(
            p.numel() for layer in layers for p in layer.parameters()
        )


@holds("Parameters")
def check_by_hand():
    x, w = torch.tensor([[[1.0, 3.0, 0.0, 2.0]]]), torch.tensor([[[1.0, -1.0]]])
    assert F.conv1d(x, w).flatten().tolist() == [-2, 3, -2] and F.conv1d(x, w).relu().amax() == 3
    count = lambda layer: sum(p.numel() for p in layer.parameters())
    parts = [count(nn.Conv1d(300, 100, k)) for k in (3, 4, 5)] + [count(nn.Linear(300, 2))]
    for text, value in zip(["90,100", "120,100", "150,100", "602"], parts):
        stated(text, value)
    stated("360,902", sum(parts))


@pitfall('"TextCNN needs Conv2d"')
def check_conv2d_of_full_width_is_conv1d():
    conv, x = nn.Conv1d(6, 4, 3), torch.randn(2, 9, 6)
    wide = nn.Conv2d(1, 4, (3, 6))
    wide.weight.data, wide.bias.data = conv.weight.data.transpose(1, 2)[:, None], conv.bias.data
    assert torch.allclose(wide(x[:, None])[..., 0], conv(x.transpose(1, 2)), atol=1e-6)
    raises(RuntimeError, lambda: conv(x), "channels")
    assert conv(torch.randn(2, 6, 6)).shape == (2, 4, 4)


@pitfall("The prediction changes with the amount of padding")
def check_padding_competes_unless_masked():
    embed, conv = nn.Embedding(30, 6, padding_idx=0), nn.Conv1d(6, 40, 3)
    ids = torch.randint(1, 30, (4, 8))
    padded = F.pad(ids, (0, 5))
    scores = lambda tokens: conv(embed(tokens).transpose(1, 2)).relu()
    assert not torch.allclose(scores(ids).amax(-1), scores(padded).amax(-1), atol=1e-4)
    masked = scores(padded)
    masked[..., 8 - 3 + 1 :] = 0
    assert torch.allclose(masked.amax(-1), scores(ids).amax(-1), atol=1e-6)
    to_length = lambda tokens: scores(F.pad(tokens, (0, 20 - tokens.shape[1]))).amax(-1)
    assert torch.equal(to_length(ids), to_length(padded))  # one fixed length for all
    raises(RuntimeError, lambda: conv(torch.randn(1, 6, 2)), "Kernel size can't be greater than actual input size")


@pitfall("95% accuracy, but the rare class is never found")
def check_majority_class():
    truth = np.array([0] * 95 + [1] * 5)
    stated("95%", accuracy_score(truth, np.zeros(100, int)))
    truth = np.tile(truth, 20)
    features = np.random.randn(2000, 5) + 0.3 * truth[:, None]
    macro = lambda guess: f1_score(truth, guess, average="macro", zero_division=0)
    fitted = lambda weight: LogisticRegression(class_weight=weight).fit(features, truth)
    found = {weight: fitted(weight).predict(features) for weight in (None, "balanced")}
    assert found[None].sum() < 5 and accuracy_score(truth, found[None]) > 0.945 and macro(found[None]) < 0.52
    assert found["balanced"][truth == 1].mean() > 0.45 > 0.1 > found[None][truth == 1].mean()
    assert found["balanced"][truth == 0].mean() > 0.2 > 0.01 > found[None][truth == 0].mean()  # false alarms
    fitted = lambda weight: LogisticRegression(class_weight=weight).fit(features[:, :1], truth).predict(features[:, :1])
    assert macro(fitted("balanced")) < 0.46 < 0.48 < macro(fitted(None))  # one weak feature: it falls


@pitfall('A message that `classifier.weight` was "newly initialized"')
def check_a_head_that_the_checkpoint_lacks():
    """In plain PyTorch, for Transformers is not installed: the same keys are missing, whatever prints the message."""

    def model(seed):
        torch.manual_seed(seed)
        return nn.ModuleDict({"encoder": nn.Linear(5, 8), "classifier": nn.Linear(8, 2)})

    predict = lambda m, x: m["classifier"](m["encoder"](x).relu()).argmax(1)
    x = torch.randn(200, 5)
    truth = (x[:, 0] > 0).long()
    pretrained = {name: value for name, value in model(0).state_dict().items() if "encoder" in name}
    loaded = [model(seed) for seed in (1, 2)]
    for one in loaded:
        assert one.load_state_dict(pretrained, strict=False).missing_keys == ["classifier.weight", "classifier.bias"]
    assert not torch.equal(predict(loaded[0], x), predict(loaded[1], x))  # random until it is fine-tuned
    optimizer = torch.optim.Adam(loaded[0].parameters(), 0.05)
    for _ in range(60):
        loss = F.cross_entropy(loaded[0]["classifier"](loaded[0]["encoder"](x).relu()), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    saved = loaded[0].state_dict()
    assert model(3).load_state_dict(saved, strict=False).missing_keys == []
    assert (predict(loaded[0], x) == truth).float().mean() > 0.9
    renamed = {name.replace("classifier", "head"): value for name, value in saved.items()}
    assert model(3).load_state_dict(renamed, strict=False).missing_keys == ["classifier.weight", "classifier.bias"]


@pitfall('"Kernel size can\'t be greater than actual input size"')
def check_short_texts_keep_their_first_window():
    embed, conv = nn.Embedding(30, 6, padding_idx=0), nn.Conv1d(6, 40, 5)

    short = embed(torch.tensor([[3, 4]])).transpose(1, 2)
    raises(RuntimeError, lambda: conv(short), "Kernel size can't be greater than actual input size")

    def pooled(ids, length, kept):
        scores = conv(embed(F.pad(torch.tensor([ids]), (0, length - len(ids)))).transpose(1, 2)).relu()
        return F.pad(scores, (1, 0))[..., : 1 + max(kept, len(ids) - 5 + 1)].amax(-1)

    assert torch.equal(pooled([3, 4], 5, 0), pooled([7, 9], 5, 0))  # all windows zeroed: nothing left
    assert not torch.equal(pooled([3, 4], 5, 1), pooled([7, 9], 5, 1))
    assert torch.allclose(pooled([3, 4], 5, 1), pooled([3, 4], 12, 1), atol=1e-6)  # and independent of the padding
    front = lambda ids: conv(embed(F.pad(torch.tensor([ids]), (10, 0))).transpose(1, 2)).relu()[..., 0]
    assert torch.equal(front([3, 4]), front([7, 9]))  # padded in front, the first window holds no word
