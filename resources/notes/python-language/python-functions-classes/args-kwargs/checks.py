import random
from collections import UserDict

import torch
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, stated

BINDING = r"|\text{args}| = \max(0,\, n - m), \qquad \text{keys}(\text{kwargs}) = K \setminus P"


@formula(BINDING)
@holds("`def f(*args)`", "`def f(kwargs)`")
def check_binding():
    kinds = set()
    for _ in range(300):
        m, only = random.randint(0, 4), random.randint(0, 3)
        named, keyword = [f"p{i}" for i in range(m)], [f"k{i}" for i in range(only)]
        scope = {}
        parameters = ", ".join([*(f"{p}=0" for p in named), "*args", *(f"{k}=0" for k in keyword), "**kwargs"])
        exec(f"def f({parameters}):\n    return args, kwargs", scope)
        n = random.randint(0, 7)
        P = {*named, *keyword}
        free = [*named[n:], *keyword, "x", "y"]
        K = random.sample(free, random.randint(0, len(free)))
        args, kwargs = scope["f"](*range(n), **dict.fromkeys(K, 1))
        assert type(args) is tuple and len(args) == max(0, n - m)
        assert list(kwargs) == [k for k in K if k not in P] and set(kwargs) == set(K) - P
        kinds.add((n > m, bool(kwargs)))
    assert len(kinds) == 4
    for n, d in ((3, 2), (1, 5), (4, 4)):
        rows = (lambda *args: args)(*torch.zeros(n, d))
        assert len(rows) == n and all(row.shape == (d,) for row in rows)


@check
def check_worked_example():
    def f(a, b=2, *args, c, d=4, **kwargs):
        return a, b, args, c, d, kwargs

    a, b, args, c, d, kwargs = f(1, 2, 3, 4, c=5, z=6)
    stated("2", len(args))
    stated("4", d)
    assert args == (3, 4) and kwargs == {"z": 6} and (a, b, c) == (1, 2, 5)
    raises(TypeError, lambda: f(1), "missing 1 required keyword-only argument: 'c'")


@holds("Order in a definition", "Before `/` (Python 3.8)")
def check_order_of_a_definition():
    scope = {}
    exec("def g(a, /, b, c=1, *args, d, e=2, **kwargs):\n    return a, b, c, args, d, e, kwargs", scope)
    assert scope["g"](1, b=2, d=3, a=9) == (1, 2, 1, (), 3, 2, {"a": 9})
    raises(TypeError, lambda: scope["g"](a=1, b=2, d=3), "missing 1 required positional argument")


class Added(nn.Module):
    def forward(self, pair):
        first, second = pair
        return first + second


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Bilinear(2, 2, 1)

    def forward(self, first, second):
        return self.layer(first, second)


@pitfall('"Sequential.forward() takes 2 positional arguments but 3 were given"')
def check_sequential():
    one, two = torch.ones(3, 2), torch.ones(3, 2)
    words = "Sequential.forward() takes 2 positional arguments but 3 were given"
    for first_layer in (nn.Linear(2, 2), nn.Bilinear(2, 2, 1), Added()):
        raises(TypeError, lambda: nn.Sequential(first_layer)(one, two), words)
    assert nn.Sequential(Added(), nn.Linear(2, 1))((one, two)).shape == Both()(one, two).shape == (3, 1)


@pitfall("A misspelled option has no effect")
def check_misspelled_option():
    def train(model, **kwargs):
        return kwargs.get("lr", 0.5)

    def strict(model, *, lr=0.1):
        return lr

    def forwarding(model, **kwargs):
        return torch.optim.SGD(model.parameters(), **kwargs)

    layer, words = nn.Linear(1, 1), "got an unexpected keyword argument 'lern_rate'"
    assert train(layer, lern_rate=0.1) == 0.5 and train(layer, lr=0.1) == strict(layer) == 0.1
    raises(TypeError, lambda: strict(layer, lern_rate=0.1), words)
    raises(TypeError, lambda: forwarding(layer, lern_rate=0.1), words)
    assert forwarding(layer, lr=0.2).defaults["lr"] == 0.2


@pitfall("\"got multiple values for argument 'a'\"")
def check_multiple_values():
    def f(a, b=0):
        return a, b

    config = {"a": 2, "b": 3}
    raises(TypeError, lambda: f(1, a=2), "got multiple values for argument 'a'")
    raises(TypeError, lambda: f(1, **config), "got multiple values for argument 'a'")
    del config["a"]
    assert f(1, **config) == (1, 3)
    scope = {}
    exec("def bare(a, /):\n    return a\ndef open_(a, /, **kwargs):\n    return a, kwargs", scope)
    raises(TypeError, lambda: scope["bare"](1, **{"a": 2}), "positional-only")
    assert scope["open_"](1, **{"a": 2}) == (1, {"a": 2})


