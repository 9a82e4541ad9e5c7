import sys

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, raises, stated

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


class ChildSum(nn.Module):
    """The module of the article."""

    def __init__(self, d, hidden):
        super().__init__()
        self.hidden, self.x, self.h = hidden, nn.Linear(d, 4 * hidden), nn.Linear(hidden, 4 * hidden, bias=False)

    def node(self, x, children):
        h, c = [torch.stack(t) if t else x.new_zeros(0, self.hidden) for t in (zip(*children) if children else ((), ()))]
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
    i, g, o = sigma(W_i @ x[j] + U_i @ total + b_i), np.tanh(W_g @ x[j] + U_g @ total + b_g), sigma(W_o @ x[j] + U_o @ total + b_o)
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


@check
def check_by_hand():
    c = 0.5 * 0.8 + 0.5 * 1 + 1 * 2
    stated("2.9", c)
    stated("0.4970", 0.5 * np.tanh(c))
    count = lambda layer: sum(p.numel() for p in layer.parameters())
    stated("270,600", count(ChildSum(300, 150)))
    stated("271,200", count(nn.LSTM(300, 150)))
    assert count(ChildSum(5, 8)) == 4 * 8 * (5 + 8 + 1) == 448
    assert 3 * 2 + 2 * 2 == 10


@check
def check_order_of_children_plays_no_role():
    net, x = ChildSum(4, 3).double(), torch.randn(5, 4).double()
    assert torch.allclose(net(x, {0: [1, 2, 3]}, 0)[0], net(x, {0: [3, 1, 2]}, 0)[0])
    assert not torch.allclose(net(x, {0: [1, 2, 3]}, 0)[0], net(x, {0: [1, 2], 2: [3]}, 0)[0])


@check
def check_recursion_limit():
    net, n = ChildSum(2, 2), 400
    assert sys.getrecursionlimit() == 1000
    raises(RecursionError, lambda: net(torch.randn(n, 2), {k: [k - 1] for k in range(1, n)}, n - 1))
