"""Executed claims of the cards of NumPy, SciPy, Python's own library and of libraries that are not installed here.

What those libraries compute is checked in NumPy and, where PyTorch or scikit-learn has the same thing, against that.
"""

import collections.abc
import concurrent.futures
import copy
import decimal
import functools
import gc
import itertools
import json
import math
import operator
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from abc import ABC, abstractmethod

import numpy as np
import scipy.interpolate
import scipy.linalg
import scipy.signal
import scipy.sparse
import scipy.spatial.distance
import scipy.special
import scipy.stats
import torch

from note_checks import card

rng = np.random.default_rng(0)


def fails(work, *errors):
    try:
        work()
    except errors or (ValueError, TypeError):
        return True
    return False


def close(first, second, rtol=1e-9, atol=1e-12):
    np.testing.assert_allclose(first, second, rtol=rtol, atol=atol)


@card("scipy.stats.entropy", formula=r"H=-\sum_kp_k\ln p_k")
def entropy():
    p = rng.random((5, 3))
    q = p / p.sum(axis=0)
    close(scipy.stats.entropy(p), -(q * np.log(q)).sum(axis=0))
    close(scipy.stats.entropy([1, 1], base=2), 1)
    other = rng.random((5, 3))
    r = other / other.sum(axis=0)
    close(scipy.stats.entropy(p, other), (q * np.log(q / r)).sum(axis=0))
    assert scipy.stats.entropy([1, 1], [1, 0]) == np.inf and scipy.stats.entropy(p).shape == (3,)


@card("scipy.special.rel_entr", formula=r"\operatorname{rel\_entr}(x,y)=x\ln\frac xy")
def relative_entropy():
    x, y = rng.random(6), rng.random(6)
    close(scipy.special.rel_entr(x, y), x * np.log(x / y))
    assert scipy.special.rel_entr([0, 0.5, -1], [0, 0, 1]).tolist() == [0, np.inf, np.inf]
    p, q = x / x.sum(), y / y.sum()
    theirs = torch.nn.functional.kl_div(torch.tensor(np.log(q)), torch.tensor(p), reduction="sum")
    close(scipy.special.rel_entr(p, q).sum(), theirs.item())


@card("scipy.special.kl_div", formula=r"\operatorname{kl\_div}(x,y)=x\ln\frac xy-x+y")
def kl_div():
    x, y = rng.random(6), rng.random(6)
    close(scipy.special.kl_div(x, y), x * np.log(x / y) - x + y)
    assert scipy.special.kl_div(x, y).min() >= 0 > scipy.special.rel_entr(x, y).min()
    p, q = x / x.sum(), y / y.sum()
    close(scipy.special.kl_div(p, q).sum(), scipy.special.rel_entr(p, q).sum())


@card("numpy.linalg.svd", "scipy.linalg.svd", formula=r"A=U\operatorname{diag}(s)\,V^{\mathsf H}")
def svd():
    for a in (rng.normal(size=(5, 3)), rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))):
        for decompose in (np.linalg.svd, scipy.linalg.svd):
            u, s, vh = decompose(a, full_matrices=False)
            close(u @ np.diag(s) @ vh, a)
            close(u * s @ vh, a)
            assert np.all(np.diff(s) <= 0) and s.min() >= 0
            close(vh @ vh.conj().T, np.eye(len(vh)), atol=1e-10)
            u, s, vh = decompose(a)
            assert u.shape == (a.shape[0],) * 2 and vh.shape == (a.shape[1],) * 2 and s.shape == (min(a.shape),)
    assert fails(lambda: np.multiply(np.linalg.svd(rng.normal(size=(5, 3)))[0], np.ones(3)))


