import functools
import gc
import pickle
import random
import sys
import types
import weakref

import torch
from torch import nn

from note_checks import check, formula, raises, stated

LOOP = (
    r"f_k^{\text{captured}}(x) = g(x, n-1), \qquad f_k^{\text{default}}(x) = g(x, k), \qquad k = 0, \dots, n-1"
)


@formula(LOOP)
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
    assert functions[0].__code__.co_freevars == ("i",) and functions[0].__closure__[0].cell_contents == 2


@check
def check_unbound_local():
    def outer():
        n = 0

        def inner():
            n += 1  # noqa: F821

        return inner

    raises(UnboundLocalError, lambda: outer()(), "cannot access local variable 'n'")


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


@check
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


@check
def check_memory_is_held():
    def keep():
        batch = torch.zeros(1000)
        return weakref.ref(batch), lambda: batch.sum()

    reference, function = keep()
    gc.collect()
    assert reference() is not None
    del function
    assert reference() is None


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


@check
def check_questions():
    scope = {}
    exec("fs = []\nfor i in range(3):\n    fs.append(lambda: i)\nclass Q:\n    n = 3\n    def read(self):\n        return n", scope)
    assert scope["fs"][0].__closure__ is None and [f() for f in scope["fs"]] == [2, 2, 2]

    def writes_only():
        n = 0

        def inner():
            nonlocal n
            n = 5

        return inner

    assert writes_only().__code__.co_freevars == ("n",)
    raises(NameError, lambda: scope["Q"]().read(), "'n'")
