import argparse
import copy
import io
import math
import pickle
import random
import sys
import types
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

from note_checks import by_definition, check, figure_of, formula, holds, pitfall, raises, stated

STATE = r"s_{t+1} = \Phi(s_t), \qquad s = (\theta,\ \text{optimizer},\ \text{scheduler},\ \text{random state},\ t)"
BYTES = r"M = 4\,P\,(1 + k)\ \text{bytes}"

by_definition("Layout", "make the model faster last", "What can a log hold besides the loss?")  # advice


def setup(kind=torch.optim.Adam):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 1))
    optimizer = kind(model.parameters(), lr=0.01)
    return [model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 3)]


def train(parts, steps):
    model, optimizer, scheduler = parts
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
        scheduler.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@formula(STATE)
@holds("Checkpoint")
def check_resumed_run():
    for kind in (torch.optim.Adam, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)):
        parts = setup(kind)
        train(parts, 5)
        saved, random_state = [copy.deepcopy(p.state_dict()) for p in parts], torch.get_rng_state()
        whole = train(parts, 5)
        for left_out in (None, 0, 1, 2, "random"):
            parts = setup(kind)
            for index, (part, state) in enumerate(zip(parts, saved)):
                if index != left_out:
                    part.load_state_dict(state)
            if left_out != "random":
                torch.set_rng_state(random_state)
            else:
                torch.manual_seed(99)
            same = torch.equal(train(parts, 5), whole)
            assert same == (left_out is None), left_out


@pitfall("The loss jumps after resuming")
def check_weights_alone_make_the_loss_jump():
    run = figure_of(__file__)
    parts = run.setup(0)
    run.train(parts, 120)
    states, random_state = [copy.deepcopy(part.state_dict()) for part in parts], torch.get_rng_state()
    whole = run.train(parts, 40)
    for count in (1, 3):
        parts = run.setup(0)
        for part, state in list(zip(parts, states))[:count]:
            part.load_state_dict(state)
        torch.set_rng_state(random_state)
        resumed = run.train(parts, 40)
        assert resumed == whole if count == 3 else max(resumed) > 2 * max(whole)


@formula(BYTES)
def check_bytes():
    options = [
        (0, lambda p: torch.optim.SGD(p, 0.1)),
        (1, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        (2, torch.optim.Adam),
        (2, torch.optim.AdamW),
        (3, lambda p: torch.optim.Adam(p, amsgrad=True)),
    ]
    for width in (8, 40):
        for k, make in options:
            model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))
            optimizer = make(model.parameters())
            model(torch.randn(2, width)).sum().backward()
            optimizer.step()
            P = sum(p.numel() for p in model.parameters())
            state = [
                t
                for s in optimizer.state_dict()["state"].values()
                for t in s.values()
                if torch.is_tensor(t) and t.dim()
            ]
            assert sum(t.nbytes for t in model.state_dict().values()) + sum(t.nbytes for t in state) == 4 * P * (1 + k)


@check
def check_worked_example():
    P = sum(p.numel() for p in torchvision.models.resnet50(weights=None).parameters())
    stated("25,557,032", P)
    stated("102.2", 4 * P / 1e6)
    stated("306.7", 4 * P * 3 / 1e6)
    stated("2.303", nn.functional.cross_entropy(torch.zeros(5, 10), torch.arange(5)))
    assert math.isclose(math.log(10), 2.302585, rel_tol=1e-6)


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file


