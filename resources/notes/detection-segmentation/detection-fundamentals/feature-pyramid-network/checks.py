import math
from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, pad
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import (
    fasterrcnn_resnet50_fpn,
    fcos_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    retinanet_resnet50_fpn,
    ssd300_vgg16,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.poolers import LevelMapper

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

TOPDOWN = r"M_5 = A_5 C_5, \qquad M_l = A_l C_l + U(M_{l+1}), \qquad P_l = B_l M_l"
LEVEL = r"""
k = \min\!\left(5, \max\!\left(2, \left\lfloor 4 + \log_2 \frac{\sqrt{w h}}{224} \right\rfloor \right)\right)
"""
PARAMETERS = r"\sum_{l=2}^{5} \left( C_l\, C + C + 9\, C^2 + C \right)"

by_definition("Is FPN an image pyramid?")
sourced("ResNet, arXiv 1512.03385, appendix A; YOLOF, arXiv 2103.09460, section 4", "Single map C4 or C5")
sourced("PANet, arXiv 1803.01534, abstract and section 3.1", "PANet")
sourced("EfficientDet, arXiv 1911.09070, sections 3.2 and 3.3", "BiFPN")
sourced("FPN, arXiv 1612.03144, section 3", "What is the 3×3 convolution after the sum for?")


def convolved(x, layer):
    """A stride-1 convolution with zero padding, written out."""
    weight, bias = layer[0].weight.detach().numpy(), layer[0].bias.detach().numpy()
    k = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2,) * 2, (k // 2,) * 2))
    h, w = x.shape[-2:]
    out = np.zeros((x.shape[0], weight.shape[0], h, w)) + bias[:, None, None]
    for i in range(k):
        for j in range(k):
            out += np.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i : i + h, j : j + w])
    return out


def nearest(x, size):
    h, w = x.shape[-2:]
    rows, columns = np.arange(size[0]) * h // size[0], np.arange(size[1]) * w // size[1]
    return x[:, :, rows][:, :, :, columns]


@formula(TOPDOWN)
@holds("Output", "FPN")
def check_pyramid():
    for sizes in ([(16, 24), (8, 12), (4, 6), (2, 3)], [(21, 13), (11, 7), (6, 4), (3, 2)]):
        fpn = FeaturePyramidNetwork([3, 4, 5, 6], 7).double()
        for block in [*fpn.inner_blocks, *fpn.layer_blocks]:
            nn.init.normal_(block[0].bias)
        maps = [torch.randn(2, c, *s, dtype=torch.float64) for c, s in zip((3, 4, 5, 6), sizes)]
        library = fpn(OrderedDict((str(i), m) for i, m in enumerate(maps)))
        merged = None
        for i in (3, 2, 1, 0):
            lateral = convolved(maps[i].numpy(), fpn.inner_blocks[i])
            merged = lateral if merged is None else lateral + nearest(merged, sizes[i])
            np.testing.assert_allclose(
                convolved(merged, fpn.layer_blocks[i]), library[str(i)].detach().numpy(), atol=1e-9
            )


def level(w, h):
    return min(5, max(2, math.floor(4 + math.log2(math.sqrt(w * h) / 224))))


@formula(LEVEL)
@holds("Does every object use all levels?")
def check_level():
    sides = torch.rand(200, 2, dtype=torch.float64) * 900 + 3
    boxes = torch.cat([torch.zeros(200, 2), sides], 1)
    library = LevelMapper(2, 5)([boxes]) + 2
    assert library.tolist() == [level(w, h) for w, h in sides.tolist()] and set(library.tolist()) == {2, 3, 4, 5}
    stated("212.13", math.sqrt(300 * 150))
    stated("−0.079", math.log2(math.sqrt(300 * 150) / 224))
    stated("3.92", 4 + math.log2(math.sqrt(300 * 150) / 224))
    stated("1.19", 4 + math.log2(32 / 224))
    stated("5.84", 4 + math.log2(800 / 224))
    assert [level(300, 150), level(224, 224), level(32, 32), level(800, 800)] == [3, 4, 2, 5]


