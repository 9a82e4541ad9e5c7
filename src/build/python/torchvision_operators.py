"""Makes torchvision importable beside a CPU build of PyTorch that its compiled operators were not made for.

The wheel on PyPI is linked against the CUDA build, so `import torchvision` fails on two operators that it only wants to
describe. Declaring them is enough for all of torchvision that is written in Python (box_iou, the IoU losses,
sigmoid_focal_loss, transforms, models). Calling a compiled operator (nms, roi_align, deform_conv2d) still fails, loudly.
"""

import torch

_declarations = torch.library.Library("torchvision", "DEF")
_declarations.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_declarations.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402, F401
