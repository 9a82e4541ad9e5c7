import copy

import numpy as np
import torch
from torch import nn

from note_checks import check, formula, raises, stated

LAYERWISE = r"\theta_l \leftarrow \theta_l - \eta\,\xi^{D-l}\, \frac{\partial L}{\partial \theta_l}"
LORA = r"""
y = W_0 x + \frac{\alpha}{r}\, B A x, \qquad A \in \mathbb{R}^{r \times I},\; B \in \mathbb{R}^{O \times r}, \qquad P = r(I + O)
"""


def count(parameters):
    return sum(p.numel() for p in parameters)


@formula(LAYERWISE)
def check_layerwise_rates():
    for D, xi in ((3, 0.5), (4, 0.1), (3, 0.0)):
        model = nn.Sequential(*[nn.Linear(4, 4, dtype=torch.float64) for _ in range(D)])
        before = copy.deepcopy(model)
        rates = [0.2 * xi ** (D - l) for l in range(1, D + 1)]
        assert rates[-1] == 0.2 and np.allclose(rates[:-1], xi * np.array(rates[1:]))    # the top at full rate, each below at ξ times the next
        optimizer = torch.optim.SGD([{"params": layer.parameters(), "lr": rate} for layer, rate in zip(model, rates)])
        (model(torch.randn(8, 4, dtype=torch.float64)) ** 2).mean().backward()
        optimizer.step()
        for layer, old, rate in zip(model, before, rates):
            for p, q in zip(layer.parameters(), old.parameters()):
                np.testing.assert_allclose(p.detach().numpy(), (q - rate * p.grad).detach().numpy(), rtol=1e-12, atol=1e-15)
                assert (rate > 0) or torch.equal(p, q)


@formula(LORA)
def check_lora():  # verified: formula-only, no LoRA in PyTorch; compared with the merged nn.Linear
    for I, O, r, alpha in ((7, 5, 2, 4.0), (3, 6, 1, 1.0)):
        W0, A, B, x = (np.random.randn(*shape) for shape in ((O, I), (r, I), (O, r), (I,)))
        merged = nn.Linear(I, O, bias=False, dtype=torch.float64)
        with torch.no_grad():
            merged.weight.copy_(torch.tensor(W0 + alpha / r * B @ A))
        np.testing.assert_allclose(W0 @ x + alpha / r * (B @ (A @ x)), merged(torch.tensor(x)).detach().numpy(), rtol=1e-9, atol=1e-12)
        assert A.size + B.size == r * (I + O) and np.linalg.matrix_rank(B @ A) <= r
    A, B, x = torch.randn(2, 4, requires_grad=True), torch.zeros(3, 2, requires_grad=True), torch.randn(4)
    (B @ (A @ x)).sum().backward()
    assert (A.grad == 0).all() and (B.grad != 0).any()
    A = torch.zeros(2, 4, requires_grad=True)
    B.grad = None
    (B @ (A @ x)).sum().backward()
    assert (A.grad == 0).all() and (B.grad == 0).all()


@check
def check_numbers():
    import torchvision

    model = torchvision.models.resnet18(weights=None)
    stated("11,689,512", count(model.parameters()))
    model.fc = nn.Linear(512, 10)
    stated("5,130", count(model.fc.parameters()))
    stated("11,181,642", count(model.parameters()))
    stated("0.046%", 5130 / count(model.parameters()))
    for text, l in (("0.00025", 1), ("0.0005", 2), ("0.001", 3)):
        stated(text, 0.001 * 0.5 ** (3 - l))
    stated("1,536", 768 + 768)
    stated("12,288", 8 * 1536)
    stated("589,824", 768 * 768)
    stated("2.1%", 12288 / 589824)


@check
def check_size_mismatch_despite_strict_false():
    source = nn.ModuleDict({"body": nn.Linear(3, 3), "fc": nn.Linear(3, 5)}).state_dict()
    target = nn.ModuleDict({"body": nn.Linear(3, 3), "fc": nn.Linear(3, 2)})
    raises(RuntimeError, lambda: target.load_state_dict(source, strict=False), "size mismatch for fc.weight")
    found = target.load_state_dict({n: v for n, v in source.items() if not n.startswith("fc.")}, strict=False)
    assert found.missing_keys == ["fc.weight", "fc.bias"] and torch.equal(target["body"].weight, source["body.weight"])


@check
def check_frozen_batch_norm_moves_in_train_mode():
    norm = nn.BatchNorm1d(4).requires_grad_(False)
    for mode in (True, False):
        before = norm.running_mean.clone()
        norm.train(mode)(torch.randn(16, 4) + 2)
        assert torch.equal(before, norm.running_mean) is not mode


@check
def check_optimizer_built_too_early():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model[1] = nn.Linear(3, 4)
    before = model[1].weight.detach().clone()
    model(torch.randn(5, 3)).pow(2).sum().backward()
    optimizer.step()
    assert torch.equal(before, model[1].weight)
    raises(RuntimeError, lambda: model.requires_grad_(False)(torch.randn(5, 3)).sum().backward(), "does not require grad")


@check
def check_gradient_passes_frozen_layers():
    first, frozen = nn.Linear(3, 3), nn.Linear(3, 1).requires_grad_(False)
    frozen(first(torch.randn(4, 3))).sum().backward()
    assert float(first.weight.grad.abs().sum()) > 0 and frozen.weight.grad is None
    with torch.no_grad():
        y = frozen(first(torch.randn(4, 3)))
    assert not y.requires_grad
