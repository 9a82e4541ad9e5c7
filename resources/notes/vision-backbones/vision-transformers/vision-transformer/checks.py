import inspect
from contextlib import nullcontext

import numpy as np
import torch
import torchvision
from scipy.special import erf
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import v2
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

INPUT = r"z_0 = \left[ c;\; x_1 E + b;\; \dots;\; x_N E + b \right] + E_{\mathrm{pos}}"
LAYER = r"z'_l = z_{l-1} + \mathrm{MSA}(\mathrm{LN}(z_{l-1})), \qquad z_l = z'_l + \mathrm{MLP}(\mathrm{LN}(z'_l))"
HEAD = r"\mathrm{logits} = W\, \mathrm{LN}(z_L)_0 + b_W"
PARAMETERS = r"(3P^2 + 1)D + D + (N + 1)D + L\,(12D^2 + 13D) + 2D + (D + 1)K"


by_definition("DeiT-B")
sourced("DeiT, arXiv 2012.12877, abstract and table 1", "DeiT-B")
sourced(
    "Raghu et al., Do Vision Transformers See Like Convolutional Neural Networks?, arXiv 2108.08810",
    "Do ViTs and CNNs learn the same features?",
)
sourced("ViT, arXiv 2010.11929, appendix D (head type and class token)", "Class token or average pooling?")
sourced("ViT, arXiv 2010.11929, introduction", "What is inductive bias?")


def model(name, **options):
    with torch.device("meta"):
        return getattr(torchvision.models, name)(**options)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def small(size=12, patch=4, heads=2, width=8, layers=2, classes=5):
    net = VisionTransformer(size, patch, layers, heads, width, 4 * width, num_classes=classes).double().eval()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return net


def norm(z, layer):
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-6)
    return z * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def linear(z, weight, bias):
    return z @ weight.detach().numpy().T + bias.detach().numpy()


