import math

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated
from trainings import descend

MESSAGE = r"h_v' = \phi\left( h_v,\; \bigoplus_{u \in \mathcal{N}(v)} \psi(h_u) \right)"
MATRIX = r"""
H' = \sigma\left( \hat{A} H W + \mathbf{1} b^\top \right), \qquad \hat{A} = \tilde{D}^{-1/2} \tilde{A} \tilde{D}^{-1/2}
"""
NODE = r"""
h_v' = \sigma\left( b + \sum_{u \in \mathcal{N}(v) \cup \{v\}} \frac{W^\top h_u}{\sqrt{\tilde{d}_u \tilde{d}_v}} \right)
"""
LIMIT = r"\lim_{k \to \infty} \left( \hat{A}^k \right)_{vu} = \frac{\sqrt{\tilde{d}_v \tilde{d}_u}}{\sum_w \tilde{d}_w}"

by_definition("DeepWalk, node2vec", "MLP")
sourced("PyTorch Geometric documentation of GCNConv: add_self_loops, normalize=True, bias=True", "Defaults")
sourced("GraphSAGE, arXiv 1706.02216, abstract and section 3 (aggregators, sampling, concatenation)", "GraphSAGE")
sourced("GAT, arXiv 1710.10903, abstract: different weights to different nodes in a neighbourhood", "GAT")
sourced("GIN, arXiv 1810.00826, abstract and section 4: sum and MLP, as powerful as the Weisfeiler-Lehman test", "GIN")
sourced("GCN, arXiv 1609.02907: graph and all feature vectors seen in training", "Transductive or inductive?")


def random_graph(n, p):
    upper = (torch.rand(n, n) < p).triu(1)
    return (upper | upper.T).double()


def propagation(A):
    """The normalized adjacency of the article, in NumPy."""
    A = np.asarray(A) + np.eye(len(A))
    root = 1 / np.sqrt(A.sum(1))
    return root[:, None] * A * root[None]


def by_edges(A, H, linear):
    """Library side: message passing over an edge list with torch's scatter operations."""
    target, source = (A + torch.eye(len(A))).nonzero().T
    degree = torch.zeros(len(A), dtype=A.dtype).index_add(0, target, torch.ones(len(target), dtype=A.dtype))
    messages = linear(H)[source] * (degree[source] * degree[target]).rsqrt()[:, None]
    return torch.zeros(len(A), linear.out_features, dtype=A.dtype).index_add(0, target, messages)


@formula(MATRIX, NODE)
@holds("Input", "Output")
def check_gcn_layer():
    for n, p, f, g in ((1, 0.0, 3, 2), (6, 0.4, 3, 5), (25, 0.1, 4, 4)):
        A, H = random_graph(n, p), torch.randn(n, f, dtype=torch.float64)
        linear, b = nn.Linear(f, g, bias=False).double(), torch.randn(g, dtype=torch.float64)
        library = torch.relu(by_edges(A, H, linear) + b).detach().numpy()
        W = linear.weight.detach().numpy().T
        np.testing.assert_allclose(np.maximum(propagation(A) @ H.numpy() @ W + b.numpy(), 0), library, atol=1e-12)
        d = A.sum(1).numpy() + 1
        for v in range(n):
            near = [u for u in range(n) if A[v, u]] + [v]
            ours = b.numpy() + sum(W.T @ H[u].numpy() / math.sqrt(d[u] * d[v]) for u in near)
            np.testing.assert_allclose(np.maximum(ours, 0), library[v], atol=1e-12)


@formula(MESSAGE)
def check_message_passing():
    for name, gather in (("sum", np.sum), ("mean", np.mean), ("amax", np.max)):
        A, H = random_graph(9, 0.5), torch.randn(9, 4, dtype=torch.float64)
        A[0, 1] = A[1, 0] = 1
        psi, phi = nn.Linear(4, 3).double(), nn.Linear(7, 2).double()
        target, source = A.nonzero().T
        gathered = torch.zeros(9, 3, dtype=torch.float64).scatter_reduce(
            0, target[:, None].expand(-1, 3), psi(H)[source], name, include_self=False
        )
        library = torch.tanh(phi(torch.cat([H, gathered], dim=1))).detach().numpy()
        for v in range(9):
            near = [psi(H[u]).detach().numpy() for u in range(9) if A[v, u]]
            if near:
                mixed = np.concatenate([H[v].numpy(), gather(near, axis=0)])
                np.testing.assert_allclose(
                    np.tanh(phi.weight.detach().numpy() @ mixed + phi.bias.detach().numpy()), library[v], atol=1e-12
                )


@formula(LIMIT)
def check_oversmoothing():
    for n in (2, 5, 12):
        A = random_graph(n, 0.3)
        for i in range(n - 1):
            A[i, i + 1] = A[i + 1, i] = 1  # connected
        d = A.sum(1).numpy() + 1
        power = torch.linalg.matrix_power(torch.tensor(propagation(A)), 4000).numpy()
        np.testing.assert_allclose(power, np.sqrt(np.outer(d, d)) / d.sum(), atol=1e-9)


