import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from counting import multiply_adds
from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

AFFINE = r"y_k = \sum_{i=1}^{I} W_{ki}\, x_i + b_k, \qquad P = O(I + 1)"
BILINEAR = r"y_k = u^\top A_k v + b_k, \qquad P = O(I_1 I_2 + 1)"
BIAFFINE = r"""
y_k = u^\top A_k v + c_k^\top u + d_k^\top v + b_k =
\begin{pmatrix} u \\ 1 \end{pmatrix}^{\!\top}
\begin{pmatrix} A_k & c_k \\ d_k^\top & b_k \end{pmatrix}
\begin{pmatrix} v \\ 1 \end{pmatrix}
"""
COLLAPSE = r"W_2 (W_1 x + b_1) + b_2 = (W_2 W_1)\, x + (W_2 b_1 + b_2)"

by_definition("`nn.Linear`", "convolution")
sourced(
    "Dozat and Manning, arXiv 1611.01734, section 2.2: arcs are scored so, a linear term models a prior",
    "`nn.Bilinear`, biaffine",
    "Why does a biaffine scorer add linear terms?",
)


def count(module):
    return sum(p.numel() for p in module.parameters())


@holds("`nn.Linear(I, O)`")
@formula(AFFINE)
def check_linear():
    for I, O, lead in ((3, 4, (5,)), (1, 6, ()), (7, 2, (2, 3))):
        layer = nn.Linear(I, O, dtype=torch.float64)
        x = torch.randn(*lead, I, dtype=torch.float64)
        W, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        ours = np.zeros((*lead, O))
        for k in range(O):
            ours[..., k] = sum(W[k, i] * x.numpy()[..., i] for i in range(I)) + b[k]
        y = layer(x)
        assert y.shape == (*lead, O)
        np.testing.assert_allclose(ours, y.detach().numpy(), rtol=1e-12, atol=1e-12)
        assert count(layer) == O * (I + 1)
        raises(RuntimeError, lambda: layer(x.float()), "same dtype")


@holds("`nn.Bilinear(I1, I2, O)`", "`nn.Bilinear`, biaffine")
@formula(BILINEAR)
def check_bilinear():
    for one, two, O, lead in ((3, 4, 2, (5,)), (1, 2, 3, (2, 3)), (6, 5, 1, (1,))):
        layer = nn.Bilinear(one, two, O, dtype=torch.float64)
        u, v = torch.randn(*lead, one, dtype=torch.float64), torch.randn(*lead, two, dtype=torch.float64)
        A, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        ours = np.stack([np.einsum("...a,ab,...b->...", u.numpy(), A[k], v.numpy()) + b[k] for k in range(O)], axis=-1)
        np.testing.assert_allclose(ours, layer(u, v).detach().numpy(), rtol=1e-10, atol=1e-12)
        assert count(layer) == O * (one * two + 1) and A.shape == (O, one, two)


@holds("Why does a biaffine scorer add linear terms?")
@formula(BIAFFINE)
def check_biaffine():
    for one, two, O in ((3, 4, 2), (1, 1, 3), (5, 2, 1)):
        product = nn.Bilinear(one, two, O, bias=False, dtype=torch.float64)
        left, right = nn.Linear(one, O, bias=False, dtype=torch.float64), nn.Linear(two, O, dtype=torch.float64)
        u, v = torch.randn(6, one, dtype=torch.float64), torch.randn(6, two, dtype=torch.float64)
        wanted = product(u, v) + left(u) + right(v)
        extended = nn.Bilinear(one + 1, two + 1, O, bias=False, dtype=torch.float64)
        with torch.no_grad():
            for k in range(O):
                upper = torch.cat([product.weight[k], left.weight[k][:, None]], dim=1)
                lower = torch.cat([right.weight[k], right.bias[k : k + 1]])[None]
                extended.weight[k] = torch.cat([upper, lower])
        ones = torch.ones(6, 1, dtype=torch.float64)
        assert torch.allclose(extended(torch.cat([u, ones], 1), torch.cat([v, ones], 1)), wanted)
        A, c, d, b = (t.detach().numpy() for t in (product.weight, left.weight, right.weight, right.bias))
        ours = np.stack(
            [(u.numpy() @ A[k] * v.numpy()).sum(1) + u.numpy() @ c[k] + v.numpy() @ d[k] + b[k] for k in range(O)], 1
        )
        np.testing.assert_allclose(ours, wanted.detach().numpy(), rtol=1e-10, atol=1e-12)
        nothing = torch.zeros(6, two, dtype=torch.float64)
        assert (product(u, nothing) == 0).all()  # the product says nothing of u alone, the linear term does
        assert torch.equal(left(u), product(u, nothing) + left(u)) and (left(u) != 0).all()


