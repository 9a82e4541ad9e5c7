import collections
import importlib
import io
import json
import multiprocessing
import pickle
import random
import sys
import types
import zipfile

import joblib
import numpy as np
import torch
from torch import nn

from note_checks import formula, holds, pitfall, processor_seconds, raises, sourced, stated

SIZE = r"B = \sum_{s} n_s\, b_s \ + \ \text{pickle and headers}"


sourced("Python documentation of pickle: DEFAULT_PROTOCOL is 5 from version 3.14 on", "`pickle.dumps(x)`")
sourced("PyTorch 2.6 release notes, torch.load", "`torch.load(f)`")
sourced("GitHub advisories of CVE-2025-32434 and CVE-2026-24747", "`torch.save` of a `state_dict`")
sourced("safetensors documentation, Format", "safetensors")


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


@holds("`pickle.dumps(x)`", "`json.dumps(x)`")
def check_worked_example():
    t = torch.zeros(1_000_000)
    stated("4,000,000", data_bytes(t[:10]))
    stated("40", data_bytes(t[:10].clone()))
    one, two = ([random.random() for _ in range(n)] for n in (500, 900))
    stated("9", (len(pickle.dumps(two, 2)) - len(pickle.dumps(one, 2))) / 400)
    stated("4", pickle.DEFAULT_PROTOCOL)
    assert json.loads(json.dumps({1: (1, 2)})) == {"1": [1, 2]}
    assert type(pickle.dumps(t)) is bytes and pickle.dumps(1)[1] == pickle.DEFAULT_PROTOCOL
    plain = {"a": [1, 0.5, True, None, "x"], "b": (2,)}
    assert type(json.dumps(plain)) is str and json.loads(json.dumps(plain)) == {**plain, "b": [2]}
    for other in ({1}, b"x", 1j, Own()):
        raises(TypeError, lambda: json.dumps(other), "is not JSON serializable")


@holds("`torch.save(x, f)`")
def check_archive():
    sizes = []
    for tensors in ([torch.ones(3)], [torch.ones(3), torch.ones(5)], [torch.ones(3)] * 2):
        with zipfile.ZipFile(saved(tensors)) as archive:
            sizes.append([one.file_size for one in archive.infolist() if "/data/" in one.filename])
            assert sum(one.filename.endswith("data.pkl") for one in archive.infolist()) == 1
            others = [one for one in archive.infolist() if not one.filename.endswith("data.pkl")]
            assert sum(one.file_size for one in others) - sum(sizes[-1]) < 100
    assert sizes == [[12], [12, 20], [12]]


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


@holds("`torch.load(f)`")
@pitfall('"Attempting to deserialize object on a CUDA device" on a machine without a GPU')
def check_device_of_the_file():
    file = moved(saved(torch.ones(2)), "cuda:0")
    if not torch.cuda.is_available():
        refused(RuntimeError, "Attempting to deserialize object on a CUDA device", lambda: torch.load(file))
    file.seek(0)
    assert torch.load(file, map_location="cpu").tolist() == [1.0, 1.0]
    assert torch.load(saved(torch.ones(2)), map_location="meta").is_meta
    refused(pickle.UnpicklingError, "Weights only load failed", lambda: loaded(Own()))


@holds("Shared parts, cycles")
def check_shared_parts_and_cycles():
    loop = []
    loop.append(loop)
    again = pickle.loads(pickle.dumps(loop))
    assert again[0] is again
    raises(ValueError, lambda: json.dumps(loop), "Circular reference")
    shared = [1]
    assert json.dumps([shared, shared]) == "[[1], [1]]"
    pair = pickle.loads(pickle.dumps([shared, shared]))
    assert pair[0] is pair[1]


class Own:
    pass


class OwnList(list):
    pass


class OwnDict(dict):
    pass


def named_in_file(x):
    paths = (path.rpartition(".") for path in torch.serialization.get_unsafe_globals_in_checkpoint(saved(x)))
    return [getattr(importlib.import_module(module), name) for module, _, name in paths]


