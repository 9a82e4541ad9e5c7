import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated
from trainings import descend

CONCATENATION = r"""
W \begin{bmatrix} x \\ y \end{bmatrix} = W_x x + W_y y, \qquad W = \begin{bmatrix} W_x & W_y \end{bmatrix}
"""
BILINEAR = r"""
z_k = \sum_{i=1}^{A} \sum_{j=1}^{B} x_i\, T_{kij}\, y_j, \qquad z = P \left( U^\top x \odot V^\top y \right)
"""
GATED = r"""
g = \sigma\left( W_g \begin{bmatrix} x \\ y \end{bmatrix} \right), \qquad h = g \odot \tanh(W_x x) + (1 - g) \odot \tanh(W_y y)
"""
LATE = r"""
p_{\mathrm{mean}}(c) = \frac{1}{M} \sum_{m=1}^{M} p_m(c), \qquad
p_{\mathrm{product}}(c) \propto p(c)^{1-M} \prod_{m=1}^{M} p_m(c)
"""

by_definition("Defaults", "Joint or coordinated representation?")
sourced("Baltrušaitis et al., arXiv 1705.09406, section 3", "Joint or coordinated representation?")


def weights(layer):
    return layer.weight.detach().numpy()


@formula(CONCATENATION)
def check_concatenation_is_a_sum():
    for a, b, f in ((2, 3, 4), (1, 7, 2)):
        layer = nn.Linear(a + b, f, bias=False).double()
        x, y = torch.randn(a, dtype=torch.float64), torch.randn(b, dtype=torch.float64)
        ours = weights(layer)[:, :a] @ x.numpy() + weights(layer)[:, a:] @ y.numpy()
        np.testing.assert_allclose(ours, layer(torch.cat([x, y])).detach().numpy(), rtol=1e-9)


@formula(BILINEAR)
def check_bilinear_and_its_low_rank_form():
    for a, b, f, r in ((2, 3, 4, 2), (5, 1, 3, 6)):
        layer = nn.Bilinear(a, b, f, bias=False).double()
        x, y = torch.randn(a, dtype=torch.float64), torch.randn(b, dtype=torch.float64)
        T = weights(layer)
        ours = [sum(x[i].item() * T[k, i, j] * y[j].item() for i in range(a) for j in range(b)) for k in range(f)]
        np.testing.assert_allclose(ours, layer(x, y).detach().numpy(), rtol=1e-9)
        P, U, V = np.random.randn(f, r), np.random.randn(a, r), np.random.randn(b, r)
        with torch.no_grad():
            layer.weight.copy_(torch.einsum("kr,ir,jr->kij", *(torch.tensor(m) for m in (P, U, V))))
        np.testing.assert_allclose(
            P @ ((U.T @ x.numpy()) * (V.T @ y.numpy())), layer(x, y).detach().numpy(), rtol=1e-8, atol=1e-12
        )


@formula(GATED)
def check_gated_unit():
    a, b, f = 3, 5, 4
    gate, left, right = (nn.Linear(n, f, bias=False).double() for n in (a + b, a, b))
    x, y = torch.randn(6, a, dtype=torch.float64), torch.randn(6, b, dtype=torch.float64)
    library = (
        torch.lerp(torch.tanh(right(y)), torch.tanh(left(x)), torch.sigmoid(gate(torch.cat([x, y], 1))))
        .detach()
        .numpy()
    )
    for n in range(6):
        xn, yn = x[n].numpy(), y[n].numpy()
        g = 1 / (1 + np.exp(-weights(gate) @ np.concatenate([xn, yn])))
        np.testing.assert_allclose(
            g * np.tanh(weights(left) @ xn) + (1 - g) * np.tanh(weights(right) @ yn), library[n], rtol=1e-9
        )


@formula(LATE)
def check_late_fusion():
    """The product equals Bayes' rule on the joint table when modalities are independent given the class."""
    torch.manual_seed(0)
    for M, C in ((2, 2), (3, 4)):
        prior = np.random.dirichlet(np.ones(C))
        tables = [np.random.dirichlet(np.ones(5), size=C) for _ in range(M)]  # p(x_m | c)
        seen = [2, 0, 4][:M]
        joint = prior * np.prod([t[:, s] for t, s in zip(tables, seen)], axis=0)
        single = [prior * t[:, s] / (prior * t[:, s]).sum() for t, s in zip(tables, seen)]
        product = prior ** (1 - M) * np.prod(single, axis=0)
        np.testing.assert_allclose(product / product.sum(), joint / joint.sum(), rtol=1e-9)
        logits = sum(torch.tensor(p).log() for p in single) + (1 - M) * torch.tensor(prior).log()
        np.testing.assert_allclose(product / product.sum(), logits.softmax(0).numpy(), rtol=1e-9)
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(torch.ones(M)),
            torch.distributions.Categorical(torch.tensor(np.array(single))),
        )
        np.testing.assert_allclose(sum(single) / M, mixture.log_prob(torch.arange(C)).exp().numpy(), rtol=1e-6)


