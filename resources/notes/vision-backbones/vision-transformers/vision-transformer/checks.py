from contextlib import nullcontext

import numpy as np
import torch
import torchvision
from scipy.special import erf
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.vision_transformer import VisionTransformer

from note_checks import check, formula, stated

INPUT = r"z_0 = \left[ c;\; x_1 E + b;\; \dots;\; x_N E + b \right] + E_{\mathrm{pos}}"
LAYER = r"z'_l = z_{l-1} + \mathrm{MSA}(\mathrm{LN}(z_{l-1})), \qquad z_l = z'_l + \mathrm{MLP}(\mathrm{LN}(z'_l))"
HEAD = r"\mathrm{logits} = W\, \mathrm{LN}(z_L)_0 + b_W"
PARAMETERS = r"(3P^2 + 1)D + D + (N + 1)D + L\,(12D^2 + 13D) + 2D + (D + 1)K"


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
def check_parameter_formula():
    count = lambda P, D, N, L, K: (3 * P**2 + 1) * D + D + (N + 1) * D + L * (12 * D**2 + 13 * D) + 2 * D + (D + 1) * K
    for name, P, D, L, text in [("vit_b_16", 16, 768, 12, "86,567,656"), ("vit_b_32", 32, 768, 12, "88,224,232"), ("vit_l_16", 16, 1024, 24, "304,326,632")]:
        assert parameters(model(name)) == count(P, D, (224 // P) ** 2, L, 1000)
        stated(text, parameters(model(name)))
    assert parameters(small(12, 4, 2, 8, 2, 5)) == count(4, 8, 9, 2, 5)
    assert model("vit_b_32").encoder.pos_embedding.shape[1] == 50


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


@check
def check_cost_and_the_blind_counter():
    work = {}
    for device, mode in [("meta", True), ("cpu", True), ("cpu", False)]:
        with torch.device(device) if device == "meta" else nullcontext():  # even torch.device("cpu") switches the fused path off
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


@check
def check_contract():
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


@check
def check_patches_are_a_set_without_positions():
    net = small()
    x = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    blocks = x.reshape(1, 3, 3, 4, 3, 4).permute(0, 2, 4, 1, 3, 5).reshape(1, 9, 3, 4, 4)
    mixed = blocks[:, torch.randperm(9)].reshape(1, 3, 3, 3, 4, 4).permute(0, 3, 1, 4, 2, 5).reshape(1, 3, 12, 12)
    assert not torch.equal(mixed, x) and not torch.allclose(net(mixed), net(x), atol=1e-3)
    torch.nn.init.zeros_(net.encoder.pos_embedding)
    torch.testing.assert_close(net(mixed), net(x))
