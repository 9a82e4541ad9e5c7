import itertools
import resource
import warnings

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from note_checks import by_definition, check, formula, holds, pitfall, quietly, raises, stated
from trainings import descend

SIZE = r"d_k = \begin{cases} a_k & \text{if } b_k = a_k \text{ or } b_k = 1 \\ b_k & \text{if } a_k = 1 \end{cases}"
STRETCH = r"""
\tilde a_{i_1 \dots i_r} = a_{m_1 i_1 \dots m_r i_r}, \qquad
\frac{\partial L}{\partial a_p} = \sum_{i:\; m i = p} \frac{\partial L}{\partial \tilde a_i}
"""

by_definition("Same in train and eval?")  # no module, no mode


def common_shape(a, b):
    """The rule of the article; None where it says error."""
    r = max(len(a), len(b))
    a, b = (1,) * (r - len(a)) + tuple(a), (1,) * (r - len(b)) + tuple(b)
    result = []
    for one, other in zip(a, b):
        if other == one or other == 1:
            result.append(one)
        elif one == 1:
            result.append(other)
        else:
            return None
    return tuple(result)


@formula(SIZE)
def check_shape_rule():
    shapes = [s for rank in range(4) for s in itertools.product((0, 1, 2, 3), repeat=rank)]
    failed = 0
    for a in shapes[:45]:
        for b in shapes[:85]:
            expected = common_shape(a, b)
            try:
                actual = tuple((torch.empty(a) + torch.empty(b)).shape)
            except RuntimeError:
                actual = None
            assert actual == expected, (a, b, actual, expected)
            failed += expected is None
            try:
                numpy_shape = np.broadcast_shapes(a, b)
            except ValueError:
                numpy_shape = None
            assert numpy_shape == expected
    assert failed > 100


