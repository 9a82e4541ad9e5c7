import inspect

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, pitfall, raises, stated

LINEAR = r"\mathrm{Linear}_{W,b}(x) = \mathrm{linear}(x, W, b) = x\,W^{\top} + b"
COUNT = r"n = d_{\text{out}}\,d_{\text{in}} + d_{\text{out}}"


@formula(LINEAR)
def check_linear():
    for shape, d_out in [((3,), 2), ((4, 3), 5), ((2, 6, 1), 1)]:
        layer = nn.Linear(shape[-1], d_out, dtype=torch.float64)
        x = torch.randn(shape, dtype=torch.float64)
        W, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        ours = x.numpy() @ W.T + b
        np.testing.assert_allclose(ours, layer(x).detach().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours, F.linear(x, layer.weight, layer.bias).detach().numpy(), rtol=1e-9, atol=1e-12)
        assert W.shape == (d_out, shape[-1])


@formula(COUNT)
def check_count():
    for d_in, d_out in [(1, 1), (3, 7), (10, 2)]:
        assert sum(p.numel() for p in nn.Linear(d_in, d_out).parameters()) == d_out * d_in + d_out
        assert sum(p.numel() for p in nn.Linear(d_in, d_out, bias=False).parameters()) == d_out * d_in


@check
def check_worked_example():
    W, b, x = torch.tensor([[1.0, 1.0], [0.0, 2.0]]), torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])
    assert F.linear(x, W, b).tolist() == [3.0, 5.0]
    stated("6", sum(p.numel() for p in nn.Linear(2, 2).parameters()))

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.W, self.b = W.clone().requires_grad_(), b.clone().requires_grad_()

    stated("0", len(list(Plain().parameters())))
    assert not Plain().state_dict() and Plain().to(torch.float64).W.dtype == torch.float32


@pitfall("Predictions vary although `eval()` was called")
def check_dropout_and_the_mode():
    assert inspect.signature(F.dropout).parameters["training"].default is True

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x, style):
            if style == "module":
                return self.drop(x)
            return F.dropout(x, 0.5, training=self.training) if style == "bound" else F.dropout(x, 0.5)

    model, x = Net().eval(), torch.ones(1000)
    assert not torch.equal(model(x, "plain"), model(x, "plain"))
    for style in ("module", "bound"):
        assert torch.equal(model.eval()(x, style), x) and not torch.equal(model.train()(x, style), x)


@pitfall("A weight never changes and is missing in the checkpoint")
def check_registration():
    class Net(nn.Module):
        def __init__(self, weight, layers):
            super().__init__()
            self.w, self.layers, self.out = weight, layers, nn.Linear(3, 1)
            self.register_buffer("offset", torch.ones(3))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return self.out(self.w * x - self.offset)

    for wrap, wrap_list, learns in ((lambda t: t, list, False), (nn.Parameter, nn.ModuleList, True)):
        net = Net(wrap(torch.randn(3, requires_grad=True)), wrap_list([nn.Linear(3, 3)]))
        before = net.w.clone(), net.layers[0].weight.clone()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        net(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
        keys = net.state_dict()
        assert torch.equal(before[0], net.w) != learns and ("w" in keys) == learns
        assert torch.equal(before[1], net.layers[0].weight) != learns and ("layers.0.weight" in keys) == learns
        assert "offset" in keys and torch.equal(net.offset, torch.ones(3))


@pitfall("The same input gives different outputs, and one layer never learns")
def check_layer_in_forward():
    class Net(nn.Module):
        def __init__(self, forgetful):
            super().__init__()
            self.forgetful, self.out = forgetful, nn.Linear(4, 1)
            if not forgetful:
                self.hidden = nn.Linear(4, 4)

        def forward(self, x):
            return self.out((nn.Linear(4, 4) if self.forgetful else self.hidden)(x))

    x = torch.ones(1, 4)
    for forgetful in (True, False):
        model = Net(forgetful)
        assert torch.equal(model(x), model(x)) != forgetful
        assert len(list(model.parameters())) == (2 if forgetful else 4)


@pitfall("`F.batch_norm` behaves as in evaluation")
def check_batch_norm_default():
    assert inspect.signature(F.batch_norm).parameters["training"].default is False
    x, mean, variance = torch.randn(50, 3) + 4, torch.zeros(3), torch.ones(3)
    raises(TypeError, lambda: F.batch_norm(x), "running_mean", "running_var")
    assert torch.allclose(F.batch_norm(x, mean, variance), x, atol=1e-4) and torch.equal(mean, torch.zeros(3))
    image, layer = torch.randn(8, 3, 5, 5) + 4, nn.BatchNorm2d(3)
    assert torch.allclose(layer(image).mean((0, 2, 3)), torch.zeros(3), atol=1e-5) and (layer.running_mean > 0.3).all()
    assert not torch.allclose(layer.eval()(image), layer.train()(image), atol=0.1)


@pitfall('"cannot assign module before Module.__init__() call"')
def check_place_of_super():
    class Missing(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)

    class Late(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)
            super().__init__()

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

    for broken in (Missing, Late):
        raises(AttributeError, broken, "cannot assign module before Module.__init__() call")
    assert len(list(First().parameters())) == 2


@check
def check_other_claims():
    from torch.func import functional_call

    layer = nn.Linear(2, 2)
    out = functional_call(layer, {"weight": 2 * torch.eye(2), "bias": torch.ones(2)}, (torch.tensor([[1.0, 3.0]]),))
    assert out.tolist() == [[3.0, 7.0]]
    norm = nn.BatchNorm1d(3)
    assert "running_mean" in norm.state_dict() and "running_mean" not in dict(norm.named_parameters())
    assert norm.double().running_mean.dtype == torch.float64
    calls, relu = [], nn.ReLU()
    model = nn.Sequential(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu)
    relu.register_forward_hook(lambda *_: calls.append(1))
    model(torch.randn(1, 2))
    assert len(calls) == 2
    model.forward(torch.randn(1, 2))
    top = []
    model.register_forward_hook(lambda *_: top.append(1))
    model.forward(torch.randn(1, 2))
    assert not top


@pitfall("A replaced layer is not trained")
def check_replaced_layer():
    def replaced():
        model = nn.Sequential()
        model.hidden, model.out = nn.Linear(4, 8), nn.Linear(8, 5)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model.out = nn.Linear(8, 3)
        return model, optimizer

    def changed(model, optimizer):
        before = [p.clone() for p in model.parameters()]
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        return [not torch.equal(a, b) for a, b in zip(before, model.parameters())]

    model, optimizer = replaced()
    assert changed(model, optimizer) == [True, True, False, False]
    optimizer.add_param_group({"params": model.out.parameters()})
    assert all(changed(model, optimizer))
    model, _ = replaced()
    assert all(changed(model, torch.optim.SGD(model.parameters(), lr=0.1)))


@check
def check_buffers():
    module = nn.Module()
    module.register_buffer("kept", torch.zeros(2))
    module.register_buffer("temporary", torch.zeros(2), persistent=False)
    assert list(module.state_dict()) == ["kept"] and module.double().temporary.dtype == torch.float64
    assert not list(module.parameters())  # a fixed kernel kept as a buffer is not learned
