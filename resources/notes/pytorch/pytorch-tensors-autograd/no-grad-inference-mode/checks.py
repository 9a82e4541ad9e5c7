import contextlib
import threading

import torch
from torch import nn

from note_checks import check, formula, holds, pitfall, raises, sourced, stated

FLAG = r"\mathrm{rg}(y) = G \wedge \big(\mathrm{rg}(x_1) \vee \dots \vee \mathrm{rg}(x_n)\big)"
MEMORY = r"M = 4\,N d\,(L+1)\ \text{bytes}"


sourced(
    "PyTorch documentation of torch.inference_mode: view tracking and version counters",
    "`torch.inference_mode()`",
    "Which of the two should be the default?",
)


def held(model, x, context):
    """Bytes of the distinct activations that the graph keeps, parameters not counted."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), context:
        result = model(x)
    del result
    return sum(kept.values())


def blocks(depth, width):
    return nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())))


@formula(FLAG)
def check_flag_rule():
    modes = [
        (contextlib.nullcontext, True),
        (torch.enable_grad, True),
        (torch.no_grad, False),
        (torch.inference_mode, False),
    ]
    operations = [
        torch.add,
        torch.mul,
        torch.matmul,
        lambda a, b: torch.cat([a, b]),
        lambda a, b: (a * 2).exp() + b.sum(),
    ]
    for shape in [(1, 1), (2, 2), (5, 5)]:
        for first in (False, True):
            for second in (False, True):
                a, b = torch.randn(shape, requires_grad=first), torch.randn(shape, requires_grad=second)
                for mode, G in modes:
                    for operation in operations:
                        with mode():
                            y = operation(a, b)
                        assert y.requires_grad == (G and (first or second)), (mode, first, second)
                        assert (y.grad_fn is not None) == y.requires_grad


@formula(MEMORY)
def check_memory_of_recording():
    for N, d, L in ((3, 5, 1), (16, 8, 4), (7, 32, 9)):
        model, x = blocks(L, d), torch.randn(N, d)
        for mode in (model.train, model.eval):
            mode()
            assert held(model, x, contextlib.nullcontext()) == 4 * N * d * (L + 1)
            assert held(model, x, torch.no_grad()) == held(model, x, torch.inference_mode()) == 0


@check
def check_worked_example():
    stated("1,048,576", torch.zeros(256, 1024).numel() * 4)
    stated("9", held(blocks(8, 1024), torch.randn(256, 1024), contextlib.nullcontext()) / 2**20)
    stated("0", held(blocks(8, 1024), torch.randn(256, 1024), torch.no_grad()))


@holds("Effect on values", "Effect on parameters")
def check_values_and_parameters_are_untouched():
    model, x = nn.Linear(4, 4), torch.randn(2, 4)
    expected = model(x)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(model(x), expected) and all(p.requires_grad for p in model.parameters())


@holds("Effect on values")
def check_fused_paths():
    lstm, attention, x = nn.LSTM(8, 8, 2), nn.MultiheadAttention(16, 2).eval(), torch.randn(6, 3, 16)
    for compute in (lambda: lstm(x[..., :8])[0], lambda: attention(x, x, x)[0]):
        recorded = compute().detach()
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                assert torch.allclose(compute(), recorded, atol=1e-6)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2).eval()
    x, padding = torch.randn(2, 5, 16), torch.tensor([[False] * 3 + [True] * 2, [False] * 5])
    recorded = encoder(x, src_key_padding_mask=padding).detach()
    with torch.no_grad():
        fused = encoder(x, src_key_padding_mask=padding)
    assert torch.allclose(fused[~padding], recorded[~padding], atol=1e-5)
    assert (fused[padding] == 0).all() and (recorded[padding] != 0).any()
    soft = -(torch.arange(5.0)[:, None] - torch.arange(5.0)).abs()
    recorded = encoder(x, mask=soft).detach()
    with torch.no_grad():
        fused = encoder(x, mask=soft)
        assert torch.allclose(fused, encoder(x, mask=soft != 0), atol=1e-5) and not torch.allclose(
            fused, recorded, atol=1e-3
        )
    attention, everything = nn.MultiheadAttention(16, 2, batch_first=True).eval(), torch.ones(2, 5, dtype=torch.bool)
    attend = lambda: attention(x, x, x, key_padding_mask=everything, need_weights=False)[0]
    recorded = attend()
    with torch.no_grad():
        assert recorded.isfinite().all() and attend().isnan().any()


@holds("Form", "Scope", "Related switches")
def check_forms():
    w = torch.ones(2, requires_grad=True)
    for decorator in (torch.no_grad(), torch.inference_mode()):
        assert not decorator(lambda: 2 * w)().requires_grad
        with decorator:
            assert not (2 * w).requires_grad
        assert (2 * w).requires_grad
    with torch.set_grad_enabled(False):
        assert not (2 * w).requires_grad
    assert (2 * w).requires_grad


@check
def check_created_tensors_and_views():
    w = torch.ones(2, 2, requires_grad=True)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.ones(2, requires_grad=True).requires_grad and nn.Parameter(torch.ones(2)).requires_grad
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            views = w[0], w.T, w.view(4)
        for view in views:
            assert view.requires_grad and view.grad_fn is None
            (3 * view).sum().backward()
            assert w.grad is None


@holds("Related switches")
def check_enable_grad_inside():
    w = torch.ones(2, requires_grad=True)
    with torch.no_grad(), torch.enable_grad():
        assert (2 * w).requires_grad
    with torch.inference_mode():
        with torch.enable_grad():
            assert not (2 * w).requires_grad
        with torch.inference_mode(False):
            assert (2 * w).requires_grad


@holds("Same in train and eval?", "`model.eval()`", "`torch.inference_mode()`")
@pitfall("Validation runs out of memory although `model.eval()` is called")
def check_eval_does_not_touch_autograd():
    model, x = (
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1)).eval(),
        torch.randn(4, 3),
    )
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert held(model, x, contextlib.nullcontext()) >= 2 * 4 * x.numel() and held(model, x, torch.inference_mode()) == 0
    with torch.inference_mode():
        assert torch.equal(model(x), model(x)) and not model(x).requires_grad


@holds("Same in train and eval?", "`model.eval()`")
@pitfall("Predictions vary, and batch-norm statistics move during validation")
def check_no_grad_does_not_touch_the_mode():
    model, x = nn.Sequential(nn.BatchNorm1d(200), nn.Dropout(0.5)), torch.randn(8, 200) + 5
    for mode, varies in ((model.train, True), (model.eval, False)):
        mode()
        before = model[0].running_mean.clone()
        with torch.no_grad():
            assert torch.equal(model(x), model(x)) != varies
        assert torch.equal(before, model[0].running_mean) != varies
    model(x)  # training goes on: without train() nothing is dropped and the statistics stay
    assert torch.equal(model(x), model(x)) and torch.equal(before, model[0].running_mean)
    model.train()
    assert not torch.equal(model(x), model(x)) and not torch.equal(before, model[0].running_mean)


@holds("`torch.inference_mode()`", "`torch.no_grad()`", "Which of the two should be the default?")
@pitfall('"Inference tensors cannot be saved for backward"')
def check_inference_tensors_cannot_train():
    w = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        b = 2 * w
        still = b.clone()
    for refuse in (b, still):
        raises(RuntimeError, lambda: (w * refuse).sum(), "Inference tensors cannot be saved for backward")
    raises(RuntimeError, lambda: b._version, "do not track version counter")
    (w + b).sum().backward()
    with torch.no_grad():
        a = 2 * w
    for usable in (b.clone(), a):
        w.grad = None
        (w * usable).sum().backward()
        assert w.grad.tolist() == [2.0] * 3


@pitfall('"element 0 of tensors does not require grad and does not have a grad_fn"')
def check_loss_inside_and_backward_inside():
    w = torch.ones(3, requires_grad=True)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            loss = (w * w).sum()
        raises(RuntimeError, loss.backward, "element 0 of tensors does not require grad and does not have a grad_fn")
        with mode():
            output = nn.Linear(3, 2)(torch.ones(4, 3))
        raises(RuntimeError, output.square().mean().backward, "element 0 of tensors does not require grad")
    loss = (w * w).sum()
    with torch.no_grad():
        loss.backward()
    assert w.grad.tolist() == [2.0] * 3


@holds("`p.requires_grad_(False)`")
@pitfall("Layers before a frozen one stop learning")
def check_frozen_layer_in_the_middle():
    first, frozen, last = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    x = torch.randn(1, 2)
    with torch.no_grad():
        weight = frozen.weight.clone()
    for block, learns in ((torch.no_grad(), False), (contextlib.nullcontext(), True)):
        frozen.requires_grad_(not learns)
        before = first.weight.clone()
        parts = nn.ModuleList([first, frozen, last])
        optimizer = torch.optim.SGD(parts.parameters(), lr=0.1)
        optimizer.zero_grad()
        h = first(x)
        with block:
            h = frozen(h)
        last(h).square().sum().backward()
        optimizer.step()
        assert torch.equal(before, first.weight) != learns and torch.equal(weight, frozen.weight)
        assert last.weight.grad is not None and frozen.weight.grad is None


@holds("`x.detach()`")
def check_detach_cuts_one_path():
    w = torch.full((2,), 3.0, requires_grad=True)
    x = 2 * w
    (x.detach() * w).sum().backward()
    assert w.grad.tolist() == [6.0, 6.0] and x.requires_grad and not x.detach().requires_grad


@holds("`torch.no_grad()`", "Why does a hand-written update step stand in `no_grad()`?")
def check_update_step():
    w = torch.ones(2, requires_grad=True)

    def update():
        w.sub_(0.1)

    raises(RuntimeError, update, "a leaf Variable that requires grad is being used in an in-place operation")
    with torch.no_grad():
        update()
    assert w.requires_grad and torch.allclose(w.detach(), torch.full((2,), 0.9))
    (w * w).sum().backward()  # the update was not recorded, w is still a leaf
    assert w.is_leaf and torch.equal(w.grad, 2 * w.detach())


@holds("Scope", "Does the block cover other threads?")
def check_thread_local():
    w, seen = torch.ones(2, requires_grad=True), []
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            thread = threading.Thread(target=lambda: seen.append((2 * w).requires_grad))
            thread.start()
            thread.join()
    assert seen == [True, True]
