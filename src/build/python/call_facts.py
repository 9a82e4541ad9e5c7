"""What the real library says of calls that the hover computes facts about; the unit tests compare the two.

python call_facts.py FILE [--check]
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

CALLS = [
    "nn.Conv2d(3, 64, 7, stride=2, padding=3)",
    "nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)",
    "nn.Conv2d(64, 64, 3, padding=2, dilation=2)",
    "nn.Conv2d(64, 128, (3, 3), groups=32)",
    "nn.Conv2d(32, 32, (3, 5))",
    "nn.Conv1d(16, 33, 3, stride=2)",
    "nn.Conv3d(4, 8, 3, padding=1)",
    "nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1)",
    "nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)",
    "nn.ConvTranspose1d(4, 6, 5, 3, 2)",
    "nn.MaxPool2d(2)",
    "nn.MaxPool2d(3, stride=2, padding=1)",
    "nn.MaxPool1d(4, 3, dilation=2)",
    "nn.AvgPool2d(3, 1)",
    "nn.Linear(768, 10)",
    "nn.Linear(16 * 4 * 4, 10, bias=False)",
    "nn.Embedding(30522, 768)",
    "nn.LayerNorm(768)",
    "nn.LayerNorm((3, 4))",
    "nn.LayerNorm(768, bias=False)",
    "nn.LayerNorm(768, elementwise_affine=False)",
    "nn.RMSNorm(4096)",
    "nn.BatchNorm2d(64)",
    "nn.BatchNorm1d(64, affine=False)",
    "nn.GroupNorm(8, 64)",
    "nn.InstanceNorm2d(64)",
    "nn.InstanceNorm2d(64, affine=True)",
    "nn.LSTM(10, 20, 2)",
    "nn.LSTM(10, 20, 2, bidirectional=True)",
    "nn.LSTM(10, 20, bias=False)",
    "nn.LSTM(10, 20, 3, bidirectional=True, proj_size=5)",
    "nn.GRU(10, 20, 2)",
    "nn.RNN(10, 20, num_layers=2)",
    "nn.MultiheadAttention(512, 8)",
    "nn.MultiheadAttention(512, 8, bias=False)",
    "nn.TransformerEncoderLayer(512, 8)",
    "nn.TransformerEncoderLayer(256, 4, dim_feedforward=1024)",
]
FAILING = ["nn.MultiheadAttention(512, 7)", "nn.Conv2d(3, 64, 3, groups=2)", "nn.GroupNorm(7, 64)"]
SIDE = 224


def facts_of(call: str) -> dict[str, Any]:
    torch.manual_seed(0)
    layer = eval(call)
    facts: dict[str, Any] = {"call": call}
    name = type(layer).__name__
    if "Pool" not in name:
        facts["parameters"] = sum(parameter.numel() for parameter in layer.parameters())
    dimensions = int(name[-2]) if name.endswith("d") and name[-2].isdigit() else 0
    if dimensions and ("Conv" in name or "Pool" in name):
        side = SIDE if dimensions < 3 else 24
        output = layer.to("meta")(torch.empty(1, getattr(layer, "in_channels", 1), *[SIDE] * dimensions, device="meta"))
        sides = set(output.shape[2:])
        if len(sides) == 1:
            facts["size"] = sides.pop()
        assert side
    if name == "MultiheadAttention":
        facts["headSize"] = layer.head_dim
    return facts


def fails(call: str) -> bool:
    try:
        eval(call)
    except (ValueError, AssertionError):
        return True
    return False


def main(file: Path, check: bool) -> int:
    layer = nn.Dropout(0.1)
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    weight.grad = torch.zeros(1, dtype=torch.float64)
    torch.optim.AdamW([weight], lr=1e-3, weight_decay=0.01).step()
    kept = layer(torch.ones(100)).max().item()
    assert all(fails(call) for call in FAILING)
    facts = {
        "calls": [facts_of(call) for call in CALLS],
        "indivisible": FAILING,
        "keptScale": {"call": "nn.Dropout(0.1)", "value": round(kept, 6)},
        "shrinkage": {"call": "optim.AdamW(x, lr=1e-3, weight_decay=0.01)", "value": round(1 - weight.item(), 12)},
    }
    assert math.isclose(facts["keptScale"]["value"], 1 / 0.9, rel_tol=1e-6)
    text = json.dumps(facts, indent=1) + "\n"
    if check:
        same = file.read_text() == text
        print("" if same else f"{file}: differs from what the library computes; run npm run facts")
        print(f"{int(same)} passed, {int(not same)} failed")
        return int(not same)
    file.write_text(text)
    print(f"{file}: {len(CALLS)} calls")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), "--check" in sys.argv[2:]))
