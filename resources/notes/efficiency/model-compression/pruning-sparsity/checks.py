import io

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from note_checks import (
    by_definition,
    check,
    formula,
    holds,
    pitfall,
    processor_seconds,
    quietly,
    raises,
    sourced,
    stated,
)

MASK = r"""
\hat{W} = M \odot W, \qquad M_{ij} = \begin{cases} 0 & |W_{ij}| \text{ is among the } \operatorname{round}(a\,n) \text{ smallest} \\ 1 & \text{otherwise} \end{cases}
"""
GRADIENT = r"\frac{\partial L}{\partial W} = M \odot \frac{\partial L}{\partial \hat{W}}, \qquad d_r = (1 - a)^r"
BYTES = r"B = (4 + 8)\,d\,m k + 8\,(m + 1)\ \text{bytes}"
EXAMPLE = [[0.1, -0.5, 0.3, -0.2], [0.9, 0.05, -0.4, 0.6]]

by_definition("Quantization", "Distillation")
sourced("NVIDIA A100 architecture whitepaper: fine-grained structured sparsity, two of four", "2:4 pattern")
sourced("Han et al., arXiv 1506.02626, section 3.4: iterative pruning", "Prune once or step by step?")
sourced("Frankle and Carbin, arXiv 1803.03635, section 1", "What does the lottery ticket hypothesis say?")


def mask_of(w, a, old=None):
    """The mask of the formula in NumPy; what is pruned already stays pruned."""
    left = np.ones_like(w) if old is None else old
    rest = np.flatnonzero(left)
    gone = rest[np.argsort(np.abs(w).ravel()[rest])[: round(a * len(rest))]]
    new = left.copy().ravel()
    new[gone] = 0
    return new.reshape(w.shape)


@holds("Input → output", "In PyTorch", "Cost", "Unstructured pruning", "Structured pruning")
def check_what_is_left():
    layer, conv, x = nn.Linear(20, 12), nn.Conv2d(8, 6, 3, bias=False), torch.randn(1, 8, 5, 5)

    def multiplications(module, given):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(given)
        return counter.get_total_flops() // 2

    before = multiplications(layer, torch.randn(1, 20)), multiplications(conv, x)
    prune.l1_unstructured(layer, "weight", amount=0.75)
    assert layer.weight.shape == (12, 20) and (layer.weight == 0).sum() == 180
    assert "weight_orig" in dict(layer.named_parameters()) and "weight_mask" in dict(layer.named_buffers())
    assert torch.equal(layer.weight, layer.weight_orig * layer.weight_mask)
    assert layer.weight_mask.nbytes == layer.weight_orig.nbytes == layer.weight.nbytes
    assert len({t.data_ptr() for t in (layer.weight, layer.weight_orig, layer.weight_mask)}) == 3
    raises(ValueError, lambda: prune.ln_structured(nn.Linear(3, 3), "bias", amount=1, n=2, dim=0), "multidimensional")
    prune.ln_structured(conv, "weight", amount=2, n=2, dim=0)
    assert conv.weight.shape[0] == 6 and multiplications(conv, x) == before[1]
    small = nn.Conv2d(8, 4, 3, bias=False)  # rebuilt without the two channels
    small.weight.data = conv.weight[conv.weight_mask.flatten(1).any(1)].detach()
    assert multiplications(layer, torch.randn(1, 20)) == before[0] and multiplications(small, x) == before[1] * 4 // 6


@holds("L1 penalty")
def check_exact_zeros_of_an_l1_penalty():
    x, y = torch.randn(200, 20), torch.randn(200)
    for proximal in (False, True):
        w = torch.zeros(20, requires_grad=True)
        for _ in range(300):
            loss = (x @ w - y).pow(2).mean() + (0 if proximal else 0.2 * w.abs().sum())
            (gradient,) = torch.autograd.grad(loss, w)
            w = w - 0.05 * gradient
            if proximal:
                w = w.sign() * (w.abs() - 0.05 * 0.2).clamp(min=0)
            w = w.detach().requires_grad_()
        assert ((w == 0).sum() > 5) == proximal and (w.abs() < 0.05).sum() > 5
        assert ((w * (w.abs() > 0.05)) == 0).sum() > 5  # a threshold gives zeros in both


@formula(MASK)
def check_mask():
    for shape in ((2, 4), (7, 5), (1, 10)):
        for a in (0.0, 0.3, 0.5, 0.9, 1.0):
            layer = nn.Linear(shape[1], shape[0])
            w = layer.weight.detach().numpy().copy()
            prune.l1_unstructured(layer, "weight", amount=a)
            first = mask_of(w, a)
            np.testing.assert_array_equal(layer.weight.detach().numpy(), first * w)
            if a < 1:
                prune.l1_unstructured(layer, "weight", amount=a)
                np.testing.assert_array_equal(layer.weight_mask.numpy(), mask_of(w, a, first))


