import inspect

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, raises, stated

LINEAR = r"\mathrm{Linear}_{W,b}(x) = \mathrm{linear}(x, W, b) = x\,W^{\top} + b"
COUNT = r"n = d_{\text{out}}\,d_{\text{in}} + d_{\text{out}}"


@holds("`F.linear(x, weight, bias)`", "`nn.Linear(d_in, d_out)(x)`")
@formula(LINEAR)
def check_linear():
    raises(RuntimeError, lambda: F.linear(torch.ones(2), torch.ones(1, 2).double()), "dtype")
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


@holds("Same in train and eval?", "dropout, batch norm: they depend on the mode")
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
    for training in (True, False):
        assert torch.equal(F.dropout(x, 0.5, training), x) != training
        norm = nn.BatchNorm1d(1).train(training)
        assert bool(norm(torch.randn(1000, 1) + 1).mean().abs() < 0.1) is training
    for style in ("module", "bound"):
        assert torch.equal(model.eval()(x, style), x) and not torch.equal(model.train()(x, style), x)


@holds("What a module registers", "What that gives")
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

    hooked, net = [], Net(nn.Parameter(torch.ones(3)), nn.ModuleList([nn.Linear(3, 3)])).double().eval()
    assert {name.split(".")[0] for name, _ in net.named_parameters()} == {"w", "layers", "out"}
    assert net.offset.dtype == net.w.dtype == torch.float64 and not net.out.training and net.train().out.training
    net.register_forward_hook(lambda *_: hooked.append(1))
    assert net(torch.ones(1, 3).double()).shape == (1, 1) and hooked
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
    raises(ValueError, lambda: layer(x), "expected 4D input")
    rows = nn.BatchNorm1d(3)
    assert torch.allclose(rows(x).mean(0), torch.zeros(3), atol=1e-5) and (rows.running_mean > 0.3).all()
    assert not torch.allclose(rows.eval()(x), rows.train()(x), atol=0.1)


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


@holds("convolution, linear, embedding, layer or group normalization: they carry weights")
def check_modules_with_weights():
    convolutions = nn.Conv1d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv3d(2, 2, 1), nn.ConvTranspose2d(2, 2, 1)
    for module in (*convolutions, nn.Linear(2, 2), nn.Embedding(2, 2), nn.LayerNorm(2), nn.GroupNorm(1, 2)):
        assert "weight" in dict(module.named_parameters())


@holds("activations such as ReLU, pooling, padding, interpolation")
def check_functions_and_modules_agree():
    x = torch.randn(1, 2, 4, 4)
    for module, function in (
        (nn.ReLU(), F.relu),
        (nn.GELU(), F.gelu),
        (nn.MaxPool2d(2), lambda v: F.max_pool2d(v, 2)),
        (nn.AvgPool2d(2), lambda v: F.avg_pool2d(v, 2)),
        (nn.ZeroPad2d(1), lambda v: F.pad(v, (1, 1, 1, 1))),
        (nn.Upsample(scale_factor=2.0), lambda v: F.interpolate(v, scale_factor=2.0)),
    ):
        assert torch.equal(module.train()(x), function(x)) and torch.equal(module.eval()(x), function(x))
        assert not module.state_dict()


@holds("anything inside `nn.Sequential`, or to be hooked or replaced by name")
def check_what_only_modules_allow():
    raises(TypeError, lambda: nn.Sequential(nn.Linear(2, 2), F.relu), "is not a Module subclass")
    model, seen = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []
    model.get_submodule("1").register_forward_hook(lambda *_: seen.append(1))
    model(torch.ones(1, 2))
    model.set_submodule("1", nn.Sigmoid())
    assert seen and (model(torch.ones(1, 2)) > 0).all() and not hasattr(F.relu, "register_forward_hook")


@holds("weights computed by another network, fixed kernels (kept as a buffer)")
def check_weights_from_elsewhere():
    other, x = nn.Linear(3, 8), torch.randn(5, 4)
    F.linear(x, other(torch.ones(3)).view(2, 4)).sum().backward()
    assert other.weight.grad.abs().sum() > 0
    model = nn.Module()
    model.register_buffer("kernel", torch.ones(1, 1, 3, 3) / 9)
    image = torch.randn(1, 1, 5, 5)
    assert torch.allclose(F.conv2d(image, model.kernel), F.avg_pool2d(image, 3, 1), atol=1e-6)
    assert not list(model.parameters()) and "kernel" in model.state_dict()


@holds("Why call `model(x)` and not `model.forward(x)`?", "May one `nn.ReLU` be used in several places?")
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
    model(torch.randn(1, 2))
    assert top and not relu.state_dict()


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
    for built_first in (True, False):
        model, optimizer = replaced()
        make = lambda: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
        scheduler = make() if built_first else None
        optimizer.add_param_group({"params": model.out.parameters()})
        scheduler = scheduler or make()
        optimizer.step()
        if built_first:
            raises(ValueError, scheduler.step, "shorter")
        else:
            scheduler.step()
            assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]
    model, _ = replaced()
    assert all(changed(model, torch.optim.SGD(model.parameters(), lr=0.1)))


@holds("Parameter or buffer?")
def check_buffers():
    module = nn.Module()
    module.register_buffer("kept", torch.zeros(2))
    module.register_buffer("temporary", torch.zeros(2), persistent=False)
    assert list(module.state_dict()) == ["kept"] and module.double().temporary.dtype == torch.float64
    assert not list(module.parameters())  # a fixed kernel kept as a buffer is not learned