@card("scipy.spatial.distance.cosine", formula=r"d=1-\frac{u\cdot v}{\lVert u\rVert\,\lVert v\rVert}")
def cosine():
    u, v = rng.normal(size=4), rng.normal(size=4)
    close(scipy.spatial.distance.cosine(u, v), 1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    close(scipy.spatial.distance.cosine(u, -u), 2)
    assert fails(lambda: scipy.spatial.distance.cosine([1, 0], [[1, 0]]))
    with np.errstate(all="ignore"):
        assert np.isnan(scipy.spatial.distance.cosine([1, 0], [0, 0]))
    a, b, c = ([math.cos(t), math.sin(t)] for t in (0, math.pi / 4, math.pi / 2))
    d = scipy.spatial.distance.cosine
    assert d(a, b) + d(b, c) < d(a, c)


@card("scipy.spatial.distance.euclidean", formula=r"d=\sqrt{\sum_j(u_j-v_j)^2}")
def euclidean():
    u, v, w = rng.normal(size=4), rng.normal(size=4), rng.random(4)
    close(scipy.spatial.distance.euclidean(u, v), math.sqrt(((u - v) ** 2).sum()))
    close(scipy.spatial.distance.euclidean(u, v, w), math.sqrt((w * (u - v) ** 2).sum()))
    assert fails(lambda: scipy.spatial.distance.euclidean(rng.normal(size=(3, 2)), rng.normal(size=(3, 2))))


@card("scipy.special.logsumexp", formula=r"\ln\sum_ie^{a_i}=m+\ln\sum_ie^{a_i-m},\quad m=\max_ia_i")
def logsumexp():
    a = rng.normal(size=(3, 5)) * 5
    m = a.max()
    close(scipy.special.logsumexp(a), m + np.log(np.exp(a - m).sum()))
    close(scipy.special.logsumexp(a), np.log(np.exp(a).sum()))
    assert scipy.special.logsumexp(a).shape == () and scipy.special.logsumexp(a, axis=-1).shape == (3,)
    close(scipy.special.logsumexp([1000, 1000]), 1000 + math.log(2))
    assert scipy.special.logsumexp([-np.inf, -np.inf]) == -np.inf
    value, sign = scipy.special.logsumexp([1, 2], b=[1, -1], return_sign=True)
    close(sign * np.exp(value), math.e - math.e**2)


@card("scipy.sparse.coo_matrix", "scipy.sparse.csr_matrix", "scipy.sparse.csc_matrix")
def sparse_formats():
    coo = scipy.sparse.coo_matrix(([1, 2], ([0, 0], [0, 0])), shape=(2, 2))
    assert coo.toarray().tolist() == [[3, 0], [0, 0]] and fails(lambda: coo[0, 0]) and coo.tocsr()[0, 0] == 3
    dense = np.array([[1, 2], [3, 4]])
    a = scipy.sparse.csr_matrix(dense)
    assert (a * a).toarray().tolist() == (dense @ dense).tolist() and a.indptr.shape == (3,)
    array = scipy.sparse.csr_array(dense)
    assert (array * array).toarray().tolist() == (dense * dense).tolist()
    parts = (a.data, a.indices, a.indptr)
    assert np.array_equal(scipy.sparse.csc_matrix(parts, shape=(2, 2)).toarray(), dense.T)
    b = scipy.sparse.csc_matrix(dense)
    assert (b * b).toarray().tolist() == (dense @ dense).tolist()


@card("scipy.sparse.dia_matrix", formula=r"A_{i,\,i+k_r}=\mathrm{data}_{r,\,i+k_r}")
def diagonals():
    data, offsets = rng.integers(1, 9, (3, 5)), [0, 1, -2]
    a = scipy.sparse.dia_matrix((data, offsets), shape=(5, 5))
    expected = np.zeros((5, 5), int)
    for r, k in enumerate(offsets):
        for i in range(5):
            if 0 <= i + k < 5:
                expected[i, i + k] = data[r, i + k]
    assert np.array_equal(a.toarray(), expected) and a.toarray()[0, 1] == data[1, 1]
    assert fails(lambda: a[0, 0]) and fails(lambda: a[:2])


@card("scipy.signal.convolve", formula=r"y_n=\sum_ka_k\,v_{n-k}")
def convolve():
    a, v = rng.normal(size=6), rng.normal(size=3)
    full = [sum(a[k] * v[n - k] for k in range(6) if 0 <= n - k < 3) for n in range(8)]
    for method in ("direct", "fft"):
        close(scipy.signal.convolve(a, v, method=method), full)
    assert scipy.signal.convolve(a, v, "same").shape == (6,) and scipy.signal.convolve(v, a, "same").shape == (3,)
    assert scipy.signal.convolve(a, v, "valid").shape == (4,)
    close(scipy.signal.correlate(a, v, "valid"), [a[i : i + 3] @ v for i in range(4)])
    assert fails(lambda: scipy.signal.convolve([1, 2, 3], [[1]]))
    layer = torch.nn.functional.conv1d(torch.tensor(a)[None, None], torch.tensor(v)[None, None])[0, 0]
    close(layer.numpy(), scipy.signal.correlate(a, v, "valid"))
    image, kernel = rng.normal(size=(5, 4)), rng.normal(size=(2, 3))
    by_hand = np.zeros((6, 6))
    for i, j in itertools.product(range(2), range(3)):
        by_hand[i : i + 5, j : j + 4] += kernel[i, j] * image
    close(scipy.signal.convolve(image, kernel), by_hand)


@card("numpy.convolve", formula=r"y_n=\sum_ka_k\,v_{n-k}")
def numpy_convolve():
    a, v = rng.normal(size=6), rng.normal(size=3)
    close(np.convolve(a, v), [sum(a[k] * v[n - k] for k in range(6) if 0 <= n - k < 3) for n in range(8)])
    assert np.convolve(v, a, "same").shape == (6,) and np.convolve(a, v, "valid").shape == (6 - 3 + 1,)
    close(np.correlate(a, v), [a[i : i + 3] @ v for i in range(4)])
    assert fails(lambda: np.convolve(np.ones((2, 2)), v))


@card("scipy.special.expit", formula=r"\sigma(x)=\frac1{1+e^{-x}}")
def expit():
    x = rng.normal(size=20) * 5
    close(scipy.special.expit(x), 1 / (1 + np.exp(-x)))
    assert scipy.special.expit(np.array([-1000.0, 1000.0])).tolist() == [0, 1]
    assert scipy.special.expit(37.0) == 1 and scipy.special.expit(36.0) < 1
    with np.errstate(divide="ignore"):
        assert np.log(1 - scipy.special.expit(40.0)) == -np.inf
    close(scipy.special.log_expit(-40.0), -40)


@card("numpy.tanh", formula=r"\tanh x=\frac{e^x-e^{-x}}{e^x+e^{-x}}=2\sigma(2x)-1")
def tanh():
    x = rng.normal(size=20)
    close(np.tanh(x), (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)))
    close(np.tanh(x), 2 / (1 + np.exp(-2 * x)) - 1)
    close(1 - np.tanh(0.0) ** 2, 1)
    assert 1 - np.tanh(3.0) ** 2 < 0.01


