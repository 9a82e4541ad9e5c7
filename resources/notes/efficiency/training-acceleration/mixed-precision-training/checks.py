import warnings

import numpy as np
import torch
from torch import nn

from note_checks import by_definition, check, formula, holds, pitfall, raises, sourced, stated

FORMAT = r"x_{\max} = (2 - 2^{-f})\,2^{b}, \qquad x_{\text{normal}} = 2^{1-b}, \qquad x_{\text{tiny}} = 2^{1-b-f}, \qquad b = 2^{e-1} - 1"
STEP = r"\theta \leftarrow \theta - \eta\,\frac{1}{s}\,\nabla_\theta\,(s\,L)"
SCALE = r"""
s \leftarrow
\begin{cases}
d\,s & \text{if the step was skipped} \\
g\,s & \text{if it was the } n\text{-th good step in a row} \\
s & \text{otherwise}
\end{cases}
"""
by_definition("Same in train and eval?")
sourced("NVIDIA Volta and Turing white papers (tensor cores: float16 input, no bfloat16)", "float16 + scaler")
sourced("Kalamkar et al., arXiv 1905.12322, sections 3 and 4 (bfloat16 training without loss scaling)", "bfloat16")
sourced("Jacob et al., arXiv 1712.05877 (integer inference)", "int8")
BITS = {torch.float16: (5, 10), torch.bfloat16: (8, 7), torch.float32: (8, 23)}


@formula(FORMAT)
def check_formats():
    for dtype, (e, f) in BITS.items():
        b = 2 ** (e - 1) - 1
        info = torch.finfo(dtype)
        assert (2 - 2.0**-f) * 2.0**b == info.max and 2.0 ** (1 - b) == info.smallest_normal and 2.0**-f == info.eps
        tiny = torch.tensor(2.0 ** (1 - b - f), dtype=torch.float64)
        assert (
            float(tiny.to(dtype)) == float(tiny)
            and float((0.49 * tiny).to(dtype)) == 0
            and float((1.4 * tiny).to(dtype)) == float(tiny)
        )
    eighth = torch.finfo(torch.float8_e4m3fn)
    stated("448", eighth.max)
    assert eighth.max > (2 - 2.0**-3) * 2.0**7


@formula(STEP)
def check_scaled_step():
    for rows, columns, s, rate in ((5, 3, 65536.0, 0.1), (16, 2, 1024.0, 0.5), (8, 1, 1.0, 0.01)):
        x, y = np.random.randn(rows, columns), np.random.randn(rows)
        theta = nn.Parameter(torch.randn(columns, dtype=torch.float64))
        before = theta.detach().numpy().copy()
        optimizer = torch.optim.SGD([theta], lr=rate)
        scaler = torch.amp.GradScaler("cpu", init_scale=s)
        scaler.scale(((torch.tensor(x) @ theta - torch.tensor(y)) ** 2).mean()).backward()
        gradient_of_scaled = 2 * s * x.T @ (x @ before - y) / rows
        np.testing.assert_allclose(theta.grad.numpy(), gradient_of_scaled, rtol=1e-10)
        scaler.step(optimizer)
        np.testing.assert_allclose(theta.detach().numpy(), before - rate * gradient_of_scaled / s, rtol=1e-10)