@check
def check_by_hand():
    A = torch.zeros(4, 4, dtype=torch.float64)
    for i, j in ((0, 1), (1, 2), (2, 0), (2, 3)):
        A[i, j] = A[j, i] = 1
    step = torch.tensor(propagation(A))
    x = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    for text, value in zip(("0.3333", "0.3333", "0.2887"), step @ x):
        stated(text, value)
    for text, value in zip(("0.3056", "0.3056", "0.2646", "0.1021"), step @ step @ x):
        stated(text, value)
    far = torch.linalg.matrix_power(step, 500) @ x
    stated("0.25", far[0])
    stated("0.2041", far[3])
    assert not torch.allclose(step.sum(1), torch.ones(4, dtype=torch.float64), atol=0.01)


@check
def check_rescaling_brings_shrunken_differences_back():
    torch.manual_seed(0)
    y = np.repeat([0, 1], 100)
    plain, rescaled = [], []
    for _ in range(6):
        chance = torch.where(torch.tensor(y[:, None] == y), 0.06, 0.02)
        upper = torch.bernoulli(chance).triu(1)
        A = (upper + upper.T).double()
        x = torch.randn(200, 8, dtype=torch.float64).numpy()
        x[:, 0] += 0.4 * (2 * y - 1)
        x = np.linalg.matrix_power(propagation(A), 20) @ x
        z = x / np.sqrt(A.sum(1).numpy() + 1)[:, None]
        z = (z - z.mean(0)) / z.std(0)
        train = np.r_[0:10, 100:110]
        rest = np.setdiff1d(np.arange(200), train)
        for found, features in ((plain, x), (rescaled, z)):
            found.append(LogisticRegression().fit(features[train], y[train]).score(features[rest], y[rest]))
    assert np.mean(plain) < 0.55 and np.mean(rescaled) > 0.75, (plain, rescaled)


@holds("Parameters")
def check_parameters():
    stated("23,063", sum(p.numel() for layer in (nn.Linear(1433, 16), nn.Linear(16, 7)) for p in layer.parameters()))


def received(x, edges):
    source, target = edges
    return torch.zeros_like(x).index_add(0, target, x[source])


@pitfall("Information flows one way in an undirected graph")
def check_one_way_edges():
    x, edges = torch.tensor([[5.0], [7.0]]), torch.tensor([[0], [1]])
    assert received(x, edges).flatten().tolist() == [0.0, 5.0]
    assert received(x, torch.cat([edges, edges.flip(0)], dim=1)).flatten().tolist() == [7.0, 5.0]


@pitfall("A node ignores its own features")
def check_self_loops():
    """PyTorch Geometric, of which the article speaks, is not installed."""
    edges, own = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), nn.Linear(1, 1)
    x, changed = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[9.0], [2.0], [3.0]])
    loops = torch.arange(3).expand(2, -1)
    for layer, ignores in (
        (lambda v: received(v, edges), True),
        (lambda v: received(v, torch.cat([edges, loops], dim=1)), False),
        (lambda v: received(v, edges) + own(v), False),
    ):
        assert torch.equal(layer(x)[0], layer(changed)[0]) == ignores


class Stack(nn.Module):
    """GCN layers of width 16: plain, with residual connections, or with all layers read by the classifier."""

    def __init__(self, depth, kind):
        super().__init__()
        self.kind = kind
        self.layers = nn.ModuleList(nn.Linear(16 if i else 8, 16) for i in range(depth))
        self.out = nn.Linear(16 * depth if kind == "jumping" else 16, 2)

    def forward(self, step, x):
        states = []
        for layer in self.layers:
            new = torch.relu(step @ layer(x))
            x = x + new if self.kind == "residual" and states else new
            states.append(x)
        return self.out(torch.cat(states, dim=1) if self.kind == "jumping" else x)


@pitfall("More layers, worse accuracy")
def check_depth():
    found, left = {}, []
    for seed in range(2):
        torch.manual_seed(seed)
        y = torch.arange(200) // 100
        upper = torch.bernoulli(torch.where(y[:, None] == y, 0.06, 0.02)).triu(1)
        step, x = torch.tensor(propagation(upper + upper.T)).float(), torch.randn(200, 8)
        x[:, 0] += 0.4 * (2 * y - 1)
        train = torch.cat([torch.arange(10), torch.arange(100, 110)])
        test = torch.ones(200, dtype=torch.bool).index_fill(0, train, False)
        for depth, kind in ((2, "plain"), (4, "plain"), (16, "plain"), (16, "residual"), (16, "jumping")):
            model = Stack(depth, kind)
            optimizer = torch.optim.Adam(model.parameters(), 0.01)
            descend(optimizer, lambda: nn.functional.cross_entropy(model(step, x)[train], y[train]), 40)
            if (depth, kind) == (16, "plain"):
                left.append(nn.functional.cross_entropy(model(step, x)[train], y[train]).item())
            found.setdefault((depth, kind), []).append((model(step, x).argmax(1) == y)[test].float().mean().item())
    assert min(left) > 0.6  # not even the training nodes are fitted
    mean = {key: np.mean(values) for key, values in found.items()}
    assert mean.pop((16, "plain")) < 0.6 and min(mean.values()) > 0.7, found