def refused(kind, text, work):
    raises(kind, lambda: work(), text)


def loaded(x, *safe, **options):
    with torch.serialization.safe_globals(list(safe)):
        return torch.load(saved(x), **options)


@pitfall('"Weights only load failed" after an update of PyTorch')
def check_what_is_accepted():
    model, values = nn.Sequential(nn.Linear(2, 1)), [np.ones(1), np.float64(1), np.random.get_state()]
    for refuse in (Own(), model, *values):
        refused(pickle.UnpicklingError, "Weights only load failed", lambda: loaded(refuse))
    assert isinstance(loaded(Own(), weights_only=False), Own) and isinstance(loaded(Own(), Own), Own)
    refused(pickle.UnpicklingError, "torch.nn.modules.linear.Linear", lambda: loaded(model, nn.Sequential))
    assert torch.equal(loaded(model, nn.Sequential, nn.Linear)[0].weight, model[0].weight)
    for accept in (Own(), model, {"own": Own(), "model": nn.TransformerEncoderLayer(4, 2)}):
        assert type(loaded(accept, *named_in_file(accept))) is type(accept)
    named = {"own": Own(), "order": collections.OrderedDict(a=1)}
    assert loaded(named, *named_in_file(named))["order"] == {"a": 1}
    for more in (np.ones(1), np.float64(1), OwnList([1]), OwnDict(a=1), collections.deque([1])):
        refused(pickle.UnpicklingError, "Weights only load failed", lambda: loaded(more, *named_in_file(more)))
        assert loaded(more, weights_only=False) == more
    plain_values = {"best": np.float64(1).item(), "random": np.random.get_state()[1].tolist(), "a": np.ones(1).tolist()}
    assert loaded(plain_values) == plain_values
    again = nn.Sequential(nn.Linear(2, 1))
    again.load_state_dict(loaded(model.state_dict()))
    assert torch.equal(again[0].weight, model[0].weight)
    plain = {"step": 3, "rates": [0.1, None], "shape": (2, True), "text": "x", "weight": torch.ones(2)}
    assert list(loaded(plain)) == list(plain)


ran = []


class Call:
    """Names a function of this module, as a file from elsewhere names one of the standard library."""

    def __reduce__(self):
        return note, ("by the file",)


def note(text):
    ran.append(text)


@holds("Safety", "`pickle`", "`torch.save` of a `state_dict`", "`torch.save(model)`")
@pitfall("Loading a downloaded pickle runs foreign code")
def check_calls_made_by_a_file():
    file = io.BytesIO()
    joblib.dump(Call(), file)
    file.seek(0)
    unsafe = lambda: loaded(Call(), weights_only=False)
    for load in (lambda: pickle.loads(pickle.dumps(Call())), lambda: joblib.load(file), unsafe):
        ran.clear()
        load()
        assert ran == ["by the file"]
    model = nn.Linear(2, 1)
    model.extra = Call()
    ran.clear()
    torch.load(saved(model), weights_only=False)
    assert ran == ["by the file"] and issubclass(multiprocessing.reduction.ForkingPickler, pickle.Pickler)
    ran.clear()
    refused(pickle.UnpicklingError, "Weights only load failed", lambda: loaded(Call(), weights_only=True))
    assert not ran and loaded(nn.Linear(2, 1).state_dict(), weights_only=True)["weight"].shape == (1, 2)


