import itertools
import math
import random

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.metrics.pairwise import cosine_similarity

from note_checks import by_definition, formula, holds, pitfall, sourced, stated

ROBUST = r"""
\mathrm{RA} = \frac{1}{n} \sum_{i=1}^{n} \min_{x' \in S(x_i)} [f(x') = y_i], \qquad \mathrm{ASR} = 1 - \frac{\mathrm{RA}}{\mathrm{ACC}}
"""
WORST = r"\min_{x' \in S(x)} s(x') = b + \sum_{j=1}^{m} \min_{u \in V(t_j)} \theta_u"
VOCABULARY = "a b c d e f g".split()

by_definition("Input", "Other sources", "Robustness and generalisation, the same?", "Is invariance always wanted?")
sourced(
    "TextFlint, arXiv 2103.11441, section 3, and its table of transformations",
    "Random test",
    "Perturbation suites (TextFlint)",
)
sourced("TextAttack, arXiv 2005.05909, sections 1 and 2", "Attack", "Attacks (TextAttack)")
sourced("TextFooler, arXiv 1907.11932, tables 2 and 3", "Cost", "Do pre-trained models solve it?")
sourced("CheckList, arXiv 2005.04118, section 2", "Behavioural tests (CheckList)")
sourced("Evaluating Models' Local Decision Boundaries via Contrast Sets, arXiv 2004.02709, abstract", "Contrast sets")


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
@holds("Output", "Attack")
def check_robust_accuracy():
    counter, model, texts, labels = fitted()
    for seed in (1, 2):
        allowed = replacements(seed)
        clean = model.predict(counter.transform(texts[:60]))
        worst = np.array(
            [
                min(int(p == y) for p in model.predict(counter.transform(variants(t, allowed))))
                for t, y in zip(texts[:60], labels)
            ]
        )
        robust, accuracy = worst.mean(), accuracy_score(labels[:60], clean)
        right = clean == labels[:60]
        assert robust <= accuracy and not worst[~right].any()
        assert math.isclose(1 - robust / accuracy, (1 - worst[right]).mean(), abs_tol=1e-12)
        assert 0 < robust < accuracy
        tried = [model.predict(counter.transform([t, *variants(t, allowed)[::3]])) for t in texts[:60]]
        part = np.array([(p == y).all() for p, y in zip(tried, labels)])
        assert robust <= part.mean()  # an incomplete search
        average = np.mean(
            [(model.predict(counter.transform(variants(t, allowed))) == y).mean() for t, y in zip(texts[:60], labels)]
        )
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


@pitfall("Attack results of two papers cannot be compared")
def check_by_hand():
    before = np.r_[np.ones(92), np.zeros(8)]
    after = np.r_[np.zeros(23), np.ones(69), np.zeros(8)]
    stated("0.69", after.mean())
    stated("0.25", 1 - after.mean() / before.mean())
    assert math.isclose(23 / 92, 1 - after.mean() / before.mean())
    stated("0.31", (after == 0).mean())
    # the same success rate, another robust accuracy: only all three numbers tell the two models apart
    weak_before, weak_after = np.r_[np.ones(60), np.zeros(40)], np.r_[np.zeros(15), np.ones(45), np.zeros(40)]
    assert math.isclose(1 - weak_after.mean() / weak_before.mean(), 0.25) and weak_after.mean() < after.mean() - 0.2


@pitfall("Random perturbations show no problem")
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


@pitfall('The "adversarial" text really has another label')
def check_close_vectors_of_opposites():
    """Word vectors are counts of the neighbours; opposites stand in the same places, so they are the nearest words."""
    rng = random.Random(0)
    opinions = {"good": 1, "fine": 1, "bad": 0, "poor": 0}
    texts = [
        f"the {rng.choice(['film', 'plot', 'cast'])} was {rng.choice([*opinions])} {rng.choice(['and', 'but'])} long"
        for _ in range(400)
    ]
    labels = [opinions[text.split()[3]] for text in texts]
    counter = CountVectorizer(token_pattern=r"\S+").fit(texts)
    model = LogisticRegression(C=10).fit(counter.transform(texts), labels)
    around = [
        " ".join(" ".join(w for w in text.split() if w != word) for text in texts if word in text.split())
        for word in opinions
    ]
    near = cosine_similarity(counter.transform(around))
    assert near.min() > 0.98
    judged = [(word, other) for word in opinions for other in opinions if other != word]
    flipped = [
        model.predict(counter.transform([f"the film was {a} and long"]))[0]
        != model.predict(counter.transform([f"the film was {b} and long"]))[0]
        for a, b in judged
    ]
    valid = [opinions[a] == opinions[b] for a, b in judged]
    assert sum(flipped) == 8 and not any(f and v for f, v in zip(flipped, valid)) and sum(valid) == 4
    succeeded = [rng.random() < 0.6 for _ in range(4000)]  # valid or not; 10,000 texts were right before
    share = sum(rng.sample(succeeded, 500)) / 500
    assert abs(4000 / 10000 * share - sum(succeeded) / 10000) < 0.03


@holds("How do attacks on text differ from attacks on images?")
def check_a_small_step_ends_at_no_word():
    rng = np.random.default_rng(0)
    words = rng.normal(size=(5000, 64))  # random embeddings
    step = words[0] + 0.1 * rng.normal(size=64)
    distances = np.linalg.norm(words - step, axis=1)
    assert distances.min() > 0.3 and distances.argmin() == 0  # at no word, and nearest to the old one


def damaged(rng, text, missing):
    """Swaps two inner letters, or drops one, in each word of at least five letters."""

    def one(word):
        i = rng.randrange(1, max(2, len(word) - 2))
        return (
            word
            if len(word) < 5
            else word[:i] + ("" if missing else word[i + 1] + word[i]) + word[i + 1 + (not missing) :]
        )

    return " ".join(map(one, text.split()))


@pitfall("Robust in the test, brittle in use")
@holds("Same in train and eval?")
def check_another_kind_of_typo():
    good, bad = "wonderful brilliant excellent charming moving".split(), "terrible boring awful clumsy tedious".split()
    rng = random.Random(0)
    y = [rng.randrange(2) for _ in range(1200)]
    x = [
        " ".join(rng.choices("the film was and its story".split(), k=6) + rng.choices(good if label else bad, k=2))
        for label in y
    ]
    train, test = x[:800], x[800:]
    counter = CountVectorizer().fit(seen := train + [damaged(rng, text, False) for text in train])
    model = LogisticRegression(C=10).fit(counter.transform(seen), y[:800] * 2)
    score = lambda texts: model.score(counter.transform(texts), y[800:])
    assert (
        score([damaged(rng, text, False) for text in test]) > 0.97
        and score([damaged(rng, text, True) for text in test]) < 0.8
    )
