import contextlib
import io
import math
import re

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, Image

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated, subject
from trainings import descend

V3_PAPER = "YOLOv3, arXiv 1804.02767, section 2; yolov3.cfg"
sourced(V3_PAPER, "Raw output, v3", "Defaults", "v3", "Why does v3 use residual blocks?")
sourced(
    "YOLOv3, arXiv 1804.02767, figure 1 (320, 416, 608); default --imgsz 640 in yolov5/train.py and "
    "ultralytics/cfg/default.yaml, --img-size 640 in yolov7/train.py",
    "Input",
)
sourced("YOLO, arXiv 1506.02640, sections 2 and 2.1", "v1 (2015)")
sourced("YOLO9000, arXiv 1612.08242, sections 2 and 3", "v2")
sourced("YOLOv4, arXiv 2004.10934, section 3.4", "v4")
sourced("Ultralytics' YOLOv5 documentation, architecture; release notes of v4.0 (SiLU)", "v5")
sourced("YOLOv7, arXiv 2207.02696, sections 3.1 and 4.2", "v7")
sourced("Ultralytics' documentation of YOLOv8; ultralytics/nn/modules: C2f, Detect, DFL", "v8")
sourced("SSD, arXiv 1512.02325, section 2; YOLOv3, arXiv 1804.02767, section 2.3", "SSD or YOLO: what differs?")
sourced("Deep residual learning, arXiv 1512.03385, abstract", "Why does v3 use residual blocks?")
sourced("CSPNet, arXiv 1911.11929, abstract and section 3", "What does CSP add?")
by_definition("Same in train and eval?")

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
@holds("Why $(2\\sigma)^2$ for size?")
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
                            ours = [
                                stride * (sigmoid(tx) + cx),
                                stride * (sigmoid(ty) + cy),
                                pw * math.exp(tw),
                                ph * math.exp(th),
                            ]
                            assert cx * stride < ours[0] < (cx + 1) * stride
                        else:
                            ours = [
                                stride * (2 * sigmoid(tx) - 0.5 + cx),
                                stride * (2 * sigmoid(ty) - 0.5 + cy),
                                pw * (2 * sigmoid(tw)) ** 2,
                                ph * (2 * sigmoid(th)) ** 2,
                            ]
                            assert (cx - 0.5) * stride < ours[0] < (cx + 1.5) * stride and ours[2] < 4 * pw
                        np.testing.assert_allclose(ours, library[a, :, cy, cx].numpy(), rtol=1e-9)
    assert (2 * sigmoid(0)) ** 2 == 1 and 3.99 < (2 * sigmoid(8)) ** 2 < 4
    assert torch.tensor([11.0, 11.1]).half().exp().isinf().tolist() == [False, True]


@formula(V8)
def check_distance_from_bins():
    z = torch.randn(16, dtype=torch.float64) * 3
    ours = 8 * sum(i * math.exp(v) for i, v in enumerate(z.tolist())) / sum(math.exp(v) for v in z.tolist())
    convolution = nn.Conv2d(
        16, 1, 1, bias=False
    ).double()  # the usual implementation: softmax, then a fixed 1x1 convolution
    convolution.weight.data[:] = torch.arange(16.0).view(1, 16, 1, 1)
    assert abs(ours - 8 * float(convolution(z.softmax(0).view(1, 16, 1, 1)).detach())) < 1e-9


