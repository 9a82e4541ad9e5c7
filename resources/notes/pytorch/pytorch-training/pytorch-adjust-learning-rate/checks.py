import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from note_checks import by_definition, check, formula, holds, pitfall, raises, stated
from trainings import handwritten_digits

MOMENTUM = r"v_t = \mu\,v_{t-1} + g_t, \qquad \theta_t = \theta_{t-1} - \eta_t\,v_t"
LAYERS = r"\eta_l = \eta\,\xi^{\,L-l}"

by_definition("Same in train and eval?")  # an optimizer has no train() and no eval()


@formula(MOMENTUM)
@holds("Takes effect", "State (momentum, Adam's moments)")
def check_momentum_with_a_changing_rate():
    for shape in [(1,), (3, 2)]:
        for mu in (0.5, 0.9):
            w = torch.randn(shape, dtype=torch.float64, requires_grad=True)
            theta, v = w.detach().numpy().copy(), np.zeros(shape)
            optimizer = torch.optim.SGD([w], lr=1.0, momentum=mu)
            for rate in (0.3, 0.3, 0.01, 2.0):
                optimizer.param_groups[0]["lr"] = rate
                g = np.random.randn(*shape)
                w.grad = torch.from_numpy(g)
                optimizer.step()
                v = mu * v + g
                theta = theta - rate * v
                np.testing.assert_allclose(w.detach().numpy(), theta, rtol=1e-9)


@formula(LAYERS)
@holds("groups with their own `lr`")
def check_layer_rates():
    for L, xi, eta in [(4, 0.5, 0.001), (3, 0.9, 0.1)]:
        layers = [nn.Linear(2, 2, dtype=torch.float64) for _ in range(L)]
        before = [layer.weight.detach().clone() for layer in layers]
        optimizer = torch.optim.SGD(
            [{"params": m.parameters(), "lr": eta * xi ** (L - l)} for l, m in enumerate(layers, 1)]
        )
        for layer in layers:
            layer.weight.grad = torch.ones(2, 2, dtype=torch.float64)
        optimizer.step()
        for l, (old, layer) in enumerate(zip(before, layers), 1):
            np.testing.assert_allclose((old - layer.weight.detach()).numpy(), eta * xi ** (L - l), rtol=1e-9)
    for text, l in zip(("0.000125", "0.00025", "0.0005", "0.001"), range(1, 5)):
        stated(text, 0.001 * 0.5 ** (4 - l))


def path(fresh):
    w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer, values = torch.optim.SGD([w], lr=0.1, momentum=0.9), []
    for t in range(3):
        if t == 2 and fresh:
            optimizer = torch.optim.SGD([w], lr=0.01, momentum=0.9)
        elif t == 2:
            optimizer.param_groups[0]["lr"] = 0.01
        w.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
        values.append(w.item())
    return values, optimizer.state[w]["momentum_buffer"].item()


@check
def check_worked_example():
    kept, v = path(False)
    for text, value in (("0.9", kept[0]), ("0.71", kept[1]), ("0.6829", kept[2]), ("2.71", v), ("0.0271", 0.01 * v)):
        stated(text, value)
    stated("0.70", path(True)[0][2])
    # long run: v tends to 1 / (1 - mu) = 10; from an empty buffer it takes about twenty steps to come close
    assert abs(1 - 0.9**20 - 0.88) < 0.01


@pitfall("The loss behaves oddly after each change of the rate")
def check_a_new_optimizer_disturbs_the_loss():
    x, y = (part[:600] for part in handwritten_digits())

    def losses(make, rate, fresh):
        torch.manual_seed(0)
        model, values = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), []
        optimizer = make(model.parameters(), rate)
        for step in range(106):
            if step == 100 and fresh:
                optimizer = make(model.parameters(), rate / 2)
            elif step == 100:
                optimizer.param_groups[0]["lr"] = rate / 2
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            values.append(loss.item())
        return np.array(values[100:])

    assert losses(torch.optim.Adam, 0.05, True).max() > 2 * losses(torch.optim.Adam, 0.05, False).max()
    with_momentum = lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9)
    gain = lambda values: values[0] - values[2]
    assert gain(losses(with_momentum, 0.3, False)) > 3 * gain(losses(with_momentum, 0.3, True)) > 0
    assert (np.diff(losses(torch.optim.Adam, 0.05, False)) < 0).all()


