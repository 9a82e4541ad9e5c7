import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from figure_style import BLUE, ORANGE, figure, plt


@figure("figure-tau.svg")
def tau() -> Figure:
    """Post-hoc adjustment of a logistic regression on eight Gaussian classes with frequencies from 4,000 down to 40."""
    generator = np.random.default_rng(0)
    counts = np.round(4000 * 0.01 ** (np.arange(8) / 7)).astype(int)
    angle = np.arange(8) * 3 * 2 * np.pi / 8
    centres = 2.6 * np.c_[np.cos(angle), np.sin(angle)]
    labels = np.repeat(np.arange(8), counts)
    sample = lambda y: centres[y] + generator.normal(size=(len(y), 2))
    model = LogisticRegression(C=100, max_iter=1000).fit(sample(labels), labels)
    log_prior = np.log(counts / counts.sum())
    x = sample(labels)
    logits = model.decision_function(x)

    taus = np.linspace(-0.5, 2, 26)
    predicted = [(logits - t * log_prior).argmax(1) for t in taus]
    accuracy = np.array([accuracy_score(labels, p) for p in predicted])
    balanced = np.array([balanced_accuracy_score(labels, p) for p in predicted])
    assert abs(taus[accuracy.argmax()]) < 0.25 and abs(taus[balanced.argmax()] - 1) < 0.35
    before, after = (recall_score(labels, (logits - t * log_prior).argmax(1), average=None) for t in (0, 1))
    assert after[-1] > before[-1] + 0.1 and after[0] < before[0]

    drawn, (left, right) = plt.subplots(1, 2)
    left.plot(taus, accuracy, color=ORANGE, linestyle="--")
    left.plot(taus, balanced, color=BLUE)
    left.plot(taus[accuracy.argmax()], accuracy.max(), color=ORANGE, marker="o")
    left.plot(taus[balanced.argmax()], balanced.max(), color=BLUE, marker="o")
    left.text(0.3, accuracy.max() + 0.012, "accuracy", color=ORANGE)
    left.text(-0.35, balanced.min() - 0.09, "balanced accuracy", color=BLUE)
    left.set_ylim(balanced.min() - 0.12, accuracy.max() + 0.05)
    left.set_title("test score")
    left.set_xlabel("τ")
    right.plot(range(1, 9), before, color=ORANGE, linestyle="--", marker="o", markersize=4)
    right.plot(range(1, 9), after, color=BLUE, marker="o", markersize=4)
    right.text(3.4, 0.82, "τ = 0", color=ORANGE)
    right.text(6.6, 0.76, "τ = 1", color=BLUE)
    right.set_ylim(0, 1.05)
    right.set_title("recall of each class")
    right.set_xlabel("class, frequent to rare")
    return drawn
