import numpy as np
from scipy.stats import binom
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from note_checks import check, formula, stated

ERROR = r"\mathrm{SE} = \sqrt{\frac{p\,(1-p)}{n}}"
BEST = r"P\Big(\max_{j \le k} \hat p_j \ge x\Big) = 1 - F(x)^k"


@formula(ERROR)
def check_standard_error():
    for p in (0.5, 0.8, 0.97):
        for n in (10, 1000):
            np.testing.assert_allclose(np.sqrt(p * (1 - p) / n), binom.std(n, p) / n, rtol=1e-9)


@formula(BEST)
def check_best_of_many():
    generator = np.random.default_rng(0)
    for p, n, k, hits in [(0.8, 1000, 20, 820), (0.6, 50, 5, 35), (0.9, 100, 3, 92)]:
        F = binom.cdf(hits - 1, n, p)
        trials = 200_000 // k
        best = generator.binomial(n, p, size=(trials, k)).max(1)
        measured, expected = (best >= hits).mean(), 1 - F**k
        assert abs(measured - expected) < 5 * np.sqrt(expected * (1 - expected) / trials)


@check
def check_worked_example():
    stated("0.0126", np.sqrt(0.16 / 1000))
    single = binom.sf(819, 1000, 0.8)
    stated("0.060", single)
    stated("0.940", 1 - single)
    stated("0.71", 1 - (1 - single) ** 20)


@check
def check_leakage():
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(100, 2000)), np.arange(100) % 2
    chosen = SelectKBest(k=20).fit_transform(X, y)
    stated("0.90", cross_val_score(LogisticRegression(), chosen, y, cv=5).mean())
    stated("0.47", cross_val_score(make_pipeline(SelectKBest(k=20), LogisticRegression()), X, y, cv=5).mean())
