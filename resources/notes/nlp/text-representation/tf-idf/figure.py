import numpy as np
from matplotlib.figure import Figure
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer

from figure_style import BLUE, ORANGE, QUIET, figure, plt

SENTENCES = ["the cat sat on the mat", "the dog sat on the log", "the cat chased the dog", "the bird sang"]
WORDS = ["the", "cat", "sat", "on", "mat"]


@figure("figure-weights.svg")
def idf_and_weights() -> Figure:
    """scikit-learn's idf ends at 1, the textbook's at 0; so "the" stays the heaviest word in scikit-learn."""
    n = 100
    df = np.arange(1, n + 1)
    counts = (np.arange(n)[:, None] < df).astype(int)
    library = TfidfTransformer(smooth_idf=False).fit(counts).idf_
    smooth = TfidfTransformer().fit(counts).idf_
    textbook = library - 1
    assert smooth[-1] == 1 and abs(textbook[-1]) < 1e-12 and (np.diff(smooth) < 0).all()

    model = TfidfVectorizer().fit(SENTENCES)
    columns = [model.vocabulary_[word] for word in WORDS]
    kept = model.transform(SENTENCES[:1]).toarray()[0, columns]
    plain = TfidfVectorizer(smooth_idf=False).fit(SENTENCES)
    tf = np.array([SENTENCES[0].split().count(word) for word in WORDS])
    classic = tf * (plain.idf_[columns] - 1)
    classic = classic / np.linalg.norm(classic)
    raw = tf / np.linalg.norm(tf)
    assert kept.argmax() == 0 and abs(classic[0]) < 1e-9 and classic.argmax() == 4

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(df, smooth, color=BLUE)
    left.plot(df, textbook, color=ORANGE)
    left.set_xlabel("documents with the word (of 100)")
    left.set_ylabel("idf")
    left.set_ylim(0, 5.2)
    places = np.arange(len(WORDS))
    for shift, values, colour, name in zip(
        (-0.27, 0, 0.27), (raw, kept, classic), (QUIET, BLUE, ORANGE), ("counts", "scikit-learn", "textbook")
    ):
        right.bar(places + shift, values, width=0.25, color=colour, label=name)
    right.set_xticks(places, WORDS)
    right.grid(axis="x", visible=False)
    right.set_xlabel("weight in one sentence")
    drawn.legend(loc="outside upper center", ncols=3, fontsize=9)
    return drawn
