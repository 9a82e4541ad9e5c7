import contextlib
import io
import math
import re

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn.functional import cross_entropy, interpolate, max_pool2d

from note_checks import check, formula, holds, pitfall, raises, sourced, stated, subject
from trainings import descend, handwritten_digits

PAPER = "EfficientDet, arXiv 1911.09070, "
sourced(
    PAPER + "sections 3 and 4, table 1; google/automl, efficientdet/hparams_config.py: num_scales 3, 3 ratios",
    "Raw output",
    "Defaults",
)
sourced(PAPER + "section 5.1: alpha 0.25, gamma 1.5", "Defaults")
sourced(PAPER + "section 4.1; google/automl, efficientdet: NMS in post-processing", "Same in train and eval?")
sourced(PAPER + "sections 3.1 and 3.2 and figure 2", "FPN", "PANet", "BiFPN")
sourced("YOLOv4, arXiv 2004.10934, section 3.4: PAN with concatenation in place of addition", "PANet")
sourced("NAS-FPN, arXiv 1904.07392, section 3", "NAS-FPN")
sourced(PAPER + "sections 3.3 and 5.3, table 6", "Why not softmax?")
sourced(PAPER + "section 5.4, figure 6", "Why scale everything together?")
sourced(
    PAPER + "section 4.1; google/automl, efficientdet/tf2/efficientdet_keras.py, ClassNet and BoxNet",
    "Are the heads separate for each level?",
)

# verified: formula-only (no EfficientDet in torchvision): NumPy against tensor operations.
FUSION = r"O = \sum_i \frac{w_i}{\varepsilon + \sum_j w_j}\, I_i"
LEVEL6 = r"""
P_6^{td} = \mathrm{conv}\!\left( \frac{w_1 P_6^{in} + w_2 \uparrow\! P_7^{in}}{w_1 + w_2 + \varepsilon} \right), \qquad
P_6^{out} = \mathrm{conv}\!\left( \frac{w_1' P_6^{in} + w_2' P_6^{td} + w_3' \downarrow\! P_5^{out}}{w_1' + w_2' + w_3' + \varepsilon} \right)
"""
SCALING = r"""
R = 512 + 128\, \varphi, \qquad W = 64 \cdot 1.35^{\varphi}, \qquad D_{\text{BiFPN}} = 3 + \varphi, \qquad D_{\text{head}} = 3 + \lfloor \varphi / 3 \rfloor
"""
EPS = 1e-4


def fused(v, maps):
    w = [max(0.0, x) for x in v]
    return sum(a / (EPS + sum(w)) * m for a, m in zip(w, maps))


@formula(FUSION)
@holds("What is $\\varepsilon$ for?")
def check_fusion():
    for n in (2, 3):
        v = torch.randn(n, dtype=torch.float64)
        maps = [torch.randn(2, 3, 4, 4, dtype=torch.float64) for _ in range(n)]
        w = v.relu()
        library = torch.einsum("i,inchw->nchw", w / (w.sum() + EPS), torch.stack(maps))
        np.testing.assert_allclose(fused(v.tolist(), [m.numpy() for m in maps]), library.numpy(), atol=1e-12)
    stated("4.9999", fused([1, 3], [2.0, 6.0]))
    stated("1.9998", fused([1, -0.5], [2.0, 6.0]))
    assert fused([-1, -2], [2.0, 6.0]) == 0
    stated("0.99995", fused([1, 1], [1.0, 1.0]))
    assert fused([EPS, EPS], [1.0, 1.0]) < 0.7  # tiny weights
    assert torch.isnan(torch.zeros(2) / torch.zeros(2).sum()).all()  # without it


@formula(LEVEL6)
def check_level_six():
    p6, p7, p5out = (torch.randn(1, 2, n, n, dtype=torch.float64) for n in (4, 2, 8))
    a, b = torch.rand(2, dtype=torch.float64) + 0.1, torch.rand(3, dtype=torch.float64) + 0.1
    conv = nn.Sequential(nn.SiLU(), nn.Conv2d(2, 2, 3, 1, 1, groups=2, bias=False), nn.Conv2d(2, 2, 1)).double()
    td = conv((a[0] * p6 + a[1] * interpolate(p7, (4, 4))) / (a.sum() + EPS))
    out = conv((b[0] * p6 + b[1] * td + b[2] * max_pool2d(p5out, 3, 2, 1)) / (b.sum() + EPS))
    up = p7.numpy().repeat(2, 2).repeat(2, 3)
    down = np.stack(
        [
            [
                [
                    p5out.numpy()[0, c, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2].max()
                    for j in range(4)
                ]
                for i in range(4)
            ]
            for c in range(2)
        ]
    )[None]
    ours_td = fused(a.tolist(), [p6.numpy(), up])
    np.testing.assert_allclose(conv(torch.tensor(ours_td)).detach().numpy(), td.detach().numpy(), atol=1e-12)
    ours = fused(b.tolist(), [p6.numpy(), td.detach().numpy(), down])
    np.testing.assert_allclose(conv(torch.tensor(ours)).detach().numpy(), out.detach().numpy(), atol=1e-12)


