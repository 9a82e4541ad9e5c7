import math

import numpy as np
import torch
from torch.nn.functional import pad
from torchvision.models.detection import fasterrcnn_resnet50_fpn, retinanet_resnet50_fpn
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import box_convert, box_iou

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

PLACED = r"""
w = \frac{s}{\sqrt{r}}, \qquad h = s \sqrt{r}, \qquad
(c_x, c_y) = \left( j \left\lfloor \frac{W}{W_l} \right\rfloor,\; i \left\lfloor \frac{H}{H_l} \right\rfloor \right)
"""
OFFSETS = r"""
t_x = \frac{x - c_x}{w}, \qquad t_y = \frac{y - c_y}{h}, \qquad
t_w = \ln \frac{w^*}{w}, \qquad t_h = \ln \frac{h^*}{h}
"""
DISTANCE = r"""
d = 1 - \frac{I}{w_1 h_1 + w_2 h_2 - I}, \qquad I = \min(w_1, w_2) \min(h_1, h_2)
"""

by_definition("Anchors (Faster R-CNN)", "Points (FCOS)")
sourced("Faster R-CNN, arXiv 1506.01497, section 3.1", "Anchors (Faster R-CNN)")
sourced(
    "YOLO9000, arXiv 1612.08242, section 2; YOLOv3, arXiv 1804.02767, section 2.1", "Clustered anchors (YOLO v2, v3)"
)
sourced("SSD, arXiv 1512.02325, sections 2.1 and 2.2", "Default boxes (SSD)")
sourced("FCOS, arXiv 1904.01355, sections 3.1 and 3.2", "Points (FCOS)")
sourced("DETR, arXiv 2005.12872, sections 3.1 and 3.2", "Queries (DETR)")


def images(height, width, n=1):
    return ImageList(torch.zeros(n, 3, height, width), [(height, width)] * n)


