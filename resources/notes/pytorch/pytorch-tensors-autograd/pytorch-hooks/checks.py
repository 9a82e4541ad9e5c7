import copy
import io
import operator
import pickle
import warnings
import weakref

import numpy as np
import torch
import torchvision
from torch import nn

from note_checks import check, formula, holds, pitfall, quietly, raises, stated

TENSOR = r"\bar x = J^{\top} h(\bar y), \qquad J = \frac{\partial y}{\partial x}"
LINEAR = r"\bar X = \bar Y\,W, \qquad \bar W = \bar Y^{\top} X"


@formula(TENSOR)
def check_tensor_hook():
    for n, k in [(1, 1), (3, 2), (4, 6)]:
        matrix, upstream = torch.randn(k, n, dtype=torch.float64), torch.randn(k, dtype=torch.float64)
        for h in (lambda g: 2 * g + 1, lambda g: g.clamp(max=0.1), lambda g: -g):
            x = torch.randn(n, dtype=torch.float64, requires_grad=True)
            f = lambda v: torch.sin(matrix @ v)
            y = f(x)
            y.register_hook(h)
            (y * upstream).sum().backward()
            J = torch.autograd.functional.jacobian(f, x.detach())
            np.testing.assert_allclose(x.grad.numpy(), J.numpy().T @ h(upstream).numpy(), rtol=1e-9)


@formula(LINEAR)
@holds("Backward", "Why does replacing `grad_input` not change this layer's own weight gradient?")
def check_full_backward_hook():
    for batch, n, k in [(1, 2, 3), (5, 3, 2), (4, 1, 1)]:
        layer, seen = nn.Linear(n, k, dtype=torch.float64), []
        handle = layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
        X = torch.randn(batch, n, dtype=torch.float64, requires_grad=True)
        upstream = torch.randn(batch, k, dtype=torch.float64)
        (layer(X) * upstream).sum().backward()
        assert all(type(part) is tuple and len(part) == 1 for part in seen[0])
        (((x_bar,), (y_bar,)),) = seen
        np.testing.assert_allclose(y_bar.numpy(), upstream.numpy())
        np.testing.assert_allclose(x_bar.numpy(), upstream.numpy() @ layer.weight.detach().numpy(), rtol=1e-9)
        weight = upstream.numpy().T @ X.detach().numpy()
        np.testing.assert_allclose(layer.weight.grad.numpy(), weight, rtol=1e-9)
        handle.remove()
        layer.weight.grad = X.grad = None
        layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 7,))
        (layer(X) * upstream).sum().backward()
        np.testing.assert_allclose(X.grad.numpy(), 7 * x_bar.numpy(), rtol=1e-9)
        np.testing.assert_allclose(layer.weight.grad.numpy(), weight, rtol=1e-9)


@check
def check_worked_example():
    for hook, text in ((None, "20"), (lambda g: g.clamp(max=1), "4")):
        x = torch.tensor(2.0, requires_grad=True)
        y = x**2
        if hook:
            y.register_hook(hook)
        (5 * y).backward()
        stated(text, x.grad.item())


@check
def check_contributions_are_summed():
    for make in (lambda v: v, lambda v: v * 1):
        x, seen = torch.ones(1, requires_grad=True), []
        y = make(x)
        y.register_hook(lambda g: seen.append(g.item()))
        (y * 2 + y * 3).sum().backward()
        assert seen == [5.0]
    raises(RuntimeError, lambda: torch.ones(2).register_hook(print), "doesn't require gradient")


@pitfall("`grad_input` has too few entries")
def check_old_backward_hook():
    class Add(nn.Module):
        def forward(self, x, y, z):
            return x + y + z

    for register, expected in (("register_backward_hook", 2), ("register_full_backward_hook", 3)):
        module, seen = Add(), []
        getattr(module, register)(lambda m, gi, go: seen.append(len(gi)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module(*(torch.ones(2, requires_grad=True) for _ in range(3))).sum().backward()
        assert seen == [expected]
    module = Add()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.register_backward_hook(lambda m, gi, go: None).remove()
    raises(
        RuntimeError, lambda: module.register_full_backward_hook(print), "Cannot use both regular backward hooks and"
    )
    module, seen = Add(), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append(len(gi)))
    one, two, three = (torch.ones(2, requires_grad=True) for _ in range(3))
    module(one, y=two, z=three).sum().backward()
    assert seen == [1]

    class Total(nn.Module):
        def forward(self, parts):
            return sum(parts)

    module, seen = Total(), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append(gi))
    quietly(lambda: module([one, two]).sum().backward())
    assert seen == [(None,)]


