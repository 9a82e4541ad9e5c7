import inspect
import math
import warnings

import numpy as np
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint

from note_checks import check, formula, raises, stated

CLIP = r"g \leftarrow g \cdot \min\!\Big(1,\; \frac{c}{\lVert g \rVert_2 + 10^{-6}}\Big)"
MEMORY = r"M(S) = a\,\Big(S + \frac{L}{S}\Big), \qquad S^{*} = \sqrt{L}"


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


@check
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


@check
def check_clipping_scaled_gradients_is_too_strict():
    moves = []
    for scale in (1.0, 65536.0):
        w = nn.Parameter(torch.zeros(2))
        w.grad = torch.tensor([0.3, 0.4]) * scale
        nn.utils.clip_grad_norm_([w], 1.0)
        w.grad /= scale
        torch.optim.SGD([w], lr=0.1).step()
        moves.append(w.detach().norm().item())
    assert moves[1] < moves[0] / 10_000


@check
def check_reentrant():
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


@check
def check_batch_norm_is_updated_twice():
    counts = []
    for recompute in (False, True):
        norm, x = nn.BatchNorm1d(2), torch.randn(8, 2, requires_grad=True)
        y = checkpoint(norm, x, use_reentrant=False) if recompute else norm(x)
        y.square().sum().backward()
        counts.append(int(norm.num_batches_tracked))
    assert counts == [1, 2]
