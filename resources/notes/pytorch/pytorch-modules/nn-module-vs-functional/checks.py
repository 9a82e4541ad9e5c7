import inspect

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, raises, stated

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


@check
def check_modes():
    assert inspect.signature(F.dropout).parameters["training"].default is True
    assert inspect.signature(F.batch_norm).parameters["training"].default is False

    class Both(nn.Module):
        def forward(self, x, bind):
            return F.dropout(x, 0.5, training=self.training) if bind else F.dropout(x, 0.5)

    model, x = Both().eval(), torch.ones(1000)
    assert torch.equal(model(x, True), x) and not torch.equal(model(x, False), x)
    assert not torch.equal(model.train()(x, True), x)
    assert not torch.equal(nn.Sequential(nn.Identity()).eval()(nn.Dropout()(x)), x)    # made inside forward: in train mode
    x, mean, variance = torch.randn(50, 3) + 4, torch.zeros(3), torch.ones(3)
    assert torch.allclose(F.batch_norm(x, mean, variance), x, atol=1e-4)
    assert torch.allclose(nn.BatchNorm1d(3)(x).mean(0), torch.zeros(3), atol=1e-5)


@check
def check_layer_in_forward():
    class Forgetful(nn.Module):
        def forward(self, x):
            return nn.Linear(4, 4)(x)

    model, x = Forgetful(), torch.ones(1, 4)
    assert not torch.equal(model(x), model(x)) and not list(model.parameters())


@check
def check_missing_super():
    class Early(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)
            super().__init__()

    raises(AttributeError, lambda: Early(), "cannot assign module before Module.__init__() call")


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


@check
def check_replaced_layer_and_buffers():
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model[1] = nn.Linear(8, 3)
    before = [p.clone() for p in model.parameters()]
    model(torch.randn(5, 4)).square().sum().backward()
    optimizer.step()
    assert [torch.equal(a, b) for a, b in zip(before, model.parameters())] == [False, False, True, True]
    optimizer.add_param_group({"params": model[1].parameters()})
    optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    module = nn.Module()
    module.register_buffer("kept", torch.zeros(2))
    module.register_buffer("temporary", torch.zeros(2), persistent=False)
    assert list(module.state_dict()) == ["kept"] and module.double().temporary.dtype == torch.float64