@pitfall('"Weights only load failed"')
def check_load():
    model = nn.Linear(2, 2)
    options = argparse.Namespace(lr=0.1, name="run")
    for value in (np.ones(3), np.ones(3).mean(), list(np.ones(3)), np.random.get_state(), options, model):
        file = saved(value)
        file.seek(0)
        raises(pickle.UnpicklingError, lambda: torch.load(file), "Weights only load failed")
    file.seek(0)
    assert isinstance(torch.load(file, weights_only=False), nn.Linear)
    file = saved(model.state_dict())
    file.seek(0)
    assert torch.equal(torch.load(file)["weight"], model.weight)
    for value in (np.ones(3).tolist(), np.ones(3).mean().item(), torch.from_numpy(np.ones(3))):
        file = saved(value)
        file.seek(0)
        assert torch.equal(torch.as_tensor(torch.load(file)), torch.as_tensor(value))
    file = saved(vars(options))
    file.seek(0)
    assert torch.load(file) == {"lr": 0.1, "name": "run"}
    file = saved(vars(argparse.Namespace(folder=Path("runs"))))
    file.seek(0)
    raises(pickle.UnpicklingError, lambda: torch.load(file), "Weights only load failed")
    state = np.random.get_state()
    expected = np.random.rand()
    for plain in (torch.from_numpy(state[1]), state[1].tolist()):
        file = saved((state[0], plain, *state[2:]))
        file.seek(0)
        np.random.set_state(torch.load(file))
        assert np.random.rand() == expected


@pitfall('The "best" weights equal the last ones')
def check_state_dict_is_live():
    model = nn.Linear(2, 2)
    best, copied, file = model.state_dict(), copy.deepcopy(model.state_dict()), saved(model.state_dict())
    with torch.no_grad():
        model.weight.add_(1)
    assert torch.equal(best["weight"], model.weight) and not torch.equal(copied["weight"], model.weight)
    file.seek(0)
    assert torch.equal(torch.load(file)["weight"], copied["weight"])


class Noise(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.rand(())


@pitfall("Same seed, different numbers")
def check_what_the_seed_does_not_fix():
    """The workers and the order of the addition; kernels that vary, other devices and versions cannot run here."""

    def drawn(workers):
        torch.manual_seed(0)
        return torch.cat(list(torch.utils.data.DataLoader(Noise(), num_workers=workers)))

    assert torch.equal(drawn(2), drawn(2))
    assert not torch.equal(drawn(1), drawn(2)) and not torch.equal(drawn(0), drawn(1))
    a, b, c = torch.tensor([1e8, -1e8, 1.0])
    assert (a + b) + c == 1 and a + (b + c) == 0
    twice = lambda: torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))
    twice()
    torch.use_deterministic_algorithms(True)
    raises(RuntimeError, twice, "does not have a deterministic implementation")


@pitfall("A tiny tensor makes a huge file", "`strict=False` loads nothing and says nothing")
def check_slice_and_strict():
    x = torch.randn(1_000_000)
    stated("4", round(len(saved(x[:10]).getvalue()) / 1e6, 2))
    assert len(saved(x[:10].clone()).getvalue()) < 3000
    model = nn.Linear(2, 2)
    state = {"module.weight": torch.zeros(2, 2), "module.bias": torch.zeros(2)}
    result = model.load_state_dict(state, strict=False)
    assert result.missing_keys == ["weight", "bias"] and result.unexpected_keys == ["module.weight", "module.bias"]
    assert (model.weight != 0).all()
    result = model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()}, strict=False)
    assert not result.missing_keys and not result.unexpected_keys and (model.weight == 0).all()


@check
def check_loader_has_no_state():
    loader = torch.utils.data.DataLoader(range(3))
    assert not hasattr(loader, "state_dict")


@holds("Seed", "Checkpoint")
def check_the_seed_comes_before_the_model():
    def drawn(early):
        for seed in (torch.manual_seed, random.seed, np.random.seed):
            seed(0)
        if not early:
            torch.manual_seed(torch.seed())
        layer = nn.Linear(2, 2)
        torch.manual_seed(0)
        return layer.weight.tolist(), random.random(), np.random.rand(), torch.rand(()).item()

    assert drawn(True) == drawn(True) and drawn(False)[0] != drawn(False)[0] and drawn(False)[1:] == drawn(False)[1:]
    torch.manual_seed(0)
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        found.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert [a == b for a, b in zip(*found)] == [False, False, True]  # torch's seed alone leaves the others
    tensors = {"a": torch.ones(2, 3, dtype=torch.float16), "b": torch.tensor(True), "c": torch.zeros(0).long()}
    file = saved(tensors)
    file.seek(0)
    assert all(v.shape == tensors[k].shape and v.dtype == tensors[k].dtype for k, v in torch.load(file).items())


