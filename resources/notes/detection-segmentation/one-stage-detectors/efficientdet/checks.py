import math

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

from note_checks import check, formula, stated

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


@formula(LEVEL6)
def check_level_six():
    p6, p7, p5out = (torch.randn(1, 2, n, n, dtype=torch.float64) for n in (4, 2, 8))
    a, b = torch.rand(2, dtype=torch.float64) + 0.1, torch.rand(3, dtype=torch.float64) + 0.1
    conv = nn.Sequential(nn.SiLU(), nn.Conv2d(2, 2, 3, 1, 1, groups=2, bias=False), nn.Conv2d(2, 2, 1)).double()
    td = conv((a[0] * p6 + a[1] * interpolate(p7, (4, 4))) / (a.sum() + EPS))
    out = conv((b[0] * p6 + b[1] * td + b[2] * max_pool2d(p5out, 3, 2, 1)) / (b.sum() + EPS))
    up = p7.numpy().repeat(2, 2).repeat(2, 3)
    down = np.stack([[[p5out.numpy()[0, c, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2].max() for j in range(4)] for i in range(4)] for c in range(2)])[None]
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


@check
def check_parameters():
    node = 9 * 64 + 64**2 + 64 + 128
    stated("4,864", node)
    stated("36,928", sum(p.numel() for p in nn.Conv2d(64, 64, 3).parameters()))
    stated("19", 3 * 2 + 2 + 3 * 3 + 2)
    stated("38,931", 8 * node + 19)


@check
def check_uneven_sizes_and_dead_weights():
    stated("128", 2**7)
    n = 608
    sizes = []
    for _ in range(7):
        n = math.ceil(n / 2)
        sizes.append(n)
    assert any(2 * small != large for large, small in zip(sizes, sizes[1:]))
    for start, fits in ((76, True), (62, False)):  # sizes rounded up, down: pooling by 2 rounds up
        pooled = max_pool2d(torch.zeros(1, 1, start // 2, start // 2), 3, 2, 1).shape[-1]
        assert (pooled == (math.ceil if fits else math.floor)(start / 4)) == fits
    v = torch.tensor([1.0, -0.5], requires_grad=True)
    w = v.relu()
    (w / (w.sum() + EPS) * torch.tensor([2.0, 6.0])).sum().backward()
    assert v.grad[1] == 0
