import math
import pickle
import resource
import threading

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

SMOOTH = r"\operatorname{idf}(t) = \ln \frac{1 + n}{1 + \operatorname{df}(t)} + 1"
PLAIN = r"\operatorname{idf}(t) = \ln \frac{n}{\operatorname{df}(t)} + 1"
WEIGHT = r"""
w_{t,d} = \frac{\operatorname{tf}(t, d) \, \operatorname{idf}(t)}{\sqrt{\sum_{u} \left( \operatorname{tf}(u, d) \, \operatorname{idf}(u) \right)^2}}
"""
SUBLINEAR = r"\operatorname{tf} \;\to\; 1 + \ln \operatorname{tf}"

by_definition("BERT")
sourced("Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009", "BM25 of a query")


def tables():
    """Count matrices of several shapes, each word in at least one document; one document is empty."""
    for n, V in [(1, 1), (2, 3), (7, 5), (30, 40)]:
        counts = np.random.poisson(0.8, (n, V))
        counts[np.random.randint(0, n, V), np.arange(V)] += 1
        yield counts
    yield np.array([[3, 0, 1], [0, 0, 0], [1, 2, 5]])


def idf(counts, smooth):
    n, df = len(counts), (counts > 0).sum(0)
    return np.log((1 + n) / (1 + df)) + 1 if smooth else np.log(n / df) + 1


def rows(tf, weights):
    product = tf * weights
    length = np.sqrt((product**2).sum(1, keepdims=True))
    return np.divide(product, length, out=np.zeros_like(product), where=length > 0)


@formula(SMOOTH, WEIGHT)
def check_defaults():
    for counts in tables():
        model = TfidfTransformer()
        library = model.fit_transform(counts).toarray()
        np.testing.assert_allclose(idf(counts, True), model.idf_)
        np.testing.assert_allclose(rows(counts, idf(counts, True)), library, atol=1e-12)


@formula(PLAIN)
def check_without_smoothing():
    for counts in tables():
        model = TfidfTransformer(smooth_idf=False)
        library = model.fit_transform(counts).toarray()
        np.testing.assert_allclose(idf(counts, False), model.idf_)
        np.testing.assert_allclose(rows(counts, idf(counts, False)), library, atol=1e-12)


@formula(SUBLINEAR)
def check_sublinear():
    for counts in tables():
        library = TfidfTransformer(sublinear_tf=True).fit_transform(counts).toarray()
        tf = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)
        np.testing.assert_allclose(rows(tf, idf(counts, True)), library, atol=1e-12)


@check
def check_by_hand():
    model = TfidfVectorizer()
    X = model.fit_transform(["cat cat dog", "dog fish"]).toarray()
    assert model.idf_[1] == 1
    stated("1.4055", model.idf_[0])
    stated("2.81093", 2 * model.idf_[0])
    stated("2.9835", math.hypot(2 * model.idf_[0], 1))
    stated("0.9422", X[0, 0])
    stated("0.3352", X[0, 1])


@holds("Input", "Output", "Learned by `fit`", "Defaults", "Same in `fit` and `transform`?")
def check_contract():
    assert TfidfTransformer().fit_transform(np.array([[1, 2, 0], [0, 1, 1]])).shape == (2, 3)
    model = TfidfVectorizer()
    assert (model.norm, model.smooth_idf, model.sublinear_tf, model.lowercase, model.stop_words) == (
        "l2",
        True,
        False,
        True,
        None,
    )
    X = model.fit_transform(["The cat", "a dog I saw", "b"])
    assert X.format == "csr" and X.dtype == np.float64 and X.shape == (3, 4) and X.min() >= 0 and X.max() <= 1 + 1e-12
    assert model.get_feature_names_out().tolist() == ["cat", "dog", "saw", "the"]
    assert X.toarray()[2].tolist() == [0, 0, 0, 0]
    assert model.transform(["bird cat bird"]).toarray().tolist() == [[1, 0, 0, 0]]
    assert TfidfVectorizer().fit_transform(["one document"]).shape == (1, 2)


