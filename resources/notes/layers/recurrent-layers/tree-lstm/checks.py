import sys
import time

import numpy as np
import torch
from torch import nn

from note_checks import by_definition, figure_of, formula, holds, pitfall, raises, sourced, stated

F0 = r"""
\tilde h_j = \sum_{k \in C(j)} h_k
"""
F1 = r"""
i_j = \sigma\left(W_i x_j + U_i \tilde h_j + b_i\right), \quad g_j = \tanh\left(W_g x_j + U_g \tilde h_j + b_g\right), \quad o_j = \sigma\left(W_o x_j + U_o \tilde h_j + b_o\right)
"""
F2 = r"""
f_{jk} = \sigma\left(W_f x_j + U_f h_k + b_f\right)
"""
F3 = r"""
c_j = i_j \odot g_j + \sum_{k \in C(j)} f_{jk} \odot c_k, \qquad h_j = o_j \odot \tanh(c_j)
"""


by_definition("Input", "LSTM", "Child-Sum Tree-LSTM", "N-ary Tree-LSTM", "graph network", "Transformer")
sourced(
    "Tai et al. 2015, arXiv 1503.00075, sections 4 and 5",
    "Child-Sum Tree-LSTM",
    "N-ary Tree-LSTM",
    "Where is the loss applied?",
)


class ChildSum(nn.Module):
    """The module of the article."""

    def __init__(self, d, hidden):
        super().__init__()
        self.hidden, self.x, self.h = hidden, nn.Linear(d, 4 * hidden), nn.Linear(hidden, 4 * hidden, bias=False)

    def node(self, x, children):
        h, c = [
            torch.stack(t) if t else x.new_zeros(0, self.hidden) for t in (zip(*children) if children else ((), ()))
        ]
        w_i, w_f, w_g, w_o = self.x(x).chunk(4)
        u_i, u_f, u_g, u_o = self.h.weight.chunk(4)
        total = h.sum(0)
        i, g, o = (w_i + u_i @ total).sigmoid(), (w_g + u_g @ total).tanh(), (w_o + u_o @ total).sigmoid()
        c = i * g + ((w_f + h @ u_f.T).sigmoid() * c).sum(0)
        return o * c.tanh(), c

    def forward(self, vectors, tree, root):
        return self.node(vectors[root], [self(vectors, tree, child) for child in tree.get(root, [])])


def sigma(x):
    return 1 / (1 + np.exp(-x))


def by_formula(net, x, tree, j):
    """The formulas of the article in NumPy."""
    W, b, U = (p.detach().numpy() for p in (net.x.weight, net.x.bias, net.h.weight))
    (W_i, W_f, W_g, W_o), (b_i, b_f, b_g, b_o), (U_i, U_f, U_g, U_o) = (np.split(part, 4) for part in (W, b, U))
    children = [by_formula(net, x, tree, k) for k in tree.get(j, [])]
    total = sum((h for h, _ in children), np.zeros(net.hidden))
    i, g, o = (
        sigma(W_i @ x[j] + U_i @ total + b_i),
        np.tanh(W_g @ x[j] + U_g @ total + b_g),
        sigma(W_o @ x[j] + U_o @ total + b_o),
    )
    c = i * g
    for h_k, c_k in children:
        c = c + sigma(W_f @ x[j] + U_f @ h_k + b_f) * c_k
    return o * np.tanh(c), c


@formula(F0, F1, F2, F3)
def check_equals_nn_lstm_on_a_chain_and_the_module_on_trees():
    for d, hidden, n in [(5, 8, 4), (1, 1, 1), (3, 6, 9)]:
        net, x = ChildSum(d, hidden).double(), torch.randn(n, d).double()
        lstm = nn.LSTM(d, hidden).double()
        lstm.weight_ih_l0.data, lstm.weight_hh_l0.data = net.x.weight.data, net.h.weight.data
        lstm.bias_ih_l0.data = net.x.bias.data
        lstm.bias_hh_l0.data.zero_()
        h, c = by_formula(net, x.numpy(), {k: [k - 1] for k in range(1, n)}, n - 1)
        library = lstm(x)
        np.testing.assert_allclose(h, library[0][-1].detach().numpy(), atol=1e-10)
        np.testing.assert_allclose(c, library[1][1][0].detach().numpy(), atol=1e-10)
    net, x = ChildSum(4, 3).double(), torch.randn(7, 4).double()
    for tree, root in [({1: [0, 3], 3: [2]}, 1), ({6: [0, 1, 2], 2: [3, 4], 4: [5]}, 6), ({}, 5)]:
        for ours, module in zip(by_formula(net, x.numpy(), tree, root), net(x, tree, root)):
            np.testing.assert_allclose(ours, module.detach().numpy(), atol=1e-10)


