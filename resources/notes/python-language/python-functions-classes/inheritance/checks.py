import abc
import random

from torch import nn

from note_checks import by_definition, formula, holds, pitfall, raises, stated

C3 = r"L[C] = C + \mathrm{merge}\big(L[B_1], \dots, L[B_n],\ (B_1, \dots, B_n)\big)"


by_definition("Single inheritance", "Multiple", "inheritance", "composition", "decorator, function")


def merge(lists):
    result = []
    while lists := [one for one in lists if one]:
        head = next((one[0] for one in lists if not any(one[0] in other[1:] for other in lists)), None)
        if head is None:
            return None
        result.append(head)
        lists = [[c for c in one if c is not head] for one in lists]
    return result


def linearization(bases, orders):
    rest = merge([*(list(orders[b]) for b in bases), list(bases)])
    return rest


@formula(C3)
def check_c3_against_python():
    outcomes = set()
    for _ in range(150):
        classes, orders = [], {object: [object]}
        for index in range(7):
            bases = tuple(random.sample(classes, min(len(classes), random.randint(0, 3)))) or (object,)
            expected = linearization(bases, orders)
            try:
                made = type(f"C{index}", bases, {})
            except TypeError as error:
                assert expected is None and "consistent method resolution" in str(error)
                outcomes.add("refused")
                continue
            assert expected is not None and [made, *expected] == list(made.__mro__)
            orders[made] = [made, *expected]
            classes.append(made)
            outcomes.add(len(bases))
    assert outcomes == {"refused", 1, 2, 3}
    for layer in (nn.Conv2d, nn.BatchNorm2d, nn.LazyConvTranspose2d):
        orders = {c: list(c.__mro__) for c in layer.__mro__}
        assert [layer, *linearization(layer.__bases__, orders)] == list(layer.__mro__)


class A:
    items = []

    def chain(self):
        return ["A"]


class B(A):
    def chain(self):
        return ["B", *super().chain()]


class C(A):
    def chain(self):
        return ["C", *super().chain()]


class D(B, C):
    def chain(self):
        return ["D", *super().chain()]


@pitfall('"Cannot create a consistent method resolution order (MRO)"')
@holds("Hybrid", 'Does `super()` mean "my base class"?')
def check_diamond():
    stated("5", len(D.__mro__))
    assert D.__mro__ == (D, B, C, A, object) and D().chain() == ["D", "B", "C", "A"] and B().chain() == ["B", "A"]
    top = type("Top", (), {"chain": lambda self: super(top, self).chain()})
    raises(AttributeError, top().chain, "'super' object has no attribute 'chain'")
    raises(TypeError, lambda: type("X", (A, B), {}), "Cannot create a consistent method resolution")
    assert type("X", (B, A), {}).__mro__[1:] == type("X", (B,), {}).__mro__[1:] == (B, A, object)


class Mixin:
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.mixed = True


@pitfall('"cannot assign module before Module.__init__() call"')
def check_module_assigned_too_early():
    class Network(nn.Module):
        def __init__(self, place):
            if place == "first":
                super().__init__()
            self.layer = nn.Linear(1, 1)
            if place == "last":
                super().__init__()

    for place in (None, "last"):
        raises(AttributeError, lambda: Network(place), "cannot assign module before Module.__init__() call")
    assert len(list(Network("first").parameters())) == 2

    class Wider(nn.Linear):
        def __init__(self, *needed):
            super().__init__(*needed)
            self.extra = nn.Linear(1, 1)

    raises(TypeError, Wider, "missing 2 required positional arguments")
    assert len(list(Wider(3, 1).parameters())) == 4


class Selfish:
    def __init__(self):
        self.mixed = True


@pitfall("The `__init__` of a mixin never runs")
@holds("mixin")
def check_mixins_and_modules():
    for base, arguments in ((nn.Module, ()), (nn.Linear, (2, 1))):
        last, first = type("Last", (base, Mixin), {}), type("First", (Mixin, base), {})
        asked = type("Asked", (base, Mixin), {"call_super_init": True})
        assert [hasattr(kind(*arguments), "mixed") for kind in (last, first, asked)] == [False, True, True]
        assert all(isinstance(kind(*arguments)._parameters, dict) for kind in (last, first, asked))
    assert not hasattr(type("First", (Selfish, nn.Module), {})(), "_parameters")

    class Narrow:  # neither takes nor hands on what the layer needs
        def __init__(self):
            super().__init__()
            self.mixed = True

    raises(TypeError, lambda: type("First", (Narrow, nn.Linear), {})(2, 1), "positional argument")
    for layer, arguments in ((nn.Linear, (2, 1)), (nn.Conv2d, (3, 4, 3)), (nn.LSTM, (2, 5))):
        assert type("First", (Mixin, layer), {})(*arguments).mixed
        assert type("Asked", (layer, Narrow), {"call_super_init": True})(*arguments).mixed
        asking = type("Asking", (Narrow,), {"call_super_init": True})  # Module's own False stands before it
        assert not hasattr(type("Last", (layer, asking), {})(*arguments), "mixed")
    asked = type("Asked", (Selfish, nn.Module), {"call_super_init": True})  # only behind the module class
    assert not hasattr(asked(), "_parameters")