@card("scipy.special.softmax", formula=r"s_i=\frac{e^{x_i}}{\sum_je^{x_j}}")
def softmax():
    x = rng.normal(size=(3, 4))
    close(scipy.special.softmax(x), np.exp(x) / np.exp(x).sum())
    close(scipy.special.softmax(x, axis=-1).sum(axis=-1), 1)
    close(scipy.special.softmax([1000.0, 1000.0]), 0.5)


@card("scipy.interpolate.RBFInterpolator", formula=r"f(x)=\sum_ia_i\,\phi(\varepsilon\lVert x-y_i\rVert)+P(x)")
def radial():
    y, d = rng.normal(size=(12, 2)), rng.normal(size=12)
    made = scipy.interpolate.RBFInterpolator(y, d, kernel="gaussian", epsilon=0.8, degree=1)
    p = np.c_[np.ones(12), y]
    k = np.exp(-((0.8 * scipy.spatial.distance.cdist(y, y)) ** 2))
    solution = np.linalg.solve(np.block([[k, p], [p.T, np.zeros((3, 3))]]), np.r_[d, np.zeros(3)])
    x = rng.normal(size=(5, 2))
    values = (
        np.exp(-((0.8 * scipy.spatial.distance.cdist(x, y)) ** 2)) @ solution[:12]
        + np.c_[np.ones(5), x] @ solution[12:]
    )
    close(made(x), values, rtol=1e-5)
    close(made(y), d, rtol=1e-5)
    assert fails(lambda: scipy.interpolate.RBFInterpolator(np.arange(5.0), np.arange(5.0)))
    assert fails(lambda: scipy.interpolate.RBFInterpolator(y, d, kernel="gaussian"))


