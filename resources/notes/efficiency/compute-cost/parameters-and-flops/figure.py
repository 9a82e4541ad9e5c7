import torch
import torchvision
from matplotlib.figure import Figure

from counting import multiply_adds
from figure_style import BLUE, figure, plt

NAMES = {
    "alexnet": "AlexNet",
    "vgg16": "VGG16",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "densenet121": "DenseNet-121",
    "mobilenet_v2": "MobileNetV2",
    "squeezenet1_0": "SqueezeNet 1.0",
    "efficientnet_b0": "EfficientNet-B0",
}


def size_and_work(name):
    with torch.device("meta"):
        net = getattr(torchvision.models, name)()
    return sum(p.numel() for p in net.parameters()) / 1e6, multiply_adds(net) / 1e9


@figure("figure-models.svg")
def parameters_against_work() -> Figure:
    """Parameters and multiply-adds of eight networks at 224 x 224."""
    values = {name: size_and_work(name) for name in NAMES}
    alexnet, resnet, squeezenet = values["alexnet"], values["resnet50"], values["squeezenet1_0"]
    assert (
        alexnet[0] > 2 * resnet[0]
        and resnet[1] > 5 * alexnet[1]
        and squeezenet[1] > alexnet[1]
        and alexnet[0] > 48 * squeezenet[0]
    )

    drawn, panel = plt.subplots(figsize=(5.8, 3.0))
    for name, label in NAMES.items():
        size, work = values[name]
        panel.plot(size, work, "o", color=BLUE, markersize=5)
        below = name in ("resnet18", "mobilenet_v2", "alexnet")
        panel.annotate(
            label,
            (size, work),
            xytext=(0, -5 if below else 5),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            fontsize=8,
        )
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlim(0.7, 350)
    panel.set_ylim(0.15, 40)
    panel.set_xticks([1, 10, 100], ["1", "10", "100"])
    panel.set_yticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
    panel.minorticks_off()
    panel.set_xlabel("parameters in M (log scale)")
    panel.set_ylabel("multiply-adds in G (log scale)")
    return drawn
