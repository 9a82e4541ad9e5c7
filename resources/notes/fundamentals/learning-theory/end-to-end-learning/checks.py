import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, stated
from trainings import descend, handwritten_digits

CHAIN = r"""
\frac{\partial L}{\partial \theta_1} = \left( \frac{\partial f}{\partial \theta_1} \right)^{\!\top} \left( \frac{\partial g}{\partial h} \right)^{\!\top} \frac{\partial L}{\partial \hat{y}}
"""
PIPELINE = r"p = \prod_{k=1}^{K} p_k"

by_definition("Labels", "Does end to end mean no human design?", "Engineered features and a simple model")


@formula(CHAIN)
def check_chain_rule():
    for inputs, width, outputs in ((3, 2, 4), (1, 1, 1), (5, 6, 2)):
        first, second = nn.Linear(inputs, width, bias=False).double(), nn.Linear(width, outputs, bias=False).double()
        x, y = torch.randn(inputs).double(), torch.randn(outputs).double()
        (0.5 * (second(first(x).tanh()) - y) ** 2).sum().backward()
        A, B, xn = first.weight.detach().numpy(), second.weight.detach().numpy(), x.numpy()
        h = np.tanh(A @ xn)
        dL = B @ h - y.numpy()
        df = np.einsum("a,ab,c->abc", 1 - h**2, np.eye(width), xn).reshape(width, -1)
        np.testing.assert_allclose((df.T @ (B.T @ dL)).reshape(width, inputs), first.weight.grad.numpy(), atol=1e-10)


# verified: formula-only (independent stages are simulated)
@formula(PIPELINE)
def check_product_of_stages():
    rng = np.random.default_rng(0)
    for rates in ((0.95, 0.95, 0.95), (0.5, 0.9), (0.8, 0.7, 0.9, 0.99)):
        success = (rng.random((200_000, len(rates))) < np.array(rates)).all(1)
        assert abs(success.mean() - math.prod(rates)) < 0.005
    stated("0.857", 0.95**3)


@check
def check_by_hand():
    first, second = torch.tensor(3.0, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    loss = 0.5 * (second * (first * 2.0) - 1.0) ** 2
    loss.backward()
    stated("3", second.detach() * first.detach() * 2.0)
    stated("2", first.grad)
    stated("12", second.grad)


def learned(link, steps=150):
    """Accuracy of two stages on digits, of which the first sees only what comes back through the link; does the first move?"""
    torch.manual_seed(0)
    x, y = handwritten_digits()
    first, second = nn.Linear(64, 6), nn.Linear(6, 10)
    before = first.weight.detach().clone()
    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], 0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        passed, extra = link(first(x), lambda h: F.cross_entropy(second(h), y, reduction="none"))
        (F.cross_entropy(second(passed), y) + extra).backward()
        optimizer.step()
    right = (second(link(first(x), lambda h: 0)[0]).argmax(1) == y).float().mean().item()
    return right, not torch.equal(first.weight, before)


def one_hot(h):
    return F.one_hot(h.argmax(1), h.shape[1]).float()


def straight_through(hard, soft):
    return hard + soft - soft.detach()


def sampled(h, losses):
    """Policy gradient: a draw goes on, its log-probability is weighted by its loss against the batch mean."""
    drawn = torch.distributions.Categorical(logits=h)
    passed = F.one_hot(action := drawn.sample(), h.shape[1]).float()
    cost = losses(passed)
    if torch.is_tensor(cost):
        cost = cost.detach()
        return passed, ((cost - cost.mean()) * drawn.log_prob(action)).mean()
    return one_hot(h), 0


@holds("Requirement", "Can a stage without gradient be part of it?")
@pitfall("The first stage does not learn")
def check_first_stage():
    cuts = (
        lambda h, _: (h.detach(), 0),
        lambda h, _: (torch.tensor([[value.item() for value in row] for row in h[:1]]).expand(len(h), -1), 0),
        lambda h, _: (torch.tensor(h.detach().numpy()), 0),
        lambda h, _: (one_hot(h), 0),
        lambda h, _: (h.round(), 0),
    )
    for cut in cuts:
        assert not learned(cut, steps=3)[1]
    whole, moved = learned(lambda h, _: (h, 0))
    assert moved and whole > 0.9
    stuck, _ = learned(cuts[3])
    assert stuck < 0.45
    for cure in (lambda h, _: (h.softmax(1), 0), lambda h, _: (straight_through(one_hot(h), h.softmax(1)), 0), sampled):
        right, moved = learned(cure)
        assert moved and right > stuck + 0.1
    rounded, _ = learned(cuts[4])
    through, moved = learned(lambda h, _: (straight_through(h.round(), h), 0))
    assert moved and through > rounded + 0.05


def fitted(model, x, y, steps=200, rate=0.01):
    optimizer = torch.optim.Adam(model.parameters(), rate)
    descend(optimizer, lambda: F.cross_entropy(model(x), y), steps)
    return model


@holds("Pipeline", "Pretrained stages, joint fine-tuning")
@pitfall('"End to end is always better"')
def check_few_pairs():
    """Even or odd from 20 answered images; for the stage that reads the digit there are 800 labels."""
    x, digit = handwritten_digits()
    order = torch.randperm(len(x))
    x, digit = x[order], digit[order]
    even = digit % 2
    score = lambda guess: (guess[1000:] == even[1000:]).float().mean().item()
    net = lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    joint = fitted(nn.Sequential(net(), nn.Linear(10, 2)), x[:20], even[:20])
    reader = fitted(net(), x[:800], digit[:800])
    pipeline = score(reader(x).argmax(1) % 2)
    assert (reader(x[1000:]).argmax(1) == digit[1000:]).float().mean() > 0.9  # a part tested on its own
    rule = fitted(nn.Linear(10, 2), torch.eye(10), torch.arange(10) % 2, steps=600)
    tuned = fitted(nn.Sequential(reader, nn.Softmax(1), rule), x[:20], even[:20], steps=50, rate=0.001)
    scores = [score(model(x).argmax(1)) for model in (joint, tuned)]
    assert scores[0] < 0.9 and min(pipeline, scores[1]) > 0.92, (pipeline, scores)