@card("numpy.broadcast_to")
def broadcast():
    a = np.arange(3)
    view = np.broadcast_to(a, (2, 3))
    assert np.shares_memory(a, view) and view.strides[0] == 0
    assert fails(lambda: view.__setitem__((0, 0), 1)) and fails(lambda: np.broadcast_to([1, 2], (2, 3)))


@card("copy.copy", "copy.deepcopy")
def copies():
    shared = [0]
    original = [[1], shared, shared]
    shallow, deep = copy.copy(original), copy.deepcopy(original)
    shallow[0].append(2)
    assert original[0] == [1, 2] and deep[0] == [1] and deep[1] is deep[2] and deep[1] is not shared
    word = ("a", "b")
    assert copy.copy(word) is word
    for odd in (threading.Lock(), (x for x in [1]), open(__file__)):
        assert fails(lambda: copy.deepcopy(odd), TypeError)
        if hasattr(odd, "close"):
            odd.close()


class Node:
    pass


@card("gc.collect", "gc.disable", "gc.get_threshold", "gc.set_threshold", "sys.getrefcount", "weakref.ref")
def garbage():
    gc.collect()
    gc.disable()
    try:
        lone, first = Node(), Node()
        gone = weakref.ref(lone)
        del lone
        assert gone() is None, "reference counting goes on"
        first.other = Node()
        first.other.back = first
        seen = weakref.ref(first)
        del first
        assert seen() is not None and gc.collect() >= 2 and seen() is None
    finally:
        gc.enable()
    before = gc.get_threshold()
    assert len(before) == 3
    gc.set_threshold(0, 0, 0)
    assert gc.get_threshold()[0] == 0
    gc.set_threshold(*before)
    item = object()
    assert sys.getrefcount(item) == 2
    for value in ([], {}, (), 1):
        assert fails(lambda: weakref.ref(value), TypeError)

    class Own(list):
        pass

    own = Own()
    assert weakref.ref(own)() is own


@card("builtins.id", "operator.is_", "operator.eq")
def identity():
    assert id([]) == id([]), "the second list gets the place of the first"
    a = [1]
    assert operator.is_(a, a) and not operator.is_(a, [1]) and operator.eq(a, [1])
    assert operator.is_(int("7"), int("7")) and not operator.is_(int("7000"), int("7000"))
    assert operator.eq(np.array([1, 2]), np.array([1, 3])).tolist() == [True, False]
    assert not operator.eq(math.nan, math.nan)


@card("functools.wraps", "functools.lru_cache", "builtins.property", "builtins.staticmethod", "builtins.classmethod")
def decorators():
    def plain(function):
        def wrapper():
            return function()

        return wrapper

    def wrapped(function):
        @functools.wraps(function)
        def wrapper():
            return function()

        return wrapper

    def hello():
        """Doc."""

    assert plain(hello).__name__ == "wrapper" and plain(hello).__doc__ is None
    assert (
        wrapped(hello).__name__ == "hello" and wrapped(hello).__doc__ == "Doc." and wrapped(hello).__wrapped__ is hello
    )

    @functools.lru_cache
    def make(key):
        return [key]

    assert fails(lambda: make([1]), TypeError) and make(1) is make(1)

    class Holder:
        @functools.lru_cache
        def method(self):
            return 1

        @property
        def area(self):
            self.asked = getattr(self, "asked", 0) + 1
            return 2

        @staticmethod
        def helper(*given):
            return given

        @classmethod
        def create(cls):
            return cls()

    class Child(Holder):
        pass

    held = Holder()
    held.method()
    kept = weakref.ref(held)
    assert held.area + held.area == 4 and held.asked == 2 and fails(lambda: setattr(held, "area", 3), AttributeError)
    held = None
    gc.collect()
    assert kept() is not None, "the cache keeps the instance"
    assert Holder.helper(1) == Holder().helper(1) == (1,) and type(Child.create()) is Child