@formula(SCALING)
def check_scaling():
    # the published table: resolution, BiFPN width, BiFPN layers, head layers of D0 to D4
    published = ((512, 64, 3, 3), (640, 88, 4, 3), (768, 112, 5, 3), (896, 160, 6, 4), (1024, 224, 7, 4))
    for phi, (resolution, width, layers, head) in enumerate(published):
        assert 512 + 128 * phi == resolution and 3 + phi == layers and 3 + phi // 3 == head
        assert width % 8 == 0 and abs(64 * 1.35**phi - width) < 12
    stated("86.4", 64 * 1.35)
    stated("640", 512 + 128)
    assert 512 + 128 * 5 != 1280 and 512 + 128 * 7 != 1536


@holds("Input", "Same in train and eval?", "Why drop nodes with a single input?", "BiFPN")
def check_layer():
    layer = article()["BiFPN"](8)
    raises(
        ValueError,
        lambda: layer([torch.randn(8, n, n) for n in (64, 32, 16, 8, 4)]),
        "Please provide input tensor in (N, C",
    )
    maps = [torch.randn(2, 8, n, n) for n in (32, 16, 8, 4, 2)]
    with torch.no_grad():
        assert not torch.allclose(layer.train()(maps)[0], layer.eval()(maps)[0], atol=1e-3)
    nodes = list(layer.down) + list(layer.up)
    assert (
        len(nodes) == 8 == 2 * 5 - 2 and min(len(node.v) for node in nodes) == 2
    )  # no middle node at P7, one node at P3
    assert all(node.v.requires_grad and node.conv[1].groups == 8 for node in nodes)
    assert not [name for name in torchvision.models.list_models() if "efficientdet" in name]
    assert all(resolution % 128 == 0 for resolution in (512, 640, 768, 896, 1024, 1280, 1536))


@holds("Parameters of a BiFPN layer", "Cost", "Defaults")
def check_parameters():
    assert subject.texts["en"].count("1e-4") == 1 and len(article()["BiFPN"](64).down) == 3

    node = 9 * 64 + 64**2 + 64 + 128
    stated("4,864", node)
    stated("36,928", sum(p.numel() for p in nn.Conv2d(64, 64, 3).parameters()))
    stated("19", 3 * 2 + 2 + 3 * 3 + 2)
    stated("38,931", 8 * node + 19)
    assert 3 * (8 * node + 19) < 5 * 36_928


def article():
    """The names that the article's own code defines."""
    names = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(re.search(r"^```python\n(.*?)^```", subject.texts["en"], re.S | re.M)[1], names)
    return names


@pitfall('"The size of tensor a must match the size of tensor b"')
def check_uneven_sizes():
    names = article()
    layer = names["BiFPN"](8)

    def pyramid(side):
        sizes = [side]
        for _ in range(7):
            sizes.append(math.ceil(sizes[-1] / 2))
        return [torch.randn(2, 8, n, n) for n in sizes[3:]]

    def by_two(maps):
        names["interpolate"] = lambda m, _: interpolate(m, scale_factor=2)
        try:
            return layer(maps)
        finally:
            names["interpolate"] = interpolate

    raises(RuntimeError, lambda: by_two(pyramid(608)), "The size of tensor a", "must match the size of tensor b")
    padded = nn.functional.pad(torch.zeros(1, 3, 608, 608), [0, 32, 0, 32]).shape[-1]
    for maps in (by_two(pyramid(padded)), layer(pyramid(608))):
        assert len(maps) == 5
    down = [torch.randn(2, 8, n, n) for n in (62, 31, 15, 7, 3)]  # a backbone that rounds down
    raises(RuntimeError, lambda: layer(down), "must match the size of tensor b")


