import math

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, stated

# verified: formula-only (no YOLO in torchvision); re-implemented twice, in plain Python and in tensor operations.
V3 = r"""
b_x = s\,(\sigma(t_x) + c_x), \qquad b_y = s\,(\sigma(t_y) + c_y), \qquad
b_w = p_w\, e^{t_w}, \qquad b_h = p_h\, e^{t_h}
"""
V5 = r"b_x = s\,(2 \sigma(t_x) - 0.5 + c_x), \qquad b_w = p_w \left( 2 \sigma(t_w) \right)^2"
V8 = r"d = s \sum_{i=0}^{15} i \, \frac{e^{z_i}}{\sum_{j} e^{z_j}}"


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def decoded(raw, anchors, stride, version):
    """Tensor decoding of a raw map (A, 4, H, W) to centres and sizes."""
    _, _, h, w = raw.shape
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    grid = torch.stack([columns, rows])[None]
    if version == 3:
        centre, size = raw[:, :2].sigmoid(), raw[:, 2:].exp()
    else:
        centre, size = 2 * raw[:, :2].sigmoid() - 0.5, (2 * raw[:, 2:].sigmoid()) ** 2
    return torch.cat([(centre + grid) * stride, size * anchors[:, :, None, None]], 1)


@formula(V3, V5)
def check_decoding():
    for h, w, stride in ((4, 6, 32), (3, 2, 8)):
        raw, anchors = torch.randn(3, 4, h, w, dtype=torch.float64) * 2, torch.rand(3, 2, dtype=torch.float64) * 90 + 5
        for version in (3, 5):
            library = decoded(raw, anchors, stride, version)
            for a in range(3):
                for cy in range(h):
                    for cx in range(w):
                        tx, ty, tw, th = raw[a, :, cy, cx].tolist()
                        pw, ph = anchors[a].tolist()
                        if version == 3:
                            ours = [stride * (sigmoid(tx) + cx), stride * (sigmoid(ty) + cy), pw * math.exp(tw), ph * math.exp(th)]
                            assert cx * stride < ours[0] < (cx + 1) * stride
                        else:
                            ours = [stride * (2 * sigmoid(tx) - 0.5 + cx), stride * (2 * sigmoid(ty) - 0.5 + cy), pw * (2 * sigmoid(tw)) ** 2, ph * (2 * sigmoid(th)) ** 2]
                            assert (cx - 0.5) * stride < ours[0] < (cx + 1.5) * stride and ours[2] < 4 * pw
                        np.testing.assert_allclose(ours, library[a, :, cy, cx].numpy(), rtol=1e-9)
    assert (2 * sigmoid(0)) ** 2 == 1


@formula(V8)
def check_distance_from_bins():
    z = torch.randn(16, dtype=torch.float64) * 3
    ours = 8 * sum(i * math.exp(v) for i, v in enumerate(z.tolist())) / sum(math.exp(v) for v in z.tolist())
    convolution = nn.Conv2d(16, 1, 1, bias=False).double()             # the usual implementation: softmax, then a fixed 1x1 convolution
    convolution.weight.data[:] = torch.arange(16.0).view(1, 16, 1, 1)
    assert abs(ours - 8 * float(convolution(z.softmax(0).view(1, 16, 1, 1)).detach())) < 1e-9


@check
def check_by_hand():
    assert 32 * (sigmoid(0) + 6) == 208 and 32 * (2 * sigmoid(0) - 0.5 + 4) == 144
    stated("191.25", 116 * math.exp(0.5))
    stated("54.59", 90 * math.exp(-0.5))
    stated("1.2449", 2 * sigmoid(0.5))
    stated("1.5498", (2 * sigmoid(0.5)) ** 2)
    stated("179.78", 116 * (2 * sigmoid(0.5)) ** 2)
    stated("0.7551", 2 * sigmoid(-0.5))
    stated("51.31", 90 * (2 * sigmoid(-0.5)) ** 2)
    stated("0.4", 0.8 * 0.5)
    stated("10,647", sum(3 * (416 // s) ** 2 for s in (8, 16, 32)))
    stated("8,400", sum((640 // s) ** 2 for s in (8, 16, 32)))


@check
def check_darknet():
    def parameters(i, o, k):
        return i * o * k * k + 2 * o

    total, layers, c = parameters(3, 32, 3), 1, 32
    for blocks in (1, 2, 8, 8, 4):
        total += parameters(c, 2 * c, 3) + blocks * (parameters(2 * c, c, 1) + parameters(c, 2 * c, 3))
        layers += 1 + 2 * blocks
        c *= 2
    stated("52", layers)
    assert 2**5 == 32
    stated("41,609,928", total + 1024 * 1000 + 1000)


@check
def check_label_lines():
    W, H = 640, 480

    def centred(x1, y1, x2, y2):
        return (x1 + x2) / 2 / W, (y1 + y2) / 2 / H, (x2 - x1) / W, (y2 - y1) / H

    passes = lambda line: all(0 <= v <= 1 for v in line)
    assert passes(centred(100, 100, 300, 200)) and passes((100 / W, 100 / H, 300 / W, 200 / H))    # divided corners go unnoticed
    assert passes(centred(-20, 100, 300, 200)) and not passes(centred(-100, 0, 700, 480)) and not passes((200, 150, 200, 100))
    assert centred(0, 0, 640, 480) == (0.5, 0.5, 1, 1)    # the larger box, clipped