@pitfall("The new rate is overwritten")
@holds("a scheduler from `torch.optim.lr_scheduler`")
def check_scheduler_overwrites():
    for make, expected in (
        (lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.5**t), 0.5),
        (lambda o: lr_scheduler.StepLR(o, 1, 0.5), 2.5),
    ):
        optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        scheduler = make(optimizer)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 5.0
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] == expected
        alone = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        alone.param_groups[0]["lr"] = 5.0
        alone.step()
        assert alone.param_groups[0]["lr"] == 5.0


@pitfall("A group added later is scheduled wrongly")
def check_late_group():
    for make in (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10),
        lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.5**t),
    ):
        optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        scheduler = make(optimizer)
        optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "lr": 1.0})
        optimizer.step()
        raises(ValueError, scheduler.step, "shorter than argument")
    for make, expected in ((lambda o: lr_scheduler.StepLR(o, 1, 0.5), "0.5"), (lr_scheduler.LinearLR, "1.4")):
        optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        scheduler = make(optimizer)
        optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "lr": 1.0})
        optimizer.step()
        scheduler.step()
        stated(expected, optimizer.param_groups[1]["lr"])
    for make, expected in (
        (lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.5**t), 0.5),
        (lr_scheduler.LinearLR, 1 / 3 + 2 / 15),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2), 0.5),
    ):
        frozen, w = torch.ones(1), torch.ones(1, requires_grad=True)
        optimizer = torch.optim.SGD([{"params": [w]}, {"params": [frozen]}], lr=1.0)
        scheduler = make(optimizer)
        optimizer.step()
        scheduler.step()
        np.testing.assert_allclose([group["lr"] for group in optimizer.param_groups], expected)


@check
def check_scheduler_built_anew_starts_over():
    for make, expected in (
        (lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.5**t), 1.0),
        (lambda o: lr_scheduler.StepLR(o, 1, 0.5), 0.5),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 2), 0.5),
    ):
        optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
        scheduler = make(optimizer)
        optimizer.step()
        scheduler.step()
        assert abs(optimizer.param_groups[0]["lr"] - 0.5) < 1e-9
        optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "lr": 0.3})
        make(optimizer)
        np.testing.assert_allclose([group["lr"] for group in optimizer.param_groups], [expected, 0.3])


@pitfall("After resuming, the old rate is back")
def check_a_scheduler_after_loading_reads_the_initial_rate():
    w = torch.ones(1, requires_grad=True)
    old = torch.optim.SGD([w], lr=1.0)
    plan = lr_scheduler.LambdaLR(old, lambda t: 0.5**t)
    optimizer = torch.optim.SGD([w], lr=0.1)
    optimizer.load_state_dict(old.state_dict())
    assert optimizer.param_groups[0]["lr"] == 1.0
    for names, expected in ((("lr",), 1.0), (("lr", "initial_lr"), 0.1)):
        optimizer = torch.optim.SGD([w], lr=0.1)
        optimizer.load_state_dict(old.state_dict())
        for name in names:
            optimizer.param_groups[0][name] = 0.1
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda t: 0.5**t)
        assert optimizer.param_groups[0]["lr"] == expected
    scheduler.load_state_dict(plan.state_dict())
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.5
    for before, expected in ((True, 0.5), (False, 0.05)):  # a scheduler built before loading keeps the old rate
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda t: 0.5**t)
        optimizer.load_state_dict(old.state_dict())
        for name in ("lr", "initial_lr"):
            optimizer.param_groups[0][name] = 0.1
        if not before:
            scheduler = lr_scheduler.LambdaLR(optimizer, lambda t: 0.5**t)
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] == expected


