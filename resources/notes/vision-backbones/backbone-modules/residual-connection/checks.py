import importlib
import itertools

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

BLOCK = r"y = x + F(x), \qquad y = W_s x + F(x)"
UNROLLED = r"x_L = x_l + \sum_{i=l}^{L-1} F_i(x_i)"
GRADIENT = r"""
\frac{\partial \mathcal{L}}{\partial x_l} = \left( I + \frac{\partial}{\partial x_l} \sum_{i=l}^{L-1} F_i(x_i) \right)^{\!\top} \frac{\partial \mathcal{L}}{\partial x_L}
"""

by_definition("Cost")
HE = "Deep Residual Learning, arXiv 1512.03385, section 4.1"
VEIT = "Residual Networks Behave Like Ensembles, arXiv 1605.06431"
sourced(HE, "Are residual connections there to cure vanishing gradients?")
sourced(VEIT, "In which sense is a residual network an ensemble?")
sourced("U-Net: Convolutional Networks for Biomedical Image Segmentation, arXiv 1505.04597", "U-Net skip")
sourced("RepVGG: Making VGG-style ConvNets Great Again, arXiv 2101.03697", "plain")


@formula(BLOCK)
def check_block_of_torchvision():
    """torchvision's block is relu(shortcut + branch), with the branch computed from its own layers."""
    for channels, out, stride, size in [(8, 8, 1, 6), (8, 16, 2, 7), (4, 12, 1, 5)]:
        project = None
        if channels != out or stride != 1:
            project = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
        block = BasicBlock(channels, out, stride=stride, downsample=project).double().eval()
        x = torch.randn(3, channels, size, size, dtype=torch.float64)
        branch = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
        if project is None:
            y = x.numpy() + branch.detach().numpy()
        else:
            weight = project[0].weight.detach().numpy()[:, :, 0, 0] / np.sqrt(1 + 1e-5)
            y = np.einsum("oc,nchw->nohw", weight, x.numpy()[:, :, ::stride, ::stride]) + branch.detach().numpy()
        np.testing.assert_allclose(np.maximum(y, 0), block(x).detach().numpy(), atol=1e-10)


@formula(UNROLLED, GRADIENT)
def check_unrolled_and_gradient():
    """A pre-norm Transformer without attention: identity shortcuts, nothing behind the sum."""
    for width, depth in [(3, 2), (5, 6), (1, 4)]:
        branches = [nn.Sequential(nn.Linear(width, width), nn.Tanh()).double() for _ in range(depth)]
        x = torch.randn(width, dtype=torch.float64)

        def residual_sum(v):
            total, h = torch.zeros_like(v), v
            for branch in branches:
                step = branch(h)
                total, h = total + step, h + step
            return total

        def network(v):
            for branch in branches:
                v = v + branch(v)
            return v

        torch.testing.assert_close(network(x), x + residual_sum(x))
        leaf = x.clone().requires_grad_()
        last = network(leaf)
        upstream = torch.randn(width, dtype=torch.float64)
        (library,) = torch.autograd.grad(last, leaf, upstream)
        jacobian = torch.autograd.functional.jacobian(residual_sum, x).numpy()
        np.testing.assert_allclose((np.eye(width) + jacobian).T @ upstream.numpy(), library.numpy(), atol=1e-10)


@check
def check_by_hand():
    x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    plain = residual = x
    for _ in range(10):
        plain, residual = 0.1 * plain, residual + 0.1 * residual
    assert abs(float(plain.detach()) - 1e-10) < 1e-16
    stated("2.5937", residual.detach())
    assert abs(float(torch.autograd.grad(residual, x)[0]) - float(residual.detach())) < 1e-12
    stated("1,024", 2**10)
    h, normed = torch.randn(200_000, dtype=torch.float64), torch.randn(200_000, dtype=torch.float64)
    for _ in range(10):
        h = h + torch.randn_like(h) * h.std()
        normed = normed + torch.randn_like(normed)
    assert abs(float(h.var()) / 1024 - 1) < 0.1 and abs(float(normed.var()) / 11 - 1) < 0.03


