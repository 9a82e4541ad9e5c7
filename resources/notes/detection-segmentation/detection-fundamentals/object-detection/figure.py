import torchvision
from matplotlib.figure import Figure

from figure_style import BLUE, GREEN, ORANGE, figure, plt


@figure("figure-accuracy.svg")
def accuracy_and_cost() -> Figure:
    """Box AP on COCO against multiply-adds, as torchvision's weights state them."""
    families = {"two-stage": (BLUE, "o"), "one-stage": (ORANGE, "s"), "with masks": (GREEN, "^")}
    labels = {
        "fasterrcnn_mobilenet_v3_large_320_fpn": ("Faster R-CNN MobileNet 320", 6, -4, "left"),
        "fasterrcnn_mobilenet_v3_large_fpn": ("Faster R-CNN MobileNet", 6, 3, "left"),
        "fasterrcnn_resnet50_fpn": ("Faster R-CNN", -6, -9, "right"),
        "fasterrcnn_resnet50_fpn_v2": ("Faster R-CNN v2", -7, -3, "right"),
        "fcos_resnet50_fpn": ("FCOS", -7, -1, "right"),
        "maskrcnn_resnet50_fpn_v2": ("Mask R-CNN v2", -4, 6, "right"),
        "retinanet_resnet50_fpn_v2": ("RetinaNet v2", -7, -2, "right"),
        "ssd300_vgg16": ("SSD300", 7, -3, "left"),
        "ssdlite320_mobilenet_v3_large": ("SSDlite", 3, -13, "left"),
    }
    drawn, axes = plt.subplots(figsize=(5.6, 3.1))
    seen, points = set(), []
    for name in torchvision.models.list_models(module=torchvision.models.detection):
        if name.startswith("keypoint"):
            continue
        family = "with masks" if name.startswith("mask") else "two-stage" if name.startswith("faster") else "one-stage"
        colour, marker = families[family]
        for weights in torchvision.models.get_model_weights(name):
            x, y = weights.meta["_ops"], weights.meta["_metrics"]["COCO-val2017"]["box_map"]
            points.append((x, y))
            axes.scatter(x, y, s=26, color=colour, marker=marker, label=None if family in seen else family, zorder=3)
            seen.add(family)
            if name in labels:
                text, dx, dy, side = labels[name]
                axes.annotate(text, (x, y), xytext=(dx, dy), textcoords="offset points", ha=side, fontsize=8)
    points.sort()
    assert len(points) == 11 and points[0][1] < 22 and points[-1][1] > 47
    axes.set_xscale("log")
    axes.set_xlim(0.4, 700)
    axes.set_ylim(18, 52)
    axes.set_xlabel("billion multiply-adds per image")
    axes.set_ylabel("COCO box AP")
    axes.legend(loc="upper left", fontsize=9)
    return drawn