@pitfall("The hook is not called")
def check_when_hooks_run():
    layer, log = nn.Linear(2, 2), []
    layer.register_forward_hook(lambda *_: log.append("after"))
    layer.register_forward_pre_hook(lambda *_: log.append("before"))
    layer.forward(torch.randn(1, 2))
    assert log == []
    for mode in (layer.train, layer.eval):
        log.clear()
        mode()(torch.randn(1, 2))
        assert log == ["before", "after"]
    attention, log = nn.MultiheadAttention(8, 2), []
    attention.out_proj.register_forward_hook(lambda *_: log.append(1))
    attention(*[torch.randn(3, 1, 8)] * 3)
    assert log == []
    attention.register_forward_hook(lambda *_: log.append("called"))
    attention(*[torch.randn(3, 1, 8)] * 3)
    assert log == ["called"]
    log.clear()
    same = lambda *_: log.append(1)
    layer = nn.Linear(2, 2)
    handles = [layer.register_forward_hook(same), layer.register_forward_hook(same)]
    layer(torch.randn(1, 2))
    assert len(log) == 2
    [handle.remove() for handle in handles]
    layer(torch.randn(1, 2))
    assert len(log) == 2


@check
def check_replacement():
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda m, i, o: o * 0 + 3)
    assert (layer(torch.randn(4, 2)) == 3).all()
    layer = nn.Identity()
    layer.register_forward_pre_hook(lambda m, i: (i[0] + 1,))
    assert layer(torch.ones(2)).tolist() == [2.0, 2.0]


@pitfall("`grad_input` is `(None,)`")
def check_the_first_layer_gets_a_gradient_if_asked():
    layer, seen = nn.Linear(3, 2), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append(gi))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer(torch.randn(4, 3)).sum().backward()
    assert seen == [(None,)] and "no inputs require gradients" in str(caught[0].message)
    seen.clear()
    layer(torch.randn(4, 3).requires_grad_()).sum().backward()
    assert seen[0][0].shape == (4, 3)
    raises(RuntimeError, torch.arange(3).requires_grad_, "floating point")


@pitfall('"Output 0 of BackwardHookFunction is a view and is being modified inplace"')
def check_none_and_in_place():
    layer = nn.Linear(3, 2)
    layer.register_full_backward_hook(lambda m, gi, go: None)
    model = nn.Sequential(layer, nn.ReLU(inplace=True))
    x = torch.randn(4, 3, requires_grad=True)
    raises(RuntimeError, lambda: quietly(lambda: model(x.detach())), "is a view and is being modified inplace")
    raises(RuntimeError, lambda: model(x), "Output 0 of BackwardHookFunction is a view and is being modified inplace")
    model[1].inplace = False
    model(x).sum().backward()
    plain, seen = nn.Sequential(nn.Linear(3, 2), nn.ReLU(inplace=True)), []
    plain[0].register_forward_hook(lambda m, i, o: o.register_hook(seen.append) and None)
    plain(x).sum().backward()
    assert torch.equal(*seen, (plain[0](x) > 0).float())
    words = "Output 0 of BackwardHookFunction is a view and is being modified inplace"
    raises(RuntimeError, lambda: operator.iadd(layer(x), x[:, :2]), words)
    (layer(x) + x[:, :2]).sum().backward()
    seen.clear()
    operator.iadd(plain[0](x), x[:, :2]).mul(3).sum().backward()
    assert (seen[0] == 3).all()
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(inplace=True))  # the layer itself works in place
    handle = model[1].register_full_backward_hook(lambda m, gi, go: None)
    raises(RuntimeError, lambda: model(x), words)
    model[1].inplace = False
    model(x).sum().backward()
    handle.remove()
    block = torchvision.models.resnet.BasicBlock(2, 2).eval()  # inplace=False alone is not enough: out += identity
    block.relu.inplace = False
    for part in block.children():
        part.register_full_backward_hook(lambda m, gi, go: None)
    raises(RuntimeError, lambda: block(torch.randn(1, 2, 4, 4, requires_grad=True)), words)
    model[1].inplace = True
    seen.clear()
    model[1].register_forward_hook(lambda m, i, o: o.register_hook(seen.append) and None)
    model(x).mul(3).sum().backward()
    assert (seen[0] == 3).all()
    with torch.no_grad():  # no gradient to wait for
        raises(RuntimeError, lambda: model(x), "cannot register a hook on a tensor that doesn't require gradient")
    start = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2))  # a module that starts with one
    start.register_full_backward_hook(lambda m, gi, go: None)
    raises(RuntimeError, lambda: start(x * 1), words)

    def on_a_copy(module, inputs, output):
        y = output.clone()
        if y.requires_grad:
            y.register_hook(seen.append)
        return y

    for inputs, called in ((x, 1), (torch.randn(2, 4, 3), 0)):  # of three axes the output is a view
        plain, seen = nn.Sequential(nn.Linear(3, 2), nn.ReLU(inplace=True)), []
        handle = plain[0].register_forward_hook(lambda m, i, o: o.register_hook(seen.append) and None)
        plain(inputs).sum().backward()
        assert len(seen) == called
        handle.remove()
        seen.clear()
        plain[0].register_forward_hook(on_a_copy)
        plain(inputs).sum().backward()
        with torch.no_grad():
            expected = (plain[0](inputs) > 0).float()
        assert len(seen) == 1 and torch.equal(seen[0], expected)


