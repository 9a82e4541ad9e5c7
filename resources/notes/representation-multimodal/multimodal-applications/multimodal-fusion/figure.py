import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from figure_style import BLUE, ORANGE, figure, plt


def accuracies(interact: bool) -> dict[str, float]:
    """Test accuracy of five schemes; the label depends on the sum or on the product of one feature of each modality."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3000, 4)), rng.normal(size=(3000, 4))
    label = (x[:, 0] * y[:, 0] > 0) if interact else (x[:, 0] + y[:, 0] > 0)
    train, test = slice(0, 1500), slice(1500, 3000)
    fit = lambda model, data: model.fit(data[train], label[train])
    single = [fit(LogisticRegression(), data).predict_proba(data[test])[:, 1] for data in (x, y)]
    both = np.concatenate([x, y], axis=1)
    pairs = (x[:, :, None] * y[:, None, :]).reshape(len(x), -1)
    return {
        "first modality only": float(((single[0] > 0.5) == label[test]).mean()),
        "late (mean)": float(((np.mean(single, axis=0) > 0.5) == label[test]).mean()),
        "concatenation, linear": fit(LogisticRegression(), both).score(both[test], label[test]),
        "product, linear": fit(LogisticRegression(), np.concatenate([both, pairs], axis=1)).score(
            np.concatenate([both, pairs], axis=1)[test], label[test]
        ),
        "concatenation, MLP": fit(MLPClassifier((32,), max_iter=200, random_state=0, alpha=0.01), both).score(
            both[test], label[test]
        ),
    }


@figure("figure-tasks.svg")
def additive_and_interacting() -> Figure:
    """Only schemes with an interaction solve a task in which the combination counts."""
    results = [accuracies(False), accuracies(True)]
    added, combined = results
    assert all(added[name] > 0.93 for name in list(added)[1:]) and all(
        combined[name] < 0.56 for name in list(combined)[:3]
    ), results
    assert combined["product, linear"] > 0.93 and combined["concatenation, MLP"] > 0.88, results
    names = list(added)[::-1]
    drawn, panels = plt.subplots(1, 2, sharey=True)
    for panel, result, colour, title in zip(
        panels, results, (BLUE, ORANGE), ("both add evidence", "only the combination counts")
    ):
        panel.barh(range(5), [result[name] for name in names], color=colour, height=0.6)
        panel.set_xlim(0.4, 1)
        panel.set_title(title)
        panel.set_xlabel("accuracy")
        panel.set_yticks(range(5), names)
    return drawn
