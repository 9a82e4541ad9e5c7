import functools
import gc
import pathlib
import pickle
import random
import subprocess
import sys
import tempfile
import types
import weakref
from multiprocessing.reduction import ForkingPickler

import torch
from torch import nn
from torch.utils.data import DataLoader

from note_checks import check, formula, holds, pitfall, raises, stated

LOOP = r"f_k^{\text{captured}}(x) = g(x, n-1), \qquad f_k^{\text{default}}(x) = g(x, k), \qquad k = 0, \dots, n-1"


@formula(LOOP)
@holds("Reading", "Stored in", "default argument `i=i`")
def check_functions_made_in_a_loop():
    for g in (lambda x, i: x * i, lambda x, i: x - 3 * i, lambda x, i: (x, i)):
        for n in (1, 3, 7):
            captured, default, partial = [], [], []
            for i in range(n):
                captured.append(lambda x: g(x, i))
                default.append(lambda x, i=i: g(x, i))
                partial.append(functools.partial(lambda i, x: g(x, i), i))
            for x in (random.random(), -2):
                for k in range(n):
                    assert captured[k](x) == g(x, n - 1)
                    assert default[k](x) == partial[k](x) == g(x, k)
            assert captured[0].__closure__[-1] is captured[-1].__closure__[-1]
    functions = [lambda x: x * i for i in range(3)]
    stated("6", sum(f(1) for f in functions))
    stated("3", sum(f(1) for f in [lambda x, i=i: x * i for i in range(3)]))
    fixed = lambda x, i=2: x * i  # noqa: E731
    assert fixed.__defaults__ == (2,) and fixed.__closure__ is None and fixed(1) == 2 and fixed(1, 5) == 5
    assert isinstance(functions[0].__closure__[0], types.CellType) and isinstance(functions[0].__closure__, tuple)
    assert functions[0].__code__.co_freevars == ("i",) and functions[0].__closure__[0].cell_contents == 2


@pitfall("All hooks write to the last layer's name")
def check_hooks_made_in_a_loop():
    def store(seen, name, module, inputs, output):
        seen.append(name)

    def factory(seen, name):
        return lambda module, inputs, output: seen.append(name)

    def names(bound):
        model, seen = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), []
        for name, layer in model.named_children():
            if bound == "default":
                layer.register_forward_hook(lambda m, i, out, name=name: seen.append(name))
            elif bound == "partial":
                layer.register_forward_hook(functools.partial(store, seen, name))
            elif bound == "factory":
                layer.register_forward_hook(factory(seen, name))
            else:
                layer.register_forward_hook(lambda m, i, out: seen.append(name))
        model(torch.ones(1, 2))
        return seen

    assert names(None) == ["2", "2", "2"]
    assert names("default") == names("partial") == names("factory") == ["0", "1", "2"]


@pitfall("\"cannot access local variable 'n'\" (`UnboundLocalError`)")
@holds("Rebinding")
def check_unbound_local():
    def outer(mended):
        n = 0

        def broken():
            n += 1  # noqa: F823, F841

        def inner():
            nonlocal n
            n += 1
            return n

        return inner if mended else broken

    raises(UnboundLocalError, lambda: outer(False)(), "cannot access local variable 'n'")
    step = outer(True)
    assert (step(), step()) == (1, 2)
    scope = {}
    exec("n = 0\ndef broken():\n    n += 1\ndef inner():\n    global n\n    n += 1\n    return n", scope)
    raises(UnboundLocalError, scope["broken"], "cannot access local variable 'n'")
    assert (scope["inner"](), scope["inner"]()) == (1, 2)


DECORATED = """
import functools
def decorate(f):
    @functools.wraps(f)
    def inner(x):
        return f(x)
    return inner
@decorate
def g(x):
    return x + 1
"""


class Warm:
    def __init__(self, steps):
        self.steps = steps

    def __call__(self, epoch):
        return min(1.0, epoch / self.steps)


MODULE = """
import functools
def collate(batch, factor=1):
    return [factor * one for one in batch]
fixed = functools.partial(collate, factor=3)
class Collate:
    def __init__(self, factor):
        self.factor = factor
    def __call__(self, batch):
        return collate(batch, self.factor)
"""


@pitfall('"Can\'t pickle local object" with data-loading workers')
def check_collate_functions_of_workers():
    """A real spawn fails while it pickles; what is mended goes through the same pickler and back."""
    factor = 3
    for start in ("spawn", "forkserver"):
        options = {"num_workers": 1, "multiprocessing_context": start}
        loader = DataLoader([1, 2], collate_fn=lambda batch: [factor * one for one in batch], **options)
        raises((AttributeError, pickle.PicklingError), lambda: iter(loader), "Can't pickle local object")
    module = sys.modules["closures_collate"] = types.ModuleType("closures_collate")
    exec(MODULE, vars(module))
    try:
        for work, wanted in ((module.collate, [1, 2]), (module.fixed, [3, 6]), (module.Collate(3), [3, 6])):
            assert pickle.loads(ForkingPickler.dumps(work))([1, 2]) == wanted
        sent = ForkingPickler.dumps(module.collate)
    finally:
        del sys.modules["closures_collate"]
    # a worker that cannot import the module, as with a function of a notebook
    raises(ModuleNotFoundError, lambda: pickle.loads(sent))


SCRIPT = """
import multiprocessing
def work():
    print("worked", flush=True)
GUARD
    process = multiprocessing.get_context("spawn").Process(target=work)
    process.start()
    process.join()
"""


@pitfall('"Can\'t pickle local object" with data-loading workers')
def check_workers_import_the_script():
    for guard, done in (("if True:", False), ('if __name__ == "__main__":', True)):
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder, "script.py")
            script.write_text(SCRIPT.replace("GUARD", guard), encoding="utf-8")
            run = subprocess.run([sys.executable, "-I", script], capture_output=True, text=True)
        assert ("worked" in run.stdout) == done and ("bootstrapping phase" in run.stderr) != done