@holds("Multilevel", "Hierarchical")
def check_modules():
    raises(NotImplementedError, lambda: type("N", (nn.Module,), {})()(1), 'missing the required "forward" function')
    assert type(nn.Linear(1, 1)) is not nn.Module and isinstance(nn.Linear(1, 1), nn.Module)
    assert all(kind.__bases__ == (nn.Module,) for kind in (nn.Linear, nn.ReLU, nn.Embedding))
    assert [c.__name__ for c in nn.Conv2d.__mro__] == ["Conv2d", "_ConvNd", "Module", "object"]


@pitfall("All instances share one list")
def check_shared_list():
    class Mended:
        def __init__(self):
            self.items = []

    for kind, others in ((A, [1]), (Mended, [])):
        first, second = kind(), kind()
        first.items.append(1)
        assert first.items == [1] and second.items == others
    assert A.items is A().items


@pitfall("A private attribute of the base is missing in the subclass")
def check_attributes():
    class Base:
        def __init__(self):
            self.__x = 1
            self._y = 2

        fixed = property(lambda self: "class")
        plain = "class"

    class Child(Base):
        def read(self):
            return self.__x

        def read_one_underscore(self):
            return self._y

    child = Child()
    assert child.__dict__ == {"_Base__x": 1, "_y": 2} and child.read_one_underscore() == 2
    raises(AttributeError, child.read, "_Child__x")

    def derived(base, value):
        class Same(base):
            def __init__(self):
                super().__init__()
                self.__x = value

        return Same

    assert derived(derived(object, 1), 2)().__dict__ == {"_Same__x": 2}  # one name, one attribute
    assert derived(Base, 2)().__dict__ == {"_Base__x": 1, "_y": 2, "_Same__x": 2}

    class _Base(Base):
        def __init__(self):
            super().__init__()
            self.__x = 3

    assert _Base().__dict__ == {"_Base__x": 3, "_y": 2}  # leading underscores do not count
    child.__dict__.update(fixed="instance", plain="instance")
    assert child.fixed == "class" and child.plain == "instance"


@holds("abstract base class (`abc.ABC`)", "What does an abstract base class prevent?")
def check_abstract():
    class Abstract(abc.ABC):
        @abc.abstractmethod
        def size(self): ...

    raises(TypeError, Abstract, "Can't instantiate abstract class")
    assert type("Real", (Abstract,), {"size": lambda self: 1})().size() == 1
    raises(TypeError, type("Layer", (nn.Module, Abstract), {}), "Can't instantiate abstract class")
    assert type("Table", (dict, Abstract), {})() == {}  # a built-in class does not look


@holds("Look-up", "mixin", "Tests", "`isinstance(x, C)` or `type(x) is C`?")
def check_look_up_and_tests():
    names = {"who": "class", "fixed": property(lambda self: "descriptor")}
    first = type("First", (), names)
    second = type("Second", (), {"who": "behind", "only": "behind"})
    both = type("Both", (first, second), {})
    x = both()
    assert (x.who, x.only, x.fixed) == ("class", "behind", "descriptor")
    x.__dict__.update(who="instance", fixed="instance")
    assert (x.who, x.fixed) == ("instance", "descriptor")
    assert isinstance(x, second) and issubclass(both, first) and not isinstance(first(), both)
    own = type("Own", (nn.Linear,), {})(1, 1)
    assert isinstance(own, nn.Linear) and type(own) is not nn.Linear and type(nn.Linear(1, 1)) is not nn.Module


@holds("Why override `forward` and not `__call__`?")
def check_hooks_run_around_forward():
    events = []

    class Net(nn.Module):
        def forward(self, x):
            events.append("forward")
            return x

    class Called(nn.Module):
        def __call__(self, x):
            return x

    for kind, seen in ((Net, ["before", "forward", "after"]), (Called, [])):
        events.clear()
        net = kind()
        net.register_forward_pre_hook(lambda module, args: events.append("before"))
        net.register_forward_hook(lambda module, args, out: events.append("after"))
        assert net(1) == 1 and events == seen
    raises(NotImplementedError, lambda: type("Empty", (nn.Module,), {})()(1))
