import numpy as np
import torch
import torchvision
from scipy.special import erf
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from note_checks import formula, holds, pitfall, raises, sourced, stated, unexecuted
from trainings import descend

DISTILLATION = r"L = \tfrac12\, \mathrm{CE}(z^{c}, y) + \tfrac12\, \mathrm{CE}\left( z^{d}, \arg\max_k z^{t}_k \right)"
REDUCTION = r"\Omega = 2 \cdot N \cdot \frac{N}{R^2} \cdot C"
MIXER = r"U = X + W_2\, \sigma\left( W_1\, \mathrm{LN}(X) \right), \qquad Y = U + \sigma\left( \mathrm{LN}(U)\, W_3 \right) W_4"


sourced(
    "DeiT, arXiv 2012.12877; MLP-Mixer, arXiv 2105.01601; PVT, arXiv 2102.12122",
    "DeiT",
    "PVT",
    "MLP-Mixer",
    "Input → output",
)
sourced("the model lists of timm and transformers", "Defaults")
sourced("DeiT's models.py (DistilledVisionTransformer.forward) and timm's deit.py", "Same in train and eval?")
sourced("DeiT, arXiv 2012.12877, table 3", "Why a separate distillation token?")
sourced("DeiT, arXiv 2012.12877, table 2 and the text on convnet teachers", "Why does DeiT take a CNN as teacher?")
sourced(
    "the papers of DeiT, PVT and MLP-Mixer, figures of the architecture", "What do DeiT, PVT and Mixer keep from ViT?"
)


@formula(DISTILLATION)
def check_distillation():
    for n, k in [(4, 3), (7, 10), (1, 2)]:
        c, d, t = torch.randn(3, n, k, dtype=torch.float64)
        y = torch.randint(0, k, (n,))
        library = (F.cross_entropy(c, y) + F.cross_entropy(d, t.argmax(1))) / 2
        log_softmax = lambda z: z - np.log(np.exp(z).sum(1, keepdims=True))
        rows = np.arange(n)
        ours = (
            -0.5 * log_softmax(c.numpy())[rows, y.numpy()].mean()
            - 0.5 * log_softmax(d.numpy())[rows, t.numpy().argmax(1)].mean()
        )
        np.testing.assert_allclose(ours, float(library))