@pitfall("A fusion weight is stuck at zero")
def check_dead_weights():
    def trained(start, weights):
        v = torch.tensor(start, requires_grad=True)
        optimizer = torch.optim.SGD([v], 0.1)
        maps = torch.randn(2, 200)
        descend(optimizer, lambda: ((weights(v) @ maps - maps.mean(0)) ** 2).mean(), 300)
        return weights(v.detach())[1].item()

    def fast(v):
        return v.relu() / (v.relu().sum() + EPS)

    def second_half(weights):
        """Trained from 1 on the first map alone, then on the mean of both."""
        v = torch.ones(2, requires_grad=True)
        optimizer = torch.optim.SGD([v], 0.5)
        maps = torch.randn(2, 200)
        for target in (maps[0], maps.mean(0)):
            descend(optimizer, lambda: ((weights(v) @ maps - target) ** 2).mean(), 300)
        return weights(v.detach())[1].item()

    assert second_half(fast) == 0 and abs(second_half(lambda v: v.softmax(0)) - 0.5) < 0.02
    assert trained([1.0, -0.5], fast) == 0 and trained([1.0, 0.0], fast) == 0
    assert abs(trained([1.0, 0.3], fast) - 0.5) < 0.02 and abs(trained([1.0, 1.0], fast) - 0.5) < 0.02
    assert abs(trained([1.0, -0.5], lambda v: v.softmax(0)) - 0.5) < 0.02


@pitfall("The configuration does not follow the formula")
def check_published_configurations():
    # width, layers, resolution of the published D1 and D5
    BiFPN = article()["BiFPN"]
    saved = BiFPN(88).state_dict()
    raises(RuntimeError, lambda: BiFPN(int(64 * 1.35)).load_state_dict(saved), "size mismatch")
    BiFPN(88).load_state_dict(saved)
    saved = nn.ModuleList(BiFPN(8) for _ in range(7)).state_dict()
    raises(RuntimeError, lambda: nn.ModuleList(BiFPN(8) for _ in range(3 + 5)).load_state_dict(saved), "Missing key")
    assert (512 + 128 * 5, 512 + 128 * 7) == (1152, 1408) and 3 + 6 != 8 and 3 + 7 != 8
    weights = {name for name in BiFPN(8).state_dict() if name.endswith(".v")}
    assert len(weights) == 8  # D6 and D7 of the authors' code, fpn_weight_method="sum", have none of them


@pitfall("Fine-tuning on one GPU is much worse than the paper")
def check_small_batches():
    x, y = handwritten_digits()
    order = torch.randperm(len(y))
    x, y = x[order], y[order]
    old, new, test = slice(0, 800), slice(800, 1200), slice(1200, None)
    network = nn.Sequential(
        nn.Linear(64, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Linear(64, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    descend(optimizer, lambda: cross_entropy(network(x[old]), y[old]), 60)
    start = {name: value.clone() for name, value in network.state_dict().items()}

    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]

    def tuned(rate, frozen, accumulate=1, again=True, fixed=True):
        network.load_state_dict(start)
        for layer in layers:
            layer.requires_grad_(not (frozen and fixed))
        optimizer = torch.optim.SGD(network.parameters(), rate)
        for step in range(200):
            if step % 100 == 0:  # an epoch begins
                network.train()
                for layer in layers if frozen and (again or step == 0) else []:
                    layer.eval()
            loss = cross_entropy(network(x[new][2 * step : 2 * step + 2]), y[new][2 * step : 2 * step + 2]) / accumulate
            loss.backward()
            if (step + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
        network.eval()
        with torch.no_grad():
            return float((network(x[test]).argmax(1) == y[test]).float().mean())

    assert tuned(0.5, frozen=False) < 0.5 and tuned(0.5, frozen=False, accumulate=16) < 0.7
    assert tuned(0.002, frozen=True) > 0.93 and tuned(0.01, frozen=True, accumulate=16) > 0.93
    assert tuned(0.002, frozen=True, fixed=False) > 0.93  # eval() alone
    before = {name: value for name, value in start.items() if "running" in name}
    same = lambda: all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    assert same() and tuned(0.002, frozen=True, again=False) and not same()  # the next train() undoes eval()
    layer = nn.BatchNorm1d(64)
    seen = [layer(x[2 * i : 2 * i + 2])[0].detach() for i in range(16)]
    assert torch.allclose(seen[3], nn.BatchNorm1d(64)(x[6:8])[0])  # calls before it, accumulated or not, change nothing


@check
def check_rounding_and_the_gradient_at_a_cut():
    stated("128", 2**7)
    for start, fits in ((76, True), (62, False)):  # sizes rounded up, down: pooling by 2 rounds up
        pooled = max_pool2d(torch.zeros(1, 1, start // 2, start // 2), 3, 2, 1).shape[-1]
        assert (pooled == (math.ceil if fits else math.floor)(start / 4)) == fits
    v = torch.tensor([1.0, -0.5], requires_grad=True)
    w = v.relu()
    (w / (w.sum() + EPS) * torch.tensor([2.0, 6.0])).sum().backward()
    assert v.grad[1] == 0
