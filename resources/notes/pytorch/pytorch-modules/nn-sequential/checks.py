from collections import OrderedDict

import torch
from torch import nn

from note_checks import check, formula, raises, stated

CHAIN = r"y = f_n\big(\cdots f_2(f_1(x))\big)"
COUNT = r"P = \sum_{l=1}^{L} (d_{l-1} + 1)\, d_l"


def chain(*widths):
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Linear(a, b, dtype=torch.float64), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


@formula(CHAIN)
def check_chain():
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


@check
def check_container():
    x = torch.randn(2, 3)
    assert nn.Sequential()(x) is x
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    assert model[:2][0] is model[0] and isinstance(model[:2], nn.Sequential)
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
    assert not model.eval()[0].training
    nested = nn.Sequential(nn.Sequential(nn.ReLU(), nn.ReLU(), nn.Linear(2, 2)))
    assert "0.2.weight" in nested.state_dict()


@check
def check_lists():
    class Hidden(nn.Module):
        def __init__(self, wrap):
            super().__init__()
            self.layers = wrap([nn.Linear(2, 2)])

    raises(ValueError, lambda: torch.optim.SGD(Hidden(list).parameters(), lr=1), "optimizer got an empty parameter list")
    assert len(list(Hidden(nn.ModuleList).parameters())) == 2
    raises(TypeError, lambda: nn.Sequential([nn.ReLU()]), "list is not a Module subclass")
    raises(TypeError, lambda: nn.Sequential(lambda v: v), "is not a Module subclass")
    raises(NotImplementedError, lambda: nn.ModuleList([nn.ReLU()])(torch.ones(1)), "forward")
    raises(NotImplementedError, lambda: nn.ModuleDict({"a": nn.ReLU()})(torch.ones(1)), "forward")


@check
def check_tuples_and_shapes():
    x = torch.randn(4, 1, 2)
    raises(TypeError, lambda: nn.Sequential(nn.LSTM(2, 3), nn.Linear(3, 1))(x), "linear(): argument 'input' (position 1) must be Tensor, not tuple")
    raises(TypeError, lambda: nn.Sequential(nn.Bilinear(2, 2, 1))(x, x), "positional arguments")
    images = torch.randn(1, 3, 8, 8)
    raises(RuntimeError, lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 2))(images), "mat1 and mat2 shapes cannot be multiplied")
    assert nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(6, 2))(images).shape == (1, 8, 6, 2)
    assert nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, 2))(images).shape == (1, 2)


@check
def check_repeated_object():
    stated("2", len(list(nn.Sequential(*[nn.Linear(2, 2)] * 3).parameters())))
    stated("6", len(list(nn.Sequential(*(nn.Linear(2, 2) for _ in range(3))).parameters())))


@check
def check_keys():
    old = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    new = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    raises(RuntimeError, lambda: new.load_state_dict(old.state_dict()), "Missing key(s) in state_dict")
    named = nn.Sequential(OrderedDict([("hidden", nn.Linear(2, 2)), ("act", nn.ReLU()), ("out", nn.Linear(2, 2))]))
    raises(KeyError, lambda: named.insert(1, nn.Tanh()), "2")
    assert len(named.insert(3, nn.Tanh())) == 4
    longer = nn.Sequential(OrderedDict([("hidden", nn.Linear(2, 2)), ("more", nn.Linear(2, 2)), ("out", nn.Linear(2, 2))]))
    missing = longer.load_state_dict(nn.Sequential(OrderedDict(hidden=nn.Linear(2, 2), out=nn.Linear(2, 2))).state_dict(), strict=False)
    assert missing.missing_keys == ["more.weight", "more.bias"]
    del longer[1]
    assert [name for name, _ in longer.named_children()] == ["0", "1"]
    lazy = nn.Sequential(nn.LazyLinear(4))
    lazy(torch.randn(3, 5))
    assert lazy[0].weight.shape == (4, 5)


@check
def check_vgg_and_residual_loop():
    import torchvision

    vgg = torchvision.models.vgg11(weights=None, init_weights=False)
    assert [n for n, _ in vgg.named_children()] == ["features", "avgpool", "classifier"]
    assert isinstance(vgg.features, nn.Sequential) and isinstance(vgg.classifier, nn.Sequential)