def fused(*rows):
    product = np.prod(rows, axis=0)
    return np.mean(rows, axis=0)[0], (product / product.sum())[0]


@check
def check_by_hand():
    mean, product = fused((0.8, 0.2), (0.7, 0.3))
    stated("0.75", mean)
    stated("0.9032", product)
    mean, product = fused((0.8, 0.2), (0.8, 0.2))
    stated("0.8", mean)
    stated("0.9412", product)


@holds("Parameters")
def check_parameters():
    count = lambda layer: sum(p.numel() for p in layer.parameters())
    stated("262,400", count(nn.Linear(1024, 256)))
    stated("67,109,120", count(nn.Bilinear(512, 512, 256, device="meta")))


@holds("Cross-attention (joint encoders)")
def check_attention_over_masked_keys_only_is_nan():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x, y = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    mask = torch.tensor([[False, True, True, True]])
    assert attention(x, y, y, key_padding_mask=mask)[0].isfinite().all()
    assert attention(x, y, y, key_padding_mask=torch.ones_like(mask))[0].isnan().all()
    keys = torch.cat([torch.zeros(1, 1, 8, requires_grad=True), y], 1)  # a learned key is kept, the modality is masked
    assert attention(x, keys, keys, key_padding_mask=F.pad(torch.ones_like(mask), (1, 0)))[0].isfinite().all()
    assert (
        attention(x, y, y, key_padding_mask=torch.ones_like(mask), need_weights=False)[0].isfinite().all()
    )  # hence "by default"


def accuracy(logit, label):
    return ((logit.squeeze(1) > 0) == (label > 0)).float().mean().item()


def fitted(inputs, label, network, rate=1e-2, steps=100):
    """Trains with all of the data in each step; `inputs` is called for each."""
    optimizer = torch.optim.Adam(network.parameters(), rate)
    descend(optimizer, lambda: F.binary_cross_entropy_with_logits(network(inputs()).squeeze(1), label), steps)
    return network.requires_grad_(False)


def perceptron(features):
    return nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 1))


@pitfall("Fusion is no better than the best single modality")
def check_the_overfitting_modality_silences_the_other():
    torch.manual_seed(0)

    def draw(n):
        y = torch.randn(n, 2)
        label = ((y[:, 0] * y[:, 1] > 0) != (torch.rand(n) < 0.1)).float()
        x = torch.randn(n, 100)  # one of 100 numbers tells something: easy to memorize
        x[:, 0] += (2 * label - 1) * 1.5
        return x, y, label

    (x, y, label), held_out, (x_test, y_test, test) = draw(400), draw(200), draw(5000)
    one, two = fitted(lambda: x, label, perceptron(100)), fitted(lambda: y, label, perceptron(2))
    best = max(accuracy(one(x_test), test), accuracy(two(y_test), test))
    both = torch.cat([x_test, y_test], 1)
    joint = accuracy(fitted(lambda: torch.cat([x, y], 1), label, perceptron(102))(both), test)
    kept = lambda: torch.cat([x * (torch.rand(400, 1) > 0.5), y], 1)
    dropped = accuracy(fitted(kept, label, perceptron(102))(both), test)
    logits = lambda a, b: torch.cat([one(a), two(b)], 1).numpy()
    stack = LogisticRegression().fit(logits(*held_out[:2]), held_out[2].numpy())
    combined = stack.score(logits(x_test, y_test), test.numpy())
    assert joint < best - 0.04 and dropped > joint + 0.02 and combined > max(best - 0.02, joint + 0.05)


@check
def check_branches_apart_lose_an_interaction():
    torch.manual_seed(0)
    x, y = torch.randn(3000, 4), torch.randn(3000, 4)
    label = (x[:, 0] * y[:, 0] > 0).float()
    both, train, held, test = torch.cat([x, y], 1), slice(0, 1000), slice(1000, 1500), slice(1500, 3000)
    one, two = (fitted(lambda: z[train], label[train], perceptron(4)) for z in (x, y))
    logits = torch.cat([one(x), two(y)], 1).numpy()
    combined = LogisticRegression().fit(logits[held], label[held]).score(logits[test], label[test])
    joint = accuracy(fitted(lambda: both[train], label[train], perceptron(8))(both[test]), label[test])
    assert combined < 0.6 and joint > 0.8, (combined, joint)


