import copy
import ctypes
import dis
import random
import warnings

import numpy as np
import torch
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated

LIST = r"x \in L \iff \exists\, e \in L:\ (x \ \mathrm{is}\ e) \lor (x = e)"
HASHED = (
    r"x \in D \iff \exists\, e \in D:\ \mathrm{hash}(x) = \mathrm{hash}(e) \land"
    r" \big((x \ \mathrm{is}\ e) \lor (x = e)\big)"
)


by_definition("Use `is` for")


class Odd:
    """Equality and hash chosen at will, also against the contract."""

    def __init__(self, value, key, like_all=False):
        self.value, self.key, self.like_all = value, key, like_all

    def __eq__(self, other):
        return self.like_all or (self.value >= 0 and isinstance(other, Odd) and self.value == other.value)

    def __hash__(self):
        return self.key


def sample():
    nan = float("nan")
    return [
        nan,
        float("nan"),
        1,
        1.0,
        True,
        257,
        int("257"),
        "a",
        (nan,),
        *(Odd(random.randint(-1, 2), random.randint(0, 3)) for _ in range(8)),
    ]


@formula(LIST)
def check_list_membership():
    seen = set()
    for _ in range(200):
        pool = sample()
        for size in (0, 1, 4):
            L = random.sample(pool, size)
            for x in pool:
                expected = any((x is e) or bool(x == e) for e in L)
                assert (x in L) == (x in tuple(L)) == expected
                seen.add((any(x is e for e in L), any(bool(x == e) for e in L)))
    assert seen == {(False, False), (True, False), (False, True), (True, True)}


@formula(HASHED)
def check_hashed_membership():
    refused = 0
    for _ in range(200):
        pool = sample()
        for size in (0, 1, 4):
            D = set(random.sample(pool, size))
            for x in pool:
                expected = any(hash(x) == hash(e) and ((x is e) or bool(x == e)) for e in D)
                assert (x in D) == (x in dict.fromkeys(D)) == expected
                refused += (x in list(D)) and not expected
    assert refused > 0


@check
def check_worked_example():
    count = lambda model: sum(p.numel() for p in model.parameters())
    layer = nn.Linear(2, 2)
    stated("6", count(nn.Sequential(*[layer] * 3)))
    stated("18", count(nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))))
    cached = [n for n in range(-20, 400) if int(str(n)) is int(str(n))]
    stated("−5", cached[0])
    stated("256", cached[-1])
    stated("262", len(cached))


@holds("`a is b`", "`id(a)`")
def check_identity():
    one, other, same = Odd(1, 1, like_all=True), Odd(2, 2, like_all=True), lambda a, b: a is b
    assert one == other and same(one, other) is False and same(one, one) is True
    assert [i.opname for i in dis.get_instructions(same)][-2:] == ["IS_OP", "RETURN_VALUE"]  # no call
    alive = [[] for _ in range(100)]
    assert len({id(x) for x in alive}) == 100 and all(type(id(x)) is int for x in alive)
    assert ctypes.cast(id(one), ctypes.py_object).value is one
    assert [1, None].count(None) == 1 and same(None, [1, None][1])


@holds("`a == b`", "Default `__eq__`", "Not only for numbers", "`a.data_ptr() == b.data_ptr()`")
def check_facts():
    class Plain:
        pass

    one = Plain()
    assert one == one and Plain() != Plain()
    assert [1, [2]] == [1, [2]] and {"a": 1} == {"a": 1} and "".join(["x", "y"]) == "xy"

    class Left:
        def __eq__(self, other):
            return NotImplemented

    class Right:
        def __eq__(self, other):
            return "from the right"

    assert (Left() == Right()) == "from the right" and Left() != Left()

    class Special(Right):
        def __eq__(self, other):
            return "from the subclass"

    assert (Right() == Special()) == (Special() == Right()) == "from the subclass"
    for make in (np.array, torch.tensor):
        assert (make([1, 2]) == make([1, 3])).tolist() == [True, False]
    values = torch.tensor([5, 6, 7])
    assert values[values == 6].tolist() == [6]  # a mask
    a = torch.ones(3)
    assert a[1:].data_ptr() != a.data_ptr() and a[1:].untyped_storage().data_ptr() == a.untyped_storage().data_ptr()
    assert Plain.__eq__ is object.__eq__ and object.__eq__(one, Plain()) is NotImplemented
    v, c = a.view(3), a.clone()
    assert v is not a and v.data_ptr() == a.data_ptr() != c.data_ptr()


