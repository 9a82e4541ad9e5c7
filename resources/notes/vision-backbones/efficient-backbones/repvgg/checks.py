import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits, minibatch_losses

BLOCK = r"y = \mathrm{ReLU}\left( \mathrm{BN}_3(W_3 * x) + \mathrm{BN}_1(W_1 * x) + \mathrm{BN}_0(x) \right)"
FOLDED = r"""
W'_i = \frac{\gamma_i}{\sqrt{\sigma_i^2 + \varepsilon}}\, W_i, \qquad b'_i = \beta_i - \frac{\gamma_i\, \mu_i}{\sqrt{\sigma_i^2 + \varepsilon}}
"""
MERGED = r"y = \mathrm{ReLU}\left( \left( W'_3 + P(W'_1) + P(W'_0) \right) * x + b'_3 + b'_1 + b'_0 \right)"


by_definition("Cost")
sourced("RepVGG, arXiv 2101.03697, section 3", "Defaults")


def norm(channels, eps=1e-5):
    layer = nn.BatchNorm2d(channels, eps=eps).double().eval()
    nn.init.normal_(layer.weight), nn.init.normal_(layer.bias), nn.init.normal_(layer.running_mean)
    nn.init.uniform_(layer.running_var, 0.1, 3)
    return layer


def folded(weight, layer):
    scale = layer.weight.detach().numpy() / np.sqrt(layer.running_var.numpy() + layer.eps)
    return weight * scale[:, None, None, None], layer.bias.detach().numpy() - scale * layer.running_mean.numpy()


@formula(BLOCK, FOLDED, MERGED)
def check_merged_equals_branches():
    for c, size, eps in [(3, 5, 1e-5), (8, 7, 0.1), (1, 4, 1e-5)]:
        wide, point = nn.Conv2d(c, c, 3, padding=1, bias=False).double(), nn.Conv2d(c, c, 1, bias=False).double()
        norms = {i: norm(c, eps) for i in (3, 1, 0)}
        x = torch.randn(2, c, size, size, dtype=torch.float64)
        library = (norms[3](wide(x)) + norms[1](point(x)) + norms[0](x)).relu()
        pad = lambda w: np.pad(w, ((0, 0), (0, 0), (1, 1), (1, 1)))
        kernel, bias = folded(wide.weight.detach().numpy(), norms[3])
        for w, i in [(point.weight.detach().numpy(), 1), (np.eye(c).reshape(c, c, 1, 1), 0)]:
            extra, shift = folded(w, norms[i])
            kernel, bias = kernel + pad(extra), bias + shift
        ours = F.conv2d(x, torch.tensor(kernel), torch.tensor(bias), padding=1).relu()
        np.testing.assert_allclose(ours.numpy(), library.detach().numpy(), atol=1e-10)


@check
def check_stride_two_without_identity():
    wide, point = (
        nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False).double(),
        nn.Conv2d(3, 6, 1, stride=2, bias=False).double(),
    )
    for size in (7, 8):
        x = torch.randn(2, 3, size, size, dtype=torch.float64)
        merged = F.conv2d(x, wide.weight + F.pad(point.weight, [1] * 4), stride=2, padding=1)
        torch.testing.assert_close(merged, wide(x) + point(x))
        assert F.conv2d(x, point.weight, stride=2, padding=1).shape != point(x).shape or not torch.allclose(
            F.conv2d(x, point.weight, stride=2, padding=1), point(x)
        )


