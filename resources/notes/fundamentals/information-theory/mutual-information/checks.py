import inspect
import math
import warnings

import numpy as np
from scipy.stats import entropy, multivariate_normal, norm, pearsonr, spearmanr
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score, normalized_mutual_info_score
from sklearn.tree import DecisionTreeClassifier

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

DEFINITION = r"I(X;Y) = \sum_{x, y} p(x, y) \log \frac{p(x, y)}{p(x)\,p(y)}"
CONDITIONAL = r"I(X;Y) = I(Y;X) = H(Y) - H(Y \mid X) = H(X) - H(X \mid Y)"
JOINT = r"I(X;Y) = H(X) + H(Y) - H(X, Y), \qquad H(X) + H(Y) = H(X, Y) + I(X;Y)"
NORMALISED = r"""
\mathrm{NMI} = \frac{I(X;Y)}{\tfrac{1}{2}\left(H(X) + H(Y)\right)}, \qquad I = -\tfrac{1}{2} \ln\left(1 - \rho^2\right)
"""

by_definition("Unchanged by")
sourced("Contrastive Predictive Coding, arXiv 1807.03748, section 2.3", "InfoNCE, $N$ candidates")


def labelings():
    """Pairs of label arrays of several sizes, dependent and independent, one of them with empty cells."""
    for n, k, m in [(4, 2, 2), (50, 3, 5), (300, 6, 2), (40, 1, 3)]:
        x = np.random.randint(k, size=n)
        yield x, np.random.randint(m, size=n)
        yield x, (x + (np.random.rand(n) < 0.2)) % m
    yield np.arange(7), np.arange(7)[::-1]


def table(x, y):
    counts = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(counts, (x, y), 1)
    return counts / len(x)


def conditional(joint):
    return sum(row.sum() * entropy(row / row.sum()) for row in joint if row.sum() > 0)


@formula(DEFINITION)
def check_definition():
    for x, y in labelings():
        p = table(x, y)
        px, py = p.sum(1), p.sum(0)
        ours = sum(p[i, j] * math.log(p[i, j] / (px[i] * py[j])) for i, j in zip(*np.nonzero(p)))
        assert math.isclose(ours, mutual_info_score(x, y), abs_tol=1e-10) and ours > -1e-12


@holds("Range", "Why is it symmetric although $H(X \\mid Y)$ and $H(Y \\mid X)$ differ?")
@formula(CONDITIONAL, JOINT)
def check_entropies():
    for x, y in labelings():
        p = table(x, y)
        value, h_x, h_y, h_xy = mutual_info_score(x, y), entropy(p.sum(1)), entropy(p.sum(0)), entropy(p.ravel())
        for form in (mutual_info_score(y, x), h_y - conditional(p), h_x - conditional(p.T), h_x + h_y - h_xy):
            assert math.isclose(form, value, abs_tol=1e-10)
        assert math.isclose(h_x + h_y, h_xy + value, abs_tol=1e-10)
        assert value <= min(h_x, h_y) + 1e-10


@holds("Range")
@formula(NORMALISED)
def check_normalised_and_gaussian():
    for x, y in labelings():
        mean = (entropy(np.bincount(x)) + entropy(np.bincount(y))) / 2
        if mean > 0:
            assert math.isclose(mutual_info_score(x, y) / mean, normalized_mutual_info_score(x, y), abs_tol=1e-10)
    for rho in (-0.9, 0.0, 0.3, 0.99):
        joint = multivariate_normal(cov=[[1, rho], [rho, 1]]).entropy()
        assert math.isclose(2 * multivariate_normal(cov=1).entropy() - joint, -0.5 * math.log(1 - rho**2), abs_tol=1e-9)
    generator = np.random.default_rng(0)
    x = generator.normal(size=5000)
    y = -0.8 * x + 0.6 * generator.normal(size=5000)
    assert abs(mutual_info_regression(x[:, None], y, random_state=0)[0] + 0.5 * math.log(1 - 0.64)) < 0.05


@check
def check_by_hand():
    x, y = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    p = table(x, y)
    h_x, h_y, h_xy = (entropy(part, base=2) for part in (p.sum(1), p.sum(0), p.ravel()))
    assert h_y == 1 and h_xy == 1.5
    stated("0.8113", h_x)
    stated("0.3113", mutual_info_score(x, y) / math.log(2))
    stated("0.2158", mutual_info_score(x, y))
    stated("0.6887", h_xy - h_x)
    stated("0.811", h_x)
    stated("0.311", h_x + h_y - h_xy)
    assert math.isclose(h_xy - h_y, 0.5)