@holds("Boxes")
def check_by_hand():
    assert 32 * (sigmoid(0) + 6) == 208 and 32 * (2 * sigmoid(0) - 0.5 + 4) == 144
    stated("191.25", 116 * math.exp(0.5))
    stated("54.59", 90 * math.exp(-0.5))
    stated("1.2449", 2 * sigmoid(0.5))
    stated("1.5498", (2 * sigmoid(0.5)) ** 2)
    stated("179.78", 116 * (2 * sigmoid(0.5)) ** 2)
    stated("0.75508", 2 * sigmoid(-0.5))
    stated("51.31", 90 * (2 * sigmoid(-0.5)) ** 2)
    stated("0.4", 0.8 * 0.5)
    stated("10,647", sum(3 * (416 // s) ** 2 for s in (8, 16, 32)))
    stated("8,400", sum((640 // s) ** 2 for s in (8, 16, 32)))


@holds("Parameters")
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


@pitfall('"non-normalized or out of bounds coordinate labels"')
def check_label_lines():
    W, H = 640, 480

    def centred(x1, y1, x2, y2):
        return (x1 + x2) / 2 / W, (y1 + y2) / 2 / H, (x2 - x1) / W, (y2 - y1) / H

    passes = lambda line: all(0 <= v <= 1 for v in line)
    assert passes(centred(100, 100, 300, 200)) and passes(
        (100 / W, 100 / H, 300 / W, 200 / H)
    )  # divided corners go unnoticed
    assert (
        passes(centred(-20, 100, 300, 200))
        and not passes(centred(-100, 0, 700, 480))
        and not passes((200, 150, 200, 100))
    )
    assert centred(0, 0, 640, 480) == (0.5, 0.5, 1, 1)  # the larger box, clipped

    def fixed(x1, y1, x2, y2):
        return centred(max(0, x1), max(0, y1), min(W, x2), min(H, y2))

    for corners in ((100, 100, 300, 200), (-20, 100, 300, 200), (-100, 0, 700, 480)):
        line = fixed(*corners)
        assert passes(line) and line[0] - line[2] / 2 >= -1e-12 and line[0] + line[2] / 2 <= 1 + 1e-12
    assert fixed(650, 100, 700, 200)[2] <= 0 and not passes(fixed(650, 100, 700, 200))  # outside: nothing is left
    misread = (100 / W, 100 / H, 300 / W, 200 / H)
    assert (
        abs((misread[0] - misread[2] / 2) * W - 100) > 100
        and abs((fixed(100, 100, 300, 200)[0] - fixed(100, 100, 300, 200)[2] / 2) * W - 100) < 1e-9
    )


@pitfall("Boxes are shifted in wide images")
def check_letterbox():
    image, box = Image(torch.zeros(3, 360, 1280)), torch.tensor([[100.0, 200.0, 300.0, 300.0]])
    wrapped = BoundingBoxes(box, format="XYXY", canvas_size=(360, 1280))
    small, seen = v2.Compose([v2.Resize((180, 640)), v2.Pad([0, 230])])(image, wrapped)
    seen = seen.as_subclass(torch.Tensor)
    assert small.shape[-2:] == (640, 640) and (seen / 0.5 - box)[0, 1] > 400
    assert torch.allclose((seen - torch.tensor([0.0, 230, 0, 230])) / 0.5, box)


def shape_iou(boxes, anchors):
    """IoU of boxes and anchors of the same centre."""
    common = np.minimum(boxes[:, None], anchors[None]).prod(2)
    return common / (boxes.prod(1)[:, None] + anchors.prod(1)[None] - common)


def fit(boxes, anchors):
    return shape_iou(boxes, anchors).max(1).mean()


def clustered(boxes):
    """k-means with the distance 1 - IoU, the best of ten starts."""
    found = []
    for _ in range(10):
        centres = boxes[np.random.choice(len(boxes), 9, replace=False)]
        for _ in range(20):
            own = shape_iou(boxes, centres).argmax(1)
            centres = np.array([boxes[own == k].mean(0) if (own == k).any() else centres[k] for k in range(9)])
        found.append(centres)
    return max(found, key=lambda centres: fit(boxes, centres))


@pitfall("Anchors do not fit after a change of input size")
def check_anchors():
    anchors = np.array(
        [(10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326)], dtype=float
    )
    at_416 = anchors[np.random.randint(0, 9, 900)] * np.exp(0.1 * np.random.randn(900, 2))
    at_832 = 2 * at_416
    euclidean = KMeans(9, n_init=3, random_state=0).fit(at_832).cluster_centers_
    assert fit(at_832, anchors) < 0.73 < 0.8 < min(fit(at_832, 2 * anchors), fit(at_832, clustered(at_832)))
    small = at_832[np.sqrt(at_832.prod(1)) < 100]
    assert fit(small, euclidean) < fit(small, clustered(at_832)) - 0.1
    assert abs(fit(at_832, 2 * anchors) - fit(at_416, anchors)) < 1e-12
    # A trained model gives an object of so many pixels the same t at any input size; scaled anchors double its box.
    raw, own = torch.randn(9, 4, 2, 2), torch.tensor(anchors)
    assert torch.allclose(decoded(raw, 2 * own, 32, 3)[:, 2:], 2 * decoded(raw, own, 32, 3)[:, 2:])


@pitfall("Softmax over classes")
def check_two_labels():
    target = torch.tensor([1.0, 1.0, 0.0])

    def trained(loss):
        logits = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.Adam([logits], 0.1)
        descend(optimizer, lambda: loss(logits), 100)
        return logits.detach()

    assert trained(lambda z: -(target * z.log_softmax(0)).sum()).softmax(0).sort().values[-2] <= 0.5
    found = trained(lambda z: F.binary_cross_entropy_with_logits(z, target)).sigmoid()
    assert (found[:2] > 0.95).all() and found[2] < 0.05
    logits, classes = torch.randn(8, 3), torch.randint(0, 3, (8,))
    for wrong in (classes, F.one_hot(classes, 3)):  # class numbers as for softmax, integers
        raises((ValueError, RuntimeError), lambda: F.binary_cross_entropy_with_logits(logits, wrong))
    assert F.binary_cross_entropy_with_logits(logits, F.one_hot(classes, 3).float()).isfinite()


@pitfall('"Darknet-53 pools between stages"')
@holds("Input", "v3", "Why does v3 use residual blocks?")
def check_strides():
    names = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(re.search(r"^```python\n(.*?)^```", subject.texts["en"], re.S | re.M)[1], names)
    darknet = names["darknet"]
    blocks = [module.body for module in darknet if hasattr(module, "body")]
    assert all(
        b[0][0].kernel_size == (1, 1) and 2 * b[0][0].out_channels == b[0][0].in_channels == b[1][0].out_channels
        for b in blocks
    )
    halving = [module for module in darknet.modules() if isinstance(module, nn.Conv2d) and module.stride == (2, 2)]
    assert len(halving) == 5 and all(module.kernel_size == (3, 3) for module in halving)
    assert not any("Pool" in type(module).__name__ for module in darknet.modules())
    # With pooling in their place (and 1×1 convolutions for the channels) the published number of parameters is missed.
    pooled = sum(9 * m.in_channels * m.out_channels - m.in_channels * m.out_channels for m in halving)
    total = sum(p.numel() for p in darknet.parameters()) + 1024 * 1000 + 1000
    stated("41,609,928", total)
    assert total - pooled < 37_000_000