@card("builtins.iter", "builtins.next", "collections.abc.Iterator", "collections.abc.Generator", "itertools.islice")
def iteration():
    once = iter([1, 2])
    assert list(once) == [1, 2] and list(once) == [] and iter([1]) is not iter([1])
    assert fails(lambda: next(once), StopIteration) and next(once, 0) == 0 and fails(lambda: next([1]), TypeError)

    def leaking():
        yield next(iter([]))

    assert fails(lambda: list(leaking()), RuntimeError)
    assert isinstance([], collections.abc.Iterable) and not isinstance([], collections.abc.Iterator)

    class Three(collections.abc.Iterator):
        left = 3

        def __next__(self):
            if not self.left:
                raise StopIteration
            self.left -= 1
            return self.left

    assert list(Three()) == [2, 1, 0]
    ran = []

    def lazy():
        ran.append(1)
        yield 1

    waiting = lazy()
    assert not ran and isinstance(waiting, collections.abc.Generator) and next(waiting) == 1 and ran
    source = iter(range(10))
    assert list(itertools.islice(source, 2, 8, 3)) == [2, 5] and next(source) == 8
    assert fails(lambda: itertools.islice([1], -1), ValueError)


@card("builtins.super", "builtins.isinstance", "builtins.issubclass", "abc.ABC")
def inheritance():
    class Base:
        def who(self):
            return ["base"]

    class Left(Base):
        def who(self):
            return ["left", *super().who()]

    class Right(Base):
        def who(self):
            return ["right", *super().who()]

    class Both(Left, Right):
        pass

    assert Both().who() == ["left", "right", "base"]

    class Bad(torch.nn.Module):
        def __init__(self):
            self.layer = torch.nn.Linear(1, 1)

    assert fails(Bad, AttributeError)
    assert isinstance(True, int) and fails(lambda: isinstance([], list[int]), TypeError) and issubclass(int, int)
    assert fails(lambda: issubclass(1, int), TypeError) and issubclass(list, collections.abc.Iterable)

    class Shape(ABC):
        @abstractmethod
        def area(self): ...

    class Open(ABC):
        pass

    class Lazy(Shape):
        pass

    assert fails(Shape, TypeError) and fails(Lazy, TypeError) and Open()


@card("threading.Thread", "threading.Lock", "concurrent.futures.ThreadPoolExecutor")
def threads():
    failed = []
    hook, threading.excepthook = threading.excepthook, lambda error: failed.append(error.exc_type)
    try:
        broken = threading.Thread(target=lambda: 1 / 0)
        broken.start()
        broken.join()
    finally:
        threading.excepthook = hook
    assert failed == [ZeroDivisionError], "the exception does not reach join"
    lock = threading.Lock()
    with lock:
        assert not lock.acquire(blocking=False)
    again = threading.RLock()
    with again:
        assert again.acquire(blocking=False)
        again.release()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        start = time.perf_counter()
        waits = [pool.submit(time.sleep, 0.5) for _ in range(4)]
        concurrent.futures.wait(waits)
        assert time.perf_counter() - start < 1.9
        future = pool.submit(lambda: 1 / 0)
        concurrent.futures.wait([future])
        assert fails(future.result, ZeroDivisionError)
    assert concurrent.futures.ThreadPoolExecutor()._max_workers == min(32, (os.cpu_count() or 1) + 4)


def double(x):
    return 2 * x


PROCESSES = """
import multiprocessing, pickle

def double(x):
    return 2 * x

fork = multiprocessing.get_context("fork")
box = [0]
child = fork.Process(target=box.append, args=(1,))
child.start()
child.join()
assert box == [0] and child.exitcode == 0
with fork.Pool(2) as pool:
    assert pool.map(double, [3, 1, 2]) == [6, 2, 4]
    try:
        pool.map(lambda x: x, [1])
    except (pickle.PicklingError, AttributeError):
        print("done")
"""