@pitfall("`optimizer.lr = 0.001` does nothing")
@holds('writing `group["lr"]`')
def check_an_attribute_nobody_reads():
    for write, expected in (
        (lambda o: setattr(o, "lr", 0.001), 0.0),
        (lambda o: [group.update(lr=0.001) for group in o.param_groups], 0.999),
    ):
        w = torch.ones(1, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        write(optimizer)
        w.grad = torch.ones(1)
        optimizer.step()
        assert abs(w.item() - expected) < 1e-6


@pitfall('"some parameters appear in more than one parameter group"')
def check_the_head_is_listed_once():
    model = nn.Sequential()
    model.body, model.head = nn.Linear(3, 2), nn.Linear(2, 1)
    head = {"params": model.head.parameters(), "lr": 0.1}
    twice = [{"params": model.parameters()}, {"params": model.head.parameters(), "lr": 0.1}]
    raises(ValueError, lambda: torch.optim.SGD(twice, lr=1), "some parameters appear in more than one parameter group")
    body = [p for n, p in model.named_parameters() if not n.startswith("head.")]
    groups = torch.optim.SGD([{"params": body}, head], lr=1).param_groups
    assert [len(group["params"]) for group in groups] == [2, 2]


@holds("Value", "Another group", "Which rate does a scheduler with several groups use?")
def check_remaining_claims():
    w, v = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0)
    optimizer.defaults["lr"] = 0.3
    optimizer.add_param_group({"params": [v]})
    assert [g["lr"] for g in optimizer.param_groups] == [1.0, 0.3]
    for make in (torch.optim.Adam, torch.optim.AdamW):
        raises(ValueError, lambda: make([v], lr=torch.tensor(0.5), foreach=True), "lr as a Tensor is not supported")
    norm = nn.BatchNorm1d(2).requires_grad_(False)
    norm(torch.randn(8, 2) + 5)
    assert norm.running_mean.min() > 0.2  # a frozen layer's buffers still move
    tensor_rate = torch.optim.SGD([v], lr=torch.tensor(0.5))
    v.grad, old = torch.ones(1), v.item()
    tensor_rate.step()
    assert v.item() == old - 0.5
    zero = torch.optim.SGD([w], lr=0.0, momentum=0.9)
    before = w.item()
    w.grad = torch.ones(1)
    zero.step()
    assert w.item() == before and zero.state[w]["momentum_buffer"].item() == 1
    for make in (lambda o: lr_scheduler.StepLR(o, 1, 0.1), lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.1**t)):
        optimizer = torch.optim.SGD([{"params": [w], "lr": 0.4}, {"params": [v]}], lr=0.02)
        scheduler = make(optimizer)
        optimizer.step()
        scheduler.step()
        np.testing.assert_allclose([g["lr"] for g in optimizer.param_groups], [0.04, 0.002])
    optimizer = torch.optim.SGD([{"params": [w], "lr": 0.4}, {"params": [v]}], lr=0.02, momentum=0.9)
    lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    np.testing.assert_allclose([g["lr"] for g in optimizer.param_groups], 0.04)


@holds("Input")
def check_groups_are_dictionaries():
    w = torch.ones(1, requires_grad=True)
    (group,) = torch.optim.AdamW([{"params": [w], "lr": 1e-4}], lr=0.5).param_groups
    assert isinstance(group, dict) and group["params"][0] is w and group["lr"] == 1e-4


@holds("State (momentum, Adam's moments)", "Does changing the rate need changed Adam moments?")
def check_moments_do_not_see_the_rate():
    gradients, found = torch.randn(6, 3), []
    for rates in ((0.1,) * 6, (0.1, 0.1, 5.0, 0.0, 1e-4, 0.1)):
        w = torch.ones(3, requires_grad=True)
        optimizer = torch.optim.Adam([w], lr=0.1)
        for rate, g in zip(rates, gradients):
            optimizer.param_groups[0]["lr"] = rate
            w.grad = g.clone()
            optimizer.step()
        found.append((w.detach().clone(), optimizer.state[w]["exp_avg"], optimizer.state[w]["exp_avg_sq"]))
    (w, m, v), (other, m_other, v_other) = found
    assert torch.equal(m, m_other) and torch.equal(v, v_other) and not torch.allclose(w, other, atol=0.1)


@holds("Does a rate of 0 equal freezing?", "`p.requires_grad_(False)`")
def check_a_rate_of_zero_is_not_freezing():
    for frozen in (False, True):
        layer = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
        before = [p.detach().clone() for p in layer[:2].parameters()]
        layer[:2].requires_grad_(not frozen)
        first = {"params": layer[:2].parameters(), "lr": 1.0 if frozen else 0.0}
        optimizer = torch.optim.SGD([first, {"params": layer[2].parameters()}], lr=0.1, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            layer(torch.randn(8, 2) + 3).square().mean().backward()
            optimizer.step()
        assert all(torch.equal(p, old) for p, old in zip(layer[:2].parameters(), before))
        for p in layer[:2].parameters():
            assert (p.grad is None) == frozen and ("momentum_buffer" in optimizer.state[p]) == (not frozen)
        assert layer[1].running_mean.abs().max() > 0  # BatchNorm's statistics moved, frozen or not


@holds("groups with their own `weight_decay`")
def check_no_decay_for_one_group():
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    for p in model.parameters():
        p.data.fill_(1.0)
        p.grad = torch.zeros_like(p)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() == 1]
    torch.optim.AdamW([{"params": decayed, "weight_decay": 0.5}, {"params": rest, "weight_decay": 0.0}], lr=0.1).step()
    assert all((p == 1).all() for p in rest) and len(rest) == 3 and torch.allclose(decayed[0], torch.tensor(0.95))