@formula(SCALE)
@holds("`torch.amp.GradScaler(device)`")
def check_scale_rule():
    for g, d, n in ((2.0, 0.5, 3), (1.5, 0.25, 1), (4.0, 0.5, 5)):
        p = nn.Parameter(torch.ones(2))
        optimizer = torch.optim.SGD([p], lr=0.0)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_factor=g, backoff_factor=d, growth_interval=n)
        s, good = 1024.0, 0
        for bad in np.random.rand(40) < 0.2:
            optimizer.zero_grad()
            scaler.scale((p * (float(np.random.choice([np.inf, np.nan])) if bad else 1.0)).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            good = 0 if bad else good + 1
            s = d * s if bad else g * s if good == n else s
            good = 0 if good == n else good
            assert abs(scaler.get_scale() / s - 1) < 1e-5, (scaler.get_scale(), s)
    p = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([p], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1)
    scaler.scale((p * 1e-3).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**127


@check
def check_by_hand():
    g = torch.tensor(1e-8)
    assert g.half() == 0 and 1e-8 < 2.0**-25
    stated("5.96e−8", 2.0**-24)
    stated("6.5536e−4", 1e-8 * 65536)
    stored = (g * 65536).half()
    stated("6.55174e−4", stored.double())
    stated("9.9972e−9", stored.float() / 65536)
    stated("0.03%", 1 - float(stored.double()) / 65536 / 1e-8)


@holds("float16 + scaler", "bfloat16", "float32", "int8")
def check_table_of_formats():
    stated("65,504", torch.finfo(torch.float16).max)
    stated("6.10e−5", torch.finfo(torch.float16).smallest_normal)
    stated("9.77e−4", torch.finfo(torch.float16).eps)
    stated("3.39e38", torch.finfo(torch.bfloat16).max)
    stated("1.18e−38", torch.finfo(torch.bfloat16).smallest_normal)
    stated("7.81e−3", torch.finfo(torch.bfloat16).eps)
    stated("3.40e38", torch.finfo(torch.float32).max)
    stated("1.19e−7", torch.finfo(torch.float32).eps)
    stated("127", torch.iinfo(torch.int8).max)


@holds("Why does bfloat16 need no loss scaling?")
def check_underflow():
    smallest = torch.tensor([torch.finfo(torch.float32).smallest_normal])
    numbers = torch.cat([2.0 ** torch.linspace(-126, 127, 5000), smallest])
    assert (numbers.bfloat16() != 0).all() and (numbers.half() == 0).any()
    assert BITS[torch.bfloat16][0] == BITS[torch.float32][0]


@holds("`torch.autocast(device, dtype)`", "Defaults of the scaler")
def check_defaults():
    with torch.autocast("cpu"):
        a = torch.randn(4, 4)
        assert a.dtype == torch.float32 and (a @ a).dtype == torch.bfloat16 and a.exp().dtype == torch.float32
    scaler = torch.amp.GradScaler("cpu")
    assert (
        scaler.get_scale(),
        scaler.get_growth_factor(),
        scaler.get_backoff_factor(),
        scaler.get_growth_interval(),
    ) == (65536, 2, 0.5, 2000)
    assert torch.get_autocast_dtype("cuda") == torch.float16 and torch.get_autocast_dtype("cpu") == torch.bfloat16
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.amp.autocast()
        torch.cuda.amp.GradScaler()
    assert sum("is deprecated" in str(one.message) for one in caught) == 2


@holds("Does mixed precision halve the memory of training?")
def check_copies_of_weights():
    layer, copies = nn.Linear(64, 64), []

    def pack(t):
        copies.extend([t] if t.shape == (64, 64) else [])
        return t

    x = torch.randn(8, 64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), torch.autocast("cpu", dtype=torch.bfloat16):
        layer(x), layer(x)
    assert len(copies) == 2 and all(t.dtype == torch.bfloat16 for t in copies) and layer.weight.dtype == torch.float32
    assert copies[0].untyped_storage().data_ptr() == copies[1].untyped_storage().data_ptr()  # one copy, kept
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.grad_fn._saved_mat2.dtype == torch.bfloat16 and y.grad_fn._saved_mat2.shape == (64, 64)  # after the block


@holds("Memory", "Does mixed precision halve the memory of training?")
def check_state_stays_float32_and_activations_shrink():
    model, x = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()), torch.randn(32, 64)
    parameters = {p.data_ptr() for p in model.parameters()}

    def saved(enabled):
        kept = {}

        def pack(t):
            if t.data_ptr() not in parameters and t.shape == (32, 64):
                kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled),
        ):
            y = model(x)
        y.float().sum().backward()
        return sum(kept.values())

    full, mixed = saved(False), saved(True)
    assert full == 3 * 32 * 64 * 4 and mixed == full / 2, (full, mixed)
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in model.parameters())
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.step()
    p = model[0].weight
    state = optimizer.state[p]
    assert sum(t.element_size() for t in (p, p.grad, state["exp_avg"], state["exp_avg_sq"])) == 16