@pitfall("A resumed `LambdaLR` has lost its function")
def check_resumed_scheduler():
    def rates(function, state=None, steps=3):
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
        schedule, seen = torch.optim.lr_scheduler.LambdaLR(optimizer, function), []
        if state:
            schedule.load_state_dict(pickle.loads(pickle.dumps(state)))
        for _ in range(steps):
            optimizer.step()
            schedule.step()
            seen.append(schedule.get_last_lr()[0])
        return seen, schedule.state_dict()

    other = lambda epoch: 0.5  # noqa: E731
    for function in (lambda epoch: 1 / (1 + epoch), functools.partial(pow, 0.9), Warm(20)):
        whole, (_, half) = rates(function, steps=6)[0], rates(function)
        assert rates(function, half)[0] == whole[3:]
        if not isinstance(function, Warm):
            assert rates(other, half)[0] == [0.5] * 3
    assert rates(Warm(2), rates(Warm(20))[1])[0] == rates(Warm(20), steps=6)[0][3:]


@holds("`functools.partial(f, a)`")
def check_pickle_and_scheduler():
    def local():
        pass

    class Local:
        pass

    for function in (local, lambda: 0, Local()):
        raises((AttributeError, pickle.PicklingError), lambda: pickle.dumps(function), "Can't pickle")
    assert pickle.loads(pickle.dumps(functools.partial(max, 3)))(2) == 3
    namespace = sys.modules["closures_decorated"] = types.ModuleType("closures_decorated")
    exec(DECORATED, vars(namespace))
    try:
        loaded = pickle.loads(pickle.dumps(namespace.g))
        assert loaded(2) == 3 and loaded.__closure__ is not None
    finally:
        del sys.modules["closures_decorated"]
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedules = (lambda e: 1.0, Warm(5), functools.partial(min, 1.0))
    states = [torch.optim.lr_scheduler.LambdaLR(optimizer, f).state_dict()["lr_lambdas"] for f in schedules]
    assert states == [[None], [{"steps": 5}], [{}]]
    resumed = torch.optim.lr_scheduler.LambdaLR(optimizer, Warm(9))
    resumed.load_state_dict(torch.optim.lr_scheduler.LambdaLR(optimizer, Warm(5)).state_dict())
    assert resumed.lr_lambdas[0].steps == 5


@pitfall("Memory is not freed")
@holds("Lifetime")
def check_memory_is_held():
    def keep(mended):
        batch = torch.zeros(1000, requires_grad=True)
        loss = (2 * batch).sum()
        number = loss.item()
        return weakref.ref(batch), (lambda: number) if mended else (lambda: loss)

    (held, function), (freed, small) = keep(False), keep(True)
    gc.collect()
    assert held() is not None and freed() is None and small() == function().item()
    del function
    assert held() is None

    def hooked(layer):
        batch = torch.zeros(1000)
        return weakref.ref(batch), layer.register_forward_hook(lambda m, i, out: batch.sum())

    layer = nn.Linear(1, 1)
    held, handle = hooked(layer)
    assert held() is not None
    handle.remove()
    gc.collect()
    assert held() is None


@check
def check_lbfgs():
    layer = nn.Linear(2, 1)
    optimizer, calls = torch.optim.LBFGS(layer.parameters(), max_iter=5), []
    raises(TypeError, lambda: optimizer.step(), "closure")

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = (layer(torch.ones(4, 2)) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert len(calls) > 1


@holds("Made by", "Not captured", "Can a method read a name of its class body directly?")
@holds("Why has a lambda in a `for` loop at module level `__closure__` equal to `None`?")
def check_questions():
    scope = {}
    exec(
        "fs = []\nfor i in range(3):\n    fs.append(lambda: i)\nclass Q:\n    n = 3\n    def read(self):\n        return n",
        scope,
    )
    assert scope["fs"][0].__closure__ is None and [f() for f in scope["fs"]] == [2, 2, 2]

    def writes_only():
        n = 0

        def inner():
            nonlocal n
            n = 5

        return inner

    assert writes_only().__code__.co_freevars == ("n",)
    raises(NameError, lambda: scope["Q"]().read(), "'n'")
    exec("class R:\n    n = 3\n    def read(self):\n        return self.n, R.n", scope)
    assert scope["R"]().read() == (3, 3)


@holds("closure", "Do two calls of the outer function share state?", "Rebinding")
def check_cells_of_two_calls():
    def counter():
        n = 0

        def step():
            nonlocal n
            n += 1
            return n

        def shadow():
            n = 100
            return n

        return step, lambda: n, shadow

    (one, read, shadow), (two, _, _) = counter(), counter()
    assert (one(), one(), two(), read()) == (1, 2, 1, 2) and shadow() == 100 and read() == 2
    assert one.__closure__[0] is read.__closure__[0] is not two.__closure__[0] and shadow.__closure__ is None


@holds("class with `__call__`", "generator")
def check_objects_with_state():
    module = sys.modules["closures_state"] = types.ModuleType("closures_state")
    exec(MODULE, vars(module))
    try:
        work = module.Collate(3)
        work.factor = 4
        assert pickle.loads(pickle.dumps(work))([1]) == work([1]) == [4] and work.factor == 4
        raises((AttributeError, pickle.PicklingError), lambda: pickle.dumps(module.Collate(lambda: 0)))
    finally:
        del sys.modules["closures_state"]

    def squares():
        n = 1
        while True:
            yield n * n
            n += 1

    made = squares()
    assert (next(made), next(made)) == (1, 4) and made.gi_frame.f_locals == {"n": 2}