@holds("Concatenation, then MLP")
@pitfall("It fails when a modality is missing")
def check_zeros_never_seen():
    torch.manual_seed(0)

    def draw(n):
        label = (torch.rand(n) < 0.5).float()
        x, y = (torch.randn(n, 4) + 4 + 1.5 * label[:, None] for _ in range(2))
        return x, y, label

    (x, y, label), (x_test, _, test) = draw(1000), draw(2000)
    joined = lambda a, b, seen: torch.cat([a, b * seen, seen], 1)  # with a mask
    ones, absent = torch.ones(1000, 1), torch.zeros(2000, 1)
    plain = fitted(lambda: joined(x, y, ones), label, perceptron(9))
    some = lambda: (torch.rand(1000, 1) > 0.3).float()
    trained = fitted(lambda: joined(x, y, some()), label, perceptron(9))
    alone = fitted(lambda: x, label, perceptron(4))  # late fusion over what is there
    without = joined(x_test, torch.zeros(2000, 4), absent)
    assert accuracy(plain(without), test) < 0.7
    assert accuracy(trained(without), test) > 0.9 and accuracy(alone(x_test), test) > 0.9
    missing = torch.zeros(4, requires_grad=True)  # the learned vector in place of the mask
    body = perceptron(8)
    optimizer = torch.optim.Adam([missing, *body.parameters()], 1e-2)
    for _ in range(100):
        logit = body(torch.cat([x, torch.where(some() > 0, y, missing)], 1))
        loss = F.binary_cross_entropy_with_logits(logit.squeeze(1), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert accuracy(body(torch.cat([x_test, missing.expand(2000, 4)], 1)), test) > 0.9


@holds("When is the mean better than the product?")
@pitfall("Combined confidence is too high")
def check_shared_errors():
    torch.manual_seed(0)

    def draw(n):
        label = torch.randint(0, 2, (n,))
        shared = torch.randn(n) + 2.0 * label - 1  # both modalities see the same evidence, each is calibrated
        return F.log_softmax(torch.stack([-shared, shared], 1), 1), label

    single, label = draw(20000)
    right = (single.argmax(1) == label).double().mean()
    confidence = lambda log_p: log_p.log_softmax(1).exp().max(1).values.double().mean()
    assert abs(confidence(single) - right) < 0.01 and confidence(2 * single) > right + 0.05
    mean = ((single.exp() + single.exp()) / 2).log()
    assert abs(confidence(mean) - right) < 0.01
    apart = torch.randn(2, 20000) + 2.0 * label - 1  # independent evidence: each is calibrated, their mean is too low
    probability = (2 * apart).sigmoid().mean(0)
    decided = ((probability > 0.5) == (label > 0)).double().mean()
    assert torch.maximum(probability, 1 - probability).double().mean() < decided - 0.05
    validation, truth = draw(5000)
    exponents = np.linspace(0.1, 1.5, 29)
    best = exponents[np.argmin([F.cross_entropy(e * 2 * validation, truth).item() for e in exponents])]
    assert abs(confidence(best * 2 * single) - right) < 0.02
    prior = torch.tensor([0.8, 0.15, 0.05]).log()  # unequal: the exponent of the prior is fitted too
    label = torch.multinomial(prior.exp(), 8000, True)
    one = (torch.randn(8000, 3) + 1.5 * F.one_hot(label, 3)) * 1.5 + prior
    two, (half, rest) = one.log_softmax(1), (slice(4000), slice(4000, None))
    exponent = torch.tensor([1.0, -1.0], requires_grad=True)  # of both predictions, equal here, and of the prior
    fused = lambda e, part: (2 * e[0] * two + e[1] * prior)[part]
    for free in (0.0, 1.0):
        optimizer = torch.optim.Adam([exponent], 0.05)
        for _ in range(100):
            optimizer.zero_grad()
            F.cross_entropy(fused(exponent, half), label[half]).backward()
            exponent.grad[1] *= free
            optimizer.step()
        p = fused(exponent.detach(), rest)
        excess = confidence(p) - (p.argmax(1) == label[rest]).double().mean()
        loss = F.cross_entropy(p, label[rest]) - F.cross_entropy(two[rest], label[rest])
        assert (abs(excess) < 0.03 and loss < 0.01) if free else loss > 0.02, (free, excess, loss)
    three = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.001, 0.999]])  # the veto
    assert three.mean(0).argmax() == 0 and three.prod(0).argmax() == 1
    truth = 2.0 * torch.randint(0, 2, (20000,)) - 1
    evidence = torch.randn(3, 20000) + truth  # three models; the first is overconfident
    logits = 2 * evidence * torch.tensor([[20.0], [1.0], [1.0]])
    right = lambda decision: (decision == (truth > 0)).float().mean()
    assert right(logits.sigmoid().mean(0) > 0.5) > right(logits.sum(0) > 0) + 0.03