@pitfall("The joint model fails and nobody knows where")
def check_auxiliary_loss():
    """With an auxiliary loss the joint says which digit was read, and a damaged second stage is told from a bad first."""
    x, digit = handwritten_digits()
    even, at_joint = digit % 2, {}
    for weight in (0.0, 1.0):
        first, second = (
            nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
            nn.Sequential(nn.ReLU(), nn.Linear(10, 2)),
        )
        optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], 0.01)
        for _ in range(150):
            optimizer.zero_grad()
            h = first(x)
            (F.cross_entropy(second(h), even) + weight * F.cross_entropy(h, digit)).backward()
            optimizer.step()
        right = lambda guess, truth: (guess.argmax(1) == truth).float().mean().item()
        assert right(second(first(x)), even) > 0.95
        nn.init.zeros_(second[1].weight)
        assert right(second(first(x)), even) < 0.6
        at_joint[weight] = right(first(x), digit)
    assert at_joint[0.0] < 0.4 and at_joint[1.0] > 0.95


@check
def check_cut_paths():
    h = torch.randn(4, 3, requires_grad=True)
    assert not h.argmax(1).requires_grad and not h.detach().requires_grad
    number = nn.Linear(1, 2)  # took the class as one number
    assert number(h.argmax(1, keepdim=True).float()).shape == nn.Linear(3, 2)(h.softmax(1)).shape == (4, 2)
    raises(RuntimeError, lambda: number(h.softmax(1)), "cannot be multiplied")
    torch.round(h).sum().backward()
    assert (h.grad == 0).all()
    h.grad = None
    (h.softmax(1) * torch.arange(3.0)).sum().backward()
    assert (h.grad != 0).any()


@pitfall("A stage was improved, the system got worse")
def check_better_stage_needs_a_refitted_successor():
    z = np.random.randn(1000)
    old, new = 0.7 * z + 0.5 + 0.1 * np.random.randn(1000), z + 0.05 * np.random.randn(1000)
    fit = lambda h: np.polyfit(h, 2 * z, 1)
    error = lambda line, h: ((np.polyval(line, h) - 2 * z) ** 2).mean()
    assert ((new - z) ** 2).mean() < ((old - z) ** 2).mean() and error(fit(old), new) > error(fit(old), old) > error(
        fit(new), new
    )


@check
def check_embedding_after_argmax():
    first, embedding, head = nn.Linear(5, 7), nn.Embedding(7, 8), nn.Linear(8, 1)
    h = first(torch.randn(4, 5))
    soft = h.softmax(-1)
    hard = F.one_hot(soft.argmax(-1), soft.shape[-1])
    raises(RuntimeError, lambda: embedding(soft), "Long, Int")
    through = straight_through(hard, soft)
    assert torch.allclose(through @ embedding.weight, embedding(h.argmax(-1)), atol=1e-5)
    for values in (soft, through):
        (slope,) = torch.autograd.grad(head(values @ embedding.weight).sum(), first.weight, retain_graph=True)
        assert (slope != 0).any()
    raises(RuntimeError, lambda: np.log(soft), "requires grad")


@check
def check_straight_through():
    logits, weights = torch.randn(4, 3, requires_grad=True), torch.arange(3.0)
    soft = logits.softmax(1)
    hard = nn.functional.one_hot(logits.argmax(1), 3).float()
    passed = hard + soft - soft.detach()
    assert torch.allclose(passed, hard, atol=1e-6)
    (wanted,) = torch.autograd.grad((soft * weights).sum(), logits, retain_graph=True)
    (passed * weights).sum().backward()
    assert torch.allclose(logits.grad, wanted) and (wanted != 0).any()


@holds("Input → output", "Cost", "Same in train and eval?")
def check_contract():
    raises(RuntimeError, lambda: torch.zeros(2, dtype=torch.long, requires_grad=True), "floating point")
    first, second = (
        nn.Sequential(nn.Linear(8, 6), nn.Tanh()),
        nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Dropout(0.5)),
    )
    x = torch.randn(4, 8)

    def kept(work):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            work()
        return sum(sizes)

    with torch.no_grad():
        h = first(x)
    assert kept(lambda: second(first(x))) > kept(lambda: second(h)) > 0
    shared = [id(p) for p in second.train().parameters()]
    assert shared == [id(p) for p in second.eval().parameters()] and torch.equal(second(h), second(h))
    assert not torch.equal(second.train()(h), second(h))


@holds("End to end", "Is a network on top of PCA end to end?")
def check_joint_against_separate():
    """The data of the figure: PCA drops the weakest direction for any labels, a trained layer finds it."""
    from sklearn.decomposition import PCA

    drawn, rng = figure_of(__file__), np.random.default_rng(0)
    train, test = drawn.data(rng, 3000), drawn.data(rng, 3000)
    assert np.array_equal(PCA(1).fit(train[0], train[1]).components_, PCA(1).fit(train[0], 1 - train[1]).components_)
    joint = drawn.joint_error(train, test, 1)
    x = PCA(9).fit(train[0])
    weights = np.linalg.lstsq(x.transform(train[0]), 2 * train[1] - 1.0, rcond=None)[0]
    separate = ((x.transform(test[0]) @ weights > 0) != test[1]).mean()
    assert joint < 0.12 and separate > 0.3, (joint, separate)