@formula(PARAMETERS)
@holds("Parameters", "Defaults", "Cost")
def check_parameters():
    for channels, out in (([256, 512, 1024, 2048], 256), ([3, 4, 5, 6], 7)):
        fpn = FeaturePyramidNetwork(channels, out)
        ours = sum(c * out + out + 9 * out**2 + out for c in channels)
        assert ours == sum(p.numel() for p in fpn.parameters())
    fpn = FeaturePyramidNetwork([256, 512, 1024, 2048], 256)
    stated("3,344,384", sum(p.numel() for p in fpn.parameters()))
    stated("984,064", sum(p.numel() for p in fpn.inner_blocks.parameters()))
    stated("2,360,320", sum(p.numel() for p in fpn.layer_blocks.parameters()))
    assert not any(isinstance(m, (nn.ReLU, nn.BatchNorm2d)) for m in fpn.modules())
    areas = [n * n for n in (200, 100, 50, 25)]
    stated("75%", areas[0] / sum(areas))
    assert fpn.extra_blocks is None and all(m.bias is not None for m in fpn.modules() if isinstance(m, nn.Conv2d))
    with torch.device("meta"):
        large, maps = (
            FeaturePyramidNetwork([256, 512, 1024, 2048], 256),
            [torch.zeros(1, 256 * 2**i, n, n) for i, n in enumerate((200, 100, 50, 25))],
        )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        large(OrderedDict((str(i), m) for i, m in enumerate(maps)))
    assert 2 * 9 * 256**2 * sum(areas) > 0.8 * counter.get_total_flops()


@holds("Why add instead of concatenating?", "What is the 3×3 convolution after the sum for?")
def check_sum_and_blocks():
    channels, merged, widths = 4, None, []
    for n in (2, 4, 8):
        lateral = torch.randn(1, channels, n, n)
        merged = lateral if merged is None else torch.cat([lateral, interpolate(merged, size=(n, n))], 1)
        widths.append(merged.shape[1])
    assert widths == [4, 8, 12]
    out = FeaturePyramidNetwork([2, 3], 4)(OrderedDict(a=torch.randn(1, 2, 8, 8), b=torch.randn(1, 3, 4, 4)))
    head = nn.Conv2d(4, 9, 3, padding=1)
    assert [head(p).shape[1] for p in out.values()] == [9, 9]
    grown = interpolate(torch.randn(1, 1, 3, 3), size=(6, 6))
    assert torch.equal(grown[..., ::2, ::2], grown[..., 1::2, 1::2])


@holds("Does every object use all levels?")
def check_levels_and_context():
    """A finer level depends on a coarser map, the coarsest on no other; one-stage heads predict on every level."""
    fpn, maps = (
        FeaturePyramidNetwork([2, 3], 4),
        OrderedDict(a=torch.randn(1, 2, 8, 8, requires_grad=True), b=torch.randn(1, 3, 4, 4, requires_grad=True)),
    )
    out = fpn(maps)
    assert torch.autograd.grad(out["a"].square().sum(), maps["b"], retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(out["b"].square().sum(), maps["a"], allow_unused=True)[0] is None
    with torch.device("meta"):
        retina = retinanet_resnet50_fpn(weights=None, weights_backbone=None)
        maps = [torch.zeros(1, 256, n, n) for n in (16, 8, 4, 2, 1)]
        assert retina.head(maps)["cls_logits"].shape[1] == 9 * sum(n * n for n in (16, 8, 4, 2, 1))


@holds("Same in train and eval?")
def check_modes():
    x = OrderedDict(a=torch.randn(2, 3, 8, 8), b=torch.randn(2, 3, 4, 4))
    for norm, same in ((None, True), (nn.BatchNorm2d, False)):
        fpn = FeaturePyramidNetwork([3, 3], 4, norm_layer=norm)
        assert torch.allclose(fpn.train()(x)["a"], fpn.eval()(x)["a"], atol=1e-6) is same


@holds("Maps as they are", "FPN")
def check_examples():
    with torch.device("meta"):
        ssd = ssd300_vgg16(weights=None, weights_backbone=None)
        channels = [m.shape[1] for m in ssd.backbone(torch.zeros(1, 3, 300, 300)).values()]
        models = [
            build(weights=None, weights_backbone=None) for build in (retinanet_resnet50_fpn, maskrcnn_resnet50_fpn)
        ]
        for model in models:
            assert isinstance(model.backbone.fpn, FeaturePyramidNetwork)
            assert {m.shape[1] for m in model.backbone(torch.zeros(1, 3, 256, 256)).values()} == {256}
    assert channels == [512, 1024, 512, 256, 256, 256]


@holds("Input")
def check_unbatched_is_refused():
    fpn = FeaturePyramidNetwork([2, 2], 3)
    try:
        fpn(OrderedDict(a=torch.randn(2, 8, 8), b=torch.randn(2, 4, 4)))
    except Exception as error:
        assert "size" in str(error).lower()
    else:
        raise AssertionError("expected an error")


@pitfall('"The size of tensor a (17) must match the size of tensor b (18)"')
def check_odd_sizes():
    """A pyramid of one's own over three maps of stride 2, 4 and 8."""
    stages = nn.ModuleList([nn.Conv2d(4, 4, 3, 2, 1) for _ in range(3)])

    def pyramid(x, upsampled):
        maps = []
        for stage in stages:
            x = stage(x)
            maps.append(x)
        for finer in reversed(maps[:-1]):
            x = finer + upsampled(x, finer)
        return x.shape[-1]

    doubled = lambda x, finer: interpolate(x, scale_factor=2)
    sized = lambda x, finer: interpolate(x, size=finer.shape[-2:])
    odd = torch.randn(1, 4, 68, 68)  # maps of 34, 17, 9
    raises(
        RuntimeError, lambda: pyramid(odd, doubled), "The size of tensor a (17) must match the size of tensor b (18)"
    )
    assert pyramid(odd, sized) == 34 and pyramid(pad(odd, (0, 4, 0, 4)), doubled) == 36


@pitfall("`IndexError: list index out of range` in `MultiScaleRoIAlign`")
def check_names():
    torch.compiler.set_stance("force_eager")  # torchvision would compile its RoIAlign first
    pooled = lambda name: MultiScaleRoIAlign([name], 7, 2)(
        OrderedDict({"0": torch.rand(1, 4, 8, 8)}), [torch.tensor([[0.0, 0.0, 9.0, 9.0]])], [(32, 32)]
    )
    raises(IndexError, lambda: pooled(0), "list index out of range")
    assert pooled("0").shape == (1, 4, 7, 7)
    maps = OrderedDict((str(i), torch.full((1, 4, n, n), float(i))) for i, n in enumerate((64, 32, 16, 8)))
    large = [torch.tensor([[0.0, 0.0, 250.0, 250.0]])]  # level 4, the map of key "2"
    levels = lambda names: MultiScaleRoIAlign(names, 7, 2)(maps, large, [(256, 256)]).unique().tolist()
    assert levels(["0"]) == [0.0] and levels(list("0123")) == [2.0]


@pitfall("Wrong order, no error")
def check_order():
    fpn = FeaturePyramidNetwork([4, 4], 4)
    fine, coarse = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 4, 4)
    right, wrong = fpn(OrderedDict(a=fine, b=coarse)), fpn(OrderedDict(b=coarse, a=fine))
    lateral = lambda i, x: fpn.inner_blocks[i](x)
    shrunk = fpn.layer_blocks[0](lateral(0, coarse) + interpolate(lateral(1, fine), size=(4, 4)))
    grown = fpn.layer_blocks[0](lateral(0, fine) + interpolate(lateral(1, coarse), size=(8, 8)))
    assert torch.allclose(wrong["b"], shrunk, atol=1e-5) and torch.allclose(right["a"], grown, atol=1e-5)
    assert right["a"].shape == wrong["a"].shape and not torch.allclose(right["a"], wrong["a"], atol=0.1)
    falls = lambda maps: all(a.shape[-1] > b.shape[-1] for a, b in zip(list(maps.values()), list(maps.values())[1:]))
    assert falls(right) and not falls(wrong)


