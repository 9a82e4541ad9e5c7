import math

import numpy as np
import torch
from scipy.stats import entropy, norm
from sklearn.tree import DecisionTreeClassifier
from torch.distributions import Categorical, Normal, kl_divergence

from note_checks import by_definition, check, formula, holds, pitfall, stated

ENTROPY = r"H(X) = -\sum_{x} p(x) \log p(x), \qquad 0 \le H(X) \le \log K"
CHAIN = r"H(X, Y) = -\sum_{x, y} p(x, y) \log p(x, y) = H(X) + H(Y \mid X)"
MUTUAL = r"I(X;Y) = I(Y;X) = H(Y) - H(Y \mid X) = H(X) - H(X \mid Y) = H(X) + H(Y) - H(X, Y)"
GRADIENT = r"\frac{\partial H}{\partial z_k} = -p_k \left( \log p_k + H \right)"

by_definition("Cost", "Entropy", "Cross-entropy", "KL divergence", "Mutual information", "Gini impurity")


def ours(p):
    """Entropy in nats over all entries, with 0 log 0 = 0."""
    p = np.asarray(p, dtype=float).ravel()
    return -sum(value * math.log(value) for value in p if value > 0)


def conditional(joint):
    """H(Y|X) of a joint table whose rows are the values of X."""
    return sum(row.sum() * ours(row / row.sum()) for row in joint if row.sum() > 0)


def joints():
    for shape in [(2, 2), (3, 5), (1, 4), (6, 2)]:
        joint = np.random.rand(*shape)
        yield joint / joint.sum()
        joint = joint * (np.random.rand(*shape) < 0.6) + np.eye(*shape)
        yield joint / joint.sum()


@holds("Range")
@formula(ENTROPY)
def check_entropy():
    for K in (1, 2, 7, 100):
        for p in (np.random.dirichlet(np.ones(K)), np.ones(K) / K, np.eye(K)[0], np.random.dirichlet(np.full(K, 0.05))):
            value = ours(p)
            assert math.isclose(value, entropy(p), abs_tol=1e-10)
            assert math.isclose(value, Categorical(probs=torch.tensor(p)).entropy().item(), abs_tol=1e-9)
            assert math.isclose(value / math.log(2), entropy(p, base=2), abs_tol=1e-10)
            assert -1e-12 <= value <= math.log(K) + 1e-12
        assert math.isclose(ours(np.ones(K) / K), math.log(K), abs_tol=1e-12) and ours(np.eye(K)[0]) == 0


@formula(CHAIN)
def check_chain_rule():
    for joint in joints():
        assert math.isclose(ours(joint), entropy(joint.ravel()), abs_tol=1e-10)
        assert math.isclose(entropy(joint.ravel()), entropy(joint.sum(1)) + conditional(joint), abs_tol=1e-10)


@formula(MUTUAL)
def check_mutual_information():
    from sklearn.metrics import mutual_info_score

    for joint in joints():
        counts = np.random.multinomial(500, joint.ravel()).reshape(joint.shape)
        joint = counts / counts.sum()
        value = mutual_info_score(None, None, contingency=counts)
        h_x, h_y, h_xy = entropy(joint.sum(1)), entropy(joint.sum(0)), entropy(joint.ravel())
        for form in (h_y - conditional(joint), h_x - conditional(joint.T), h_x + h_y - h_xy):
            assert math.isclose(form, value, abs_tol=1e-9) and form > -1e-12


@formula(GRADIENT)
def check_gradient():
    for K in (2, 5, 30):
        z = torch.randn(K, dtype=torch.float64, requires_grad=True)
        Categorical(logits=z).entropy().backward()
        p = np.exp(z.detach().numpy())
        p /= p.sum()
        np.testing.assert_allclose(-p * (np.log(p) + ours(p)), z.grad.numpy(), atol=1e-12)


@holds("Unit")
def check_by_hand():
    p = [0.5, 0.25, 0.25]
    stated("1.5", entropy(p, base=2))
    stated("1.0397", Categorical(probs=torch.tensor(p)).entropy())
    stated("1.5850", entropy([1, 1, 1], base=2))
    stated("1.4427", 1 / math.log(2))
    stated("0.6931", math.log(2))