@pitfall("The graph stays in memory, or stored features change")
def check_what_is_stored():
    plain = nn.Sequential(nn.Linear(3, 2), nn.ReLU(inplace=True))
    stored = []
    handle = plain[0].register_forward_hook(lambda m, i, o: stored.extend([o, o.detach(), o.detach().clone()]))
    plain(torch.randn(50, 3))
    assert stored[0].min() == stored[1].min() == 0 > stored[2].min()
    handle.remove()
    plain(torch.randn(50, 3))
    assert len(stored) == 3

    class Held:
        def __init__(self, tensor):
            self.tensor = tensor.detach()

    def held_graph(keep):
        alive, model = weakref.WeakSet(), nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))

        def pack(tensor):
            held = Held(tensor)
            alive.add(held)
            return held

        kept = []
        model[2].register_forward_hook(lambda m, i, o: kept.append(keep(o)))
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
            model(torch.randn(5, 3))
        return len(alive)

    assert held_graph(lambda o: o) > 0 == held_graph(lambda o: o.detach().clone())


@holds(
    "Are hooks saved with the model?",
    "How would you find the layer that produces the first NaN?",
    "`torchvision`'s `create_feature_extractor`",
)
def check_remaining_claims():
    class Scale(nn.Module):
        def forward(self, x, *, factor):
            return x * factor

    module, seen = Scale(), []
    module.register_forward_hook(lambda m, i, o: seen.append(len(i)))
    module.register_forward_hook(lambda m, i, kw, o: seen.append(kw["factor"]), with_kwargs=True)
    module(torch.ones(1), factor=2)
    assert seen == [1, 2]
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *_: None)
    assert len(copy.deepcopy(layer)._forward_hooks) == 1 and list(layer.state_dict()) == ["weight", "bias"]
    raises((pickle.PicklingError, AttributeError), lambda: torch.save(layer, io.BytesIO()), "lambda")
    parent, called = nn.Sequential(nn.Identity()), []
    parent.register_forward_hook(lambda *_: called.append("parent"))
    parent[0].register_forward_hook(lambda *_: called.append("part"))
    parent.forward(torch.ones(1))
    assert called == ["part"]
    p = nn.Parameter(torch.ones(2))
    p.register_post_accumulate_grad_hook(lambda q: seen.append(q.grad.tolist()))
    (3 * p).sum().backward()
    assert seen[-1] == [3.0, 3.0]
    order = []
    nested = nn.Sequential(nn.Sequential(nn.Identity()))
    for name, part in nested.named_modules():
        part.register_forward_hook(lambda *_, name=name: order.append(name))
    nested(torch.ones(1))
    assert order == ["0.0", "0", ""]
    y, (h, c) = nn.LSTM(2, 2)(torch.ones(1, 2))  # a tuple in a tuple
    assert not any(part.isnan().any() for part in (y, h, c))

    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt()

    def stop_at(name, output):
        if output.isnan().any():
            raise ValueError(f"NaN in <{name}>")

    nested = nn.Sequential(nn.Tanh(), nn.Sequential(Root(), nn.Identity()))
    for name, part in nested.named_modules():
        part.register_forward_hook(lambda m, i, o, name=name: stop_at(name, o))
    nested(torch.ones(1))
    raises(ValueError, lambda: nested(-torch.ones(1)), "NaN in <1.0>")
    from torchvision.models.feature_extraction import create_feature_extractor

    part = nn.Linear(2, 3)
    features = create_feature_extractor(nn.Sequential(part, nn.ReLU()), ["0"])(torch.ones(1, 2))
    assert list(features) == ["0"] and torch.equal(features["0"], part(torch.ones(1, 2)))


