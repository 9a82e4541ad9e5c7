import copy
import inspect
import math

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated
from trainings import handwritten_digits

RECURSION = (
    r"\bar\theta_1 = \theta_1, \qquad \bar\theta_t = \beta\,\bar\theta_{t-1} + (1-\beta)\,\theta_t \quad (t > 1)"
)
UNROLLED = r"\bar\theta_T = \beta^{T-1}\,\theta_1 + (1-\beta) \sum_{t=2}^{T} \beta^{T-t}\,\theta_t"
EQUAL = r"\bar\theta_t = \bar\theta_{t-1} + \frac{\theta_t - \bar\theta_{t-1}}{t}"

by_definition("schedule to zero", "ensemble")
sourced("DDPM (arXiv 2006.11239), DINO (arXiv 2104.14294), MoCo (arXiv 1911.05722): EMA of weights", "EMA")
sourced("Averaging Weights Leads to Wider Optima, arXiv 1803.05407, abstract: cyclical or constant rate", "SWA")


def followed(path, **options):
    """The library's average after each update, for one parameter that takes the values of path."""
    model = nn.Linear(path.shape[2], path.shape[1], bias=False, dtype=torch.float64)
    averaged, found = AveragedModel(model, **options), []
    for values in path:
        with torch.no_grad():
            model.weight.copy_(torch.tensor(values))
        averaged.update_parameters(model)
        found.append(averaged.module.weight.detach().numpy().copy())
    return found


@formula(RECURSION, UNROLLED)
@holds("EMA")
def check_ema():
    for shape in ((12, 1, 1), (30, 3, 4)):
        for beta in (0.5, 0.9, 0.999):
            path = np.random.randn(*shape)
            library = followed(path, multi_avg_fn=get_ema_multi_avg_fn(beta))
            mean = path[0]
            for t, values in enumerate(path):
                mean = values if t == 0 else beta * mean + (1 - beta) * values
                np.testing.assert_allclose(mean, library[t], rtol=1e-9, atol=1e-12)
            T = len(path)
            unrolled = beta ** (T - 1) * path[0] + (1 - beta) * sum(
                beta ** (T - t) * path[t - 1] for t in range(2, T + 1)
            )
            np.testing.assert_allclose(unrolled, library[-1], rtol=1e-9, atol=1e-12)
            assert math.isclose(beta ** (T - 1) + (1 - beta) * sum(beta ** (T - t) for t in range(2, T + 1)), 1)


@formula(EQUAL)
@holds("SWA")
def check_swa_is_the_default():
    path = np.random.randn(20, 2, 3)
    library, mean = followed(path), 0.0
    for t, values in enumerate(path, start=1):
        mean = mean + (values - mean) / t
        np.testing.assert_allclose(mean, library[t - 1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(path.mean(0), library[-1], rtol=1e-9, atol=1e-12)


@check
def check_numbers():
    stated("693", math.log(2) / -math.log(0.999))
    stated("6,931", math.log(2) / -math.log(0.9999))
    stated("0.0005", (1 - 0.999) / (1 + 0.999))
    stated("0.368", 0.999**1000)
    found = followed(np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1), multi_avg_fn=get_ema_multi_avg_fn(0.9))
    stated("1.1", found[1].item())
    stated("1.29", found[2].item())
    noise = followed(np.random.randn(400, 100, 100), multi_avg_fn=get_ema_multi_avg_fn(0.9))
    assert abs(noise[-1].var() / (0.1 / 1.9) - 1) < 0.08


@holds("In PyTorch", "Input → output", "Defaults", "Does the EMA change gradients?")
def check_contract():
    assert inspect.signature(get_ema_multi_avg_fn).parameters["decay"].default == 0.999
    defaults = {n: p.default for n, p in inspect.signature(AveragedModel).parameters.items()}
    assert defaults["use_buffers"] is False and defaults["avg_fn"] is None and defaults["multi_avg_fn"] is None
    model = nn.Linear(3, 2)
    averaged = AveragedModel(model)
    assert averaged.module is not model and "n_averaged" in averaged.state_dict()
    before = copy.deepcopy(model.state_dict())
    averaged.update_parameters(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    of_copy = averaged.module.named_parameters()
    assert [(n, p.shape, p.dtype) for n, p in of_copy] == [(n, p.shape, p.dtype) for n, p in model.named_parameters()]
    teacher = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    teacher.update_parameters(model)
    nn.init.zeros_(model.weight)
    x, target, found = torch.randn(8, 3), torch.randn(8, 2), []
    for kept, taught in ((False, False), (True, False), (True, True)):
        model.zero_grad()
        if kept:
            teacher.update_parameters(model)
        with torch.no_grad():
            wanted = teacher(x) if taught else target
        nn.functional.mse_loss(model(x), wanted).backward()
        found.append(model.weight.grad.clone())
    assert torch.equal(found[0], found[1]) and not torch.allclose(found[1], found[2], atol=1e-3)
    assert all(p.grad is None for p in teacher.parameters())


@holds("Memory", "Same in train and eval?")
def check_copy_and_mode():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ours, averages = sum(t.numel() for t in model.state_dict().values()), []
    for training in (True, False):
        averaged = AveragedModel(model.train(), multi_avg_fn=get_ema_multi_avg_fn(0.9))
        assert sum(t.numel() for t in averaged.module.state_dict().values()) == ours
        assert averaged.module[1].training  # the copy is made in training mode: predictions need eval()
        for value in (1.0, 2.0):
            nn.init.constant_(model[0].weight, value)
            averaged.train(training).update_parameters(model.train(training))
        averages.append(averaged.module[0].weight.detach())
    assert torch.equal(*averages) and torch.allclose(averages[0], torch.tensor(1.1))


@check
def check_buffers():
    for use_buffers in (False, True):
        torch.manual_seed(3)
        model = nn.BatchNorm1d(4)
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=use_buffers)
        for _ in range(5):
            model(torch.randn(16, 4) + 3)
            averaged.update_parameters(model)
        same = torch.equal(averaged.module.running_mean, model.running_mean)
        assert same is not use_buffers


@pitfall("Buffers of the averaged model do not fit its weights")
def check_batch_norm_statistics_of_the_average():
    """Moving weights in front of a BatchNorm: how far its running mean is from the mean that it really receives."""

    def misfit(use_buffers, renewed):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4))
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=use_buffers)
        for step in range(600):
            nn.init.constant_(model[0].weight, step / 600)
            model(torch.randn(64, 4) + 3)
            averaged.update_parameters(model)
        if renewed:
            update_bn([torch.randn(64, 4) + 3 for _ in range(50)], averaged)
        real = averaged.module[0](torch.full((1, 4), 3.0))[0]
        return (averaged.module[1].running_mean - real).abs().max().item()

    assert misfit(False, False) > 1 and misfit(True, False) < 0.4 and misfit(False, True) < 0.1