@holds("Parameters", "Defaults", "dtype")
def check_parameters_and_defaults():
    first = torchvision.models.resnet50().layer1[0].downsample
    stated("16,384", first[0].weight.numel())
    assert first[0].weight.shape == (256, 64, 1, 1) and sum(p.numel() for p in first[1].parameters()) == 512
    assert float(torchvision.models.resnet18().layer1[0].bn2.weight.detach().min()) == 1.0
    assert float(torchvision.models.resnet50(zero_init_residual=True).layer1[0].bn3.weight.detach().abs().max()) == 0.0
    assert (torch.ones(2) + torch.ones(2, dtype=torch.float16)).dtype == torch.float32


@holds("Input → output", "Same in train and eval?")
def check_contract():
    for shape in ((3, 5), (5,)):
        f, x = nn.Linear(5, 5), torch.randn(shape)
        assert (x + f(x)).shape == shape == f(x).shape
        assert torch.equal(f.train()(x) + x, f.eval()(x) + x)
    x = torch.randn(6, 5)
    for f in (nn.BatchNorm1d(5), nn.Dropout(), torchvision.ops.StochasticDepth(0.5, "row")):
        assert any(not torch.equal(f.train()(x) + x, f.eval()(x) + x) for _ in range(8))
    block, project = nn.Linear(5, 7), nn.Linear(5, 7, bias=False)
    assert (project(x) + block(x)).shape == (6, 7)


@holds("residual, identity", "dense", "gated", "plain")
def check_ways_to_combine():
    x = torch.randn(2, 8, 4, 4)
    assert (x + nn.Conv2d(8, 8, 3, padding=1)(x)).shape == x.shape
    layer = importlib.import_module("torchvision.models.densenet")._DenseBlock(1, 8, 4, 3, 0.0).eval()
    assert layer(x).shape[1] == 11 and torch.equal(layer(x)[:, :8], x)
    cell, v, h, c = nn.LSTMCell(3, 4), torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)
    i, f, g, _ = (v @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh).chunk(4, 1)
    torch.testing.assert_close(cell(v, (h, c))[1], f.sigmoid() * c + i.sigmoid() * g.tanh())
    with torch.device("meta"):
        kinds = {type(m) for m in torchvision.models.vgg16().features}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.MaxPool2d}


@holds("Are residual connections there to cure vanishing gradients?")
def check_the_shortcut_keeps_the_gradient_without_norms():
    for skip, low, high in ((False, 0.0, 1e-4), (True, 0.5, 100.0)):
        x = h = torch.randn(128, 64, requires_grad=True)
        for _ in range(30):
            branch = nn.Sequential(nn.Linear(64, 64), nn.Tanh())
            h = h + branch(h) if skip else branch(h)
        g = torch.randn_like(h)
        assert low < torch.autograd.grad(h, x, g)[0].norm() / g.norm() < high


@holds("In which sense is a residual network an ensemble?")
def check_paths():
    """With linear branches the product of (I + A_i) is the sum over all 2^n paths."""
    matrices, total = [torch.randn(3, 3).double() for _ in range(4)], torch.zeros(3, 3).double()
    paths = list(itertools.product((False, True), repeat=4))
    for taken in paths:
        path = torch.eye(3).double()
        for A, use in zip(matrices, taken):
            path = A @ path if use else path
        total += path
    whole = torch.eye(3).double()
    for A in matrices:
        whole = whole + A @ whole
    assert len(paths) == 2**4 and torch.allclose(total, whole)


@check
def check_question_of_the_calculator():
    assert 256 * 512 * 28**2 == 512 * 1024 * 14**2 == 2 * 64 * 256 * 56**2  # the question of the calculator