@formula(GRADIENT)
def check_gradient_and_density():
    layer, x, upstream = nn.Linear(6, 3), torch.randn(4, 6), torch.randn(4, 3)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    (layer(x) * upstream).sum().backward()
    np.testing.assert_allclose(
        layer.weight_orig.grad.numpy(), layer.weight_mask.numpy() * (upstream.T @ x).numpy(), atol=1e-6
    )
    for a, r in ((0.5, 3), (0.2, 4)):
        layer = nn.Linear(250, 160)
        for _ in range(r):
            prune.l1_unstructured(layer, "weight", amount=a)
        assert abs(float(layer.weight_mask.mean()) - (1 - a) ** r) < 1e-3


@formula(BYTES)
def check_bytes_of_csr():
    for m, k, d in ((1000, 1000, 0.1), (30, 70, 0.4), (5, 3, 0.0)):
        flat = torch.zeros(m * k)
        count = round(d * m * k)
        flat[torch.randperm(m * k)[:count]] = 1.5
        csr = flat.view(m, k).to_sparse_csr()
        size = sum(t.numel() * t.element_size() for t in (csr.values(), csr.col_indices(), csr.crow_indices()))
        assert size == round((4 + 8) * d * m * k + 8 * (m + 1))
        if m == 1000:
            stated("1,208,008", size)
            stated("3.3", 4 * m * k / size)
    stated("8,008", 8 * 1001)
    stated("4,000,000", torch.zeros(1000, 1000).untyped_storage().nbytes())


@check
def check_by_hand():
    layer = nn.Linear(4, 2, bias=False)
    layer.weight.data = torch.tensor(EXAMPLE)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    removed = sorted(abs(v) for v, kept in zip(np.ravel(EXAMPLE), layer.weight_mask.flatten()) if not kept)
    for text, value in zip(("0.05", "0.1", "0.2", "0.3"), removed):
        stated(text, value)
    assert len(removed) == 4
    prune.l1_unstructured(layer, "weight", amount=0.5)
    stated("0.25", layer.weight_mask.mean())


def size(model):
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.tell() / 1e6


@pitfall("The file is as large as before, or larger")
def check_file_sizes():
    layer = nn.Linear(1000, 1000)
    stated("4.0", size(layer))
    prune.l1_unstructured(layer, "weight", amount=0.9)
    stated("8.0", size(layer))
    prune.remove(layer, "weight")
    stated("4.0", size(layer))
    assert abs(float((layer.weight == 0).float().mean()) - 0.9) < 1e-6
    for share, smaller in ((0.7, False), (0.78, False), (0.82, True), (0.9, True)):
        flat, buffer = torch.zeros(10**6), io.BytesIO()
        flat[torch.randperm(10**6)[: round((1 - share) * 10**6)]] = 1.5
        quietly(lambda: torch.save(flat.view(1000, 1000).to_sparse_csr(), buffer))
        assert (buffer.tell() / 1e6 < 4.0) is smaller  # the column numbers are saved with those of the rows
        stated("20", (buffer.tell() - 8_008) / ((1 - share) * 1e6))
    kernel, buffer = torch.randn(64, 32, 3, 3), io.BytesIO()  # a convolution: four axes
    kernel[torch.rand(kernel.shape) < 0.85] = 0
    raises(RuntimeError, lambda: quietly(kernel.to_sparse_csr))
    quietly(lambda: torch.save({"weight": kernel.flatten(1).to_sparse_csr()}, buffer))
    assert buffer.tell() < 0.85 * 4 * kernel.numel()
    buffer.seek(0)
    saved = torch.load(buffer)["weight"]
    raises(RuntimeError, lambda: nn.Linear(288, 64, bias=False).load_state_dict({"weight": saved}))
    conv = nn.Conv2d(32, 64, 3, bias=False)
    raises(RuntimeError, lambda: conv.load_state_dict({"weight": saved.to_dense()}))
    conv.load_state_dict({"weight": saved.to_dense().reshape(kernel.shape)})
    assert torch.equal(conv.weight, kernel)
    first, second, x = nn.Linear(1000, 1000), nn.Linear(1000, 10), torch.randn(4, 1000)
    prune.ln_structured(first, "weight", amount=0.9, n=2, dim=0)
    keep = first.weight_mask.any(1)
    first.bias.data[~keep] = 0  # the weights' mask leaves the bias
    small, narrow = nn.Linear(1000, 100), nn.Linear(100, 10)
    small.weight.data, small.bias.data = first.weight.detach()[keep], first.bias.detach()[keep]
    narrow.weight.data, narrow.bias.data = second.weight.detach()[:, keep], second.bias.detach()
    assert torch.allclose(narrow(small(x).relu()), second(first(x).relu()), atol=1e-5) and size(small) < 0.5
    norm = nn.BatchNorm1d(1000)
    for value in norm.state_dict().values():
        if value.ndim:
            value.uniform_(0.5, 2)
    raises(RuntimeError, lambda: norm.eval()(small(x)), "1000")
    thin = nn.BatchNorm1d(100).eval()
    assert not torch.allclose(thin(small(x)), norm(first(x))[:, keep], atol=1e-2)  # a new one
    thin.load_state_dict({name: value[keep] if value.ndim else value for name, value in norm.state_dict().items()})
    assert torch.allclose(thin(small(x)), norm(first(x))[:, keep], atol=1e-5)