@pitfall("A bilinear layer exhausts memory")
def check_low_rank():
    count = lambda *layers: sum(p.numel() for layer in layers for p in layer.parameters())
    full = count(nn.Bilinear(4096, 4096, 1024, device="meta"))
    assert 4 * full > 60e9  # bytes
    projections = [nn.Linear(4096, 512, bias=False, device="meta") for _ in range(2)]
    low = count(*projections, nn.Linear(512, 1024, device="meta"))
    assert 4 * low < 20e6


@pitfall("Concatenation ignores one input")
def check_normalizing_brings_the_input_back():
    torch.manual_seed(0)
    x, y = 100 * torch.randn(1200, 4), torch.randn(1200, 4)
    label = (y[:, 0] > 0).float()
    normal = lambda z: (z - z.mean(0)) / z.std(0)

    def nearest(a, b):
        z = torch.cat([a, b], 1)
        return (label[torch.cdist(z[1000:], z[:1000]).argmin(1)] == label[1000:]).float().mean()

    def linear(a, b, rate):
        torch.manual_seed(0)
        z, layer = torch.cat([a, b], 1), nn.Linear(8, 1)
        optimizer = torch.optim.SGD(layer.parameters(), rate)
        for _ in range(100):
            loss = F.binary_cross_entropy_with_logits(layer(z[:1000]).squeeze(1), label[:1000])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return accuracy(layer(z[1000:]), label[1000:])

    assert nearest(x, y) < 0.6 and nearest(normal(x), normal(y)) > 0.7
    assert all(linear(x, y, rate) < 0.7 for rate in (1e-4, 1e-3, 1e-2, 0.1))
    assert linear(normal(x), normal(y), 1.0) > 0.95


@check
def check_scale_dominates_distance_and_gradient():
    torch.manual_seed(0)
    x, y = 100 * torch.randn(200, 4), torch.randn(200, 4)
    layer = nn.Linear(8, 1)
    nn.functional.binary_cross_entropy_with_logits(
        layer(torch.cat([x, y], 1)).squeeze(1), (y[:, 0] > 0).float()
    ).backward()
    gradient = layer.weight.grad.abs()[0]
    assert gradient[:4].mean() > 10 * gradient[4:].mean()
    assert nn.Linear(4, 16)(x).std() > 30 * nn.Linear(4, 16)(y).std()  # projected, not normalized
    assert torch.equal(
        torch.cdist(torch.cat([x, y], 1), torch.cat([x, y], 1)).argsort(1)[:20, :2],
        torch.cdist(x, x).argsort(1)[:20, :2],
    )


@holds("Input", "Output", "Same in train and eval?", "Cost")
def check_contract():
    x, y = torch.randn(5, 3), torch.randn(5, 7)
    joint, classes = nn.Linear(10, 4), nn.Linear(4, 6)
    assert joint(torch.cat([x, y], -1)).shape == (5, 4) and joint(torch.cat([x[0], y[0]], -1)).shape == (4,)
    assert torch.allclose(classes(joint(torch.cat([x, y], -1))).softmax(1).sum(1), torch.ones(5))
    assert nn.Bilinear(3, 7, 4)(x, y).shape == (5, 4)
    drop, ones = nn.Dropout1d(), torch.ones(1, 1000, 3)  # a channel is one modality here
    assert (drop.train()(ones) == 0).any() and (drop.eval()(ones) == 1).all()
    one, two, both = FlopCounterMode(display=False), FlopCounterMode(display=False), FlopCounterMode(display=False)
    left, right = nn.Linear(3, 6), nn.Linear(7, 6)
    with one:
        left(x)
    with two:
        right(y)
    with both:
        (left(x).softmax(1) + right(y).softmax(1)) / 2
    assert both.get_total_flops() == one.get_total_flops() + two.get_total_flops()
    attention = nn.MultiheadAttention(8, 1, batch_first=True)
    assert attention(torch.randn(1, 11, 8), *2 * [torch.randn(1, 13, 8)])[1].numel() == 11 * 13


