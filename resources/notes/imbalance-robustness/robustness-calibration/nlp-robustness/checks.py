import itertools
import math

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from note_checks import check, formula, stated

ROBUST = r"""
\mathrm{RA} = \frac{1}{n} \sum_{i=1}^{n} \min_{x' \in S(x_i)} [f(x') = y_i], \qquad \mathrm{ASR} = 1 - \frac{\mathrm{RA}}{\mathrm{ACC}}
"""
WORST = r"\min_{x' \in S(x)} s(x') = b + \sum_{j=1}^{m} \min_{u \in V(t_j)} \theta_u"
VOCABULARY = "a b c d e f g".split()


def fitted():
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(VOCABULARY, 4)) for _ in range(300)]
    labels = [int(text.count("a") + text.count("b") + generator.normal(0, 0.7) > 1.2) for text in texts]
    counter = CountVectorizer(token_pattern=r"\S+", vocabulary=VOCABULARY)
    return counter, LogisticRegression().fit(counter.transform(texts), labels), texts, np.array(labels)


def variants(text, allowed):
    return [" ".join(words) for words in itertools.product(*(allowed[word] for word in text.split()))]


def replacements(seed):
    generator = np.random.default_rng(seed)
    return {word: sorted({word, *generator.choice(VOCABULARY, 2).tolist()}) for word in VOCABULARY}


@formula(ROBUST)
def check_robust_accuracy():
    counter, model, texts, labels = fitted()
    for seed in (1, 2):
        allowed = replacements(seed)
        clean = model.predict(counter.transform(texts[:60]))
        worst = np.array([min(int(p == y) for p in model.predict(counter.transform(variants(t, allowed)))) for t, y in zip(texts[:60], labels)])
        robust, accuracy = worst.mean(), accuracy_score(labels[:60], clean)
        right = clean == labels[:60]
        assert robust <= accuracy and not worst[~right].any()
        assert math.isclose(1 - robust / accuracy, (1 - worst[right]).mean(), abs_tol=1e-12)
        assert 0 < robust < accuracy
        average = np.mean([(model.predict(counter.transform(variants(t, allowed))) == y).mean() for t, y in zip(texts[:60], labels)])
        assert average >= robust


@formula(WORST)
def check_worst_case_of_a_linear_model():
    counter, model, texts, _ = fitted()
    theta = dict(zip(VOCABULARY, model.coef_[0]))
    for seed in (1, 2):
        allowed = replacements(seed)
        for text in texts[:25]:
            ours = model.intercept_[0] + sum(min(theta[u] for u in allowed[word]) for word in text.split())
            library = model.decision_function(counter.transform(variants(text, allowed))).min()
            assert math.isclose(ours, library, abs_tol=1e-9)


@check
def check_by_hand():
    before = np.r_[np.ones(92), np.zeros(8)]
    after = np.r_[np.zeros(23), np.ones(69), np.zeros(8)]
    stated("0.69", after.mean())
    stated("0.25", 1 - after.mean() / before.mean())
    assert math.isclose(23 / 92, 1 - after.mean() / before.mean())
    stated("0.31", (after == 0).mean())


@check
def check_search_finds_what_random_changes_miss():
    """Two words carry the label: one random change rarely matters, replacing the most important words does."""
    rng = np.random.default_rng(0)
    signs, filler = (["awful", "boring"], ["moving", "charming"]), "the film was and its story with a".split()
    labels = rng.integers(2, size=400)
    texts = [[*rng.choice(signs[y], 2), *rng.choice(filler, 6)] for y in labels]
    counter = CountVectorizer(token_pattern=r"\S+").fit(map(" ".join, texts))
    model = LogisticRegression(C=10).fit(counter.transform(map(" ".join, texts)), labels)
    score = lambda words: model.decision_function(counter.transform([" ".join(words)]))[0]
    replaced = lambda words, i: [*words[:i], "unknown", *words[i + 1 :]]
    random_right = greedy_right = 0
    for words, y in zip(texts[:60], labels):
        random_right += (score(replaced(words, rng.integers(8))) > 0) == y
        for _ in range(2):
            words = min((replaced(words, i) for i in range(8)), key=lambda variant: score(variant) * (2 * y - 1))
        greedy_right += (score(words) > 0) == y
    assert random_right == 60 > 50 > greedy_right