@pitfall('"Boolean value of Tensor with more than one value is ambiguous" from `x in tensors`')
def check_membership_of_a_tensor():
    a, b = torch.zeros(2), torch.ones(2)
    same_object = lambda x, tensors: any(x is t for t in tensors)
    same_values = lambda x, tensors: any(torch.equal(x, t) for t in tensors)
    assert a in [a, b]
    raises(RuntimeError, lambda: b in [a, b], "Boolean value of Tensor with more than one value is ambiguous")
    assert same_object(b, [a, b]) and not same_object(b.clone(), [a, b])
    assert same_values(b.clone(), [a, b]) and not same_values(b + 1, [a, b]) and not same_values(torch.ones(3), [a, b])


@pitfall("A test with `is` works for 200 and fails for 300")
def check_integers_computed_at_run_time():
    for text, one_object in (("200", True), ("300", False)):
        assert (int(text) is int(text)) == one_object and int(text) == int(text)
    for source in ("n is 3", "n is 'a'"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            compile(source, "x", "eval")
        assert caught[0].category is SyntaxWarning


@pitfall("`if x == None` fails for an array")
def check_comparison_with_none():
    elementwise = np.array([1, 2]) == None  # noqa: E711
    assert elementwise.shape == (2,)
    raises(ValueError, lambda: bool(elementwise), "ambiguous")

    class Agreeable:
        def __eq__(self, other):
            return True

    assert Agreeable() == None and Agreeable() is not None and np.array([1, 2]) is not None  # noqa: E711


@pitfall("A deep model has the weights of a single layer")
def check_layers_of_their_own():
    layer = nn.Linear(2, 2)
    repeated = nn.Sequential(*[layer] * 3)
    assert repeated[0] is repeated[1] and len(list(repeated.parameters())) == 2
    x = torch.ones(1, 2)
    assert torch.equal(repeated(x), layer(layer(layer(x))))
    for own in ([nn.Linear(2, 2) for _ in range(3)], [copy.deepcopy(layer) for _ in range(3)]):
        model = nn.Sequential(*own)
        assert model[0] is not model[1] and len(list(model.parameters())) == 6
    together = copy.deepcopy([layer] * 2)
    assert together[0] is together[1] is not layer


@pitfall('Two objects "have the same id"')
def check_ids_of_short_lived_objects():
    assert id([]) == id([])
    one, two = [], []
    assert id(one) != id(two) and one is not two


@holds("`torch.equal(a, b)`", "`torch.allclose(a, b)`")
def check_comparisons_of_tensors():
    assert torch.equal(torch.ones(2), torch.ones(2)) is True
    assert not torch.equal(torch.ones(2), torch.tensor([1.0, 1.0001]))
    assert not torch.equal(torch.ones(2), torch.ones(1, 2))
    tenths = torch.full((10,), 0.1, dtype=torch.float64)
    added = sum(tenths)
    one = torch.ones((), dtype=torch.float64)
    assert added != one and torch.allclose(added, one) and not torch.allclose(added, one + 1)
    unknown = torch.tensor([float("nan")])
    assert not torch.equal(unknown, unknown) and torch.allclose(torch.ones(1), torch.ones(3))
    raises(RuntimeError, lambda: torch.allclose(torch.ones(1), torch.ones(1).double()), "did not match")


@check
def check_one_sided_equality():
    x, e = Odd(-1, 0, like_all=True), Odd(-1, 0)
    assert x == e and not e == x and x not in [e] and x not in {e} and e in [x]


@holds("Does `a is b` imply `a == b`?")
def check_identity_without_equality():
    nan = float("nan")
    assert not nan == nan and nan in [nan] and float("nan") not in [nan]

    class Silent:
        def __eq__(self, other):
            return "anything"

    one = Silent()
    assert (one == one) == "anything"


@holds("What happens to hashing when a class defines `__eq__`?", "How do you check that two weights are tied?")
def check_questions():
    class Value:
        def __eq__(self, other):
            return True

    assert Value.__hash__ is None
    raises(TypeError, lambda: {Value(): 1}, "unhashable")

    class Both(Value):
        def __hash__(self):
            return 1

    assert {Both(): 1}[Both()] == 1 and object.__eq__ is not torch.Tensor.__eq__
    t = torch.ones(2)
    assert hash(t) == id(t) and t in {t} and t.clone() not in {t}
    tied = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    tied[1].weight = tied[0].weight
    assert len(list(tied.parameters())) == 1 and sorted(tied.state_dict()) == ["0.weight", "1.weight"]
    assert tied[1].weight is tied[0].weight and nn.Linear(2, 2).weight is not nn.Linear(2, 2).weight