@check
def check_questions_about_many_draws():
    def questions(draws, p=0.9):  # of the best (Huffman) scheme, per draw
        tree = sorted(p ** (draws - i.bit_count()) * (1 - p) ** i.bit_count() for i in range(2**draws))
        total = 0.0
        while len(tree) > 1:
            total += tree[0] + tree[1]
            tree = sorted([*tree[2:], tree[0] + tree[1]])
        return total / draws

    assert math.isclose(questions(1), 1) and 1 < questions(6) / entropy([0.9, 0.1], base=2) < 1.1


@holds("`Categorical(logits=z).entropy()`", "`scipy.stats.entropy(pk)`", "Unit")
def check_contract():
    assert entropy(np.ones((4, 6, 2))).shape == (6, 2) and np.allclose(entropy([3, 1]), entropy([0.75, 0.25]))
    assert Categorical(logits=torch.zeros(3, 5, 7)).entropy().shape == (3, 5)
    assert Categorical(logits=torch.zeros(7)).entropy().shape == ()
    for dtype in (torch.int64, torch.float16, torch.float32, torch.float64):
        for name in ("logits", "probs"):
            value = Categorical(**{name: torch.ones(3, 7, dtype=dtype)}).entropy()
            assert value.is_floating_point() and abs(value - math.log(7)).max() < 0.01
    assert entropy(np.ones((4, 6))).shape == (6,)
    stated("1.3863", entropy([1, 1, 1, 1]))
    assert math.isclose(
        Categorical(probs=torch.tensor([2.0, 1.0, 1.0])).entropy().item(), 1.5 * math.log(2), rel_tol=1e-6
    )
    p, q = np.array([0.2, 0.8]), np.array([0.5, 0.5])
    assert math.isclose(entropy(p, q), (p * np.log(p / q)).sum())


@pitfall("SciPy answers 1.3863 for [1, 1, 1, 1]")
def check_normalised_input():
    stated("1.3863", entropy([1, 1, 1, 1]))
    samples = np.array([7, 7, 7, 9])
    assert not math.isclose(entropy(samples), entropy([0.75, 0.25]), rel_tol=0.1)
    assert entropy(np.unique([1, 1, 1, 1], return_counts=True)[1]) == 0
    assert math.isclose(entropy(np.unique(samples, return_counts=True)[1]), entropy([0.75, 0.25]))
    rows = np.random.dirichlet(np.ones(4), 3)
    assert entropy(rows).shape == (4,) and np.allclose(entropy(rows, axis=-1), [ours(row) for row in rows])


@pitfall("The entropy is NaN as soon as a probability is 0")
def check_zero_probability():
    p = torch.tensor([0.5, 0.5, 0.0])
    assert torch.isnan(-(p * p.log()).sum())
    for value in (torch.special.entr(p).sum(), Categorical(logits=torch.tensor([0.0, 0.0, -torch.inf])).entropy()):
        assert math.isclose(float(value), math.log(2), rel_tol=1e-6)
    shifted = torch.tensor([0.1, 0.9])  # what a constant in the logarithm changes
    assert not math.isclose(-(shifted * (shifted + 0.01).log()).sum().item(), ours([0.1, 0.9]), rel_tol=0.01)
    assert (p * (p + 0.01).log()).isfinite().all()
    for function, finite in (
        (lambda z: Categorical(logits=z).entropy(), True),
        (lambda z: torch.special.entr(z.softmax(-1)).sum(), False),
    ):
        z = torch.tensor([0.0, 1.0, -torch.inf], requires_grad=True)
        function(z).backward()
        assert z.grad.isfinite().all() == finite
    z = torch.tensor([0.0, 1.0], requires_grad=True)
    Categorical(logits=z).entropy().backward()
    masked = torch.tensor([0.0, 1.0, -torch.inf], requires_grad=True)
    Categorical(logits=masked).entropy().backward()
    assert torch.allclose(masked.grad, torch.cat([z.grad, torch.zeros(1)]))