class Branches(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.wide, self.point = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.Conv2d(c, c, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for _ in range(3))

    def forward(self, x):
        return sum(n(h) for n, h in zip(self.norms, (self.wide(x), self.point(x), x))).relu()

    def merged(self):
        c, conv = len(self.norms[0].weight), nn.Conv2d(*self.wide.weight.shape[:2], 3, padding=1)
        kernels = [self.wide.weight, F.pad(self.point.weight, [1] * 4), F.pad(torch.eye(c).view(c, c, 1, 1), [1] * 4)]
        parts = [folded(k.detach().numpy(), n) for k, n in zip(kernels, self.norms)]
        conv.weight.data, conv.bias.data = (torch.tensor(sum(p)) for p in zip(*parts))
        return nn.Sequential(conv, nn.ReLU())


@pitfall("The converted model gives other outputs")
@holds("Same in train and eval?", "RepVGG")
def check_batch_statistics():
    block, x = Branches(8), 3 * torch.randn(4, 8, 14, 14) + 1
    merged = block.merged()
    assert not torch.allclose(block.train()(x), merged(x), atol=0.05)
    merged = block.merged()
    assert torch.allclose(block.eval()(x), merged(x), atol=1e-5)


@holds("If the functions are the same, why does training differ?")
def check_one_step_from_the_same_function():
    for seed in range(3):
        torch.manual_seed(seed)
        block, x, target = Branches(8), torch.randn(4, 8, 6, 6), torch.rand(4, 8, 6, 6)
        merged = block.eval().merged()  # in eval mode, so that batch statistics play no part
        assert torch.allclose(block(x), merged(x), atol=1e-5)
        for net in (block, merged):
            optimizer = torch.optim.SGD(net.parameters(), 0.5)
            F.mse_loss(net(x), target).backward()
            optimizer.step()
        assert (block(x) - merged(x)).abs().max() > 1e-3


@holds("ResNet", "VGG with BatchNorm", "MobileNetV2")
def check_folded_siblings():
    import torchvision
    from torch.nn.utils import fuse_conv_bn_eval

    models = torchvision.models
    parts = (models.resnet18().layer1[0], models.vgg11_bn().features[:8], models.mobilenet_v2().features[3])
    for part, shape in zip(parts, ((1, 64, 8, 8), (1, 3, 16, 16), (1, 24, 8, 8))):
        modules = list(part.eval().named_modules())
        x = torch.randn(shape)
        with torch.no_grad():
            before = part(x)
            for (name, conv), (after, bn) in zip(
                [m for m in modules if isinstance(m[1], nn.Conv2d)],
                [m for m in modules if isinstance(m[1], nn.BatchNorm2d)],
                strict=True,
            ):
                part.set_submodule(name, fuse_conv_bn_eval(conv, bn))
                part.set_submodule(after, nn.Identity())
            assert torch.allclose(part(x), before, atol=1e-5)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in part.modules())
    assert parts[2].use_res_connect and [c.groups > 1 for c in parts[2].modules() if isinstance(c, nn.Conv2d)] == [
        False,
        True,
        False,
    ]


@pitfall("Fine-tuning the merged model works worse")
def check_fine_tuning_on_digits():
    """Five digits first, then all ten: the branches learn in the steps in which the merged chain does not."""
    pixels, y = handwritten_digits()
    x, early = pixels.view(-1, 1, 8, 8), y < 5

    def mean_loss(net, x, y, rate, steps):
        optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9)
        return sum(minibatch_losses(net, optimizer, x, y, 32, steps)[-10:]) / 10

    first, second = (nn.Sequential(Branches(12), Branches(12)) for _ in range(2))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10))
    net = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), first, nn.MaxPool2d(2), second, head)
    mean_loss(net, x[early], y[early], 0.05, 40)
    chain = copy.deepcopy(net.eval())
    for part in (1, 3):
        chain[part] = nn.Sequential(*(block.merged() for block in chain[part]))
    assert torch.allclose(net(x[:50]), chain(x[:50]), atol=1e-4)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in chain.modules())
    branches = mean_loss(net.train(), x, y, 0.02, 50)
    assert branches < 1.5 and mean_loss(chain, x, y, 0.02, 50) > branches + 0.4
    block, sample = net.eval()[1][0], torch.rand(2, 12, 8, 8)
    assert torch.allclose(block(sample), block.merged()(sample), atol=1e-4)


@pitfall("Accuracy collapses after 8-bit quantization")
def check_one_scale_for_unequal_kernels():
    """A channel of tiny variance gets a huge folded kernel; the cure for kernels is run, that for activations is not."""
    block = Branches(8)
    nn.init.constant_(block.norms[0].running_var, 1.0)
    block.norms[0].running_var[0] = 1e-6
    merged = block.eval().merged()
    weight = merged[0].weight.detach()
    relative = {}
    for name, largest in (("tensor", weight.abs().max()), ("channel", weight.abs().amax((1, 2, 3), keepdim=True))):
        scale = largest / 127
        error = (weight / scale).round() * scale - weight
        relative[name] = float((error[1:].norm() / weight[1:].norm()))
    assert relative["tensor"] > 0.1 and relative["channel"] < 0.02


@pitfall('"The size of tensor a (14) must match the size of tensor b (16)" in the sum')
def check_branches_of_different_size_do_not_add():
    x = torch.randn(2, 3, 14, 14)
    for options in ({"padding": 1}, {"stride": 2}):
        raises(
            RuntimeError,
            lambda: nn.Conv2d(3, 3, 3, padding=1)(x) + nn.Conv2d(3, 3, 1, **options)(x),
            f"The size of tensor a (14) must match the size of tensor b ({16 if 'padding' in options else 7})",
        )
    for stride in (1, 2):
        maps = (nn.Conv2d(3, 3, 3, stride, padding=1)(x), nn.Conv2d(3, 3, 1, stride)(x), *([x] if stride == 1 else []))
        assert sum(maps).shape == (2, 3, 14 // stride, 14 // stride)


@holds("Parameters")
def check_by_hand():
    kernel = 0.5 * torch.tensor([[0.0, 1, 0], [1, 2, 1], [0, 1, 0]])
    kernel[1, 1] += 0.25 * 4 + 1
    stated("3.0", kernel[1, 1])
    assert kernel[0, 1] == 0.5 and kernel[0, 0] == 0
    stated("5.0", F.conv2d(torch.ones(1, 1, 3, 3), kernel.view(1, 1, 3, 3))[0, 0, 0, 0])
    branches = nn.ModuleList(
        [nn.Conv2d(64, 64, 3, bias=False), nn.Conv2d(64, 64, 1, bias=False), *(nn.BatchNorm2d(64) for _ in range(3))]
    )
    stated("41,344", sum(p.numel() for p in branches.parameters()))
    stated("36,928", sum(p.numel() for p in nn.Conv2d(64, 64, 3).parameters()))
    wide, point = (nn.Conv2d(64, 64, size, bias=False).weight.numel() for size in (3, 1))
    assert point / (wide + point) == 0.1
    assert 10 * 64**2 + 6 * 64 == 41_344 and 9 * 64**2 + 64 == 36_928


@holds("Does merging reduce multiply-adds?")
def check_work_of_the_branches():
    from torch.utils.flop_counter import FlopCounterMode

    counts, block = [], Branches(16).eval()
    for net in (block, block.merged()):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.zeros(1, 16, 14, 14))
        counts.append(counter.get_total_flops())
    assert abs(counts[1] / counts[0] - 0.9) < 1e-9