@holds("Output")
def check_extra_levels():
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    out = backbone(torch.zeros(1, 3, 64, 64))
    assert list(out) == ["0", "1", "2", "3", "pool"]
    assert torch.equal(out["pool"], out["3"][..., ::2, ::2])
    for build in (retinanet_resnet50_fpn, fcos_resnet50_fpn):
        model = build(weights=None, weights_backbone=None)
        assert isinstance(model.backbone.fpn.extra_blocks, LastLevelP6P7)
        shapes = [m.shape[-1] for m in model.backbone(torch.zeros(1, 3, 256, 256)).values()]
        assert shapes == [32, 16, 8, 4, 2]


@check
def check_receptive_field_of_c2():
    r = j = 1
    for k, s in [(7, 2), (3, 2)] + [(3, 1)] * 4:
        r, j = r + (k - 1) * j, j * s
    stated("43", r)


@check
def check_cells_per_box():
    stated("14", min(side / 2 ** level(side, side) for side in range(56, 896)))
    assert LevelMapper(2, 5).eps == 1e-6 and LevelMapper(2, 5)([torch.tensor([[0.0, 0.0, 224.0, 224.0]])]).item() == 2


@pitfall("Five anchor sizes for four maps")
def check_five_sizes():
    maps = list(resnet_fpn_backbone(backbone_name="resnet18", weights=None)(torch.zeros(1, 3, 64, 64)).values())
    images, ratios = ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)]), (0.5, 1.0, 2.0)
    sizes = tuple((side,) for side in (32, 64, 128, 256, 512))
    assert len(AnchorGenerator(sizes, (ratios,) * 5)(images, maps)) == 1
    for wrong in (
        AnchorGenerator(sizes[:4], (ratios,) * 4),
        AnchorGenerator(sizes),
        AnchorGenerator(sizes, (ratios,) * 4),
    ):
        raises(AssertionError, lambda: wrong(images, maps), "match between the number of feature maps")
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    assert len(model.rpn.anchor_generator.sizes) == 5 and model.roi_heads.box_roi_pool.featmap_names == [
        "0",
        "1",
        "2",
        "3",
    ]