@card("multiprocessing.Process", "multiprocessing.Pool", "concurrent.futures.ProcessPoolExecutor")
def processes():
    # In an interpreter of its own: the checks run in processes forked from threads.
    done = subprocess.run([sys.executable, "-c", PROCESSES], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "done", done.stderr


@card("pickle.dumps", "pickle.dump", "pickle.loads", "pickle.load")
def pickles():
    assert pickle.loads(pickle.dumps({"a": [1, (2,)]})) == {"a": [1, (2,)]}
    assert fails(lambda: pickle.dumps(lambda: 1), pickle.PicklingError, AttributeError)
    assert b"double" in pickle.dumps(double) and b"2 * x" not in pickle.dumps(double)
    pickle.loads(pickle.dumps(Harmful()))
    assert recorded == [1], "loading ran code"


recorded: list[int] = []


def record(value):
    recorded.append(value)


class Harmful:
    def __reduce__(self):
        return (record, (1,))


@card("json.dumps", "json.loads")
def jsons():
    assert json.loads(json.dumps({1: (2, 3)})) == {"1": [2, 3]}
    assert fails(lambda: json.dumps(np.float32(1)), TypeError) and fails(lambda: json.dumps(torch.ones(1)), TypeError)
    assert json.dumps(math.nan) == "NaN" and fails(lambda: json.dumps(math.nan, allow_nan=False))
    assert json.dumps("中") == '"\\u4e2d"' and json.dumps("中", ensure_ascii=False) == '"中"'
    for text in ("{'a': 1}", "[1,]", "[1] // no"):
        assert fails(lambda: json.loads(text))
    assert json.loads("0.1", parse_float=decimal.Decimal) == decimal.Decimal("0.1")


@card("builtins.str.encode", "builtins.bytes.decode", "builtins.ord", "builtins.chr")
def encodings():
    assert len("中".encode()) == 3 and len("中".encode("gbk")) == 2
    assert fails(lambda: "é".encode("ascii"), UnicodeEncodeError) and "é".encode("ascii", "replace") == b"?"
    assert (
        fails(lambda: "中文".encode("gbk").decode(), UnicodeDecodeError)
        and "中文".encode("gbk").decode("latin-1") == "ÖÐÎÄ"
    )
    assert b"\xff".decode(errors="replace") == "\ufffd"
    assert fails(lambda: ord("e\u0301"), TypeError) and ord("é") == 233 and chr(233) == "é"
    assert chr(0x10FFFF) and fails(lambda: chr(0x110000))


@card("timm.utils.ModelEmaV2", formula=r"\bar\theta\leftarrow\beta\,\bar\theta+(1-\beta)\,\theta")
def moving_average():
    values = rng.normal(size=6)
    model = torch.nn.Linear(1, 1, bias=False).double()
    ema = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    average = None
    for value in values:
        with torch.no_grad():
            model.weight.fill_(value)
        ema.update_parameters(model)
        average = value if average is None else 0.9 * average + 0.1 * value
        close(ema.module.weight.item(), average)


@card("timm.layers.SqueezeExcite", formula=r"y_c=x_c\cdot\sigma\!\left(W_2\,\mathrm{ReLU}(W_1\bar x)\right)_c")
def squeeze_excite():
    x = torch.randn(2, 8, 5, 4, dtype=torch.float64)
    down, up = torch.nn.Conv2d(8, 2, 1, bias=False).double(), torch.nn.Conv2d(2, 8, 1, bias=False).double()
    gate = torch.sigmoid(up(torch.relu(down(x.mean((2, 3), keepdim=True)))))
    w1, w2 = down.weight[:, :, 0, 0].detach().numpy(), up.weight[:, :, 0, 0].detach().numpy()
    mean = x.numpy().mean(axis=(2, 3))
    hidden = np.maximum(mean @ w1.T, 0)
    y = x.numpy() * scipy.special.expit(hidden @ w2.T)[:, :, None, None]
    close((x * gate).detach().numpy(), y)


def rates(make, steps):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.4)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(found)


