import inspect

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from note_checks import check, formula, holds, pitfall, quietly, raises, sourced, stated

CHAIN = (
    r"\frac{\partial L}{\partial x_i} = \sum_{j} \frac{\partial L}{\partial y_j}\, \frac{\partial y_j}{\partial x_i}"
)
LINEAR = r"""
\frac{\partial L}{\partial X} = G W, \qquad
\frac{\partial L}{\partial W} = G^\top X, \qquad
\frac{\partial L}{\partial b} = G^\top \mathbf{1}
"""
POOLING = r"""
\text{max:}\quad \frac{\partial L}{\partial x_i} = \begin{cases} g & x_i = \max_k x_k \\ 0 & \text{otherwise} \end{cases}
\qquad
\text{average:}\quad \frac{\partial L}{\partial x_i} = \frac{g}{n}
"""

sourced("Automatic differentiation in machine learning, arXiv 1502.05767, on reverse mode: below six times", "Cost")


@formula(CHAIN)
def check_chain_rule():
    # y = softmax(x): the Jacobian in closed form, diag(y) - y y^T, against autograd's vector-Jacobian product.
    for size in (2, 5, 9):
        x = torch.randn(size, dtype=torch.float64, requires_grad=True)
        upstream = torch.randn(size, dtype=torch.float64)
        x.softmax(0).backward(upstream)
        y = np.exp(x.detach().numpy()) / np.exp(x.detach().numpy()).sum()
        jacobian = np.diag(y) - np.outer(y, y)
        ours = [sum(upstream.numpy()[j] * jacobian[j, i] for j in range(size)) for i in range(size)]
        np.testing.assert_allclose(ours, x.grad.numpy(), rtol=1e-9, atol=1e-12)
    # and a map from 3 inputs to 4 outputs that is not symmetric
    A = np.random.randn(4, 3)
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(4, dtype=torch.float64)
    torch.sin(torch.tensor(A) @ x).backward(upstream)
    jacobian = np.cos(A @ x.detach().numpy())[:, None] * A
    np.testing.assert_allclose(upstream.numpy() @ jacobian, x.grad.numpy(), rtol=1e-9)


@formula(LINEAR)
def check_linear_layer():
    for N, I, O in ((1, 1, 1), (5, 3, 4), (2, 6, 1)):
        layer = nn.Linear(I, O, dtype=torch.float64)
        X = torch.randn(N, I, dtype=torch.float64, requires_grad=True)
        G = torch.randn(N, O, dtype=torch.float64)
        layer(X).backward(G)
        g, w, x = G.numpy(), layer.weight.detach().numpy(), X.detach().numpy()
        np.testing.assert_allclose(g @ w, X.grad.numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(g.T @ x, layer.weight.grad.numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(g.T @ np.ones(N), layer.bias.grad.numpy(), rtol=1e-9, atol=1e-12)


@formula(POOLING)
@holds("Where does the gradient of max pooling go?")
def check_pooling():
    for k in (2, 3):
        x = torch.randn(1, 1, 2 * k, 2 * k, dtype=torch.float64, requires_grad=True)
        g = torch.randn(1, 1, 2, 2, dtype=torch.float64)
        (largest,) = torch.autograd.grad(F.max_pool2d(x, k), x, g)
        (mean,) = torch.autograd.grad(F.avg_pool2d(x, k), x, g)
        for r in range(2):
            for c in range(2):
                part = (0, 0, slice(r * k, r * k + k), slice(c * k, c * k + k))
                window = x.detach()[part].numpy()
                np.testing.assert_array_equal(
                    largest[part].numpy(), np.where(window == window.max(), g[0, 0, r, c].item(), 0.0)
                )
                np.testing.assert_allclose(mean[part].numpy(), np.full((k, k), g[0, 0, r, c].item() / k**2), rtol=1e-12)
    tie = torch.ones(1, 1, 2, 2, requires_grad=True)
    F.max_pool2d(tie, 2).sum().backward()
    assert sorted(tie.grad.flatten().tolist()) == [0, 0, 0, 1]
    zero = torch.zeros(1, requires_grad=True)
    torch.relu(zero).backward()
    assert zero.grad.item() == 0


@check
def check_worked_example():
    x, w, b = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0, 1.0))
    z = w * x + b
    z.retain_grad()
    loss = (z - 5) ** 2
    loss.backward()
    assert z.item() == 7 and loss.item() == 4 and z.grad.item() == 4
    stated("8", w.grad)
    stated("12", x.grad)
    assert b.grad.item() == 4
    a, c = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0)
    (a * c + a).backward()
    assert a.grad.item() == 4
    kept, frozen = [], nn.Sequential(nn.Linear(4, 5), nn.Tanh()).requires_grad_(False)  # no weight needs its input
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        frozen(torch.randn(3, 4, requires_grad=True))
    assert (3, 5) in kept