@formula(COLLAPSE)
def check_two_layers_collapse():
    for widths in ((3, 5, 2), (4, 2, 6)):
        first, second = nn.Linear(*widths[:2], dtype=torch.float64), nn.Linear(*widths[1:], dtype=torch.float64)
        one = nn.Linear(widths[0], widths[2], dtype=torch.float64)
        with torch.no_grad():
            one.weight.copy_(second.weight @ first.weight)
            one.bias.copy_(second.weight @ first.bias + second.bias)
        x = torch.randn(7, widths[0], dtype=torch.float64)
        assert torch.allclose(second(first(x)), one(x))
        assert int(torch.linalg.matrix_rank(one.weight)) <= min(widths)


@check
def check_worked_example():
    W, b = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([0.5, 1.0])
    y = W @ np.array([3.0, 1.0]) + b
    stated("5.5", y[0])
    assert y[1] == 0
    A, u, v = np.array([[1.0, 0.0], [2.0, -1.0]]), np.array([1.0, 2.0]), np.array([3.0, 1.0])
    assert (u @ A).tolist() == [5, -2]
    stated("13", u @ A @ v)


@holds("What does a fully connected layer cost against a convolution?")
def check_parameter_counts():
    import torchvision

    vgg = torchvision.models.vgg16(weights=None)
    first = vgg.classifier[0]
    stated("25,088", first.in_features)
    stated("4,096", first.out_features)
    stated("102,764,544", count(first))
    stated("138,357,544", count(vgg))
    conv = nn.Conv2d(512, 512, 3, padding=1)
    stated("2,359,808", count(conv))
    stated("102,760,448", multiply_adds(first, 25088))
    stated("115,605,504", multiply_adds(conv, 512, 7, 7))


@holds("Cost")
def check_cost():
    work = []
    for call in (
        lambda: nn.Linear(30, 7)(torch.randn(4, 5, 30)),
        lambda: torch.einsum("na,kab,nb->nk", torch.randn(6, 30), torch.randn(7, 30, 40), torch.randn(6, 40)),
    ):
        with FlopCounterMode(display=False) as counter:
            call()
        work.append(counter.get_total_flops() / 2)  # a multiply-add counts as two operations
    assert work[0] == 4 * 5 * 30 * 7 and 1 <= work[1] / (6 * 7 * 30 * 40) < 1.1


@holds("Parameters", "Defaults", "Same in train and eval?", "`nn.Embedding`")
def check_defaults():
    for layer, inputs in (
        (nn.Linear(3, 4), (torch.randn(2, 3),)),
        (nn.Bilinear(3, 5, 4), (torch.randn(2, 3), torch.randn(2, 5))),
    ):
        shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
        assert shapes == {"weight": (4, 3) if len(inputs) == 1 else (4, 3, 5), "bias": (4,)}
        assert torch.equal(layer.train()(*inputs), layer.eval()(*inputs))
    table = nn.Embedding(6, 2)
    assert torch.equal(table(torch.tensor([4])), table.weight[4:5])
    for layer, bound in ((nn.Linear(64, 500), 1 / 8), (nn.Bilinear(16, 100, 30), 1 / 4)):
        for values in (layer.weight.detach(), layer.bias.detach()):
            assert 0.8 * bound < float(values.abs().max()) <= bound + 1e-7
    assert nn.Linear(2, 3).bias is not None
    w = torch.empty(300, 64)
    nn.init.kaiming_uniform_(w, a=math.sqrt(5))
    assert 0.999 / 8 < float(w.abs().max()) <= 1 / 8 + 1e-7
    layer = nn.Linear(2, 3, bias=False)
    x, y = torch.randn(2), torch.randn(2)
    assert torch.allclose(layer(2 * x + y), 2 * layer(x) + layer(y), atol=1e-6)
    affine = nn.Linear(2, 3)
    assert not torch.allclose(affine(2 * x), 2 * affine(x), atol=1e-3)


@pitfall('"mat1 and mat2 shapes cannot be multiplied (10x7 and 3x4)"')
def check_errors():
    for call, text in (
        (lambda: nn.Linear(3, 4)(torch.randn(5, 2, 7)), "mat1 and mat2 shapes cannot be multiplied (10x7 and 3x4)"),
        (lambda: nn.Linear(3, 4)(torch.ones(5, 3, dtype=torch.int64)), "same dtype"),
        (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Linear(3, 4))(torch.randn(5, 3, 6, 7)), "mat1 and mat2"),
        (lambda: nn.Bilinear(3, 4, 2)(torch.randn(5, 1, 3), torch.randn(5, 6, 4)), "batch dimensions do not match"),
    ):
        raises(RuntimeError, lambda: call(), text)
    lazy = nn.LazyLinear(4)
    lazy(torch.randn(5, 3, 6, 7))
    assert lazy.in_features == 7
    maps = nn.Conv2d(1, 3, 2)(torch.randn(5, 1, 7, 8))
    flat = nn.Flatten()(maps)
    for unfit in (maps, flat):
        raises(RuntimeError, lambda: nn.Linear(3, 4)(unfit), "mat1 and mat2 shapes cannot be multiplied")
    for layer in (nn.Linear(3 * 6 * 7, 4), nn.LazyLinear(4)):
        assert layer(flat).shape == (5, 4)
    assert nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))(torch.randn(5, 3, 6, 7)).shape == (
        5,
        4,
    )