def mixed(fuse, a, b):
    """How far a fusion is from a sum of a part for each modality: 0 where none interacts."""
    x, y = torch.randn(2, a), torch.randn(2, b)
    return (fuse(x[0], y[0]) - fuse(x[0], y[1]) - fuse(x[1], y[0]) + fuse(x[1], y[1])).abs().max().item()


@holds(
    "Late: mean, product",
    "Concatenation, then MLP",
    "Gated",
    "Bilinear, low rank",
    "Common space (CLIP)",
    "Why can an MLP on the concatenation interact?",
)
def check_where_they_meet():
    mlp, line = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 1)), nn.Linear(7, 1)
    p, q, gate, left, right = nn.Linear(3, 1), nn.Linear(4, 1), nn.Linear(7, 5), nn.Linear(3, 5), nn.Linear(4, 5)
    late = lambda x, y: (p(x).sigmoid() + q(y).sigmoid()) / 2
    product = lambda x, y: F.logsigmoid(p(x)) + F.logsigmoid(q(y))
    assert mixed(late, 3, 4) < 1e-6 and mixed(product, 3, 4) < 1e-5
    assert mixed(lambda x, y: line(torch.cat([x, y])), 3, 4) < 1e-5
    assert max(mixed(lambda x, y: mlp(torch.cat([x, y])), 3, 4) for _ in range(20)) > 1e-3

    def gated(x, y):
        g = gate(torch.cat([x, y])).sigmoid()
        return g * left(x).tanh() + (1 - g) * right(y).tanh()

    x, y = torch.randn(3), torch.randn(4)
    ends = torch.stack([left(x).tanh(), right(y).tanh()])
    assert (gated(x, y) >= ends.amin(0) - 1e-6).all() and (gated(x, y) <= ends.amax(0) + 1e-6).all()
    assert mixed(gated, 3, 4) > 1e-3
    full, low = nn.Bilinear(3, 4, 5, bias=False), lambda x, y: left.weight @ x * (right.weight @ y)
    assert (full(x, 0 * y) == 0).all() and (low(x, 0 * y) == 0).all()
    assert mixed(full, 3, 4) > 1e-3 and mixed(low, 3, 4) > 1e-3
    vectors = lambda seen, tower: F.normalize(tower(seen), dim=0)  # each without the other
    assert vectors(x, left).shape == vectors(y, right).shape
    assert mixed(lambda x, y: vectors(x, left) @ vectors(y, right), 3, 4) > 1e-3


@holds("Gated")
def check_a_gated_unit_trained_with_a_stand_in():
    torch.manual_seed(0)
    label = (torch.rand(1000) < 0.5).float()
    x, y = (torch.randn(1000, 4) + 4 + 1.5 * label[:, None] for _ in range(2))
    gate, left, right, out = nn.Linear(8, 16), nn.Linear(4, 16), nn.Linear(4, 16), nn.Linear(16, 1)
    missing = torch.zeros(4, requires_grad=True)

    def network(a, b):
        g = gate(torch.cat([a, b], 1)).sigmoid()
        return out(g * left(a).tanh() + (1 - g) * right(b).tanh()).squeeze(1)

    weights = (p for layer in (gate, left, right, out) for p in layer.parameters())
    optimizer = torch.optim.Adam([missing, *weights], 1e-2)
    some = lambda: torch.where(torch.rand(1000, 1) > 0.3, y, missing)
    descend(optimizer, lambda: F.binary_cross_entropy_with_logits(network(x, some()), label), 200)
    assert ((network(x, missing.expand(1000, 4)) > 0) == (label > 0)).float().mean() > 0.85


@holds("How are sequences of different rates joined?")
def check_two_rates():
    sound, picture = torch.randn(1, 8, 100), torch.randn(1, 8, 25)
    assert torch.cat([F.interpolate(sound, size=25, mode="linear"), picture], 1).shape == (1, 16, 25)
    attention, time = nn.MultiheadAttention(8, 2, batch_first=True), lambda n: torch.linspace(0, 1, n)[:, None]
    heard = attention(picture.mT + time(25), sound.mT + time(100), sound.mT)[0]
    without = attention(picture.mT, sound.mT, sound.mT)[0]
    assert heard.shape == without.shape == (1, 25, 8) and not torch.allclose(heard, without, atol=1e-4)