@pitfall("NaN at isolated nodes")
def check_isolated_nodes():
    x, edges = torch.ones(3, 1), torch.tensor([[0, 1], [1, 0]])

    def propagated(pairs, guard):
        scale = torch.bincount(pairs[1], minlength=3).rsqrt()[:, None]
        if guard:
            scale = scale.masked_fill(scale.isinf(), 0)
        return received(x * scale, pairs) * scale

    assert torch.isinf(torch.tensor(0.0).rsqrt())
    assert propagated(edges, False).isnan().flatten().tolist() == [False, False, True]
    assert propagated(edges, True).flatten().tolist() == [1, 1, 0]
    assert propagated(torch.cat([edges, torch.arange(3).expand(2, -1)], dim=1), False).isfinite().all()


@holds("Can the mean count?", "GIN")
def check_the_mean_cannot_count():
    one, two = torch.ones(1, 1), torch.ones(2, 1)
    assert one.mean() == two.mean() and one.sum() != two.sum()


@holds("Same in train and eval?", "Cost", "Transductive or inductive?")
def check_modes_sizes_and_another_graph():
    linear = nn.Linear(5, 3, bias=False).double()
    stack, H = nn.Sequential(linear, nn.Dropout(0.5)), torch.randn(8, 5, dtype=torch.float64)
    A = random_graph(8, 0.5)
    A[0, 1] = A[1, 0] = 1
    layer = lambda mode: by_edges(A, H, linear.train(mode))
    assert torch.equal(layer(True), layer(False))
    assert torch.equal(stack.eval()(H), stack(H)) and not torch.equal(stack.train()(H), stack(H))
    edges = int(A.sum()) + 8  # E and a loop per node
    assert linear(H)[(A + torch.eye(8)).nonzero()[:, 1]].numel() == edges * 3
    for n in (1, 20):  # the same weights on other graphs
        assert by_edges(random_graph(n, 0.3), torch.randn(n, 5, dtype=torch.float64), linear).shape == (n, 3)


@holds("GCN", "What if neighbours are unlike each other?")
def check_neighbours_alike_and_not():
    for seed in range(3):
        torch.manual_seed(seed)
        y = torch.arange(400) // 200
        x = torch.randn(400, 1, dtype=torch.float64) + (2 * y[:, None] - 1)
        score = lambda z: LogisticRegression(C=100).fit(z[::2], y[::2]).score(z[1::2], y[1::2])
        for within, alike in ((0.1, True), (0.05, False)):
            across = 0.1 - within
            upper = torch.bernoulli(torch.where(y[:, None] == y, within, across)).triu(1)
            step = torch.tensor(propagation(upper + upper.T))
            apart = torch.cat([x, step @ x], dim=1)
            if alike:
                assert score(step @ x) > score(x) + 0.1
            else:  # neighbours of both classes: the mean says little, a node's own features still do
                assert score(step @ x) < score(x) - 0.1 and abs(score(apart) - score(x)) < 0.06


@holds("How does it relate to a convolution on images?")
def check_grid():
    side = 6
    at = [(i, j) for i in range(side) for j in range(side)]
    A = torch.tensor([[float(max(abs(i - k), abs(j - l)) == 1) for k, l in at] for i, j in at], dtype=torch.float64)
    image = torch.randn(1, 1, side, side, dtype=torch.float64)
    summed = ((A + torch.eye(side * side)) @ image.flatten()).view(1, 1, side, side)
    equal = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    assert torch.allclose(nn.functional.conv2d(image, equal, padding=1), summed)
    each = torch.randn(1, 1, 3, 3, dtype=torch.float64)  # a weight per direction notices which neighbour is where
    turned = lambda w: nn.functional.conv2d(image.rot90(1, (2, 3)), w, padding=1).rot90(-1, (2, 3))
    assert torch.allclose(turned(equal), summed)
    assert not torch.allclose(turned(each), nn.functional.conv2d(image, each, padding=1))


@holds("How are many small graphs batched?")
def check_batched_graphs():
    graphs = [(random_graph(n, 0.6), torch.randn(n, 4, dtype=torch.float64)) for n in (3, 5, 2)]
    linear = nn.Linear(4, 2, bias=False).double()
    alone = [by_edges(A, H, linear) for A, H in graphs]
    whole = by_edges(torch.block_diag(*(A for A, _ in graphs)), torch.cat([H for _, H in graphs]), linear)
    assert torch.allclose(whole, torch.cat(alone))
    part = torch.repeat_interleave(torch.tensor([3, 5, 2]))
    pooled = torch.zeros(3, 2, dtype=torch.float64).index_add(0, part, whole)
    assert torch.allclose(pooled, torch.stack([rows.sum(0) for rows in alone]))