def anchors_by_formula(size, maps, sizes, ratios):
    """All anchors in the library's order: map, row, column, ratio, size."""
    found = []
    for (rows, columns), level_sizes, level_ratios in zip(maps, sizes, ratios):
        for i in range(rows):
            for j in range(columns):
                for r in level_ratios:
                    for s in level_sizes:
                        w, h = s / math.sqrt(r), s * math.sqrt(r)
                        cx, cy = j * (size[1] // columns), i * (size[0] // rows)
                        x, y = round(w / 2), round(h / 2)
                        found.append([cx - x, cy - y, cx + x, cy + y])
    return np.array(found, dtype=float)


@formula(PLACED)
@holds("Output", "Cost")
def check_generator():
    for size, maps in (((128, 96), [(16, 12), (8, 6)]), ((100, 130), [(13, 17), (7, 9)])):
        sizes, ratios = ((33, 50), (70, 101)), ((0.5, 1.0, 3.0), (0.3, 1.0, 2.0))
        library = AnchorGenerator(sizes, ratios)(images(*size, n=2), [torch.zeros(2, 4, *m) for m in maps])
        assert len(library) == 2
        np.testing.assert_allclose(anchors_by_formula(size, maps, sizes, ratios), library[1].numpy())


@formula(OFFSETS)
@holds("Are anchors the predictions?", "Why logarithms for width and height?")
def check_offsets():
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    corner, size = torch.rand(20, 2, dtype=torch.float64) * 50, torch.rand(20, 2, dtype=torch.float64) * 30 + 1
    anchor, target = torch.cat([corner, corner + size], 1), torch.cat([corner - 3, corner + size * 2.5], 1)
    a, g = (box_convert(b, "xyxy", "cxcywh").numpy() for b in (anchor, target))
    ours = np.concatenate([(g[:, :2] - a[:, :2]) / a[:, 2:], np.log(g[:, 2:] / a[:, 2:])], 1)
    np.testing.assert_allclose(ours, coder.encode_single(target, anchor).numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(coder.decode_single(torch.tensor(ours), anchor).numpy(), target.numpy(), rtol=1e-6)


@formula(DISTANCE)
def check_distance():
    one, two = torch.rand(15, 2, dtype=torch.float64) + 0.1, torch.rand(8, 2, dtype=torch.float64) * 4 + 0.1
    library = 1 - box_iou(pad(one, (2, 0)), pad(two, (2, 0)))
    for i, (w1, h1) in enumerate(one.tolist()):
        for j, (w2, h2) in enumerate(two.tolist()):
            inter = min(w1, w2) * min(h1, h2)
            assert abs(1 - inter / (w1 * h1 + w2 * h2 - inter) - float(library[i, j])) < 1e-9


@holds("`AnchorGenerator` input", "Output", "Parameters", "Defaults", "Cost")
def check_contract():
    default = AnchorGenerator()
    assert default.sizes == ((128, 256, 512),) and default.aspect_ratios == ((0.5, 1.0, 2.0),)
    assert default.num_anchors_per_location() == [9] and not list(default.parameters())
    out = default(images(64, 64), [torch.zeros(1, 2, 4, 4, dtype=torch.float64)])
    assert out[0].dtype == torch.float64 and out[0].shape == (144, 4)
    generator = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).rpn.anchor_generator
    assert generator.sizes == ((32,), (64,), (128,), (256,), (512,)) and generator.num_anchors_per_location() == [3] * 5
    maps = [torch.zeros(1, 1, n, n) for n in (200, 100, 50, 25, 13)]
    anchors = generator(images(800, 800), maps)[0]
    stated("159,882", len(anchors))
    last = anchors[-3 * 13 * 13 :: 3]
    stated("61", last[1, 0] - last[0, 0])


@check
def check_by_hand():
    cell = AnchorGenerator(((128,),), ((0.5,),)).cell_anchors[0][0].tolist()
    assert cell == [-91, -45, 91, 45]
    stated("181.02", 128 / math.sqrt(0.5))
    stated("90.51", 128 * math.sqrt(0.5))
    stated("−45.25", -64 * math.sqrt(0.5))
    stated("182", cell[2] - cell[0])
    stated("90", cell[3] - cell[1])
    pair = torch.tensor(
        [[0.0, 0.0, 40.0, 20.0], [0.0, 0.0, 20.0, 40.0], [0.0, 0.0, 400.0, 200.0], [0.0, 0.0, 380.0, 220.0]]
    )
    iou = box_iou(pair, pair)
    stated("0.6667", 1 - iou[0, 1])
    stated("28.28", (pair[0] - pair[1]).norm())
    stated("28.28", (pair[2] - pair[3]).norm())
    assert iou[2, 3] > 0.85


@pitfall('"Anchors should be Tuple[Tuple[int]] because each feature map could potentially have different sizes"')
def check_tuple_pitfall():
    assert AnchorGenerator((32, 64, 128), (1.0,)).sizes == ((32,), (64,), (128,))
    maps = [torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 1)]
    for wrong in (
        AnchorGenerator(((32, 64, 128),), ((1.0,),)),
        AnchorGenerator(((32,), (64,), (128,))),
    ):  # the ratios must match, too
        raises(
            AssertionError,
            lambda: wrong(images(64, 64), maps),
            "Anchors should be Tuple[Tuple[int]] because each feature map could potentially have different sizes",
        )
    assert AnchorGenerator(((32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 3)(images(64, 64), maps)[0].shape == (63, 4)
    one_map = lambda sizes: AnchorGenerator(sizes, ((1.0,),) * len(sizes))(images(64, 64), maps[:1])[0]
    assert one_map(((32, 64, 128),)).shape == (48, 4)
    raises(AssertionError, lambda: one_map((32, 64, 128)), "Anchors should be")
    for sizes, fits in (
        (((32,), (64,), (128,)), True),
        (((32, 48), (64,), (128,)), False),
    ):  # a shared head needs one count
        generator = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 3)
        scores = RPNHead(4, generator.num_anchors_per_location()[0])([m.expand(1, 4, -1, -1) for m in maps])[0]
        assert (sum(s.numel() for s in scores) == len(generator(images(64, 64), maps)[0])) is fits


@holds("`AnchorGenerator` input", "Same in train and eval?")
def check_batch_and_modes():
    generator, maps = AnchorGenerator(), [torch.zeros(2, 1, 4, 4)]
    assert torch.equal(generator.train()(images(64, 64, 2), maps)[0], generator.eval()(images(64, 64, 2), maps)[0])
    assert len(generator(images(64, 64, 2), maps)) == 2
    unbatched = ImageList(torch.zeros(3, 64, 64), [(64, 64)] * 2)
    assert torch.equal(generator(unbatched, [maps[0][0]])[1], generator(images(64, 64, 2), maps)[1])


@holds("Are anchors the predictions?", "Why several ratios at one position?")
def check_matching():
    person, car = [-12.0, -40.0, 12.0, 40.0], [-40.0, -12.0, 40.0, 12.0]  # one centre
    cells = lambda ratios: AnchorGenerator(((44,),), (ratios,)).cell_anchors[0]
    matched = lambda anchors: Matcher(0.7, 0.3, allow_low_quality_matches=True)(
        box_iou(torch.tensor([person, car]), anchors)
    ).tolist()
    assert len(matched(cells((1.0,)))) == 1 and matched(cells((0.3, 3.3))) == [1, 0]
    decoded = BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(
        torch.tensor([[0.5, 0.0, 0.7, 0.0]]), torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    )
    assert decoded[0, 2] > 10.5  # outside of its anchor


@holds("Why logarithms for width and height?")
def check_logarithms():
    coder, anchor = BoxCoder((1.0, 1.0, 1.0, 1.0)), torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    t = [float(coder.encode_single(torch.tensor([[0.0, 0.0, w, 10.0]]), anchor)[0, 2]) for w in (20.0, 5.0)]
    assert abs(t[0] - math.log(2)) < 1e-6 and abs(t[1] + math.log(2)) < 1e-6
    sizes = coder.decode_single(torch.tensor([[0.0, 0.0, -8.0, 3.0]]), anchor)
    assert (sizes[:, 2:] > sizes[:, :2]).all()


@holds("Why not Euclidean k-means?", "Clustered anchors (YOLO v2, v3)")
def check_two_distances():
    sizes = torch.exp(torch.rand(400, 1) * math.log(64) + math.log(8)) * (1 + 0.1 * torch.rand(400, 2))
    error = lambda w: ((1.1 * w - w) ** 2).sum().sqrt()
    small, large = torch.tensor([10.0, 20.0]), torch.tensor([100.0, 200.0])
    overlap = lambda w: box_iou(pad(1.1 * w[None], (2, 0)), pad(w[None], (2, 0)))
    assert error(large) > 9 * error(small) and torch.allclose(overlap(small), overlap(large))

    def smallest_centre(nearest_of):
        centres = torch.tensor([[16.0, 16.0], [64.0, 64.0], [256.0, 256.0]])
        for _ in range(30):
            nearest = nearest_of(centres)
            centres = torch.stack([sizes[nearest == c].mean(0) for c in range(3)])
        return centres.min()

    euclidean = smallest_centre(lambda centres: torch.cdist(sizes, centres).argmin(1))
    assert euclidean > 1.5 * smallest_centre(
        lambda centres: box_iou(pad(sizes, (2, 0)), pad(centres, (2, 0))).argmax(1)
    )


@check
def check_between_two_sizes():
    between = 128 * 2**0.5
    assert math.isclose(128**2 / between**2, 0.5) and math.isclose(between**2 / 256**2, 0.5)


@pitfall("Wide anchors where tall ones were meant")
def check_ratio():
    shape = lambda ratio: box_convert(AnchorGenerator(((64,),), ((ratio,),)).cell_anchors[0], "xyxy", "cxcywh")[
        0, 2:
    ].tolist()
    meant = 0.5  # width / height of a tall box
    wide, tall = shape(meant), shape(1 / meant)
    assert wide[0] > 1.9 * wide[1] and tall[1] > 1.9 * tall[0]


@pitfall("Ported weights find boxes shifted by half a cell")
def check_shift_by_half_a_cell():
    """The offsets that a network trained with the other generator would give, decoded with each."""
    maps, size = [torch.zeros(1, 1, 8, 8)], 128
    here = AnchorGenerator(((64,),), ((1.0,),))(images(size, size), maps)[0]
    there = here + size / 8 / 2  # centred on the middle of the cells, as SSD's
    ssd = DefaultBoxGenerator([[]], scales=[0.5, 0.5], clip=False)(images(size, size), maps)[0][::2]
    assert torch.allclose(ssd, there, atol=1e-4)
    coder, box = BoxCoder((1.0, 1.0, 1.0, 1.0)), torch.tensor([[30.0, 40.0, 90.0, 110.0]])
    offsets = coder.encode_single(box.expand(len(there), 4), there)
    assert torch.allclose(coder.decode_single(offsets, here), box - 8, atol=1e-3)
    assert torch.allclose(coder.decode_single(offsets, there), box.expand(len(there), 4), atol=1e-3)


@holds("Default boxes (SSD)")
def check_first_centre_and_ssd():
    maps = [torch.zeros(1, 1, 4, 4)]
    first = AnchorGenerator(((64,),), ((1.0,),))(images(64, 64), maps)[0][0]
    assert (first[:2] + first[2:]).abs().max() == 0
    ssd = DefaultBoxGenerator([[2]], scales=[0.5, 0.9])
    boxes = ssd(images(64, 64), maps)[0]
    assert torch.allclose((boxes[0, :2] + boxes[0, 2:]) / 2, torch.tensor([8.0, 8.0]))
    squares = box_convert(boxes[:2], "xyxy", "cxcywh")  # one more scale for squares
    assert torch.allclose(squares[:, 2], squares[:, 3]) and squares[1, 2] > squares[0, 2]
    wide = box_convert(boxes[2:3], "xyxy", "cxcywh")[0]
    assert abs(float(wide[2] / wide[3]) - 2) < 1e-4  # ratio 2 is width / height there


@pitfall("Small objects fit no anchor")
def check_small_object():
    anchor, tiny = torch.tensor([[0.0, 0.0, 32.0, 32.0]]), torch.tensor([[12.0, 12.0, 20.0, 20.0]])
    iou = box_iou(tiny, anchor)
    stated("0.0625", iou)
    assert Matcher(0.7, 0.3, allow_low_quality_matches=False)(iou).tolist() == [-1]
    assert Matcher(0.7, 0.3, allow_low_quality_matches=True)(iou).tolist() == [0]

    def best(anchor_side, stride, scale=1, objects=200):
        """The largest IoU of small objects with an anchor, wherever they lie in a picture."""
        side = 128 * scale
        generator = AnchorGenerator(((anchor_side,),), ((1.0,),))
        anchors = generator(images(side, side), [torch.zeros(1, 1, side // stride, side // stride)])[0]
        corner = 40 + torch.rand(objects, 2) * 40
        return box_iou(scale * torch.cat([corner, corner + 8], 1), anchors).max(1).values

    def positives(*setting):
        return (best(*setting) > 0.7).float().mean()

    assert abs(best(8, 4, 1, 20000).mean() - 0.63) < 0.006 and abs(best(8, 8, 1, 20000).mean() - 0.41) < 0.006
    generator = AnchorGenerator(((32,),), ((0.5, 1.0, 2.0),))
    default = generator(images(128, 128), [torch.zeros(1, 1, 32, 32)])[0]
    overlap = box_iou(torch.tensor([[51.3, 60.2, 59.3, 68.2]]), default)
    ties = overlap == overlap.max()
    assert ties.sum() > 20  # torchvision keeps every anchor that ties
    for low, high in ((0.3, 0.7), (0.4, 0.5)):
        assert torch.equal(Matcher(high, low, allow_low_quality_matches=True)(overlap) == 0, ties[0])
    for make in (fasterrcnn_resnet50_fpn, retinanet_resnet50_fpn):
        with torch.device("meta"):
            model = make(weights=None, weights_backbone=None)
        assert getattr(model, "rpn", model).proposal_matcher.allow_low_quality_matches

    sizes = torch.tensor([[8.0, 8.0], [60.0, 60.0]]).repeat(50, 1) * (1 + 0.1 * torch.randn(100, 1))
    centres = torch.tensor([[16.0, 16.0], [32.0, 32.0]])
    for _ in range(5):
        nearest = box_iou(pad(sizes, (2, 0)), pad(centres, (2, 0))).argmax(1)
        centres = torch.stack([sizes[nearest == c].mean(0) for c in range(2)])
    clustered = round(centres.min().item())
    shares = [float(positives(*one)) for one in ((32, 4), (32, 2), (8, 2), (32, 4, 4), (clustered, 4))]
    assert shares[:2] == [0, 0] and min(shares[2:4]) > 0.5 and shares[4] > 0.1
    assert positives(8, 32) == 0  # the size alone, on a coarse map
    assert positives(32, 4, 2) == 0  # enlarged too little
    stated("0.25", box_iou(torch.tensor([[8.0, 8.0, 24.0, 24.0]]), anchor))
    for make in (fasterrcnn_resnet50_fpn, retinanet_resnet50_fpn):
        with torch.device("meta"):
            usual, larger = (
                make(weights=None, weights_backbone=None, **size).transform
                for size in ({}, {"min_size": 1600, "max_size": 2666})
            )
        width = lambda resize, side: resize([torch.zeros(3, side, side)], [{"boxes": side / 64 * tiny}])[1][0]["boxes"][
            0, ::2
        ].diff()
        once, beforehand, by_setting = width(usual, 64), width(usual, 256), width(larger, 64)
        assert torch.isclose(once, beforehand) and torch.isclose(2 * once, by_setting)
