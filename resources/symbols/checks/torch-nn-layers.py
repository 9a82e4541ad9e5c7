"""The cards of torch.nn's modules, layers and their functional twins, held against the installed library."""

import copy
import itertools
import math
import os
import tempfile
import warnings

import numpy as np
import scipy.signal
import torch
import torch.distributed
import torch.nn.functional as F
from torch import nn
from torch.nn.modules import module as global_hooks

from note_checks import card, quietly, raises

SHAPES = {1: (9,), 2: (7, 6), 3: (5, 6, 4)}
DIMENSIONS = (1, 2, 3)


def symbols(*patterns: str) -> list[str]:
    """`Conv{}d` stands for its one-, two- and three-dimensional form."""
    names: list[str] = []
    for pattern in patterns:
        names += [pattern.replace("{}", str(d)) for d in DIMENSIONS] if "{}" in pattern else [pattern]
    return [f"torch.nn.{name}" for name in names]


def layer(pattern: str, dimension: int):
    return getattr(nn, pattern.replace("{}", str(dimension)))


def function(pattern: str, dimension: int):
    return getattr(F, pattern.replace("{}", str(dimension)))


def same(actual, expected, tolerance=1e-9):
    actual = actual.detach().numpy() if isinstance(actual, torch.Tensor) else np.asarray(actual)
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def warns(kind, work, word: str):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    assert any(issubclass(one.category, kind) and word in str(one.message) for one in caught), "no such warning"
    return result


def batch(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# Modules, containers, parameters


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.registered = nn.Linear(2, 2)
        self.hidden = [nn.Linear(2, 2)]
        self.hidden_too = {"a": nn.Linear(2, 2)}
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("mask", torch.ones(2))
        self.plain = torch.ones(2)

    def forward(self, x):
        return self.registered(x)


@card("torch.nn.Module")
def module_registers_only_its_own_kinds():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == ["weight", "registered.weight", "registered.bias"]
    assert sorted(net.state_dict()) == ["mask", "registered.bias", "registered.weight", "weight"]


@card("torch.nn.Sequential", formula=r"y = f_n(\cdots f_2(f_1(x)))")
def sequential():
    first, second, third = nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)
    x = torch.randn(5, 3)
    hidden = np.tanh(x.numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy())
    same(
        nn.Sequential(first, second, third)(x),
        hidden @ third.weight.detach().numpy().T + third.bias.detach().numpy(),
        1e-5,
    )
    raises(TypeError, lambda: nn.Sequential([first, second]))
    raises(TypeError, lambda: nn.Sequential(nn.LSTM(2, 2), nn.Linear(2, 2))(torch.ones(1, 1, 2)), "tuple")


@card(*symbols("ModuleList", "ModuleDict"))
def module_containers():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(list(layers.parameters())) == 6
    raises(NotImplementedError, lambda: layers(torch.ones(1, 2)))
    named = nn.ModuleDict({"b": nn.Linear(1, 1), "a": nn.ReLU()})
    assert list(named) == ["b", "a"] and len(list(named.parameters())) == 2
    assert list(nn.ModuleDict([("b", nn.ReLU()), ("a", nn.ReLU())])) == ["b", "a"]
    raises(NotImplementedError, lambda: named(torch.ones(1, 1)))
    assert not hasattr(named, "get")
    for key in ("a.b", "keys", "type", "training"):
        raises(KeyError, lambda key=key: nn.ModuleDict({key: nn.ReLU()}))


@card(*symbols("ParameterList", "ParameterDict"))
def parameter_containers():
    values = nn.ParameterList([3, torch.ones(1), nn.Parameter(torch.ones(1))])
    assert isinstance(values[1], nn.Parameter) and values[1].requires_grad and values[0] == 3
    assert list(values.state_dict()) == ["1", "2"]
    raises(RuntimeError, lambda: nn.ParameterList([torch.tensor([1])]))
    assert list(nn.ParameterDict({"b": torch.ones(1), "a": torch.ones(1)})) == ["a", "b"]
    assert list(nn.ParameterDict([("b", torch.ones(1)), ("a", torch.ones(1))])) == ["b", "a"]
    raises(KeyError, lambda: nn.ParameterDict({"a.b": torch.ones(1)}))
    assert isinstance(nn.ParameterDict({"a": torch.ones(1)})["a"], nn.Parameter)


@card(*symbols("Parameter", "parameter.Parameter"))
def parameter():
    value = torch.ones(2)
    weight = nn.Parameter(value)
    assert weight.data_ptr() == value.data_ptr()
    assert not isinstance(weight.double(), nn.Parameter) and not isinstance(weight * 2, nn.Parameter)
    net = nn.Module()
    net.lost = nn.Parameter(torch.ones(2)).double()
    net.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    assert list(net.state_dict()) == ["frozen"] and [name for name, _ in net.named_parameters()] == ["frozen"]


@card(*symbols("Buffer", "parameter.Buffer", "Module.register_buffer"))
def buffer():
    net = nn.Module()
    net.mask = nn.Buffer(torch.ones(2))
    net.codes = nn.Buffer(torch.ones(2), persistent=False)
    net.register_buffer("table", torch.ones(2), persistent=False)
    net.register_buffer("none", None)
    net.plain = torch.ones(2)
    net.double()
    assert net.mask.dtype == net.codes.dtype == net.table.dtype == torch.float64 and net.plain.dtype == torch.float32
    assert list(net.state_dict()) == ["mask"] and not list(net.parameters()) and net.none is None


@card(*symbols("UninitializedParameter", "UninitializedBuffer", "parameter.UninitializedParameter"))
def uninitialized():
    for kind in (nn.UninitializedParameter, nn.UninitializedBuffer):
        raises(RuntimeError, lambda kind=kind: kind().shape)
        raises(ValueError, lambda kind=kind: nn.init.zeros_(kind()))
        value = kind(dtype=torch.float64)
        value.materialize((2, 3))
        assert value.shape == (2, 3) and value.dtype == torch.float64
    assert not nn.UninitializedParameter(requires_grad=False).requires_grad
    assert nn.LazyLinear(2).double()(torch.ones(1, 2).double()).dtype == torch.float64


@card("torch.nn.modules.lazy.LazyModuleMixin")
def lazy():
    model = nn.LazyLinear(3)
    raises(ValueError, lambda: sum(p.numel() for p in model.parameters()))
    raises(ValueError, lambda: nn.init.xavier_uniform_(model.weight))
    model(torch.ones(2, 5))
    assert type(model) is nn.Linear and sum(p.numel() for p in model.parameters()) == 18


@card("torch.nn.Identity", formula="y = x")
def identity():
    x = torch.randn(3, 2)
    y = nn.Identity(54, unused=True)(x)
    assert y is x
    before = x.clone().numpy()
    y.mul_(2)
    same(x, 2 * before)


# Data parallelism


@card(*symbols("DataParallel", "parallel.DataParallel", "parallel.data_parallel"))
def data_parallel():
    model = nn.DataParallel(nn.Linear(2, 2))
    assert list(model.state_dict()) == ["module.weight", "module.bias"]
    raises(RuntimeError, lambda: nn.Linear(2, 2).load_state_dict(model.state_dict()))
    nn.Linear(2, 2).load_state_dict(model.module.state_dict())
    if not torch.cuda.is_available():
        x = torch.ones(1, 2)
        same(model(x), model.module(x))
        raises(RuntimeError, lambda: nn.parallel.data_parallel(model.module, x))


def among_processes(size: int, work) -> list[np.ndarray]:
    """What `work(rank)` returns in each of `size` processes that form a group."""
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(size):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    torch.distributed.init_process_group(
                        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=size
                    )
                    np.save(f"{folder}/{rank}.npy", work(rank))
                    torch.distributed.barrier()
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0, "a process of the group failed"
        return [np.load(f"{folder}/{rank}.npy") for rank in range(size)]


class HalfUsed(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        return self.used(x)


@card("torch.nn.parallel.DistributedDataParallel", formula=r"g = \frac{1}{W}\sum_{r=1}^{W} g_r")
def distributed_data_parallel():
    model, data = nn.Linear(3, 1), torch.randn(2, 4, 3)
    own = []
    for rank in range(2):
        alone = copy.deepcopy(model)
        alone(data[rank]).square().sum().backward()
        own.append(alone.weight.grad.numpy())

    def averaged(rank: int) -> np.ndarray:
        wrapped = nn.parallel.DistributedDataParallel(model)
        assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
        wrapped(data[rank]).square().sum().backward()
        return model.weight.grad.numpy()

    for gradient in among_processes(2, averaged):
        same(gradient, (own[0] + own[1]) / 2, 1e-5)

    def unused(_: int) -> np.ndarray:
        def twice(**options):
            wrapped = nn.parallel.DistributedDataParallel(HalfUsed(), **options)
            for _ in range(2):
                wrapped(torch.ones(1, 2)).sum().backward()

        raises(RuntimeError, twice, "Expected to have finished reduction", "find_unused_parameters=True")
        twice(find_unused_parameters=True)
        warns(
            FutureWarning,
            lambda: nn.parallel.DistributedDataParallel(nn.Linear(1, 1), broadcast_buffers=True),
            "forward_sync_buffers",
        )
        return np.zeros(1)

    among_processes(1, unused)


# Methods of Module


@card(*symbols("Module.train", "Module.eval"))
def train_and_eval():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2))
    assert model.eval() is model and not any(m.training for m in model.modules())
    x = torch.randn(4, 2)
    assert model(x).requires_grad and torch.equal(model(x), model(x))
    assert model.train() is model and model[2].training
    model.train(False)
    assert not model[1].training


@card(*symbols("Module.add_module", "Module.register_module"))
def add_module():
    model = nn.Sequential(nn.Linear(1, 1))
    model.add_module("0", nn.ReLU())
    model.register_module("next", nn.Tanh())
    assert [type(m) for m in model] == [nn.ReLU, nn.Tanh] and isinstance(model.next, nn.Tanh)
    raises(KeyError, lambda: model.add_module("a.b", nn.ReLU()))
    raises(KeyError, lambda: model.add_module("training", nn.ReLU()))


@card("torch.nn.Module.state_dict")
def state_dict():
    model = nn.Linear(1, 1)
    best, kept = model.state_dict(), copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model.weight.fill_(7.0)
    assert best["weight"].item() == 7.0 != kept["weight"].item()
    assert not best["weight"].requires_grad and model.state_dict(keep_vars=True)["weight"] is model.weight
    assert list(model.state_dict(prefix="a.")) == ["a.weight", "a.bias"]
    target: dict = {}
    assert model.state_dict(destination=target) is target and len(target) == 2


@card("torch.nn.Module.load_state_dict")
def load_state_dict():
    state = nn.Linear(2, 2).state_dict()
    raises(RuntimeError, lambda: nn.Linear(2, 2, bias=False).load_state_dict(state), "Unexpected key")
    assert nn.Linear(2, 2, bias=False).load_state_dict(state, strict=False).unexpected_keys == ["bias"]
    assert nn.Linear(2, 2).load_state_dict({"x": torch.ones(1)}, strict=False).missing_keys == ["weight", "bias"]
    raises(RuntimeError, lambda: nn.Linear(2, 3).load_state_dict(state, strict=False), "size mismatch")
    model = nn.Linear(2, 2)
    weight = model.weight
    doubles = {name: value.double() for name, value in state.items()}
    model.load_state_dict(doubles)
    assert model.weight is weight and weight.dtype == torch.float32
    model.load_state_dict(doubles, assign=True)
    assert model.weight is not weight and model.weight.dtype == torch.float64