@pitfall("Buffers of the averaged model do not fit its weights")
def check_averaged_index_table():
    model = nn.Linear(2, 2)
    model.register_buffer("index", torch.arange(1000))
    for use_buffers in (False, True):
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9999), use_buffers=use_buffers)
        for _ in range(5):
            averaged.update_parameters(model)
        assert (averaged.module.index - model.index).unique().tolist() == ([-1, 0] if use_buffers else [0])
    norm = nn.BatchNorm1d(2)
    for use_buffers in (False, True):  # a counter
        averaged = AveragedModel(norm, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=use_buffers)
        for _ in range(50):
            norm(torch.randn(4, 2))
            averaged.update_parameters(norm)
        assert (averaged.module.num_batches_tracked < norm.num_batches_tracked) == use_buffers


@pitfall("In bfloat16 the average stands still")
def check_bfloat16_stands_still():
    for dtype, moves in ((torch.bfloat16, False), (torch.float32, True)):
        model = nn.Linear(1, 1, bias=False, dtype=dtype)
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
        for value in (1.0, 1.5, 1.5):
            nn.init.constant_(model.weight, value)
            averaged.update_parameters(model)
        assert (averaged.module.weight.item() != 1.0) is moves
    assert math.isclose(0.001 * 0.5, 0.0005)


@holds("How does this differ from the moving averages in Adam and BatchNorm?")
def check_batch_norm_momentum_is_the_new_share():
    norm = nn.BatchNorm1d(2)
    assert norm.momentum == 0.1
    x = torch.randn(64, 2) + 5
    norm(x)
    assert torch.allclose(norm.running_mean, 0.1 * x.mean(0))
    w = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([w])
    for gradient in (1.0, 3.0):
        w.grad = torch.tensor([gradient])
        optimizer.step()
    first, second = optimizer.state[w]["exp_avg"].item(), optimizer.state[w]["exp_avg_sq"].item()
    assert math.isclose(first, 0.9 * 0.1 + 0.1 * 3, rel_tol=1e-5)
    assert math.isclose(second, 0.999 * 0.001 + 0.001 * 9, rel_tol=1e-4)


