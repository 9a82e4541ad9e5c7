import random

from matplotlib.figure import Figure
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from figure_style import BLUE, GREEN, ORANGE, figure, plt

GOOD, BAD = "wonderful brilliant excellent charming moving".split(), "terrible boring awful clumsy tedious".split()
FILLER = "the film was and its story with a really plot acting music".split()


def sentence(rng: random.Random, label: int) -> str:
    words = rng.choices(FILLER, k=6) + rng.choices(GOOD if label else BAD, k=2)
    return " ".join(rng.sample(words, len(words)))


def damaged(rng: random.Random, text: str, share: float, missing: bool) -> str:
    """Swaps two inner letters, or drops one, in the given share of the words with at least five letters."""
    words = []
    for word in text.split():
        if len(word) >= 5 and rng.random() < share:
            i = rng.randrange(1, len(word) - 2)
            word = word[:i] + ("" if missing else word[i + 1] + word[i]) + word[i + (1 if missing else 2) :]
        words.append(word)
    return " ".join(words)


@figure("figure-typos.svg")
def typos() -> Figure:
    """Accuracy of three classifiers against the share of misspelt words, for two kinds of misspelling."""
    rng = random.Random(0)
    labels = [rng.randrange(2) for _ in range(3000)]
    texts = [sentence(rng, label) for label in labels]
    train, train_labels, test, test_labels = texts[:1000], labels[:1000], texts[1000:], labels[1000:]
    swapped = [damaged(rng, text, 1, False) for text in train]
    models = {
        "words": (
            make_pipeline(CountVectorizer(), LogisticRegression(C=10)).fit(train, train_labels),
            ORANGE,
            "--",
            "o",
        ),
        "augmented": (
            make_pipeline(CountVectorizer(), LogisticRegression(C=10)).fit(train + swapped, train_labels * 2),
            GREEN,
            ":",
            "^",
        ),
        "characters": (
            make_pipeline(CountVectorizer(analyzer="char_wb", ngram_range=(1, 3)), LogisticRegression(C=10)).fit(
                train, train_labels
            ),
            BLUE,
            "-",
            "s",
        ),
    }
    shares = [0, 0.25, 0.5, 0.75, 1]
    drawn, panels = plt.subplots(1, 2, sharey=True)
    for panel, missing in zip(panels, (False, True)):
        copies = [[damaged(rng, text, share, missing) for text in test] for share in shares]
        scores = {name: [model.score(copy, test_labels) for copy in copies] for name, (model, *_) in models.items()}
        assert (
            all(values[0] == 1 for values in scores.values())
            and scores["words"][-1] < 0.7
            and scores["characters"][-1] > 0.97
        )
        assert scores["augmented"][-1] < 0.8 if missing else scores["augmented"][-1] > 0.97
        for name, (_, colour, line, mark) in models.items():
            width, alpha = (5, 0.5) if name == "augmented" else (1.8, 1)
            panel.plot(
                shares,
                scores[name],
                color=colour,
                linestyle=line,
                marker=mark,
                markersize=4,
                linewidth=width,
                alpha=alpha,
            )
        panel.set_title("missing letters" if missing else "swapped letters")
        panel.set_xlabel("share of long words misspelt")
    panels[0].set_ylabel("accuracy")
    panels[0].set_ylim(0.4, 1.08)
    panels[0].text(0.02, 0.62, "words", color=ORANGE)
    panels[0].text(0.02, 0.55, "augmented", color=GREEN)
    panels[0].text(0.02, 0.48, "characters", color=BLUE)
    return drawn