@holds("`mutual_info_score(a, b)`", "Unchanged by")
def check_names_do_not_matter():
    for x, y in labelings():
        renamed = np.random.permutation(50)[x]
        assert math.isclose(mutual_info_score(x, y), mutual_info_score(renamed, y), abs_tol=1e-10)
        assert math.isclose(mutual_info_score(x, y), mutual_info_score([f"c{i}" for i in x], y), abs_tol=1e-10)


@holds("Unchanged by")
def check_estimates_depend_on_the_scale():
    generator = np.random.default_rng(0)
    x = generator.normal(size=2000)
    y = x + generator.normal(size=2000)
    plain, skewed = (
        mutual_info_regression(f(x)[:, None], y, random_state=0)[0] for f in (lambda v: v, lambda v: np.exp(10 * v))
    )
    assert abs(plain - 0.5 * math.log(2)) < 0.05 and skewed < 0.1


@check
def check_constant_labels():
    assert (
        normalized_mutual_info_score([0, 0, 0], [5, 5, 5]) == 1
        and normalized_mutual_info_score([0, 0, 0], [5, 5, 6]) == 0
    )


@pitfall("Independent float columns score ln n")
def check_floats_are_labels():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=100), generator.normal(size=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stated("4.6052", mutual_info_score(a, b))
        assert np.isclose(normalized_mutual_info_score([1.25, 2.25, 1.73], [1.65, 1.43, 1.12]), 1)
    assert mutual_info_regression(a[:, None], b, random_state=0)[0] < 0.1
    three = lambda rows: mutual_info_regression(
        np.array([[1.25], [2.25], [1.73], [0.4]])[:rows], np.array([1.65, 1.43, 1.12, 2.0])[:rows]
    )
    raises(ValueError, lambda: three(3), "n_neighbors")
    assert three(4)[0] < 0.5
    assert mutual_info_classif([[1.25], [2.25], [1.73]], [0, 1, 0]).shape == (1,)  # three rows are enough
    classes = generator.integers(0, 2, 100)
    unrelated, related = mutual_info_classif(np.stack([a, a + 3 * classes], 1), classes, random_state=0)
    assert unrelated < 0.1 and related > 0.4
    score = lambda k: mutual_info_score(*(np.digitize(v, np.quantile(v, np.arange(1, k) / k)) for v in (a, b)))
    assert score(3) < 0.05
    stated("0.5", score(10))


@pitfall("Random labels have a clearly positive score")
def check_random_labels():
    generator = np.random.default_rng(0)
    pairs = [(generator.integers(0, 10, 100), generator.integers(0, 10, 100)) for _ in range(1000)]
    stated("0.21", np.mean([normalized_mutual_info_score(x, y) for x, y in pairs]))
    assert abs(np.mean([adjusted_mutual_info_score(x, y) for x, y in pairs[:300]])) < 0.01
    shuffled = [normalized_mutual_info_score(x, generator.permutation(y)) for x, y in pairs[:100]]
    stated("0.21", np.mean(shuffled))
    real, _ = pairs[0]
    noisy = np.where(generator.random(100) < 0.5, real, generator.integers(0, 10, 100))
    assert normalized_mutual_info_score(real, noisy) > max(shuffled) and adjusted_mutual_info_score(real, noisy) > 0.1


@holds("Mutual information", "Why does the disc diagram fail for three variables?")
@pitfall('"Correlation is zero, so the feature is useless"')
def check_parabola_and_xor():
    generator = np.random.default_rng(0)
    u = generator.uniform(-1, 1, 2000)
    v = u**2 + generator.normal(size=2000) * 0.05
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.05
    stated("1.6", mutual_info_regression(u[:, None], v, random_state=0)[0])
    x, y = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    z = x ^ y
    assert abs(mutual_info_score(x, z)) < 1e-12 and math.isclose(mutual_info_score(2 * x + y, z), math.log(2))
    given_z = np.mean([mutual_info_score(x[z == value], y[z == value]) for value in (0, 1)])
    assert math.isclose((mutual_info_score(x, y) - given_z) / math.log(2), -1)


@pitfall("$H(Y/X)$ read as a quotient")
def check_quotient():
    p = np.array([[0.5, 0.25], [0.0, 0.25]])
    h_x, h_y, h_xy = (entropy(part, base=2) for part in (p.sum(1), p.sum(0), p.ravel()))
    assert abs(h_y - h_y / h_x - 0.3113) > 0.5  # a negative "information"
    stated("0.3113", h_y - (h_xy - h_x))


@pitfall("The estimate for a continuous variable with itself keeps growing")
def check_self_information_grows():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(5000, 2))
    y = x @ [2.0, 0.7] + generator.normal(size=5000)
    ratios = []
    for n in (200, 5000):
        strong, weak = mutual_info_regression(x[:n], y[:n], random_state=0)
        assert strong > weak + 0.1
        ratios.append(strong / mutual_info_regression(y[:n, None], y[:n], random_state=0)[0])
    assert ratios[0] > 1.3 * ratios[1], ratios
    x = np.random.default_rng(0).normal(size=5000)
    stated("4.0", mutual_info_regression(x[:200, None], x[:200], random_state=0)[0])
    stated("7.3", mutual_info_regression(x[:, None], x, random_state=0)[0])