@pitfall("The value is 0.6931 times the expected one")
def check_units_of_trees():
    tree = DecisionTreeClassifier(criterion="entropy").fit([[0], [1], [2], [3]], [0, 1, 0, 1])
    assert tree.tree_.impurity[0] == 1.0
    for nats in (Categorical(probs=torch.tensor([0.5, 0.5])).entropy().item(), float(entropy([2, 2]))):
        stated("0.6931", nats / tree.tree_.impurity[0])
        assert math.isclose(nats / math.log(2), 1, rel_tol=1e-6)
    assert entropy([2, 2], base=2) == 1
    assert math.isclose(math.exp(entropy(np.ones(6))), 6)  # perplexity


@holds("Range")
@pitfall("A negative entropy")
def check_density():
    stated("−0.8836", Normal(0.0, 0.1).entropy())
    for sigma in (0.1, 2.0):
        assert math.isclose(norm(scale=sigma).entropy(), 0.5 * math.log(2 * math.pi * math.e * sigma**2))
    stated("2.3026", norm(scale=1.0).entropy() - norm(scale=0.1).entropy())
    differences = [norm(scale=3 * unit).entropy() - norm(scale=unit).entropy() for unit in (0.1, 1.0)]
    divergences = [kl_divergence(Normal(0.0, unit), Normal(unit, 3 * unit)).item() for unit in (0.1, 1.0)]
    mixed = norm(scale=3).entropy() - norm(scale=0.1).entropy()  # metres against another unit
    assert mixed > differences[0] + 2
    for values in (differences, divergences):
        assert values[0] > 0 and math.isclose(*values, rel_tol=1e-6)


@pitfall("Entropy from few samples is too low")
def check_small_samples():
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(20, np.ones(16) / 16, 20000)
    values = entropy(drawn, base=2, axis=1)
    stated("3.36", np.mean(values))
    corrected = values + ((drawn > 0).sum(1) - 1) / (2 * 20) / math.log(2)
    assert 4 - np.mean(values) > 2 * (4 - np.mean(corrected)) > 0.2
    assert np.mean([entropy(np.bincount(generator.integers(0, 16, 2000)), base=2) for _ in range(100)]) > 3.99
    assert math.log2(16) == 4


@holds(
    "Why is the uniform distribution the maximum?",
    "Can conditioning raise the entropy?",
    "Does minimising cross-entropy minimise the entropy of the labels?",
)
def check_questions():
    for K in (2, 5):
        p = np.random.dirichlet(np.ones(K))
        assert math.isclose(math.log(K) - entropy(p), entropy(p, np.ones(K) / K))
    joint = np.array([[0.8, 0.1], [0.0, 0.1]])
    assert entropy(joint[:, 1] / joint[:, 1].sum()) > entropy(joint.sum(1)) > conditional(joint.T)
    p, q = np.random.dirichlet(np.ones(4)), np.random.dirichlet(np.ones(4))
    cross = torch.nn.functional.cross_entropy(torch.tensor(np.log(q)), torch.tensor(p)).item()
    assert math.isclose(cross, entropy(p) + entropy(p, q))
    z = torch.tensor(np.log(q), requires_grad=True)
    for _ in range(300):  # training ends at H(p), not at 0
        loss = torch.nn.functional.cross_entropy(z, torch.tensor(p))
        z = (z - torch.autograd.grad(loss, z)[0]).detach().requires_grad_()
    learned = z.softmax(0).detach().numpy()
    assert abs(loss.item() - entropy(p)) < 1e-2 * cross and entropy(p, learned) < 0.1 * entropy(p, q)


@check
def check_figure_numbers():
    joint = np.array([[0.5, 0.25], [0.0, 0.25]])
    h_x, h_y, h_xy = (entropy(p, base=2) for p in (joint.sum(1), joint.sum(0), joint.ravel()))
    assert math.isclose(h_xy, 1.5) and math.isclose(h_xy - h_y, 0.5)
    stated("0.311", h_x + h_y - h_xy)
    stated("0.689", h_xy - h_x)