@pitfall("The shortcut carries ReLU(x) instead of x")
def check_inplace_relu_changes_the_shortcut():
    conv = nn.Conv2d(2, 2, 1)
    for inplace in (True, False):
        branch = nn.Sequential(nn.ReLU(inplace=inplace), nn.Conv2d(2, 2, 1))
        x = conv(torch.randn(1, 2, 4, 4))
        before = x.detach().clone()
        y = branch(x) + x
        expected = branch[1](before.relu()) + (before.relu() if inplace else before)
        torch.testing.assert_close(y, expected)
        y.sum().backward()
    assert not torch.equal(before, before.relu())
    leaf = torch.randn(3, requires_grad=True)
    raises(RuntimeError, lambda: nn.ReLU(inplace=True)(leaf), "leaf")
    used = leaf.tanh()
    total = (nn.ReLU(inplace=True)(used) + used).sum()
    raises(RuntimeError, total.backward, "modified by an inplace operation")


@pitfall('"modified by an inplace operation" in backward')
def check_inplace_sum_fails_in_backward():
    w = torch.randn(4, requires_grad=True)
    out = (w * 2).relu()
    out += w
    raises(RuntimeError, lambda: out.sum().backward(), "modified by an inplace operation")
    out = (w * 2).relu()
    out = out + w
    out.sum().backward()


@pitfall("Shapes differ, but there is no error")
def check_broadcasting_hides_a_mismatch():
    x, f, project = torch.randn(2, 1, 5, 5), nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(1, 16, 1, bias=False)
    assert (x + f(x)).shape == (2, 16, 5, 5) and x.shape != f(x).shape
    assert project(x).shape == f(x).shape == (project(x) + f(x)).shape
    raises(RuntimeError, lambda: torch.randn(2, 3, 5, 5) + torch.randn(2, 16, 5, 5), "must match")


@holds("Can the gradient still vanish?")
def check_gradient_cancels_for_minus_identity():
    x = torch.randn(5, requires_grad=True)
    (gradient,) = torch.autograd.grad((x + (-x)).sum(), x)
    assert torch.equal(gradient, torch.zeros(5))
    for epsilon in (0.1, 0.9):
        J, g = torch.randn(5, 5).double(), torch.randn(5).double()
        J *= epsilon / torch.linalg.matrix_norm(J, 2)
        kept = ((torch.eye(5).double() + J).T @ g).norm() / g.norm()
        assert kept >= 1 - epsilon - 1e-12


@holds("Where can the norm stand?")
def check_final_norm_is_optional():
    layer = nn.TransformerEncoderLayer(8, 2, norm_first=True)
    assert nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).norm is None
    norm, x, branch = nn.LayerNorm(8), torch.randn(4, 8) * 3, lambda v: torch.zeros_like(v)
    assert torch.equal(x + branch(norm(x)), x) and not torch.allclose(norm(x + branch(x)), x)
    assert list(BasicBlock(4, 4)._modules) == ["conv1", "bn1", "relu", "conv2", "bn2"]  # the last layer of the branch
    closed = nn.TransformerEncoder(layer, 2, norm=norm, enable_nested_tensor=False).eval()
    assert torch.allclose(closed(x[None]).var(-1, correction=0), torch.ones(1, 4), atol=1e-2)


def errors_on_digits(blocks, width=32, steps=80, rows=1200):
    """A plain network with BatchNorm: its loss at the start of training and at the end, and the held-out loss."""
    pixels, target = handwritten_digits()
    layers = [nn.Linear(64, width), nn.ReLU()]
    for _ in range(2 * blocks):
        layers += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(width, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    loss = lambda part: nn.functional.cross_entropy(net(pixels[part]), target[part])
    losses = []
    for _ in range(steps):
        value = loss(torch.randint(rows, (min(rows, 256),)))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses[0], losses[-1], loss(slice(1200, None)).item()


@pitfall('"Degradation means the loss goes up once the network is too deep"')
def check_degradation_is_a_training_error():
    """The deep plain network's loss falls, yet ends above the shallow one's; with 30 images it is overfitting."""
    (_, shallow, _), (start, deep, _) = errors_on_digits(1), errors_on_digits(8)
    assert deep < 0.8 * start and deep > 2 * shallow, (start, deep, shallow)
    _, training, held_out = errors_on_digits(1, rows=30)
    assert training < 0.2 and held_out > 3 * training, (training, held_out)