@formula(STRETCH)
def check_values_and_gradient():
    for small, large in [((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((1, 3, 1), (2, 3, 5)), ((), (2, 2))]:
        a = torch.randn(small, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(large, dtype=torch.float64)
        (a * weight).sum().backward()
        padded = (1,) * (len(large) - len(small)) + small
        values = a.detach().numpy().reshape(padded)
        m = [0 if size == 1 else 1 for size in padded]
        gradient, stretched = np.zeros(padded), np.zeros(large)
        for index in np.ndindex(*large):
            source = tuple(f * i for f, i in zip(m, index))
            stretched[index] = values[source]
            gradient[source] += weight.numpy()[index]
        np.testing.assert_array_equal(stretched, a.detach().expand(large).numpy())
        np.testing.assert_allclose(gradient.reshape(small), a.grad.numpy(), rtol=1e-12)


@check
def check_worked_example():
    assert tuple(torch.broadcast_shapes((5, 1, 4, 1), (3, 1, 1))) == (5, 3, 4, 1)
    stated("60", torch.empty(5, 3, 4, 1).numel())
    p, t = torch.arange(4.0)[:, None], torch.arange(4.0)
    table = ((p - t) ** 2).flatten().tolist()
    assert [table.count(v) for v in (0, 1, 4, 9)] == [4, 6, 4, 2]
    stated("2.5", sum(table) / 16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert nn.functional.mse_loss(p, t).item() == 2.5
    assert "different to the input size" in str(caught[0].message)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ((p - t) ** 2).mean()
    assert not caught


@check
def check_the_table_is_smallest_at_the_mean():
    t = torch.randn(50, dtype=torch.float64)
    p = torch.randn(50, 1, dtype=torch.float64, requires_grad=True)
    ((p - t) ** 2).mean().backward()
    np.testing.assert_allclose(p.grad[:, 0].numpy(), 2 / 50 * (p.detach()[:, 0] - t.mean()).numpy(), rtol=1e-9)


@pitfall("The regression predicts the mean of the targets")
def check_a_line_is_flat_until_the_shapes_agree():
    x = torch.linspace(-1, 1, 24)[:, None]
    y = 1.5 * x[:, 0] + 1

    def slope(loss):
        line = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(line.parameters(), lr=0.3)
        descend(optimizer, lambda: quietly(lambda: loss(line(x))), 300)
        return line.weight.item()

    mse = nn.functional.mse_loss
    for wrong in (lambda p: (p - y).square().mean(), lambda p: mse(p, y)):
        assert abs(slope(wrong)) < 0.01
    for right in (lambda p: (p.squeeze(1) - y).square().mean(), lambda p: mse(p, y[:, None])):
        assert abs(slope(right) - 1.5) < 0.01
    assert x.shape != y.shape and x.shape == y[:, None].shape and x.squeeze(1).shape == y.shape


@pitfall('"With unequal ranks the smaller shape must equal the end of the larger one"')
def check_the_narrow_rule_refuses_what_works():
    assert (3, 1, 4)[-2:] != (5, 4) and (torch.empty(3, 1, 4) + torch.empty(5, 4)).shape == (3, 5, 4)
    assert common_shape((3, 1, 4), (5, 4)) == (3, 5, 4) and common_shape((3, 2, 4), (5, 4)) is None
    raises(RuntimeError, lambda: torch.empty(3, 2, 4) + torch.empty(5, 4), "must match the size")


@pitfall("Per-channel values hit the width of an image")
@holds("Where it happens", "Which axes does `matmul` broadcast?")
def check_other_claims():
    assert (torch.ones(1) + torch.ones(0)).shape == (0,)
    assert (torch.ones(3, 1) + torch.ones(4, dtype=torch.int64)).dtype == torch.float32
    assert torch.ones(3, 4).masked_fill(torch.zeros(4, dtype=torch.bool), 0).shape == (3, 4)
    assert torch.where(torch.ones(3, 1, dtype=torch.bool), torch.ones(4), 0.0).shape == (3, 4)
    assert (torch.empty(2, 1, 3, 4) @ torch.empty(5, 4, 6)).shape == (2, 5, 3, 6)
    raises(RuntimeError, lambda: torch.empty(3, 1) @ torch.empty(4, 6))  # the last two are not stretched
    assert (torch.zeros(3, 1) < torch.ones(4)).shape == (3, 4) and bool((torch.zeros(3, 1) < torch.ones(4)).all())
    images, mean = torch.randn(2, 3, 5, 5), torch.randn(3)
    raises(RuntimeError, lambda: images - mean, "must match the size")
    assert (torch.randn(2, 3, 5, 1) - mean).shape == (2, 3, 5, 3)
    gray = torch.randn(2, 1, 5, 5)
    assert torch.equal(gray - mean[:1], gray - mean[:1, None, None])  # one channel: nothing goes wrong
    square = torch.randn(2, 3, 3, 3)
    assert not torch.equal(square - mean, square - mean[:, None, None])
    assert torch.equal((square - mean[:, None, None])[:, 1], square[:, 1] - mean[1])
    assert not np.broadcast_to(np.ones(3), (2, 3)).flags.writeable


@pitfall('"more than one element of the written-to tensor refers to a single memory location"')
def check_in_place():
    words = "more than one element of the written-to tensor refers to a single memory location"
    raises(RuntimeError, lambda: torch.ones(3, 1).expand(3, 4).add_(1), words)
    raises(RuntimeError, lambda: torch.ones(3, 1).expand(3, 4).copy_(torch.ones(3, 4)), words)
    torch.ones(3, 1).expand(3, 4).clone().add_(1)
    wide = torch.zeros(3, 1).expand(3, 4)
    wide[0, 0] = 1
    assert wide.tolist() == [[1] * 4, [0] * 4, [0] * 4] and (wide.fill_(2) == 2).all()
    raises(RuntimeError, lambda: wide.__setitem__(0, 5), "more than one element of the written-to tensor")
    raises(RuntimeError, lambda: torch.ones(3, 1).add_(torch.ones(3, 4)), "doesn't match the broadcast shape")
    assert (torch.ones(3, 1) + torch.ones(3, 4)).shape == (torch.ones(3, 1).expand(3, 4) + 1).shape == (3, 4)
    assert torch.ones(3, 1).expand(3, 4).data_ptr() != torch.ones(3, 1).repeat(1, 4).data_ptr()
    column = torch.ones(3, 1)
    assert column.expand(3, 4).data_ptr() == column.data_ptr() != column.repeat(1, 4).data_ptr()


@pitfall("Out of memory in a distance matrix")
@holds("`torch.cdist`, `x @ y.T`")
def check_distances():
    stated("51.2", torch.empty(100, 100, 128).nbytes * 1e4 / 1e9)
    x, y = torch.randn(7, 5, dtype=torch.float64), torch.randn(9, 5, dtype=torch.float64)
    table = (x[:, None] - y[None]).pow(2).sum(-1)
    pages = int(open("/proc/self/statm").read().split()[0])
    x_many, y_many = torch.randn(2000, 128), torch.randn(2000, 128)
    # each check runs in a process of its own: half of the 2 GB that the table needs is a machine that is too small
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 10**9,) * 2)
    raises(RuntimeError, lambda: x_many[:, None] - y_many[None], "memory")
    assert torch.cdist(x_many, y_many).shape == (x_many @ y_many.T).shape == (2000, 2000)
    assert torch.allclose(torch.cdist(x, y) ** 2, table)
    assert torch.allclose((x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T, table)
    z = torch.randn(200, 128) + 10
    squares = (z**2).sum(1)[:, None] + (z**2).sum(1) - 2 * z @ z.T
    assert squares.min() < 0 and squares.sqrt().isnan().any() and squares.clamp(min=0).sqrt().isfinite().all()
    for floor, good in ((0, False), (1e-6, True)):  # the gradient of a root at 0
        points = z.clone().requires_grad_()
        norms = points.square().sum(1)
        roots = (norms[:, None] + norms - 2 * points @ points.T).clamp(min=floor).sqrt()
        roots.sum().backward()
        assert points.grad.isfinite().all() == good
    exact = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.cdist(z, z).diag().max() > 0.01 and (exact.diag() == 0).all()


class Calls(TorchDispatchMode):
    """The names of the operations that really run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@holds("Input → output", "Cost", "Ask before", "broadcasting")
def check_types_and_copies():
    types = (torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32)
    types += (torch.complex64,)
    for one, other in itertools.product(types, types):
        result = torch.ones(3, 1, dtype=one) + torch.ones(4, dtype=other)
        assert result.shape == (3, 4) and result.dtype == torch.promote_types(one, other)
        assert (torch.ones(3, 1, dtype=one) * torch.ones(4, dtype=other)).dtype == torch.promote_types(one, other)
    assert torch.broadcast_shapes((3, 1), (4,)) == (3, 4)
    raises(RuntimeError, lambda: torch.broadcast_shapes((3, 2), (4,)))
    with Calls() as element_wise:
        result = torch.ones(300, 1).mul(torch.ones(400)) - torch.ones(400)
    assert set(element_wise.names) == {"ones", "mul", "sub"} and result.untyped_storage().nbytes() == 4 * 300 * 400
    with Calls() as product:
        torch.ones(2, 1, 3, 4) @ torch.ones(5, 4, 6)
    assert "clone" in product.names or "copy_" in product.names


@holds("`expand`, `broadcast_to`", "`repeat`, `tile`", "How does `expand` differ from `repeat`?")
def check_views_and_copies():
    column = torch.arange(3.0)[:, None]
    for view in (column.expand(3, 4), torch.broadcast_to(column, (3, 4))):
        assert view.shape == (3, 4) and view.stride() == (1, 0) and view.data_ptr() == column.data_ptr()
        raises(RuntimeError, lambda: view.add_(1), "single memory location")
    for copy in (column.repeat(1, 4), torch.tile(column, (1, 4))):
        assert copy.shape == (3, 4) and copy.untyped_storage().nbytes() == 48 and copy.data_ptr() != column.data_ptr()
        copy[0, 0] = 9
        assert copy[0].tolist() == [9, 0, 0, 0] and column[0].item() == 0
    raises(RuntimeError, lambda: torch.ones(3, 2).expand(3, 4), "must match the existing size")
    assert torch.ones(3, 2).repeat(1, 2).shape == (3, 4)


@holds("What is the gradient of a bias that was broadcast over a batch?")
def check_gradient_of_a_bias():
    bias, upstream = torch.zeros(3, requires_grad=True), torch.randn(5, 3)
    (torch.randn(5, 3) + bias).backward(upstream)
    assert bias.grad.shape == (3,) and torch.allclose(bias.grad, upstream.sum(0))