@holds("When does averaging weights work in a nonlinear network?")
def check_average_of_two_runs():
    pixels, classes = handwritten_digits()

    def errors(network):
        return (network(pixels).argmax(1) != classes).float().mean().item()

    def trained(seed):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(pixels), classes).backward()
            optimizer.step()
        return network

    first, second = trained(0), trained(1)
    both = AveragedModel(first)
    both.update_parameters(first)
    both.update_parameters(second)
    assert max(errors(first), errors(second)) < 0.02 and errors(both) > 0.1
    # Where the loss is convex (a linear model), the average has at most the mean loss.
    a, b = nn.Linear(64, 10), nn.Linear(64, 10)
    mean = AveragedModel(a)
    mean.update_parameters(a)
    mean.update_parameters(b)
    losses = [nn.functional.cross_entropy(model(pixels), classes) for model in (a, b, mean)]
    assert losses[2] <= (losses[0] + losses[1]) / 2


@pitfall("In bfloat16 the average stands still")
def check_float32_copy_of_a_bfloat16_model():
    model = torch.nn.Linear(2, 2).bfloat16()

    def after(average):
        torch.nn.init.ones_(model.weight)
        average.update_parameters(model)
        torch.nn.init.constant_(model.weight, 1.5)
        for _ in range(100):
            average.update_parameters(model)
        return average.module.weight

    assert (after(AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))) == 1).all()
    slowly = lambda a, w, n: a + 0.001 * (w.float() - a)
    copy = after(AveragedModel(model, avg_fn=slowly).float())
    assert torch.allclose(copy, torch.tensor(1.5 - 0.5 * 0.999**100), atol=1e-5)
    fed = AveragedModel(model, avg_fn=slowly).float()
    raises(RuntimeError, lambda: fed(torch.ones(1, 2).bfloat16()), "dtype")
    assert fed(torch.ones(1, 2)).dtype == torch.float32
    raises(RuntimeError, lambda: after(AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999)).float()), "dtype")
    norm = nn.BatchNorm1d(2).bfloat16()  # its buffers are averaged too, with an integer counter among them
    both = AveragedModel(norm, avg_fn=slowly, use_buffers=True).float()
    for value in (0.0, 1.0):
        norm.running_mean.fill_(value)
        both.update_parameters(norm)
    assert torch.allclose(both.module.running_mean, torch.tensor(0.001), rtol=1e-4)


def least_squares(steps, decay=0.99, cosine=False, first=0, every=1, growing=False, state=None):
    """The regression of the article: the distances of the trained and of the averaged weights from the best ones."""
    torch.manual_seed(0)
    x = torch.randn(4000, 5)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0], [3.0]]) + torch.randn(4000, 1)
    best, model = torch.linalg.lstsq(x, y).solution.T, nn.Linear(5, 1)
    grown = lambda a, w, n: a.lerp(w, 1 - min(decay, (1 + float(n)) / (10 + float(n))))
    how = {"avg_fn": grown} if growing else {"multi_avg_fn": get_ema_multi_avg_fn(decay)}
    ema = AveragedModel(model, **how)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = CosineAnnealingLR(optimizer, T_max=steps) if cosine else None
    if state:
        model.load_state_dict(state[0])
        ema.load_state_dict(state[1]) if "n_averaged" in state[1] else ema.module.load_state_dict(state[1])
        torch.manual_seed(1)
    for step in range(steps):
        rows = torch.randint(0, 4000, (8,))
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x[rows]), y[rows]).backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        if step >= first and step % every == 0:
            ema.update_parameters(model)
    distances = [(net.weight - best).norm().item() for net in (model, ema.module)]
    return distances, (model.state_dict(), ema.state_dict(), ema.module.state_dict())


@pitfall("EMA filed under learning-rate schedules")
def check_averaging_is_no_schedule():
    (constant, averaged), _ = least_squares(2000)
    (scheduled, both), _ = least_squares(2000, cosine=True)
    assert averaged < 0.6 * constant and scheduled < 0.6 * constant  # each of the two calms the weights
    assert scheduled - both < 0.2 * (constant - averaged)  # after the schedule there is little left to gain
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    swa = SWALR(optimizer, swa_lr=0.01, anneal_epochs=1)
    optimizer.step()
    swa.step()
    assert math.isclose(optimizer.param_groups[0]["lr"], 0.01)


@pitfall("The EMA model is bad early in training")
def check_first_weights_linger():
    early = {"decay": 0.999, "steps": 500}
    (trained, lagging), _ = least_squares(**early)
    assert lagging > 1.5 and trained < 0.5
    for fix in ({"growing": True}, {"first": 200}):
        assert least_squares(**early, **fix)[0][1] < 0.3
    assert least_squares(1500, decay=0.999, every=50)[0][1] > 3 * least_squares(1500, decay=0.999)[0][1]


@pitfall("After resuming, the averaged model is worse than before")
def check_resuming():
    (_, averaged), (model, whole, module) = least_squares(1960)
    (trained, restarted), _ = least_squares(1, state=(model, module))
    (_, restored), _ = least_squares(1, state=(model, whole))
    assert restarted == trained > 1.5 * averaged and abs(restored / averaged - 1) < 0.05
