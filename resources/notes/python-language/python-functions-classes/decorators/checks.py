import functools
import gc
import inspect
import weakref

import torch
from torch import nn

from note_checks import by_definition, formula, holds, pitfall, raises, stated

ORDER = r"f \leftarrow A\big(B(f)\big)"
CALLS = r"c(n) = 2 F_{n+1} - 1, \qquad m(n) = n + 1 \quad (n \ge 2)"


by_definition("subclass or mixin")


@formula(ORDER)
def check_order():
    for A, B in (
        (lambda f: ("A", f), lambda f: ("B", f)),
        (lambda f: lambda x: f(x) + 1, lambda f: lambda x: 2 * f(x)),
    ):

        def plain(x):
            return x

        @A
        @B
        def f(x):
            return x

        expected = A(B(plain))
        if callable(f):
            assert [f(x) for x in range(4)] == [expected(x) for x in range(4)] == [1, 3, 5, 7]
        else:
            assert f[0] == expected[0] == "A" and f[1][0] == expected[1][0] == "B"


def fibonacci(n, counter):
    counter.append(n)
    return n if n < 2 else fibonacci(n - 1, counter) + fibonacci(n - 2, counter)


def cached():
    @functools.lru_cache(maxsize=None)
    def f(n):
        return n if n < 2 else f(n - 1) + f(n - 2)

    return f


@formula(CALLS)
def check_number_of_calls():
    F = [0, 1]
    while len(F) < 30:
        F.append(F[-1] + F[-2])
    for n in range(2, 19):
        counter, f = [], cached()
        assert fibonacci(n, counter) == f(n) == F[n]
        assert len(counter) == 2 * F[n + 1] - 1
        assert f.cache_info().misses == n + 1
    for n, c, m in ((5, "15", "6"), (20, "21,891", "21")):
        counter, f = [], cached()
        fibonacci(n, counter)
        f(n)
        stated(c, len(counter))
        stated(m, f.cache_info().misses)


def plain(f):
    def wrapper(*args, **kwargs):
        with torch.no_grad():
            return f(*args, **kwargs)

    return wrapper


@pitfall("The decorated function is called `wrapper` and has lost its docstring")
def check_wraps():
    def original(a, b=1):
        """text"""

    bare, kept = plain(original), functools.wraps(original)(plain(original))
    assert bare.__name__ == "wrapper" and bare.__doc__ is None
    assert kept.__name__ == "original" and kept.__doc__ == "text" and kept.__wrapped__ is original
    assert str(inspect.signature(kept)) == "(a, b=1)" != str(inspect.signature(bare))


@pitfall("A decorator with a `with` block has no effect on a generator")
def check_generator():
    def modes():
        yield torch.is_grad_enabled()

    def whole(f):
        def wrapper():
            with torch.no_grad():
                yield from f()

        return wrapper

    held = whole(modes)()
    assert next(held) is False and not torch.is_grad_enabled()  # holds for the caller, too, until the generator goes on
    assert list(held) == [] and torch.is_grad_enabled()
    library = torch.no_grad()(modes)()
    assert next(library) is False and torch.is_grad_enabled()
    ran = []
    called = whole(lambda: ran.append(1))()
    assert ran == [] and inspect.isgenerator(called)  # an ordinary function does not run
    assert list(plain(modes)()) == [True] and list(torch.no_grad()(modes)()) == list(whole(modes)()) == [False]


@pitfall("A cached function returns stale values for a tensor")
def check_cache_on_tensors_and_methods():
    @functools.lru_cache
    def total(t):
        return t.sum().item()

    t = torch.ones(3)
    assert total(t) == 3
    t.mul_(5)
    assert total(t) == 3 and total(t.clone()) == 15 and total.cache_info().misses == 2
    raises(TypeError, lambda: total([1]), "unhashable type")
    by_values = functools.lru_cache(sum)
    assert by_values(tuple(t.tolist())) == by_values(tuple(t.clone().tolist())) == 15
    assert by_values.cache_info().hits == 1
    t.mul_(2)
    assert by_values(tuple(t.tolist())) == 30

    class Model:
        @functools.lru_cache
        def size(self):
            return 1

    model = Model()
    model.size()
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is not None


