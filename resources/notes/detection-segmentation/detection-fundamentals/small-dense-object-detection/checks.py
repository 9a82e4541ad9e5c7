import math

import numpy as np
import torch
from torchvision.ops import box_iou

from note_checks import check, formula, stated

SHIFTED = r"""
\mathrm{IoU}_1 = \frac{s - d}{s + d}, \qquad \mathrm{IoU}_2 = \frac{(s - d)^2}{2 s^2 - (s - d)^2}
"""
TILES = r"n = \left\lceil \frac{W - o}{T - o} \right\rceil"
SURVIVE = r"\mathrm{IoU}(A, B) \le N_t"


@formula(SHIFTED)
def check_shift():
    for s in (4.0, 8.0, 50.0):
        for d in (0.5, 2.0, 3.5):
            box = torch.tensor([[0.0, 0.0, s, s]], dtype=torch.float64)
            one, two = (box_iou(box, box + d * torch.tensor(v, dtype=torch.float64)) for v in ([1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]))
            assert abs((s - d) / (s + d) - float(one)) < 1e-9
            assert abs((s - d) ** 2 / (2 * s**2 - (s - d) ** 2) - float(two)) < 1e-9
    for s, text in ((8, "0.6"), (32, "0.8824"), (96, "0.9592")):
        stated(text, (s - 2) / (s + 2))


def starts(length, tile, overlap):
    n = math.ceil((length - overlap) / (tile - overlap))
    return [i * (length - tile) // (n - 1) for i in range(n)]


@formula(TILES)
def check_tiles():
    for W, T, o in ((3840, 640, 128), (2160, 640, 128), (1000, 300, 77), (801, 400, 0), (641, 640, 128)):
        n = math.ceil((W - o) / (T - o))
        covered = [count * T - (count - 1) * o for count in (n, n - 1)]
        assert covered[0] >= W > covered[1]    # enough, and one fewer is not
        places = starts(W, T, o)
        assert places[0] == 0 and places[-1] + T == W
        assert all(b - a <= T - o for a, b in zip(places, places[1:]))
        for left in np.random.uniform(0, W - o, 200):
            assert any(p <= left and left + o <= p + T for p in places)
    stated("32", len(starts(3840, 640, 128)) * len(starts(2160, 640, 128)))


@formula(SURVIVE)
def check_survival():
    def kept(boxes, scores, threshold):
        keep = []
        for i in np.argsort(-np.array(scores)):
            if not keep or box_iou(boxes[i][None], boxes[keep]).max() <= threshold:
                keep.append(int(i))
        return keep

    for _ in range(60):
        a = torch.cat([torch.zeros(2), 20 + 30 * torch.rand(2)])
        b = a + torch.cat([10 * torch.rand(2)] * 2)
        boxes = torch.stack([a, b])
        for threshold in (0.3, 0.5, 0.7):
            both = len(kept(boxes, [0.9, 0.8], threshold)) == 2
            assert both == (float(box_iou(a[None], b[None])) <= threshold)
    people = torch.tensor([[0.0, 0.0, 40.0, 100.0], [10.0, 0.0, 50.0, 100.0]])
    assert abs(float(box_iou(people, people)[0, 1]) - 0.6) < 1e-6
    assert [len(kept(people, [0.9, 0.8], threshold)) for threshold in (0.3, 0.5, 0.7)] == [1, 1, 2]


@check
def check_boxes_at_inner_borders():
    def vanishes(left, size, W, T, o):
        places = [p for p in starts(W, T, o) if p < left + size and left < p + T]
        return all((p > 0 and left <= p) or (p + T < W and left + size >= p + T) for p in places)

    for W in (1152, 3840):
        for size in (64, 127):
            assert not any(vanishes(left, size, W, 640, 128) for left in range(W - size + 1))
        assert all(any(vanishes(left, size, W, 640, 128) for left in range(W - size + 1)) for size in (300, 700))
    assert vanishes(512, 128, 1152, 640, 128)


@check
def check_positives_need_smaller_anchors():
    y, x = torch.meshgrid(torch.arange(64.0) * 4, torch.arange(64.0) * 4, indexing="ij")
    centres, small = torch.stack([x, y, x, y], -1).view(-1, 4), torch.tensor([[101.0, 77.0, 117.0, 93.0]])
    best = [float(box_iou(small, centres + side / 2 * torch.tensor([-1.0, -1.0, 1.0, 1.0])).max()) for side in (32, 16)]
    assert best[0] < 0.3 and best[1] > 0.7     # torchvision's finest FPN map, stride 4, has anchors of 32


@check
def check_cells():
    assert (16 / 32) ** 2 == 0.25 and 32**2 == 1024
