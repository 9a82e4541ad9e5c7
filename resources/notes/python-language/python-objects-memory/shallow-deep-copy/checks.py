import copy
import io
import pickle
import threading

import numpy as np
import torch
import torchvision
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, quietly, raises, stated

COUNT = r"N_{\text{shallow}} = 1, \qquad N_{\text{deep}} = \sum_{k=0}^{d-1} b^k = \frac{b^d - 1}{b - 1}"
MEMORY = r"M = \sum_t n_t\, s_t\ \text{bytes}"


by_definition("`y = x`")


def lists_of(x, found=None):
    """Ids of the distinct lists reachable from x."""
    found = {} if found is None else found
    if isinstance(x, list) and id(x) not in found:
        found[id(x)] = x
        for member in x:
            lists_of(member, found)
    return set(found)


def nested(b, d):
    return [nested(b, d - 1) for _ in range(b)] if d > 1 else [0] * b


@formula(COUNT)
def check_lists_created():
    for b in (2, 3, 5):
        for d in (1, 2, 4):
            x = nested(b, d)
            shallow, deep = copy.copy(x), copy.deepcopy(x)
            assert len(lists_of(shallow) - lists_of(x)) == 1
            created = len(lists_of(deep) - lists_of(x))
            assert created == sum(b**k for k in range(d)) == (b**d - 1) // (b - 1)
    twice = [[0]] * 5
    assert len(lists_of(copy.deepcopy(twice))) == 2
    loop = [1]
    loop.append(loop)
    again = copy.deepcopy(loop)
    assert again[1] is again and again is not loop


@formula(MEMORY)
def check_bytes_of_a_copied_model():
    for width in (2, 5, 9):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            tied = nn.Linear(width, width)
            model = nn.Sequential(tied, nn.BatchNorm1d(width), tied, nn.Linear(width, 1)).to(dtype)
            model(torch.randn(3, width, dtype=dtype)).sum().backward()
            new = copy.deepcopy(model)
            fresh = {
                t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
                for t in (*new.parameters(), *new.buffers())
            }
            theirs = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
            assert not theirs & set(fresh)
            n_s = [
                (width * width + width, dtype.itemsize),
                (4 * width, dtype.itemsize),
                (1, 8),
                (width + 1, dtype.itemsize),
            ]
            assert sum(fresh.values()) == sum(n * s for n, s in n_s)
            assert all(p.grad is None for p in new.parameters()) and all(p.grad is not None for p in model.parameters())
    w = torch.ones(2, requires_grad=True)
    w.grad = torch.ones(2)
    assert copy.deepcopy(w).grad.tolist() == [1.0, 1.0] and copy.deepcopy(w).grad is not w.grad


@check
def check_worked_example():
    x = [[1, 2], [3]]
    stated("3", len(lists_of(x)))
    y = copy.copy(x)
    stated("4", len(lists_of(x) | lists_of(y)))
    z = copy.deepcopy(x)
    stated("6", len(lists_of(x) | lists_of(z)))
    y[0].append(9)
    assert x == [[1, 2, 9], [3]] and z == [[1, 2], [3]]
    stated("111", len(lists_of(copy.deepcopy(nested(10, 3)))))
    model = torchvision.models.resnet18()
    stated("11,689,512", sum(p.numel() for p in model.parameters()))
    stated("46,758,048", sum(p.numel() * p.element_size() for p in copy.deepcopy(model).parameters()))


@holds("Input", "Deep", "Tensors", "`t.clone()`", "`t.detach()`", "Does `copy.copy(model)` give an independent model?")
def check_facts_about_tensors_and_modules():
    t = torch.randn(3)
    assert copy.copy(t) is not t and copy.copy(t).data_ptr() == t.data_ptr() != t.clone().data_ptr()
    w = torch.ones(2, requires_grad=True)
    assert w.detach() is not w and w.detach().data_ptr() == w.data_ptr() != w.clone().data_ptr()
    (3 * w.clone()).sum().backward()
    assert w.grad.tolist() == [3.0, 3.0] and not w.detach().requires_grad and w.clone().grad_fn is not None
    assert copy.deepcopy(w).grad.tolist() == w.grad.tolist()
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *_: None)
    layer.weight.register_hook(lambda gradient: gradient)
    layer(t[:2]).sum().backward()
    deep, memo, part = copy.deepcopy(layer), {}, [1]
    assert layer.weight._backward_hooks and not deep.weight._backward_hooks
    assert len(deep._forward_hooks) == 1 and deep.weight.grad is None is not layer.weight.grad
    assert deep.weight.data_ptr() != layer.weight.data_ptr() and torch.equal(deep.weight, layer.weight)
    assert copy.deepcopy(part, memo) is copy.deepcopy([part], memo)[0] is not part
    norm = nn.BatchNorm1d(2)
    assert copy.deepcopy(norm).running_mean.data_ptr() != norm.running_mean.data_ptr()
    new = copy.copy(layer)
    assert new.weight is layer.weight
    new.bias = None
    assert layer.bias is None
    a, numbers = np.zeros(3), [0, 0]
    assert not np.shares_memory(copy.copy(a), a)
    with open(__file__) as file:
        for refused in ((number for number in numbers), threading.Lock(), file):
            raises(TypeError, lambda: copy.copy(refused), "cannot pickle")
            raises(TypeError, lambda: copy.deepcopy(refused), "cannot pickle")
    a[:][0], numbers[:][0], view = 1, 1, t[1:]
    assert a[0] == 1 and numbers == [0, 0] and view.untyped_storage().data_ptr() == t.untyped_storage().data_ptr()