@card(*symbols("Module.forward", "Module.register_forward_hook"))
def forward_and_its_hook():
    model, x = nn.Linear(2, 2), torch.ones(1, 2)
    handle = model.register_forward_hook(lambda module, args, output: output * 0 + 7)
    assert torch.equal(model(x), torch.full((1, 2), 7.0)) and not torch.equal(model.forward(x), model(x))
    handle.remove()
    assert torch.equal(model(x), model.forward(x))
    raises(NotImplementedError, lambda: nn.Module()(x), 'missing the required "forward" function')

    seen, order = [], []
    model.register_forward_hook(
        lambda module, args, kwargs, output: seen.append((len(args), list(kwargs))), with_kwargs=True
    )
    model.register_forward_hook(lambda *_: order.append("later"))
    model.register_forward_hook(lambda *_: order.append("first"), prepend=True)
    model(input=x)
    assert seen == [(0, ["input"])] and order == ["first", "later"]

    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    broken, outputs = Broken(), []
    broken.register_forward_hook(lambda module, args, output: outputs.append(output), always_call=True)
    raises(ValueError, lambda: broken(x))
    assert outputs == [None]


@card("torch.nn.Module.register_forward_pre_hook")
def forward_pre_hook():
    model, seen = nn.Bilinear(2, 2, 1), []
    model.register_forward_pre_hook(lambda module, args: seen.append(args))
    model(torch.ones(1, 2), input2=torch.ones(1, 2))
    assert isinstance(seen[0], tuple) and len(seen[0]) == 1
    model.register_forward_pre_hook(lambda module, args, kwargs: ((args[0] * 0,), kwargs), with_kwargs=True)
    same(model(torch.ones(1, 2), input2=torch.ones(1, 2))[0], model.bias)
    linear = nn.Linear(2, 2)
    linear.register_forward_pre_hook(lambda module, args: args[0] * 0)
    same(linear(torch.ones(1, 2))[0], linear.bias)


def inplace_net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))


@card(*symbols("Module.register_full_backward_hook", "Module.register_full_backward_pre_hook"))
def full_backward_hooks():
    net = inplace_net()
    net[0].register_full_backward_hook(lambda module, grad_input, grad_output: None)
    raises(RuntimeError, lambda: net(torch.ones(1, 2)), "is a view and is being modified inplace")

    linear, x, seen = nn.Linear(1, 1), torch.ones(1, 1, requires_grad=True), []
    linear.register_full_backward_hook(
        lambda module, grad_input, grad_output: (seen.append((grad_input, grad_output)), (grad_input[0] * 0,))[1]
    )
    linear(x).sum().backward()
    assert all(isinstance(part, tuple) for part in seen[0]) and x.grad.item() == 0 and linear.weight.grad.item() == 1

    linear, x = nn.Linear(1, 1), torch.ones(1, 1, requires_grad=True)
    linear.register_full_backward_pre_hook(lambda module, grad_output: (grad_output[0] * 10,))
    linear(x).sum().backward()
    assert linear.weight.grad.item() == 10
    same(x.grad, 10 * linear.weight)


@card("torch.nn.Module.register_backward_hook")
def old_backward_hook():
    block, seen = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)), []
    block.register_backward_hook(
        lambda module, grad_input, grad_output: seen.append([tuple(g.shape) for g in grad_input])
    )
    x = torch.ones(5, 2, requires_grad=True)
    warns(FutureWarning, lambda: block(x).sum().backward(), "register_full_backward_hook")
    assert (5, 2) not in seen[0] and (5, 3) in seen[0]
    raises(RuntimeError, lambda: block.register_full_backward_hook(lambda *_: None), "Cannot use both")
    assert "deprecated" in nn.Module.register_backward_hook.__doc__


@card(
    *symbols(
        "modules.module.register_module_forward_hook",
        "modules.module.register_module_full_backward_hook",
        "modules.module.register_module_full_backward_pre_hook",
    )
)
def hooks_of_all_modules():
    x, seen = torch.ones(1, 2), []
    handle = global_hooks.register_module_forward_hook(lambda module, args, output: seen.append(type(module).__name__))
    nn.Sequential(nn.Linear(2, 2), nn.ReLU())(x)
    handle.remove()
    assert seen == ["Linear", "ReLU", "Sequential"]
    linear = nn.Linear(2, 2)
    handle = global_hooks.register_module_forward_hook(lambda module, args, output: output * 0)
    assert not linear(x).any()
    handle.remove()
    handle = global_hooks.register_module_forward_pre_hook(lambda module, args: args[0] * 0)
    same(linear(x)[0], linear.bias)
    handle.remove()
    for register in (
        global_hooks.register_module_full_backward_hook,
        global_hooks.register_module_full_backward_pre_hook,
    ):
        handle = register(lambda *_: None)
        raises(RuntimeError, lambda: inplace_net()(x), "is a view and is being modified inplace")
        handle.remove()


@card("torch.nn.modules.module.register_module_backward_hook")
def old_backward_hook_of_all_modules():
    handle = global_hooks.register_module_backward_hook(lambda *_: None)
    raises(RuntimeError, lambda: global_hooks.register_module_full_backward_hook(lambda *_: None), "Cannot use both")
    handle.remove()
    assert "deprecated" in global_hooks.register_module_backward_hook.__doc__


@card("torch.nn.modules.module.register_module_parameter_registration_hook")
def registration_hooks():
    seen = []
    handles = [
        global_hooks.register_module_parameter_registration_hook(
            lambda module, name, value: seen.append((name, name in module._parameters))
        ),
        global_hooks.register_module_buffer_registration_hook(
            lambda module, name, value: seen.append((name, name in module._buffers))
        ),
        global_hooks.register_module_module_registration_hook(
            lambda module, name, value: seen.append((name, name in module._modules))
        ),
    ]
    model = nn.Module()
    model.weight, model.child = nn.Parameter(torch.ones(1)), nn.ReLU()
    model.register_buffer("mask", torch.ones(1))
    for handle in handles:
        handle.remove()
    assert seen == [("weight", False), ("child", False), ("mask", False)]
    handle = global_hooks.register_module_parameter_registration_hook(
        lambda module, name, value: nn.Parameter(torch.full_like(value, 5))
    )
    linear, plain = nn.Linear(1, 1), nn.Module()
    plain.weight = nn.Parameter(torch.ones(1))
    handle.remove()
    assert plain.weight.item() == 5 and linear.weight.item() != 5


@card(*symbols("Module.parameters", "Module.named_parameters"))
def parameters():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model[0].bias.requires_grad_(False)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(list(model.parameters())) == 3 and len(model.state_dict()) == 4
    assert len(list(model.named_parameters(remove_duplicate=False))) == 4 and not list(model.parameters(recurse=False))
    used = model.parameters()
    torch.optim.SGD(used, lr=0.1)
    assert list(used) == []
    model(torch.ones(1, 2)).sum().backward()
    before = model[0].weight.grad.clone()
    warns(UserWarning, lambda: nn.utils.clip_grad_norm_(used, 1e-3), "no gradient clipping")
    assert torch.equal(before, model[0].weight.grad)


@card(*symbols("Module.buffers", "Module.named_buffers"))
def buffers():
    model = nn.BatchNorm1d(2)
    model.register_buffer("codes", torch.ones(1), persistent=False)
    assert [name for name, _ in model.named_buffers()] == [
        "running_mean",
        "running_var",
        "num_batches_tracked",
        "codes",
    ]
    assert "codes" not in model.state_dict() and len(list(model.buffers())) == 4


@card(*symbols("Module.children", "Module.named_children", "Module.modules", "Module.named_modules"))
def children_and_modules():
    shared = nn.Linear(1, 1)
    model = nn.Sequential(shared, nn.Sequential(nn.ReLU(), shared))
    assert [name for name, _ in model.named_children()] == ["0", "1"] and len(list(model.children())) == 2
    assert [name for name, _ in model.named_modules()] == ["", "0", "1", "1.0"]
    assert next(model.modules()) is model and len(list(model.modules())) == 4
    assert [name for name, _ in model.named_modules(remove_duplicate=False)] == ["", "0", "1", "1.0", "1.1"]


@card("torch.nn.Module.apply")
def apply():
    order = []
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert model.apply(lambda module: order.append(module)) is model
    assert order == [model[0], model[1][0], model[1], model]


@card(*symbols("Module.to", "Module.half", "Module.float"))
def conversion():
    net = Net()
    weight = net.registered.weight
    assert net.to(torch.float64) is net and net.registered.weight is weight and weight.dtype == torch.float64
    assert net.mask.dtype == torch.float64 and net.plain.dtype == torch.float32
    x = torch.ones(1)
    x.to(torch.float64)
    assert x.dtype == torch.float32
    norm = nn.BatchNorm1d(2).half()
    assert norm.running_mean.dtype == torch.float16 and norm.num_batches_tracked.dtype == torch.int64
    assert nn.BatchNorm1d(2).double().num_batches_tracked.dtype == torch.int64
    assert nn.Linear(1, 1).bfloat16().weight.dtype == torch.bfloat16
    raises(RuntimeError, lambda: nn.Linear(2, 2).half()(torch.ones(1, 2)), "same dtype")
    raises(RuntimeError, lambda: nn.Linear(2, 2)(torch.from_numpy(np.ones((1, 2)))), "same dtype")
    assert torch.finfo(torch.float16).max == 65504 and torch.tensor(1e-8).half().item() == 0
    raises(TypeError, lambda: nn.Linear(1, 1).to(torch.int32))


@card(*symbols("Module.cuda", "Module.cpu"))
def to_the_gpu():
    model = nn.Linear(1, 1)
    assert model.cpu() is model
    if not torch.cuda.is_available():
        raises((AssertionError, RuntimeError), model.cuda, "CUDA")


@card(*symbols("Module.zero_grad", "Module.requires_grad_"))
def gradients():
    model = nn.Linear(1, 1)
    for _ in range(2):
        model(torch.ones(1, 1)).sum().backward()
    assert model.weight.grad.item() == 2
    model.zero_grad()
    assert model.weight.grad is None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    before = model.weight.item()
    optimizer.step()
    assert model.weight.item() == before
    model(torch.ones(1, 1)).sum().backward()
    model.zero_grad(set_to_none=False)
    optimizer.step()
    assert model.weight.grad.item() == 0 and model.weight.item() != before
    frozen = nn.BatchNorm1d(1)
    assert frozen.requires_grad_(False) is frozen and not any(p.requires_grad for p in frozen.parameters())
    frozen(torch.randn(4, 1))
    assert frozen.running_mean.item() != 0
    statistics = frozen.running_mean.item()
    frozen.eval()(torch.randn(4, 1))
    assert frozen.running_mean.item() == statistics


