import weakref

import numpy as np
import torch
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, quietly, raises, sourced, stated

STOP = r"\mathrm{sg}(x) = x, \qquad \frac{\partial\,\mathrm{sg}(x)}{\partial x} = 0"
STRAIGHT = (
    r"y = x + \mathrm{sg}\big(q(x) - x\big) \quad\Rightarrow\quad y = q(x), \qquad \frac{\partial y}{\partial x} = 1"
)

by_definition("Same in train and eval?")  # a method of tensors, no mode
sourced(
    "SimSiam, arXiv 2011.10566, section 4.1: without the stop-gradient the outputs collapse",
    "Why does the target of a self-distillation loss get detached?",
)


@formula(STOP)
def check_stop_gradient():
    for shape in [(), (3,), (2, 1, 4)]:
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(shape, dtype=torch.float64)
        d = x.detach()
        assert torch.equal(d, x) and d.dtype == x.dtype and not d.requires_grad and d.grad_fn is None
        assert d.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
        # value and numeric derivative of x * weight + 3 sg(x): only the first term may count
        f = x * weight + 3 * x.detach()
        np.testing.assert_allclose(f.detach().numpy(), d.numpy() * (weight.numpy() + 3))
        f.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), weight.numpy())


@formula(STRAIGHT)
def check_straight_through():
    for q in (torch.round, torch.sign, lambda v: (v > 0.2).to(v.dtype)):
        x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
        upstream = torch.randn(4, 5, dtype=torch.float64)
        y = x + (q(x) - x).detach()
        assert torch.allclose(y, q(x), atol=1e-14)
        (y * upstream).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), upstream.numpy())
    x = torch.randn(5, requires_grad=True)
    x.round().sum().backward()
    assert x.grad.tolist() == [0.0] * 5


@check
def check_worked_example():
    x = torch.tensor(3.0, requires_grad=True)
    f = x * x.detach()
    f.backward()
    stated("9", f.item())
    stated("3", x.grad.item())
    x.grad = None
    (x * x).backward()
    stated("6", x.grad.item())


@pitfall("Changing the detached tensor changes the original")
def check_shared_memory_and_data():
    x = torch.tensor([0.5], requires_grad=True)
    y = x.exp()
    y.detach().zero_()
    assert y.item() == 0
    raises(RuntimeError, lambda: y.sum().backward(), "modified by an inplace operation")
    y = x.exp()
    y.data.zero_()
    y.sum().backward()
    stated("0", x.grad.item())
    y = x.exp()
    y.detach().clone().zero_()
    x.grad = None
    y.sum().backward()
    assert torch.allclose(x.grad, x.detach().exp())
    doubled = 2 * x
    doubled.detach().zero_()
    doubled.sum().backward()
    assert doubled.item() == 0


class Held:
    def __init__(self, tensor):
        self.tensor = tensor


def loop(after, backward):
    """Bytes of saved tensors that are still alive after five batches, and the nodes that the total can reach."""
    alive = weakref.WeakSet()
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))

    def pack(tensor):
        held = Held(tensor.detach().clone())
        alive.add(held)
        return held

    total, counts = torch.zeros(()), []
    for _ in range(5):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
            loss = model(torch.randn(16, 8)).square().mean()
        if backward:
            loss.backward()
        total += after(loss)
        del loss
        counts.append(sum(h.tensor.nbytes for h in alive))
    nodes, queue = set(), [total.grad_fn] if torch.is_tensor(total) and total.grad_fn else []
    while queue:
        node = queue.pop()
        if node not in nodes:
            nodes.add(node)
            queue += [n for n, _ in node.next_functions if n]
    return counts, len(nodes)


@pitfall("Memory grows with every batch")
def check_running_total():
    counts, nodes = loop(lambda v: v, False)
    assert counts[0] > 0 and counts == [counts[0] * k for k in range(1, 6)] and nodes > 20
    counts, nodes = loop(lambda v: v, True)
    assert counts == [0] * 5 and nodes > 20
    for after in (lambda v: v.detach(), lambda v: v.item()):
        for backward in (False, True):
            assert loop(after, backward) == ([0] * 5, 0)


@pitfall('"Trying to backward through the graph a second time"')
def check_hidden_state():
    for kind in (nn.RNN, nn.GRU, nn.LSTM):
        cell = kind(2, 3)

        def chunks(cut):
            state = None
            for _ in range(2):
                out, state = cell(torch.randn(4, 1, 2), state)
                out.sum().backward()
                state = cut(state)

        raises(RuntimeError, lambda: chunks(lambda s: s), "backward through the graph a second time")
        chunks(lambda s: tuple(part.detach() for part in s) if isinstance(s, tuple) else s.detach())
    raises(RuntimeError, lambda: chunks(lambda s: (s[0].detach(), s[1])), "a second time")