@pitfall("The numbers differ from the textbook, and stop words stay on top")
def check_the_word_of_every_document_stays_on_top():
    docs = ["the cat sat on the mat", "the dog sat on the log", "the cat chased the dog", "the bird sang"]
    model = TfidfVectorizer()
    X = model.fit_transform(docs).toarray()
    names = model.get_feature_names_out().tolist()
    assert model.idf_[names.index("the")] == 1 and model.idf_.min() == 1 and names[X[0].argmax()] == "the"
    assert "the" not in TfidfVectorizer(max_df=0.9).fit(docs).get_feature_names_out()
    assert "the" not in TfidfVectorizer(stop_words=["the"]).fit(docs).get_feature_names_out()
    some = ["of cat", "of dog", "bird"]  # two of three documents: below the limit, so only the list drops it
    assert "of" in TfidfVectorizer(max_df=0.9).fit(some).get_feature_names_out()
    assert "of" not in TfidfVectorizer(stop_words="english").fit(some).get_feature_names_out()
    damped = TfidfVectorizer(sublinear_tf=True).fit_transform(docs).toarray()[0]
    assert names[damped.argmax()] != "the"
    counts = CountVectorizer().fit_transform(docs).toarray()
    plain = TfidfVectorizer(smooth_idf=False, norm=None).fit_transform(docs).toarray()
    np.testing.assert_allclose(plain - counts, counts * np.log(len(docs) / (counts > 0).sum(0)), atol=1e-12)


class Segmenter:
    """Stands for `jieba.Tokenizer`, which keeps a lock."""

    def __init__(self):
        self.lock = threading.RLock()

    def lcut(self, text):
        return text.split("/")


SEGMENTER = Segmenter()


def cut(text):
    return SEGMENTER.lcut(text)


@pitfall("Chinese sentences become single words")
def check_chinese():
    """A splitter at marks stands for jieba, which is not installed."""
    assert TfidfVectorizer().fit(["我喜欢猫"]).get_feature_names_out().tolist() == ["我喜欢猫"]
    split = TfidfVectorizer(tokenizer=lambda text: text.split("/"), token_pattern=None).fit(["我/喜欢/猫"])
    assert sorted(split.get_feature_names_out()) == sorted(["我", "喜欢", "猫"])
    clone(TfidfVectorizer(tokenizer=cut, token_pattern=None))  # as cross-validation does
    stored = pickle.loads(pickle.dumps(TfidfVectorizer(tokenizer=cut, token_pattern=None).fit(["我/喜欢/猫"])))
    assert stored.get_feature_names_out().tolist() == split.get_feature_names_out().tolist()
    for copying in (clone, pickle.dumps):  # the bound method of an object with a lock, as `jieba.lcut` is
        raises(TypeError, lambda: copying(TfidfVectorizer(tokenizer=SEGMENTER.lcut, token_pattern=None)), "RLock")
    for ngrams, pairs in (({}, 0), ({"ngram_range": (1, 2)}, 3)):
        names = TfidfVectorizer(analyzer="char", **ngrams).fit(["我喜欢猫"]).get_feature_names_out()
        assert sum(len(name) == 2 for name in names) == pairs
    assert TfidfVectorizer().fit(["I saw a cat"]).get_feature_names_out().tolist() == ["cat", "saw"]


@pitfall("Training and test matrices do not fit together")
@holds("Is idf a property of the word?")
def check_refitting_changes_the_columns():
    train, test = ["red green", "green blue"], ["blue yellow violet", "green"]
    model = TfidfVectorizer().fit(train)
    assert model.transform(test).shape[1] == 3 and TfidfVectorizer().fit_transform(test).shape[1] == 4
    classifier = LogisticRegression().fit(model.transform(train), [0, 1])
    raises(ValueError, lambda: classifier.predict(TfidfVectorizer().fit_transform(test)), "4 features")
    assert len(classifier.predict(model.transform(test))) == 2
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(train, [0, 1])
    assert (pipeline[0].idf_ == model.idf_).all() and len(pipeline.predict(test)) == 2
    before = model.idf_.copy()
    model.transform(test)
    assert (model.idf_ == before).all()
    assert not np.allclose(TfidfVectorizer().fit([*train, "green"]).idf_, before)