@holds("Can processing raise the information?")
def check_data_processing():
    for x, y in labelings():
        assert mutual_info_score(x, y // 2) <= mutual_info_score(x, y) + 1e-10


@holds("`mutual_info_score(a, b)`", "`normalized_mutual_info_score`", "`mutual_info_regression(X, y)`")
def check_contract():
    for x, y in labelings():
        assert isinstance(mutual_info_score(x, y), float) and -1e-12 <= normalized_mutual_info_score(x, y) <= 1 + 1e-12
    assert math.isclose(mutual_info_score([0, 0, 1, 1], [5, 5, 7, 7]), math.log(2))
    assert inspect.signature(normalized_mutual_info_score).parameters["average_method"].default == "arithmetic"
    assert inspect.signature(mutual_info_regression).parameters["n_neighbors"].default == 3
    assert mutual_info_regression(np.random.randn(30, 4), np.random.randn(30)).shape == (4,)


@holds("Pearson correlation", "Spearman correlation", "Mutual information")
def check_what_each_sees():
    x = np.random.randn(2000)
    curved = np.exp(3 * x)
    assert pearsonr(x, curved)[0] < 0.5 and math.isclose(spearmanr(x, curved)[0], 1)
    for correlation in (pearsonr, spearmanr):
        assert math.isclose(correlation(x, 2 * x + 1)[0], 1) and math.isclose(correlation(x, 1 - 2 * x)[0], -1)
        assert abs(correlation(x, x**2)[0]) < 0.2  # neither linear nor monotone
    assert mutual_info_regression(x[:, None], x**2, random_state=0)[0] > 1
    assert math.isclose(mutual_info_score([0, 0, 1, 1], [0, 0, 1, 1]), mutual_info_score([0, 0, 1, 1], [1, 1, 0, 0]))


@holds("Information gain")
def check_information_gain():
    x, y = np.random.randint(2, size=200), np.random.randint(3, size=200)
    y[x == 1] = np.minimum(y[x == 1], 1)
    tree = DecisionTreeClassifier(criterion="entropy", max_depth=1).fit(x[:, None], y).tree_
    parent, *children = tree.impurity
    gain = parent - np.dot(children, tree.n_node_samples[1:]) / 200
    assert math.isclose(gain, mutual_info_score(x, y) / math.log(2), rel_tol=1e-9)


@holds("InfoNCE, $N$ candidates")
def check_infonce_bound():
    """With the best critic, the true density ratio, of a Gaussian pair: ln N - loss stays below I and below ln N."""
    for rho, N in ((0.6, 16), (0.999, 8), (0.9, 64)):
        truth, values = -0.5 * math.log(1 - rho**2), []
        for _ in range(200):
            x = np.random.randn(N)
            y = rho * x + math.sqrt(1 - rho**2) * np.random.randn(N)
            scores = norm.logpdf(y[None], rho * x[:, None], math.sqrt(1 - rho**2)) - norm.logpdf(y)[None]
            values.append(math.log(N) + np.mean(np.diag(scores) - np.logaddexp.reduce(scores, axis=1)))
        assert max(values) <= math.log(N) and np.mean(values) < truth + 0.02
