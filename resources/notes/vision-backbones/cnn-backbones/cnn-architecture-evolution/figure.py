import torchvision
from matplotlib.figure import Figure

from figure_style import BLUE, ORANGE, figure, plt

LARGE = {
    "alexnet": "AlexNet",
    "vgg16": "VGG16",
    "googlenet": "GoogLeNet",
    "resnet50": "ResNet-50",
    "densenet121": "DenseNet-121",
    "convnext_tiny": "ConvNeXt-T",
}
SMALL = {
    "squeezenet1_1": "SqueezeNet 1.1",
    "mobilenet_v2": "MobileNetV2",
    "shufflenet_v2_x1_0": "ShuffleNetV2",
    "efficientnet_b0": "EfficientNet-B0",
}


def published(name):
    """Multiply-adds in G and top-1 accuracy as the library records them for its first weights."""
    meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
    return meta["_ops"], meta["_metrics"]["ImageNet-1K"]["acc@1"]


@figure("figure-accuracy.svg")
def accuracy_by_work() -> Figure:
    """Accuracy of torchvision's first weights against multiply-adds."""
    values = {name: published(name) for name in (*LARGE, *SMALL)}
    assert values["convnext_tiny"][1] - values["alexnet"][1] > 25 and values["vgg16"][0] > 3 * values["resnet50"][0]
    assert (
        values["efficientnet_b0"][1] > values["resnet50"][1]
        and values["efficientnet_b0"][0] < 0.1 * values["resnet50"][0]
    )

    drawn, panel = plt.subplots(figsize=(5.8, 3.1))
    for names, colour, marker in ((LARGE, BLUE, "o"), (SMALL, ORANGE, "s")):
        for name, label in names.items():
            work, accuracy = values[name]
            panel.plot(work, accuracy, marker, color=colour, markersize=5)
            below = name in ("vgg16", "alexnet", "googlenet", "densenet121")
            panel.annotate(
                label,
                (work, accuracy),
                xytext=(0, -5 if below else 5),
                textcoords="offset points",
                ha="center",
                va="top" if below else "bottom",
                fontsize=8,
                color=colour,
            )
    panel.set_xscale("log")
    panel.set_xlim(0.08, 40)
    panel.set_ylim(52, 87)
    panel.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    panel.set_yticks([60, 70, 80], ["60 %", "70 %", "80 %"])
    panel.minorticks_off()
    panel.set_xlabel("multiply-adds in G (log scale)")
    panel.set_ylabel("ImageNet top-1 accuracy")
    return drawn