@pitfall("Memory runs out at `toarray()`")
def check_a_dense_matrix_does_not_fit():
    """With 4 GB of address space left."""
    texts = [f"word{i} word{i + 1} common" for i in range(50)]
    X = TfidfVectorizer().fit_transform(texts)
    large = csr_matrix((X.data, X.indices, np.concatenate([X.indptr, np.full(10_000 - 50, X.nnz)])), (10_000, 100_000))
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**30, before[1]))
    try:
        raises(MemoryError, large.toarray)
        for model in (LogisticRegression(), LinearSVC()):
            assert model.fit(large, np.arange(10_000) < 25).coef_.shape == (1, 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert TfidfVectorizer(max_features=3).fit_transform(texts).shape == (50, 3)
    assert TfidfVectorizer(min_df=3).fit_transform(texts).shape == (50, 1)


@holds("counts", "TF-IDF", "averaged word vectors", "When does TF-IDF fit?")
def check_texts_without_a_common_word():
    paraphrases = ["great film", "wonderful movie"]
    for model in (CountVectorizer(), TfidfVectorizer(), TfidfVectorizer(ngram_range=(1, 2))):
        assert cosine_similarity(model.fit_transform(paraphrases))[0, 1] == 0
    vectors = {"great": [1, 0], "wonderful": [0.9, 0.1], "film": [0, 1], "movie": [0.1, 0.9]}
    means = [np.mean([vectors[word] for word in text.split()], 0) for text in paraphrases]
    assert cosine_similarity(means)[0, 1] > 0.9
    for kind in (CountVectorizer, TfidfVectorizer):  # order shows in pairs of words alone
        for ngrams, equal in (((1, 1), True), ((1, 2), False)):
            X = kind(ngram_range=ngrams).fit_transform(["dog bites man", "man bites dog"]).toarray()
            assert np.allclose(X[0], X[1]) is equal
    texts = ["not good", "good", "not bad", "bad"]  # the label needs the pair
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=100)).fit(texts, [0, 1, 1, 0])
    assert model.predict(texts).tolist() == [0, 1, 1, 0]
    weights = dict(zip(model[0].get_feature_names_out(), model[1].coef_[0]))
    assert weights["not good"] < 0 < weights["not bad"]


@holds("Why scale rows to length 1?")
def check_a_text_pasted_twice():
    texts = ["the cat sat", "the cat sat the cat sat"]
    plain, scaled = (TfidfVectorizer(norm=norm).fit_transform(texts).toarray() for norm in (None, "l2"))
    assert np.allclose(2 * plain[0], plain[1]) and np.allclose(scaled[0], scaled[1])
    assert np.allclose(scaled @ scaled.T, cosine_similarity(plain))


@holds("Why a logarithm?")
def check_other_numbers():
    assert 10_000 * 100_000 * np.dtype(np.float64).itemsize == 8 * 10**9
    stated("8", 10_000 * 100_000 * 8 / 1e9)
    assert math.isclose(math.log(10_000), 2 * math.log(100))
    X = TfidfVectorizer().fit_transform(["a cat sat", "the cat ran", "dogs bark"]).toarray()
    np.testing.assert_allclose(
        X @ X.T,
        cosine_similarity(
            CountVectorizer().fit_transform(["a cat sat", "the cat ran", "dogs bark"]).toarray()
            * TfidfVectorizer().fit(["a cat sat", "the cat ran", "dogs bark"]).idf_
        ),
    )


@pitfall("A document has similarity NaN to everything")
def check_documents_without_known_words():
    model = TfidfVectorizer().fit(["cat dog", "dog fish"])
    X = model.transform(["bird", "cat", "fish"]).toarray()
    assert (cosine_similarity(X)[0] == 0).all() and cosine_similarity(X)[1, 2] == 0
    with np.errstate(invalid="ignore"):
        assert np.isnan(X[0] @ X[1] / (np.linalg.norm(X[0]) * np.linalg.norm(X[1])))
