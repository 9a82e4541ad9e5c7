import inspect
from collections import OrderedDict

import torch
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, stated

CHAIN = r"y = f_n\big(\cdots f_2(f_1(x))\big)"
COUNT = r"P = \sum_{l=1}^{L} (d_{l-1} + 1)\, d_l"


def chain(*widths):
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Linear(a, b, dtype=torch.float64), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


@holds("Input → output", "`nn.Sequential`")
@formula(CHAIN)
def check_chain():
    outputs = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 3))(torch.tensor([1, 2]))
    assert isinstance(outputs, tuple) and outputs[0].shape == (2, 3)
    for widths in [(3, 3), (3, 4, 2), (1, 5, 5, 2)]:
        model = chain(*widths)
        x = torch.randn(6, widths[0], dtype=torch.float64)
        y = x.numpy()
        for module in model:
            if isinstance(module, nn.Linear):
                y = y @ module.weight.detach().numpy().T + module.bias.detach().numpy()
            else:
                y = torch.tanh(torch.from_numpy(y)).numpy()
        assert torch.allclose(model(x), torch.from_numpy(y))
        if len(model) > 1:
            try:
                reverse = nn.Sequential(*reversed(model))(x)
            except RuntimeError:
                continue
            assert not torch.allclose(reverse, model(x))


@formula(COUNT)
def check_count():
    for widths in [(3, 3), (7, 4, 2), (1, 5, 6, 2)]:
        P = sum((a + 1) * b for a, b in zip(widths, widths[1:]))
        assert P == sum(p.numel() for p in chain(*widths).parameters())
    shared = nn.Linear(2, 2)
    assert sum(p.numel() for p in nn.Sequential(shared, shared).parameters()) == 6


@check
def check_worked_example():
    model = chain(784, 128, 10)
    stated("100,480", sum(p.numel() for p in model[0].parameters()))
    stated("1,290", sum(p.numel() for p in model[2].parameters()))
    stated("101,770", sum(p.numel() for p in model.parameters()))


@holds(
    "Parameters",
    "Access",
    "Change",
    "Empty",
    "Same in train and eval?",
    "Does a slice copy the layers?",
    "How do you freeze all but the last layer?",
)
def check_container():
    x = torch.randn(2, 3)
    assert nn.Sequential()(x) is x
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    assert model[:2][0] is model[0] and isinstance(model[:2], nn.Sequential)
    assert model[-1] is model[2] and len(model[:2]) == 2
    before, part = model(x), model[:2]
    part(x).sum().backward()
    torch.optim.SGD(part.parameters(), lr=1.0).step()
    assert not torch.equal(before, model(x))
    model[:-1].requires_grad_(False)
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]
    frozen = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    frozen[:-1].requires_grad_(False)
    frozen(torch.randn(9, 2) + 5)
    frozen[:-1].eval()
    assert not frozen[0].training and frozen.train()[0].training
    assert (frozen[0].running_mean > 0).all() and not frozen[0].weight.requires_grad
    model.append(nn.Tanh()).extend([nn.Tanh()])
    model.insert(0, nn.Identity())
    assert [n for n, _ in model.named_parameters()] == ["1.weight", "1.bias", "3.weight", "3.bias"]
    del model[2]
    assert [n for n, _ in model.named_parameters()] == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert not any(part.training for part in model.eval()) and all(part.training for part in model.train())
    nested = nn.Sequential(nn.Sequential(nn.ReLU(), nn.ReLU(), nn.Linear(2, 2)))
    assert "0.2.weight" in nested.state_dict()


@holds("`nn.ModuleList`", "`nn.ModuleDict`", "Python list")
@pitfall('"optimizer got an empty parameter list", or some layers never train')
def check_layers_in_a_list():
    class Net(nn.Module):
        def __init__(self, wrap, with_output):
            super().__init__()
            self.layers = wrap([nn.Linear(2, 2)])
            self.out = nn.Linear(2, 1) if with_output else nn.Identity()

        def forward(self, x):
            return self.out(self.layers(x) if isinstance(self.layers, nn.Sequential) else self.layers[0](x))

    empty = Net(list, False).parameters()
    raises(ValueError, lambda: torch.optim.SGD(empty, lr=1), "optimizer got an empty parameter list")
    for wrap, trains in ((list, False), (nn.ModuleList, True), (lambda layers: nn.Sequential(*layers), True)):
        net = Net(wrap, True)
        before, optimizer = net.layers[0].weight.clone(), torch.optim.SGD(net.parameters(), lr=1)
        net(torch.ones(1, 2)).square().sum().backward()
        optimizer.step()
        assert torch.equal(before, net.layers[0].weight) != trains and ("layers.0.weight" in net.state_dict()) == trains
        assert net.to("meta").layers[0].weight.is_meta == trains
    for wrap, reached in ((list, False), (nn.ModuleList, True)):
        net = Net(wrap, True)
        net.layers.append(nn.BatchNorm1d(2))
        net.layers.append(nn.Dropout())
        assert net.eval().layers[2].training != reached and ("layers.1.running_mean" in net.state_dict()) == reached
    raises(NotImplementedError, lambda: nn.ModuleList([nn.ReLU()])(torch.ones(1)), "forward")
    raises(NotImplementedError, lambda: nn.ModuleDict({"a": nn.ReLU()})(torch.ones(1)), "forward")
    heads = nn.ModuleDict({"age": nn.Linear(2, 1), "kind": nn.Linear(2, 5)})
    choice, plain = nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 4)]), [nn.ReLU()]
    assert heads["kind"](torch.ones(1, 2)).shape == (1, 5) and choice[1](torch.ones(1, 2)).shape == (1, 4)
    assert list(heads.state_dict()) == ["age.weight", "age.bias", "kind.weight", "kind.bias"]
    raises(TypeError, lambda: plain(torch.ones(1)), "not callable")


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pitfall('"list is not a Module subclass"')
def check_arguments():
    layers, x = [nn.Linear(2, 3), nn.ReLU()], torch.ones(1, 2)
    raises(TypeError, lambda: nn.Sequential(layers), "list is not a Module subclass")
    assert nn.Sequential(*layers)(x).shape == (1, 3)
    raises(TypeError, lambda: nn.Sequential(lambda v: v + 1), "is not a Module subclass")
    assert torch.equal(nn.Sequential(Applied(lambda v: v + 1))(x), x + 1)