@holds("When is `bias=False` right?")
def check_batch_norm_cancels_the_bias():
    x, norm = torch.randn(32, 5), nn.BatchNorm1d(5)
    bias = 3 * torch.randn(5)
    assert torch.allclose(norm(x), norm(x + bias), atol=1e-4)
    assert not torch.allclose(nn.LayerNorm(5)(x), nn.LayerNorm(5)(x + bias), atol=0.01)  # it averages over another axis


@holds("1×1 convolution")
def check_one_by_one_convolution_is_the_same_map():
    layer, conv = nn.Linear(6, 4), nn.Conv2d(6, 4, 1)
    with torch.no_grad():
        conv.weight.copy_(layer.weight[:, :, None, None])
        conv.bias.copy_(layer.bias)
    x = torch.randn(2, 6, 3, 5)
    assert torch.allclose(conv(x), layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), atol=1e-6)


def fitted(*layers, steps=400):
    """The mean squared error of a network that learned a sine."""
    x = torch.linspace(-3, 3, 200)[:, None]
    y = torch.sin(x)
    network = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.mse_loss(network(x), y)
        loss.backward()
        optimizer.step()
    line = torch.cat([x, torch.ones_like(x)], 1)
    best_line = F.mse_loss(line @ torch.linalg.lstsq(line, y).solution, y)
    return loss.item(), best_line.item()


@pitfall("A deeper stack of linear layers is no better")
def check_a_stack_of_linear_layers_is_one_line():
    stacked, best_line = fitted(nn.Linear(1, 16), nn.Linear(16, 16), nn.Linear(16, 1))
    assert best_line - 1e-5 < stacked < 1.1 * best_line and best_line > 0.1
    curved, _ = fitted(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    assert curved < 0.1 * best_line
    narrow = nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 5))
    assert torch.linalg.matrix_rank(narrow[1].weight @ narrow[0].weight) == 2


@pitfall('"The fully connected layer is also called logits"')
def check_the_layer_is_not_its_output():
    hidden, head = nn.Linear(4, 8), nn.Linear(8, 3)
    x, y = torch.randn(5, 4), torch.randint(0, 3, (5,))
    features = torch.relu(hidden(x))
    raises(TypeError, lambda: F.cross_entropy(head, y))
    logits = head(features)
    assert logits.shape == (5, 3) and F.cross_entropy(logits, y).isfinite()
    assert hidden(x).shape == (5, 8)  # also fully connected, but eight numbers score no three classes


@pitfall("Documentation and source seem to disagree on the initial weights")
def check_initial_weights():
    torch.manual_seed(1)
    by_source = nn.init.kaiming_uniform_(torch.empty(40, 64), a=math.sqrt(5))
    torch.manual_seed(1)
    by_documentation = torch.empty(40, 64).uniform_(-1 / 8, 1 / 8)
    torch.manual_seed(1)
    assert torch.equal(nn.Linear(64, 40).weight, by_source) and torch.allclose(by_source, by_documentation, atol=1e-7)
    spreads = []
    for own in (False, True):
        x = torch.randn(64, 128)
        for _ in range(20):
            layer = nn.Linear(128, 128)
            if own:
                nn.init.kaiming_normal_(layer.weight)
            x = torch.relu(layer(x))
        spreads.append(x.std(0).mean().item())  # how much samples differ
    assert spreads[0] < 1e-3 and 0.1 < spreads[1] < 10


@pitfall("`nn.Bilinear` refuses to broadcast")
def check_bilinear_does_not_broadcast():
    layer, u, v = nn.Bilinear(3, 4, 2), torch.randn(5, 1, 3), torch.randn(5, 6, 4)
    raises(RuntimeError, lambda: layer(u, v), "batch dimensions do not match")
    pairs = torch.einsum("nia,kab,njb->nijk", u, layer.weight, v) + layer.bias
    assert torch.allclose(pairs[:, 0], layer(u.expand(5, 6, 3).contiguous(), v), atol=1e-5)
    assert pairs.shape == (5, 1, 6, layer.out_features)
    raises(RuntimeError, lambda: torch.einsum("ia,kab,jb->ijk", u, layer.weight, v), "number of subscripts")
    words, heads = torch.randn(6, 3), torch.randn(7, 4)
    pairs = torch.einsum("ia,kab,jb->ijk", words, layer.weight, heads) + layer.bias
    repeated = layer(words[:, None].expand(6, 7, 3).contiguous(), heads.expand(6, 7, 4).contiguous())
    assert torch.allclose(pairs, repeated, atol=1e-5)
