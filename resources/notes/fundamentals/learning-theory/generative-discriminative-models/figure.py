import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from figure_style import BLUE, INK, ORANGE, figure, plt


@figure("figure-models.svg")
def densities_and_decision() -> Figure:
    """Joint densities of a generative model, and its class probability beside that of logistic regression."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    X = rng.normal(size=(2000, 1)) + 2 * y[:, None]
    generative = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(X, y)
    direct = LogisticRegression(C=1e6).fit(X, y)
    x = np.linspace(-3.5, 5.5, 200)
    bayes, learned = (model.predict_proba(x[:, None])[:, 1] for model in (generative, direct))
    assert np.abs(bayes - learned).max() < 0.05

    drawn, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.8))
    spread = np.sqrt(generative.covariance_[0, 0])
    for label, colour in ((0, ORANGE), (1, BLUE)):
        density = generative.priors_[label] * norm.pdf(x, generative.means_[label, 0], spread)
        left.plot(x, density, color=colour, label=f"class {label}")
        left.fill_between(x, density, color=colour, alpha=0.2, linewidth=0)
    left.set_ylim(0, 0.3)
    left.set_title("generative: p(x, y)")
    left.set_xlabel("x")
    left.legend(loc="upper right")
    right.plot(x, bayes, color=BLUE, linewidth=3.2, alpha=0.6, label="from Bayes")
    right.plot(x, learned, color=INK, linestyle="--", linewidth=1.4, label="learned directly")
    right.set_title("p(y = 1 | x)")
    right.set_xlabel("x")
    right.legend(loc="upper left")
    right.set_ylim(-0.03, 1.35)
    right.set_yticks([0, 0.5, 1])
    return drawn