@holds("Input", "Output", "Defaults", "Same in train and eval?", "Is backpropagation a training algorithm?")
def check_contract():
    defaults = {n: p.default for n, p in inspect.signature(torch.Tensor.backward).parameters.items()}
    assert defaults["create_graph"] is False and defaults["retain_graph"] is None
    x = torch.randn(3, requires_grad=True)
    y = (x**3).sum()
    y.backward(create_graph=True)
    y.backward()
    raises(RuntimeError, lambda: y.backward(), "Trying to backward through the graph a second time")
    raises(RuntimeError, lambda: (x * 2).backward(), "scalar outputs")
    raises(
        RuntimeError,
        lambda: torch.ones((), dtype=torch.complex64, requires_grad=True).clone().backward(),
        "only for real scalar outputs",
    )
    raises(RuntimeError, lambda: torch.ones(2, dtype=torch.int64, requires_grad=True), "floating point and complex")
    assert isinstance(torch.autograd.grad((x * 2).sum(), x), tuple)
    for training in (True, False):
        layer = nn.Sequential(nn.Dropout(0.5), nn.Tanh()).train(training)
        assert layer(x).requires_grad
        with torch.no_grad():
            assert not layer(x).requires_grad
    (x * 2).backward(torch.ones(3))
    for dtype in (torch.float32, torch.float64, torch.complex64):
        w, fixed = torch.ones(2, 3, dtype=dtype, requires_grad=True), torch.ones(2, 3, dtype=dtype)
        for times in (1, 2):
            (w * fixed).abs().sum().backward()  # adds: the second pass doubles it
            assert w.grad.shape == w.shape and w.grad.dtype == dtype and (w.grad == times).all()
        assert fixed.grad is None and torch.equal(w.detach(), torch.ones_like(w))  # no weight has moved


@pitfall('"Trying to backward through the graph a second time"')
def check_second_pass_through_a_graph():
    message = "Trying to backward through the graph a second time"
    cell = nn.RNNCell(2, 3)

    def three_steps(detach):
        h = torch.zeros(1, 3)
        for _ in range(3):
            h = cell(torch.ones(1, 2), h.detach() if detach else h)
            h.sum().backward()

    raises(RuntimeError, lambda: three_steps(False), message)
    three_steps(True)

    def three_of_lstm(detach):
        net, state = nn.LSTM(2, 3), None
        for _ in range(3):
            y, state = net(torch.ones(4, 1, 2), state)
            y.sum().backward()
            state = detach(state)

    raises(RuntimeError, lambda: three_of_lstm(lambda state: state), message)
    for kept in (0, 1):  # one of the two is not enough
        half = lambda state: tuple(s if i == kept else s.detach() for i, s in enumerate(state))  # noqa: B023
        raises(RuntimeError, lambda: three_of_lstm(half), message)  # noqa: B023
    three_of_lstm(lambda state: tuple(s.detach() for s in state))

    def two_losses():
        y = torch.ones(2, requires_grad=True).exp()
        return y.sum(), (y**2).sum()

    first, second = two_losses()
    first.backward()
    raises(RuntimeError, second.backward, message)
    first, second = two_losses()
    (first + second).backward()
    first, second = two_losses()
    first.backward(retain_graph=True)
    second.backward()

    makes, judges, truth = nn.Linear(2, 2), nn.Linear(2, 1), F.binary_cross_entropy_with_logits

    def gan(shown):
        makes.zero_grad()
        fake = makes(torch.ones(4, 2))
        truth(judges(shown(fake)), torch.zeros(4, 1)).backward()
        truth(judges(fake), torch.ones(4, 1)).backward()
        return makes.weight.grad

    raises(RuntimeError, lambda: gan(lambda fake: fake), message)
    alone = torch.autograd.grad(truth(judges(makes(torch.ones(4, 2))), torch.ones(4, 1)), makes.weight)[0]
    assert torch.allclose(gan(torch.Tensor.detach), alone)


