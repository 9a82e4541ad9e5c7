import functools
import inspect
import math
import random
import time
import warnings

import numpy as np
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from note_checks import check, formula, holds, pitfall, quietly, raises, sourced, stated
from trainings import handwritten_digits

CLIP = r"g \leftarrow g \cdot \min\!\Big(1,\; \frac{c}{\lVert g \rVert_2 + 10^{-6}}\Big)"
MEMORY = r"M(S) = a\,\Big(S + \frac{L}{S}\Big), \qquad S^{*} = \sqrt{L}"


sourced("PyTorch documentation, DistributedDataParallel", "one GPU is too slow")


@formula(CLIP)
def check_clipping():
    for shapes in [[(2,)], [(3, 4), (5,)], [(2, 2, 2), (1,), (7,)]]:
        for c in (0.1, 1.0, 100.0):
            parameters = [nn.Parameter(torch.zeros(s, dtype=torch.float64)) for s in shapes]
            for p in parameters:
                p.grad = torch.randn_like(p)
            g = np.concatenate([p.grad.numpy().flatten() for p in parameters])
            returned = nn.utils.clip_grad_norm_(parameters, c)
            norm = np.sqrt((g**2).sum())
            ours = g * min(1, c / (norm + 1e-6))
            np.testing.assert_allclose(np.concatenate([p.grad.numpy().flatten() for p in parameters]), ours, rtol=1e-9)
            assert math.isclose(returned.item(), norm, rel_tol=1e-9)