@pitfall("With gradient clipping and SGD the loss hardly falls")
def check_clipping_before_unscaling():
    p = nn.Parameter(torch.zeros(1))
    optimizer, scaler = torch.optim.SGD([p], lr=1.0), torch.amp.GradScaler("cpu")
    scaler.scale((3 * p).sum()).backward()
    nn.utils.clip_grad_norm_([p], 1.0)
    scaler.step(optimizer)
    assert 0 < -p.item() < 2e-5
    p = nn.Parameter(torch.zeros(1))
    optimizer, scaler = torch.optim.Adam([p], lr=0.1), torch.amp.GradScaler("cpu")
    scaler.scale((3 * p).sum()).backward()
    nn.utils.clip_grad_norm_([p], 1.0)
    scaler.step(optimizer)
    assert abs(p.item() + 0.1) < 1e-3
    entry = 1 / 65536 / 25_000_000**0.5  # norm 1 spread over 25 million, then divided
    stated("3e−9", entry)
    p = nn.Parameter(torch.zeros(1))
    p.grad = torch.tensor([entry])
    torch.optim.Adam([p], lr=0.1).step()
    assert 0.02 < -p.item() < 0.03  # not 0.1: eps outweighs the gradient
    p = nn.Parameter(torch.zeros(1))
    optimizer, scaler = torch.optim.SGD([p], lr=1.0), torch.amp.GradScaler("cpu")
    scaler.scale((3 * p).sum()).backward()
    scaler.unscale_(optimizer)
    raises(RuntimeError, lambda: scaler.unscale_(optimizer), "already been called")
    nn.utils.clip_grad_norm_([p], 1.0)
    scaler.step(optimizer)
    assert abs(p.item() + 1) < 1e-4
    x, y = torch.randn(64, 8), torch.randn(64, 1)
    fallen = {}
    for unscaled in (False, True):
        torch.manual_seed(1)
        model = nn.Linear(8, 1)
        optimizer, scaler = torch.optim.SGD(model.parameters(), lr=0.1), torch.amp.GradScaler("cpu")
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            losses.append(nn.functional.mse_loss(model(x), y))
            scaler.scale(losses[-1]).backward()
            if unscaled:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
        fallen[unscaled] = (losses[0] - losses[-1]).item()
    assert 0 <= fallen[False] < 0.01 and fallen[True] > 0.2, fallen


