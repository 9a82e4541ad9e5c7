import io
import json
import pickle

import numpy as np
import torch
from matplotlib.figure import Figure

from figure_style import BLUE, figure, plt


def written(save, value) -> int:
    buffer = io.BytesIO()
    save(value, buffer)
    return len(buffer.getvalue())


@figure("figure-sizes.svg")
def bytes_per_value() -> Figure:
    """Bytes per value of 10,000 float32 numbers in several formats."""
    t = torch.from_numpy(np.random.default_rng(0).standard_normal(10_000).astype(np.float32))
    sizes = {
        "JSON text": len(json.dumps(t.tolist())),
        "pickle of a list": len(pickle.dumps(t.tolist())),
        "torch.save": written(torch.save, t),
        "np.save": written(lambda value, file: np.save(file, value), t.numpy()),
        "raw float32": t.numel() * t.element_size(),
    }
    per_value = [size / t.numel() for size in sizes.values()]
    assert per_value[-1] == 4 and max(per_value[2:4]) < 4.3 and 9 <= per_value[1] < 9.1 and 19 < per_value[0] < 21
    drawn, axes = plt.subplots(figsize=(5.6, 2.4))
    axes.barh(range(5), per_value, color=BLUE, height=0.6)
    for row, value in enumerate(per_value):
        axes.text(value + 0.3, row, f"{value:.1f}", va="center")
    axes.set_yticks(range(5), sizes)
    axes.set_xlim(0, 24)
    axes.set_xlabel("bytes per value")
    axes.grid(axis="y", visible=False)
    return drawn