@check
def check_order_of_hooks():
    layer, seen = nn.Identity(), []
    layer.register_forward_hook(lambda m, i, o: seen.append(("first", o.item())) or o + 1)
    layer.register_forward_hook(lambda m, i, o: seen.append(("second", o.item())) or o * 10)
    layer.register_forward_hook(lambda m, i, o: seen.append(("front", o.item())), prepend=True)
    assert layer(torch.tensor(1.0)).item() == 20 and seen == [("front", 1.0), ("first", 1.0), ("second", 2.0)]
    layer, x = nn.Linear(1, 1), torch.ones(1, requires_grad=True)
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 0 + 1,))
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] + 5,))
    layer(x).backward()
    assert x.grad.item() == 6


@holds("Forward", "Tensor", "Return", "Removal", "Same in train and eval?", "forward pre-hook", "forward hook")
def check_every_kind():
    layer, log = nn.Linear(3, 2), []
    x = torch.randn(4, 3, requires_grad=True)
    layer.eval()
    plain = layer(x)
    kinds = (
        ("register_forward_pre_hook", lambda m, inputs: log.append((m, inputs)), lambda m, inputs: (inputs[0] * 2,)),
        ("register_forward_hook", lambda m, inputs, y: log.append((m, inputs, y)), lambda m, inputs, y: y * 2),
        ("register_full_backward_hook", lambda m, gi, go: log.append((m, gi, go)), lambda m, gi, go: (gi[0] * 2,)),
    )
    for name, look, change in kinds:
        for mode in (True, False):
            layer.train(mode)
            log.clear()
            handle = getattr(layer, name)(look)
            assert torch.equal(layer(x), plain) and torch.equal(
                torch.autograd.grad(layer(x).sum(), x)[0], torch.autograd.grad(plain.sum(), x, retain_graph=True)[0]
            )
            assert log and log[0][0] is layer and all(isinstance(part, tuple) for part in log[0][1:2])
            handle.remove()
            log.clear()
            torch.autograd.grad(layer(x).sum(), x)
            assert log == []
            handle = getattr(layer, name)(change)
            doubled = torch.autograd.grad(layer(x).sum(), x)[0]
            assert torch.allclose(doubled, 2 * torch.autograd.grad(plain.sum(), x, retain_graph=True)[0])
            assert torch.equal(layer(x), plain) == (name == "register_full_backward_hook")
            handle.remove()
            assert torch.equal(layer(x), plain)
    for dtype in (torch.float16, torch.float32, torch.float64):
        y = torch.ones(2, 3, dtype=dtype, requires_grad=True)
        handle = y.register_hook(log.append)
        (2 * y).sum().backward()
        assert log[-1].shape == y.shape and log[-1].dtype == dtype and (y.grad == 2).all()
        handle.remove()
        y.register_hook(lambda g: g * 3)
        (2 * y).sum().backward()
        assert (y.grad == 2 + 6).all()
    raises(RuntimeError, lambda: torch.ones(2).register_hook(print), "doesn't require gradient")


@holds("full backward hook", "tensor hook")
def check_what_gradients_are_seen():
    layer, seen = nn.Conv2d(2, 3, 1), {}
    head = nn.Linear(3, 5)
    layer.register_forward_hook(lambda m, i, o: seen.update(maps=o))
    layer.register_full_backward_hook(lambda m, gi, go: seen.update(inputs=gi[0], outputs=go[0]))
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    score = head(layer(x).mean((2, 3)))[0, 1]
    score.backward()
    assert torch.equal(seen["inputs"], x.grad)
    slopes = head.weight[1].view(1, 3, 1, 1).expand(1, 3, 4, 4) / 16
    assert torch.allclose(seen["outputs"], slopes)  # what Grad-CAM averages
    x, printed = torch.ones(2, requires_grad=True), []
    a, b = x * 3, x * 50
    a.register_hook(printed.append)
    b.register_hook(lambda g: g.clamp(max=0.1))
    (a + b).sum().backward()
    assert printed[0].tolist() == [1, 1] and torch.allclose(x.grad, torch.tensor(3 + 5.0))  # clipped on one path


@holds("`register_post_accumulate_grad_hook`")
def check_a_step_during_the_backward_pass():
    model, expected = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)), []
    other, x = copy.deepcopy(model), torch.randn(5, 3)
    for p in model.parameters():
        optimizer = torch.optim.SGD([p], 0.1)
        seen = lambda q, optimizer=optimizer: expected.append(q.grad is not None) or optimizer.step()
        p.register_post_accumulate_grad_hook(seen)
    model(x).sum().backward()
    other(x).sum().backward()
    torch.optim.SGD(other.parameters(), 0.1).step()
    assert expected == [True] * 4 and all(torch.allclose(a, b) for a, b in zip(model.parameters(), other.parameters()))
    raises(RuntimeError, lambda: (x.requires_grad_() * 2).register_post_accumulate_grad_hook(print), "leaf")