@pitfall('"Detected call of lr_scheduler.step() before optimizer.step()"')
def check_scheduler_warning_when_the_first_step_is_skipped():
    for factor, expected in ((1.0, 0), (float("inf"), 1)):
        p = nn.Parameter(torch.ones(1))
        optimizer, scaler = torch.optim.SGD([p], lr=1.0), torch.amp.GradScaler("cpu")
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
        scaler.scale((p * factor).sum()).backward()
        scaler.step(optimizer)
        before = scaler.get_scale()
        scaler.update()
        assert (scaler.get_scale() < before) == bool(expected)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scheduler.step()
        assert (
            sum(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`" in str(one.message) for one in caught
            )
            == expected
        )
    p = nn.Parameter(torch.ones(1))
    optimizer, scaler = torch.optim.SGD([p], lr=1.0), torch.amp.GradScaler("cpu")
    scheduler, stepped = torch.optim.lr_scheduler.StepLR(optimizer, 10), 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for factor in (float("inf"), 1.0, 1.0):
            optimizer.zero_grad()
            scaler.scale((p * factor).sum()).backward()
            scaler.step(optimizer)
            before = scaler.get_scale()
            scaler.update()
            if not scaler.get_scale() < before:
                scheduler.step()
                stepped += 1
    assert not caught and stepped == 2


def trained_with_adam(pure_half):
    torch.manual_seed(0)
    model, x, y = (
        nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)),
        torch.rand(32, 64),
        torch.randint(0, 4, (32,)),
    )
    x[:, 0] = 0  # a dead pixel: its gradients are 0
    model, x = (model.half(), x.half()) if pure_half else (model, x)
    optimizer, scaler = torch.optim.Adam(model.parameters()), torch.amp.GradScaler("cpu", enabled=not pure_half)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16, enabled=not pure_half):
            loss = nn.functional.cross_entropy(model(x), y)
        losses.append(loss.item())
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    return losses[0], losses[-1]


@pitfall("NaN after `model.half()` with Adam")
@holds("Why keep float32 weights?")
def check_pure_half_breaks():
    first, last = trained_with_adam(pure_half=True)
    assert np.isfinite(first) and np.isnan(last)
    first, last = trained_with_adam(pure_half=False)
    assert last < first - 0.05
    p = nn.Parameter(torch.ones(2).half())
    p.grad = torch.tensor([0.0, 1.0]).half()
    torch.optim.Adam([p], lr=1e-3).step()
    assert torch.isnan(p[0]) and torch.isfinite(p[1]) and torch.tensor(1e-8).half() == 0
    fused = nn.Parameter(torch.ones(2).half())
    fused.grad = torch.tensor([0.0, 1.0]).half()
    torch.optim.Adam([fused], lr=1e-3, fused=True).step()
    assert torch.isfinite(fused).all() and fused[1] < 1
    assert torch.tensor(1.0).half() - torch.tensor(1e-4).half() == 1
    one = torch.tensor(1.0).bfloat16()
    assert (
        one - torch.tensor(0.001).bfloat16() == 1
        and one - torch.tensor(0.0019).bfloat16() == 1
        and one - torch.tensor(0.0021).bfloat16() < 1
    )


@pitfall('"binary_cross_entropy and BCELoss are unsafe to autocast"')
def check_gradients_of_losses_on_probabilities_and_on_logits():
    """The refusal itself needs a CUDA tensor; here the reason it gives and the loss it recommends."""
    p, z = torch.tensor([1e-6], requires_grad=True), torch.tensor([-20.0], requires_grad=True)
    nn.functional.binary_cross_entropy(p, torch.ones(1)).backward()
    assert torch.isinf(p.grad.half())
    with torch.autocast("cpu", dtype=torch.float16):
        half = nn.functional.linear(z[:, None], torch.ones(1, 1))
        loss = nn.functional.binary_cross_entropy_with_logits(half, torch.ones(1, 1))
        assert half.dtype == torch.float16 and torch.allclose(
            loss, nn.functional.softplus(-half.float()).mean(), rtol=1e-3
        )
    loss.backward()
    assert torch.isfinite(z.grad).all() and z.grad != 0
    logits = torch.randn(1000)
    assert torch.equal(logits > 0, logits.sigmoid() > 0.5) and not torch.equal(logits > 0.5, logits.sigmoid() > 0.5)


@pitfall('"must have the same dtype" after the block')
def check_dtype_after_the_block():
    layer, x = nn.Linear(4, 4), torch.randn(2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    raises(RuntimeError, lambda: layer(y), "same dtype")
    raises(RuntimeError, lambda: nn.Conv1d(4, 4, 1)(y[..., None]), "should be the same")
    nn.LayerNorm(4)(y), nn.BatchNorm1d(4)(y)  # these take both
    assert layer(y.float()).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(layer(x)).dtype == torch.bfloat16  # the wider block