def attention(z, layer, heads):
    n, t, d = z.shape
    q, k, v = np.split(linear(z, layer.in_proj_weight, layer.in_proj_bias), 3, -1)
    q, k, v = (a.reshape(n, t, heads, d // heads).transpose(0, 2, 1, 3) for a in (q, k, v))
    score = q @ k.transpose(0, 1, 3, 2) / np.sqrt(d // heads)
    weight = np.exp(score - score.max(-1, keepdims=True))
    mixed = (weight / weight.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(n, t, d)
    return linear(mixed, layer.out_proj.weight, layer.out_proj.bias)


@formula(INPUT, LAYER, HEAD)
def check_forward_equals_the_library():
    for size, patch, heads, width in [(12, 4, 2, 8), (8, 2, 1, 6), (4, 4, 3, 6)]:
        net, n = small(size, patch, heads, width), size // patch
        x = torch.randn(2, 3, size, size, dtype=torch.float64)
        patches = x.numpy().reshape(2, 3, n, patch, n, patch).transpose(0, 2, 4, 1, 3, 5).reshape(2, n * n, -1)
        z = linear(patches, net.conv_proj.weight.flatten(1), net.conv_proj.bias)
        z = np.concatenate([np.broadcast_to(net.class_token.detach().numpy(), (2, 1, width)), z], 1)
        z = z + net.encoder.pos_embedding.detach().numpy()
        for block in net.encoder.layers:
            z = z + attention(norm(z, block.ln_1), block.self_attention, heads)
            h = linear(norm(z, block.ln_2), block.mlp[0].weight, block.mlp[0].bias)
            z = z + linear(h * (1 + erf(h / np.sqrt(2))) / 2, block.mlp[3].weight, block.mlp[3].bias)
        ours = linear(norm(z, net.encoder.ln)[:, 0], net.heads.head.weight, net.heads.head.bias)
        np.testing.assert_allclose(ours, net(x).detach().numpy(), atol=1e-8)


@formula(PARAMETERS)
@holds("Parameters")
def check_parameter_formula():
    count = lambda P, D, N, L, K: (3 * P**2 + 1) * D + D + (N + 1) * D + L * (12 * D**2 + 13 * D) + 2 * D + (D + 1) * K
    for name, P, D, L, text in [
        ("vit_b_16", 16, 768, 12, "86,567,656"),
        ("vit_b_32", 32, 768, 12, "88,224,232"),
        ("vit_l_16", 16, 1024, 24, "304,326,632"),
    ]:
        assert parameters(model(name)) == count(P, D, (224 // P) ** 2, L, 1000)
        stated(text, parameters(model(name)))
    assert parameters(small(12, 4, 2, 8, 2, 5)) == count(4, 8, 9, 2, 5)
    assert model("vit_b_32").encoder.pos_embedding.shape[1] == 50


@holds("ViT-B/16", "Swin-T", "ResNet-50", "Why is B/32 larger than B/16 but cheaper?")
def check_work_at_two_sizes():
    def work(name, size, **options):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            getattr(torchvision.models, name)(**options).train()(torch.zeros(2, 3, size, size))
        return counter.get_total_flops() / 4

    for name, text, factor, sized in (
        ("vit_b_16", "17.6", "4.47", True),
        ("swin_t", "4.49", "4.00", False),
        ("resnet50", "4.09", "4.00", False),
    ):
        small = work(name, 224)
        stated(text, small / 1e9)
        stated(factor, work(name, 448, **({"image_size": 448} if sized else {})) / small)
    assert 15.8 < (28**2 + 1) ** 2 / 197**2 < 16  # numbers in an attention matrix
    stated("4.41", work("vit_b_32", 224) / 1e9)
    wide, fine = model("vit_b_32"), model("vit_b_16")
    assert wide.conv_proj.weight.numel() == 4 * fine.conv_proj.weight.numel() and parameters(wide) > parameters(fine)


@check
def check_numbers():
    net = model("vit_b_16")
    stated("590,592", parameters(net.conv_proj))
    stated("151,296", net.encoder.pos_embedding.numel())
    assert net.encoder.pos_embedding.shape == (1, 197, 768) and net.class_token.numel() == 768
    stated("7,087,872", parameters(net.encoder.layers[0]))
    stated("85,054,464", parameters(net.encoder.layers))
    stated("1,536", parameters(net.encoder.ln))
    stated("769,000", parameters(net.heads))


@holds("What is inductive bias?")
@pitfall("Worse than a ResNet on your own small dataset")
def check_few_images():
    """A hundred digits: a small CNN, a small ViT, and one pretrained on a thousand others. The DeiT recipe is not run."""
    pixels, y = handwritten_digits()
    x = pixels.view(-1, 1, 8, 8).expand(-1, 3, -1, -1)

    def accuracy(net, *runs):
        optimizer = torch.optim.Adam(net.parameters(), 3e-3)
        for first, last, steps in runs:
            for _ in range(steps):
                batch = torch.randint(first, last, (32,))
                optimizer.zero_grad()
                F.cross_entropy(net(x[batch]), y[batch]).backward()
                optimizer.step()
        return float((net(x[1300:]).argmax(1) == y[1300:]).float().mean())

    def transformer():
        net = VisionTransformer(8, 2, 2, 4, 32, 64, num_classes=10)
        nn.init.normal_(net.conv_proj.weight, std=0.2)
        return net

    convolutions = (
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
    )
    cnn = nn.Sequential(*convolutions, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    few = (0, 100, 100)
    scratch = accuracy(transformer(), few)
    assert (
        accuracy(cnn, few) > scratch + 0.05 and accuracy(transformer(), (200, 1300, 150), (0, 100, 20)) > scratch + 0.05
    )


@pitfall('"Wrong image height! Expected 224 but got 256!"')
def check_image_size_is_fixed():
    with torch.no_grad():
        net, persons = torchvision.models.vit_b_32(num_classes=3).eval(), torch.randn(1, 3, 256, 128)
        raises(AssertionError, lambda: net(persons), "Wrong image height! Expected 224 but got 256!")
        assert v2.Resize((224, 224))(persons).shape == (1, 3, 224, 224)
        raises(AssertionError, lambda: net(v2.Resize(224)(persons)), "Wrong image height! Expected 224 but got 448!")
        raises(AssertionError, lambda: model("vit_b_32", image_size=250), "indivisible by patch size")
        assert net(torch.nn.functional.interpolate(persons, size=(224, 224))).shape == (1, 3)
        net.heads.head = nn.Linear(768, 5)
        assert net(v2.Resize((224, 224))(persons)).shape == (1, 5)
        net.heads.head = nn.Linear(768, 3)
        larger = model("vit_b_32", num_classes=3, image_size=256)
        larger.load_state_dict(interpolate_embeddings(256, 32, net.state_dict()), assign=True)
        assert larger.eval()(torch.randn(1, 3, 256, 256)).shape == (1, 3)
        other = model("vit_b_32", num_classes=7, image_size=256)
        moved = interpolate_embeddings(256, 32, net.state_dict())
        raises(RuntimeError, lambda: other.load_state_dict(moved, assign=True), "size mismatch for heads.head")
        larger.heads.head = nn.Linear(768, 7)
        assert larger(torch.randn(1, 3, 256, 256)).shape == (1, 7)
        raises(AssertionError, lambda: larger(persons), "Wrong image width!")


@holds("Cost")
@pitfall("A FLOP counter gives 11.3 G multiply-adds for ViT-B/16")
def check_cost_and_the_blind_counter():
    work = {}
    for device, mode in [("meta", True), ("cpu", True), ("cpu", False)]:
        with (
            torch.device(device) if device == "meta" else nullcontext()
        ):  # even torch.device("cpu") switches the fused path off
            net = torchvision.models.vit_b_16().train(mode)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                net(torch.zeros(1, 3, 224, 224))
        work[device, mode] = counter.get_total_flops() / 2
    stated("16.8", work["cpu", True] / 1e9)
    stated("11.3", work["cpu", False] / 1e9)
    stated("17.6", work["meta", True] / 1e9)
    T, D = 197, 768
    assert work["meta", True] == 196 * D * D + 12 * (12 * D * D * T + 2 * T * T * D) + D * 1000


@check
def check_fused_path_needs_no_grad():
    attention, x, counted = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval(), torch.randn(1, 5, 16), []
    for gradients in (True, False):
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(gradients):
            attention(x, x, x, need_weights=False)
        counted.append(counter.get_total_flops())
    assert counted[0] > 0 and counted[1] == 0


@holds("Input → output", "dtype", "Defaults", "Same in train and eval?")
def check_contract():
    assert inspect.signature(VisionTransformer).parameters["dropout"].default == 0.0
    assert inspect.signature(torchvision.models.vit_b_16).parameters["weights"].default is None
    for dtype in (torch.int64, torch.float64):
        raises(RuntimeError, lambda: VisionTransformer(8, 4, 1, 1, 4, 8)(torch.zeros(1, 3, 8, 8, dtype=dtype)))
    fused = VisionTransformer(12, 4, 2, 2, 8, 32, num_classes=5)
    nn.init.normal_(fused.heads.head.weight)
    with torch.no_grad():
        picture = torch.randn(2, 3, 12, 12)
        torch.testing.assert_close(fused.train()(picture), fused.eval()(picture), rtol=1e-4, atol=1e-5)
    net = torchvision.models.vit_b_16()
    assert net.encoder.ln.eps == 1e-6 and net.encoder.dropout.p == 0.0
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert (net(x) == 0).all()
        for bad in (torch.randn(1, 3, 256, 224), torch.randn(3, 224, 224)):
            try:
                net(bad)
            except (AssertionError, ValueError) as error:
                assert bad.dim() == 3 or "Wrong image height! Expected 224 but got 256!" in str(error)
            else:
                raise AssertionError("expected an error")
    tiny = small()
    y = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(tiny.train()(y), tiny.eval()(y))


@pitfall('"ViT knows where a patch is from its order"')
def check_patches_are_a_set_without_positions():
    """And the interpolation keeps the class token's vector, and a pattern that is linear in row and column."""
    net = small()
    x = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    blocks = x.reshape(1, 3, 3, 4, 3, 4).permute(0, 2, 4, 1, 3, 5).reshape(1, 9, 3, 4, 4)
    mixed = blocks[:, torch.randperm(9)].reshape(1, 3, 3, 3, 4, 4).permute(0, 3, 1, 4, 2, 5).reshape(1, 3, 12, 12)
    assert not torch.equal(mixed, x) and not torch.allclose(net(mixed), net(x), atol=1e-3)
    torch.nn.init.zeros_(net.encoder.pos_embedding)
    torch.testing.assert_close(net(mixed), net(x))
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    grid = torch.cat([torch.full((1, 2), 9.0), torch.stack([rows, columns], -1).view(36, 2)])[None]
    resized = interpolate_embeddings(48, 4, {"encoder.pos_embedding": grid.clone()})["encoder.pos_embedding"][0]
    assert resized.shape == (145, 2) and torch.equal(resized[0], grid[0, 0])
    rows, columns = resized[1:].view(12, 12, 2).unbind(-1)
    assert (
        (rows.diff(dim=0) > -0.1).all()
        and rows.diff(dim=1).abs().max() < 1e-4
        and columns.diff(dim=0).abs().max() < 1e-4
    )