@holds("own `nn.Module`")
@pitfall("\"linear(): argument 'input' (position 1) must be Tensor, not tuple\"")
def check_tuples():
    x, lstm, linear = torch.randn(4, 1, 2), nn.LSTM(2, 3), nn.Linear(3, 1)
    message = "linear(): argument 'input' (position 1) must be Tensor, not tuple"
    raises(TypeError, lambda: nn.Sequential(lstm, linear)(x), message)
    raises(TypeError, lambda: nn.Sequential(nn.Bilinear(2, 2, 1))(x, x), "positional arguments")

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.pair, self.linear = lstm, nn.Bilinear(2, 2, 1), linear

        def forward(self, x, y):
            return self.linear(self.lstm(x)[0]), self.pair(x, y)

    picked = nn.Sequential(lstm, Applied(lambda output: output[0]), linear)(x)
    assert {name.split(".")[0] for name, _ in Own().named_parameters()} == {"lstm", "pair", "linear"}
    assert picked.shape == (4, 1, 1) and torch.allclose(picked, Own()(x, x)[0])


@pitfall('"mat1 and mat2 shapes cannot be multiplied" between convolution and linear layer')
def check_convolution_before_linear():
    images = torch.randn(1, 3, 8, 8)
    for features in (8, 8 * 6 * 6):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(features, 2))
        raises(RuntimeError, lambda: model(images), "mat1 and mat2 shapes cannot be multiplied")
    assert nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(6, 2))(images).shape == (1, 8, 6, 2)
    assert nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, 2))(images).shape == (1, 2)


@pitfall("Three layers learn as one")
def check_repeated_object():
    one, three = nn.Sequential(*[nn.Linear(2, 2)] * 3), nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    stated("2", len(list(one.parameters())))
    stated("6", len(list(three.parameters())))
    for model, alike in ((one, True), (three, False)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(torch.ones(1, 2)).square().sum().backward()
        optimizer.step()
        assert torch.equal(model[0].weight, model[2].weight) == alike


def named(*layers):
    return nn.Sequential(OrderedDict(layers))


@pitfall('"Missing key(s) in state_dict" after a small change')
def check_keys():
    old = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    new = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    raises(RuntimeError, lambda: new.load_state_dict(old.state_dict()), "Missing key(s) in state_dict")
    whole = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    whole.load_state_dict(old.state_dict())
    whole.insert(1, nn.BatchNorm1d(2))
    assert list(map(type, whole)) == [nn.Linear, nn.BatchNorm1d, nn.Linear]
    assert torch.equal(whole[0].weight, old[0].weight) and torch.equal(whole[2].weight, old[1].weight)
    first, last, more = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    saved = named(("hidden", first), ("out", last)).state_dict()
    activated = named(("hidden", nn.Linear(2, 2)), ("act", nn.ReLU()), ("out", nn.Linear(2, 2)))
    activated.load_state_dict(saved)
    assert torch.equal(activated.out.weight, last.weight)
    longer = named(("hidden", nn.Linear(2, 2)), ("more", more), ("out", nn.Linear(2, 2)))
    raises(RuntimeError, lambda: longer.load_state_dict(saved), "Missing key(s) in state_dict", "more.weight")
    result = longer.load_state_dict(saved, strict=False)
    assert result.missing_keys == ["more.weight", "more.bias"] and not result.unexpected_keys
    assert torch.equal(longer.hidden.weight, first.weight) and torch.equal(longer.out.weight, last.weight)


@holds("Access", "Change")
def check_changes_of_named_and_lazy_modules():
    model = named(("hidden", nn.Linear(2, 2)), ("act", nn.ReLU()), ("out", nn.Linear(2, 2)))
    assert model.act is model[1]
    assert list(model.state_dict()) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    raises(KeyError, lambda: model.insert(1, nn.Tanh()), "2")
    assert len(model.insert(3, nn.Tanh())) == 4
    del model[1]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    lazy = nn.Sequential(nn.LazyLinear(4))
    lazy(torch.randn(3, 5))
    assert lazy[0].weight.shape == (4, 5)


@holds("Why put Sequentials inside a class?")
def check_vgg():
    import torchvision

    vgg = torchvision.models.vgg11(weights=None, init_weights=False)
    assert [n for n, _ in vgg.named_children()] == ["features", "avgpool", "classifier"]
    assert isinstance(vgg.features, nn.Sequential) and isinstance(vgg.classifier, nn.Sequential)
    assert len(inspect.getsource(type(vgg).forward).splitlines()) < 8


@holds("When is `nn.ModuleList` the better choice?", "own `nn.Module`")
def check_residual_loop():
    class Blocks(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for _ in range(3)])

        def forward(self, x):
            for layer in self.layers:
                x = x + layer(x)
            return x

    model, x = Blocks(), torch.randn(4, 3)
    first, second, third = model.layers
    one = x + first(x)
    two = one + second(one)
    assert torch.allclose(model(x), two + third(two)) and not torch.allclose(model(x), nn.Sequential(*model.layers)(x))
    assert len(list(model.parameters())) == 6