@formula(REDUCTION)
@holds("Cost")
def check_reduced_attention():
    for side, R, C in [(56, 8, 64), (28, 4, 16), (8, 1, 6)]:
        N = side * side
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            x = torch.zeros(1, C, side, side)
            q, k = x.flatten(2).transpose(1, 2), nn.AvgPool2d(R)(x).flatten(2).transpose(1, 2)
            torch.bmm(torch.bmm(q, k.transpose(1, 2)), k)
        assert counter.get_total_flops() == 2 * (2 * N * N // R**2 * C)
    stated("1,258,815,488", 2 * 3136 * 3136 * 64)
    stated("19,668,992", 2 * 3136 * 49 * 64)


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


class Mixer(nn.Module):
    """The library's layers put together, without biases, as the formula has it."""

    def __init__(self, S, C, DS, DC):
        super().__init__()
        self.w1, self.w2 = nn.Linear(S, DS, bias=False), nn.Linear(DS, S, bias=False)
        self.w3, self.w4 = nn.Linear(C, DC, bias=False), nn.Linear(DC, C, bias=False)
        self.ln = nn.LayerNorm(C)

    def forward(self, x):
        u = x + self.w2(F.gelu(self.w1(self.ln(x).transpose(1, 2)))).transpose(1, 2)
        return u + self.w4(F.gelu(self.w3(self.ln(u))))


@formula(MIXER)
def check_mixer():
    for S, C, DS, DC in [(4, 6, 3, 8), (9, 2, 5, 4), (1, 5, 2, 2)]:
        layer = Mixer(S, C, DS, DC).double()
        x = torch.randn(2, S, C, dtype=torch.float64)
        w1, w2, w3, w4 = (w.weight.detach().numpy() for w in (layer.w1, layer.w2, layer.w3, layer.w4))
        for n in range(2):
            X = x[n].numpy()
            U = X + w2 @ gelu(w1 @ norm(X))
            Y = U + gelu(norm(U) @ w3.T) @ w4.T
            np.testing.assert_allclose(Y, layer(x)[n].detach().numpy(), atol=1e-9)


@holds("Cost", "Input → output", "dtype")
def check_work_and_input_of_a_mixer():
    work = []
    for S in (49, 196):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            Mixer(S, 64, 32, 128)(torch.zeros(1, S, 64))
        work.append(counter.get_total_flops())
    assert work[1] == 4 * work[0]
    raises(RuntimeError, lambda: Mixer(4, 6, 3, 8)(torch.zeros(1, 9, 6)))
    for dtype in (torch.int64, torch.float64):
        raises(RuntimeError, lambda: Mixer(4, 6, 3, 8)(torch.zeros(1, 4, 6, dtype=dtype)))


@holds("Swin", "ConvNeXt")
def check_pyramids_of_the_siblings():
    for name, axis in (("swin_t", 1), ("convnext_tiny", 3)):
        with torch.device("meta"):
            net, h, sides = getattr(torchvision.models, name)().eval(), torch.zeros(1, 3, 224, 224), set()
            for stage in net.features:
                h = stage(h)
                sides.add(h.shape[axis])
        assert sides == {56, 28, 14, 7}
        attends = any(type(m).__name__.startswith("ShiftedWindowAttention") for m in net.modules())
        assert attends == (name == "swin_t")


@holds("Parameters")
def check_numbers():
    with torch.device("meta"):
        vit = sum(p.numel() for p in torchvision.models.vit_b_16().parameters())
    stated("86,567,656", vit)
    stated("87,338,192", vit + 768 + 768 + 769_000)
    count = lambda *sizes: sum(p.numel() for a, b in sizes for p in nn.Linear(a, b).parameters())
    token, channel = count((196, 384), (384, 196)), count((768, 3072), (3072, 768))
    stated("151,108", token)
    stated("4,722,432", channel)
    stated("3,072", 2 * 2 * 768)
    stated("4,876,612", token + channel + 3072)
    stated("58,519,344", 12 * (token + channel + 3072))
    patches = sum(p.numel() for p in nn.Conv2d(3, 768, 16, stride=16).parameters())
    stated("59,880,472", 12 * (token + channel + 3072) + patches + 2 * 768 + count((768, 1000)))


unexecuted("DeiT trained from scratch stays far below the paper", "needs 300 epochs of ImageNet")


@pitfall("A fine-tuned distilled DeiT leaves one of its two heads unused")
def check_both_heads():
    """The two outputs of a distilled encoder, trained on with a head each; without the second head its signal is lost."""
    y = torch.randint(0, 4, (600,))
    tokens = [F.one_hot(y, 4) + 1.5 * torch.randn(600, 4) for _ in range(2)]
    heads = [nn.Linear(4, 4), nn.Linear(4, 4)]
    raises(RuntimeError, lambda: heads[0](tokens[0]) + nn.Linear(4, 1000)(tokens[1]), "must match the size")
    assert (nn.Linear(4, 1)(tokens[0]) + nn.Linear(4, 1000)(tokens[1])).shape == (600, 1000)
    optimizer = torch.optim.Adam([p for head in heads for p in head.parameters()], 0.05)
    descend(optimizer, lambda: sum(F.cross_entropy(head(t[:300]), y[:300]) for head, t in zip(heads, tokens)), 100)
    accuracy = lambda logits: float((logits.argmax(1) == y[300:]).double().mean())
    first, second = (head(t[300:]) for head, t in zip(heads, tokens))
    assert accuracy((first + second) / 2) > accuracy(first) + 0.03


@pitfall('"PVT attention is linear"')
def check_growth_of_reduced_attention():
    """Twice the side is four times the tokens: sixteen times the cost with a fixed reduction, four times with 7x7 keys."""
    costs = {}
    for side in (56, 112):
        for name, shrink in (("PVT", nn.AvgPool2d(8)), ("pooled", nn.AdaptiveAvgPool2d(7))):
            with torch.device("meta"), FlopCounterMode(display=False) as counter:
                x = torch.zeros(1, 64, side, side)
                q, k = x.flatten(2).transpose(1, 2), shrink(x).flatten(2).transpose(1, 2)
                torch.bmm(torch.bmm(q, k.transpose(1, 2)), k)
            costs[name, side] = counter.get_total_flops()
    assert costs["PVT", 112] == 16 * costs["PVT", 56] and costs["pooled", 112] == 4 * costs["pooled", 56]


@pitfall("Mixer refuses another image size")
@holds("Defaults", "MLP-Mixer")
def check_mixer_is_bound_to_its_number_of_patches():
    layer = Mixer(16, 4, 8, 8)
    assert layer(torch.randn(1, 16, 4)).shape == (1, 16, 4)
    raises(RuntimeError, lambda: layer(torch.randn(1, 25, 4)), "shapes cannot be multiplied")
    raises(RuntimeError, lambda: layer(torch.randn(1, 4 * 7, 4)), "shapes cannot be multiplied")  # shorter side only
    patches = F.interpolate(torch.randn(1, 3, 40, 40), size=32).unfold(2, 8, 8).unfold(3, 8, 8)
    assert layer(patches.reshape(1, 3, 16, 64).mean(-1).transpose(1, 2) @ torch.randn(3, 4)).shape == (1, 16, 4)
    with torch.device("meta"):
        vits = [torchvision.models.vit_b_16(image_size=size).state_dict() for size in (224, 384)]
    assert [k for k in vits[0] if vits[0][k].shape != vits[1][k].shape] == ["encoder.pos_embedding"]
    assert not any(name.startswith(("deit", "pvt", "mixer")) for name in torchvision.models.list_models())


@holds("Is token mixing a convolution?")
def check_token_mixing_is_a_shared_depthwise_convolution():
    S, C, out = 9, 4, 5
    weight = torch.randn(out, S, dtype=torch.float64)
    x = torch.randn(2, C, 3, 3, dtype=torch.float64)
    mixed = x.flatten(2) @ weight.T
    kernels = weight.view(out, 1, 3, 3).repeat(C, 1, 1, 1)
    conv = F.conv2d(x, kernels, groups=C).view(2, C, out)
    torch.testing.assert_close(conv, mixed)
    mix = nn.Linear(S, S, bias=False).double()
    moved = lambda z: z.view(2, C, 3, 3).roll(1, 3).flatten(2)
    assert not torch.allclose(mix(moved(x)), moved(mix(x.flatten(2))), atol=1e-3)
