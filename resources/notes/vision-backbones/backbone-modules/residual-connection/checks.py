import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from note_checks import check, formula, pitfall, raises, stated
from trainings import handwritten_digits

BLOCK = r"y = x + F(x), \qquad y = W_s x + F(x)"
UNROLLED = r"x_L = x_l + \sum_{i=l}^{L-1} F_i(x_i)"
GRADIENT = r"""
\frac{\partial \mathcal{L}}{\partial x_l} = \left( I + \frac{\partial}{\partial x_l} \sum_{i=l}^{L-1} F_i(x_i) \right)^{\!\top} \frac{\partial \mathcal{L}}{\partial x_L}
"""


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


@check
def check_parameters_and_defaults():
    first = torchvision.models.resnet50().layer1[0].downsample
    stated("16,384", first[0].weight.numel())
    assert first[0].weight.shape == (256, 64, 1, 1) and sum(p.numel() for p in first[1].parameters()) == 512
    assert float(torchvision.models.resnet18().layer1[0].bn2.weight.detach().min()) == 1.0
    assert float(torchvision.models.resnet50(zero_init_residual=True).layer1[0].bn3.weight.detach().abs().max()) == 0.0
    assert (torch.ones(2) + torch.ones(2, dtype=torch.float16)).dtype == torch.float32
    assert Bottleneck.expansion == 4
    assert 256 * 512 * 28**2 == 512 * 1024 * 14**2 == 2 * 64 * 256 * 56**2      # the question of the calculator


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


@check
def check_gradient_cancels_for_minus_identity():
    x = torch.randn(5, requires_grad=True)
    (gradient,) = torch.autograd.grad((x + (-x)).sum(), x)
    assert torch.equal(gradient, torch.zeros(5))


@check
def check_final_norm_is_optional():
    layer = nn.TransformerEncoderLayer(8, 2, norm_first=True)
    assert nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).norm is None


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
