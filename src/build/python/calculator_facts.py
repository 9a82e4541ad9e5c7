"""What the real libraries compute for inputs of the calculators; the unit tests hold the calculators against it.

    python calculator_facts.py FILE [--check]

Every case says what stands in the fields of a calculator's form, and what PyTorch, torchvision or scikit-learn find for
it. NMS and the IoU of boxes come from NumPy, for torchvision's compiled operators are not there. With --check the cases
are computed again and compared with the file one by one.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np  # noqa: E402
import sklearn.metrics as metrics  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import torchvision_operators  # noqa: E402, F401
import torchvision  # noqa: E402
from torch import nn  # noqa: E402
from torch.optim import lr_scheduler  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torchvision.ops import complete_box_iou, distance_box_iou, generalized_box_iou, sigmoid_focal_loss  # noqa: E402

Inputs = dict[str, Any]
Results = dict[str, Any]
Case = dict[str, Any]

# How many random cases a calculator gets beside the known ones.
RANDOM = 30
rng = random.Random(5)


def in_form(value: Any) -> str:
    """A value as it stands in a field."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "\n".join(" ".join(repr(number) for number in row) for row in value)
    if isinstance(value, list):
        return ", ".join(repr(number) for number in value)
    return str(value)


def case(calculator: str, inputs: Inputs, results: Results | None, series: Results | None = None) -> Case:
    """A case; without results the library refuses the inputs, and so must the calculator."""
    made: Case = {"calculator": calculator, "inputs": {name: in_form(value) for name, value in inputs.items()}}
    made |= {"refused": True} if results is None else {"results": results}
    return made | ({"series": series} if series else {})


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def macs(run: Callable[[], Any]) -> int:
    """Multiply-accumulates of convolutions and matrix products, as PyTorch itself counts them."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


def meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make().eval()


def output_sizes() -> Iterator[Case]:
    def size_of(i: Inputs) -> int | None:
        window = (i["kernel"], i["stride"], i["padding"])
        layer: nn.Module
        try:
            if i["layer"] == "convolution":
                layer = nn.Conv1d(1, 1, *window, dilation=i["dilation"])
            elif i["layer"] == "pooling":
                layer = nn.MaxPool1d(*window, dilation=i["dilation"], ceil_mode=i["ceil"])
            else:
                layer = nn.ConvTranspose1d(1, 1, *window, i["outputPadding"], dilation=i["dilation"])
            # Not on the meta device, which lets an output padding pass that no real one takes.
            return layer(torch.zeros(1, 1, i["size"])).shape[-1]
        except (RuntimeError, ValueError):
            return None

    known = [
        ("convolution", 224, 7, 2, 3),
        ("transposed", 7, 4, 2, 1),
        ("pooling", 112, 3, 2, 1),
        ("convolution", 3, 5, 1, 0),
    ]
    every: list[Inputs] = [
        {
            "layer": layer,
            "size": n,
            "kernel": k,
            "stride": s,
            "padding": p,
            "dilation": 1,
            "outputPadding": 0,
            "ceil": False,
        }
        for layer, n, k, s, p in known
    ]
    for _ in range(4 * RANDOM):
        every.append(
            {
                "layer": rng.choice(["convolution", "pooling", "transposed"]),
                "size": rng.randint(1, 40),
                "kernel": rng.randint(1, 7),
                "stride": rng.randint(1, 4),
                "padding": rng.randint(0, 3),
                "dilation": rng.randint(1, 3),
                "outputPadding": rng.randint(0, 2),
                "ceil": rng.random() < 0.5,
            }
        )
    for inputs in every:
        inputs["ceil"] = inputs["ceil"] and inputs["layer"] == "pooling"
        inputs["outputPadding"] = inputs["outputPadding"] if inputs["layer"] == "transposed" else 0
        size = size_of(inputs)
        yield case("output-size", inputs, None if size is None else {"size": size})


def field_of(layers: list[list[int]]) -> tuple[int, int]:
    """Receptive field and stride, found by asking which inputs two neighbouring outputs get a gradient from."""
    with torch.no_grad():
        stack = nn.Sequential(
            *(nn.Conv1d(1, 1, k, s, dilation=d, bias=False, dtype=torch.float64) for k, s, d in layers)
        )
        for weight in stack.parameters():
            weight.fill_(0.5)
    field, jump = 1, 1
    for k, s, d in layers:
        field, jump = field + (k - 1) * d * jump, jump * s
    x = torch.ones(1, 1, 2 * field + 4 * jump, dtype=torch.float64, requires_grad=True)

    def seen(output: int) -> torch.Tensor:
        (gradient,) = torch.autograd.grad(stack(x)[0, 0, output], x)
        return gradient[0, 0].nonzero()[:, 0]

    first, second = seen(0), seen(1)
    return int(first[-1] - first[0]) + 1, int(second[0] - first[0])


def first_of(value: Any) -> int:
    return value[0] if isinstance(value, tuple) else value


def longest_path(network: nn.Module) -> list[list[int]]:
    windows = []
    for name, module in network.named_modules():
        if hasattr(module, "kernel_size") and hasattr(module, "stride") and "downsample" not in name:
            dilation = first_of(getattr(module, "dilation", 1))
            windows.append([first_of(module.kernel_size), first_of(module.stride), dilation])
    return windows


def receptive_fields() -> Iterator[Case]:
    v15 = longest_path(meta(torchvision.models.resnet50))
    v1 = [list(window) for window in v15]
    for at, window in enumerate(v1):
        # The paper's block strides in its first convolution, right before the one that strides here.
        if window[:2] == [3, 2] and v1[at - 1][0] == 1:
            window[1], v1[at - 1][1] = 1, 2
    known = {
        "vgg16": longest_path(meta(lambda: torchvision.models.vgg16().features)),
        "resnet18": longest_path(meta(torchvision.models.resnet18)),
        "resnet50": v15,
        "resnet50v1": v1,
    }
    for network, layers in known.items():
        field, jump = field_of(layers)
        yield case("receptive-field", {"network": network}, {"field": field, "jump": jump})
    for _ in range(RANDOM):
        layers = [[rng.randint(1, 5), rng.randint(1, 2), rng.randint(1, 3)] for _ in range(rng.randint(1, 6))]
        field, jump = field_of(layers)
        yield case("receptive-field", {"network": "own", "layers": layers}, {"field": field, "jump": jump})


def layer_costs() -> Iterator[Case]:
    def cost(inputs: Inputs, module: nn.Module, *shapes: tuple[int, ...], **more: Any) -> Case:
        with torch.device("meta"):
            arguments = [torch.empty(shape) for shape in shapes]
        count = macs(lambda: module(*arguments, **more)) if shapes else 0
        held = parameters(module)
        results = {"parameters": held, "macs": count, "flops": 2 * count, "float32": 4 * held, "float16": 2 * held}
        return case("layer-cost", inputs, results)

    for trial in range(RANDOM):
        groups = 1 if trial == 0 else rng.choice([1, 1, 2, 4])
        i: Inputs = {
            "layer": "convolution",
            "input": groups * rng.randint(1, 64),
            "output": groups * rng.randint(1, 64),
        }
        i |= {
            "kernel": rng.choice([1, 3, 5, 7]),
            "groups": groups,
            "side": rng.randint(1, 64),
            "bias": rng.random() < 0.5,
        }
        if trial == 0:
            i |= {"input": 3, "output": 64, "kernel": 7, "side": 112, "bias": True}
        size = i["side"] + i["kernel"] - 1
        yield cost(
            i,
            meta(lambda: nn.Conv2d(i["input"], i["output"], i["kernel"], groups=groups, bias=i["bias"])),
            (1, i["input"], size, size),
        )
    for _ in range(10):
        i = {
            "layer": "linear",
            "input": rng.randint(1, 5000),
            "output": rng.randint(1, 5000),
            "tokens": rng.randint(1, 200),
            "bias": rng.random() < 0.5,
        }
        yield cost(i, meta(lambda: nn.Linear(i["input"], i["output"], i["bias"])), (i["tokens"], i["input"]))
    for width, heads in [(512, 8), (768, 12), *((heads * rng.randint(1, 64), heads) for heads in (1, 2, 4, 8, 16))]:
        i = {
            "layer": "attention",
            "width": width,
            "heads": heads,
            "tokens": rng.randint(2, 128),
            "bias": rng.random() < 0.5 or width == 512,
        }
        module = meta(lambda: nn.MultiheadAttention(width, heads, bias=i["bias"], batch_first=True)).train()
        yield cost(i, module, *[(1, i["tokens"], width)] * 3)
    yield case("layer-cost", {"layer": "attention", "width": 512, "heads": 7}, None)
    yield case("layer-cost", {"layer": "convolution", "input": 3, "output": 64, "groups": 2}, None)
    for entries, width in [(30522, 768), (50257, 1600)]:
        yield cost(
            {"layer": "embedding", "entries": entries, "width": width}, meta(lambda: nn.Embedding(entries, width))
        )
    for width in [64, 4096]:
        yield cost({"layer": "normalization", "width": width}, meta(lambda: nn.LayerNorm(width)))


def network_costs() -> Iterator[Case]:
    for network in ["vgg16", "resnet18", "resnet34", "resnet50", "resnet101"]:
        for side, classes in [(224, 1000), (rng.randint(32, 300), rng.randint(2, 2000)), (33, 10)]:
            module = meta(lambda: torchvision.models.get_model(network, num_classes=classes))
            count = macs(lambda: module(torch.empty(1, 3, side, side, device="meta")))
            results = {"parameters": parameters(module), "macs": count, "float32": 4 * parameters(module)}
            yield case("network-cost", {"network": network, "side": side, "classes": classes}, results)


def recurrent_parameters() -> Iterator[Case]:
    def of(i: Inputs) -> Case:
        make = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[i["cell"]]
        more = {"proj_size": i["projection"]} if i["cell"] == "lstm" else {}
        module = make(i["input"], i["hidden"], i["layers"], bias=i["bias"], bidirectional=i["bidirectional"], **more)
        output, states = module(torch.zeros(3, 2, i["input"]))
        h_n = states[0] if i["cell"] == "lstm" else states
        results = {"parameters": parameters(module), "features": output.shape[-1], "states": h_n.shape[0]}
        return case("recurrent-parameters", i, results)

    for cell, both in [("lstm", False), ("lstm", True), ("gru", False), ("rnn", False)]:
        yield of(
            {"cell": cell, "input": 10, "hidden": 20, "layers": 2, "projection": 0, "bidirectional": both, "bias": True}
        )
    for _ in range(RANDOM):
        cell, hidden = rng.choice(["rnn", "lstm", "gru"]), rng.randint(2, 40)
        projection = rng.choice([0, rng.randint(1, hidden - 1)]) if cell == "lstm" else 0
        i = {
            "cell": cell,
            "input": rng.randint(1, 40),
            "hidden": hidden,
            "layers": rng.randint(1, 4),
            "projection": projection,
        }
        yield of(i | {"bidirectional": rng.random() < 0.5, "bias": rng.random() < 0.7})
    yield case("recurrent-parameters", {"cell": "lstm", "hidden": 20, "projection": 20}, None)


def transformer_parameters() -> Iterator[Case]:
    def layers(i: Inputs) -> nn.Module:
        layer = nn.TransformerEncoderLayer(i["width"], i["heads"], i["feedForward"])
        return nn.TransformerEncoder(layer, i["layers"], norm=nn.LayerNorm(i["width"]), enable_nested_tensor=False)

    def made(i: Inputs) -> list[nn.Module]:
        d = i["width"]
        if i["architecture"] == "both":
            return [nn.Transformer(d, i["heads"], i["layers"], i["layers"], i["feedForward"])]
        if i["architecture"] == "decoder":
            head = [] if i["tied"] else [nn.Linear(d, i["vocabulary"], bias=False)]
            return [nn.Embedding(i["vocabulary"], d), nn.Embedding(i["positions"], d), layers(i), *head]
        if i["architecture"] == "encoder":
            return [
                nn.Embedding(i["vocabulary"], d),
                nn.Embedding(i["positions"], d),
                nn.Embedding(2, d),
                layers(i),
                nn.Linear(d, d),
            ]
        vit = torchvision.models.VisionTransformer(
            i["image"], i["patch"], i["layers"], i["heads"], d, i["feedForward"], num_classes=i["classes"]
        )
        return [vit]

    base = {"width": 768, "layers": 12, "heads": 12, "feedForward": 3072}
    every: list[Inputs] = [
        {"architecture": "both", "width": 512, "layers": 6, "heads": 8, "feedForward": 2048},
        {"architecture": "encoder", **base, "vocabulary": 30522, "positions": 512},
        {"architecture": "decoder", **base, "vocabulary": 50257, "positions": 1024, "tied": True},
        {"architecture": "vision", **base, "image": 224, "patch": 16, "classes": 1000},
    ]
    for _ in range(RANDOM):
        heads, patch = rng.randint(1, 8), rng.randint(2, 16)
        i = {
            "architecture": rng.choice(["both", "encoder", "decoder", "vision"]),
            "width": heads * rng.randint(1, 16),
            "heads": heads,
        }
        i |= {"layers": rng.randint(1, 3), "feedForward": rng.randint(1, 200)}
        if i["architecture"] == "vision":
            i |= {"image": patch * rng.randint(1, 6), "patch": patch, "classes": rng.randint(2, 50)}
        elif i["architecture"] != "both":
            i |= {"vocabulary": rng.randint(2, 500), "positions": rng.randint(2, 100)}
        if i["architecture"] == "decoder":
            i["tied"] = rng.random() < 0.5
        every.append(i)
    for i in every:
        with torch.device("meta"):
            count = sum(parameters(module) for module in made(i))
        yield case(
            "transformer-parameters",
            i,
            {"parameters": count, "head": i["width"] // i["heads"], "float16": 2 * count, "training": 16 * count},
        )
    yield case("transformer-parameters", {"architecture": "both", "width": 512, "heads": 7}, None)


def kv_caches() -> Iterator[Case]:
    types = {"float32": torch.float32, "float16": torch.bfloat16, "float8": torch.int8}
    for _ in range(RANDOM):
        keys = rng.choice([1, 2, 4, 8])
        i = {
            "layers": rng.randint(1, 80),
            "heads": keys * rng.randint(1, 8),
            "keyHeads": keys,
            "headSize": rng.choice([64, 80, 128]),
        }
        i |= {"tokens": rng.randint(1, 200_000), "batch": rng.randint(1, 16), "type": rng.choice(list(types))}

        def held(heads: int, tokens: int, batch: int, i: Inputs = i) -> int:
            shape = (2, i["layers"], batch, heads, tokens, i["headSize"])
            return torch.empty(shape, dtype=types[i["type"]], device="meta").nbytes

        results = {"cache": held(keys, i["tokens"], i["batch"]), "token": held(keys, 1, 1)}
        results |= {"full": held(i["heads"], i["tokens"], i["batch"]), "saving": i["heads"] / keys}
        yield case("kv-cache", i, results)


def softmaxes() -> Iterator[Case]:
    every = [([2, 1, 0], 0.5), ([2, 1, 0], 1), ([1000, 999, -1000], 0.05)]
    every += [
        ([round(rng.uniform(-9, 9), 2) for _ in range(rng.randint(2, 9))], round(rng.uniform(0.05, 9), 2))
        for _ in range(RANDOM)
    ]
    for logits, temperature in every:
        p = torch.softmax(torch.tensor(logits, dtype=torch.float64) / temperature, 0)
        entropy = torch.special.entr(p).sum().item()
        yield case(
            "softmax-temperature",
            {"logits": logits, "temperature": temperature},
            {"probabilities": p.tolist(), "top": p.max().item(), "entropy": entropy},
        )


def losses() -> Iterator[Case]:
    every: list[Inputs] = [{"p": 0.9, "gamma": 2, "alpha": 1, "epsilon": 0.1, "classes": 2}]
    for _ in range(RANDOM):
        i = {
            "p": round(rng.uniform(0.01, 0.99), 3),
            "gamma": round(rng.uniform(0, 5), 1),
            "alpha": round(rng.uniform(0, 1), 2),
        }
        every.append(i | {"epsilon": round(rng.uniform(0, 0.9), 2), "classes": rng.randint(2, 50)})
    for i in every:
        p = torch.tensor([i["p"]], dtype=torch.float64)
        one = torch.ones_like(p)
        plain = F.binary_cross_entropy(p, one).item()
        focal = sigmoid_focal_loss(torch.logit(p), one, alpha=i["alpha"], gamma=i["gamma"]).item()
        rest = (1 - p) / (i["classes"] - 1)
        log_p = torch.cat([p, *[rest] * (i["classes"] - 1)]).log()[None]
        smoothed = F.cross_entropy(log_p, torch.tensor([0]), label_smoothing=i["epsilon"]).item()
        yield case("loss-curves", i, {"plain": plain, "focal": focal, "factor": focal / plain, "smoothed": smoothed})


def numpy_iou(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.clip(high - low, 0, None))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def random_box(step: int = 1) -> list[int]:
    x, y = rng.randint(0, 12), rng.randint(0, 12)
    return [x, y, x + rng.randint(step, 12), y + rng.randint(step, 12)]


def overlaps() -> Iterator[Case]:
    for a, b in [
        ([0, 0, 2, 2], [1, 1, 3, 4]),
        ([0, 0, 1, 1], [5, 5, 6, 6]),
        *((random_box(), random_box()) for _ in range(2 * RANDOM)),
    ]:
        first, second = (torch.tensor([box], dtype=torch.float64) for box in (a, b))
        results = {"iou": numpy_iou(np.array(a), np.array(b))}
        for name, measure in [("giou", generalized_box_iou), ("diou", distance_box_iou), ("ciou", complete_box_iou)]:
            results[name] = measure(first, second).item()
        assert math.isclose(results["iou"], torchvision.ops.box_iou(first, second).item(), abs_tol=1e-9)
        yield case("box-overlap", {"a": a, "b": b}, results)
    yield case("box-overlap", {"a": [0, 0, 0, 2], "b": [0, 0, 1, 1]}, None)


def numpy_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    left, kept = list(np.argsort(-scores, kind="stable")), []
    while left:
        best = left.pop(0)
        kept.append(int(best))
        left = [other for other in left if not numpy_iou(boxes[best], boxes[other]) > threshold]
    return kept


def suppressions() -> Iterator[Case]:
    for _ in range(2 * RANDOM):
        rows = [[*random_box(4), round(rng.random(), 2)] for _ in range(rng.randint(1, 20))]
        table, threshold = np.array(rows, dtype=float), round(rng.uniform(0, 1), 2)
        kept = numpy_nms(table[:, :4], table[:, 4], threshold)
        yield case(
            "non-maximum-suppression",
            {"boxes": rows, "threshold": threshold},
            {"kept": [index + 1 for index in kept], "count": len(kept)},
        )


def rankings() -> Iterator[Case]:
    def of(scores: list[float], labels: list[int], threshold: float) -> Case:
        called = np.array(scores) >= threshold
        fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
        precision = metrics.precision_score(labels, called) if called.any() else None
        specificity = metrics.recall_score(labels, called, pos_label=0)
        results = {"auc": metrics.roc_auc_score(labels, scores), "ap": metrics.average_precision_score(labels, scores)}
        results |= {"tpr": metrics.recall_score(labels, called), "fpr": 1 - specificity, "precision": precision}
        return case(
            "roc-precision-recall",
            {"scores": scores, "labels": labels, "threshold": threshold},
            results,
            {"roc": tpr.tolist()},
        )

    yield of([0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2, 0.1], [1, 1, 0, 1, 0, 1, 0, 0, 1, 0], 0.5)
    for _ in range(RANDOM):
        count = rng.randint(2, 40)
        digits = rng.choice([1, 2])  # One digit makes ties.
        labels = [0, 1, *(rng.randint(0, 1) for _ in range(count - 2))]
        yield of([round(rng.random(), digits) for _ in range(count)], labels, round(rng.uniform(0, 1.1), 1))
    yield case("roc-precision-recall", {"scores": [0.1, 0.2], "labels": [1, 1]}, None)


def schedules() -> Iterator[Case]:
    def rates(i: Inputs) -> list[float]:
        weight = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=i["rate"])
        make: dict[str, Callable[[], lr_scheduler.LRScheduler]] = {
            "step": lambda: lr_scheduler.StepLR(optimizer, i["every"], i["factor"]),
            "multistep": lambda: lr_scheduler.MultiStepLR(optimizer, i["milestones"], i["factor"]),
            "exponential": lambda: lr_scheduler.ExponentialLR(optimizer, i["factor"]),
            "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, i["steps"], i["lowest"]),
            "restarts": lambda: lr_scheduler.CosineAnnealingWarmRestarts(
                optimizer, i["cycle"], i["growth"], i["lowest"]
            ),
            "oneCycle": lambda: lr_scheduler.OneCycleLR(
                optimizer,
                i["rate"],
                i["steps"],
                pct_start=i["rising"],
                div_factor=i["divisor"],
                final_div_factor=i["finalDivisor"],
            ),
            "polynomial": lambda: lr_scheduler.PolynomialLR(optimizer, i["steps"], i["power"]),
            "warmupCosine": lambda: lr_scheduler.SequentialLR(
                optimizer,
                [
                    lr_scheduler.LinearLR(optimizer, i["start"], total_iters=i["warmup"]),
                    lr_scheduler.CosineAnnealingLR(optimizer, i["steps"] - i["warmup"], i["lowest"]),
                ],
                [i["warmup"]],
            ),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler = make[i["schedule"]]()
            found = []
            for _ in range(i["steps"]):
                found.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                scheduler.step()
        return [float(rate) for rate in found]

    for name in ["step", "multistep", "exponential", "cosine", "warmupCosine", "restarts", "oneCycle", "polynomial"]:
        for _ in range(5):
            steps = rng.randint(12, 60)
            i: Inputs = {
                "schedule": name,
                "rate": round(rng.uniform(0.001, 1), 3),
                "steps": steps,
                "at": rng.randrange(steps),
            }
            lowest = round(rng.uniform(0, 0.001), 5)
            i |= {
                "step": {"every": rng.randint(1, 20), "factor": 0.5},
                "multistep": {"milestones": sorted(rng.sample(range(1, 60), 3)), "factor": 0.3},
                "exponential": {"factor": 0.9},
                "cosine": {"lowest": lowest},
                "warmupCosine": {"warmup": rng.randint(1, 10), "start": 0.1, "lowest": lowest},
                "restarts": {"cycle": rng.randint(2, 9), "growth": rng.randint(1, 3), "lowest": lowest},
                "oneCycle": {"rising": rng.choice([0.3, 0.25, 0.5]), "divisor": 25, "finalDivisor": 10000},
                "polynomial": {"power": rng.choice([0.9, 1, 2])},
            }[name]
            curve = rates(i)
            results = {"now": curve[i["at"]], "highest": max(curve), "last": curve[-1]}
            yield case("learning-rate-schedule", i, results, {"rate": curve})


def activation_values() -> Iterator[Case]:
    functions: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
        "relu": lambda x, a: F.relu(x),
        "leakyRelu": F.leaky_relu,
        "elu": F.elu,
        "selu": lambda x, a: F.selu(x),
        "gelu": lambda x, a: F.gelu(x),
        "geluTanh": lambda x, a: F.gelu(x, approximate="tanh"),
        "silu": lambda x, a: F.silu(x),
        "mish": lambda x, a: F.mish(x),
        "sigmoid": lambda x, a: torch.sigmoid(x),
        "tanh": lambda x, a: torch.tanh(x),
        "softplus": lambda x, a: F.softplus(x),
        "relu6": lambda x, a: F.relu6(x),
        "hardswish": lambda x, a: F.hardswish(x),
        "hardsigmoid": lambda x, a: F.hardsigmoid(x),
    }
    for name, function in functions.items():
        for at in [0, -3, 3, *(round(rng.uniform(-8, 8), 2) for _ in range(5))]:
            x = torch.tensor(float(at), dtype=torch.float64, requires_grad=True)
            parameter = round(rng.uniform(0.01, 1.5), 2)
            more = {"leakyRelu": {"slope": parameter}, "elu": {"alpha": parameter}}.get(name, {})
            y = function(x, parameter)
            y.backward()
            assert x.grad is not None
            yield case(
                "activation-curve", {"activation": name, "x": at, **more}, {"value": y.item(), "slope": x.grad.item()}
            )


def confusions() -> Iterator[Case]:
    def of(tp: int, fp: int, fn: int, tn: int, beta: float) -> Case:
        truth = np.repeat([1, 0, 1, 0], [tp, fp, fn, tn])
        called = np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alike: dict[str, Any] = {
                "precision": metrics.precision_score(truth, called, zero_division=np.nan),
                "recall": metrics.recall_score(truth, called, zero_division=np.nan),
                "specificity": metrics.recall_score(truth, called, pos_label=0, zero_division=np.nan),
                "fbeta": metrics.fbeta_score(truth, called, beta=beta, zero_division=np.nan),
                "accuracy": metrics.accuracy_score(truth, called),
            }
            if len(set(truth)) == 2:
                alike["balanced"] = metrics.balanced_accuracy_score(truth, called)
                alike["kappa"] = metrics.cohen_kappa_score(truth, called)
                if len(set(called)) == 2:
                    alike["matthews"] = metrics.matthews_corrcoef(truth, called)
            if tp + fp + fn:
                alike["jaccard"] = metrics.jaccard_score(truth, called)
        results = {name: None if math.isnan(value) else float(value) for name, value in alike.items()}
        return case("confusion-matrix", {"tp": tp, "fp": fp, "fn": fn, "tn": tn, "beta": beta}, results)

    yield of(40, 10, 20, 930, 1)
    yield of(0, 0, 5, 5, 1)
    yield of(0, 0, 0, 5, 1)
    for _ in range(RANDOM):
        yield of(
            rng.randint(0, 60), rng.randint(0, 60), rng.randint(0, 60), rng.randint(1, 200), rng.choice([0.5, 1, 2])
        )


def number_formats() -> Iterator[Case]:
    for name in ["float16", "bfloat16", "float32"]:
        kind = getattr(torch, name)
        info = torch.finfo(kind)
        facts = {"max": info.max, "tiny": info.tiny, "subnormal": info.tiny * info.eps, "epsilon": info.eps}
        known = [0.1, 1, 65504, 65519, 1e-7, 2049, 2051, -0.3, 257]
        for value in [*known, *(float(f"{rng.uniform(-9, 9) * 10 ** rng.uniform(-6, 4):.6g}") for _ in range(8))]:
            stored = torch.tensor(value, dtype=torch.float64).to(kind).double().item()
            yield case("number-format", {"format": name, "value": value}, facts | {"stored": stored})


GROUPS: list[Callable[[], Iterator[Case]]] = [
    output_sizes,
    receptive_fields,
    layer_costs,
    network_costs,
    recurrent_parameters,
    transformer_parameters,
    kv_caches,
    softmaxes,
    losses,
    overlaps,
    suppressions,
    rankings,
    schedules,
    activation_values,
    confusions,
    number_formats,
]


def close(first: Any, second: Any) -> bool:
    """Equal but for what another processor may round differently."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(close(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(close, first, second))
    if isinstance(first, (int, float)) and isinstance(second, (int, float)):
        return math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-12)
    return first == second


def main(file: Path, check: bool) -> int:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cases = [made for group in GROUPS for made in group()]
    if not check:
        file.write_text("[\n" + ",\n".join(json.dumps(made) for made in cases) + "\n]\n")
        print(f"{file}: {len(cases)} cases")
        return 0
    held = json.loads(file.read_text())
    # Through JSON, as the file went.
    wrong = [made for made, kept in zip(json.loads(json.dumps(cases)), held) if not close(made, kept)]
    for made in wrong:
        print(
            f"{file}: {made['calculator']} {json.dumps(made['inputs'])}: the library finds otherwise; run npm run facts"
        )
    failed = len(wrong) + abs(len(cases) - len(held))
    print(f"{len(cases) - len(wrong)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), "--check" in sys.argv[2:]))