@pitfall("The default list grows from call to call")
def check_default_list():
    def add(x, seen=[]):
        seen.append(x)
        return list(seen)

    def mended(x, seen=None):
        seen = [] if seen is None else seen
        seen.append(x)
        return seen

    assert add(1) == [1] and add(2) == [1, 2]
    own = []
    assert mended(1) == [1] and mended(2) == [2] and mended(3, own) is own == [3]


@pitfall("A forward hook does not see a keyword argument")
def check_hooks():
    class Model(nn.Module):
        def forward(self, x, mask=None):
            return x

    model, seen = Model(), []
    model.register_forward_hook(lambda module, args, out: seen.append(len(args)))
    model.register_forward_hook(lambda module, args, kwargs, out: seen.append(sorted(kwargs)), with_kwargs=True)
    model(torch.ones(1), mask=torch.ones(1))
    assert seen == [1, ["mask"]]
    model.register_forward_hook(lambda module, args, out: None, with_kwargs=True)
    raises(TypeError, lambda: model(torch.ones(1)), "takes 3 positional arguments but 4 were given")


@holds("Does changing `kwargs` inside the function change the caller's dict?", "What does `*` mean outside of calls?")
def check_questions():
    def change(**kwargs):
        kwargs["new"] = 1
        kwargs["items"].append(2)

    d = {"items": [1]}
    change(**d)
    assert d == {"items": [1, 2]}
    a, *rest = range(3)
    assert rest == [1, 2] and {**{"k": 1}, **{"k": 2}} == {"k": 2} and [*"ab", *range(1)] == ["a", "b", 0]
    raises(TypeError, lambda: print(1, colour="red"), "colour")  # keyword-only options, no **kwargs
    assert len(torch.broadcast_tensors(torch.ones(1), torch.ones(2), torch.ones(2))) == 3


@holds("After `*args` or a bare `*`", "keyword-only (`*, lr`)", "named parameters")
def check_keyword_only():
    def named(x, lr=0.5):
        return lr

    def bare(x, *, lr=0.5):
        return lr

    def after(x, *args, lr=0.5):
        return lr

    assert named(1, 0.1) == named(1, lr=0.1) == bare(1, lr=0.1) == after(1, 2, lr=0.1) == 0.1
    assert after(1, 0.1) == 0.5
    raises(TypeError, lambda: bare(1, 0.1), "positional argument")
    raises(TypeError, lambda: named(1, rate=0.1), "unexpected keyword argument")


@holds("`f(*it)`, `f(mapping)`", "`*args`", "`kwargs`", "both", "one list or dict")
def check_calls():
    def both(*args, **kwargs):
        return args, kwargs

    for it in ([1, 2], {1: 0, 2: 0}, range(1, 3), (i for i in (1, 2)), map(int, "12")):
        assert both(*it) == ((1, 2), {})
    for mapping in ({"color": "red"}, UserDict(color="red")):
        assert both(**mapping) == ((), {"color": "red"}) == both(color="red")
    raises(TypeError, lambda: both(**{1: 2}), "must be strings")
    handed = lambda *args, **kwargs: sorted(*args, **kwargs)  # noqa: E731
    assert handed([3, 1, 2], key=lambda x: -x) == [3, 2, 1] and handed("ba") == ["a", "b"]
    a, b = torch.ones(1), torch.ones(2)
    assert torch.cat([a, b]).shape == (3,) and len(torch.broadcast_tensors(a)) == 1
    raises(TypeError, lambda: torch.cat(a, b, a))


@holds("Why are bare `*` and `/` useful in a library?")
def check_changes_of_a_signature():
    scope = {}
    exec("def old(x, /, *, lr=1, decay=2):\n    return x, lr, decay", scope)
    exec("def new(value, /, *, warm=0, decay=2, lr=1):\n    return value, lr, decay", scope)
    for options in ({}, {"lr": 5}, {"decay": 7, "lr": 5}):
        assert scope["old"](3, **options) == scope["new"](3, **options)
    loose = lambda x, lr=1, decay=2: (lr, decay)  # noqa: E731
    reordered = lambda x, decay=2, lr=1: (lr, decay)  # noqa: E731
    assert loose(3, 5) != reordered(3, 5)