@holds("Functions and classes", "`torch.save(model)`")
@pitfall("A saved model cannot be loaded after refactoring")
def check_renamed_modules_and_classes():
    old = types.ModuleType("old_nets")
    exec("from torch import nn\nclass Net(nn.Linear):\n    pass", old.__dict__)
    sys.modules["old_nets"] = old
    net = old.Net(2, 1)
    whole = saved(net)
    named = pickle.dumps(old.Net)
    assert b"old_nets" in named and b"Net" in named and len(named) < 60
    assert b"check_bytes" in pickle.dumps(check_bytes_of_the_storages)
    weights = saved(torch.load(whole, weights_only=False).state_dict())  # under the old code
    whole.seek(0)
    NewNet = type("NewNet", (nn.Linear,), {"__module__": "new_nets"})
    assert pickle.loads(named) is old.Net
    del old.Net
    refused(AttributeError, "Net", lambda: pickle.loads(named))
    refused(AttributeError, "Net", lambda: torch.load(whole, weights_only=False))
    del sys.modules["old_nets"]
    whole.seek(0)
    refused(ModuleNotFoundError, "old_nets", lambda: torch.load(whole, weights_only=False))
    built = NewNet(2, 1)
    built.load_state_dict(torch.load(weights))
    assert torch.equal(built.weight, net.weight)


@pitfall("The file is far larger than the tensor")
def check_storage_of_a_view():
    t = torch.zeros(1_000_000)
    large, small = saved(t[:10]), saved(t[:10].clone())
    assert len(large.getvalue()) > 4_000_000 and len(small.getvalue()) < 4_000
    assert torch.equal(torch.load(large), torch.load(small))


@pitfall('"Object of type float32 is not JSON serializable"')
def check_numbers_in_json():
    array, tensor = np.ones(2, np.float32), torch.ones(2)
    numpy_values = (array[0], "float32"), (np.int64(1), "int64"), (np.bool_(True), "bool"), (array, "ndarray")
    for value, name in (*numpy_values, (tensor, "Tensor")):
        refused(TypeError, f"Object of type {name}", lambda: json.dumps(value))
    refused(TypeError, "Object of type float32 is not JSON serializable", lambda: json.dumps(array[0]))
    assert json.dumps([array[0].item(), tensor[0].item()]) == json.dumps(array.tolist()) == json.dumps(tensor.tolist())
    assert json.dumps(np.float64(0.5)) == "0.5" and json.dumps(float("nan")) == "NaN"
    refused(ValueError, "not JSON compliant", lambda: json.dumps(float("nan"), allow_nan=False))


@holds("`json`", "`np.save`")
def check_object_arrays():
    kinds = {type(value) for value in json.loads('[{"__class__": "Own"}, [1], 1, 0.5, "x", true, null]')}
    assert kinds == {dict, list, int, float, str, bool, type(None)}
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    buffer.seek(0)
    assert np.load(buffer).tolist() == [0, 1, 2]
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


@holds("Why can a lambda not be pickled?", "How does a class control what is pickled?", "Why not JSON for weights?")
def check_questions():
    assert (lambda: 0).__qualname__.endswith("<lambda>")
    with open(__file__) as file:
        raises(TypeError, lambda: pickle.dumps(file), "cannot pickle")
        for method in ("spawn", "forkserver"):
            process = multiprocessing.get_context(method).Process(target=print, args=(file,))
            raises(TypeError, process.start, "cannot pickle")
    weights = torch.randn(50_000)
    text, binary = json.dumps(weights.tolist()), pickle.dumps(weights.numpy())
    parsing, reading = processor_seconds(lambda: json.loads(text), lambda: pickle.loads(binary))
    assert parsing > 3 * reading and 19 < len(text) / 50_000 < 21 and 4 < len(binary) / 50_000 < 4.1
    for values, fewer in ((weights, True), (torch.zeros(9000), True), (torch.randint(10, (9000,)), False)):
        assert (len(values.numpy().tobytes()) < len(json.dumps(values.tolist()))) is fewer
    raises((pickle.PicklingError, AttributeError), lambda: pickle.dumps(lambda: 0))
    logged = Logged()
    copy = pickle.loads(pickle.dumps(logged))
    logged.file.close()
    assert copy.name == "x" and copy.file is None
    values = [random.uniform(-1e9, 1e9) for _ in range(200)]
    assert json.loads(json.dumps(values)) == values