@pitfall("90% zeros, no speed-up")
def check_speed():
    """On the CPU; the 2:4 kernels of GPUs are not run."""
    x, dense, zeros, small = torch.randn(256, 1024), nn.Linear(1024, 1024), nn.Linear(1024, 1024), nn.Linear(1024, 102)
    prune.l1_unstructured(zeros, "weight", amount=0.9)
    prune.remove(zeros, "weight")
    assert abs(float((zeros.weight == 0).float().mean()) - 0.9) < 1e-6
    structured = nn.Linear(1024, 1024)
    prune.ln_structured(structured, "weight", amount=0.9, n=2, dim=0)
    small.weight.data = structured.weight.detach()[structured.weight_mask.any(1)]
    with torch.inference_mode():
        before, after, rebuilt = processor_seconds(lambda: dense(x), lambda: zeros(x), lambda: small(x), rounds=12)
    assert after > 0.6 * before and rebuilt < 0.4 * before, (before, after, rebuilt)


@pitfall("The zeros come back in fine-tuning")
def check_zeros_stay_only_with_the_mask():
    for how in ("mask", "removed", "by hand", "by hand, with a mask"):
        layer = nn.Linear(50, 50)
        if how.startswith("by hand"):
            layer.weight.data[layer.weight.abs() < layer.weight.abs().quantile(0.9)] = 0
            if how != "by hand":
                prune.custom_from_mask(layer, "weight", layer.weight != 0)
        else:
            prune.l1_unstructured(layer, "weight", amount=0.9)
        if how == "removed":
            prune.remove(layer, "weight")
        assert abs(float((layer.weight == 0).float().mean()) - 0.9) < 1e-6
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        layer(torch.randn(16, 50)).pow(2).mean().backward()
        optimizer.step()
        layer(torch.randn(1, 50))
        zeros = float((layer.weight == 0).float().mean())
        masked = how.endswith("mask")
        assert abs(zeros - 0.9) < 1e-6 if masked else zeros < 0.01  # on digits, about a fifth stay
        if masked:
            prune.remove(layer, "weight")
            assert abs(float((layer.weight == 0).float().mean()) - 0.9) < 1e-6


@holds("`amount`")
@pitfall("`amount=1` prunes almost nothing")
def check_amount():
    for amount, zeros in ((1, 1), (1.0, 100), (0.3, 30)):
        layer = nn.Linear(10, 10)
        prune.l1_unstructured(layer, "weight", amount=amount)
        assert (layer.weight == 0).sum() == zeros
    conv = nn.Conv2d(8, 6, 3)
    for amount, left in ((0.5, 3), (0.4, 2)):
        prune.ln_structured(conv, "weight", amount=amount, n=2, dim=0)
        assert conv.weight_mask.flatten(1).any(1).sum() == left


@pitfall("Assigning to `layer.weight` has no lasting effect")
def check_assignment():
    layer = nn.Linear(3, 3)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    layer.weight = torch.full((3, 3), 7.0)
    layer(torch.ones(3))
    assert (layer.weight != 7).all()
    layer.weight.data.fill_(7.0)
    layer(torch.ones(3))
    assert (layer.weight != 7).all()
    layer.weight = nn.Parameter(torch.ones(3, 3))
    raises(TypeError, lambda: layer(torch.ones(3)), "as parameter 'weight'")
    layer.weight_orig.data = torch.full((3, 3), 7.0)
    raises(TypeError, lambda: layer(torch.ones(3)))  # the assigned parameter must go first
    del layer.weight
    layer(torch.ones(3))
    assert torch.equal(layer.weight, 7 * layer.weight_mask)


@holds("Local or global pruning?")
def check_global_pruning_takes_more_from_small_layers():
    big, small = nn.Linear(20, 20), nn.Linear(20, 20)
    small.weight.data *= 1e-6
    prune.global_unstructured([(big, "weight"), (small, "weight")], prune.L1Unstructured, amount=0.5)
    assert (small.weight == 0).all() and (big.weight == 0).sum() == 0
    assert big.weight_orig.abs().min() > small.weight_orig.abs().max()  # one threshold lies between the layers


@holds("Same in train and eval?")
def check_same_in_train_and_eval():
    layer = nn.Linear(5, 5)
    prune.random_unstructured(layer, "weight", amount=0.5)
    x = torch.randn(2, 5)
    assert torch.equal(layer.train()(x), layer.eval()(x)) and (layer.weight_mask == 0).sum() == 12