@holds("Parameters")
def check_by_hand():
    c = 0.5 * 0.8 + 0.5 * 1 + 1 * 2
    stated("2.9", c)
    stated("0.4970", 0.5 * np.tanh(c))
    count = lambda layer: sum(p.numel() for p in layer.parameters())
    stated("270,600", count(ChildSum(300, 150)))
    stated("271,200", count(nn.LSTM(300, 150)))
    assert count(ChildSum(5, 8)) == 4 * 8 * (5 + 8 + 1) == 448
    assert count(ChildSum(300, 150)) == 4 * 150 * (300 + 150 + 1)


@holds("Output", "Defaults", "Same in train and eval?")
def check_contract():
    net, x = ChildSum(5, 8), torch.randn(4, 5)
    tree = {1: [0, 3], 3: [2]}
    h, c = net(x, tree, 1)
    assert h.shape == c.shape == (8,) and torch.equal(net.eval()(x, tree, 1)[0], net.train()(x, tree, 1)[0])
    assert not any("tree" in name.lower() for name in dir(nn))


@holds("Why one forget gate per child?")
def check_common_gate():
    """How much of each child's memory is kept, per unit: alike with one gate for all, different with one per child."""
    net, x = ChildSum(4, 6), torch.randn(4)
    h, c = torch.randn(2, 6), torch.randn(2, 6).requires_grad_()
    net.node(x, list(zip(h, c)))[1].sum().backward()
    assert (c.grad[0] - c.grad[1]).abs().max() > 0.01
    w_f, u_f = net.x(x).chunk(4)[1], net.h.weight.chunk(4)[1]
    (kept,) = torch.autograd.grad(((w_f + u_f @ h.sum(0)).sigmoid() * c).sum(), c)
    assert torch.equal(kept[0], kept[1])


