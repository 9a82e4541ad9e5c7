import math

import numpy as np
import torch
from torch import nn
from torch.nn.functional import grid_sample

from note_checks import check, formula, stated

# verified: formula-only (not in torchvision): read point by point in NumPy, compared with grid_sample and nn.Linear.
ATTENTION = r"""
\mathrm{out}(q) = \sum_{m=1}^{8} W_m \sum_{l=1}^{4} \sum_{k=1}^{4} A_{mlk}\; V_m x_l\!\left( \phi_l(r) + \Delta_{mlk} \right), \qquad \sum_{l, k} A_{mlk} = 1
"""
PARAMETERS = r"2\,(d^2 + d) + 3\,(d + 1)\, H L P"
REFINED = r"b' = \sigma\big( \sigma^{-1}(b) + \Delta b \big)"


def read(x, place):
    """Bilinear value of a map (d, H, W) at (x, y) in cells, cell centres at half numbers, zero outside."""
    _, H, W = x.shape
    cx, cy = place[0] - 0.5, place[1] - 0.5
    total = np.zeros(x.shape[0])
    for i in (math.floor(cy), math.floor(cy) + 1):
        for j in (math.floor(cx), math.floor(cx) + 1):
            if 0 <= i < H and 0 <= j < W:
                total += x[:, i, j] * (1 - abs(cy - i)) * (1 - abs(cx - j))
    return total


@formula(ATTENTION)
def check_attention():
    d, heads, levels, points = 16, 8, 4, 4
    offsets, weights = nn.Linear(d, heads * levels * points * 2).double(), nn.Linear(d, heads * levels * points).double()
    value, out = nn.Linear(d, d, bias=False).double(), nn.Linear(d, d, bias=False).double()
    maps = [torch.randn(d, h, w, dtype=torch.float64) for h, w in ((9, 13), (5, 7), (3, 4), (2, 2))]
    query, reference = torch.randn(3, d, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64)
    with torch.no_grad():
        shift = offsets(query).view(-1, heads, levels, points, 2)
        A = weights(query).view(-1, heads, levels * points).softmax(-1).view(-1, heads, levels, points)
        assert torch.allclose(A.sum((2, 3)), torch.ones(3, heads, dtype=torch.float64))
        total = 0
        for l, x in enumerate(maps):
            h, w = x.shape[-2:]
            v = value(x.flatten(1).T).T.view(heads, d // heads, h, w)
            place = reference[:, None, None] + shift[:, :, l] / torch.tensor([w, h])
            sampled = grid_sample(v, 2 * place.transpose(0, 1) - 1, align_corners=False)
            total = total + (sampled * A[:, :, l].transpose(0, 1)[:, None]).sum(-1)
        library = out(total.permute(2, 0, 1).flatten(1)).numpy()
        V, Wo = value.weight.numpy(), out.weight.numpy()
    size = d // heads
    for q in range(3):
        ours = np.zeros(d)
        for m in range(heads):
            inner = np.zeros(size)
            for l, x in enumerate(maps):
                h, w = x.shape[-2:]
                for k in range(points):
                    place = reference[q].numpy() * [w, h] + shift[q, m, l, k].numpy()
                    inner += float(A[q, m, l, k]) * (V[m * size : (m + 1) * size] @ read(x.numpy(), place))
            ours += Wo[:, m * size : (m + 1) * size] @ inner
        np.testing.assert_allclose(ours, library[q], atol=1e-9)


@formula(PARAMETERS)
def check_parameters():
    for d, H, L, P in ((256, 8, 4, 4), (32, 4, 3, 2)):
        layers = [nn.Linear(d, H * L * P * 2), nn.Linear(d, H * L * P), nn.Linear(d, d), nn.Linear(d, d)]
        ours = 2 * (d * d + d) + 3 * (d + 1) * H * L * P
        assert ours == sum(p.numel() for layer in layers for p in layer.parameters())
        if d == 256:
            stated("230,272", ours)
    stated("65,792", 256 * 256 + 256)
    stated("131,584", 2 * 65792)
    stated("98,688", 3 * 257 * 128)


@formula(REFINED)
def check_refinement():
    b, delta = torch.rand(50, 4, dtype=torch.float64), torch.randn(50, 4, dtype=torch.float64)
    ours = 1 / (1 + np.exp(-(np.log(b.numpy() / (1 - b.numpy())) + delta.numpy())))
    np.testing.assert_allclose(ours, (torch.logit(b) + delta).sigmoid().numpy(), rtol=1e-9)
    assert ours.min() > 0 and ours.max() < 1
    stated("0.5987", 1 / (1 + math.exp(-0.4)))


@check
def check_by_hand():
    tokens = sum(math.ceil(800 / s) * math.ceil(1066 / s) for s in (8, 16, 32, 64))
    stated("17,821", tokens)
    stated("317,588,041", tokens**2)
    stated("128", 8 * 4 * 4)


@check
def check_default_start_of_offsets():
    torch.manual_seed(0)
    offsets = nn.Linear(256, 256)(nn.functional.layer_norm(torch.randn(2000, 256), (256,)))
    stated("0.58", offsets.std().item())