@pitfall("`@repeat` works as `@repeat(3)` only")
def check_brackets():
    def repeat(times):
        def decorate(f):
            return lambda *args: [f(*args) for _ in range(times)]

        return decorate

    @repeat
    def bare(x):
        return -x

    @repeat(3)
    def written(x):
        return -x

    assert callable(bare(1)) and written(1) == [-1, -1, -1]
    raises(TypeError, lambda: bare(abs)(1), "'function' object cannot be interpreted as an integer")
    w = torch.ones(1, requires_grad=True)
    for decorator in (torch.no_grad, torch.no_grad()):
        assert not decorator(lambda w: 2 * w)(w).requires_grad


@pitfall("\"'Model' object has no attribute 'size'\", but the property exists")
def check_property():
    class Model(nn.Module):
        @property
        def size(self):
            return self.missing

    model = Model()
    raises(AttributeError, lambda: model.size, "'Model' object has no attribute 'size'")
    model.missing = 3
    assert model.size == 3

    class Read:
        fixed = property(lambda self: 1)

    try:
        Read().fixed = 2
    except AttributeError:
        pass
    else:
        raise AssertionError("no setter")


@holds("Can a class be a decorator?", "`@staticmethod`", "`@classmethod`")
@holds("What is the difference between `@staticmethod` and `@classmethod` under inheritance?")
def check_questions():
    class Counter:
        def __init__(self, f):
            self.f, self.calls = f, 0

        def __call__(self, *args):
            self.calls += 1
            return self.f(*args)

    double = Counter(lambda x: 2 * x)
    assert double(2) == 4 and double.calls == 1

    class Base:
        kind = classmethod(lambda cls: cls.__name__)
        same = staticmethod(lambda x: x)

        @Counter
        def method(*args):
            return len(args)

    class Child(Base):
        pass

    assert Child.kind() == "Child" and Child.same(3) == Child().same(3) == 3 and Base().method() == 0

    class Bound(Counter):
        def __get__(self, instance, owner):
            return functools.partial(self, instance)

    class Other:
        @Bound
        def method(*args):
            return args

    other = Other()
    assert other.method(1) == (other, 1) and Other.__dict__["method"].calls == 1

    class Named(dict):
        pass

    assert type(Named.fromkeys("ab")) is Named


@holds("Input", "Output", "When it runs", "Order of several", "decorator", "When does the code of a decorator run?")
def check_what_runs_when():
    events, registry = [], {}

    def note(name):
        events.append(f"made {name}")

        def decorate(f):
            events.append(f"applied {name}")

            def wrapper(*args):
                events.append(f"called {name}")
                return f(*args)

            return wrapper

        return decorate

    def register(f):
        registry[f.__name__] = f
        return f

    @note("A")
    @note("B")
    def double(x):
        return 2 * x

    assert events == ["made A", "made B", "applied B", "applied A"]
    events.clear()
    assert double(2) == 4 and double(3) == 6 and events == ["called A", "called B"] * 2

    @register
    class Net:
        pass

    @register
    def loss():
        pass

    assert registry == {"Net": Net, "loss": loss}

    @len
    class Odd(metaclass=type("Meta", (type,), {"__len__": lambda cls: 7})):
        pass

    assert Odd == 7  # any object may come back

    @type
    @property
    def kind(self):
        pass

    assert kind is property  # the upper decorator gets what the lower one returned


@holds("Python's own", "In PyTorch", "`@property`", "context manager (`with`)", "forward hook")
def check_ready_made():
    class Box:
        @property
        def two(self):
            return 2

        @staticmethod
        def same(x):
            return x

        @classmethod
        def name(cls):
            return cls.__name__

        @functools.lru_cache
        def three(self):
            return 3

    box = Box()
    assert (box.two, box.same(1), box.name(), box.three()) == (2, 1, "Box", 3)
    raises(AttributeError, lambda: setattr(box, "two", 3))
    w = torch.ones(1, requires_grad=True)
    for decorator in (torch.no_grad(), torch.inference_mode()):
        assert not decorator(lambda: 2 * w)().requires_grad and (2 * w).requires_grad
    assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2

    def half(w):
        with torch.no_grad():
            first = 2 * w
        return first.requires_grad, (2 * w).requires_grad

    assert half(w) == (False, True)
    layer, other = nn.Linear(1, 1), nn.Linear(1, 1)
    seen = []
    layer.register_forward_hook(lambda module, args, out: seen.append(out) or torch.full_like(out, 9))
    assert layer(torch.ones(1)) == 9 and len(seen) == 1 and other(torch.ones(1)) != 9
    layer.forward(torch.ones(1))
    assert len(seen) == 1  # only calls of the module, not of its forward