@holds("Load", "`state_dict` or the whole model?")
def check_a_class_that_moved():
    import inspect

    assert inspect.signature(torch.load).parameters["weights_only"].default is None  # None stands for True:
    module = types.ModuleType("old_place")
    exec("from torch import nn\nclass Net(nn.Linear):\n    pass", module.__dict__)
    sys.modules["old_place"] = module
    model = module.Net(2, 2)
    whole, weights = saved(model), saved(model.state_dict())
    del sys.modules["old_place"]
    for file in (whole, weights):
        file.seek(0)
    raises(pickle.UnpicklingError, lambda: torch.load(whole), "Weights only load failed")
    whole.seek(0)
    raises(ModuleNotFoundError, lambda: torch.load(whole, weights_only=False), "old_place")
    fresh = nn.Linear(2, 2)
    fresh.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    assert torch.equal(fresh.weight, model.weight)


@holds("Modes", "evaluate in the right mode")
def check_modes():
    model = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5), nn.Linear(64, 1))
    x = torch.randn(16, 8)
    assert not torch.equal(model.train()(x), model(x))  # dropout is measured too
    model.eval()
    with torch.inference_mode():
        first, second = model(x), model(x)
    assert torch.equal(first, second) and not first.requires_grad


@holds("overfit one batch")
def check_one_batch():
    for seed in range(3):
        torch.manual_seed(seed)
        x, y = torch.randn(8, 4), torch.randn(8)

        def left(loss, frozen=False):
            model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1)).requires_grad_(not frozen)
            model.register_parameter("unused", nn.Parameter(torch.zeros(())))
            optimizer = torch.optim.Adam(model.parameters(), 0.02)
            for _ in range(250):
                optimizer.zero_grad()
                (loss(model(x)) + 0 * model.unused).backward()
                optimizer.step()
            return (model(x).squeeze(1) - y).square().mean().item()

        right = lambda p: (p.squeeze(1) - y).square().mean()
        assert left(right) < 0.02
        assert left(lambda p: (p - y).square().mean()) > 0.1  # shapes (8, 1) and (8,)
        assert left(lambda p: -right(p).clamp(max=50)) > 1  # a loss of the wrong sign
        assert left(right, frozen=True) > 0.1


@holds("feed data fast enough")
def check_the_step_waits_for_its_batch():
    log = []

    class Loaded(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            log.append("load")
            return i

    for _ in torch.utils.data.DataLoader(Loaded()):
        log.append("step")
    assert log == ["load", "step"] * 3


@holds("add up the loss as a number")
def check_the_total_holds_the_graphs():
    import weakref

    for number, alive in ((False, 3), (True, 0)):
        model, total, graphs = nn.Linear(2, 1), torch.zeros(()), []
        for _ in range(3):
            hidden = model(torch.randn(4, 2))
            marker = type("Marker", (), {})()
            hidden.grad_fn.metadata["marker"] = marker
            graphs.append(weakref.ref(marker))
            loss = hidden.square().mean()
            loss.backward()
            total = total + (loss.item() if number else loss)
            del hidden, loss, marker
        assert sum(graph() is not None for graph in graphs) == alive


@holds(r"What does a first loss of about $\ln C$ mean?")
def check_the_first_loss():
    for classes in (2, 10, 1000):
        target = torch.randint(classes, (500,))
        even = nn.functional.cross_entropy(torch.zeros(500, classes), target).item()
        assert math.isclose(even, math.log(classes), rel_tol=1e-5)
        logits = 30 * torch.randn(500, classes)
        wrong = logits.argmax(1) != target
        assert nn.functional.cross_entropy(logits, target) > 2 * even
        assert logits.softmax(1).max(1).values[wrong].mean() > 0.8
