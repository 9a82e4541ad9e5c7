import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from figure_style import BLUE, ORANGE, figure, plt


def always_negative(panel) -> None:
    shares = np.linspace(0.01, 0.5, 50)
    labels = [(np.arange(1000) < 1000 * share - 1e-9).astype(int) for share in shares]
    accuracy = [accuracy_score(y, 0 * y) for y in labels]
    balanced = [balanced_accuracy_score(y, 0 * y) for y in labels]
    assert accuracy[0] > 0.98 and accuracy[-1] < 0.52 and set(balanced) == {0.5}
    panel.plot(shares, accuracy, color=ORANGE)
    panel.plot(shares, balanced, color=BLUE, linestyle="--")
    panel.text(0.2, 0.88, "accuracy", color=ORANGE)
    panel.text(0.06, 0.42, "balanced accuracy", color=BLUE)
    panel.set_ylim(0.3, 1.02)
    panel.set_title("always negative")
    panel.set_xlabel("share of positives")


def scaled_logits(panel) -> None:
    """A noisy three-class model whose logits are multiplied by a factor."""
    generator = np.random.default_rng(0)
    y = generator.integers(3, size=2000)
    logits = np.eye(3)[y] * 1.5 + generator.normal(size=(2000, 3))
    factors = np.linspace(0.1, 6, 40)
    exponentials = [np.exp(f * (logits - logits.max(1, keepdims=True))) for f in factors]
    loss = np.array([log_loss(y, e / e.sum(1, keepdims=True)) for e in exponentials])
    accuracy = np.array([accuracy_score(y, e.argmax(1)) for e in exponentials])
    assert len(set(accuracy)) == 1 and 0 < loss.argmin() < 20 and loss[-1] > 2 * loss.min()
    panel.plot(factors, loss, color=BLUE, linestyle="--")
    panel.plot(factors, accuracy, color=ORANGE)
    panel.text(1.3, 1.4, "cross-entropy", color=BLUE)
    panel.text(3.9, accuracy[0] - 0.24, "accuracy", color=ORANGE)
    panel.set_ylim(0, 2.4)
    panel.set_title("scaled logits")
    panel.set_xlabel("scale factor")


@figure("figure-blind.svg")
def what_accuracy_does_not_see() -> Figure:
    """Accuracy of a constant answer at several class ratios, and accuracy and loss when all logits are scaled."""
    drawn, (left, right) = plt.subplots(1, 2)
    always_negative(left)
    scaled_logits(right)
    return drawn