@pitfall("`clone()` does not stop the gradient")
@holds("In place", "Copy as well", "`x.clone()`", "`x.detach().clone()`")
@holds("When is `detach()` needless under `no_grad()`?")
def check_clone_and_leaves():
    x = torch.tensor([2.0], requires_grad=True)
    (5 * x.clone()).sum().backward()
    assert x.grad.item() == 5
    (5 * x.detach().clone() + 3 * x).sum().backward()
    assert x.grad.item() == 5 + 3
    assert torch.equal(x.detach().clone(), x.clone().detach())
    assert not x.detach().clone().requires_grad and x.detach().clone().data_ptr() != x.data_ptr()
    fresh = (x * 2).detach().requires_grad_()
    assert fresh.is_leaf and fresh.requires_grad
    raises(RuntimeError, lambda: (x * 2).requires_grad_(False), "only change requires_grad flags of leaf")
    y = x * 2
    y.detach_()
    assert not y.requires_grad
    raises(RuntimeError, lambda: (torch.ones(3, requires_grad=True) * 2)[:1].detach_(), "Can't detach views in-place")
    with torch.no_grad():
        assert (x * 2).grad_fn is None and not (x * 2).requires_grad
        view = x[:1]
    assert view.requires_grad and view.detach().numpy().shape == (1,)
    raises(RuntimeError, view.numpy, "Can't call numpy() on Tensor that requires grad")


@pitfall('"Can\'t call numpy() on Tensor that requires grad"')
def check_numpy():
    x = torch.tensor([2.0], requires_grad=True)
    raises(RuntimeError, x.numpy, "Can't call numpy() on Tensor that requires grad")
    x.detach().cpu().numpy()[0] = 7
    assert x.item() == 7


@holds("Is detaching the input of a layer the same as freezing the layer?", "`p.requires_grad_(False)`")
def check_detached_input_against_frozen_layer():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second(first(torch.randn(1, 2)).detach()).sum().backward()
    assert first.weight.grad is None and second.weight.grad is not None
    second.requires_grad_(False)
    second.weight.grad = None
    second(first(torch.randn(1, 2))).sum().backward()
    assert first.weight.grad is not None and second.weight.grad is None
    words = "only change requires_grad flags of leaf"
    raises(RuntimeError, lambda: first(torch.randn(1, 2)).requires_grad_(False), words)


@pitfall("Some weights stay at their initial values")
def check_a_silent_cut():
    first, second, x = nn.Linear(2, 2), nn.Linear(2, 2), torch.randn(3, 2)
    both, start = nn.ModuleList([first, second]), first.weight.detach().clone()
    items = lambda t: torch.stack([torch.stack([torch.tensor(v.item()) for v in row]) for row in t])
    for cut in (torch.Tensor.detach, items, lambda t: quietly(lambda: torch.tensor(t)), lambda t: t):
        losses, optimizer = [], torch.optim.SGD(both.parameters(), 0.05)
        for _ in range(20):
            optimizer.zero_grad()
            losses.append((second(cut(first(x))) - x).square().mean())
            losses[-1].backward()
            optimizer.step()
        missing = [n for n, p in both.named_parameters() if p.grad is None]
        assert losses[-1] < losses[0]
        if missing:
            assert missing == ["0.weight", "0.bias"] and torch.equal(first.weight, start)
    assert not missing and not torch.equal(first.weight, start)
    raises(RuntimeError, lambda: first(x).detach().sum().backward(), "does not require grad")


@holds("Input → output", "Cost", "`x.detach()`")
def check_what_detach_returns():
    for dtype in (torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.complex64):
        for shape in ((), (0,), (3,), (2, 1, 4)):
            x = torch.ones(shape, dtype=dtype)
            if dtype.is_floating_point or dtype.is_complex:
                x.requires_grad_()
            for y in (x, x * 1):
                d = y.detach()
                assert d.shape == y.shape and d.dtype == y.dtype and d.device == y.device
                assert not d.requires_grad and d.grad_fn is None
                assert d.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    (y.detach() * 5 + y).sum().backward()  # one of two paths is stopped
    assert x.grad.tolist() == [2, 2, 2]


@holds("Differentiate again", "`x.item()`", "`torch.no_grad()`")
def check_new_leaf_number_and_block():
    w = torch.ones(3, requires_grad=True)
    x = w * 2
    leaf = x.detach().requires_grad_()
    (leaf**2).sum().backward()
    assert leaf.is_leaf and leaf.grad.tolist() == [4, 4, 4] and w.grad is None
    loss = x.sum()
    assert type(loss.item()) is float and loss.item() == 6
    raises(RuntimeError, x.item, "cannot be converted to Scalar")
    with torch.no_grad():
        block = (x * 3).sum()
        view = x[:1]
    assert not block.requires_grad and block.grad_fn is None and view.data_ptr() == x.data_ptr()


@holds("Why does the target of a self-distillation loss get detached?")
def check_only_the_online_branch_learns():
    online, target, x = nn.Linear(3, 2), nn.Linear(3, 2), torch.randn(8, 3)
    for cut in (True, False):
        target.zero_grad()
        online.zero_grad()
        goal = target(x).detach() if cut else target(x)
        (online(x) - goal).square().mean().backward()
        assert (target.weight.grad is None) == cut and online.weight.grad is not None