@pitfall("NaN gradients although the forward pass is fine")
def check_nan_from_the_branch_not_taken():
    x = torch.tensor([0.0], requires_grad=True)
    forward = torch.where(x > 0, x.sqrt(), x * 0)
    assert forward.item() == 0
    forward.sum().backward()
    assert x.grad.isnan().all()
    x.grad = None
    torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), x * 0).sum().backward()
    assert x.grad.item() == 0


INPLACE = '"one of the variables needed for gradient computation has been modified by an inplace operation"'


@pitfall(INPLACE)
def check_inplace_and_leaves():
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    y += 1
    raises(
        RuntimeError,
        lambda: y.sum().backward(),
        INPLACE.strip('"'),
    )
    y = x.exp()
    y = y + 1
    y.sum().backward()
    assert torch.allclose(x.grad, x.detach().exp())
    net, x = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), torch.randn(4, 2)
    optimizer, late = torch.optim.SGD(net.parameters(), 0.1), net(x).sum()
    net(x).square().sum().backward()
    optimizer.step()
    raises(RuntimeError, late.backward, INPLACE.strip('"'))
    net(x).sum().backward()


@pitfall("`.grad` is `None`")
def check_gradients_of_tensors_that_are_no_leaves():
    doubled = torch.ones(2, requires_grad=True) * 2
    doubled.sum().backward()
    assert quietly(lambda: doubled.grad) is None
    final = (torch.ones(2) * 2).requires_grad_()
    final.sum().backward()
    assert final.grad.tolist() == [1, 1]
    doubled = torch.ones(2, requires_grad=True) * 2
    assert not doubled.is_leaf
    doubled.retain_grad()
    doubled.sum().backward()
    assert doubled.grad.tolist() == [1, 1]
    for needed in (False, True):
        w, v = torch.ones(2), torch.ones(2, requires_grad=True)
        if needed:
            w.requires_grad_()
        (w * v).sum().backward()
        assert (w.grad is not None) is needed
    torch.optim.SGD([v]).zero_grad()
    assert v.grad is None


@pitfall("`.grad` is `None`")
def check_gradients_without_a_path():
    u, v = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([2.0, 5.0], requires_grad=True)
    for cut, joined in (
        (lambda: u.detach() * v, lambda: u * v),
        (lambda: torch.from_numpy(np.exp(u.detach().numpy())) * v, lambda: u.exp() * v),
        (lambda: u.argmax() * v, lambda: (u.softmax(0) * torch.arange(2.0)).sum() * v),
    ):
        for expression, found in ((cut, False), (joined, True)):
            u.grad = v.grad = None
            expression().sum().backward()
            assert v.grad is not None and (u.grad is not None) is found


@pitfall("Each step behaves as if the learning rate grew")
def check_zero_grad_and_missing_gradients():
    def path(kind, zero, loss=lambda w: w**2, count=5):
        w, steps = torch.tensor([5.0], requires_grad=True), []
        optimizer = kind([w], lr=0.01)
        for _ in range(count):
            if zero == "before":
                optimizer.zero_grad()
            loss(w).sum().backward()
            if zero == "between":
                optimizer.zero_grad()
            before = w.item()
            optimizer.step()
            steps.append(before - w.item())
        return steps

    assert path(torch.optim.SGD, None)[-1] > 4 * path(torch.optim.SGD, "before")[-1] > 0
    stated("1.6", max(path(torch.optim.Adam, None, lambda w: 3 * w, 1000)) / 0.01)
    assert all(abs(step - 0.01) < 1e-4 for step in path(torch.optim.Adam, "before", lambda w: 3 * w, 50))
    assert path(torch.optim.SGD, "between") == [0.0] * 5
    u, v = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    (u.detach() * v).sum().backward()
    assert u.grad is None and v.grad is not None
    doubled = u * 2
    doubled.sum().backward()
    doubled.retain_grad()  # too late
    assert doubled.grad is None