@holds("Input → output", "dtype", "Defaults")
def check_contract():
    import torchvision

    block = Branches(4).eval()
    for n in block.norms:
        nn.init.uniform_(n.running_var, 0.1, 3)
    x = torch.randn(2, 4, 7, 6)
    gap = float((block(x) - block.merged()(x)).detach().abs().max())
    exact = Branches(4).double().eval()
    exact.load_state_dict(block.state_dict())
    kernel = sum(
        folded(k.detach().numpy(), n)[0]
        for k, n in zip(
            (
                exact.wide.weight,
                F.pad(exact.point.weight, [1] * 4),
                F.pad(torch.eye(4).double().view(4, 4, 1, 1), [1] * 4),
            ),
            exact.norms,
        )
    )
    merged = F.conv2d(
        x.double(),
        torch.tensor(kernel),
        sum(n.bias - n.weight * n.running_mean / (n.running_var + n.eps).sqrt() for n in exact.norms),
        padding=1,
    ).relu()
    assert (
        block(x).shape == block.merged()(x).shape == x.shape
        and (merged - exact(x.double())).abs().max() < 1e-12 < gap < 1e-4
    )
    raises(ValueError, lambda: block(x[0]))
    assert block.merged()(x[0]).shape == (4, 7, 6)
    for dtype in (torch.int64, torch.float64):
        raises(RuntimeError, lambda: block(x.to(dtype)))
    narrow = nn.Conv2d(4, 8, 3, padding=1)(x)
    raises(RuntimeError, lambda: narrow + nn.BatchNorm2d(4)(x))  # other width: the identity does not fit

    assert not any("repvgg" in name for name in torchvision.models.list_models())
    assert nn.Conv2d(4, 4, 3, padding=1)(torch.randn(4, 6, 6)).shape == (4, 6, 6)
    raises(ValueError, lambda: nn.BatchNorm2d(4).eval()(torch.randn(4, 6, 6)))


@holds("Could more branches be merged?", "Why not merge a ResNet block in this way?")
def check_a_relu_between_prevents_merging():
    """Two convolutions without activation are one linear map, with ReLU between them not."""
    first, second = nn.Conv2d(2, 4, 1, bias=False).double(), nn.Conv2d(4, 2, 3, bias=False).double()
    x, y = torch.randn(2, 1, 2, 6, 6, dtype=torch.float64)
    linear = lambda v: second(first(v))
    bent = lambda v: second(first(v).relu())
    torch.testing.assert_close(linear(x + y), linear(x) + linear(y))
    assert not torch.allclose(bent(x + y), bent(x) + bent(y), atol=1e-3)
    kernel = torch.einsum("ohkl,hi->oikl", second.weight, first.weight[:, :, 0, 0])
    torch.testing.assert_close(F.conv2d(x, kernel), linear(x))
    shifted, padded = nn.Conv2d(2, 4, 1).double(), nn.Conv2d(4, 2, 3, padding=1).double()
    kernel = torch.einsum("ohkl,hi->oikl", padded.weight, shifted.weight[:, :, 0, 0])
    gap = (
        F.conv2d(x, kernel, padded.bias + padded.weight.sum((2, 3)) @ shifted.bias, padding=1) - padded(shifted(x))
    ).abs()
    assert gap[..., 1:-1, 1:-1].max() < 1e-9 and gap.max() > 1e-3
    flat = torch.randn(2, 2, 1, 3, dtype=torch.float64)
    torch.testing.assert_close(F.conv2d(x, flat, padding=(0, 1)), F.conv2d(x, F.pad(flat, [0, 0, 1, 1]), padding=1))
    torch.testing.assert_close(
        F.avg_pool2d(x, 3, 1, 1), F.conv2d(x, torch.eye(2).double().view(2, 2, 1, 1).expand(2, 2, 3, 3) / 9, padding=1)
    )