def peak(L, S):
    """Most distinct activations that are alive at once, counted while a real chain runs forward and backward."""
    seen, most = [], [0]

    class Sine(nn.Module):
        def forward(self, x):
            seen.append(StorageWeakRef(x.untyped_storage()))
            most[0] = max(most[0], len({ref.cdata for ref in seen if not ref.expired()}))
            return x.sin()

    model = nn.Sequential(*(Sine() for _ in range(L)))
    y = torch.randn(4, requires_grad=True)
    if S is None:
        y = model(y)
    else:
        for start in range(0, L, L // S):
            y = checkpoint(model[start : start + L // S], y, use_reentrant=False)
    y.sum().backward()
    return most[0]


@formula(MEMORY)
def check_memory():
    for L in (16, 36):
        costs = {S: S + L / S for S in range(1, L + 1) if L % S == 0}
        assert min(costs, key=costs.get) == math.isqrt(L)
        assert peak(L, None) == L
        measured = {S: peak(L, S) for S in costs}
        # the input of the recomputed segment is counted twice in S + L/S
        assert all(abs(measured[S] - (cost - 1)) <= 0.5 for S, cost in costs.items()), measured
        assert min(measured, key=measured.get) == math.isqrt(L)
    for S, text in ((4, "8"), (2, "10"), (8, "10")):
        stated(text, S + 16 / S)


@check
def check_worked_example():
    w = nn.Parameter(torch.zeros(2))
    w.grad = torch.tensor([3.0, 4.0])
    stated("5", nn.utils.clip_grad_norm_([w], 1.0))
    stated("0.6", w.grad[0])
    stated("0.8", w.grad[1])
    stated("16", 16 * 1)


@check
def check_stored_segments():
    """What a checkpointed chain keeps at the end of the forward pass is one input per segment."""
    for S in (1, 2, 4, 8):
        layers = [nn.Linear(8, 8) for _ in range(16)]
        inputs = []
        y = torch.randn(4, 8, requires_grad=True)
        for start in range(0, 16, 16 // S):
            inputs.append(y)
            y = checkpoint(nn.Sequential(*layers[start : start + 16 // S]), y, use_reentrant=False)
        assert len(inputs) == S


@holds("Defaults")
def check_defaults_and_nan():
    signature = inspect.signature(nn.utils.clip_grad_norm_).parameters
    assert signature["norm_type"].default == 2.0 and signature["error_if_nonfinite"].default is False
    assert inspect.signature(checkpoint).parameters["use_reentrant"].default is None
    w = nn.Parameter(torch.zeros(2))
    w.grad = torch.tensor([1.0, math.nan])
    nn.utils.clip_grad_norm_([w], 1.0)
    assert w.grad.isnan().all()
    raises(RuntimeError, lambda: nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True), "non-finite")
    w.grad = torch.tensor([3.0, 0.5])
    nn.utils.clip_grad_value_([w], 1.0)
    assert w.grad.tolist() == [1.0, 0.5]


@check
def check_clipped_sgd_steps_are_equally_long():
    for size in (5.0, 500.0):
        w = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        w.grad = torch.full_like(w, size)
        nn.utils.clip_grad_norm_([w], 1.0)
        torch.optim.SGD([w], lr=0.1).step()
        assert math.isclose(w.detach().norm().item(), 0.1, rel_tol=1e-5)


def length_of_a_step(clip_at, size, scaled=False, unscale=False):
    """Length of one SGD step of rate 0.1 where the gradient has norm 5 · size and is clipped to 1 at some moment."""
    w = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([w], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    for moment in ("before backward", "before step", "after step"):
        if moment == "before step":
            scaler.scale(w @ torch.tensor([3.0, 4.0]) * size).backward()
            if unscale:
                scaler.unscale_(optimizer)
        if moment == "after step":
            scaler.step(optimizer)
        if moment == clip_at:
            nn.utils.clip_grad_norm_([w], 1.0)
    return w.detach().norm().item()


@pitfall("Clipping does nothing, or far too much")
def check_place_of_clipping():
    assert math.isclose(length_of_a_step("before step", 1), 0.1, rel_tol=1e-5)
    for useless in ("before backward", "after step"):
        assert math.isclose(length_of_a_step(useless, 1), length_of_a_step(None, 1), rel_tol=1e-6)
        assert length_of_a_step(useless, 1) > 0.4
    for size, wanted in ((1, 0.1), (0.1, 0.05)):
        assert length_of_a_step("before step", size, scaled=True) < 1e-5
        for scaled in (True, False):
            assert math.isclose(length_of_a_step("before step", size, scaled, unscale=scaled), wanted, rel_tol=1e-5)


class Root(nn.Module):
    def __init__(self, floor):
        super().__init__()
        self.floor = floor

    def forward(self, x):
        return (x * x.relu()).clamp(min=self.floor).sqrt() if self.floor else (x * x.relu()).sqrt()


@pitfall("NaN gradients survive clipping")
def check_nan_is_found_and_not_clipped():
    for floor in (0.0, 1e-6):
        model = nn.Sequential(nn.Linear(3, 8), Root(floor), nn.Linear(8, 1))
        broken = []
        for name, layer in model.named_children():

            def note(layer, into, out, name=name):
                if not into[0].isfinite().all():
                    broken.append(name)

            layer.register_full_backward_hook(note)
        model(torch.randn(16, 3, requires_grad=True)).sum().backward()
        if floor:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
            assert not broken and all(p.grad.isfinite().all() for p in model.parameters())
        else:
            assert broken[0] == "1"
            strict = functools.partial(nn.utils.clip_grad_norm_, error_if_nonfinite=True)
            raises(RuntimeError, lambda: strict(model.parameters(), 1.0), "non-finite")
            assert all(p.isfinite().all() for p in model.parameters())
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            assert all(p.grad.isnan().all() for p in model.parameters())
    w = nn.Parameter(torch.ones(2))
    optimizer, scaler = torch.optim.SGD([w], lr=0.1), torch.amp.GradScaler("cpu")
    scaler.scale(w.sum() * 1e38).backward()
    scaler.unscale_(optimizer)
    raises(RuntimeError, lambda: nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True), "non-finite")
    scaler.step(optimizer)
    assert torch.equal(w.detach(), torch.ones(2))


class Slow(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        time.sleep(0.1)
        return torch.ones(2)


@pitfall("Faster kernels, same time per epoch")
@holds("GPU waits for data")
def check_waiting_for_data():
    """Pauses of 10 ms and of 1 ms stand for the kernels, of 100 ms for reading a sample; limits leave room for a busy machine."""

    def epoch(kernel, loader):
        begin = time.perf_counter()
        for _ in loader:
            time.sleep(kernel)
        return time.perf_counter() - begin

    alone = DataLoader(Slow())
    slow, fast, loader = epoch(0.01, alone), epoch(0.001, alone), epoch(0, alone)
    assert fast > 0.6 * slow and loader > 0.6 * fast
    options = {"num_workers": 4, "persistent_workers": True, "multiprocessing_context": "fork", "timeout": 60}
    workers = quietly(lambda: DataLoader(Slow(), **options))
    epoch(0, workers)  # starts them
    assert min(epoch(0.001, workers) for _ in range(3)) < 0.7 * fast


@pitfall("Several tricks at once, and the result is worse")
def check_one_trick_at_a_time():
    pixels, classes = handwritten_digits()

    def accuracy(batch, rate, clip=math.inf):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        optimizer = torch.optim.SGD(model.parameters(), rate)
        for _ in range(3):
            for rows in torch.randperm(1200).split(batch):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(pixels[rows]), classes[rows]).backward()
                nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
        return (model(pixels[1200:]).argmax(1) == classes[1200:]).float().mean().item()

    plain, both = accuracy(8, 0.03), accuracy(64, 0.03, clip=2.0)
    assert both < plain - 0.3
    assert accuracy(8, 0.03, clip=2.0) > plain - 0.03 and accuracy(64, 0.03) < plain - 0.3  # it is the batch
    assert accuracy(64, 0.24, clip=2.0) > plain - 0.05


@pitfall("The checkpointed part does not learn")
def check_reentrant():
    for reentrant in (True, False):
        part, head = nn.Linear(3, 3), nn.Linear(3, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            head(checkpoint(part, torch.randn(2, 3), use_reentrant=reentrant)).sum().backward()
        assert (part.weight.grad is None) is reentrant and head.weight.grad is not None
    layer, x = nn.Linear(3, 3), torch.randn(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not checkpoint(layer, x, use_reentrant=True).requires_grad
    assert checkpoint(layer, x, use_reentrant=False).requires_grad
    drop = nn.Dropout(0.5)
    x = torch.ones(1000, requires_grad=True)
    y = checkpoint(drop, x, use_reentrant=False)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@holds("Does checkpointing change the result?")
def check_batch_norm_is_updated_twice():
    counts = []
    for recompute in (False, True):
        for segment in ([], [nn.ReLU()], [nn.ReLU(), nn.Linear(2, 3)]):
            norm, x = nn.BatchNorm1d(2), torch.randn(8, 2, requires_grad=True)
            segment = nn.Sequential(nn.Linear(2, 2), norm, *segment)
            y = checkpoint(segment, x, use_reentrant=False) if recompute else segment(x)
            y.square().sum().backward()
            counts.append(int(norm.num_batches_tracked))
    assert counts == [1] * 3 + [2] * 3

    class Counted(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x + 1

    last, first = Counted(), Counted()  # the recomputation ends as soon as nothing more is needed
    for segment in (nn.Sequential(nn.Linear(2, 2), last), nn.Sequential(first, nn.Linear(2, 2))):
        checkpoint(segment, torch.randn(8, 2), use_reentrant=False).sum().backward()
    assert last.calls == 1 and first.calls == 2


@holds("Does checkpointing change the result?")
def check_rrelu_at_the_end_of_a_segment():
    x = (-torch.ones(100)).requires_grad_()
    y = checkpoint(nn.RReLU(), x, use_reentrant=False)
    y.sum().backward()
    assert not torch.allclose(x.grad, -y.detach())


@holds("Does checkpointing change the result?")
def check_gradients_that_change():
    class Scaled(nn.Linear):
        def forward(self, input):
            return super().forward(input) * random.random()

    def gradient(first, recompute):
        torch.manual_seed(0)
        model = nn.Sequential(first(), nn.ReLU(), nn.Linear(8, 4))
        y = checkpoint(model, x, use_reentrant=False) if recompute else model(x)
        y.square().sum().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    x = torch.randn(16, 8)
    for first, changes in (
        (lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)), False),
        (lambda: nn.utils.spectral_norm(nn.Linear(8, 8)), True),
        (lambda: Scaled(8, 8), True),
    ):
        gradients = []
        for recompute in (False, True):
            random.seed(0)
            gradients.append(gradient(first, recompute))
        difference = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
        assert difference > 1e-3 if changes else difference < 1e-5, difference


@holds("Clipping")
def check_what_clipping_changes():
    for dtype in (torch.float32, torch.bfloat16):
        w = nn.Parameter(torch.zeros(2, 3, dtype=dtype))
        w.grad = torch.full((2, 3), 4.0, dtype=dtype)
        gradient = w.grad
        before = gradient.float().norm()
        returned = nn.utils.clip_grad_norm_([w], 1.0)
        assert w.grad is gradient and gradient.shape == (2, 3) and gradient.dtype == dtype
        assert abs(returned - before) < 0.1 and abs(gradient.float().norm() - 1) < 0.02


@holds("Recomputation", "Cost of recomputation", "Does checkpointing change the result?")
def check_recomputation():
    calls = []

    class Counted(nn.Linear):
        def forward(self, input):
            calls.append(1)
            return super().forward(input)

    block = nn.Sequential(Counted(6, 6), nn.Tanh(), nn.Dropout(0.5), Counted(6, 6), nn.Tanh(), Counted(6, 4))
    x, results = torch.randn(5, 6), []
    for recompute in (False, True):
        calls.clear()
        block.zero_grad()
        torch.manual_seed(1)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
            y = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
        y.square().sum().backward()
        results.append((y.detach(), block[0].weight.grad.clone(), len(calls), len(kept)))
    (y, gradient, once, many), (again, same, twice, few) = results
    assert again.shape == y.shape and torch.allclose(again, y) and torch.allclose(same, gradient)
    assert (once, twice) == (3, 6) and few < many
    for preserve in (True, False):  # by default it is preserved, and so is the mask
        ones = torch.ones(1000, requires_grad=True)
        options = {} if preserve else {"preserve_rng_state": False}
        y = checkpoint(nn.Dropout(0.5), ones, use_reentrant=False, **options)
        y.sum().backward()
        assert torch.equal(ones.grad, y.detach()) is preserve


@holds("Same in train and eval?")
def check_nothing_is_saved_without_gradients():
    model, kept = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        with torch.no_grad():
            y = model(torch.randn(2, 3))
        assert not kept and not y.requires_grad
        model(torch.randn(2, 3))
    assert kept and nn.utils.clip_grad_norm_(nn.Linear(2, 2).parameters(), 1.0) == 0  # no gradients, nothing to clip


@holds("slow arithmetic")
def check_mixed_precision():
    layer, x = nn.Linear(4, 4), torch.randn(2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == (x @ x.T).dtype == torch.bfloat16
    assert layer(x).dtype == layer.weight.dtype == torch.float32


@holds("out of memory")
def check_accumulation():
    layer, x = nn.Linear(4, 1), torch.randn(8, 4)
    layer(x).square().sum().backward()
    whole = layer.weight.grad.clone()
    layer.zero_grad()
    for part in x.split(2):
        layer(part).square().sum().backward()
    assert torch.allclose(layer.weight.grad, whole, atol=1e-5)


@holds("loss diverges")
def check_shorter_steps():
    """A valley that is narrow only where training begins: a lower rate throughout, or at first, ends the divergence."""

    def last_loss(rate):
        w = torch.tensor(3.0, dtype=torch.float64)
        for t in range(100):
            w = w - rate(t) * w**3  # the gradient of w⁴ / 4
        return w**4 / 4

    high = last_loss(lambda t: 0.5)
    assert not high.isfinite()
    assert last_loss(lambda t: 0.1) < 0.1 and last_loss(lambda t: 0.5 * min(1, (t + 1) / 20)) < 0.1


@holds("noisy final weights")
def check_noise_of_the_last_batches():
    w, decayed, average = torch.zeros(3, 500)  # 500 runs whose gradients are noisy; the best weight is 0
    for t in range(400):
        noise = torch.randn(500)
        w, decayed = w - 0.2 * (w + noise), decayed - 0.2 * (1 - t / 400) * (decayed + noise)
        average = 0.98 * average + 0.02 * w
    assert max(decayed.std(), average.std()) < 0.6 * w.std()


@holds("Why clip by the global norm and not per layer?")
def check_direction():
    one, two = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))
    cosines = []
    for together in (True, False):
        one.grad, two.grad = torch.ones(4), torch.full((4,), 10.0)
        g = torch.cat([one.grad, two.grad])
        for group in [[one, two]] if together else [[one], [two]]:
            nn.utils.clip_grad_norm_(group, 1.0)
        cosines.append(torch.cosine_similarity(g, torch.cat([one.grad, two.grad]), dim=0).item())
    assert cosines[0] > 0.99999 and cosines[1] < 0.8


@holds("Does clipping change Adam's step?")
def check_clipping_before_adam():
    def run(kind, sizes, clip):
        w = nn.Parameter(torch.zeros(2))
        optimizer = kind([w], lr=0.1)
        for size in sizes:
            w.grad = torch.tensor([3.0, 4.0]) * size
            nn.utils.clip_grad_norm_([w], clip)
            optimizer.step()
        return w.detach().norm(), optimizer.state[w].get("exp_avg_sq", torch.zeros(2)).sum()

    for kind, change in ((torch.optim.Adam, 1), (torch.optim.SGD, 100)):
        assert math.isclose(run(kind, [20] * 10, math.inf)[0] / run(kind, [20] * 10, 1.0)[0], change, rel_tol=1e-3)
    outlier = [0.2] * 5 + [200] + [0.2] * 5
    assert run(torch.optim.Adam, outlier, math.inf)[1] > 1000 * run(torch.optim.Adam, outlier, 1.0)[1]