@card(
    "transformers.get_linear_schedule_with_warmup",
    formula=r"\eta_t=\eta\min\!\left(\frac t{T_w},\ \frac{T-t}{T-T_w}\right)",
)
def linear_schedule():
    warm, total = 5, 25
    t = np.arange(total + 1)
    rate = 0.4 * np.minimum(t / warm, (total - t) / (total - warm))
    falling = rates(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=total - warm), total - warm + 1
    )
    close(rate[warm:], falling, atol=1e-9)
    close(rate[: warm + 1], 0.4 * t[: warm + 1] / warm)
    assert rate[0] == 0 == rate[-1] and rate.max() == rate[warm] == 0.4


@card(
    "transformers.get_cosine_schedule_with_warmup",
    formula=r"\eta_t=\tfrac\eta2\left(1+\cos\frac{\pi(t-T_w)}{T-T_w}\right),\quad t\ge T_w",
)
def cosine_schedule():
    warm, total = 5, 25
    t = np.arange(warm, total + 1)
    rate = 0.4 / 2 * (1 + np.cos(np.pi * (t - warm) / (total - warm)))
    close(
        rate, rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, total - warm), total - warm + 1), atol=1e-9
    )
    # One whole wave (num_cycles = 1) comes back up.
    assert 0.5 * (1 + math.cos(math.pi * 1 * 2 * 1.0)) == 1 and 0.5 * (1 + math.cos(math.pi * 0.5 * 2 * 1.0)) == 0


@card("gensim.models.TfidfModel", formula=r"w_{td}=\mathrm{tf}_{td}\,\log_2\frac{D}{\mathrm{df}_t}")
def gensim_tf_idf():
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    counts = CountVectorizer().fit_transform(["red red fish", "blue fish", "one fish two fish"]).toarray()
    log2 = np.log2(3 / (counts > 0).sum(axis=0))
    close((TfidfTransformer(smooth_idf=False).fit(counts).idf_ - 1) / math.log(2), log2)
    weights = counts * log2
    assert not weights[
        :, CountVectorizer().fit(["red red fish", "blue fish", "one fish two fish"]).vocabulary_["fish"]
    ].any()


@card(
    "torch_geometric.nn.MessagePassing",
    formula=r"x_i'=\gamma\!\left(x_i,\ \textstyle\bigoplus_{j\in N(i)}\phi(x_i,x_j)\right)",
)
def message_passing():
    x = rng.normal(size=(4, 2))
    edges = np.array([[0, 1, 2, 3, 3], [1, 0, 1, 1, 2]])

    def message(own, other):
        return np.tanh(own - other)

    gathered = np.zeros((4, 2))
    np.add.at(gathered, edges[1], message(x[edges[1]], x[edges[0]]))
    neighbours = {i: [s for s, t in edges.T if t == i] for i in range(4)}
    by_node = np.array([sum((message(x[i], x[j]) for j in neighbours[i]), np.zeros(2)) for i in range(4)])
    close(x + gathered, x + by_node)


@card("torch_geometric.nn.GCNConv", formula=r"X'=\hat D^{-1/2}(A+I)\hat D^{-1/2}X\,W")
def graph_convolution():
    a = np.zeros((5, 5))
    for i, j in ((0, 1), (1, 2), (2, 3), (0, 3)):
        a[i, j] = a[j, i] = 1
    x, w = rng.normal(size=(5, 3)), rng.normal(size=(3, 2))
    hat = a + np.eye(5)
    half = np.diag(hat.sum(axis=1) ** -0.5)
    made = half @ hat @ half @ x @ w
    degrees = hat.sum(axis=1)
    for i in range(5):
        close(made[i], sum(x[j] @ w / math.sqrt(degrees[i] * degrees[j]) for j in range(5) if hat[i, j]))
    many = np.linalg.matrix_power(half @ hat @ half, 60) @ x
    inside = many[:4] / np.sqrt(degrees[:4, None])
    close(inside, np.tile(inside[0], (4, 1)), rtol=1e-3)