@holds("Output", "Shallow by nature", "`copy.copy(x)`", "`copy.deepcopy(x)`", "`pickle`, `torch.save`")
def check_what_is_new():
    for kept in (300, "text", 0.5, len, nn.Linear, lists_of):
        assert copy.copy(kept) is copy.deepcopy(kept) is kept
    inner, model = [1], nn.BatchNorm1d(2)
    x, pair, table = [inner, 2], (inner, 2), {"a": inner}
    assert copy.copy(pair) is pair and copy.deepcopy(pair)[0] is not inner
    for new in (list(x), x[:], copy.copy(x)):
        new.append(3)
        assert new is not x and new[0] is inner and len(x) == 2 and type(new) is list
    assert table.copy() is not table and table.copy()["a"] is inner and copy.copy(model).weight is model.weight
    live = model.state_dict()
    assert live.copy()["weight"] is live["weight"] and live["weight"].data_ptr() == model.weight.data_ptr()
    average = torch.optim.swa_utils.AveragedModel(model).module
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2, enable_nested_tensor=False).layers
    for one, two in ((average, model), (stack[0], stack[1])):
        for p, q in zip(one.parameters(), two.parameters()):
            assert p.data_ptr() != q.data_ptr() and torch.equal(p, q)
    file = io.BytesIO()
    torch.save(model.weight, file)
    file.seek(0)
    for loaded in (torch.load(file), pickle.loads(pickle.dumps(model.weight))):
        assert torch.equal(loaded, model.weight) and loaded.data_ptr() != model.weight.data_ptr()


def stepped(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()


@pitfall("The best checkpoint equals the last one")
def check_snapshots_of_the_weights():
    model, file = nn.Linear(2, 2), io.BytesIO()
    before = model.weight.detach().clone()
    live, shallow, deep = model.state_dict(), model.state_dict().copy(), copy.deepcopy(model.state_dict())
    torch.save(model.state_dict(), file)
    stepped(model, torch.optim.SGD(model.parameters(), lr=1.0))
    assert torch.equal(live["weight"], model.weight) and torch.equal(shallow["weight"], model.weight)
    file.seek(0)
    assert torch.equal(deep["weight"], before) and torch.equal(torch.load(file)["weight"], before)
    assert not torch.equal(model.weight, before)


class Computed(nn.Module):
    """Its weight is computed in `forward`, nothing computed is stored."""

    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.randn(2, 2))

    def forward(self, x):
        return x @ self.raw.exp()


@pitfall('"Only Tensors created explicitly by the user … support the deepcopy protocol"')
def check_stored_results():
    message = ("Only Tensors created explicitly by the user", "support the deepcopy protocol")
    normed = quietly(lambda: nn.utils.weight_norm(nn.Linear(2, 2)))
    parametrized = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    raises(RuntimeError, lambda: copy.deepcopy(normed), *message)
    for healthy in (parametrized, Computed()):
        y = healthy(torch.ones(1, 2))
        assert torch.equal(copy.deepcopy(healthy)(torch.ones(1, 2)), y)
    model = nn.Linear(2, 2)
    model.stored = model(torch.ones(1, 2))
    raises(RuntimeError, lambda: copy.deepcopy(model), *message)
    model.stored = model(torch.ones(1, 2)).detach()
    assert torch.equal(copy.deepcopy(model).stored, model.stored)


@pitfall("The copied model does not train")
def check_optimizer_of_the_copy():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    new_model = copy.deepcopy(model)
    before = new_model.weight.detach().clone()
    stepped(new_model, optimizer)
    assert torch.equal(new_model.weight, before)
    stepped(new_model, torch.optim.SGD(new_model.parameters(), lr=1.0))
    assert not torch.equal(new_model.weight, before)


@pitfall("Tied weights come apart")
def check_tied_weights():
    tied = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    tied[1].weight = tied[0].weight
    apart, whole = [copy.deepcopy(layer) for layer in tied], copy.deepcopy(tied)
    assert apart[0].weight is not apart[1].weight
    assert whole[0].weight is whole[1].weight is not tied[0].weight


@pitfall("One row changes and all rows change")
def check_repeated_rows():
    rows = [[0] * 3] * 2
    outer, deep = copy.copy(rows), copy.deepcopy(rows)
    rows[0][0] = 1
    assert rows == outer == [[1, 0, 0], [1, 0, 0]] and deep == [[0] * 3, [0] * 3]
    deep[0][0] = 1
    assert deep == rows
    own = [[0] * 3 for _ in range(2)]
    own[0][0] = 1
    assert own == [[1, 0, 0], [0, 0, 0]]


@holds("Does a deep copy of a tuple make a new tuple?", "How does a class control its copying?")
def check_questions():
    pair, holder = (1, 2), ([],)
    assert copy.deepcopy(pair) is pair and copy.deepcopy(holder) is not holder and copy.copy(holder) is holder
    assert copy.deepcopy(nested) is nested and copy.deepcopy(nn.Linear) is nn.Linear

    class Own:
        def __copy__(self):
            return "shallow"

        def __deepcopy__(self, memo):
            return "deep"

    assert copy.copy(Own()) == "shallow" and copy.deepcopy([Own()]) == ["deep"]

    class Rebuilt:
        def __reduce_ex__(self, protocol):
            return str, ("rebuilt",)

    assert copy.copy(Rebuilt()) == copy.deepcopy(Rebuilt()) == pickle.loads(pickle.dumps(Rebuilt())) == "rebuilt"
