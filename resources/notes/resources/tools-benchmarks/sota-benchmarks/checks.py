import numpy as np
import torch
from scipy.stats import binom, binomtest, chisquare, norm
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torchvision.models import ResNet50_Weights

from note_checks import by_definition, formula, holds, pitfall, sourced, stated, unexecuted
from trainings import handwritten_digits

F0 = r"""
\mathrm{SE} = \sqrt{\frac{\hat{p} (1 - \hat{p})}{n}}, \qquad \hat{p} \pm z \, \mathrm{SE}
"""
F1 = r"""
\frac{\hat{p} + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat{p} (1 - \hat{p})}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}
"""
F2 = r"""
\mathbb{E}\left[\max_{1 \le j \le k} \hat{p}_j\right] = \frac{1}{n} \sum_{m=0}^{n-1} \left(1 - F(m)^k\right)
"""
F3 = r"""
z = \frac{b - c}{\sqrt{b + c}}
"""

by_definition("A row should name", "What besides accuracy should a table show?")  # what this guide asks of a table
by_definition("table in a paper", "weights with code (timm, torchvision)", "your own data")
sourced("Kaggle documentation, competitions, public and private leaderboard", "prize contest")
sourced(
    "Do ImageNet Classifiers Generalize to ImageNet?, arXiv 1902.10811, abstract and introduction",
    "Are rankings on old test sets worthless?",
)


def expected_best(p: float, n: int, k: int) -> float:
    return sum(1 - binom.cdf(m, n, p) ** k for m in range(n)) / n


@holds("Input", "Output", "Defaults here")
@formula(F0)
def check_standard_error():
    for correct, n in [(8000, 10_000), (3, 20), (0, 5), (7, 7), (1, 2)]:
        p = correct / n
        error = np.sqrt(p * (1 - p) / n)
        np.testing.assert_allclose(error, binom.std(n, p) / n, atol=1e-12)
        z = norm.ppf(0.975)
        if 0 < p < 1:
            np.testing.assert_allclose(
                (p - z * error, p + z * error), norm.interval(0.95, loc=p, scale=binom.std(n, p) / n)
            )
    stated("1.96", norm.ppf(0.975))
    labels, predictions = np.array([1, 0, 1, 1, 0]), np.array([1, 0, 0, 1, 0])
    assert accuracy_score(labels, predictions) == (labels == predictions).sum() / 5 == 0.8
    # independent samples: the interval covers 95%
    drawn = np.random.default_rng(0).binomial(400, 0.8, 50_000) / 400
    half = 1.96 * np.sqrt(drawn * (1 - drawn) / 400)
    assert abs((abs(drawn - 0.8) <= half).mean() - 0.95) < 0.01


@formula(F1)
def check_wilson():
    for correct, n, level in [(8000, 10_000, 0.95), (20, 20, 0.95), (0, 7, 0.9), (3, 11, 0.99)]:
        p, z = correct / n, norm.ppf((1 + level) / 2)
        root = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        low, high = ((p + z**2 / (2 * n) + sign * root) / (1 + z**2 / n) for sign in (-1, 1))
        library = binomtest(correct, n).proportion_ci(level, method="wilson")
        np.testing.assert_allclose((low, high), (library.low, library.high), atol=1e-12)


@holds("leaderboard, hidden labels")
@formula(F2)
def check_best_of_many():
    """Against the mean of the distribution of the maximum, and against a simulation."""
    random = np.random.default_rng(0)
    for p, n, k in [(0.9, 50, 20), (0.3, 7, 4), (0.5, 1, 3), (0.8, 30, 1)]:
        simulated = random.binomial(n, p, (200_000, k)).max(1).mean() / n
        assert abs(expected_best(p, n, k) - simulated) < 1.5e-3
        top = np.diff(np.r_[0, binom.cdf(np.arange(n + 1), n, p) ** k])
        np.testing.assert_allclose(expected_best(p, n, k), (np.arange(n + 1) * top).sum() / n, rtol=1e-9)
    np.testing.assert_allclose(expected_best(0.7, 40, 1), 0.7)
    stated("91.7%", expected_best(0.9, 1000, 20))


@holds("Two intervals overlap: are the models equal?")
@formula(F3)
def check_paired():
    for b, c in [(60, 40), (5, 20), (33, 33), (1, 0)]:
        z = (b - c) / np.sqrt(b + c)
        np.testing.assert_allclose(z**2, chisquare([b, c]).statistic, atol=1e-12)
        assert np.sign(z) == np.sign(b - c)
    random = np.random.default_rng(0)
    b = random.binomial(200, 0.5, 100_000)
    z = (2 * b - 200) / np.sqrt(200)
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02
    assert chisquare([60, 40]).pvalue < 0.05 < binomtest(60, 100).pvalue
    ends = [n / 10_000 + sign * 1.96 * binom.std(10_000, n / 10_000) / 10_000 for n, sign in ((8000, 1), (8040, -1))]
    assert ends[1] < ends[0] and 8040 - 8000 == 70 - 30 and binomtest(70, 100).pvalue < 0.001
    stated("4.0", (70 - 30) / np.sqrt(70 + 30))


