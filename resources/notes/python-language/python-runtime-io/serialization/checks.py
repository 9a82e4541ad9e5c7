import io
import json
import pickle
import random
import zipfile

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, raises, stated

SIZE = r"B = \sum_{s} n_s\, b_s \ + \ \text{pickle and headers}"


def saved(x):
    buffer = io.BytesIO()
    torch.save(x, buffer)
    buffer.seek(0)
    return buffer


def data_bytes(x):
    with zipfile.ZipFile(saved(x)) as archive:
        return sum(one.file_size for one in archive.infolist() if "/data/" in one.filename)


@formula(SIZE)
def check_bytes_of_the_storages():
    for dtype in (torch.float32, torch.float16, torch.float64, torch.int64):
        for n in (1, 10, 1000):
            base, other = torch.zeros(n, dtype=dtype), torch.zeros(n + 3, dtype=torch.float32)
            s = [(n, dtype.itemsize), (n + 3, 4)]
            assert data_bytes([base, base[: n // 2], base.view(-1), other]) == sum(n_s * b_s for n_s, b_s in s)
            assert len(saved([base, other]).getvalue()) > sum(n_s * b_s for n_s, b_s in s)
    tied = nn.Sequential(nn.Embedding(50, 30), nn.Linear(30, 50, bias=False))
    assert data_bytes(tied.state_dict()) == 2 * 4 * 1500
    tied[1].weight = tied[0].weight
    assert data_bytes(tied.state_dict()) == 4 * 1500


@check
def check_worked_example():
    t = torch.zeros(1_000_000)
    stated("4,000,000", data_bytes(t[:10]))
    stated("40", data_bytes(t[:10].clone()))
    one, two = ([random.random() for _ in range(n)] for n in (500, 900))
    stated("9", (len(pickle.dumps(two, 2)) - len(pickle.dumps(one, 2))) / 400)
    stated("4", pickle.DEFAULT_PROTOCOL)
    assert json.loads(json.dumps({1: (1, 2)})) == {"1": [1, 2]}


def moved(file, device):
    """The file as a machine would write it whose tensors lie on `device`."""
    short, long = (b"X" + len(name).to_bytes(4, "little") + name for name in (b"cpu", device.encode()))
    result = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            assert not name.endswith("data.pkl") or data.count(short) == 1
            new.writestr(name, data.replace(short, long) if name.endswith("data.pkl") else data)
    result.seek(0)
    return result


@check
def check_device_of_the_file():
    file = moved(saved(torch.ones(2)), "cuda:0")
    if not torch.cuda.is_available():
        refused(RuntimeError, "Attempting to deserialize object on a CUDA device", lambda: torch.load(file))
    file.seek(0)
    assert torch.load(file, map_location="cpu").tolist() == [1.0, 1.0]


@check
def check_shared_parts_and_cycles():
    loop = []
    loop.append(loop)
    again = pickle.loads(pickle.dumps(loop))
    assert again[0] is again
    raises(ValueError, lambda: json.dumps(loop), "Circular reference")
    shared = [1]
    assert json.dumps([shared, shared]) == "[[1], [1]]"


class Own:
    pass


def refused(kind, text, work):
    raises(kind, lambda: work(), text)


@check
def check_pitfalls():
    file = saved(Own())
    refused(pickle.UnpicklingError, "Weights only load failed", lambda: torch.load(file))
    file.seek(0)
    assert isinstance(torch.load(file, weights_only=False), Own)
    file.seek(0)
    with torch.serialization.safe_globals([Own]):
        assert isinstance(torch.load(file), Own)
    for value in (np.ones(1), np.float64(1), np.random.get_state()):
        refused(pickle.UnpicklingError, "Weights only load failed", lambda: torch.load(saved(value)))
    with torch.serialization.safe_globals([nn.Sequential]):
        refused(pickle.UnpicklingError, "torch.nn.modules.linear.Linear", lambda: torch.load(saved(nn.Sequential(nn.Linear(2, 1)))))
    text = pickle.dumps(Own()).replace(b"Own", b"Old")
    refused(AttributeError, "Old", lambda: pickle.loads(text))
    refused(TypeError, "Object of type float32 is not JSON serializable", lambda: json.dumps(np.float32(1)))
    refused(TypeError, "Object of type Tensor is not JSON serializable", lambda: json.dumps(torch.ones(1)))
    refused(TypeError, "Object of type int64 is not JSON serializable", lambda: json.dumps(np.int64(1)))
    assert json.dumps(np.float64(0.5)) == "0.5"
    assert json.dumps(float("nan")) == "NaN" and json.dumps(torch.ones(2).tolist()) == "[1.0, 1.0]"
    refused(ValueError, "not JSON compliant", lambda: json.dumps(float("nan"), allow_nan=False))
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object))
    buffer.seek(0)
    refused(ValueError, "allow_pickle=False", lambda: np.load(buffer))


class Logged:
    def __init__(self):
        self.file, self.name = open(__file__), "x"

    def __getstate__(self):
        return {"name": self.name}

    def __setstate__(self, state):
        self.__dict__.update(state, file=None)


@check
def check_questions():
    raises((pickle.PicklingError, AttributeError), lambda: pickle.dumps(lambda: 0))
    logged = Logged()
    copy = pickle.loads(pickle.dumps(logged))
    logged.file.close()
    assert copy.name == "x" and copy.file is None
    values = [random.uniform(-1e9, 1e9) for _ in range(200)]
    assert json.loads(json.dumps(values)) == values