@holds("What if there is no parser?")
def check_balanced_tree():
    drawn = figure_of(__file__)
    with torch.random.fork_rng():
        assert drawn.gradient(drawn.balanced, 16) > 10 * drawn.gradient(drawn.chain, 16)
    depth = lambda words: 0 if words == 1 else 1 + depth(words - words // 2)
    assert depth(64) == np.log2(64) == 6 and depth(50) == np.ceil(np.log2(50))


@holds("How do the two variants differ in size?")
@pitfall("Word order has no effect")
def check_order_of_children_plays_no_role():
    net, x = ChildSum(4, 3).double(), torch.randn(5, 4).double()
    assert torch.allclose(net(x, {0: [1, 2, 3]}, 0)[0], net(x, {0: [3, 1, 2]}, 0)[0])
    assert not torch.allclose(net(x, {0: [1, 2, 3]}, 0)[0], net(x, {0: [1, 2], 2: [3]}, 0)[0])
    dog, bites, man = x[:3]
    one, other = torch.stack([dog, bites, man]), torch.stack([man, bites, dog])
    assert torch.allclose(net(one, {1: [0, 2]}, 1)[0], net(other, {1: [0, 2]}, 1)[0])
    position = torch.eye(3, 4).double()
    assert not torch.allclose(
        net(one + position, {1: [0, 2]}, 1)[0], net(other + position, {1: [0, 2]}, 1)[0], atol=1e-3
    )
    # N-ary: position l has its own columns of U, and its forget gate sees the states of all positions
    U, U_f = torch.randn(9, 6).double(), torch.randn(6, 6).double()

    def n_ary(sentence):
        left, right = net(sentence, {}, 0), net(sentence, {}, 2)
        h, c = torch.cat([left[0], right[0]]), torch.stack([left[1], right[1]])
        w_i, w_f, w_g, w_o = net.x(sentence[1]).chunk(4)
        u_i, u_g, u_o = (U @ h).chunk(3)
        c = (w_i + u_i).sigmoid() * (w_g + u_g).tanh() + ((w_f + (U_f @ h).view(2, 3)).sigmoid() * c).sum(0)
        return (w_o + u_o).sigmoid() * c.tanh()

    assert not torch.allclose(n_ary(one), n_ary(other), atol=1e-3)
    assert U.numel() + U_f.numel() == 10 * 3**2 and net.h.weight.numel() == 4 * 3**2


def post_order(tree, root):
    order, open_nodes = [], [root]
    while open_nodes:
        j = open_nodes.pop()
        order.append(j)
        open_nodes += tree.get(j, [])
    return order[::-1]


@pitfall("RecursionError on long sentences")
def check_recursion_limit():
    def in_a_loop(net, x, tree, root):
        states = {}
        for j in post_order(tree, root):
            states[j] = net.node(x[j], [states[k] for k in tree.get(j, [])])
        return states[root]

    net, n = ChildSum(2, 2), 400
    x, chain = torch.randn(2000, 2), {k: [k - 1] for k in range(1, 2000)}
    assert sys.getrecursionlimit() == 1000
    raises(RecursionError, lambda: net(x, chain, n - 1))
    h, _ = in_a_loop(net, x, chain, 1999)
    h.sum().backward()
    assert torch.isfinite(h).all() and torch.isfinite(net.h.weight.grad).all()
    for tree, root in [(chain, 50), ({6: [0, 1, 2], 2: [3, 4], 4: [5]}, 6)]:
        assert torch.allclose(in_a_loop(net, x, tree, root)[0], net(x, tree, root)[0], atol=1e-6)


def by_height(net, x, tree, roots):
    """The states of a forest, one pass per height; and the number of passes."""
    height = {}
    for root in roots:
        for j in post_order(tree, root):
            height[j] = 1 + max((height[k] for k in tree.get(j, [])), default=-1)
    h, c = x.new_zeros(len(x), net.hidden), x.new_zeros(len(x), net.hidden)
    u_i, u_f, u_g, u_o = net.h.weight.chunk(4)
    for level in range(max(height.values()) + 1):
        nodes = [j for j in height if height[j] == level]
        child = [k for j in nodes for k in tree.get(j, [])]
        parent = torch.tensor([p for p, j in enumerate(nodes) for _ in tree.get(j, [])], dtype=torch.long)
        w_i, w_f, w_g, w_o = net.x(x[nodes]).chunk(4, 1)
        total = x.new_zeros(len(nodes), net.hidden).index_add(0, parent, h[child])
        forgotten = (w_f[parent] + h[child] @ u_f.T).sigmoid() * c[child]
        new = (w_i + total @ u_i.T).sigmoid() * (w_g + total @ u_g.T).tanh()
        new = new.index_add(0, parent, forgotten)
        c = c.index_put((torch.tensor(nodes),), new)
        h = h.index_put((torch.tensor(nodes),), (w_o + total @ u_o.T).sigmoid() * new.tanh())
    return h[roots], level + 1


@holds("Cost")
@pitfall("Training is slow, and the GPU is idle")
def check_one_pass_per_height():
    """On the CPU: the same states and gradients in far fewer calls and less time; a GPU's load is not measured here."""
    tree, roots, size = {}, [], 21
    for first in range(0, 40 * size, size):
        roots.append(first)
        for j in range(1, size):
            tree.setdefault(first + int(np.random.randint(max(0, j - 6), j)), []).append(first + j)
    net, x = ChildSum(16, 16), torch.randn(40 * size, 16)
    calls = []
    net.x.register_forward_hook(lambda *_: calls.append(1))
    start = time.process_time()
    one_by_one = torch.stack([net(x, tree, root)[0] for root in roots])
    one_by_one.sum().backward()
    slow, expected = time.process_time() - start, net.h.weight.grad.clone()
    assert len(calls) == 40 * size
    calls.clear()
    net.zero_grad()
    start = time.process_time()
    together, passes = by_height(net, x, tree, roots)
    together.sum().backward()
    assert len(calls) == passes < 25 and time.process_time() - start < slow / 2
    assert torch.allclose(together, one_by_one, atol=1e-5) and torch.allclose(net.h.weight.grad, expected, atol=1e-3)


@pitfall("Ported weights give other results")
def check_gate_order():
    """Weights of code that stacks input, output, cell (iou) and keeps forget apart."""
    d, hidden, x = 5, 8, torch.randn(4, 5)
    iou_x, f_x = nn.Linear(d, 3 * hidden), nn.Linear(d, hidden)
    iou_h, f_h = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)  # a second bias per gate
    h, c = torch.zeros(hidden), torch.zeros(hidden)
    for word in x:
        i, o, u = (iou_x(word) + iou_h(h)).chunk(3)
        c = i.sigmoid() * u.tanh() + (f_x(word) + f_h(h)).sigmoid() * c
        h = o.sigmoid() * c.tanh()
    reordered = lambda iou, f: torch.cat([(b := iou.chunk(3))[0], f, b[2], b[1]])
    for stack, correct in ((lambda iou, f: torch.cat([iou, f]), False), (reordered, True)):
        lstm, net = nn.LSTM(d, hidden), ChildSum(d, hidden)
        net.x.weight.data, net.h.weight.data = stack(iou_x.weight, f_x.weight), stack(iou_h.weight, f_h.weight)
        net.x.bias.data = stack(iou_x.bias + iou_h.bias, f_x.bias + f_h.bias)
        lstm.weight_ih_l0.data, lstm.weight_hh_l0.data = net.x.weight.data, net.h.weight.data
        lstm.bias_ih_l0.data = net.x.bias.data
        lstm.bias_hh_l0.data.zero_()
        assert torch.allclose(lstm(x)[0][-1], h, atol=1e-6) is correct
        assert torch.allclose(net(x, {k: [k - 1] for k in range(1, 4)}, 3)[0], h, atol=1e-6) is correct
        net.x.bias.data = stack(iou_x.bias, f_x.bias)
        assert not torch.allclose(net(x, {k: [k - 1] for k in range(1, 4)}, 3)[0], h, atol=1e-3)