@holds("How many samples do I need to see one point at 90%?")
def check_by_hand():
    stated("0.004", binom.std(10_000, 0.8) / 10_000)
    stated("0.78", 100 * 1.96 * binom.std(10_000, 0.8) / 10_000)
    unpaired = np.hypot(binom.std(10_000, 0.8), binom.std(10_000, 0.802)) / 10_000
    stated("0.00565", unpaired)
    stated("0.35", 0.002 / unpaired)
    stated("2.0", (60 - 40) / np.sqrt(60 + 40))
    assert (8020 - 8000) == 60 - 40
    stated("2.5", 100 * 1.96 * binom.std(1000, 0.8) / 1000)
    stated("3,458", np.ceil(1.96**2 * 0.09 / 0.01**2))
    assert 1.96 * binom.std(3458, 0.9) / 3458 <= 0.01 < 1.96 * binom.std(3457, 0.9) / 3457
    stated("1.41", 100 * 1.96 * np.sqrt(2) * binom.std(3458, 0.9) / 3458)


@pitfall("The better architecture was a better recipe")
def check_two_recipes():
    """Published accuracies of two sets of weights of one architecture."""
    accuracy = {weights.name: weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] for weights in ResNet50_Weights}
    stated("76.13", accuracy["IMAGENET1K_V1"])
    stated("80.86", accuracy["IMAGENET1K_V2"])
    assert len({weights.meta["num_params"] for weights in ResNet50_Weights}) == 1
    assert "3995" in ResNet50_Weights.IMAGENET1K_V2.meta["recipe"]
    rough, careful = (np.mean([trained(nn.ReLU, rate, seed) for seed in range(2)]) for rate in (3e-4, 1e-2))
    rival = np.mean([trained(nn.Tanh, 1e-2, seed) for seed in range(2)])
    assert rival - rough > 0.1 and abs(rival - careful) < 0.03  # the gap was the recipe


def trained(activation, rate, seed, steps=80):
    """Test accuracy of a small network on digits."""
    x, y = handwritten_digits()
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), activation(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(steps):
        batch = torch.randint(0, 1000, (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    return (model(x[1000:]).argmax(1) == y[1000:]).float().mean().item()


@holds("Train or eval mode?")
def check_modes():
    x = torch.randn(64, 6) + 3
    for layer in (nn.BatchNorm1d(6), nn.Dropout(0.5)):
        assert not torch.allclose(layer.train()(x), layer.eval()(x), atol=1e-2)


@holds("Two kinds of noise")
@pitfall("My run is half a point below the table")
def check_seeds():
    runs = np.array([trained(nn.ReLU, 1e-2, seed) for seed in range(6)])
    assert runs.max() - runs.min() > 0.005 and runs.max() - runs.mean() > 0.002
    first, second = runs[:3], runs[3:]
    error = np.hypot(first.std(ddof=1), second.std(ddof=1)) / np.sqrt(3)
    assert abs(first.mean() - second.mean()) < 3 * error  # the means agree within their spread
    right = np.arange(797) < round(runs[0] * 797)  # one model, other test samples: other scores
    other = np.random.default_rng(0).choice(right, (200, 797)).mean(1)
    assert other.std() > 0.005


@pitfall("The test set was tuned on")
def check_choice_on_test_data():
    """100 settings that all guess among two classes, on 200 samples of each kind."""
    random = np.random.default_rng(0)
    test, validation = random.binomial(200, 0.5, (2, 500, 100)) / 200
    chosen_on = lambda scores: test[np.arange(500), scores.argmax(1)].mean()
    assert chosen_on(test) > 0.57 and abs(chosen_on(validation) - 0.5) < 0.01


@pitfall("Test images in the training set")
def check_near_duplicates():
    """Three noisy copies of each of 200 images with random labels: what looks like accuracy is memory."""
    random = np.random.default_rng(0)
    images = np.repeat(random.normal(size=(200, 16)), 3, 0) + 0.05 * random.normal(size=(600, 16))
    labels, source = np.repeat(random.integers(0, 10, 200), 3), np.repeat(np.arange(200), 3)
    model = KNeighborsClassifier(1)
    assert cross_val_score(model, images, labels, cv=KFold(5, shuffle=True, random_state=0)).mean() > 0.9
    assert cross_val_score(model, images, labels, cv=GroupKFold(5), groups=source).mean() < 0.2
    near = np.triu(((images[:, None] - images) ** 2).sum(-1) < 1, 1)
    single = ~near.any(0)
    assert single.sum() == 200 and cross_val_score(model, images[single], labels[single], cv=KFold(5)).mean() < 0.2


unexecuted("Papers with Code leads elsewhere", "needs the network to follow the address")