@card("torch.nn.Module.register_parameter")
def register_parameter():
    model = nn.Module()
    model.register_parameter("weight", nn.Parameter(torch.ones(1)))
    model.register_parameter("bias", None)
    assert model.bias is None and list(model.state_dict()) == ["weight"]
    raises(TypeError, lambda: model.register_parameter("x", torch.ones(1)))
    raises(TypeError, lambda: model.register_parameter("x", nn.Parameter(torch.ones(1)) * 2))


# Convolutions


def cross_correlation(x, w, b, s, d, p, groups=1):
    """y_o[i] = b_o + sum over c, u of w_o,c[u] x_c[s i + d u - p], on every axis."""
    spatial, kernel = x.shape[2:], w.shape[2:]
    padded = np.pad(x, [(0, 0), (0, 0)] + [(p, p)] * len(spatial))
    size = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k in zip(spatial, kernel)]
    y = np.zeros((x.shape[0], w.shape[0], *size))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for o in range(w.shape[0]):
        first = (o // per_out) * per_in
        for c in range(per_in):
            for u in np.ndindex(*kernel):
                places = tuple(slice(d * a, d * a + s * (n - 1) + 1, s) for a, n in zip(u, size))
                y[:, o] += w[(o, c, *u)] * padded[(slice(None), first + c, *places)]
        y[:, o] += b[o]
    return y


def transposed_convolution(x, w, b, s, d, p, extra):
    """y_o[j] = b_o + sum over c and all i, u with s i + d u - p = j of w_c,o[u] x_c[i]."""
    spatial, kernel = x.shape[2:], w.shape[2:]
    size = [(n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n, k in zip(spatial, kernel)]
    y = np.tile(b.reshape(1, -1, *[1] * len(size)), (x.shape[0], 1, *size))
    for i in np.ndindex(*spatial):
        for u in np.ndindex(*kernel):
            j = tuple(s * a + d * v - p for a, v in zip(i, u))
            if all(0 <= a < n for a, n in zip(j, size)):
                y[(slice(None), slice(None), *j)] += (
                    x[(slice(None), slice(None), *i)] @ w[(slice(None), slice(None), *u)]
                )
    return y


CONVOLUTION = r"y_o[i] = b_o + \sum_{c,\,u} w_{o,c}[u]\, x_c[s\,i + d\,u - p]"
TRANSPOSED = r"y_o[j] = b_o + \sum_{c}\ \sum_{s\,i + d\,u - p\, =\, j} w_{c,o}[u]\, x_c[i]"


@card(*symbols("Conv{}d", "LazyConv{}d", "functional.conv{}d"), formula=CONVOLUTION)
def convolutions():
    settings = [(1, 1, 0, 1), (2, 1, 1, 1), (1, 2, 2, 1), (2, 1, 1, 2)]
    for dimension, (s, d, p, groups) in itertools.product(DIMENSIONS, settings):
        x = batch(2, 4, *SHAPES[dimension])
        options = {"stride": s, "dilation": d, "padding": p, "groups": groups}
        conv = layer("Conv{}d", dimension)(4, 6, 3, dtype=torch.float64, **options)
        expected = cross_correlation(
            x.numpy(), conv.weight.detach().numpy(), conv.bias.detach().numpy(), s, d, p, groups
        )
        same(conv(x), expected)
        same(function("conv{}d", dimension)(x, conv.weight, conv.bias, **options), expected)
        assert conv.weight.shape == (6, 4 // groups, *[3] * dimension)
        size = [(n + 2 * p - d * 2 - 1) // s + 1 for n in SHAPES[dimension]]
        assert conv(x).shape == (2, 6, *size)
        lazy_conv = layer("LazyConv{}d", dimension)(6, 3, dtype=torch.float64, **options)
        raises(ValueError, lambda: lazy_conv.weight.numel())
        assert lazy_conv(x).shape == conv(x).shape and type(lazy_conv) is type(conv)
    assert nn.Conv2d(3, 64, 7, 2, 3)(torch.ones(1, 3, 224, 224)).shape == (1, 64, 112, 112)


@card(*symbols("Conv{}d", "functional.conv{}d"))
def convolution_traps():
    x = batch(2, 3, 8, 8)
    raises(ValueError, lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "strided")
    assert nn.Conv2d(3, 4, 3, 2, 1, dtype=torch.float64)(x).shape == (2, 4, 4, 4)
    assert nn.Conv2d(3, 4, 3, padding="same", dtype=torch.float64)(x).shape == (2, 4, 8, 8)
    assert nn.Conv2d(3, 4, 5, padding=2, dtype=torch.float64)(x).shape == (2, 4, 8, 8)
    video = torch.ones(2, 16, 3, 8, 8)
    raises(RuntimeError, lambda: nn.Conv3d(3, 4, 3)(video), "expected input")
    assert nn.Conv3d(3, 4, 3, padding=1)(video.permute(0, 2, 1, 3, 4)).shape == (2, 4, 16, 8, 8)
    blur = torch.full((3, 3), 1 / 9, dtype=torch.float64)
    raises(RuntimeError, lambda: F.conv2d(x, blur))
    depthwise = F.conv2d(x, blur.expand(3, 1, 3, 3), groups=3)
    same(depthwise, F.avg_pool2d(x, 3, 1))
    cube, kernel = batch(5, 6, 4), batch(3, 3, 3)
    y = F.conv3d(cube[None, None], kernel[None, None])[0, 0]
    same(y, scipy.signal.convolve(cube.numpy(), kernel.numpy()[::-1, ::-1, ::-1], "valid"))
    assert not np.allclose(y.numpy(), scipy.signal.convolve(cube.numpy(), kernel.numpy(), "valid"))
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False, dtype=torch.float64), nn.BatchNorm2d(4, dtype=torch.float64))
    biased = copy.deepcopy(plain)
    biased[0].bias = nn.Parameter(batch(4))
    same(plain(x), biased(x))


@card(*symbols("ConvTranspose{}d", "LazyConvTranspose{}d", "functional.conv_transpose{}d"), formula=TRANSPOSED)
def transposed_convolutions():
    for dimension, (s, d, p, extra) in itertools.product(DIMENSIONS, [(1, 1, 0, 0), (2, 1, 1, 1), (2, 2, 1, 0)]):
        x = batch(2, 2, *[n // 2 + 1 for n in SHAPES[dimension]])
        options = {"stride": s, "dilation": d, "padding": p, "output_padding": extra}
        conv = layer("ConvTranspose{}d", dimension)(2, 3, 3, dtype=torch.float64, **options)
        expected = transposed_convolution(
            x.numpy(), conv.weight.detach().numpy(), conv.bias.detach().numpy(), s, d, p, extra
        )
        same(conv(x), expected)
        same(function("conv_transpose{}d", dimension)(x, conv.weight, conv.bias, **options), expected)
        lazy_conv = layer("LazyConvTranspose{}d", dimension)(3, 3, dtype=torch.float64, **options)
        raises(ValueError, lambda: lazy_conv.weight.numel())
        assert lazy_conv(x).shape == expected.shape and type(lazy_conv) is type(conv)
    seven = torch.ones(1, 3, 7, 7)
    assert nn.ConvTranspose2d(3, 4, 4, 2, 1)(seven).shape == (1, 4, 14, 14)
    assert nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1)(seven).shape == (1, 4, 14, 14)
    raises(
        RuntimeError,
        lambda: nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=2)(seven),
        "output padding must be smaller",
    )
    raises(ValueError, lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"))
    assert nn.ConvTranspose2d(3, 4, 3, groups=1).weight.shape == (3, 4, 3, 3)
    x, w = batch(1, 3, 8, 8).requires_grad_(), batch(4, 3, 3, 3)
    y = F.conv2d(x, w, stride=2, padding=1)
    g = batch(*y.shape)
    y.backward(g)
    same(x.grad, F.conv_transpose2d(g, w, stride=2, padding=1, output_padding=1))


@card(
    *symbols("Unfold", "functional.unfold"),
    formula=r"L = \prod_{a} \left(\left\lfloor \frac{n_a + 2p - d(k-1) - 1}{s} \right\rfloor + 1\right)",
)
def unfold():
    x = batch(2, 3, 7, 9)
    for k, d, p, s in [(3, 1, 0, 1), (2, 2, 1, 2), (3, 1, 1, 3)]:
        count = math.prod((n + 2 * p - d * (k - 1) - 1) // s + 1 for n in (7, 9))
        columns = nn.Unfold(k, d, p, s)(x)
        assert columns.shape == (2, 3 * k * k, count)
        same(columns, F.unfold(x, k, d, p, s))
    columns = F.unfold(x, 3)
    same(columns.view(2, 3, 3, 3, -1)[..., 0], x[:, :, :3, :3])
    w = batch(4, 3, 3, 3)
    same((w.view(4, -1) @ columns).view(2, 4, 5, 7), F.conv2d(x, w))
    raises(RuntimeError, lambda: F.unfold(batch(1, 2, 3, 4, 5), 2))


@card(
    *symbols("Fold", "functional.fold"),
    formula=r"\mathrm{fold}(\mathrm{unfold}(x)) = \mathrm{fold}(\mathrm{unfold}(1)) \odot x",
)
def fold():
    x = batch(2, 3, 4, 5)

    def back(image):
        return F.fold(F.unfold(image, 2), (4, 5), 2)

    count = np.zeros((4, 5))
    for i, j, u, v in np.ndindex(3, 4, 2, 2):
        count[i + u, j + v] += 1
    same(back(torch.ones_like(x)), np.broadcast_to(count, x.shape))
    same(back(x), count * x.numpy())
    same(nn.Fold((4, 5), 2)(nn.Unfold(2)(x)) / back(torch.ones_like(x)), x)


# Pooling


def windows(x, k, s, d=1):
    """The values x[s i + d u] as an array with the window's places last; x is already padded."""
    spatial = x.shape[2:]
    size = [(n - d * (k - 1) - 1) // s + 1 for n in spatial]
    parts = []
    for u in np.ndindex(*[k] * len(spatial)):
        places = tuple(slice(d * a, d * a + s * (n - 1) + 1, s) for a, n in zip(u, size))
        parts.append(x[(slice(None), slice(None), *places)])
    return np.stack(parts, -1)


def padded(x: torch.Tensor, p: int, value: float) -> np.ndarray:
    return np.pad(x.numpy(), [(0, 0), (0, 0)] + [(p, p)] * (x.ndim - 2), constant_values=value)


@card(*symbols("MaxPool{}d", "functional.max_pool{}d"), formula=r"y[i] = \max_{0 \le u < k} x[s\,i + d\,u - p]")
def max_pooling():
    for dimension, (k, s, d, p) in itertools.product(DIMENSIONS, [(2, 2, 1, 0), (3, 2, 1, 1), (2, 1, 2, 1)]):
        x = batch(2, 3, *SHAPES[dimension])
        expected = windows(padded(x, p, -np.inf), k, s, d).max(-1)
        same(layer("MaxPool{}d", dimension)(k, s, p, d)(x), expected)
        same(function("max_pool{}d", dimension)(x, k, s, p, d), expected)
        assert expected.shape[2:] == tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n in SHAPES[dimension])
    assert nn.MaxPool2d(3).stride == 3 and nn.Conv2d(1, 1, 3).stride == (1, 1)
    same(F.max_pool1d(-torch.ones(1, 1, 4), 3, 1, 1), -torch.ones(1, 1, 4))
    raises(RuntimeError, lambda: nn.MaxPool2d(3, padding=2)(batch(1, 1, 8, 8)), "at most half")
    assert F.max_pool1d(batch(1, 1, 7), 2, ceil_mode=True).shape == (1, 1, 4) and F.max_pool1d(
        batch(1, 1, 7), 2
    ).shape == (1, 1, 3)


@card(*symbols("AvgPool{}d", "functional.avg_pool{}d"), formula=r"y[i] = \frac{1}{k}\sum_{0 \le u < k} x[s\,i + u - p]")
def average_pooling():
    for dimension, (k, s, p) in itertools.product(DIMENSIONS, [(2, 2, 0), (3, 2, 1), (3, 1, 1)]):
        x = batch(2, 3, *SHAPES[dimension])
        expected = windows(padded(x, p, 0), k, s).mean(-1)
        same(layer("AvgPool{}d", dimension)(k, s, p)(x), expected)
        same(function("avg_pool{}d", dimension)(x, k, s, p), expected)
        assert expected.shape[2:] == tuple((n + 2 * p - k) // s + 1 for n in SHAPES[dimension])
    ones = torch.ones(1, 1, 4)
    same(F.avg_pool1d(ones, 3, 1, 1), [[[2 / 3, 1, 1, 2 / 3]]], 1e-6)
    same(F.avg_pool1d(ones, 3, 1, 1, count_include_pad=False), ones)
    same(F.avg_pool2d(torch.ones(1, 1, 2, 2), 2, divisor_override=1), [[[[4.0]]]])
    assert nn.AvgPool1d(2).stride == (2,)
    raises(RuntimeError, lambda: F.avg_pool1d(ones, 3, 1, 2), "half")


@card(
    *symbols("LPPool{}d", "functional.lp_pool{}d"), formula=r"y[i] = \Big(\sum_{0 \le u < k} x[s\,i + u]^{p}\Big)^{1/p}"
)
def power_pooling():
    for dimension, (power, k, s) in itertools.product(DIMENSIONS, [(1, 2, 2), (2, 2, 1), (3, 2, 2), (1.5, 2, 2)]):
        x = batch(2, 3, *SHAPES[dimension]).abs()
        expected = (windows(x.numpy(), k, s) ** power).sum(-1) ** (1 / power)
        same(layer("LPPool{}d", dimension)(power, k, s)(x), expected)
        same(function("lp_pool{}d", dimension)(x, power, k, s), expected)
    x = torch.tensor([[[-1.0, 2.0, -3.0, 0.5]]])
    same(F.lp_pool1d(x, 1, 2), [[[1.0, -2.5]]])
    same(F.lp_pool1d(x, 2, 2), [[[5**0.5, 9.25**0.5]]], 1e-6)
    assert F.lp_pool1d(x, 1.5, 2).isnan().all() and F.lp_pool1d(x, 3, 2).isnan().tolist() == [[[False, True]]]
    same(F.lp_pool1d(x, math.inf, 2), [[[2.0, 3.0]]])


@card(
    *symbols(
        "FractionalMaxPool2d",
        "FractionalMaxPool3d",
        "functional.fractional_max_pool2d",
        "functional.fractional_max_pool3d",
    ),
    formula=r"a_i = \lfloor \alpha (i+u) \rfloor - \lfloor \alpha u \rfloor,\quad \alpha = \frac{n-k}{m-1},\quad y[i] = \max x[a_i : a_i + k]",
)
def fractional_max_pooling():
    k, m = 2, 4
    for dimension, name in ((2, "fractional_max_pool2d"), (3, "fractional_max_pool3d")):
        n = 9 if dimension == 2 else 7
        x, random = batch(1, 1, *[n] * dimension), torch.rand(1, 1, dimension, dtype=torch.float64)
        starts = []
        for u in random[0, 0].tolist():
            alpha = (n - k) / (m - 1)
            starts.append([math.floor(alpha * (i + u)) - math.floor(alpha * u) for i in range(m)])
            assert starts[-1][0] == 0
        result = getattr(F, name)(x, k, output_size=m, _random_samples=random)
        assert result.shape == (1, 1, *[m] * dimension)
        if dimension == 2:
            starts.reverse()  # there the first sample belongs to the width
        expected = np.zeros([m] * dimension)
        for place in np.ndindex(*expected.shape):
            # the last window of an axis always ends at the border
            corner = [n - k if i == m - 1 else axis[i] for i, axis in zip(place, starts)]
            expected[place] = x[0, 0].numpy()[tuple(slice(a, a + k) for a in corner)].max()
        same(result[0, 0], expected)
    model, x = nn.FractionalMaxPool2d(2, output_size=4).eval(), batch(1, 1, 9, 9)
    assert len({tuple(model(x).flatten().tolist()) for _ in range(20)}) > 1
    raises(ValueError, lambda: nn.FractionalMaxPool2d(2, output_size=3, output_ratio=0.5), "only one of")
    raises(ValueError, lambda: nn.FractionalMaxPool2d(2))
    assert nn.FractionalMaxPool2d(2, output_ratio=0.5)(batch(1, 1, 8, 8)).shape == (1, 1, 4, 4)


def adaptive(x, m, reduce):
    spatial = x.shape[2:]
    y = np.zeros((*x.shape[:2], *[m] * len(spatial)))
    for place in np.ndindex(*[m] * len(spatial)):
        cut = tuple(slice(math.floor(i * n / m), math.ceil((i + 1) * n / m)) for i, n in zip(place, spatial))
        part = x[(slice(None), slice(None), *cut)]
        y[(slice(None), slice(None), *place)] = reduce(part.reshape(*x.shape[:2], -1), -1)
    return y


@card(
    *symbols("AdaptiveAvgPool{}d", "functional.adaptive_avg_pool{}d"),
    formula=r"y[i] = \mathrm{mean}\; x\big[\lfloor i\,n/m \rfloor : \lceil (i+1)\,n/m \rceil\big]",
)
def adaptive_average_pooling():
    for dimension, m in itertools.product(DIMENSIONS, (1, 2, 4, 8)):
        x = batch(2, 3, *SHAPES[dimension])
        same(layer("AdaptiveAvgPool{}d", dimension)(m)(x), adaptive(x.numpy(), m, np.mean))
        same(function("adaptive_avg_pool{}d", dimension)(x, m), adaptive(x.numpy(), m, np.mean))
    four = torch.arange(4.0)[None, None]
    same(F.adaptive_avg_pool1d(four, 6), [[[0, 0.5, 1, 2, 2.5, 3]]])
    same(F.adaptive_avg_pool1d(four, 3), [[[0.5, 1.5, 2.5]]])
    same(F.adaptive_avg_pool1d(four, 8), four.repeat_interleave(2, -1))
    assert nn.AdaptiveAvgPool2d((None, 3))(batch(1, 2, 5, 7)).shape == (1, 2, 5, 3)
    pooled = F.adaptive_avg_pool2d(batch(2, 3, 5, 7), 1)
    assert pooled.shape == (2, 3, 1, 1)
    raises(RuntimeError, lambda: nn.Linear(3, 4).double()(pooled))
    assert nn.Linear(3, 4).double()(pooled.flatten(1)).shape == (2, 4)


@card(
    *symbols("AdaptiveMaxPool{}d", "functional.adaptive_max_pool{}d"),
    formula=r"y[i] = \max\; x\big[\lfloor i\,n/m \rfloor : \lceil (i+1)\,n/m \rceil\big]",
)
def adaptive_max_pooling():
    for dimension, m in itertools.product(DIMENSIONS, (1, 2, 4, 8)):
        x = batch(2, 3, *SHAPES[dimension])
        same(layer("AdaptiveMaxPool{}d", dimension)(m)(x), adaptive(x.numpy(), m, np.max))
        same(function("adaptive_max_pool{}d", dimension)(x, m), adaptive(x.numpy(), m, np.max))
    same(F.adaptive_max_pool1d(torch.tensor([[[0.0, 9.0, 0.0, 0.0]]]), 3), [[[9.0, 9.0, 0.0]]])
    assert len(F.adaptive_max_pool1d(batch(1, 1, 4), 2, return_indices=True)) == 2


@card(*symbols("MaxUnpool{}d", "functional.max_unpool{}d"), formula=r"y[\mathrm{indices}_j] = x_j")
def max_unpooling():
    for dimension in DIMENSIONS:
        x = batch(2, 3, *[2 * (n // 2) for n in SHAPES[dimension]])
        pooled, indices = function("max_pool{}d", dimension)(x, 2, return_indices=True)
        expected = np.zeros((2, 3, x[0, 0].numel()))
        for n, c in np.ndindex(2, 3):
            expected[n, c, indices[n, c].flatten().numpy()] = pooled[n, c].flatten().numpy()
        same(layer("MaxUnpool{}d", dimension)(2)(pooled, indices), expected.reshape(x.shape))
        same(function("max_unpool{}d", dimension)(pooled, indices, 2), expected.reshape(x.shape))
    for size in (4, 5):
        pooled, indices = F.max_pool1d(batch(1, 1, size), 2, return_indices=True)
        assert pooled.shape[-1] == 2 and F.max_unpool1d(pooled, indices, 2).shape[-1] == 4
        assert F.max_unpool1d(pooled, indices, 2, output_size=(1, 1, size)).shape[-1] == size
    pooled, indices = F.max_pool1d(batch(1, 1, 9), 3, 2, 1, return_indices=True)
    assert F.max_unpool1d(pooled, indices, 3, 2, 1).shape[-1] == (pooled.shape[-1] - 1) * 2 - 2 + 3


# Padding

RULES = {
    "ZeroPad": lambda x, i, n: x[i] if 0 <= i < n else 0.0,
    "ConstantPad": lambda x, i, n: 2.5 + (0 <= i < n) * (x[min(max(i, 0), n - 1)] - 2.5),
    "ReflectionPad": lambda x, i, n: x[(n - 1) - abs((n - 1) - abs(i))],
    "ReplicationPad": lambda x, i, n: x[min(max(i, 0), n - 1)],
    "CircularPad": lambda x, i, n: x[i % n],
}


def pad_by_rule(x: np.ndarray, rule, sizes) -> np.ndarray:
    for axis, (before, after) in zip(range(x.ndim - 1, 1, -1), zip(sizes[::2], sizes[1::2])):
        n = x.shape[axis]
        x = np.apply_along_axis(
            lambda row: np.array([rule(row, i - before, n) for i in range(n + before + after)]), axis, x
        )
    return x


def padding_layers(stem: str):
    values = (2.5,) if stem == "ConstantPad" else ()
    for dimension in DIMENSIONS:
        x, sizes = batch(2, 2, *SHAPES[dimension]), (1, 2, 3, 0, 2, 1)[: 2 * dimension]
        padded_x = layer(stem + "{}d", dimension)(sizes, *values)(x)
        same(padded_x, pad_by_rule(x.numpy(), RULES[stem], sizes))
        sums = [sizes[2 * a] + sizes[2 * a + 1] for a in range(dimension)]
        assert padded_x.shape[2:] == tuple(n + e for n, e in zip(SHAPES[dimension], reversed(sums)))
        whole = layer(stem + "{}d", dimension)(1, *values)(x)
        assert whole.shape[2:] == tuple(n + 2 for n in SHAPES[dimension])


@card(*symbols("ZeroPad{}d"), formula=r"y_i = [\,0 \le i-l < n\,]\; x_{i-l}")
def zero_padding():
    padding_layers("ZeroPad")
    assert nn.ZeroPad2d((1, 2, 3, 4))(batch(1, 1, 10, 10)).shape == (1, 1, 17, 13)
    x = batch(1, 1, 5)
    same(nn.ZeroPad1d((-1, -2))(x), x[..., 1:-2])


@card(*symbols("ConstantPad{}d"), formula=r"y_i = v + [\,0 \le i-l < n\,]\,(x_{i-l} - v)")
def constant_padding():
    padding_layers("ConstantPad")
    raises(TypeError, lambda: nn.ConstantPad2d(1), "value")


@card(*symbols("ReflectionPad{}d"), formula=r"y_i = x_{(n-1) - |(n-1) - |i-l||}")
def reflection_padding():
    padding_layers("ReflectionPad")
    three = torch.tensor([[[1.0, 2.0, 3.0]]])
    same(nn.ReflectionPad1d(1)(three), [[[2.0, 1.0, 2.0, 3.0, 2.0]]])
    assert nn.ReflectionPad1d(2)(three).shape == (1, 1, 7)
    raises(RuntimeError, lambda: nn.ReflectionPad1d(3)(three))


@card(*symbols("ReplicationPad{}d"), formula=r"y_i = x_{\min(\max(i-l,\,0),\,n-1)}")
def replication_padding():
    padding_layers("ReplicationPad")
    assert nn.ReplicationPad1d(5)(batch(1, 1, 3)).shape == (1, 1, 13)
    assert nn.ReplicationPad2d((1, 2, 3, 4))(batch(1, 1, 10, 10)).shape == (1, 1, 17, 13)


@card(*symbols("CircularPad{}d"), formula=r"y_i = x_{(i-l) \bmod n}")
def circular_padding():
    padding_layers("CircularPad")
    assert nn.CircularPad1d((8, 8))(batch(1, 1, 8)).shape == (1, 1, 24)
    raises(RuntimeError, lambda: nn.CircularPad1d((9, 0))(batch(1, 1, 8)), "more than once")


@card("torch.nn.functional.pad")
def pad():
    x = batch(2, 3, 5, 4)
    same(F.pad(x, (1, 2, 3, 0)), np.pad(x.numpy(), [(0, 0), (0, 0), (3, 0), (1, 2)]))
    same(F.pad(x, (-1, 0)), x[..., 1:])
    raises(TypeError, lambda: F.pad(x, 1))
    for mode, axes in itertools.product(("reflect", "replicate", "circular"), (1, 2, 3)):
        for extra in (1, 2):
            y = F.pad(batch(*[3] * (axes + extra)), (1, 1) * axes, mode=mode)
            assert y.shape[-axes:] == (5,) * axes
        raises(NotImplementedError, lambda: F.pad(batch(*[3] * (axes + 3)), (1, 1) * axes, mode=mode))
    raises(RuntimeError, lambda: F.pad(x, (1, 1, 1, 1), mode="reflect", value=2.0))


# Normalization

BATCH = r"y = \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}}\,\gamma_c + \beta_c"
INSTANCE = r"y = \frac{x - \mu_{n,c}}{\sqrt{\sigma_{n,c}^2 + \epsilon}}\,\gamma_c + \beta_c"
GROUP = r"y = \frac{x - \mu_{n,g}}{\sqrt{\sigma_{n,g}^2 + \epsilon}}\,\gamma_c + \beta_c"
LAYER = r"y = \frac{x - \mathrm{E}[x]}{\sqrt{\mathrm{Var}[x] + \epsilon}}\,\gamma + \beta"


def standardised(x: np.ndarray, axes, eps, gamma=1.0, beta=0.0) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps) * gamma + beta


def per_channel(values: np.ndarray, ndim: int) -> np.ndarray:
    return values.reshape(1, -1, *[1] * (ndim - 2))


def with_random_affine(norm: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in norm.parameters():
            p.normal_()
    return norm


@card(*symbols("BatchNorm{}d", "LazyBatchNorm{}d", "functional.batch_norm", "SyncBatchNorm"), formula=BATCH)
def batch_normalization():
    for dimension in (0, *DIMENSIONS):
        x = batch(5, 3, *SHAPES.get(dimension, ()))
        axes = (0, *range(2, x.ndim))
        norm = with_random_affine(
            layer("BatchNorm{}d", max(dimension, 1))(3, eps=1e-3, momentum=0.3, dtype=torch.float64)
        )
        gamma, beta = (per_channel(p.detach().numpy(), x.ndim) for p in norm.parameters())
        expected = standardised(x.numpy(), axes, 1e-3, gamma, beta)
        same(norm(x), expected)
        same(F.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=1e-3), expected)
        same(norm.running_mean, 0.3 * x.numpy().mean(axes))
        same(norm.running_var, 0.7 + 0.3 * x.numpy().var(axes, ddof=1))
        norm.eval()
        mean, var = (per_channel(v.numpy(), x.ndim) for v in (norm.running_mean, norm.running_var))
        same(norm(x), (x.numpy() - mean) / np.sqrt(var + 1e-3) * gamma + beta)
        lazy_norm = layer("LazyBatchNorm{}d", max(dimension, 1))(dtype=torch.float64)
        raises(ValueError, lambda: lazy_norm.weight.numel())
        assert lazy_norm(x).shape == x.shape and lazy_norm.num_features == 3
        same(nn.SyncBatchNorm(3, dtype=torch.float64)(x), standardised(x.numpy(), axes, 1e-5))
    cumulative = nn.BatchNorm1d(1, momentum=None, dtype=torch.float64)
    parts = [batch(4, 1) for _ in range(3)]
    for part in parts:
        cumulative(part)
    same(cumulative.running_mean, [np.mean([part.mean().item() for part in parts])])
    assert nn.BatchNorm1d(2, bias=False).bias is None and nn.BatchNorm1d(2, affine=False).weight is None
    untracked = nn.BatchNorm1d(3, track_running_stats=False, dtype=torch.float64).eval()
    same(untracked(batch(5, 3)).mean(0), np.zeros(3), 1e-9)


@card(*symbols("functional.batch_norm", "SyncBatchNorm", "SyncBatchNorm.convert_sync_batchnorm"))
def batch_normalization_traps():
    x = batch(4, 3)
    raises(RuntimeError, lambda: F.batch_norm(x, None, None), "running_mean")
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    F.batch_norm(x, mean, var)
    assert not mean.any()
    F.batch_norm(x, mean, var, training=True)
    assert mean.all()
    single = nn.BatchNorm1d(3)
    assert type(nn.SyncBatchNorm.convert_sync_batchnorm(single)) is nn.SyncBatchNorm and type(single) is nn.BatchNorm1d
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    weight = model[1].weight
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert type(converted[1]) is nn.SyncBatchNorm and torch.equal(converted[1].weight, weight)

    def in_a_group(_: int) -> np.ndarray:
        raises(ValueError, lambda: nn.SyncBatchNorm(3)(torch.randn(4, 3)), "expected input tensor to be on GPU")
        nn.SyncBatchNorm(3).eval()(torch.randn(4, 3))
        return np.zeros(1)

    among_processes(1, in_a_group)


@card(*symbols("InstanceNorm{}d", "LazyInstanceNorm{}d", "functional.instance_norm"), formula=INSTANCE)
def instance_normalization():
    for dimension in DIMENSIONS:
        x = batch(4, 3, *SHAPES[dimension])
        axes = tuple(range(2, x.ndim))
        norm = with_random_affine(layer("InstanceNorm{}d", dimension)(3, eps=1e-3, affine=True, dtype=torch.float64))
        gamma, beta = (per_channel(p.detach().numpy(), x.ndim) for p in norm.parameters())
        expected = standardised(x.numpy(), axes, 1e-3, gamma, beta)
        same(norm(x), expected)
        same(norm.eval()(x), expected)
        same(F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-3), expected)
        plain = layer("InstanceNorm{}d", dimension)(3)
        assert plain.weight is None and plain.running_mean is None
        lazy_norm = layer("LazyInstanceNorm{}d", dimension)(dtype=torch.float64)
        same(lazy_norm(x), standardised(x.numpy(), axes, 1e-5))
        assert lazy_norm.weight is not None and not torch.allclose(lazy_norm.eval()(x), torch.as_tensor(expected))
        mean, var = (per_channel(v.numpy(), x.ndim) for v in (lazy_norm.running_mean, lazy_norm.running_var))
        same(lazy_norm(x), (x.numpy() - mean) / np.sqrt(var + 1e-5))
    for model in (nn.InstanceNorm2d(3), nn.InstanceNorm2d(3).eval()):
        raises(ValueError, lambda: model(torch.randn(2, 3, 1, 1)), "more than 1 spatial element")
    raises(RuntimeError, lambda: F.instance_norm(batch(2, 3, 4), use_input_stats=False), "running_mean")


@card(*symbols("GroupNorm", "functional.group_norm"), formula=GROUP)
def group_normalization():
    for groups, shape in itertools.product((1, 2, 6), ((4, 6), (4, 6, 5), (4, 6, 5, 3))):
        if len(shape) == 2 and groups == 6:
            continue
        x = batch(*shape)
        norm = with_random_affine(nn.GroupNorm(groups, 6, eps=1e-3, dtype=torch.float64))
        gamma, beta = (per_channel(p.detach().numpy(), x.ndim) for p in norm.parameters())
        split = standardised(x.numpy().reshape(4, groups, -1), -1, 1e-3).reshape(x.shape)
        same(norm(x), split * gamma + beta)
        same(F.group_norm(x, groups, norm.weight, norm.bias, eps=1e-3), split * gamma + beta)
    x = batch(2, 6, 5)
    same(nn.GroupNorm(6, 6, dtype=torch.float64)(x), F.instance_norm(x))
    assert nn.GroupNorm(1, 6).weight.shape == (6,) and nn.LayerNorm((6, 5)).weight.shape == (6, 5)
    assert not torch.allclose(nn.GroupNorm(1, 6, dtype=torch.float64)(x), F.layer_norm(x, (5,)))
    raises(ValueError, lambda: nn.GroupNorm(4, 6))
    raises(RuntimeError, lambda: F.group_norm(x, 2, torch.ones(2)))
    raises(RuntimeError, lambda: nn.GroupNorm(2, 4)(torch.randn(2, 7, 4)))


@card(*symbols("LayerNorm", "functional.layer_norm"), formula=LAYER)
def layer_normalization():
    for shape, size in (((5, 4), 1), ((2, 3, 6), 1), ((2, 3, 4, 5), 3)):
        x = batch(*shape)
        norm = with_random_affine(nn.LayerNorm(shape[-size:], eps=1e-3, dtype=torch.float64))
        gamma, beta = (p.detach().numpy() for p in norm.parameters())
        expected = standardised(x.numpy(), tuple(range(-size, 0)), 1e-3, gamma, beta)
        same(norm(x), expected)
        same(norm.eval()(x), expected)
        same(F.layer_norm(x, shape[-size:], norm.weight, norm.bias, 1e-3), expected)
    maps = batch(2, 3, 8, 8)
    raises(RuntimeError, lambda: nn.LayerNorm(3, dtype=torch.float64)(maps))
    assert nn.LayerNorm(3, dtype=torch.float64)(maps.permute(0, 2, 3, 1)).shape == (2, 8, 8, 3)
    row = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    same(F.layer_norm(row, (4,)), standardised(row.numpy(), -1, 1e-5))
    assert abs(F.layer_norm(row, (4,))[0].item() - ((row - row.mean()) / row.var().sqrt())[0].item()) > 0.2
    raises(TypeError, lambda: F.layer_norm(row, 4))
    same(F.layer_norm(row, row.shape[-1:]), nn.LayerNorm(4, dtype=torch.float64)(row))
    assert nn.LayerNorm(4, bias=False).bias is None


@card(
    *symbols("RMSNorm", "functional.rms_norm"),
    formula=r"y = \frac{x}{\sqrt{\frac{1}{n}\sum_i x_i^2 + \epsilon}}\,\gamma",
)
def rms_normalization():
    for shape, size in (((5, 4), 1), ((2, 3, 6), 1), ((2, 3, 4), 2)):
        x = batch(*shape)
        norm = with_random_affine(nn.RMSNorm(shape[-size:], eps=1e-2, dtype=torch.float64))
        axes = tuple(range(-size, 0))
        expected = x.numpy() / np.sqrt((x.numpy() ** 2).mean(axes, keepdims=True) + 1e-2) * norm.weight.detach().numpy()
        same(norm(x), expected)
        same(F.rms_norm(x, shape[-size:], norm.weight, 1e-2), expected)
    assert [name for name, _ in nn.RMSNorm(3).named_parameters()] == ["weight"]
    tiny = torch.full((4,), 1e-4)
    expected = 1e-4 / math.sqrt(1e-8 + 1.1920929e-07)
    assert (
        abs(F.rms_norm(tiny, (4,))[0].item() - expected) < 1e-5 and round(torch.finfo(torch.float32).eps, 8) == 1.2e-07
    )
    assert abs(F.rms_norm(tiny, (4,), eps=1e-5)[0].item() - expected) > 0.1
    for half in (torch.float16, torch.bfloat16):
        root = (tiny[0].to(half).item() ** 2 + 1.1920929e-07) ** 0.5
        assert abs(F.rms_norm(tiny.to(half), (4,))[0].item() - tiny[0].to(half).item() / root) < 2e-3
    double = torch.full((4,), 1e-8, dtype=torch.float64)
    assert abs(F.rms_norm(double, (4,))[0].item() - 1e-8 / math.sqrt(1e-16 + 2.2e-16)) < 1e-2


@card(
    *symbols("LocalResponseNorm", "functional.local_response_norm"),
    formula=r"y_c = x_c \Big(k + \frac{\alpha}{n}\sum_{c'} x_{c'}^2\Big)^{-\beta}",
)
def local_response_normalization():
    for n, shape in itertools.product((2, 3, 5), ((2, 6, 4), (2, 6, 4, 3))):
        x = batch(*shape)
        alpha, beta, k = 0.7, 0.6, 1.5
        expected = np.zeros(shape)
        for c in range(6):
            neighbours = x.numpy()[:, max(0, c - n // 2) : c + (n - 1) // 2 + 1]
            expected[:, c] = x.numpy()[:, c] * (k + alpha / n * (neighbours**2).sum(1)) ** -beta
        same(nn.LocalResponseNorm(n, alpha, beta, k)(x), expected)
        same(F.local_response_norm(x, n, alpha, beta, k), expected)
    x = 10 * batch(2, 8, 3)
    sums = np.stack([(x.numpy()[:, max(0, c - 2) : c + 3] ** 2).sum(1) for c in range(8)], 1)
    same(nn.LocalResponseNorm(5, alpha=5e-4, k=2)(x), x.numpy() / (2 + 1e-4 * sums) ** 0.75)


@card("torch.nn.functional.normalize", formula=r"y = \frac{x}{\max(\lVert x \rVert_p,\ \epsilon)}")
def normalize():
    x = batch(2, 3, 4)
    for p, dim in itertools.product((1, 2, 3), (1, -1)):
        norm = (np.abs(x.numpy()) ** p).sum(dim, keepdims=True) ** (1 / p)
        same(F.normalize(x, p, dim), x.numpy() / np.maximum(norm, 1e-12))
    same(F.normalize(x), F.normalize(x, dim=1))
    same(F.normalize(x, dim=-1).norm(dim=-1), np.ones((2, 3)))
    same(F.normalize(torch.full((1, 4), 1e-3), eps=1.0), torch.full((1, 4), 1e-3))
    assert not F.normalize(torch.zeros(2, 3)).any()


# Dropout

DROPOUT = r"y = \frac{m\,x}{1-p},\quad m \sim \mathrm{Bernoulli}(1-p)"
CHANNELS = r"y_{n,c} = \frac{m_{n,c}\,x_{n,c}}{1-p},\quad m_{n,c} \sim \mathrm{Bernoulli}(1-p)"
ALPHA = r"y = a\,\big(m\,x - (1-m)\,\alpha + \alpha p\big),\quad a = \frac{1}{\sqrt{(1+\alpha^2 p)(1-p)}}"


@card(*symbols("Dropout", "functional.dropout"), formula=DROPOUT)
def dropout():
    for p, shape in itertools.product((0.1, 0.5, 0.8), ((40_000,), (40, 10, 100))):
        x = 1 + torch.rand(*shape, dtype=torch.float64)
        for y in (nn.Dropout(p)(x), F.dropout(x, p)):
            kept = y.numpy() != 0
            assert abs(kept.mean() - (1 - p)) < 0.015
            same(y, kept * x.numpy() / (1 - p))
        assert nn.Dropout(p).eval()(x) is x
    assert not torch.equal(F.dropout(x), x) and torch.equal(F.dropout(x, training=False), x)
    raises(ValueError, lambda: F.dropout(x, 1.5))
    assert not F.dropout(x, 1.0).any()
    y = x.clone()
    assert nn.Dropout(inplace=True)(y) is y and not torch.equal(x, y)


@card(*symbols("Dropout{}d", "functional.dropout{}d"), formula=CHANNELS)
def channel_dropout():
    for dimension, p in itertools.product(DIMENSIONS, (0.2, 0.5)):
        x = 1 + torch.rand(200, 50, *SHAPES[dimension], dtype=torch.float64)
        model = layer("Dropout{}d", dimension)(p)
        for y in (model(x), function("dropout{}d", dimension)(x, p)):
            kept = y.numpy().reshape(200, 50, -1)[..., 0] != 0
            assert abs(kept.mean() - (1 - p)) < 0.03
            same(y, kept.reshape(200, 50, *[1] * dimension) * x.numpy() / (1 - p))
        assert torch.equal(model.eval()(x), x) and not torch.equal(function("dropout{}d", dimension)(x), x)
    steps = nn.Dropout1d()(torch.ones(2, 50, 8))
    assert set((steps == 0).sum(-1).unique().tolist()) == {0, 8}
    right = nn.Dropout1d()(torch.ones(2, 50, 8).transpose(1, 2)).transpose(1, 2)
    assert set((right == 0).sum(1).unique().tolist()) == {0, 50}


def alpha_mask(x: np.ndarray, y: np.ndarray, p: float) -> np.ndarray:
    """The mask m of alpha dropout, after asserting that y is what the formula gives with it."""
    alpha = 1.7580993408473766
    a = 1 / math.sqrt((1 + alpha**2 * p) * (1 - p))
    mask = ~np.isclose(y, a * (alpha * p - alpha), rtol=1e-12, atol=1e-12)
    same(y, a * (mask * x - (1 - mask) * alpha + alpha * p))
    return mask


@card(
    *symbols("AlphaDropout", "FeatureAlphaDropout", "functional.alpha_dropout", "functional.feature_alpha_dropout"),
    formula=ALPHA,
)
def alpha_dropout():
    for p in (0.1, 0.5):
        x = batch(200, 50, 30)
        for y in (nn.AlphaDropout(p)(x), F.alpha_dropout(x, p, training=True)):
            assert abs(alpha_mask(x.numpy(), y.numpy(), p).mean() - (1 - p)) < 0.01
            assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.03
        for y in (nn.FeatureAlphaDropout(p)(x), F.feature_alpha_dropout(x, p, training=True)):
            mask = alpha_mask(x.numpy(), y.numpy(), p)
            assert (mask == mask[..., :1]).all() and abs(mask.mean() - (1 - p)) < 0.02
    floor = 1.0507009873554805 * 1.6732632423543772
    assert round(floor, 3) == 1.758 and round(F.selu(torch.tensor(-50.0)).item(), 3) == -1.758
    assert torch.equal(F.alpha_dropout(x), x) and torch.equal(F.feature_alpha_dropout(x), x)
    rectified = x.relu()
    changed = nn.AlphaDropout(0.5)(rectified)
    assert abs(changed.mean() - rectified.mean()) > 0.1 and abs(changed.var() - rectified.var()) > 0.1


# Linear and embedding


@card(*symbols("Linear", "LazyLinear", "functional.linear"), formula=r"y = x\,W^{\top} + b")
def linear():
    for shape in ((4,), (5, 4), (2, 3, 4)):
        x, model = batch(*shape), nn.Linear(4, 3, dtype=torch.float64)
        expected = x.numpy() @ model.weight.detach().numpy().T + model.bias.detach().numpy()
        same(model(x), expected)
        same(F.linear(x, model.weight, model.bias), expected)
        lazy_linear = nn.LazyLinear(3, dtype=torch.float64)
        assert isinstance(lazy_linear, nn.Linear)
        raises(ValueError, lambda: nn.init.xavier_uniform_(lazy_linear.weight))
        assert lazy_linear(x).shape == expected.shape and type(lazy_linear) is nn.Linear
    assert nn.Linear(4, 3).weight.shape == (3, 4)
    raises(RuntimeError, lambda: nn.Linear(12, 2)(torch.ones(5, 3, 2, 2)))
    assert nn.Linear(12, 2)(torch.ones(5, 3, 2, 2).flatten(1)).shape == (5, 2)
    raises(RuntimeError, lambda: F.linear(batch(5, 4), batch(4, 3)))
    square = batch(4, 4)
    assert not torch.allclose(F.linear(batch(5, 4), square), batch(5, 4) @ square)


@card(*symbols("Bilinear", "functional.bilinear"), formula=r"y_k = x_1^{\top} A_k\, x_2 + b_k")
def bilinear():
    for lead in ((), (7,), (2, 5)):
        first, second, model = batch(*lead, 3), batch(*lead, 4), nn.Bilinear(3, 4, 5, dtype=torch.float64)
        expected = (
            np.einsum("...i,kij,...j->...k", first.numpy(), model.weight.detach().numpy(), second.numpy())
            + model.bias.detach().numpy()
        )
        same(model(first, second), expected)
        same(F.bilinear(first, second, model.weight, model.bias), expected)
    assert nn.Bilinear(3, 4, 5).weight.shape == (5, 3, 4) and round(512**3 / 1e6) == 134
    raises(RuntimeError, lambda: nn.Bilinear(3, 4, 5)(torch.ones(7, 3), torch.ones(1, 4)))


@card(*symbols("Embedding", "functional.embedding"), formula=r"y = W[i]")
def embedding():
    model = nn.Embedding(6, 3, padding_idx=0)
    indices = torch.tensor([[0, 2, 5], [1, 1, 4]])
    table = model.weight.detach().numpy()
    same(model(indices), table[indices.numpy()])
    same(F.embedding(indices, model.weight), table[indices.numpy()])
    same(F.one_hot(indices, 6).float() @ model.weight, table[indices.numpy()], 1e-6)
    for wrong in (6, -1):
        raises(IndexError, lambda: model(torch.tensor([wrong])))
    assert not model.weight[0].any()
    model(indices).sum().backward()
    assert not model.weight.grad[0].any() and model.weight.grad[1].tolist() == [2, 2, 2]
    nn.init.xavier_uniform_(model.weight)
    assert model.weight[0].all()
    ones = torch.ones(2, 3, requires_grad=True)
    rows = F.embedding(torch.tensor([0, 1]), ones, padding_idx=0)
    rows.sum().backward()
    assert rows.all() and ones.grad.tolist() == [[0, 0, 0], [1, 1, 1]]
    scaled = nn.Embedding(6, 3, scale_grad_by_freq=True)
    scaled(indices).sum().backward()
    assert scaled.weight.grad[1].tolist() == [1, 1, 1]
    short = nn.Embedding(3, 2, max_norm=1.0)
    short.weight.data.fill_(3.0)
    short(torch.tensor([1]))
    assert abs(short.weight[1].norm().item() - 1) < 1e-4 and short.weight[0].tolist() == [3, 3]
    sparse = nn.Embedding(3, 2, sparse=True)
    for kind, works in (
        (torch.optim.SGD, True),
        (torch.optim.SparseAdam, True),
        (torch.optim.Adagrad, True),
        (torch.optim.Adam, False),
    ):
        sparse.weight.grad = None
        sparse(torch.tensor([1])).sum().backward()
        optimizer = kind([sparse.weight], lr=0.1)
        optimizer.step() if works else raises(RuntimeError, optimizer.step, "sparse")


@card("torch.nn.Embedding.from_pretrained")
def from_pretrained():
    vectors = torch.ones(3, 2)
    model = nn.Embedding.from_pretrained(vectors, padding_idx=0)
    assert not model.weight.requires_grad and model.weight.all() and model.weight.data_ptr() == vectors.data_ptr()
    assert nn.Embedding.from_pretrained(vectors, freeze=False).weight.requires_grad


@card(*symbols("EmbeddingBag", "functional.embedding_bag"), formula=r"y_b = \frac{1}{n_b}\sum_{j=1}^{n_b} W[i_{b,j}]")
def embedding_bag():
    model = nn.EmbeddingBag(6, 3, dtype=torch.float64)
    indices, table = torch.tensor([[0, 2, 5], [1, 1, 4]]), model.weight.detach().numpy()
    same(model(indices), table[indices.numpy()].mean(1))
    same(F.embedding_bag(indices, model.weight), table[indices.numpy()].mean(1))
    flat = torch.tensor([0, 2, 5, 1, 1])
    same(model(flat, torch.tensor([0, 2])), np.stack([table[[0, 2]].mean(0), table[[5, 1, 1]].mean(0)]))
    raises(ValueError, lambda: model(flat))
    same(
        F.embedding_bag(flat, model.weight, torch.tensor([0, 2, 5]), include_last_offset=True),
        model(flat, torch.tensor([0, 2])),
    )
    same(F.embedding_bag(indices, model.weight, mode="sum"), table[indices.numpy()].sum(1))
    same(F.embedding_bag(indices, model.weight, mode="max"), table[indices.numpy()].max(1))
    same(F.embedding_bag(indices, model.weight, padding_idx=0)[0], table[[2, 5]].mean(0))
    factors = batch(2, 3)
    weighted = F.embedding_bag(indices, model.weight, mode="sum", per_sample_weights=factors)
    same(weighted, (table[indices.numpy()] * factors.numpy()[..., None]).sum(1))
    raises(NotImplementedError, lambda: F.embedding_bag(indices, model.weight, per_sample_weights=factors))


@card("torch.nn.functional.one_hot", formula=r"y_{i,j} = [\,x_i = j\,]")
def one_hot():
    for shape in ((5,), (2, 3)):
        x = torch.randint(0, 4, shape)
        same(F.one_hot(x, 4), (x.numpy()[..., None] == np.arange(4)).astype(int))
    assert F.one_hot(torch.tensor([0, 2])).shape == (2, 3) and F.one_hot(torch.tensor([0, 1])).shape == (2, 2)
    assert F.one_hot(torch.tensor([0])).dtype == torch.int64


# Distances


@card(
    *symbols("CosineSimilarity", "functional.cosine_similarity"),
    formula=r"\frac{x_1 \cdot x_2}{\max(\lVert x_1 \rVert, \epsilon)\,\max(\lVert x_2 \rVert, \epsilon)}",
)
def cosine_similarity():
    for scale in (1.0, 1e-9):
        a, b = scale * batch(5, 4), batch(5, 4)
        norms = [np.maximum(np.linalg.norm(v.numpy(), axis=1), 1e-8) for v in (a, b)]
        expected = (a.numpy() * b.numpy()).sum(1) / (norms[0] * norms[1])
        same(nn.CosineSimilarity()(a, b), expected)
        same(F.cosine_similarity(a, b), expected)
    a, b = batch(5, 4), batch(3, 4)
    pairs = F.cosine_similarity(a[:, None], b[None], dim=-1)
    same(pairs, F.normalize(a) @ F.normalize(b).T)
    raises(RuntimeError, lambda: F.cosine_similarity(a, b))
    same(F.cosine_similarity(a, a), np.ones(5))
    same(F.cosine_similarity(a, -a), -np.ones(5))
    assert not F.cosine_similarity(torch.zeros(1, 2), torch.zeros(1, 2)).any()


@card(
    *symbols("PairwiseDistance", "functional.pairwise_distance"),
    formula=r"d = \lVert x_1 - x_2 + \epsilon \mathbf{1} \rVert_p",
)
def pairwise_distance():
    a, b = batch(5, 4), batch(5, 4)
    for p, eps in itertools.product((1, 2, 3), (1e-6, 0.1)):
        expected = (np.abs(a.numpy() - b.numpy() + eps) ** p).sum(1) ** (1 / p)
        same(nn.PairwiseDistance(p, eps)(a, b), expected)
        same(F.pairwise_distance(a, b, p, eps), expected)
    same(F.pairwise_distance(a, a), np.full(5, 2e-6), 1e-12)
    assert F.pairwise_distance(a, b, keepdim=True).shape == (5, 1)
    x = torch.ones(1, 4, requires_grad=True)
    F.pairwise_distance(x, torch.ones(1, 4)).sum().backward()
    assert x.grad.abs().min() > 0.4


@card("torch.nn.functional.pdist", formula=r"d_{ij} = \lVert x_i - x_j \rVert_p,\quad i < j")
def pdist():
    x = batch(5, 3)
    for p in (1, 2, 3):
        expected = [
            (np.abs(x[i].numpy() - x[j].numpy()) ** p).sum() ** (1 / p) for i in range(5) for j in range(i + 1, 5)
        ]
        same(F.pdist(x, p), expected)
    assert len(F.pdist(x)) == 5 * 4 // 2
    rows, columns = np.triu_indices(5, 1)
    same(torch.cdist(x, x)[rows, columns], F.pdist(x), 1e-7)


# Vision


@card(*symbols("PixelShuffle", "functional.pixel_shuffle"), formula=r"y_{c,\ hr+i,\ wr+j} = x_{cr^2+ir+j,\ h,\ w}")
def pixel_shuffle():
    for r in (2, 3):
        x = batch(2, 2 * r * r, 3, 4)
        y = F.pixel_shuffle(x, r)
        assert y.shape == (2, 2, 3 * r, 4 * r) and torch.equal(y, nn.PixelShuffle(r)(x))
        for c, h, w, i, j in np.ndindex(2, 3, 4, r, r):
            same(y[:, c, h * r + i, w * r + j], x[:, c * r * r + i * r + j, h, w])
        back = F.pixel_unshuffle(y, r)
        assert torch.equal(back, x)
    raises(RuntimeError, lambda: F.pixel_shuffle(batch(1, 6, 2, 2), 2))


@card(*symbols("PixelUnshuffle", "functional.pixel_unshuffle"), formula=r"y_{cr^2+ir+j,\ h,\ w} = x_{c,\ hr+i,\ wr+j}")
def pixel_unshuffle():
    x = batch(2, 3, 6, 9)
    y = nn.PixelUnshuffle(3)(x)
    assert y.shape == (2, 27, 2, 3) and torch.equal(y, F.pixel_unshuffle(x, 3))
    for c, h, w, i, j in np.ndindex(3, 2, 3, 3, 3):
        same(y[:, c * 9 + i * 3 + j, h, w], x[:, c, h * 3 + i, w * 3 + j])
    raises(RuntimeError, lambda: F.pixel_unshuffle(x, 2))


def read_linearly(x: np.ndarray, axis: int, places) -> np.ndarray:
    """Values between neighbours at real-valued places, clamped to the axis."""
    n = x.shape[axis]
    parts = []
    for t in places:
        t = min(max(t, 0.0), n - 1.0)
        low = min(math.floor(t), n - 1)
        high = min(low + 1, n - 1)
        parts.append((1 - (t - low)) * x.take(low, axis) + (t - low) * x.take(high, axis))
    return np.stack(parts, axis)


def resized(x: np.ndarray, size, place) -> np.ndarray:
    for axis, m in zip(range(2, x.ndim), size):
        n = x.shape[axis]
        x = read_linearly(x, axis, [place(i, n, m) for i in range(m)])
    return x


def outer_edges(i: int, n: int, m: int) -> float:
    return n / m * (i + 0.5) - 0.5


def corners(i: int, n: int, m: int) -> float:
    return i * (n - 1) / (m - 1)


@card(
    *symbols("Upsample", "functional.interpolate", "functional.upsample"),
    formula=r"t = \frac{n_{\mathrm{in}}}{n_{\mathrm{out}}}\left(i + \tfrac12\right) - \tfrac12",
)
def interpolation():
    cases = [
        ("linear", (5,), (8,)),
        ("bilinear", (4, 5), (9, 7)),
        ("bilinear", (8, 6), (3, 4)),
        ("trilinear", (3, 4, 2), (5, 3, 6)),
    ]
    for mode, shape, size in cases:
        x = batch(2, 3, *shape)
        same(F.interpolate(x, size, mode=mode), resized(x.numpy(), size, outer_edges))
        same(nn.Upsample(size, mode=mode)(x), resized(x.numpy(), size, outer_edges))
        same(quietly(lambda: F.upsample(x, size, mode=mode)), resized(x.numpy(), size, outer_edges))
        same(F.interpolate(x, size, mode=mode, align_corners=True), resized(x.numpy(), size, corners))
    x = batch(1, 1, 4, 4)
    raises(ValueError, lambda: nn.Upsample(scale_factor=2, align_corners=True)(x), "align_corners")
    raises(ValueError, lambda: F.interpolate(x, 2, mode="nearest-exact", align_corners=False), "align_corners")
    F.interpolate(x, 8, mode="bicubic", align_corners=True)
    assert F.interpolate(x, scale_factor=1.6).shape[-1] == 6 and nn.Upsample(size=2).mode == "nearest"
    warns(UserWarning, lambda: F.upsample(x, 2), "interpolate")
    board = torch.zeros(1, 1, 1, 8)
    board[..., 0::4] = board[..., 3::4] = 1
    skipped = F.interpolate(board, (1, 2), mode="bilinear")
    averaged = F.interpolate(board, (1, 2), mode="bilinear", antialias=True)
    assert not skipped.any() and (averaged > 0.2).all()
    image = torch.zeros(3, 4, 5)
    assert F.interpolate(image, scale_factor=2).shape == (3, 4, 10) and F.interpolate(
        image[None], scale_factor=2
    ).shape == (1, 3, 8, 10)
    raises(ValueError, lambda: F.interpolate(x, 2, mode="lanczos"), "antialias")


@card(
    *symbols("UpsamplingNearest2d", "functional.upsample_nearest"),
    formula=r"y[i] = x\big[\lfloor i\, n_{\mathrm{in}} / n_{\mathrm{out}} \rfloor\big]",
)
def nearest_upsampling():
    x = batch(2, 3, 4, 5)
    for size in ((8, 10), (7, 9), (3, 2)):
        rows, columns = ([i * n // m for i in range(m)] for n, m in zip((4, 5), size))
        expected = x.numpy()[:, :, rows][..., columns]
        same(nn.UpsamplingNearest2d(size)(x), expected)
        same(warns(UserWarning, lambda: F.upsample_nearest(x, size), "deprecated"), expected)
        same(F.interpolate(x, size), expected)
    five = torch.arange(5.0)[None, None]
    same(F.interpolate(five, 3), [[[0.0, 1.0, 3.0]]])
    same(F.interpolate(five, 3, mode="nearest-exact"), [[[0.0, 2.0, 4.0]]])
    assert "deprecated" in nn.UpsamplingNearest2d.__doc__


@card(
    *symbols("UpsamplingBilinear2d", "functional.upsample_bilinear"),
    formula=r"t = i\,\frac{n_{\mathrm{in}} - 1}{n_{\mathrm{out}} - 1}",
)
def bilinear_upsampling():
    x = batch(2, 3, 4, 5)
    for size in ((8, 10), (7, 9)):
        expected = resized(x.numpy(), size, corners)
        same(nn.UpsamplingBilinear2d(size)(x), expected)
        same(warns(UserWarning, lambda: F.upsample_bilinear(x, size), "deprecated"), expected)
        assert not np.allclose(nn.Upsample(size, mode="bilinear")(x).numpy(), expected)
    assert "deprecated" in nn.UpsamplingBilinear2d.__doc__


@card("torch.nn.functional.grid_sample", formula=r"t = \frac{(g + 1)\,n - 1}{2}")
def grid_sample():
    x = batch(2, 3, 5, 7)
    grid = 2 * torch.rand(2, 4, 6, 2, dtype=torch.float64) - 1
    for align, place in ((False, lambda g, n: ((g + 1) * n - 1) / 2), (True, lambda g, n: (g + 1) * (n - 1) / 2)):
        y = F.grid_sample(x, grid, padding_mode="border", align_corners=align)
        assert y.shape == (2, 3, 4, 6)
        for n, h, w in np.ndindex(2, 4, 6):
            across, down = grid[n, h, w].tolist()
            row = read_linearly(x[n].numpy(), 1, [place(down, 5)])
            same(y[n, :, h, w], read_linearly(row, 2, [place(across, 7)])[:, 0, 0])
    inside = F.grid_sample(x, torch.zeros(2, 1, 1, 2, dtype=torch.float64), align_corners=False)
    same(inside[..., 0, 0], x[:, :, 2, 3])
    outside = torch.full((2, 1, 1, 2), 3.0, dtype=torch.float64)
    assert not F.grid_sample(x, outside, align_corners=False).any()
    warns(UserWarning, lambda: F.grid_sample(x, grid), "since 1.3.0")


@card(
    "torch.nn.functional.affine_grid",
    formula=r"\begin{pmatrix} x_{\mathrm{in}} \\ y_{\mathrm{in}} \end{pmatrix} = \theta \begin{pmatrix} x_{\mathrm{out}} \\ y_{\mathrm{out}} \\ 1 \end{pmatrix}",
)
def affine_grid():
    theta = batch(2, 2, 3)
    for align in (False, True):
        grid = F.affine_grid(theta, [2, 1, 4, 5], align_corners=align)
        assert grid.shape == (2, 4, 5, 2)

        def axis(n: int) -> np.ndarray:
            return np.linspace(-1, 1, n) if align else (2 * np.arange(n) + 1) / n - 1

        for n, h, w in np.ndindex(2, 4, 5):
            same(grid[n, h, w], theta[n].numpy() @ np.array([axis(5)[w], axis(4)[h], 1.0]))
    zoom = torch.tensor([[[0.5, 0, 0], [0, 0.5, 0]]])
    dot = torch.zeros(1, 1, 8, 8)
    dot[..., 3:5, 3:5] = 1
    enlarged = F.grid_sample(dot, F.affine_grid(zoom, [1, 1, 8, 8], align_corners=False), align_corners=False)
    assert enlarged.sum() > 3.5 * dot.sum()


@card(*symbols("ChannelShuffle", "functional.channel_shuffle"), formula=r"y_{jg+i} = x_{i\,C/g+j}")
def channel_shuffle():
    for g in (2, 3):
        x = batch(2, 12, 3, 3)
        y = nn.ChannelShuffle(g)(x)
        assert (
            y.shape == x.shape and torch.equal(y, F.channel_shuffle(x, g)) and torch.equal(y, nn.ChannelShuffle(g)(x))
        )
        for i, j in np.ndindex(g, 12 // g):
            same(y[:, j * g + i], x[:, i * 12 // g + j])
        assert torch.equal(F.channel_shuffle(y, 12 // g), x) and not torch.equal(F.channel_shuffle(y, g), x)
    raises(RuntimeError, lambda: F.channel_shuffle(batch(1, 6, 2, 2), 4))


@card(*symbols("Flatten", "modules.flatten.Flatten", "Unflatten", "modules.flatten.Unflatten"))
def flatten():
    x = batch(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60) and torch.flatten(x).shape == x.flatten().shape == (120,)
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5)
    assert torch.equal(nn.Unflatten(1, (3, 4, 5))(nn.Flatten()(x)), x) and nn.Unflatten(1, (3, -1))(
        batch(2, 12)
    ).shape == (2, 3, 4)
    raises(RuntimeError, lambda: nn.Unflatten(1, (2, 3, 4, 5))(nn.Flatten()(x)))


# Scaled and grouped matrix products


@card(*symbols("functional.ScalingType", "functional.SwizzleType"))
def scaled_product_kinds():
    assert list(F.SwizzleType.__members__)[0] == "NO_SWIZZLE"
    low = torch.randn(16, 32).to(torch.float8_e4m3fn)
    right = torch.randn(16, 32).to(torch.float8_e4m3fn).t()
    rows, columns = torch.rand(16, 1) + 1, torch.rand(1, 16) + 1
    kind = F.ScalingType.RowWise
    y = F.scaled_mm(low, right, rows, kind, columns, kind, output_dtype=torch.float32)
    same(y, (rows * low.float()).numpy() @ (columns * right.float()).numpy(), 1e-4)
    raises(
        (RuntimeError, ValueError),
        lambda: F.scaled_mm(low, right, columns, kind, rows, kind, output_dtype=torch.float32),
    )
    raises(
        (RuntimeError, ValueError),
        lambda: F.scaled_mm(low, right, rows.half(), kind, columns.half(), kind, output_dtype=torch.float32),
    )


@card("torch.nn.functional.scaled_mm", formula=r"Y = (s_A A)(s_B B)")
def scaled_product():
    a, b = torch.randn(16, 32), torch.randn(32, 16)
    whole = F.ScalingType.TensorWise
    scales = [m.abs().max() / 448 for m in (a, b)]
    low = [(m / s).to(torch.float8_e4m3fn) for m, s in zip((a, b.t().contiguous()), scales)]
    y = F.scaled_mm(low[0], low[1].t(), scales[0], whole, scales[1], whole, output_dtype=torch.float32)
    decoded = [s.numpy() * m.float().numpy() for s, m in zip(scales, low)]
    same(y, decoded[0] @ decoded[1].T, 1e-4)
    assert (y - a @ b).abs().max() < 0.1 * (a @ b).abs().max()
    assert F.scaled_mm(low[0], low[1].t(), scales[0], whole, scales[1], whole).dtype == torch.bfloat16
    assert torch.finfo(torch.float8_e4m3fn).max == 448


@card("torch.nn.functional.grouped_mm", formula=r"Y_{[o_{g-1}:\,o_g]} = A_{[o_{g-1}:\,o_g]}\, B_g")
def grouped_product():
    rows, matrices = torch.randn(6, 16), torch.randn(3, 16, 8)
    for ends in ([2, 3, 6], [1, 5, 6]):
        y = F.grouped_mm(rows, matrices, offs=torch.tensor(ends, dtype=torch.int32))
        starts = [0, *ends[:-1]]
        expected = np.concatenate(
            [rows[a:b].numpy() @ matrices[g].numpy() for g, (a, b) in enumerate(zip(starts, ends))]
        )
        same(y, expected, 1e-4)
    raises(RuntimeError, lambda: F.grouped_mm(rows, matrices, offs=torch.tensor([2, 3, 6])), "int32")
    assert F.grouped_mm(torch.randn(3, 6, 16), matrices).shape == (3, 6, 8)


@card("torch.nn.functional.scaled_grouped_mm")
def scaled_grouped_product():
    a, kind = torch.ones(16, 32).to(torch.float8_e4m3fn), F.ScalingType.RowWise
    b = torch.stack([torch.ones(16, 32), torch.ones(16, 32)]).to(torch.float8_e4m3fn).transpose(1, 2)
    ends = torch.tensor([8, 16], dtype=torch.int32)
    raises(
        NotImplementedError, lambda: F.scaled_grouped_mm(a, b, torch.ones(16), kind, torch.ones(2, 16), kind, offs=ends)
    )