@holds("Cost")
def check_cost_and_kept_values():
    from torch.utils.flop_counter import FlopCounterMode

    network, kept = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)), []
    x = torch.randn(32, 64, requires_grad=True)
    counts = []
    for backward in (False, True):
        saved = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t)
        with FlopCounterMode(display=False) as counter, saved:
            out = network(x).sum()
            if backward:
                out.backward()
        counts.append(counter.get_total_flops())
    assert 1.5 < (counts[1] - counts[0]) / counts[0] < 2.5 and (32, 64) in kept


@holds("reverse mode", "forward mode (`torch.func.jvp`)", "Why reverse and not forward mode?", "Accuracy")
def check_passes_of_both_modes():
    n, w, kept = 5, torch.randn(5, dtype=torch.float64), []
    f = lambda v: (v * w).tanh().sum()
    x = torch.randn(n, dtype=torch.float64)
    exact = (1 - np.tanh((x * w).numpy()) ** 2) * w.numpy()
    leaf = x.clone().requires_grad_()
    f(leaf).backward()  # one backward pass: all n numbers
    np.testing.assert_allclose(leaf.grad.numpy(), exact, rtol=1e-13)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        passes = [torch.func.jvp(f, (x,), (direction,))[1] for direction in torch.eye(n, dtype=torch.float64)]
    assert not kept and len(passes) == n and passes[0].shape == ()  # each pass: one number
    np.testing.assert_allclose(torch.stack(passes).numpy(), exact, rtol=1e-13)
    many = lambda v: torch.outer(v, w).flatten()  # one input, many outputs: a single forward pass
    assert torch.allclose(torch.func.jvp(many, (x[:1],), (torch.ones(1, dtype=torch.float64),))[1], w)
    kink = torch.zeros(1, requires_grad=True)
    kink.abs().backward()
    assert kink.grad.item() == 0


@holds("symbolic")
def check_symbolic_derivatives_grow():
    import sympy

    x, sizes = sympy.Symbol("x"), []
    for factors in (2, 4, 8):
        product = sympy.Mul(*(sympy.sin(k * x) for k in range(1, factors + 1)))
        derivative = sympy.diff(product, x)
        sizes.append(derivative.count_ops() / product.count_ops())
    assert sizes[0] < sizes[1] < sizes[2] and sizes[2] > 4
    assert sympy.diff(sympy.sin(x) ** 2, x) == 2 * sympy.sin(x) * sympy.cos(x)


@check
def check_forward_mode_agrees():
    x = torch.randn(4, dtype=torch.float64)
    f = lambda v: (v.sin() * v).sum()
    _, directional = torch.func.jvp(f, (x,), (torch.eye(4, dtype=torch.float64)[2],))
    assert torch.allclose(directional, torch.func.grad(f)(x)[2])


@holds("finite differences")
def check_finite_differences():
    """float64: about half of the 16 digits by forward, two thirds or better by central differences."""
    x, steps = 1.0, np.logspace(-14, 0, 300)
    forward = min(abs((np.exp(x + h) - np.exp(x)) / h / np.exp(x) - 1) for h in steps)
    central = min(abs((np.exp(x + h) - np.exp(x - h)) / (2 * h) / np.exp(x) - 1) for h in steps)
    assert 1e-11 < forward < 1e-7 and central < 1e-10
    for n in (2, 5):
        seen = []
        v = torch.randn(n, dtype=torch.float64, requires_grad=True)
        torch.autograd.gradcheck(lambda t: seen.append(t.detach().clone()) or t.sin().sum(), v)
        moved = [t for t in seen if not torch.equal(t, v.detach())]
        assert len(moved) == 2 * n and torch.allclose(sum(moved) / len(moved), v.detach(), atol=1e-10)
